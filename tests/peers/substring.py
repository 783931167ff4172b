"""dedup.substring against a suffix array, byte for byte, on real documents: ``python -m tests.peers.substring``.

Every byte that lies in a window which began before (in keep order) has to be found, and no other. Prints speed, rows and bytes
of what is exchanged for several spreads of winnowing; exit code 1 where a byte differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.run.exchange import tables_of
from curate.run.map_inputs import named_rows
from curate.stages import dedup_substring
from curate.stages.base import DOCUMENTS, KEY, PART, ROW, Read, Span
from curate.stages.dedup_substring import DedupSubstring
from curate.text.arrow import buffers
from curate.text.batch import Batch
from tests.exchange import CONTEXT, documents
from tests.peers.environment import SAMPLES, environment, texts


def corpus(paths: list[Path], megabytes: float) -> pa.Table:
    """Documents in keep order, with addresses; about so many bytes of text from each file."""
    some: list[str] = []
    for path in paths:
        left = megabytes * 1e6
        for text in texts(path):
            left -= len(text.encode())
            if left < 0:
                break
            some.append(text)
    table = documents(list(some)).sort_by([("content_hash", "ascending"), ("id", "ascending")])
    number = pa.array(np.arange(table.num_rows), pa.uint32())
    table = table.append_column(PART, pa.array(np.zeros(table.num_rows), pa.uint32()))
    return table.append_column(ROW, number).combine_chunks()


def mapped(read: Read, batches: list[pa.RecordBatch], found: dict[str, pa.Table]) -> list[pa.Table]:
    """What one read of a phase gives."""
    if read.of != DOCUMENTS:
        return [t for b in found[read.of].combine_chunks().to_batches() for t in tables_of(read.map(Batch(b), CONTEXT))]
    if read.at is None:
        return [t for b in batches for t in tables_of(read.map(Batch(b), CONTEXT))]
    if not found[read.at].num_rows:
        return []
    naming = found[read.at].sort_by([(ROW, "ascending")]).combine_chunks()
    wanted = naming.column(ROW).to_numpy().astype(np.int64)
    chosen = [named_rows(b, naming, wanted) for b in batches]
    return [t for given in chosen if given for t in tables_of(read.map(*given, CONTEXT))]


def cuts(stage: DedupSubstring, docs: pa.Table) -> tuple[pa.Table, list[str]]:
    """The stage's cuts, and of each phase the rows and MB of its exchange."""
    batches, found, said = docs.to_batches(max_chunksize=512), {}, []
    for phase in stage.phases():
        some = [t for read in phase.reads for t in mapped(read, batches, found) if t.num_rows]
        if not some:
            found[phase.name] = pa.table({})
            continue
        rows = pa.concat_tables(some)
        order = [(name, "ascending") for name in dict.fromkeys((KEY, *phase.sort_by))]
        rows = rows.take(pc.sort_indices(rows, order)).combine_chunks()
        given = iter([rows]) if phase.streamed else rows
        reduced = list(tables_of(phase.reduce(given, Span(0, rows.num_rows), CONTEXT)))
        found[phase.name] = pa.concat_tables(reduced) if reduced else pa.table({})
        said.append(f"{phase.name} {rows.num_rows:,} ({rows.nbytes / 1e6:.1f} MB)")
    return found["cuts"], said


def marks(rows: pa.Table, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether each byte of all texts is cut."""
    base = offsets[rows.column(ROW).to_numpy()]
    found = np.zeros(offsets[-1] + 1, np.int64)
    np.add.at(found, base + rows.column("start").to_numpy(), 1)
    np.add.at(found, base + rows.column("stop").to_numpy(), -1)
    return np.cumsum(found)[:-1] > 0


def main() -> int:
    """Compare; print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.substring", description=__doc__)
    parser.add_argument("--corpus", nargs="+", type=Path, default=SAMPLES, help="JSONL or JSONL.zst with text")
    parser.add_argument("--megabytes", type=float, default=10, help="of text, from each file")
    parser.add_argument("--least", type=int, default=800, help="bytes of a window")
    parser.add_argument("--spreads", type=float, nargs="*", default=[0.25, 0.5, 0.75], help="shares of the window")
    asked = parser.parse_args()
    docs = corpus(asked.corpus, asked.megabytes)
    offsets, data = buffers(docs.column("text"))
    offsets, data = offsets - offsets[0], data[offsets[0] : offsets[-1]]
    size = len(data) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder, "texts.npz"), Path(folder, "marks.npy")
        np.savez(given, offsets=offsets, data=data)
        script = Path(__file__).with_name("suffix_array.py")
        command = [environment("pydivsufsort"), script, str(asked.least), given, out]
        took = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        expected = np.unpackbits(np.load(out))[: len(data)].astype(bool)
    print(f"{docs.num_rows:,} documents, {size:.1f} MB; {expected.mean():.2%} of it began before")
    print(
        f"suffix array: {size / took['seconds']:.1f} MB/s, {took['peak_mb'] / size:.0f} bytes of memory for each of text"
    )
    good = True
    stage = DedupSubstring(least_bytes=asked.least)
    cuts(stage, docs.slice(0, 50))  # compiles
    for share in asked.spreads:
        dedup_substring.SPREAD = share
        start = time.process_time()
        rows, said = cuts(stage, docs)
        speed = size / (time.process_time() - start)
        found = marks(rows, offsets)
        missed, wrong = int((expected & ~found).sum()), int((found & ~expected).sum())
        good &= missed == wrong == 0
        print(f"winnowing, spread {share:g}: {speed:.0f} MB/s, {missed} bytes missed, {wrong} wrong; {', '.join(said)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
