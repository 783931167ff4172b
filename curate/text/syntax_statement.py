# ruff: noqa: ANN001, ANN201, ANN202, PLR1714, SIM109 - numba infers types, and is quicker with plain comparisons.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""One statement of Python in normal form, from bytes alone: any bytes, in linear time, in bounded memory.

Part of the kernel in ``syntax_functions``; ``syntax`` says what the normal form is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from curate.text.hashing import mix64
from curate.text.ngrams import BASE
from curate.text.syntax_lexemes import (
    BACKSLASH,
    BASIS,
    BYTES,
    CLOSES,
    DIGIT,
    HASH,
    IN_NUMBER,
    IN_STRING,
    IN_WORD,
    KIND,
    LINE,
    OPENS,
    QUOTE,
    SPACE,
    WORD,
    beyond_gap,
    beyond_spaces,
    bits_of,
    fenced,
    heads,
    inner,
    line_ends,
    line_start,
    plain_name,
    read_number,
    read_sign,
    read_string,
    read_word,
    string_prefix,
    symbol_of,
)
from curate.text.syntax_symbols import AS_CALL, AS_METHOD, COLON, HEADS, KEYWORD, NAME, OPENING, SOFT, fnv

__all__ = [
    "BAD",
    "BLOCK",
    "BROKEN",
    "CONTENT",
    "COUNT",
    "DEF",
    "DROPPED",
    "END",
    "MOST_TOKENS",
    "NAME_HASH",
    "RETURNS",
    "SEMICOLON",
    "SIGNATURE",
    "STRINGS",
    "read_statement",
]  # fmt: skip

MOST_TOKENS: Final = 1024
"""Of a statement; what a longer one has beyond them (tables of data) is left out."""
_DEEPEST: Final = 255
"""Brackets within brackets that are followed."""

# What is told of a statement, int64 each.
COUNT, END, DEF, DROPPED, BAD, CONTENT, STRINGS, NAME_HASH, RETURNS, SIGNATURE = range(10)
# How a statement ends: with its line, at a semicolon, at the colon before a block, or before a line that can't be its own.
_NEWLINE, SEMICOLON, BLOCK, BROKEN, _GOES_ON = range(5)

_W_DEF, _W_CLASS, _W_LAMBDA, _W_IMPORT, _W_FROM, _W_TRUE, _W_FALSE, _W_NONE, _W_CASE, _W_RETURN, _W_RAISE, _W_IN = (
    np.uint64(fnv(word.encode()))
    for word in ["def", "class", "lambda", "import", "from", "True", "False", "None", "case", "return", "raise", "in"]
)
_ARROW: Final = np.uint32(45 | 62 << 8)
_ELLIPSIS: Final = np.uint32(46 | 46 << 8 | 46 << 16)


@inner
def _to_token(data, at, stop, depth, marks, held):
    """(where the next token begins, _GOES_ON), or (where the next statement may begin, how this one ends)."""
    while at < stop:
        kind = KIND[data[at]]
        if kind == SPACE:
            at += 1
        elif kind == HASH:
            while at < stop and data[at] != 10:
                at += 1
        elif kind == LINE:
            at += 1
            if depth == 0:
                return at, _NEWLINE
            to, _, same = line_start(data, at, stop, marks, held)
            if to < stop and data[to] != 10 and (not same or fenced(data, to, stop) or heads(data, to, stop)):
                return at, BROKEN
            at = to
        elif kind == BACKSLASH:
            to = at + 1
            if to < stop and data[to] == 13:
                to += 1
            if to >= stop or data[to] != 10:
                return at, _GOES_ON
            at, _, _ = line_start(data, to + 1, stop, marks, held)
        elif data[at] == 59 and depth == 0:
            return at + 1, SEMICOLON
        else:
            return at, _GOES_ON
    return at, _NEWLINE


