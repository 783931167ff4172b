# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Ids of segments of text, from a table of those met before; what is not there is merged, and put there.

A segment of up to 16 bytes is its own key: its bytes in two words, compared as they are. Those of up to LONGEST bytes are
found by a hash and compared byte by byte. Longer ones are merged each time. So a look-up never guesses, and whether a
segment is in the table changes nothing but the time: when there is no more room it is emptied.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.bpe_merges import CHARACTER, INVALID, SHORT, Symbols, merge, symbols_of
from curate.text.fixed_strings import fixed_id
from curate.text.swar import SEED, copy, load, prefetch, quick_hash, trailing, write64
from curate.text.utf8 import encode, read64

__all__ = ["Cache", "Places"]

AHEAD: Final = 32
"""Segments whose places in the table are asked for before the first of them is looked at."""
LONGEST: Final = 2048
"""Bytes of the longest segment that is kept."""
_KEY: Final = 16
_ALL: Final = 0xFFFFFFFFFFFFFFFF
_LOW_MASK: Final = np.array([_ALL >> (64 - 8 * min(size, 8)) if size else 0 for size in range(17)], np.uint64)
_HIGH_MASK: Final = np.array([_ALL >> (64 - 8 * (size - 8)) if size > 8 else 0 for size in range(17)], np.uint64)
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_OTHER: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_HALF: Final = np.uint64(32)
_BYTE: Final = np.uint64(255)
_INLINE: Final = 3
"""Ids that stand in an entry; more stand in ``ids``, at the place that the entry has in their stead."""

ROW: Final = 0
AT: Final = 1
OUT: Final = 2
SHORT_USED: Final = 3
LONG_USED: Final = 4
BYTES_USED: Final = 5
IDS_USED: Final = 6


class Places(NamedTuple):
    """The table.

    Attributes:
        short: uint64[n, 4]: bytes 0-7 and 8-15 of a segment; ids 0 and 1; id 2, its length (8 bits), number of ids (8 bits).
        long: uint64[m, 3]: a hash; place in ``text`` (40 bits), length (24 bits); place in ``ids``, number of ids (24 bits).
        text: uint8[:]: bytes of the long segments.
        ids: uint32[:]: ids of segments with more than three, and of long ones.
    """

    short: npt.NDArray[np.uint64]
    long: npt.NDArray[np.uint64]
    text: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint32]


@njit(nogil=True, cache=True, inline="always")
def _hash(low, high, seed):
    value = ((low ^ seed) * _FACTOR) ^ ((high ^ (low >> _HALF)) * _OTHER)
    value ^= value >> _HALF
    return value * _FACTOR


@njit(nogil=True, cache=True)
def _emit(symbols, count, model, out, to):
    """Write the ids of some symbols, bytes for characters without one; the place behind them."""
    for i in range(count):
        symbol = np.int64(symbols[i])
        if symbol < CHARACTER:
            out[to] = symbol
            to += 1
            continue
        point = symbol - CHARACTER
        first = to
        to = to + 1 if point & INVALID else encode(out, to, point)
        if point & INVALID:
            out[first] = point & 255
        for j in range(first, to):
            out[j] = model.of_byte[out[j]]
    return to


@njit(nogil=True, cache=True)
def _merged(data, start, stop, model, work, values, out, to):
    """Write the ids of ``data[start:stop]``; the place behind them."""
    whole = fixed_id(data, start, stop, model.fixed)
    if whole >= 0:
        out[to] = whole
        return to + 1
    if stop - start > len(work):
        symbols = np.empty(stop - start, np.uint32)
        count = merge(symbols, symbols_of(data, start, stop, model, symbols), values, model)
        return _emit(symbols, count, model, out, to)
    count = merge(work, symbols_of(data, start, stop, model, work), values, model)
    return _emit(work, count, model, out, to)


@njit(nogil=True, cache=True)
def _equal(data, start, stop, other, at):
    """Whether ``data[start:stop]`` stands in ``other`` at ``at``."""
    while start + 8 <= stop:
        if read64(data, start) != read64(other, at):
            return False
        start += 8
        at += 8
    return load(data, start, stop) == load(other, at, at + stop - start)


