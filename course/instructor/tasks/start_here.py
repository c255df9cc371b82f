"""The toy task of `start_here`: small enough to write in a minute, rich enough to get wrong."""

from collections.abc import Iterator

import numpy as np

from course.instructor.draws import draw_rows
from course.instructor.task import Task
from course.student.answer_key import Case, Tolerance


def oracle(x):
    """Each row minus its mean, in float64, one row after the other."""
    return np.array([[value - sum(row) / len(row) for value in row] for row in x.astype(float)])


centre_rows = Task(
    "start_centre_rows",
    "Rows with mean 0",
    defines="centre_rows",
    oracle=oracle,
    graded=False,
)

# Right solutions in float64 differ by a few units of the last place (2e-16), float32 by 1e-6.
FLOAT32 = Tolerance(rtol=1e-5, atol=1e-5)


@centre_rows.cases
def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Rows and columns differ in number, but for the square array."""
    rows, columns = (int(n) for n in rng.permutation([2, 3, 4, 5])[:2])
    yield Case(
        "each row of a (rows, columns) array loses its own mean",
        points=1,
        inputs={"x": draw_rows(rng, rows, columns)},
        tolerance=FLOAT32,
        hint="Take one row by hand: what is its mean, and what is left when you subtract it?",
    )
    yield Case(
        "a square array, where a wrong shape raises no error",
        points=1,
        inputs={"x": draw_rows(rng, columns, columns)},
        tolerance=FLOAT32,
        hint="Which shape has the mean, and along which axis does NumPy stretch it?",
    )
    yield Case(
        "x is left as it was",
        points=1,
        inputs={"x": draw_rows(rng, rows, columns)},
        tolerance=FLOAT32,
        judged=("x",),
        hint="`x -= mean` writes into the caller's array; `x - mean` makes a new one.",
    )


@centre_rows.known_mistake(
    "the mean of each column",
    "You took the mean over axis 0, which runs down the rows: one mean for each column.",
    hint="`axis` names the axis that disappears. Which one should?",
)
def column_means(x):
    return x - x.mean(axis=0)


@centre_rows.known_mistake(
    "one mean for the whole array",
    "You subtracted the same number everywhere: the mean of all entries.",
    hint="`x.mean()` without an `axis` is a single number. Each row needs its own.",
)
def one_mean(x):
    return x - x.mean()


@centre_rows.known_mistake(
    "a mean without keepdims",
    "The means have shape (rows,). NumPy lines shapes up from the right, so it pairs them with the "
    "columns: an error here, and wrong numbers without one where x is square.",
    hint="`keepdims=True` gives the means the shape (rows, 1).",
)
def without_keepdims(x):
    return x - x.mean(axis=1)


@centre_rows.known_mistake(
    "x changed in place",
    "The result is right, but your function also wrote it into the array it was given.",
    hint="`x -= mean` writes into the caller's array; `x - mean` makes a new one.",
)
def in_place(x):
    x -= x.mean(axis=1, keepdims=True)
    return x


@centre_rows.known_mistake(
    "the mean added",
    "You added the mean of the row where it is to be subtracted.",
    hint="After the right step the mean of a row is 0. What is it after yours?",
)
def added(x):
    return x + x.mean(axis=1, keepdims=True)


@centre_rows.known_mistake(
    "the mean alone",
    "You returned the means of the rows; asked for is each row minus its mean.",
    hint="One step is missing: `x - mean`.",
)
def only_the_mean(x):
    return x.mean(axis=1, keepdims=True)


@centre_rows.known_mistake(
    "the sign turned round",
    "You subtracted the row from its mean, so every entry has the wrong sign.",
    hint="`x - mean` and `mean - x` are not the same.",
)
def turned_round(x):
    return x.mean(axis=1, keepdims=True) - x


@centre_rows.known_mistake(
    "a step too many: divided by the spread as well",
    "Your rows have mean 0, and also standard deviation 1. Asked for is only the first.",
    hint="Leave the division out. Exercise 1 will ask for it.",
)
def standardised(x):
    return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)


@centre_rows.combination
def column_means_in_place(x):
    x -= x.mean(axis=0)
    return x


@centre_rows.right_solution
def with_a_new_axis(x):
    return x - x.mean(axis=1)[:, None]


@centre_rows.right_solution
def row_by_row(x):
    return np.stack([row - row.mean() for row in x])


@centre_rows.right_solution
def transposed(x):
    return (x.T - x.mean(axis=1)).T
