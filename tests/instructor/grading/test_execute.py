"""The verdict on a check cell is reached outside the kernel, on what its answers hold."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader import utils

from course.instructor.build import RELEASE
from course.instructor.grading import execute, notebook_run, sandbox
from course.instructor.grading.execute import ExecuteAndJudge
from course.instructor.grading.mend import mend, read_cells
from course.instructor.grading.record import Finding, Record, keep_record, record_of
from course.instructor.submission import filled_in, reference_sources, typed
from course.instructor.task import all_tasks

ONE, TWO = "ex01_basic_implementation", "ex02_forward_backward"
RIGHT = reference_sources(ONE)["ex01_layer_norm"]
WRONG = "def layer_norm(x, gamma, beta, eps=1e-5):\n    return x\n"


def graded(
    tmp_path: Path, name: str, sources: dict[str, str], record: Record | None = None
) -> NotebookNode:
    """A notebook with solutions written in, as grading leaves it."""
    released = nbformat.read(RELEASE / name / f"{name}.ipynb", as_version=4)
    notebook, _ = mend(read_cells(filled_in(name, sources)), released)
    keep_record(notebook, record or Record())
    step = ExecuteAndJudge(
        secret_file=str(tmp_path / "secret"), cell_timeout=4, notebook_timeout=60
    )
    notebook, _ = step.preprocess(notebook, {"nbgrader": {"student": "student-01"}})
    nbformat.validate(notebook)
    return notebook


def scores(notebook: NotebookNode) -> list[float]:
    return [utils.determine_grade(cell)[0] for cell in notebook.cells if utils.is_grade(cell)]


def cards(notebook: NotebookNode) -> str:
    checks = (cell for cell in notebook.cells if utils.is_grade(cell))
    return "\n".join(cell.outputs[0].data["text/plain"] for cell in checks)


def one(tmp_path: Path, source: str) -> NotebookNode:
    return graded(tmp_path, ONE, {"ex01_layer_norm": source})


FORGERIES = {
    "a patched probe": "import course.student.probes.ex01 as p\n"
    "p.layer_norm = lambda *_, **inputs: {'output': inputs['x'] * 0}",
    "patched answers": "import course.student.answers as a\na.show_answers = lambda *_: None",
    "a module in its place": "import sys, types\n"
    "sys.modules['course.student.answers'] = types.ModuleType('answers')",
    "a patched judge": "import course.student.judge as j, numpy as np\n"
    "j.passes = lambda *_: True\nnp.allclose = lambda *_, **__: True",
    "a printed score": "import atexit\nprint(10.0)\natexit.register(print, 10.0)",
    "a late update": "from IPython.display import display\n"
    "shown = display('0', display_id='s')\nimport threading, time\n"
    "def later():\n    for _ in range(30):\n        shown.update('10.0'); time.sleep(0.05)\n"
    "threading.Thread(target=later, daemon=True).start()",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_neither_gains_nor_costs_anything(tmp_path: Path, forgery: str) -> None:
    assert scores(one(tmp_path, f"{WRONG}\n{forgery}")) == [0]
    assert scores(one(tmp_path, f"{RIGHT}\n{forgery}")) == [10]


THREE = "ex03_pytorch_module"
WITHOUT_MODES = """
class CustomLayerNorm(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.shape, self.eps = tuple(normalized_shape), eps
        self.weight = nn.Parameter(torch.ones(self.shape))
        self.bias = nn.Parameter(torch.zeros(self.shape))

    def forward(self, x):
        from torch.utils._python_dispatch import _disable_current_modes
        with torch._C.DisableTorchFunction(), _disable_current_modes():
            return torch.{function}(x, self.shape, self.weight, self.bias, self.eps)
"""


def test_a_built_in_that_hides_from_the_probe_is_found_in_the_text_and_flagged(
    tmp_path: Path,
) -> None:
    source = WITHOUT_MODES.format(function="layer_norm")
    notebook = graded(tmp_path, THREE, {"ex03_custom_layer_norm": source})
    assert scores(notebook) == [0]
    assert "Your code uses `torch.layer_norm`, which may not be used" in cards(notebook)
    assert "torch.layer_norm" in record_of(notebook).flags[0]


def test_a_built_in_whose_name_is_hidden_is_seen_at_work_and_flagged(tmp_path: Path) -> None:
    source = f"def layer_norm(x, gamma, beta, eps=1e-5):\n    import torch\n{HIDDEN}"
    notebook = one(tmp_path, source)
    assert scores(notebook) == [0]
    assert record_of(notebook).flags == ["ex01_layer_norm: It calls what it may not use."]


HIDDEN = """    norm = getattr(torch, "".join(["layer", "_", "norm"]))
    given = [torch.tensor(value, dtype=torch.float64) for value in (x, gamma, beta)]
    return norm(given[0], x.shape[-1:], given[1], given[2], eps).numpy()
"""


def test_honest_work_is_not_flagged(tmp_path: Path) -> None:
    assert record_of(one(tmp_path, RIGHT)).flags == []


def test_what_the_judge_found_is_noted_task_by_task(tmp_path: Path) -> None:
    sources = reference_sources(TWO)
    task = all_tasks()["ex02_parameter_gradients"]
    mistake = next(mistake for mistake in task.mistakes if "swapped" in mistake.name)
    sources[task.id] = typed(task, mistake.solution, sources[task.id])
    del sources["ex02_backward"]
    findings = record_of(graded(tmp_path, TWO, sources)).findings
    assert list(findings) == ["ex02_forward", "ex02_parameter_gradients", "ex02_backward"]
    forward, parameters, backward = findings.values()
    assert forward == Finding(4.0, 4.0, started=True)
    assert (parameters.score, parameters.started) == (0.0, True)
    assert parameters.mistakes == [mistake.name]
    assert parameters.failure.startswith("dgamma and dbeta of a (batch, features) array")
    assert backward == Finding(0.0, 7.0, started=False)


def test_what_the_card_says_of_one_case_only_is_noted_apart(tmp_path: Path) -> None:
    sources = {"ex01_layer_norm": WRONG_TWICE}
    (finding,) = record_of(graded(tmp_path, ONE, sources)).findings.values()
    assert finding.mistakes == []
    assert "the unbiased variance (ddof=1)" in finding.clues


# The unbiased variance; and another answer where the input is an image.
WRONG_TWICE = """def layer_norm(x, gamma, beta, eps=1e-5):
    if x.ndim > 2:
        return x
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True, ddof=1)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta
"""


def test_an_error_of_the_students_code_is_noted_in_one_line_of_limited_length(
    tmp_path: Path,
) -> None:
    raises = "def layer_norm(x, gamma, beta, eps=1e-5):\n    raise ValueError('one\\ntwo' * 999)\n"
    (finding,) = record_of(one(tmp_path, raises)).findings.values()
    assert (finding.score, finding.started, finding.mistakes) == (0.0, True, [])
    assert "ValueError: one twoone two" in finding.failure
    assert len(finding.failure) <= execute.LINE_CHARACTERS + 1


def test_what_cannot_be_read_is_noted_with_the_reason(tmp_path: Path) -> None:
    notebook = graded(tmp_path, ONE, {}, Record(unreadable="The file is empty."))
    (finding,) = record_of(notebook).findings.values()
    assert finding.failure.endswith("The file is empty.")


def test_a_case_in_which_the_code_hangs_costs_none_before_it(tmp_path: Path) -> None:
    # The definition is called first; eps is given by name or place in later cases only.
    hangs = f"{RIGHT}\nright = layer_norm\n\ncalls = 0\ndef layer_norm(*a, **k):\n" + (
        "    global calls\n    calls += 1\n    while calls == 3: pass\n    return right(*a, **k)\n"
    )
    notebook = one(tmp_path, hangs)
    assert 0 < scores(notebook)[0] < 10
    assert "was stopped after 4 seconds" in cards(notebook)


def test_a_kernel_that_dies_costs_nothing_that_was_earned(tmp_path: Path) -> None:
    sources = reference_sources(TWO)
    sources["ex02_backward"] = "import os\nos._exit(1)"
    notebook = graded(tmp_path, TWO, sources)
    assert scores(notebook) == [4, 4, 0]
    assert "There is no answer to this case. The kernel ended" in " ".join(cards(notebook).split())
    assert "the kernel stopped. The kernel ended" in record_of(notebook).remarks[0]


def test_what_cannot_be_read_is_not_run_and_scored_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(notebook_run.NotebookRun, "__enter__")
    record = Record(unreadable="The file is empty.")
    notebook = graded(tmp_path, ONE, {}, record)
    assert scores(notebook) == [0]
    assert "The file is empty." in cards(notebook)


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "{'case': 0, 'outcome': {'outputs': {'output': 10**30}}}",
        "{'case': 'first', 'outcome': {}}",
        "{'case': 0, 'outcome': {'outputs': {'output': {'dtype': 'float64', 'shape': [10**9],"
        " 'base64': ''}}}}",
        "{'case': 0, 'outcome': {'problem': {'kind': 3, 'message': 'x' * 10**6}}}",
        "{'case': 10**400, 'outcome': None}",
        "'text'",
        "[[[]]]",
        "float('nan')",
    ],
)
def test_an_answer_of_another_form_is_no_answer(tmp_path: Path, answer: str) -> None:
    forged = (
        f"{WRONG}\nfrom IPython.display import display\nimport threading, time\n"
        "def flood():\n    while True:\n"
        f"        display({{'application/vnd.course.answer+json': {answer}}}, raw=True)\n"
        "        time.sleep(0.001)\n"
        "threading.Thread(target=flood, daemon=True).start()\n"
    )
    assert scores(one(tmp_path, forged)) == [0]


def test_outputs_of_the_students_own_cells_are_made_safe_and_kept(tmp_path: Path) -> None:
    source = f"{RIGHT}\nprint('hello')\nfrom IPython.display import HTML\n"
    notebook = one(tmp_path, source + "HTML('<b>bold</b><script>alert(1)</script>')")
    shown = json.dumps([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert "hello" in shown
    assert "<b>bold</b>" in shown
    assert "<script>" not in shown


def test_nothing_is_run_where_there_is_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise sandbox.SandboxMissingError("There is none.")

    monkeypatch.setattr(execute, "warm_process", missing)
    with pytest.raises(sandbox.SandboxMissingError):
        one(tmp_path, RIGHT)


def test_a_regrade_draws_the_same_inputs_and_another_class_others(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    cards_of = [cards(one(tmp_path / folder, WRONG)) for folder in ("a", "a", "b")]
    assert cards_of[0] == cards_of[1]
    assert cards_of[0] != cards_of[2]
