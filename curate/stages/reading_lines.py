"""Lines of plain, gz and zst files: from anywhere, with bounded memory, each with its place in the plain text.

A line belongs to the range that holds the line feed before it (the first line: to the range from 0). A range can so
be read without a look at what comes before it; the last line is read to its end, beyond the range.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final, Literal

import zstandard

from curate.errors import DamagedInputError, InputError
from curate.stages import remote
from curate.stages.reading_files import GZIP, ZSTD, is_skippable

BLOCK: Final = 1 << 20
"""Bytes of plain text handled at once; 8 MB were measured slower, and are held three times over."""
_CHUNK: Final = 1 << 17
_OVER: Final = 1 << 14
"""Bytes read at once behind a range, to find the end of its last line."""
_WINDOW: Final = 1 << 31
"""Largest zstd window: what ``zstd --long=31`` writes; the format's usual limit, 128 MiB, refuses many dumps."""

Kind = Literal["plain", "gz", "zst"]
Lines = tuple[int, list[bytes] | None]
"""Position of the first line, and consecutive lines without their line feeds; None: one line over the limit."""
LineBlock = tuple[int, bytes | None]
"""The same, the lines together, each with its line feed; the last one of a file has one, too."""


def kind_of(start: bytes) -> Kind:
    """How a file is compressed, from its first bytes."""
    if start.startswith(GZIP):
        return "gz"
    return "zst" if start.startswith(ZSTD) or is_skippable(start) else "plain"


def plain_blocks(path: str, start: int = 0, stamp: bytes = b"", stop: int | None = None) -> Iterator[bytes]:
    """Blocks of a plain file from a byte on. Of one that is read to the line that goes over ``stop`` the last blocks are
    small: what lies behind that line is another range's."""
    with remote.opened(path, stamp) as file:
        file.seek(start)
        size = BLOCK
        while True:
            if stop is not None:
                size = min(BLOCK, max(stop - start, 0) + _OVER)
            if not (block := file.read(size)):
                return
            start += len(block)
            yield block


def zst_blocks(path: str, start: int = 0, stamp: bytes = b"") -> Iterator[bytes]:
    """Blocks of the plain text of a zst file, from the frame that begins at byte ``start`` on."""
    with remote.opened(path, stamp) as file:
        file.seek(start)
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(file, read_across_frames=True)
        with closing(reader):
            try:
                while block := reader.read(BLOCK):
                    yield block
            except zstandard.ZstdError as error:
                raise _damaged(path, "zstd", file.tell(), str(error)) from None


def gz_blocks(path: str, stamp: bytes = b"") -> Iterator[bytes]:
    """Blocks of the plain text of a gz file of one or more members; zeros after the last one are padding."""
    with remote.opened(path, stamp) as file:
        member, began, data, done = zlib.decompressobj(wbits=31), False, b"", 0
        while True:
            data = data or file.read(_CHUNK)
            if not began:
                if not data:
                    return
                packed = data.lstrip(b"\0")  # no member begins with zero: padding
                done += len(data) - len(packed)
                data = packed
                if not data:
                    continue
            try:
                block = member.decompress(data, BLOCK)  # of no data: what zlib has held back
            except zlib.error as error:
                raise _damaged(path, "gzip", done, str(error)) from None
            if not (data or block or member.eof):
                raise DamagedInputError(
                    f"the file ends inside a gzip member, at byte {done}",
                    place=path,
                    cure="fetch it again; no row of a file cut short is used",
                )
            rest = member.unused_data if member.eof else member.unconsumed_tail
            done += len(data) - len(rest)
            data, began = rest, True
            if member.eof:
                member, began = zlib.decompressobj(wbits=31), False
            if block:
                yield block


def _damaged(path: str, what: str, at: int, why: str) -> InputError:
    return DamagedInputError(
        f"damaged {what} data before byte {at + 1}: {why}", place=path, cure="fetch it again; no row of it is used"
    )


def whole_lines(
    blocks: Iterable[bytes], start: int, *, first: bool, limit: int, stop: int | None = None
) -> Iterator[Lines]:
    """Lines that begin at or before ``stop``, and after ``start``, or at it when ``first``; see line_blocks."""
    for begin, block in line_blocks(blocks, start, first=first, limit=limit, stop=stop):
        yield begin, None if block is None else lines_of(block)


def lines_of(block: bytes) -> list[bytes]:
    """The lines of a block of whole ones, without their line feeds."""
    lines = block.split(b"\n")
    del lines[-1]
    return lines


def line_blocks(
    blocks: Iterable[bytes], start: int, *, first: bool, limit: int, stop: int | None = None
) -> Iterator[LineBlock]:
    """Lines that begin at or before ``stop``, and after ``start``, or at it when ``first``, many together.

    Args:
        blocks: the plain text from ``start`` on, in pieces of any size.
        start: position of the first byte of ``blocks``.
        first: whether a line begins at ``start``; else the rest of a line of another range is skipped.
        limit: a line of more bytes is not held: its place is given with None.
        stop: last position at which a line of this range may begin; None reads on to the end.
    """
    position = begin = start
    skipping = not first
    held: list[bytes] = []
    size = 0
    for block in blocks:
        here = position
        position += len(block)
        if skipping:
            feed = block.find(b"\n")
            if feed < 0:
                if stop is not None and position > stop:
                    return
                continue
            skipping, begin = False, here + feed + 1
            block = block[feed + 1 :]
        if stop is not None and begin > stop:
            return
        if not block:
            continue
        last = block.rfind(b"\n")
        if last < 0:
            held.append(block)
            size += len(block)
            if size > limit:
                yield begin, None
                held, size, skipping = [], 0, True
            continue
        after = position - (len(block) - last - 1)
        lines = b"".join([*held, memoryview(block)[: last + 1]])
        if stop is not None and after > stop + 1:
            # The last line of the range ends with the first line feed at `stop` or behind it.
            lines = lines[: lines.index(b"\n", max(stop - begin, 0)) + 1]
        yield begin, lines
        begin = after
        held = [block[last + 1 :]] if last + 1 < len(block) else []
        size = len(block) - last - 1
        if stop is not None and begin > stop:
            return
    if held and (stop is None or begin <= stop):
        yield begin, b"".join([*held, b"\n"])


def pieces(lines: Iterable[Lines], goal: int, limit: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines gathered to about ``goal`` bytes, with the position of the first.

    A piece ends with the first line that reaches the goal. A line over the limit is a piece of its own that stands
    for it: filler of ``limit + 1`` bytes, which its reader sets aside like the line itself.
    """
    began, size, held = 0, 0, list[bytes]()
    for position, found in lines:
        if found is None:
            if held:
                yield began, b"\n".join([*held, b""])
                size, held = 0, []
            yield position, b"x" * (limit + 1)
            continue
        for line in found:
            if not held:
                began = position
            held.append(line)
            size += len(line) + 1
            position += len(line) + 1
            if size >= goal:
                yield began, b"\n".join([*held, b""])
                size, held = 0, []
    if held:
        yield began, b"\n".join([*held, b""])
