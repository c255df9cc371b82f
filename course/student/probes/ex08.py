"""The probes of exercise 8: recording activations, and a figure of them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, StepPatch
from matplotlib.ticker import FixedFormatter, FuncFormatter
from torch import nn

from course.student.outcome import UnusableError, as_array
from course.student.plain import PlainValues
from course.student.torch_modules import seeded

# record_activations


def record_activations(
    student: Callable[..., Any],
    x: np.ndarray,
    weights: np.ndarray,
    names: str,
    look_at: str = "outputs",
    other: np.ndarray | None = None,
) -> PlainValues:
    """Call `record_activations(model, x, layers)` on a small network with nested layers.

    Args:
        student: the function.
        x: `(batch, features)`.
        weights: `(3, features, features)`, of the network's three linear layers.
        names: the layers to record, separated by spaces.
        look_at: what to return, see below.
        other: like x; for a second call.

    Returns:
        By `look_at`:
        "outputs": one array for each of `names`;
        "names": the `names recorded`;
        "in-place": one array for each of `names`, where each ReLU writes over its input;
        "hooks": the `hooks left on the model`, and whether `a hook that was there before is kept`;
        "error": the `hooks left on the model` after the model has raised an error;
        "graph": the `tensors that still hold the graph`;
        "mode": whether the model ran and was left in the mode it was in, with gradients enabled;
        "twice": what the first of two calls returned, after the second.
    """
    layers = names.split()
    given = torch.tensor(x)
    enabled = torch.is_grad_enabled()
    try:
        with seeded(0):
            return _asked(student, given, weights, layers, look_at, other)
    finally:
        torch.set_grad_enabled(enabled)


def _asked(
    student: Callable[..., Any],
    given: torch.Tensor,
    weights: np.ndarray,
    layers: list[str],
    look_at: str,
    other: np.ndarray | None,
) -> PlainValues:
    if look_at == "outputs":
        return _arrays(_record(student, _network(weights), given, layers), layers)
    if look_at == "names":
        recorded = _record(student, _network(weights), given, layers)
        return {"names recorded": ", ".join(sorted(map(str, recorded)))}
    if look_at == "in-place":
        model = _network(weights, inplace=True)
        return _arrays(_record(student, model, given, layers), layers)
    if look_at == "hooks":
        model = _network(weights)
        seen: list[int] = []
        model.get_submodule(layers[0]).register_forward_hook(lambda *_: seen.append(1))
        _record(student, model, given, layers)
        left = _hooks(model) - 1
        seen.clear()
        model(given)
        return {
            "hooks left on the model": max(left, 0),
            "a hook that was there before is kept": bool(seen),
        }
    if look_at == "error":
        model = _network(weights)
        try:
            student(model, given[:, 1:], layers)
        except RuntimeError:
            return {"hooks left on the model": _hooks(model)}
        raise UnusableError(
            "x had one column too few, so the model raised a RuntimeError; your function"
            " swallowed it. Let errors of the model through."
        )
    if look_at == "graph":
        recorded = _record(student, _network(weights), given, layers)
        return {"tensors that still hold the graph": _with_graph(recorded.values())}
    if look_at == "mode":
        return _mode(student, _network(weights), given, layers)
    model = _network(weights)
    first = _record(student, model, given, layers)
    _record(student, model, torch.tensor(other), layers)
    return _arrays(first, layers)


def _network(weights: np.ndarray, inplace: bool = False) -> nn.Sequential:
    """Three linear layers, the second in a block of its own, with dropout at work in training."""
    linears = []
    for weight in torch.tensor(weights):
        linear = nn.Linear(len(weight), len(weight))
        linear.weight.data.copy_(weight)
        linear.bias.data.copy_(weight.mean(1))
        linears.append(linear)
    block = nn.Sequential(
        linears[1], nn.LayerNorm(len(weights[1])), nn.ReLU(inplace=inplace), nn.Dropout(0.5)
    )
    model = nn.Sequential()
    model.add_module("first", linears[0])
    model.add_module("act", nn.ReLU(inplace=inplace))
    model.add_module("block", block)
    model.add_module("last", linears[2])
    return model.eval()


def _record(
    student: Callable[..., Any], model: nn.Module, x: torch.Tensor, layers: list[str]
) -> Mapping[Any, Any]:
    recorded = student(model, x, list(layers))
    if recorded is None:
        raise UnusableError(
            "`record_activations` returned None. Let it end in a `return` of the dict."
        )
    if not isinstance(recorded, Mapping):
        raise UnusableError(
            f"`record_activations` returned something of type {type(recorded).__name__}; a dict was"
            " expected, with the names of the layers as its keys."
        )
    return recorded


def _arrays(recorded: Mapping[Any, Any], layers: list[str]) -> PlainValues:
    if missing := [name for name in layers if name not in recorded]:
        keys = ", ".join(repr(key) for key in recorded) or "none"
        raise UnusableError(
            f"The dict has no entry {missing[0]!r}. It was asked for {', '.join(layers)}; its keys"
            f" are: {keys}."
        )
    return {name: as_array(recorded[name], f"The entry {name!r}") for name in layers}


def _hooks(model: nn.Module) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
    )


def _with_graph(values: Iterable[Any]) -> int:
    return sum(isinstance(value, torch.Tensor) and value.requires_grad for value in values)


def _mode(
    student: Callable[..., Any], model: nn.Module, x: torch.Tensor, layers: list[str]
) -> PlainValues:
    model.train()
    # A part that is frozen, as in fine-tuning.
    model.get_submodule("last").eval()
    before = [module.training for module in model.modules()]
    recorded = _arrays(_record(student, model, x, layers), layers)
    return {
        "dropout was at work, in training mode": bool(np.mean(recorded["block.3"] == 0) > 0.6),
        "each part is in the mode it was in": [m.training for m in model.modules()] == before,
        "gradients are still enabled": torch.is_grad_enabled(),
        "parameters that have a gradient": sum(p.grad is not None for p in model.parameters()),
    }


# visualize_activations

NETWORKS = ("without", "with")
# How far two sets of numbers that are the same may lie apart, what a fit of the weights may leave
# over, and what these weights may do on the other network's numbers: root mean squares in units of
# the spread. Right solutions stay below 2e-6, 2e-4 and 1e-6, in float32 and in float64; mistakes
# lie above 0.01, 0.2 and 0.5 (`benchmarks/ex08_same_weights.py`).
SAME = 0.005
LEFT_OVER = 0.01
SAME_WEIGHTS = 0.05
# Directions of the inputs that are weaker than this, relative to the strongest, leave the weights
# undetermined in float32.
WEAK = 1e-4

NON_LINEARITIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ReLU": lambda z: np.maximum(z, 0),
    "nothing": lambda z: z,
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "leaky ReLU": lambda z: np.where(z > 0, z, 0.01 * z),
    "GELU": lambda z: torch.nn.functional.gelu(torch.tensor(z)).numpy(),
}


@dataclass(frozen=True)
class Returned:
    """What one call returned: the figure, and the layers of each network in order."""

    figure: Figure
    without: list[np.ndarray]
    with_norm: list[np.ndarray]
    with_graph: int

    @property
    def networks(self) -> dict[str, list[np.ndarray]]:
        """The layers by the name of the network."""
        return dict(zip(NETWORKS, (self.without, self.with_norm), strict=True))

    @cached_property
    def chain(self) -> "Chain | None":
        """What is between the layers without norm, or None if nothing known fits."""
        return _chain_of(self.without)


# The latest call that several cases ask about, since drawing takes most of the time. The first
# case, which calls with no argument, forgets it, so that every check starts anew.
_latest: list[tuple[Callable[..., Any], dict[str, Any], Returned | UnusableError]] = []


def visualize_activations(
    student: Callable[..., Any],
    depth: int | None = None,
    width: int | None = None,
    batch: int | None = None,
    gain: float | None = None,
    seed: int | None = None,
    look_at: str = "rows",
    other_seed: int | None = None,
) -> PlainValues:
    """Call `visualize_activations(...)`, and examine the numbers and the figure it returns.

    Args:
        student: the function.
        depth: layers; every argument is left out when None.
        width: features of a layer.
        batch: samples.
        gain: sets the standard deviation of the weights, gain / sqrt(width).
        seed: of the data and the weights.
        look_at: what to return, see below.
        other_seed: a second one.

    Returns:
        By `look_at`:
        "rows": for each network, whether its rows have mean 0 and standard deviation 1;
        "shapes": for each network its layers in words; the `tensors that still hold the graph`;
        "chain": `layer after layer, without`: what was recorded, as the numbers tell;
        "first": `layer 1, with`: what it is of layer 1 without;
        "deeper": `layers 2 and on, with`: whether the weights are those of the plain network;
        "seed": whether the same seed gives the same numbers, and another seed others;
        "gain": the spreads of the weights into layer 2, times sqrt(width), and of layer 1;
        "drawn": `the figure shows`;
        "labels": whether the axes have labels, and the networks their names.
    """
    given = {"depth": depth, "width": width, "batch": batch, "gain": gain, "seed": seed}
    arguments = {name: value for name, value in given.items() if value is not None}
    if look_at == "rows":
        _latest.clear()
        with seeded(0):
            returned = _call(student, {})
        return {
            f"rows of '{name}' have mean 0 and spread 1": all(map(_rows_normalised, layers))
            for name, layers in returned.networks.items()
        }
    if look_at == "seed":
        first = _remembered(student, arguments)
        with seeded(1):  # not as for the first call: what no seed sets comes out otherwise
            again = _call(student, arguments)
            other = _call(student, arguments | {"seed": other_seed})
        return {
            "the same seed gives the same numbers": _equal(first, again),
            "another seed gives other numbers": not _equal(first, other),
        }
    returned = _remembered(student, arguments)
    if look_at == "shapes":
        shapes = {f"layers of '{name}'": _shapes(a) for name, a in returned.networks.items()}
        return {**shapes, "tensors that still hold the graph": returned.with_graph}
    if look_at == "chain":
        return {"layer after layer, without": _layer_after_layer(returned)}
    if look_at == "first":
        return {"layer 1, with": _first(returned.without[0], returned.with_norm[0])}
    if look_at == "deeper":
        return {"layers 2 and on, with": _deeper(returned)}
    if look_at == "gain":
        return _spreads(returned)
    if look_at == "drawn":
        return {"the figure shows": _drawn(returned)}
    return _labels(returned.figure)


def _remembered(student: Callable[..., Any], arguments: dict[str, Any]) -> Returned:
    if not (_latest and _latest[0][0] is student and _latest[0][1] == arguments):
        with seeded(0):
            try:
                result: Returned | UnusableError = _call(student, arguments)
            except UnusableError as error:
                result = error
        _latest[:] = [(student, arguments, result)]
    known = _latest[0][2]
    if isinstance(known, UnusableError):
        raise known
    return known


def _call(student: Callable[..., Any], arguments: dict[str, Any]) -> Returned:
    """Call the student's function, and leave no figure open, and NumPy's dice as they were."""
    open_before = set(plt.get_fignums())
    numpy_dice = np.random.get_state()
    try:
        # Under Jupyter `show` would put the figure among the words of the report card.
        with mock.patch.object(plt, "show", return_value=None):
            returned = student(**arguments)
    finally:
        np.random.set_state(numpy_dice)
        for number in set(plt.get_fignums()) - open_before:
            plt.close(number)
    return _read(returned)


def _read(returned: Any) -> Returned:
    """Make sure of the form that was agreed, and say what is different if it is not."""
    wanted = "`return fig, activations` was expected: a matplotlib Figure and a dict."
    if returned is None:
        raise UnusableError(f"`visualize_activations` returned None. {wanted}")
    if isinstance(returned, Figure):
        raise UnusableError(f"`visualize_activations` returned the figure alone. {wanted}")
    if isinstance(returned, Mapping):
        raise UnusableError(f"`visualize_activations` returned the dict alone. {wanted}")
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise UnusableError(
            f"`visualize_activations` returned a {type(returned).__name__}"
            f"{f' of {len(returned)}' if isinstance(returned, tuple | list) else ''}. {wanted}"
        )
    figure, activations = returned
    if isinstance(figure, Mapping) and isinstance(activations, Figure):
        raise UnusableError("The figure comes first, then the dict: `return fig, activations`.")
    if not isinstance(figure, Figure):
        raise UnusableError(
            f"The first thing returned is of type {type(figure).__name__}; a matplotlib Figure was"
            " expected. `plt.subplots` returns the figure and its axes, in this order."
        )
    if not isinstance(activations, Mapping):
        raise UnusableError(
            f"The second thing returned is of type {type(activations).__name__}; a dict was"
            " expected, with the entries 'without' and 'with'."
        )
    if set(activations) != set(NETWORKS):
        keys = ", ".join(repr(key) for key in activations) or "none"
        raise UnusableError(
            f"The keys of `activations` are: {keys}. Expected: 'without' and 'with'."
        )
    networks = {name: _layers(name, activations[name]) for name in NETWORKS}
    with_graph = _with_graph(
        value for name in NETWORKS for value in dict(activations[name]).values()
    )
    return Returned(figure, networks["without"], networks["with"], with_graph)


def _layers(name: str, layers: Any) -> list[np.ndarray]:
    what = f"`activations[{name!r}]`"
    if not isinstance(layers, Mapping):
        raise UnusableError(
            f"{what} is of type {type(layers).__name__}; a dict was expected, with one entry for"
            " each layer."
        )
    if len(layers) < 2:
        raise UnusableError(
            f"{what} has {len(layers)} {'entry' if len(layers) == 1 else 'entries'}; one for each"
            " layer was expected, from the first to the last. If a loop fills it, does each turn"
            " have a key of its own?"
        )
    arrays = []
    for key, value in layers.items():
        array = as_array(value, f"{what}[{key!r}]")
        if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 2:
            raise UnusableError(
                f"{what}[{key!r}] has shape {array.shape}; (batch, width) was expected, the numbers"
                " as the layer gave them. Flatten a copy for a histogram."
            )
        if not np.isfinite(array).all():
            raise UnusableError(f"{what}[{key!r}] holds NaN or infinite numbers.")
        arrays.append(np.asarray(array, np.float64))
    return arrays


# The numbers


def _layer_norm(z: np.ndarray) -> np.ndarray:
    return (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)


def _rows_normalised(layer: np.ndarray) -> bool:
    """Whether the rows have mean 0 and standard deviation 1, to 2 % on average.

    eps takes off less than 0.1 %, and a variance with D - 1 takes off 0.8 % for 64 features,
    which another case judges; rows that no one has normalised are off by 10 % and more.
    """
    off = _rms(layer.mean(1)), _rms(layer.std(1) - 1)
    return max(off) < 0.02


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and _rms(one - other) <= SAME * max(_rms(other), 1e-12)


def _equal(one: Returned, other: Returned) -> bool:
    return all(
        len(a) == len(b) and all(_same(*pair) for pair in zip(a, b, strict=True))
        for a, b in zip(one.networks.values(), other.networks.values(), strict=True)
    )


def _shapes(layers: list[np.ndarray]) -> str:
    """The layers in words: how many there are, and of which shapes."""
    shapes = {layer.shape: sum(a.shape == layer.shape for a in layers) for layer in layers}
    return ", ".join(f"{count} of shape {shape}" for shape, count in shapes.items())


@dataclass(frozen=True)
class Fit:
    """The weights between two layers, from their numbers: a linear layer leaves nothing over.

    Args:
        weights: `(inputs + 1, outputs)`, the bias in the last row.
        undetermined: `(inputs + 1, any)`: directions in which the inputs say nothing, as where
            a unit is 0 for every sample.
        one: what stands for the 1 that the bias is multiplied with, in units of the inputs.
        left_over: the root mean square of what is left, in units of the outputs' spread over the
            batch.
    """

    weights: np.ndarray
    undetermined: np.ndarray
    one: float
    left_over: float


def fit(inputs: np.ndarray, outputs: np.ndarray) -> Fit:
    """Find W and b with outputs = inputs W + b by least squares."""
    one = max(_rms(inputs), 1e-300)
    rows = _with_bias(inputs, one)
    left, sizes, right = np.linalg.svd(rows, full_matrices=False)
    strong = sizes > WEAK * sizes[0]
    weights = right[strong].T @ (left[:, strong].T @ outputs / sizes[strong, None])
    spread = _rms(outputs - outputs.mean(0))
    rest = _rms(rows @ weights - outputs) / max(spread, 1e-300)
    return Fit(weights, right[~strong].T, one, rest)


def _with_bias(inputs: np.ndarray, one: float) -> np.ndarray:
    return np.hstack([inputs, np.full((len(inputs), 1), one)])


def difference_with(found: Fit, inputs: np.ndarray, normalised: np.ndarray) -> float:
    """How far `normalised` is from the layer norm of these weights on these inputs.

    What the fit has left undetermined is chosen as well as can be. The spread of a row plays no
    part.

    Args:
        found: the weights of the network without norm.
        inputs: `(batch, features)`, of the network with norm.
        normalised: `(batch, features)`, what it recorded behind these weights.

    Returns:
        The root mean square of the difference, in units of the spread.
    """
    rows = _with_bias(inputs, found.one)
    target = _standardised(normalised)
    predicted = rows @ found.weights
    if found.undetermined.shape[1]:
        predicted = predicted + _best_of(rows @ found.undetermined, predicted, target)
    return _rms(_standardised(predicted) - target)


def _standardised(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(1, keepdims=True)
    return centred / np.maximum(centred.std(1, keepdims=True), 1e-300)


def _best_of(free: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What to add from the undetermined directions so that rows become multiples of the target's.

    In each row all that is neither constant nor along the target has to vanish; that is linear
    in the unknown weights.
    """
    width, count = target.shape[1], free.shape[1]
    away = np.eye(width) - 1 / width - target[:, :, None] * target[:, None, :] / width
    # The normal equations: `away` is a projection, so it is its own square.
    pairs = np.einsum("ik,il->ikl", free, free).reshape(len(free), -1)
    gram = (pairs.T @ away.reshape(len(free), -1)).reshape(count, count, width, width)
    gram = gram.transpose(0, 2, 1, 3).reshape(count * width, count * width)
    wanted = -np.einsum("ik,iab,ib->ka", free, away, predicted, optimize=True).ravel()
    ridge = (1e-9 * np.trace(gram) / len(gram) + 1e-30) * np.eye(len(gram))
    return free @ np.linalg.solve(gram + ridge, wanted).reshape(count, width)


