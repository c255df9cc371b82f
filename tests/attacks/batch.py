"""A class with attackers in it, graded in one go, and what became of it. Runs in a container."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import nbformat
from nbgrader.api import Gradebook, SubmittedAssignment

from course.instructor import build
from tests.attacks.attack import NAME, RIGHT, Attack, World, slim, write
from tests.attacks.catalogue import ATTACKS

# An attack that acts later has this many seconds for it.
LATER = 3.0
# Files that are larger hold no more than a canary in their beginning.
MOST_BYTES = 32_000_000
# An honest submission stands after this many attacks, where a batch holds several.
EVERY = 4

# Warnings cost nothing.
WARNS = "import warnings\n\nwarnings.warn('nothing to worry about')\n\n"


def run(side: str, attacks: Sequence[Attack], base: Path, seconds: float) -> dict[str, Any]:
    """Build a course folder with attackers, grade it, and say what each of them reached.

    Args:
        side: "stock" or "ours".
        attacks: the attacks, in the order in which they are graded.
        base: the folder in which everything happens.
        seconds: after which grading is killed.
    """
    visitors: list[str] = []
    world = make_world(base, {NAME, *(attack.exercise for attack in attacks)}, visitors)
    if side == "stock":  # this course makes its own
        (world.root / ".class_secret").write_text(world.canaries["secret"])
    students, honest = _submit(attacks, world)
    in_time, told = _grade(side, world, seconds)
    time.sleep(LATER)
    secrets = _secrets(world)
    taken = _found(secrets, world.drop) | _found(secrets, world.root / "gradebook.db")
    common = sorted(taken | set(visitors) | set(_planted(world)))
    scores = scores_of(world.root)
    return {
        "in_time": in_time,
        "told": told[-4000:],
        "common": common,
        "honest": {
            student: {"expected": score, "score": scores.get(student, {}).get("score")}
            for student, score in honest.items()
        },
        "attacks": {
            attack.name: _reached(student, scores, secrets, world)
            for student, attack in students.items()
        },
    }


def make_world(base: Path, exercises: set[str], visitors: list[str]) -> World:
    """Make all that there is to aim at, and listen."""
    world = World(
        root=base / "course_folder",
        install=base / "install",
        home=base / "home",
        drop=base / "drop",
        port=0,
        unix_path=base / "grader.sock",
        abstract=f"grader-{token_hex(4)}",
        canaries={place: f"canary{token_hex(12)}" for place in ("file", "home", "env")}
        | {place: f"canary{token_hex(12)}" for place in ("student", "source", "secret")},
    )
    for folder in (world.root, world.home / ".ssh", world.drop):
        folder.mkdir(parents=True, exist_ok=True)
    (world.root / "roster.csv").write_text(world.canaries["file"])
    (world.home / ".ssh" / "id_ed25519").write_text(world.canaries["home"])
    for exercise in sorted(exercises):
        _plant_source(world, exercise)
    port = _listen(socket.AF_INET, ("127.0.0.1", 0), "tcp", visitors)
    _listen(socket.AF_UNIX, str(world.unix_path), "unix socket", visitors)
    _listen(socket.AF_UNIX, f"\0{world.abstract}", "abstract socket", visitors)
    return World(**{**vars(world), "port": port})


def _plant_source(world: World, exercise: str) -> None:
    """Copy an exercise, with a canary in the solution that students must not see."""
    path = world.root / "source" / exercise / f"{exercise}.ipynb"
    shutil.copytree(build.SOURCE / exercise, path.parent)
    whole = nbformat.read(path, as_version=4)
    for cell in whole.cells:
        if "BEGIN SOLUTION" in cell.source:
            head, marker, tail = cell.source.partition("### BEGIN SOLUTION\n")
            indent = head[len(head.rstrip(" ")) :]
            cell.source = f"{head}{marker}{indent}# {world.canaries['source']}\n{tail}"
    nbformat.write(whole, path)


def _listen(family: int, address: Any, name: str, visitors: list[str]) -> int:
    """Listen in a thread that notes whoever connects; return the port, if there is one."""
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()

    def wait() -> None:
        while True:
            connection, _ = listener.accept()
            visitors.append(f"connected to the {name}")
            connection.close()

    threading.Thread(target=wait, daemon=True).start()
    return listener.getsockname()[1] if family == socket.AF_INET else 0


def _submit(attacks: Sequence[Attack], world: World) -> tuple[dict[str, Attack], dict[str, float]]:
    """Write the submissions of the attackers and of honest students before, between and after."""
    attackers: dict[str, Attack] = {}
    honest: dict[str, float] = {}
    works = _honest_works(world)
    for number, attack in enumerate(attacks):
        if number % EVERY == 0:
            _hand_in_honest(world, f"student-{2 * number:03}", next(works), honest)
        student = f"student-{2 * number + 1:03}"
        folder = world.root / "submitted" / student / attack.exercise
        folder.mkdir(parents=True)
        attack.submit(folder, world)
        attackers[student] = attack
    _hand_in_honest(world, f"student-{2 * len(attacks):03}", next(works), honest)
    return attackers, honest


def _honest_works(world: World) -> Iterator[tuple[str, float]]:
    """What honest students hand in, and what it is worth."""
    yield f"{RIGHT}\n# {world.canaries['student']}\n", 10.0
    while True:
        yield RIGHT.replace("eps=1e-5", "eps=1e-8"), 9.0  # a known mistake
        yield WARNS + RIGHT, 10.0


def _hand_in_honest(
    world: World, student: str, work: tuple[str, float], honest: dict[str, float]
) -> None:
    source, score = work
    folder = world.root / "submitted" / student / NAME
    folder.mkdir(parents=True)
    write(folder, slim(source))
    honest[student] = score


def _grade(side: str, world: World, seconds: float) -> tuple[bool, str]:
    """Grade in a process of its own; say whether it ended in time, and what it told."""
    log = world.drop.parent / "grading.log"
    environment = os.environ | {"GRADER_TOKEN": world.canaries["env"]}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.attacks.grade", side, str(world.root)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False, log.read_text(errors="replace")
    return process.returncode == 0, log.read_text(errors="replace")


def _secrets(world: World) -> dict[str, tuple[bytes, ...]]:
    """All secrets by place, each in the forms in which it may have been carried out."""
    plain = {place: canary.encode() for place, canary in world.canaries.items()}
    with suppress(OSError):
        plain["secret"] = (world.root / ".class_secret").read_bytes()[:64].strip()
    return {place: _forms(secret) for place, secret in plain.items() if secret}


def _forms(secret: bytes) -> tuple[bytes, ...]:
    """A secret as it is, backwards, in hex, and in base64 at each of the three offsets."""
    base64s = []
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + secret)
        base64s.append(text[4:-4])
    return (secret, secret[::-1], secret.hex().encode(), *base64s)


def _found(secrets: dict[str, tuple[bytes, ...]], place: Path) -> set[str]:
    """The secrets that a file, or a file in a folder, holds."""
    found: set[str] = set()
    for path in _files(place):
        with suppress(OSError), path.open("rb") as file:
            data = file.read(MOST_BYTES)
            found |= {
                name for name, forms in secrets.items() if any(form in data for form in forms)
            }
    return found


def _files(place: Path) -> Iterable[Path]:
    if place.is_file():
        return [place]
    found = []
    for folder, _, names in os.walk(place):
        found += [Path(folder) / name for name in names]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _planted(world: World) -> list[str]:
    """What an escaped process has left or changed outside the submission."""
    kept = {
        world.root / "roster.csv": world.canaries["file"],
        world.home / ".ssh" / "id_ed25519": world.canaries["home"],
    }
    lost = [f"changed {p.name}" for p, text in kept.items() if not _holds(p, text)]
    return [*lost, *(f"wrote {path.name}" for path in sorted(world.drop.rglob("*"))[:3])]


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(errors="replace") == text


def scores_of(root: Path) -> dict[str, dict[str, Any]]:
    """What the gradebook says of each student, who has handed in one exercise."""
    try:
        with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
            return {
                student.id: _entry(student.submissions[0])
                for student in gradebook.students
                if student.submissions
            }
    except Exception as error:
        return {"": {"score": None, "words": f"the gradebook is broken: {error}"}}


def _entry(submission: SubmittedAssignment) -> dict[str, Any]:
    grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
    graded = grades and all(
        grade.auto_score is not None or grade.manual_score is not None for grade in grades
    )
    comments = [c.comment for notebook in submission.notebooks for c in notebook.comments]
    return {
        "score": float(submission.score) if graded else None,
        "words": " ".join(comment for comment in comments if comment),
    }


def _reached(
    student: str,
    scores: dict[str, dict[str, Any]],
    secrets: dict[str, tuple[bytes, ...]],
    world: World,
) -> dict[str, Any]:
    """What an attacker, with an accomplice if there is one, has reached."""
    ours = [entry for name, entry in scores.items() if name.startswith(student)]
    numbers = [entry["score"] for entry in ours if entry["score"] is not None]
    folders = [
        folder
        for place in ("autograded", "feedback")
        for folder in (world.root / place).glob(f"{student}*")
    ]
    pages = [page for folder in folders for page in folder.rglob("*.html") if page.is_file()]
    page = "".join(page.read_text("utf-8", "replace") for page in pages[:2])[:8_000_000]
    return {
        "score": max(numbers, default=None),
        "words": "".join(entry["words"] for entry in ours) or _card(folders),
        "read": sorted(set().union(*(_found(secrets, folder) for folder in folders), set())),
        "page": page,
    }


def _card(folders: Iterable[Path]) -> str:
    """What stands below the check cell in the graded notebook, as plain text."""
    for path in (path for folder in folders for path in folder.rglob("*.ipynb")):
        with suppress(Exception):
            for cell in nbformat.read(path, as_version=4).cells:
                if cell.metadata.get("nbgrader", {}).get("grade") and cell.get("outputs"):
                    return json.dumps(cell.outputs)[:300]
    return ""


if __name__ == "__main__":
    SIDE, BASE, SECONDS, RESULT, *NAMES = sys.argv[1:]
    Path(RESULT).with_name("begun").touch()
    CHOSEN = [ATTACKS[name] for name in NAMES]
    Path(RESULT).write_text(json.dumps(run(SIDE, CHOSEN, Path(BASE), float(SECONDS))))
    os._exit(0)
