"""A normalising module: which dims share a mean, and what half precision does to it (exercise 3).

`module` is the student's class: `module(normalized_shape)(x)`.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course.student.figures.numbered import numbered
from course.student.picture import BLUE, ORANGE, picture


@picture
def shared_over_dims() -> tuple[Figure, str]:
    """Which entries of an (N, C, H, W) array share a mean, for three normalized_shapes."""
    N, C, H, W = 2, 2, 2, 3
    figure = Figure(figsize=(9, 3))
    panels = {"(W,)": (N, C, H), "(H, W)": (N, C), "(C, H, W)": (N,)}
    subfigures = np.ravel(np.array(figure.subfigures(1, 3)))
    for subfigure, (title, groups) in zip(subfigures, panels.items(), strict=True):
        subfigure.suptitle(f"normalized_shape = {title}", weight="bold", size=11)
        index = np.arange(np.prod(groups)).reshape(groups + (1,) * (4 - len(groups)))
        group = np.broadcast_to(index, (N, C, H, W))
        for (n, c), axes in np.ndenumerate(subfigure.subplots(N, C)):
            numbered(axes, group[n, c], "tab10", 10)
            axes.tick_params(length=0, labelsize=8)
            if n == 0:
                axes.set_title(f"channel {c}", weight="normal", size=9)
            if n == N - 1:
                axes.set_xlabel("w", size=9)
            if c == 0:
                axes.set_ylabel(f"sample {n}\nh", size=9)
    return figure, (
        "An array with 2 samples, 2 channels, height 2 and width 3, drawn three times; equal"
        " numbers share one mean and variance. For (W,) each row of each channel is a group: 8"
        " groups of 3. For (H, W) each channel of each sample is one: 4 groups of 6. For (C, H, W)"
        " each sample is one: 2 groups of 12."
    )


@picture
def error_against_offset(module: type[nn.Module]) -> tuple[Figure, str]:
    """The error of the output against float64, of the module and with every step in its dtype."""
    features, offsets = 64, np.logspace(0, 3, 16)
    rows = 4 * np.random.default_rng(0).normal(size=(64, features))
    figure = Figure(figsize=(9, 3.1))
    words = []
    for axes, dtype in zip(
        figure.subplots(1, 3, sharey=True),
        (torch.float16, torch.bfloat16, torch.float32),
        strict=True,
    ):
        name = str(dtype).removeprefix("torch.")
        layer = module(features).to(dtype)
        errors: dict[str, list[float]] = {"yours": [], "own dtype": []}
        with torch.no_grad():
            for offset in offsets:
                # As stored: what rounding did to the row itself is nobody's mistake.
                x = torch.tensor(rows + offset).to(dtype)
                truth = _normalised(x.double())
                for key, output in (("yours", layer(x)), ("own dtype", _normalised(x))):
                    error = (output.double() - truth).square().mean().sqrt()
                    errors[key].append(float(error))
        axes.loglog(offsets, errors["own dtype"], "s--", color=ORANGE, markersize=4)
        axes.loglog(offsets, errors["yours"], "o-", color=BLUE, markersize=4)
        axes.set(title=f"x in {name}", xlabel="offset of the row (spread 4)")
        last = {key: values[-1] for key, values in errors.items()}
        words.append(f"{name}: {last['own dtype']:.0e} and {last['yours']:.0e}")
    axes = figure.axes[0]
    axes.set_ylabel("root mean square error\nof the output")
    labels = ["every step in the dtype of x", "your module"]
    figure.legend(axes.lines, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure, (
        "Error of layer norm against float64 for rows of spread 4, as their offset grows from 1 to"
        " 1000; one panel a dtype. Errors at offset 1000, first with every step in the dtype of x,"
        f" then with your module. {'; '.join(words)}."
    )


@picture
def summed_in_half(module: type[nn.Module]) -> tuple[Figure, str]:
    """The spread of the output as rows get longer, with sums in float16 and by the module."""
    lengths = 2 ** np.arange(6, 17)
    row = np.random.default_rng(1).normal(size=lengths[-1]).astype(np.float16)
    half, yours = [], []
    for length in lengths:
        x = row[:length]
        centred = x - _mean_in_half(x)
        var = float(_mean_in_half(centred**2))
        half.append(float(centred.std(dtype=np.float64) / np.sqrt(var + 1e-5)))
        with torch.no_grad():
            output = module(int(length)).half()(torch.tensor(x)[None])
        yours.append(float(output.double().std(correction=0)))
    figure = Figure(figsize=(7, 3))
    axes = figure.subplots()
    axes.plot(lengths, half, "s--", color=ORANGE, label="sums rounded to float16 at every step")
    axes.plot(lengths, yours, "o-", color=BLUE, label="your module, float16 in and out")
    axes.set_xscale("log", base=2)
    axes.set(
        xlabel="features in a row",
        ylabel="standard deviation\nof the output (should be 1)",
        ylim=(0.8, 2.1),
    )
    axes.legend(frameon=False, loc="upper left")
    return figure, (
        "Standard deviation of a normalised row, which should be 1, for rows of 64 to 65,536"
        " features. With sums rounded to float16 at every step it stays near 1 up to about 2,000"
        f" features and reaches {half[-1]:.1f} at 65,536; your module gives {yours[-1]:.1f} there."
    )


def _normalised(x: torch.Tensor) -> torch.Tensor:
    """Layer norm of the last dim, every step in the dtype of x."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def _mean_in_half(x: np.ndarray) -> np.float16:
    """The mean of float16 numbers, from a sum that is rounded to float16 after each term."""
    return np.float16(float(np.cumsum(x, dtype=np.float16)[-1]) / x.size)
