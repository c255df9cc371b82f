"""The instructor's command line: `python -m course.instructor --help`."""

import os
import sys
import time
import warnings
from datetime import datetime

import click

from course.instructor.tools import put_tools_on_path


@click.group()
def main() -> None:
    """Build, prove and grade the course."""
    put_tools_on_path()


@main.command()
def build() -> None:
    """Build source/, release/, the solutions and the published keys from course/notebooks/."""
    from course.instructor.build import build as run_build

    run_build(click.echo)


@main.command()
@click.argument("only", default="")
def matrix(only: str) -> None:
    """Try every known mistake and right solution on the published and 20 fresh keys.

    ONLY is how the ids of the tasks to try begin, such as ex05.
    """
    from rich.console import Console
    from rich.table import Table

    from course.instructor.matrix import FRESH_SEEDS, kill_matrices
    from course.instructor.task import all_tasks

    tasks = [task for task in all_tasks() if task.startswith(only)]
    if not tasks:
        raise click.UsageError(f"No task begins with {only!r}. There are: {', '.join(all_tasks())}")
    table = Table("task", "kind", "solution", f"as it must on {len(FRESH_SEEDS) + 1} keys")
    surprised = False
    for rows in kill_matrices(tasks):
        for row in rows:
            table.add_row(row.task, row.kind, row.name, "; ".join(row.surprises) or "yes")
            surprised = surprised or bool(row.surprises)
    Console().print(table)
    sys.exit(1 if surprised else 0)


@main.command()
@click.option("--again", is_flag=True, help="Grade also what is graded already.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="How many submissions at a time; as many as this machine has cores, if not given.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Grade on the Dask cluster whose scheduler has this address, such as tcp://10.0.0.7:8786.",
)
@click.option(
    "--trust-submissions",
    is_flag=True,
    help="Run student code without the sandbox, with your rights. Only for code that you know.",
)
def grade(again: bool, workers: int | None, scheduler: str | None, trust_submissions: bool) -> None:
    """Grade submitted/ (a demo class, if it is empty): feedback, grades.csv and a class report."""
    from joblib import cpu_count
    from rich.console import Console
    from sqlalchemy.exc import SAWarning

    from course.instructor.build import nbgrader_config
    from course.instructor.class_report.page import write_report
    from course.instructor.demo_class import write_demo_class
    from course.instructor.grading import told
    from course.instructor.grading.class_runner import ClassRunner
    from course.instructor.grading.sandbox import SandboxMissingError
    from course.instructor.grading.workers import Cluster, ClusterError, Processes, Workers

    if workers and scheduler:
        raise click.UsageError("A cluster has its own workers: give --workers or --scheduler.")
    # nbgrader 0.9.6 makes SQLAlchemy 2.1 warn about its own, harmless, order of inserting rows.
    warnings.filterwarnings("ignore", category=SAWarning)
    console = Console()
    config = nbgrader_config()
    config.ExecuteAndJudge.trust_submissions = trust_submissions
    try:
        crew: Workers = (
            Cluster(scheduler)
            if scheduler
            else Processes(workers or cpu_count(), trusted=trust_submissions)
        )
        runner = ClassRunner(config)
        with runner.alone(lambda: console.print("Another run grades here; waiting for its end.")):
            if not runner.submissions():
                students = write_demo_class(runner.root / "submitted")
                console.print(
                    f"submitted/ was empty: wrote a demo class of {len(students)} students."
                )
            runner.prepare()
            submissions, began = runner.submissions(), time.monotonic()
            with told.progress(console, len(submissions)) as tell:
                results = runner.grade(submissions, crew, tell, again=again)
            runner.export(runner.root / "grades.csv")
            problems = {each.submission: each.problem for each in results if each.problem}
            page = write_report(config, datetime.now(), problems)
    except SandboxMissingError as missing:
        raise click.ClickException(
            f"{missing}\nNothing was graded. `make grade TRUST_SUBMISSIONS=1` grades without a"
            " sandbox: student code then runs with your rights."
        ) from missing
    except ClusterError as error:
        raise click.ClickException(str(error)) from error
    told.scores(console, runner)
    told.results(console, results, time.monotonic() - began)
    told.unknown(console, runner.unknown())
    console.print("Written: grades.csv, autograded/ and, to be returned to students, feedback/.")
    console.print("`make export` writes the grades for Canvas and for Moodle.")
    console.print(f"To read first: {page.name}, open it in a browser.")
    sys.exit(1 if any(result.problem for result in results) else 0)


