# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Stems of words, by a rule that is quick and rough: what is left of an English word without its ending, six letters at most.

A plural's s goes, then ``ing``, ``ed``, ``y`` or ``e``, where enough is left; so ``distribute``, ``distributed`` and
``distribution`` are one. Numbers and words with letters beyond ASCII stay whole. A number's name is the
number, and the names of days, months and planets count among numbers, as any text that has one of them may have all.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate import assets
from curate.text.arrow import Bytes, Offsets, buffers
from curate.text.hashing import mix64
from curate.text.sorted_values import lower_bound
from curate.text.words import Words, words

__all__ = ["BACKGROUND", "background", "stems"]

BACKGROUND: Final = 20_000
"""Passages of ordinary text that stand beside whatever is indexed, so that a word that is rare among ten items is not taken
for a rare one. The table has counts for 100,000."""
_LETTERS: Final = 6
_NUMBERS: Final = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
"""From two on; one is a pronoun, too."""
_NAMES: Final = (
    "monday tuesday wednesday thursday friday saturday sunday january february april june july august september october "
    "november december mercury venus jupiter saturn uranus neptune"
)
"""Not march and may, which are other words too, nor earth and mars."""


@njit(nogil=True, cache=True)
def _ending(data, start, stop):
    """Where the stem of a word of ASCII letters ends."""
    size = stop - start
    if size > 3 and data[stop - 1] | 32 == 115:  # s
        stop -= 1
        size -= 1
    last = data[stop - 1] | 32
    before = data[stop - 2] | 32 if size > 1 else 0
    if size > 5 and last == 103 and before == 110 and data[stop - 3] | 32 == 105:  # ing
        stop -= 3
    elif size > 4 and last == 100 and before == 101:  # ed
        stop -= 2
    elif size > 4 and last in (101, 121):  # e, y
        stop -= 1
    return min(stop, start + _LETTERS)


@njit(nogil=True, cache=True)
def _packed(data, start, stop):
    """The last eight of some ASCII bytes in small letters, as one number."""
    value = np.uint64(0)
    for at in range(start, stop):
        value = (value << np.uint64(8)) | np.uint64(data[at] | 32)
    return value


@cache
def _closed() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The packed names of numbers, days, months and planets, ascending, and what stands for each."""

    def packed(word: str) -> int:
        return int(_packed(np.frombuffer(word.encode(), np.uint8), 0, len(word)))

    means = {packed(name): packed(str(i)) for i, name in enumerate(_NUMBERS.split(), 2)}
    means |= {packed(name): packed(name) for name in _NAMES.split()}
    keys = sorted(means)
    return np.array(keys, np.uint64), np.array([means[key] for key in keys], np.uint64)


@njit(nogil=True, cache=True)
def _stems(offsets, data, rows, starts, stops, hashes, closed, means, out, numbers):
    for row in range(len(rows) - 1):
        for i in range(rows[row], rows[row + 1]):
            start = offsets[row] + np.int64(starts[i])
            stop = offsets[row] + np.int64(stops[i])
            plain = True
            number = True
            for at in range(start, stop):
                plain &= data[at] < 128
                number &= 48 <= data[at] <= 57
            numbers[i] = number
            out[i] = hashes[i]
            if not plain or (number and stop - start > 8):
                continue
            value = _packed(data, start, stop if number else _ending(data, start, stop))
            singular = stop - (stop - start > 3 and data[stop - 1] | 32 == 115)
            if not number and 3 <= singular - start <= 9:
                name = _packed(data, start, singular)
                at = lower_bound(closed, name)
                if at < len(closed) and closed[at] == name:
                    numbers[i] = True
                    value = means[at]
            out[i] = mix64(value + np.uint64(1))


def stems(offsets: Offsets, data: Bytes, seen: Words) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """The hash of each word's stem, uint64[m], and whether it counts among numbers, bool[m]; words of ``alphanumeric``."""
    out, numbers = np.empty(len(seen.hashes), np.uint64), np.empty(len(seen.hashes), np.bool_)
    _stems(offsets, data, seen.rows, seen.starts, seen.stops, seen.hashes, *_closed(), out, numbers)
    return out, numbers


@cache
def background() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """Hashes of the most frequent stems, ascending, and in how many of BACKGROUND passages of 64 words each is."""
    lines = (assets.find("data", "stems") / "english.tsv").read_text(encoding="utf-8").splitlines()[1:]
    names, counts = zip(*(line.split("\t") for line in lines), strict=True)
    text = buffers(pa.array(names, pa.large_string()))
    hashes = stems(*text, words(*text, "alphanumeric"))[0]
    order = np.argsort(hashes)
    return hashes[order], np.array(counts, np.float64)[order] * (BACKGROUND / 100_000)
