"""A column of embeddings as a matrix, checked once where it comes in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError

Matrix = npt.NDArray[np.float32]


def matrix(column: pa.Array | pa.ChunkedArray, name: str = "vectors") -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """The vectors that are there, and which rows they belong to.

    Args:
        column: list of numbers of one length a row, best fixed_size_list<float32>; null where a row has none.
        name: the column's name, for messages.

    Returns:
        float32[m, dim], contiguous, and bool[n] with m times True; dim is 0 if no row has a vector.

    Raises InputError for a column of another type, vectors that differ in length, or a number that is not finite.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    there = np.asarray(column.is_valid())
    if not there.any():
        return np.zeros((0, 0), np.float32), there
    kind: Any = column.type
    fixed = pa.types.is_fixed_size_list(kind)
    if not (fixed or pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not _number(kind.value_type):
        raise InputError(
            f"column '{name}' holds {kind}, no vectors",
            cure="name a column that an embed.* step added, or `vector:` of a read.* step",
        )
    column = column.drop_null()
    lengths = np.unique(np.asarray(column.value_lengths()))
    if len(lengths) > 1 or not lengths[0]:
        raise InputError(f"column '{name}' holds vectors of {', '.join(map(str, lengths[:4]))} numbers")
    values = column.flatten().cast(pa.float32())
    rows = np.ascontiguousarray(values.to_numpy(zero_copy_only=False).reshape(len(column), int(lengths[0])))
    if not (finite := np.isfinite(rows).all(axis=1)).all():
        row = int(np.flatnonzero(there)[np.flatnonzero(~finite)[0]])
        raise InputError(
            f"column '{name}' holds a vector with NaN or infinite numbers, the first in row {row} of its batch",
            cure="embed those documents again, or drop them",
        )
    return rows, there


def _number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
