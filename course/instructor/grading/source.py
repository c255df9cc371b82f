"""What the text of a submission's code cells tells about it. Nothing of it is run.

The cells are read in the order in which they run. Each name stands for all that its value may be
made of: things of libraries, by their dotted names, and functions and classes of the student's own.
What a function's body uses is found when something that is asked about leads there.
"""

import ast
import builtins
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from IPython.core.inputtransformer2 import TransformerManager

from course.instructor.build import text_notebooks
from course.instructor.forbidden import Forbidden

# A notebook's own code has a tenth of this, and reading takes seconds at most. IPython reads a cell
# again for each of its magics.
MOST_CHARACTERS = 200_000
# Nesting of the syntax tree: honest code has a third of it. It keeps the reading from running out
# of stack.
MOST_LEVELS = 100
# Sentences on a submission.
MOST_SENTENCES = 20
LINE_CHARACTERS = 80

_MAGIC = re.compile(r"^\s*[%!?,;/]|\?\s*$|=\s*[%!]", re.MULTILINE)

# With what a thing is taken from a module by a name that is a string, and modules are imported so.
_TAKES_BY_NAME = {"getattr", "getattr_static", "attrgetter", "__getattribute__"}
_LOOKS_UP = {"get", "pop", "__getitem__", "__getattribute__"}
_IMPORTS_BY_NAME = {"import_module", "__import__", "locate", "resolve_name"}
_DOTTED = re.compile(r"\w+(\.\w+)*")
# Concatenated strings beyond these are nobody's names.
_MOST_TEXTS, _LONGEST_TEXT = 50, 100
# That a name may stand for.
_MOST_ITEMS = 300


def built_ins_used(cells: Sequence[str], expression: str, forbidden: Forbidden) -> list[str]:
    """Find the forbidden code that a checked object uses, by its dotted names.

    Only what the object is made of counts, through whatever the student has defined on the way.
    What other code of the cells does, and what strings, comments and type hints name, does not.

    Args:
        cells: the code cells that run before the check, in order.
        expression: what is checked, such as "layer_norm".
        forbidden: what the task forbids.
    """
    reader = _Reader()
    for cell in _readable(cells)[0]:
        reader.read(cell)
    [cell, *_] = _readable([expression])[0] or [_Cell(ast.Module([], []), [])]
    return sorted({name for path in reader.made_of(cell) if (name := forbidden.within(path))})


def suspicious(cells: Sequence[str]) -> list[str]:
    """Say in sentences what code that no exercise needs does, for the instructor to look at.

    Args:
        cells: the code cells of a submission, in order.
    """
    readable, sentences = _readable(cells)
    reader = _Reader()
    for cell in readable:
        reader.read(cell)
    reader.read_bodies()
    sentences += filter(None, map(_sentence, reader.seen))
    sentences = list(dict.fromkeys(sentences))
    more = len(sentences) - MOST_SENTENCES
    return sentences[:MOST_SENTENCES] + ([f"And {more} more of this kind."] if more > 0 else [])


# Reading cells


@dataclass(frozen=True)
class _Cell:
    tree: ast.Module
    lines: list[str]
    magic: str = ""


def _readable(cells: Iterable[str]) -> tuple[list[_Cell], list[str]]:
    """The cells that are Python, and sentences on what would be too much to read.

    What is no Python does not run either.
    """
    found, sentences, left = [], [], MOST_CHARACTERS
    for text in cells:
        left -= len(text) * (1 + len(_MAGIC.findall(text)))
        if left < 0:
            sentences.append(f"This is too much code, or has too many magics: {_cut(text)}")
            break
        try:
            found.append(_parsed(text))
        except (SyntaxError, ValueError, tokenize.TokenError):
            continue
        except (RecursionError, MemoryError):
            sentences.append(f"This is nested too deeply to be read: {_cut(text)}")
    return found, sentences


