"""Exercise 5: RMSNorm as a PyTorch module, and its backward pass by hand."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_rows, draw_scale
from course.instructor.forbidden import NORMS, NORMS_AND_AUTOGRAD
from course.instructor.task import Task
from course.layer_normalization_solutions import RMSNorm, rms_norm_backward
from course.student.answer_key import Case, Tolerance


class Oracle(nn.Module):
    """The definition in float64 whatever the inputs are, rounded to the dtype of x at the end.

    Written out, for `nn.RMSNorm` itself would be found out by the task's first case. The notebook
    holds the reference against `F.rms_norm`, and the matrix the reference against this.
    """

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(torch.ones(normalized_shape).shape))
        self.eps = eps

    def forward(self, x):
        weight = self.weight.double().flatten()
        rows = x.double().reshape(-1, weight.numel())
        mean_square = (rows * rows).sum(1, keepdim=True) / weight.numel()
        return (rows / (mean_square + self.eps).sqrt() * weight).reshape(x.shape).to(x.dtype)


def jacobian_backward(dout, x, weight, eps=1e-5):
    """The gradients by the definition of a Jacobian, row by row, in float64.

    Autograd itself would be found out by the probe. The notebook holds the reference against
    autograd, and the matrix the reference against this.
    """
    features = x.shape[-1]
    rows, upstream = x.double().reshape(-1, features), dout.double().reshape(-1, features)
    scale = weight.double()
    dx, dweight = torch.zeros_like(rows), torch.zeros_like(scale)
    for i, (row, up) in enumerate(zip(rows, upstream, strict=True)):
        rms = torch.sqrt(torch.dot(row, row) / features + eps)
        # d y_j / d x_k = w_j (delta_jk / rms - x_j x_k / (features rms^3))
        jacobian = torch.diag(scale / rms) - torch.outer(scale * row, row) / (features * rms**3)
        dx[i] = jacobian.T @ up
        dweight += up * row / rms
    return dx.reshape(x.shape), dweight


rms_norm_task = Task(
    "ex05_rms_norm",
    "RMSNorm as a module",
    defines="RMSNorm",
    oracle=Oracle,
    forbids=NORMS,
)
backward_task = Task(
    "ex05_rms_norm_backward",
    "The gradients of RMSNorm",
    defines="rms_norm_backward",
    oracle=jacobian_backward,
    forbids=NORMS_AND_AUTOGRAD,
)

# A computation in float32 is off by about 1e-6 here, and an eps that is 1e-5 too small or too
# large by less than 1e-5: that is left to the cases about eps. Other wrong answers are off by 1e-2
# and more.
FLOAT32 = Tolerance(rtol=1e-4, atol=1e-4)
# Right answers in float64 differ by a few units of the last place (2e-16), and those that went
# through float32 by 1e-7.
FLOAT64 = Tolerance(rtol=1e-10, atol=1e-10)
# Outputs are below 5. A right solution may round to float16 twice, x_hat and its product with the
# scale; each costs at most 0.002. A mean square that overflows leaves 0.
FLOAT16_LOUD = Tolerance(rtol=0, atol=0.01)
# Half a unit of the last place: the right result is one number of the dtype, and its neighbours
# are 0.05 % to 0.1 % away in float16, 0.4 % to 0.8 % in bfloat16.
NEIGHBOURS = {
    "float16": Tolerance(rtol=2**-12, atol=0),
    "bfloat16": Tolerance(rtol=2**-9, atol=0),
}

# Too small to show beside a mean square of 1, wherever it is added.
TINY_EPS = 1e-7


def rows_that_show_rounding(
    rng: np.random.Generator, dtype: torch.dtype, rows: int, features: int
) -> np.ndarray:
    """Rows, on the grid of dtype, which come out otherwise if any step before the last is rounded.

    No entry of the result lies near the middle between two numbers of the dtype, so that a right
    computation in float32 rounds it as one in float64 does, and one with a wrong eps too.
    """
    kept: list[np.ndarray] = []
    unit = torch.finfo(dtype).eps
    while len(kept) < rows:
        x = torch.tensor(draw_rows(rng, features, spread=(1.0, 2.0), offset=1.0)).to(dtype)
        exact = x.double() / x.double().square().mean().add(TINY_EPS).sqrt()
        right = exact.to(dtype)
        # Where an entry lies between two neighbours: 0.5 is the middle.
        step = unit * 2.0 ** torch.floor(torch.log2(exact.abs()))
        between = (exact.abs() / step) % 1
        if (between - 0.5).abs().min() < 0.05:
            continue
        wide = x.float()
        rounded_square = x.square().mean() + TINY_EPS
        rounded_rstd = wide.square().mean().add(TINY_EPS).rsqrt().to(dtype)
        wrong = [
            x / rounded_square.sqrt(),
            x * rounded_square.rsqrt(),
            (wide * rounded_square.float().rsqrt()).to(dtype),
            x * rounded_rstd,
            (wide / wide.square().mean().add(TINY_EPS).sqrt().to(dtype).float()).to(dtype),
        ]
        if not any(torch.equal(one, right) for one in wrong):
            kept.append(x.double().numpy())
    return np.stack(kept)


# ---------------------------------------------------------------------------------------------
# Task 1: the module
# ---------------------------------------------------------------------------------------------


@rms_norm_task.cases
def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dim of a case has its own length, so that a mean without keepdim never fits x."""
    batch, features, seq = (int(n) for n in rng.permutation([3, 4, 5]))
    channels, height, width = (int(n) for n in rng.permutation([2, 3, 4]))
    samples = 5

    def draw(*shape, dims=1, **more):
        """Rows with a mean and a spread of their own, so that centring them changes them."""
        leading, last = shape[:-dims], shape[-dims:]
        return draw_rows(rng, *leading, int(np.prod(last)), **more).reshape(shape)

    def inputs(x, dims=1, form="int", dtype="float32", **more):
        shape = x.shape[-dims:]
        return {
            "x": np.asarray(x, np.float64 if dtype == "float64" else np.float32),
            "normalized_shape": [int(n) for n in shape],
            "form": form,
            "dtype": dtype,
            "scale": draw_scale(rng, *shape),
            **more,
        }

    yield Case(
        "each row of a (batch, features) array is divided by its RMS and scaled, by your own code",
        points=0.75,
        inputs=inputs(draw(batch, features), eps=1e-5),
        tolerance=FLOAT32,
        judged=("output", "built-in norm called"),
        hint="Work through one row: square it, take the mean of the D squares, add eps, take the "
        "square root. Divide the row by that, and multiply by the scale.",
    )
    yield Case(
        "an int normalises the last dim of (batch, seq, features)",
        points=0.25,
        inputs=inputs(draw(batch, seq, features), eps=1e-5),
        tolerance=FLOAT32,
        hint="Each position of the sequence has a mean square of its own. Count dims from the end.",
    )
    yield Case(
        "a tuple of two: the last two dims share one mean square",
        points=0.5,
        inputs=inputs(draw(samples, height, width, dims=2), 2, "tuple", eps=1e-5),
        tolerance=FLOAT32,
        hint="`mean` takes a tuple of dims. How many, and which, follows from the length of "
        "`normalized_shape`.",
    )
    yield Case(
        "a list of three: one mean square over (C, H, W) of each sample",
        points=0.25,
        inputs=inputs(draw(2, channels, height, width, dims=3), 3, "list", eps=1e-5),
        tolerance=FLOAT32,
        hint="A list should do what a tuple does. `tuple(a_list)` makes one of the other.",
    )
    yield Case(
        "a torch.Size of two, with two dims before them",
        points=0.25,
        inputs=inputs(draw(3, 2, height, width, dims=2), 2, "Size", eps=1e-5),
        tolerance=FLOAT32,
        hint="Only the last dims are normalised, as many as `normalized_shape` has entries; all "
        "dims before them are left apart.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.5,
        inputs=inputs(
            draw(batch, features, spread=(0.4, 0.8), offset=0.3), eps=float(rng.uniform(0.1, 0.5))
        ),
        tolerance=FLOAT32,
        hint="Keep the argument `eps` in `__init__`, add it to the mean square, and take the "
        "square root of the sum.",
    )
    # Mean squares below the default eps, where its sum with them and the larger of the two differ.
    tiny = draw(batch, features, spread=(1.5e-3, 2.5e-3), offset=5e-4)
    tiny[int(rng.integers(batch))] = 0
    yield Case(
        "tiny rows, and one of zeros, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs(tiny),
        tolerance=FLOAT32,
        hint="The mean square is about as small as `eps` here, so its default value shows: 1e-5. "
        "It is also what keeps a row of zeros from becoming 0 / 0.",
    )
    # The mean square is above 90,000: float16 ends at 65,504.
    loud = rng.permuted(np.tile([-150.0, 220.0, 290.0, 310.0, 470.0, 640.0], (4, 1)), axis=1)
    yield Case(
        "float16: squares beyond its largest number, 65,504, do no harm",
        points=0.25,
        inputs=inputs(loud, dtype="float16", eps=1e-5),
        tolerance=FLOAT16_LOUD,
        by_values=False,
        hint="300 squared is infinite in float16. Square, average and divide in float32 when x is "
        "in half precision.",
    )
    for dtype in (torch.float16, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        shown = rows_that_show_rounding(rng, dtype, 4, 6)
        yield Case(
            f"{name}: no step before the last is rounded",
            points=0.25,
            # With powers of two for a scale the product is exact, so it does not matter here
            # whether it is taken before or after rounding.
            inputs=inputs(shown, dtype=name, eps=TINY_EPS)
            | {"scale": rng.choice([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0], 6)},
            tolerance=NEIGHBOURS[name],
            by_values=False,
            hint=f"Your result has rounding errors of {name} from more than the last step. Keep x, "
            "its mean square and the square root in float32 until the division is done.",
        )
    yield Case(
        "the output has the dtype of the input and the module",
        points=0.25,
        inputs=inputs(draw(batch, features), look_at="dtypes"),
        tolerance=FLOAT32,
        judged=tuple(
            f"dtype for {name} input" for name in ("float16", "bfloat16", "float32", "float64")
        ),
        hint="Whatever you compute in, the last step gives the result the dtype of x again.",
    )
    yield Case(
        "bfloat16 input and a float32 scale give a bfloat16 output",
        points=0.25,
        inputs=inputs(draw(batch, features), dtype="bfloat16", parameter_dtype="float32"),
        tolerance=FLOAT32,
        judged=("dtype",),
        hint="A product of bfloat16 and float32 is float32. So multiply by the scale first, and "
        "give the result the dtype of x last.",
    )
    yield Case(
        "float64 in, all the digits of float64 out",
        points=0.25,
        inputs=inputs(draw(batch, features), dtype="float64", eps=1e-5),
        tolerance=FLOAT64,
        by_values=False,
        hint="Only half precision needs another dtype inside. `x.float()` cuts float64 down to "
        "seven digits.",
    )
    yield Case(
        "one learnable parameter: a scale that starts at ones",
        points=0.25,
        inputs=inputs(draw(2, height, width, dims=2), 2, "tuple", look_at="parameters"),
        tolerance=FLOAT32,
        judged=("learnable parameters", "output"),
        hint="Print `list(RMSNorm((2, 3)).parameters())`. There should be one entry, of shape "
        "(2, 3).",
    )
    yield Case(
        "gradients reach x and the scale, and are right",
        points=0.5,
        inputs=inputs(
            draw(batch, features),
            dtype="float64",
            eps=0.1,
            look_at="gradients",
            upstream=rng.normal(size=(batch, features)),
        ),
        tolerance=FLOAT32,
        judged=("gradient reaches x", "gradient reaches the scale", "dx", "dscale"),
        hint="Autograd follows tensor operations. `.data`, `.detach()`, `.numpy()`, `.item()` and "
        "`torch.no_grad()` hide a step from it.",
    )
    yield Case(
        "a state_dict moves from nn.RMSNorm to your module and back",
        points=0.25,
        inputs=inputs(draw(batch, features), look_at="state_dict"),
        tolerance=FLOAT32,
        judged=(
            "names missing from your state_dict",
            "other names in your state_dict",
            "output",
            "nn.RMSNorm takes it back",
        ),
        about_names=True,
        hint="A `state_dict` goes by the names of attributes. `nn.RMSNorm` has `weight`, and "
        "nothing else.",
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
        "x is left as it was",
        points=0.25,
        inputs=inputs(draw(batch, features), eps=1e-5),
        tolerance=FLOAT32,
        judged=("output", "x is unchanged"),
        hint="`x /= rms` and `x.mul_(...)` write into the caller's tensor; `x / rms` makes a new "
        "one.",
    )
    yield Case(
        "x need not be contiguous in memory",
        points=0.25,
        inputs=inputs(draw(samples, height, width, dims=2), 2, "tuple", eps=1e-5, strided=True),
        tolerance=FLOAT32,
        hint="`view` asks for memory in order; `reshape` copies where it has to.",
    )


# Which numbers share a mean square


@rms_norm_task.known_mistake(
    "the last dim alone, whatever normalized_shape says",
    "You took the mean square over dim -1. With two or three entries in `normalized_shape`, the "
    "last two or three dims share one.",
    hint="What is `tuple(range(-2, 0))`? The 2 stands for `len(normalized_shape)`. `mean` takes "
    "such a tuple as `dim`.",
)
class LastDimAlone(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        x_hat = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (x_hat * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "a mean square over every dim but the first",
    "You normalised each sample as a whole. Only the last dims share a mean square, as many as "
    "`normalized_shape` has entries.",
    hint="For (batch, seq, features) and an int, the mean square should have shape "
    "(batch, seq, 1).",
)
class AllButTheBatch(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(1, x.dim())), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "one mean square for the whole tensor",
    "You took the mean over all entries at once, the batch included.",
    hint="Pass the dims to `mean`, with `keepdim=True`. If you do, print them: are they (-1,) for "
    "an int? `mean(())`, with no dims at all, averages over everything.",
)
class WholeTensor(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return (wide * torch.rsqrt(wide.square().mean() + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "a range of dims that stops before the last dim",
    "Your dims leave out the last one. For an int none is left, and `mean(())`, with no dims at "
    "all, averages over everything, the batch included.",
    hint="Print dims: is it (-1,) for an int, and (-2, -1) for a tuple of two? `range` stops "
    "before its second number.",
)
class RangeStopsEarly(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape), -1))
        mean_square = wide.square().mean(dims, keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "a range of dims that starts one too late",
    "Your dims are one too few. For an int none is left, and `mean(())`, with no dims at all, "
    "averages over everything, the batch included.",
    hint="Print dims: is it (-1,) for an int, and (-2, -1) for a tuple of two? The first number of "
    "`range` is where it starts.",
)
class RangeStartsLate(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape) + 1, 0))
        mean_square = wide.square().mean(dims, keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "a mean square over the batch (dim=0)",
    "You took the mean over the batch, feature by feature, as batch normalization does.",
    hint="Which dim has to disappear from the mean: the batch, or the features?",
)
class OverTheBatch(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(0, keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the first dims instead of the last",
    "You counted the dims of `normalized_shape` from the front: 0, 1, and so on. They are the last "
    "dims of x.",
    hint="Negative numbers count from the end: -1 is the last dim, -2 the one before it.",
)
class FirstDims(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(self.weight.dim())), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "dim=1 instead of the last dims",
    "Dim 1 is the last one only while x has two dims.",
    hint="Count from the end: -1 is the last dim, -2 the one before it.",
)
class DimOne(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        x_hat = wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + self.eps)
        return (x_hat * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "missing keepdim",
    "Your mean square has lost the dims it was taken over, so PyTorch lines it up with the "
    "features instead of the rows.",
    hint="Pass `keepdim=True`, and print the shape of the mean square: it should be (batch, 1).",
)
class MissingKeepdim(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)))
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "missing keepdim, and the last dim alone",
    "Two things. Your mean square has lost the dim it was taken over, so PyTorch lines it up with "
    "the features instead of the rows. And with two or three entries in `normalized_shape`, the "
    "last two or three dims share one mean square.",
    hint="First pass `keepdim=True`, and print the shape of the mean square: it should be "
    "(batch, 1).",
)
class MissingKeepdimLastDimAlone(RMSNorm):
    def forward(self, x):
        return self.weight * x / torch.sqrt(x.square().mean(-1) + self.eps)


