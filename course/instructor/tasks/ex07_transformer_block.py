"""Exercise 7: attention, multi-head self-attention, and a Transformer encoder block."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from course.instructor.forbidden import ATTENTION, ENCODER_LAYERS, MULTI_HEAD_ATTENTION
from course.instructor.task import Task
from course.layer_normalization_solutions import (
    MultiHeadSelfAttention,
    TransformerEncoderBlock,
    scaled_dot_product_attention,
)
from course.student.answer_key import Case, Tolerance

# Everything runs in float64, where right answers differ by 1e-14. One that goes through float32
# is off by about 1e-6, which is not what this exercise is about; wrong answers are off by more
# than 1e-3.
NUMBERS = Tolerance(rtol=1e-5, atol=1e-5)


# --------------------------------------------------------------------------- attention


def attention_oracle(query, key, value, mask=None):
    """The definition, one query at a time: no matrix product, no axis to get wrong."""
    *leading, length, _ = query.shape
    allowed = None
    if mask is not None:
        allowed = mask.broadcast_to(*leading, length, key.shape[-2])
    outputs, weights = [], []
    for where in np.ndindex(*leading, length):
        sample = where[:-1]
        scores = (key[sample] * query[where]).sum(1) / query.shape[-1] ** 0.5
        if allowed is not None and allowed.dtype == torch.bool:
            scores = torch.where(allowed[where], -torch.inf, scores)
        elif allowed is not None:
            scores = scores + allowed[where]
        shares = torch.exp(scores - scores.max())
        shares = shares / shares.sum()
        weights.append(shares)
        outputs.append((shares[:, None] * value[sample]).sum(0))
    return (
        torch.stack(outputs).reshape(*leading, length, value.shape[-1]),
        torch.stack(weights).reshape(*leading, length, key.shape[-2]),
    )


class MultiHeadOracle(nn.Module):
    """Head by head and sample by sample, with one projection for queries, keys and values."""

    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"{nhead} heads do not divide {d_model} features")
        self.nhead = nhead
        self.in_proj_weight = nn.Parameter(torch.randn(3 * d_model, d_model))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d_model))
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        width = x.shape[-1] // self.nhead
        outputs = []
        for sample in x:
            query, key, value = (sample @ self.in_proj_weight.T + self.in_proj_bias).chunk(3, 1)
            heads = []
            for head in range(self.nhead):
                mine = slice(head * width, (head + 1) * width)
                heads.append(attention_oracle(query[:, mine], key[:, mine], value[:, mine], mask))
            outputs.append(torch.cat([output for output, _ in heads], dim=1))
        return self.out_proj(torch.stack(outputs))


class EncoderBlockOracle(nn.Module):
    """Written out in one place, with norms and dropout by hand, and PyTorch's names."""

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__()
        self.self_attn = MultiHeadOracle(d_model, nhead)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.p = dropout

    def forward(self, src, src_mask=None):
        first = self.add_and_norm(src, self.self_attn(src, src_mask), self.norm1)
        hidden = first @ self.linear1.weight.T + self.linear1.bias
        hidden = self.drop(hidden * (hidden > 0)) @ self.linear2.weight.T + self.linear2.bias
        return self.add_and_norm(first, hidden, self.norm2)

    def add_and_norm(self, src, change, norm):
        total = src + self.drop(change)
        centred = total - total.mean(-1, keepdim=True)
        std = (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
        return centred / std * norm.weight + norm.bias

    def drop(self, x):
        if not self.training:
            return x
        return x * (torch.rand(x.shape) >= self.p) / (1 - self.p)


attention = Task(
    "ex07_attention",
    "Scaled dot-product attention",
    defines="scaled_dot_product_attention",
    oracle=attention_oracle,
    forbids=ATTENTION,
)


def draw_mask(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """A mask of booleans with something open and something blocked in each row.

    So neither it nor its opposite blocks a whole row, where every answer would be NaN. In most rows
    at least two keys are open, so that what is added to their scores matters.
    """
    keys = shape[-1]
    blocked = rng.integers(1, max(2, keys - 1), shape[:-1])[..., None]
    return rng.permuted(np.broadcast_to(np.arange(keys), shape) < blocked, axis=-1)


@attention.cases
def attention_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Lengths, widths and batch all differ, so that nothing fits where it should not."""
    batch = 2
    length, keys, width, d_v = (int(n) for n in rng.permutation([3, 4, 5, 6]))

    def inputs(*leading, length=length, spread=1.3, **more):
        return {
            "query": spread * rng.normal(size=(*leading, length, width)),
            "key": spread * rng.normal(size=(*leading, keys, width)),
            "value": rng.normal(size=(*leading, keys, d_v)),
            **more,
        }

    yield Case(
        "each query's output is the mean of the values, weighted by softmax(q k / sqrt(d))",
        points=1.5,
        inputs=inputs(batch),
        tolerance=NUMBERS,
        judged=("output", "built-in attention called"),
        hint="Work through one query: its dot products with all S keys, divided by sqrt(d), then "
        "a softmax over the S numbers, then the sum of the S values with these weights.",
    )
    yield Case(
        "the weights come second, of shape (..., L, S), and each row sums to 1",
        points=0.5,
        inputs=inputs(batch),
        tolerance=NUMBERS,
        judged=("weights",),
        hint="Return a pair: the output first, then what the softmax gave.",
    )
    yield Case(
        "no batch: (L, d), (S, d) and (S, d_v)",
        points=0.25,
        inputs=inputs(),
        tolerance=NUMBERS,
        hint="Count dims from the end: -1 and -2 mean the same with and without a batch.",
    )
    yield Case(
        "two leading dims: (batch, heads, L, d)",
        points=0.25,
        inputs=inputs(2, 2),
        tolerance=NUMBERS,
        hint="Count dims from the end: -1 and -2 mean the same whatever stands before them.",
    )
    yield Case(
        "a mask of booleans blocks where it is True",
        points=0.75,
        inputs=inputs(batch, mask=draw_mask(rng, length, keys)),
        tolerance=NUMBERS,
        hint="A blocked score becomes minus infinity before the softmax, so that its weight is "
        "exactly 0 and the others still sum to 1.",
    )
    yield Case(
        "a padding mask of shape (batch, 1, S) holds for every query of its sample",
        points=0.25,
        inputs=inputs(batch, mask=draw_mask(rng, batch, 1, keys)),
        tolerance=NUMBERS,
        hint="`masked_fill`, `torch.where` and `+` all broadcast: nothing needs to be expanded, "
        "indexed or unsqueezed.",
    )
    yield Case(
        "a mask of floats is added to the scaled scores",
        points=0.5,
        inputs=inputs(batch, mask=1.5 * rng.normal(size=(length, keys))),
        tolerance=NUMBERS,
        hint="`mask.dtype == torch.bool` tells the two kinds apart. A mask of floats is added "
        "after the division by sqrt(d).",
    )
    yield Case(
        "a mask of floats may hold minus infinity",
        points=0.25,
        inputs=inputs(
            batch,
            mask=np.where(draw_mask(rng, length, keys), -np.inf, rng.normal(size=(length, keys))),
        ),
        tolerance=NUMBERS,
        hint="Adding minus infinity blocks. Multiplying by it, or by 0 times it, gives NaN.",
    )
    yield Case(
        "scores in the thousands do not overflow",
        points=0.25,
        inputs=inputs(batch, spread=40.0),
        tolerance=NUMBERS,
        hint="exp(800) is infinite. `torch.softmax` subtracts the largest score first, which "
        "changes no weight.",
    )
    yield Case(
        "gradients reach the query, the key and the value, and are right",
        points=0.25,
        inputs=inputs(batch, upstream=rng.normal(size=(batch, length, d_v))),
        tolerance=NUMBERS,
        judged=("dquery", "dkey", "dvalue"),
        hint="Autograd follows tensor operations. `.data`, `.detach()`, `.numpy()`, `.item()` and "
        "`torch.no_grad()` hide a step from it.",
    )
    yield Case(
        "query, key, value and mask are left as they were",
        points=0.25,
        inputs=inputs(batch, mask=rng.normal(size=(length, keys))),
        tolerance=NUMBERS,
        judged=("output", "inputs are unchanged"),
        hint="`query /= 2` writes into the caller's tensor; `query / 2` makes a new one.",
    )


@attention.known_mistake(
    "no scaling",
    "You took the softmax of the bare dot products. They grow with d, and the softmax then puts "
    "nearly all weight on one key.",
    hint="Divide the dot products by the square root of d, the last dim of the query.",
)
def no_scaling(query, key, value, mask=None):
    output, weights = scaled_dot_product_attention(query * query.size(-1) ** 0.5, key, value, mask)
    return output, weights


@attention.known_mistake(
    "divided by d instead of its square root",
    "You divided the dot products by d. Their spread grows with the square root of d only.",
    hint="`math.sqrt(query.size(-1))`, or `query.size(-1) ** 0.5`.",
)
def divided_by_d(query, key, value, mask=None):
    return scaled_dot_product_attention(query / query.size(-1) ** 0.5, key, value, mask)


@attention.known_mistake(
    "multiplied by the square root of d",
    "You multiplied the dot products by sqrt(d). They are to be divided by it.",
    hint="The scaling is there to make large scores smaller.",
)
def multiplied(query, key, value, mask=None):
    return scaled_dot_product_attention(query * query.size(-1), key, value, mask)


@attention.known_mistake(
    "the square root of d_v, or of another width than the query's",
    "You divided by the square root of the width of the values. The dot products are sums over the "
    "d features of query and key.",
    hint="Take d from `query.size(-1)` or `key.size(-1)`.",
)
def width_of_value(query, key, value, mask=None):
    scale = (query.size(-1) / value.size(-1)) ** 0.5
    return scaled_dot_product_attention(query * scale, key, value, mask)


@attention.known_mistake(
    "the square root of the number of keys",
    "You divided by the square root of S, how many keys there are. The dot products are sums over "
    "the d features.",
    hint="Take d from the last dim: `query.size(-1)`.",
)
def number_of_keys(query, key, value, mask=None):
    scale = (query.size(-1) / key.size(-2)) ** 0.5
    return scaled_dot_product_attention(query * scale, key, value, mask)


@attention.known_mistake(
    "scaled after the softmax",
    "You divided the weights by sqrt(d). They no longer sum to 1, and the softmax has seen the "
    "unscaled scores.",
    hint="The division comes before the softmax.",
)
def scaled_late(query, key, value, mask=None):
    root = query.size(-1) ** 0.5
    scores = query @ key.transpose(-2, -1)
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    weights = torch.softmax(scores, dim=-1) / root
    return weights @ value, weights


@attention.known_mistake(
    "softmax over the queries",
    "Your softmax runs over dim -2. The weights of one key then sum to 1 over all queries; it is "
    "the weights of one query that should, over all keys.",
    hint="Which sums of `weights` are 1? `weights.sum(-1)` should be.",
)
def softmax_over_queries(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    weights = torch.softmax(scores, dim=-2)
    return weights @ value, weights


@attention.known_mistake(
    "softmax over dim 1",
    "Your softmax runs over dim 1: the queries, as soon as there is a batch.",
    hint="Count from the end: the keys are dim -1 of the scores.",
)
def softmax_over_dim_1(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    weights = torch.softmax(scores, dim=1)
    return weights @ value, weights


@attention.known_mistake(
    "softmax over dim 0",
    "Your softmax runs over dim 0: with a batch, the weights sum to 1 over its samples.",
    hint="Count from the end: the keys are dim -1 of the scores.",
)
def softmax_over_dim_0(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    weights = torch.softmax(scores, dim=0)
    return weights @ value, weights


@attention.known_mistake(
    "dims counted from the front",
    "You named dims 1 and 2 of the key, which are its last two only while there is one batch dim.",
    hint="Count from the end: `key.transpose(-2, -1)`, or `key.mT`.",
)
def dims_from_the_front(query, key, value, mask=None):
    scores = query @ key.transpose(1, 2) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights


@attention.known_mistake(
    "softmax over dim 2",
    "Your softmax runs over dim 2, which is the last one only while there is one batch dim.",
    hint="Count from the end: `dim=-1`.",
)
def softmax_over_dim_2(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    weights = torch.softmax(scores, dim=2)
    return weights @ value, weights


@attention.known_mistake(
    "no softmax",
    "Your weights are the scaled scores themselves. They can be negative and do not sum to 1.",
    hint="`torch.softmax(scores, dim=-1)` turns scores into weights.",
)
def no_softmax(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    return scores @ value, scores


@attention.known_mistake(
    "key and value swapped",
    "You compared the query with the values and averaged the keys. It is the other way round.",
    hint="Scores come from query and key; the weights then go to the value.",
)
def key_and_value_swapped(query, key, value, mask=None):
    return scaled_dot_product_attention(query, value, key, mask)


@attention.known_mistake(
    "the keys averaged instead of the values",
    "Your weights are right, but you averaged the keys with them.",
    hint="The last step is a product of `weights` and `value`.",
)
def keys_averaged(query, key, value, mask=None):
    return scaled_dot_product_attention(query, key, key, mask)


@attention.known_mistake(
    "attention over features instead of positions",
    "You multiplied the transposed query with the key, so features are compared with features. "
    "The scores should have shape (..., L, S).",
    hint="Transpose the key and leave the query as it is: (..., L, d) @ (..., d, S).",
)
def over_features(query, key, value, mask=None):
    scores = query.transpose(-2, -1) @ key / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    weights = torch.softmax(scores, dim=-1)
    return value @ weights, weights


@attention.known_mistake(
    "the key not transposed",
    "You multiplied (..., L, d) with (..., S, d): the inner dims do not match.",
    hint="`key.transpose(-2, -1)` has shape (..., d, S).",
)
def not_transposed(query, key, value, mask=None):
    scores = query @ key / math.sqrt(query.size(-1))
    return torch.softmax(scores, dim=-1) @ value, scores


@attention.known_mistake(
    "only the output returned",
    "You returned the output alone. The weights are wanted too: figures and tests need them.",
    hint="The last line should be `return output, weights`.",
)
def weights_not_returned(query, key, value, mask=None):
    return scaled_dot_product_attention(query, key, value, mask)[0]


@attention.known_mistake(
    "weights first, output second",
    "You returned the weights and then the output. The order is output, weights.",
    hint="Swap the two names behind `return`.",
)
def tuple_swapped(query, key, value, mask=None):
    output, weights = scaled_dot_product_attention(query, key, value, mask)
    return weights, output


@attention.known_mistake(
    "scores returned instead of weights",
    "Your output is right. What you returned with it are the scores before the softmax.",
    hint="The second thing to return is what the softmax gave.",
)
def scores_returned(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    return torch.softmax(scores, dim=-1) @ value, scores


@attention.known_mistake(
    "the built-in attention",
    "Your numbers are right, but they are PyTorch's: the function calls "
    "`F.scaled_dot_product_attention` or the like, which is forbidden here.",
    hint="Write the three steps yourself: scores, softmax, weighted mean.",
)
def built_in(query, key, value, mask=None):
    opposite = ~mask if mask is not None and mask.dtype == torch.bool else mask
    _, weights = scaled_dot_product_attention(query, key, value, mask)
    return nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=opposite
    ), weights


@attention.known_mistake(
    "the mask ignored",
    "Your function gives the same with a mask and without.",
    hint="Use `mask` between the scores and the softmax.",
)
def mask_ignored(query, key, value, mask=None):
    return scaled_dot_product_attention(query, key, value)


@attention.known_mistake(
    "the mask inverted (True kept)",
    "You blocked where the mask is False. Here True means blocked, as in `nn.MultiheadAttention`; "
    "`F.scaled_dot_product_attention` has it the other way round.",
    hint="`scores.masked_fill(mask, ...)` fills where the mask is True.",
)
def mask_inverted(query, key, value, mask=None):
    if mask is not None and mask.dtype == torch.bool:
        mask = ~mask
    return scaled_dot_product_attention(query, key, value, mask)


@attention.known_mistake(
    "a mask of booleans added as numbers",
    "You added the mask to the scores whatever it is made of. True then counts as 1, and raises "
    "the score of what should be blocked.",
    hint="Ask for `mask.dtype == torch.bool` first, and fill with minus infinity in that case.",
)
def booleans_added(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores + mask
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights


@attention.known_mistake(
    "a mask of floats treated as booleans",
    "You blocked wherever the mask of floats is not 0. Such a mask is added to the scores.",
    hint="Only a mask with `mask.dtype == torch.bool` fills; every other is added.",
)
def floats_as_booleans(query, key, value, mask=None):
    if mask is not None:
        mask = mask.bool()
    output, weights = scaled_dot_product_attention(query, key, value, mask)
    return output, weights


@attention.known_mistake(
    "a mask of floats ignored",
    "A mask of booleans works, one of floats changes nothing.",
    hint="What does your code do when `mask.dtype` is not `torch.bool`?",
)
def floats_ignored(query, key, value, mask=None):
    if mask is not None and mask.dtype != torch.bool:
        mask = None
    return scaled_dot_product_attention(query, key, value, mask)


@attention.known_mistake(
    "a mask of floats added before the scaling",
    "You added the mask of floats and then divided by sqrt(d), which shrinks the mask too.",
    hint="Divide first, then add.",
)
def added_before_scaling(query, key, value, mask=None):
    if mask is not None and mask.dtype != torch.bool:
        mask = mask / query.size(-1) ** 0.5
    return scaled_dot_product_attention(query, key, value, mask)


@attention.known_mistake(
    "blocked scores set to 0, or to a tiny number",
    "A score of 0 is not a small one: exp(0) = 1, so blocked keys keep a weight. The same goes for "
    "1e-9 and -1e-9.",
    hint="A blocked score must be `float('-inf')`, or at least as low as -1e9.",
)
def blocked_to_zero(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, 0) if blocked else scores + mask
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights


@attention.known_mistake(
    "the mask applied after the softmax",
    "You set blocked weights to 0 after the softmax. The weights that are left no longer sum to 1.",
    hint="Block the scores, before the softmax: it then shares out the whole weight of 1.",
)
def mask_after_softmax(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None and mask.dtype != torch.bool:
        scores = scores + mask
    weights = torch.softmax(scores, dim=-1)
    if mask is not None and mask.dtype == torch.bool:
        weights = weights.masked_fill(mask, 0)
    return weights @ value, weights


@attention.known_mistake(
    "a softmax that overflows",
    "You wrote the softmax with `exp` of the bare scores. exp(800) is infinite, and infinity over "
    "infinity is NaN.",
    hint="Use `torch.softmax`, or subtract the largest score of each row first.",
)
def overflow(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
    shares = torch.exp(scores)
    weights = shares / shares.sum(-1, keepdim=True)
    return weights @ value, weights


@attention.known_mistake(
    "no gradient through the weights",
    "Your numbers are right, but nothing flows back to query and key: the weights were detached.",
    hint="Remove `.detach()`, `.data` or `torch.no_grad()` from the way of the weights.",
)
def weights_detached(query, key, value, mask=None):
    _, weights = scaled_dot_product_attention(query, key, value, mask)
    return weights.detach() @ value, weights


@attention.known_mistake(
    "no gradient at all",
    "Your numbers are right, but autograd saw none of the steps.",
    hint="Remove `torch.no_grad()`, `.detach()`, `.data` or `.numpy()`.",
)
def nothing_recorded(query, key, value, mask=None):
    with torch.no_grad():
        return scaled_dot_product_attention(query, key, value, mask)


@attention.known_mistake(
    "the query scaled in place",
    "You wrote into the caller's query. Called again, it would be scaled twice; and autograd "
    "refuses to go through it.",
    hint="Write `query = query / ...` instead of `query /= ...`.",
)
def scaled_in_place(query, key, value, mask=None):
    query /= math.sqrt(query.size(-1))
    return scaled_dot_product_attention(query * math.sqrt(query.size(-1)), key, value, mask)


@attention.combination
def no_scaling_and_inverted(query, key, value, mask=None):
    if mask is not None and mask.dtype == torch.bool:
        mask = ~mask
    return scaled_dot_product_attention(query * query.size(-1) ** 0.5, key, value, mask)


@attention.combination
def over_queries_and_ignored(query, key, value, mask=None):
    weights = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(query.size(-1)), dim=-2)
    return weights @ value, weights


@attention.combination
def late_mask_and_overflow(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None and mask.dtype != torch.bool:
        scores = scores + mask
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    if mask is not None and mask.dtype == torch.bool:
        weights = weights * ~mask
    return weights @ value, weights


@attention.right_solution
def einsum(query, key, value, mask=None):
    scores = torch.einsum("...ld,...sd->...ls", query, key) * query.shape[-1] ** -0.5
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=query.dtype).masked_fill(mask, float("-inf"))
        scores += mask
    weights = nn.functional.softmax(scores, dim=-1)
    return torch.einsum("...ls,...sv->...lv", weights, value), weights


@attention.right_solution
def large_negative_number(query, key, value, mask=None):
    # Both factors scaled by the fourth root, as some libraries do against overflow.
    root = query.size(-1) ** 0.25
    scores = torch.matmul(query / root, (key / root).mT)
    if mask is not None and mask.dtype == torch.bool:
        scores = torch.where(mask, torch.tensor(-1e9, dtype=scores.dtype), scores)
    elif mask is not None:
        scores = torch.add(scores, mask)
    weights = nn.Softmax(dim=-1)(scores)
    return torch.matmul(weights, value), weights


@attention.right_solution
def renormalised(query, key, value, mask=None):
    scores = query @ key.transpose(-1, -2) / torch.sqrt(torch.tensor(query.shape[-1]))
    if mask is not None and mask.is_floating_point():
        scores = scores + mask
    shares = torch.exp(scores - scores.amax(-1, keepdim=True))
    if mask is not None and not mask.is_floating_point():
        shares = shares * ~mask
    weights = shares / shares.sum(-1, keepdim=True)
    return [weights @ value, weights]


@attention.right_solution
def log_softmax(query, key, value, mask=None):
    scores = (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(-1).div(query.size(-1) ** 0.5)
    if mask is not None:
        scores = (
            scores.masked_fill(mask, float("-inf")) if mask.dtype is torch.bool else scores + mask
        )
    weights = scores.log_softmax(-1).exp()
    return (weights.unsqueeze(-1) * value.unsqueeze(-3)).sum(-2), weights


# --------------------------------------------------------------------------- heads


multi_head = Task(
    "ex07_multi_head",
    "Multi-head self-attention",
    defines="MultiHeadSelfAttention",
    oracle=MultiHeadOracle,
    forbids=MULTI_HEAD_ATTENTION,
)

BY_HAND = (
    "Here every weight matrix holds one and the same number c, `fill`, and every bias is 0. With "
    "s_j the sum of token j, queries, keys and values are all c * s_j, the scores are "
    "c * c * sqrt(d_head) * s_i * s_j, and the output is c * c * d_model * (the mean of s_j under "
    "the weights)."
)


@multi_head.cases
def multi_head_cases(rng: np.random.Generator) -> Iterator[Case]:
    """A head has at least 4 features, which the probe needs to tell weights from biases."""
    nhead, width = ((2, 4), (2, 5), (3, 4), (3, 5))[rng.integers(4)]
    d_model = nhead * width
    seq = int(rng.integers(3, 6))

    def tokens(batch, seq):
        """Tokens with sums of both signs, of a size that leaves no weight near 0 or 1."""
        sums = rng.uniform(0.5, 1.5, (batch, seq, 1)) * rng.choice([-1, 1], (batch, seq, 1))
        noise = rng.normal(size=(batch, seq, d_model))
        return noise - noise.mean(-1, keepdims=True) + sums / d_model

    # Sums of about 1 and this number make scores of about 1.
    fill = float(rng.uniform(0.9, 1.1) / width**0.25)

    def inputs(batch=2, seq=seq, **more):
        return {"x": tokens(batch, seq), "nhead": nhead, **more}

    yield Case(
        "all weights the same number: the output that can be worked out by hand",
        points=1.5,
        inputs=inputs(fill=fill, look_at="definition"),
        tolerance=NUMBERS,
        judged=("output", "built-in attention called"),
        hint=f"{BY_HAND} Print the shapes: queries, keys and values should be (batch, nhead, seq, "
        "d_head) when attention sees them.",
    )
    yield Case(
        "a position that sees only itself comes out as if it were alone",
        points=0.5,
        inputs=inputs(look_at="alone"),
        tolerance=NUMBERS,
        judged=("difference",),
        by_values=False,
        hint="The mask was `~torch.eye(seq, dtype=torch.bool)`, and the weights were random. If "
        "positions still mix, look at the mask, and at the way into heads and back.",
    )
    yield Case(
        "a mask of booleans blocks where it is True, in every head",
        points=0.75,
        inputs=inputs(fill=fill, mask=draw_mask(rng, seq, seq)),
        tolerance=NUMBERS,
        hint="Pass the mask on to your attention. `(seq, seq)` broadcasts over batch and heads.",
    )
    yield Case(
        "a mask of floats is added to the scores of every head",
        points=0.5,
        inputs=inputs(fill=fill, mask=rng.normal(size=(seq, seq))),
        tolerance=NUMBERS,
        hint="Pass the mask on to your attention as it is. `(seq, seq)` broadcasts over batch and "
        "heads.",
    )
    yield Case(
        "nhead heads, each with weights of its own",
        points=0.75,
        inputs=inputs(1, 2 * nhead + 5, look_at="heads"),
        tolerance=NUMBERS,
        judged=("dims spanned",),
        by_values=False,
        hint="With random weights and two keys open, one head moves its output along one line, so "
        "nhead heads span nhead dims. Split the projections into nhead parts before the softmax.",
    )
    yield Case(
        "the weight matrices hold 4 * d_model * d_model numbers",
        points=0.25,
        inputs=inputs(look_at="weights"),
        tolerance=NUMBERS,
        judged=("numbers in weight matrices",),
        hint="Queries, keys, values and the output have a projection each, of d_model x d_model.",
    )
    yield Case(
        "a batch of one and another length, on a module that was called before",
        points=0.25,
        inputs=inputs(1, seq + 2, fill=fill, earlier=tokens(3, seq)),
        tolerance=NUMBERS,
        judged=("output", "x is unchanged"),
        hint="Take batch and seq from `x.shape` in `forward`, and keep nothing from call to call.",
    )
    yield Case(
        "a d_model that nhead does not divide is refused with a ValueError that names both",
        points=0.5,
        inputs={
            "x": rng.normal(size=(1, 2, nhead * width + 1)),
            "nhead": nhead,
            "look_at": "refusal",
        },
        tolerance=NUMBERS,
        judged=("error", "its message names both numbers"),
        hint="In `__init__`: `if d_model % nhead: raise ValueError(f'...')`, with both numbers in "
        "the message.",
    )
    yield Case(
        "gradients reach x and every parameter, and are right",
        points=0.5,
        inputs=inputs(look_at="gradients", fill=fill, upstream=rng.normal(size=(2, seq, d_model))),
        tolerance=NUMBERS,
        judged=("gradient reaches x", "parameters without a gradient", "dx"),
        hint="Is every layer that `__init__` creates used in `forward`? And is nothing detached, "
        "or in `torch.no_grad()`?",
    )
    yield Case(
        "with the weights of nn.MultiheadAttention, copied by name, it gives the same",
        points=0.5,
        inputs=inputs(look_at="names", mask=draw_mask(rng, seq, seq)),
        tolerance=NUMBERS,
        judged=("largest difference",),
        by_values=False,
        about_names=True,
        hint="Only here do names count. Head h takes the features from h * d_head to "
        "(h + 1) * d_head of each projection: `view(batch, seq, nhead, d_head)`.",
    )


@multi_head.known_mistake(
    "heads made by view alone",
    "You went from (batch, seq, d_model) to (batch, nhead, seq, d_head) with one `view` or "
    "`reshape`. The shape is right, but the numbers of one position now stand in several.",
    hint="Split the last dim first, into (batch, seq, nhead, d_head); then `transpose(1, 2)`.",
)
class ViewAlone(MultiHeadSelfAttention):
    def split(self, x):
        batch, seq, d_model = x.shape
        return x.reshape(batch, self.nhead, seq, d_model // self.nhead)


@multi_head.known_mistake(
    "heads put together without transposing back",
    "Your heads are right, but you reshaped (batch, nhead, seq, d_head) to (batch, seq, d_model) "
    "at once. The numbers of one position end up in several.",
    hint="`transpose(1, 2)` first, to (batch, seq, nhead, d_head); then flatten the last two dims.",
)
class NotTransposedBack(MultiHeadSelfAttention):
    def merge(self, heads):
        batch, nhead, seq, width = heads.shape
        return heads.reshape(batch, seq, nhead * width)


@multi_head.known_mistake(
    "view alone, both ways",
    "You reshaped (batch, seq, d_model) to (batch, nhead, seq, d_head) and back without ever "
    "transposing. Each head then sees all features of some positions, instead of some features of "
    "all positions.",
    hint="Split the last dim first, into (batch, seq, nhead, d_head); then `transpose(1, 2)`. And "
    "the same backwards.",
)
class ViewBothWays(MultiHeadSelfAttention):
    def split(self, x):
        batch, seq, d_model = x.shape
        return x.reshape(batch, self.nhead, seq, d_model // self.nhead)

    def merge(self, heads):
        batch, nhead, seq, width = heads.shape
        return heads.reshape(batch, seq, nhead * width)


@multi_head.known_mistake(
    "attention between the heads of one position",
    "Your heads stand at dim 2 when attention sees them, so each position compares its own heads "
    "with each other, and positions exchange nothing.",
    hint="`transpose(1, 2)` after the `view`: attention works on the last two dims, and these must "
    "be positions and features.",
)
class BetweenHeads(MultiHeadSelfAttention):
    def split(self, x):
        return x.unflatten(-1, (self.nhead, -1))

    def merge(self, heads):
        return heads.flatten(-2)


@multi_head.known_mistake(
    "attention between the samples of the batch",
    "Each position looks at the same position of other samples, not at its own sequence.",
    hint="Dim 0 is the batch, dim 1 the sequence. Which of them is dim -2 when attention sees it?",
)
class BetweenSamples(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


@multi_head.known_mistake(
    "a single head",
    "You did not split into heads: one attention sees all d_model features, and divides by "
    "sqrt(d_model).",
    hint="Split queries, keys and values into nhead parts of d_model / nhead features first.",
)
class SingleHead(MultiHeadSelfAttention):
    def __init__(self, d_model, nhead):
        super().__init__(d_model, nhead)
        self.nhead = 1


@multi_head.known_mistake(
    "no scaling",
    "Your scores are not divided by sqrt(d_head).",
    hint="Call your `scaled_dot_product_attention`: it does the scaling.",
)
class NoScaling(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        query = query * query.size(-1) ** 0.5
        heads, _ = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(self.merge(heads))


@multi_head.known_mistake(
    "scores divided by the square root of d_model",
    "You divided by sqrt(d_model). The dot products of one head are sums over d_head features.",
    hint="Take the width from the split query: `query.size(-1)`.",
)
class ScaledByModelWidth(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        query = query / self.nhead**0.5
        heads, _ = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(self.merge(heads))


@multi_head.known_mistake(
    "scores divided by d_head, not by its square root",
    "You divided the dot products by d_head.",
    hint="Call your `scaled_dot_product_attention`: it does the scaling.",
)
class DividedByHeadWidth(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        query = query / query.size(-1) ** 0.5
        heads, _ = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(self.merge(heads))


@multi_head.known_mistake(
    "scaled twice",
    "You divided by sqrt(d_head) yourself, and the attention you call does so again.",
    hint="Drop the division from this class.",
)
class ScaledTwice(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        width = query.size(-1)
        heads, _ = scaled_dot_product_attention(query / width, key, value, mask)
        return self.out_proj(self.merge(heads))


@multi_head.known_mistake(
    "softmax over the queries",
    "The weights of one key sum to 1 over all queries. It is the weights of one query that should, "
    "over all keys.",
    hint="The softmax runs over the last dim of the scores.",
)
class SoftmaxOverQueries(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
        if mask is not None:
            blocked = mask.dtype == torch.bool
            scores = scores.masked_fill(mask, -math.inf) if blocked else scores + mask
        return self.out_proj(self.merge(torch.softmax(scores, dim=-2) @ value))


@multi_head.known_mistake(
    "no output projection",
    "You returned the heads side by side. A last linear layer, d_model to d_model, should mix "
    "them.",
    hint="Create a fourth `nn.Linear(d_model, d_model)`, and pass the heads through it.",
)
class NoOutputProjection(MultiHeadSelfAttention):
    def __init__(self, d_model, nhead):
        super().__init__(d_model, nhead)
        self.out_proj = nn.Identity()


@multi_head.known_mistake(
    "an output projection that is not used",
    "You created four projections, and `forward` uses three: the heads come back without the last.",
    hint="Pass the merged heads through the output projection before you return them.",
)
class OutputProjectionUnused(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        heads, _ = scaled_dot_product_attention(query, key, value, mask)
        return self.merge(heads)


@multi_head.known_mistake(
    "no projections before attention",
    "You split x itself into heads. Queries, keys and values should each be a linear map of x.",
    hint="Create `nn.Linear(d_model, d_model)` for queries, keys and values, and use them on x.",
)
class NoInputProjections(nn.Module):
    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"d_model={d_model} cannot be split into nhead={nhead} heads")
        self.nhead = nhead
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        heads = x.unflatten(-1, (self.nhead, -1)).transpose(1, 2)
        heads, _ = scaled_dot_product_attention(heads, heads, heads, mask)
        return self.out_proj(heads.transpose(1, 2).flatten(2))


@multi_head.known_mistake(
    "one projection for queries, keys and values",
    "Your queries, keys and values are one and the same projection of x. Each needs its own, or a "
    "position can ask for nothing but what it is itself.",
    hint="Three layers, or one `nn.Linear(d_model, 3 * d_model)` whose output is cut into three.",
)
class OneProjection(nn.Module):
    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"d_model={d_model} cannot be split into nhead={nhead} heads")
        self.nhead = nhead
        self.proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        heads = self.proj(x).unflatten(-1, (self.nhead, -1)).transpose(1, 2)
        heads, _ = scaled_dot_product_attention(heads, heads, heads, mask)
        return self.out_proj(heads.transpose(1, 2).flatten(2))


@multi_head.known_mistake(
    "all heads share their weights",
    "You project to d_head features once and use the result for every head, so all heads are the "
    "same.",
    hint="Project to d_model features, and give each head its own d_head of them.",
)
class SharedHeads(nn.Module):
    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"d_model={d_model} cannot be split into nhead={nhead} heads")
        self.nhead = nhead
        self.q_proj = nn.Linear(d_model, d_model // nhead)
        self.k_proj = nn.Linear(d_model, d_model // nhead)
        self.v_proj = nn.Linear(d_model, d_model // nhead)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        head, _ = scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), mask)
        return self.out_proj(torch.cat([head] * self.nhead, dim=-1))


@multi_head.known_mistake(
    "every head as wide as the model",
    "Each of your heads has d_model features, so there are nhead times as many weights. Heads "
    "share d_model among them: d_model / nhead each.",
    hint="`d_head = d_model // nhead`.",
)
class WideHeads(nn.Module):
    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"d_model={d_model} cannot be split into nhead={nhead} heads")
        self.nhead = nhead
        self.q_proj = nn.Linear(d_model, nhead * d_model)
        self.k_proj = nn.Linear(d_model, nhead * d_model)
        self.v_proj = nn.Linear(d_model, nhead * d_model)
        self.out_proj = nn.Linear(nhead * d_model, d_model)

    def forward(self, x, mask=None):
        query, key, value = (
            projection(x).unflatten(-1, (self.nhead, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        heads, _ = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(heads.transpose(1, 2).flatten(2))


@multi_head.known_mistake(
    "all heads use the mean of their weights",
    "You averaged the attention weights over the heads and used the mean for all of them. Then "
    "there is in effect one head.",
    hint="Each head's weights go to its own values. Averaging is for pictures.",
)
class AveragedHeads(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        _, weights = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(self.merge(weights.mean(1, keepdim=True) @ value))


@multi_head.known_mistake(
    "the mask ignored",
    "Your module gives the same with a mask and without.",
    hint="Hand `mask` on to the attention.",
)
class MaskIgnored(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        return super().forward(x)


@multi_head.known_mistake(
    "the mask inverted (True kept)",
    "You blocked where the mask is False. If you call `F.scaled_dot_product_attention`: there True "
    "means that a key may be seen.",
    hint="Turn a mask of booleans round with `~mask` before you hand it to a function that means "
    "the opposite.",
)
class MaskInverted(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        heads = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out_proj(self.merge(heads))


@multi_head.known_mistake(
    "a mask of floats treated as booleans",
    "You blocked wherever the mask of floats is not 0. Such a mask is added to the scores.",
    hint="Hand the mask on as it is: your attention looks at its dtype.",
)
class FloatsAsBooleans(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        if mask is not None:
            mask = mask.bool()
        return super().forward(x, mask)


@multi_head.known_mistake(
    "a d_model that nhead does not divide is accepted",
    "Built with a `d_model` that `nhead` does not divide, your module does not complain. It fails "
    "later, with a message about shapes, or silently drops features.",
    hint="Begin `__init__` with `if d_model % nhead: raise ValueError(...)`.",
)
class NotChecked(MultiHeadSelfAttention):
    def __init__(self, d_model, nhead):
        nn.Module.__init__(self)
        self.nhead = nhead
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)


@multi_head.known_mistake(
    "an assert instead of a ValueError",
    "You refuse it with an `assert`. Python skips asserts when it runs with -O, and callers expect "
    "a ValueError for a wrong value.",
    hint="`raise ValueError(f'...')`, with d_model and nhead in the message.",
)
class Asserted(MultiHeadSelfAttention):
    def __init__(self, d_model, nhead):
        assert d_model % nhead == 0, f"d_model={d_model} cannot be split into nhead={nhead} heads"
        super().__init__(d_model, nhead)


@multi_head.known_mistake(
    "a ValueError that does not say which values",
    "You raise a ValueError, but its message does not hold both numbers. Whoever meets it, perhaps "
    "in a large program, cannot see what was wrong.",
    hint="`raise ValueError(f'd_model={d_model} ... nhead={nhead} ...')`.",
)
class BareValueError(MultiHeadSelfAttention):
    def __init__(self, d_model, nhead):
        if d_model % nhead:
            raise ValueError("d_model must be divisible by nhead")
        super().__init__(d_model, nhead)


@multi_head.known_mistake(
    "nn.MultiheadAttention inside",
    "Your numbers are right, but they are PyTorch's: `nn.MultiheadAttention` may not be used in "
    "this task.",
    hint="Four linear layers, a split into heads, your attention, and the way back.",
)
class BuiltIn(nn.Module):
    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"d_model={d_model} cannot be split into nhead={nhead} heads")
        self.attention = nn.MultiheadAttention(d_model, nhead, batch_first=True)

    def forward(self, x, mask=None):
        return self.attention(x, x, x, attn_mask=mask, need_weights=False)[0]


@multi_head.known_mistake(
    "a tuple returned",
    "`forward` returned a pair, the weights with the output. Here the output alone is wanted.",
    hint="`scaled_dot_product_attention` returns a pair: keep the first of it.",
)
class TupleReturned(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        heads, weights = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(self.merge(heads)), weights


@multi_head.known_mistake(
    "heads in a Python list",
    "You keep the layers of the heads in a plain list. PyTorch does not find them there, so they "
    "are neither learned nor saved nor moved.",
    hint="`nn.ModuleList([...])` is a list that PyTorch looks into.",
)
class PlainList(nn.Module):
    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"d_model={d_model} cannot be split into nhead={nhead} heads")
        self.heads = [nn.Linear(d_model, 3 * d_model // nhead) for _ in range(nhead)]
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        parts = [head(x).chunk(3, dim=-1) for head in self.heads]
        heads = [scaled_dot_product_attention(*part, mask)[0] for part in parts]
        return self.out_proj(torch.cat(heads, dim=-1))


@multi_head.known_mistake(
    "the length of the first sequence kept",
    "Your module remembers the length of the first sequence it saw, and cannot take another.",
    hint="Take batch and seq from `x.shape`, each time `forward` is called.",
)
class LengthKept(MultiHeadSelfAttention):
    seq = None

    def merge(self, heads):
        if self.seq is None:
            self.seq = heads.shape[2]
        return heads.transpose(1, 2).reshape(heads.shape[0], self.seq, -1)


@multi_head.known_mistake(
    "other names than those proposed, or heads in another order",
    "All your numbers are right. Only, weights of `nn.MultiheadAttention` cannot be copied into "
    "your module by name and give the same: your names, or your order of features, are others.",
    hint="Four linear layers named q_proj, k_proj, v_proj and out_proj. Head h takes the features "
    "from h * d_head to (h + 1) * d_head of each projection.",
)
class OtherNames(nn.Module):
    """Also a test of the probe: one projection that goes head by head, and x @ W."""

    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"d_model={d_model} cannot be split into nhead={nhead} heads")
        self.nhead = nhead
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.mix = nn.Parameter(torch.randn(d_model, d_model))

    def forward(self, x, mask=None):
        parts = self.qkv(x).unflatten(-1, (self.nhead, -1)).transpose(1, 2)
        heads, _ = scaled_dot_product_attention(*parts.chunk(3, dim=-1), mask)
        return heads.transpose(1, 2).flatten(2) @ self.mix


@multi_head.combination
class NoScalingUnchecked(MultiHeadSelfAttention):
    def __init__(self, d_model, nhead):
        nn.Module.__init__(self)
        self.nhead = nhead
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        query, key, value = (self.split(p(x)) for p in (self.q_proj, self.k_proj, self.v_proj))
        query = query * query.size(-1) ** 0.5
        heads, _ = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(self.merge(heads))


@multi_head.combination
class SingleHeadMaskIgnored(MultiHeadSelfAttention):
    def __init__(self, d_model, nhead):
        super().__init__(d_model, nhead)
        self.nhead = 1

    def forward(self, x, mask=None):
        return super().forward(x)


@multi_head.combination
class NotTransposedBackNoOutputProjection(MultiHeadSelfAttention):
    def __init__(self, d_model, nhead):
        super().__init__(d_model, nhead)
        self.out_proj = nn.Identity()

    def merge(self, heads):
        batch, nhead, seq, width = heads.shape
        return heads.reshape(batch, seq, nhead * width)


@multi_head.right_solution
class PyTorchNames(nn.Module):
    """One projection for all three, and PyTorch's names."""

    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead != 0:
            raise ValueError(f"{d_model} is not a multiple of {nhead}")
        self.nhead = nhead
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d_model, d_model))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d_model))
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        qkv = nn.functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = qkv.unflatten(-1, (3, self.nhead, -1)).permute(2, 0, 3, 1, 4)
        if mask is not None and mask.dtype == torch.bool:
            mask = ~mask
        heads = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out_proj(heads.transpose(1, 2).flatten(2))


