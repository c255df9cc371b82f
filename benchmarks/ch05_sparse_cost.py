"""What layer normalization of sparse inputs costs, and where the check draws its line.

First table: time and memory of the reference solutions and of the dense layer, against the stored
entries at one shape and against the shape at the same number of stored entries. Memory is how much
a process grows while it makes one call, as the operating system counts it, so that PyTorch's and
SciPy's own allocations are in it. Second table: what right and dense solutions make on the check's
stretched matrix, as a share of the dense array; the check's line is 1.
"""

import multiprocessing
import platform
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from course import layer_normalization_solutions as reference
from course.instructor.task import Task, all_tasks
from course.student.figures.sparse_inputs import milliseconds, random_csr
from course.student.probes import probe_of
from course.student.sparse import as_torch_csr

OUTPUTS = 16
SHAPE, COUNTS = (1_000, 10_000), (1_000, 10_000, 100_000, 1_000_000)
COUNT, SHAPES = 1_000, ((1_000, 100_000), (10_000, 100_000), (100_000, 1_000_000))
# The dense layer needs several times the dense array; larger ones are not tried.
DENSE_ENTRIES = 10**8
SEEDS = range(20)
# `ru_maxrss` is in KiB, but on a Mac in bytes.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def call_of(name: str, rows: int, columns: int, stored: int) -> Callable[[], Any]:
    """A call of one of the functions on a random matrix that exists already."""
    x = random_csr(rows, columns, stored)
    gamma, beta = np.ones(columns, np.float32), np.zeros(columns, np.float32)
    parameters = torch.tensor(gamma), torch.tensor(beta)
    weight, bias = torch.ones(OUTPUTS, columns), torch.zeros(OUTPUTS)
    if name == "layer_norm_stored":
        return partial(reference.layer_norm_stored, x, gamma, beta)
    if name == "row_statistics":
        return partial(reference.row_statistics, x)
    if name == "sparse_norm_linear":
        return partial(reference.sparse_norm_linear, as_torch_csr(x), *parameters, weight, bias)
    dense = torch.tensor(x.toarray())

    def layer_and_linear() -> torch.Tensor:
        x_hat = torch.nn.functional.layer_norm(dense, (columns,), *parameters)
        return torch.nn.functional.linear(x_hat, weight, bias)

    return layer_and_linear


def cost(name: str, rows: int, columns: int, stored: int) -> tuple[float, float]:
    """Milliseconds, and MB by which the first call lets this process grow."""
    torch.set_num_threads(1)
    call_of(name, 10, 10, 20)()  # loads what a first call loads
    call = call_of(name, rows, columns, stored)
    # What making the matrix took, and gave back, must not hide what the call takes.
    filled = _fill_up()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * RSS_UNIT / 1e6
    del filled
    return milliseconds(call), grown


def _fill_up() -> list[np.ndarray]:
    """Hold memory until this process is as large as it has ever been."""
    filled: list[np.ndarray] = []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss == peak:
        filled.append(np.ones(2**16))
    return filled


def costs(console: Console) -> None:
    """Print the table of time and memory."""
    table = Table(
        "function", "shape", "stored entries", "time [ms]", "memory [MB]", "if dense [MB]"
    )
    table.title = f"{platform.processor() or platform.machine()}, one thread, float32"
    context = multiprocessing.get_context("spawn")
    runs = [*((*SHAPE, count) for count in COUNTS), *((*shape, COUNT) for shape in SHAPES)]
    for name in (
        "layer_norm_stored",
        "row_statistics",
        "sparse_norm_linear",
        "dense layer, linear",
    ):
        pool = ProcessPoolExecutor(1, mp_context=context)
        for rows, columns, stored in runs:
            cells = [name, f"{rows:,} × {columns:,}", f"{stored:,}"]
            if name.startswith("dense") and rows * columns > DENSE_ENTRIES:
                cells += ["not tried", "not tried"]
            else:
                ms, grown = pool.submit(cost, name, rows, columns, stored).result()
                cells += [f"{ms:.2f}", f"{grown:.1f}"]
            table.add_row(*cells, f"{4e-6 * rows * columns:,.0f}")
        pool.shutdown()
        table.add_section()
    console.print(table)


def shares(task: Task, solution: Callable[..., Any]) -> list[float]:
    """What a solution makes on the stretched matrix, as a share of the dense array, by seed."""
    probe = probe_of(task.id)
    cases = [next(iter(task.key(seed).cases)) for seed in SEEDS]
    return [float(probe(solution, **case.inputs)["share of dense"]) for case in cases]


def line(console: Console) -> None:
    """Print the table of shares beside the check's line."""
    table = Table("task", "solution", "is", "least share", "largest share", "the line")
    table.title = f"made on the stretched matrix, {len(SEEDS)} seeds"
    for task in all_tasks().values():
        if not task.id.startswith("ch05_"):
            continue
        right = [task.oracle, getattr(reference, task.defines), *task.right_solutions]
        dense = [mistake.solution for mistake in task.mistakes if "dense" in mistake.name]
        for kind, solutions in (("right", right), ("dense", dense)):
            for solution in solutions:
                found = shares(task, solution)
                cells = [f"{min(found):.3f}", f"{max(found):.3f}"]
                table.add_row(task.id, solution.__name__, kind, *cells, "1")
        table.add_section()
    console.print(table)


def main() -> None:
    """Print both tables."""
    console = Console(width=110)
    costs(console)
    line(console)


if __name__ == "__main__":
    main()
