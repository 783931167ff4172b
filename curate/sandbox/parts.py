"""What a program consists of: its solution functions, its test functions, its asserts, the names that involve a solution.

A program is one module, or a solution and tests. Its parts:

solution functions   functions of the module and methods of its classes, but test functions and special methods
test functions       called ``test...``, or ``check...``, ``verify...``, ``assert...``, ``run_test...``, ``_test...``
                     with an assert inside; but a function that an assert outside of it calls is a solution function
tests                the asserts outside of solution functions: at top level or in test functions

An assert *involves* the solution when its condition names a solution function or class, or a variable that got its value
from one (followed through assignments, loops, ``with``, arguments; all scopes of the tests are one).
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

_TEST_NAMES: Final = ("check", "verify", "assert", "run_test", "_test")
_SPECIAL: Final = ("__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__")
_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*(\w*)[^\n`]*$", re.MULTILINE)
_PYTHON: Final = {"python", "py", "python3"}

MODULE: Final = "exercise"
"""The name under which programs run."""

_NAMED: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_ASSIGNS: Final = (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)
_REPEATS: Final = (ast.For, ast.AsyncFor, ast.comprehension)
_CARRIES: Final = (
    ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.comprehension, ast.withitem, ast.Call,
)  # fmt: skip
"""What hands a value on."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Parts:
    """A module taken apart; ``names`` are the solution's functions and classes."""

    tree: ast.Module
    functions: list[Function] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    helpers: dict[str, Function] = field(default_factory=dict)
    loose: list[ast.stmt] = field(default_factory=list)

    @cached_property
    def test_nodes(self) -> list[ast.AST]:
        """Of the tests, before anything is rewritten."""
        return [node for part in (*self.loose, *self.helpers.values()) for node in ast.walk(part)]

    def asserts(self) -> list[ast.Assert]:
        """Of the tests."""
        return [n for n in self.test_nodes if isinstance(n, ast.Assert)]


def parse(text: str) -> ast.Module:
    """The tree of Python source, or of the fenced Python blocks of a text that is no Python source itself."""
    try:
        return ast.parse(text)
    except SyntaxError:
        blocks = fenced(text)
        if not blocks:
            raise
        return ast.parse(blocks)


def fenced(text: str) -> str:
    """The text's fenced blocks marked as Python, or, when none is, those with no mark; "" when there are none."""
    marked, plain, start, mark = [], [], -1, ""
    for fence in _FENCE.finditer(text):
        if start < 0:
            start, mark = fence.end(), fence[1].lower()
            continue
        block = text[start : fence.start()]
        if mark in _PYTHON:
            marked.append(block)
        elif not mark:
            plain.append(block)
        start = -1
    if start >= 0 and (not mark or mark in _PYTHON):  # the model stopped before it closed the last block
        (marked if mark else plain).append(text[start:])
    return "\n".join(marked or plain)


def take_apart(tree: ast.Module) -> Parts:
    """The parts of a module."""
    defined = [n for n in tree.body if isinstance(n, Function)]
    asserted = set()  # functions called by an assert that is not inside them
    for statement in tree.body:
        own = statement.name if isinstance(statement, _NAMED) else ""
        for node in ast.walk(statement):
            if isinstance(node, ast.Assert):
                called = {n.func.id for n in ast.walk(node.test) if _calls_name(n)}  # type: ignore[attr-defined]
                asserted |= called - {own}
    parts = Parts(tree)
    for function in defined:
        has_assert = any(isinstance(n, ast.Assert) for n in ast.walk(function))
        named = function.name.startswith("test") or (has_assert and function.name.startswith(_TEST_NAMES))
        if named and function.name not in asserted:
            parts.helpers[function.name] = function
        else:
            parts.functions.append(function)
            parts.names.add(function.name)
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            methods = [n for n in statement.body if isinstance(n, Function) and n.name not in _SPECIAL]
            parts.functions += methods
            parts.names.add(statement.name)
        elif not isinstance(statement, Function):
            parts.loose.append(statement)
    inline_main_guard(parts)
    return parts


