"""The probe of exercise 3: layer normalization as a PyTorch module."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from course.student.outcome import UnusableError
from course.student.plain import PlainValues
from course.student.torch_modules import (
    BUILT_IN_NORMS,
    DTYPES,
    calls_of,
    forward,
    gradients_of,
    new_module,
    output_array,
    zeros_if_none,
)

FORMS: dict[str, Callable[[list[int]], Any]] = {
    "int": lambda shape: shape[0],
    "tuple": tuple,
    "list": list,
    "Size": torch.Size,
}
# So that a tensor which `.to()` does not move cannot mix with the others, on any machine.
OTHER_DEVICE = "meta"


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
        return _moved_to_and_fro(module, given, scale, shift)
    parameters = _scale_and_shift(module, shape, torch.tensor(x, dtype=torch.float32))
    if look_at == "parameters":
        return {
            "learnable parameters": _listed(module),
            "output": output_array(forward(module, given)),
        }
    module.to(wanted)
    _set(parameters, (scale, shift))
    if look_at == "dtypes":
        return _dtypes(module, given)
    if look_at == "gradients":
        return _gradients(module, given, parameters, _like(given, upstream))
    if look_at == "second derivatives":
        return _second_derivatives(
            module, given, parameters, _like(given, upstream), _like(given, direction)
        )
    if look_at == "device":
        return {"device": _device_of_output(module, given)}
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


def _scale_and_shift(
    module: nn.Module, shape: tuple[int, ...], x: torch.Tensor
) -> tuple[nn.Parameter, nn.Parameter]:
    """Find the two parameters by their shape and starting values, whatever they are called."""
    parameters = list(module.parameters())
    if not parameters:
        raise UnusableError(_why_none(module, x))
    fitting = [parameter for parameter in parameters if tuple(parameter.shape) == shape]
    ones = [parameter for parameter in fitting if bool((parameter == 1).all())]
    zeros = [parameter for parameter in fitting if bool((parameter == 0).all())]
    if len(ones) != 1 or len(zeros) != 1:
        if (not ones or not zeros) and (
            unlearned := _unlearned(module, shape, start=0 if ones else 1)
        ):
            raise UnusableError(unlearned)
        raise UnusableError(
            f"A new module of yours has these learnable parameters: {_listed(module)}. Expected:"
            f" ones {shape} for the scale, zeros {shape} for the shift."
        )
    return ones[0], zeros[0]


def _unlearned(module: nn.Module, shape: tuple[int, ...], start: int) -> str:
    """A sentence on a tensor with the shape and start of a missing parameter, or nothing."""
    kept = [(name, value, "a plain tensor") for name, value in vars(module).items()]
    kept += [(name, value, "a buffer") for name, value in module.named_buffers()]
    for name, value, kind in kept:
        if (
            isinstance(value, torch.Tensor)
            and tuple(value.shape) == shape
            and bool((value == start).all())
        ):
            return (
                f"Only one of your two tensors is learned: `self.{name}` is {kind}, which an"
                f" optimizer never sees. Let `__init__` assign an `nn.Parameter(...)` to it."
            )
    return ""


def _why_none(module: nn.Module, x: torch.Tensor) -> str:
    """A sentence on a module without parameters."""
    values = list(vars(module).values())
    if any(isinstance(value, torch.Tensor) for value in values):
        return (
            "Your module has no learnable parameters: it keeps plain tensors. Wrap each in"
            " `nn.Parameter(...)` where `__init__` assigns it."
        )
    if any(True for _ in module.buffers()):
        return (
            "Your module has no learnable parameters: it keeps buffers, and an optimizer never"
            " sees those. Assign an `nn.Parameter(...)` to an attribute instead."
        )
    if any(isinstance(value, list | tuple | dict) and _holds_tensors(value) for value in values):
        return (
            "Your module has no learnable parameters: PyTorch does not look into a Python list,"
            " tuple or dict. Assign each parameter to an attribute of its own."
        )
    try:
        module(x)
    except NotImplementedError:
        raise
    except Exception:
        # Its error is shown once there are parameters; the lack of them comes first.
        return _NO_PARAMETERS
    if any(True for _ in module.parameters()):
        return (
            "Your module has no learnable parameters until `forward` has run, so an optimizer made"
            " before that misses them. Create them in `__init__`."
        )
    return _NO_PARAMETERS


_NO_PARAMETERS = (
    "Your module has no learnable parameters. Create a scale and a shift in `__init__`, each an"
    " `nn.Parameter(...)`."
)


def _holds_tensors(values: Any) -> bool:
    return any(
        isinstance(value, torch.Tensor)
        for value in (values.values() if isinstance(values, dict) else values)
    )


def _listed(module: nn.Module) -> str:
    """The module's parameters by starting value and shape, in an order free of their names."""
    return ", ".join(sorted(_in_words(parameter) for parameter in module.parameters())) or "none"


