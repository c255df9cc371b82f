"""A condition that steers a network: one row, digits in several domains, deep gated networks.

`norm` is the student's conditional layer norm, `norm(features, condition_size, eps)`, and `block`
their gated residual block, `block(d_model, condition_size)`.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from course.student.data import digits
from course.student.explorer import Explorer
from course.student.picture import BLUE, GREEN, ORANGE, RED, picture
from course.student.progress_bar import with_progress
from course.student.torch_modules import seeded

DOMAINS = ("as it is", "inverted", "turned by 90°", "upside down", "noisy")
NOISE = 0.5
ROW = torch.tensor([[3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]])

# From x and condition to the scores of the ten digits.
Network = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


# One row


@picture
def row_under_conditions(norm: type[nn.Module]) -> tuple[Figure, str]:
    """One row, normalised, and what a module with random parameters makes of it."""
    layer = _with_random_parameters(norm(ROW.shape[-1], 3))
    conditions = torch.eye(3)
    with torch.no_grad():
        outputs = layer(ROW.expand(3, -1), conditions)
    figure = Figure(figsize=(9, 2.7))
    panels = figure.subplots(1, 4, sharey=True)
    _bars(panels[0], _normalised(ROW)[0], "x normalised", "0.5")
    for axes, output, condition, colour in zip(
        panels[1:], outputs, conditions, (BLUE, ORANGE, GREEN), strict=True
    ):
        code = ", ".join(f"{value:.0f}" for value in condition)
        _bars(axes, output, f"output for c = ({code})", colour)
    panels[0].set_ylabel("value")
    furthest = float((outputs[:, None] - outputs[None]).abs().max())
    return figure, (
        "Four bar charts of 8 features: one row normalised, and your module's output for it under"
        f" three conditions. The outputs differ from each other by up to {furthest:.1f}."
    )


def condition_explorer(norm: type[nn.Module]) -> Explorer:
    """Gamma, beta and the output for a row, with a slider from one condition to another."""
    import ipywidgets as widgets

    slider = widgets.FloatSlider(
        value=0.5, min=-0.5, max=1.5, step=0.1, description="t", continuous_update=False
    )
    return Explorer(_between_conditions, (norm,), {"t": slider})


def _between_conditions(norm: type[nn.Module], t: float) -> tuple[Figure, str]:
    layer = _with_random_parameters(norm(ROW.shape[-1], 3))
    first, second = torch.eye(3)[:2]
    conditions = torch.stack([first, second, (1 - t) * first + t * second])
    # Two rows of opposite sign tell gamma and beta: y = gamma x_hat + beta.
    with torch.no_grad():
        plus, minus = (layer(sign * ROW.expand(3, -1), conditions) for sign in (1, -1))
    beta = (plus + minus) / 2
    gamma = (plus - minus) / 2 / _normalised(ROW)
    figure = Figure(figsize=(9, 2.8))
    panels = figure.subplots(1, 3)
    names = ("gamma", "beta", "output")
    for axes, values, name in zip(panels, (gamma, beta, plus), names, strict=True):
        _bars(axes, values[2], f"{name} at t = {t:.1f}", BLUE)
        places = range(len(values[0]))
        axes.plot(places, values[0], "v", color=ORANGE, label="t = 0")
        axes.plot(places, values[1], "^", color=RED, label="t = 1")
        margin = 0.3 + float(values[:2].abs().max())
        axes.set_ylim(-1.6 * margin, 1.6 * margin)
    panels[0].set_ylabel("value")
    panels[2].legend(frameon=False, loc="lower right", ncols=2, fontsize=8)
    on_the_way = (1 - t) * plus[0] + t * plus[1]
    off = float((plus[2] - on_the_way).abs().max())
    return figure, (
        f"Bars of gamma, beta and the output for 8 features at t = {t:.1f}, where the condition is"
        " (1 - t) times one and t times another; marks show both ends. The output is at most"
        f" {off:.2f} away from the same mixture of the outputs at the ends."
    )


def _bars(axes: Axes, values: torch.Tensor, title: str, colour: str) -> None:
    axes.bar(range(len(values)), values.tolist(), color=colour, width=0.7)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_title(title, size=10)
    axes.set(xlabel="feature", xticks=range(len(values)))


def _normalised(rows: torch.Tensor) -> torch.Tensor:
    centred = rows - rows.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def _with_random_parameters(module: nn.Module) -> nn.Module:
    """Add noise to all parameters: a new module does the same under every condition."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=random))
    return module


# The gated block as a drawing


