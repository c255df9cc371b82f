"""A student's solution as the known mistake that it may become, with questions to the author.

The student's code is read, never run. Comments and docstrings are left out: they may hold more than
the mistake, and the course is public.
"""

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from course.instructor.build import ROOT
from course.instructor.task import Task

# What the author answers. A test finds what was left.
NAME = "What is the mistake, in a few words, such as: eps outside the square root?"
EXPLANATION = "What did you do, and what does the definition do instead?"
HINT = "Where should one look, or what should one try, without being told the answer?"

DECORATOR = f"""\
@{{task}}.known_mistake(
    "{NAME}",
    "{EXPLANATION}",
    hint="{HINT}",
)
"""

FUNCTION, CLASS = "new_mistake", "NewMistake"

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Skeleton:
    """What an author pastes and completes.

    Args:
        code: to be pasted.
        solution: the same without the words for students, as it stands in a solution cell.
        path: where to paste it, below the repository's root.
        line: after which line of that.
        notes: what to see to, in sentences.
    """

    code: str
    solution: str
    path: Path
    line: int
    notes: list[str]


def skeleton(sources: Sequence[str], task: Task) -> Skeleton | None:
    """Make a skeleton of a solution; None if no cell defines it with `def` or `class`.

    Args:
        sources: of the code cells before the check, in order.
        task: the task that the solution is of.
    """
    for body in map(_statements, reversed(sources)):
        found = _definition(body, task.defines)
        if found:
            return _skeleton(found, _needed(body, found), task)
    return None


def _skeleton(found: Definition, beside: list[ast.stmt], task: Task) -> Skeleton:
    assert task.draw is not None
    module = sys.modules[task.draw.__module__]
    _rename(found, _free_name(CLASS if isinstance(found, ast.ClassDef) else FUNCTION, module))
    helpers, definition = [_source(node) for node in beside], _source(found)
    notes = []
    if helpers:
        notes.append(
            "A known mistake stands alone: move what comes before it inside, or write it out."
        )
    if missing := _unknown([*beside, found], module):
        notes.append(f"The module does not know {', '.join(missing)}: import it, or write it out.")
    task_name = next(name for name, value in vars(module).items() if value is task)
    lines, first = inspect.getsourcelines(task.mistakes[-1].solution)
    return Skeleton(
        code="\n\n\n".join([*helpers, DECORATOR.format(task=task_name) + definition]) + "\n",
        solution="\n\n\n".join([*helpers, definition, f"{task.defines} = {found.name}"]) + "\n",
        path=Path(str(module.__file__)).relative_to(ROOT),
        line=first + len(lines) - 1,
        notes=notes,
    )


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _definition(body: list[ast.stmt], name: str) -> Definition | None:
    """The last definition of a name in a cell, in whichever way it is given.

    `name = other` makes it another's; `Name.method = function` makes it a class with that method.
    """
    definitions: dict[str, Definition] = {}
    methods: list[ast.stmt] = []
    for node in body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                definitions[node.name] = node
            case ast.Assign([ast.Name(target)], ast.Name(value)) if value in definitions:
                definitions[target] = definitions[value]
            case ast.Assign([ast.Attribute(ast.Name(target), method)], ast.Name(value)) if (
                target == name and value in definitions
            ):
                definitions[value].name = method
                methods.append(definitions[value])
    if name not in definitions and methods:
        made = ast.parse(f"class {name}({name}): ...").body[0]
        assert isinstance(made, ast.ClassDef)
        made.body = methods
        return made
    return definitions.get(name)


def _needed(body: list[ast.stmt], found: Definition) -> list[ast.stmt]:
    """What a definition needs of what else its cell defines, imports apart."""
    needed: list[ast.stmt] = []
    used = _used([found])
    for node in reversed(body):
        if node is not found and node not in found.body and used & _defined(node):
            needed.insert(0, node)
            used |= _used([node])
    return needed


def _defined(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
    return set()


def _used(nodes: Sequence[ast.stmt]) -> set[str]:
    names = (name for node in nodes for name in ast.walk(node) if isinstance(name, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Load)}


def _unknown(nodes: Sequence[ast.stmt], module: ModuleType) -> list[str]:
    """The names that are used and neither given there nor known to the module."""
    given = {*vars(module), *vars(builtins)}
    for node in (each for outer in nodes for each in ast.walk(outer)):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                given.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.ExceptHandler(name=str(name)):
                given.add(name)
            case ast.alias(name=name, asname=asname):
                given.add(asname or name.partition(".")[0])
    return sorted(_used(nodes) - given)


def _rename(found: Definition, name: str) -> None:
    """Rename a definition, and itself where it speaks of itself."""
    old, found.name = found.name, name
    bases = found.bases if isinstance(found, ast.ClassDef) else []
    if any(isinstance(base, ast.Name) and base.id == old for base in bases):
        return  # what it speaks of is the class that it builds on
    for node in ast.walk(found):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = name


def _free_name(name: str, module: ModuleType) -> str:
    while hasattr(module, name):
        name = f"{name}_" if name.islower() else f"{name}2"
    return name


def _source(node: ast.stmt) -> str:
    """The source of a definition without comments and docstrings."""
    for each in ast.walk(node):
        if isinstance(each, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(each) is not None:
            each.body = each.body[1:] or [ast.Pass()]
    # What `1e-5` has become.
    return re.sub(r"(?<=\d)e-0(?=\d\b)", "e-", ast.unparse(node))
