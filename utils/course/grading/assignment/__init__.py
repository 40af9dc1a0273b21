"""What an instructor hands out: the students' half of an assignment, and the half that stays."""
