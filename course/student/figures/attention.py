"""Attention: what masks do, what scaling is for, and what heads look at (exercise 7)."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.overrides import TorchFunctionMode

from course.student.picture import BLUE, ORANGE, picture

# The student's `scaled_dot_product_attention(query, key, value, mask=None)`.
Attention = Callable[..., tuple[torch.Tensor, torch.Tensor]]


@picture
def masks_at_work(attention: Attention) -> tuple[Figure, str]:
    """The weights of one attention without a mask and with three of them."""
    length = 6
    random = torch.Generator().manual_seed(3)
    query, key, value = torch.randn(3, length, 8, generator=random)
    later = torch.ones(length, length).triu(1).bool()
    padding = torch.tensor([False] * 4 + [True] * 2)
    distance = torch.arange(length)[:, None] - torch.arange(length)
    panels = {
        "no mask": None,
        "booleans:\nlater positions": later,
        "booleans:\npadding, 4 and 5": padding.expand(1, length),
        "floats:\nminus the distance": -distance.abs().float(),
    }
    figure = Figure(figsize=(9, 2.9))
    for axes, (title, mask) in zip(
        figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True
    ):
        weights = attention(query, key, value, mask)[1]
        axes.imshow(weights.detach().numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set(xticks=range(length), yticks=range(length), xlabel="key")
        axes.set_title(title, fontsize=10)
    figure.axes[0].set_ylabel("query")
    figure.colorbar(figure.axes[0].images[0], ax=figure.axes, label="weight", shrink=0.75)
    return figure, (
        "Weights of the same 6 queries on the same 6 keys, as your function returns them, under"
        " four masks; a row is a query. Without a mask every key has some weight. With later"
        " positions blocked all weight lies on and below the diagonal, and query 0 has only key 0."
        " With padding blocked the last two columns are empty. With minus the distance added to the"
        " scores the weight gathers near the diagonal, and no weight is 0."
    )


@picture
def scores_against_width(attention: Attention) -> tuple[Figure, str]:
    """The spread of scores and the largest weight against d, with and without scaling."""
    widths = 2 ** np.arange(1, 11)
    keys, queries = 32, 400
    random = torch.Generator().manual_seed(0)
    spread: dict[bool, list[float]] = {True: [], False: []}
    largest: dict[bool, list[float]] = {True: [], False: []}
    for width in widths:
        query, key = (
            torch.randn(queries, n, int(width), generator=random, dtype=torch.float64)
            for n in (1, keys)
        )
        value = torch.zeros(queries, keys, 1, dtype=torch.float64)
        for scaled in (True, False):
            # A query sqrt(d) times as large undoes the division by sqrt(d).
            factor = 1 if scaled else math.sqrt(width)
            weights = attention(factor * query, key, value)[1].detach()
            # Softmax adds the same number to all logarithms of a row: their spread is that of
            # the scores.
            logarithms = weights.clamp(min=1e-300).log()
            spread[scaled].append(float(logarithms.var(-1).mean().sqrt()))
            largest[scaled].append(float(weights.amax(-1).mean()))
    figure = Figure(figsize=(9, 3.2))
    left, right = figure.subplots(1, 2)
    left.loglog(widths, spread[False], "s--", color=ORANGE, label="scaling undone")
    left.loglog(widths, spread[True], "o-", color=BLUE, label="your function")
    left.loglog(widths, np.sqrt(widths), color="0.6", linewidth=1, zorder=0, label="√d")
    left.set_ylabel("standard deviation\nof the scores")
    right.semilogx(widths, largest[False], "s--", color=ORANGE)
    right.semilogx(widths, largest[True], "o-", color=BLUE)
    right.set(ylabel="largest of 32 weights\n(mean over queries)", ylim=(0, 1))
    for axes in (left, right):
        axes.set_xlabel("width d of query and key")
        axes.set_xscale("log", base=2)
    left.legend(frameon=False)
    return figure, (
        "Two panels against the width d, from 2 to 1024, for random queries and 32 random keys."
        " Left, the standard deviation of the scores, read from the weights: with your function it"
        f" is {spread[True][0]:.1f} at d = 2 and {spread[True][-1]:.1f} at d = 1024; with the"
        f" scaling undone it follows the square root of d, up to {spread[False][-1]:.0f}. Right,"
        f" the largest of the 32 weights: {largest[True][-1]:.1f} with your function at d = 1024,"
        f" and {largest[False][-1]:.1f} with the scaling undone."
    )


@picture
def heads_at_work(module: type[nn.Module]) -> tuple[Figure, str]:
    """What two heads of the student's module look at, with weights that were chosen for them.

    The student's module has to use the names q_proj and k_proj, and a softmax of PyTorch's.
    """
    text = "ABCABDA"
    letters, length, width = "ABCD", len(text), 8
    # Features 0 to 7 say which letter, 8 to 15 at which position.
    x = torch.zeros(1, length, 2 * width)
    for position, letter in enumerate(text):
        x[0, position, letters.index(letter)] = 1
        x[0, position, width + position] = 1
    layer = module(2 * width, 2)
    try:
        query, key = (layer.get_parameter(f"{name}.weight") for name in ("q_proj", "k_proj"))
    except AttributeError:
        raise ValueError("it needs the names q_proj and k_proj, to choose their weights") from None
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        loud = 12.0
        # Head 1 asks for the position before its own.
        query[:width, width:] = loud * torch.eye(width).roll(-1, dims=0)
        key[:width, width:] = torch.eye(width)
        # Head 2 asks for its own letter.
        query[width:, :width] = loud * torch.eye(width)
        key[width:, :width] = torch.eye(width)
        weights = _weights_in(layer, x)
    figure = Figure(figsize=(8, 3.5))
    titles = ("head 1: the position before", "head 2: the same letter")
    for axes, weight, title in zip(figure.subplots(1, 2), weights, titles, strict=True):
        axes.imshow(weight.numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set(
            title=title,
            xticks=range(length),
            yticks=range(length),
            xticklabels=text,
            yticklabels=text,
            xlabel="key",
            ylabel="query",
        )
    figure.colorbar(figure.axes[0].images[0], ax=figure.axes, label="weight", shrink=0.8)
    return figure, (
        "Attention weights of two heads of your module for the letters A B C A B D A. In head 1"
        " each position looks at the one before it, and the first, which has none, at all alike."
        " In head 2 each letter looks at all places where the same letter stands: an A at three,"
        " each with about a third of the weight."
    )


def _weights_in(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The attention weights of a module for one sample, (heads, L, L), wherever they are made."""
    found: list[torch.Tensor] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            name = getattr(func, "__name__", "")
            if name == "softmax":
                found.append(result)
            elif name == "scaled_dot_product_attention":
                query, key = args[:2]
                found.append(torch.softmax(query @ key.mT / math.sqrt(query.size(-1)), dim=-1))
            return result

    with Watch():
        layer(x)
    heads = [weights.reshape(-1, *weights.shape[-2:]) for weights in found]
    if not heads:
        raise ValueError("it looks for PyTorch's softmax in your module, and found none")
    return torch.cat(heads)
