"""The page of the class report: one file that opens offline, and runs and loads nothing but itself.

Names and outputs are students' own words. The template escapes them, and the page's policy lets a
browser run and apply only the script and the style whose digests it holds.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from course.instructor.class_report import charts
from course.instructor.class_report.facts import ClassFacts, Work, class_facts
from course.instructor.class_report.summary import (
    BEHIND,
    STATES,
    by_mistake,
    by_student,
    by_task,
    totals,
    unexplained,
)
from course.instructor.grading.job import Submission
from course.instructor.task import all_tasks

NAME = "class_report.html"
TEMPLATES = Path(__file__).with_name("templates")

# How many of the slowest notebooks to list.
SLOWEST = 10


def write_report(
    config: Config, written: datetime, problems: Mapping[Submission, str] | None = None
) -> Path:
    """Write the class report into the course folder that nbgrader's settings name.

    Args:
        config: nbgrader's settings.
        written: when, to be told on the page.
        problems: why submissions were not graded, where that is known.

    Returns:
        Where it is.
    """
    course = CourseDirectory(config=config)
    path = Path(course.root) / NAME
    html = page_of(class_facts(course, problems or {}), written)
    # A folder's name may hold bytes that are no text.
    path.write_text(html, encoding="utf-8", errors="replace")
    return path


def page_of(facts: ClassFacts, written: datetime) -> str:
    """The page, as HTML.

    Args:
        facts: what is known of the class.
        written: when, to be told on the page.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"points": _points, "megabytes": _megabytes}
    style, script = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    return environment.get_template("page.html.j2").render(
        _told(facts),
        written=f"{written:%d %B %Y, %H:%M}",
        style=style,
        script=script,
        policy="; ".join(
            [
                "default-src 'none'",
                f"style-src '{_digest(style)}'",
                f"script-src '{_digest(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        ),
    )


def _told(facts: ClassFacts) -> dict[str, Any]:
    """What the template tells."""
    works = list(facts.works.values())
    tasks, mistakes, students = by_task(facts), by_mistake(facts), by_student(facts)
    timed = [work for work in works if work.record.seconds]
    points = {name: sum(worth.values()) for name, worth in facts.points.items()}
    total = totals(facts)
    figures = {
        "totals": charts.totals_chart(facts) if works else None,
        "tasks": charts.tasks_chart(tasks) if works else None,
        "mistakes": charts.mistakes_chart(mistakes, len(facts.students)) if mistakes else None,
        "seconds": charts.seconds_chart([w.record.seconds for w in timed]) if timed else None,
    }
    return {
        "facts": facts,
        "works": works,
        "figures": figures,
        "states": STATES,
        "marks": charts.MARKS,
        "titles": {task.task: all_tasks()[task.task].title for task in tasks},
        "points": points,
        "most": sum(points.values()),
        "totals": total,
        "median": median(total.values()) if total else 0.0,
        "tasks": tasks,
        "mistakes": mistakes,
        "unexplained": unexplained(facts),
        "students": students,
        "behind": BEHIND,
        "attention": [*_left(facts), *_to_look_at(works)],
        "unnoted": [
            work for work in works if not any(result.finding for result in work.tasks.values())
        ],
        "slowest": sorted(timed, key=lambda work: work.record.seconds, reverse=True)[:SLOWEST],
        "seconds": sum(work.record.seconds for work in timed),
        "memory": max((work.record.memory for work in timed), default=0),
        "costs": [
            (notebook, [work for work in timed if work.notebook == notebook.name])
            for notebook in facts.notebooks
        ],
    }


def _left(facts: ClassFacts) -> list[dict[str, str]]:
    """What is not graded."""
    return [
        {
            "student": submission.student,
            "notebook": submission.assignment,
            "page": "",
            "kind": "not graded",
            "words": words,
        }
        for submission, words in facts.left.items()
    ]


def _to_look_at(works: list[Work]) -> list[dict[str, str]]:
    """What was flagged, waits for a score by hand, or was mended, in this order."""
    found = []
    for work in works:
        record = work.record
        kind = "flagged" if work.flagged else "flag taken away"
        found += [(0, kind, work, flag) for flag in record.flags]
        if work.flagged and not record.flags:
            found.append((0, kind, work, "Flagged in the formgrader."))
        waiting = [task for task, result in work.tasks.items() if result.to_review]
        found += [(1, "by hand", work, f"{task} waits for a score by hand.") for task in waiting]
        found += [(2, "told to the student", work, remark) for remark in record.told]
    return [
        {
            "student": work.student,
            "notebook": work.notebook,
            "page": work.page,
            "kind": kind,
            "words": words,
        }
        for _, kind, work, words in sorted(found, key=lambda each: each[0])
    ]


def _points(score: float) -> str:
    """A score to a hundredth, without zeros that say nothing."""
    return f"{round(score, 2):g}"


def _megabytes(count: float) -> str:
    return f"{count / 2**20:.0f}"


def _digest(text: str) -> str:
    """By what a policy knows a script or a style."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