@dataclass(frozen=True)
class Chain:
    """A non-linearity and weights that lead from each layer to the next.

    Args:
        name: of the non-linearity.
        fits: the weights from each layer to the next.
    """

    name: str
    fits: list[Fit]


def _chain_of(layers: list[np.ndarray]) -> Chain | None:
    pairs = list(pairwise(layers))
    if any(len(one) != len(other) or len(one) <= one.shape[1] + 1 for one, other in pairs):
        return None
    for name, function in NON_LINEARITIES.items():
        fits = [fit(function(one), other) for one, other in pairs]
        if all(found.left_over < LEFT_OVER for found in fits):
            return Chain(name, fits)
    return None


def _layer_after_layer(returned: Returned) -> str:
    layers, chain = returned.without, returned.chain
    if all(layer.min() >= 0 for layer in layers):
        return "no number is below 0"
    if any(len(layer) != len(layers[0]) for layer in layers):
        return "layers with different numbers of rows"
    if any(len(layer) <= layer.shape[1] + 1 for layer in layers):
        return "too few rows to tell"
    return f"weights times {chain.name} of the layer before" if chain else "no linear layer fits"


def _first(plain: np.ndarray, normed: np.ndarray) -> str:
    """What layer 1 with the norm is of layer 1 without."""
    if plain.shape != normed.shape:
        return f"of another shape, {normed.shape}, than layer 1 without, {plain.shape}"
    relu = NON_LINEARITIES["ReLU"]
    width = plain.shape[1]
    candidates = {
        "LayerNorm of layer 1 without": _layer_norm(plain),
        "the same numbers as without": plain,
        "LayerNorm of layer 1 without, dividing by D - 1": _layer_norm(plain)
        * np.sqrt((width - 1) / width),
        "LayerNorm of ReLU of layer 1 without": _layer_norm(relu(plain)),
        "BatchNorm of layer 1 without": _layer_norm(plain.T).T,
        "layer 1 without, normalised as one whole": (plain - plain.mean()) / plain.std(),
        "layer 1 without, divided by the root mean square of its rows": plain
        / np.sqrt(np.square(plain).mean(1, keepdims=True)),
    }
    for words, candidate in candidates.items():
        if _same(normed, candidate):
            return words
    return "of other data or other weights"