# The forms of normalized_shape


@rms_norm_task.known_mistake(
    "an int not handled (len of an int)",
    "Your code asks for the length of `normalized_shape`. An int has none.",
    hint="Turn an int into a tuple of one first: `if isinstance(normalized_shape, int): ...`.",
)
class LengthOfAnInt(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        self.dims = tuple(range(-len(normalized_shape), 0))
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.normalized_shape = normalized_shape


@rms_norm_task.known_mistake(
    "an int not handled (tuple of an int)",
    "`tuple(normalized_shape)` goes through the entries of `normalized_shape`. An int has none.",
    hint="Turn an int into a tuple of one first: `if isinstance(normalized_shape, int): ...`.",
)
class TupleOfAnInt(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))


@rms_norm_task.known_mistake(
    "only an int handled",
    "You put whatever was given into a tuple of one. That is right for an int; a tuple becomes a "
    "tuple within a tuple.",
    hint="Ask first what you were given: `isinstance(normalized_shape, int)`.",
)
class OnlyAnInt(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        self.normalized_shape = (normalized_shape,)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))


@rms_norm_task.known_mistake(
    "a list not handled",
    "You took whatever is no tuple for a number, so a list ends up inside a tuple.",
    hint="Ask for the one special case, the int, and call `tuple(...)` on everything else.",
)
class ListNotHandled(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        if not isinstance(normalized_shape, tuple):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = normalized_shape
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(normalized_shape))


