"""A report card says the score, what passed, the first failure, its name and a hint, twice."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from course.student.answer_key import published_key
from course.student.check import Check
from course.student.judge import judge
from course.student.outcome import Outcome, Problem, run
from course.student.probes import probe_of
from course.student.report_card import GRADED, GRADING, NO_FORMULAS, ReportCard

TASK = "ex01_layer_norm"
KEY = published_key(TASK)


def card(student: object, *, graded: bool = False) -> ReportCard:
    outcomes = [run(probe_of(TASK), (student,), case.inputs) for case in KEY.cases]
    return ReportCard(judge(KEY, outcomes), graded=graded)


def right(x, gamma, beta, eps=1e-5):  # type: ignore[no-untyped-def]
    centred = x - x.mean(-1, keepdims=True)
    return gamma * centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) + beta


def columns(x, gamma, beta, eps=1e-5):  # type: ignore[no-untyped-def]
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta


def raising(x, gamma, beta, eps=1e-5):  # type: ignore[no-untyped-def]
    return x.missing


def stub(x, gamma, beta, eps=1e-5):  # type: ignore[no-untyped-def]
    raise NotImplementedError


def talkative(x, gamma, beta, eps=1e-5):  # type: ignore[no-untyped-def]
    print("<script>alert(1)</script>")
    return right(x, gamma, beta, eps)


def words(html: str) -> str:
    """What an HTML page says, marks included."""
    texts: list[str] = []

    class Reader(HTMLParser):
        style = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.style = tag == "style"

        def handle_data(self, data: str) -> None:
            if not self.style:
                texts.append(data)

    Reader().feed(html)
    return re.sub(r"\s+", " ", " ".join(texts))


@pytest.mark.parametrize(
    ("student", "sentences"),
    [
        (right, ["10 of 10 points", "All 12 cases passed", "a constant row becomes beta"]),
        (
            columns,
            [
                "0 of 10 points",
                "exactly what you get with: normalising the columns (axis=0)",
                "That is batch normalization",
                "Hint",
                "Which axis has to disappear",
                "Expected:",
                "check.last_failure()",
            ],
        ),
        (
            raising,
            [
                "Your code raised AttributeError.",
                "Your line, in raising: return x.missing",
                "look for a slip in its spelling",
                "no attribute 'missing'",
                "Called with x: float64 (6, 3)",
            ],
        ),
        (stub, ["0 of 10 points", "Not started yet: stub is still to be written"]),
        (lambda *_: None, ["is None. Does the code end in a return"]),
        (talkative, ["Your code printed or warned", "<script>alert(1)</script>"]),
    ],
)
def test_page_and_plain_text_say_the_same(student: object, sentences: list[str]) -> None:
    shown = card(student)
    page, text = words(shown._repr_html_()), re.sub(r"\s+", " ", str(shown)).replace("`", "")
    for sentence in sentences:
        assert sentence in page
        assert sentence in text


def test_what_a_student_prints_cannot_act_in_the_page() -> None:
    assert "<script>" not in card(talkative)._repr_html_()


def test_an_unexplained_failure_says_that_it_is_unexplained() -> None:
    assert "No mistake known to this course explains all of it." in str(card(lambda x, *_: x * 3))


def test_a_clue_is_told_with_what_it_does_not_explain() -> None:
    def two_mistakes(x, gamma, beta, eps=1e-5):  # type: ignore[no-untyped-def]
        return right(x, gamma, beta, 1e-5) - beta

    text = re.sub(r"\s+", " ", str(card(two_mistakes)))
    assert "In this case that is what you get with: beta forgotten." in text
    assert "But that does not explain every case, so something else is wrong too." in text
    assert "exactly what you get with" not in text


def test_a_wrong_signature_is_told_to_be_compared_with_the_notebooks() -> None:
    assert "Compare your signature" in str(card(lambda x: x))


def test_a_module_without_its_parents_init_is_told_what_to_write() -> None:
    message = "cannot assign parameters before Module.__init__() call"
    problem = Problem("AttributeError", message, "self.weight = nn.Parameter(...)", "__init__")
    report = judge(KEY, [Outcome(problem=problem)] * len(KEY.cases))
    assert "Let `super().__init__()` be the first line" in str(ReportCard(report))


def test_a_card_that_is_a_grade_says_that_the_inputs_were_fresh() -> None:
    assert GRADED in words(card(right, graded=True)._repr_html_())
    assert GRADING not in str(card(columns, graded=True))
    assert "last_failure" not in str(card(columns, graded=True))


def test_mathjax_reads_no_formula_in_a_card_that_is_a_grade() -> None:
    assert card(right, graded=True)._repr_html_().startswith(f'<div class="{NO_FORMULAS}">')
    assert NO_FORMULAS not in card(right)._repr_html_()


def test_a_passed_or_failed_case_is_told_in_words_and_not_by_colour_alone() -> None:
    page = card(columns)._repr_html_()
    assert 'aria-label="failed:"' in page
    assert 'aria-label="passed:"' in page
    assert 'aria-label="Report card: Layer normalization, 0 of 10 points"' in page


def test_two_equal_explanations_are_both_told() -> None:
    problem = Outcome(problem=Problem("ValueError", "same"))
    report = judge(KEY, [problem] * len(KEY.cases))
    object.__setattr__(report, "diagnosis", KEY.mistakes[:2])
    text = str(ReportCard(report))
    assert "Each of these explains it equally well" in text
    assert KEY.mistakes[0].name in text
    assert KEY.mistakes[1].name in text


def test_lines_of_the_plain_text_fit_a_terminal() -> None:
    assert max(map(len, str(card(columns)).splitlines())) <= 88


def test_check_returns_the_score_and_keeps_the_failing_case() -> None:
    check = Check()
    assert check(TASK, right) == 10.0
    assert check.last_failure() is None
    assert check(TASK, columns) == 0.0
    case = check.last_failure()
    assert case is not None
    assert case.inputs["x"].shape == (6, 3)  # type: ignore[union-attr]
    assert not np.allclose(case.outputs["output"], case.expected["output"])  # type: ignore[arg-type]
    assert "inputs['x']: float64 (6, 3)" in repr(case)
    case.inputs["x"][...] = 0  # type: ignore[index]
    again = check.last_failure()
    assert again is not None
    assert again.inputs["x"].any()  # type: ignore[union-attr]


def test_a_failing_case_that_raised_says_so_in_the_place_of_outputs() -> None:
    check = Check()
    check(TASK, raising)
    assert "error: AttributeError: " in repr(check.last_failure())


@pytest.mark.parametrize(
    ("earlier_cell", "warned"),
    [("def layer_norm(:", True), ("layer_norm = 1 / 0", True), ("y = 2", False)],
)
def test_a_check_warns_when_the_cell_before_it_failed(
    earlier_cell: str, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = InteractiveShell.instance()
    shell.run_cell(earlier_cell)
    capsys.readouterr()
    shell.user_ns["right"] = right
    result = shell.run_cell(f"from course import check; check({TASK!r}, right)")
    InteractiveShell.clear_instance()
    assert result.result == 10.0
    shown = capsys.readouterr().out
    assert ("The cell that you ran last stopped with a" in shown) == warned
    assert "10 of 10 points" in shown


def test_an_unknown_task_is_told_with_those_there_are() -> None:
    with pytest.raises(LookupError, match=r"The tasks are: .*ex01_layer_norm"):
        Check()("ex01_layer_nrom", right)
