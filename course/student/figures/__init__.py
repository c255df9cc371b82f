"""The figures of the notebooks, one module a subject; those that need it run the student's code."""
