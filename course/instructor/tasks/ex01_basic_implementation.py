"""Exercise 1: layer normalization of the last axis in NumPy."""

from collections.abc import Iterator

import numpy as np

from course.instructor.draws import draw_parameters, draw_rows
from course.instructor.forbidden import NORMS_OF_ANY_LIBRARY
from course.instructor.task import Task
from course.student.answer_key import Case, Tolerance


def oracle(x, gamma, beta, eps=1e-5):
    """The definition with sums, in float64 whatever the inputs are.

    PyTorch's own would be found out by the task's first case. A test holds the two against each
    other.
    """
    x64, gamma64, beta64 = (np.asarray(a, np.float64) for a in (x, gamma, beta))
    centred = x64 - x64.sum(-1, keepdims=True) / gamma64.size
    squares = (centred * centred).sum(-1, keepdims=True)
    return centred / np.sqrt(squares / gamma64.size + eps) * gamma64 + beta64


layer_norm = Task(
    "ex01_layer_norm",
    "Layer normalization",
    defines="layer_norm",
    oracle=oracle,
    forbids=NORMS_OF_ANY_LIBRARY,
)

# A computation in float32 is off by about 1e-6 here: one case asks for more, the others accept it.
FLOAT32 = Tolerance(rtol=1e-5, atol=1e-5)
# The mean of a constant float32 row is off by its last place, 2e-7, times 1/sqrt(eps): 1e-4.
CONSTANT_FLOAT32 = Tolerance(rtol=0, atol=1e-3)
# Right solutions in float64 differ by a few hundred units of the last place (2e-16).
FLOAT64 = Tolerance(rtol=1e-10, atol=1e-10)
# An offset of 1e4 leaves float32 values a grid of 1e-3, so right answers with a spread of 1 to 2
# are off by up to 2e-3 and a naive running sum by 5e-3. E[x^2] - E[x]^2 is off by 8 in the
# variance, which is above 0.1 in the output.
OFFSET_FLOAT32 = Tolerance(rtol=0, atol=0.02)


# Where a case is not about eps, eps changes no digit that counts, so that it decides no such case.
TINY = 1e-8


