"""What the short training of exercise 4 reaches, for right solutions and for those it must reject.

python benchmarks/ex04_accuracy.py
"""

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from course import layer_normalization_solutions as reference
from course.instructor.task import Task, all_tasks
from course.student.judge import passes
from course.student.probes.ex04 import ENOUGH, STEPS, _accuracy, _new
from course.student.torch_modules import seeded

SEEDS = range(20)
TASKS = ("ex04_batch_norm_model", "ex04_layer_norm_model")


def accuracies(model_class: type[torch.nn.Module]) -> np.ndarray:
    """The held-out accuracy from each seed, before it is cut off at what is enough."""
    reached = []
    for seed in SEEDS:
        with seeded(seed):
            reached.append(_accuracy(_new(model_class, None, torch.rand(11, 64)), seed))
    return np.array(reached)


def solutions(task: Task) -> list[tuple[str, str, type[torch.nn.Module]]]:
    """All that must pass the case on accuracy, and the known mistakes that must fail it."""
    key = task.key()
    right = [getattr(reference, task.defines), task.oracle, *task.right_solutions]
    found = [("accepted", solution.__name__, solution) for solution in right]
    for mistake in task.mistakes:
        outcome = task.outcomes(mistake.solution, key)[-1]
        if not passes(key.cases[-1], outcome) and not outcome.problem:
            found.append(("rejected", mistake.name, mistake.solution))
    return found


def main() -> None:
    """Print one table."""
    table = Table("task", "must be", "solution", "lowest", "median", "highest")
    table.title = f"Held-out accuracy after {STEPS} steps, {len(SEEDS)} seeds; {ENOUGH:g} is enough"
    for name in TASKS:
        for verdict, solution, model_class in solutions(all_tasks()[name]):
            reached = accuracies(model_class)
            low, middle, high = np.quantile(reached, [0, 0.5, 1])
            table.add_row(name, verdict, solution, *(f"{x:.2f}" for x in (low, middle, high)))
    Console().print(table)


if __name__ == "__main__":
    main()
