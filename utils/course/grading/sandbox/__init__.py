"""Where students' code runs: its walls, and the way in and out."""
