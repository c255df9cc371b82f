"""Normalising images, text and time series: over which dims, and what is lost (exercise 10).

`norm` is the student's class: `ImageLayerNorm`, `TextLayerNorm` or `TimeSeriesLayerNorm`.
"""

import csv
import zlib
from functools import cache

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cbook import get_sample_data
from matplotlib.figure import Figure
from sklearn.datasets import load_digits, load_sample_image
from torch import nn

from course.student.explorer import Explorer
from course.student.figures.numbered import numbered
from course.student.picture import BLUE, GREEN, ORANGE, PURPLE, RED, picture

COMPANIES = {"IBM": BLUE, "AAPL": ORANGE, "MSFT": GREEN, "XRX": RED}
# Months that a forecast looks back and ahead.
BACK, AHEAD = 36, 12
WORDS, FEATURES = 12, 32

NORM_NAMES = {
    "N": "each number of an image across the batch",
    "NHW": "batch norm",
    "HW": "instance norm",
    "CHW": "layer norm",
    "C": "each pixel over its channels, as in ConvNeXt",
    "NCHW": "the whole batch at once",
    "": "nothing: each number is its own mean",
}


@picture
def shared_by_norms() -> tuple[Figure, str]:
    """Which entries of a batch of images share a mean, in five normalisations."""
    N, C, pixels = 2, 4, 3
    n, c, pixel = np.indices((N, C, pixels))
    panels = {
        "batch norm": c,
        "instance norm": n * C + c,
        "group norm\n(2 groups)": n * 2 + c // 2,
        "layer norm": n,
        "layer norm\nper pixel": n * pixels + pixel,
    }
    figure = Figure(figsize=(10, 3.5))
    for column, (title, groups) in enumerate(panels.items()):
        for sample in range(N):
            axes = figure.add_subplot(N, len(panels), sample * len(panels) + column + 1)
            numbered(axes, groups[sample].T, "tab10", 10)
            axes.tick_params(length=0, labelsize=8)
            if sample == 0:
                axes.set_title(title)
            else:
                axes.set_xlabel("channel", size=9)
            if column == 0:
                axes.set_ylabel(f"image {sample}\npixel", size=9)
    counts = {title: int(groups.max()) + 1 for title, groups in panels.items()}
    told = ", ".join(f"{title.replace(chr(10), ' ')} {n}" for title, n in counts.items())
    return figure, (
        "A batch of 2 images with 4 channels and 3 pixels, drawn five times as tables of pixels by"
        f" channels; equal numbers share one mean and variance. How many groups there are: {told}."
        " Batch norm: a channel of both images. Instance norm: a channel of one image. Group norm:"
        " two channels of one image. Layer norm: all of one image. Per pixel: the channels of one"
        " pixel."
    )


def axes_explorer() -> Explorer:
    """Two photographs normalised over the dims that are ticked."""
    import ipywidgets as widgets

    def box(label: str, value: bool) -> widgets.Widget:
        return widgets.Checkbox(value=value, description=label, indent=False)

    boxes = {
        "N": box("N, the images of the batch", False),
        "C": box("C, the channels", True),
        "H": box("H, the rows of pixels", True),
        "W": box("W, the columns of pixels", True),
    }
    return Explorer(_normalised_over, (), boxes)


def _normalised_over(**ticked: bool) -> tuple[Figure, str]:
    x = _photographs()[:, :, ::2, ::2]
    chosen = "".join(name for name, value in ticked.items() if value)
    dims = tuple("NCHW".index(name) for name in chosen)
    mean = x.mean(dims, keepdim=True) if dims else x
    centred = x - mean
    var = centred.square().mean(dims, keepdim=True) if dims else torch.zeros_like(x)
    y = centred / torch.sqrt(var + 1e-5)
    name = NORM_NAMES.get(chosen, "no usual name")
    count = mean.numel()
    figure = Figure(figsize=(6.4, 4))
    for axes, image, title in zip(
        figure.subplots(2, 2).T.flat,
        [*_shown(x, around=0.5, half=0.5), *_shown(y)],
        ("before", "", f"after: {name}", ""),
        strict=True,
    ):
        _draw_photograph(axes, image)
        axes.set_title(title)
    over = ", ".join(chosen) or "no dim"
    return figure, (
        f"Two photographs, a temple and a flower, before and after normalising over {over}:"
        f" {name}. {count} means for {x.numel()} numbers."
    )


