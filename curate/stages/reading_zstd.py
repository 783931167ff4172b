"""The frames of a zstd file, found from headers alone (RFC 8878, section 3.1): nothing is decompressed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from curate.errors import DamagedInputError, InputError
from curate.stages import remote

_MAGIC: Final = 0xFD2FB528
_SKIPPABLE: Final = 0x184D2A50  # the low four bits are the user's
_FIELD_BYTES: Final = (0, 2, 4, 8)  # of the content size, by flag; flag 0 has 1 byte in single-segment frames
_DICTIONARY_BYTES: Final = (0, 1, 2, 4)
_RLE, _RESERVED = 1, 3


@dataclass(frozen=True)
class Frame:
    """One frame: its bytes in the file, and how many bytes it becomes; None when the frame does not say."""

    start: int
    stop: int
    content: int | None


@dataclass(frozen=True)
class _View:
    """Bytes of an open file by slices. A mapped file would count as memory, a page for every block that is looked at."""

    file: BinaryIO
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        return os.pread(self.file.fileno(), part.stop - part.start, part.start)


@dataclass(frozen=True)
class _RemoteView(_View):
    """The same of a file that is no local one: a request for a few bytes costs as much as one for a megabyte."""

    def __getitem__(self, part: slice) -> bytes:
        self.file.seek(part.start)  # within what was read ahead, this costs nothing
        return self.file.read(part.stop - part.start)


def _view(file: BinaryIO, path: str) -> _View:
    if remote.is_url(path):
        return _RemoteView(file, file.seek(0, os.SEEK_END))
    return _View(file, os.fstat(file.fileno()).st_size)


def frames(path: str, stamp: bytes = b"") -> Iterator[Frame]:
    """The frames of a file, in order. A skippable one has content 0. Touches a few bytes per block of at most 128 KiB.

    Of a remote file, all that lies between is fetched as well, block by block, and not kept: the headers name only the
    next few kilobytes each. What sources learn from frames is therefore kept (see Catalog.ranges).

    Raises InputError, with the byte, where the file is cut short, is no zstd, or needs a dictionary.
    """
    with remote.opened(path, stamp) as file:
        view = _view(file, path)
        size, start = len(view), 0
        while start < size:
            frame = _frame(view, start, path)
            if frame.stop > size:
                raise _cut_short(path, start)
            yield frame
            start = frame.stop


def _cut_short(path: str, at: int) -> InputError:
    return DamagedInputError(
        f"the file ends inside the zstd frame that begins at byte {at}",
        place=path,
        cure="fetch it again; no row of a file cut short is used",
    )


def _number(view: _View, at: int, size: int, path: str, frame: int) -> int:
    if at + size > len(view):
        raise _cut_short(path, frame)
    return int.from_bytes(view[at : at + size], "little")


def _frame(view: _View, start: int, path: str) -> Frame:
    magic = _number(view, start, 4, path, start)
    if magic & ~0xF == _SKIPPABLE:
        return Frame(start, start + 8 + _number(view, start + 4, 4, path, start), 0)
    if magic != _MAGIC:
        raise DamagedInputError(
            f"no zstd frame begins at byte {start}",
            place=path,
            cure="something was appended to the file, or it is damaged: fetch it again",
        )
    at = start + 4
    descriptor = _number(view, at, 1, path, start)
    size_flag, single, checksum = descriptor >> 6, bool(descriptor & 0x20), bool(descriptor & 0x04)
    at += 1 if single else 2  # the window descriptor
    dictionary = _DICTIONARY_BYTES[descriptor & 3]
    if dictionary and _number(view, at, dictionary, path, start):
        raise InputError(
            f"the zstd frame at byte {start} needs a dictionary",
            place=path,
            cure="decompress it with its dictionary and compress it without",
        )
    at += dictionary
    width = 1 if single and not size_flag else _FIELD_BYTES[size_flag]
    content = _number(view, at, width, path, start) + (256 if width == 2 else 0) if width else None
    at = _blocks_end(view, at + width, path, start)
    return Frame(start, at + (4 if checksum else 0), content)


def _blocks_end(view: _View, at: int, path: str, frame: int) -> int:
    while True:
        header = _number(view, at, 3, path, frame)
        kind = header >> 1 & 3
        if kind == _RESERVED:
            raise DamagedInputError(
                f"damaged zstd data at byte {at}", place=path, cure="fetch it again; no row of it is used"
            )
        at += 3 + (1 if kind == _RLE else header >> 3)
        if header & 1:
            return at