def _parsed(text: str) -> _Cell:
    magic = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes, which a student has seen already
        if text.lstrip().startswith("%%"):
            magic, _, text = text.lstrip().partition("\n")
        try:
            tree = ast.parse(text)
        except SyntaxError:
            text = TransformerManager().transform_cell(text)
            tree = ast.parse(text)
    if _levels(tree) > MOST_LEVELS:
        raise RecursionError
    return _Cell(tree, re.split(r"\r\n|\r|\n", text), magic)


def _levels(tree: ast.AST) -> int:
    levels, level = 0, [tree]
    while level:
        levels += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return levels


def _cut(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= LINE_CHARACTERS else f"{line[: LINE_CHARACTERS - 1]}…"


# What names stand for


@dataclass(frozen=True)
class _Outside:
    """A thing of a library, by its dotted name; what a call of it gives ends in `()`."""

    path: str


@dataclass(frozen=True)
class _Text:
    value: str


@dataclass(eq=False)
class _Own:
    """A function or class of the student's.

    Args:
        number: in the order of reading.
        node: its definition.
        lines: the lines of its cell.
        scope: where the names in its body are looked up.
        owner: the class that it is a method of.
        made_of: what its decorators, defaults and bases are, and what runs in a class's body.
        defaults: of its parameters.
        members: of a class, and what is assigned to attributes later.
    """

    number: int
    node: "_Definition"
    lines: list[str]
    scope: "_Scope"
    owner: "_Own | None" = None
    made_of: "_Items" = frozenset()
    defaults: "dict[str, _Items]" = field(default_factory=dict)
    members: "dict[str, _Items]" = field(default_factory=dict)


@dataclass(frozen=True)
class _Made:
    """What a call of something of the student's own gives."""

    own: _Own


_Item = _Outside | _Text | _Own | _Made
_Items = frozenset[_Item]
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
_NOTHING: _Items = frozenset()


@dataclass(eq=False)
class _Scope:
    """The names of the module, a function, a comprehension or a class's body."""

    parent: "_Scope | None" = None
    owner: _Own | None = None  # the class whose body this is
    names: dict[str, _Items] = field(default_factory=dict)
    of_module: set[str] = field(default_factory=set)  # declared `global`
    stars: list[str] = field(default_factory=list)

    @property
    def of_functions(self) -> "_Scope":
        """Where a function defined here looks names up: not in the class that it is a method of."""
        return self.parent if self.owner and self.parent else self

    @property
    def module(self) -> "_Scope":
        return self.parent.module if self.parent else self


@dataclass(frozen=True)
class _Sight:
    """Something of a library that the code names.

    Args:
        name: the dotted name, or an attribute of something unknown, with a dot in front.
        line: of the code, cut.
        how: "named", "assigned to", "called" or "defined".
        texts: the strings among the arguments of a call, if it was called.
    """

    name: str
    line: str
    how: str = "named"
    texts: tuple[str, ...] = ()


class _Reader:
    """Reads cells, and remembers what names stand for and which libraries' things it has seen."""

    def __init__(self) -> None:
        self.seen: list[_Sight] = []
        self._module = _Scope()
        self._lines: list[str] = []
        self._owns: list[_Own] = []

    def read(self, cell: _Cell) -> None:
        """Read a cell as if it ran after those before it."""
        self._lines = cell.lines
        if cell.magic:
            self.seen.append(_Sight(cell.magic.split()[0], _cut(cell.magic)))
        self._run_all(cell.tree.body, self._module, certain=True)

    def read_bodies(self) -> None:
        """Read the bodies of all functions, whether anything leads there or not."""
        for own in self._owns:  # which grows on the way
            self._body(own)

    def made_of(self, cell: _Cell) -> set[str]:
        """All things of libraries that the expressions in a cell lead to."""
        # Twice, for what one body assigns may be used by another that was read before.
        self._led_to(cell)
        found = self._led_to(cell)
        return {item.path.replace("()", "") for item in found if isinstance(item, _Outside)}

    def _led_to(self, cell: _Cell) -> set[_Item]:
        self._lines = cell.lines
        found: set[_Item] = set()
        new = set(self._run_all(cell.tree.body, self._module, certain=True))
        while new:
            found |= new
            new, owns = set(), {own for item in new if (own := _own_of(item))}
            for own in sorted(owns, key=lambda own: own.number):
                new |= own.made_of.union(self._body(own), *own.members.values())
            new -= found
        return found

    # Statements

    def _run_all(self, body: Iterable[ast.stmt], scope: _Scope, *, certain: bool) -> _Items:
        return _NOTHING.union(*[self._run(statement, scope, certain) for statement in body])

    def _run(self, statement: ast.stmt, scope: _Scope, certain: bool) -> _Items:
        """Read a statement, which is certain to run or not; return what it uses."""
        items: _Items
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                own = self._function(statement, scope)
                self._bind(scope, statement.name, own.made_of | {own}, certain)
                return own.made_of
            case ast.ClassDef():
                own = self._class(statement, scope)
                self._bind(scope, statement.name, own.made_of | {own}, certain)
                return own.made_of
            case ast.Import(names=names):
                for alias in names:
                    self._see(alias.name, statement)
                    path = alias.name if alias.asname else alias.name.partition(".")[0]
                    self._bind(scope, alias.asname or path, frozenset([_Outside(path)]), certain)
                return _NOTHING
            case ast.ImportFrom(module=module, names=names, level=level):
                package = "." * level + (module or "")
                for alias in names:
                    path = f"{package}.{alias.name}"
                    self._see(path, statement)
                    if alias.name == "*":
                        scope.module.stars.append(package)
                    items = frozenset([_Outside(path)])
                    self._bind(scope, alias.asname or alias.name, items, certain)
                return _NOTHING
            case ast.Assign(targets=targets, value=value):
                items = self._value(value, scope)
                for target in targets:
                    self._assign(target, value, items, scope, certain)
                return items
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                items = self._value(value, scope)
                self._assign(target, value, items, scope, certain)
                return items
            case ast.AnnAssign():
                return _NOTHING
            case ast.AugAssign(target=target, value=value):
                items = self._value(value, scope)
                self._assign(target, None, items, scope, False)
                return items
            case ast.Delete(targets=targets):
                for target in targets:
                    self._assign(target, None, _NOTHING, scope, certain)
                return _NOTHING
            case ast.Global(names=names):
                scope.of_module.update(names)
                return _NOTHING
            case ast.For(target=target, iter=iterated) | ast.AsyncFor(target=target, iter=iterated):
                items = self._value(iterated, scope)
                self._assign(target, None, items, scope, False)
            case ast.With(items=managers) | ast.AsyncWith(items=managers):
                items = _NOTHING
                for manager in managers:
                    entered = self._value(manager.context_expr, scope)
                    if manager.optional_vars:
                        self._assign(manager.optional_vars, None, entered, scope, certain)
                    items |= entered
                return items | self._run_all(statement.body, scope, certain=certain)
            case _:
                items = _NOTHING.union(
                    *[
                        self._value(child, scope)
                        for child in ast.iter_child_nodes(statement)
                        if isinstance(child, ast.expr)
                    ]
                )
        return items | self._run_all(_inner_statements(statement), scope, certain=False)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope) -> _Own:
        own = self._callable(node, node.args, scope)
        decorators = [self._value(decorator, scope) for decorator in node.decorator_list]
        own.made_of = own.made_of.union(*decorators)
        self._see(f".{node.name}", node, "defined")
        return own

    def _callable(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        arguments: ast.arguments,
        scope: _Scope,
    ) -> _Own:
        own = self._own(node, scope.of_functions, scope.owner)
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
        for parameter, default in zip(
            [*positional, *arguments.kwonlyargs], [*defaults, *arguments.kw_defaults], strict=True
        ):
            own.defaults[parameter.arg] = self._value(default, scope)
        for rest in (arguments.vararg, arguments.kwarg):
            if rest:
                own.defaults[rest.arg] = _NOTHING
        own.made_of = _NOTHING.union(*own.defaults.values())
        if own.owner and positional:  # `self`
            own.defaults[positional[0].arg] = frozenset([own.owner])
        return own

    def _class(self, node: ast.ClassDef, scope: _Scope) -> _Own:
        own = self._own(node, scope)
        values = [*node.decorator_list, *node.bases, *(word.value for word in node.keywords)]
        bases = [self._value(value, scope) for value in values]
        inner = _Scope(scope.of_functions, own, own.members)
        own.made_of = self._run_all(node.body, inner, certain=True).union(*bases)
        return own

    def _own(self, node: _Definition, scope: _Scope, owner: _Own | None = None) -> _Own:
        own = _Own(len(self._owns), node, self._lines, scope, owner)
        self._owns.append(own)
        return own

    def _body(self, own: _Own) -> _Items:
        """Read the body of a function; return what it uses."""
        self._lines = own.lines
        inner = _Scope(own.scope, names=dict(own.defaults))
        if isinstance(own.node, ast.Lambda):
            return self._value(own.node.body, inner)
        if isinstance(own.node, ast.ClassDef):
            return _NOTHING
        return self._run_all(own.node.body, inner, certain=False)

    def _bind(self, scope: _Scope, name: str, items: _Items, certain: bool) -> None:
        if name in scope.of_module:
            scope, certain = scope.module, False
        scope.names[name] = _few(items if certain else scope.names.get(name, _NOTHING) | items)

    def _assign(
        self, target: ast.expr, value: ast.expr | None, items: _Items, scope: _Scope, certain: bool
    ) -> None:
        match target:
            case ast.Name(id=name):
                self._bind(scope, name, items, certain)
            case ast.Starred(value=inner):
                self._assign(inner, None, items, scope, certain)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                parts: Sequence[ast.expr | None] = [None] * len(targets)
                if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(targets):
                    parts = value.elts
                for one, part in zip(targets, parts, strict=True):
                    own_items = self._value(part, scope) if part else items
                    self._assign(one, part, own_items, scope, certain)
            case ast.Attribute(value=base, attr=name) | ast.Subscript(value=base, slice=name):
                holders = self._value(base, scope)
                attribute = name if isinstance(name, str) else ""
                if isinstance(name, ast.expr):
                    self._value(name, scope)
                self._set(holders, attribute, items, target, certain=certain)
                if isinstance(base, ast.Name):
                    self._bind(scope, base.id, holders | items, False)

    def _set(
        self, holders: _Items, name: str, items: _Items, node: ast.AST, *, certain: bool
    ) -> None:
        """Assign to an attribute, or without a name to an index.

        What is assigned to an attribute of an object says nothing of its class.
        """
        for path in _paths(holders):
            self._see(f"{path}.{name}" if name else f"{path}[]", node, "assigned to")
        for own in [holder for holder in holders if isinstance(holder, _Own) and name]:
            before = _NOTHING if certain else own.members.get(name, _NOTHING)
            own.members[name] = _few(before | items)

    # Expressions

    def _value(self, node: ast.AST | None, scope: _Scope) -> _Items:
        """All that the value of an expression may be made of."""
        match node:
            case None:
                return _NOTHING
            case ast.Constant(value=str() as text):
                return frozenset([_Text(text)])
            case ast.Name(id=name):
                return self._named(name, scope, node)
            case ast.Attribute(value=base, attr=name):
                self._see(f".{name}", node)
                items = _NOTHING.union(*[_member(i, name) for i in self._value(base, scope)])
                for path in _paths(items):
                    self._see(path, node)
                return items
            case ast.Call():
                return self._call(node, scope)
            case ast.Subscript(value=base, slice=index):
                items, names = self._value(base, scope), self._value(index, scope)
                return items | names | self._from_module(items, names)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _concatenated([self._value(left, scope), self._value(right, scope)])
            case ast.JoinedStr(values=parts):
                return _concatenated([self._value(part, scope) for part in parts])
            case ast.Lambda(args=arguments):
                own = self._callable(node, arguments, scope)
                return own.made_of | {own}
            case ast.NamedExpr(target=target, value=value):
                items = self._value(value, scope)
                self._assign(target, value, items, scope, False)
                return items
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                inner = _Scope(scope, scope.owner)
                for generator in node.generators:
                    iterated = self._value(generator.iter, inner)
                    self._assign(generator.target, None, iterated, inner, False)
                return self._parts(node, inner)
            case _:
                return self._parts(node, scope)

    def _parts(self, node: ast.AST, scope: _Scope) -> _Items:
        return _NOTHING.union(*[self._value(part, scope) for part in ast.iter_child_nodes(node)])

    def _call(self, node: ast.Call, scope: _Scope) -> _Items:
        called = self._value(node.func, scope)
        if called <= {_Outside("builtins.isinstance"), _Outside("builtins.issubclass")} and called:
            return self._value(node.args[0] if node.args else None, scope)  # naming is not using
        values = [*node.args, *(word.value for word in node.keywords)]
        arguments = [self._value(value, scope) for value in values]
        given = _NOTHING.union(*arguments)
        texts = tuple(_texts(given))
        for path in _paths(called):
            self._see(path, node, "called", texts)
            if path in ("builtins.setattr", "builtins.delattr") and len(arguments) > 1:
                for name in _texts(arguments[1]) or ["?"]:
                    items = _NOTHING.union(*arguments[2:])
                    self._set(arguments[0], name, items, node, certain=False)
        return frozenset(map(_result, called | given)) | self._by_name(called, given)

    def _by_name(self, called: _Items, given: _Items) -> _Items:
        """What a call takes from a module, or imports, by a name that is a string."""
        paths = _paths(called)
        lasts = set(map(_last, paths))
        found: set[_Item] = set()
        if lasts & _IMPORTS_BY_NAME:
            # `__import__("torch.nn")` gives torch.
            texts = _texts(given)
            found |= {_Outside(path) for text in texts for path in (text, text.partition(".")[0])}
        if lasts & _LOOKS_UP:
            holders = frozenset(_Outside(path.rpartition(".")[0]) for path in paths)
            found |= self._from_module(holders, given)
        if lasts & _TAKES_BY_NAME:
            taking = {_Outside(p) for p in paths if _last(p) in _TAKES_BY_NAME}
            found |= self._from_module((called | given) - taking, called | given)
        return frozenset(found)

    def _from_module(self, holders: _Items, names: _Items) -> _Items:
        """The things of these names in modules, or in their dicts."""
        found: _Items = _NOTHING
        for path in _paths(holders):
            for text in filter(_DOTTED.fullmatch, _texts(names)):
                if path == "builtins.globals()":
                    found |= self._module.names.get(text, _NOTHING)
                elif path == "sys.modules":
                    found |= {_Outside(text)}
                else:
                    module = path.removesuffix("()").removesuffix(".__dict__")
                    found |= {_Outside(f"{module}.{text}")}
        return found

    def _named(self, name: str, scope: _Scope, node: ast.AST) -> _Items:
        """What a name stands for; of what the code has not bound itself, note that it is named."""
        inner: _Scope | None = scope
        while inner:
            if name in inner.names:
                return inner.names[name]
            inner = inner.parent
        paths = [f"{package}.{name}" for package in scope.module.stars]
        if hasattr(builtins, name):
            paths.append(f"builtins.{name}")
        if name in ("__builtins__", "get_ipython"):
            paths = [name.strip("_")]
        for path in paths:
            self._see(path, node)
        return frozenset(map(_Outside, paths))

    def _see(
        self, name: str, node: ast.AST, how: str = "named", texts: tuple[str, ...] = ()
    ) -> None:
        line = self._lines[getattr(node, "lineno", 1) - 1]
        self.seen.append(_Sight(name, _cut(line), how, texts))


