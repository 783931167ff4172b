"""A Python file's syntax tree, for text whose bounds are known (``python_bounds``), and what is counted in it."""

from __future__ import annotations

import ast
import gc
import warnings
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["TREE", "Counts", "python_trees"]

TREE: Final = ("statements", "functions", "classes", "documented", "imports", "logic")
"""What is counted: statements at any depth; functions and methods; classes; functions whose first statement is a
documentation string; import statements; statements that are neither imports, documentation strings, ``pass``, ``...``
nor assignments to names with double underscores."""

Counts = tuple[int, int, int, int, int, int]
"""By the names of TREE."""

_PLAIN: Final = frozenset((ast.Return, ast.AugAssign, ast.Raise, ast.Assert, ast.Delete, ast.Break, ast.Continue))
_BRANCHES: Final = ("body", "orelse", "finalbody", "handlers", "cases")


def python_trees(texts: Iterable[bytes]) -> Iterator[Counts | None]:
    """Counts for each text, None where the running Python does not parse it.

    Text is UTF-8 whatever a coding line says; a byte order mark is passed over. Only for text of bounded size and
    depth: the parser recurses.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes and the like
        for text in texts:
            yield _counts(text)


def _counts(text: bytes) -> Counts | None:
    # A tree is many objects and no cycle: looking for cycles takes as long as parsing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _counted(text)
    finally:
        if collecting:
            gc.enable()


def _counted(text: bytes) -> Counts | None:
    try:
        tree = ast.parse(text.decode("utf-8").removeprefix("\ufeff"))
    # Beside SyntaxError: zero bytes and numbers too long to convert, lone surrogates, and what the parser raises where
    # something is nested too deeply for it all the same.
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError, SystemError):
        return None
    statements = functions = classes = documented = imports = logic = 0
    pending: list[list[ast.AST]] = [tree.body]  # type: ignore[list-item]
    while pending:
        for node in pending.pop():
            kind = type(node)
            if kind is ast.ExceptHandler or kind is ast.match_case:
                pending.append(node.body)  # type: ignore[attr-defined]
                continue
            statements += 1
            if kind in _PLAIN:
                logic += 1
            elif kind is ast.Expr:
                logic += type(node.value) is not ast.Constant  # type: ignore[attr-defined]
            elif kind is ast.Assign or kind is ast.AnnAssign:
                logic += not _dunder(node)
            elif kind is ast.Import or kind is ast.ImportFrom:
                imports += 1
            elif kind is not ast.Pass:
                logic += 1
                if kind is ast.FunctionDef or kind is ast.AsyncFunctionDef:
                    functions += 1
                    documented += _documented(node)
                elif kind is ast.ClassDef:
                    classes += 1
                for branch in _BRANCHES:
                    inner = getattr(node, branch, None)
                    if inner:
                        pending.append(inner)
    return statements, functions, classes, documented, imports, logic


def _documented(node: ast.AST) -> bool:
    first = node.body[0]  # type: ignore[attr-defined]
    return type(first) is ast.Expr and type(first.value) is ast.Constant and type(first.value.value) is str


def _dunder(node: ast.AST) -> bool:
    """Whether an assignment sets a name such as __all__."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]
    return all(isinstance(t, ast.Name) and t.id.startswith("__") and t.id.endswith("__") for t in targets)
