# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Words cut into tokens as spaCy's blank English tokenizer cuts them, which is what datatrove counts.

The rules of spaCy 3.8 (``spacy.lang.punctuation``, ``spacy.lang.en``; MIT licence): signs come off both ends of a word,
one after the other; what is left is one token if it is an exception or looks like a URL, else it is cut at signs between
letters and digits. Letters, cases and other symbols are by Unicode's categories, where spaCy has lists.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.swar import TOPS, alnums, digits, fill, letters, load, marks_in, trailing, zeros
from curate.text.token_tables import (
    ALPHA,
    CURRENCY,
    ICON,
    JOINS,
    KNOWN,
    LONGEST,
    LOWER,
    PREFIX,
    QUOTE,
    SLOTS,
    SUFFIX,
    UPPER,
    characters,
    exceptions,
    shape,
    token_hash,
)
from curate.text.utf8 import decode
from curate.text.word_hashes import word_hash

__all__ = ["tokens"]

_REMEMBERED: Final = 1 << 15
"""Words whose tokens are remembered."""


@njit(nogil=True, cache=True)
def _entry(key, keys, values):
    """What is known of the string with this hash; 0: nothing."""
    slot = np.int64(key & np.uint64(SLOTS - 1))
    while values[slot]:
        if keys[slot] == key:
            return values[slot]
        slot = (slot + 1) & (SLOTS - 1)
    return np.int64(0)


@njit(nogil=True, cache=True)
def _exception(data, start, stop, keys, values, firsts, kind):
    """The exception ``data[start:stop]`` if it is of the kind, or 0."""
    if not 0 < stop - start <= LONGEST:
        return np.int64(0)
    if not firsts[shape(data[start], data[stop - 1], stop - start)] & KNOWN:
        return np.int64(0)
    value = _entry(token_hash(data, start, stop), keys, values)
    return value if value & kind else np.int64(0)


@njit(nogil=True, cache=True)
def _after(data, at, stop, table):
    """(bits, width, code point) of the character at ``data[at]``; 0 bits at the end and for invalid bytes."""
    if at >= stop:
        return np.int64(0), 0, np.int64(-1)
    point, width = decode(data, at, stop)
    return (np.int64(table[point]) if point >= 0 else np.int64(0)), width, np.int64(point)


@njit(nogil=True, cache=True)
def _before(data, start, at, table):
    """The same of the character that ends before ``data[at]``."""
    if at <= start:
        return np.int64(0), 0, np.int64(-1)
    first = at - 1
    while first > start and at - first < 4 and data[first] & 0xC0 == 0x80:
        first -= 1
    bits, width, point = _after(data, first, at, table)
    if width == at - first:
        return bits, width, point
    return np.int64(0), 1, np.int64(-1)


@njit(nogil=True, cache=True)
def _digit(byte):
    return 48 <= byte <= 57


@njit(nogil=True, cache=True)
def _prefix(data, start, stop, table):
    """Bytes that come off the beginning."""
    byte = data[start]
    if _digit(byte) or 97 <= (byte | 32) <= 122:
        return 0
    if byte == 46:
        at = start
        while at < stop and data[at] == 46:
            at += 1
        return at - start if at - start > 1 else 0
    if byte == 43:
        return 0 if start + 1 < stop and _digit(data[start + 1]) else 1
    bits, width, _ = _after(data, start, stop, table)
    return width if bits & PREFIX else 0


@njit(nogil=True, cache=True)
def _dot(data, start, stop, table):
    """Whether the dot before ``data[stop]`` comes off: behind a digit, a small letter, a sign, or two capitals."""
    bits, width, point = _before(data, start, stop - 1, table)
    if width == 0:
        return False
    if _digit(point) or point in (37, 0xB2, 45, 43) or bits & LOWER:
        return True
    if bits & SUFFIX and not bits & ICON and point not in (0x2013, 0x2014):
        return True
    more, _, _ = _before(data, start, stop - 1 - width, table)
    return bool(bits & UPPER and more & UPPER)


