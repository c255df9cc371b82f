"""What gamma and beta start at, and what weight decay does to gamma (further challenge C4).

`block` is the student's class: `block(features, gamma, beta)(x)`; `groups` is the student's
function: `groups(model, weight_decay)`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course.student.data import Digits, digits
from course.student.picture import BLUE, GREEN, ORANGE, PURPLE, RED, Note, Picture, picture
from course.student.progress_bar import with_progress
from course.student.torch_modules import seeded
from course.student.waiting import why_not

FEATURES, BATCH = 32, 64
# The starts that are compared: (gamma, beta), with a colour, a marker and a line style each.
LOOKS: dict[tuple[float, float], tuple[str, str, str]] = {
    (0.0, 0.0): (BLUE, "o", "-"),
    (0.1, 0.0): (GREEN, "s", "-"),
    (1.0, 0.0): (ORANGE, "^", "--"),
    (2.0, 0.0): (RED, "D", "--"),
    (0.0, 1.0): (PURPLE, "v", ":"),
}
RATES = (0.003, 0.01, 0.1, 0.2)
TRAINED_DEPTH, STEPS, SEEDS = 16, 100, 3
# A loss above this, or one that is no number, counts as this: ten times that of guessing.
WORST = 23.0
DECAYED_DEPTH, DECAY_STEPS, DECAY_RATE = 8, 200, 0.003
DECAYS = (0.1, 1.0)

# The losses of every step, by start, learning rate and seed.
StartRuns = dict[tuple[tuple[float, float], float, int], list[float]]


@dataclass(frozen=True)
class DecayRun:
    """One training with weight decay.

    Args:
        gammas: the mean of all gammas after every step.
        accuracy: on held-out images, in the end.
    """

    gammas: list[float]
    accuracy: float


# By weight decay, whether gamma gets it too, and seed.
DecayRuns = dict[tuple[float, bool, int], DecayRun]


@picture
def size_of_the_stream(block: type[nn.Module]) -> tuple[Figure, str]:
    """The root mean square of the stream after each of twenty new blocks, for five starts."""
    depth, seeds = 20, 5
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots()
    words = []
    for (gamma, beta), (colour, marker, line) in LOOKS.items():
        sizes = np.zeros((seeds, depth + 1))
        for seed in range(seeds):
            with seeded(seed), torch.no_grad():
                x = torch.randn(256, FEATURES)
                sizes[seed, 0] = x.square().mean().sqrt()
                for place in range(depth):
                    x = block(FEATURES, gamma, beta)(x)
                    sizes[seed, place + 1] = x.square().mean().sqrt()
        mean = sizes.mean(0)
        axes.plot(mean, color=colour, marker=marker, linestyle=line, markersize=4)
        # The two lowest lines end close together.
        aligned = {0.1: "bottom", 0.0: "top"}.get(gamma + beta, "center")
        axes.text(depth + 0.4, mean[-1], _named(gamma, beta), color=colour, va=aligned)
        words.append(f"{_named(gamma, beta)}: {mean[-1]:.0f}")
    axes.set_yscale("log")
    ticks = [1, 2, 5, 10, 20]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(
        xlabel="blocks passed",
        ylabel="root mean square of the stream",
        xlim=(-0.5, depth + 6),
        xticks=range(0, depth + 1, 5),
    )
    return figure, (
        "Root mean square of the stream as it passes 20 new blocks, starting from 1; mean of"
        f" {seeds} seeds. After the last block, rounded: {'; '.join(words)}."
    )


@picture
def gradient_against_gamma(block: type[nn.Module]) -> tuple[Figure, str]:
    """The gradient before training, at the first layer and inside the branches, against gamma."""
    gammas, depth, seeds = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0), 16, 5
    data = _digits()
    norms = np.zeros((2, len(gammas), seeds))
    for (place, gamma), seed in product(enumerate(gammas), range(seeds)):
        model = _network(block, depth, (gamma, 0.0), seed)
        _loss(model, data.images[:256], data.labels[:256]).backward()
        norms[0, place, seed] = _norm([_first(model).weight])
        norms[1, place, seed] = _norm([p for p in model[2].parameters() if p.dim() > 1])
    figure = Figure(figsize=(8, 3.3))
    axes = figure.subplots()
    # Gamma = 0 has a place of its own at the left of a logarithmic axis, and the branches' 0 at
    # the bottom.
    places = np.array([0.003, *gammas[1:]])
    labels = ("weights of the first layer", "weights in the branch of the first block")
    for values, label, colour, marker in zip(
        norms, labels, (BLUE, ORANGE), ("o", "s"), strict=True
    ):
        mean = np.maximum(values.mean(1), 1e-3)
        axes.plot(places[1:], mean[1:], marker=marker, color=colour, label=label)
        axes.plot(places[:1], mean[:1], marker=marker, color=colour, clip_on=False)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(places, [f"{gamma:g}" for gamma in gammas])
    axes.set_yticks([1e-3, 1e-2, 1e-1, 1, 10], ["0", "0.01", "0.1", "1", "10"])
    axes.minorticks_off()
    axes.set(xlabel="gamma at the start (beta = 0)", ylabel="norm of the gradient", ylim=(1e-3, 30))
    axes.legend(frameon=False, loc="lower right")
    first, inside = norms.mean(2)
    return figure, (
        f"Norm of the gradient before training, {depth} blocks deep, against the gamma that all"
        f" blocks start at; mean of {seeds} seeds. At the first layer it is {first[0]:.1f} for"
        f" gamma 0, {first[3]:.1f} for 0.1, {first[5]:.0f} for 1 and {first[6]:.0f} for 2. In the"
        f" branch of the first block it is {inside[0]:.0f} for gamma 0, and grows with gamma."
    )


def start_runs(block: type[nn.Module]) -> StartRuns:
    """Train a deep network from every start at every learning rate, with a progress bar.

    Returns:
        The losses; nothing, after a sentence that says why, if the student's block fails.
    """
    if _fails(lambda: block(FEATURES, 0.0, 0.0)(torch.zeros(2, FEATURES)), block):
        return {}
    plan = list(product(LOOKS, RATES, range(SEEDS)))
    runs: StartRuns = {}
    for start, rate, seed in with_progress(plan, f"Training {len(plan)} networks"):
        model = _network(block, TRAINED_DEPTH, start, seed)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        runs[start, rate, seed] = _train(model, optimizer, STEPS, seed)
    return runs


def losses_over_steps(runs: StartRuns) -> Picture | Note:
    """The training curves at a small and at a large learning rate."""
    return _losses_over_steps(runs) if runs else _waiting()


@picture
def _losses_over_steps(runs: StartRuns) -> tuple[Figure, str]:
    figure = Figure(figsize=(9.5, 3.6))
    for axes, rate in zip(figure.subplots(1, 2, sharey=True), (0.01, 0.1), strict=True):
        for start, (colour, _, line) in LOOKS.items():
            curves = np.array([runs[start, rate, seed] for seed in range(SEEDS)])
            smooth = curves.reshape(SEEDS, -1, 5).mean(2)
            steps = np.arange(smooth.shape[1]) * 5 + 2.5
            axes.fill_between(steps, smooth.min(0), smooth.max(0), color=colour, alpha=0.15, lw=0)
            axes.plot(steps, smooth.mean(0), color=colour, linestyle=line)
        axes.axhline(np.log(10), color="grey", lw=0.8)  # the loss of guessing
        axes.set(yscale="log", title=f"learning rate {rate:g}", xlabel="step")
        axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    figure.axes[0].set_ylabel("training loss")
    labels = [*(_named(*start) for start in LOOKS), "guessing"]
    figure.legend(figure.axes[0].lines, labels, loc="outside lower center", ncols=6, frameon=False)
    return figure, (
        "Training loss over 100 steps for five starts, at a learning rate of 0.01 and of 0.1;"
        f" mean of {SEEDS} seeds, with bands from the lowest to the highest. At 0.01 the block that"
        " starts at gamma 1 falls lowest and gamma 0 hardly moves. At 0.1 gamma 0 and 0.1 fall"
        " steadily, and the others first jump to losses far above that of guessing."
    )


def losses_against_rate(runs: StartRuns) -> Picture | Note:
    """The loss at the end against the learning rate, for all starts."""
    return _losses_against_rate(runs) if runs else _waiting()


@picture
def _losses_against_rate(runs: StartRuns) -> tuple[Figure, str]:
    figure = Figure(figsize=(8, 3.5))
    axes = figure.subplots()
    words = []
    for number, (start, (colour, marker, line)) in enumerate(LOOKS.items()):
        ends = np.array(
            [[_end(runs[start, rate, seed]) for seed in range(SEEDS)] for rate in RATES]
        )
        places = np.arange(len(RATES)) + (number - 2) * 0.05
        for place, values in zip(places, ends, strict=True):
            axes.plot([place] * SEEDS, values, marker, color=colour, markersize=4, alpha=0.6)
        axes.plot(places, np.median(ends, 1), color=colour, linestyle=line, label=_named(*start))
        best = int(np.argmin(np.median(ends, 1)))
        words.append(f"{_named(*start)}: {RATES[best]:g}")
    axes.axhline(np.log(10), color="grey", lw=0.8, label="guessing")
    axes.set_xticks(range(len(RATES)), [f"{rate:g}" for rate in RATES])
    axes.set(
        yscale="log", xlabel="learning rate", ylabel="training loss,\nmean of the last 20 steps"
    )
    axes.set_yticks([0.2, 0.5, 1, 2, 5, 10, WORST], ["0.2", "0.5", "1", "2", "5", "10", "more"])
    axes.minorticks_off()
    figure.legend(loc="outside right center", frameon=False)
    return figure, (
        "Training loss at the end of 100 steps against the learning rate, a dot for each seed and a"
        f" line through the medians. The rate with the lowest median, by start: {'; '.join(words)}."
    )


def decay_runs(block: type[nn.Module], groups: Callable[..., Any]) -> DecayRuns:
    """Train with weight decay on everything, and with the student's groups; with a progress bar.

    Returns:
        The runs; nothing, after a sentence that says why, if one of the student's parts fails.
    """
    if _fails(lambda: block(FEATURES, 1.0, 0.0)(torch.zeros(2, FEATURES)), block) or _fails(
        lambda: torch.optim.AdamW(groups(nn.Linear(2, 2), 0.1), lr=DECAY_RATE), groups
    ):
        return {}
    data = _digits()
    plan = list(product(DECAYS, (False, True), range(SEEDS)))
    runs: DecayRuns = {}
    for decay, on_gamma, seed in with_progress(plan, f"Training {len(plan)} networks"):
        model = _network(block, DECAYED_DEPTH, (1.0, 0.0), seed)
        # What starts at 1 in all its entries is a gamma, whatever it is called.
        scales = [p for p in model.parameters() if p.dim() == 1 and bool((p == 1).all())]
        parameters = (
            [{"params": list(model.parameters()), "weight_decay": decay}]
            if on_gamma
            else groups(model, decay)
        )
        gammas: list[float] = []

        def note(scales: list[nn.Parameter] = scales, gammas: list[float] = gammas) -> None:
            gammas.append(float(torch.cat([scale.detach() for scale in scales]).mean()))

        note()
        _train(model, torch.optim.AdamW(parameters, lr=DECAY_RATE), DECAY_STEPS, seed, note)
        with torch.no_grad():
            right = model(data.held_out_images).argmax(1) == data.held_out_labels
        runs[decay, on_gamma, seed] = DecayRun(gammas, float(right.float().mean()))
    return runs


def gamma_under_decay(runs: DecayRuns) -> Picture | Note:
    """The mean of all gammas over training, and the accuracy, with and without decay on them."""
    return _gamma_under_decay(runs) if runs else _waiting()


@picture
def _gamma_under_decay(runs: DecayRuns) -> tuple[Figure, str]:
    figure = Figure(figsize=(9.5, 3.6))
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    words = []
    looks = dict(zip(product(DECAYS, (False, True)), (BLUE, ORANGE, GREEN, RED), strict=True))
    for number, ((decay, on_gamma), colour) in enumerate(looks.items()):
        found = [runs[decay, on_gamma, seed] for seed in range(SEEDS)]
        label = f"{decay:g}, gamma {'too' if on_gamma else 'left out'}"
        mean = np.mean([run.gammas for run in found], axis=0)
        left.plot(mean, color=colour, linestyle="-" if on_gamma else "--", label=label)
        accuracies = [run.accuracy for run in found]
        right.plot([number] * SEEDS, accuracies, "o", color=colour, alpha=0.7)
        words.append(
            f"weight decay {label}: gamma {mean[-1]:.1f}, accuracy {np.mean(accuracies):.2f}"
        )
    for decay in DECAYS:
        alone = (1 - DECAY_RATE * decay) ** np.arange(DECAY_STEPS + 1)
        left.plot(alone, color="grey", linestyle=":", lw=1.2, zorder=5)
    left.plot([], [], color="grey", linestyle=":", label="decay alone, no gradient")
    left.set(xlabel="step", ylabel="mean of all gammas", ylim=(0, 1.1))
    left.legend(frameon=False, loc="lower left", title="weight decay", alignment="left")
    right.set(ylabel="accuracy on held-out images", ylim=(0.8, 1.0), xlim=(-0.5, 3.5))
    right.set_xticks(range(4), [f"{d:g}\n{'too' if g else 'left out'}" for d, g in looks])
    right.set_xlabel("weight decay, and whether gamma gets it")
    return figure, (
        f"Left: the mean of all gammas over {DECAY_STEPS} steps of AdamW. Right: the accuracy on"
        f" held-out images of each of {SEEDS} seeds. At the end, {'; '.join(words)}."
    )


@cache
def _digits() -> Digits:
    return digits()


def _named(gamma: float, beta: float) -> str:
    return f"gamma {gamma:g}" + (f", beta {beta:g}" if beta else "")


def _waiting() -> Note:
    return Note("This figure waits for the runs above.")


def _fails(attempt: Callable[[], Any], solution: Any) -> bool:
    """Whether the student's part fails; prints why."""
    try:
        attempt()
    except Exception as error:
        print(why_not(error, getattr(solution, "__name__", "solution"), "This comparison"))
        return True
    return False


