"""Near deduplication apart from texts: documents are numbers, for ``python -m tests.bench.near_cost --numbers``.

A third of them lie in clusters of 2 to 100, and a thousandth in one, whose members share each of 14 bands with probability
0.27, as copies of Jaccard 0.85 do with their original; three quarters of the pairs that share a band are found to be
alike. So buckets, pairs, ends, sketches of 112 bytes, edges and rounds are as many as those of that many web pages.
"""

from __future__ import annotations

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


def write(folder: Path, documents: int) -> int:
    """JSON lines, a million to a file; bytes of text."""
    folder.mkdir(parents=True)
    for start in range(0, documents, LINES_PER_FILE):
        with (folder / f"{start:09}.jsonl").open("w") as file:
            for begin in range(start, min(start + LINES_PER_FILE, documents), 50_000):
                stop = min(begin + 50_000, documents)
                file.write("".join(f'{{"id":"{i}","text":"{i}"}}\n' for i in range(begin, stop)))
    return sum(len(str(i)) for i in range(documents))