@picture
def photographs_normalised(norm: type[nn.Module]) -> tuple[Figure, str]:
    """Three photographs, one of them faint, under five normalisations."""
    temple, flower = _photographs()
    faint = 0.15 + 0.25 * temple
    batch = torch.stack([temple, faint, flower])
    with torch.no_grad():
        columns = {
            "the batch": None,
            "batch norm": nn.BatchNorm2d(4, affine=False)(batch),
            "instance norm": nn.InstanceNorm2d(4)(batch),
            "group norm\n(R G and G B)": nn.GroupNorm(2, 4, affine=False)(batch),
            "layer norm\n(yours)": norm(4)(batch),
            "per pixel\n(yours)": norm(4, per_pixel=True)(batch),
        }
    figure = Figure(figsize=(11, 4.2))
    grid = figure.subplots(3, len(columns))
    for column, (title, output) in enumerate(columns.items()):
        images = _shown(batch, around=0.5, half=0.5) if output is None else _shown(output)
        for row, image in enumerate(images):
            _draw_photograph(grid[row, column], image)
        grid[0, column].set_title(title, size=10)
    for row, label in enumerate(("temple", "the same,\nfaint", "flower")):
        grid[row, 0].set_ylabel(label)

    def apart(title: str) -> str:
        output = columns[title]
        assert output is not None
        return f"{float((output[0] - output[1]).square().mean().sqrt()):.1f}"

    titles = [title for title in columns if columns[title] is not None]
    told = ", ".join(f"{title.replace(chr(10), ' ')} {apart(title)}" for title in titles)
    return figure, (
        "A batch of three photographs (a temple, the same with a quarter of the contrast, a"
        " flower) and what five normalisations make of it. Root mean square difference between the"
        f" first two afterwards: {told}."
    )


@picture
def contrast_removed(norm: type[nn.Module]) -> tuple[Figure, str]:
    """How far the output changes as a photograph loses its contrast."""
    temple, flower = _photographs()
    contrasts = 2.0 ** -np.arange(0, 11)
    modules = {
        "batch norm, beside a flower": (nn.BatchNorm2d(4, affine=False), "s--", ORANGE),
        "layer norm (yours)": (norm(4), "o-", BLUE),
        "instance norm": (nn.InstanceNorm2d(4), "^:", GREEN),
    }
    figure = Figure(figsize=(7, 3.2))
    axes = figure.subplots()
    told = []
    for label, (module, marker, colour) in modules.items():
        outputs = []
        with torch.no_grad():
            for contrast in contrasts:
                fainter = 0.5 + float(contrast) * (temple - 0.5)
                outputs.append(module(torch.stack([fainter, flower]))[0])
        size = outputs[0].square().mean().sqrt()
        change = [float((y - outputs[0]).square().mean().sqrt() / size) for y in outputs]
        axes.plot(contrasts, change, marker, color=colour, label=label, fillstyle="none")
        told.append(f"{label} {change[2]:.2f} and {change[-1]:.2f}")
    axes.set_xscale("log", base=2)
    axes.invert_xaxis()
    axes.set(
        xlabel="contrast of the photograph (1: as taken)",
        ylabel="change of the output,\nin parts of its size",
    )
    axes.legend(frameon=False)
    return figure, (
        "Change of the normalised photograph as its contrast falls from 1 to 1/1024. At a contrast"
        f" of 1/4 and of 1/1024: {'; '.join(told)}."
    )


