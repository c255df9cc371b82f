"""The judge: compares outcomes with an answer key, and names a known mistake where one fits.

It never runs student code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from course.student.answer_key import AnswerKey, Case, NamedMistake
from course.student.difference import agree, describe_difference
from course.student.outcome import Outcome

# With more than these to choose from, a student is sent in too many directions.
MOST_CLUES = 2


@dataclass(frozen=True)
class Verdict:
    """Whether one case passed, and what the student's code did."""

    case: Case
    outcome: Outcome
    passed: bool


@dataclass(frozen=True)
class Report:
    """All that a report card tells.

    Args:
        task: the task's id.
        title: the task's title.
        points: what the task is worth.
        score: what the student gets.
        started: False while the first case, the definition, raises NotImplementedError.
        verdicts: one for each case, in the key's order.
        diagnosis: the known mistakes that explain what failed; more than one when they explain
            it equally well.
        clues: where no known mistake explains all, the one or two that give exactly what the first
            failing case shows; empty if there are none, or more.
        description: plain sentences on the first case that failed.
    """

    task: str
    title: str
    points: float
    score: float
    started: bool
    verdicts: tuple[Verdict, ...]
    diagnosis: tuple[NamedMistake, ...]
    clues: tuple[NamedMistake, ...]
    description: tuple[str, ...]

    @property
    def first_failure(self) -> Verdict | None:
        """The first case that failed, or None."""
        return next((verdict for verdict in self.verdicts if not verdict.passed), None)


def judge(key: AnswerKey, outcomes: Sequence[Outcome]) -> Report:
    """Judge the outcomes of a key's cases, given in the key's order.

    The first case is the definition itself: while it fails, the points of other cases that a
    wrong answer happens to pass do not count.
    """
    verdicts = tuple(
        Verdict(case, outcome, passes(case, outcome))
        for case, outcome in zip(key.cases, outcomes, strict=True)
    )
    number, failure = next(
        ((i, verdict) for i, verdict in enumerate(verdicts) if not verdict.passed), (0, None)
    )
    diagnosis = _diagnosis(key.mistakes, verdicts) if failure else ()
    earned = sum(verdict.case.points for verdict in verdicts if verdict.passed)
    return Report(
        task=key.task,
        title=key.title,
        points=key.points,
        score=float(earned) if verdicts[0].passed else 0.0,
        started=not _unwritten(outcomes[0]),
        verdicts=verdicts,
        diagnosis=diagnosis,
        clues=_clues(key.mistakes, number, failure) if failure and not diagnosis else (),
        description=describe_difference(failure.case, failure.outcome) if failure else (),
    )


def passes(case: Case, outcome: Outcome) -> bool:
    """Whether an outcome is right."""
    return outcome.problem is None and all(
        agree(outcome.outputs.get(name), case.expected[name], case.tolerance)
        for name in case.judged
    )


def explains(
    mistake: NamedMistake, verdicts: Sequence[Verdict], *, whatever_names: bool = False
) -> bool:
    """Whether a known mistake accounts for every verdict: for what failed, and for what passed.

    Args:
        mistake: the known mistake.
        verdicts: one for each case, in the key's order.
        whatever_names: pass over what failed in cases about names.
    """
    return all(
        _foretold(verdict, foretold)
        or (whatever_names and verdict.case.about_names and not verdict.passed)
        for verdict, foretold in zip(verdicts, mistake.fingerprint, strict=True)
    )


def _diagnosis(
    mistakes: Sequence[NamedMistake], verdicts: Sequence[Verdict]
) -> tuple[NamedMistake, ...]:
    """The known mistakes that explain it all, else those that do but for the solution's names."""
    return tuple(m for m in mistakes if explains(m, verdicts)) or tuple(
        m for m in mistakes if explains(m, verdicts, whatever_names=True)
    )


def _clues(
    mistakes: Sequence[NamedMistake], number: int, failure: Verdict
) -> tuple[NamedMistake, ...]:
    """The known mistakes that give exactly what one failing case shows, unless they are many."""
    alike = tuple(
        mistake
        for mistake in mistakes
        if failure.case.by_values and _foretold(failure, mistake.fingerprint[number])
    )
    return alike if len(alike) <= MOST_CLUES else ()


def _foretold(verdict: Verdict, foretold: Outcome | None) -> bool:
    if verdict.passed or foretold is None:
        return verdict.passed and foretold is None
    return not verdict.case.by_values or _same(verdict.case, verdict.outcome, foretold)


def _same(case: Case, outcome: Outcome, foretold: Outcome) -> bool:
    if outcome.problem and foretold.problem:
        return outcome.problem.same_as(foretold.problem)
    if outcome.problem or foretold.problem:
        return False
    return all(
        agree(outcome.outputs.get(name), foretold.outputs[name], case.tolerance)
        for name in case.judged
    )


def _unwritten(outcome: Outcome) -> bool:
    return outcome.problem is not None and outcome.problem.kind == NotImplementedError.__name__
