"""Receiving a submission: whatever lies in its folder becomes a notebook that can be graded.

`tidy` and `ReceivingExporter` are named in nbgrader_config.py: nbgrader calls the first before it
copies a submission's files, and reads the notebook through the second.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode, v4
from nbgrader.utils import parse_utc

from course.instructor.build import RELEASE
from course.instructor.grading.mend import UnreadableError, mend, read_cells
from course.instructor.grading.record import Record, keep_record

# A notebook may hold as much in old outputs, which are dropped.
MOST_BYTES = 64 * 1024**2
TIMESTAMP, TIMESTAMP_BYTES = "timestamp.txt", 200
# By it a student finds the way to their feedback in nbgrader's exchange, and nobody else does.
SECRET = "submission_secret.txt"
# What nbgrader's exchange puts beside a notebook that is handed in.
OF_THE_EXCHANGE = (TIMESTAMP, SECRET)

LINK_NOTE = ".was-a-link.txt"

# What nbgrader finds in a folder without a notebook while `something_to_find`.
NOTHING = "nothing.ipynb"


def tidy(*, assignment: str, student: str, notebooks: list[str]) -> None:
    """Make a submission's folder one that nbgrader can copy; called by nbgrader.

    Links, pipes and devices are replaced by a text that says what was there: nbgrader would follow
    them. What may not be read may be. A time stamp that is none is set aside.

    Args:
        assignment: as nbgrader calls it; may be a pattern.
        student: as nbgrader calls it; may be a pattern.
        notebooks: the paths of the notebooks that it found in one folder. The one that it should
            have found is put among them, wherever its content comes from.
    """
    folder = Path(notebooks[0]).parent
    wanted = str(folder / f"{folder.name}.ipynb")
    if wanted not in notebooks:
        notebooks.append(wanted)
    if _is_linked(folder):
        return
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(OSError):  # somebody else's, or a name too long: nbgrader will say so
                _make_plain(Path(above, name))
    stamp = folder / TIMESTAMP
    if stamp.is_file() and not _is_time(stamp):
        stamp.rename(folder / f"{TIMESTAMP}.unreadable")


def _make_plain(path: Path) -> None:
    """Make what lies in a submission's folder a file or folder that can be read."""
    if path.is_symlink():
        _replace(path, f"a link to {os.readlink(path)!r}")
        return
    if not os.access(path, os.R_OK):
        path.chmod(0o755 if path.is_dir() else 0o644)
    if not path.is_dir() and not stat.S_ISREG(path.lstat().st_mode):
        _replace(path, "no file but a pipe, a socket or a device")


@contextmanager
def something_to_find(folder: Path) -> Iterator[None]:
    """Let nbgrader find something to grade in a folder without a notebook.

    It passes over such a folder without a word. What it finds here is no file, and so the verdict
    is that there is none.
    """
    if any(folder.glob("*.ipynb")):
        yield
        return
    found = folder / NOTHING
    found.mkdir()
    try:
        yield
    finally:
        found.rmdir()