def _network(
    block: type[nn.Module], depth: int, start: tuple[float, float], seed: int
) -> nn.Sequential:
    """A linear layer, blocks, and a linear layer, for images of digits."""
    with seeded(seed):
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, FEATURES),
            *(block(FEATURES, *start) for _ in range(depth)),
            nn.Linear(FEATURES, 10),
        )


def _first(model: nn.Sequential) -> nn.Linear:
    layer = model[1]
    assert isinstance(layer, nn.Linear)
    return layer


def _loss(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(model(images), labels)


def _norm(parameters: Sequence[torch.Tensor]) -> float:
    gradients = [p.grad.flatten() for p in parameters if p.grad is not None]
    return float(torch.cat(gradients).norm()) if gradients else 0.0


def _train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    seed: int,
    after_step: Callable[[], None] = lambda: None,
) -> list[float]:
    """Train on random batches of digits; return the losses, NaN from where they are infinite."""
    data, losses = _digits(), []
    order = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(data.images), (BATCH,), generator=order)
        loss = _loss(model, data.images[chosen], data.labels[chosen])
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            return losses + [float("nan")] * (steps - len(losses))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after_step()
    return losses


def _end(losses: list[float]) -> float:
    """The mean loss of the last 20 steps, at most WORST."""
    return float(min(np.nan_to_num(np.mean(losses[-20:]), nan=np.inf), WORST))
