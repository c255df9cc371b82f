"""Further challenge 1: layer normalization over any set of dims."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_scale
from course.instructor.forbidden import NORMS
from course.instructor.task import Task
from course.layer_normalization_solutions import MultiDimLayerNorm, layer_norm_over_dims
from course.student.answer_key import Case, Tolerance

# A computation in float32 is off by about 1e-6 here, and an eps that is 1e-5 too small or too
# large by 1e-5: that is left to the cases about eps. Other wrong answers are off by 1e-2 and more.
FLOAT32 = Tolerance(rtol=1e-4, atol=1e-4)
# Right answers in float64, of order 1, differ by a few hundred units of the last place (2e-16);
# those that went through float32 by 1e-7.
FLOAT64 = Tolerance(rtol=1e-10, atol=1e-10)
# An offset of 1e4 leaves float32 values a grid of 1e-3. Over 25 seeds right answers were off by up
# to 1e-3; those with E[x^2] - E[x]^2 by 0.9 and more, or NaN.
OFFSET_FLOAT32 = Tolerance(rtol=0, atol=0.02)
# Outputs are below 7. A right solution may round to half precision three times: x_hat, its
# product with the scale, and the sum with the shift; each costs at most half a unit, which is
# 0.002. A variance that overflows makes x_hat 0: over 25 seeds that was off by 1 and more.
FLOAT16 = Tolerance(rtol=0, atol=0.01)


def numbered(x, dims):
    """The number of the group that each entry of x is in, and how many groups there are."""
    named = [dims] if isinstance(dims, int) else list(dims)
    counted = {dim + x.dim() if dim < 0 else dim for dim in named}
    if not named or len(counted) < len(named) or not counted <= set(range(x.dim())):
        raise ValueError("dims must name one or more dims of x, each once")
    ones = [1 if dim in counted else length for dim, length in enumerate(x.shape)]
    groups = int(np.prod(ones))
    return torch.arange(groups).reshape(ones).expand(x.shape).flatten(), groups


def summed_by_group(x, dims, eps=1e-5):
    """Each entry is sent to the sum of its group, in float64; no mean over a dim is taken."""
    group, groups = numbered(x, dims)
    values = x.double().flatten()
    zeros = torch.zeros(groups, dtype=torch.float64)
    count = zeros.index_add(0, group, torch.ones_like(values))
    centred = values - (zeros.index_add(0, group, values) / count)[group]
    var = zeros.index_add(0, group, centred * centred) / count
    return (centred / torch.sqrt(var + eps)[group]).reshape(x.shape).to(x.dtype)


def draw(rng, *shape, dims, spread=1.0, offset=0.0):
    """Entries whose groups have the given spread and means of their own, so that eps weighs alike.

    The mean drifts along every dim as well, so that the part of a group is not like the whole.
    """
    noise = rng.normal(size=shape)
    for dim, length in enumerate(shape):
        along = [1] * len(shape)
        along[dim] = length
        noise = noise + rng.permutation(np.linspace(-1, 1, length)).reshape(along)
    std = noise.std(axis=tuple(dims), keepdims=True)
    return np.asarray(offset + spread * noise / std, np.float32)


def loud(rng, *shape):
    """Entries between 200 and 640 in size, of both signs along dim 1: squares of 100,000."""
    signs = np.resize([-1, 1], shape[1])[:, None]
    return np.asarray(signs * rng.integers(200, 640, shape), np.float32)


over_dims = Task(
    "ch01_layer_norm_over_dims",
    "Layer normalization over any dims",
    defines="layer_norm_over_dims",
    oracle=summed_by_group,
    forbids=NORMS,
)


@over_dims.cases
def cases_of_function(rng: np.random.Generator) -> Iterator[Case]:
    """Every dim of a case has its own length, so that a mean without keepdim never fits x."""
    a, b, c = (int(n) for n in rng.permutation([3, 4, 5]))
    four = tuple(int(n) for n in rng.permutation([2, 3, 4, 5]))

    def inputs(shape, dims, spread=2.0, offset=0.0, **more):
        named = (dims,) if isinstance(dims, int) else dims
        x = draw(rng, *shape, dims=named, spread=spread, offset=offset)
        return {"x": x, "dims": dims if isinstance(dims, int) else list(dims), **more}

    yield Case(
        "dims=(1,): entries that differ in the middle index alone share a mean; your own code",
        points=0.25,
        inputs=inputs((a, b, c), (1,), eps=1e-5),
        tolerance=FLOAT32,
        judged=("output", "built-in norm called"),
        hint="For an x of shape (A, B, C) the mean over dim 1, with keepdim=True, has shape "
        "(A, 1, C).",
    )
    yield Case(
        "two neighbouring dims share one mean and one variance: dims=(1, 2) of four",
        points=0.25,
        inputs=inputs(four, (1, 2), eps=1e-5),
        tolerance=FLOAT32,
        hint="`mean` takes a tuple of dims, and so does `var`. The mean should have length 1 in "
        "both dims.",
    )
    yield Case(
        "two dims with one between them: dims=(0, 2) of three",
        points=0.25,
        inputs=inputs((a, b, c), (0, 2), eps=1e-5),
        tolerance=FLOAT32,
        hint="The dim between them is not named, so each of its indices has a mean of its own.",
    )
    yield Case(
        "negative dims count from the end: dims=(-3, -1) of four",
        points=0.25,
        inputs=inputs(four, (-3, -1), eps=1e-5),
        tolerance=FLOAT32,
        hint="In a tensor of four dims, -1 is dim 3 and -3 is dim 1: add `x.dim()`.",
    )
    yield Case(
        "the order in which dims are named does not matter: dims=(2, 1)",
        points=0.25,
        inputs=inputs((a, b, c), (2, 1), eps=1e-5),
        tolerance=FLOAT32,
        hint="(2, 1) asks for what (1, 2) asks for. If you permute, is the way back right for "
        "both?",
    )
    yield Case(
        "dims may be an int: dims=-2",
        points=0.25,
        inputs=inputs((a, b, c), -2, eps=1e-5),
        tolerance=FLOAT32,
        hint="An int asks for what a tuple of one asks for. `isinstance(dims, int)` tells.",
    )
    yield Case(
        "the int 0 names a dim: the first",
        points=0.25,
        inputs=inputs((a, b, c), 0, eps=1e-5),
        tolerance=FLOAT32,
        hint="0 is a dim like any other, but `if dims` takes it for False.",
    )
    yield Case(
        "all dims, given as a list: the whole tensor shares one mean",
        points=0.25,
        inputs=inputs((a, b, c), (0, 1, 2), eps=1e-5, form="list"),
        tolerance=FLOAT32,
        hint="The first dim is a batch dim only if the caller leaves it out of `dims`. And a list "
        "asks for what a tuple asks for.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.25,
        inputs=inputs((a, b, c), (0, 2), spread=0.5, eps=float(rng.uniform(0.1, 0.5))),
        tolerance=FLOAT32,
        hint="Add the argument `eps` to the variance, once, and take the square root of the sum.",
    )
    yield Case(
        "tiny variance, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs((a, b, c), (0, 2), spread=2e-3),
        tolerance=FLOAT32,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "an offset of 10,000 in float32 does not swamp the variance",
        points=0.25,
        inputs=inputs((a, b, c), (0, 2), offset=1e4 + 100 * rng.uniform(), eps=1e-5),
        tolerance=OFFSET_FLOAT32,
        by_values=False,
        hint="Subtract the mean before you square. A difference of two large squares keeps no "
        "digits.",
    )
    yield Case(
        "float16: squares beyond its largest number do no harm, and the result is float16",
        points=0.25,
        inputs={
            "x": loud(rng, a, b, c),
            "dims": [0, 1],
            "dtype": "float16",
            "eps": 1e-5,
        },
        tolerance=FLOAT16,
        judged=("output", "dtype of the output"),
        by_values=False,
        hint="Compute in float32 what comes in half precision, and give the result the dtype of x.",
    )
    yield Case(
        "dims that cannot be are refused with a ValueError that says why",
        points=0.25,
        inputs=inputs((a, b, c), (0, 2), look_at="errors"),
        tolerance=FLOAT32,
        judged=tuple(f"error for dims={dims}" for dims in [(0, 3), (-4,), (1, 1), (1, -2), ()]),
        hint="Check before you compute, and `raise ValueError(...)` in three cases: a dim below "
        "-x.dim() or above x.dim() - 1; a dim named twice, be it from both ends; no dim at all.",
    )
    yield Case(
        "the gradient reaches x and is right",
        points=0.25,
        inputs=inputs(
            (a, b, c),
            (0, 2),
            dtype="float64",
            eps=0.1,
            look_at="gradient",
            upstream=rng.normal(size=(a, b, c)),
        ),
        tolerance=FLOAT32,
        judged=("output", "gradient reaches x", "dx"),
        hint="Autograd follows tensor operations, and neither `.data` nor `.detach()`.",
    )
    yield Case(
        "float64 in, all the digits of float64 out",
        points=0.25,
        inputs=inputs((a, b, c), (0, 2), dtype="float64", eps=1e-5),
        tolerance=FLOAT64,
        judged=("output", "dtype of the output"),
        by_values=False,
        hint="Only half precision needs another dtype inside. `x.float()` cuts float64 down to "
        "seven digits.",
    )
    yield Case(
        "x need not be contiguous in memory, and is left as it was",
        points=0.25,
        inputs=inputs((a, b, c), (0, 1), eps=1e-5, strided=True),
        tolerance=FLOAT32,
        judged=("output", "x is unchanged"),
        hint="`view` asks for memory in order; `reshape` copies where it has to. And `x -= mean` "
        "writes into the caller's tensor.",
    )


# The mistakes build on the reference, `right`, where a student's code would do what it does.


@over_dims.known_mistake(
    "the last dim, whatever dims says",
    "You took the statistics over dim -1, and did not look at `dims`.",
    hint="Pass `dims` on to `mean` and `var`.",
)
def the_last_dim(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    return right(x, -1, eps)


@over_dims.known_mistake(
    "every dim but the first, whatever dims says",
    "You normalised each entry of the first dim as a whole, and did not look at `dims`.",
    hint="Pass `dims` on to `mean` and `var`.",
)
def all_but_the_first(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    return right(x, tuple(range(1, x.dim())), eps)


@over_dims.known_mistake(
    "one mean and one variance for the whole tensor",
    "You took the statistics over all entries at once.",
    hint="`x.mean()` averages over everything. Pass it `dims`, with `keepdim=True`.",
)
def whole_tensor(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    return right(x, tuple(range(x.dim())), eps)


@over_dims.known_mistake(
    "the dims that are not named",
    "You normalised over exactly those dims that `dims` leaves out.",
    hint="`dims` names the dims that *share* a mean: those in which the mean has length 1.",
)
def the_others(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    named = [dims] if isinstance(dims, int) else dims
    counted = [dim % x.dim() for dim in named]
    others = tuple(dim for dim in range(x.dim()) if dim not in counted)
    return right(x, others, eps) if others else torch.zeros_like(x)


@over_dims.known_mistake(
    "a range from the first of the dims to the last",
    "You normalised over all dims from the smallest to the largest that are named. Those between "
    "them that are not named should be left apart.",
    hint="`range` and `flatten` take neighbours only. `mean` takes any tuple of dims.",
)
def contiguous_range(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    named = [dims] if isinstance(dims, int) else dims
    counted = [dim % x.dim() for dim in named]
    return right(x, tuple(range(min(counted), max(counted) + 1)), eps)


@over_dims.known_mistake(
    "a range that begins with the first dim named and ends with the last",
    "You normalised over `range(first, last + 1)`. It takes in dims that are not named and, where "
    "the larger dim is named first, it is empty: then `mean(())` averages over everything.",
    hint="`mean` takes any tuple of dims, in any order. It needs no range.",
)
def range_as_named(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    named = [dims] if isinstance(dims, int) else dims
    counted = [dim % x.dim() for dim in named]
    between = tuple(range(counted[0], counted[-1] + 1))
    return right(x, between or tuple(range(x.dim())), eps)


@over_dims.known_mistake(
    "one dim after the other",
    "You normalised over the first of the dims, then normalised the result over the next. That is "
    "another thing: each step wipes out what the earlier one left, and the order matters.",
    hint="One mean and one variance for all dims together: `x.mean(dims, keepdim=True)`.",
)
def one_after_the_other(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    for dim in [dims] if isinstance(dims, int) else dims:
        x = right(x, dim, eps)
    return x


@over_dims.known_mistake(
    "a mean of variances",
    "You took the variance over the first of the dims, and averaged it over the others. A mean of "
    "means is the mean, but a mean of variances is too small: it lacks the variance of the means.",
    hint="Average the *squared deviations* from the common mean. Those may be averaged dim by dim.",
)
def mean_of_variances(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    mean, var = wide.mean(dims, keepdim=True), wide.var(dims[0], unbiased=False, keepdim=True)
    for dim in dims[1:]:
        var = var.mean(dim, keepdim=True)
    return ((wide - mean) / torch.sqrt(var + eps)).to(x.dtype)


@over_dims.known_mistake(
    "a variance of variances",
    "You took the variance over the first of the dims, and then the variance of those variances "
    "over the next.",
    hint="Only the mean may be taken dim by dim. Subtract it, square, and average the squares.",
)
def variance_of_variances(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    mean, var = wide, wide
    for dim in dims:
        mean, var = mean.mean(dim, keepdim=True), var.var(dim, unbiased=False, keepdim=True)
    return ((wide - mean) / torch.sqrt(var + eps)).to(x.dtype)


@over_dims.known_mistake(
    "dims that shift while they are reduced one by one",
    "You took the mean over one dim after the other without keepdim. After the first, the later "
    "dims have moved one place to the front, so the next number names another dim.",
    hint="`keepdim=True` leaves a dim of length 1 in place, and all numbers stay valid. Or pass "
    "all dims at once.",
)
def shifting_dims(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    dims = sorted([dims] if isinstance(dims, int) else dims)

    def mean(values):
        for dim in dims:
            values = values.mean(dim)
        for dim in dims:
            values = values.unsqueeze(dim)
        return values

    centred = wide - mean(wide)
    return (centred / torch.sqrt(mean(centred.square()) + eps)).to(x.dtype)


@over_dims.known_mistake(
    "mean without keepdim",
    "The mean has lost the dims it was taken over. Broadcasting lines up what is left from the "
    "right, with the wrong dims of x.",
    hint="`keepdim=True` leaves lengths of 1 in place, for the mean and for the variance.",
)
def no_keepdim(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    mean, var = wide.mean(dims), wide.var(dims, unbiased=False)
    return ((wide - mean) / torch.sqrt(var + eps)).to(x.dtype)


@over_dims.known_mistake(
    "reshape without permute",
    "You cut x into rows of the right length with `reshape`. It takes numbers in the order of the "
    "indices of x, so the rows are the groups only if the dims named are the last ones.",
    hint="First move the named dims to the end with `permute` or `movedim`, then reshape.",
)
def reshape_without_permute(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    count = 1
    for dim in [dims] if isinstance(dims, int) else dims:
        count *= x.shape[dim]
    return right(x.reshape(-1, count), -1, eps).reshape(x.shape)


@over_dims.known_mistake(
    "dims moved to the end and not moved back",
    "You moved the named dims to the end, normalised, and returned the result as it lay.",
    hint="The result has the shape of x: undo with `movedim` what `movedim` has done.",
)
def not_moved_back(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    last = tuple(range(-len(dims), 0))
    return right(x.movedim(dims, last), last, eps)


@over_dims.known_mistake(
    "permuted a second time in place of back",
    "You undid a permutation by applying it again. That works where two dims change places, and "
    "not where three go round.",
    hint="The way back is the inverse: `torch.argsort(torch.tensor(order)).tolist()`; `movedim` "
    "is undone by `movedim` with its two arguments swapped.",
)
def permuted_twice(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    counted = [dim % x.dim() for dim in ([dims] if isinstance(dims, int) else dims)]
    order = [dim for dim in range(x.dim()) if dim not in counted] + sorted(counted)
    last = tuple(range(-len(counted), 0))
    return right(x.permute(order), last, eps).permute(order)


@over_dims.known_mistake(
    "reshaped back and not permuted back",
    "You permuted, and then gave the result the shape of x with `reshape`. The shape is right, "
    "and the numbers stand in the wrong places.",
    hint="`reshape` never moves a number to another index on purpose. Permute back.",
)
def reshaped_back(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    last = tuple(range(-len(dims), 0))
    return right(x.movedim(dims, last), last, eps).reshape(x.shape)


@over_dims.known_mistake(
    "negative dims that are not counted from the front",
    "Your code looks whether each of the dims 0, 1, 2, ... is in `dims`. A negative number is "
    "never one of them.",
    hint="`dim % x.dim()` is the same dim counted from the front.",
)
def negative_dims_missed(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    named = (dims,) if isinstance(dims, int) else dims
    counted = tuple(dim for dim in range(x.dim()) if dim in named)
    return right(x, counted, eps) if counted else torch.zeros_like(x)


@over_dims.known_mistake(
    "the absolute value of negative dims",
    "You dropped the minus sign: -1 became dim 1. Negative dims count from the end.",
    hint="`dim % x.dim()` is the same dim counted from the front.",
)
def absolute_dims(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    if isinstance(dims, int):
        return right(x, abs(dims), eps)
    return right(x, tuple(abs(dim) for dim in dims), eps)


@over_dims.known_mistake(
    "dims as an int is not accepted",
    "Your code loops over `dims` or takes its length, which an int does not allow.",
    hint="Begin with: if `dims` is an int, make it a tuple of one.",
)
def no_int(x, dims, eps=1e-5, right=layer_norm_over_dims):
    return right(x, tuple(dims), eps)


@over_dims.known_mistake(
    "dims as a list is not accepted",
    "Your code takes what is not a tuple for an int, and puts the whole list into a tuple of one.",
    hint="Ask `isinstance(dims, int)`; `tuple(dims)` makes a tuple of everything else.",
)
def no_list(x, dims, eps=1e-5, right=layer_norm_over_dims):
    dims = dims if isinstance(dims, tuple) else (dims,)
    return right(x, dims, eps)


@over_dims.known_mistake(
    "the int 0 is taken for no dims",
    "`if not dims` is true for the empty tuple and for the int 0 as well, but 0 names the first "
    "dim.",
    hint="Make a tuple of an int first. (0,) is not empty.",
)
def zero_is_false(x, dims, eps=1e-5, right=layer_norm_over_dims):
    if not dims:
        raise ValueError("dims names no dim")
    return right(x, dims, eps)


@over_dims.known_mistake(
    "the first dim is always left out",
    "You treat the first dim as the batch even where `dims` names it.",
    hint="Here nothing is the batch. The dims that are named share a mean, and no others.",
)
def never_the_batch(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    counted = [dim % x.dim() for dim in ([dims] if isinstance(dims, int) else dims)]
    others = tuple(dim for dim in counted if dim != 0)
    return right(x, others, eps) if others else torch.zeros_like(x)


@over_dims.known_mistake(
    "unbiased variance",
    "`torch.var` divides by D - 1 unless you tell it otherwise. The formula divides by D, the "
    "number of entries that share a mean.",
    hint="Look for `unbiased` or `correction` in the documentation of `torch.var`.",
)
def unbiased(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    mean, var = wide.mean(dims, keepdim=True), wide.var(dims, keepdim=True)
    return ((wide - mean) / torch.sqrt(var + eps)).to(x.dtype)


@over_dims.known_mistake(
    "eps outside the square root",
    "You added `eps` to the standard deviation. It belongs to the variance, inside the root.",
    hint="First var + eps, then the square root of the sum.",
)
def eps_outside(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    var = wide.var(dims, unbiased=False, keepdim=True)
    return ((wide - wide.mean(dims, keepdim=True)) / (torch.sqrt(var) + eps)).to(x.dtype)


@over_dims.known_mistake(
    "a fixed eps of 1e-5",
    "Your code uses 1e-5 whatever the argument `eps` is.",
    hint="Add the argument to the variance.",
)
def fixed_eps(x, dims, eps=1e-5, right=layer_norm_over_dims):
    return right(x, dims)


@over_dims.known_mistake(
    "no eps",
    "Nothing is added to the variance.",
    hint="Add the argument `eps` to the variance, inside the square root.",
)
def no_eps(x, dims, eps=1e-5, right=layer_norm_over_dims):
    return right(x, dims, 0.0)


@over_dims.known_mistake(
    "a default eps of 1e-6",
    "The default of `eps` is 1e-5 here; yours is 1e-6.",
    hint="Compare your signature with the one in the notebook.",
)
def other_default(x, dims, eps=1e-6, right=layer_norm_over_dims):
    return right(x, dims, eps)


@over_dims.known_mistake(
    "E[x²] − E[x]²",
    "You computed the variance as the mean of the squares less the square of the mean. With a "
    "large offset these two are nearly equal, and their difference has no digits left.",
    hint="Subtract the mean from x first, then square and average.",
)
def difference_of_squares(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    mean = wide.mean(dims, keepdim=True)
    var = wide.square().mean(dims, keepdim=True) - mean.square()
    return ((wide - mean) / torch.sqrt(var + eps)).to(x.dtype)


@over_dims.known_mistake(
    "statistics in half precision",
    "float16 input is squared in float16, which ends at 65,504.",
    hint="`x.float()` where x.dtype is float16 or bfloat16, and `.to(x.dtype)` at the end.",
)
def in_half(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    centred = x - x.mean(dims, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dims, keepdim=True) + eps)


@over_dims.known_mistake(
    "everything in float32",
    "`x.float()` also turns float64 into float32, where it loses half its digits.",
    hint="Only float16 and bfloat16 need another dtype inside.",
)
def always_float32(x, dims, eps=1e-5, right=layer_norm_over_dims):
    return right(x.float(), dims, eps).to(x.dtype)


@over_dims.known_mistake(
    "PyTorch's own layer norm",
    "You moved the dims to the end and called `F.layer_norm`. It is the right answer to another "
    "question: here the statistics are to be your own.",
    hint="`F.layer_norm` is two means, a difference, a root and a quotient. Write those.",
)
def built_in(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    last = tuple(range(-len(dims), 0))
    moved = x.movedim(dims, last)
    normalized = nn.functional.layer_norm(moved, moved.shape[-len(dims) :], eps=eps)
    return normalized.movedim(last, dims)


@over_dims.known_mistake(
    "x is changed in place",
    "`x -= mean` writes into the tensor of the caller, who may still need it; where x needs a "
    "gradient, PyTorch may refuse.",
    hint="`x - mean` makes a new tensor.",
)
def in_place(x, dims, eps=1e-5, right=layer_norm_over_dims):
    result = right(x, dims, eps)
    if not x.requires_grad:
        x.copy_(result)
    return result


@over_dims.known_mistake(
    "statistics hidden from autograd",
    "The mean and the variance pass through `.detach()` or `torch.no_grad()`, or are computed from "
    "`.data`. The output is right; the gradient takes them for constants.",
    hint="Leave out `.detach()`, `.data` and `torch.no_grad()`: the mean and the variance depend "
    "on x.",
)
def detached(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    mean = wide.detach().mean(dims, keepdim=True)
    var = wide.detach().var(dims, unbiased=False, keepdim=True)
    return ((wide - mean) / torch.sqrt(var + eps)).to(x.dtype)


@over_dims.known_mistake(
    "view in place of reshape",
    "`view` asks for memory in the order of the indices, which a tensor whose dims were moved "
    "does not have.",
    hint="`reshape` copies where it has to. Or take `mean` over a tuple of dims, and nothing need "
    "be moved.",
)
def view_of_rows(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    last = tuple(range(-len(dims), 0))
    moved = x.movedim(dims, last)
    rows = moved.view(-1, moved[(0,) * (x.dim() - len(dims))].numel())
    return right(rows, -1, eps).view(moved.shape).movedim(last, dims)


@over_dims.known_mistake(
    "torch's own errors for dims that cannot be",
    "PyTorch's `mean` refuses most of these dims itself, with an IndexError or a RuntimeError; but "
    "for an empty tuple it averages over everything, and says nothing.",
    hint="Check `dims` before you compute, and raise a ValueError that says what is wrong with it.",
)
def errors_of_torch(x, dims, eps=1e-5, right=layer_norm_over_dims):
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    centred = wide - wide.mean(dims, keepdim=True)
    return (centred / torch.sqrt(centred.square().mean(dims, keepdim=True) + eps)).to(x.dtype)


@over_dims.known_mistake(
    "the formula, and nothing around it",
    "Your numbers are right. Two things are left: half precision is not computed in float32, and "
    "dims that cannot be are met by PyTorch's own errors, or by none.",
    hint="First `x.float()` where x.dtype is float16 or bfloat16. Then check `dims` before you "
    "compute, and raise a ValueError.",
)
def formula_alone(x, dims, eps=1e-5):
    centred = x - x.mean(dims, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dims, keepdim=True) + eps)


@over_dims.known_mistake(
    "no gradient at all",
    "x passes through `.detach()`, `.data` or `.numpy()`, or all is computed under "
    "`torch.no_grad()`. The output is right, and no gradient comes through to x.",
    hint="Leave these out: autograd follows every tensor operation by itself.",
)
def no_gradient(x, dims, eps=1e-5, right=layer_norm_over_dims):
    return right(x.detach(), dims, eps)


@over_dims.known_mistake(
    "no dims at all is not refused",
    "For an empty tuple, `mean(())` averages over everything. The caller has asked for nothing of "
    "the kind.",
    hint="Raise a ValueError if `dims` is the empty tuple.",
)
def empty_accepted(x, dims, eps=1e-5, right=layer_norm_over_dims):
    return right(x, tuple(range(x.dim())) if dims == () else dims, eps)


@over_dims.known_mistake(
    "a dim named twice is not noticed if it is named from both ends",
    "In a tensor of three dims, 1 and -2 are the same dim. You compared the numbers as they were "
    "given.",
    hint="Count all dims from the front before you compare them.",
)
def twice_from_both_ends(x, dims, eps=1e-5, right=layer_norm_over_dims):
    if isinstance(dims, tuple) and len(set(dims)) == len(dims):
        counted = [dim % x.dim() if -x.dim() <= dim < x.dim() else dim for dim in dims]
        return right(x, tuple(set(counted)), eps)
    return right(x, dims, eps)


@over_dims.known_mistake(
    "a dim named twice is not refused",
    "A dim that is named twice is most likely a slip of the caller's. You take it for named once.",
    hint="Compare `len(set(counted))` with `len(counted)`, and raise a ValueError.",
)
def twice_accepted(x, dims, eps=1e-5, right=layer_norm_over_dims):
    named = (dims,) if isinstance(dims, int) else dims
    counted = [dim % x.dim() if -x.dim() <= dim < x.dim() else dim for dim in named]
    return right(x, tuple(set(counted)), eps)


@over_dims.known_mistake(
    "a dim that does not exist wraps round",
    "`dim % x.dim()` makes a valid dim of every number, so that dim 3 of three becomes dim 0 "
    "without a word.",
    hint="Check that -x.dim() <= dim < x.dim() before you take the remainder.",
)
def wraps_round(x, dims, eps=1e-5, right=layer_norm_over_dims):
    named = (dims,) if isinstance(dims, int) else dims
    return right(x, tuple(dim % x.dim() for dim in named), eps)


@over_dims.combination
def range_and_eps_outside(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    named = [dims] if isinstance(dims, int) else dims
    counted = [dim % x.dim() for dim in named]
    between = tuple(range(min(counted), max(counted) + 1))
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    std = wide.std(between, unbiased=False, keepdim=True)
    return ((wide - wide.mean(between, keepdim=True)) / (std + eps)).to(x.dtype)


@over_dims.combination
def one_after_the_other_with_errors_of_torch(x, dims, eps=1e-5):
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    for dim in [dims] if isinstance(dims, int) else dims:
        centred = wide - wide.mean(dim, keepdim=True)
        wide = centred / torch.sqrt(centred.square().mean(dim, keepdim=True) + eps)
    return wide.to(x.dtype)


@over_dims.combination
def in_half_and_detached(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    mean = x.detach().mean(dims, keepdim=True)
    var = (x.detach() - mean).square().mean(dims, keepdim=True)
    return (x - mean) / torch.sqrt(var + eps)


@over_dims.combination
def negative_missed_and_fixed_eps(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    named = (dims,) if isinstance(dims, int) else dims
    counted = tuple(dim for dim in range(x.dim()) if dim in named)
    return right(x, counted) if counted else torch.zeros_like(x)


@over_dims.combination
def permuted_twice_without_int(x, dims, eps=1e-5, right=layer_norm_over_dims):
    right(x, dims, eps)
    counted = [dim % x.dim() for dim in tuple(dims)]
    order = [dim for dim in range(x.dim()) if dim not in counted] + sorted(counted)
    last = tuple(range(-len(counted), 0))
    return right(x.permute(order), last, eps).permute(order)


@over_dims.right_solution
def var_mean(x, dims, eps=1e-5):
    if isinstance(dims, int):
        dims = (dims,)
    if not dims:
        raise ValueError("no dims were named")
    if any(dim < -x.ndim or dim >= x.ndim for dim in dims):
        raise ValueError(f"dims {dims} do not all exist in a tensor of {x.ndim} dims")
    if len({dim % x.ndim for dim in dims}) != len(dims):
        raise ValueError(f"dims {dims} name a dim twice")
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    var, mean = torch.var_mean(wide, dims, correction=0, keepdim=True)
    return ((wide - mean) * torch.rsqrt(var + eps)).type_as(x)


@over_dims.right_solution
def torch_checks(x, dims, eps=1e-5):
    """PyTorch finds out about the dims, and its errors are translated."""
    dims = (dims,) if isinstance(dims, int) else dims
    if len(dims) == 0:
        raise ValueError("dims is empty")
    wide = x.double() if x.dtype == torch.float64 else x.float()
    try:
        mean = wide.mean(dims, keepdim=True)
    except (IndexError, RuntimeError) as error:
        raise ValueError(f"dims {dims} cannot be: {error}") from error
    std = wide.std(dims, correction=0, keepdim=True)
    return ((wide - mean) / torch.hypot(std, torch.full_like(std, eps**0.5))).to(x.dtype)


@over_dims.right_solution
def permute_and_flatten(x, dims, eps=1e-5):
    named = [dims] if isinstance(dims, int) else list(dims)
    counted = [dim + x.dim() if dim < 0 else dim for dim in named]
    kept = [dim for dim in range(x.dim()) if dim not in counted]
    if not named or sorted(kept + counted) != list(range(x.dim())):
        raise ValueError("dims must be dims of x, each at most once, and at least one")
    order = kept + counted
    moved = x.permute(order)
    rows = moved.flatten(len(kept)).to(torch.promote_types(x.dtype, torch.float32))
    rows = rows - rows.mean(-1, keepdim=True)
    rows = rows / (rows.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    back = torch.argsort(torch.tensor(order)).tolist()
    return rows.reshape(moved.shape).permute(back).to(x.dtype)


@over_dims.right_solution
def einsum_over_letters(x, dims, eps=1e-5):
    named = (dims,) if isinstance(dims, int) else dims
    if not named or any(dim not in range(-x.dim(), x.dim()) for dim in named):
        raise ValueError("a dim does not exist, or none is named")
    counted = {range(x.dim())[dim] for dim in named}
    if len(counted) < len(named):
        raise ValueError("a dim is named twice")
    letters = "abcdefgh"[: x.dim()]
    kept = "".join(letter for dim, letter in enumerate(letters) if dim not in counted)
    index = tuple(None if dim in counted else slice(None) for dim in range(x.dim()))
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    count = x[tuple(slice(None) if d in counted else 0 for d in range(x.dim()))].numel()
    centred = wide - (torch.einsum(f"{letters}->{kept}", wide) / count)[index]
    var = torch.einsum(f"{letters},{letters}->{kept}", centred, centred) / count
    return (centred / torch.sqrt(var + eps)[index]).to(x.dtype)


@over_dims.right_solution
def squares_averaged_dim_by_dim(x, dims, eps=1e-5):
    """Means of means and means of mean squares are right, dim by dim, with keepdim."""
    dims = [dims] if isinstance(dims, int) else list(dims)
    for dim in dims:
        if not -x.dim() <= dim < x.dim() or dims.count(dim) + dims.count(dim - x.dim()) > 1:
            raise ValueError(f"dim {dim} does not exist or is named twice")
    if not dims or len({dim % x.dim() for dim in dims}) < len(dims):
        raise ValueError("dims names a dim twice, or none")

    def mean(values):
        for dim in dims:
            values = values.sum(dim, keepdim=True) / values.shape[dim]
        return values

    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    centred = wide - mean(wide)
    return (centred / (mean(centred * centred) + eps) ** 0.5).to(x.dtype)


@over_dims.right_solution
def group_by_group(x, dims, eps=1e-5):
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if not dims or not all(-x.dim() <= dim < x.dim() for dim in dims):
        raise ValueError("a dim does not exist, or none is named")
    last = tuple(range(-len(dims), 0))
    if len({dim % x.dim() for dim in dims}) < len(dims):
        raise ValueError("a dim is named twice")
    moved = x.movedim(dims, last)
    groups = moved.reshape(-1, *moved.shape[-len(dims) :]).double()
    done = [(g - g.mean()) / torch.sqrt(g.var(correction=0) + eps) for g in groups]
    return torch.stack(done).reshape(moved.shape).movedim(last, dims).to(x.dtype)


# The module


class OracleModule(nn.Module):
    """Weight and bias laid along the dims of x by the letters of einsum, in float64."""

    def __init__(self, shape, dims, eps=1e-5):
        super().__init__()
        self.shape = [shape] if isinstance(shape, int) else list(shape)
        self.dims = [dims] if isinstance(dims, int) else list(dims)
        if len(self.shape) != len(self.dims):
            raise ValueError("shape and dims must have as many entries")
        self.weight = nn.Parameter(torch.ones(self.shape))
        self.bias = nn.Parameter(torch.zeros(self.shape))
        self.eps = eps

    def forward(self, x):
        if [x.shape[dim] for dim in self.dims] != self.shape:
            raise ValueError("x has other lengths")
        letters = "abcdefgh"[: x.dim()]
        own = "".join(letters[dim] for dim in self.dims)
        x_hat = summed_by_group(x.double(), self.dims, self.eps)
        ones = torch.ones_like(x_hat)
        scaled = torch.einsum(f"{letters},{own}->{letters}", x_hat, self.weight.double())
        return (scaled + torch.einsum(f"{letters},{own}->{letters}", ones, self.bias.double())).to(
            x.dtype
        )


multi_dim = Task(
    "ch01_module",
    "Layer normalization over any dims, as a module",
    defines="MultiDimLayerNorm",
    oracle=OracleModule,
    forbids=NORMS,
)

# Gradients of a float64 computation; a wrong one is off by 1e-2 and more. Right solutions that
# scale in the parameters' dtype are as good.
GRADIENTS = Tolerance(rtol=1e-6, atol=1e-6)


@multi_dim.cases
def cases_of_module(rng: np.random.Generator) -> Iterator[Case]:
    """Two cases have dims of equal lengths, where parameters along the wrong dim raise no error."""
    a, b, c = (int(n) for n in rng.permutation([3, 4, 5]))
    n, channels, height, width = (int(n) for n in rng.permutation([2, 3, 4, 5]))
    same = int(rng.integers(3, 5))

    def inputs(x_shape, dims, spread=2.0, shape=None, **more):
        named = (dims,) if isinstance(dims, int) else dims
        lengths = [x_shape[dim] for dim in named]
        return {
            "x": draw(rng, *x_shape, dims=named, spread=spread),
            "shape": lengths[0] if isinstance(dims, int) else lengths,
            "dims": dims if isinstance(dims, int) else list(dims),
            "scale": draw_scale(rng, *lengths),
            "shift": rng.normal(size=lengths),
            **more,
        }

    yield Case(
        "over the last dim it does what nn.LayerNorm does, in your own code",
        points=1,
        inputs=inputs((a, b, c), (-1,), eps=1e-5),
        tolerance=FLOAT32,
        judged=("output", "built-in norm called"),
        hint="Normalise over the dims, multiply by the weight, add the bias.",
    )
    yield Case(
        "the channels of (N, C, H, W): shape (C,), dims (1,)",
        points=0.5,
        inputs=inputs((n, channels, height, width), (1,), eps=1e-5),
        tolerance=FLOAT32,
        judged=("output", "built-in norm called"),
        hint="Broadcasting lines up the weight from the right. Give it shape (C, 1, 1), or move "
        "the dims to the end and back.",
    )
    yield Case(
        "weight and bias go along dim 1 where all lengths are equal, and nothing would fail",
        points=0.5,
        inputs=inputs((same,) * 3, (1,), eps=1e-5),
        tolerance=FLOAT32,
        hint="The weight has one number for each index of dim 1. It must line up with that dim.",
    )
    yield Case(
        "two dims with one between them, as lists: shape [C, W], dims [1, 3]",
        points=0.5,
        inputs=inputs((n, channels, height, width), (1, 3), eps=1e-5, form="list"),
        tolerance=FLOAT32,
        hint="For (N, C, H, W) the weight of shape (C, W) has to become (C, 1, W). Or move both "
        "dims to the end, and back.",
    )
    yield Case(
        "dims out of order: shape (L, C), dims (2, 1), for an x of shape (N, C, L)",
        points=0.5,
        inputs=inputs((a, b, c), (2, 1), eps=1e-5),
        tolerance=FLOAT32,
        hint="The first dim of the weight belongs to the first of `dims`, wherever that lies in x.",
    )
    square = inputs((n, same, same, same), (1, 2, 3), eps=1e-5)
    yield Case(
        "channels last: the weights of (N, C, H, W) give the same numbers for (N, H, W, C)",
        points=0.5,
        inputs=square | {"x": square["x"].transpose(0, 2, 3, 1).copy(), "dims": [3, 1, 2]},
        tolerance=FLOAT32,
        hint="With dims (3, 1, 2) the weight has shape (C, H, W) and x has (N, H, W, C): it is the "
        "weight, or x, that has to be permuted.",
    )
    yield Case(
        "one module for x of any number of dims: dims (-3, -1), first of three, then of four",
        points=0.5,
        inputs=inputs(
            (n, channels, height, width),
            (-3, -1),
            eps=1e-5,
            earlier=np.asarray(rng.normal(size=(channels, 2, width)), np.float32),
        ),
        tolerance=FLOAT32,
        hint="Which dim -3 is depends on x, so count it in `forward`, every time.",
    )
    yield Case(
        "shape and dims may be ints: shape C, dims 1",
        points=0.25,
        inputs=inputs((a, b, c), 1, eps=1e-5),
        tolerance=FLOAT32,
        hint="Make tuples of both before you use them.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.25,
        inputs=inputs((a, b, c), (-1,), spread=0.5, eps=float(rng.uniform(0.1, 0.5))),
        tolerance=FLOAT32,
        hint="Keep `eps` in `__init__`, and hand it on where you normalise.",
    )
    yield Case(
        "tiny variance, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs((a, b, c), (-1,), spread=2e-3),
        tolerance=FLOAT32,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "two parameters, ones and zeros; a state_dict moves from nn.LayerNorm and back",
        points=0.25,
        inputs=inputs((n, height, width), (-2, -1), look_at="state_dict"),
        tolerance=FLOAT32,
        judged=(
            "learnable parameters",
            "names missing from your state_dict",
            "other names in your state_dict",
            "output",
            "nn.LayerNorm takes it back",
        ),
        hint="A `state_dict` goes by the names of attributes. `nn.LayerNorm` has `weight` and "
        "`bias`, and nothing else.",
    )
    yield Case(
        "gradients reach x and both parameters, and are right",
        points=0.25,
        inputs=inputs(
            (a, b, c),
            (2, 1),
            dtype="float64",
            eps=0.1,
            look_at="gradients",
            upstream=rng.normal(size=(a, b, c)),
        ),
        tolerance=GRADIENTS,
        judged=(
            "gradient reaches x",
            "gradient reaches the scale",
            "gradient reaches the shift",
            "dx",
            "dscale",
            "dshift",
        ),
        by_values=False,
        hint="Autograd follows `permute`, `reshape` and `movedim`. It does not follow `.data`, "
        "`.detach()` and `torch.tensor(...)`.",
    )
    yield Case(
        "float16: squares beyond its largest number do no harm, and the result is float16",
        points=0.25,
        inputs=inputs((a, b, c), (1,), dtype="float16", eps=1e-5) | {"x": loud(rng, a, b, c)},
        tolerance=FLOAT16,
        judged=("output", "dtype of the output"),
        by_values=False,
        hint="Compute in float32 what comes in half precision, and give the result the dtype of x.",
    )
    yield Case(
        "what does not fit is refused with a ValueError that says why",
        points=0.25,
        inputs=inputs((a, b, c), (1,), look_at="errors"),
        tolerance=FLOAT32,
        judged=(
            "error for two lengths and one dim",
            "error for an x of another length",
            "error for an x of length 1",
        ),
        hint="`__init__` compares how many lengths and dims there are. `forward` compares the "
        "lengths of x along `dims` with `shape`: broadcasting lets a length of 1 pass.",
    )
    yield Case(
        "x need not be contiguous in memory, and is left as it was",
        points=0.25,
        inputs=inputs((a, b, c), (0, 2), eps=1e-5, strided=True),
        tolerance=FLOAT32,
        judged=("output", "x is unchanged"),
        hint="`view` asks for memory in order; `reshape` copies where it has to. And `x -= mean` "
        "writes into the caller's tensor.",
    )


@multi_dim.known_mistake(
    "the last dims, whatever dims says",
    "You normalised over the last dims, as many as `shape` has entries. That is `nn.LayerNorm`.",
    hint="Use the dims that were given, with `layer_norm_over_dims`.",
)
class TheLastDims(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        if tuple(x.shape[dim] for dim in self.dims) != self.weight.shape:
            raise ValueError("x does not fit")
        return layer_norm_over_dims(x, last, self.eps) * self.weight + self.bias


@multi_dim.known_mistake(
    "weight and bias lined up from the right",
    "You normalised over the right dims and multiplied by the weight as it is. Broadcasting lines "
    "it up with the last dims of x: where lengths differ that fails, and where they are equal it "
    "scales along the wrong dim without a word.",
    hint="Give the weight a length of 1 for each dim of x behind its own; or move the dims to the "
    "end, scale there, and move them back.",
)
class LinedUpFromTheRight(MultiDimLayerNorm):
    def forward(self, x):
        if tuple(x.shape[dim] for dim in self.dims) != self.weight.shape:
            raise ValueError("x does not fit")
        return layer_norm_over_dims(x, self.dims, self.eps) * self.weight + self.bias


@multi_dim.known_mistake(
    "weight reshaped and not permuted",
    "You gave the weight lengths of 1 with `reshape` or `view`, in the order in which the dims lie "
    "in x. Its own order is that of `dims`; where the two differ, its numbers are scrambled.",
    hint="Permute the weight into the order of x first, then reshape. Or use `movedim` on x.",
)
class WeightReshaped(MultiDimLayerNorm):
    def forward(self, x):
        if tuple(x.shape[dim] for dim in self.dims) != self.weight.shape:
            raise ValueError("x does not fit")
        counted = [dim % x.dim() for dim in self.dims]
        lengths = [n if dim in counted else 1 for dim, n in enumerate(x.shape)]
        normalized = layer_norm_over_dims(x, self.dims, self.eps)
        return normalized * self.weight.reshape(lengths) + self.bias.reshape(lengths)


@multi_dim.known_mistake(
    "dims sorted, and shape not",
    "You sorted `dims`, and left `shape` in the order it was given in. The two belong together, "
    "entry by entry.",
    hint="Do not sort. `movedim` takes dims in any order.",
)
class DimsSorted(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__(shape, dims, eps)
        self.dims = tuple(sorted(self.dims))


@multi_dim.known_mistake(
    "dims and shape sorted together",
    "Your parameters have their dims in the order of x. They are to have the shape `shape`, "
    "whatever the order of `dims` is, so that a `state_dict` serves every layout.",
    hint="Keep `shape` and `dims` as they are given.",
)
class BothSorted(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        shape = (shape,) if isinstance(shape, int) else shape
        dims = (dims,) if isinstance(dims, int) else dims
        if len(shape) != len(dims):
            raise ValueError("shape and dims differ in number")
        pairs = sorted(zip(dims, shape, strict=True))
        super().__init__([n for _, n in pairs], [dim for dim, _ in pairs], eps)


@multi_dim.known_mistake(
    "one number for the scale and one for the shift",
    "Your parameters are single numbers. Each place in the normalised dims has its own.",
    hint="`torch.ones(shape)` and `torch.zeros(shape)`.",
)
class OneNumber(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__(shape, dims, eps)
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))


@multi_dim.known_mistake(
    "a scale that starts at zeros",
    "Both of your parameters start at zeros, so a new module turns every x into zeros.",
    hint="The scale starts at ones.",
)
class ScaleOfZeros(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__(shape, dims, eps)
        nn.init.zeros_(self.weight)


@multi_dim.known_mistake(
    "a shift that is not learned",
    "Your shift is a plain tensor or a buffer. An optimizer never sees it.",
    hint="Wrap it in `nn.Parameter(...)`.",
)
class PlainShift(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__(shape, dims, eps)
        del self.bias
        self.bias = torch.zeros(self.weight.shape)


@multi_dim.known_mistake(
    "eps is not handed on",
    "Your module keeps `eps` and calls `layer_norm_over_dims` without it, so that its default is "
    "used.",
    hint="`layer_norm_over_dims(x, dims, self.eps)`.",
)
class EpsNotHandedOn(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__(shape, dims)


@multi_dim.known_mistake(
    "a default eps of 1e-6",
    "The default of `eps` is 1e-5 here; yours is 1e-6.",
    hint="Compare your signature with the one in the notebook.",
)
class OtherDefault(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-6):
        super().__init__(shape, dims, eps)


@multi_dim.known_mistake(
    "eps outside the square root",
    "You added `eps` to the standard deviation. It belongs to the variance, inside the root.",
    hint="First var + eps, then the square root of the sum.",
)
class EpsOutside(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        if moved.shape[-len(self.dims) :] != self.weight.shape:
            raise ValueError("x does not fit")
        wide = moved.float() if x.dtype in (torch.float16, torch.bfloat16) else moved
        std = wide.std(last, unbiased=False, keepdim=True)
        normalized = (wide - wide.mean(last, keepdim=True)) / (std + self.eps)
        return (normalized * self.weight + self.bias).movedim(last, self.dims).to(x.dtype)


@multi_dim.known_mistake(
    "unbiased variance",
    "`torch.var` divides by D - 1 unless you tell it otherwise. The formula divides by D, the "
    "number of entries that share a mean.",
    hint="Look for `unbiased` or `correction` in the documentation of `torch.var`.",
)
class Unbiased(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        if moved.shape[-len(self.dims) :] != self.weight.shape:
            raise ValueError("x does not fit")
        wide = moved.float() if x.dtype in (torch.float16, torch.bfloat16) else moved
        var, mean = torch.var_mean(wide, last, keepdim=True)
        normalized = (wide - mean) / torch.sqrt(var + self.eps)
        return (normalized * self.weight + self.bias).movedim(last, self.dims).to(x.dtype)


@multi_dim.known_mistake(
    "one dim after the other",
    "You normalised over the first of the dims, then normalised the result over the next. That is "
    "another thing: each step wipes out what the earlier one left, and the order matters.",
    hint="One mean and one variance for all dims together: `x.mean(dims, keepdim=True)`.",
)
class OneAfterTheOther(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        if moved.shape[-len(self.dims) :] != self.weight.shape:
            raise ValueError("x does not fit")
        for dim in last:
            moved = layer_norm_over_dims(moved, dim, self.eps)
        return (moved * self.weight + self.bias).movedim(last, self.dims)


@multi_dim.known_mistake(
    "all dims but the first share a mean",
    "You normalised each sample as a whole. Only the dims in `dims` share a mean.",
    hint="Use the dims that were given, with `layer_norm_over_dims`.",
)
class EachSample(MultiDimLayerNorm):
    def forward(self, x):
        super().forward(x)
        last = tuple(range(-len(self.dims), 0))
        normalized = layer_norm_over_dims(x, tuple(range(1, x.dim())), self.eps)
        moved = normalized.movedim(self.dims, last)
        return (moved * self.weight + self.bias).movedim(last, self.dims)


@multi_dim.known_mistake(
    "dims moved to the end and not moved back",
    "You moved the dims to the end, normalised, and returned the result as it lay.",
    hint="`.movedim(last, self.dims)` undoes `.movedim(self.dims, last)`.",
)
class NotMovedBack(MultiDimLayerNorm):
    def forward(self, x):
        return super().forward(x).movedim(self.dims, tuple(range(-len(self.dims), 0)))


@multi_dim.known_mistake(
    "moved to the end a second time in place of back",
    "You undid `movedim` by calling it again with the same arguments.",
    hint="The way back has the arguments swapped: `.movedim(last, self.dims)`.",
)
class MovedTwice(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        moved = super().forward(x).movedim(self.dims, last)
        return moved.movedim(self.dims, last)


@multi_dim.known_mistake(
    "reshape in place of moving dims",
    "You cut x into blocks of the shape of the weight with `reshape`. It takes numbers in the "
    "order of the indices of x, so the blocks are the groups only if `dims` are the last dims.",
    hint="`movedim` moves dims; `reshape` only cuts the same row of numbers in another way.",
)
class ReshapedAway(MultiDimLayerNorm):
    def forward(self, x):
        super().forward(x)
        last = tuple(range(-len(self.dims), 0))
        blocks = x.reshape(-1, *self.weight.shape)
        normalized = layer_norm_over_dims(blocks, last, self.eps)
        return (normalized * self.weight + self.bias).reshape(x.shape)


@multi_dim.known_mistake(
    "negative dims counted once and for all",
    "Your module finds out at its first call which dims the negative ones are, and goes by that "
    "ever after. For an x with more dims they are others.",
    hint="Count in `forward`, from the x that is there.",
)
class CountedOnce(MultiDimLayerNorm):
    def forward(self, x):
        self.dims = tuple(dim % x.dim() for dim in self.dims)
        return super().forward(x)


@multi_dim.known_mistake(
    "ints are not accepted",
    "`shape` and `dims` may be ints. Your code takes the length of one of them, or loops over it.",
    hint="`isinstance(shape, int)` tells; make tuples of both.",
)
class NoInts(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__(tuple(shape), tuple(dims), eps)


@multi_dim.known_mistake(
    "lists are not accepted",
    "`shape` and `dims` may be lists. A list is never equal to a tuple or a `torch.Size`, so that "
    "your `forward` refuses an x that fits.",
    hint="`tuple(shape)` makes a tuple of a list, and leaves a tuple as it is.",
)
class NoLists(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__(shape, dims, eps)
        self.shape = shape if not isinstance(shape, int) else (shape,)


@multi_dim.known_mistake(
    "other names than PyTorch's",
    "All is right but the names of the parameters: a `state_dict` of `nn.LayerNorm` has `weight` "
    "and `bias`.",
    hint="Call them `self.weight` and `self.bias`.",
)
class OtherNames(nn.Module):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dims = (dims,) if isinstance(dims, int) else tuple(dims)
        if len(self.shape) != len(self.dims):
            raise ValueError("shape and dims differ in number")
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(self.shape))
        self.beta = nn.Parameter(torch.zeros(self.shape))

    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        if moved.shape[-len(self.dims) :] != self.gamma.shape:
            raise ValueError("x does not fit")
        normalized = layer_norm_over_dims(moved, last, self.eps)
        return (normalized * self.gamma + self.beta).movedim(last, self.dims)


@multi_dim.known_mistake(
    "the shift is not added",
    "Your module scales, and leaves out the shift.",
    hint="Normalise, multiply by the weight, add the bias.",
)
class NoShift(MultiDimLayerNorm):
    def forward(self, x):
        return super().forward(x) - super().forward(x * 0)


@multi_dim.known_mistake(
    "the shift before the scale",
    "You added the bias first and multiplied by the weight then, which scales the bias too.",
    hint="Normalise, multiply by the weight, add the bias.",
)
class ShiftFirst(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        if moved.shape[-len(self.dims) :] != self.weight.shape:
            raise ValueError("x does not fit")
        normalized = layer_norm_over_dims(moved, last, self.eps)
        return ((normalized + self.bias) * self.weight).movedim(last, self.dims)


@multi_dim.known_mistake(
    "PyTorch's own layer norm",
    "You moved the dims to the end and called `F.layer_norm` or `nn.LayerNorm`. The statistics are "
    "to be your own.",
    hint="`layer_norm_over_dims` of the first task does all that is needed.",
)
class BuiltIn(MultiDimLayerNorm):
    def forward(self, x):
        super().forward(x)
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        normalized = nn.functional.layer_norm(
            moved, self.weight.shape, self.weight, self.bias, self.eps
        )
        return normalized.movedim(last, self.dims)


@multi_dim.known_mistake(
    "statistics in half precision",
    "float16 input is squared in float16, which ends at 65,504.",
    hint="`layer_norm_over_dims` goes through float32. If you compute the statistics yourself, do "
    "so too.",
)
class InHalf(MultiDimLayerNorm):
    def forward(self, x):
        super().forward(x)
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        centred = moved - moved.mean(last, keepdim=True)
        normalized = centred / torch.sqrt(centred.square().mean(last, keepdim=True) + self.eps)
        return (normalized * self.weight + self.bias).movedim(last, self.dims)


@multi_dim.known_mistake(
    "parameters hidden from autograd",
    "The weight goes through `.data`, `.detach()` or a new `torch.tensor(...)` on its way to x. "
    "The output is right, and no gradient reaches it.",
    hint="`permute`, `reshape`, `view` and `movedim` of a parameter are followed by autograd.",
)
class WeightDetached(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        if moved.shape[-len(self.dims) :] != self.weight.shape:
            raise ValueError("x does not fit")
        normalized = layer_norm_over_dims(moved, last, self.eps)
        return (normalized * self.weight.data + self.bias.data).movedim(last, self.dims)


@multi_dim.known_mistake(
    "an x of other lengths is not refused",
    "Your `forward` does not compare the lengths of x with `shape`. Most misfits end in an error "
    "of PyTorch's, but a length of 1 is broadcast, and the result has another shape than x.",
    hint="Compare `tuple(x.shape[dim] for dim in dims)` with the shape of the weight.",
)
class LengthsUnchecked(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        normalized = layer_norm_over_dims(x, self.dims, self.eps).movedim(self.dims, last)
        return (normalized * self.weight + self.bias).movedim(last, self.dims)


@multi_dim.known_mistake(
    "a length of 1 is not refused",
    "Your `forward` refuses what broadcasting refuses. An x of length 1 along one of `dims` is "
    "broadcast without a word, and the result has another shape than x.",
    hint="Compare the lengths themselves: `tuple(x.shape[dim] for dim in dims)` and the shape of "
    "the weight.",
)
class LengthOneAccepted(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        normalized = layer_norm_over_dims(x, self.dims, self.eps).movedim(self.dims, last)
        try:
            return (normalized * self.weight + self.bias).movedim(last, self.dims)
        except RuntimeError as error:
            raise ValueError(f"x does not fit: {error}") from error


@multi_dim.known_mistake(
    "a shape that does not fit dims is not refused",
    "`__init__` does not compare how many lengths and how many dims there are.",
    hint="Raise a ValueError in `__init__` if `len(shape)` is not `len(dims)`.",
)
class NumbersUnchecked(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        nn.Module.__init__(self)
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dims = (dims,) if isinstance(dims, int) else tuple(dims)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.shape))
        self.bias = nn.Parameter(torch.zeros(self.shape))


@multi_dim.known_mistake(
    "x is changed in place",
    "Your module writes into the tensor of the caller, who may still need it.",
    hint="`x - mean` makes a new tensor; `x -= mean` and `x.sub_(mean)` do not.",
)
class InPlace(MultiDimLayerNorm):
    def forward(self, x):
        result = super().forward(x)
        if not x.requires_grad:
            x.copy_(result)
        return result


@multi_dim.combination
class LinedUpAndEpsNotHandedOn(MultiDimLayerNorm):
    def forward(self, x):
        if tuple(x.shape[dim] for dim in self.dims) != self.weight.shape:
            raise ValueError("x does not fit")
        return layer_norm_over_dims(x, self.dims) * self.weight + self.bias


@multi_dim.combination
class ReshapedAndUnchecked(MultiDimLayerNorm):
    def forward(self, x):
        counted = [dim % x.dim() for dim in self.dims]
        lengths = [
            self.weight.shape[counted.index(dim)] if dim in counted else 1 for dim in range(x.dim())
        ]
        normalized = layer_norm_over_dims(x, self.dims, self.eps)
        return normalized * self.weight.reshape(lengths) + self.bias.reshape(lengths)


@multi_dim.combination
class DimsSortedInPlace(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__(shape, dims, eps)
        self.dims = tuple(sorted(self.dims))

    def forward(self, x):
        result = super().forward(x)
        if not x.requires_grad:
            x.copy_(result)
        return result


@multi_dim.combination
class CountedOnceWithOtherDefault(MultiDimLayerNorm):
    def __init__(self, shape, dims, eps=1e-6):
        super().__init__(shape, dims, eps)

    def forward(self, x):
        self.dims = tuple(dim % x.dim() for dim in self.dims)
        return super().forward(x)


@multi_dim.combination
class InHalfAndUnchecked(MultiDimLayerNorm):
    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        centred = moved - moved.mean(last, keepdim=True)
        normalized = centred / torch.sqrt(centred.square().mean(last, keepdim=True) + self.eps)
        return (normalized * self.weight + self.bias).movedim(last, self.dims)


@multi_dim.combination
class OtherNamesAndDetached(nn.Module):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dims = (dims,) if isinstance(dims, int) else tuple(dims)
        if len(self.shape) != len(self.dims):
            raise ValueError("shape and dims differ in number")
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(self.shape))
        self.beta = nn.Parameter(torch.zeros(self.shape))

    def forward(self, x):
        last = tuple(range(-len(self.dims), 0))
        moved = x.movedim(self.dims, last)
        if moved.shape[-len(self.dims) :] != self.gamma.shape:
            raise ValueError("x does not fit")
        normalized = layer_norm_over_dims(moved, last, self.eps)
        return (normalized * self.gamma.data + self.beta.data).movedim(last, self.dims)


@multi_dim.right_solution
class WeightPermutedAndReshaped(nn.Module):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dims = (dims,) if isinstance(dims, int) else tuple(dims)
        if len(self.shape) != len(self.dims):
            raise ValueError(f"{len(self.shape)} lengths for {len(self.dims)} dims")
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.shape))
        self.bias = nn.Parameter(torch.zeros(self.shape))

    def forward(self, x):
        if any(x.shape[dim] != n for dim, n in zip(self.dims, self.shape, strict=True)):
            raise ValueError("x has other lengths")
        counted = [dim % x.dim() for dim in self.dims]
        order = sorted(range(len(counted)), key=counted.__getitem__)
        lengths = [n if dim in counted else 1 for dim, n in enumerate(x.shape)]
        weight = self.weight.permute(order).reshape(lengths)
        bias = self.bias.permute(order).reshape(lengths)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        var, mean = torch.var_mean(wide, self.dims, correction=0, keepdim=True)
        return ((wide - mean) / torch.sqrt(var + self.eps) * weight + bias).to(x.dtype)


@multi_dim.right_solution
class ScaledByEinsum(nn.Module):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__()
        dims = [dims] if isinstance(dims, int) else dims
        shape = [shape] if isinstance(shape, int) else shape
        if len(dims) != len(shape):
            raise ValueError("one length for each dim, please")
        self.dims, self.eps = dims, eps
        self.weight = nn.Parameter(torch.ones(*shape))
        self.bias = nn.Parameter(torch.zeros(*shape))

    def forward(self, x):
        if [x.shape[dim] for dim in self.dims] != list(self.weight.shape):
            raise ValueError("x does not fit the weight")
        letters = "abcdefgh"[: x.dim()]
        own = "".join(letters[dim] for dim in self.dims)
        normalized = layer_norm_over_dims(x, tuple(self.dims), self.eps)
        along = f"{letters},{own}->{letters}"
        scaled = torch.einsum(along, normalized, self.weight)
        return scaled + torch.einsum(along, torch.ones_like(x), self.bias)


@multi_dim.right_solution
class UnsqueezedFromTheLast(nn.Module):
    """The parameters get a dim of length 1 for each dim of x that is not theirs."""

    def __init__(self, shape, dims, eps=1e-5):
        super().__init__()
        self.dims = torch.Size([dims] if isinstance(dims, int) else dims)
        shape = torch.Size([shape] if isinstance(shape, int) else shape)
        if len(self.dims) != len(shape):
            raise ValueError("shape and dims must be of one length")
        self.weight = nn.Parameter(torch.full(shape, 1.0))
        self.bias = nn.Parameter(torch.full(shape, 0.0))
        self.eps = eps

    def along(self, parameter, rank):
        for _ in range(rank - len(self.dims)):
            parameter = parameter.unsqueeze(-1)
        return parameter.movedim(tuple(range(len(self.dims))), tuple(self.dims))

    def forward(self, x):
        if tuple(x.size(dim) for dim in self.dims) != tuple(self.weight.size()):
            raise ValueError("x does not fit the weight")
        weight, bias = self.along(self.weight, x.dim()), self.along(self.bias, x.dim())
        return layer_norm_over_dims(x, tuple(self.dims), self.eps) * weight + bias


@multi_dim.right_solution
class Float64InRows(nn.Module):
    def __init__(self, shape, dims, eps=1e-5):
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dims = (dims,) if isinstance(dims, int) else tuple(dims)
        if len(self.shape) != len(self.dims):
            raise ValueError("shape and dims differ")
        self.weight = nn.Parameter(torch.ones(self.shape))
        self.bias = nn.Parameter(torch.zeros(self.shape))
        self.eps = eps

    def forward(self, x):
        kept = [dim for dim in range(x.dim()) if dim not in {d % x.dim() for d in self.dims}]
        order = kept + [dim % x.dim() for dim in self.dims]
        moved = x.permute(order)
        if moved.shape[len(kept) :] != self.weight.shape:
            raise ValueError(f"expected {self.shape}, found {tuple(moved.shape[len(kept) :])}")
        rows = moved.reshape(-1, self.weight.numel()).double()
        rows = rows - rows.mean(1, keepdim=True)
        rows = rows * (rows.square().mean(1, keepdim=True) + self.eps).rsqrt()
        rows = rows * self.weight.double().flatten() + self.bias.double().flatten()
        back = [order.index(dim) for dim in range(x.dim())]
        return rows.reshape(moved.shape).permute(back).to(x.dtype)


@multi_dim.right_solution
class WiderSubclass(MultiDimLayerNorm):
    """The reference, scaled before it goes back to half precision."""

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        last = tuple(range(-len(self.dims), 0))
        moved = wide.movedim(self.dims, last)
        if moved.shape[-len(self.dims) :] != self.weight.shape:
            raise ValueError("x does not fit")
        normalized = layer_norm_over_dims(moved, last, self.eps)
        scaled = torch.addcmul(self.bias.to(wide.dtype), normalized, self.weight.to(wide.dtype))
        return scaled.movedim(last, self.dims).contiguous().to(x.dtype)
