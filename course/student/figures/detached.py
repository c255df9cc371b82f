"""What detaching does to gradients and to training: DetachNorm and AdaNorm (challenge 2).

`detach_norm` and `ada_norm` are the student's classes, `DetachNorm(normalized_shape, eps,
detach_mean, detach_std)` and `AdaNorm(normalized_shape, scale, k, eps)`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course.student.explorer import Explorer
from course.student.picture import BLUE, GREEN, ORANGE, PURPLE, RED, picture

Module = Callable[..., nn.Module]

# The four variants by the names that the figures give them: detach_mean, detach_std.
VARIANTS = {
    "nothing": (False, False),
    "the mean": (True, False),
    "the standard deviation": (False, True),
    "both": (True, True),
}
EPS = 1e-5


@picture
def four_gradients(detach_norm: Module) -> tuple[Figure, str]:
    """The student's dx of one row, with each choice of constants."""
    random = torch.Generator().manual_seed(11)
    row = 2 * torch.randn(8, generator=random, dtype=torch.float64) + 1
    upstream = torch.randn(8, generator=random, dtype=torch.float64) + 0.5
    # So that the part of the upstream gradient along y is there to be seen.
    upstream += 0.5 * (row - row.mean())
    figure = Figure(figsize=(8.4, 3.4))
    panels = figure.subplots(1, 4, sharey=True)
    told, outputs = [], []
    for axes, (name, switches), colour in zip(
        panels, VARIANTS.items(), (BLUE, ORANGE, GREEN, RED), strict=True
    ):
        x = row.clone().requires_grad_()
        y = detach_norm(8, EPS, *switches)(x)
        (y * upstream).sum().backward()
        dx = np.zeros(8) if x.grad is None else x.grad.numpy()
        outputs.append(y.detach().numpy())
        total, along = dx.sum(), float(dx @ outputs[-1])
        axes.bar(range(8), dx, color=colour)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(title=name.replace("standard ", "standard\n"), xticks=range(0, 8, 2))
        axes.set_xlabel(f"feature\n\nsum of dx: {total:z.1f}\ndx · output: {along:z.1f}")
        told.append(f"{name}: sum {total:z.1f}, product {along:z.1f}")
    panels[0].set_ylabel("your dx")
    figure.suptitle("What is a constant on the way back", fontweight="bold", fontsize=11)
    same = all(np.allclose(one, outputs[0]) for one in outputs)
    return figure, (
        "Four bar charts of your dx over 8 features of one row, for the same upstream gradient. The"
        f" outputs {'are the same' if same else 'differ'}. The sum of dx, and its product with the"
        f" output, by what is a constant: {'; '.join(told)}."
    )


@picture
def losses_by_variant(losses: Mapping[str, Sequence[Sequence[float]]]) -> tuple[Figure, str]:
    """Training losses by what the norms hold constant: the mean over seeds, and their range.

    Args:
        losses: by name, a list of curves, one for each seed.
    """
    figure = Figure(figsize=(8, 3.8))
    axes = figure.subplots()
    lines = {
        "nothing (LayerNorm-simple)": (BLUE, "-"),
        "the mean": (ORANGE, "-."),
        "the standard deviation": (GREEN, "--"),
        "both (DetachNorm)": (RED, "-"),
        "no norm at all": ("0.35", ":"),
    }
    last = {}
    for name, curves in losses.items():
        smooth = np.array([_smooth(curve) for curve in curves])
        steps = np.arange(smooth.shape[1]) + 10
        colour, line = lines.get(name, (PURPLE, "-"))
        axes.plot(steps, smooth.mean(0), line, color=colour, linewidth=2, label=name)
        axes.fill_between(steps, smooth.min(0), smooth.max(0), color=colour, alpha=0.12, lw=0)
        last[name] = smooth[:, -1].mean()
    axes.set(
        title="What the gradients of the statistics are worth",
        xlabel="step of training",
        ylabel="training loss (cross-entropy)",
        ylim=(0, None),
    )
    axes.legend(title="constant on the way back", fontsize=9, loc="upper right")
    order = ", ".join(f"{name} {last[name]:.1f}" for name in sorted(last, key=last.__getitem__))
    return figure, (
        "Training loss over steps, one line for each choice of constants: the mean over seeds, with"
        f" a band from the least to the largest. At the end, from low to high: {order}."
    )


