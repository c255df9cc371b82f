"""Rows of a batch before and after normalisation (exercise 1's function)."""

from collections.abc import Callable

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from course.student.explorer import Explorer
from course.student.figures.numbered import numbered
from course.student.picture import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, picture

LayerNorm = Callable[..., np.ndarray]

GROUPS = [BLUE, ORANGE, GREEN, RED, PURPLE, SKY]
# The axes stay as they are while sliders move, so that a move is seen as one.
BINS = np.linspace(-12, 12, 97)


@picture
def shared_statistics() -> tuple[Figure, str]:
    """Which entries of a (batch, features) array share a mean: a row, or a column."""
    batch, features = 4, 6
    figure = Figure(figsize=(8, 3.2))
    for axes, axis, title in zip(
        figure.subplots(1, 2),
        (0, 1),
        ("Layer norm: one mean per row", "Batch norm: one mean per column"),
        strict=True,
    ):
        groups = np.indices((batch, features))[axis]
        numbered(axes, groups, ListedColormap(GROUPS), features)
        axes.set(title=title, xlabel="feature", ylabel="sample in the batch")
    return figure, (
        "Two 4 by 6 tables; equal numbers share one mean and variance. Layer norm: each of the 4"
        " rows is a group of its own. Batch norm: each of the 6 columns is."
    )


@picture
def batch_before_and_after(layer_norm: LayerNorm) -> tuple[Figure, str]:
    """A batch as a heat map before and after: rows are normalised, columns are not."""
    rng = np.random.default_rng(7)
    offset = np.array([[0.0], [4.0], [-3.0], [1.0], [8.0], [-6.0]])
    spread = np.array([[1.0], [0.3], [2.0], [4.0], [1.0], [3.0]])
    x = offset + spread * rng.normal(size=(6, 16))
    y = layer_norm(x, np.ones(16), np.zeros(16))
    figure = Figure(figsize=(8, 3.2))
    for axes, values, title in zip(
        figure.subplots(1, 2), (x, y), ("Before", "After layer_norm"), strict=True
    ):
        limit = np.abs(values).max()
        image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        axes.set(title=title, xlabel="feature", ylabel="sample in the batch")
        figure.colorbar(image, ax=axes, label="value")
    row, column = (f"{np.abs(y.mean(axis=axis)).max():.2f}" for axis in (1, 0))
    low, high = (f"{value:.2f}" for value in (y.std(axis=1).min(), y.std(axis=1).max()))
    return figure, (
        "Two heat maps of 6 samples by 16 features. Before, the rows differ in level and spread."
        f" After, the mean of a row is at most {row} from 0 and its standard deviation is between"
        f" {low} and {high}; the mean of a column is up to {column} from 0."
    )


def row_explorer(layer_norm: LayerNorm) -> Explorer:
    """One row as histograms before and after, with sliders for everything that acts on it."""
    import ipywidgets as widgets

    def slider(label: str, value: float, low: float, high: float, step: float) -> widgets.Widget:
        return widgets.FloatSlider(
            value=value, min=low, max=high, step=step, description=label, continuous_update=False
        )

    sliders = {
        "offset": slider("offset", 3, -10, 10, 0.5),
        "scale": slider("scale", 2, -4, 4, 0.1),
        "log_eps": slider("log10 eps", -5, -8, 1, 0.5),
        "gamma": slider("gamma", 1, -3, 3, 0.1),
        "beta": slider("beta", 0, -5, 5, 0.5),
    }
    return Explorer(_row_histograms, (layer_norm,), sliders)


def _row_histograms(
    layer_norm: LayerNorm, offset: float, scale: float, log_eps: float, gamma: float, beta: float
) -> tuple[Figure, str]:
    # A skewed row: its shape shows that normalising moves and stretches, and changes nothing else.
    row = np.random.default_rng(3).gamma(2.0, size=512)
    x = offset + scale * (row - row.mean()) / row.std()
    y = layer_norm(x[None], np.full(512, gamma), np.full(512, beta), 10.0**log_eps)[0]
    before, after = (f"mean {v.mean():z.2f}, standard deviation {v.std():.2f}" for v in (x, y))
    figure = Figure(figsize=(8, 3))
    for axes, values, colour, title in zip(
        figure.subplots(1, 2, sharey=True),
        (x, y),
        (ORANGE, BLUE),
        (f"Before\n{before}", f"After layer_norm\n{after}"),
        strict=True,
    ):
        axes.hist(values, bins=BINS, color=colour)
        axes.axvline(values.mean(), color="black", linewidth=1, linestyle="--")
        axes.set(title=title, xlabel="value of a feature", xlim=(BINS[0], BINS[-1]))
    figure.axes[0].set_ylabel("number of features")
    return figure, (
        f"Histograms of one row of 512 features. Before: {before}. After, with eps"
        f" 1e{log_eps:g}, gamma {gamma:g}, beta {beta:g}: {after}."
    )
