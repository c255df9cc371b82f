"""The notebooks of the course, as the build lists them."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

FILE = "catalogue.json"

# The notebook that explains the others; it is not graded and so not among them.
START = "start_here"


@dataclass(frozen=True)
class Notebook:
    """What a notebook says of itself in its first lines.

    Args:
        name: of its folder and file, such as "ex03_pytorch_module".
        label: "3" for exercise 3, "C1" for challenge 1.
        title: such as "PyTorch implementation".
        minutes: how long it takes.
        difficulty: such as "medium".
        needs: the names of the notebooks that come before it.
        tasks: the ids of its tasks, in order, with what each is worth.
    """

    name: str
    label: str
    title: str
    minutes: int
    difficulty: str
    needs: tuple[str, ...]
    tasks: dict[str, float]

    @property
    def points(self) -> float:
        """What the whole notebook is worth."""
        return sum(self.tasks.values())


@cache
def catalogue() -> tuple[Notebook, ...]:
    """The graded notebooks, in the order of the course."""
    text = (resources.files("course.student") / FILE).read_text(encoding="utf-8")
    notebooks = json.loads(text)["notebooks"]
    return tuple(Notebook(**entry | {"needs": tuple(entry["needs"])}) for entry in notebooks)
