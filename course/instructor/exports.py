"""Files of grades that Canvas and Moodle import, as export plugins of nbgrader.

    nbgrader export --exporter=course.instructor.exports.CanvasExportPlugin --to canvas.csv

Canvas wants the columns Student, ID, SIS User ID, SIS Login ID and Section, one for each
assignment, and the points possible in a row of their own. That is told in
https://teaching.resources.osu.edu/toolsets/carmencanvas/guides/calculating-final-grades/import-csv-file-carmen-grades
and to the letter in lib/gradebook_importer.rb of https://github.com/instructure/canvas-lms.
Moodle wants one column that says whose row it is, and one for each grade item:
https://docs.moodle.org/en/Grade_import, and grade/import/csv/classes/load_data.php of
https://github.com/moodle/moodle. Both read UTF-8 and commas.

What both get, and why:

- A grade is nbgrader's score, manual scores and late penalties included, as in its own CSV.
- Who has handed in nothing has no grade, which is not the grade 0: whether that is a 0 is decided
  in Canvas or Moodle. An exercise that nobody has handed in has no column.
- There are no totals. Both add up for themselves, and would take a total for one more exercise.
- An exercise has the name of its folder, so that a second import finds the column of the first.
- A student is found by the id in nbgrader's gradebook, which is the name of a folder in
  submitted/: let that be the student's login there.
- A cell that begins like a formula can do harm in a spreadsheet
  (https://owasp.org/www-community/attacks/CSV_Injection). A name gets an apostrophe before it. An
  id may not be changed, for it would be nobody's: such a student is left out, and this is told.
"""

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Assignment, Gradebook, Student
from nbgrader.plugins import ExportPlugin

from course.instructor.grading.gradebook import score_of
from course.student.catalogue import catalogue

FORMULA = ("=", "+", "-", "@")

# The first cell of the row of points. Canvas takes any row for it whose first cell has the words.
POINTS_POSSIBLE = "Points Possible"

# No grade, where Moodle makes a new grade item: an empty cell would be taken for a grade there.
MOODLE_NO_GRADE = "-"


def may_be_exported(student_id: str) -> bool:
    """Whether an id of the gradebook can stand in a file that a spreadsheet may open.

    One with a semicolon could bring a formula where lists are separated by semicolons.
    """
    return student_id.isprintable() and ";" not in student_id and not _is_formula(student_id)


@dataclass(frozen=True)
class Grades:
    """What is to be exported.

    Args:
        students: who can be exported, by id.
        left_out: the ids of those who cannot.
        points: what each exercise that somebody has handed in is worth, by name.
        scores: by student and exercise; only of what was handed in.
    """

    students: list[Student]
    left_out: list[str]
    points: dict[str, float]
    scores: dict[tuple[str, str], float]


def grades(
    gradebook: Gradebook, students: Iterable[str] = (), assignments: Iterable[str] = ()
) -> Grades:
    """Read grades from the gradebook.

    Args:
        gradebook: nbgrader's gradebook.
        students: only these; all, if there are none.
        assignments: only these; all, if there are none.
    """
    only = set(map(str, students))
    chosen = [one for one in gradebook.students if not only or one.id in only]
    points, scores = {}, {}
    for assignment in _in_course_order(gradebook.assignments, set(map(str, assignments))):
        handed_in = {
            (submission.student_id, assignment.name): score_of(submission)
            for submission in gradebook.assignment_submissions(assignment.name)
        }
        if handed_in:
            points[assignment.name] = assignment.max_score
            scores.update(handed_in)
    return Grades(
        sorted((one for one in chosen if may_be_exported(one.id)), key=lambda one: one.id),
        sorted(one.id for one in chosen if not may_be_exported(one.id)),
        points,
        scores,
    )


class LmsExportPlugin(ExportPlugin):
    """What the two have in common."""

    def export(self, gradebook: Gradebook) -> None:
        """Write the file that `to` names, or the one of the usual name."""
        found = grades(gradebook, self.student, self.assignment)
        for student in found.left_out:
            self.log.warning("Left out, for a spreadsheet could run such a name: %r", student)
        path = Path(self.to or self.usual_name())
        self.log.info("Exporting grades to %s", path)
        with path.open("w", encoding="utf-8", newline="") as file:
            # In quotes, so that no semicolon in a name takes it apart.
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows(self.rows(found))

    def usual_name(self) -> str:
        """The file to write, if none is named."""
        raise NotImplementedError

    def rows(self, found: Grades) -> list[list[str]]:
        """The rows of the file, with the header."""
        raise NotImplementedError


