"""How far the numbers of right solutions and of mistakes lie from the bounds of exercise 8's probe.

python benchmarks/ex08_same_weights.py
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from course.instructor.task import all_tasks
from course.layer_normalization_solutions import visualize_activations
from course.student.probes import ex08

SEEDS = range(20)
TASK = all_tasks()["ex08_visualize_activations"]
RELU = ex08.NON_LINEARITIES["ReLU"]


def called(solution: Callable[..., Any], seed: int) -> tuple[ex08.Returned, dict[str, Any]]:
    """What a solution returns for the arguments that a fresh key calls it with."""
    case = TASK.key(seed).cases[1]
    arguments = {name: value for name, value in case.inputs.items() if name != "look_at"}
    return ex08._call(solution, arguments), arguments


def left_over(solution: Callable[..., Any]) -> Iterator[float]:
    """What least squares leave over between the layers without norm; the worst pair of a call."""
    for seed in SEEDS:
        layers = called(solution, seed)[0].without
        yield max(ex08.fit(RELU(one), other).left_over for one, other in pairwise(layers))


def first_layer(solution: Callable[..., Any]) -> Iterator[float]:
    """How far layer 1 with norm is from the layer norm of layer 1 without."""
    for seed in SEEDS:
        returned, _ = called(solution, seed)
        normed = ex08._layer_norm(returned.without[0])
        yield ex08._rms(returned.with_norm[0] - normed) / ex08._rms(normed)


def other_network(solution: Callable[..., Any]) -> Iterator[float]:
    """How far the weights found without norm are from the numbers with norm."""
    for seed in SEEDS:
        returned, _ = called(solution, seed)
        yield max(
            ex08.difference_with(ex08.fit(RELU(one), after), RELU(other), normed_after)
            for one, after, other, normed_after in zip(
                returned.without[:-1],
                returned.without[1:],
                returned.with_norm[:-1],
                returned.with_norm[1:],
                strict=True,
            )
        )


def size(solution: Callable[..., Any]) -> Iterator[float]:
    """The weights' root mean square, times sqrt(width), off the gain asked for."""
    for seed in SEEDS:
        returned, arguments = called(solution, seed)
        found = ex08._spreads(returned)["spread of the weights, times sqrt(width)"]
        yield abs(float(np.float64(found)) / arguments["gain"] - 1)  # type: ignore[arg-type]


def main() -> None:
    """Print one table."""
    mistakes = {mistake.name: mistake.solution for mistake in TASK.mistakes}
    rights = [visualize_activations, TASK.oracle, *TASK.right_solutions]
    # For each measure its bound, and the mistakes that it must tell from right solutions.
    measures: list[tuple[Callable[..., Iterator[float]], float, list[str]]] = [
        (left_over, ex08.LEFT_OVER, ["no ReLU between the layers", "recorded after the ReLU"]),
        (
            first_layer,
            ex08.SAME,
            [
                "a norm with the unbiased standard deviation",
                "batch norm",
                "other data in the second network",
            ],
        ),
        (
            other_network,
            ex08.SAME_WEIGHTS,
            ["other weights in the second network", "the norm behind the ReLU"],
        ),
        (
            size,
            0.2,
            ["Kaiming's factor on top of the gain", "the argument gain ignored"],
        ),
    ]
    table = Table("measure", "solution", "least", "median", "largest", "bound")
    table.caption = f"{len(SEEDS)} keys; right solutions must stay below the bound, mistakes above"
    for measure, bound, names in measures:
        for solution in rights:
            add(table, measure, f"right: {solution.__name__}", list(measure(solution)), bound)
        for name in names:
            add(table, measure, f"mistake: {name}", list(measure(mistakes[name])), bound)
        table.add_section()
    Console(width=120).print(table)


def add(
    table: Table, measure: Callable[..., Any], who: str, values: list[float], bound: float
) -> None:
    """Add a row."""
    row = [f"{value:.2g}" for value in (min(values), np.median(values), max(values))]
    table.add_row(measure.__name__, who, *row, f"{bound:g}")


if __name__ == "__main__":
    main()
