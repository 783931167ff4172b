"""Values of a Parquet column that are longer than a source keeps: found in their pages, before Arrow decodes them.

Arrow decodes a page as a whole, copies the entries of a dictionary, and writes them out into a column: a value of 500 MB
is there three times beside its compressed page. ``shortened`` reads the headers of a column chunk's pages, opens only
those that are large enough to hold such a value, and gives Arrow the file with stand-ins in place of these values.

A page is a header in Thrift's compact protocol (struct PageHeader of apache/parquet-format), then its body.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.store.object_file import Ranges

_LENGTH: Final = struct.Struct("<I")
_MOST_PAGE: Final = (1 << 31) - 1
_HEADERS: Final = (1 << 10, 1 << 14, 1 << 24)
"""Bytes that a header is looked for in: it may hold the smallest and largest value. Arrow reads 16 MB at most, too."""
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
"""Of enum PageType."""
_PLAIN, _PLAIN_DICTIONARY, _RLE = 0, 2, 3
"""Of enum Encoding; entries of a dictionary are plain, whichever of the first two they are said to be."""
_CODECS: Final = {"SNAPPY": "snappy", "GZIP": "gzip", "BROTLI": "brotli", "ZSTD": "zstd", "LZ4": "lz4_raw"}
_MOST_FIELDS: Final = 256
"""Of a header, nested ones counted, too: the known ones have some twenty."""
_NO_PAGES: Final = (LookupError, TypeError, ValueError, struct.error, pa.ArrowException, OSError, MemoryError)
"""What is raised where bytes are no pages that are understood here."""


def shortened(file: BinaryIO, chunk: pq.ColumnChunkMetaData, *, optional: bool, most: int, hold: bool) -> Ranges | None:
    """The file with stand-ins for the chunk's values of more than ``most`` bytes; None where there are none.

    A stand-in is longer than ``most`` bytes, too, and UTF-8 where its value is; no two are the same. Pages in encodings
    that are not known here (deltas) stay as they are, and so do all where they make no sense: what is wrong with a file
    is for Arrow to say.

    Args:
        file: open, at any place.
        chunk: a column of strings or bytes that lies in no list and no struct.
        optional: whether its values can be null.
        most: bytes. A page that has no more of them is not opened.
        hold: its bytes are read at once and kept, and there is a file wherever these lie in this one: where each read is a
            request.
    """
    source: _Source | None = None
    pieces: list[Piece] | None = None
    with suppress(*_NO_PAGES):
        source = _Source(file, chunk, hold)
        pieces = _pieces(source, chunk.num_values, _Shorter(_codec(chunk), optional, most))
    if source is None or (pieces is None and not hold):
        return None
    return Ranges(file.seek(0, io.SEEK_END), _Laid(source, pieces or []).get)


def longest_entry(file: BinaryIO, chunk: pq.ColumnChunkMetaData) -> int:
    """Bytes of the longest entry of the chunk's dictionary, each of which may stand for any number of rows; 0 where it has
    none that is understood."""
    longest = 0
    with suppress(*_NO_PAGES):
        source = _Source(file, chunk, hold=False)
        page = next(_pages(source, chunk.num_values), None)
        if page is not None and page.kind == _DICTIONARY and page.about()[2][0] in (_PLAIN, _PLAIN_DICTIONARY):
            body = _unpacked(_codec(chunk), source.read(page.body, page.stop), page.size)
            longest = max((length for _, length in _values(memoryview(body), 0)), default=0)
    return longest


def _codec(chunk: pq.ColumnChunkMetaData) -> pa.Codec | None:
    """None of what is not compressed; raises LookupError for what Arrow's codecs do not know."""
    return None if chunk.compression == "UNCOMPRESSED" else pa.Codec(_CODECS[chunk.compression])


def _unpacked(codec: pa.Codec | None, stored: bytes | memoryview, size: int) -> pa.Buffer:
    """A body. What comes behind its end is any bytes, where it is shorter than its header says: see _fills."""
    return pa.py_buffer(stored) if codec is None else codec.decompress(stored, size)


def _fills(codec: pa.Codec | None, stored: bytes | memoryview, size: int) -> bool:
    """Whether a body has as many bytes as its header says: then it does not fit where there is room for one less."""
    if codec is None or size == 0:
        return len(stored) == size
    try:
        codec.decompress(stored, size - 1)
    except (OSError, pa.ArrowInvalid):
        return True
    return False


