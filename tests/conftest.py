"""What every test needs."""

from course.instructor.tools import put_tools_on_path

put_tools_on_path()
