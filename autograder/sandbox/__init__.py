"""What a student's process may touch."""
