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

from curate.text.arrow import Bytes, Offsets, columns
from curate.text.glued_ngrams import DEEPEST, LAST, glued_ngrams
from curate.text.hashing import table_mask
from curate.text.massivetext import DATATROVE, DCLM, DOLMA, PAPER
from curate.text.swar import SEED

__all__ = ["REPEATED", "TOP", "repetition"]

TOP: Final = (2, 3, 4)
REPEATED: Final = (5, 6, 7, 8, 9, 10)

_MOST: Final = 0xFFFFFFF0
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True, _nrt=False)
def _name_pairs(hashes, size, table, mark, first, counts):
    """Name the 2-grams of a row: ``first[i]`` is where the words ``i``, ``i + 1`` stand first, ``counts`` how often.

    ``counts`` is 0 where they stood before. Returns the highest count.
    """
    mask = table_mask(size)
    best = 0
    for i in range(size):
        one, two = hashes[i], hashes[i + 1]
        key = one * _FACTOR + two
        key ^= key >> np.uint64(32)
        slot = np.int64(key) & mask
        counts[i] = 0
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
                best = max(best, counts[found])
                break
            slot = (slot + 1) & mask
    return best


@njit(nogil=True, cache=True, _nrt=False)
def _name(keys, size, table, mark, first, counts):
    """Name candidates by their keys as ``_name_pairs`` names words; returns the highest count."""
    mask = table_mask(size)
    best = 0
    for c in range(size):
        key = keys[c]
        mixed = key * _FACTOR
        slot = np.int64(mixed >> np.uint64(32)) & mask
        counts[c] = 0
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
                best = max(best, counts[found])
                break
            slot = (slot + 1) & mask
    return best


@njit(nogil=True, cache=True, _nrt=False)
def _top(places, first, counts, size, best, n, ends, counting):
    """Characters of the most frequent n-gram, in the counting's way; ``places[c]`` is the word candidate c begins at."""
    tied = counting in (PAPER, DCLM)
    if best < 2:
        return np.int64(0) if tied else np.int64(ends[n]) + (n - 1 if counting == DATATROVE else 0)
    top = -1
    longest = 0
    for c in range(size):
        if counts[c] != best:
            continue
        length = ends[places[c] + n] - ends[places[c]]
        if top < 0 or length > longest:
            top, longest = c, length
        if not tied:
            break
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


@njit(nogil=True, cache=True, _nrt=False)
def _repeated(places, first, counts, size, n, ends, counting):
    """Characters in repeated n-grams, in the counting's way."""
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
    return total


@njit(nogil=True, cache=True, _nrt=False)
def _longer(places, first, counts, size, keys):
    """Candidates for n + 1, pairs of neighbours that both repeat: how many, with ``places`` and ``keys`` of each.

    Without branches: whether an n-gram repeats is hard to foresee.
    """
    found = 0
    last_again = False
    last_place = last_name = np.int64(0)
    for c in range(size):
        place, name = np.int64(places[c]), np.int64(first[c])
        again = counts[name] > 1
        keys[found] = (np.uint64(last_name) << np.uint64(32)) | np.uint64(name)
        places[found] = last_place
        found += last_again & again & (place == last_place + 1)
        last_again, last_place, last_name = again, place, name
    return found


@njit(nogil=True, cache=True, _nrt=False)
def _grams(hashes, ends, counting, last, table, mark, places, first, counts, keys, out):
    """Fill ``out[n - 2]`` for n = 2 to ``last``; returns the mark for the next use of the table."""
    words = len(hashes)
    size = max(words - 1, 0)
    best = _name_pairs(hashes, size, table, mark, first, counts)
    for i in range(size):
        places[i] = i
    for n in range(2, last + 1):
        mark += size
        if n <= 4 and words >= n:
            out[n - 2] = _top(places, first, counts, size, best, n, ends, counting)
        if n > 4:
            out[n - 2] = _repeated(places, first, counts, size, n, ends, counting)
        if n < last:
            size = _longer(places, first, counts, size, keys)
            best = _name(keys, size, table, mark, first, counts)
    return mark


@njit(nogil=True, cache=True, _nrt=False)
def _every(ends, words, n):
    """Characters of all n-grams: the sum of ``ends[i + n] - ends[i]`` over all i."""
    total = np.int64(0)
    for i in range(words - n + 1):
        total += ends[i + n] - ends[i]
    return total


# -- all rows -----------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _repetition(offsets, data, rows, hashes, starts, stops, lengths, counting, seed):
    count = len(rows) - 1
    out = np.zeros((count, 15), np.int64)
    most = widest = np.int64(0)
    for row in range(count):
        most = max(most, rows[row + 1] - rows[row])
        widest = max(widest, offsets[row + 1] - offsets[row])
    # Room for the longest row, once. An entry of the table is a mark plus a number; what is below the mark was put
    # there for another row or another n, so that nothing is cleared in between.
    table = np.zeros(table_mask(most) + 1, np.uint32)
    ends = np.empty(most + 1, np.int32)
    places = np.empty(most + 1, np.int32)
    first = np.empty(most + 1, np.int32)
    counts = np.empty(most + 1, np.int32)
    keys = np.empty(most + 1, np.uint64)
    glued = counting == DATATROVE
    sums = np.empty(most + 1 if glued else 0, np.uint64)
    turns = np.empty(most if glued else 0, np.uint8)
    alone = np.empty(most if glued else 0, np.int32)
    tallies = np.empty((2, 4 * len(table) if glued else 0), np.uint8)
    stream = np.empty(widest + 2 * DEEPEST if glued else 0, np.uint8)
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
        last = 4 if glued else LAST
        mark = _grams(hashes[a:b], ends, counting, last, table, mark, places, first, counts, keys, out[row])
        if glued:
            mark = glued_ngrams(
                *(data, offsets[row], seed, starts[a:b], stops[a:b], ends, table, mark),
                *(places, first, counts, keys, sums, turns, alone, tallies, stream, edges, out[row]),
            )
        if counting == DOLMA:
            for n in range(5, LAST + 1):
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
    found = _repetition(offsets, data, rows, hashes, starts, stops, lengths, counting, SEED)
    names = [f"top_{n}" for n in TOP] + [f"repeated_{n}" for n in REPEATED]
    names += [f"all_{n}" for n in REPEATED] if counting == DOLMA else []
    return columns(found, names)
