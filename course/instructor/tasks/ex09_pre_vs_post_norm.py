"""Exercise 9: the norm before or after the sublayers, and the gradients of each layer."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_scale
from course.instructor.forbidden import ENCODERS
from course.instructor.task import Task
from course.layer_normalization_solutions import (
    PostLayerNormTransformer,
    PreLayerNormTransformer,
)
from course.student.answer_key import Case, Tolerance
from course.student.probes import ex09 as probes


class OracleEncoder(nn.Module):
    """Either placement, written out in float64, with a matrix a head and one kind of bias."""

    # Not 1 only to see whether the attention's scores make a difference.
    temperature = 1.0
    # How many layers see the mask: all but to see whether it makes a difference.
    masked: float = math.inf

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        head = d_model // nhead
        self.num_layers, self.dropout = num_layers, dropout
        shapes = {
            "queries": (nhead, head, d_model),
            "keys": (nhead, head, d_model),
            "values": (nhead, head, d_model),
            "attended": (nhead, d_model, head),
            "inner": (dim_feedforward, d_model),
            "bias": (dim_feedforward,),
            "outer": (d_model, dim_feedforward),
        }
        for name, shape in shapes.items():
            weights = [nn.Parameter(torch.zeros(shape)) for _ in range(num_layers)]
            setattr(self, name, nn.ParameterList(weights))
        self.scales = nn.ParameterList(
            [nn.Parameter(torch.ones(d_model)) for _ in range(self.norms(num_layers))]
        )

    def norm(self, i, x):
        centred = x - x.mean(-1, keepdim=True)
        var = (centred * centred).mean(-1, keepdim=True)
        return centred / (var + 1e-5).sqrt() * self.scales[i].double()

    def attention(self, i, x, mask):
        q, k, v = (
            torch.einsum("btd,hed->bhte", x, weights[i].double())
            for weights in (self.queries, self.keys, self.values)
        )
        scores = torch.einsum("bhte,bhse->bhts", q, k) / q.shape[-1] ** 0.5 / self.temperature
        if mask is not None and i < self.masked:
            scores = (
                scores.masked_fill(mask, -math.inf) if mask.dtype is torch.bool else scores + mask
            )
        weights = scores.softmax(-1)
        return self.dropped(
            torch.einsum("bhts,bhse,hde->btd", weights, v, self.attended[i].double())
        )

    def feed_forward(self, i, x):
        hidden = torch.einsum("btd,fd->btf", x, self.inner[i].double()) + self.bias[i].double()
        hidden = hidden.clamp(min=0)
        return self.dropped(torch.einsum("btf,df->btd", hidden, self.outer[i].double()))

    def dropped(self, branch):
        # Only 0 and 1 occur here: nothing or everything is dropped.
        return branch * (1 - self.dropout) if self.training else branch


class OraclePre(OracleEncoder):
    def norms(self, num_layers):
        return 2 * num_layers + 1

    def forward(self, src, src_mask=None):
        x = src.double()
        for i in range(self.num_layers):
            x = x + self.attention(i, self.norm(2 * i, x), src_mask)
            x = x + self.feed_forward(i, self.norm(2 * i + 1, x))
        return self.norm(2 * self.num_layers, x)


class OraclePost(OracleEncoder):
    def norms(self, num_layers):
        return 2 * num_layers

    def forward(self, src, src_mask=None):
        x = src.double()
        for i in range(self.num_layers):
            x = self.norm(2 * i, x + self.attention(i, x, src_mask))
            x = self.norm(2 * i + 1, x + self.feed_forward(i, x))
        return x


def oracle_norms(model, groups, src, upstream):
    """The chain rule written out for the probe's network: linear layers and tanh."""
    activations = [src]
    for layer in model.layers:
        activations.append(torch.tanh(activations[-1] @ layer.weight.T + layer.bias))
    dy = upstream * (2 if model.training else 1)
    norms = {}
    for layer, x, y in reversed(
        list(zip(model.layers, activations[:-1], activations[1:], strict=True))
    ):
        dz = dy * (1 - y * y)
        dy = dz @ layer.weight
        norms[id(layer.weight)] = float(((dz.T @ x) ** 2).sum() + (dz.sum(0) ** 2).sum())
    return [sum(norms.get(id(parameter), 0.0) for parameter in group) ** 0.5 for group in groups]


pre_layer_norm = Task(
    "ex09_pre_layer_norm",
    "The norm before each sublayer",
    defines="PreLayerNormTransformer",
    oracle=OraclePre,
    forbids=ENCODERS,
)
post_layer_norm = Task(
    "ex09_post_layer_norm",
    "The norm after each sublayer",
    defines="PostLayerNormTransformer",
    oracle=OraclePost,
    forbids=ENCODERS,
)
layer_gradients = Task(
    "ex09_gradient_norms",
    "The gradient norm of each layer",
    defines="gradient_norms",
    oracle=oracle_norms,
)

# Rows have spread 1, or up to 4 in the case of the norms. Right answers are off by up to 1e-4: in
# float32 the softmax enlarges the rounding of its scores. Wrong ones are off by 0.02 and more.
FLOAT32 = Tolerance(rtol=2e-3, atol=2e-3)
# Everything is in float64, and right answers differ by 1e-14.
FLOAT64 = Tolerance(rtol=1e-9, atol=1e-9)
COUNTED = Tolerance(rtol=0, atol=0)
# What another temperature of the softmax, or no mask in the last layer, must change in the rows.
SEEN = 0.1
# A few dozen draws are the rule.
TRIES = 2000


def draw_encoder(
    rng: np.random.Generator, oracle: type[nn.Module], batch: int, seq: int, **more: Any
) -> dict[str, Any]:
    """Inputs of the probe on which GELU is as right as ReLU, and attention neither even nor hard.

    Args:
        rng: where the numbers come from.
        oracle: the encoder they are for.
        batch: of src.
        seq: of src.
        more: other inputs of the probe.
    """
    # What has the length of a head must not fit into the number of heads, nor the hidden size.
    nhead, head = int(rng.integers(2, 4)), int(rng.integers(4, 6))
    hidden = int(rng.choice([7, 9, 11, 13]))
    d_model = nhead * head
    for _ in range(TRIES):
        # Rows whose mean is as large as their spread, for a norm takes out the mean.
        offset = rng.choice([-1, 1], (batch, seq, 1)) * rng.uniform(4, 8, (batch, seq, 1))
        pattern = draw_scale(rng, head)
        weight, bias = draw_hidden(rng, hidden, d_model)
        inputs: dict[str, Any] = {
            "nhead": nhead,
            "src": offset + 5 * rng.normal(size=(batch, seq, d_model)),
            "num_layers": 1,
            "dim_feedforward": hidden,
            "norm_weight": np.full(d_model, NORM),
            "head_pattern": 0.75 * pattern / np.linalg.norm(pattern),
            "hidden_weight": weight,
            "hidden_bias": bias,
            **more,
        }
        # Attention must make something of a token, and something else of its normalised copy; and
        # the feed-forward network must see what attention has added.
        src, along = inputs["src"], np.tile(inputs["head_pattern"], nhead)
        copies = NORM * (src - src.mean(-1, keepdims=True)) / src.std(-1, keepdims=True)
        felt = [np.abs(x @ along).max() for x in (src, copies, src - copies)]
        if min(felt) < NORM or np.abs(weight @ (along - along.mean())).max() < 0.4:
            continue
        found = rows(oracle, inputs)
        OracleEncoder.temperature = 0.8
        others = [rows(oracle, inputs)] if seq > 1 else []
        OracleEncoder.temperature = 1.0
        if "src_mask" in inputs:
            OracleEncoder.masked = inputs["num_layers"] - 1
            others.append(rows(oracle, inputs))
            OracleEncoder.masked = math.inf
        if all(np.abs(other - found).max() > SEEN for other in others):
            return inputs
    raise AssertionError(f"no inputs in {TRIES} draws: does the probe hand on all of them?")


def rows(oracle: type[nn.Module], inputs: dict[str, Any]) -> np.ndarray:
    """What comes of an encoder, each row normalised."""
    return np.asarray(probes.encoder(oracle, **inputs)["rows"])


NORM = 4.0


