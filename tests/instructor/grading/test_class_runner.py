"""A class is graded on fresh keys, in one go, whatever a submission holds."""

import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from course.instructor import build
from course.instructor.grading.class_runner import ClassRunner, Graded
from course.instructor.grading.job import Job, Submission
from course.instructor.grading.workers import ThisProcess
from course.instructor.submission import filled_in, reference_sources, typed
from course.instructor.task import all_tasks
from course.student.report_card import GRADED

# One class is graded for all tests here, by one process.
pytestmark = pytest.mark.xdist_group("grading")

NAME = "ex01_basic_implementation"
TASK = all_tasks()["ex01_layer_norm"]
MISTAKES = {mistake.name: mistake for mistake in TASK.mistakes}

# Right on the published inputs, which it knows by heart, and nowhere else.
FROM_THE_PUBLISHED_KEY = """
from course.student.answer_key import published_key

def layer_norm(x, gamma, beta, eps=1e-5):
    for case in published_key("ex01_layer_norm").cases:
        if x.shape == case.inputs["x"].shape and (x == case.inputs["x"]).all():
            return case.expected["output"]
    return x
"""

WARNS = """
import sys
import warnings

def layer_norm(x, gamma, beta, eps=1e-5):
    warnings.warn("a warning costs nothing")
    print("nor does this", file=sys.stderr)
    mean = x.mean(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(x.var(axis=-1, keepdims=True) + eps) + beta
"""


def mistaken(name: str) -> str:
    return typed(TASK, MISTAKES[name].solution, reference_sources(NAME)[TASK.id])


def submit(root: Path, student: str, source: str) -> Path:
    path = root / "submitted" / student / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(filled_in(NAME, {TASK.id: source}), path)
    return path


