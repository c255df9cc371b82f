"""How fast a class is graded: by stock nbgrader, by Otter-Grader and by this course.

All grade submissions of the same class, in the same run of this program: stock nbgrader with the
notebooks' own check cells, Otter with tests that call the same checks (`otter run`), this course in
as many processes as there are cores. Feedback pages are part of it, where there are any. Slow
graders get a part of the class, evenly drawn; what one submission takes does not depend on how many
there are.

make bench
"""

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nbformat
from joblib import cpu_count
from nbgrader import utils
from nbgrader.apps.api import NbGraderAPI
from rich.console import Console
from rich.table import Table
from traitlets.config import Config

from course.instructor import build
from course.instructor.demo_class import write_demo_class
from course.instructor.grading.class_runner import ClassRunner
from course.instructor.grading.job import Submission
from course.instructor.grading.workers import Processes
from course.instructor.text_notebook import check_call
from course.instructor.tools import put_tools_on_path
from course.student.catalogue import catalogue

STUDENTS = 20
EXERCISES = [notebook.name for notebook in catalogue() if notebook.name.startswith("ex")]

# Of each class: its exercises, and how many of its students stock nbgrader and Otter grade.
CLASSES = {"exercises 1-3": (EXERCISES[:3], 20, 4), "exercises 1-10": (EXERCISES, 2, 1)}

TEST = """\
OK_FORMAT = True
test = {{
    "name": {name!r},
    "points": {points},
    "suites": [{{
        "cases": [{{"code": ">>> check({task!r}, {expression}) == {points}\\nTrue"}}],
        "scored": True, "setup": "", "teardown": "", "type": "doctest",
    }}],
}}
"""


def stock(root: Path, submissions: list[Submission]) -> list[float]:
    """Grade with stock nbgrader and write its feedback; return the seconds of each."""
    config = Config()
    config.CourseDirectory.root = str(root)
    api = NbGraderAPI(config=config)
    for exercise in {submission.assignment for submission in submissions}:
        must(api.generate_assignment(exercise))
    return [
        timed(
            lambda s=submission: (
                must(api.autograde(s.assignment, s.student)),
                must(api.generate_feedback(s.assignment, s.student)),
            )
        )
        for submission in submissions
    ]


def otter(root: Path, submissions: list[Submission]) -> list[float]:
    """Grade with `otter run`; return the seconds of each."""
    zips = {name: otter_autograder(root, name) for name in {s.assignment for s in submissions}}
    seconds = []
    for submission in submissions:
        notebook = root / "submitted" / submission.student / submission.assignment
        command = [sys.executable, "-m", "otter", "run", "--no-logo", "-o", str(root)]
        command += ["-a", str(zips[submission.assignment])]
        command += [str(notebook / f"{submission.assignment}.ipynb")]
        seconds.append(timed(partial(subprocess.run, command, check=True, capture_output=True)))
        results = json.loads((root / "results.json").read_text())
        assert results["tests"], results
    return seconds


def otter_autograder(root: Path, name: str) -> Path:
    """Make Otter's autograder of an exercise: a test for each check cell."""
    folder = root / "otter" / name
    (folder / "tests").mkdir(parents=True)
    released = nbformat.read(build.RELEASE / name / f"{name}.ipynb", as_version=4)
    for cell in filter(utils.is_grade, released.cells):
        task, expression = check_call(cell)
        points = cell.metadata.nbgrader.points
        test = TEST.format(name=task, points=points, task=task, expression=expression)
        (folder / "tests" / f"{task}.py").write_text(test)
    command = [sys.executable, "-m", "otter", "generate", "-t", str(folder / "tests")]
    command += ["--no-config", "--no-requirements", "--no-environment"]
    command += ["-o", str(folder / "autograder.zip")]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return folder / "autograder.zip"


def ours(root: Path, submissions: list[Submission]) -> tuple[float, float]:
    """Grade with this course; return the seconds until the first is done, and of each from then."""
    config = build.nbgrader_config()
    config.CourseDirectory.root = str(root)
    config.ExecuteAndJudge.secret_file = str(root / ".class_secret")
    runner = ClassRunner(config)
    runner.prepare()
    times = [time.perf_counter()]
    graded = runner.grade(
        submissions, Processes(cpu_count()), lambda _: times.append(time.perf_counter())
    )
    assert not any(result.problem for result in graded)
    return times[1] - times[0], (times[-1] - times[1]) / (len(times) - 2)


def timed(call: Callable[[], object]) -> float:
    """The time of one call in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def must(result: dict[str, str]) -> None:
    """Fail where nbgrader did."""
    assert result["success"], result["log"]


def measure(exercises: list[str], of_stock: int, of_otter: int, table: Table, name: str) -> None:
    """Grade one class with each, and add the rows."""
    with tempfile.TemporaryDirectory() as scratch:
        roots = {who: Path(scratch) / who for who in ("stock nbgrader", "Otter", "this course")}
        for root in roots.values():
            write_demo_class(root / "submitted", STUDENTS, exercises)
            for exercise in exercises:
                shutil.copytree(build.SOURCE / exercise, root / "source" / exercise)
        folders = sorted((roots["Otter"] / "submitted").glob("*/*"))
        everybody = [Submission(folder.parent.name, folder.name) for folder in folders]
        slow = stock(roots["stock nbgrader"], drawn(everybody, of_stock))
        base = sum(slow) / len(slow)
        add(table, name, "stock nbgrader 0.9.6", len(slow), base, base, "")
        slow = otter(roots["Otter"], drawn(everybody, of_otter))
        add(table, name, "Otter 7.0.0", len(slow), sum(slow) / len(slow), base, "")
        first, each = ours(roots["this course"], everybody)
        words = f"{cpu_count()} processes; the first after {first:.1f} s"
        add(table, name, "this course", len(everybody), each, base, words)


def drawn(everybody: list[Submission], students: int) -> list[Submission]:
    """The submissions of some students, evenly drawn from the class."""
    names = sorted({submission.student for submission in everybody})
    chosen = names[:: len(names) // students][:students]
    return [submission for submission in everybody if submission.student in chosen]


def add(
    table: Table, name: str, who: str, count: int, each: float, base: float, words: str
) -> None:
    """Add a row, and show it at once: the whole takes minutes."""
    row = (name, who, str(count), f"{each:.3f}", f"{60 / each:.0f}", f"{base / each:.1f}", words)
    table.add_row(*row)
    print(*row, flush=True)


def main() -> None:
    """Print one table."""
    put_tools_on_path()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    table = Table(
        "class", "graded by", "submissions", "seconds each", "a minute", "times stock", ""
    )
    table.title = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    table.caption = f"Python {platform.python_version()}, a demo class of {STUDENTS}"
    for name, (exercises, of_stock, of_otter) in CLASSES.items():
        measure(exercises, of_stock, of_otter, table, name)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
