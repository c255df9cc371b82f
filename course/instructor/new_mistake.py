"""From a real submission to a known mistake: what grading says of it, and a skeleton to complete.

The student's code runs in the sandbox, and nowhere else.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader import utils

from course.instructor.grading.execute import ExecuteAndJudge
from course.instructor.grading.job import Job, Submission, do, package_fingerprint
from course.instructor.grading.receive import receive
from course.instructor.grading.record import Finding, record_of
from course.instructor.mistake_skeleton import Skeleton, skeleton
from course.instructor.submission import filled_in, reference_sources
from course.instructor.task import all_tasks
from course.instructor.text_notebook import check_call
from course.student.catalogue import Notebook, catalogue

# Of the inputs on which a submission is judged: others than the published ones.
SEED = 1


class NoSkeletonError(Exception):
    """There is no known mistake to be made of a submission; the message says why."""


@dataclass(frozen=True)
class Judged:
    """How a notebook fares in one task.

    Args:
        finding: what the judge found.
        card: the report card, as plain text.
        remarks: what else grading says of the notebook, in sentences.
        sources: of the code cells before the check.
    """

    finding: Finding
    card: str
    remarks: list[str]
    sources: list[str]


def notebook_of(task: str) -> Notebook:
    """The notebook that a task is in.

    Raises:
        NoSkeletonError: there is no such task.
    """
    for notebook in catalogue():
        if task in notebook.tasks:
            return notebook
    known = ", ".join(task for notebook in catalogue() for task in notebook.tasks)
    raise NoSkeletonError(f"There is no graded task {task!r}. There are: {known}.")


def read_submission(place: str, name: str, submitted: Path) -> NotebookNode:
    """Read a student's notebook, mended where it is damaged.

    Args:
        place: the path of the notebook, or the name of a student's folder.
        name: the notebook's name in the course.
        submitted: the folder that has a folder for each student.

    Raises:
        NoSkeletonError: there is none, or it cannot be read.
    """
    folder = submitted / place / name
    if Path(place).is_file():
        with tempfile.TemporaryDirectory() as copy:
            shutil.copyfile(place, Path(copy, f"{name}.ipynb"))
            notebook = receive(Path(copy), name)
    elif folder.is_dir():
        notebook = receive(folder, name)
    else:
        raise NoSkeletonError(
            f"There is no notebook {place!r}, and no folder {folder}. Give the path of a notebook,"
            f" or the name of a student who has a folder in {submitted}."
        )
    if unreadable := record_of(notebook).unreadable:
        raise NoSkeletonError(unreadable)
    return notebook


def judged(notebook: NotebookNode, task: str) -> Judged:
    """Have a notebook executed in the sandbox and judged, as grading does.

    Args:
        notebook: as it was received, or filled in.
        task: the task whose verdict is wanted.

    Raises:
        NoSkeletonError: it cannot be executed on this machine.
    """
    where = notebook_of(task)
    job = Job(
        Submission("a student", where.name),
        nbformat.writes(notebook),
        dict.fromkeys(where.tasks, SEED),
        ExecuteAndJudge().rules(),
        package_fingerprint(),
    )
    executed = do(job)
    if executed.problem:
        raise NoSkeletonError(f"It could not be executed. {executed.problem}")
    cells = nbformat.reads(executed.notebook, as_version=4)
    record, sources = record_of(cells), []
    for cell in cells.cells:
        if utils.is_grade(cell) and check_call(cell)[0] == task:
            break
        if cell.cell_type == "code":
            sources.append(cell.source)
    card = "\n".join(map(_printable, cell.outputs[0]["data"]["text/plain"].splitlines()))
    remarks = [f"Told to the student: {remark}" for remark in record.remarks]
    flags = [f"Look at this: {flag}" for flag in record.flags]
    return Judged(record.findings[task], card, [*remarks, *flags], sources)


def skeleton_of(found: Judged, task: str) -> Skeleton:
    """The skeleton of a known mistake, of what grading found.

    Raises:
        NoSkeletonError: the course needs none, or none can be made.
    """
    finding = found.finding
    if not finding.started:
        raise NoSkeletonError("There is no solution in it yet.")
    if finding.mistakes:
        names = "; and equally: ".join(finding.mistakes)
        raise NoSkeletonError(f"The course knows this mistake: {names}.")
    if not finding.failure:
        raise NoSkeletonError("It is right: nothing failed.")
    made = skeleton(found.sources, all_tasks()[task])
    if made is None:
        raise NoSkeletonError(
            f"No cell before the check defines `{all_tasks()[task].defines}` with `def` or `class`,"
            " in Python that can be read. There is nothing to make a known mistake of."
        )
    return made


def fares_alike(made: Skeleton, found: Judged, task: str) -> bool:
    """Whether a skeleton gives by itself what the submission gave, tried in the sandbox."""
    name = notebook_of(task).name
    book = reference_sources(name)
    typed = f"{book[task]}\n\n\n{made.solution}"
    return judged(filled_in(name, book | {task: typed}), task).finding == found.finding


def _printable(line: str) -> str:
    """Without what a terminal would obey: a message may be the student's."""
    return "".join(character for character in line if character.isprintable())
