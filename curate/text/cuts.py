# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Texts without some spans of their bytes."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.arrow import Bytes, Offsets, buffers, from_text
from curate.text.swar import copy

__all__ = ["Cuts", "joined", "pieces", "spans_of", "whole_words", "without"]


_WORD: Final = 64
"""Bytes of a word that are looked at to find its end."""


class Cuts(NamedTuple):
    """What ``without`` gives.

    Attributes:
        text: large_string, every row.
        rows: int64[n + 1]; of row ``i`` the spans ``rows[i]:rows[i + 1]`` went.
        starts, stops: int64[m]; they lie in order and apart.
    """

    text: pa.LargeStringArray
    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]


@njit(nogil=True, cache=True, _nrt=False)
def _inside(data, first, at, stop):
    """Whether a place of a row lies within a UTF-8 sequence."""
    return first < at < stop and data[at] & 0xC0 == 0x80


@njit(nogil=True, cache=True)
def _merge(offsets, data, owner, starts, stops):
    """Spans of each row in order and apart; the row of the first span that can't be cut, or -1."""
    rows = np.zeros(len(offsets), np.int64)
    out_starts = np.empty(len(starts), np.int64)
    out_stops = np.empty(len(starts), np.int64)
    found = 0
    i = 0
    for row in range(len(offsets) - 1):
        first = offsets[row]
        size = offsets[row + 1] - first
        begin = found
        while i < len(owner) and owner[i] == row:
            start, stop = starts[i], stops[i]
            if start < 0 or stop < start or stop > size:
                return rows, out_starts, out_stops, row
            if _inside(data, first, first + start, first + size) or _inside(data, first, first + stop, first + size):
                return rows, out_starts, out_stops, row
            if found > begin and start <= out_stops[found - 1]:
                out_stops[found - 1] = max(stop, out_stops[found - 1])
            elif start < stop:
                out_starts[found] = start
                out_stops[found] = stop
                found += 1
            i += 1
        if found > begin and out_stops[found - 1] == size:
            # What stood before the cut end of a text is its new end: no white space is left there.
            at = out_starts[found - 1]
            while at > 0 and (data[first + at - 1] == 32 or 9 <= data[first + at - 1] <= 13):
                at -= 1
                while found > begin + 1 and out_stops[found - 2] == at:
                    found -= 1
                    at = out_starts[found - 1]
            out_starts[found - 1] = at
            out_stops[found - 1] = size
        rows[row + 1] = found
    return rows, out_starts[:found].copy(), out_stops[:found].copy(), np.int64(-1 if i == len(owner) else owner[i])


@njit(nogil=True, cache=True)
def _joined(owner, starts, stops):
    out_owner, out_starts, out_stops = owner.copy(), starts.copy(), stops.copy()
    found = 0
    for i in range(len(owner)):
        if found and out_owner[found - 1] == owner[i] and starts[i] <= out_stops[found - 1]:
            out_stops[found - 1] = max(out_stops[found - 1], stops[i])
        else:
            out_owner[found], out_starts[found], out_stops[found] = owner[i], starts[i], stops[i]
            found += 1
    return out_owner[:found], out_starts[:found], out_stops[:found]


def joined(
    owner: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Spans, sorted by owner and start, that overlap or touch as one."""
    return _joined(owner, starts, stops)


@njit(nogil=True, cache=True)
def _without(offsets, data, rows, starts, stops):
    ends = np.zeros(len(offsets), np.int64)
    out = np.empty(offsets[-1] - offsets[0] - np.sum(stops - starts), np.uint8)
    to = 0
    for row in range(len(offsets) - 1):
        first = offsets[row]
        at = np.int64(0)
        for i in range(rows[row], rows[row + 1]):
            size = starts[i] - at
            copy(out, to, data, first + at, size)
            to += size
            at = stops[i]
        size = offsets[row + 1] - first - at
        copy(out, to, data, first + at, size)
        to += size
        ends[row + 1] = to
    return ends, out


def without(
    text: pa.Array, owner: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]
) -> Cuts:
    """Texts without the bytes ``starts[i]:stops[i]`` of row ``owner[i]``; spans may overlap and touch.

    Where the end of a text is cut, so is the white space (space, tab, line ends) that is then its end.

    Args:
        owner, starts, stops: int64[m], sorted by owner, then by start.

    Raises TypeError for a span that lies outside of its row or ends within a character.
    """
    offsets, data = buffers(text)
    rows, begin, end, wrong = _merge(offsets, data, owner, starts, stops)
    if wrong >= 0:
        raise TypeError(f"spans to cut must be whole characters of their row, in order: row {wrong}")
    return Cuts(from_text(*_without(offsets, data, rows, begin, end)), rows, begin, end)


@njit(nogil=True, cache=True)
def _spans(offsets, data, owner, starts, stops):
    ends = np.zeros(len(owner) + 1, np.int64)
    out = np.empty(np.sum(stops - starts), np.uint8)
    to = 0
    for i in range(len(owner)):
        first = offsets[owner[i]]
        size = stops[i] - starts[i]
        copy(out, to, data, first + starts[i], size)
        to += size
        ends[i + 1] = to
    return ends, out


def pieces(
    offsets: Offsets,
    data: Bytes,
    owner: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
) -> tuple[Offsets, Bytes]:
    """The bytes ``starts[i]:stops[i]`` of row ``owner[i]``, one after the other, with offsets int64[m + 1]."""
    return _spans(offsets, data, owner, starts, stops)


def spans_of(
    text: pa.Array, owner: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]
) -> pa.LargeStringArray:
    """The texts of spans: the bytes ``starts[i]:stops[i]`` of row ``owner[i]``."""
    return from_text(*_spans(*buffers(text), owner, starts, stops))


@njit(nogil=True, cache=True, _nrt=False)
def _letter(byte):
    """Whether a byte is of a letter or digit, or of anything above ASCII."""
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte >= 128


@njit(nogil=True, cache=True)
def _whole_words(offsets, data, owner, starts, stops):
    out_starts, out_stops = starts.copy(), stops.copy()
    for i in range(len(owner)):
        first, end = offsets[owner[i]], offsets[owner[i] + 1]
        start, stop = first + starts[i], first + stops[i]
        while start < stop and start > first and data[start] & 0xC0 == 0x80:
            start += 1
        while start < stop < end and data[stop] & 0xC0 == 0x80:
            stop -= 1
        at = start
        if start > first and _letter(data[start - 1]):
            while at < min(stop, start + _WORD) and _letter(data[at]):
                at += 1
            if at < stop and not _letter(data[at]):
                start = at
        at = stop
        if stop < end and _letter(data[stop]):
            while at > max(start, stop - _WORD) and _letter(data[at - 1]):
                at -= 1
            if at > start and not _letter(data[at - 1]):
                stop = at
        if (
            first < start < stop < end
            and _letter(data[start - 1])
            and _letter(data[stop])
            and not _letter(data[stop - 1])
        ):
            stop -= 1
        out_starts[i], out_stops[i] = start - first, stop - first
    return out_starts, out_stops


def whole_words(
    text: pa.Array, owner: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Spans of bytes made smaller, until they cut no character and no word, and what stood around them is still apart.

    A word is a run of ASCII letters and digits and of whatever lies above ASCII; of one that has more than 64 bytes
    within the span (script without spaces, data) just the characters stay whole.
    """
    return _whole_words(*buffers(text), owner, starts, stops)