def _inner_statements(statement: ast.stmt) -> Iterator[ast.stmt]:
    """The statements inside one that branches or loops."""
    for part in ast.iter_child_nodes(statement):
        if isinstance(part, ast.stmt):
            yield part
        elif isinstance(part, ast.ExceptHandler | ast.match_case):
            yield from part.body


def _few(items: _Items) -> _Items:
    """The items, or nothing where a name may stand for hundreds, which would take long to read."""
    return items if len(items) <= _MOST_ITEMS else _NOTHING


def _paths(items: _Items) -> list[str]:
    return sorted(item.path for item in items if isinstance(item, _Outside))


def _last(path: str) -> str:
    return path.removesuffix("()").rpartition(".")[2]


def _texts(items: _Items) -> list[str]:
    return sorted(item.value for item in items if isinstance(item, _Text))


def _own_of(item: _Item) -> _Own | None:
    if isinstance(item, _Own):
        return item
    return item.own if isinstance(item, _Made) else None


def _member(item: _Item, name: str) -> _Items:
    """What an attribute of an item is."""
    if isinstance(item, _Outside):
        return frozenset([_Outside(f"{item.path}.{name}")])
    own = _own_of(item)
    return own.members.get(name, _NOTHING) | {item} if own else _NOTHING


def _result(item: _Item) -> _Item:
    """What a call of an item, or with it, gives."""
    if isinstance(item, _Outside) and not item.path.endswith("()"):
        return _Outside(f"{item.path}()")
    return _Made(item) if isinstance(item, _Own) else item


