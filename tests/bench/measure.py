"""What the benches share: a corpus, clocks, and rows of results."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from curate.stages.base import PART, ROW
from curate.stages.reading_documents import BATCH_BYTES
from curate.text.batch import Batch
from tests.exchange import CONTEXT, documents

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = [ROOT / "data/samples/web.jsonl.zst", ROOT / "data/samples/code.jsonl.zst"]
Run = Callable[[], object]
Row = dict[str, Any]
REPEATS = 5


# -- corpus ---------------------------------------------------------------------------------------------------------


def texts_of(path: Path) -> Iterator[str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
            yield from batch.column(0).drop_null().to_pylist()
        return
    import io

    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        for line in io.BufferedReader(stream if path.suffix == ".zst" else file):
            yield orjson.loads(line)["text"]


def corpus(megabytes: float, samples: list[Path] = SAMPLES, variable: str = "BENCH_CORPUS") -> list[str]:
    """Texts, ``megabytes`` in all: as much of each file, evenly drawn, in an order of its own."""
    named = os.environ.get(variable)
    files = [Path(named)] if named else samples
    texts: list[str] = []
    for file in files:
        found = list(texts_of(file))
        random.Random(7).shuffle(found)
        left = megabytes * 1e6 / len(files)
        for text in found:
            if left <= 0:
                break
            texts.append(text)
            left -= len(text.encode())
    random.Random(7).shuffle(texts)
    return texts


def size(texts: list[str]) -> float:
    """MB of UTF-8."""
    return sum(len(t.encode()) for t in texts) / 1e6


def batch(texts: list[str]) -> Batch:
    """All texts as one batch, with addresses."""
    table = documents(list(texts))
    rows = np.arange(len(texts))
    table = table.append_column(PART, pa.array(np.zeros(len(texts)), pa.uint32()))
    return Batch(table.append_column(ROW, pa.array(rows, pa.uint32())).combine_chunks().to_batches()[0])


# -- measuring ------------------------------------------------------------------------------------------------------


def peak_mb() -> float | None:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None


def seconds(run: Run, repeats: int, clock: Callable[[], float]) -> list[float]:
    """Each repeat's seconds, after one that does not count (it compiles) unless there is only one."""
    if repeats > 1:
        run()
    taken = []
    for _ in range(repeats):
        start = clock()
        run()
        taken.append(clock() - start)
    return taken


def slope(small: tuple[float, list[float]], large: tuple[float, list[float]]) -> tuple[float | None, float | None]:
    """MB/s and start-up seconds; null where noise hides the slope."""
    (mb1, times1), (mb2, times2) = small, large
    t1, t2 = statistics.median(times1), statistics.median(times2)
    if t2 - t1 <= 0.25 * t2:
        return None, None
    speed = (mb2 - mb1) / (t2 - t1)
    return speed, t2 - mb2 / speed


def case(
    name: str,
    texts: list[str],
    make: Callable[[list[str]], Run],
    reference: tuple[str, Callable[[list[str]], Run]] | None = None,
    *,
    wall: bool = False,
    repeats: int = REPEATS,
) -> Row:
    """Measure on a quarter and on all; the reference in the same way, right after."""
    clock = time.perf_counter if wall else time.process_time
    quarter = texts[: len(texts) // 4]
    sizes = size(quarter), size(texts)

    def both(build: Callable[[list[str]], Run]) -> tuple[list[float], list[float]]:
        return seconds(build(quarter), repeats, clock), seconds(build(texts), repeats, clock)

    # 5 sets the high-water mark back to what is in use now (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    small, large = both(make)
    speed, start = slope((sizes[0], small), (sizes[1], large))
    row: Row = {
        "name": name,
        "cores": 1,
        "clock": "wall" if wall else "cpu",
        "mb": round(sizes[1], 3),
        "docs": len(texts),
        "small_mb": round(sizes[0], 3),
        "small_seconds": small,
        "seconds": large,
        "mb_per_s": speed,
        "startup_s": start,
        "peak_rss_mb": peak_mb(),
    }
    if reference:
        other = both(reference[1])
        theirs = slope((sizes[0], other[0]), (sizes[1], other[1]))[0]
        row |= {
            "reference": reference[0],
            "reference_seconds": other[1],
            "reference_mb_per_s": theirs,
            "ratio": speed / theirs if speed and theirs else None,
        }
    return row


def counted(name: str, count: int, run: Run, reference: tuple[str, int, Run] | None = None) -> Row:
    """Things a second of wall time, best read as a ratio; ``run`` does ``count`` of them."""
    Path("/proc/self/clear_refs").write_text("5")
    taken = seconds(run, 3, time.perf_counter)
    row: Row = {"name": name, "cores": 1, "clock": "wall", "count": count, "seconds": taken}
    row |= {"per_s": count / statistics.median(taken), "peak_rss_mb": peak_mb()}
    if reference:
        theirs = reference[1] / statistics.median(seconds(reference[2], 3, time.perf_counter))
        row |= {"reference": reference[0], "reference_per_s": theirs, "ratio": row["per_s"] / theirs}
    return row


def on_batch(work: Callable[[Batch], object]) -> Callable[[list[str]], Run]:
    """A case over batches as large as sources read them, made before the clock starts; each repeat sees them without views."""

    def make(texts: list[str]) -> Run:
        slices = cut(batch(texts).rows)
        return lambda: [work(Batch(rows)) for rows in slices]

    return make


def cut(rows: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Slices of about BATCH_BYTES of text."""
    ends = np.cumsum(pc.binary_length(rows.column("text")).to_numpy(zero_copy_only=False))
    edges = np.unique(
        np.searchsorted(ends, np.arange(BATCH_BYTES, ends[-1] + BATCH_BYTES, BATCH_BYTES)).clip(0, len(rows))
    )
    edges = [0, *(int(e) for e in edges if 0 < e < rows.num_rows), rows.num_rows]
    return [rows.slice(a, b - a) for a, b in pairwise(edges)]


def decided(stage: Any) -> Callable[[list[str]], Run]:
    """Measure and decide."""
    return on_batch(lambda b: stage.decide(stage.measure(b, CONTEXT)))
