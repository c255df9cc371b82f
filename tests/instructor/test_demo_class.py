"""The demo class."""

from pathlib import Path

import nbformat

from course.instructor.demo_class import write_demo_class


def test_the_demo_class_is_the_same_each_time_and_of_all_kinds(tmp_path: Path) -> None:
    classes = [tmp_path / "one", tmp_path / "two"]
    for folder in classes:
        assert len(write_demo_class(folder)) == 12
    files = [
        {path.relative_to(folder): path.read_text("utf-8") for path in folder.rglob("*.ipynb")}
        for folder in classes
    ]
    assert files[0] == files[1]
    works = [nbformat.reads(text, as_version=4) for text in files[0].values()]
    sources = ["\n".join(cell.source for cell in notebook.cells) for notebook in works]
    assert any("raise NotImplementedError" in source for source in sources)
    assert any("I will come back to this" in source for source in sources)
