"""Small faults put into a solution, one at a time: tests that are worth something notice most of them.

What is changed, in bodies of solution functions (not in docstrings, annotations, decorators, asserts, raised messages or
printed text, which tests seldom look at):

comparison     negated (``<`` to ``>=``), moved by one (``<`` to ``<=``)
condition      of ``if``, ``while``, ``... if ... else``, comprehensions: negated; ``not x`` to ``x``
``and``        to ``or``, and back
arithmetic     ``+`` and ``-``, ``*`` and ``//``, ``<<`` and ``>>``, ``&`` and ``|`` swapped; others as in _ARITHMETIC;
               operands swapped where text is joined
constant       a number by one more, one less; a truth value by the other; a text by another
range          its end by one less, one more
name           ``min`` and ``max``, ``any`` and ``all``, ``lower`` and ``upper``, ... as in _NAMES
returned       ``None`` instead
deleted        a call for its effect, an augmented assignment, ``raise``, ``break``, ``continue``, ``del``

The operators are those of mutation testing's literature (Offutt et al. 1996, "An experimental determination of sufficient
mutant operators"), with what Python has of its own. Some mutants do what the original does (a maximum by ``>=``): the rule
is a share of them, never all.

They are numbered in the order of the source, and chosen by hashes of the source and their number: the same source, the
same mutants, in every run; another Python may see another tree, which is why verdicts are kept by version.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from curate.sandbox.parts import Function, Parts

_NEGATED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_MOVED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.MatMult: ast.Mult,
}  # fmt: skip
_NAMES: Final = {
    "min": "max", "max": "min", "any": "all", "all": "any", "lower": "upper", "upper": "lower", "startswith": "endswith",
    "endswith": "startswith", "lstrip": "rstrip", "rstrip": "lstrip", "isalpha": "isdigit", "isdigit": "isalpha",
    "isupper": "islower", "islower": "isupper", "find": "rfind", "rfind": "find", "append": "extend", "floor": "ceil",
    "ceil": "floor",
}  # fmt: skip
_SAID: Final = {"print", "debug", "info", "warning", "error", "exception", "critical"}


@dataclass(frozen=True)
class Mutation:
    """A fault that can be put into one tree.

    Attributes:
        line: where.
        node: the part of the tree that shows it.
        act: puts it in.
        after: what is shown instead of the node afterwards, ``{}`` for what was there before; "" for the node itself.
    """

    line: int
    node: ast.AST
    act: Callable[[], None]
    after: str = ""

    def apply(self) -> str:
        """Put it in; a line that says what became of what."""
        before = ast.unparse(self.node)
        self.act()
        after = self.after.replace("{}", before, 1) if self.after else ast.unparse(self.node)
        return f"line {self.line}: {_short(before)} -> {_short(after)}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."


def mutations(parts: Parts) -> list[Mutation]:
    """All faults for the solution functions of a program, in the order of its source."""
    found: list[Mutation] = []
    for function in dict.fromkeys(parts.functions):
        found += _Finder().within(function)
    return found


def chosen(found: list[Mutation], count: int, source: str) -> list[int]:
    """Numbers of at most ``count`` mutations: by hash, places that have none yet first; in the order of the source."""
    key = blake2b(source.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    drawn = [blake2b(b"%d" % number, key=key, digest_size=8).digest() for number in range(len(found))]
    order = sorted(range(len(found)), key=drawn.__getitem__)
    places: dict[int, int] = {}
    turn = {}
    for number in order:
        line = found[number].line
        turn[number] = places[line] = places.get(line, -1) + 1
    return sorted(sorted(order, key=turn.__getitem__)[:count])


class _Finder:
    """Walks one function."""

    def __init__(self) -> None:
        self._found: list[Mutation] = []
        self._line = 0

    def within(self, function: Function) -> list[Mutation]:
        self._block(function.body)
        return self._found

    def _add(self, node: ast.AST, act: Callable[[], None], after: str = "") -> None:
        self._found.append(Mutation(getattr(node, "lineno", self._line), node, act, after))

    def _set(self, node: ast.AST, field: str, value: Any) -> None:
        self._add(node, lambda: setattr(node, field, value))

    # -- statements --------------------------------------------------------------------------------------------

    def _block(self, body: list[ast.stmt]) -> None:
        for at, statement in enumerate(body):
            self._line = statement.lineno
            if self._is_silent(statement):
                continue
            if _deletable(statement):
                self._add(statement, _put(body, at, ast.copy_location(ast.Pass(), statement)), "(deleted)")
            if isinstance(statement, ast.Raise):
                continue
            if isinstance(statement, ast.Return) and statement.value is not None and not _is_none(statement.value):
                none = ast.copy_location(ast.Constant(None), statement.value)
                self._set(statement, "value", none)
            if isinstance(statement, ast.AugAssign) and (other := _ARITHMETIC.get(type(statement.op))):
                self._set(statement, "op", other())
            if isinstance(statement, ast.If | ast.While):
                self._negated(statement, "test")
            if isinstance(statement, Function):
                self._block(statement.body)
            elif isinstance(statement, ast.AnnAssign):
                self._expression(statement.value)
            else:
                self._children(statement)

    def _is_silent(self, statement: ast.stmt) -> bool:
        """Docstrings and other constants, asserts, imports, what is printed or logged."""
        if isinstance(statement, ast.Assert | ast.Import | ast.ImportFrom | ast.Pass | ast.Global | ast.Nonlocal):
            return True
        if not isinstance(statement, ast.Expr):
            return False
        value = statement.value
        if isinstance(value, ast.Call):
            called = value.func
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            return name in _SAID
        return isinstance(value, ast.Constant)

    def _children(self, node: ast.AST) -> None:
        for _, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                self._expression(value)
            elif isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                self._block(value)
            elif isinstance(value, list):
                for each in value:
                    if isinstance(each, ast.expr):
                        self._expression(each)
                    elif isinstance(each, ast.AST):
                        self._children(each)
            elif isinstance(value, ast.AST):
                self._children(value)

    # -- expressions -------------------------------------------------------------------------------------------

    def _expression(self, node: ast.expr | None) -> None:
        if node is None:
            return
        if isinstance(node, ast.Compare):
            self._compared(node)
        elif isinstance(node, ast.BinOp):
            self._computed(node)
        elif isinstance(node, ast.BoolOp):
            self._set(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._set(node, "operand", _not(node.operand))
        elif (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and not isinstance(node.operand, ast.Constant)
        ):
            self._set(node, "op", ast.UAdd())
        elif isinstance(node, ast.Constant):
            self._constant(node)
        elif isinstance(node, ast.IfExp):
            self._negated(node, "test")
        elif isinstance(node, ast.Name | ast.Attribute):
            self._named(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
            self._range(node)
        elif isinstance(node, ast.JoinedStr):
            for value in node.values:
                if isinstance(value, ast.FormattedValue):
                    self._expression(value.value)
            return
        for generator in getattr(node, "generators", ()):
            for at, test in enumerate(generator.ifs):
                if not isinstance(test, ast.Compare):
                    self._add(test, _put(generator.ifs, at, _not(test)), "not {}")
        self._children(node)

    def _compared(self, node: ast.Compare) -> None:
        for at, op in enumerate(node.ops):
            for table in (_NEGATED, _MOVED):
                if other := table.get(type(op)):
                    self._set(node, "ops", [*node.ops[:at], other(), *node.ops[at + 1 :]])

    def _computed(self, node: ast.BinOp) -> None:
        joined = isinstance(node.op, ast.Add) and any(_is_text(side) for side in (node.left, node.right))
        if joined:

            def swap() -> None:
                node.left, node.right = node.right, node.left

            self._add(node, swap)
        elif other := _ARITHMETIC.get(type(node.op)):
            if isinstance(node.op, ast.Mod) and _is_text(node.left):
                return
            self._set(node, "op", other())

    def _constant(self, node: ast.Constant) -> None:
        value = node.value
        others: tuple[Any, ...] = ()
        if isinstance(value, bool):
            others = (not value,)
        elif isinstance(value, int | float):
            others = (value + 1, value - 1)
        elif isinstance(value, str):
            others = (f"{value}_",) if value else ("_",)
        for other in others:
            self._set(node, "value", other)

    def _named(self, node: ast.Name | ast.Attribute) -> None:
        field = "id" if isinstance(node, ast.Name) else "attr"
        other = _NAMES.get(getattr(node, field))
        if other and isinstance(node.ctx, ast.Load):
            self._set(node, field, other)

    def _range(self, node: ast.Call) -> None:
        at = 0 if len(node.args) == 1 else 1
        if at >= len(node.args) or isinstance(node.args[at], ast.Constant | ast.Starred):
            return
        end = node.args[at]
        for op in (ast.Sub(), ast.Add()):
            moved = ast.copy_location(ast.BinOp(end, op, ast.copy_location(ast.Constant(1), end)), end)
            self._set(node, "args", [*node.args[:at], moved, *node.args[at + 1 :]])

    # -- acts --------------------------------------------------------------------------------------------------

    def _negated(self, node: ast.If | ast.While | ast.IfExp, field: str) -> None:
        test = node.test
        own = isinstance(test, ast.Compare | ast.Constant)
        if own or (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            return  # their own mutations do that
        negated = _not(test)
        self._add(test, lambda: setattr(node, field, negated), "not {}")


def _put(items: list[Any], at: int, value: ast.AST) -> Callable[[], None]:
    return lambda: items.__setitem__(at, value)


def _not(test: ast.expr) -> ast.UnaryOp:
    return ast.copy_location(ast.UnaryOp(ast.Not(), test), test)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _deletable(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call)
    return isinstance(statement, ast.AugAssign | ast.Raise | ast.Break | ast.Continue | ast.Delete)