def _deeper(returned: Returned) -> str:
    """Whether the weights found without norm explain the numbers with norm."""
    pairs = list(zip(returned.without, returned.with_norm, strict=False))
    if any(one.shape != other.shape for one, other in pairs):
        return "of other shapes than without"
    if all(_same(other, one) for one, other in pairs):
        return "the same numbers as without"
    chain = returned.chain
    if chain is None:
        return "cannot be told before the layers without are right"
    function = NON_LINEARITIES[chain.name]
    for found, (before, after) in zip(chain.fits, pairwise(returned.with_norm), strict=False):
        if difference_with(found, function(before), after) > SAME_WEIGHTS:
            return f"not LayerNorm of the same weights times {chain.name} of the layer before"
    return "LayerNorm of the same weights"


def _spreads(returned: Returned) -> PlainValues:
    first, second = returned.without[:2]
    if returned.chain:
        found = returned.chain.fits[0]
    elif len(first) == len(second):
        found = fit(NON_LINEARITIES["ReLU"](first), second)
    else:
        raise UnusableError("Layers 1 and 2 of 'without' have different numbers of rows.")
    weights = found.weights[:-1]
    return {
        "spread of the weights, times sqrt(width)": _rms(weights) * float(np.sqrt(len(weights))),
        "spread of layer 1, without": _rms(first),
    }


