"""kill -9: of the driver, its workers, and the processes of a running cluster, at crash points and at random moments."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from command import Done, alive, descendants, gone

from curate.store.files import CRASH_POINTS
from tests.soak.ground import IN_FLIGHT, Ground, Row, wait_for

IN_TASKS = ("segment", "cut", "map", "reduce", "apply", "index", "train", "shard")
TASK_POINTS = tuple(p for p in CRASH_POINTS if p.split(".")[0] in IN_TASKS)
"""Points that are passed in tasks: with workers they kill a worker."""
ASKING_POINTS = tuple(p for p in CRASH_POINTS if p.startswith("round."))
"""Points that are passed while the next rounds are asked already."""


def at_points(ground: Ground, row: Row) -> None:
    """The only process dies once at every crash point, each time going on from where the last one died."""
    store, tokens = ground.store(), tokens_for(ground.folder, CRASH_POINTS)
    for _ in range(len(tokens) * 2):
        done = ground.run(store, env=crash_at(tokens))
        row.times += done.code == -signal.SIGKILL
        if done.code == 0:
            break
        expect(row, done, -signal.SIGKILL)
    never = [point for point, token in tokens.items() if token.exists()]
    if set(never) - {"mend.after-move"}:
        row.wrong.append(f"points that were not reached: {never}")
    for token in tokens.values():
        token.unlink(missing_ok=True)
    ground.finish(row, store, in_flight=len(ASKING_POINTS) * IN_FLIGHT)


def workers_at_points(ground: Ground, row: Row) -> None:
    """Workers die at every point of tasks; the same driver comes to its end."""
    store, points = ground.store(), [p for p in TASK_POINTS if p.endswith(("before-receipt", "after-piece"))]
    for group in (points, [p for p in TASK_POINTS if p not in points]):
        tokens = tokens_for(ground.folder, group)
        done = ground.run(store, workers=2, env=crash_at(tokens))
        row.times += sum(not token.exists() for token in tokens.values())
        expect(row, done, 0)
        ground.finish(row, store)
        store = ground.store()


def driver(ground: Ground, row: Row, rng: random.Random, workers: int, kills: int) -> None:
    """The driver is killed at random moments, up to ``kills`` times or until it gets to its end."""
    store, before = ground.store(), row.times
    for _ in range(kills):
        done = ground.run(store, workers=workers, meanwhile=lambda pid: _kill(ground, store, pid, [pid], rng))
        row.times += done.code == -signal.SIGKILL
        if done.code == 0:
            break
        expect(row, done, -signal.SIGKILL)
    ground.finish(row, store, workers=workers, in_flight=(row.times - before) * IN_FLIGHT)


def worker(ground: Ground, row: Row, rng: random.Random, kills: int) -> None:
    """Workers of a run are killed at random moments; the run comes to its end."""
    store = ground.store()

    def kill(pid: int) -> None:
        for _ in range(kills):
            if not moment(store, ground, pid, rng):
                return
            victims = workers_of(pid)
            if victims:
                row.times += kill_one(rng.choice(victims))

    expect(row, ground.run(store, workers=2, meanwhile=kill), 0)
    ground.finish(row, store)


def cluster(ground: Ground, row: Row, rng: random.Random, victim: str) -> None:
    """A process of a running cluster is killed at a random moment: ``scheduler``, ``nanny`` or ``worker``.

    Without its scheduler the driver stops with one line, and goes on when there is a cluster again.
    """
    store = ground.store()
    with Cluster(ground.folder) as running:

        def kill(pid: int) -> None:
            if moment(store, ground, pid, rng):
                row.times += kill_one(rng.choice(running.pids(victim)))

        done = ground.run(store, "--cluster", running.address, meanwhile=kill)
        expect(row, done, 4 if victim == "scheduler" else 0, 0)
    with Cluster(ground.folder) as running:
        ground.run(store, "--cluster", running.address).ok()
    ground.finish(row, store)


class Cluster:
    """A scheduler and two workers under nannies, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "scheduler.json"
        self._file.unlink(missing_ok=True)
        # A session each: what is left of it at the end is ended, whoever in it was killed before.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, "start_new_session": True}
        dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        options = ["--port", "0", "--dashboard-address", "127.0.0.1:0", "--host", "127.0.0.1"]
        self._scheduler = subprocess.Popen([*dask, *options, "--scheduler-file", str(self._file)], **quiet)  # type: ignore[call-overload]
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(self._file)]
        options = ["--nthreads", "1", "--no-dashboard", "--death-timeout", "30", "--host", "127.0.0.1"]
        self._nannies = [subprocess.Popen([*worker, *options], **quiet) for _ in range(2)]  # type: ignore[call-overload]

    def __enter__(self) -> Self:
        end = time.monotonic() + 60
        while not self._file.exists():
            assert time.monotonic() < end, "no scheduler"
            time.sleep(0.05)
        while True:
            with suppress(ValueError):
                self.address = str(json.loads(self._file.read_text())["address"])
                return self

    def __exit__(self, *_: object) -> None:
        for process in (*self._nannies, self._scheduler):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def pids(self, what: str) -> list[int]:
        """Of its scheduler, its nannies, or their workers."""
        if what == "scheduler":
            return [self._scheduler.pid]
        nannies = [n.pid for n in self._nannies if n.poll() is None]
        return nannies if what == "nanny" else [w for n in nannies for w in workers_of(n)] or nannies


def workers_of(pid: int) -> list[int]:
    """Worker processes below a driver or a nanny."""
    found = []
    for child in descendants(pid):
        with suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def moment(folder: Path, ground: Ground, pid: int, rng: random.Random) -> bool:
    """Wait for a random moment of a run: drawn from the files it leaves in a folder, or from the requests it sends."""
    count = _files if rng.random() < 0.8 else lambda _: sum(ground.teacher.received.values())
    aim = count(folder) + rng.randrange(1, 40 if count is _files else 6)
    if not wait_for(lambda: count(folder) >= aim, pid):
        return False
    time.sleep(rng.uniform(0, 0.01))
    return True


def _files(folder: Path) -> int:
    # Not rglob, which fails when a folder goes while it looks.
    return sum(len(names) + len(files) for _, names, files in os.walk(folder))


def _kill(ground: Ground, store: Path, pid: int, victims: list[int], rng: random.Random) -> None:
    if moment(store, ground, pid, rng):
        children = descendants(pid)
        for victim in victims:
            kill_one(victim)
        for left in gone(children):
            raise AssertionError(f"process {left} outlived its driver")


def kill_one(pid: int) -> bool:
    with suppress(ProcessLookupError):
        there = alive(pid)
        os.kill(pid, signal.SIGKILL)
        return there
    return False


def tokens_for(folder: Path, points: tuple[str, ...] | list[str]) -> dict[str, Path]:
    tokens = {point: folder / f"token-{point}" for point in points}
    for token in tokens.values():
        token.touch()
    return tokens


def crash_at(tokens: dict[str, Path]) -> dict[str, str]:
    return {"CURATE_CRASH_AT": ",".join(f"{point}={token}" for point, token in tokens.items())}


def expect(row: Row, done: Done, *codes: int) -> None:
    """One of these exit codes, and no traceback."""
    if done.code not in codes:
        row.wrong.append(f"exit {done.code} instead of {codes}: {(done.err or done.out)[-300:]}")
    if "Traceback" in done.err + done.out:
        row.wrong.append(f"a traceback: {(done.err + done.out)[-300:]}")
