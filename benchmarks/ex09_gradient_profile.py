"""How the last layer's gradient depends on depth, over seeds, beside exercise 9's threshold.

python benchmarks/ex09_gradient_profile.py
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from course import layer_normalization_solutions as reference
from course.instructor.task import Task, all_tasks
from course.student.probes.ex09 import DEEP, LAST_GRADIENT_RATIO, SHALLOW, last_gradient

SEEDS = range(60)
TASK = "ex09_pre_layer_norm"
MISTAKES = ("no final norm", "the final norm after every layer", "the two placements swapped")


def solutions(task: Task) -> dict[str, Callable[..., Any]]:
    """The right solutions by name, and the mistakes that this must reject."""
    right = [getattr(reference, task.defines), *task.right_solutions]
    wrong = {mistake.name: mistake.solution for mistake in task.mistakes}
    return {f"right: {solution.__name__}": solution for solution in right} | {
        f"wrong: {name}": wrong[name] for name in MISTAKES
    }


def main() -> None:
    """Print one table."""
    table = Table("solution", "least", "median", "largest", "below the threshold")
    table.title = f"Last layer's gradient with {DEEP} layers, as a part of that with {SHALLOW}"
    table.caption = f"{len(SEEDS)} seeds; threshold {LAST_GRADIENT_RATIO}"
    for name, solution in solutions(all_tasks()[TASK]).items():
        ratios = np.array(
            [last_gradient(solution, DEEP, s) / last_gradient(solution, SHALLOW, s) for s in SEEDS]
        )
        below = f"{int((ratios < LAST_GRADIENT_RATIO).sum())} of {len(SEEDS)}"
        numbers = (ratios.min(), np.median(ratios), ratios.max())
        table.add_row(name, *(f"{number:.2f}" for number in numbers), below)
    Console().print(table)


if __name__ == "__main__":
    main()
