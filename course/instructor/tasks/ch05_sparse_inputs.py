"""Further challenge 5: layer normalization of sparse inputs, without ever making them dense."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from scipy import sparse

from course.instructor.draws import draw_scale
from course.instructor.task import Task
from course.layer_normalization_solutions import (
    layer_norm_stored,
    row_statistics,
    sparse_norm_linear,
)
from course.student.answer_key import Case, Tolerance
from course.student.sparse import as_scipy_csr

# Structure. An eps that is 1e-5 too small or too large changes values here by up to 1e-5, which is
# left to the cases about eps; wrong answers are off by 1e-2 and more.
DEFINITION = Tolerance(rtol=1e-4, atol=1e-4)
# Right answers in float64 differ by about 1e-15 of values up to 10, those that took float32 on
# the way by 1e-6. An eps in the wrong place is off by 1e-2.
CLOSE = Tolerance(rtol=1e-4, atol=1e-5)
# An offset of 1e9 leaves float64 values a grid of 1e-7, so right answers with a spread of about 2
# are off by 1e-6 at most. E[x^2] - E[x]^2 is off by 100 and more in a variance of about 4.
OFFSET = Tolerance(rtol=0, atol=1e-3)
# In float32, an offset of 1e4 leaves a grid of 1e-3. Right answers to the linear map, which sum up
# numbers of about 1e5 and subtract them again, were off by 0.017 at most over 60 seeds;
# E[x^2] - E[x]^2 by 3.7 at least.
OFFSET_FLOAT32 = Tolerance(rtol=0, atol=0.06)
# Right answers in float64 differ by 1e-14 of values up to 30; those that went through float32 by
# 1e-6 and more.
FLOAT64 = Tolerance(rtol=1e-10, atol=1e-10)

# More columns than any machine can give one number each: a thousand million million.
WIDE = 2**50


def draw_sparse(
    rng: np.random.Generator,
    counts,
    columns,
    spread=(1.0, 3.0),
    offset=3.0,
    zeros=0,
    ordered=True,
    dtype=np.float64,
):
    """The three arrays and the shape of a CSR array, its rows with means and spreads of their own.

    Args:
        rng: where the numbers come from.
        counts: how many entries each row stores.
        columns: how many columns there are, or an array of the columns that may be stored in.
        spread: the least and the largest standard deviation of a row's stored entries.
        offset: the standard deviation of the rows' means.
        zeros: how many of a row's stored entries are 0, in rows that store more than these.
        ordered: whether the columns of a row come in their order.
        dtype: of the values.
    """
    allowed = np.arange(columns) if isinstance(columns, int) else columns
    data, indices = [], []
    for count in counts:
        nonzero = count - zeros if count > zeros else count
        noise = rng.normal(size=nonzero)
        if nonzero > 1:
            noise = (noise - noise.mean()) / noise.std()
        values = offset * rng.normal() + rng.uniform(*spread) * noise
        values = rng.permutation(np.append(values, np.zeros(count - nonzero)))
        place = rng.permutation(allowed)[:count]
        data.append(values)
        indices.append(np.sort(place) if ordered else place)
    return {
        "data": np.concatenate(data).astype(dtype),
        "indices": np.concatenate(indices).astype(np.int64),
        "indptr": np.append(0, np.cumsum(counts)).astype(np.int64),
        "shape": [len(counts), columns if isinstance(columns, int) else int(columns[-1]) + 1],
    }


def at_an_offset(matrix, offset):
    """A matrix with an offset added to what is stored."""
    return matrix | {"data": matrix["data"] + matrix["data"].dtype.type(offset)}


def out_of_order(matrix):
    """A matrix with the columns of each row turned round, which is in order in none of them."""
    order = np.concatenate(
        [
            np.arange(end - 1, start - 1, -1)
            for start, end in zip(matrix["indptr"], matrix["indptr"][1:], strict=False)
        ]
    )
    return matrix | {name: matrix[name][order] for name in ("data", "indices")}


# Task 1: over the stored entries


def exact_stored(x, gamma, beta, eps=1e-5):
    """Row by row, with sums that are rounded once."""
    values = []
    for start, end in zip(x.indptr[:-1], x.indptr[1:], strict=True):
        row = [float(value) for value in x.data[start:end]]
        mean = math.fsum(row) / max(len(row), 1)
        var = math.fsum((value - mean) ** 2 for value in row) / max(len(row), 1)
        values += [
            gamma[column] * (value - mean) / math.sqrt(var + eps) + beta[column]
            for value, column in zip(row, x.indices[start:end], strict=True)
        ]
    return sparse.csr_array((np.array(values), x.indices, x.indptr), shape=x.shape)


stored_entries = Task(
    "ch05_stored_entries",
    "Layer normalization over the stored entries",
    defines="layer_norm_stored",
    oracle=exact_stored,
)

VALUES = ("entries per row", "columns", "values")


@stored_entries.cases
def stored_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Column 0 is often left empty, so that an entry's column is not its place in the row."""
    rows = int(rng.integers(4, 7))
    columns = int(rng.integers(8, 12))

    def counts():
        return rng.permutation([3, 4, 5, 6, 7, 7])[:rows]

    def inputs(matrix, **more):
        D = matrix["shape"][1]
        return {
            **matrix,
            "gamma": draw_scale(rng, D),
            "beta": rng.choice([-1, 1], D) * rng.uniform(0.5, 2, D),
            **more,
        }

    later = np.arange(1, columns)
    yield Case(
        "each row's stored entries are normalised, scaled and shifted, and no dense array is made",
        points=0.75,
        inputs=inputs(draw_sparse(rng, counts(), later), eps=1e-5, stretched=True),
        tolerance=DEFINITION,
        judged=(*VALUES, "dense array made"),
        hint="Work through one row by hand: `x.data[x.indptr[0]:x.indptr[1]]` are its stored "
        "values, and the same slice of `x.indices` their columns.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.25,
        inputs=inputs(
            draw_sparse(rng, counts(), later, spread=(0.4, 0.6)), eps=float(rng.uniform(0.1, 0.5))
        ),
        tolerance=CLOSE,
        judged=VALUES,
        hint="Add the argument `eps` to the variance, and take the square root of the sum.",
    )
    yield Case(
        "rows of tiny variance, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs(draw_sparse(rng, counts(), later, spread=(2e-3, 3e-3))),
        tolerance=CLOSE,
        judged=VALUES,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "a stored zero is a stored entry",
        points=0.5,
        inputs=inputs(draw_sparse(rng, counts(), later, zeros=1), eps=1e-5),
        tolerance=DEFINITION,
        judged=VALUES,
        hint="What counts is what is stored, `np.diff(x.indptr)`, and not what differs from 0.",
    )
    lonely = np.array([0, *rng.permutation([1, 1, 4, 5, 0]), 0])
    yield Case(
        "rows that store nothing, and rows that store one entry",
        points=0.25,
        inputs=inputs(draw_sparse(rng, lonely, later), eps=0.1),
        tolerance=CLOSE,
        judged=VALUES,
        hint="A row without entries has nothing to normalise. A single entry is its own mean, so "
        "it becomes the beta of its column.",
    )
    yield Case(
        "the result is a CSR array of the shape of x",
        points=0.25,
        inputs=inputs(
            draw_sparse(rng, counts(), later) | {"shape": [rows, columns + int(rng.integers(2, 5))]}
        ),
        tolerance=DEFINITION,
        judged=("shape", "format", *VALUES),
        hint="From the three arrays alone SciPy cannot know how many empty columns follow the "
        "last entry: pass `shape=x.shape`.",
    )
    counted = draw_sparse(rng, counts(), later)
    counted["data"] = rng.integers(1, 6, counted["data"].size)
    counted["data"][counted["indptr"][:-1]] = 9  # so that no row is constant
    yield Case(
        "whole numbers in, fractions out",
        points=0.25,
        inputs=inputs(counted, eps=1e-5),
        tolerance=DEFINITION,
        judged=VALUES,
        hint="An array of integers cannot hold a fraction: make a new one for the results.",
    )
    yield Case(
        "columns in any order, and x is left as it was",
        points=0.25,
        inputs=inputs(out_of_order(draw_sparse(rng, counts(), later)), eps=1e-5),
        tolerance=DEFINITION,
        judged=("x is unchanged", *VALUES),
        hint="`x.data` and `x.indices` belong together, entry by entry; neither has to be in "
        "order, and both belong to the caller.",
    )
    yield Case(
        "an offset of a thousand million does not swamp the variance",
        points=0.25,
        inputs=inputs(
            at_an_offset(
                draw_sparse(rng, counts(), later, spread=(1.5, 3)),
                1e9 * rng.uniform(1, 2),
            ),
            eps=1e-5,
        ),
        tolerance=OFFSET,
        judged=VALUES,
        by_values=False,
        hint="Subtract the mean before you square. A difference of two large squares keeps no "
        "digits.",
    )


