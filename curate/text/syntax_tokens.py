# ruff: noqa: ANN001, ANN201, ANN202, PLR1714, SIM109 - numba infers types, and is quicker with plain comparisons.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""One token of a Python statement: its symbol, and what it says about the statement that it is part of.

Part of the kernel in ``syntax_functions``; ``syntax`` says what the normal form is. What is known of a statement so far is
``state``, int64[STATE], by the names below; what a word is known by is its FNV-1a, as int64.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from curate.text.ngrams import BASE
from curate.text.syntax_lexemes import (
    BASIS,
    BYTES,
    IN_NUMBER,
    IN_STRING,
    IN_WORD,
    KIND,
    QUOTE,
    beyond_gap,
    beyond_spaces,
    bits_of,
    inner,
    line_ends,
    plain_name,
    read_number,
    read_sign,
    read_string,
    read_word,
    string_prefix,
    symbol_of,
)
from curate.text.syntax_symbols import AS_CALL, AS_METHOD, HEADS, KEYWORD, NAME, OPENING, SOFT, fnv

__all__ = [
    "ANNOTATED", "ASSIGNED", "BAD", "COMMA", "CONTENT", "COUNT", "DEF", "DEPTH", "DROPPED", "END", "FIRST", "LONE",
    "NAME_HASH", "OTHERS", "PARAMETERS", "RETURNS", "SIGNATURE", "SKIPS", "STARTED", "STATE", "STRINGS", "TEXT",
    "W_DEF", "W_FROM", "W_IMPORT", "W_RAISE", "W_RETURN", "Work", "closing", "number", "opening", "quoted", "sign", "word",
]  # fmt: skip

# What a statement is found to be: see ``syntax_statement.read_statement``.
COUNT, END, DEF, DROPPED, BAD, CONTENT, STRINGS, NAME_HASH, RETURNS, SIGNATURE = range(10)
# What is known on the way: the depth of brackets; that at which an annotation is left out, -1 for none; whether a value
# ends with the last token, which was a string, a dot; a comma that is not written yet; the first word; whether a block
# follows; whether an annotation or an assignment was seen, any token at all, any but strings; the parameters begun, how
# many there are, whether the name of one may follow; the hash of the last string; whether it may have several lines.
DEPTH, SKIPS, _OPERAND, TEXT, _DOTTED, COMMA, FIRST, _OPENS, ANNOTATED, ASSIGNED, STARTED, OTHERS = range(10, 22)
_BEGUN, PARAMETERS, _AWAITS, _RUNNING, LONE = range(22, 27)
STATE: Final = 27

_DEEPEST: Final = 255
"""Brackets within brackets that are followed."""


class Work(NamedTuple):
    """Room for reading.

    Attributes:
        tokens: uint32[k]; the symbols of a statement.
        brackets: uint8[256]; by depth, whether the bracket that is open is part of the form.
        lambdas: uint8[256]; by depth, the lambdas whose colon has not come.
        strings: int64[k, 2]; byte ranges of strings of several lines.
        marks: uint8[8]; the signs before each line, see ``syntax_lexemes.line_start``.
        state: int64[STATE].
    """

    tokens: np.ndarray
    brackets: np.ndarray
    lambdas: np.ndarray
    strings: np.ndarray
    marks: np.ndarray
    state: np.ndarray


W_DEF, _W_CLASS, _W_LAMBDA, W_IMPORT, W_FROM, _W_TRUE, _W_FALSE, _W_NONE, _W_CASE, W_RETURN, W_RAISE, _W_IN = (
    np.uint64(fnv(text.encode())).view(np.int64)
    for text in ["def", "class", "lambda", "import", "from", "True", "False", "None", "case", "return", "raise", "in"]
)
_ARROW: Final = np.uint32(45 | 62 << 8)
_ELLIPSIS: Final = np.uint32(46 | 46 << 8 | 46 << 16)


@inner
def word(data, at, stop, work):
    """(end, symbol, whether it was a string's prefix: then the string was read) of the word at ``at``."""
    state = work.state
    end, value = read_word(data, at, stop)
    if end - at <= 2 and end < stop and KIND[data[end]] == QUOTE:
        flags = string_prefix(data, at, end)
        if flags >= 0:
            end, symbol = quoted(data, end, stop, flags, work)
            return end, symbol, True
    bits = bits_of(value)
    named = np.int64(value)
    before = state[FIRST]
    itself = bits & KEYWORD and (not state[_DOTTED] or before == W_FROM)
    depth = state[DEPTH]
    if itself:
        symbol = symbol_of(value, IN_WORD)
        state[_OPERAND] = named == _W_TRUE or named == _W_FALSE or named == _W_NONE
        if named == _W_IN:
            state[COMMA] = 0  # for a, in b
        if named == _W_LAMBDA and work.lambdas[depth] < 255:
            work.lambdas[depth] += 1
    else:
        state[BAD] |= state[_OPERAND]
        kept = bits & (AS_METHOD if state[_DOTTED] else AS_CALL) != 0
        if kept:
            after = beyond_gap(data, end, stop, depth > 0)
            kept = after < stop and data[after] == 40
        if state[NAME_HASH] == 0 and (before == W_DEF or before == _W_CLASS):
            state[NAME_HASH] = np.int64(plain_name(data, at, end))
            kept = False
        elif state[_AWAITS] and depth == 1 and state[SKIPS] < 0:
            state[SIGNATURE] = np.int64(np.uint64(state[SIGNATURE]) * BASE + plain_name(data, at, end))
            state[PARAMETERS] += 1
            state[_AWAITS] = 0
        symbol = symbol_of(value, IN_WORD) if kept else np.uint32(NAME)
        state[_OPERAND] = 1
    if not state[STARTED]:
        state[FIRST] = named
        state[_OPENS] = itself and bits & OPENING
        if bits & SOFT:
            _soft(data, end, stop, named, state)
    elif bits & HEADS and itself and state[COUNT] == 1:
        state[FIRST] = named  # behind async
    state[_DOTTED] = 0
    state[OTHERS] = 1
    return end, symbol, False