def _concatenated(parts: list[_Items]) -> _Items:
    """The strings that the parts make up together, and what else they are."""
    wholes = [""]
    for part in parts:
        wholes = [whole + text for whole in wholes for text in _texts(part)][:_MOST_TEXTS]
    others = [item for part in parts for item in part if not isinstance(item, _Text)]
    return frozenset([*others, *(_Text(w) for w in wholes if len(w) <= _LONGEST_TEXT)])


# What is suspicious

_REASONS = {
    r"course\.(instructor|layer_normalization_solutions)": "is the instructor's",
    r"sys\.(modules|meta_path|path_hooks|path_importer_cache)": "reaches into how modules load",
    r"sys\.(_getframe|_current_frames)": "walks up to its caller",
    r"inspect\.(stack|currentframe|trace|getouterframes|getinnerframes)": "walks up to its caller",
    r"traceback\.(walk_stack|walk_tb|extract_stack)": "walks up to its caller",
    r"sys\.(settrace|setprofile|addaudithook|monitoring)": "watches other code run",
    r"gc\.get_\w+": "searches the memory",
    r"(ctypes|cffi|mmap)": "reaches into the memory",
    r"os\.(_exit|abort|kill|killpg)": "ends a process",
    r"os\.(fork|forkpty|posix_spawnp?|exec\w+|spawn\w+|system|popen)": "starts a process",
    r"(subprocess|multiprocessing|pty)": "starts a process",
    r"(threading|_thread|concurrent\.futures)": "starts a thread",
    r"(socket|urllib|urllib3|http|requests|httpx|ftplib)": "opens a connection",
    r"atexit": "runs code when the kernel ends",
    r"signal": "changes what signals do",
    r"(pickle|marshal|shelve|dill|cloudpickle|torch\.load)": "may run code that it reads",
    r"(builtins\.(exec|eval|compile)|runpy)": "runs text as code",
    r"(builtins\.__import__|importlib(?!\.resources)|pkgutil)": "imports what a string names",
    r"(unittest\.mock|builtins$)": "can replace parts of other code",
    r"torch\.(_C|ops|overrides|library|utils\._python_dispatch|utils\.cpp_extension)": (
        "reaches below PyTorch's functions"
    ),
    r"(IPython(?!\.display)|ipykernel|jupyter_client|zmq)": "reaches into the kernel",
    r"get_ipython\(\)\.(?!run_line_magic)\w+": "reaches into the kernel",
    r"(os\.path\.expanduser|pathlib\.Path\.home)": "leads out of the notebook's folder",
    r"\.(__globals__|__code__|__closure__|__subclasses__|f_back|f_globals|f_locals|tb_frame)": (
        "reaches into other code"
    ),
}
_ANSWERS_FOR_OTHERS = (
    r"\.__(array|array_function|array_ufunc|torch_function|torch_dispatch|reduce|reduce_ex)__"
)
_OPENS = r"(builtins|io|os|os\.path|pathlib|shutil|glob|numpy|torch|pandas)\.\w+"
_ELSEWHERE = re.compile(r"[/~].*|(.*/)?\.\.(/.*)?", re.DOTALL)
_SETTINGS = ("matplotlib.", "torch.backends.")
_HARMLESS_MAGICS = {"matplotlib", "time", "timeit", "precision", "pinfo", "pinfo2", "who", "whos"}
_HARMLESS_CELL_MAGICS = {"%%time", "%%timeit", "%%capture"}


