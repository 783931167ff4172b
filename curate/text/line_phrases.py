# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""The phrases that C4 looks for in lines, and citations, in kernels.

Phrases are found from their rarest letter outwards, whatever their case: ``j`` for javascript, ``p`` for lorem ipsum,
``v``, ``k`` and ``m`` for the six of policies. Lower case is ASCII's, and U+212A KELVIN SIGN counts as k as in Python's
``str.lower``: no other character's lower case holds one of these letters and can stand in a phrase.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from curate.text.blocks import BLOCK, Block, before, block_masks, move_block
from curate.text.swar import trailing
from curate.text.utf8 import decode

__all__ = ["CURLY_BRACKET", "JAVASCRIPT", "LOREM_IPSUM", "POLICY", "ROOM", "copy", "copy_uncited", "phrases"]

LOREM_IPSUM, JAVASCRIPT, POLICY, CURLY_BRACKET = 1, 2, 4, 8
"""Bits of what ``phrases`` finds."""
_PHRASES: Final = (  # letter, what stands before it, what behind it, bit
    ("j", "", "avascript", JAVASCRIPT),
    ("p", "lorem i", "sum", LOREM_IPSUM),
    ("v", "pri", "acy policy", POLICY),
    ("m", "ter", "s of use", POLICY),
    ("k", "coo", "ie policy", POLICY),
    ("k", "use coo", "ies", POLICY),
    ("k", "uses coo", "ies", POLICY),
    ("k", "use of coo", "ies", POLICY),
    ("{", "", "", CURLY_BRACKET),
)
_TEXT: Final = np.frombuffer("".join(before + behind for _, before, behind, _ in _PHRASES).encode(), np.uint8)
_ENTRIES: Final = np.zeros((len(_PHRASES), 3), np.int64)
"""Of each phrase, where in _TEXT it begins, where its rare letter stands, where it ends."""
_FIRST: Final = np.zeros(256, np.uint8)
"""Of each byte, 1 + the first phrase whose rare letter it is; 0 for none."""
_at = 0
for _i, (_letter, _before, _behind, _) in enumerate(_PHRASES):
    _ENTRIES[_i] = _at, _at + len(_before), _at + len(_before + _behind)
    _at = int(_ENTRIES[_i, 2])
    for _byte in (_letter + _letter.upper()).encode():
        _FIRST[_byte] = _FIRST[_byte] or _i + 1
_KELVIN: Final = len(_PHRASES) + 1
_FIRST[0xE2] = _KELVIN
_BITS: Final = np.array([bit for *_, bit in _PHRASES])
_K: Final = int(_FIRST[ord("k")])
_K_PHRASES: Final = sum(letter == "k" for letter, *_ in _PHRASES)
ROOM: Final = BLOCK + 1
"""Bytes behind a line that are read and written over."""


def _rare_letters(block: Block) -> Any:
    """Where a phrase's rare letter may be: the letter behind it, which it shares with few words, fits."""
    found = [block.among(123, 123), block.both(block.among(0xE2, 0xE2), block.among(0x84, 0x84, 1))]
    for letter, behind in sorted({(letter, behind[:1]) for letter, _, behind, _ in _PHRASES if behind}):
        found.append(block.both(block.letter(letter), block.letter(behind, 1)))
    return block.any(*found)


_rare = block_masks(_rare_letters)
_opened = block_masks(lambda block: block.among(91, 91))
_EDIT: Final = np.frombuffer(b"[edit]", np.uint8)
_NEEDED: Final = np.frombuffer(b"[citation needed]", np.uint8)


@njit(nogil=True, cache=True, _nrt=False)
def _is_phrase(data, start, at, behind, stop, i):
    """Whether phrase ``i`` is in ``data[start:stop]``, its rare letter at ``data[at:behind]``."""
    begin, letter, end = _ENTRIES[i]
    if at - start < letter - begin or stop - behind < end - letter:
        return False
    for k in range(begin, end):
        byte = data[at + k - letter] if k < letter else data[behind + k - letter]
        if 65 <= byte <= 90:
            byte |= 32
        if byte != _TEXT[k]:
            return False
    return True


@njit(nogil=True, cache=True, _nrt=False)
def _phrases_at(data, start, at, stop):
    """Bits of the phrases in ``data[start:stop]`` whose rare letter is at ``data[at]``."""
    i = np.int64(_FIRST[data[at]])
    behind = at + 1
    if i == _KELVIN:
        if at + 2 >= stop or data[at + 2] != 0xAA:
            return 0
        behind = at + 3
        i = _K
    letter = i
    found = 0
    while i == letter or (letter == _K and i < _K + _K_PHRASES):
        if _is_phrase(data, start, at, behind, stop, i - 1):
            found |= _BITS[i - 1]
        i += 1
    return found


@njit(nogil=True, cache=True, _nrt=False)
def phrases(data, start, stop):
    """Bits of what ``data[start:stop]`` holds: 1 lorem ipsum, 2 javascript, 4 a policy's phrase, 8 a curly bracket.

    ``data`` goes on for ROOM bytes behind ``stop``.
    """
    found = 0
    at = start
    while at < stop:
        marks = _rare(data, at)[0] & before(at, stop)
        while marks:
            found |= _phrases_at(data, start, at + trailing(marks), stop)
            marks &= marks - np.uint64(1)
        at += BLOCK
    return found


@njit(nogil=True, cache=True, _nrt=False)
def _same(data, at, stop, phrase):
    """Whether ``data[at:stop]`` begins with exactly a phrase."""
    if stop - at < len(phrase):
        return False
    same = True
    for i in range(len(phrase)):
        same &= data[at + i] == phrase[i]
    return same


@njit(nogil=True, cache=True, _nrt=False)
def _citation(data, at, stop, table):
    """Bytes of the citation that begins at the bracket at ``data[at]``: ``[``, digits or none, ``]``; or 0 for none."""
    if _same(data, at, stop, _EDIT):
        return len(_EDIT)
    if _same(data, at, stop, _NEEDED):
        return len(_NEEDED)
    end = at + 1
    while end < stop:
        byte = data[end]
        if byte == 93:
            return end + 1 - at
        if byte < 128:
            if not 48 <= byte <= 57:
                return 0
            end += 1
            continue
        point, width = decode(data, end, stop)
        if point < 0 or not table[point] & 64:
            return 0
        end += width
    return 0


@njit(nogil=True, cache=True, _nrt=False)
def copy(text, start, stop, out, to):
    """Write ``text[start:stop]`` at ``out[to:]``: its end there. Both go on for ROOM bytes, which are written over."""
    end = to + stop - start
    while to < end:
        move_block(text, start, out, to)
        to += BLOCK
        start += BLOCK
    return end


@njit(nogil=True, cache=True, _nrt=False)
def copy_uncited(text, start, stop, out, to, table):
    """Write ``text[start:stop]`` without its citations at ``out[to:]``, as ``copy`` does: its end there."""
    behind = at = start
    while at < stop:
        marks = _opened(text, at)[0] & before(at, stop)
        while marks:
            place = at + trailing(marks)
            marks &= marks - np.uint64(1)
            width = _citation(text, place, stop, table) if place >= behind else 0
            if width:
                to = copy(text, behind, place, out, to)
                behind = place + width
        at += BLOCK
    return copy(text, behind, stop, out, to)
