"""Attacks on whoever opens a page of feedback: scripts of the student that run there."""

from collections.abc import Callable

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

from tests.attacks.attack import NAME, WRONG, World, code, notebook, solution_cell
from tests.attacks.browser import ELSEWHERE, OWN
from tests.attacks.in_kernel import SEND

SCRIPT = f"<script>{OWN}</script>"
PICTURE = f'<img src=x onerror="{OWN}">'


def _shown(data: dict[str, object], metadata: dict[str, object] | None = None) -> str:
    """Code that displays a bundle as it is."""
    content = {"data": data, "metadata": metadata or {}}
    return f"{SEND}\nsend('display_data', {content!r})"


@code()
def a_script_in_an_output(world: World) -> str:
    """Displays HTML with a script in it."""
    return _shown({"text/html": SCRIPT})


@code()
def a_handler_in_an_output(world: World) -> str:
    """Displays HTML with a picture that fails to load, and a handler for that."""
    return _shown(
        {"text/html": PICTURE + "<details open ontoggle=" + OWN + "><summary>a</summary>"}
    )


@code()
def javascript_as_an_output(world: World) -> str:
    """Displays JavaScript as such."""
    return _shown({"application/javascript": f"{OWN}"})


@code()
def a_drawing_with_a_script(world: World) -> str:
    """Displays a drawing with a script and handlers in it."""
    svg = "<svg xmlns='http://www.w3.org/2000/svg'"
    return _shown({"image/svg+xml": f"{svg} onload='{OWN}'><script>{OWN}</script></svg>"})


@code()
def markdown_as_an_output(world: World) -> str:
    """Displays Markdown with HTML in it."""
    return _shown({"text/markdown": f"**b** {PICTURE}\n\n{SCRIPT}\n\n[a](javascript:{OWN})"})


@code()
def latex_as_an_output(world: World) -> str:
    """Displays LaTeX with HTML in it."""
    return _shown({"text/latex": f"$x</div>{PICTURE}$"})


@code()
def a_picture_that_is_html(world: World) -> str:
    """Displays pictures whose data end the attribute that they are written into."""
    escape = f'"><b>{PICTURE}'
    return _shown({"image/png": escape}) + "\n" + _shown({"image/jpeg": escape})


@code()
def the_width_of_a_picture(world: World) -> str:
    """Gives a picture a width that holds a handler, for an attribute without quotes."""
    width = {"width": f"1 onerror={OWN}", "height": f"1 onerror={OWN}", "alt": f'" onerror="{OWN}'}
    return _shown({"image/png": "x"}, {"image/png": width, **width})


@code()
def the_file_name_of_a_picture(world: World) -> str:
    """Names the file that a picture was written to, with markup in the name."""
    names = {"filenames": {"image/png": f'x" onerror="{OWN}', "image/svg+xml": f"'>{PICTURE}"}}
    return _shown({"image/png": "x"}, names)


@code()
def a_script_in_plain_text(world: World) -> str:
    """Prints markup between control codes, for whoever turns those into HTML."""
    return f"print('\\x1b[31m{PICTURE}\\x1b]8;;javascript:{OWN}\\x07link\\x1b[0m{SCRIPT}')"


@code()
def a_script_in_a_traceback(world: World) -> str:
    """Raises an error with markup in its name and message."""
    return (
        SEND
        + f"""
send("error", {{"ename": {PICTURE!r}, "evalue": {SCRIPT!r}, "traceback": [{PICTURE!r}]}})
raise type({PICTURE!r}, (Exception,), {{}})({SCRIPT!r})
"""
    )


@code()
def a_script_in_the_error_of_the_function(world: World) -> str:
    """Raises an error with markup from within the function, for the report card to tell."""
    return f"""
def layer_norm(x, gamma, beta, eps=1e-5):
    print({PICTURE!r})
    raise type({PICTURE!r}, (Exception,), {{}})({SCRIPT!r} + {PICTURE!r})
"""


@code()
def a_script_as_a_number_of_execution(world: World) -> str:
    """Says that the number of the execution is a picture with a handler."""
    return (
        SEND
        + f"""
send("execute_input", {{"code": "", "execution_count": {PICTURE!r}}})
send("execute_result", result("1", execution_count={PICTURE!r}))
honest = get_ipython().kernel.session.send

def patched(stream, message, content=None, *rest, **more):
    for part in (content, message["content"] if isinstance(message, dict) else None):
        if part and "execution_count" in part:
            part["execution_count"] = {PICTURE!r}
    return honest(stream, message, content, *rest, **more)

get_ipython().kernel.session.send = patched
"""
    )


