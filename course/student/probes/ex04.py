"""The probes of exercise 4: a network with batch norm, one with layer norm, and their training."""

from collections.abc import Callable, Sequence
from functools import cache
from math import isqrt
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from course.student.data import Digits, digits
from course.student.outcome import UnusableError, as_array
from course.student.plain import PlainValues
from course.student.torch_modules import forward, gradients_of, new_module, seeded

CLASSES = 10

# What the values of a tensor inside a network may be normalised over.
BATCH = "the batch"
FEATURES = "the features of each sample"
GROUPS = "groups of the features of each sample"
UNCENTRED = "the features of each sample, without subtracting the mean"
WHOLE = "all values of all samples at once"
NOTHING = "nothing"

# Two outputs of one sample are the same if they differ by less than this times the spread of all
# outputs. A sum in another order is off by 1e-6 of it, a batch norm by a tenth and more.
SAME = 1e-3

# The fixed training of the last case: see benchmarks/ex04_accuracy.py for what it reaches.
STEPS, BATCH_SIZE, LEARNING_RATE = 16, 64, 0.01
ENOUGH = 0.5


def batch_norm_model(student: type[nn.Module], **inputs: Any) -> PlainValues:
    """Build `ModelWithBatchNorm` and look at how it behaves; see `_behaviour`."""
    return _behaviour(
        student, normalised_over=(BATCH, FEATURES, GROUPS, UNCENTRED, WHOLE), **inputs
    )


def layer_norm_model(student: type[nn.Module], **inputs: Any) -> PlainValues:
    """Build `ModelWithLayerNorm` and look at how it behaves; see `_behaviour`."""
    return _behaviour(
        student, normalised_over=(FEATURES, GROUPS, UNCENTRED, BATCH, WHOLE), **inputs
    )


def _behaviour(
    student: type[nn.Module],
    normalised_over: Sequence[str],
    x: np.ndarray,
    seed: int,
    look_at: str,
    others: np.ndarray | None = None,
    sizes: list[int] | None = None,
) -> PlainValues:
    """Build a model and look at one side of its behaviour.

    Args:
        student: the class.
        normalised_over: what a tensor may be normalised over, the one to name first, first.
        x: float32 `(batch, input_size)`.
        seed: of the model's weights, and of whatever it draws at random.
        look_at: what to return, see below.
        others: like x; what else may be in the batch.
        sizes: `[input_size, hidden_size, num_classes]`; left to their defaults when None.

    Returns:
        By `look_at`:
        "definition": `shape of the output`, and what values of a new model are `normalised over`;
        "effect": whether `normalised values have a part in the output`;
        "training" and "evaluation": whether, in this mode, the `output depends on the rest of the
        batch`, and whether a sample alone in its batch `can be alone`;
        "memory": whether training on `others` `changes what evaluation gives` for them, and
        whether that comes `closer to what training gives`;
        "images": the `shape for (batch, height, width)` and `shape for (batch, 1, height, width)`,
        and whether the logits are the `same as for flat samples`;
        "sizes": `shape of the output`, and whether `a larger hidden_size has more parameters`;
        "logits": what `the outputs are`;
        "gradients": whether the model `has learnable parameters`, and how many `parameter tensors
        without a gradient` there are;
        "non-linearity": whether the `output is a linear function of the input`;
        "accuracy": what a short training reaches on held-out digits, or `ENOUGH` if it is more.
    """
    samples = torch.tensor(x)
    with seeded(seed):
        model = _new(student, sizes, samples)
        if look_at == "definition":
            return _definition(model, samples, normalised_over)
        if look_at == "effect":
            found = _has_effect(model, samples, normalised_over[0], seed)
            return {"normalised values have a part in the output": found}
        if look_at == "sizes":
            assert sizes is not None
            return _sizes(student, model, samples, sizes)
        if look_at == "gradients":
            return _gradients(model, samples)
        if look_at == "accuracy":
            return {f"held-out accuracy, up to {ENOUGH:g}": min(_accuracy(model, seed), ENOUGH)}
        if look_at == "logits":
            return {"the outputs are": _kind_of_outputs(model, samples, seed)}
        # As after some training, so that a layer that starts at zero is not taken for none.
        _stir(model, 0.1)
        if look_at == "images":
            return _images(model, samples)
        if look_at == "non-linearity":
            return {"output is a linear function of the input": _is_affine(model, samples)}
        assert others is not None
        rest = torch.tensor(others)
        if look_at == "memory":
            return _memory(model, rest, seed)
        return _dependence(model.train(look_at == "training"), samples, rest, seed)


