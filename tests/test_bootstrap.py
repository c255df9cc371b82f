"""What a fresh machine lacks is told in a sentence."""

import importlib.util
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location(
    "bootstrap", Path(__file__).resolve().parents[1] / "bootstrap.py"
)
assert spec is not None
assert spec.loader is not None
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)


@pytest.mark.parametrize("version", [(3, 9, 2), (3, 14, 0)])
def test_an_unsuitable_python_is_named_with_those_that_would_do(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11, 3\.12 or 3\.13; .* is Python 3\."):
        bootstrap.suitable_python()


def test_another_python_on_the_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    found = {"python3.12": sys.executable}
    monkeypatch.setattr(bootstrap.shutil, "which", found.get)
    assert bootstrap.suitable_python() == sys.executable


def test_a_shim_for_a_python_that_is_not_installed_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(bootstrap.shutil, "which", {"python3.13": str(shim)}.get)
    with pytest.raises(SystemExit):
        bootstrap.suitable_python()


def test_a_step_that_fails_ends_with_advice() -> None:
    with pytest.raises(SystemExit, match="connect to a network"):
        bootstrap.run([sys.executable, "-c", "raise SystemExit(1)"], "connect to a network")


def test_the_versions_are_those_of_pyproject() -> None:
    text = (Path(bootstrap.ROOT) / "pyproject.toml").read_text(encoding="utf-8")
    (oldest, newest) = (bootstrap.OLDEST, bootstrap.NEWEST)
    assert f'requires-python = ">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"' in text
