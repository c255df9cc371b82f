"""Attacks by what a notebook file holds: its cells, its metadata, its bytes."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from tests.attacks.attack import (
    NAME,
    RIGHT,
    TASK,
    TOLD,
    WRONG,
    World,
    attack,
    check_cell,
    notebook,
    path,
    slim,
    solution_cell,
)

SOLUTION = f"{TASK}_solution"


def _bytes(folder: Path, data: bytes) -> None:
    path(folder).write_bytes(data)


def _text(whole: NotebookNode) -> str:
    return json.dumps(whole)


@notebook(work=RIGHT, honest_score=10.0)
def a_duplicated_check(whole: NotebookNode) -> None:
    """Duplicates the check cell of right work, as a copy and paste does."""
    whole.cells.append(deepcopy(check_cell(whole)))


@notebook(work=RIGHT, honest_score=10.0)
def a_duplicated_check_of_another_kind(whole: NotebookNode) -> None:
    """Duplicates the check cell, and makes one of the two text."""
    copy = deepcopy(check_cell(whole))
    copy.cell_type = "markdown"
    del copy["outputs"], copy["execution_count"]
    whole.cells.insert(1, copy)


@notebook(work=RIGHT, honest_score=10.0)
def a_duplicated_solution(whole: NotebookNode) -> None:
    """Duplicates the solution cell of right work; the first of the two is wrong."""
    copy = deepcopy(solution_cell(whole))
    copy.source = WRONG
    whole.cells.insert(1, copy)


@notebook(work=RIGHT, honest_score=10.0)
def a_deleted_check(whole: NotebookNode) -> None:
    """Deletes the check cell below right work."""
    whole.cells.remove(check_cell(whole))


@notebook(expected=TOLD)
def a_deleted_check_below_wrong_work(whole: NotebookNode) -> None:
    """Deletes the check cell below wrong work, so that nothing is graded."""
    whole.cells.remove(check_cell(whole))


@notebook(expected=TOLD)
def a_deleted_solution(whole: NotebookNode) -> None:
    """Deletes the solution cell."""
    whole.cells.remove(solution_cell(whole))


@notebook(work=RIGHT, honest_score=10.0)
def a_solution_in_another_cell(whole: NotebookNode) -> None:
    """Writes right work into a cell of its own, and deletes the one that was meant for it."""
    cell = solution_cell(whole)
    whole.cells[whole.cells.index(cell)] = new_code_cell(cell.source)


@notebook(expected=TOLD)
def reordered_cells(whole: NotebookNode) -> None:
    """Moves the check cell to the top."""
    whole.cells.reverse()


@notebook()
def a_check_retyped_as_text(whole: NotebookNode) -> None:
    """Makes the check cell a text cell."""
    check_cell(whole).cell_type = "markdown"


@notebook()
def a_check_retyped_as_raw(whole: NotebookNode) -> None:
    """Makes the check cell a raw cell, which stock nbgrader hands to a person."""
    check_cell(whole).cell_type = "raw"


@notebook()
def a_check_of_an_unknown_type(whole: NotebookNode) -> None:
    """Makes the check cell a cell of a type that there is not."""
    check_cell(whole).cell_type = "<script>"


@notebook()
def an_unlocked_check(whole: NotebookNode) -> None:
    """Unlocks the check cell and replaces its source by the score."""
    cell = check_cell(whole)
    cell.metadata.nbgrader.locked = False
    cell.source = "10.0"


@notebook()
def a_check_flagged_as_a_solution(whole: NotebookNode) -> None:
    """Flags the check cell as a solution, so that a person has to grade it."""
    check_cell(whole).metadata.nbgrader.solution = True
    check_cell(whole).source = "10.0"


@notebook()
def a_check_that_is_not_graded(whole: NotebookNode) -> None:
    """Flags the check cell as not graded."""
    check_cell(whole).metadata.nbgrader.grade = False


@notebook()
def a_check_pointed_elsewhere(whole: NotebookNode) -> None:
    """Points the check at a function of its own."""
    check_cell(whole).source = f"check = lambda *_: 10.0\ncheck({TASK!r}, len)"


@notebook()
def a_check_under_another_id(whole: NotebookNode) -> None:
    """Gives the id of the check to a cell of its own, and another to the check."""
    cell = check_cell(whole)
    own = deepcopy(cell)
    own.source = "10.0"
    cell.metadata.nbgrader.grade_id = "ex01_other"
    whole.cells.append(own)


@notebook()
def swapped_ids(whole: NotebookNode) -> None:
    """Swaps the ids of the solution and of the check."""
    check, solution = check_cell(whole).metadata.nbgrader, solution_cell(whole).metadata.nbgrader
    check.grade_id, solution.grade_id = solution.grade_id, check.grade_id


@notebook()
def a_check_of_their_own(whole: NotebookNode) -> None:
    """Adds a cell that claims to be a check and is worth 10 points."""
    cell = new_code_cell("10.0")
    cell.metadata.nbgrader = {
        **check_cell(whole).metadata.nbgrader,
        "grade_id": "ex01_bonus",
        "checksum": "0" * 32,
    }
    whole.cells.append(cell)


@notebook()
def a_thousand_points(whole: NotebookNode) -> None:
    """Makes the check worth 1,000 points."""
    check_cell(whole).metadata.nbgrader.points = 1000
    check_cell(whole).source = "1000.0"


@notebook()
def points_that_are_no_number(whole: NotebookNode) -> None:
    """Makes the check worth NaN points."""
    check_cell(whole).metadata.nbgrader.points = float("nan")


@notebook(expected=TOLD)
def points_that_are_a_list(whole: NotebookNode) -> None:
    """Makes the check worth a list."""
    check_cell(whole).metadata.nbgrader.points = [10]


@notebook()
def a_copied_checksum(whole: NotebookNode) -> None:
    """Changes the check and stores the checksum of the change."""
    from nbgrader.utils import compute_checksum

    cell = check_cell(whole)
    cell.source = "10.0"
    cell.metadata.nbgrader.checksum = compute_checksum(cell)


@notebook(work=RIGHT, honest_score=10.0)
def a_schema_of_the_future(whole: NotebookNode) -> None:
    """Claims version 99 of nbgrader's schema, which makes stock nbgrader stop the batch."""
    check_cell(whole).metadata.nbgrader.schema_version = 99


