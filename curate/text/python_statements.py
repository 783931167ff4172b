# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""A Python statement as kernels read it, by brackets, quotes and keywords: where it ends, and what it looks like.

Parts of the kernel in ``python_outline``, which says what a statement is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.spaces import chars

__all__ = [
    "ALL", "CLASS", "FROM", "FUNCTION", "IMPORT", "KIND", "PLAIN", "SPACE", "WORD",
    "is_word", "literal", "name_end", "read_statement", "statement_kind",
]  # fmt: skip

SPACE, WORD, _OTHER, _QUOTE, _HASH, _LINE, _BACKSLASH, _OPEN, _CLOSE, _EQUALS = range(10)


def _kinds() -> npt.NDArray[np.uint8]:
    table = np.full(256, _OTHER, np.uint8)
    table[[32, 9, 12, 13]] = SPACE
    table[[*range(48, 58), *range(65, 91), 95, *range(97, 123), *range(128, 256)]] = WORD
    for signs, kind in ((b"\"'", _QUOTE), (b"#", _HASH), (b"\n", _LINE), (b"\\", _BACKSLASH), (b"=", _EQUALS)):
        table[list(signs)] = kind
    table[list(b"([{")] = _OPEN
    table[list(b")]}")] = _CLOSE
    return table


KIND: Final = _kinds()
_BEFORE_EQUALS: Final = tuple(b"!<>=:+-*/%&|^@")
FUNCTION, CLASS, IMPORT, FROM, _DECORATOR, PLAIN = range(1, 7)


@njit(nogil=True, cache=True)
def name_end(data, at, stop):
    """(end, hash) of the name at ``at``."""
    value = np.uint64(0xCBF29CE484222325)
    while at < stop and KIND[data[at]] == WORD:
        value = (value ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
        at += 1
    return at, value


@njit(nogil=True, cache=True)
def is_word(data, at, stop, word):
    """Whether the whole word at ``at`` is this one."""
    end = at + len(word)
    if end > stop:
        return False
    for i in range(len(word)):
        if data[at + i] != word[i]:
            return False
    return end == stop or KIND[data[end]] != WORD


_W_DEF, _W_ASYNC, _W_CLASS, _W_IMPORT, _W_FROM, ALL, _W_TRUE, _W_FALSE, _W_NONE = (
    np.frombuffer(word, np.uint8)
    for word in (b"def", b"async", b"class", b"import", b"from", b"__all__", b"True", b"False", b"None")
)


@njit(nogil=True, cache=True)
def statement_kind(data, at, stop):
    """Kind of the statement that begins at ``at``."""
    byte = data[at]
    if byte == 64:
        return _DECORATOR
    if byte == 100 and is_word(data, at, stop, _W_DEF):
        return FUNCTION
    if byte == 99 and is_word(data, at, stop, _W_CLASS):
        return CLASS
    if byte == 105 and is_word(data, at, stop, _W_IMPORT):
        return IMPORT
    if byte == 102 and is_word(data, at, stop, _W_FROM):
        return FROM
    if byte == 97 and is_word(data, at, stop, _W_ASYNC):
        at += 5
        while at < stop and data[at] in (32, 9):
            at += 1
        if is_word(data, at, stop, _W_DEF):
            return FUNCTION
    return PLAIN


@njit(nogil=True, cache=True)
def _string(data, at, stop):
    """(end, line ends inside) of the string whose quote is at ``at``."""
    quote = data[at]
    triple = at + 2 < stop and data[at + 1] == quote and data[at + 2] == quote
    lines = 0
    at += 3 if triple else 1
    while at < stop:
        byte = data[at]
        if byte == 92:
            lines += at + 1 < stop and data[at + 1] == 10
            at += 2
            continue
        if byte == quote and not triple:
            return at + 1, lines
        if byte == quote and at + 2 < stop and data[at + 1] == quote and data[at + 2] == quote:
            return at + 3, lines
        if byte == 10 and not triple:
            return at, lines
        lines += byte == 10
        at += 1
    return stop, lines


@njit(nogil=True, cache=True)
def literal(data, at, stop):
    """Whether a value that begins at ``at`` or after spaces looks like a literal."""
    while at < stop and data[at] in (32, 9):
        at += 1
    if at >= stop:
        return False
    byte = data[at]
    if byte in (34, 39, 40, 91, 123, 45) or 48 <= byte <= 57:
        return True
    if KIND[byte] != WORD:
        return False
    if is_word(data, at, stop, _W_TRUE) or is_word(data, at, stop, _W_FALSE) or is_word(data, at, stop, _W_NONE):
        return True
    for size in (1, 2):  # a string's prefix
        if at + size < stop and data[at + size] in (34, 39) and data[at + size - 1] | 32 in (98, 102, 114, 117):
            return True
    return False


@njit(nogil=True, cache=True)
def _calls(byte):
    """Whether a bracket right after this byte is a call."""
    return KIND[byte] == WORD or byte in (41, 93)


@njit(nogil=True, cache=True)
def read_statement(data, at, stop, found):
    """Read the statement that begins at ``at``; returns the first byte after its line end.

    found, int64[9]: lines; only strings; characters of comments; where the value of its first '=' begins (-1: there is
    none); a call outside brackets; begin and end of the last name called so; where its content ends; a word "for".
    """
    start = at
    lines = 1
    only = True
    comment = 0
    value = -1
    called = loops = False
    begin = end = content = at
    depth = 0
    fresh = False  # at a new line of which nothing was seen
    while at < stop:
        kind = KIND[data[at]]
        if kind == SPACE:
            at += 1
            continue
        if kind == _LINE:
            at += 1
            if depth == 0:
                break
            fresh = True
            continue
        if kind == _HASH:
            first = at
            while at < stop and data[at] != 10:
                at += 1
            comment += chars(data, first, at)
            continue
        if fresh:
            lines += 1
            fresh = False
        if kind == _BACKSLASH:
            at += 1
            if at < stop and data[at] == 13:
                at += 1
            if at < stop and data[at] == 10:
                at += 1
                fresh = True
            else:
                only = False
            continue
        if kind == _QUOTE:
            at, more = _string(data, at, stop)
            lines += more
            content = at
            continue
        if kind == WORD:
            first = at
            at += 1
            while at < stop and KIND[data[at]] == WORD:
                at += 1
            loops |= at - first == 3 and data[first] == 102 and data[first + 1] == 111 and data[first + 2] == 114
            # A string may have a prefix.
            only &= at - first <= 2 and at < stop and KIND[data[at]] == _QUOTE
            content = at
            continue
        only = False
        if kind == _OPEN:
            if data[at] == 40 and at > start and content == at and _calls(data[at - 1]) and depth == 0:
                called = True
                begin = end = at
                while begin > start and KIND[data[begin - 1]] == WORD:
                    begin -= 1
            depth += 1
        elif kind == _CLOSE:
            depth = max(depth - 1, 0)
        elif kind == _EQUALS and depth == 0 and value < 0:
            # A comparison or an operation in place is no assignment: its value begins nowhere.
            plain = (at + 1 >= stop or data[at + 1] != 61) and at > start and data[at - 1] not in _BEFORE_EQUALS
            value = at + 1 if plain else stop
        at += 1
        content = at
    found[0], found[1], found[2], found[3] = lines, only, comment, value
    found[4], found[5], found[6], found[7], found[8] = called, begin, end, content, loops
    return at
