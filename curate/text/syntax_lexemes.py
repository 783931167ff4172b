# ruff: noqa: ANN001, ANN201, PLR1714 - numba infers types and is quicker with plain comparisons; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Words, strings, numbers, signs and line starts of Python as kernels read them, from any bytes.

Part of the kernel in ``syntax_functions``; ``syntax`` says what the normal form is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64
from curate.text.syntax_symbols import TABLE, fnv

__all__ = [
    "BACKSLASH", "BASIS", "BYTES", "CLOSES", "DIGIT", "HASH", "IN_NUMBER", "IN_STRING", "IN_WORD", "KIND", "LINE",
    "OPENS", "QUOTE", "SPACE", "WORD", "beyond_gap", "beyond_spaces", "bits_of", "fenced", "heads", "inner", "line_ends", "line_start",
    "plain_name", "read_number", "read_sign", "read_string", "read_word", "string_prefix", "symbol_of",
]  # fmt: skip

inner = njit(nogil=True, cache=True, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Of kernels that only kernels call: they compile in three quarters of the time."""

SPACE, WORD, DIGIT, QUOTE, HASH, LINE, BACKSLASH, OPENS, CLOSES, _SIGN = range(10)


def _kinds() -> npt.NDArray[np.uint8]:
    table = np.full(256, _SIGN, np.uint8)
    table[[*range(65, 91), 95, *range(97, 123), *range(128, 256)]] = WORD
    kinds = {b" \t\f\r": SPACE, b"0123456789": DIGIT, b"\"'": QUOTE, b"#": HASH, b"\n": LINE, b"\\": BACKSLASH}
    kinds |= {b"([{": OPENS, b")]}": CLOSES}
    for chars, kind in kinds.items():
        table[list(chars)] = kind
    return table


KIND: Final = _kinds()
BASIS: Final = np.uint64(fnv(b""))
_PRIME: Final = np.uint64(0x100000001B3)
_W_DEF, _W_CLASS = np.uint64(fnv(b"def")), np.uint64(fnv(b"class"))
_FORMAT, BYTES = 1, 2
IN_WORD, IN_NUMBER, IN_STRING = np.uint64(1), np.uint64(2), np.uint64(3)


@njit(nogil=True, cache=True, inline="always")
def symbol_of(value, what):
    """uint32, at least 2^31: the symbol of a word, number or string (IN_WORD, ...) by its hash."""
    return np.uint32((mix64(value + what) >> np.uint64(33)) | np.uint64(0x80000000))


@inner
def bits_of(value):
    """What the word with this hash is, see TABLE."""
    slot = (value ^ (value >> np.uint64(32))) & np.uint64(1023)
    while TABLE[slot, 1] != 0:
        if TABLE[slot, 0] == value:
            return np.int64(TABLE[slot, 1])
        slot = (slot + np.uint64(1)) & np.uint64(1023)
    return np.int64(0)


@inner
def beyond_spaces(data, at, stop):
    """The first byte from ``at`` on that is no space or tab."""
    while at < stop and (data[at] == 32 or data[at] == 9):
        at += 1
    return at


@inner
def beyond_gap(data, at, stop, inside):
    """The first byte from ``at`` on that is part of a token; ``inside`` brackets also on a later line."""
    while at < stop:
        kind = KIND[data[at]]
        if kind == BACKSLASH and at + 1 < stop and (data[at + 1] == 10 or data[at + 1] == 13):
            at += 2
        elif kind == HASH and inside:
            while at < stop and data[at] != 10:
                at += 1
        elif kind != SPACE and not (inside and kind == LINE):
            break
        else:
            at += 1
    return at


@inner
def line_ends(data, at, stop):
    """Whether nothing but spaces and a comment follows on the line."""
    while at < stop and KIND[data[at]] == SPACE:
        at += 1
    return at >= stop or data[at] == 10 or data[at] == 35


@inner
def read_word(data, at, stop):
    """(end, hash) of the word at ``at``: its FNV-1a."""
    value = BASIS
    while at < stop and (KIND[data[at]] == WORD or KIND[data[at]] == DIGIT):
        value = (value ^ np.uint64(data[at])) * _PRIME
        at += 1
    return at, value


@njit(nogil=True, cache=True)
def plain_name(data, at, stop):
    """Hash of the name ``data[at:stop]`` in lower case, without underscores: ``isPrime`` and ``is_prime`` are one."""
    value = BASIS
    for i in range(at, stop):
        byte = data[i]
        if byte != 95:
            value = (value ^ np.uint64(byte | 32 if 65 <= byte <= 90 else byte)) * _PRIME
    return value


@inner
def heads(data, at, stop):
    """2 if a def with a name and parameters begins at ``at``, 1 for a class with a name, else 0."""
    if at >= stop or (data[at] != 100 and data[at] != 97 and data[at] != 99):
        return 0
    end, value = read_word(data, at, min(stop, at + 6))
    if end - at == 5 and data[at] == 97 and data[at + 1] == 115:  # async
        at = beyond_spaces(data, end, stop)
        end, value = read_word(data, at, min(stop, at + 4))
    if value != _W_DEF and value != _W_CLASS:
        return 0
    at = beyond_spaces(data, end, stop)
    if at == end or at >= stop or KIND[data[at]] != WORD:
        return 0
    if value == _W_CLASS:
        return 1
    while at < stop and (KIND[data[at]] == WORD or KIND[data[at]] == DIGIT):
        at += 1
    at = beyond_spaces(data, at, stop)
    return 2 if at < stop and (data[at] == 40 or data[at] == 91) else 0


@inner
def fenced(data, at, stop):
    """Whether a fence of a code block is at ``at``."""
    return at + 2 < stop and (data[at] == 96 or data[at] == 126) and data[at] == data[at + 1] == data[at + 2]


@inner
def line_start(data, at, stop, marks, held):
    """(first byte after white space and marks, its column, whether the marks are those).

    marks, uint8[8]: the ``held`` signs that stand before each line (of a quotation, a diff, a doctest, where a dot
    stands for each ``>`` from the second line on).
    """
    column = 0
    seen = 0
    while at < stop:
        byte = data[at]
        if byte == 32:
            column += 1
        elif byte == 9:
            column = (column // 8 + 1) * 8
        elif byte == 12:
            column = 0
        elif byte != 13:
            if seen == held or (byte != marks[seen] and not (byte == 46 and marks[seen] == 62)):
                return at, column, seen == held
            seen += 1
            column += 1
        at += 1
    return at, column, seen == held


@inner
def string_prefix(data, first, end):
    """What the string prefix ``data[first:end]`` says (_FORMAT, BYTES), -1 if it is none."""
    flags = 0
    for at in range(first, end):
        letter = data[at] | 32
        if letter == 102 or letter == 116:
            flags |= _FORMAT
        elif letter == 98:
            flags |= BYTES
        elif letter != 114 and letter != 117:
            return -1
    return flags


@inner
def read_string(data, at, stop, flags, value):
    """(first byte behind the string whose quote is at ``at``, hash, whether it has several lines).

    The hash goes on from ``value``: a string after a string is part of it. Backslashes before quotes and line ends do not
    count, nor what stands in the fields of an f-string.
    """
    quote = data[at]
    triple = at + 2 < stop and data[at + 1] == quote and data[at + 2] == quote
    at += 3 if triple else 1
    lines = False
    field = 0
    while at < stop:
        byte = data[at]
        if byte == quote and field and not triple:
            # Since Python 3.12 a field may hold strings with the same quotes; before, none could end here.
            at += 1
            while at < stop and data[at] != quote and data[at] != 10:
                at += 1
            at += at < stop and data[at] == quote
            continue
        if byte == quote and (not triple or (at + 2 < stop and data[at + 1] == quote and data[at + 2] == quote)):
            return at + (3 if triple else 1), value, lines
        if byte == 10:
            if not triple:
                return at, value, lines
            lines = True
        elif byte == 92 and at + 1 < stop:
            at += 1
            byte = data[at]
            if byte == 13 and at + 1 < stop and data[at + 1] == 10:
                at += 1
                byte = data[at]
            if byte == 10:
                lines = True
                at += 1
                continue
            if byte != 34 and byte != 39 and field == 0:
                value = (value ^ np.uint64(92)) * _PRIME
        elif byte == 13:
            at += 1
            continue
        elif flags & _FORMAT and (byte == 123 or byte == 125):
            if field == 0 and at + 1 < stop and data[at + 1] == byte:
                at += 1
            elif byte == 123:
                field += 1
                if field == 1:
                    value = (value ^ np.uint64(256)) * _PRIME
                at += 1
                continue
            elif field:
                field -= 1
                at += 1
                continue
        if field == 0:
            value = (value ^ np.uint64(byte)) * _PRIME
        at += 1
    return stop, value, lines


@inner
def read_number(data, at, stop):
    """(end, hash) of the number at ``at``: in lower case, without underscores."""
    first = at
    value = BASIS
    while at < stop:
        byte = data[at]
        kind = KIND[byte]
        if kind != DIGIT and kind != WORD and byte != 46:
            exponent = (byte == 43 or byte == 45) and at > first and data[at - 1] | 32 == 101
            if not exponent or (data[first] == 48 and at > first + 1 and data[first + 1] | 32 == 120):
                break
        if byte != 95:
            value = (value ^ np.uint64(byte | 32 if kind == WORD else byte)) * _PRIME
        at += 1
    return at, value


@inner
def read_sign(data, at, stop):
    """(width, symbol) of the sign at ``at``, the longest that Python has."""
    one = np.uint32(data[at])
    two = np.uint32(data[at + 1]) if at + 1 < stop else np.uint32(0)
    three = np.uint32(data[at + 2]) if at + 2 < stop else np.uint32(0)
    twice = one == two and (one == 42 or one == 47 or one == 60 or one == 62)
    if (twice and three == 61) or (one == 46 and two == 46 and three == 46):
        return 3, one | (two << np.uint32(8)) | (three << np.uint32(16))
    if one == 60 and two == 62:
        return 2, np.uint32(33 | (61 << 8))  # <> is !=
    before = (
        37 <= one <= 38 or 42 <= one <= 43 or one == 45 or one == 47 or 60 <= one <= 62 or one == 33 or one == 58
        or one == 64 or one == 94 or one == 124
    )  # fmt: skip
    if twice or (two == 61 and before) or (one == 45 and two == 62):
        return 2, one | (two << np.uint32(8))
    return 1, one
