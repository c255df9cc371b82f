"""Probes: small public functions that call a student's object on one case's inputs.

The probe of task `ex01_layer_norm` is the function `layer_norm` of the module `ex01` in this
folder. Its parameters are the student's objects, then the inputs of a case by name; it returns
plain values by name. It may raise `UnusableError` to say why an object cannot be judged.
"""

from importlib import import_module

from course.student.outcome import Probe


def probe_of(task: str) -> Probe:
    """Return the probe of a task, importing what its exercise needs (torch, say) only now."""
    exercise, _, name = task.partition("_")
    probe: Probe = getattr(import_module(f"{__name__}.{exercise}"), name)
    return probe
