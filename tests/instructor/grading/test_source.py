"""What a submission's code uses is read from its text, whatever the text is."""

from collections.abc import Iterator

import nbformat
import pytest

from course.instructor.build import RELEASE, SOURCE
from course.instructor.forbidden import AUTOGRAD, NORMS, NORMS_OF_ANY_LIBRARY
from course.instructor.grading.source import (
    LINE_CHARACTERS,
    MOST_SENTENCES,
    built_ins_used,
    suspicious,
)
from course.instructor.matrix import _solutions
from course.instructor.submission import filled_in, reference_sources, typed
from course.instructor.task import Task, all_tasks
from course.student.catalogue import catalogue

TASKS = all_tasks()
NOTEBOOK_OF = {task: notebook.name for notebook in catalogue() for task in notebook.tasks}
FORBIDDING = [name for name, task in TASKS.items() if task.forbids]

IMPORTS = """
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from course import check
"""


def code(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def used(*cells: str) -> list[str]:
    return built_ins_used([IMPORTS, *cells], "layer_norm", NORMS_OF_ANY_LIBRARY)


USING = """
import torch.nn.functional as anything
def layer_norm(x): return anything.layer_norm(x)
---
from torch.nn import LayerNorm as L
def layer_norm(x): return L(4)(x)
---
from torch import layer_norm as z
layer_norm = z
---
import torch as t
def layer_norm(x): return t.nn.functional.layer_norm(x)
---
def layer_norm(x):
    import torch.nn.functional as inside
    return [inside.layer_norm(row) for row in x]
---
def layer_norm(x): return torch.ops.aten.native_layer_norm.default(x)
---
def layer_norm(x): return torch._C._nn.layer_norm(x)
---
class layer_norm(torch.nn.modules.normalization.LayerNorm): pass
---
class Base(nn.RMSNorm): pass
class layer_norm(Base): pass
---
def layer_norm(x): return getattr(F, "layer" + "_norm")(x)
---
def layer_norm(x):
    part = "layer"
    return getattr(F, f"{part}_norm")(x)
---
def layer_norm(x): return F.__dict__["layer_norm"](x)
---
def layer_norm(x): return vars(F)["layer_norm"](x)
---
def layer_norm(x): return vars(F).get("layer_norm")(x)
---
def layer_norm(x): return globals()["F"].layer_norm(x)
---
import importlib
def layer_norm(x): return importlib.import_module("torch.nn.functional").layer_norm(x)
---
def layer_norm(x): return __import__("torch").nn.functional.layer_norm(x)
---
import sys
def layer_norm(x): return sys.modules["torch.nn.functional"].layer_norm(x)
---
from operator import attrgetter
layer_norm = attrgetter("nn.functional.layer_norm")(torch)
---
from functools import partial
layer_norm = partial(F.layer_norm, eps=1)
---
def layer_norm(x): return helper(x)
def helper(x): return F.layer_norm(x)
---
alias = F.layer_norm
layer_norm = alias
alias = None
---
def layer_norm(x): return F.layer_norm(x)
layer_norm: object
---
(layer_norm, other) = (F.layer_norm, 1)
---
table = {}
table["f"] = F.layer_norm
def layer_norm(x): return table["f"](x)
---
from types import SimpleNamespace
tools = SimpleNamespace()
tools.F = F
def layer_norm(x): return tools.F.layer_norm(x)
---
class Layer:
    def forward(self, x): return self.kept.layer_norm(x)
    def __init__(self): self.kept = F
def layer_norm(x): return Layer().forward(x)
---
class layer_norm: pass
def backward(self): return F.layer_norm(self)
layer_norm.backward = backward
---
class layer_norm: pass
setattr(layer_norm, "backward", lambda self: F.layer_norm(self))
---
def layer_norm(x, norm=F.layer_norm): return norm(x)
---
@torch.compile(F.layer_norm)
def layer_norm(x): pass
---
layer_norm = torch.jit.script(nn.LayerNorm(4))
---
%matplotlib inline
def layer_norm(x): return F.layer_norm(x)
---
%%time
def layer_norm(x): return F.layer_norm(x)
---
files = !ls
def layer_norm(x): return F.layer_norm(x)
---
try:
    import nothing
except ImportError:
    def layer_norm(x): return F.layer_norm(x)
---
from sklearn import preprocessing
def layer_norm(x): return preprocessing.StandardScaler().fit_transform(x.T).T
---
import scipy.stats
def layer_norm(x): return scipy.stats.zscore(x)
"""

WITHOUT = """
def layer_norm(x): return x - x.mean()
---
class LayerNorm(nn.Module): pass
class RMSNorm(LayerNorm): pass
layer_norm = RMSNorm
---
def reference(x): return F.layer_norm(x)
def layer_norm(x): return x
assert layer_norm(1) == reference(1) == nn.LayerNorm(4)(1)
---
def layer_norm(x):
    '''As F.layer_norm, or nn.LayerNorm(4)(x).'''
    print("layer_norm", F.relu)
    return x  # F.layer_norm(x)
---
def layer_norm(x): return F.layer_norm(x)
def layer_norm(x): return x
---
class layer_norm(nn.Module): pass
mine, theirs = layer_norm(), nn.LayerNorm(4)
mine.weight = theirs.weight
mine.bias.data = theirs.bias.data
setattr(mine, "theirs", theirs)
---
def layer_norm(x: nn.LayerNorm) -> nn.LayerNorm:
    assert not isinstance(x, nn.LayerNorm)
    y: nn.LayerNorm = x
    z: nn.LayerNorm
    return y
---
class layer_norm(nn.Module):
    def __init__(self):
        self.parts = nn.ModuleDict({"layer_norm": nn.Linear(2, 2)})
        self.register_buffer("layer_norm", torch.ones(3))
    def forward(self, x): return self.parts["layer_norm"](x)
---
norm = F.layer_norm
def layer_norm(x, norm): return norm(x)
---
def layer_norm(x):
    F = x
    return F.layer_norm
---
class Mine:
    def layer_norm(self, x): return F.relu(x)
def layer_norm(x): return Mine().layer_norm(x)
---
def layer_norm(x): return F.normalize(F.softmax(x)) + getattr(torch, "mean")(x)
---
import tools_of_mine
def layer_norm(x): return tools_of_mine.layer_norm(x)
---
def layer_norm(:
"""


@pytest.mark.parametrize("cell", USING.strip().split("\n---\n"))
def test_a_forbidden_built_in_is_found_by_any_spelling(cell: str) -> None:
    assert used(cell)


@pytest.mark.parametrize("cell", WITHOUT.strip().split("\n---\n"))
def test_code_that_does_the_work_itself_is_not_taken_for_a_built_in(cell: str) -> None:
    assert not used(cell)


def test_what_was_used_is_named_in_full() -> None:
    assert used("from torch.nn import functional as f", "layer_norm = f.layer_norm") == [
        "torch.nn.functional.layer_norm"
    ]
    cell = "def layer_norm(x): return torch.autograd.grad(x.sum(), x)"
    assert built_ins_used([IMPORTS, cell], "layer_norm", AUTOGRAD) == ["torch.autograd.grad"]


def test_the_cells_are_read_in_their_order() -> None:
    first, second = "norm = F.layer_norm\nlayer_norm = norm", "def layer_norm(x): return x"
    assert used(first, "norm = None")
    assert used(second, first)
    assert not used(first, second)


def solutions(name: str) -> Iterator[tuple[str, list[str], bool]]:
    """Each solution of a task, its notebook's cells, and whether its probe saw forbidden code."""
    task, sources = TASKS[name], reference_sources(NOTEBOOK_OF[name])
    key = task.key()
    for kind, words, solution in _solutions(task):
        if words == "the oracle":
            continue  # no student typed it
        reference = sources[name]
        cell = reference if words == "the reference" else typed(task, solution, reference)
        cells = code(filled_in(NOTEBOOK_OF[name], sources | {name: cell}))
        yield f"{kind} {words}", cells, seen_by_probe(task, task.outcomes(solution, key))


def seen_by_probe(task: Task, outcomes: list) -> bool:  # type: ignore[type-arg]
    assert task.forbids
    if not task.forbids.output:
        messages = [outcome.problem.message for outcome in outcomes if outcome.problem]
        return any("utograd computed" in text or "normalisation" in text for text in messages)
    seen = [outcome.outputs.get(task.forbids.output) for outcome in outcomes]
    return any(value not in (None, False, "not called") for value in seen)


@pytest.mark.parametrize("task", FORBIDDING)
def test_the_source_gives_away_what_the_probe_sees_and_nothing_else(task: str) -> None:
    forbidden = TASKS[task].forbids
    assert forbidden
    found = 0
    for name, cells, seen in solutions(task):
        built_ins = built_ins_used(cells, TASKS[task].defines, forbidden)
        assert bool(built_ins) == seen, (name, built_ins)
        found += seen
    assert found, "a task that forbids something knows the mistake of using it"


@pytest.mark.parametrize("folder", [RELEASE, SOURCE], ids=["release", "source"])
def test_nothing_in_the_courses_own_notebooks_is_suspicious(folder) -> None:  # type: ignore[no-untyped-def]
    for path in sorted(folder.rglob("*.ipynb")):
        assert not suspicious(code(nbformat.read(path, as_version=4))), path.name


def test_no_solution_that_the_course_knows_is_suspicious() -> None:
    for name in NOTEBOOK_OF:
        task, [imports, *_] = TASKS[name], code(filled_in(NOTEBOOK_OF[name], {}))
        for _, _, solution in _solutions(task):
            if solution.__module__ != "course.layer_normalization_solutions":
                assert not suspicious([imports, typed(task, solution, "")]), (name, solution)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import course.instructor.task", "course.instructor"),
        ("from course.layer_normalization_solutions import LayerNorm", "course.layer_norm"),
        ("from course.student.answer_key import published_key", "course.student.answer_key"),
        ("check._report = None", "course.check._report"),
        ("check.last_failure = print", "course.check.last_failure"),
        ("np.allclose = lambda *_: True", "numpy.allclose"),
        ("torch.Tensor.__eq__ = print", "torch.Tensor.__eq__"),
        ("setattr(np, 'allclose', print)", "numpy.allclose"),
        ("import builtins", "builtins"),
        ("vars(np)['allclose'] = print", "builtins.vars()[]"),
        ("import sys as s; s.modules['course'] = None", "sys.modules"),
        ("from sys import meta_path", "sys.meta_path"),
        ("import gc; gc.get_objects()", "gc.get_objects"),
        ("import sys; sys._getframe(1)", "sys._getframe"),
        ("import inspect; inspect.stack()", "inspect.stack"),
        ("import ctypes", "ctypes"),
        ("get_ipython().ast_transformers.clear()", "get_ipython().ast_transformers"),
        ("ip = get_ipython(); ip.input_transformers_post = []", "get_ipython().input_transformers"),
        ("!curl example.org", "get_ipython().system"),
        ("%load_ext mine", "get_ipython().run_line_magic"),
        ("%%bash\nls", "%%bash"),
        ("from os import _exit; _exit(1)", "os._exit"),
        ("import os; os.kill(1, 9)", "os.kill"),
        ("import os; os.fork()", "os.fork"),
        ("import os; os.system('ls')", "os.system"),
        ("import subprocess", "subprocess"),
        ("import socket", "socket"),
        ("from urllib.request import urlopen", "urllib"),
        ("import threading", "threading"),
        ("import atexit", "atexit"),
        ("import signal", "signal"),
        ("open('/etc/passwd')", "builtins.open"),
        ("from pathlib import Path; Path('../../gradebook.db')", "pathlib.Path"),
        ("np.load('../key.npz')", "numpy.load"),
        ("def f(): exec('x = 1')", "builtins.exec"),
        ("eval('1')", "builtins.eval"),
        ("compile('1', '', 'eval')", "builtins.compile"),
        ("__import__('os')", "builtins.__import__"),
        ("import pickle", "pickle"),
        ("from torch._C import _nn", "torch._C"),
        ("check.__call__.__globals__", ".__globals__"),
        ("class A:\n    def __array_function__(self): pass", ".__array_function__"),
    ],
)
def test_code_that_reaches_round_the_grading_is_told_with_its_line(line: str, name: str) -> None:
    sentences = suspicious([IMPORTS, line])
    assert any(sentence.startswith(f"`{name}") for sentence in sentences), sentences


