"""Sorted runs merged into one order, some rows at a time: for reduces whose memory must not grow with the rows that share a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from curate.run.exchange import sort_rows
from curate.run.pieces import Opened, Piece
from curate.stages.base import KEY, PART, ROW
from curate.store.files import Store

ROWS_HELD: Final = 4096
"""Rows of each run that are held at least, while it has more: those of a batch. With fewer, most of what is sorted would be
sorted again."""
_RUN: Final = "_run"


def merged(
    store: Store,
    pieces: Sequence[Piece],
    by: tuple[str, ...],
    held: int = ROWS_HELD,
    keys: tuple[int, int] = (0, 1 << 64),
) -> Iterator[pa.Table]:
    """The rows of pieces that are each sorted by (KEY, *by), in that order, those with keys from the first of ``keys`` to
    before the second, in tables that are not empty; of each piece about 2 * ``held`` are in memory.

    Rows that are alike in all of these come in the order of PART and ROW, where they have such columns, and of the pieces.
    """
    with Opened(store) as opened:
        left = [iter(range(piece.first, piece.first + piece.count)) for piece in pieces]
        there = np.zeros(len(pieces), np.int64)
        more = np.ones(len(pieces), bool)
        rest: pa.Table | None = None
        while more.any() or (rest is not None and rest.num_rows):
            tables = [] if rest is None else [rest]
            for run in np.flatnonzero(more & (there < held)).tolist():
                while more[run] and there[run] < held:
                    number = next(left[run], None)
                    if number is None:
                        more[run] = False
                        break
                    batch = between(opened.batch(pieces[run].file, number), *keys)
                    tables.append(_numbered(batch, run))
                    there[run] += batch.num_rows
            if not tables:
                return
            last = [name for name in (PART, ROW) if name in tables[0].schema.names]
            rows = sort_rows(pa.concat_tables(tables).combine_chunks(), (*by, *last, _RUN))
            runs = rows.column(_RUN).to_numpy()
            cut = _known(runs, more)
            if cut:  # nothing is left where a run turns out to have ended with the rows given before
                yield rows.slice(0, cut).drop_columns([_RUN]).combine_chunks()
            rest = rows.slice(cut)
            there -= np.bincount(runs[:cut], minlength=len(pieces))


def between(batch: pa.RecordBatch, begin: int, end: int) -> pa.RecordBatch:
    """Rows of a sorted batch with keys in [begin, end), as a copy: a slice would keep all of the batch in memory."""
    keys = batch.column(KEY).to_numpy()
    first = int(np.searchsorted(keys, np.uint64(begin)))
    last = len(keys) if end >= 1 << 64 else int(np.searchsorted(keys, np.uint64(end)))
    return batch if last - first == len(keys) else batch.take(pa.array(np.arange(first, last)))


def _numbered(batch: pa.RecordBatch, run: int) -> pa.Table:
    return pa.Table.from_batches([batch]).append_column(_RUN, pa.repeat(pa.scalar(run, pa.uint32()), batch.num_rows))


def _known(runs: np.ndarray, more: np.ndarray) -> int:
    """How many of some sorted rows no row can come before that is still to be read: up to the first run's last one."""
    last = np.full(len(more), len(runs), np.int64)
    last[runs] = np.arange(len(runs))  # of repeated indices the last value stays
    return int(min(last[more].min() + 1, len(runs))) if more.any() else len(runs)
