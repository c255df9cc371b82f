"""RMSNorm beside layer norm: as geometry, its gradients, its eps and its cost (exercise 5).

`module` is the student's class: `module(normalized_shape, eps)(x)`. `backward` is the student's
function: `backward(dout, x, weight, eps)`.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import nn

from course.student.explorer import Explorer
from course.student.picture import BLUE, GREEN, ORANGE, picture

Backward = Callable[..., Any]

# The row of the explorer, with mean 0 and a standard deviation of 1.
ROW = np.array([-1.6, -0.9, -0.4, 0.1, 0.2, 0.3, 0.7, 1.6])
ROW = (ROW - ROW.mean()) / ROW.std()

# (rows, features) of the arrays whose cost is measured: 1.5 MiB in float32.
MEASURED = (512, 768)
REPEATS = 30
MEBIBYTE = 2**20

# A box round a text that hides the lines behind it.
ERASED = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}


@picture
def two_ways_to_the_circle() -> tuple[Figure, str]:
    """Where layer norm and RMSNorm take the row (1, 7), in a plane of two features."""
    figure = Figure(figsize=(7.5, 4.6))
    axes = figure.subplots()
    axes.set(xlim=(-6.2, 6.8), ylim=(-1.9, 7.6), aspect="equal")
    axes.add_patch(Circle((0, 0), np.sqrt(2), fill=False, color="0.4"))
    axes.annotate("every row of mean square 1", (1.05, -0.95), (2.0, -1.5), color="0.3")
    axes.plot([-1.7, 7], [-1.7, 7], ":", color="0.4")
    axes.text(3.4, 2.2, "rows whose entries\nare all equal", color="0.3")
    axes.plot([-5, 1.7], [5, -1.7], "-", color="0.8", linewidth=1)
    axes.text(-6.0, 5.3, "rows of mean 0", color="0.3")
    _arrow(axes, (1, 7), (0.2, 1.4), BLUE)
    _arrow(axes, (1, 7), (-3, 3), ORANGE)
    _arrow(axes, (-3, 3), (-1, 1), ORANGE)
    axes.plot(1, 7, "o", color="black", markersize=8)
    axes.plot(0.2, 1.4, "s", color=BLUE, markersize=9)
    axes.plot(-1, 1, "D", color=ORANGE, markersize=9)
    axes.plot(-3, 3, "o", color=ORANGE, markersize=5)
    axes.text(1.3, 6.9, "the row (1, 7): RMS 5, mean 4", va="center")
    axes.text(0.95, 3.6, "divide by 5", color=BLUE, weight="bold")
    axes.text(0.6, 1.75, "RMSNorm: (0.2, 1.4)", color=BLUE, weight="bold", bbox=ERASED)
    axes.text(-2.0, 5.7, "subtract\nthe mean 4", color="#9a6a00", weight="bold", ha="right")
    axes.text(-2.5, 1.7, "divide by 3", color="#9a6a00", weight="bold", ha="right")
    axes.text(-1.35, 0.6, "layer norm: (−1, 1)", color="#9a6a00", weight="bold", ha="right")
    axes.set(
        title="RMSNorm goes straight; layer norm leaves the mean behind first",
        xlabel="first feature",
        ylabel="second feature",
    )
    return figure, (
        "A plane of two features, with the row (1, 7) as a point and a circle of radius root 2,"
        " on which every row has a mean square of 1. RMSNorm divides by 5 and moves the point"
        " straight towards the origin, to (0.2, 1.4) on the circle. Layer norm first subtracts the"
        " mean, 4, which moves the point at a right angle to the line of rows of mean 0, to"
        " (-3, 3), then divides by 3: (-1, 1), on the same circle."
    )


def mean_explorer(module: type[nn.Module]) -> Explorer:
    """A row of spread 1 under RMSNorm and layer norm, with sliders for its mean and spread."""
    import ipywidgets as widgets

    sliders = {
        "mean": widgets.FloatSlider(
            value=1.5, min=-6, max=6, step=0.5, description="mean", continuous_update=False
        ),
        "spread": widgets.FloatSlider(
            value=1, min=0.5, max=2, step=0.5, description="spread", continuous_update=False
        ),
    }
    return Explorer(_row_under_both, (module,), sliders)


def _row_under_both(module: type[nn.Module], mean: float, spread: float) -> tuple[Figure, str]:
    x = torch.tensor(mean + spread * ROW)[None]
    with torch.no_grad():
        rms = module(ROW.size).double()(x)[0].numpy()
        layer = nn.LayerNorm(ROW.size).double()(x)[0].numpy()
    figure = Figure(figsize=(8.5, 3.4))
    before, after = figure.subplots(1, 2)
    places = np.arange(ROW.size)
    before.bar(places, x[0].numpy(), color="0.5")
    before.axhline(mean, color="black", linestyle="--", linewidth=1)
    before.set(title="The row", ylabel="value", ylim=(-10, 10))
    after.bar(places - 0.2, rms, width=0.38, color=BLUE, label="your RMSNorm")
    after.bar(places + 0.2, layer, width=0.38, color=ORANGE, label="layer norm")
    after.set(title="The same row, normalised", ylabel="value", ylim=(-2.7, 3.4))
    after.legend(frameon=False, loc="upper center", ncols=2)
    for axes in (before, after):
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xlabel("feature")
        axes.set_xticks(places)
    apart = np.abs(rms - layer).max()
    return figure, (
        f"A row of {ROW.size} features with mean {mean:g} and spread {spread:g}, and the same row"
        f" normalised. RMSNorm's entries lie between {rms.min():z.1f} and {rms.max():z.1f}, layer"
        f" norm's between {layer.min():z.1f} and {layer.max():z.1f}. The two differ by up to"
        f" {apart:z.1f}."
    )


@picture
def apart_as_the_mean_grows(module: type[nn.Module]) -> tuple[Figure, str]:
    """The outputs of RMSNorm and layer norm, entry by entry, against the mean of the row."""
    means = np.linspace(0, 6, 61)
    x = torch.tensor(means[:, None] + ROW)
    with torch.no_grad():
        outputs = {
            "your RMSNorm": module(ROW.size).double()(x).numpy(),
            "layer norm": nn.LayerNorm(ROW.size).double()(x).numpy(),
        }
    figure = Figure(figsize=(8.5, 3.3))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, y), colour in zip(panels, outputs.items(), (BLUE, ORANGE), strict=True):
        axes.plot(means, y, color=colour, linewidth=1.5)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(title=name, xlabel="mean of the row, in units of its spread")
    panels[0].set_ylabel("the eight entries\nof the normalised row")
    rms, layer = outputs.values()
    same = np.abs(rms[0] - layer[0]).max() < 1e-6
    first = "the same in both panels" if same else "not the same in both panels"
    return figure, (
        f"Two panels with the eight normalised entries of a row as its mean grows from 0 to 6"
        f" times its spread. At mean 0 they are {first}. Layer norm's stay between"
        f" {layer[-1].min():z.1f} and {layer[-1].max():z.1f} throughout. RMSNorm's close in on 1:"
        f" at mean 6 they lie between {rms[-1].min():z.1f} and {rms[-1].max():z.1f}."
    )


@picture
def error_against_eps(module: type[nn.Module]) -> tuple[Figure, str]:
    """How far RMSNorm with eps is from the paper's, x / RMS(x), for rows of three sizes."""
    powers = np.arange(-12, 1)
    figure = Figure(figsize=(8, 3.6))
    axes = figure.subplots()
    words = []
    for rms, colour, marker in ((1.0, BLUE, "o"), (0.1, ORANGE, "s"), (0.01, GREEN, "D")):
        row = torch.tensor(ROW)[None]
        x = rms * row / row.square().mean().sqrt()
        exact = x / x.square().mean().sqrt()
        errors = []
        with torch.no_grad():
            for power in powers:
                y = module(ROW.size, 10.0**power).double()(x)
                errors.append(float((y - exact).abs().max() / exact.abs().max()))
        axes.loglog(
            10.0**powers, errors, marker=marker, markersize=5, color=colour, label=f"RMS {rms:g}"
        )
        at = errors[int(np.flatnonzero(powers == -5)[0])]
        words.append(f"{at:.0e} for an RMS of {rms:g}")
    axes.axvline(1e-5, color="0.4", linestyle=":")
    axes.text(1.3e-5, 3e-12, "the default", color="0.3")
    axes.set(
        title="The smaller the row, the more eps takes away",
        xlabel="eps",
        ylabel="relative error of the output\nagainst the paper's x / RMS(x)",
        ylim=(3e-13, 3),
    )
    axes.legend(frameon=False, loc="lower right")
    return figure, (
        "Relative difference between RMSNorm with eps and x / RMS(x), against eps from 1e-12 to 1,"
        " both axes logarithmic: straight lines of slope 1 that level off near 1. At the default"
        f" eps of 1e-5 the difference is {', '.join(words)}."
    )


