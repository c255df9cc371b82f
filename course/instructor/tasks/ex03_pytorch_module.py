"""Exercise 3: layer normalization as a PyTorch module."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_scale
from course.instructor.forbidden import NORMS
from course.instructor.task import Task
from course.layer_normalization_solutions import CustomLayerNorm
from course.student.answer_key import Case, Tolerance


class Oracle(nn.Module):
    """The definition in float64 whatever the inputs are, rounded to the dtype of x at the end.

    Written out, for `nn.LayerNorm` itself would be found out by the task's first case. A test
    holds the two against each other.
    """

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        shape = torch.ones(normalized_shape).shape
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))
        self.eps = eps

    def forward(self, x):
        weight, bias = self.weight.double().flatten(), self.bias.double().flatten()
        rows = x.double().reshape(-1, weight.numel())
        centred = rows - rows.sum(1, keepdim=True) / weight.numel()
        var = (centred * centred).sum(1, keepdim=True) / weight.numel()
        return (centred / (var + self.eps).sqrt() * weight + bias).reshape(x.shape).to(x.dtype)


custom_layer_norm = Task(
    "ex03_custom_layer_norm",
    "Layer normalization as a module",
    defines="CustomLayerNorm",
    oracle=Oracle,
    forbids=NORMS,
)

# A computation in float32 is off by about 1e-6 here, and an eps that is 1e-5 too small or too
# large by 1e-5: that is left to the cases about eps. Other wrong answers are off by 1e-2 and more.
FLOAT32 = Tolerance(rtol=1e-4, atol=1e-4)
# Right answers in float64 differ by a few hundred units of the last place (2e-16), and those
# that went through float32 by 1e-7.
FLOAT64 = Tolerance(rtol=1e-10, atol=1e-10)
# Gradients of a float32 computation are off by about 1e-6 of values up to 30, second
# derivatives by about 1e-5.
GRADIENTS = Tolerance(rtol=1e-4, atol=1e-4)
# An offset of 1e4 leaves float32 values a grid of 1e-3, so right answers with a spread of about 2
# are off by up to 2e-3. E[x^2] - E[x]^2 is off by 8 in the variance, above 0.1 in the output.
OFFSET_FLOAT32 = Tolerance(rtol=0, atol=0.02)
# Outputs are below 7. A right solution may round to half precision three times: x_hat, its
# product with the scale, and the sum with the shift; each costs at most half a unit, which is
# 0.002 in float16 and 0.016 in bfloat16. A variance that overflows is off by 1 and more.
FLOAT16 = Tolerance(rtol=0, atol=0.01)
# Gradients are of order 1, with entries up to 10. Right answers round to bfloat16 several times on
# the way back; each rounding costs up to 0.4 %, and they add up in the sums over the batch. That
# uses up to a third of this; a dx that misses a term is off by more than twice as much.
BFLOAT16_GRADIENTS = Tolerance(rtol=0.03, atol=0.06)
# A mean rounded to half precision is off by 0.17 spreads here, times a scale of at least 0.5.
# E[x^2] - E[x]^2 in float32 is off by up to 0.03, and has a case of its own.
HALF_OFFSET = Tolerance(rtol=0, atol=0.06)


@custom_layer_norm.cases
def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dim of a case has its own length, so that a mean without keepdim never fits x."""
    batch, features, seq = (int(n) for n in rng.permutation([3, 4, 5, 6])[:3])
    channels, height, width = (int(n) for n in rng.permutation([2, 3, 4]))
    samples = 5

    def draw(*shape, dims=1, spread=1.0, offset=0.0):
        """Entries whose last dims have the given spread, so that eps weighs the same in all."""
        x = rng.normal(size=shape)
        last = tuple(range(-dims, 0))
        return offset + spread * (rng.uniform(-1, 1) + x / x.std(axis=last, keepdims=True))

    def inputs(x, dims=1, form="int", dtype="float32", **more):
        shape = x.shape[-dims:]
        return {
            "x": np.asarray(x, np.float64 if dtype == "float64" else np.float32),
            "normalized_shape": [int(n) for n in shape],
            "form": form,
            "dtype": dtype,
            "scale": draw_scale(rng, *shape),
            "shift": rng.normal(size=shape),
            **more,
        }

    def off_the_grid(offset, grid):
        """Rows on a grid of half-precision numbers, whose means lie half-way between two.

        Each row has its own mean, so that one mean for all of them is wrong.
        """
        steps = np.tile([-3.0, -2.0, -1.0, 1.0, 2.0, 6.0], (samples, 1))
        apart = 4 * rng.permutation(samples)[:, None]
        return offset + grid * (apart + rng.permuted(steps, axis=1))

    # Rows differ in mean and spread, so that statistics over anything but a row are wrong.
    rows = draw(
        batch, features, spread=rng.uniform(1, 4, (batch, 1)), offset=rng.normal(size=(batch, 1))
    )
    yield Case(
        "each row of a (batch, features) array is normalised, scaled and shifted by your own code",
        points=1.5,
        inputs=inputs(rows, eps=1e-5),
        tolerance=FLOAT32,
        judged=("output", "built-in norm called"),
        hint="Work through one row: its mean, its variance (a mean over all D features), then "
        "(x - mean) / sqrt(var + eps), and only then the scale and the shift.",
    )
    yield Case(
        "an int normalises the last dim of (batch, seq, features)",
        points=0.5,
        inputs=inputs(draw(batch, seq, features, spread=2.0), eps=1e-5),
        tolerance=FLOAT32,
        hint="Each position of the sequence has statistics of its own. Count dims from the end.",
    )
    yield Case(
        "a tuple of two: the last two dims share one mean and one variance",
        points=0.5,
        inputs=inputs(draw(samples, height, width, dims=2, spread=2.0), 2, "tuple", eps=1e-5),
        tolerance=FLOAT32,
        hint="`mean` takes a tuple of dims. How many, and which, follows from the length of "
        "`normalized_shape`.",
    )
    yield Case(
        "a list of three: statistics over (C, H, W) of each sample",
        points=0.25,
        inputs=inputs(
            draw(samples, channels, height, width, dims=3, spread=2.0), 3, "list", eps=1e-5
        ),
        tolerance=FLOAT32,
        hint="A list should do what a tuple does. `tuple(a_list)` makes one of the other.",
    )
    yield Case(
        "a torch.Size of two, with two dims before them",
        points=0.5,
        inputs=inputs(draw(samples, 2, height, width, dims=2, spread=2.0), 2, "Size", eps=1e-5),
        tolerance=FLOAT32,
        hint="Only the last dims are normalised, as many as `normalized_shape` has entries; all "
        "dims before them are left apart.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.5,
        inputs=inputs(draw(batch, features, spread=0.5), eps=float(rng.uniform(0.1, 0.5))),
        tolerance=FLOAT32,
        hint="Keep the argument `eps` in `__init__`, add it to the variance, and take the square "
        "root of the sum.",
    )
    yield Case(
        "rows of tiny variance, with eps left at its default of 1e-5",
        points=0.5,
        inputs=inputs(draw(batch, features, spread=2e-3)),
        tolerance=FLOAT32,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "an offset of 10,000 in float32 does not swamp the variance",
        points=0.25,
        inputs=inputs(draw(4, 8, spread=2.0, offset=1e4 + 100 * rng.uniform()), eps=1e-5),
        tolerance=OFFSET_FLOAT32,
        by_values=False,
        hint="Subtract the mean before you square. A difference of two large squares keeps no "
        "digits.",
    )
    # The variance is above 90,000: float16 ends at 65,504.
    signs = rng.permuted(np.resize([-1, 1], (samples, 1)), axis=0)
    loud = signs * rng.permuted(
        np.tile([-350.0, -220.0, -50.0, 310.0, 470.0, 640.0], (samples, 1)), axis=1
    )
    yield Case(
        "float16: squares beyond its largest number, 65,504, do no harm",
        points=0.5,
        inputs=inputs(loud, dtype="float16", eps=1e-5),
        tolerance=FLOAT16,
        by_values=False,
        hint="A variance of 100,000 is infinite in float16. Compute the statistics of half "
        "precision input in float32.",
    )
    yield Case(
        "float16: the mean keeps its digits for values near 2,100",
        points=0.25,
        inputs=inputs(off_the_grid(2100 + 2 * int(rng.integers(50)), 2), dtype="float16"),
        tolerance=HALF_OFFSET,
        by_values=False,
        hint="Near 2,100 float16 has only even numbers. Subtract the mean in float32, before "
        "anything is rounded.",
    )
    yield Case(
        "bfloat16: the mean keeps its digits for values near 300",
        points=0.25,
        inputs=inputs(off_the_grid(300 + 2 * int(rng.integers(50)), 2), dtype="bfloat16"),
        tolerance=HALF_OFFSET,
        by_values=False,
        hint="Near 300 bfloat16 has only even numbers. Subtract the mean in float32, before "
        "anything is rounded.",
    )
    yield Case(
        "the output has the dtype of the input and the module",
        points=0.25,
        inputs=inputs(draw(batch, features), look_at="dtypes"),
        tolerance=FLOAT32,
        judged=(
            "dtype for float16 input",
            "dtype for bfloat16 input",
            "dtype for float32 input",
            "dtype for float64 input",
            "built-in norm called",
        ),
        hint="Whatever you compute in, the last step gives the result the dtype of x again.",
    )
    yield Case(
        "float64 in, all the digits of float64 out",
        points=0.25,
        inputs=inputs(draw(batch, features, spread=2.0), dtype="float64", eps=1e-5),
        tolerance=FLOAT64,
        by_values=False,
        hint="Only half precision needs another dtype inside. `x.float()` cuts float64 down to "
        "seven digits.",
    )
    yield Case(
        "two learnable parameters: the scale starts at ones, the shift at zeros",
        points=0.5,
        inputs=inputs(
            draw(samples, height, width, dims=2, spread=2.0), 2, "tuple", look_at="parameters"
        ),
        tolerance=FLOAT32,
        judged=("learnable parameters", "output"),
        hint="Print `list(CustomLayerNorm((2, 3)).parameters())`. There should be two entries, "
        "both of shape (2, 3).",
    )
    upstream, direction = rng.normal(size=(2, batch, features))
    gradients = (
        "gradient reaches x",
        "gradient reaches the scale",
        "gradient reaches the shift",
        "dx",
        "dscale",
        "dshift",
    )
    yield Case(
        "gradients reach x and both parameters, and are right",
        points=1.25,
        inputs=inputs(
            draw(batch, features, spread=2.0),
            dtype="float64",
            eps=0.1,
            look_at="gradients",
            upstream=upstream,
        ),
        tolerance=GRADIENTS,
        judged=gradients,
        hint="Autograd follows tensor operations. `.data`, `.detach()`, `.numpy()`, `.item()` and "
        "`torch.no_grad()` hide a step from it.",
    )
    yield Case(
        "gradients are right for a tuple of two as well",
        points=0.5,
        inputs=inputs(
            draw(samples, height, width, dims=2, spread=2.0),
            2,
            "tuple",
            dtype="float64",
            eps=0.1,
            look_at="gradients",
            upstream=rng.normal(size=(samples, height, width)),
        ),
        tolerance=GRADIENTS,
        judged=gradients,
        hint="Does your code take another way for more than one dim? Look there for `.data`, "
        "`.detach()` and `torch.no_grad()`.",
    )
    yield Case(
        "gradients are right in bfloat16 as well",
        points=0.25,
        inputs=inputs(
            draw(batch, features, spread=2.0),
            dtype="bfloat16",
            eps=0.1,
            look_at="gradients",
            upstream=upstream,
        ),
        tolerance=BFLOAT16_GRADIENTS,
        judged=gradients,
        by_values=False,
        hint="Look at the way half precision input takes through your code. Autograd follows "
        "`x.float()` and `.to(...)`; it does not follow `.data` and `.detach()`.",
    )
    yield Case(
        "gradients can be differentiated again",
        points=0.25,
        inputs=inputs(
            draw(batch, features, spread=2.0),
            dtype="float64",
            eps=0.1,
            look_at="second derivatives",
            upstream=upstream,
            direction=direction,
        ),
        tolerance=GRADIENTS,
        judged=("d2x", "d2scale"),
        hint="d2x is the gradient of a weighted sum of dx. Tensor operations give it for free; a "
        "backward of your own must itself be made of them, and start from x.",
    )
    yield Case(
        "a state_dict moves from nn.LayerNorm to your module and back",
        points=0.25,
        inputs=inputs(draw(batch, features, spread=2.0), look_at="state_dict"),
        tolerance=FLOAT32,
        judged=(
            "names missing from your state_dict",
            "other names in your state_dict",
            "output",
            "nn.LayerNorm takes it back",
        ),
        about_names=True,
        hint="A `state_dict` goes by the names of attributes. `nn.LayerNorm` has `weight` and "
        "`bias`, and nothing else.",
    )
    yield Case(
        "the module works after a move to another device",
        points=0.25,
        inputs=inputs(draw(batch, features), look_at="device"),
        tolerance=FLOAT32,
        judged=("device",),
        by_values=False,
        hint="`.to()` moves parameters, and no other tensor you keep. Use numbers where numbers "
        "will do, and take `x.device` where you make a tensor.",
    )
    yield Case(
        "evaluation mode normalises x by its own statistics",
        points=0.25,
        inputs=inputs(
            draw(batch, features, spread=2.0),
            look_at="evaluation",
            earlier=np.asarray(draw(batch, features, spread=3.0, offset=1.0), np.float32),
        ),
        tolerance=FLOAT32,
        hint="Layer norm remembers nothing from one call to the next.",
    )
    yield Case(
        "x is left as it was",
        points=0.25,
        inputs=inputs(draw(batch, features, spread=2.0), eps=1e-5),
        tolerance=FLOAT32,
        judged=("output", "x is unchanged"),
        hint="`x -= mean` writes into the caller's tensor; `x - mean` makes a new one.",
    )
    yield Case(
        "x need not be contiguous in memory",
        points=0.25,
        inputs=inputs(
            draw(samples, height, width, dims=2, spread=2.0), 2, "tuple", eps=1e-5, strided=True
        ),
        tolerance=FLOAT32,
        hint="`view` asks for memory in order; `reshape` copies where it has to.",
    )


