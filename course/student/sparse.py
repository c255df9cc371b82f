"""Sparse matrices: handing them to PyTorch, and watching that nobody makes them dense."""

import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import scipy.sparse
import torch
from torch.utils._python_dispatch import TorchDispatchMode

Result = TypeVar("Result")


def as_torch_csr(x: scipy.sparse.csr_array) -> torch.Tensor:
    """Return a copy of a SciPy CSR array as a torch.sparse_csr tensor of the same dtype."""
    with warnings.catch_warnings():
        # PyTorch calls its sparse tensors "beta", once a process, wherever the first is made.
        warnings.simplefilter("ignore")
        return torch.sparse_csr_tensor(
            torch.tensor(x.indptr, dtype=torch.int64),
            torch.tensor(x.indices, dtype=torch.int64),
            torch.tensor(x.data),
            size=x.shape,
            check_invariants=False,
        )


def as_scipy_csr(x: torch.Tensor) -> scipy.sparse.csr_array:
    """Return a torch.sparse_csr tensor as a SciPy CSR array; its values share their memory."""
    parts = (x.values(), x.col_indices(), x.crow_indices())
    arrays = tuple(part.detach().numpy() for part in parts)
    return scipy.sparse.csr_array(arrays, shape=tuple(x.shape))


def peak_bytes(call: Callable[[], Result]) -> tuple[Result, int]:
    """Call a function; return its result, and the most memory it held at one time.

    Counted are Python's own objects and NumPy's arrays, at their full size even where the system
    has not handed out the pages yet. PyTorch's tensors are not.
    """
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        result = call()
        return result, tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_tracing:
            tracemalloc.stop()


@contextmanager
def entries_made_dense() -> Iterator[list[int]]:
    """Collect the number of entries of each sparse array that the block makes dense.

    SciPy's `toarray`, and `todense`, which calls it. Row by row, such arrays never show in the
    peak of memory, and cost as much time as the whole.
    """
    made: list[int] = []
    owners = {
        owner: vars(owner)["toarray"]
        for kind in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
        for owner in getattr(scipy.sparse, f"{kind}_array").__mro__
        if "toarray" in vars(owner)
    }
    inside = False

    def counted(toarray: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        @wraps(toarray)
        def count(self: Any, *args: Any, **kwargs: Any) -> np.ndarray:
            nonlocal inside
            outermost, inside = not inside, True
            if outermost:
                made.append(int(np.prod(self.shape, dtype=object)))
            try:
                return toarray(self, *args, **kwargs)
            finally:
                inside = not outermost

        return count

    for owner, toarray in owners.items():
        owner.toarray = counted(toarray)
    try:
        yield made
    finally:
        for owner, toarray in owners.items():
            owner.toarray = toarray


@contextmanager
def numbers_made() -> Iterator[list[int]]:
    """Collect the size of each tensor that PyTorch's operations make in the block."""
    made: list[int] = []

    class Operations(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            outputs = func(*args, **(kwargs or {}))
            given = {place for tensor in _tensors(args) for place in _places(tensor)}
            made.extend(
                sum(count for place, count in _places(output).items() if place not in given)
                for output in _tensors(outputs)
            )
            return outputs

    with Operations():
        yield made


def _tensors(values: Any) -> list[torch.Tensor]:
    """The tensors in what goes into an operation or comes out of it."""
    items = values if isinstance(values, tuple | list) else [values]
    return [item for item in items if isinstance(item, torch.Tensor)]


def _places(tensor: torch.Tensor) -> dict[int, int]:
    """Where a tensor's numbers are stored, and how many there are in each place.

    A view shares its place with what it is a view of, and an expanded tensor stores few.
    """
    parts = [tensor]
    if tensor.layout is torch.sparse_coo:
        parts = [tensor._indices(), tensor._values()]
    elif tensor.layout is torch.sparse_csr:
        parts = [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    elif tensor.layout is not torch.strided:
        parts = [tensor.values()]
    storages = [(part.untyped_storage(), part.element_size()) for part in parts]
    return {storage.data_ptr(): storage.nbytes() // size for storage, size in storages}
