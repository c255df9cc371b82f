"""What a notebook says of itself in its first cell is read, or its author is told what lacks."""

from pathlib import Path

import pytest
from nbformat import NotebookNode

from course.instructor import text_notebook
from course.instructor.build import text_notebooks
from course.instructor.catalogue import catalogue_of
from course.instructor.task import all_tasks
from course.instructor.text_notebook import TextNotebookError
from course.student.catalogue import START, catalogue

TASKS = all_tasks()
NOTEBOOKS = {path.stem: path for path in text_notebooks()}


def changed(name: str, old: str, new: str) -> dict[str, NotebookNode]:
    """The notebook of that name with its first cell changed."""
    notebook = text_notebook.read(NOTEBOOKS[name])
    assert old in notebook.cells[0].source
    notebook.cells[0].source = notebook.cells[0].source.replace(old, new)
    return {name: notebook}


def test_the_catalogue_lists_the_graded_notebooks_in_order() -> None:
    assert [notebook.name for notebook in catalogue()] == [n for n in NOTEBOOKS if n != START]
    first, second, third = catalogue()[:3]
    assert (first.label, first.title, first.minutes) == ("1", "Basic implementation", 25)
    assert (second.needs, third.needs) == ((first.name,), (first.name,))
    assert second.tasks == {
        "ex02_forward": 4.0,
        "ex02_parameter_gradients": 4.0,
        "ex02_backward": 7.0,
    }
    assert (second.points, third.difficulty) == (15, "medium")


def test_a_notebook_that_does_not_say_how_long_it_takes_is_refused() -> None:
    with pytest.raises(TextNotebookError, match="hold a line like"):
        catalogue_of(changed("ex03_pytorch_module", "30 minutes", "half an hour"), TASKS)


def test_a_notebook_that_promises_other_points_than_its_tasks_give_is_refused() -> None:
    with pytest.raises(TextNotebookError, match="says 11 points, but its tasks are worth 10"):
        catalogue_of(changed("ex03_pytorch_module", "10 points", "11 points"), TASKS)


def test_the_readme_lists_every_notebook_with_its_minutes_and_points() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for notebook in catalogue():
        row = next(line for line in readme.splitlines() if f"/{notebook.name}.ipynb)" in line)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[0].startswith(f"[{notebook.label} {notebook.title}]")
        assert cells[2:] == [f"{notebook.points:g}", str(notebook.minutes), notebook.difficulty]
