"""Seals: how a file of the store shows, when it is read, that it is what was written under this name.

Disks and copies change bits, cut files short and mix files up. So every file that a run reads again carries checksums
(XXH3-64, which costs less than reading the bytes), and its own name with them: a sound file in another's place is
noticed, too. Files of versions before seals have none and are read as they are.

A table's seal is a trailer behind the Arrow file, little-endian::

    schema      an IPC message
    name        UTF-8
    ranges      of each record batch, and of the footer: where it ends in the file (u64), checksum of its bytes (u64)
    counts      bytes of schema, bytes of name, number of ranges (u32 each)
    checksum    of all of the trailer before (u64)
    magic       eight bytes

The first range begins with the file, so that the ranges together are the whole Arrow file. With where batches lie and
the schema, a reader needs the trailer and the ranges that it wants, nothing else.

A JSON file's seal is its first member, ``checksum``: of the key and of all that stands behind it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import xxhash

MAGIC: Final = b"CURSEAL1"
_END: Final = struct.Struct("<IIIQ8s")
_RANGE: Final = struct.Struct("<QQ")
TAIL_BYTES: Final = 1 << 16
"""What a reader fetches of a file's end to have the trailer; longer trailers take a second fetch."""


def checksum(data: bytes | memoryview | pa.Buffer) -> int:
    """XXH3-64 of some bytes."""
    return int(xxhash.xxh3_64_intdigest(data))


class SummedFile:
    """A new file that Arrow writes to, which knows the checksum of what was written: it need not be read again."""

    closed = False

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._sum = xxhash.xxh3_64()
        self._at = 0

    def write(self, data: bytes | memoryview | pa.Buffer) -> int:
        """Append all of some bytes."""
        view = memoryview(data)
        self._sum.update(view)
        done = 0
        while done < len(view):  # the kernel takes at most 2 GiB at once
            done += self._file.write(view[done:])
        self._at += done
        return done

    def tell(self) -> int:
        """Bytes that it has."""
        return self._at

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Close it."""
        self._file.close()
        self.closed = True

    def range_sum(self) -> int:
        """``checksum`` of all that was written since this was last asked."""
        value = int(self._sum.intdigest())
        self._sum.reset()
        return value


@dataclass(frozen=True)
class TableSeal:
    """What a table's trailer says.

    Attributes:
        name: the file's name when it was written.
        ends: where the ranges end: one for each record batch, the last one for the footer.
        sums: checksums of the ranges' bytes.
    """

    schema: pa.Schema
    name: str
    ends: tuple[int, ...]
    sums: tuple[int, ...]

    def encode(self) -> bytes:
        """The trailer's bytes."""
        schema, name = self.schema.serialize().to_pybytes(), self.name.encode()
        ranges = b"".join(_RANGE.pack(*pair) for pair in zip(self.ends, self.sums, strict=True))
        counts = struct.pack("<III", len(schema), len(name), len(self.ends))
        body = schema + name + ranges + counts
        return body + struct.pack("<Q", checksum(body)) + MAGIC

    @staticmethod
    def bytes_of(tail: bytes) -> int:
        """Length of the trailer that a file's last bytes belong to; raises ValueError where there is none."""
        if len(tail) < _END.size or not tail.endswith(MAGIC):
            raise ValueError("it has no seal")
        schema, name, ranges, _, _ = _END.unpack(tail[-_END.size :])
        return int(schema + name + ranges * _RANGE.size + _END.size)

    @staticmethod
    def decode(trailer: bytes) -> TableSeal:
        """From the trailer's bytes; raises ValueError when they are not what was written."""
        schema, name, ranges, said, _ = _END.unpack(trailer[-_END.size :])
        if checksum(trailer[:-16]) != said:
            raise ValueError("its seal is damaged")
        pairs = list(_RANGE.iter_unpack(trailer[schema + name : schema + name + ranges * _RANGE.size]))
        return TableSeal(
            pa.ipc.read_schema(pa.py_buffer(trailer[:schema])),
            trailer[schema : schema + name].decode(),
            tuple(end for end, _ in pairs),
            tuple(value for _, value in pairs),
        )


_FIRST: Final = b'{\n "checksum": "'
_HEX: Final = 16


def seal_json(key: str, body: bytes) -> bytes:
    """The JSON text of an object, or of another value, with a checksum for this key as its first member.

    What is no object becomes the member ``value`` of one (so no object may have that member alone).
    """
    if body.startswith(b"{\n"):
        rest = b'",\n' + body[2:]
    elif body.startswith(b"{}"):
        rest = b'"\n}\n'
    else:
        rest = b'",\n "value": ' + body.rstrip(b"\n") + b"\n}\n"
    return _FIRST + _json_sum(key, rest) + rest


def open_json(key: str, data: bytes) -> Any:
    """The value of a sealed JSON file; raises ValueError for one that is not what was written for the key."""
    begin, end = len(_FIRST), len(_FIRST) + _HEX
    if data[:begin] != _FIRST or data[begin:end] != _json_sum(key, data[end:]):
        raise ValueError("its checksum differs")
    value = json.loads(data)
    del value["checksum"]
    return value["value"] if value.keys() == {"value"} else value


def _json_sum(key: str, rest: bytes) -> bytes:
    return b"%016x" % checksum(key.encode() + b"\n" + rest)
