"""The report card of one check: HTML for a notebook, and the same words as plain text."""

import textwrap
from collections.abc import Sequence
from html import escape

from course.student.answer_key import Case
from course.student.judge import Report, Verdict
from course.student.outcome import Problem
from course.student.plain import describe

WIDTH = 88

GRADING = "Grading calls your code with other inputs, so a number copied from here earns nothing."
GRADED = "These inputs were drawn for this grading; those in your notebook are others."
LOOK_CLOSER = "To look closer, `case = check.last_failure()` gives you the first case that failed."

# Classes by which MathJax, of its second version and the later ones, leaves an element alone.
NO_FORMULAS = "tex2jax_ignore mathjax_ignore"

# What to do about an error that no known mistake explains, by the name of its class.
SHAPES_HINT = "Print the type and shape of everything on that line, and compare with the message."
ERROR_HINTS = {
    "NameError": "A name on that line means nothing yet: look for a slip in its spelling, a missing"
    " `self.`, or a cell that was not run.",
    "UnboundLocalError": "The function uses a name before it has given it a value.",
    "AttributeError": "What stands before the dot has nothing of that name: look for a slip in its"
    " spelling, and print its type.",
    "RecursionError": "A function calls itself without end.",
    "AssertionError": "An `assert` of yours does not hold for these inputs.",
    "ModuleNotFoundError": "Use what the notebook imports; nothing else needs to be installed.",
}

# What PyTorch says of a module whose `__init__` has not begun with its parent's.
NO_SUPER = "before Module.__init__() call"
SUPER_HINT = (
    "Let `super().__init__()` be the first line of your `__init__`: it makes the place in which a"
    " module keeps its parameters and layers."
)

NO_LINE_HINT = (
    "No line of yours was running when this happened. Compare your signature with the one in the"
    " notebook, and look for something changed in place that is still needed."
)

# JupyterLab's own theme colours, so that the card follows a light or dark theme; the fallbacks
# are for pages without a theme, such as returned feedback.
_STYLE = """<style>
.report-card { max-width: 740px; margin: 6px 0; padding: 11px 16px 10px; border-radius: 6px;
  border: 1px solid var(--jp-border-color1, #bdbdbd); border-left: 6px solid var(--card-accent);
  background: var(--jp-layout-color1, #fff); color: var(--jp-content-font-color1, #212121);
  font-family: var(--jp-content-font-family, system-ui, sans-serif); font-size: 14px;
  line-height: 1.5; overflow-wrap: anywhere; }
.report-card.passed { --card-accent: var(--jp-success-color1, #388e3c); }
.report-card.failed { --card-accent: var(--jp-warn-color1, #f57c00); }
.report-card.unstarted { --card-accent: var(--jp-border-color1, #9e9e9e); }
.report-card .head { display: flex; flex-wrap: wrap; gap: 0 16px; align-items: baseline;
  justify-content: space-between; font-weight: 600; font-size: 16px; }
.report-card .bar { height: 5px; margin: 6px 0 10px; border-radius: 3px; overflow: hidden;
  background: var(--jp-layout-color3, #e0e0e0); }
.report-card .bar div { height: 100%; background: var(--card-accent); }
.report-card p { margin: 5px 0; font-size: 14px; }
.report-card ul.cases { list-style: none; margin: 3px 0 8px; padding: 0; }
.report-card ul.cases li { margin: 0; padding-left: 24px; text-indent: -24px;
  font-size: 14px; }
.report-card .tick { display: inline-block; width: 24px; text-indent: 0; font-weight: 700;
  color: var(--card-accent); }
.report-card li.passed .tick { color: var(--jp-success-color1, #388e3c); }
.report-card .first { margin: 8px 0; padding: 8px 13px; border-radius: 4px;
  background: var(--jp-layout-color2, #f5f5f5); }
.report-card .numbers { font-family: var(--jp-code-font-family, monospace); font-size: 13px;
  white-space: pre-wrap; margin: 5px 0; padding: 0; background: none; border: 0;
  color: inherit; }
.report-card p.quiet { color: var(--jp-content-font-color2, #616161); font-size: 13px; }
.report-card summary { cursor: pointer; display: list-item; }
section.report-card p > code { background: none; color: inherit; padding: 0;
  font-family: var(--jp-code-font-family, monospace); font-size: 13px; }
</style>"""


