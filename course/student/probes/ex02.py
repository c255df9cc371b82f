"""The probes of exercise 2: a layer with a forward and a backward pass in NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np

from course.student.outcome import UnusableError, as_array
from course.student.plain import PlainValues
from course.student.ready_made import AUTOGRAD, library_calls


def forward(
    student: Callable[..., Any],
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float | None = None,
    earlier_x: np.ndarray | None = None,
) -> PlainValues:
    """Make a `LayerNorm`, give it gamma and beta, and call its `forward(x)`.

    Args:
        student: the class.
        x: `(..., features)`.
        gamma: `(features,)`, assigned to `layer.gamma`.
        beta: `(features,)`, assigned to `layer.beta`.
        eps: the constructor's second argument; left to its default when None.
        earlier_x: what the same layer's `forward` is called with first, if anything.

    Returns:
        `output`, whether a `ready-made norm` was `called`, and `x`, `gamma`, `beta` as they are
        after the call.
    """
    layer = _layer(student, gamma, beta, eps)
    call_forward = _method(layer, "forward")
    if earlier_x is not None:
        call_forward(earlier_x)
    with library_calls() as called:
        output = call_forward(x)
    return {
        "output": as_array(output, "What `forward` returned"),
        "ready-made norm called": bool(called),
        "x": x,
        "gamma": as_array(layer.gamma, "`gamma` after `forward`"),
        "beta": as_array(layer.beta, "`beta` after `forward`"),
    }


def parameter_gradients(
    student: Callable[..., Any], dout: np.ndarray, normalized: np.ndarray
) -> PlainValues:
    """Call `parameter_gradients(dout, normalized)`.

    Args:
        student: the function.
        dout: gradient of the loss with respect to the output, `(..., features)`.
        normalized: the normalised input, of the same shape.

    Returns:
        `dgamma` and `dbeta`, and `dout` and `normalized` as they are after the call.
    """
    returned = _written_out(student, dout, normalized)
    gradients = _parts(returned, ("dgamma", "dbeta"), "What `parameter_gradients` returned")
    return {**gradients, "dout": dout, "normalized": normalized}


def backward(
    student: Callable[..., Any],
    x: np.ndarray,
    dout: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float | None = None,
    earlier_x: np.ndarray | None = None,
    backward_calls: int = 1,
) -> PlainValues:
    """Call `forward(x)`, then `backward(dout)`, on a `LayerNorm` with this gamma and beta.

    Args:
        student: the class.
        x: `(..., features)`.
        dout: gradient of the loss with respect to the output, of the shape of x.
        gamma: `(features,)`, assigned to `layer.gamma`.
        beta: `(features,)`, assigned to `layer.beta`.
        eps: the constructor's second argument; left to its default when None.
        earlier_x: what the same layer's `forward` is called with first, if anything.
        backward_calls: how often `backward` is called; the last call counts.

    Returns:
        `dx`, `dgamma` and `dbeta`, and `x` and `dout` as they are after the calls.
    """
    layer = _layer(student, gamma, beta, eps)
    call_forward = _method(layer, "forward")
    if earlier_x is not None:
        call_forward(earlier_x)
    call_forward(x)
    call_backward = _method(layer, "backward")
    # Each call has its own dout, so that writing into dout shows where it is looked for.
    for _ in range(backward_calls - 1):
        call_backward(dout.copy())
    returned = _written_out(call_backward, dout)
    gradients = _parts(returned, ("dx", "dgamma", "dbeta"), "What `backward` returned")
    return {**gradients, "x": x, "dout": dout}


def _layer(
    student: Callable[..., Any], gamma: np.ndarray, beta: np.ndarray, eps: float | None
) -> Any:
    if not callable(student):
        raise UnusableError(
            f"`LayerNorm` is of type {type(student).__name__}; a class was expected. Run the cell"
            " that begins with `class LayerNorm:` again."
        )
    layer = student(gamma.size) if eps is None else student(gamma.size, eps)
    layer.gamma, layer.beta = gamma, beta
    return layer


def _method(layer: Any, name: str) -> Callable[..., Any]:
    method = getattr(layer, name, None)
    if callable(method):
        found: Callable[..., Any] = method
        return found
    cell = {
        "forward": "Write `def forward(self, x):` inside the class, indented like `__init__`.",
        "backward": "Run the cell that ends in `LayerNorm.backward = backward`, and run it again"
        " whenever you have run the cell of the class.",
    }
    raise UnusableError(f"`LayerNorm` has no method `{name}`. {cell[name]}")


def _written_out(function: Callable[..., Any], *arguments: np.ndarray) -> Any:
    """Call a function that is to compute gradients itself.

    Raises:
        UnusableError: a library computed them.
    """
    with library_calls() as called:
        returned = function(*arguments)
    if any(AUTOGRAD in name for name in called):
        raise UnusableError(
            "PyTorch's autograd computed a gradient inside your function. Here you write out what"
            " it would do, in NumPy."
        )
    if called:
        raise UnusableError(
            f"Your function calls a ready-made normalisation, `{called[0]}`. Write it out in NumPy."
        )
    return returned


def _parts(value: Any, names: tuple[str, ...], what: str) -> PlainValues:
    """The arrays that a function returned as a tuple, by name."""
    count = {2: "two", 3: "three"}[len(names)]
    wanted = f"{count} arrays were expected: `return {', '.join(names)}`."
    if value is None or value is NotImplemented or value is Ellipsis:
        as_array(value, what)  # has the words for a missing `return`, and for code not begun
    if not isinstance(value, tuple | list):
        shape = getattr(value, "shape", None)
        given = f"a {type(value).__name__}" if shape is None else f"a single array of shape {shape}"
        raise UnusableError(f"{what} is {given}; {wanted}")
    if len(value) != len(names):
        parts = f"{len(value)} part{'s' * (len(value) != 1)}"
        raise UnusableError(f"{what} has {parts}; {wanted}")
    # None in the place of one gradient says that this one is still missing: the others count.
    return {
        name: None if part is None else as_array(part, f"`{name}`, in what you returned,")
        for name, part in zip(names, value, strict=True)
    }