def train(
    student: Callable[..., Any],
    first_weight: np.ndarray,
    first_bias: np.ndarray,
    last_weight: np.ndarray,
    last_bias: np.ndarray,
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    train_batch_size: int,
    test_batch_size: int,
    epochs: int,
    lr: float,
    batch_norm: bool = False,
    in_evaluation_mode: bool = False,
) -> PlainValues:
    """Call `train_and_evaluate(model, train_loader, test_loader, epochs, lr)` on a tiny network.

    Args:
        student: the function.
        first_weight: `(hidden, features)`; the network is a linear layer, perhaps a batch norm,
            tanh, and a second linear layer.
        first_bias: `(hidden,)`.
        last_weight: `(classes, hidden)`.
        last_bias: `(classes,)`.
        train_x: float32 `(samples, features)`; the loaders keep the order.
        train_y: int64 `(samples,)`.
        test_x: float32 `(samples, features)`.
        test_y: int64 `(samples,)`.
        train_batch_size: of the train loader; the last batch may be smaller.
        test_batch_size: of the test loader.
        epochs: how often to go through the train loader.
        lr: the learning rate.
        batch_norm: whether there is a batch norm behind the first layer.
        in_evaluation_mode: the mode in which the network is handed over.

    Returns:
        `losses` and `accuracy` as returned; whether `losses keep their graph`; the `weights
        afterwards`, flat; the `running mean afterwards`, flat; whether a `graph was built for the
        test set`; and whether `gradients are on afterwards`.
    """
    if not callable(student) or isinstance(student, type):
        raise UnusableError(
            f"`train_and_evaluate` is {_type_in_words(student)}; a function was expected. Run the"
            " cell that begins with `def train_and_evaluate` again."
        )
    model = _Recorded(first_weight, first_bias, last_weight, last_bias, batch_norm, test_x)
    model.train(not in_evaluation_mode)
    loaders = [
        DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y)), batch_size=size)
        for x, y, size in (
            (train_x, train_y, train_batch_size),
            (test_x, test_y, test_batch_size),
        )
    ]
    with seeded(0), torch.enable_grad():
        returned = student(model, *loaders, epochs, lr)
        gradients_on = torch.is_grad_enabled()
    losses, accuracy = _losses_and_accuracy(returned)
    return {
        "losses": _numbers(losses),
        "losses keep their graph": any(
            isinstance(loss, torch.Tensor) and loss.requires_grad
            for loss in (losses if isinstance(losses, list | tuple) else [losses])
        ),
        "accuracy": _number(accuracy),
        "weights afterwards": _flat(model.parameters()),
        "running mean afterwards": _flat(
            [model.norm.running_mean] if isinstance(model.norm, nn.BatchNorm1d) else []
        ),
        "graph was built for the test set": model.graph_for_test_set,
        "gradients are on afterwards": gradients_on,
    }


# A model and its outputs


def _new(student: type[nn.Module], sizes: list[int] | None, x: torch.Tensor) -> nn.Module:
    """Build a model, and call it once, for PyTorch's lazy layers have no weights before that."""
    model = new_module(student, *(sizes or ()))
    with torch.no_grad():
        forward(model.eval(), x)
    return model.train()


def _logits(model: nn.Module, x: torch.Tensor, classes: int = CLASSES) -> torch.Tensor:
    """Call a model that has to return one number a class for each sample."""
    output = forward(model, x)
    if tuple(output.shape) != (len(x), classes) or not output.is_floating_point():
        dtype = str(output.dtype).removeprefix("torch.")
        raise UnusableError(
            f"For x of shape {tuple(x.shape)} your model returned {dtype} {tuple(output.shape)};"
            f" float32 {(len(x), classes)} was expected, one number a class for each sample."
        )
    return output


def _draw_from(seed: int) -> None:
    """What `torch.manual_seed` does on the CPU; for other devices it notes the whole stack."""
    torch.default_generator.manual_seed(seed)


