"""The student kit: it works where nothing of this repository is, and gives nothing away."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import sysconfig
import textwrap
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course.instructor import build
from course.instructor.student_kit import DISTRIBUTION, python_versions, write_kit
from course.instructor.submission import reference_sources
from course.instructor.task import all_tasks, source_of
from course.instructor.text_notebook import solution_cells

# One kit serves all tests here, made by one process.
pytestmark = pytest.mark.xdist_group("student_kit")

NAME, TASK = "ex01_basic_implementation", "ex01_layer_norm"
NOTEBOOKS = [path.stem for path in build.text_notebooks()]

# So many lines of code, one after the other, are no coincidence.
TOGETHER = 3

# But for these: everybody writes a step of training, and a hook's `finally`; the notebooks do too.
EVERYBODYS = {
    "optimizer.zero_grad()",
    "loss.backward()",
    "optimizer.step()",
    "losses.append(loss.item())",
    "try:",
    "model(x)",
    "finally:",
}

# Runs a notebook with the interpreter that runs this, and says where its packages are.
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

path, folder = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
where = "import course, sys; print(sys.executable); print(course.__file__)"
notebook.cells.append(nbformat.v4.new_code_cell(where))
NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
nbformat.write(notebook, path)
"""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kit, unpacked."""
    folder = tmp_path_factory.mktemp("kit")
    zipped = folder / "kit.zip"
    write_kit(zipped)
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture(scope="module")
def files(kit: Path) -> dict[str, str]:
    """The text of each file of the kit, and of each in its wheel, by name."""
    found = {}
    for path in kit.rglob("*.*"):
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                found |= {name: wheel.read(name).decode() for name in wheel.namelist()}
        elif path.is_file():
            found[path.relative_to(kit).as_posix()] = path.read_text(encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def python(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh virtual environment into which the kit is installed.

    What pip would fetch is taken from the environment that runs the tests, less all that its lock
    has and the kit's has not. So pip would miss what the kit's lacks.
    """
    environment = tmp_path_factory.mktemp("student") / ".venv"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    instructors = pinned(build.ROOT / "requirements.lock") - pinned(kit / "requirements.txt")
    for distribution in metadata.distributions(path=[sysconfig.get_path("purelib")]):
        if canonicalize_name(distribution.name) not in instructors | {"course", "pip"}:
            link(distribution, packages)
    (wheel,) = kit.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--quiet"]
    command = [*pip, "-r", "requirements.txt", wheel.name]
    done = subprocess.run(command, cwd=kit, env=outside(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python


def link(distribution: metadata.Distribution, packages: Path) -> None:
    """Put an installed distribution into another environment, as links."""
    for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        here = packages / name
        if not here.exists():
            here.symlink_to(Path(str(distribution.locate_file(name))))


def pinned(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(Requirement(line).name) for line in lines if "#" not in line}


def outside() -> dict[str, str]:
    """The variables of this process, less those that could lead Python to this repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(
    python: Path, code: str, folder: Path, *arguments: Path
) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=outside(), capture_output=True, text=True)


def lines_of_code(text: str) -> list[str]:
    """The lines of a text without blanks and comments, in one kind of quotes, less empty ones."""
    lines = (re.sub(r"(^|\s)#.*$", "", line) for line in text.replace('"', "'").splitlines())
    return [line for line in ("".join(line.split()) for line in lines) if line]


def without_docstrings(source: str) -> str:
    """The lines of a source that belong to no docstring."""
    documented = (ast.FunctionDef, ast.ClassDef)
    docstrings = [
        node.body[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, documented) and ast.get_docstring(node) is not None
    ]
    told = {n for doc in docstrings for n in range(doc.lineno, (doc.end_lineno or 0) + 1)}
    return "\n".join(line for n, line in enumerate(source.splitlines(), 1) if n not in told)


@cache
def secrets() -> list[tuple[str, str]]:
    """What each is of, and pieces of code of reference solutions and known mistakes."""
    found: list[tuple[str, str]] = []
    for name in NOTEBOOKS:
        notebook = nbformat.read(build.RELEASE / name / f"{name}.ipynb", as_version=4)
        given = {task: lines_of_code(c.source) for task, c in solution_cells(notebook).items()}
        for task_id, reference in reference_sources(name).items():
            found += pieces(f"the solution of {task_id}", reference, given[task_id])
            for mistake in all_tasks()[task_id].mistakes:
                source = definitions(mistake.solution.__module__)[mistake.solution.__name__]
                found += pieces(f"{task_id}: {mistake.name}", source, given[task_id])
    return found


@cache
def definitions(module: str) -> dict[str, str]:
    """The sources of the functions and classes of a module, found at once, for they are many."""
    source = inspect.getsource(sys.modules[module])
    lines = source.splitlines()
    return {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def pieces(of: str, source: str, given: list[str]) -> Iterator[tuple[str, str]]:
    """The pieces of a source that say more than students are given in their cell."""
    lines = lines_of_code(without_docstrings(source))
    ordinary = EVERYBODYS | set(given)
    for piece in stretches(lines, min(TOGETHER, len(lines))):
        if not set(piece.split("\n")) <= ordinary:
            yield of, piece


def stretches(lines: list[str], length: int) -> set[str]:
    """All that stands in so many lines, one after the other."""
    return {"\n".join(lines[first : first + length]) for first in range(len(lines) - length + 1)}


def given_away(files: Mapping[str, str]) -> set[tuple[str, str]]:
    """The files that hold a piece of a secret, and whose."""
    places: dict[str, set[str]] = {}
    for name, text in files.items():
        lines = lines_of_code(text_of(name, text))
        for length in range(1, TOGETHER + 1):
            for stretch in stretches(lines, length):
                places.setdefault(stretch, set()).add(name)
    return {(name, of) for of, piece in secrets() for name in places.get(piece, ())}


def text_of(name: str, text: str) -> str:
    """The text of a file, with the line breaks that its format writes otherwise."""
    if name.endswith(".ipynb"):
        return "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
    return text.replace("\\n", "\n") if name.endswith(".json") else text


def test_the_kit_holds_the_student_notebooks_and_the_student_side_and_no_other_file(
    files: dict[str, str],
) -> None:
    root = build.ROOT
    data = {"keys/*.json", "*.json", "*.mplstyle", "**/*.py"}
    student = {path for pattern in data for path in (root / "course/student").glob(pattern)}
    package = {path.relative_to(root).as_posix() for path in student} | {"course/__init__.py"}
    page = {"START_HERE.html", "requirements.txt", "environment.yml"}
    release = {f"release/{name}/{name}.ipynb" for name in NOTEBOOKS}
    # What pip needs of a wheel, beside the package.
    about = {name for name in files if re.match(r"[^/]+\.dist-info/[A-Za-z_.]+$", name)}
    assert set(files) - about == package | page | release


def test_the_notebooks_of_the_kit_are_those_of_release(files: dict[str, str]) -> None:
    for name in NOTEBOOKS:
        path = f"release/{name}/{name}.ipynb"
        assert files[path] == (build.ROOT / path).read_text(encoding="utf-8")


def test_no_solution_and_no_known_mistake_is_in_the_kit(files: dict[str, str]) -> None:
    assert not given_away(files)


@pytest.mark.parametrize(
    "place",
    [
        "course/student/check.py",
        "course/student/catalogue.json",
        f"release/{NAME}/{NAME}.ipynb",
        "START_HERE.html",
    ],
)
def test_a_solution_or_a_known_mistake_in_the_kit_would_be_found(
    place: str, files: dict[str, str]
) -> None:
    task = all_tasks()[TASK]
    for of, source in [
        (f"the solution of {TASK}", reference_sources(NAME)[TASK]),
        (f"{TASK}: {task.mistakes[0].name}", source_of(task.mistakes[0].solution)),
    ]:
        moved = textwrap.indent(source, "    ").replace("\n", "  # copied\n\n")
        assert (place, of) in given_away(files | {place: planted(files[place], moved, place)})


def planted(text: str, source: str, place: str) -> str:
    """A file with code added at its end."""
    if place.endswith(".ipynb"):
        notebook = nbformat.reads(text, as_version=4)
        notebook.cells.append(nbformat.v4.new_markdown_cell(source))
        return str(nbformat.writes(notebook))
    return f"{text}\n{json.dumps(source) if place.endswith('.json') else source}"


def test_every_solution_and_known_mistake_has_a_piece_to_be_found_by() -> None:
    looked_for = {of for of, _ in secrets()}
    for task in all_tasks().values():
        assert f"the solution of {task.id}" in looked_for
        for mistake in task.mistakes:
            assert f"{task.id}: {mistake.name}" in looked_for


def test_the_kit_is_the_same_bytes_each_time(kit: Path, tmp_path: Path) -> None:
    # Other permissions and times than those of the first.
    before = os.umask(0o077)
    try:
        write_kit(tmp_path / "again.zip")
    finally:
        os.umask(before)
    assert (tmp_path / "again.zip").read_bytes() == (kit.parent / "kit.zip").read_bytes()


def test_a_student_installs_the_kit_solves_a_task_and_sees_the_card(
    kit: Path, python: Path, tmp_path: Path
) -> None:
    notebook = nbformat.read(kit / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    solution_cells(notebook)[TASK].source = reference_sources(NAME)[TASK]
    path = tmp_path / f"{NAME}.ipynb"
    nbformat.write(notebook, path)
    done = run(python, EXECUTE, tmp_path, path, tmp_path)
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(path, as_version=4)
    where = executed.cells.pop().outputs[0].text.split()
    assert where[0] == str(python)
    assert Path(where[1]).is_relative_to(python.parents[1])
    (check,) = (cell for cell in executed.cells if cell.metadata.get("nbgrader", {}).get("grade"))
    card, score = (output.data for output in check.outputs)
    assert "10 of 10 points" in card["text/plain"]
    assert "report-card" in card["text/html"]
    assert score["text/plain"] == "10.0"


@pytest.mark.parametrize("name", ["course.instructor", "course.layer_normalization_solutions"])
def test_nothing_of_the_instructors_can_be_imported_where_the_kit_is_installed(
    name: str, python: Path, tmp_path: Path
) -> None:
    assert f"No module named '{name}'" in run(python, f"import {name}", tmp_path).stderr


def test_all_that_the_notebooks_and_the_student_side_import_is_in_the_lock_of_the_kit(
    files: dict[str, str], python: Path, tmp_path: Path
) -> None:
    modules = set()
    for name, text in files.items():
        if name.endswith(".py"):
            modules.add(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        for cell in nbformat.reads(text, 4).cells if name.endswith(".ipynb") else ():
            # One function imports torchvision, if it is there.
            for node in ast.parse(cell.source).body if cell.cell_type == "code" else ():
                if isinstance(node, ast.Import):
                    modules |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    modules.add(str(node.module))
    done = run(python, "\n".join(f"import {name}" for name in sorted(modules)), tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_wheel_asks_for_what_the_course_asks_for(python: Path, tmp_path: Path) -> None:
    code = f"from importlib import metadata; print(*metadata.requires({DISTRIBUTION!r}), sep='\\n')"
    pyproject = tomllib.loads((build.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = run(python, code, tmp_path).stdout.splitlines()
    assert {*map(Requirement, asked)} == {*map(Requirement, pyproject["project"]["dependencies"])}


def test_conda_is_told_to_install_the_wheel_of_the_kit(kit: Path, files: dict[str, str]) -> None:
    environment = yaml.safe_load(files["environment.yml"])
    ours = yaml.safe_load((build.ROOT / "environment.yml").read_text(encoding="utf-8"))
    (wheel,) = kit.glob("*.whl")
    assert environment["dependencies"][-1] == {"pip": [f"./{wheel.name}"]}
    assert environment["dependencies"][:-1] == ours["dependencies"][:-1]


class Commands(HTMLParser):
    """The commands on a page, which are what stands in its `pre` elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "pre":
            self.found.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "pre":
            self.found[-1] += data
            self.lasttag = ""


def test_the_commands_of_the_page_name_files_of_the_kit(kit: Path, files: dict[str, str]) -> None:
    commands = Commands(files["START_HERE.html"]).found
    installs = [command for command in commands if "requirements.txt" in command]
    opens = [command for command in commands if "jupyterlab" in command]
    assert len(installs) == 3  # Windows, macOS, Linux
    assert len(opens) == 4  # and conda
    named = {word for line in commands for word in line.replace("\\", "/").split() if "." in word}
    endings = (".txt", ".whl", ".yml", ".ipynb")
    missing = {name for name in named if name.endswith(endings) and not (kit / name).is_file()}
    assert not missing


def test_the_page_loads_nothing_and_its_links_within_lead_somewhere(files: dict[str, str]) -> None:
    page = files["START_HERE.html"]
    assert not re.search(r"<(script|link|img|iframe)|url\(|\bsrc=", page)
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(re.findall(r'id="([^"]*)"', page))


def test_python_versions_are_read_from_a_specifier() -> None:
    assert python_versions(">=3.11,<3.14") == ["3.11", "3.12", "3.13"]
