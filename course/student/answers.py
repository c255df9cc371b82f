"""Answers: what grading asks of a kernel. Probes run here; the judge and the key are elsewhere."""

import json
from typing import Any

from course.student.outcome import outcome_to_data, run
from course.student.plain import decode_all
from course.student.probes import probe_of

MIME = "application/vnd.course.answers+json"


def show_answers(task: str, all_inputs: str, *objects: Any) -> None:
    """Display the outcomes of a task's probe on the inputs of each case, as JSON.

    Args:
        task: the task's id.
        all_inputs: the inputs of the cases, as a JSON list of plain values by name.
        objects: the student's objects.
    """
    from IPython.display import display

    probe = probe_of(task)
    outcomes = [run(probe, objects, decode_all(inputs)) for inputs in json.loads(all_inputs)]
    display({MIME: [outcome_to_data(outcome) for outcome in outcomes]}, raw=True)
