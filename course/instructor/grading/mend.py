"""Mending: a submitted notebook, brought back to the form of the released one.

What a student wrote is theirs: all of it runs, in their order. What is the course's comes from the
released notebook: check cells, nbgrader's metadata, cell ids and tags. So nothing that a submission
says of points, kernels or cells is believed.
"""

import ast
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode, v4
from nbgrader import utils

from course.instructor.grading.safe_content import safe_markdown

# More is no exercise, and takes minutes to put on a page.
MOST_CELLS, MOST_CHARACTERS = 1000, 1_000_000


class UnreadableError(Exception):
    """There is no notebook to grade; the message says why, to the student."""


@dataclass(frozen=True)
class Written:
    """A cell of a submission, as far as it can be believed.

    Args:
        kind: code, markdown or raw.
        source: its text.
        claim: the `grade_id` in its metadata, or nothing.
    """

    kind: str
    source: str
    claim: str


def mend(cells: list[Written], released: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Put a submission's cells into the form of the released notebook.

    Args:
        cells: of the submission.
        released: the student's edition.

    Returns:
        A notebook without outputs, and a sentence on each thing that was mended.
    """
    tasks = _Tasks(released)
    twins = {(cell.cell_type, cell.source): cell for cell in reversed(released.cells)}
    roles = [tasks.role_of(cell) for cell in cells]
    remarks = _remarks(cells, roles, tasks)
    last = {role: number for number, role in enumerate(roles)}
    kept: list[NotebookNode] = []
    for number, (cell, role) in enumerate(zip(cells, roles, strict=True)):
        if role in tasks.solutions and last[role] == number:
            kept.append(_filled(tasks.solutions[role], cell.source))
        elif role not in tasks.checks:
            # Taken out, so that a second cell of the same text becomes one of the student's own.
            twin = twins.pop((cell.kind, cell.source), None) if not role else None
            kept.append(twin or _own(cell, number))
        elif not remarks:
            kept.append(tasks.checks[role])
    if remarks:
        _put_back(kept, tasks)
    notebook = v4.new_notebook(metadata=deepcopy(released.metadata))
    notebook.cells = deepcopy(kept)
    return notebook, remarks


def read_cells(notebook: Any) -> list[Written]:
    """Take what is needed from the cells of a notebook of nbformat 4, which may hold anything.

    Raises:
        UnreadableError: it has no cells, or more than any work needs.
    """
    listed = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(listed, list) or not listed:
        raise UnreadableError("The file has no cells in it.")
    cells = [_written(cell) for cell in listed]
    characters = sum(len(cell.source) for cell in cells)
    if len(cells) > MOST_CELLS or characters > MOST_CHARACTERS:
        raise UnreadableError(
            f"The notebook has {len(cells):,} cells with {characters:,} characters of text; at most"
            f" {MOST_CELLS:,} and {MOST_CHARACTERS:,} are graded. Take out what the exercise does"
            " not need, and hand it in again."
        )
    return cells


class _Tasks:
    """The solution and check cells of the released notebook, by the ids in their metadata."""

    def __init__(self, released: NotebookNode) -> None:
        marked = [cell for cell in released.cells if "nbgrader" in cell.metadata]
        self.order = [cell.metadata.nbgrader.grade_id for cell in marked]
        self.solutions = _by_id(cell for cell in marked if utils.is_solution(cell))
        self.checks = _by_id(cell for cell in marked if not utils.is_solution(cell))
        self.pairs = list(zip(self.solutions, self.checks, strict=True))
        self._lines = {cell.source: name for name, cell in self.checks.items()}

    def role_of(self, cell: Written) -> str:
        """The id of the check or solution that a cell is, or nothing."""
        if cell.source in self._lines:
            return self._lines[cell.source]
        return cell.claim if cell.claim in self.solutions else ""


def _remarks(cells: list[Written], roles: list[str], tasks: _Tasks) -> list[str]:
    """What has to be mended of solution and check cells, as sentences; nothing if nothing."""
    if [role for role in roles if role] == tasks.order and all(
        cell.kind == "code" for cell, role in zip(cells, roles, strict=True) if role
    ):
        return []
    times = Counter(roles)
    remarks = []
    for solution, check in tasks.pairs:
        if not times[solution]:
            remarks.append(
                f"The cell for the solution of {check} was missing, or had lost its mark."
            )
        if times[check] != 1:
            how = "missing or changed" if not times[check] else f"there {times[check]} times"
            remarks.append(f"The check cell of {check} was {how}.")
    return [
        *(remarks or ["Cells had been moved, or had become text."]),
        "Grading put each check behind its solution. Nothing that you wrote was taken out.",
    ]


def _put_back(kept: list[NotebookNode], tasks: _Tasks) -> None:
    """Give each check its place behind its solution, and each missing solution one."""
    end = len(kept)
    for solution, check in reversed(tasks.pairs):
        at = _index(kept[:end], solution)
        if at is None:
            at = _definition(kept[:end], _defined(tasks.solutions[solution].source))
            if at is None:
                at = end
                kept.insert(at, tasks.solutions[solution])
            else:
                kept[at] = _filled(tasks.solutions[solution], kept[at].source)
        kept.insert(at + 1, tasks.checks[check])
        end = at


def _index(cells: list[NotebookNode], grade_id: str) -> int | None:
    for number, cell in enumerate(cells):
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id:
            return number
    return None


def _definition(cells: list[NotebookNode], names: set[str]) -> int | None:
    """The last of a student's own cells that defines what a solution is to define."""
    found = None
    for number, cell in enumerate(cells):
        if cell.cell_type == "code" and not cell.metadata and names & _defined(cell.source):
            found = number
    return found


def _defined(source: str) -> set[str]:
    """The names that a cell defines at its top level; none if it is no Python."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = set()
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def _written(cell: Any) -> Written:
    if not isinstance(cell, dict):
        return Written("raw", "", "")
    kind, source, metadata = (cell.get(name) for name in ("cell_type", "source", "metadata"))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    claim = marks.get("grade_id") if isinstance(marks, dict) else None
    return Written(
        kind if kind in ("code", "markdown") else "raw",
        # Half of a surrogate pair cannot be written to a file.
        source.encode("utf-8", "replace").decode("utf-8") if isinstance(source, str) else "",
        claim if isinstance(claim, str) else "",
    )


def _own(cell: Written, number: int) -> NotebookNode:
    """A cell that the student added or changed, without metadata."""
    source = cell.source if cell.kind == "code" else safe_markdown(cell.source)
    make = v4.new_code_cell if cell.kind == "code" else v4.new_markdown_cell
    return make(source, id=f"own-{number}")


def _filled(solution: NotebookNode, source: str) -> NotebookNode:
    filled = deepcopy(solution)
    filled.source = source
    return filled


def _by_id(cells: Any) -> dict[str, NotebookNode]:
    return {cell.metadata.nbgrader.grade_id: cell for cell in cells}
