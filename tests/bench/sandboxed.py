"""Programs and verdicts a second behind the walls, on one core and on two, beside the bare acts that they are made of."""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from curate.sandbox.exercise import verify
from curate.sandbox.runner import MODULES, Program, Sandbox
from tests.bench.measure import ROOT, Row, counted, peak_mb

CODE = 'def add(a, b):\n    """Sum."""\n    return a + b\n\nassert add(1, 2) == 3\nassert add(-1, 1) == 0\n'
EXERCISE = '''\
def longest_run(text: str) -> int:
    """Return the length of the longest run of one letter."""
    best = length = 0
    previous = ""
    for letter in text:
        length = length + 1 if letter == previous else 1
        previous = letter
        best = max(best, length)
    return best


assert longest_run("aabbb") == 3
assert longest_run("abc") == 1
assert longest_run("") == 0
'''
"""As long as those that models write for a prompt of generate.exercises."""
REPEATS = 3
_boxes: list[Sandbox] = []


class Counting(Sandbox):
    """A sandbox that counts what it executes."""

    executions = 0

    def run(self, program: Program, *, alone: bool = False):
        self.executions += 1
        return super().run(program, alone=alone)


def _box() -> Sandbox:
    if not _boxes:
        _boxes.append(Sandbox())
    return _boxes[0]


def execute(count: int) -> None:
    """Run a small program so many times."""
    for _ in range(count):
        assert _box().run(Program(CODE)).status == "ok"


def judge(count: int) -> None:
    """Put an exercise through the whole gate so many times."""
    for _ in range(count):
        assert verify(_box(), EXERCISE).passed


def fork(count: int) -> None:
    """Fork a process that has imported the same, execute the same in it, with no walls and no result."""
    for name in MODULES:
        __import__(name)
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                exec(compile(CODE, "x", "exec"), {})
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


def bare(count: int) -> None:
    """Start an interpreter each time."""
    for _ in range(count):
        subprocess.run([sys.executable, "-I", "-S", "-c", CODE], check=True)


def at_once(work: Callable[[int], None], count: int, processes: int) -> list[float]:
    """Seconds that so many processes take for ``count`` each, at once; each repeat's."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(work, [4] * processes, chunksize=1)  # zygotes start
        taken = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            pool.map(work, [count] * processes, chunksize=1)
            taken.append(time.perf_counter() - start)
    return taken


def several(
    name: str, work: Callable[[int], None], count: int, processes: int, reference: str, beside: Callable[[int], None]
) -> Row:
    """A row of so many processes at once; the reference likewise, right after."""
    taken, theirs = at_once(work, count, processes), at_once(beside, count, processes)
    per_s, reference_per_s = (processes * count / statistics.median(t) for t in (taken, theirs))
    return {
        "name": name, "cores": processes, "clock": "wall", "docs": processes * count, "seconds": taken,
        "per_s": round(per_s, 1), "peak_rss_mb": peak_mb(), "reference": f"{reference}: {reference_per_s:,.0f}/s",
        "reference_seconds": theirs, "ratio": round(per_s / reference_per_s, 3),
    }  # fmt: skip


def sandbox() -> Iterator[Row]:
    """Programs a second; a whole verdict is several of them."""
    for processes in (1, 2):
        end = "" if processes == 1 else str(processes)
        yield several(f"executions{end}", execute, 200, processes, "bare fork and exec()", fork)
        yield several(f"verdicts{end}", judge, 40, processes, "executions", execute)
    yield counted("executions, cold", 50, lambda: execute(50), ("python -I -S, no walls", 10, lambda: bare(10)))
    with Counting() as box:
        verdict = verify(box, EXERCISE)
        lines = (ROOT / "data/benchmarks/humaneval.jsonl").read_text().splitlines()[:40]
        box.executions = mutants = 0
        start = time.perf_counter()
        for line in lines:
            item = json.loads(line)
            tests = f"{item['test']}\ncheck({item['entry_point']})\n"
            mutants += verify(box, item["prompt"] + item["canonical_solution"], tests).mutants
        taken = time.perf_counter() - start
    print(f"  the exercise: {verdict.mutants} mutants, {verdict.killed} of them noticed")
    yield {
        "name": "verdicts (HumanEval)", "cores": 1, "clock": "wall", "docs": len(lines), "seconds": [taken],
        "per_s": round(len(lines) / taken, 1), "peak_rss_mb": peak_mb(),
        "reference": f"{box.executions / len(lines):.2f} executions, {mutants / len(lines):.1f} mutants a verdict",
    }  # fmt: skip
