"""A student's progress: kept beside the notebooks, and robust to what happens to its file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from course import check
from course.instructor.task import all_tasks
from course.student.figures.course_map import Scores, course_map
from course.student.judge import Report, judge
from course.student.picture import Picture
from course.student.prediction import Prediction
from course.student.progress import FILE, Progress, own_progress

TASK = all_tasks()["ex01_layer_norm"]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def report(name: str) -> Report:
    """The report on a known mistake of exercise 1, or on the oracle."""
    solutions = {mistake.name: mistake.solution for mistake in TASK.mistakes}
    key = TASK.key()
    return judge(key, TASK.outcomes(solutions.get(name, TASK.oracle), key))


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / FILE)


def test_nothing_is_known_before_the_first_check(progress: Progress) -> None:
    assert progress.tasks() == {}
    assert progress.prediction("ex01_basic_implementation") == ""
    assert repr(Scores(progress)) == "Nothing checked yet. Run the check of a task, then come back."


def test_a_mistake_is_met_and_then_overcome(progress: Progress) -> None:
    progress.note_check(report("no eps"), NOON)
    task = progress.tasks()[TASK.id]
    assert (task.score < 10, task.met, task.overcome) == (True, ("no eps",), ())
    progress.note_check(report("eps squared"), NOON + timedelta(minutes=1))
    task = progress.tasks()[TASK.id]
    assert (task.met, task.overcome) == (("no eps", "eps squared"), ("no eps",))
    progress.note_check(report("right"), NOON + timedelta(minutes=2))
    task = progress.tasks()[TASK.id]
    assert (task.score, task.points) == (10, 10)
    assert task.overcome == task.met
    assert task.last_check == NOON + timedelta(minutes=2)
    assert repr(Scores(progress)) == (
        "1 Basic implementation: 10 of 10; last check 2026-03-01 12:02; no eps (overcome),"
        " eps squared (overcome)"
    )


def test_a_damaged_line_costs_no_other(progress: Progress) -> None:
    progress.note_check(report("right"), NOON)
    with progress.path.open("ab") as file:
        file.write(b'{"task": "ex01_lay\n\xff\xfe\n[]\n{"task": 1}\n')
    progress.note_prediction("ex01_basic_implementation", "the same")
    assert progress.tasks()[TASK.id].score == 10
    assert progress.prediction("ex01_basic_implementation") == "the same"


def test_what_is_not_started_is_not_noted(
    progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwritten(*_: object) -> None:
        raise NotImplementedError

    key = TASK.key()
    progress.note_check(judge(key, TASK.outcomes(unwritten, key)), NOON)
    assert not progress.path.exists()


def test_a_check_notes_itself_beside_the_folders_of_the_notebooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ex01_basic_implementation"
    folder.mkdir()
    monkeypatch.chdir(folder)
    check(TASK.id, TASK.oracle)
    assert own_progress().path == tmp_path / FILE
    assert Progress(tmp_path / FILE).tasks()[TASK.id].score == 10
    shown = course_map()
    assert isinstance(shown, Picture)
    assert "1 Basic implementation: 10 of 10 points." in shown.text
    (tmp_path / FILE).unlink()
    shown = course_map()
    assert isinstance(shown, Picture)
    assert "1 Basic implementation: 0 of 10 points." in shown.text


def test_a_check_works_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).mkdir()
    assert check("start_centre_rows", lambda x: x - np.mean(x, axis=1, keepdims=True)) == 3
    Prediction("start_here", "a", "b").choose("a")
    assert Prediction("start_here", "a", "b").made == ""


def test_a_prediction_is_kept_and_shown_beside_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prediction = Prediction("start_here", "(2,)", "(2, 1)")
    assert repr(prediction.beside("(2,)")) == "You predicted: nothing yet\nWhat happens: (2,)"
    prediction.choose("(2, 1)")
    prediction.choose("(2,)")
    assert prediction.made == "(2,)"
    assert repr(prediction.beside("(2,)")) == "You predicted: (2,)\nWhat happens: (2,)"
    assert Prediction("start_here", "other", "answers").made == ""


def test_a_prediction_is_asked_in_a_widget_and_in_words() -> None:
    data = Prediction("start_here", "<b>", "(2, 1)")._repr_mimebundle_()
    assert data["text/plain"] == "Your prediction:\n  ( ) <b>\n  ( ) (2, 1)"
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "&lt;b&gt;" in Prediction("start_here").beside("<b>")._repr_html_()
