# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Where rows lie in an Arrow IPC stream, without reading it: from its first record batch where all are alike, else from each
batch's header.

The format is https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format: messages of 0xFFFFFFFF, the size of
their metadata (int32), metadata (a flatbuffer ``Message``, see format/Message.fbs) and a body. A batch's metadata says where
in the body each buffer lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.errors import DamagedInputError, InputError

__all__ = ["Column", "Layout", "Schema", "layout", "message_size", "read_schema"]

Bytes = npt.NDArray[np.uint8]
_RECORD_BATCH: Final = 3
_CUT, _PACKED, _NULLS, _SHORT = 1, 2, 3, 4
_WHY: Final = {
    _CUT: ("no Arrow IPC stream, or one that is cut short", "copy it again"),
    _PACKED: ("its batches are compressed, which can't be mapped", "write it without compression"),
    _NULLS: ("a column of tokens has nulls", "fill them where the dataset is written"),
    _SHORT: ("a batch has fewer values than its rows need", "copy it again"),
}
_AT_ONCE: Final = 4096


# -- columns


@dataclass(frozen=True)
class Column:
    """A column that can be read.

    Attributes:
        dtype: of its values.
        length: values in each row; 1 for a plain number, None where rows differ (a list).
        plain: a number and no list.
        tracks: its first track; a list has two, offsets and values.
        offset: bytes of an offset of a list, 4 or 8.
    """

    name: str
    dtype: np.dtype[np.generic]
    length: int | None
    plain: bool
    tracks: int
    offset: int = 0

    @property
    def width(self) -> int:
        """Bytes of a row; 0 where rows differ."""
        return (self.length or 0) * self.dtype.itemsize


@dataclass(frozen=True)
class Schema:
    """What is read of a stream: a *track* is a buffer of each batch.

    Attributes:
        columns: by name; columns of other types (text) are left out.
        buffers: int64[tracks], which of a batch's buffers.
        widths: int64[tracks], bytes from row to row; 0 for the values of lists.
        nodes: which of a batch's arrays must be without nulls.
        even: all batches of as many rows are alike, for no column has rows of different sizes.
        size: bytes of the schema's own message.
    """

    columns: dict[str, Column]
    buffers: npt.NDArray[np.int64]
    widths: npt.NDArray[np.int64]
    nodes: npt.NDArray[np.int64]
    even: bool
    size: int


def _nodes(kind: pa.DataType) -> int:
    """Arrays that a column is made of: itself and its children."""
    if pa.types.is_dictionary(kind):
        return 1
    return 1 + sum(_nodes(kind.field(i).type) for i in range(kind.num_fields))


def _number(kind: pa.DataType) -> np.dtype[np.generic] | None:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype())
    return None


def _even(kind: pa.DataType) -> bool:
    if pa.types.is_fixed_size_list(kind) or pa.types.is_struct(kind):
        return all(_even(kind.field(i).type) for i in range(kind.num_fields))
    return _number(kind) is not None or pa.types.is_fixed_size_binary(kind) or pa.types.is_boolean(kind)


def message_size(data: Bytes) -> int:
    """Bytes of a stream's first message, its schema, as far as they are there."""
    return min(len(data), 8 + int.from_bytes(data[4:8].tobytes(), "little"))


