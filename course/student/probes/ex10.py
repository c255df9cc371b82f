"""The probes of exercise 10: layer normalization of images, text and time series."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    forward,
    gradients_of,
    new_module,
    output_array,
    zeros_if_none,
)


def image(
    student: type[nn.Module], x: np.ndarray, per_pixel: bool | None = None, **settings: Any
) -> PlainValues:
    """Build `ImageLayerNorm(num_channels, eps, per_pixel)` and use it.

    Args:
        student: the class.
        x: `(N, C, H, W)`.
        per_pixel: left to its default when None.
        settings: those of `_used`, with scale and shift of shape `(C,)`.

    Returns:
        What `_used` returns.
    """
    return _used(student, {"per_pixel": per_pixel}, x, x.shape[1], **settings)


def text(
    student: type[nn.Module],
    x: np.ndarray,
    mask: np.ndarray | None = None,
    per_sequence: bool | None = None,
    **settings: Any,
) -> PlainValues:
    """Build `TextLayerNorm(d_model, eps, per_sequence)` and use it.

    Args:
        student: the class.
        x: `(N, T, D)`.
        mask: `(N, T)`, bool or int; True or 1 for a real token. None calls forward without it.
        per_sequence: left to its default when None.
        settings: those of `_used`, with scale and shift of shape `(D,)`.

    Returns:
        What `_used` returns.
    """
    more = () if mask is None else (torch.tensor(mask),)
    return _used(student, {"per_sequence": per_sequence}, x, x.shape[2], *more, **settings)


def time_series(
    student: type[nn.Module], x: np.ndarray, over_time: bool | None = None, **settings: Any
) -> PlainValues:
    """Build `TimeSeriesLayerNorm(num_features, eps, over_time)` and use it.

    Args:
        student: the class.
        x: `(N, T, F)`.
        over_time: left to its default when None.
        settings: those of `_used`, with scale and shift of shape `(F,)`.

    Returns:
        What `_used` returns.
    """
    return _used(student, {"over_time": over_time}, x, x.shape[2], **settings)


def _used(
    student: type[nn.Module],
    mode: dict[str, bool | None],
    x: np.ndarray,
    count: int,
    *more: torch.Tensor,
    scale: np.ndarray,
    shift: np.ndarray,
    dtype: str = "float32",
    eps: float | None = None,
    look_at: str = "output",
    upstream: np.ndarray | None = None,
    earlier: np.ndarray | None = None,
) -> PlainValues:
    """Build a module, set its scale and shift, and use it.

    Args:
        student: the class.
        mode: the argument that asks for the second mode, by its name; None for its default.
        x: the input.
        count: the first argument of the class; the scale and the shift have as many numbers.
        more: what `forward` gets beside x.
        scale: values for the scale, `(count,)`.
        shift: values for the shift, `(count,)`.
        dtype: of the module and of x, a name in `DTYPES`.
        eps: left to its default when None.
        look_at: what to return, see below.
        upstream: like x; the gradient of the loss with respect to the output.
        earlier: an input that the module sees before x, of any size but in `count`.

    Returns:
        By `look_at`:
        "output": `output`, `dtype of the output` and `x is unchanged`;
        "output and calls": these, and `built-in norm called`, which takes longer;
        "gradients": `output`, whether gradients reach x, scale and shift, `dx`, `dscale`,
        `dshift`;
        "parameters": the `learnable parameters` and the `output` of a new module.
    """
    settings = {name: v for name, v in ({"eps": eps} | mode).items() if v is not None}
    with _arguments_explained(student, "Your class", count, **settings):
        module = new_module(student, count, **settings)
    tensor = torch.tensor(x).to(DTYPES[dtype])
    with _arguments_explained(module.forward, "Your `forward`", tensor, *more):
        parameters = _scale_and_shift(module, count, torch.tensor(x), *more)
        if look_at == "parameters":
            return {
                "learnable parameters": _listed(module),
                "output": output_array(forward(module, tensor, *more)),
            }
        module.to(tensor.dtype)
        with torch.no_grad():
            for parameter, values in zip(parameters, (scale, shift), strict=True):
                parameter.copy_(torch.tensor(values).reshape(parameter.shape))
        if earlier is not None:
            forward(module, torch.tensor(earlier).to(tensor))
        if look_at == "gradients":
            assert upstream is not None
            return _gradients(module, tensor, more, parameters, torch.tensor(upstream).to(tensor))
        if look_at == "output":
            return _outputs(module, tensor, more)
        with calls_of(*BUILT_IN_NORMS) as called:
            found = _outputs(module, tensor, more)
        return found | {"built-in norm called": bool(called)}


def _outputs(module: nn.Module, x: torch.Tensor, more: tuple[torch.Tensor, ...]) -> PlainValues:
    before = x.clone()
    output = forward(module, x, *more)
    return {
        "output": output_array(output),
        "dtype of the output": str(output.dtype).removeprefix("torch."),
        # What padding holds may be NaN, which equals nothing.
        "x is unchanged": torch.equal(x.nan_to_num(), before.nan_to_num()),
    }


@contextmanager
def _arguments_explained(
    called: Callable[..., Any], what: str, *args: Any, **kwargs: Any
) -> Iterator[None]:
    """Run a block that calls something of the student's; say so if these arguments do not fit."""
    try:
        yield
    except TypeError as error:
        try:
            inspect.signature(called).bind(*args, **kwargs)
        except TypeError as misfit:
            shown = [_short(value) for value in args]
            shown += [f"{name}={value}" for name, value in kwargs.items()]
            raise UnusableError(
                f"{what} was called with ({', '.join(shown)}), and its arguments do not fit:"
                f" {misfit}. Compare them with those in the notebook."
            ) from error
        raise


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return str(value)


