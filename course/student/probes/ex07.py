"""The probes of exercise 7: attention, multi-head self-attention, and the encoder block.

Names inside a student's module are free. So the probes of the two modules find its parameters by
their shape and what they do, and give them values that leave one right answer whatever the
layout: three projections or one, any order of rows, `x @ W` or `W @ x`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parameter import UninitializedParameter

from course.student.outcome import UnusableError, as_array
from course.student.plain import PlainValues
from course.student.torch_modules import (
    calls_of,
    forward,
    gradients_of,
    new_module,
    output_array,
    seeded,
    zeros_if_none,
)

RETURNED = "What `scaled_dot_product_attention` returned"


def attention(
    student: Callable[..., Any],
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    upstream: np.ndarray | None = None,
) -> PlainValues:
    """Call `scaled_dot_product_attention(query, key, value, mask)`.

    Args:
        student: the function.
        query: `(..., L, d)`.
        key: `(..., S, d)`.
        value: `(..., S, d_v)`.
        mask: broadcastable to `(..., L, S)`, of booleans or floats; left out when None.
        upstream: like the output; asks for the gradients of sum(upstream * output) instead.

    Returns:
        `output`, `weights` (None if only one thing was returned), `built-in attention called`, and
        `inputs are unchanged`; with `upstream`: `dquery`, `dkey` and `dvalue`.
    """
    if not callable(student):
        raise UnusableError(
            f"What was checked is of type {type(student).__name__}; a function was expected."
        )
    given = [torch.tensor(array) for array in (query, key, value)]
    masks = [] if mask is None else [torch.tensor(mask)]
    if upstream is not None:
        leaves = [tensor.requires_grad_() for tensor in given]
        output, _ = _pair(student(*given, *masks))
        if not isinstance(output, torch.Tensor):
            raise UnusableError(
                f"The output is of type {type(output).__name__}; a torch tensor was expected, so"
                " that gradients can flow through it."
            )
        if output.shape != upstream.shape:
            raise UnusableError(
                f"The output has shape {tuple(output.shape)}; expected {upstream.shape}."
            )
        gradients = gradients_of((output * torch.tensor(upstream)).sum(), leaves)
        return {
            f"d{name}": _short(zeros_if_none(gradient, leaf))
            for name, gradient, leaf in zip(
                ("query", "key", "value"), gradients, leaves, strict=True
            )
        }
    before = [tensor.clone() for tensor in (*given, *masks)]
    with calls_of("scaled_dot_product_attention", "multi_head_attention") as called:
        output, weights = _pair(student(*given, *masks))
    return {
        "output": _short(as_array(output, "The output")),
        "weights": None if weights is None else _short(as_array(weights, "What came second")),
        "built-in attention called": bool(called),
        "inputs are unchanged": all(
            torch.equal(now, then) for now, then in zip((*given, *masks), before, strict=True)
        ),
    }


def _short(array: np.ndarray) -> np.ndarray:
    """Floats in float32, all that is judged here, which halves the published key."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _pair(returned: Any) -> tuple[Any, Any]:
    """The output and the weights; None for weights that were not returned."""
    if isinstance(returned, tuple | list):
        if len(returned) != 2:
            raise UnusableError(
                f"{RETURNED} has {len(returned)} entries; two were expected: `output, weights`."
            )
        return returned[0], returned[1]
    if isinstance(returned, dict):
        raise UnusableError(f"{RETURNED} is a dict; a pair was expected: `output, weights`.")
    as_array(returned, RETURNED)  # None and the like have a message of their own
    return returned, None


