"""The probe of exercise 1: a NumPy function."""

from collections.abc import Callable

import numpy as np

from course.student.outcome import as_array
from course.student.plain import PlainValues


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
        `output`, and `x`, `gamma`, `beta` as they are after the call.
    """
    if strided:
        x = np.stack([x, x], axis=-1)[..., 0]
    arguments = (x, gamma, beta) if eps is None else (x, gamma, beta, eps)
    output = as_array(student(*arguments), "What `layer_norm` returned")
    return {"output": output, "x": x, "gamma": gamma, "beta": beta}
