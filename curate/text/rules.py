# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What the rules on text look at, counted in one pass over each row's bytes; all counts are int64.

Words here are runs without white space (as ``str.split`` finds them, for ASCII white space), characters are code points
(a byte that is no valid UTF-8 counts as none unless it could begin one), lines end at LF, and a line's content is
what lies between its first and last byte that is no ASCII white space. Lines without content are blank; they count
only where it says so.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.hashing import mix64

__all__ = ["BULLETS", "PROSE_COUNTS", "SHORT_LINE", "STOP_WORDS", "prose_counts"]

PROSE_COUNTS: Final = (
    "chars",  # code points
    "words",
    "word_chars",  # code points in words
    "alpha_words",  # words with an ASCII letter or a byte above ASCII
    "stop_words",  # how many of the eight STOP_WORDS occur, 0 to 8
    "hashes",  # '#' signs
    "ellipses",  # '...' (runs of dots count once per three) and U+2026
    "lines",  # lines that are not blank
    "bullet_lines",  # begin with one of BULLETS
    "ellipsis_lines",  # end with '...' or U+2026
    "ended_lines",  # end with . ! ? : " ' ) or one of the signs U+2018-201D, U+2026, U+3002, U+FF01, U+FF1F
    "short_lines",  # of at most SHORT_LINE characters
    "duplicate_lines",  # equal to an earlier line of the row
    "duplicate_chars",  # characters of these
    "line_chars",  # characters of all lines' contents
    "longest_line",  # characters of the longest line's content
    "digits",  # ASCII digits
    "letters",  # ASCII letters
    "upper",  # ASCII capitals
)
"""Names of the columns of ``prose_counts``, in order."""

STOP_WORDS: Final = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's eight (Rae et al. 2021, appendix A1.1); matched in lower case, without ASCII signs around the word."""
BULLETS: Final = ("*", "-", "\u2022", "\u25cf")
"""Signs that begin a bullet point."""
SHORT_LINE: Final = 30
"""Characters; FineWeb's bound for a short line."""


def _packed(word: str) -> int:
    return int.from_bytes(word.encode(), "big")


_THE, _BE, _TO, _OF, _AND, _THAT, _HAVE, _WITH = (np.uint64(_packed(word)) for word in STOP_WORDS)


@njit(nogil=True, cache=True, inline="always")
def _alnum(byte):
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122


@njit(nogil=True, cache=True)
def _stop(data, start, stop):
    """Bit of the stop word in ``data[start:stop]`` (ASCII signs around it ignored), or 0."""
    while start < stop and data[start] < 128 and not _alnum(data[start]):
        start += 1
    while start < stop and data[stop - 1] < 128 and not _alnum(data[stop - 1]):
        stop -= 1
    if not 2 <= stop - start <= 4:
        return 0
    packed = np.uint64(0)
    for at in range(start, stop):
        byte = data[at]
        if 65 <= byte <= 90:
            byte += np.uint8(32)
        packed = (packed << np.uint64(8)) | np.uint64(byte)
    if packed == _THE:
        return 1
    if packed == _BE:
        return 2
    if packed == _TO:
        return 4
    if packed == _OF:
        return 8
    if packed == _AND:
        return 16
    if packed == _THAT:
        return 32
    if packed == _HAVE:
        return 64
    return 128 if packed == _WITH else 0


@njit(nogil=True, cache=True)
def _ends(data, start, stop):
    """(line ends a sentence, line ends in an ellipsis) for the content ``data[start:stop]``, not empty."""
    last = data[stop - 1]
    if last < 128:
        dots = last == 46 and stop - start >= 3 and data[stop - 2] == 46 and data[stop - 3] == 46
        # . ! ? : " ' )
        return last in (46, 33, 63, 58, 34, 39, 41), dots
    if stop - start < 3:
        return False, False
    a, b = data[stop - 3], data[stop - 2]
    if a == 0xE2 and b == 0x80:
        return 0x98 <= last <= 0x9D or last == 0xA6, last == 0xA6
    return (a == 0xE3 and b == 0x80 and last == 0x82) or (a == 0xEF and b == 0xBC and last in (0x81, 0x9F)), False


@njit(nogil=True, cache=True)
def _bullet(data, start, stop):
    first = data[start]
    if first in (42, 45):
        return True
    if first != 0xE2 or stop - start < 3:
        return False
    a, b = data[start + 1], data[start + 2]
    return (a == 0x80 and b == 0xA2) or (a == 0x97 and b == 0x8F)


