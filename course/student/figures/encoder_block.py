"""The Transformer encoder block: how it is built, and what its norms do through depth."""

from itertools import pairwise

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course.student.picture import BLUE, GREEN, ORANGE, SKY, picture
from course.student.torch_modules import seeded


@picture
def post_norm_block() -> tuple[Figure, str]:
    """The block as a chain of boxes, with its residual connections."""
    figure = Figure(figsize=(9, 2.7))
    axes = figure.subplots()
    axes.set(xlim=(-0.9, 13.3), ylim=(-0.8, 1.8))
    axes.axis("off")
    nodes = [
        (0.0, "src\n(batch, seq,\nd_model)", "white"),
        (2.1, "multi-head\nattention", SKY),
        (3.85, "dropout", "0.93"),
        (5.0, "+", "white"),
        (6.05, "norm 1", ORANGE),
        (7.9, "linear\nReLU\nlinear", GREEN),
        (9.55, "dropout", "0.93"),
        (10.7, "+", "white"),
        (11.75, "norm 2", ORANGE),
    ]
    boxes = []
    for x, label, colour in nodes:
        shape = "circle,pad=0.3" if label == "+" else "round,pad=0.4"
        box = {"boxstyle": shape, "facecolor": colour, "edgecolor": "0.3", "alpha": 0.75}
        boxes.append(axes.text(x, 0, label, ha="center", va="center", fontsize=9.5, bbox=box))
    figure.canvas.draw()
    for (start, (x, _, _)), (end, (x_end, _, _)) in pairwise(zip(boxes, nodes, strict=True)):
        axes.annotate(
            "",
            xy=(x_end, 0),
            xytext=(x, 0),
            arrowprops={
                "arrowstyle": "-|>",
                "color": "0.2",
                "patchA": start.get_bbox_patch(),
                "patchB": end.get_bbox_patch(),
            },
        )
    axes.annotate(
        "",
        xy=(13.2, 0),
        xytext=(11.75, 0),
        arrowprops={"arrowstyle": "-|>", "color": "0.2", "patchA": boxes[-1].get_bbox_patch()},
    )
    for left, plus in ((1.07, 5.0), (6.9, 10.7)):
        axes.plot([left, left, plus], [0, 1.25, 1.25], color=BLUE, linewidth=2, zorder=0)
        axes.annotate(
            "",
            xy=(plus, 0.16),
            xytext=(plus, 1.28),
            arrowprops={"arrowstyle": "-|>", "color": BLUE, "linewidth": 2},
        )
        axes.text((left + plus) / 2, 1.35, "residual connection", ha="center", color=BLUE)
    return figure, (
        "The block from left to right: src, multi-head attention, dropout, a plus, norm 1; then"
        " linear, ReLU, linear, dropout, a plus, norm 2. A residual connection leads from src"
        " around the attention to the first plus, another from norm 1's output around the"
        " feed-forward network to the second plus. Each norm stands behind its plus."
    )


@picture
def stream_through_depth(block: type[nn.Module]) -> tuple[Figure, str]:
    """The length of a position's vector through a stack of blocks, with and without norms."""
    d_model, nhead, hidden, depth, seq = 64, 4, 128, 24, 16
    with seeded(0), torch.no_grad():
        blocks = [block(d_model, nhead, hidden).eval() for _ in range(depth)]
        for parameter in (p for one in blocks for p in one.parameters() if p.dim() > 1):
            nn.init.xavier_normal_(parameter)
        src = torch.randn(1, seq, d_model)
        lengths = {"with": _lengths(blocks, src)}
        for one in blocks:
            if not _take_norms_out(one):
                raise ValueError("no layer was found in it whose class has Norm in its name")
        lengths["without"] = _lengths(blocks, src)
    figure = Figure(figsize=(7, 3.1))
    axes = figure.subplots()
    layers = np.arange(depth + 1)
    axes.semilogy(layers, lengths["without"], "s--", color=ORANGE, markersize=4)
    axes.semilogy(layers, lengths["with"], "o-", color=BLUE, markersize=4)
    axes.axhline(d_model**0.5, color="0.6", linewidth=1, zorder=0)
    axes.text(depth, d_model**0.5 * 0.7, "√d_model = 8", ha="right", va="top", color="0.4")
    axes.set(
        xlabel="blocks passed",
        ylabel="length of a position's vector\n(mean over 16 positions)",
        ylim=(1, None),
    )
    axes.legend(["its norms taken out", "your block"], frameon=False, loc="upper left")
    low, high = min(lengths["with"]), max(lengths["with"])
    growth = np.log10(lengths["without"][-1] / lengths["without"][0])
    return figure, (
        "Length of a position's vector, on a logarithmic axis, through 24 of your blocks with"
        f" random weights and 64 features. With your block it stays between {low:.1f} and"
        f" {high:.1f}; the square root of 64 is 8. With its norms taken out it grows by about"
        f" the same factor at every block, in all by a factor of about 10 to the {growth:.0f}."
    )


def _lengths(blocks: list[nn.Module], src: torch.Tensor) -> list[float]:
    lengths = [float(src.norm(dim=-1).mean())]
    for block in blocks:
        src = block(src)
        lengths.append(float(src.norm(dim=-1).mean()))
    return lengths


def _take_norms_out(block: nn.Module) -> bool:
    """Replace layers whose class has Norm in its name by the identity; False if there are none."""
    names = [name for name, part in block.named_modules() if name and "Norm" in type(part).__name__]
    for name in names:
        parent, _, attribute = name.rpartition(".")
        setattr(block.get_submodule(parent), attribute, nn.Identity())
    return bool(names)
