# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What each byte of a batch is, as bit masks: one pass over the UTF-8 buffer that every words view starts from.

Bit ``i`` of block ``b`` stands for byte ``64 * b + i`` behind the batch's first. ASCII is classified 64 bytes at a time
with vector instructions (LLVM chooses those of the machine); behind that pass each code point above ASCII is decoded
once and looked up in the committed Unicode tables. Bytes that are no valid UTF-8 are in no mask but HIGH.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text import unicode
from curate.text.arrow import Bytes, Offsets
from curate.text.blocks import Block, block_masks
from curate.text.swar import copy, trailing
from curate.text.utf8 import decode

__all__ = [
    "BREAK",
    "HIGH",
    "NEWLINE",
    "RAW",
    "SIGN",
    "SPACE",
    "UNSTABLE",
    "WORD",
    "Atoms",
    "atoms",
    "rows_with",
    "within",
]

Atoms = npt.NDArray[np.uint64]
"""uint64[8, blocks]: a row for each of the masks below; blocks = ceil(bytes / 64) + 1, bits behind the end are 0."""

WORD: Final = 0
"""Every byte of a letter, mark or number."""
SIGN: Final = 1
"""ASCII punctuation and symbols (33 to 126 without letters and digits)."""
SPACE: Final = 2
"""Every byte of white space, as ``str.isspace`` has it."""
RAW: Final = 3
"""The bytes that end a word for fastText: 9 to 13, 32 and 0."""
NEWLINE: Final = 4
"""LF."""
HIGH: Final = 5
"""Bytes from 128 on."""
BREAK: Final = 6
"""Where a word begins although the byte before belongs to a word: a character that is a word by itself, what follows it."""
UNSTABLE: Final = 7
"""The first byte of a character that NFC may change: a row without one is in NFC."""
_ASCII: Final = 6

_WORD_KIND: Final = unicode.WORD
_ALONE_KIND: Final = unicode.ALONE
_SPACE_KIND: Final = unicode.SPACE
_MARK_KIND: Final = unicode.MARK
_UNSTABLE_KIND: Final = unicode.DIGIT
"""In ``_kinds`` alone: nothing here asks for digits."""


def _word(block: Block) -> Any:
    return block.any(block.letters(), block.among(48, 57))


def _blank(block: Block) -> Any:
    return block.any(block.among(9, 13), block.among(32, 32))


_classify = block_masks(
    _word,
    lambda block: block.without(block.among(33, 126), _word(block)),
    lambda block: block.any(_blank(block), block.among(28, 31)),
    lambda block: block.any(_blank(block), block.among(0, 0)),
    lambda block: block.among(10, 10),
    lambda block: block.among(128, 255),
)
"""The six ASCII masks of 64 bytes."""


@njit(nogil=True, cache=True, inline="always")
def within(block, first, stop):
    """Mask of the bits of a block that lie in bytes ``first`` to ``stop`` (exclusive), counted from the batch's first."""
    low = first - 64 * block
    high = stop - 64 * block
    mask = np.uint64(0xFFFFFFFFFFFFFFFF)
    if low > 0:
        mask = mask << np.uint64(low)
    if high < 64:
        mask &= (np.uint64(1) << np.uint64(high)) - np.uint64(1)
    return mask


@njit(nogil=True, cache=True)
def _ascii(data, first, stop, masks):
    """The ASCII masks of ``data[first:stop]``."""
    block = 0
    at = first
    while at + 64 <= stop:
        found = _classify(data, at)
        for kind in range(_ASCII):
            masks[kind, block] = found[kind]
        block += 1
        at += 64
    if at < stop:
        rest = np.zeros(64, np.uint8)
        copy(rest, 0, data, at, stop - at)
        found = _classify(rest, np.int64(0))
        mask = within(np.int64(0), np.int64(0), stop - at)
        for kind in range(_ASCII):
            masks[kind, block] = found[kind] & mask


@njit(nogil=True, cache=True, inline="always")
def _set(masks, kind, at, width):
    """Set ``width`` (1 to 4) bits from byte ``at`` on; they may run into the next block."""
    block = at >> 6
    bits = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    shift = np.uint64(at & 63)
    masks[kind, block] |= bits << shift
    if (at & 63) + width > 64:
        masks[kind, block + 1] |= bits >> (np.uint64(64) - shift)


@njit(nogil=True, cache=True)
def _above_ascii(offsets, data, kinds, masks):
    """Look up every code point above ASCII, row by row: no sequence runs from one row into the next."""
    base = offsets[0]
    for row in range(len(offsets) - 1):
        first = offsets[row] - base
        stop = offsets[row + 1] - base
        alone = False  # the word that ends here is a character by itself
        until = first  # end of the code points looked up so far
        for block in range(first >> 6, (stop + 63) >> 6):
            high = masks[HIGH, block] & within(block, first, stop)
            while high:
                at = 64 * block + trailing(high)
                high &= high - np.uint64(1)
                if at < until:
                    continue
                if at > until:
                    alone = False
                point, width = decode(data, base + at, base + stop)
                until = at + width
                kind = kinds[point] if point >= 0 else 0
                if kind & _UNSTABLE_KIND:
                    _set(masks, UNSTABLE, at, 1)
                if kind & _WORD_KIND:
                    _set(masks, WORD, at, width)
                    begins = bool(kind & _ALONE_KIND) and not kind & _MARK_KIND
                    if begins or (alone and not kind & _MARK_KIND):
                        _set(masks, BREAK, at, 1)
                    alone = begins or (alone and bool(kind & _MARK_KIND))
                    # What comes next is another word, unless it is a mark; an ASCII letter is not looked up here.
                    if alone and until < stop and data[base + until] < 128:
                        _set(masks, BREAK, until, 1)
                else:
                    alone = False
                    if kind & _SPACE_KIND:
                        _set(masks, SPACE, at, width)


def atoms(offsets: Offsets, data: Bytes) -> Atoms:
    """The masks of a batch's bytes ``data[offsets[0]:offsets[n]]``."""
    first, stop = int(offsets[0]), int(offsets[-1])
    masks = np.zeros((8, (stop - first + 63) // 64 + 1), np.uint64)
    _ascii(data, first, stop, masks)
    if masks[HIGH].any():
        _above_ascii(offsets, data, _kinds(), masks)
    return masks


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """``unicode.kinds()`` with _UNSTABLE_KIND."""
    kept = unicode.kinds() & np.uint8(0xFF ^ _UNSTABLE_KIND)
    return kept | unicode.unstable() * np.uint8(_UNSTABLE_KIND)


def rows_with(offsets: Offsets, masks: Atoms, kind: int) -> npt.NDArray[np.int64]:
    """Rows of a batch that have a bit of a kind, or bytes in one block with such a row: int64[k], ascending."""
    first = 64 * np.flatnonzero(masks[kind])
    ends = offsets - offsets[0]
    found = np.zeros(len(offsets), np.int64)
    np.add.at(found, np.searchsorted(ends[1:], first, side="right"), 1)
    np.add.at(found, np.searchsorted(ends[:-1], first + 64, side="left"), -1)
    return np.flatnonzero(np.cumsum(found[:-1]))