@njit(nogil=True, cache=True)
def _suffix(data, start, stop, table, keys, values):
    """Bytes that come off the end."""
    byte = data[stop - 1]
    if byte == 46:
        at = stop
        while at > start and data[at - 1] == 46:
            at -= 1
        if stop - at > 1:
            return stop - at
        return 1 if _dot(data, start, stop, table) else 0
    if byte | 32 == 115 and stop - start >= 2:
        if data[stop - 2] == 39:
            return 2
        if stop - start >= 4 and data[stop - 4] == 0xE2 and data[stop - 3] == 0x80 and data[stop - 2] == 0x99:
            return 4
    if _digit(byte):
        return 0
    if not 97 <= (byte | 32) <= 122:
        bits, width, _ = _before(data, start, stop, table)
        if bits & SUFFIX:
            return width
        if stop - width > start and _digit(data[stop - width - 1]) and (byte == 43 or bits & CURRENCY):
            return width
    # A unit behind a digit, the longest: of at most four characters.
    at = max(start, stop - 6)
    if not digits(load(data, at, stop)):
        return 0
    while at < stop:
        if at > start and _digit(data[at - 1]) and _entry(token_hash(data, at, stop), keys, values) >> 32:
            return stop - at
        at += 1
    return 0


@njit(nogil=True, cache=True)
def _label(byte):
    return byte >= 0xC2 or 0x80 <= byte < 0xC0 or _digit(byte) or 97 <= (byte | 32) <= 122


@njit(nogil=True, cache=True)
def _host(data, start, stop, table):
    """Whether ``data[start:stop]`` is a host name with a top level, or four numbers, with a port, path or query."""
    at = start
    dots = 0
    begin = start
    good = True
    numbers = True
    while at < stop and data[at] not in (47, 63, 35, 58):
        byte = data[at]
        if byte == 46:
            good &= at > begin and _label(data[begin]) and _label(data[at - 1]) and at - begin <= 64
            dots += 1
            begin = at + 1
        elif not (_label(byte) or byte in (45, 95)):
            return False
        numbers &= byte == 46 or _digit(byte)
        at += 1
    if not good or dots == 0:
        return False
    if numbers:
        if dots != 3 or at == begin:
            return False
    else:
        count = 0
        place = begin
        while place < at:
            bits, width, _ = _after(data, place, at, table)
            if not bits & LOWER:
                return False
            place += width
            count += 1
        if not 2 <= count <= 63:
            return False
    if at < stop and data[at] == 58:
        first = at + 1
        at = first
        while at < stop and _digit(data[at]):
            at += 1
        if not 2 <= at - first <= 5:
            return False
    return at == stop or data[at] in (47, 63, 35)


@njit(nogil=True, cache=True)
def _url(data, start, stop, table):
    """Whether it looks like a URL, a host with a path, or a mail address; a host is looked for behind four `@` at most."""
    dots = np.uint64(0)
    for at in range(start, stop, 8):
        dots |= zeros(load(data, at, stop) ^ fill(46))
    if not dots:
        return False
    if _host(data, start, stop, table):
        return True
    tried = 0
    for at in range(start + 1, stop):
        scheme = data[at] == 47 and data[at - 1] == 47 and at - start >= 4 and data[at - 2] == 58
        if scheme:
            for k in range(start, at - 2):
                scheme &= _label(data[k]) or data[k] in (43, 45, 46, 95)
        if (scheme or (data[at] == 64 and tried < 4)) and at + 1 < stop:
            tried += 1
            if _host(data, at + 1, stop, table):
                return True
    return False


