"""The probes of further challenge 5: layer normalization of sparse inputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, issparse

from course.student.outcome import UnusableError, as_array
from course.student.plain import PlainValues
from course.student.sparse import as_torch_csr, entries_made_dense, numbers_made, peak_bytes
from course.student.torch_modules import gradients_of, zeros_if_none

# A small matrix is stretched by so much to see what a function makes of it: empty rows are added
# below, and columns without entries in between. Of each entry of its dense form, right solutions
# hold a quarter of a byte at most; a mask holds one byte, and the array itself 4 or 8
# (benchmarks/ch05_sparse_cost.py).
MORE_ROWS, MORE_COLUMNS = 25, 500


def stored_entries(
    student: Callable[..., Any],
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    shape: list[int],
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float | None = None,
    stretched: bool = False,
) -> PlainValues:
    """Call `layer_norm_stored(x, gamma, beta, eps)` on a SciPy CSR array.

    Args:
        student: the function.
        data: the stored values of x, row by row.
        indices: their columns.
        indptr: where each row begins in `data`, and at last its length.
        shape: of x.
        gamma: `(columns,)`.
        beta: `(columns,)`.
        eps: the fourth argument; left to its default when None.
        stretched: whether to watch for dense arrays, on a much larger matrix.

    Returns:
        `entries per row`, `columns` and `values` of what is stored in the result, by row and
        column; its `shape` and `format`; whether `x is unchanged`; and, if stretched, whether a
        dense array was made.
    """
    _must_be_a_function(student, "layer_norm_stored")
    x = csr_array((data, indices, indptr), shape=tuple(shape))
    before = x.copy()
    options = () if eps is None else (eps,)
    returned = student(x, gamma, beta, *options)
    y = _as_csr(returned)
    found: PlainValues = {
        "entries per row": np.diff(y.indptr),
        "columns": y.indices,
        "values": y.data,
        "shape": [int(length) for length in y.shape],
        "format": returned.format,
        **_unchanged(x, before),
    }
    if stretched:
        wide = [np.tile(values, MORE_COLUMNS) for values in (gamma, beta)]
        found |= _dense_array(lambda x: student(x, *wide, *options), x)
    return found


def all_entries(
    student: Callable[..., Any],
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    shape: list[int],
    eps: float | None = None,
    stretched: bool = False,
) -> PlainValues:
    """Call `row_statistics(x, eps)` on a SciPy CSR array.

    Args:
        student: the function.
        data: the stored values of x, row by row.
        indices: their columns.
        indptr: where each row begins in `data`, and at last its length.
        shape: of x.
        eps: the second argument; left to its default when None.
        stretched: whether to watch for dense arrays, on a much larger matrix.

    Returns:
        `mean` and `rstd`; whether `x is unchanged`; and, if stretched, whether a dense array
        was made.
    """
    _must_be_a_function(student, "row_statistics")
    x = csr_array((data, indices, indptr), shape=tuple(shape))
    before = x.copy()
    options = () if eps is None else (eps,)
    found = _mean_and_rstd(student(x, *options)) | _unchanged(x, before)
    return found | (_dense_array(lambda x: student(x, *options), x) if stretched else {})


def sparse_linear(
    student: Callable[..., Any],
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    shape: list[int],
    gamma: np.ndarray,
    beta: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    eps: float | None = None,
    upstream: np.ndarray | None = None,
    stretched: bool = False,
) -> PlainValues:
    """Call `sparse_norm_linear(x, gamma, beta, weight, bias, eps)` on a torch.sparse_csr tensor.

    Args:
        student: the function.
        data: the stored values of x, row by row; their dtype is that of all tensors.
        indices: their columns.
        indptr: where each row begins in `data`, and at last its length.
        shape: of x, `(rows, in)`.
        gamma: `(in,)`.
        beta: `(in,)`.
        weight: `(out, in)`.
        bias: `(out,)`.
        eps: the last argument; left to its default when None.
        upstream: `(rows, out)`, the gradient of the loss with respect to the output.
        stretched: whether to watch for dense tensors, on a much larger matrix.

    Returns:
        `output`, its `dtype`, and whether `x is unchanged`; if stretched, whether a dense array
        was made; and with an upstream, the gradients, and whether they reach their parameters.
    """
    _must_be_a_function(student, "sparse_norm_linear")
    matrix = csr_array((data, indices, indptr), shape=tuple(shape))
    x = as_torch_csr(matrix)
    before = x.values().clone()
    names = ("gamma", "beta", "weight", "bias")
    parameters = [torch.tensor(value).to(x.dtype) for value in (gamma, beta, weight, bias)]
    for parameter in parameters:
        parameter.requires_grad_(upstream is not None)
    options = () if eps is None else (eps,)
    # Said out loud, or PyTorch warns of it when the student makes a sparse tensor.
    with torch.sparse.check_sparse_tensor_invariants(False):
        output = _dense_tensor(student(x, *parameters, *options))
    found: PlainValues = {
        "output": as_array(output, "What `sparse_norm_linear` returned"),
        "dtype": str(output.dtype).removeprefix("torch."),
        "x is unchanged": torch.equal(x.values(), before),
    }
    if upstream is not None:
        if tuple(output.shape) != upstream.shape:
            raise UnusableError(
                f"What `sparse_norm_linear` returned has shape {tuple(output.shape)};"
                f" {upstream.shape} was expected."
            )
        gradients = gradients_of((output * torch.tensor(upstream)).sum(), parameters)
        for name, gradient, parameter in zip(names, gradients, parameters, strict=True):
            found[f"gradient reaches {name}"] = gradient is not None
            found[f"d{name}"] = zeros_if_none(gradient, parameter)
    if stretched:
        wide = [
            parameter.repeat(*[1] * (parameter.dim() - 1), MORE_COLUMNS)
            for parameter in parameters[:3]
        ]
        found |= _dense_array(
            lambda x: student(as_torch_csr(x), *wide, parameters[3], *options), matrix
        )
    return found


def _must_be_a_function(student: Any, name: str) -> None:
    if not callable(student):
        raise UnusableError(
            f"`{name}` is of type {type(student).__name__}; a function was expected. Run the cell"
            f" that begins with `def {name}` again."
        )


def _dense_array(call: Callable[[csr_array], Any], x: csr_array) -> PlainValues:
    """Whether a function makes as many numbers as a stretched x would have if it were dense."""
    rows, columns = x.shape[0] * MORE_ROWS, x.shape[1] * MORE_COLUMNS
    indptr = np.append(x.indptr, np.full(rows - x.shape[0], x.nnz, x.indptr.dtype))
    larger = csr_array((x.data, x.indices * MORE_COLUMNS, indptr), shape=(rows, columns))

    def share() -> float:
        with entries_made_dense() as made_dense, numbers_made() as made:
            _, peak = peak_bytes(lambda: call(larger))
        # Of the dense array even one byte an entry, a mask, would be too much.
        return max(peak, sum(made_dense), sum(made)) / (rows * columns)

    measured = share()
    if measured >= 1:  # a first call may load modules, which takes memory too
        measured = share()
    return {"dense array made": measured >= 1, "share of dense": measured}


def _as_csr(value: Any) -> csr_array:
    """A copy of what a student returned, as a CSR array in the order of rows and columns."""
    what = "What `layer_norm_stored` returned"
    if not issparse(value):
        if isinstance(value, np.ndarray):
            raise UnusableError(
                f"{what} is a NumPy array of shape {value.shape}; a SciPy CSR array was expected:"
                " the new values together with the columns and row starts of x."
            )
        if isinstance(value, tuple | list):
            raise UnusableError(
                f"{what} is a {type(value).__name__}; a SciPy CSR array was expected. Put the parts"
                " together: `scipy.sparse.csr_array((data, indices, indptr), shape=x.shape)`."
            )
        as_array(value, what)  # None and the like have a message of their own
        raise UnusableError(f"{what} is a {type(value).__name__}; a CSR array was expected.")
    if value.ndim != 2:
        raise UnusableError(f"{what} has {value.ndim} dimension; a matrix was expected.")
    if value.dtype.kind not in "biuf":
        raise UnusableError(f"{what} holds {value.dtype} values; real numbers were expected.")
    returned = csr_array(value, copy=True)
    returned.sort_indices()
    return returned


def _mean_and_rstd(value: Any) -> PlainValues:
    what = "What `row_statistics` returned"
    wanted = "two arrays were expected: `return mean, rstd`."
    if value is None or value is NotImplemented or value is Ellipsis:
        as_array(value, what)
    if not isinstance(value, tuple | list):
        shape = getattr(value, "shape", None)
        given = f"a {type(value).__name__}" if shape is None else f"a single array of shape {shape}"
        raise UnusableError(f"{what} is {given}; {wanted}")
    if len(value) != 2:
        raise UnusableError(f"{what} has {len(value)} part{'s' * (len(value) != 1)}; {wanted}")
    return {
        name: as_array(part, f"`{name}`, in what you returned,")
        for name, part in zip(("mean", "rstd"), value, strict=True)
    }


def _dense_tensor(value: Any) -> torch.Tensor:
    what = "What `sparse_norm_linear` returned"
    if not isinstance(value, torch.Tensor):
        as_array(value, what)
        raise UnusableError(f"{what} is a {type(value).__name__}; a torch tensor was expected.")
    if value.layout is not torch.strided:
        raise UnusableError(
            f"{what} is a sparse tensor. The output is dense: it has as few columns as the linear"
            " map has outputs, and no zeros to leave out."
        )
    return value


def _unchanged(x: csr_array, before: csr_array) -> PlainValues:
    """Whether x is still the same matrix; `power`, `abs` and others put its columns in order."""
    try:
        now = csr_array((x.data, x.indices, x.indptr), shape=x.shape, copy=True)
    except ValueError:  # the three arrays no longer belong together
        return {"x is unchanged": False}
    now.sort_indices()
    before.sort_indices()
    pairs = [(getattr(now, name), getattr(before, name)) for name in ("data", "indices", "indptr")]
    return {"x is unchanged": all(np.array_equal(one, other) for one, other in pairs)}
