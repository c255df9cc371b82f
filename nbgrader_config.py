"""nbgrader's settings for this course: used by its commands, the formgrader and `make grade`."""

from pathlib import Path

c = get_config()  # noqa: F821 (given by traitlets)

c.CourseDirectory.course_id = "layer_normalization"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)

# What a student finds in the place of a solution. The check reads it as "not started".
c.ClearSolutions.code_stub = {"python": "# Your code here\nraise NotImplementedError"}

# Seconds for one cell. The slowest cell of the reference takes a few.
c.ExecutePreprocessor.timeout = 120
# Kernels warn on the terminal of being reachable on this machine's own ports, once a notebook.
c.ExecutePreprocessor.extra_arguments = ["--IPKernelApp.log_level=ERROR"]

# The check cells are judged outside the kernel, on keys drawn afresh for each student.
c.ExecuteAndJudge.secret_file = str(Path(c.CourseDirectory.root) / ".class_secret")
c.Autograde.autograde_preprocessors = [
    "course.instructor.grading.execute.ExecuteAndJudge",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Feedback pages open offline and run no script. The formgrader's own page keeps its exporter.
c.GenerateFeedback.exporter_class = "course.instructor.grading.feedback.FeedbackExporter"
