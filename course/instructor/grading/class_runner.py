"""Grading a class: every submission through nbgrader, feedback, grades and a table of scores."""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.api import NbGraderAPI
from nbgrader.plugins import CsvExportPlugin
from traitlets.config import Config

from course.instructor.build import generate_assignments
from course.instructor.grading.receive import digest, something_to_find
from course.instructor.grading.record import Record, record_of
from course.student.catalogue import catalogue

LOCK = ".grading.lock"


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
        problem: why grading failed, which is no fault of the submission; empty if it did not.
        remarks: what was mended or went wrong in it.
        flags: what the instructor should look at.
    """

    submission: Submission
    problem: str = ""
    remarks: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


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
        return [found for found in self._folders() if found.assignment in known]

    def unknown(self) -> list[Submission]:
        """The folders in submitted/ that have the name of no assignment."""
        known = self.assignments()
        return [found for found in self._folders() if found.assignment not in known]

    def prepare(self) -> None:
        """Enter the assignments into the gradebook, as they are in source/ now."""
        with tempfile.TemporaryDirectory() as release:
            # The release is committed already; only the gradebook's entries are wanted.
            self._course.release_directory = release
            generate_assignments(self._api, self.assignments())

    def grade(
        self,
        submissions: Iterable[Submission],
        tell: Callable[[Graded], None],
        *,
        again: bool = False,
    ) -> list[Graded]:
        """Grade submissions one after the other and write their feedback.

        One that cannot be graded does not stop the others. One that is graded already, in the form
        in which it was handed in, is passed over: so a run that was killed goes on where it was.

        Args:
            submissions: what to grade.
            tell: called after each.
            again: grade also what is graded already.
        """
        results = []
        for submission in submissions:
            problem = "" if self._is_done(submission) and not again else self._grade(submission)
            notebook = self._autograded(submission)
            record = record_of(notebook) if notebook and not problem else Record()
            remarks = [record.unreadable] if record.unreadable else record.remarks
            graded = Graded(submission, problem, tuple(remarks), tuple(record.flags))
            tell(graded)
            results.append(graded)
        return results

    @contextmanager
    def alone(self, wait: Callable[[], None]) -> Iterator[None]:
        """Let no other run grade in this folder meanwhile.

        Args:
            wait: called if another run has to be waited for.
        """
        lock = FileLock(self.root / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            wait()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

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

    def _folders(self) -> list[Submission]:
        folders = sorted((self.root / "submitted").glob("*/*"))
        return [Submission(path.parent.name, path.name) for path in folders if path.is_dir()]

    def _folder(self, submission: Submission, step: str) -> Path:
        return self.root / step / submission.student / submission.assignment

    def _grade(self, submission: Submission) -> str:
        """Grade one submission; return what went wrong."""
        with something_to_find(self._folder(submission, "submitted")):
            for step in (self._api.autograde, self._api.generate_feedback):
                result = step(submission.assignment, submission.student, force=True)
                if not result["success"]:
                    return _reason(result)
        return ""

    def _autograded(self, submission: Submission) -> NotebookNode | None:
        """The notebook that grading wrote, if it is there and whole."""
        name = submission.assignment
        try:
            path = self._folder(submission, "autograded") / f"{name}.ipynb"
            notebook = nbformat.read(path, as_version=4)
        except (OSError, ValueError, nbformat.reader.NotJSONError):
            return None
        return notebook if record_of(notebook).done else None

    def _is_done(self, submission: Submission) -> bool:
        """Whether what lies in submitted/ is graded, in the gradebook, and has its feedback."""
        notebook, name = self._autograded(submission), submission.assignment
        if notebook is None:
            return False
        page = self._folder(submission, "feedback") / f"{name}.html"
        return (
            record_of(notebook).digest == digest(self._folder(submission, "submitted"), name)
            and page.is_file()
            and page.read_bytes().rstrip().endswith(b"</html>")
            and self._has_scores(submission)
        )

    def _has_scores(self, submission: Submission) -> bool:
        with self._gradebook() as gradebook:
            try:
                found = gradebook.find_submission(submission.assignment, submission.student)
            except MissingEntry:
                return False
            grades = [grade for notebook in found.notebooks for grade in notebook.grades]
            return all(grade.auto_score is not None for grade in grades)

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
