"""Turns on a machine: side by side, alone, never waiting for ever."""

from __future__ import annotations

import os
import threading
import time

import pytest

from curate.sandbox import turns
from curate.sandbox.exercise import verify
from curate.sandbox.runner import Limits, Outcome, Program, Sandbox
from curate.sandbox.turns import Turns


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Locks that no other test has."""
    monkeypatch.setattr(turns.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_who_is_alone_is_alone_and_is_not_starved():
    """Threads that always run, each in the middle of another's turn, and one that wants to be alone, ten times."""
    inside, most, alone_with, stop = [], [0], [], threading.Event()

    def beside() -> None:
        mine = Turns()
        while not stop.is_set():
            with mine.shared():
                inside.append(1)
                most[0] = max(most[0], len(inside))
                time.sleep(0.002)
                inside.pop()

    threads = [threading.Thread(target=beside) for _ in range(4)]
    for thread in threads:
        thread.start()
    lonely = Turns()
    for _ in range(10):
        with lonely.alone():
            alone_with.append(len(inside))
            time.sleep(0.002)
    stop.set()
    for thread in threads:
        thread.join()
    assert alone_with == [0] * 10
    assert most[0] > 1


def test_files_of_others_are_not_waited_for(apart, monkeypatch):
    """A link is not followed, and a file of another user is none of ours: everybody runs at once then."""
    for name in ("gate", "running"):
        (apart / f"curate-{os.getuid()}-sandbox-{name}.lock").symlink_to(apart / "elsewhere")
    with Turns().alone(), Turns().shared():
        pass
    assert not (apart / "elsewhere").exists()
    for name in ("gate", "running"):
        (apart / f"curate-{os.getuid()}-sandbox-{name}.lock").unlink()
    me = os.getuid()
    monkeypatch.setattr(turns.os, "getuid", lambda: me + 1)
    with Turns().alone(), Turns().shared():
        pass


def test_alone_a_program_has_twice_the_time():
    code = "import time\nstart = time.process_time()\nwhile time.process_time() < start + 1.3:\n    pass\n"
    with Sandbox(Limits(cpu_seconds=1)) as box:
        assert box.run(Program(code), alone=True).status == "ok"


class Scripted(Sandbox):
    """Gives outcomes by whether a program is run alone."""

    def __init__(self, *statuses: str) -> None:
        super().__init__()
        self.left, self.asked = list(statuses), []

    def run(self, program: Program, *, alone: bool = False) -> Outcome:
        self.asked.append(alone)
        return Outcome(self.left.pop(0), functions=1, real=1, tests=2, calls=2, asserts=2)


def test_out_of_time_counts_when_it_was_so_alone():
    """Once more, alone, and only then; what waited for ever is tried twice, in company."""
    for statuses, reason, asked in (
        (("ok", "ok"), "passed", [False, False]),
        (("timeout", "ok", "ok"), "passed", [False, True, False]),
        (("timeout", "ok", "timeout", "ok"), "passed", [False, True, False, True]),
        (("timeout", "timeout"), "timeout", [False, True]),
        (("ok", "timeout", "timeout"), "timeout", [False, False, True]),
        (("stalled", "timeout", "ok", "ok"), "passed", [False, False, True, False]),
        (("stalled", "stalled"), "stalled", [False, False]),
    ):
        box = Scripted(*statuses)
        verdict = verify(box, "", stubs=False, mutants=0)
        assert (verdict.reason, box.asked, box.left) == (reason, asked, [])