@stored_entries.known_mistake(
    "made dense",
    "Your values are right, but to get them you made an array with all rows x columns entries, "
    "zeros and all. For a large vocabulary that does not fit into any memory.",
    hint="Everything you need is in three arrays: `x.data`, `x.indices` and `x.indptr`.",
)
def made_dense(x, gamma, beta, eps=1e-5):
    dense = x.toarray()
    stored = sparse.csr_array((np.ones(x.nnz), x.indices, x.indptr), shape=x.shape).toarray()
    counts = np.maximum(stored.sum(axis=1, keepdims=True), 1)
    mean = dense.sum(axis=1, keepdims=True) / counts
    centred = (dense - mean) * stored
    var = (centred**2).sum(axis=1, keepdims=True) / counts
    result = gamma * centred / np.sqrt(var + eps) + beta
    row = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    return sparse.csr_array((result[row, x.indices], x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "made dense, with a mask of what is not 0",
    "Two things. You made an array with all rows x columns entries, which for a large vocabulary "
    "does not fit into any memory. And you took what is not 0 for what is stored: a zero can be "
    "stored, too.",
    hint="Everything you need is in three arrays: `x.data`, `x.indices` and `x.indptr`.",
)
def dense_mask(x, gamma, beta, eps=1e-5):
    dense = x.toarray()
    mask = dense != 0
    result = np.zeros(dense.shape)
    for i in range(x.shape[0]):
        row = dense[i][mask[i]]
        if row.size:
            x_hat = (row - row.mean()) / np.sqrt(row.var() + eps)
            result[i, mask[i]] = gamma[mask[i]] * x_hat + beta[mask[i]]
    row, column = np.nonzero(mask)
    return sparse.csr_array((result[row, column], (row, column)), shape=x.shape)


@stored_entries.known_mistake(
    "divided by the number of columns",
    "You divided the sums over a row's stored entries by D, the number of columns. Here a row is "
    "as long as what it stores.",
    hint="`np.diff(x.indptr)` says how many entries each row stores.",
)
def divided_by_columns(x, gamma, beta, eps=1e-5):
    rows, D = x.shape
    row = np.repeat(np.arange(rows), np.diff(x.indptr))
    mean = np.bincount(row, x.data, minlength=rows) / D
    var = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows) / D
    x_hat = (x.data - mean[row]) / np.sqrt(var[row] + eps)
    values = gamma[x.indices] * x_hat + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "the statistics of all entries",
    "Your mean and variance count the entries that are not stored as zeros. That is the other "
    "reading, the next task's. Here only what is stored counts.",
    hint="Which numbers share the mean here? `x.data[x.indptr[0]:x.indptr[1]]` are those of row 0.",
)
def other_reading(x, gamma, beta, eps=1e-5):
    rows, D = x.shape
    counts = np.diff(x.indptr)
    row = np.repeat(np.arange(rows), counts)
    mean = np.bincount(row, x.data, minlength=rows) / D
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)
    rstd = 1 / np.sqrt((squares + (D - counts) * mean**2) / D + eps)
    values = gamma[x.indices] * (x.data - mean[row]) * rstd[row] + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "one mean and one variance for the whole matrix",
    "`x.data` holds the entries of all rows, one row after the other, and you took the mean and "
    "the variance of all of it.",
    hint="Row i begins at `x.indptr[i]` and ends before `x.indptr[i + 1]`.",
)
def whole_matrix(x, gamma, beta, eps=1e-5):
    x_hat = (x.data - x.data.mean()) / np.sqrt(x.data.var() + eps)
    values = gamma[x.indices] * x_hat + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "statistics by column",
    "You took the mean and the variance of each column's stored entries. That is batch "
    "normalization; layer normalization takes those of each row.",
    hint="`x.indices` says in which column an entry stands. Its row follows from `x.indptr`.",
)
def by_column(x, gamma, beta, eps=1e-5):
    D = x.shape[1]
    shared = np.maximum(np.bincount(x.indices, minlength=D), 1)
    mean = np.bincount(x.indices, x.data, minlength=D) / shared
    centred = x.data - mean[x.indices]
    var = np.bincount(x.indices, centred**2, minlength=D) / shared
    values = gamma[x.indices] * centred / np.sqrt(var[x.indices] + eps) + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "gamma and beta by place in the row, not by column",
    "You gave the first stored entry of a row the first gamma, the second one the second, and so "
    "on. Gamma and beta go by columns, and the columns in between are not stored.",
    hint="`x.indices` holds the column of every stored entry. What is `gamma[x.indices]`?",
)
def by_place(x, gamma, beta, eps=1e-5):
    values = np.empty(x.nnz)
    for i in range(x.shape[0]):
        row = x.data[x.indptr[i] : x.indptr[i + 1]]
        if row.size:
            x_hat = (row - row.mean()) / np.sqrt(row.var() + eps)
            values[x.indptr[i] : x.indptr[i + 1]] = gamma[: row.size] * x_hat + beta[: row.size]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "gamma and beta not lined up with the stored entries",
    "You multiplied an array with one value for each stored entry by `gamma`, which has one for "
    "each column.",
    hint="`x.indices` holds the column of every stored entry. What is `gamma[x.indices]`?",
)
def not_lined_up(x, gamma, beta, eps=1e-5):
    plain = layer_norm_stored(x, np.ones(x.shape[1]), np.zeros(x.shape[1]), eps)
    values = plain.data * gamma + beta
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "beta forgotten",
    "You scaled the stored entries and did not shift them.",
    hint="Each stored entry gets the beta of its column, `beta[x.indices]`.",
)
def no_beta(x, gamma, beta, eps=1e-5):
    return layer_norm_stored(x, gamma, 0 * beta, eps)


@stored_entries.known_mistake(
    "gamma forgotten",
    "You shifted the stored entries and did not scale them.",
    hint="Each stored entry gets the gamma of its column, `gamma[x.indices]`.",
)
def no_gamma(x, gamma, beta, eps=1e-5):
    return layer_norm_stored(x, np.ones_like(gamma), beta, eps)


@stored_entries.known_mistake(
    "stored zeros dropped",
    "You left out stored entries whose value is 0. Someone has stored them, so in this reading "
    "they count: as a rating of 0, say, which is not the same as no rating.",
    hint="`eliminate_zeros`, `count_nonzero`, and arithmetic with whole sparse arrays lose them. "
    "Keep `x.indices` and `x.indptr` as they are.",
)
def zeros_dropped(x, gamma, beta, eps=1e-5):
    x = x.copy()
    x.eliminate_zeros()
    return layer_norm_stored(x, gamma, beta, eps)


@stored_entries.known_mistake(
    "stored zeros not counted",
    "You divided by the number of values in a row that are not 0, and not by the number of those "
    "that are stored. A zero can be stored, too.",
    hint="`np.diff(x.indptr)` counts what is stored, whatever its value.",
)
def zeros_not_counted(x, gamma, beta, eps=1e-5):
    rows = x.shape[0]
    row = np.repeat(np.arange(rows), np.diff(x.indptr))
    shared = np.maximum(np.bincount(row, x.data != 0, minlength=rows), 1)
    mean = np.bincount(row, x.data, minlength=rows) / shared
    centred = x.data - mean[row]
    var = np.bincount(row, centred**2, minlength=rows) / shared
    values = gamma[x.indices] * centred / np.sqrt(var[row] + eps) + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "np.add.reduceat on empty rows",
    "`np.add.reduceat` does not give 0 for a row that stores nothing: it gives the next entry, or "
    "an error if there is none.",
    hint="Leave the empty rows out before you call it, or use `np.bincount` with `weights` and "
    "`minlength`, which gives 0 for them.",
)
def reduceat(x, gamma, beta, eps=1e-5):
    counts = np.diff(x.indptr)
    mean = np.add.reduceat(x.data, x.indptr[:-1]) / counts
    centred = x.data - np.repeat(mean, counts)
    var = np.add.reduceat(centred**2, x.indptr[:-1]) / counts
    x_hat = centred / np.sqrt(np.repeat(var, counts) + eps)
    values = gamma[x.indices] * x_hat + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "the shape not passed on",
    "You made the result from the three arrays alone, so SciPy took the largest column that is "
    "stored for the last one. Empty columns at the end are lost.",
    hint="`sparse.csr_array((data, indices, indptr), shape=x.shape)`.",
)
def no_shape(x, gamma, beta, eps=1e-5):
    y = layer_norm_stored(x, gamma, beta, eps)
    return sparse.csr_array((y.data, y.indices, y.indptr))


