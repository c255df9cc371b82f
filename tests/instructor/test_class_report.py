"""The class report tells what the gradebook and the records say, safely, whatever they hold."""

import base64
import hashlib
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from click.testing import CliRunner
from nasty_content import HTML
from small_class import SmallClass

from course.instructor import build
from course.instructor.__main__ import main
from course.instructor.class_report import summary
from course.instructor.class_report.facts import ANEW, NO_EXERCISE, UNGRADED
from course.instructor.grading.job import Submission
from course.instructor.grading.record import Finding, Record

ONE, TWO, THREE = "ex01_basic_implementation", "ex02_forward_backward", "ex03_pytorch_module"
FORWARD, PARAMETERS, BACKWARD = "ex02_forward", "ex02_parameter_gradients", "ex02_backward"
TASK = "ex01_layer_norm"
DASH = "\N{EN DASH}"
DDOF, EPS, MASK = "the unbiased variance (ddof=1)", "eps outside the root", "a `mask`"

RIGHT = Finding(10.0, 10.0, started=True)
UNSTARTED = Finding(0.0, 10.0, started=False)


def wrong(*mistakes: str, clues: tuple[str, ...] = (), failure: str = "a case: off") -> Finding:
    """What the judge finds in a solution of the first exercise that earned 3 points."""
    return Finding(3.0, 10.0, True, list(mistakes), list(clues), failure)