@main.command()
def export() -> None:
    """Write the grades as files that Canvas and Moodle import, beside grades.csv."""
    from nbgrader.api import Gradebook
    from nbgrader.coursedir import CourseDirectory

    from course.instructor import exports
    from course.instructor.build import nbgrader_config
    from course.instructor.grading.class_runner import ClassRunner

    config = nbgrader_config()
    runner, course = ClassRunner(config), CourseDirectory(config=config)
    with Gradebook(course.db_url, course.course_id) as gradebook:
        grades = exports.grades(gradebook)
        if not grades.points:
            raise click.ClickException("There are no grades to export: run `make grade` first.")
        written = exports.write_exports(gradebook, runner.root)
    runner.export(runner.root / "grades.csv")
    click.echo(exports.told(grades, written))


@main.command("new-mistake")
@click.argument("task")
@click.argument("submission")
def new_mistake(task: str, submission: str) -> None:
    """Write the skeleton of a known mistake that was found in a real submission.

    TASK is the task's id, such as ex01_layer_norm. SUBMISSION is the path of the student's
    notebook, or the name of the student's folder in submitted/.
    """
    from course.instructor import new_mistake as found
    from course.instructor.build import ROOT

    try:
        name = found.notebook_of(task).name
        notebook = found.read_submission(submission, name, ROOT / "submitted")
        judged = found.judged(notebook, task)
        # Only the code goes to the standard output.
        for words in ("Grading says of it now:", "", judged.card, *judged.remarks, ""):
            click.echo(words, err=True)
        made = found.skeleton_of(judged, task)
        alike = found.fares_alike(made, judged, task)
    except found.NoSkeletonError as none:
        raise click.ClickException(str(none)) from none
    click.echo(f"Paste this into {made.path}, after line {made.line}:\n", err=True)
    click.echo(made.code)
    for note in made.notes:
        click.echo(f"- {note}", err=True)
    if not alike:
        click.echo(
            "- By itself it does not fare as in the student's notebook: it needs something from"
            " another cell, or another task of the notebook is wrong.",
            err=True,
        )
    click.echo(
        f"""\
- Answer the three questions, to the student. Give it a name, and cut what is not the mistake.
- .venv/bin/ruff format course; make lint
- make matrix ONLY={task}: is it rejected, and named, on 21 keys?
- Run this command again: does the course know the mistake now?
- make build: brings it into the published key, and so to students.""",
        err=True,
    )


@main.command()
def report() -> None:
    """Write class_report.html: scores, known mistakes, who is stuck where, what to look at."""
    from course.instructor.build import nbgrader_config
    from course.instructor.class_report.page import write_report

    click.echo(f"Written: {write_report(nbgrader_config(), datetime.now())}. Open it in a browser.")


@main.command()
def kit() -> None:
    """Write the student kit: one zip with all that a student needs, to be handed out."""
    from course.instructor.student_kit import KIT, KitError, write_kit

    try:
        size = write_kit()
    except KitError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Written: {KIT} ({size / 1e6:.1f} MB). Hand it out; START_HERE.html is inside.")


@main.command("sandbox-check")
def sandbox_check() -> None:
    """Try on this machine what the sandbox for student code promises."""
    from rich.console import Console
    from rich.table import Table

    from course.instructor.grading.sandbox import SandboxMissingError
    from course.instructor.grading.sandbox_check import checks

    try:
        found = checks()
    except SandboxMissingError as missing:
        raise click.ClickException(str(missing)) from missing
    table = Table("the sandbox", "holds", "found")
    for promise in found:
        table.add_row(promise.words, "yes" if promise.holds else "NO", promise.found)
    Console().print(table)
    sys.exit(0 if all(promise.holds for promise in found) else 1)


@main.command()
def lab() -> None:
    """Open JupyterLab on work/, a copy of the student notebooks; your own files are kept."""
    import shutil
    import subprocess

    from course.instructor.build import RELEASE, ROOT

    work = ROOT / "work"
    for notebook in RELEASE.rglob("*.ipynb"):
        copy = work / notebook.relative_to(RELEASE)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(notebook, copy)
    command = [sys.executable, "-m", "jupyterlab", str(work)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container one is often root
    sys.exit(subprocess.call(command))


if __name__ == "__main__":
    main()
