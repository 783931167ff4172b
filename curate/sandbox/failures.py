"""What went wrong, in one line a model can use to correct itself: the assertion that failed and the values it compared.

An assert whose condition compares two things, or is a call, a name or ``not`` of one, is rewritten so that its values are
kept until the next one. Where it fails, the line is ``line 7: assert add(1, 2) == 4: got 3``; where neither side is a
literal, ``left 3, right 4``. No addresses, which differ between machines, and no more than DETAIL_CHARS.
"""

from __future__ import annotations

import ast
import errno
import operator
import re
import reprlib
import traceback
from collections.abc import Callable
from typing import Any, Final

from curate.sandbox.parts import MODULE

DETAIL_CHARS: Final = 240
_CONDITION_CHARS: Final = 110
_VALUE_CHARS: Final = 60

_COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: operator.contains(b, a),
    ast.NotIn: lambda a, b: not operator.contains(b, a),
}
# Tuples, made once: a union made at each look writes to every type in it, and a forked child copies what is written to.
_VALUE: Final = (ast.Call, ast.Name, ast.Attribute, ast.Subscript)
_ACT: Final = (ast.NamedExpr, ast.Await, ast.Yield)
_LITERAL: Final = (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.unaryop, ast.expr_context)
_OPERATORS: Final = tuple(_COMPARE.values())
_NUMBER: Final = {kind: number for number, kind in enumerate(_COMPARE)}


def _short() -> reprlib.Repr:
    made = reprlib.Repr()
    for name, most in (("maxlevel", 4), ("maxstring", 50), ("maxother", 50), ("maxlong", 40)):
        setattr(made, name, most)
    for name in ("maxlist", "maxtuple", "maxset", "maxfrozenset", "maxdeque", "maxdict", "maxarray"):
        setattr(made, name, 8)
    return made


_SHORT: Final = _short()


LOAD: Final = ast.Load()


def place(node: ast.expr | ast.stmt) -> dict[str, Any]:
    """Where new parts of a tree say they are: where that one is."""
    return {
        "lineno": node.lineno,
        "col_offset": node.col_offset,
        "end_lineno": node.end_lineno,
        "end_col_offset": node.end_col_offset,
    }


class Seen:
    """The values of the assert that was tried last, and what its condition looks like."""

    def __init__(self) -> None:
        self._conditions: list[tuple[ast.expr, ast.expr, ast.expr | None, range]] = []
        self._last: tuple[int, tuple[Any, ...]] | None = None

    def watch(self, node: ast.Assert, hook: str) -> None:
        """Rewrite an assert to hand its values to ``keep``, which the program finds under the name ``hook``."""
        test = node.test
        left = right = None
        number = -1
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            left, right, number = test.left, test.comparators[0], _NUMBER[type(test.ops[0])]
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            left, number = test.operand, -2
        elif isinstance(test, _VALUE):
            left = test
        if left is None or any(isinstance(n, _ACT) for n in ast.walk(test)):
            return
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        self._conditions.append((test, left, right, lines))
        known = (ast.Constant(len(self._conditions) - 1, **place(test)), ast.Constant(number, **place(test)))
        values = [*known, left, *([right] if right else [])]
        node.test = ast.Call(ast.Name(hook, LOAD, **place(test)), values, [], **place(test))

    def keep(self, condition: int, number: int, *values: Any) -> Any:
        """What the condition is worth: its values are in the order in which Python evaluates them."""
        self._last = condition, values
        if number >= 0:
            return _OPERATORS[number](*values)
        return not values[0] if number == -2 else values[0]

    def forget(self) -> None:
        """Let go of the values."""
        self._last = None

    def told(self, line: int, message: str) -> str:
        """Of the assert at a line: its condition, the values it saw, and its own message; "" where it was not watched."""
        if self._last is None:
            return ""
        condition, values = self._last
        test, left, right, lines = self._conditions[condition]
        if line not in lines:
            return ""
        text = _cut(ast.unparse(test), _CONDITION_CHARS)
        open_left, open_right = (side is not None and not _is_literal(side) for side in (left, right))
        shown = [self._show(v) for v in values]
        if open_left and open_right:
            got = f"left {shown[0]}, right {shown[1]}"
        elif open_right:
            got = f"got {shown[1]}"
        else:
            got = f"got {shown[0]}"
        return f"assert {text}: {got}" + (f" ({_cut(message, _VALUE_CHARS)})" if message else "")

    def _show(self, value: Any) -> str:
        try:
            return _cut(_SHORT.repr(value), _VALUE_CHARS)
        except BaseException:  # noqa: BLE001  a program's own __repr__ may raise anything
            return f"<{type(value).__name__}>"


def _is_literal(node: ast.expr) -> bool:
    return all(isinstance(n, _LITERAL) for n in ast.walk(node))


def _cut(text: str, most: int) -> str:
    text = _plain(text)
    return text if len(text) <= most else text[: most - 3] + "..."


def _plain(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x...", " ".join(text.split()))


def describe(error: BaseException, seen: Seen | None = None) -> tuple[str, str]:
    """Status and one line about an exception, without addresses, which differ between machines.

    The line says where the test failed, and where in the solution, when an exception came from there.
    """
    kind, message = type(error).__name__, str(error)
    message = _plain(message)
    lines = [f.lineno or 0 for f in traceback.extract_tb(error.__traceback__, limit=-50) if f.filename == MODULE]
    if seen and lines and isinstance(error, AssertionError) and (told := seen.told(lines[-1], message)):
        return "assertion", _cut(f"line {lines[-1]}: {told}", DETAIL_CHARS)
    place = f"line {lines[0]}: " if lines else ""
    if len(lines) > 1 and lines[-1] != lines[0]:
        place = f"line {lines[0]}, in line {lines[-1]}: "
    detail = _cut(place + _said(kind, message), DETAIL_CHARS)
    if isinstance(error, AssertionError):
        return "assertion", detail
    if isinstance(error, MemoryError):
        return "memory", detail
    if isinstance(error, ImportError):
        return "import", detail
    denied = isinstance(error, OSError) and error.errno in {errno.EPERM, errno.EACCES}
    if denied or (isinstance(error, RuntimeError) and "start new thread" in message):
        return "forbidden", detail
    return "exception", detail


def _said(kind: str, message: str) -> str:
    return f"{kind}: {message}" if message else kind
