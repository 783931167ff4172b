"""The documents of a split, as far as a run wants them: a sample, or the first ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import schema
from curate.stages.source import SetAside, Source, Split
from curate.text.hashing import keyed_hash

SAMPLE_KEY: Final = 0x73616D706C65
"""The key under which --sample hashes ids: one for all recipes, so that a smaller sample lies in a larger one."""


def documents(
    source: Source, split: Split, step: str, sample: float, limit: int | None
) -> Iterator[tuple[pa.RecordBatch, list[SetAside]]]:
    """Batches of documents, each with the records that were set aside before its end; the last one may have no row.

    Args:
        step: id of the source's step.
        sample: share of documents, by hash of id.
        limit: at most so many of them. What was set aside behind the last one was not read, however the input is cut.
    """
    left = limit
    aside: list[SetAside] = []
    for item in source.read(split, step):
        if isinstance(item, SetAside):
            aside.append(item)
            continue
        rows, place = _sampled(item, sample)
        if left is not None and len(place) >= left:
            rows, aside = rows.slice(0, left), [a for a in aside if a.after <= place[left - 1]]
        if left is not None:
            left -= rows.num_rows
        yield rows, aside
        aside = []
        if left == 0:
            return
    yield pa.RecordBatch.from_pylist([], schema=schema.DOCUMENT), aside


def _sampled(rows: pa.RecordBatch, share: float) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
    """The rows that belong to the sample, and their places in the batch."""
    if share >= 1:
        return rows, np.arange(rows.num_rows)
    bound = np.uint64(min(int(share * 2.0**64), 2**64 - 1))
    chosen = keyed_hash(rows.column("id"), SAMPLE_KEY) < bound
    return rows.filter(pa.array(chosen)), np.flatnonzero(chosen)
