"""A record comes back from the file that it was written into; one of an earlier version too."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from course.instructor.grading.record import (
    KEY,
    Finding,
    Record,
    keep_record,
    read_record,
    record_of,
)

RECORD = Record(
    digest="d",
    remarks=["Mended."],
    flags=["Look."],
    seconds=1.5,
    memory=2**20,
    done=True,
    findings={
        "ex01_layer_norm": Finding(3.0, 10.0, True, ["one"], ["two"], "a case: off"),
        "ex02_forward": Finding(0.0, 4.0, started=False),
    },
)


def written(folder: Path, record: Record) -> Path:
    notebook = v4.new_notebook()
    keep_record(notebook, record)
    path = folder / "n.ipynb"
    nbformat.write(notebook, path)
    return path


def test_a_record_is_plain_json_and_comes_back_as_it_was(tmp_path: Path) -> None:
    path = written(tmp_path, RECORD)
    assert read_record(path) == RECORD
    assert record_of(nbformat.read(path, as_version=4)) == RECORD


def test_a_record_of_before_findings_were_noted_comes_back(tmp_path: Path) -> None:
    path = written(tmp_path, RECORD)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    del notebook["metadata"][KEY]["findings"]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    record = read_record(path)
    assert record is not None
    assert (record.remarks, record.findings) == (["Mended."], {})


def test_there_is_no_record_in_what_grading_has_not_finished(tmp_path: Path) -> None:
    assert read_record(written(tmp_path, Record(remarks=["Mended."]))) is None
    assert read_record(tmp_path / "missing.ipynb") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"metadata": {"grading": {"x": 1}}}'])
def test_there_is_no_record_in_what_is_damaged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(text, encoding="utf-8")
    assert read_record(path) is None
