# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
r"""Which rows hold a word or phrase of a list, as C4 looks for them.

C4's expression is ``(?:\W|^)(word|...)(?:\W|$)`` over the text in lower case: an entry counts where neither a letter, a
digit nor an underscore touches it. Lower case is ASCII's here; other letters must stand in the text as in the list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.unicode import kinds
from curate.text.utf8 import decode

__all__ = ["BadWords", "bad_words", "holds", "read_bad_words"]


@dataclass(frozen=True)
class BadWords:
    """A list's entries by their first byte.

    Attributes:
        first: int64[257]; entries that begin with byte ``b`` are ``first[b]:first[b + 1]``.
        ends: int64[n + 1]; entry ``i`` is ``text[ends[i]:ends[i + 1]]``.
        text: uint8[]; all entries, ASCII letters in lower case.
    """

    first: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    text: Bytes


@lru_cache(maxsize=4)
def _read(path: Path, size: int, changed_ns: int) -> BadWords:  # noqa: ARG001 - part of the cache's key
    return bad_words(path.read_text(encoding="utf-8").splitlines())


def bad_words(entries: Iterable[str]) -> BadWords:
    """A list as the kernel reads it; white space around entries and empty ones are left out."""
    lower = sorted({entry.strip().encode().lower() for entry in entries} - {b""})
    first = np.searchsorted([entry[0] for entry in lower], np.arange(257))
    ends = np.cumsum([0, *map(len, lower)], dtype=np.int64)
    return BadWords(first.astype(np.int64), ends, np.frombuffer(b"".join(lower), np.uint8))


def read_bad_words(path: Path) -> BadWords:
    """A list from a UTF-8 file with an entry a line."""
    facts = path.stat()
    return _read(path, facts.st_size, facts.st_mtime_ns)


@njit(nogil=True, cache=True)
def _word_at(data, at, stop, table):
    """Bytes of the letter, digit or underscore (``str.isalnum`` or ``_``) at ``at``; 0 for anything else."""
    byte = data[at]
    if byte < 128:
        return np.int64(48 <= byte <= 57 or 97 <= (byte | 32) <= 122 or byte == 95)
    point, width = decode(data, at, stop)
    return np.int64(width if point >= 0 and table[point] & 129 == 1 else 0)


@njit(nogil=True, cache=True)
def _word_before(data, start, at, table):
    """Whether a letter, digit or underscore ends at ``at``."""
    if at == start:
        return False
    first = at - 1
    while first > start and at - first < 4 and data[first] & 0xC0 == 0x80:
        first -= 1
    # Bytes that continue nothing may stand behind a letter.
    return _word_at(data, first, at, table) == at - first


@njit(nogil=True, cache=True)
def _holds(offsets, data, first, ends, text, table):
    out = np.zeros(len(offsets) - 1, np.bool_)
    for row in range(len(out)):
        start, stop = offsets[row], offsets[row + 1]
        at = start
        while at < stop and not out[row]:
            byte = data[at]
            if 65 <= byte <= 90:
                byte |= 32
            if first[byte] < first[byte + 1] and not _word_before(data, start, at, table):
                for entry in range(first[byte], first[byte + 1]):
                    size = ends[entry + 1] - ends[entry]
                    if at + size > stop:
                        continue
                    i = 1
                    while i < size:
                        other = data[at + i]
                        if 65 <= other <= 90:
                            other |= 32
                        if other != text[ends[entry] + i]:
                            break
                        i += 1
                    if i == size and (at + size == stop or _word_at(data, at + size, stop, table) == 0):
                        out[row] = True
                        break
            at += 1
    return out


def holds(offsets: Offsets, data: Bytes, words: BadWords) -> npt.NDArray[np.bool_]:
    """Whether each row holds an entry of the list, bool[n]."""
    return _holds(offsets, data, words.first, words.ends, words.text, kinds())