@stored_entries.known_mistake(
    "not a CSR array",
    "What you return is sparse, but not in the CSR format. `multiply` and other operations return "
    "COO, which has no `indptr`.",
    hint="`.tocsr()` at the end, or make the array from its parts: "
    "`sparse.csr_array((data, indices, indptr), shape=x.shape)`.",
)
def coo(x, gamma, beta, eps=1e-5):
    return layer_norm_stored(x, gamma, beta, eps).tocoo()


@stored_entries.known_mistake(
    "written into an array of integers",
    "You wrote the results into a copy of x. If x holds integers, so does the copy, and every "
    "fraction is cut off.",
    hint="Make a new array of floats for the results, and a new CSR array around it.",
)
def into_integers(x, gamma, beta, eps=1e-5):
    y = x.copy()
    y.data[:] = layer_norm_stored(x, gamma, beta, eps).data
    return y


@stored_entries.known_mistake(
    "written into x itself",
    "You wrote the results into `x.data`, so the caller's matrix has changed. And if x holds "
    "integers, every fraction is cut off.",
    hint="Make a new array for the results, and a new CSR array around it.",
)
def in_place(x, gamma, beta, eps=1e-5):
    x.data[:] = layer_norm_stored(x, gamma, beta, eps).data
    return x


@stored_entries.known_mistake(
    "x is another matrix afterwards",
    "Your values are right, but the caller's matrix has changed. Perhaps you gave x itself new "
    "data; or you sorted, in your result, an array of columns that it shares with x.",
    hint="Make a new CSR array, from `values`, `x.indices.copy()` and `x.indptr.copy()`.",
)
def another_matrix(x, gamma, beta, eps=1e-5):
    x.data = layer_norm_stored(x, gamma, beta, eps).data
    return x


@stored_entries.known_mistake(
    "the unbiased variance",
    "You divided the sum of squared deviations by one less than the number of stored entries. "
    "Layer normalization divides by the number itself.",
    hint="Look for `ddof=1`, or for a `- 1` of your own.",
)
def unbiased(x, gamma, beta, eps=1e-5):
    rows = x.shape[0]
    counts = np.diff(x.indptr)
    row = np.repeat(np.arange(rows), counts)
    mean = np.bincount(row, x.data, minlength=rows) / np.maximum(counts, 1)
    centred = x.data - mean[row]
    var = np.bincount(row, centred**2, minlength=rows) / (counts - 1)
    values = gamma[x.indices] * centred / np.sqrt(var[row] + eps) + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "eps outside the square root",
    "You divided by sqrt(var) + eps. The formula divides by sqrt(var + eps).",
    hint="Move `eps` inside: the difference shows as soon as `eps` is not tiny.",
)
def eps_outside(x, gamma, beta, eps=1e-5):
    rows = x.shape[0]
    counts = np.diff(x.indptr)
    row = np.repeat(np.arange(rows), counts)
    mean = np.bincount(row, x.data, minlength=rows) / np.maximum(counts, 1)
    centred = x.data - mean[row]
    var = np.bincount(row, centred**2, minlength=rows) / np.maximum(counts, 1)
    values = gamma[x.indices] * centred / (np.sqrt(var[row]) + eps) + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.known_mistake(
    "eps left at 1e-5",
    "You use 1e-5 whatever the argument `eps` says.",
    hint="Use the argument `eps`, and nothing else, inside the square root.",
)
def fixed_eps(x, gamma, beta, eps=1e-5):
    return layer_norm_stored(x, gamma, beta)


@stored_entries.known_mistake(
    "no eps",
    "You divided by the square root of the variance alone. An entry that is alone in its row has "
    "variance 0.",
    hint="Add `eps` to the variance, inside the square root.",
)
def no_eps(x, gamma, beta, eps=1e-5):
    return layer_norm_stored(x, gamma, beta, 0)


@stored_entries.known_mistake(
    "E[x²] − E[x]²",
    "You computed the variance as the mean of the squares less the square of the mean. The "
    "formula is right on paper; with an offset both are huge and their difference has no digits "
    "left.",
    hint="Subtract each row's mean from its stored entries first, then square.",
)
def difference_of_squares(x, gamma, beta, eps=1e-5):
    rows = x.shape[0]
    counts = np.maximum(np.diff(x.indptr), 1)
    row = np.repeat(np.arange(rows), np.diff(x.indptr))
    mean = np.bincount(row, x.data, minlength=rows) / counts
    var = np.bincount(row, x.data**2.0, minlength=rows) / counts - mean**2
    x_hat = (x.data - mean[row]) / np.sqrt(np.maximum(var[row], 0) + eps)
    values = gamma[x.indices] * x_hat + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.combination
def zeros_dropped_and_eps_outside(x, gamma, beta, eps=1e-5):
    x = x.copy()
    x.eliminate_zeros()
    rows = x.shape[0]
    counts = np.diff(x.indptr)
    row = np.repeat(np.arange(rows), counts)
    mean = np.bincount(row, x.data, minlength=rows) / np.maximum(counts, 1)
    centred = x.data - mean[row]
    var = np.bincount(row, centred**2, minlength=rows) / np.maximum(counts, 1)
    values = gamma[x.indices] * centred / (np.sqrt(var[row]) + eps) + beta[x.indices]
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.combination
def by_place_and_in_place(x, gamma, beta, eps=1e-5):
    values = x.data.astype(float)
    for i in range(x.shape[0]):
        row = values[x.indptr[i] : x.indptr[i + 1]]
        if row.size:
            x_hat = (row - row.mean()) / np.sqrt(row.var() + eps)
            row[:] = gamma[: row.size] * x_hat + beta[: row.size]
    x.data = values
    return sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)


@stored_entries.combination
def no_shape_and_another_matrix(x, gamma, beta, eps=1e-5):
    x.data = layer_norm_stored(x, gamma, beta, eps).data
    return sparse.csr_array((x.data, x.indices, x.indptr))


@stored_entries.right_solution
def stored_row_by_row(x, gamma, beta, eps=1e-5):
    y = x.astype(float)
    for start, end in zip(x.indptr[:-1], x.indptr[1:], strict=True):
        if start == end:
            continue
        row, column = x.data[start:end], x.indices[start:end]
        x_hat = (row - np.mean(row)) / np.sqrt(np.var(row) + eps)
        y.data[start:end] = gamma[column] * x_hat + beta[column]
    return y


@stored_entries.right_solution
def stored_reduceat(x, gamma, beta, eps=1e-5):
    """With the empty rows left out first."""
    counts = np.diff(x.indptr)
    kept, starts = counts[counts > 0], x.indptr[:-1][counts > 0]
    centred = x.data - np.repeat(np.add.reduceat(x.data, starts) / kept, kept)
    std = np.sqrt(np.add.reduceat(centred * centred, starts) / kept + eps)
    y = sparse.csr_array((centred / np.repeat(std, kept), x.indices, x.indptr), shape=x.shape)
    y.data = y.data * gamma[y.indices] + beta[y.indices]
    return y


@stored_entries.right_solution
def stored_in_sparse_algebra(x, gamma, beta, eps=1e-5):
    """By methods of sparse arrays, on a copy."""
    y = x.sorted_indices().astype(float)
    pattern = y.copy()
    pattern.data = np.ones(y.nnz)
    counts = np.maximum(pattern.sum(axis=1), 1)
    row = y.tocoo().row
    y.data -= (y.sum(axis=1) / counts)[row]
    var = y.power(2).sum(axis=1) / counts
    y.data *= np.take(gamma, y.indices) / np.sqrt(var + eps)[row]
    y.data += np.take(beta, y.indices)
    return y


@stored_entries.right_solution
def stored_by_add_at(x, gamma, beta, eps=1e-5):
    rows, columns = x.tocoo().coords
    total, shared = np.zeros((2, x.shape[0]))
    np.add.at(total, rows, x.data)
    np.add.at(shared, rows, 1)
    with np.errstate(invalid="ignore"):
        mean = total / shared
    deviation = x.data - mean[rows]
    var = np.zeros(x.shape[0])
    np.add.at(var, rows, deviation**2 / shared[rows])
    values = deviation * (var + eps)[rows] ** -0.5 * gamma[columns] + beta[columns]
    return sparse.coo_array((values, (rows, columns)), shape=x.shape).tocsr()


# Task 2: over all entries


