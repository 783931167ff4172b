"""Runs inside the walls: executes a program as it is, with its bodies stubbed, and with faults put in; says how it went.

What a program consists of is in ``parts``. It runs from top to bottom under a name that is not ``__main__``; then every
``test...`` function without required parameters that the module did not call itself, and ``check(candidate)`` of HumanEval
with the last solution function. Asserts under ``if __name__ == "__main__":`` are run when there are no others.

An assert counts when it was executed, held, and involves the solution, and a solution function has been called before.

Variants of a program run one after the other in one process, each in a fresh module. They are: each of STUBS in the place of
all bodies, and, where the tests pass all the same, of the last one alone; then mutants (see ``mutants``). A variant that goes
on for more steps (rounds of loops, calls) than allowed has not passed. What it did to the process may reach the next one;
they are variants of one program, and none can pass by it that would be worth anything.
"""

from __future__ import annotations

import ast
import random
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from curate.sandbox.failures import LOAD, Seen, describe, place
from curate.sandbox.mutants import chosen, mutations
from curate.sandbox.parts import MODULE, Function, Parts, involved, is_trivial, parameters, parse, take_apart, to_call

FIELDS: Final = "\x1f"
"""Between the fields of what a run gives."""
STUBS: Final = ("none", "zero", "true", "empty_string", "empty_list", "first_argument")
FAILED: Final = ("assertion", "exception", "import", "forbidden", "unlisted", "timeout", "memory", "crashed")
"""Ways in which the tests of a variant do not pass."""

_GO_ON: Final = (ast.For, ast.While, ast.AsyncFor, ast.FunctionDef, ast.AsyncFunctionDef)
_CONSTANT_STUBS: Final = {"none": "None", "zero": "0", "true": "True", "empty_string": "''", "empty_list": "[]"}


@dataclass(frozen=True)
class Order:
    """What to run; the meaning of the fields is that of ``runner.Program``."""

    code: str
    tests: str = ""
    stub: str = ""
    needs_tests: bool = False
    steps: int | None = None
    variants: bool = False
    stubs: bool = True
    mutants: int = 0
    after: int = 0
    names: tuple[str, ...] = ("_1", "_2", "_3", "_4")
    imports: frozenset[str] = frozenset()


class _OutOfSteps(BaseException):
    """A variant went on for longer than it may."""


@dataclass
class Counts:
    """What hooks count while a program runs."""

    asserts: int = 0
    calls: int = 0
    steps: int = 0
    most: int | None = None

    def on_call(self) -> None:
        self.calls += 1

    def on_assert(self) -> None:
        if self.calls:
            self.asserts += 1

    def on_step(self) -> bool:
        self.steps += 1
        if self.most is not None and self.steps > self.most:
            raise _OutOfSteps
        return True

    def over(self) -> bool:
        """Whether it took more steps than it may, also where it caught what told it so."""
        return self.most is not None and self.steps > self.most


class _Hooks:
    """Puts calls of hooks behind each assert that involves the solution, and where loops and functions begin."""

    def __init__(self, order: Order, names: set[str], seen: Seen) -> None:
        self._on_assert, self._on_call, self._on_step, self._keep = order.names
        self._steps, self._names, self._seen = order.steps is not None, names, seen

    def put(self, body: list[ast.stmt], *, tests: bool) -> None:
        """Into a list of statements and all below; ``tests``: whether asserts there may count."""
        for at in range(len(body) - 1, -1, -1):
            statement = body[at]
            if isinstance(statement, ast.Assert):
                if tests and self._involved(statement):
                    self._seen.watch(statement, self._keep)
                    body.insert(at + 1, call(self._on_assert, statement))
                continue
            for name in ("body", "orelse", "finalbody"):
                self.put(getattr(statement, name, ()), tests=tests)  # type: ignore[arg-type]
            for name in ("handlers", "cases"):
                for part in getattr(statement, name, ()):
                    self.put(part.body, tests=tests)
            if self._steps and isinstance(statement, _GO_ON):
                keep = 1 if isinstance(statement, Function) and ast.get_docstring(statement, clean=False) else 0
                statement.body.insert(keep, call(self._on_step, statement.body[0]))

    def _involved(self, node: ast.Assert) -> bool:
        return any(isinstance(n, ast.Name) and n.id in self._names for n in ast.walk(node.test))

    def comprehensions(self, tree: ast.Module) -> None:
        """Steps of comprehensions are counted in a condition of theirs."""
        for node in ast.walk(tree) if self._steps else ():
            if isinstance(node, ast.comprehension):
                at = place(node.iter)
                node.ifs.insert(0, ast.Call(ast.Name(self._on_step, LOAD, **at), [], [], **at))


