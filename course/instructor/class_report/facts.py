"""What is known of a class: the gradebook's scores, and what grading noted in each notebook."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    Gradebook,
    GradeCell,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.coursedir import CourseDirectory

from course.instructor.grading.job import Submission, handed_in
from course.instructor.grading.receive import digest
from course.instructor.grading.record import Finding, Record, read_record
from course.student.catalogue import Notebook, catalogue

UNGRADED = "Not graded yet."
ANEW = "Handed in anew since it was graded: run `make grade`."
NO_EXERCISE = "Not of this course: no exercise has this name."


@dataclass(frozen=True)
class TaskResult:
    """What one student has in one task.

    Args:
        score: what the gradebook says.
        points: what the task is worth.
        by_hand: whether the score was given by hand.
        to_review: whether the gradebook waits for a score by hand.
        finding: what the judge found; None if grading did not note it.
    """

    score: float
    points: float
    by_hand: bool
    to_review: bool
    finding: Finding | None

    @property
    def state(self) -> str:
        """One of "full", "part", "none" (started, but no points) and "unstarted"."""
        if self.score >= self.points:
            return "full"
        if self.score > 0:
            return "part"
        return "unstarted" if self.finding and not self.finding.started else "none"


@dataclass(frozen=True)
class Work:
    """One student's graded notebook.

    Args:
        student: the student's name.
        notebook: the notebook's name.
        penalty: points taken off for being late.
        flagged: whether it is flagged in the gradebook.
        tasks: the results by task id, in the notebook's order.
        record: what grading noted; an empty one if that is not to be had.
        page: the address of the feedback page from the course folder; empty if there is none.
    """

    student: str
    notebook: str
    penalty: float
    flagged: bool
    tasks: Mapping[str, TaskResult]
    record: Record
    page: str

    @property
    def score(self) -> float:
        """What it earned, less what being late cost, as nbgrader exports it."""
        return max(0.0, sum(task.score for task in self.tasks.values()) - self.penalty)


@dataclass(frozen=True)
class ClassFacts:
    """All that the class report tells of.

    Args:
        notebooks: the notebooks that are in the gradebook, in the order of the course.
        points: what each task is worth, by notebook and task id.
        students: the names of all students.
        works: the graded notebooks, by student and notebook.
        left: folders of submissions that are not graded as they are now, with the reason.
    """

    notebooks: tuple[Notebook, ...]
    points: Mapping[str, Mapping[str, float]]
    students: tuple[str, ...]
    works: Mapping[tuple[str, str], Work]
    left: Mapping[Submission, str]


def class_facts(course: CourseDirectory, problems: Mapping[Submission, str]) -> ClassFacts:
    """Gather what is known of the class in a course folder.

    Args:
        course: the course folder.
        problems: why submissions were not graded, where that is known.
    """
    with Gradebook(course.db_url, course.course_id) as gradebook:
        points = _points(gradebook)
        students = {student.id for student in gradebook.students}
        works = {(work.student, work.notebook): work for work in _works(gradebook, course, points)}
    submissions = handed_in(Path(course.root))
    left = {
        submission: words
        for submission in submissions
        if (words := problems.get(submission) or _why_left(submission, course, works))
    }
    return ClassFacts(
        notebooks=tuple(notebook for notebook in catalogue() if notebook.name in points),
        points=points,
        students=tuple(sorted(students | {submission.student for submission in submissions})),
        works=works,
        left=left,
    )


def _points(gradebook: Gradebook) -> dict[str, dict[str, float]]:
    """What each task is worth in the gradebook, by notebook and in the notebook's order."""
    rows = (
        gradebook.db.query(Assignment.name, GradeCell.name, GradeCell.max_score)
        .select_from(GradeCell)
        .join(GradeCell.notebook)
        .join(Assignment)
    )
    found: dict[str, dict[str, float]] = {}
    for notebook, task, points in rows:
        found.setdefault(notebook, {})[task] = points
    return {
        notebook.name: {task: found[notebook.name].get(task, 0.0) for task in notebook.tasks}
        for notebook in catalogue()
        if notebook.name in found
    }


def _works(
    gradebook: Gradebook, course: CourseDirectory, points: Mapping[str, Mapping[str, float]]
) -> Iterator[Work]:
    """All notebooks in the gradebook that have a score."""
    rows = (
        gradebook.db.query(
            Student.id,
            Assignment.name,
            BaseCell.name,
            Grade.score,
            Grade.auto_score,
            Grade.manual_score,
            Grade.needs_manual_grade,
            SubmittedNotebook.late_submission_penalty,
            SubmittedNotebook.flagged,
        )
        .select_from(Grade)
        .join(BaseCell, Grade.cell_id == BaseCell.id)
        .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
        .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .join(Student, SubmittedAssignment.student_id == Student.id)
        .order_by(Student.id)
    )
    grades: dict[tuple[str, str], dict[str, tuple]] = {}
    for student, notebook, task, *grade in rows:
        if task in points.get(notebook, {}):
            grades.setdefault((student, notebook), {})[task] = tuple(grade)
    for (student, notebook), given in grades.items():
        if any(auto is None and manual is None for _, auto, manual, *_ in given.values()):
            continue  # a run that was killed left it so
        folder = Path(course.root) / "autograded" / student / notebook
        record = read_record(folder / f"{notebook}.ipynb") or Record()
        tasks = {
            task: TaskResult(
                score=given[task][0],
                points=worth,
                by_hand=given[task][2] is not None,
                to_review=given[task][3],
                finding=record.findings.get(task),
            )
            for task, worth in points[notebook].items()
            if task in given
        }
        penalty, flagged = next(iter(given.values()))[4:]
        page = _page(course, student, notebook)
        yield Work(student, notebook, penalty or 0.0, bool(flagged), tasks, record, page)


def _page(course: CourseDirectory, student: str, notebook: str) -> str:
    """The address of a feedback page, from the course folder; empty if there is none."""
    parts = ("feedback", student, notebook, f"{notebook}.html")
    if not Path(course.root, *parts).is_file():
        return ""
    return "/".join(quote(os.fsencode(part), safe="") for part in parts)


def _why_left(
    submission: Submission, course: CourseDirectory, works: Mapping[tuple[str, str], Work]
) -> str:
    """Why a folder is not graded as it is now; empty if it is."""
    name = submission.assignment
    if name not in {notebook.name for notebook in catalogue()}:
        return NO_EXERCISE
    work = works.get((submission.student, name))
    if work is None:
        return UNGRADED
    folder = Path(course.root) / "submitted" / submission.student / name
    graded = work.record.digest
    return ANEW if graded and graded != digest(folder, name) else ""
