"""What came of calling a student's object on one case: plain outputs, or a problem in words."""

import contextlib
import io
import linecache
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from course.student.plain import PlainValues, decode_all, encode_all

Probe = Callable[..., PlainValues]

PRINTED_CHARACTERS = 1000
PROBLEM_CHARACTERS = 2000

# Code in these folders is not the student's own, so it is not the line to show them.
_COURSE = Path(__file__).resolve().parent.parent
_LIBRARIES = tuple(
    str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib")
)


class UnusableError(Exception):
    """What the student handed over cannot be judged; the message says why and what to do."""


@dataclass(frozen=True)
class Problem:
    """Why there are no outputs.

    Args:
        kind: the name of the exception's class.
        message: the exception's message.
        line: the student's own line that raised it, if there is one.
        function: the student's function that this line is in.
    """

    kind: str
    message: str
    line: str = ""
    function: str = ""

    @property
    def unusable(self) -> bool:
        """Whether the probe could not judge the object, and the message says why."""
        return self.kind == UnusableError.__name__

    def same_as(self, other: "Problem") -> bool:
        """Whether two problems are one and the same error, wherever it was raised."""
        return (self.kind, self.message) == (other.kind, other.message)


@dataclass(frozen=True)
class Outcome:
    """What a probe returned for one case.

    Args:
        outputs: plain values by name; empty when there was a problem.
        problem: what stopped the probe, or None.
        printed: what the student's code printed, warnings included, cut to 1,000 characters.
    """

    outputs: PlainValues = field(default_factory=dict)
    problem: Problem | None = None
    printed: str = ""


def run(probe: Probe, objects: tuple[Any, ...], inputs: PlainValues) -> Outcome:
    """Call a probe on the student's objects and on copies of a case's inputs.

    Whatever the student's code raises becomes a problem, and what it prints or warns is kept
    aside: a warning on stderr would cost a student the points of a cell under nbgrader.
    """
    own_inputs = {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in inputs.items()
    }
    problem, outputs = None, {}
    with _printing_captured() as printed:
        try:
            outputs = probe(*objects, **own_inputs)
        except (Exception, SystemExit) as error:
            line, function = _own_line(error.__traceback__)
            problem = Problem(type(error).__name__, str(error).strip(), line, function)
    return Outcome(outputs, problem, printed.getvalue()[:PRINTED_CHARACTERS])


def as_array(value: Any, what: str) -> np.ndarray:
    """Return `value` as a plain NumPy array, a copy in which nothing of the student's code lives.

    Args:
        value: what the student's code returned: a NumPy array or number, or a torch tensor.
        what: how to name it in a message, such as "`layer_norm`'s return value".

    Raises:
        UnusableError: it is no array of numbers; the message says what it is instead.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        plain = value.detach().to("cpu")
        # NumPy has no bfloat16; every bfloat16 is a float32.
        value = (plain.float() if plain.dtype is torch.bfloat16 else plain).numpy()
    if value is None:
        raise UnusableError(f"{what} is None. Does the code end in a `return`?")
    if value is NotImplemented or value is Ellipsis:
        raise NotImplementedError
    if not isinstance(value, np.ndarray | np.generic | float | int):
        raise UnusableError(f"{what} is a {type(value).__name__}; an array was expected.")
    array = np.array(value, subok=False)
    if array.dtype.kind not in "biuf":
        raise UnusableError(
            f"{what} has dtype {array.dtype} with shape {array.shape}; real numbers were expected."
        )
    return array


def outcome_to_data(outcome: Outcome) -> dict[str, Any]:
    """Return the JSON form of an outcome."""
    data: dict[str, Any] = {"outputs": encode_all(outcome.outputs)}
    if outcome.problem:
        data = {"problem": vars(outcome.problem)}
    return data | ({"printed": outcome.printed} if outcome.printed else {})


def outcome_from_data(data: dict[str, Any]) -> Outcome:
    """Read an outcome from its JSON form.

    Raises:
        ValueError, TypeError, KeyError: it is not one.
    """
    printed = str(data.get("printed", ""))[:PRINTED_CHARACTERS]
    if "problem" in data:
        texts = {name: str(text)[:PROBLEM_CHARACTERS] for name, text in data["problem"].items()}
        return Outcome(problem=Problem(**texts), printed=printed)
    return Outcome(decode_all(data["outputs"]), printed=printed)


@contextlib.contextmanager
def _printing_captured() -> Iterator[io.StringIO]:
    printed = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, category, *_, **__: print(
            f"{category.__name__}: {message}", file=printed
        )
        yield printed


def _own_line(trace: TracebackType | None) -> tuple[str, str]:
    """The last line of a traceback in the student's own code, and the function it is in."""
    for frame, number in reversed(list(traceback.walk_tb(trace))):
        code = frame.f_code
        if not str(Path(code.co_filename).resolve()).startswith((str(_COURSE), *_LIBRARIES)):
            return linecache.getline(code.co_filename, number).strip(), code.co_qualname
    return "", ""
