"""Further challenge 2: DetachNorm and AdaNorm of Xu et al. (2019)."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_rows
from course.instructor.forbidden import NORMS
from course.instructor.task import Task
from course.layer_normalization_solutions import AdaNorm, DetachNorm
from course.student.answer_key import Case, Tolerance


class ExplicitDetachNorm(torch.autograd.Function):
    """The output by the definition, and dx by the Jacobian of each row, written out."""

    @staticmethod
    def forward(ctx, x, count, eps, detach_mean, detach_std):
        rows = x.double().reshape(-1, count)
        centred = rows - rows.sum(1, keepdim=True) / count
        std = ((centred * centred).sum(1, keepdim=True) / count + eps).sqrt()
        ctx.save_for_backward(centred / std, std)
        ctx.constant = (detach_mean, detach_std)
        return (centred / std).reshape(x.shape).to(x.dtype)

    @staticmethod
    def backward(ctx, dout):
        y, std = ctx.saved_tensors
        detach_mean, detach_std = ctx.constant
        count = y.shape[1]
        dx = torch.empty_like(y)
        for i, up in enumerate(dout.double().reshape(y.shape)):
            # d y_j / d x_k = (delta_jk - 1 / D - y_j y_k / D) / std, without the constant's term
            jacobian = torch.eye(count, dtype=torch.float64)
            if not detach_mean:
                jacobian -= 1 / count
            if not detach_std:
                jacobian -= torch.outer(y[i], y[i]) / count
            dx[i] = jacobian.T @ up / std[i]
        return dx.reshape(dout.shape).to(dout.dtype), None, None, None, None


class Oracle(nn.Module):
    """DetachNorm by an explicit formula of its gradient: nothing is detached here."""

    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__()
        self.options = (int(np.prod(normalized_shape)), eps, detach_mean, detach_std)

    def forward(self, x):
        return ExplicitDetachNorm.apply(x, *self.options)


class ExplicitAdaNorm(torch.autograd.Function):
    """z = C (y - k y²), and dx of a layer norm that receives C (1 - k y) dout."""

    @staticmethod
    def forward(ctx, x, normalize, scale, k):
        with torch.enable_grad():
            ctx.x = x.detach().requires_grad_()
            ctx.y = normalize(ctx.x)
        y = ctx.y.detach()
        ctx.factor = scale - scale * k * y
        return scale * y - scale * k * y * y

    @staticmethod
    def backward(ctx, dout):
        return torch.autograd.grad(ctx.y, ctx.x, dout * ctx.factor)[0], None, None, None


class AdaNormOracle(nn.Module):
    """AdaNorm by the formulas of output and gradient."""

    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__()
        self.normalize = Oracle(normalized_shape, eps, False, False)
        self.scale, self.k = scale, k

    def forward(self, x):
        return ExplicitAdaNorm.apply(x, self.normalize, self.scale, self.k)


detach_norm_task = Task(
    "ch02_detach_norm",
    "Layer norm with constants for statistics",
    defines="DetachNorm",
    oracle=Oracle,
    forbids=NORMS,
)
ada_norm_task = Task(
    "ch02_ada_norm",
    "A scale that adapts to its input",
    defines="AdaNorm",
    oracle=AdaNormOracle,
    forbids=NORMS,
)

# x is float64 here, but a right solution may pass through float32, which costs about 1e-6. An eps
# that is 1e-5 too small or too large changes these rows by less than 2e-5: that is left to the
# cases about eps. Other wrong answers are off by 1e-2 and more.
USUAL = Tolerance(rtol=1e-4, atol=1e-4)

GRADIENT = ("output", "gradient reaches x", "dx")


def rows_with_outliers(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Rows of eight in which one entry stands 2.2 to 2.5 standard deviations above the mean."""
    x = rng.uniform(-1, 1, (rows, 8))
    x[np.arange(rows), rng.integers(8, size=rows)] = rng.uniform(5, 7, rows)
    return x


def tiny_rows(rng: np.random.Generator, rows: int, features: int) -> np.ndarray:
    """Rows whose variance is about 1e-5, the default eps, and one row of equal entries."""
    x = draw_rows(rng, rows, features, spread=(2e-3, 5e-3), offset=1.0)
    x[int(rng.integers(rows))] = float(rng.normal())
    return x


def draw_shapes(rng: np.random.Generator) -> tuple[int, int, int]:
    """A batch, a sequence and a number of features, all different.

    Of a normalised row of three only one direction is left for its gradient: too few to tell.
    """
    features = int(rng.integers(4, 6))
    batch, seq = (int(n) for n in rng.permutation([3, 9 - features]))
    return batch, seq, features


def inputs_of(rng: np.random.Generator, x: np.ndarray, dims: int = 1, **options):
    """A case's inputs: gradients are looked at, with a random upstream, unless told otherwise."""
    common = {"x": x, "normalized_shape": [int(n) for n in x.shape[x.ndim - dims :]]}
    if "look_at" not in options:
        common |= {"look_at": "gradient", "upstream": rng.normal(size=x.shape)}
    return common | options


