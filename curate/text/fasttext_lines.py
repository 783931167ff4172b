# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Texts as lines of words, the way fastText reads a training file, and what comes before: a cut, small letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from numba import njit

from curate.text import unicode
from curate.text.arrow import Bytes, Offsets, from_text
from curate.text.swar import copy
from curate.text.utf8 import decode, encode, read64

if TYPE_CHECKING:
    from curate.text.words import Words

__all__ = ["END", "LABEL", "first_words", "is_end", "is_label", "lines", "small_letters"]

LABEL: Final = "__label__"
"""What begins a label in a training file (``Args::label``)."""
END: Final = "</s>"
"""The word with which fastText ends every line (``Dictionary::EOS``), and at which it stops reading one."""
_LABEL8: Final = np.uint64(int.from_bytes(b"__label_", "little"))
_UNDERSCORE: Final = np.uint8(ord("_"))
_SPACE: Final = np.uint8(ord(" "))


@njit(nogil=True, cache=True, inline="always")
def is_label(data, at, stop):
    """Whether the word ``data[at:stop]`` begins with ``__label__``."""
    return stop - at > 8 and data[at + 8] == _UNDERSCORE and read64(data, at) == _LABEL8


@njit(nogil=True, cache=True, inline="always")
def is_end(data, at, stop):
    """Whether the word ``data[at:stop]`` is ``</s>``."""
    return stop - at == 4 and data[at] == 60 and data[at + 1] == 47 and data[at + 2] == 115 and data[at + 3] == 62


@njit(nogil=True, cache=True, inline="always")
def _separates(byte):
    """Whether fastText ends a word here: the bytes 9 to 13, 32 and 0."""
    return byte == 32 or 9 <= byte <= 13 or byte == 0


@njit(nogil=True, cache=True)
def _stops(offsets, data, limit):
    """Where each row's words end that lie within its first ``limit`` bytes, int64[n]."""
    out = np.empty(len(offsets) - 1, np.int64)
    for row in range(len(out)):
        stop = offsets[row + 1]
        if stop - offsets[row] > limit:
            stop = offsets[row] + limit
            while stop > offsets[row] and not _separates(data[stop]):
                stop -= 1
        out[row] = stop
    return out


@njit(nogil=True, cache=True)
def _copied(offsets, data, stops):
    """Rows that end at ``stops``, one after another: int64[n + 1] from 0, uint8[:]."""
    ends = np.zeros(len(offsets), np.int64)
    for row in range(len(stops)):
        ends[row + 1] = ends[row] + stops[row] - offsets[row]
    out = np.empty(ends[-1], np.uint8)
    for row in range(len(stops)):
        copy(out, ends[row], data, offsets[row], stops[row] - offsets[row])
    return ends, out


def first_words(offsets: Offsets, data: Bytes, limit: int) -> tuple[Offsets, Bytes]:
    """Rows cut to the words that lie wholly within their first ``limit`` bytes; the same arrays where nothing is longer.

    A row that is cut ends where a word ends, so that cutting it once more changes nothing. A row whose first ``limit``
    bytes are of one word becomes empty.
    """
    if len(offsets) < 2 or int(np.diff(offsets).max()) <= limit:
        return offsets, data
    return _copied(offsets, data, _stops(offsets, data, limit))


@njit(nogil=True, cache=True)
def _small(offsets, data, fold):
    """Rows with each code point folded; a byte that begins no valid UTF-8 stays: int64[n + 1] from 0, uint8[:]."""
    ends = np.zeros(len(offsets), np.int64)
    # A folded code point takes at most 3 bytes for 2 (U+023A and U+2C65).
    out = np.empty((offsets[-1] - offsets[0]) // 2 * 3 + 1, np.uint8)
    to = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            byte = data[at]
            if byte < 128:
                out[to] = byte + np.uint8(32) if 65 <= byte <= 90 else byte
                at += 1
                to += 1
                continue
            point, width = decode(data, at, stop)
            folded = np.int64(fold[point]) if 0 <= point < len(fold) else point
            if folded == point:
                for i in range(width):
                    out[to + i] = data[at + i]
                to += width
            else:
                to = encode(out, to, folded)
            at += width
        ends[row + 1] = to
    return ends, out[:to]


def small_letters(offsets: Offsets, data: Bytes) -> tuple[Offsets, Bytes]:
    """Rows with Unicode's simple case folding (the committed tables'): ``ÉTÉ`` becomes ``été``, ``ẞ`` becomes ``ß``."""
    return _small(offsets, data, unicode.folding())


@njit(nogil=True, cache=True)
def _lines(offsets, data, rows, starts, stops):
    """Each row's words with a space between two, without labels and ``</s>``: int64[n + 1] from 0, uint8[:]."""
    ends = np.zeros(len(offsets), np.int64)
    out = np.empty(offsets[-1] - offsets[0], np.uint8)  # a line is no longer than what it is made of
    to = 0
    for row in range(len(offsets) - 1):
        first = offsets[row]
        begin = to
        for i in range(rows[row], rows[row + 1]):
            at, stop = first + np.int64(starts[i]), first + np.int64(stops[i])
            if is_label(data, at, stop) or is_end(data, at, stop):
                continue
            if to > begin:
                out[to] = _SPACE
                to += 1
            copy(out, to, data, at, stop - at)
            to += stop - at
        ends[row + 1] = to
    return ends, out[:to]


def lines(offsets: Offsets, data: Bytes, words: Words) -> pa.LargeStringArray:
    """Each row's words (policy ``raw``) with one space between two; labels and ``</s>`` are left out."""
    return from_text(*_lines(offsets, data, words.rows, words.starts, words.stops))
