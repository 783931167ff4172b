# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
r"""What Gopher's rules count in lines and paragraphs, in each engine's way; all counts are int64.

========= =============================================== ==========================================================
counting  lines                                           duplicates
========= =============================================== ==========================================================
paper     end at LF; without white space at both ends;    lines and paragraphs (lines up to a blank one) equal to an
          blank ones do not count                         earlier one
datatrove bullets, ellipses: as ``str.splitlines`` has    equal to an earlier one; lines: ``re.split("\n+")``,
          them, blank ones too                            paragraphs: ``re.split("\n{2,}")`` of the stripped text
dolma     ``str.split("\n")``, as they stand             every copy; no paragraphs
dclm      ``str.split("\n")`` without blank ones         every copy; paragraphs: ``str.split("\n\n")`` without
                                                          blank ones
========= =============================================== ==========================================================

Lines are equal when their bytes are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets, columns
from curate.text.blocks import BLOCK, before, block_masks
from curate.text.hashing import table_mask
from curate.text.massivetext import DATATROVE, DCLM, DOLMA, PAPER
from curate.text.spaces import chars, end_width, stripped
from curate.text.swar import SEED, quick_hash, same

__all__ = ["LINE_COUNTS", "line_counts"]

LINE_COUNTS: Final = (
    "lines",  # lines that could have a bullet or an ellipsis
    "bullet_lines",  # begin with • ● * or -; datatrove: • or -; dolma: * or -
    "ellipsis_lines",  # end with '...' or U+2026; dolma: U+2026; dclm: '. . .' too
    "units",  # lines that could be duplicates
    "duplicate_lines",
    "duplicate_line_chars",
    "line_chars",  # code points of ``units``
    "paragraphs",  # from the first to the last character of their lines
    "duplicate_paragraphs",
    "duplicate_paragraph_chars",
    "paragraph_chars",
)
"""Names of the columns of ``line_counts``, in order."""

_LINES: Final = 0
_BULLETS: Final = 1
_ELLIPSES: Final = 2
_UNITS: Final = 3
_PARAGRAPHS: Final = 7
_MOST: Final = 0xFFFFFFF0


@njit(nogil=True, cache=True, _nrt=False)
def _bullet(data, start, stop, counting):
    """Whether ``data[start:stop]`` begins with one of the counting's bullets."""
    if start >= stop:
        return False
    first = data[start]
    if first == 45:
        return True
    if first == 42:
        return counting != DATATROVE
    if first != 0xE2 or stop - start < 3 or counting == DOLMA:
        return False
    a, b = data[start + 1], data[start + 2]
    return (a == 0x80 and b == 0xA2) or (counting != DATATROVE and a == 0x97 and b == 0x8F)


@njit(nogil=True, cache=True, _nrt=False)
def _ellipsis(data, start, stop, counting):
    """Whether ``data[start:stop]`` ends with one of the counting's ellipses."""
    if stop - start < 3:
        return False
    last = data[stop - 1]
    if last == 0xA6:
        return data[stop - 2] == 0x80 and data[stop - 3] == 0xE2
    if last != 46 or counting == DOLMA:
        return False
    if data[stop - 2] == 46 and data[stop - 3] == 46:
        return True
    return (
        counting == DCLM
        and stop - start >= 5
        and data[stop - 2] == 32
        and data[stop - 3] == 46
        and data[stop - 4] == 32
        and data[stop - 5] == 46
    )


@njit(nogil=True, cache=True, _nrt=False)
def _looks(data, start, stop, counting, out):
    """Count a line's bullet and ellipsis."""
    out[_LINES] += 1
    out[_BULLETS] += _bullet(data, start, stop, counting)
    out[_ELLIPSES] += _ellipsis(data, start, stop, counting)


_odd_marks = block_masks(
    lambda block: block.any(
        block.among(11, 13),
        block.among(28, 30),
        block.both(block.among(0xC2, 0xC2), block.among(0x85, 0x85, 1)),
        block.both(block.among(0x80, 0x80), block.among(0xA8, 0xA9, 1)),
    )
)


@njit(nogil=True, cache=True, _nrt=False)
def _odd_ends(data, start, stop):
    """Whether a line end of ``str.splitlines`` other than LF may be there: a control sign or byte pair of one."""
    found = np.uint64(0)
    at = start
    while at < stop and at + BLOCK < len(data):
        found |= _odd_marks(data, at)[0] & before(at, stop)
        at += BLOCK
    at = max(start, at - 1)  # a pair's first byte may end the last block
    while at < stop and not found:
        found |= np.uint64(data[at] != 10 and end_width(data, at, stop) > 0)
        at += 1
    return found != 0


