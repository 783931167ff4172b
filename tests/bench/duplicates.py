"""What near deduplication costs as a corpus grows, apart from texts: seconds of each phase, bytes in the store, peak memory.

``python -m tests.bench.duplicates [--documents 100000 1000000 10000000] [--partitions N]`` prints a table and writes
``runs/bench/duplicates.json``: per size ``documents, dropped, rounds, seconds, cpu_seconds, phases`` (CPU seconds by name), ``store_mb``,
``peaks`` (by name) and ``peak_mb``. Phases run one task after the other in one process, which is driver and worker at once: the peak is
above that of any worker of a cluster.

Documents are numbers. A third of them lie in clusters of 2 to 100, and a thousandth in one, whose members share each of 14 bands
with probability 0.27, as copies of Jaccard 0.85 do with their original; three quarters of the pairs that share a band are
found to be alike. So buckets, pairs, ends, sketches of 112 bytes, edges and rounds are as many as those of that many web pages.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import Context
from curate.stages.paired import Bucketed, Paired
from curate.stages.registry import register
from curate.stages.verified import Verifier
from curate.text.batch import Batch
from curate.text.pairs import spread
from tests.bench.measure import peak_mb

ROOT = Path(__file__).resolve().parents[2]
SIZES = (100_000, 1_000_000, 10_000_000)
BANDS = 14
SHARED = 0.27
ALIKE = 0.75
WIDTH = 112
LINES_PER_FILE = 1_000_000

U64 = np.ndarray[Any, np.dtype[np.uint64]]


def clusters(number: U64) -> U64:
    """Which cluster each number is in: its own, one of a few neighbours, or the large one."""
    place = number % np.uint64(1000)
    size = np.select([place < 670, place < 800, place < 900, place < 970, place < 999], [1, 2, 3, 10, 100], 0)
    found = spread(number // np.maximum(size, 1).astype(np.uint64), size.astype(np.uint64))
    return np.where(size == 0, np.uint64(1), found)


@register("bench.numbers")
class Numbers(Paired):
    """Near deduplication of numbers; see the module."""

    reason: ClassVar[str] = "near_duplicate"
    reasons: ClassVar[Mapping[str, str]] = {"near_duplicate": "another is like it"}

    def buckets(self) -> int:
        return BANDS

    def bucketed(self, docs: Batch, ctx: Context) -> Bucketed:
        number = _numbers(docs)
        cluster = clusters(number)
        at = np.repeat(np.arange(len(docs)), BANDS)
        band = np.tile(np.arange(BANDS), len(docs))
        salt = band.astype(np.uint64)
        shared = spread(number[at], salt) < np.uint64(SHARED * 2.0**64)
        keys = np.where(shared, spread(cluster[at], salt + np.uint64(100)), spread(number[at], salt + np.uint64(200)))
        return Bucketed(at, keys, band.astype(np.uint8), np.full(len(docs), WIDTH // 8, np.uint32))

    def verifier(self) -> Verifier:
        return Verifier(pa.binary(WIDTH), _described, _compared, 0.7)


def _numbers(docs: Batch) -> U64:
    return np.asarray(pc.cast(docs.text.cast(pa.string()), pa.uint64()))


def _described(docs: Batch, ctx: Context) -> tuple[pa.Array, pa.Array]:
    from curate.text.arrow import from_fixed

    number = _numbers(docs)
    rest = spread(np.repeat(number, WIDTH // 8 - 2), 5).reshape(len(number), -1)
    sketch = np.column_stack([number, clusters(number), rest])
    return from_fixed(sketch), pa.nulls(len(docs), pa.binary(16))


def _compared(described: pa.Array, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    from curate.text.arrow import fixed

    said = np.ascontiguousarray(fixed(described)[:, :16]).view(np.uint64)
    same = said[first, 1] == said[second, 1]
    alike = spread(said[first, 0], said[second, 0]) < np.uint64(ALIKE * 2.0**64)
    return np.where(same & alike, 0.8 + (said[first, 0] % np.uint64(100)) / 1000, 0.1)


def write_numbers(folder: Path, documents: int) -> None:
    """JSON lines, a million to a file."""
    for start in range(0, documents, LINES_PER_FILE):
        with (folder / f"{start:09}.jsonl").open("w") as file:
            for begin in range(start, min(start + LINES_PER_FILE, documents), 50_000):
                stop = min(begin + 50_000, documents)
                file.write("".join(f'{{"id":"{i}","text":"{i}"}}\n' for i in range(begin, stop)))


def run_one(documents: int, partitions: int | None, folder: Path) -> dict[str, Any]:
    """One size, in this process."""
    import yaml

    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import load_recipe
    from curate.run.cluster import Runner
    from curate.run.engine import Engine, Settings
    from curate.run.progress import Silent
    from curate.store.files import Store

    class Clock(Silent):
        """CPU seconds of each stretch of work, and the peak of memory in it."""

        def __init__(self) -> None:
            self.spent: dict[str, float] = {}
            self.peak: dict[str, float] = {}
            self._what, self._since = "", time.process_time()

        def step(self, steps: tuple[str, ...], what: str, *sizes: int) -> None:
            now = time.process_time()
            if self._what:
                self.spent[self._what] = self.spent.get(self._what, 0) + now - self._since
                self.peak[self._what] = peak_mb() or 0.0
            Path("/proc/self/clear_refs").write_text("5")
            self._what, self._since = what, now
            if what:
                print(f"  {time.strftime('%H:%M:%S')} {what}, {sizes[1]:,} tasks", file=sys.stderr, flush=True)

    (folder / "in").mkdir()
    write_numbers(folder / "in", documents)
    steps = [
        {"id": "docs", "use": "read.jsonl", "with": {"paths": [str(folder / "in" / "*.jsonl")]}},
        {"id": "near", "use": "bench.numbers"},
    ]
    (folder / "r.yaml").write_text(yaml.safe_dump({"recipe": "duplicates", "seed": 1, "steps": steps}))
    clock, store = Clock(), Store(folder / "run")
    began, cpu = time.perf_counter(), time.process_time()
    with Runner(0) as runner:
        plan = make_plan(load_recipe(folder / "r.yaml"))
        record = Engine(plan, store, runner, clock, Settings(partitions=partitions)).run()["near"]
    clock.step((), "")
    files = [entry.size for entry in store.list("steps")]
    return {
        "documents": documents,
        "dropped": record.counts.reasons.get("near_duplicate", 0),
        "rounds": sum("round" in what and "map" in what for what in clock.spent),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "phases": {what: round(spent, 2) for what, spent in clock.spent.items()},
        "store_mb": round(sum(files) / 1e6),
        "peaks": {what: round(peak) for what, peak in clock.peak.items()},
        "peak_mb": round(max(clock.peak.values())),
    }


def main() -> None:
    """All sizes, each in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--documents", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--partitions", type=int)
    parser.add_argument("--one", action="store_true", help="this size, in this process, as JSON")
    parser.add_argument("--folder", type=Path, help="where the store lies while it runs; 1e7 documents take some 15 GB")
    given = parser.parse_args()
    if given.one:
        folder = Path(tempfile.mkdtemp(dir=given.folder))
        try:
            print(json.dumps(run_one(given.documents[0], given.partitions, folder)))
        finally:
            shutil.rmtree(folder)
        return
    rows = []
    print(f"{'documents':>12} {'dropped':>10} {'rounds':>7} {'CPU s':>8} {'us/doc':>7} {'store MB':>9} {'peak MB':>8}")
    for documents in given.documents:
        call = [sys.executable, "-m", "tests.bench.duplicates", "--one", "--documents", str(documents)]
        call += ["--partitions", str(given.partitions)] if given.partitions else []
        call += ["--folder", str(given.folder)] if given.folder else []
        done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        row = json.loads(done.stdout)
        rows.append(row)
        print(
            f"{documents:>12,} {row['dropped']:>10,} {row['rounds']:>7} {row['cpu_seconds']:>8} "
            f"{row['cpu_seconds'] / documents * 1e6:>7.0f} {row['store_mb']:>9,} {row['peak_mb']:>8,}",
            flush=True,
        )
    out = ROOT / "runs/bench/duplicates.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"bench": "duplicates", "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