@picture
def block_drawing() -> tuple[Figure, str]:
    """The gated block: x goes past the branch, and the condition acts in three places."""
    figure = Figure(figsize=(9, 2.9))
    axes = figure.subplots()
    axes.set(xlim=(-0.6, 10.6), ylim=(-1.9, 1.6))
    axes.axis("off")
    boxes = {
        "x": (0, 1.1, "x", "white"),
        "norm": (2, 0, "layer norm", "white"),
        "modulate": (4.2, 0, "gamma · x_hat + beta", "#cfe3f1"),
        "mlp": (6.2, 0, "MLP", "white"),
        "gate": (8, 0, "times alpha", "#cfe3f1"),
        "plus": (9, 1.1, "+", "white"),
        "out": (10.2, 1.1, "output", "white"),
        "c": (0, -1.5, "condition c", "#fbe5bd"),
    }
    for x, y, label, colour in boxes.values():
        style = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": "0.4"}
        axes.text(x, y, label, ha="center", va="center", bbox=style, zorder=3)

    def line(*points: tuple[float, float], colour: str = "black") -> None:
        xs, ys = zip(*points[:-1], strict=True)
        axes.plot(xs, ys, color=colour, linewidth=1.4, zorder=1)
        arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=arrow, zorder=1)

    line((0, 1.1), (8.75, 1.1))
    line((0.9, 1.1), (0.9, 0), (1.25, 0))
    line((2.6, 0), (3.1, 0))
    line((5.3, 0), (5.85, 0))
    line((6.55, 0), (7.35, 0))
    line((8.55, 0), (9, 0), (9, 0.82))
    line((9.25, 1.1), (9.7, 1.1))
    line((0, -1.5), (4.2, -1.5), (4.2, -0.33), colour=ORANGE)
    line((0, -1.5), (8, -1.5), (8, -0.33), colour=ORANGE)
    axes.text(4.3, -1.05, "makes gamma and beta", color="#8a5f00")
    axes.text(8.1, -1.05, "makes alpha,\n0 at first", color="#8a5f00", va="center")
    return figure, (
        "A drawing. x goes straight to a plus sign and on to the output. A branch leaves x, passes"
        " a layer norm, gamma times x_hat plus beta, an MLP and a multiplication by alpha, and"
        " joins x at the plus sign. The condition makes gamma and beta, and alpha, which is 0 at"
        " first."
    )


# Digits in several domains