@code()
def a_widget_with_a_script(world: World) -> str:
    """Opens widgets whose state ends the script element that they are stored in."""
    view = {"version_major": 2, "version_minor": 0, "model_id": f"</script>{PICTURE}"}
    state = {
        "_model_module": "@jupyter-widgets/controls",
        "_model_name": "HTMLModel",
        "value": f"</script><!-- {PICTURE}",
    }
    opened = {"data": {"state": state, "buffer_paths": []}, "target_name": "jupyter.widget"}
    return (
        _shown({"application/vnd.jupyter.widget-view+json": view, "text/plain": "w"})
        + f"\nsend('comm_open', {opened | {'comm_id': '</script>' + PICTURE}!r})"
    )


@code()
def an_unheard_of_kind_of_output(world: World) -> str:
    """Displays bundles of kinds whose names are markup, and of kinds that are not text."""
    return (
        _shown({f"text/{PICTURE}": PICTURE, "application/pdf": PICTURE})
        + "\n"
        + _shown({"text/vnd.mermaid": f"graph TD; A[{PICTURE}]-->B; click A call alert()"})
    )


@code()
def a_stream_of_another_name(world: World) -> str:
    """Sends a stream whose name is markup."""
    return f'{SEND}\nsend("stream", {{"name": {PICTURE!r}, "text": {PICTURE!r}}})'


@code()
def a_page_led_elsewhere(world: World) -> str:
    """Displays HTML that leads the page elsewhere, or turns its links elsewhere."""
    address = f"file:///tmp/{ELSEWHERE}"
    return _shown(
        {
            "text/html": f'<meta http-equiv="refresh" content="0; url={address}">'
            f'<base href="{address}/"><form action="{address}"><input autofocus '
            f'onfocus="this.form.submit()"></form>'
        }
    )


@code()
def a_page_within_the_page(world: World) -> str:
    """Displays frames and objects that hold scripts."""
    return _shown(
        {
            "text/html": f'<iframe srcdoc="{SCRIPT}"></iframe><embed src="javascript:{OWN}">'
            f'<object data="data:text/html,{SCRIPT}"></object>'
            f'<iframe src="javascript:{OWN}"></iframe>'
        }
    )


@code()
def markup_for_sanitizers(world: World) -> str:
    """Displays markup that is harmless until it is parsed a second time."""
    return _shown(
        {
            "text/html": "<math><mtext><table><mglyph><style><!--</style>"
            f'<img title="--&gt;{PICTURE.replace(chr(34), "&quot;")}">'
            f'<noscript><p title="</noscript>{PICTURE.replace(chr(34), "")}">'
            f'<svg></p><style><a id="</style>{PICTURE.replace(chr(34), "")}">'
            f"<a href=' &#x6A;avascript:{OWN}'>a</a><a href='java\tscript:{OWN}'>b</a>"
            f"<form><button formaction=javascript:{OWN}>c</button></form>"
        }
    )


def _in_text(source: str) -> Callable[[NotebookNode], None]:
    def change(whole: NotebookNode) -> None:
        whole.cells.append(new_markdown_cell(source))

    return change


@notebook()
def a_script_in_markdown(whole: NotebookNode) -> None:
    """Writes a script and handlers into a text cell."""
    _in_text(f"Text {PICTURE}\n\n{SCRIPT}\n\n<details open ontoggle={OWN}><summary>a</summary>")(
        whole
    )


@notebook()
def a_link_in_markdown(whole: NotebookNode) -> None:
    """Writes links into a text cell that run a script when they are followed."""
    _in_text(
        f"[a](javascript:{OWN}) <a href='javascript:{OWN}'>b</a>"
        f" [c](&#106;avascript:{OWN}) [d][e]\n\n[e]: JaVaScRiPt:{OWN}\n\n<javascript:{OWN}>"
    )(whole)


@notebook()
def a_picture_in_markdown(whole: NotebookNode) -> None:
    """Writes pictures into a text cell whose title and address end their attributes."""
    _in_text(f'![a](x"onerror="{OWN}) ![b](y \'c" onerror="{OWN}\')')(whole)


