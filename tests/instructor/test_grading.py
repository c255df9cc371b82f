"""A class is graded on fresh keys, in one go, whatever a submission holds."""

import shutil
import stat
from pathlib import Path

import nbformat
import pytest

from course.instructor import build
from course.instructor.demo_class import write_demo_class
from course.instructor.grading.class_runner import ClassRunner, Graded
from course.instructor.grading.secret import class_secret, fresh_seed
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


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graded course folder with the first exercise and eight submissions."""
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
        path = root / "submitted" / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(filled_in(NAME, {TASK.id: source}), path)
    (root / "submitted" / "student-06" / NAME).mkdir(parents=True)
    broken = root / "submitted" / "student-00" / NAME / f"{NAME}.ipynb"
    broken.parent.mkdir(parents=True)
    broken.write_text("{ not a notebook", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def graded(course: Path) -> tuple[ClassRunner, list[Graded]]:
    config = build.nbgrader_config()
    config.CourseDirectory.root = str(course)
    config.ExecuteAndJudge.secret_file = str(course / ".class_secret")
    runner = ClassRunner(config)
    runner.prepare()
    return runner, runner.grade(runner.submissions(), lambda _: None)


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


def test_a_damaged_submission_is_told_and_stops_nobody(
    graded: tuple[ClassRunner, list[Graded]],
) -> None:
    problems = {result.submission.student: result.problem for result in graded[1]}
    assert "Notebook does not appear to be JSON" in problems.pop("student-00")
    assert "No notebooks were matched" in problems.pop("student-06")
    assert problems.pop("student-07") == "DeadKernelError: Kernel died"
    assert not any(problems.values())
    assert len(problems) == 5


def test_feedback_holds_the_card_of_the_grading(
    course: Path, graded: tuple[ClassRunner, list[Graded]]
) -> None:
    page = (course / "feedback" / "student-02" / NAME / f"{NAME}.html").read_text("utf-8")
    assert GRADED in page
    assert "another default for eps (1e-8)" in page
    assert "Content-Security-Policy" in page


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


def test_the_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = class_secret(path)
    assert class_secret(path) == secret
    assert len(secret) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_a_seed_depends_on_the_secret_the_student_and_the_task_and_nothing_else() -> None:
    seed = fresh_seed(b"s", "student-01", "ex01_layer_norm")
    assert seed == fresh_seed(b"s", "student-01", "ex01_layer_norm")
    others = [
        fresh_seed(b"t", "student-01", "ex01_layer_norm"),
        fresh_seed(b"s", "student-02", "ex01_layer_norm"),
        fresh_seed(b"s", "student-01", "ex02_forward"),
    ]
    assert len({seed, *others}) == 4


def test_the_demo_class_is_the_same_each_time_and_of_all_kinds(tmp_path: Path) -> None:
    classes = [tmp_path / "one", tmp_path / "two"]
    for folder in classes:
        assert len(write_demo_class(folder)) == 12
    files = [
        {path.relative_to(folder): path.read_text("utf-8") for path in folder.rglob("*.ipynb")}
        for folder in classes
    ]
    assert files[0] == files[1]
    works = [nbformat.reads(text, as_version=4) for text in files[0].values()]
    sources = ["\n".join(cell.source for cell in notebook.cells) for notebook in works]
    assert any("raise NotImplementedError" in source for source in sources)
    assert any("I will come back to this" in source for source in sources)
