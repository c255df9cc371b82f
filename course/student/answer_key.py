"""An answer key is data: cases with expected outputs, and the fingerprint of each known mistake."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from course.student.outcome import Outcome, outcome_from_data, outcome_to_data
from course.student.plain import PlainValues, decode_all, encode_all


@dataclass(frozen=True)
class Tolerance:
    """How far an output may be off: |output - expected| <= atol + rtol * |expected|."""

    rtol: float
    atol: float


@dataclass(frozen=True)
class Case:
    """One set of inputs and what a right solution makes of them.

    Args:
        name: what the case shows, as the line of a report card.
        points: what it is worth.
        inputs: plain values, by the names of the probe's parameters.
        tolerance: how far outputs may be from the expected ones.
        hint: where to look when this case fails and no known mistake explains it.
        judged: the names of the outputs that count here.
        by_values: False where a wrong answer is mere rounding noise: then a known mistake is
            recognised by failing here, not by its numbers.
        about_names: True where a solution fails that is right but for its names: then a known
            mistake is recognised by the other cases, if need be.
        expected: the right outputs.
    """

    name: str
    points: float
    inputs: PlainValues
    tolerance: Tolerance
    hint: str
    judged: tuple[str, ...] = ("output",)
    by_values: bool = True
    about_names: bool = False
    expected: PlainValues = field(default_factory=dict)


@dataclass(frozen=True)
class NamedMistake:
    """A known mistake as a student meets it: words, and its fingerprint.

    Args:
        name: a few words, such as "unbiased variance (ddof=1)".
        explanation: what the code does, in a sentence or two.
        hint: a nudge towards the repair.
        fingerprint: per case what the mistake gives, or None where it gives the right answer.
    """

    name: str
    explanation: str
    hint: str
    fingerprint: Sequence[Outcome | None]


@dataclass(frozen=True)
class AnswerKey:
    """The cases of one task and the known mistakes with their fingerprints on these cases."""

    task: str
    title: str
    cases: tuple[Case, ...]
    mistakes: tuple[NamedMistake, ...]

    @property
    def points(self) -> float:
        """What the task is worth."""
        return sum(case.points for case in self.cases)


def published_key(task: str) -> AnswerKey:
    """Load the answer key that comes with the notebooks.

    Raises:
        LookupError: there is no task of that name; the message lists those there are.
    """
    folder = resources.files("course.student") / "keys"
    path = folder / f"{task}.json"
    if not path.is_file():
        known = sorted(entry.name.removesuffix(".json") for entry in folder.iterdir())
        raise LookupError(f"There is no task {task!r}. The tasks are: {', '.join(known)}.")
    return from_json(path.read_text(encoding="utf-8"))


def to_json(key: AnswerKey, generated: str) -> str:
    """Write a key as JSON text, one line a case or known mistake.

    Args:
        key: the key.
        generated: a sentence for the first line that says where the file comes from.
    """
    head = {"generated": generated, "task": key.task, "title": key.title}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
    return "\n".join(
        [
            "{" + lines[0],
            *lines[1:],
            '"cases": [',
            ",\n".join(json.dumps(_case_to_data(case), allow_nan=False) for case in key.cases),
            "],",
            '"mistakes": [',
            ",\n".join(json.dumps(_mistake_to_data(m), allow_nan=False) for m in key.mistakes),
            "]}\n",
        ]
    )


def from_json(text: str) -> AnswerKey:
    """Read a key that `to_json` wrote."""
    data = json.loads(text)
    return AnswerKey(
        task=data["task"],
        title=data["title"],
        cases=tuple(_case_from_data(case) for case in data["cases"]),
        mistakes=tuple(_mistake_from_data(mistake) for mistake in data["mistakes"]),
    )


def _case_to_data(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "points": case.points,
        "hint": case.hint,
        "judged": case.judged,
        "by_values": case.by_values,
        "about_names": case.about_names,
        "rtol": case.tolerance.rtol,
        "atol": case.tolerance.atol,
        "inputs": encode_all(case.inputs),
        "expected": encode_all(case.expected),
    }


def _case_from_data(data: dict[str, Any]) -> Case:
    return Case(
        name=data["name"],
        points=data["points"],
        hint=data["hint"],
        judged=tuple(data["judged"]),
        by_values=data["by_values"],
        about_names=data["about_names"],
        tolerance=Tolerance(data["rtol"], data["atol"]),
        inputs=decode_all(data["inputs"]),
        expected=decode_all(data["expected"]),
    )


def _mistake_to_data(mistake: NamedMistake) -> dict[str, Any]:
    return {
        "name": mistake.name,
        "explanation": mistake.explanation,
        "hint": mistake.hint,
        "fingerprint": [outcome and outcome_to_data(outcome) for outcome in mistake.fingerprint],
    }


def _mistake_from_data(data: dict[str, Any]) -> NamedMistake:
    return NamedMistake(
        name=data["name"],
        explanation=data["explanation"],
        hint=data["hint"],
        fingerprint=tuple(
            outcome and outcome_from_data(outcome) for outcome in data["fingerprint"]
        ),
    )
