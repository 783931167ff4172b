"""The gate for exercises: a solution that is proven by tests that prove something.

In order: the text parses; it imports what is on offer; it has a function that is no stub; it has asserts; they ran, held,
and called the solution; enough of them were executed; a second run with another hash seed and random seed went the same way;
with every body replaced by a stub (``return None``, 0, True, "", [], the first argument), or the last function's, the tests
fail, each time; and they notice enough of the small faults (mutants) that are put into the solution.

A program out of time is run again, alone on this machine and with twice the CPU time, before that counts. Time is CPU time
already, so that other programs cost it little: what they still cost (caches, the other half of a core) is less than half.
A stub or a mutant that runs out of time or memory, or crashes, has not passed its tests.

Of the canonical solutions of HumanEval with its tests, 163 of 164 pass (one has a single assert).

Async solutions fail as ``forbidden`` (an event loop needs sockets), so do programs that sleep; ``unittest`` classes are
not run: ``no_tests``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from curate.sandbox.runner import Box, Outcome, Program, Variant

REVISION: Final = 1
"""Bumped by hand when the same program begins to get another verdict: kept verdicts of other revisions are not used."""

PASSED: Final = "passed"
MUTANTS: Final = 8
"""How many are tried: with more, the share that is noticed changes little, and the time grows with each."""
MUTANTS_KILLED: Final = 0.5
"""Least share of them that tests must notice."""

REASONS: Final = {
    "syntax_error": "The code is not Python that compiles, and holds no fenced block that is.",
    "no_function": "There is no code, or no function or method in it.",
    "trivial_function": "Every function is a stub: it does nothing or returns a constant.",
    "no_tests": "There is no assert outside of the solution: at top level or in a test function.",
    "import_not_allowed": "It imports a module that Python has and the list of imports has not.",
    "wrong": "An assert failed.",
    "raises": "The code, or a test, raised an exception other than a failed assert.",
    "missing_import": "It imports something that is not there.",
    "forbidden": "It tried something the sandbox does not allow: files, network, processes, threads, sleeping.",
    "timeout": "It used more CPU time than allowed, and more than twice as much when it was run again, alone.",
    "memory": "It used more memory than allowed.",
    "crashed": "The interpreter died, or the program left before its tests were done.",
    "stalled": "It waited for ever, or the machine gave it no time; tried twice.",
    "tests_ignore_function": "The tests ran without calling any of the solution's functions.",
    "too_few_asserts": "Fewer asserts that involve the solution were executed than are required.",
    "flaky": "A second run, with other hashes and random numbers, printed or did something else.",
    "stub_passes": "The tests also pass with every body replaced by a stub, so they prove nothing.",
    "mutants_survive": "The tests pass with too many of the small faults that were put into the solution.",
}
"""Why an exercise is turned down: a closed set, in the order in which reasons are tried."""

_FROM_STATUS: Final = {
    "syntax": "syntax_error",
    "assertion": "wrong",
    "exception": "raises",
    "import": "missing_import",
    "unlisted": "import_not_allowed",
}
_DEATHS: Final = 3
"""So many variants may take their process with them; after that no more are tried."""
_MOST_STEPS: Final = 10
_SPARE_STEPS: Final = 10_000
"""A variant may take so many times the steps of the program itself, and so many more: milliseconds."""
_NAMED: Final = 3
"""Survivors that a verdict names."""


@dataclass(frozen=True)
class Verdict:
    """What became of an exercise.

    Attributes:
        reason: "passed" or one of REASONS.
        detail: a line about it, for people and for the model that is to do better.
        asserts: executed asserts that involve the solution.
        calls: calls of its functions.
        mutants, killed: how many were tried, and how many of these the tests noticed; 0 where it did not come to that.
        survivors: some of the others, a line each.
    """

    reason: str
    detail: str = ""
    asserts: int = 0
    calls: int = 0
    mutants: int = 0
    killed: int = 0
    survivors: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the exercise is proven."""
        return self.reason == PASSED

    def held_to(self, mutants_killed: float) -> Verdict:
        """The verdict where so large a share of the mutants must be noticed."""
        if not self.passed or self.killed >= mutants_killed * self.mutants:
            return self
        missed = "; ".join(self.survivors)
        detail = f"the tests notice {self.killed} of {self.mutants} faults, not: {missed}"
        return replace(self, reason="mutants_survive", detail=detail)

    def plain(self) -> list[Any]:
        """Values of JSON, from which ``from_plain`` makes it again."""
        return [self.reason, self.detail, self.asserts, self.calls, self.mutants, self.killed, list(self.survivors)]

    @classmethod
    def from_plain(cls, values: Sequence[Any]) -> Self:
        """The verdict that ``plain`` wrote."""
        reason, detail, asserts, calls, mutants, killed, survivors = values
        return cls(reason, detail, asserts, calls, mutants, killed, tuple(survivors))