class _Source:
    """A file by ranges, of which that of a chunk may be held. Raises ValueError for a chunk that does not lie in it."""

    def __init__(self, file: BinaryIO, chunk: pq.ColumnChunkMetaData, hold: bool) -> None:
        first, dictionary = chunk.data_page_offset, chunk.dictionary_page_offset
        self.start = dictionary if chunk.has_dictionary_page and dictionary and dictionary < first else first
        self.stop = self.start + chunk.total_compressed_size
        if not 0 <= self.start <= self.stop <= file.seek(0, io.SEEK_END):
            raise ValueError("a chunk that lies elsewhere")
        self._file = file
        self._held: memoryview | None = None
        if hold:
            self._held = memoryview(self.read(self.start, self.stop))

    def read(self, begin: int, end: int) -> bytes | memoryview:
        """Bytes from one offset to another; fewer where the file ends."""
        if self._held is not None and self.start <= begin <= end <= self.stop:
            return self._held[begin - self.start : end - self.start]
        self._file.seek(begin)
        return self._file.read(max(0, end - begin))


Piece = tuple[int, int | bytes]
"""Where a piece of the file that Arrow is given begins; its bytes, or the offset from which the real one's are taken."""


class _Laid:
    """The file with pieces laid over it."""

    def __init__(self, source: _Source, pieces: list[Piece]) -> None:
        # Each begins anew at the chunk's ends: what is held is read by itself.
        same: list[Piece] = [(at, at) for at in (0, source.start)]
        self._pieces = same + pieces + [(source.stop, source.stop)]
        self._starts = [at for at, _ in self._pieces]
        self._source = source

    def get(self, start: int, stop: int) -> bytes:
        """Its bytes from one offset to another."""
        found = []
        while start < stop:
            number = bisect_right(self._starts, start) - 1
            at, content = self._pieces[number]
            end = min([stop, *self._starts[number + 1 : number + 2]])
            if isinstance(content, bytes):
                data: bytes | memoryview = content[start - at : end - at]
            else:
                data = self._source.read(content + start - at, content + end - at)
            if len(data) != end - start:
                raise OSError("the file ends before it should")
            found.append(data)
            start = end
        return found[0] if len(found) == 1 and isinstance(found[0], bytes) else b"".join(found)


def _pieces(source: _Source, values: int, shorter: _Shorter) -> list[Piece] | None:
    """The chunk's pages as they are given to Arrow; None where none is another."""
    at, pieces, changed = source.start, list[Piece](), False
    for page in _pages(source, values):
        new = shorter.page(page, source) if page.size > shorter.most else None
        if new is not None:
            pieces.append((at, new))
            at, changed = at + len(new), True
        else:
            pieces.append((at, page.begin))
            at += page.stop - page.begin
    # Who reads the chunk stops after its last value: what lies behind, up to its end, is never looked at.
    pieces.append((at, at))
    return pieces if changed and at <= source.stop else None


# -- pages


@dataclass(frozen=True)
class _Page:
    """A page's header, and where it lies in the file.

    Attributes:
        head: the bytes of its header.
        fields: the header's fields by number: a number with its place in ``head``, a truth value, or the fields of a struct.
        begin, body, stop: where header and body begin, and the body ends.
    """

    head: bytes
    fields: dict[int, Any]
    begin: int

    @property
    def kind(self) -> int:
        return int(self.fields[1][0])

    @property
    def size(self) -> int:
        """Bytes of the body when it is decompressed."""
        return int(self.fields[2][0])

    @property
    def body(self) -> int:
        return self.begin + len(self.head)

    @property
    def stop(self) -> int:
        return self.body + int(self.fields[3][0])

    def about(self) -> dict[int, Any]:
        """What the header says of a page of its type."""
        return dict(self.fields[{_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}[self.kind]])

    def resized(self, size: int, stored: int) -> bytes:
        """The header of a body of another size, and of another size as it is stored."""
        (_, a, b), (_, c, d) = self.fields[2], self.fields[3]
        return self.head[:a] + _number(size) + self.head[b:c] + _number(stored) + self.head[d:]


def _pages(source: _Source, values: int) -> Iterator[_Page]:
    """Pages from the chunk's start until they have so many values. Raises ValueError for what is none."""
    at = source.start
    while values > 0:
        page = _page(source, at)
        if not at < page.body <= page.stop <= source.stop or page.size < 0:
            raise ValueError("a page that lies elsewhere")
        yield page
        if page.kind in (_DATA, _DATA_2):
            values -= page.about()[1][0]
        at = page.stop


