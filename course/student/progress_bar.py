"""A progress bar for cells that take more than two seconds."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from IPython.display import display

Item = TypeVar("Item")


class ProgressBar:
    """A bar where widgets are shown; elsewhere, and in a saved notebook, a sentence.

    The sentence is the same at every run, so that a notebook's outputs can be compared.
    """

    def __init__(self, total: int, doing: str) -> None:
        """Start an empty bar.

        Args:
            total: how many steps there are.
            doing: what takes the time, such as "Training 24 networks".
        """
        import ipywidgets as widgets

        self._bar = widgets.IntProgress(max=total)
        self._left = widgets.Label()
        self._widget = widgets.HBox([widgets.Label(doing), self._bar, self._left])
        self._text = f"{doing}."
        self._start = time.monotonic()

    def advance(self) -> None:
        """Count one step as done."""
        done, total = self._bar.value + 1, self._bar.max
        left = (time.monotonic() - self._start) / done * (total - done)
        self._bar.value = done
        self._left.value = f"{done} of {total}, about {left:.0f} s left"

    def __repr__(self) -> str:
        """The sentence."""
        return self._text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {**self._widget._repr_mimebundle_(), "text/plain": self._text}


def with_progress(items: Sequence[Item], doing: str) -> Iterator[Item]:
    """Iterate over items, showing a progress bar with the time left.

    Args:
        items: what to iterate over.
        doing: what takes the time, such as "Training 24 networks".
    """
    bar = ProgressBar(len(items), doing)
    display(bar)
    for item in items:
        yield item
        bar.advance()
