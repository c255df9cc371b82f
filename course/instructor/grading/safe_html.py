"""HTML from a student's notebook, made harmless: text, tables and pictures stay, nothing acts.

What is left has no link, form, style, id or class. Not even an honest link can be clicked, for the
formgrader is opened with an instructor's rights, and some of its addresses act when they are
opened: `formgrader?path=FOLDER` runs the `nbgrader_config.py` in any folder. So a link becomes its
text, with its address behind it. A picture is kept where it lies in the page itself.
"""

import base64
import binascii
import re
from html import escape

import bleach
from bs4 import BeautifulSoup
from bs4.element import PreformattedString
from bs4.exceptions import ParserRejectedMarkup

_BLOCKS = ("blockquote", "details", "div", "figcaption", "figure", "hr", "p", "pre", "summary")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LISTS = ("dd", "dl", "dt", "li", "ol", "ul")
_TABLES = ("caption", "col", "colgroup", "table", "tbody", "td", "tfoot", "th", "thead", "tr")
_WORDS = ("abbr", "b", "br", "code", "del", "em", "i", "img", "ins", "kbd", "mark", "q", "s")
_SMALL_WORDS = ("samp", "small", "strong", "sub", "sup", "tt", "u", "var")
TAGS = frozenset((*_BLOCKS, *_HEADINGS, *_LISTS, *_TABLES, *_WORDS, *_SMALL_WORDS))

# Tags of one piece of HTML: pandas takes 2700 for the 60 rows and 20 columns it shows.
MAX_TAGS = 5000
# Elements within elements: a pandas table has 5. A `<p>` within many unclosed `<i>` opens each of
# them again, so without a limit little HTML becomes much.
MAX_DEPTH = 50

# What these hold is no text for a reader. Other elements that are not in TAGS leave their text.
_NOT_TEXT = ["iframe", "math", "noembed", "noframes", "noscript", "object", "script", "style"]
_NOT_TEXT += ["svg", "template", "title"]

_NUMBER = re.compile(r"[0-9]{1,4}")
_ATTRIBUTES = {("td", "colspan"), ("td", "rowspan"), ("th", "colspan"), ("th", "rowspan")}
_ATTRIBUTES |= {("ol", "start")}
_TEXTS = {("img", "alt"), ("abbr", "title")}

_ADDRESS = re.compile(r"(?:https?://|mailto:)\S+", re.IGNORECASE)
_PICTURE = re.compile(r"data:(image/(?:png|jpeg));base64,([A-Za-z0-9+/=]+)")
_SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}

# MathJax reads formulas in the text of a page. These of its commands make links, load code, set
# classes, ids and styles, or show other things than they hold; define commands, perhaps one of
# these by another name; or move things over what stands beside them.
_TEX_ACTS = (
    "href|url|require|autoload|unicode|class|cssId|style|data|bbox|enclose|mmlToken|includegraphics"
    "|texttip|mathtip|toggle"
    "|def|gdef|edef|xdef|let|futurelet|csname|newcommand|renewcommand|providecommand"
    "|newenvironment|renewenvironment|newextarrow|begingroup|endgroup|global"
    "|rule|space|raise|lower|moveleft|moveright|llap|rlap|clap|mathllap|mathrlap|mathclap|smash"
    "|kern|mkern|mskip|hskip|hspace|mspace"
)
_TEX_COMMAND = re.compile(rf"(?<!\\)\\++(?=(?:{_TEX_ACTS})(?![a-z]))", re.IGNORECASE)
# Looks like a backslash, and is none.
_SET_MINUS = "\N{SET MINUS}"


def safe_html(html: str) -> str:
    """Make HTML harmless.

    Args:
        html: any text, well-formed or not.

    Returns:
        Balanced HTML of TAGS. What no parser takes, or is nested too deep, is shown as text.
    """
    soup = _parsed(html)
    if _is_deeper_than(MAX_DEPTH, soup):
        soup = _parsed(_as_text(soup.get_text()))
    _make_readable(soup)
    clean = bleach.clean(
        str(soup), tags=TAGS, attributes=_is_allowed, protocols={"data"}, strip=True
    )
    return _without_tex_that_acts(clean)


def is_picture(mime: str, data: str) -> bool:
    """Whether data is base64 of an image of the type that mime says, PNG or JPEG."""
    if mime not in _SIGNATURES:
        return False
    try:
        return base64.b64decode(data, validate=True).startswith(_SIGNATURES[mime])
    except (binascii.Error, ValueError):
        return False


def _parsed(html: str) -> BeautifulSoup:
    try:
        if html.count("<") <= MAX_TAGS:
            tags, end, text = html.rpartition(">")
            # A tag without an end is none, but the parser would look for its end again and again.
            return BeautifulSoup(tags + end + text.replace("<", "&lt;"), "html.parser")
    except ParserRejectedMarkup:
        pass
    return BeautifulSoup(_as_text(html), "html.parser")


def _as_text(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _is_deeper_than(limit: int, soup: BeautifulSoup) -> bool:
    depths = {id(soup): 0}
    for element in soup.find_all(True):
        depth = depths[id(element)] = depths[id(element.parent)] + 1
        if depth > limit:
            return True
    return False


def _make_readable(soup: BeautifulSoup) -> None:
    """Put text in the place of what will not be kept, where a reader would miss it."""
    for element in soup.find_all(_NOT_TEXT):
        element.decompose()
    # Comments and the like, whose end the next parser may see elsewhere.
    for text in soup.find_all(string=lambda text: isinstance(text, PreformattedString)):
        text.extract()
    for link in soup.find_all("a"):
        address = str(link.get("href", "")).strip()
        if _ADDRESS.fullmatch(address) and address.removeprefix("mailto:") not in link.get_text():
            link.append(f" ({address})")
        link.unwrap()
    for image in soup.find_all("img"):
        if not _is_data_picture(str(image.get("src", ""))):
            image.replace_with(f"[image: {image.get('alt') or 'left out'}]")
    for box in soup.find_all("input", type="checkbox"):
        box.replace_with(
            "\N{BALLOT BOX WITH CHECK} " if box.has_attr("checked") else "\N{BALLOT BOX} "
        )


def _is_allowed(tag: str, name: str, value: str) -> bool:
    """Whether bleach may keep an attribute."""
    if (tag, name) == ("img", "src"):
        return _is_data_picture(value)
    if (tag, name) in _ATTRIBUTES:
        return _NUMBER.fullmatch(value) is not None
    return (tag, name) in _TEXTS


def _is_data_picture(address: str) -> bool:
    match = _PICTURE.fullmatch(address)
    return match is not None and is_picture(match[1], match[2])


def _without_tex_that_acts(clean: str) -> str:
    """Take the backslash from TeX commands that act, but in code, where MathJax reads nothing.

    This comes last, when the text is what a browser will find: before, an entity or an element in
    the midst of a command would hide it.
    """
    soup = BeautifulSoup(clean, "html.parser")
    for text in soup.find_all(string=_TEX_COMMAND):
        if text.find_parent(["pre", "code"]) is None:
            text.replace_with(_TEX_COMMAND.sub(_SET_MINUS, text))
    return str(soup)
