"""The student kit: one zip with all that a student needs, and nothing of the instructor's."""

import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from importlib import metadata
from itertools import product
from pathlib import Path
from string import Template
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from course.instructor.build import ROOT, SOURCE, generate_release

KIT = ROOT / "dist" / "layer_normalization_kit.zip"
PAGE = Path(__file__).with_name("templates") / "START_HERE.html"

# pip's name for the student part of the package; its import name is `course`.
DISTRIBUTION = "layer-normalization-course"

# What the markers of a requirement may ask about, on the systems that students have.
SYSTEMS = [
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
]

# When every file of the kit was written, as far as the zip tells: so the same files make the same
# zip, whenever it is made.
_WRITTEN = (2026, 1, 1, 0, 0, 0)


class KitError(Exception):
    """The kit cannot be made; the message says why."""


def write_kit(path: Path = KIT) -> int:
    """Write the kit; return its size in bytes.

    Args:
        path: where to; a kit that is there is replaced.

    Raises:
        KitError: pip could not build the wheel, or a file lacks what the kit takes from it.
        RuntimeError: nbgrader refused to release a notebook.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = _release(Path(scratch, "nbgrader")) | _wheel(Path(scratch, "wheel"))
    (wheel,) = (name for name in files if name.endswith(".whl"))
    project = _project()
    lock = student_lock(project)
    texts = {
        "requirements.txt": _requirements(lock),
        "environment.yml": _environment(wheel),
        "START_HERE.html": _start_here(wheel, lock, project["requires-python"]),
    }
    files |= {name: text.encode() for name, text in texts.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_bytes(_zip(files))


def student_lock(project: Mapping[str, Any]) -> dict[str, str]:
    """The versions in requirements.lock of what the course needs without its extras, by name.

    They are the same on whatever system they are gathered. What only another system needs than the
    one on which the lock was made is not in it; pip finds a version for that.

    Args:
        project: the table [project] of pyproject.toml.
    """
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    locked = {pin.name: next(iter(pin.specifier)).version for pin in pins}
    names = {canonicalize_name(name): name for name in locked}
    environments = [
        {**system, "python_version": version, "python_full_version": f"{version}.0"}
        for system, version in product(SYSTEMS, python_versions(project["requires-python"]))
    ]
    found: dict[NormalizedName, set[str]] = {}
    ahead = [Requirement(line) for line in project["dependencies"]]
    while ahead:
        asked = ahead.pop()
        name = canonicalize_name(asked.name)
        extras = {"", *asked.extras} - found.get(name, set())
        if name not in names or not extras:
            continue
        found.setdefault(name, set()).update(extras)
        for needed in map(Requirement, metadata.requires(name) or ()):
            if needed.marker is None or any(
                needed.marker.evaluate({**environment, "extra": extra})
                for environment, extra in product(environments, extras)
            ):
                ahead.append(needed)
    return {names[name]: locked[names[name]] for name in sorted(found)}


def python_versions(requires: str) -> list[str]:
    """The versions of Python 3 that a specifier allows, the oldest first.

    >>> python_versions(">=3.11,<3.14")
    ['3.11', '3.12', '3.13']
    """
    allowed = SpecifierSet(requires)
    return [f"3.{minor}" for minor in range(100) if f"3.{minor}" in allowed]


def _project() -> dict[str, Any]:
    """The table [project] of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def _release(scratch: Path) -> dict[str, bytes]:
    """The student notebooks, made anew: in release/ somebody may have solved a task."""
    scratch.mkdir()
    release = generate_release(SOURCE, scratch)
    return {
        f"release/{path.relative_to(release).as_posix()}": path.read_bytes()
        for path in release.glob("*/*.ipynb")
    }


def _wheel(scratch: Path) -> dict[str, bytes]:
    """The student part of the package as a wheel, built by setuptools in a project of its own.

    Raises:
        KitError: it could not be built.
    """
    student = scratch / "course" / "student"
    shutil.copytree(
        ROOT / "course" / "student", student, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "course" / "__init__.py", scratch / "course")
    (scratch / "pyproject.toml").write_text(_wheel_project(), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-index"]
    built = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(scratch), str(scratch)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if built.returncode != 0:
        raise KitError(f"pip could not build the wheel of the student kit:\n{built.stdout}")
    (wheel,) = scratch.glob("*.whl")
    # Packed anew, for setuptools keeps the times and permissions that files have here.
    with zipfile.ZipFile(wheel) as packed:
        return {wheel.name: _zip({name: packed.read(name) for name in packed.namelist()})}


def _wheel_project() -> str:
    """The pyproject.toml of the wheel. Strings and lists of strings are the same in TOML and JSON.

    Nothing of the instructor's is copied to where it is built; only what is named here goes in.
    """
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    data = pyproject["tool"]["setuptools"]["package-data"]["course.student"]
    kept = {name: project[name] for name in ("version", "description", "requires-python")}
    tables = {
        "build-system": pyproject["build-system"],
        "project": {"name": DISTRIBUTION, **kept, "dependencies": project["dependencies"]},
        "tool.setuptools.packages.find": {"include": ["course*"]},
        "tool.setuptools.package-data": {'"course.student"': data},
    }
    return "\n".join(
        f"[{table}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in rows.items())
        for table, rows in tables.items()
    )


def _requirements(lock: Mapping[str, str]) -> str:
    """The text of requirements.txt."""
    return (
        "# The versions this course is tested with. Made by `make kit` from requirements.lock.\n"
        "# For Linux, pip's PyTorch is the large one, with CUDA. The small one is enough here:\n"
        f"#   python -m pip install torch=={lock['torch']}"
        " --index-url https://download.pytorch.org/whl/cpu\n"
        "# before the rest is installed, which then keeps it.\n"
        + "".join(f"{name}=={version}\n" for name, version in lock.items())
    )


def _environment(wheel: str) -> str:
    """The text of environment.yml: the repository's own, but for what pip installs.

    Raises:
        KitError: the repository's own does not install the repository.
    """
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    body, replaced = re.subn(r"- --editable \.\n", f"- ./{wheel}\n", text.partition("\n")[2])
    if replaced != 1:
        raise KitError(
            "environment.yml should have one line `- --editable .`, in whose place the kit has its"
            f" wheel; it has {replaced}."
        )
    return "# For conda. Made by `make kit`.\n" + body


def _start_here(wheel: str, lock: Mapping[str, str], requires_python: str) -> str:
    """The text of START_HERE.html."""
    *older, newest = python_versions(requires_python)
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        wheel=wheel,
        torch=lock["torch"],
        older=" or ".join(older),
        oldest=older[0],
        newest=newest,
        pythons=f"{_first_release(older[0], lock)} to {newest}",
    )


def _first_release(version: str, lock: Mapping[str, str]) -> str:
    """The first release of a Python that all packages run on, such as 3.11.5 of 3.11."""
    asked = [
        line for name in lock for line in metadata.metadata(name).get_all("Requires-Python", [])
    ]
    allowed = SpecifierSet(",".join(asked))
    return next(f"{version}.{patch}" for patch in range(100) if f"{version}.{patch}" in allowed)


def _zip(files: Mapping[str, bytes]) -> bytes:
    """A zip of files by name: the same bytes for the same files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _WRITTEN)
            entry.create_system = 3  # Unix, wherever it is made: what the permissions are read by
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