def exact_statistics(x, eps=1e-5):
    """Row by row, with sums that are rounded once."""
    D = x.shape[1]
    mean, rstd = np.zeros((2, x.shape[0]))
    for i in range(x.shape[0]):
        row = [float(value) for value in x.data[x.indptr[i] : x.indptr[i + 1]]]
        mean[i] = math.fsum(row) / D
        squares = [(value - mean[i]) ** 2 for value in row]
        var = math.fsum([*squares, (D - len(row)) * mean[i] ** 2]) / D
        rstd[i] = 1 / math.sqrt(var + eps)
    return mean, rstd


all_entries = Task(
    "ch05_all_entries",
    "Statistics over all entries",
    defines="row_statistics",
    oracle=exact_statistics,
)

STATISTICS = ("mean", "rstd")


@all_entries.cases
def statistics_cases(rng: np.random.Generator) -> Iterator[Case]:
    rows = int(rng.integers(4, 7))
    columns = int(rng.integers(9, 13))

    def counts():
        return rng.permutation([2, 3, 4, 5, 6, 7])[:rows]

    yield Case(
        "the mean and the rstd of each row, its zeros included, and no dense array is made",
        points=0.75,
        inputs={**draw_sparse(rng, counts(), columns), "eps": 1e-5, "stretched": True},
        tolerance=DEFINITION,
        judged=(*STATISTICS, "dense array made"),
        hint="Work through one row by hand. How many of its D entries are not stored, how far is "
        "each of them from the mean, and what does the square of that add?",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.25,
        inputs={
            **draw_sparse(rng, counts(), columns, spread=(0.4, 0.6), offset=0.5),
            "eps": float(rng.uniform(0.1, 0.5)),
        },
        tolerance=CLOSE,
        judged=STATISTICS,
        hint="Add the argument `eps` to the variance, and take the square root of the sum.",
    )
    yield Case(
        "rows of tiny variance, with eps left at its default of 1e-5",
        points=0.25,
        inputs=draw_sparse(rng, counts(), columns, spread=(2e-3, 3e-3), offset=2e-3),
        tolerance=CLOSE,
        judged=STATISTICS,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "a zero counts once, stored or not",
        points=0.25,
        inputs={**draw_sparse(rng, counts() + 2, columns, zeros=2), "eps": 1e-5},
        tolerance=DEFINITION,
        judged=STATISTICS,
        hint="If a stored zero is in your sum over the stored entries, it must not be among those "
        "that are not stored as well.",
    )
    extremes = np.array([0, *rng.permutation([columns, 0, 3, columns, 1]), 0])
    yield Case(
        "rows that store nothing, and rows that store everything",
        points=0.5,
        inputs={**draw_sparse(rng, extremes, columns), "eps": 0.1},
        tolerance=CLOSE,
        judged=STATISTICS,
        hint="A row without entries is D zeros: its mean and variance are 0. In a full row no "
        "entry is left out.",
    )
    yield Case(
        "a matrix of one column",
        points=0.25,
        inputs={**draw_sparse(rng, rng.permutation([0, 1, 1, 0, 1, 1]), 1), "eps": 0.1},
        tolerance=CLOSE,
        judged=STATISTICS,
        hint="With D = 1 every row has variance 0, and `rstd` is 1 / sqrt(eps).",
    )
    full = draw_sparse(rng, np.full(rows, columns), columns, spread=(1.5, 3.0))
    yield Case(
        "an offset of a thousand million does not swamp the variance",
        points=0.25,
        inputs={**at_an_offset(full, 1e9 * rng.uniform(1, 2)), "eps": 1e-5},
        tolerance=OFFSET,
        judged=("rstd",),
        by_values=False,
        hint="Subtract the mean before you square. A difference of two large squares keeps no "
        "digits.",
    )
    matrix = out_of_order(draw_sparse(rng, counts(), columns))
    yield Case(
        "columns in any order, and x is left as it was",
        points=0.25,
        inputs={**matrix, "eps": 1e-5},
        tolerance=DEFINITION,
        judged=("x is unchanged", *STATISTICS),
        hint="`x.data` and `x.indices` belong to the caller: read them, and write into new arrays.",
    )
    wide = draw_sparse(rng, counts(), columns)
    wide["indices"] = wide["indices"] * (WIDE // columns)
    # So large that the variance of the 2^50 entries is about 1.
    wide |= {"shape": [rows, WIDE], "data": wide["data"] * 2.0**24}
    yield Case(
        "a row may have 2^50 columns: nothing as long as a row is made",
        points=0.25,
        inputs={**wide, "eps": 0.1},
        tolerance=Tolerance(rtol=1e-4, atol=0),
        judged=STATISTICS,
        by_values=False,
        hint="No machine has memory for one number a column here. `x.sum(axis=1)` goes through "
        "the stored entries; `x.mean(axis=1)` makes a vector of D ones first.",
    )


@all_entries.known_mistake(
    "made dense",
    "Your values are right, but to get them you wrote out all D entries of the rows, zeros and "
    "all. That does the whole work of the dense layer, even if you do it one row at a time.",
    hint="The D - n entries of a row that are not stored are all 0. What do they add to the sum, "
    "and what to the sum of squares?",
)
def statistics_dense(x, eps=1e-5):
    dense = x.toarray()
    return dense.mean(axis=1), 1 / np.sqrt(dense.var(axis=1) + eps)


@all_entries.known_mistake(
    "something as long as a row",
    "Your values are right, but on the way you make an array with one number for each column. "
    "Perhaps SciPy does it for you: `x.mean(axis=1)` multiplies by a vector of D ones. The columns "
    "may be far more than the stored entries.",
    hint="`x.sum(axis=1) / D`, or `np.bincount` over the stored entries, needs nothing of length "
    "D.",
)
def as_long_as_a_row(x, eps=1e-5):
    D = x.shape[1]
    mean = x.mean(axis=1)
    counts = np.diff(x.indptr)
    squares = np.bincount(
        np.repeat(np.arange(x.shape[0]), counts),
        (x.data - np.repeat(mean, counts)) ** 2,
        minlength=x.shape[0],
    )
    return mean, 1 / np.sqrt((squares + (D - counts) * mean**2) / D + eps)


@all_entries.known_mistake(
    "the statistics of the stored entries",
    "You left the zeros out: your sums are divided by the number of stored entries. That is the "
    "reading of the task before. Here a row has D entries, and most of them are 0.",
    hint="Divide by `x.shape[1]`. Then think of what the zeros add to the sum of squares.",
)
def stored_reading(x, eps=1e-5):
    rows = x.shape[0]
    counts = np.maximum(np.diff(x.indptr), 1)
    row = np.repeat(np.arange(rows), np.diff(x.indptr))
    mean = np.bincount(row, x.data, minlength=rows) / counts
    var = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows) / counts
    return mean, 1 / np.sqrt(var + eps)


@all_entries.known_mistake(
    "the zeros' squares are missing",
    "Your mean is right. But each of the D - n entries that are not stored is as far from it as 0 "
    "is, and your sum of squares leaves them out.",
    hint="One zero adds `(0 - mean)**2` to the sum of squares. How many are there in a row?",
)
def no_squares_of_zeros(x, eps=1e-5):
    rows, D = x.shape
    row = np.repeat(np.arange(rows), np.diff(x.indptr))
    mean = np.bincount(row, x.data, minlength=rows) / D
    var = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows) / D
    return mean, 1 / np.sqrt(var + eps)


@all_entries.known_mistake(
    "the zeros are in the mean, not in the variance",
    "Your mean is right. Your variance is that of the stored entries around it: the sum of squares "
    "leaves the zeros out, and is divided by the number of stored entries.",
    hint="The variance is a mean over the same D entries. One zero adds `(0 - mean)**2`.",
)
def zeros_in_the_mean_only(x, eps=1e-5):
    rows, D = x.shape
    counts = np.diff(x.indptr)
    row = np.repeat(np.arange(rows), counts)
    mean = np.bincount(row, x.data, minlength=rows) / D
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)
    return mean, 1 / np.sqrt(squares / np.maximum(counts, 1) + eps)


@all_entries.known_mistake(
    "the mean is right, the variance is around another one",
    "Your mean is right. For the variance you took the mean of the stored entries, which is "
    "another number, and squared the distances from that.",
    hint="There is one mean in the formula of the variance: the one that you return.",
)
def two_means(x, eps=1e-5):
    rows, D = x.shape
    counts = np.diff(x.indptr)
    row = np.repeat(np.arange(rows), counts)
    total = np.bincount(row, x.data, minlength=rows)
    own = total / np.maximum(counts, 1)
    var = np.bincount(row, (x.data - own[row]) ** 2, minlength=rows) / np.maximum(counts, 1)
    return total / D, 1 / np.sqrt(var + eps)


