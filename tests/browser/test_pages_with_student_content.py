"""Pages that show what students made are opened in a browser: nothing runs, nothing is fetched."""

import base64
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from matplotlib.figure import Figure
from nasty_content import AWAY, HTML, MARKDOWN, OUTPUTS
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode, v4
from nbgrader.server_extensions.formgrader import handlers
from playwright.sync_api import Page, Route, expect

from course.instructor import build
from course.instructor.grading.feedback import FeedbackExporter
from course.instructor.grading.safe_content import safe_markdown, safe_outputs
from course.instructor.task import all_tasks
from course.student.judge import judge
from course.student.outcome import Outcome, Problem
from course.student.picture import picture
from course.student.report_card import ReportCard

pytestmark = pytest.mark.xdist_group("browser")

SERVER = "http://formgrader.example"
TABLE = "<table><thead><tr><th>loss</th></tr></thead><tbody><tr><td>0.125</td></tr></tbody></table>"


@picture
def figure() -> tuple[Figure, str]:
    """A figure as the notebooks of the course draw it."""
    drawn = Figure(figsize=(2, 1))
    drawn.subplots().plot([1, 2])
    return drawn, "A line that rises."


def report_card() -> NotebookNode:
    """The report card of a check whose code fails with a nasty message."""
    key = all_tasks()["ex01_layer_norm"].key()
    nasty = r"<img src=x onerror=window.pwned=1> $\href{javascript:window.pwned=1}{x}$"
    problem = Problem("ValueError", nasty)
    card = ReportCard(judge(key, [Outcome(problem=problem)] * len(key.cases)), graded=True)
    return v4.new_output("display_data", {"text/html": card._repr_html_(), "text/plain": str(card)})


def honest_outputs() -> list[NotebookNode]:
    """A figure of the course and a table."""
    data, metadata = figure()._repr_mimebundle_()
    data["image/png"] = base64.b64encode(data["image/png"]).decode()
    return [
        v4.new_output("display_data", data, metadata=metadata),
        v4.new_output("display_data", {"text/html": TABLE}),
    ]


def notebook(cells: list[NotebookNode]) -> NotebookNode:
    """A graded notebook: its check cell, and then some cells."""
    nbgrader = {"grade": True, "grade_id": "ex01_layer_norm", "locked": True, "points": 10}
    nbgrader |= {"score": 0, "solution": False, "task": False, "schema_version": 3}
    check = v4.new_code_cell("check(...)", outputs=[report_card()])
    check.metadata["nbgrader"] = nbgrader
    return v4.new_notebook(cells=[check, *cells])


def safe_notebook() -> NotebookNode:
    """A notebook that holds everything nasty, as grading writes it."""
    outputs = [nbformat.from_dict(output) for output in OUTPUTS.values()]
    cells = [v4.new_markdown_cell(safe_markdown(source)) for source in MARKDOWN.values()]
    cells += [v4.new_code_cell("", outputs=safe_outputs([output])) for output in outputs]
    return notebook([v4.new_code_cell("", outputs=safe_outputs(honest_outputs())), *cells])


def feedback_page(notebook: NotebookNode, folder: Path) -> Path:
    resources = {"notebook": "ex01", "score": 0, "max_score": 10, "late_penalty": 0}
    html, _ = FeedbackExporter().from_notebook_node(notebook, {"nbgrader": resources})
    path = folder / "ex01.html"
    path.write_text(html, encoding="utf-8")
    return path


def formgrader_page(notebook: NotebookNode) -> str:
    """The page on which an instructor grades, with the settings of nbgrader's `formgrader.py`."""
    config = build.nbgrader_config()
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    resources = {"notebook_id": "ex01", "assignment_id": "ex01", "submission_id": "1", "index": 0}
    resources |= {"total": 1, "base_url": SERVER, "student": "student-01", "notebook_path": "x"}
    html, _ = HTMLExporter(config=config).from_notebook_node(notebook, resources)
    return str(html)