@njit(nogil=True, cache=True)
def _grown(keys, marks, mark):
    """The set of this row's hashes in twice the room."""
    size = 2 * len(keys)
    wider = np.empty(size, np.uint64)
    used = np.zeros(size, np.int64)
    mask = np.uint64(size - 1)
    for i in range(len(keys)):
        if marks[i] == mark:
            slot = keys[i] & mask
            while used[slot] == mark:
                slot = (slot + np.uint64(1)) & mask
            wider[slot] = keys[i]
            used[slot] = mark
    return wider, used


@njit(nogil=True, cache=True)
def _prose(offsets, data):
    count = len(offsets) - 1
    out = np.zeros((count, 19), np.int64)
    # A set of hashes of lines, emptied for each row by a new mark; grows with the distinct lines of the longest row.
    keys = np.empty(1024, np.uint64)
    marks = np.zeros(1024, np.int64)
    for row in range(count):
        mark = row + 1
        held = 0
        stop = offsets[row + 1]
        chars = words = word_chars = alpha = hashes = ellipses = digits = letters = upper = 0
        lines = bullets = dotted = ended = short = repeats = repeat_chars = line_chars = longest = 0
        seen = 0
        dots = 0
        word = -1  # first byte of the word being read
        line = -1  # first byte of the line's content
        last = 0  # end of the content so far
        size = 0  # code points from the line's first byte on
        solid = 0  # code points in the content so far
        has_alpha = False
        value = np.uint64(0)  # hash of the line's content so far, with the white space that may end it
        kept = np.uint64(0)  # hash of the content so far
        for at in range(offsets[row], stop + 1):
            byte = np.int64(data[at]) if at < stop else 10
            space = byte == 32 or 9 <= byte <= 13
            begins = at < stop and byte & 0xC0 != 0x80
            chars += begins
            if space:
                if word >= 0:
                    words += 1
                    alpha += has_alpha
                    seen |= _stop(data, word, at)
                    word = -1
                    has_alpha = False
                dots = 0
                if byte == 10 and line >= 0:
                    lines += 1
                    line_chars += solid
                    longest = max(longest, solid)
                    short += solid <= 30
                    bullets += _bullet(data, line, last)
                    sentence, ellipsis = _ends(data, line, last)
                    ended += sentence
                    dotted += ellipsis
                    if 2 * held >= len(keys):
                        keys, marks = _grown(keys, marks, mark)
                    mask = np.uint64(len(keys) - 1)
                    kept = mix64(kept ^ np.uint64(last - line))
                    slot = kept & mask
                    while marks[slot] == mark and keys[slot] != kept:
                        slot = (slot + np.uint64(1)) & mask
                    if marks[slot] == mark:
                        repeats += 1
                        repeat_chars += solid
                    else:
                        marks[slot] = mark
                        keys[slot] = kept
                        held += 1
                    line = -1
                    continue
            else:
                if word < 0:
                    word = at
                if line < 0:
                    line = at
                    size = solid = 0
                    value = np.uint64(0xCBF29CE484222325)
                word_chars += begins
                letter = 97 <= (byte | 32) <= 122
                letters += letter
                upper += 65 <= byte <= 90
                has_alpha |= letter or byte >= 128
                digits += 48 <= byte <= 57
                hashes += byte == 35
                dots = dots + 1 if byte == 46 else 0
                if dots == 3:
                    ellipses += 1
                    dots = 0
                if byte == 0xA6 and at >= offsets[row] + 2 and data[at - 1] == 0x80 and data[at - 2] == 0xE2:
                    ellipses += 1
            if line >= 0:
                size += begins
                value = (value ^ np.uint64(byte)) * np.uint64(0x100000001B3)
                if not space:
                    solid = size
                    last = at + 1
                    kept = value
        stops = 0
        while seen:
            stops += seen & 1
            seen >>= 1
        values = (chars, words, word_chars, alpha, stops, hashes, ellipses, lines, bullets, dotted)
        more = (ended, short, repeats, repeat_chars, line_chars, longest, digits, letters, upper)
        for i in range(10):
            out[row, i] = values[i]
        for i in range(9):
            out[row, 10 + i] = more[i]
    return out


def prose_counts(offsets: Offsets, data: Bytes) -> dict[str, npt.NDArray[np.int64]]:
    """Counts of each row for rules on prose, int64[n] each, by the names of PROSE_COUNTS."""
    counts = _prose(offsets, data)
    return {name: np.ascontiguousarray(counts[:, i]) for i, name in enumerate(PROSE_COUNTS)}