@notebook(work=RIGHT, honest_score=10.0)
def a_schema_of_the_past(whole: NotebookNode) -> None:
    """Claims version 1 of nbgrader's schema, which makes stock nbgrader stop the batch."""
    check_cell(whole).metadata.nbgrader.schema_version = 1


@notebook(expected=TOLD)
def a_schema_that_is_text(whole: NotebookNode) -> None:
    """Claims a version of nbgrader's schema that is text."""
    check_cell(whole).metadata.nbgrader.schema_version = "three"


@notebook()
def a_task_cell(whole: NotebookNode) -> None:
    """Flags the check as a task, which a person grades."""
    check_cell(whole).metadata.nbgrader.task = True


@notebook(expected=TOLD)
def metadata_that_is_text(whole: NotebookNode) -> None:
    """Makes nbgrader's metadata a text, a list and a number."""
    for cell, value in zip(whole.cells, ("text", ["a", "list"], 7), strict=False):
        cell.metadata["nbgrader"] = value


@notebook(work=RIGHT, honest_score=10.0)
def metadata_without_its_parts(whole: NotebookNode) -> None:
    """Leaves nbgrader's metadata in place, empty, on a cell of right work's own."""
    cell = new_code_cell("1")
    cell.metadata["nbgrader"] = {}
    whole.cells.append(cell)
    whole.cells.append(deepcopy(cell))
    whole.cells[-1].metadata["nbgrader"] = {"grade": True}


@notebook()
def a_solution_for_a_person(whole: NotebookNode) -> None:
    """Flags the solution as graded by a person, with points of its own."""
    solution_cell(whole).metadata.nbgrader.update(grade=True, points=10.0)


@notebook()
def a_check_that_is_skipped(whole: NotebookNode) -> None:
    """Tags the check, so that what executes notebooks skips it or hides what it raises."""
    cell = check_cell(whole)
    cell.metadata.tags = ["skip-execution", "raises-exception", "remove-input", "show", "check"]


@notebook()
def a_solution_that_only_shows(whole: NotebookNode) -> None:
    """Tags the cells as ones that only show something, which grading skips."""
    for cell in whole.cells:
        cell.metadata.tags = ["show"]


@notebook(work=RIGHT, honest_score=10.0)
def tags_that_are_no_list(whole: NotebookNode) -> None:
    """Makes the tags of a cell of right work's own a text, and null."""
    for tags in ("show", None, 7, [["show"], None]):
        cell = new_code_cell("1")
        cell.metadata["tags"] = tags
        whole.cells.append(cell)


