"""Grading holds against every attack: nothing gained, read or stopped, and nobody left out."""

from functools import cache

import pytest

from tests.attacks import container
from tests.attacks.attack import Attack
from tests.attacks.catalogue import ATTACKS
from tests.attacks.harness import CONTAINED, Row, batches, measure_batch

BATCHES = batches("ours", list(ATTACKS.values()))
# The attacks of a batch are graded together, by one process.
CASES = [
    pytest.param(number, attack, id=attack.name, marks=pytest.mark.xdist_group(f"attacks-{number}"))
    for number, batch in enumerate(BATCHES)
    for attack in batch
]

pytestmark = pytest.mark.skipif(
    CONTAINED["ours"] and not container.available(),
    reason="The container for hostile code needs Linux, root and bwrap.",
)


@cache
def reached(number: int) -> dict[str, Row]:
    return {row.attack.name: row for row in measure_batch("ours", BATCHES[number])}


@pytest.mark.parametrize(("number", "attack"), CASES)
def test_grading_holds_against(number: int, attack: Attack) -> None:
    row = reached(number)[attack.name]
    assert not row.gained, f"{attack.tries} The score is off by {row.gained}."
    assert not row.read, f"{attack.tries} It reached {', '.join(row.read)}."
    assert not row.stopped, f"{attack.tries} Of the others, {row.stopped}."
    assert not row.script, f"{attack.tries} Its page of feedback runs a script."
    assert not row.ungraded, f"{attack.tries} It is left ungraded."
    assert not row.silent, f"{attack.tries} Nothing says why it has no full score."
