"""What is committed is what the build makes, and the build keeps to its rules."""

import json
from pathlib import Path

import nbformat
import pytest

from course.instructor import build, text_notebook
from course.instructor.catalogue import catalogue_of
from course.instructor.solutions import solutions_module
from course.instructor.task import all_tasks
from course.student.answer_key import to_json

TASKS = all_tasks()
PATHS = {path.stem: path for path in build.text_notebooks()}
STALE = "is stale: run `make build` and commit what it changes"


def without_outputs(notebook: nbformat.NotebookNode) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook)


@pytest.mark.parametrize("name", PATHS)
def test_a_source_notebook_has_the_cells_of_its_text(name: str) -> None:
    built = text_notebook.read(PATHS[name])
    text_notebook.add_nbgrader_metadata(built, TASKS)
    committed = nbformat.read(build.SOURCE / name / f"{name}.ipynb", as_version=4)
    assert without_outputs(committed) == without_outputs(built), f"source/{name} {STALE}"


def test_the_release_is_what_nbgrader_makes_of_the_source(tmp_path: Path) -> None:
    release = build.generate_release(build.SOURCE, tmp_path)
    for name in PATHS:
        made, committed = (
            (folder / name / f"{name}.ipynb").read_text(encoding="utf-8")
            for folder in (release, build.RELEASE)
        )
        assert made == committed, f"release/{name} {STALE}"


def test_the_solutions_module_is_gathered_from_the_notebooks() -> None:
    module = solutions_module([text_notebook.read(path) for path in PATHS.values()])
    assert build.SOLUTIONS.read_text(encoding="utf-8") == module, f"the solutions module {STALE}"


def test_the_catalogue_is_gathered_from_the_notebooks() -> None:
    text = catalogue_of({name: text_notebook.read(path) for name, path in PATHS.items()}, TASKS)
    assert build.CATALOGUE.read_text(encoding="utf-8") == text, f"the catalogue {STALE}"


def test_the_published_keys_are_those_of_the_tasks(tmp_path: Path) -> None:
    build.write_keys(TASKS, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {p.name for p in build.KEYS.iterdir()}
    for path in tmp_path.iterdir():
        committed = (build.KEYS / path.name).read_text(encoding="utf-8")
        assert build.same_key(path.read_text(encoding="utf-8"), committed), f"{path.name} {STALE}"


def test_a_key_is_left_alone_when_it_differs_by_rounding_and_rewritten_when_by_more(
    tmp_path: Path,
) -> None:
    name, task = next(iter(TASKS.items()))
    build.write_keys({name: task}, tmp_path)
    path = tmp_path / f"{name}.json"
    text = path.read_text(encoding="utf-8")
    data = json.loads(text)
    data["cases"][0]["rtol"] *= 1 + 1e-12
    path.write_text(json.dumps(data), encoding="utf-8")
    build.write_keys({name: task}, tmp_path)
    assert path.read_text(encoding="utf-8") == json.dumps(data)
    data["cases"][0]["rtol"] *= 2
    path.write_text(json.dumps(data), encoding="utf-8")
    build.write_keys({name: task}, tmp_path)
    assert path.read_text(encoding="utf-8") == text


def test_what_a_mistake_gives_may_differ_by_as_much_as_the_judge_lets_pass() -> None:
    key = next(iter(TASKS.values())).key()
    text = to_json(key, build.GENERATED_KEY)
    for off, same in [(0.5 * key.cases[0].tolerance.atol, True), (0.1, False)]:
        (output,) = key.mistakes[0].fingerprint[0].outputs.values()  # type: ignore[union-attr]
        output += off  # type: ignore[operator]
        assert build.same_key(text, to_json(key, build.GENERATED_KEY)) == same


@pytest.mark.parametrize("folder", [build.SOURCE, build.RELEASE])
def test_there_is_a_notebook_for_each_text_and_no_other(folder: Path) -> None:
    assert sorted(path.name for path in folder.glob("*/")) == sorted(PATHS)


def test_generated_files_say_so_in_their_first_line() -> None:
    generated = [build.SOLUTIONS, build.CATALOGUE, *build.KEYS.iterdir()]
    for path in generated:
        with path.open(encoding="utf-8") as file:
            assert "Built by `make build`" in file.readline(), path


@pytest.mark.parametrize("name", PATHS)
def test_a_release_notebook_holds_no_solution_and_no_output(name: str) -> None:
    source = nbformat.read(build.SOURCE / name / f"{name}.ipynb", as_version=4)
    release = nbformat.read(build.RELEASE / name / f"{name}.ipynb", as_version=4)
    released = "\n".join(cell.source for cell in release.cells)
    for cell in text_notebook.solution_cells(source).values():
        secret = cell.source.partition("### BEGIN SOLUTION")[2].partition("### END SOLUTION")[0]
        lines = {line.strip() for line in secret.splitlines() if len(line.strip()) > 20}
        assert lines
        assert not [line for line in lines if line in released]
    assert not any(cell.get("outputs") for cell in release.cells)


@pytest.mark.parametrize("name", PATHS)
def test_a_source_notebook_edited_in_jupyterlab_goes_back_to_its_text(
    name: str, tmp_path: Path
) -> None:
    import jupytext

    notebook = nbformat.read(build.SOURCE / name / f"{name}.ipynb", as_version=4)
    config = jupytext.config.load_jupytext_config(str(build.ROOT))
    back = jupytext.writes(notebook, fmt="py:percent", config=config)
    path = tmp_path / f"{name}.py"
    path.write_text(back, encoding="utf-8")
    assert without_outputs(text_notebook.read(path)) == without_outputs(
        text_notebook.read(PATHS[name])
    )
