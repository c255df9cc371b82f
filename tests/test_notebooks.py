"""Notebooks with solutions pasted in, under stock nbgrader and under this course's settings."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from traitlets.config import Config

from course.instructor import build
from course.instructor.submission import filled_in, reference_sources, typed
from course.instructor.task import Task, all_tasks
from course.instructor.text_notebook import only_shows
from course.student.catalogue import START, catalogue

NOTEBOOKS = [notebook.name for notebook in catalogue()]
TASKS = all_tasks()


def submitted(name: str, sources: dict[str, str]) -> nbformat.NotebookNode:
    """A notebook with solutions written in, less the cells that only show: nbval runs those."""
    notebook = filled_in(name, sources)
    notebook.cells = [cell for cell in notebook.cells if not only_shows(cell)]
    return notebook


def right(name: str) -> nbformat.NotebookNode:
    return submitted(name, reference_sources(name))


def mistaken(name: str) -> nbformat.NotebookNode:
    """The reference in all tasks but the first, which holds its first known mistake."""
    sources = reference_sources(name)
    task = TASKS[next(iter(sources))]
    return submitted(
        name, sources | {task.id: typed(task, task.mistakes[0].solution, sources[task.id])}
    )


def validated(notebook: nbformat.NotebookNode, folder: Path) -> str:
    """What `nbgrader validate` says of a notebook."""
    path = folder / "notebook.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "nbgrader", "validate", str(path)]
    # Away from the course's folder, so that nbgrader's own settings hold.
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return result.stdout + result.stderr


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_nbgrader_validate_passes_the_reference(name: str, tmp_path: Path) -> None:
    assert "Success" in validated(right(name), tmp_path)


def test_nbgrader_validate_passes_no_known_mistake(tmp_path: Path) -> None:
    assert "VALIDATION FAILED" in validated(mistaken(NOTEBOOKS[-1]), tmp_path)


@pytest.mark.parametrize("settings", [Config(), build.nbgrader_config()], ids=["stock", "ours"])
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_autograde_gives_the_reference_full_marks_and_no_known_mistake(
    name: str, settings: Config, tmp_path: Path
) -> None:
    config = Config(settings)
    config.CourseDirectory.root = str(tmp_path)
    config.CourseDirectory.db_url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    config.ExecuteAndJudge.secret_file = str(tmp_path / ".class_secret")
    for student, notebook in (("student-01", right(name)), ("student-02", mistaken(name))):
        path = tmp_path / "submitted" / student / name / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    source = tmp_path / "source" / name / f"{name}.ipynb"
    source.parent.mkdir(parents=True)
    source.write_bytes((build.SOURCE / name / f"{name}.ipynb").read_bytes())
    api = NbGraderAPI(config=config)
    assert api.generate_assignment(name)["success"]
    for student in ("student-01", "student-02"):
        result = api.autograde(name, student)
        assert result["success"], result["log"]
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        full, less = (gradebook.find_submission(name, f"student-0{n}") for n in (1, 2))
        assert full.score == full.max_score
        assert less.score < less.max_score
        assert not full.needs_manual_grade
        assert not less.needs_manual_grade


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_what_is_pasted_into_a_notebook_runs_there(task: Task) -> None:
    name = next(name for name in (START, *NOTEBOOKS) if task.id in reference_sources(name))
    references = reference_sources(name)
    before: dict[str, object] = {}
    for cell in nbformat.read(build.SOURCE / name / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code" and cell.source.startswith(("import ", "from ")):
            exec(cell.source, before)
    for earlier, source in references.items():
        if earlier == task.id:
            break
        exec(source, before)
    for solution in [
        *task.right_solutions,
        *task.combinations,
        *(mistake.solution for mistake in task.mistakes),
    ]:
        namespace = dict(before)
        exec(typed(task, solution, references[task.id]), namespace)
        assert namespace[task.defines] is namespace[solution.__name__]
