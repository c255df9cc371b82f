"""Layer normalization of sparse inputs: the two readings, what they cost and what they do to texts.

`stored` is the student's `layer_norm_stored`, `statistics` their `row_statistics` and `linear`
their `sparse_norm_linear`.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.sparse import csr_array
from torch.nn import functional

from course.student.picture import BLUE, ORANGE, picture
from course.student.sparse import as_torch_csr, peak_bytes

# The shape of the measurements, and how many of its 10,000,000 entries are stored.
ROWS, COLUMNS, OUTPUTS = 1_000, 10_000, 16
STORED = (1_000, 10_000, 100_000, 1_000_000)


@picture
def two_readings() -> tuple[Figure, str]:
    """A small sparse matrix, and what layer norm makes of it in each reading."""
    x = np.array([[3, 0, 0, 1, 0, 0, 0, 0], [0, 2, 2, 0, 0, 5, 0, 0], [1, 4, 2, 3, 1, 4, 2, 3.0]])
    stored = x != 0
    over_all = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    over_stored = np.array(
        [
            np.where(kept, (row - row[kept].mean()) / row[kept].std(), 0)
            for row, kept in zip(x, stored, strict=True)
        ]
    )
    figure = Figure(figsize=(9.5, 2.6))
    panels = {
        "x": (x, stored, "viridis", (0, 5), ".0f"),
        "over the stored entries": (over_stored, stored, "PuOr_r", (-2.5, 2.5), ".1f"),
        "over all entries": (over_all, np.ones_like(stored), "PuOr_r", (-2.5, 2.5), ".1f"),
    }
    for axes, (title, (values, shown, colours, limits, form)) in zip(
        figure.subplots(1, 3, sharey=True), panels.items(), strict=True
    ):
        axes.set_facecolor("white")
        axes.imshow(
            np.ma.array(values, mask=~shown),
            cmap=colours,
            vmin=limits[0],
            vmax=limits[1],
            alpha=0.6,
            aspect="auto",
        )
        for (row, column), value in np.ndenumerate(values):
            if shown[row, column]:
                text = f"{value:{form}}".replace("-", "−").replace("−0.0", "0.0")
                axes.text(column, row, text, ha="center", va="center", size=8)
            else:
                axes.text(column, row, "·", ha="center", va="center", color="grey")
        axes.set(title=title, xlabel="column", xticks=range(8), yticks=range(3))
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    figure.axes[0].set_ylabel("row")
    return figure, (
        "A matrix of 3 rows and 8 columns three times. First x: row 0 stores 2 entries, row 1"
        " stores 3, row 2 all 8; the other places are empty. Then layer norm over the stored"
        " entries: numbers stand in the same places, the others are still empty. Then over all"
        " entries: there is a number in every place; where nothing was stored it is -0.5 in row 0"
        " and -0.7 in row 1. Row 2, which is full, is the same in both readings."
    )


@picture
def cost_against_stored(stored: Callable[..., Any]) -> tuple[Figure, str]:
    """Time and memory of the layer at one shape, as more and more entries are stored."""
    gamma, beta = np.ones(COLUMNS), np.zeros(COLUMNS)
    dense = random_csr(ROWS, COLUMNS, STORED[0]).toarray()
    dense_ms = milliseconds(lambda: _dense_layer(dense, gamma, beta))
    _, dense_peak = peak_bytes(lambda: _dense_layer(dense, gamma, beta))
    times, peaks = [], []
    for count in STORED:
        x = random_csr(ROWS, COLUMNS, count)
        times.append(milliseconds(partial(stored, x, gamma, beta)))
        peaks.append(peak_bytes(partial(stored, x, gamma, beta))[1] / 1e6)
    figure = Figure(figsize=(9, 3.2))
    left, right = figure.subplots(1, 2)
    for axes, values, flat, label in (
        (left, times, dense_ms, "time of one call [ms]"),
        (right, peaks, dense_peak / 1e6, "most memory held [MB]"),
    ):
        _lines(axes, values, flat, label)
    figure.legend(
        left.lines,
        ["yours, over the stored entries", "the dense layer (NumPy)"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return figure, (
        f"Two panels against the stored entries of a matrix of {ROWS:,} rows and {COLUMNS:,}"
        " columns, 1,000 to 1,000,000 of them, both axes logarithmic. Left, the time of a call,"
        " right, the most memory held. Of the dense layer both are the same throughout. Yours start"
        f" far below and rise with the stored entries; memory from {peaks[0]:.1f} MB to"
        f" {peaks[-1]:.0f} MB, where the dense layer holds {dense_peak / 1e6:.0f} MB."
    )


@picture
def cost_of_the_linear_map(linear: Callable[..., Any]) -> tuple[Figure, str]:
    """Time of layer and linear map, against the stored entries and against the rows."""
    figure = Figure(figsize=(9, 3.2))
    left, right = figure.subplots(1, 2, sharey=True)
    parameters = _parameters(COLUMNS)
    dense = torch.zeros(ROWS, COLUMNS)
    dense_ms = milliseconds(partial(_dense_linear, dense, *parameters))
    times = [
        milliseconds(partial(linear, x, *parameters))
        for x in (as_torch_csr(random_csr(ROWS, COLUMNS, count)) for count in STORED)
    ]
    _lines(left, times, dense_ms, "time of one call [ms]")
    left.set_title(f"{ROWS:,} × {COLUMNS:,}, more and more stored")
    columns, wide, wide_dense = [1_000, 2_000, 4_000, 8_000, 16_000], [], []
    for count in columns:
        parameters = _parameters(count)
        x = as_torch_csr(random_csr(ROWS, count, STORED[1]))
        dense = torch.zeros(ROWS, count)
        wide.append(milliseconds(partial(linear, x, *parameters)))
        wide_dense.append(milliseconds(partial(_dense_linear, dense, *parameters)))
    right.loglog(columns, wide, "o-", color=BLUE)
    right.loglog(columns, wide_dense, "s--", color=ORANGE)
    right.set(title=f"{STORED[1]:,} stored, more and more columns", xlabel="columns")
    figure.legend(
        left.lines,
        ["yours", "the dense layer and linear map (PyTorch)"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return figure, (
        "Time of one call of the layer and a linear map to 16 outputs, for 1,000 rows, both axes"
        f" logarithmic. Left, {COLUMNS:,} columns and 1,000 to 1,000,000 stored entries: the dense"
        " line is flat, yours rises towards it. Right, 10,000 stored entries and 1,000 to 16,000"
        " columns: the dense line rises with the columns, yours much less."
    )


@picture
def words_by_length(
    statistics: Callable[..., Any], stored: Callable[..., Any], counts: csr_array
) -> tuple[Figure, str]:
    """What a word that occurs once, and one that does not, become in texts of any length."""
    distinct = np.diff(counts.indptr)
    mean, rstd = statistics(counts)
    y = stored(counts, np.ones(counts.shape[1]), np.zeros(counts.shape[1]))
    once = np.array([y.data[y.indptr[i] + _a_one(counts, i)] for i in range(counts.shape[0])])
    figure = Figure(figsize=(9, 3.4))
    panels = {
        "over the stored entries": (once, np.zeros_like(once)),
        "over all entries": ((1 - mean) * rstd, -mean * rstd),
    }
    for axes, (title, (present, absent)) in zip(
        figure.subplots(1, 2, sharey=True), panels.items(), strict=True
    ):
        axes.plot(distinct, present, "o", color=BLUE)
        axes.plot(distinct, absent, "s", color=ORANGE, markersize=4)
        axes.axhline(0, color="grey", linewidth=0.8, zorder=0)
        axes.set(title=title, xlabel="different words in the text")
    figure.axes[0].set_ylabel("value after the layer")
    figure.legend(
        figure.axes[0].lines[:2],
        ["a word that occurs once", "a word that does not occur"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return figure, (
        f"Two panels, a pair of points for each of {len(once)} texts, against the number of"
        f" different words in it, {distinct.min()} to {distinct.max()}. Over the stored entries a"
        f" word that occurs once comes out between {once.min():.1f} and {once.max():.1f}, below an"
        " absent word, which stays 0. Over all entries an absent word comes out between"
        f" {min(-mean * rstd):.1f} and {max(-mean * rstd):.1f}, and a word that occurs once falls"
        f" from {max((1 - mean) * rstd):.1f} in the shortest text to"
        f" {min((1 - mean) * rstd):.1f} in the longest."
    )


def random_csr(rows: int, columns: int, stored: int, seed: int = 0) -> csr_array:
    """A CSR array with so many positive float32 entries in random places."""
    rng = np.random.default_rng(seed)
    places = np.sort(rng.choice(rows * columns, stored, replace=False, shuffle=False))
    values = rng.uniform(0.5, 1.5, stored).astype(np.float32)
    return csr_array((values, (places // columns, places % columns)), shape=(rows, columns))


def milliseconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """The time of the fastest of some calls, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def _lines(axes: Axes, values: Iterable[float], dense: float, label: str) -> None:
    axes.loglog(STORED, list(values), "o-", color=BLUE)
    axes.loglog(STORED, [dense] * len(STORED), "s--", color=ORANGE)
    axes.set(xlabel="stored entries", ylabel=label)


def _dense_layer(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta


def _dense_linear(
    x: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
) -> torch.Tensor:
    x_hat = functional.layer_norm(x, x.shape[1:], gamma, beta)
    return functional.linear(x_hat, weight, bias)


def _parameters(columns: int) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(0)
    return (
        torch.ones(columns),
        torch.zeros(columns),
        torch.randn(OUTPUTS, columns, generator=random),
        torch.zeros(OUTPUTS),
    )


def _a_one(counts: csr_array, row: int) -> int:
    """Where among the stored entries of a row the first 1 stands."""
    return int(np.argmax(counts.data[counts.indptr[row] : counts.indptr[row + 1]] == 1))