@pytest.fixture
def watched(page: Page) -> Iterator[tuple[Page, list[str]]]:
    """A page that reaches no network, and the addresses it asks for; it may open no dialog."""
    asked: list[str] = []
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        static = route.request.url.removeprefix(f"{SERVER}/formgrader/static/")
        file = Path(handlers.static_path, static)
        if route.request.url.startswith(SERVER) and file.is_file():
            route.fulfill(path=file)
        else:
            route.abort()

    page.route(lambda url: not url.startswith(("file:", "data:")), answer)
    yield page, asked
    assert not dialogs


def use(page: Page) -> None:
    """Do what may set something off: point at, focus and click whatever a student made."""
    page.evaluate(
        """async () => {
            const made = '.text_cell_render *, .output_subarea *';
            for (const element of document.querySelectorAll(made)) {
                for (const type of ['mouseover', 'focus', 'click', 'toggle'])
                    element.dispatchEvent(new MouseEvent(type, {bubbles: true, cancelable: true}));
                if (element.focus) element.focus();
                if (element.click && element.tagName != 'SUMMARY') element.click();
            }
            await new Promise(done => setTimeout(done, 500));
        }"""
    )


def expect_what_is_honest(page: Page) -> None:
    card = page.locator(".report-card")
    expect(card).to_be_visible()
    expect(card).to_contain_text("0 of 10 points")
    expect(card.locator(".head")).to_have_css("display", "flex")
    expect(page.locator(".tex2jax_ignore > .report-card")).to_be_visible()
    expect(page.get_by_role("cell", name="0.125")).to_be_visible()
    image = page.get_by_role("img", name="A line that rises.")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.naturalWidth") > 100


def test_a_feedback_page_shows_what_is_honest_and_nothing_nasty_acts(
    watched: tuple[Page, list[str]], tmp_path: Path
) -> None:
    page, asked = watched
    address = feedback_page(safe_notebook(), tmp_path).as_uri()
    page.goto(address)
    expect_what_is_honest(page)
    use(page)
    assert page.evaluate("window.pwned") is None
    assert page.url == address
    assert asked == []


def test_the_policy_of_a_feedback_page_holds_alone(
    watched: tuple[Page, list[str]], tmp_path: Path
) -> None:
    """The second line of defence: what would get past the first does not run either."""
    page, asked = watched
    # No policy keeps a page from sending its reader elsewhere.
    leaves = {"meta refresh", "base"}
    cells = [v4.new_markdown_cell(html) for name, html in HTML.items() if name not in leaves]
    page.goto(feedback_page(without_what_stops_the_parser(cells), tmp_path).as_uri())
    expect(page.locator(".report-card")).to_be_visible()
    page.wait_for_timeout(500)
    assert page.evaluate("window.pwned") is None
    assert asked == []


def without_what_stops_the_parser(cells: list[NotebookNode]) -> NotebookNode:
    """A notebook of cells, less those that hide all behind them or that nbconvert fails on."""
    ends = ("<plaintext", "<!", "<textarea", "<iframe", "<title", "<xmp", "<noscript", "<script>w")
    return notebook([cell for cell in cells if not cell.source.startswith(ends)])


def test_nothing_nasty_acts_on_the_formgraders_page(watched: tuple[Page, list[str]]) -> None:
    page, asked = watched
    document = {"html": formgrader_page(notebook([]))}
    page.route(f"{SERVER}/", lambda route: route.fulfill(body=document["html"]))
    page.goto(SERVER)
    page.wait_for_timeout(500)
    without_student = set(asked)
    asked.clear()
    document["html"] = formgrader_page(safe_notebook())
    page.goto(SERVER)
    expect_what_is_honest(page)
    use(page)
    assert page.evaluate("window.pwned") is None
    assert page.url == f"{SERVER}/"
    assert set(asked) == without_student
    assert not any(url.startswith(AWAY) for url in asked)
