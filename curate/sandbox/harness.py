"""Runs inside the walls: takes a program apart, counts asserts and calls by rewriting its tree, says how it went.

A program is one module, or a solution and tests. Its parts:

solution functions   functions of the module and methods of its classes, but test functions and special methods
test functions       called ``test...``, or ``check...``, ``verify...``, ``assert...``, ``run_test...``, ``_test...``
                     with an assert inside; but a function that an assert outside of it calls is a solution function
tests                the asserts outside of solution functions: at top level or in test functions

The module runs from top to bottom under a name that is not ``__main__``; then every ``test...`` function without
required parameters that the module did not call itself, and ``check(candidate)`` of HumanEval with the last solution
function. Asserts under ``if __name__ == "__main__":`` are run when there are no others.

Stubs replace the bodies of all solution functions; where the tests pass all the same, of the last one alone.

An assert counts when it was executed, held, and *involves* the solution: its condition names a solution function or
class, or a variable that got its value from one (followed through assignments, loops, ``with``, arguments; all
scopes of the tests are one), and a solution function has been called before.
"""

from __future__ import annotations

import ast
import errno
import random
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

FIELDS: Final = "\x1f"
"""Between the fields of what ``prepare(...)()`` returns: status, detail, asserts, calls, functions, real, tests."""
STUBS: Final = ("none", "zero", "true", "empty_string", "empty_list", "first_argument")
EACH_STUB: Final = "each"
"""Run with each stub in turn, in fresh modules of one process, until one does not fail; ``detail`` names it then."""
FAILED: Final = ("assertion", "exception", "import", "forbidden")
MODULE: Final = "exercise"

