"""Random inputs that the tasks of several exercises draw alike."""

import numpy as np


def draw_rows(
    rng: np.random.Generator,
    *shape: int,
    spread: tuple[float, float] = (2.0, 4.0),
    offset: float = 2.0,
) -> np.ndarray:
    """Rows with a mean and a standard deviation of their own.

    Args:
        rng: where the numbers come from.
        shape: of the array; its last axis is a row.
        spread: the least and the largest standard deviation of a row.
        offset: the standard deviation of the rows' means.

    Returns:
        A float64 array of the given shape.
    """
    noise = rng.normal(size=shape)
    noise = (noise - noise.mean(axis=-1, keepdims=True)) / noise.std(axis=-1, keepdims=True)
    leading = (*shape[:-1], 1)
    return offset * rng.normal(size=leading) + rng.uniform(*spread, size=leading) * noise


def draw_scale(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """A scale of both signs, with sizes between 0.5 and 2: neither uniform nor near 0."""
    return rng.choice([-1, 1], shape) * rng.uniform(0.5, 2, shape)


def draw_parameters(rng: np.random.Generator, features: int) -> dict[str, np.ndarray]:
    """A gamma and a beta of shape (features,), neither of them uniform."""
    return {"gamma": draw_scale(rng, features), "beta": rng.normal(size=features)}
