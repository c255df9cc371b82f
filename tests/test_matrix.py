"""Known mistakes are rejected and named, right solutions get full marks, on 21 keys each."""

import pytest

from course.instructor.matrix import kill_matrix
from course.instructor.task import Task, all_tasks
from course.student.judge import judge

TASKS = all_tasks()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_solution_of_a_task_fares_as_it_must(task: Task) -> None:
    surprises = [
        f"{row.kind} {row.name}: {sentence}"
        for row in kill_matrix(task)
        for sentence in row.surprises
    ]
    assert not surprises, "\n".join(surprises)


def test_each_exercise_has_15_known_mistakes_6_right_solutions_and_5_combinations() -> None:
    exercises = {task.id.partition("_")[0] for task in TASKS.values() if task.graded}
    for exercise in exercises:
        tasks = [task for task in TASKS.values() if task.id.startswith(f"{exercise}_")]
        assert sum(len(task.mistakes) for task in tasks) >= 15
        assert sum(len(task.right_solutions) for task in tasks) >= 6
        assert sum(len(task.combinations) for task in tasks) >= 5


def test_names_and_points_of_cases_do_not_depend_on_the_draw() -> None:
    for task in TASKS.values():
        published, fresh = (task.key(seed) for seed in (0, 1))
        assert [(c.name, c.points) for c in published.cases] == [
            (c.name, c.points) for c in fresh.cases
        ]


def test_fresh_keys_have_other_inputs_and_other_shapes_than_the_published_one() -> None:
    for task in TASKS.values():
        keys = [task.key(seed) for seed in range(4)]
        inputs = [[value for case in key.cases for value in case.inputs.values()] for key in keys]
        assert len({repr(values) for values in inputs}) == len(keys)
        # The shapes of arrays; other inputs may be sizes themselves.
        assert len({str([getattr(v, "shape", v) for v in values]) for values in inputs}) > 1


def test_the_same_seed_draws_the_same_key() -> None:
    for task in TASKS.values():
        assert repr(task.key(5).cases) == repr(task.key(5).cases)


def test_a_mistake_about_eps_costs_the_cases_about_eps_and_not_the_definition() -> None:
    task = TASKS["ex01_layer_norm"]
    about_eps = [mistake for mistake in task.mistakes if "eps" in mistake.name.split(" (")[0]]
    assert len(about_eps) >= 5
    for mistake in about_eps:
        key = task.key()
        verdicts = judge(key, task.outcomes(mistake.solution, key)).verdicts
        unbiased_too = "unbiased" in mistake.name
        assert verdicts[0].passed != unbiased_too, mistake.name
