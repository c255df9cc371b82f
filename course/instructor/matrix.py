"""The kill matrix: each known mistake rejected and named, each right solution given full marks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from course import layer_normalization_solutions as reference
from course.instructor.task import PUBLISHED_SEED, Task
from course.student.answer_key import AnswerKey
from course.student.judge import Report, judge

FRESH_SEEDS = range(1, 21)


@dataclass(frozen=True)
class Row:
    """How one solution fared on all keys.

    Args:
        task: the task's id.
        kind: "known mistake", "combination" or "right solution".
        name: the known mistake's name, or the solution's.
        surprises: a sentence for each key on which it did not fare as it must.
    """

    task: str
    kind: str
    name: str
    surprises: tuple[str, ...]


def kill_matrix(tasks: Iterable[Task]) -> Iterator[Row]:
    """Try every solution of every task on the published key and on 20 fresh ones."""
    for task in tasks:
        keys = {seed: task.key(seed) for seed in (PUBLISHED_SEED, *FRESH_SEEDS)}

        def row(
            kind: str,
            name: str,
            solution: Callable[..., Any],
            surprise: Callable[[Report], str],
            task: Task = task,
            keys: dict[int, AnswerKey] = keys,
        ) -> Row:
            found = (
                (seed, surprise(judge(key, task.outcomes(solution, key))))
                for seed, key in keys.items()
            )
            return Row(task.id, kind, name, tuple(f"key {s}: {what}" for s, what in found if what))

        right_solutions = {
            "the oracle": task.oracle,
            "the reference": getattr(reference, task.defines),
            **{solution.__name__: solution for solution in task.right_solutions},
        }
        for name, solution in right_solutions.items():
            yield row("right solution", name, solution, _not_full_marks)
        for mistake in task.mistakes:
            yield row(
                "known mistake",
                mistake.name,
                mistake.solution,
                lambda report, name=mistake.name: _not_named(report, [name]),  # type: ignore[misc]
            )
        for solution in task.combinations:
            yield row(
                "combination",
                solution.__name__,
                solution,
                lambda report: _not_named(report, []),
            )


def _not_full_marks(report: Report) -> str:
    failure = report.first_failure
    if failure is None:
        return ""
    return f"fails {failure.case.name!r}: {' '.join(report.description)}"


def _not_named(report: Report, names: list[str]) -> str:
    if report.first_failure is None or report.score >= report.points:
        return "gets full marks"
    found = [mistake.name for mistake in report.diagnosis]
    return "" if found == names else f"named {found}, expected {names}"
