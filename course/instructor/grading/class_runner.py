"""Grading a class: every submission through nbgrader, feedback, grades and a table of scores."""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.api import NbGraderAPI
from nbgrader.plugins import CsvExportPlugin
from traitlets.config import Config

from course.instructor.build import RELEASE, generate_assignments
from course.instructor.grading.execute import ExecuteAndJudge
from course.instructor.grading.gradebook import one_engine, score_of, turn
from course.instructor.grading.job import (
    Executed,
    Job,
    Submission,
    handed_in,
    package_fingerprint,
)
from course.instructor.grading.receive import digest, receive, something_to_find, tidy
from course.instructor.grading.record import Record, read_record, record_of
from course.instructor.grading.workers import Workers, as_done
from course.student.catalogue import catalogue

LOCK = ".grading.lock"

# The step of nbgrader's `autograde` that workers do.
EXECUTE = f"{ExecuteAndJudge.__module__}.{ExecuteAndJudge.__name__}"


@dataclass(frozen=True)
class Graded:
    """What came of grading one submission.

    Args:
        submission: the submission.
        problem: why grading failed, which is no fault of the submission; empty if it did not.
        remarks: what was mended or went wrong in it.
        flags: what the instructor should look at.
        seconds: how long it took to execute and judge it.
        memory: bytes that its kernel used at most.
    """

    submission: Submission
    problem: str = ""
    remarks: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    seconds: float = 0.0
    memory: int = 0


