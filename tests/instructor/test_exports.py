"""What Canvas and Moodle import says what the gradebook says, in the forms that they document."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from course.instructor import exports
from course.instructor.exports import CanvasExportPlugin, MoodleExportPlugin

FIRST, SECOND = "ex01_basic_implementation", "ex02_forward_backward"
CHALLENGE, UNTOUCHED = "ch01_multiple_dimensions", "ex03_pytorch_module"

# Some spreadsheets take it for the narrow one.
WIDE = "\N{FULLWIDTH EQUALS SIGN}"

CANVAS_STUDENT = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]


def hand_in(
    gradebook: Gradebook,
    student: str,
    assignment: str,
    score: float,
    *,
    manual: float | None = None,
    penalty: float = 0.0,
) -> None:
    gradebook.update_or_create_submission(assignment, student)
    grade = gradebook.find_grade("task", assignment, assignment, student)
    grade.auto_score, grade.manual_score = score, manual
    notebook = gradebook.find_submission_notebook(assignment, assignment, student)
    notebook.late_submission_penalty = penalty
    gradebook.db.commit()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new gradebook, which nbgrader takes seconds to make."""
    path = tmp_path_factory.mktemp("empty") / "gradebook.db"
    Gradebook(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def gradebook(empty: Path, tmp_path: Path) -> Iterator[Gradebook]:
    """A gradebook with four exercises and one student, who has handed in the first."""
    with Gradebook(f"sqlite:///{shutil.copy(empty, tmp_path)}") as book:
        for name, points in ((CHALLENGE, 10), (FIRST, 10), (SECOND, 15), (UNTOUCHED, 10)):
            book.add_assignment(name)
            book.add_notebook(name, name)
            book.add_grade_cell("task", name, name, max_score=points, cell_type="code")
        book.add_student("student-01")
        hand_in(book, "student-01", FIRST, 9.25)
        yield book


def canvas(gradebook: Gradebook) -> list[dict[str, str]]:
    return written_by(CanvasExportPlugin(), gradebook)


def moodle(gradebook: Gradebook) -> list[dict[str, str]]:
    return written_by(MoodleExportPlugin(), gradebook)


def written_by(
    plugin: exports.LmsExportPlugin, gradebook: Gradebook, name: str = "written.csv"
) -> list[dict[str, str]]:
    path = Path(gradebook.engine.url.database).with_name(name)
    plugin.to = str(path)
    plugin.export(gradebook)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_canvas_gets_its_five_columns_and_the_points_possible_before_the_students(
    gradebook: Gradebook,
) -> None:
    points, student = canvas(gradebook)
    assert list(points) == [*CANVAS_STUDENT, FIRST]
    assert points["Student"].strip() == "Points Possible"
    assert points[FIRST] == "10"
    assert not any(points[column] for column in CANVAS_STUDENT[1:])
    assert student["SIS Login ID"] == "student-01"
    assert student[FIRST] == "9.25"


def test_moodle_gets_a_column_to_know_the_student_by_and_one_for_each_exercise(
    gradebook: Gradebook,
) -> None:
    assert moodle(gradebook) == [{"username": "student-01", FIRST: "9.25"}]


def test_exercises_stand_in_the_order_of_the_course_and_only_if_somebody_has_handed_them_in(
    gradebook: Gradebook,
) -> None:
    for name in (CHALLENGE, SECOND):
        hand_in(gradebook, "student-01", name, 1)
    order = [FIRST, SECOND, CHALLENGE]
    assert list(canvas(gradebook)[0]) == [*CANVAS_STUDENT, *order]
    assert list(moodle(gradebook)[0]) == ["username", *order]


def test_who_has_handed_in_nothing_has_no_grade_and_who_failed_has_0(
    gradebook: Gradebook,
) -> None:
    gradebook.add_student("student-02")
    hand_in(gradebook, "student-02", SECOND, 0)
    assert [row[SECOND] for row in canvas(gradebook)[1:]] == ["", "0"]
    assert [row[FIRST] for row in canvas(gradebook)[1:]] == ["9.25", ""]
    # For Moodle an empty cell of a new grade item is a grade.
    assert [row[SECOND] for row in moodle(gradebook)] == ["-", "0"]


def test_a_manual_score_stands_and_a_late_penalty_is_taken_off_but_never_below_0(
    gradebook: Gradebook,
) -> None:
    gradebook.add_student("student-02")
    hand_in(gradebook, "student-01", FIRST, 4, manual=8, penalty=1.5)
    hand_in(gradebook, "student-02", FIRST, 1, penalty=3)
    for rows in (canvas(gradebook)[1:], moodle(gradebook)):
        assert [row[FIRST] for row in rows] == ["6.5", "0"]


def test_a_name_is_last_name_first_whatever_is_in_it(gradebook: Gradebook) -> None:
    names = {
        "student-02": ('Łukasz "Luke"', "O'Brien, Jr."),
        "student-03": ("小明", "王"),
        "student-04": (None, "Ångström"),
        "student-05": ("Ann\n", "Two\tLines"),
    }
    for student, (first, last) in names.items():
        gradebook.add_student(student, first_name=first, last_name=last)
    assert [row["Student"] for row in canvas(gradebook)[1:]] == [
        "student-01",
        'O\'Brien, Jr., Łukasz "Luke"',
        "王, 小明",
        "Ångström",
        "Two Lines, Ann",
    ]


def test_canvas_is_given_no_name_that_two_students_share(gradebook: Gradebook) -> None:
    for student in ("student-02", "student-03"):
        gradebook.add_student(student, first_name="Min", last_name="Kim")
    names = [row["Student"] for row in canvas(gradebook)[1:]]
    assert names == ["student-01", "student-02", "student-03"]


def test_no_student_can_be_the_row_of_points(gradebook: Gradebook) -> None:
    gradebook.add_student("student-02", last_name="Points Possible")
    gradebook.add_student("Points Possible")
    assert ["Points Possible" in row["Student"] for row in canvas(gradebook)] == [
        True,
        False,
        False,
        False,
    ]


def test_canvas_is_given_its_own_ids_which_are_numbers(gradebook: Gradebook) -> None:
    gradebook.add_student("student-02", lms_user_id="4711")
    gradebook.add_student("student-03", lms_user_id="12-monkeys")
    assert [row["ID"] for row in canvas(gradebook)[1:]] == ["", "4711", ""]


def test_moodle_is_given_emails_and_ids_only_if_everybody_has_one(gradebook: Gradebook) -> None:
    gradebook.add_student("student-02", email="two@example.org", lms_user_id="2")
    assert list(moodle(gradebook)[0]) == ["username", FIRST]
    gradebook.update_or_create_student("student-01", email="one@example.org", lms_user_id="1")
    assert [list(row.values()) for row in moodle(gradebook)] == [
        ["student-01", "one@example.org", "1", "9.25"],
        ["student-02", "two@example.org", "2", "-"],
    ]


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", " =1+1", "\n=1+1", f"{WIDE}1+1"]
)
def test_nothing_is_a_formula_for_a_spreadsheet(gradebook: Gradebook, name: str) -> None:
    gradebook.add_student(name, first_name=name)
    gradebook.add_student("student-02", last_name=name, email=name)
    rows = [*canvas(gradebook), *moodle(gradebook)]
    cells = [cell.strip() for row in rows for cell in row.values()]
    assert not any(cell.startswith(("=", "+", "@", WIDE)) for cell in cells)
    assert not any(cell.startswith("-") and cell != "-" for cell in cells)
    assert exports.grades(gradebook).left_out == [name]
    assert repr(name) in exports.told(exports.grades(gradebook), [])
    assert {row["username"] for row in moodle(gradebook)} == {"student-01", "student-02"}


