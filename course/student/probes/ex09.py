"""The probes of exercise 9: encoders with the norm before or after the sublayers, and gradients.

An encoder is judged by what it does, whatever it is made of: its weight matrices are set by their
shapes alone, in a way that makes fused and separate, stored and transposed matrices all the same.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from course.student.outcome import UnusableError, as_array
from course.student.plain import PlainValues
from course.student.torch_modules import forward, gradients_of, new_module, output_array, seeded

BUILT_IN_ENCODERS = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.Transformer)

# The encoders whose gradients are compared: wide enough for the ratio to differ little from one
# draw of the weights to the next.
PROFILE = {"d_model": 48, "nhead": 2, "dim_feedforward": 56}
DEEP, SHALLOW = 12, 1
# How small the last layer's gradient is in the deep encoder, as a part of that in the shallow one.
# `benchmarks/ex09_gradient_profile.py` shows where the two placements lie.
LAST_GRADIENT_RATIO = 0.52


def pre_layer_norm(student: type[nn.Module], **inputs: Any) -> PlainValues:
    """Build `PreLayerNormTransformer`, set its weights, and use it; see `encoder`."""
    return encoder(student, **inputs)


def post_layer_norm(student: type[nn.Module], **inputs: Any) -> PlainValues:
    """Build `PostLayerNormTransformer`, set its weights, and use it; see `encoder`."""
    return encoder(student, **inputs)


def gradient_norms(
    student: Callable[..., Any],
    src: np.ndarray,
    upstream: np.ndarray,
    sizes: list[int],
    weights: np.ndarray,
    training: bool = True,
    earlier: np.ndarray | None = None,
    unused: bool = False,
    in_reverse: bool = False,
) -> PlainValues:
    """Call `gradient_norms(model, groups, src, upstream)` on a network of linear layers.

    Args:
        student: the function.
        src: `(batch, features)`.
        upstream: like the network's output.
        sizes: the features of the input and of each layer's output.
        weights: `(n,)`, the numbers of all parameters, one after the other.
        training: whether the network is in training mode, in which it gives another output.
        earlier: `(n,)`, gradients that an earlier backward pass has left behind, if any.
        unused: whether each group also holds a parameter that the loss does not depend on.
        in_reverse: whether the groups, and what is in each, are listed from the last to the first.

    Returns:
        `norms`, the network's `mode afterwards`, and the parameters' `gradients afterwards`:
        "as before", "left behind", "lost" or "changed"; and whether the `weights are unchanged`.
    """
    model = _Network(sizes)
    parameters = list(model.parameters())
    groups = [list(layer.parameters()) for layer in model.layers]
    _fill(parameters, weights)
    if unused:
        for group in groups:
            group.append(nn.Parameter(torch.ones(3, dtype=torch.float64)))
    if in_reverse:
        groups = [group[::-1] for group in reversed(groups)]
    if earlier is not None:
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter)
        _fill([_grad(parameter) for parameter in parameters], earlier)
    model.train(training)
    returned = student(model, groups, torch.tensor(src), torch.tensor(upstream))
    flat = torch.cat([parameter.detach().flatten() for parameter in parameters])
    return {
        "norms": _numbers(returned, len(groups)),
        "mode afterwards": "training" if model.training else "evaluation",
        "gradients afterwards": _gradients_afterwards(parameters, earlier),
        "weights are unchanged": bool(np.array_equal(flat.numpy(), weights)),
    }


def feed_forward_weights(
    model: nn.Module, d_model: int, dim_feedforward: int
) -> list[list[nn.Parameter]]:
    """The two weight matrices of each layer's feed-forward network, first layer first.

    They are found by their shapes, so the names and the building blocks of the encoder do not
    matter, as long as its layers were created one after the other.

    Args:
        model: an encoder, with a `dim_feedforward` that is no other size in it.
        d_model: the features of a token.
        dim_feedforward: the features between the two matrices.

    Raises:
        UnusableError: there are no such matrices, or not two for each layer.
    """
    shapes = ((dim_feedforward, d_model), (d_model, dim_feedforward))
    fitting = [p for p in model.parameters() if tuple(p.shape) in shapes]
    one, other = ([p for p in fitting if tuple(p.shape) == shape] for shape in shapes)
    if not fitting or len(one) != len(other):
        raise UnusableError(
            f"The feed-forward networks of your model were looked for by the shapes of their two"
            f" weight matrices, {shapes[0]} and {shapes[1]} for dim_feedforward={dim_feedforward}."
            f" Found: {len(one)} of the first and {len(other)} of the second."
        )
    return [list(pair) for pair in zip(one, other, strict=True)]


def encoder(
    student: type[nn.Module],
    nhead: int = 1,
    src: np.ndarray | None = None,
    num_layers: int | None = None,
    dim_feedforward: int | None = None,
    dropout: float = 0.0,
    training: bool = False,
    norm_weight: np.ndarray | None = None,
    head_pattern: np.ndarray | None = None,
    hidden_weight: np.ndarray | None = None,
    hidden_bias: np.ndarray | None = None,
    src_mask: np.ndarray | None = None,
    d_model: int | None = None,
    look_at: str = "output",
    seed: int = 0,
) -> PlainValues:
    """Build an encoder, set its parameters, and look at one thing.

    Args:
        student: the class.
        nhead: its second argument.
        src: `(batch, seq, d_model)`.
        num_layers: the third argument; left to its default when None, with all that follow.
        dim_feedforward: the fourth argument.
        dropout: the fifth argument.
        training: whether the encoder is in training mode when it is called.
        norm_weight: `(d_model,)`, the scale of every norm.
        head_pattern: `(d_model // nhead,)`, what attention's matrices are made of, see `_set`.
        hidden_weight: `(dim_feedforward, d_model)`, the first matrix of every feed-forward
            network; its second is the transposed of this.
        hidden_bias: `(dim_feedforward,)`, the bias that comes with `hidden_weight`.
        src_mask: `(seq, seq)`, boolean or added to the scores.
        d_model: the first argument, where there is no `src`.
        look_at: what to return, see below.
        seed: where the weights come from, for "gradients".

    Returns:
        By `look_at`:
        "output": `output`, `rows` (the same with each row normalised once more), whether the
        `built-in encoder` of PyTorch was called, and whether `src is unchanged`;
        "parameters": how many `norms with a scale of their own` there are, and how many
        `numbers in weight matrices`;
        "gradients": whether the gradient of the last layer is smaller in a deep encoder.
    """
    if look_at == "gradients":
        return _last_gradients(student, seed)
    width = d_model if src is None else src.shape[-1]
    more = () if num_layers is None else (num_layers, dim_feedforward, dropout)
    with seeded(seed):
        module = new_module(student, width, nhead, *more)
        _require_matrices(module)
        if look_at == "parameters":
            return _counts(module)
        assert src is not None
        assert norm_weight is not None
        _set(module, norm_weight, head_pattern, hidden_weight, hidden_bias)
        module.train(training)
        given = torch.tensor(src, dtype=torch.float32)
        before = given.clone()
        arguments = (given,) if src_mask is None else (given, torch.tensor(src_mask))
        with _calls_of_modules(BUILT_IN_ENCODERS) as called:
            output = output_array(forward(module, *arguments))
    return {
        "output": output.astype(np.float32) if output.dtype == np.float64 else output,
        "rows": _normalised(output),
        "built-in encoder": ", ".join(sorted(set(called))) or "not called",
        "src is unchanged": torch.equal(given, before),
    }


def _require_matrices(module: nn.Module) -> None:
    """Complain about an encoder whose layers PyTorch does not know of.

    Raises:
        UnusableError: it has no weight matrices.
    """
    if any(not _is_vector(parameter) for parameter in module.parameters()):
        return
    hidden = [
        name
        for name, value in vars(module).items()
        if isinstance(value, list | tuple | dict)
        and any(
            isinstance(item, nn.Module)
            for item in (value.values() if isinstance(value, dict) else value)
        )
    ]
    if hidden:
        raise UnusableError(
            f"Your model has no weight matrices among its parameters: `self.{hidden[0]}` is a"
            f" {type(vars(module)[hidden[0]]).__name__}, and PyTorch does not look into it. Make it"
            " an `nn.ModuleList`."
        )
    raise UnusableError(
        "Your model has no weight matrices among its parameters. Create the sublayers of each"
        " layer in `__init__`, and keep the layers in an `nn.ModuleList`."
    )


def _is_vector(parameter: torch.Tensor) -> bool:
    return parameter.numel() == max(parameter.shape, default=1)


def _is_scale(parameter: torch.Tensor) -> bool:
    return _is_vector(parameter) and bool((parameter == 1).all())


def _counts(module: nn.Module) -> PlainValues:
    parameters = list(module.parameters())
    return {
        "norms with a scale of their own": sum(_is_scale(p) for p in parameters),
        "numbers in weight matrices": sum(p.numel() for p in parameters if not _is_vector(p)),
    }


def _set(
    module: nn.Module,
    norm_weight: np.ndarray,
    head_pattern: np.ndarray | None,
    hidden_weight: np.ndarray | None,
    hidden_bias: np.ndarray | None,
) -> None:
    """Set every parameter by its shape: the norms' scales, two kinds of matrices, and biases.

    Each matrix of the attention is an outer product of one vector a dim: the pattern of a head,
    repeated, where the dim has the length of a head, of all heads, or of queries, keys and values
    together. So all heads do the same, and it does not matter whether the heads, or queries, keys
    and values, have matrices of their own or share one, in which order, and which dim of a matrix
    comes first. As the two matrices of a feed-forward network are the transposed of each other,
    it does not matter there either. Biases are 0, but for those inside the feed-forward networks.
    Without a pattern, all matrices are 0.

    Raises:
        UnusableError: a feed-forward network has no bias inside.
    """
    scale = _float32(norm_weight)
    with torch.no_grad():
        for parameter in module.parameters():
            if _is_scale(parameter) and parameter.numel() == scale.numel():
                parameter.copy_(scale.reshape(parameter.shape))
            else:
                parameter.zero_()
        if head_pattern is None or hidden_weight is None or hidden_bias is None:
            return
        weight, bias = _float32(hidden_weight), _float32(hidden_bias)
        matrices = biases = 0
        for parameter in module.parameters():
            if _is_vector(parameter):
                if parameter.numel() == bias.numel():
                    biases += 1
                    parameter.copy_(bias.reshape(parameter.shape))
            elif parameter.shape in (weight.shape, weight.T.shape):
                matrices += 1
                parameter.copy_(weight if parameter.shape == weight.shape else weight.T)
            else:
                parameter.copy_(_outer(parameter.shape, head_pattern))
    if matrices and not biases:
        raise UnusableError(
            "The first linear layer of your feed-forward network has no bias. It should have one,"
            f" of shape ({bias.numel()},) for dim_feedforward={bias.numel()}, as `nn.Linear` has"
            " unless told otherwise."
        )


def _float32(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _outer(shape: torch.Size, pattern: np.ndarray) -> torch.Tensor:
    values = torch.ones(shape)
    for dim, length in enumerate(shape):
        if length % len(pattern) == 0:
            along = _float32(pattern).repeat(length // len(pattern))
            values = values * along.reshape([-1 if i == dim else 1 for i in range(len(shape))])
    return values


def _normalised(output: np.ndarray) -> np.ndarray:
    """Each row with mean 0 and standard deviation 1, so that a last norm makes no difference."""
    rows = output.astype(np.float64)
    if not rows.ndim:
        return rows
    centred = rows - rows.mean(-1, keepdims=True)
    with np.errstate(all="ignore"):
        # In float32, for that is what the encoder computes in, and a key holds many of these.
        return np.asarray(centred / rows.std(-1, keepdims=True), np.float32)


@contextmanager
def _calls_of_modules(kinds: tuple[type[nn.Module], ...]) -> Iterator[list[str]]:
    """Collect the names of the classes among `kinds` whose modules are called in the block."""
    called: list[str] = []

    def note(module: nn.Module, _: Any) -> None:
        called.extend(kind.__name__ for kind in kinds if isinstance(module, kind))

    handle = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield called
    finally:
        handle.remove()


def _last_gradients(student: type[nn.Module], seed: int) -> PlainValues:
    ratio = last_gradient(student, DEEP, seed) / last_gradient(student, SHALLOW, seed)
    smaller = ratio < LAST_GRADIENT_RATIO
    return {
        f"last layer's gradient with {DEEP} layers, against {SHALLOW}": (
            f"{'below' if smaller else 'not below'} {LAST_GRADIENT_RATIO:g} of it"
        )
    }


def last_gradient(student: Any, num_layers: int, seed: int) -> float:
    """The norm of the gradient of the last layer's feed-forward matrices at initialisation.

    Args:
        student: the class of the encoder.
        num_layers: how many layers to build.
        seed: where weights, input and upstream gradient come from.
    """
    random = torch.Generator().manual_seed(seed)
    d_model, hidden = PROFILE["d_model"], PROFILE["dim_feedforward"]
    with seeded(seed):
        module = new_module(student, d_model, PROFILE["nhead"], num_layers, hidden, 0.0)
        _require_matrices(module)
        src, upstream = torch.randn(2, 8, 8, d_model, generator=random)
        initialise(module, d_model, hidden, random)
        last = feed_forward_weights(module, d_model, hidden)[-1]
        gradients = gradients_of((forward(module, src) * upstream).sum(), last)
    return float(sum(0 if g is None else g.square().sum() for g in gradients)) ** 0.5


def initialise(
    module: nn.Module, d_model: int, dim_feedforward: int, random: torch.Generator
) -> None:
    """Draw an encoder's matrices anew, whatever it is made of, and set its biases to 0.

    As in section 3.2 of Xiong et al. (2020), matrices have Xavier's variance: 1 / d_model in the
    attention, and 2 / (d_model + dim_feedforward) in the feed-forward network.

    Args:
        module: the encoder.
        d_model: the features of a token.
        dim_feedforward: a size that only its feed-forward networks have.
        random: where the numbers come from.
    """
    with torch.no_grad():
        # From the last to the first, so that encoders of any depth have the same last layer, which
        # makes comparing them less a matter of chance.
        for parameter in reversed(list(module.parameters())):
            if not _is_vector(parameter):
                hidden = dim_feedforward in parameter.shape
                var = 2 / (d_model + dim_feedforward) if hidden else 1 / d_model
                parameter.copy_(var**0.5 * torch.randn(parameter.shape, generator=random))
            elif not _is_scale(parameter):
                parameter.zero_()


class _Network(nn.Module):
    """Linear layers and tanh; twice the output in training mode, so that the mode shows."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, one, other, dtype=torch.float64)
            for one, other in itertools.pairwise(sizes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return 2 * x if self.training else x


def _fill(tensors: list[Any], values: np.ndarray) -> None:
    """Write numbers into tensors, one after the other."""
    pieces = torch.tensor(values).split([tensor.numel() for tensor in tensors])
    with torch.no_grad():
        for tensor, piece in zip(tensors, pieces, strict=True):
            tensor.copy_(piece.reshape(tensor.shape))


def _grad(parameter: nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _gradients_afterwards(parameters: list[nn.Parameter], earlier: np.ndarray | None) -> str:
    """How the parameters' `.grad` compares with what it was; zeros are as good as None."""
    flat = np.concatenate(
        [
            (torch.zeros_like(p) if p.grad is None else p.grad).detach().flatten().numpy()
            for p in parameters
        ]
    )
    before = np.zeros_like(flat) if earlier is None else earlier
    if np.array_equal(flat, before):
        return "as before"
    if earlier is None:
        return "left behind"
    return "changed" if flat.any() else "lost"


def _numbers(returned: Any, groups: int) -> np.ndarray:
    """What `gradient_norms` returned as one array.

    Raises:
        UnusableError: it is not one number a group.
    """
    what = "`gradient_norms`'s return value"
    if isinstance(returned, list | tuple):
        numbers = [as_array(item, f"An entry of {what}") for item in returned]
        if any(number.size != 1 for number in numbers):
            shapes = ", ".join(str(number.shape) for number in numbers)
            raise UnusableError(
                f"The entries of {what} have the shapes {shapes}; one number for each group was"
                " expected."
            )
        return np.array([float(number.item()) for number in numbers])
    if isinstance(returned, dict) or hasattr(returned, "__next__"):
        raise UnusableError(
            f"{what} is a {type(returned).__name__}; a list was expected, with one number for each"
            f" of the {groups} groups."
        )
    array = as_array(returned, what)
    return array.reshape(-1) if array.size == groups and array.ndim > 0 else array
