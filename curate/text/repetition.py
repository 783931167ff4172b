# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Characters in repeated n-grams of words, n from 2 to 10, in each engine's way; all counts are int64.

Words are told apart by their 64-bit hashes; n-grams exactly by their words. An n-gram has a name, a small number, and the
name of an (n + 1)-gram is the pair of names of the two n-grams in it. An n-gram that repeats has only n-grams in it that
repeat, so positions whose n-gram is the only one of its kind are left out of all longer ones, and most texts are done
after three or four rounds.

========= ============================================================= ============================================
counting  ``top_n``, n = 2, 3, 4                                        ``repeated_n``, n = 5 ... 10
========= ============================================================= ============================================
paper     characters covered by the most frequent n-gram (the longest   characters covered by n-grams that occurred
          of equally frequent ones), each once; 0 if none repeats       before, each once
datatrove the most frequent n-gram (the first of equally frequent       characters of n-grams that occurred before;
          ones): its length with blanks between words, times its        goes on behind each one, and n-grams are
          occurrences, even if that is one                              equal when their words, put together, are
dolma     as datatrove, without blanks                                  characters of all occurrences of n-grams
                                                                        that repeat, over those of all n-grams
dclm      the most frequent n-gram (the longest of equally frequent     characters covered by any n-gram that
          ones): its length without blanks, times its occurrences;      repeats, the first one too, each once
          0 if none repeats
========= ============================================================= ============================================
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.massivetext import DATATROVE, DCLM, DOLMA, PAPER
from curate.text.swar import write64
from curate.text.utf8 import read64

__all__ = ["REPEATED", "TOP", "repetition"]

TOP: Final = (2, 3, 4)
REPEATED: Final = (5, 6, 7, 8, 9, 10)

_LAST: Final = 10
_MOST: Final = 0xFFFFFFF0
_FIRST_WORD: Final = np.uint64(0x9E3779B97F4A7C15)
_NEXT_FACTOR: Final = np.uint64(0x632BE59BD9B4E01A)
"""Even, so that factors stay odd; any would do."""
_STEP: Final = 16
_DEEPEST: Final = 32
"""Bytes up to which it is found out whether what stands from a word on stands from another one on, too."""
_NEVER: Final = 1 << 30


@njit(nogil=True, cache=True)
def _mask(size):
    """One less than the table size for that many names."""
    mask = np.int64(15)
    while mask + 1 < 2 * size:
        mask = 2 * mask + 1
    return mask


@njit(nogil=True, cache=True)
def _name_pairs(hashes, size, table, mark, first, counts):
    """Name the 2-grams of a row: ``first[i]`` is where the words ``i``, ``i + 1`` stand first, ``counts`` how often."""
    mask = _mask(size)
    for i in range(size):
        one, two = hashes[i], hashes[i + 1]
        key = one * _FIRST_WORD + two
        key ^= key >> np.uint64(32)
        slot = np.int64(key) & mask
        while True:
            entry = np.int64(table[slot])
            if entry < mark:
                table[slot] = mark + i
                first[i] = i
                counts[i] = 1
                break
            found = entry - mark
            if hashes[found] == one and hashes[found + 1] == two:
                first[i] = found
                counts[found] += 1
                break
            slot = (slot + 1) & mask


@njit(nogil=True, cache=True)
def _name(keys, size, table, mark, first, counts):
    """Name candidates by their keys: ``first[c]`` is the first one with the key of ``c``, ``counts`` how many."""
    mask = _mask(size)
    for c in range(size):
        key = keys[c]
        mixed = key * _FIRST_WORD
        slot = np.int64(mixed >> np.uint64(32)) & mask
        while True:
            entry = np.int64(table[slot])
            if entry < mark:
                table[slot] = mark + c
                first[c] = c
                counts[c] = 1
                break
            found = entry - mark
            if keys[found] == key:
                first[c] = found
                counts[found] += 1
                break
            slot = (slot + 1) & mask