@layer_norm.cases
def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every axis of a case has its own length, but for the square one."""
    batch, features, seq = (int(n) for n in rng.permutation([3, 4, 5, 6])[:3])

    def inputs(x, **more):
        return {"x": x, **draw_parameters(rng, x.shape[-1]), **more}

    yield Case(
        "each row of a (batch, features) array is normalised, scaled and shifted",
        points=2,
        inputs=inputs(draw_rows(rng, batch, features), eps=TINY),
        tolerance=FLOAT32,
        judged=("output", "ready-made norm called"),
        hint="Work through one row by hand: its mean, its variance, then (x - mean) / sqrt(var + "
        "eps), and only then `gamma` and `beta`. Print each step and compare.",
    )
    yield Case(
        "a square batch, where a wrong axis raises no error",
        points=0.5,
        inputs=inputs(draw_rows(rng, features, features), eps=TINY),
        tolerance=FLOAT32,
        hint="When batch and features are equal, NumPy broadcasts a (features,) mean along the "
        "wrong axis without complaint. Which shape should the mean have?",
    )
    yield Case(
        "one row without a batch axis, shape (features,)",
        points=1,
        inputs=inputs(draw_rows(rng, features), eps=TINY),
        tolerance=FLOAT32,
        hint="The last axis is `axis=-1`, whatever the number of axes before it.",
    )
    yield Case(
        "more axes before the last, shape (batch, seq, heads, features)",
        points=1,
        inputs=inputs(draw_rows(rng, batch, seq, 2, features), eps=TINY),
        tolerance=FLOAT32,
        hint="The statistics belong to the last axis alone: `axis=-1` and `keepdims=True`.",
    )
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=1,
        inputs=inputs(draw_rows(rng, batch, features) / 5, eps=float(rng.uniform(0.1, 0.5))),
        tolerance=FLOAT32,
        hint="Use the argument `eps`, add it to the variance, and take the square root of the sum.",
    )
    yield Case(
        "rows of tiny variance, with eps left at its default of 1e-5",
        points=1,
        inputs=inputs(draw_rows(rng, batch, features) / 1000),
        tolerance=FLOAT32,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "an offset of 10,000 in float32 does not swamp the variance",
        points=1,
        inputs=inputs(
            (rng.uniform(10_000, 10_100) + draw_rows(rng, 4, 8) / 2).astype(np.float32), eps=TINY
        ),
        tolerance=OFFSET_FLOAT32,
        by_values=False,
        hint="Subtract the mean before you square. A difference of two large squares keeps no "
        "digits.",
    )
    yield Case(
        "a constant row becomes beta",
        points=0.5,
        inputs=inputs(np.repeat(rng.normal(2, 1, (batch, 1)), features, axis=1), eps=1e-5),
        tolerance=CONSTANT_FLOAT32,
        hint="The variance of a constant row is 0, and `eps` is there to make 0 / sqrt(0 + eps) "
        "a 0.",
    )
    yield Case(
        "a batch of one, and x a view into a larger array",
        points=0.5,
        inputs=inputs(draw_rows(rng, 1, features), eps=TINY, strided=True),
        tolerance=FLOAT32,
        hint="Nothing should depend on the batch being larger than one, or on how x lies in "
        "memory.",
    )
    yield Case(
        "x, gamma and beta are left as they were",
        points=0.5,
        inputs=inputs(draw_rows(rng, batch, features), eps=TINY),
        tolerance=FLOAT32,
        judged=("x", "gamma", "beta"),
        hint="`x -= mean` writes into the caller's array; `x - mean` makes a new one.",
    )
    yield Case(
        "integers in, fractions out",
        points=0.5,
        inputs=inputs(
            rng.permuted(np.arange(batch * features).reshape(batch, features) ** 2, axis=1),
            eps=TINY,
        ),
        tolerance=FLOAT32,
        hint="The result of dividing integers is a float. An array made like x cannot hold it.",
    )
    yield Case(
        "float64 in, all the digits of float64 out",
        points=0.5,
        inputs=inputs(draw_rows(rng, batch, features), eps=TINY),
        tolerance=FLOAT64,
        hint="Let NumPy keep the dtype of x: there is no need for `astype` or `dtype=`.",
    )


@layer_norm.known_mistake(
    "the unbiased variance (ddof=1)",
    "You divided the sum of squared deviations by D - 1. Layer normalization divides by D: the "
    "row is not a sample from which something is estimated.",
    hint="`np.var` divides by D as it stands; `ddof=1` changes that.",
)
def unbiased_variance(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True, ddof=1)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "eps outside the square root",
    "You divided by sqrt(var) + eps. The formula divides by sqrt(var + eps).",
    hint="Move `eps` inside: the difference shows as soon as `eps` is not tiny.",
)
def eps_outside(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    std = x.std(axis=-1, keepdims=True)
    return gamma * (x - mean) / (std + eps) + beta


@layer_norm.known_mistake(
    "no eps",
    "You divided by sqrt(var) alone, so a constant row gives 0 / 0.",
    hint="Add `eps` to the variance before the square root.",
)
def no_eps(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    std = x.std(axis=-1, keepdims=True)
    return gamma * (x - mean) / std + beta


@layer_norm.known_mistake(
    "an eps of your own instead of the argument",
    "You added 1e-5 whatever `eps` was passed.",
    hint="Where does your code read the argument `eps`?",
)
def hard_coded_eps(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta


@layer_norm.known_mistake(
    "another default for eps (1e-8)",
    "Called without `eps`, your function uses 1e-8. The signature says `eps=1e-5`.",
    hint="Look at the first line of your function.",
)
def other_default(x, gamma, beta, eps=1e-8):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "eps squared",
    "You added eps**2 to the variance. It is `eps` itself that is added.",
    hint="`eps` already has the unit of a variance.",
)
def eps_squared(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps**2) + beta


@layer_norm.known_mistake(
    "the variance as E[x^2] - E[x]^2",
    "On paper that is the variance. With an offset of 10,000 both terms are about 1e8, and float32 "
    "keeps seven digits: their difference is rounding noise.",
    hint="Subtract the mean first, then take the mean of the squares.",
)
def difference_of_squares(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = (x**2).mean(axis=-1, keepdims=True) - mean**2
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "one gamma for all features",
    "You scaled every feature by the first entry of `gamma`. Each feature has its own.",
    hint="`gamma` has shape (features,) and broadcasts along the last axis by itself.",
)
def scalar_gamma(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma[0] * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "missing keepdims",
    "Your mean and variance have lost their last axis, so NumPy lines them up with the features "
    "instead of the rows. On a square batch that goes through without an error.",
    hint="Pass `keepdims=True`, and print `mean.shape`: it should be (batch, 1).",
)
def missing_keepdims(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1)
    var = x.var(axis=-1)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "missing keepdims on the mean",
    "Your variance has kept its last axis, your mean has not, so NumPy lines the means up with the "
    "features instead of the rows.",
    hint="Print `mean.shape` and `var.shape`: both should be (batch, 1).",
)
def missing_keepdims_on_the_mean(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1)
    var = x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "missing keepdims on the variance",
    "Your mean has kept its last axis, your variance has not, so NumPy lines the variances up with "
    "the features instead of the rows.",
    hint="Print `mean.shape` and `var.shape`: both should be (batch, 1).",
)
def missing_keepdims_on_the_variance(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "missing parentheses around x - mean",
    "Division binds more tightly than subtraction: only the mean was divided by the standard "
    "deviation, x was not.",
    hint="Write the whole numerator in parentheses.",
)
def missing_parentheses(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma * x - mean / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "the unbiased standard deviation plus eps (two mistakes at once)",
    "You divided by std(ddof=1) + eps, as a well-known tutorial does. Layer normalization divides "
    "the sum of squares by D, and adds `eps` inside the square root.",
    hint="Begin with the variance: `np.var` without `ddof`. Then `eps`, then the square root.",
)
def unbiased_and_eps_outside(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    std = x.std(axis=-1, keepdims=True, ddof=1)
    return gamma * (x - mean) / (std + eps) + beta


@layer_norm.known_mistake(
    "multiplying by the standard deviation",
    "You multiplied by sqrt(var + eps) where the formula divides by it.",
    hint="After normalising, a row should have a standard deviation of about 1. Does yours?",
)
def multiplied(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) * np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "normalising the columns (axis=0)",
    "You took the statistics over the batch, feature by feature. That is batch normalization; "
    "layer normalization takes them over the features, row by row.",
    hint="Which axis has to disappear from the mean: the batch, or the features?",
)
def columns(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=0, keepdims=True)
    var = x.var(axis=0, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "one mean and one variance for the whole array",
    "You took the statistics over all entries at once. Each row has its own.",
    hint="Pass `axis=-1` to the mean and the variance.",
)
def whole_array(x, gamma, beta, eps=1e-5):
    return gamma * (x - x.mean()) / np.sqrt(x.var() + eps) + beta


@layer_norm.known_mistake(
    "axis=1 instead of the last axis",
    "Axis 1 is the last one only while x has two axes.",
    hint="`axis=-1` is the last axis of an array of any rank.",
)
def axis_one(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "statistics over every axis but the first",
    "You normalised each sample as a whole. Here every position of the sequence has its own mean "
    "and variance, over the features alone.",
    hint="The mean of a (batch, seq, features) array should have shape (batch, seq, 1).",
)
def every_axis_but_the_first(x, gamma, beta, eps=1e-5):
    axes = tuple(range(1, x.ndim)) or (0,)
    mean = x.mean(axis=axes, keepdims=True)
    var = x.var(axis=axes, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "dividing by the variance, not by its square root",
    "You divided by var + eps. The variance is in squared units, its root in those of x.",
    hint="After normalising, a row should have a standard deviation of about 1. Does yours?",
)
def missing_square_root(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / (var + eps) + beta


@layer_norm.known_mistake(
    "gamma forgotten",
    "You shifted by `beta` but did not scale by `gamma`.",
    hint="The last step has two parts: multiply by `gamma`, then add `beta`.",
)
def gamma_forgotten(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "beta forgotten",
    "You scaled by `gamma` but did not add `beta`.",
    hint="The last step has two parts: multiply by `gamma`, then add `beta`.",
)
def beta_forgotten(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps)


@layer_norm.known_mistake(
    "gamma and beta forgotten",
    "You stopped after step 3: the rows are normalised, but neither scaled nor shifted.",
    hint="Multiply by `gamma` and add `beta`.",
)
def affine_forgotten(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps)


@layer_norm.known_mistake(
    "gamma and beta swapped",
    "You multiplied by `beta` and added `gamma`.",
    hint="`gamma` scales, `beta` shifts.",
)
def swapped(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return beta * (x - mean) / np.sqrt(var + eps) + gamma


@layer_norm.known_mistake(
    "shifting before scaling",
    "You computed gamma * (x_hat + beta), so `beta` is scaled too.",
    hint="Multiply first, then add.",
)
def shift_then_scale(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma * ((x - mean) / np.sqrt(var + eps) + beta)


@layer_norm.known_mistake(
    "scaling and shifting before normalising",
    "You applied `gamma` and `beta` to x and normalised the result, which takes most of their "
    "effect away again.",
    hint="Normalise x first; `gamma` and `beta` come last.",
)
def affine_first(x, gamma, beta, eps=1e-5):
    y = gamma * x + beta
    mean = y.mean(axis=-1, keepdims=True)
    var = y.var(axis=-1, keepdims=True)
    return (y - mean) / np.sqrt(var + eps)


@layer_norm.known_mistake(
    "the mean not subtracted",
    "You divided x by its standard deviation without centring it.",
    hint="The numerator is x - mean.",
)
def not_centred(x, gamma, beta, eps=1e-5):
    var = x.var(axis=-1, keepdims=True)
    return gamma * x / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "the mean square instead of the variance",
    "You divided by sqrt(mean(x^2) + eps). The variance is the mean square of x - mean.",
    hint="Square the deviations from the mean, not the values.",
)
def mean_square(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    square = (x**2).mean(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(square + eps) + beta


@layer_norm.known_mistake(
    "RMS normalization",
    "You divided by the root mean square and subtracted nothing. That is RMSNorm (exercise 5).",
    hint="Layer normalization centres each row first, and divides by the spread around its mean.",
)
def rms_norm(x, gamma, beta, eps=1e-5):
    square = (x**2).mean(axis=-1, keepdims=True)
    return gamma * x / np.sqrt(square + eps) + beta


@layer_norm.known_mistake(
    "the sum of squares instead of their mean",
    "You divided by the length of the centred row: the squares are summed, but not divided by D.",
    hint="The variance is a mean over the D features.",
)
def sum_of_squares(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(axis=-1, keepdims=True)
    square = (centred**2).sum(axis=-1, keepdims=True)
    return gamma * centred / np.sqrt(square + eps) + beta


@layer_norm.known_mistake(
    "the mean absolute deviation instead of the standard deviation",
    "You divided by the mean of |x - mean|.",
    hint="Square the deviations, take their mean, add `eps`, then take the square root.",
)
def mean_absolute_deviation(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(axis=-1, keepdims=True)
    return gamma * centred / (np.abs(centred).mean(axis=-1, keepdims=True) + eps) + beta


@layer_norm.known_mistake(
    "rescaling to the range 0 to 1",
    "You subtracted the minimum and divided by the range. That is min-max scaling.",
    hint="Use the mean and the standard deviation of the row.",
)
def min_max(x, gamma, beta, eps=1e-5):
    low = x.min(axis=-1, keepdims=True)
    high = x.max(axis=-1, keepdims=True)
    return gamma * (x - low) / (high - low + eps) + beta


writing_into_x = layer_norm.known_mistake(
    "writing into x",
    "Your function changed the caller's array on the way.",
    hint="`x = x - mean` makes a new array; `x -= mean` and `x[...] = x - mean` change the array "
    "that was passed.",
)


@writing_into_x
def in_place(x, gamma, beta, eps=1e-5):
    x -= x.mean(axis=-1, keepdims=True)
    x /= np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)
    return gamma * x + beta


@writing_into_x
def in_place_through_an_index(x, gamma, beta, eps=1e-5):
    x[...] = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    return gamma * x + beta


@writing_into_x
def in_place_but_for_integers(x, gamma, beta, eps=1e-5):
    normalized = x if x.dtype.kind == "f" else x.astype(float)
    normalized -= normalized.mean(axis=-1, keepdims=True)
    normalized /= np.sqrt((normalized**2).mean(axis=-1, keepdims=True) + eps)
    return gamma * normalized + beta


@layer_norm.known_mistake(
    "writing fractions into an array of integers",
    "Your result array takes its dtype from x, so integers in means fractions cut off.",
    hint="Let the arithmetic make the result, or ask for a float dtype where you create it.",
)
def integer_result(x, gamma, beta, eps=1e-5):
    normalized = np.empty_like(x)
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    normalized[...] = (x - mean) / np.sqrt(var + eps)
    return gamma * normalized + beta


@layer_norm.known_mistake(
    "computing in float32",
    "Your answer is right to about seven digits: somewhere float64 was turned into float32.",
    hint="Look for `astype` or `dtype=`; the inputs are float64.",
)
def single_precision(x, gamma, beta, eps=1e-5):
    x = x.astype(np.float32)
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@layer_norm.known_mistake(
    "a call of PyTorch's own layer norm",
    "The numbers are right, but your function hands x to a normalisation of PyTorch. Writing that "
    "one is what this exercise is about.",
    hint="Start from `x.mean` and `x.var`, or from sums.",
)
def borrowed(x, gamma, beta, eps=1e-5):
    import torch

    rows, scale, shift = (torch.tensor(a, dtype=torch.float64) for a in (x, gamma, beta))
    return torch.nn.functional.layer_norm(rows, scale.shape, scale, shift, eps).numpy()


@layer_norm.combination
def unbiased_and_hard_coded_eps(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True, ddof=1)
    return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta


@layer_norm.combination
def columns_without_beta(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=0, keepdims=True)
    var = x.var(axis=0, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps)


@layer_norm.combination
def hard_coded_eps_and_axis_one(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta


@layer_norm.combination
def scalar_gamma_and_difference_of_squares(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = (x**2).mean(axis=-1, keepdims=True) - mean**2
    return gamma[0] * (x - mean) / np.sqrt(var + 1e-5) + beta


@layer_norm.combination
def no_eps_and_in_place(x, gamma, beta, eps=1e-5):
    normalized = x if x.dtype.kind == "f" else x.astype(float)
    normalized -= normalized.mean(axis=-1, keepdims=True)
    normalized /= normalized.std(axis=-1, keepdims=True)
    return gamma * normalized + beta


@layer_norm.combination
def missing_keepdims_and_square_root(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1)
    var = x.var(axis=-1)
    return gamma * (x - mean) / (var + eps) + beta


@layer_norm.right_solution
def einsum(x, gamma, beta, eps=1e-5):
    features = x.shape[-1]
    centred = x - np.einsum("...d->...", x)[..., None] / features
    var = np.einsum("...d,...d->...", centred, centred)[..., None] / features
    return np.einsum("d,...d->...d", gamma, centred / np.sqrt(var + eps)) + beta


@layer_norm.right_solution
def two_pass(x, gamma, beta, eps=1e-5):
    count = x.shape[-1]
    mean = np.sum(x, axis=-1, keepdims=True) / count
    squares = np.sum((x - mean) ** 2, axis=-1, keepdims=True) / count
    return ((x - mean) * (squares + eps) ** -0.5) * gamma + beta


@layer_norm.right_solution
def welford(x, gamma, beta, eps=1e-5):
    mean = np.zeros(x.shape[:-1])
    squares = np.zeros(x.shape[:-1])
    for count in range(1, x.shape[-1] + 1):
        value = x[..., count - 1]
        delta = value - mean
        mean = mean + delta / count
        squares = squares + delta * (value - mean)
    var = squares / x.shape[-1]
    return (x - mean[..., None]) / np.sqrt(var[..., None] + eps) * gamma + beta


@layer_norm.right_solution
def float64_inside(x, gamma, beta, eps=1e-5):
    wide = x.astype(np.float64)
    mean = wide.mean(-1, keepdims=True)
    var = wide.var(-1, keepdims=True)
    normalized = (wide - mean) / np.sqrt(var + eps)
    return (gamma * normalized + beta).astype(np.result_type(x, gamma))


@layer_norm.right_solution
def row_by_row(x, gamma, beta, eps=1e-5):
    rows = x.reshape(-1, x.shape[-1])
    result = np.zeros(rows.shape)
    for i, row in enumerate(rows):
        result[i] = gamma * (row - np.mean(row)) / np.sqrt(np.var(row) + eps) + beta
    return result.reshape(x.shape)


@layer_norm.right_solution
def plain_loops(x, gamma, beta, eps=1e-5):
    result = np.zeros(x.shape)
    for index in np.ndindex(x.shape[:-1]):
        row = [float(value) for value in x[index]]
        mean = sum(row) / len(row)
        var = sum((value - mean) ** 2 for value in row) / len(row)
        for j, value in enumerate(row):
            result[(*index, j)] = gamma[j] * (value - mean) / (var + eps) ** 0.5 + beta[j]
    return result


@layer_norm.right_solution
def apply_along_axis(x, gamma, beta, eps=1e-5):
    def one_row(row):
        centred = row - row.mean()
        return centred / np.sqrt(centred @ centred / row.size + eps) * gamma + beta

    return np.apply_along_axis(one_row, -1, x)


@layer_norm.right_solution
def projection(x, gamma, beta, eps=1e-5):
    features = x.shape[-1]
    centring = np.eye(features) - np.ones((features, features)) / features
    centred = x @ centring
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return gamma * centred / np.hypot(length / np.sqrt(features), np.sqrt(eps)) + beta


@layer_norm.right_solution
def transposed(x, gamma, beta, eps=1e-5):
    columns = np.moveaxis(x, -1, 0)
    normalized = (columns - columns.mean(axis=0)) / np.sqrt(columns.var(axis=0) + eps)
    return np.moveaxis(normalized, 0, -1) * gamma + beta
