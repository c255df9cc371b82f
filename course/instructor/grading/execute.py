"""nbgrader's execution step, with the verdict on each check cell reached outside the kernel.

The kernel runs the student's cells. In the place of a check cell it is only asked for answers to
freshly drawn inputs; the judge compares them here with a key that the kernel never sees, and its
report card and score are written as the cell's output, where nbgrader looks for the grade.
"""

import json
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, v4
from nbgrader import utils
from nbgrader.preprocessors import Execute
from traitlets import Unicode

from course.instructor.grading.secret import class_secret, fresh_seed
from course.instructor.task import all_tasks
from course.instructor.text_notebook import check_call, only_shows
from course.student.answer_key import AnswerKey
from course.student.answers import MIME
from course.student.judge import judge
from course.student.outcome import Outcome, Problem, outcome_from_data
from course.student.plain import encode_all
from course.student.report_card import ReportCard


class ExecuteAndJudge(Execute):
    """Run a submission's cells, and judge its check cells on fresh keys."""

    secret_file = Unicode(
        ".class_secret", help="Where the class's secret is kept; made at first use."
    ).tag(config=True)

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Run a cell; where it is a check, judge it instead; where it only shows, skip it."""
        if only_shows(cell):
            return cell, resources
        if not utils.is_grade(cell):
            return super().preprocess_cell(cell, resources, index)
        task, expression = check_call(cell)
        seed = fresh_seed(
            class_secret(Path(self.secret_file)), resources["nbgrader"]["student"], task
        )
        key = all_tasks()[task].key(seed, with_mistakes=False)
        outcomes = self._outcomes(key, expression, index)
        report = judge(key, outcomes)
        if report.first_failure and report.started:
            report = judge(all_tasks()[task].key(seed), outcomes)
        card = ReportCard(report, graded=True)
        cell.execution_count = None
        cell.outputs = [
            v4.new_output(
                "display_data", {"text/html": card._repr_html_(), "text/plain": str(card)}
            ),
            v4.new_output("execute_result", {"text/plain": repr(card.report.score)}),
        ]
        return cell, resources

    def _outcomes(self, key: AnswerKey, expression: str, index: int) -> list[Outcome]:
        """Ask the kernel for the outcomes of a key's cases on what the check cell checks."""
        inputs = json.dumps([encode_all(case.inputs) for case in key.cases])
        question = v4.new_code_cell(
            "from course.student.answers import show_answers\n"
            f"show_answers({key.task!r}, {inputs!r}, {expression})"
        )
        cell = self.nb.cells[index]
        self.execute_cell(question, index, store_history=False)
        self.nb.cells[index] = cell  # nbclient has put the question there
        return _read_answers(question.outputs, len(key.cases))


def _read_answers(outputs: list[NotebookNode], count: int) -> list[Outcome]:
    """The outcomes among the outputs of the question, or for each case why there are none."""
    for output in outputs:
        if MIME in output.get("data", ()):
            try:
                outcomes = [outcome_from_data(answer) for answer in output.data[MIME]]
            except (AttributeError, KeyError, TypeError, ValueError) as malformed:
                problem = Problem("UnusableError", f"No readable answer came back: {malformed}")
                return [Outcome(problem=problem)] * count
            if len(outcomes) == count:
                return outcomes
    error = next((output for output in outputs if output.output_type == "error"), None)
    problem = (
        Problem(error.ename, error.evalue)
        if error
        else Problem("UnusableError", "The notebook gave no answer to this check.")
    )
    return [Outcome(problem=problem)] * count
