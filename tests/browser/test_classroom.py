"""An exercise goes to a student and back, by the buttons of nbgrader's pages in JupyterLab."""

from collections.abc import Iterator

import nbformat
import pytest
from classroom import (
    STUDENT,
    Classroom,
    grade_by_hand,
    open_assignment_list,
    open_feedback,
    open_formgrader,
    press,
    running_classroom,
    validate,
)
from nbformat import NotebookNode
from notebook_page import solve_and_check, start
from playwright.sync_api import Browser, Page, expect

from course.instructor import build
from course.instructor.grading.class_runner import ClassRunner
from course.instructor.grading.job import Submission
from course.instructor.grading.workers import ThisProcess

pytestmark = pytest.mark.xdist_group("browser")

NAME = "ex01_basic_implementation"
MISTAKE = "another default for eps (1e-8)"
SOLUTION = """def layer_norm(x, gamma, beta, eps=1e-8):
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta"""
COMMENT = "Look at the signature once more."


@pytest.fixture(scope="module")
def classroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classroom]:
    """A classroom in which nothing is handed out yet."""
    with running_classroom(tmp_path_factory.mktemp("classroom"), NAME) as classroom:
        yield classroom


@pytest.fixture
def pages(browser: Browser) -> Iterator[tuple[Page, Page]]:
    """A browser's page for the instructor, and one for the student."""
    contexts = [browser.new_context(viewport={"width": 1280, "height": 1000}) for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.set_default_timeout(60_000)
    yield pages[0], pages[1]
    for context in contexts:
        context.close()


def graded(classroom: Classroom) -> tuple[list[NotebookNode], float | None]:
    """What grading put under the check, and the score in the gradebook."""
    runner = runner_of(classroom)
    path = runner.root / "autograded" / STUDENT / NAME / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    check = next(cell for cell in notebook.cells if cell.source.startswith("check("))
    return check.outputs, runner.scores()[STUDENT][NAME]


def runner_of(classroom: Classroom) -> ClassRunner:
    """What `make grade` grades with, in the instructor's folder."""
    config, course = build.nbgrader_config(), classroom.instructor.folder
    config.CourseDirectory.root = str(course)
    config.ExecuteAndJudge.secret_file = str(course / ".class_secret")
    return ClassRunner(config)


def test_an_exercise_comes_back_graded_with_the_instructors_words(
    classroom: Classroom, pages: tuple[Page, Page]
) -> None:
    instructor, student = pages

    formgrader = open_formgrader(instructor, classroom.instructor)
    press(formgrader, "assign")
    formgrader.locator("td.preview a").click()
    expect(instructor.locator(".jp-DirListing-itemText")).to_have_text([f"{NAME}.ipynb"])
    press(formgrader, "release")
    expect(formgrader.locator("td.status")).to_have_text("released")

    assignments = open_assignment_list(student, classroom.student)
    assignments.get_by_role("button", name="Fetch", exact=True).click()
    assignments.locator(".assignment-notebooks-link", has_text=NAME).click()
    assignments.locator(".assignment-notebooks").get_by_text(NAME).click()
    start(student)
    expect(solve_and_check(student, "def layer_norm", SOLUTION)).to_contain_text("9 of 10 points")
    expect(validate(student)).to_contain_text("Partial credit")
    assignments = open_assignment_list(student, classroom.student)
    assignments.get_by_role("button", name="Submit").click()
    submitted = assignments.locator("#submitted_assignments_list")
    expect(submitted).to_contain_text(NAME)

    log = press(formgrader, "collect")
    assert f"Collecting submission: {STUDENT} {NAME}" in log
    formgrader.locator("td.num-submissions a").click()
    expect(formgrader.locator("td.status")).to_have_text("needs autograding")
    log = press(formgrader, "autograde")
    assert "base64" not in log  # neither the inputs of the cases nor the answers
    expect(formgrader.locator("td.status")).to_have_text("graded")
    expect(formgrader.locator("td.score")).to_have_text("9 / 10")

    grade_by_hand(formgrader, NAME, "9.5", COMMENT)
    formgrader = open_formgrader(instructor, classroom.instructor)
    press(formgrader, "generate-feedback")
    press(formgrader, "release-feedback")
    formgrader.locator("td.num-submissions a").click()
    expect(formgrader.locator("td.score")).to_have_text("9.5 / 10")

    assignments = open_assignment_list(student, classroom.student)
    assignments.get_by_role("button", name="Fetch Feedback").click()
    page = open_feedback(student, assignments, NAME)
    expect(page.locator("body")).to_contain_text(f"{NAME} (Score: 9.5 / 10.0)")
    expect(page.locator("body")).to_contain_text(COMMENT)
    card = page.locator(".report-card")
    expect(card).to_contain_text("9 of 10 points")
    expect(card).to_contain_text(MISTAKE)
    expect(card).to_contain_text("These inputs were drawn for this grading")

    by_the_button = graded(classroom)
    runner = runner_of(classroom)
    runner.prepare()
    [result] = runner.grade([Submission(STUDENT, NAME)], ThisProcess(), lambda _: None, again=True)
    assert (result.problem, result.remarks, result.flags) == ("", (), ())
    assert graded(classroom) == by_the_button
    assert by_the_button[1] == 9.5
    page_again = runner.root / "feedback" / STUDENT / NAME / f"{NAME}.html"
    assert COMMENT in page_again.read_text("utf-8")
