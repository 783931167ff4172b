# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""The words of a batch: byte ranges and hashes, derived from the batch's atoms under a named policy.

What a letter, a mark, a number, white space or a sign is, Unicode's tables say (``curate.text.unicode``). Characters of
scripts that are written without spaces (Han, kana, Thai, ...) are a word each, with the marks behind them, so that
n-grams of words work on them. Bytes that are no valid UTF-8 separate words under the first three policies.

``folded``        longest runs of letters, marks and numbers, hashed with case folded: ``Foo`` and ``foo`` are one word,
                  ``snake_case`` is two. For shingles of prose (near-duplicates)
``alphanumeric``  the same words, but for escapes, which separate words: a backslash with n, r, t, ``uXXXX`` or ``xXX``
                  behind it, and the entities of ``ENTITIES``, in small letters or capitals, escaped once or more. So
                  text within JSON, a string literal or HTML has the words of the text itself. For decontamination
``symbols``       the same words, and each other ASCII sign that is no white space is a word of its own. For shingles of
                  code and mathematics, where ``a[i] + b`` and ``a(i) - b`` differ
``gopher``        longest runs without white space, as Python's ``str.split`` finds them, hashed as they are. For
                  the counting rules of Gopher, RefinedWeb and most engines
``tokens``        as spaCy's blank English tokenizer cuts them (``curate.text.tokens``), hashed as they are. For the
                  counting rules as datatrove has them, which asks that tokenizer for words
``raw``           what fastText reads: runs without the bytes 9 to 13, 32 and 0; the hash is its 32-bit FNV-1a
                  (``Dictionary::hash``: bytes above 127 are sign-extended before the xor)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.atoms import (
    BREAK,
    RAW,
    SIGN,
    SPACE,
    WORD,
    Atoms,
    atoms,
    within,
)
from curate.text.rows import RowAligned
from curate.text.sorted_values import lower_bound
from curate.text.swar import ones, trailing
from curate.text.tokens import tokens
from curate.text.unicode import folding
from curate.text.word_hashes import hashes_of, raw_hashes

__all__ = ["POLICIES", "Policy", "Words", "tokenized", "words"]

Policy = Literal["folded", "alphanumeric", "symbols", "gopher", "tokens", "raw"]
POLICIES: Final[tuple[Policy, ...]] = ("folded", "alphanumeric", "symbols", "gopher", "tokens", "raw")

ENTITIES: Final = (
    "amp apos bull copy deg frac12 ge gt hellip laquo ldquo le lsquo lt mdash middot minus nbsp ndash ne quot raquo rarr "
    "rdquo reg rsquo thinsp times trade"
)
"""Names of the signs that HTML writes most often (https://html.spec.whatwg.org/multipage/named-characters.html);
numbered ones (``&#39;``, ``&#x27;``) are entities, too."""
_PACKED: Final = np.array(sorted(int.from_bytes(name.encode(), "big") for name in ENTITIES.split()), np.uint64)

_FOLDED, _ALPHANUMERIC, _SYMBOLS, _GOPHER, _TOKENS, _RAW = range(6)
_ONE: Final = np.uint64(1)
_TOP: Final = np.uint64(63)
_LONGEST: Final = 1 << 31


@dataclass(frozen=True)
class Words(RowAligned):
    """Words of n rows.

    Attributes:
        rows: int64[n + 1]; row ``i`` has the words ``rows[i]:rows[i + 1]``.
        hashes: uint64[m]; under ``raw`` 32 bits wide.
        starts, stops: uint32[m]; byte ranges in the row's own text.
    """

    rows: Offsets
    hashes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.uint32]
    stops: npt.NDArray[np.uint32]


@njit(nogil=True, cache=True, inline="always")
def _inside(masks, block, policy):
    """The bytes of a block that belong to words."""
    if policy <= _ALPHANUMERIC:
        return masks[WORD, block]
    if policy == _SYMBOLS:
        return masks[WORD, block] | masks[SIGN, block]
    return ~masks[RAW if policy == _RAW else SPACE, block]


@njit(nogil=True, cache=True)
def _sign_breaks(masks):
    """Each sign, and what follows it, begins a word."""
    out = np.empty(masks.shape[1], np.uint64)
    carry = np.uint64(0)
    for block in range(masks.shape[1]):
        signs = masks[SIGN, block]
        out[block] = masks[BREAK, block] | signs | (signs << _ONE) | carry
        carry = signs >> _TOP
    return out


@njit(nogil=True, cache=True, inline="always")
def _hex(byte):
    return 48 <= byte <= 57 or 97 <= (byte | 32) <= 102


@njit(nogil=True, cache=True)
def _backslashed(data, at, stop):
    """Bytes behind the backslash at ``data[at]`` that it makes a sign or white space of."""
    byte = data[at + 1] | 32 if at + 1 < stop else 0
    if byte in (110, 114, 116):
        return 1
    size = 5 if byte == 117 else 3 if byte == 120 else 0
    if at + size >= stop:
        return 0
    for k in range(at + 2, at + 1 + size):
        if not _hex(data[k]):
            return 0
    return size


