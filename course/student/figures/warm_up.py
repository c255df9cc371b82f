"""Encoders trained with and without warm-up: a map trained live, and stored curves (exercise 9).

`pre` and `post` are the student's encoders. Post-LN comes first, for it is written last, and a
figure's note names its first argument as the one that it waits for.
"""

import json
from collections.abc import Callable
from functools import cache
from importlib import resources

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional

from course.student.explorer import Explorer
from course.student.picture import BLUE, ORANGE, picture
from course.student.progress_bar import with_progress
from course.student.torch_modules import seeded

Encoder = Callable[..., nn.Module]
Run = tuple[str, float, int, int]

SYMBOLS, LENGTH, BATCH = 8, 8, 32
WIDTH, HEADS, LAYERS, HIDDEN = 16, 2, 6, 32
GUESSING = float(np.log(SYMBOLS))
SEEDS = range(3)
PRE, POST = "Pre-LN", "Post-LN"

# The map, trained while the student waits.
RATES = (0.003, 0.01, 0.03)
WARM_UPS = (0, 40)
STEPS = 80

# The runs of the explorer, trained beforehand. They hold those of the map, and go on from there.
STORED = "training_runs.json"
STORED_RATES = (0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1)
STORED_WARM_UPS = (0, 10, 20, 40, 80, 160)
STORED_STEPS = 240
# The rates of the one step that the student's encoders take.
STEP_RATES = (0.0003, *STORED_RATES)
# A loss is the mean of so many steps: in the map that of the last ones, in a curve each point.
MEAN_OF = 5


@picture
def who_learns(post: Encoder, pre: Encoder) -> tuple[Figure, str]:
    """Loss after training, for a grid of learning rate, warm-up and seed."""
    for encoder in (pre, post):
        encoder(WIDTH, HEADS)  # one that is not written yet says so before the bar appears
    kinds = {PRE: pre, POST: post}
    grid = [
        (name, warm_up, rate, seed)
        for name in kinds
        for warm_up in WARM_UPS
        for rate in RATES
        for seed in SEEDS
    ]
    losses = {
        (name, warm_up, rate, seed): loss_curve(kinds[name], rate, warm_up, seed, STEPS)[-1]
        for name, warm_up, rate, seed in with_progress(grid, f"Training {len(grid)} encoders")
    }
    figure = Figure(figsize=(8.5, 3.4))
    words = []
    for axes, name in zip(figure.subplots(1, 2, sharey=True), kinds, strict=True):
        table = np.array(
            [[[losses[name, w, rate, s] for s in SEEDS] for rate in RATES] for w in WARM_UPS]
        )
        flat = table.transpose(0, 2, 1).reshape(-1, len(RATES))  # seeds below each other
        image = axes.imshow(flat, cmap="cividis", vmin=0, vmax=GUESSING, aspect="auto")
        for (row, column), loss in np.ndenumerate(flat):
            axes.text(
                column, row, f"{loss:.2f}", ha="center", va="center", size=9,
                color="white" if loss < 1.2 else "black",
            )  # fmt: skip
        axes.axhline(len(SEEDS) - 0.5, color="white", linewidth=3)
        axes.set(title=name, xlabel="learning rate", xticks=range(len(RATES)))
        axes.set_xticklabels([f"{rate:g}" for rate in RATES])
        axes.set_yticks([len(SEEDS) * i + (len(SEEDS) - 1) / 2 for i in range(len(WARM_UPS))])
        axes.set_yticklabels(["no\nwarm-up", f"{WARM_UPS[1]} steps\nof warm-up"])
        axes.tick_params(length=0)
        for i, warm_up in enumerate(WARM_UPS):
            worst = ", ".join(f"{value:.2f}" for value in table[i].max(-1))
            words.append(f"{name}, warm-up {warm_up}: {worst}")
    figure.colorbar(image, ax=figure.axes, label="loss (nats)")
    return figure, (
        f"Loss after {STEPS} steps on reversing {LENGTH} symbols, where guessing costs"
        f" {GUESSING:.2f}; a row is a seed. Worst of {len(SEEDS)} seeds for learning rates"
        f" {', '.join(map(str, RATES))}. {'; '.join(words)}."
    )


def warm_up_explorer(post: Encoder, pre: Encoder) -> Explorer:
    """Stored loss curves and the student's first step, by learning rate and warm-up."""
    import ipywidgets as widgets

    def slider(label: str, value: float, options: tuple[float, ...]) -> widgets.Widget:
        return widgets.SelectionSlider(
            options=[(f"{option:g}", option) for option in options],
            value=value,
            description=label,
            style={"description_width": "7em"},
            continuous_update=False,
        )

    sliders = {
        "rate": slider("learning rate", 0.02, STORED_RATES),
        "warm_up": slider("warm-up", 0, STORED_WARM_UPS),
    }
    return Explorer(_curves_and_first_step, (post, pre), sliders)


