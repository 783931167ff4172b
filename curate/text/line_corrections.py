# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""RefinedWeb's corrections: lines that are no prose go, phrases of menus are cut out of short ones."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets, from_text, padded
from curate.text.capitals import capitals
from curate.text.line_rules import Edited
from curate.text.spaces import chars, line_end, space_at, space_before, stripped
from curate.text.unicode import kinds
from curate.text.utf8 import decode

__all__ = ["CORRECTION_COUNTS", "COUNTED", "corrected_lines"]

CORRECTION_COUNTS: Final = (
    "words",  # words that begin with a letter or digit
    "removed_words",  # of these, those of what goes
    "lines",  # lines with something in them
    "removed_lines",  # of these, those that go
    "removed_chars",  # characters of these, without white space around them, and of phrases
    "uppercase_chars",  # characters of lines that go for their capitals
    "numeric_chars",  # ... for their digits
    "counter_chars",  # ... for being a counter
    "one_word_chars",  # ... for being one word
    "phrase_chars",  # characters of phrases, and of lines that are empty without them
)
"""Names of the columns of an ``Edited``'s counts, int64 each, in order."""

COUNTED: Final = "likes shares comments retweets reposts quotes bookmarks upvotes downvotes downloads views followers"
"""What a counter counts (DCLM: ``counter_line_modifier``)."""

_WORDS, _REMOVED_WORDS, _LINES, _REMOVED, _REMOVED_CHARS, _UPPER, _NUMERIC, _COUNTER, _ONE, _PHRASE = range(10)
_ANYWHERE, _END, _BEGIN = range(3)


def _table(phrases: list[str]) -> tuple[npt.NDArray[np.int64], Bytes]:
    """(ends int64[n + 1], bytes) of phrases, ASCII letters in lower case."""
    lower = [phrase.encode().lower() for phrase in phrases]
    ends = np.cumsum([0, *map(len, lower)], dtype=np.int64)
    return ends, np.array(list(b"".join(lower)), np.uint8)


_COUNTED_ENDS, _COUNTED_TEXT = _table(COUNTED.split())


@njit(nogil=True, cache=True, _nrt=False)
def _at_phrase(text, at, stop, phrase, begin, end):
    """Whether ``text[at:stop]`` begins with ``phrase[begin:end]``, whatever the case of ASCII letters."""
    if stop - at < end - begin:
        return False
    for i in range(end - begin):
        byte = text[at + i]
        if 65 <= byte <= 90:
            byte |= 32
        if byte != phrase[begin + i]:
            return False
    return True


@njit(nogil=True, cache=True, _nrt=False)
def _word_sign(text, at, stop, table):
    """(whether a letter, digit or underscore is at ``at``, its bytes): ``str.isalnum`` or ``_``."""
    byte = text[at]
    if byte < 128:
        return 48 <= byte <= 57 or 97 <= (byte | 32) <= 122 or byte == 95, 1
    point, width = decode(text, at, stop)
    return point >= 0 and table[point] & 129 == 1, width


@njit(nogil=True, cache=True, _nrt=False)
def _counter(text, start, stop, table):
    """Whether a line is a number, perhaps with k, m or b behind it, and what it counts, with signs around them."""
    at = start
    while at < stop:
        is_word, width = _word_sign(text, at, stop, table)
        if is_word:
            break
        at += width
    if at == stop or not 48 <= text[at] <= 57:
        return False
    while at < stop and (48 <= text[at] <= 57 or text[at] in (44, 46)):
        at += 1
    if at < stop and text[at] | 32 in (107, 109, 98):
        at += 1
    spaces = at
    while at < stop and space_at(text, at, stop):
        at += space_at(text, at, stop)
    if at == spaces:
        return False
    for i in range(len(_COUNTED_ENDS) - 1):
        begin, end = _COUNTED_ENDS[i], _COUNTED_ENDS[i + 1]
        if _at_phrase(text, at, stop, _COUNTED_TEXT, begin, end):
            at += end - begin
            while at < stop:
                is_word, width = _word_sign(text, at, stop, table)
                if is_word:
                    return False
                at += width
            return True
    return False


_ASCII: Final = np.array(
    [
        (not chr(byte).isspace()) + 2 * chr(byte).isalnum() + 4 * chr(byte).isdigit() + 8 * chr(byte).isupper()
        for byte in range(128)
    ],
    np.uint8,
)
"""Of each byte: 1 no white space, 2 a letter or digit, 4 a digit, 8 a capital."""


@njit(nogil=True, cache=True, _nrt=False)
def _measured(text, start, stop, table, capital):
    """(characters, capitals, digits, words, words that begin with a letter or digit) of a line."""
    size = upper = digits = words = begun = inside = np.int64(0)
    behind = 0
    line = text[start:stop]
    for i in range(len(line)):
        byte = line[i]
        if byte < 128:
            signs = np.int64(_ASCII[byte])
            begins = signs & (1 - inside)
            size += 1
            words += begins
            begun += (signs >> 1) & begins
            digits += (signs >> 2) & 1
            upper += signs >> 3
            inside = signs & 1
            continue
        if i < behind:
            continue
        point, width = decode(text, start + i, stop)
        behind = i + width
        kind = table[point] if point >= 0 else np.uint8(0)
        size += 1
        upper += 0 <= point < len(capital) and capital[point]
        digits += (kind & 64) != 0
        if not kind & 4 and not inside:
            words += 1
            begun += kind & 129 == 1
        inside = np.int64(not kind & 4)
    return size, upper, digits, words, begun


