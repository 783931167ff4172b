# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Documents packed into sequences of one length: where each piece goes, by cutting one stream or by best fit.

A document's tokens are its own and the end-of-text token behind them; ``lengths`` count both. What the columns of packed
sequences hold is ``curate.text.packed``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.swar import trailing

__all__ = ["Spans", "best_fit", "concat", "readable"]

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE: Final = np.uint64(1)


@dataclass(frozen=True)
class Spans:
    """Pieces of documents in sequences, in the order in which they stand there; what no piece covers is padding, and
    stands at a sequence's end.

    Attributes:
        sequences: how many sequences there are.
        size: tokens in each.
        sequence: int64[m], the sequence each piece is in, from 0 on; never falls.
        at: int32[m], the place in the sequence at which it begins.
        row: int64[m], the document it is of.
        start: int64[m], the token of the document at which it begins.
        length: int32[m], its tokens, 1 or more.
    """

    sequences: int
    size: int
    sequence: I64
    at: I32
    row: I64
    start: I64
    length: I32

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def tokens(self) -> int:
        """Tokens of documents in all sequences."""
        return int(self.length.sum(dtype=np.int64))

    @property
    def padding(self) -> int:
        """Places in all sequences that no document fills."""
        return self.sequences * self.size - self.tokens

    def cut(self, lengths: I64) -> npt.NDArray[np.bool_]:
        """bool[m]: whether the piece is less than its document. ``lengths``: those that were packed."""
        return np.asarray(self.length < np.asarray(lengths)[self.row])

    def packed(self, documents: int) -> I64:
        """int64[documents]: how many tokens of each document stand in a sequence; what is missing was left out."""
        # Weighted counts are float64: exact, since a window has fewer than 2^53 tokens.
        return np.bincount(self.row, self.length, documents).astype(np.int64)

    def between(self, first: int, stop: int) -> Spans:
        """The sequences from ``first`` on, before ``stop``, numbered from 0 on."""
        a, b = np.searchsorted(self.sequence, [first, stop])
        return Spans(
            stop - first, self.size, self.sequence[a:b] - first, self.at[a:b], self.row[a:b], self.start[a:b],
            self.length[a:b],
        )  # fmt: skip

    def batches(self, rows: int) -> Iterator[Spans]:
        """All sequences, ``rows`` at a time."""
        for first in range(0, self.sequences, rows):
            yield self.between(first, min(first + rows, self.sequences))


