"""nbgrader's execution step, with the verdict on each check cell reached outside the kernel.

The kernel runs the student's cells. In the place of a check cell it is only asked for answers to
freshly drawn inputs. When it is gone, the judge compares these with a key that the kernel never
saw, and its report card and score become the cell's output, where nbgrader looks for the grade.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nbformat import NotebookNode, v4
from nbgrader import utils
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Integer, Unicode

from course.instructor.forbidden import Forbidden, in_words, with_built_ins
from course.instructor.grading.notebook_run import NotebookRun
from course.instructor.grading.record import Finding, Record, keep_record, record_of
from course.instructor.grading.safe_content import safe_outputs
from course.instructor.grading.secret import class_secret, fresh_seed
from course.instructor.grading.source import built_ins_used, suspicious
from course.instructor.grading.warm import warm_process
from course.instructor.task import all_tasks
from course.instructor.text_notebook import check_call, only_shows
from course.student.answer_key import AnswerKey
from course.student.answers import MIME
from course.student.judge import Report, Verdict, judge
from course.student.outcome import PROBLEM_CHARACTERS, Outcome, Problem, outcome_from_data
from course.student.plain import encode_all
from course.student.report_card import ReportCard

# The modules that ask are loaded anew from the disk, so that one which the student's code has
# changed is not what answers. Afterwards the notebook finds its own again.
QUESTION = """\
def _ask(*objects):
    import sys
    own = [name for name in sys.modules if name.split(".")[0] == "course"]
    own = {{name: sys.modules.pop(name) for name in own}}
    try:
        from course.student.answers import show_answers
        show_answers({task!r}, {inputs!r}, *objects)
    finally:
        sys.modules.update(own)
_ask({expression})
"""


# How much is noted of what happened in a failing case.
LINE_CHARACTERS = 300


@dataclass(frozen=True)
class Rules:
    """How a submission is executed.

    Args:
        trust_submissions: without the sandbox, with the rights of whoever grades.
        cell_timeout: seconds for one cell.
        notebook_timeout: seconds for a whole notebook.
    """

    trust_submissions: bool
    cell_timeout: int
    notebook_timeout: int


class ExecuteAndJudge(NbGraderPreprocessor):
    """Run a submission's cells in the sandbox, and judge its check cells on fresh keys."""

    secret_file = Unicode(
        ".class_secret", help="Where the class's secret is kept; made at first use."
    ).tag(config=True)
    trust_submissions = Bool(
        False, help="Run student code without the sandbox, with the rights of whoever grades."
    ).tag(config=True)
    cell_timeout = Integer(120, help="Seconds for one cell.").tag(config=True)
    notebook_timeout = Integer(600, help="Seconds for a whole notebook.").tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Run a notebook that `receive` has read and mended; write its outputs and verdicts.

        Raises:
            SandboxMissingError: there is no sandbox, and submissions are not to be trusted.
        """
        student = resources["nbgrader"]["student"]
        return execute(nb, self.seeds(nb, student), self.rules()), resources

    def seeds(self, nb: NotebookNode, student: str) -> dict[str, int]:
        """The seeds of a student's fresh keys, by the ids of the notebook's tasks."""
        secret = class_secret(Path(self.secret_file))
        return {task: fresh_seed(secret, student, task) for task in _tasks(nb)}

    def rules(self) -> Rules:
        """What the settings say of execution."""
        return Rules(self.trust_submissions, self.cell_timeout, self.notebook_timeout)


def execute(nb: NotebookNode, seeds: Mapping[str, int], rules: Rules) -> NotebookNode:
    """Run a notebook that `receive` has read and mended; return it with outputs and verdicts.

    Args:
        nb: the notebook, which is changed.
        seeds: of the fresh keys, by task id.
        rules: how to run it.

    Raises:
        SandboxMissingError: there is no sandbox, and submissions are not to be trusted.
        MachineFullError: the machine has no memory left to grade with.
    """
    if not rules.trust_submissions:
        warm_process()
    torch.set_num_threads(1)  # the arrays of keys are small, and kernels need the cores
    record = record_of(nb)
    keys = {task: all_tasks()[task].key(seed) for task, seed in seeds.items()}
    if record.unreadable:
        answers = {task: _no_answers(key, record.unreadable) for task, key in keys.items()}
    else:
        answers = _answers(nb, keys, rules, record)
    sources: list[str] = []
    for cell in nb.cells:
        if utils.is_grade(cell):
            name, expression = check_call(cell)
            task, key, outcomes, words = all_tasks()[name], keys[name], answers[name], ""
            if task.forbids:
                used = built_ins_used(sources, expression, task.forbids)
                outcomes = with_built_ins(key, outcomes, used, task.forbids)
                words = in_words(used) if used else ""
                if used or _seen_at_work(task.forbids, key, outcomes):
                    record.flags.append(f"{name}: {words or 'It calls what it may not use.'}")
            report = judge(key, outcomes)
            record.findings[name] = _finding(report)
            cell.outputs = _verdict(ReportCard(report, graded=True, warning=words))
        elif cell.cell_type == "code" and not only_shows(cell):
            sources.append(cell.source)
    record.flags += suspicious(sources)
    keep_record(nb, record)
    return nb


def _answers(
    nb: NotebookNode, keys: dict[str, AnswerKey], rules: Rules, record: Record
) -> dict[str, list[Outcome]]:
    """Run the cells; return the outcomes of each task's cases."""
    answers = {}
    with NotebookRun(
        cell_timeout=rules.cell_timeout,
        timeout=rules.notebook_timeout,
        trusted=rules.trust_submissions,
    ) as run:
        for number, cell in enumerate(nb.cells, 1):
            if cell.cell_type != "code" or only_shows(cell):
                continue
            before = run.stopped
            if utils.is_grade(cell):
                task, expression = check_call(cell)
                outputs = run.outputs_of(_question(keys[task], expression))
                answers[task] = _read_answers(outputs, keys[task], run.stopped)
            else:
                cell.outputs = safe_outputs(run.outputs_of(cell.source))
            if run.stopped and not before:
                record.remarks.append(f"In cell {number} the kernel stopped. {run.stopped}")
    record.memory = run.most_memory
    return answers


