# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""How many sentences a line has, by a stated rule close to spaCy's sentencizer over its blank English tokenizer.

A sentence goes on to the first letter, digit or symbol behind a terminator, whatever punctuation is between them; a line
has at least one. Terminators are

- ``!`` and ``?``, where only punctuation is between them and the end, or the beginning, of the run without white space;
- U+3002, U+FF01 and U+FF1F, where only punctuation is between them and the end of the run;
- a full stop that stands beside no other one, behind a small letter, a digit, a sign of punctuation, two capitals, or
  nothing, where only punctuation is between it and the end of the run, or a capital follows a small letter ("end.Next");
  but not behind one of the ABBREVIATIONS, nor a single letter.

"Only punctuation" is at most 32 bytes of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets, padded
from curate.text.blocks import BLOCK, before, block_masks
from curate.text.sorted_values import lower_bound
from curate.text.swar import trailing
from curate.text.unicode import kinds
from curate.text.utf8 import decode

__all__ = ["ABBREVIATIONS", "sentence_count", "sentence_counts"]

ABBREVIATIONS: Final = (
    "Adm Ak Ala Apr Ariz Ark Aug Bros Calif Co Colo Conn Corp Dec Del Dr E.g Feb Fla Ga Gen Gov I.e Ia Id Ill Inc "
    "Ind Jan Jr Jul Jun Kan Kans Ky La Ltd Mar Mass Md Messrs Mich Minn Miss Mo Mont Mr Mrs Ms Mt Neb Nebr Nev Nov "
    "Oct Okla Ore Pa Ph.D Prof Rep Rev Sen Sep Sept St Tenn Va Wash Wis a.m co e.g i.e p.m v.s vs"
)
"""What a full stop belongs to, from spaCy 3's exceptions for English, without those that its other rules give."""

_REACH: Final = 32
"""Bytes to look at on either side, so that a line of signs alone takes no time."""
_LONGEST: Final = max(map(len, ABBREVIATIONS.split()))


def _packed(word: str) -> int:
    return int.from_bytes(word.encode(), "big")


_PACKED: Final = np.array(sorted(map(_packed, ABBREVIATIONS.split())), np.uint64)


_terminators = block_masks(lambda block: block.any(*(block.among(byte, byte) for byte in (33, 46, 63, 0xE3, 0xEF))))
"""Bytes that may begin a terminator: ``. ! ?`` and those of U+3002, U+FF01, U+FF1F."""


@njit(nogil=True, cache=True, inline="always")
def _letter(byte):
    return 97 <= (byte | 32) <= 122


@njit(nogil=True, cache=True, _nrt=False)
def _opens(data, start, at):
    """Whether only ASCII punctuation is between ``at`` and the white space before it, or the start."""
    limit = at - _REACH
    while at > start:
        if at <= limit:
            return False
        byte = data[at - 1]
        if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31:
            return True
        if byte >= 128 or _letter(byte) or 48 <= byte <= 57:
            return False
        at -= 1
    return True


@njit(nogil=True, cache=True, _nrt=False)
def _abbreviated(data, start, at):
    """Whether the full stop at ``data[at]`` ends one of the ABBREVIATIONS or a single letter."""
    first = at
    packed = np.uint64(0)
    shift = np.uint64(0)
    while first > start and (_letter(data[first - 1]) or data[first - 1] == 46) and at - first <= _LONGEST:
        first -= 1
        packed |= np.uint64(data[first]) << shift
        shift += np.uint64(8)
    if not 1 <= at - first <= _LONGEST or not _opens(data, start, first):
        return False
    place = lower_bound(_PACKED, packed)
    return at - first == 1 or (place < len(_PACKED) and _PACKED[place] == packed)


@njit(nogil=True, cache=True, _nrt=False)
def _closes(data, at, stop, table):
    """Whether only punctuation is between ``at`` and the next white space, or the end."""
    limit = at + _REACH
    while at < stop:
        if at >= limit:
            return False
        byte = data[at]
        if byte < 128:
            if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31:
                return True
            # - / @ \ | ~ + = ^ $ % are no suffixes, letters and digits no punctuation
            if _letter(byte) or 48 <= byte <= 57 or byte in (45, 47, 64, 92, 124, 126, 43, 61, 94, 36, 37):
                return False
            at += 1
            continue
        point, width = decode(data, at, stop)
        if point >= 0 and table[point] & 4:
            return True
        if point < 0 or not table[point] & 8:
            return False
        at += width
    return True


@njit(nogil=True, cache=True, _nrt=False)
def _full_stop(data, start, at, stop, table):
    """Whether the full stop at ``data[at]`` ends a sentence."""
    left = data[at - 1] if at > start else np.uint8(32)
    right = data[at + 1] if at + 1 < stop else np.uint8(32)
    if left == 46 or right == 46:
        return False
    small = 97 <= left <= 122
    if small and 65 <= right <= 90:
        return True
    if not _closes(data, at + 1, stop, table):
        return False
    if 65 <= left <= 90:
        return at - 2 >= start and 65 <= data[at - 2] <= 90
    # / = @ $ | ~ ^ \ are no punctuation that a full stop is split from
    if left in (47, 61, 64, 36, 124, 126, 94, 92):
        return False
    return not (small and _abbreviated(data, start, at))


@njit(nogil=True, cache=True, _nrt=False)
def _ends(data, start, at, stop, table):
    """Whether a sentence ends with what begins at ``data[at]``."""
    byte = data[at]
    if byte == 46:
        return _full_stop(data, start, at, stop, table)
    if byte < 128:
        return _closes(data, at + 1, stop, table) or _opens(data, start, at)
    point, width = decode(data, at, stop)
    return point in (0x3002, 0xFF01, 0xFF1F) and _closes(data, at + width, stop, table)


@njit(nogil=True, cache=True, _nrt=False)
def _begins(data, at, stop, table):
    """Where behind ``data[at]`` the next letter, digit or symbol stands, or ``stop``."""
    while at < stop:
        byte = data[at]
        width = 1
        if byte < 128:
            # $ + < = > ^ ` | ~ are symbols, other signs punctuation
            if _letter(byte) or 48 <= byte <= 57 or byte in (36, 43, 60, 61, 62, 94, 96, 124, 126):
                return at
        else:
            point, width = decode(data, at, stop)
            if point not in (0x3002, 0xFF01, 0xFF1F) and (point < 0 or not table[point] & 12):
                return at
        at += width
    return stop


@njit(nogil=True, cache=True, _nrt=False)
def sentence_count(data, start, stop, table):
    """Sentences of ``data[start:stop]``, a line without white space around it; at least 1. ``table``: ``kinds()``.

    ``data`` goes on for BLOCK bytes behind ``stop``.
    """
    count = np.int64(1)
    behind = at = start
    while at < stop:
        marks = _terminators(data, at)[0] & before(at, stop)
        while marks:
            place = at + trailing(marks)
            marks &= marks - np.uint64(1)
            if place >= behind and _ends(data, start, place, stop, table):
                behind = _begins(data, place + (1 if data[place] < 128 else 3), stop, table)
                count += behind < stop
        at += BLOCK
    return count


@njit(nogil=True, cache=True)
def _counts(offsets, data, table):
    out = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(out)):
        out[row] = sentence_count(data, offsets[row], offsets[row + 1], table)
    return out


def sentence_counts(offsets: Offsets, data: Bytes) -> npt.NDArray[np.int64]:
    """Sentences of each row, int64[n], each row read as one line: for comparisons with other engines."""
    return _counts(*padded(offsets, data, BLOCK), kinds())