@all_entries.known_mistake(
    "one zero counted for all of a row's zeros",
    "Your sum of squares has the square of one zero's distance. There are D - n zeros in a row "
    "that stores n entries.",
    hint="How many entries of each row are not stored? `D - np.diff(x.indptr)`.",
)
def one_zero(x, eps=1e-5):
    rows, D = x.shape
    counts = np.diff(x.indptr)
    row = np.repeat(np.arange(rows), counts)
    mean = np.bincount(row, x.data, minlength=rows) / D
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)
    return mean, 1 / np.sqrt((squares + (counts < D) * mean**2) / D + eps)


@all_entries.known_mistake(
    "the stored entries of the whole matrix counted for each row",
    "`x.nnz` is the number of entries that the whole matrix stores. Each row has a number of its "
    "own.",
    hint="`np.diff(x.indptr)` has the number of stored entries of each row.",
)
def matrix_nnz(x, eps=1e-5):
    rows, D = x.shape
    row = np.repeat(np.arange(rows), np.diff(x.indptr))
    mean = np.bincount(row, x.data, minlength=rows) / D
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)
    var = (squares + (D - x.nnz / rows) * mean**2) / D
    return mean, 1 / np.sqrt(var + eps)


@all_entries.known_mistake(
    "stored zeros counted twice",
    "You counted the zeros as D less the number of values that are not 0. So a stored zero is "
    "among your zeros, and in your sum over the stored entries once more.",
    hint="`np.diff(x.indptr)` counts what is stored; `count_nonzero` counts what is not 0.",
)
def zeros_twice(x, eps=1e-5):
    rows, D = x.shape
    row = np.repeat(np.arange(rows), np.diff(x.indptr))
    mean = np.bincount(row, x.data, minlength=rows) / D
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)
    var = (squares + (D - x.count_nonzero(axis=1)) * mean**2) / D
    return mean, 1 / np.sqrt(var + eps)


@all_entries.known_mistake(
    "one mean and one variance for the whole matrix",
    "Every row of yours has the same mean and the same rstd: those of all entries at once.",
    hint="Sum row by row: `x.sum(axis=1)`, or `np.bincount` with each entry's row.",
)
def statistics_of_the_matrix(x, eps=1e-5):
    rows, D = x.shape
    mean = x.sum() / (rows * D)
    squares = ((x.data - mean) ** 2).sum() + (rows * D - x.nnz) * mean**2
    return np.full(rows, mean), np.full(rows, 1 / np.sqrt(squares / (rows * D) + eps))


@all_entries.known_mistake(
    "statistics by column",
    "You took one mean and one rstd for each column. Layer normalization has one for each row.",
    hint="There are `x.shape[0]` rows: so many entries should your mean have. `axis=1` sums over "
    "the columns.",
)
def statistics_by_column(x, eps=1e-5):
    return row_statistics(x.T.tocsr(), eps)


@all_entries.known_mistake(
    "two columns in place of two arrays of shape (rows,)",
    "Your mean and rstd have shape (rows, 1). The task asks for (rows,).",
    hint="`.ravel()` at the end, or leave `keepdims` and `[:, None]` out.",
)
def as_columns(x, eps=1e-5):
    mean, rstd = row_statistics(x, eps)
    return mean[:, None], rstd[:, None]


@all_entries.known_mistake(
    "the standard deviation in place of rstd",
    "Your second array is sqrt(var + eps). `rstd` is one over that.",
    hint="`1 / np.sqrt(var + eps)`.",
)
def std_returned(x, eps=1e-5):
    mean, rstd = row_statistics(x, eps)
    return mean, 1 / rstd


@all_entries.known_mistake(
    "the variance in place of rstd",
    "Your second array is the variance. `rstd` is 1 / sqrt(var + eps).",
    hint="`1 / np.sqrt(var + eps)`.",
)
def var_returned(x, eps=1e-5):
    mean, rstd = row_statistics(x, eps)
    return mean, rstd**-2 - eps


@all_entries.known_mistake(
    "rstd and mean in the wrong order",
    "You returned rstd first and the mean second.",
    hint="`return mean, rstd`.",
)
def wrong_order(x, eps=1e-5):
    mean, rstd = row_statistics(x, eps)
    return rstd, mean


@all_entries.known_mistake(
    "the unbiased variance",
    "You divided the sum of squared deviations by D - 1. Layer normalization divides by D.",
    hint="Look for `ddof=1`, or for a `- 1` of your own.",
)
def statistics_unbiased(x, eps=1e-5):
    rows, D = x.shape
    counts = np.diff(x.indptr)
    row = np.repeat(np.arange(rows), counts)
    mean = np.bincount(row, x.data, minlength=rows) / D
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)
    var = (squares + (D - counts) * mean**2) / np.float64(D - 1)
    return mean, 1 / np.sqrt(var + eps)


@all_entries.known_mistake(
    "eps outside the square root",
    "You computed 1 / (sqrt(var) + eps). The formula is 1 / sqrt(var + eps).",
    hint="Move `eps` inside: the difference shows as soon as `eps` is not tiny.",
)
def statistics_eps_outside(x, eps=1e-5):
    rows, D = x.shape
    counts = np.diff(x.indptr)
    row = np.repeat(np.arange(rows), counts)
    mean = np.bincount(row, x.data, minlength=rows) / D
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)
    var = (squares + (D - counts) * mean**2) / D
    return mean, 1 / (np.sqrt(var) + eps)


@all_entries.known_mistake(
    "eps left at 1e-5",
    "You use 1e-5 whatever the argument `eps` says.",
    hint="Use the argument `eps`, and nothing else, inside the square root.",
)
def statistics_fixed_eps(x, eps=1e-5):
    return row_statistics(x)


@all_entries.known_mistake(
    "no eps",
    "You divided by the square root of the variance alone. A row that stores nothing has variance "
    "0.",
    hint="Add `eps` to the variance, inside the square root.",
)
def statistics_without_eps(x, eps=1e-5):
    return row_statistics(x, 0.0)


@all_entries.known_mistake(
    "np.add.reduceat on empty rows",
    "`np.add.reduceat` does not give 0 for a row that stores nothing: it gives the next entry, or "
    "an error if there is none.",
    hint="Use `x.sum(axis=1)`, or `np.bincount` with `weights` and `minlength`: both give 0.",
)
def statistics_reduceat(x, eps=1e-5):
    D = x.shape[1]
    counts = np.diff(x.indptr)
    mean = np.add.reduceat(x.data, x.indptr[:-1]) / D
    squares = np.add.reduceat((x.data - np.repeat(mean, counts)) ** 2, x.indptr[:-1])
    return mean, 1 / np.sqrt((squares + (D - counts) * mean**2) / D + eps)


@all_entries.known_mistake(
    "E[x²] − E[x]²",
    "You computed the variance as the mean of the squares less the square of the mean. It is "
    "tempting, for zeros add nothing to either. With an offset both are huge and their difference "
    "has no digits left.",
    hint="Sum `(x.data - mean[row])**2` over the stored entries, and add what the zeros add.",
)
def statistics_by_difference(x, eps=1e-5):
    D = x.shape[1]
    mean = x.sum(axis=1) / D
    var = x.multiply(x).sum(axis=1) / D - mean**2
    return mean, 1 / np.sqrt(np.maximum(var, 0) + eps)


@all_entries.known_mistake(
    "x is another matrix afterwards",
    "Your values are right, but the caller's matrix has changed. Perhaps you subtracted the mean "
    "in `x.data` itself; or an operation such as `power` sorted the columns of an array "
    "that shares `x.indices`.",
    hint="`centred = x.data - mean[row]` makes a new array; `x.data -= mean[row]` does not. Copy "
    "`x.indices` where you make a CSR array from it.",
)
def statistics_in_place(x, eps=1e-5):
    mean, rstd = row_statistics(x, eps)
    x.data -= np.repeat(mean, np.diff(x.indptr))
    return mean, rstd


@all_entries.combination
def no_squares_of_zeros_and_fixed_eps(x, eps=1e-5):
    rows, D = x.shape
    row = np.repeat(np.arange(rows), np.diff(x.indptr))
    mean = np.bincount(row, x.data, minlength=rows) / D
    var = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows) / D
    return mean, 1 / np.sqrt(var + 1e-5)


@all_entries.combination
def by_difference_and_eps_outside(x, eps=1e-5):
    D = x.shape[1]
    mean = x.sum(axis=1) / D
    var = x.multiply(x).sum(axis=1) / D - mean**2
    return mean, 1 / (np.sqrt(np.maximum(var, 0)) + eps)


