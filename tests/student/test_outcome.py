"""Whatever a student's code does, an outcome comes of it, in words where there are no numbers."""

import sys
import warnings
from typing import Any

import numpy as np
import pytest

from course.student.outcome import (
    Outcome,
    UnusableError,
    as_array,
    outcome_from_data,
    outcome_to_data,
    run,
)


def probe(student: Any, x: np.ndarray) -> dict[str, Any]:
    return {"output": as_array(student(x), "What it returned")}


def outcome_of(student: Any, x: np.ndarray | None = None) -> Outcome:
    return run(probe, (student,), {"x": np.ones(3) if x is None else x})


def test_outputs_come_back_as_plain_arrays() -> None:
    assert outcome_of(lambda x: x * 2).outputs["output"].tolist() == [2, 2, 2]


def test_the_students_code_gets_a_copy_of_the_inputs() -> None:
    x = np.ones(3)
    outcome_of(lambda x: x.fill(7), x)
    assert x.tolist() == [1, 1, 1]


def test_an_exception_becomes_a_problem_with_the_students_own_line() -> None:
    source = "def student(x):\n    y = x + 1\n    return np.reshape(y, (2, 2))\n"
    namespace: dict[str, Any] = {"np": np}
    import linecache

    linecache.cache["<cell>"] = (len(source), None, source.splitlines(keepends=True), "<cell>")
    exec(compile(source, "<cell>", "exec"), namespace)
    problem = outcome_of(namespace["student"]).problem
    assert problem is not None
    assert problem.kind == "ValueError"
    assert "cannot reshape" in problem.message
    assert problem.line == "return np.reshape(y, (2, 2))"


@pytest.mark.parametrize("error", [SystemExit("bye"), RecursionError("deep"), ValueError("")])
def test_no_exception_of_the_students_gets_through(error: BaseException) -> None:
    def student(_: np.ndarray) -> None:
        raise error

    problem = outcome_of(student).problem
    assert problem is not None
    assert problem.kind == type(error).__name__


def test_a_keyboard_interrupt_is_the_students_wish_and_gets_through() -> None:
    def student(_: np.ndarray) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome_of(student)


def test_prints_and_warnings_are_kept_aside(capsys: pytest.CaptureFixture[str]) -> None:
    def student(x: np.ndarray) -> np.ndarray:
        print("shape", x.shape)
        print("oh", file=sys.stderr)
        warnings.warn("careful", stacklevel=1)
        return np.log(x - 1)

    printed = outcome_of(student).printed
    assert "shape (3,)" in printed
    assert "oh" in printed
    assert "UserWarning: careful" in printed
    assert "RuntimeWarning: divide by zero" in printed
    assert capsys.readouterr() == ("", "")


def test_a_warning_turned_into_an_error_by_the_student_is_still_only_a_warning() -> None:
    warnings.simplefilter("error")
    assert outcome_of(lambda x: np.log(x - 1)).problem is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "is None. Does the code end in a `return`"),
        ([1.0], "is a list"),
        ("text", "is a str"),
        (np.array([1j]), "dtype complex128"),
        (np.array([None]), "dtype object"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(value: object, words: str) -> None:
    with pytest.raises(UnusableError, match="What it returned") as error:
        as_array(value, "What it returned")
    assert words in str(error.value)


def test_an_array_that_lies_about_itself_comes_out_as_its_numbers() -> None:
    class Liar(np.ndarray):
        def __eq__(self, other: object) -> Any:
            return True

        def __array__(self, *_: Any, **__: Any) -> np.ndarray:
            return np.full(3, 42.0)

    plain = as_array(np.ones(3).view(Liar), "it")
    assert type(plain) is np.ndarray
    assert plain.tolist() == [1, 1, 1]


def test_a_bfloat16_tensor_that_requires_grad_becomes_a_float32_array() -> None:
    torch = pytest.importorskip("torch")
    plain = as_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True), "it")
    assert plain.dtype == np.float32


@pytest.mark.parametrize("student", [lambda x: x, lambda x: x.nope, lambda x: print("hi")])
def test_an_outcome_comes_back_from_json(student: Any) -> None:
    outcome = outcome_of(student)
    assert repr(outcome_from_data(outcome_to_data(outcome))) == repr(outcome)