@njit(nogil=True, cache=True)
def _top(places, first, counts, size, n, ends, counting):
    """Characters of the most frequent n-gram, in the counting's way; ``places[c]`` is the word candidate c begins at."""
    best = 1
    top = -1
    longest = 0
    for c in range(size):
        if first[c] != c or counts[c] < max(best, 2):
            continue
        length = ends[places[c] + n] - ends[places[c]]
        if counts[c] > best or (counting in (PAPER, DCLM) and length > longest):
            best, top, longest = counts[c], c, length
    if top < 0:
        if counting in (PAPER, DCLM):
            return np.int64(0)
        longest = ends[n]
    if counting == PAPER:
        covered = reached = np.int64(0)
        for c in range(size):
            if first[c] == top:
                covered += ends[places[c] + n] - ends[max(reached, places[c])]
                reached = np.int64(places[c] + n)
        return covered
    if counting == DATATROVE:
        longest += n - 1
    return np.int64(longest) * best


@njit(nogil=True, cache=True)
def _repeats(places, first, counts, size, n, ends, counting):
    """(characters in repeated n-grams, how many candidates repeat); leaves only these, by place and by name."""
    held = 0
    total = reached = np.int64(0)
    for c in range(size):
        if counts[first[c]] < 2:
            continue
        place = places[c]
        if counting == DOLMA:
            total += ends[place + n] - ends[place]
        elif counting == DCLM or first[c] != c:
            total += ends[place + n] - ends[max(reached, place)]
            reached = np.int64(place + n)
        places[held] = place
        first[held] = first[c]
        held += 1
    return total, held


@njit(nogil=True, cache=True)
def _longer(places, names, size, keys):
    """Candidates for n + 1 from the n-grams that repeat: how many, with ``places`` and ``keys`` of each."""
    found = 0
    for j in range(size - 1):
        place = places[j]
        keys[found] = (np.uint64(names[j]) << np.uint64(32)) | np.uint64(names[j + 1])
        adjacent = places[j + 1] == place + 1
        places[found] = place
        found += adjacent
    return found


@njit(nogil=True, cache=True)
def _grams(hashes, ends, counting, last, table, mark, places, first, counts, keys, out):
    """Fill ``out[n - 2]`` for n = 2 to ``last``; returns the mark for the next use of the table."""
    words = len(hashes)
    size = max(words - 1, 0)
    _name_pairs(hashes, size, table, mark, first, counts)
    mark += size
    for i in range(size):
        places[i] = i
    for n in range(2, last + 1):
        if n <= 4 and words >= n:
            out[n - 2] = _top(places, first, counts, size, n, ends, counting)
        total, size = _repeats(places, first, counts, size, n, ends, counting)
        if n > 4:
            out[n - 2] = total
        size = _longer(places, first, size, keys)
        if n < last:
            _name(keys, size, table, mark, first, counts)
            mark += size
    return mark


@njit(nogil=True, cache=True)
def _every(ends, words, n):
    """Characters of all n-grams: the sum of ``ends[i + n] - ends[i]`` over all i."""
    total = np.int64(0)
    for i in range(words - n + 1):
        total += ends[i + n] - ends[i]
    return total


# -- datatrove's repeated n-grams: strings of words put together --------------------------------------------------


@njit(nogil=True, cache=True)
def _glue(data, base, starts, stops, stream, edges):
    """A row's words, put together, into ``stream``; ``edges[i]`` is where word i begins there."""
    at = np.int64(0)
    for i in range(len(starts)):
        edges[i] = at
        start = base + np.int64(starts[i])
        stop = base + np.int64(stops[i])
        if stop + 8 <= len(data):
            for k in range(start, stop, 8):
                write64(stream, at + k - start, read64(data, k))
        else:
            for k in range(start, stop):
                stream[at + k - start] = data[k]
        at += stop - start
    edges[len(starts)] = at
    stream[at : at + _DEEPEST + 8] = 0


