# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""One word cut into tokens by the rules of spaCy's English tokenizer.

``strings`` is what ``token_tables.exceptions`` gives, ``table`` what ``token_tables.characters`` gives, and ``data`` has
eight bytes or more.

The kernels allocate nothing, so numba's counting of references (an atomic operation for each array of each call) is
switched off: it took most of their time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from curate.text.swar import TOPS, alnums, digits, near, trailing
from curate.text.token_tables import (
    ALPHA,
    CURRENCY,
    HASHED,
    ICON,
    JOINS,
    KNOWN,
    LONGEST,
    LOWER,
    PAIRS,
    PREFIX,
    QUOTE,
    SHAPES,
    SLOTS,
    SUFFIX,
    UPPER,
    after,
    before,
    bits_at,
    bits_before,
    is_digit,
    shape,
)
from curate.text.token_urls import looks_like_url
from curate.text.word_hashes import near_hash

__all__ = ["cut", "entry"]

_INFIXES: Final = tuple(
    np.uint64(sum(1 << (ord(sign) & 63) for sign in ".,:<>=/+-*^~" if ord(sign) >> 6 == half)) for half in (0, 1)
)
"""The ASCII signs that may cut a word, 128 bits."""


@njit(nogil=True, cache=True, inline="always")
def _marked(strings, base, number):
    """Whether the filter at ``base`` has the number."""
    return (strings[base + np.int64(number >> 6)] >> np.uint64(number & 63)) & np.uint64(1) != 0


@njit(nogil=True, cache=True, _nrt=False)
def _find(key, strings):
    slot = np.int64(key & np.uint64(SLOTS - 1))
    while strings[SLOTS + slot]:
        if strings[slot] == key:
            return np.int64(strings[SLOTS + slot])
        slot = (slot + 1) & (SLOTS - 1)
    return np.int64(0)


@njit(nogil=True, cache=True, inline="always")
def entry(key, strings):
    """What is known of the string with this hash; 0: nothing."""
    return _find(key, strings) if _marked(strings, HASHED, np.int64(key >> np.uint64(48))) else np.int64(0)


@njit(nogil=True, cache=True, inline="always")
def _exception(data, start, stop, strings, kind):
    """The exception ``data[start:stop]`` if it is of the kind, or 0."""
    value = np.int64(0)
    if 0 < stop - start <= LONGEST and _marked(strings, SHAPES, shape(data, start, stop)):
        value = entry(near_hash(data, start, stop), strings)
        value = value if value & kind else np.int64(0)
    return value


@njit(nogil=True, cache=True, _nrt=False, forceinline=True)
def _prefix(data, start, stop, table):
    """Bytes that come off the beginning."""
    byte = data[start]
    if is_digit(byte) or 97 <= (byte | 32) <= 122:
        return 0
    if byte == 46:
        at = start
        while at < stop and data[at] == 46:
            at += 1
        return at - start if at - start > 1 else 0
    if byte == 43:
        return 0 if start + 1 < stop and is_digit(data[start + 1]) else 1
    if byte < 128:
        return 1 if table[byte] & PREFIX else 0
    bits, width, _ = after(data, start, stop, table)
    return width if bits & PREFIX else 0


@njit(nogil=True, cache=True, _nrt=False)
def _dot(data, start, stop, table):
    """Whether the dot before ``data[stop]`` comes off: behind a digit, a small letter, a sign, or two capitals."""
    last = data[stop - 2] if stop - 1 > start else np.uint8(0)
    if 97 <= last <= 122 or is_digit(last):
        return True
    bits, width, point = before(data, start, stop - 1, table)
    if width == 0:
        return False
    if is_digit(point) or point in (37, 0xB2, 45, 43) or bits & LOWER:
        return True
    if bits & SUFFIX and not bits & ICON and point not in (0x2013, 0x2014):
        return True
    more, _, _ = before(data, start, stop - 1 - width, table)
    return bool(bits & UPPER and more & UPPER)


@njit(nogil=True, cache=True, _nrt=False, forceinline=True)
def _suffix(data, start, stop, table, strings):
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
    if is_digit(byte):
        return 0
    if not 97 <= (byte | 32) <= 122:
        width = 1
        if byte < 128:
            bits = np.int64(table[byte])
        else:
            bits, width, _ = before(data, start, stop, table)
        if bits & SUFFIX:
            return width
        if stop - width > start and is_digit(data[stop - width - 1]) and (byte == 43 or bits & CURRENCY):
            return width
        if byte < 128 and byte != 37:
            return 0
    # A unit behind a digit, the longest: of at most four characters.
    at = max(start, stop - 6)
    if not digits(near(data, at, stop)):
        return 0
    while at < stop:
        if at > start and is_digit(data[at - 1]) and entry(near_hash(data, at, stop), strings) >> 32:
            return stop - at
        at += 1
    return 0


