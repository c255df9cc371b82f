"""The probes of exercise 5: RMSNorm as a PyTorch module, and its backward pass by hand."""

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
    FORMS,
    calls_of,
    device_of_output,
    dtype_name,
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


def rms_norm(
    student: type[nn.Module],
    x: np.ndarray,
    normalized_shape: list[int],
    form: str,
    dtype: str,
    scale: np.ndarray,
    eps: float | None = None,
    look_at: str = "output",
    parameter_dtype: str | None = None,
    upstream: np.ndarray | None = None,
    strided: bool = False,
) -> PlainValues:
    """Build `RMSNorm(normalized_shape, eps)`, set its scale, and use it.

    Args:
        student: the class.
        x: `(*, *normalized_shape)`.
        normalized_shape: the lengths of the last dims.
        form: how the class is given them: "int", "tuple", "list" or "Size".
        dtype: of x: "float16", "bfloat16", "float32" or "float64".
        scale: values for the scale, of `normalized_shape`.
        eps: the second argument; left to its default when None.
        look_at: what to return, see below.
        parameter_dtype: of the module; that of x when None.
        upstream: like x; the gradient of the loss with respect to the output.
        strided: pass x as a view that is not contiguous in memory.

    Returns:
        By `look_at`:
        "output": `output` and its `dtype`, `x is unchanged`, and `built-in norm called`;
        "dtypes": the dtype of the output for x and module of each dtype;
        "gradients": whether they reach x and the scale, and `dx` and `dscale`;
        "parameters": the `learnable parameters` and the `output` of a new module;
        "state_dict": names that differ from `nn.RMSNorm`'s, the `output` with its values, and
        whether `nn.RMSNorm` takes them back;
        "device": the `device` of the output after the module was moved.
    """
    shape = tuple(normalized_shape)
    shaped = FORMS[form](normalized_shape)
    module = new_module(student, shaped) if eps is None else new_module(student, shaped, eps)
    given = torch.tensor(x).to(DTYPES[dtype])
    if strided:
        given = given.transpose(0, -1).contiguous().transpose(0, -1)
    if look_at == "state_dict":
        theirs = nn.RMSNorm(shape)
        set_parameters([theirs.weight], [scale])
        return moved_to_and_fro(module, theirs, given)
    [weight] = parameters_by_start(
        module, {"scale": 1}, shape, torch.tensor(x, dtype=torch.float32)
    )
    if look_at == "parameters":
        return {
            "learnable parameters": listed_parameters(module),
            "output": output_array(forward(module, given)),
        }
    module.to(DTYPES[parameter_dtype or dtype])
    set_parameters([weight], [scale])
    if look_at == "dtypes":
        return dtypes_of_output(module, given)
    if look_at == "gradients":
        return _gradients(module, given, weight, torch.tensor(upstream).to(given))
    if look_at == "device":
        return {"device": device_of_output(module, given)}
    before = given.clone()
    with calls_of(*BUILT_IN_NORMS) as called:
        output = forward(module, given)
    return {
        "output": output_array(output),
        "dtype": dtype_name(output),
        "x is unchanged": torch.equal(given, before),
        "built-in norm called": bool(called),
    }


def rms_norm_backward(
    student: Callable[..., Any],
    dout: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    eps: float | None = None,
    strided: bool = False,
) -> PlainValues:
    """Call `rms_norm_backward(dout, x, weight, eps)`.

    Args:
        student: the function.
        dout: gradient of the loss with respect to the output, of the shape of x.
        x: `(..., features)`.
        weight: the scale, `(features,)`.
        eps: the fourth argument; left to its default when None.
        strided: pass dout and x as views that are not contiguous in memory.

    Returns:
        `dx` and `dweight`, and `dout`, `x` and `weight` as they are after the call.
    """
    if not callable(student) or isinstance(student, type | nn.Module):
        raise UnusableError(
            f"What was checked is {_kind(student)}; the function `rms_norm_backward` was expected."
        )
    given = [torch.tensor(array) for array in (dout, x, weight)]
    if strided:
        given[:2] = [one.transpose(0, -1).contiguous().transpose(0, -1) for one in given[:2]]
    options = () if eps is None else (eps,)
    used: list[str] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        used.append("autograd")
        return tensor

    # What autograd has saved on the way forward it unpacks on the way back, whoever calls it.
    with calls_of(*BUILT_IN_NORMS) as called:
        try:
            with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, note):
                returned = student(*given, *options)
        except RuntimeError as error:
            if "saved tensor hooks" not in str(error):
                raise
            used.append("torch.func")  # which does without hooks, and says so
    if used:
        raise UnusableError(
            "Autograd computed a gradient inside your function: a `backward()`, a"
            " `torch.autograd.grad` or a `torch.func` ran there. Here you write out what it would"
            " do. Use tensor operations only, and keep autograd to test the result."
        )
    if called:
        raise UnusableError(
            f"Your function calls a normalisation of PyTorch, `{called[0]}`. Write it out with"
            " `mean`, `sum` and the like."
        )
    dx, dweight = _pair(returned)
    return {
        "dx": dx,
        "dweight": dweight,
        **{
            name: as_array(tensor, f"`{name}` after the call")
            for name, tensor in zip(("dout", "x", "weight"), given, strict=True)
        },
    }


def _gradients(
    module: nn.Module, x: torch.Tensor, weight: nn.Parameter, upstream: torch.Tensor
) -> PlainValues:
    x.requires_grad_()
    leaves = {"x": x, "scale": weight}
    gradients = gradients_of((forward(module, x) * upstream).sum(), list(leaves.values()))
    dx, dscale = gradients
    return {
        "gradient reaches x": dx is not None,
        "gradient reaches the scale": dscale is not None,
        "dx": zeros_if_none(dx, x),
        "dscale": zeros_if_none(dscale, weight),
    }


def _pair(returned: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The two gradients, None for one that is still missing."""
    what = "What `rms_norm_backward` returned"
    wanted = "two tensors were expected: `return dx, dweight`."
    if returned is None or returned is NotImplemented or returned is Ellipsis:
        as_array(returned, what)  # has the words for a missing `return`, and for code not begun
    if not isinstance(returned, tuple | list):
        raise UnusableError(f"{what} is {_kind(returned)}; {wanted}")
    if len(returned) != 2:
        parts = f"{len(returned)} part{'s' * (len(returned) != 1)}"
        raise UnusableError(f"{what} has {parts}; {wanted}")
    dx, dweight = (
        _gradient(name, part) for name, part in zip(("dx", "dweight"), returned, strict=True)
    )
    return dx, dweight


def _gradient(name: str, part: Any) -> np.ndarray | None:
    if part is None:
        return None
    if not isinstance(part, torch.Tensor | int | float):  # 0 in the place of one is missing, too
        raise UnusableError(
            f"`{name}`, in what you returned, is {_kind(part)}; a torch tensor was expected."
        )
    return as_array(part, f"`{name}`, in what you returned,")


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"a class, `{value.__name__}`"
    if isinstance(value, torch.Tensor):
        return f"a single tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    return f"of type {type(value).__name__}"
