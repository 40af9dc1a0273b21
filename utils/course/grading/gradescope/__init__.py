"""An autograder for Gradescope that runs the very same grader."""
