"""Activations through the depth of a network, without and with layer norm (exercise 8).

`visualize` is the student's function: `visualize(depth, width, batch, gain, seed)` returns a figure
and the activations in it.
"""

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course.student.explorer import Explorer
from course.student.picture import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, picture, png_of

Visualize = Callable[..., tuple[Figure, dict[str, dict[Any, Any]]]]

COLOURS = {"without": ORANGE, "with": BLUE}
STYLES = {"without": "s--", "with": "o-"}
KAIMING = 2**0.5
GAINS = {"too small, 1": 1.0, "right, 1.41": KAIMING, "too large, 2": 2.0}
DEPTH, WIDTH, BATCH = 16, 64, 256


def _asked(visualize: Visualize, **arguments: Any) -> tuple[Figure, dict[str, list[np.ndarray]]]:
    """Call the student's function; the layers of each network in order, as arrays."""
    before = set(plt.get_fignums())
    figure, activations = visualize(**arguments)
    for number in set(plt.get_fignums()) - before:
        plt.close(number)
    return figure, {
        network: [
            np.asarray(torch.as_tensor(z).detach(), np.float64)
            for z in activations[network].values()
        ]
        for network in COLOURS
    }


@picture
def where_to_record() -> tuple[Figure, str]:
    """The two networks as chains of boxes, with marks where activations are recorded."""
    figure = Figure(figsize=(9, 2.6))
    axes = figure.subplots()
    chains = {
        "without": ["x", "Linear", "ReLU", "Linear", "ReLU", "..."],
        "with": ["x", "Linear", "LayerNorm", "ReLU", "Linear", "LayerNorm", "ReLU", "..."],
    }
    paint = {"Linear": SKY, "LayerNorm": GREEN, "ReLU": PURPLE}
    for row, (network, boxes) in enumerate(chains.items()):
        at, layer = 0.0, 0
        axes.text(-0.7, -row, network, ha="right", va="center", weight="bold")
        for box, following in zip(boxes, [*boxes[1:], ""], strict=True):
            wide = 1.3 if box in paint else 0.5
            frame = {"boxstyle": "round", "facecolor": paint.get(box, "white"), "alpha": 0.5}
            axes.text(at + wide / 2, -row, box, ha="center", va="center", bbox=frame)
            if following:
                axes.annotate(
                    "",
                    (at + wide + 0.62, -row),
                    (at + wide + 0.02, -row),
                    arrowprops={"arrowstyle": "->"},
                )
            if following == "ReLU":
                layer += 1
                axes.plot(at + wide + 0.3, -row, "o", color=RED, markersize=9)
                axes.text(at + wide + 0.3, -row + 0.28, f"layer {layer}", ha="center", color=RED)
            at += wide + 0.65
    axes.set(xlim=(-2.2, 13.9), ylim=(-1.5, 0.6))
    axes.axis("off")
    return figure, (
        "Two chains. Without: x, Linear, ReLU, Linear, ReLU and so on, recorded after each Linear."
        " With: x, Linear, LayerNorm, ReLU, Linear, LayerNorm, ReLU and so on, recorded after each"
        " LayerNorm. In both, what is recorded is the input of a ReLU."
    )


@picture
def own_figure(visualize: Visualize) -> tuple[Figure, str]:
    """The figure that the student's function returns when it is called with no argument."""
    figure, activations = _asked(visualize)
    png_of(figure)  # what cannot be drawn should say so here
    ends = {name: (layers[0].std(), layers[-1].std()) for name, layers in activations.items()}
    words = "; ".join(
        f"{name} layer norm {first:.1f} in the first layer and {last:.1f} in the last"
        for name, (first, last) in ends.items()
    )
    return figure, f"Your figure. The spread of the numbers in it: {words}."


