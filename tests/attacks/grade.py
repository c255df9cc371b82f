"""How a course folder is graded: here alone are nbgrader and this course's grading called."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nbgrader.apps.api import NbGraderAPI
from traitlets.config import Config

from course.instructor import build

if TYPE_CHECKING:
    from course.instructor.grading.workers import Workers

# The environment's variable that says who executes.
WORKERS = "GRADING_WORKERS"

# Seconds for one cell, and for a notebook.
CELL_SECONDS, NOTEBOOK_SECONDS = 5, 20


def settings(side: str, root: Path) -> Config:
    """The settings of nbgrader, stock or this course's, for a course folder."""
    config = build.nbgrader_config() if side == "ours" else Config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.db_url = f"sqlite:///{root / 'gradebook.db'}"
    config.ExecutePreprocessor.timeout = CELL_SECONDS
    config.Execute.timeout = CELL_SECONDS
    config.ExecuteAndJudge.cell_timeout = CELL_SECONDS
    config.ExecuteAndJudge.notebook_timeout = NOTEBOOK_SECONDS
    config.ExecuteAndJudge.secret_file = str(root / ".class_secret")
    return config


def grade_with_this_course(config: Config) -> None:
    """Grade all that is submitted, and write the feedback."""
    from course.instructor.grading.class_runner import ClassRunner

    runner = ClassRunner(config)
    runner.prepare()
    runner.grade(runner.submissions(), crew(os.environ.get(WORKERS, "processes")), print)


def crew(kind: str) -> "Workers":
    """Who executes: this process, two processes, or a cluster of two on this machine."""
    from course.instructor.grading.workers import Cluster, Processes, ThisProcess

    if kind == "cluster":
        from distributed import LocalCluster

        machine = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        return Cluster(machine.scheduler_address)
    return Processes(2) if kind == "processes" else ThisProcess()


def grade_with_stock(config: Config) -> None:
    """Grade all that is submitted as `nbgrader autograde` does, and write the feedback."""
    api = NbGraderAPI(config=config)
    for exercise in sorted(
        path.name for path in Path(config.CourseDirectory.root, "source").iterdir()
    ):
        for result in (
            api.generate_assignment(exercise),
            api.autograde(exercise, "*"),
            api.generate_feedback(exercise),
        ):
            print(result.get("log", ""), result.get("error", ""))


if __name__ == "__main__":
    grade = {"ours": grade_with_this_course, "stock": grade_with_stock}
    grade[sys.argv[1]](settings(sys.argv[1], Path(sys.argv[2])))