def draw_blocks(rng: np.random.Generator, leading: int, *block: int) -> np.ndarray:
    """Blocks with a mean and a spread of their own, and rows in them that differ too."""
    return draw_rows(rng, leading, int(np.prod(block))).reshape(leading, *block)


# ---------------------------------------------------------------------------------------------
# Task 1: DetachNorm
# ---------------------------------------------------------------------------------------------


@detach_norm_task.cases
def detach_norm_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dim of a case has its own length, so that a mean without keepdim never fits x."""
    batch, seq, features = draw_shapes(rng)

    def draw(*shape, **more):
        return draw_rows(rng, *shape, **more)

    yield Case(
        "going forward, each row is normalised, by your own code",
        points=0.5,
        inputs=inputs_of(rng, draw(batch, features), eps=1e-5, look_at="output"),
        tolerance=USUAL,
        judged=("output", "built-in norm called"),
        hint="Subtract the mean of the row, and divide by the square root of its variance plus "
        "eps. Detaching changes no output.",
    )
    yield Case(
        "mean and standard deviation as constants, which is the default",
        points=0.75,
        inputs=inputs_of(rng, draw(batch, features), eps=1e-5),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="With both as constants, dx is dout divided by the standard deviation.",
    )
    yield Case(
        "the mean alone as a constant",
        points=0.5,
        inputs=inputs_of(rng, draw(batch, features), eps=1e-5, detach_mean=True, detach_std=False),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="dx is (dout - y mean(dout y)) / std here: the path through the standard deviation "
        "is open.",
    )
    yield Case(
        "the standard deviation alone as a constant",
        points=0.5,
        inputs=inputs_of(rng, draw(batch, features), eps=1e-5, detach_mean=False, detach_std=True),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="dx is (dout - mean(dout)) / std here: the path through the mean is open.",
    )
    yield Case(
        "neither of them: the gradient of layer norm",
        points=0.25,
        inputs=inputs_of(rng, draw(batch, features), eps=1e-5, detach_mean=False, detach_std=False),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="With both switches off nothing is detached, and dx has all three terms.",
    )
    yield Case(
        "an int normalises the last dim of (batch, seq, features)",
        points=0.25,
        inputs=inputs_of(
            rng, draw(batch, seq, features), eps=1e-5, detach_mean=False, detach_std=True
        ),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="Each position of the sequence has a mean of its own. Count dims from the end.",
    )
    yield Case(
        "a tuple of two: the last two dims share one mean and one standard deviation",
        points=0.25,
        inputs=inputs_of(
            rng,
            draw_blocks(rng, batch, seq, features),
            2,
            eps=1e-5,
            detach_mean=True,
            detach_std=False,
        ),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="`mean` takes a tuple of dims: (-2, -1) for a `normalized_shape` of two.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.25,
        inputs=inputs_of(
            rng,
            draw(batch, features, spread=(0.4, 0.8)),
            eps=float(rng.uniform(0.1, 0.5)),
        ),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="Keep the argument `eps` in `__init__`, add it to the variance, and take the square "
        "root of the sum.",
    )
    yield Case(
        "tiny rows, and one of equal entries, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs_of(rng, tiny_rows(rng, batch, features)),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "nothing to learn and nothing to save",
        points=0.25,
        inputs=inputs_of(rng, draw(batch, features), look_at="parameters"),
        tolerance=USUAL,
        judged=("learnable parameters", "entries of the state_dict"),
        hint="`list(DetachNorm(4).parameters())` should be empty: no scale, no shift, and the "
        "statistics are not kept.",
    )
    yield Case(
        "the output has the dtype of x, and x is left as it was",
        points=0.25,
        inputs=inputs_of(rng, draw(batch, features), look_at="dtypes"),
        tolerance=USUAL,
        judged=("dtype for float32 input", "dtype for float64 input", "x is unchanged"),
        hint="`x -= mean` and `x.sub_(mean)` write into the caller's tensor; `x - mean` makes a "
        "new one.",
    )


@detach_norm_task.known_mistake(
    "nothing is detached",
    "Your dx is that of plain layer norm, whatever the switches say: no statistic is detached.",
    hint="`mean.detach()` returns a new tensor and changes nothing about `mean`. Assign it: "
    "`mean = mean.detach()`.",
)
class NothingDetached(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        if self.detach_mean:
            mean.detach()
        if self.detach_std:
            std.detach()
        return (x - mean) / std


@detach_norm_task.known_mistake(
    "always detached, whatever the switches say",
    "Both statistics are constants in your module even where a switch is off.",
    hint="Detach the mean only `if self.detach_mean`, and the standard deviation only "
    "`if self.detach_std`.",
)
class AlwaysDetached(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True).detach()
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps).detach()
        return (x - mean) / std


@detach_norm_task.known_mistake(
    "either switch detaches both",
    "With one switch on, both statistics are constants in your module. Each switch is for one.",
    hint="Decide on the mean and on the standard deviation separately, in two `if`s.",
)
class EitherDetachesBoth(DetachNorm):
    def forward(self, x):
        seen = x.detach() if self.detach_mean or self.detach_std else x
        mean = seen.mean(self.dims, keepdim=True)
        std = torch.sqrt((seen - mean).square().mean(self.dims, keepdim=True) + self.eps)
        return (x - mean) / std


@detach_norm_task.known_mistake(
    "only the mean is detached",
    "A gradient still flows through the standard deviation, also where it is to be a constant. "
    "That the mean inside it is detached changes nothing about this: x is in it too.",
    hint="Detach the finished standard deviation, square root and all.",
)
class OnlyTheMean(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        if self.detach_mean:
            mean = mean.detach()
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        return (x - mean) / std


@detach_norm_task.known_mistake(
    "only the standard deviation is detached",
    "A gradient still flows through the mean in the numerator, also where it is to be a constant.",
    hint="Subtract the detached mean in the numerator too, and not only within the variance.",
)
class OnlyTheStd(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        if self.detach_std:
            std = std.detach()
        return (x - mean) / std


@detach_norm_task.known_mistake(
    "the two switches are swapped",
    "`detach_mean` detaches the standard deviation in your module, and `detach_std` the mean.",
    hint="Look at the two `if`s, and at the order of the arguments of `__init__`.",
)
class SwitchesSwapped(DetachNorm):
    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__(normalized_shape, eps, detach_std, detach_mean)


@detach_norm_task.known_mistake(
    "the switches are inverted",
    "Your module detaches what is to be left open, and leaves open what is to be detached.",
    hint="`detach_mean=True` means that the mean is detached. Is there a `not` too many, or are "
    "the two branches of an `if` exchanged?",
)
class SwitchesInverted(DetachNorm):
    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__(normalized_shape, eps, not detach_mean, not detach_std)


@detach_norm_task.known_mistake(
    "the switches start as False",
    "Where the switches are given your module is right. Left to their defaults they are to be "
    "True, both of them.",
    hint="The stub's signature has `detach_mean=True, detach_std=True`.",
)
class SwitchesOff(DetachNorm):
    def __init__(self, normalized_shape, eps=1e-5, detach_mean=False, detach_std=False):
        super().__init__(normalized_shape, eps, detach_mean, detach_std)


@detach_norm_task.known_mistake(
    "the output is cut off from x",
    "No gradient reaches x at all: the output itself, or all that is in it, is detached.",
    hint="Detach the statistics alone. The x that the mean is subtracted from keeps its history.",
)
class OutputDetached(DetachNorm):
    def forward(self, x):
        return super().forward(x).detach()


@detach_norm_task.known_mistake(
    "the numerator is detached with the mean",
    "Where the mean is to be a constant you detach `x - mean`, or x itself, and with it the "
    "straight path from x to the output.",
    hint="`x - mean.detach()`, not `(x - mean).detach()`: x keeps its history.",
)
class NumeratorDetached(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        centred = (x - mean).detach() if self.detach_mean else x - mean
        return centred / (std.detach() if self.detach_std else std)


@detach_norm_task.known_mistake(
    "requires_grad_(False) in the place of detach",
    "`requires_grad` can only be changed on a tensor that no operation has made. The mean is made "
    "from x, and PyTorch refuses.",
    hint="`mean.detach()` gives you the same numbers without their history.",
)
class RequiresGradFalse(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        if self.detach_mean:
            mean.requires_grad_(False)
        if self.detach_std:
            std.requires_grad_(False)
        return (x - mean) / std


@detach_norm_task.known_mistake(
    "autograd is switched off for good",
    "`torch.set_grad_enabled(False)` on a line of its own holds until somebody switches autograd "
    "on again: for the rest of your `forward`, and of the notebook.",
    hint="Use `.detach()`, or a block that ends: `with torch.no_grad():`.",
)
class SwitchedOffForGood(DetachNorm):
    def forward(self, x):
        if self.detach_mean or self.detach_std:
            torch.set_grad_enabled(False)
        return super().forward(x)


@detach_norm_task.known_mistake(
    "E[x²] − mean², with a detached mean",
    "Your variance is the mean of the squares minus the square of a detached mean. As a number it "
    "is right; but half of its dependence on x is cut off with the mean, and the gradient through "
    "the standard deviation comes out wrong.",
    hint="Take the mean of `(x - mean).square()`; or detach the mean only after the variance is "
    "computed.",
)
class SquaresWithDetachedMean(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        if self.detach_mean:
            mean = mean.detach()
        var = x.square().mean(self.dims, keepdim=True) - mean.square()
        std = torch.sqrt(var.clamp(min=0) + self.eps)
        return (x - mean) / (std.detach() if self.detach_std else std)


@detach_norm_task.known_mistake(
    "the unbiased variance (dividing by D − 1)",
    "You divide by D − 1, as `torch.var` and `torch.std` do unless told otherwise. The formula "
    "divides by D.",
    hint="`x.var(dims, correction=0, keepdim=True)`.",
)
class Unbiased(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt(x.var(self.dims, keepdim=True) + self.eps)
        if self.detach_mean:
            mean = mean.detach()
        return (x - mean) / (std.detach() if self.detach_std else std)


@detach_norm_task.known_mistake(
    "eps outside the square root",
    "You add `eps` to the standard deviation. It belongs to the variance, under the root.",
    hint="`torch.sqrt(var + self.eps)`.",
)
class EpsOutside(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        var = (x - mean).square().mean(self.dims, keepdim=True)
        std = var.sqrt() + self.eps
        if self.detach_mean:
            mean = mean.detach()
        return (x - mean) / (std.detach() if self.detach_std else std)


@detach_norm_task.known_mistake(
    "a hard-coded eps",
    "Your module always uses 1e-5, whatever `eps` it is given.",
    hint="Keep the argument in `__init__`, `self.eps = eps`, and use it in `forward`.",
)
class HardCodedEps(DetachNorm):
    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__(normalized_shape, 1e-5, detach_mean, detach_std)


@detach_norm_task.known_mistake(
    "no eps at all",
    "`eps` is not in your formula. A row of equal entries becomes 0 / 0.",
    hint="`torch.sqrt(var + self.eps)`.",
)
class NoEps(DetachNorm):
    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__(normalized_shape, 0, detach_mean, detach_std)


@detach_norm_task.known_mistake(
    "statistics over the batch (dim 0)",
    "You took the mean and the standard deviation over the batch, feature by feature, as batch "
    "normalization does.",
    hint="Which dim has to disappear from the mean: the batch, or the features?",
)
class OverTheBatch(DetachNorm):
    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__(normalized_shape, eps, detach_mean, detach_std)
        self.dims = (0,)


@detach_norm_task.known_mistake(
    "statistics over every dim but the first",
    "You normalised each sample as a whole. Only the last dims share a mean, as many as "
    "`normalized_shape` has entries.",
    hint="For (batch, seq, features) and an int, the mean has shape (batch, seq, 1).",
)
class AllButTheBatch(DetachNorm):
    def forward(self, x):
        self.dims = tuple(range(1, x.dim()))
        return super().forward(x)


@detach_norm_task.known_mistake(
    "the last dim alone, whatever normalized_shape says",
    "You took the statistics over dim -1. With two entries in `normalized_shape`, the last two "
    "dims share them.",
    hint="What is `tuple(range(-2, 0))`? The 2 stands for `len(normalized_shape)`.",
)
class LastDimAlone(DetachNorm):
    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__(normalized_shape, eps, detach_mean, detach_std)
        self.dims = (-1,)


@detach_norm_task.known_mistake(
    "missing keepdim",
    "Your statistics have lost the dims they were taken over, so PyTorch lines them up with the "
    "features instead of the rows.",
    hint="Pass `keepdim=True`, and print the shape of the mean: it should be (batch, 1).",
)
class MissingKeepdim(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims)
        std = torch.sqrt((x - mean).square().mean(self.dims) + self.eps)
        return (x - mean.detach()) / std.detach()


@detach_norm_task.known_mistake(
    "a learned scale and shift",
    "Your module has a scale and a shift to learn, as `nn.LayerNorm` has. This norm has none.",
    hint="Cross out the two `nn.Parameter`s.",
)
class WithAffine(DetachNorm):
    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__(normalized_shape, eps, detach_mean, detach_std)
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))

    def forward(self, x):
        return super().forward(x) * self.weight.to(x.dtype) + self.bias.to(x.dtype)


@detach_norm_task.known_mistake(
    "statistics kept as buffers",
    "Your module keeps the last mean and standard deviation as buffers. They go into every "
    "`state_dict`, where they are of no use: each row brings its own.",
    hint="Local variables will do.",
)
class KeepsStatistics(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        self.register_buffer("last_mean", mean.detach())
        self.register_buffer("last_std", std.detach())
        if self.detach_mean:
            mean = mean.detach()
        return (x - mean) / (std.detach() if self.detach_std else std)


@detach_norm_task.known_mistake(
    "x changed in place",
    "After the call, the caller's x is centred: your module wrote into it.",
    hint="`x = x - mean` makes a new tensor; `x -= mean` and `x.sub_(mean)` change the one that "
    "was given.",
)
class InPlace(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        x -= mean.detach() if self.detach_mean else mean
        return x / (std.detach() if self.detach_std else std)


@detach_norm_task.known_mistake(
    "everything in float64",
    "Your output is float64 for a float32 x.",
    hint="Whatever you compute in, the last step gives the result the dtype of x again.",
)
class InFloat64(DetachNorm):
    def forward(self, x):
        return super().forward(x.double())


@detach_norm_task.known_mistake(
    "PyTorch's own layer norm inside",
    "Your module calls PyTorch's layer norm. Here you write it out.",
    hint="`x.mean` and `square` are all that it takes.",
)
class BuiltIn(DetachNorm):
    def forward(self, x):
        shape = x.shape[x.dim() - len(self.dims) :]
        y = nn.functional.layer_norm(x, shape, eps=self.eps)
        std = torch.sqrt(x.var(self.dims, correction=0, keepdim=True) + self.eps)
        mean = x.mean(self.dims, keepdim=True)
        open_mean = mean if not self.detach_mean else mean.detach()
        open_std = std if not self.detach_std else std.detach()
        return y.detach() + (x - open_mean) / open_std - ((x - mean) / std).detach()


@detach_norm_task.combination
class NothingDetachedAndUnbiased(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        return (x - mean) / torch.sqrt(x.var(self.dims, keepdim=True) + self.eps)


@detach_norm_task.combination
class AlwaysDetachedAndEpsOutside(DetachNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True).detach()
        std = x.std(self.dims, correction=0, keepdim=True).detach() + self.eps
        return (x - mean) / std


@detach_norm_task.combination
class SwappedAndHardCodedEps(DetachNorm):
    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__(normalized_shape, 1e-5, detach_std, detach_mean)


@detach_norm_task.combination
class OnlyTheMeanAndLastDimAlone(DetachNorm):
    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        if self.detach_mean:
            mean = mean.detach()
        std = torch.sqrt((x - mean).square().mean(-1, keepdim=True) + self.eps)
        return (x - mean) / std


@detach_norm_task.right_solution
class WithoutGrad(nn.Module):
    """Blocks of no_grad in the place of detach: the same."""

    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__()
        self.count = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
        self.constant = (detach_mean, detach_std)
        self.small = eps

    def forward(self, x):
        dims = list(range(x.dim() - self.count, x.dim()))
        no_mean, no_std = self.constant
        with torch.set_grad_enabled(torch.is_grad_enabled() and not no_mean):
            mean = x.mean(dims, keepdim=True)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not no_std):
            rstd = (x.var(dims, correction=0, keepdim=True) + self.small).rsqrt()
        return (x - mean) * rstd


@detach_norm_task.right_solution
class WithData(DetachNorm):
    """`.data` gives the same numbers and gradients; what it lacks is a guard against edits."""

    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).pow(2).mean(self.dims, keepdim=True) + self.eps)
        return (x - (mean.data if self.detach_mean else mean)) / (
            std.data if self.detach_std else std
        )


@detach_norm_task.right_solution
class FromDetachedInput(DetachNorm):
    """Statistics of an x without history, in float64 and over flattened blocks."""

    def forward(self, x):
        for_mean = x.detach() if self.detach_mean else x
        for_std = x.detach() if self.detach_std else x
        lead = x.dim() - len(self.dims)
        mean = for_mean.double().flatten(lead).mean(-1)
        var = torch.var(for_std.double().flatten(lead), -1, correction=0)
        index = (..., *[None] * len(self.dims))
        return ((x - mean[index]) / torch.sqrt(var[index] + self.eps)).to(x.dtype)


@detach_norm_task.right_solution
class ByHand(nn.Module):
    """The formula of each of the four gradients, by a hook on what reaches the output."""

    def __init__(self, normalized_shape, eps=1e-5, detach_mean=True, detach_std=True):
        super().__init__()
        self.dims = (-1,) if isinstance(normalized_shape, int) else (-2, -1)
        self.eps, self.detach_mean, self.detach_std = eps, detach_mean, detach_std

    def forward(self, x):
        fixed = x.detach()
        var, mean = torch.var_mean(fixed, self.dims, correction=0, keepdim=True)
        std = torch.sqrt(var + self.eps)
        y = (fixed - mean) / std

        def without_terms(dout):
            dx = dout
            if not self.detach_mean:
                dx = dx - dout.mean(self.dims, keepdim=True)
            if not self.detach_std:
                dx = dx - y * (dout * y).mean(self.dims, keepdim=True)
            return dx

        output = (x - mean) / std
        if output.requires_grad:
            output = output * 1
            output.register_hook(without_terms)
        return output


@detach_norm_task.right_solution
class DetachedAtOnce(nn.Module):
    """The mean is detached first; the gradient of the variance does not mind."""

    def __init__(self, normalized_shape, *args, **kwargs):
        super().__init__()
        names = ("eps", "detach_mean", "detach_std")
        self.options = {"eps": 1e-5, "detach_mean": True, "detach_std": True}
        self.options |= dict(zip(names, args)) | kwargs  # noqa: B905
        self.dims = tuple(-1 - i for i in range(len(torch.ones(normalized_shape).shape)))

    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        centred = x - (mean.detach() if self.options["detach_mean"] else mean)
        var = (centred**2).mean(self.dims, keepdim=True)
        if self.options["detach_std"]:
            var = var.detach()
        return centred * (var + self.options["eps"]) ** -0.5


# ---------------------------------------------------------------------------------------------
# Task 2: AdaNorm
# ---------------------------------------------------------------------------------------------


@ada_norm_task.cases
def ada_norm_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dim of a case has its own length, so that a mean without keepdim never fits x."""
    batch, seq, features = draw_shapes(rng)

    def draw(*shape, **more):
        return draw_rows(rng, *shape, **more)

    yield Case(
        "going forward, z = (1 − 0.1 y) y with the default scale and k, by your own code",
        points=1,
        inputs=inputs_of(rng, draw(batch, features), look_at="output"),
        tolerance=USUAL,
        judged=("output", "built-in norm called"),
        hint="Work through the row (1, 7): y = (-1, 1), the factors are 1.1 and 0.9.",
    )
    yield Case(
        "on the way back the factor is a constant, and mean and standard deviation are not",
        points=1.5,
        inputs=inputs_of(rng, draw(batch, features)),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="dx is that of layer norm without scale and shift, which receives the factor times "
        "dout. Of all tensors in your `forward`, one is detached: the factor.",
    )
    yield Case(
        "another scale",
        points=0.5,
        inputs=inputs_of(rng, draw(batch, features), scale=float(rng.uniform(1.5, 2.5))),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="`scale` is the C of the formula. It multiplies all of 1 - k y.",
    )
    yield Case(
        "another k",
        points=0.5,
        inputs=inputs_of(rng, draw(batch, features), k=float(rng.uniform(0.2, 0.3))),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="Keep the argument `k` in `__init__`, and use it in the factor.",
    )
    yield Case(
        "a factor below 0 stays below 0",
        points=0.25,
        inputs=inputs_of(
            rng, rows_with_outliers(rng, batch), k=float(rng.uniform(0.7, 0.9)), look_at="output"
        ),
        tolerance=USUAL,
        judged=("output",),
        hint="Where y is above 1 / k, 1 - k y is negative. Nothing is clamped.",
    )
    yield Case(
        "an int normalises the last dim of (batch, seq, features)",
        points=0.5,
        inputs=inputs_of(rng, draw(batch, seq, features)),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="Each position of the sequence has a mean of its own. Count dims from the end.",
    )
    yield Case(
        "a tuple of two: the last two dims share one mean and one standard deviation",
        points=0.5,
        inputs=inputs_of(rng, draw_blocks(rng, batch, seq, features), 2),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="`mean` takes a tuple of dims: (-2, -1) for a `normalized_shape` of two.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.5,
        inputs=inputs_of(
            rng, draw(batch, features, spread=(0.4, 0.8)), eps=float(rng.uniform(0.1, 0.5))
        ),
        tolerance=USUAL,
        judged=GRADIENT,
        hint="Keep the argument `eps` in `__init__`, add it to the variance, and take the square "
        "root of the sum.",
    )
    yield Case(
        "tiny rows, and one of equal entries, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs_of(rng, tiny_rows(rng, batch, features), look_at="output"),
        tolerance=USUAL,
        judged=("output",),
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "nothing to learn and nothing to save",
        points=0.25,
        inputs=inputs_of(rng, draw(batch, features), look_at="parameters"),
        tolerance=USUAL,
        judged=("learnable parameters", "entries of the state_dict"),
        hint="`list(AdaNorm(4).parameters())` should be empty. `scale` and `k` are plain numbers.",
    )
    yield Case(
        "the output has the dtype of x, and x is left as it was",
        points=0.25,
        inputs=inputs_of(rng, draw(batch, features), look_at="dtypes"),
        tolerance=USUAL,
        judged=("dtype for float32 input", "dtype for float64 input", "x is unchanged"),
        hint="`x -= mean` writes into the caller's tensor; `x - mean` makes a new one.",
    )


