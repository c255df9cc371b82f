"""The explorer of exercise 9: stored curves, beside one step of the student's encoders."""

import itertools

import numpy as np
import pytest
from torch import nn

from course.layer_normalization_solutions import PostLayerNormTransformer, PreLayerNormTransformer
from course.student.figures.warm_up import (
    GUESSING,
    STEP_RATES,
    STORED_RATES,
    STORED_WARM_UPS,
    first_steps,
    loss_curve,
    warm_up_explorer,
)
from course.student.picture import Picture


@pytest.mark.parametrize("rate", STORED_RATES)
def test_the_explorer_draws_at_every_place_of_its_sliders(rate: float) -> None:
    explorer = warm_up_explorer(PostLayerNormTransformer, PreLayerNormTransformer)
    explorer.sliders["rate"].value = rate
    for warm_up in STORED_WARM_UPS:
        explorer.sliders["warm_up"].value = warm_up
        shown = explorer.draw()
        assert isinstance(shown, Picture), shown.text
        assert f"learning rate of {rate:g} with {warm_up} steps" in shown.text


def test_the_explorer_waits_for_both_encoders() -> None:
    class Unwritten(nn.Module):
        def __init__(self, *_: object) -> None:
            raise NotImplementedError

    for encoders in itertools.permutations((PreLayerNormTransformer, Unwritten)):
        assert "waits for your" in repr(warm_up_explorer(*encoders))


def test_a_longer_training_begins_as_a_shorter_one_does() -> None:
    short, long = (loss_curve(PreLayerNormTransformer, 0.01, 5, 0, steps) for steps in (10, 15))
    assert short == long[:2]
    assert short[0] == pytest.approx(GUESSING, abs=0.3)


def test_a_step_moves_the_output_further_the_larger_its_rate_and_in_post_ln() -> None:
    pre, post = (
        np.mean(first_steps(encoder), axis=0)
        for encoder in (PreLayerNormTransformer, PostLayerNormTransformer)
    )
    assert len(pre) == len(STEP_RATES)
    for moved in (pre, post):
        assert 0 < moved[0] < 0.01
        assert (np.diff(moved) > 0).all()
        assert moved[-1] < 2
    assert (post > 1.3 * pre).all()
