# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""A fastText model's words in a hash table, each word's key and value side by side in sixteen bytes.

A word's place is found by its 32-bit FNV hash, which a batch's words have already. What lies there is compared exactly:
up to eight bytes by the bytes themselves, longer words by 64 bits that depend on all of their bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets, padded
from curate.text.hashing import table_mask
from curate.text.swar import near
from curate.text.utf8 import read64
from curate.text.word_hashes import fnv, long_hash

__all__ = ["COUNT_BITS", "NO_WORD", "SIZE", "Slots", "place", "vocabulary", "word_key"]

Slots = npt.NDArray[np.uint64]
"""uint64[2^k, 2]: a word's key; its size (8 bits, 255 stands for more), its number of features (24 bits, NO_WORD for a
label), and 32 bits of value: a float32, or the word's row in a table of several. A slot of two zeros is empty."""

SIZE: Final = np.uint64(255)
"""Mask of the size; sizes above are written as this."""
COUNT_BITS: Final = np.uint64(0xFFFFFF)
NO_WORD: Final = np.uint64(0xFFFFFF)
"""The number of features of an entry that is a label: such a token is no word of the text."""
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True, inline="always")
def place(value, shift):
    """Where to look first for a word with this 32-bit hash."""
    return np.int64((value * _GOLDEN) >> shift)


@njit(nogil=True, cache=True, inline="always")
def word_key(data, at, stop):
    """What is compared of a word, beside its size; ``data`` has eight bytes or more.

    Up to eight bytes these themselves; up to sixteen the first eight, xor a hash of the last eight (without a branch
    that depends on the word: words of both kinds take turns in every text); else ``long_hash``.
    """
    size = stop - at
    if size > 16:
        return long_hash(data, at, stop)
    last = read64(data, max(stop - 8, 0)) * _GOLDEN
    last = (last ^ (last >> np.uint64(32))) * _GOLDEN
    return near(data, at, stop) ^ (last if size > 8 else np.uint64(0))


@njit(nogil=True, cache=True)
def _build(offsets, data, counts, values, slots, shift):
    """Write all words to their slots; returns a word that is there twice, or -1."""
    mask = len(slots) - 1
    for i in range(len(counts)):
        at, stop = offsets[i], offsets[i + 1]
        key = word_key(data, at, stop)
        size = min(np.uint64(stop - at), SIZE)
        slot = place(np.uint64(fnv(data, at, stop)), shift)
        while slots[slot, 1]:
            if slots[slot, 0] == key and slots[slot, 1] & SIZE == size:
                return i
            slot = (slot + 1) & mask
        slots[slot, 0] = key
        slots[slot, 1] = size | (np.uint64(counts[i]) << np.uint64(8)) | (np.uint64(values[i]) << np.uint64(32))
    return -1


def vocabulary(
    offsets: Offsets, data: Bytes, counts: npt.NDArray[np.int64], values: npt.NDArray[np.uint32]
) -> tuple[Slots, int]:
    """The table of words ``data[offsets[i]:offsets[i + 1]]`` (none empty) and the shift that finds a word's place.

    ``counts`` int64[n]: features of each word, below 2^24; ``values`` uint32[n]. Raises ValueError for a word that is
    there twice.
    """
    offsets, data = padded(offsets, data, 8)
    size = int(table_mask(max(len(counts), 8))) + 1
    shift = 64 - (size.bit_length() - 1)
    slots = np.zeros((size, 2), np.uint64)
    twice = int(_build(offsets, data, counts, values, slots, np.uint64(shift)))
    if twice >= 0:
        word = bytes(data[offsets[twice] : offsets[twice + 1]]).decode(errors="replace")
        raise ValueError(f"the word '{word}' is there twice")
    return slots, shift
