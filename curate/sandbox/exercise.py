"""The gate for exercises: a solution that is proven by tests that prove something.

In order: the text parses; it has a function that is no stub; it has asserts; they ran, held, and called the solution;
enough of them were executed; a second run with another hash seed and random seed went the same way; and with every
body replaced by a stub (``return None``, 0, True, "", [], the first argument), or the last function's, the tests fail,
each time.

Of the canonical solutions of HumanEval with its tests, 163 of 164 pass (one has a single assert).

Async solutions fail as ``forbidden`` (an event loop needs sockets), so do programs that sleep; ``unittest`` classes are
not run: ``no_tests``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from curate.sandbox.harness import EACH_STUB, FAILED, STUBS
from curate.sandbox.runner import Outcome, Program, Sandbox

PASSED: Final = "passed"

REASONS: Final = {
    "syntax_error": "The code is not Python that compiles, and holds no fenced block that is.",
    "no_function": "There is no code, or no function or method in it.",
    "trivial_function": "Every function is a stub: it does nothing or returns a constant.",
    "no_tests": "There is no assert outside of the solution: at top level or in a test function.",
    "wrong": "An assert failed.",
    "raises": "The code, or a test, raised an exception other than a failed assert.",
    "missing_import": "It imports something that is not among the modules of the standard library on offer.",
    "forbidden": "It tried something the sandbox does not allow: files, network, processes, threads, sleeping.",
    "timeout": "It used more CPU time than allowed, as it is or with its bodies stubbed.",
    "memory": "It used more memory than allowed, as it is or with its bodies stubbed.",
    "crashed": "The interpreter died, or the program left before its tests were done.",
    "stalled": "It waited for ever, or the machine gave it no time; tried twice.",
    "tests_ignore_function": "The tests ran without calling any of the solution's functions.",
    "too_few_asserts": "Fewer asserts that involve the solution were executed than are required.",
    "flaky": "A second run, with other hashes and random numbers, printed or did something else.",
    "stub_passes": "The tests also pass with every body replaced by a stub, so they prove nothing.",
}
"""Why an exercise is turned down: a closed set, in the order in which reasons are tried."""

_FROM_STATUS: Final = {
    "syntax": "syntax_error",
    "assertion": "wrong",
    "exception": "raises",
    "import": "missing_import",
    "forbidden": "forbidden",
    "timeout": "timeout",
    "memory": "memory",
    "crashed": "crashed",
    "stalled": "stalled",
}


@dataclass(frozen=True)
class Verdict:
    """What became of an exercise: "passed" or a reason of REASONS, a line about it, executed asserts, calls."""

    reason: str
    detail: str = ""
    asserts: int = 0
    calls: int = 0


def verify(sandbox: Sandbox, code: str, tests: str = "", *, min_asserts: int = 2, stubs: bool = True) -> Verdict:
    """Put one exercise through the gate. ``code`` may hold the tests; three short-lived processes when it passes."""
    first = _run(sandbox, Program(code, tests, needs_tests=True))
    reason = _first_reason(first, min_asserts)
    if reason:
        detail = first.detail
        if reason == "too_few_asserts":
            detail = f"{first.asserts} of {min_asserts}"
        return Verdict(reason, detail, first.asserts, first.calls)
    second = _run(sandbox, Program(code, tests, seed=1, needs_tests=True))
    if second.status in {"stalled", "timeout"}:
        return _verdict(second.status, second.detail, first)
    if _observed(first) != _observed(second):
        return _verdict("flaky", second.detail or "other output or counts", first)
    if stubs:
        status, detail = _stubbed(sandbox, code, tests)
        if status:
            return _verdict("stub_passes" if status == "ok" else status, detail, first)
    return Verdict(PASSED, "", first.asserts, first.calls)


def _run(sandbox: Sandbox, program: Program) -> Outcome:
    outcome = sandbox.run(program)
    return sandbox.run(program) if outcome.status == "stalled" else outcome


def _first_reason(outcome: Outcome, min_asserts: int) -> str:
    if outcome.status != "ok":
        return _FROM_STATUS[outcome.status]
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


def _stubbed(sandbox: Sandbox, code: str, tests: str) -> tuple[str, str]:
    """("", "") when every stub fails its tests, else a status and the stub."""
    together = _run(sandbox, Program(code, tests, stub=EACH_STUB, needs_tests=True))
    if together.status in FAILED:
        return "", ""
    if together.status not in {"timeout", "memory", "crashed", "stalled"}:
        return together.status, f"stub: {together.detail}"
    for stub in STUBS:  # they shared one allowance; each gets its own
        alone = _run(sandbox, Program(code, tests, stub=stub, needs_tests=True))
        if alone.status not in FAILED:
            return alone.status, f"stub: {stub}"
    return "", ""


def _verdict(status: str, detail: str, first: Outcome) -> Verdict:
    return Verdict(_FROM_STATUS.get(status, status), detail, first.asserts, first.calls)
