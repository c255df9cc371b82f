"""How far the two thresholds of exercise 7 are from what they must tell apart, over 20 seeds.

python benchmarks/ex07_thresholds.py
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from course import layer_normalization_solutions as reference
from course.instructor.task import Task, all_tasks
from course.student.probes import ex07
from course.student.torch_modules import forward

SEEDS = range(20)
HEADS = "nhead heads, each with weights of its own"
MIXING = "a block of your own: every position takes in its whole sequence, and no other sample"


def inputs_of(task: Task, name: str) -> Iterator[dict[str, Any]]:
    """The inputs of one case on 20 keys."""
    for seed in SEEDS:
        key = task.key(seed)
        yield next(case.inputs for case in key.cases if case.name == name)


def solutions(task: Task, mistakes: tuple[str, ...]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Right solutions, those that are right but for their names, and some mistakes."""
    yield "right: the reference", getattr(reference, task.defines)
    for solution in task.right_solutions:
        yield f"right: {solution.__name__}", solution
    for mistake in task.mistakes:
        if mistake.name.startswith(("other names", *mistakes)):
            kind = "right here" if mistake.name.startswith("other names") else "mistake"
            yield f"{kind}: {mistake.name}", mistake.solution


def heads(task: Task) -> Iterator[tuple[str, ...]]:
    """The singular values next to nhead, relative to the largest."""
    for name, solution in solutions(task, ("a single head", "all heads")):
        ratios = []
        for inputs in inputs_of(task, HEADS):
            nhead, x = inputs["nhead"], torch.tensor(inputs["x"])
            module = solution(x.shape[-1], nhead).double().eval()
            ex07.randomise(module)
            values = ex07.spans(module, x)
            ratios.append(values / values[0])
            ratios[-1] = ratios[-1][[nhead - 1, nhead]]
        last, beyond = torch.stack(ratios).T
        yield name, f"{last.min():.0e} to {last.max():.0e}", f"at most {beyond.max():.0e}"


def mixing(task: Task) -> Iterator[tuple[str, ...]]:
    """The least change of a position's output, and the largest of another sample's."""
    for name, solution in solutions(task, ("attention over the batch",)):
        own, others = [], []
        for inputs in inputs_of(task, MIXING):
            x = torch.tensor(inputs["x"])
            module = solution(x.shape[-1], inputs["nhead"], inputs["dim_feedforward"], 0.0)
            ex07.randomise(module.double().eval())
            before, after = (forward(module, given) for given in ex07.two_inputs(x))
            change = (before - after).detach().abs().amax(-1)
            own.append(float(change[0].min()))
            others.append(float(change[1:].max()))
        yield name, f"{min(own):.0e} to {max(own):.0e}", f"at most {max(others):.0e}"


def main() -> None:
    """Print one table."""
    table = Table("solution", "must exceed, if right", "must not exceed, if right")
    tasks = all_tasks()
    table.add_row(f"[b]heads[/b], threshold {ex07.SPANNED:.0e}", "head nhead", "one more")
    for row in heads(tasks["ex07_multi_head"]):
        table.add_row(*row)
    table.add_section()
    table.add_row(f"[b]mixing[/b], threshold {ex07.CHANGED:.0e}", "own sample", "other samples")
    for row in mixing(tasks["ex07_encoder_block"]):
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