class CanvasExportPlugin(LmsExportPlugin):
    """For Canvas: Grades, Import.

    Canvas looks for a student by ID (its own, a number: nbgrader's `lms_user_id`), then by login,
    and then by name. So a name that two students share is not written. It takes an assignment for
    the one of the same name, and asks where there is none.
    """

    def usual_name(self) -> str:
        """The file to write, if none is named."""
        return "grades-canvas.csv"

    def rows(self, found: Grades) -> list[list[str]]:
        """The rows of the file, with the header and the points possible."""
        names = _canvas_names(found.students)
        return [
            ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *found.points],
            [f"    {POINTS_POSSIBLE}", "", "", "", "", *map(_number, found.points.values())],
            *(
                [
                    name,
                    student.lms_user_id if (student.lms_user_id or "").isdecimal() else "",
                    "",
                    student.id,
                    "",
                    *_scores(found, student, no_grade=""),
                ]
                for student, name in zip(found.students, names, strict=True)
            ),
        ]


class MoodleExportPlugin(LmsExportPlugin):
    """For Moodle: Grades, Import, CSV file.

    There one chooses which column says whose row it is. Moodle takes a row in which that one is
    empty for the student of the row above. So there are columns for email addresses and LMS ids
    only if every student has one.
    """

    def usual_name(self) -> str:
        """The file to write, if none is named."""
        return "grades-moodle.csv"

    def rows(self, found: Grades) -> list[list[str]]:
        """The rows of the file, with the header."""
        who = {
            "username": [student.id for student in found.students],
            "email": [student.email or "" for student in found.students],
            "lms_user_id": [student.lms_user_id or "" for student in found.students],
        }
        who = {
            header: cells
            for header, cells in who.items()
            if all(cell.strip() and may_be_exported(cell) for cell in cells)
        }
        return [
            [*who, *found.points],
            *(
                [*cells, *_scores(found, student, no_grade=MOODLE_NO_GRADE)]
                for student, *cells in zip(found.students, *who.values(), strict=True)
            ),
        ]


def write_exports(gradebook: Gradebook, folder: Path) -> list[Path]:
    """Write a file for each, of the usual name; return the files."""
    plugins = (CanvasExportPlugin(), MoodleExportPlugin())
    paths = [folder / plugin.usual_name() for plugin in plugins]
    for plugin, path in zip(plugins, paths, strict=True):
        plugin.to = str(path)
        plugin.export(gradebook)
    return paths


def told(found: Grades, written: Iterable[Path]) -> str:
    """What to know of the files, and to do with them."""
    lines = [
        f"Written: grades.csv, {', '.join(path.name for path in written)}:"
        f" {len(found.students)} students, {len(found.points)} exercises.",
        "Canvas: Grades, Import. It shows what would change, and asks where it does not know a"
        " student or an exercise. Who has handed in nothing here has no grade there afterwards.",
        "Moodle: Grades, Import, CSV file; identify users by `username`. Before the first import"
        " make a grade item for each exercise, for one that the import makes is out of 100:",
        *(f"  {name}: {_number(points)}" for name, points in found.points.items()),
    ]
    if found.left_out:
        lines.append(
            "Left out of both, for a spreadsheet could run such a name; enter their grades by hand:"
        )
        lines += [f"  {student!r}" for student in found.left_out]
    return "\n".join(lines)


def _in_course_order(assignments: Iterable[Assignment], only: set[str]) -> list[Assignment]:
    order = {notebook.name: number for number, notebook in enumerate(catalogue())}
    chosen = [one for one in assignments if not only or one.name in only]
    return sorted(chosen, key=lambda one: (order.get(one.name, len(order)), one.name))


def _canvas_names(students: Iterable[Student]) -> list[str]:
    """How Canvas sorts students, "Last, First"; the id of one without a name of their own."""
    names = {student.id: _name(student) for student in students}
    times = Counter(names.values())
    own = [name if name and times[name] == 1 else id for id, name in names.items()]
    return [name.replace(POINTS_POSSIBLE, POINTS_POSSIBLE.lower()) for name in own]


def _name(student: Student) -> str:
    parts = (_printable(part or "") for part in (student.last_name, student.first_name))
    name = ", ".join(filter(None, parts))
    return f"'{name}" if _is_formula(name) else name


def _scores(found: Grades, student: Student, *, no_grade: str) -> list[str]:
    scores = (found.scores.get((student.id, name)) for name in found.points)
    return [no_grade if score is None else _number(score) for score in scores]


def _number(value: float) -> str:
    """To a hundredth, which is all that Canvas and Moodle show."""
    return f"{round(value, 2):.15g}"


def _printable(text: str) -> str:
    """In one line, with nothing in it that cannot be seen."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _is_formula(text: str) -> bool:
    """Whether a spreadsheet may take it for a formula, also after blanks or in wide letters."""
    return unicodedata.normalize("NFKC", text).strip().startswith(FORMULA)
