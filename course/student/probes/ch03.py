"""The probes of challenge C3: statistics of groups of channels, and group normalization."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from course.student.outcome import UnusableError, as_array
from course.student.plain import PlainValues
from course.student.ready_made import BUILT_IN_NORMS
from course.student.torch_modules import (
    DTYPES,
    calls_of,
    dtypes_of_output,
    forward,
    gradients_of,
    listed_parameters,
    moved_to_and_fro,
    new_module,
    output_array,
    parameters_by_start,
    set_parameters,
    zeros_if_none,
)


def group_statistics(
    student: Callable[..., Any], x: np.ndarray, num_groups: int, channels_last: bool = False
) -> PlainValues:
    """Call `group_statistics(x, num_groups)`.

    Args:
        student: the function.
        x: `(N, C, *)`.
        num_groups: a divisor of C.
        channels_last: pass x as a view of memory in which the channels come last.

    Returns:
        `mean` and `var`, and whether `x is unchanged`.
    """
    if not callable(student) or isinstance(student, type | nn.Module):
        raise UnusableError(
            f"What was checked is {_kind(student)}; the function `group_statistics` was expected."
        )
    given = _given(x, torch.float32, channels_last)
    before = given.clone()
    returned = student(given, num_groups)
    what = "What `group_statistics` returned"
    wanted = "two tensors were expected: `return mean, var`."
    if returned is None or returned is NotImplemented or returned is Ellipsis:
        as_array(returned, what)  # has the words for a missing `return`, and for code not begun
    if not isinstance(returned, tuple | list):
        raise UnusableError(f"{what} is {_kind(returned)}; {wanted}")
    if len(returned) != 2:
        raise UnusableError(f"{what} has length {len(returned)}; {wanted}")
    for name, part in zip(("mean", "var"), returned, strict=True):
        if not isinstance(part, torch.Tensor):
            raise UnusableError(
                f"`{name}`, in what you returned, is {_kind(part)}; a torch tensor was expected."
            )
    mean, var = (
        as_array(part, f"`{name}`, in what you returned,")
        for name, part in zip(("mean", "var"), returned, strict=True)
    )
    return {"mean": mean, "var": var, "x is unchanged": torch.equal(given, before)}


def group_norm(
    student: type[nn.Module],
    x: np.ndarray,
    num_groups: int,
    dtype: str = "float32",
    scale: np.ndarray | None = None,
    shift: np.ndarray | None = None,
    eps: float | None = None,
    look_at: str = "output",
    upstream: np.ndarray | None = None,
    earlier: np.ndarray | None = None,
    channels_last: bool = False,
) -> PlainValues:
    """Build `GroupNorm(num_groups, num_channels, eps)` for the channels of x, and use it.

    Args:
        student: the class.
        x: `(N, C, *)`.
        num_groups: the first argument; a divisor of C, but where it is refused.
        dtype: of the module and of x: "float16", "bfloat16", "float32" or "float64".
        scale: values for the scale, `(C,)`; when None, both parameters are left as they start.
        shift: values for the shift, `(C,)`.
        eps: the third argument; left to its default when None.
        look_at: what to return, see below.
        upstream: like x; the gradient of the loss with respect to the output.
        earlier: like x; what the module saw in training mode before x in evaluation mode.
        channels_last: pass x as a view of memory in which the channels come last.

    Returns:
        By `look_at`:
        "output": `output`, `x is unchanged`, and `built-in norm called`;
        "dtypes": the dtype of the output for x and module of each dtype;
        "gradients": whether they reach x, scale and shift, and `dx`, `dscale`, `dshift`;
        "parameters": the `learnable parameters` of a new module;
        "state_dict": names that differ from `nn.GroupNorm`'s, the `output` with its values, and
        whether `nn.GroupNorm` takes them back;
        "refusal": the kind of `error when built`, and whether `its message gives both numbers`;
        "evaluation": `output` in evaluation mode, after another batch in training mode.
    """
    channels = x.shape[1]
    if look_at == "refusal":
        return _refusal(student, num_groups, channels)
    options = () if eps is None else (eps,)
    module = new_module(student, num_groups, channels, *options)
    given = _given(x, DTYPES[dtype], channels_last)
    if look_at == "state_dict":
        theirs = nn.GroupNorm(num_groups, channels)
        set_parameters([theirs.weight, theirs.bias], [_there(scale), _there(shift)])
        return moved_to_and_fro(module, theirs, given)
    parameters = []
    if scale is not None or look_at == "parameters":
        starts = {"scale": 1, "shift": 0}
        parameters = parameters_by_start(module, starts, (channels,), given.float())
    if look_at == "parameters":
        forward(module, given)  # so that a `forward` that is not written yet says so
        return {"learnable parameters": listed_parameters(module)}
    module.to(DTYPES[dtype])
    if parameters:
        set_parameters(parameters, [_there(scale), _there(shift)])
    if look_at == "dtypes":
        return dtypes_of_output(module, given)
    if look_at == "gradients":
        return _gradients(module, given, parameters, torch.tensor(upstream).to(given))
    if look_at == "evaluation":
        module.train()
        forward(module, torch.tensor(earlier).to(given))
        module.eval()
        return {"output": output_array(forward(module, given))}
    before = given.clone()
    with calls_of(*BUILT_IN_NORMS) as called:
        output = forward(module, given)
    return {
        "output": output_array(output),
        "x is unchanged": torch.equal(given, before),
        "built-in norm called": bool(called),
    }


def _given(x: np.ndarray, dtype: torch.dtype, channels_last: bool) -> torch.Tensor:
    given = torch.tensor(x).to(dtype)
    return given.movedim(1, -1).contiguous().movedim(-1, 1) if channels_last else given


def _there(values: np.ndarray | None) -> np.ndarray:
    assert values is not None
    return values


def _refusal(student: type[nn.Module], num_groups: int, channels: int) -> PlainValues:
    kind, message = "none", ""
    try:
        new_module(student, num_groups, channels)
    except (NotImplementedError, UnusableError):
        raise
    except Exception as error:
        kind, message = type(error).__name__, str(error)
    numbers = set(re.findall(r"\d+", message))
    return {
        "error when built": kind,
        "its message gives both numbers": {str(num_groups), str(channels)} <= numbers,
    }


def _gradients(
    module: nn.Module, x: torch.Tensor, parameters: list[nn.Parameter], upstream: torch.Tensor
) -> PlainValues:
    x.requires_grad_()
    leaves = {"x": x, "scale": parameters[0], "shift": parameters[1]}
    gradients = gradients_of((forward(module, x) * upstream).sum(), list(leaves.values()))
    reached: PlainValues = {
        f"gradient reaches {'x' if name == 'x' else f'the {name}'}": gradient is not None
        for name, gradient in zip(leaves, gradients, strict=True)
    }
    return reached | {
        f"d{name}": zeros_if_none(gradient, leaf)
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)
    }


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"a class, `{value.__name__}`"
    if isinstance(value, torch.Tensor):
        return f"a single tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    return f"of type {type(value).__name__}"
