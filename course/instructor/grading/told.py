"""What a run of grading tells the instructor: how far it is, and what came of it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from course.instructor.grading.class_runner import ClassRunner, Graded
from course.instructor.grading.job import Submission

# How many of the slowest submissions to name.
SLOWEST = 3


@contextmanager
def progress(console: Console, total: int) -> Iterator[Callable[[Graded], None]]:
    """Show how far grading is and how long it will yet take; give what is to be called for each.

    Args:
        console: where to show it.
        total: how many submissions there are.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("Grading", total=total, last="")

        def tell(graded: Graded) -> None:
            bar.update(task, advance=1, last=escape(_cost(graded)))

        yield tell
        bar.update(task, last="")


def scores(console: Console, runner: ClassRunner) -> None:
    """Show a table of the class."""
    maxima = runner.maxima()
    table = Table("student", title="Scores", box=SIMPLE, padding=0, show_edge=False)
    for name, maximum in maxima.items():
        table.add_column(f"{_short(name)}\n{maximum:g}", justify="right", no_wrap=True)
    table.add_column(f"total\n{sum(maxima.values()):g}", justify="right", no_wrap=True)
    for student, row in runner.scores().items():
        total = sum(score or 0 for score in row.values())
        table.add_row(escape(student), *map(_points, (*row.values(), total)))
    console.print(table)


def results(console: Console, graded: Iterable[Graded], seconds: float) -> None:
    """Tell what the instructor should know of single submissions, and what the run took.

    Args:
        console: where to tell it.
        graded: what came of each.
        seconds: how long all took.
    """
    graded = list(graded)
    for result in graded:
        for remark in result.remarks:
            _tell(console, "Told to the student", result.submission, remark)
    for result in graded:
        for flag in result.flags:
            _tell(console, "Look at this", result.submission, flag)
    for result in graded:
        if result.problem:
            _tell(console, "Not graded", result.submission, result.problem)
    console.print(
        f"{len(graded)} submissions in {seconds:.0f} s."
        " The longest: " + escape("; ".join(map(_cost, _slowest(graded)))) + "."
    )


def unknown(console: Console, submissions: Iterable[Submission]) -> None:
    """Tell of folders that have the name of no exercise."""
    for submission in submissions:
        what = "no exercise has this name."
        _tell(console, "Not of this course, so not graded", submission, what)


def _short(assignment: str) -> str:
    """Exercise 1 as "1", challenge 1 as "C1"."""
    kind, number = assignment[:2], int(assignment[2:4])
    return f"{'C' if kind == 'ch' else ''}{number}"


def _points(score: float | None) -> str:
    """A score to a tenth, so that fifteen stand in a row."""
    return "-" if score is None else f"{round(score, 1):g}"


def _slowest(graded: list[Graded]) -> list[Graded]:
    return sorted(graded, key=lambda result: result.seconds, reverse=True)[:SLOWEST]


def _cost(graded: Graded) -> str:
    student, exercise = graded.submission.student, graded.submission.assignment.partition("_")[0]
    memory = f"{graded.memory / 2**20:.0f} MB"
    return f"{student[:20]}, {exercise}: {graded.seconds:.1f} s, {memory}"


def _tell(console: Console, what: str, submission: Submission, sentence: str) -> None:
    console.print(
        escape(f"{what}: {submission.student}, {submission.assignment}: {sentence}"),
        highlight=False,
    )