class ReceivingExporter(NotebookExporter):
    """Reads a submission as `receive` does; what grading wrote itself, as it is."""

    def from_filename(
        self, filename: str, resources: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Convert the notebook of a submission, which may be damaged or not be there."""
        assert resources is not None
        assert self.parent is not None
        about, course = resources["nbgrader"], self.parent.coursedir
        places = [
            Path(course.format_path(folder, about["student"], about["assignment"]))
            for folder in (course.submitted_directory, course.autograded_directory)
        ]
        if Path(filename).parent != places[0]:
            return super().from_filename(filename, resources, **kwargs)
        _remove_files(places[1])
        resources["metadata"] = {"name": about["notebook"], "path": str(places[0])}
        return self.from_notebook_node(receive(places[0], about["notebook"]), resources, **kwargs)


def receive(folder: Path, name: str) -> NotebookNode:
    """Read the notebook of a submission, mended, with the record of what was found.

    Args:
        folder: of the submission.
        name: of the notebook, without `.ipynb`.
    """
    released = nbformat.read(RELEASE / name / f"{name}.ipynb", as_version=4)
    record = Record(digest=digest(folder, name))
    try:
        path, content = _content(folder, name)
        if path.name != f"{name}.ipynb":
            record.remarks.append(
                f"The notebook was called {_plain(path.name)}; it was taken for {name}.ipynb."
            )
        cells = read_cells(_as_version_4(_parsed(content)))
        notebook, mended = mend(cells, released)
        record.remarks += [*mended, *_ignored(folder, path)]
    except UnreadableError as error:
        record.unreadable = str(error)
        notebook = released
    said = [record.unreadable, *record.remarks] if record.unreadable else record.remarks
    if said:
        text = "**What grading found**\n\n" + "\n".join(f"- {sentence}" for sentence in said)
        notebook.cells.insert(0, v4.new_markdown_cell(text, id="found"))
    keep_record(notebook, record)
    return notebook


def digest(folder: Path, name: str) -> str:
    """A number that changes with what was submitted and when, and with the released notebook."""
    found = hashlib.sha256((RELEASE / name / f"{name}.ipynb").read_bytes())
    try:
        path, content = _content(folder, name)
        found.update(path.name.encode() + content)
    except UnreadableError as error:
        found.update(str(error).encode())
    for beside in OF_THE_EXCHANGE:
        found.update(_start(folder / beside))
    return found.hexdigest()


def _start(path: Path) -> bytes:
    """The first bytes of a file beside a notebook; nothing, if it is none that can be read."""
    if _is_linked(path.parent) or not _is_file(path):
        return b""
    try:
        with path.open("rb") as file:
            return file.read(TIMESTAMP_BYTES)
    except OSError:
        return b""


def _content(folder: Path, name: str) -> tuple[Path, bytes]:
    """The notebook's file and what is in it.

    Raises:
        UnreadableError: there is none that can be read.
    """
    if _is_linked(folder):
        raise UnreadableError("The submission's folder is a link, and links are not followed.")
    path = folder / f"{name}.ipynb"
    if not _is_file(path):
        others = sorted(other for other in folder.glob("*.ipynb") if _is_file(other))
        if len(others) != 1:
            names = [entry.name for entry in sorted(folder.glob("*")) if entry.name != NOTHING]
            found = ", ".join(_plain(name) for name in names[:10])
            raise UnreadableError(
                f"There is no file {name}.ipynb in what was handed in"
                f" ({'with ' + found if found else 'nothing at all'})."
            )
        path = others[0]
    if _is_anothers(path):
        raise UnreadableError("The file is a link to another notebook, and links are not followed.")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UnreadableError(
                f"The file is larger than {MOST_BYTES // 1024**2} MB. Clear the outputs (in"
                " JupyterLab: Edit, Clear Outputs of All Cells), save it, and hand it in again."
            )
        return path, path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"The file cannot be read: {error.strerror}.") from error


def _parsed(content: bytes) -> Any:
    """The JSON in a file, whatever its encoding.

    Raises:
        UnreadableError: it is none.
    """
    if not content.strip():
        raise UnreadableError("The file is empty.")
    try:
        try:
            return json.loads(content)  # UTF-8, or what its first bytes say
        except UnicodeDecodeError:
            return json.loads(content.decode("latin-1"))
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError(
            f"The file is no notebook: it is not JSON ({_plain(str(error))[:100]}). Perhaps the"
            " upload was cut short, or another file was saved under this name."
        ) from error


def _as_version_4(notebook: Any) -> Any:
    """Bring an older notebook up to nbformat 4; others are returned as they are."""
    if not isinstance(notebook, dict) or isinstance(notebook.get("cells"), list):
        return notebook
    try:
        return nbformat.convert(nbformat.from_dict(notebook), 4)
    except Exception as error:  # nbformat expects a notebook, and fails on others in many ways
        raise UnreadableError("The file is JSON, but no notebook.") from error


def _ignored(folder: Path, notebook: Path) -> list[str]:
    names = [path.name for path in sorted(folder.glob("*")) if path.name not in OF_THE_EXCHANGE]
    others = [_plain(name) for name in names if name != notebook.name and name[:1] != "."]
    if not others:
        return []
    return [f"Only the notebook is graded. Not used: {', '.join(others[:10])}."]


def _plain(text: str) -> str:
    """A text with nothing in it that means something to Markdown, HTML or a terminal."""
    return re.sub(r"[^\w .,:()'-]", "?", text)[:120].replace("_", "\\_")


def _is_linked(folder: Path) -> bool:
    """Whether a submission's folder, or its student's, is a link."""
    return folder.is_symlink() or folder.parent.is_symlink()


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_anothers(path: Path) -> bool:
    """Whether a notebook is, under a second name, the instructor's or another student's."""
    if path.stat().st_nlink == 1:
        return False
    course = path.absolute().parents[3]
    places = [course / name for name in ("source", "submitted")]
    others = (other for place in places for other in place.rglob("*.ipynb"))
    return any(
        _is_file(other) and other != path.absolute() and other.samefile(path) for other in others
    )


def _is_time(path: Path) -> bool:
    try:
        return path.stat().st_size <= TIMESTAMP_BYTES and bool(parse_utc(path.read_text().strip()))
    except (OSError, ValueError, OverflowError):
        return False


def _replace(path: Path, what: str) -> None:
    path.unlink()
    note = f"Here was {what}. Grading replaced it: a submission holds files, and these alone.\n"
    path.with_name(path.name[:200] + LINK_NOTE).write_text(note, encoding="utf-8")


def _remove_files(folder: Path) -> None:
    """Remove what nbgrader copied beside the notebook, but for what its exchange goes by."""
    for above, _, files in os.walk(folder):
        for name in files:
            if not name.endswith(".ipynb") and name not in OF_THE_EXCHANGE:
                Path(above, name).unlink()
