"""The files that say what to install agree with each other."""

import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
CONDA_NAMES = {"torch": "pytorch"}


def test_environment_yml_asks_for_what_pyproject_asks_for() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    asked = [Requirement(line) for line in environment["dependencies"] if isinstance(line, str)]
    found = {requirement.name: requirement.specifier for requirement in asked}
    wanted = {
        CONDA_NAMES.get(requirement.name, requirement.name): requirement.specifier
        for requirement in map(Requirement, PROJECT["dependencies"])
    }
    wanted["python"] = SpecifierSet(PROJECT["requires-python"])
    assert found == wanted | {"pip": SpecifierSet()}


def test_the_lock_holds_every_requirement_at_a_version_it_allows() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = {
        requirement.name.lower().replace("_", "-"): next(iter(requirement.specifier)).version
        for requirement in (Requirement(line) for line in lines if not line.startswith("#"))
    }
    # What is measured against is pinned where it is asked for, and `make bench` alone installs it.
    extras = [of for name, of in PROJECT["optional-dependencies"].items() if name != "benchmarks"]
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(locked[requirement.name.lower()]), line


def test_the_lock_pins_every_line_exactly() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert line.startswith("#") or "==" in line


def test_the_data_of_the_student_side_is_installed_with_it() -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["course.student"]
    student = ROOT / "course" / "student"
    data = {path for path in student.rglob("*.*") if path.suffix not in {".py", ".pyc"}}
    assert data == {path for pattern in patterns for path in student.glob(pattern)}
