"""A task as its author writes it: cases, an oracle, known mistakes, and right solutions."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

import numpy as np

from course.instructor.forbidden import Forbidden
from course.student.answer_key import AnswerKey, Case, NamedMistake
from course.student.judge import passes
from course.student.outcome import Outcome, run
from course.student.probes import probe_of

# The seed of the inputs that are published with the notebooks.
PUBLISHED_SEED = 0

CaseDraw = Callable[[np.random.Generator], Iterable[Case]]
Solution = TypeVar("Solution", bound=Callable[..., Any])


@dataclass(frozen=True)
class KnownMistake:
    """An executable wrong solution, and the words for a student who made it."""

    name: str
    explanation: str
    hint: str
    solution: Callable[..., Any]


@dataclass
class Task:
    """One graded task; its parts are added by the decorators below.

    Args:
        id: the `grade_id` of its check cell, which also names its probe: `ex01_layer_norm` is
            probed by `layer_norm` in `course/student/probes/ex01.py`.
        title: how the report card names it.
        defines: the name that the student's solution cell defines, such as `layer_norm`.
        oracle: an independent right answer in float64, which is not a reference solution.
        graded: whether its points count.
        forbids: ready-made code that its notebook forbids.
    """

    id: str
    title: str
    defines: str
    oracle: Callable[..., Any]
    graded: bool = True
    forbids: Forbidden | None = None
    mistakes: list[KnownMistake] = field(default_factory=list)
    combinations: list[Callable[..., Any]] = field(default_factory=list)
    right_solutions: list[Callable[..., Any]] = field(default_factory=list)
    draw: CaseDraw | None = None

    def cases(self, draw: CaseDraw) -> CaseDraw:
        """Declare the function that draws the cases from a random generator.

        The first case is the definition itself. Names and points do not depend on the draw.
        """
        self.draw = draw
        return draw

    def known_mistake(
        self, name: str, explanation: str, hint: str
    ) -> Callable[[Solution], Solution]:
        """Declare a wrong solution that students are known to write."""

        def declare(solution: Solution) -> Solution:
            self.mistakes.append(KnownMistake(name, explanation, hint, solution))
            return solution

        return declare

    def combination(self, solution: Solution) -> Solution:
        """Declare a solution with two known mistakes: rejected, and named as neither alone."""
        self.combinations.append(solution)
        return solution

    def right_solution(self, solution: Solution) -> Solution:
        """Declare a right solution, written differently from the reference."""
        self.right_solutions.append(solution)
        return solution

    def key(self, seed: int = PUBLISHED_SEED) -> AnswerKey:
        """Draw the answer key of a seed: the same seed gives the same key.

        A known mistake is run on a case when its fingerprint there is first looked at. One case or
        two rule out most of them, so that to explain a failure takes a tenth of the whole key.

        Args:
            seed: where the random inputs come from.
        """
        drawn = self._drawn(seed)
        cases = tuple(replace(case, expected=self._expected(case)) for case in drawn)
        return AnswerKey(
            task=self.id,
            title=self.title,
            cases=cases,
            mistakes=tuple(
                NamedMistake(
                    mistake.name,
                    mistake.explanation,
                    mistake.hint,
                    Fingerprint(cases, partial(self._foretold, mistake.solution)),
                )
                for mistake in self.mistakes
            ),
        )

    @property
    def points(self) -> float:
        """What the task is worth."""
        return sum(case.points for case in self._drawn(PUBLISHED_SEED))

    def outcomes(self, solution: Callable[..., Any], key: AnswerKey) -> list[Outcome]:
        """Run the probe on a solution, case by case."""
        probe = probe_of(self.id)
        return [run(probe, (solution,), case.inputs) for case in key.cases]

    def _drawn(self, seed: int) -> tuple[Case, ...]:
        """The cases of a seed, without what is expected of them."""
        assert self.draw is not None, f"task {self.id} has no cases"
        # A task's draws do not depend on the other tasks, nor on their order.
        return tuple(self.draw(np.random.default_rng([seed, *self.id.encode()])))

    def _expected(self, case: Case) -> dict[str, Any]:
        outcome = run(probe_of(self.id), (self.oracle,), case.inputs)
        if outcome.problem:
            raise AssertionError(f"{self.id}, {case.name!r}: the oracle raised {outcome.problem}")
        return {name: outcome.outputs[name] for name in case.judged}

    def _foretold(self, solution: Callable[..., Any], case: Case) -> Outcome | None:
        outcome = run(probe_of(self.id), (solution,), case.inputs)
        if passes(case, outcome):
            return None
        # Rounding noise is no fingerprint, and differs between processors.
        kept = case.judged if case.by_values and not outcome.problem else ()
        outputs = {name: outcome.outputs[name] for name in kept}
        return replace(outcome, outputs=outputs, printed="")


class Fingerprint(Sequence[Outcome | None]):
    """Per case what a known mistake gives, found out when it is looked at."""

    def __init__(self, cases: Sequence[Case], foretold: Callable[[Case], Outcome | None]) -> None:
        """Take the cases, and what runs the mistake on one of them."""
        self._cases = cases
        self._foretold = foretold
        self._found: dict[int, Outcome | None] = {}

    def __len__(self) -> int:
        """As many as there are cases."""
        return len(self._cases)

    def __getitem__(self, number: Any) -> Any:
        """What the mistake gives on a case, or None where it gives the right answer."""
        case = self._cases[number]
        if number not in self._found:
            self._found[number] = self._foretold(case)
        return self._found[number]


def course_order(name: str) -> tuple[int, str]:
    """The sort key of a notebook's or task module's name: the start, exercises, challenges."""
    return ("st", "ex", "ch").index(name[:2]), name


@cache
def all_tasks() -> dict[str, Task]:
    """All tasks by id, in the order of the course and, within a module, as it defines them."""
    package = import_module("course.instructor.tasks")
    names = sorted((module.name for module in iter_modules(package.__path__)), key=course_order)
    modules = [import_module(f"{package.__name__}.{name}") for name in names]
    return {
        value.id: value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Task)
    }


def source_of(solution: Callable[..., Any]) -> str:
    """The source of a known mistake or right solution as a student would have typed it."""
    source = textwrap.dedent(inspect.getsource(solution))
    definition = ast.parse(source).body[0]
    return "\n".join(source.splitlines()[definition.lineno - 1 :]) + "\n"
