"""Mutants: which faults there are, which are chosen, and what the gate makes of those that live, loop or kill."""

from __future__ import annotations

import ast

import pytest

from curate.sandbox.exercise import PASSED, verify
from curate.sandbox.mutants import chosen, mutations
from curate.sandbox.parts import parse, take_apart
from curate.sandbox.runner import Limits, Program, Sandbox

FAULTS = {
    "a < b": {"a >= b", "a <= b"},
    "a == b": {"a != b"},
    "a in b": {"a not in b"},
    "a + b": {"a - b"},
    "'x' + b": {"b + 'x'", "'x_' + b"},
    "a - b": {"a + b"},
    "a * b": {"a // b"},
    "a and b": {"a or b"},
    "not a": {"not not a"},
    "-a": {"+a"},
    "a[3]": {"a[4]", "a[2]"},
    "True": {"False"},
    "min(a, b)": {"max(a, b)"},
    "a.lower()": {"a.upper()"},
    "range(a)": {"range(a - 1)", "range(a + 1)"},
    "a if b else a": {"a if not b else a"},
    "[x for x in a if b]": {"[x for x in a if not b]"},
    "f'{a + b}'": {"f'{a - b}'"},
}


def faults(body: str) -> list[str]:
    """The body as each of its mutants has it."""
    found = []
    source = "def f(a, b):\n    " + body.replace("\n", "\n    ") + "\n"
    for number in range(len(mutations(take_apart(parse(source))))):
        parts = take_apart(parse(source))
        mutations(parts)[number].apply()
        found.append("\n".join(ast.unparse(s) for s in parts.functions[0].body))
        compile(ast.fix_missing_locations(parts.tree), "x", "exec")
    return found


@pytest.mark.parametrize(("expression", "wanted"), FAULTS.items())
def test_faults_of_an_expression(expression, wanted):
    assert set(faults(f"return {expression}")) == {f"return {each}" for each in wanted} | {"return None"}


def test_faults_of_statements():
    assert faults("a += b\nreturn a") == ["pass\nreturn a", "a -= b\nreturn a", "a += b\nreturn None"]
    assert faults("a.sort()") == ["pass"]
    assert faults("if a:\n    raise ValueError('a' + b)") == [
        "if not a:\n    raise ValueError('a' + b)",
        "if a:\n    pass",
    ]
    looped = faults("while a:\n    break")
    assert looped == ["while not a:\n    break", "while a:\n    pass"]


def test_what_tests_do_not_look_at_is_left_alone():
    assert faults("'''Doc.'''\nprint('x' + a)\nassert a > 1\nlog.info(1)\nx: int = a\nimport os") == []


def test_the_choice_depends_on_the_source_alone_and_spreads_over_lines():
    source = "def f(a):\n    b = a + 1 - 2 * 3 < 4\n    c = b + 1\n    return c\n"
    found = mutations(take_apart(parse(source)))
    picked = chosen(found, 3, source)
    assert picked == chosen(mutations(take_apart(parse(source))), 3, source) == sorted(picked)
    assert {found[number].line for number in picked} == {2, 3, 4}
    assert chosen(found, 1000, source) == list(range(len(found)))
    assert {tuple(chosen(found, 3, source + "#" * n)) for n in range(20)} != {tuple(picked)}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(Limits(cpu_seconds=1)) as box:
        yield box


CLAMP = "def clamp(x, low, high):\n    if x < low:\n        return low\n    if x > high:\n        return high\n    return x\n"


def test_good_tests_notice_what_weak_ones_do_not(sandbox):
    """Half a dozen mutants of clamp do something else; `<` to `<=` does the same, so nothing notices it."""
    weak = "assert clamp(5, 0, 10) == 5\nassert clamp(6, 1, 10) == 6\nassert clamp(0, 0, 0) == 0\n"
    good = weak + "assert clamp(-5, 0, 10) == 0\nassert clamp(50, 0, 10) == 10\n"
    poor, fine = (verify(sandbox, CLAMP, t, stubs=False, mutants=100, mutants_killed=0.7) for t in (weak, good))
    assert poor.mutants == fine.mutants == 7
    assert (poor.reason, poor.killed) == ("mutants_survive", 3)
    assert poor.detail.startswith(
        "the tests notice 3 of 7 faults, not: line 2: x < low -> x <= low; line 3: return low -> return None; "
    )
    assert (fine.reason, fine.killed) == (PASSED, 5)
    assert fine.survivors == ("line 2: x < low -> x <= low", "line 4: x > high -> x >= high")
    assert verify(sandbox, CLAMP, weak, stubs=False, mutants=100, mutants_killed=0).passed


def test_a_mutant_that_goes_on_for_ever_is_noticed_after_steps_not_seconds(sandbox):
    code = "def up(n):\n    i = 1\n    while i < n:\n        i += 1\n    return i * 3\n"
    tests = "assert up(3) == 9\nassert up(5) == 15\n"
    verdict = verify(sandbox, code, tests, mutants=100)
    assert (verdict.reason, verdict.mutants, verdict.killed) == (PASSED, 12, 9)
    outcome = sandbox.run(Program(code, tests, variants=True, stubs=False, mutants=100, steps=1000))
    assert [v.status for v in outcome.variants].count("timeout") == 3
    assert outcome.cpu < 0.5


def test_mutants_that_take_their_process_along_are_noticed_and_the_others_are_tried(sandbox):
    """One loops in C for ever, one leaves: others go on behind them."""
    code = (
        "import itertools, os\ndef f(n):\n    x = sum(itertools.takewhile((3).__ne__, itertools.count(n - n)))\n"
        "    if n > 100:\n        os._exit(0)\n    return x + n\n"
    )
    verdict = verify(sandbox, code, "assert f(4) == 7\nassert f(5) == 8\n", mutants=100)
    assert (verdict.reason, verdict.mutants, verdict.killed) == (PASSED, 12, 6)
    assert {each.partition(" -> ")[0] for each in verdict.survivors} == {"line 4: n > 100", "line 4: 100"}
    outcome = sandbox.run(Program(code, "assert f(4) == 7\n", variants=True, mutants=100, steps=1000))
    assert (outcome.status, outcome.variants[-1].status) == ("timeout", "")
    assert outcome.variants[-1].what == "line 3: n - n -> n + n"


def test_variants_see_a_fresh_module_and_the_same_random_numbers(sandbox):
    code = (
        "import random\nrandom.seed(4)\nseen = []\ndef f(n):\n    seen.append(n)\n    return n + len(seen)\n"
        "x = random.random()\n"
    )
    tests = "assert f(0) == 1\nassert f(0) == 2 and len(seen) == 2\n"
    assert verify(sandbox, code, tests, stubs=False).survivors == ()
    state = "import random\ndef f(n):\n    return n * random.randrange(10**9)\n"
    first = sandbox.run(Program(state + "print(f(1))")).output.decode()
    assert verify(sandbox, state, f"assert f(1) == {first}assert f(0) == 0\n").reason == "flaky"
    outcome = sandbox.run(Program(state, f"assert f(1) == {first}", variants=True, stubs=False, mutants=9, steps=99))
    assert {v.what: v.status for v in outcome.variants}["line 3: 9 -> 10"] == "assertion"
