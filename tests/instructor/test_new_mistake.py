"""A solution found in a submission becomes the skeleton of a known mistake."""

import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner, Result

from course.instructor import mistake_skeleton, new_mistake
from course.instructor.__main__ import main
from course.instructor.grading.record import Finding
from course.instructor.mistake_skeleton import Skeleton
from course.instructor.submission import filled_in, reference_sources, typed
from course.instructor.task import Task, all_tasks
from course.student.judge import judge

NAME = "ex01_basic_implementation"
TASK = all_tasks()["ex01_layer_norm"]
QUESTIONS = {mistake_skeleton.NAME, mistake_skeleton.EXPLANATION, mistake_skeleton.HINT}

MEDIAN = '''
try:
    open({marker!r}, "w").close()
except OSError:
    pass

def middle(x):
    return np.median(x, axis=-1, keepdims=True)

def layer_norm(x, gamma, beta, eps=1e-5):
    """By a student."""
    # Written on the train.
    mean = middle(x)
    var = ((x - mean)**2).mean(axis=-1, keepdims=True)
    return gamma*(x - mean)/np.sqrt(var + eps) + beta
'''

MEDIAN_CODE = f"""\
def middle(x):
    return np.median(x, axis=-1, keepdims=True)


@layer_norm.known_mistake(
    "{mistake_skeleton.NAME}",
    "{mistake_skeleton.EXPLANATION}",
    hint="{mistake_skeleton.HINT}",
)
def new_mistake(x, gamma, beta, eps=1e-5):
    mean = middle(x)
    var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta
"""


def run(folder: Path, source: str, *, damaged: bool = False) -> Result:
    """Run the command on a submission whose solution cell holds the source."""
    notebook = filled_in(NAME, {TASK.id: source})
    if damaged:
        notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith("check(")]
    path = folder / "as downloaded (1).ipynb"
    nbformat.write(notebook, path)
    return CliRunner().invoke(main, ["new-mistake", TASK.id, str(path)])


def skeleton(source: str, task: Task = TASK) -> Skeleton:
    made = mistake_skeleton.skeleton([source], task)
    assert made is not None
    return made


def test_a_new_mistake_becomes_code_to_paste_and_runs_only_in_the_sandbox(tmp_path: Path) -> None:
    marker = tmp_path / "it ran here"
    result = run(tmp_path, MEDIAN.format(marker=str(marker)), damaged=True)
    assert result.exit_code == 0
    assert result.stdout.strip() == MEDIAN_CODE.strip()
    assert "0 of 10 points" in result.stderr
    assert "was missing or changed" in result.stderr
    assert "A known mistake stands alone" in result.stderr
    assert "By itself it does not fare" not in result.stderr
    assert not marker.exists()


def test_a_mistake_that_the_course_knows_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    mistake = TASK.mistakes[0]
    result = run(tmp_path, typed(TASK, mistake.solution, reference_sources(NAME)[TASK.id]))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"The course knows this mistake: {mistake.name}." in result.stderr


def test_what_needs_another_cell_is_told(tmp_path: Path) -> None:
    notebook = filled_in(NAME, {TASK.id: MEDIAN.format(marker="").replace("def middle", "def no")})
    notebook.cells.insert(1, nbformat.v4.new_code_cell("def middle(x):\n    return x[..., :1]"))
    path = tmp_path / f"{NAME}.ipynb"
    nbformat.write(notebook, path)
    result = CliRunner().invoke(main, ["new-mistake", TASK.id, str(path)])
    assert "By itself it does not fare" in result.stderr
    assert "The module does not know middle" in result.stderr


@pytest.mark.parametrize(
    ("started", "words"), [(False, "no solution in it yet"), (True, "nothing failed")]
)
def test_nothing_is_made_of_a_right_solution_or_none(started: bool, words: str) -> None:
    finding = Finding(0, 10, started)
    with pytest.raises(new_mistake.NoSkeletonError, match=words):
        new_mistake.skeleton_of(new_mistake.Judged(finding, "", [], []), TASK.id)