@ada_norm_task.known_mistake(
    "the factor is not detached",
    "A gradient flows through the factor too, so your dx is that of C (y − k y²), whose slope is "
    "C (1 − 2 k y).",
    hint="`factor.detach() * y`. On a line of its own, `factor.detach()` does nothing.",
)
class FactorNotDetached(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        y = (x - mean) / std
        return self.scale * (1 - self.k * y) * y


@ada_norm_task.known_mistake(
    "the product is detached",
    "No gradient reaches x: you detached the factor times y, or y itself before both of its uses.",
    hint="`factor.detach() * y`, not `(factor * y).detach()`.",
)
class ProductDetached(AdaNorm):
    def forward(self, x):
        return super().forward(x).detach()


@ada_norm_task.known_mistake(
    "y is detached in the place of the factor",
    "You have it the wrong way round: the gradient flows through the factor, and the y that it "
    "multiplies is a constant.",
    hint="`factor.detach() * y`, not `factor * y.detach()`.",
)
class WrongOneDetached(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        y = (x - mean) / std
        return self.scale * (1 - self.k * y) * y.detach()


@ada_norm_task.known_mistake(
    "mean and standard deviation are detached too",
    "Your dx is factor times dout, divided by the standard deviation: the statistics are "
    "constants, as in DetachNorm. Here they are not.",
    hint="If you build on `DetachNorm`, switch both switches off.",
)
class StatisticsDetachedToo(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True).detach()
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps).detach()
        y = (x - mean) / std
        return (self.scale * (1 - self.k * y)).detach() * y


@ada_norm_task.known_mistake(
    "1 + k y",
    "The factor grows with y in your module. In the formula it falls: 1 − k y.",
    hint="For the row (1, 7) the factors are 1.1 for the 1 and 0.9 for the 7.",
)
class PlusK(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, -k, eps)


@ada_norm_task.known_mistake(
    "1 − k |y|",
    "Your factor depends on the size of y alone. In the formula negative entries are scaled up.",
    hint="No `abs` is needed.",
)
class AbsoluteY(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        y = (x - mean) / std
        return (self.scale * (1 - self.k * y.abs())).detach() * y


@ada_norm_task.known_mistake(
    "1 − k x",
    "Your factor is made from x itself. It depends on the normalised row, y.",
    hint="Normalise first, then make the factor from the result.",
)
class FactorOfX(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        return (self.scale * (1 - self.k * x)).detach() * (x - mean) / std


@ada_norm_task.known_mistake(
    "the factor is returned",
    "Your output is the factor alone, and y is missing from it.",
    hint="Multiply the detached factor by y.",
)
class FactorReturned(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        return self.scale * (1 - self.k * (x - mean) / std)


@ada_norm_task.known_mistake(
    "one factor a row",
    "Your factor is made from the mean of y, which is 0: every entry is multiplied by C.",
    hint="Each entry has a factor of its own, which has the shape of y.",
)
class OneFactor(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, 0, eps)


@ada_norm_task.known_mistake(
    "scale ignored",
    "Your module always has C = 1, whatever `scale` it is given.",
    hint="`self.scale * (1 - self.k * y)`.",
)
class ScaleIgnored(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, 1.0, k, eps)


@ada_norm_task.known_mistake(
    "C − k y",
    "In your module C multiplies only the 1 of the factor. It multiplies all of 1 − k y.",
    hint="Mind the brackets: `self.scale * (1 - self.k * y)`.",
)
class MissingBrackets(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        y = (x - mean) / std
        return (self.scale * 1 - self.k * y).detach() * y


@ada_norm_task.known_mistake(
    "C added",
    "You add C − 1 where the formula multiplies by C. With C = 1 that makes no difference.",
    hint="`self.scale * (1 - self.k * y) * y`.",
)
class ScaleAdded(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        y = (x - mean) / std
        return (1 - self.k * y).detach() * y + (self.scale - 1)


@ada_norm_task.known_mistake(
    "k hard-coded",
    "Your module always uses k = 0.1, whatever `k` it is given.",
    hint="Keep the argument in `__init__`, `self.k = k`, and use it in `forward`.",
)
class HardCodedK(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, 0.1, eps)


@ada_norm_task.known_mistake(
    "the factor is clamped at 0",
    "Where 1 − k y is negative, your factor is 0.",
    hint="Leave the factor as the formula gives it.",
)
class Clamped(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        y = (x - mean) / std
        return (self.scale * (1 - self.k * y).clamp(min=0)).detach() * y


@ada_norm_task.known_mistake(
    "a learned scale or k",
    "Your module has something to learn. In AdaNorm `scale` and `k` are fixed numbers.",
    hint="`self.scale = scale`, without `nn.Parameter`.",
)
class Learned(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, nn.Parameter(torch.tensor(float(scale))), k, eps)


@ada_norm_task.known_mistake(
    "a learned scale and shift behind it",
    "Your module has a weight and a bias, as `nn.LayerNorm` has. AdaNorm stands in their place.",
    hint="Cross out the two `nn.Parameter`s.",
)
class WeightAndBias(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, k, eps)
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))

    def forward(self, x):
        return super().forward(x) * self.weight.to(x.dtype) + self.bias.to(x.dtype)


@ada_norm_task.known_mistake(
    "the unbiased variance (dividing by D − 1)",
    "You divide by D − 1, as `torch.var` and `torch.std` do unless told otherwise. The formula "
    "divides by D.",
    hint="`x.var(dims, correction=0, keepdim=True)`.",
)
class UnbiasedAda(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        y = (x - mean) / torch.sqrt(x.var(self.dims, keepdim=True) + self.eps)
        return (self.scale * (1 - self.k * y)).detach() * y


@ada_norm_task.known_mistake(
    "eps outside the square root",
    "You add `eps` to the standard deviation. It belongs to the variance, under the root.",
    hint="`torch.sqrt(var + self.eps)`.",
)
class EpsOutsideAda(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = (x - mean).square().mean(self.dims, keepdim=True).sqrt() + self.eps
        y = (x - mean) / std
        return (self.scale * (1 - self.k * y)).detach() * y


@ada_norm_task.known_mistake(
    "a hard-coded eps",
    "Your module always uses 1e-5, whatever `eps` it is given.",
    hint="Keep the argument in `__init__`, `self.eps = eps`, and use it in `forward`.",
)
class HardCodedEpsAda(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, k, 1e-5)


@ada_norm_task.known_mistake(
    "no eps at all",
    "`eps` is not in your formula. A row of equal entries becomes 0 / 0.",
    hint="`torch.sqrt(var + self.eps)`.",
)
class NoEpsAda(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, k, 0)


@ada_norm_task.known_mistake(
    "statistics over the batch (dim 0)",
    "You took the mean and the standard deviation over the batch, feature by feature, as batch "
    "normalization does.",
    hint="Which dim has to disappear from the mean: the batch, or the features?",
)
class OverTheBatchAda(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, k, eps)
        self.dims = (0,)


@ada_norm_task.known_mistake(
    "the last dim alone, whatever normalized_shape says",
    "You took the statistics over dim -1. With two entries in `normalized_shape`, the last two "
    "dims share them.",
    hint="What is `tuple(range(-2, 0))`? The 2 stands for `len(normalized_shape)`.",
)
class LastDimAloneAda(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, k, eps)
        self.dims = (-1,)


@ada_norm_task.known_mistake(
    "statistics over every dim but the first",
    "You normalised each sample as a whole. Only the last dims share a mean, as many as "
    "`normalized_shape` has entries.",
    hint="For (batch, seq, features) and an int, the mean has shape (batch, seq, 1).",
)
class AllButTheBatchAda(AdaNorm):
    def forward(self, x):
        self.dims = tuple(range(1, x.dim()))
        return super().forward(x)


@ada_norm_task.known_mistake(
    "everything in float64",
    "Your output is float64 for a float32 x.",
    hint="Whatever you compute in, the last step gives the result the dtype of x again.",
)
class InFloat64Ada(AdaNorm):
    def forward(self, x):
        return super().forward(x.double())


@ada_norm_task.known_mistake(
    "missing keepdim",
    "Your statistics have lost the dims they were taken over, so PyTorch lines them up with the "
    "features instead of the rows.",
    hint="Pass `keepdim=True`, and print the shape of the mean: it should be (batch, 1).",
)
class MissingKeepdimAda(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims)
        y = (x - mean) / torch.sqrt((x - mean).square().mean(self.dims) + self.eps)
        return (self.scale * (1 - self.k * y)).detach() * y


@ada_norm_task.known_mistake(
    "x changed in place",
    "After the call, the caller's x is centred: your module wrote into it.",
    hint="`x = x - mean` makes a new tensor; `x -= mean` and `x.sub_(mean)` change the one that "
    "was given.",
)
class InPlaceAda(AdaNorm):
    def forward(self, x):
        x -= x.mean(self.dims, keepdim=True)
        return super().forward(x)


@ada_norm_task.known_mistake(
    "PyTorch's own layer norm inside",
    "Your module calls PyTorch's layer norm. Here you write it out.",
    hint="Your `DetachNorm` with both switches off is a layer norm without scale and shift.",
)
class BuiltInAda(AdaNorm):
    def forward(self, x):
        y = nn.functional.layer_norm(x, x.shape[x.dim() - len(self.dims) :], eps=self.eps)
        return (self.scale * (1 - self.k * y)).detach() * y


@ada_norm_task.combination
class NotDetachedAndScaleIgnored(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        y = (x - mean) / std
        return (1 - self.k * y) * y


@ada_norm_task.combination
class PlusKAndNotDetached(AdaNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps)
        y = (x - mean) / std
        return self.scale * (1 + self.k * y) * y


@ada_norm_task.combination
class HardCodedKAndEps(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, 0.1, 1e-5)


@ada_norm_task.combination
class StatisticsDetachedAndLearned(AdaNorm):
    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__(normalized_shape, scale, k, eps)
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True).detach()
        std = torch.sqrt((x - mean).square().mean(self.dims, keepdim=True) + self.eps).detach()
        y = (x - mean) / std
        return self.scale * (1 - self.k * y.detach()) * y


@ada_norm_task.right_solution
class OnDetachNorm(nn.Module):
    """The first task's module with its switches off."""

    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__()
        self.norm = DetachNorm(normalized_shape, eps, detach_mean=False, detach_std=False)
        self.c, self.ck = scale, scale * k

    def forward(self, x):
        y = self.norm(x)
        with torch.no_grad():
            factor = self.c - self.ck * y
        return y * factor


@ada_norm_task.right_solution
class MultipliedOut(AdaNorm):
    """C y − C k y y, with one of the two y as a constant."""

    def forward(self, x):
        var, mean = torch.var_mean(x, self.dims, correction=0, keepdim=True)
        y = (x - mean) * (var + self.eps).rsqrt()
        return self.scale * y - self.scale * self.k * y.detach() * y


@ada_norm_task.right_solution
class FlatInFloat64(nn.Module):
    """Over flattened blocks, in float64, with the variance from the squares."""

    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__()
        self.count = int(torch.tensor(normalized_shape).prod())
        self.numbers = (scale, k, eps)

    def forward(self, x):
        scale, k, eps = self.numbers
        rows = x.double().reshape(-1, self.count)
        mean = torch.einsum("nd->n", rows)[:, None] / self.count
        var = torch.einsum("nd,nd->n", rows, rows)[:, None] / self.count - mean**2
        y = (rows - mean) / torch.sqrt(var.clamp(min=0) + eps)
        z = y * (scale * (1 - k * y)).data
        return z.reshape(x.shape).to(x.dtype)


@ada_norm_task.right_solution
class RowByRow(nn.Module):
    """A loop over the rows, each with its factor from an x without history."""

    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__()
        self.dims = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
        self.scale, self.k, self.eps = scale, k, eps

    def normalized(self, row):
        centred = row - row.mean()
        return centred / torch.sqrt(centred.square().mean() + self.eps)

    def forward(self, x):
        rows = x.flatten(x.dim() - self.dims).flatten(0, -2)
        scaled = [
            self.scale * (1 - self.k * self.normalized(row.detach())) * self.normalized(row)
            for row in rows
        ]
        return torch.stack(scaled).reshape(x.shape)


@ada_norm_task.right_solution
class ByHook(nn.Module):
    """The output by its formula, and the factor applied to dout on the way back."""

    def __init__(self, normalized_shape, scale=1.0, k=0.1, eps=1e-5):
        super().__init__()
        self.norm = DetachNorm(normalized_shape, eps, False, False)
        self.phi = lambda y: scale * (1 - k * y)

    def forward(self, x):
        y = self.norm(x)
        fixed = y.detach()
        factor = self.phi(fixed)
        if y.requires_grad:
            y.register_hook(lambda dout: dout * factor)
        return y + (factor * fixed - fixed)
