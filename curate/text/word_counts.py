# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What Gopher's quality rules count in words and signs, in each engine's way; all counts are int64.

Which words are counted is the caller's choice: runs without white space for ``paper`` and ``dolma``, tokens with
punctuation split off for ``datatrove`` and ``dclm``. Characters are code points, see ``spaces.chars``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types

from curate.text.arrow import Bytes, Offsets, columns
from curate.text.formula import formula
from curate.text.massivetext import ALPHA, DATATROVE, DCLM, DOLMA, MARK, PAPER, STOP_WORDS, WORD, classes
from curate.text.spaces import chars as chars_between
from curate.text.swar import CASE, TOPS, alnums, continuations, fill, leading, letters, load, marks_in, trailing, zeros
from curate.text.utf8 import decode, read64

__all__ = ["WORD_COUNTS", "WordCounts", "word_counts"]

WORD_COUNTS: Final = (
    "chars",  # code points of the text
    "words",
    "word_chars",  # code points of all words
    "alpha_words",  # words with a letter
    "plain_words",  # words that are not only punctuation; paper, dolma: all
    "plain_chars",  # their code points
    "plain_alpha_words",  # plain words with a letter
    "stop_words",  # paper, datatrove: different ones, 0 to 8; dolma, dclm: occurrences
    "hashes",  # '#' signs
    "ellipses",  # '...' (not overlapping) and U+2026; dclm: '. . .' too
    "symbol_words",  # dolma: words with '#' or U+2026; else 0
    "median_twice",  # dolma: the two middle word lengths' sum (twice the median); else 0
)
"""Names of the columns of ``word_counts``, in order."""

_LENGTHS: Final = 256
"""Word lengths with a counter of their own; a median of longer words is found by sorting."""
_FACTOR: Final = np.uint64(0x1E2FEB89414C343D)
"""Puts each stop word into a slot of its own; found by trying."""
_CODES: Final = np.zeros(16, np.uint64)
_BITS: Final = np.zeros(16, np.int64)
for _number, _word in enumerate(STOP_WORDS):
    _code = int.from_bytes(_word.encode(), "little")
    _slot = (_code * int(_FACTOR) >> 40) & 15
    _CODES[_slot] = _code
    _BITS[_slot] = 1 << _number
_ONE: Final = np.uint64(1)


class WordCounts(NamedTuple):
    """Counts of each row, int64[n] by the names of WORD_COUNTS, and each word's code points, int32[m]."""

    counts: dict[str, npt.NDArray[np.int64]]
    lengths: npt.NDArray[np.int32]


@njit(nogil=True, cache=True, inline="always")
def _stop_word(code):
    """The bit of the stop word with these bytes, or 0."""
    slot = np.int64((code * _FACTOR >> np.uint64(40)) & np.uint64(15))
    return _BITS[slot] if _CODES[slot] == code else 0


@njit(nogil=True, cache=True, inline="always")
def _stop(data, start, stop, x, lower, trim):
    """Bit of the stop word in ``data[start:stop]``, which begins with the bytes ``x``, or 0.

    ``lower``: in any case; ``trim``: ASCII signs around it are ignored.
    """
    if trim:
        inner = alnums(x) | (x & TOPS)
        if stop - start > 8:
            if inner & np.uint64(0x80) and (data[stop - 1] >= 128 or _alnum(data[stop - 1])):
                return 0
            start, stop = _trimmed(data, start, stop)
            if stop - start > 4:
                return 0
            x = load(data, start, stop)
        elif inner:
            first = trailing(inner) >> 3
            last = 7 - (leading(inner) >> 3)
            if last - first > 3:
                return 0
            x = (x << np.uint64(8 * (7 - last))) >> np.uint64(8 * (7 - last + first))
    elif stop - start > 4:
        return 0
    return _stop_word(x | (CASE & ((x & fill(0x40)) >> _ONE)) if lower else x)


@njit(nogil=True, cache=True, inline="always")
def _short_stop(x, size, inner, lower, trim):
    """As ``_stop`` for at most eight ASCII bytes; ``inner`` marks the letters and digits. Without branches."""
    fits = size + (leading(x) >> 3) == 8  # a NUL at the word's end is not what stands for missing bytes
    if trim:
        first = trailing(inner) >> 3
        behind = leading(inner) >> 3
        x = (x << np.uint64((8 * behind) & 63)) >> np.uint64((8 * (behind + first)) & 63)
        fits = (inner > 0) & (first + behind >= 4)
    if lower:
        x |= CASE & ((x & fill(0x40)) >> _ONE)
    bit = _stop_word(x)
    return bit if fits else 0


@njit(nogil=True, cache=True, _nrt=False)
def _alnum(byte):
    return 97 <= (byte | 32) <= 122 or 48 <= byte <= 57