_TEST_NAMES: Final = ("check", "verify", "assert", "run_test", "_test")
_SPECIAL: Final = ("__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__")
_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*(\w*)[^\n`]*$", re.MULTILINE)
_PYTHON: Final = {"python", "py", "python3"}
_CONSTANT_STUBS: Final = {"none": "None", "zero": "0", "true": "True", "empty_string": "''", "empty_list": "[]"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Parts:
    """A module taken apart; ``names`` are the solution's functions and classes."""

    tree: ast.Module
    functions: list[Function] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    helpers: dict[str, Function] = field(default_factory=dict)
    loose: list[ast.stmt] = field(default_factory=list)

    def test_nodes(self) -> Iterator[ast.AST]:
        for part in (*self.loose, *self.helpers.values()):
            yield from ast.walk(part)

    def asserts(self) -> list[ast.Assert]:
        return [n for n in self.test_nodes() if isinstance(n, ast.Assert)]


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
    defined = [n for n in tree.body if isinstance(n, Function)]
    asserted = set()  # functions called by an assert that is not inside them
    for statement in tree.body:
        own = statement.name if isinstance(statement, Function | ast.ClassDef) else ""
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

    nodes = list(parts.test_nodes())
    for _ in range(8):  # a chain of assignments against the order of the text is seldom longer
        before = len(names)
        for node in nodes:
            if isinstance(node, ast.Assign) and mentions(node.value):
                names |= named(*node.targets)
            elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
                names |= named(node.target) if mentions(node.value) else set()
            elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension) and mentions(node.iter):
                names |= named(node.target)
            elif isinstance(node, ast.withitem) and mentions(node.context_expr):
                names |= named(node.optional_vars)
            elif isinstance(node, ast.Call) and mentions(node):
                # Arguments may be changed in place, and a test's helper is handed the solution.
                names |= {a.id for a in node.args if isinstance(a, ast.Name)}
                if isinstance(node.func, ast.Name) and node.func.id in parts.helpers:
                    names |= {a.arg for a in _parameters(parts.helpers[node.func.id])}
        if len(names) == before:
            break
    for helper in parts.helpers.values():
        if [a.arg for a in _parameters(helper)] == ["candidate"]:
            names.add("candidate")
    return names


def _parameters(function: Function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args]


class _Count(ast.NodeTransformer):
    """Puts a call of the hook behind each assert that involves the solution."""

    def __init__(self, hook: str, names: set[str]) -> None:
        self.hook, self.names = hook, names

    def visit_Assert(self, node: ast.Assert) -> ast.stmt | list[ast.stmt]:
        if not any(isinstance(n, ast.Name) and n.id in self.names for n in ast.walk(node.test)):
            return node
        return [node, _call(self.hook, node)]


def _call(name: str, where: ast.stmt) -> ast.stmt:
    call = ast.Expr(ast.Call(ast.Name(name, ast.Load()), [], []))
    return ast.fix_missing_locations(ast.copy_location(call, where))


def instrument(parts: Parts, stub: str, stubbed: list[Function], assert_hook: str, call_hook: str) -> None:
    """Rewrite the tree: count calls of solution functions and asserts; leave a stub of those in ``stubbed``."""
    for function in parts.functions:
        keep = 1 if ast.get_docstring(function, clean=False) is not None else 0
        first = function.body[0]
        rest = function.body[keep:]
        if function in stubbed:
            value = _stub_value(function, stub)
            rest = [ast.fix_missing_locations(ast.copy_location(ast.Return(value), first))]
        function.body = [*function.body[:keep], _call(call_hook, first), *rest]
    count = _Count(assert_hook, involved(parts))
    tests = {id(n) for n in (*parts.loose, *parts.helpers.values())}
    body: list[ast.stmt] = []
    for statement in parts.tree.body:
        changed = count.visit(statement) if id(statement) in tests else statement
        body += changed if isinstance(changed, list) else [changed]
    parts.tree.body = body


def _stub_value(function: Function, stub: str) -> ast.expr:
    if stub != "first_argument":
        return ast.parse(_CONSTANT_STUBS[stub], mode="eval").body
    names = [a.arg for a in _parameters(function) if a.arg not in {"self", "cls"}]
    return ast.Name(names[0], ast.Load()) if names else ast.Constant(None)


def to_call(parts: Parts) -> list[tuple[str, str]]:
    """Test functions to call after the module has run, each with the name of its argument, or ""."""
    called = {n.func.id for s in parts.loose for n in ast.walk(s) if _calls_name(n)}  # type: ignore[attr-defined]
    for name, helper in parts.helpers.items():  # run_tests() that calls the others is itself called or not
        if name in called:
            called |= {n.func.id for n in ast.walk(helper) if _calls_name(n)}  # type: ignore[attr-defined]
    last = next((f.name for f in reversed(parts.functions) if f.name in parts.names), "")
    calls = []
    for name, helper in parts.helpers.items():
        required = len(_parameters(helper)) - len(helper.args.defaults)
        if name in called or any(d is None for d in helper.args.kw_defaults):
            continue
        if required == 0 and name.startswith(("test", "run_test", "_test", "check")):
            calls.append((name, ""))
        elif [a.arg for a in _parameters(helper)] == ["candidate"] and last:
            calls.append((name, last))
    return calls


def prepare(code: str, tests: str, stub: str, needs_tests: bool, names: list[str]) -> Callable[[], bytes]:
    """What to call behind the walls; it returns the outcome's fields. ``names``: two that no program uses."""
    counts, facts = [0, 0], [0, 0, 0]

    def on_call() -> None:
        counts[1] += 1

    def on_assert() -> None:
        if counts[1]:
            counts[0] += 1

    # A program may replace what it finds in builtins and modules: what runs after it is bound here.
    flush, encode, join, text, explain, errors = sys.stdout.flush, str.encode, str.join, str, describe, Exception

    def attempt(stub: str, last: int = 0) -> tuple[str, str]:
        try:
            outcome = execute(parts(), stub, last)
            flush()
        except BaseException as error:  # noqa: BLE001  programs raise SystemExit and worse
            try:
                return explain(error)
            except MemoryError:
                return "memory", "out of memory"
            except errors:
                return "exception", "an exception that cannot be printed"
        return outcome

    def parts() -> Parts | str:
        try:
            tree = parse(code)
            if tests:
                tree.body += parse(tests).body
            taken = take_apart(tree)
        except (SyntaxError, ValueError, RecursionError) as error:  # ValueError: null bytes, huge numbers
            return describe(error)[1]
        facts[:] = [len(taken.functions), sum(not is_trivial(f) for f in taken.functions), len(taken.asserts())]
        return taken

    def execute(taken: Parts | str, stub: str, last: int) -> tuple[str, str]:
        if isinstance(taken, str):
            return "syntax", taken
        if needs_tests and not (facts[1] and facts[2]):
            return "ok", ""
        tests_to_call = to_call(taken)
        try:
            instrument(taken, stub, taken.functions[-last:] if stub else [], *names)
            compiled = compile(taken.tree, MODULE, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError) as error:  # `return` outside of a function and the like
            return "syntax", describe(error)[1]
        module = types.ModuleType(MODULE)
        sys.modules[MODULE] = sys.modules["__main__"] = module
        space = module.__dict__
        space.update(zip(names, (on_assert, on_call), strict=True))
        exec(compiled, space)  # noqa: S102  the point of it all
        for name, argument in tests_to_call:
            space[name](*([space[argument]] if argument else []))
        return "ok", ""

    def run() -> bytes:
        status, detail = "ok", ""
        state = random.getstate()
        for one in STUBS if stub == EACH_STUB else [stub]:
            counts[:] = [0, 0]
            random.setstate(state)
            status, detail = attempt(one)
            if one and status == "ok" and facts[0] > 1:
                # Tests may use one function to check another, as in decode(encode(x)) == x: stubs agree with stubs.
                status, detail = attempt(one, last=1)
            if stub == EACH_STUB and status not in FAILED:
                detail = one
                break
        return encode(join(FIELDS, [status, detail, *[text(n) for n in (*counts, *facts)]]), "utf-8", "replace")

    return run


def describe(error: BaseException) -> tuple[str, str]:
    """Status and one line about an exception, without addresses, which differ between machines."""
    kind, message = type(error).__name__, str(error)
    message = re.sub(r"0x[0-9a-f]+", "0x...", " ".join(message.split()))
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__, limit=-50) if f.filename == MODULE]
    place = f"line {lines[0]}: " if lines else ""
    detail = (f"{place}{kind}: {message}" if message else f"{place}{kind}")[:200]
    if isinstance(error, MemoryError):
        return "memory", detail
    if isinstance(error, AssertionError):
        return "assertion", detail
    if isinstance(error, ImportError):
        return "import", detail
    denied = isinstance(error, OSError) and error.errno in {errno.EPERM, errno.EACCES}
    if denied or (isinstance(error, RuntimeError) and "start new thread" in message):
        return "forbidden", detail
    return "exception", detail
