"""The figures of the class report: horizontal bars, each with one message."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from matplotlib.ticker import MaxNLocator

from course.instructor.class_report.facts import ClassFacts
from course.instructor.class_report.summary import STATES, MistakeSummary, TaskSummary, totals
from course.instructor.task import all_tasks

# In a segment that is narrower than this, in percent, there is no room for its number.
ROOM = 6

# How many known mistakes to draw.
MOST_MISTAKES = 10

# How many that are alike are named in a sentence.
FEW = 2

# Where the bars of the seconds begin.
SECONDS = (0, 1, 2, 5, 10, 20, 60, 120, 300)

# What tells states apart where colours do not.
MARKS = {"full": "✓", "part": "½", "none": "✗", "unstarted": "□", "missing": "○"}


@dataclass(frozen=True)
class Segment:
    """A part of a bar.

    Args:
        kind: a state of STATES, or "plain": the look.
        start: where it begins, in percent of the axis.
        width: in percent of the axis.
        text: what to write into it, if there is room.
    """

    kind: str
    start: float
    width: float
    text: str = ""


@dataclass(frozen=True)
class Bar:
    """A row of a chart: what it is of, its segments, and its number."""

    label: str
    segments: tuple[Segment, ...]
    number: str


@dataclass(frozen=True)
class Chart:
    """A figure.

    Args:
        message: what it shows, in a sentence.
        bars: from top to bottom.
        ticks: where the axis has numbers, in percent, and these numbers.
        axis: what the axis counts.
        rows: what the bars are of.
        states: whether segments are states, which need a legend.
    """

    message: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    axis: str
    rows: str
    states: bool = False

    @property
    def alternative(self) -> str:
        """The figure in words."""
        bars = "; ".join(f"{bar.label}: {bar.number}" for bar in self.bars)
        return f"{self.message} {self.rows}, and {self.axis}: {bars}."


def totals_chart(facts: ClassFacts) -> Chart:
    """How many students have which share of all points."""
    total = list(totals(facts).values())
    points = sum(sum(tasks.values()) for tasks in facts.points.values())
    shares = [min(100 * each / points, 100) for each in total] if points else []
    counts, _ = np.histogram(shares, bins=range(0, 101, 10))
    labels = [f"{low} to {low + 10} %" for low in range(0, 100, 10)]
    return _plain_chart(
        f"Half of the class has {median(total):.4g} of {points:g} points or more.",
        list(zip(labels, map(int, counts), strict=True))[::-1],
        axis="number of students",
        rows="Share of all points",
    )


def tasks_chart(tasks: Sequence[TaskSummary]) -> Chart:
    """How many students have full marks, some points and so on in each task."""
    students = sum(tasks[0].students.values())
    end, ticks = _axis(students)
    bars = []
    for task in tasks:
        segments, start = [], 0.0
        for state, count in task.students.items():
            width = 100 * count / end
            text = f"{MARKS[state]} {count}" if width >= ROOM else ""
            segments.append(Segment(state, start, width, text))
            start += width
        said = ", ".join(f"{STATES[state]} {count}" for state, count in task.students.items())
        label = f"{task.notebook.label}: {all_tasks()[task.task].title}"
        bars.append(Bar(label, tuple(segments), said))
    message = _lacking(tasks, students)
    return Chart(message, tuple(bars), ticks, "number of students", "Tasks", states=True)


def mistakes_chart(mistakes: Sequence[MistakeSummary], students: int) -> Chart:
    """How many students made each of the known mistakes that most made."""
    return _plain_chart(
        _made_most(mistakes, students),
        [
            (f"{mistake.notebook.label}: {mistake.name.replace('`', '')}", mistake.count)
            for mistake in mistakes[:MOST_MISTAKES]
        ],
        axis="number of students",
        rows="Known mistakes",
    )


def seconds_chart(seconds: Sequence[float]) -> Chart:
    """How many notebooks took how long to grade."""
    edges = [*SECONDS, np.inf]
    counts, _ = np.histogram(seconds, bins=edges)
    labels = [f"{low} to {high} s" for low, high in pairwise(SECONDS)]
    labels.append(f"over {SECONDS[-1]} s")
    used = int(np.flatnonzero(counts)[-1]) + 1
    return _plain_chart(
        f"Half of the notebooks took {median(seconds):.2g} s or less to grade; the slowest took"
        f" {max(seconds):.1f} s.",
        list(zip(labels, map(int, counts), strict=True))[:used],
        axis="number of notebooks",
        rows="Seconds",
    )


def _lacking(tasks: Sequence[TaskSummary], students: int) -> str:
    """In which tasks most students lack points, as a sentence."""
    most = max(task.lacking for task in tasks)
    worst = [f"“{all_tasks()[task.task].title}”" for task in tasks if task.lacking == most]
    if most == 0:
        return "Nobody who handed in a task lacks points in it."
    where = " and ".join(worst) if len(worst) <= FEW else f"{len(worst)} tasks"
    return f"Most students lack points in {where}: {most} of {students}."


def _made_most(mistakes: Sequence[MistakeSummary], students: int) -> str:
    """Which known mistakes most students made, as a sentence."""
    most = [mistake for mistake in mistakes if mistake.count == mistakes[0].count]
    by = f"by {most[0].count} of {students} students"
    if most[0].count == 1:
        return "No two students made the same known mistake."
    if len(most) > FEW:
        return f"Made most: {len(most)} known mistakes, each {by}."
    names = " and ".join(f"“{mistake.name.replace('`', '')}”" for mistake in most)
    return f"Made most: {names}, {by}{' each' if len(most) > 1 else ''}."


def _plain_chart(message: str, numbers: list[tuple[str, int]], *, axis: str, rows: str) -> Chart:
    end, ticks = _axis(max(count for _, count in numbers))
    bars = (
        Bar(label, (Segment("plain", 0.0, 100 * count / end),), str(count))
        for label, count in numbers
    )
    return Chart(message, tuple(bars), ticks, axis, rows)


def _axis(most: int) -> tuple[float, tuple[tuple[float, str], ...]]:
    """Where an axis from 0 ends, and its ticks."""
    ticks = MaxNLocator(nbins=6, integer=True).tick_values(0, max(most, 1))
    end = float(ticks[-1])
    return end, tuple((100 * float(tick) / end, f"{tick:g}") for tick in ticks)
