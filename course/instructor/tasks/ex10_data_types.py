"""Exercise 10: layer normalization for images, text and time series."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from course.instructor.draws import draw_scale
from course.instructor.forbidden import NORMS
from course.instructor.task import Task
from course.layer_normalization_solutions import (
    ImageLayerNorm,
    TextLayerNorm,
    TimeSeriesLayerNorm,
)
from course.student.answer_key import Case, Tolerance

# The oracles: every group of numbers is brought into a row, normalised in float64, and put back.


def normalised_rows(rows: torch.Tensor, eps: float) -> torch.Tensor:
    """Layer norm of the last dim in float64, without scale and shift."""
    wide = rows.double()
    centred = wide - wide.sum(-1, keepdim=True) / wide.shape[-1]
    var = (centred * centred).sum(-1, keepdim=True) / wide.shape[-1]
    return centred / (var + eps).sqrt()


class _Oracle(nn.Module):
    def __init__(self, count, eps, second):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(count))
        self.bias = nn.Parameter(torch.zeros(count))
        self.eps = eps
        self.second = second

    def scaled(self, x_hat, x):
        """With the features in the last dim of x_hat."""
        return (x_hat * self.weight.double() + self.bias.double()).to(x.dtype)


class ImageOracle(_Oracle):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel)

    def forward(self, x):
        if self.second:
            x_hat = normalised_rows(x.movedim(1, -1), self.eps)
        else:
            x_hat = normalised_rows(x.flatten(1), self.eps).reshape(x.shape).movedim(1, -1)
        return self.scaled(x_hat, x).movedim(-1, 1)


class TextOracle(_Oracle):
    """Picks the real tokens out, so that padding has no part in anything."""

    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__(d_model, eps, per_sequence)

    def forward(self, x, mask=None):
        real = torch.ones(x.shape[:2]).bool() if mask is None else mask.bool()
        output = torch.zeros_like(x)
        for sample, tokens in enumerate(real):
            if tokens.any():
                picked = x[sample, tokens]
                rows = picked.flatten() if self.second else picked
                x_hat = normalised_rows(rows, self.eps).reshape(picked.shape)
                output[sample, tokens] = self.scaled(x_hat, x)
        return output


class TimeSeriesOracle(_Oracle):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, eps, over_time)

    def forward(self, x):
        rows = x.mT if self.second else x
        x_hat = normalised_rows(rows, self.eps)
        return self.scaled(x_hat.mT if self.second else x_hat, x)


image = Task(
    "ex10_image",
    "Layer normalization of images",
    defines="ImageLayerNorm",
    oracle=ImageOracle,
    forbids=NORMS,
)
text = Task(
    "ex10_text",
    "Layer normalization of padded text",
    defines="TextLayerNorm",
    oracle=TextOracle,
    forbids=NORMS,
)
time_series = Task(
    "ex10_time_series",
    "Layer normalization of time series",
    defines="TimeSeriesLayerNorm",
    oracle=TimeSeriesOracle,
    forbids=NORMS,
)

# A computation in float32 is off by about 1e-6 here, and an eps that is 1e-5 too small or too
# large by 1e-5: that is left to the cases about eps. Other wrong answers are off by 1e-2 and more.
FLOAT32 = Tolerance(rtol=1e-4, atol=1e-4)
# An offset of 1e4 leaves float32 values a grid of 1e-3, so right answers with a spread of 2 are
# off by up to 2e-3. E[x^2] - E[x]^2 is off by about 8 in the variance, above 0.1 in the output.
OFFSET_FLOAT32 = Tolerance(rtol=0, atol=0.01)
# Outputs are below 7. A right solution may round to float16 three times: x_hat, its product with
# the scale, and the sum with the shift; each costs at most half a unit, 0.002. A variance that
# overflows is off by 0.3 and more.
FLOAT16 = Tolerance(rtol=0, atol=0.01)

GRADIENTS = (
    "output",
    "gradient reaches x",
    "gradient reaches the scale",
    "gradient reaches the shift",
    "dx",
    "dscale",
    "dshift",
)


def draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Entries whose mean and spread change along every axis, so that it matters which is taken.

    Along no axis is their standard deviation below 1.2, so that an eps of 1e-5 does not weigh.
    """
    while True:
        x = rng.normal(size=shape)
        for axis, length in enumerate(shape):
            along = [1] * axis + [length] + [1] * (len(shape) - axis - 1)
            x = x * rng.permutation(np.linspace(0.6, 1.6, length)).reshape(along)
            x += rng.permutation(np.linspace(-1.5, 1.5, length)).reshape(along)
        if min(x.std(axis).min() for axis in (1, -1) if x.shape[axis] > 1) > 0.3:
            return 4 * (x + rng.normal())


def draw_mask(rng: np.random.Generator, batch: int, seq: int) -> np.ndarray:
    """Padding at the end; the first sequence has none, the others 1 token of it or more."""
    lengths = np.array([seq, *rng.integers(2, seq, batch - 1)])
    return np.arange(seq) < lengths[:, None]


def of_spread(x: np.ndarray, axes: tuple[int, ...], spread: float) -> np.ndarray:
    """Bring x to mean 0 and a given standard deviation over the axes, for eps to weigh alike."""
    centred = x - x.mean(axes, keepdims=True)
    return spread * centred / centred.std(axes, keepdims=True)


def inputs(
    rng: np.random.Generator, x: np.ndarray, axis: int, dtype: str = "float32", **more: Any
) -> dict[str, Any]:
    """The inputs of a case: x, and a scale and a shift along one of its axes."""
    return {
        "x": np.asarray(x, np.float64 if dtype == "float64" else np.float32),
        "scale": draw_scale(rng, x.shape[axis]),
        "shift": rng.normal(size=x.shape[axis]),
        "dtype": dtype,
        **more,
    }


def gradient_case(
    rng: np.random.Generator, x: np.ndarray, axis: int, name: str, **more: Any
) -> Case:
    """A case about the gradients of x, the scale and the shift."""
    upstream = rng.normal(size=x.shape)
    return Case(
        name,
        points=0.25,
        # In float32, gradients of right solutions are off by about 1e-6 of values up to 10.
        inputs=inputs(rng, x, axis, eps=1e-5, look_at="gradients", upstream=upstream, **more),
        tolerance=FLOAT32,
        judged=GRADIENTS,
        hint="Autograd follows tensor operations. `.data`, `.detach()`, `.item()`, `.numpy()` and "
        "`torch.no_grad()` hide a step from it.",
    )


