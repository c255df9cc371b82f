"""What each attack reaches against stock nbgrader and against this course."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from course.instructor import build
from tests.attacks import container
from tests.attacks.attack import NAME, TOLD, TORCH_NAME, Attack
from tests.attacks.browser import pages_that_run_scripts
from tests.attacks.grade import WORKERS

SIDES = ("stock", "ours")
# This many attacks share a batch.
BATCH = {"stock": 8, "ours": 20}
# Seconds for a batch, and for each attack in it.
SECONDS, SECONDS_EACH = 40.0, 15.0
# Whether to put a container around grading. This course's needs none once it has its own sandbox.
CONTAINED = {"stock": True, "ours": True}

_EXERCISES = [f"{place}/{name}" for place in ("source", "release") for name in (NAME, TORCH_NAME)]
_COPIED = ("course", *_EXERCISES, "tests/attacks", "nbgrader_config.py")


@dataclass(frozen=True)
class Row:
    """What an attack reached.

    Args:
        attack: the attack.
        score: what the gradebook says, or None.
        read: the secrets it carried out, and whom it reached.
        stopped: what befell honest students, or empty.
        script: whether its page of feedback runs a script.
        words: what the gradebook or the graded notebook says of it.
    """

    attack: Attack
    score: float | None
    read: tuple[str, ...] = ()
    stopped: str = ""
    script: bool = False
    words: str = ""

    @property
    def gained(self) -> str:
        """How far the score is from what the work is worth, or may be; nothing if ungraded."""
        if self.score is None or (self.score == 0 and self.attack.expected == TOLD):
            return ""
        off = self.score - self.attack.honest_score
        return f"{off:+g}" if off else ""

    @property
    def ungraded(self) -> bool:
        """Whether there is no score."""
        return self.score is None

    @property
    def silent(self) -> bool:
        """Whether there is neither a full score nor a word on why."""
        return self.score != self.attack.honest_score and not self.words

    @property
    def held(self) -> bool:
        """Whether the attack reached nothing."""
        return not (
            self.gained or self.read or self.stopped or self.script or self.ungraded or self.silent
        )


def batches(
    side: str, attacks: Sequence[Attack], together: int | None = None
) -> list[list[Attack]]:
    """The attacks, as they are graded together."""
    count = -(-len(attacks) // (together or BATCH[side]))
    # Neighbours are of a kind: those that wait for their limits are to be spread.
    return [list(attacks[start::count]) for start in range(count)]


def measure(
    side: str,
    attacks: Sequence[Attack],
    tell: Callable[[Row], None] = lambda _: None,
    together: int | None = None,
) -> list[Row]:
    """Try attacks, batch by batch, two at a time."""

    def one(batch: list[Attack]) -> list[Row]:
        rows = measure_batch(side, batch)
        for row in rows:
            tell(row)
        return rows

    with ThreadPoolExecutor(2) as pool:
        return [row for rows in pool.map(one, batches(side, attacks, together)) for row in rows]


def measure_batch(side: str, attacks: Sequence[Attack]) -> list[Row]:
    """Grade a batch; where it is not clear who did it, grade each attack again alone."""
    seconds = SECONDS + SECONDS_EACH * len(attacks)
    result = _run(side, attacks, seconds)
    troubled = not result or result["common"] or _stopped(result)
    if len(attacks) > 1 and troubled:
        return [row for attack in attacks for row in measure_batch(side, [attack])]
    if not result:
        return [Row(attack, None, stopped="grading was killed") for attack in attacks]
    pages = {name: entry["page"] for name, entry in result["attacks"].items()}
    scripts = pages_that_run_scripts(pages)
    return [_row(attack, result, attack.name in scripts) for attack in attacks]


def _row(attack: Attack, result: dict[str, Any], script: bool) -> Row:
    entry = result["attacks"][attack.name]
    return Row(
        attack,
        entry["score"],
        tuple(sorted({*entry["read"], *result["common"]})),
        _stopped(result),
        script,
        entry["words"],
    )


def _stopped(result: dict[str, Any]) -> str:
    """What befell the honest students of a batch."""
    harmed = [
        f"an honest {student['expected']:g} became {student['score']}"
        for student in result["honest"].values()
        if student["score"] != student["expected"]
    ]
    return ("" if result["in_time"] else "grading did not end. ") + ", ".join(harmed)


def _run(side: str, attacks: Sequence[Attack], seconds: float) -> dict[str, Any] | None:
    """Run a batch in a process of its own; None if it left no result.

    Raises:
        RuntimeError: it did not even begin, which is no attacker's doing.
    """
    with tempfile.TemporaryDirectory(prefix="attacks-") as scratch:
        exchange = Path(scratch) / "exchange"
        exchange.mkdir()
        exchange.chmod(0o777)
        inside = container.INSIDE if CONTAINED[side] else Path(scratch) / "world"
        shown = container.EXCHANGE if CONTAINED[side] else exchange
        command = _command(side, attacks, seconds, inside, shown / "result.json")
        environment = _environment(inside)
        if CONTAINED[side]:
            command = container.contained(command, [_installation()], exchange, environment)
        with (exchange / "log").open("w") as log, suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=seconds + 30,
            )
        result = exchange / "result.json"
        if os.environ.get("ATTACKS_LOG"):
            print((exchange / "log").read_text(errors="replace")[-5000:], file=sys.stderr)
        if not (exchange / "begun").is_file():
            raise RuntimeError(f"A batch did not begin:\n{(exchange / 'log').read_text()[-3000:]}")
        return json.loads(result.read_text()) if result.is_file() else None


def _command(
    side: str, attacks: Sequence[Attack], seconds: float, inside: Path, result: Path
) -> list[str]:
    """Copy the installation, so that it can be written to as an instructor's own can, and go."""
    names = [attack.name for attack in attacks]
    script = 'mkdir -p "$2/home" && cp -r "$1" "$2/install" && cd "$2/install" && shift 2 && "$@"'
    arguments = [side, str(inside), str(seconds), str(result), *names]
    return [
        *("sh", "-c", script, "sh", str(_installation()), str(inside)),
        *(sys.executable, "-m", "tests.attacks.batch", *arguments),
    ]


def _environment(inside: Path) -> dict[str, str]:
    return {
        "HOME": str(inside / "home"),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(inside / "install"),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(inside.parent),
        WORKERS: os.environ.get(WORKERS, "processes"),
    }


@cache
def _installation() -> Path:
    """A copy of what grading needs of this repository."""
    folder = Path(tempfile.mkdtemp(prefix="attacks-installation-"))
    folder.chmod(0o755)
    for name in _COPIED:
        source, target = build.ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    atexit.register(shutil.rmtree, folder)
    return folder