def _sentence(sight: _Sight) -> str:
    """What is to be said of something that was seen, or nothing."""
    name, why = _in_table(sight) or (sight.name, _why(sight))
    return f"`{name}` {why}: {sight.line}" if why else ""


def _in_table(sight: _Sight) -> tuple[str, str] | None:
    """What is suspicious wherever it is named, and why."""
    if sight.how == "defined" or ("()" in sight.name and not sight.name.startswith("get_ipython")):
        return None
    matches = (
        (re.match(rf"{pattern}(?!\w)", sight.name), why) for pattern, why in _REASONS.items()
    )
    return next(((match.group(), why) for match, why in matches if match), None)


def _why(sight: _Sight) -> str:
    """Why something is suspicious for how it is used, or nothing."""
    name, why = sight.name, ""
    if sight.how == "assigned to":
        names_of_others = re.search(r"(globals\(\)|vars\(\)|__dict__)\[\]$", name)
        attribute = "()" not in name and not name.endswith("[]")
        if names_of_others or (attribute and not name.startswith(_SETTINGS)):
            why = "is not the student's, and is assigned to"
    elif sight.how == "defined" and re.fullmatch(_ANSWERS_FOR_OTHERS, name):
        why = "answers for an object that is no plain array"
    elif name.startswith("%%") and name not in _HARMLESS_CELL_MAGICS:
        why = "is a magic that no exercise needs"
    elif name.startswith("course.") and "()" not in name and not _imported_by_notebooks(name):
        why = "is a part of the course that no notebook imports"
    elif sight.how == "called":
        magic = name == "get_ipython().run_line_magic"
        if magic and not _HARMLESS_MAGICS & set(sight.texts):
            why = "is a magic that no exercise needs"
        elif re.fullmatch(_OPENS, name) and any(map(_ELSEWHERE.fullmatch, sight.texts)):
            why = "leads out of the notebook's folder"
    return why


def _imported_by_notebooks(name: str) -> bool:
    """Whether a name of this package is what a notebook imports, or a public part of it."""
    imported = next((one for one in _imports() if f"{name}.".startswith(f"{one}.")), None)
    if imported:
        return "._" not in name.removeprefix(imported)
    return any(one.startswith(f"{name}.") for one in _imports())


@cache
def _imports() -> frozenset[str]:
    """The names that the course's own notebooks import from this package."""
    statements = [
        statement
        for path in text_notebooks()
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(statement, ast.ImportFrom)
    ]
    return frozenset(
        f"{statement.module}.{alias.name}"
        for statement in statements
        for alias in statement.names
        if (statement.module or "").partition(".")[0] == "course"
    )
