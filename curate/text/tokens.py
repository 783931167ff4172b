# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Words cut into tokens as spaCy's blank English tokenizer cuts them, which is what datatrove counts.

The rules of spaCy 3.8 (``spacy.lang.punctuation``, ``spacy.lang.en``; MIT licence): signs come off both ends of a word,
one after the other; what is left is one token if it is an exception or looks like a URL, else it is cut at signs between
letters and digits. Letters, cases and other symbols are by Unicode's categories, where spaCy has lists.
"""

from __future__ import annotations

import threading
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.swar import TOPS, digits, letters, near, trailing
from curate.text.token_cuts import cut, entry
from curate.text.token_tables import KNOWN, characters, exceptions
from curate.text.word_hashes import near_hash

__all__ = ["tokens"]

_REMEMBERED: Final = 1 << 14
"""Words whose tokens are remembered."""
_ENDS: Final = 32
"""Bytes for the number of a remembered word's tokens and where each ends."""


class _Memory(threading.local):
    """How words were cut, one for each thread, by their hashes: words come again and again, within a batch and in the next.

    A later word takes the place of another. ``ends`` has the number of a word's tokens and where each ends.
    """

    def __init__(self) -> None:
        self.known = np.zeros(_REMEMBERED, np.uint64)
        self.ends = np.zeros(_REMEMBERED * _ENDS, np.uint8)


_memory = _Memory()


@njit(nogil=True, cache=True, inline="always")
def _whole(data, start, stop):
    """Whether it is all ASCII letters and digits, and no digit has a unit behind it: one token, if no exception."""
    chunk = near(data, start, stop)
    figures = digits(chunk)
    whole = trailing(~(letters(chunk) | figures) & TOPS) >> 3 >= min(stop - start, 8)
    at = start + 8
    while whole and at < stop:
        chunk = near(data, at, stop)
        more = digits(chunk)
        whole = trailing(~(letters(chunk) | more) & TOPS) >> 3 >= min(stop - at, 8)
        figures |= more
        at += 8
    return whole and (figures == 0 or 48 <= data[stop - 1] <= 57)


@njit(nogil=True, cache=True, _nrt=False)
def _longest(starts, stops):
    """Bytes of the longest run."""
    longest = np.int64(0)
    for i in range(len(starts)):
        longest = max(longest, np.int64(stops[i]) - np.int64(starts[i]))
    return longest


# Nothing is allocated in kernels without counts of references (see ``token_cuts``): their caller does.
@njit(nogil=True, cache=True, _nrt=False)
def _fill(
    offsets,
    data,
    rows,
    run_hashes,
    starts,
    stops,
    table,
    strings,
    cuts,
    ends,
    known,
    remembered,
    row,
    out_rows,
    hashes,
    firsts,
    lasts,
):
    """Write the tokens of the rows from ``row`` on; returns the row that there is no room for, or the number of rows."""
    size = out_rows[row]
    while row < len(rows) - 1:
        base = offsets[row]
        for i in range(rows[row], rows[row + 1]):
            start, stop = base + np.int64(starts[i]), base + np.int64(stops[i])
            if size + stop - start > len(hashes):
                return row
            key = run_hashes[i]
            if _whole(data, start, stop) and not entry(key, strings) & KNOWN:
                hashes[size] = key
                firsts[size] = starts[i]
                lasts[size] = stops[i]
                size += 1
                continue
            slot = np.int64(key >> np.uint64(40)) & (_REMEMBERED - 1)
            memory = slot * _ENDS
            # Its last end is checked, so that words of different sizes are never mistaken for each other.
            if known[slot] == key and np.int64(remembered[memory + np.int64(remembered[memory])]) == stop - start:
                begin = start
                for k in range(memory + 1, memory + 1 + np.int64(remembered[memory])):
                    end = start + np.int64(remembered[k])
                    hashes[size] = near_hash(data, begin, end)
                    firsts[size] = begin - base
                    lasts[size] = end - base
                    size += 1
                    begin = end
                continue
            number = cut(data, start, stop, table, strings, cuts, ends)
            if number < _ENDS and stop - start < 256:
                known[slot] = key
                remembered[memory] = number
                for k in range(number):
                    remembered[memory + 1 + k] = ends[k] - start
            for k in range(number):
                end = ends[k]
                hashes[size] = near_hash(data, start, end)
                firsts[size] = start - base
                lasts[size] = end - base
                size += 1
                start = end
        row += 1
        out_rows[row] = size
    return row


def tokens(
    offsets: Offsets,
    data: Bytes,
    rows: Offsets,
    hashes: npt.NDArray[np.uint64],
    starts: npt.NDArray[np.uint32],
    stops: npt.NDArray[np.uint32],
) -> tuple[Offsets, npt.NDArray[np.uint64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Tokens of every row, from its runs without white space: rows, hashes, starts, stops as in ``words.Words``."""
    if len(data) < 8:
        data = np.concatenate([data, np.zeros(8, np.uint8)])
        data.flags.writeable = False
    longest = int(_longest(starts, stops))
    cuts, ends = np.empty(longest + 4, np.int64), np.empty(longest + 4, np.int64)
    out_rows = np.zeros(len(rows), np.int64)
    # Words have 1.6 tokens on pages with code; pages of memory that are not written to cost nothing.
    room = 2 * len(starts) + longest + 16
    found = np.empty(room, np.uint64), np.empty(room, np.uint32), np.empty(room, np.uint32)
    row = 0
    while True:
        row = _fill(
            *(offsets, data, rows, hashes, starts, stops, characters(), exceptions()),
            *(cuts, ends, _memory.known, _memory.ends, row, out_rows, *found),
        )
        size = int(out_rows[row])
        if row == len(rows) - 1:
            # No copies: room that nothing was written to takes no memory.
            return out_rows, found[0][:size], found[1][:size], found[2][:size]
        room += room // 2 + int(rows[row + 1] - rows[row]) + longest
        grown = np.empty(room, np.uint64), np.empty(room, np.uint32), np.empty(room, np.uint32)
        grown[0][:size], grown[1][:size], grown[2][:size] = found[0][:size], found[1][:size], found[2][:size]
        found = grown