class ReportCard:
    """A report, ready to be displayed: `_repr_html_` in a notebook, `str` everywhere else."""

    def __init__(self, report: Report, *, graded: bool = False, warning: str = "") -> None:
        """Take the judge's report.

        Args:
            report: the report.
            graded: whether it is a grade, and not a check in a student's notebook.
            warning: a sentence that the student should read before all others.
        """
        self.report = report
        self._graded = graded
        self._warning = warning
        self._closing = [GRADED] if graded else [GRADING]
        if report.first_failure and report.started and not graded:
            self._closing.insert(0, LOOK_CLOSER)

    def __str__(self) -> str:
        """The card as plain text, complete without colour or pictures."""
        return "\n".join(
            textwrap.fill(line, WIDTH, subsequent_indent=" " * 4) if len(line) > WIDTH else line
            for line in _text(self.report, self._warning, self._closing)
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        html = _html(self.report, self._warning, self._closing)
        # A message of the student's code is no formula. Where grades are read, MathJax would make a
        # link of one, with the instructor's rights.
        return f'<div class="{NO_FORMULAS}">{html}</div>' if self._graded else html


def _score(report: Report) -> str:
    return f"{report.score:g} of {_points(report.points)}"


def _points(points: float) -> str:
    return f"{points:g} point{'s' * (points != 1)}"


def _summary(report: Report) -> str:
    """One sentence for the whole report."""
    if not report.started:
        problem = report.verdicts[0].outcome.problem
        unwritten = f"`{problem.function}`" if problem and problem.function else "Your solution"
        return (
            f"Not started yet: {unwritten} is still to be written. Write it in its cell above, run"
            " that cell, then run this one."
        )
    count = len(report.verdicts)
    passed = sum(verdict.passed for verdict in report.verdicts)
    if passed == count:
        return f"All {count} cases passed."
    if passed and not report.verdicts[0].passed:
        return (
            f"{passed} of {count} cases passed. The first case is the definition itself: until it"
            " passes, the others earn no points."
        )
    return f"{passed} of {count} cases passed."


def _diagnosis(report: Report, failure: Verdict) -> list[str]:
    """What the first failure is, as sentences: a headline first."""
    problem = failure.outcome.problem
    if not report.diagnosis and problem:
        return [problem.message if problem.unusable else f"Your code raised {problem.kind}."]
    if not report.diagnosis:
        return ["This is not yet right."]
    if len(report.diagnosis) == 1:
        mistake = report.diagnosis[0]
        return [f"This is exactly what you get with: {mistake.name}.", mistake.explanation]
    return [
        "Each of these explains it equally well:",
        *(f"{mistake.name}: {mistake.explanation}" for mistake in report.diagnosis),
    ]


def _hint(report: Report, failure: Verdict) -> list[str]:
    """At most one hint; a clue has its own, and the words of an unusable object are one."""
    problem = failure.outcome.problem
    if report.diagnosis:
        return [report.diagnosis[0].hint]
    if report.clues or (problem and problem.unusable):
        return []
    return [_error_hint(problem, failure.case) if problem else failure.case.hint]


def _error_hint(problem: Problem, case: Case) -> str:
    if NO_SUPER in problem.message:
        return SUPER_HINT
    if problem.kind in ERROR_HINTS:
        return ERROR_HINTS[problem.kind]
    return f"{SHAPES_HINT} {case.hint}" if problem.line else NO_LINE_HINT


def _unexplained(report: Report, failure: Verdict) -> list[str]:
    """What is known of a failure that no known mistake explains."""
    if report.clues:
        names = "; or with: ".join(clue.name for clue in report.clues)
        return [
            f"In this case that is what you get with: {names}. {report.clues[0].hint} But that"
            " does not explain every case, so something else is wrong too."
        ]
    if report.diagnosis or failure.outcome.problem:
        return []
    return ["No mistake known to this course explains all of it."]


def _called(verdict: Verdict) -> str:
    """What the student's code was called with."""
    inputs = verdict.case.inputs.items()
    return "Called with " + ", ".join(f"{name}: {describe(value)}" for name, value in inputs) + "."


def _printed(report: Report) -> str:
    return next((v.outcome.printed for v in report.verdicts if v.outcome.printed), "").rstrip()


def _text(report: Report, warning: str, closing: Sequence[str]) -> list[str]:
    lines = [f"{report.title}: {_score(report)}", *([warning] if warning else []), _summary(report)]
    if not report.started:
        return lines
    lines += [f"  [passed] {v.case.name}" for v in report.verdicts if v.passed]
    failure = report.first_failure
    if failure is not None:
        lines += [f"  [failed] {failure.case.name}"]
        lines += [f"    {sentence}" for sentence in _diagnosis(report, failure)]
        lines += [f"    {sentence}" for sentence in (*report.description, _called(failure))]
        lines += [f"    Hint: {hint}" for hint in _hint(report, failure)]
        lines += [f"    {sentence}" for sentence in _unexplained(report, failure)]
        others = [v.case.name for v in report.verdicts if not v.passed and v is not failure]
        if others:
            lines += ["  Failing too, perhaps for the same reason:"]
            lines += [f"  [failed] {name}" for name in others]
    if printed := _printed(report):
        lines += ["  Your code printed or warned:", *textwrap.indent(printed, "    ").split("\n")]
    return [*lines, *closing]


def _html(report: Report, warning: str, closing: Sequence[str]) -> str:
    failure = report.first_failure
    state = "passed" if failure is None else "failed" if report.started else "unstarted"
    share = 100 * report.score / report.points
    parts = [
        _STYLE,
        f'<section class="report-card {state}" aria-label="Report card: {escape(report.title)},'
        f' {_score(report)}">',
        f'<div class="head"><span>{escape(report.title)}</span><span>{_score(report)}</span></div>',
        f'<div class="bar" aria-hidden="true"><div style="width: {share:.0f}%"></div></div>',
        *([f"<p><strong>{_with_code(warning)}</strong></p>"] if warning else []),
        f"<p>{_with_code(_summary(report))}</p>",
    ]
    if report.started:
        parts += _html_verdicts([v for v in report.verdicts if v.passed])
        if failure is not None:
            parts += _html_failure(report, failure)
        parts += _html_tried(report)
        parts += [f'<p class="quiet">{_with_code(sentence)}</p>' for sentence in closing]
    return "\n".join([*parts, "</section>"])


def _html_verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    if not verdicts:
        return []
    return ['<ul class="cases">', *(_html_verdict(verdict) for verdict in verdicts), "</ul>"]


def _html_verdict(verdict: Verdict) -> str:
    state, mark = ("passed", "✓") if verdict.passed else ("failed", "✗")
    return (
        f'<li class="{state}"><span class="tick" role="img" aria-label="{state}:">{mark}</span>'
        f"{escape(verdict.case.name)}</li>"
    )


def _html_failure(report: Report, failure: Verdict) -> list[str]:
    name, *rest = _diagnosis(report, failure)
    numbers = "\n".join([*report.description, _called(failure)]).replace("`", "")
    return [
        '<div class="first">',
        *_html_verdicts([failure]),
        f"<p><strong>{_with_code(name)}</strong></p>",
        *(f"<p>{_with_code(sentence)}</p>" for sentence in rest),
        f'<div class="numbers">{escape(numbers)}</div>',
        *(f"<p><strong>Hint.</strong> {_with_code(hint)}</p>" for hint in _hint(report, failure)),
        *(f"<p>{_with_code(sentence)}</p>" for sentence in _unexplained(report, failure)),
        "</div>",
    ]


def _html_tried(report: Report) -> list[str]:
    parts = ["<details><summary>What was tried</summary>"]
    for verdict in report.verdicts:
        parts += _html_verdicts([verdict])
        worth = f"Worth {_points(verdict.case.points)}. {_called(verdict)}"
        parts += [f'<p class="quiet">{escape(worth)}</p>']
    if printed := _printed(report):
        parts += ["<p>Your code printed or warned:</p>"]
        parts += [f'<pre class="numbers">{escape(printed)}</pre>']
    return [*parts, "</details>"]


def _with_code(sentence: str) -> str:
    """HTML of a sentence in which `backticks` mark code."""
    pieces = sentence.split("`")
    return "".join(
        f"<code>{escape(piece)}</code>" if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    )