def _calls_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).replace('"', "'") in {
        "__name__ == '__main__'",
        "'__main__' == __name__",
    }


def inline_main_guard(parts: Parts) -> None:
    """Drop ``if __name__ == "__main__":``, or run what is under it when the only tests are there."""
    guards = [n for n in parts.loose if isinstance(n, ast.If) and _is_main_guard(n)]
    guarded = [n for g in guards for n in ast.walk(g)]
    outside = [n for n in parts.asserts() if n not in guarded]
    for guard in guards:
        guard.test = ast.copy_location(ast.Constant(not outside), guard.test)
        if outside:
            guard.body = [ast.copy_location(ast.Pass(), guard)]
            parts.__dict__.pop("test_nodes", None)


def is_trivial(function: Function) -> bool:
    """Whether a body does nothing: a docstring, pass, ``...``, a constant returned, NotImplementedError raised."""
    return all(_does_nothing(s) for s in function.body)


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Raise):
        return statement.exc is not None and "NotImplemented" in ast.unparse(statement.exc)
    return isinstance(statement, ast.Pass)


def involved(parts: Parts) -> set[str]:
    """Names in the tests that are the solution's, or got their value from it."""
    names = set(parts.names)

    def mentions(node: ast.AST | None) -> bool:
        return node is not None and any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(node))

    def named(*targets: ast.AST | None) -> set[str]:
        return {n.id for t in targets if t for n in ast.walk(t) if isinstance(n, ast.Name)}

    nodes = [n for n in parts.test_nodes if isinstance(n, _CARRIES)]
    for _ in range(8):  # a chain of assignments against the order of the text is seldom longer
        before = len(names)
        for node in nodes:
            if isinstance(node, ast.Assign) and mentions(node.value):
                names |= named(*node.targets)
            elif isinstance(node, _ASSIGNS):
                names |= named(node.target) if mentions(node.value) else set()
            elif isinstance(node, _REPEATS) and mentions(node.iter):
                names |= named(node.target)
            elif isinstance(node, ast.withitem) and mentions(node.context_expr):
                names |= named(node.optional_vars)
            elif isinstance(node, ast.Call) and mentions(node):
                # Arguments may be changed in place, and a test's helper is handed the solution.
                names |= {a.id for a in node.args if isinstance(a, ast.Name)}
                if isinstance(node.func, ast.Name) and node.func.id in parts.helpers:
                    names |= {a.arg for a in parameters(parts.helpers[node.func.id])}
        if len(names) == before:
            break
    for helper in parts.helpers.values():
        if [a.arg for a in parameters(helper)] == ["candidate"]:
            names.add("candidate")
    return names


def parameters(function: Function) -> list[ast.arg]:
    """Those that may be given by position."""
    return [*function.args.posonlyargs, *function.args.args]


def to_call(parts: Parts) -> list[tuple[str, str]]:
    """Test functions to call after the module has run, each with the name of its argument, or ""."""
    called = {n.func.id for s in parts.loose for n in ast.walk(s) if _calls_name(n)}  # type: ignore[attr-defined]
    for name, helper in parts.helpers.items():  # run_tests() that calls the others is itself called or not
        if name in called:
            called |= {n.func.id for n in ast.walk(helper) if _calls_name(n)}  # type: ignore[attr-defined]
    last = next((f.name for f in reversed(parts.functions) if f.name in parts.names), "")
    calls = []
    for name, helper in parts.helpers.items():
        required = len(parameters(helper)) - len(helper.args.defaults)
        if name in called or any(d is None for d in helper.args.kw_defaults):
            continue
        if required == 0 and name.startswith(("test", "run_test", "_test", "check")):
            calls.append((name, ""))
        elif [a.arg for a in parameters(helper)] == ["candidate"] and last:
            calls.append((name, last))
    return calls
