"""The kill matrix: each known mistake rejected and named, each right solution given full marks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from joblib import Parallel, delayed

from course import layer_normalization_solutions as reference
from course.instructor.task import PUBLISHED_SEED, Task, all_tasks
from course.student.judge import Report, judge

FRESH_SEEDS = range(1, 21)

RIGHT, MISTAKE, COMBINATION = "right solution", "known mistake", "combination"


@dataclass(frozen=True)
class Row:
    """How one solution fared on all keys.

    Args:
        task: the task's id.
        kind: "right solution", "known mistake" or "combination".
        name: the known mistake's name, or the solution's.
        surprises: a sentence for each key on which it did not fare as it must.
    """

    task: str
    kind: str
    name: str
    surprises: tuple[str, ...]


def kill_matrix(task: Task) -> Iterator[Row]:
    """Try every solution of a task on the published key and on 20 fresh ones."""
    keys = {seed: task.key(seed) for seed in (PUBLISHED_SEED, *FRESH_SEEDS)}
    for kind, name, solution in _solutions(task):
        reports = {seed: judge(key, task.outcomes(solution, key)) for seed, key in keys.items()}
        surprises = {
            seed: _surprise(kind, name, report, reports[PUBLISHED_SEED].score)
            for seed, report in reports.items()
        }
        told = tuple(f"key {seed}: {what}" for seed, what in surprises.items() if what)
        yield Row(task.id, kind, name, told)


def kill_matrices(tasks: Iterable[str]) -> Iterator[list[Row]]:
    """The rows of each of several tasks, given by their ids; on all cores."""
    parallel = Parallel(n_jobs=-1, return_as="generator")
    yield from parallel(delayed(_rows)(task) for task in tasks)


def _rows(task: str) -> list[Row]:
    return list(kill_matrix(all_tasks()[task]))


def _solutions(task: Task) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    yield RIGHT, "the oracle", task.oracle
    yield RIGHT, "the reference", getattr(reference, task.defines)
    for solution in task.right_solutions:
        yield RIGHT, solution.__name__, solution
    for mistake in task.mistakes:
        yield MISTAKE, mistake.name, mistake.solution
    for solution in task.combinations:
        yield COMBINATION, solution.__name__, solution


def _surprise(kind: str, name: str, report: Report, published_score: float) -> str:
    """What is not as it must be, or nothing."""
    failure = report.first_failure
    if kind == RIGHT:
        return f"fails {failure.case.name!r}: {' '.join(report.description)}" if failure else ""
    if failure is None or report.score >= report.points:
        return "gets full marks"
    found = [mistake.name for mistake in report.diagnosis]
    expected = [name] if kind == MISTAKE else []
    if found != expected:
        return f"named {found}, expected {expected}"
    # Two students with the same mistake must not get different grades.
    if kind == MISTAKE and report.score != published_score:
        return f"scores {report.score:g}, but {published_score:g} on the published key"
    return ""