# The figure


@dataclass(frozen=True)
class Drawn:
    """Numbers that an artist draws; edges and heights too if it may be a histogram."""

    axes: int
    numbers: np.ndarray
    edges: np.ndarray | None = None
    heights: np.ndarray | None = None


def _drawn(returned: Returned) -> str:
    """Which networks the figure shows, as far as its numbers can be recognised.

    There are many ways to draw a distribution. What is not recognised counts in favour: a figure
    fails only if it is empty, or shows one network and nothing else.
    """
    drawn = [item for n, axes in enumerate(returned.figure.axes) for item in _items(n, axes)]
    if not drawn:
        return "no data"
    owners = {_owner(item, returned.networks) for item in drawn}
    if owners == {"without"} or owners == {"with"}:
        return f"the network {owners.pop()} layer norm alone"
    panels: dict[int, set[bytes]] = {}
    for item in drawn:
        panels.setdefault(item.axes, set()).add(np.round(item.numbers, 6).tobytes())
    different = {frozenset(panel) for panel in panels.values()}
    # One artist may hold both, as a heat map does; the same one drawn again holds nothing new.
    repeated = len(panels) > 1 or len(next(iter(different))) == 1
    if owners == {None} and len(drawn) > 1 and len(different) == 1 and repeated:
        return "one set of numbers, drawn more than once"
    return "both networks"