@njit(nogil=True, cache=True)
def _name_chunks(stream, edges, places, names, size, depth, table, mark, first, counts):
    """Name candidates by their names so far and their _STEP bytes at ``depth`` from the word's beginning."""
    mask = _mask(size)
    for c in range(size):
        at = edges[places[c]] + depth
        one, two = read64(stream, at), read64(stream, at + 8)
        name = names[c]
        mixed = (one * _FIRST_WORD + two + np.uint64(name)) * _FIRST_WORD
        slot = np.int64(mixed >> np.uint64(32)) & mask
        while True:
            entry = np.int64(table[slot])
            if entry < mark:
                table[slot] = mark + c
                first[c] = c
                counts[c] = 1
                break
            found = entry - mark
            other = edges[places[found]] + depth
            if names[found] == name and read64(stream, other) == one and read64(stream, other + 8) == two:
                first[c] = found
                counts[found] += 1
                break
            slot = (slot + 1) & mask


@njit(nogil=True, cache=True)
def _alone(stream, edges, words, table, mark, places, names, first, counts, alone):
    """``alone[i]``: how many bytes from word i on are found from no other word on, in steps; an n-gram that is at
    least as long has no equal. _NEVER if more than _DEEPEST are common. Returns the table's next mark.
    """
    size = words
    for i in range(words):
        places[i] = i
        names[i] = 0
        alone[i] = _NEVER
    for depth in range(0, _DEEPEST, _STEP):
        _name_chunks(stream, edges, places, names, size, depth, table, mark, first, counts)
        mark += size
        held = 0
        for c in range(size):
            place = places[c]
            again = counts[first[c]] > 1
            alone[place] = _NEVER if again else depth + _STEP
            places[held] = place
            names[held] = first[c]
            held += again
        size = held
    return mark


@njit(nogil=True, cache=True)
def _hash(stream, start, stop):
    """A hash of ``stream[start:stop]``, which has eight more bytes behind it; for tables that compare."""
    value = np.uint64(stop - start)
    factor = _FIRST_WORD
    while start + 8 <= stop:
        value += read64(stream, start) * factor
        factor += _NEXT_FACTOR
        start += 8
    left = np.uint64(64 - 8 * (stop - start))
    if start < stop:
        value += (read64(stream, start) << left) * factor
    return value ^ (value >> np.uint64(32))


@njit(nogil=True, cache=True)
def _equal(stream, a, b, size):
    """Whether ``size`` bytes at a and at b are the same; eight more lie behind them."""
    at = np.int64(0)
    while at + 8 <= size:
        if read64(stream, a + at) != read64(stream, b + at):
            return False
        at += 8
    if at < size:
        left = np.uint64(64 - 8 * (size - at))
        return (read64(stream, a + at) << left) == (read64(stream, b + at) << left)
    return True


@njit(nogil=True, cache=True)
def _skipping(stream, edges, candidates, size, n, ends, table, mark, held):
    """(characters of n-grams that occurred before, n-grams held): datatrove's ``find_all_duplicate``.

    Only n-grams of candidates, words in order, are looked up: all others have no equal. ``held`` gets those in the table.
    """
    mask = _mask(size)
    total = np.int64(0)
    count = 0
    going_on = 0
    for c in range(size):
        at = candidates[c]
        if at < going_on:
            continue
        start = np.int64(edges[at])
        length = np.int64(edges[at + n]) - start
        slot = np.int64(_hash(stream, start, start + length) >> np.uint64(8)) & mask
        while True:
            entry = np.int64(table[slot])
            if entry < mark:
                table[slot] = mark + count
                held[count] = at
                count += 1
                break
            other = held[entry - mark]
            begin = np.int64(edges[other])
            if np.int64(edges[other + n]) - begin == length and _equal(stream, start, begin, length):
                total += ends[at + n] - ends[at]
                going_on = at + n
                break
            slot = (slot + 1) & mask
    return total, count


