"""nbgrader's settings for this course: used by its commands, the formgrader and `make grade`."""

from pathlib import Path

c = get_config()  # noqa: F821 (given by traitlets)

c.CourseDirectory.course_id = "layer_normalization"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)

# What a student finds in the place of a solution. The check reads it as "not started".
c.ClearSolutions.code_stub = {"python": "# Your code here\nraise NotImplementedError"}

# Seconds for one cell. The slowest cell of the reference takes a few.
c.ExecutePreprocessor.timeout = 120
