"""Grading a class: every submission through nbgrader, feedback, grades and a table of scores."""

import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.api import NbGraderAPI
from nbgrader.plugins import CsvExportPlugin
from traitlets.config import Config

from course.instructor.build import generate_assignments
from course.student.catalogue import catalogue


@dataclass(frozen=True)
class Submission:
    """One student's folder for one assignment."""

    student: str
    assignment: str


@dataclass(frozen=True)
class Graded:
    """What came of grading one submission.

    Args:
        submission: the submission.
        problem: why it could not be graded, in a sentence; empty if it was.
    """

    submission: Submission
    problem: str = ""


class ClassRunner:
    """Grades the class in the course folder that nbgrader's settings name."""

    def __init__(self, config: Config) -> None:
        """Take nbgrader's settings."""
        self._api = NbGraderAPI(config=config)
        self._course = self._api.coursedir
        self.root = Path(self._course.root)

    def assignments(self) -> list[str]:
        """The assignments that can be graded: the notebooks of the course that are in source/."""
        names = (notebook.name for notebook in catalogue())
        return [name for name in names if (self.root / "source" / name).is_dir()]

    def submissions(self) -> list[Submission]:
        """The submissions in submitted/, by student, for assignments that there are."""
        known = self.assignments()
        folders = sorted((self.root / "submitted").glob("*/*"))
        return [Submission(path.parent.name, path.name) for path in folders if path.name in known]

    def prepare(self) -> None:
        """Enter the assignments into the gradebook, as they are in source/ now."""
        with tempfile.TemporaryDirectory() as release:
            # The release is committed already; only the gradebook's entries are wanted.
            self._course.release_directory = release
            generate_assignments(self._api, self.assignments())

    def grade(
        self, submissions: Iterable[Submission], tell: Callable[[Graded], None]
    ) -> list[Graded]:
        """Grade submissions one after the other and write their feedback.

        A submission that cannot be graded does not stop the others.

        Args:
            submissions: what to grade.
            tell: called after each.
        """
        results = []
        for submission in submissions:
            graded = Graded(submission, self._grade(submission))
            tell(graded)
            results.append(graded)
        return results

    def maxima(self) -> dict[str, float]:
        """What each assignment is worth."""
        with self._gradebook() as gradebook:
            return {name: gradebook.find_assignment(name).max_score for name in self.assignments()}

    def scores(self) -> dict[str, dict[str, float | None]]:
        """Scores by student and assignment; None where nothing was submitted."""
        with self._gradebook() as gradebook:
            return {
                student.id: {
                    assignment: _score(gradebook, assignment, student.id)
                    for assignment in self.assignments()
                }
                for student in sorted(gradebook.students, key=lambda student: student.id)
            }

    def export(self, path: Path) -> None:
        """Write the grades as nbgrader's CSV."""
        with self._gradebook() as gradebook:
            CsvExportPlugin(to=str(path)).export(gradebook)

    def _grade(self, submission: Submission) -> str:
        """Grade one submission; return what went wrong."""
        for step in (self._api.autograde, self._api.generate_feedback):
            result = step(submission.assignment, submission.student, force=True)
            if not result["success"]:
                return _reason(result)
        return ""

    def _gradebook(self) -> Gradebook:
        return Gradebook(self._course.db_url, self._course.course_id)


def _score(gradebook: Gradebook, assignment: str, student: str) -> float | None:
    try:
        score: float = gradebook.find_submission(assignment, student).score
    except MissingEntry:
        return None
    return score


def _reason(result: dict[str, str]) -> str:
    """What stopped nbgrader: the exception in its log, not the summary it raises at the end."""
    in_log = re.findall(
        r"^ {4}(?:\w+\.)*(\w+(?:Error|Exception)): (.+)$", result["log"], re.MULTILINE
    )
    if in_log:
        return ": ".join(in_log[-1])
    return result["error"].strip().splitlines()[-1].rpartition("Exception: ")[2]
