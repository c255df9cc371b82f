"""What a student made is harmless in a page, and what is honest can still be read."""

import functools
import re
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup, Tag
from nasty_content import HTML, MALFORMED, MARKDOWN, OUTPUTS, PNG
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat import NotebookNode, v4
from nbgrader.server_extensions.formgrader import handlers
from traitlets.config import Config

from course.instructor import build
from course.instructor.grading import safe_content
from course.instructor.grading.safe_content import safe_markdown, safe_outputs
from course.instructor.grading.safe_html import MAX_DEPTH, MAX_TAGS, safe_html

# Written once more, and not taken from the module, for it is this list that may be wrong there.
HARMLESS = re.compile(
    r"abbr|b|blockquote|br|caption|code|col|colgroup|dd|del|details|div|dl|dt|em|figcaption|figure"
    r"|h[1-6r]|i|img|ins|kbd|li|mark|ol|p|pre|q|s|samp|small|strong|sub|summary|sup"
    r"|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var"
)
TEX_ACTS = re.compile(
    r"\\(href|class|cssId|style|require|unicode|mmlToken|def|let|newcommand|Rule|kern|hspace)\b"
)

PANDAS = """<div>
<style scoped>
    .dataframe tbody tr th:only-of-type {
        vertical-align: middle;
    }
</style>
<table border="1" class="dataframe">
  <thead>
    <tr style="text-align: right;">
      <th></th>
      <th>loss &lt; 1</th>
    </tr>
  </thead>
  <tbody>
    <tr>
      <th rowspan="2" valign="top">0</th>
      <td>0.25</td>
    </tr>
  </tbody>
</table>
</div>"""


def named(corpus: dict[str, Any]) -> Any:
    """A parameter for each entry of a corpus."""
    return [pytest.param(value, id=name) for name, value in corpus.items()]


def what_acts(html: str) -> list[str]:
    """The elements and attributes in some HTML that are not known to be harmless, and TeX."""
    soup = BeautifulSoup(html, "html.parser")
    acts = [tag.name for tag in soup.find_all(True) if not HARMLESS.fullmatch(tag.name)]
    for tag in soup.find_all(True):
        acts += [
            f"{tag.name} {name}={value}"
            for name, value in tag.attrs.items()
            if not is_harmless(tag, name, str(value))
        ]
    for text in soup.find_all(string=TEX_ACTS):
        if text.find_parent(["pre", "code"]) is None:
            acts.append(str(text))
    return acts


def is_harmless(tag: Tag, name: str, value: str) -> bool:
    if name == "src":
        return value == f"data:image/png;base64,{PNG}"
    if name in ("colspan", "rowspan", "start"):
        return value.isdigit()
    return (tag.name, name) in {("img", "alt"), ("abbr", "title")}


@functools.cache
def exporter(template: str) -> HTMLExporter:
    """The exporter of nbgrader's feedback, or of its formgrader."""
    config = Config()
    config.HTMLExporter.template_name = template
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    config.HTMLExporter.extra_template_paths = [
        f"{handlers.static_path}/node_modules/bootstrap/dist/css"
    ]
    return HTMLExporter(config=config)


def page(cells: list[NotebookNode], template: str = "formgrade") -> BeautifulSoup:
    """A notebook of some cells as nbgrader shows it."""
    scores = {"notebook": "n", "score": 1, "max_score": 2, "late_penalty": 0}
    resources = {"nbgrader": scores, "index": 0, "total": 1}
    notebook = v4.new_notebook(cells=cells)
    nbformat.validate(notebook)
    html, _ = exporter(template).from_notebook_node(notebook, resources)
    return BeautifulSoup(html, "html.parser")


def inner(soup: BeautifulSoup, selector: str) -> str:
    (found,) = soup.select(selector)
    return found.decode_contents()


def html_output(html: str) -> NotebookNode:
    return v4.new_output("display_data", {"text/html": html, "text/plain": "in words"})


@pytest.mark.parametrize("html", named(HTML))
def test_html_that_acts_is_made_harmless(html: str) -> None:
    assert not what_acts(safe_html(html))


@pytest.mark.parametrize("html", named(HTML))
def test_harmless_html_is_left_as_it_is(html: str) -> None:
    once = safe_html(html)
    assert safe_html(once) == once


@pytest.mark.parametrize("source", named(MARKDOWN))
def test_markdown_that_acts_is_made_harmless(source: str) -> None:
    cell = v4.new_markdown_cell(safe_markdown(source))
    shown = inner(page([cell]), ".text_cell_render")
    assert not what_acts(shown)
    assert shown.strip() == cell.source.replace("&#10;", "\n")


