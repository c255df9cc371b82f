"""Grading holds against every attack: nothing gained, read or stopped, and nobody left out."""

from itertools import cycle

import pytest

from tests.attacks import container
from tests.attacks.attack import Attack
from tests.attacks.catalogue import ATTACKS
from tests.attacks.grade import WORKERS
from tests.attacks.harness import CONTAINED, batches, measure_batch

# The attacks of a batch are graded together, in one class.
BATCHES = batches("ours", list(ATTACKS.values()))

# Whoever executes, the outcome is the same; they take turns, batch by batch.
CREWS = cycle(("this process", "processes", "this process", "cluster"))

pytestmark = pytest.mark.skipif(
    CONTAINED["ours"] and not container.available(),
    reason="The container for hostile code needs Linux, root and bwrap.",
)


@pytest.mark.parametrize(
    ("batch", "crew"), zip(BATCHES, CREWS, strict=False), ids=[batch[0].name for batch in BATCHES]
)
def test_grading_holds_against(
    batch: list[Attack], crew: str, subtests: pytest.Subtests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WORKERS, crew)
    for row in measure_batch("ours", batch):
        tries = row.attack.tries
        with subtests.test(row.attack.name):
            assert not row.gained, f"{tries} The score is off by {row.gained}."
            assert not row.read, f"{tries} It reached {', '.join(row.read)}."
            assert not row.stopped, f"{tries} Of the others, {row.stopped}."
            assert not row.script, f"{tries} Its page of feedback runs a script."
            assert not row.ungraded, f"{tries} It is left ungraded."
            assert not row.silent, f"{tries} Nothing says why it has no full score."
