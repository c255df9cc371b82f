"""Challenge C3: statistics of groups of channels, and group normalization."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_scale
from course.instructor.forbidden import NORMS
from course.instructor.task import Task
from course.layer_normalization_solutions import GroupNorm, group_statistics
from course.student.answer_key import Case, Tolerance


def oracle_statistics(x, num_groups):
    """The definition in float64, group by group, with the channels of each counted out."""
    size = x.shape[1] // num_groups
    groups = [
        [sample[first : first + size].double() for first in range(0, x.shape[1], size)]
        for sample in x
    ]
    mean = [[group.sum() / group.numel() for group in sample] for sample in groups]
    var = [
        [((group - m) ** 2).sum() / group.numel() for group, m in zip(sample, means, strict=True)]
        for sample, means in zip(groups, mean, strict=True)
    ]
    return torch.tensor(mean, dtype=x.dtype), torch.tensor(var, dtype=x.dtype)


class Oracle(nn.Module):
    """The definition in float64 whatever the inputs are, rounded to the dtype of x at the end.

    Written out, for `nn.GroupNorm` itself would be found out by the task's first case.
    """

    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels // num_groups * num_groups != num_channels:
            raise ValueError(f"num_groups={num_groups} does not divide num_channels={num_channels}")
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.size, self.eps = num_channels // num_groups, eps

    def forward(self, x):
        channels = []
        for c in range(x.shape[1]):
            first = c // self.size * self.size
            group = x[:, first : first + self.size].double().flatten(1)
            mean = group.sum(1) / group.shape[1]
            var = ((group - mean[:, None]) ** 2).sum(1) / group.shape[1]
            places = x[:, c].double().reshape(len(x), -1)
            x_hat = (places - mean[:, None]) / (var[:, None] + self.eps).sqrt()
            channels.append(x_hat * self.weight[c].double() + self.bias[c].double())
        return torch.stack(channels, 1).reshape(x.shape).to(x.dtype)


statistics_task = Task(
    "ch03_group_statistics",
    "The statistics of groups of channels",
    defines="group_statistics",
    oracle=oracle_statistics,
)
group_norm_task = Task(
    "ch03_group_norm",
    "Group normalization as a module",
    defines="GroupNorm",
    oracle=Oracle,
    forbids=NORMS,
)

# A computation in float32 is off by about 1e-6 here, and an eps that is 1e-5 too small or too
# large by 1e-5: that is left to the cases about eps. Other wrong answers are off by 1e-2 and more.
FLOAT32 = Tolerance(rtol=1e-4, atol=1e-4)
# Right answers in float64 differ by a few hundred units of the last place (2e-16), and those
# that went through float32 by 1e-7.
FLOAT64 = Tolerance(rtol=1e-10, atol=1e-10)
# An offset of 1e4 leaves float32 values a grid of 1e-3, so right answers with a spread of about 2
# are off by up to 2e-3. E[x^2] - E[x]^2 is off by 4 and more in the variance, which is about 4.
OFFSET_FLOAT32 = Tolerance(rtol=0, atol=0.02)
# Outputs are below 2. Rounding to float16 costs up to 0.001 a time; a variance that overflows
# gives 0 in the place of values of 0.4 and more.
FLOAT16 = Tolerance(rtol=0, atol=0.01)
# Rounding the result to bfloat16 costs 0.004 here. A mean that is rounded to bfloat16 is off by
# 0.17 spreads.
BFLOAT16_OFFSET = Tolerance(rtol=0, atol=0.06)


def draw_groups(rng, samples, channels, num_groups, *places, spread=(1.0, 3.0), offset=2.0):
    """An (N, C, *places) array whose groups have a mean and a spread of their own.

    So do the channels of a group, and the places of a channel differ; statistics over anything
    but a group are wrong.
    """
    size = channels // num_groups
    x = rng.normal(size=(samples, num_groups, size, int(np.prod(places))))
    x += rng.normal(size=(samples, num_groups, size, 1))
    x -= x.mean(axis=(2, 3), keepdims=True)
    x /= x.std(axis=(2, 3), keepdims=True)
    leading = (samples, num_groups, 1, 1)
    x = rng.uniform(*spread, size=leading) * x + offset * rng.normal(size=leading)
    return x.reshape(samples, channels, *places)


def channels_and_groups(rng: np.random.Generator) -> tuple[int, int]:
    """C and G, such that a group does not have G channels."""
    channels, num_groups = rng.permutation([(6, 2), (6, 3), (8, 2)])[0]
    return int(channels), int(num_groups)


# ---------------------------------------------------------------------------------------------
# Task 1: the statistics
# ---------------------------------------------------------------------------------------------


@statistics_task.cases
def statistics_cases(rng: np.random.Generator) -> Iterator[Case]:
    """No two dims of a case that could be mistaken for one another have the same length."""
    channels, num_groups = channels_and_groups(rng)
    height, width = (int(n) for n in rng.permutation([2, 3]))
    samples = int(rng.integers(4, 6))

    def inputs(num_groups, *shape, **more):
        x = draw_groups(rng, shape[0], shape[1], num_groups, *shape[2:], **more)
        return {"x": np.asarray(x, np.float32), "num_groups": num_groups}

    images = inputs(num_groups, samples, channels, height, width)
    yield Case(
        "the mean of each group of channels, for each sample of (N, C, H, W)",
        points=1,
        inputs=images,
        tolerance=FLOAT32,
        judged=("mean",),
        hint="One sample has C channels, and the first C // num_groups of them are group 0. Its "
        "mean is taken over these channels and all their places: one number.",
    )
    yield Case(
        "the variance of each group, dividing by the number of values",
        points=0.75,
        inputs=images,
        tolerance=FLOAT32,
        judged=("mean", "var"),
        hint="Subtract the mean of the group from all its values, square, and average over as "
        "many values as the mean was taken of.",
    )
    yield Case(
        "(N, C): no places, a group is a few numbers of a row",
        points=0.25,
        inputs=inputs(num_groups, samples, channels),
        tolerance=FLOAT32,
        judged=("mean", "var"),
        hint="Let the shape of x decide how many dims there are: `x.reshape(N, num_groups, -1)` "
        "works for any number of them.",
    )
    yield Case(
        "(N, C, L) with as many groups as channels",
        points=0.25,
        inputs=inputs(channels, samples, channels, 4),
        tolerance=FLOAT32,
        judged=("mean", "var"),
        hint="With G = C each channel is a group of its own, over its L places.",
    )
    yield Case(
        "one group: all channels of a sample",
        points=0.25,
        inputs=inputs(1, samples, channels, 3),
        tolerance=FLOAT32,
        judged=("mean", "var"),
        hint="With G = 1 the shape is (N, 1): each sample has one mean, over all its values.",
    )
    yield Case(
        "an offset of 10,000 does not swamp the variance",
        points=0.25,
        inputs=_shifted(inputs(2, samples, 4, 3, spread=(1.8, 2.2)), 1e4),
        tolerance=OFFSET_FLOAT32,
        judged=("mean", "var"),
        by_values=False,
        hint="Subtract the mean before you square. A difference of two large squares keeps no "
        "digits.",
    )
    yield Case(
        "x may lie in memory in another order, and is left as it was",
        points=0.25,
        inputs=inputs(num_groups, samples, channels, height, width) | {"channels_last": True},
        tolerance=FLOAT32,
        judged=("mean", "var", "x is unchanged"),
        hint="`view` asks for memory in order; `reshape` copies where it has to. `x -= mean` "
        "writes into the caller's tensor; `x - mean` makes a new one.",
    )


def _shifted(inputs, offset):
    return inputs | {"x": np.asarray(inputs["x"] + offset, np.float32)}


@statistics_task.known_mistake(
    "every G-th channel in a group",
    "You put channel c into group c % G, so that a group takes every G-th channel. Neighbours "
    "belong together: channel c is in group c // (C // G).",
    hint="The order in `reshape` decides. `reshape(N, G, C // G, ...)` keeps neighbours together; "
    "`reshape(N, C // G, G, ...)` deals channels out like cards.",
)
def dealt_out(x, num_groups):
    groups = x.reshape(x.shape[0], x.shape[1] // num_groups, num_groups, -1)
    return groups.mean((1, 3)), groups.var((1, 3), unbiased=False)


@statistics_task.known_mistake(
    "num_groups taken for the size of a group",
    "Your groups have `num_groups` channels each. There should be `num_groups` groups, of "
    "C // num_groups channels each.",
    hint="The result has shape (N, num_groups). Compare with yours.",
)
def size_for_number(x, num_groups):
    return group_statistics(x, x.shape[1] // num_groups)


@statistics_task.known_mistake(
    "each channel by itself",
    "Your statistics are per channel, as in instance norm: `num_groups` plays no part.",
    hint="The channels of a group share one mean: cut dim 1 into (num_groups, C // num_groups), "
    "and average over the second part too.",
)
def channel_by_channel(x, num_groups):
    return group_statistics(x, x.shape[1])


@statistics_task.known_mistake(
    "all channels together",
    "Your statistics are over all channels of a sample, as in layer norm: `num_groups` plays no "
    "part.",
    hint="Cut dim 1 into (num_groups, C // num_groups), and leave the first part out of the mean.",
)
def all_channels(x, num_groups):
    return group_statistics(x, 1)


@statistics_task.known_mistake(
    "the batch averaged over as well",
    "You have one mean for each group, for all samples together. In group norm no sample has any "
    "part in another's statistics.",
    hint="The result has shape (N, num_groups): dim 0 stays out of the mean.",
)
def over_the_batch(x, num_groups):
    groups = x.reshape(x.shape[0], num_groups, -1)
    return groups.mean((0, 2)), groups.var((0, 2), unbiased=False)


@statistics_task.known_mistake(
    "each place by itself",
    "You averaged over the channels of a group, and kept the places apart. All places of an image "
    "share the statistics of their group.",
    hint="Flatten everything behind the groups: `x.reshape(N, num_groups, -1)`, and average over "
    "the last dim.",
)
def place_by_place(x, num_groups):
    groups = x.reshape(x.shape[0], num_groups, -1, *x.shape[2:])
    return groups.mean(2), groups.var(2, unbiased=False)


@statistics_task.known_mistake(
    "the mean of the channels' variances",
    "Your variance of a group is the average of its channels' variances. That leaves out how far "
    "the channels' means lie apart, which is part of the spread of the group.",
    hint="Subtract the mean of the group, not of each channel, before you square.",
)
def mean_of_variances(x, num_groups):
    mean, _ = group_statistics(x, num_groups)
    _, var = group_statistics(x, x.shape[1])
    return mean, var.reshape(x.shape[0], num_groups, -1).mean(-1)


@statistics_task.known_mistake(
    "the unbiased variance",
    "Your variance divides by one less than the number of values, as `torch.var` does unless you "
    "tell it otherwise.",
    hint="Look for `unbiased` or `correction` in the documentation of `torch.var`.",
)
def unbiased_statistics(x, num_groups):
    groups = x.reshape(x.shape[0], num_groups, -1)
    return groups.mean(-1), groups.var(-1)


@statistics_task.known_mistake(
    "the standard deviation in the place of the variance",
    "What you return as `var` is its square root.",
    hint="The variance is the mean of the squared deviations, with no root.",
)
def deviation_for_variance(x, num_groups):
    mean, var = group_statistics(x, num_groups)
    return mean, var.sqrt()


@statistics_task.known_mistake(
    "the mean square in the place of the variance",
    "What you return as `var` is the mean of the squares of x. The mean has to be subtracted "
    "first.",
    hint="`(groups - mean).square()`, with `keepdim=True` in the mean.",
)
def mean_square(x, num_groups):
    groups = x.reshape(x.shape[0], num_groups, -1)
    return groups.mean(-1), groups.square().mean(-1)


@statistics_task.known_mistake(
    "sums in the place of means",
    "You add up the values, or the squares, and do not divide by how many there are.",
    hint="`mean` in the place of `sum`, both times.",
)
def sums_of_groups(x, num_groups):
    groups = x.reshape(x.shape[0], num_groups, -1)
    mean = groups.mean(-1, keepdim=True)
    return groups.sum(-1), (groups - mean).square().sum(-1)


@statistics_task.known_mistake(
    "the variance first, and then the mean",
    "Your two results are in the wrong order. `torch.var_mean` gives the variance first.",
    hint="`return mean, var`",
)
def variance_first(x, num_groups):
    return group_statistics(x, num_groups)[::-1]


@statistics_task.known_mistake(
    "the variance as E[x^2] - E[x]^2",
    "Your variance is the difference of two squares. With an offset of 10,000 both are near "
    "100,000,000, and float32 keeps seven digits of them.",
    hint="Subtract the mean first, and average the squares of what is left.",
)
def difference_of_squares(x, num_groups):
    groups = x.reshape(x.shape[0], num_groups, -1)
    mean = groups.mean(-1)
    return mean, groups.square().mean(-1) - mean.square()


@statistics_task.known_mistake(
    "a dim of length 1 left over",
    "Your results have a last dim of length 1, which `keepdim=True` leaves behind.",
    hint="The result has shape (N, num_groups): leave `keepdim` out of what you return, or use "
    "`squeeze(-1)`.",
)
def dim_left_over(x, num_groups):
    mean, var = group_statistics(x, num_groups)
    return mean[..., None], var[..., None]


@statistics_task.known_mistake(
    "groups first, samples second",
    "Your results have shape (num_groups, N).",
    hint="The result has shape (N, num_groups), as x has N in front. `.T` turns one into the "
    "other.",
)
def groups_first(x, num_groups):
    mean, var = group_statistics(x, num_groups)
    return mean.T, var.T


@statistics_task.known_mistake(
    "samples and groups in one dim",
    "Your results have one dim, of length N times num_groups. The values are right, and in the "
    "right order.",
    hint="`x.reshape(N, num_groups, -1)` keeps the two apart from the start.",
)
def in_one_dim(x, num_groups):
    mean, var = group_statistics(x, num_groups)
    return mean.flatten(), var.flatten()


@statistics_task.known_mistake(
    "only four dims handled",
    "Your code needs an x of (N, C, H, W). It should take (N, C) and (N, C, L) too.",
    hint="`N, C = x.shape[:2]` works for any number of dims, and so does `reshape(N, G, -1)`.",
)
def four_dims_only(x, num_groups):
    N, C, H, W = x.shape
    groups = x.reshape(N, num_groups, C // num_groups * H * W)
    return groups.mean(-1), groups.var(-1, unbiased=False)


@statistics_task.known_mistake(
    "channels expected in the last dim",
    "You cut the last dim into groups. In PyTorch the channels are dim 1.",
    hint="Which dim of (N, C, H, W) has the length C?",
)
def channels_expected_last(x, num_groups):
    return group_statistics(x.movedim(-1, 1), num_groups)


@statistics_task.known_mistake(
    "view on a tensor that is not contiguous",
    "`view` only works where the memory is in order, which it is not for an x whose dims were "
    "moved.",
    hint="Use `reshape`, which copies where it has to.",
)
def viewed(x, num_groups):
    groups = x.view(x.shape[0], num_groups, -1)
    return groups.mean(-1), groups.var(-1, unbiased=False)


@statistics_task.known_mistake(
    "writing into x",
    "Your code changes the caller's tensor.",
    hint="`x -= mean` writes into x; `x - mean` makes a new tensor.",
)
def written_into(x, num_groups):
    mean, var = group_statistics(x, num_groups)
    x -= x.mean()
    return mean, var


@statistics_task.combination
def dealt_out_and_unbiased(x, num_groups):
    groups = x.reshape(x.shape[0], x.shape[1] // num_groups, num_groups, -1)
    return groups.mean((1, 3)), groups.var((1, 3))


@statistics_task.combination
def unbiased_and_viewed(x, num_groups):
    groups = x.view(x.shape[0], num_groups, -1)
    return groups.mean(-1), groups.var(-1)


@statistics_task.combination
def deviation_first(x, num_groups):
    mean, var = group_statistics(x, num_groups)
    return var.sqrt(), mean


@statistics_task.right_solution
def one_group_at_a_time(x, num_groups):
    parts = [part.flatten(1) for part in x.chunk(num_groups, dim=1)]
    means = [part.sum(1) / part.shape[1] for part in parts]
    deviations = [part - mean[:, None] for part, mean in zip(parts, means, strict=True)]
    return torch.stack(means, 1), torch.stack([(d * d).mean(1) for d in deviations], 1)


@statistics_task.right_solution
def var_mean_of_unflattened(x, num_groups):
    groups = x.unflatten(1, (num_groups, -1))
    var, mean = torch.var_mean(groups, tuple(range(2, groups.dim())), correction=0)
    return [mean, var]


@statistics_task.right_solution
def through_the_channels(x, num_groups):
    """The variance within the channels, and between their means, which add up."""
    places = x.reshape(x.shape[0], x.shape[1], -1)
    var, mean = torch.var_mean(places, -1, unbiased=False)
    var, mean = (one.unflatten(1, (num_groups, -1)) for one in (var, mean))
    return mean.mean(-1), var.mean(-1) + mean.var(-1, unbiased=False)


@statistics_task.right_solution
def with_einsum(x, num_groups):
    groups = x.double().reshape(len(x), num_groups, -1)
    count = groups.shape[-1]
    mean = torch.einsum("ngk->ng", groups) / count
    centred = groups - mean.unsqueeze(-1)
    return mean.to(x.dtype), (torch.einsum("ngk,ngk->ng", centred, centred) / count).to(x.dtype)


# ---------------------------------------------------------------------------------------------
# Task 2: the module
# ---------------------------------------------------------------------------------------------


@group_norm_task.cases
def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Parameters keep their starting values where the statistics are the point."""
    channels, num_groups = channels_and_groups(rng)
    height, width = (int(n) for n in rng.permutation([2, 3]))

    def inputs(num_groups, *shape, affine=False, **more):
        drawn = {name: more.pop(name) for name in ("spread", "offset") if name in more}
        x = draw_groups(rng, shape[0], shape[1], num_groups, *shape[2:], **drawn)
        scale_and_shift = {"scale": draw_scale(rng, shape[1]), "shift": rng.normal(size=shape[1])}
        dtype = np.float64 if more.get("dtype") == "float64" else np.float32
        return {
            "x": np.asarray(x, dtype),
            "num_groups": num_groups,
            **(scale_and_shift if affine else {}),
            **more,
        }

    yield Case(
        "each group of channels of each sample is normalised, by your own code",
        points=1.25,
        inputs=inputs(num_groups, 4, channels, height, width, eps=1e-5),
        tolerance=FLOAT32,
        judged=("output", "built-in norm called"),
        hint="Cut x into its groups, subtract the mean of each, divide by the root of its variance "
        "plus eps, and give the result the shape of x again.",
    )
    yield Case(
        "each channel has its own scale and shift",
        points=0.5,
        inputs=inputs(num_groups, 2, channels, height, width, affine=True, eps=1e-5),
        tolerance=FLOAT32,
        hint="A weight of shape (C,) lines up with the last dim of x. To line it up with dim 1 it "
        "needs a dim of length 1 for each dim behind the channels.",
    )
    yield Case(
        "the scale and shift follow dim 1 where H and W are as long as C",
        points=0.25,
        inputs=inputs(2, 2, 4, 4, 4, affine=True, eps=1e-5),
        tolerance=FLOAT32,
        hint="Where C = H = W a weight of any orientation fits, and only one is right: "
        "`weight.reshape(C, 1, 1)` for an x of four dims.",
    )
    yield Case(
        "(N, C)",
        points=0.25,
        inputs=inputs(num_groups, 3, channels, affine=True, eps=1e-5),
        tolerance=FLOAT32,
        hint="Here the weight needs no further dims. How many it needs follows from `x.dim()`.",
    )
    yield Case(
        "(N, C, L)",
        points=0.25,
        inputs=inputs(num_groups, 3, channels, 2, affine=True, eps=1e-5),
        tolerance=FLOAT32,
        hint="Let the shape of x decide how many dims there are behind the channels.",
    )
    yield Case(
        "one group: all channels of a sample share their statistics",
        points=0.25,
        inputs=inputs(1, 2, channels, 3, eps=1e-5),
        tolerance=FLOAT32,
        hint="With num_groups = 1 each sample has one mean and one variance.",
    )
    yield Case(
        "as many groups as channels: each channel by itself",
        points=0.25,
        inputs=inputs(channels, 2, channels, 3, eps=1e-5),
        tolerance=FLOAT32,
        hint="With num_groups = C each channel of each sample has a mean of its own.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.5,
        inputs=inputs(2, 2, 4, 3, spread=(0.4, 0.8), offset=0.3, eps=float(rng.uniform(0.1, 0.5))),
        tolerance=FLOAT32,
        hint="Keep the argument `eps` in `__init__`, add it to the variance, and take the square "
        "root of the sum.",
    )
    tiny = inputs(2, 2, 4, 3, spread=(1.5e-3, 2.5e-3), offset=5e-4)
    tiny["x"][int(rng.integers(2)), :2] = 0.5  # one group is constant
    yield Case(
        "groups of tiny variance, and one that is constant, with eps left at its default of 1e-5",
        points=0.25,
        inputs=tiny,
        tolerance=FLOAT32,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5. It "
        "is also what keeps a constant group from becoming 0 / 0.",
    )
    yield Case(
        "an offset of 10,000 in float32 does not swamp the variance",
        points=0.25,
        inputs=_shifted(inputs(2, 3, 4, 3, spread=(1.8, 2.2), eps=1e-5), 1e4),
        tolerance=OFFSET_FLOAT32,
        by_values=False,
        hint="Subtract the mean before you square. A difference of two large squares keeps no "
        "digits.",
    )
    # Two groups of six values in each of two samples. The variance is above 130,000.
    loud = rng.permuted(np.tile([-350.0, -220.0, -50.0, 310.0, 470.0, 640.0], (4, 1)), axis=1)
    yield Case(
        "float16: squares beyond its largest number, 65,504, do no harm",
        points=0.25,
        inputs={
            "x": np.asarray(loud.reshape(2, 4, 3), np.float32),
            "num_groups": 2,
            "dtype": "float16",
        },
        tolerance=FLOAT16,
        by_values=False,
        hint="A variance of 130,000 is infinite in float16. Compute the statistics of half "
        "precision input in float32.",
    )
    # On bfloat16's grid of even numbers, with means half-way between two of them.
    steps = rng.permuted(np.tile([-3.0, -2.0, -1.0, 1.0, 2.0, 6.0], (4, 1)), axis=1)
    apart = 4 * rng.permutation(4)[:, None]
    near_300 = 300 + 2 * int(rng.integers(30)) + 2 * (apart + steps)
    yield Case(
        "bfloat16: the mean keeps its digits for values near 300",
        points=0.25,
        inputs={
            "x": np.asarray(near_300.reshape(2, 4, 3), np.float32),
            "num_groups": 2,
            "dtype": "bfloat16",
        },
        tolerance=BFLOAT16_OFFSET,
        by_values=False,
        hint="Near 300 bfloat16 has only even numbers. Subtract the mean in float32, before "
        "anything is rounded.",
    )
    yield Case(
        "the output has the dtype of the input and the module",
        points=0.25,
        inputs=inputs(2, 2, 4, 2, affine=True, look_at="dtypes"),
        tolerance=FLOAT32,
        judged=tuple(
            f"dtype for {name} input" for name in ("float16", "bfloat16", "float32", "float64")
        ),
        hint="Whatever you compute in, the last step gives the result the dtype of x again.",
    )
    yield Case(
        "float64 in, all the digits of float64 out",
        points=0.25,
        inputs=inputs(2, 2, 4, 3, dtype="float64", eps=1e-5),
        tolerance=FLOAT64,
        by_values=False,
        hint="Only half precision needs another dtype inside. `x.float()` cuts float64 down to "
        "seven digits.",
    )
    yield Case(
        "two learnable parameters, one number a channel: a scale of ones, a shift of zeros",
        points=0.25,
        inputs=inputs(num_groups, 2, channels, look_at="parameters"),
        tolerance=FLOAT32,
        judged=("learnable parameters",),
        hint="Print `list(GroupNorm(2, 6).parameters())`. There should be two entries, both of "
        "shape (6,).",
    )
    yield Case(
        "gradients reach x and both parameters, and are right",
        points=0.5,
        inputs=inputs(
            num_groups,
            2,
            channels,
            2,
            affine=True,
            dtype="float64",
            eps=0.1,
            look_at="gradients",
            upstream=rng.normal(size=(2, channels, 2)),
        ),
        tolerance=FLOAT32,
        judged=(
            "gradient reaches x",
            "gradient reaches the scale",
            "gradient reaches the shift",
            "dx",
            "dscale",
            "dshift",
        ),
        hint="Autograd follows tensor operations. `.data`, `.detach()`, `.numpy()`, `.item()` and "
        "`torch.no_grad()` hide a step from it.",
    )
    yield Case(
        "a state_dict moves from nn.GroupNorm to your module and back",
        points=0.25,
        inputs=inputs(num_groups, 2, channels, affine=True, look_at="state_dict"),
        tolerance=FLOAT32,
        judged=(
            "names missing from your state_dict",
            "other names in your state_dict",
            "output",
            "nn.GroupNorm takes it back",
        ),
        about_names=True,
        hint="A `state_dict` goes by the names of attributes. `nn.GroupNorm` has `weight` and "
        "`bias`, and nothing else.",
    )
    refused = int(rng.choice([4, 5]))  # divides neither 6 nor the 7 below
    yield Case(
        "a num_groups that does not divide num_channels is refused with a ValueError",
        points=0.25,
        inputs={
            "x": np.zeros((1, int(rng.choice([6, 7]))), np.float32),
            "num_groups": refused,
            "look_at": "refusal",
        },
        tolerance=FLOAT32,
        judged=("error when built", "its message gives both numbers"),
        hint='In `__init__`, before anything else: `if ...: raise ValueError(f"...")`, with '
        "num_groups and num_channels in the message.",
    )
    yield Case(
        "evaluation mode normalises x by its own statistics",
        points=0.25,
        inputs=inputs(
            2,
            1,
            4,
            3,
            look_at="evaluation",
            earlier=np.asarray(draw_groups(rng, 2, 4, 2, 3, offset=3.0), np.float32),
        ),
        tolerance=FLOAT32,
        hint="Group norm remembers nothing from one call to the next.",
    )
    yield Case(
        "x is left as it was",
        points=0.25,
        inputs=inputs(2, 2, 4, 3, eps=1e-5),
        tolerance=FLOAT32,
        judged=("output", "x is unchanged"),
        hint="`x -= mean` writes into the caller's tensor; `x - mean` makes a new one.",
    )
    yield Case(
        "x may lie in memory in another order",
        points=0.25,
        inputs=inputs(2, 2, 4, 3, 2, eps=1e-5, channels_last=True),
        tolerance=FLOAT32,
        hint="`view` asks for memory in order; `reshape` copies where it has to.",
    )


