"""The probes of further challenge 1: layer normalization over any set of dims."""

from collections.abc import Callable, Sequence
from functools import partial
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
    dtype_name,
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

STARTS = {"scale": 1, "shift": 0}


def layer_norm_over_dims(
    student: Callable[..., torch.Tensor],
    x: np.ndarray,
    dims: int | list[int],
    dtype: str = "float32",
    eps: float | None = None,
    look_at: str = "output",
    upstream: np.ndarray | None = None,
    strided: bool = False,
    form: str = "tuple",
) -> PlainValues:
    """Call `layer_norm_over_dims(x, dims, eps)`.

    Args:
        student: the function.
        x: of any shape.
        dims: which dims share a mean.
        dtype: of x, a name in `DTYPES`.
        eps: left to its default when None.
        look_at: what to return, see below.
        upstream: like x; the gradient of the loss with respect to the output.
        strided: pass x as a view that is not contiguous in memory.
        form: what the function is given where `dims` is a list: "tuple" or "list".

    Returns:
        By `look_at`:
        "output": `output`, `dtype of the output`, `x is unchanged`, `built-in norm called`;
        "gradient": `output`, `gradient reaches x` and `dx`;
        "errors": the kind of error for each of several dims that cannot be, whatever `dims` is.
    """
    given = _tensor(x, dtype, strided)
    arguments = (_in_form(dims, form), *(() if eps is None else (eps,)))
    if look_at == "errors":
        _returned(student(given, *arguments))  # whether it is written, and does what it can
        return _errors(student, given)
    if look_at == "gradient":
        given.requires_grad_()
        output = _returned(student(given, *arguments))
        loss = (output * torch.tensor(upstream).to(given)).sum()
        (dx,) = gradients_of(loss, [given])
        return {
            "output": as_array(output, "The result"),
            "gradient reaches x": dx is not None,
            "dx": zeros_if_none(dx, given),
        }
    before = given.clone()
    with calls_of(*BUILT_IN_NORMS) as called:
        output = _returned(student(given, *arguments))
    return {
        "output": as_array(output, "The result"),
        "dtype of the output": dtype_name(output),
        "x is unchanged": torch.equal(given, before),
        "built-in norm called": bool(called),
    }


def module(
    student: type[nn.Module],
    x: np.ndarray,
    shape: int | list[int],
    dims: int | list[int],
    scale: np.ndarray,
    shift: np.ndarray,
    dtype: str = "float32",
    eps: float | None = None,
    look_at: str = "output",
    upstream: np.ndarray | None = None,
    earlier: np.ndarray | None = None,
    strided: bool = False,
    form: str = "tuple",
) -> PlainValues:
    """Build `MultiDimLayerNorm(shape, dims, eps)`, set its parameters, and use it.

    Args:
        student: the class.
        x: of any shape that has the lengths `shape` along `dims`.
        shape: the lengths of these dims, an int or a list.
        dims: the dims that are normalised, an int or a list.
        scale: values for the scale, of shape `shape`.
        shift: values for the shift, of shape `shape`.
        dtype: of the module and of x, a name in `DTYPES`.
        eps: left to its default when None.
        look_at: what to return, see below.
        upstream: like x; the gradient of the loss with respect to the output.
        earlier: an input that the same module sees before x.
        strided: pass x as a view that is not contiguous in memory.
        form: what the class is given where these are lists: "tuple" or "list".

    Returns:
        By `look_at`:
        "output": `output`, `dtype of the output`, `x is unchanged`, `built-in norm called`;
        "gradients": whether they reach x, scale and shift, and `dx`, `dscale`, `dshift`;
        "state_dict": the `learnable parameters` of a new module, the names that differ from
        `nn.LayerNorm`'s, the `output` with its values, and whether it takes them back;
        "errors": the kind of error for arguments and inputs that do not fit each other.
    """
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    arguments = (_in_form(shape, form), _in_form(dims, form), *(() if eps is None else (eps,)))
    layer = new_module(student, *arguments)
    given = _tensor(x, dtype, strided)
    if look_at == "state_dict":
        theirs = nn.LayerNorm(lengths)
        set_parameters((theirs.weight, theirs.bias), (scale, shift))
        listed: PlainValues = {"learnable parameters": listed_parameters(layer)}
        return listed | moved_to_and_fro(layer, theirs, given)
    parameters = parameters_by_start(layer, STARTS, lengths, given.float())
    layer.to(given.dtype)
    set_parameters(parameters, (scale, shift))
    if earlier is not None:
        forward(layer, torch.tensor(earlier).to(given))
    if look_at == "errors":
        forward(layer, given)  # whether it is written, and does what it can
        return _errors_of_module(student, layer, given, arguments)
    if look_at == "gradients":
        given.requires_grad_()
        loss = (forward(layer, given) * torch.tensor(upstream).to(given)).sum()
        leaves = {"x": given, "scale": parameters[0], "shift": parameters[1]}
        found: PlainValues = {}
        for (name, leaf), gradient in zip(
            leaves.items(), gradients_of(loss, list(leaves.values())), strict=True
        ):
            where = "x" if name == "x" else f"the {name}"
            found[f"gradient reaches {where}"] = gradient is not None
            found[f"d{name}"] = zeros_if_none(gradient, leaf)
        return found
    before = given.clone()
    with calls_of(*BUILT_IN_NORMS) as called:
        output = forward(layer, given)
    return {
        "output": output_array(output),
        "dtype of the output": dtype_name(output),
        "x is unchanged": torch.equal(given, before),
        "built-in norm called": bool(called),
    }


def _in_form(value: int | list[int], form: str) -> int | Sequence[int]:
    return value if isinstance(value, int) or form == "list" else tuple(value)


def _tensor(x: np.ndarray, dtype: str, strided: bool) -> torch.Tensor:
    tensor = torch.tensor(x).to(DTYPES[dtype])
    return tensor.transpose(0, -1).contiguous().transpose(0, -1) if strided else tensor


def _returned(value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        as_array(value, "What `layer_norm_over_dims` returned")  # None has a message of its own
        raise UnusableError(
            f"What `layer_norm_over_dims` returned is of type {type(value).__name__}; a torch"
            " tensor was expected."
        )
    return value


def _kind_of_error(call: Callable[[], Any]) -> str:
    try:
        call()
    except NotImplementedError:
        raise
    except Exception as error:
        words = "" if str(error).strip() else " without a message"
        return f"{type(error).__name__}{words}"
    return "no error"


def _errors(student: Callable[..., torch.Tensor], x: torch.Tensor) -> PlainValues:
    rank = x.dim()
    impossible: list[tuple[int, ...]] = [(0, rank), (-rank - 1,), (1, 1), (1, 1 - rank), ()]
    return {
        f"error for dims={dims}": _kind_of_error(partial(student, x, dims)) for dims in impossible
    }


def _errors_of_module(
    student: type[nn.Module], layer: nn.Module, x: torch.Tensor, arguments: tuple[Any, ...]
) -> PlainValues:
    """What happens where two lengths are given for one dim, and where x has another length."""
    shape, (dim,) = arguments[:2]
    return {
        "error for two lengths and one dim": _kind_of_error(lambda: student((*shape, 2), (dim,))),
        "error for an x of another length": _kind_of_error(
            lambda: layer(torch.cat([x, x], dim=dim))
        ),
        "error for an x of length 1": _kind_of_error(lambda: layer(x.narrow(dim, 0, 1))),
    }
