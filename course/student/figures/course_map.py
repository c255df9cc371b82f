"""The map of the course, and where a student stands on it."""

import textwrap
from collections import Counter
from collections.abc import Mapping
from html import escape

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from course.student.catalogue import Notebook, catalogue
from course.student.picture import BLUE, SKY, Note, Picture, picture
from course.student.progress import Progress, TaskProgress, own_progress

WIDTH, HEIGHT, GAP_X, GAP_Y = 2.3, 0.8, 0.55, 0.3


def course_map() -> Picture | Note:
    """The notebooks as boxes, arrows from what they build on, filled as points are earned."""
    return _map(own_progress().tasks())


@picture
def _map(progress: Mapping[str, TaskProgress]) -> tuple[Figure, str]:
    notebooks = catalogue()
    places = _places(notebooks)
    columns = 1 + max(x for x, _ in places.values())
    rows = max(Counter(x for x, _ in places.values()).values())
    size = (columns * (WIDTH + GAP_X), rows * (HEIGHT + GAP_Y))
    figure = Figure(figsize=(9.5, 9.5 * size[1] / size[0]))
    axes = figure.subplots()
    axes.set(xlim=(-0.1, size[0] - GAP_X + 0.1), ylim=(-0.1, size[1]), aspect="equal")
    axes.axis("off")
    words = []
    for notebook in notebooks:
        x, y = _corner(places[notebook.name], rows, places)
        share = _score(notebook, progress) / notebook.points
        box = FancyBboxPatch(
            (x, y), WIDTH, HEIGHT, "round,pad=0,rounding_size=0.12", facecolor="white"
        )
        fill = Rectangle((x, y), WIDTH * share, HEIGHT, color=SKY, alpha=0.6, linewidth=0)
        axes.add_patch(box)
        axes.add_patch(fill)
        fill.set_clip_path(box)
        axes.add_patch(
            FancyBboxPatch(
                (x, y), WIDTH, HEIGHT, "round,pad=0,rounding_size=0.12", fill=False, edgecolor=BLUE
            )
        )
        axes.text(x + 0.12, y + HEIGHT / 2, notebook.label, weight="bold", size=11, va="center")
        label = f"{_wrapped(notebook.title)}\n{notebook.minutes} min, {notebook.points:g} points"
        axes.text(x + 0.5, y + HEIGHT / 2, label, size=7.5, va="center", linespacing=1.25)
        for name in _nearest(notebook, notebooks):
            start_x, start_y = _corner(places[name], rows, places)
            axes.annotate(
                "",
                xy=(x, y + HEIGHT / 2),
                xytext=(start_x + WIDTH, start_y + HEIGHT / 2),
                arrowprops={"arrowstyle": "-|>", "color": "0.45", "shrinkA": 0, "shrinkB": 0},
                zorder=0,
            )
        needs = [other.label for other in notebooks if other.name in notebook.needs]
        after = f", after {' and '.join(needs)}" if needs else ""
        words.append(
            f"{notebook.label} {notebook.title}{after}:"
            f" {_score(notebook, progress):g} of {notebook.points:g} points."
        )
    return figure, "Map of the course. " + " ".join(words)


class Scores:
    """A table of what a student has checked: `_repr_html_` in a notebook, text elsewhere."""

    def __init__(self, progress: Progress) -> None:
        """Take the student's progress."""
        tasks = progress.tasks()
        self._rows = [row for notebook in catalogue() if (row := _row(notebook, tasks)) is not None]

    def __repr__(self) -> str:
        """The table as text, one line a notebook."""
        if not self._rows:
            return NOTHING_YET
        return "\n".join(
            f"{name}: {points}; last check {when}; {mistakes}"
            for name, points, when, mistakes in self._rows
        )

    def _repr_html_(self) -> str:
        if not self._rows:
            return f"<p>{NOTHING_YET}</p>"
        head = ("notebook", "points", "last check", "known mistakes met")
        cells = [
            "".join(f"<th style='text-align: left'>{name}</th>" for name in head),
            *(
                "".join(f"<td style='text-align: left'>{escape(cell)}</td>" for cell in row)
                for row in self._rows
            ),
        ]
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


NOTHING_YET = "Nothing checked yet. Run the check of a task, then come back."


def own_scores() -> Scores:
    """The table of what the student of this notebook has checked."""
    return Scores(own_progress())


def _row(
    notebook: Notebook, progress: Mapping[str, TaskProgress]
) -> tuple[str, str, str, str] | None:
    """A notebook's line of the table, or None while none of its tasks was checked."""
    checked = [progress[task] for task in notebook.tasks if task in progress]
    if not checked:
        return None
    last = max(task.last_check for task in checked)
    met = [
        f"{name} (overcome)" if name in task.overcome else name
        for task in checked
        for name in task.met
    ]
    return (
        f"{notebook.label} {notebook.title}",
        f"{_score(notebook, progress):g} of {notebook.points:g}",
        f"{last:%Y-%m-%d %H:%M}",
        ", ".join(met) or "none",
    )


def _score(notebook: Notebook, progress: Mapping[str, TaskProgress]) -> float:
    return sum(progress[task].score for task in notebook.tasks if task in progress)


def _places(notebooks: tuple[Notebook, ...]) -> dict[str, tuple[int, int]]:
    """Each notebook's column, one right of all it needs, and its row within the column."""
    places: dict[str, tuple[int, int]] = {}
    for notebook in notebooks:
        column = 1 + max((places[name][0] for name in notebook.needs), default=-1)
        row = sum(other == column for other, _ in places.values())
        places[notebook.name] = (column, row)
    return places


def _corner(
    place: tuple[int, int], rows: int, places: Mapping[str, tuple[int, int]]
) -> tuple[float, float]:
    """The lower left corner of a box; the columns are centred."""
    column, row = place
    in_column = sum(other == column for other, _ in places.values())
    from_top = row + (rows - in_column) / 2
    return column * (WIDTH + GAP_X), (rows - 1 - from_top) * (HEIGHT + GAP_Y)


def _nearest(notebook: Notebook, notebooks: tuple[Notebook, ...]) -> list[str]:
    """What a notebook needs, less what these need already: an arrow for each of the rest."""
    by_name = {other.name: other for other in notebooks}

    def all_needed(name: str) -> set[str]:
        direct = by_name[name].needs
        return set(direct).union(*(all_needed(other) for other in direct))

    implied = set().union(*(all_needed(name) for name in notebook.needs))
    return [name for name in notebook.needs if name not in implied]


def _wrapped(title: str, width: int = 24) -> str:
    return "\n".join(textwrap.wrap(title, width))
