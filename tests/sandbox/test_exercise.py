"""The gate: what counts as a proven exercise, and the reason for everything else."""

from __future__ import annotations

import textwrap

import pytest

from curate.sandbox.exercise import PASSED, REASONS, verify
from curate.sandbox.harness import STUBS
from curate.sandbox.parts import fenced
from curate.sandbox.runner import Limits, Program, Sandbox

ADD = "def add(a, b):\n    return a + b\n"

PASSING = {
    "top level": ADD + "assert add(1, 2) == 3\nassert add(2, 2) == 4\n",
    "test function": ADD + "def test_add():\n    assert add(1, 2) == 3\n    assert add(2, 2) == 4\n",
    "test function that is called": ADD
    + "def test_add():\n    assert add(1, 2) == 3\n    assert add(2, 2) == 4\ntest_add()\nprint('ok')\n",
    "runner": ADD
    + "def test_a():\n    assert add(1, 2) == 3\ndef test_b():\n    assert add(2, 2) == 4\n"
    + "def run_tests():\n    test_a()\n    test_b()\nif __name__ == '__main__':\n    run_tests()\n",
    "main guard": ADD + "if __name__ == '__main__':\n    assert add(1, 2) == 3\n    assert add(2, 2) == 4\n",
    "loop": ADD + "for a, b, c in [(1, 2, 3), (2, 2, 4)]:\n    assert add(a, b) == c\n",
    "variable": ADD + "x = add(1, 2)\nassert x == 3\ny = x\nassert y + 1 == 4\n",
    "candidate": ADD + "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(2, 2) == 4\n",
    "candidate that is called": ADD
    + "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(2, 2) == 4\ncheck(add)\n",
    "in place": "def sort(x):\n    x.sort()\nx = [2, 1]\nsort(x)\nassert x == [1, 2]\nassert x[0] == 1\n",
    "precondition": "def root(x):\n    assert x >= 0\n    return x ** 0.5\nassert root(4) == 2\nassert root(9) == 3\n",
    "a function called check_": "def check_even(n):\n    assert n >= 0\n    return n % 2 == 0\n"
    "assert check_even(2)\nassert not check_even(3)\n",
    "expected exception": "def half(n):\n    if n % 2:\n        raise ValueError('odd')\n    return n // 2\n"
    "assert half(4) == 2\nassert half(6) == 3\ntry:\n    half(3)\n    assert False\nexcept ValueError:\n    pass\n",
    "class": "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n"
    "        self.items.append(x)\n    def pop(self):\n        return self.items.pop()\n"
    "s = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2\nassert s.pop() == 1\n",
    "dataclass": "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
    "@dataclass\nclass P:\n    x: int\n    n: ClassVar[int] = 0\n    def twice(self):\n        return self.x * 2\n"
    "assert P(2).twice() == 4\nassert P(3).twice() == 6\n",
    "generator": "def up(n):\n    yield from range(n)\nassert list(up(3)) == [0, 1, 2]\nassert sum(up(4)) == 6\n",
    "seeded": "import random\ndef draw(n):\n    return random.Random(n).random()\n"
    "assert draw(1) == draw(1) != draw(2)\nassert 0 < draw(3) < 1\n",
    "fenced": "Here it is:\n```python\n" + ADD + "```\nand its tests:\n```python\nassert add(1, 2) == 3\n"
    "assert add(0, 1) == 1\n```\nDone!",
    "there and back": "def code(s):\n    return s[::-1] + '.'\ndef decode(s):\n    return s[:-1][::-1]\n"
    "for s in ('ab', 'cde'):\n    assert decode(code(s)) == s\n",
    "stubs that loop": "def f(n):\n    return n - 1\nn = 3\nwhile n > 0:\n    n = f(n)\n    assert f(n) == n - 1\n",
    "a stub that takes all time": "import itertools\ndef f(n):\n    return abs(n)\n"
    "assert sum(itertools.takewhile(f(3).__ne__, itertools.count())) == 3\nassert f(-5) == 5\nassert f(6) == 6\n",
    "printing": ADD + "print({1, 2}, add(1, 1))\nassert add(1, 2) == 3\nassert add(2, 2) == 4\n",
}