@notebook()
def a_kernel_of_another_language(whole: NotebookNode) -> None:
    """Names a kernel of another language."""
    whole.metadata.kernelspec = {"name": "bash", "display_name": "Bash", "language": "bash"}
    whole.metadata.language_info = {"name": "bash"}


@notebook()
def a_kernel_with_a_command(whole: NotebookNode) -> None:
    """Names a kernel by a path, with a command to start it."""
    whole.metadata.kernelspec = {
        "name": "../../../../tmp/kernel",
        "display_name": "x",
        "argv": ["/bin/sh", "-c", "id"],
        "metadata": {"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
    }


@notebook(work=RIGHT, honest_score=10.0)
def no_kernel_at_all(whole: NotebookNode) -> None:
    """Leaves out all metadata of the notebook."""
    whole.metadata = {}


@notebook()
def a_result_that_was_there(whole: NotebookNode) -> None:
    """Stores a score as the output of the check, and lets nothing run after it."""
    cell = check_cell(whole)
    cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "10.0"})]
    cell.execution_count = 7
    solution_cell(whole).source += "\nraise SystemExit"


@notebook()
def a_magic_that_swallows(whole: NotebookNode) -> None:
    """Replaces the check by magics that run it elsewhere, or not at all."""
    check_cell(whole).source = "%%capture\n" + check_cell(whole).source
    solution_cell(whole).source += "\n%alias_magic check time\n%%script false\n"


@notebook(expected=TOLD)
def null_bytes_and_surrogates(whole: NotebookNode) -> None:
    """Writes null bytes, lone surrogates and direction marks into the source."""
    solution_cell(whole).source += "\n# \0 \ud800 \u202e \u2028 \x1b[2J\n"


@attack(expected=TOLD, honest_score=10.0)
def sources_as_lists(folder: Path, world: World) -> None:
    """Stores each source as a list of lines, as Jupyter itself does."""
    whole = slim(RIGHT)
    for cell in whole.cells:
        cell.source = cell.source.splitlines(keepends=True)
    _bytes(folder, _text(whole).encode())


def _damaged(change: Callable[[Any], object]) -> Callable[[Path, World], None]:
    def submit(folder: Path, world: World) -> None:
        whole = json.loads(_text(slim(WRONG)))
        change(whole)
        _bytes(folder, json.dumps(whole).encode())

    submit.__name__ = change.__name__
    submit.__doc__ = change.__doc__
    return attack(expected=TOLD)(submit)


@_damaged
def a_source_that_is_a_number(whole: Any) -> None:
    """Stores a number as a source."""
    whole["cells"][1]["source"] = 10


@_damaged
def a_source_that_is_null(whole: Any) -> None:
    """Stores null as a source."""
    whole["cells"][-1]["source"] = None


@_damaged
def cells_that_are_no_list(whole: Any) -> None:
    """Stores an object in the place of the cells."""
    whole["cells"] = {}


@_damaged
def cells_that_are_null(whole: Any) -> None:
    """Puts null, numbers and texts among the cells."""
    whole["cells"] += [None, 7, "cell", []]


@_damaged
def no_cells(whole: Any) -> None:
    """Hands in a notebook without cells."""
    whole["cells"] = []


@_damaged
def cells_without_metadata(whole: Any) -> None:
    """Leaves out the metadata of the cells."""
    for cell in whole["cells"]:
        del cell["metadata"]


@_damaged
def a_format_of_the_future(whole: Any) -> None:
    """Claims version 99 of the notebook format."""
    whole["nbformat"] = 99


@_damaged
def a_format_that_is_text(whole: Any) -> None:
    """Claims a version of the notebook format that is text."""
    whole["nbformat"], whole["nbformat_minor"] = "four", None


@_damaged
def a_hundred_thousand_cells(whole: Any) -> None:
    """Adds 20,000 empty cells."""
    empty = {"cell_type": "markdown", "metadata": {}, "source": ""}
    whole["cells"] += [{**empty, "id": f"c{number}"} for number in range(20_000)]


@_damaged
def a_notebook_with_large_outputs(whole: Any) -> None:
    """Stores 50 MB of output in the notebook."""
    output = {"output_type": "stream", "name": "stdout", "text": "x" * 50_000_000}
    whole["cells"][-1]["outputs"] = [output]


