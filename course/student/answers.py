"""Answers: what grading asks of a kernel. Probes run here; the judge and the key are elsewhere."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

from course.student.outcome import outcome_to_data, run
from course.student.plain import decode_all
from course.student.probes import probe_of

MIME = "application/vnd.course.answer+json"


def show_answers(task: str, all_inputs: str, *objects: Any) -> None:
    """Display the outcome of a task's probe on the inputs of each case, as JSON, one by one.

    So a case in which the student's code does not end costs none before it.

    Args:
        task: the task's id.
        all_inputs: the inputs of the cases, as a JSON list of plain values by name.
        objects: the student's objects.
    """
    from IPython.display import display

    probe = probe_of(task)
    # What a student has put in the place of these two may not even flush, which a display does.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        for number, inputs in enumerate(json.loads(all_inputs)):
            outcome = run(probe, objects, decode_all(inputs))
            display({MIME: {"case": number, "outcome": outcome_to_data(outcome)}}, raw=True)
