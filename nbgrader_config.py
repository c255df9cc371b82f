"""nbgrader's settings for this course: used by its commands, the formgrader and `make grade`."""

from pathlib import Path

from course.instructor.tools import put_tools_on_path

c = get_config()  # noqa: F821 (given by traitlets)

# nbgrader makes a gradebook with `alembic`, which it looks for as if .venv were activated.
put_tools_on_path()

c.CourseDirectory.course_id = "layer_normalization"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)

# What a student finds in the place of a solution. The check reads it as "not started".
c.ClearSolutions.code_stub = {"python": "# Your code here\nraise NotImplementedError"}

# A submission is made fit for grading: links are taken out, a damaged notebook is mended.
c.Autograde.pre_convert_hook = "course.instructor.grading.receive.tidy"
c.Autograde.exporter_class = "course.instructor.grading.receive.ReceivingExporter"
c.Autograde.sanitize_preprocessors = ["nbgrader.preprocessors.CheckCellMetadata"]

# Cells run in a sandbox. The check cells are judged outside it, on keys drawn for each student.
c.ExecuteAndJudge.secret_file = str(Path(c.CourseDirectory.root) / ".class_secret")
c.Autograde.autograde_preprocessors = [
    "course.instructor.grading.execute.ExecuteAndJudge",
    "nbgrader.preprocessors.IgnorePattern",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "course.instructor.grading.record.SaveRecord",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Feedback pages open offline and run no script. The formgrader's own page keeps its exporter.
c.GenerateFeedback.exporter_class = "course.instructor.grading.feedback.FeedbackExporter"

# One page that cannot be released through nbgrader's exchange does not stop the others.
c.ExchangeFactory.release_feedback = "course.instructor.grading.release_feedback.ReleaseFeedback"
