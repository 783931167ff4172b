# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""C4's rules on lines: each line is judged, what remains is written out, and what goes is counted, in one pass.

A line is copied to the end of what stays, without its citations, and judged there; one that goes is overwritten by the
next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.arrow import Bytes, Offsets, columns, from_text, padded
from curate.text.line_phrases import CURLY_BRACKET, JAVASCRIPT, LOREM_IPSUM, POLICY, ROOM, copy, copy_uncited, phrases
from curate.text.sentences import sentence_count
from curate.text.spaces import chars, line_end, space_at, stripped
from curate.text.unicode import kinds

__all__ = ["C4_COUNTS", "Edited", "c4_lines", "unpunctuated_lines"]

C4_COUNTS: Final = (
    "lines",  # lines with something in them
    "removed_lines",  # of these, those that go
    "removed_chars",  # characters of these, without white space around them, and of citations
    "long_word_chars",  # characters of lines that go for a word longer than max_word_chars
    "citation_chars",  # characters of citations in lines that are read further
    "unended_chars",  # characters of lines that go for their end
    "short_line_chars",  # ... for having too few words
    "javascript_chars",  # ... for the word javascript
    "policy_chars",  # ... for a phrase of policy notices
    "sentences",  # of the lines that stay
    "paragraphs",  # lines that stay and have at least paragraph_chars characters
    "lorem_ipsum",  # lines that hold "lorem ipsum"
    "javascript",  # lines that hold "javascript"
    "curly_brackets",  # lines that hold "{"
)
"""Names of the columns of an ``Edited``'s counts, int64 each, in order."""

_LINES, _REMOVED, _REMOVED_CHARS, _LONG, _CITED, _UNENDED, _SHORT, _JS, _POLICY = range(9)
_SENTENCES, _PARAGRAPHS, _HAS_LOREM, _HAS_JS, _HAS_BRACE = range(9, 14)
_TERMINAL, _APOSTROPHE, _RECOUNT, _CITATIONS, _JAVASCRIPT, _POLICIES = range(6)


@dataclass(frozen=True)
class Edited:
    """What is left of n rows.

    Attributes:
        text: large_string[n]; the lines that stay.
        counts: int64[n, k]; columns are named where the kernel is.
    """

    text: pa.LargeStringArray
    counts: npt.NDArray[np.int64]

    def kept(self, keep: pa.BooleanArray) -> Edited:
        """The same of the rows where ``keep`` is true."""
        return Edited(self.text.filter(keep), self.counts[keep.to_numpy(zero_copy_only=False)])

    def columns(self, names: tuple[str, ...]) -> dict[str, npt.NDArray[np.int64]]:
        """The columns of ``counts`` by name, contiguous."""
        return columns(self.counts, names)


@njit(nogil=True, cache=True, _nrt=False)
def _word_count(data, at, stop):
    """Runs without white space."""
    count = 0
    inside = False
    while at < stop:
        width = space_at(data, at, stop)
        if width == 0 and not inside:
            count += 1
        inside = width == 0
        at += max(width, 1)
    return count


@njit(nogil=True, cache=True, _nrt=False)
def _ended(data, start, stop, apostrophe):
    """Whether a line ends with . ? ! or a quotation mark, and not with three full stops."""
    if stop == start:
        return False
    last = data[stop - 1]
    if last == 46:
        return not (stop - start >= 3 and data[stop - 2] == 46 and data[stop - 3] == 46)
    return last in (63, 33, 34) or (apostrophe and last == 39)


@njit(nogil=True, cache=True, _nrt=False)
def _judge(text, start, stop, words, cited, rules, min_words, n):
    """The index of the count that the line ``text[start:stop]`` goes to, or -1 where it stays."""
    if rules[_TERMINAL] and not _ended(text, start, stop, rules[_APOSTROPHE]):
        return _UNENDED
    if rules[_RECOUNT] and cited:
        words = _word_count(text, start, stop)
    if words < min_words:
        return _SHORT
    has = phrases(text, start, stop)
    n[_HAS_LOREM] += (has & LOREM_IPSUM) != 0
    n[_HAS_JS] += (has & JAVASCRIPT) != 0
    if rules[_JAVASCRIPT] and has & JAVASCRIPT:
        return _JS
    n[_HAS_BRACE] += (has & CURLY_BRACKET) != 0
    if rules[_POLICIES] and has & POLICY:
        return _POLICY
    return -1


@njit(nogil=True, cache=True, _nrt=False)
def _words_before(end, word, last_word, starts):
    """The first word of the row, from ``word`` on, that begins at ``end`` or behind it."""
    while word < last_word and starts[word] < end:
        word += 1
    return word


@njit(nogil=True, cache=True, _nrt=False)
def _long_word(text, base, starts, stops, word, last_word, most):
    """Whether one of the row's words ``word:last_word`` has more than ``most`` characters."""
    widest = np.uint32(0)
    for i in range(word, last_word):
        widest = max(widest, np.uint32(stops[i] - starts[i]))
    if widest > most:
        for i in range(word, last_word):
            if chars(text, base + starts[i], base + stops[i]) > most:
                return True
    return False


