"""What grading notes of a submission, in the metadata of its notebook and in the gradebook."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor

KEY = "grading"


@dataclass(frozen=True)
class Finding:
    """What the judge found in one task.

    Args:
        score: what the solution earned by itself, whatever the gradebook says later.
        points: what the task is worth.
        started: whether there is a solution.
        mistakes: the names of the known mistakes that explain all that failed; more than one when
            they explain it equally well.
        clues: where none explains all, the names of those that explain the first failing case.
        failure: the first failing case and what happened in it, in one line; empty if there is no
            solution, or none failed.
    """

    score: float
    points: float
    started: bool
    mistakes: list[str] = field(default_factory=list)
    clues: list[str] = field(default_factory=list)
    failure: str = ""


@dataclass
class Record:
    """What grading notes of a submission.

    Args:
        digest: of what was submitted and of what it was graded with.
        unreadable: why there is no notebook to grade, as a sentence; empty if there is.
        remarks: what was mended or went wrong, in sentences for the student.
        flags: what the instructor should look at, in sentences.
        seconds: how long it took to execute and judge it.
        memory: bytes that its kernel used at most.
        done: whether the notebook has been executed and its scores are in the gradebook.
        findings: what the judge found, by task id; empty in what an earlier version graded.
    """

    digest: str = ""
    unreadable: str = ""
    remarks: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0
    done: bool = False
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def told(self) -> list[str]:
        """What the student is told: why there is no notebook, or else the remarks."""
        return [self.unreadable] if self.unreadable else self.remarks


def record_of(nb: NotebookNode) -> Record:
    """The record in a notebook that grading wrote."""
    noted = nb.metadata.get(KEY, {})
    found = {task: Finding(**one) for task, one in noted.get("findings", {}).items()}
    return Record(**{**noted, "findings": found})


def read_record(path: Path) -> Record | None:
    """The record in a file that grading wrote; None if there is none, or it is not whole.

    For one page, hundreds are read: this leaves out all that nbformat checks of a notebook.
    """
    try:
        metadata = json.loads(path.read_bytes())["metadata"]
        record = record_of(NotebookNode(metadata=metadata))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if record.done else None


def keep_record(nb: NotebookNode, record: Record) -> None:
    """Write the record into a notebook."""
    nb.metadata[KEY] = asdict(record)


class SaveRecord(NbGraderPreprocessor):
    """Bring the record into the gradebook: remarks as comments, flags as nbgrader's flag."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Write the gradebook's part of the record, after the scores."""
        record = record_of(nb)
        about = resources["nbgrader"]
        place = (about["notebook"], about["assignment"], about["student"])
        words = " ".join(filter(None, [record.unreadable, *record.remarks]))
        with Gradebook(about["db_url"]) as gradebook:
            for cell in nb.cells:
                if words and utils.is_solution(cell):
                    comment = gradebook.find_comment(cell.metadata.nbgrader["grade_id"], *place)
                    comment.auto_comment = words
            if record.flags:
                gradebook.find_submission_notebook(*place).flagged = True
            gradebook.db.commit()
        record.done = True
        keep_record(nb, record)
        return nb, resources