@picture
def histograms_by_gain(visualize: Visualize) -> tuple[Figure, str]:
    """Histograms of four layers for three gains, both networks in each panel."""
    shown = [1, 4, 8, 16]
    figure = Figure(figsize=(9, 5))
    grid = figure.subplots(len(GAINS), len(shown), sharex=True, sharey=True)
    bins = np.linspace(-4, 4, 65)
    within = {}
    for place, (words, gain) in enumerate(GAINS.items()):
        row = grid[place]
        _, activations = _asked(visualize, depth=DEPTH, width=WIDTH, batch=BATCH, gain=gain, seed=0)
        for axes, layer in zip(row, shown, strict=True):
            for network, layers in activations.items():
                values = layers[layer - 1].ravel()
                counts = np.histogram(values, bins)[0] / values.size / np.diff(bins)
                axes.stairs(
                    counts,
                    bins,
                    color=COLOURS[network],
                    fill=network == "without",
                    alpha=0.6 if network == "without" else 1,
                    linewidth=1.5,
                    label=f"{network} layer norm",
                )
            if place == 0:
                axes.set_title(f"layer {layer}")
            if place == len(grid) - 1:
                axes.set_xlabel("input of the ReLU")
        row[0].set_ylabel(f"gain {words}\n\ndensity", fontsize=9)
        row[0].set(ylim=(0, 1), xlim=(-4, 4))
        within[gain] = [float(np.mean(np.abs(a[-1]) < 0.1)) for a in activations.values()]
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    small = within[GAINS["too small, 1"]]
    return figure, (
        "Histograms of layers 1, 4, 8 and 16 in a row for each of three gains, on the same axes."
        " Without layer norm and with gain 1 they draw together to a spike at 0: in layer 16"
        f" {small[0]:.0%} of the numbers are between -0.1 and 0.1, against {small[1]:.0%} "
        f"with layer"
        " norm. With gain 1.41 they keep their width; with gain 2 they flatten until nothing "
        "is left"
        " on the axes. With layer norm all twelve histograms look alike."
    )


@picture
def statistics_through_depth(visualize: Visualize) -> tuple[Figure, str]:
    """Spread, share of dead units and likeness of samples against depth, for three gains."""
    figure = Figure(figsize=(9, 3.4))
    panels = figure.subplots(1, 3)
    numbers = np.arange(1, DEPTH + 1)
    ends: dict[str, dict[float, list[float]]] = {network: {} for network in COLOURS}
    for gain, marker in zip(GAINS.values(), "v^o", strict=True):
        _, activations = _asked(visualize, depth=DEPTH, width=WIDTH, batch=BATCH, gain=gain, seed=0)
        for network, layers in activations.items():
            curves = [
                [float(z.std()) for z in layers],
                [float((z <= 0).all(axis=0).mean()) for z in layers],
                [_likeness(z) for z in layers],
            ]
            ends[network][gain] = [curve[-1] for curve in curves]
            for axes, curve in zip(panels, curves, strict=True):
                axes.plot(
                    numbers,
                    curve,
                    marker + ("--" if network == "without" else "-"),
                    color=COLOURS[network],
                    markersize=4,
                    alpha=0.8,
                    label=f"{network}, gain {gain:.3g}",
                )
    panels[0].set(title="Spread", ylabel="standard deviation", yscale="log")
    panels[1].set(title="Dead units", ylabel="share of the units", ylim=(-0.02, 0.6))
    panels[2].set(title="Likeness of samples", ylabel="mean cosine of two samples", ylim=(-0.05, 1))
    for axes in panels:
        axes.set_xlabel("layer")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    spread = [ends["without"][gain][0] for gain in GAINS.values()]
    dead, alike = (
        [np.mean([values[i] for values in ends[network].values()]) for network in COLOURS]
        for i in (1, 2)
    )
    return figure, (
        "Three panels over 16 layers, for gains 1, 1.41 and 2. Spread: without layer norm"
        f" {spread[0]:.1g}, {spread[1]:.1g} and {spread[2]:.1g} in the last layer; with layer "
        f"norm 1"
        f" throughout. Dead units in the last layer: {dead[0]:.0%} without, {dead[1]:.0%} with,"
        " whatever the gain. The mean cosine of two samples rises from 0 to about"
        f" {alike[0]:.1f} without and {alike[1]:.1f} with, whatever the gain."
    )


