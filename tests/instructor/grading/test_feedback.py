"""A feedback page runs no script, loads nothing and escapes its names."""

from bs4 import BeautifulSoup
from nbformat import NotebookNode, v4

from course.instructor import build
from course.instructor.grading.feedback import PICTURE, FeedbackExporter


def test_the_formgrader_keeps_its_own_page() -> None:
    config = build.nbgrader_config()
    assert "HTMLExporter" not in config
    assert config.GenerateFeedback.exporter_class.endswith(FeedbackExporter.__name__)


TEXT = v4.new_output("stream", text="y")


def feedback(name: str, output: NotebookNode = TEXT) -> str:
    """The feedback page of a notebook of some name."""
    cell = v4.new_code_cell("x", outputs=[output])
    scores = {"notebook": name, "score": 1, "max_score": 2, "late_penalty": 0}
    notebook = v4.new_notebook(cells=[cell])
    html, _ = FeedbackExporter().from_notebook_node(notebook, {"nbgrader": scores})
    return str(html)


def test_the_policy_of_a_feedback_page_comes_first_and_lets_nothing_run() -> None:
    soup = BeautifulSoup(feedback("n"), "html.parser")
    first = soup.head.find(True)
    assert first["http-equiv"] == "Content-Security-Policy"
    assert first["content"] == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none';"
        " form-action 'none'"
    )
    assert not soup.select("script, link, iframe, [src^='http']")


def test_a_feedback_page_escapes_the_name_of_its_notebook() -> None:
    name = "</title><script>window.pwned=1</script>"
    soup = BeautifulSoup(feedback(name), "html.parser")
    assert soup.title.get_text() == name
    assert name in soup.h4.get_text()
    assert not soup.select("script")


def test_a_picture_has_a_text_for_whoever_cannot_see_it() -> None:
    drawn = v4.new_output("display_data", {"image/png": "AAAA"})
    soup = BeautifulSoup(feedback("n", drawn), "html.parser")
    assert [picture["alt"] for picture in soup.select("img")] == [PICTURE]