# Which numbers share a mean


@custom_layer_norm.known_mistake(
    "the last dim alone, whatever normalized_shape says",
    "You took the statistics over dim -1. With two or three entries in `normalized_shape`, the "
    "last two or three dims share one mean and one variance.",
    hint="What is `tuple(range(-2, 0))`? The 2 stands for `len(normalized_shape)`. `mean` takes "
    "such a tuple as `dim`.",
)
class LastDimAlone(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(-1, keepdim=True)
        var = wide.var(-1, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "statistics over every dim but the first",
    "You normalised each sample as a whole. Only the last dims share a mean, as many as "
    "`normalized_shape` has entries.",
    hint="For (batch, seq, features) and an int, the mean should have shape (batch, seq, 1).",
)
class AllButTheBatch(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(1, x.dim()))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "one mean and one variance for the whole tensor",
    "You took the statistics over all entries at once, the batch included.",
    hint="Pass the dims to `mean` and `var`, with `keepdim=True`. If you do, print them: are they "
    "(-1,) for an int? `mean(())`, with no dims at all, averages over everything.",
)
class WholeTensor(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        x_hat = (wide - wide.mean()) / torch.sqrt(wide.var(unbiased=False) + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "a range of dims that stops before the last dim",
    "Your dims leave out the last one. For an int none is left, and `mean(())`, with no dims at "
    "all, averages over everything, the batch included.",
    hint="Print dims: is it (-1,) for an int, and (-2, -1) for a tuple of two? `range` stops "
    "before its second number.",
)
class RangeStopsEarly(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape), -1))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "a range of dims that starts one too late",
    "Your dims are one too few. For an int none is left, and `mean(())`, with no dims at all, "
    "averages over everything, the batch included.",
    hint="Print dims: is it (-1,) for an int, and (-2, -1) for a tuple of two? The first number of "
    "`range` is where it starts.",
)
class RangeStartsLate(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape) + 1, 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