@multi_head.right_solution
class Einsum(nn.Module):
    """No biases, heads found by einsum, and scores scaled in the query."""

    def __init__(self, d_model, nhead):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"nhead={nhead} does not divide d_model={d_model}")
        self.nhead, self.width = nhead, d_model // nhead
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, mask=None):
        query, key, value = (
            projection(x).reshape(*x.shape[:2], self.nhead, self.width)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = torch.einsum("bihe,bjhe->bhij", query / self.width**0.5, key)
        if mask is not None:
            scores = scores.masked_fill(mask, -1e9) if mask.dtype == torch.bool else scores + mask
        mixed = torch.einsum("bhij,bjhe->bihe", scores.softmax(-1), value)
        return self.out_proj(mixed.flatten(-2))


@multi_head.right_solution
class HeadByHead(MultiHeadSelfAttention):
    """A loop over slices, with the layers of the reference."""

    def forward(self, x, mask=None):
        width = x.shape[-1] // self.nhead
        parts = zip(
            self.q_proj(x).split(width, dim=-1),
            self.k_proj(x).split(width, dim=-1),
            self.v_proj(x).split(width, dim=-1),
            strict=True,
        )
        heads = [scaled_dot_product_attention(*part, mask)[0] for part in parts]
        return self.out_proj(torch.cat(heads, dim=-1))


@multi_head.right_solution
class FoldedIntoTheBatch(MultiHeadSelfAttention):
    """Heads as more samples, as in `nn.MultiheadAttention`; sequence first inside."""

    def forward(self, x, mask=None):
        batch, seq, d_model = x.shape
        query, key, value = (
            projection(x.transpose(0, 1))
            .contiguous()
            .view(seq, batch * self.nhead, d_model // self.nhead)
            .transpose(0, 1)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        heads, _ = scaled_dot_product_attention(query, key, value, mask)
        mixed = heads.transpose(0, 1).contiguous().view(seq, batch, d_model)
        return self.out_proj(mixed).transpose(0, 1)


# --------------------------------------------------------------------------- the block


encoder_block = Task(
    "ex07_encoder_block",
    "The encoder block",
    defines="TransformerEncoderBlock",
    oracle=EncoderBlockOracle,
    forbids=ENCODER_LAYERS,
)

# As above, but for the eps of the norms, which is nobody's business here: with 1e-5 or none at
# all, outputs of order 1 differ by up to 1e-5. Wrong answers are off by more than 1e-2.
NORMALISED = Tolerance(rtol=1e-4, atol=1e-4)


@encoder_block.cases
def encoder_block_cases(rng: np.random.Generator) -> Iterator[Case]:
    """A head has at least 4 features, and no other weight has dim_feedforward as a length."""
    nhead, width = ((2, 4), (2, 5), (3, 4))[rng.integers(3)]
    d_model = nhead * width
    seq = int(rng.integers(3, 6))
    hidden = int(rng.choice([7, 11, 13]))

    def tokens(batch, seq):
        """Rows with sums of both signs of about 1, as for the heads, and a spread of about 2."""
        sums = rng.uniform(0.5, 1.5, (batch, seq, 1)) * rng.choice([-1, 1], (batch, seq, 1))
        noise = rng.uniform(1.5, 2.5, (batch, seq, 1)) * rng.normal(size=(batch, seq, d_model))
        return noise - noise.mean(-1, keepdims=True) + sums / d_model

    def inputs(batch=2, seq=seq, **more):
        return {
            "x": tokens(batch, seq),
            "nhead": nhead,
            "dim_feedforward": hidden,
            **more,
        }

    def at_work():
        """Attention whose scores are of about 1, and whose output is of about the size of x."""
        direction = rng.normal(size=d_model)
        direction *= np.sqrt(d_model) / np.linalg.norm(direction - direction.mean())
        return {
            "attention_fill": float(rng.uniform(0.9, 1.1) / width**0.25),
            "direction": 2 * (direction - direction.mean()) / d_model,
        }

    def first_weight(x):
        """A weight that brings no entry near 0, and the scale that takes all of them beyond 20.

        There ReLU and GELU are the same.
        """
        rows = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
        rows = rows.reshape(-1, d_model)
        found = []
        while len(found) < hidden:
            row = rng.normal(size=d_model)
            if np.abs(rows @ row).min() > 0.15 * np.sqrt(d_model):
                found.append(row)
        weight = np.array(found) / np.sqrt(hidden)
        return {"feed_forward": weight, "scale": float(20 / np.abs(rows @ weight.T).min())}

    yield Case(
        "a block of your own: every position takes in its whole sequence, and no other sample",
        points=1.0,
        inputs=inputs(3, look_at="mixing"),
        tolerance=NORMALISED,
        judged=(
            "shape",
            "a position depends on the others",
            "a sample depends on the others",
            "built-in encoder layer used",
        ),
        hint="Everything here is (batch, seq, d_model). Does your attention know that the batch "
        "comes first, and is what it returns used?",
    )
    yield Case(
        "with both sub-layers silent, each row is normalised, and normalised again",
        points=1.0,
        inputs=inputs(),
        tolerance=NORMALISED,
        hint="All weights and biases of attention and feed-forward network are 0 here. What is "
        "left is norm2(norm1(src)). Where is src lost, or where is a norm missing?",
    )
    yield Case(
        "attention alone: its output is added to src, and the sum is normalised",
        points=1.25,
        inputs=inputs(**at_work()),
        tolerance=NORMALISED,
        hint="The feed-forward network is silent here, so the output is norm2(norm1(src + "
        "attention(src))). Projections hold one number everywhere, as in task 2, but for the "
        "output projection.",
    )
    x = tokens(2, seq)
    yield Case(
        "the feed-forward network alone: added to the first norm's output, and normalised",
        points=1.25,
        inputs=inputs(**first_weight(x)) | {"x": x},
        tolerance=NORMALISED,
        hint="The attention is silent here. With y = norm1(src) the output is norm2(y + "
        "linear2(relu(linear1(y)))).",
    )
    yield Case(
        "src_mask of booleans blocks where it is True",
        points=0.75,
        inputs=inputs(mask=draw_mask(rng, seq, seq), **at_work()),
        tolerance=NORMALISED,
        hint="Hand src_mask on to your attention; in `nn.MultiheadAttention` it is `attn_mask`.",
    )
    yield Case(
        "src_mask of floats is added to the scores",
        points=0.5,
        inputs=inputs(mask=rng.normal(size=(seq, seq)), **at_work()),
        tolerance=NORMALISED,
        hint="Hand src_mask on to your attention as it is.",
    )
    yield Case(
        "two norms, each with parameters of its own",
        points=0.5,
        inputs=inputs(look_at="norms", scales=rng.uniform(0.5, 2, (2, d_model))),
        tolerance=NORMALISED,
        judged=("norm scales", "output"),
        hint="Two norms at two places learn two things: create two `nn.LayerNorm(d_model)`.",
    )
    yield Case(
        "evaluation: no dropout, the same output twice",
        points=0.5,
        inputs=inputs(look_at="evaluation"),
        tolerance=NORMALISED,
        judged=("same output twice",),
        hint="`nn.Dropout` looks at the mode by itself; `nn.functional.dropout` has to be told, "
        "with `training=self.training`.",
    )
    yield Case(
        "training: random with dropout=0.5, and not with dropout=0",
        points=0.5,
        inputs=inputs(look_at="training"),
        tolerance=NORMALISED,
        judged=("random with dropout=0.5", "random with dropout=0"),
        hint="Does your dropout use the argument `dropout`?",
    )
    yield Case(
        "dropout stands at the output of each sub-layer, before it is added",
        points=0.25,
        inputs=inputs(look_at="dropped"),
        tolerance=NORMALISED,
        hint="With a dropout of nearly 1 both sub-layers are dropped, whatever their weights and "
        "biases, and norm2(norm1(src)) is left: src + dropout(attention), then the same again.",
    )
    yield Case(
        "another length and batch on a module that was called before; src is left as it was",
        points=0.25,
        inputs=inputs(1, seq + 2, earlier=tokens(3, seq), **at_work()),
        tolerance=NORMALISED,
        judged=("output", "src is unchanged"),
        hint="`src += ...` writes into the caller's tensor; `src = src + ...` makes a new one.",
    )
    yield Case(
        "gradients reach src and every parameter, and are right",
        points=0.5,
        inputs=inputs(
            look_at="gradients", upstream=rng.normal(size=(2, seq, d_model)), **at_work()
        ),
        tolerance=NORMALISED,
        judged=("gradient reaches src", "parameters without a gradient", "dsrc"),
        hint="Is every layer that `__init__` creates used in `forward`? And is nothing detached, "
        "or in `torch.no_grad()`?",
    )
    yield Case(
        "built with d_model and nhead alone: dim_feedforward is 2048, and there is dropout",
        points=0.25,
        inputs=inputs(look_at="defaults"),
        tolerance=NORMALISED,
        judged=("hidden width", "random in training"),
        hint="Compare your line `def __init__` with the one in the notebook.",
    )
    yield Case(
        "a d_model that nhead does not divide is refused, with a message",
        points=0.25,
        inputs={
            "x": rng.normal(size=(1, 2, d_model + 1)),
            "nhead": nhead,
            "dim_feedforward": hidden,
            "look_at": "refusal",
        },
        tolerance=NORMALISED,
        judged=("refused with a message",),
        hint="Your `MultiHeadSelfAttention` and `nn.MultiheadAttention` both refuse it, if they "
        "get d_model and nhead as they are.",
    )
    yield Case(
        "with the weights of nn.TransformerEncoderLayer, copied by name, it gives the same",
        points=0.25,
        inputs=inputs(look_at="names", mask=draw_mask(rng, seq, seq)),
        tolerance=NORMALISED,
        judged=("largest difference",),
        by_values=False,
        about_names=True,
        hint="Only here do names count: self_attn, linear1, linear2, norm1 and norm2.",
    )


# Where the norms and residual connections stand


@encoder_block.known_mistake(
    "Pre-LN: the norms inside the branches",
    "You normalised the input of each sub-layer and left the sum as it is. That is the Pre-LN "
    "block, which exercise 9 is about. Post-LN normalises the sum.",
    hint="src = norm1(src + attention(src)), and the same again with the second norm.",
)
class PreNorm(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src = src + self.dropout(self.self_attn(self.norm1(src), src_mask))
        return src + self.dropout(self.feed_forward(self.norm2(src)))


@encoder_block.known_mistake(
    "the residual added after the norm",
    "You normalised what the sub-layer gives, and added src afterwards. Post-LN adds first, and "
    "normalises the sum.",
    hint="Move the `+` inside the brackets of the norm.",
)
class ResidualAfterNorm(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src = src + self.norm1(self.dropout(self.self_attn(src, src_mask)))
        return src + self.norm2(self.dropout(self.feed_forward(src)))


@encoder_block.known_mistake(
    "no residual connections",
    "Your sub-layers replace src instead of adding to it.",
    hint="norm1(src + ...), and the same for the feed-forward network.",
)
class NoResiduals(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src = self.norm1(self.dropout(self.self_attn(src, src_mask)))
        return self.norm2(self.dropout(self.feed_forward(src)))


@encoder_block.known_mistake(
    "no residual connection around the attention",
    "Your first norm sees the attention's output alone. src should be added to it first.",
    hint="norm1(src + dropout(attention)).",
)
class NoFirstResidual(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src = self.norm1(self.dropout(self.self_attn(src, src_mask)))
        return self.norm2(src + self.dropout(self.feed_forward(src)))


@encoder_block.known_mistake(
    "no residual connection around the feed-forward network",
    "Your second norm sees the feed-forward network's output alone. Its input should be added "
    "first.",
    hint="With y the output of the first norm: norm2(y + dropout(feed_forward(y))).",
)
class NoSecondResidual(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src = self.norm1(src + self.dropout(self.self_attn(src, src_mask)))
        return self.norm2(self.dropout(self.feed_forward(src)))


@encoder_block.known_mistake(
    "the second residual taken from src",
    "To the feed-forward network's output you added the block's input again. It is the output of "
    "the first norm that should be added.",
    hint="Give the result of the first norm a name, and use it twice.",
)
class SecondResidualFromSrc(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        first = self.norm1(src + self.dropout(self.self_attn(src, src_mask)))
        return self.norm2(src + self.dropout(self.feed_forward(first)))


@encoder_block.known_mistake(
    "the feed-forward network applied to src",
    "Your feed-forward network gets the block's input. It should get the output of the first norm.",
    hint="The two sub-layers stand one behind the other, not side by side.",
)
class SideBySide(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        first = self.norm1(src + self.dropout(self.self_attn(src, src_mask)))
        return self.norm2(first + self.dropout(self.feed_forward(src)))


@encoder_block.known_mistake(
    "the first norm missing",
    "After the attention you add and do not normalise.",
    hint="Each of the two sums goes through a norm.",
)
class NoFirstNorm(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.norm1 = nn.Identity()


@encoder_block.known_mistake(
    "the second norm missing",
    "After the feed-forward network you add and do not normalise.",
    hint="Each of the two sums goes through a norm.",
)
class NoSecondNorm(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.norm2 = nn.Identity()


@encoder_block.known_mistake(
    "no norm at all",
    "Your block adds and never normalises.",
    hint="Create two `nn.LayerNorm(d_model)`, and put each of the two sums through one.",
)
class NoNorms(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.norm1 = self.norm2 = nn.Identity()


@encoder_block.known_mistake(
    "one norm used twice",
    "One and the same norm stands at both places, so its scale and shift are shared.",
    hint="Create two `nn.LayerNorm(d_model)`, and use each once.",
)
class SharedNorm(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.norm2 = self.norm1


@encoder_block.known_mistake(
    "two norms created, one used twice",
    "You created two norms, and `forward` calls the same one at both places.",
    hint="Look at the last line of `forward`: which norm does it call?",
)
class SecondNormUnused(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src = self.norm1(src + self.dropout(self.self_attn(src, src_mask)))
        return self.norm1(src + self.dropout(self.feed_forward(src)))


# The feed-forward network


@encoder_block.known_mistake(
    "no non-linearity in the feed-forward network",
    "Two linear maps in a row are one linear map. Between them belongs a ReLU or GELU.",
    hint="`linear2(torch.relu(linear1(x)))`.",
)
class NoNonLinearity(TransformerEncoderBlock):
    def feed_forward(self, x):
        return self.linear2(self.dropout(self.linear1(x)))


@encoder_block.known_mistake(
    "the non-linearity behind the second linear map",
    "Your ReLU or GELU stands at the end of the feed-forward network, where it cuts off half of "
    "what is added. It belongs between the two linear maps.",
    hint="`linear2(torch.relu(linear1(x)))`.",
)
class NonLinearityAtTheEnd(TransformerEncoderBlock):
    def feed_forward(self, x):
        return torch.relu(self.linear2(self.dropout(self.linear1(x))))


@encoder_block.known_mistake(
    "a non-linearity at both places",
    "There is a ReLU or GELU between the two linear maps, which is right, and another at the end, "
    "which lets nothing negative be added.",
    hint="`linear2(torch.relu(linear1(x)))`, and nothing behind it.",
)
class NonLinearityTwice(TransformerEncoderBlock):
    def feed_forward(self, x):
        return torch.relu(self.linear2(self.dropout(torch.relu(self.linear1(x)))))


@encoder_block.known_mistake(
    "tanh as the non-linearity",
    "Your feed-forward network uses tanh, which keeps every hidden number between -1 and 1. The "
    "Transformer's grow without limit.",
    hint="Use `torch.relu` or `nn.functional.gelu`.",
)
class Tanh(TransformerEncoderBlock):
    def feed_forward(self, x):
        return self.linear2(self.dropout(torch.tanh(self.linear1(x))))


@encoder_block.known_mistake(
    "dim_feedforward ignored",
    "The hidden layer of your feed-forward network has the same width whatever `dim_feedforward` "
    "is.",
    hint="`nn.Linear(d_model, dim_feedforward)`, and back.",
)
class WidthIgnored(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, 2048, dropout)


@encoder_block.known_mistake(
    "another default for dim_feedforward",
    "Built with d_model and nhead alone, your hidden layer is not 2048 wide.",
    hint="Look at the line `def __init__`.",
)
class OtherDefault(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=512, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)


# Dropout


@encoder_block.known_mistake(
    "dropout alive in evaluation",
    "Your block drops features in evaluation mode as well.",
    hint="`nn.functional.dropout(x, p)` drops always, unless it is told `training=self.training`. "
    "`nn.Dropout` knows the mode by itself.",
)
class AliveInEvaluation(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.p = dropout

    def forward(self, src, src_mask=None):
        attended = nn.functional.dropout(self.self_attn(src, src_mask), self.p)
        src = self.norm1(src + attended)
        return self.norm2(src + nn.functional.dropout(self.feed_forward(src), self.p))


@encoder_block.known_mistake(
    "no dropout",
    "Your block is the same in training and in evaluation: the argument `dropout` does nothing.",
    hint="Create `nn.Dropout(dropout)`, and use it on each sub-layer's output before you add it.",
)
class NoDropout(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, 0.0)


@encoder_block.known_mistake(
    "a dropout of 0.1, whatever was asked for",
    "Your block drops one feature in ten even with dropout=0.",
    hint="`nn.Dropout(dropout)`: the argument, not a number.",
)
class DropoutFixed(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, 0.1)


@encoder_block.known_mistake(
    "dropout over the sum, or behind the norm, instead of on the sub-layer's output",
    "Your dropout comes after the sum, so src itself loses features. Only what is added to it "
    "should.",
    hint="src + dropout(sub-layer), not dropout(src + sub-layer), nor dropout(norm(...)).",
)
class DropoutOverTheSum(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src = self.norm1(self.dropout(src + self.self_attn(src, src_mask)))
        return self.norm2(self.dropout(src + self.feed_forward(src)))


@encoder_block.known_mistake(
    "dropout inside the feed-forward network only",
    "You drop hidden features of the feed-forward network, but nothing of what the two sub-layers "
    "add.",
    hint="src + dropout(attention), and y + dropout(feed_forward).",
)
class DropoutOnlyHidden(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src = self.norm1(src + self.self_attn(src, src_mask))
        return self.norm2(src + self.feed_forward(src))


@encoder_block.known_mistake(
    "no dropout on the attention's output",
    "What the feed-forward network adds is dropped, what the attention adds is not. A `dropout` "
    "given to `nn.MultiheadAttention` drops attention weights, which is another thing.",
    hint="src + dropout(attention).",
)
class DropoutOnlySecond(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src = self.norm1(src + self.self_attn(src, src_mask))
        return self.norm2(src + self.dropout(self.feed_forward(src)))


# The attention


@encoder_block.known_mistake(
    "attention over the batch (batch_first forgotten)",
    "Positions look at the same position of other samples. `nn.MultiheadAttention` takes the "
    "sequence first, unless it is built with `batch_first=True`.",
    hint="`nn.MultiheadAttention(d_model, nhead, batch_first=True)`.",
)
class OverTheBatch(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.self_attn = nn.MultiheadAttention(d_model, nhead)

    def forward(self, src, src_mask=None):
        attended, _ = self.self_attn(src, src, src, attn_mask=src_mask)
        src = self.norm1(src + self.dropout(attended))
        return self.norm2(src + self.dropout(self.feed_forward(src)))


@encoder_block.known_mistake(
    "the pair of nn.MultiheadAttention used as a tensor",
    "`nn.MultiheadAttention` returns a pair, the output and the weights.",
    hint="`attended, _ = self.self_attn(src, src, src, ...)`.",
)
class PairUsed(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.self_attn = nn.MultiheadAttention(d_model, nhead, batch_first=True)

    def forward(self, src, src_mask=None):
        src = self.norm1(src + self.self_attn(src, src, src, attn_mask=src_mask))
        return self.norm2(src + self.dropout(self.feed_forward(src)))


@encoder_block.known_mistake(
    "src_mask not passed on",
    "Your block gives the same with a mask and without.",
    hint="`self.self_attn(src, src_mask)`; for `nn.MultiheadAttention`, `attn_mask=src_mask`.",
)
class BlockMaskIgnored(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        return super().forward(src)


@encoder_block.known_mistake(
    "the mask inverted (True kept)",
    "You blocked where src_mask is False. Here and in `nn.MultiheadAttention` True means blocked, "
    "in `F.scaled_dot_product_attention` it means that a key may be seen.",
    hint="Hand the mask on as it is, or turn it round where the other function wants it so.",
)
class BlockMaskInverted(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        if src_mask is not None and src_mask.dtype == torch.bool:
            src_mask = ~src_mask
        return super().forward(src, src_mask)


@encoder_block.known_mistake(
    "a mask of floats treated as booleans",
    "You blocked wherever the mask of floats is not 0. Such a mask is added to the scores.",
    hint="Hand the mask on as it is.",
)
class BlockFloatsAsBooleans(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        if src_mask is not None:
            src_mask = src_mask.bool()
        return super().forward(src, src_mask)


@encoder_block.known_mistake(
    "nhead ignored",
    "Your attention has a number of heads of its own, whatever `nhead` is.",
    hint="Hand `nhead` on to the attention.",
)
class HeadsIgnored(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, 1, dim_feedforward, dropout)


@encoder_block.known_mistake(
    "a d_model that nhead does not divide is accepted",
    "Built with a `d_model` that `nhead` does not divide, your block does not complain.",
    hint="Hand d_model and nhead on as they are, without rounding; your `MultiHeadSelfAttention` "
    "then refuses them.",
)
class BlockNotChecked(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead if d_model % nhead == 0 else 1, dim_feedforward, dropout)


@encoder_block.known_mistake(
    "nn.TransformerEncoderLayer inside",
    "Your numbers are right, but they are those of `nn.TransformerEncoderLayer`, which is what you "
    "are building here.",
    hint="`nn.MultiheadAttention`, `nn.Linear`, `nn.LayerNorm` and `nn.Dropout` may be used.",
)
class BlockBuiltIn(nn.Module):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            d_model, nhead, dim_feedforward, dropout, batch_first=True
        )

    def forward(self, src, src_mask=None):
        return self.layer(src, src_mask)


@encoder_block.known_mistake(
    "src changed in place",
    "You wrote into the caller's tensor, with `src += ...` or the like.",
    hint="`src = src + ...` makes a new tensor.",
)
class InPlace(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        src += self.dropout(self.self_attn(src, src_mask))
        src = self.norm1(src)
        return self.norm2(src + self.dropout(self.feed_forward(src)))


@encoder_block.known_mistake(
    "other names than PyTorch's, or heads in another order",
    "All your numbers are right. Only, weights of `nn.TransformerEncoderLayer` cannot be copied "
    "into your block by name and give the same: your names, or your order of features, are others.",
    hint="Name your layers self_attn, linear1, linear2, norm1 and norm2.",
)
class BlockOtherNames(nn.Module):
    """Also a test of the probe: a weight per head by einsum, x @ W, and norms by hand."""

    class Norm(nn.Module):
        def __init__(self, d_model):
            super().__init__()
            self.gamma = nn.Parameter(torch.ones(1, 1, d_model))
            self.beta = nn.Parameter(torch.zeros(1, 1, d_model))

        def forward(self, x):
            var, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
            return (x - mean) * torch.rsqrt(var + 1e-6) * self.gamma + self.beta

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__()
        if d_model % nhead:
            raise ValueError(f"nhead={nhead} does not divide d_model={d_model}")
        width = d_model // nhead
        self.norms = nn.ModuleList([self.Norm(d_model) for _ in range(2)])
        self.mix = nn.Parameter(torch.randn(nhead, width, d_model))
        self.qkv = nn.Parameter(torch.randn(3, nhead, d_model, width))
        self.up = nn.Parameter(torch.randn(d_model, dim_feedforward))
        self.down = nn.Parameter(torch.randn(dim_feedforward, d_model))
        self.p = dropout

    def drop(self, x):
        return nn.functional.dropout(x, self.p, self.training)

    def forward(self, src, src_mask=None):
        query, key, value = torch.einsum("bsd,phde->pbhse", src, self.qkv)
        heads, _ = scaled_dot_product_attention(query, key, value, src_mask)
        attended = torch.einsum("bhse,hed->bsd", heads, self.mix)
        src = self.norms[0](src + self.drop(attended))
        hidden = nn.functional.gelu(src @ self.up)
        return self.norms[1](src + self.drop(hidden @ self.down))


@encoder_block.combination
class PreNormAlive(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.p = dropout

    def forward(self, src, src_mask=None):
        src = src + nn.functional.dropout(self.self_attn(self.norm1(src), src_mask), self.p)
        return src + nn.functional.dropout(self.feed_forward(self.norm2(src)), self.p)


@encoder_block.combination
class SharedNormNoNonLinearity(TransformerEncoderBlock):
    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.norm2 = self.norm1

    def feed_forward(self, x):
        return self.linear2(self.dropout(self.linear1(x)))


@encoder_block.combination
class TanhMaskIgnored(TransformerEncoderBlock):
    def forward(self, src, src_mask=None):
        return super().forward(src)

    def feed_forward(self, x):
        return self.linear2(self.dropout(torch.tanh(self.linear1(x))))


@encoder_block.right_solution
class PyTorchAttention(nn.Module):
    """`nn.MultiheadAttention`, and dropout inside the attention as well, as PyTorch has it."""

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, src, src_mask=None):
        attended, _ = self.self_attn(src, src, src, attn_mask=src_mask, need_weights=False)
        src = self.norm1(src + self.dropout1(attended))
        hidden = self.dropout(nn.functional.gelu(self.linear1(src)))
        return self.norm2(src + self.dropout2(self.linear2(hidden)))


@encoder_block.right_solution
class OwnNorms(TransformerEncoderBlock):
    """Norms by hand, with no shift and another eps; functional dropout; GELU as in GPT-2."""

    class Norm(nn.Module):
        def __init__(self, d_model):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(d_model))

        def forward(self, x):
            var, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
            return (x - mean) * torch.rsqrt(var + 1e-6) * self.weight

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.p = dropout
        self.norm1 = nn.LayerNorm(d_model, eps=1e-6, bias=False)
        self.norm2 = self.Norm(d_model)

    def drop(self, x):
        return nn.functional.dropout(x, self.p, training=self.training)

    def forward(self, src, src_mask=None):
        src = self.norm1(self.drop(self.self_attn(src, mask=src_mask)).add(src))
        hidden = nn.functional.gelu(self.linear1(src), approximate="tanh")
        return self.norm2(self.drop(self.linear2(hidden)).add(src))


@encoder_block.right_solution
class Interleaved(TransformerEncoderBlock):
    """One projection whose rows go head by head, and PyTorch's function for the attention."""

    class Attention(nn.Module):
        def __init__(self, d_model, nhead):
            super().__init__()
            if d_model % nhead:
                raise ValueError(f"nhead={nhead} does not divide d_model={d_model}")
            self.nhead = nhead
            self.q_proj = nn.Linear(d_model, d_model)
            self.k_proj = nn.Linear(d_model, d_model, bias=False)
            self.v_proj = nn.Linear(d_model, d_model)
            self.out_proj = nn.Linear(d_model, d_model)
            nn.init.zeros_(self.out_proj.weight)
            nn.init.zeros_(self.out_proj.bias)

        def forward(self, x, mask=None):
            weight = torch.stack([p.weight for p in (self.q_proj, self.k_proj, self.v_proj)])
            weight = weight.unflatten(1, (self.nhead, -1)).transpose(0, 1)  # (nhead, 3, d_head, d)
            bias = torch.stack(
                [self.q_proj.bias, torch.zeros_like(self.q_proj.bias), self.v_proj.bias]
            )
            bias = bias.unflatten(1, (self.nhead, -1)).transpose(0, 1)
            parts = nn.functional.linear(x, weight.flatten(0, 2), bias.flatten())
            parts = parts.unflatten(-1, (self.nhead, -1)).transpose(1, 2).chunk(3, dim=-1)
            if mask is not None and mask.dtype == torch.bool:
                mask = torch.zeros(mask.shape, dtype=x.dtype).masked_fill(mask, float("-inf"))
            mixed = nn.functional.scaled_dot_product_attention(*parts, attn_mask=mask)
            return self.out_proj(mixed.transpose(1, 2).reshape(x.shape))

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1):
        super().__init__(d_model, nhead, dim_feedforward, dropout)
        self.self_attn = self.Attention(d_model, nhead)


@encoder_block.right_solution
class Branches(TransformerEncoderBlock):
    """A helper that adds and normalises, and the sub-layers passed to it as functions."""

    def forward(self, src, src_mask=None):
        src = self.add_and_norm(src, lambda x: self.self_attn(x, src_mask), self.norm1)
        return self.add_and_norm(src, self.feed_forward, self.norm2)

    def add_and_norm(self, x, branch, norm):
        return norm(torch.add(x, self.dropout(branch(x))))
