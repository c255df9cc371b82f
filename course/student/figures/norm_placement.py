"""Where the norm stands in a transformer's layer, and what that does before training (exercise 9).

`pre` and `post` are the student's encoders, `norms_of` is their `gradient_norms`. What is written
last comes first, for a figure's note names its first argument as the one that it waits for.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from course.student.outcome import UnusableError
from course.student.picture import BLUE, ORANGE, picture
from course.student.probes.ex09 import feed_forward_weights, initialise
from course.student.torch_modules import seeded

Encoder = Callable[..., nn.Module]
D_MODEL, HEADS, HIDDEN = 48, 2, 56
BATCH, SEQ = 4, 8
SEEDS = range(10)
DEPTHS = (1, 2, 4, 8, 12)
LAYERS = 6


@picture
def two_placements() -> tuple[Figure, str]:
    """One layer of either kind, drawn from bottom to top."""
    figure = Figure(figsize=(7.5, 4.6))
    left, right = figure.subplots(1, 2)
    _layer(left, "Pre-LN", before=True)
    _layer(right, "Post-LN", before=False)
    return figure, (
        "Two diagrams of one layer, from bottom to top. In Pre-LN a straight line, the stream, goes"
        " from x to the output; each sublayer branches off it, passes a norm, then the sublayer,"
        " and is added to the line; after the last layer comes the final norm. In Post-LN each"
        " sublayer branches off, is added, and then a norm stands on the line itself."
    )


@picture
def gradients_at_the_start(
    norms_of: Callable[..., Any], pre: Encoder, post: Encoder
) -> tuple[Figure, str]:
    """Gradient norms of the feed-forward weights, by layer and by depth, before any training."""
    figure = Figure(figsize=(9, 3.4))
    by_layer, by_depth = figure.subplots(1, 2)
    words = []
    for encoder, name, colour, marker in _kinds(pre, post):
        layers = np.array([_norms(encoder, LAYERS, seed, norms_of) for seed in SEEDS])
        _band(by_layer, range(1, LAYERS + 1), layers, name, colour, marker)
        depths = np.array(
            [[_norms(encoder, depth, seed, norms_of)[-1] for depth in DEPTHS] for seed in SEEDS]
        )
        _band(by_depth, DEPTHS, depths, name, colour, marker)
        first, last = np.median(layers, 0)[[0, -1]]
        shallow, deep = np.median(depths, 0)[[0, -1]]
        words.append(
            f"{name}: last layer {last / first:.1f} times the first; last layer of {DEPTHS[-1]}"
            f" {deep / shallow:.1f} times the only layer of 1"
        )
    by_layer.set(
        title=f"each layer of an encoder of {LAYERS}",
        xlabel="layer",
        ylabel="gradient norm of the\nfeed-forward weights",
        ylim=(0, None),
    )
    by_depth.set(
        title="the last layer, by depth",
        xlabel="layers of the encoder",
        ylim=(0, None),
        xticks=DEPTHS,
    )
    by_depth.legend(frameon=False, loc="lower left")
    return figure, (
        "Gradient norm of the feed-forward weights at initialisation, medians over ten seeds with"
        f" bands from least to largest. {'. '.join(words)}."
    )


@picture
def size_of_the_stream(post: Encoder, pre: Encoder) -> tuple[Figure, str]:
    """The mean squared entry of what each norm reads, through twelve layers at initialisation."""
    depth = DEPTHS[-1]
    figure = Figure(figsize=(7, 3.4))
    axes = figure.subplots()
    at = np.arange(1, depth + 1)
    low, high = 1 + at / 2, 1 + 3 * at / 2
    axes.fill_between(at, low, high, color="0.9", label="Lemma 2, Pre-LN: between these bounds")
    axes.axhline(1.5, color="0.5", linestyle=":", label="Lemma 2, Post-LN: 1.5")
    words = []
    for encoder, name, colour, marker in _kinds(pre, post):
        sizes = np.array([_read_by_norms(encoder, depth, seed) for seed in SEEDS])
        # Two norms a layer. In Pre-LN the layer's result is read by the norm that comes next.
        layers = sizes[:, 2::2] if sizes.shape[1] > 2 * depth else sizes[:, 1::2]
        _band(axes, at, layers, name, colour, marker)
        words.append(f"{name}: {np.median(layers[:, -1]):.1f}")
    axes.set(
        xlabel="layer",
        ylabel="mean squared entry",
        title="what the norm at the end of a layer reads",
        xticks=range(0, depth + 1, 2),
        ylim=(0, None),
    )
    axes.legend(frameon=False, loc="upper left")
    return figure, (
        "Mean squared entry of what the norm after each layer reads, at initialisation, medians"
        f" over ten seeds. After {depth} layers, {'; '.join(words)}. The line of Pre-LN rises"
        " steadily, that of Post-LN is flat."
    )


def _kinds(pre: Encoder, post: Encoder) -> list[tuple[Encoder, str, str, str]]:
    return [(pre, "Pre-LN", BLUE, "o"), (post, "Post-LN", ORANGE, "s")]


def _built(encoder: Encoder, depth: int, seed: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """An encoder with Xavier's initial weights, an input, and an upstream gradient."""
    random = torch.Generator().manual_seed(seed)
    with seeded(seed):
        model = encoder(D_MODEL, HEADS, depth, HIDDEN, 0.0)
    initialise(model, D_MODEL, HIDDEN, random)
    src, upstream = torch.randn(2, BATCH, SEQ, D_MODEL, generator=random)
    return model, src, upstream


