"""How far the facts of exercise 6 are from their thresholds, for right solutions and for mistakes.

The probes call a fact true where a size is above a threshold. Some sizes come from modules with
random parameters, or from a few steps of gradient descent. This draws keys from many seeds and
shows, for each size, the largest that counted as rounding and the smallest that counted as real:
python benchmarks/ex06_facts.py [seeds]
"""

import sys
from collections import defaultdict
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table

from course import layer_normalization_solutions as reference
from course.instructor.task import all_tasks
from course.student.probes import ex06


def main(seeds: int = 20) -> None:
    """Print one table."""
    torch.set_num_threads(1)
    trying = {"kind": "right"}
    sizes: dict[tuple[str, float, str], list[float]] = defaultdict(list)

    def note(size: float, threshold: float, what: str) -> bool:
        if what:
            sizes[what, threshold, trying["kind"]].append(size)
        return size > threshold

    with patch.object(ex06, "_beyond", note):
        for task in [task for name, task in all_tasks().items() if name.startswith("ex06_")]:
            right = [task.oracle, getattr(reference, task.defines), *task.right_solutions]
            wrong = [mistake.solution for mistake in task.mistakes]
            for seed in range(seeds):
                trying["kind"] = "right"
                key = task.key(seed)
                for solution in right:
                    task.outcomes(solution, key)
                trying["kind"] = "mistakes"
                for solution in wrong:
                    task.outcomes(solution, key)
    table = Table("size", "of", "threshold", "below", "above", "number")
    table.title = f"{seeds} seeds: the largest size below, and the smallest above the threshold"
    for (what, threshold, which), found in sorted(sizes.items()):
        below = [size for size in found if size <= threshold]
        above = [size for size in found if size > threshold]
        table.add_row(
            what,
            which,
            f"{threshold:.0e}",
            f"{max(below):.0e}" if below else "-",
            f"{min(above):.0e}" if above else "-",
            str(len(found)),
        )
    Console().print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
