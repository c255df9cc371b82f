"""A student's own progress: what they checked and what they predicted, in one small file.

Each line of the file is one event, so that two notebooks may write at once and a damaged line costs
no other. A student may delete the file; nothing but what they are shown depends on it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from course.student.catalogue import START, catalogue
from course.student.judge import Report

FILE = "progress.jsonl"


@dataclass(frozen=True)
class TaskProgress:
    """Where a student stands with one task.

    Args:
        score: the points of the last check.
        points: what the task is worth.
        last_check: when that was.
        met: the known mistakes that checks have named, in the order in which they were met.
        overcome: those among them that the last check no longer names.
    """

    score: float
    points: float
    last_check: datetime
    met: tuple[str, ...]
    overcome: tuple[str, ...]


class Progress:
    """The progress kept in one file."""

    def __init__(self, path: Path) -> None:
        """Take the file's path; the file need not exist."""
        self.path = path

    def note_check(self, report: Report, when: datetime) -> None:
        """Remember a check of a task that has been started.

        Raises:
            OSError: the file cannot be written.
        """
        if report.started:
            self._append(
                time=when.isoformat(timespec="seconds"),
                task=report.task,
                score=report.score,
                points=report.points,
                mistakes=[mistake.name for mistake in report.diagnosis],
            )

    def note_prediction(self, notebook: str, prediction: str) -> None:
        """Remember what a student predicted in a notebook; the last prediction counts.

        Raises:
            OSError: the file cannot be written.
        """
        self._append(notebook=notebook, prediction=prediction)

    def tasks(self) -> dict[str, TaskProgress]:
        """Where the student stands with each task that was checked, by its id."""
        found: dict[str, TaskProgress] = {}
        for event in self._events("task", "score", "points", "time", "mistakes"):
            before = found.get(event["task"])
            named = tuple(map(str, event["mistakes"]))
            met = tuple(dict.fromkeys((*(before.met if before else ()), *named)))
            found[event["task"]] = TaskProgress(
                score=float(event["score"]),
                points=float(event["points"]),
                last_check=datetime.fromisoformat(event["time"]),
                met=met,
                overcome=tuple(name for name in met if name not in named),
            )
        return found

    def prediction(self, notebook: str) -> str:
        """The student's last prediction in a notebook, or an empty string."""
        events = self._events("notebook", "prediction")
        made = [str(event["prediction"]) for event in events if event["notebook"] == notebook]
        return made[-1] if made else ""

    def _append(self, **event: Any) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")

    def _events(self, *names: str) -> Iterator[dict[str, Any]]:
        """The events that have these entries; a line that cannot be read is passed over."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and all(name in event for name in names):
                yield event


def own_progress() -> Progress:
    """The progress of the student whose notebook this is: beside the folders of the notebooks."""
    here = Path.cwd()
    names = {START, *(notebook.name for notebook in catalogue())}
    return Progress((here.parent if here.name in names else here) / FILE)
