"""A prediction: asked before the reveal, kept with the progress, shown beside the truth later."""

import contextlib
from html import escape
from typing import Any

from course.student.progress import own_progress


class Prediction:
    """One question of a notebook with the answers to choose from; it is never graded."""

    def __init__(self, notebook: str, *answers: str) -> None:
        """Take the question's notebook and answers.

        Args:
            notebook: the notebook's name, such as "ex01_basic_implementation".
            answers: what to choose from.
        """
        self._notebook = notebook
        self._answers = answers

    @property
    def made(self) -> str:
        """What the student has chosen, or an empty string."""
        made = own_progress().prediction(self._notebook)
        return made if made in self._answers else ""

    def choose(self, answer: str) -> None:
        """Remember an answer, if there is a place to write it to."""
        with contextlib.suppress(OSError):
            own_progress().note_prediction(self._notebook, answer)

    def beside(self, truth: str) -> "BesideTheTruth":
        """Return what was predicted beside what is true."""
        return BesideTheTruth(self.made, truth)

    def __repr__(self) -> str:
        """The answers to choose from."""
        return "\n".join(["Your prediction:", *(f"  ( ) {answer}" for answer in self._answers)])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        import ipywidgets as widgets

        buttons = widgets.RadioButtons(
            options=self._answers,
            value=self.made or None,
            description="Your prediction:",
            layout={"width": "max-content"},
            style={"description_width": "initial"},
        )
        buttons.observe(lambda change: self.choose(change["new"]), names="value")
        return {**buttons._repr_mimebundle_(), "text/plain": repr(self)}


class BesideTheTruth:
    """A prediction and the truth, in two lines."""

    def __init__(self, made: str, truth: str) -> None:
        """Take both; the prediction is empty where none was made."""
        self._lines = {"You predicted": made or "nothing yet", "What happens": truth}

    def __repr__(self) -> str:
        """Both lines as text."""
        return "\n".join(f"{name}: {line}" for name, line in self._lines.items())

    def _repr_html_(self) -> str:
        rows = (
            f"<tr><th style='text-align: left'>{name}</th>"
            f"<td style='text-align: left'>{escape(line)}</td></tr>"
            for name, line in self._lines.items()
        )
        return f"<table>{''.join(rows)}</table>"