@attack(expected=TOLD)
def a_format_of_long_ago(folder: Path, world: World) -> None:
    """Hands in the notebook in version 3 of the format."""
    whole = nbformat.convert(slim(WRONG), 3)
    _bytes(folder, nbformat.v3.writes_json(whole).encode())


@attack(expected=TOLD)
def invalid_json(folder: Path, world: World) -> None:
    """Hands in the first half of a notebook."""
    text = _text(slim(WRONG))
    _bytes(folder, text[: len(text) // 2].encode())


@attack(expected=TOLD)
def an_empty_file(folder: Path, world: World) -> None:
    """Hands in an empty file."""
    _bytes(folder, b"")


@attack(expected=TOLD)
def json_that_is_no_notebook(folder: Path, world: World) -> None:
    """Hands in a JSON list."""
    _bytes(folder, b'["a", 1, null]')


@attack(expected=TOLD)
def not_utf8(folder: Path, world: World) -> None:
    """Hands in a notebook in Latin-1."""
    whole = slim(WRONG + "# f\xfcr \xfc\n")
    _bytes(folder, json.dumps(whole, ensure_ascii=False).encode("latin-1"))


@attack(expected=TOLD)
def utf16(folder: Path, world: World) -> None:
    """Hands in a notebook in UTF-16."""
    _bytes(folder, _text(slim(WRONG)).encode("utf-16"))


@attack(expected=TOLD)
def a_byte_order_mark(folder: Path, world: World) -> None:
    """Hands in a notebook with a byte order mark before it."""
    _bytes(folder, b"\xef\xbb\xbf" + _text(slim(WRONG)).encode())


@attack(expected=TOLD)
def deep_json(folder: Path, world: World) -> None:
    """Hands in a notebook with metadata nested 100,000 deep."""
    text = _text(slim(WRONG))
    deep = "[" * 100_000 + "]" * 100_000
    _bytes(folder, text.replace('"metadata": {', '"metadata": {"x": ' + deep + ", ", 1).encode())


@attack(expected=TOLD)
def numbers_without_end(folder: Path, world: World) -> None:
    """Hands in a notebook with integers of 100,000 digits, NaN and Infinity in it."""
    text = _text(slim(WRONG))
    number = "9" * 100_000
    extra = f'"metadata": {{"a": {number}, "b": NaN, "c": -Infinity, "d": 1e999, '
    _bytes(folder, text.replace('"metadata": {', extra, 1).encode())


@attack()
def keys_that_stand_twice(folder: Path, world: World) -> None:
    """Stores two sources for the check, of which one reader takes the first, another the last."""
    whole = slim(WRONG)
    source = f'"source": {json.dumps(check_cell(whole).source)}'
    text = _text(whole)
    assert source in text
    _bytes(folder, text.replace(source, f'{source}, "source": "10.0"').encode())


@attack(expected=TOLD, honest_score=10.0)
def cell_ids_that_collide(folder: Path, world: World) -> None:
    """Gives all cells of right work one id, of a kind that no cell may have."""
    whole = slim(RIGHT)
    for cell in whole.cells:
        cell.id = "../<b>" + "x" * 100
    _bytes(folder, _text(whole).encode())


@attack(expected=TOLD, honest_score=10.0)
def attachments_of_all_kinds(folder: Path, world: World) -> None:
    """Attaches what is no picture to a text cell, beside right work."""
    whole = slim(RIGHT)
    cell = new_markdown_cell("![x](attachment:a.html) ![y](attachment:../../b)")
    cell["attachments"] = {"a.html": {"text/html": "<b>x</b>"}, "../../b": {"image/png": "!"}}
    whole.cells.append(cell)
    _bytes(folder, _text(whole).encode())


@attack(expected=TOLD)
def a_gzipped_notebook(folder: Path, world: World) -> None:
    """Hands in a compressed notebook."""
    import gzip

    _bytes(folder, gzip.compress(_text(slim(WRONG)).encode()))


@attack(expected=TOLD)
def a_notebook_of_another_exercise(folder: Path, world: World) -> None:
    """Hands in another notebook under this one's name."""
    whole = nbformat.v4.new_notebook()
    whole.cells = [new_markdown_cell(f"# Not {NAME}"), new_code_cell("10.0")]
    _bytes(folder, _text(whole).encode())
