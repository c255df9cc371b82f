"""An explorer: sliders and the figure they change; a static figure where there are no widgets."""

import base64
import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any

from matplotlib.figure import Figure

from course.student.picture import Note, Picture, picture


class Explorer:
    """A figure that is drawn anew whenever a slider moves.

    Args:
        draw: called with the student's objects and one keyword argument a slider; returns a
            matplotlib figure and its description in words.
        objects: the student's objects.
        sliders: ipywidgets by the names of draw's keyword arguments.
    """

    def __init__(
        self,
        draw: Callable[..., tuple[Figure, str]],
        objects: tuple[Any, ...],
        sliders: Mapping[str, Any],
    ) -> None:
        """Draw the first figure, with the sliders as they stand."""
        self._show = picture(draw)
        self._objects = objects
        self.sliders = dict(sliders)
        self.first = self.draw()

    def draw(self) -> Picture | Note:
        """Draw the figure for the sliders as they stand."""
        values = {name: slider.value for name, slider in self.sliders.items()}
        with _tidied_up():
            return self._show(*self._objects, **values)

    def __repr__(self) -> str:
        """The description of the first figure."""
        return repr(self.first)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if isinstance(self.first, Note):
            return {"text/plain": self.first.text}, {}
        data, metadata = self.first._repr_mimebundle_()
        return {**self._widget(self.first)._repr_mimebundle_(), **data}, metadata

    def _widget(self, first: Picture) -> Any:
        import ipywidgets as widgets

        shown = widgets.HTML(_html(first))

        def redraw(_: Any) -> None:
            shown.value = _html(self.draw())

        for slider in self.sliders.values():
            slider.observe(redraw, names="value")
        return widgets.VBox([*self.sliders.values(), shown])


@contextmanager
def _tidied_up() -> Iterator[None]:
    """Collect what a drawing leaves behind as soon as it is done.

    A figure is full of cycles. Left to itself, Python searches for them after every dozen figures,
    among all of torch's objects, and a slider waits for that longer than for its figure.
    """
    enabled = gc.isenabled()
    gc.disable()  # what is made from here on stays young, and the young are searched in no time
    try:
        yield
    finally:
        gc.collect(0)
        if enabled:
            gc.enable()


def _html(shown: Picture | Note) -> str:
    text = escape(shown.text)
    if isinstance(shown, Note):
        return f"<p>{text}</p>"
    image = base64.b64encode(shown.png).decode("ascii")
    return f'<img alt="{text}" src="data:image/png;base64,{image}" style="max-width: 100%">'