# Which values share a mean


@group_norm_task.known_mistake(
    "every G-th channel in a group",
    "You put channel c into group c % G, so that a group takes every G-th channel. Neighbours "
    "belong together: channel c is in group c // (C // G).",
    hint="The order in `reshape` decides. `reshape(N, G, C // G, ...)` keeps neighbours "
    "together; `reshape(N, C // G, G, ...)` deals channels out like cards.",
)
class DealtOut(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], x.shape[1] // self.num_groups, self.num_groups, -1)
        mean = groups.mean((1, 3), keepdim=True)
        var = groups.var((1, 3), unbiased=False, keepdim=True)
        x_hat = (groups - mean) / torch.sqrt(var + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "statistics of neighbours, given to every G-th channel",
    "Your statistics are right, but they reach the wrong channels: `repeat` puts them in the "
    "order 0, 1, 0, 1, and the channels need 0, 0, 1, 1.",
    hint="`repeat_interleave` repeats each entry before it goes on to the next. Or normalise in "
    "the shape (N, G, ...), where nothing has to be repeated.",
)
class RepeatedInTurn(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        size = x.shape[1] // self.num_groups
        mean, var = (
            one.repeat(1, size)[..., None] for one in group_statistics(wide, self.num_groups)
        )
        x_hat = (wide.reshape(*x.shape[:2], -1) - mean) / torch.sqrt(var + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "num_groups taken for the size of a group",
    "Your groups have `num_groups` channels each. There should be `num_groups` groups, of C // "
    "num_groups channels each.",
    hint="The statistics have shape (N, num_groups). Compare with yours.",
)
class SizeForNumber(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean, var = group_statistics(wide, x.shape[1] // self.num_groups)
        x_hat = wide.reshape(*mean.shape, -1) - mean[..., None]
        x_hat = x_hat / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "each channel by itself",
    "You normalise each channel by itself, as instance norm does: `num_groups` plays no part.",
    hint="The channels of a group share one mean: cut dim 1 into (num_groups, C // num_groups), "
    "and average over the second part too.",
)
class ChannelByChannel(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean, var = group_statistics(wide, x.shape[1])
        x_hat = wide.reshape(*mean.shape, -1) - mean[..., None]
        x_hat = x_hat / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "all channels together",
    "You normalise all channels of a sample together, as layer norm does: `num_groups` plays no "
    "part.",
    hint="Cut dim 1 into (num_groups, C // num_groups), and leave the first part out of the mean.",
)
class AllChannels(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean, var = group_statistics(wide, 1)
        x_hat = wide.reshape(*mean.shape, -1) - mean[..., None]
        x_hat = x_hat / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "the batch averaged over as well",
    "You have one mean for each group, for all samples together. In group norm no sample has "
    "any part in another's statistics.",
    hint="The statistics have shape (N, num_groups): dim 0 stays out of the mean.",
)
class OverTheBatch(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean = groups.mean((0, 2), keepdim=True)
        var = groups.var((0, 2), unbiased=False, keepdim=True)
        x_hat = (groups - mean) / torch.sqrt(var + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "groups of samples: a reshape that forgets the batch",
    "You reshape x to (num_groups, -1). Memory runs through the samples first, so your groups "
    "are made of samples, not of channels.",
    hint="Keep N in front: `x.reshape(N, num_groups, -1)`.",
)
class BatchForgotten(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(self.num_groups, -1)
        mean = groups.mean(-1, keepdim=True)
        var = groups.var(-1, unbiased=False, keepdim=True)
        x_hat = (groups - mean) / torch.sqrt(var + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "each place by itself",
    "You average over the channels of a group, and keep the places apart. All places of an "
    "image share the statistics of their group.",
    hint="Flatten everything behind the groups: `x.reshape(N, num_groups, -1)`, and average "
    "over the last dim.",
)
class PlaceByPlace(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1, *x.shape[2:])
        mean = groups.mean(2, keepdim=True)
        var = groups.var(2, unbiased=False, keepdim=True)
        x_hat = (groups - mean) / torch.sqrt(var + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "the mean of the channels' variances",
    "Your variance of a group is the average of its channels' variances. That leaves out how "
    "far the channels' means lie apart, which is part of the spread of the group.",
    hint="Subtract the mean of the group, not of each channel, before you square.",
)
class MeanOfVariances(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        var = group_statistics(wide, x.shape[1])[1].reshape(*var.shape, -1).mean(-1)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "channels expected in the last dim",
    "You cut the last dim into groups. In PyTorch the channels are dim 1.",
    hint="Which dim of (N, C, H, W) has the length C?",
)
class ChannelsExpectedLast(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        moved = wide.movedim(-1, 1)
        mean, var = group_statistics(moved, self.num_groups)
        x_hat = moved.reshape(*mean.shape, -1) - mean[..., None]
        x_hat = x_hat / torch.sqrt(var[..., None] + self.eps)
        x_hat = x_hat.reshape(moved.shape).movedim(1, -1)
        return (x_hat * self.weight + self.bias).to(x.dtype)


# The variance and eps


@group_norm_task.known_mistake(
    "the unbiased variance",
    "Your variance divides by one less than the number of values, as `torch.var` does unless "
    "you tell it otherwise.",
    hint="Look for `unbiased` or `correction` in the documentation of `torch.var`.",
)
class UnbiasedGroups(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = groups.mean(-1, keepdim=True), groups.var(-1, keepdim=True)
        x_hat = (groups - mean) / torch.sqrt(var + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "dividing by the variance, not by its square root",
    "You divide by var + eps. Its square root is missing.",
    hint="`torch.sqrt(var + eps)`",
)
class RootForgotten(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / (var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "eps outside the square root",
    "You add `eps` to the standard deviation. The formula adds it to the variance, under the root.",
    hint="`torch.sqrt(var + eps)`, not `torch.sqrt(var) + eps`.",
)
class EpsOutsideTheRoot(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / (var[..., None].sqrt() + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "no eps",
    "`eps` is not used: a constant group becomes 0 / 0, and groups of small variance come out "
    "too large.",
    hint="Add `eps` to the variance, before the root is taken.",
)
class EpsForgotten(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / var[..., None].sqrt()
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "an eps of your own instead of the argument",
    "Your code uses 1e-5 whatever `eps` it is given.",
    hint="Keep the argument: `self.eps = eps`.",
)
class EpsOfItsOwn(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__(num_groups, num_channels, 1e-5)


@group_norm_task.known_mistake(
    "another default for eps (1e-6)",
    "With `eps` left out, your module uses 1e-6. The default is 1e-5.",
    hint="Look at the signature of `__init__`.",
)
class OtherDefaultEps(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-6):
        super().__init__(num_groups, num_channels, eps)


@group_norm_task.known_mistake(
    "the variance as E[x^2] - E[x]^2",
    "Your variance is the difference of two squares. With an offset of 10,000 both are near "
    "100,000,000, and float32 keeps seven digits of them.",
    hint="Subtract the mean first, and average the squares of what is left.",
)
class SquaresSubtracted(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        var = groups.square().mean(-1) - mean.square()
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


# Scale and shift


@group_norm_task.known_mistake(
    "the result left in groups",
    "You return the result in the shape (N, num_groups, ...). It should have the shape of x again.",
    hint="`x_hat.reshape(x.shape)`, before the scale and the shift.",
)
class LeftInGroups(GroupNorm):
    def forward(self, x):
        return super().forward(x).reshape(x.shape[0], self.num_groups, -1)


@group_norm_task.known_mistake(
    "the scale and shift along the last dim",
    "You multiply by a weight of shape (C,) as it is. PyTorch lines it up with the last dim of "
    "x, not with the channels.",
    hint="`weight.reshape(C, 1, 1)` lines up with dim 1 of (N, C, H, W).",
)
class AlongTheLastDim(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        return (x_hat.reshape(x.shape) * self.weight + self.bias).to(x.dtype)


@group_norm_task.known_mistake(
    "the scale and shift along H",
    "Your weight has one dim of length 1 behind it where (N, C, H, W) has two, so it lines up "
    "with H.",
    hint="The weight needs a dim of length 1 for each dim of x behind the channels: `x.dim() - "
    "2` of them.",
)
class AlongTheHeight(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        return (x_hat.reshape(x.shape) * self.weight[:, None] + self.bias[:, None]).to(x.dtype)


@group_norm_task.known_mistake(
    "a scale and shift that fit four dims only",
    "Your weight has two dims of length 1 behind it whatever x is, which is right for (N, C, H, "
    "W) alone.",
    hint="The weight needs a dim of length 1 for each dim of x behind the channels: `x.dim() - "
    "2` of them.",
)
class AffineForFourDims(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        scale, shift = self.weight[:, None, None], self.bias[:, None, None]
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "the channels found by their length",
    "You look for the dim of x that has length C. Where H and W have that length too, you find "
    "three.",
    hint="The channels are dim 1, whatever the lengths are: C in front, then `x.dim() - 2` ones.",
)
class FoundByLength(GroupNorm):
    def forward(self, x):
        shape = [n if n == len(self.weight) else 1 for n in x.shape]
        per_channel = (-1, *[1] * (x.dim() - 2))
        x_hat = super().forward(x) - self.bias.reshape(per_channel)
        return x_hat + self.bias.reshape(shape)


@group_norm_task.known_mistake(
    "a scale and shift for each group",
    "You have one scale and one shift for each group. Only the statistics are shared in a "
    "group: each of its channels has a scale and a shift of its own.",
    hint="Both parameters have shape (num_channels,).",
)
class AffineForGroups(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__(num_groups, num_channels, eps)
        self.weight = nn.Parameter(torch.ones(num_groups))
        self.bias = nn.Parameter(torch.zeros(num_groups))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        x_hat = x_hat * self.weight[:, None] + self.bias[:, None]
        return x_hat.reshape(x.shape).to(x.dtype)


@group_norm_task.known_mistake(
    "parameters of four dims",
    "Your parameters have shape (1, C, 1, 1). They line up with (N, C, H, W) and with nothing "
    "else, and no `state_dict` of `nn.GroupNorm` fits them.",
    hint="Make them of shape (C,), and reshape them in `forward`, where the number of dims is "
    "known.",
)
class ParametersOfFourDims(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__(num_groups, num_channels, eps)
        self.weight = nn.Parameter(torch.ones(1, num_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, num_channels, 1, 1))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        return (x_hat.reshape(x.shape) * self.weight + self.bias).to(x.dtype)


@group_norm_task.known_mistake(
    "one number for the scale and one for the shift",
    "Your scale and shift are single numbers. Each channel has its own.",
    hint="Both parameters have shape (num_channels,).",
)
class OneNumberForAll(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__(num_groups, num_channels, eps)
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        return (x_hat.reshape(x.shape) * self.weight + self.bias).to(x.dtype)


@group_norm_task.known_mistake(
    "no scale and no shift",
    "Your module normalises and stops there: it has no learnable parameters.",
    hint="Each channel has a scale and a shift: two `nn.Parameter`s of shape (num_channels,).",
)
class NoParametersAtAll(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__(num_groups, num_channels, eps)
        del self.weight, self.bias

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        return x_hat.reshape(x.shape).to(x.dtype)


@group_norm_task.known_mistake(
    "plain tensors for parameters",
    "Your scale and shift are plain tensors, which no optimizer sees, no `state_dict` saves and "
    "no `.to()` moves.",
    hint="Wrap each in `nn.Parameter(...)`.",
)
class PlainTensors(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__(num_groups, num_channels, eps)
        del self.weight, self.bias
        self.weight, self.bias = torch.ones(num_channels), torch.zeros(num_channels)


@group_norm_task.known_mistake(
    "the shift a plain tensor",
    "Your scale is an `nn.Parameter` and your shift is not, so it is never learned, saved or "
    "moved.",
    hint="`self.bias = nn.Parameter(torch.zeros(num_channels))`",
)
class ShiftPlain(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__(num_groups, num_channels, eps)
        del self.bias
        self.bias = torch.zeros(num_channels)


@group_norm_task.known_mistake(
    "the shift is never added",
    "Your module has a shift, and `forward` does not add it.",
    hint="normalized times the scale, plus the shift",
)
class ShiftUnused(GroupNorm):
    def forward(self, x):
        per_channel = (-1, *[1] * (x.dim() - 2))
        return super().forward(x) - self.bias.reshape(per_channel)


@group_norm_task.known_mistake(
    "other parameter names",
    "Your parameters are right, and called otherwise than PyTorch's. A `state_dict` goes by names.",
    hint="Call them `weight` and `bias`.",
)
class GammaAndBeta(nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"{num_groups} does not divide {num_channels}")
        self.num_groups, self.eps = num_groups, eps
        self.gamma = nn.Parameter(torch.ones(num_channels))
        self.beta = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.gamma.reshape(per_channel), self.beta.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


# Shapes that are refused, or should be


@group_norm_task.known_mistake(
    "only four dims handled",
    "Your code needs an x of (N, C, H, W). It should take (N, C) and (N, C, L) too.",
    hint="`N, C = x.shape[:2]` works for any number of dims, and so does `reshape(N, G, -1)`.",
)
class FourDimsOnly(GroupNorm):
    def forward(self, x):
        N, C, H, W = x.shape
        return super().forward(x.reshape(N, C, H, W))


@group_norm_task.known_mistake(
    "a num_groups that does not divide is accepted",
    "A module with a `num_groups` that does not divide `num_channels` can be built. It fails "
    "later, in `forward`, far from the cause; or, for some sizes of images, it does not fail "
    "and mixes channels.",
    hint="In `__init__`: `if num_channels % num_groups != 0: raise ValueError(...)`.",
)
class NotRefused(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        nn.Module.__init__(self)
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))


@group_norm_task.known_mistake(
    "an assert in the place of a ValueError",
    "You refuse with `assert`. That raises an AssertionError, and `python -O` leaves it out. "
    "For a wrong argument Python has ValueError.",
    hint="`if num_channels % num_groups != 0: raise ValueError(...)`",
)
class Asserted(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        nn.Module.__init__(self)
        assert num_channels % num_groups == 0, f"{num_groups} does not divide {num_channels}"
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))


@group_norm_task.known_mistake(
    "a message without the numbers",
    "Your ValueError does not say which numbers do not fit. Whoever reads it has built twenty "
    "such layers.",
    hint="An f-string with `{num_groups}` and `{num_channels}` in it.",
)
class NumbersUnsaid(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        nn.Module.__init__(self)
        if num_channels % num_groups != 0:
            raise ValueError("num_channels must be divisible by num_groups")
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))


@group_norm_task.known_mistake(
    "view on a tensor that is not contiguous",
    "`view` only works where the memory is in order, which it is not for an x whose dims were "
    "moved.",
    hint="Use `reshape`, which copies where it has to.",
)
class Viewed(GroupNorm):
    def forward(self, x):
        x.view(x.shape[0], self.num_groups, -1)
        return super().forward(x)


# Precision


@group_norm_task.known_mistake(
    "statistics in half precision",
    "You compute in the dtype of x. A variance of 130,000 is infinite in float16, and near 300 "
    "bfloat16 rounds the mean to an even number.",
    hint="`wide = x.float()` for float16 and bfloat16, and `.to(x.dtype)` at the end.",
)
class HalfThroughout(GroupNorm):
    def forward(self, x):
        wide = x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "float32 inside for float16, but not for bfloat16",
    "You leave bfloat16 for float16's sake only. bfloat16 does not overflow so soon, but near "
    "300 it rounds the mean to an even number.",
    hint="`x.dtype in (torch.float16, torch.bfloat16)`",
)
class BFloat16Forgotten(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype == torch.float16 else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "half precision in, float32 out",
    "You go to float32 for half precision input, and do not come back: the next layer has "
    "weights in half precision, and refuses your output.",
    hint="`.to(x.dtype)` at the end.",
)
class NoWayBack(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return super().forward(wide)


@group_norm_task.known_mistake(
    "float32 inside for float64 too",
    "You compute in float32 whatever x is. float64 input loses half of its digits.",
    hint="Only for float16 and bfloat16: `x.float() if x.dtype in (...) else x`.",
)
class Float32ForAll(GroupNorm):
    def forward(self, x):
        return super().forward(x.float()).to(x.dtype)


# Autograd, memory, and PyTorch's own


@group_norm_task.known_mistake(
    "the mean and the variance detached",
    "You hide the mean and the variance from autograd. The output is right; the gradient of x "
    "misses two of its three terms.",
    hint="No `.detach()`, `.data`, `.item()` and no `torch.no_grad()` in `forward`.",
)
class StatisticsDetached(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        mean, var = mean.detach(), var.detach()
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "the scale detached",
    "You hide the scale from autograd, so it is never learned, and stays at ones.",
    hint="`self.weight`, without `.data` or `.detach()`.",
)
class ScaleDetached(GroupNorm):
    def forward(self, x):
        per_channel = (-1, *[1] * (x.dim() - 2))
        plain = super().forward(x) - self.bias.reshape(per_channel)
        scale = self.weight.reshape(per_channel)
        return plain / scale * scale.detach() + self.bias.reshape(per_channel)


@group_norm_task.known_mistake(
    "writing into x",
    "Your code changes the caller's tensor.",
    hint="`x -= mean` writes into x; `x - mean` makes a new tensor.",
)
class WrittenInto(GroupNorm):
    def forward(self, x):
        output = super().forward(x)
        with torch.no_grad():
            x -= x.mean()
        return output


@group_norm_task.known_mistake(
    "running averages in evaluation mode",
    "In evaluation mode you normalise by averages remembered from training, as batch norm does. "
    "Group norm has no need to: each sample brings its own statistics.",
    hint="Nothing in `forward` depends on `self.training`, and nothing is kept from call to call.",
)
class RunningAverages(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean, var = group_statistics(wide, self.num_groups)
        if self.training:
            self.running = mean.mean(0, keepdim=True), var.mean(0, keepdim=True)
        elif hasattr(self, "running"):
            mean, var = self.running
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.known_mistake(
    "PyTorch's own norm does the work",
    "Your module calls one of PyTorch's own normalisations. Here you write it out.",
    hint="`torch.mean`, `torch.var` and all other tensor operations may be used.",
)
class BorrowedFunction(GroupNorm):
    def forward(self, x):
        return nn.functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


@group_norm_task.known_mistake(
    "an nn.GroupNorm inside",
    "Your module has an `nn.GroupNorm` in it, which does the work, and its parameters sit one "
    "level too deep. Here you write it out.",
    hint="`torch.mean`, `torch.var` and all other tensor operations may be used.",
)
class BorrowedModule(nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"{num_groups} does not divide {num_channels}")
        self.norm = nn.GroupNorm(num_groups, num_channels, eps)

    def forward(self, x):
        return self.norm(x)


@group_norm_task.combination
class DealtOutAndUnbiased(GroupNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], x.shape[1] // self.num_groups, self.num_groups, -1)
        mean, var = groups.mean((1, 3), keepdim=True), groups.var((1, 3), keepdim=True)
        x_hat = (groups - mean) / torch.sqrt(var + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.combination
class EpsOutsideInHalf(GroupNorm):
    def forward(self, x):
        wide = x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        x_hat = (groups - mean[..., None]) / (var[..., None].sqrt() + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.combination
class SizeForNumberNotRefused(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        nn.Module.__init__(self)
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean, var = group_statistics(wide, x.shape[1] // self.num_groups)
        x_hat = wide.reshape(*mean.shape, -1) - mean[..., None]
        x_hat = x_hat / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.combination
class OtherDefaultAndDetached(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-6):
        super().__init__(num_groups, num_channels, eps)

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        groups = wide.reshape(x.shape[0], self.num_groups, -1)
        mean, var = group_statistics(wide, self.num_groups)
        mean, var = mean.detach(), var.detach()
        x_hat = (groups - mean[..., None]) / torch.sqrt(var[..., None] + self.eps)
        per_channel = (-1, *[1] * (x.dim() - 2))
        scale, shift = self.weight.reshape(per_channel), self.bias.reshape(per_channel)
        return (x_hat.reshape(x.shape) * scale + shift).to(x.dtype)


@group_norm_task.combination
class FourDimsOnlyNotRefused(GroupNorm):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        nn.Module.__init__(self)
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        N, C, H, W = x.shape
        return super().forward(x.reshape(N, C, H, W))


@group_norm_task.combination
class ViewedAndLeftInFloat32(GroupNorm):
    def forward(self, x):
        x.view(x.shape[0], self.num_groups, -1)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return super().forward(wide)


@group_norm_task.right_solution
class UnflattenAndVarMean(nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels={num_channels}, num_groups={num_groups}: no divisor")
        self.groups, self.epsilon = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        half = x.dtype in (torch.float16, torch.bfloat16)
        h = (x.float() if half else x).unflatten(1, (self.groups, -1))
        var, mean = torch.var_mean(h, tuple(range(2, h.ndim)), correction=0, keepdim=True)
        h = ((h - mean) * torch.rsqrt(var + self.epsilon)).flatten(1, 2)
        # Scaled and shifted in half precision, as some libraries do.
        h = h.to(x.dtype).movedim(1, -1) * self.weight + self.bias
        return h.movedim(-1, 1)


@group_norm_task.right_solution
class GroupByGroup(nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels={num_channels}, num_groups={num_groups}: no divisor")
        self.G, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        dims = tuple(range(1, x.dim()))
        parts = []
        for part in torch.chunk(wide, self.G, dim=1):
            part = part - part.mean(dims, keepdim=True)
            parts.append(part / (part.pow(2).mean(dims, keepdim=True) + self.eps) ** 0.5)
        shape = [1, -1] + [1] * (x.dim() - 2)
        return torch.cat(parts, dim=1).mul(self.weight.view(shape)).add(self.bias.view(shape)).to(x)


@group_norm_task.right_solution
class Einsum(nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels={num_channels}, num_groups={num_groups}: no divisor")
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        wide = torch.promote_types(x.dtype, torch.float32)
        h = x.to(wide).reshape(len(x), self.num_groups, len(self.weight) // self.num_groups, -1)
        count = h.shape[2] * h.shape[3]
        h = h - torch.einsum("ngcp->ng", h)[:, :, None, None] / count
        rstd = (torch.einsum("ngcp,ngcp->ng", h, h) / count + self.eps).rsqrt()
        scale = self.weight.to(wide).reshape(self.num_groups, -1)
        shift = self.bias.to(wide).reshape(self.num_groups, -1, 1)
        h = torch.einsum("ngcp,ng,gc->ngcp", h, rstd, scale) + shift
        return h.reshape(x.shape).to(x.dtype)


@group_norm_task.right_solution
class StatisticsToChannels(nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels={num_channels}, num_groups={num_groups}: no divisor")
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        wide = x.float() if x.element_size() == 2 else x
        size = x.shape[1] // self.num_groups
        mean, var = (
            one.repeat_interleave(size, dim=1) for one in group_statistics(wide, self.num_groups)
        )
        # One multiplication and one addition for each entry.
        slope = self.weight / torch.sqrt(var + self.eps)
        shape = (*x.shape[:2], *[1] * (x.dim() - 2))
        centred = wide - mean.reshape(shape)
        return (centred * slope.reshape(shape) + self.bias.reshape(shape[1:])).to(x.dtype)


@group_norm_task.right_solution
class Float64Inside(nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels={num_channels}, num_groups={num_groups}: no divisor")
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        rows = x.double().reshape(x.shape[0] * self.num_groups, -1)
        rows = rows - rows.mean(1, keepdim=True)
        rows = rows / rows.square().mean(1, keepdim=True).add(self.eps).sqrt()
        channels = rows.reshape(x.shape[0], x.shape[1], -1)
        return (
            torch.addcmul(self.bias.double()[:, None], channels, self.weight.double()[:, None])
            .reshape(x.shape)
            .type_as(x)
        )


@group_norm_task.right_solution
class MembershipMatrix(nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels={num_channels}, num_groups={num_groups}: no divisor")
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x):
        h = x.flatten(2) if x.dim() > 2 else x[..., None]
        h = h.to(torch.promote_types(x.dtype, torch.float32))
        group = torch.arange(h.shape[1]) // (h.shape[1] // self.num_groups)
        together = (group[:, None] == group).to(h) / (group == 0).sum()  # (C, C)
        h = h - (together @ h).mean(-1, keepdim=True)
        h = h / torch.sqrt((together @ h.square()).mean(-1, keepdim=True) + self.eps)
        return (self.weight[:, None] * h + self.bias[:, None]).reshape(x.shape).to(x.dtype)


@group_norm_task.right_solution
class SampleBySample(nn.Module):
    def __init__(self, num_groups, num_channels, eps=1e-5):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels={num_channels}, num_groups={num_groups}: no divisor")
        self.num_groups, self.eps = num_groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def one(self, sample):
        h = sample.float() if sample.dtype in (torch.float16, torch.bfloat16) else sample
        h = h.reshape(self.num_groups, -1)
        h = h - h.mean(1, keepdim=True)
        std = h.norm(dim=1, keepdim=True).square().div(h.shape[1]).add(self.eps).sqrt()
        h = (h / std).reshape(self.weight.shape[0], -1)
        h = self.weight[:, None] * h + self.bias[:, None]
        return h.reshape(sample.shape).to(sample.dtype)

    def forward(self, x):
        return torch.stack([self.one(sample) for sample in x])
