"""Ready-made code in the place of a solution in NumPy: seen at work, and no library loaded."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

# Parts of the names of PyTorch's own normalisations, as functions and as operations.
BUILT_IN_NORMS = ("layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm")
# Part of the name of the function through which autograd runs backwards, whoever asks it to.
AUTOGRAD = "run_backward"

# Functions of other libraries that give rows a mean of 0 or a length of 1, by their modules.
_STANDARDISING = {
    "sklearn.preprocessing._data": ("scale", "robust_scale", "normalize", "transform"),
    "scipy.stats._stats_py": ("zmap", "zscore"),
}


@contextmanager
def library_calls() -> Iterator[list[str]]:
    """Collect the normalisations of libraries, and autograd, that run in the block, by name.

    The list is complete when the block is left.
    """
    called: list[str] = []
    operations: list[str] = []

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            module, name = str(frame.f_globals.get("__name__")), frame.f_code.co_name
        elif event == "c_call":
            module = str(getattr(function, "__module__", ""))
            name = str(getattr(function, "__name__", ""))
        else:
            return
        if _ready_made(module, name):
            called.append(f"{module}.{name}")

    # Operations of PyTorch are seen whatever calls them; a profiler sees Python functions only,
    # but also those of a library that the block itself loads.
    with ExitStack() as stack:
        if "torch" in sys.modules:
            from course.student.torch_modules import calls_of

            operations = stack.enter_context(calls_of(*BUILT_IN_NORMS))
        stack.callback(sys.setprofile, sys.getprofile())
        sys.setprofile(note)
        yield called
    called += operations


def _ready_made(module: str, name: str) -> bool:
    if module.partition(".")[0] == "torch":
        return any(part in name for part in (*BUILT_IN_NORMS, AUTOGRAD))
    return name in _STANDARDISING.get(module, ())
