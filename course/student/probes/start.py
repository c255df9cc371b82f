"""The probe of the toy task in `start_here`."""

from collections.abc import Callable

import numpy as np

from course.student.outcome import as_array
from course.student.plain import PlainValues


def centre_rows(student: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> PlainValues:
    """Call `centre_rows(x)`.

    Args:
        student: the function.
        x: `(rows, columns)`.

    Returns:
        `output` like x, and `x` itself as it is after the call.
    """
    output = as_array(student(x), "`centre_rows`'s return value")
    return {"output": output, "x": x}
