"""The one build: from the text notebooks to everything that is generated and committed."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbgrader.apps.api import NbGraderAPI
from traitlets.config import Config, PyFileConfigLoader

from course.instructor import text_notebook
from course.instructor.catalogue import catalogue_of
from course.instructor.solutions import solutions_module
from course.instructor.task import Task, all_tasks, course_order
from course.student import answer_key, catalogue, plain

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "course" / "notebooks"
SOLUTIONS = ROOT / "course" / "layer_normalization_solutions.py"
KEYS = ROOT / "course" / "student" / "keys"
CATALOGUE = ROOT / "course" / "student" / catalogue.FILE
SOURCE = ROOT / "source"
RELEASE = ROOT / "release"

GENERATED_KEY = "Built by `make build` from course/instructor/tasks/: edit that, not this file."

# Numbers of a key that differ by less, relative to the largest of their array, differ by rounding:
# float32 answers are summed in another order on another processor.
ROUNDING = 1e-5
# What should be 0 is rounding noise: up to 1e-6 in an array, and next to nothing in a tolerance.
ARRAY_NOISE, NUMBER_NOISE = 1e-6, 1e-13

_WIDGET = "application/vnd.jupyter.widget-view+json"


def build(tell: Callable[[str], None]) -> None:
    """Build the solutions, the published keys, `source/` and `release/`, in this order.

    Args:
        tell: called with a line on each step.
    """
    paths = text_notebooks()
    notebooks = {path.stem: text_notebook.read(path) for path in paths}
    # Known mistakes may build on the reference solutions, so these come before the tasks.
    _write(SOLUTIONS, solutions_module(list(notebooks.values())))
    tell(f"{SOLUTIONS.relative_to(ROOT)}: solutions of {len(notebooks)} notebooks")
    tasks = all_tasks()
    write_keys(tasks, KEYS)
    tell(f"{KEYS.relative_to(ROOT)}: {len(tasks)} published keys")
    _write(CATALOGUE, catalogue_of(notebooks, tasks))
    for notebook in notebooks.values():
        text_notebook.add_nbgrader_metadata(notebook, tasks)
    # Threads, for each only waits for its kernel.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(execute, notebooks.values()))
    for name, notebook in notebooks.items():
        _write(SOURCE / name / f"{name}.ipynb", nbformat.writes(notebook) + "\n")
    _remove_strangers(SOURCE, set(notebooks))
    tell(f"source/: {len(notebooks)} notebooks, executed")
    with tempfile.TemporaryDirectory() as scratch:
        release = generate_release(SOURCE, Path(scratch))
        for name in notebooks:
            text = (release / name / f"{name}.ipynb").read_text(encoding="utf-8")
            _write(RELEASE / name / f"{name}.ipynb", text)
    _remove_strangers(RELEASE, set(notebooks))
    tell(f"release/: {len(notebooks)} student notebooks")


def text_notebooks() -> list[Path]:
    """The text notebooks, exercises before challenges."""
    return sorted(NOTEBOOKS.glob("*.py"), key=lambda path: course_order(path.stem))


def write_keys(tasks: dict[str, Task], folder: Path) -> None:
    """Write the published keys, leaving alone those whose numbers differ by rounding only.

    The last digits of a sum depend on the processor; without this, each machine would
    build its own files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for task_id, task in tasks.items():
        path = folder / f"{task_id}.json"
        text = answer_key.to_json(task.key(), GENERATED_KEY)
        if not (path.is_file() and same_key(path.read_text(encoding="utf-8"), text)):
            _write(path, text)
    for path in folder.glob("*.json"):
        if path.stem not in tasks:
            path.unlink()


def same_key(one: str, other: str) -> bool:
    """Whether the texts of two keys are the same but for rounding.

    What a known mistake gives may differ by as much as the judge lets pass, for rounding is all
    that some mistakes leave of a number.
    """
    a, b = json.loads(one), json.loads(other)
    passed = [case["atol"] for case in a["cases"]]
    prints = [[mistake.pop("fingerprint") for mistake in key["mistakes"]] for key in (a, b)]
    return _same(a, b) and all(
        _same(left, right, max(ARRAY_NOISE, atol))
        for mine, theirs in zip(*prints, strict=True)
        for left, right, atol in zip(mine, theirs, passed, strict=True)
    )


def execute(notebook: NotebookNode) -> None:
    """Run a notebook in a fresh kernel and keep its outputs, less what differs at every run."""
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=300,
            kernel_name=text_notebook.KERNEL["name"],
            resources={"metadata": {"path": folder}},
            store_widget_state=False,
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # for why, see nbgrader_config.py
        )
        # As many notebooks as there are cores run side by side: torch's threads would only fight.
        client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            # A widget without its kernel is dead, and its id is random; the picture stays.
            output.get("data", {}).pop(_WIDGET, None)


def generate_release(source: Path, scratch: Path) -> Path:
    """Make the student notebooks with `nbgrader generate_assignment`; return their folder.

    Args:
        source: the folder of the instructor's notebooks.
        scratch: an empty folder, for the release and a gradebook that is thrown away.
    """
    shutil.copytree(source, scratch / "source")
    config = nbgrader_config()
    config.CourseDirectory.root = str(scratch)
    config.CourseDirectory.db_url = f"sqlite:///{scratch / 'gradebook.db'}"
    generate_assignments(NbGraderAPI(config=config), [path.name for path in source.glob("*/")])
    return scratch / "release"


def generate_assignments(api: NbGraderAPI, assignments: Iterable[str]) -> None:
    """Run `nbgrader generate_assignment` for each assignment.

    Raises:
        RuntimeError: nbgrader refused one; the message holds its log.
    """
    for assignment in assignments:
        result = api.generate_assignment(assignment, force=True, create=True)
        if not result["success"]:
            raise RuntimeError(f"nbgrader could not release {assignment}:\n{result['log']}")


def nbgrader_config() -> Config:
    """The settings that every command of nbgrader reads from this folder."""
    config = PyFileConfigLoader("nbgrader_config.py", str(ROOT)).load_config()
    return Config(config)


def _same(one: object, other: object, noise: float | None = None) -> bool:
    """Whether two values of a key are the same but for rounding.

    Args:
        one: a value.
        other: another.
        noise: how far numbers and arrays may be off; less for numbers, if not given.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        if "base64" in one and "base64" in other:
            a, b = (np.asarray(plain.decode(value), np.float64) for value in (one, other))
            same_form = (one["dtype"], a.shape) == (other["dtype"], b.shape)
            finite = np.abs(a[np.isfinite(a)])
            off = (noise or ARRAY_NOISE) + ROUNDING * float(finite.max(initial=0.0))
            return same_form and np.allclose(a, b, rtol=0, atol=off, equal_nan=True)
        return one.keys() == other.keys() and all(
            _same(one[name], other[name], noise) for name in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            _same(left, right, noise) for left, right in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, ROUNDING, noise or NUMBER_NOISE, equal_nan=True))
    return one == other


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _remove_strangers(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.is_dir() and path.name not in names:
            shutil.rmtree(path)
