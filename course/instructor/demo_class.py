"""A demo class: fictional students with right solutions, known mistakes and unfinished work."""

from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import nbformat
import numpy as np

from course.instructor.submission import filled_in, reference_sources, typed
from course.instructor.task import Task, all_tasks
from course.student.catalogue import catalogue

STUDENTS = 12
SEED = 0

# How often a student's notebook is of each kind.
KINDS = {"right": 0.45, "mistaken": 0.35, "unfinished": 0.1, "broken": 0.1}

BROKEN = "\n\n{defines} = None  # I will come back to this\n"


def write_demo_class(
    folder: Path, count: int = STUDENTS, notebooks: Iterable[str] | None = None
) -> list[str]:
    """Write the submissions of a class below a folder; return the students' names.

    The same class at every call: which student does what is drawn from a fixed seed.

    Args:
        folder: where to write STUDENT/NOTEBOOK/NOTEBOOK.ipynb.
        count: how many students.
        notebooks: the names of those that they hand in; all, if not given.
    """
    rng = np.random.default_rng(SEED)
    names = notebooks or [notebook.name for notebook in catalogue()]
    references = {name: reference_sources(name) for name in names}
    students = [f"student-{number:02}" for number in range(1, count + 1)]
    for student in students:
        for name, reference in references.items():
            sources = _work(all_tasks(), reference, rng)
            path = folder / student / name / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(filled_in(name, sources), path)
    return students


def _work(
    tasks: dict[str, Task], reference: dict[str, str], rng: np.random.Generator
) -> dict[str, str]:
    """What one student wrote in one notebook: one task in a way of their own, the rest by the book.

    A right solution of their own is of the last task: the later ones may build on how the book
    did the earlier ones.
    """
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    task = tasks[rng.choice(list(reference)) if kind != "right" else list(reference)[-1]]
    book = reference[task.id]
    if kind == "unfinished":
        return dict(takewhile(lambda done: done[0] != task.id, reference.items()))
    if kind == "broken":
        return reference | {task.id: book + BROKEN.format(defines=task.defines)}
    mistakes = [mistake.solution for mistake in task.mistakes]
    solutions = task.right_solutions if kind == "right" else mistakes
    return reference | {task.id: typed(task, solutions[rng.integers(len(solutions))], book)}