# Apart from `WholeTensor`, for PyTorch's gradient of `var(())` is not that of `var()`.
@custom_layer_norm.known_mistake(
    "an empty tuple of dims",
    "Your dims are an empty tuple, and `mean(())`, with no dims at all, averages over everything, "
    "the batch included.",
    hint="Print dims: is it (-1,) for an int, and (-2, -1) for a tuple of two? A `range` that "
    "starts above its end is empty.",
)
class EmptyDims(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(len(self.normalized_shape), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "a range of dims that stops before the last dim, and a variance by hand",
    "Your dims leave out the last one. For an int none is left, and `mean(())`, with no dims at "
    "all, averages over everything, the batch included.",
    hint="Print dims: is it (-1,) for an int, and (-2, -1) for a tuple of two? `range` stops "
    "before its second number.",
)
class RangeStopsEarlyByHand(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape), -1))
        mean = wide.mean(dims, keepdim=True)
        var = (wide - mean).square().mean(dims, keepdim=True)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "a range of dims that starts one too late, and a variance by hand",
    "Your dims are one too few. For an int none is left, and `mean(())`, with no dims at all, "
    "averages over everything, the batch included.",
    hint="Print dims: is it (-1,) for an int, and (-2, -1) for a tuple of two? The first number of "
    "`range` is where it starts.",
)
class RangeStartsLateByHand(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape) + 1, 0))
        mean = wide.mean(dims, keepdim=True)
        var = (wide - mean).square().mean(dims, keepdim=True)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "statistics over the batch (dim=0)",
    "You took the statistics over the batch, feature by feature. That is batch normalization.",
    hint="Which dim has to disappear from the mean: the batch, or the features?",
)
class OverTheBatch(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(0, keepdim=True)
        var = wide.var(0, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the first dims instead of the last",
    "You counted the dims of `normalized_shape` from the front: 0, 1, and so on. They are the last "
    "dims of x.",
    hint="Negative numbers count from the end: -1 is the last dim, -2 the one before it.",
)
class FirstDims(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(self.weight.dim()))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "dim=1 instead of the last dims",
    "Dim 1 is the last one only while x has two dims.",
    hint="Count from the end: -1 is the last dim, -2 the one before it.",
)
class DimOne(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(1, keepdim=True)
        var = wide.var(1, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "missing keepdim",
    "Your mean, your variance or both have lost the dims they were taken over, so PyTorch lines "
    "them up with the features instead of the rows.",
    hint="Pass `keepdim=True` to both, and print `mean.shape` and `var.shape`: each should be "
    "(batch, 1).",
)
class MissingKeepdim(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims)
        var = wide.var(dims, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "missing keepdim, and the last dim alone",
    "Two things. Your mean, your variance or both have lost the dim they were taken over, so "
    "PyTorch lines them up with the features instead of the rows. And with two or three entries in "
    "`normalized_shape`, the last two or three dims share one mean and one variance.",
    hint="First pass `keepdim=True` to both, and print `mean.shape` and `var.shape`: each should "
    "be (batch, 1).",
)
class MissingKeepdimLastDimAlone(CustomLayerNorm):
    def forward(self, x):
        mean = x.mean(-1)
        var = x.var(-1, unbiased=False)
        return self.weight * (x - mean) / torch.sqrt(var + self.eps) + self.bias


# The forms of normalized_shape


@custom_layer_norm.known_mistake(
    "an int not handled (len of an int)",
    "Your code asks for the length of `normalized_shape`. An int has none.",
    hint="Turn an int into a tuple of one first: `if isinstance(normalized_shape, int): ...`.",
)
class LengthOfAnInt(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.dims = tuple(range(-len(normalized_shape), 0))
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)
        var = wide.var(self.dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "an int not handled (tuple of an int)",
    "`tuple(normalized_shape)` goes through the entries of `normalized_shape`. An int has none.",
    hint="Turn an int into a tuple of one first: `if isinstance(normalized_shape, int): ...`.",
)
class TupleOfAnInt(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        shape = tuple(normalized_shape)
        self.dims = tuple(range(-len(shape), 0))
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)
        var = wide.var(self.dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "only an int handled",
    "You put whatever was given into a tuple of one. That is right for an int; a tuple becomes a "
    "tuple within a tuple.",
    hint="Ask first what you were given: `isinstance(normalized_shape, int)`.",
)
class OnlyAnInt(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        self.normalized_shape = (normalized_shape,)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape))


@custom_layer_norm.known_mistake(
    "a list not handled",
    "You took whatever is no tuple for a number, so a list ends up inside a tuple.",
    hint="Ask for the one special case, the int, and call `tuple(...)` on everything else.",
)
class ListNotHandled(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        if not isinstance(normalized_shape, tuple):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = normalized_shape
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))


# The variance and eps


