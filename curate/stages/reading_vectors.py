"""Embeddings that come with the data: a field of each record as list<float32>."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError

COLUMN: Final = "vector"
"""Short name of the column, as `embed.*` call theirs."""
KIND: Final = pa.list_(pa.float32())

_EMPTY: Final = "is a list without numbers"
_NOT_FINITE: Final = "holds a null, NaN, an infinity or a number beyond float32"
_NO_LIST: Final = "is no list of numbers"


def is_vectors(kind: Any) -> bool:
    """Whether a column of this type can hold vectors: lists of numbers, of any width, of fixed length or not."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def vectors_of(column: pa.Array) -> tuple[pa.ListArray, dict[int, str]]:
    """Vectors of a column for which ``is_vectors`` holds, and what is wrong with some rows.

    Returns list<float32>, null where the row has none, and where it is wrong; and by row what of it is no vector.
    """
    there = np.asarray(column.is_valid())
    sizes = np.asarray(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)
    # Unsafe is what rounds; what lies beyond float32 becomes infinite.
    numbers = column.flatten().cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(column)), sizes)
    wrong = dict.fromkeys(np.unique(owner[~np.isfinite(numbers)]).tolist(), _NOT_FINITE)
    wrong |= dict.fromkeys(np.flatnonzero(there & (sizes == 0)).tolist(), _EMPTY)
    there[list(wrong)] = False
    return _lists(numbers[there[owner]], np.where(there, sizes, 0), there), wrong


def numbers_of(value: object) -> npt.NDArray[np.float32] | str | None:
    """A vector of parsed JSON, float32[n]; None for null; what is wrong with one that is none."""
    if value is None:
        return None
    if not isinstance(value, list) or not set(map(type, value)) <= {int, float}:
        return _NO_LIST
    if not value:
        return _EMPTY
    with np.errstate(over="ignore"):
        numbers = np.array(value, np.float32)
    return numbers if np.isfinite(numbers).all() else _NOT_FINITE


def gathered_vectors(rows: Sequence[npt.NDArray[np.float32] | None]) -> pa.ListArray:
    """Vectors of single records as list<float32>."""
    sizes = np.array([0 if row is None else len(row) for row in rows], np.int64)
    numbers = np.concatenate([np.zeros(0, np.float32), *(row for row in rows if row is not None)])
    return _lists(numbers, sizes, np.array([row is not None for row in rows], np.bool_))


def one_length(vectors: pa.ListArray, before: int | None, place: Callable[[int], str]) -> int | None:
    """How many numbers each of the vectors has; None where there is none.

    No row is set aside for another length: which one is right, a part of the data can't know.

    Args:
        before: how many those before them have, if there were any.
        place: where a row stands.

    Raises InputError for the first one that has another length than the first of all.
    """
    lengths = pc.list_value_length(vectors)
    if before is None:
        before = next(iter(lengths.drop_null()[:1].to_pylist()), None)
    other = [] if before is None else pc.indices_nonzero(pc.fill_null(pc.not_equal(lengths, before), False))
    if len(other):
        row = other[0].as_py()
        raise InputError(
            f"a vector of {lengths[row]} numbers, where those before it have {before}",
            place=place(row),
            cure="embed all records with one model",
        )
    return before


def _lists(
    numbers: npt.NDArray[np.float32], sizes: npt.NDArray[np.int64], there: npt.NDArray[np.bool_]
) -> pa.ListArray:
    ends = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(numbers, pa.float32()), mask=pa.array(~there))
