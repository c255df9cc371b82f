"""Whoever executes a submission, the verdict is the same, and one that dies costs nothing."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import nbformat
import psutil
import pytest
from click.testing import CliRunner
from nbformat import NotebookNode
from nbgrader import utils

from course.instructor import __main__ as command_line
from course.instructor import build
from course.instructor.demo_class import write_demo_class
from course.instructor.grading import workers
from course.instructor.grading.execute import Rules
from course.instructor.grading.job import Executed, Job, Submission, package_fingerprint
from course.instructor.grading.receive import receive
from course.instructor.grading.record import keep_record, record_of
from course.instructor.grading.sandbox import SandboxMissingError
from course.instructor.grading.workers import (
    AT_HAND,
    Cluster,
    ClusterError,
    Processes,
    ThisProcess,
    Workers,
    as_done,
)
from course.instructor.submission import filled_in, reference_sources
from course.instructor.text_notebook import check_call

NAME = "ex01_basic_implementation"
RIGHT = reference_sources(NAME)["ex01_layer_norm"]
RULES = Rules(trust_submissions=False, cell_timeout=20, notebook_timeout=60)

# Of the demo class's students, every one of this many.
EVERY = 6


def job_of(folder: Path) -> Job:
    notebook = receive(folder, folder.name)
    tasks = [check_call(cell)[0] for cell in notebook.cells if utils.is_grade(cell)]
    return Job(
        Submission(folder.parent.name, folder.name),
        nbformat.writes(notebook),
        {task: sum(folder.parent.name.encode()) for task in tasks},
        RULES,
        package_fingerprint(),
    )


def a_job(folder: Path, student: str, source: str = RIGHT) -> Job:
    path = folder / student / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(filled_in(NAME, {"ex01_layer_norm": source}), path)
    return job_of(path.parent)


def scores(executed: Iterable[Executed]) -> dict[str, float]:
    """What each student has for the first exercise."""
    found = {}
    for each in executed:
        assert not each.problem
        cells = nbformat.reads(each.notebook, as_version=4).cells
        found[each.submission.student] = sum(
            utils.determine_grade(cell)[0] for cell in cells if utils.is_grade(cell)
        )
    return found


def without_cost(executed: Executed) -> NotebookNode:
    """A notebook as executed, less what differs from one time to the next."""
    notebook = nbformat.reads(executed.notebook, as_version=4)
    keep_record(notebook, replace(record_of(notebook), seconds=0.0, memory=0))
    return notebook


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of a cluster of two workers where nothing else is, and who started them."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    worker = ["worker", "--nworkers", "2", "--nthreads", "1"]
    started = []
    for options in (["scheduler", "--host", "127.0.0.1", "--port", "0"], worker):
        command = [sys.executable, "-m", "dask", *options, "--no-dashboard"]
        command += ["--scheduler-file", str(file)]
        started.append(subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))
        while not file.exists():
            time.sleep(0.05)
    yield json.loads(file.read_text())["address"], started[-1].pid
    for process in reversed(started):
        process.terminate()
        process.wait()


def test_a_verdict_is_the_same_whoever_reaches_it(tmp_path: Path, cluster: tuple[str, int]) -> None:
    students = write_demo_class(tmp_path)[::EVERY]
    jobs = [job_of(folder) for student in students for folder in tmp_path.glob(f"{student}/*")]
    verdicts = [
        {executed.submission: without_cost(executed) for executed in as_done(jobs, crew)}
        for crew in (ThisProcess(), Processes(2), Cluster(cluster[0]))
    ]
    assert len(verdicts[0]) == len(jobs)
    for submission, notebook in verdicts[0].items():
        assert verdicts[1][submission] == notebook
        assert verdicts[2][submission] == notebook


SLOW = RIGHT + "\nimport time; time.sleep(3)"


def kernels(warm: psutil.Process) -> set[psutil.Process]:
    """What runs in a bubblewrap beside the two processes that are always there."""
    return set(warm.children(recursive=True)[2:])


def kill_at_work(above: int) -> None:
    """Kill the first process below another whose kernel has run for a second."""
    while True:
        for process in psutil.Process(above).children(recursive=True):
            with suppress(psutil.Error):
                worker = process.parent()
                if process.name() == "bwrap" != worker.name() and (before := kernels(process)):
                    time.sleep(1)
                    if kernels(process) & before:
                        worker.kill()
                        worker.wait()
                        return
        time.sleep(0.05)


def scores_while(killing: Callable[[], None], jobs: list[Job], crew: Workers) -> dict[str, float]:
    """What jobs come to while something kills who does them."""
    killer = threading.Thread(target=killing)
    killer.start()
    found = scores(as_done(jobs, crew))
    killer.join()
    return found


def test_a_process_that_dies_costs_nothing(tmp_path: Path) -> None:
    jobs = [a_job(tmp_path, "student-01", SLOW), a_job(tmp_path, "student-02")]
    killing = partial(kill_at_work, os.getpid())
    assert scores_while(killing, jobs, Processes(1)) == {"student-01": 10, "student-02": 10}


def test_a_worker_of_a_cluster_that_dies_costs_nothing(
    tmp_path: Path, cluster: tuple[str, int]
) -> None:
    address, pid = cluster
    jobs = [a_job(tmp_path, "student-01", SLOW), a_job(tmp_path, "student-02")]
    killing = partial(kill_at_work, pid)
    assert scores_while(killing, jobs, Cluster(address)) == {"student-01": 10, "student-02": 10}


def test_what_takes_its_process_down_each_time_is_told_and_the_others_are_graded(
    tmp_path: Path,
) -> None:
    jobs = [a_job(tmp_path, "student-01", SLOW), a_job(tmp_path, "student-02")]

    def killing() -> None:
        for _ in range(workers.TRIES):
            kill_at_work(os.getpid())

    killer = threading.Thread(target=killing)
    killer.start()
    lost, graded = as_done(jobs, Processes(1))
    killer.join()
    assert (lost.submission.student, lost.problem) == ("student-01", workers.LOST)
    assert scores([graded]) == {"student-02": 10}


def test_one_that_takes_its_time_holds_up_no_other(tmp_path: Path) -> None:
    jobs = [a_job(tmp_path, "student-01", RIGHT + "\nimport time; time.sleep(15)")]
    jobs += [a_job(tmp_path, f"student-{number:02}") for number in range(2, 8)]
    order = [executed.submission.student for executed in as_done(jobs, Processes(2))]
    assert order[-1] == "student-01"


def test_a_process_that_has_ended_between_two_jobs_is_replaced(tmp_path: Path) -> None:
    job = a_job(tmp_path, "student-01")

    def jobs() -> Iterator[Job]:
        for process in psutil.Process().children():
            if "spawn_main" in " ".join(process.cmdline()):
                process.kill()
                process.wait()
        time.sleep(1)
        yield job

    assert scores(as_done(jobs(), Processes(1))) == {"student-01": 10}


def test_processes_end_with_what_gave_them_jobs(tmp_path: Path) -> None:
    source = (
        "import os, time\n"
        "from course.instructor.grading.workers import Processes\n"
        "if __name__ == '__main__':\n"
        "    with Processes(1):\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
    )
    script = tmp_path / "gives.py"
    script.write_text(source)
    giver = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert giver.stdout is not None
    giver.stdout.readline()
    below = psutil.Process(giver.pid).children(recursive=True)
    assert any(process.name() == "bwrap" for process in below)
    giver.kill()
    giver.wait()
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive


def test_a_worker_with_another_version_of_the_course_is_told(tmp_path: Path) -> None:
    job = replace(a_job(tmp_path, "student-01"), package="another")
    [executed] = as_done([job], ThisProcess())
    assert "another version of this course" in executed.problem


def test_no_more_jobs_are_taken_than_are_at_hand(tmp_path: Path) -> None:
    taken: list[int] = []
    job = a_job(tmp_path, "student-01")

    def jobs() -> Iterator[Job]:
        for number in range(6):
            taken.append(number)
            yield job

    for done, _ in enumerate(as_done(jobs(), Processes(1)), 1):
        assert len(taken) <= done + AT_HAND


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "JOINING", 1)
    with pytest.raises(ClusterError, match=r"No cluster with a worker at 'tcp://127\.0\.0\.1:9'"):
        Cluster("tcp://127.0.0.1:9")


def test_make_grade_refuses_to_grade_without_a_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = build.nbgrader_config()
    config.CourseDirectory.root = str(tmp_path)
    monkeypatch.setattr(build, "nbgrader_config", lambda: config)

    def missing(_: Processes) -> None:
        raise SandboxMissingError("There is none.")

    monkeypatch.setattr(Processes, "__enter__", missing)
    result = CliRunner().invoke(command_line.main, ["grade", "--workers", "1"])
    assert result.exit_code == 1
    assert "There is none.\nNothing was graded." in result.output
    assert "TRUST_SUBMISSIONS=1" in result.output


def test_workers_and_a_cluster_are_not_asked_for_at_once() -> None:
    result = CliRunner().invoke(
        command_line.main, ["grade", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"]
    )
    assert result.exit_code == 2
    assert "A cluster has its own workers" in result.output
