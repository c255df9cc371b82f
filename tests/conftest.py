"""What every test needs."""

import os
from pathlib import Path

import pytest

# The suite runs in as many processes as there are cores: torch's threads would only fight. Set
# before torch is imported, and handed on to the kernels of notebooks.
os.environ["OMP_NUM_THREADS"] = "1"

from course.instructor.tools import put_tools_on_path

put_tools_on_path()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in a folder of its own, where checks note a student's progress."""
    monkeypatch.chdir(tmp_path)
