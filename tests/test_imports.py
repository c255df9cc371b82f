"""Who may import whom, and how little a student's first line loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

COURSE = Path(__file__).resolve().parents[1] / "course"
STUDENT_FILES = [COURSE / "__init__.py", *sorted((COURSE / "student").rglob("*.py"))]
FORBIDDEN = ("course.instructor", "course.layer_normalization_solutions")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", STUDENT_FILES, ids=lambda path: str(path.relative_to(COURSE)))
def test_nothing_of_the_student_imports_the_instructor_or_the_solutions(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith(FORBIDDEN)]


def test_a_text_notebook_imports_only_the_student_side() -> None:
    for path in sorted((COURSE / "notebooks").glob("*.py")):
        assert not [name for name in imported(path) if name.startswith(FORBIDDEN)]


def test_importing_check_loads_no_torch_no_matplotlib_and_no_scikit_learn() -> None:
    code = "import sys; from course import check; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(result.stdout.split())
    assert "course.student.judge" in loaded
    assert not loaded & {"torch", "matplotlib", "sklearn", "IPython", "ipywidgets"}


def test_checking_a_numpy_exercise_loads_no_torch() -> None:
    code = (
        "import sys; from course import check; check('ex01_layer_norm', lambda x, g, b, e=1: x);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0
