"""Ready-made code that a task forbids, and what becomes of the outcomes where it is used."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from course.student.answer_key import AnswerKey, Case
from course.student.outcome import Outcome, Problem, UnusableError
from course.student.ready_made import BUILT_IN_NORMS

# Where something of PyTorch is found: in a module of it, and not in one of its classes.
_TORCH = r"torch(?:\.[a-z_]\w*|\.F)*\."


@dataclass(frozen=True)
class Forbidden:
    """Ready-made code that may not be used in a task.

    Args:
        names: regular expressions for its dotted names.
        output: the output that tells whether it was called; empty where the probe refuses to
            judge what has called it.
    """

    names: tuple[str, ...]
    output: str = ""

    def within(self, name: str) -> str:
        """The beginning of a dotted name that is forbidden, or nothing."""
        matches = (re.match(rf"(?:{pattern})(?!\w)", name) for pattern in self.names)
        return next((match.group() for match in matches if match), "")


def _torch(*names: str) -> tuple[str, ...]:
    return tuple(f"{_TORCH}{name}" for name in names)


# `layer_norm`, `native_layer_norm`, `LayerNorm` and so on.
NORMS = Forbidden(
    _torch(*(rf"(?i:\w*{part.replace('_', '_?')}\w*)" for part in BUILT_IN_NORMS)),
    "built-in norm called",
)
NORMS_OF_ANY_LIBRARY = Forbidden(
    (
        *NORMS.names,
        r"sklearn\.preprocessing(?:\._data)?\.(?:(?:robust_)?scale|normalize)",
        r"sklearn\.preprocessing(?:\._data)?\.(?:StandardScaler|RobustScaler|Normalizer)",
        r"scipy\.stats(?:\.\w+)*\.(?:zscore|zmap)",
    ),
    "ready-made norm called",
)
AUTOGRAD = Forbidden(
    (
        r"torch\.autograd\.(?:grad|functional)",
        r"torch(?:\.\w+)*\.backward",  # of a tensor, however it was made
        r"torch\.(?:func|_functorch)\.\w+",
        r"functorch\.\w+",
    )
)
NORMS_AND_AUTOGRAD = Forbidden((*NORMS.names, *AUTOGRAD.names))
MULTI_HEAD_ATTENTION = Forbidden(
    _torch(r"(?i:\w*multi_?head_?attention\w*)", r"Transformer\w*"), "built-in attention called"
)
ATTENTION = Forbidden(
    (*MULTI_HEAD_ATTENTION.names, *_torch(r"\w*scaled_dot_product\w*", r"flex_attention")),
    "built-in attention called",
)
ENCODER_LAYERS = Forbidden(
    _torch(r"Transformer(?:(?:En|De)coderLayer)?", r"_transformer_encoder_layer_fwd"),
    "built-in encoder layer used",
)
ENCODERS = Forbidden((*ENCODER_LAYERS.names, *_torch("TransformerEncoder")), "built-in encoder")


def with_built_ins(
    key: AnswerKey, outcomes: Sequence[Outcome], used: Sequence[str], forbidden: Forbidden
) -> list[Outcome]:
    """The outcomes as they would be if the probe had seen that forbidden code was used.

    Args:
        key: the answer key.
        outcomes: one for each case, in the key's order.
        used: the dotted names of what was used; the outcomes stay as they are if there are none.
        forbidden: what the task forbids.
    """
    if not used:
        return list(outcomes)
    return [
        outcome if outcome.problem else _found_out(case, outcome, used, forbidden)
        for case, outcome in zip(key.cases, outcomes, strict=True)
    ]


def in_words(used: Sequence[str]) -> str:
    """A sentence for a student on the forbidden code that theirs uses."""
    names = ", ".join(f"`{name}`" for name in used)
    return f"Your code uses {names}, which may not be used in this task. Write out what it does."


def _found_out(case: Case, outcome: Outcome, used: Sequence[str], forbidden: Forbidden) -> Outcome:
    name = forbidden.output
    if not name:
        problem = Problem(UnusableError.__name__, in_words(used))
        return Outcome(problem=problem, printed=outcome.printed)
    if name not in case.judged:
        return outcome
    classes = ", ".join(sorted({path.rpartition(".")[2] for path in used}))
    found = True if isinstance(case.expected[name], bool) else classes
    return replace(outcome, outputs=outcome.outputs | {name: found})