class ClassRunner:
    """Grades the class in the course folder that nbgrader's settings name."""

    def __init__(self, config: Config) -> None:
        """Take nbgrader's settings."""
        self._api = NbGraderAPI(config=config)
        self._step = ExecuteAndJudge(config=config)
        self._steps = list(config.Autograde.autograde_preprocessors)
        self._course = self._api.coursedir
        self.root = Path(self._course.root)

    def assignments(self) -> list[str]:
        """The assignments that can be graded: the notebooks of the course that are in source/."""
        names = (notebook.name for notebook in catalogue())
        return [name for name in names if (self.root / "source" / name).is_dir()]

    def submissions(self) -> list[Submission]:
        """The submissions in submitted/, by student, for assignments that there are."""
        known = self.assignments()
        return [found for found in handed_in(self.root) if found.assignment in known]

    def unknown(self) -> list[Submission]:
        """The folders in submitted/ that have the name of no assignment."""
        known = self.assignments()
        return [found for found in handed_in(self.root) if found.assignment not in known]

    def prepare(self) -> None:
        """Enter the assignments into the gradebook, where it has not what is in source/ now."""
        with turn(self._course.db_url), tempfile.TemporaryDirectory() as release:
            with self._gradebook() as gradebook:
                new = [name for name in self.assignments() if not _is_entered(gradebook, name)]
            # The release is committed already; only the gradebook's entries are wanted.
            self._course.release_directory = release
            generate_assignments(self._api, new)

    def grade(
        self,
        submissions: Iterable[Submission],
        workers: Workers,
        tell: Callable[[Graded], None],
        *,
        again: bool = False,
    ) -> list[Graded]:
        """Have submissions executed and judged, record the verdicts and write the feedback.

        One that cannot be graded does not stop the others. One that is graded already, in the form
        in which it was handed in, is passed over: so a run that was killed goes on where it was.
        Only this process writes, one submission after the other.

        Args:
            submissions: what to grade.
            workers: who executes and judges.
            tell: called after each, in whatever order they are done.
            again: grade also what is graded already.

        Returns:
            What came of each, in the order given.
        """
        submissions = list(submissions)
        results: dict[Submission, Graded] = {}

        def finish(submission: Submission, problem: str = "") -> None:
            results[submission] = self._graded(submission, problem)
            tell(results[submission])

        def jobs() -> Iterator[Job]:
            for submission in submissions:
                try:
                    if not again and self._is_done(submission):
                        finish(submission)
                    else:
                        yield self._job(submission)
                except OSError as error:
                    finish(submission, str(error))

        with one_engine():
            for executed in as_done(jobs(), workers):
                finish(executed.submission, executed.problem or self._record(executed))
        return [results[submission] for submission in submissions]

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
        """Scores by student and assignment, less late penalties; None if nothing was submitted."""
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

    def _folder(self, submission: Submission, step: str) -> Path:
        return self.root / step / submission.student / submission.assignment

    def _job(self, submission: Submission) -> Job:
        """What a worker needs of a submission."""
        folder, name = self._folder(submission, "submitted"), submission.assignment
        tidy(
            assignment=name,
            student=submission.student,
            notebooks=[str(folder / f"{name}.ipynb")],
        )
        notebook = receive(folder, name)
        return Job(
            submission,
            nbformat.writes(notebook),
            self._step.seeds(notebook, submission.student),
            self._step.rules(),
            package_fingerprint(),
        )

    def _record(self, executed: Executed) -> str:
        """Have nbgrader record a verdict and write the feedback; return what went wrong."""
        submission = executed.submission
        notebook = nbformat.reads(executed.notebook, as_version=4)

        # nbgrader's `autograde`, which finds already executed what it would have executed.
        def hand_over(nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, Any]:
            if record_of(nb).digest != record_of(notebook).digest:
                raise ValueError("It was handed in anew while it was graded. Run grading again.")
            return notebook, resources

        config = self._api.config
        config.Autograde.autograde_preprocessors = [
            hand_over if step == EXECUTE else step for step in self._steps
        ]
        found = something_to_find(self._folder(submission, "submitted"))
        with found, turn(self._course.db_url):
            for step in (self._api.autograde, self._api.generate_feedback):
                result = step(submission.assignment, submission.student, force=True)
                if not result["success"]:
                    return _reason(result)
        return ""

    def _graded(self, submission: Submission, problem: str) -> Graded:
        """What is to be told of a submission."""
        noted = None if problem else self._noted(submission)
        record = noted or Record()
        return Graded(
            submission,
            problem,
            tuple(record.told),
            tuple(record.flags),
            record.seconds,
            record.memory,
        )

    def _noted(self, submission: Submission) -> Record | None:
        """What grading noted in the notebook that it wrote, if that is there and whole."""
        folder = self._folder(submission, "autograded")
        return read_record(folder / f"{submission.assignment}.ipynb")

    def _is_done(self, submission: Submission) -> bool:
        """Whether what lies in submitted/ is graded, in the gradebook, and has its feedback."""
        record, name = self._noted(submission), submission.assignment
        if record is None:
            return False
        page = self._folder(submission, "feedback") / f"{name}.html"
        return (
            record.digest == digest(self._folder(submission, "submitted"), name)
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


def _is_entered(gradebook: Gradebook, assignment: str) -> bool:
    """Whether an assignment is in the gradebook as it is in release/."""
    released = nbformat.read(RELEASE / assignment / f"{assignment}.ipynb", as_version=4)
    cells = [cell.metadata.nbgrader for cell in released.cells if "nbgrader" in cell.metadata]
    try:
        entered = gradebook.find_notebook(assignment, assignment)
    except MissingEntry:
        return False
    checksums = {cell.name: cell.checksum for cell in entered.source_cells}
    points = {cell.name: cell.max_score for cell in entered.grade_cells}
    return checksums == {cell.grade_id: cell.checksum for cell in cells} and points == {
        cell.grade_id: cell.points for cell in cells if cell.grade
    }


def _score(gradebook: Gradebook, assignment: str, student: str) -> float | None:
    try:
        return score_of(gradebook.find_submission(assignment, student))
    except MissingEntry:
        return None


def _reason(result: dict[str, str]) -> str:
    """What stopped nbgrader: the exception in its log, not the summary it raises at the end."""
    in_log = re.findall(
        r"^ {4}(?:\w+\.)*(\w+(?:Error|Exception)): (.+)$", result["log"], re.MULTILINE
    )
    if in_log:
        return ": ".join(in_log[-1])
    return result["error"].strip().splitlines()[-1].rpartition("Exception: ")[2]
