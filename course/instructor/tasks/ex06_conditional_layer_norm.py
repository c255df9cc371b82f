"""Exercise 6: layer normalization whose scale and shift follow a condition."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_rows
from course.instructor.task import Task
from course.layer_normalization_solutions import ConditionalLayerNorm, GatedResidualBlock
from course.student.answer_key import Case, Tolerance


def normalised(x, eps=1e-5):
    """Layer norm of the last dim in float64, without a built-in."""
    wide = x.double()
    centred = wide - wide.sum(-1, keepdim=True) / wide.shape[-1]
    return centred / ((centred * centred).sum(-1, keepdim=True) / wide.shape[-1] + eps).sqrt()


class Oracle(nn.Module):
    """The definition in float64, with one table for gamma and one for beta."""

    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__()
        self.tables = nn.Parameter(torch.zeros(2, condition_size + 1, normalized_shape))
        self.eps = eps

    def forward(self, x, condition):
        with_one = torch.cat([condition, torch.ones_like(condition[:, :1])], dim=1).double()
        change, beta = torch.einsum("bc,tcf->tbf", with_one, self.tables.double())
        rows = normalised(x, self.eps).reshape(len(x), -1, x.shape[-1])
        y = torch.einsum("bf,bsf->bsf", 1 + change, rows) + beta[:, None]
        return y.reshape(x.shape).to(x.dtype)


conditional_layer_norm = Task(
    "ex06_conditional_layer_norm",
    "Layer normalization under a condition",
    defines="ConditionalLayerNorm",
    oracle=Oracle,
)

# x_hat is at most 3. It is (output - beta) / gamma, so the rounding of a float32 output (1e-6)
# counts up to 50 times, where gamma is smallest beside the others: 1e-4. Right answers stay below
# 3e-5; the smallest error of a wrong eps is 0.02.
X_HAT = Tolerance(rtol=0, atol=1e-3)
# An offset of 1e4 leaves float32 values a grid of 1e-3, so right answers with a spread of about 2
# are off by up to 2e-3 in x_hat. E[x^2] - E[x]^2 is off by 8 in the variance, above 0.1 in x_hat.
OFFSET = Tolerance(rtol=0, atol=0.02)
# dx is of order 0.3; its rounding counts as that of x_hat does.
GRADIENT = Tolerance(rtol=0, atol=1e-3)
# Facts are the same or not.
EXACT = Tolerance(rtol=0, atol=0)


@conditional_layer_norm.cases
def norm_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dim of a case has its own length, but where a case is about equal ones."""
    batch, seq, conditions = (int(n) for n in rng.permutation([3, 4, 5]))
    features = int(rng.integers(6, 9))

    def inputs(*shape, look_at="x_hat", **more):
        rows = more.pop("x", None)
        rows = draw_rows(rng, *shape, features) if rows is None else rows
        return {
            "x": rows.astype(np.float32),
            "condition": rng.normal(size=(len(rows), conditions)).astype(np.float32),
            "seed": int(rng.integers(1000)),
            "look_at": look_at,
            **more,
        }

    def spread(low, high, *shape):
        """Rows around 0 whose spreads go from low to high."""
        rows = draw_rows(rng, *shape, features, spread=(1.0, 1.0), offset=0.0)
        return rows * np.geomspace(low, high, shape[0])[:, None]

    facts = (
        "output depends on the condition",
        "gamma and beta depend on x",
        "output has mean 0 and spread 1",
    )
    yield Case(
        "each row is normalised, then scaled and shifted under a condition",
        points=1,
        inputs=inputs(batch),
        tolerance=X_HAT,
        judged=(*facts, "x_hat"),
        hint="The check takes gamma and beta off your output again, and compares what is left, "
        "x_hat, with the normalised x. Normalise first, without the condition. Then multiply by "
        "gamma and add beta, both made of the condition alone.",
    )
    yield Case(
        "gamma follows the condition, and so does beta, each in its own way",
        points=0.5,
        inputs=inputs(4, look_at="gamma and beta"),
        tolerance=EXACT,
        judged=(
            "gamma depends on the condition",
            "beta depends on the condition",
            "beta is a fixed function of gamma",
        ),
        hint="Make gamma and beta of the condition by two layers, or by two halves of one.",
    )
    yield Case(
        "each feature has a gamma and a beta of its own",
        points=0.5,
        inputs=inputs(4, look_at="gamma and beta"),
        tolerance=EXACT,
        judged=(
            "gamma differs from feature to feature",
            "beta differs from feature to feature",
        ),
        hint="For one condition, gamma is a row of numbers, as many as there are features.",
    )
    yield Case(
        "each sample of a batch is treated by its own condition",
        points=0.5,
        inputs=inputs(batch, look_at="whose condition"),
        tolerance=EXACT,
        judged=("whose condition",),
        hint="Row n of x goes with row n of condition, and with no other. Nothing may be averaged "
        "over the batch.",
    )
    yield Case(
        "(batch, seq, features): a condition holds for all positions of its sample",
        points=0.5,
        inputs=inputs(batch, seq),
        tolerance=X_HAT,
        judged=(*facts, "x_hat"),
        hint="gamma has the shape (batch, features). Which shape lines it up with "
        "(batch, seq, features)?",
    )
    yield Case(
        "as many positions as samples: still one condition a sample",
        points=0.25,
        inputs=inputs(batch, batch, look_at="whose condition"),
        tolerance=EXACT,
        judged=("whose condition",),
        hint="PyTorch lines up dims from the right: (batch, features) beside (batch, seq, "
        "features) goes with seq. Put a dim of length 1 between batch and features.",
    )
    yield Case(
        "(batch, height, width, features)",
        points=0.25,
        inputs=inputs(batch, batch + 1, 2),
        tolerance=X_HAT,
        judged=(*facts, "x_hat"),
        hint="How many dims of length 1 does gamma need? Count them from `x.dim()`.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.25,
        inputs=inputs(x=spread(0.1, 2.0, batch), eps=float(rng.uniform(0.2, 0.5))),
        tolerance=X_HAT,
        judged=("x_hat",),
        hint="Keep the argument `eps` in `__init__`, and hand it to what normalises.",
    )
    yield Case(
        "rows of tiny variance, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs(x=spread(1e-3, 8e-3, batch)),
        tolerance=X_HAT,
        judged=("x_hat",),
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "an offset of 10,000 does not swamp the variance",
        points=0.25,
        inputs=inputs(x=1e4 + 100 * rng.uniform() + spread(2.0, 3.0, batch)),
        tolerance=OFFSET,
        judged=("x_hat",),
        by_values=False,
        hint="Subtract the mean before you square, or leave that to `nn.functional.layer_norm`.",
    )
    yield Case(
        "gamma and beta can take any value",
        points=0.25,
        inputs=inputs(3, look_at="range"),
        tolerance=EXACT,
        judged=("gamma can be", "beta can be"),
        hint="Nothing may squeeze gamma or beta at the end: no sigmoid, tanh, softmax or ReLU.",
    )
    yield Case(
        "a new module is plain layer norm, and learns from there",
        points=0.75,
        inputs=inputs(
            batch, look_at="start", upstream=rng.normal(size=(batch, features)).astype(np.float32)
        ),
        tolerance=EXACT,
        judged=(
            "a new module is",
            "gamma learns to follow the condition",
            "beta learns to follow the condition",
        ),
        hint="gamma is 1 plus a change. Let the last layer that makes the change, and the last "
        "that makes beta, start at zero, weights and biases; and only the last.",
    )
    yield Case(
        "gradients reach x, the condition and the parameters",
        points=0.5,
        inputs=inputs(
            batch,
            look_at="gradients",
            x=spread(1.0, 3.0, batch),
            upstream=rng.normal(size=(batch, features)).astype(np.float32),
        ),
        tolerance=GRADIENT,
        judged=(
            "gradient reaches x",
            "gradient reaches the condition",
            "gradient reaches what makes gamma",
            "gradient reaches what makes beta",
            "dx",
        ),
        hint="`.data`, `.detach()`, `.numpy()`, `.item()` and `torch.no_grad()` hide a step from "
        "autograd. Here dx is the gradient for a loss whose gradient at x_hat is `upstream`.",
    )
    yield Case(
        "x and the condition are left as they were",
        points=0.25,
        inputs=inputs(batch, seq, look_at="inputs"),
        tolerance=EXACT,
        judged=("x is unchanged", "condition is unchanged"),
        hint="An operation whose name ends in `_`, and `+=`, write into the caller's tensor.",
    )


