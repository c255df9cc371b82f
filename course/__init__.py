"""A course on Layer Normalization. A student's notebook needs one name from here: `check`."""

from course.student.check import check

__all__ = ["check"]
