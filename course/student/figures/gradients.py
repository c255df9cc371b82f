"""Gradients through a normalised row: where they come from, how to test them, what they cost."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course.student.explorer import Explorer
from course.student.picture import BLUE, GREEN, ORANGE, RED, picture

LayerNorm = Callable[..., Any]

EPS = 1e-5

# A step of 1 along x changes these rows beyond recognition; below 1e-12 there is only rounding.
STEPS = 10.0 ** np.arange(-12, 0.1, 0.5)

MEBIBYTE = 2**20


@picture
def computational_graph() -> tuple[Figure, str]:
    """The graph of one layer normalization, with the three paths from x to x_hat in colour."""
    figure = Figure(figsize=(8.2, 3.4))
    axes = figure.subplots()
    axes.set(xlim=(-0.6, 11.7), ylim=(-1.75, 2.3))
    axes.axis("off")
    nodes = {
        "x": (0, 0, "x\n(..., D)"),
        "mean": (1.9, 1.75, "mean\n(..., 1)"),
        "c": (3.8, 0, "c = x − mean\n(..., D)"),
        "var": (5.0, 1.75, "var\n(..., 1)"),
        "rstd": (7.0, 1.75, "rstd\n(..., 1)"),
        "x_hat": (7.0, 0, "x_hat = c · rstd\n(..., D)"),
        "gamma": (8.9, 1.75, "gamma\n(D,)"),
        "beta": (10.7, 1.75, "beta\n(D,)"),
        "y": (10.2, 0, "y = gamma · x_hat\n+ beta  (..., D)"),
    }
    arrows = [
        ("x", "c", BLUE),
        ("c", "x_hat", BLUE),
        ("x", "mean", ORANGE),
        ("mean", "c", ORANGE),
        ("c", "var", GREEN),
        ("var", "rstd", GREEN),
        ("rstd", "x_hat", GREEN),
        ("x_hat", "y", "black"),
        ("gamma", "y", "black"),
        ("beta", "y", "black"),
    ]
    boxes = {
        name: axes.text(
            x,
            y,
            label,
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "0.4"},
            zorder=3,
        )
        for name, (x, y, label) in nodes.items()
    }
    for start, end, colour in arrows:
        axes.annotate(
            "",
            xy=nodes[end][:2],
            xytext=nodes[start][:2],
            arrowprops={
                "arrowstyle": "-|>",
                "color": colour,
                "linewidth": 2,
                "patchA": boxes[start].get_bbox_patch(),
                "patchB": boxes[end].get_bbox_patch(),
                "shrinkA": 2,
                "shrinkB": 2,
            },
        )
    for x, colour, label in (
        (0.0, BLUE, "direct path"),
        (2.3, ORANGE, "path through the mean"),
        (6.0, GREEN, "path through the variance"),
    ):
        axes.plot([x, x + 0.45], [-1.0, -1.0], color=colour, linewidth=3)
        axes.text(x + 0.6, -1.0, label, va="center")
    axes.annotate(
        "",
        xy=(0, -1.5),
        xytext=(11.4, -1.5),
        arrowprops={"arrowstyle": "-|>", "color": "0.35", "linestyle": "--"},
    )
    axes.text(
        5.7,
        -1.5,
        "backward: dout enters at y and follows every arrow against its direction",
        ha="center",
        va="center",
        color="0.25",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
    )
    axes.set_title("Three paths lead from x to x_hat")
    return figure, (
        "A graph from x to y. x, of shape (..., D), leads directly to c = x - mean, and by a second"
        " path through the mean, of shape (..., 1). c leads directly to x_hat = c times rstd, and"
        " by a third path through var and rstd, both of shape (..., 1). x_hat, gamma and beta lead"
        " to y; gamma and beta have shape (D,). The backward pass follows every arrow against its"
        " direction."
    )


@picture
def three_terms(layer_norm: LayerNorm) -> tuple[Figure, str]:
    """The three terms of dx for one row as bars, with the student's dx as their total."""
    layer, x, dout = _example(layer_norm, rows=1)
    layer.forward(x)
    dx = np.asarray(layer.backward(dout)[0], dtype=np.float64)[0]
    rstd = 1 / np.sqrt(x[0].var() + EPS)
    x_hat = (x[0] - x[0].mean()) * rstd
    g = dout[0] * layer.gamma
    terms = {
        "rstd · g  (direct)": (rstd * g, BLUE),
        "−rstd · mean(g)": (np.full_like(g, -rstd * g.mean()), ORANGE),
        "−rstd · x_hat · mean(g · x_hat)": (-rstd * x_hat * (g * x_hat).mean(), GREEN),
    }
    total = np.sum([values for values, _ in terms.values()], axis=0)
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots()
    places = np.arange(g.size)
    for shift, (label, (values, colour)) in zip((-0.25, 0, 0.25), terms.items(), strict=True):
        axes.bar(places + shift, values, width=0.23, color=colour, label=label)
    axes.plot(places, dx, "D", color="black", markersize=7, label="your dx")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(title="dx is the sum of three terms", xlabel="feature", ylabel="gradient")
    axes.set_xticks(places)
    axes.legend(ncols=2, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    agrees = np.allclose(dx, total, 1e-5, 1e-6)
    verdict = (
        "are the sum of the three bars at every feature"
        if agrees
        else f"differ from the sum of the three bars, by up to {np.abs(dx - total).max():.2g}"
    )
    sizes = ", ".join(f"{np.abs(values).max():.2f}" for values, _ in terms.values())
    return figure, (
        f"Three bars at each of {g.size} features: rstd * g, -rstd * mean(g), which is the same"
        f" everywhere, and -rstd * x_hat * mean(g * x_hat). Largest sizes: {sizes}. The black"
        f" diamonds, your dx, {verdict}."
    )


@picture
def finite_difference_error(layer_norm: LayerNorm) -> tuple[Figure, str]:
    """The V-shaped error of a finite difference against its step, on log-log axes."""
    dx, differences = _differences(layer_norm)
    errors = {
        name: np.array([np.abs(estimate - dx).max() for estimate in estimates])
        for name, estimates in differences.items()
    }
    figure = Figure(figsize=(8, 3.9))
    axes = figure.subplots()
    for (name, error), colour, marker in zip(errors.items(), (BLUE, ORANGE), "os", strict=True):
        axes.loglog(STEPS, error, marker=marker, markersize=4, color=colour, label=name)
    axes.set(
        title="A finite difference is best at a middling step",
        xlabel="step h, in units of x",
        ylabel="largest |difference − your dx|",
        ylim=(1e-13, 30),
    )
    central = errors["central: (L(x + h) − L(x − h)) / 2h"]
    fits = central.min() < 1e-7
    if fits:
        axes.text(
            1.3e-12,
            3e-11,
            "rounding of L, divided\nby h: with a ten times\nsmaller h, ten times worse",
        )
        axes.text(
            3e-4,
            4e-13,
            "bending of L: with a ten\ntimes smaller h, one-sided 10,\ncentral 100 times better",
        )
    axes.legend(loc="upper center", fontsize=9)
    if not fits:
        return figure, (
            f"The error of two finite differences against their step. Neither falls below"
            f" {central.min():.1g} at any step: the slope of your forward and your dx disagree."
        )
    # From 1e-2 to 1e-3: far from both the saturation and the rounding.
    high, low = (int(np.argmin(np.abs(np.log10(STEPS) - power))) for power in (-2, -3))
    falls = {name: error[high] / error[low] for name, error in errors.items()}
    one_sided, two_sided = (falls[name] for name in errors)
    return figure, (
        "The error of two finite differences against their step h, both axes logarithmic: a V."
        f" From h = 0.01 to 0.001 the one-sided difference gets {one_sided:.0f} times better and"
        f" the central one {two_sided:.0f} times. To the left of the bottom both get worse in"
        " proportion to 1 / h, by rounding. The central difference comes below 1e-7, with a step"
        " between 1e-7 and 1e-3."
    )


def step_explorer(layer_norm: LayerNorm) -> Explorer:
    """The loss around one entry of x, with sliders for the step of the finite difference."""
    import ipywidgets as widgets

    sliders = {
        "log_step": widgets.FloatSlider(
            value=0.3,
            min=-15.5,
            max=0.7,
            step=0.1,
            description="log10 h",
            continuous_update=False,
        ),
        "feature": widgets.IntSlider(
            value=6, min=0, max=7, description="feature", continuous_update=False
        ),
    }
    return Explorer(_secant, (layer_norm,), sliders)


def _secant(layer_norm: LayerNorm, log_step: float, feature: int) -> tuple[Figure, str]:
    layer, x, dout = _example(layer_norm, rows=1)
    h = 10.0**log_step
    start = float(np.sum(dout * layer.forward(x)))
    slope = float(np.asarray(layer.backward(dout)[0])[0, feature])

    def loss(offset: float) -> float:
        moved = x.copy()
        moved[0, feature] += offset
        return float(np.sum(dout * layer.forward(moved))) - start

    offsets = h * np.linspace(-2, 2, 401)
    lower, upper = loss(-h), loss(h)
    estimate = (upper - lower) / (2 * h)
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots()
    axes.plot(offsets / h, [loss(offset) for offset in offsets], color="black", label="fake loss L")
    axes.plot(
        [-2, 2],
        [lower + estimate * h * (t + 1) for t in (-2, 2)],
        "--",
        color=ORANGE,
        linewidth=2,
        label=f"finite difference: slope {estimate:z.6f}",
    )
    axes.plot([-1, 1], [lower, upper], "o", color=ORANGE, markersize=8)
    axes.plot(
        [-2, 2], [-2 * h * slope, 2 * h * slope], color=BLUE, label=f"your dx: slope {slope:z.6f}"
    )
    axes.set(
        title=f"Feature {feature} of x moved by up to two steps of h = {h:.1e}",
        xlabel="change of x, in units of h",
        ylabel="change of the loss L",
    )
    axes.legend(fontsize=9)
    return figure, (
        f"The fake loss as feature {feature} of x moves by up to two steps of h = {h:.1e}, with two"
        f" straight lines: the finite difference through the points one step to either side, of"
        f" slope {estimate:z.4f}, and your dx, of slope {slope:z.4f}."
    )


@picture
def cached_bytes() -> tuple[Figure, str]:
    """What each way of remembering costs in a GPT-2-sized model: arithmetic, no measurement."""
    batch, seq, features, layers, size = 8, 1024, 768, 25, 4
    rows = batch * seq
    ways = {
        "keep x_hat and rstd": rows * features * size + rows * size,
        "keep mean and rstd,\nmake x_hat again from x": 2 * rows * size,
    }
    figure = Figure(figsize=(8, 2.4))
    axes = figure.subplots()
    mebibytes = [layers * count / MEBIBYTE for count in ways.values()]
    bars = axes.barh(list(ways), mebibytes, color=[ORANGE, BLUE], height=0.6)
    axes.bar_label(bars, [f"{count:.1f} MiB" for count in mebibytes], padding=4)
    axes.invert_yaxis()
    axes.set(
        title=f"Memory held between forward and backward, {layers} layer norms",
        xlabel="MiB (computed from the shapes, not measured)",
        xlim=(0, 1.2 * max(mebibytes)),
    )
    one = [count / 2**10 for count in ways.values()]
    return figure, (
        f"Two bars: {mebibytes[0]:.1f} MiB to keep x_hat and rstd, {mebibytes[1]:.1f} MiB to keep"
        f" mean and rstd, for {layers} layer norms on arrays of shape ({batch}, {seq}, {features})"
        f" in float32. For a single one: {one[0]:.0f} KiB against {one[1]:.0f} KiB. This is"
        " arithmetic on the shapes, not a measurement."
    )


@picture
def detached_statistics(layer_norm: LayerNorm) -> tuple[Figure, str]:
    """Gradient descent on x with the student's dx, and with mean and variance as constants."""
    rng = np.random.default_rng(5)
    start = rng.normal(size=(32, 16))
    # LayerNorm cannot give its rows a mean of 1 or a spread of 2, whatever x is.
    target = 1 + 2 * rng.normal(size=start.shape)
    steps, rate = 200, 0.05
    levels, spreads = {}, {}
    for name in ("your dx", "mean and variance as constants"):
        layer, x = layer_norm(start.shape[-1], EPS), start.copy()
        means, stds = [x.mean(axis=-1).mean()], [x.std(axis=-1).mean()]
        for _ in range(steps):
            dout = layer.forward(x) - target
            if name == "your dx":
                dx = np.asarray(layer.backward(dout)[0], dtype=np.float64)
            else:
                dx = dout / np.sqrt(x.var(axis=-1, keepdims=True) + EPS)
            x = x - rate * dx
            means.append(x.mean(axis=-1).mean())
            stds.append(x.std(axis=-1).mean())
        levels[name], spreads[name] = means, stds
    figure = Figure(figsize=(8, 3.2))
    for axes, curves, title in zip(
        figure.subplots(1, 2),
        (levels, spreads),
        ("Mean of a row of x", "Standard deviation of a row of x"),
        strict=True,
    ):
        _two_curves(axes, curves, title)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    first, last = (
        [f"{curve[which]:z.1f}" for kind in (levels, spreads) for curve in kind.values()]
        for which in (0, -1)
    )
    return figure, (
        f"Two panels over {steps} steps of gradient descent on x. The mean of a row goes from"
        f" {first[0]} to {last[0]} with your dx, and to {last[1]} with mean and variance as"
        f" constants. Its standard deviation goes from {first[2]} to {last[2]} with your dx, and to"
        f" {last[3]} with mean and variance as constants."
    )


def _two_curves(axes: Axes, curves: dict[str, list[float]], title: str) -> None:
    for (name, values), colour, line in zip(curves.items(), (BLUE, RED), ("-", "--"), strict=True):
        axes.plot(values, line, color=colour, linewidth=2, label=name)
    axes.set(title=title, xlabel="step of gradient descent", ylabel="average over 32 rows")


def _example(layer_norm: LayerNorm, rows: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """A layer with uneven gamma and beta, an x of 8 features, and an upstream gradient."""
    rng = np.random.default_rng(22)
    layer = layer_norm(8, EPS)
    layer.gamma = rng.choice([-1, 1], 8) * rng.uniform(0.5, 2, 8)
    layer.beta = rng.normal(size=8)
    return layer, rng.normal(1, 2, size=(rows, 8)), rng.normal(size=(rows, 8))


def _differences(layer_norm: LayerNorm) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """The student's dx, and for each of STEPS the one-sided and the central difference."""
    layer, x, dout = _example(layer_norm, rows=2)
    layer.forward(x)
    dx = np.asarray(layer.backward(dout)[0], dtype=np.float64)

    def loss(values: np.ndarray) -> float:
        return float(np.sum(dout * layer.forward(values)))

    here = loss(x)
    one_sided, central = [], []
    for h in STEPS:
        upper, lower = np.zeros_like(x), np.zeros_like(x)
        for index in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[index] = h
            upper[index], lower[index] = loss(x + step), loss(x - step)
        one_sided.append((upper - here) / h)
        central.append((upper - lower) / (2 * h))
    return dx, {
        "one-sided: (L(x + h) − L(x)) / h": one_sided,
        "central: (L(x + h) − L(x − h)) / 2h": central,
    }
