"""A figure as a notebook shows it: an image with its description, or a note of what it awaits."""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

from matplotlib import style
from matplotlib.figure import Figure

from course.student.waiting import why_not

P = ParamSpec("P")

# Okabe and Ito's colours, as in the style sheet, for figures that give each thing its own.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
)

_STYLE = Path(__file__).with_name("course.mplstyle")


class Picture:
    """A drawn figure. Its text is what a screen reader says, and what a test compares."""

    def __init__(self, png: bytes, text: str) -> None:
        """Take a PNG image and its description in words."""
        self.png = png
        self.text = text

    def __repr__(self) -> str:
        """The description."""
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data = {"image/png": self.png, "text/plain": self.text}
        return data, {"image/png": {"alt": self.text}}


class Note:
    """A sentence in the place of a figure that cannot be drawn yet."""

    def __init__(self, text: str) -> None:
        """Take the sentence."""
        self.text = text

    def __repr__(self) -> str:
        """The sentence."""
        return self.text


def picture(draw: Callable[P, tuple[Figure, str]]) -> Callable[P, Picture | Note]:
    """Make a function that draws a figure into one that a notebook cell can end in.

    The function returns a matplotlib figure and its description. While the student's code it
    calls is unwritten or raises, the cell shows a sentence that says so.
    """

    @functools.wraps(draw)
    def show(*args: P.args, **kwargs: P.kwargs) -> Picture | Note:
        awaited = next((name for arg in args if (name := getattr(arg, "__name__", ""))), "")
        try:
            # Not pyplot's figures: they would be shown twice, and stay in memory.
            with style.context(_STYLE):
                figure, text = draw(*args, **kwargs)
                return Picture(png_of(figure), text)
        except Exception as error:
            return Note(why_not(error, awaited, "This figure"))

    return show


def png_of(figure: Figure) -> bytes:
    """Render a figure as PNG."""
    buffer = io.BytesIO()
    # Without matplotlib's version in the file, the same figure is the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
