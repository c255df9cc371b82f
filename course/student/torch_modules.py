"""A student's `nn.Module` in a probe: build it, call it, and watch what it does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from course.student.outcome import UnusableError, as_array

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
# Parts of the names of PyTorch's own normalisations, as functions and as operations.
BUILT_IN_NORMS = ("layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm")


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
    if not isinstance(output, torch.Tensor):
        output_array(output)  # None and the like have a message of their own
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
