"""Which dims share a mean, and why one after the other is something else (challenge 1).

`over_dims` is the student's function: `over_dims(x, dims)`.
"""

from collections.abc import Callable

import numpy as np
import torch
from matplotlib.figure import Figure

from course.student.data import digits
from course.student.figures.numbered import numbered
from course.student.picture import picture

# A digit of the training images with strokes of several strengths.
DIGIT = 0


@picture
def shared_over_sets() -> tuple[Figure, str]:
    """Which entries of an (N, C, L) array share a mean, for six sets of dims."""
    shape = N, C, L = 2, 2, 3
    sets = [(2,), (1,), (1, 2), (0, 2), (0,), (0, 1, 2)]
    figure = Figure(figsize=(10, 2.9))
    words = []
    for column, dims in enumerate(sets):
        kept = [1 if dim in dims else length for dim, length in enumerate(shape)]
        groups = np.broadcast_to(np.arange(np.prod(kept)).reshape(kept), shape)
        for sample in range(N):
            axes = figure.add_subplot(N, len(sets), sample * len(sets) + column + 1)
            numbered(axes, groups[sample], "tab10", 10)
            axes.tick_params(length=0, labelsize=8)
            if sample == 0:
                axes.set_title(f"dims {dims}")
            else:
                axes.set_xlabel("position", size=9)
            if column == 0:
                axes.set_ylabel(f"sample {sample}\nchannel", size=9)
        count = int(np.prod(kept))
        words.append(f"{dims}: {count} of {N * C * L // count}")
    return figure, (
        "An array of 2 samples, 2 channels and 3 positions, drawn six times; equal numbers share"
        " one mean. How many groups there are for each set of dims, and of how many entries:"
        f" {'; '.join(words)}. With (2,) a group is a channel of a sample, with (1,) a position of"
        " a sample, with (1, 2) a sample, with (0, 2) a channel of both samples, with (0,) one"
        " place in both samples, and with (0, 1, 2) everything."
    )


@picture
def joint_and_one_by_one(over_dims: Callable[..., torch.Tensor]) -> tuple[Figure, str]:
    """A digit normalised over both dims at once, and over one after the other."""
    image = digits().images[DIGIT].double()
    panels = {
        "at once\ndims (0, 1)": over_dims(image, (0, 1)),
        "rows, then columns\ndims 1, then 0": over_dims(over_dims(image, 1), 0),
        "columns, then rows\ndims 0, then 1": over_dims(over_dims(image, 0), 1),
    }
    figure = Figure(figsize=(9, 2.6))
    first, *others = figure.subplots(1, 4)
    first.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    first.set_title("the digit\n(0: paper, 1: ink)")
    for axes, (title, values) in zip(others, panels.items(), strict=True):
        drawn = axes.imshow(values.detach(), cmap="PuOr", vmin=-2.5, vmax=2.5)
        axes.set_title(title)
    for axes in (first, *others):
        axes.set(xticks=[], yticks=[])
    figure.colorbar(drawn, ax=others, shrink=0.7, label="normalised value")
    _, rows_first, columns_first = panels.values()
    apart = (rows_first - columns_first).abs().max()
    spread = rows_first.std(1, correction=0)
    alike = [_correlation(image, values) for values in panels.values()]
    return figure, (
        "A handwritten digit of 8 by 8 pixels, and three normalised versions. At once, over both"
        " dims: the same picture in other units. Rows, then columns, and columns, then rows: other"
        " pictures, in which faint strokes are as strong as bold ones. The two orders differ by up"
        f" to {apart:.1f} in a pixel. After rows, then columns, the standard deviations of the rows"
        f" lie between {spread.min():.1f} and {spread.max():.1f}. Correlation with the digit: at"
        f" once {alike[0]:.2f}, rows first {alike[1]:.2f}, columns first {alike[2]:.2f}."
    )


def _correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.detach().flatten()]))[0, 1])