@njit(nogil=True, cache=True, _nrt=False)
def _split_lines(data, start, stop, ended, out):
    """Look at the lines of ``str.splitlines`` in ``data[start:stop]``, which holds no LF; ``ended``: one follows."""
    if ended and stop > start and data[stop - 1] == 13:
        stop -= 1
    begin = at = start
    while at < stop:
        width = end_width(data, at, stop)
        if width == 0:
            at += 1
            continue
        a, b = stripped(data, begin, at)
        _looks(data, a, b, DATATROVE, out)
        at += width
        begin = at
    if ended or begin < stop:
        a, b = stripped(data, begin, stop)
        _looks(data, a, b, DATATROVE, out)


@njit(nogil=True, cache=True, _nrt=False)
def _raw_line(data, base, stop, starts, i):
    """Line ``i`` as a split at LF has it."""
    if i >= len(starts):
        return stop, stop
    if i + 1 < len(starts):
        return base + starts[i], base + starts[i + 1] - 1
    return base + starts[i], stop - 1 if data[stop - 1] == 10 else stop


@njit(nogil=True, cache=True, _nrt=False)
def _paper(data, base, stop, starts, lines, paragraphs):
    """Spans of a row's lines and paragraphs as the paper has them: how many of each."""
    held = parts = 0
    begin = end = np.int64(-1)
    for i in range(len(starts)):
        a, b = _raw_line(data, base, stop, starts, i)
        a, b = stripped(data, a, b)
        if a < b:
            lines[held, 0], lines[held, 1] = a, b
            held += 1
            begin = a if begin < 0 else begin
            end = b
        if begin >= 0 and (a == b or i + 1 == len(starts)):
            paragraphs[parts, 0], paragraphs[parts, 1] = begin, end
            parts += 1
            begin = np.int64(-1)
    return held, parts


@njit(nogil=True, cache=True, _nrt=False)
def _datatrove(data, base, stop, starts, lines, paragraphs):
    """Spans of a row's lines and paragraphs as datatrove 0.10.1 has them: how many of each."""
    held = parts = 0
    if base == stop:
        return held, parts
    if data[base] == 10:
        lines[0, 0], lines[0, 1] = base, base
        held = 1
    first, last = stripped(data, base, stop)
    begin = first
    for i in range(len(starts)):
        a, b = _raw_line(data, base, stop, starts, i)
        if a < b:
            lines[held, 0], lines[held, 1] = a, b
            held += 1
        elif 0 <= begin < a < last:
            # The first empty line ends a paragraph in front of the LF that ends the line above.
            paragraphs[parts, 0], paragraphs[parts, 1] = begin, a - 1
            parts += 1
            begin = np.int64(-1)
        if a < b and begin < 0:
            begin = a
    if data[stop - 1] == 10:
        lines[held, 0], lines[held, 1] = stop, stop
        held += 1
    paragraphs[parts, 0], paragraphs[parts, 1] = begin, last
    return held, parts + 1


@njit(nogil=True, cache=True, _nrt=False)
def _dolma(data, base, stop, starts, lines):
    """Spans of a row's lines as dolma 1.2.1 has them: how many."""
    held = len(starts) + (base == stop or data[stop - 1] == 10)
    for i in range(held):
        lines[i, 0], lines[i, 1] = _raw_line(data, base, stop, starts, i)
    return held


@njit(nogil=True, cache=True, _nrt=False)
def _dclm(data, base, stop, starts, lines, paragraphs):
    """Spans of a row's lines and paragraphs as DCLM has them: how many of each."""
    held = parts = 0
    for i in range(len(starts)):
        a, b = _raw_line(data, base, stop, starts, i)
        c, d = stripped(data, a, b)
        if c < d:
            lines[held, 0], lines[held, 1] = a, b
            held += 1
    begin = base
    for i in range(len(starts)):
        a, b = _raw_line(data, base, stop, starts, i)
        if b >= begin and (i + 1 == len(starts) or (b + 1 < stop and data[b + 1] == 10)):
            # A paragraph ends in front of two LF, or with the text: its last LF is the paragraph's own.
            end = b if b + 1 < stop and data[b + 1] == 10 else stop
            c, d = stripped(data, begin, end)
            if c < d:
                paragraphs[parts, 0], paragraphs[parts, 1] = begin, end
                parts += 1
            begin = end + 2
    return held, parts