def _items(number: int, axes: Axes) -> Iterator[Drawn]:
    for container in axes.containers:
        if isinstance(container, BarContainer) and len(container.patches) > 1:
            boxes = np.array([patch.get_bbox().extents for patch in container.patches])
            upright = np.ptp(boxes[:, 1]) <= np.ptp(boxes[:, 0])
            start, end, low, high = boxes[:, [0, 2, 1, 3] if upright else [1, 3, 0, 2]].T
            yield Drawn(number, boxes.ravel(), _edges((start + end) / 2), high - low)
    bars = {id(patch) for c in axes.containers if isinstance(c, BarContainer) for patch in c}
    for patch in axes.patches:
        if isinstance(patch, StepPatch):
            heights, edges, _ = patch.get_data()
            yield Drawn(number, np.asarray(heights), np.asarray(edges), np.asarray(heights))
        elif isinstance(patch, Polygon):
            corners = patch.get_xy()
            yield Drawn(number, corners.ravel(), *_outline(corners))
        elif id(patch) not in bars:
            yield Drawn(number, np.asarray(patch.get_path().vertices).ravel())
    for line in axes.lines:
        x, y = (np.asarray(data, np.float64) for data in line.get_data())
        # A line across the whole axes, such as axhline's, is no data.
        if line.get_transform() == axes.transData and len(x) > 1:
            even = len(x) > 7 and bool((np.diff(x) > 0).all())
            histogram = (_edges(x), y) if even else (None, None)
            yield Drawn(number, np.concatenate([x, y]), *histogram)
    for collection in axes.collections:
        yield Drawn(number, _of_collection(collection))
    for image in axes.images:
        yield Drawn(number, np.asarray(image.get_array(), np.float64).ravel())


