"""Which of several equal documents stays: a total order on content, never on position. No stage, used by two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import RecipeError
from curate.text.batch import Batch

RANKS: Final = ("rank_value", "rank_source", "content_hash", "id")
"""Columns that say, sorted ascending, who comes first: uint64, uint32, 16 bytes, 16 bytes; ``id`` makes it total."""


def numbers(docs: Batch, column: str) -> pa.Array:
    """A column as float64; raises RecipeError where it holds no numbers (a plan knows names, not types)."""
    values = docs.column(column)
    try:
        return values.cast(pa.float64(), safe=False)  # whole numbers above 2^53 are rounded
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise RecipeError(
            f"column '{column}' holds {values.type}, not numbers", cure="name a column of numbers"
        ) from None


def descending(values: pa.Array) -> npt.NDArray[np.uint64]:
    """uint64 keys that sort a numeric column from high to low; null and NaN come last, as the largest uint64."""
    floats = pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy(zero_copy_only=False) + 0.0
    bits = np.ascontiguousarray(floats).view(np.uint64)
    sign = np.uint64(1 << 63)
    ascending = np.where(bits & sign, ~bits, bits | sign)
    return np.where(np.isnan(floats), np.uint64(0xFFFFFFFFFFFFFFFF), ~ascending)


def ranks(docs: Batch, prefer: str | None, sources: Sequence[str]) -> dict[str, pa.Array]:
    """The columns of RANKS for a batch of documents.

    Args:
        docs: rows with the columns of schema.DOCUMENT and ``prefer``.
        prefer: numeric column; higher comes first, null last. None: no preference.
        sources: sources from most to least wanted; sources not named come after them, alike.
    """
    rows = len(docs)
    value = descending(numbers(docs, prefer)) if prefer else np.zeros(rows, np.uint64)
    place = pc.index_in(docs.column("source"), pa.array(list(sources), pa.string()))
    return {
        "rank_value": pa.array(value, pa.uint64()),
        "rank_source": pc.fill_null(place, len(sources)).cast(pa.uint32()),
        "content_hash": docs.column("content_hash"),
        "id": docs.column("id"),
    }


def details(kept: pa.Array, similarity: npt.NDArray[np.float64]) -> pa.Array:
    """JSON strings ``{"kept": "<hex id>", "similarity": s}``; s has four decimals (binary16 ids in ``kept``)."""
    from curate.text.hashing import hex_ids

    # Few distinct values: a sketch of 112 bytes has 113.
    distinct, where = np.unique(np.round(similarity, 4), return_inverse=True)
    tails = pa.array([f'", "similarity": {value}}}' for value in distinct.tolist()], pa.string())
    tail = tails.take(pa.array(where.reshape(-1), pa.int64()))
    return pc.binary_join_element_wise(pa.scalar('{"kept": "'), hex_ids(kept), tail, pa.scalar(""))
