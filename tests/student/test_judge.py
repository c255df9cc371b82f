"""The judge names a mistake only where it explains every case, and says how the rest differs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from course.student.answer_key import AnswerKey, Case, NamedMistake, Tolerance, from_json, to_json
from course.student.difference import READY_MADE
from course.student.judge import judge
from course.student.outcome import Outcome, Problem

CLOSE = Tolerance(rtol=1e-6, atol=1e-6)
RIGHT = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])]


def case(name: str, expected: np.ndarray, **more: Any) -> Case:
    values: dict[str, Any] = {"points": 2, "inputs": {"x": expected}, "tolerance": CLOSE}
    return Case(name, hint="look", expected={"output": expected}, **values | more)


def outcome(values: Any) -> Outcome:
    return Outcome({"output": np.asarray(values, float)})


def mistake(name: str, *fingerprint: Outcome | None) -> NamedMistake:
    return NamedMistake(name, f"you did {name}", f"undo {name}", fingerprint)


CASES = (case("first", RIGHT[0]), case("second", RIGHT[1], points=1))
DOUBLED = mistake("doubling", outcome(RIGHT[0] * 2), outcome(RIGHT[1] * 2))
SECOND_ONLY = mistake("second only", None, outcome(RIGHT[1] + 1))
KEY = AnswerKey("ex99_toy", "A toy", CASES, (DOUBLED, SECOND_ONLY))


def names(*outcomes: Outcome, key: AnswerKey = KEY) -> list[str]:
    return [mistake.name for mistake in judge(key, outcomes).diagnosis]


def test_right_outputs_get_full_marks_and_no_diagnosis() -> None:
    report = judge(KEY, [outcome(value) for value in RIGHT])
    assert (report.score, report.points) == (3, 3)
    assert report.first_failure is None
    assert report.diagnosis == ()


def test_a_mistake_is_named_when_it_explains_every_case() -> None:
    assert names(outcome(RIGHT[0] * 2), outcome(RIGHT[1] * 2)) == ["doubling"]
    assert names(outcome(RIGHT[0]), outcome(RIGHT[1] + 1)) == ["second only"]


def test_a_mistake_is_not_named_when_one_failing_case_is_something_else() -> None:
    assert names(outcome(RIGHT[0] * 2), outcome(RIGHT[1] + 1)) == []


def test_a_mistake_is_not_named_when_it_foretells_a_failure_that_passed() -> None:
    assert names(outcome(RIGHT[0] * 2), outcome(RIGHT[1])) == []


def test_a_mistake_is_named_whatever_the_names_in_the_solution() -> None:
    about_names = case("names", RIGHT[0], about_names=True)
    other_names = mistake("other names", None, None, outcome(RIGHT[0] + 1))
    key = AnswerKey(
        "ex99_toy",
        "A toy",
        (*CASES, about_names),
        (*(replace(m, fingerprint=(*m.fingerprint, None)) for m in KEY.mistakes), other_names),
    )
    doubled = [outcome(value * 2) for value in RIGHT]
    assert names(*doubled, outcome(RIGHT[0]), key=key) == ["doubling"]
    assert names(*doubled, outcome(RIGHT[0] + 1), key=key) == ["doubling"]
    right = [outcome(value) for value in RIGHT]
    assert names(*right, outcome(RIGHT[0] + 1), key=key) == ["other names"]


def test_two_mistakes_that_explain_equally_are_both_named() -> None:
    twin = replace(DOUBLED, name="adding it to itself")
    key = replace(KEY, mistakes=(*KEY.mistakes, twin))
    found = names(outcome(RIGHT[0] * 2), outcome(RIGHT[1] * 2), key=key)
    assert found == ["doubling", "adding it to itself"]


def clues(*outcomes: Outcome, key: AnswerKey = KEY) -> list[str]:
    return [mistake.name for mistake in judge(key, outcomes).clues]


def test_a_mistake_that_explains_the_first_failing_case_alone_is_a_clue_and_no_diagnosis() -> None:
    assert clues(outcome(RIGHT[0] * 2), outcome(RIGHT[1] + 7)) == ["doubling"]
    assert names(outcome(RIGHT[0] * 2), outcome(RIGHT[1] + 7)) == []


def test_there_is_no_clue_beside_a_diagnosis_nor_where_many_mistakes_would_do() -> None:
    assert clues(outcome(RIGHT[0] * 2), outcome(RIGHT[1] * 2)) == []
    assert clues(outcome(RIGHT[0] + 7), outcome(RIGHT[1] * 2)) == []
    copies = [replace(DOUBLED, name=name) for name in ("doubling", "twin", "triplet")]
    for count, found in ((2, ["doubling", "twin"]), (3, [])):
        key = replace(KEY, mistakes=tuple(copies[:count]))
        assert clues(outcome(RIGHT[0] * 2), outcome(RIGHT[1] + 7), key=key) == found


def test_where_wrong_answers_are_noise_failing_is_enough_to_be_recognised() -> None:
    noisy = replace(CASES[1], by_values=False)
    key = replace(KEY, cases=(CASES[0], noisy))
    assert names(outcome(RIGHT[0]), outcome([np.nan, 7.0]), key=key) == ["second only"]
    assert names(outcome(RIGHT[0] * 2), outcome(RIGHT[1]), key=key) == []


def test_an_error_is_recognised_by_its_class_and_message() -> None:
    shapes = Problem("ValueError", "shapes (3,) and (2,)")
    key = replace(KEY, mistakes=(mistake("shapes", None, Outcome(problem=shapes)),))
    elsewhere = replace(shapes, line="y = a @ b")
    assert names(outcome(RIGHT[0]), Outcome(problem=elsewhere), key=key) == ["shapes"]
    other = replace(shapes, message="another reason")
    assert names(outcome(RIGHT[0]), Outcome(problem=other), key=key) == []


def test_no_points_count_while_the_first_case_fails() -> None:
    assert judge(KEY, [outcome(RIGHT[0] + 1), outcome(RIGHT[1])]).score == 0
    assert judge(KEY, [outcome(RIGHT[0]), outcome(RIGHT[1] + 1)]).score == 2


def test_a_definition_that_is_not_implemented_is_not_started() -> None:
    stub = Outcome(problem=Problem("NotImplementedError", ""))
    assert not judge(KEY, [stub, stub]).started
    assert not judge(KEY, [stub, outcome(RIGHT[1])]).started
    assert judge(KEY, [outcome(RIGHT[0]), stub]).started


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (RIGHT[0] * 3, "off by the same factor: yours is 3 x expected"),
        (RIGHT[0] - 0.5, "off by the same amount: yours is expected + (-0.5)"),
        (RIGHT[0] * 0, "Every value of yours is 0."),
        ([1.0, 2.0], "has shape (2,); expected (3,)"),
        ([1.0, np.nan, 3.0], "1 of 3 values of `output` are NaN or infinite"),
        ([1.0, 2.5, 3.0], "1 of 3 values of `output` are off; the largest error is 0.5"),
        ([1.0, 2.5, 3.0], "at `output[1]`"),
        ([1.0, 2.00001, 3.0], "2.00001"),
    ],
)
def test_what_differs_is_said_plainly(values: Any, sentence: str) -> None:
    report = judge(KEY, [outcome(values), outcome(RIGHT[1])])
    assert sentence in " ".join(report.description)


def test_a_changed_input_and_an_integer_result_are_said() -> None:
    changed = case("inputs stay", RIGHT[0], judged=("x",))
    changed = replace(changed, expected={"x": RIGHT[0]})
    key = replace(KEY, cases=(changed,), mistakes=())
    report = judge(key, [Outcome({"x": RIGHT[0] - 2})])
    assert "`x` is an input, and your code changed it." in report.description
    halves = case("halves", RIGHT[0] / 2)
    report = judge(replace(key, cases=(halves,)), [Outcome({"output": np.array([0, 1, 1])})])
    assert "dtype int64: an integer cannot hold a fraction" in report.description[-1]


def test_booleans_and_texts_are_compared_as_they_are() -> None:
    kept = replace(CASES[0], judged=("dtype",), expected={"dtype": "float16"})
    key = replace(KEY, cases=(kept,), mistakes=())
    assert judge(key, [Outcome({"dtype": "float16"})]).score == 2
    report = judge(key, [Outcome({"dtype": "float32"})])
    assert report.description == ("`dtype` is 'float32'; expected 'float16'.",)


def test_a_key_comes_back_from_json() -> None:
    problem = Outcome(problem=Problem("ValueError", "shapes"))
    key = replace(KEY, mistakes=(*KEY.mistakes, mistake("raising", None, problem)))
    text = to_json(key, "Built by a test")
    assert "Built by a test" in text.splitlines()[0]
    assert to_json(from_json(text), "Built by a test") == text


def test_that_ready_made_code_ran_is_told_before_all_numbers() -> None:
    called = "built-in norm called"
    own_code = replace(CASES[0], judged=("output", called), expected={"output": 1.0, called: False})
    key = replace(KEY, cases=(own_code,), mistakes=())
    assert judge(key, [Outcome({"output": 1.0, called: False})]).score == 2
    report = judge(key, [Outcome({"output": 2.0, called: True})])
    assert report.description == (READY_MADE[called],)