@picture
def digit_domains() -> tuple[Figure, str]:
    """One digit in each of the domains."""
    data = digits()
    image = data.images[data.labels == 6][:1]
    figure = Figure(figsize=(9, 2.1))
    panels = figure.subplots(1, 5)
    for axes, shown, name in zip(panels, _in_domains(image, seed=0), DOMAINS, strict=True):
        axes.imshow(shown[0], cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(name, size=10)
        axes.axis("off")
    return figure, f"A handwritten 6 of 8 by 8 pixels in five domains: {', '.join(DOMAINS)}."


@picture
def accuracy_by_domain(norm: type[nn.Module]) -> tuple[Figure, str]:
    """Accuracy on held-out digits of networks that are told the domain in the norm, or not."""
    width, seeds = 32, range(5)
    kinds: dict[str, Callable[[], tuple[nn.Module, Network]]] = {
        "plain layer norm": lambda: _small_network(nn.LayerNorm, width),
        "plain layer norm, domain beside x": lambda: _small_network(nn.LayerNorm, width, beside=5),
        "your conditional layer norm": lambda: _small_network(norm, width, conditional=True),
    }
    # What is not written yet must say so before a progress bar appears.
    _, network = kinds["your conditional layer norm"]()
    network(torch.zeros(2, 64), torch.eye(5)[:2])
    runs = [(kind, seed) for seed in seeds for kind in kinds]
    found: dict[str, list[torch.Tensor]] = {kind: [] for kind in kinds}
    for kind, seed in with_progress(runs, f"Training {len(runs)} networks"):
        x, condition, labels = _all_domains(seed, held_out=False)
        with seeded(seed):
            modules, network = kinds[kind]()
        _training(modules, network, x, condition, labels, seed, steps=300)
        x, condition, labels = _all_domains(seed, held_out=True)
        with torch.no_grad():
            right = (network(x, condition).argmax(1) == labels).double()
        found[kind].append(100 * right.reshape(5, -1).mean(1))
    figure = Figure(figsize=(9, 3.2))
    axes = figure.subplots()
    places = np.arange(6)
    marks = zip(("s", "^", "o"), (ORANGE, GREEN, BLUE), (-0.18, 0.0, 0.18), strict=True)
    words = []
    for (kind, rows), (marker, colour, shift) in zip(found.items(), marks, strict=True):
        table = torch.stack(rows)
        table = torch.cat([table, table.mean(1, keepdim=True)], dim=1)
        mean, spread = table.mean(0), table.std(0)
        axes.errorbar(places + shift, mean, spread, fmt=marker, color=colour, capsize=4, label=kind)
        words.append(f"{kind} {mean[-1]:.0f}")
    axes.set_xticks(places, [*DOMAINS, "mean of all"])
    axes.axvline(4.5, color="0.8", linewidth=1)
    axes.set(ylabel="accuracy on held-out\ndigits [%]", ylim=(55, 100))
    axes.legend(frameon=False, loc="lower left", fontsize=9)
    return figure, (
        "Accuracy on held-out digits in five domains, mean and standard deviation over 5 seeds, of"
        f" three networks. Mean of all domains in %: {', '.join(words)}."
    )


def _small_network(
    norm: type[nn.Module], width: int, beside: int = 0, conditional: bool = False
) -> tuple[nn.Module, Network]:
    """Two hidden layers, each with a norm, and all their parameters."""
    norms = [norm(width, 5) if conditional else norm(width) for _ in range(2)]
    linears = [nn.Linear(64 + beside, width), nn.Linear(width, width), nn.Linear(width, 10)]

    def network(x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        if beside:
            x = torch.cat([x, condition], dim=1)
        for linear, layer in zip(linears, norms, strict=False):
            x = linear(x)
            x = torch.relu(layer(x, condition) if conditional else layer(x))
        return linears[-1](x)

    return nn.ModuleList([*linears, *norms]), network


# Deep networks of gated blocks


@picture
def zero_start_against_random(block: type[nn.Module]) -> tuple[Figure, str]:
    """Training loss of deep networks whose conditional layers start at zero, or at random."""
    seeds, depth, steps = range(4), 8, 160
    colours = {"starting at zero": BLUE, "starting at random": ORANGE}
    block(32, 5)(torch.zeros(2, 32), torch.zeros(2, 5))
    runs = [(start, seed) for seed in seeds for start in colours]
    losses: dict[str, list[list[float]]] = {start: [] for start in colours}
    for start, seed in with_progress(runs, f"Training {len(runs)} networks of {depth} blocks"):
        x, condition, labels = _all_domains(seed, held_out=False)
        with seeded(seed):
            modules, network = _deep_network(block, depth, start == "starting at random")
        losses[start].append(_training(modules, network, x, condition, labels, seed, steps))
    figure = Figure(figsize=(8, 3.1))
    axes = figure.subplots()
    words = []
    for start, colour in colours.items():
        curves = _smooth(np.array(losses[start]))
        mean, spread = curves.mean(0), curves.std(0, ddof=1)
        axes.plot(mean, color=colour, label=start)
        axes.fill_between(
            range(steps), mean - spread, mean + spread, color=colour, alpha=0.25, linewidth=0
        )
        words.append(f"{start}, {mean[steps // 4]:.1f} and {mean[-1]:.1f}")
    axes.set(xlabel="step of training", ylabel="cross-entropy", ylim=(0, None))
    axes.legend(frameon=False, title="gates and modulation")
    return figure, (
        f"Training loss over {steps} steps, mean and standard deviation over 4 seeds, of networks"
        f" of {depth} of your blocks. After {steps // 4} steps and at the end: {'; '.join(words)}."
    )


def _deep_network(block: type[nn.Module], depth: int, at_random: bool) -> tuple[nn.Module, Network]:
    first, last, norm = nn.Linear(64, 32), nn.Linear(32, 10), nn.LayerNorm(32)
    blocks = [block(32, 5) for _ in range(depth)]
    if at_random:
        for matrix in (p for each in blocks for p in each.parameters() if p.dim() == 2):
            if not matrix.any():
                # As nn.Linear starts its weights.
                nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))

    def network(x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        x = first(x)
        for each in blocks:
            x = each(x, condition)
        return last(norm(x))

    return nn.ModuleList([first, *blocks, norm, last]), network


def _smooth(curves: np.ndarray, over: int = 8) -> np.ndarray:
    """Each step's mean with those just before it."""
    sums = np.cumsum(np.pad(curves, ((0, 0), (1, 0))), axis=1)
    ends = np.arange(1, curves.shape[1] + 1)
    starts = np.maximum(ends - over, 0)
    return (sums[:, ends] - sums[:, starts]) / (ends - starts)


# Shared by both


def _in_domains(images: torch.Tensor, seed: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    noise = NOISE * torch.randn(images.shape, generator=random)
    return [images, 1 - images, images.rot90(1, (1, 2)), images.rot90(2, (1, 2)), images + noise]


def _all_domains(seed: int, held_out: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All digits in all domains: rows of pixels, the domain as one-hot, and labels."""
    data = digits()
    images = data.held_out_images if held_out else data.images
    labels = data.held_out_labels if held_out else data.labels
    x = torch.cat([domain.flatten(1) for domain in _in_domains(images, seed)])
    return x, torch.eye(5).repeat_interleave(len(labels), dim=0), labels.repeat(5)


def _training(
    modules: nn.Module,
    network: Network,
    x: torch.Tensor,
    condition: torch.Tensor,
    labels: torch.Tensor,
    seed: int,
    steps: int,
) -> list[float]:
    """Train with Adam on random batches of 128; return the loss at each step."""
    optimizer = torch.optim.Adam(modules.parameters(), lr=3e-3)
    random = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        batch = torch.randint(len(x), (128,), generator=random)
        loss = nn.functional.cross_entropy(network(x[batch], condition[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
