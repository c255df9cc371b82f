"""What every test needs."""

import os

# The suite runs in as many processes as there are cores: torch's threads would only fight. Set
# before torch is imported, and handed on to the kernels of notebooks.
os.environ["OMP_NUM_THREADS"] = "1"

from course.instructor.tools import put_tools_on_path

put_tools_on_path()