def record_with(finding: Finding, **values: object) -> Record:
    return Record(done=True, findings={TASK: finding}, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def entered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gradebook with three exercises: to make one takes longer than all that is done with it."""
    small = SmallClass(tmp_path_factory.mktemp("entered"))
    small.enter()
    return small.root / "gradebook.db"


@pytest.fixture
def small(tmp_path: Path, entered: Path) -> SmallClass:
    """A class in which nobody has handed in anything."""
    shutil.copy(entered, tmp_path)
    return SmallClass(tmp_path)


def found(small: SmallClass, student: str, score: float, finding: Finding) -> None:
    small.grade(student, ONE, {TASK: score}, record_with(finding))


def read(small: SmallClass) -> BeautifulSoup:
    return BeautifulSoup(small.report().read_text(encoding="utf-8"), "html.parser")


def table(page: BeautifulSoup, caption: str) -> list[list[str]]:
    """The rows of a table, heading and foot included, as texts."""
    captions = page.find_all("caption")
    (one,) = (each.parent for each in captions if each.get_text().startswith(caption))
    return [[" ".join(cell.get_text().split()) for cell in row(tr)] for tr in one.find_all("tr")]


def row(tr: Tag) -> list[Tag]:
    return list(tr.find_all(["th", "td"]))


def test_a_class_with_nothing_graded_is_told_so_in_words(tmp_path: Path) -> None:
    page = read(SmallClass(tmp_path))
    assert "Nothing is graded yet. Put what students hand in" in page.main.get_text()
    assert not page.select("table, figure, nav")


def test_what_waits_to_be_graded_is_listed_although_nothing_is_graded_yet(
    tmp_path: Path,
) -> None:
    small = SmallClass(tmp_path)
    small.hand_in("student-01", ONE)
    page = read(small)
    assert "Nothing is graded yet." in page.main.get_text()
    assert table(page, "Submissions to look at")[1] == ["student-01", ONE, "not graded", UNGRADED]


def test_a_class_of_students_who_handed_in_nothing_has_nothing_graded(small: SmallClass) -> None:
    small.add_student("student-01")
    assert "Nothing is graded yet." in read(small).main.get_text()


def test_scores_are_those_of_the_gradebook_by_hand_and_less_what_being_late_cost(
    small: SmallClass,
) -> None:
    small.grade("student-01", ONE, {TASK: 3}, record_with(wrong(DDOF)))
    small.score_by_hand("student-01", ONE, TASK, 8)
    small.grade("student-01", TWO, {FORWARD: 4, PARAMETERS: 4, BACKWARD: 2})
    small.change("student-01", TWO, late_submission_penalty=2.5)
    small.grade("student-02", TWO, {FORWARD: 1, PARAMETERS: 0, BACKWARD: 0})
    small.change("student-02", TWO, late_submission_penalty=5.0)
    page = read(small)
    rows = table(page, "Points by student and exercise")
    assert rows[0] == ["Student", "Total", "1", "2", "3"]
    assert rows[1] == ["student-01", "15.5", "8", "7.5", f"{DASH}not handed in"]
    assert rows[2] == ["student-02", "0", f"{DASH}not handed in", "0", f"{DASH}not handed in"]
    assert rows[3] == ["Mean of those handed in", "7.75", "8", "3.8", DASH]
    assert rows[4] == ["Worth", "35", "10", "15", "10"]
    assert table(page, "Exercise 1: points")[1] == ["student-01", "8", DASH, f"8 by hand; {DDOF}"]
    assert table(page, "Exercise 2: points")[1][:4] == ["student-01", "7.5", "−2.5", "4 not noted"]


def test_a_notebook_that_a_killed_run_left_without_scores_is_not_graded(
    small: SmallClass,
) -> None:
    small.grade("student-01", TWO, {FORWARD: 4})
    assert small.facts().works == {}


def test_a_task_counts_students_by_what_they_have_in_it(small: SmallClass) -> None:
    for number, (score, finding) in enumerate(
        [(10, RIGHT), (10, RIGHT), (3, wrong()), (0, wrong()), (0, UNSTARTED)]
    ):
        found(small, f"student-0{number}", score, finding)
    small.add_student("student-09")
    one = summary.by_task(small.facts())[0]
    assert one.students == {"full": 2, "part": 1, "none": 1, "unstarted": 1, "missing": 1}
    assert one.mean == 4.6
    chart = read(small).select("figure")[1]
    assert (
        chart.figcaption.get_text() == "Most students lack points in “Layer normalization”: 3 of 6."
    )
    alternative = chart.select_one("[role=img]")["aria-label"]
    assert (
        "1: Layer normalization: full marks 2, some points 1, no points 1, not started 1,"
        " not handed in 1;" in alternative
    )


def test_a_score_by_hand_takes_a_student_out_of_those_who_are_stuck(small: SmallClass) -> None:
    found(small, "student-01", 0, wrong())
    assert [place.task for place in summary.by_student(small.facts())[0].stuck] == [TASK]
    small.score_by_hand("student-01", ONE, TASK, 10)
    assert summary.by_student(small.facts())[0].stuck == ()


def test_known_mistakes_are_counted_and_lead_to_the_feedback_of_who_made_them(
    small: SmallClass,
) -> None:
    found(small, "student-01", 3, wrong(EPS))
    found(small, "student-02", 3, wrong(DDOF))
    found(small, "student-03", 3, wrong(DDOF, MASK))
    found(small, "student-04", 3, wrong(clues=(DDOF,)))
    found(small, "student-05", 10, RIGHT)
    page = read(small)
    rows = table(page, "Known mistakes")
    who = "student-02, student-03; and something else: student-04"
    assert rows[1] == [DDOF, "Exercise 1", "Layer normalization", "3", who]
    assert [each[0] for each in rows[2:]] == [EPS, "a mask"]
    caption = f"Made most: “{DDOF}”, by 3 of 5 students."
    assert caption in [each.get_text() for each in page.find_all("figcaption")]
    link = page.find("section", {"aria-labelledby": "mistakes"}).find("a", string="student-04")
    assert link["href"] == f"feedback/student-04/{ONE}/{ONE}.html"
    assert (small.root / link["href"]).is_file()


def test_what_no_known_mistake_explains_is_listed_with_what_failed_first(
    small: SmallClass,
) -> None:
    found(small, "student-01", 3, wrong(DDOF))
    found(small, "student-02", 3, wrong(failure="large inputs: `output` is off"))
    found(small, "student-03", 0, UNSTARTED)
    rows = table(read(small), "The first case that failed")
    assert rows[1:] == [
        ["Exercise 1", "Layer normalization", "student-02", "large inputs: output is off"]
    ]


def test_a_student_with_less_than_half_of_what_half_of_the_class_has_is_far_behind(
    small: SmallClass,
) -> None:
    for student, score in {
        "student-01": 10,
        "student-02": 8,
        "student-03": 4,
        "student-04": 3,
    }.items():
        found(small, student, score, RIGHT if score == 10 else wrong())
    behind = {each.student: each.behind for each in summary.by_student(small.facts())}
    assert behind == {
        "student-01": False,
        "student-02": False,
        "student-03": False,
        "student-04": False,
    }
    small.add_student("student-05")
    behind = {each.student: each.behind for each in summary.by_student(small.facts())}
    assert [student for student, is_behind in behind.items() if is_behind] == ["student-05"]
    assert "student-05far behind" in [each[0] for each in table(read(small), "Students and where")]


def test_what_was_flagged_mended_or_not_graded_is_listed_what_matters_most_first(
    small: SmallClass,
) -> None:
    mended = record_with(RIGHT, remarks=["Two cells were put back."])
    small.grade("student-01", ONE, {TASK: 10}, mended)
    small.grade("student-02", ONE, {TASK: 10}, record_with(RIGHT, flags=["It looks for the key."]))
    small.change("student-02", ONE, flagged=True)
    small.grade("student-03", ONE, {TASK: 10}, record_with(RIGHT, flags=["It looks for the key."]))
    small.grade("student-04", ONE, {TASK: 10}, record_with(RIGHT))
    small.change("student-04", ONE, flagged=True)
    damaged = record_with(UNSTARTED, unreadable="The file is empty.", remarks=["It was large."])
    small.grade("student-05", ONE, {TASK: 0}, damaged)
    small.hand_in("student-06", TWO)
    small.hand_in("student-07", "exercise 1")
    rows = table(read(small), "Submissions to look at")
    assert rows[1:] == [
        ["student-06", TWO, "not graded", UNGRADED],
        ["student-07", "exercise 1", "not graded", NO_EXERCISE],
        ["student-02", ONE, "flagged", "It looks for the key."],
        ["student-03", ONE, "flag taken away", "It looks for the key."],
        ["student-04", ONE, "flagged", "Flagged in the formgrader."],
        ["student-01", ONE, "told to the student", "Two cells were put back."],
        ["student-05", ONE, "told to the student", "The file is empty."],
    ]


def test_the_reason_why_a_submission_was_not_graded_is_told_where_it_is_known(
    small: SmallClass,
) -> None:
    small.hand_in("student-01", ONE)
    submission = Submission("student-01", ONE)
    assert small.facts({submission: "The disk is full."}).left == {submission: "The disk is full."}


def test_what_was_handed_in_anew_since_it_was_graded_is_told(small: SmallClass) -> None:
    small.grade("student-01", ONE, {TASK: 10}, record_with(RIGHT, digest="of what was graded"))
    small.hand_in("student-01", ONE)
    assert small.facts().left == {Submission("student-01", ONE): ANEW}


def test_the_slowest_notebooks_and_the_time_of_all_are_told(small: SmallClass) -> None:
    for number, seconds in enumerate([0.5, 12.25, 1.5], 1):
        record = record_with(RIGHT, seconds=seconds, memory=number * 100 * 2**20)
        small.grade(f"student-0{number}", ONE, {TASK: 10}, record)
    page = read(small)
    assert table(page, "The slowest notebooks")[1:] == [
        ["student-02", ONE, "12.2", "200"],
        ["student-03", ONE, "1.5", "300"],
        ["student-01", ONE, "0.5", "100"],
    ]
    rows = table(page, "Time and memory by exercise")
    assert rows[1] == ["Exercise 1: Basic implementation", "3", "4.8", "12.2", "300"]
    assert "took 14 seconds" in page.get_text()


def test_notebooks_of_which_nothing_was_noted_are_told_and_have_their_scores(
    small: SmallClass,
) -> None:
    small.grade("student-01", ONE, {TASK: 0}, Record(done=True))
    page = read(small)
    assert "1 notebook was graded by an earlier version" in page.get_text()
    assert table(page, "Exercise 1: points")[1] == ["student-01", "0", DASH, "0 not noted"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"metadata": {"grading": 3}}'])
def test_a_damaged_record_costs_only_what_it_told(small: SmallClass, damage: str) -> None:
    found(small, "student-01", 3, wrong(DDOF))
    path = small.root / "autograded" / "student-01" / ONE / f"{ONE}.ipynb"
    path.write_text(damage, encoding="utf-8")
    assert table(read(small), "Points by student")[1][:3] == ["student-01", "3", "3"]


NAMES = [
    "<script>window.pwned=1</script>",
    '"><img src=x onerror=window.pwned=1>',
    "' onmouseover='window.pwned=1",
    "javascript:window.pwned=1",
    "student #1?a=%41&b;",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eedis rehto eht morf",
    "two\nlines",
]


def test_hostile_names_and_words_are_text_and_nothing_else(
    small: SmallClass, entered: Path
) -> None:
    for name in NAMES:
        words = [*HTML.values(), "{{ 7 * 7 }}"]
        record = record_with(
            wrong(*words, clues=tuple(words), failure=words[0]), remarks=words, flags=words
        )
        small.grade(name, ONE, {TASK: 3}, record)
        found_wrong = wrong(failure="".join(words))
        if "/" not in name:
            small.grade(
                name, TWO, {FORWARD: 0, PARAMETERS: 0, BACKWARD: 0}, record_with(found_wrong)
            )
    page = read(small)
    other_root = small.root / "harmless"
    other_root.mkdir()
    shutil.copy(entered, other_root)
    harmless = SmallClass(other_root)
    found(harmless, "student-01", 3, wrong(DDOF))
    plain = {each.name for each in read(harmless).find_all(True)} | {"code", "br"}
    assert {each.name for each in page.find_all(True)} <= plain
    assert len(page.find_all("script")) == 1
    attributes = {name for each in page.find_all(True) for name in each.attrs}
    assert not {name for name in attributes if name.startswith("on") or name in ("style", "src")}
    shown = {" ".join(name.split()) for name in NAMES}
    assert shown <= {each[0] for each in table(page, "Points by student")}


def test_links_stay_in_the_course_folder_and_lead_to_feedback_whatever_the_name(
    small: SmallClass,
) -> None:
    for name in NAMES:
        found(small, name, 3, wrong(DDOF))
    links = {each["href"] for each in read(small).select("a[href]")}
    pages = {link for link in links if not link.startswith("#")}
    assert len(pages) == len([name for name in NAMES if "/" not in name])
    for link in pages:
        assert link.startswith("feedback/")
        assert urlsplit(link).path == link
        assert (small.root / unquote(link)).is_file()


def test_a_folder_whose_name_is_no_text_is_shown_as_well_as_can_be(small: SmallClass) -> None:
    small.hand_in(b"student-\xff", ONE)
    assert table(read(small), "Submissions to look at")[1][:2] == ["student-?", ONE]


def test_the_policy_lets_only_the_script_and_the_style_of_the_page_in(small: SmallClass) -> None:
    found(small, "student-01", 3, wrong(DDOF))
    page = read(small)
    policy = page.head.find("meta", {"http-equiv": "Content-Security-Policy"})
    assert policy.find_previous_sibling() == page.head.find("meta", {"charset": "utf-8"})
    digests = (
        base64.b64encode(hashlib.sha256(page.find(name).string.encode()).digest()).decode()
        for name in ("style", "script")
    )
    style, script = digests
    assert policy["content"] == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}';"
        " base-uri 'none'; form-action 'none'"
    )
    assert not page.select("link, [src], iframe, object, [style]")


def test_the_page_is_marked_up_for_whoever_hears_it(small: SmallClass) -> None:
    found(small, "student-01", 3, wrong(DDOF))
    found(small, "student-02", 3, wrong(failure="a case: off"))
    page = read(small)
    assert page.html["lang"] == "en"
    for landmark in ("header", "nav", "main"):
        assert len(page.find_all(landmark)) == 1
    assert len(page.find_all("h1")) == 1
    ids = {each["id"] for each in page.select("[id]")}
    assert len(ids) == len(page.select("[id]"))
    assert {each["aria-labelledby"] for each in page.find_all("section")} <= ids
    assert {link["href"][1:] for link in page.select("a[href^='#']")} <= ids
    for each in page.find_all("table"):
        assert each.caption.get_text()
        assert all(heading["scope"] in ("col", "row") for heading in each.find_all("th"))
        assert all(len(tr.find_all("th")) == 1 for tr in each.tbody.find_all("tr"))
    for figure in page.find_all("figure"):
        message = figure.figcaption.get_text()
        assert figure.select_one("[role=img]")["aria-label"].startswith(message)


def test_the_command_writes_the_report_and_says_where(
    small: SmallClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(small, "student-01", 10, RIGHT)
    monkeypatch.setattr(build, "nbgrader_config", lambda: small.config)
    result = CliRunner().invoke(main, ["report"])
    assert result.exit_code == 0, result.output
    assert str(small.root / "class_report.html") in result.output
    assert "student-01" in (small.root / "class_report.html").read_text(encoding="utf-8")
