"""The wall clock jumps while a run goes on, and files come from the future: results, leases and progress are as ever."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import Curate, receipts, results
from corpus import code, lines, one_frame, prose, rows
from recipes import step, write

from curate.run.leaving import unmoved_by_clocks

CLOCK = Path(__file__).parents[1] / "clock"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that reads, drops, compares and writes."""
    folder = tmp_path_factory.mktemp("clock")
    (folder / "prose.jsonl").write_bytes(lines(rows(prose(30), "a")))
    (folder / "code.jsonl.zst").write_bytes(one_frame(lines(rows(code(10, 8000), "c"))))
    steps = [
        step("docs", "read.jsonl", paths=["prose.jsonl", "code.jsonl.zst"]),
        step("rules", "filter.massivetext", min_words=30),
        step("unique", "dedup.exact"),
        step("text", "write.text", documents_per_shard=20),
    ]
    return write(folder / "r.yaml", steps)


def run(recipe: Path, store: Path, workers: int) -> str:
    """``curate run`` with a clock that jumps; what it said."""
    path = os.pathsep.join([str(CLOCK), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "curate", "run", recipe, "--store", store, "--workers", str(workers)]
    done = subprocess.run(
        [*map(str, command), "--split-mb", "0.03"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return done.stdout + done.stderr


def test_clock_jumps(curate: Curate, recipe: Path, tmp_path: Path) -> None:
    """By a day, back, and by more than a year: the same bytes, and no duration that nobody waited for."""
    asked = [
        sys.executable,
        "-c",
        "import time; seen = [(time.sleep(0.5), time.time())[1] for _ in range(6)]; print(max(seen) - min(seen) > 8e4)",
    ]
    told = subprocess.run(asked, env={**os.environ, "PYTHONPATH": str(CLOCK)}, capture_output=True, check=True)
    assert told.stdout == b"True\n", "the clock does not jump"
    curate.run(recipe, tmp_path / "whole", "--split-mb", 0.03).ok()
    said = run(recipe, tmp_path / "run", workers=0)
    assert results(tmp_path / "run") == results(tmp_path / "whole")
    durations = [float(n) for n in re.findall(r"(-?[\d.]+) s\b", said)]
    assert durations
    assert all(0 <= n < 280 for n in durations), said
    assert not re.search(r"-\d+ s left|\d h left|\d d left", said), said
    # The lease that was taken under a wrong clock was given back: nobody waits for it.
    curate.run(recipe, tmp_path / "run", "--split-mb", 0.03).ok()


def test_files_from_the_future(curate: Curate, recipe: Path, tmp_path: Path) -> None:
    """Inputs and committed files whose times lie in the future, or before all others, change nothing."""
    store = tmp_path / "run"
    curate.run(recipe, store, "--split-mb", 0.03).ok()
    before = results(store)
    for number, path in enumerate(p for p in store.rglob("*") if p.is_file() and not p.is_symlink()):
        when = time.time() + (86_400 if number % 2 else -86_400 * 365)
        os.utime(path, (when, when))
    kept = receipts(store)
    curate.run(recipe, store, "--split-mb", 0.03).ok()
    assert receipts(store) == kept
    os.utime(recipe.parent / "prose.jsonl", (time.time() + 86_400,) * 2)
    curate.run(recipe, store, "--split-mb", 0.03).ok()
    assert receipts(store) == kept
    assert results(store) == before


def test_dask_sends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that has written down, by a clock that was a day ahead, until when to wait, sends what comes next."""
    from distributed import batched

    real, ahead = time.time, [86_400.0]
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])
    monkeypatch.setattr(batched, "time", time.time)
    monkeypatch.setattr(batched.BatchedSend, "next_deadline", None, raising=False)

    class Comm:
        def __init__(self) -> None:
            self.sent = asyncio.Queue[str]()

        def closed(self) -> bool:
            return False

        async def write(self, payload: list[str], **_: object) -> int:
            for message in payload:
                self.sent.put_nowait(message)
            return len(payload)

    async def talk() -> None:
        sender, comm = batched.BatchedSend("1ms"), Comm()
        sender.start(comm)
        sender.send("first")
        assert await comm.sent.get() == "first"
        unmoved_by_clocks()
        ahead[0] = 0.0
        for message in ("second", "third"):
            sender.send(message)
            assert await asyncio.wait_for(comm.sent.get(), 10) == message

    asyncio.run(talk())