@njit(nogil=True, cache=True, _nrt=False)
def _duplicates(data, spans, solid, every, seed, table, mark, keys, places, sizes, copies, out):
    """Count spans into ``out[0:4]``: how many, duplicates, their code points, all code points; returns the next mark.

    An entry of the table is the mark plus a number of a distinct span; what is below the mark is of earlier uses.
    """
    mask = table_mask(len(spans))
    size = 0
    for i in range(len(spans)):
        a, b = spans[i, 0], spans[i, 1]
        length = b - a if solid else chars(data, a, b)
        key = quick_hash(data, a, b, seed) if len(spans) > 1 else np.uint64(0)
        slot = np.int64(key >> np.uint64(32)) & mask
        while True:
            entry = np.int64(table[slot])
            if entry < mark:
                table[slot] = mark + size
                keys[size] = key
                places[size] = a
                sizes[size] = b - a
                copies[size] = 1
                size += 1
                break
            index = entry - mark
            if keys[index] == key and sizes[index] == b - a and same(data, places[index], a, b - a):
                again = 2 if every and copies[index] == 1 else 1
                copies[index] = 2
                out[1] += again
                out[2] += again * length
                break
            slot = (slot + 1) & mask
        out[3] += length
    out[0] = len(spans)
    return mark + size


@njit(nogil=True, cache=True, _nrt=False)
def _looks_of(data, base, stop, starts, lines, counting, out):
    """Count the bullets and ellipses of a row's lines."""
    if counting != DATATROVE:
        for i in range(len(lines)):
            _looks(data, lines[i, 0], lines[i, 1], counting, out)
        return
    odd = _odd_ends(data, base, stop)
    for i in range(len(starts)):
        a, b = _raw_line(data, base, stop, starts, i)
        if odd:
            _split_lines(data, a, b, b < stop, out)
        else:
            a, b = stripped(data, a, b)
            _looks(data, a, b, DATATROVE, out)


@njit(nogil=True, cache=True)
def _line_counts(offsets, data, rows, starts, counting, seed):
    count = len(offsets) - 1
    out = np.zeros((count, 11), np.int64)
    most = np.int64(0)
    for row in range(count):
        most = max(most, rows[row + 1] - rows[row])
    room = most + 4  # an empty string at both ends
    table = np.zeros(table_mask(room) + 1, np.uint32)
    keys = np.empty(room, np.uint64)
    places = np.empty(room, np.int64)
    sizes = np.empty(room, np.int64)
    copies = np.empty(room, np.uint8)
    lines = np.empty((room, 2), np.int64)
    paragraphs = np.empty((room, 2), np.int64)
    mark = np.int64(1)
    every = counting in (DOLMA, DCLM)
    for row in range(count):
        own = starts[rows[row] : rows[row + 1]]
        if mark + 2 * len(own) + 8 > _MOST:
            table[:] = 0
            mark = np.int64(1)
        base, stop = offsets[row], offsets[row + 1]
        parts = 0
        if counting == PAPER:
            held, parts = _paper(data, base, stop, own, lines, paragraphs)
        elif counting == DATATROVE:
            held, parts = _datatrove(data, base, stop, own, lines, paragraphs)
        elif counting == DOLMA:
            held = _dolma(data, base, stop, own, lines)
        else:
            held, parts = _dclm(data, base, stop, own, lines, paragraphs)
        solid = chars(data, base, stop) == stop - base
        _looks_of(data, base, stop, own, lines[:held], counting, out[row])
        # Lines first, then paragraphs, by one piece of code: compiled once.
        for kind in range(2):
            spans = paragraphs[:parts] if kind else lines[:held]
            into = out[row, _PARAGRAPHS:] if kind else out[row, _UNITS:]
            mark = _duplicates(data, spans, solid, every, seed, table, mark, keys, places, sizes, copies, into)
    return out


def line_counts(
    offsets: Offsets, data: Bytes, rows: Offsets, starts: npt.NDArray[np.int64], counting: int
) -> dict[str, npt.NDArray[np.int64]]:
    """Counts of each row's lines and paragraphs, int64[n] by the names of LINE_COUNTS.

    Args:
        offsets, data: the text, int64[n + 1] and uint8[:].
        rows: int64[n + 1]; row ``i`` has the lines ``rows[i]:rows[i + 1]``.
        starts: int64[m]; each line's first byte from its row's own beginning (``Batch.lines``).
        counting: ``massivetext.PAPER``, ``DATATROVE``, ``DOLMA`` or ``DCLM``.
    """
    counts = _line_counts(offsets, data, rows, starts, counting, SEED)
    return columns(counts, LINE_COUNTS)
