"""The sandbox keeps what it promises, its self-test can fail, and without it nothing is graded."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from course.instructor.grading import sandbox
from course.instructor.grading.sandbox import SandboxMissingError
from course.instructor.grading.sandbox_check import LIMITS, PROMISES, Promise, checks, tried_by
from course.instructor.grading.warm import WarmProcess


@pytest.fixture(scope="module")
def found() -> list[Promise]:
    return checks()


def test_every_promise_holds(found: list[Promise]) -> None:
    assert len(found) == len(PROMISES) + 3
    assert [promise for promise in found if not promise.holds] == []


def test_without_the_sandbox_the_self_test_finds_its_promises_broken() -> None:
    def bare(argv: list[str], answer: Path) -> str:
        subprocess.run([sys.executable, *argv], check=True)
        try:
            return answer.read_text("utf-8")
        finally:
            answer.unlink()

    broken = tried_by(bare)
    # What a machine without limits allows depends on the machine.
    assert {name for name, found in broken.items() if not found} <= {"environment"}


def older(path: Path) -> str:
    path.write_text("#!/bin/sh\necho bubblewrap 0.6.1\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


def test_a_bubblewrap_that_is_too_old_gives_way_to_the_one_that_was_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system = older(tmp_path / "bwrap")
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: system)
    assert sandbox.bwrap() == sandbox._bwrap_of_wheel()
    monkeypatch.setattr(sandbox, "_bwrap_of_wheel", lambda: "")
    with pytest.raises(SandboxMissingError, match=rf"0\.8 or newer; found only {system}"):
        sandbox.bwrap()


def test_a_machine_without_bubblewrap_or_without_linux_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: None)
    monkeypatch.setattr(sandbox, "_bwrap_of_wheel", lambda: "")
    with pytest.raises(SandboxMissingError, match=r"there is none\. Install it"):
        sandbox.bwrap()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxMissingError, match="needs Linux"):
        sandbox.bwrap()


def test_a_machine_that_forbids_sandboxes_is_told_in_bubblewraps_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refuses = tmp_path / "bwrap"
    refuses.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setattr(sandbox, "bwrap", lambda: str(refuses))
    refused = WarmProcess(LIMITS)
    with closing(refused), pytest.raises(SandboxMissingError, match="No permissions to create"):
        refused.fork(["-c", ""])


def test_a_user_is_drawn_from_those_that_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sandbox.FIRST_UID <= sandbox.new_uid() < sandbox.LAST_UID
    container = "         0     100000      65536\n"
    monkeypatch.setattr(sandbox.Path, "read_text", lambda *_, **__: container)
    assert all(32767 <= sandbox.new_uid() < 65536 for _ in range(100))
