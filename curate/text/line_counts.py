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

Lines are told apart by 64-bit hashes of their bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.hashing import _read64 as read64
from curate.text.hashing import mix64, xxh64
from curate.text.massivetext import DATATROVE, DCLM, DOLMA, PAPER
from curate.text.spaces import chars, stripped
from curate.text.swar import fill, zeros

__all__ = ["LINE_COUNTS", "line_counts"]

LINE_COUNTS: Final = (
    "lines",  # lines that could have a bullet or an ellipsis
    "bullet_lines",  # begin with • ● * or -; datatrove: • or -; dolma: * or -
    "ellipsis_lines",  # end with '...' or U+2026; dolma: U+2026; dclm: '. . .' too
    "units",  # lines that could be duplicates
    "duplicate_lines",
    "duplicate_line_chars",
    "line_chars",  # code points of ``units``
    "paragraphs",
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _looks(data, start, stop, counting, out):
    """Count a line's bullet and ellipsis."""
    out[_LINES] += 1
    out[_BULLETS] += _bullet(data, start, stop, counting)
    out[_ELLIPSES] += _ellipsis(data, start, stop, counting)


@njit(nogil=True, cache=True)
def _add(key, length, state, keys, copies, table, mask, every, out, at):
    """Count a unit into ``out[at:at + 4]``: units, duplicates, their code points, all code points.

    ``state`` is (mark, distinct units so far); table entries below the mark are of earlier rows.
    """
    mark, size = state
    slot = np.int64(key >> np.uint64(7)) & mask
    while True:
        entry = np.int64(table[slot])
        if entry < mark:
            table[slot] = mark + size
            keys[size] = key
            copies[size] = 1
            size += 1
            break
        index = entry - mark
        if keys[index] == key:
            again = 2 if every and copies[index] == 1 else 1
            copies[index] = 2
            out[at + 1] += again
            out[at + 2] += again * length
            break
        slot = (slot + 1) & mask
    out[at] += 1
    out[at + 3] += length
    return mark, size


@njit(nogil=True, cache=True)
def _odd_ends(data, start, stop):
    """Whether a line end of ``str.splitlines`` other than LF may be there: a control sign or byte pair of one."""
    found = np.uint64(0)
    at = start
    while at + 16 <= stop:
        # Bytes 8-15 and 24-31 but for TAB and LF; 0xC2 0x85; 0x80 0xA8 or 0x80 0xA9.
        x = read64(data, at)
        y = read64(data, at + 1)
        odd = zeros((x & fill(0xE8)) ^ fill(8)) & ~zeros(x ^ fill(9)) & ~zeros(x ^ fill(10))
        pair = zeros((x ^ fill(0xC2)) | (y ^ fill(0x85))) | zeros((x ^ fill(0x80)) | ((y & fill(0xFE)) ^ fill(0xA8)))
        found |= odd | pair
        at += 8
    if found:
        return True
    while at < stop:
        if _end_width(data, at, stop):
            return True
        at += 1
    return False


@njit(nogil=True, cache=True)
def _end_width(data, at, stop):
    """Bytes of the line end, other than LF, at ``data[at]``: CR, VT, FF, U+001C-1E, 0085, 2028, 2029; else 0."""
    byte = data[at]
    if 11 <= byte <= 13 or 28 <= byte <= 30:
        return 1
    if byte == 0xC2:
        return 2 if at + 2 <= stop and data[at + 1] == 0x85 else 0
    if byte == 0xE2 and at + 3 <= stop and data[at + 1] == 0x80 and data[at + 2] in (0xA8, 0xA9):
        return 3
    return 0


@njit(nogil=True, cache=True)
def _split_lines(data, start, stop, ended, out):
    """Look at the lines of ``str.splitlines`` in ``data[start:stop]``, which holds no LF; ``ended``: one follows."""
    if ended and stop > start and data[stop - 1] == 13:
        stop -= 1
    begin = at = start
    while at < stop:
        width = _end_width(data, at, stop)
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


@njit(nogil=True, cache=True)
def _paper(data, base, stop, starts, state, keys, copies, table, mask, out):
    """One row as the paper has it; ``starts`` are its lines' first bytes, from ``base``."""
    solid = chars(data, base, stop) == stop - base
    paragraph = np.uint64(0)
    held = 0
    for i in range(len(starts) + 1):
        a = b = 0
        if i < len(starts):
            a = base + starts[i]
            b = base + starts[i + 1] - 1 if i + 1 < len(starts) else stop
            a, b = stripped(data, a, b)
        if a == b:
            if paragraph != 0:
                state = _add(paragraph, held, state, keys, copies, table, mask, False, out, _PARAGRAPHS)
            paragraph = np.uint64(0)
            held = 0
            continue
        _looks(data, a, b, PAPER, out)
        length = b - a if solid else chars(data, a, b)
        key = xxh64(data, a, b, np.uint64(0))
        state = _add(key, length, state, keys, copies, table, mask, False, out, _UNITS)
        paragraph = mix64(paragraph ^ key) | np.uint64(1)
        held += length
    return state


@njit(nogil=True, cache=True)
def _datatrove(data, base, stop, starts, state, keys, copies, table, mask, out):
    """One row as datatrove 0.10.1 has it."""
    if base == stop:
        return state
    solid = chars(data, base, stop) == stop - base
    odd = _odd_ends(data, base, stop)
    first, last = stripped(data, base, stop)
    paragraph = np.uint64(0)
    held = 0
    if data[base] == 10:
        state = _add(np.uint64(1), 0, state, keys, copies, table, mask, False, out, _UNITS)
    for i in range(len(starts)):
        a = base + starts[i]
        ended = i + 1 < len(starts) or data[stop - 1] == 10
        b = base + starts[i + 1] - 1 if i + 1 < len(starts) else (stop - 1 if ended else stop)
        if odd:
            _split_lines(data, a, b, ended, out)
        else:
            c, d = stripped(data, a, b)
            _looks(data, c, d, DATATROVE, out)
        key = np.uint64(0)
        length = 0
        if a < b:
            length = b - a if solid else chars(data, a, b)
            key = xxh64(data, a, b, np.uint64(0))
            state = _add(key, length, state, keys, copies, table, mask, False, out, _UNITS)
        # The same lines again, without the white space around the text, are paragraphs.
        if b <= first or a >= last:
            continue
        if a < first or b > last:
            a, b = max(a, first), min(b, last)
            length = chars(data, a, b)
            key = xxh64(data, a, b, np.uint64(0))
        if a < b:
            held += length + (paragraph != 0)
            paragraph = mix64(paragraph ^ key) | np.uint64(1)
        if paragraph != 0 and b in (a, last):
            state = _add(paragraph, held, state, keys, copies, table, mask, False, out, _PARAGRAPHS)
            paragraph = np.uint64(0)
            held = 0
    if data[stop - 1] == 10:
        state = _add(np.uint64(1), 0, state, keys, copies, table, mask, False, out, _UNITS)
    if first == last:
        out[_PARAGRAPHS] = 1
    return state


@njit(nogil=True, cache=True)
def _dolma(data, base, stop, starts, state, keys, copies, table, mask, out):
    """One row as dolma 1.2.1's ``gopher_v1`` has it."""
    solid = chars(data, base, stop) == stop - base
    pieces = len(starts) + (base == stop or data[stop - 1] == 10)
    for i in range(pieces):
        a = base + starts[i] if i < len(starts) else stop
        b = base + starts[i + 1] - 1 if i + 1 < len(starts) else (stop - 1 if i + 1 < pieces else stop)
        _looks(data, a, b, DOLMA, out)
        length = b - a if solid else chars(data, a, b)
        state = _add(xxh64(data, a, b, np.uint64(0)), length, state, keys, copies, table, mask, True, out, _UNITS)
    return state


@njit(nogil=True, cache=True)
def _dclm(data, base, stop, starts, state, keys, copies, table, mask, out):
    """One row as DCLM has it."""
    for i in range(len(starts)):
        a = base + starts[i]
        b = base + starts[i + 1] - 1 if i + 1 < len(starts) else stop
        b -= b > a and data[b - 1] == 10
        c, d = stripped(data, a, b)
        if c < d:
            _looks(data, a, b, DCLM, out)
            key = xxh64(data, a, b, np.uint64(0))
            state = _add(key, chars(data, a, b), state, keys, copies, table, mask, True, out, _UNITS)
    begin = at = base
    while begin < stop:
        while at < stop and not (data[at] == 10 and at + 1 < stop and data[at + 1] == 10):
            at += 1
        c, d = stripped(data, begin, at)
        if c < d:
            key = xxh64(data, begin, at, np.uint64(1))
            state = _add(key, chars(data, begin, at), state, keys, copies, table, mask, True, out, _PARAGRAPHS)
        begin = at = at + 2
    return state


@njit(nogil=True, cache=True)
def _line_counts(offsets, data, rows, starts, counting):
    count = len(offsets) - 1
    out = np.zeros((count, 11), np.int64)
    most = np.int64(0)
    for row in range(count):
        most = max(most, rows[row + 1] - rows[row])
    # Units of a row: lines, as many paragraphs, and the empty strings at both ends.
    room = 2 * most + 4
    size = np.int64(16)
    while size < 2 * room:
        size *= 2
    # One table for all rows: an entry is the mark of its row plus the unit's number, and what is below the row's mark
    # is of earlier rows, so that nothing is cleared between rows.
    table = np.zeros(size, np.uint32)
    keys = np.empty(room, np.uint64)
    copies = np.empty(room, np.uint8)
    mark = np.int64(1)
    for row in range(count):
        own = starts[rows[row] : rows[row + 1]]
        mask = np.int64(15)
        while mask + 1 < 4 * len(own) + 8:
            mask = 2 * mask + 1
        if mark + 2 * len(own) + 4 > _MOST:
            table[:] = 0
            mark = np.int64(1)
        state = (mark, np.int64(0))
        base, stop = offsets[row], offsets[row + 1]
        if counting == PAPER:
            state = _paper(data, base, stop, own, state, keys, copies, table, mask, out[row])
        elif counting == DATATROVE:
            state = _datatrove(data, base, stop, own, state, keys, copies, table, mask, out[row])
        elif counting == DOLMA:
            state = _dolma(data, base, stop, own, state, keys, copies, table, mask, out[row])
        else:
            state = _dclm(data, base, stop, own, state, keys, copies, table, mask, out[row])
        mark += state[1]
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
    counts = _line_counts(offsets, data, rows, starts, counting)
    return {name: np.ascontiguousarray(counts[:, i]) for i, name in enumerate(LINE_COUNTS)}