def runner_of(root: Path) -> ClassRunner:
    config = build.nbgrader_config()
    config.CourseDirectory.root = str(root)
    config.ExecuteAndJudge.secret_file = str(root / ".class_secret")
    return ClassRunner(config)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graded course folder with the first exercise and nine submissions."""
    root = tmp_path_factory.mktemp("course")
    shutil.copytree(build.SOURCE / NAME, root / "source" / NAME)
    submissions = {
        "student-01": reference_sources(NAME)[TASK.id],
        "student-02": mistaken("another default for eps (1e-8)"),
        "student-03": FROM_THE_PUBLISHED_KEY,
        "student-04": WARNS,
        "student-05": "def layer_norm(:",
        "student-07": "import os\nos._exit(1)",
    }
    for student, source in submissions.items():
        submit(root, student, source)
    (root / "submitted" / "student-06" / NAME).mkdir(parents=True)
    submit(root, "student-00", "").write_text("{ not a notebook", encoding="utf-8")
    submit(root, "student-08", submissions["student-01"]).rename(
        root / "submitted" / "student-08" / NAME / "final version (2).ipynb"
    )
    (root / "submitted" / "student-09" / "exercise 1").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def graded(course: Path) -> tuple[ClassRunner, list[Graded]]:
    runner = runner_of(course)
    runner.prepare()
    return runner, runner.grade(runner.submissions(), ThisProcess(), lambda _: None)


def test_scores_are_those_of_the_solutions(graded: tuple[ClassRunner, list[Graded]]) -> None:
    scores = {student: row[NAME] for student, row in graded[0].scores().items()}
    assert graded[0].maxima() == {NAME: 10}
    assert scores["student-01"] == 10
    assert scores["student-02"] == 9  # one case of one point shows the default of eps
    assert scores["student-04"] == 10


def test_answers_keyed_to_the_published_inputs_earn_nothing(
    graded: tuple[ClassRunner, list[Graded]],
) -> None:
    assert graded[0].scores()["student-03"][NAME] == 0


def test_every_submission_gets_a_score_and_a_damaged_one_the_reason(
    graded: tuple[ClassRunner, list[Graded]],
) -> None:
    scores = {student: row[NAME] for student, row in graded[0].scores().items()}
    assert len(scores) == 9
    assert None not in scores.values()
    assert not any(result.problem for result in graded[1])
    remarks = {result.submission.student: " ".join(result.remarks) for result in graded[1]}
    for student, score, reason in [
        ("student-00", 0, "it is not JSON"),
        ("student-06", 0, "(nothing at all)"),
        ("student-07", 0, "The kernel ended while this ran"),
        ("student-08", 10, "was called final version (2).ipynb"),
    ]:
        assert scores[student] == score
        assert reason in remarks.pop(student)
    assert not any(remarks.values())


def test_the_reason_is_on_the_feedback_page_and_in_the_gradebook(
    course: Path, graded: tuple[ClassRunner, list[Graded]]
) -> None:
    for student, reason in (("student-00", "it is not JSON"), ("student-07", "The kernel ended")):
        page = (course / "feedback" / student / NAME / f"{NAME}.html").read_text("utf-8")
        assert reason in page
        with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
            comment = gradebook.find_comment(f"{TASK.id}_solution", NAME, NAME, student)
            assert reason in comment.comment


def test_a_folder_that_is_named_like_no_exercise_is_told(
    graded: tuple[ClassRunner, list[Graded]],
) -> None:
    assert graded[0].unknown() == [Submission("student-09", "exercise 1")]


def gradebook_of(root: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(root / "gradebook.db")) as database:
        return database.execute(
            "select s.student_id, c.name, g.auto_score, g.manual_score, g.needs_manual_grade,"
            " n.flagged, m.auto_comment from grade g join base_cell c on g.cell_id = c.id"
            " join submitted_notebook n on g.notebook_id = n.id"
            " join submitted_assignment s on n.assignment_id = s.id"
            " join comment m on m.notebook_id = n.id order by 1, 2"
        ).fetchall()


def test_a_second_run_grades_nothing_again_but_what_was_handed_in_anew(
    course: Path, graded: tuple[ClassRunner, list[Graded]], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, first = graded
    before = gradebook_of(course)
    again: list[Submission] = []

    def job(self: ClassRunner, submission: Submission) -> Job:
        again.append(submission)
        return original(self, submission)

    original = ClassRunner._job
    monkeypatch.setattr(ClassRunner, "_job", job)
    assert runner.grade(runner.submissions(), ThisProcess(), lambda _: None) == first
    assert again == []
    submit(course, "student-01", mistaken("another default for eps (1e-8)"))
    page = course / "feedback" / "student-02" / NAME / f"{NAME}.html"
    page.write_bytes(page.read_bytes()[:1000])  # as a run that was killed may leave it
    executed = course / "autograded" / "student-04" / NAME / f"{NAME}.ipynb"
    executed.chmod(0o644)
    executed.write_bytes(executed.read_bytes()[:1000])
    runner.grade(runner.submissions(), ThisProcess(), lambda _: None)
    assert [submission.student for submission in again] == [
        "student-01",
        "student-02",
        "student-04",
    ]
    assert page.read_bytes().rstrip().endswith(b"</html>")
    assert runner.scores()["student-01"][NAME] == 9
    submit(course, "student-01", reference_sources(NAME)[TASK.id])
    runner.grade(runner.submissions(), ThisProcess(), lambda _: None)
    assert gradebook_of(course) == before


def set_manual_score(root: Path, student: str, score: float | None) -> None:
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        gradebook.find_grade(TASK.id, NAME, NAME, student).manual_score = score
        gradebook.db.commit()


def test_a_manual_score_outlives_being_graded_again(
    course: Path, graded: tuple[ClassRunner, list[Graded]]
) -> None:
    runner, _ = graded
    set_manual_score(course, "student-05", 3.5)
    try:
        runner.grade([Submission("student-05", NAME)], ThisProcess(), lambda _: None, again=True)
        runner.prepare()
        assert runner.scores()["student-05"][NAME] == 3.5
    finally:
        set_manual_score(course, "student-05", None)


def test_a_late_penalty_is_taken_off_the_score_as_it_is_in_the_export(
    course: Path, graded: tuple[ClassRunner, list[Graded]], tmp_path: Path
) -> None:
    runner, _ = graded
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        notebook = gradebook.find_submission_notebook(NAME, NAME, "student-02")
        notebook.late_submission_penalty = 2.5
        gradebook.db.commit()
        try:
            assert runner.scores()["student-02"][NAME] == 6.5
            runner.export(tmp_path / "grades.csv")
            assert ",student-02,,,,9.0,2.5,6.5," in (tmp_path / "grades.csv").read_text("utf-8")
        finally:
            notebook.late_submission_penalty = None
            gradebook.db.commit()


def test_a_second_run_waits_for_the_first(course: Path) -> None:
    order: list[str] = []
    one, other = runner_of(course), runner_of(course)

    def second() -> None:
        with other.alone(lambda: order.append("waits")):
            order.append("second")

    thread = threading.Thread(target=second)
    with one.alone(lambda: order.append("never")):
        thread.start()
        while not order:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["waits", "first", "second"]


def test_feedback_holds_the_card_of_the_grading(
    course: Path, graded: tuple[ClassRunner, list[Graded]]
) -> None:
    page = (course / "feedback" / "student-02" / NAME / f"{NAME}.html").read_text("utf-8")
    assert GRADED in page
    assert "Content-Security-Policy" in page
    assert "another default for eps (1e-8)" in page


def test_a_cell_that_does_not_run_is_told_by_the_card(
    course: Path, graded: tuple[ClassRunner, list[Graded]]
) -> None:
    page = (course / "feedback" / "student-05" / NAME / f"{NAME}.html").read_text("utf-8")
    assert "Your code raised NameError" in page
    assert graded[0].scores()["student-05"][NAME] == 0


def test_grades_are_exported(
    course: Path, graded: tuple[ClassRunner, list[Graded]], tmp_path: Path
) -> None:
    graded[0].export(tmp_path / "grades.csv")
    lines = (tmp_path / "grades.csv").read_text("utf-8").splitlines()
    assert lines[0].startswith("assignment,")
    assert any(line.startswith(f"{NAME},,,student-02,,,,9.0,") for line in lines)