def test_no_other_separator_opens_a_cell(gradebook: Gradebook) -> None:
    for nasty in ("x;=1+1", 'x";=1+1'):
        gradebook.add_student(nasty, email=nasty)
        gradebook.add_student(f"student-{len(nasty)}", last_name=nasty)
    canvas(gradebook)
    path = Path(gradebook.engine.url.database).with_name("written.csv")
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file, delimiter=";") for cell in row]
    assert not any(cell.startswith("=") for cell in cells)


def test_only_the_students_and_exercises_asked_for_are_exported(gradebook: Gradebook) -> None:
    gradebook.add_student("student-02")
    hand_in(gradebook, "student-02", SECOND, 1)
    plugin = MoodleExportPlugin(student=["student-02"], assignment=[SECOND])
    assert written_by(plugin, gradebook) == [{"username": "student-02", SECOND: "1"}]


def test_nbgrader_export_takes_the_plugins(gradebook: Gradebook, tmp_path: Path) -> None:
    for plugin in (CanvasExportPlugin, MoodleExportPlugin):
        written = written_by(plugin(), gradebook)
        subprocess.run(
            [
                *(sys.executable, "-m", "nbgrader", "export"),
                f"--exporter={plugin.__module__}.{plugin.__name__}",
                *("--to", "by_nbgrader.csv", "--db", str(gradebook.engine.url)),
            ],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        with (tmp_path / "by_nbgrader.csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file)) == written
