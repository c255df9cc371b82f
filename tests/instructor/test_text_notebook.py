"""A text notebook that breaks a rule is told which, and the rest is derived from it."""

from pathlib import Path

import pytest

from course.instructor.solutions import solutions_module
from course.instructor.task import all_tasks
from course.instructor.text_notebook import (
    TextNotebookError,
    add_nbgrader_metadata,
    only_shows,
    read,
    solution_cells,
)

TASKS = all_tasks()

TEXT = '''# %% [markdown]
# # Exercise 1: A toy

# %%
import math
import numpy as np
import torch
from torch import nn
from course import check

# %% tags=["solution"]
def layer_norm(x):
    """Docstring."""
    ### BEGIN SOLUTION
    return np.sqrt(math.pi) * x
    ### END SOLUTION

# %% tags=["check"]
check("ex01_layer_norm", layer_norm)
'''


def written(folder: Path, text: str) -> Path:
    path = folder / "ex01_toy.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_check_line_gives_ids_and_points(tmp_path: Path) -> None:
    notebook = read(written(tmp_path, TEXT))
    add_nbgrader_metadata(notebook, TASKS)
    solution, check = (cell.metadata.nbgrader for cell in notebook.cells[-2:])
    assert (solution.grade_id, solution.solution, solution.locked) == (
        "ex01_layer_norm_solution",
        True,
        False,
    )
    assert (check.grade_id, check.grade, check.locked, check.points) == (
        "ex01_layer_norm",
        True,
        True,
        10,
    )


def test_cell_ids_depend_on_the_text_alone_and_differ(tmp_path: Path) -> None:
    text = TEXT + "\n# %%\n1 + 1\n\n# %%\n1 + 1\n"
    ids = [[cell.id for cell in read(written(tmp_path, text)).cells] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('tags=["check"]', "", "must be followed by one tagged 'check'"),
        ('tags=["solution"]', "", "must be followed by one tagged 'check'"),
        ('"ex01_layer_norm", layer_norm', "layer_norm", "is one line of the form"),
        ("ex01_layer_norm", "ex99_nothing", "checks a task that no module"),
    ],
)
def test_a_broken_rule_is_told(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(TextNotebookError, match=words):
        add_nbgrader_metadata(read(written(tmp_path, TEXT.replace(old, new))), TASKS)


def test_the_solutions_module_has_the_solutions_and_the_imports_they_use(tmp_path: Path) -> None:
    notebook = read(written(tmp_path, TEXT))
    assert list(solution_cells(notebook)) == ["ex01_layer_norm"]
    module = solutions_module([notebook])
    assert "# Exercise 1: A toy" in module
    assert "import math\n\nimport numpy as np\n" in module
    assert "torch" not in module
    assert "SOLUTION" not in module
    namespace: dict[str, object] = {}
    exec(module, namespace)
    assert callable(namespace["layer_norm"])


def test_a_cell_may_not_need_what_a_cell_that_only_shows_defines(tmp_path: Path) -> None:
    shown = '\n# %% tags=["show"]\ny = 1\nprint(y)\n'
    read(written(tmp_path, TEXT + shown))
    with pytest.raises(TextNotebookError, match="need what they define: y"):
        read(written(tmp_path, TEXT + shown + "\n# %%\nprint(y)\n"))
    read(written(tmp_path, TEXT + shown + "\n# %%\ny = 2\nprint(y)\n"))


def test_a_cell_only_shows_until_a_student_writes_into_it(tmp_path: Path) -> None:
    notebook = read(written(tmp_path, TEXT + '\n# %% tags=["show"]\nprint(1)\n'))
    assert [only_shows(cell) for cell in notebook.cells] == [False] * 4 + [True]
    cell = notebook.cells[-1]
    cell.source += "\ndef helper(): ..."
    assert not only_shows(cell)