def multi_head(
    student: type[nn.Module],
    x: np.ndarray,
    nhead: int,
    fill: float | None = None,
    mask: np.ndarray | None = None,
    look_at: str = "output",
    upstream: np.ndarray | None = None,
    earlier: np.ndarray | None = None,
) -> PlainValues:
    """Build `MultiHeadSelfAttention(d_model, nhead)`, fill its weights, and use it.

    Args:
        student: the class.
        x: `(batch, seq, d_model)`.
        nhead: the number of heads; a head has at least 4 features, see `_weights_of`.
        fill: the number in all weight matrices, with 0 in all biases; when None, both are filled
            with random numbers, always the same.
        mask: `(seq, seq)`, of booleans or floats; left out when None.
        look_at: what to return, see below.
        upstream: like x; the gradient of the loss with respect to the output.
        earlier: like x, of other lengths; what the same module is called with first.

    Returns:
        By `look_at`:
        "output": `output`, `x is unchanged`;
        "definition": `output`, `built-in attention called`;
        "alone": `difference` between a sequence in which every position sees only itself, and its
        positions passed one by one;
        "heads": the number of `dims spanned` by the outputs of many queries on two keys;
        "weights": the `numbers in weight matrices`;
        "refusal": what a `d_model` that nhead does not divide is met with;
        "gradients": `dx`, `gradient reaches x`, `parameters without a gradient`;
        "names": the `largest difference` from `nn.MultiheadAttention` with its weights.
    """
    if look_at == "refusal":
        return _refusal(student, x.shape[-1], nhead)
    tensor, masks = _given(x, mask)
    module = _ready(student, (x.shape[-1], nhead), tensor, first=look_at == "definition")
    if look_at == "names":
        return {"largest difference": _difference_from_pytorch(module, tensor, nhead, masks)}
    weights, others = _weights_of(module, x.shape[-1] * (x.shape[-1] // nhead))
    if look_at == "weights":
        return {"numbers in weight matrices": sum(weight.numel() for weight in weights)}
    if fill is None:
        randomise(module)
    else:
        _fill(weights, fill)
        _fill(others, 0.0)
    if look_at == "alone":
        only_itself = ~torch.eye(x.shape[1], dtype=torch.bool)
        together = _call(module, tensor, only_itself)
        one_by_one = [_call(module, position) for position in tensor.split(1, dim=1)]
        return {"difference": _short(output_array(together - torch.cat(one_by_one, dim=1)))}
    if look_at == "heads":
        return {"dims spanned": _dims_spanned(module, tensor)}
    if look_at == "gradients":
        return _gradients(module, tensor, upstream)
    if earlier is not None:
        forward(module, torch.tensor(earlier))
    if look_at == "definition":
        with calls_of("multi_head_attention") as called:
            output = forward(module, tensor)
        return {
            "output": _short(output_array(output)),
            "built-in attention called": bool(called),
        }
    before = tensor.clone()
    output = forward(module, tensor, *masks)
    return {
        "output": _short(output_array(output)),
        "x is unchanged": torch.equal(tensor, before),
    }


def _call(module: nn.Module, x: torch.Tensor, *masks: torch.Tensor) -> torch.Tensor:
    """Call a module on a copy, for one that writes into its input."""
    return forward(module, x.clone(), *masks)


def _given(x: np.ndarray, mask: np.ndarray | None) -> tuple[torch.Tensor, list[torch.Tensor]]:
    return torch.tensor(x), [] if mask is None else [torch.tensor(mask)]


def _ready(
    student: type[nn.Module], arguments: tuple[Any, ...], x: torch.Tensor, *, first: bool = True
) -> nn.Module:
    """A new module in float64 and in evaluation mode, with all its parameters.

    Args:
        student: the class.
        arguments: what it is built with.
        x: an input.
        first: whether to call it once, and look for parameters that cannot be found.

    Raises:
        UnusableError: its parameters cannot be found; the message says why.
    """
    with seeded(0):
        module = new_module(student, *arguments).double().eval()
        hidden = _layers_in_a_list(module)
        if hidden:
            raise UnusableError(
                f"PyTorch does not look into `{hidden}`, a Python list, tuple or dict, so the"
                " layers in it are not learned. Put them into an `nn.ModuleList`."
            )
        before = len(list(module.parameters()))
        lazy = any(isinstance(part, UninitializedParameter) for part in module.parameters())
        if not (first or lazy):
            return module
        output = _call(module, x)
        if output.shape != x.shape:
            raise UnusableError(
                f"For an input of shape {tuple(x.shape)} your module returned"
                f" {tuple(output.shape)}; both should be (batch, seq, d_model)."
            )
    if len(list(module.parameters())) > before:
        raise UnusableError(
            "Your module creates parameters in `forward`. Create all layers in `__init__`, or an"
            " optimizer never sees them."
        )
    if not before:
        raise UnusableError(
            "Your module has no learnable parameters. Create its layers in `__init__`, and assign"
            " each to an attribute of `self`."
        )
    return module


def _layers_in_a_list(module: nn.Module) -> str:
    """The attribute in which a module keeps layers that PyTorch does not find, or nothing."""
    for part in module.modules():
        for name, value in vars(part).items():
            if name.startswith("_"):
                continue
            entries = value.values() if isinstance(value, dict) else value
            if isinstance(value, list | tuple | dict) and any(
                isinstance(entry, nn.Module | nn.Parameter) for entry in entries
            ):
                return f"self.{name}"
    return ""


def _weights_of(module: nn.Module, at_least: int) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Tell weight matrices from biases by their size, whatever their shape.

    The smallest weight is that of one head, of d_model * d_head numbers. The largest bias is that
    of three projections in one, of 3 * d_model: less, as heads here have 4 features or more.
    """
    weights = [parameter for parameter in module.parameters() if parameter.numel() >= at_least]
    others = [parameter for parameter in module.parameters() if parameter.numel() < at_least]
    return weights, others


def _fill(parameters: Iterable[nn.Parameter], number: float) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.fill_(number)


def randomise(module: nn.Module) -> None:
    """Fill all parameters with random numbers, so that a tidy start hides nothing."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            # A projection then keeps the size of its input, about.
            size = 1 if parameter.dim() < 2 else parameter.shape[-1] ** -0.5
            parameter.copy_(size * torch.randn(parameter.shape, generator=random))


def spans(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The singular values of the outputs of all queries while they see the first two keys only.

    Between two keys a head can only move its mean along a line. So the outputs of many queries,
    less their mean, span as many dims as there are heads with weights of their own.
    """
    mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
    mask[:, :2] = False
    outputs = _call(module, x, mask)
    centred = (outputs - outputs.mean(1, keepdim=True)).detach()[0]
    return torch.linalg.svdvals(centred.nan_to_num())


# Of the largest singular value rounding leaves 1e-14 at most, and a head at least 1e-2: see
# benchmarks/ex07_thresholds.py.
SPANNED = 1e-9


def _dims_spanned(module: nn.Module, x: torch.Tensor) -> int:
    values = spans(module, x)
    return int((values > SPANNED * values[0].clamp(min=SPANNED)).sum())


def _refusal(student: type[nn.Module], d_model: int, nhead: int) -> PlainValues:
    try:
        new_module(student, d_model, nhead)
    except (NotImplementedError, UnusableError):
        raise
    except Exception as error:
        message = str(error)
        return {
            "error": type(error).__name__,
            "its message names both numbers": all(str(n) in message for n in (d_model, nhead)),
        }
    return {"error": "none", "its message names both numbers": False}


def _gradients(module: nn.Module, x: torch.Tensor, upstream: np.ndarray | None) -> PlainValues:
    assert upstream is not None
    x.requires_grad_()
    parameters = list(module.parameters())
    loss = (_call(module, x) * torch.tensor(upstream)).sum()
    dx, *rest = gradients_of(loss, [x, *parameters])
    return {
        "gradient reaches x": dx is not None,
        "parameters without a gradient": sum(gradient is None for gradient in rest),
        "dx": _short(zeros_if_none(dx, x)),
    }


SEPARATE = ("q_proj", "k_proj", "v_proj")


def _difference_from_pytorch(
    module: nn.Module, x: torch.Tensor, nhead: int, masks: list[torch.Tensor]
) -> float:
    theirs = nn.MultiheadAttention(x.shape[-1], nhead, batch_first=True).double().eval()
    randomise(theirs)
    _copy(_attention_weights(theirs), module, "nn.MultiheadAttention")
    with torch.no_grad():
        expected, _ = theirs(x, x, x, attn_mask=masks[0] if masks else None, need_weights=False)
        return float((_call(module, x, *masks) - expected).abs().max())


def _attention_weights(theirs: nn.MultiheadAttention, prefix: str = "") -> dict[str, torch.Tensor]:
    """The parameters of `nn.MultiheadAttention` under its own and under separate names."""
    found = {name: parameter.detach() for name, parameter in theirs.named_parameters()}
    for kind in ("weight", "bias"):
        parts = found[f"in_proj_{kind}"].chunk(3)
        found |= {f"{name}.{kind}": part for name, part in zip(SEPARATE, parts, strict=True)}
    return {f"{prefix}{name}": value for name, value in found.items()}


def _copy(theirs: dict[str, torch.Tensor], module: nn.Module, whose: str) -> None:
    """Copy PyTorch's parameters to those of a module with the same names.

    A bias that the module does without is set to 0 in PyTorch's.

    Raises:
        UnusableError: the names or shapes do not fit; the message lists both.
    """
    own = dict(module.named_parameters())
    unknown = sorted(set(own) - set(theirs))
    needed = [
        name for name in theirs if not name.endswith("bias") and not _stands_for_another(name, own)
    ]
    missing = sorted(name for name in needed if name not in own)
    if unknown or missing:
        raise UnusableError(
            f"The weights of `{whose}` cannot be copied by name. Missing:"
            f" {_names(missing)}. Not known there: {_names(unknown)}."
        )
    with torch.no_grad():
        for name, value in theirs.items():
            if name in own and own[name].shape != value.shape:
                raise UnusableError(
                    f"`{name}` has shape {tuple(own[name].shape)} in your module, and"
                    f" {tuple(value.shape)} in `{whose}`."
                )
            if name in own:
                own[name].copy_(value)
            elif not _stands_for_another(name, own):
                value.zero_()


def _stands_for_another(name: str, own: dict[str, nn.Parameter]) -> bool:
    """Whether a name belongs to the form, of one projection or of three, that is not used."""
    in_one = any("in_proj_weight" in own_name for own_name in own)
    return any(part in name for part in SEPARATE) if in_one else "in_proj_" in name


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


# So near to 1 that nothing is left, and not 1, by which a dropout written by hand would divide.
DROP_ALL = 1 - 1e-9


def encoder_block(
    student: type[nn.Module],
    x: np.ndarray,
    nhead: int,
    dim_feedforward: int,
    attention_fill: float | None = None,
    direction: np.ndarray | None = None,
    feed_forward: np.ndarray | None = None,
    scale: float = 1.0,
    scales: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    look_at: str = "output",
    upstream: np.ndarray | None = None,
    earlier: np.ndarray | None = None,
) -> PlainValues:
    """Build `TransformerEncoderBlock(d_model, nhead, dim_feedforward, dropout)`, and use it.

    Biases are 0, and so are weights that are not named here: those of the attention without
    `attention_fill`, those of the feed-forward network without `feed_forward`.

    Args:
        student: the class.
        x: `(batch, seq, d_model)`.
        nhead: the number of heads; a head has at least 4 features.
        dim_feedforward: the width of the hidden layer, which no other weight has as a length.
        attention_fill: the number in all projections before the attention.
        direction: `(d_model,)`, sums to 0; the output projection's weight is
            direction[i] + direction[j], so that it turns a row of equal numbers into a multiple of
            the direction.
        feed_forward: `(dim_feedforward, d_model)`, the first weight of the feed-forward network;
            the second is its transpose, so that which comes first makes no difference.
        scale: of both norms; the output is divided by it.
        scales: `(2, d_model)`, the scales of the two norms, that of the last one second.
        mask: `(seq, seq)`, of booleans or floats; left out when None.
        look_at: what to return, see below.
        upstream: like x; the gradient of the loss with respect to the output.
        earlier: like x, of other lengths; what the same module is called with first.

    Returns:
        By `look_at`:
        "output": `output`, `src is unchanged`;
        "mixing": the `shape` of the output, whether `a position depends on the others` and
        `a sample depends on the others`, `built-in encoder layer used`;
        "norms": `norm scales` found, and `output` with `scales`;
        "evaluation": `same output twice` in evaluation mode;
        "training": whether two outputs differ, with dropout=0.5 and with dropout=0;
        "dropped": `output` in training mode when dropout drops everything;
        "defaults": `hidden width` and `random in training` when only two arguments are given;
        "refusal": whether a `d_model` that nhead does not divide is `refused with a message`;
        "gradients": `dsrc`, `gradient reaches src`, `parameters without a gradient`;
        "names": the `largest difference` from `nn.TransformerEncoderLayer` with its weights.
    """
    d_model = x.shape[-1]
    arguments = (d_model, nhead, dim_feedforward)
    if look_at == "refusal":
        return _refused(student, arguments)
    tensor, masks = _given(x, mask)
    if look_at == "mixing":
        return _mixing(_ready(student, (*arguments, 0.0), tensor), tensor)
    if look_at == "evaluation":
        module = _ready(student, (*arguments, 0.5), tensor, first=False)
        return {"same output twice": not _random(module, tensor)}
    if look_at == "training":
        return {
            f"random with dropout={p:g}": _random(
                _ready(student, (*arguments, p), tensor, first=False).train(), tensor
            )
            for p in (0.5, 0.0)
        }
    if look_at == "defaults":
        module = _ready(student, arguments[:2], tensor, first=False)
        widths = [length for parameter in module.parameters() for length in parameter.shape]
        return {
            "hidden width": max(widths),
            "random in training": _random(module.train(), tensor),
        }
    dropout = DROP_ALL if look_at == "dropped" else 0.0
    module = _ready(student, (*arguments, dropout), tensor, first=False)
    if look_at == "names":
        return {"largest difference": _difference_from_layer(module, tensor, arguments, masks)}
    parts = _Parts(module, d_model, nhead, dim_feedforward)
    if look_at == "dropped":
        parts.fill_at_random(tensor)
        with seeded(1):
            return {"output": _short(output_array(forward(module.train(), tensor)))}
    parts.fill(scale)
    if attention_fill is not None and direction is not None:
        parts.fill_attention(attention_fill, torch.tensor(direction), tensor)
    if feed_forward is not None:
        parts.fill_feed_forward(torch.tensor(feed_forward))
    if look_at == "norms":
        assert scales is not None
        parts.fill_scales(torch.tensor(scales), tensor)
        return {
            "norm scales": len(parts.scales),
            "output": _short(output_array(_call(module, tensor))),
        }
    if look_at == "gradients":
        found = _gradients(module, tensor, upstream)
        return {
            "gradient reaches src": found["gradient reaches x"],
            "parameters without a gradient": found["parameters without a gradient"],
            "dsrc": found["dx"],
        }
    if earlier is not None:
        _call(module, torch.tensor(earlier))
    before = tensor.clone()
    output = forward(module, tensor, *masks)
    return {
        "output": _short(output_array(output) / scale),
        "src is unchanged": torch.equal(tensor, before),
    }


class _Parts:
    """The parameters of a new block by what they are for, whatever their names.

    Args:
        module: the block.
        d_model, nhead, dim_feedforward: what it was built with.

    Raises:
        UnusableError: no norm or no feed-forward network was found.
    """

    def __init__(self, module: nn.Module, d_model: int, nhead: int, dim_feedforward: int) -> None:
        self.module = module
        weights, others = _weights_of(module, d_model * (d_model // nhead))
        self.feed_forward = [w for w in weights if dim_feedforward in w.shape]
        self.attention = [w for w in weights if dim_feedforward not in w.shape]
        self.scales = [p for p in others if p.numel() == d_model and bool((p == 1).all())]
        self.biases = [p for p in others if not any(p is scale for scale in self.scales)]
        if not self.scales:
            raise UnusableError(
                "No layer normalization was found in your block: none of its learnable parameters"
                f" is a scale of {d_model} ones, as in a new `nn.LayerNorm(d_model)`."
            )
        if not self.feed_forward:
            raise UnusableError(
                "No feed-forward network of the width asked for was found in your block: with"
                f" dim_feedforward={dim_feedforward}, none of its weights has"
                f" {dim_feedforward} as a length."
            )

    def fill(self, scale: float) -> None:
        """Silence both sub-layers, and give both norms the same scale everywhere."""
        _fill([*self.attention, *self.feed_forward, *self.biases], 0.0)
        _fill(self.scales, scale)

    def fill_attention(self, number: float, direction: torch.Tensor, x: torch.Tensor) -> None:
        """One number everywhere, but for the output projection.

        That is the weight on which the output depends when a sequence has one position. Before it
        all features are equal, and a norm does not see a number added to all features alike.
        """
        _fill(self.attention, number)
        square = direction[:, None] + direction  # its own transpose: x @ W or W @ x
        first = x[:, :1]
        with torch.no_grad():
            plain = _call(self.module, first)
            for weight in reversed(self.attention):  # nearly always the last
                if weight.numel() != square.numel():
                    continue
                weight.copy_(square.reshape(weight.shape))
                if not torch.allclose(_call(self.module, first), plain, atol=1e-6):
                    return
                weight.fill_(number)

    def fill_feed_forward(self, first: torch.Tensor) -> None:
        """A weight for one of the two matrices, and its transpose for the other."""
        with torch.no_grad():
            for weight in self.feed_forward:
                if weight.shape in (first.shape, first.T.shape):
                    weight.copy_(first if weight.shape == first.shape else first.T)

    def fill_scales(self, scales: torch.Tensor, x: torch.Tensor) -> None:
        """Give each norm its own scale; which of two comes last shows in the output."""
        with torch.no_grad():
            plain = _call(self.module, x)
            for scale in self.scales:
                scale.fill_(2.0)
                last = torch.allclose(_call(self.module, x), 2 * plain, atol=1e-3)
                scale.fill_(1.0)
                if last:
                    break
            for one in self.scales:
                one.copy_(scales[int(one is scale and len(self.scales) > 1)].reshape(one.shape))

    def fill_at_random(self, x: torch.Tensor) -> None:
        """Random weights and biases in both sub-layers, and norms that do nothing but normalise.

        Beside an input of a million, a bias of the attention vanishes, and that of a norm does
        not.
        """
        new = [bias for bias in self.biases if bool((bias == 0).all())]
        self.fill(1.0)
        random = torch.Generator().manual_seed(0)
        of_norms = []
        with torch.no_grad():
            plain = _call(self.module, 1e6 * x)
            for bias in new:
                bias.copy_(torch.randn(bias.shape, generator=random))
                if not torch.allclose(_call(self.module, 1e6 * x), plain, atol=1e-3):
                    of_norms.append(bias)
                bias.fill_(0.0)
            for parameter in (*self.attention, *self.feed_forward, *self.biases):
                if not any(parameter is bias for bias in of_norms):
                    parameter.copy_(torch.randn(parameter.shape, generator=random))


BUILT_IN_BLOCKS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.Transformer)


def two_inputs(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A small x, for which no softmax puts all weight on one key, and one with a token changed."""
    before = 0.1 * x
    after = before.clone()
    after[0, 1] += 0.1 * torch.linspace(-1, 1, x.shape[-1], dtype=x.dtype)
    return before, after


# Where two outputs are the same they are so bit by bit; where a position takes part its change is
# at least 1e-4: see benchmarks/ex07_thresholds.py.
CHANGED = 1e-9


def _mixing(module: nn.Module, x: torch.Tensor) -> PlainValues:
    randomise(module)
    before, after = two_inputs(x)
    used = [part for part in module.modules() if isinstance(part, BUILT_IN_BLOCKS)]

    def note(part: nn.Module, _: Any) -> None:
        if isinstance(part, BUILT_IN_BLOCKS):
            used.append(part)

    handle = register_module_forward_pre_hook(note)
    try:
        outputs = []
        for given in (before, after):
            with seeded(0):  # a dropout that is alive here has a case of its own
                outputs.append(_call(module, given).detach())
    finally:
        handle.remove()
    changed = (outputs[0] - outputs[1]).abs().amax(-1) > CHANGED
    return {
        "shape": list(outputs[0].shape),
        "a position depends on the others": bool(changed[0].all()),
        "a sample depends on the others": bool(changed[1:].any()),
        "built-in encoder layer used": bool(used),
    }


def _random(module: nn.Module, x: torch.Tensor) -> bool:
    """Whether a module gives different outputs for the same input."""
    outputs = []
    for seed in (1, 2):
        with seeded(seed):
            outputs.append(_call(module, x).detach())
    return not torch.equal(outputs[0], outputs[1])


def _refused(student: type[nn.Module], arguments: tuple[int, ...]) -> PlainValues:
    try:
        new_module(student, *arguments)
    except (NotImplementedError, UnusableError):
        raise
    except Exception as error:
        return {"refused with a message": bool(str(error))}
    return {"refused with a message": False}


def _difference_from_layer(
    module: nn.Module, x: torch.Tensor, arguments: tuple[int, int, int], masks: list[torch.Tensor]
) -> float:
    """The difference from PyTorch's layer with the non-linearity that comes nearest."""
    differences = []
    for activation in ("relu", "gelu", partial(nn.functional.gelu, approximate="tanh")):
        theirs = nn.TransformerEncoderLayer(*arguments, 0.0, activation, batch_first=True)
        theirs.double().eval()
        randomise(theirs)
        weights = {name: value.detach() for name, value in theirs.named_parameters()}
        weights |= _attention_weights(theirs.self_attn, "self_attn.")
        _copy(weights, module, "nn.TransformerEncoderLayer")
        difference = _call(module, x, *masks) - theirs(x, *masks)
        differences.append(float(difference.detach().abs().max()))
        if differences[-1] < 1e-6:
            break
    return min(differences)