@inner
def _is_kept(data, at, stop, operand, bases):
    """Whether the bracket that opens at ``at`` is part of the normal form: parentheses that only group are none.

    They are one behind a value (a call), and where nothing is in them; but no bases of a class are as good as none.
    """
    if data[at] != 40 or (operand and not bases):
        return True
    at = beyond_gap(data, at + 1, stop, True)
    return (at < stop and data[at] == 41) != bases


@inner
def _is_soft(data, at, stop):
    """Whether what follows a word that begins a statement may make it a keyword: match, case, type; print, exec of old."""
    to = beyond_spaces(data, at, stop)
    return at < to < stop and data[to] != 61 and data[to] != 58


@njit(nogil=True, cache=True, inline="always")
def _put(tokens, count, symbol):
    if count < len(tokens):
        tokens[count] = symbol
        return count + 1
    return count


@inner
def read_statement(data, at, stop, marks, held, lone, tokens, brackets, lambdas, strings, info):
    """Read the statement that begins at ``at``; returns where the next one may begin.

    It is read no further than to a sure sign that it is no Python: two values side by side, a bracket that closes nothing;
    ``lone``: or a string of several lines.

    tokens, uint32[MOST_TOKENS]: its symbols. brackets, lambdas: uint8[256], room. strings, int64[k, 2]: byte ranges
    of strings of several lines are added behind the first info[STRINGS]. info, int64[10]: COUNT of tokens; how it ENDs;
    1 for a DEF; 1 where it is to be DROPPED (a documentation string, an import, a decorator, nothing but an
    annotation); 1 where it is BAD: no Python by a sure sign; the first byte behind its CONTENT; NAME_HASH of what is
    defined; 1 where it RETURNS or raises; SIGNATURE, of
    the names of a def's parameters, if there are several.
    """
    count = depth = 0
    skips = -1  # depth of brackets at which an annotation is left out
    first_word = name = signature = np.uint64(0)
    many = 0  # parameters
    running = BASIS  # hash of the string so far
    operand = False  # whether a value ends with the last token
    text = comma = dotted = parameters = opens = annotated = assigned = bad = started = False
    awaits = False  # whether a parameter's name may follow
    others = False  # whether there are tokens other than strings
    content = at
    lambdas[0] = 0
    while True:
        at, end = _to_token(data, at, stop, depth, marks, held)
        if bad or end != _GOES_ON:
            break
        byte = data[at]
        kind = KIND[byte]
        first = at
        symbol = np.uint32(0)
        was_text = text
        text = False
        flags = 0
        value = BASIS
        if kind == WORD:
            at, value = read_word(data, at, stop)
            if at - first <= 2 and at < stop and KIND[data[at]] == QUOTE:
                flags = string_prefix(data, first, at)
                if flags >= 0:
                    kind = QUOTE
                    value = BASIS + np.uint64(flags & BYTES)
        if kind == QUOTE:
            begin = at
            at, running, several = read_string(data, at, stop, flags, running if was_text else value)
            bad |= several and lone
            if several and info[STRINGS] < len(strings):
                strings[info[STRINGS], 0] = begin + 1
                strings[info[STRINGS], 1] = at
                info[STRINGS] += 1
            text = True
            symbol = symbol_of(running, IN_STRING)
            if was_text:
                count -= skips < 0 and count > 0
            else:
                bad |= operand
            operand = True
            dotted = False
        elif kind == WORD:
            bits = bits_of(value)
            itself = bits & KEYWORD and (not dotted or first_word == _W_FROM)
            if itself:
                symbol = symbol_of(value, IN_WORD)
                operand = value == _W_TRUE or value == _W_FALSE or value == _W_NONE
                comma &= value != _W_IN  # for a, in b
                if value == _W_LAMBDA and lambdas[depth] < 255:
                    lambdas[depth] += 1
            else:
                bad |= operand
                kept = bits & (AS_METHOD if dotted else AS_CALL) != 0
                if kept:
                    after = beyond_gap(data, at, stop, depth > 0)
                    kept = after < stop and data[after] == 40
                if name == 0 and (first_word == _W_DEF or first_word == _W_CLASS):
                    name = plain_name(data, first, at)
                    kept = False
                elif awaits and depth == 1 and skips < 0:
                    signature = signature * BASE + plain_name(data, first, at)
                    many += 1
                    awaits = False
                symbol = symbol_of(value, IN_WORD) if kept else np.uint32(NAME)
                operand = True
            if not started:
                first_word = value
                opens = itself and bits & OPENING
                if bits & SOFT and _is_soft(data, at, stop):
                    opens = value == _W_CASE
                    operand = False
            elif bits & HEADS and itself and count == 1:
                first_word = value  # behind async
            dotted = False
            others = True
        elif kind == DIGIT or (byte == 46 and at + 1 < stop and KIND[data[at + 1]] == DIGIT):
            at, value = read_number(data, at, stop)
            bad |= operand
            symbol = symbol_of(value, IN_NUMBER)
            operand = True
            dotted = False
            others = True
        elif kind == OPENS:
            kept = _is_kept(data, at, stop, operand, first_word == _W_CLASS and depth == 0)
            if first_word == _W_DEF and depth == 0 and not parameters and skips < 0:
                parameters = awaits = byte == 40
                skips = 0 if byte == 91 else -1
            if kept:
                symbol = np.uint32(byte)
                others = True
            if depth < _DEEPEST:
                brackets[depth] = kept
                depth += 1
                lambdas[depth] = 0
            at += 1
            operand = dotted = False
        elif kind == CLOSES:
            comma = False
            bad |= depth == 0
            if depth:
                depth -= 1
                if brackets[depth]:
                    symbol = np.uint32(byte)
            if skips > depth:
                skips = -1
            elif skips == 0 and depth == 0 and first_word == _W_DEF and not parameters:
                skips = -1  # behind the parameters of types
                symbol = np.uint32(0)
            at += 1
            operand = True
            dotted = False
        else:
            width, symbol = read_sign(data, at, stop)
            at += width
            others = True
            dotted = symbol == 46
            operand = symbol == _ELLIPSIS and first_word != _W_FROM
            if symbol == 44 or symbol == 61:
                skips = -1 if skips == depth else skips
                if symbol == 44:
                    symbol = np.uint32(0)
                    comma = skips < 0
                    awaits |= parameters and depth == 1 and lambdas[1] == 0
                else:
                    comma = False  # (a,) = b
                    assigned |= depth == 0
            elif symbol == 58:
                if lambdas[depth]:
                    lambdas[depth] -= 1
                elif depth == 0 and (opens or line_ends(data, at, stop)):
                    count = _put(tokens, count, np.uint32(COLON))
                    content = at
                    end = BLOCK
                    break
                elif depth == 0 and skips < 0:
                    annotated = True
                    skips = 0
                elif depth == 1 and first_word == _W_DEF and skips < 0:
                    skips = 1
            elif symbol == _ARROW and depth == 0 and first_word == _W_DEF:
                skips = 0
        if not started and symbol == 64:
            first_word = _W_IMPORT  # a decorator goes as an import does
        started = True
        content = at
        if symbol and skips < 0:
            if comma and kind != CLOSES:
                count = _put(tokens, count, np.uint32(44))
                comma = False
            count = _put(tokens, count, symbol)
    nothing = annotated and not assigned
    info[COUNT], info[END], info[BAD], info[CONTENT], info[NAME_HASH] = count, end, bad, content, np.int64(name)
    info[SIGNATURE] = np.int64(mix64(signature + np.uint64(many))) if many > 1 else 0
    info[RETURNS] = first_word == _W_RETURN or first_word == _W_RAISE
    info[DEF] = first_word == _W_DEF and end == BLOCK and name != 0
    info[DROPPED] = not others or nothing or first_word == _W_IMPORT or first_word == _W_FROM
    return at