def shared_cases(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    other_size: tuple[int, ...],
    axes: tuple[int, ...],
    axis: int,
    more: Mapping[str, Any],
) -> Iterator[Case]:
    """What is asked of all three modules, 1.75 points.

    Args:
        rng: where the numbers come from.
        shape: of x.
        other_size: of an input that the module sees first.
        axes: what the statistics of the first mode are taken over: the last axes.
        axis: the axis of the channels or features.
        more: inputs of the cases about an offset and about changes in place.
    """
    even = of_spread(draw(rng, *shape), axes, 1.0)
    yield Case(
        "a large eps is honoured, and stands inside the square root",
        points=0.25,
        inputs=inputs(rng, 0.5 * even, axis, eps=float(rng.uniform(0.1, 0.5))),
        tolerance=FLOAT32,
        hint="Keep the argument `eps` in `__init__`, add it to the variance, and take the square "
        "root of the sum.",
    )
    yield Case(
        "tiny variance, with eps left at its default of 1e-5",
        points=0.25,
        inputs=inputs(rng, 2e-3 * even, axis),
        tolerance=FLOAT32,
        hint="The variance is about as small as `eps` here, so its default value shows: 1e-5.",
    )
    yield Case(
        "an offset of 10,000 in float32 does not swamp the variance",
        points=0.25,
        inputs=inputs(rng, 1e4 + 100 * rng.uniform() + 2 * even, axis, eps=1e-5, **more),
        tolerance=OFFSET_FLOAT32,
        by_values=False,
        hint="Subtract the mean before you square. A difference of two large squares keeps no "
        "digits.",
    )
    # The variance of a group is above 90,000: float16 ends at 65,504. Each group has as many
    # positive as negative numbers. Groups are small, for a divisor that is off by one to show.
    sizes = (*shape[:-1], 6 if len(axes) == 1 else 2)
    size = int(np.prod([sizes[a] for a in axes]))
    signs = rng.permuted(np.resize([-1, 1], (int(np.prod(sizes)) // size, size)), axis=1)
    loud = signs * rng.uniform(310, 500, signs.shape) * np.resize([1, 1.6], (len(signs), 1))
    yield Case(
        "float16: squares beyond its largest number, 65,504, do no harm",
        points=0.25,
        inputs=inputs(rng, loud.reshape(sizes), axis, "float16", eps=1e-5),
        tolerance=FLOAT16,
        judged=("output", "dtype of the output"),
        hint="A variance of 100,000 is infinite in float16. Compute in float32 where x is float16 "
        "or bfloat16, and give the result the dtype of x.",
    )
    yield Case(
        "an input of another size before this one leaves nothing behind",
        points=0.25,
        inputs=inputs(
            rng,
            draw(rng, *shape),
            axis,
            eps=1e-5,
            earlier=np.asarray(draw(rng, *other_size), np.float32),
        ),
        tolerance=FLOAT32,
        hint="One module takes inputs of any size. What depends on x is computed anew at every "
        "call, and not kept.",
    )
    yield Case(
        "two learnable parameters: the scale starts at ones, the shift at zeros",
        points=0.25,
        inputs=inputs(rng, draw(rng, *shape), axis, look_at="parameters"),
        tolerance=FLOAT32,
        judged=("learnable parameters", "output"),
        hint="Print `list(module.parameters())`: there should be two entries.",
    )
    yield Case(
        "x is left as it was",
        points=0.25,
        inputs=inputs(rng, draw(rng, *shape), axis, eps=1e-5, **more),
        tolerance=FLOAT32,
        judged=("output", "x is unchanged"),
        hint="`x -= mean` and `x[...] = 0` write into the caller's tensor; `x - mean` and "
        "`torch.where` make a new one.",
    )


OWN_CODE = ("output", "built-in norm called")


@image.cases
def image_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dim has its own length, but in the cases that are about equal lengths."""
    N = 2
    C, H, W = (int(n) for n in rng.permutation([3, 4, 5]))
    height, width = (int(n) for n in rng.permutation([2, 3]))
    yield Case(
        "each image is normalised over C, H and W, by your own code; channels have their own "
        "scale and shift",
        points=1.25,
        inputs=inputs(rng, draw(rng, N, C, H, W), 1, eps=1e-5, look_at="output and calls"),
        tolerance=FLOAT32,
        judged=OWN_CODE,
        hint="Print the shapes: the mean of an (N, C, H, W) batch should be (N, 1, 1, 1). Then "
        "bring the scale, C numbers, to a shape that lines up with the channels.",
    )
    yield Case(
        "the same when N, C, H and W are all equal",
        points=0.25,
        inputs=inputs(rng, draw(rng, 3, 3, 3, 3), 1, eps=1e-5),
        tolerance=FLOAT32,
        hint="With equal lengths a tensor that lines up with the wrong dim raises no error. "
        "PyTorch lines shapes up from the right: C numbers stand beside W.",
    )
    yield Case(
        "per_pixel=True: each pixel is normalised over its channels",
        points=1,
        inputs=inputs(
            rng, draw(rng, N, C, H, W), 1, eps=1e-5, look_at="output and calls", per_pixel=True
        ),
        tolerance=FLOAT32,
        judged=OWN_CODE,
        hint="In this mode the mean has shape (N, 1, H, W). Which dim is missing?",
    )
    yield Case(
        "per_pixel=True when N, C, H and W are all equal",
        points=0.25,
        inputs=inputs(rng, draw(rng, 3, 3, 3, 3), 1, eps=1e-5, per_pixel=True),
        tolerance=FLOAT32,
        hint="`keepdim=True` leaves a dim of length 1 where the channels were.",
    )
    yield from shared_cases(rng, (N, C, height, width), (1, C, 5, 3), (1, 2, 3), 1, {})
    for mode, name in ((False, "gradients"), (True, "per_pixel=True: gradients")):
        yield gradient_case(
            rng,
            draw(rng, N, C, height, width),
            1,
            f"{name} reach x and both parameters, and are right",
            per_pixel=mode,
        )


@text.cases
def text_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dim has its own length, but in the case that is about equal lengths."""
    N = 2
    T, D = (int(n) for n in rng.permutation([3, 4, 5, 6])[:2])

    def masked(**more):
        return inputs(rng, draw(rng, N, T, D), 2, eps=1e-5, mask=draw_mask(rng, N, T), **more)

    yield Case(
        "without a mask, each token is normalised over its features by your own code",
        points=0.5,
        inputs=inputs(rng, draw(rng, N, T, D), 2, eps=1e-5, look_at="output and calls"),
        tolerance=FLOAT32,
        judged=OWN_CODE,
        hint="Each token is a row of exercise 1: the mean of an (N, T, D) batch has shape "
        "(N, T, 1).",
    )
    yield Case(
        "with a mask, padded positions come out as 0 and real tokens as before",
        points=0.5,
        inputs=masked(look_at="output and calls"),
        tolerance=FLOAT32,
        judged=OWN_CODE,
        hint="The mask has shape (N, T), x has (N, T, D): `mask[:, :, None]` lines up with it. "
        "Clear the padded positions last of all, after the shift.",
    )
    yield Case(
        "the same with padding in front, when N, T and D are all equal",
        points=0.25,
        inputs=inputs(
            rng, draw(rng, 4, 4, 4), 2, eps=1e-5, mask=draw_mask(rng, 4, 4)[::-1, ::-1].copy()
        ),
        tolerance=FLOAT32,
        hint="With equal lengths a mask that lines up with the wrong dims raises no error. And go "
        "by the mask alone: it says which tokens are real, wherever they stand.",
    )
    yield Case(
        "per_sequence=True without a mask: one mean for all T x D numbers of a sequence",
        points=0.25,
        inputs=inputs(
            rng, draw(rng, N, T, D), 2, eps=1e-5, look_at="output and calls", per_sequence=True
        ),
        tolerance=FLOAT32,
        judged=OWN_CODE,
        hint="In this mode the mean has shape (N, 1, 1).",
    )
    yield Case(
        "per_sequence=True with a mask: padding does not count",
        points=0.5,
        inputs=masked(per_sequence=True),
        tolerance=FLOAT32,
        hint="Add up the real numbers only, and divide by how many of them there are. The same "
        "holds for the squared deviations.",
    )
    for mode in (False, True):
        case = masked(per_sequence=mode)
        padded = ~case["mask"][:, :, None] & np.ones(D, bool)
        case["x"][padded] = rng.permutation(
            np.resize(np.array([np.nan, np.inf, -np.inf, 1e30], np.float32), padded.sum())
        )
        yield Case(
            f"per_sequence={mode}: padded positions may hold inf and NaN",
            points=0.25,
            inputs=case,
            tolerance=FLOAT32,
            hint="0 times NaN is NaN. `torch.where(real, x, 0)` and `x.masked_fill(~real, 0)` "
            "replace what they do not take; a product cannot.",
        )
    case = masked(per_sequence=True)
    yield Case(
        "a mask of ints, 1 for a real token and 0 for padding",
        points=0.25,
        inputs=case | {"mask": case["mask"].astype(np.int64)},
        tolerance=FLOAT32,
        hint="`mask.bool()` makes bools of ints. For an int, `~1` is −2.",
    )
    empty = draw_mask(rng, N, T)
    empty[int(rng.integers(1, N))] = False
    all_padding = gradient_case(
        rng,
        draw(rng, N, T, D),
        2,
        "per_sequence=True: a sequence that is all padding comes out as 0 and spoils no gradient",
        mask=empty,
        per_sequence=True,
    )
    yield replace(
        all_padding,
        hint="How many real numbers has such a sequence, and what is 0 divided by that? "
        "`torch.where` at the end hides a NaN from the output, and not from the gradient: see that "
        "none arises.",
    )
    more = {"mask": draw_mask(rng, N, T), "per_sequence": True}
    yield from shared_cases(rng, (N, T, D), (3, T - 1, D), (2,), 2, more)
    yield gradient_case(
        rng,
        draw(rng, N, T, D),
        2,
        "gradients reach x and both parameters, and are right",
        mask=draw_mask(rng, N, T),
    )


@time_series.cases
def time_series_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dim has its own length, but in the cases that are about equal lengths."""
    N = 2
    T, F = (int(n) for n in rng.choice([3, 4, 5, 6], 2, replace=False))
    yield Case(
        "each step is normalised over its features, by your own code",
        points=1.25,
        inputs=inputs(rng, draw(rng, N, T, F), 2, eps=1e-5, look_at="output and calls"),
        tolerance=FLOAT32,
        judged=OWN_CODE,
        hint="The F numbers that were measured at one time share a mean: for an (N, T, F) batch it "
        "has shape (N, T, 1).",
    )
    yield Case(
        "the same when N, T and F are all equal",
        points=0.25,
        inputs=inputs(rng, draw(rng, 4, 4, 4), 2, eps=1e-5),
        tolerance=FLOAT32,
        hint="`keepdim=True` leaves a dim of length 1 where the features were.",
    )
    yield Case(
        "over_time=True: each feature of each series is normalised over its steps",
        points=0.75,
        inputs=inputs(
            rng, draw(rng, N, T, F), 2, eps=1e-5, look_at="output and calls", over_time=True
        ),
        tolerance=FLOAT32,
        judged=OWN_CODE,
        hint="In this mode the mean has shape (N, 1, F): one for each feature of each series. The "
        "scale and the shift still belong to the features.",
    )
    yield Case(
        "over_time=True when N, T and F are all equal",
        points=0.25,
        inputs=inputs(rng, draw(rng, 4, 4, 4), 2, eps=1e-5, over_time=True),
        tolerance=FLOAT32,
        hint="`keepdim=True` leaves a dim of length 1 where the steps were.",
    )
    yield Case(
        "over_time=True: a series of one step comes out as the shift",
        points=0.25,
        inputs=inputs(rng, draw(rng, N, 1, F), 2, eps=1e-5, over_time=True),
        tolerance=FLOAT32,
        hint="A single number is its own mean, and its variance is 0 divided by 1.",
    )
    yield from shared_cases(rng, (N, T, F), (3, T - 1, F), (2,), 2, {})
    for mode, name in ((False, "gradients"), (True, "over_time=True: gradients")):
        yield gradient_case(
            rng,
            draw(rng, N, T, F),
            2,
            f"{name} reach x and both parameters, and are right",
            over_time=mode,
        )


# Images: over what


@image.known_mistake(
    "statistics across the batch (batch norm)",
    "You took the mean of each channel over all images. That is batch normalization: an image "
    "would come out differently in other company.",
    hint="The batch is dim 0. It stays in the shape of the mean: (N, 1, 1, 1).",
)
class ImageAcrossBatch(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel)
        self.dims = 1 if per_pixel else (0, 2, 3)


@image.known_mistake(
    "statistics of the whole batch",
    "One mean and one variance for everything, the batch included.",
    hint="`x.mean()` without dims goes over all of them. The mean should have shape (N, 1, 1, 1).",
)
class ImageWholeBatch(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel)
        self.dims = 1 if per_pixel else (0, 1, 2, 3)


@image.known_mistake(
    "instance norm: each channel by itself",
    "You took the statistics over H and W, so each channel of an image has its own. That is "
    "instance normalization. In layer norm the channels of an image share them.",
    hint="The mean should have shape (N, 1, 1, 1); yours has (N, C, 1, 1).",
)
class ImageInstanceNorm(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel)
        self.dims = 1 if per_pixel else (2, 3)


@image.known_mistake(
    "per_pixel ignored",
    "Your module always normalises over C, H and W, whatever `per_pixel` says.",
    hint="`__init__` has to keep `per_pixel`, or what follows from it, and `forward` to use it.",
)
class ImageModeIgnored(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps)


@image.known_mistake(
    "per pixel in both modes",
    "Your module always normalises each pixel over its channels. Without `per_pixel=True` all "
    "numbers of an image share one mean.",
    hint="The default mode goes over dims 1, 2 and 3.",
)
class ImageAlwaysPerPixel(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel=True)


@image.known_mistake(
    "the two modes swapped",
    "Your module does with `per_pixel=False` what belongs to True, and the reverse.",
    hint="Which branch of your `if` has the single dim, the channels?",
)
class ImageModesSwapped(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, not per_pixel)


@image.known_mistake(
    "per_pixel over H and W instead of the channels",
    "With `per_pixel=True` you normalise each channel over its pixels. It is the other way round: "
    "each pixel over its channels.",
    hint="A pixel is one place (h, w). The mean has shape (N, 1, H, W).",
)
class ImagePixelOverPlaces(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps)
        self.dims = (2, 3) if per_pixel else (1, 2, 3)


@image.known_mistake(
    "per_pixel over the last dim, as if channels were last",
    "With `per_pixel=True` you normalise over the last dim, which is W here. Channels are last in "
    "many libraries; in PyTorch's (N, C, H, W) they are dim 1.",
    hint="Take dim 1, or move the channels to the end with `x.movedim(1, -1)`, and back after.",
)
class ImagePixelLastDim(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps)
        self.dims = -1 if per_pixel else (1, 2, 3)


# Images: shapes


@image.known_mistake(
    "the scale and the shift line up with W",
    "PyTorch lines shapes up from the right, so your C numbers stand beside the columns, not "
    "beside the channels. Where W equals C, no error says so.",
    hint="`weight[:, None, None]` has shape (C, 1, 1), and lines up with (N, C, H, W).",
)
class ImageScaleAlongW(ImageLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)
        var = wide.var(self.dims, keepdim=True, unbiased=False)
        return (self.weight * (wide - mean) / torch.sqrt(var + self.eps) + self.bias).to(x.dtype)


@image.known_mistake(
    "the scale and the shift line up with H",
    "Your parameters have shape (C, 1), which PyTorch lines up with (H, W). Where H equals C, no "
    "error says so.",
    hint="They need one more dim of length 1: (C, 1, 1) lines up with (C, H, W).",
)
class ImageScaleAlongH(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel)
        self.weight = nn.Parameter(torch.ones(num_channels, 1))
        self.bias = nn.Parameter(torch.zeros(num_channels, 1))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)
        var = wide.var(self.dims, keepdim=True, unbiased=False)
        return (self.weight * (wide - mean) / torch.sqrt(var + self.eps) + self.bias).to(x.dtype)


@image.known_mistake(
    "missing keepdim",
    "Your mean and variance have lost the dims they were taken over. What is left lines up with "
    "the wrong dims of x.",
    hint="Pass `keepdim=True` to both.",
)
class ImageNoKeepdim(ImageLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims)
        var = wide.var(self.dims, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


@image.known_mistake(
    "one number for the scale and one for the shift",
    "Your scale and your shift are a single number each. Every channel has its own.",
    hint="`torch.ones(num_channels)`.",
)
class ImageScalars(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel)
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))


@image.known_mistake(
    "plain tensors for parameters",
    "A plain tensor is an attribute like any other: no optimizer sees it, `state_dict()` does not "
    "save it, and `.to()` leaves it behind.",
    hint="Wrap each in `nn.Parameter(...)`.",
)
class ImagePlainTensors(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel)
        del self.weight, self.bias
        self.weight, self.bias = torch.ones(num_channels), torch.zeros(num_channels)


@image.known_mistake(
    "one parameter for each place, made in forward",
    "You made parameters of shape (C, H, W) when the first image came. An optimizer made before "
    "that misses them, and an image of another size does not fit. It is one number per channel, "
    "and `num_channels` is known in `__init__`.",
    hint="Make both in `__init__`, of `num_channels` numbers.",
)
class ImagePlaceWise(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel)
        self.weight = self.bias = None

    def forward(self, x):
        if self.weight is None:
            self.weight = nn.Parameter(torch.ones(x.shape[1:]))
            self.bias = nn.Parameter(torch.zeros(x.shape[1:]))
        mean = x.mean(self.dims, keepdim=True)
        var = x.var(self.dims, keepdim=True, unbiased=False)
        return self.weight * (x - mean) / torch.sqrt(var + self.eps) + self.bias


@image.known_mistake(
    "per_pixel with the channels left at the end",
    "With `per_pixel=True` you moved the channels to the end, and returned them there: your output "
    "has shape (N, H, W, C).",
    hint="`.movedim(-1, 1)` brings them back, after the scale and the shift.",
)
class ImageChannelsLeftLast(ImageLayerNorm):
    def forward(self, x):
        y = super().forward(x)
        return y.movedim(1, -1) if self.dims == 1 else y


# Images: the formula, precision, autograd


@image.known_mistake(
    "the unbiased variance",
    "You divided the sum of squared deviations by one less than there are, as `torch.var` does "
    "unless told otherwise.",
    hint="Look for `unbiased` or `correction` in the documentation of `torch.var`.",
)
class ImageUnbiased(ImageLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)
        var = wide.var(self.dims, keepdim=True)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


@image.known_mistake(
    "shifting before scaling",
    "You computed weight * (x_hat + bias), so the shift is scaled too.",
    hint="Multiply first, then add.",
)
class ImageShiftFirst(ImageLayerNorm):
    def forward(self, x):
        weight, bias = self.weight[:, None, None], self.bias[:, None, None]
        return (super().forward(x) + bias * (weight - 1)).to(x.dtype)


@image.known_mistake(
    "eps outside the square root",
    "You divided by sqrt(var) + eps. The formula divides by sqrt(var + eps).",
    hint="Move `eps` inside.",
)
class ImageEpsOutside(ImageLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)
        var = wide.var(self.dims, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / (torch.sqrt(var) + self.eps)
        return (x_hat * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


@image.known_mistake(
    "an eps of your own instead of the argument",
    "You added 1e-5 whatever `eps` was passed.",
    hint="Where does your code read the argument `eps`?",
)
class ImageOwnEps(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__(num_channels, per_pixel=per_pixel)


@image.known_mistake(
    "another default for eps (1e-6)",
    "Built without `eps`, your module uses 1e-6. The signature says `eps=1e-5`.",
    hint="Look at the line `def __init__`. ConvNeXt's own code has 1e-6 there.",
)
class ImageOtherDefault(ImageLayerNorm):
    def __init__(self, num_channels, eps=1e-6, per_pixel=False):
        super().__init__(num_channels, eps, per_pixel)


@image.known_mistake(
    "the variance as E[x^2] - E[x]^2",
    "On paper that is the variance. With an offset of 10,000 both terms are about 1e8, and float32 "
    "keeps seven digits: their difference is rounding noise.",
    hint="Subtract the mean first, then take the mean of the squares.",
)
class ImageDifferenceOfSquares(ImageLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True)
        var = wide.square().mean(self.dims, keepdim=True) - mean.square()
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


@image.known_mistake(
    "statistics in half precision",
    "You computed in the dtype of x. In float16 a variance above 65,504 is infinite.",
    hint="When x is float16 or bfloat16, turn it into float32 first, and only the final result "
    "back.",
)
class ImageInHalf(ImageLayerNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        var = x.var(self.dims, keepdim=True, unbiased=False)
        x_hat = (x - mean) / torch.sqrt(var + self.eps)
        return x_hat * self.weight[:, None, None] + self.bias[:, None, None]


@image.known_mistake(
    "float32 out, whatever came in",
    "You computed in float32, as you should for half precision, and the result is still float32.",
    hint="The last step is `.to(x.dtype)`. After `x = x.float()` that is float32: keep the dtype "
    "before.",
)
class ImageFloatOut(ImageLayerNorm):
    def forward(self, x):
        return super().forward(x.float())


@image.known_mistake(
    "PyTorch's own norm does the work",
    "The numbers are right, but your `forward` hands x to a normalisation of PyTorch (a group norm "
    "of one group is the default mode, `F.layer_norm` on channels moved to the end the other). "
    "Writing that one is what this exercise is about.",
    hint="Start from `mean` and `var`, or from sums.",
)
class ImageBuiltIn(ImageLayerNorm):
    def forward(self, x):
        if self.dims == 1:
            last = x.movedim(1, -1)
            y = nn.functional.layer_norm(last, last.shape[-1:], self.weight, self.bias, self.eps)
            return y.movedim(-1, 1)
        return nn.functional.group_norm(x, 1, self.weight, self.bias, self.eps)


@image.known_mistake(
    "the mean and the variance detached",
    "You hid the statistics from autograd, which then takes them for constants. They depend on x, "
    "and so two of the three terms of dx are missing.",
    hint="Compute the statistics without `.detach()`, `.data`, `.item()` or `no_grad()`.",
)
class ImageDetached(ImageLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dims, keepdim=True).detach()
        var = wide.var(self.dims, keepdim=True, unbiased=False).detach()
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


@image.known_mistake(
    "x changed in place",
    "Your code writes into the tensor it was given, and the caller's image is gone.",
    hint="`x = x - mean` makes a new tensor; `x -= mean` does not.",
)
class ImageInPlace(ImageLayerNorm):
    def forward(self, x):
        y = super().forward(x)
        with torch.no_grad():
            x -= x.mean(self.dims, keepdim=True)
        return y


@image.known_mistake(
    "statistics kept from the first call",
    "Your module computes the mean and the variance once and keeps them. Every image brings its "
    "own.",
    hint="What is computed from x belongs into a variable of `forward`, not behind an `if` and "
    "`self.`.",
)
class ImageKeptStatistics(ImageLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        if not hasattr(self, "mean"):
            self.mean = wide.mean(self.dims, keepdim=True)
            self.var = wide.var(self.dims, keepdim=True, unbiased=False)
        x_hat = (wide - self.mean) / torch.sqrt(self.var + self.eps)
        return (x_hat * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


@image.combination
class ImageAcrossBatchEpsOutside(ImageLayerNorm):
    def forward(self, x):
        dims = 1 if self.dims == 1 else (0, 2, 3)
        mean = x.mean(dims, keepdim=True)
        std = x.var(dims, keepdim=True, unbiased=False).sqrt()
        x_hat = (x - mean) / (std + self.eps)
        return x_hat * self.weight[:, None, None] + self.bias[:, None, None]


@image.combination
class ImageUnbiasedModeIgnored(ImageLayerNorm):
    def forward(self, x):
        mean = x.mean((1, 2, 3), keepdim=True)
        var = x.var((1, 2, 3), keepdim=True)
        x_hat = (x - mean) / torch.sqrt(var + self.eps)
        return x_hat * self.weight[:, None, None] + self.bias[:, None, None]


@image.combination
class ImageOwnEpsInPlace(ImageLayerNorm):
    def forward(self, x):
        mean = x.mean(self.dims, keepdim=True)
        var = x.var(self.dims, keepdim=True, unbiased=False)
        with torch.no_grad():
            x -= mean
        return x / torch.sqrt(var + 1e-5) * self.weight[:, None, None] + self.bias[:, None, None]


@image.right_solution
class ImageFlat(nn.Module):
    """Every group in one row, by moving and flattening dims."""

    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, num_channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, num_channels, 1, 1))
        self.eps, self.per_pixel = eps, per_pixel

    def forward(self, x):
        h = x.to(torch.promote_types(x.dtype, torch.float32))
        rows = h.movedim(1, -1) if self.per_pixel else h.flatten(1)
        var, mean = torch.var_mean(rows, -1, correction=0, keepdim=True)
        rows = (rows - mean) * torch.rsqrt(var + self.eps)
        h = rows.movedim(-1, 1) if self.per_pixel else rows.view(x.shape)
        return torch.addcmul(self.beta.to(h), h, self.gamma.to(h)).to(x.dtype)


@image.right_solution
class ImageOneByOne(nn.Module):
    """Image by image and, in the second mode, pixel by pixel; in float64."""

    def __init__(self, num_channels, eps=1e-5, per_pixel=False):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(num_channels, 1, 1))
        self.scale = nn.Parameter(torch.ones(num_channels, 1, 1))
        self.settings = eps, per_pixel

    def forward(self, x):
        eps, per_pixel = self.settings

        def one(values):
            centred = values - values.sum() / values.numel()
            return centred / (centred.pow(2).sum() / values.numel() + eps) ** 0.5

        images = []
        for sample in x.double():
            if per_pixel:
                pixels = [one(pixel) for pixel in sample.flatten(1).unbind(1)]
                images.append(torch.stack(pixels, 1).reshape(sample.shape))
            else:
                images.append(one(sample))
        return (torch.stack(images) * self.scale + self.shift).to(x.dtype)


@image.right_solution
class ImageEinsum(ImageLayerNorm):
    def forward(self, x):
        h = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        into, size = ("nchw->nhw", x[0, :, 0, 0].numel())
        if self.dims != 1:
            into, size = "nchw->n", x[0].numel()
        lengths = (len(x), 1, 1, 1) if self.dims != 1 else (len(x), 1, *x.shape[2:])
        centred = h - (torch.einsum(into, h) / size).reshape(lengths)
        var = torch.einsum(into, centred**2).reshape(lengths) / size
        x_hat = centred / torch.sqrt(var + self.eps)
        y = torch.einsum("nchw,c->nchw", x_hat, self.weight.to(x_hat))
        return (y + self.bias.reshape(1, -1, 1, 1)).to(x.dtype)


# Text: over what


@text.known_mistake(
    "statistics across the batch and the tokens (batch norm)",
    "You took the mean of each feature over all tokens. That is batch normalization.",
    hint="Each token has its own mean, over its D features: shape (N, T, 1).",
)
class TextAcrossBatch(TextLayerNorm):
    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__(d_model, eps, per_sequence)
        self.dims = (1, 2) if per_sequence else (0, 1)


@text.known_mistake(
    "each feature over the tokens of its sequence",
    "You took the statistics over dim 1, the tokens, feature by feature.",
    hint="The features are the last dim. The mean of a token has shape (N, T, 1).",
)
class TextOverTokens(TextLayerNorm):
    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__(d_model, eps, per_sequence)
        self.dims = (1, 2) if per_sequence else 1


@text.known_mistake(
    "per sequence in both modes",
    "Your module always takes one mean for all tokens of a sequence. Without `per_sequence=True` "
    "each token has its own.",
    hint="The default mode goes over dim 2 alone.",
)
class TextAlwaysPerSequence(TextLayerNorm):
    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__(d_model, eps, per_sequence=True)


@text.known_mistake(
    "per_sequence ignored",
    "Your module always normalises token by token, whatever `per_sequence` says.",
    hint="`__init__` has to keep `per_sequence`, or what follows from it, and `forward` to use it.",
)
class TextModeIgnored(TextLayerNorm):
    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__(d_model, eps)


@text.known_mistake(
    "per_sequence over the tokens, each feature by itself",
    "With `per_sequence=True` you took the statistics over T alone, feature by feature. All T x D "
    "numbers of a sequence share them.",
    hint="In this mode the mean has shape (N, 1, 1).",
)
class TextSequenceOverTokens(TextLayerNorm):
    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__(d_model, eps)
        self.dims = 1 if per_sequence else 2


# Text: the mask


@text.known_mistake(
    "the mask is ignored",
    "Your `forward` takes a mask and makes nothing of it.",
    hint="Padded positions come out as 0, and in the second mode they have no part in the "
    "statistics.",
)
class TextMaskIgnored(TextLayerNorm):
    def forward(self, x, mask=None):
        return super().forward(x)


@text.known_mistake(
    "padding not cleared in the output",
    "Your statistics are right, but the padded positions of the output are not 0.",
    hint="The last step: `torch.where(real, y, 0)`, or `y.masked_fill(~real, 0)`.",
)
class TextNotCleared(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        count = real.sum(self.dims, keepdim=True).clamp(min=1)
        known = torch.where(real, wide, 0)
        mean = known.sum(self.dims, keepdim=True) / count
        var = torch.where(real, known - mean, 0).square().sum(self.dims, keepdim=True) / count
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@text.known_mistake(
    "the shift written to padded positions",
    "You cleared the padded positions before the shift, so they come out as the shift, not as 0.",
    hint="Clear them last of all. The shift is 0 in a new module, which hides this.",
)
class TextShiftAtPadding(TextLayerNorm):
    def forward(self, x, mask=None):
        y = super().forward(x, mask)
        if mask is None:
            return y
        return torch.where(mask.bool()[:, :, None], y, self.bias)


@text.known_mistake(
    "the mask inverted",
    "You kept the padding and cleared the real tokens.",
    hint="True or 1 means a real token here. (`src_key_padding_mask` of PyTorch's Transformer has "
    "it the other way round.)",
)
class TextMaskInverted(TextLayerNorm):
    def forward(self, x, mask=None):
        return super().forward(x, None if mask is None else ~mask.bool())


@text.known_mistake(
    "padding in the statistics",
    "You normalised the sequence with its padding, and cleared the padded positions afterwards. "
    "With `per_sequence=True` the real tokens then depend on what stands at the padded positions.",
    hint="Add up the real numbers only, and divide by how many of them there are.",
)
class TextPaddingCounts(TextLayerNorm):
    def forward(self, x, mask=None):
        y = super().forward(x)
        return y if mask is None else torch.where(mask.bool()[:, :, None], y, 0)


@text.known_mistake(
    "padding counts as zeros",
    "You cleared the padded positions of x and then took an ordinary mean and variance. The zeros "
    "are still numbers to these two.",
    hint="Divide the sums by the number of real entries, not by T x D, and leave padding out of "
    "the squared deviations: 0 is some way from the mean.",
)
class TextPaddingAsZeros(TextLayerNorm):
    def forward(self, x, mask=None):
        if mask is None:
            return super().forward(x)
        real = mask.bool()[:, :, None]
        return torch.where(real, super().forward(torch.where(real, x, 0)), 0)


@text.known_mistake(
    "sums of real numbers divided by T instead of their count",
    "You added up what is real, and then divided by the full length: the mean and the variance "
    "are too small by the share of padding.",
    hint="`mask.sum(1)` tells how many tokens of each sequence are real: times D.",
)
class TextDividedByT(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        wide = torch.where(real, wide, 0)
        mean = wide.mean(self.dims, keepdim=True)
        centred = torch.where(real, wide - mean, 0)
        var = centred.square().mean(self.dims, keepdim=True)
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0).to(x.dtype)


@text.known_mistake(
    "the variance divided by T instead of the count",
    "Your mean is right. The sum of squared deviations is divided by the full length, padding "
    "included.",
    hint="The mean and the variance have the same divisor: the number of real entries.",
)
class TextVarianceByT(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        wide = torch.where(real, wide, 0)
        count = real.sum(self.dims, keepdim=True).clamp(min=1)
        centred = torch.where(real, wide - wide.sum(self.dims, keepdim=True) / count, 0)
        var = centred.square().mean(self.dims, keepdim=True)
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0).to(x.dtype)


@text.known_mistake(
    "padding in the squared deviations",
    "Your mean is right. But after you subtract it, the padded positions hold 0 − mean, and their "
    "squares are added to the variance.",
    hint="Clear the padded positions of `x - mean` before you square it.",
)
class TextDeviationsOfPadding(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        wide = torch.where(real, wide, 0)
        count = real.sum(self.dims, keepdim=True).clamp(min=1)
        centred = wide - wide.sum(self.dims, keepdim=True) / count
        var = centred.square().sum(self.dims, keepdim=True) / count
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0).to(x.dtype)


@text.known_mistake(
    "the count of tokens, not of numbers",
    "You divided by the number of real tokens. With `per_sequence=True` each of them brings D "
    "numbers, so your mean is D times too large.",
    hint="Expand the mask to the shape of x before you add it up, or multiply the count by D.",
)
class TextCountOfTokens(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None]
        wide = torch.where(real, wide, 0)
        count = real.sum(1, keepdim=True).clamp(min=1) if self.dims == (1, 2) else x.shape[2]
        centred = torch.where(real, wide - wide.sum(self.dims, keepdim=True) / count, 0)
        var = centred.square().sum(self.dims, keepdim=True) / count
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0).to(x.dtype)


@text.known_mistake(
    "padding removed by multiplying with 0",
    "You multiply by the mask. For ordinary numbers that is as good as any way, but 0 times inf "
    "and 0 times NaN are NaN.",
    hint="`torch.where(real, x, 0)` and `x.masked_fill(~real, 0)` replace what they do not take.",
)
class TextMultiplied(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.to(wide.dtype)[:, :, None].expand(x.shape)
        count = real.sum(self.dims, keepdim=True).clamp(min=1)
        mean = (wide * real).sum(self.dims, keepdim=True) / count
        centred = (wide - mean) * real
        var = centred.square().sum(self.dims, keepdim=True) / count
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return (y * real).to(x.dtype)


@text.known_mistake(
    "padding removed by multiplying with 0 at the end",
    "Your statistics are right. But you clear the output by multiplying with the mask, and 0 times "
    "inf and 0 times NaN are NaN.",
    hint="`torch.where(real, y, 0)` replaces what it does not take.",
)
class TextMultipliedAtTheEnd(TextLayerNorm):
    def forward(self, x, mask=None):
        if mask is None:
            return super().forward(x)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        real = mask.bool()[:, :, None].expand(x.shape)
        known = torch.where(real, wide, 0)
        count = real.sum(self.dims, keepdim=True).clamp(min=1)
        mean = known.sum(self.dims, keepdim=True) / count
        var = torch.where(real, known - mean, 0).square().sum(self.dims, keepdim=True) / count
        y = (wide - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias
        return (y * mask[:, :, None]).to(x.dtype)


@text.known_mistake(
    "division by a count of 0",
    "A sequence that is all padding has no real number, and 0 divided by 0 is NaN. "
    "`torch.where` keeps it out of the output, but not out of the gradients of the scale and x.",
    hint="`count.clamp(min=1)` changes nothing where there is a real token.",
)
class TextCountOfZero(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        wide = torch.where(real, wide, 0)
        if self.dims == 2:
            centred = wide - wide.mean(2, keepdim=True)
            var = centred.square().mean(2, keepdim=True)
        else:
            count = real.sum(self.dims, keepdim=True)
            centred = wide - wide.sum(self.dims, keepdim=True) / count
            var = (centred.square() * real).sum(self.dims, keepdim=True) / count
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0).to(x.dtype)


@text.known_mistake(
    "division by a count of 0, and NaN in the output",
    "A sequence that is all padding has no real number, and 0 divided by 0 is NaN, in your output "
    "too.",
    hint="`count.clamp(min=1)` changes nothing where there is a real token.",
)
class TextCountOfZeroShows(TextLayerNorm):
    def forward(self, x, mask=None):
        y = super().forward(x, mask)
        if mask is None or self.dims == 2:
            return y
        count = mask.sum(1)[:, None, None]
        return torch.where(mask.bool()[:, :, None], y, 0 / count)


@text.known_mistake(
    "only a mask of bools (masked_fill)",
    "For a mask of bools your code is right. With ints, which is what most tokenizers give, `~` "
    "makes −1 of 0 and −2 of 1, and `masked_fill` refuses.",
    hint="Start with `mask = mask.bool()`.",
)
class TextOnlyBools(TextLayerNorm):
    def forward(self, x, mask=None):
        y = super().forward(x, mask)
        return y if mask is None else y.masked_fill(~mask[:, :, None], 0)


@text.known_mistake(
    "only a mask of bools (torch.where)",
    "For a mask of bools your code is right. Most tokenizers give ints, 1 and 0, and `torch.where` "
    "refuses these.",
    hint="Start with `mask = mask.bool()`.",
)
class TextOnlyBoolsInWhere(TextLayerNorm):
    def forward(self, x, mask=None):
        y = super().forward(x, mask)
        return y if mask is None else torch.where(mask[:, :, None], y, 0)


@text.known_mistake(
    "the mask without a dim for the features",
    "A mask of shape (N, T) lines up with the last two dims of x, tokens and features. Where N, T "
    "and D are equal, no error says so.",
    hint="`mask[:, :, None]` has shape (N, T, 1).",
)
class TextMaskWithoutFeatures(TextLayerNorm):
    def forward(self, x, mask=None):
        y = super().forward(x)
        return y if mask is None else y * mask


@text.known_mistake(
    "the length of each sequence instead of its mask",
    "You counted the real tokens and took the first so many. Padding may stand in front as well: "
    "the mask says where.",
    hint="Use the mask itself, entry by entry.",
)
class TextLengths(TextLayerNorm):
    def forward(self, x, mask=None):
        if mask is None:
            return super().forward(x)
        first = torch.arange(x.shape[1]) < mask.long().sum(1, keepdim=True)
        return super().forward(x, first)


@text.known_mistake(
    "a mask is needed (None has no methods)",
    "Your `forward` calls a method of the mask, and there may be none: it is None by default, and "
    "then every token is real.",
    hint="If the mask is None, make one: `torch.ones(x.shape[:2], device=x.device)`.",
)
class TextMaskNeeded(TextLayerNorm):
    def forward(self, x, mask=None):
        return super().forward(x, mask.bool())


@text.known_mistake(
    "a mask is needed (None has no entries)",
    "Your `forward` takes entries of the mask, and there may be none: it is None by default, and "
    "then every token is real.",
    hint="If the mask is None, make one: `torch.ones(x.shape[:2], device=x.device)`.",
)
class TextMaskNeededEntries(TextLayerNorm):
    def forward(self, x, mask=None):
        return super().forward(x, mask[:, :, None][:, :, 0])


# Text: the formula, precision, autograd


@text.known_mistake(
    "the unbiased variance",
    "You divided the sum of squared deviations by one less than there are.",
    hint="The variance has the divisor of the mean: the number of real entries.",
)
class TextUnbiased(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        wide = torch.where(real, wide, 0)
        count = real.sum(self.dims, keepdim=True).clamp(min=2)
        centred = torch.where(real, wide - wide.sum(self.dims, keepdim=True) / count, 0)
        var = centred.square().sum(self.dims, keepdim=True) / (count - 1)
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0).to(x.dtype)


@text.known_mistake(
    "shifting before scaling",
    "You computed weight * (x_hat + bias), so the shift is scaled too.",
    hint="Multiply first, then add.",
)
class TextShiftFirst(TextLayerNorm):
    def forward(self, x, mask=None):
        y = super().forward(x, mask) + (self.weight - 1) * self.bias
        y = y if mask is None else torch.where(mask.bool()[:, :, None], y, 0)
        return y.to(x.dtype)


@text.known_mistake(
    "eps outside the square root",
    "You divided by sqrt(var) + eps. The formula divides by sqrt(var + eps).",
    hint="Move `eps` inside. Outside it does not keep the gradient of a square root at 0 from "
    "being infinite, either.",
)
class TextEpsOutside(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        wide = torch.where(real, wide, 0)
        count = real.sum(self.dims, keepdim=True).clamp(min=1)
        centred = torch.where(real, wide - wide.sum(self.dims, keepdim=True) / count, 0)
        var = centred.square().sum(self.dims, keepdim=True) / count
        y = centred / (torch.sqrt(var) + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0).to(x.dtype)


@text.known_mistake(
    "an eps of your own instead of the argument",
    "You added 1e-5 whatever `eps` was passed.",
    hint="Where does your code read the argument `eps`?",
)
class TextOwnEps(TextLayerNorm):
    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__(d_model, per_sequence=per_sequence)


@text.known_mistake(
    "another default for eps (1e-6)",
    "Built without `eps`, your module uses 1e-6. The signature says `eps=1e-5`.",
    hint="Look at the line `def __init__`.",
)
class TextOtherDefault(TextLayerNorm):
    def __init__(self, d_model, eps=1e-6, per_sequence=False):
        super().__init__(d_model, eps, per_sequence)


@text.known_mistake(
    "the variance as E[x^2] - E[x]^2",
    "On paper that is the variance, and it is handy with a mask. With an offset of 10,000 both "
    "terms are about 1e8, and float32 keeps seven digits: their difference is rounding noise.",
    hint="Subtract the mean first, clear the padded positions, then average the squares.",
)
class TextDifferenceOfSquares(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        wide = torch.where(real, wide, 0)
        count = real.sum(self.dims, keepdim=True).clamp(min=1)
        mean = wide.sum(self.dims, keepdim=True) / count
        var = wide.square().sum(self.dims, keepdim=True) / count - mean.square()
        y = (wide - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0).to(x.dtype)


@text.known_mistake(
    "statistics in half precision",
    "You computed in the dtype of x. In float16 a variance above 65,504 is infinite.",
    hint="When x is float16 or bfloat16, turn it into float32 first, and only the final result "
    "back.",
)
class TextInHalf(TextLayerNorm):
    def forward(self, x, mask=None):
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        known = torch.where(real, x, 0)
        count = real.sum(self.dims, keepdim=True).clamp(min=1)
        centred = torch.where(real, known - known.sum(self.dims, keepdim=True) / count, 0)
        var = centred.square().sum(self.dims, keepdim=True) / count
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0)


@text.known_mistake(
    "float32 out, whatever came in",
    "You computed in float32, as you should for half precision, and the result is still float32.",
    hint="The last step is `.to(x.dtype)`. After `x = x.float()` that is float32: keep the dtype "
    "before.",
)
class TextFloatOut(TextLayerNorm):
    def forward(self, x, mask=None):
        return super().forward(x.float(), mask)


@text.known_mistake(
    "PyTorch's own norm does the work",
    "The numbers are right, but your `forward` hands x to a normalisation of PyTorch. Writing that "
    "one is what this exercise is about.",
    hint="Start from sums over what is real.",
)
class TextBuiltIn(TextLayerNorm):
    def forward(self, x, mask=None):
        if self.dims != 2:
            return super().forward(x, mask)
        y = nn.functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)
        return y if mask is None else torch.where(mask.bool()[:, :, None], y, 0)


@text.known_mistake(
    "the padded positions of x cleared in place",
    "You wrote zeros into the tensor you were given (`x[~mask] = 0`, or `masked_fill_`). The "
    "caller may still need what stood there, and autograd forbids it for a tensor that is learned.",
    hint="`torch.where(real, x, 0)` and `masked_fill`, without the underscore, make a new tensor.",
)
class TextClearedInPlace(TextLayerNorm):
    def forward(self, x, mask=None):
        if mask is not None:
            x[~mask.bool()] = 0
        return super().forward(x, mask)


@text.known_mistake(
    "the mean and the variance detached",
    "You hid the statistics from autograd, which then takes them for constants. They depend on x, "
    "and so two of the three terms of dx are missing.",
    hint="Compute the statistics without `.detach()`, `.data`, `.item()` or `no_grad()`.",
)
class TextDetached(TextLayerNorm):
    def forward(self, x, mask=None):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mask = torch.ones(x.shape[:2]) if mask is None else mask
        real = mask.bool()[:, :, None].expand(x.shape)
        wide = torch.where(real, wide, 0)
        count = real.sum(self.dims, keepdim=True).clamp(min=1)
        mean = (wide.sum(self.dims, keepdim=True) / count).detach()
        centred = torch.where(real, wide - mean, 0)
        var = (centred.square().sum(self.dims, keepdim=True) / count).detach()
        y = centred / torch.sqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real, y, 0).to(x.dtype)


@text.known_mistake(
    "one number for the scale and one for the shift",
    "Your scale and your shift are a single number each. Every feature has its own.",
    hint="`torch.ones(d_model)`.",
)
class TextScalars(TextLayerNorm):
    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__(d_model, eps, per_sequence)
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))


@text.combination
class TextInvertedAndInPlace(TextLayerNorm):
    def forward(self, x, mask=None):
        if mask is None:
            return super().forward(x)
        x[mask.bool()] = 0
        return super().forward(x, ~mask.bool())


@text.combination
class TextPaddingCountsOwnEps(TextLayerNorm):
    def forward(self, x, mask=None):
        self.eps = 1e-5
        y = super().forward(x)
        return y if mask is None else torch.where(mask.bool()[:, :, None], y, 0)


@text.combination
class TextNotClearedModeIgnored(TextLayerNorm):
    def forward(self, x, mask=None):
        self.dims = 2
        return super().forward(x)


@text.right_solution
class TextPicked(nn.Module):
    """Takes the real tokens out, normalises them, and puts them back."""

    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__()
        self.g = nn.Parameter(torch.ones(d_model))
        self.b = nn.Parameter(torch.zeros(d_model))
        self.eps, self.per_sequence = eps, per_sequence

    def norm(self, values):
        var, mean = torch.var_mean(values, -1, correction=0, keepdim=True)
        return (values - mean) * (var + self.eps).rsqrt()

    def forward(self, x, mask=None):
        mask = torch.ones_like(x[..., 0]) if mask is None else mask
        output = torch.zeros_like(x)
        for n in range(len(x)):
            chosen = mask[n] > 0
            if not chosen.any():
                continue
            tokens = x[n][chosen].float()
            if self.per_sequence:
                normal = self.norm(tokens.flatten()).reshape(tokens.shape)
            else:
                normal = self.norm(tokens)
            output[n, chosen] = (normal * self.g + self.b).to(x.dtype)
        return output


@text.right_solution
class TextFilled(nn.Module):
    """masked_fill, two branches, and products where nothing can be NaN any more."""

    def __init__(self, d_model, eps=1e-5, per_sequence=False):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1, d_model))
        self.bias = nn.Parameter(torch.zeros(1, 1, d_model))
        self.eps, self.per_sequence = eps, per_sequence

    def forward(self, x, mask=None):
        dtype = x.dtype
        x = x.to(torch.promote_types(dtype, torch.float32))
        if mask is None:
            mask = x.new_ones(x.shape[:2])
        padded = (mask == 0).unsqueeze(-1)
        m = (~padded).to(x.dtype)
        x = x.masked_fill(padded, 0.0)
        if self.per_sequence:
            n = (m.sum(dim=1, keepdim=True) * x.size(-1)).clamp_min(1.0)
            mu = x.sum(dim=(1, 2), keepdim=True) / n
            var = ((x - mu) ** 2 * m).sum(dim=(1, 2), keepdim=True) / n
        else:
            mu = x.mean(dim=-1, keepdim=True)
            var = x.var(dim=-1, keepdim=True, unbiased=False)
        y = (x - mu) / torch.sqrt(var + self.eps) * self.weight + self.bias
        return (y * m).to(dtype)


@text.right_solution
class TextEinsum(TextLayerNorm):
    """In float64, with the share of each token in the mean as a weight."""

    def forward(self, x, mask=None):
        N, T, D = x.shape
        real = torch.ones(N, T).bool() if mask is None else mask != 0
        wide = x.double().masked_fill(~real.unsqueeze(2), 0)
        if self.dims == 2:
            mean = wide.mean(2, keepdim=True).expand(N, T, 1)
            var = wide.var(2, keepdim=True, correction=0)
        else:
            share = real / (real.sum(1, keepdim=True).clamp(min=1) * D).double()
            mean = torch.einsum("ntd,nt->n", wide, share)[:, None, None]
            var = torch.einsum("ntd,nt->n", (wide - mean) ** 2, share)[:, None, None]
        y = (wide - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias
        return torch.where(real.unsqueeze(2), y, y.new_zeros(())).to(x.dtype)


# Time series: over what


@time_series.known_mistake(
    "over time in the default mode",
    "Your module always normalises each feature over time. Without `over_time=True` it is each "
    "step over its features.",
    hint="Time is dim 1, the features are dim 2.",
)
class SeriesAlwaysOverTime(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, eps, over_time=True)


@time_series.known_mistake(
    "over_time ignored",
    "Your module always normalises step by step, whatever `over_time` says.",
    hint="`__init__` has to keep `over_time`, or what follows from it, and `forward` to use it.",
)
class SeriesModeIgnored(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, eps)


@time_series.known_mistake(
    "time and features swapped",
    "Your module does with `over_time=False` what belongs to True, and the reverse.",
    hint="Time is dim 1, the features are dim 2.",
)
class SeriesModesSwapped(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, eps, not over_time)


@time_series.known_mistake(
    "statistics across the batch (batch norm)",
    "You took the mean of each feature over all series and steps. That is batch normalization.",
    hint="Each step of each series has its own mean: shape (N, T, 1).",
)
class SeriesAcrossBatch(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, eps, over_time)
        self.dim = 1 if over_time else (0, 1)


@time_series.known_mistake(
    "over_time across the batch",
    "With `over_time=True` you took the mean of each feature over all series of the batch. Each "
    "series has its own.",
    hint="The mean over time has shape (N, 1, F): the batch stays.",
)
class SeriesTimeAcrossBatch(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, eps)
        self.dim = (0, 1) if over_time else 2


@time_series.known_mistake(
    "one mean for a whole series",
    "Your module takes the statistics over T and F together. By default each step has its own.",
    hint="The mean has shape (N, T, 1): only the features go.",
)
class SeriesWhole(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, eps, over_time)
        self.dim = 1 if over_time else (1, 2)


@time_series.known_mistake(
    "over_time with time and features together",
    "With `over_time=True` you took the statistics over T and F together. Each feature of a series "
    "has its own.",
    hint="The mean over time has shape (N, 1, F): the features stay.",
)
class SeriesTimeAndFeatures(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, eps)
        self.dim = (1, 2) if over_time else 2


@time_series.known_mistake(
    "each series transposed and not transposed back",
    "With `over_time=True` you moved time to the end, and returned it there: your output has shape "
    "(N, F, T).",
    hint="`.transpose(1, 2)` once more, before the scale and the shift.",
)
class SeriesNotTransposedBack(TimeSeriesLayerNorm):
    def forward(self, x):
        y = super().forward(x)
        return y.transpose(1, 2) if self.dim == 1 else y


@time_series.known_mistake(
    "missing keepdim",
    "Your mean and variance have lost the dim they were taken over. What is left lines up with "
    "the wrong dims of x.",
    hint="Pass `keepdim=True` to both.",
)
class SeriesNoKeepdim(TimeSeriesLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dim)
        var = wide.var(self.dim, unbiased=False)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@time_series.known_mistake(
    "the mean of the steps so far",
    "With `over_time=True` you took the mean and the variance of the steps up to each step. That "
    "is a fine thing for a forecast, and another one: here all T steps share their statistics.",
    hint="The mean over time has shape (N, 1, F).",
)
class SeriesSoFar(TimeSeriesLayerNorm):
    def forward(self, x):
        if self.dim == 2:
            return super().forward(x)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        steps = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        mean = wide.cumsum(1) / steps
        var = (wide.square().cumsum(1) / steps - mean.square()).clamp(min=0)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


# Time series: the formula, precision, autograd


@time_series.known_mistake(
    "the unbiased variance",
    "You divided the sum of squared deviations by one less than there are, as `torch.var` does "
    "unless told otherwise. For a series of one step that is 0 divided by 0.",
    hint="Look for `unbiased` or `correction` in the documentation of `torch.var`.",
)
class SeriesUnbiased(TimeSeriesLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dim, keepdim=True)
        var = wide.var(self.dim, keepdim=True)
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@time_series.known_mistake(
    "shifting before scaling",
    "You computed weight * (x_hat + bias), so the shift is scaled too.",
    hint="Multiply first, then add.",
)
class SeriesShiftFirst(TimeSeriesLayerNorm):
    def forward(self, x):
        return super().forward(x) + (self.weight - 1) * self.bias


@time_series.known_mistake(
    "torch.std plus eps",
    "Two things at once: `torch.std` divides by one less than there are, and `eps` is added to the "
    "standard deviation. The formula has sqrt(var + eps).",
    hint="Compute the variance instead, with `unbiased=False`, and take the square root yourself.",
)
class SeriesStdPlusEps(TimeSeriesLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dim, keepdim=True)
        x_hat = (wide - mean) / (wide.std(self.dim, keepdim=True) + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@time_series.known_mistake(
    "eps outside the square root",
    "You divided by sqrt(var) + eps. The formula divides by sqrt(var + eps).",
    hint="Move `eps` inside.",
)
class SeriesEpsOutside(TimeSeriesLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dim, keepdim=True)
        var = wide.var(self.dim, keepdim=True, unbiased=False)
        x_hat = (wide - mean) / (torch.sqrt(var) + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@time_series.known_mistake(
    "an eps of your own instead of the argument",
    "You added 1e-5 whatever `eps` was passed.",
    hint="Where does your code read the argument `eps`?",
)
class SeriesOwnEps(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, over_time=over_time)


@time_series.known_mistake(
    "another default for eps (1e-6)",
    "Built without `eps`, your module uses 1e-6. The signature says `eps=1e-5`.",
    hint="Look at the line `def __init__`.",
)
class SeriesOtherDefault(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-6, over_time=False):
        super().__init__(num_features, eps, over_time)


@time_series.known_mistake(
    "the variance as E[x^2] - E[x]^2",
    "On paper that is the variance. With an offset of 10,000 both terms are about 1e8, and float32 "
    "keeps seven digits: their difference is rounding noise.",
    hint="Subtract the mean first, then take the mean of the squares.",
)
class SeriesDifferenceOfSquares(TimeSeriesLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dim, keepdim=True)
        var = wide.square().mean(self.dim, keepdim=True) - mean.square()
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@time_series.known_mistake(
    "statistics in half precision",
    "You computed in the dtype of x. In float16 a variance above 65,504 is infinite.",
    hint="When x is float16 or bfloat16, turn it into float32 first, and only the final result "
    "back.",
)
class SeriesInHalf(TimeSeriesLayerNorm):
    def forward(self, x):
        mean = x.mean(self.dim, keepdim=True)
        var = x.var(self.dim, keepdim=True, unbiased=False)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight + self.bias


@time_series.known_mistake(
    "float32 out, whatever came in",
    "You computed in float32, as you should for half precision, and the result is still float32.",
    hint="The last step is `.to(x.dtype)`. After `x = x.float()` that is float32: keep the dtype "
    "before.",
)
class SeriesFloatOut(TimeSeriesLayerNorm):
    def forward(self, x):
        return super().forward(x.float())


@time_series.known_mistake(
    "PyTorch's own norm does the work",
    "The numbers are right, but your `forward` hands x to a normalisation of PyTorch (layer norm "
    "is the default mode, instance norm the other). Writing that one is what this exercise is "
    "about.",
    hint="Start from `mean` and `var`, or from sums.",
)
class SeriesBuiltIn(TimeSeriesLayerNorm):
    def forward(self, x):
        if self.dim == 2:
            return nn.functional.layer_norm(x, x.shape[2:], self.weight, self.bias, self.eps)
        if x.shape[1] == 1:  # which instance norm refuses
            return super().forward(x)
        y = nn.functional.instance_norm(
            x.transpose(1, 2), weight=self.weight, bias=self.bias, eps=self.eps
        )
        return y.transpose(1, 2)


@time_series.known_mistake(
    "the length of the first series kept",
    "Your module remembers the length of the first series it saw. It has to take series of any "
    "length.",
    hint="Let `mean` find the number of steps, or read it from `x.shape` at every call.",
)
class SeriesFixedLength(TimeSeriesLayerNorm):
    def forward(self, x):
        if not hasattr(self, "length"):
            self.length = x.shape[1]
        return super().forward(x[:, : self.length])


@time_series.known_mistake(
    "the mean and the variance detached",
    "You hid the statistics from autograd, which then takes them for constants. They depend on x, "
    "and so two of the three terms of dx are missing.",
    hint="Compute the statistics without `.detach()`, `.data`, `.item()` or `no_grad()`.",
)
class SeriesDetached(TimeSeriesLayerNorm):
    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean(self.dim, keepdim=True).detach()
        var = wide.var(self.dim, keepdim=True, unbiased=False).detach()
        x_hat = (wide - mean) / torch.sqrt(var + self.eps)
        return (x_hat * self.weight + self.bias).to(x.dtype)


@time_series.known_mistake(
    "x changed in place",
    "Your code writes into the tensor it was given, and the caller's series is gone.",
    hint="`x = x - mean` makes a new tensor; `x -= mean` does not.",
)
class SeriesInPlace(TimeSeriesLayerNorm):
    def forward(self, x):
        y = super().forward(x)
        with torch.no_grad():
            x -= x.mean(self.dim, keepdim=True)
        return y


@time_series.known_mistake(
    "one number for the scale and one for the shift",
    "Your scale and your shift are a single number each. Every feature has its own.",
    hint="`torch.ones(num_features)`.",
)
class SeriesScalars(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features, eps, over_time)
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))


@time_series.combination
class SeriesSwappedUnbiased(TimeSeriesLayerNorm):
    def forward(self, x):
        dim = 3 - self.dim
        x_hat = (x - x.mean(dim, keepdim=True)) / (x.var(dim, keepdim=True) + self.eps).sqrt()
        return x_hat * self.weight + self.bias


@time_series.combination
class SeriesOwnEpsModeIgnored(TimeSeriesLayerNorm):
    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__(num_features)


@time_series.right_solution
class SeriesTransposed(nn.Module):
    """Moves time to the end for the second mode, and back."""

    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(num_features))
        self.shift = nn.Parameter(torch.zeros(num_features))
        self.eps, self.over_time = eps, over_time

    def forward(self, x):
        rows = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.over_time:
            rows = rows.transpose(1, 2)
        var, mean = torch.var_mean(rows, dim=-1, correction=0, keepdim=True)
        rows = (rows - mean) * (var + self.eps).rsqrt()
        if self.over_time:
            rows = rows.transpose(1, 2)
        return (self.shift + self.alpha * rows).to(x.dtype)


@time_series.right_solution
class SeriesSums(nn.Module):
    """Sums in float64, and parameters that line up with (N, T, F)."""

    def __init__(self, num_features, eps=1e-5, over_time=False):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1, num_features))
        self.bias = nn.Parameter(torch.zeros(1, 1, num_features))
        self.eps, self.axis = eps, -2 if over_time else -1

    def forward(self, x):
        wide, count = x.double(), x.shape[self.axis]
        centred = wide - wide.sum(self.axis, keepdim=True) / count
        length = torch.linalg.vector_norm(centred, dim=self.axis, keepdim=True)
        x_hat = centred / (length**2 / count + self.eps).sqrt()
        return (x_hat * self.weight + self.bias).to(x.dtype)