@picture
def padding_leaks(norm: type[nn.Module]) -> tuple[Figure, str]:
    """The error of the real tokens against the share of padding, with and without the mask."""
    sentence = _embedded(_words())
    zeros, token = torch.zeros(FEATURES), _embedded(["<pad>"])[0]
    lengths = range(WORDS, 4 * WORDS + 1, 4)
    runs = {
        "per sequence, padded with zeros, no mask": (True, zeros, False, "s--", ORANGE),
        "per sequence, padded with a token, no mask": (True, token, False, "^--", PURPLE),
        "per sequence, padded with a token, with the mask": (True, token, True, "o-", BLUE),
        "per token, padded with a token, no mask": (False, token, False, "x:", GREEN),
    }
    figure = Figure(figsize=(7.5, 3.4))
    axes = figure.subplots()
    told = []
    for label, (per_sequence, filling, masked, marker, colour) in runs.items():
        module = norm(FEATURES, per_sequence=per_sequence)
        errors = []
        with torch.no_grad():
            truth = module(sentence[None])[0]
            for length in lengths:
                x = torch.cat([sentence, filling.expand(length - WORDS, FEATURES)])[None]
                mask = (torch.arange(length) < WORDS)[None] if masked else None
                error = module(x, mask)[0, :WORDS] - truth
                errors.append(float(error.square().mean().sqrt()))
        shares = [100 * (1 - WORDS / length) for length in lengths]
        axes.plot(shares, errors, marker, color=colour, markersize=5, label=label)
        told.append(f"{label}, {errors[-1]:.2f}")
    axes.set(
        xlabel="share of padding in the sequence (%)",
        ylabel="root mean square error\nof the real tokens",
    )
    axes.legend(frameon=False, fontsize=9)
    return figure, (
        f"Error of the {WORDS} real tokens of a sentence against the share of padding behind it,"
        f" from 0 to 75 %. At 75 %: {'; '.join(told)}."
    )