# What the condition acts on


@conditional_layer_norm.known_mistake(
    "the condition is ignored",
    "You normalise, with a scale and a shift that are learned but the same under every condition.",
    hint="`forward` has two arguments. Where does your code use the second?",
)
class ConditionIgnored(nn.Module):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(normalized_shape, eps=eps)

    def forward(self, x, condition):
        return self.norm(x)


@conditional_layer_norm.known_mistake(
    "only beta follows the condition",
    "Your shift is made of the condition; your scale is the same under every condition.",
    hint="gamma is made as beta is, by a layer of its own: 1 + ...",
)
class OnlyBeta(nn.Module):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(normalized_shape, eps=eps)
        self.to_beta = nn.Linear(condition_size, normalized_shape)
        nn.init.zeros_(self.to_beta.weight)
        nn.init.zeros_(self.to_beta.bias)

    def forward(self, x, condition):
        beta = self.to_beta(condition)
        return self.norm(x) + beta.reshape(len(x), *[1] * (x.dim() - 2), -1)


@conditional_layer_norm.known_mistake(
    "only gamma follows the condition",
    "Your scale is made of the condition; your shift is the same under every condition.",
    hint="beta is made as gamma is, by a layer of its own.",
)
class OnlyGamma(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.to_beta = None
        self.beta = nn.Parameter(torch.zeros(normalized_shape))

    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        gamma = 1 + self.to_change(condition)
        return gamma.reshape(len(x), *[1] * (x.dim() - 2), -1) * x_hat + self.beta


@conditional_layer_norm.known_mistake(
    "no beta at all",
    "Your output is gamma times the normalised x. A shift is missing.",
    hint="Make beta of the condition as well, and add it at the end.",
)
class NoBeta(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        gamma = 1 + self.to_change(condition)
        return gamma.reshape(len(x), *[1] * (x.dim() - 2), -1) * x_hat


@conditional_layer_norm.known_mistake(
    "no gamma at all",
    "Your output is the normalised x plus a shift. A scale is missing.",
    hint="Multiply the normalised x by a gamma that is made of the condition.",
)
class NoGamma(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        return x_hat + self.to_beta(condition).reshape(len(x), *[1] * (x.dim() - 2), -1)


@conditional_layer_norm.known_mistake(
    "one layer for gamma and beta alike",
    "Your gamma and your beta come out of the same layer, so they rise and fall together: "
    "whoever knows one knows the other.",
    hint="Use two layers, or one with twice as many outputs, cut in two by `chunk(2, dim=-1)`.",
)
class SharedLayer(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shared = self.to_beta(condition).reshape(len(x), *[1] * (x.dim() - 2), -1)
        return (1 + shared) * x_hat + shared


@conditional_layer_norm.known_mistake(
    "the condition acts before the normalisation",
    "Your condition scales and shifts x, or is mixed into it, and the result is normalised. The "
    "normalisation takes most of it away again: every row comes out with mean 0 and spread 1.",
    hint="First x_hat, from x alone. Then gamma and beta act on x_hat, and nothing comes after.",
)
class BeforeTheNorm(ConditionalLayerNorm):
    def forward(self, x, condition):
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        beta = self.to_beta(condition).reshape(shape)
        return nn.functional.layer_norm(gamma * x + beta, (self.normalized_shape,), eps=self.eps)


@conditional_layer_norm.known_mistake(
    "the condition acts before an nn.LayerNorm with its own scale and shift",
    "Your condition scales and shifts x, or is mixed into it, and an `nn.LayerNorm` comes after. "
    "It takes most of that away again, and its own scale and shift know no condition.",
    hint="First x_hat, from x alone. Then gamma and beta act on x_hat, and nothing comes after.",
)
class BeforeAModule(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.norm = nn.LayerNorm(normalized_shape, eps=eps)

    def forward(self, x, condition):
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        beta = self.to_beta(condition).reshape(shape)
        return self.norm(gamma * x + beta)


@conditional_layer_norm.known_mistake(
    "the condition is glued to x and normalised with it",
    "You concatenate x and the condition, so the entries of the condition count in the mean and "
    "the variance of every row.",
    hint="The statistics come from x alone. The condition makes gamma and beta, and nothing else.",
)
class Concatenated(ConditionalLayerNorm):
    def forward(self, x, condition):
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        spread_out = condition.reshape(shape).expand(*x.shape[:-1], -1)
        both = torch.cat([x, spread_out], dim=-1)
        x_hat = nn.functional.layer_norm(both, (both.shape[-1],), eps=self.eps)[..., : x.shape[-1]]
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "no normalisation",
    "You scale and shift x itself. That is a FiLM layer without the norm before it.",
    hint="Normalise x first, and scale and shift what comes out.",
)
class NoNorm(ConditionalLayerNorm):
    def forward(self, x, condition):
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x + self.to_beta(condition).reshape(shape)


# Which condition, and how it lines up with x


@conditional_layer_norm.known_mistake(
    "gamma and beta not lined up with the batch",
    "Your gamma and beta have the shape (batch, features). Beside (batch, seq, features), PyTorch "
    "lines their first dim up with seq: an error, or, where seq equals batch, the wrong condition.",
    hint="Put a dim of length 1 between the two for every dim that x has there: `unsqueeze(1)` "
    "while x has three dims, `reshape` with a shape made from `x.dim()` in general.",
)
class NotLinedUp(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        return (1 + self.to_change(condition)) * x_hat + self.to_beta(condition)


@conditional_layer_norm.known_mistake(
    "made for three dims only",
    "You always put one dim of length 1 into gamma and beta. That is right for (batch, seq, "
    "features); with (batch, features) the result gets a dim too many.",
    hint="How many dims lie between the first and the last one of x? `x.dim() - 2`.",
)
class ThreeDimsOnly(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        gamma = 1 + self.to_change(condition).unsqueeze(1)
        return gamma * x_hat + self.to_beta(condition).unsqueeze(1)


@conditional_layer_norm.known_mistake(
    "made for two and three dims only",
    "With (batch, height, width, features), your gamma and beta lack a dim.",
    hint="How many dims lie between the first and the last one of x? `x.dim() - 2`, and gamma "
    "needs as many of length 1.",
)
class UpToThreeDims(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        gamma, beta = 1 + self.to_change(condition), self.to_beta(condition)
        if x.dim() > 2:
            gamma, beta = gamma.unsqueeze(1), beta.unsqueeze(1)
        return gamma * x_hat + beta


@conditional_layer_norm.known_mistake(
    "the first sample's condition for all",
    "You use the first row of the condition, and every sample gets its gamma and beta.",
    hint="Hand the whole condition, of shape (batch, condition_size), to your layers.",
)
class FirstCondition(ConditionalLayerNorm):
    def forward(self, x, condition):
        return super().forward(x, condition[:1].expand(len(x), -1))


@conditional_layer_norm.known_mistake(
    "the mean condition of the batch",
    "You average over the batch, so all samples get the same gamma and beta.",
    hint="Hand the whole condition, of shape (batch, condition_size), to your layers, and average "
    "nothing.",
)
class MeanCondition(ConditionalLayerNorm):
    def forward(self, x, condition):
        return super().forward(x, condition.mean(0, keepdim=True).expand(len(x), -1))


@conditional_layer_norm.known_mistake(
    "one gamma and one beta for all features",
    "Your layers have one output, a single number that all features share.",
    hint="The layer that makes gamma needs as many outputs as there are features.",
)
class Scalars(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.to_change = nn.Linear(condition_size, 1)
        self.to_beta = nn.Linear(condition_size, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 1))
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "one gamma for all features",
    "The layer that makes gamma has one output, a single number that all features share.",
    hint="It needs as many outputs as there are features, as the layer that makes beta has.",
)
class ScalarGamma(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.to_change = nn.Linear(condition_size, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "in and out of the layers exchanged",
    "Your `nn.Linear(normalized_shape, condition_size)` takes features and gives conditions.",
    hint="The first argument of `nn.Linear` is the length of what goes in: the condition.",
)
class InAndOut(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.to_change = nn.Linear(normalized_shape, condition_size)
        self.to_beta = nn.Linear(normalized_shape, condition_size)


# The normalisation


@conditional_layer_norm.known_mistake(
    "eps outside the square root",
    "You divided by sqrt(var) + eps. The formula divides by sqrt(var + eps).",
    hint="Move `eps` inside: the difference shows as soon as `eps` is not tiny.",
)
class EpsOutside(ConditionalLayerNorm):
    def forward(self, x, condition):
        centred = x - x.mean(-1, keepdim=True)
        x_hat = centred / (x.std(-1, keepdim=True, unbiased=False) + self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "no eps",
    "You divided by sqrt(var) alone, and `eps` plays no part.",
    hint="Add `self.eps` to the variance before the square root.",
)
class NoEps(ConditionalLayerNorm):
    def forward(self, x, condition):
        centred = x - x.mean(-1, keepdim=True)
        x_hat = centred / x.std(-1, keepdim=True, unbiased=False)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "an eps of your own instead of the argument",
    "Your module uses 1e-5 whatever `eps` is passed. `nn.LayerNorm` and its function do so too, "
    "unless you hand them your eps.",
    hint="Where does your code read the argument `eps`?",
)
class EpsNotPassedOn(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size)


@conditional_layer_norm.known_mistake(
    "another default for eps (1e-6)",
    "Built without `eps`, your module uses 1e-6. The signature says `eps=1e-5`.",
    hint="Look at the line `def __init__`.",
)
class OtherDefault(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-6):
        super().__init__(normalized_shape, condition_size, eps)


@conditional_layer_norm.known_mistake(
    "the unbiased variance",
    "You divided the sum of squared deviations by D - 1, as `torch.var` does unless told "
    "otherwise. Layer normalization divides by D.",
    hint="Pass `unbiased=False`, or leave the normalisation to `nn.functional.layer_norm`.",
)
class UnbiasedVariance(ConditionalLayerNorm):
    def forward(self, x, condition):
        centred = x - x.mean(-1, keepdim=True)
        x_hat = centred / torch.sqrt(x.var(-1, keepdim=True) + self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "torch.std plus eps",
    "Two things at once, and common in tutorials: `torch.std` divides by D - 1, and `eps` is added "
    "to the standard deviation. The formula has D, and sqrt(var + eps).",
    hint="Compute the variance, dividing by D, or leave it to `nn.functional.layer_norm`.",
)
class StdPlusEps(ConditionalLayerNorm):
    def forward(self, x, condition):
        centred = x - x.mean(-1, keepdim=True)
        x_hat = centred / (x.std(-1, keepdim=True) + self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "the variance as E[x^2] - E[x]^2",
    "On paper that is the variance. With an offset of 10,000 both terms are about 1e8, and float32 "
    "keeps seven digits: their difference is rounding noise.",
    hint="Subtract the mean first, then take the mean of the squares.",
)
class DifferenceOfSquares(ConditionalLayerNorm):
    def forward(self, x, condition):
        mean = x.mean(-1, keepdim=True)
        var = (x * x).mean(-1, keepdim=True) - mean * mean
        x_hat = (x - mean) / torch.sqrt(var + self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "RMS normalization",
    "You divided by the root mean square and subtracted nothing. That is RMSNorm (exercise 5).",
    hint="Layer normalization centres first, and divides by the spread around the mean.",
)
class RootMeanSquare(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "statistics over the batch (dim=0)",
    "You took the statistics over the batch, feature by feature. That is batch normalization.",
    hint="The mean and the variance of a row come from that row: dim=-1.",
)
class OverTheBatch(ConditionalLayerNorm):
    def forward(self, x, condition):
        var = x.var(0, keepdim=True, unbiased=False)
        x_hat = (x - x.mean(0, keepdim=True)) / torch.sqrt(var + self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "statistics of a whole sample",
    "You normalise each sample as a whole, with every dim but the first in the mean.",
    hint="For (batch, seq, features), the mean should have shape (batch, seq, 1): each position "
    "has statistics of its own.",
)
class WholeSample(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, x.shape[1:], eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "dim=1 instead of the last dim",
    "Dim 1 is the last one only while x has two dims.",
    hint="Count from the end: -1 is the last dim.",
)
class DimOne(ConditionalLayerNorm):
    def forward(self, x, condition):
        var = x.var(1, keepdim=True, unbiased=False)
        x_hat = (x - x.mean(1, keepdim=True)) / torch.sqrt(var + self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "one mean and one variance for the whole tensor",
    "You took the statistics over all entries at once, the batch included.",
    hint="The mean and the variance of a row come from that row: dim=-1 and keepdim=True.",
)
class WholeTensor(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


# The start


@conditional_layer_norm.known_mistake(
    "gamma without the 1 +",
    "Your layers start at zero, and gamma is what the layer gives. So a new module returns 0 "
    "everywhere, and nothing of x comes through: no gradient reaches the layers before it.",
    hint="gamma = 1 + what the layer gives.",
)
class WithoutTheOne(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = self.to_change(condition).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "gamma and beta exchanged",
    "What starts at 1 is added, and what starts at 0 is the factor. So a new module returns 1 "
    "everywhere, whatever x is.",
    hint="The factor of x_hat is gamma, the one with the 1 +.",
)
class Exchanged(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return self.to_beta(condition).reshape(shape) * x_hat + gamma


@conditional_layer_norm.known_mistake(
    "layers that start at random",
    "Your layers start as PyTorch makes them, at random, so a new module scales and shifts by "
    "chance. That can learn, but it does not start as plain layer norm.",
    hint="`nn.init.zeros_` sets a weight or a bias to zero. Which layers need it?",
)
class RandomStart(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.to_change.reset_parameters()
        self.to_beta.reset_parameters()


@conditional_layer_norm.known_mistake(
    "every layer of a network starts at zero",
    "You use two layers in a row, and set both to zero. Then neither can move: the gradient of one "
    "is a product with the output or the weights of the other, and these are 0.",
    hint="Only the last layer has to start at zero. Leave the one before it as PyTorch makes it.",
)
class AllZero(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.to_change = nn.Sequential(
            nn.Linear(condition_size, 8), nn.SiLU(), nn.Linear(8, normalized_shape)
        )
        self.to_beta = nn.Sequential(
            nn.Linear(condition_size, 8), nn.SiLU(), nn.Linear(8, normalized_shape)
        )
        for parameter in self.parameters():
            nn.init.zeros_(parameter)


@conditional_layer_norm.known_mistake(
    "gamma squeezed by a sigmoid or tanh",
    "A sigmoid or tanh holds your gamma in a short range. It cannot amplify a feature much, nor "
    "turn it around.",
    hint="Use what the layer gives as it is: gamma = 1 + layer(condition).",
)
class Squeezed(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + torch.tanh(self.to_change(condition))).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "a sigmoid as gamma",
    "Your gamma is a sigmoid. It lies between 0 and 1, and a new module halves its normalised x.",
    hint="Use what the layer gives as it is: gamma = 1 + layer(condition).",
)
class SigmoidGamma(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = torch.sigmoid(self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "a softmax as gamma",
    "Your gamma is a softmax over the features. It is a share of 1, and no feature can grow but "
    "at the cost of another.",
    hint="Use what the layer gives as it is: gamma = 1 + layer(condition).",
)
class SoftmaxGamma(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = torch.softmax(self.to_change(condition), dim=-1).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


# Learning


@conditional_layer_norm.known_mistake(
    "layers made in forward",
    "You create layers in `forward`. They are new and random at every call, and no optimizer "
    "ever sees them.",
    hint="Create them once, in `__init__`, and only use them in `forward`.",
)
class MadeInForward(ConditionalLayerNorm):
    def forward(self, x, condition):
        self.to_change = nn.Linear(condition.shape[-1], x.shape[-1])
        self.to_beta = nn.Linear(condition.shape[-1], x.shape[-1])
        return super().forward(x, condition)


@conditional_layer_norm.known_mistake(
    "layers in a Python list",
    "PyTorch does not look into a list for layers, so your module has no parameters: nothing is "
    "learned, saved or moved.",
    hint="Assign each layer to an attribute of its own, or use `nn.ModuleList`.",
)
class InAList(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.layers = [self.to_change, self.to_beta]
        del self.to_change, self.to_beta

    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        change, beta = (layer(condition).reshape(shape) for layer in self.layers)
        return (1 + change) * x_hat + beta


@conditional_layer_norm.known_mistake(
    "the condition is detached",
    "Your module learns, but whatever makes the condition does not: an embedding of classes, say. "
    "No gradient gets back to it.",
    hint="Look for `.detach()` or `.data` on the condition, or a `torch.tensor(condition)`.",
)
class ConditionDetached(ConditionalLayerNorm):
    def forward(self, x, condition):
        return super().forward(x, condition.detach())


@conditional_layer_norm.known_mistake(
    "gamma and beta are detached",
    "You make gamma and beta where autograd does not look, so the layers that make them never "
    "learn.",
    hint="Look for `torch.no_grad()`, `.detach()` and `.data` between the condition and gamma.",
)
class ModulationDetached(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        with torch.no_grad():
            gamma = (1 + self.to_change(condition)).reshape(shape)
            beta = self.to_beta(condition).reshape(shape)
        return gamma * x_hat + beta


@conditional_layer_norm.known_mistake(
    "statistics detached",
    "Your mean and variance are constants to autograd, so dx lacks their two terms (exercise 2).",
    hint="Look for `.detach()`, `.data` and `torch.no_grad()` around the mean and the variance.",
)
class StatisticsDetached(ConditionalLayerNorm):
    def forward(self, x, condition):
        with torch.no_grad():
            mean = x.mean(-1, keepdim=True)
            var = x.var(-1, keepdim=True, unbiased=False)
        x_hat = (x - mean) / torch.sqrt(var + self.eps)
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.to_change(condition)).reshape(shape)
        return gamma * x_hat + self.to_beta(condition).reshape(shape)


@conditional_layer_norm.known_mistake(
    "x changed in place",
    "You write into x, and the caller's tensor changes with it. In a residual block, x is still "
    "needed.",
    hint="`x -= mean` writes into x; `x - mean` makes a new tensor.",
)
class XInPlace(ConditionalLayerNorm):
    def forward(self, x, condition):
        x -= x.mean(-1, keepdim=True)
        return super().forward(x, condition)


@conditional_layer_norm.known_mistake(
    "the condition changed in place",
    "You write into the condition, or give it another shape in place, and the caller's tensor "
    "changes with it. The next layer that uses it goes wrong.",
    hint="`unsqueeze_` and other names that end in `_` work in place; `unsqueeze` does not.",
)
class ConditionInPlace(ConditionalLayerNorm):
    def forward(self, x, condition):
        for _ in range(x.dim() - 2):
            condition.unsqueeze_(1)
        return super().forward(x, condition.reshape(len(x), -1))


# Two mistakes at once


@conditional_layer_norm.combination
class OnlyBetaEpsOutside(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.gamma = nn.Parameter(torch.ones(normalized_shape))

    def forward(self, x, condition):
        centred = x - x.mean(-1, keepdim=True)
        x_hat = centred / (x.std(-1, keepdim=True, unbiased=False) + self.eps)
        beta = self.to_beta(condition).reshape(len(x), *[1] * (x.dim() - 2), -1)
        return self.gamma * x_hat + beta


@conditional_layer_norm.combination
class WithoutTheOneNotLinedUp(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        return self.to_change(condition) * x_hat + self.to_beta(condition)


@conditional_layer_norm.combination
class SharedAndFirstCondition(ConditionalLayerNorm):
    def forward(self, x, condition):
        x_hat = nn.functional.layer_norm(x, (self.normalized_shape,), eps=self.eps)
        shared = self.to_beta(condition[:1]).expand(len(x), -1)
        shared = shared.reshape(len(x), *[1] * (x.dim() - 2), -1)
        return (1 + shared) * x_hat + shared


@conditional_layer_norm.combination
class RandomStartOtherDefault(ConditionalLayerNorm):
    def __init__(self, normalized_shape, condition_size, eps=1e-6):
        super().__init__(normalized_shape, condition_size, eps)
        self.to_change.reset_parameters()
        self.to_beta.reset_parameters()


# Right, and written differently


@conditional_layer_norm.right_solution
class OneLayerInTwoHalves(nn.Module):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(normalized_shape, eps=eps, elementwise_affine=False)
        self.modulation = nn.Linear(condition_size, 2 * normalized_shape)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x, condition):
        scale, shift = self.modulation(condition).chunk(2, dim=-1)
        while scale.dim() < x.dim():
            scale, shift = scale.unsqueeze(1), shift.unsqueeze(1)
        return self.norm(x) * (1 + scale) + shift


@conditional_layer_norm.right_solution
class WithANetwork(nn.Module):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__()
        self.features, self.eps = normalized_shape, eps
        last = nn.Linear(16, 2 * normalized_shape)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Linear(condition_size, 16), nn.ReLU(), last)

    def forward(self, x, condition):
        change, beta = self.network(condition).split(self.features, dim=1)
        rows = x.reshape(len(x), -1, self.features)
        x_hat = nn.functional.layer_norm(rows, (self.features,), None, None, self.eps)
        return torch.addcmul(beta[:, None], x_hat, 1 + change[:, None]).reshape(x.shape)


@conditional_layer_norm.right_solution
class GammaStartsInTheBias(ConditionalLayerNorm):
    """The 1 is the bias of the layer, as in conditional batch norm."""

    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        nn.init.ones_(self.to_change.bias)

    def forward(self, x, condition):
        centred = x - x.mean(dim=-1, keepdim=True)
        var = centred.pow(2).mean(dim=-1, keepdim=True)
        x_hat = centred * torch.rsqrt(var + self.eps)
        to_x = (slice(None), *[None] * (x.dim() - 2))
        return self.to_change(condition)[to_x] * x_hat + self.to_beta(condition)[to_x]


@conditional_layer_norm.right_solution
class SampleBySample(nn.Module):
    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(condition_size, normalized_shape, 2))
        self.base = nn.Parameter(torch.tensor([1.0, 0.0]).repeat(normalized_shape, 1))
        self.eps = eps

    def one(self, x, condition):
        gamma, beta = (torch.tensordot(condition, self.matrix, dims=1) + self.base).unbind(-1)
        var, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
        return gamma * (x - mean) / torch.sqrt(var + self.eps) + beta

    def forward(self, x, condition):
        return torch.stack([self.one(*pair) for pair in zip(x, condition, strict=True)])


@conditional_layer_norm.right_solution
class OnTopOfAnAffineNorm(ConditionalLayerNorm):
    """nn.LayerNorm's own scale and shift are too much, and do no harm."""

    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__(normalized_shape, condition_size, eps)
        self.norm = nn.LayerNorm(normalized_shape, eps=eps)

    def forward(self, x, condition):
        rows = self.norm(x).flatten(1, -2) if x.dim() > 2 else self.norm(x)[:, None]
        change, beta = self.to_change(condition)[:, None], self.to_beta(condition)[:, None]
        return (rows + change * rows + beta).reshape(x.shape)


@conditional_layer_norm.right_solution
class LastToFront(nn.Module):
    """The batch dim moves next to the features, so that gamma needs no new dims."""

    def __init__(self, normalized_shape, condition_size, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.embed = nn.Sequential(nn.Linear(condition_size, 12), nn.Tanh())
        self.heads = nn.ModuleDict(
            {name: nn.Linear(12, normalized_shape) for name in ("change", "shift")}
        )
        for head in self.heads.values():
            nn.init.constant_(head.weight, 0)
            nn.init.constant_(head.bias, 0)

    def forward(self, x, condition):
        code = self.embed(condition)
        wide = x.double()
        x_hat = (
            nn.functional.layer_norm(wide, wide.shape[-1:], eps=self.eps).to(x.dtype).movedim(0, -2)
        )
        y = x_hat * self.heads["change"](code) + x_hat + self.heads["shift"](code)
        return y.movedim(-2, 0)


# The gated block


class BlockOracle(nn.Module):
    """The definition, with one table for gamma, beta and alpha and the MLP written out."""

    def __init__(self, d_model, condition_size, hidden_size=24):
        super().__init__()
        self.tables = nn.Parameter(torch.zeros(3, condition_size + 1, d_model))
        self.into = nn.Parameter(torch.randn(d_model, hidden_size) / d_model**0.5)
        self.out = nn.Parameter(torch.randn(hidden_size, d_model) / hidden_size**0.5)

    def forward(self, x, condition):
        with_one = torch.cat([condition, torch.ones_like(condition[:, :1])], dim=1)
        rows = x.reshape(len(x), -1, x.shape[-1])
        change, beta, alpha = torch.einsum("bc,tcf->tbf", with_one, self.tables)[:, :, None]
        seen = (1 + change) * normalised(rows).to(x.dtype) + beta
        return (rows + alpha * (torch.tanh(seen @ self.into) @ self.out)).reshape(x.shape)


gated_block = Task(
    "ex06_gated_block",
    "A gated residual block",
    defines="GatedResidualBlock",
    oracle=BlockOracle,
)


@gated_block.cases
def block_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Facts about outputs, the same for every right block; all of them are true or false."""
    batch, seq, conditions = (int(n) for n in rng.permutation([3, 4, 5]))
    features = int(rng.integers(6, 9))

    def inputs(*shape, look_at="output", upstream=False):
        gradient = rng.normal(size=(*shape, features)).astype(np.float32)
        return {
            "x": draw_rows(rng, *shape, features).astype(np.float32),
            "condition": rng.normal(size=(shape[0], conditions)).astype(np.float32),
            "seed": int(rng.integers(1000)),
            "look_at": look_at,
            **({"upstream": gradient} if upstream else {}),
        }

    def case(name, points, judged, hint, *shape, **more):
        return Case(name, points, inputs(*shape, **more), EXACT, hint, tuple(judged))

    yield case(
        "x is passed on, and a branch that sees x normalised is added",
        1,
        (
            "output for x + 3",
            "output - x is the same for x with twice the spread",
            "output depends on the condition",
            "output has mean 0 and spread 1",
        ),
        "The output is x plus alpha times a branch. The branch sees x through a layer norm, so it "
        "does not notice when every entry of x is 3 higher. The output does, by 3.",
        batch,
    )
    yield case(
        "(batch, seq, d_model): each row by itself, under its own sample's condition",
        0.25,
        ["whose condition"],
        "alpha has the shape (batch, d_model). Which shape lines it up with x? And nothing may be "
        "averaged over positions.",
        batch,
        seq,
        look_at="whose condition",
    )
    yield case(
        "as many positions as samples: still one condition a sample",
        0.25,
        ["whose condition"],
        "Put a dim of length 1 between the batch and the features of alpha.",
        batch,
        batch,
        look_at="whose condition",
    )
    yield case(
        "(batch, height, width, d_model)",
        0.25,
        ["whose condition"],
        "How many dims of length 1 does alpha need? Count them from `x.dim()`.",
        batch,
        batch + 1,
        2,
        look_at="whose condition",
    )
    yield case(
        "the condition acts on what the sublayer sees, and not on the gate alone",
        0.25,
        ["condition acts on what the sublayer sees"],
        "The norm before the sublayer is the conditional one: gamma and beta come from the "
        "condition.",
        batch,
        look_at="branch",
    )
    yield case(
        "the sublayer is more than a straight line",
        0.25,
        ["sublayer is more than a straight line"],
        "Two linear layers in a row are one linear layer. What has to stand between them?",
        batch,
        look_at="branch",
    )
    yield case(
        "a new block is the identity",
        0.5,
        ["a new block returns"],
        "Let the layer that makes alpha start at zero, its weight and its bias.",
        batch,
        look_at="start",
    )
    yield case(
        "a new block learns",
        0.25,
        ["block learns"],
        "Where alpha is 0, only alpha gets a gradient, and it is a product with what the branch "
        "gives. So that may not be 0 too.",
        batch,
        look_at="learning",
        upstream=True,
    )
    yield case(
        "the first step opens the gate for what the branch makes of x",
        0.25,
        ["branch depends on x after one step"],
        "What does the branch of a new block give? With gamma at 1 it depends on x.",
        batch,
        look_at="first step",
        upstream=True,
    )
    yield case(
        "the gate follows the condition",
        0.25,
        ["gate follows the condition after one step"],
        "alpha is made of the condition, as gamma and beta are.",
        batch,
        look_at="first step",
        upstream=True,
    )
    yield case(
        "each feature has a gate of its own",
        0.25,
        ["features that move when one is pulled"],
        "The layer that makes alpha needs as many outputs as there are features. After one step "
        "for the first feature's sake, no other gate may be open.",
        batch,
        look_at="gates",
        upstream=True,
    )
    yield case(
        "gradients reach x and the condition, and both are left as they were",
        0.25,
        [
            "gradient reaches x past the branch and through it",
            "gradient reaches the condition",
            "x is unchanged",
            "condition is unchanged",
        ],
        "`x += ...` writes into the caller's tensor. `.detach()`, `.data` and `torch.no_grad()` "
        "hide a step from autograd.",
        batch,
        look_at="gradients",
        upstream=True,
    )


@gated_block.known_mistake(
    "no gate that starts at 0",
    "Your branch is added in full from the start: there is no gate, or one that starts elsewhere, "
    "as 1 + alpha and a sigmoid do.",
    hint="x + alpha * branch, with alpha = layer(condition), and that layer starting at zero.",
)
class NoGate(GatedResidualBlock):
    def forward(self, x, condition):
        return x + self.mlp(self.norm(x, condition))


@gated_block.known_mistake(
    "a gate that starts at random",
    "The layer that makes alpha starts as PyTorch makes it, at random, so a new block changes x "
    "by chance.",
    hint="`nn.init.zeros_` sets a weight or a bias to zero. alpha's layer has one of each.",
)
class RandomGate(GatedResidualBlock):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        self.to_alpha.reset_parameters()


@gated_block.known_mistake(
    "no residual connection",
    "You return alpha times the branch. x itself is not passed on, and a new block returns 0.",
    hint="Add x.",
)
class NoResidual(GatedResidualBlock):
    def forward(self, x, condition):
        return super().forward(x, condition) - x


@gated_block.known_mistake(
    "the gate is on x",
    "Your alpha multiplies x, and the branch is added in full. A new block drops x.",
    hint="alpha belongs in front of the branch; x passes untouched.",
)
class GateOnX(GatedResidualBlock):
    def forward(self, x, condition):
        alpha = self.to_alpha(condition).reshape(len(x), *[1] * (x.dim() - 2), -1)
        return alpha * x + self.mlp(self.norm(x, condition))


@gated_block.known_mistake(
    "the gate is on x and on the branch",
    "Your alpha multiplies the sum of x and the branch. A new block returns 0.",
    hint="alpha belongs in front of the branch alone; x passes untouched.",
)
class GateOnBoth(GatedResidualBlock):
    def forward(self, x, condition):
        alpha = self.to_alpha(condition).reshape(len(x), *[1] * (x.dim() - 2), -1)
        return alpha * (x + self.mlp(self.norm(x, condition)))


@gated_block.known_mistake(
    "x is faded out where the branch is faded in",
    "You mix: (1 - alpha) x + alpha times the branch. A new block is the identity, but the more a "
    "gate opens, the less of x goes on to the next block.",
    hint="x passes untouched, whatever alpha is: x + alpha * branch.",
)
class FadedOut(GatedResidualBlock):
    def forward(self, x, condition):
        alpha = self.to_alpha(condition).reshape(len(x), *[1] * (x.dim() - 2), -1)
        return (1 - alpha) * x + alpha * self.mlp(self.norm(x, condition))


@gated_block.known_mistake(
    "the gate is before the sublayer",
    "Your alpha multiplies what goes into the MLP. What comes out of it is added even where alpha "
    "is 0, for the MLP has biases.",
    hint="alpha multiplies what the MLP gives.",
)
class GateBefore(GatedResidualBlock):
    def forward(self, x, condition):
        alpha = self.to_alpha(condition).reshape(len(x), *[1] * (x.dim() - 2), -1)
        return x + self.mlp(alpha * self.norm(x, condition))


@gated_block.known_mistake(
    "no normalisation before the sublayer",
    "Your sublayer sees x as it is, so the branch depends on the level and the spread of x, which "
    "a layer norm takes away. A norm after the sublayer comes too late for that.",
    hint="First the norm, then the MLP: `mlp(norm(x, condition))`.",
)
class BlockWithoutNorm(GatedResidualBlock):
    def forward(self, x, condition):
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        gamma = (1 + self.norm.to_change(condition)).reshape(shape)
        seen = gamma * x + self.norm.to_beta(condition).reshape(shape)
        return x + self.to_alpha(condition).reshape(shape) * self.mlp(seen)


@gated_block.known_mistake(
    "the normalised x is passed on",
    "You add the branch to the normalised x. Past the branch, x has to go through untouched: its "
    "level and spread are lost here.",
    hint="Keep x, give the normalised one a name of its own, and add the branch to x.",
)
class NormalisedResidual(GatedResidualBlock):
    def forward(self, x, condition):
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        seen = self.norm(x, condition)
        return seen + self.to_alpha(condition).reshape(shape) * self.mlp(seen)


@gated_block.known_mistake(
    "the output is normalised",
    "You normalise after adding x. A new block is then a layer norm, not the identity.",
    hint="The norm comes before the sublayer. What is added to x is final.",
)
class NormalisedOutput(GatedResidualBlock):
    def forward(self, x, condition):
        return nn.functional.layer_norm(super().forward(x, condition), x.shape[-1:])


@gated_block.known_mistake(
    "alpha and the last layer of the MLP both start at zero",
    "Each is 0, and each one's gradient is a product with the other. So both stay where they are, "
    "and the block never learns.",
    hint="One of the two is enough for the identity. Leave the MLP as PyTorch makes it.",
)
class TwiceZero(GatedResidualBlock):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        nn.init.zeros_(self.mlp[-1].weight)
        nn.init.zeros_(self.mlp[-1].bias)


@gated_block.known_mistake(
    "gamma without the 1 +",
    "Gamma starts at 0, so the sublayer of a new block sees the same for every x, and the first "
    "step cannot learn anything about x.",
    hint="gamma = 1 + what the layer gives.",
)
class BlockWithoutTheOne(GatedResidualBlock):
    def forward(self, x, condition):
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        x_hat = nn.functional.layer_norm(x, x.shape[-1:])
        seen = self.norm.to_change(condition).reshape(shape) * x_hat
        seen = seen + self.norm.to_beta(condition).reshape(shape)
        return x + self.to_alpha(condition).reshape(shape) * self.mlp(seen)


@gated_block.known_mistake(
    "a gate without the condition",
    "Your alpha is a parameter, the same under every condition.",
    hint="Make alpha of the condition, by a layer such as `nn.Linear(condition_size, d_model)`.",
)
class GateWithoutCondition(GatedResidualBlock):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        self.to_alpha = None
        self.alpha = nn.Parameter(torch.zeros(d_model))

    def forward(self, x, condition):
        return x + self.alpha * self.mlp(self.norm(x, condition))


@gated_block.known_mistake(
    "a norm without the condition",
    "Only your gate follows the condition. The norm before the sublayer is a plain layer norm.",
    hint="Use `ConditionalLayerNorm(d_model, condition_size)`, and hand it the condition.",
)
class NormWithoutCondition(GatedResidualBlock):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x, condition):
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        return x + self.to_alpha(condition).reshape(shape) * self.mlp(self.norm(x))


@gated_block.known_mistake(
    "the condition is ignored",
    "Nothing in your block depends on the condition.",
    hint="It has three uses here: gamma, beta and alpha.",
)
class BlockIgnoresCondition(nn.Module):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, hidden_size), nn.GELU(), nn.Linear(hidden_size, d_model)
        )

    def forward(self, x, condition):
        return x + self.mlp(self.norm(x))


@gated_block.known_mistake(
    "no non-linearity in the sublayer",
    "Your sublayer is made of linear layers alone, so together they are a single one.",
    hint="Put an `nn.GELU()` or `nn.ReLU()` between the two.",
)
class StraightSublayer(GatedResidualBlock):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        self.mlp = nn.Sequential(nn.Linear(d_model, hidden_size), nn.Linear(hidden_size, d_model))


@gated_block.known_mistake(
    "one gate for all features",
    "The layer that makes alpha has one output, a single number that all features share.",
    hint="It needs as many outputs as there are features.",
)
class ScalarGate(GatedResidualBlock):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        self.to_alpha = nn.Linear(condition_size, 1)
        nn.init.zeros_(self.to_alpha.weight)
        nn.init.zeros_(self.to_alpha.bias)

    def forward(self, x, condition):
        alpha = self.to_alpha(condition).reshape(len(x), *[1] * (x.dim() - 1))
        return x + alpha * self.mlp(self.norm(x, condition))


@gated_block.known_mistake(
    "alpha not lined up with the batch",
    "Your alpha has the shape (batch, d_model). Beside (batch, seq, d_model), PyTorch lines its "
    "first dim up with seq: an error, or, where seq equals batch, the wrong condition.",
    hint="Put a dim of length 1 between the two for every dim that x has there.",
)
class AlphaNotLinedUp(GatedResidualBlock):
    def forward(self, x, condition):
        return x + self.to_alpha(condition) * self.mlp(self.norm(x, condition))


@gated_block.known_mistake(
    "the first sample's condition for all",
    "You use the first row of the condition, and every sample is treated by it.",
    hint="Hand the whole condition, of shape (batch, condition_size), to your layers.",
)
class BlockFirstCondition(GatedResidualBlock):
    def forward(self, x, condition):
        return super().forward(x, condition[:1].expand(len(x), -1))


@gated_block.known_mistake(
    "statistics of a whole sample",
    "You normalise each sample as a whole, so its positions are mixed.",
    hint="Normalise the last dim alone.",
)
class BlockWholeSample(GatedResidualBlock):
    def forward(self, x, condition):
        shape = (len(x), *[1] * (x.dim() - 2), -1)
        x_hat = nn.functional.layer_norm(x, x.shape[1:])
        gamma = (1 + self.norm.to_change(condition)).reshape(shape)
        seen = gamma * x_hat + self.norm.to_beta(condition).reshape(shape)
        return x + self.to_alpha(condition).reshape(shape) * self.mlp(seen)


@gated_block.known_mistake(
    "x changed in place",
    "You write the sum into x, and the caller's tensor changes with it.",
    hint="`x += ...` writes into x; `x + ...` makes a new tensor.",
)
class BlockInPlace(GatedResidualBlock):
    def forward(self, x, condition):
        x += super().forward(x, condition) - x
        return x


@gated_block.known_mistake(
    "the condition is detached",
    "Your block learns, but whatever makes the condition does not: no gradient gets back to it.",
    hint="Look for `.detach()` or `.data` on the condition, or a `torch.tensor(condition)`.",
)
class BlockDetached(GatedResidualBlock):
    def forward(self, x, condition):
        return super().forward(x, condition.detach())


@gated_block.combination
class NoGateStraight(GatedResidualBlock):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        self.mlp = nn.Linear(d_model, d_model)

    def forward(self, x, condition):
        return x + self.mlp(self.norm(x, condition))


@gated_block.combination
class NoResidualScalarGate(GatedResidualBlock):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        self.to_alpha = nn.Linear(condition_size, 1)
        nn.init.zeros_(self.to_alpha.weight)
        nn.init.zeros_(self.to_alpha.bias)

    def forward(self, x, condition):
        alpha = self.to_alpha(condition).reshape(len(x), *[1] * (x.dim() - 1))
        return alpha * self.mlp(self.norm(x, condition))


@gated_block.combination
class GateWithoutConditionInPlace(GatedResidualBlock):
    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        self.to_alpha = None
        self.alpha = nn.Parameter(torch.zeros(d_model))

    def forward(self, x, condition):
        x += self.alpha * self.mlp(self.norm(x, condition))
        return x


@gated_block.right_solution
class AsInDiT(nn.Module):
    """One layer, after a SiLU, makes shift, scale and gate; the MLP has a tanh-like GELU."""

    def __init__(self, d_model, condition_size, hidden_size=None):
        super().__init__()
        hidden_size = hidden_size or 4 * d_model
        self.norm = nn.LayerNorm(d_model, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, hidden_size),
            nn.GELU(approximate="tanh"),
            nn.Dropout(0.1),
            nn.Linear(hidden_size, d_model),
        )
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(condition_size, 3 * d_model))
        nn.init.constant_(self.modulation[-1].weight, 0)
        nn.init.constant_(self.modulation[-1].bias, 0)

    def forward(self, x, condition):
        rows = x.flatten(1, -2) if x.dim() > 2 else x.unsqueeze(1)
        shift, scale, gate = self.modulation(condition).unsqueeze(1).chunk(3, dim=-1)
        rows = rows + gate * self.mlp(self.norm(rows) * (1 + scale) + shift)
        return rows.reshape(x.shape)


@gated_block.right_solution
class SwishGatedSublayer(GatedResidualBlock):
    """Another MLP: a product of two layers."""

    def __init__(self, d_model, condition_size, hidden_size=16):
        super().__init__(d_model, condition_size, hidden_size)
        self.mlp = nn.ModuleList(nn.Linear(d_model, hidden_size) for _ in range(2))
        self.back = nn.Linear(hidden_size, d_model, bias=False)

    def forward(self, x, condition):
        between = (slice(None), *[None] * (x.dim() - 2))
        seen = self.norm(x, condition)
        branch = self.back(nn.functional.silu(self.mlp[0](seen)) * self.mlp[1](seen))
        return torch.addcmul(x, self.to_alpha(condition)[between], branch)


@gated_block.right_solution
class NetworkForTheModulation(nn.Module):
    """A hidden layer makes all three, sample by sample; its last layer starts at zero."""

    def __init__(self, d_model, condition_size, hidden_size=32):
        super().__init__()
        self.first, self.last = nn.Linear(condition_size, 16), nn.Linear(16, 3 * d_model)
        for parameter in self.last.parameters():
            parameter.data.zero_()
        self.into, self.out = nn.Linear(d_model, hidden_size), nn.Linear(hidden_size, d_model)

    def forward(self, x, condition):
        outputs = []
        for sample, code in zip(x, self.first(condition).tanh(), strict=True):
            change, beta, alpha = self.last(code).tensor_split(3)
            x_hat = nn.functional.layer_norm(sample, sample.shape[-1:])
            branch = self.out(torch.relu(self.into(x_hat + change * x_hat + beta)))
            outputs.append(sample + alpha * branch)
        return torch.stack(outputs)


@gated_block.right_solution
class ZeroInTheSublayer(GatedResidualBlock):
    """The identity by the other zero: the MLP's last layer starts at 0, and the gate does not."""

    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        self.to_alpha.reset_parameters()
        nn.init.ones_(self.to_alpha.bias)
        nn.init.zeros_(self.mlp[-1].weight)
        nn.init.zeros_(self.mlp[-1].bias)


@gated_block.right_solution
class SmallStart(GatedResidualBlock):
    """Weights as small as in a GPT, so that the branch starts out near 0."""

    def __init__(self, d_model, condition_size, hidden_size=64):
        super().__init__(d_model, condition_size, hidden_size)
        for layer in (self.mlp[0], self.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
