"""Reading objects by ranges: as files of any library, and as tables, whose end is wanted first."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.store.objects import Objects

_READ_AHEAD: Final = 256 << 10
_TAIL: Final = 64 << 10
"""Bytes at a table's end that are fetched at once: where its batches lie stands there."""


class Ranges(io.RawIOBase):
    """A file whose bytes are asked for by ranges.

    Args:
        size: its bytes.
        get: its bytes from one offset to another, all of them.
    """

    def __init__(self, size: int, get: Callable[[int, int], Any]) -> None:
        super().__init__()
        self.size, self._get, self._at = size, get, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, into: Any) -> int:
        view = memoryview(into).cast("B")
        stop = min(self._at + len(view), self.size)
        if stop <= self._at:
            return 0
        view[: stop - self._at] = memoryview(self._get(self._at, stop)).cast("B")
        read, self._at = stop - self._at, stop
        return read

    def readall(self) -> bytes:
        return self.read(self.size - self._at) or b"" if self._at < self.size else b""


class ObjectFile:
    """An object of a store that is read by ranges: its end at once, then what is asked for, with more once it is read on.

    Who wants some batches of a table, as a partition's of what a map wrote, gets no others.
    """

    def __init__(self, objects: Objects, key: str) -> None:
        self._objects, self._key = objects, key
        self._window: tuple[int, bytes] = (0, b"")
        self._read_to = -1

    def __str__(self) -> str:
        return self._objects.name(self._key)

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self._key.rpartition("/")[2]

    @cached_property
    def size(self) -> int:
        """Its bytes; raises FileNotFoundError when it is not there."""
        return self._objects.size(self._key)

    @cached_property
    def _end(self) -> bytes:
        return self._objects.read_range(self._key, max(0, self.size - _TAIL), self.size)

    def fetch(self, begin: int, end: int) -> pa.Buffer:
        """Bytes from one offset to another, as one request at most."""
        import pyarrow as pa

        end = min(end, self.size)
        tail = self.size - len(self._end)
        if begin >= tail:
            return pa.py_buffer(self._end).slice(begin - tail, max(0, end - begin))
        start, data = self._window
        if not start <= begin <= end <= start + len(data):
            ahead = min(max(end, begin + _READ_AHEAD), self.size) if begin == self._read_to else end
            start, data = self._window = (begin, self._objects.read_range(self._key, begin, ahead))
        self._read_to = end
        return pa.py_buffer(data).slice(begin - start, end - begin)

    def open(self) -> pa.NativeFile:
        """As a file that Arrow reads from."""
        import pyarrow as pa

        return pa.PythonFile(Ranges(self.size, self.fetch), mode="r")