def call(name: str, where: ast.stmt) -> ast.stmt:
    """A statement that calls a hook."""
    at = place(where)
    return ast.Expr(ast.Call(ast.Name(name, LOAD, **at), [], [], **at), **at)


def instrument(parts: Parts, order: Order, stub: str, stubbed: list[Function], seen: Seen) -> None:
    """Rewrite the tree: count calls of solution functions, asserts, steps; leave a stub of the functions in ``stubbed``."""
    names = involved(parts)
    tests = {id(n) for n in (*parts.loose, *parts.helpers.values())}
    for function in stubbed:
        keep = 1 if ast.get_docstring(function, clean=False) is not None else 0
        value = _stub_value(function, stub)
        stand_in = ast.fix_missing_locations(ast.copy_location(ast.Return(value), function.body[0]))
        function.body = [*function.body[:keep], stand_in]
    for function in parts.functions:
        keep = 1 if ast.get_docstring(function, clean=False) is not None else 0
        function.body.insert(keep, call(order.names[1], function.body[0]))
    hooks = _Hooks(order, names, seen)
    hooks.comprehensions(parts.tree)
    for at in range(len(parts.tree.body) - 1, -1, -1):
        one = parts.tree.body[at : at + 1]
        if order.steps is not None or id(one[0]) in tests:
            hooks.put(one, tests=id(one[0]) in tests)
            parts.tree.body[at : at + 1] = one


def _stub_value(function: Function, stub: str) -> ast.expr:
    if stub != "first_argument":
        return ast.parse(_CONSTANT_STUBS[stub], mode="eval").body
    names = [a.arg for a in parameters(function) if a.arg not in {"self", "cls"}]
    return ast.Name(names[0], ast.Load()) if names else ast.Constant(None)