def _page(source: _Source, at: int) -> _Page:
    for most in _HEADERS:
        data = bytes(source.read(at, min(at + most, source.stop)))
        header = _Compact(data)
        try:
            fields = header.struct()
        except IndexError:
            if most == _HEADERS[-1] or at + most >= source.stop:
                raise
            continue
        return _Page(data[: header.at], fields, at)
    raise AssertionError


class _Compact:
    """Thrift's compact protocol, as far as a page's header goes. Raises IndexError where the bytes end, ValueError for what is
    no header."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self._left = data, 0, _MOST_FIELDS

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Fields by number: (number, its first byte, its last + 1), True, False, the fields of a struct, or None."""
        if depth > 4:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        last = 0
        while byte := self._byte():
            self._left -= 1
            if self._left < 0:
                raise ValueError("too many fields")
            last = last + (byte >> 4) if byte >> 4 else self._signed()
            fields[last] = self._value(byte & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        start = self.at
        if kind in (1, 2):
            return kind == 1
        if kind in (4, 5, 6):
            return self._signed(), start, self.at
        if kind == 12:
            return self.struct(depth + 1)
        if kind not in (3, 7, 8):
            raise ValueError("no field of a page's header")
        length = {3: 1, 7: 8}.get(kind, 0) or self._varint()
        self.at += length
        return None

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("no number")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _number(value: int) -> bytes:
    """A number that is not negative, as the compact protocol writes it."""
    value <<= 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


# -- values


def _values(data: memoryview, at: int) -> Iterator[tuple[int, int]]:
    """Where each plain value from ``at`` on begins, and its bytes. Raises ValueError where they do not end with the data."""
    end = len(data)
    while at < end:
        length = _LENGTH.unpack_from(data, at)[0]
        at += _LENGTH.size
        if at + length > end:
            raise ValueError("a value that is longer than its page")
        yield at, length
        at += length


class _Shorter:
    """Puts stand-ins into pages."""

    def __init__(self, codec: pa.Codec | None, optional: bool, most: int) -> None:
        self._codec, self._optional, self.most, self._count = codec, optional, most, 0

    def page(self, page: _Page, source: _Source) -> bytes | None:
        """The page with stand-ins, or None where it has no long value or is not understood."""
        about, levels, packed = page.about() if page.kind != 1 else {}, 0, True
        if page.kind == _DICTIONARY:
            if about[2][0] not in (_PLAIN, _PLAIN_DICTIONARY):
                return None
        elif page.kind == _DATA:
            if about[2][0] != _PLAIN or about[3][0] != _RLE:
                return None
        elif page.kind == _DATA_2:
            if about[4][0] != _PLAIN:
                return None
            levels, packed = about[5][0] + about[6][0], about.get(7, True)
        else:
            return None
        stored = source.read(page.body, page.stop)
        if not 0 <= levels <= min(len(stored), page.size):
            raise ValueError("levels that are longer than their page")
        before, stored = bytes(stored[:levels]), memoryview(stored)[levels:]
        codec = self._codec if packed else None
        body = _unpacked(codec, stored, page.size - levels)
        first = _LENGTH.size + _LENGTH.unpack_from(body)[0] if page.kind == _DATA and self._optional else 0
        new = self._replaced(body, first)
        del body
        if new is None or levels + len(new) > _MOST_PAGE or not _fills(codec, stored, page.size - levels):
            return None
        size = levels + len(new)
        if codec is not None:
            new = codec.compress(new, asbytes=True)
        return page.resized(size, levels + len(new)) + before + new

    def _replaced(self, body: pa.Buffer, first: int) -> bytes | None:
        """The values from ``first`` on, and what comes before it, the long ones replaced; None where none is long."""
        data = memoryview(body)
        kept, done = list[bytes | memoryview](), 0
        for at, length in _values(data, first):
            if length > self.most:
                stand_in = self._stand_in(body.slice(at, length))
                kept += [data[done : at - _LENGTH.size], _LENGTH.pack(len(stand_in)), stand_in]
                done = at + length
        return b"".join([*kept, data[done:]]) if kept else None

    def _stand_in(self, value: pa.Buffer) -> bytes:
        offsets = pa.py_buffer(np.array([0, len(value)], np.int64))
        try:
            pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, value]).cast(pa.large_string())
            filler = b" "
        except pa.ArrowInvalid:
            filler = b"\xff"
        self._count += 1
        return filler * (self.most + self._count)
