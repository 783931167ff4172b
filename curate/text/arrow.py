"""Arrow arrays as plain numpy buffers, so that kernels walk a batch without one Python object per row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Bytes", "Offsets", "buffers", "columns", "fixed", "from_fixed", "from_text", "padded"]

Offsets = npt.NDArray[np.int64]
"""int64[n + 1]: row ``i`` is ``data[offsets[i]:offsets[i + 1]]``; need not begin at 0 (slices)."""
Bytes = npt.NDArray[np.uint8]
"""uint8[:]: the text of all rows, one after another."""


def _frozen(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    # One numba specialisation for every caller: Arrow memory is read-only or not by where it came from.
    array.flags.writeable = False
    return array


def buffers(array: pa.Array | pa.ChunkedArray) -> tuple[Offsets, Bytes]:
    """Offsets int64[n + 1] and bytes of a text array; nulls read as empty rows.

    Zero copy for a large_string or large_binary array without nulls, sliced or not; ``string`` is widened,
    several chunks are joined. Both results are read-only views that keep Arrow's memory alive.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # no chunk at all, in older pyarrow
            array = pa.array([], array.type)
    if pa.types.is_string(array.type):
        array = array.cast(pa.large_string())
    elif pa.types.is_binary(array.type):
        array = array.cast(pa.large_binary())
    if array.null_count:
        array = pc.fill_null(array, "" if pa.types.is_large_string(array.type) else b"")
    _, ends, data = array.buffers()
    rows = len(array)
    if ends is None or ends.size < 8 * (array.offset + rows + 1):
        offsets = np.zeros(rows + 1, np.int64)
    else:
        offsets = np.frombuffer(ends, np.int64, rows + 1, 8 * array.offset)
    view = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    return _frozen(offsets), _frozen(view)  # type: ignore[return-value]


def columns(counts: npt.NDArray[np.int64], names: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
    """The first columns of int64[n, k] by name, each contiguous."""
    return {name: np.ascontiguousarray(counts[:, i]) for i, name in enumerate(names)}


def padded(offsets: Offsets, data: Bytes, room: int) -> tuple[Offsets, Bytes]:
    """Offsets from 0 and a copy of their bytes with ``room`` zeros behind it, for kernels that read (or write) ahead."""
    size = int(offsets[-1] - offsets[0])
    copied = np.empty(size + room, np.uint8)
    copied[:size] = data[offsets[0] : offsets[-1]]
    copied[size:] = 0
    return offsets - offsets[0], copied


def from_text(offsets: Offsets, data: Bytes) -> pa.LargeStringArray:
    """A large_string array over int64[n + 1] offsets that begin at 0 and their bytes, without a copy."""
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def fixed(array: pa.Array | pa.ChunkedArray) -> Bytes:
    """Rows of a fixed_size_binary array as uint8[n, width], zero copy; null rows read as zeros."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.array([], array.type)
    width = array.type.byte_width
    if array.null_count:
        array = pc.fill_null(array, pa.scalar(bytes(width), array.type))
    data = array.buffers()[1]
    if data is None or not len(array):
        return np.zeros((0, width), np.uint8)
    flat = np.frombuffer(data, np.uint8, len(array) * width, array.offset * width)
    return _frozen(flat.reshape(len(array), width))  # type: ignore[return-value]


def from_fixed(rows: npt.NDArray[np.generic]) -> pa.FixedSizeBinaryArray:
    """A fixed_size_binary array from a C-contiguous [n, k] array: each row's bytes become one value."""
    rows = np.ascontiguousarray(rows)
    width = rows.shape[1] * rows.itemsize
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(rows)])