@njit(nogil=True, cache=True)
def _entity(data, at, stop):
    """Bytes behind the ``&`` at ``data[at]`` that are an entity's name or number."""
    value = np.uint64(0)
    numeric = at + 1 < stop and data[at + 1] == 35
    for k in range(at + 1, min(at + 9, stop)):
        byte = data[k]
        if byte == 59:
            size = k - at - 1
            if numeric:
                return size if size > 1 else 0
            place = lower_bound(_PACKED, value)
            return size if place < len(_PACKED) and _PACKED[place] == value else 0
        if numeric and k > at + 1 and not (_hex(byte) or (k == at + 2 and byte | 32 == 120)):
            return 0
        value = (value << np.uint64(8)) | np.uint64(byte | 32 if byte > 64 else byte)
    return 0


@njit(nogil=True, cache=True)
def _mark(out, at, size):
    for k in range(at + 1, at + 1 + size):
        out[k >> 6] |= _ONE << np.uint64(k & 63)


@njit(nogil=True, cache=True)
def _escapes(offsets, data, masks):
    """Letters and digits that stand for a sign or for white space, uint64[blocks]: no part of a word."""
    out = np.zeros(masks.shape[1], np.uint64)
    base = offsets[0]
    for row in range(len(offsets) - 1):
        first = offsets[row] - base
        stop = offsets[row + 1] - base
        for block in range(first >> 6, (stop + 63) >> 6):
            # The last byte of a row escapes nothing.
            signs = masks[SIGN, block] & within(block, first, stop - 1)
            while signs:
                at = 64 * block + trailing(signs)
                signs &= signs - _ONE
                byte = data[base + at]
                if byte == 92:
                    _mark(out, at, _backslashed(data, base + at, base + stop))
                elif byte == 38:
                    size = _entity(data, base + at, base + stop)
                    _mark(out, at, size)
                    # What was escaped twice has "&amp;" for its "&".
                    while size == 3 and data[base + at + 2] | 32 == 109:
                        at += 4
                        size = _entity(data, base + at, base + stop)
                        _mark(out, at, size)
    return out


@njit(nogil=True, cache=True)
def _count(offsets, masks, breaks, gaps, policy):
    """Row ``i`` has the words ``rows[i]:rows[i + 1]``, int64[n + 1]."""
    base = offsets[0]
    rows = np.zeros(len(offsets), np.int64)
    total = 0
    for row in range(len(offsets) - 1):
        first = offsets[row] - base
        stop = offsets[row + 1] - base
        carry = np.uint64(0)
        for block in range(first >> 6, (stop + 63) >> 6):
            inside = _inside(masks, block, policy) & ~gaps[block] & within(block, first, stop)
            total += ones(inside & (~((inside << _ONE) | carry) | breaks[block]))
            carry = inside >> _TOP
        rows[row + 1] = total
    return rows


@njit(nogil=True, cache=True)
def _bounds(offsets, masks, breaks, gaps, policy, starts, stops):
    """Write where words begin and end; the arrays are as long as ``_count`` says."""
    base = offsets[0]
    begun = 0
    ended = 0
    for row in range(len(offsets) - 1):
        first = offsets[row] - base
        stop = offsets[row + 1] - base
        carry = np.uint64(0)
        for block in range(first >> 6, (stop + 63) >> 6):
            inside = _inside(masks, block, policy) & ~gaps[block] & within(block, first, stop)
            before = (inside << _ONE) | carry
            carry = inside >> _TOP
            begins = inside & (~before | breaks[block])
            ends = before & (~inside | begins)
            at = 64 * block - first
            while begins:
                starts[begun] = at + trailing(begins)
                begun += 1
                begins &= begins - _ONE
            while ends:
                stops[ended] = at + trailing(ends)
                ended += 1
                ends &= ends - _ONE
        if ended < begun:
            stops[ended] = stop - first
            ended += 1


def words(offsets: Offsets, data: Bytes, policy: Policy, masks: Atoms | None = None) -> Words:
    """Words of every row under a policy; ``masks`` are the batch's atoms, where they were found before.

    Raises ValueError for a policy that does not exist, and for a row of 2 GiB or more.
    """
    if policy not in POLICIES:
        raise ValueError(f"no policy '{policy}'; there are: {', '.join(POLICIES)}")
    if len(offsets) > 1 and int(np.diff(offsets).max()) >= _LONGEST:
        raise ValueError("a row of 2 GiB or more has no words view")
    if masks is None:
        masks = atoms(offsets, data)
    if policy == "tokens":
        return tokenized(offsets, data, words(offsets, data, "gopher", masks))
    number = POLICIES.index(policy)
    none = np.zeros(masks.shape[1], np.uint64)
    breaks = none
    if number <= _SYMBOLS:
        breaks = masks[BREAK] if number < _SYMBOLS else _sign_breaks(masks)
    gaps = _escapes(offsets, data, masks) if number == _ALPHANUMERIC else none
    rows = _count(offsets, masks, breaks, gaps, number)
    total = int(rows[-1])
    starts, stops = np.empty(total, np.uint32), np.empty(total, np.uint32)
    _bounds(offsets, masks, breaks, gaps, number, starts, stops)
    hashes = np.empty(total, np.uint64)
    if number == _RAW:
        raw_hashes(offsets, data, rows, starts, stops, hashes)
    else:
        hashes_of(offsets, data, rows, starts, stops, folding(), number <= _SYMBOLS, hashes)
    return Words(rows, hashes, starts, stops)


def tokenized(offsets: Offsets, data: Bytes, runs: Words) -> Words:
    """Words under ``tokens``, from those under ``gopher``, which no token crosses."""
    return Words(*tokens(offsets, data, runs.rows, runs.hashes, runs.starts, runs.stops))