def test_a_task_or_a_submission_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "damaged.ipynb").write_text("{ not a notebook", encoding="utf-8")
    for arguments, words in [
        (["ex99", "student-01"], "no graded task 'ex99'. There are: ex01_layer_norm"),
        ([TASK.id, "student-99"], "no notebook 'student-99', and no folder"),
        ([TASK.id, str(tmp_path / "damaged.ipynb")], "it is not JSON"),
    ]:
        result = CliRunner().invoke(main, ["new-mistake", *arguments])
        assert result.exit_code == 1
        assert words in result.stderr


def test_a_student_in_submitted_is_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "student-01" / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(filled_in(NAME, {TASK.id: "# mine"}), path)
    notebook = new_mistake.read_submission("student-01", NAME, tmp_path)
    assert "# mine" in [cell.source for cell in notebook.cells]


def test_a_completed_skeleton_is_a_known_mistake_that_explains_the_submission() -> None:
    task = replace(TASK, mistakes=list(TASK.mistakes))
    names = {**vars(sys.modules[TASK.oracle.__module__]), "layer_norm": task}
    exec(MEDIAN_CODE, names)
    key = task.key(1)
    report = judge(key, task.outcomes(task.mistakes[-1].solution, key))
    assert [mistake.name for mistake in report.diagnosis] == [mistake_skeleton.NAME]


def test_the_place_to_paste_is_the_end_of_the_last_known_mistake() -> None:
    made = skeleton("def layer_norm(x): return x")
    lines = (Path(__file__).parents[2] / made.path).read_text("utf-8").splitlines()
    assert lines[made.line - 1].startswith("    ")
    assert lines[made.line] == ""
    assert not any(".known_mistake(" in line for line in lines[made.line :])


def test_comments_and_docstrings_are_left_out() -> None:
    code = skeleton('def layer_norm(x):\n    """A name."""\n    return x  # another name').code
    assert code.endswith("def new_mistake(x):\n    return x\n")


def test_imports_that_the_module_lacks_are_named() -> None:
    made = skeleton("import math\nimport numpy as np\ndef layer_norm(x): return math.sqrt(np.e)")
    assert made.notes == ["The module does not know math: import it, or write it out."]


def test_a_solution_by_another_name_is_found() -> None:
    made = skeleton("def mine(x):\n    return mine(x[1:])\nlayer_norm = mine")
    assert made.code.endswith("def new_mistake(x):\n    return new_mistake(x[1:])\n")
    assert made.solution.endswith("layer_norm = new_mistake\n")


def test_a_class_and_a_method_that_is_attached_to_one_become_classes() -> None:
    forward, backward = (all_tasks()[f"ex02_{name}"] for name in ("forward", "backward"))
    made = skeleton("class LayerNorm:\n    def forward(self, x): return super(LayerNorm)", forward)
    assert "@forward_task.known_mistake(" in made.code
    assert made.code.endswith(
        "class NewMistake:\n\n    def forward(self, x):\n        return super(NewMistake)\n"
    )
    made = skeleton("def mine(self, dout): return dout\nLayerNorm.backward = mine", backward)
    assert "@backward_task.known_mistake(" in made.code
    assert made.code.endswith(
        "class NewMistake(LayerNorm):\n\n    def backward(self, dout):\n        return dout\n"
    )
    assert not made.notes


@pytest.mark.parametrize("source", ["layer_norm = lambda x: x", "def layer_norm(:", "x = 1", ""])
def test_there_is_no_skeleton_without_a_definition(source: str) -> None:
    assert mistake_skeleton.skeleton([source], TASK) is None


def test_the_last_cell_that_defines_the_solution_counts() -> None:
    sources = ["def layer_norm(x): return 1", "def layer_norm(x): return 2", "y = 3"]
    made = mistake_skeleton.skeleton(sources, TASK)
    assert made is not None
    assert "return 2" in made.code


def test_no_question_to_an_author_is_left_in_the_course() -> None:
    for task in all_tasks().values():
        for mistake in task.mistakes:
            assert not QUESTIONS & {mistake.name, mistake.explanation, mistake.hint}
