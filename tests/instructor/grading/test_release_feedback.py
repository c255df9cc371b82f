"""Feedback is released through nbgrader's exchange, whatever some submissions lack."""

from pathlib import Path
from typing import Any

import pytest
from nbgrader.apps.api import NbGraderAPI

from course.instructor import build

NAME = "ex01_basic_implementation"
BESIDE = {"timestamp.txt": b"2026-11-28 10:00:00.000000 UTC", "submission_secret.txt": b"ab" * 64}


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A folder for a course and its exchange."""
    (tmp_path / "exchange").mkdir(mode=0o777)
    (tmp_path / "exchange").chmod(0o777)
    return tmp_path


def write_feedback(course: Path, student: str, beside: dict[str, bytes]) -> None:
    folder = course / "feedback" / student / NAME
    folder.mkdir(parents=True)
    (folder / f"{NAME}.html").write_text(f"for {student}", encoding="utf-8")
    for name, content in beside.items():
        (folder / name).write_bytes(content)


def released(course: Path, student: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """What nbgrader says of releasing, and the pages that are in the exchange then."""
    config = build.nbgrader_config()
    config.CourseDirectory.root = str(course)
    config.Exchange.root = str(course / "exchange")
    said = NbGraderAPI(config=config).release_feedback(NAME, student)
    pages = (course / "exchange" / "layer_normalization" / "feedback").glob("*.html")
    return said, sorted(page.read_text("utf-8") for page in pages)


@pytest.mark.parametrize(
    "lacking",
    [
        {},
        {"timestamp.txt": BESIDE["timestamp.txt"]},
        {"submission_secret.txt": BESIDE["submission_secret.txt"]},
        BESIDE | {"submission_secret.txt": b"\xff\xfe\xfd"},
    ],
    ids=["both", "the secret", "the time stamp", "a secret that is text"],
)
def test_a_page_that_lacks_something_does_not_stop_the_others(
    course: Path, lacking: dict[str, bytes]
) -> None:
    write_feedback(course, "student-01", BESIDE)
    write_feedback(course, "student-02", lacking)
    write_feedback(course, "student-03", BESIDE | {"submission_secret.txt": b"cd" * 64})
    said, pages = released(course)
    assert said["success"]
    assert "Not released: the feedback of student-02." in said["log"]
    assert pages == ["for student-01", "for student-03"]


def test_it_is_an_error_if_no_page_could_be_released(course: Path) -> None:
    write_feedback(course, "student-01", BESIDE)
    write_feedback(course, "student-02", {})
    said, pages = released(course, "student-02")
    assert not said["success"]
    assert "Give them the page yourself" in said["log"]
    assert pages == []
