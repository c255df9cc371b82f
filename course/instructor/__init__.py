"""What no student receives: tasks with their known mistakes, the build, and grading."""
