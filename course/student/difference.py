"""Whether two plain values agree and, where they do not, how to say so plainly."""

from collections.abc import Iterator
from typing import TypeGuard

import numpy as np

from course.student.answer_key import Case, Tolerance
from course.student.outcome import Outcome
from course.student.plain import PlainValue, describe

# Values to show beside each other around the largest error.
SHOWN = 4
# What to say of outputs that tell what ran inside, and not what came of it.
READY_MADE = {
    "built-in norm called": "Your code calls PyTorch's own layer norm, or another normalisation of"
    " PyTorch. In this task you write it yourself.",
    "ready-made norm called": "Your code calls a ready-made normalisation, such as PyTorch's own"
    " layer norm. In this task you write it yourself.",
    "built-in attention called": "Your code calls PyTorch's own attention. In this task you write"
    " it yourself.",
    "built-in encoder layer used": "Your code uses PyTorch's own encoder layer. In this task you"
    " write it yourself.",
    "built-in encoder": "Your code uses PyTorch's own encoder, or a layer of it. In this task you"
    " write it yourself.",
}


def agree(value: PlainValue, expected: PlainValue, tolerance: Tolerance) -> bool:
    """Whether a value is the expected one: same shape, close numbers, NaN only where expected.

    The dtype of an array does not count here: float64 inside or out is a right answer. Where it
    matters, the probe returns it as an output of its own.
    """
    if not _numeric(value) or not _numeric(expected):
        return type(value) is type(expected) and value == expected
    if np.shape(value) != np.shape(expected):
        return False
    return bool(
        np.allclose(
            _float64(value), _float64(expected), tolerance.rtol, tolerance.atol, equal_nan=True
        )
    )


def describe_difference(case: Case, outcome: Outcome) -> tuple[str, ...]:
    """Say in plain sentences how a failed case's outcome differs from what was expected."""
    problem = outcome.problem
    if problem is not None:
        if problem.unusable:
            return ()
        place = f", in `{problem.function}`" if problem.function else ""
        own_line = (f"Your line{place}: `{problem.line}`",) if problem.line else ()
        return (*own_line, f"{problem.kind}: {problem.message}")
    wrong = [
        name
        for name in case.judged
        if not agree(outcome.outputs.get(name), case.expected[name], case.tolerance)
    ]
    ready_made = tuple(READY_MADE[name] for name in wrong if name in READY_MADE)
    if ready_made or not wrong:
        return ready_made
    return tuple(_sentences(wrong[0], outcome.outputs.get(wrong[0]), case.expected[wrong[0]], case))


def _sentences(name: str, value: PlainValue, expected: PlainValue, case: Case) -> Iterator[str]:
    given = case.inputs.get(name)
    if isinstance(given, np.ndarray) and agree(given, expected, case.tolerance):
        yield f"`{name}` is an input, and your code changed it."
    if not _numeric(value) or not _numeric(expected):
        yield f"`{name}` is {describe(value)}; expected {describe(expected)}."
        return
    if np.shape(value) != np.shape(expected):
        yield f"`{name}` has shape {np.shape(value)}; expected {np.shape(expected)}."
        return
    yours, right = _float64(value), _float64(expected)
    if np.isfinite(right).all() and not np.isfinite(yours).all():
        count = int((~np.isfinite(yours)).sum())
        yield f"{count} of {yours.size} values of `{name}` are NaN or infinite."
    else:
        yield from _numbers(name, yours, right, case.tolerance)
    dtype = getattr(value, "dtype", None)
    if dtype is not None and dtype.kind in "iub" and np.asarray(expected).dtype.kind == "f":
        yield f"`{name}` has dtype {dtype}: an integer cannot hold a fraction."


def _numbers(
    name: str, yours: np.ndarray, right: np.ndarray, tolerance: Tolerance
) -> Iterator[str]:
    wrong = ~np.isclose(yours, right, tolerance.rtol, tolerance.atol, equal_nan=True)
    error = np.where(wrong, np.nan_to_num(np.abs(yours - right), nan=np.inf), 0.0)
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))
    place = f"{name}[{', '.join(map(str, where))}]" if where else name
    yield (
        f"{int(wrong.sum())} of {wrong.size} values of `{name}` are off; the largest error is"
        f" {error[where]:.3g}, at `{place}`."
    )
    digits = _digits(error[where], right[where])
    if not where:
        yield f"Yours: {yours:.{digits}g}. Expected: {right:.{digits}g}."
        return
    start = max(0, min(where[-1] - 1, yours.shape[-1] - SHOWN))
    shown = slice(start, min(start + SHOWN, yours.shape[-1]))
    window: tuple[int | slice, ...] = (*where[:-1], shown)
    row = ", ".join([*map(str, where[:-1]), f"{shown.start}:{shown.stop}"])
    yield f"Yours, `{name}[{row}]`: {_row(yours[window], digits)}"
    yield f"Expected: {_row(right[window], digits)}"
    if right.size > 1:
        yield from _pattern(yours, right)


def _pattern(yours: np.ndarray, right: np.ndarray) -> Iterator[str]:
    """A constant ratio or offset, if the whole error is one."""
    # Wider than a tolerance of double precision, so that float32 answers show their pattern too,
    # and narrow enough that four digits of the constant are right.
    rtol, atol = 1e-5, 1e-7
    offset = yours - right
    ratio = yours / np.where(right == 0, np.nan, right)
    if not yours.any():
        yield "Every value of yours is 0."
    elif np.allclose(offset, offset.flat[0], rtol, atol) and abs(offset.flat[0]) > 1e-3:
        yield f"Every value is off by the same amount: yours is expected + ({offset.flat[0]:.4g})."
    elif np.allclose(ratio, ratio.flat[0], rtol, atol) and abs(ratio.flat[0] - 1) > 1e-3:
        yield f"Every value is off by the same factor: yours is {ratio.flat[0]:.4g} x expected."


def _digits(error: float, right: float) -> int:
    """Enough significant digits to see the error, between 4 and 17."""
    if not 0 < error < abs(right):
        return 4
    return int(np.clip(2 - np.log10(error / abs(right)), 4, 17))


def _row(values: np.ndarray, digits: int) -> str:
    return "  ".join(f"{value:.{digits}g}" for value in values)


def _numeric(value: PlainValue) -> TypeGuard[np.ndarray | float | int]:
    return isinstance(value, np.ndarray | float | int) and not isinstance(value, bool)


def _float64(value: PlainValue) -> np.ndarray:
    return np.asarray(value, dtype=np.float64)
