"""Batch norm and layer norm side by side, and what the batch size does to them (exercise 4).

Models are the students' classes, `model()(x)`; `train` is their training loop.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course.student.data import digits
from course.student.picture import BLUE, ORANGE, Note, Picture, picture
from course.student.progress_bar import with_progress
from course.student.torch_modules import seeded
from course.student.waiting import why_not

BATCH_SIZES = (2, 4, 8, 16, 32, 64)
CURVES_FOR = (64, 8, 2)
# Points of a training curve: each is the mean loss of so large a part of the steps.
PARTS = 24

# What a training run gave: the loss of every step, and the accuracy in the end.
Run = tuple[list[float], float]
# The runs of several seeds, by the name of the norm and the batch size.
Runs = dict[tuple[str, int], list[Run]]

_LOOKS = (
    {"color": ORANGE, "marker": "s", "linestyle": "--"},
    {"color": BLUE, "marker": "o", "linestyle": "-"},
)


@picture
def normalised_both_ways() -> tuple[Figure, str]:
    """A batch of bright and dark samples, as it is and after either norm."""
    rng = np.random.default_rng(4)
    brightness = np.array([0.0, 4.0, -3.0, 6.0, 1.0])[:, None]
    level = np.array([0.0, 5.0, -4.0, 2.0, -2.0, 7.0])
    x = brightness + level + rng.normal(size=(5, 6))
    panels = {"x": x, "batch norm of x": _normalised(x, 0), "layer norm of x": _normalised(x, 1)}
    figure = Figure(figsize=(9.5, 3))
    for axes, (title, values) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        limit = np.abs(values).max()
        axes.imshow(values, cmap="RdBu_r", vmin=-1.4 * limit, vmax=1.4 * limit, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", size=9)
        axes.set(title=title, xlabel="feature", xticks=range(6), yticks=range(5))
        axes.tick_params(length=0)
    figure.axes[0].set_ylabel("sample in the batch")
    return figure, (
        "Three tables of 5 samples by 6 features. In x, some samples are higher in all features"
        " than others, and some features are higher in all samples. After batch norm the features"
        " are alike, with mean 0 in every column, and the samples still differ. After layer norm"
        " the samples are alike, with mean 0 in every row, and the features still differ."
    )


@picture
def one_sample_in_many_batches(
    batch_model: type[nn.Module], layer_model: type[nn.Module]
) -> tuple[Figure, str]:
    """One output for one image, in training mode, in random batches of several sizes."""
    data, batches = digits(), 150
    figure = Figure(figsize=(9, 3.2))
    spreads: dict[str, list[float]] = {}
    names = {"ModelWithBatchNorm": batch_model, "ModelWithLayerNorm": layer_model}
    for axes, look, (name, model_class) in zip(
        figure.subplots(1, 2, sharey=True), _LOOKS, names.items(), strict=True
    ):
        with seeded(0), torch.no_grad():
            model = model_class().train()
            outputs = np.array(
                [
                    [_first_logit(model, data.images, size) for _ in range(batches)]
                    for size in BATCH_SIZES
                ]
            )
        for place, values in enumerate(outputs):
            jitter = np.linspace(-0.25, 0.25, batches)
            axes.plot(place + jitter, values, ".", color=look["color"], markersize=3, alpha=0.6)
        axes.set(title=name, xlabel="images in the batch")
        axes.set_xticks(range(len(BATCH_SIZES)), [str(size) for size in BATCH_SIZES])
        spreads[name] = list(outputs.std(axis=1))
    figure.axes[0].set_ylabel("first logit of the same image")
    words = [f"{name}: {values[0]:.2f} and {values[-1]:.2f}" for name, values in spreads.items()]
    return figure, (
        f"The first logit of one and the same image in {batches} random batches of each of the"
        " sizes 2 to 64, in training mode. Its standard deviation at 2 images in the batch and at"
        f" 64: {'; '.join(words)}."
    )


def compare(
    models: Mapping[str, type[nn.Module]],
    train: Callable[..., Run],
    one_run: Callable[[type[nn.Module], int, int], Run],
    seeds: int,
) -> Runs:
    """Train every model at every batch size from several seeds, with a progress bar.

    Args:
        models: the students' classes, by the name of their norm.
        train: the students' loop, which `one_run` calls.
        one_run: called with a class, a batch size and a seed.
        seeds: how many seeds.

    Returns:
        The runs; nothing, after a sentence that says why, if one of the students' parts fails.
    """
    x, y = torch.zeros(4, 8, 8), torch.arange(4)
    for name, model in models.items():
        try:
            assert model()(x).shape == (4, 10), "it does not return logits of shape (batch, 10)"
        except Exception as error:
            print(why_not(error, getattr(model, "__name__", name), "The comparison"))
            return {}
    plan = [(name, size, seed) for size in BATCH_SIZES for name in models for seed in range(seeds)]
    runs: Runs = {}
    try:
        _usable(train(next(iter(models.values()))(), [(x, y)], [(x, y)], 1, 0.1))
        for name, size, seed in with_progress(plan, f"Training {len(plan)} networks"):
            runs.setdefault((name, size), []).append(_usable(one_run(models[name], size, seed)))
    except Exception as error:
        print(why_not(error, getattr(train, "__name__", "training loop"), "The comparison"))
        return {}
    return runs


def training_curves(runs: Runs) -> Picture | Note:
    """The loss through training, at three batch sizes."""
    return _training_curves(runs) if runs else Note("This figure waits for the comparison above.")


def error_against_batch_size(runs: Runs) -> Picture | Note:
    """The error on held-out images, against the batch size in training."""
    return _error(runs) if runs else Note("This figure waits for the comparison above.")


@picture
def _training_curves(runs: Runs) -> tuple[Figure, str]:
    figure = Figure(figsize=(9.5, 3.3))
    words = []
    for axes, size in zip(figure.subplots(1, 3, sharey=True), CURVES_FOR, strict=True):
        last = {}
        for look, name in zip(_LOOKS, _names(runs), strict=True):
            curves = np.array([_in_parts(losses) for losses, _ in runs[name, size]])
            steps = len(runs[name, size][0][0]) * (np.arange(PARTS) + 0.5) / PARTS
            axes.fill_between(
                steps, curves.min(axis=0), curves.max(axis=0), color=look["color"], alpha=0.25
            )
            axes.plot(steps, curves.mean(axis=0), color=look["color"], linestyle=look["linestyle"])
            last[name] = float(curves[:, -1].mean())
        axes.set(title=f"batch size {size}", xlabel="step", yscale="log")
        axes.set_yticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
        axes.minorticks_off()
        words.append(
            f"batch size {size}: "
            + ", ".join(f"{name} ends near {loss:.1g}" for name, loss in last.items())
        )
    figure.axes[0].set_ylabel("training loss")
    lines = figure.axes[0].lines
    figure.legend(lines, _names(runs), loc="outside lower center", ncols=2, frameon=False)
    return figure, (
        "Training loss against steps for three batch sizes, the mean over seeds and the range"
        f" between the lowest and the highest. {'; '.join(words)}."
    )


@picture
def _error(runs: Runs) -> tuple[Figure, str]:
    figure = Figure(figsize=(7, 3.3))
    axes = figure.subplots()
    sizes = sorted({size for _, size in runs})
    words = []
    for look, name in zip(_LOOKS, _names(runs), strict=True):
        errors = np.array([[100 * (1 - acc) for _, acc in runs[name, size]] for size in sizes])
        mean = errors.mean(axis=1)
        axes.plot(sizes, mean, label=name, color=look["color"], linestyle=look["linestyle"])
        for values in errors.T:
            axes.plot(sizes, values, look["marker"], color=look["color"], markersize=4, alpha=0.6)
        words.append(f"{name}: {mean[0]:.0f} % and {mean[-1]:.0f} %")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="images in a batch, in training", ylabel="error on held-out\nimages (%)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure, (
        "Error on held-out images against the batch size in training; a dot is a seed, the line"
        f" their mean. Mean error at batch sizes {sizes[0]} and {sizes[-1]}: {'; '.join(words)}."
    )


def _names(runs: Runs) -> list[str]:
    return list(dict.fromkeys(name for name, _ in runs))


def _normalised(x: np.ndarray, axis: int) -> np.ndarray:
    centred = x - x.mean(axis=axis, keepdims=True)
    normalised: np.ndarray = centred / x.std(axis=axis, keepdims=True)
    return normalised


def _first_logit(model: nn.Module, images: torch.Tensor, size: int) -> float:
    others = torch.randint(1, len(images), (size - 1,))
    return float(model(torch.cat([images[:1], images[others]]))[0, 0])


def _usable(run: Any) -> Run:
    """A run as plain numbers.

    Raises:
        TypeError, ValueError: the training loop returned something else.
    """
    losses, accuracy = run
    return [float(loss) for loss in losses], float(accuracy)


def _in_parts(losses: list[float]) -> np.ndarray:
    """The mean loss of each of `PARTS` equal parts of the steps."""
    parts = np.array_split(np.asarray(losses), PARTS)
    return np.array([part.mean() for part in parts])
