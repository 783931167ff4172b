# ruff: noqa: ANN001, ANN201, ANN202, PLR1714, SIM109 - numba infers types, and is quicker with plain comparisons.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""One statement of Python in normal form, from bytes alone: any bytes, in linear time, in bounded memory.

Part of the kernel in ``syntax_functions``; ``syntax`` says what the normal form is.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from curate.text.hashing import mix64
from curate.text.syntax_lexemes import (
    BACKSLASH,
    CLOSES,
    DIGIT,
    HASH,
    KIND,
    LINE,
    OPENS,
    QUOTE,
    SPACE,
    WORD,
    fenced,
    heads,
    inner,
    line_start,
)
from curate.text.syntax_symbols import COLON
from curate.text.syntax_tokens import (
    ANNOTATED,
    ASSIGNED,
    BAD,
    COMMA,
    CONTENT,
    COUNT,
    DEF,
    DEPTH,
    DROPPED,
    END,
    FIRST,
    LONE,
    NAME_HASH,
    OTHERS,
    PARAMETERS,
    RETURNS,
    SIGNATURE,
    SKIPS,
    STARTED,
    STRINGS,
    TEXT,
    W_DEF,
    W_FROM,
    W_IMPORT,
    W_RAISE,
    W_RETURN,
    closing,
    number,
    opening,
    quoted,
    sign,
    word,
)

__all__ = ["BLOCK", "MOST_TOKENS", "SEMICOLON", "read_statement"]

MOST_TOKENS: Final = 1024
"""Of a statement; what a longer one has beyond them (tables of data) is left out."""
# How a statement ends: with its line, at a semicolon, at the colon before a block, or before a line that can't be its own.
_NEWLINE, SEMICOLON, BLOCK, _BROKEN, _GOES_ON = range(5)


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
                return at, _BROKEN
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
def _put(work, symbol):
    state = work.state
    if state[COUNT] < len(work.tokens):
        work.tokens[state[COUNT]] = symbol
        state[COUNT] += 1


@inner
def _token(data, at, stop, work):
    """Read the token at ``at``; returns (its end, whether it is the colon before a block)."""
    state = work.state
    kind = KIND[data[at]]
    text = block = False
    if kind == WORD:
        at, symbol, text = word(data, at, stop, work)
    elif kind == QUOTE:
        at, symbol = quoted(data, at, stop, np.int64(0), work)
        text = True
    elif kind == DIGIT or (data[at] == 46 and at + 1 < stop and KIND[data[at + 1]] == DIGIT):
        at, symbol = number(data, at, stop, state)
    elif kind == OPENS:
        symbol = opening(data, at, stop, work)
        at += 1
    elif kind == CLOSES:
        symbol = closing(data, at, work)
        at += 1
    else:
        at, symbol, block = sign(data, at, stop, work)
    state[TEXT] = text
    state[STARTED] = 1
    state[CONTENT] = at
    if block:
        _put(work, np.uint32(COLON))
    elif symbol and state[SKIPS] < 0:
        if state[COMMA]:
            _put(work, np.uint32(44))
            state[COMMA] = 0
        _put(work, symbol)
    return at, block


@inner
def read_statement(data, at, stop, held, lone, work):
    """Read the statement that begins at ``at``; returns where the next one may begin.

    It is read no further than to a sure sign that it is no Python: two values side by side, a bracket that closes nothing;
    ``lone``: or a string of several lines. ``held``: how many marks stand before each line.

    Its symbols are written to ``work.tokens``, byte ranges of its strings of several lines behind the first state[STRINGS].
    ``work.state``: COUNT of its symbols; how it ENDs; 1 for a DEF; 1 where it is to be DROPPED (a documentation string, an
    import, a decorator, nothing but an annotation); 1 where it is BAD: no Python by a sure sign; the first byte behind its
    CONTENT; NAME_HASH of what is defined; 1 where it RETURNS or raises; SIGNATURE of the names of a def's parameters, if
    there are several.
    """
    state = work.state
    strings = state[STRINGS]
    for i in range(len(state)):
        state[i] = 0
    state[STRINGS] = strings
    state[CONTENT] = at
    state[SKIPS] = -1
    state[LONE] = lone
    work.lambdas[0] = 0
    while True:
        at, end = _to_token(data, at, stop, state[DEPTH], work.marks, held)
        if state[BAD] or end != _GOES_ON:
            break
        at, block = _token(data, at, stop, work)
        if block:
            end = BLOCK
            break
    first = state[FIRST]
    many = state[PARAMETERS]
    state[END] = end
    state[SIGNATURE] = np.int64(mix64(np.uint64(state[SIGNATURE]) + np.uint64(many))) if many > 1 else 0
    state[RETURNS] = first == W_RETURN or first == W_RAISE
    state[DEF] = first == W_DEF and end == BLOCK and state[NAME_HASH] != 0
    nothing = not state[OTHERS] or (state[ANNOTATED] and not state[ASSIGNED])
    state[DROPPED] = nothing or first == W_IMPORT or first == W_FROM
    return at