@picture
def what_backward_removes(backward: Backward) -> tuple[Figure, str]:
    """How much of a gradient lies along the uniform row and along x, before and after backward."""
    rng = np.random.default_rng(3)
    features = 64
    x = torch.tensor(0.3 + rng.normal(size=(200, features)))
    uniform = torch.ones_like(x)
    # With a part along both directions, so that there is something to remove.
    dout = torch.tensor(rng.normal(size=x.shape)) + 0.8 * uniform + 0.8 * x
    weight = torch.ones(features, dtype=x.dtype)
    leaf = x.clone().requires_grad_()
    output = nn.functional.layer_norm(leaf, (features,), weight, None, 1e-5)
    gradients = {
        "dout, what comes in": dout,
        "RMSNorm's dx, by your function": backward(dout.clone(), x.clone(), weight, 1e-5)[0],
        "layer norm's dx, by autograd": torch.autograd.grad(output, leaf, dout)[0],
    }
    directions = {"along the uniform row (1, …, 1)": uniform, "along x": x}
    figure = Figure(figsize=(8, 3.3))
    axes = figure.subplots()
    words = []
    places = np.arange(len(directions))
    for shift, (name, gradient), colour in zip(
        (-0.27, 0, 0.27), gradients.items(), ("0.55", BLUE, ORANGE), strict=True
    ):
        cosines = [
            float(torch.cosine_similarity(gradient, direction, dim=1).abs().mean())
            for direction in directions.values()
        ]
        bars = axes.bar(places + shift, cosines, width=0.25, color=colour, label=name)
        axes.bar_label(bars, fmt="{:.2f}", fontsize=9)
        words.append(f"{name}: " + " and ".join(f"{cosine:.2f}" for cosine in cosines))
    axes.set(
        title="RMSNorm stops what lies along x; layer norm stops both",
        ylabel="|cosine|, mean of 200 rows",
        ylim=(0, 1),
    )
    axes.set_xticks(places, directions)
    axes.legend(frameon=False, fontsize=9, loc="upper center")
    return figure, (
        "Bars for the size of the cosine between a gradient and two directions, the uniform row"
        f" and x. {'; '.join(words)}. A cosine of 0 says that nothing of the gradient lies in that"
        " direction."
    )


