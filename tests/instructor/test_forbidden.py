"""What a task forbids is known by name, and costs the same by whatever it was found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from course.instructor.forbidden import (
    ENCODER_LAYERS,
    ENCODERS,
    MULTI_HEAD_ATTENTION,
    NORMS,
    in_words,
    with_built_ins,
)
from course.instructor.task import Task, all_tasks
from course.student.difference import READY_MADE
from course.student.judge import judge
from course.student.outcome import Outcome, Problem
from course.student.ready_made import BUILT_IN_NORMS

TASKS = all_tasks()
FORBIDDING = {name: task for name, task in TASKS.items() if task.forbids}
LAYER_NORM = "torch.nn.functional.layer_norm"


def mistake(task: Task, name: str) -> Callable[..., Any]:
    return next(m.solution for m in task.mistakes if m.name == name)


@pytest.mark.parametrize("part", BUILT_IN_NORMS)
def test_a_norm_that_the_operator_level_knows_has_a_forbidden_name(part: str) -> None:
    assert NORMS.within(f"torch.nn.functional.{part}")
    assert NORMS.within(f"torch.ops.aten.native_{part}.default")
    assert NORMS.within(f"torch.nn.{part.title().replace('_', '').replace('Rms', 'RMS')}1d")


def test_what_only_sounds_like_it_is_not_forbidden() -> None:
    for name in ("numpy.layer_norm", "torch.nn.Linear.layer_norm", "torch.nn.functional.normalize"):
        assert not NORMS.within(name)
    assert not MULTI_HEAD_ATTENTION.within("torch.nn.functional.scaled_dot_product_attention")
    assert not ENCODER_LAYERS.within("torch.nn.TransformerEncoder")
    assert ENCODERS.within("torch.nn.TransformerEncoder") == "torch.nn.TransformerEncoder"


@pytest.mark.parametrize("task", FORBIDDING.values(), ids=FORBIDDING)
def test_forbidden_code_costs_all_points_of_a_task_and_is_told_in_words(task: Task) -> None:
    assert task.forbids
    key = task.key()
    right = task.outcomes(task.oracle, key)
    found = with_built_ins(key, right, [LAYER_NORM], task.forbids)
    assert judge(key, right).score == key.points
    report = judge(key, found)
    assert report.score == 0
    if output := task.forbids.output:
        assert report.description == (READY_MADE[output],)
    else:
        assert LAYER_NORM in report.verdicts[0].outcome.problem.message  # type: ignore[union-attr]


def test_only_the_cases_that_judge_it_fail_and_nothing_is_changed_in_place() -> None:
    task = TASKS["ex03_custom_layer_norm"]
    key = task.key()
    right = task.outcomes(task.oracle, key)
    before = [dict(outcome.outputs) for outcome in right]
    found = with_built_ins(key, right, [LAYER_NORM], NORMS)
    judging = [NORMS.output in case.judged for case in key.cases]
    assert [verdict.passed for verdict in judge(key, found).verdicts] == [not j for j in judging]
    assert all(one is other for one, other, j in zip(found, right, judging, strict=True) if not j)
    assert [outcome.outputs for outcome in right] == before
    assert with_built_ins(key, right, [], NORMS) == right


def test_an_error_stays_the_error_that_it_was() -> None:
    key = TASKS["ex03_custom_layer_norm"].key()
    unwritten = [Outcome(problem=Problem("NotImplementedError", ""))] * len(key.cases)
    assert with_built_ins(key, unwritten, [LAYER_NORM], NORMS) == unwritten


@pytest.mark.parametrize(
    ("task", "name", "used"),
    [
        ("ex03_custom_layer_norm", "PyTorch's own norm does the work", [LAYER_NORM]),
        (
            "ex09_pre_layer_norm",
            "PyTorch's own encoder",
            ["torch.nn.TransformerEncoder", "torch.nn.TransformerEncoderLayer"],
        ),
    ],
)
def test_a_known_mistake_that_only_the_source_gives_away_is_named(
    task: str, name: str, used: list[str]
) -> None:
    key, forbidden = TASKS[task].key(), TASKS[task].forbids
    assert forbidden
    unseen = [
        replace(outcome, outputs=outcome.outputs | {forbidden.output: expected})
        if (expected := case.expected.get(forbidden.output)) is not None
        else outcome
        for case, outcome in zip(
            key.cases, TASKS[task].outcomes(mistake(TASKS[task], name), key), strict=True
        )
    ]
    assert judge(key, unseen).score > 0
    report = judge(key, with_built_ins(key, unseen, used, forbidden))
    assert [found.name for found in report.diagnosis] == [name]


def test_the_sentence_for_a_student_names_what_was_used() -> None:
    assert in_words([LAYER_NORM]).startswith(f"Your code uses `{LAYER_NORM}`, which may not")
