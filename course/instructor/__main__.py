"""The instructor's command line: `python -m course.instructor --help`."""

import os
import sys
import warnings

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
    "--trust-submissions",
    is_flag=True,
    help="Run student code without the sandbox, with your rights. Only for code that you know.",
)
def grade(again: bool, trust_submissions: bool) -> None:
    """Grade submitted/ (a demo class, if it is empty) into feedback/ and grades.csv."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress
    from rich.table import Table
    from sqlalchemy.exc import SAWarning

    from course.instructor.build import nbgrader_config
    from course.instructor.demo_class import write_demo_class
    from course.instructor.grading.class_runner import ClassRunner, Submission
    from course.instructor.grading.sandbox import SandboxMissingError
    from course.instructor.grading.warm import warm_process

    # nbgrader 0.9.6 makes SQLAlchemy 2.1 warn about its own, harmless, order of inserting rows.
    warnings.filterwarnings("ignore", category=SAWarning)
    console = Console()
    config = nbgrader_config()
    config.ExecuteAndJudge.trust_submissions = trust_submissions
    if not trust_submissions:
        try:
            warm_process()
        except SandboxMissingError as missing:
            raise click.ClickException(
                f"{missing}\nNothing was graded. `make grade TRUST_SUBMISSIONS=1` grades without a"
                " sandbox: student code then runs with your rights."
            ) from missing
    runner = ClassRunner(config)
    with runner.alone(lambda: console.print("Another run grades here; waiting for its end.")):
        if not runner.submissions():
            students = write_demo_class(runner.root / "submitted")
            console.print(f"submitted/ was empty: wrote a demo class of {len(students)} students.")
        submissions = runner.submissions()
        with Progress(console=console) as progress:
            bar = progress.add_task("Releasing", total=len(submissions))
            runner.prepare()
            progress.update(bar, description="Grading")
            results = runner.grade(submissions, lambda _: progress.advance(bar), again=again)
        runner.export(runner.root / "grades.csv")

    maxima = runner.maxima()
    table = Table("student", title="Scores")
    for name, maximum in maxima.items():
        table.add_column(f"{name.partition('_')[0]}\nof {maximum:g}", justify="right")
    table.add_column(f"total\nof {sum(maxima.values()):g}", justify="right")
    for student, row in runner.scores().items():
        cells = ["-" if score is None else f"{score:g}" for score in row.values()]
        table.add_row(escape(student), *cells, f"{sum(score or 0 for score in row.values()):g}")
    console.print(table)

    def tell(what: str, submission: Submission, sentence: str) -> None:
        console.print(
            escape(f"{what}: {submission.student}, {submission.assignment}: {sentence}"),
            highlight=False,
        )

    for result in results:
        for remark in result.remarks:
            tell("Told to the student", result.submission, remark)
    for result in results:
        for flag in result.flags:
            tell("Look at this", result.submission, flag)
    for submission in runner.unknown():
        tell("Not of this course, so not graded", submission, "no exercise has this name.")
    failures = [result for result in results if result.problem]
    for result in failures:
        tell("Not graded", result.submission, result.problem)
    console.print("Written: grades.csv, autograded/ and, to be returned to students, feedback/.")
    sys.exit(1 if failures else 0)


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
