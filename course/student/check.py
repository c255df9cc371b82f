"""The check: one line in a notebook that shows a report card and is worth its score."""

from dataclasses import dataclass
from typing import Any

from course.student.answer_key import published_key
from course.student.judge import Report, judge
from course.student.outcome import run
from course.student.plain import PlainValues, describe
from course.student.probes import probe_of
from course.student.report_card import ReportCard


@dataclass(frozen=True)
class FailingCase:
    """A failing case, to play with.

    Args:
        name: what the case shows.
        inputs: what your code was called with, by name.
        outputs: what it gave, by name; empty if it raised.
        expected: what was expected, by name.
    """

    name: str
    inputs: PlainValues
    outputs: PlainValues
    expected: PlainValues

    def __repr__(self) -> str:
        """The case in a few lines: names, dtypes and shapes."""
        lines = [f"FailingCase: {self.name}"]
        for kind in ("inputs", "outputs", "expected"):
            values = getattr(self, kind).items()
            lines += [f"  .{kind}[{name!r}]: {describe(value)}" for name, value in values]
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
        display(ReportCard(self._report))
        return self._report.score

    def last_failure(self) -> FailingCase | None:
        """Return the first case that failed in the last check, or None if all passed."""
        failure = self._report.first_failure if self._report else None
        if failure is None:
            print("Nothing has failed in the last check.")
            return None
        case, outcome = failure.case, failure.outcome
        expected = {name: case.expected[name] for name in case.judged}
        return FailingCase(case.name, case.inputs, outcome.outputs, expected)


check = Check()