@njit(nogil=True, cache=True)
def _long(data, start, stop, seed, state, places, model, work, values, out):
    """Ids of a segment of more than 16 bytes; False: there is no room to keep it, nothing was done."""
    size = stop - start
    to = state[OUT]
    if size > LONGEST:
        state[OUT] = _merged(data, start, stop, model, work, values, out, to)
        return True
    key = quick_hash(data, start, stop, seed)
    mask = np.uint64(len(places.long) - 1)
    slot = (key >> _HALF) & mask
    while places.long[slot, 2]:
        if places.long[slot, 0] == key and places.long[slot, 1] & np.uint64(0xFFFFFF) == np.uint64(size):
            text = np.int64(places.long[slot, 1] >> np.uint64(24))
            if _equal(data, start, stop, places.text, text):
                count = np.int64(places.long[slot, 2] & np.uint64(0xFFFFFF))
                ids = np.int64(places.long[slot, 2] >> np.uint64(24))
                for i in range(count):
                    out[to + i] = places.ids[ids + i]
                state[OUT] = to + count
                return True
        slot = (slot + np.uint64(1)) & mask
    full = 2 * (state[LONG_USED] + 1) > len(places.long)
    if full or state[BYTES_USED] + size > len(places.text) or state[IDS_USED] + size > len(places.ids):
        return False
    end = _merged(data, start, stop, model, work, values, out, to)
    copy(places.text, state[BYTES_USED], data, start, size)
    copy(places.ids, state[IDS_USED], out, to, end - to)
    places.long[slot, 0] = key
    places.long[slot, 1] = (np.uint64(state[BYTES_USED]) << np.uint64(24)) | np.uint64(size)
    places.long[slot, 2] = (np.uint64(state[IDS_USED]) << np.uint64(24)) | np.uint64(end - to)
    state[LONG_USED] += 1
    state[BYTES_USED] += size
    state[IDS_USED] += end - to
    state[OUT] = end
    return True


@njit(nogil=True, cache=True)
def _new(data, start, stop, words, state, places, model, work, values, out):
    """Ids of a segment of up to 16 bytes that is not in the table; False: there is no room for it, nothing was done."""
    if 2 * (state[SHORT_USED] + 1) > len(places.short) or state[IDS_USED] + _KEY > len(places.ids):
        return False
    slot, low, high = words
    to = state[OUT]
    end = _merged(data, start, stop, model, work, values, out, to)
    count = end - to
    meta = np.uint64(stop - start) | (np.uint64(count) << np.uint64(8))
    places.short[slot, 0] = low
    places.short[slot, 1] = high
    if count <= _INLINE:
        places.short[slot, 2] = np.uint64(out[to]) | (np.uint64(out[to + 1]) << _HALF)
        places.short[slot, 3] = np.uint64(out[to + 2]) | (meta << _HALF)
    else:
        places.short[slot, 2] = np.uint64(state[IDS_USED])
        places.short[slot, 3] = meta << _HALF
        copy(places.ids, state[IDS_USED], out, to, count)
        state[IDS_USED] += count
    state[SHORT_USED] += 1
    state[OUT] = end
    return True


@njit(nogil=True, cache=True, inline="always")
def _gather(data, marks, base, at, stop, block, bits, seed, short, ahead):
    """Fill ``ahead`` (uint64[AHEAD + 1, 4]) with segments from ``at`` on: start, words, place in the table, which is asked for.

    The last one has only a start. How many there are; where the next one begins, and the block and the bits of marks there.
    """
    mask = np.uint64(len(short) - 1)
    safe = len(data) - _KEY
    count = 0
    while count < AHEAD and at < stop:
        while bits == 0:
            block += 1
            bits = marks[block]
        after = base + (block << 6) + trailing(bits)
        bits &= bits - np.uint64(1)
        size = after - at
        ahead[count, 0] = at
        if size <= _KEY:
            if at <= safe:
                low = read64(data, at) & _LOW_MASK[size]
                high = read64(data, at + 8) & _HIGH_MASK[size]
            else:
                low = load(data, at, after)
                high = load(data, min(at + 8, after), after)
            slot = _hash(low, high, seed) >> _HALF & mask
            prefetch(short, np.int64(slot) << 2)
            ahead[count, 1] = low
            ahead[count, 2] = high
            ahead[count, 3] = slot
        count += 1
        at = after
    ahead[count, 0] = at
    return count, at, block, bits


@njit(nogil=True, cache=True, inline="always")
def _find(short, slot, low, high, size):
    """(place, length and number of ids) of a segment from a place on; (place where it may be put, 0): it is not there."""
    mask = np.uint64(len(short) - 1)
    meta = short[slot, 3] >> _HALF
    while meta and not (short[slot, 0] == low and short[slot, 1] == high and meta & _BYTE == size):
        slot = (slot + np.uint64(1)) & mask
        meta = short[slot, 3] >> _HALF
    return slot, meta