# What x is divided by


@rms_norm_task.known_mistake(
    "layer normalization without a shift",
    "You subtracted the mean, and divided by the spread around it. That is layer normalization. "
    "RMSNorm subtracts nothing, and takes the mean square of x itself.",
    hint="No mean of x appears anywhere in the formula; only a mean of squares.",
)
class Centred(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        wide = wide - wide.mean(dims, keepdim=True)
        x_hat = wide * torch.rsqrt(wide.square().mean(dims, keepdim=True) + self.eps)
        return (x_hat * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "layer normalization, with its shift",
    "This is the module of exercise 3. RMSNorm does not subtract the mean, takes the mean square "
    "of x itself, and has a scale alone: no shift.",
    hint="Cross out three things: the mean, its subtraction, and the bias.",
)
class LayerNormalization(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        wide = wide - wide.mean(dims, keepdim=True)
        x_hat = wide * torch.rsqrt(wide.square().mean(dims, keepdim=True) + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@rms_norm_task.known_mistake(
    "the mean subtracted from x, but not before squaring",
    "Your mean square is that of x, as it should be, but you divided x - mean by its root.",
    hint="What is divided is x itself.",
)
class NumeratorCentred(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean_square = wide.square().mean(dims, keepdim=True)
        x_hat = (wide - wide.mean(dims, keepdim=True)) * torch.rsqrt(mean_square + self.eps)
        return (x_hat * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the variance instead of the mean square",
    "You divided x by sqrt(var + eps). The variance is the mean square of x - mean; RMSNorm takes "
    "that of x.",
    hint="Square x itself, and take the mean: no function called `var` or `std` is needed.",
)
class Variance(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        var = wide.var(dims, keepdim=True, unbiased=False)
        return (wide * torch.rsqrt(var + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the unbiased variance instead of the mean square",
    "You divided x by sqrt(var + eps), with a `torch.var` that divides by D - 1. RMSNorm takes the "
    "mean square of x, not of x - mean, and divides by D.",
    hint="Square x itself, and take the mean: no function called `var` or `std` is needed.",
)
class UnbiasedVariance(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        return (wide * torch.rsqrt(wide.var(dims, keepdim=True) + self.eps) * self.weight).to(
            x.dtype
        )


@rms_norm_task.known_mistake(
    "torch.std plus eps instead of the RMS",
    "You divided x by its standard deviation plus eps. The standard deviation is taken around the "
    "mean, `torch.std` divides by D - 1, and eps belongs under the root.",
    hint="Square x itself, and take the mean: no function called `var` or `std` is needed.",
)
class StdPlusEps(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        return (wide / (wide.std(dims, keepdim=True) + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the sum of squares instead of their mean",
    "You divided by sqrt(sum(x^2) + eps), the length of the row. Its RMS is smaller by sqrt(D), "
    "and a normalised row has length sqrt(D), not 1.",
    hint="The M in RMS: `mean` where you have `sum` or `norm`.",
)
class SumOfSquares(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        total = wide.square().sum(dims, keepdim=True)
        return (wide * torch.rsqrt(total + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the length of the row plus eps",
    "You divided by norm(x) + eps. The RMS is smaller than the length by sqrt(D), and eps belongs "
    "under the root.",
    hint="Begin with the mean of the squares, add eps to that, and only then take the root.",
)
class LengthPlusEps(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        length = torch.linalg.vector_norm(wide, dim=dims, keepdim=True)
        return (wide / (length + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "eps outside the square root",
    "You divided by sqrt(mean(x^2)) + eps. The formula adds eps to the mean square, under the "
    "root.",
    hint="Move `eps` inside: the difference shows as soon as `eps` is not tiny.",
)
class EpsOutside(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        rms = wide.square().mean(dims, keepdim=True).sqrt()
        return (wide / (rms + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "F.normalize",
    "`F.normalize` divides a row by its length, so the result has length 1 where RMSNorm gives "
    "sqrt(D). And its eps is a lower bound for the length; nothing is added under a root.",
    hint="Write the formula with `mean` and `sqrt`. It is one line.",
)
class Normalize(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        rows = wide.flatten(-self.weight.dim())
        x_hat = nn.functional.normalize(rows, dim=-1, eps=self.eps).reshape(x.shape)
        return (x_hat * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "F.normalize times sqrt(D)",
    "That is RMSNorm but for eps: `F.normalize` takes it as a lower bound for the length of the "
    "row. The formula adds it to the mean square.",
    hint="Write the formula with `mean` and `sqrt`. It is one line.",
)
class NormalizeTimesRoot(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        rows = wide.flatten(-self.weight.dim())
        x_hat = nn.functional.normalize(rows, dim=-1, eps=self.eps) * rows.shape[-1] ** 0.5
        return (x_hat.reshape(x.shape) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the mean of the absolute values instead of the RMS",
    "You divided by mean(|x|). The RMS squares, takes the mean, then the root, which gives large "
    "entries more weight.",
    hint="R, M, S, read from the right: square, mean, root.",
)
class MeanOfAbsolutes(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        size = wide.abs().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide / (size + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the largest absolute value instead of the RMS",
    "You divided by max(|x|).",
    hint="R, M, S, read from the right: square, mean, root.",
)
class Largest(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        size = wide.abs().amax(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide / (size + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the square of the mean instead of the mean of the squares",
    "You took the mean of x and squared that. Positive and negative entries cancel before they "
    "are squared.",
    hint="Square first, then take the mean: `x.square().mean(...)`, not `x.mean(...).square()`.",
)
class SquareOfTheMean(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean.square() + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "dividing by the mean square, not by its square root",
    "You divided by mean(x^2) + eps. The mean square is in squared units, its root in those of x.",
    hint="After normalising, the mean square of a row should be about 1. Is yours?",
)
class MissingSquareRoot(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide / (mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "multiplying by the RMS instead of dividing",
    "You multiplied x by sqrt(mean(x^2) + eps).",
    hint="`torch.rsqrt` is one over the square root; `torch.sqrt` is the root itself.",
)
class Multiplied(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.sqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "D - 1 in the mean square",
    "You divided the sum of squares by D - 1. RMSNorm divides by D.",
    hint="`mean` divides by D.",
)
class OneLess(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean_square = wide.square().sum(dims, keepdim=True) / (self.weight.numel() - 1)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


# eps


@rms_norm_task.known_mistake(
    "no eps",
    "You divided by sqrt(mean(x^2)) alone, as the paper does. A row of zeros then gives 0 / 0, "
    "which is NaN.",
    hint="Add `self.eps` to the mean square before the square root.",
)
class NoEps(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide / torch.sqrt(mean_square) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "eps squared",
    "You added eps squared to the mean square. The formula adds eps as it is.",
    hint="`eps` already has the units of a square: it is added to one.",
)
class EpsSquared(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps**2) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "eps as a lower bound of the mean square",
    "You took the larger of mean(x^2) and eps. The formula takes their sum.",
    hint="`+ self.eps` where you have `clamp` or `maximum`.",
)
class EpsAsBound(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square.clamp(min=self.eps)) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "eps added after the division",
    "You computed x / sqrt(mean(x^2)) + eps. The division comes before the sum, so eps shifts the "
    "result and no longer guards the division.",
    hint="Put brackets round what belongs under the root.",
)
class EpsAfterDivision(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return ((wide / torch.sqrt(mean_square) + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "an eps of your own instead of the argument",
    "You added 1e-5 whatever `eps` was passed.",
    hint="Where does your code read the argument `eps`?",
)
class HardCodedEps(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square + 1e-5) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "another default for eps (1e-6)",
    "Built without `eps`, your module uses 1e-6, as many language models do. The signature here "
    "says `eps=1e-5`.",
    hint="Look at the line `def __init__`.",
)
class OtherDefault(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-6):
        super().__init__(normalized_shape, eps)


@rms_norm_task.known_mistake(
    "another default for eps (1e-8)",
    "Built without `eps`, your module uses 1e-8. The signature here says `eps=1e-5`.",
    hint="Look at the line `def __init__`.",
)
class SmallerDefault(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-8):
        super().__init__(normalized_shape, eps)


# Precision


@rms_norm_task.known_mistake(
    "the mean square in half precision",
    "Your mean square is a half precision number, computed in the dtype of x or rounded to it. In "
    "float16 it is infinite above 65,504, and the row comes out as zeros.",
    hint="When x is float16 or bfloat16, turn it into float32 first, and only the final result "
    "back. If your code says `x.float()`: is that line reached, and is its result kept? It makes a "
    "new tensor and leaves x as it is.",
)
class InHalf(RMSNorm):
    def forward(self, x):
        mean_square = x.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return x * torch.rsqrt(mean_square + self.eps) * self.weight


@rms_norm_task.known_mistake(
    "one over the RMS rounded to half precision",
    "Your mean square is computed in float32, but what you multiply or divide x by is a half "
    "precision number again: too many digits are lost, too early.",
    hint="Stay in float32 until the result is done.",
)
class RoundedRstd(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (x * torch.rsqrt(mean_square + self.eps).to(x.dtype) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "float32 inside for float16, but not for bfloat16",
    "Your float16 input is computed in float32, your bfloat16 input is not. A bfloat16 has fewer "
    "digits still: two or three.",
    hint="`torch.bfloat16` needs the same treatment as `torch.float16`.",
)
class OnlyFloat16(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype == torch.float16 else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "rounded before the scale, and not after",
    "You gave the normalised row the dtype of x, and then multiplied by the scale. While the scale "
    "is float32, as in mixed precision training, the product is float32 again. The LLaMA code in a "
    "well-known library has this order.",
    hint="Multiply by the scale first; `.to(x.dtype)` comes last.",
)
class RoundedBeforeTheScale(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return self.weight * (wide * torch.rsqrt(mean_square + self.eps)).to(x.dtype)


@rms_norm_task.known_mistake(
    "LLaMA's order: float32 inside for every input, rounded before the scale",
    "Two things. You turned every input into float32, which takes nine digits from float64. And "
    "you gave the result the dtype of x before multiplying by the scale: while the scale is "
    "float32, the product is float32 again.",
    hint="Ask for the dtype of x before `x.float()`, multiply by the scale in that precision, and "
    "let `.to(x.dtype)` come last.",
)
class LlamaOrder(RMSNorm):
    def forward(self, x):
        wide = x.float()
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return self.weight * (wide * torch.rsqrt(mean_square + self.eps)).to(x.dtype)


@rms_norm_task.known_mistake(
    "the RMSNorm of LLaMA's code",
    "It normalises the last dim alone, whatever `normalized_shape` says. It computes in float32 "
    "for every input, which takes nine digits from float64. And it rounds before the scale, so "
    "that with a float32 scale the result is float32. Its default for eps, 1e-6, is another one.",
    hint="First the dims: as many as `normalized_shape` has entries.",
)
class Llama(RMSNorm):
    def __init__(self, hidden_size, eps=1e-6):
        super().__init__(hidden_size, eps)

    def forward(self, x):
        wide = x.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


@rms_norm_task.known_mistake(
    "half precision in, float32 out",
    "You computed in float32, as you should, and the result is still float32. The next layer of a "
    "float16 model expects float16.",
    hint="The last step is `.to(x.dtype)`. If you already end in it: is x still the x you were "
    "given? After `x = x.float()` its dtype is float32. Keep its dtype before you change x.",
)
class LeftInFloat32(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return wide * torch.rsqrt(mean_square + self.eps) * self.weight


@rms_norm_task.known_mistake(
    "float32 inside for float64 too",
    "You turned every input into float32. For half precision that adds digits; from float64 it "
    "takes nine away, and casting back does not bring them back.",
    hint="Ask for the dtype of x before you call `x.float()`. If you do, compare it with each of "
    "the two: `x.dtype == torch.float16 or torch.bfloat16` is true for every x.",
)
class SinglePrecision(RMSNorm):
    def forward(self, x):
        wide = x.float()
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "a float32 result for every input",
    "You turned every input into float32, and the result is float32 whatever x was, or whatever "
    "the scale is.",
    hint="Ask for the dtype of x before `x.float()`; `x.dtype == torch.float16 or torch.bfloat16` "
    "is true for every x. And end with `.to(...)`: after `x = x.float()`, x.dtype is no longer the "
    "dtype you were given, so keep that first.",
)
class SinglePrecisionLeft(RMSNorm):
    def forward(self, x):
        x = x.float()
        mean_square = x.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (x * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


# PyTorch's own


@rms_norm_task.known_mistake(
    "PyTorch's own norm does the work",
    "The numbers are right, but your `forward` hands x to a normalisation of PyTorch. Writing that "
    "one is what this exercise is about.",
    hint="Start from `x.square().mean(...)`.",
)
class FunctionalNorm(RMSNorm):
    def forward(self, x):
        return nn.functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)


@rms_norm_task.known_mistake(
    "an nn.RMSNorm inside",
    "The numbers are right, but your module keeps an `nn.RMSNorm` and calls it. Writing that one "
    "is what this exercise is about.",
    hint="Create a parameter in `__init__`, and start `forward` from `x.square().mean(...)`.",
)
class NormInside(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.norm = nn.RMSNorm(normalized_shape, eps=eps)

    def forward(self, x):
        return self.norm(x)


# The scale


@rms_norm_task.known_mistake(
    "a plain tensor for the scale",
    "A plain tensor is an attribute like any other: `parameters()` does not list it, so no "
    "optimizer changes it, `state_dict()` does not save it, and `.to()` leaves it behind.",
    hint="Wrap it in `nn.Parameter(...)`.",
)
class PlainTensor(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        self.eps = eps
        self.weight = torch.ones(normalized_shape)
        self.normalized_shape = self.weight.shape


@rms_norm_task.known_mistake(
    "a buffer for the scale",
    "A buffer is saved and moved with the module, but `parameters()` does not list it, so no "
    "optimizer changes it.",
    hint="A buffer is for what is kept and not learned. What is learned is an `nn.Parameter`.",
)
class Buffer(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        nn.Module.__init__(self)
        self.eps = eps
        self.register_buffer("weight", torch.ones(normalized_shape))
        self.normalized_shape = self.weight.shape


@rms_norm_task.known_mistake(
    "a scale created in forward",
    "Every call makes the scale anew, at ones: whatever was learned is thrown away, and the "
    "optimizer holds on to the old one.",
    hint="`normalized_shape` is known in `__init__`, so the scale can be made there.",
)
class CreatedInForward(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.normalized_shape = normalized_shape
        self.eps = eps

    def forward(self, x):
        self.weight = nn.Parameter(torch.ones(self.normalized_shape))
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "no scale",
    "Your module normalises and has nothing to learn.",
    hint="One `nn.Parameter` in `__init__`, used in the last line of `forward`.",
)
class NoScale(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.dims = tuple(range(-torch.ones(normalized_shape).dim(), 0))
        self.eps = eps

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(self.dims, keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps)).to(x.dtype)


@rms_norm_task.known_mistake(
    "one number for the scale",
    "Your scale has shape (1,). Each normalised entry has a scale of its own.",
    hint="`torch.ones` takes a shape: which one?",
)
class ScalarScale(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight = nn.Parameter(torch.ones(1))


@rms_norm_task.known_mistake(
    "a scale for the last dim only",
    "Your scale has as many entries as the last dim. With two or three entries in "
    "`normalized_shape`, it has that whole shape.",
    hint="`torch.ones` takes a tuple as well as an int.",
)
class ScaleOfTheLastDim(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight = nn.Parameter(torch.ones(self.normalized_shape[-1]))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-len(self.normalized_shape), 0))
        mean_square = wide.square().mean(dims, keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the scale starts at zeros",
    "Your scale starts at zeros. Some models do that and multiply by 1 + weight; here the weight "
    "itself is the scale, as in PyTorch, and starts at ones.",
    hint="A new module should only normalise, and `forward` multiplies by the parameter itself.",
)
class ScaleOfZeros(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        nn.init.zeros_(self.weight)


@rms_norm_task.known_mistake(
    "a random start for the scale",
    "Your scale starts at random numbers, so a new module does more than normalise.",
    hint="A new module should only normalise: which scale changes nothing?",
)
class RandomStart(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight = nn.Parameter(torch.randn(self.normalized_shape))


@rms_norm_task.known_mistake(
    "a scale without requires_grad",
    "With `requires_grad=False` autograd computes no gradient for your scale, so it is never "
    "learned.",
    hint="An `nn.Parameter` requires a gradient as it stands.",
)
class Frozen(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight = nn.Parameter(torch.ones(self.normalized_shape), requires_grad=False)


@rms_norm_task.known_mistake(
    "a scale in float64 from the start",
    "Your scale is float64, perhaps because it was made with NumPy. PyTorch's default is float32, "
    "and a layer among others should have theirs.",
    hint="`torch.ones` makes a float32 tensor.",
)
class DoubleScale(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.double()


@rms_norm_task.known_mistake(
    "a shift as well",
    "Your module has a second parameter, a shift. RMSNorm has a scale alone.",
    hint="Take the bias out, of `__init__` and of `forward`.",
)
class Shift(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        x_hat = wide * torch.rsqrt(mean_square + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@rms_norm_task.known_mistake(
    "eps as a parameter",
    "Your `eps` is an `nn.Parameter`, so it is learned and saved. It is a fixed number.",
    hint="`self.eps = eps` is enough.",
)
class LearnedEps(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape)
        self.eps = nn.Parameter(torch.tensor(eps))


@rms_norm_task.known_mistake(
    "the scale is never used",
    "Your module has a scale, but `forward` does not multiply by it.",
    hint="The last step is a product with `self.weight`.",
)
class ScaleUnused(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps)).to(x.dtype)


@rms_norm_task.known_mistake(
    "scaling before normalising",
    "You multiplied x by the scale and normalised the product. The scale comes last, or the "
    "division takes part of it out again.",
    hint="Compute the normalised row in a line of its own; its mean square is about 1. Then scale.",
)
class ScaledFirst(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        wide = wide * self.weight
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps)).to(x.dtype)


@rms_norm_task.known_mistake(
    "another name for the scale",
    "All numbers are right. Only `load_state_dict` fails, because a `state_dict` goes by names.",
    hint="Call it `self.weight`.",
)
class OtherName(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(normalized_shape))
        self.eps = eps

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.scale.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.scale).to(x.dtype)


# Autograd


@rms_norm_task.known_mistake(
    "x detached",
    "The numbers are right, but no gradient comes back to x: the layers before this one would "
    "learn nothing.",
    hint="Take out `.data`, `.detach()`, `torch.tensor(x)`.",
)
class Detached(RMSNorm):
    def forward(self, x):
        return super().forward(x.detach())


@rms_norm_task.known_mistake(
    "the RMS detached",
    "Your gradient treats the RMS as a constant. It depends on x, and that path is part of dx.",
    hint="Is `.detach()`, `.data`, `.item()` or `torch.no_grad()` anywhere on the way to the mean "
    "square?",
)
class RootDetached(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        with torch.no_grad():
            mean_square = wide.square().mean(dims, keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "the scale detached",
    "The numbers are right, but no gradient reaches the scale, so it is never learned.",
    hint="`self.weight.data` is a plain tensor; use `self.weight`.",
)
class ScaleDetached(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight.data).to(x.dtype)


@rms_norm_task.known_mistake(
    "the whole of forward hidden from autograd",
    "Under `torch.no_grad()`, or through NumPy, no gradient reaches x or the scale.",
    hint="Tensor operations alone do all that is needed here.",
)
class NoGrad(RMSNorm):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


# Side effects and memory


@rms_norm_task.known_mistake(
    "writing into x",
    "Your code changes the caller's tensor. Autograd, or a residual connection around the layer, "
    "still needs it as it was.",
    hint="`x /= rms`, `x *= ...` and names that end in an underscore, such as `x.mul_()`, write "
    "into x. `x / rms` makes a new tensor.",
)
class InPlace(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        wide *= torch.rsqrt(mean_square + self.eps)
        return (wide * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "view on a tensor that is not contiguous",
    "`view` gives another shape to the same memory, which a transposed tensor does not allow.",
    hint="`reshape` does the same, and copies where it has to.",
)
class View(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        rows = wide.view(-1, self.weight.numel())
        x_hat = rows * torch.rsqrt(rows.square().mean(1, keepdim=True) + self.eps)
        return (x_hat.view(x.shape) * self.weight).to(x.dtype)


@rms_norm_task.known_mistake(
    "a tensor that .to() leaves behind",
    "Your module keeps a tensor of its own, beside its parameter, and `.to()` does not move it.",
    hint="`self.eps = eps` keeps a number, which works on every device.",
)
class LeftBehind(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.eps = torch.tensor([eps], dtype=torch.float64)

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean_square = wide.square().mean(tuple(range(-self.weight.dim(), 0)), keepdim=True)
        x_hat = wide / torch.sqrt(mean_square + self.eps)
        return (x_hat * self.weight).to(x.dtype)


# Common pairs


@rms_norm_task.known_mistake(
    "the last dim alone, and the mean square in half precision",
    "Two things. With two or three entries in `normalized_shape`, the last two or three dims share "
    "one mean square. And half precision input is squared in half precision, where 300 squared is "
    "infinite.",
    hint="First the dims: `tuple(range(-len(normalized_shape), 0))`, with `normalized_shape` as a "
    "tuple.",
)
class LastDimAloneInHalf(RMSNorm):
    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


@rms_norm_task.known_mistake(
    "the last dim alone, and eps outside the square root",
    "Three things. With two or three entries in `normalized_shape`, the last two or three dims "
    "share one mean square. eps belongs under the root. And half precision input is squared in "
    "half precision, where 300 squared is infinite.",
    hint="First the dims: `tuple(range(-len(normalized_shape), 0))`, with `normalized_shape` as a "
    "tuple.",
)
class LastDimAloneEpsOutside(RMSNorm):
    def forward(self, x):
        return self.weight * x / (x.square().mean(-1, keepdim=True).sqrt() + self.eps)


@rms_norm_task.known_mistake(
    "the RMSNorm of its authors' code, without their partial variant",
    "It computes what the paper says, and differs from PyTorch's in five things: it normalises the "
    "last dim alone, adds eps to the RMS and not under the root, has a default of 1e-8 for it, "
    "computes half precision in half precision, and calls its parameter scale.",
    hint="First the dims: as many as `normalized_shape` has entries.",
)
class AuthorsVersion(nn.Module):
    def __init__(self, d, eps=1e-8):
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(d))

    def forward(self, x):
        rms = x.norm(2, dim=-1, keepdim=True) * x.shape[-1] ** (-1.0 / 2)
        return self.scale * (x / (rms + self.eps))


@rms_norm_task.combination
class NoEpsAndLastDimAlone(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return (wide / wide.square().mean(-1, keepdim=True).sqrt() * self.weight).to(x.dtype)


@rms_norm_task.combination
class OneLessWithAShift(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.bias = nn.Parameter(torch.zeros(self.normalized_shape))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean_square = wide.square().sum(dims, keepdim=True) / (self.weight.numel() - 1)
        x_hat = wide * torch.rsqrt(mean_square + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@rms_norm_task.combination
class EpsOutsideInHalf(RMSNorm):
    def forward(self, x):
        dims = tuple(range(-self.weight.dim(), 0))
        return self.weight * x / (x.square().mean(dims, keepdim=True).sqrt() + self.eps)


@rms_norm_task.combination
class SumAndInPlace(RMSNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        wide *= torch.rsqrt(wide.square().sum(dims, keepdim=True) + self.eps)
        return (wide * self.weight).to(x.dtype)


@rms_norm_task.combination
class FrozenAndRootDetached(RMSNorm):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.requires_grad_(False)

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        mean_square = wide.square().mean(dims, keepdim=True).detach()
        return (wide * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.right_solution
class SquareRootAndDivision(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = [normalized_shape]
        self.dims = [-1 - i for i in range(len(normalized_shape))]
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(*normalized_shape))

    def forward(self, x):
        half = x.dtype in (torch.float16, torch.bfloat16)
        h = x.to(torch.float32) if half else x
        rms = (h.pow(2).mean(dim=self.dims, keepdim=True) + self.eps).sqrt()
        # Rounded twice in half precision, as some libraries do.
        return ((h / rms).to(x.dtype) * self.weight).to(x.dtype)


@rms_norm_task.right_solution
class Einsum(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.eps = eps

    def forward(self, x):
        count = self.weight.numel()
        wide = torch.promote_types(x.dtype, torch.float32)
        rows = x.reshape(-1, count).to(wide)
        mean_square = torch.einsum("nd,nd->n", rows, rows) / count
        scaled = torch.einsum(
            "nd,n,d->nd", rows, (mean_square + self.eps) ** -0.5, self.weight.reshape(-1).to(wide)
        )
        return scaled.reshape(x.shape).to(x.dtype)


@rms_norm_task.right_solution
class FlattenAndUnflatten(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        shape = torch.Size(
            [normalized_shape] if isinstance(normalized_shape, int) else normalized_shape
        )
        self.shape, self.eps = shape, eps
        self.register_parameter("weight", nn.Parameter(torch.full(shape, 1.0)))

    def forward(self, x):
        h = x.flatten(-len(self.shape))
        h = h.float() if h.element_size() == 2 else h
        h = h / h.pow(2).mean(-1, keepdim=True).add(self.eps).sqrt()
        return (h.unflatten(-1, self.shape) * self.weight).type_as(x)


@rms_norm_task.right_solution
class Float64Inside(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.eps = float(eps)

    def forward(self, x):
        h = x.double()
        dims = tuple(range(x.ndim - self.weight.ndim, x.ndim))
        mean_square = torch.mean(h * h, dims, keepdim=True)
        return (self.weight.double() * h * (mean_square + self.eps).pow(-0.5)).to(x.dtype)


@rms_norm_task.right_solution
class LengthOfTheRow(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.eps = eps

    def forward(self, x):
        h = x if x.dtype in (torch.float32, torch.float64) else x.to(torch.float32)
        dims = tuple(range(-self.weight.ndim, 0))
        length = torch.linalg.vector_norm(h, dim=dims, keepdim=True)
        x_hat = h / (length.square() / self.weight.numel() + self.eps).sqrt()
        return (x_hat * self.weight).to(x.dtype)


@rms_norm_task.right_solution
class MeanAndVariance(nn.Module):
    """The mean square is the variance plus the square of the mean."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(normalized_shape))
        nn.init.ones_(self.weight)
        self.eps = eps

    def forward(self, x):
        h = x.to(torch.promote_types(x.dtype, torch.float32))
        dims = tuple(range(-self.weight.dim(), 0))
        var, mean = torch.var_mean(h, dims, correction=0, keepdim=True)
        return (h * torch.rsqrt(var + mean.square() + self.eps) * self.weight).to(x.dtype)


@rms_norm_task.right_solution
class RowByRow(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.eps = eps

    def one(self, row):
        row = row.to(torch.promote_types(row.dtype, torch.float32))
        return self.weight * row / torch.sqrt(row.square().sum() / row.numel() + self.eps)

    def forward(self, x):
        rows = x.reshape(-1, *self.weight.shape)
        return torch.stack([self.one(row) for row in rows]).reshape(x.shape).to(x.dtype)


@rms_norm_task.right_solution
class BackwardByHand(nn.Module):
    class Normalise(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, dims, eps):
            rstd = torch.rsqrt(x.square().mean(dims, keepdim=True) + eps)
            ctx.save_for_backward(x, rstd)
            ctx.dims = dims
            return x * rstd

        @staticmethod
        def backward(ctx, g):
            x, rstd = ctx.saved_tensors
            x_hat = x * rstd
            return rstd * (g - x_hat * (g * x_hat).mean(ctx.dims, keepdim=True)), None, None

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.eps = eps

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        dims = tuple(range(-self.weight.dim(), 0))
        return (self.Normalise.apply(wide, dims, self.eps) * self.weight).to(x.dtype)


# ---------------------------------------------------------------------------------------------
# Task 2: the backward pass
# ---------------------------------------------------------------------------------------------

GRADIENTS = ("dx", "dweight")


@backward_task.cases
def backward_cases(rng: np.random.Generator) -> Iterator[Case]:
    """The features are never as many as another dim is long, but in the cube."""
    batch, seq, features = (int(n) for n in rng.permutation([3, 4, 5]))

    def inputs(x, **more):
        return {
            "x": x,
            "dout": rng.normal(size=x.shape),
            "weight": draw_scale(rng, x.shape[-1]),
            **more,
        }

    yield Case(
        "dx of a (batch, features) tensor",
        points=1,
        inputs=inputs(draw_rows(rng, batch, features), eps=1e-5),
        tolerance=FLOAT32,
        judged=("dx",),
        hint="Feed your function the row worked by hand in this notebook, and compare step by "
        "step: r, x_hat, g, the mean of g * x_hat, and only then dx.",
    )
    yield Case(
        "dweight of a (batch, features) tensor, after dx",
        points=0.5,
        inputs=inputs(draw_rows(rng, batch, features), eps=1e-5),
        tolerance=FLOAT32,
        judged=GRADIENTS,
        hint="Return dx, then dweight: the sum over the rows of dout * x_hat, of shape "
        "(features,).",
    )
    yield Case(
        "more dims before the last, shape (batch, seq, features)",
        points=0.5,
        inputs=inputs(draw_rows(rng, 2, seq, features), eps=1e-5),
        tolerance=FLOAT32,
        judged=GRADIENTS,
        hint="The mean inside dx runs over the last dim alone; the sum of dweight over all the "
        "others.",
    )
    yield Case(
        "one row without a batch dim, shape (features,)",
        points=0.25,
        inputs=inputs(draw_rows(rng, features), eps=1e-5),
        tolerance=FLOAT32,
        judged=GRADIENTS,
        hint="For dweight there is nothing to sum here. In PyTorch a sum over no dims at all, "
        "`sum(())`, is a sum over everything; `reshape(-1, features)` makes one row of one row.",
    )
    yield Case(
        "all dims of the same length, where a wrong dim raises no error",
        points=0.25,
        inputs=inputs(draw_rows(rng, 3, 3, 3), eps=1e-5),
        tolerance=FLOAT32,
        judged=GRADIENTS,
        hint="Print the shapes: the mean inside dx has shape (..., 1), so it needs `keepdim=True`.",
    )
    yield Case(
        "a large eps is honoured, in r and wherever r is used",
        points=0.5,
        inputs=inputs(
            draw_rows(rng, batch, features, spread=(0.4, 0.8), offset=0.3),
            eps=float(rng.uniform(0.1, 0.5)),
        ),
        tolerance=FLOAT32,
        judged=GRADIENTS,
        hint="r is 1 / sqrt(mean(x^2) + eps), with the eps that was passed, and x_hat is x * r.",
    )
    tiny = draw_rows(rng, batch, features, spread=(1.5e-3, 2.5e-3), offset=5e-4)
    tiny[int(rng.integers(batch))] = 0
    yield Case(
        "tiny rows, and one of zeros, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs(tiny),
        tolerance=FLOAT32,
        judged=GRADIENTS,
        hint="The mean square is about as small as eps here, so its default value shows: 1e-5.",
    )
    yield Case(
        "float64 in, all the digits of float64 out",
        points=0.25,
        inputs=inputs(draw_rows(rng, batch, features), eps=1e-5),
        tolerance=FLOAT64,
        judged=GRADIENTS,
        by_values=False,
        hint="Use the formula, in the dtype of the inputs.",
    )
    yield Case(
        "dout, x and weight are left as they were",
        points=0.25,
        inputs=inputs(draw_rows(rng, batch, features), eps=1e-5),
        tolerance=FLOAT32,
        judged=("dout", "x", "weight"),
        hint="`dout *= weight` writes into the caller's tensor; `dout * weight` makes a new one.",
    )
    yield Case(
        "dout and x need not be contiguous in memory",
        points=0.25,
        inputs=inputs(draw_rows(rng, 2, seq, features), eps=1e-5, strided=True),
        tolerance=FLOAT32,
        judged=GRADIENTS,
        hint="`view` asks for memory in order; `reshape` copies where it has to.",
    )


@backward_task.known_mistake(
    "the projection term missing from dx, or 0",
    "The term - x_hat * mean(g * x_hat) is missing: the path from x through the RMS. Your dx "
    "treats the RMS as a constant.",
    hint="When one entry of x grows, the RMS grows, and all entries of the row shrink a little.",
)
def projection_missing(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return r * dout * weight, (dout * x * r).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "a sum instead of a mean in the projection term",
    "Your projection term is D times too large: it has sum(g * x_hat) where the formula has "
    "mean(g * x_hat). The 1/D comes from the mean in the mean square.",
    hint="`mean` where you have `sum`.",
)
def sum_for_mean(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * x_hat).sum(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "x instead of x_hat in the projection term",
    "Your projection term has r to the power 1 where it should have the power 3: it was made with "
    "x, and x_hat is x * r, both in the mean and before it.",
    hint="Compute x_hat in a line of its own, and use it in both places.",
)
def x_twice(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    g = dout * weight
    dx = r * (g - x * (g * x).mean(-1, keepdim=True))
    return dx, (dout * x * r).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "one r too few in the projection term",
    "Your projection term has r to the power 2 where it should have the power 3: one for each of "
    "two x_hat, and one in front of the brackets, which multiplies both terms.",
    hint="Compute x_hat = x * r in a line of its own, use it inside the mean and before it, and "
    "put brackets round the whole difference that r multiplies.",
)
def one_r_too_few(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    g = dout * weight
    dx = r * (g - x * r * (g * x).mean(-1, keepdim=True))
    return dx, (dout * x * r).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "r missing in front of dx",
    "Your dx is g - x_hat * mean(g * x_hat), without the factor r.",
    hint="If x is doubled everywhere, the output stays the same; so dx must halve. Does yours?",
)
def r_missing(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dx = g - x_hat * (g * x_hat).mean(-1, keepdim=True)
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "a plus before the projection term",
    "You added the projection term. It is subtracted: a larger RMS makes the row smaller.",
    hint="The derivative of 1 / sqrt(v) is negative.",
)
def plus(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g + x_hat * (g * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the projection term half as large as it should be",
    "The 1/2 from the square root is in your projection term, but not the 2 from the square. They "
    "cancel.",
    hint="The derivative of the mean square with respect to x_i is 2 x_i / D.",
)
def half(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True) / 2)
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the projection term twice as large as it should be",
    "The 2 from the square is in your projection term, but not the 1/2 from the square root. They "
    "cancel.",
    hint="The derivative of v to the power -1/2 begins with -1/2.",
)
def double(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g - 2 * x_hat * (g * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the backward pass of layer normalization",
    "You centred x and g, as exercise 2 did. RMSNorm has no mean to go through: two terms are "
    "left, and x_hat is x * r.",
    hint="Take out every mean of x and of g; only means of squares and of products stay.",
)
def layer_norm_backward(dout, x, weight, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    r = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    x_hat, g = centred * r, dout * weight
    projection = x_hat * (g * x_hat).mean(-1, keepdim=True)
    dx = r * (g - g.mean(-1, keepdim=True) - projection)
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the mean term of layer normalization in dx",
    "You subtracted mean(g). That term belongs to the path through the mean, which RMSNorm does "
    "not have. Your dx sums to nearly 0; the right one does not.",
    hint="Two terms: g, and the projection.",
)
def mean_term(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    projection = x_hat * (g * x_hat).mean(-1, keepdim=True)
    dx = r * (g - g.mean(-1, keepdim=True) - projection)
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


# The weight


@backward_task.known_mistake(
    "the weight forgotten in dx",
    "Your dx was made from dout. What reaches x_hat is dout * weight.",
    hint="g = dout * weight, and dx is made of g.",
)
def weight_forgotten(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat = x * r
    dx = r * (dout - x_hat * (dout * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the weight factored out of the mean",
    "You multiplied by the weight at the end. It differs from feature to feature, so it cannot be "
    "taken out of mean(g * x_hat).",
    hint="Multiply dout by the weight first, before any mean.",
)
def weight_factored_out(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat = x * r
    dx = weight * r * (dout - x_hat * (dout * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the weight in the first term only",
    "Your first term has dout * weight, but the mean in your second one has dout alone.",
    hint="g = dout * weight in both terms.",
)
def weight_in_the_first_term(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat = x * r
    dx = r * (dout * weight - x_hat * (dout * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the weight in the second term only",
    "The mean in your second term has dout * weight, but your first term has dout alone.",
    hint="g = dout * weight in both terms.",
)
def weight_in_the_second_term(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat = x * r
    dx = r * (dout - x_hat * (dout * weight * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the output y in the place of x_hat in the projection term",
    "Your projection term was made with y = weight * x_hat, so the weight comes in three times.",
    hint="The projection is along x_hat, before the weight.",
)
def y_for_x_hat(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    y, g = x * r * weight, dout * weight
    dx = r * (g - y * (g * y).mean(-1, keepdim=True))
    return dx, (dout * x * r).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the weight applied twice in the mean",
    "Inside the mean of your projection term the weight comes in twice, by g and by an output y "
    "in the place of x_hat.",
    hint="mean(g * x_hat), with g = dout * weight and x_hat = x * r.",
)
def weight_twice_in_the_mean(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * weight * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


# Which dims


@backward_task.known_mistake(
    "missing keepdim",
    "Your means have lost the last dim, so PyTorch lines them up with the features instead of the "
    "rows.",
    hint="Pass `keepdim=True` to both means, and print their shapes: (..., 1).",
)
def missing_keepdim(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1) + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * x_hat).mean(-1))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "missing keepdim in the projection term",
    "Your r has kept its last dim, but mean(g * x_hat) has lost it, so PyTorch lines it up with "
    "the features instead of the rows.",
    hint="Pass `keepdim=True` to that mean too.",
)
def missing_keepdim_in_projection(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * x_hat).mean(-1))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the mean of the projection term over everything",
    "Your mean(g * x_hat) is one number for all rows. Each row has its own.",
    hint="Pass `-1` and `keepdim=True` to that mean.",
)
def projection_over_everything(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * x_hat).mean())
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "the mean of the projection term over the batch",
    "Your mean(g * x_hat) runs over dim 0. It belongs to a row, so it runs over the last dim.",
    hint="-1, the same dim as in the mean square.",
)
def projection_over_the_batch(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * x_hat).mean(0, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "dweight not summed",
    "Your dweight has the shape of x. One weight acts on its feature in every row, so its gradient "
    "collects from all of them.",
    hint="dweight has the shape of the weight: what has to go, and by which operation?",
)
def dweight_not_summed(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    return r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True)), dout * x_hat


@backward_task.known_mistake(
    "dweight summed over dim 0 alone",
    "Dim 0 is all the rows only while x has two dims. With (batch, seq, features) there are "
    "batch * seq of them, and with (features,) dim 0 is the features themselves.",
    hint="`reshape(-1, features)` makes a list of rows from any shape; then sum over dim 0.",
)
def dweight_over_dim_zero(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    return r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True)), (dout * x_hat).sum(0)


@backward_task.known_mistake(
    "dweight summed over no dims, which is all of them",
    "For x of shape (features,) your tuple of dims is empty, and PyTorch's `sum(())` is a sum over "
    "everything (NumPy's is over nothing).",
    hint="`reshape(-1, features)` makes a list of rows from any shape; then sum over dim 0.",
)
def dweight_over_an_empty_tuple(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dweight = (dout * x_hat).sum(tuple(range(x.dim() - 1)))
    return r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True)), dweight


@backward_task.known_mistake(
    "dweight summed over the features",
    "You summed over the last dim. The features stay, one entry for each weight; the rows go.",
    hint="dweight has the shape of the weight.",
)
def dweight_over_the_features(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    return r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True)), (dout * x_hat).sum(-1)


@backward_task.known_mistake(
    "a mean instead of a sum over the rows",
    "You averaged dweight over the rows. If the loss is a mean over the batch, its 1/N is in dout "
    "already.",
    hint="`sum` where you have `mean`.",
)
def dweight_mean(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dweight = (dout * x_hat).reshape(-1, x.shape[-1]).mean(0)
    return r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True)), dweight


@backward_task.known_mistake(
    "dweight with a leading dim of 1",
    "Your dweight kept the dims it was summed over, as ones. It should have the shape of the "
    "weight.",
    hint="No `keepdim=True` in the sum of dweight.",
)
def dweight_keepdim(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dweight = (dout * x_hat).reshape(-1, x.shape[-1]).sum(0, keepdim=True)
    return r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True)), dweight


@backward_task.known_mistake(
    "dweight from x instead of x_hat",
    "You summed dout * x. The weight multiplies x_hat, so x_hat is its slope.",
    hint="x_hat is x * r.",
)
def dweight_from_x(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dweight = (dout * x).reshape(-1, x.shape[-1]).sum(0)
    return r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True)), dweight


@backward_task.known_mistake(
    "dweight with the weight in it",
    "You summed dout * weight * x_hat: g or the output y stands where dout or x_hat should. The "
    "gradient of weight * x_hat with respect to the weight is x_hat alone.",
    hint="dout as it came in, times x_hat before the weight.",
)
def dweight_from_y(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    dweight = (g * x_hat).reshape(-1, x.shape[-1]).sum(0)
    return r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True)), dweight


@backward_task.known_mistake(
    "dweight missing",
    "In the place of dweight there is None. Your dx counts already.",
    hint="The sum over the rows of dout * x_hat.",
)
def dweight_missing(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat, g = x * r, dout * weight
    return r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True)), None


@backward_task.known_mistake(
    "dweight before dx",
    "You returned the two gradients in the other order.",
    hint="`return dx, dweight`.",
)
def other_order(dout, x, weight, eps=1e-5):
    dx, dweight = rms_norm_backward(dout, x, weight, eps)
    return dweight, dx


@backward_task.known_mistake(
    "x before dout among the arguments",
    "Your function takes x first and dout second. The signature says `dout, x, weight`.",
    hint="Look at the line `def rms_norm_backward`.",
)
def arguments_swapped(x, dout, weight, eps=1e-5):
    return rms_norm_backward(dout, x, weight, eps)


# eps


@backward_task.known_mistake(
    "no eps",
    "Your r is 1 / sqrt(mean(x^2)), without eps. For a row of zeros that is infinite.",
    hint="The same r as in forward: eps is added before the square root.",
)
def no_eps(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True))
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "eps outside the square root",
    "Your r is 1 / (sqrt(mean(x^2)) + eps). The forward pass has eps under the root.",
    hint="The same r as in forward: eps is added before the square root.",
)
def eps_outside(dout, x, weight, eps=1e-5):
    r = 1 / (x.square().mean(-1, keepdim=True).sqrt() + eps)
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)


@backward_task.known_mistake(
    "an eps of your own instead of the argument",
    "You used 1e-5 whatever `eps` was passed.",
    hint="Where does your code read the argument `eps`?",
)
def hard_coded_eps(dout, x, weight, eps=1e-5):
    return rms_norm_backward(dout, x, weight)


@backward_task.known_mistake(
    "another default for eps (1e-6)",
    "Called without `eps`, your function uses 1e-6. The signature says `eps=1e-5`.",
    hint="Look at the line `def rms_norm_backward`.",
)
def other_default(dout, x, weight, eps=1e-6):
    return rms_norm_backward(dout, x, weight, eps)


@backward_task.known_mistake(
    "the exact projection, x (g . x) / (x . x)",
    "You removed from g all that points along x. That is what remains as eps goes to 0. With eps "
    "a little of it stays: x . x is not D (mean(x^2) + eps), and for a row of zeros you divide by "
    "0.",
    hint="x_hat * mean(g * x_hat), with the x_hat of forward.",
)
def exact_projection(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    g = dout * weight
    dx = r * (g - x * (g * x).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True))
    return dx, (dout * x * r).reshape(-1, x.shape[-1]).sum(0)


# How


@backward_task.known_mistake(
    "autograd does the work",
    "The numbers may be right, but autograd found them. Writing out what it would do is what this "
    "exercise is about.",
    hint="Start from r = 1 / sqrt(mean(x^2) + eps), and use tensor operations only.",
)
def autograd(dout, x, weight, eps=1e-5):
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = weight * x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps)
    return torch.autograd.grad(y, (x, weight), dout)


@backward_task.known_mistake(
    "writing into dout",
    "Your code changes the caller's dout. A residual connection around the layer still needs it as "
    "it was.",
    hint="`dout *= weight` writes into dout; `g = dout * weight` makes a new tensor.",
)
def in_place(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat = x * r
    dweight = (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)
    dout *= weight
    return r * (dout - x_hat * (dout * x_hat).mean(-1, keepdim=True)), dweight


@backward_task.known_mistake(
    "dout overwritten before dweight",
    "You multiplied dout by the weight in place, and then made dweight from it: the weight is in "
    "dweight too, and the caller's dout is changed.",
    hint="`g = dout * weight` makes a new tensor, and leaves dout for dweight.",
)
def in_place_too_early(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    x_hat = x * r
    dout *= weight
    dweight = (dout * x_hat).reshape(-1, x.shape[-1]).sum(0)
    return r * (dout - x_hat * (dout * x_hat).mean(-1, keepdim=True)), dweight


@backward_task.known_mistake(
    "view on a tensor that is not contiguous",
    "`view` gives another shape to the same memory, which a transposed tensor does not allow.",
    hint="`reshape` does the same, and copies where it has to.",
)
def view(dout, x, weight, eps=1e-5):
    rows, up = x.view(-1, weight.numel()), dout.view(-1, weight.numel())
    dx, dweight = rms_norm_backward(up, rows, weight, eps)
    return dx.view(x.shape), dweight


@backward_task.combination
def no_eps_and_dweight_mean(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True))
    x_hat, g = x * r, dout * weight
    dx = r * (g - x_hat * (g * x_hat).mean(-1, keepdim=True))
    return dx, (dout * x_hat).reshape(-1, x.shape[-1]).mean(0)


@backward_task.combination
def projection_and_weight_missing(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return r * dout, (dout * x * r).reshape(-1, x.shape[-1]).sum(0)


@backward_task.combination
def in_place_over_dim_zero(dout, x, weight, eps=1e-5):
    dweight = (dout * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)).sum(0)
    dx, _ = rms_norm_backward(dout, x, weight, eps)
    dout *= weight
    return dx, dweight


@backward_task.combination
def exact_projection_from_x(dout, x, weight, eps=1e-5):
    r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    g = dout * weight
    dx = r * (g - x * (g * x).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True))
    return dx, (dout * x).reshape(-1, x.shape[-1]).sum(0)


@backward_task.right_solution
def with_r_cubed(dout, x, weight, eps=1e-5):
    rms = torch.sqrt((x**2).mean(dim=-1, keepdim=True) + eps)
    g = weight * dout
    dx = g / rms - x * torch.sum(g * x, dim=-1, keepdim=True) / (x.shape[-1] * rms**3)
    return dx, (dout * x / rms).sum_to_size(weight.shape)


@backward_task.right_solution
def step_by_step(dout, x, weight, eps=1e-5):
    count = x.shape[-1]
    mean_square = (x * x).sum(-1, keepdim=True) / count
    r = (mean_square + eps) ** -0.5
    dx_hat = dout * weight
    dr = (dx_hat * x).sum(-1, keepdim=True)
    dmean_square = -0.5 * r**3 * dr
    dx = dx_hat * r + dmean_square * 2 * x / count
    dims = list(range(x.ndim - 1))
    dweight = (dout * x * r).sum(dims) if dims else dout * x * r
    return [dx, dweight]


@backward_task.right_solution
def with_einsum(dout, x, weight, eps=1e-5):
    rows, up = x.reshape(-1, len(weight)), dout.reshape(-1, len(weight))
    r = (torch.einsum("nd,nd->n", rows, rows) / len(weight) + eps) ** -0.5
    along = torch.einsum("nd,nd,d,n->n", up, rows, weight, r**3) / len(weight)
    dx = torch.einsum("nd,d,n->nd", up, weight, r) - torch.einsum("nd,n->nd", rows, along)
    return dx.reshape(x.shape), torch.einsum("nd,nd,n->d", up, rows, r)


@backward_task.right_solution
def row_by_row(dout, x, weight, eps=1e-5):
    features = x.shape[-1]
    out, dweight = torch.empty(x.numel() // features, features).to(x), torch.zeros_like(weight)
    for i, (row, up) in enumerate(
        zip(x.reshape(-1, features), dout.reshape(-1, features), strict=True)
    ):
        r = 1 / torch.sqrt((row @ row) / features + eps)
        g = up * weight
        out[i] = r * g - r**3 * row * (g @ row) / features
        dweight += up * row * r
    return out.reshape(x.shape), dweight


@backward_task.right_solution
def jacobian(dout, x, weight, eps=1e-5):
    count = x.shape[-1]
    r = torch.rsqrt(x.square().mean(-1) + eps)[..., None, None]
    outer = x[..., :, None] * x[..., None, :]
    matrix = r * torch.eye(count, dtype=x.dtype) - r**3 * outer / count
    dx = (matrix @ (dout * weight)[..., None])[..., 0]
    rows = (dout * x * r[..., 0]).flatten(0, -2) if x.dim() > 1 else (dout * x * r[..., 0])[None]
    return dx, rows.sum(dim=0)


@backward_task.right_solution
def as_projection(dout, x, weight, eps=1e-5):
    """The exact projection off x, and the little of x that eps leaves."""
    mean_square = x.square().mean(-1, keepdim=True)
    r = torch.rsqrt(mean_square + eps)
    g = dout * weight
    x_hat = x * r
    onto = (g * x_hat).mean(-1, keepdim=True)
    dx = torch.addcmul(g, x_hat, onto, value=-1).mul(r)
    return dx, torch.tensordot(
        dout.reshape(-1, x.shape[-1]).T, x_hat.reshape(-1, x.shape[-1]), dims=1
    ).diagonal()