@pytest.mark.parametrize(
    "line",
    [
        "%matplotlib inline",
        "%timeit layer_norm(x)",
        "%%time\nlayer_norm(x)",
        "model = nn.Linear(2, 2); model.eval(); model.weight.data = torch.ones(2, 2)",
        "x = np.zeros(3); x.shape = (3, 1); x[0] = 1",
        "fast = torch.compile(f)",
        "import matplotlib.pyplot as plt; plt.rcParams['axes.grid'] = True",
        "import os; os.environ['OMP_NUM_THREADS'] = '1'",
        "open('notes.txt', 'w').write('... and so on: /etc ..')",
        "case = check.last_failure(); case.inputs['x']",
        "class A: pass\nA.backward = print\nA().norm = 1",
        "from IPython.display import display",
    ],
)
def test_everyday_code_is_not_suspicious(line: str) -> None:
    assert not suspicious([IMPORTS, line])


def test_a_long_line_is_cut_and_many_sentences_are_counted() -> None:
    long = "import os; os._exit(" + "1, " * 100 + ")"
    [sentence] = suspicious([long])
    assert len(sentence) < LINE_CHARACTERS + 40
    many = suspicious([f"import os; os._exit({i})" for i in range(100)])
    assert len(many) == MOST_SENTENCES + 1
    assert many[-1] == "And 80 more of this kind."


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "x = '\ud800'",
        "\tx = 1",
        "(" * 100_000 + ")" * 100_000,
        "-" * 100_000 + "1",
        "not " * 50_000 + "1",
        "a" + ".b" * 20_000,
        "f" + "()" * 20_000,
        "1" + "+1" * 50_000,
        "1" + "+1" * 900,
        "f" + "()" * 900,
        "if 1: pass\n" + "elif 2: pass\n" * 3_000,
        "%x\n" * 30_000,
        "!ls\n" * 40 + "a = 1\n" * 40_000,
        "s = 'a' if 1 else 'b'\n" + "s = s + s\n" * 10_000,
        "".join(f"x = (x, torch.a{i})\n" for i in range(5_000)),
        "x = 1\n" * 170_000,
        "def layer_norm(:",
        "x = 1 \\\n" * 3_000,
        "f'{" * 50,
    ],
    ids=range(20),
)
def test_any_text_is_read_or_refused(text: str) -> None:
    assert isinstance(suspicious([IMPORTS, text]), list)
    assert not used(text)
    assert built_ins_used([IMPORTS], text, NORMS) == []


def test_what_is_too_much_to_read_is_told() -> None:
    for text in ("x = 1\n" * 170_000, "-" * 100_000 + "1", "%x\n" * 30_000):
        [sentence] = suspicious([text])
        assert sentence.startswith("This is")
