"""A table of numbered and coloured groups: entries with the same number share a mean."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap


def numbered(axes: Axes, groups: np.ndarray, colours: str | Colormap, count: int) -> None:
    """Draw a table in which each entry bears the number and the colour of its group.

    Args:
        axes: where to draw.
        groups: the group of each entry, from 0, of shape (rows, columns).
        colours: the colour map that the groups' colours come from.
        count: how many colours of the map there are.
    """
    axes.imshow(groups, cmap=colours, vmin=0, vmax=count - 1, alpha=0.6)
    for (row, column), group in np.ndenumerate(groups):
        axes.text(column, row, str(group + 1), ha="center", va="center")
    axes.set(xticks=range(groups.shape[1]), yticks=range(groups.shape[0]))