def _in_words(parameter: nn.Parameter) -> str:
    start = next(
        (name for name, value in (("ones", 1), ("zeros", 0)) if bool((parameter == value).all())),
        "other values",
    )
    dtype = str(parameter.dtype).removeprefix("torch.")
    return " ".join(
        [
            start,
            str(tuple(parameter.shape)),
            *([] if dtype == "float32" else [f"in {dtype}"]),
            *([] if parameter.requires_grad else ["without requires_grad"]),
        ]
    )


def _set(parameters: tuple[nn.Parameter, ...], values: tuple[np.ndarray, ...]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(torch.tensor(value))


def _like(x: torch.Tensor, values: np.ndarray | None) -> torch.Tensor:
    assert values is not None
    return torch.tensor(values).to(x)


def _dtypes(module: nn.Module, x: torch.Tensor) -> PlainValues:
    found: PlainValues = {}
    with calls_of(*BUILT_IN_NORMS) as called:
        for name, dtype in DTYPES.items():
            output = forward(module.to(dtype), x.to(dtype))
            found[f"dtype for {name} input"] = str(output.dtype).removeprefix("torch.")
    return {**found, "built-in norm called": bool(called)}


def _gradients(
    module: nn.Module,
    x: torch.Tensor,
    parameters: tuple[nn.Parameter, ...],
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
    parameters: tuple[nn.Parameter, ...],
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


def _moved_to_and_fro(
    module: nn.Module, x: torch.Tensor, scale: np.ndarray, shift: np.ndarray
) -> PlainValues:
    theirs = nn.LayerNorm(scale.shape)
    _set((theirs.weight, theirs.bias), (scale, shift))
    names, expected = set(module.state_dict()), set(theirs.state_dict())
    found: PlainValues = {
        "names missing from your state_dict": ", ".join(sorted(expected - names)) or "none",
        "other names in your state_dict": len(names - expected),
        "output": None,
        "nn.LayerNorm takes it back": False,
    }
    if names != expected:
        forward(module, x)  # so that a `forward` that is not written yet says so
        return found
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    if set(shapes.values()) != {scale.shape}:
        listed = ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
        raise UnusableError(
            f"Your state_dict has {listed}; in `nn.LayerNorm` both have the shape {scale.shape}."
        )
    module.load_state_dict(theirs.state_dict())
    found["output"] = output_array(forward(module, x))
    back = nn.LayerNorm(scale.shape)
    back.load_state_dict(module.state_dict())
    found["nn.LayerNorm takes it back"] = all(
        torch.equal(one, other)
        for one, other in zip(back.parameters(), theirs.parameters(), strict=True)
    )
    return found


def _device_of_output(module: nn.Module, x: torch.Tensor) -> str:
    forward(module, x)  # what fails here too has nothing to do with the device
    try:
        return str(forward(module.to(OTHER_DEVICE), x.to(OTHER_DEVICE)).device)
    except Exception as error:
        # On this device reading a value is a NotImplementedError, which would mean "not started".
        raise UnusableError(
            "Your module and x were moved to another device with `.to()` (PyTorch's meta device,"
            " which every machine has), and `forward` failed there."
            f" {type(error).__name__}: {error}"
        ) from error