def _likeness(layer: np.ndarray) -> float:
    """The mean cosine of two different rows."""
    rows = layer / np.linalg.norm(layer, axis=1, keepdims=True)
    count = len(rows)
    return float((np.square(rows.sum(axis=0)).sum() - count) / (count * (count - 1)))


@picture
def gradients_through_depth() -> tuple[Figure, str]:
    """The norm of the gradient of each layer's weights, for three gains."""
    figure = Figure(figsize=(9, 3.2))
    panels = figure.subplots(1, 2, sharey=True)
    means: dict[str, list[float]] = {network: [] for network in COLOURS}
    for axes, network in zip(panels, COLOURS, strict=True):
        for gain, marker, colour in zip(
            GAINS.values(), "v^o", (ORANGE, GREEN, PURPLE), strict=True
        ):
            norms = gradient_norms(gain, network == "with")
            means[network].append(float(np.exp(np.log(norms).mean())))
            axes.semilogy(
                range(1, DEPTH + 1),
                norms,
                f"{marker}-",
                color=colour,
                markersize=4,
                label=f"gain {gain:.3g}",
            )
        axes.set(title=f"{network.capitalize()} layer norm", xlabel="layer")
    panels[0].set_ylabel("norm of the gradient\nof the weights")
    panels[1].legend(frameon=False)
    low, right, high = means["without"]
    normed = means["with"]
    return figure, (
        "Norm of the gradient of the weights of 16 layers, on a logarithmic axis. Without "
        "layer norm"
        f" the lines are level, but far apart: gain 1 lies about {right / low:.0f} times below gain"
        f" 1.41, and gain 2 about {high / right:.0f} times above. With layer norm they are level"
        f" and close: the largest is {normed[0] / normed[2]:.1f} times the smallest."
    )


def gradient_norms(gain: float, norm: bool, seed: int = 0) -> list[float]:
    """The norms of the weights' gradients, from a random gradient of the output.

    Args:
        gain: the weights have standard deviation gain / sqrt(width).
        norm: whether the network has layer norms.
        seed: of input, weights and upstream gradient.
    """
    random = torch.Generator().manual_seed(seed)
    h = torch.randn(BATCH, WIDTH, generator=random)
    weights = [
        (gain / WIDTH**0.5 * torch.randn(WIDTH, WIDTH, generator=random)).requires_grad_()
        for _ in range(DEPTH)
    ]
    for weight in weights:
        z = h @ weight.T
        h = torch.relu(nn.functional.layer_norm(z, (WIDTH,)) if norm else z)
    upstream = torch.randn(h.shape, generator=random) / h.numel() ** 0.5
    return [float(g.norm()) for g in torch.autograd.grad((h * upstream).sum(), weights)]


def depth_explorer(visualize: Visualize) -> Explorer:
    """Where the numbers of each layer lie, with controls for depth, gain, seed and the norm."""
    import ipywidgets as widgets

    sliders = {
        "depth": widgets.IntSlider(
            value=12, min=2, max=32, description="depth", continuous_update=False
        ),
        "gain": widgets.FloatSlider(
            value=1.0, min=0.4, max=3, step=0.1, description="gain", continuous_update=False
        ),
        "seed": widgets.IntSlider(
            value=0, min=0, max=20, description="seed", continuous_update=False
        ),
        "norm": widgets.Checkbox(value=True, description="show the network with layer norm"),
    }
    return Explorer(_bands, (visualize,), sliders)