@njit(nogil=True, cache=True)
def _glued(data, base, starts, stops, ends, table, mark, places, names, first, counts, alone, stream, edges, out):
    """Fill ``out[n - 2]`` for n = 5 to 10 in datatrove's way; returns the mark for the next use of the table."""
    words = len(starts)
    if words <= 5:
        return mark
    _glue(data, base, starts, stops, stream, edges)
    mark = _alone(stream, edges, words, table, mark, places, names, first, counts, alone)
    size = words
    for i in range(words):
        places[i] = i
    for n in range(5, _LAST + 1):
        kept = 0
        for c in range(size):
            at = places[c]
            if at + n <= words:
                places[kept] = at
                kept += edges[at + n] - edges[at] < alone[at]
        size = kept
        total, held = _skipping(stream, edges, places, size, n, ends, table, mark, first)
        out[n - 2] = total
        mark += held
    return mark


# -- all rows -----------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _repetition(offsets, data, rows, hashes, starts, stops, lengths, counting):
    count = len(rows) - 1
    out = np.zeros((count, 15), np.int64)
    most = widest = np.int64(0)
    for row in range(count):
        most = max(most, rows[row + 1] - rows[row])
        widest = max(widest, offsets[row + 1] - offsets[row])
    # Room for the longest row, once. An entry of the table is a mark plus a number; what is below the mark was put
    # there for another row or another n, so that nothing is cleared in between.
    table = np.zeros(_mask(most) + 1, np.uint32)
    ends = np.empty(most + 1, np.int32)
    places = np.empty(most + 1, np.int32)
    first = np.empty(most + 1, np.int32)
    counts = np.empty(most + 1, np.int32)
    keys = np.empty(most + 1, np.uint64)
    glued = counting == DATATROVE
    names = np.empty(most if glued else 0, np.int32)
    alone = np.empty(most if glued else 0, np.int32)
    stream = np.empty(widest + 128 if glued else 0, np.uint8)
    edges = np.empty(most + 1 if glued else 0, np.int32)
    mark = np.int64(1)
    for row in range(count):
        a, b = rows[row], rows[row + 1]
        if mark + 16 * (b - a) > _MOST:
            table[:] = 0
            mark = np.int64(1)
        ends[0] = 0
        for i in range(b - a):
            ends[i + 1] = ends[i] + lengths[a + i]
        last = 4 if glued else _LAST
        mark = _grams(hashes[a:b], ends, counting, last, table, mark, places, first, counts, keys, out[row])
        if glued:
            mark = _glued(
                *(data, offsets[row], starts[a:b], stops[a:b], ends, table, mark),
                *(places, names, first, counts, alone, stream, edges, out[row]),
            )
        if counting == DOLMA:
            for n in range(5, _LAST + 1):
                out[row, n + 4] = _every(ends, b - a, n)
    return out


def repetition(
    offsets: Offsets,
    data: Bytes,
    rows: Offsets,
    hashes: npt.NDArray[np.uint64],
    starts: npt.NDArray[np.uint32],
    stops: npt.NDArray[np.uint32],
    lengths: npt.NDArray[np.int32],
    counting: int,
) -> dict[str, npt.NDArray[np.int64]]:
    """Characters in repeated n-grams of each row, int64[n]: ``top_2`` ... ``top_4``, ``repeated_5`` ... ``repeated_10``.

    With ``dolma`` also ``all_5`` ... ``all_10``, what its shares are of: the characters of all n-grams of that length.

    Args:
        offsets, data: the text, int64[n + 1] and uint8[:].
        rows: int64[n + 1]; row ``i`` has the words ``rows[i]:rows[i + 1]``.
        hashes: uint64[m]; equal for equal words only.
        starts, stops: uint32[m]; each word's bytes, from its row's own beginning; a row has less than 2^31.
        lengths: int32[m]; each word's characters.
        counting: ``massivetext.PAPER``, ``DATATROVE``, ``DOLMA`` or ``DCLM``.
    """
    found = _repetition(offsets, data, rows, hashes, starts, stops, lengths, counting)
    names = [f"top_{n}" for n in TOP] + [f"repeated_{n}" for n in REPEATED]
    names += [f"all_{n}" for n in REPEATED] if counting == DOLMA else []
    return {name: np.ascontiguousarray(found[:, i]) for i, name in enumerate(names)}
