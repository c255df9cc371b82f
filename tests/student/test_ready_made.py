"""A library that does the work of a NumPy solution is seen, and none is loaded to see it."""

import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import zscore
from sklearn import preprocessing

from course.student.ready_made import AUTOGRAD, library_calls

X = np.random.default_rng(0).normal(size=(3, 4))
ROWS = torch.tensor(X)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    TRACED = torch.jit.trace(torch.nn.LayerNorm(4, dtype=torch.float64), ROWS)


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.nn.functional.layer_norm(ROWS, (4,)),
        lambda: torch.layer_norm(ROWS, (4,)),
        lambda: torch.ops.aten.native_layer_norm(ROWS, (4,), None, None, 1e-5),
        lambda: torch.nn.RMSNorm(4, dtype=torch.float64)(ROWS),
        lambda: TRACED(ROWS),
        lambda: preprocessing.scale(X, axis=1),
        lambda: preprocessing.StandardScaler().fit_transform(X.T).T,
        lambda: preprocessing.normalize(X),
        lambda: zscore(X, axis=1),
    ],
)
def test_a_ready_made_norm_is_seen(call: Callable[[], object]) -> None:
    with library_calls() as called:
        call()
    assert called


@pytest.mark.parametrize(
    "gradient",
    [
        lambda x: torch.autograd.grad(x.square().sum(), x),
        lambda x: x.square().sum().backward(),
        lambda x: torch.func.grad(lambda y: y.square().sum())(x.detach()),
    ],
)
def test_autograd_is_seen(gradient: Callable[[torch.Tensor], object]) -> None:
    x = ROWS.clone().requires_grad_()
    with library_calls() as called:
        gradient(x)
    assert any(AUTOGRAD in name for name in called)


def test_what_numpy_and_the_students_own_functions_do_is_not_taken_for_a_library() -> None:
    def layer_norm(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)

    with library_calls() as called:
        layer_norm(X)
        np.linalg.norm(X)
        torch.mean(ROWS)
    assert not called


def test_the_profiler_of_before_is_back_even_after_an_error() -> None:
    before = sys.getprofile()
    with pytest.raises(ZeroDivisionError), library_calls():
        _ = 1 / 0
    assert sys.getprofile() is before


def test_a_library_is_seen_that_the_function_itself_loads() -> None:
    code = """
from course import check

def layer_norm(x, gamma, beta, eps=1e-5):
    import torch
    rows, scale, shift = (torch.tensor(a, dtype=torch.float64) for a in (x, gamma, beta))
    return torch.nn.functional.layer_norm(rows, scale.shape, scale, shift, eps).numpy()

print(check("ex01_layer_norm", layer_norm), check.last_failure().outputs["ready-made norm called"])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "0.0 True", result.stderr