def unlisted(tree: ast.Module, imports: frozenset[str]) -> str:
    """The first import of a module that Python has and the list has not; "" where there is none.

    A package's name is listed with any of its modules, and a listed package has all of its modules. What Python does not
    have is left to fail, or to be caught.
    """
    for node in ast.walk(tree):
        wanted: list[str] = []
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            wanted = [node.module]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__":
            wanted = [a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        for name in wanted:
            top = name.partition(".")[0]
            parents = {name[:at] for at, letter in enumerate(name) if letter == "."} | {name}
            listed = bool(parents & imports) or any(each.startswith(f"{name}.") for each in imports)
            if not listed and top in sys.stdlib_module_names:
                return f"line {getattr(node, 'lineno', 0)}: {name}"
    return ""


class Run:
    """One program, ready to be run behind the walls; ``pieces`` gives what is to be said, when it is known.

    Before each variant two fields: its number, and what it is. After it one: how it went. The last piece has eight: status,
    detail, asserts, calls, functions, real, tests, steps; where a stub passed, ``detail`` names it.
    """

    def __init__(self, order: Order) -> None:
        # A program may replace what it finds in builtins and modules: what runs after it is bound here.
        self._flush, self._encode, self._join, self._text = sys.stdout.flush, str.encode, str.join, str
        self._explain, self._errors, self._restore, self._state = (
            describe,
            Exception,
            random.setstate,
            random.getstate(),
        )
        self._order = order
        self._counts = Counts()
        self._facts = [0, 0, 0]
        self._reserve: bytearray | None = bytearray(1 << 17)

    def pieces(self) -> Iterator[bytes]:
        """Run it; the second and later pieces are asked for by whoever took the one before."""
        if self._order.variants:
            yield from self._variants()
        else:
            yield self._last(*self._attempt(self._read(), self._order.stub))

    def _piece(self, *fields: str) -> bytes:
        return self._encode(self._join(FIELDS, fields), "utf-8", "replace")

    def _last(self, status: str, detail: str) -> bytes:
        self._reserve = None  # a program that holds all memory leaves this much to say so
        counts = self._counts
        numbers = [counts.asserts, counts.calls, *self._facts, counts.steps]
        return self._piece(status, detail, *[self._text(n) for n in numbers])

    def _variants(self) -> Iterator[bytes]:
        """Stubs until one passes, then all mutants. Those up to ``after`` were run by an earlier process, the last of them
        to its end: it did not pass."""
        number = 0
        for stub in STUBS if self._order.stubs else ():
            passed = False
            for last in (0, 1):
                number += 1
                if number <= self._order.after or (last and not passed):
                    continue
                yield self._piece(self._text(number), f"stub: {stub}")
                status, _ = self._attempt(self._read(), stub, last)
                yield self._piece(status)
                # Tests may use one function to check another, as in decode(encode(x)) == x: stubs agree with stubs.
                passed = status == "ok"
                if passed and (last or self._facts[0] < 2):
                    yield self._last("ok", f"stub: {stub}")
                    return
        for mutant in self._chosen():
            number += 1
            if number > self._order.after:
                taken = self._read()
                assert isinstance(taken, Parts)
                yield self._piece(self._text(number), mutations(taken)[mutant].apply())
                status, _ = self._attempt(taken)
                yield self._piece(status)
        yield self._last("ok", "")

    def _chosen(self) -> list[int]:
        taken = self._read()
        if isinstance(taken, str) or not self._order.mutants:
            return []
        try:
            return chosen(mutations(taken), self._order.mutants, self._order.code)
        except RecursionError:
            return []

    def _read(self) -> Parts | str:
        """The program taken apart, or what is wrong with its text."""
        try:
            tree = parse(self._order.code)
            if self._order.tests:
                tests = parse(self._order.tests)
                tree.body += ast.increment_lineno(tests, len(self._order.code.splitlines())).body
            taken = take_apart(tree)
        except (SyntaxError, ValueError, RecursionError) as error:  # ValueError: null bytes, huge numbers
            return describe(error)[1]
        real = sum(not is_trivial(f) for f in taken.functions)
        self._facts = [len(taken.functions), real, len(taken.asserts())]
        return taken

    def _attempt(self, taken: Parts | str, stub: str = "", last: int = 0) -> tuple[str, str]:
        """How one variant went, and a line about it; ``last``: stub just so many functions, the last ones."""
        self._counts = counts = Counts(most=self._order.steps or None)
        if self._state:
            self._restore(self._state)
        seen = Seen()
        try:
            outcome = self._execute(taken, stub, last, seen)
            self._flush()
        except BaseException as error:  # noqa: BLE001  programs raise SystemExit and worse
            if counts.over():
                return "timeout", "too many steps"
            try:
                return self._explain(error, seen)
            except MemoryError:
                return "memory", "out of memory"
            except self._errors:
                return "exception", "an exception that cannot be printed"
        return ("timeout", "too many steps") if counts.over() else outcome

    def _execute(self, taken: Parts | str, stub: str, last: int, seen: Seen) -> tuple[str, str]:
        if isinstance(taken, str):
            return "syntax", taken
        order, counts = self._order, self._counts
        if order.needs_tests and not (self._facts[1] and self._facts[2]):
            return "ok", ""
        if "import" in order.code + order.tests and (forbidden := unlisted(taken.tree, order.imports)):
            return "unlisted", forbidden
        tests_to_call = to_call(taken)
        try:
            instrument(taken, order, stub, taken.functions[-last:] if stub else [], seen)
            compiled = compile(taken.tree, MODULE, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError) as error:  # `return` outside of a function and the like
            return "syntax", describe(error)[1]
        module = types.ModuleType(MODULE)
        sys.modules[MODULE] = sys.modules["__main__"] = module
        space = module.__dict__
        space.update(zip(order.names, (counts.on_assert, counts.on_call, counts.on_step, seen.keep), strict=True))
        exec(compiled, space)  # noqa: S102  the point of it all
        for name, argument in tests_to_call:
            space[name](*([space[argument]] if argument else []))
        return "ok", ""