@pytest.mark.parametrize("output", named(OUTPUTS))
def test_outputs_that_act_are_made_harmless(output: Any) -> None:
    outputs = safe_outputs([nbformat.from_dict(output)])
    shown = inner(page([v4.new_code_cell("", outputs=outputs)]), ".output_subarea")
    # The colours of a terminal, which nbconvert makes.
    shown = re.sub(r'<span class="[a-z -]+">|</span>', "", shown)
    assert not what_acts(shown)
    assert BeautifulSoup(shown, "html.parser").get_text(strip=True) or "<img" in shown


def test_both_pages_show_the_same() -> None:
    cells = [v4.new_markdown_cell(safe_markdown(source)) for source in MARKDOWN.values()]
    cells += [
        v4.new_code_cell("", outputs=safe_outputs([nbformat.from_dict(output)]))
        for output in OUTPUTS.values()
    ]
    pages = [page(cells, template) for template in ("feedback", "formgrade")]
    for selector in (".text_cell_render", ".output_subarea"):
        one, other = ([str(found) for found in soup.select(selector)] for soup in pages)
        assert one == other


@pytest.mark.parametrize("output", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_outputs_become_wellformed(output: Any) -> None:
    cell = v4.new_code_cell("", outputs=safe_outputs([output]))
    nbformat.writes(v4.new_notebook(cells=[cell])).encode()
    assert page([cell]).select(".output_subarea")


@pytest.mark.parametrize("outputs", [None, 3, "x", {"output_type": "stream"}])
def test_what_is_no_list_of_outputs_is_none(outputs: Any) -> None:
    assert safe_outputs(outputs) == []


@pytest.mark.parametrize("source", ["", " \n", None, 3, ["# a\n", "b"], "\ud800\x00", "<![x"])
def test_malformed_markdown_does_no_harm(source: Any) -> None:
    safe_markdown(source).encode()


def test_outputs_are_not_changed_in_place() -> None:
    outputs = [nbformat.from_dict(output) for output in OUTPUTS.values()]
    before = nbformat.from_dict(outputs)
    safe_outputs(outputs)
    assert outputs == before


def test_a_picture_stays_with_its_description_and_no_other_metadata() -> None:
    output = v4.new_output(
        "display_data",
        {"image/png": f"{PNG[:20]}\n{PNG[20:]}\n", "text/plain": "A figure."},
        metadata={"image/png": {"alt": "A figure.", "width": 3}, "isolated": True},
    )
    (safe,) = safe_outputs([output])
    assert safe.data == {"image/png": PNG, "text/plain": "A figure."}
    assert safe.metadata == {"image/png": {"alt": "A figure."}}


def test_a_pandas_table_stays_a_table() -> None:
    (safe,) = safe_outputs([html_output(PANDAS)])
    soup = BeautifulSoup(safe.data["text/html"], "html.parser")
    assert [cell.get_text() for cell in soup.select("th, td")] == ["", "loss < 1", "0", "0.25"]
    assert soup.select("th[rowspan='2']")
    assert "vertical-align" not in safe.data["text/html"]


def test_text_and_colours_stay() -> None:
    text = "a < b & c\t\x1b[01;31mred\x1b[0m \x1b[38;5;12mblue\x1b[38;2;1;2;3;1mnavy\x1b[m\n"
    (stream,) = safe_outputs([v4.new_output("stream", text=text)])
    assert stream.text == text
    error = v4.new_output("error", ename="E", evalue="v", traceback=[text, text])
    assert safe_outputs([error]) == [error]


def test_a_score_stays_an_execute_result() -> None:
    output = v4.new_output("execute_result", {"text/plain": "3.0"}, execution_count=4)
    assert safe_outputs([output]) == [output]


def test_html_that_leaves_nothing_gives_way_to_the_words_beside_it() -> None:
    (safe,) = safe_outputs([html_output("<script>1</script><div></div>")])
    assert safe.data == {"text/plain": "in words"}


def test_an_output_without_anything_to_show_says_so() -> None:
    (safe,) = safe_outputs([v4.new_output("display_data", {"application/json": {}})])
    assert "was left out" in safe.data["text/plain"]


def test_what_is_too_long_is_cut_and_says_so() -> None:
    (stream,) = safe_outputs([v4.new_output("stream", text="x" * 150_000)])
    assert stream.text.endswith("x\n[50000 more characters were left out.]")
    long = v4.new_output("error", ename="E", evalue="v", traceback=["x" * 60_000] * 9)
    (error,) = safe_outputs([long])
    assert len(error.traceback) == 3
    assert error.traceback[-1] == "[The rest was left out.]"
    (html,) = safe_outputs([html_output("x" * (safe_content.MAX_HTML + 1))])
    assert html.data == {"text/plain": "in words"}


def test_a_cell_with_too_many_outputs_says_how_many_were_left_out() -> None:
    *shown, last = safe_outputs([v4.new_output("stream", text="x")] * 130)
    assert len(shown) == safe_content.MAX_OUTPUTS
    assert last.data["text/plain"] == "[30 more outputs of this cell were left out.]"
    *shown, last = safe_outputs([v4.new_output("stream", text="x" * 90_000)] * 90)
    assert len(shown) == safe_content.MAX_CELL // 90_000
    assert (
        last.data["text/plain"] == f"[{90 - len(shown)} more outputs of this cell were left out.]"
    )


@pytest.mark.parametrize(
    ("source", "readable"),
    [
        ("`a < b` and a < b & c", "a < b and a < b & c"),
        ("$a < b$ and $$\\frac{1}{D} \\sum_i x_i$$", "$a < b$ and $$\\frac{1}{D} \\sum_i x_i$$"),
        ("\\begin{align}a &= b \\\\ c\\end{align}", "\\begin{align}a &= b \\\\ c\\end{align}"),
        ("```python\nif a < b:\n\n    print('<b>')\n```", "if a < b:\n\n    print('<b>')"),
        ("```\n$\\href{x}{y}$\n```", "$\\href{x}{y}$"),
        ("[Ba et al.](https://arxiv.org/abs/1 't')", "Ba et al. (https://arxiv.org/abs/1)"),
        (
            "<https://a.example/b> or https://a.example/c",
            "https://a.example/b or https://a.example/c",
        ),
        ("[me](mailto:me@a.example)", "me (mailto:me@a.example)"),
        ("- [x] done\n- [ ] open", "☑ done\n☐ open"),
        ("![my plot](attachment:plot.png)", "[image: my plot]"),
        ("$\\href{https://a.example}{x}$", "$\N{SET MINUS}href{https://a.example}{x}$"),
    ],
)
def test_honest_markdown_stays_readable(source: str, readable: str) -> None:
    shown = markdown2html_mistune(safe_markdown(source))
    assert BeautifulSoup(shown, "html.parser").get_text().strip() == readable


def test_the_form_of_honest_markdown_stays() -> None:
    source = (
        "# A\n\n*b* **c**\n\n<details><summary>Hint</summary>\n\nd *e*\n\n</details>\n\n"
        f"| f | g |\n|---|--:|\n| h | i |\n\n3. j\n\n> k\n\n![l](data:image/png;base64,{PNG})"
    )
    soup = BeautifulSoup(markdown2html_mistune(safe_markdown(source)), "html.parser")
    for selector in ("h1", "em", "strong", "details > summary", "details em", "td", "blockquote"):
        assert soup.select(selector), selector
    assert soup.select("ol[start='3'] > li")
    assert soup.select("img[alt='l']")


@pytest.mark.parametrize("name", [path.stem for path in build.text_notebooks()])
def test_the_text_of_the_course_stays_as_it_is(name: str) -> None:
    """But for links, which become text; so nothing the course writes is taken for an attack."""
    notebook = nbformat.read(build.SOURCE / name / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            plain = BeautifulSoup(markdown2html_mistune(cell.source), "html.parser")
            for mark in plain.select(".anchor-link"):
                mark.decompose()
            shown = BeautifulSoup(safe_markdown(cell.source), "html.parser").get_text()
            shown = re.sub(r" \(https?://[^ )]+\)", "", shown)
            assert "".join(shown.split()) == "".join(plain.get_text().split())


@pytest.mark.parametrize("source", ["x" * 20_001, "\\" * 20_001, "<b>" * 7000])
def test_markdown_that_is_too_long_is_shown_as_it_was_typed(source: str) -> None:
    assert BeautifulSoup(safe_markdown(source), "html.parser").get_text() == source


def test_html_that_is_too_intricate_is_shown_as_text() -> None:
    deep = "<i>" * (MAX_DEPTH + 1)
    assert safe_html(f"{deep}x") == "<pre>x</pre>"
    many = "<i>x</i>" * MAX_TAGS
    assert BeautifulSoup(safe_html(many), "html.parser").get_text() == many
