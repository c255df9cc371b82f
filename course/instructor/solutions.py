"""The module of reference solutions, gathered from the solution cells of the text notebooks."""

import ast
import sys
from collections.abc import Iterable, Sequence

from nbformat import NotebookNode

from course.instructor.text_notebook import solution_cells

HEADER = '''\
# Built by `make build` from the solution cells of course/notebooks/: edit those, not this file.
"""The reference solutions, in exercise order."""
'''

_MARKERS = ("### BEGIN SOLUTION", "### END SOLUTION")


def without_markers(source: str) -> str:
    """The source of a solution cell without the lines that mark the solution for nbgrader."""
    lines = source.splitlines()
    return "\n".join(line for line in lines if line.strip() not in _MARKERS)


def solutions_module(notebooks: Sequence[NotebookNode]) -> str:
    """The text of the module: the imports that the solutions use, then each solution cell."""
    sections = []
    for notebook in notebooks:
        title = next(c.source for c in notebook.cells if c.cell_type == "markdown").splitlines()[0]
        sections.append(f"# {title.lstrip('# ')}")
        sections += [without_markers(cell.source) for cell in solution_cells(notebook).values()]
    code = "\n\n\n".join(sections)
    cells = (c.source for notebook in notebooks for c in notebook.cells if c.cell_type == "code")
    return f"{HEADER}\n{_imports(cells, code)}\n{code}\n"


def _imports(cells: Iterable[str], code: str) -> str:
    """The import lines among the cells' code that `code` uses, in the order ruff wants."""
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    found: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for cell in cells:
        for node in ast.parse(cell).body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            module = getattr(node, "module", None) or node.names[0].name
            for alias in node.names:
                if (alias.asname or alias.name) in used:
                    one = (
                        ast.ImportFrom(node.module, [alias], 0)
                        if isinstance(node, ast.ImportFrom)
                        else ast.Import([alias])
                    )
                    found[module.partition(".")[0] in sys.stdlib_module_names][ast.unparse(one)] = (
                        None
                    )
    blocks = ["\n".join(sorted(lines, key=_import_order)) for lines in found.values() if lines]
    return "\n\n".join(blocks) + "\n"


def _import_order(line: str) -> tuple[bool, str]:
    return (line.startswith("from "), line)
