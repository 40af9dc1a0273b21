"""The instructor's side: assign lessons, grade what comes back, say what happened."""
