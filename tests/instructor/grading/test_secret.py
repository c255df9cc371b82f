"""The class's secret, and the seeds drawn from it."""

import stat
from pathlib import Path

from course.instructor.grading.secret import class_secret, fresh_seed


def test_the_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = class_secret(path)
    assert class_secret(path) == secret
    assert len(secret) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_a_seed_depends_on_the_secret_the_student_and_the_task_and_nothing_else() -> None:
    seed = fresh_seed(b"s", "student-01", "ex01_layer_norm")
    assert seed == fresh_seed(b"s", "student-01", "ex01_layer_norm")
    others = [
        fresh_seed(b"t", "student-01", "ex01_layer_norm"),
        fresh_seed(b"s", "student-02", "ex01_layer_norm"),
        fresh_seed(b"s", "student-01", "ex02_forward"),
    ]
    assert len({seed, *others}) == 4
