"""The report card of one check: HTML for a notebook, and the same words as plain text."""

import textwrap
from collections.abc import Sequence
from html import escape

from course.student.answer_key import NamedMistake
from course.student.judge import Report, Verdict
from course.student.plain import describe

WIDTH = 88

GRADING = "Grading calls your code with other inputs, so a number copied from here earns nothing."
LOOK_CLOSER = "To look closer: case = check.last_failure()"

# JupyterLab's own theme colours, so that the card follows a light or dark theme; the fallbacks
# are for pages without a theme, such as returned feedback.
_STYLE = """<style>
.report-card { max-width: 46rem; margin: .4rem 0; padding: .7rem 1rem .6rem; border-radius: 6px;
  border: 1px solid var(--jp-border-color1, #bdbdbd); border-left: 6px solid var(--card-accent);
  background: var(--jp-layout-color1, #fff); color: var(--jp-content-font-color1, #212121);
  font-family: var(--jp-content-font-family, system-ui, sans-serif); font-size: 14px;
  line-height: 1.5; overflow-wrap: anywhere; }
.report-card.passed { --card-accent: var(--jp-success-color1, #388e3c); }
.report-card.failed { --card-accent: var(--jp-warn-color1, #f57c00); }
.report-card.unstarted { --card-accent: var(--jp-border-color1, #9e9e9e); }
.report-card .head { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline;
  justify-content: space-between; font-weight: 600; font-size: 16px; }
.report-card .bar { height: 5px; margin: .35rem 0 .6rem; border-radius: 3px; overflow: hidden;
  background: var(--jp-layout-color3, #e0e0e0); }
.report-card .bar div { height: 100%; background: var(--card-accent); }
.report-card p { margin: .3rem 0; }
.report-card ul { list-style: none; margin: .2rem 0 .5rem; padding: 0; }
.report-card li { padding-left: 1.5rem; text-indent: -1.5rem; }
.report-card .mark { display: inline-block; width: 1.5rem; text-indent: 0; font-weight: 700;
  color: var(--card-accent); }
.report-card li.passed .mark { color: var(--jp-success-color1, #388e3c); }
.report-card .first { margin: .5rem 0; padding: .5rem .8rem; border-radius: 4px;
  background: var(--jp-layout-color2, #f5f5f5); }
.report-card .numbers { font-family: var(--jp-code-font-family, monospace); font-size: 13px;
  white-space: pre-wrap; margin: .3rem 0; padding: 0; background: none; border: 0;
  color: inherit; }
.report-card .quiet { color: var(--jp-content-font-color2, #616161); font-size: 13px; }
.report-card summary { cursor: pointer; }
.report-card code { background: none; color: inherit; padding: 0;
  font-family: var(--jp-code-font-family, monospace); font-size: 13px; }
</style>"""