TURNED_DOWN = {
    "prose": ("syntax_error", "This is a story."),
    "null bytes": ("syntax_error", "x = 1\0"),
    "unfinished": ("syntax_error", "def f(x:\n"),
    "return outside": ("syntax_error", ADD + "assert add(1, 2) == 3\nreturn 1\n"),
    "many digits": ("syntax_error", "x = " + "9" * 10000),
    "no function": ("no_function", "x = 1\nassert x == 1\nassert x\n"),
    "comment": ("no_function", "# nothing\n"),
    "pass": ("trivial_function", "def f(x):\n    '''Doc.'''\n    pass\nassert f(1) is None\nassert f(2) is None\n"),
    "ellipsis": ("trivial_function", "def f(x): ...\nassert f(1) is None\n"),
    "not implemented": ("trivial_function", "def f(x):\n    raise NotImplementedError\nassert f\n"),
    "constant": ("trivial_function", "def f():\n    return 42\nassert f() == 42\nassert f() > 41\n"),
    "no tests": ("no_tests", ADD),
    "assert inside only": ("no_tests", "def f(x):\n    assert x\n    return x + 1\nf(1)\n"),
    "not called": ("tests_ignore_function", ADD + "assert 1 + 1 == 2\nassert True\n"),
    "one": ("too_few_asserts", ADD + "assert add(1, 2) == 3\n"),
    "vacuous": ("too_few_asserts", ADD + "assert add(1, 2) == 3\nassert True\nassert 1 == 1\nassert 'x'\n"),
    "not executed": (
        "too_few_asserts",
        ADD + "assert add(1, 2) == 3\nif False:\n    assert add(1, 1) == 2\nfor x in []:\n    assert add(x, 1) == x\n",
    ),
    "never called": ("too_few_asserts", ADD + "add(1, 1)\ndef test_add(fixture):\n    assert add(1, 2) == 3\n"),
    "wrong": ("wrong", ADD + "assert add(1, 2) == 4\nassert add(2, 2) == 4\n"),
    "raises": ("raises", ADD + "assert add(1, '2') == 3\nassert add(2, 2) == 4\n"),
    "early exit": ("raises", "import sys\n" + ADD + "sys.exit(0)\nassert add(1, 2) == 3\nassert add(2, 2) == 4\n"),
    "input": ("raises", ADD + "x = int(input())\nassert add(1, x) == 3\n"),
    "sockets": ("import_not_allowed", "import socket\n" + ADD + "assert add(1, 2) == 3\n"),
    "numpy": ("missing_import", "import numpy as np\n" + ADD + "assert add(1, 2) == 3\n"),
    "file": ("forbidden", "def f(p):\n    return open(p).read()\nassert f('/etc/passwd')\n"),
    "sleep": ("forbidden", "import time\ndef f(p):\n    time.sleep(1)\n    return p\nassert f(1)\n"),
    "loop": ("timeout", "def f(n):\n    while n: pass\nassert f(0) is None\nassert f(1)\n"),
    "hog": ("memory", "def f(n):\n    return [0] * n\nassert f(10**9)\n"),
    "left": ("crashed", "import os\n" + ADD + "assert add(1, 2) == 3\nassert add(2, 2) == 4\nos._exit(0)\n"),
    "random": (
        "flaky",
        "import random\ndef f():\n    return random.random()\nprint(f())\nassert f() < 1\nassert f() >= 0\n",
    ),
    "set order": (
        "flaky",
        "def f(w):\n    return list(set(w.split()))\nprint(f('a b c d e f g h'))\nassert f('a')\nassert f('b')\n",
    ),
    "only None": ("stub_passes", "def f(x):\n    y = x\nassert f(1) is None\nassert f(2) is None\n"),
    "only true": ("stub_passes", "def even(n):\n    return n % 2 == 0\nassert even(2)\nassert even(4)\n"),
    "only zero": ("stub_passes", "def f(n):\n    return n - n\nassert f(1) == 0\nassert f(4) == 0\n"),
    "only empty": ("stub_passes", "def f(n):\n    return n[:0]\nassert f('a') == ''\nassert f('b') == ''\n"),
    "identity": ("stub_passes", "def f(n):\n    return n + 0\nassert f(1) == 1\nassert f(2) == 2\n"),
    "swallowed": (
        "stub_passes",
        ADD
        + "for x in range(3):\n    try:\n        assert add(x, 1) == x + 1\n    except AssertionError:\n        pass\n",
    ),
    "easy": (
        "mutants_survive",
        "def size(n):\n    return 's' if 0 <= n < 10 else 'm' if n < 100 else 'l'\nassert size(5) == 's'\nassert size(6) != 'l'\n",
    ),
    "does not raise": ("stub_passes", ADD + "r = add(1, 2)\nassert callable(add)\nassert add is not None\n"),
}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(Limits(cpu_seconds=1)) as box:
        yield box


@pytest.mark.parametrize("code", PASSING.values(), ids=PASSING.keys())
def test_proven_exercises_pass(sandbox, code):
    verdict = verify(sandbox, code)
    assert (verdict.reason, verdict.detail) == (PASSED, "")
    assert verdict.asserts >= 2
    assert verdict.calls >= 1


@pytest.mark.parametrize(("reason", "code"), TURNED_DOWN.values(), ids=TURNED_DOWN.keys())
def test_others_are_turned_down_with_their_reason(sandbox, reason, code):
    verdict = verify(sandbox, code)
    assert verdict.reason == reason, verdict
    assert reason in REASONS


