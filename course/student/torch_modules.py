"""A student's `nn.Module` in a probe: build it, call it, and watch what it does."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from course.student.outcome import UnusableError, as_array
from course.student.plain import PlainValues

# The networks of this course are small. On a machine that does something else too, threads that
# share such work wait for each other, and a minute of training becomes five.
torch.set_num_threads(1)

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
# The forms in which a module may be given a `normalized_shape`.
FORMS: dict[str, Callable[[list[int]], Any]] = {
    "int": lambda shape: shape[0],
    "tuple": tuple,
    "list": list,
    "Size": torch.Size,
}
# So that a tensor which `.to()` does not move cannot mix with the others, on any machine.
OTHER_DEVICE = "meta"
# How a message names what a parameter starts at.
STARTS = {0: "zeros", 1: "ones"}


def new_module(student: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """Build a module of the student's class.

    Raises:
        UnusableError: it is not a class that inherits from `nn.Module`.
    """
    if not (isinstance(student, type) and issubclass(student, nn.Module)):
        given = (
            "a module that is already built"
            if isinstance(student, nn.Module)
            else f"of type {type(student).__name__}"
        )
        raise UnusableError(
            f"What was checked is {given}; a class that inherits from `nn.Module` was expected."
            " Pass the class itself, without brackets behind its name."
        )
    return student(*args, **kwargs)


def forward(module: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
    """Call a module.

    Raises:
        UnusableError: it does not return a tensor.
    """
    output = module(*args, **kwargs)
    if output is None or output is NotImplemented or output is Ellipsis:
        output_array(output)  # these have a message of their own
    if not isinstance(output, torch.Tensor):
        raise UnusableError(
            f"What `forward` returned is of type {type(output).__name__}; a torch tensor was"
            " expected."
        )
    return output


def output_array(output: Any) -> np.ndarray:
    """What a module returned as a plain array."""
    return as_array(output, "What `forward` returned")


def gradients_of(
    loss: torch.Tensor, leaves: Sequence[torch.Tensor], create_graph: bool = False
) -> list[torch.Tensor | None]:
    """The gradients of a scalar, None for what it does not depend on."""
    open_leaves = [leaf for leaf in leaves if leaf.requires_grad]
    if not (loss.requires_grad and open_leaves):
        return [None] * len(leaves)
    gradients = iter(
        torch.autograd.grad(loss, open_leaves, allow_unused=True, create_graph=create_graph)
    )
    return [next(gradients) if leaf.requires_grad else None for leaf in leaves]


def zeros_if_none(gradient: torch.Tensor | None, leaf: torch.Tensor) -> np.ndarray:
    """A gradient as a plain array, of zeros where there is none."""
    return as_array(torch.zeros_like(leaf) if gradient is None else gradient, "A gradient")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block from a seed of PyTorch's random numbers, and leave them as they were."""
    with torch.random.fork_rng(devices=[]):
        # Not `torch.manual_seed`, which seeds every GPU too, and nobody would set those back. Where
        # there is none it takes a millisecond to remember, with a traceback, to do so later.
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def calls_of(*names: str) -> Iterator[list[str]]:
    """Collect the names of PyTorch's functions that run in the block and contain one of `names`.

    Both modes are needed: `F.rms_norm` is taken apart before operations are dispatched, and
    what was traced by `torch.jit` calls no Python function.
    """
    called: list[str] = []

    def note(name: str) -> None:
        if any(part in name for part in names):
            called.append(name)

    class Functions(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            note(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    class Operations(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            note(str(func))
            return func(*args, **(kwargs or {}))

    with Functions(), Operations():
        yield called


def parameters_by_start(
    module: nn.Module, starts: Mapping[str, int], shape: tuple[int, ...], x: torch.Tensor
) -> list[nn.Parameter]:
    """Find a new module's parameters by shape and starting value, whatever they are called.

    Args:
        module: as it was built.
        starts: 0 or 1, the value each parameter starts at, by what it is: "scale" or "shift".
        shape: of each of them.
        x: an input, for a module that creates its parameters in `forward`.

    Returns:
        The parameters, in the order of `starts`. The module may have others.

    Raises:
        UnusableError: one is missing, or cannot be told from another.
    """
    parameters = list(module.parameters())
    if not parameters:
        raise UnusableError(_why_none(module, tuple(starts), x))
    fitting = [parameter for parameter in parameters if tuple(parameter.shape) == shape]
    found = {
        name: [parameter for parameter in fitting if bool((parameter == start).all())]
        for name, start in starts.items()
    }
    if all(len(candidates) == 1 for candidates in found.values()):
        return [candidates[0] for candidates in found.values()]
    for name, candidates in found.items():
        if not candidates and (unlearned := _unlearned(module, shape, starts[name])):
            raise UnusableError(unlearned)
    expected = ", ".join(
        f"{STARTS[start]} {shape} for the {name}" for name, start in starts.items()
    )
    raise UnusableError(
        f"A new module of yours has these learnable parameters: {listed_parameters(module)}."
        f" Expected: {expected}."
    )


def listed_parameters(module: nn.Module) -> str:
    """The module's parameters by starting value and shape, in an order free of their names."""
    return ", ".join(sorted(_in_words(parameter) for parameter in module.parameters())) or "none"


def set_parameters(parameters: Sequence[nn.Parameter], values: Sequence[np.ndarray]) -> None:
    """Give parameters their values, rounded to their dtypes."""
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(torch.tensor(value))


def dtypes_of_output(module: nn.Module, x: torch.Tensor) -> PlainValues:
    """The dtype of the output for x and module of each dtype; leaves the module in the last."""
    return {
        f"dtype for {name} input": dtype_name(forward(module.to(dtype), x.to(dtype)))
        for name, dtype in DTYPES.items()
    }


def dtype_name(tensor: torch.Tensor) -> str:
    """A tensor's dtype as PyTorch's users write it, such as "float16"."""
    return str(tensor.dtype).removeprefix("torch.")


def moved_to_and_fro(module: nn.Module, theirs: nn.Module, x: torch.Tensor) -> PlainValues:
    """Move the values of PyTorch's own module into the student's with a `state_dict`, and back.

    Args:
        module: the student's.
        theirs: PyTorch's, whose parameters all have one shape.
        x: an input.

    Returns:
        The names that differ, the `output` with the values moved, and whether PyTorch's module
        takes them back.
    """
    kind = f"nn.{type(theirs).__name__}"
    values = theirs.state_dict()
    shape = tuple(next(iter(values.values())).shape)
    names, expected = set(module.state_dict()), set(values)
    found: PlainValues = {
        "names missing from your state_dict": ", ".join(sorted(expected - names)) or "none",
        "other names in your state_dict": len(names - expected),
        "output": None,
        f"{kind} takes it back": False,
    }
    if names != expected:
        forward(module, x)  # so that a `forward` that is not written yet says so
        return found
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    if set(shapes.values()) != {shape}:
        listed = ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
        both = "both have" if len(expected) == 2 else "it has"
        raise UnusableError(f"Your state_dict has {listed}; in `{kind}` {both} the shape {shape}.")
    module.load_state_dict(values)
    found["output"] = output_array(forward(module, x))
    back = copy.deepcopy(theirs)  # built with other arguments than its shape, if it is a group norm
    back.load_state_dict(module.state_dict())
    found[f"{kind} takes it back"] = all(
        torch.equal(value, values[name]) for name, value in back.state_dict().items()
    )
    return found


def device_of_output(module: nn.Module, x: torch.Tensor) -> str:
    """The device of the output after the module and x were moved to another one.

    Raises:
        UnusableError: `forward` failed there.
    """
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


def _why_none(module: nn.Module, names: tuple[str, ...], x: torch.Tensor) -> str:
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
        return _no_parameters(names)
    if any(True for _ in module.parameters()):
        return (
            "Your module has no learnable parameters until `forward` has run, so an optimizer made"
            " before that misses them. Create them in `__init__`."
        )
    return _no_parameters(names)


def _no_parameters(names: tuple[str, ...]) -> str:
    wanted = " and ".join(f"a {name}" for name in names)
    return (
        f"Your module has no learnable parameters. Create {wanted} in `__init__`,"
        f" {'each ' if len(names) > 1 else ''}an `nn.Parameter(...)`."
    )


def _holds_tensors(values: Any) -> bool:
    return any(
        isinstance(value, torch.Tensor)
        for value in (values.values() if isinstance(values, dict) else values)
    )


def _in_words(parameter: nn.Parameter) -> str:
    start = next(
        (words for value, words in STARTS.items() if bool((parameter == value).all())),
        "other values",
    )
    dtype = dtype_name(parameter)
    return " ".join(
        [
            start,
            str(tuple(parameter.shape)),
            *([] if dtype == "float32" else [f"in {dtype}"]),
            *([] if parameter.requires_grad else ["without requires_grad"]),
        ]
    )