@custom_layer_norm.known_mistake(
    "the unbiased variance",
    "You divided the sum of squared deviations by D - 1, as `torch.var` does unless told "
    "otherwise. Layer normalization divides by D.",
    hint="Look for `unbiased` or `correction` in the documentation of `torch.var`.",
)
class UnbiasedVariance(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "torch.std plus eps",
    "Two things at once, and common in tutorials: `torch.std` divides by D - 1, and `eps` is added "
    "to the standard deviation. The formula has D, and sqrt(var + eps).",
    hint="Compute the variance instead, dividing by D, and take the square root yourself.",
)
class StdPlusEps(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        std = wide.std(dims, keepdim=True)
        return (self.weight * (wide - mean) / (std + self.eps) + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "eps outside the square root",
    "You divided by sqrt(var) + eps. The formula divides by sqrt(var + eps).",
    hint="Move `eps` inside: the difference shows as soon as `eps` is not tiny.",
)
class EpsOutside(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / (torch.sqrt(var) + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "no eps",
    "You divided by sqrt(var) alone, and `eps` plays no part.",
    hint="Add `self.eps` to the variance before the square root.",
)
class NoEps(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "an eps of your own instead of the argument",
    "You added 1e-5 whatever `eps` was passed.",
    hint="Where does your code read the argument `eps`?",
)
class HardCodedEps(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + 1e-5)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "another default for eps (1e-6)",
    "Built without `eps`, your module uses 1e-6. The signature says `eps=1e-5`.",
    hint="Look at the line `def __init__`.",
)
class OtherDefault(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-6):
        super().__init__(normalized_shape, eps)


@custom_layer_norm.known_mistake(
    "the variance as E[x^2] - E[x]^2",
    "On paper that is the variance. With an offset of 10,000 both terms are about 1e8, and float32 "
    "keeps seven digits: their difference is rounding noise.",
    hint="Subtract the mean first, then take the mean of the squares.",
)
class DifferenceOfSquares(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = (wide**2).mean(dims, keepdim=True) - mean**2
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "dividing by the variance, not by its square root",
    "You divided by var + eps. The variance is in squared units, its root in those of x.",
    hint="After normalising, a row should have a standard deviation of about 1. Does yours?",
)
class MissingSquareRoot(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        return ((wide - mean) / (var + self.eps) * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "RMS normalization",
    "You divided by the root mean square and subtracted nothing. That is RMSNorm (exercise 5).",
    hint="Layer normalization centres first, and divides by the spread around the mean.",
)
class RootMeanSquare(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        square = wide.pow(2).mean(dims, keepdim=True)
        x_hat = wide * torch.rsqrt(square + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the mean square instead of the variance",
    "You divided by sqrt(mean(x^2) + eps). The variance is the mean square of x - mean.",
    hint="Square the deviations from the mean, not the values.",
)
class MeanSquare(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        square = wide.pow(2).mean(dims, keepdim=True)
        x_hat = (wide - mean) * torch.rsqrt(square + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


# Precision


@custom_layer_norm.known_mistake(
    "statistics in half precision",
    "Your mean and variance are half precision numbers, computed in the dtype of x or rounded to "
    "it. In float16 a variance above 65,504 is infinite, and in both half precisions the mean of "
    "large values is rounded.",
    hint="When x is float16 or bfloat16, turn it into float32 first, and only the final result "
    "back. If your code says `x.float()`: is that line reached, and is its result kept? It makes a "
    "new tensor and leaves x as it is.",
)
class StatisticsInHalf(CustomLayerNorm):
    def forward(self, x):
        dims = tuple(range(-self.weight.dim(), 0))
        mean = x.mean(dims, keepdim=True)
        var = x.var(dims, keepdim=True, unbiased=False)
        return self.weight * (x - mean) / torch.sqrt(var + self.eps) + self.bias


@custom_layer_norm.known_mistake(
    "the variance in half precision",
    "Your mean keeps its digits, but the variance is computed in half precision, or rounded to it: "
    "a float16 is infinite above 65,504.",
    hint="The variance, too, needs x in float32. Square and average there, and stay there until "
    "after the division.",
)
class VarianceInHalf(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = x.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the mean rounded to half precision",
    "Your variance is computed in float32, but the mean that you subtract is a half precision "
    "number: for large values that is off by a good part of the spread.",
    hint="Take the mean of x in float32, do not round it, and subtract it in float32.",
)
class MeanInHalf(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = x.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (x - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "statistics computed in float32 and rounded back",
    "You computed the mean and the variance in float32 and rounded them to the dtype of x, where "
    "the mean of large values loses its digits and a variance above 65,504 becomes infinite. And "
    "float64 input loses digits in `x.float()`.",
    hint="Stay in float32 until the result is done, and only for float16 and bfloat16.",
)
class StatisticsRoundedBack(CustomLayerNorm):
    def forward(self, x):
        dims = tuple(range(-self.weight.dim(), 0))
        mean = x.float().mean(dims, keepdim=True).to(x.dtype)
        var = x.float().var(dims, keepdim=True, unbiased=False).to(x.dtype)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias


@custom_layer_norm.known_mistake(
    "float32 for the mean alone, whatever the dtype of x",
    "You computed the mean in float32 and the variance in the dtype of x: in float16 a variance "
    "above 65,504 is infinite. And from float64 input `x.float()` takes nine digits.",
    hint="Turn x itself into float32, once, and only if it is float16 or bfloat16; then take both "
    "statistics of that.",
)
class Float32ForTheMean(CustomLayerNorm):
    def forward(self, x):
        dims = tuple(range(-self.weight.dim(), 0))
        mean = x.float().mean(dims, keepdim=True)
        var = x.var(dims, keepdim=True, unbiased=False)
        x_hat = (x - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "float32 inside for float16, but not for bfloat16",
    "Your float16 input is computed in float32, your bfloat16 input is not. A bfloat16 has fewer "
    "digits still: two or three.",
    hint="`torch.bfloat16` needs the same treatment as `torch.float16`.",
)
class OnlyFloat16(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype == torch.float16 else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "half precision in, float32 out",
    "You computed in float32, as you should, and the result is still float32. The next layer of a "
    "float16 model expects float16.",
    hint="The last step is `.to(x.dtype)`. If you already end in it: is x still the x you were "
    "given? After `x = x.float()` its dtype is float32. Keep its dtype before you change x.",
)
class LeftInFloat32(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        return (wide - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias


@custom_layer_norm.known_mistake(
    "float32 inside for float64 too",
    "You turned every input into float32. For half precision that adds digits; from float64 it "
    "takes nine away, and casting back does not bring them back.",
    hint="Ask for the dtype of x before you call `x.float()`. If you do, compare it with each of "
    "the two: `x.dtype == torch.float16 or torch.bfloat16` is true for every x.",
)
class SinglePrecision(CustomLayerNorm):
    def forward(self, x):
        wide = x.float()
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "float32 for every input, and no way back",
    "You turned every input into float32, and the result is still float32: half precision input "
    "does not get its dtype back, and float64 input loses nine digits.",
    hint="Ask for the dtype of x before `x.float()`; `x.dtype == torch.float16 or torch.bfloat16` "
    "is true for every x. And end with `.to(...)`: after `x = x.float()`, x.dtype is no longer the "
    "dtype you were given, so keep that first.",
)
class SinglePrecisionLeft(CustomLayerNorm):
    def forward(self, x):
        wide = x.float()
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        return (wide - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias


@custom_layer_norm.known_mistake(
    "a float32 result for every input",
    "Your result is always float32, for float64 input too.",
    hint="`.to(x.dtype)` gives the result the dtype of the input. If you already end in it: after "
    "`x = x.float()` the dtype of x is float32, so keep it before you change x. And if you ask for "
    "it, compare with each: `x.dtype == torch.float16 or torch.bfloat16` is true for every x.",
)
class FloatAtTheEnd(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).float()


# PyTorch's own


@custom_layer_norm.known_mistake(
    "PyTorch's own norm does the work",
    "The numbers are right, but your `forward` hands x to a normalisation of PyTorch. Writing that "
    "one is what this exercise is about.",
    hint="Start from `mean` and `var`, or from sums.",
)
class FunctionalNorm(CustomLayerNorm):
    def forward(self, x):
        return nn.functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


@custom_layer_norm.known_mistake(
    "an nn.LayerNorm inside",
    "The numbers are right, but your module keeps an `nn.LayerNorm` and calls it. Writing that one "
    "is what this exercise is about.",
    hint="Create two parameters in `__init__`, and start `forward` from `mean` and `var`.",
)
class NormInside(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(normalized_shape, eps=eps)

    def forward(self, x):
        return self.norm(x)


# Parameters


@custom_layer_norm.known_mistake(
    "plain tensors for parameters",
    "A plain tensor is an attribute like any other: `parameters()` does not list it, so no "
    "optimizer changes it, `state_dict()` does not save it, and `.to()` leaves it behind.",
    hint="Wrap each in `nn.Parameter(...)`.",
)
class PlainTensors(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        self.eps = eps
        self.weight = torch.ones(normalized_shape)
        self.bias = torch.zeros(normalized_shape)
        self.normalized_shape = self.weight.shape


@custom_layer_norm.known_mistake(
    "buffers for parameters",
    "A buffer is saved and moved with the module, but `parameters()` does not list it, so no "
    "optimizer changes it.",
    hint="A buffer is for what is kept and not learned. What is learned is an `nn.Parameter`.",
)
class Buffers(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        self.eps = eps
        self.register_buffer("weight", torch.ones(normalized_shape))
        self.register_buffer("bias", torch.zeros(normalized_shape))
        self.normalized_shape = self.weight.shape


@custom_layer_norm.known_mistake(
    "the shift a plain tensor",
    "Of your two tensors only the scale is an `nn.Parameter`. The shift is a plain tensor: "
    "`parameters()` does not list it, so no optimizer changes it, and `.to()` leaves it behind.",
    hint="Wrap it in `nn.Parameter(...)`, as you did with the scale.",
)
class PlainShift(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        del self.bias
        self.bias = torch.zeros(normalized_shape)


@custom_layer_norm.known_mistake(
    "the shift a buffer",
    "Of your two tensors only the scale is an `nn.Parameter`. The shift is a buffer: it is saved "
    "and moved with the module, but `parameters()` does not list it, so no optimizer changes it.",
    hint="What is learned is an `nn.Parameter`: assign one, as you did with the scale.",
)
class BufferShift(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        del self.bias
        self.register_buffer("bias", torch.zeros(normalized_shape))


@custom_layer_norm.known_mistake(
    "the scale a plain tensor",
    "Of your two tensors only the shift is an `nn.Parameter`. The scale is a plain tensor: "
    "`parameters()` does not list it, so no optimizer changes it, and `.to()` leaves it behind.",
    hint="Wrap it in `nn.Parameter(...)`, as you did with the shift.",
)
class PlainScale(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        del self.weight
        self.weight = torch.ones(normalized_shape)


@custom_layer_norm.known_mistake(
    "the scale a buffer",
    "Of your two tensors only the shift is an `nn.Parameter`. The scale is a buffer: it is saved "
    "and moved with the module, but `parameters()` does not list it, so no optimizer changes it.",
    hint="What is learned is an `nn.Parameter`: assign one, as you did with the shift.",
)
class BufferScale(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        del self.weight
        self.register_buffer("weight", torch.ones(normalized_shape))


@custom_layer_norm.known_mistake(
    "parameters hidden in a Python list or dict",
    "PyTorch finds a parameter that is an attribute of the module. It does not look into a list, "
    "a tuple or a dict.",
    hint="Two attributes, `self.weight` and `self.bias`, are all it takes.",
)
class InAList(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.affine = [
            nn.Parameter(torch.ones(normalized_shape)),
            nn.Parameter(torch.zeros(normalized_shape)),
        ]
        self.eps = eps

    def forward(self, x):
        weight, bias = self.affine
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        return ((wide - mean) / torch.sqrt(var + self.eps) * weight + bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "parameters created in forward",
    "Every call makes the parameters anew, at ones and zeros: whatever was learned is thrown away, "
    "and the optimizer holds on to the old ones.",
    hint="`normalized_shape` is known in `__init__`, so the parameters can be made there.",
)
class CreatedInForward(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.normalized_shape = normalized_shape
        self.eps = eps

    def forward(self, x):
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape))
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "no scale and no shift",
    "Your module normalises and has nothing to learn.",
    hint="Two `nn.Parameter`s in `__init__`, used in the last line of `forward`.",
)
class NoAffine(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.dims = tuple(range(-len(torch.ones(normalized_shape).shape), 0))
        self.eps = eps

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)
        var = wide.var(self.dims, keepdim=True, unbiased=False)
        return ((wide - mean) / torch.sqrt(var + self.eps)).to(x.dtype)


@custom_layer_norm.known_mistake(
    "one number for the scale and one for the shift",
    "Your parameters have shape (1,). Each normalised entry has a scale and a shift of its own.",
    hint="`torch.ones` takes a shape: which one?",
)
class ScalarParameters(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))


@custom_layer_norm.known_mistake(
    "parameters for the last dim only",
    "Your parameters have as many entries as the last dim. With two or three entries in "
    "`normalized_shape`, they have that whole shape.",
    hint="`torch.ones` takes a tuple as well as an int.",
)
class ParametersOfTheLastDim(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight = nn.Parameter(torch.ones(self.normalized_shape[-1]))
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape[-1]))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the scale starts at zeros",
    "Both of your parameters start at zeros, so a new module multiplies everything by 0.",
    hint="A new module should only normalise: which scale changes nothing?",
)
class ScaleOfZeros(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        nn.init.zeros_(self.weight)


@custom_layer_norm.known_mistake(
    "the shift starts at ones",
    "Both of your parameters start at ones, so a new module adds 1 to everything.",
    hint="A new module should only normalise: which shift changes nothing?",
)
class ShiftOfOnes(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        nn.init.ones_(self.bias)


@custom_layer_norm.known_mistake(
    "the scale starts at zeros and the shift at ones",
    "Your starting values are swapped: a new module gives 1 for every input.",
    hint="A new module should only normalise: multiply by 1 and add 0.",
)
class StartsSwapped(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        nn.init.zeros_(self.weight)
        nn.init.ones_(self.bias)


@custom_layer_norm.known_mistake(
    "a random start for the scale",
    "Your scale starts at random numbers, so a new module gives each feature another spread.",
    hint="A new module should only normalise: which scale changes nothing?",
)
class RandomStart(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight = nn.Parameter(torch.randn(self.normalized_shape))


@custom_layer_norm.known_mistake(
    "a random start for the scale and the shift",
    "Both parameters start at random numbers, so a new module does more than normalise.",
    hint="A new module should only normalise: which scale, and which shift, change nothing?",
)
class RandomStartOfBoth(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight = nn.Parameter(torch.randn(self.normalized_shape))
        self.bias = nn.Parameter(torch.randn(self.normalized_shape))


@custom_layer_norm.known_mistake(
    "parameters without requires_grad",
    "With `requires_grad=False` autograd computes no gradient for your parameters, so they are "
    "never learned.",
    hint="An `nn.Parameter` requires a gradient as it stands.",
)
class Frozen(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight = nn.Parameter(torch.ones(self.normalized_shape), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape), requires_grad=False)


@custom_layer_norm.known_mistake(
    "parameters in float64 from the start",
    "Your parameters are float64, perhaps because they were made with NumPy. PyTorch's default is "
    "float32, and a layer among others should have theirs.",
    hint="`torch.ones` and `torch.zeros` make float32 tensors.",
)
class DoubleParameters(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.double()


@custom_layer_norm.known_mistake(
    "eps as a parameter",
    "Your `eps` is an `nn.Parameter`, so it is learned and saved. It is a fixed number.",
    hint="`self.eps = eps` is enough.",
)
class LearnedEps(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape)
        self.eps = nn.Parameter(torch.tensor(eps))


@custom_layer_norm.known_mistake(
    "no shift",
    "Your module has a scale and no shift.",
    hint="A second `nn.Parameter`, of the same shape, that starts at zeros.",
)
class NoShift(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.bias = None

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        return ((wide - mean) / torch.sqrt(var + self.eps) * self.weight).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the shift is never added",
    "Your module has a shift, but `forward` does not use it.",
    hint="The last step has two parts: multiply by the scale, then add the shift.",
)
class ShiftUnused(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        return ((wide - mean) / torch.sqrt(var + self.eps) * self.weight).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the scale is never used",
    "Your module has a scale, but `forward` does not multiply by it.",
    hint="The last step has two parts: multiply by the scale, then add the shift.",
)
class ScaleUnused(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        return ((wide - mean) / torch.sqrt(var + self.eps) + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the scale and the shift are never used",
    "Your module has both parameters, but `forward` stops after normalising.",
    hint="Multiply by the scale, then add the shift.",
)
class AffineUnused(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        return ((wide - mean) / torch.sqrt(var + self.eps)).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the scale and the shift swapped",
    "You multiplied by the parameter that starts at zeros and added the one that starts at ones.",
    hint="Multiply by `weight`, add `bias`.",
)
class Swapped(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.bias + self.weight).to(x.dtype)


@custom_layer_norm.known_mistake(
    "shifting before scaling",
    "You computed weight * (x_hat + bias), so the shift is scaled too.",
    hint="Multiply first, then add.",
)
class ShiftThenScale(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return ((x_hat + self.bias) * self.weight).to(x.dtype)


@custom_layer_norm.known_mistake(
    "other parameter names",
    "Your parameters have names of their own, which is fine everywhere but here: a `state_dict` "
    "goes by names, so weights saved from `nn.LayerNorm` do not load into your module.",
    hint="PyTorch's names are `weight` and `bias`.",
)
class OtherNames(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(normalized_shape))
        self.beta = nn.Parameter(torch.zeros(normalized_shape))
        self.eps = eps

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.gamma.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.gamma + self.beta).to(x.dtype)


# What autograd sees


@custom_layer_norm.known_mistake(
    "x detached",
    "You took x out of the graph (`.detach()` or `.data`), so no gradient reaches it: the layers "
    "before this one would never learn.",
    hint="Use x itself. Autograd follows the mean and the variance without any help.",
)
class DetachedInput(CustomLayerNorm):
    def forward(self, x):
        return super().forward(x.detach())


@custom_layer_norm.known_mistake(
    "x detached in half precision only",
    "Where you turn half precision input into float32, you take it out of the graph (`.data` or "
    "`.detach()`). No gradient reaches a float16 or bfloat16 x.",
    hint="`x.float()` is a step that autograd follows. It needs nothing in front of it.",
)
class DetachedInHalf(CustomLayerNorm):
    def forward(self, x):
        wide = x.data.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "statistics detached when there are two or three dims",
    "For an int your gradients are right. For more than one dim you hid the statistics from "
    "autograd, which then takes them for constants, and two of the three terms of dx are missing.",
    hint="Look at the lines that only a tuple of two or three reaches. Better still, let one way "
    "serve all.",
)
class DetachedForSeveralDims(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        if self.weight.dim() == 1:
            mean = wide.mean(-1, keepdim=True)
            var = wide.var(-1, keepdim=True, unbiased=False)
        else:
            with torch.no_grad():
                dims = tuple(range(-self.weight.dim(), 0))
                mean = wide.mean(dims, keepdim=True)
                var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the mean and the variance detached",
    "You hid the statistics from autograd, which then takes them for constants. They depend on x, "
    "and so two of the three terms of dx are missing.",
    hint="Compute the statistics without `.detach()`, `.data`, `.item()` or `no_grad()`.",
)
class DetachedStatistics(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True).detach()
        var = wide.var(dims, keepdim=True, unbiased=False).detach()
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the variance detached",
    "You hid the variance from autograd, which then takes it for a constant: the term of dx that "
    "goes through the variance is missing.",
    hint="The variance depends on x. Compute it without `.detach()` or `.data`.",
)
class DetachedVariance(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False).detach()
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the mean detached",
    "You hid the mean from autograd, which then takes it for a constant: the term of dx that goes "
    "through the mean is missing.",
    hint="The mean depends on x. Compute it without `.detach()` or `.data`.",
)
class DetachedMean(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True).detach()
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the scale detached",
    "You used the scale through `.data` or `.detach()`. The numbers are right, but no gradient "
    "reaches it, so it is never learned.",
    hint="Multiply by the parameter itself.",
)
class DetachedScale(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight.data + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the scale and the shift detached",
    "You used both parameters through `.data` or `.detach()`. The numbers are right, but no "
    "gradient reaches them, so they are never learned.",
    hint="Multiply by the parameter itself, and add the parameter itself.",
)
class DetachedParameters(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight.data + self.bias.data).to(x.dtype)


@custom_layer_norm.known_mistake(
    "the whole of forward hidden from autograd",
    "No gradient reaches anything: the result was computed under `torch.no_grad()`, or detached.",
    hint="Autograd records tensor operations by itself; `forward` needs nothing around them.",
)
class NoGrad(CustomLayerNorm):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


@custom_layer_norm.known_mistake(
    "x taken through NumPy",
    "Your statistics come from `.numpy()`. Autograd cannot follow, so no gradient reaches x; NumPy "
    "does not know bfloat16; and a tensor on another device would first have to be fetched.",
    hint="Tensors have `mean`, `var` and `sqrt` of their own.",
)
class ThroughNumpy(CustomLayerNorm):
    def forward(self, x):
        array = x.detach().numpy()
        dims = tuple(range(-self.weight.dim(), 0))
        mean = array.mean(axis=dims, keepdims=True)
        var = array.var(axis=dims, keepdims=True)
        x_hat = torch.from_numpy((array - mean) / (var + self.eps) ** 0.5)
        return x_hat.to(x.dtype) * self.weight + self.bias


@custom_layer_norm.known_mistake(
    "everything computed in NumPy",
    "You computed the result with NumPy and turned it into a tensor at the end. Autograd cannot "
    "follow, so no gradient reaches anything, and NumPy does not know bfloat16.",
    hint="Tensors have `mean`, `var` and `sqrt` of their own.",
)
class AllInNumpy(CustomLayerNorm):
    def forward(self, x):
        array = x.detach().numpy()
        dims = tuple(range(-self.weight.dim(), 0))
        mean = array.mean(axis=dims, keepdims=True)
        var = array.var(axis=dims, keepdims=True)
        x_hat = (array - mean) / (var + self.eps) ** 0.5
        weight, bias = self.weight.detach().numpy(), self.bias.detach().numpy()
        return torch.from_numpy(x_hat * weight + bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "a backward of your own that cannot be differentiated again",
    "Your `torch.autograd.Function` keeps x_hat from the forward pass. The first gradient is "
    "right, but to autograd that x_hat is a constant, so the second is wrong.",
    hint="Save x and compute x_hat from it again in `backward`, or leave the backward to autograd.",
)
class OwnBackward(CustomLayerNorm):
    class Normalise(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, dims, eps):
            centred = x - x.mean(dims, keepdim=True)
            rstd = torch.rsqrt(centred.square().mean(dims, keepdim=True) + eps)
            ctx.x_hat, ctx.rstd, ctx.dims = centred * rstd, rstd, dims
            return centred * rstd

        @staticmethod
        def backward(ctx, g):
            mean = g.mean(ctx.dims, keepdim=True)
            projection = ctx.x_hat * (g * ctx.x_hat).mean(ctx.dims, keepdim=True)
            return ctx.rstd * (g - mean - projection), None, None

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        x_hat = self.Normalise.apply(wide, dims, self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


# Side effects and state


@custom_layer_norm.known_mistake(
    "writing into x",
    "You changed the caller's tensor on the way. Autograd refuses that for a tensor whose gradient "
    "is asked for.",
    hint="`x = x - mean` makes a new tensor; `x -= mean` and `x.sub_(mean)` change the old one.",
)
class InPlace(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        wide -= wide.mean(dims, keepdim=True)
        var = (wide**2).mean(dims, keepdim=True)
        return (wide / torch.sqrt(var + self.eps) * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "running averages in evaluation mode",
    "You kept running averages and use them in evaluation mode. Batch normalization needs those, "
    "for it has no batch to rely on then; here each row brings its own statistics.",
    hint="Training or evaluation, the same lines of code do.",
)
class RunningAverages(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.register_buffer("running_mean", torch.zeros(1))
        self.register_buffer("running_var", torch.ones(1))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.var(dims, keepdim=True, unbiased=False)
        if self.training:
            self.running_mean = 0.9 * self.running_mean + 0.1 * mean.mean().detach()
            self.running_var = 0.9 * self.running_var + 0.1 * var.mean().detach()
        else:
            mean, var = self.running_mean, self.running_var
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "view on a tensor that is not contiguous",
    "You flattened the normalised dims with `view`, which works only while the numbers lie in "
    "memory in order. After a `transpose` they do not.",
    hint="`reshape` does what `view` does, and copies where it has to.",
)
class ViewOfX(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        rows = wide.view(-1, self.weight.numel())
        mean = rows.mean(-1, keepdim=True)
        var = rows.var(-1, keepdim=True, unbiased=False)
        x_hat = ((rows - mean) / torch.sqrt(var + self.eps)).view(x.shape)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "a tensor that .to() leaves behind",
    "Your module keeps a plain tensor besides its parameters, or makes one on the CPU in "
    "`forward`, or reads a number out of one (`.item()`). After a move to a GPU that fails, or "
    "waits for the GPU at every step.",
    hint="A number such as `eps` need not be a tensor. For a tensor, use `device=x.device` or "
    "`register_buffer`.",
)
class LeftBehind(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.eps = torch.tensor([eps], dtype=torch.float64)

    def forward(self, x):
        return super().forward(x).to(x.dtype)


# What many people write first, with more than one thing amiss


@custom_layer_norm.known_mistake(
    "the last dim alone, and statistics in half precision",
    "Right for an int and float32; two things are still to do. With two or three entries in "
    "`normalized_shape`, the last two or three dims share one mean. And half precision input needs "
    "its statistics in float32.",
    hint="First the dims: what is `tuple(range(-2, 0))`? The 2 stands for `len(normalized_shape)`. "
    "`mean` takes such a tuple as `dim`.",
)
class LastDimInHalf(CustomLayerNorm):
    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        var = x.var(-1, keepdim=True, unbiased=False)
        return self.weight * (x - mean) / torch.sqrt(var + self.eps) + self.bias


@custom_layer_norm.known_mistake(
    "the unbiased variance, over the last dim alone",
    "Two things: `torch.var` divides by D - 1 unless told otherwise, and with two or three entries "
    "in `normalized_shape`, the last two or three dims share one mean and one variance.",
    hint="First the variance: look for `unbiased` or `correction` in the documentation of "
    "`torch.var`.",
)
class UnbiasedOverTheLastDim(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(-1, keepdim=True)
        var = wide.var(-1, keepdim=True)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.known_mistake(
    "torch.std plus eps, over the last dim alone",
    "A version that many tutorials show. `torch.std` divides by D - 1, `eps` is added to the "
    "standard deviation where the formula adds it to the variance, and only the last dim is "
    "normalised, whatever `normalized_shape` says.",
    hint="First the variance: compute it instead of `std`, dividing by D, and take the square root "
    "of var + eps.",
)
class TutorialVersion(CustomLayerNorm):
    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        std = x.std(-1, keepdim=True)
        return self.weight * (x - mean) / (std + self.eps) + self.bias


@custom_layer_norm.known_mistake(
    "the layer norm of The Annotated Transformer",
    "It trains well, and computes something else. `torch.std` divides by D - 1, `eps` is added to "
    "the standard deviation where the formula adds it to the variance, its default is 1e-6, and "
    "only the last dim is normalised. Its parameters are called a_2 and b_2.",
    hint="First the variance: compute it instead of `std`, dividing by D, and take the square root "
    "of var + eps.",
)
class AnnotatedTransformer(nn.Module):
    def __init__(self, features, eps=1e-6):
        super().__init__()
        self.a_2 = nn.Parameter(torch.ones(features))
        self.b_2 = nn.Parameter(torch.zeros(features))
        self.eps = eps

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        std = x.std(-1, keepdim=True)
        return self.a_2 * (x - mean) / (std + self.eps) + self.b_2


@custom_layer_norm.known_mistake(
    "torch.std plus eps over the last dim alone, with parameter names of its own",
    "A version that many tutorials show. `torch.std` divides by D - 1, `eps` is added to the "
    "standard deviation where the formula adds it to the variance, only the last dim is "
    "normalised, and the parameters do not have PyTorch's names.",
    hint="First the variance: compute it instead of `std`, dividing by D, and take the square root "
    "of var + eps.",
)
class TutorialVersionWithOtherNames(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(normalized_shape))
        self.beta = nn.Parameter(torch.zeros(normalized_shape))
        self.eps = eps

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        std = x.std(-1, keepdim=True)
        return self.gamma * (x - mean) / (std + self.eps) + self.beta


@custom_layer_norm.known_mistake(
    "torch.std plus eps over the last dim alone, with a default eps of 1e-6",
    "The Annotated Transformer's version under PyTorch's names. `torch.std` divides by D - 1, "
    "`eps` is added to the standard deviation where the formula adds it to the variance, its "
    "default is 1e-5 here, and only the last dim is normalised.",
    hint="First the variance: compute it instead of `std`, dividing by D, and take the square root "
    "of var + eps.",
)
class TutorialVersionWithOtherDefault(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-6):
        super().__init__(normalized_shape, eps)

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        std = x.std(-1, keepdim=True)
        return self.weight * (x - mean) / (std + self.eps) + self.bias


@custom_layer_norm.combination
class NoEpsAndLastDimAlone(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(-1, keepdim=True)
        std = wide.std(-1, keepdim=True, unbiased=False)
        return ((wide - mean) / std * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.combination
class HalfAndLeftBehind(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.eps = torch.tensor([eps])

    def forward(self, x):
        dims = tuple(range(-self.weight.dim(), 0))
        var, mean = torch.var_mean(x, dims, unbiased=False, keepdim=True)
        return ((x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.combination
class EpsOutsideInHalf(CustomLayerNorm):
    def forward(self, x):
        dims = tuple(range(-self.weight.dim(), 0))
        mean = x.mean(dims, keepdim=True)
        std = x.std(dims, keepdim=True, unbiased=False)
        return self.weight * (x - mean) / (std + self.eps) + self.bias


@custom_layer_norm.combination
class DetachedStatisticsAndScale(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True).detach()
        var = wide.var(dims, keepdim=True, unbiased=False).detach()
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight.data + self.bias).to(x.dtype)


@custom_layer_norm.combination
class DifferenceOfSquaresLeftInFloat32(CustomLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean = wide.mean(dims, keepdim=True)
        var = wide.square().mean(dims, keepdim=True) - mean.square()
        return (wide - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias


@custom_layer_norm.combination
class ShiftUnusedAndFrozen(CustomLayerNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.requires_grad_(False)

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        var, mean = torch.var_mean(wide, dims, unbiased=False, keepdim=True)
        return ((wide - mean) / torch.sqrt(var + self.eps) * self.weight).to(x.dtype)


@custom_layer_norm.right_solution
class VarMean(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = [normalized_shape]
        self.dims = [-1 - i for i in range(len(normalized_shape))]
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(*normalized_shape))
        self.bias = nn.Parameter(torch.zeros(*normalized_shape))

    def forward(self, x):
        half = x.dtype in (torch.float16, torch.bfloat16)
        h = x.to(torch.float32) if half else x
        var, mean = torch.var_mean(h, dim=self.dims, correction=0, keepdim=True)
        h = (h - mean) * torch.rsqrt(var + self.eps)
        # Scaled and shifted in half precision, as some libraries do.
        return (h.to(x.dtype) if half else h) * self.weight + self.bias


@custom_layer_norm.right_solution
class Einsum(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))
        self.eps = eps

    def forward(self, x):
        count = self.weight.numel()
        wide = torch.promote_types(x.dtype, torch.float32)
        rows = x.reshape(-1, count).to(wide)
        centred = rows - torch.einsum("nd->n", rows)[:, None] / count
        var = torch.einsum("nd,nd->n", centred, centred) / count
        scaled = torch.einsum(
            "nd,n,d->nd", centred, (var + self.eps) ** -0.5, self.weight.reshape(-1).to(wide)
        )
        return (scaled + self.bias.reshape(-1)).reshape(x.shape).to(x.dtype)


@custom_layer_norm.right_solution
class FlattenAndUnflatten(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        shape = torch.Size(
            [normalized_shape] if isinstance(normalized_shape, int) else normalized_shape
        )
        self.shape, self.eps = shape, eps
        self.register_parameter("weight", nn.Parameter(torch.full(shape, 1.0)))
        self.register_parameter("bias", nn.Parameter(torch.full(shape, 0.0)))

    def forward(self, x):
        h = x.flatten(-len(self.shape))
        h = h.float() if h.element_size() == 2 else h
        h = h - h.mean(-1, keepdim=True)
        h = h / h.pow(2).mean(-1, keepdim=True).add(self.eps).sqrt()
        return (h.unflatten(-1, self.shape) * self.weight + self.bias).type_as(x)


@custom_layer_norm.right_solution
class Float64Inside(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros_like(self.weight))
        self.eps = float(eps)

    def forward(self, x):
        h = x.double()
        dims = tuple(range(x.ndim - self.weight.ndim, x.ndim))
        std = h.std(dims, correction=0, keepdim=True)
        x_hat = (h - h.mean(dims, keepdim=True)) / torch.hypot(
            std, torch.full_like(std, self.eps**0.5)
        )
        return torch.addcmul(self.bias.double(), x_hat, self.weight.double()).to(x.dtype)


@custom_layer_norm.right_solution
class NormalisedDimsFirst(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.ndim = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(normalized_shape))
        self.bias = nn.Parameter(torch.empty(normalized_shape))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x):
        front, back = list(range(self.ndim)), list(range(-self.ndim, 0))
        h = x.movedim(back, front)
        h = h if x.dtype in (torch.float32, torch.float64) else h.to(torch.float32)
        h = torch.sub(h, h.mean(dim=front))
        h = torch.div(h, torch.sqrt(torch.mean(h * h, dim=front) + self.eps))
        return (h.movedim(front, back).contiguous() * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.right_solution
class BackwardFromX(nn.Module):
    class Normalise(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, dims, eps):
            ctx.save_for_backward(x)
            ctx.dims, ctx.eps = dims, eps
            var, mean = torch.var_mean(x, dims, unbiased=False, keepdim=True)
            return (x - mean) / torch.sqrt(var + eps)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            var, mean = torch.var_mean(x, ctx.dims, unbiased=False, keepdim=True)
            rstd = torch.rsqrt(var + ctx.eps)
            x_hat = (x - mean) * rstd
            projection = x_hat * (g * x_hat).mean(ctx.dims, keepdim=True)
            return rstd * (g - g.mean(ctx.dims, keepdim=True) - projection), None, None

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))
        self.eps = eps

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        return (self.Normalise.apply(wide, dims, self.eps) * self.weight + self.bias).to(x.dtype)


@custom_layer_norm.right_solution
class RowByRow(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))
        self.eps = eps

    def one(self, row):
        row = row.to(torch.promote_types(row.dtype, torch.float32))
        centred = row - row.sum() / row.numel()
        var = centred.square().sum() / row.numel()
        return self.weight * centred / torch.sqrt(var + self.eps) + self.bias

    def forward(self, x):
        rows = x.reshape(-1, *self.weight.shape)
        return torch.stack([self.one(row) for row in rows]).reshape(x.shape).to(x.dtype)


@custom_layer_norm.right_solution
class Projection(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))
        self.eps = eps

    def forward(self, x):
        count = self.weight.numel()
        wide = torch.promote_types(x.dtype, torch.float32)
        rows = x.reshape(-1, count).to(wide)
        identity = torch.eye(count, dtype=wide, device=x.device)
        centred = rows @ (identity - 1 / count)
        length = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
        x_hat = centred * (length.square() / count + self.eps).rsqrt()
        return torch.addcmul(self.bias.to(wide), x_hat.reshape(x.shape), self.weight.to(wide)).to(
            x.dtype
        )


@custom_layer_norm.right_solution
class ShiftedSquares(nn.Module):
    """E[x^2] - E[x]^2 is safe once x is shifted to start near 0."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))
        self.eps = eps

    def forward(self, x):
        dims = tuple(range(-self.weight.dim(), 0))
        h = x.to(torch.promote_types(x.dtype, torch.float32))
        h = h - h.flatten(-self.weight.dim()).select(-1, 0).reshape(
            h.shape[: h.dim() - len(dims)] + (1,) * len(dims)
        )
        mean = h.mean(dims, keepdim=True)
        var = torch.clamp((h * h).mean(dims, keepdim=True) - mean * mean, min=0)
        return ((h - mean) / (var + self.eps).sqrt() * self.weight + self.bias).to(x.dtype)
