"""An explorer: sliders and the figure they change; a static figure where there are no widgets."""

from collections.abc import Callable, Mapping
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

        image = widgets.Image(value=first.png, format="png", alt=first.text)
        image.layout.max_width = "100%"
        note = widgets.Label()

        def redraw(_: Any) -> None:
            shown = self.draw()
            if isinstance(shown, Picture):
                image.value, image.alt, note.value = shown.png, shown.text, ""
            else:
                note.value = shown.text

        for slider in self.sliders.values():
            slider.observe(redraw, names="value")
        return widgets.VBox([*self.sliders.values(), image, note])