def _stir(model: nn.Module, size: float) -> None:
    """Add noise to all parameters."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.add_(size * torch.randn(parameter.shape))


@torch.no_grad()
def _differ(one: torch.Tensor, other: torch.Tensor, spread: torch.Tensor) -> bool:
    """Whether outputs differ by more than rounding, beside the spread of all outputs."""
    return bool(((one - other).abs().max() > SAME * spread).item())


# What is normalised


class _Watch(TorchDispatchMode):
    """Collects what the values of any tensor that is computed in the block are normalised over.

    Args:
        batch: the number of samples.
        disturb: values that are normalised over this get noise added, and so go on through the
            network; an empty string for none.
    """

    def __init__(self, batch: int, disturb: str = "") -> None:
        super().__init__()
        self.batch = batch
        self.disturb = disturb
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                over = _normalised_over(value.detach(), self.batch)
                self.found |= over
                if self.disturb in over:
                    value.add_(torch.randn(value.shape))
        return result


def _normalised_over(values: torch.Tensor, batch: int) -> set[str]:
    """What the values are normalised over, wherever among the dims that of the batch is."""
    found = set()
    for dim in (dim for dim, length in enumerate(values.shape) if length == batch):
        rows = values.movedim(dim, 0)
        if rows.dim() < 2:
            continue
        # Layer norm may take all dims of a sample, the last ones, or the channels alone; batch
        # norm takes each feature by itself, or each channel with all its places.
        samples, features = [rows.flatten(1)], [rows.flatten(1).T]
        if rows.dim() > 2:
            samples += [rows.flatten(0, keep).flatten(1) for keep in range(1, rows.dim() - 1)]
            samples += [rows.movedim(1, -1).flatten(0, -2)]
            features += [rows.movedim(channel, 0).flatten(1) for channel in range(1, rows.dim())]
        if any(map(_is_normalised, samples)):
            found.add(GROUPS if _is_normalised_in_parts(rows) else FEATURES)
        elif any(map(_has_unit_square, samples)):
            found.add(UNCENTRED)
        if any(map(_is_normalised, features)):
            found.add(BATCH)
        elif rows[0].numel() > 1 and _is_normalised(rows.reshape(1, -1)):
            found.add(WHOLE)
    return found


def _is_normalised(groups: torch.Tensor) -> bool:
    """Whether each row has mean 0 and variance 1.

    A unit that is 0 for the whole batch has variance 0, so half of the rows are enough; and a
    variance that was divided by one less makes values with a variance a little below 1.
    """
    if groups.shape[1] < 4:
        return False
    var, mean = torch.var_mean(groups.double(), dim=1, correction=0)
    near_one = (var > 0.85) & (var < 1.05)
    return bool((mean.abs() < 1e-3).all() & (var < 1.05).all() & (near_one.double().mean() >= 0.5))


def _is_normalised_in_parts(rows: torch.Tensor) -> bool:
    """Whether each half, or smaller part, of a sample's features has mean 0 and variance 1.

    That is group norm. More dims are for layer norm over the last ones, which looks the same.
    """
    if rows.dim() > 2:
        return False
    parts = (rows.reshape(-1, rows.shape[1] // n) for n in (2, 3, 4, 8) if rows.shape[1] % n == 0)
    return any(map(_is_normalised, parts))


def _has_unit_square(groups: torch.Tensor) -> bool:
    """Whether each row has a mean square of 1."""
    if groups.shape[1] < 4:
        return False
    return bool(((groups.double().square().mean(dim=1) - 1).abs() < 0.02).all())


def _definition(model: nn.Module, x: torch.Tensor, normalised_over: Sequence[str]) -> PlainValues:
    with torch.no_grad(), _Watch(len(x)) as watch:
        output = forward(model, x)
    return {
        "shape of the output": list(output.shape),
        "normalised over": next((n for n in normalised_over if n in watch.found), NOTHING),
    }


@torch.no_grad()
def _has_effect(model: nn.Module, x: torch.Tensor, over: str, seed: int) -> bool:
    """Whether noise on all normalised values changes the output."""
    for _ in range(2):
        _draw_from(seed)
        plain = _logits(model.eval(), x)
        with _Watch(len(x), disturb=over):
            disturbed = _logits(model, x)
        if _differ(plain, disturbed, plain.std()):
            return True
        # Once more, in case that the last layer starts at zero.
        for parameter in model.parameters():
            if parameter.dim() == 2 and not parameter.any():
                parameter.normal_()
    return False


# What an output depends on


@torch.no_grad()
def _dependence(model: nn.Module, x: torch.Tensor, others: torch.Tensor, seed: int) -> PlainValues:
    """Whether the first sample's output depends on the others.

    In training the model draws the same random numbers in both calls, so that dropout, which is
    right, does not count. In evaluation nothing may be random.
    """
    outputs = []
    for number, batch in enumerate((x, torch.cat([x[:1], others[1:]]))):
        _draw_from(seed if model.training else seed + number)
        outputs.append(_logits(model, batch))
    spread = torch.cat(outputs).std()
    found: PlainValues = {
        "output depends on the rest of the batch": _differ(outputs[0][0], outputs[1][0], spread)
    }
    try:
        alone = _logits(model, x[:1])
    except ValueError:
        # Batch norm's own error for one sample in training.
        return {**found, "a sample can be alone": False}
    if model.training:
        return {**found, "a sample can be alone": bool(alone.isfinite().all())}
    same = not _differ(alone[0], outputs[0][0], spread)
    return {**found, "a sample can be alone": same}


@torch.no_grad()
def _memory(model: nn.Module, x: torch.Tensor, seed: int) -> PlainValues:
    """Whether forward passes in training mode change what evaluation gives."""

    def output(*, training: bool) -> torch.Tensor:
        _draw_from(seed)
        return _logits(model.train(training), x)

    before, target = output(training=False), output(training=True)
    for _ in range(10):
        output(training=True)
    after = output(training=False)
    closer = (after - target).square().mean() < (before - target).square().mean()
    return {
        "training changes what evaluation gives": _differ(before, after, before.std()),
        "evaluation comes closer to training": bool(closer),
    }


@torch.no_grad()
def _images(model: nn.Module, x: torch.Tensor) -> PlainValues:
    side = isqrt(x.shape[1])
    flat = _logits(model.eval(), x)
    found: PlainValues = {}
    same = True
    for shape, name in (
        ((side, side), "shape for (batch, height, width)"),
        ((1, side, side), "shape for (batch, 1, height, width)"),
    ):
        output = forward(model, x.reshape(-1, *shape))
        found[name] = list(output.shape)
        same = same and output.shape == flat.shape and not _differ(output, flat, flat.std())
    return {**found, "same as for flat samples": same}


def _sizes(
    student: type[nn.Module], model: nn.Module, x: torch.Tensor, sizes: list[int]
) -> PlainValues:
    input_size, hidden_size, num_classes = sizes
    larger = _new(student, [input_size, 2 * hidden_size, num_classes], x)
    few, many = (sum(p.numel() for p in one.parameters()) for one in (model, larger))
    return {
        "shape of the output": list(forward(model, x).shape),
        "a larger hidden_size has more parameters": many > few,
    }


@torch.no_grad()
def _kind_of_outputs(model: nn.Module, x: torch.Tensor, seed: int) -> str:
    """What the outputs of several models with large weights have in common."""
    parts = []
    for number in range(4):
        _draw_from(seed + number)
        _stir(model, 0.5)
        parts.append(_logits(model, x))
    outputs = torch.stack(parts).double()
    ones = torch.ones((), dtype=torch.float64)
    if bool((outputs >= 0).all()):
        if torch.allclose(outputs.sum(dim=2), ones, atol=1e-4):
            return "probabilities (each row sums to 1)"
        if torch.allclose(outputs.sum(dim=1), ones, atol=1e-4):
            return "probabilities over the batch (each column sums to 1)"
        return "between 0 and 1" if bool((outputs <= 1).all()) else "never negative"
    # What is squashed comes near its limits with large weights; a model without any may be small.
    squashed = 0.99 < float(outputs.abs().max()) <= 1 and any(True for _ in model.parameters())
    return "between -1 and 1" if squashed else "logits"


def _gradients(model: nn.Module, x: torch.Tensor) -> PlainValues:
    parameters = [p for p in model.parameters() if p.requires_grad]
    output = _logits(model, x)
    missing = [
        gradient is None
        for gradient in gradients_of((output * torch.randn(output.shape)).sum(), parameters)
    ]
    return {
        "has learnable parameters": bool(parameters),
        "parameter tensors without a gradient": sum(missing),
    }


@torch.no_grad()
def _is_affine(model: nn.Module, x: torch.Tensor) -> bool:
    """Whether the output half-way between two samples is half-way between their outputs."""
    model.eval()
    one, other = x, x.flip(0).roll(1, 0)
    middle = _logits(model, (one + other) / 2)
    average = (_logits(model, one) + _logits(model, other)) / 2
    return not _differ(middle, average, average.std())


# Training


@cache
def _digits() -> Digits:
    return digits()


def _accuracy(model: nn.Module, seed: int) -> float:
    """Train for a moment, and return the share of held-out digits that are recognised."""
    data = _digits()
    order = torch.Generator().manual_seed(seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE) if parameters else None
    for _ in range(STEPS):
        batch = torch.randint(len(data.images), (BATCH_SIZE,), generator=order)
        loss = nn.functional.cross_entropy(
            _logits(model, data.images[batch].flatten(1)), data.labels[batch]
        )
        if optimizer is None or not loss.requires_grad:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        outputs = _logits(model.eval(), data.held_out_images.flatten(1))
    return float((outputs.argmax(dim=1) == data.held_out_labels).double().mean())


class _Recorded(nn.Module):
    """A tiny network that remembers whether a graph was built for samples of the test set."""

    def __init__(
        self,
        first_weight: np.ndarray,
        first_bias: np.ndarray,
        last_weight: np.ndarray,
        last_bias: np.ndarray,
        batch_norm: bool,
        test_x: np.ndarray,
    ) -> None:
        super().__init__()
        hidden, features = first_weight.shape
        self.first = nn.Linear(features, hidden)
        self.norm = nn.BatchNorm1d(hidden) if batch_norm else nn.Identity()
        self.last = nn.Linear(hidden, len(last_bias))
        with torch.no_grad():
            for parameter, values in (
                (self.first.weight, first_weight),
                (self.first.bias, first_bias),
                (self.last.weight, last_weight),
                (self.last.bias, last_bias),
            ):
                parameter.copy_(torch.tensor(values))
        self.graph_for_test_set = False
        self._test_values = {float(value) for value in test_x[:, 0]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.last(torch.tanh(self.norm(self.first(x))))
        if output.requires_grad and float(x.flatten()[0]) in self._test_values:
            self.graph_for_test_set = True
        return output


def _losses_and_accuracy(returned: Any) -> tuple[Any, Any]:
    """The two parts of what `train_and_evaluate` returned."""
    what = "What `train_and_evaluate` returned"
    wanted = "two things were expected: `return losses, accuracy`"
    if returned is None:
        as_array(returned, what)  # has the words for a missing `return`
    if not isinstance(returned, tuple | list):
        raise UnusableError(f"{what} is {_type_in_words(returned)}; {wanted}.")
    if len(returned) != 2:
        raise UnusableError(f"{what} has {len(returned)} parts; {wanted}.")
    losses, accuracy = returned
    if _is_number(losses) and not _is_number(accuracy):
        raise UnusableError(f"{what} begins with a single number; {wanted}, in this order.")
    return losses, accuracy


def _is_number(value: Any) -> bool:
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.ndim == 0
    return isinstance(value, float | int | np.generic)


def _numbers(losses: Any) -> np.ndarray:
    """The losses as an array of one entry a step."""
    if not isinstance(losses, list | tuple):
        return as_array(losses, "`losses`, the first thing returned,").astype(np.float64)
    if any(not _is_number(loss) and np.size(loss) != 1 for loss in losses):
        raise UnusableError(
            "`losses` holds an entry that is not a single number. Expected: a flat list, with one"
            " number for every step of every epoch."
        )
    parts = [as_array(loss, "An entry of `losses`") for loss in losses]
    return np.array([part.item() for part in parts], dtype=np.float64)


def _number(accuracy: Any) -> float:
    if isinstance(accuracy, str | list | tuple | dict):
        raise UnusableError(
            f"`accuracy`, the second thing returned, is {_type_in_words(accuracy)}; a single number"
            " was expected, the share of all samples of the test loader that are recognised."
        )
    value = as_array(accuracy, "`accuracy`, the second thing returned,")
    if value.size != 1:
        raise UnusableError(
            f"`accuracy`, the second thing returned, has shape {value.shape}; a single number was"
            " expected, the share of all samples of the test loader that are recognised."
        )
    return float(value.item())


def _flat(tensors: Any) -> np.ndarray:
    return np.array([v for t in tensors for v in t.detach().flatten().tolist()], dtype=np.float64)


def _type_in_words(value: Any) -> str:
    return "a class" if isinstance(value, type) else f"of type {type(value).__name__}"
