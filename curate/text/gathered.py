# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Rows of a table in another order: long values (texts, lists of numbers) are copied once, from whatever chunks they lie in.

Arrow puts the chunks of a column together before it takes rows of it, and takes lists value by value.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.swar import copy

__all__ = ["gathered"]

_LONG: Final = 64
"""Bytes of an average value from which on finding its chunk costs less than another copy of it."""


@njit(nogil=True, cache=True)
def _copied(data, offsets, rows, to, width, out):
    """Values ``rows`` of one chunk, each to its byte of ``out``; ``width`` are the bytes that an offset counts."""
    for i in range(len(rows)):
        begin = offsets[rows[i]]
        copy(out, to[i], data, begin * width, (offsets[rows[i] + 1] - begin) * width)


def gathered(table: pa.Table, at: npt.NDArray[np.int64]) -> pa.Table:
    """Rows ``at`` (int64[m], any of them, any number of times) of a table, each column one chunk."""
    taken = pa.array(at)
    columns = [_long(column, at) if _is_long(column) else column.take(taken) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _width(kind: pa.DataType) -> int:
    """Bytes that an offset of such values counts; 0 for what is left to Arrow."""
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return 1
    if pa.types.is_large_list(kind) and pa.types.is_primitive(kind.value_type) and kind.value_type.bit_width >= 8:
        return int(kind.value_type.bit_width) // 8
    return 0


def _is_long(column: pa.ChunkedArray) -> bool:
    width = _width(column.type)
    if not width or column.nbytes < _LONG * max(1, len(column)):
        return False
    return width == 1 or not any(chunk.values.null_count for chunk in column.chunks)


def _long(column: pa.ChunkedArray, at: npt.NDArray[np.int64]) -> pa.Array:
    width = _width(column.type)
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    offsets = [np.frombuffer(c.buffers()[1], np.int64, len(c) + 1, 8 * c.offset) for c in chunks]
    there = np.asarray(column.is_valid()) if column.null_count else None
    sizes = np.concatenate([np.diff(each) for each in offsets])
    if there is not None:
        sizes[~there] = 0
    ends = np.zeros(len(at) + 1, np.int64)
    np.cumsum(sizes[at], out=ends[1:])
    out = np.empty(int(ends[-1]) * width, np.uint8)
    # The rows of each chunk, wherever they go.
    order = np.argsort(at, kind="stable")
    begins = np.cumsum([0, *map(len, chunks)])
    cuts = np.searchsorted(at[order], begins)
    for i, (chunk, each) in enumerate(zip(chunks, offsets, strict=True)):
        here = order[cuts[i] : cuts[i + 1]]
        here = here if there is None else here[there[at[here]]]
        _copied(_bytes(chunk, width), each, at[here] - begins[i], ends[here] * width, width, out)
    valid = None if there is None else pa.array(there[at]).buffers()[1]
    buffers, rows, nulls = [valid, pa.py_buffer(ends)], len(at), 0 if there is None else -1
    if pa.types.is_large_list(column.type):
        values = pa.Array.from_buffers(column.type.value_type, int(ends[-1]), [None, pa.py_buffer(out)])
        return pa.Array.from_buffers(column.type, rows, buffers, nulls, children=[values])
    return pa.Array.from_buffers(column.type, rows, [*buffers, pa.py_buffer(out)], nulls)


def _bytes(chunk: pa.Array, width: int) -> npt.NDArray[np.uint8]:
    """Those that a chunk's offsets count from."""
    values = chunk.values if pa.types.is_large_list(chunk.type) else chunk
    data = values.buffers()[-1]
    if data is None:
        return np.zeros(0, np.uint8)
    return np.frombuffer(data, np.uint8)[(values.offset * width if values is not chunk else 0) :]
