# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
r"""Bounds of a Python file's syntax tree, from its bytes alone: what must be known before a parser sees hostile text.

CPython's parser and the making of its tree recurse in C; deep nesting ends in an error at best. So the depth is bounded
from above first, by tokens: brackets, levels of indentation, chains of operators, of attributes, calls and subscripts,
of ``elif``, of conditional expressions, lambdas and ``not``. Each level of brackets holds its chains until it is closed;
a comma ends those of its level, unless a lambda's parameters are being read. An f-string's fields count every sign and
word in them. Tokens bound the number of nodes, contexts and operators not counted.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets, columns

__all__ = ["BOUNDS", "DEEPEST", "python_bounds"]

BOUNDS: Final = (
    "tokens",  # names, keywords, numbers, strings, signs; an f-string's fields count their signs and words
    "depth",  # no tree is deeper, by a few levels that every tree has; DEEPEST for what was not read to its end
    "longest_name",  # bytes of the longest name with other than ASCII letters: their normal form takes its square
    "balanced",  # 1 where brackets match and none is left open
)
"""Names of the columns of ``python_bounds``, in order."""

DEEPEST: Final = 1000
"""Depth at which reading stops."""

_SPACE, _WORD, _NONE, _QUOTE, _HASH, _LINE, _BACKSLASH, _OPEN, _CLOSE, _COMMA, _COLON, _SEMICOLON, _DOT, _SIGN = range(
    14
)


def _kinds() -> npt.NDArray[np.uint8]:
    table = np.full(256, _NONE, np.uint8)
    table[[*range(48, 58), *range(65, 91), 95, *range(97, 123), *range(128, 256)]] = _WORD
    kinds = {b" \t\f\r": _SPACE, b"\"'": _QUOTE, b"#": _HASH, b"\n": _LINE, b"\\": _BACKSLASH, b"([{": _OPEN}
    kinds |= {b")]}": _CLOSE, b",": _COMMA, b":": _COLON, b";": _SEMICOLON, b".": _DOT, b"+-~*/%@&|^<>": _SIGN}
    for chars, kind in kinds.items():
        table[list(chars)] = kind
    return table


_KIND: Final = _kinds()
_NOT, _LAMBDA, _IF, _AWAIT, _YIELD, _ELIF, _ELSE = (
    np.frombuffer(word, np.uint8) for word in (b"not", b"lambda", b"if", b"await", b"yield", b"elif", b"else")
)


@njit(nogil=True, cache=True)
def _is(data, at, end, word):
    if end - at != len(word):
        return False
    same = True
    for i in range(len(word)):
        same &= data[at + i] == word[i]
    return same


@njit(nogil=True, cache=True)
def _triple(data, at, stop):
    return at + 2 < stop and data[at + 1] == data[at] and data[at + 2] == data[at]


@njit(nogil=True, cache=True)
def _string_end(data, at, stop):
    """First byte after the string whose quote is at ``at``; a line end ends it unless it has three quotes."""
    quote = data[at]
    triple = _triple(data, at, stop)
    at += 3 if triple else 1
    while at < stop:
        byte = data[at]
        if byte == 92:
            at += 2
        elif byte == quote and (not triple or _triple(data, at, stop)):
            return at + 3 if triple else at + 1
        elif byte == 10 and not triple:
            return at
        else:
            at += 1
    return stop


@njit(nogil=True, cache=True)
def _formats(data, first, end):
    """Whether the string prefix ``data[first:end]`` is one with fields: it holds an f or a t; -1 if it is no prefix."""
    found = 0
    for at in range(first, end):
        letter = data[at] | 32
        if letter in (102, 116):
            found = 1
        elif letter not in (98, 114, 117):
            return -1
    return found


_LITERAL, _FIELD, _SPEC = range(3)


@njit(nogil=True, cache=True)
def _fields(data, at, stop, nested, quotes, kinds, depths):
    """(first byte after the f-string whose quote is at ``at``, signs and words in its deepest field, in all).

    nested: as from Python 3.12 on, a string in a field may have the same quotes and ends where its field lets it; else
    the first quote of its kind ends the string. The depth is DEEPEST where strings stand too deep in each other.
    Each thing that is open is a literal (of a string with that quote, negative: three of them), a field with its depth
    of brackets, or a field's format.
    """
    end = _string_end(data, at, stop)
    if not nested:
        stop = end
    held = 1
    kinds[0] = _LITERAL
    quotes[0] = -np.int64(data[at]) if _triple(data, at, stop) else np.int64(data[at])
    at += 3 if quotes[0] < 0 else 1
    count = deepest = total = 0
    word = False
    while at < stop:
        byte = data[at]
        kind = kinds[held - 1]
        quote = quotes[held - 1]
        if held == 1:
            count = 0
        else:
            was = word
            word = _KIND[byte] == _WORD
            step = (word and not was) or (not word and _KIND[byte] != _SPACE)
            count += step
            total += step
            deepest = max(deepest, count)
        if kind != _FIELD:
            if byte == abs(quote) and (quote > 0 or _triple(data, at, stop)):
                at += 1 if quote > 0 else 3
                # The string ends, and with it what of it is still open.
                while held and kinds[held - 1] != _LITERAL:
                    held -= 1
                held -= 1
                if held <= 0:
                    return (at if nested else end), deepest, total
                continue
            if byte == 10 and quote > 0:
                return (at if nested else end), deepest, total
            if byte == 92 and at + 1 < stop and data[at + 1] not in (123, 125):
                at += 2
                continue
            if byte == 123:
                if kind == _LITERAL and at + 1 < stop and data[at + 1] == 123:
                    at += 2
                    continue
                if held >= 60:
                    return stop, DEEPEST, total
                kinds[held], quotes[held], depths[held] = _FIELD, quote, 0
                held += 1
            elif byte == 125 and kind == _SPEC:
                held -= 1
            at += 1
            continue
        if byte == 35:
            while at < stop and data[at] != 10:
                at += 1
            continue
        if byte in (34, 39):
            first = at
            while first > 0 and at - first < 3 and 97 <= (data[first - 1] | 32) <= 122:
                first -= 1
            if _formats(data, first, at) == 1:
                if held >= 60:
                    return stop, DEEPEST, total
                triple = _triple(data, at, stop)
                kinds[held], quotes[held] = _LITERAL, -np.int64(byte) if triple else np.int64(byte)
                held += 1
                at += 3 if triple else 1
            else:
                at = _string_end(data, at, stop)
            continue
        if byte in (40, 91, 123):
            depths[held - 1] += 1
        elif byte in (41, 93, 125):
            if depths[held - 1]:
                depths[held - 1] -= 1
            elif byte == 125:
                held -= 1
        elif byte == 58 and depths[held - 1] == 0:
            kinds[held - 1] = _SPEC
        at += 1
    return (stop if nested else end), deepest, total


@njit(nogil=True, cache=True)
def _indented(data, at, stop, columns, elifs, held):
    """(first byte of the next statement's content, open levels of indentation) from a line's beginning.

    Blank lines and comments are passed over. Keeps the stacks of columns and of elif chains, of which held are open;
    -1 where these are too many.
    """
    column = 0
    while at < stop:
        byte = data[at]
        if byte == 32:
            column += 1
        elif byte == 9:
            column = (column // 8 + 1) * 8
        elif byte in (10, 12):
            column = 0
        elif byte == 35:
            while at + 1 < stop and data[at + 1] != 10:
                at += 1
        elif byte != 13:
            break
        at += 1
    if at >= stop:
        return at, held
    while held > 1 and columns[held - 1] > column:
        held -= 1
    if column > columns[held - 1]:
        if held >= len(columns):
            return at, -1
        columns[held] = column
        elifs[held] = 0
        held += 1
    end = at
    while end < stop and end < at + 5 and _KIND[data[end]] == _WORD:
        end += 1
    if _is(data, at, end, _ELIF):
        elifs[held - 1] += 1
    elif not _is(data, at, end, _ELSE):
        elifs[held - 1] = 0
    return at, held


@njit(nogil=True, cache=True)
def _bounds_row(data, base, stop, nested, out, operators, trailers, lambdas, brackets, columns, elifs, work):
    # For each open bracket, and the statement itself: operators in a chain, trailers of the last operand, lambdas whose
    # parameters are being read.
    level = 0
    operators[0] = trailers[0] = lambdas[0] = 0
    columns[0] = elifs[0] = 0
    total = 0  # sum of the chains of all levels, and the levels
    held = 1
    outer = 0  # levels of indentation and elif chains
    tokens = depth = longest = 0
    balanced = True
    begins = True
    at = base
    while at < stop and depth < DEEPEST:
        if begins:
            at, held = _indented(data, at, stop, columns, elifs, held)
            if held < 0:
                depth = DEEPEST
                break
            outer = held - 1
            for i in range(held):
                outer += elifs[i]
            begins = False
            continue
        kind = _KIND[data[at]]
        first = at
        at += 1
        if kind in (_SPACE, _NONE):
            continue
        if kind == _WORD:
            high = data[first] >= 128
            while at < stop and _KIND[data[at]] == _WORD:
                high |= data[at] >= 128
                at += 1
            tokens += 1
            if high:
                longest = max(longest, at - first)
            if at < stop and _KIND[data[at]] == _QUOTE:
                formats = _formats(data, first, at) if at - first <= 2 else -1
                if formats == 1:
                    at, deepest, more = _fields(data, at, stop, nested, work[0], work[1], work[2])
                    tokens += more
                    depth = max(depth, outer + total + deepest)
                    continue
            if _is(data, first, at, _LAMBDA):
                lambdas[level] += 1
            elif not (
                _is(data, first, at, _NOT)
                or _is(data, first, at, _IF)
                or _is(data, first, at, _AWAIT)
                or _is(data, first, at, _YIELD)
            ):
                continue
            kind = _SIGN
        elif kind == _QUOTE:
            tokens += 1
            at = _string_end(data, first, stop)
            continue
        elif kind == _HASH:
            while at < stop and data[at] != 10:
                at += 1
            continue
        elif kind == _BACKSLASH:
            if at < stop and data[at] == 13:
                at += 1
            if at < stop and data[at] == 10:
                at += 1
            continue
        elif kind == _LINE:
            if level:
                continue
            begins = True
            kind = _SEMICOLON
        elif kind == _SIGN:
            # Two signs of one operator count once; those that may stand before an operand, each.
            if data[first] not in (43, 45, 126) and first > base and data[first - 1] == data[first]:
                continue
            tokens += 1
        if kind == _SIGN:
            operators[level] += 1
            total += 1 - trailers[level]
            trailers[level] = 0
        elif kind in (_DOT, _OPEN):
            tokens += 1
            trailers[level] += 1
            total += 1
            if kind == _OPEN:
                level += 1
                if level >= len(operators):
                    depth = DEEPEST
                    break
                operators[level] = trailers[level] = lambdas[level] = 0
                brackets[level] = data[first]
                total += 1
        elif kind == _CLOSE:
            # The two brackets of a kind are one or two code points apart.
            if level == 0 or not 1 <= np.int64(data[first]) - brackets[level] <= 2:
                balanced = False
                break
            total -= operators[level] + trailers[level] + 1
            level -= 1
        elif kind == _COLON:
            if lambdas[level]:
                lambdas[level] -= 1
            else:
                total -= trailers[level]
                trailers[level] = 0
        elif kind == _SEMICOLON or lambdas[level] == 0:  # or a comma
            total -= operators[level] + trailers[level]
            operators[level] = trailers[level] = lambdas[level] = 0
        depth = max(depth, outer + total)
    out[0] = tokens
    out[1] = min(depth, DEEPEST)
    out[2] = longest
    out[3] = balanced and level == 0


@njit(nogil=True, cache=True)
def _bounds(offsets, data, wanted, nested):
    count = len(offsets) - 1
    out = np.zeros((count, 4), np.int64)
    operators = np.zeros(DEEPEST, np.int64)
    trailers = np.zeros(DEEPEST, np.int64)
    lambdas = np.zeros(DEEPEST, np.int64)
    brackets = np.zeros(DEEPEST, np.int64)
    columns = np.zeros(200, np.int64)
    elifs = np.zeros(200, np.int64)
    work = np.zeros((3, 64), np.int64)
    for row in range(count):
        if wanted[row]:
            _bounds_row(
                data, offsets[row], offsets[row + 1], nested, out[row],
                operators, trailers, lambdas, brackets, columns, elifs, work,
            )  # fmt: skip
    return out


def python_bounds(
    offsets: Offsets, data: Bytes, wanted: npt.NDArray[np.bool_], *, nested: bool
) -> dict[str, npt.NDArray[np.int64]]:
    """Bounds of each row, int64[n] each, by the names of BOUNDS; zeros for rows that are not wanted.

    nested: f-strings may hold strings with their own quotes, as from Python 3.12 on.
    """
    counts = _bounds(offsets, data, wanted, nested)
    return columns(counts, BOUNDS)
