"""A classroom on one machine: an instructor's JupyterLab, a student's, and nbgrader's exchange."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jupyter_lab import Lab, running_lab
from playwright.sync_api import FrameLocator, Locator, Page, expect

from course.instructor.build import ROOT, SOURCE

COURSE, STUDENT = "layer_normalization", "student-01"

EXCHANGE_CONFIG = "c = get_config()\nc.Exchange.root = {exchange!r}\n"
STUDENT_CONFIG = (
    EXCHANGE_CONFIG
    + f"c.CourseDirectory.course_id = {COURSE!r}\nc.CourseDirectory.student_id = {STUDENT!r}\n"
)


@dataclass(frozen=True)
class Classroom:
    """Two running JupyterLabs that share nothing but the exchange."""

    instructor: Lab
    student: Lab


@contextmanager
def running_classroom(folder: Path, exercise: str) -> Iterator[Classroom]:
    """A classroom for one exercise, with this course's settings, while the context lasts."""
    course, student, exchange = (folder / name for name in ("course", "student", "exchange"))
    shutil.copytree(SOURCE / exercise, course / "source" / exercise)
    shutil.copy(ROOT / "nbgrader_config.py", course)
    student.mkdir()
    exchange.mkdir()
    exchange.chmod(0o777)
    with (
        running_lab(
            course, _own_jupyter(folder / "of-instructor", EXCHANGE_CONFIG, exchange)
        ) as one,
        running_lab(
            student, _own_jupyter(folder / "of-student", STUDENT_CONFIG, exchange)
        ) as other,
    ):
        yield Classroom(one, other)


def open_formgrader(page: Page, lab: Lab) -> FrameLocator:
    """Open nbgrader's formgrader from JupyterLab's menu; return its page."""
    _choose(page, lab, "Formgrader")
    return page.frame_locator("iframe[src*=formgrader]")


def press(formgrader: FrameLocator, column: str) -> str:
    """Press the button in a column of the formgrader's only row; return the log of its success."""
    formgrader.locator(f"td.{column} a").click()
    modal = formgrader.locator(".modal")
    modal.wait_for()
    expect(modal.locator(".modal-title")).to_have_text("Success")
    log = modal.locator("pre").inner_text()
    modal.get_by_role("button", name="OK").click()
    expect(modal).to_have_count(0)
    return log


def grade_by_hand(formgrader: FrameLocator, exercise: str, score: str, comment: str) -> None:
    """Go to the only submission of an exercise, change its score and comment on its solution."""
    formgrader.get_by_role("link", name="Manual Grading").click()
    for link in (exercise, exercise, "Submission #1"):
        formgrader.locator("#main-table").get_by_role("link", name=link).click()
    page = formgrader.owner.page
    for field, text in (("textarea.comment", comment), ("input.score", score)):
        box = formgrader.locator(field)
        # It has this once the gradebook has answered, which would else replace what is typed.
        expect(box).to_have_attribute("placeholder", re.compile("."))
        with page.expect_response(lambda response: response.request.method == "PUT"):
            box.fill(text)
            box.blur()


def open_assignment_list(page: Page, lab: Lab) -> Locator:
    """Open nbgrader's list of assignments from JupyterLab's menu."""
    _choose(page, lab, "Assignment List")
    return page.locator("#assignments")


def validate(page: Page) -> Locator:
    """Press Validate in the toolbar of the open notebook; return the dialog with the results."""
    page.get_by_role("button", name="Validate").click()
    results = page.locator(".jp-Dialog", has_text="Validation Results")
    results.wait_for()
    return results


def open_feedback(page: Page, assignments: Locator, exercise: str) -> FrameLocator:
    """Open the page behind the list's "view feedback", which shows the folder it lies in."""
    assignments.get_by_text("(view feedback)").click()
    page.locator(".jp-DirListing-item", has_text=f"{exercise}.html").dblclick()
    return page.frame_locator(".jp-HTMLViewer iframe, iframe[src^=blob]")


def _choose(page: Page, lab: Lab, entry: str) -> None:
    page.goto(f"{lab.address}/lab?reset")
    page.wait_for_url(f"{lab.address}/lab")  # what is opened before would be closed again
    page.get_by_role("menuitem", name="Nbgrader").click()
    page.get_by_role("menuitem", name=re.compile(f"^{entry}$")).click()


def _own_jupyter(folder: Path, config: str, exchange: Path) -> dict[str, str]:
    """The variables by which a JupyterLab has settings and data of its own."""
    folder.mkdir()
    text = config.format(exchange=str(exchange))
    (folder / "nbgrader_config.py").write_text(text, encoding="utf-8")
    return {"JUPYTER_CONFIG_DIR": str(folder), "JUPYTER_DATA_DIR": str(folder / "data")}
