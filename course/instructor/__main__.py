"""The instructor's command line: `python -m course.instructor --help`."""

import os
import sys
from pathlib import Path

import click


@click.group()
def main() -> None:
    """Build, prove and grade the course."""
    # nbgrader starts `alembic`, and kernels start `python`: those beside this interpreter.
    beside = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])


@main.command()
def build() -> None:
    """Build source/, release/, the solutions and the published keys from course/notebooks/."""
    from course.instructor.build import build as run_build

    run_build(click.echo)


if __name__ == "__main__":
    main()
