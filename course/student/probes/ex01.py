"""The probe of exercise 1: a NumPy function."""

from collections.abc import Callable

import numpy as np

from course.student.outcome import as_array
from course.student.plain import PlainValues
from course.student.ready_made import library_calls


def layer_norm(
    student: Callable[..., np.ndarray],
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float | None = None,
    strided: bool = False,
) -> PlainValues:
    """Call `layer_norm(x, gamma, beta, eps)`.

    Args:
        student: the function.
        x: `(..., features)`.
        gamma: `(features,)`.
        beta: `(features,)`.
        eps: the fourth argument; left to its default when None.
        strided: pass x as a view that is not contiguous in memory.

    Returns:
        `output`, whether a `ready-made norm` was `called`, and `x`, `gamma`, `beta` as they are
        after the call.
    """
    if strided:
        x = np.stack([x, x], axis=-1)[..., 0]
    arguments = (x, gamma, beta) if eps is None else (x, gamma, beta, eps)
    with library_calls() as called:
        output = student(*arguments)
    return {
        "output": as_array(output, "What `layer_norm` returned"),
        "ready-made norm called": bool(called),
        "x": x,
        "gamma": gamma,
        "beta": beta,
    }
