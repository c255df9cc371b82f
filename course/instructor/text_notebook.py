"""From a text notebook to the instructor's notebook: cell ids, tasks, and nbgrader's metadata.

A text notebook marks a solution cell with the tag `solution` and the check cell that follows it
with the tag `check`. All else that nbgrader needs is derived from the check cell's one line. A cell
with the tag `show` only shows something: grading skips it, so no other cell may need it.
"""

import ast
import hashlib
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from course.instructor.task import Task

SOLUTION, CHECK, SHOW = "solution", "check", "show"

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


class TextNotebookError(Exception):
    """A text notebook breaks a rule; the message names the file, the cell and the rule."""


def read(path: Path) -> NotebookNode:
    """Read a text notebook, with cell ids that depend on nothing but the cells' text.

    Raises:
        TextNotebookError: the tags of its cells do not form pairs of a solution and its check, or
            a cell needs what another, tagged `show`, defines.
    """
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = _digest(cell)
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = f"{digest}-{seen[digest]}" if seen[digest] > 1 else digest
    roles = [role for cell in notebook.cells if (role := _role(cell))]
    if roles != [SOLUTION, CHECK] * (len(roles) // 2):
        raise TextNotebookError(
            f"{path}: each cell tagged {SOLUTION!r} must be followed by one tagged {CHECK!r}, and "
            f"no other cell may have these tags. The tags are, in order: {', '.join(roles)}."
        )
    if needed := _needed_from_shown(notebook):
        raise TextNotebookError(
            f"{path}: grading skips the cells tagged {SHOW!r}, but other cells need what they"
            f" define: {', '.join(sorted(needed))}."
        )
    return notebook


def add_nbgrader_metadata(notebook: NotebookNode, tasks: dict[str, Task]) -> None:
    """Make the solution cells editable and the check cells graded, with their tasks' points."""
    task_id = ""
    for cell in reversed(notebook.cells):
        role = _role(cell)
        if role == CHECK:
            task_id, _ = check_call(cell)
            if task_id not in tasks:
                raise TextNotebookError(
                    f"{cell.source!r} checks a task that no module of course/instructor/tasks "
                    f"defines. The tasks are: {', '.join(tasks)}."
                )
            task = tasks[task_id]
            points = task.points if task.graded else None
            cell.metadata.nbgrader = _nbgrader(task_id, locked=True, points=points)
        elif role == SOLUTION:
            cell.metadata.nbgrader = _nbgrader(f"{task_id}_{SOLUTION}", locked=False)


def check_call(cell: NotebookNode) -> tuple[str, str]:
    """The task id and the expression checked in a check cell: `check("task", expression)`."""
    match ast.parse(cell.source).body:
        case [
            ast.Expr(
                ast.Call(func=ast.Name("check"), args=[ast.Constant(str() as task), expression])
            )
        ]:
            return task, ast.unparse(expression)
    raise TextNotebookError(
        f'A check cell is one line of the form check("task", name); this one is {cell.source!r}.'
    )


def solution_cells(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The solution cells by the ids of their tasks, in order."""
    cells = [cell for cell in notebook.cells if _role(cell)]
    return {
        check_call(check)[0]: solution
        for solution, check in zip(cells[::2], cells[1::2], strict=True)
    }


def only_shows(cell: NotebookNode) -> bool:
    """Whether a cell only shows something, so that grading may skip it.

    One that a student has written into may hold what their solution needs: its text no longer
    goes with its id.
    """
    as_released = cell.get("id", "").partition("-")[0] == _digest(cell)
    return as_released and SHOW in cell.metadata.get("tags", ())


def _digest(cell: NotebookNode) -> str:
    return hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]


def _needed_from_shown(notebook: NotebookNode) -> set[str]:
    """The names that only cells tagged `show` define and that other cells use."""
    defined: dict[bool, set[str]] = {True: set(), False: set()}
    used: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                    defined[only_shows(cell)].add(name)
                case ast.alias(name=name, asname=asname):
                    defined[only_shows(cell)].add(asname or name)
                case ast.Name(id=name, ctx=ast.Store()):
                    defined[only_shows(cell)].add(name)
                case ast.Name(id=name) if not only_shows(cell):
                    used.add(name)
    return used & (defined[True] - defined[False])


def _role(cell: NotebookNode) -> str:
    return next((tag for tag in cell.metadata.get("tags", ()) if tag in (SOLUTION, CHECK)), "")


def _nbgrader(grade_id: str, *, locked: bool, points: float | None = None) -> NotebookNode:
    metadata = NotebookNode(
        grade=points is not None,
        grade_id=grade_id,
        locked=locked,
        schema_version=3,
        solution=not locked,
        task=False,
    )
    if points is not None:
        metadata.points = points
    return metadata