@njit(nogil=True, cache=True)
def _c4(offsets, text, word_rows, starts, stops, table, rules, limits):
    """(offsets of what is left, its bytes, counts)"""
    min_words, max_word, paragraph = limits
    rows = len(offsets) - 1
    counts = np.zeros((rows, len(C4_COUNTS)), np.int64)
    ends = np.zeros(rows + 1, np.int64)
    out = np.empty(len(text) + ROOM, np.uint8)
    size = np.int64(0)
    for row in range(rows):
        base = at = offsets[row]
        stop = offsets[row + 1]
        word, last_word = word_rows[row], word_rows[row + 1]
        n = counts[row]
        begun = size
        kept = False
        some_long = _long_word(text, base, starts, stops, word, last_word, max_word)
        while at < stop:
            line_stop, following = line_end(text, at, stop, True)
            begun_at = word
            word = _words_before(line_stop - base, word, last_word, starts)
            words = word - begun_at
            first, last = stripped(text, at, line_stop)
            at = following
            n[_LINES] += last > first
            size_of = chars(text, first, last)
            goes = _LONG
            new = last
            if not (some_long and _long_word(text, base, starts, stops, begun_at, word, max_word)):
                to = size + kept
                if rules[_CITATIONS]:
                    new = copy_uncited(text, first, last, out, to, table)
                else:
                    new = copy(text, first, last, out, to)
                cited = new - to < last - first
                if cited:
                    n[_CITED] += size_of
                    size_of = chars(out, to, new)
                    n[_CITED] -= size_of
                goes = _judge(out, to, new, words, cited, rules, min_words, n)
            if goes >= 0:
                n[_REMOVED] += last > first
                n[_REMOVED_CHARS] += size_of
                n[goes] += size_of
                continue
            if kept:
                out[size] = 10
            n[_SENTENCES] += sentence_count(out, to, new, table)
            n[_PARAGRAPHS] += size_of >= paragraph
            kept = True
            size = new
        n[_REMOVED_CHARS] += n[_CITED]
        # A line that ended in a citation may have white space before it.
        first, last = stripped(out, begun, size)
        for i in range(last - first if first > begun else 0):
            out[begun + i] = out[first + i]
        size = begun + last - first
        ends[row + 1] = size
    return ends, out[:size].copy(), counts


def c4_lines(
    offsets: Offsets,
    data: Bytes,
    words: tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]],
    *,
    terminal: bool,
    apostrophe: bool,
    recount: bool,
    citations: bool,
    javascript: bool,
    policy: bool,
    min_words: int,
    max_word_chars: int,
    paragraph_chars: int,
) -> Edited:
    """Each row without the lines that C4 removes; counts are C4_COUNTS.

    Lines end where ``str.splitlines`` ends them and lose the white space around them; those that stay are joined by
    LF. A line is tried in this order: a long word, its end, its words, javascript, a policy's phrase.

    Args:
        words: (rows, starts, stops) of the words of ``str.split``, as in ``curate.text.words.Words``.
        terminal: lines must end with . ? ! or a double quotation mark, and not with three full stops.
        apostrophe: an apostrophe ends a line too.
        recount: words are counted after citations are gone, not before.
        citations: remove [1], [], [edit] and [citation needed].
        javascript, policy: remove lines with these.
        min_words: lines with fewer words go; 0 to keep them.
        max_word_chars: lines with a longer word go.
        paragraph_chars: characters of a line that counts as a paragraph.
    """
    rules = np.array([terminal, apostrophe, recount, citations, javascript, policy])
    limits = np.array([min_words, max_word_chars, paragraph_chars], np.int64)
    offsets, text = padded(offsets, data, ROOM)
    ends, left, counts = _c4(offsets, text, *words, kinds(), rules, limits)
    return Edited(from_text(ends, left), counts)


@njit(nogil=True, cache=True)
def _unpunctuated(offsets, text, word_rows, starts, table, terminal, min_words, paragraph):
    """(offsets of what is left, its bytes, counts)"""
    rows = len(offsets) - 1
    counts = np.zeros((rows, len(C4_COUNTS)), np.int64)
    ends = np.zeros(rows + 1, np.int64)
    out = np.empty(len(text) + ROOM, np.uint8)
    size = np.int64(0)
    for row in range(rows):
        base = at = offsets[row]
        stop = offsets[row + 1]
        word, last_word = word_rows[row], word_rows[row + 1]
        n = counts[row]
        while at < stop:
            line_stop, following = line_end(text, at, stop, False)
            begun_at = word
            word = _words_before(line_stop - base, word, last_word, starts)
            words = word - begun_at
            first, last = stripped(text, at, line_stop)
            n[_LINES] += last > first
            has = phrases(text, at, line_stop)
            n[_HAS_LOREM] += (has & LOREM_IPSUM) != 0
            n[_HAS_JS] += (has & JAVASCRIPT) != 0
            n[_HAS_BRACE] += (has & CURLY_BRACKET) != 0
            goes = -1
            if terminal and (last == first or text[last - 1] not in (46, 63, 33, 34)):
                goes = _UNENDED
            elif words < min_words:
                goes = _SHORT
            size_of = chars(text, first, last)
            if goes >= 0:
                n[_REMOVED] += last > first
                n[goes] += size_of
                n[_REMOVED_CHARS] += size_of
            else:
                n[_SENTENCES] += sentence_count(text, first, last, table) if last > first else 0
                n[_PARAGRAPHS] += size_of >= paragraph
                size = copy(text, at, following, out, size)
            at = following
        ends[row + 1] = size
    return ends, out[:size].copy(), counts


def unpunctuated_lines(
    offsets: Offsets,
    data: Bytes,
    words: tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]],
    *,
    terminal: bool,
    min_words: int,
    paragraph_chars: int,
) -> Edited:
    """Each row without the lines that dolma's tagger ``c4_v2`` marks; counts are C4_COUNTS.

    Lines end at LF and stay as they are, with the LF. ``terminal``: lines that do not end with . ? ! or a double
    quotation mark go, white space aside (three full stops are an end); ``min_words``: those with fewer words go.
    ``words``: as for ``c4_lines``.
    """
    offsets, text = padded(offsets, data, ROOM)
    ends, left, counts = _unpunctuated(offsets, text, *words[:2], kinds(), terminal, min_words, paragraph_chars)
    return Edited(from_text(ends, left), counts)
