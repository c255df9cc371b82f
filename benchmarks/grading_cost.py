"""Where the time of one notebook goes; whether a large class costs more; what a cluster gives.

Three tables, of a demo class that hands in exercises 1 to 3: the parts of one notebook's time, in
this process; classes of growing size, with the memory of the process that records and of those that
execute; and a cluster of one and of two workers on this machine.

make bench
"""

import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from joblib import cpu_count
from rich.console import Console
from rich.table import Table

from course.instructor import build
from course.instructor.demo_class import write_demo_class
from course.instructor.grading import execute
from course.instructor.grading.class_runner import ClassRunner, Graded
from course.instructor.grading.job import Submission
from course.instructor.grading.notebook_run import NotebookRun
from course.instructor.grading.workers import Cluster, Processes, ThisProcess, Workers
from course.instructor.task import Task
from course.instructor.tools import put_tools_on_path
from course.student.catalogue import catalogue

EXERCISES = [notebook.name for notebook in catalogue() if notebook.name.startswith("ex0")][:3]
REPEATS = 10
SIZES = (50, 200, 1000)
ON_CLUSTER = 60

MIB = 2**20


@contextmanager
def class_of(students: int, exercises: list[str]) -> Iterator[ClassRunner]:
    """The runner of a class in a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_demo_class(root / "submitted", students, exercises)
        for exercise in exercises:
            shutil.copytree(build.SOURCE / exercise, root / "source" / exercise)
        config = build.nbgrader_config()
        config.CourseDirectory.root = str(root)
        config.ExecuteAndJudge.secret_file = str(root / ".class_secret")
        runner = ClassRunner(config)
        runner.prepare()
        yield runner


def grade(
    runner: ClassRunner,
    workers: Workers,
    tell: Callable[[Graded], None] = lambda _: None,
    submissions: list[Submission] | None = None,
) -> float:
    """Grade; return the seconds of each submission from the first that is done."""
    times = []

    def done(graded: Graded) -> None:
        times.append(time.perf_counter())
        tell(graded)

    results = runner.grade(submissions or runner.submissions(), workers, done, again=True)
    assert not any(result.problem for result in results)
    return (times[-1] - times[0]) / (len(times) - 1)


# Where the time goes


class Clock:
    """How long some functions take, less what others of them take that they call."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = time.perf_counter()

    def watch(self, part: str, owner: Any, name: str) -> None:
        """Count the time of a function as that of a part."""
        function = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            self._turn()
            self._running.append(part)
            try:
                return function(*arguments, **named)
            finally:
                self._turn()
                self._running.pop()

        setattr(owner, name, watched)

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def parts() -> Table:
    """Where the time of one notebook goes."""
    table = Table("part", *(name.partition("_")[0] for name in EXERCISES), title="ms of a notebook")
    found: dict[str, dict[str, float]] = defaultdict(dict)
    with class_of(REPEATS + 2, EXERCISES) as runner:
        clock = Clock()
        clock.watch("all else", ThisProcess, "done")
        clock.watch("draw the keys", Task, "key")
        clock.watch("fork, sandbox, kernel ready", NotebookRun, "__enter__")
        clock.watch("student's cells and probes", NotebookRun, "outputs_of")
        clock.watch("end the kernel", NotebookRun, "__exit__")
        clock.watch("judge, run known mistakes", execute, "judge")
        clock.watch("write scores", runner._api, "autograde")
        clock.watch("write feedback", runner._api, "generate_feedback")
        for name in EXERCISES:
            mine = [each for each in runner.submissions() if each.assignment == name]
            grade(runner, ThisProcess(), submissions=mine[:2])
            clock.seconds.clear()
            grade(runner, ThisProcess(), submissions=mine[2:])
            for part, seconds in clock.seconds.items():
                found[part][name] = 1000 * seconds / REPEATS
    for part, of in found.items():
        table.add_row(part, *(f"{of[name]:.0f}" for name in EXERCISES))
    beyond = {
        name: sum(of[name] for part, of in found.items() if not part.startswith("student"))
        for name in EXERCISES
    }
    table.add_section()
    table.add_row("beyond the student's cells", *(f"{beyond[name]:.0f}" for name in EXERCISES))
    return table


# A large class


def sizes() -> Table:
    """Whether time and memory grow with the class."""
    columns = (
        "submissions",
        "seconds each",
        "memory of the recorder [MiB]",
        "of each process [MiB]",
    )
    table = Table(*columns, title=f"exercise 1, {cpu_count()} processes")
    for size in SIZES:
        with class_of(size, EXERCISES[:1]) as runner:
            recorder, executors = [], []

            def look(_: Graded, recorder: list[int] = recorder, ex: list[int] = executors) -> None:
                recorder.append(psutil.Process().memory_info().rss)
                ex.append(max(map(memory_of, psutil.Process().children()), default=0))

            each = grade(runner, Processes(cpu_count()), look)
            after = size // 5  # when all that is needed once is there
            table.add_row(
                str(size),
                f"{each:.3f}",
                *(f"{kind[after] // MIB} to {kind[-1] // MIB}" for kind in (recorder, executors)),
            )
    return table


def memory_of(process: psutil.Process) -> int:
    """Bytes of a process that executes; 0 for what else there is."""
    try:
        return int(process.memory_info().rss) if "spawn_main" in str(process.cmdline()) else 0
    except psutil.Error:
        return 0


# A cluster


def cluster() -> Table:
    """What a second worker gives."""
    table = Table("workers", "seconds each", title=f"a cluster on this machine, {ON_CLUSTER} times")
    with class_of(ON_CLUSTER // len(EXERCISES), EXERCISES) as runner:
        for count in (1, 2):
            with workers_of_a_cluster(count) as address:
                table.add_row(str(count), f"{grade(runner, Cluster(address)):.3f}")
    return table


@contextmanager
def workers_of_a_cluster(count: int) -> Iterator[str]:
    """Start Dask's scheduler and some workers; give the scheduler's address."""
    with tempfile.TemporaryDirectory() as scratch:
        address = "tcp://127.0.0.1:18786"
        dask = [sys.executable, "-m", "dask"]
        commands = [
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", "18786", "--no-dashboard"],
            [*dask, "worker", address, "--nworkers", str(count), "--nthreads", "1"],
        ]
        started = [
            subprocess.Popen(command, cwd=scratch, stderr=subprocess.DEVNULL)
            for command in commands
        ]
        try:
            yield address
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()


def main() -> None:
    """Print three tables."""
    put_tools_on_path()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    for make in (parts, sizes, cluster):
        table = make()
        table.caption = f"{machine}, Python {platform.python_version()}"
        Console().print(table)


if __name__ == "__main__":
    main()