def read_schema(data: Bytes, place: str) -> Schema:
    """What can be read of a stream (its bytes, uint8); raises InputError where it is none."""
    try:
        found = pa.ipc.open_stream(pa.py_buffer(data)).schema
        if bytes(data[:4]) != b"\xff\xff\xff\xff":
            raise pa.ArrowInvalid("a stream of before Arrow 0.15")
    except (pa.ArrowException, OSError):
        raise _error(_CUT, place) from None
    columns: dict[str, Column] = {}
    tracks: list[tuple[int, int]] = []
    nodes: list[int] = []
    buffer = node = 0
    for field in found:
        kind = field.type
        listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        inner = kind.value_type if listed or pa.types.is_fixed_size_list(kind) else kind
        dtype = _number(inner)
        if dtype is not None and listed:
            wide = 8 if pa.types.is_large_list(kind) else 4
            columns[field.name] = Column(field.name, dtype, None, False, len(tracks), wide)
            tracks += [(buffer + 1, wide), (buffer + 3, 0)]
            nodes.append(node + 1)  # a null list reads as an empty one, a null in it as nothing
        elif dtype is not None:
            plain = inner is kind
            length = 1 if plain else kind.list_size
            columns[field.name] = Column(field.name, dtype, length, plain, len(tracks))
            tracks.append((buffer + (1 if plain else 2), length * dtype.itemsize))
            nodes += [node] if plain else [node, node + 1]
        node += _nodes(kind)
        buffer += len(pa.nulls(0, kind).buffers())
    wanted = np.array(tracks, np.int64).reshape(-1, 2)
    return Schema(
        columns,
        np.ascontiguousarray(wanted[:, 0]),
        np.ascontiguousarray(wanted[:, 1]),
        np.array(nodes, np.int64),
        all(_even(f.type) for f in found),
        message_size(data),
    )


def _error(code: int, place: str) -> InputError:
    cause, cure = _WHY[code]
    return (DamagedInputError if code in (_CUT, _SHORT) else InputError)(cause, place=place, cure=cure)


# -- batches


@njit(nogil=True, cache=True)
def _read(data, at, size):
    """A little-endian number of so many bytes as int64; 0 outside of the data, where no number that is read may be 0."""
    value = np.int64(0)
    if 0 <= at <= len(data) - size:
        for i in range(size):
            value |= np.int64(data[at + i]) << np.int64(8 * i)
    return value


@njit(nogil=True, cache=True)
def _field(data, table, number):
    """Where a field of a flatbuffer's table lies; 0 where it has its default."""
    back = _read(data, table, 4)
    vtable = table - (back - ((back >> 31) << 32))
    entry = 4 + 2 * number
    if entry + 2 > _read(data, vtable, 2):
        return np.int64(0)
    offset = _read(data, vtable + entry, 2)
    return table + offset if offset else np.int64(0)


@njit(nogil=True, cache=True)
def _batch(data, table, body, stop, buffers, widths, nodes, places):
    """(rows, 0 or what is wrong) of a RecordBatch whose body is ``data[body:stop]``; where its tracks begin to ``places``."""
    rows = _read(data, _field(data, table, 0), 8) if _field(data, table, 0) else np.int64(0)
    if _field(data, table, 3):
        return rows, _PACKED
    at_nodes, at_buffers = _field(data, table, 1), _field(data, table, 2)
    if not at_nodes or not at_buffers:
        return rows, _CUT if len(buffers) else 0
    at_nodes += _read(data, at_nodes, 4)
    at_buffers += _read(data, at_buffers, 4)
    for node in nodes:
        if _read(data, at_nodes + 4 + 16 * node + 8, 8):
            return rows, _NULLS
    for i in range(len(buffers)):
        if buffers[i] >= _read(data, at_buffers, 4):
            return rows, _CUT
        at = at_buffers + 4 + 16 * buffers[i]
        begin, size = body + _read(data, at, 8), _read(data, at + 8, 8)
        if begin < body or size < 0 or begin > stop - size:
            return rows, _CUT
        if rows < 0 or size // max(widths[i], 1) < rows * (widths[i] > 0):
            return rows, _SHORT
        places[i] = begin
    return rows, 0