@picture
def series_both_ways(norm: type[nn.Module]) -> tuple[Figure, str]:
    """Four share prices, normalised step by step and over time."""
    years, prices = _prices(tuple(COMPANIES))
    x = torch.tensor(prices, dtype=torch.float32)[None]
    with torch.no_grad():
        per_step = norm(len(COMPANIES))(x)[0].numpy()
        over_time = norm(len(COMPANIES), over_time=True)(x)[0].numpy()
    figure = Figure(figsize=(10, 3.2))
    panels = {
        "Before": (prices, "price (US dollars)"),
        "Per step": (per_step, "normalised"),
        "Over time": (over_time, "normalised"),
    }
    for axes, (title, (values, label)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for line, (name, colour) in zip(values.T, COMPANIES.items(), strict=True):
            axes.plot(years, line, color=colour, linewidth=1.2, label=name)
        axes.set(title=title, xlabel="year", ylabel=label)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    spread = ", ".join(
        f"{name} {before:.0f} and {after:.1f}"
        for name, before, after in zip(COMPANIES, prices.std(0), over_time.std(0), strict=True)
    )
    return figure, (
        f"Monthly share prices of {', '.join(COMPANIES)} from 1990 to 2022; the same per step,"
        f" where the four lines have mean {abs(per_step.mean(1)).max():.0f} in every month; and"
        " over time, where each line has mean"
        f" {abs(over_time.mean(0)).max():.0f}. Standard deviation of each line before and after"
        f" normalising over time: {spread}."
    )


@picture
def forecast_with_level_returned(norm: type[nn.Module]) -> tuple[Figure, str]:
    """The error of a linear forecast with and without normalising each window over time."""
    names = ("IBM", "XRX", "^GSPC", "^IXIC", "MSFT", "AAPL")
    _, prices = _prices(names)
    labels = {
        "linear forecast": (ORANGE, "//"),
        "the same, on windows normalised by yours, level returned": (BLUE, ""),
        "no forecast: the last price again": ("0.75", ".."),
    }
    errors = np.array([_forecast_errors(norm, prices[:, i]) for i in range(len(names))])
    figure = Figure(figsize=(8.5, 3.4))
    axes = figure.subplots()
    for offset, (label, (colour, hatch)), values in zip(
        (-0.27, 0, 0.27), labels.items(), 100 * errors.T, strict=True
    ):
        axes.bar(
            np.arange(len(names)) + offset,
            values,
            0.25,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=label,
        )
    shown = {"^GSPC": "S&P 500", "^IXIC": "NASDAQ"}
    axes.set_xticks(range(len(names)), [shown.get(name, name) for name in names])
    axes.set(xlabel="series", ylabel="mean error of the forecast\n(% of the mean price)")
    axes.legend(frameon=False, loc="upper left")
    told = "; ".join(
        f"{shown.get(name, name)} " + ", ".join(f"{100 * error:.0f}" for error in row)
        for name, row in zip(names, errors, strict=True)
    )
    return figure, (
        "Error of forecasts of the next 12 months from the last 36, in % of the mean price, for six"
        " series: a linear forecast, the same on normalised windows with the level returned, and"
        f" the last price repeated. {told}."
    )


def _forecast_errors(norm: type[nn.Module], series: np.ndarray) -> list[float]:
    """Fitted on the first half of a series, tried on the second; each relative to its mean."""
    half = len(series) // 2
    windows = np.lib.stride_tricks.sliding_window_view
    early, late = windows(series[:half], BACK + AHEAD), windows(series[half - BACK :], BACK + AHEAD)
    seen, unseen, truth = early[:, :BACK], late[:, :BACK], late[:, BACK:]
    mean, std = series[:half].mean(), series[:half].std()
    plain = _fitted((seen - mean) / std, (early[:, BACK:] - mean) / std, (unseen - mean) / std)
    own = norm(1, over_time=True).double()
    with torch.no_grad():
        flat = [own(torch.tensor(x)[:, :, None])[:, :, 0].numpy() for x in (seen, unseen)]
    (old_level, old_spread), (level, spread) = (
        (x.mean(1, keepdims=True), np.sqrt(x.var(1, keepdims=True) + 1e-5)) for x in (seen, unseen)
    )
    normalised = _fitted(flat[0], (early[:, BACK:] - old_level) / old_spread, flat[1])
    forecasts = (plain * std + mean, normalised * spread + level, unseen[:, -1:])
    return [float(np.abs(y - truth).mean() / truth.mean()) for y in forecasts]


def _fitted(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Ridge regression of y on x, applied to new rows."""
    ones, new_ones = (np.c_[values, np.ones(len(values))] for values in (x, new))
    weights = np.linalg.solve(ones.T @ ones + np.eye(ones.shape[1]), ones.T @ y)
    return np.asarray(new_ones @ weights)


@cache
def _photographs() -> torch.Tensor:
    """scikit-learn's two photographs as a camera's sensor sees them: (2, 4, 107, 160), 0 to 1.

    A sensor has one colour at each place: in every block of four places a red, two greens and a
    blue. Only every second block is kept.
    """
    images = []
    for name in ("china.jpg", "flower.jpg"):
        image = load_sample_image(name)[:424, :640] / 255
        images.append(
            np.stack(
                [image[::4, ::4, 0], image[::4, 1::4, 1], image[1::4, ::4, 1], image[1::4, 1::4, 2]]
            )
        )
    return torch.tensor(np.stack(images), dtype=torch.float32)


def _shown(batch: torch.Tensor, around: float = 0.0, half: float = 2.0) -> np.ndarray:
    """Sensor values as (N, H, W, 3) colours; black and white lie `half` below and above."""
    red, green, other_green, blue = batch.unbind(1)
    colours = torch.stack([red, (green + other_green) / 2, blue], -1)
    return np.clip(((colours - around) / half + 1).numpy() / 2, 0, 1)


def _draw_photograph(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _words() -> list[str]:
    """The first words of the sentence that says where scikit-learn's digits come from."""
    _, start, rest = load_digits().DESCR.partition("This is a copy")
    return (start + rest).split()[:WORDS]


def _embedded(words: list[str]) -> torch.Tensor:
    """A vector for each word, (words, FEATURES), drawn from a seed made of its letters."""
    rows = [
        np.random.default_rng(zlib.crc32(word.lower().encode())).normal(0.5, 1, FEATURES)
        for word in words
    ]
    return torch.tensor(np.array(rows), dtype=torch.float32)


@cache
def _prices(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Share prices at the start of each month from matplotlib's Stocks.csv: years, (T, names)."""
    with open(get_sample_data("Stocks.csv", asfileobj=False), encoding="utf-8") as file:
        table = list(csv.DictReader(line for line in file if not line.startswith("#")))
    rows = [row for row in table if row["Date"].endswith("-01") and row["IBM"]]
    years = [int(row["Date"][:4]) + (int(row["Date"][5:7]) - 1) / 12 for row in rows]
    return np.array(years), np.array([[float(row[name]) for name in names] for row in rows])