@njit(nogil=True, cache=True, _nrt=False)
def _trimmed(data, start, stop):
    """(start, stop) without the ASCII signs at both ends."""
    while start < stop and data[start] < 128 and not _alnum(data[start]):
        start += 1
    while start < stop and data[stop - 1] < 128 and not _alnum(data[stop - 1]):
        stop -= 1
    return start, stop


@njit(nogil=True, cache=True, _nrt=False)
def _has(data, start, stop, table, kind):
    """Whether a code point of ``data[start:stop]`` is of the kind; invalid bytes are of none."""
    at = start
    while at < stop:
        point = np.int64(data[at])
        width = 1
        if point >= 128:
            point, width = decode(data, at, stop)
        if point >= 0 and table[point] & kind:
            return True
        at += width
    return False


@njit(nogil=True, cache=True, _nrt=False)
def _only_marks(data, start, stop, table):
    """Whether each code point is in datatrove's punctuation; invalid bytes are not."""
    at = start
    while at < stop:
        point = np.int64(data[at])
        width = 1
        if point >= 128:
            point, width = decode(data, at, stop)
        if point < 0 or not table[point] & MARK:
            return False
        at += width
    return True


@njit(nogil=True, cache=True, _nrt=False)
def _kinds(data, start, stop, x, table, counting):
    """(whether a word has a letter, whether it is not only punctuation); it begins with the bytes ``x``."""
    if letters(x) or _has(data, start, stop, table, ALPHA):
        return True, True
    if counting == DATATROVE:
        return False, not _only_marks(data, start, stop, table)
    return False, counting != DCLM or _has(data, start, stop, table, WORD)


@formula(result=types.int64)
def _sum(bytewise):
    """The sum of eight byte counters."""
    both = (bytewise & 0x00FF00FF00FF00FF) + ((bytewise >> 8) & 0x00FF00FF00FF00FF)
    return (both * 0x0001000100010001) >> 48


@njit(nogil=True, cache=True, _nrt=False)
def _signs(data, start, stop):
    """(code points, '#' signs, U+2026 signs, places with '...', places with '. .') of ``data[start:stop]``."""
    seven = np.uint64(7)
    points = stop - start
    hashes = ellipses = dots = spaced = np.int64(0)
    at = start
    while at + 10 <= stop:
        blocks = min((stop - at - 2) >> 3, 255)
        c0 = c1 = c2 = c3 = c4 = np.uint64(0)
        for k in range(blocks):
            x = read64(data, at + 8 * k)
            y = read64(data, at + 8 * k + 1)
            z = read64(data, at + 8 * k + 2)
            c0 += continuations(x) >> seven
            c1 += zeros(x ^ fill(35)) >> seven
            c2 += zeros((x ^ fill(0xE2)) | (y ^ fill(0x80)) | (z ^ fill(0xA6))) >> seven
            c3 += zeros((x ^ fill(46)) | (y ^ fill(46)) | (z ^ fill(46))) >> seven
            c4 += zeros((x ^ fill(46)) | (y ^ fill(32)) | (z ^ fill(46))) >> seven
        points -= _sum(c0)
        hashes += _sum(c1)
        ellipses += _sum(c2)
        dots += _sum(c3)
        spaced += _sum(c4)
        at += 8 * blocks
    while at < stop:
        a = data[at]
        points -= a & 0xC0 == 0x80
        hashes += a == 35
        if at + 2 < stop:
            b, c = data[at + 1], data[at + 2]
            ellipses += (a == 0xE2) & (b == 0x80) & (c == 0xA6)
            dots += (a == 46) & (b == 46) & (c == 46)
            spaced += (a == 46) & (b == 32) & (c == 46)
        at += 1
    return points, hashes, ellipses, dots, spaced


@njit(nogil=True, cache=True, _nrt=False)
def _occurrences(data, start, stop, step):
    """How often '...' (step 1) or '. . .' (step 2) occurs without overlap, from the left, as ``str.count``."""
    count = 0
    at = start
    while at + 2 * step < stop:
        if (
            data[at] == 46
            and data[at + step] == 46
            and data[at + 2 * step] == 46
            and (step == 1 or (data[at + 1] == 32 and data[at + 3] == 32))
        ):
            count += 1
            at += 2 * step + 1
        else:
            at += 1
    return count


@njit(nogil=True, cache=True, _nrt=False)
def _symbol(data, start, stop):
    for at in range(start, stop):
        if data[at] == 35:
            return True
        if data[at] == 0xA6 and at - start >= 2 and data[at - 1] == 0x80 and data[at - 2] == 0xE2:
            return True
    return False


@njit(nogil=True, cache=True, _nrt=False)
def _nth(lengths, n):
    """The value (not negative) that stands at ``n`` among the sorted ones, by halving: to sort takes numba a second to compile."""
    low, high = np.int64(0), np.int64(1) << 31
    while low < high:
        middle = (low + high) >> 1
        below = 0
        for length in lengths:
            below += length <= middle
        if below > n:
            high = middle
        else:
            low = middle + 1
    return low


