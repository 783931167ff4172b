"""The documents of a split, as far as a run wants them: a sample, or the first ones, but none of a removal list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.stages.removals import Removals
from curate.stages.source import SetAside, Source, Split
from curate.text.hashing import keyed_hash

SAMPLE_KEY: Final = 0x73616D706C65
"""The key under which --sample hashes ids: one for all recipes, so that a smaller sample lies in a larger one."""
_NO_ENTRIES: Final = pa.nulls(0, pa.string())


class Documents(NamedTuple):
    """A batch of documents, and what was left out before its end.

    Attributes:
        rows: the documents; the last batch may have none.
        aside: records that became no document.
        removed: documents that a removal list names, without those behind the last row that is wanted.
        entries: of each of them the entry that does.
    """

    rows: pa.RecordBatch
    aside: list[SetAside]
    removed: pa.RecordBatch
    entries: pa.Array


def documents(
    source: Source, split: Split, step: str, sample: float, limit: int | None, removals: Removals | None = None
) -> Iterator[Documents]:
    """A split's documents, batch by batch.

    Args:
        step: id of the source's step.
        sample: share of documents, by hash of id.
        removals: what must not be used.
        limit: at most so many of them. What was set aside behind the last one was not read, however the input is cut.
    """
    left = limit
    nothing = pa.RecordBatch.from_pylist([], schema=source.documents_schema(step))
    nobody = nothing, _NO_ENTRIES
    aside: list[SetAside] = []
    for item in source.read(split, step):
        if isinstance(item, SetAside):
            aside.append(item)
            continue
        rows, place = _sampled(item, sample)
        if removals is None and left is None:
            yield Documents(rows, aside, *nobody)
            aside = []
            continue
        named = removals.named(rows) if removals is not None else pa.nulls(len(place), pa.string())
        stays = np.flatnonzero(np.asarray(named.is_null()))
        goes = np.flatnonzero(np.asarray(named.is_valid()))
        if left is not None and len(stays) >= left:
            stays = stays[:left]
            goes = goes[goes < stays[-1]]
            aside = [a for a in aside if a.after <= place[stays[-1]]]
        if left is not None:
            left -= len(stays)
        kept = rows if len(stays) == rows.num_rows else rows.take(pa.array(stays))
        yield Documents(kept, aside, rows.take(pa.array(goes)), named.take(pa.array(goes)))
        aside = []
        if left == 0:
            return
    yield Documents(nothing, aside, *nobody)


def _sampled(rows: pa.RecordBatch, share: float) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
    """The rows that belong to the sample, and their places in the batch."""
    if share >= 1:
        return rows, np.arange(rows.num_rows)
    bound = np.uint64(min(int(share * 2.0**64), 2**64 - 1))
    chosen = keyed_hash(rows.column("id"), SAMPLE_KEY) < bound
    return rows.filter(pa.array(chosen)), np.flatnonzero(chosen)