def _curves_and_first_step(
    post: Encoder, pre: Encoder, rate: float, warm_up: int
) -> tuple[Figure, str]:
    figure = Figure(figsize=(9, 3.5))
    curves, step = figure.subplots(1, 2, width_ratios=(5, 3))
    at = np.arange(MEAN_OF, STORED_STEPS + 1, MEAN_OF)
    ends, moves = [], []
    for name, encoder, colour, line in ((PRE, pre, BLUE, "-"), (POST, post, ORANGE, "--")):
        runs = [stored_runs()[name, rate, warm_up, seed] for seed in SEEDS]
        curves.plot(at, np.transpose(runs), line, color=colour, label=[name, *[""] * len(runs[1:])])
        moved = np.array(first_steps(encoder))
        step.fill_between(STEP_RATES, moved.min(0), moved.max(0), color=colour, alpha=0.2, lw=0)
        step.plot(STEP_RATES, moved.mean(0), line, color=colour)
        ends.append(f"{name} {', '.join(f'{run[-1]:.2f}' for run in runs)}")
        moves.append(f"{name} {moved.mean(0)[STEP_RATES.index(rate)]:.2f}")
    curves.axhline(GUESSING, color="0.5", linestyle=":", label="guessing")
    step.axhline(2, color="0.5", linestyle=":")
    step.text(STEP_RATES[0], 2.04, "nothing in common", color="0.4")
    step.axvline(rate, color="0.5", linewidth=1)
    if warm_up:
        curves.axvspan(0, warm_up, color="0.92", zorder=0)
        curves.text(3, 2.8, "warm-up", color="0.4")
        step.axvspan(_rate_at(0, rate, warm_up), rate, color="0.92", zorder=0)
    curves.set(
        title="Stored runs, three seeds of each kind",
        xlabel="step",
        ylabel="loss (nats)",
        xlim=(0, STORED_STEPS),
        ylim=(0, 3),
    )
    curves.legend(frameon=False, loc="upper right", ncols=3)
    step.set(
        title="Your encoders: one step",
        xlabel=f"rate of the step, with a line at {rate:g}",
        ylabel="mean squared change\nof the output",
        xscale="log",
        xlim=(STEP_RATES[0], 1.3 * STEP_RATES[-1]),
        ylim=(0, 2.3),
    )
    step.set_xticks((0.001, 0.01, 0.1), ("0.001", "0.01", "0.1"))
    return figure, (
        f"Loss over {STORED_STEPS} steps at a learning rate of {rate:g} with {warm_up} steps of"
        f" warm-up, stored runs from {len(SEEDS)} seeds. At the end: {'; '.join(ends)}, where"
        f" guessing costs {GUESSING:.2f}. Beside it, the mean squared change of your encoders'"
        f" output in one step at the start, by the rate of the step. At {rate:g} it is"
        f" {', '.join(moves)}, where outputs with nothing in common differ by 2."
    )


@cache
def stored_runs() -> dict[Run, list[float]]:
    """The loss curves of the reference: by placement, learning rate, warm-up and seed."""
    text = (resources.files("course.student") / STORED).read_text(encoding="utf-8")
    return {
        (run["placement"], run["rate"], run["warm_up"], run["seed"]): run["losses"]
        for run in json.loads(text)["runs"]
    }


def loss_curve(encoder: Encoder, rate: float, warm_up: int, seed: int, steps: int) -> list[float]:
    """Train a small encoder of six layers to reverse a sequence.

    Args:
        encoder: the student's class.
        rate: the learning rate of Adam.
        warm_up: over how many steps the learning rate rises to that.
        seed: of initial weights and data.
        steps: how long to train; the first steps are the same whatever follows.

    Returns:
        The loss in nats, one mean for every five steps.
    """
    network, data = _untrained(encoder, seed, steps)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    losses = []
    for step, batch in enumerate(data):
        for group in optimizer.param_groups:
            group["lr"] = _rate_at(step, rate, warm_up)
        loss = network.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.mean(np.reshape(losses, (-1, MEAN_OF)), axis=1).tolist()


@cache
def first_steps(encoder: Encoder) -> list[list[float]]:
    """How far Adam's first step moves the output of an encoder, for each seed and rate.

    In that step Adam moves every weight by the rate, whatever its gradient. The embedding and the
    head are left as they are.

    Returns:
        The mean squared change of the output. Its rows have mean square 1, so it is 2 where the
        new output has nothing in common with the old.
    """
    return [[_first_step(encoder, rate, seed) for rate in STEP_RATES] for seed in SEEDS]


def _first_step(encoder: Encoder, rate: float, seed: int) -> float:
    network, (batch,) = _untrained(encoder, seed, 1)
    network.loss(batch).backward()
    with torch.no_grad():
        before = network.encoded(batch)
        torch.optim.Adam(network.encoder.parameters(), lr=rate).step()
        return (network.encoded(batch) - before).square().mean().item()


class _Reverser(nn.Module):
    """Symbols in, and scores of the same symbols in reverse order out."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.places = nn.Parameter(torch.randn(LENGTH, WIDTH))
        self.encoder = encoder(WIDTH, HEADS, LAYERS, HIDDEN, 0.0)
        self.head = nn.Linear(WIDTH, SYMBOLS)

    def encoded(self, symbols: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.encoder(self.embedding(symbols) + self.places)
        return output

    def loss(self, symbols: torch.Tensor) -> torch.Tensor:
        scores = self.head(self.encoded(symbols))
        return functional.cross_entropy(scores.flatten(0, 1), symbols.flip(1).flatten())


def _untrained(encoder: Encoder, seed: int, steps: int) -> tuple[_Reverser, torch.Tensor]:
    """A network with its initial weights, and a batch of symbols for each step."""
    with seeded(seed):
        return _Reverser(encoder), torch.randint(SYMBOLS, (steps, BATCH, LENGTH))


def _rate_at(step: int, rate: float, warm_up: int) -> float:
    return rate * min(1, (step + 1) / max(warm_up, 1))