@njit(nogil=True, cache=True, _nrt=False)
def _dashes(data, at, stop, point, width, table):
    """Bytes of the dash at ``data[at]`` behind a letter or digit, if it and its like have a letter behind them."""
    most = 3 if point == 45 else (2 if point == 0x2014 else 1)
    end = at + width
    for _ in range(most):
        right, _, again = after(data, end, stop, table)
        if right & ALPHA:
            return end - at
        if again != point:
            break
        end += width
    return 0


@njit(nogil=True, cache=True, _nrt=False, forceinline=True)
def _infix(data, start, at, stop, table):
    """(bytes of the sign at ``data[at]`` that cuts the word ``data[start:stop]`` or 0, bytes to go on behind)."""
    byte = data[at]
    if byte >= 128:
        bits, width, point = after(data, at, stop, table)
        if bits & ICON or point == 0x2026:
            return width, width
        if point not in (0x2013, 0x2014) or at == start:
            return 0, width
        behind = bits_before(data, start, at, table) & ALPHA or is_digit(data[at - 1])
        return (_dashes(data, at, stop, point, width, table) if behind else 0), width
    if byte == 46 and at + 1 < stop and data[at + 1] == 46:
        end = at
        while end < stop and data[end] == 46:
            end += 1
        return end - at, 1
    left = bits_before(data, start, at, table)
    right = bits_at(data, at + 1, stop, table)
    width = 0
    if byte == 46:
        width = 1 if left & (LOWER | QUOTE) and right & (UPPER | QUOTE) else 0
    elif byte == 44:
        width = 1 if left & right & ALPHA else 0
    else:
        figure = is_digit(data[at - 1])
        if byte in (58, 60, 62, 61, 47):
            width = 1 if (left & ALPHA or figure) and right & ALPHA else 0
        elif byte in (43, 45, 42, 94) and figure and at + 1 < stop and (is_digit(data[at + 1]) or data[at + 1] == 45):
            width = 1
        elif byte in (45, 126) and (left & ALPHA or figure):
            width = _dashes(data, at, stop, np.int64(byte), 1, table)
    return width, 1


@njit(nogil=True, cache=True, _nrt=False, forceinline=True)
def _middle(data, start, stop, table, value, cuts, size):
    """Append the ends of the tokens of what is left in the middle to ``cuts``; returns their number."""
    if value or looks_like_url(data, start, stop, table):
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
    for base in range(start, stop, 8):
        marks = ~alnums(near(data, base, stop)) & TOPS
        while marks:
            place = base + (trailing(marks) >> 3)
            marks &= marks - np.uint64(1)
            if place >= stop:
                break
            if place < at:
                continue
            at = place
            byte = data[at]
            if byte < 128 and (
                (at == start and byte != 46) or not _INFIXES[byte >> 6] >> np.uint64(byte & 63) & np.uint64(1)
            ):
                at += 1
                continue
            width, step = _infix(data, start, at, stop, table)
            if width and at > start:
                if at > offset:
                    cuts[size] = at
                    size += 1
                cuts[size] = offset = at + width
                size += 1
            at += max(width, step)
    if offset < stop:
        cuts[size] = stop
        size += 1
    return size


@njit(nogil=True, cache=True, _nrt=False, forceinline=True)
def _pieces(data, start, stop, table, strings, cuts, ends):
    """Fill ``cuts`` with the ends of the tokens of ``data[start:stop]``, not yet put together; returns their number."""
    size = held = 0
    value = _exception(data, start, stop, strings, KNOWN)
    while start < stop and value == 0:
        front = _prefix(data, start, stop, table)
        if front:
            value = _exception(data, start + front, stop, strings, KNOWN)
            if value:
                start += front
                cuts[size] = start
                size += 1
                break
        back = _suffix(data, start, stop, table, strings)
        if back:
            value = _exception(data, start, stop - back, strings, KNOWN)
            if value:
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
        if front and back:
            value = _exception(data, start, stop, strings, KNOWN)
    if start < stop:
        size = _middle(data, start, stop, table, value, cuts, size)
    while held:
        held -= 1
        cuts[size] = ends[held]
        size += 1
    return size


@njit(nogil=True, cache=True, _nrt=False, forceinline=True)
def _joined(data, start, cuts, size, strings, ends):
    """Tokens next to each other that make an exception are cut as it is; fills ``ends``, returns their number."""
    out = 0
    i = 0
    while i < size:
        begin = cuts[i - 1] if i else start
        value = np.int64(0)
        last = min(i + 4, size)
        pair = np.int64(data[begin]) | (np.int64(data[begin + 1]) << 8 if begin + 1 < cuts[size - 1] else 0)
        if not _marked(strings, PAIRS, pair):
            last = i
        while last > i:
            value = _exception(data, begin, cuts[last - 1], strings, JOINS)
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


@njit(nogil=True, cache=True, _nrt=False)
def cut(data, start, stop, table, strings, cuts, ends):
    """Fill ``ends`` with the ends of the tokens of the word ``data[start:stop]``; returns their number.

    int64[stop - start + 3] at least, both; ``cuts`` is room to work in.
    """
    size = _pieces(data, start, stop, table, strings, cuts, ends)
    if size == 1:
        ends[0] = cuts[0]
        return 1
    return _joined(data, start, cuts, size, strings, ends)
