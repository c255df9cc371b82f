"""The stored training runs are those that the command would store today."""

import json

import numpy as np
import pytest

from course.instructor.training_runs import FILE, GENERATED, grid, losses, to_json
from course.student.figures.warm_up import MEAN_OF, POST, PRE, STEPS, STORED_STEPS, stored_runs

STALE = "is stale: run `python -m course.instructor training-runs` and commit what it changes"


def test_the_stored_runs_are_those_of_the_grid() -> None:
    assert list(stored_runs()) == grid(), f"{FILE.name} {STALE}"
    lengths = {len(curve) for curve in stored_runs().values()}
    assert lengths == {STORED_STEPS // MEAN_OF}, f"{FILE.name} {STALE}"


def test_the_file_says_how_it_was_made_and_is_written_that_way() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert json.dumps(GENERATED) in text.partition("\n")[0]
    assert text == to_json(stored_runs()), f"{FILE.name} {STALE}"


@pytest.mark.parametrize("placement", [PRE, POST])
def test_training_again_gives_the_stored_curve(placement: str) -> None:
    # A calm run: rounding, or another number of threads, moves it by less than 0.01 within these
    # steps, and a learning rate that is larger by a twentieth moves it by more than 0.04.
    run = (placement, 0.003, 40, 0)
    again = losses(run, STEPS)
    stored = stored_runs()[run][: len(again)]
    assert np.abs(np.subtract(again, stored)).max() < 0.025, f"{FILE.name} {STALE}"
