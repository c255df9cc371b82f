"""The probe of exercise 3: layer normalization as a PyTorch module."""

from typing import Any

import numpy as np
import torch
from torch import nn

from course.student.plain import PlainValues
from course.student.ready_made import BUILT_IN_NORMS
from course.student.torch_modules import (
    DTYPES,
    FORMS,
    calls_of,
    device_of_output,
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


def custom_layer_norm(
    student: type[nn.Module],
    x: np.ndarray,
    normalized_shape: list[int],
    form: str,
    dtype: str,
    scale: np.ndarray,
    shift: np.ndarray,
    eps: float | None = None,
    look_at: str = "output",
    upstream: np.ndarray | None = None,
    direction: np.ndarray | None = None,
    earlier: np.ndarray | None = None,
    strided: bool = False,
) -> PlainValues:
    """Build `CustomLayerNorm(normalized_shape, eps)`, set its parameters, and use it.

    Args:
        student: the class.
        x: `(*, *normalized_shape)`.
        normalized_shape: the lengths of the last dims.
        form: how the class is given them: "int", "tuple", "list" or "Size".
        dtype: of the module and of x: "float16", "bfloat16", "float32" or "float64".
        scale: values for the scale, of `normalized_shape`.
        shift: values for the shift, of `normalized_shape`.
        eps: the second argument; left to its default when None.
        look_at: what to return, see below.
        upstream: like x; the gradient of the loss with respect to the output.
        direction: like x; the weights of dx in the sum that is differentiated again.
        earlier: like x; what the module saw in training mode before x in evaluation mode.
        strided: pass x as a view that is not contiguous in memory.

    Returns:
        By `look_at`:
        "output": `output`, `x is unchanged`, and `built-in norm called`;
        "dtypes": the dtype of the output for x and module of each dtype, `built-in norm called`;
        "gradients": whether they reach x, scale and shift, and `dx`, `dscale`, `dshift`;
        "second derivatives": `d2x` and `d2scale`, the gradients of sum(direction * dx);
        "parameters": the `learnable parameters` and the `output` of a new module;
        "state_dict": names that differ from `nn.LayerNorm`'s, the `output` with its values, and
        whether `nn.LayerNorm` takes them back;
        "device": the `device` of the output after the module was moved;
        "evaluation": `output` in evaluation mode, after another batch in training mode.
    """
    shape = tuple(normalized_shape)
    module = _new(student, FORMS[form](normalized_shape), eps)
    wanted = DTYPES[dtype]
    given = torch.tensor(x).to(wanted)
    if strided:
        given = given.transpose(0, -1).contiguous().transpose(0, -1)
    if look_at == "state_dict":
        theirs = nn.LayerNorm(shape)
        set_parameters((theirs.weight, theirs.bias), (scale, shift))
        return moved_to_and_fro(module, theirs, given)
    starts = {"scale": 1, "shift": 0}
    parameters = parameters_by_start(module, starts, shape, torch.tensor(x, dtype=torch.float32))
    if look_at == "parameters":
        return {
            "learnable parameters": listed_parameters(module),
            "output": output_array(forward(module, given)),
        }
    module.to(wanted)
    set_parameters(parameters, (scale, shift))
    if look_at == "dtypes":
        with calls_of(*BUILT_IN_NORMS) as called:
            dtypes = dtypes_of_output(module, given)
        return {**dtypes, "built-in norm called": bool(called)}
    if look_at == "gradients":
        return _gradients(module, given, parameters, _like(given, upstream))
    if look_at == "second derivatives":
        return _second_derivatives(
            module, given, parameters, _like(given, upstream), _like(given, direction)
        )
    if look_at == "device":
        return {"device": device_of_output(module, given)}
    if look_at == "evaluation":
        module.train()
        forward(module, _like(given, earlier))
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


def _new(student: type[nn.Module], normalized_shape: Any, eps: float | None) -> nn.Module:
    arguments = (normalized_shape,) if eps is None else (normalized_shape, eps)
    return new_module(student, *arguments)


def _like(x: torch.Tensor, values: np.ndarray | None) -> torch.Tensor:
    assert values is not None
    return torch.tensor(values).to(x)


def _gradients(
    module: nn.Module,
    x: torch.Tensor,
    parameters: list[nn.Parameter],
    upstream: torch.Tensor,
) -> PlainValues:
    x.requires_grad_()
    leaves = {"x": x, "scale": parameters[0], "shift": parameters[1]}
    gradients = gradients_of((forward(module, x) * upstream).sum(), list(leaves.values()))
    reached: PlainValues = {
        f"gradient reaches the {name}" if name != "x" else "gradient reaches x": g is not None
        for name, g in zip(leaves, gradients, strict=True)
    }
    return reached | {
        f"d{name}": zeros_if_none(gradient, leaf)
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)
    }


def _second_derivatives(
    module: nn.Module,
    x: torch.Tensor,
    parameters: list[nn.Parameter],
    upstream: torch.Tensor,
    direction: torch.Tensor,
) -> PlainValues:
    x.requires_grad_()
    loss = (forward(module, x) * upstream).sum()
    (dx,) = gradients_of(loss, [x], create_graph=True)
    leaves = [x, parameters[0]]
    second = [None, None] if dx is None else gradients_of((dx * direction).sum(), leaves)
    return {
        name: zeros_if_none(gradient, leaf)
        for name, gradient, leaf in zip(("d2x", "d2scale"), second, leaves, strict=True)
    }
