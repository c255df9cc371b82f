"""A cell that uses a solution says in a sentence what it waits for."""

import pytest

from course.student.waiting import waits_for


def layer_norm() -> None:
    raise NotImplementedError


def test_unwritten_code_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    with waits_for(layer_norm):
        layer_norm()
    assert capsys.readouterr().out == "This cell waits for your `layer_norm`.\n"


def test_an_error_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with waits_for(layer_norm):
        raise ValueError("shapes (3,) and (2,)")
    assert capsys.readouterr().out == (
        "This cell does not work with your `layer_norm` yet: ValueError: shapes (3,) and (2,)."
        " Its check above says more.\n"
    )