@inner
def _soft(data, at, stop, named, state):
    """A word that begins a statement may be a keyword by what follows: match, case, type; print, exec of old."""
    to = beyond_spaces(data, at, stop)
    if at < to < stop and data[to] != 61 and data[to] != 58:
        state[_OPENS] = named == _W_CASE
        state[_OPERAND] = 0


@inner
def quoted(data, at, stop, flags, work):
    """(end, symbol) of the string whose quote is at ``at``: behind another string, of both."""
    state = work.state
    value = np.uint64(state[_RUNNING]) if state[TEXT] else BASIS + np.uint64(flags & BYTES)
    end, value, several = read_string(data, at, stop, flags, value)
    if several:
        state[BAD] |= state[LONE]
        if state[STRINGS] < len(work.strings):
            work.strings[state[STRINGS], 0] = at + 1
            work.strings[state[STRINGS], 1] = end
            state[STRINGS] += 1
    if state[TEXT]:
        state[COUNT] -= state[SKIPS] < 0 and state[COUNT] > 0
    else:
        state[BAD] |= state[_OPERAND]
    state[_RUNNING] = np.int64(value)
    state[_OPERAND] = 1
    state[_DOTTED] = 0
    return end, symbol_of(value, IN_STRING)


@inner
def number(data, at, stop, state):
    """(end, symbol) of the number at ``at``."""
    end, value = read_number(data, at, stop)
    state[BAD] |= state[_OPERAND]
    state[_OPERAND] = 1
    state[_DOTTED] = 0
    state[OTHERS] = 1
    return end, symbol_of(value, IN_NUMBER)


@inner
def opening(data, at, stop, work):
    """The symbol of the bracket that opens at ``at``; 0 where it is no part of the form, as parentheses that only group.

    They are part of it behind a value (a call), and where nothing is in them; but no bases of a class are as good as none.
    """
    state = work.state
    depth = state[DEPTH]
    round_ = data[at] == 40
    bases = state[FIRST] == _W_CLASS and depth == 0
    kept = True
    if round_ and (bases or not state[_OPERAND]):
        to = beyond_gap(data, at + 1, stop, True)
        kept = (to < stop and data[to] == 41) != bases
    if state[FIRST] == W_DEF and depth == 0 and not state[_BEGUN] and state[SKIPS] < 0:
        state[_BEGUN] = state[_AWAITS] = round_
        state[SKIPS] = 0 if data[at] == 91 else -1  # parameters of types are left out
    state[OTHERS] |= kept
    if depth < _DEEPEST:
        work.brackets[depth] = kept
        work.lambdas[depth + 1] = 0
        state[DEPTH] = depth + 1
    state[_OPERAND] = state[_DOTTED] = 0
    return np.uint32(data[at]) if kept else np.uint32(0)


@inner
def closing(data, at, work):
    """The symbol of the bracket that closes at ``at``, 0 as for ``opening``."""
    state = work.state
    symbol = np.uint32(0)
    state[COMMA] = 0
    if state[DEPTH]:
        state[DEPTH] -= 1
        if work.brackets[state[DEPTH]]:
            symbol = np.uint32(data[at])
    else:
        state[BAD] = 1
    if state[SKIPS] > state[DEPTH]:
        state[SKIPS] = -1
    elif state[SKIPS] == 0 and state[DEPTH] == 0 and state[FIRST] == W_DEF and not state[_BEGUN]:
        state[SKIPS] = -1
        symbol = np.uint32(0)
    state[_OPERAND] = 1
    state[_DOTTED] = 0
    return symbol


@inner
def sign(data, at, stop, work):
    """(end, symbol, whether a block follows) of the sign at ``at``; the symbol is 0 for a comma, which may yet go."""
    state = work.state
    depth = state[DEPTH]
    width, symbol = read_sign(data, at, stop)
    end = at + width
    state[OTHERS] = 1
    state[_DOTTED] = symbol == 46
    state[_OPERAND] = symbol == _ELLIPSIS and state[FIRST] != W_FROM
    if symbol == 44 or symbol == 61:
        if state[SKIPS] == depth:
            state[SKIPS] = -1
        if symbol == 44:
            state[COMMA] = state[SKIPS] < 0
            state[_AWAITS] |= state[_BEGUN] and depth == 1 and work.lambdas[1] == 0
            return end, np.uint32(0), False
        state[COMMA] = 0  # (a,) = b
        state[ASSIGNED] |= depth == 0
    elif symbol == 58:
        if work.lambdas[depth]:
            work.lambdas[depth] -= 1
        elif depth == 0 and (state[_OPENS] or line_ends(data, end, stop)):
            return end, symbol, True
        elif depth == 0 and state[SKIPS] < 0:
            state[ANNOTATED] = 1
            state[SKIPS] = 0
        elif depth == 1 and state[FIRST] == W_DEF and state[SKIPS] < 0:
            state[SKIPS] = 1
    elif symbol == _ARROW and depth == 0 and state[FIRST] == W_DEF:
        state[SKIPS] = 0
    elif symbol == 64 and not state[STARTED]:
        state[FIRST] = W_IMPORT  # a decorator goes as an import does
    return end, symbol, False
