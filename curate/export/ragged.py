"""Rows of several columns as bytes: the values of each row end to end, without a loop over rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["as_bytes", "cut_by_size", "joined", "lengths_of", "row_sizes", "shorter"]

Lengths = npt.NDArray[np.int64]


def lengths_of(rows: pa.Array) -> Lengths:
    """Values in each row of a list column; 0 for a null."""
    if pa.types.is_fixed_size_list(rows.type):
        return np.where(_valid(rows), rows.type.list_size, 0).astype(np.int64)
    return pc.fill_null(pc.list_value_length(rows), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def as_bytes(rows: pa.Array) -> pa.LargeBinaryArray:
    """Each row's values as little-endian bytes: of a list of numbers, a number, or a text. A null is empty."""
    kind = rows.type
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return pc.fill_null(rows.cast(pa.large_binary()), b"")
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return pc.fill_null(rows.cast(pa.binary()).cast(pa.large_binary()), b"")
    if pa.types.is_boolean(kind):
        rows = rows.cast(pa.uint8())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths, values = lengths_of(rows), rows.flatten()
    else:
        lengths, values = _valid(rows).astype(np.int64), rows.drop_null()
    values = values.cast(pa.uint8()) if pa.types.is_boolean(values.type) else values
    data = values.to_numpy(zero_copy_only=False)
    return binary(data.view(np.uint8), lengths * data.itemsize)


def binary(data: npt.NDArray[np.uint8], lengths: Lengths) -> pa.LargeBinaryArray:
    """Bytes as rows of so many each."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    data = np.ascontiguousarray(data)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def _valid(rows: pa.Array) -> npt.NDArray[np.bool_]:
    return rows.is_valid().to_numpy(zero_copy_only=False)


def joined(parts: Sequence[pa.LargeBinaryArray]) -> pa.LargeBinaryArray:
    """The parts of each row end to end."""
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))


def shorter(table: npt.NDArray[np.uint8], lengths: Lengths) -> pa.LargeBinaryArray:
    """The first ``lengths[i]`` bytes of row i of a table of bytes (rows by room)."""
    return binary(table[np.arange(table.shape[1]) < lengths[:, None]], lengths)


def row_sizes(rows: pa.Array) -> Lengths:
    """About how many bytes each row of a column takes; the same however rows lie in batches."""
    kind = rows.type
    if pa.types.is_null(kind):
        return np.zeros(len(rows), np.int64)
    if pa.types.is_struct(kind):
        return sum((row_sizes(part) for part in rows.flatten()), start=np.zeros(len(rows), np.int64))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = lengths_of(rows)
        if (width := _width(kind.value_type)) is not None:
            return lengths * width
        ends = np.cumsum(lengths)
        inner = np.concatenate([[0], np.cumsum(row_sizes(rows.flatten()))])
        return inner[ends] - inner[ends - lengths]
    if (width := _width(kind)) is not None:
        return np.full(len(rows), width, np.int64)
    return pc.fill_null(pc.binary_length(rows), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _width(kind: pa.DataType) -> int | None:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return None


def cut_by_size(sizes: Lengths, held: int, most: int) -> Iterator[tuple[slice, bool]]:
    """Rows of a batch as slices, each with whether a new shard begins with it.

    A shard takes rows as long as it has at most ``most`` bytes, ``held`` of them from before; a larger row has one of its
    own. Where cuts fall does not depend on how rows lie in batches.
    """
    ends = np.concatenate([[0], np.cumsum(sizes)])
    start = 0
    while start < len(sizes):
        stop = int(np.searchsorted(ends, ends[start] + most - held, side="right")) - 1
        fresh = False
        if stop <= start:
            if held:
                held, fresh = 0, True
                stop = int(np.searchsorted(ends, ends[start] + most, side="right")) - 1
            stop = max(stop, start + 1)
        yield slice(start, stop), fresh
        held += int(ends[stop] - ends[start])
        start = stop


def taken(array: Any, part: slice) -> Any:
    """A slice of an Arrow array or batch."""
    return array.slice(part.start, part.stop - part.start)
