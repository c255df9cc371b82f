"""A student types a solution into JupyterLab, runs the check by keyboard and reads the card."""

import re

import pytest
from jupyter_lab import Lab
from notebook_page import open_notebook, run_cell, solve_and_check
from playwright.sync_api import Page, expect

# One JupyterLab serves all tests here, from one process.
pytestmark = pytest.mark.xdist_group("browser")

STUB = "def layer_norm"
SIGNATURE = "def layer_norm(x, gamma, beta, eps=1e-5):\n"
BODY = (
    "    m = x.mean(axis=-1, keepdims=True); v = x.var(axis=-1, keepdims=True{}); "
    "return gamma * (x - m) / np.sqrt(v + eps) + beta"
)
RIGHT = SIGNATURE + BODY.format("")
WRONG = SIGNATURE + BODY.format(", ddof=1")
RAISES = SIGNATURE + "    return gamma * (x - x.means())"


@pytest.mark.parametrize(
    ("solution", "score", "words"),
    [
        pytest.param(RIGHT, "10.0", ["10 of 10 points", "All 12 cases passed"], id="right"),
        pytest.param(
            WRONG, "0.0", ["0 of 10 points", "the unbiased variance (ddof=1)", "Hint."], id="wrong"
        ),
        pytest.param("", "0.0", ["0 of 10 points", "Not started yet"], id="unstarted"),
        pytest.param(
            RAISES,
            "0.0",
            [
                "raised AttributeError",
                "Your line, in layer_norm: return gamma * (x - x.means())",
                "x: float64",
            ],
            id="raises",
        ),
    ],
)
def test_the_card_tells_what_happened(
    page: Page, lab: Lab, solution: str, score: str, words: list[str]
) -> None:
    open_notebook(page, lab, "ex01_basic_implementation")
    card = solve_and_check(page, STUB, solution)
    for sentence in words:
        expect(card).to_contain_text(sentence)
    result = page.locator(".jp-OutputArea-executeResult", has_text=score).first
    expect(result).to_be_visible()
    stderr = "[data-mime-type='application/vnd.jupyter.stderr']"
    expect(page.locator(stderr)).to_have_count(0)


def test_the_card_warns_when_the_solution_cell_has_just_failed(page: Page, lab: Lab) -> None:
    open_notebook(page, lab, "ex01_basic_implementation")
    solve_and_check(page, STUB, RIGHT)
    card = solve_and_check(page, STUB, RIGHT.replace("beta", "beta)", 1))
    expect(card).to_contain_text("stopped with a SyntaxError")


def test_moving_a_slider_changes_the_figure(page: Page, lab: Lab) -> None:
    open_notebook(page, lab, "ex01_basic_implementation")
    solve_and_check(page, STUB, RIGHT)
    cell = run_cell(page, "row_explorer(layer_norm)")
    figure = cell.locator(".widget-html img")
    expect(figure).to_have_attribute("alt", re.compile("mean 3.00"))
    slider = cell.locator(".widget-slider .noUi-handle").first
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(figure).to_have_attribute("alt", re.compile("mean 2.50"))


def test_a_prediction_is_kept_and_shown_beside_the_truth(page: Page, lab: Lab) -> None:
    open_notebook(page, lab, "start_here")
    question = run_cell(page, "prediction = Prediction")
    question.locator("label", has_text="(3,)").click()
    truth = run_cell(page, "prediction.beside")
    expect(truth).to_contain_text("You predicted(3,)")
    expect(truth).to_contain_text("What happens(2,)")


def test_progress_is_shown_on_the_start_page(page: Page, lab: Lab) -> None:
    open_notebook(page, lab, "start_here")
    scores = run_cell(page, "own_scores()")
    expect(scores).to_contain_text("Nothing checked yet")
    cell = page.locator(".jp-CodeCell", has_text="import numpy as np").first
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(f"import numpy as np\n{WRONG}\ncheck('ex01_layer_norm', layer_norm)")
    page.keyboard.press("Shift+Enter")
    page.locator(".report-card").last.wait_for()
    scores = run_cell(page, "own_scores()")
    expect(scores).to_contain_text("0 of 10")
    expect(scores).to_contain_text("the unbiased variance (ddof=1)")
    expect(run_cell(page, "course_map()").locator("img")).to_be_visible()
