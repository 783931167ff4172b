# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Pre-tokens of byte-level vocabularies: what their patterns match, by a scan instead of a search.

Two families of patterns are known, by the very strings in which they are written: GPT-2's, and that of cl100k_base, in the
ways in which Llama 3 and Qwen have it too. A pattern's classes of characters depend on its library's version of Unicode: a row
with a code point that our tables do not know is left to the library.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text import unicode
from curate.text.fixed_strings import next_fixed
from curate.text.utf8 import decode

__all__ = ["PATTERNS", "Pattern", "classes", "pretoken_marks"]

OTHER: Final = 0
LETTER: Final = 1
NUMBER: Final = 2
BLANK: Final = 3
UNKNOWN: Final = 4
_ONE: Final = np.uint64(1)
_WHITE_SPACE: Final = (
    *range(9, 14),
    0x20,
    0x85,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
)
"""Unicode's property White_Space, which is a pattern's \\s (PropList.txt; the same since Unicode 6.3)."""
_LONG_S: Final = 0x17F
"""Without regard to case it is an s."""


class Pattern(NamedTuple):
    """How a pattern splits.

    Attributes:
        clipped: cl100k's family: a letter run takes any one character but a number or line end before it, contractions are
            found in capitals too, line ends belong to what stands before them. Else GPT-2's: only a space goes with what follows.
        numbers: the most digits together.
        tail: white space at the end of a text stays together.
    """

    clipped: bool
    numbers: int
    tail: bool


_ANY: Final = 1 << 40
_GPT2: Final = Pattern(clipped=False, numbers=_ANY, tail=True)
PATTERNS: Final = {
    r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""": _GPT2,
    r"""'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""": _GPT2,
    r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""": _GPT2,
    r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""": _GPT2,
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""": Pattern(
        clipped=True, numbers=3, tail=False
    ),
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""": Pattern(
        clipped=True, numbers=1, tail=False
    ),
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+""": Pattern(
        clipped=True, numbers=3, tail=False
    ),
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s""": Pattern(
        clipped=True, numbers=3, tail=True
    ),
}
"""The patterns by how they are written: of GPT-2 (also as tiktoken has it), Llama 3, Qwen 2, and cl100k_base (twice)."""


@cache
def classes() -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: OTHER, LETTER (category L), NUMBER (N), BLANK (white space), UNKNOWN (not assigned)."""
    table = np.full(0x110000, UNKNOWN, np.uint8)
    for first, last, category in unicode.categories():
        table[first : last + 1] = {"L": LETTER, "N": NUMBER}.get(category[0], UNKNOWN if category == "Cn" else OTHER)
    table[list(_WHITE_SPACE)] = BLANK
    table.flags.writeable = False
    return table


@njit(nogil=True, cache=True, inline="always")
def _look(data, at, stop, kinds):
    """(class, width) of the character at ``at``; a byte of no valid UTF-8 is OTHER."""
    byte = data[at]
    if byte < 128:
        return kinds[byte], 1
    point, width = decode(data, at, stop)
    if point < 0:
        return np.uint8(OTHER), 1
    return kinds[point], width


@njit(nogil=True, cache=True, inline="always")
def _run(data, at, stop, kind, kinds):
    """Where the run of characters of a class ends that are at ``at``."""
    while at < stop:
        found, width = _look(data, at, stop, kinds)
        if found != kind:
            break
        at += width
    return at


@njit(nogil=True, cache=True)
def _contraction(data, at, stop, any_case):
    """Bytes of ``'s``, ``'ll``, ... at ``at``; 0: none."""
    if at + 1 >= stop:
        return 0
    fold = np.uint8(32 if any_case else 0)
    first = data[at + 1] | fold
    if first in (115, 116, 109, 100):  # s t m d
        return 2
    if at + 2 >= stop:
        return 0
    second = data[at + 2] | fold
    if (first == 108 and second == 108) or (second == 101 and first in (114, 118)):  # ll re ve
        return 3
    if any_case and data[at + 1] == 0xC5 and data[at + 2] == 0xBF:  # U+017F
        return 3
    return 0


@njit(nogil=True, cache=True)
def _blanks(data, at, end, stop, lines, tail):
    """Where the pre-token ends that is white space from ``at`` on; ``end``: of the whole run."""
    if end == stop and (tail or not lines):
        return end
    last = end
    if lines:
        while last > at:
            last -= 1
            if data[last] in (10, 13):
                return last + 1
        if end == stop:
            return end
    last = end - 1
    while data[last] & 0xC0 == 0x80:
        last -= 1
    return last if last > at else end


@njit(nogil=True, cache=True, inline="always")
def _next(data, at, stop, kinds, pattern):
    """Where the pre-token at ``at`` ends; -1: nobody knows."""
    kind, width = _look(data, at, stop, kinds)
    if kind == UNKNOWN:
        return np.int64(-1)
    byte = data[at]
    if byte == 39:
        size = _contraction(data, at, stop, pattern.clipped)
        if size:
            return at + size
    if kind == LETTER:
        return _run(data, at + width, stop, LETTER, kinds)
    if kind == NUMBER:
        at += width
        for _ in range(1, pattern.numbers):
            if at >= stop:
                break
            kind, width = _look(data, at, stop, kinds)
            if kind != NUMBER:
                break
            at += width
        return at
    after = at + width
    follows = np.uint8(BLANK)
    ahead = 0
    if after < stop and (pattern.clipped or byte == 32):
        follows, ahead = _look(data, after, stop, kinds)
    if pattern.clipped:
        if follows == LETTER and byte not in (10, 13):
            return _run(data, after + ahead, stop, LETTER, kinds)
        if kind == OTHER or (byte == 32 and follows == OTHER):
            at = _run(data, after, stop, OTHER, kinds)
            while at < stop and data[at] in (10, 13):
                at += 1
            return at
    else:
        if kind == OTHER:
            return _run(data, after, stop, OTHER, kinds)
        if follows not in (BLANK, UNKNOWN):
            return _run(data, after + ahead, stop, follows, kinds)
    return _blanks(data, at, _run(data, after, stop, BLANK, kinds), stop, pattern.clipped, pattern.tail)


@njit(nogil=True, cache=True)
def pretoken_marks(data, offsets, kinds, pattern, fixed, unsure):
    """uint64[]: where the segments of rows begin, and a bit where the last one ends.

    data: uint8[:]; offsets: int64[rows + 1] into it; kinds: ``classes``. ``unsure`` (bool[rows]) is set for rows that the library
    has to encode: they have no segments that mean anything.
    """
    base = offsets[0]
    marks = np.zeros(((offsets[-1] - base) >> 6) + 1, np.uint64)
    for row in range(len(offsets) - 1):
        at = offsets[row]
        stop = offsets[row + 1]
        while at < stop and not unsure[row]:
            until, behind = next_fixed(data, at, stop, fixed)
            while at < until:
                marks[(at - base) >> 6] |= _ONE << np.uint64((at - base) & 63)
                end = _next(data, at, until, kinds, pattern)
                if end < 0 or (end < until and _look(data, end, until, kinds)[0] == UNKNOWN):
                    unsure[row] = True
                    break
                at = end
            if until < behind:
                marks[(until - base) >> 6] |= _ONE << np.uint64((until - base) & 63)
            at = behind
        if offsets[row] < stop:
            marks[(offsets[row] - base) >> 6] |= _ONE << np.uint64((offsets[row] - base) & 63)
    marks[(offsets[-1] - base) >> 6] |= _ONE << np.uint64((offsets[-1] - base) & 63)
    return marks
