"""Faults other than kills: damage, disks that are full, clocks that jump, commands that meet."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from command import Curate, Done
from damage import KINDS, damage, files_of
from full_disk import small_disk

from tests.soak import liveness
from tests.soak.ground import IN_FLIGHT, MOST_SECONDS, SPLIT, Ground, Row, Skip, wait_for
from tests.soak.kills import _environment, _expect, _tokens


def damaged_half(ground: Ground, row: Row) -> None:
    """Files of a half finished store, damaged in every way at random places."""
    for seed, kind in enumerate(KINDS):
        store, rng = ground.store(), random.Random(seed)
        tokens = _tokens(ground.folder, [rng.choice(("shard.before-receipt", "apply.before-receipt"))])
        _expect(row, ground.run(store, env=_environment(tokens)), -signal.SIGKILL)
        files = files_of(store)
        for path in rng.sample(files, 6):
            if path.exists():
                damage(path, kind, rng, files)
                row.times += 1
        _expect(row, ground.run(store, workers=2), 0)
        ground.finish(row, store, harmed=True)


def damaged_whole(ground: Ground, row: Row) -> None:
    """Files of a finished store, final shards among them; --verify reads all of it."""
    for seed, kind in enumerate(KINDS):
        store, rng = ground.store(), random.Random(seed)
        ground.run(store).ok()
        files = files_of(store)
        for path in rng.sample(files, 6):
            damage(path, kind, rng, files)
            row.times += 1
        _expect(row, ground.run(store, "--verify"), 0)
        ground.finish(row, store, harmed=True)


def full_disk(ground: Ground, row: Row) -> None:
    """A small disk with space for a share of what a run needs; then somebody frees some."""
    with small_disk(ground.folder / "disk") as disk:
        if disk is None:
            raise Skip("mounting a small tmpfs needs root")
        store, before = disk.path / "run", disk.used
        ground.run(store).ok()
        needed = disk.used - before
        for number, share in enumerate((0.0, 0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9)):
            shutil.rmtree(store)
            ground.teacher.received.clear()
            disk.fill(int(needed * share))
            _expect(row, ground.run(store, workers=2 * (number % 2)), 6)
            row.times += 1
            disk.free()
            ground.finish(row, store, in_flight=IN_FLIGHT)
            store.mkdir(exist_ok=True)


def clock(ground: Ground, row: Row) -> None:
    """The wall clock of driver and workers jumps by days, there and back, all the time."""
    folder = Path(__file__).parents[1] / "clock"
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")]), str(folder.parents[1])])
    for workers in (0, 2):
        store = ground.store()
        argv = ["run", ground.recipe, "--store", store, "--workers", workers, *SPLIT]
        done = subprocess.run(
            [sys.executable, "-m", "curate", *map(str, argv)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        row.times += 1
        _expect(row, Done(done.returncode, done.stdout, done.stderr), 0)
        ground.finish(row, store)


def two_runs(ground: Ground, row: Row) -> None:
    """A second run on the same store, while the first one runs."""
    store, second = ground.store(), Curate()
    try:

        def meet(pid: int) -> None:
            wait_for(lambda: len(list(store.rglob("*.json"))) > 5, pid)
            done = second.run(ground.recipe, store, *SPLIT)
            row.times += 1
            if done.code != 11 or done.out or len(done.err.splitlines()) != 1:
                row.wrong.append(f"exit {done.code}: {done.err[-300:]}")

        _expect(row, ground.run(store, workers=2, meanwhile=meet), 0)
    finally:
        second.close()
    ground.finish(row, store)


ALL = [
    ("corrupt, truncated, vanished files of a half finished store", damaged_half),
    ("corrupt, truncated, vanished files of a finished store", damaged_whole),
    ("full disk, freed again", full_disk),
    ("a clock that jumps by days", clock),
    ("two runs on one store", two_runs),
    *liveness.ALL,
]
"""Each with its row's name."""