def _bands(
    visualize: Visualize, depth: int, gain: float, seed: int, norm: bool
) -> tuple[Figure, str]:
    _, activations = _asked(visualize, depth=depth, width=WIDTH, batch=128, gain=gain, seed=seed)
    figure = Figure(figsize=(8, 3.2))
    axes = figure.subplots()
    numbers = np.arange(1, depth + 1)
    shown = list(COLOURS) if norm else ["without"]
    for network in shown:
        layers = activations[network]
        low, quarter, upper, high = np.percentile(
            np.stack([z.ravel() for z in layers]), [5, 25, 75, 95], axis=1
        )
        colour = COLOURS[network]
        axes.fill_between(numbers, low, high, color=colour, alpha=0.2)
        axes.fill_between(numbers, quarter, upper, color=colour, alpha=0.4)
        last = layers[-1].std()
        label = f"{network} layer norm: spread {last:.2g} in layer {depth}"
        axes.plot(numbers, upper, STYLES[network], color=colour, markersize=3, label=label)
        axes.plot(numbers, quarter, STYLES[network], color=colour, markersize=3)
    axes.set_yscale("symlog", linthresh=1)
    axes.set(xlabel="layer", ylabel="input of the ReLU", ylim=(-1000, 1000))
    axes.legend(frameon=False, loc="upper left")
    spreads = ", ".join(f"{network} {activations[network][-1].std():.2g}" for network in shown)
    return figure, (
        f"Bands of the middle 50 % and 90 % of the numbers in each of {depth} layers, for gain"
        f" {gain:.2g} and seed {seed}. Spread in the last layer: {spreads}."
    )


@picture
def input_to_output(visualize: Visualize) -> tuple[Figure, str]:
    """What layer norm makes of each number: for tokens of one scale, and of many."""
    _, activations = _asked(visualize, depth=2, width=WIDTH, batch=BATCH, gain=1.0, seed=0)
    alike = activations["without"][0], activations["with"][0]
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.normal(0, 1, size=(2048, 1)))
    mixed = sizes * rng.normal(size=(2048, WIDTH))
    mixed_out = (mixed - mixed.mean(1, keepdims=True)) / mixed.std(1, keepdims=True)
    figure = Figure(figsize=(9, 3.4))
    panels = figure.subplots(1, 2, sharey=True)
    titles = ("Your layer 1: samples of one scale", "Tokens of many scales")
    for axes, (x, y), title in zip(panels, (alike, (mixed, mixed_out)), titles, strict=True):
        step = x.size // 6000
        axes.plot(x.ravel()[::step], y.ravel()[::step], ".", color=SKY, markersize=2, alpha=0.4)
        order = np.argsort(x.std(1))
        for row in order[[len(order) // 20, len(order) // 2, -len(order) // 20]]:
            along = np.argsort(x[row])
            axes.plot(x[row, along], y[row, along], "-", color=RED, linewidth=1.5)
        axes.set(title=title, xlabel="input of the norm")
    limit = float(np.quantile(np.abs(mixed), 0.99))
    edges = np.linspace(-limit, limit, 42)
    middle = (edges[1:] + edges[:-1]) / 2
    place = np.digitize(mixed.ravel(), edges) - 1
    mean = np.array([mixed_out.ravel()[place == i].mean() for i in range(len(middle))])
    panels[1].plot(middle, mean, "-", color="black", linewidth=2)
    panels[1].set(xlim=(-limit, limit))
    panels[0].set_ylabel("output of the norm")
    panels[1].plot([], [], "-", color=RED, label="one token: a straight line")
    panels[1].plot([], [], "-", color="black", label="mean output at an input")
    panels[1].legend(frameon=False, loc="upper left", fontsize="small")
    slopes = [float(np.interp(at, middle, mean)) / at for at in (0.5, limit * 0.9)]
    return figure, (
        "Output of layer norm against its input, one dot a number. Left, your first layer: all"
        " samples have about the same scale, and the dots lie close to one straight line. Right,"
        " tokens of many scales: each token is a straight line, small ones steep and large ones"
        " flat; the mean over all tokens is an S, whose ratio of output to input falls from"
        f" {slopes[0]:.1f} near 0 to {slopes[1]:.1f} at the ends."
    )