class ReportCard:
    """A report, ready to be displayed: `_repr_html_` in a notebook, `str` everywhere else."""

    def __init__(self, report: Report) -> None:
        """Take the judge's report."""
        self.report = report

    def __str__(self) -> str:
        """The card as plain text, complete without colour or pictures."""
        return "\n".join(
            textwrap.fill(line, WIDTH, subsequent_indent=" " * 4) if len(line) > WIDTH else line
            for line in _text(self.report)
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _html(self.report)


def _score(report: Report) -> str:
    return f"{report.score:g} of {report.points:g} points"


def _summary(report: Report) -> str:
    """One sentence for the whole report."""
    if not report.started:
        return "Not started yet. Write your solution in the cell above, run it, then run this cell."
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


def _diagnosis(report: Report) -> list[str]:
    """What is known about the first failure, as sentences."""
    if not report.diagnosis:
        return ["No mistake known to this course explains all of it."]
    if len(report.diagnosis) == 1:
        mistake = report.diagnosis[0]
        return [f"This is exactly what you get with: {mistake.name}.", mistake.explanation]
    return [
        "Each of these explains it equally well:",
        *(f"{mistake.name}: {mistake.explanation}" for mistake in report.diagnosis),
    ]


def _hint(failure: Verdict, diagnosis: Sequence[NamedMistake]) -> str:
    return diagnosis[0].hint if diagnosis else failure.case.hint


def _called(verdict: Verdict) -> str:
    inputs = verdict.case.inputs.items()
    return "Called with " + ", ".join(f"{name}: {describe(value)}" for name, value in inputs) + "."


def _printed(report: Report) -> str:
    return next((v.outcome.printed for v in report.verdicts if v.outcome.printed), "").rstrip()


def _text(report: Report) -> list[str]:
    lines = [f"{report.title}: {_score(report)}", _summary(report)]
    if not report.started:
        return lines
    lines += [f"  [passed] {v.case.name}" for v in report.verdicts if v.passed]
    failure = report.first_failure
    if failure is not None:
        lines += [f"  [failed] {failure.case.name}"]
        lines += [f"    {sentence}" for sentence in _diagnosis(report)]
        lines += [f"    {sentence}" for sentence in report.description]
        lines += [f"    {_called(failure)}"]
        lines += [f"    Hint: {_hint(failure, report.diagnosis)}"]
        others = [v.case.name for v in report.verdicts if not v.passed and v is not failure]
        if others:
            lines += ["  Failing too, perhaps for the same reason:"]
            lines += [f"  [failed] {name}" for name in others]
    if printed := _printed(report):
        lines += ["  Your code printed or warned:", *textwrap.indent(printed, "    ").split("\n")]
    if failure is not None:
        lines += [LOOK_CLOSER]
    return [*lines, GRADING]


def _html(report: Report) -> str:
    failure = report.first_failure
    state = "passed" if failure is None else "failed" if report.started else "unstarted"
    share = 100 * report.score / report.points
    parts = [
        _STYLE,
        f'<section class="report-card {state}" aria-label="Report card: {escape(report.title)},'
        f' {_score(report)}">',
        f'<div class="head"><span>{escape(report.title)}</span><span>{_score(report)}</span></div>',
        f'<div class="bar" aria-hidden="true"><div style="width: {share:.0f}%"></div></div>',
        f"<p>{escape(_summary(report))}</p>",
    ]
    if report.started:
        parts += _html_verdicts([v for v in report.verdicts if v.passed])
        if failure is not None:
            parts += _html_failure(report, failure)
        parts += _html_tried(report)
        parts += [f'<p class="quiet">{escape(GRADING)}</p>']
    return "\n".join([*parts, "</section>"])


def _html_verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    if not verdicts:
        return []
    return ["<ul>", *(_html_verdict(verdict) for verdict in verdicts), "</ul>"]


def _html_verdict(verdict: Verdict) -> str:
    state, mark = ("passed", "✓") if verdict.passed else ("failed", "✗")
    return (
        f'<li class="{state}"><span class="mark" role="img" aria-label="{state}:">{mark}</span>'
        f"{escape(verdict.case.name)}</li>"
    )


def _html_failure(report: Report, failure: Verdict) -> list[str]:
    name, *rest = _diagnosis(report)
    described = "\n".join(report.description)
    return [
        '<div class="first">',
        *_html_verdicts([failure]),
        f"<p><strong>{escape(name)}</strong></p>",
        *(f"<p>{_with_code(sentence)}</p>" for sentence in rest),
        f'<div class="numbers">{escape(described)}</div>',
        f"<p><strong>Hint.</strong> {_with_code(_hint(failure, report.diagnosis))}</p>",
        "</div>",
    ]


def _html_tried(report: Report) -> list[str]:
    failure = report.first_failure
    parts = ["<details><summary>What was tried</summary>"]
    parts += _html_verdicts(report.verdicts)
    if failure is not None:
        parts += [
            f"<p>{escape(failure.case.name)}: {escape(_called(failure))}</p>",
            f"<p>To look closer: <code>{escape(LOOK_CLOSER.partition(': ')[2])}</code></p>",
        ]
    if printed := _printed(report):
        parts += [
            f'<p>Your code printed or warned:</p><pre class="numbers">{escape(printed)}</pre>'
        ]
    return [*parts, "</details>"]


def _with_code(sentence: str) -> str:
    """HTML of a sentence in which `backticks` mark code."""
    pieces = sentence.split("`")
    return "".join(
        f"<code>{escape(piece)}</code>" if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    )
