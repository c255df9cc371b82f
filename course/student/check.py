"""The check: one line in a notebook that shows a report card and is worth its score."""

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from course.student.answer_key import published_key
from course.student.judge import Report, judge
from course.student.outcome import run
from course.student.plain import PlainValues, describe
from course.student.probes import probe_of
from course.student.progress import own_progress
from course.student.report_card import ReportCard


@dataclass(frozen=True)
class FailingCase:
    """A failing case, to play with.

    Args:
        name: what the case shows.
        inputs: what your code was called with, by name.
        outputs: what it gave, by name; empty if it raised.
        expected: what was expected, by name.
        error: what it raised, or empty.
    """

    name: str
    inputs: PlainValues
    outputs: PlainValues
    expected: PlainValues
    error: str = ""

    def __repr__(self) -> str:
        """The case in a few lines: names, dtypes and shapes."""
        lines = [f"FailingCase: {self.name}"]
        for kind in ("inputs", "outputs", "expected"):
            values = getattr(self, kind).items()
            lines += [f"  .{kind}[{name!r}]: {describe(value)}" for name, value in values]
        lines += [f"  .error: {self.error}"] if self.error else []
        return "\n".join(lines)


class Check:
    """Judges a student's objects against a task's published answer key."""

    def __init__(self) -> None:
        """Start with nothing checked."""
        self._report: Report | None = None

    def __call__(self, task: str, *objects: Any) -> float:
        """Check a task, show its report card, and return the score.

        Args:
            task: the task's id, such as "ex01_layer_norm".
            objects: what you wrote for it: a function or a class.

        Returns:
            The score in points, which nbgrader reads as the cell's grade.

        Raises:
            LookupError: there is no such task.
        """
        # Slow to import, and a notebook's kernel has it loaded already.
        from IPython.display import display

        key = published_key(task)
        probe = probe_of(task)
        self._report = judge(key, [run(probe, objects, case.inputs) for case in key.cases])
        display(ReportCard(self._report, warning=_stale_warning()))
        # In a folder that cannot be written to, a check works as well.
        with suppress(OSError):
            own_progress().note_check(self._report, datetime.now().astimezone())
        return self._report.score

    def last_failure(self) -> FailingCase | None:
        """Return the first case that failed in the last check, or None if all passed."""
        failure = self._report.first_failure if self._report else None
        if failure is None:
            print("Nothing has failed in the last check.")
            return None
        case, outcome, problem = failure.case, failure.outcome, failure.outcome.problem
        return FailingCase(
            case.name,
            # Copies: what a student's code writes into them must not be there the next time.
            deepcopy(case.inputs),
            deepcopy(outcome.outputs),
            deepcopy({name: case.expected[name] for name in case.judged}),
            f"{problem.kind}: {problem.message}" if problem else "",
        )


def _stale_warning() -> str:
    """Words of warning where the cell that ran before this one failed, as far as IPython knows."""
    from IPython import get_ipython

    shell = get_ipython()
    before = getattr(shell, "last_execution_result", None)
    error = before and (before.error_before_exec or before.error_in_exec)
    if not error:
        return ""
    return (
        f"The cell that you ran last stopped with a {type(error).__name__}. If it holds your"
        " solution, this card is about the version from before: mend the cell and run it first."
    )


check = Check()