@picture
def cost_beside_layer_norm(module: type[nn.Module]) -> tuple[Figure, str]:
    """Measured time and memory of RMSNorm and layer norm, by hand and built into PyTorch."""
    features = MEASURED[1]
    layers: dict[str, nn.Module] = {
        "your RMSNorm": module(features),
        "layer norm by hand": _LayerNormByHand(features),
        "nn.RMSNorm": nn.RMSNorm(features, eps=1e-5),
        "nn.LayerNorm": nn.LayerNorm(features),
    }
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=MEASURED), dtype=torch.float32)
    times = _milliseconds(layers, x)
    memory = {name: _kept_for_backward(layer, x) / MEBIBYTE for name, layer in layers.items()}
    figure = Figure(figsize=(8.5, 3.1))
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(layers))
    colours = [BLUE, ORANGE, BLUE, ORANGE]
    for axes, values, label in (
        (left, times, "forward and backward, milliseconds"),
        (right, memory, "kept for the backward pass, MiB"),
    ):
        bars = axes.barh(places, list(values.values()), color=colours)
        axes.bar_label(bars, fmt="{:.1f}", padding=3)
        axes.set(xlabel=label, xlim=(0, 1.2 * max(values.values())))
    left.set_yticks(places, layers)
    left.invert_yaxis()
    figure.suptitle(f"Measured on this machine, for {MEASURED} in float32", weight="bold", size=11)
    told = [f"{name} {times[name]:.1f} ms and {memory[name]:.1f} MiB" for name in layers]
    return figure, (
        f"Time for a forward and a backward pass on an array of shape {MEASURED} in float32, the"
        f" median of {REPEATS}, and memory kept between the two: {'; '.join(told)}."
    )


class _LayerNormByHand(nn.Module):
    """Layer norm as exercise 3's students write it, for a float32 x and its last dim."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        var = centred.square().mean(-1, keepdim=True)
        return centred * torch.rsqrt(var + 1e-5) * self.weight + self.bias


def _milliseconds(layers: dict[str, nn.Module], x: torch.Tensor) -> dict[str, float]:
    """The median time of a forward and a backward pass, the layers taking turns."""
    dout = torch.ones_like(x)
    times: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(REPEATS + 3):
        for name, layer in layers.items():
            leaf = x.clone().requires_grad_()
            start = time.perf_counter()
            layer(leaf).backward(dout)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(taken[3:])) for name, taken in times.items()}


def _kept_for_backward(layer: nn.Module, x: torch.Tensor) -> int:
    """Bytes that autograd keeps between forward and backward, x and parameters included."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # The output is kept alive, so that no two tensors are counted at one address.
        output = layer(x.clone().requires_grad_())
    del output
    return sum(kept.values())


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkB": 6},
    )
