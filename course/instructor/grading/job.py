"""A job: what travels to whoever executes a submission, and what comes back."""

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat

import course
from course.instructor.grading.execute import Rules, execute
from course.instructor.grading.kernel import MachineFullError
from course.instructor.grading.record import keep_record, record_of
from course.instructor.grading.sandbox import SandboxMissingError

# A process has one setting of torch's threads, and one watch over calls; a cluster's may have many
# threads that ask.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Submission:
    """One student's folder for one assignment."""

    student: str
    assignment: str


def handed_in(root: Path) -> list[Submission]:
    """All folders of submissions in a course folder, by student, whatever their names."""
    folders = sorted((root / "submitted").glob("*/*"))
    return [Submission(path.parent.name, path.name) for path in folders if path.is_dir()]


@dataclass(frozen=True)
class Job:
    """All that is needed to execute and judge one submission, wherever that is done.

    Args:
        submission: whose it is.
        notebook: as `receive` has read it, as JSON.
        seeds: of the fresh keys, by task id.
        rules: how it is to be executed.
        package: the fingerprint of the package that asks.
    """

    submission: Submission
    notebook: str
    seeds: Mapping[str, int]
    rules: Rules
    package: str


@dataclass(frozen=True)
class Executed:
    """What came of a job.

    Args:
        submission: whose it is.
        notebook: with outputs and verdicts, as JSON; empty if there is a problem.
        problem: why there is no verdict, which is no fault of the submission.
    """

    submission: Submission
    notebook: str = ""
    problem: str = ""


def do(job: Job) -> Executed:
    """Execute and judge a submission in this process."""
    if job.package != package_fingerprint():
        return Executed(
            job.submission,
            problem="The machine that was to execute it has another version of this course."
            " Install the same on all.",
        )
    try:
        with _one_at_a_time:
            began = time.monotonic()
            read = nbformat.reads(job.notebook, as_version=4)
            notebook = execute(read, job.seeds, job.rules)
            seconds = time.monotonic() - began
    except (SandboxMissingError, MachineFullError) as error:
        return Executed(job.submission, problem=str(error))
    except Exception as error:
        # Whatever it is, it is no reason to leave the others ungraded.
        return Executed(job.submission, problem=f"{type(error).__name__}: {error}")
    record = record_of(notebook)
    record.seconds = round(seconds, 3)
    keep_record(notebook, record)
    return Executed(job.submission, nbformat.writes(notebook))


@cache
def package_fingerprint() -> str:
    """A number that changes with every file of the installed course that decides on a verdict."""
    folder = Path(course.__file__).parent
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".json") and "notebooks" not in path.parts:
            found.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return found.hexdigest()
