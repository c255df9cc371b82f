"""The gradebook may be PostgreSQL's, and two runs may write to it at once."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from course.instructor import build
from course.instructor.grading.gradebook import turn
from course.instructor.submission import filled_in, reference_sources

ONE, TWO = "ex01_basic_implementation", "ex02_forward_backward"

# One machine's run: it grades what lies in its folder and has a gradebook in common with the other.
GRADE = """
import sys, warnings
from course.instructor import build
from course.instructor.grading.class_runner import ClassRunner
from course.instructor.grading.workers import ThisProcess
from course.instructor.tools import put_tools_on_path

warnings.filterwarnings("ignore", "Object of type")
put_tools_on_path()
config = build.nbgrader_config()
config.CourseDirectory.root, config.CourseDirectory.db_url, secret = sys.argv[1:]
config.ExecuteAndJudge.secret_file = secret
runner = ClassRunner(config)
runner.prepare()
for graded in runner.grade(runner.submissions(), ThisProcess(), lambda _: None, again=True):
    assert not graded.problem, graded
"""


def programs() -> Path:
    """The folder of PostgreSQL's programs, which Debian does not put on the PATH."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        return folder
    found = shutil.which("initdb")
    if not found:
        message = "No PostgreSQL. On Debian: `sudo apt install postgresql`."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return Path(found).resolve().parent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a database of a PostgreSQL that is there for these tests alone."""
    # It does not run as root, and its socket's path must be short.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg-") as scratch:
        folder = Path(scratch)
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(programs() / program), *arguments]
            subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)

        data = str(folder / "data")
        run("initdb", "-D", data, "-U", "instructor", "--auth", "trust", "-E", "UTF8")
        listen = f"-c listen_addresses='' -c unix_socket_directories='{folder}'"
        run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", listen, "start")
        try:
            run("createdb", "-h", str(folder), "-U", "instructor", "gradebook")
            yield f"postgresql+psycopg://instructor@/gradebook?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")


def submit(root: Path, student: str, name: str, sources: dict[str, str]) -> None:
    path = root / "submitted" / student / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(filled_in(name, sources), path)
    if not (root / "source" / name).exists():
        shutil.copytree(build.SOURCE / name, root / "source" / name)


def test_two_runs_at_once_on_one_gradebook_lose_nothing(server: str, tmp_path: Path) -> None:
    expected = {}
    for machine, name in (("one", ONE), ("two", TWO)):
        right = reference_sources(name)
        for number in range(1, 4):
            student = f"student-{number:02}"
            submit(tmp_path / machine, student, name, right if number % 2 else {})
            expected[student, name] = (10 if name == ONE else 15) if number % 2 else 0
    # Some are graded by both at the same time.
    for number in range(4, 7):
        for machine in ("one", "two"):
            submit(tmp_path / machine, f"student-{number:02}", ONE, reference_sources(ONE))
        expected[f"student-{number:02}", ONE] = 10
    runs = [
        subprocess.Popen([sys.executable, "-c", GRADE, str(tmp_path / machine), server, secret])
        for machine in ("one", "two")
        for secret in [str(tmp_path / ".class_secret")]
    ]
    assert [run.wait() for run in runs] == [0, 0]
    with Gradebook(server, "layer_normalization") as gradebook:
        found = {
            (submission.student.id, submission.name): submission.score
            for assignment in gradebook.assignments
            for submission in assignment.submissions
        }
        assert found == expected
        assert not any(
            notebook.failed_tests
            for name in (ONE, TWO)
            for notebook in gradebook.notebook_submissions(name, name)
            if expected[notebook.student.id, name]
        )


def test_a_run_waits_while_another_writes(server: str) -> None:
    order: list[str] = []

    def second() -> None:
        with turn(server):
            order.append("second")

    thread = threading.Thread(target=second)
    with turn(server):
        thread.start()
        thread.join(1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
