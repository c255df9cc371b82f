"""A progress bar counts what is done, and reads the same at every run."""

import pytest

from course.student.progress_bar import ProgressBar, with_progress


def test_all_items_come_by(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_progress("abc", "Training 3 networks")) == ["a", "b", "c"]
    assert capsys.readouterr().out == "Training 3 networks.\n"


def test_the_bar_fills_and_its_text_stays() -> None:
    bar = ProgressBar(4, "Training 4 networks")
    bar.advance()
    assert bar._bar.value == 1
    assert bar._left.value.startswith("1 of 4, about")
    data = bar._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == repr(bar) == "Training 4 networks."