@njit(nogil=True, cache=True)
def _walk(data, at, buffers, widths, nodes, rows, places, heads):
    """Go through messages from byte ``at`` on until the stream or the room ends.

    Fills rows int64[k], places int64[k, tracks] and heads int64[k] (where each batch's message begins) and gives (batches, where
    the next message begins, 0 or what is wrong).
    """
    count = 0
    while count < len(rows):
        if at == len(data):
            return count, at, 0
        size = _read(data, at + 4, 4)
        if at > len(data) - 8 or _read(data, at, 4) != 0xFFFFFFFF:
            return count, at, _CUT
        if size == 0:
            return count, len(data), 0
        body = at + 8 + size
        if size < 0 or body > len(data):
            return count, at, _CUT
        message = at + 8 + _read(data, at + 8, 4)
        length = _field(data, message, 3)
        stop = body + (_read(data, length, 8) if length else 0)
        if stop < body or stop > len(data):
            return count, at, _CUT
        kind, header = _field(data, message, 1), _field(data, message, 2)
        if kind and header and _read(data, kind, 1) == _RECORD_BATCH:
            table = header + _read(data, header, 4)
            heads[count] = at
            rows[count], wrong = _batch(data, table, body, stop, buffers, widths, nodes, places[count])
            if wrong:
                return count, at, wrong
            count += 1
        at = stop
    return count, at, 0


@dataclass(frozen=True)
class Layout:
    """Where a stream's rows lie: row r in entry ``r // per``, ``r % per * width`` bytes from where that begins on each track.

    Attributes:
        rows: of the stream.
        per: rows of an entry, those of a batch or one.
        entries: int64[entries, tracks], where each begins; where they lie alike, just those of the first entry and the last.
        stride: bytes from entry to entry but the last, where they lie alike; else 0.
    """

    rows: int
    per: int
    entries: npt.NDArray[np.int64]
    stride: int = 0


def layout(data: Bytes, schema: Schema, place: str, rows: int | None = None) -> Layout:
    """Where the rows of a stream lie, of which there are ``rows`` (None: not known).

    Raises InputError for what is no stream, is compressed, or has nulls or another number of rows.
    """
    even = _even_layout(data, schema, rows) if schema.even and rows else None
    if even is not None:
        return even
    sizes, places = _all_batches(data, schema, place)
    total = int(sizes.sum())
    if rows is not None and total != rows:
        raise DamagedInputError(f"the shard has {total:,} rows instead of {rows:,}", place=place, cure="copy it again")
    full = sizes > 0
    sizes, places = sizes[full], places[full]
    per = int(sizes[0]) if len(sizes) else 1
    if (sizes[:-1] == per).all() and (sizes[-1:] <= per).all():
        return Layout(total, per, places)
    # Batches of various sizes: an entry for each row.
    inside = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return Layout(total, 1, np.repeat(places, sizes, axis=0) + inside[:, None] * schema.widths)


def _some(data: Bytes, schema: Schema, at: int, most: int) -> tuple[Sequence[npt.NDArray[np.int64]], int, int]:
    rows, heads = np.zeros(most, np.int64), np.zeros(most, np.int64)
    places = np.zeros((most, len(schema.buffers)), np.int64)
    count, at, wrong = _walk(data, at, schema.buffers, schema.widths, schema.nodes, rows, places, heads)
    return (rows[:count], places[:count], heads[:count]), at, wrong


def _all_batches(data: Bytes, schema: Schema, place: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of each batch, and where its tracks begin."""
    found, at = [], schema.size
    while at < len(data):
        some, at, wrong = _some(data, schema, at, _AT_ONCE)
        if wrong:
            raise _error(wrong, f"{place}, byte {at}")
        found.append(some)
    if not found:
        return np.zeros(0, np.int64), np.zeros((0, len(schema.buffers)), np.int64)
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def _even_layout(data: Bytes, schema: Schema, rows: int) -> Layout | None:
    """The same from the first batch and the last ones, where they lie as equal batches do; None where they don't."""
    (sizes, places, heads), second, wrong = _some(data, schema, schema.size, 1)
    if wrong or not len(sizes) or sizes[0] < 1:
        return None
    per, first, stride = int(sizes[0]), int(heads[0]), int(second - heads[0])
    full, rest = divmod(rows, per)
    if not full:
        return None
    before = first + (full - 1) * stride
    (sizes, last, heads), end, wrong = _some(data, schema, before, 3)
    wanted = [per, rest] if rest else [per]
    if wrong or end != len(data) or sizes.tolist() != wanted or heads[0] != before:
        return None
    if (last[0] - places[0] != before - first).any():
        return None
    return Layout(rows, per, np.stack([places[0], last[-1]]), stride)