def _norms(encoder: Encoder, depth: int, seed: int, norms_of: Callable[..., Any]) -> list[float]:
    model, src, upstream = _built(encoder, depth, seed)
    groups = feed_forward_weights(model, D_MODEL, HIDDEN)
    return [float(norm) for norm in norms_of(model, groups, src, upstream)]


def _read_by_norms(encoder: Encoder, depth: int, seed: int) -> list[float]:
    """The mean square of what each `nn.LayerNorm` reads, in the order in which they are called."""
    model, src, _ = _built(encoder, depth, seed)
    sizes: list[float] = []

    def note(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(inputs[0].square().mean().item())

    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_pre_hook(note)
    with torch.no_grad():
        model(src)
    if len(sizes) < 2 * depth:
        raise UnusableError("it looks for the calls of `nn.LayerNorm`, two in each layer")
    return sizes


def _band(axes: Axes, x: Any, values: np.ndarray, label: str, colour: str, marker: str) -> None:
    """The median over the seeds, and all between the least and the largest."""
    axes.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, np.median(values, 0), color=colour, marker=marker, markersize=4, label=label)


def _layer(axes: Axes, title: str, before: bool) -> None:
    """A layer from bottom to top: the stream on the left, the sublayers on the right."""
    axes.set(xlim=(0, 10), ylim=(-0.6, 13.4), title=title)
    axes.axis("off")
    stream, branch = 2.5, 6.8

    def box(x: float, y: float, text: str, colour: str, width: float) -> None:
        patch = FancyBboxPatch(
            (x - width / 2, y - 0.45), width, 0.9, boxstyle="round,pad=0.05", facecolor=colour,
            edgecolor="0.3", zorder=3,
        )  # fmt: skip
        axes.add_patch(patch)
        axes.text(x, y, text, ha="center", va="center", size=9, zorder=4)

    def arrow(start: tuple[float, float], end: tuple[float, float]) -> None:
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "0.3"}, zorder=2)

    arrow((stream, 0.1), (stream, 12.9))
    axes.text(stream, -0.25, "x", ha="center", va="center")
    for bottom, name in ((0.8, "attention"), (6.0, "feed-forward")):
        axes.plot([stream, branch], [bottom, bottom], color="0.3", linewidth=1, zorder=1)
        top = bottom + (3.9 if before else 2.7)
        if before:
            box(branch, bottom + 1.2, "norm", "#bfe3f5", 3.2)
        box(branch, bottom + (2.6 if before else 1.4), name, "#f7dfae", 3.6)
        axes.plot([branch, branch], [bottom, top], color="0.3", linewidth=1, zorder=1)
        arrow((branch, top), (stream + 0.4, top))
        axes.text(
            stream, top, "+", ha="center", va="center", size=12, zorder=4,
            bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "0.3"},
        )  # fmt: skip
        if not before:
            box(stream, top + 1.3, "norm", "#bfe3f5", 3.2)
    if before:
        box(stream, 11.6, "final norm", "#bfe3f5", 3.2)
        axes.text(stream + 2, 11.6, "once, after the last layer", va="center", size=8)
