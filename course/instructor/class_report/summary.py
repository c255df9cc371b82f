"""What the facts of a class come to: by task, by known mistake, and by student."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from course.instructor.class_report.facts import ClassFacts, TaskResult, Work
from course.student.catalogue import Notebook

# What a student may have in a task, in words.
STATES = {
    "full": "full marks",
    "part": "some points",
    "none": "no points",
    "unstarted": "not started",
    "missing": "not handed in",
}

# A student is behind with less than this share of what half of the class has.
BEHIND = 0.5


@dataclass(frozen=True)
class TaskSummary:
    """How the class did in one task.

    Args:
        notebook: the notebook it is in.
        task: its id.
        points: what it is worth.
        mean: of the scores of those who handed it in; None if nobody did.
        students: how many students are in each state of STATES.
    """

    notebook: Notebook
    task: str
    points: float
    mean: float | None
    students: Mapping[str, int]

    @property
    def lacking(self) -> int:
        """How many handed it in and lack points."""
        return sum(self.students[state] for state in ("part", "none", "unstarted"))


@dataclass(frozen=True)
class MistakeSummary:
    """Who made a known mistake.

    Args:
        name: of the mistake.
        notebook: the notebook of its task.
        task: the id of its task.
        whole: the works in which it explains all that is wrong with the task.
        partly: the works in which it explains what was seen first, and something else is wrong too.
    """

    name: str
    notebook: Notebook
    task: str
    whole: tuple[Work, ...]
    partly: tuple[Work, ...]

    @property
    def count(self) -> int:
        """How many students."""
        return len(self.whole) + len(self.partly)


@dataclass(frozen=True)
class TaskOfStudent:
    """One student's result in one task."""

    notebook: Notebook
    work: Work
    task: str
    result: TaskResult


@dataclass(frozen=True)
class StudentSummary:
    """Where one student stands.

    Args:
        student: the student's name.
        total: points of all notebooks.
        handed_in: how many notebooks are graded.
        tasks: in how many tasks the student is in each state of STATES.
        stuck: the tasks that were handed in and have no points.
        behind: whether the total is far below that of the others.
    """

    student: str
    total: float
    handed_in: int
    tasks: Mapping[str, int]
    stuck: tuple[TaskOfStudent, ...]
    behind: bool


def results(facts: ClassFacts) -> Iterator[TaskOfStudent]:
    """All results of the class, in the order of the course."""
    for notebook in facts.notebooks:
        for student in facts.students:
            if work := facts.works.get((student, notebook.name)):
                for task, result in work.tasks.items():
                    yield TaskOfStudent(notebook, work, task, result)


def by_task(facts: ClassFacts) -> list[TaskSummary]:
    """How the class did in each task, in the order of the course."""
    found = list(results(facts))
    return [
        _task(facts, notebook, task, points, [each.result for each in found if each.task == task])
        for notebook in facts.notebooks
        for task, points in facts.points[notebook.name].items()
    ]


def by_mistake(facts: ClassFacts) -> list[MistakeSummary]:
    """Who made which known mistakes; those that most students made come first."""
    whole: dict[tuple[str, str], list[Work]] = {}
    partly: dict[tuple[str, str], list[Work]] = {}
    notebooks: dict[str, Notebook] = {}
    for each in results(facts):
        notebooks[each.task] = each.notebook
        if finding := each.result.finding:
            for name in finding.mistakes:
                whole.setdefault((each.task, name), []).append(each.work)
            for name in finding.clues:
                partly.setdefault((each.task, name), []).append(each.work)
    found = [
        MistakeSummary(
            name,
            notebooks[task],
            task,
            whole=tuple(whole.get((task, name), ())),
            partly=tuple(partly.get((task, name), ())),
        )
        for task, name in {**whole, **partly}
    ]
    return sorted(found, key=lambda mistake: (mistake.count, len(mistake.whole)), reverse=True)


def unexplained(facts: ClassFacts) -> list[TaskOfStudent]:
    """The results with something wrong that no known mistake explains whole."""
    return [
        each
        for each in results(facts)
        if (finding := each.result.finding) and finding.failure and not finding.mistakes
    ]


def by_student(facts: ClassFacts) -> list[StudentSummary]:
    """Where each student stands."""
    total = totals(facts)
    enough = BEHIND * median(total.values()) if total else 0.0
    found: dict[str, list[TaskOfStudent]] = {student: [] for student in facts.students}
    for each in results(facts):
        found[each.work.student].append(each)
    all_tasks = sum(len(tasks) for tasks in facts.points.values())
    return [
        StudentSummary(
            student=student,
            total=total[student],
            handed_in=sum((student, notebook) in facts.works for notebook in facts.points),
            tasks=_counted([each.result for each in mine], all_tasks),
            stuck=tuple(each for each in mine if each.result.state in ("none", "unstarted")),
            behind=total[student] < enough,
        )
        for student, mine in found.items()
    ]


def totals(facts: ClassFacts) -> dict[str, float]:
    """The points that each student has in all notebooks; 0 where nothing was handed in."""
    found = dict.fromkeys(facts.students, 0.0)
    for (student, notebook), work in facts.works.items():
        if notebook in facts.points:
            found[student] += work.score
    return found


def _task(
    facts: ClassFacts, notebook: Notebook, task: str, points: float, found: list[TaskResult]
) -> TaskSummary:
    scores = [result.score for result in found]
    mean = sum(scores) / len(scores) if scores else None
    return TaskSummary(notebook, task, points, mean, _counted(found, len(facts.students)))


def _counted(found: list[TaskResult], of: int) -> dict[str, int]:
    """How many results are in each state, of so many that there could be."""
    counts = Counter(result.state for result in found)
    counts["missing"] = of - len(found)
    return {state: counts[state] for state in STATES}