@notebook()
def a_formula_in_markdown(whole: NotebookNode) -> None:
    """Writes formulas into a text cell that hold markup, which is not touched within dollars."""
    _in_text(f"$x {PICTURE}$\n\n$$\\href{{javascript:{OWN}}}{{y}} {PICTURE}$$\n\n`a`$`{PICTURE}`$")(
        whole
    )


@notebook()
def code_in_markdown(whole: NotebookNode) -> None:
    """Writes code of a language into a text cell whose name is markup."""
    _in_text(f"```{PICTURE}\nx\n```\n\n```mermaid\ngraph TD; A[{PICTURE}]\n```\n\n# {PICTURE}")(
        whole
    )


@notebook()
def an_attachment_with_a_script(whole: NotebookNode) -> None:
    """Attaches a page and a drawing with scripts to a text cell."""
    cell = new_markdown_cell("![a](attachment:a) <img src='attachment:b'>")
    cell["attachments"] = {
        "a": {f'text/html"><b>{PICTURE}': f'"><b>{PICTURE}'},
        "b": {"image/svg+xml": f'"><b>{PICTURE}'},
    }
    whole.cells.append(cell)


@notebook()
def a_script_in_a_raw_cell(whole: NotebookNode) -> None:
    """Writes a script into a raw cell, which is copied as it is."""
    cell = new_raw_cell(f"{SCRIPT}{PICTURE}")
    cell.metadata["format"] = cell.metadata["raw_mimetype"] = "text/html"
    whole.cells.append(cell)


@notebook()
def a_script_in_the_code(whole: NotebookNode) -> None:
    """Writes markup into its code, and names a language of markup to highlight it by."""
    solution_cell(whole).source = f"{WRONG}\n# {PICTURE} {SCRIPT} </pre></div>{PICTURE}"
    magic = new_code_cell(f"%%html\n{SCRIPT}{PICTURE}")
    magic.metadata["magics_language"] = f'"><b>{PICTURE}'
    whole.cells.append(magic)
    whole.metadata.language_info = {"name": f'"><b>{PICTURE}', "pygments_lexer": PICTURE}


@notebook()
def a_script_in_the_title(whole: NotebookNode) -> None:
    """Gives the notebook a title and authors that are markup."""
    whole.metadata["title"] = f"</title>{SCRIPT}"
    whole.metadata["authors"] = [{"name": PICTURE}]
    whole.metadata["lang"] = f'"><b>{PICTURE}'
    whole.metadata["widgets"] = {
        "application/vnd.jupyter.widget-state+json": {"state": {"a": f"</script>{PICTURE}"}}
    }


@notebook()
def a_script_in_the_ids(whole: NotebookNode) -> None:
    """Gives cells ids and tags that end the attributes which they are written into."""
    for cell in whole.cells:
        cell.id = f'x" onclick="{OWN}"><b>{PICTURE}'
        cell.metadata.tags = [*cell.metadata.get("tags", ()), f'"><b>{PICTURE}']


@notebook()
def a_script_in_a_grade_id(whole: NotebookNode) -> None:
    """Adds a cell that claims to be graded under an id that is markup."""
    for flags in (
        {"grade": True, "solution": True, "points": 1},
        {"grade": False, "solution": True},
    ):
        cell = new_code_cell("1")
        cell.metadata["nbgrader"] = {
            "grade_id": f'"><b>{PICTURE}{len(flags)}',
            "locked": False,
            "schema_version": 3,
            "task": False,
            **flags,
        }
        whole.cells.append(cell)


@notebook()
def a_comment_with_a_script(whole: NotebookNode) -> None:
    """Stores a comment and a score in the metadata that pages of feedback are made from."""
    solution_cell(whole).metadata.nbgrader["comment"] = PICTURE
    solution_cell(whole).metadata.nbgrader["score"] = PICTURE
    whole.metadata["nbgrader"] = {"comment": PICTURE, "score": 10}


@code()
def a_file_named_as_a_page(world: World) -> str:
    """Leaves pages of its own where the feedback is collected from, under its name."""
    return f"""
import os
for folder in (".", {str(world.root / "feedback")!r}):
    for name in ("{NAME}.html", "index.html", "<img src=x onerror=alert(1)>.html"):
        try:
            open(os.path.join(folder, name), "w").write({SCRIPT!r})
        except OSError as error:
            print(error)
"""