def readable(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The array as kernels take it: contiguous, of that type, read-only (so that each kernel is compiled once)."""
    found = np.ascontiguousarray(array, dtype).view()
    found.flags.writeable = False
    return found


def concat(lengths: I64, size: int, before: int = 0, start: int = 0, stop: int | None = None) -> Spans:
    """Documents one behind the other, cut every ``size`` tokens: a window of that stream.

    A document that begins before the window or ends after it has its part in it. Windows that follow one another, each
    a multiple of ``size`` long, give together what one window gives. Only a window that goes on behind the last
    document has padding, in its last sequences.

    Args:
        lengths: int64[n], tokens of documents that follow one another and cover the window (but for its padding).
        before: tokens in the stream before the first of them.
        start: token of the stream at which the window begins.
        stop: where it ends; None: behind the last full sequence. What stands behind it is in no piece (``packed``).

    Raises ValueError for a window that is no multiple of ``size``, or begins before the first document given.
    """
    lengths = readable(lengths, np.int64)
    if stop is None:
        stop = start + (before + int(lengths.sum()) - start) // size * size
    if stop < start or (stop - start) % size or before > start:
        raise ValueError(f"no window of sequences of {size}: [{start}, {stop}), documents from {before} on")
    return Spans((stop - start) // size, size, *_concat(lengths, size, before, start, stop))


@njit(nogil=True, cache=True)
def _concat(lengths, size, before, start, stop):
    """Pieces are counted, then written: (sequence, at, row, start, length)."""
    count = 0
    begin = before
    for i in range(len(lengths)):
        end = begin + lengths[i]
        low, high = max(begin, start), min(end, stop)
        if low < high:
            count += (high - 1 - start) // size - (low - start) // size + 1
        begin = end
    sequence = np.empty(count, np.int64)
    at = np.empty(count, np.int32)
    row = np.empty(count, np.int64)
    first = np.empty(count, np.int64)
    length = np.empty(count, np.int32)
    k = 0
    begin = before
    for i in range(len(lengths)):
        end = begin + lengths[i]
        low, high = max(begin, start), min(end, stop)
        while low < high:
            number = (low - start) // size
            upto = min(high, start + (number + 1) * size)
            sequence[k] = number
            at[k] = low - start - number * size
            row[k] = i
            first[k] = low - begin
            length[k] = upto - low
            k += 1
            low = upto
        begin = end
    return sequence, at, row, first, length


def best_fit(lengths: I64, size: int) -> Spans:
    """Documents packed whole, each into the fullest sequence that has room for it, the longest first.

    No document of up to ``size`` tokens is cut. Of a longer one, full sequences are cut off, and its rest is packed as any
    other document is. Full sequences come first, then the others in the order in which they were begun; the documents in
    a sequence are in the order given, so that nothing but their sum depends on their lengths. Of documents of one length
    the first goes first, into that one of equally full sequences that got a document last.

    Args:
        lengths: int64[n], tokens of documents; of those with none there is no piece.
    """
    full, count, *pieces = _best_fit(readable(lengths, np.int64), size)
    return Spans(full + count, size, *pieces)


@njit(nogil=True, cache=True, inline="always")
def _mark(marks, groups, room):
    """Say that a sequence with that room is there."""
    word = room >> 6
    marks[word] |= _ONE << np.uint64(room & 63)
    groups[word >> 6] |= _ONE << np.uint64(word & 63)


@njit(nogil=True, cache=True, inline="always")
def _clear(marks, groups, room):
    """Say that no sequence with that room is there."""
    word = room >> 6
    marks[word] &= ~(_ONE << np.uint64(room & 63))
    if not marks[word]:
        groups[word >> 6] &= ~(_ONE << np.uint64(word & 63))


@njit(nogil=True, cache=True, inline="always")
def _first(marks, groups, least):
    """The least room that is there and at least ``least``, or -1: 64 rooms are looked at at once, then 64 times 64."""
    word = least >> 6
    here = marks[word] & (_ALL << np.uint64(least & 63))
    if here:
        return (word << 6) + trailing(here)
    word += 1
    group = word >> 6
    if group >= len(groups):
        return np.int64(-1)
    there = groups[group] & (_ALL << np.uint64(word & 63))
    while not there:
        group += 1
        if group == len(groups):
            return np.int64(-1)
        there = groups[group]
    word = (group << 6) + trailing(there)
    return (word << 6) + trailing(marks[word])


@njit(nogil=True, cache=True)
def _by_length(lengths, size):
    """Rows whose rest is not 0, by falling rest, then by row: a sort by counting."""
    starts = np.zeros(size + 1, np.int64)
    for i in range(len(lengths)):
        starts[size - lengths[i] % size] += 1
    total = 0
    for gap in range(size):  # a gap of ``size``: no rest
        count = starts[gap]
        starts[gap] = total
        total += count
    order = np.empty(total, np.int64)
    for i in range(len(lengths)):
        gap = size - lengths[i] % size
        if gap < size:
            order[starts[gap]] = i
            starts[gap] += 1
    return order


@njit(nogil=True, cache=True)
def _fitted(lengths, size):
    """(How many sequences rests need, the one that each row's rest is in: int64[n])."""
    order = _by_length(lengths, size)
    marks = np.zeros((size >> 6) + 2, np.uint64)
    groups = np.zeros((len(marks) >> 6) + 1, np.uint64)
    head = np.full(size + 1, -1, np.int64)  # by room, the sequence that got a document last; then as ``behind`` says
    behind = np.empty(len(order), np.int64)
    into = np.full(len(lengths), -1, np.int64)
    count = 0
    for i in order:
        rest = lengths[i] % size
        room = _first(marks, groups, rest)
        if room < 0:
            found, room = count, size
            count += 1
        else:
            found = head[room]
            head[room] = behind[found]
            if head[room] < 0:
                _clear(marks, groups, room)
        into[i] = found
        room -= rest
        if room:
            if head[room] < 0:
                _mark(marks, groups, room)
            behind[found] = head[room]
            head[room] = found
    return count, into


@njit(nogil=True, cache=True)
def _best_fit(lengths, size):
    """(Full sequences, others, sequence, at, row, start, length)."""
    count, into = _fitted(lengths, size)
    full = 0
    places = np.zeros(count + 1, np.int64)  # where the pieces of each sequence of rests begin
    for i in range(len(lengths)):
        full += lengths[i] // size
        if into[i] >= 0:
            places[into[i] + 1] += 1
    places[0] = full
    for k in range(count):
        places[k + 1] += places[k]
    pieces = places[count]
    sequence = np.empty(pieces, np.int64)
    at = np.zeros(pieces, np.int32)
    row = np.empty(pieces, np.int64)
    first = np.empty(pieces, np.int64)
    length = np.empty(pieces, np.int32)
    used = np.zeros(count, np.int32)
    number = 0
    for i in range(len(lengths)):
        cuts = lengths[i] // size
        for cut in range(cuts):
            sequence[number] = number
            row[number] = i
            first[number] = cut * size
            length[number] = size
            number += 1
        b = into[i]
        if b >= 0:
            k = places[b]
            places[b] += 1
            rest = lengths[i] - cuts * size
            sequence[k] = full + b
            at[k] = used[b]
            row[k] = i
            first[k] = cuts * size
            length[k] = rest
            used[b] += rest
    return full, count, sequence, at, row, first, length