def _edges(centres: np.ndarray) -> np.ndarray:
    """The edges of bins half-way between their centres."""
    steps = np.diff(centres)
    return np.concatenate(
        [
            [centres[0] - steps[0] / 2],
            (centres[1:] + centres[:-1]) / 2,
            [centres[-1] + steps[-1] / 2],
        ]
    )


def _outline(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges and heights from the corners of a histogram drawn as one outline.

    matplotlib draws 2 L corners for L edges, or 4 L - 3 where it fills the area and goes back
    along the bottom.
    """
    count = len(corners) // 2 if len(corners) % 2 == 0 else (len(corners) + 3) // 4
    top = corners[: 2 * count]
    return top[::2, 0], top[1:-1:2, 1]


def _of_collection(collection: Collection) -> np.ndarray:
    parts = [np.asarray(path.vertices).ravel() for path in collection.get_paths()]
    parts.append(np.ma.filled(collection.get_offsets(), np.nan).ravel())
    if (array := collection.get_array()) is not None:
        parts.append(np.ma.filled(array, np.nan).ravel())
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def _owner(item: Drawn, networks: dict[str, list[np.ndarray]]) -> str | None:
    """Whose numbers an artist draws, if they are recognised as one network's and not the other's.

    Recognised are histograms of a layer or of all of them, and lines through the layers' spreads,
    variances or means.
    """
    owners = [name for name, layers in networks.items() if _draws(item, layers)]
    return owners[0] if len(owners) == 1 else None


def _draws(item: Drawn, layers: list[np.ndarray]) -> bool:
    if item.edges is not None and item.heights is not None:
        pools = [*layers, np.concatenate([layer.ravel() for layer in layers])]
        if any(_is_histogram(item.edges, item.heights, values) for values in pools):
            return True
    heights = item.numbers[len(item.numbers) // 2 :]
    statistics = (np.std, np.var, np.mean, lambda a: np.abs(a).mean(), np.median)
    return len(heights) == len(layers) > 2 and any(
        np.allclose(heights, [statistic(a) for a in layers], rtol=0.01, atol=1e-9)
        for statistic in statistics
    )


def _is_histogram(edges: np.ndarray, heights: np.ndarray, values: np.ndarray) -> bool:
    """Whether the heights are the counts of the values between the edges, but for a factor."""
    if not (np.diff(edges) > 0).all() or len(edges) != len(heights) + 1 or len(heights) < 4:
        return False
    counts = np.histogram(values, edges)[0]
    densities = counts / np.diff(edges)
    total = np.abs(heights).sum()
    if not counts.sum() or not total:
        return False
    # A number on an edge may fall on either side: 2 % may differ.
    return any(
        np.abs(heights / total - expected / expected.sum()).sum() < 0.02
        for expected in (counts, densities)
    )


def _labels(figure: Figure) -> PlainValues:
    x: set[str] = set()
    y: set[str] = set()
    others: set[str] = set()
    parts = [figure, *figure.subfigs]
    for part in parts:
        for name, found in (("_supxlabel", x), ("_supylabel", y), ("_suptitle", others)):
            if (text := getattr(part, name, None)) is not None:
                found.add(text.get_text())
        others |= {text.get_text() for text in part.texts}
        others |= {text.get_text() for legend in part.legends for text in _words(legend)}
    for axes in figure.axes:
        x.add(axes.get_xlabel())
        y.add(axes.get_ylabel())
        others |= {axes.get_title(loc) for loc in ("left", "center", "right")}
        others |= {text.get_text() for text in axes.texts}
        if (legend := axes.get_legend()) is not None:
            others |= {text.get_text() for text in _words(legend)}
        for axis in (axes.xaxis, axes.yaxis):
            # Names in the place of ticks; what numbers say there is not yet worked out.
            if isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):
                others |= {label.get_text() for label in axis.get_ticklabels()}
    words = " ".join([*x, *y, *others]).lower()
    return {
        "the x axis has a label": _has_letters(x),
        "the y axis has a label": _has_letters(y),
        "the networks are named": bool(
            re.search(r"\bwithout\b", words) and re.search(r"\bwith\b", words)
        ),
    }


def _words(legend: Any) -> list[Any]:
    return [*legend.get_texts(), legend.get_title()]


def _has_letters(texts: Iterable[str]) -> bool:
    return any(re.search(r"[^\W\d_]", text) for text in texts)
