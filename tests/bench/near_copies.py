"""Documents of which some are near copies of others, so many as are wanted: for the cost of finding them.

A document has ``WORDS`` words of five letters. One in five is a copy of an earlier one with one or two words replaced, so
it keeps a Jaccard similarity of 0.4 to 0.95 of word 5-grams. What is copied may be a copy itself (chains), and the
first documents are copied the most: of n documents the first has about sqrt(n) / 6 copies. Both hold at any n.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from curate.text.pairs import spread

WORDS: Final = 40
_LETTERS: Final = 5
_COPIES: Final = 5
"""One in so many."""
_CHUNK: Final = 100_000
_FILE: Final = 1_000_000
U64 = npt.NDArray[np.uint64]


def _parents(numbers: U64) -> U64:
    """The document that each one is a copy of; itself for one that is none."""
    share = spread(numbers, 1).astype(np.float64) / 2.0**64
    copied = (spread(numbers) % np.uint64(_COPIES) == 0) & (numbers > 0)
    # Of a share drawn evenly the square: low numbers are the likeliest.
    return np.where(copied, (numbers * share * share).astype(np.uint64), numbers)


def _words(numbers: U64) -> U64:
    """uint64[n, WORDS]: hashes of the words of documents."""
    parents = _parents(numbers)
    copies = np.flatnonzero(parents != numbers)
    places = np.arange(WORDS, dtype=np.uint64)
    found = spread(np.repeat(numbers, WORDS), np.tile(places, len(numbers)) + np.uint64(2)).reshape(-1, WORDS)
    if len(copies):
        own = found[copies]
        found[copies] = _words(parents[copies])
        for change in range(2):
            drawn = spread(numbers[copies], 100 + change)
            which = np.flatnonzero((change == 0) | (drawn >> np.uint64(63) == 1))
            at = (drawn[which] % np.uint64(WORDS)).astype(np.int64)
            found[copies[which], at] = own[which, at]
    return found


def texts(first: int, stop: int) -> pa.Array:
    """Documents ``first`` to ``stop``, large_string: what each one says depends on its number alone."""
    words = _words(np.arange(first, stop, dtype=np.uint64))
    letters = np.full((*words.shape, _LETTERS + 1), ord(" "), np.uint8)
    for letter in range(_LETTERS):
        letters[:, :, letter] = ord("a") + words % np.uint64(26)
        words //= np.uint64(26)
    size = WORDS * (_LETTERS + 1)
    offsets = np.arange(stop - first + 1, dtype=np.int64) * size
    return pa.Array.from_buffers(
        pa.large_string(), stop - first, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters))]
    )


def write(folder: Path, count: int) -> int:
    """``count`` documents as Parquet files; bytes of text."""
    folder.mkdir(parents=True)
    schema = pa.schema([("id", pa.string()), ("text", pa.large_string())])
    for begin in range(0, count, _FILE):
        with pq.ParquetWriter(folder / f"{begin // _FILE:03d}.parquet", schema, compression="zstd") as out:
            for first in range(begin, min(begin + _FILE, count), _CHUNK):
                stop = min(first + _CHUNK, begin + _FILE, count)
                ids = pa.array(np.arange(first, stop)).cast(pa.string())
                out.write_table(pa.table([ids, texts(first, stop)], schema=schema))
    return count * WORDS * (_LETTERS + 1)