@njit(nogil=True, cache=True, _nrt=False)
def _cut(text, start, stop, ends, phrases, place):
    """Cut phrases, and a white space before (behind, at the beginning), out of a line in place: its new end."""
    for i in range(len(ends) - 1):
        size = ends[i + 1] - ends[i]
        if size == 0 or size > stop - start:
            continue
        at = start if place != _END else stop - size
        to = at
        behind = start  # the end of what was cut last
        while at < stop:
            if not _at_phrase(text, at, stop, phrases, ends[i], ends[i + 1]):
                if place == _BEGIN:
                    break
                text[to] = text[at]
                to += 1
                at += 1
                continue
            if place != _BEGIN and at > behind:
                to -= space_before(text, start, to)
            at += size
            behind = at
            if place == _BEGIN:
                at += space_at(text, at, stop) if at < stop else 0
                break
        if to < at:
            while at < stop:
                text[to] = text[at]
                to += 1
                at += 1
            stop = to
    return stop


@njit(nogil=True, cache=True)
def _corrected(offsets, text, table, capital, limits, longest, ends, phrases):
    """Edit ``text`` in place: (offsets of what is left, counts). ``limits``: float64[2]; ``longest``: words."""
    max_upper, max_numeric = limits
    rows = len(offsets) - 1
    counts = np.zeros((rows, len(CORRECTION_COUNTS)), np.int64)
    stops = np.zeros(rows + 1, np.int64)
    size = np.int64(0)
    for row in range(rows):
        at, stop = offsets[row], offsets[row + 1]
        n = counts[row]
        begun = size
        while at < stop:
            line_stop, following = line_end(text, at, stop, False)
            start, end = at, line_stop
            at = following
            count, upper, digits, words, named = _measured(text, start, end, table, capital)
            n[_WORDS] += named
            n[_LINES] += words > 0
            goes = -1
            if count and upper / count > max_upper:
                goes = _UPPER
            elif count and digits / count > max_numeric:
                goes = _NUMERIC
            elif 2 <= words <= 10 and _counter(text, start, end, table):
                goes = _COUNTER
            elif count and words < 2:
                goes = _ONE
            first, last = stripped(text, start, end)
            whole = chars(text, first, last)
            new = last
            if goes < 0 and 0 < words <= longest:
                for place in range(3):
                    new = _cut(text, first, new, ends[place], phrases[place], place)
                if new < last:
                    _, _, _, some, kept = _measured(text, first, new, table, capital)
                    if some == 0:
                        goes = _PHRASE
                    else:
                        left = chars(text, first, new)
                        n[_PHRASE] += whole - left
                        n[_REMOVED_CHARS] += whole - left
                        n[_REMOVED_WORDS] += named - kept
                        start, end = first, new
            if goes >= 0:
                n[goes] += whole
                n[_REMOVED_CHARS] += whole
                n[_REMOVED] += words > 0
                n[_REMOVED_WORDS] += named
                continue
            for i in range(end - start if size < start else 0):
                text[size + i] = text[start + i]
            size += end - start
            if line_stop < following:
                text[size] = 10
                size += 1
        first, last = stripped(text, begun, size)
        for i in range(last - first if begun < first else 0):
            text[begun + i] = text[first + i]
        size = begun + last - first
        stops[row + 1] = size
    return stops, counts


def corrected_lines(
    offsets: Offsets,
    data: Bytes,
    *,
    max_upper: float,
    max_numeric: float,
    short_words: int,
    anywhere: list[str],
    end: list[str],
    begin: list[str],
) -> Edited:
    """Each row after RefinedWeb's corrections, without white space around it; counts are CORRECTION_COUNTS.

    Lines end at LF and keep the white space around them; words are those of ``str.split``. A line goes for more capitals
    or digits a character than the shares allow, for being a counter, for one word (or white space) alone; empty lines
    stay. Lines of at most ``short_words`` words lose the phrases ``anywhere`` in them, at their ``end``, at their
    ``begin``, whatever the case of ASCII letters, and go where nothing else is left.
    """
    offsets, text = padded(offsets, data, 0)
    tables = [_table(phrases) for phrases in (anywhere, end, begin)]
    limits = np.array([max_upper, max_numeric])
    ends = tuple(table[0] for table in tables)
    phrases = tuple(table[1] for table in tables)
    stops, counts = _corrected(offsets, text, kinds(), capitals(), limits, short_words, ends, phrases)
    return Edited(from_text(stops, text[: stops[-1]].copy()), counts)
