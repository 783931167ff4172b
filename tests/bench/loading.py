"""The loader: tokens a second from maps that are in memory, and how long the first batch of many shards takes.

* ``loader``: batches of 512 sequences of 2,048 uint16 tokens in a random order, one core, against ``datasets`` asked for the same
  rows as torch's DataLoader asks (a batch's indices at once, rows stacked).
* ``loader copies``: the same against one copy of as many bytes that lie in order: what memory gives at most.
* ``loader tensors``: int64 tensors with labels, against torch's DataLoader over ``datasets``; where torch is installed (make torch).
* ``order``: positions to rows of a permutation of a billion.
* ``first-batch 1000``: a dataset of 1,000 shards opened by a new process, to its first batch of 512 from all over; ``startup_s`` is
  with the imports. ``walked``: with a column of lists, where each shard's batches have to be gone through.
* ``random rows (datasets)``: rows of text that write.text wrote, one by one, against pyarrow.

Sizes: BENCH_TOKENS (millions, 512).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.load import Loader, TokenDataset
from curate.load.order import permuted
from curate.stages.hf_dataset import dataset_files, stream_writer
from tests.bench.measure import ROOT, Row, counted

SEQUENCE, BATCH, PER = 2048, 512, 64


def write(folder: Path, shards: int, rows: int, *, lists: bool = False) -> Path:
    """A dataset as write.tokens publishes it; the digests in it are made up."""
    random = np.random.default_rng(1)
    said: list[dict[str, Any]] = []
    for number in range(shards):
        ids = random.integers(0, 50_000, (rows, SEQUENCE), np.uint16)
        columns = {"input_ids": pa.FixedSizeListArray.from_arrays(ids.ravel(), SEQUENCE)}
        if lists:
            columns["segments"] = pa.array([[i + 1, SEQUENCE - i - 1] for i in range(rows)], pa.list_(pa.int32()))
        table = pa.table(columns)
        name = f"data-{number:05d}-of-{shards:05d}.arrow"
        with stream_writer(folder / name, table.schema) as out:
            out.write_table(table, max_chunksize=PER)
        size = (folder / name).stat().st_size
        said.append({"name": name, "sha256": f"{number:064x}", "size": size, "rows": rows, "tokens": rows * SEQUENCE})
    for name, data in dataset_files(said).items():
        (folder / name).write_bytes(data)
    (folder / "shards.json").write_text(json.dumps({"format": "curate.tokens/1", "shards": said}))
    return folder


def speed(folder: Path) -> Iterator[Row]:
    """Tokens a second over all of a dataset, against ``datasets`` and against memory."""
    import datasets

    rows = int(float(os.environ.get("BENCH_TOKENS", "512")) * 1e6) // SEQUENCE // 8
    data = TokenDataset(write(folder, 8, rows))
    steps = len(data) // BATCH
    data[:]  # into memory

    def ours(steps: int = steps) -> None:
        for _ in islice(Loader(data, batch=BATCH, seed=1), steps):
            pass

    theirs = datasets.load_from_disk(str(folder)).with_format("numpy")
    order = np.random.default_rng(1).permutation(len(data))
    few = max(1, steps // 32)

    def by_datasets() -> None:
        for step in range(few):
            found = theirs.__getitems__(order[step * BATCH : (step + 1) * BATCH].tolist())
            np.stack([row["input_ids"] for row in found])

    source, target = np.ones(BATCH * SEQUENCE * 16, np.uint16), np.empty(BATCH * SEQUENCE * 16, np.uint16)

    def copies() -> None:
        for _ in range(max(1, steps // 16)):
            np.copyto(target, source)

    tokens = steps * BATCH * SEQUENCE
    yield counted("loader", tokens, ours, ("datasets, as a DataLoader reads", few * BATCH * SEQUENCE, by_datasets))
    yield counted("loader copies", tokens, ours, ("one copy in order", max(1, steps // 16) * len(source), copies))
    if find_spec("torch"):
        yield _tensors(data, folder, steps)
    positions = np.arange(1_000_000)
    yield counted("order", len(positions), lambda: permuted(positions, 1_000_000_000, 1, 0))


def _tensors(data: TokenDataset, folder: Path, steps: int) -> Row:
    import datasets
    from torch.utils.data import DataLoader

    from curate.load.torch import TensorLoader

    def ours() -> None:
        for _ in islice(TensorLoader(data, batch=BATCH, seed=1), steps):
            pass

    few = max(1, steps // 32)

    def by_torch() -> None:
        theirs = datasets.load_from_disk(str(folder)).with_format("torch")
        for _ in islice(DataLoader(theirs, batch_size=BATCH, shuffle=True), few):
            pass

    size = BATCH * SEQUENCE
    return counted("loader tensors", steps * size, ours, ("datasets and DataLoader", few * size, by_torch))


_FIRST = """
import json, sys, time
start = time.perf_counter()
from curate.load import Loader
loaded = time.perf_counter()
loader = Loader(sys.argv[1], batch=512, seed=3)
next(loader)
end = time.perf_counter()
peak = next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM"))
print(json.dumps([end - loaded, end - start, peak / 1024, int(loader.dataset._index.known.sum())]))
"""


def first_batch(folder: Path, name: str, *, lists: bool) -> Row:
    """Seconds of new processes, each of which opens 1,000 shards for one batch."""
    write(folder, 1000, 2 * PER, lists=lists)
    runs = []
    for _ in range(4):  # the first one compiles
        argv = [sys.executable, "-c", _FIRST, str(folder)]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True, text=True)
        runs.append(json.loads(done.stdout))
    taken = sorted(runs[1:])[1]
    row: Row = {
        "name": name,
        "cores": 1,
        "clock": "wall",
        "seconds": [r[0] for r in runs],
        "peak_rss_mb": round(taken[2], 1),
    }
    return row | {"startup_s": taken[1], "open_s": taken[0], "shards_opened": taken[3]}


def loading() -> Iterator[Row]:
    """All of it but the rows of text."""
    with tempfile.TemporaryDirectory() as folder:
        yield from speed(Path(folder))
    for name, lists in (("first-batch 1000", False), ("first-batch 1000 walked", True)):
        with tempfile.TemporaryDirectory() as folder:
            yield first_batch(Path(folder), name, lists=lists)
