"""The probes of further challenge 2: DetachNorm and AdaNorm, judged by output and gradient."""

from typing import Any

import numpy as np
import torch
from torch import nn

from course.student.outcome import UnusableError
from course.student.plain import PlainValues
from course.student.ready_made import BUILT_IN_NORMS
from course.student.torch_modules import (
    DTYPES,
    calls_of,
    dtype_name,
    forward,
    gradients_of,
    listed_parameters,
    new_module,
    output_array,
    zeros_if_none,
)


def detach_norm(
    student: type[nn.Module],
    x: np.ndarray,
    normalized_shape: list[int],
    eps: float | None = None,
    detach_mean: bool | None = None,
    detach_std: bool | None = None,
    upstream: np.ndarray | None = None,
    look_at: str = "output",
) -> PlainValues:
    """Build `DetachNorm(normalized_shape, eps, detach_mean, detach_std)`, and use it.

    Args:
        student: the class.
        x: `(*, *normalized_shape)`, float32 or float64.
        normalized_shape: the lengths of the last dims, given as an int where it is one length.
        eps: the second argument; left to its default when None.
        detach_mean: the argument of this name; left to its default when None.
        detach_std: the argument of this name; left to its default when None.
        upstream: like x; the gradient of the loss with respect to the output.
        look_at: what to return, see `_look`.
    """
    options: dict[str, Any] = {
        "eps": eps,
        "detach_mean": detach_mean,
        "detach_std": detach_std,
    }
    return _look(student, x, normalized_shape, options, upstream, look_at)


def ada_norm(
    student: type[nn.Module],
    x: np.ndarray,
    normalized_shape: list[int],
    scale: float | None = None,
    k: float | None = None,
    eps: float | None = None,
    upstream: np.ndarray | None = None,
    look_at: str = "output",
) -> PlainValues:
    """Build `AdaNorm(normalized_shape, scale, k, eps)`, and use it.

    Args:
        student: the class.
        x: `(*, *normalized_shape)`, float32 or float64.
        normalized_shape: the lengths of the last dims, given as an int where it is one length.
        scale: the argument of this name, the paper's C; left to its default when None.
        k: the argument of this name; left to its default when None.
        eps: the argument of this name; left to its default when None.
        upstream: like x; the gradient of the loss with respect to the output.
        look_at: what to return, see `_look`.
    """
    options = {"scale": scale, "k": k, "eps": eps}
    return _look(student, x, normalized_shape, options, upstream, look_at)


def _look(
    student: type[nn.Module],
    x: np.ndarray,
    normalized_shape: list[int],
    options: dict[str, Any],
    upstream: np.ndarray | None,
    look_at: str,
) -> PlainValues:
    """Use a new module.

    Returns:
        By `look_at`:
        "output": the `output`, and whether a `built-in norm` was `called`;
        "gradient": the `output`, whether a `gradient reaches x`, and `dx`;
        "parameters": the `learnable parameters`, and the number of `entries of the state_dict`;
        "dtypes": the `dtype for float32 input` and for float64, and whether `x is unchanged`.
    """
    shape = normalized_shape[0] if len(normalized_shape) == 1 else tuple(normalized_shape)
    given_options = {name: value for name, value in options.items() if value is not None}
    with torch.enable_grad():  # which puts things back if the module switches autograd off
        module = new_module(student, shape, **given_options)
        return _used(module, torch.tensor(x), upstream, look_at)


def _used(
    module: nn.Module, given: torch.Tensor, upstream: np.ndarray | None, look_at: str
) -> PlainValues:
    if look_at == "parameters":
        forward(module, given)  # which may create some
        return {
            "learnable parameters": listed_parameters(module),
            "entries of the state_dict": len(module.state_dict()),
        }
    if look_at == "dtypes":
        found: PlainValues = {}
        unchanged = True
        for name in ("float32", "float64"):
            one = given.to(DTYPES[name])
            before = one.clone()
            found[f"dtype for {name} input"] = dtype_name(forward(module, one))
            unchanged &= torch.equal(one, before)
        return {**found, "x is unchanged": unchanged}
    if look_at == "output":
        with calls_of(*BUILT_IN_NORMS) as called:
            output = forward(module, given)
        return {"output": output_array(output), "built-in norm called": bool(called)}
    return _gradient(module, given, torch.tensor(upstream))


def _gradient(module: nn.Module, x: torch.Tensor, upstream: torch.Tensor) -> PlainValues:
    """The output and the gradient of the loss with respect to x, which is no leaf of the graph.

    As within a network: what changes x in place is no error then, but changes the gradient.
    """
    leaf = x.requires_grad_()
    output = forward(module, leaf * 1.0)
    left_on = torch.is_grad_enabled()
    values = output_array(output)
    if values.shape != tuple(upstream.shape):  # the loss would not tell what is wrong
        return {"output": values, "gradient reaches x": True, "dx": None}
    if not left_on:
        raise UnusableError(
            "After your `forward`, autograd is switched off, for everything that comes later too."
            " A block, `with torch.no_grad():`, switches it on again where the block ends."
        )
    [dx] = gradients_of((output * upstream).sum(), [leaf])
    return {
        "output": values,
        "gradient reaches x": dx is not None,
        "dx": zeros_if_none(dx, leaf),
    }
