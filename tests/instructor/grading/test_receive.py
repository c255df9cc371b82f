"""Whatever lies in a submission's folder becomes a notebook that can be graded, or a reason."""

import json
import os
import shutil
import socket
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from course.instructor.grading.mend import UnreadableError
from course.instructor.grading.receive import digest, receive, tidy
from course.instructor.grading.record import Record, record_of
from course.instructor.submission import filled_in, reference_sources

NAME = "ex01_basic_implementation"
SOLVED = nbformat.writes(filled_in(NAME, reference_sources(NAME)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "submitted" / "student-01" / NAME
    path.mkdir(parents=True)
    return path


def write(folder: Path, content: str | bytes, name: str = f"{NAME}.ipynb") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def received(folder: Path) -> tuple[NotebookNode, Record]:
    notebook = receive(folder, NAME)
    nbformat.validate(notebook)
    return notebook, record_of(notebook)


def solution(notebook: NotebookNode) -> str:
    return next(
        cell.source
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "ex01_layer_norm_solution"
    )


def is_solved(notebook: NotebookNode) -> bool:
    return solution(notebook) == reference_sources(NAME)["ex01_layer_norm"]


def version_3() -> str:
    notebook = nbformat.convert(nbformat.reads(SOLVED, as_version=4), 3)
    return nbformat.writes(notebook, version=3)


@pytest.mark.parametrize(
    "content",
    [
        SOLVED.encode(),
        b"\xef\xbb\xbf" + SOLVED.encode(),
        SOLVED.encode("utf-16"),
        SOLVED.encode("utf-32"),
        SOLVED.replace("Exercise 1", "Übung 1").encode("latin-1", "ignore"),
        version_3().encode(),
        json.dumps(json.loads(SOLVED)).encode(),
    ],
    ids=["utf-8", "with BOM", "utf-16", "utf-32", "latin-1", "nbformat 3", "one line"],
)
def test_a_notebook_is_read_whatever_its_encoding_and_version(folder: Path, content: bytes) -> None:
    write(folder, content)
    notebook, record = received(folder)
    assert not record.unreadable
    assert is_solved(notebook)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty."),
        (b" \n", "The file is empty."),
        (b"{ not a notebook", "not JSON"),
        (SOLVED.encode()[:5000], "not JSON"),
        (b"\x00\x01\x02\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 10_000, "not JSON"),
        (b"[1, 2]", "no cells"),
        (b'{"nbformat": 4}', "no cells"),
        (b'{"nbformat": 99, "metadata": {}}', "no notebook"),
        (b'{"nbformat": 3, "worksheets": 7}', "no notebook"),
        (b'{"cells": {}}', "no"),
    ],
)
def test_what_is_no_notebook_gets_a_reason_in_words(
    folder: Path, content: bytes, reason: str
) -> None:
    write(folder, content)
    notebook, record = received(folder)
    assert reason in record.unreadable
    assert record.unreadable in notebook.cells[0].source
    assert "raise NotImplementedError" in solution(notebook)


def test_a_file_of_many_megabytes_is_not_read(folder: Path) -> None:
    with open(folder / f"{NAME}.ipynb", "wb") as file:
        file.truncate(65 * 1024**2)
    assert "larger than 64 MB. Clear the outputs" in received(folder)[1].unreadable


def test_old_outputs_of_many_megabytes_are_dropped(folder: Path) -> None:
    submitted = json.loads(SOLVED)
    output = {"output_type": "stream", "name": "stdout", "text": "x" * 20_000_000}
    submitted["cells"][1]["outputs"] = [output]
    write(folder, json.dumps(submitted))
    notebook, record = received(folder)
    assert is_solved(notebook)
    assert not record.remarks
    assert all(not cell.get("outputs") for cell in notebook.cells)


def test_a_notebook_under_another_name_is_taken_and_it_is_told(folder: Path) -> None:
    write(folder, SOLVED, "Untitled <b>1_2.ipynb")
    notebook, record = received(folder)
    assert is_solved(notebook)
    assert record.remarks == [
        f"The notebook was called Untitled ?b?1\\_2.ipynb; it was taken for {NAME}.ipynb."
    ]


def test_of_several_notebooks_under_other_names_none_is_guessed(folder: Path) -> None:
    write(folder, SOLVED, "one.ipynb")
    write(folder, SOLVED, "two.ipynb")
    assert received(folder)[1].unreadable == (
        f"There is no file {NAME}.ipynb in what was handed in (with one.ipynb, two.ipynb)."
    )


def test_an_empty_folder_is_told(folder: Path) -> None:
    assert "(nothing at all)" in received(folder)[1].unreadable


def test_files_beside_the_notebook_are_named_as_not_used(folder: Path) -> None:
    write(folder, SOLVED)
    write(folder, "x = 1", "numpy.py")
    (folder / "course").mkdir()
    assert received(folder)[1].remarks == [
        "Only the notebook is graded. Not used: course, numpy.py."
    ]


def paths(folder: Path) -> list[str]:
    return [str(path) for path in folder.glob("*.ipynb")]


def tidied(folder: Path) -> list[str]:
    found = paths(folder) or [str(folder / "nothing.ipynb")]
    tidy(assignment=NAME, student="*", notebooks=found)
    return found


def test_links_are_replaced_by_what_they_were_and_never_followed(
    folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "gradebook.db").write_text("all grades", encoding="utf-8")
    stolen = write(secret, SOLVED)
    (folder / f"{NAME}.ipynb").symlink_to(stolen)
    (folder / "notes.txt").symlink_to(secret / "gradebook.db")
    (folder / "data").symlink_to(secret)
    (folder / "nowhere").symlink_to("/no/such/file")
    found = tidied(folder)
    assert str(folder / f"{NAME}.ipynb") in found
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    assert str(secret) in (folder / "data.was-a-link.txt").read_text("utf-8")
    assert stolen.read_text("utf-8") == SOLVED
    notebook, record = received(folder)
    assert f"There is no file {NAME}.ipynb" in record.unreadable
    assert not is_solved(notebook)


def test_a_linked_notebook_is_not_read_even_where_nothing_was_tidied(
    folder: Path, tmp_path: Path
) -> None:
    (folder / f"{NAME}.ipynb").symlink_to(write(tmp_path, SOLVED))
    assert "There is no file" in received(folder)[1].unreadable


def test_a_second_name_of_the_solution_is_not_read_but_a_backups_is_no_harm(
    folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source" / NAME
    source.mkdir(parents=True)
    write(folder, SOLVED)
    (tmp_path / "backup.ipynb").hardlink_to(folder / f"{NAME}.ipynb")
    assert is_solved(received(folder)[0])
    (source / f"{NAME}.ipynb").hardlink_to(folder / f"{NAME}.ipynb")
    assert "is a link to another notebook" in received(folder)[1].unreadable


def test_a_folder_that_is_a_link_is_neither_read_nor_tidied(folder: Path, tmp_path: Path) -> None:
    write(folder, SOLVED)
    (folder / "link").symlink_to("/etc")
    other = tmp_path / "submitted" / "student-02"
    other.mkdir()
    (other / NAME).symlink_to(folder)
    tidied(other / NAME)
    assert (folder / "link").is_symlink()
    assert "is a link" in received(other / NAME)[1].unreadable
    student = tmp_path / "submitted" / "student-03"
    student.symlink_to(folder.parent)
    assert "is a link" in received(student / NAME)[1].unreadable


def test_pipes_and_sockets_are_replaced(folder: Path) -> None:
    write(folder, SOLVED)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(os.path.relpath(folder / "socket"))
    tidied(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{NAME}.ipynb",
        "pipe.was-a-link.txt",
        "socket.was-a-link.txt",
    ]


@pytest.mark.parametrize("stamp", ["yesterday?", "", "\x00", "9" * 5000, "2026-99-99 00:00 UTC"])
def test_a_time_stamp_that_is_none_is_set_aside(folder: Path, stamp: str) -> None:
    write(folder, SOLVED)
    write(folder, stamp, "timestamp.txt")
    tidied(folder)
    assert not (folder / "timestamp.txt").exists()
    assert (folder / "timestamp.txt.unreadable").exists()


def test_a_time_stamp_as_nbgrader_writes_it_stays(folder: Path) -> None:
    write(folder, SOLVED)
    write(folder, "2026-11-28 10:00:00.000000 UTC", "timestamp.txt")
    tidied(folder)
    assert (folder / "timestamp.txt").is_file()
    assert not received(folder)[1].remarks


def test_what_the_exchange_goes_by_is_no_file_of_the_student(folder: Path) -> None:
    write(folder, SOLVED)
    write(folder, "0123456789abcdef" * 8, "submission_secret.txt")
    tidied(folder)
    assert (folder / "submission_secret.txt").is_file()
    assert not received(folder)[1].remarks


@pytest.mark.parametrize("beside", ["timestamp.txt", "submission_secret.txt"])
def test_the_same_notebook_handed_in_again_is_another_submission(folder: Path, beside: str) -> None:
    write(folder, SOLVED)
    write(folder, "2026-11-28 10:00:00.000000 UTC", beside)
    before = digest(folder, NAME)
    write(folder, "2026-11-28 11:00:00.000000 UTC", beside)
    assert digest(folder, NAME) != before


def test_what_was_submitted_has_a_number_that_changes_with_it(folder: Path) -> None:
    numbers = [digest(folder, NAME)]
    for content in (SOLVED, SOLVED + " ", ""):
        write(folder, content)
        numbers.append(digest(folder, NAME))
    shutil.copy(folder / f"{NAME}.ipynb", folder / "other.ipynb")
    assert numbers[-1] == digest(folder, NAME)
    assert len(set(numbers)) == 4


def test_the_reason_is_an_error_of_its_own() -> None:
    assert issubclass(UnreadableError, Exception)