@njit(nogil=True, cache=True)
def _infix(data, start, at, stop, table):
    """Bytes of the sign at ``data[at]`` that cuts the word ``data[start:stop]``, or 0."""
    byte = data[at]
    if byte < 128 and (_digit(byte) or 97 <= (byte | 32) <= 122):
        return 0
    if byte == 46 and at + 1 < stop and data[at + 1] == 46:
        end = at
        while end < stop and data[end] == 46:
            end += 1
        return end - at
    bits, width, point = _after(data, at, stop, table)
    if bits & ICON or point == 0x2026:
        return width
    left, _, before = _before(data, start, at, table)
    right, _, behind = _after(data, at + width, stop, table)
    alnum = left & ALPHA or _digit(before)
    if point in (43, 45, 42, 94) and _digit(before) and (_digit(behind) or behind == 45):
        return 1
    if point == 46:
        return 1 if left & (LOWER | QUOTE) and right & (UPPER | QUOTE) else 0
    if point == 44:
        return 1 if left & ALPHA and right & ALPHA else 0
    if point in (58, 60, 62, 61, 47):
        return 1 if alnum and right & ALPHA else 0
    if point in (45, 0x2013, 0x2014, 126) and alnum:
        if right & ALPHA:
            return width
        most = 3 if point == 45 else (2 if point == 0x2014 else 1)
        end = at + width
        for _ in range(most - 1):
            _, _, again = _after(data, end, stop, table)
            if again != point:
                break
            end += width
            right, _, _ = _after(data, end, stop, table)
            if right & ALPHA:
                return end - at
    return 0


@njit(nogil=True, cache=True)
def _middle(data, start, stop, table, keys, values, firsts, cuts, size):
    """Append the ends of the tokens of what is left in the middle to ``cuts``; returns their number."""
    value = _exception(data, start, stop, keys, values, firsts, KNOWN)
    if value or _url(data, start, stop, table):
        first, second = (value >> 8) & 255, (value >> 16) & 255
        if first:
            cuts[size] = start + first
            size += 1
        if second:
            cuts[size] = start + first + second
            size += 1
        cuts[size] = stop
        return size + 1
    at = offset = start
    while at < stop:
        skipped = trailing(~alnums(load(data, at, stop)) & TOPS) >> 3
        if skipped:
            at += skipped
            continue
        width = _infix(data, start, at, stop, table)
        if width == 0:
            at += 1
            continue
        if at > start:
            if at > offset:
                cuts[size] = at
                size += 1
            cuts[size] = at + width
            size += 1
            offset = at + width
        at += width
    if offset < stop:
        cuts[size] = stop
        size += 1
    return size


@njit(nogil=True, cache=True)
def _cut(data, start, stop, table, keys, values, firsts, cuts, ends):
    """Fill ``cuts`` with the ends of the tokens of the word ``data[start:stop]``; returns their number."""
    size = held = 0
    while start < stop and not _exception(data, start, stop, keys, values, firsts, KNOWN):
        front = _prefix(data, start, stop, table)
        if front and _exception(data, start + front, stop, keys, values, firsts, KNOWN):
            start += front
            cuts[size] = start
            size += 1
            break
        back = _suffix(data, start, stop, table, keys, values)
        if back and _exception(data, start, stop - back, keys, values, firsts, KNOWN):
            ends[held] = stop
            held += 1
            stop -= back
            break
        if front == 0 and back == 0:
            break
        if front and front + back > stop - start:
            back = 0
        if front:
            start += front
            cuts[size] = start
            size += 1
        if back:
            ends[held] = stop
            held += 1
            stop -= back
    if start < stop:
        size = _middle(data, start, stop, table, keys, values, firsts, cuts, size)
    while held:
        held -= 1
        cuts[size] = ends[held]
        size += 1
    return size


@njit(nogil=True, cache=True)
def _joined(data, start, cuts, size, keys, values, firsts, ends):
    """Tokens next to each other that make an exception are cut as it is; fills ``ends``, returns their number."""
    out = 0
    i = 0
    while i < size:
        begin = cuts[i - 1] if i else start
        value = np.int64(0)
        last = min(i + 4, size)
        pair = np.int64(data[begin]) | (np.int64(data[begin + 1]) << 8 if begin + 1 < cuts[size - 1] else 0)
        if not firsts[pair] & JOINS:
            last = i
        while last > i:
            value = _exception(data, begin, cuts[last - 1], keys, values, firsts, JOINS)
            if value:
                break
            last -= 1
        if value == 0:
            last = i + 1
        first, second = (value >> 8) & 255, (value >> 16) & 255
        if first:
            ends[out] = begin + first
            out += 1
        if second:
            ends[out] = begin + first + second
            out += 1
        ends[out] = cuts[last - 1]
        out += 1
        i = last
    return out


