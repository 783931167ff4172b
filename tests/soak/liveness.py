"""Faults of those who work: rows that kill them, memory that ends, machines that are taken away, cables that are cut."""

from __future__ import annotations

import os
import random
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from command import manifest, results
from killers import KILLING, killers, shards
from small_run import prose

from tests.soak.ground import Ground, Row, Skip
from tests.soak.kills import expect, moment
from tests.soak.network import Network, why_not
from tests.soak.partition import CUTS, MACHINES, Site


def killing_rows(ground: Ground, row: Row) -> None:
    """Rows that crash the worker in a segment with a source, and in one without: the others are as if they were alone.

    And a task that always kills, whatever its rows are: the run ends with one line that names the place.
    """
    for workers in (1, 2):
        where = ground.store()
        texts = {f"d{n}": prose(n, 60) for n in range(20)}
        bad = {**texts, "d3": texts["d3"] + " KILLER-rules", "d17": texts["d17"] + " KILLER-late"}
        whole = killers(where / "whole", {k: v for k, v in texts.items() if k not in ("d3", "d17")})
        ground.curate.run(whole, where / "undisturbed").ok()
        ground.curate.run(killers(where / "bad", bad), where / "run", workers=workers, env=KILLING).ok()
        row.times += 2
        row.identical &= shards(where / "run") == shards(where / "undisturbed")
        said = {name: one["reasons"].get("kills_worker") for name, one in manifest(where / "run")["steps"].items()}
        if (said["rules"], said["late"]) != (1, 1):
            row.wrong.append(f"rows set aside: {said}")
    store = ground.store()
    done = ground.run(store, workers=1, env={"CURATE_CRASH_AT": "segment.before-receipt"})
    expect(row, done, 10)
    if "jsonl" not in done.line.partition(":")[0] or (store / "manifest.json").exists():
        row.wrong.append(f"a task that always kills: {done.line[-300:]}")
    row.times += 1
    ground.finish(row, store)


def memory_limit(ground: Ground, row: Row) -> None:
    """A batch that takes more than a worker may have: done in smaller ones, with no row set aside."""
    where = ground.store()
    recipe = killers(where / "in", {f"d{n}": f"{prose(n, 40)} GREEDY" for n in range(200)})
    ground.curate.run(recipe, where / "undisturbed").ok()
    # A worker has about 250 MB before it does anything; 200 of these rows take 1,000 together, 64 of them 320.
    ground.curate.run(recipe, where / "run", "--worker-memory", "800MB", workers=1, env=KILLING).ok()
    row.times += 1
    row.identical &= results(where / "run") == results(where / "undisturbed")


def preempted(ground: Ground, row: Row) -> None:
    """SIGTERM to the driver at random moments, until it gets to its end: what was begun is committed each time."""
    rng = random.Random(5)
    for workers in (0, 2):
        store = ground.store()
        for _ in range(6):

            def term(pid: int, store: Path = store) -> None:
                if moment(store / "steps", ground, pid, rng):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)

            done = ground.run(store, workers=workers, meanwhile=term)
            if done.code == 0:
                break
            row.times += 1
            if done.code != 143 or "everything that was begun is finished" not in done.err:
                row.wrong.append(f"exit {done.code}: {done.err[-300:]}")
        ground.run(store).ok()
        ground.finish(row, store)


def partitions(ground: Ground, row: Row) -> None:
    """Workers, the scheduler or the driver cut off for less and for more than Dask's time-outs."""
    if why := why_not():
        raise Skip(why)
    with tempfile.TemporaryDirectory(dir=ground.folder) as name, Network(*MACHINES) as network:
        site = Site(Path(name), network)
        expected = site.undisturbed()
        for number, cut in enumerate(CUTS):
            row.identical &= site.disturbed(cut, number)[2] == expected
            row.times += 1


ALL = [
    ("rows that kill their worker", killing_rows),
    ("a worker's memory limit hit", memory_limit),
    ("SIGTERM to the driver at random moments", preempted),
]
"""Each with its row's name; of those that take minutes, see LAST."""
LAST = [("network partitions", partitions)]