@all_entries.combination
def zeros_twice_and_as_long_as_a_row(x, eps=1e-5):
    rows, D = x.shape
    mean = x @ np.ones(D) / D
    row = np.repeat(np.arange(rows), np.diff(x.indptr))
    squares = np.bincount(row, (x.data - mean[row]) ** 2, minlength=rows)
    var = (squares + (D - x.count_nonzero(axis=1)) * mean**2) / D
    return mean, 1 / np.sqrt(var + eps)


@all_entries.right_solution
def statistics_row_by_row(x, eps=1e-5):
    D = x.shape[1]
    means, rstds = [], []
    for start, end in zip(x.indptr[:-1], x.indptr[1:], strict=True):
        row = x.data[start:end]
        mean = np.sum(row) / D
        var = (np.sum((row - mean) ** 2) + (D - len(row)) * mean**2) / D
        means.append(mean)
        rstds.append((var + eps) ** -0.5)
    return np.array(means), np.array(rstds)


@all_entries.right_solution
def statistics_of_two_groups(x, eps=1e-5):
    """The variance within the stored entries, and that between them and the zeros."""
    D = x.shape[1]
    counts = np.diff(x.indptr)
    total = x.sum(axis=1)
    own = total / np.maximum(counts, 1)
    centred = x.copy()
    centred.data = x.data - np.repeat(own, counts)
    share = counts / D
    var = centred.power(2).sum(axis=1) / D + share * (1 - share) * own**2
    return total / D, np.reciprocal(np.sqrt(var + eps))


@all_entries.right_solution
def statistics_without_stored_zeros(x, eps=1e-5):
    x = x.copy()
    x.eliminate_zeros()
    D = x.shape[1]
    mean = x.sum(axis=1) / D
    centred = x.copy()
    centred.data = x.data - np.repeat(mean, np.diff(x.indptr))
    squares = centred.multiply(centred).sum(axis=1)
    var = squares / D + (1 - x.count_nonzero(axis=1) / D) * mean**2
    return mean, np.exp(-0.5 * np.log(var + eps))


@all_entries.right_solution
def statistics_shifted(x, eps=1e-5):
    """Squares less the square of the sum, which is safe once x is shifted by a typical value.

    The zeros are shifted with the rest.
    """
    D = x.shape[1]
    counts = np.diff(x.indptr)
    shift = np.asarray(x.sum(axis=1)) / D
    moved = x.data - np.repeat(shift, counts)
    row = np.repeat(np.arange(x.shape[0]), counts)
    first = np.bincount(row, moved, minlength=x.shape[0]) - (D - counts) * shift
    second = np.bincount(row, moved**2, minlength=x.shape[0]) + (D - counts) * shift**2
    var = np.maximum(second / D - (first / D) ** 2, 0)
    return shift + first / D, 1 / np.sqrt(var + eps)


# Task 3: a linear map behind the layer


def exact_linear(x, gamma, beta, weight, bias, eps=1e-5):
    """The background of each row, and what each stored entry adds to it; in float64."""
    D = x.shape[1]
    gamma, beta, weight, bias = (value.double() for value in (gamma, beta, weight, bias))
    common, everywhere = weight @ beta + bias, weight @ gamma
    bounds = x.crow_indices().tolist()
    outputs = []
    for start, end in pairwise(bounds):
        row, column = x.values()[start:end].tolist(), x.col_indices()[start:end]
        mean = math.fsum(row) / D
        squares = [(value - mean) ** 2 for value in row]
        var = math.fsum([*squares, (D - len(row)) * mean**2]) / D
        rstd = 1 / math.sqrt(var + eps)
        # What every column would hold if nothing were stored: -mean, normalised.
        background = common - mean * rstd * everywhere
        stored = torch.tensor(row, dtype=torch.float64) * rstd * gamma[column]
        outputs.append(background + weight[:, column] @ stored)
    return torch.stack(outputs).to(x.dtype)


sparse_linear = Task(
    "ch05_sparse_linear",
    "Layer normalization and a linear map, never dense",
    defines="sparse_norm_linear",
    oracle=exact_linear,
)

PARAMETERS = ("gamma", "beta", "weight", "bias")


@sparse_linear.cases
def linear_cases(rng: np.random.Generator) -> Iterator[Case]:
    rows, columns, outputs = int(rng.integers(4, 7)), int(rng.integers(8, 12)), 3

    def counts():
        return rng.permutation([2, 3, 4, 5, 6, 7])[:rows]

    def inputs(matrix, outputs=outputs, **more):
        D = matrix["shape"][1]
        return {
            **matrix,
            "gamma": draw_scale(rng, D),
            "beta": rng.choice([-1, 1], D) * rng.uniform(0.5, 2, D),
            "weight": rng.normal(size=(outputs, D)),
            "bias": rng.choice([-1, 1], outputs) * rng.uniform(0.5, 2, outputs),
            **more,
        }

    yield Case(
        "the dense layer and the linear map behind it give this, and nothing is made dense",
        points=1.0,
        inputs=inputs(draw_sparse(rng, counts(), columns), eps=1e-5, stretched=True),
        tolerance=DEFINITION,
        judged=("output", "dense array made"),
        hint="For a matrix as small as this one you may compare with the dense layer: "
        "`torch.nn.functional.layer_norm(x.to_dense(), ...)`, then `@ weight.T + bias`. Take the "
        "terms one at a time.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.5,
        inputs=inputs(
            draw_sparse(rng, counts(), columns, spread=(0.4, 0.6), offset=0.5),
            eps=float(rng.uniform(0.1, 0.5)),
        ),
        tolerance=CLOSE,
        hint="Add the argument `eps` to the variance, and take the square root of the sum.",
    )
    yield Case(
        "rows of tiny variance, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs(draw_sparse(rng, counts(), columns, spread=(2e-3, 3e-3), offset=2e-3)),
        tolerance=CLOSE,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    extremes = np.array([0, *rng.permutation([columns, 0, 4, 5, 1]), 0])
    yield Case(
        "empty rows, full rows and stored zeros",
        points=0.5,
        inputs=inputs(draw_sparse(rng, extremes, columns, zeros=2), eps=0.1),
        tolerance=CLOSE,
        hint="A row without entries is normalised to zeros, so its output is `weight @ beta + "
        "bias`. A stored zero counts once, as any zero does.",
    )
    yield Case(
        "columns in any order, and x is left as it was",
        points=0.25,
        inputs=inputs(out_of_order(draw_sparse(rng, counts(), columns)), eps=1e-5),
        tolerance=DEFINITION,
        judged=("x is unchanged", "output"),
        hint="`x.values()` is the caller's own memory: `values - ...` makes a new tensor, "
        "`values -= ...` does not.",
    )
    yield Case(
        "as many rows as columns as outputs",
        points=0.25,
        inputs=inputs(draw_sparse(rng, [2, 5, 3, 2, 4], 5), outputs=5, eps=1e-5),
        tolerance=DEFINITION,
        hint="With equal lengths PyTorch lines up whatever it is given. The mean and rstd go down "
        "the rows: `mean[:, None]`.",
    )
    yield Case(
        "gradients reach gamma, beta, weight and bias, and are right",
        points=0.75,
        inputs=inputs(
            draw_sparse(rng, counts(), columns), eps=0.1, upstream=rng.normal(size=(rows, outputs))
        ),
        tolerance=DEFINITION,
        judged=(
            *(f"gradient reaches {name}" for name in PARAMETERS),
            *(f"d{name}" for name in PARAMETERS),
        ),
        hint="Autograd follows tensor operations. `.data`, `.detach()`, `.numpy()`, `.item()` and "
        "`torch.no_grad()` hide a step from it. x itself needs none: it is data.",
    )
    yield Case(
        "float64 in, all the digits of float64 out",
        points=0.25,
        inputs=inputs(draw_sparse(rng, counts(), columns), eps=1e-5),
        tolerance=FLOAT64,
        judged=("dtype", "output"),
        by_values=False,
        hint="Make new tensors in the dtype of x: `torch.zeros(rows)` is float32, "
        "`values.new_zeros(rows)` is what values are.",
    )
    full = draw_sparse(rng, np.full(rows, columns), columns, spread=(1.5, 3.0), dtype=np.float32)
    yield Case(
        "float32: an offset of 10,000 does not swamp the variance, and the output is float32",
        points=0.25,
        inputs=inputs(at_an_offset(full, 1e4 + 100 * rng.uniform()), eps=1e-5),
        tolerance=OFFSET_FLOAT32,
        judged=("dtype", "output"),
        by_values=False,
        hint="Subtract the mean before you square. A difference of two large squares keeps no "
        "digits.",
    )


@sparse_linear.known_mistake(
    "made dense",
    "Your values are right, but to get them you wrote out all D entries of the rows, zeros and "
    "all. That does the whole work of the dense layer, even if you do it one row at a time.",
    hint="Take the formula of the output apart: a term with the stored entries, one with the mean, "
    "and one with beta.",
)
def linear_dense(x, gamma, beta, weight, bias, eps=1e-5):
    dense = x.to_dense()
    mean = dense.mean(dim=1, keepdim=True)
    var = dense.var(dim=1, keepdim=True, correction=0)
    return (gamma * (dense - mean) / torch.sqrt(var + eps) + beta) @ weight.T + bias


@sparse_linear.known_mistake(
    "the background is missing",
    "Your output has no term with the mean. After the layer, every entry that is not stored "
    "holds -mean * rstd, times gamma and plus beta: not 0. The linear map sees all of them.",
    hint="What does the dense layer make of a row in which nothing of column j is stored? "
    "Multiply that by `weight[:, j]`, and sum over all columns.",
)
def no_background(x, gamma, beta, weight, bias, eps=1e-5):
    _, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    return rstd * (x @ scaled.T) + weight @ beta + bias


@sparse_linear.known_mistake(
    "centred where something is stored, and nowhere else",
    "You subtracted the mean from the stored entries only, so the others came out as 0. They are "
    "-mean * rstd after the layer, times gamma and plus beta.",
    hint="Leave the stored values as they are, and subtract the mean of all columns after the "
    "product: `mean * (weight * gamma).sum(dim=1)`.",
)
def centred_pattern(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    row = torch.repeat_interleave(torch.arange(x.shape[0]), x.crow_indices().diff())
    x_hat = (x.values() - mean[row, 0]) * rstd[row, 0]
    normalised = torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), x_hat, size=x.shape)
    return normalised @ (weight * gamma).T + weight @ beta + bias