@njit(nogil=True, cache=True)
def _plain(data, start, stop):
    """Whether it is all ASCII letters."""
    while start < stop:
        size = min(stop - start, 8)
        if marks_in(letters(load(data, start, start + size))) < size:
            return False
        start += size
    return True


@njit(nogil=True, cache=True)
def _tokens(offsets, data, rows, run_hashes, starts, stops, table, keys, values, pairs):
    count = len(rows) - 1
    out_rows = np.zeros(count + 1, np.int64)
    longest = np.int64(0)
    for i in range(len(starts)):
        longest = max(longest, np.int64(stops[i]) - np.int64(starts[i]))
    cuts = np.empty(longest + 4, np.int64)
    ends = np.empty(longest + 4, np.int64)
    room = len(starts) + len(starts) // 2 + longest + 16
    hashes = np.empty(room, np.uint64)
    firsts = np.empty(room, np.uint32)
    lasts = np.empty(room, np.uint32)
    known = np.zeros(_REMEMBERED, np.uint64)
    remembered = np.zeros(_REMEMBERED, np.uint64)
    size = np.int64(0)
    for row in range(count):
        base = offsets[row]
        for i in range(rows[row], rows[row + 1]):
            start, stop = base + np.int64(starts[i]), base + np.int64(stops[i])
            if size + stop - start > room:
                room += room // 2 + longest
                grown, first, last = np.empty(room, np.uint64), np.empty(room, np.uint32), np.empty(room, np.uint32)
                grown[:size], first[:size], last[:size] = hashes[:size], firsts[:size], lasts[:size]
                hashes, firsts, lasts = grown, first, last
            key = run_hashes[i]
            if _plain(data, start, stop) and not _exception(data, start, stop, keys, values, pairs, KNOWN):
                hashes[size] = key
                firsts[size] = start - base
                lasts[size] = stop - base
                size += 1
                continue
            # Words come again and again: how each was cut is remembered, by its hash, where a later one takes its place.
            slot = np.int64(key >> np.uint64(40)) & (_REMEMBERED - 1)
            if known[slot] == key:
                packed = remembered[slot]
                number = np.int64(packed & np.uint64(255))
                for k in range(number):
                    packed >>= np.uint64(8)
                    ends[k] = start + np.int64(packed & np.uint64(255))
            else:
                number = _cut(data, start, stop, table, keys, values, pairs, cuts, ends)
                number = _joined(data, start, cuts, number, keys, values, pairs, ends)
                if number < 8 and stop - start < 256:
                    packed = np.uint64(number)
                    for k in range(number):
                        packed |= np.uint64(ends[k] - start) << np.uint64(8 * k + 8)
                    known[slot] = key
                    remembered[slot] = packed
            for k in range(number):
                end = ends[k]
                hashes[size] = word_hash(data, start, end)
                firsts[size] = start - base
                lasts[size] = end - base
                size += 1
                start = end
        out_rows[row + 1] = size
    return out_rows, hashes[:size].copy(), firsts[:size].copy(), lasts[:size].copy()


def tokens(
    offsets: Offsets,
    data: Bytes,
    rows: Offsets,
    hashes: npt.NDArray[np.uint64],
    starts: npt.NDArray[np.uint32],
    stops: npt.NDArray[np.uint32],
) -> tuple[Offsets, npt.NDArray[np.uint64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Tokens of every row, from its runs without white space: rows, hashes, starts, stops as in ``words.Words``."""
    return _tokens(offsets, data, rows, hashes, starts, stops, characters(), *exceptions())
