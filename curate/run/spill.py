"""Rows of sorted batches, parted by ranges of the key on this machine's disk, so that each batch is read once.

A partition that is far larger than it should be is gone through in lots. What one map wrote of it is one small batch, with keys
from all over the partition: read for each lot, the whole partition would be read as often as it has lots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.stages.base import KEY
from curate.store.scratch import scratch
from curate.store.tables import TableWriter, open_table, table_writer

HELD_BYTES: Final = 32 << 20
"""Bytes of batches that are in memory before they are written, those of one range together."""


@contextmanager
def spilled(
    batches: Iterable[pa.RecordBatch], begins: Sequence[int], kept: Sequence[bool]
) -> Iterator[Callable[[int], pa.Table]]:
    """In the block, what gives the rows of a range by its number, in the order of the batches.

    Args:
        batches: each sorted by KEY; at least one, of one schema.
        begins: first key of each range, ascending. The last one ends with the keys.
        kept: which of the ranges are asked for.

    Raises StorageError when the scratch folder ($CURATE_SCRATCH) is full: it takes the rows as they are in memory.
    """
    left = iter(batches)
    first = next(left)
    places: list[list[int]] = [[] for _ in begins]
    with scratch() as folder:
        path = folder / "lots.arrow"
        with table_writer(path, first.schema, dense=True) as out:
            _part(out, chain((first,), left), np.array(begins, np.uint64), kept, places)
        with open_table(path, mapped=False) as reader:
            yield lambda number: pa.Table.from_batches(
                [reader.get_batch(place) for place in places[number]], first.schema
            )


def _part(
    out: TableWriter,
    batches: Iterable[pa.RecordBatch],
    begins: npt.NDArray[np.uint64],
    kept: Sequence[bool],
    places: list[list[int]],
) -> None:
    """Write the rows, and note which of the batches written are of which range."""
    held: list[list[pa.RecordBatch]] = [[] for _ in places]
    size = 0

    def flush() -> None:
        for number, slices in enumerate(held):
            if slices:
                (whole,) = pa.Table.from_batches(slices).combine_chunks().to_batches()
                places[number].append(out.batches)
                out.write(whole)
                slices.clear()

    for batch in batches:
        cuts = np.searchsorted(batch.column(KEY).to_numpy(), begins[1:]).tolist()
        for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, batch.num_rows], strict=True)):
            if begin < end and kept[number]:
                held[number].append(batch.slice(begin, end - begin))
        size += batch.nbytes  # a slice holds all of its batch
        if size >= HELD_BYTES:
            flush()
            size = 0
    flush()
