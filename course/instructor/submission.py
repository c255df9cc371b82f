"""A submission as a student would make it: a release notebook with solutions written in."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course.instructor.build import RELEASE, SOURCE
from course.instructor.solutions import without_markers
from course.instructor.task import Task, source_of
from course.instructor.text_notebook import solution_cells


def filled_in(name: str, sources: Mapping[str, str]) -> NotebookNode:
    """A release notebook in which the solution cells of some tasks hold other sources.

    Args:
        name: the notebook's name, such as "ex01_basic_implementation".
        sources: what to write into solution cells, by task id; the others stay as they are.
    """
    notebook = _read(RELEASE, name)
    for task, cell in solution_cells(notebook).items():
        cell.source = sources.get(task, cell.source)
    return notebook


def reference_sources(name: str) -> dict[str, str]:
    """The reference solutions of a notebook by task id, as a student would type them."""
    cells = solution_cells(_read(SOURCE, name))
    return {task: without_markers(cell.source) for task, cell in cells.items()}


def typed(task: Task, solution: Callable[..., Any], reference: str) -> str:
    """A known mistake or right solution as the content of its task's solution cell.

    It may build on the reference solution, which therefore comes first.
    """
    return f"{reference}\n\n\n{source_of(solution)}\n\n{task.defines} = {solution.__name__}\n"


def _read(folder: Path, name: str) -> NotebookNode:
    return nbformat.read(folder / name / f"{name}.ipynb", as_version=4)