def _scale_and_shift(
    module: nn.Module, count: int, *inputs: torch.Tensor
) -> tuple[nn.Parameter, nn.Parameter]:
    """Find the two parameters by their size and starting values, whatever they are called.

    A scale of C channels may have the shape (C,), (C, 1, 1) or (1, C, 1, 1).
    """
    fitting = [p for p in module.parameters() if max(p.shape, default=1) == p.numel() == count]
    ones = [parameter for parameter in fitting if bool((parameter == 1).all())]
    zeros = [parameter for parameter in fitting if bool((parameter == 0).all())]
    if len(ones) != 1 or len(zeros) != 1:
        before = _listed(module)
        raise UnusableError(
            f"A new module of yours, made for {count}, has these learnable parameters: {before}."
            f" Expected: {count} ones for the scale and {count} zeros for the shift. "
            + (
                "Yours appear only when `forward` runs, so an optimizer made before that misses"
                " them: create them in `__init__`."
                if before == "none" and _has_some_after(module, *inputs)
                else "Each is an `nn.Parameter(...)` that `__init__` assigns to an attribute."
            )
        )
    return ones[0], zeros[0]


def _has_some_after(module: nn.Module, *inputs: torch.Tensor) -> bool:
    try:
        module(*inputs)
    except NotImplementedError:
        raise
    except Exception:
        # Its error is shown once there are parameters; the lack of them comes first.
        return False
    return any(True for _ in module.parameters())


def _listed(module: nn.Module) -> str:
    """The module's parameters by number and starting value, in an order free of their names."""
    return ", ".join(sorted(_in_words(parameter) for parameter in module.parameters())) or "none"


def _in_words(parameter: nn.Parameter) -> str:
    start = next(
        (name for name, value in (("ones", 1), ("zeros", 0)) if bool((parameter == value).all())),
        "other values",
    )
    long = [n for n in parameter.shape if n > 1]
    size = str(parameter.numel()) if len(long) <= 1 else " x ".join(map(str, parameter.shape))
    return f"{size} {start}{'' if parameter.requires_grad else ' without requires_grad'}"


def _gradients(
    module: nn.Module,
    x: torch.Tensor,
    more: tuple[torch.Tensor, ...],
    parameters: tuple[nn.Parameter, ...],
    upstream: torch.Tensor,
) -> PlainValues:
    x.requires_grad_()
    leaves = {"x": x, "scale": parameters[0], "shift": parameters[1]}
    output = forward(module, x, *more)
    # An output of another shape has no gradients to compare, and is told by its shape.
    loss = (output * upstream).sum() if output.shape == x.shape else output.sum()
    found: PlainValues = {"output": output_array(output)}
    gradients = gradients_of(loss, list(leaves.values()))
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        found[f"gradient reaches {name if name == 'x' else f'the {name}'}"] = gradient is not None
        values = zeros_if_none(gradient, leaf)
        found[f"d{name}"] = values if name == "x" else values.reshape(-1)
    return found
