"""Faults of what a run stands on: damage, full disks, clocks that jump, commands that meet, bad object stores."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from command import Curate, Done
from damage import KINDS, damage, files_of
from full_disk import small_disk
from object_store import Away, Fault, Kind, Proxy, S3Server, settings

from tests.soak import liveness
from tests.soak.ground import IN_FLIGHT, MOST_SECONDS, SPLIT, Ground, Row, Skip, wait_for
from tests.soak.kills import crash_at, expect, kill_one, tokens_for


def damaged_half(ground: Ground, row: Row) -> None:
    """Files of a half finished store, damaged in every way at random places."""
    for seed, kind in enumerate(KINDS):
        store, rng = ground.store(), random.Random(seed)
        tokens = tokens_for(ground.folder, [rng.choice(("shard.before-receipt", "apply.before-receipt"))])
        expect(row, ground.run(store, env=crash_at(tokens)), -signal.SIGKILL)
        files = files_of(store)
        for path in rng.sample(files, 6):
            if path.exists():
                damage(path, kind, rng, files)
                row.times += 1
        expect(row, ground.run(store, workers=2), 0)
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
        expect(row, ground.run(store, "--verify"), 0)
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
            expect(row, ground.run(store, workers=2 * (number % 2)), 6)
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
        expect(row, Done(done.returncode, done.stdout, done.stderr), 0)
        ground.finish(row, store)


def two_runs(ground: Ground, row: Row) -> None:
    """A second run on the same store, while the first one runs."""
    store, second = ground.store(), Curate()
    try:
        # It takes as long to come up as a whole run.
        second("stages", "dedup.exact").ok()

        def meet(pid: int) -> None:
            wait_for(lambda: len(list(store.rglob("*.json"))) > 5, pid)
            done = second.run(ground.recipe, store, *SPLIT)
            row.times += 1
            if done.code != 11 or done.out or len(done.err.splitlines()) != 1:
                row.wrong.append(f"exit {done.code}: {done.err[-300:]}")

        expect(row, ground.run(store, workers=2, meanwhile=meet), 0)
    finally:
        second.close()
    ground.finish(row, store)


@contextmanager
def _object_store(ground: Ground) -> Iterator[tuple[S3Server, Proxy]]:
    """A real S3 server on loopback: what commands see of it is by a proxy that can be bad, what we look at is not."""
    with (
        tempfile.TemporaryDirectory(dir=ground.folder) as home,
        S3Server() as server,
        Proxy(server.url, seed=1) as proxy,
    ):
        before = dict(os.environ)
        os.environ.update(settings(server.url))
        ground.env = {**settings(proxy.url), "CURATE_SCRATCH": f"{home}/scratch", "XDG_STATE_HOME": f"{home}/state"}
        try:
            yield server, proxy
        finally:
            ground.env = {}
            os.environ.clear()
            os.environ.update(before)


def _bad(proxy: Proxy, *kinds: Kind) -> None:
    for kind in kinds:
        proxy.add(Fault(kind, share=0.3, seconds=0.2) if kind == "delay" else Fault(kind, share=0.04))


def bad_object_store(ground: Ground, row: Row) -> None:
    """Each way in which S3 can be bad by itself, then all at once; then it goes away in the middle and comes back."""
    kinds: tuple[Kind, ...] = get_args(Kind)
    with _object_store(ground) as (server, proxy):
        for number, some in enumerate([*((kind,) for kind in kinds), kinds]):
            store = ground.bucket(server)
            _bad(proxy, *some)
            expect(row, ground.run(store, workers=2 * (number % 2)), 0)
            proxy.heal()
            row.times += 1
            ground.finish(row, store)
        for number in (1, 20):
            store = ground.bucket(server)
            proxy.add(Away("drop_before", methods=("PUT",), contains="/receipts/", after=number))
            expect(row, ground.run(store, workers=2 * (number % 2), env={"CURATE_STORE_SECONDS": "1"}), 6)
            proxy.heal()
            row.times += 1
            ground.finish(row, store, in_flight=IN_FLIGHT)


def killed_on_object_store(ground: Ground, row: Row) -> None:
    """The driver is killed at random moments, drawn from the requests it sends to a store that is bad in every way."""
    rng = random.Random(3)
    with _object_store(ground) as (server, proxy):
        for workers in (0, 2):
            store, before = ground.bucket(server), row.times
            _bad(proxy, *get_args(Kind))

            def kill(pid: int) -> None:
                aim = len(proxy.requests) + rng.randrange(1, 150)
                if wait_for(lambda: len(proxy.requests) >= aim, pid):
                    kill_one(pid)

            for _ in range(4):
                done = ground.run(store, workers=workers, meanwhile=kill)
                row.times += done.code == -signal.SIGKILL
                expect(row, done, 0, -signal.SIGKILL)
            proxy.heal()
            ground.finish(row, store, in_flight=(row.times - before) * IN_FLIGHT)


ALL = [
    ("corrupt, truncated, vanished files of a half finished store", damaged_half),
    ("corrupt, truncated, vanished files of a finished store", damaged_whole),
    ("full disk, freed again", full_disk),
    ("a clock that jumps by days", clock),
    ("two runs on one store", two_runs),
    ("a slow, throttling, failing object store", bad_object_store),
    ("kill -9 of the driver, its store on such an object store", killed_on_object_store),
    *liveness.ALL,
]
"""Each with its row's name."""
