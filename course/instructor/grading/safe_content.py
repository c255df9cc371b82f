"""What a student made, as a page may show it: outputs of cells and text in Markdown.

Feedback is opened from disk and the formgrader with an instructor's rights; both show what the
graded notebook holds as it is. So grading lets into that notebook only what these functions
return.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode, v4

from course.instructor.grading.safe_html import is_picture, safe_html

# Characters of one text. Grading cuts at 1000 lines too (nbgrader's LimitOutput), which are fewer
# characters; and to colour it nbconvert takes time that grows with the square of the length.
MAX_TEXT = 100_000
# Characters of one piece of HTML: pandas takes 40 000 for the 60 rows and 20 columns it shows.
MAX_HTML = 100_000
# Characters of one text in Markdown: three times the longest in this course.
MAX_MARKDOWN = 20_000
# Characters of base64. A figure of this course takes 100 000.
MAX_PICTURE = 3_000_000
# Outputs and characters of one cell: what a browser shows without effort.
MAX_OUTPUTS = 100
MAX_CELL = 6_000_000

_LEFT_OUT = "[An output of another kind was left out: pages show text, tables and pictures.]"

# All but tab and newline; the escape begins a colour.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# nbconvert fails on a colour that is cut short, such as `\x1b[38m`.
_CODE = (
    r"(?:[34]8;5;[0-9]{1,3}|[34]8;2;[0-9]{1,3};[0-9]{1,3};[0-9]{1,3}|(?![34]8)[0-9]{0,2}|10[0-7])"
)
_ESCAPE = re.compile(rf"(\x1b\[{_CODE}(?:;{_CODE})*m)|\x1b(?:\[[0-9;?]*[@-~])?")


def safe_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs of a student's cell, as far as they are text, tables and pictures.

    Args:
        outputs: what a kernel sent or a notebook held; anything in it may be of a wrong type.

    Returns:
        New outputs that nbformat takes. Of an output's metadata only the description of a picture
        is left. What is too long is cut or left out, and the outputs say so.
    """
    safe: list[NotebookNode] = []
    room = MAX_CELL
    given = outputs if isinstance(outputs, list) else []
    for index, output in enumerate(given):
        kept = _safe_output(output) if index < MAX_OUTPUTS else None
        room -= _size(kept) if kept else 0
        if kept is None or room < 0:
            note = f"[{len(given) - index} more outputs of this cell were left out.]"
            return [*safe, _note(note)]
        safe.append(kept)
    return safe


def safe_markdown(source: str) -> str:
    """A student's text in Markdown, as HTML that Markdown hands through as it is.

    It is rendered here with nbconvert's own renderer and the result made harmless, so that no
    second reading of the text can differ from the first. Formulas stay TeX, for MathJax.

    Args:
        source: any text.

    Returns:
        One line that begins with `<div>`; nothing for nothing. Text that is too long is shown as
        it was typed, and cut.
    """
    text = _SURROGATE.sub("\ufffd", _CONTROL.sub("", _text(source).replace("\r", "\n")))
    if not text.strip():
        return ""
    if len(text) > MAX_MARKDOWN:
        html = f"<pre>{escape(_cut(text, MAX_TEXT))}</pre>"
    else:
        renderer = _Renderer(escape=False, exclude_anchor_links=True)
        html = MarkdownWithMath(renderer=renderer).render(text)
    # Up to the next empty line Markdown takes this for HTML, so there must be none.
    return f"<div>{safe_html(html).strip()}</div>".replace("\n", "&#10;")


class _Renderer(IPythonRenderer):
    """nbconvert's renderer, but that it does not fail where an attached image is missing."""

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return super(IPythonRenderer, self).image(text, url, title)


def _safe_output(output: object) -> NotebookNode:
    fields = output if isinstance(output, Mapping) else {}
    kind = fields.get("output_type")
    if kind == "stream":
        name = "stderr" if fields.get("name") == "stderr" else "stdout"
        return v4.new_output("stream", name=name, text=_plain(fields.get("text")))
    if kind == "error":
        return v4.new_output(
            "error",
            ename=_plain(fields.get("ename")),
            evalue=_plain(fields.get("evalue")),
            traceback=list(_safe_traceback(fields.get("traceback"))),
        )
    data = dict(_safe_data(fields.get("data"))) or {"text/plain": _LEFT_OUT}
    metadata = {
        mime: {"alt": description}
        for mime in data
        if mime.startswith("image/") and (description := _description(fields.get("metadata"), mime))
    }
    if kind != "execute_result":
        return v4.new_output("display_data", data, metadata=metadata)
    count = fields.get("execution_count")
    count = count if type(count) is int and count >= 0 else None  # True is an int too
    return v4.new_output("execute_result", data, metadata=metadata, execution_count=count)


def _safe_data(data: object) -> Iterator[tuple[str, str]]:
    """The representations that may be kept, by MIME type."""
    if not isinstance(data, Mapping):
        return
    for mime in ("image/png", "image/jpeg"):
        picture = "".join(_text(data.get(mime)).split())
        if len(picture) <= MAX_PICTURE and is_picture(mime, picture):
            yield mime, picture
    html = _text(data.get("text/html"))
    if len(html) <= MAX_HTML:
        html = safe_html(_SURROGATE.sub("\ufffd", _CONTROL.sub("", html)))
        # An empty output would hide the text that comes with it.
        if "<img" in html or re.sub(r"<[^>]*>", "", html).strip():
            yield "text/html", html
    if plain := _plain(data.get("text/plain")):
        yield "text/plain", plain


def _safe_traceback(traceback: object) -> Iterator[str]:
    room = MAX_TEXT
    for entry in traceback if isinstance(traceback, list) else [traceback]:
        if room < 0:
            yield "[The rest was left out.]"
            return
        lines = _plain(entry)
        room -= len(lines)
        yield lines


def _description(metadata: object, mime: str) -> str:
    """The description of a picture, for those who cannot see it."""
    of_picture = metadata.get(mime) if isinstance(metadata, Mapping) else None
    return _plain(of_picture.get("alt")) if isinstance(of_picture, Mapping) else ""


def _plain(value: object) -> str:
    """A text without control characters but colours, cut where it is too long."""
    text = _CONTROL.sub("", _SURROGATE.sub("\ufffd", _cut(_text(value), MAX_TEXT)))
    return _ESCAPE.sub(lambda match: match[1] or "", text)


def _text(value: object) -> str:
    """A text, or the lines of one as notebooks hold it; nothing of another type."""
    if isinstance(value, list):
        value = "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _cut(text: str, length: int) -> str:
    left_out = len(text) - length
    if left_out <= 0:
        return text
    return f"{text[:length]}\n[{left_out} more characters were left out.]"


def _note(text: str) -> NotebookNode:
    return v4.new_output("display_data", {"text/plain": text})


def _size(output: NotebookNode) -> int:
    texts = [*output.get("data", {}).values(), *output.get("traceback", [])]
    return len(output.get("text", "")) + sum(len(text) for text in texts)