def _tasks(nb: NotebookNode) -> list[str]:
    return [check_call(cell)[0] for cell in nb.cells if utils.is_grade(cell)]


def _seen_at_work(forbidden: Forbidden, key: AnswerKey, outcomes: list[Outcome]) -> bool:
    """Whether a probe saw that something forbidden was called."""
    name = forbidden.output
    return any(
        outcome.outputs.get(name, case.expected[name]) != case.expected[name]
        for case, outcome in zip(key.cases, outcomes, strict=True)
        if name in case.judged
    )


def _finding(report: Report) -> Finding:
    """What to note of a report."""
    failure = report.first_failure
    return Finding(
        score=report.score,
        points=report.points,
        started=report.started,
        mistakes=[mistake.name for mistake in report.diagnosis],
        clues=[clue.name for clue in report.clues],
        failure=_in_a_line(failure, report) if failure and report.started else "",
    )


def _in_a_line(failure: Verdict, report: Report) -> str:
    """A failing case and what happened in it; its words may be those of the student's code."""
    problem = failure.outcome.problem
    if problem is None:
        words = report.description[0]
    else:
        kind = "" if problem.unusable else problem.kind
        words = ": ".join(filter(None, [kind, problem.message]))
    line = " ".join(f"{failure.case.name}: {words}".split())
    return line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}…"


def _verdict(card: ReportCard) -> list[NotebookNode]:
    """The outputs of a check cell: the card, and the score where nbgrader looks for it."""
    shown = {"text/html": card._repr_html_(), "text/plain": str(card)}
    return [
        v4.new_output("display_data", shown),
        v4.new_output("execute_result", {"text/plain": repr(card.report.score)}),
    ]


def _question(key: AnswerKey, expression: str) -> str:
    """The source that asks the kernel for the outcomes of a key's cases."""
    inputs = json.dumps([encode_all(case.inputs) for case in key.cases])
    return QUESTION.format(task=key.task, inputs=inputs, expression=expression)


def _read_answers(outputs: list[NotebookNode], key: AnswerKey, stopped: str) -> list[Outcome]:
    """The outcome of each case among the outputs of the question, or why there is none."""
    found: dict[int, Outcome] = {}
    for output in outputs:
        with suppress(AttributeError, KeyError, TypeError, ValueError, RecursionError):
            answer = output["data"][MIME]
            found.setdefault(int(answer["case"]), outcome_from_data(answer["outcome"]))
    missing = Outcome(problem=_why_missing(outputs, stopped))
    return [found.get(number, missing) for number in range(len(key.cases))]


def _why_missing(outputs: list[NotebookNode], stopped: str) -> Problem:
    if stopped:
        return Problem("UnusableError", f"There is no answer to this case. {stopped}")
    for output in outputs:
        if output["output_type"] == "error":
            cut = [str(output[name])[:PROBLEM_CHARACTERS] for name in ("ename", "evalue")]
            return Problem(*cut)
    return Problem("UnusableError", "The notebook gave no answer to this case that can be read.")


def _no_answers(key: AnswerKey, reason: str) -> list[Outcome]:
    return [Outcome(problem=Problem("UnusableError", reason))] * len(key.cases)
