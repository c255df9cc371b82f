"""Groups of channels: which values share a mean, what is left of the rest, and what it is good for.

`module` is the student's class: `module(num_groups, num_channels)(x)`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from course.student.figures.numbered import numbered
from course.student.picture import BLUE, GREEN, ORANGE, Note, Picture, picture

# Errors in percent, of several seeds.
Errors = Mapping[tuple[str, int], Sequence[float]]

# By the first word of a norm's name: its look, and how far it is moved aside.
_LOOKS: dict[str, tuple[dict[str, Any], float]] = {
    "batch": ({"color": ORANGE, "marker": "s", "linestyle": "--"}, -0.07),
    "group": ({"color": BLUE, "marker": "o", "linestyle": "-"}, 0.07),
    "layer": ({"color": GREEN, "marker": "^", "linestyle": ":"}, 0.0),
}


@picture
def groups_of_channels() -> tuple[Figure, str]:
    """Which entries of two samples share a mean, with one, two and four groups of channels."""
    samples, channels, places = 2, 4, 3
    figure = Figure(figsize=(8, 3.6))
    kinds = {1: "G = 1", 2: "G = 2", 4: "G = 4 = C"}
    for column, (num_groups, title) in enumerate(kinds.items()):
        for sample in range(samples):
            axes = figure.add_subplot(samples, len(kinds), sample * len(kinds) + column + 1)
            of_channel = sample * num_groups + np.arange(channels) // (channels // num_groups)
            numbered(axes, np.tile(of_channel, (places, 1)), "tab10", 10)
            axes.tick_params(length=0, labelsize=8)
            if sample == 0:
                axes.set_title(title)
                axes.set_xticks([])
            else:
                axes.set_xlabel("channel")
            if column == 0:
                axes.set_ylabel(f"sample {sample}\nplace")
    return figure, (
        "Two samples with 4 channels and 3 places each, drawn three times; equal numbers share one"
        " mean and variance. With one group, each sample is a block of its own: 2 blocks of 12"
        " values. With two groups, channels 0 and 1 of a sample are one block and channels 2 and 3"
        " another: 4 blocks of 6. With four groups, each channel of each sample is one: 8 blocks"
        " of 3."
    )


@picture
def what_is_left_of_the_means(module: type[nn.Module]) -> tuple[Figure, str]:
    """The mean of each channel of one sample, before the norm and after it with 1 to 8 groups."""
    levels = torch.tensor([0.5, 1.0, 2.0, 1.5, 5.0, 6.0, 4.0, 7.0])
    noise = torch.randn(8, 6, 6, generator=torch.Generator().manual_seed(0))
    x = (levels[:, None, None] + noise - noise.mean((1, 2), keepdim=True))[None]
    figure = Figure(figsize=(9.5, 2.9))
    shown = {"x": x}
    for num_groups in (1, 2, 4, 8):
        with torch.no_grad():
            shown[f"G = {num_groups}"] = module(num_groups, 8)(x)
    all_axes = figure.subplots(1, len(shown))
    for axes, (title, values) in zip(all_axes, shown.items(), strict=True):
        num_groups = int(title.split()[-1]) if "G" in title else 1
        means = values.mean((0, 2, 3)).numpy()
        group = np.arange(8) // (8 // num_groups)
        axes.bar(range(8), means, color=[(BLUE, ORANGE)[number % 2] for number in group])
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(title=title, xlabel="channel", xticks=(0, 3, 7))
        if title != "x":
            axes.set_ylim(-1.9, 1.9)
        if np.abs(means).max() < 0.01:
            axes.text(3.5, 0.1, "all 0", ha="center")
    all_axes[0].set_ylabel("mean of the channel")
    return figure, (
        "The means of 8 channels of one sample. In x they are about 1 in the first four"
        " channels and about 5 in the last four. After the norm with one group the first four are"
        " negative and the last four positive. With two groups the two halves are alike, and the"
        " channels within each still differ. With four groups only the two channels of each pair"
        " differ. With eight groups all means are 0."
    )


def error_against_batch_size(errors: Errors) -> Picture | Note:
    """The error of each norm against the batch size, with one dot for each seed."""
    return _drawn(errors, "images in a batch") if errors else _WAITING


def error_against_groups(errors: Errors) -> Picture | Note:
    """The error against the number of groups, with one dot for each seed."""
    return _drawn(errors, "number of groups") if errors else _WAITING


_WAITING = Note("This figure waits for the networks above.")


@picture
def _drawn(errors: Errors, of_what: str) -> tuple[Figure, str]:
    figure = Figure(figsize=(7, 3.4))
    axes = figure.subplots()
    words = []
    names = list(dict.fromkeys(name for name, _ in errors))
    sizes = sorted({size for _, size in errors})
    places = dict(zip(sizes, range(len(sizes)), strict=True))
    for name in names:
        look, shift = _LOOKS[name.split()[0]]
        own = [size for size in sizes if (name, size) in errors]
        means = [float(np.mean(errors[name, size])) for size in own]
        at = [places[size] + shift * (len(names) > 1) for size in own]
        axes.plot(at, means, label=name, markersize=7, **look)
        for place, size in zip(at, own, strict=True):
            count = len(errors[name, size])
            axes.plot([place] * count, errors[name, size], ".", color=look["color"], markersize=5)
        listed = ", ".join(f"{m:.0f} at {size}" for m, size in zip(means, own, strict=True))
        words.append(f"{name}: {listed}")
    _percent(axes)
    axes.set(xlabel=of_what, ylabel="error on held-out\ndigits (%)")
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    if len(names) > 1:
        axes.legend(frameon=False)
    return figure, (
        f"Error in percent on held-out digits against the {of_what}, each the mean of several"
        f" seeds, with the seeds as dots. {'; '.join(words)}."
    )


def _percent(axes: Axes) -> None:
    axes.set_yscale("log")
    ticks = (5, 10, 20, 50, 100)
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(3, 110)
