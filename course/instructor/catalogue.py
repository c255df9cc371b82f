"""The catalogue: what the text notebooks say of themselves, gathered for the student's side."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict

from nbformat import NotebookNode

from course.instructor.task import Task
from course.instructor.text_notebook import TextNotebookError, solution_cells
from course.student.catalogue import Notebook

TITLE = re.compile(r"# (?:Exercise|Further challenge) (\w+): (.+)")
FACTS = re.compile(r"\*\*(\d+) minutes · ([a-z ]+) · (\d+) points(?: \(bonus\))?\.\*\*")
NEEDS = re.compile(r"\b(?:[Ee]xercises?|and) (\d+)\b|, (\d+)\b")


def catalogue_of(notebooks: Mapping[str, NotebookNode], tasks: Mapping[str, Task]) -> str:
    """The text of the catalogue.

    Args:
        notebooks: the text notebooks by name, in the order of the course.
        tasks: all tasks by id.

    Raises:
        TextNotebookError: a notebook's first cell lacks its title, its minutes, difficulty and
            points, or its points are not those of its tasks.
    """
    found: list[Notebook] = []
    for name, notebook in notebooks.items():
        if all(tasks[task].graded for task in solution_cells(notebook)):
            found.append(_entry(name, notebook, tasks, found))
    lines = ",\n".join(json.dumps(asdict(entry), ensure_ascii=False) for entry in found)
    generated = "Built by `make build` from course/notebooks/: edit those, not this file."
    return f'{{"generated": {json.dumps(generated)},\n"notebooks": [\n{lines}\n]}}\n'


def _entry(
    name: str, notebook: NotebookNode, tasks: Mapping[str, Task], earlier: list[Notebook]
) -> Notebook:
    head = notebook.cells[0].source
    title, facts = TITLE.match(head), FACTS.search(head)
    points = {task: tasks[task].points for task in solution_cells(notebook)}
    if not title or not facts:
        raise TextNotebookError(
            f"{name}: its first cell must begin with `# Exercise 3: Title` (or `# Further challenge"
            " C1: Title`) and hold a line like `**30 minutes · medium · 10 points.**`"
        )
    if int(facts[3]) != sum(points.values()):
        raise TextNotebookError(
            f"{name}: the text says {facts[3]} points, but its tasks are worth"
            f" {sum(points.values()):g}."
        )
    prerequisites = " ".join(head[facts.end() :].split()).partition(". ")[0]
    needed = {number for pair in NEEDS.findall(prerequisites) for number in pair if number}
    return Notebook(
        name=name,
        label=title[1],
        title=title[2],
        minutes=int(facts[1]),
        difficulty=facts[2],
        needs=tuple(notebook.name for notebook in earlier if notebook.label in needed),
        tasks=points,
    )