def factor_explorer(ada_norm: Module) -> Explorer:
    """What AdaNorm makes of a normalised row, with sliders for scale and k."""
    import ipywidgets as widgets

    sliders = {
        name: widgets.FloatSlider(
            value=value, min=least, max=most, step=step, description=name, continuous_update=False
        )
        for name, value, least, most, step in (
            ("scale", 1.0, 0.5, 2.0, 0.1),
            ("k", 0.1, 0.0, 0.5, 0.05),
        )
    }
    return Explorer(_bent, (ada_norm,), sliders)


def _bent(ada_norm: Module, scale: float, k: float) -> tuple[Figure, str]:
    x, y = _row_and_normalised()
    z = ada_norm(x.numel(), scale, k, EPS)(x).detach().numpy()
    figure = Figure(figsize=(7.4, 3.6))
    axes = figure.subplots()
    axes.plot([-2.6, 2.6], [-2.6, 2.6], "--", color="0.5", label="layer norm: y itself")
    axes.plot(y, z, "o", color=BLUE, markersize=5, label="your AdaNorm")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(
        title=f"What becomes of each entry with scale {scale:.1f} and k {k:.2f}",
        xlabel="normalised entry y",
        ylabel="output z",
    )
    axes.legend(fontsize=9)
    low, high = int(np.argmin(y)), int(np.argmax(y))
    return figure, (
        f"The outputs of your AdaNorm against the normalised entries y of one row, with scale"
        f" {scale:.1f} and k {k:.2f}. The lowest entry, {y[low]:.1f}, becomes {z[low]:.1f}; the"
        f" highest, {y[high]:.1f}, becomes {z[high]:.1f}."
    )


@picture
def slope_and_factor(ada_norm: Module) -> tuple[Figure, str]:
    """The student's backward pass beside the slope of the forward pass, entry by entry."""
    x, y = _row_and_normalised()
    layer, k, count = ada_norm(x.numel(), 1.0, 0.1, EPS), 0.1, x.numel()
    leaf = x.clone().requires_grad_()
    z = layer(leaf)
    identity = torch.eye(count, dtype=torch.float64)
    rows = [
        torch.autograd.grad(z, leaf, one, retain_graph=True, allow_unused=True)[0]
        for one in identity
    ]
    back = np.array([0.0 if row is None else row[i].item() for i, row in enumerate(rows)])
    step = 1e-5
    with torch.no_grad():
        true = np.array(
            [
                ((layer(x + step * one) - layer(x - step * one))[i] / (2 * step)).item()
                for i, one in enumerate(identity)
            ]
        )
    # How much of a change of x_i reaches y_i: the diagonal of layer norm's own Jacobian.
    std = float(np.sqrt(x.numpy().var() + EPS))
    through_norm = (1 - (1 + y**2) / count) / std
    figure = Figure(figsize=(7.4, 3.6))
    axes = figure.subplots()
    axes.plot(y, 1 - k * y, color="0.6", linewidth=1)
    axes.plot(y, 1 - 2 * k * y, color="0.6", linewidth=1)
    axes.plot(y, back / through_norm, "o", color=BLUE, label="your backward pass")
    axes.plot(y, true / through_norm, "x", color=RED, label="finite difference of your forward")
    for factor in (1, 2):
        label = f"1 − {factor * k:.1f} y"
        axes.text(y[-1] + 0.08, 1 - factor * k * y[-1], label, va="center", color="0.3")
    axes.set(
        title="The backward pass is not that of the forward pass",
        xlabel="normalised entry y",
        ylabel="slope of z against y",
        xlim=(-2, 2.5),
    )
    axes.legend(fontsize=9)
    return figure, (
        "The slope of z against y for each entry of a row. At the lowest entry it is"
        f" {(back / through_norm)[0]:z.2f} in your backward pass and"
        f" {(true / through_norm)[0]:z.2f} by a finite difference of your forward pass; at the"
        f" highest {(back / through_norm)[-1]:z.2f} and {(true / through_norm)[-1]:z.2f}. Two thin"
        " lines show 1 - 0.1 y and 1 - 0.2 y."
    )


def _row_and_normalised() -> tuple[torch.Tensor, np.ndarray]:
    """A row of 25 entries from low to high, and what layer norm makes of it."""
    row = np.linspace(-1, 1, 25) + 0.4 * np.linspace(-1, 1, 25) ** 3
    y = (row - row.mean()) / row.std()
    # Of spread 2 and mean 3, where an eps of 1e-5 does not show.
    return torch.tensor(3 + 2 * y), y


def _smooth(curve: Sequence[float]) -> np.ndarray:
    """The mean of every 10 losses in a row."""
    return np.convolve(curve, np.full(10, 0.1), "valid")
