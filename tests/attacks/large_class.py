"""`python -m tests.attacks.large_class`: a class of 200, a fifth of it hostile or damaged.

It is graded in one run, and once more in a run that is killed at random instants and started again.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from course.instructor import build
from course.instructor.submission import typed
from course.instructor.task import all_tasks
from course.instructor.tools import put_tools_on_path
from course.student.judge import judge
from tests.attacks.attack import NAME, RIGHT, TASK, Attack, World, slim, write
from tests.attacks.batch import WARNS, make_world, scores_of
from tests.attacks.catalogue import ATTACKS

# Of five students one is an attacker.
EVERY = 5

GRADES = """
    select s.student_id, c.name, g.auto_score, g.manual_score, g.needs_manual_grade, n.flagged,
           m.auto_comment
    from grade g
    join base_cell c on g.cell_id = c.id
    join submitted_notebook n on g.notebook_id = n.id
    join submitted_assignment s on n.assignment_id = s.id
    join comment m on m.notebook_id = n.id
    order by 1, 2
"""


@click.command()
@click.option("--students", default=200, help="How many.")
@click.option("--kills", default=20, help="How often the second run is killed.")
@click.option("--seed", default=0, help="Of the instants at which it is killed.")
def main(students: int, kills: int, seed: int) -> None:
    """Grade a class twice, and compare."""
    put_tools_on_path()
    with tempfile.TemporaryDirectory(prefix="class-") as scratch:
        world = make_world(Path(scratch) / "once", {NAME}, [])
        shutil.copytree(build.ROOT / "course", world.install / "course")  # to aim at
        expected = hand_in(world, students)
        twin = replace(world, root=Path(scratch) / "often" / world.root.name)
        twin.root.parent.mkdir()
        # With its pipes and links as they are.
        subprocess.run(["cp", "-a", str(world.root), str(twin.root)], check=True)
        began = time.perf_counter()
        subprocess.run(grading(world), check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        # One secret, so that both draw the same inputs.
        shutil.copy(world.root / ".class_secret", twin.root)
        instants = killed(twin, kills, seconds, random.Random(seed))
        subprocess.run(grading(twin), check=True, stdout=subprocess.DEVNULL)
        report(world, twin, expected, seconds, instants)


def hand_in(world: World, students: int) -> dict[str, tuple[str, float]]:
    """Write the submissions; return by student what it is and what it is worth."""
    attacks = [a for a in ATTACKS.values() if a.exercise == NAME and a.stock]
    chosen = iter(attacks[:: max(1, len(attacks) * EVERY // students)])
    honest = honest_works()
    expected = {}
    for number in range(students):
        student = f"student-{number:03}"
        folder = world.root / "submitted" / student / NAME
        folder.mkdir(parents=True)
        attack: Attack | None = next(chosen, None) if number % EVERY == EVERY - 1 else None
        if attack:
            attack.submit(folder, world)
            expected[student] = (attack.name, attack.honest_score)
        else:
            source, score = next(honest)
            write(folder, slim(source))
            expected[student] = ("honest", score)
    return expected


def honest_works() -> Iterator[tuple[str, float]]:
    """Right solutions and known mistakes without end, with what each is worth."""
    task = all_tasks()[TASK]
    key = task.key()
    solutions = [*task.right_solutions, *(mistake.solution for mistake in task.mistakes)]
    works = [(WARNS + RIGHT, 10.0)]
    for solution in solutions:
        works.append((typed(task, solution, RIGHT), judge(key, task.outcomes(solution, key)).score))
    yield from cycle(works)


def grading(world: World) -> list[str]:
    """The command that grades a class."""
    # nbgrader 0.9.6 makes SQLAlchemy 2.1 warn about its own, harmless, order of inserting rows.
    python = [sys.executable, "-W", "ignore:Object of type"]
    return [*python, "-m", "tests.attacks.grade", "ours", str(world.root)]


def killed(world: World, kills: int, seconds: float, rng: random.Random) -> list[float]:
    """Start grading again and again, and kill it each time; return after how many seconds."""
    instants = []
    for _ in range(kills):
        instant = rng.uniform(0, 2 * seconds / kills)
        process = subprocess.Popen(
            grading(world), stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(instant)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            instants.append(instant)
    return instants


def report(
    once: World,
    often: World,
    expected: dict[str, tuple[str, float]],
    seconds: float,
    instants: list[float],
) -> None:
    """Print what came of it, and fail unless all is as it should be."""
    scores = scores_of(once.root)
    missing = [student for student in expected if scores.get(student, {}).get("score") is None]
    off = {
        f"{student} ({name})": scores[student]["score"]
        for student, (name, score) in expected.items()
        if student not in missing and scores[student]["score"] not in (score, 0.0)
    }
    harmed = [
        student
        for student, (name, score) in expected.items()
        if name == "honest" and scores[student]["score"] != score
    ]
    attackers = sum(name != "honest" for name, _ in expected.values())
    same = gradebook(once) == gradebook(often)
    table = Table("what", "found", title=f"{len(expected)} submissions, {attackers} of attackers")
    table.add_row("graded in one run", f"{seconds:.0f} s, {seconds / len(expected):.2f} s each")
    table.add_row("without a score", ", ".join(missing) or "none")
    table.add_row("neither what it is worth nor 0", str(off or "none"))
    table.add_row("honest ones with another score", ", ".join(harmed) or "none")
    table.add_row("killed after", ", ".join(f"{instant:.1f} s" for instant in instants))
    table.add_row("the same gradebook then", "yes" if same else "NO")
    Console().print(table)
    sys.exit(bool(missing or off or harmed or not same))


def gradebook(world: World) -> list[tuple[object, ...]]:
    """All that a gradebook says of scores, comments and flags."""
    with closing(sqlite3.connect(world.root / "gradebook.db")) as database:
        return database.execute(GRADES).fetchall()


if __name__ == "__main__":
    main()
