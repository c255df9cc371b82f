"""Grading: fresh keys, the verdict outside the kernel, and the class."""
