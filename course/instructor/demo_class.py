"""A demo class: fictional students with right solutions, known mistakes and unfinished work."""

from pathlib import Path

import nbformat
import numpy as np

from course.instructor.build import text_notebooks
from course.instructor.submission import filled_in, reference_sources, typed
from course.instructor.task import Task, all_tasks

STUDENTS = 12
SEED = 20

# How often a student's solution of a task is of each kind.
KINDS = {"right": 0.55, "mistaken": 0.3, "unfinished": 0.1, "raising": 0.05}

RAISING = "\n\n{defines} = None  # I will come back to this"


def write_demo_class(folder: Path) -> list[str]:
    """Write the submissions of 12 students below a folder; return the students' names.

    The same class at every call: which student does what is drawn from a fixed seed.
    """
    rng = np.random.default_rng(SEED)
    tasks = {task.id: task for task in all_tasks()}
    students = [f"student-{number:02}" for number in range(1, STUDENTS + 1)]
    for student in students:
        for name in (path.stem for path in text_notebooks()):
            sources = {
                task: source
                for task, reference in reference_sources(name).items()
                if (source := _work(tasks[task], reference, rng))
            }
            path = folder / student / name / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(filled_in(name, sources), path)
    return students


def _work(task: Task, reference: str, rng: np.random.Generator) -> str:
    """What one student wrote for one task; empty where they have not started."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    if kind == "unfinished":
        return ""
    if kind == "raising":
        return reference + RAISING.format(defines=task.defines)
    solutions = (
        task.right_solutions if kind == "right" else [mistake.solution for mistake in task.mistakes]
    )
    return typed(task, solutions[rng.integers(len(solutions))], reference)
