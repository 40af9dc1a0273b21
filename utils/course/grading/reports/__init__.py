"""What is made from result files, for instructors, students and other systems."""