@njit(nogil=True, cache=True)
def _median_twice(lengths, tally):
    """Sum of the two middle values (of one, if there is one, twice); empties the tally of lengths below its size."""
    count = len(lengths)
    low, high = (count - 1) // 2, count // 2
    first = second = -1
    seen = 0
    for length in range(len(tally)):
        seen += tally[length]
        if first < 0 and seen > low:
            first = length
        if second < 0 and seen > high:
            second = length
            break
    tally[:] = 0
    if count == 0:
        return 0
    if first < 0 or second < 0:
        return _nth(lengths, low) + _nth(lengths, high)
    return first + second


@njit(nogil=True, cache=True)
def _row(data, base, stop, starts, stops, lengths, table, counting, tally, out):
    """Fill one row of counts and its words' lengths; ``starts``, ``stops`` and ``lengths`` are the row's own."""
    total, hashes, ellipses, dots, spaced = _signs(data, base, stop)
    solid = total == stop - base
    marked = hashes + ellipses > 0
    if dots:
        ellipses += _occurrences(data, base, stop, 1)
    if spaced and counting == DCLM:
        ellipses += _occurrences(data, base, stop, 2)
    lower = counting in (PAPER, DCLM)
    trim = counting == PAPER
    tokens = counting in (DATATROVE, DCLM)
    word_chars = alpha_words = plain_words = plain_chars = plain_alpha = seen = stop_words = symbols = 0
    for i in range(len(starts)):
        start = base + np.int64(starts[i])
        end = base + np.int64(stops[i])
        size = end - start
        x = load(data, start, end)
        length = size
        if size <= 8 and not x & TOPS:
            # Most words: nothing in here is a branch that is hard to foresee.
            alpha = letters(x) > 0
            inner = alnums(x)
            plain = not tokens
            if counting == DATATROVE:
                plain = inner | zeros(x ^ fill(9)) | zeros(x ^ fill(10)) | zeros(x ^ fill(32)) > 0
            elif counting == DCLM:
                plain = inner > 0
            bit = _short_stop(x, size, inner, lower, trim)
            symbols += (counting == DOLMA) & (zeros(x ^ fill(35)) > 0)
        else:
            if not solid:
                length = size - marks_in(continuations(x)) if size <= 8 else chars_between(data, start, end)
            alpha, plain = _kinds(data, start, end, x, table, counting)
            bit = _stop(data, start, end, x, lower, trim)
            if marked and counting == DOLMA:
                symbols += _symbol(data, start, end)
        lengths[i] = length
        word_chars += length
        alpha_words += alpha
        plain_words += plain
        plain_chars += length * plain
        plain_alpha += alpha
        seen |= bit
        stop_words += bit > 0
        if counting == DOLMA:
            tally[min(length, len(tally) - 1)] += length < len(tally)
    if counting in (PAPER, DATATROVE):
        stop_words = 0
        while seen:
            stop_words += seen & 1
            seen >>= 1
    median = _median_twice(lengths, tally) if counting == DOLMA else 0
    out[0], out[1], out[2], out[3] = total, len(starts), word_chars, alpha_words
    out[4], out[5], out[6], out[7] = plain_words, plain_chars, plain_alpha, stop_words
    out[8], out[9], out[10], out[11] = hashes, ellipses, symbols, median


@njit(nogil=True, cache=True)
def _word_counts(offsets, data, rows, starts, stops, table, counting):
    count = len(offsets) - 1
    out = np.zeros((count, 12), np.int64)
    lengths = np.empty(len(starts), np.int32)
    tally = np.zeros(_LENGTHS, np.int64)
    for row in range(count):
        a, b = rows[row], rows[row + 1]
        base, stop = offsets[row], offsets[row + 1]
        _row(data, base, stop, starts[a:b], stops[a:b], lengths[a:b], table, counting, tally, out[row])
    return out, lengths


def word_counts(
    offsets: Offsets,
    data: Bytes,
    rows: Offsets,
    starts: npt.NDArray[np.uint32],
    stops: npt.NDArray[np.uint32],
    counting: int,
) -> WordCounts:
    """Counts of each row for Gopher's quality rules.

    Args:
        offsets, data: the text, int64[n + 1] and uint8[:].
        rows: int64[n + 1]; row ``i`` has the words ``rows[i]:rows[i + 1]``.
        starts, stops: uint32[m]; each word's bytes, from its row's own beginning.
        counting: ``massivetext.PAPER``, ``DATATROVE``, ``DOLMA`` or ``DCLM``.
    """
    counts, lengths = _word_counts(offsets, data, rows, starts, stops, classes(), counting)
    named = columns(counts, WORD_COUNTS)
    return WordCounts(named, lengths)