def draw_hidden(
    rng: np.random.Generator, hidden: int, d_model: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first matrix and bias of a feed-forward network whose units are always on, or always off.

    What a norm of scale `NORM` returns is at most NORM * sqrt(d_model) <= 15.5 long, so a unit's
    input is at most 0.8 * 15.5 = 12.4 away from its bias, which is 22: there are 9 left to the
    bend of the ReLU, where GELU agrees with it to 1e-15, and SiLU to 0.001. The large outputs of
    the units that are on cancel in pairs.
    """
    weight, bias = np.zeros((hidden, d_model)), np.full(hidden, -22.0)
    pairs, off = rng.normal(size=(2, d_model)), rng.normal(size=(2, d_model))
    units = np.concatenate([pairs, -pairs, off])
    places = rng.permutation(hidden)[: len(units)]
    weight[places] = 0.8 * units / np.linalg.norm(units, axis=1, keepdims=True)
    bias[places[:4]] = 22.0, 22.0, 24.0, 26.0
    return weight, bias


def encoder_cases(
    rng: np.random.Generator,
    oracle: type[nn.Module],
    definition: tuple[str, str],
    norms: tuple[str, str],
    norms_points: float,
) -> Iterator[Case]:
    """The cases of an encoder; where its norms are is left to the oracle and the words."""
    batch, seq = (int(n) for n in rng.choice([2, 3, 4], 2, replace=False))
    yield Case(
        definition[0],
        points=1.25,
        inputs=draw_encoder(rng, oracle, 1, 1),
        tolerance=FLOAT32,
        judged=("rows", "built-in encoder"),
        hint=definition[1],
    )
    attending = draw_encoder(rng, oracle, batch, seq)
    width = np.shape(attending["src"])[-1]
    yield Case(
        norms[0],
        points=norms_points,
        inputs=attending
        | {
            "num_layers": 2,
            "norm_weight": 2 * draw_scale(rng, width),
            "head_pattern": None,
            "hidden_weight": None,
            "hidden_bias": None,
        },
        tolerance=FLOAT32,
        hint=norms[1],
    )
    yield Case(
        "the tokens of a sequence attend to each other, in nhead heads",
        points=0.5,
        inputs=attending,
        tolerance=FLOAT32,
        judged=("rows",),
        hint="`src` is (batch, seq, d_model). `nn.MultiheadAttention` takes it for (seq, batch, "
        "d_model) unless told otherwise. Each head divides its scores by the root of "
        "d_model / nhead.",
    )
    yield Case(
        "three layers, one after the other",
        points=0.5,
        inputs=draw_encoder(rng, oracle, 2, 3, num_layers=3),
        tolerance=FLOAT32,
        judged=("rows",),
        hint="Each layer reads what the layer before it returned. Count them with a print in the "
        "loop.",
    )
    counted = {"d_model": width, "nhead": attending["nhead"], "look_at": "parameters"}
    counts = ("norms with a scale of their own", "numbers in weight matrices")
    yield Case(
        "each layer has parameters of its own, and dim_feedforward is honoured",
        points=0.25,
        inputs=counted | {"num_layers": int(rng.integers(3, 5)), "dim_feedforward": 14},
        tolerance=COUNTED,
        judged=counts,
        hint="Print `[p.shape for p in model.parameters()]`. A module that is used twice has its "
        "parameters only once.",
    )
    yield Case(
        "by default there are 2 layers, of 128 features in the feed-forward network",
        points=0.25,
        inputs=counted,
        tolerance=COUNTED,
        judged=counts,
        hint="Compare your `__init__` with the signature in the notebook.",
    )
    # Of both kinds at least one in each row, so that neither reading leaves a row with nothing.
    blocked = rng.permuted(np.resize([True, False, False], (5, 5)), axis=1)
    masked = draw_encoder(rng, oracle, 2, 5, num_layers=2, src_mask=blocked)
    yield Case(
        "a boolean src_mask blocks where it is True",
        points=0.25,
        inputs=masked,
        tolerance=FLOAT32,
        judged=("rows",),
        hint="Hand `src_mask` on to the attention of every layer. True means blocked, as in "
        "`nn.MultiheadAttention`; `F.scaled_dot_product_attention` reads it the other way round.",
    )
    added = np.where(blocked, -np.inf, 2 * rng.normal(size=(5, 5))).astype(np.float32)
    yield Case(
        "a src_mask of floats is added to the scores",
        points=0.25,
        inputs=draw_encoder(rng, oracle, 2, 5, src_mask=added),
        tolerance=FLOAT32,
        judged=("rows",),
        hint="Hand on the mask as it is: -inf blocks, 0 does nothing, and other numbers favour "
        "some tokens over others.",
    )
    yield Case(
        "in training, dropout=1 silences both sublayers, and nothing else",
        points=0.25,
        inputs=attending | {"dropout": 1.0, "training": True},
        tolerance=FLOAT32,
        judged=("rows",),
        hint="Apply dropout to what a sublayer returns, before it is added: x + dropout(sublayer). "
        "With dropout=1 that leaves x.",
    )
    yield Case(
        "in evaluation, dropout does nothing",
        points=0.25,
        inputs=attending | {"dropout": 1.0},
        tolerance=FLOAT32,
        judged=("rows",),
        hint="`nn.Dropout` knows the module's mode. `F.dropout` has to be told: "
        "training=self.training.",
    )
    yield Case(
        "src is left as it was",
        points=0.25,
        inputs=attending,
        tolerance=FLOAT32,
        judged=("src is unchanged",),
        hint="`x += h` writes into the tensor that x is, which at first is `src`. `x = x + h` "
        "makes a new one.",
    )


@pre_layer_norm.cases
def pre_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Patterns and weights of an encoder are set by the probe, so that the output is known."""
    yield from encoder_cases(
        rng,
        OraclePre,
        (
            "one token, one layer: each sublayer reads a normalised copy and is added to the "
            "stream",
            "Write down one layer with x for the stream: x = x + attention(norm1(x)), then "
            "x = x + feed_forward(norm2(x)). The `rows` here are your output with each row "
            "normalised once more, so the final norm does not count yet.",
        ),
        (
            "with silent sublayers only the final norm is left: one, after the last layer",
            "With sublayers that return 0, the stream is `src` all the way, and the output is "
            "final_norm(src).",
        ),
        norms_points=0.75,
    )
    yield Case(
        "at initialisation the last layer's gradient gets smaller with depth",
        points=0.25,
        inputs={"look_at": "gradients", "seed": int(rng.integers(2**31))},
        tolerance=COUNTED,
        judged=(f"last layer's gradient with {probes.DEEP} layers, against {probes.SHALLOW}",),
        by_values=False,
        hint="The stream grows from layer to layer, and the final norm divides by its spread. If "
        "this fails, so does another case: begin with that.",
    )


@post_layer_norm.cases
def post_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Patterns and weights of an encoder are set by the probe, so that the output is known."""
    return encoder_cases(
        rng,
        OraclePost,
        (
            "one token, one layer: each sublayer is added to its input, and the sum is normalised",
            "Write down one layer with x for the stream: x = norm1(x + attention(x)), then "
            "x = norm2(x + feed_forward(x)). The `rows` here are your output with each row "
            "normalised once more, so a norm at the very end does not count yet.",
        ),
        (
            "with silent sublayers only the norms are left: two a layer, and none at the end",
            "With sublayers that return 0, what is left of a layer is norm2(norm1(x)). After the "
            "last layer nothing follows.",
        ),
        norms_points=1.0,
    )


@layer_gradients.cases
def gradient_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Networks whose layers all differ in size, so that no two norms can be mistaken."""

    def inputs(layers=4, **more):
        sizes = [int(n) for n in rng.permutation([2, 3, 4, 5, 6])[: layers + 1]]
        count = sum(one * other + other for one, other in itertools.pairwise(sizes))
        batch = int(rng.integers(3, 6))
        return {
            "src": rng.normal(size=(batch, sizes[0])),
            "upstream": rng.normal(size=(batch, sizes[-1])),
            "sizes": sizes,
            "weights": 0.6 * rng.normal(size=count),
            **more,
        }

    def and_earlier(given):
        return given | {"earlier": rng.normal(size=given["weights"].shape)}

    yield Case(
        "one number for each group: the norm of its gradient",
        points=1.75,
        inputs=inputs(),
        tolerance=FLOAT64,
        judged=("norms",),
        hint="The loss is `(model(src) * upstream).sum()`. For one group: all entries of all its "
        "gradients, squared, added up; then one root.",
    )
    yield Case(
        "the groups in the order in which they are given",
        points=0.5,
        inputs=inputs(in_reverse=True),
        tolerance=FLOAT64,
        judged=("norms",),
        hint="The groups are given, and in any order. Go by `groups`, not by the order of "
        "`model.parameters()`.",
    )
    yield Case(
        "gradients from an earlier backward pass do not count",
        points=0.75,
        inputs=and_earlier(inputs()),
        tolerance=FLOAT64,
        judged=("norms",),
        hint="`backward()` adds to what is in `.grad`. `torch.autograd.grad` returns the gradients "
        "and leaves `.grad` alone.",
    )
    yield Case(
        "no gradients are left behind in the model",
        points=0.5,
        inputs=inputs(),
        tolerance=FLOAT64,
        judged=("gradients afterwards",),
        hint="A training step that comes next would add to them. `torch.autograd.grad` leaves "
        "`.grad` alone.",
    )
    yield Case(
        "gradients that were there before are there afterwards",
        points=0.5,
        inputs=and_earlier(inputs()),
        tolerance=FLOAT64,
        judged=("gradients afterwards",),
        hint="Someone may look at gradient norms between `loss.backward()` and "
        "`optimizer.step()`. `torch.autograd.grad` leaves `.grad` alone.",
    )
    yield Case(
        "a parameter that the loss does not depend on counts as 0",
        points=0.5,
        inputs=inputs(unused=True),
        tolerance=FLOAT64,
        judged=("norms",),
        hint="`backward()` leaves None in its `.grad`. `torch.autograd.grad` has the arguments "
        "`allow_unused` and `materialize_grads`.",
    )
    yield Case(
        "a model in evaluation mode is measured in that mode, and left in it",
        points=0.5,
        inputs=inputs(training=False),
        tolerance=FLOAT64,
        judged=("norms", "mode afterwards", "weights are unchanged"),
        hint="Take the model as it is: no `model.train()`, no `model.eval()`.",
    )


@pre_layer_norm.known_mistake(
    "the norm after each sublayer, on the sum (Post-LN), and a final norm",
    "Your norms are applied to the sum of stream and sublayer: x = norm(x + "
    "sublayer(x)). That is Post-LN, the next task. In Pre-LN nothing but the final "
    "norm ever touches the stream.",
    hint=(
        "Move each norm inside: what the sublayer reads is norm(x), and what it returns "
        "is added to x."
    ),
)
class NormedAfter(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            x = norm1(x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(x + self.dropout(feed_forward(x)))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "the two placements swapped",
    "This is a Post-LN encoder: x = norm(x + sublayer(x)), and no final norm.",
    hint=(
        "Did you check the other class? In Pre-LN the norm stands before the sublayer: "
        "x + sublayer(norm(x))."
    ),
)
class Swapped(nn.Module):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        encoder = PreLayerNormTransformer(d_model, nhead, num_layers, dim_feedforward, dropout)
        self.layers, self.dropout = encoder.layers, encoder.dropout

    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            x = norm1(x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(x + self.dropout(feed_forward(x)))
        return x


@pre_layer_norm.known_mistake(
    "no final norm",
    "After the last layer you return the stream as it is. Each sublayer has added "
    "to it, so it is the larger the more layers there are, and whatever comes next "
    "has to live with that.",
    hint=(
        "One more `nn.LayerNorm(d_model)` in `__init__`, and the stream through it "
        "where `forward` returns."
    ),
)
class NoFinalNorm(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        del self.final_norm

    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return x


@pre_layer_norm.known_mistake(
    "the final norm after every layer",
    "The final norm is applied to the stream at the end of each layer, and not only "
    "of the last one. From the second layer on the stream is no longer a plain sum.",
    hint=("Is the line with the final norm inside the loop?"),
)
class FinalNormEveryLayer(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
            x = self.final_norm(x)
        return x


@pre_layer_norm.known_mistake(
    "the norm on the stream itself",
    "You wrote x = norm(x), and then added the sublayer to that. So the norm lies "
    "on the residual path: x = norm(x) + sublayer(norm(x)).",
    hint=("Give the normalised copy a name of its own, such as h, and keep x for the stream."),
)
class StreamNormed(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            x = norm1(x)
            x = x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0])
            x = norm2(x)
            x = x + self.dropout(feed_forward(x))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "the norm after the sublayer, before the sum: x + norm(sublayer(x))",
    "The sublayer reads the stream as it is, and its output is normalised before it "
    "is added. In Pre-LN it is the input of the sublayer that is normalised.",
    hint=("The norm comes first: sublayer(norm(x)), not norm(sublayer(x))."),
)
class NormOfTheBranch(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            x = x + self.dropout(norm1(attention(x, x, x, attn_mask=src_mask)[0]))
            x = x + self.dropout(norm2(feed_forward(x)))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "a norm before the sublayer and another after it",
    "You normalise what the sublayer reads, and also the sum. Pre-LN has the first only.",
    hint=("Take out the norm that is applied to the sum."),
)
class NormsOnBothSides(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = norm1(x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0]))
            x = norm2(x + self.dropout(feed_forward(norm2(x))))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "no norm before the attention",
    "The attention reads the stream as it is. Only the feed-forward network gets a "
    "normalised copy.",
    hint=("Two norms a layer: one before each sublayer."),
)
class AttentionNotNormed(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            _norm1, attention, norm2, feed_forward = layer.values()
            h = x
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "no norm before the feed-forward network",
    "The feed-forward network reads the stream as it is. Only the attention gets a "
    "normalised copy.",
    hint=("Two norms a layer: one before each sublayer."),
)
class FeedForwardNotNormed(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, _norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(x))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "only the queries normalised",
    "The attention gets the normalised copy for its queries, and the stream itself "
    "for keys and values.",
    hint=("All three arguments of self-attention are the same tensor: the normalised copy."),
)
class OnlyQueriesNormed(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, x, x, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "the feed-forward network reads the attention's input",
    "Both sublayers read the same normalised copy, made at the start of the layer. "
    "So the feed-forward network does not see what the attention has added.",
    hint=("Normalise the stream again, with the second norm, after the attention has been added."),
)
class StaleCopy(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            x0, h = x, norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x0)))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "one norm for both sublayers",
    "Both sublayers share one `nn.LayerNorm`, so they share its scale and its "
    "shift. At the start, with scales of 1 and shifts of 0, the outputs are the "
    "same; training pulls it both ways.",
    hint=("Create two norms for each layer."),
)
class OneNormForBoth(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            layer["feed_forward_norm"] = layer["attention_norm"]


@pre_layer_norm.known_mistake(
    "the same two norms in every layer",
    "Your layers share their norms: two in all, and the final one. Each layer needs "
    "a scale and a shift of its own, for each of its sublayers.",
    hint=("Create the norms where the layers are created, not once for all of them."),
)
class NormsSharedByLayers(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            layer["attention_norm"] = self.layers[0]["attention_norm"]
            layer["feed_forward_norm"] = self.layers[0]["feed_forward_norm"]


@pre_layer_norm.known_mistake(
    "no residual connection around the attention",
    "The attention's output takes the place of x. It should be added to x.",
    hint=("x + attention(...), not attention(...) alone."),
)
class PreNoResidualOfAttention(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "no residual connection around the attention",
    "The attention's output takes the place of x. It should be added to x.",
    hint=("x + attention(...), not attention(...) alone."),
)
class PostNoResidualOfAttention(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(x + self.dropout(feed_forward(x)))
        return x


@pre_layer_norm.known_mistake(
    "no residual connection around the feed-forward network",
    "The feed-forward network's output takes the place of x. It should be added to x.",
    hint=("x + feed_forward(...), not feed_forward(...) alone."),
)
class PreNoResidualOfFeedForward(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "no residual connection around the feed-forward network",
    "The feed-forward network's output takes the place of x. It should be added to x.",
    hint=("x + feed_forward(...), not feed_forward(...) alone."),
)
class PostNoResidualOfFeedForward(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(self.dropout(feed_forward(x)))
        return x


@pre_layer_norm.known_mistake(
    "no residual connections",
    "Each sublayer's output takes the place of x. It should be added to x: without "
    "that there is no stream.",
    hint=("x + sublayer(...), for both sublayers."),
)
class PreNoResiduals(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "no residual connections",
    "Each sublayer's output takes the place of x. It should be added to x: without "
    "that there is no stream.",
    hint=("x + sublayer(...), for both sublayers."),
)
class PostNoResiduals(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(self.dropout(feed_forward(x)))
        return x


@pre_layer_norm.known_mistake(
    "the feed-forward network before the attention",
    "In your layer the feed-forward network comes first.",
    hint=("Attention first, then the feed-forward network."),
)
class PreFeedForwardFirst(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            x = x + self.dropout(feed_forward(norm2(x)))
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "a feed-forward network without a non-linearity",
    "Your feed-forward network is two linear layers with nothing in between, which "
    "is one linear layer in disguise.",
    hint=("A ReLU or a GELU belongs between the two linear layers."),
)
class PreNoNonLinearity(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            del layer["feed_forward"][1]


@post_layer_norm.known_mistake(
    "a feed-forward network without a non-linearity",
    "Your feed-forward network is two linear layers with nothing in between, which "
    "is one linear layer in disguise.",
    hint=("A ReLU or a GELU belongs between the two linear layers."),
)
class PostNoNonLinearity(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            del layer["feed_forward"][1]


@pre_layer_norm.known_mistake(
    "the non-linearity after the second linear layer",
    "The ReLU comes after the second linear layer of your feed-forward network. So "
    "the network can only ever add positive numbers to the stream.",
    hint=("Linear, ReLU, Linear: in this order."),
)
class PreNonLinearityAtTheEnd(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward[1](feed_forward[2](feed_forward[0](norm2(x)))))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "the same layer repeated: [layer] * num_layers",
    "All your layers are one and the same module, so they share every parameter.",
    hint=(
        "Build a new layer in each turn of the loop: `nn.ModuleList(make_layer() for _ "
        "in range(num_layers))`."
    ),
)
class PreSameLayerRepeated(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        self.layers = nn.ModuleList([self.layers[0]] * num_layers)


@post_layer_norm.known_mistake(
    "the same layer repeated: [layer] * num_layers",
    "All your layers are one and the same module, so they share every parameter.",
    hint=(
        "Build a new layer in each turn of the loop: `nn.ModuleList(make_layer() for _ "
        "in range(num_layers))`."
    ),
)
class PostSameLayerRepeated(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        self.layers = nn.ModuleList([self.layers[0]] * num_layers)


@pre_layer_norm.known_mistake(
    "one layer, whatever num_layers says",
    "You build or use a single layer. `num_layers` asks for more.",
    hint=("Build the layers in a loop, and let `forward` go through all of them."),
)
class PreOneLayer(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, 1, dim_feedforward, dropout)


@post_layer_norm.known_mistake(
    "one layer, whatever num_layers says",
    "You build or use a single layer. `num_layers` asks for more.",
    hint=("Build the layers in a loop, and let `forward` go through all of them."),
)
class PostOneLayer(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, 1, dim_feedforward, dropout)


@pre_layer_norm.known_mistake(
    "every layer reads src, and only the last one counts",
    "In your loop each layer starts from `src` again. What the layers before have done is lost.",
    hint=("x = src stands before the loop, and inside it everything reads x."),
)
class PreOnlyLastLayerCounts(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            x = src
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "128 hidden features, whatever dim_feedforward says",
    "Your feed-forward networks are 128 wide. That is only the default of `dim_feedforward`.",
    hint=("Where does your code use `dim_feedforward`?"),
)
class PreHiddenSizeIgnored(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, 128, dropout)


@post_layer_norm.known_mistake(
    "128 hidden features, whatever dim_feedforward says",
    "Your feed-forward networks are 128 wide. That is only the default of `dim_feedforward`.",
    hint=("Where does your code use `dim_feedforward`?"),
)
class PostHiddenSizeIgnored(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, 128, dropout)


@pre_layer_norm.known_mistake(
    "one head, whatever nhead says",
    "Your attention has a single head. With `nhead` heads, each has its own "
    "attention weights, from d_model / nhead features.",
    hint=("Where does your code use `nhead`?"),
)
class PreOneHead(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, 1, num_layers, dim_feedforward, dropout)


@post_layer_norm.known_mistake(
    "one head, whatever nhead says",
    "Your attention has a single head. With `nhead` heads, each has its own "
    "attention weights, from d_model / nhead features.",
    hint=("Where does your code use `nhead`?"),
)
class PostOneHead(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, 1, num_layers, dim_feedforward, dropout)


@pre_layer_norm.known_mistake(
    "batch_first forgotten",
    "`nn.MultiheadAttention` takes its input for (seq, batch, d_model) unless told "
    "otherwise. So your tokens attend to tokens of other sequences, at the same "
    "place.",
    hint=("`batch_first=True`, where the attention is created."),
)
class PreBatchSecond(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            layer["attention"].batch_first = False


@post_layer_norm.known_mistake(
    "batch_first forgotten",
    "`nn.MultiheadAttention` takes its input for (seq, batch, d_model) unless told "
    "otherwise. So your tokens attend to tokens of other sequences, at the same "
    "place.",
    hint=("`batch_first=True`, where the attention is created."),
)
class PostBatchSecond(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            layer["attention"].batch_first = False


@pre_layer_norm.known_mistake(
    "src_mask ignored",
    "`forward` takes a `src_mask`, and the attention never sees it.",
    hint=("Hand it on, as `attn_mask`."),
)
class PreMaskIgnored(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "src_mask ignored",
    "`forward` takes a `src_mask`, and the attention never sees it.",
    hint=("Hand it on, as `attn_mask`."),
)
class PostMaskIgnored(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(x + self.dropout(attention(x, x, x)[0]))
            x = norm2(x + self.dropout(feed_forward(x)))
        return x


@pre_layer_norm.known_mistake(
    "the boolean mask inverted",
    "Your attention looks where the mask is True, and nowhere else. True means blocked here.",
    hint=(
        "`F.scaled_dot_product_attention` reads a boolean mask the other way round: "
        "give it ~src_mask."
    ),
)
class PreMaskInverted(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            mask = ~src_mask if src_mask is not None and src_mask.dtype == torch.bool else src_mask
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "the boolean mask inverted",
    "Your attention looks where the mask is True, and nowhere else. True means blocked here.",
    hint=(
        "`F.scaled_dot_product_attention` reads a boolean mask the other way round: "
        "give it ~src_mask."
    ),
)
class PostMaskInverted(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            mask = ~src_mask if src_mask is not None and src_mask.dtype == torch.bool else src_mask
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(x + self.dropout(attention(x, x, x, attn_mask=mask)[0]))
            x = norm2(x + self.dropout(feed_forward(x)))
        return x


@pre_layer_norm.known_mistake(
    "a float mask read as a boolean one",
    "Your code blocks wherever the mask is not 0. A mask of floats is added to the scores.",
    hint=("Hand a mask of floats on as it is; `nn.MultiheadAttention` knows what to do with it."),
)
class PreFloatMaskAsBoolean(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            mask = None if src_mask is None else src_mask.bool()
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "src_mask for the first layer only",
    "Only the first layer gets the mask. From the second on every token sees all others again.",
    hint=("Hand it on in every turn of the loop."),
)
class PreMaskOnlyFirst(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
            src_mask = None
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "src_mask for the first layer only",
    "Only the first layer gets the mask. From the second on every token sees all others again.",
    hint=("Hand it on in every turn of the loop."),
)
class PostMaskOnlyFirst(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(x + self.dropout(feed_forward(x)))
            src_mask = None
        return x


@pre_layer_norm.known_mistake(
    "dropout never applied",
    "Your encoder takes a `dropout`, and in training nothing is ever dropped.",
    hint=("x + self.dropout(sublayer(...)), with `self.dropout = nn.Dropout(dropout)`."),
)
class PreNoDropout(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, 0.0)


@post_layer_norm.known_mistake(
    "dropout never applied",
    "Your encoder takes a `dropout`, and in training nothing is ever dropped.",
    hint=("x + self.dropout(sublayer(...)), with `self.dropout = nn.Dropout(dropout)`."),
)
class PostNoDropout(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, 0.0)


@pre_layer_norm.known_mistake(
    "no dropout on the feed-forward network",
    "Only the attention's output is dropped in training. The feed-forward network's "
    "output is to be as well.",
    hint=("x + self.dropout(...), for both sublayers."),
)
class PreDropoutOfAttentionOnly(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + (feed_forward(norm2(x)))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "no dropout on the attention",
    "Only the feed-forward network's output is dropped in training. The attention's "
    "output is to be as well.",
    hint=("x + self.dropout(...), for both sublayers."),
)
class PreDropoutOfFeedForwardOnly(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + (attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@pre_layer_norm.known_mistake(
    "dropout on the sum",
    "You drop entries of the sum of x and the sublayer's output. That wipes out "
    "parts of the stream itself, in every layer anew.",
    hint=("Only the sublayer's output goes through dropout: x + dropout(sublayer(...))."),
)
class PreDropoutOfTheStream(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = self.dropout(x + attention(h, h, h, attn_mask=src_mask)[0])
            x = self.dropout(x + feed_forward(norm2(x)))
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "dropout on the sum",
    "You drop entries of the sum of x and the sublayer's output. That wipes out "
    "parts of the stream itself, in every layer anew.",
    hint=("Only the sublayer's output goes through dropout: x + dropout(sublayer(...))."),
)
class PostDropoutOfTheStream(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(self.dropout(x + attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(self.dropout(x + feed_forward(x)))
        return x


@pre_layer_norm.known_mistake(
    "dropout still at work in evaluation mode",
    "Your encoder drops entries in evaluation mode too. `F.dropout` does that "
    "unless told otherwise.",
    hint=("Use an `nn.Dropout` module, which knows the mode, or pass training=self.training."),
)
class PreDropoutInEvaluation(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        self.p = dropout

    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + nn.functional.dropout(attention(h, h, h, attn_mask=src_mask)[0], self.p)
            x = x + nn.functional.dropout(feed_forward(norm2(x)), self.p)
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "dropout still at work in evaluation mode",
    "Your encoder drops entries in evaluation mode too. `F.dropout` does that "
    "unless told otherwise.",
    hint=("Use an `nn.Dropout` module, which knows the mode, or pass training=self.training."),
)
class PostDropoutInEvaluation(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        self.p = dropout

    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(x + nn.functional.dropout(attention(x, x, x, attn_mask=src_mask)[0], self.p))
            x = norm2(x + nn.functional.dropout(feed_forward(x), self.p))
        return x


@pre_layer_norm.known_mistake(
    "x += ..., which writes into src",
    "x is `src` at first, and `x += ...` changes it in place. The caller's tensor "
    "is not what it was.",
    hint=("x = x + ... makes a new tensor."),
)
class PreWritesIntoSrc(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x += self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x += self.dropout(feed_forward(norm2(x)))
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "x += ..., which writes into src",
    "x is `src` at first, and `x += ...` changes it in place. The caller's tensor "
    "is not what it was.",
    hint=("x = x + ... makes a new tensor."),
)
class PostWritesIntoSrc(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x += self.dropout(attention(x, x, x, attn_mask=src_mask)[0])
            x = norm1(x)
            x = norm2(x + self.dropout(feed_forward(x)))
        return x


@pre_layer_norm.known_mistake(
    "PyTorch's own encoder",
    "It computes the right thing, with PyTorch's own encoder. The task is to build "
    "it, so this may not be used; nor may a class that inherits from it.",
    hint=("`nn.MultiheadAttention`, `nn.Linear` and `nn.LayerNorm` may be used."),
)
class BuiltInPre(nn.Module):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            d_model, nhead, dim_feedforward, dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, num_layers, nn.LayerNorm(d_model), enable_nested_tensor=False
        )

    def forward(self, src, src_mask=None):
        return self.encoder(src, src_mask)


@post_layer_norm.known_mistake(
    "PyTorch's own encoder",
    "It computes the right thing, with PyTorch's own encoder. The task is to build "
    "it, so this may not be used; nor may a class that inherits from it.",
    hint=("`nn.MultiheadAttention`, `nn.Linear` and `nn.LayerNorm` may be used."),
)
class BuiltInPost(nn.Module):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            d_model, nhead, dim_feedforward, dropout, batch_first=True, norm_first=False
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)

    def forward(self, src, src_mask=None):
        return self.encoder(src, src_mask)


@pre_layer_norm.known_mistake(
    "layers in a Python list",
    "PyTorch does not look into a Python list for modules. An optimizer would never "
    "see your layers, `.to()` would leave them behind, and here their weights could "
    "not be set.",
    hint=("`nn.ModuleList` is a list that PyTorch looks into."),
)
class PreInAList(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        layers = list(self.layers)
        del self.layers
        self.layers = layers


@post_layer_norm.known_mistake(
    "layers in a Python list",
    "PyTorch does not look into a Python list for modules. An optimizer would never "
    "see your layers, `.to()` would leave them behind, and here their weights could "
    "not be set.",
    hint=("`nn.ModuleList` is a list that PyTorch looks into."),
)
class PostInAList(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        layers = list(self.layers)
        del self.layers
        self.layers = layers


@post_layer_norm.known_mistake(
    "the norm before each sublayer (Pre-LN), without a final norm",
    "Your sublayers read a normalised copy of the stream: x + sublayer(norm(x)). "
    "That is Pre-LN, the task before. In Post-LN the sum is normalised.",
    hint=("x = norm(x + sublayer(x)): the norm is outside."),
)
class NormedBefore(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return x


@post_layer_norm.known_mistake(
    "the two placements swapped",
    "This is a Pre-LN encoder: x + sublayer(norm(x)), and a final norm.",
    hint=(
        "Did you check the other class? In Post-LN the norm stands after the sum: "
        "norm(x + sublayer(x))."
    ),
)
class SwappedForPre(PreLayerNormTransformer):
    pass


@post_layer_norm.known_mistake(
    "a final norm after the last layer",
    "You normalise once more after the last layer. In Post-LN the last layer's "
    "output is normalised already.",
    hint=("Return what the last layer returned."),
)
class ExtraFinalNorm(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        self.final_norm = nn.LayerNorm(d_model)

    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(x + self.dropout(feed_forward(x)))
        return self.final_norm(x)


@post_layer_norm.known_mistake(
    "the norm of the sublayer's output, before the sum: x + norm(sublayer(x))",
    "You normalise what the sublayer returns, and then add it to x. So the sum "
    "itself, which the next sublayer reads, is not normalised.",
    hint=("The brackets of the norm go around the sum: norm(x + sublayer(x))."),
)
class BranchNormed(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = x + norm1(self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = x + norm2(self.dropout(feed_forward(x)))
        return x


@post_layer_norm.known_mistake(
    "no norm after the attention",
    "Only the sum after the feed-forward network is normalised. The sum after the "
    "attention is to be as well.",
    hint=("Two norms a layer: one after each sum."),
)
class FirstSumNotNormed(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, _norm1, feed_forward, norm2 = layer.values()
            x = x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0])
            x = norm2(x + self.dropout(feed_forward(x)))
        return x


@post_layer_norm.known_mistake(
    "no norm after the feed-forward network",
    "Only the sum after the attention is normalised. The sum after the feed-forward "
    "network is to be as well.",
    hint=("Two norms a layer: one after each sum."),
)
class SecondSumNotNormed(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, _norm2 = layer.values()
            x = norm1(x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = x + self.dropout(feed_forward(x))
        return x


@post_layer_norm.known_mistake(
    "the norm on the stream, before the sublayer",
    "You wrote x = norm(x), and then added the sublayer to that. In Post-LN the "
    "order is: sublayer, sum, norm.",
    hint=("norm(x + sublayer(x)): compute the inside of the brackets first."),
)
class StreamNormedFirst(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(x)
            x = x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0])
            x = norm2(x)
            x = x + self.dropout(feed_forward(x))
        return x


@post_layer_norm.known_mistake(
    "a norm before the sublayer and another after the sum",
    "Your sublayers read a normalised copy, and the sum is normalised too. Post-LN "
    "has the second only.",
    hint=("The sublayer reads x as it is: it comes from a norm already."),
)
class BothSides(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            h = norm1(x)
            x = norm1(x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0]))
            x = norm2(x + self.dropout(feed_forward(norm2(x))))
        return x


@post_layer_norm.known_mistake(
    "the feed-forward network added to the attention's input",
    "The second sum adds the feed-forward network's output to what the layer began "
    "with, so what the attention did is in it only by way of the network.",
    hint=(
        "After the first norm x is a new tensor, and both the network and the second sum read that."
    ),
)
class WrongResidual(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            h = norm1(x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(x + self.dropout(feed_forward(h)))
        return x


@post_layer_norm.known_mistake(
    "one norm for both sublayers",
    "Both sublayers share one `nn.LayerNorm`, so they share its scale and its "
    "shift. At the start, with scales of 1 and shifts of 0, the outputs are the "
    "same; training pulls it both ways.",
    hint=("Create two norms for each layer."),
)
class PostOneNormForBoth(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            layer["feed_forward_norm"] = layer["attention_norm"]


@post_layer_norm.known_mistake(
    "the same two norms in every layer",
    "Your layers share their norms: two in all. Each layer needs a scale and a "
    "shift of its own, for each of its sublayers.",
    hint=("Create the norms where the layers are created, not once for all of them."),
)
class PostNormsSharedByLayers(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            layer["attention_norm"] = self.layers[0]["attention_norm"]
            layer["feed_forward_norm"] = self.layers[0]["feed_forward_norm"]


@layer_gradients.known_mistake(
    "the square of the norm",
    "You add up the squares of all entries, and stop there. The norm is the root of that.",
    hint=("One root for each group, at the end."),
)
def squared(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [sum(next(pieces).square().sum() for _ in group).item() for group in groups]


@layer_gradients.known_mistake(
    "the norms of the parameters added up",
    "You take the norm of each parameter's gradient, and add these up. A weight of "
    "norm 3 and a bias of norm 4 make a vector of length 5, not 7.",
    hint=("Add up squares, over all parameters of the group, and take one root."),
)
def norms_added(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [sum(next(pieces).norm() for _ in group).item() for group in groups]


@layer_gradients.known_mistake(
    "the mean of the parameters' norms",
    "You average the norms of the parameters in a group. The norm of all of them "
    "together is the root of the sum of their squares.",
    hint=("Add up squares, over all parameters of the group, and take one root."),
)
def norms_averaged(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [sum(next(pieces).norm() for _ in group).item() / len(group) for group in groups]


@layer_gradients.known_mistake(
    "the root of the mean square",
    "You divide by the number of entries. That is a root mean square; the norm is "
    "the root of the sum.",
    hint=("`.sum()`, where you have a mean."),
)
def root_mean_square(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [
        torch.cat([next(pieces).flatten() for _ in group]).square().mean().sqrt().item()
        for group in groups
    ]


@layer_gradients.known_mistake(
    "the sum of the entries",
    "You add up the entries of the gradient, signs and all. Large ones of both signs cancel.",
    hint=("Square every entry before you add them up, and take the root at the end."),
)
def sum_of_entries(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [sum(next(pieces).sum() for _ in group).item() for group in groups]


@layer_gradients.known_mistake(
    "the sum of absolute values (the L1 norm)",
    "You add up the sizes of the entries. The L2 norm is the root of the sum of their squares.",
    hint=("Squares in place of absolute values, then a root."),
)
def sizes_added(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [sum(next(pieces).abs().sum() for _ in group).item() for group in groups]


@layer_gradients.known_mistake(
    "the largest entry",
    "You return the largest absolute value of the gradient, its maximum norm. The "
    "L2 norm is the root of the sum of squares.",
    hint=("Squares, their sum, a root."),
)
def largest_entry(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [max(next(pieces).abs().max().item() for _ in group) for group in groups]


@layer_gradients.known_mistake(
    "upstream ignored: the gradient of a plain sum",
    "Your loss is the sum of the outputs. It should be the sum of the outputs times `upstream`.",
    hint=("`(model(src) * upstream).sum()`"),
)
def upstream_ignored(model, groups, src, upstream):
    loss = model(src).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [sum(next(pieces).square().sum() for _ in group).sqrt().item() for group in groups]


@layer_gradients.known_mistake(
    "the mean of the outputs times upstream, not the sum",
    "Your loss is a mean. So every norm is too small, by the number of outputs.",
    hint=("`.sum()`, so that `upstream` is the gradient at the output."),
)
def mean_loss(model, groups, src, upstream):
    loss = (model(src) * upstream).mean()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [sum(next(pieces).square().sum() for _ in group).sqrt().item() for group in groups]


@layer_gradients.known_mistake(
    "a squared error for a loss",
    "You took `upstream` for a target. It is the gradient of the loss with respect to the output.",
    hint=("The loss with that gradient is `(model(src) * upstream).sum()`."),
)
def squared_error(model, groups, src, upstream):
    loss = (model(src) - upstream).square().mean()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [sum(next(pieces).square().sum() for _ in group).sqrt().item() for group in groups]


@layer_gradients.known_mistake(
    "the norm of the parameters, not of their gradients",
    "You return the norms of the weights themselves.",
    hint=("What you want is the gradient of the loss with respect to each parameter."),
)
def of_parameters(model, groups, src, upstream):
    return [sum(p.detach().square().sum() for p in group).sqrt().item() for group in groups]


@layer_gradients.known_mistake(
    "weight matrices only",
    "You leave out parameters with one dim, such as biases. A group counts as a whole.",
    hint=("Go through all parameters of the group."),
)
def matrices_only(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    norms = []
    for group in groups:
        parameters = [parameter for parameter in group if parameter.dim() > 1]
        gradients = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
    return norms


@layer_gradients.known_mistake(
    "the first parameter of each group only",
    "You look at one parameter a group. A group counts as a whole.",
    hint=("Go through all parameters of the group."),
)
def first_only(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    norms = []
    for group in groups:
        parameters = group[:1]
        gradients = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
    return norms


@layer_gradients.known_mistake(
    "the groups in reverse",
    "Your first number belongs to the last group.",
    hint=(
        "Backpropagation goes from the last layer to the first; the list you return "
        "goes the way `groups` does."
    ),
)
def reversed_groups(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    norms = []
    for group in groups:
        parameters = group
        gradients = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
    return norms[::-1]


@layer_gradients.known_mistake(
    "the groups in the order of the model",
    "You sort the groups as their parameters come in the model. The list you return "
    "goes the way `groups` does.",
    hint=("Go by `groups`; `model.parameters()` is not needed."),
)
def in_the_order_of_the_model(model, groups, src, upstream):
    order = [id(parameter) for parameter in model.parameters()]
    groups = sorted(groups, key=lambda group: order.index(id(group[0])))
    loss = (model(src) * upstream).sum()
    norms = []
    for group in groups:
        parameters = group
        gradients = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
    return norms


@layer_gradients.known_mistake(
    "one norm for the whole model",
    "You return a single number, the norm of all gradients together. One number for "
    "each group was asked for.",
    hint=("A list with as many numbers as there are groups."),
)
def all_together(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return sum(gradient.square().sum() for gradient in gradients).sqrt().item()


@layer_gradients.known_mistake(
    "backward() without zero_grad()",
    "`backward()` adds to the gradients that are in `.grad` already, and you "
    "neither clear them before nor afterwards. The second call counts the first one "
    "too.",
    hint=(
        "`torch.autograd.grad(loss, parameters)` returns the gradients, and neither "
        "reads nor writes `.grad`."
    ),
)
def accumulated(model, groups, src, upstream):
    (model(src) * upstream).sum().backward()
    norms = []
    for group in groups:
        squares = sum(p.grad.square().sum() for p in group if p.grad is not None)
        norms.append(float(squares) ** 0.5)
    return norms


@layer_gradients.known_mistake(
    "backward() and zero_grad(), with gradients left behind",
    "You clear the gradients before `backward()`, so your numbers are right. But "
    "those that were there are lost, and yours are left behind in the model.",
    hint=(
        "`torch.autograd.grad(loss, parameters)` returns the gradients, and neither "
        "reads nor writes `.grad`."
    ),
)
def left_behind(model, groups, src, upstream):
    model.zero_grad()
    (model(src) * upstream).sum().backward()
    norms = []
    for group in groups:
        squares = sum(p.grad.square().sum() for p in group if p.grad is not None)
        norms.append(float(squares) ** 0.5)
    return norms


@layer_gradients.known_mistake(
    "zero_grad() before and after backward()",
    "Your numbers are right, and nothing of yours is left in the model. But the "
    "gradients that were there before are lost.",
    hint=(
        "`torch.autograd.grad(loss, parameters)` returns the gradients, and neither "
        "reads nor writes `.grad`."
    ),
)
def wiped(model, groups, src, upstream):
    model.zero_grad()
    (model(src) * upstream).sum().backward()
    norms = []
    for group in groups:
        squares = sum(p.grad.square().sum() for p in group if p.grad is not None)
        norms.append(float(squares) ** 0.5)
    model.zero_grad()
    return norms


@layer_gradients.known_mistake(
    "zero_grad() after backward() only",
    "You clear the gradients at the end, so your own calls do not add up. But those "
    "that were there before your first call do count, and are lost.",
    hint=(
        "`torch.autograd.grad(loss, parameters)` returns the gradients, and neither "
        "reads nor writes `.grad`."
    ),
)
def wiped_afterwards(model, groups, src, upstream):
    (model(src) * upstream).sum().backward()
    norms = []
    for group in groups:
        squares = sum(p.grad.square().sum() for p in group if p.grad is not None)
        norms.append(float(squares) ** 0.5)
    model.zero_grad()
    return norms


@layer_gradients.known_mistake(
    "an error for a parameter that the loss does not depend on",
    "`torch.autograd.grad` refuses a parameter that the loss does not depend on, "
    "unless told otherwise.",
    hint=(
        "`allow_unused=True` makes it return None for such a parameter, and "
        "`materialize_grads=True` zeros."
    ),
)
def unused_refused(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    norms = []
    for group in groups:
        gradients = torch.autograd.grad(loss, group, retain_graph=True)
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
    return norms


@layer_gradients.known_mistake(
    "the model put into training mode",
    "You call `model.train()`. Dropout and batch norm do something else there, and "
    "whoever called you finds the model changed.",
    hint=("Take the model as it is."),
)
def set_to_training(model, groups, src, upstream):
    model.train()
    loss = (model(src) * upstream).sum()
    norms = []
    for group in groups:
        parameters = group
        gradients = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
    return norms


@layer_gradients.known_mistake(
    "the model put into evaluation mode",
    "You call `model.eval()`, so what you measure is not what training sees; and "
    "whoever called you finds the model changed.",
    hint=("Take the model as it is."),
)
def set_to_evaluation(model, groups, src, upstream):
    model.eval()
    loss = (model(src) * upstream).sum()
    norms = []
    for group in groups:
        parameters = group
        gradients = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
    return norms


@layer_gradients.known_mistake(
    "a training step taken",
    "You let an optimizer take a step. The gradients are to be measured, and the "
    "weights left as they are.",
    hint=("No optimizer is needed."),
)
def step_taken(model, groups, src, upstream):
    loss = (model(src) * upstream).sum()
    norms = []
    for group in groups:
        parameters = group
        gradients = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return norms


@layer_gradients.combination
def squared_with_mean_loss(model, groups, src, upstream):
    loss = (model(src) * upstream).mean()
    parameters = [parameter for group in groups for parameter in group]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    pieces = iter(gradients)
    return [sum(next(pieces).square().sum() for _ in group).item() for group in groups]


@layer_gradients.combination
def norms_added_and_accumulated(model, groups, src, upstream):
    (model(src) * upstream).sum().backward()
    norms = []
    for group in groups:
        squares = sum(p.grad.norm() for p in group if p.grad is not None) ** 2
        norms.append(float(squares) ** 0.5)
    return norms


@layer_gradients.combination
def wiped_in_evaluation_mode(model, groups, src, upstream):
    model.eval()
    model.zero_grad()
    loss = (model(src) * upstream).sum()
    norms = []
    for group in groups:
        parameters = group
        gradients = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
    return norms


@layer_gradients.right_solution
def one_call_a_group(model, groups, src, upstream):
    norms = []
    for group in groups:
        loss = torch.tensordot(model(src), upstream, dims=upstream.dim())
        gradients = torch.autograd.grad(loss, group, allow_unused=True)
        flat = [gradient.flatten() for gradient in gradients if gradient is not None]
        norms.append(torch.linalg.vector_norm(torch.cat(flat)))
    return torch.stack(norms)


@layer_gradients.right_solution
def backward_with_care(model, groups, src, upstream):
    parameters = [parameter for group in groups for parameter in group]
    kept = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    model(src).backward(upstream)
    norms = []
    for group in groups:
        lengths = [p.grad.norm().item() for p in group if p.grad is not None]
        norms.append(sum(length**2 for length in lengths) ** 0.5)
    for parameter, gradient in zip(parameters, kept, strict=True):
        parameter.grad = gradient
    return tuple(norms)


@layer_gradients.right_solution
def with_a_copy(model, groups, src, upstream):
    places = {id(parameter): name for name, parameter in model.named_parameters()}
    values = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    output = torch.func.functional_call(model, values, (src,))
    gradients = dict(
        zip(values, torch.autograd.grad(output, list(values.values()), upstream), strict=True)
    )
    norms = []
    for group in groups:
        total = torch.zeros((), dtype=src.dtype)
        for parameter in group:
            if id(parameter) in places:
                total += gradients[places[id(parameter)]].pow(2).sum()
        norms.append(total**0.5)
    return norms


@pre_layer_norm.combination
class NoFinalNormAndMaskIgnored(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            h = norm1(x)
            x = x + self.dropout(attention(h, h, h)[0])
            x = x + self.dropout(feed_forward(norm2(x)))
        return x


@pre_layer_norm.combination
class OneNormAndNoDropout(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, 0.0)
        for layer in self.layers:
            layer["feed_forward_norm"] = layer["attention_norm"]


@pre_layer_norm.combination
class StreamNormedBatchSecond(PreLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            norm1, attention, norm2, feed_forward = layer.values()
            x = norm1(x)
            h = x.transpose(0, 1)
            x = x + self.dropout(attention(h, h, h, attn_mask=src_mask)[0]).transpose(0, 1)
            x = norm2(x)
            x = x + self.dropout(feed_forward(x))
        return x


@post_layer_norm.combination
class ExtraNormAndRepeatedLayer(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        self.layers = nn.ModuleList([self.layers[0]] * num_layers)
        self.final_norm = nn.LayerNorm(d_model)

    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(x + self.dropout(attention(x, x, x, attn_mask=src_mask)[0]))
            x = norm2(x + self.dropout(feed_forward(x)))
        return self.final_norm(x)


@post_layer_norm.combination
class MaskInvertedAndDropoutOfTheStream(PostLayerNormTransformer):
    def forward(self, src, src_mask=None):
        x = src
        for layer in self.layers:
            mask = ~src_mask if src_mask is not None and src_mask.dtype == torch.bool else src_mask
            attention, norm1, feed_forward, norm2 = layer.values()
            x = norm1(self.dropout(x + attention(x, x, x, attn_mask=mask)[0]))
            x = norm2(self.dropout(x + feed_forward(x)))
        return x


@pre_layer_norm.right_solution
class PreWithThreeLinears(nn.Module):
    class Layer(nn.Module):
        def __init__(self, width, heads, hidden, p):
            super().__init__()
            self.heads = heads
            self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
            self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
            self.drop1, self.drop2 = nn.Dropout(p), nn.Dropout(p)
            self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)

        def attend(self, x, mask):
            q, k, v = (
                f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for f in (self.q, self.k, self.v)
            )
            if mask is not None and mask.dtype == torch.bool:
                mask = ~mask
            y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            return self.drop1(self.o(y.transpose(1, 2).flatten(2)))

        def feed(self, x):
            return self.drop2(self.down(nn.functional.gelu(self.up(x))))

        def forward(self, x, mask):
            x = x + self.attend(self.ln1(x), mask)
            return x + self.feed(self.ln2(x))

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        self.stack = nn.ModuleList(
            [self.Layer(d_model, nhead, dim_feedforward, dropout) for _ in range(num_layers)]
        )
        self.ln_f = nn.LayerNorm(d_model)

    def forward(self, src, src_mask=None):
        for layer in self.stack:
            src = layer(src, src_mask)
        return self.ln_f(src)


@post_layer_norm.right_solution
class PostWithThreeLinears(nn.Module):
    class Layer(nn.Module):
        def __init__(self, width, heads, hidden, p):
            super().__init__()
            self.heads = heads
            self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
            self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
            self.drop1, self.drop2 = nn.Dropout(p), nn.Dropout(p)
            self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)

        def attend(self, x, mask):
            q, k, v = (
                f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for f in (self.q, self.k, self.v)
            )
            if mask is not None and mask.dtype == torch.bool:
                mask = ~mask
            y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            return self.drop1(self.o(y.transpose(1, 2).flatten(2)))

        def feed(self, x):
            return self.drop2(self.down(nn.functional.gelu(self.up(x))))

        def forward(self, x, mask):
            x = self.ln1(x + self.attend(x, mask))
            return self.ln2(x + self.feed(x))

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        self.stack = nn.ModuleList(
            [self.Layer(d_model, nhead, dim_feedforward, dropout) for _ in range(num_layers)]
        )

    def forward(self, src, src_mask=None):
        for layer in self.stack:
            src = layer(src, src_mask)
        return src


@pre_layer_norm.right_solution
class PreRawParameters(nn.Module):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()

        def matrices(rows, columns):
            return nn.ParameterList(
                [nn.Parameter(torch.randn(rows, columns) / rows**0.5) for _ in range(num_layers)]
            )

        self.qkv = matrices(d_model, 3 * d_model)
        self.out = matrices(d_model, d_model)
        self.first = matrices(d_model, dim_feedforward)
        self.second = matrices(dim_feedforward, d_model)
        self.thresholds = nn.ParameterList(
            [nn.Parameter(torch.zeros(dim_feedforward)) for _ in range(num_layers)]
        )
        self.gains = nn.ParameterList(
            [nn.Parameter(torch.ones(1, 1, d_model)) for _ in range(2 * num_layers + 1)]
        )
        self.shifts = nn.ParameterList(
            [nn.Parameter(torch.zeros(d_model)) for _ in range(2 * num_layers + 1)]
        )
        self.heads, self.p = nhead, dropout

    def norm(self, i, x):
        var, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(var + 1e-5) * self.gains[i] + self.shifts[i]

    def attention(self, i, x, mask):
        batch, seq, width = x.shape
        q, k, v = (x @ self.qkv[i]).view(batch, seq, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if mask is not None:
            if mask.dtype == torch.bool:
                mask = torch.zeros_like(mask, dtype=x.dtype).masked_fill(mask, float("-inf"))
            scores = scores + mask
        weights = nn.functional.dropout(scores.softmax(-1), self.p, self.training)
        y = (weights @ v).transpose(1, 2).reshape(batch, seq, width) @ self.out[i]
        return nn.functional.dropout(y, self.p, self.training)

    def feed_forward(self, i, x):
        hidden = nn.functional.dropout(
            (x @ self.first[i] + self.thresholds[i]).relu(), self.p, self.training
        )
        return nn.functional.dropout(hidden @ self.second[i], self.p, self.training)

    def forward(self, src, src_mask=None):
        x = src
        for i in range(len(self.qkv)):
            x = x + self.attention(i, self.norm(2 * i, x), src_mask)
            x = x + self.feed_forward(i, self.norm(2 * i + 1, x))
        return self.norm(-1, x)


@post_layer_norm.right_solution
class PostRawParameters(nn.Module):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()

        def matrices(rows, columns):
            return nn.ParameterList(
                [nn.Parameter(torch.randn(rows, columns) / rows**0.5) for _ in range(num_layers)]
            )

        self.qkv = matrices(d_model, 3 * d_model)
        self.out = matrices(d_model, d_model)
        self.first = matrices(d_model, dim_feedforward)
        self.second = matrices(dim_feedforward, d_model)
        self.thresholds = nn.ParameterList(
            [nn.Parameter(torch.zeros(dim_feedforward)) for _ in range(num_layers)]
        )
        self.gains = nn.ParameterList(
            [nn.Parameter(torch.ones(1, 1, d_model)) for _ in range(2 * num_layers)]
        )
        self.shifts = nn.ParameterList(
            [nn.Parameter(torch.zeros(d_model)) for _ in range(2 * num_layers)]
        )
        self.heads, self.p = nhead, dropout

    def norm(self, i, x):
        var, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(var + 1e-5) * self.gains[i] + self.shifts[i]

    def attention(self, i, x, mask):
        batch, seq, width = x.shape
        q, k, v = (x @ self.qkv[i]).view(batch, seq, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if mask is not None:
            if mask.dtype == torch.bool:
                mask = torch.zeros_like(mask, dtype=x.dtype).masked_fill(mask, float("-inf"))
            scores = scores + mask
        weights = nn.functional.dropout(scores.softmax(-1), self.p, self.training)
        y = (weights @ v).transpose(1, 2).reshape(batch, seq, width) @ self.out[i]
        return nn.functional.dropout(y, self.p, self.training)

    def feed_forward(self, i, x):
        hidden = nn.functional.dropout(
            (x @ self.first[i] + self.thresholds[i]).relu(), self.p, self.training
        )
        return nn.functional.dropout(hidden @ self.second[i], self.p, self.training)

    def forward(self, src, src_mask=None):
        x = src
        for i in range(len(self.qkv)):
            x = self.norm(2 * i, self.attention(i, x, src_mask) + x)
            x = self.norm(2 * i + 1, self.feed_forward(i, x) + x)
        return x


@pre_layer_norm.right_solution
class PreHeadByHead(nn.Module):
    class Head(nn.Module):
        def __init__(self, width, size):
            super().__init__()
            self.query, self.key, self.value = (
                nn.Linear(width, size, bias=False) for _ in range(3)
            )
            self.size = size

        def forward(self, x, mask):
            scores = torch.einsum("btd,bsd->bts", self.query(x), self.key(x)) / self.size**0.5
            if mask is not None and mask.dtype == torch.bool:
                scores = scores.masked_fill(mask, -1e30)
            elif mask is not None:
                scores = scores + mask
            return torch.softmax(scores, dim=-1) @ self.value(x)

    class Attention(nn.Module):
        def __init__(self, width, heads, make_head):
            super().__init__()
            self.heads = nn.ModuleList(make_head(width, width // heads) for _ in range(heads))
            self.mix = nn.Linear(width, width)

        def forward(self, x, mask=None):
            return self.mix(torch.cat([head(x, mask) for head in self.heads], dim=-1))

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()

        def several(make, count=num_layers):
            return nn.ModuleList(make() for _ in range(count))

        self.attentions = several(lambda: self.Attention(d_model, nhead, self.Head))
        self.networks = several(
            lambda: nn.Sequential(
                nn.Linear(d_model, dim_feedforward),
                nn.GELU(approximate="tanh"),
                nn.Dropout(dropout),
                nn.Linear(dim_feedforward, d_model),
            )
        )
        self.norms = several(lambda: nn.LayerNorm(d_model), 2 * num_layers + 1)
        self.drop = nn.Dropout(dropout)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, src, src_mask=None):
        norms = iter(self.norms)
        x = src
        for attention, network in zip(self.attentions, self.networks, strict=True):
            x = x + self.drop(attention(next(norms)(x), src_mask))
            x = x + self.drop(network(next(norms)(x)))
        return next(norms)(x)


@post_layer_norm.right_solution
class PostHeadByHead(nn.Module):
    class Head(nn.Module):
        def __init__(self, width, size):
            super().__init__()
            self.query, self.key, self.value = (
                nn.Linear(width, size, bias=False) for _ in range(3)
            )
            self.size = size

        def forward(self, x, mask):
            scores = torch.einsum("btd,bsd->bts", self.query(x), self.key(x)) / self.size**0.5
            if mask is not None and mask.dtype == torch.bool:
                scores = scores.masked_fill(mask, -1e30)
            elif mask is not None:
                scores = scores + mask
            return torch.softmax(scores, dim=-1) @ self.value(x)

    class Attention(nn.Module):
        def __init__(self, width, heads, make_head):
            super().__init__()
            self.heads = nn.ModuleList(make_head(width, width // heads) for _ in range(heads))
            self.mix = nn.Linear(width, width)

        def forward(self, x, mask=None):
            return self.mix(torch.cat([head(x, mask) for head in self.heads], dim=-1))

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()

        def several(make, count=num_layers):
            return nn.ModuleList(make() for _ in range(count))

        self.attentions = several(lambda: self.Attention(d_model, nhead, self.Head))
        self.networks = several(
            lambda: nn.Sequential(
                nn.Linear(d_model, dim_feedforward),
                nn.GELU(approximate="tanh"),
                nn.Dropout(dropout),
                nn.Linear(dim_feedforward, d_model),
            )
        )
        self.norms = several(lambda: nn.LayerNorm(d_model), 2 * num_layers)
        self.drop = nn.Dropout(dropout)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, src, src_mask=None):
        norms = iter(self.norms)
        x = src
        for attention, network in zip(self.attentions, self.networks, strict=True):
            x = next(norms)(x + self.drop(attention(x, src_mask)))
            x = next(norms)(x + self.drop(network(x)))
        return x


@pre_layer_norm.right_solution
class PreWrapped(nn.Module):
    class Residual(nn.Module):
        def __init__(self, width, sublayer, p):
            super().__init__()
            self.sublayer, self.norm, self.drop = sublayer, nn.LayerNorm(width), nn.Dropout(p)

        def forward(self, x, *more):
            return x + self.drop(self.sublayer(self.norm(x), *more))

    class SelfAttention(nn.MultiheadAttention):
        def forward(self, x, mask):
            x = x.transpose(0, 1)
            return super().forward(x, x, x, attn_mask=mask)[0].transpose(0, 1)

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        self.num_layers = num_layers
        for i in range(num_layers):
            attention = self.SelfAttention(d_model, nhead, dropout=dropout, bias=False)
            network = nn.Sequential(
                nn.Linear(d_model, dim_feedforward),
                nn.SiLU(),
                nn.Linear(dim_feedforward, d_model),
                nn.Dropout(dropout),
            )
            self.add_module(f"attention_{i}", self.Residual(d_model, attention, dropout))
            self.add_module(f"network_{i}", self.Residual(d_model, network, 0.0))
        self.last = nn.LayerNorm(d_model)

    def forward(self, src, src_mask=None):
        for i in range(self.num_layers):
            src = getattr(self, f"attention_{i}")(src, src_mask)
            src = getattr(self, f"network_{i}")(src)
        return self.last(src)


@post_layer_norm.right_solution
class PostWrapped(nn.Module):
    class Residual(nn.Module):
        def __init__(self, width, sublayer, p):
            super().__init__()
            self.sublayer, self.norm, self.drop = sublayer, nn.LayerNorm(width), nn.Dropout(p)

        def forward(self, x, *more):
            return self.norm(x + self.drop(self.sublayer(x, *more)))

    class SelfAttention(nn.MultiheadAttention):
        def forward(self, x, mask):
            x = x.transpose(0, 1)
            return super().forward(x, x, x, attn_mask=mask)[0].transpose(0, 1)

    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__()
        self.num_layers = num_layers
        for i in range(num_layers):
            attention = self.SelfAttention(d_model, nhead, dropout=dropout, bias=False)
            network = nn.Sequential(
                nn.Linear(d_model, dim_feedforward),
                nn.SiLU(),
                nn.Linear(dim_feedforward, d_model),
                nn.Dropout(dropout),
            )
            self.add_module(f"attention_{i}", self.Residual(d_model, attention, dropout))
            self.add_module(f"network_{i}", self.Residual(d_model, network, 0.0))
        self.last = nn.Identity()

    def forward(self, src, src_mask=None):
        for i in range(self.num_layers):
            src = getattr(self, f"attention_{i}")(src, src_mask)
            src = getattr(self, f"network_{i}")(src)
        return self.last(src)


@pre_layer_norm.known_mistake(
    "a feed-forward network without biases",
    "The linear layers of your feed-forward network have no biases. The feed- "
    "forward network of a transformer is max(0, x W1 + b1) W2 + b2.",
    hint=("`nn.Linear` has a bias unless told otherwise."),
)
class PreNoBiases(PreLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            layer["feed_forward"][0] = nn.Linear(d_model, dim_feedforward, bias=False)


@post_layer_norm.known_mistake(
    "a feed-forward network without biases",
    "The linear layers of your feed-forward network have no biases. The feed- "
    "forward network of a transformer is max(0, x W1 + b1) W2 + b2.",
    hint=("`nn.Linear` has a bias unless told otherwise."),
)
class PostNoBiases(PostLayerNormTransformer):
    def __init__(self, d_model, nhead, num_layers=2, dim_feedforward=128, dropout=0.1):
        super().__init__(d_model, nhead, num_layers, dim_feedforward, dropout)
        for layer in self.layers:
            layer["feed_forward"][0] = nn.Linear(d_model, dim_feedforward, bias=False)
