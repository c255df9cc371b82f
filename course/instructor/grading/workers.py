"""Who does the jobs: processes of this machine, or the workers of a Dask cluster.

Jobs are taken only as fast as they are done, so that a large class needs no more memory than a
small one. What is done comes back in any order. A job whose process has ended is done again.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol

from course.instructor.grading.job import Executed, Job, do
from course.instructor.grading.sandbox import SandboxMissingError
from course.instructor.grading.warm import warm_process
from course.instructor.task import all_tasks

# How many jobs there are for each worker, so that none waits for the next while one is recorded.
AT_HAND = 2

# How often a job may take down the process that does it.
TRIES = 3

LOST = (
    f"The process that graded it ended, {TRIES} times in a row. Perhaps it needs more memory than"
    " there is: run grading again with fewer workers."
)

# Seconds in which a worker must have joined a cluster.
JOINING = 30


class Workers(Protocol):
    """A context manager that is given jobs."""

    def __enter__(self) -> "Workers":
        """Start."""

    def __exit__(self, *_: object) -> None:
        """End, with whatever is being done."""

    def room(self) -> int:
        """How many more jobs to give now."""

    def give(self, job: Job) -> None:
        """Begin a job, now or when there is somebody to do it."""

    def busy(self) -> bool:
        """Whether any job is not done."""

    def done(self) -> list[Executed]:
        """Wait until some jobs are done, and return what came of them."""


def as_done(jobs: Iterable[Job], workers: Workers) -> Iterator[Executed]:
    """Have jobs done; yield what comes of each as soon as it has."""
    ahead = iter(jobs)
    done: list[Executed] = []
    with workers:
        while True:
            for job in islice(ahead, workers.room()):
                workers.give(job)
            yield from done
            if not workers.busy():
                return
            done = workers.done()


class ThisProcess:
    """Does one job after the other, here."""

    def __init__(self) -> None:
        """Have nothing to do."""
        self._jobs: list[Job] = []

    def __enter__(self) -> "ThisProcess":
        """Need no start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Need no end."""

    def room(self) -> int:
        """One at a time."""
        return 1 - len(self._jobs)

    def give(self, job: Job) -> None:
        """Take a job."""
        self._jobs.append(job)

    def busy(self) -> bool:
        """Whether it was given a job."""
        return bool(self._jobs)

    def done(self) -> list[Executed]:
        """Do it."""
        return [do(self._jobs.pop())]


class Processes:
    """Some processes of this machine, each doing one job at a time."""

    def __init__(self, count: int, *, trusted: bool = False) -> None:
        """Start them; that takes seconds, in which this process can do other things.

        Args:
            count: how many.
            trusted: whether they do without the sandbox.
        """
        self._processes = [_Process(trusted) for _ in range(count)]
        self._idle = SimpleQueue[_Process]()
        for process in self._processes:
            self._idle.put(process)
        # Each waits for one process, and gives it the next job as soon as it can take one.
        self._threads = ThreadPoolExecutor(count)
        self._given: set[Future[Executed]] = set()

    def __enter__(self) -> "Processes":
        """Wait for the first.

        Raises:
            SandboxMissingError: there is no sandbox, and submissions are not to be trusted.
        """
        try:
            # Should it have ended, it is replaced when it gets a job.
            with suppress(BrokenProcessPool):
                self._processes[0].warm.result()
        except SandboxMissingError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes, and the kernels with them."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.end()

    def room(self) -> int:
        """What is missing of the jobs at hand."""
        return AT_HAND * len(self._processes) - len(self._given)

    def give(self, job: Job) -> None:
        """Give a job to the first process that is idle."""
        self._given.add(self._threads.submit(self._do, job))

    def busy(self) -> bool:
        """Whether any job is not done."""
        return bool(self._given)

    def done(self) -> list[Executed]:
        """Wait for the first that is done; return all that are."""
        done, self._given = wait(self._given, return_when=FIRST_COMPLETED)
        return [future.result() for future in done]

    def _do(self, job: Job) -> Executed:
        process = self._idle.get()
        try:
            return process.do(job)
        finally:
            self._idle.put(process)


class _Process:
    """A pool of one, so that it is known which job was being done when the process ended."""

    def __init__(self, trusted: bool) -> None:
        self._trusted = trusted
        self._ended = False
        self._start()

    def do(self, job: Job) -> Executed:
        for _ in range(TRIES):
            try:
                return self._pool.submit(do, job).result()
            except BrokenProcessPool:
                if not self._ended:
                    self._start()
        return Executed(job.submission, problem=LOST)

    def end(self) -> None:
        self._ended = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        with suppress(Exception):
            os.kill(self._pid.result(timeout=0), signal.SIGKILL)

    def _start(self) -> None:
        # Not forked: this process has threads, and what it imports could be what a fork trips on.
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, spawn, initializer=_become_worker)
        self._pid = self._pool.submit(os.getpid)
        self.warm = self._pool.submit(_warm, self._trusted)
        self._pool.submit(_draw_keys)


def _become_worker() -> None:
    """Leave interrupts to the process that gives jobs, and end when that does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    giver = multiprocessing.parent_process()
    assert giver is not None

    def end() -> None:
        giver.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _warm(trusted: bool) -> None:
    """See that there is a sandbox, and have its imports done."""
    if not trusted:
        warm_process()


def _draw_keys() -> None:
    """Import what the first keys import late, before there is a job that would wait for it."""
    for task in all_tasks().values():
        task.key()


class Cluster:
    """The workers of a Dask cluster, which have this course installed, and a sandbox."""

    def __init__(self, scheduler: str) -> None:
        """Take the scheduler's address, such as tcp://10.0.0.7:8786.

        Raises:
            ClusterError: Dask is not installed, or there is no such cluster.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise ClusterError(
                "Dask is not installed here: `pip install 'course[cluster]'`, on all machines."
            ) from error
        try:
            self._client = Client(scheduler, timeout=JOINING)
            self._client.wait_for_workers(1, timeout=JOINING)
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"No cluster with a worker at {scheduler!r}: {error}. docs/large_class.md says how"
                " to start one."
            ) from error
        self._given: dict[Any, Job] = {}

    def __enter__(self) -> "Cluster":
        """Need no start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster as it was."""
        self._client.cancel(list(self._given))
        self._client.close()

    def room(self) -> int:
        """What is missing of the jobs at hand, with as many workers as there are now."""
        workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        return max(0, AT_HAND * max(1, workers) - len(self._given))

    def give(self, job: Job) -> None:
        """Give a job to the scheduler, which gives it again if its worker ends."""
        self._given[self._client.submit(do, job, pure=False)] = job

    def busy(self) -> bool:
        """Whether any job is not done."""
        return bool(self._given)

    def done(self) -> list[Executed]:
        """Wait for the first that is done; return all that are."""
        from distributed import CancelledError
        from distributed import wait as wait_for
        from distributed.scheduler import KilledWorker

        wait_for(list(self._given), return_when="FIRST_COMPLETED")
        executed = []
        for future in [future for future in self._given if future.done()]:
            job = self._given.pop(future)
            try:
                executed.append(future.result())
            except KilledWorker:
                executed.append(Executed(job.submission, problem=LOST))
            except CancelledError as error:
                raise ClusterError(
                    "The cluster's scheduler is gone. What is graded stays graded: run grading"
                    " again when it is back."
                ) from error
        return executed


class ClusterError(Exception):
    """There is no cluster to grade on; the message says why."""
