"""An attack: a submission that tries something, and what grading promises against it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course.instructor.submission import filled_in, reference_sources

NAME = "ex01_basic_implementation"
TASK = "ex01_layer_norm"
# Where PyTorch's own norms would be a shortcut.
TORCH_NAME = "ex03_pytorch_module"

# Wrong in every case: worth nothing.
WRONG = "def layer_norm(x, gamma, beta, eps=1e-5):\n    return x\n"
RIGHT = reference_sources(NAME)[TASK]

IMPORTS = {NAME: "import numpy as np", TORCH_NAME: "import torch\nfrom torch import nn"}

HELD = "Scores what the work is worth; nothing is read, and the batch goes on."
TOLD = "Scores what the work is worth or 0, says why in words, and the batch goes on."


@dataclass(frozen=True)
class World:
    """What there is to aim at.

    Args:
        root: the course folder, with `source/`, `submitted/`, the gradebook and the secret.
        install: the folder that the `course` package is imported from.
        home: the instructor's home.
        drop: a folder outside the course folder, for what an escaped process writes.
        port: of a listener on 127.0.0.1.
        unix_path: of a listening unix socket.
        abstract: the name of a listening abstract unix socket.
        canaries: words that nobody may read, by where they are.
    """

    root: Path
    install: Path
    home: Path
    drop: Path
    port: int
    unix_path: Path
    abstract: str
    canaries: dict[str, str]


Submit = Callable[[Path, World], None]


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        name: its name.
        tries: what it tries, in a sentence.
        expected: what this course's grading promises.
        submit: writes the submission into the student's folder of the assignment.
        honest_score: what the work is worth without the trick.
        stock: whether stock nbgrader can be shown it without danger or minutes of waiting.
        exercise: the assignment that it is handed in for.
    """

    name: str
    tries: str
    expected: str
    submit: Submit
    honest_score: float = 0.0
    stock: bool = True
    exercise: str = NAME


ALL: dict[str, Attack] = {}


def attack(
    expected: str = HELD, honest_score: float = 0.0, stock: bool = True
) -> Callable[[Submit], Submit]:
    """Register a function that writes a submission; its docstring says what it tries."""

    def register(submit: Submit) -> Submit:
        _add(submit.__name__, submit.__doc__, expected, submit, honest_score, stock)
        return submit

    return register


def code(
    expected: str = HELD,
    honest_score: float = 0.0,
    stock: bool = True,
    work: str = WRONG,
) -> Callable[[Callable[[World], str]], Callable[[World], str]]:
    """Register a function that returns what stands in the solution cell, above the work itself."""

    def register(trick: Callable[[World], str]) -> Callable[[World], str]:
        def submit(folder: Path, world: World) -> None:
            write(folder, slim(work + "\n" + trick(world)))

        _add(trick.__name__, trick.__doc__, expected, submit, honest_score, stock)
        return trick

    return register


def notebook(
    expected: str = HELD, honest_score: float = 0.0, stock: bool = True, work: str = WRONG
) -> Callable[[Callable[[NotebookNode], object]], Callable[[NotebookNode], object]]:
    """Register a function that changes a notebook, in which the work is done, in place."""

    def register(change: Callable[[NotebookNode], object]) -> Callable[[NotebookNode], object]:
        def submit(folder: Path, world: World) -> None:
            changed = slim(work)
            change(changed)
            write(folder, changed)

        _add(change.__name__, change.__doc__, expected, submit, honest_score, stock)
        return change

    return register


def shortcut(trick: Callable[[World], str]) -> Callable[[World], str]:
    """Register a function that returns a module for the exercise in PyTorch, which is worth 0."""

    def submit(folder: Path, world: World) -> None:
        whole = slim(trick(world), TORCH_NAME)
        (folder / f"{TORCH_NAME}.ipynb").write_text(json.dumps(whole), encoding="utf-8")

    _add(trick.__name__, trick.__doc__, HELD, submit, 0.0, True, TORCH_NAME)
    return trick


def slim(source: str, exercise: str = NAME) -> NotebookNode:
    """An exercise with a source in its solution cell, less what only shows something."""
    whole = filled_in(exercise, dict.fromkeys(reference_sources(exercise), source))
    whole.cells = [cell for cell in whole.cells if "nbgrader" in cell.metadata]
    imports = nbformat.v4.new_code_cell(f"{IMPORTS[exercise]}\n\nfrom course import check")
    whole.cells.insert(0, imports)
    return whole


def solution_cell(whole: NotebookNode) -> NotebookNode:
    """The cell that a student writes the solution into."""
    return next(cell for cell in whole.cells if "solution" in cell.metadata.get("tags", ()))


def check_cell(whole: NotebookNode) -> NotebookNode:
    """The cell that is graded."""
    return next(cell for cell in whole.cells if "check" in cell.metadata.get("tags", ()))


def write(folder: Path, whole: NotebookNode) -> None:
    """Write a notebook as the one of the assignment, valid or not."""
    path(folder).write_text(json.dumps(whole), encoding="utf-8")


def path(folder: Path) -> Path:
    """Where the notebook of the assignment belongs."""
    return folder / f"{NAME}.ipynb"


def _add(
    name: str,
    tries: str | None,
    expected: str,
    submit: Submit,
    honest_score: float,
    stock: bool,
    exercise: str = NAME,
) -> None:
    title = name.replace("_", "-")
    assert tries, f"{title} does not say what it tries"
    assert title not in ALL, f"two attacks are called {title}"
    ALL[title] = Attack(title, tries, expected, submit, honest_score, stock, exercise)