def verify(
    sandbox: Box,
    code: str,
    tests: str = "",
    *,
    min_asserts: int = 2,
    stubs: bool = True,
    mutants: int = MUTANTS,
    mutants_killed: float = MUTANTS_KILLED,
) -> Verdict:
    """Put one exercise through the gate.

    Args:
        code: the solution; it may hold the tests.
        tests: the tests, where they stand apart.
        min_asserts: how many asserts that involve the solution must be executed.
        stubs: whether the tests must fail with stubs.
        mutants: how many mutants are tried at most.
        mutants_killed: the share of these that the tests must notice.

    Three short-lived processes for one that passes. Never raises for what the code is; CurateError where there are no walls.
    """
    first = _run(sandbox, Program(code, tests, needs_tests=True))
    reason = _first_reason(first, min_asserts)
    if reason:
        detail = f"{first.asserts} of {min_asserts}" if reason == "too_few_asserts" else first.detail
        return Verdict(reason, detail, first.asserts, first.calls)
    second = _run(sandbox, Program(code, tests, seed=1, needs_tests=True, steps=0))
    if second.status in {"stalled", "timeout"}:
        return Verdict(second.status, second.detail, first.asserts, first.calls)
    if _observed(first) != _observed(second):
        return Verdict("flaky", second.detail or "other output or counts", first.asserts, first.calls)
    passed = Verdict(PASSED, "", first.asserts, first.calls)
    if not stubs and not mutants:
        return passed
    steps = _MOST_STEPS * second.steps + _SPARE_STEPS
    asked = Program(code, tests, needs_tests=True, steps=steps, variants=True, stubs=stubs, mutants=mutants)
    return _tried(sandbox, asked, passed).held_to(mutants_killed)


def _run(sandbox: Box, program: Program) -> Outcome:
    outcome = sandbox.run(program)
    if outcome.status == "stalled":
        outcome = sandbox.run(program)
    return sandbox.run(program, alone=True) if outcome.status == "timeout" else outcome


def _first_reason(outcome: Outcome, min_asserts: int) -> str:
    if outcome.status != "ok":
        return _FROM_STATUS.get(outcome.status, outcome.status)
    if not outcome.functions:
        return "no_function"
    if not outcome.real:
        return "trivial_function"
    if not outcome.tests:
        return "no_tests"
    if not outcome.calls:
        return "tests_ignore_function"
    return "too_few_asserts" if outcome.asserts < min_asserts else ""


def _observed(outcome: Outcome) -> tuple[object, ...]:
    # Calls may differ where the order of a set decides who is asked first; what counts is what came out.
    return outcome.status, outcome.asserts, outcome.output


def _tried(sandbox: Box, program: Program, passed: Verdict) -> Verdict:
    """The verdict after stubs and mutants; where a variant takes the process with it, another goes on behind it."""
    tried: list[Variant] = []
    for death in range(_DEATHS + 1):
        outcome = sandbox.run(program)
        if outcome.status == "stalled":
            outcome = sandbox.run(program)
        tried += outcome.variants
        if outcome.status == "ok":
            if outcome.detail:
                return replace(passed, reason="stub_passes", detail=outcome.detail)
            break
        if outcome.status == "stalled" or not tried or (death and not outcome.variants):
            return replace(passed, reason=outcome.status, detail=f"with faults put in: {outcome.detail}")
        if not tried[-1].status:
            tried[-1] = replace(tried[-1], status=outcome.status)
        program = replace(program, after=tried[-1].number)
    # One that does not compile is no mutant.
    mutants = [v for v in tried if not v.what.startswith("stub: ") and v.status != "syntax"]
    survivors = [v.what for v in mutants if v.status == "ok"]
    killed = len(mutants) - len(survivors)
    return replace(passed, mutants=len(mutants), killed=killed, survivors=tuple(survivors[:_NAMED]))
