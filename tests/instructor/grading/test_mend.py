"""What is the course's is put right in a submission; what is the student's runs as it is."""

from collections.abc import Callable
from copy import deepcopy

import nbformat
import pytest
from nbformat import NotebookNode, v4
from nbgrader import utils

from course.instructor.build import RELEASE
from course.instructor.grading import mend as mending
from course.instructor.grading.mend import UnreadableError, mend, read_cells
from course.instructor.grading.safe_content import safe_markdown
from course.instructor.submission import filled_in, reference_sources

NAME = "ex02_forward_backward"
FORWARD, GRADIENTS, BACKWARD = "ex02_forward", "ex02_parameter_gradients", "ex02_backward"


def released() -> NotebookNode:
    return nbformat.read(RELEASE / NAME / f"{NAME}.ipynb", as_version=4)


def solved() -> NotebookNode:
    return filled_in(NAME, reference_sources(NAME))


def mended(submitted: NotebookNode) -> tuple[NotebookNode, str]:
    notebook, remarks = mend(read_cells(submitted), released())
    nbformat.validate(notebook)
    return notebook, " ".join(remarks)


def graded_ids(notebook: NotebookNode) -> list[str]:
    return [
        cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata
    ]


def cell_of(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    return next(
        cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    )


def at(notebook: NotebookNode, grade_id: str) -> int:
    return notebook.cells.index(cell_of(notebook, grade_id))


ORDER = [name for task in (FORWARD, GRADIENTS, BACKWARD) for name in (f"{task}_solution", task)]


def text_of(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells]


def test_an_undamaged_submission_comes_through_as_it_is() -> None:
    for submitted in (released(), solved()):
        notebook, remarks = mended(submitted)
        assert not remarks
        assert notebook.cells == submitted.cells


def drop(notebook: NotebookNode, grade_id: str) -> None:
    del notebook.cells[at(notebook, grade_id)]


def drop_check(notebook: NotebookNode) -> None:
    drop(notebook, GRADIENTS)


def drop_all_checks(notebook: NotebookNode) -> None:
    for task in (FORWARD, GRADIENTS, BACKWARD):
        drop(notebook, task)


def double_check(notebook: NotebookNode) -> None:
    notebook.cells.append(deepcopy(cell_of(notebook, GRADIENTS)))


def check_first(notebook: NotebookNode) -> None:
    notebook.cells.insert(0, notebook.cells.pop(at(notebook, GRADIENTS)))


def check_becomes_text(notebook: NotebookNode) -> None:
    cell = cell_of(notebook, GRADIENTS)
    text = v4.new_markdown_cell(cell.source, metadata=cell.metadata)
    notebook.cells[at(notebook, GRADIENTS)] = text


def solution_becomes_text(notebook: NotebookNode) -> None:
    name = f"{GRADIENTS}_solution"
    cell = cell_of(notebook, name)
    notebook.cells[at(notebook, name)] = v4.new_markdown_cell(cell.source, metadata=cell.metadata)


def solution_loses_its_mark(notebook: NotebookNode) -> None:
    cell_of(notebook, f"{GRADIENTS}_solution").metadata = NotebookNode()


def all_marks_are_lost(notebook: NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = NotebookNode(), f"other-{number}"


def checks_are_swapped(notebook: NotebookNode) -> None:
    one, other = at(notebook, FORWARD), at(notebook, GRADIENTS)
    notebook.cells[one], notebook.cells[other] = notebook.cells[other], notebook.cells[one]


@pytest.mark.parametrize(
    "damage",
    [
        drop_check,
        drop_all_checks,
        double_check,
        check_first,
        check_becomes_text,
        solution_becomes_text,
        solution_loses_its_mark,
        all_marks_are_lost,
        checks_are_swapped,
    ],
)
def test_each_check_gets_its_place_back_and_it_is_told(
    damage: Callable[[NotebookNode], None],
) -> None:
    submitted = solved()
    damage(submitted)
    notebook, remarks = mended(submitted)
    assert graded_ids(notebook) == ORDER
    for task in (FORWARD, GRADIENTS, BACKWARD):
        assert at(notebook, task) == at(notebook, f"{task}_solution") + 1
        assert cell_of(notebook, task) == cell_of(released(), task)
        assert cell_of(notebook, f"{task}_solution").source == reference_sources(NAME)[task]
    assert "Nothing that you wrote was taken out." in remarks
    if damage not in (all_marks_are_lost, checks_are_swapped, check_first):
        assert GRADIENTS in remarks or "become text" in remarks


def test_a_solution_cell_that_is_gone_is_put_back_unwritten() -> None:
    submitted = solved()
    drop(submitted, f"{GRADIENTS}_solution")
    notebook, remarks = mended(submitted)
    assert graded_ids(notebook) == ORDER
    assert "raise NotImplementedError" in cell_of(notebook, f"{GRADIENTS}_solution").source
    assert f"The cell for the solution of {GRADIENTS} was missing" in remarks


def test_of_two_copies_of_a_solution_cell_the_last_is_checked_and_both_run() -> None:
    submitted = solved()
    name = f"{GRADIENTS}_solution"
    copy = deepcopy(cell_of(submitted, name))
    copy.source, copy.id = "def parameter_gradients(dout, normalized): ...", "copy"
    submitted.cells.insert(at(submitted, name), copy)
    notebook, _ = mended(submitted)
    assert cell_of(notebook, name).source == reference_sources(NAME)[GRADIENTS]
    assert copy.source in text_of(notebook)
    assert graded_ids(notebook) == ORDER


def test_what_stands_in_a_check_cell_runs_beside_the_check() -> None:
    submitted = solved()
    cell_of(submitted, GRADIENTS).source = "4.0"
    notebook, remarks = mended(submitted)
    assert cell_of(notebook, GRADIENTS).source == cell_of(released(), GRADIENTS).source
    own = next(cell for cell in notebook.cells if cell.source == "4.0")
    assert not own.metadata
    assert f"The check cell of {GRADIENTS} was missing or changed." in remarks


@pytest.mark.parametrize(
    "claim",
    [
        {"grade": True, "points": 1000.0, "grade_id": "mine", "locked": False, "solution": False},
        {"grade": True, "points": 4.0, "grade_id": GRADIENTS, "locked": False, "solution": True},
        {"grade": True, "points": 4.0, "grade_id": GRADIENTS, "schema_version": 99, "task": True},
        "not even a dict",
    ],
    ids=str,
)
def test_nothing_that_a_cell_says_of_points_or_grades_is_believed(claim: object) -> None:
    submitted = solved()
    cell = v4.new_code_cell("10.0", metadata={"nbgrader": claim, "tags": ["skip-execution"]})
    submitted.cells.append(cell)
    cell_of(submitted, BACKWARD).metadata.nbgrader.points = 1000.0
    cell_of(submitted, f"{FORWARD}_solution").metadata.tags = ["skip-execution"]
    notebook, _ = mended(submitted)
    assert graded_ids(notebook) == ORDER
    points = [cell.metadata.nbgrader.points for cell in notebook.cells if utils.is_grade(cell)]
    assert points == [4.0, 4.0, 7.0]
    assert not [cell for cell in notebook.cells if "skip-execution" in str(cell.metadata)]
    assert "10.0" in text_of(notebook)


def test_cells_of_the_students_own_stay_where_they_are() -> None:
    submitted = solved()
    submitted.cells.insert(at(submitted, GRADIENTS), v4.new_code_cell("my_test = 1"))
    submitted.cells.insert(2, v4.new_markdown_cell("my notes"))
    notebook, remarks = mended(submitted)
    submitted.cells[2].source = safe_markdown("my notes")
    assert text_of(notebook) == text_of(submitted)
    assert not remarks


def test_metadata_kernels_and_ids_of_the_submission_are_not_taken_over() -> None:
    submitted = solved()
    submitted.metadata.kernelspec = {"name": "bash", "argv": ["sh"]}
    submitted.metadata.title = "</title><script>"
    submitted.cells[0].source += "changed"
    submitted.cells[0].id = "x onload=alert(1)"
    notebook, _ = mended(submitted)
    assert notebook.metadata == released().metadata
    assert notebook.cells[0].id == "own-0"


@pytest.mark.parametrize("source", [None, 3, ["a = 1\n", 2, "b = 2"], {"a": 1}, "\ud800\x00"])
def test_a_source_that_is_no_text_stops_nothing(source: object) -> None:
    cells = [*solved().cells, {"cell_type": "code", "source": source}, None, 3, {}, {"source": "x"}]
    notebook, _ = mend(read_cells({"cells": cells}), released())
    nbformat.writes(notebook).encode("utf-8")
    assert graded_ids(notebook) == ORDER


@pytest.mark.parametrize("notebook", [None, [], 3, {}, {"cells": None}, {"cells": {}}])
def test_a_file_without_cells_is_told(notebook: object) -> None:
    with pytest.raises(UnreadableError, match="no cells"):
        read_cells(notebook)


def test_a_notebook_too_large_for_any_exercise_is_told_with_the_limits() -> None:
    for cells in ([{"source": ""}] * 1001, [{"source": "x" * 1_000_001}]):
        with pytest.raises(UnreadableError, match=r"at most 1,000 and 1,000,000 are graded"):
            read_cells({"cells": cells})


def test_code_that_is_no_python_is_no_definition() -> None:
    for source in ("def parameter_gradients(:", "\x00", "(" * 10_000):
        assert mending._defined(source) == set()
