"""The command-line tools that nbgrader starts: `alembic`, and `python` for kernels."""

import os
import sys
from pathlib import Path


def put_tools_on_path() -> None:
    """Let this process and its children find the tools installed beside this interpreter."""
    beside = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "").split(os.pathsep)
    if path[0] != beside:
        os.environ["PATH"] = os.pathsep.join([beside, *path])