def test_every_reason_but_stalled_is_shown_above():
    assert {reason for reason, _ in TURNED_DOWN.values()} == set(REASONS) - {"stalled"}


def test_asserts_are_counted_where_they_are_executed(sandbox):
    code = ADD + "for i in range(10):\n    assert add(i, 1) == i + 1\nassert True\nassert add(1, 1) == 2\n"
    verdict = verify(sandbox, code)
    assert (verdict.reason, verdict.asserts, verdict.calls) == (PASSED, 11, 11)
    assert verify(sandbox, code, min_asserts=12).reason == "too_few_asserts"


def test_tests_may_stand_apart(sandbox):
    assert verify(sandbox, ADD, "assert add(1, 2) == 3\nassert add(2, 2) == 4\n").reason == PASSED
    assert verify(sandbox, f"```python\n{ADD}```", "```\nassert add(1, 2) == 3\n```").reason == "too_few_asserts"


def test_stubs_can_be_left_out(sandbox):
    assert verify(sandbox, TURNED_DOWN["identity"][1], stubs=False).reason == PASSED


@pytest.mark.parametrize("stub", STUBS)
def test_each_stub_is_really_put_in(sandbox, stub):
    value = {"none": "None", "zero": "0", "true": "True", "empty_string": "''", "empty_list": "[]"}.get(stub, "5")
    outcome = sandbox.run(Program("def f(x):\n    'Doc.'\n    return x * 7\nprint(repr(f(5)))", stub=stub))
    assert outcome.output.decode() == value + "\n"


def test_verdicts_do_not_depend_on_what_ran_before(sandbox):
    """Addresses, hashes and random numbers are the same in the first and the hundredth program."""
    code = "import random\nprint(random.random(), hash('x'), id(object()) if id(print) else 0)\n"
    with Sandbox() as fresh:
        first = fresh.run(Program(code))
        for i in range(20):
            fresh.run(Program(f"x = {list(range(i * 100))}"))
        assert fresh.run(Program(code)).output == first.output
    with Sandbox() as other:
        assert other.run(Program(code)).output.split()[:2] == first.output.split()[:2]


def test_a_detail_is_one_line_without_addresses(sandbox):
    outcome = sandbox.run(Program("raise ValueError(f'a\\nb {object()} ' + 'x' * 1000)"))
    assert outcome.status == "exception"
    assert outcome.detail.startswith("line 1: ValueError: a b <object object at 0x...> xxx")
    assert len(outcome.detail) <= 240


TOLD = {
    "assert f(3) == 5": "line 3: assert f(3) == 5: got 4",
    "assert 5 == f(3), 'sum'": "line 3: assert 5 == f(3): got 4 (sum)",
    "assert f(f(1)) == f(3)": "line 3: assert f(f(1)) == f(3): left 3, right 4",
    "assert not f(1)": "line 3: assert not f(1): got 2",
    "assert isinstance(f(1), str)": "line 3: assert isinstance(f(1), str): got False",
    "assert f(3) in [1, 2]": "line 3: assert f(3) in [1, 2]: got 4",
    "assert f(0) is None": "line 3: assert f(0) is None: got 1",
    "assert 1 < f(3) < 4": "line 3: AssertionError",
    "assert [f(i) for i in range(99)] == []": (
        "line 3: assert [f(i) for i in range(99)] == []: got [1, 2, 3, 4, 5, 6, 7, 8, ...]"
    ),
    "def test_it():\n    assert f(3) == 5": "line 4: assert f(3) == 5: got 4",
    "def check(candidate):\n    assert candidate(3) == 5": "line 4: assert candidate(3) == 5: got 4",
    "assert f('a') == 5": 'line 3, in line 2: TypeError: can only concatenate str (not "int") to str',
}


@pytest.mark.parametrize(("test", "told"), TOLD.items())
def test_a_failed_assertion_tells_what_it_saw(sandbox, test, told):
    """One line that a model can correct itself by."""
    assert verify(sandbox, "def f(x):\n    return x + 1\n", test + "\n").detail == told


def test_values_with_a_repr_of_their_own_do_no_harm(sandbox):
    code = "class A:\n    def f(self):\n        return self\n    def __repr__(self):\n        raise SystemExit\n"
    assert verify(sandbox, code, "assert A().f() == 1").detail == "line 6: assert A().f() == 1: got <A>"
    assert verify(sandbox, ADD, "assert add(10**5000, 1) == 1").detail.endswith("got <int>")


def test_fenced_blocks():
    text = textwrap.dedent(
        """
        ```bash
        pip install x
        ```
        ```python title="a.py"
        a = 1
        ```
        ```
        plain
        ```
        ~~~py
        b = 2
        """
    )
    assert fenced(text).split() == ["a", "=", "1", "b", "=", "2"]
    assert fenced("no fence") == ""
    assert fenced("```\nx = 1\n```").strip() == "x = 1"
