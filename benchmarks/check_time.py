"""How long a student waits: importing `check`, and from a check's call to its report card.

make bench
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout

from rich.console import Console
from rich.table import Table

from course import check
from course import layer_normalization_solutions as reference
from course.instructor.task import all_tasks

REPEATS = 15
NUMPY_EXERCISES = ("ex01", "ex02")


def seconds(call: Callable[[], object]) -> float:
    """The time of one call in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def import_check() -> float:
    """Time of `from course import check` in a fresh interpreter, without starting it."""
    code = (
        "import time; start = time.perf_counter(); from course import check;"
        "print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def row(name: str, aim: str, measure: Callable[[], float]) -> list[str]:
    """Measure several times, after one run that is thrown away."""
    measure()
    times = [measure() for _ in range(REPEATS)]
    return [name, f"{statistics.median(times):.3f}", f"{max(times):.3f}", aim]


def main() -> None:
    """Print one table."""
    table = Table("what", "median [s]", "slowest [s]", "aim [s]")
    table.title = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    table.caption = f"Python {platform.python_version()}, {REPEATS} repeats"
    table.add_row(*row("from course import check", "0.3", import_check))
    for task in all_tasks().values():
        solution = getattr(reference, task.defines)
        with open(os.devnull, "w") as devnull, redirect_stdout(devnull):
            cells = row(
                f"check {task.id}",
                "0.1" if task.id.startswith(NUMPY_EXERCISES) else "-",
                lambda task=task, solution=solution: seconds(lambda: check(task.id, solution)),
            )
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