@sparse_linear.known_mistake(
    "everything on the stored entries alone",
    "You centred, scaled and shifted the stored entries, and took all others for 0. After the "
    "layer they are beta - mean * rstd * gamma, and the linear map sees all of them.",
    hint="Two terms go over all columns, whatever is stored: one with the mean and gamma, and "
    "one with beta.",
)
def stored_alone(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    row = torch.repeat_interleave(torch.arange(x.shape[0]), x.crow_indices().diff())
    x_hat = (x.values() - mean[row, 0]) * rstd[row, 0]
    values = gamma[x.col_indices()] * x_hat + beta[x.col_indices()]
    normalised = torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, size=x.shape)
    return normalised @ weight.T + bias


@sparse_linear.known_mistake(
    "beta on the stored entries alone",
    "Your terms with gamma and the mean are right. But beta is added to every entry of a row, "
    "the unstored ones too, so its term is the same for all rows.",
    hint="`weight @ beta`.",
)
def beta_where_stored(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    pattern = torch.sparse_csr_tensor(
        x.crow_indices(), x.col_indices(), torch.ones_like(x.values()), size=x.shape
    )
    scaled = weight * gamma
    return rstd * (x @ scaled.T - mean * scaled.sum(dim=1)) + pattern @ (weight * beta).T + bias


@sparse_linear.known_mistake(
    "the background with the wrong sign",
    "You added the term with the mean. The layer subtracts the mean.",
    hint="`x @ scaled.T - mean * scaled.sum(dim=1)`, all of it times rstd.",
)
def wrong_sign(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    return rstd * (x @ scaled.T + mean * scaled.sum(dim=1)) + weight @ beta + bias


@sparse_linear.known_mistake(
    "the background without gamma",
    "Your term with the mean has `weight.sum(dim=1)`. Gamma scales the unstored entries as well.",
    hint="`(weight * gamma).sum(dim=1)`, which is `weight @ gamma`.",
)
def background_without_gamma(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    return rstd * (x @ (weight * gamma).T - mean * weight.sum(dim=1)) + weight @ beta + bias


@sparse_linear.known_mistake(
    "the background without rstd",
    "Your term with the mean is not multiplied by rstd. Both, the entry and the mean, are "
    "divided by the same root.",
    hint="`rstd * (... - mean * ...)`: mind the brackets.",
)
def background_without_rstd(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    return rstd * (x @ scaled.T) - mean * scaled.sum(dim=1) + weight @ beta + bias


@sparse_linear.known_mistake(
    "gamma forgotten",
    "Gamma is nowhere in your output.",
    hint="Each column of `weight` is multiplied by the gamma of that column: `weight * gamma`.",
)
def linear_without_gamma(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    return rstd * (x @ weight.T - mean * weight.sum(dim=1)) + weight @ beta + bias


@sparse_linear.known_mistake(
    "beta forgotten",
    "Beta is nowhere in your output.",
    hint="Beta is added to every entry of every row, so it adds `weight @ beta` to every row of "
    "the output.",
)
def linear_without_beta(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    return rstd * (x @ scaled.T - mean * scaled.sum(dim=1)) + bias


@sparse_linear.known_mistake(
    "beta multiplied by rstd",
    "Your term with beta is multiplied by rstd. Beta is added after the division.",
    hint="Only the terms with x and with the mean stand inside the brackets after `rstd *`.",
)
def beta_times_rstd(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    return rstd * (x @ scaled.T - mean * scaled.sum(dim=1) + weight @ beta) + bias


@sparse_linear.known_mistake(
    "the bias forgotten",
    "The bias of the linear map is nowhere in your output.",
    hint="Add `bias`, of shape (out,), at the end.",
)
def no_bias(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    return rstd * (x @ scaled.T - mean * scaled.sum(dim=1)) + weight @ beta


@sparse_linear.known_mistake(
    "the bias multiplied by rstd",
    "You multiplied the bias by rstd with the rest. It belongs to the linear map, which comes "
    "after the layer.",
    hint="`rstd * (...) + weight @ beta + bias`.",
)
def bias_times_rstd(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    return rstd * (x @ scaled.T - mean * scaled.sum(dim=1) + bias) + weight @ beta


@sparse_linear.known_mistake(
    "the linear map alone",
    "You applied the linear map to x, without the layer before it.",
    hint="Compare with `layer_norm(x.to_dense(), ...) @ weight.T + bias` on a small matrix.",
)
def no_norm(x, gamma, beta, weight, bias, eps=1e-5):
    return x @ weight.T + bias


@sparse_linear.known_mistake(
    "the statistics of the stored entries",
    "Your mean and rstd are those of the stored entries. This task is about the other reading: "
    "all D entries of a row, its zeros included.",
    hint="Your `row_statistics` of the task before does it.",
)
def linear_of_stored_statistics(x, gamma, beta, weight, bias, eps=1e-5):
    counts = x.crow_indices().diff()
    row = torch.repeat_interleave(torch.arange(x.shape[0]), counts)
    zeros, shared = x.values().new_zeros(x.shape[0]), counts.clamp(min=1)
    mean = zeros.index_add(0, row, x.values()) / shared
    var = zeros.index_add(0, row, (x.values() - mean[row]).square()) / shared
    scaled = weight * gamma
    centred = x @ scaled.T - mean[:, None] * scaled.sum(dim=1)
    return centred / torch.sqrt(var + eps)[:, None] + weight @ beta + bias


@sparse_linear.known_mistake(
    "the zeros' squares are missing",
    "Your mean is right. But each of the D - n entries that are not stored is as far from it as "
    "0 is, and your sum of squares leaves them out.",
    hint="One zero adds `mean**2` to the sum of squares. How many are there in a row?",
)
def linear_without_zeros_squares(x, gamma, beta, weight, bias, eps=1e-5):
    row = torch.repeat_interleave(torch.arange(x.shape[0]), x.crow_indices().diff())
    zeros, D = x.values().new_zeros(x.shape[0]), x.shape[1]
    mean = zeros.index_add(0, row, x.values()) / D
    var = zeros.index_add(0, row, (x.values() - mean[row]).square()) / D
    scaled = weight * gamma
    centred = x @ scaled.T - mean[:, None] * scaled.sum(dim=1)
    return centred / torch.sqrt(var + eps)[:, None] + weight @ beta + bias


@sparse_linear.known_mistake(
    "weight not transposed",
    "`weight` has shape (out, in), as in `nn.Linear`. A product with x needs its transpose.",
    hint="`x @ scaled.T`.",
)
def not_transposed(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    return rstd * (x @ scaled - mean * scaled.sum(dim=1)) + weight @ beta + bias


@sparse_linear.known_mistake(
    "missing [:, None]",
    "Your mean and rstd have shape (rows,), so PyTorch lines them up with the outputs in place "
    "of the rows.",
    hint="`mean[:, None]` has shape (rows, 1), and so should rstd.",
)
def without_none(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    mean, rstd = mean[:, 0], rstd[:, 0]
    scaled = weight * gamma
    return rstd * (x @ scaled.T - mean * scaled.sum(dim=1)) + weight @ beta + bias


@sparse_linear.known_mistake(
    "eps outside the square root",
    "You divided by sqrt(var) + eps. The formula divides by sqrt(var + eps).",
    hint="If you compute rstd anew here, use your `row_statistics`; if you use it, look there.",
)
def linear_eps_outside(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    var = (rstd**-2 - eps).clamp(min=0)
    scaled = weight * gamma
    centred = x @ scaled.T - mean * scaled.sum(dim=1)
    return centred / (torch.sqrt(var) + eps) + weight @ beta + bias


@sparse_linear.known_mistake(
    "eps not passed on",
    "Your statistics use 1e-5 whatever the argument `eps` says.",
    hint="`row_statistics(as_scipy_csr(x), eps)`.",
)
def eps_not_passed(x, gamma, beta, weight, bias, eps=1e-5):
    return sparse_norm_linear(x, gamma, beta, weight, bias)


@sparse_linear.known_mistake(
    "parameters detached",
    "The numbers are right, and no gradient reaches gamma, beta, weight and bias: they would "
    "never learn.",
    hint="`.detach()`, `.data`, `.numpy()` and `torch.no_grad()` hide a step from autograd. The "
    "parameters have to stay tensors all the way; only x may become an array.",
)
def detached(x, gamma, beta, weight, bias, eps=1e-5):
    with torch.no_grad():
        return sparse_norm_linear(x, gamma, beta, weight, bias, eps)


@sparse_linear.known_mistake(
    "the parameters of the layer detached",
    "The numbers are right, and gradients reach weight and bias, but not gamma and beta: those "
    "would never learn.",
    hint="Look for `.detach()`, `.data` and `.numpy()` beside gamma and beta.",
)
def norm_detached(x, gamma, beta, weight, bias, eps=1e-5):
    return sparse_norm_linear(x, gamma.detach(), beta.detach(), weight, bias, eps)


@sparse_linear.known_mistake(
    "written into the values of x",
    "You wrote into `x.values()`, which is the memory of x itself. The caller's matrix has "
    "changed.",
    hint="`values = x.values() - ...` makes a new tensor; `values -= ...` and `values.sub_(...)` "
    "do not.",
)
def into_the_values(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    output = rstd * (x @ scaled.T - mean * scaled.sum(dim=1)) + weight @ beta + bias
    row = torch.repeat_interleave(torch.arange(x.shape[0]), x.crow_indices().diff())
    x.values().sub_(mean[row, 0])
    return output


@sparse_linear.known_mistake(
    "float32 whatever x is",
    "Your statistics or your result are float32 where x is float64: half of the digits are lost.",
    hint="`torch.zeros(rows)` is float32. Give `dtype=x.dtype` to every tensor that you make.",
)
def always_float32(x, gamma, beta, weight, bias, eps=1e-5):
    parts = (value.float() for value in (x, gamma, beta, weight, bias))
    return sparse_norm_linear(*parts, eps)


@sparse_linear.known_mistake(
    "E[x²] − E[x]²",
    "You computed the variance as the mean of the squares less the square of the mean. It is "
    "tempting, for zeros add nothing to either. With an offset both are huge and their "
    "difference has no digits left.",
    hint="Sum `(values - mean[row])**2` over the stored entries, and add what the zeros add.",
)
def linear_by_difference(x, gamma, beta, weight, bias, eps=1e-5):
    row = torch.repeat_interleave(torch.arange(x.shape[0]), x.crow_indices().diff())
    zeros, D = x.values().new_zeros(x.shape[0]), x.shape[1]
    mean = zeros.index_add(0, row, x.values())[:, None] / D
    second = zeros.index_add(0, row, x.values().square())[:, None] / D
    scaled = weight * gamma
    centred = x @ scaled.T - mean * scaled.sum(dim=1)
    var = (second - mean.square()).clamp(min=0)
    return centred / torch.sqrt(var + eps) + weight @ beta + bias


@sparse_linear.combination
def wrong_sign_and_no_beta(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    scaled = weight * gamma
    return rstd * (x @ scaled.T + mean * scaled.sum(dim=1)) + bias


@sparse_linear.combination
def detached_and_eps_not_passed(x, gamma, beta, weight, bias, eps=1e-5):
    with torch.no_grad():
        return sparse_norm_linear(x, gamma, beta, weight, bias)


@sparse_linear.combination
def dense_and_eps_not_passed(x, gamma, beta, weight, bias, eps=1e-5):
    x_hat = torch.nn.functional.layer_norm(x.to_dense(), x.shape[1:], gamma, beta)
    return torch.nn.functional.linear(x_hat, weight, bias)


@sparse_linear.right_solution
def linear_with_row_statistics(x, gamma, beta, weight, bias, eps=1e-5):
    statistics = row_statistics(as_scipy_csr(x), eps)
    mean, rstd = (torch.as_tensor(part, dtype=x.dtype) for part in statistics)
    product = torch.sparse.mm(x, weight.mul(gamma).t())
    centred = product - torch.outer(mean, weight @ gamma)
    return centred * rstd[:, None] + torch.nn.functional.linear(beta, weight, bias)


@sparse_linear.right_solution
def linear_by_embedding_bag(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    counts = x.crow_indices().diff()
    row = torch.arange(x.shape[0]).repeat_interleave(counts)
    x_hat = (x.values() - mean[row, 0]) * rstd[row, 0]
    # What a stored entry has more than its background, -mean * rstd.
    more = x_hat + (mean * rstd)[row, 0]
    table = (gamma[:, None] * weight.T).contiguous()
    stored = torch.nn.functional.embedding_bag(
        x.col_indices(), table, x.crow_indices()[:-1], mode="sum", per_sample_weights=more
    )
    return stored - mean * rstd * table.sum(0) + (weight * beta).sum(1) + bias


@sparse_linear.right_solution
def linear_row_by_row(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    everywhere, common = weight @ gamma, weight @ beta + bias
    outputs = []
    for i in range(x.shape[0]):
        kept = slice(int(x.crow_indices()[i]), int(x.crow_indices()[i + 1]))
        column = x.col_indices()[kept]
        stored = weight[:, column] @ (gamma[column] * x.values()[kept])
        outputs.append(rstd[i] * (stored - mean[i] * everywhere) + common)
    return torch.stack(outputs)


@sparse_linear.right_solution
def linear_with_one_more_column(x, gamma, beta, weight, bias, eps=1e-5):
    mean, rstd = (
        torch.as_tensor(part, dtype=x.dtype)[:, None]
        for part in row_statistics(as_scipy_csr(x), eps)
    )
    """The mean as an input that every row stores: one product does it all."""
    D = x.shape[1]
    counts = x.crow_indices().diff()
    row = torch.arange(x.shape[0]).repeat_interleave(counts)
    end, extra = x.crow_indices()[1:], torch.arange(x.shape[0])
    order = torch.argsort(torch.cat([row, extra]), stable=True)
    values = torch.cat([x.values() * rstd[row, 0], -mean[:, 0] * rstd[:, 0]])[order]
    columns = torch.cat([x.col_indices(), torch.full_like(extra, D)])[order]
    starts = torch.cat([end.new_zeros(1), end + extra + 1])
    wider = torch.sparse_csr_tensor(starts, columns, values, size=(x.shape[0], D + 1))
    scaled = weight * gamma
    return wider @ torch.cat([scaled, scaled.sum(1, keepdim=True)], 1).T + (weight @ beta + bias)


@sparse_linear.right_solution
def linear_as_coo_in_float64(x, gamma, beta, weight, bias, eps=1e-5):
    wide = [value.double() for value in (gamma, beta, weight, bias)]
    gamma, beta, weight, bias = wide
    coo = x.to_sparse_coo().double()
    D = x.shape[1]
    mean = torch.sparse.mm(coo, gamma.new_ones(D, 1)) / D
    row, values = coo.indices()[0], coo.values()
    squares = torch.zeros_like(mean).index_add(0, row, (values[:, None] - mean[row]) ** 2)
    stored = torch.bincount(row, minlength=x.shape[0])[:, None]
    std = ((squares + (D - stored) * mean**2) / D + eps).sqrt()
    scaled = gamma[:, None] * weight.T
    output = (coo @ scaled - mean * scaled.sum(0)) / std + beta @ weight.T + bias
    return output.to(x.dtype)