@njit(nogil=True, cache=True)
def look_up(data, offsets, marks, seed, state, places, model, out, ends):
    """Write the ids of rows to ``out``, and to ``ends[row]`` where the row's end; False: make room, and go on.

    data: uint8[:]; offsets: int64[rows + 1] into it. marks: uint64[:], bit ``i`` of word ``b`` is set where a segment
    begins at byte ``offsets[0] + 64 b + i``, and at the end. state: int64[7], where it stands: row, place in the text,
    place in ``out``, and what of the table is used. out: uint32[bytes + 3].
    """
    work = np.empty(LONGEST, np.uint32)
    values = np.empty(SHORT, np.uint64)
    ahead = np.empty((AHEAD + 1, 4), np.uint64)
    short = places.short
    base = offsets[0]
    at = state[AT]
    to = state[OUT]
    for row in range(state[ROW], len(offsets) - 1):
        stop = offsets[row + 1]
        block = (at - base) >> 6
        bits = marks[block] & (np.uint64(_ALL) << np.uint64((at - base) & 63))
        bits &= bits - np.uint64(1)
        while at < stop:
            count, at, block, bits = _gather(data, marks, base, at, stop, block, bits, seed, short, ahead)
            for i in range(count):
                start = np.int64(ahead[i, 0])
                end = np.int64(ahead[i + 1, 0])
                if end - start <= _KEY:
                    slot, meta = _find(short, ahead[i, 3], ahead[i, 1], ahead[i, 2], np.uint64(end - start))
                    ids = np.int64(meta >> np.uint64(8))
                    if meta:
                        if ids <= _INLINE:
                            write64(out, to, short[slot, 2])
                            out[to + 2] = np.uint32(short[slot, 3] & np.uint64(0xFFFFFFFF))
                        else:
                            first = np.int64(short[slot, 2])
                            for j in range(ids):
                                out[to + j] = places.ids[first + j]
                        to += ids
                        continue
                    state[OUT] = to
                    words = (slot, ahead[i, 1], ahead[i, 2])
                    done = _new(data, start, end, words, state, places, model, work, values, out)
                else:
                    state[OUT] = to
                    done = _long(data, start, end, seed, state, places, model, work, values, out)
                if not done:
                    state[ROW] = row
                    state[AT] = start
                    return False
                to = state[OUT]
        ends[row] = to
    state[OUT] = to
    return True


@njit(nogil=True, cache=True)
def _rehash(old, new, seed):
    mask = np.uint64(len(new) - 1)
    for i in range(len(old)):
        if old[i, 3] >> _HALF:
            slot = _hash(old[i, 0], old[i, 1], seed) >> _HALF & mask
            while new[slot, 3] >> _HALF:
                slot = (slot + np.uint64(1)) & mask
            new[slot] = old[i]


def _aligned(places: int) -> npt.NDArray[np.uint64]:
    """Zeros uint64[places, 4], two places in each line of the processor's cache."""
    whole = np.zeros(4 * places + 8, np.uint64)
    first = (-whole.ctypes.data % 64) // 8
    return whole[first : first + 4 * places].reshape(places, 4)


class Cache:
    """A table of segments, and the model that gives the ids of those that are not in it.

    At most ``places`` / 2 short segments (the table is at most half full), ``places`` ids beside, ``places`` / 16 long segments of
    64 bytes on average: 44 MB for 2^20 places.
    """

    def __init__(self, model: Symbols, places: int = 1 << 20) -> None:
        self._model = model
        self._most = places
        self._state = np.zeros(7, np.int64)
        self._empty(min(places, 1 << 14))

    def _empty(self, places: int) -> None:
        # Zeros cost no memory before they are written to.
        long = max(16, self._most // 8)
        self._places = Places(
            _aligned(places),
            np.zeros((long, 3), np.uint64),
            np.zeros(32 * long + LONGEST, np.uint8),
            np.zeros(self._most + LONGEST, np.uint32),
        )
        self._state[SHORT_USED:] = 0

    def _make_room(self) -> None:
        short = self._places.short
        if 2 * (self._state[SHORT_USED] + 1) > len(short) and len(short) < self._most:
            wider = _aligned(2 * len(short))
            _rehash(short, wider, SEED)
            self._places = self._places._replace(short=wider)
        else:
            self._empty(len(short))

    def encode(
        self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], marks: npt.NDArray[np.uint64]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Ids of rows whose segments begin at marks, uint32[n], and int64[rows] where each row's end."""
        out = np.empty(int(offsets[-1] - offsets[0]) + _INLINE, np.uint32)
        ends = np.zeros(len(offsets) - 1, np.int64)
        self._state[[ROW, AT, OUT]] = 0, offsets[0], 0
        while not look_up(data, offsets, marks, SEED, self._state, self._places, self._model, out, ends):
            self._make_room()
        return out[: self._state[OUT]], ends

    @property
    def nbytes(self) -> int:
        """Bytes that the table takes."""
        return sum(array.nbytes for array in self._places)
