"""A class whose gradebook, records and feedback pages are written by hand, not by grading."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import nbformat
from nbformat import v4
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from course.instructor.class_report.facts import ClassFacts, class_facts
from course.instructor.class_report.page import write_report
from course.instructor.grading.job import Submission
from course.instructor.grading.record import Record, keep_record
from course.student.catalogue import catalogue

WRITTEN = datetime(2030, 1, 31, 12, 0)


class SmallClass:
    """A course folder with the first three exercises in its gradebook."""

    def __init__(self, root: Path) -> None:
        """Make an empty class in an empty folder."""
        self.root = root
        self.config = Config()
        self.config.CourseDirectory.root = str(root)
        self.course = CourseDirectory(config=self.config)

    def enter(self) -> None:
        """Enter the exercises into the gradebook, as the first grading does."""
        with self._gradebook() as gradebook:
            for notebook in catalogue()[:3]:
                gradebook.add_assignment(notebook.name)
                gradebook.add_notebook(notebook.name, notebook.name)
                for task, points in notebook.tasks.items():
                    about = {"max_score": points, "cell_type": "code"}
                    gradebook.add_grade_cell(task, notebook.name, notebook.name, **about)

    def add_student(self, student: str) -> None:
        """Enter a student who hands in nothing."""
        with self._gradebook() as gradebook:
            gradebook.add_student(student)

    def grade(
        self, student: str, notebook: str, scores: Mapping[str, float], record: Record | None = None
    ) -> None:
        """Enter the scores of a notebook, and write its record and feedback where they belong."""
        with self._gradebook() as gradebook:
            gradebook.update_or_create_student(student)
            gradebook.add_submission(notebook, student)
            for task, score in scores.items():
                grade = gradebook.find_grade(task, notebook, notebook, student)
                grade.auto_score, grade.needs_manual_grade = score, False
            gradebook.db.commit()
        if "/" in student:
            return  # the gradebook may hold a name that no folder has
        nb = v4.new_notebook()
        keep_record(nb, record or Record(done=True))
        for step, text in (("autograded", nbformat.writes(nb)), ("feedback", "<p>feedback</p>")):
            suffix = "html" if step == "feedback" else "ipynb"
            path = self.root / step / student / notebook / f"{notebook}.{suffix}"
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")

    def score_by_hand(self, student: str, notebook: str, task: str, score: float) -> None:
        """Give a score as an instructor does in the formgrader."""
        with self._gradebook() as gradebook:
            gradebook.find_grade(task, notebook, notebook, student).manual_score = score
            gradebook.db.commit()

    def change(self, student: str, notebook: str, **values: object) -> None:
        """Change what the gradebook says of a notebook, such as `flagged`."""
        with self._gradebook() as gradebook:
            found = gradebook.find_submission_notebook(notebook, notebook, student)
            for name, value in values.items():
                setattr(found, name, value)
            gradebook.db.commit()

    def hand_in(self, student: str | bytes, folder: str) -> None:
        """Put an empty folder into submitted/."""
        name = student if isinstance(student, str) else student.decode("utf-8", "surrogateescape")
        (self.root / "submitted" / name / folder).mkdir(parents=True)

    def facts(self, problems: Mapping[Submission, str] | None = None) -> ClassFacts:
        """What the class report finds."""
        return class_facts(self.course, problems or {})

    def report(self) -> Path:
        """Write the class report; return its path."""
        return write_report(self.config, WRITTEN)

    def _gradebook(self) -> Gradebook:
        return Gradebook(self.course.db_url, self.course.course_id)
