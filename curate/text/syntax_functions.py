# ruff: noqa: ANN001, ANN201, ANN202, PLR1714 - numba infers types, and is quicker with plain comparisons.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Functions of Python found in any text, with their statements in normal form; ``syntax`` says what that is.

A text is gone through line by line, and read as Python from each line on that begins with a def, until a line that is
no further in. So it does not matter what stands around: prose, a class, the fence of a code block, a doctest, a diff.
Strings of several lines are gone through in the same way afterwards.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from curate.text.hashing import mix64
from curate.text.ngrams import BASE
from curate.text.syntax_lexemes import KIND, LINE, SPACE, fenced, heads, inner, line_start
from curate.text.syntax_statement import BLOCK, MOST_TOKENS, SEMICOLON, read_statement
from curate.text.syntax_symbols import CLOSE
from curate.text.syntax_tokens import (
    BAD,
    CONTENT,
    COUNT,
    DEF,
    DROPPED,
    END,
    NAME_HASH,
    RETURNS,
    SIGNATURE,
    STATE,
    STRINGS,
    Work,
)

__all__ = ["found_functions"]

_MOST_BLOCKS: Final = 100
"""Blocks within blocks that are followed: Python allows 100 levels of indentation."""
_MOST_LEVELS: Final = 3
"""Strings within strings that are gone through."""
# Columns of the functions that are found.
_START, _STOP, _HEAD, _BODY, _LAST, _FIRST_STATEMENT, _LAST_STATEMENT, _DEPTH = range(8)
# Of each open block: columns of its head and of its body, -1 before it has one; whether it returned; the number of the
# function that it is the body of, or -1.
_OF_HEAD, _OF_BODY, _RETURNED, _FUNCTION = range(4)
# What is found, how many of each; the blocks that are open; the outermost of them that is a function's body, or -1; where
# the last statement ended, in the row; whether one returned outside of all blocks.
_TOKENS, _STATEMENTS, _FUNCTIONS, _HELD, _INSIDE, _ENDS, _OVER = range(7)


class Found(NamedTuple):
    """What is found, see ``found_functions``, and what is open.

    Attributes:
        blocks: int64[_MOST_BLOCKS, 4].
        now: int64[7].
    """

    symbols: np.ndarray
    statements: np.ndarray
    hashes: np.ndarray
    functions: np.ndarray
    names: np.ndarray
    blocks: np.ndarray
    now: np.ndarray


@inner
def _marks(data, at, stop, marks):
    """(first byte after white space and marks, its column, how many marks); the marks of the line at ``at``."""
    held = 0
    column = 0
    while at < stop and held < len(marks):
        byte = data[at]
        if byte == 62 or byte == 43 or byte == 124:  # > + |
            marks[held] = byte
            held += 1
            column += 1
        elif byte == 9:
            column = (column // 8 + 1) * 8
        elif byte == 12:
            column = 0
        elif byte == 32:
            column += 1
        elif byte != 13:
            break
        at += 1
    return at, column, held


@inner
def _next_line(data, at, stop):
    while at < stop and data[at] != 10:
        at += 1
    return min(at + 1, stop)


@inner
def _function(found, start, head, depth, name, signature):
    """Begin a function; its number."""
    now = found.now
    number = now[_FUNCTIONS]
    now[_FUNCTIONS] += 1
    found.functions[number, _START] = start
    found.functions[number, _HEAD] = head
    found.functions[number, _BODY] = now[_TOKENS]
    found.functions[number, _FIRST_STATEMENT] = now[_STATEMENTS]
    found.functions[number, _DEPTH] = depth
    found.names[number, 0] = np.uint64(name)
    found.names[number, 1] = np.uint64(signature)
    return number


@inner
def _ended(found, number, symbols):
    found.functions[number, _LAST] = symbols
    found.functions[number, _LAST_STATEMENT] = found.now[_STATEMENTS]
    found.functions[number, _STOP] = found.now[_ENDS]


@inner
def _close(found, column):
    """Close the blocks that a line at this column is no part of: whose heads are there or further in, whose bodies are
    further in, or that have returned: what follows is none of it.

    A function ends with its last statement; the ends of its own last blocks are not part of it.
    """
    now, blocks = found.now, found.blocks
    last = now[_TOKENS]
    held = now[_HELD]
    while held and (
        blocks[held - 1, _OF_HEAD] >= column or blocks[held - 1, _OF_BODY] > column or blocks[held - 1, _RETURNED]
    ):
        held -= 1
        if blocks[held, _FUNCTION] >= 0:
            _ended(found, blocks[held, _FUNCTION], last)
        found.symbols[now[_TOKENS]] = np.uint32(CLOSE)
        now[_TOKENS] += 1
    now[_HELD] = held
    if now[_INSIDE] >= held:
        now[_INSIDE] = -1


@inner
def _keep(found, work):
    """Add a statement to what is found, unless it is to be dropped; returns its first symbol's place."""
    now, count = found.now, work.state[COUNT]
    begin = now[_TOKENS]
    if count and not work.state[DROPPED]:
        value = np.uint64(count)
        for i in range(count):
            found.symbols[begin + i] = work.tokens[i]
            value = value * BASE + np.uint64(work.tokens[i]) + np.uint64(1)
        now[_TOKENS] += count
        found.statements[now[_STATEMENTS], 0] = begin
        found.statements[now[_STATEMENTS], 1] = now[_HELD]
        found.statements[now[_STATEMENTS], 2] = count
        found.hashes[now[_STATEMENTS]] = mix64(value)
        now[_STATEMENTS] += 1
    return begin


@inner
def _open(found, state, start, head, column):
    """Open the block that follows a statement; ``column``: of its head."""
    now, held = found.now, found.now[_HELD]
    if held == _MOST_BLOCKS:
        return
    found.blocks[held, _OF_HEAD] = column
    found.blocks[held, _OF_BODY] = -1
    found.blocks[held, _RETURNED] = 0
    found.blocks[held, _FUNCTION] = -1
    if state[DEF]:
        found.blocks[held, _FUNCTION] = _function(found, start, head, held + 1, state[NAME_HASH], state[SIGNATURE])
        if now[_INSIDE] < 0:
            now[_INSIDE] = held
    now[_HELD] += 1


@inner
def _line(data, base, line, at, column, stop, held, lone, found, work):
    """Read the statements that begin on the line at ``line``, the first at ``at``; returns where the next line begins."""
    now, blocks, state = found.now, found.blocks, work.state
    inner_column = column
    while True:
        begin = at
        strings = state[STRINGS]
        at = read_statement(data, at, stop, held, lone and now[_INSIDE] < 0, work)
        if state[BAD]:
            if lone and now[_INSIDE] < 0 and state[STRINGS] > strings:
                # Quotes in the middle of a text may as well be the end of one string and the begin of another.
                state[STRINGS] = strings
                at = begin
            return _next_line(data, max(at - 1, begin), stop)
        if state[CONTENT] > begin:
            now[_ENDS] = state[CONTENT] - base
        head = _keep(found, work)
        if state[RETURNS] and inner_column == column:
            if now[_HELD] == 0:
                now[_OVER] = 1
            elif blocks[now[_HELD] - 1, _FUNCTION] >= 0:
                blocks[now[_HELD] - 1, _RETURNED] = 1
        if state[END] == BLOCK:
            _open(found, state, line - base, head, inner_column)
        elif state[END] != SEMICOLON:
            return at
        # What follows on the line is in the block that it opened.
        inner_column += state[END] == BLOCK
        while at < stop and KIND[data[at]] == SPACE:
            at += 1
        if at >= stop or data[at] == 10 or data[at] == 35:
            return _next_line(data, at, stop)


@inner
def _region(data, base, at, first, column, stop, held, headless, whole, found, work):
    """Read Python from the statement at ``first`` on, whose line begins at ``at``, to a line that is no further in.

    held: how many marks stand before each line. headless: what begins is no def. whole: a text begins with it, or what a
    fence encloses. All end at the first statement that is no Python.

    Returns (the line at which it ended, whether an empty line stands before it, whether it is no Python to its end).
    """
    now = found.now
    outer = column
    empty = begun = False
    now[_HELD] = now[_OVER] = 0
    now[_INSIDE] = -1
    now[_ENDS] = first - base
    mine = _function(found, at - base, now[_TOKENS], 0, 0, 0) if headless else -1
    while True:
        _close(found, column)
        if now[_HELD] == 0 and (now[_OVER] or (begun and not headless)):
            break
        begun = True
        if now[_HELD] and found.blocks[now[_HELD] - 1, _OF_BODY] < 0:
            found.blocks[now[_HELD] - 1, _OF_BODY] = column
        at = _line(data, base, at, first, column, stop, held, headless and not whole, found, work)
        empty = False
        if work.state[BAD]:
            break
        while at < stop:
            first, column, same = line_start(data, at, stop, work.marks, held)
            if first < stop and data[first] != 10 and data[first] != 35:
                break
            empty |= first < stop and data[first] == 10
            at = _next_line(data, first, stop)
        if at >= stop or not same or fenced(data, first, stop):
            break
        if column < outer or (column == outer and not headless):
            break
        if held == 0 and (data[first] == 62 or data[first] == 124):
            break
    if headless:
        _ended(found, mine, now[_TOKENS])
    _close(found, np.int64(0))
    return at, empty, work.state[BAD] != 0


@inner
def _scan(data, base, at, stop, found, work):
    """Find the functions in ``data[at:stop]``, strings not gone into."""
    now = found.now
    tokens, statements, functions = now[_TOKENS], now[_STATEMENTS], now[_FUNCTIONS]
    begins = at == base
    empty = fence = True
    while at < stop:
        first, column, held = _marks(data, at, stop, work.marks)
        if first >= stop or data[first] == 10:
            empty |= held == 0
            at = first + 1
            continue
        if fenced(data, first, stop):
            at = _next_line(data, first, stop)
            empty = fence = True
            continue
        head = heads(data, first, stop) == 2
        if head or (empty and held == 0 and (fence or column > 0) and KIND[data[first]] != LINE):
            at, empty, failed = _region(data, base, at, first, column, stop, held, not head, fence, found, work)
            if failed and begins:
                # What was taken for strings may be none: once more, from def to def.
                now[_TOKENS], now[_STATEMENTS], now[_FUNCTIONS] = tokens, statements, functions
                work.state[STRINGS] = 0
                at = base
                empty = False
        else:
            at = _next_line(data, first, stop)
            empty = False
        fence = begins = False


@njit(nogil=True, cache=True)
def found_functions(offsets, data):
    """(rows int64[n + 1], functions int64[f, 8], names uint64[f, 2], symbols uint32[t], statements int64[s, 3], hashes
    uint64[s], how many symbols, statements and functions there are, int64[7]): the arrays are longer than that.

    Each function's columns: begin and end in its row's text; its first symbol, the first of its body, and the end; its
    first statement and the end; its depth of blocks. Its names: hashes of its name and of its parameters. Each statement's
    columns: its first symbol, its depth of blocks, its symbols.
    """
    count = len(offsets) - 1
    size = offsets[count] - offsets[0]
    # No byte gives more than one symbol, a statement has two bytes: memory that is not written is not there.
    most = size // 2 + count + 8
    found = Found(
        np.empty(size + 2 * count + 8, np.uint32),
        np.empty((most, 3), np.int64),
        np.empty(most, np.uint64),
        np.empty((most, 8), np.int64),
        np.empty((most, 2), np.uint64),
        np.empty((_MOST_BLOCKS, 4), np.int64),
        np.zeros(7, np.int64),
    )
    work = Work(
        np.empty(MOST_TOKENS, np.uint32),
        np.empty(256, np.uint8),
        np.empty(256, np.uint8),
        np.empty((size // 6 + 8, 2), np.int64),
        np.zeros(8, np.uint8),
        np.zeros(STATE, np.int64),
    )
    rows = np.zeros(count + 1, np.int64)
    for row in range(count):
        base = offsets[row]
        work.state[STRINGS] = 0
        _scan(data, base, base, offsets[row + 1], found, work)
        done = 0
        for _ in range(_MOST_LEVELS):
            until = work.state[STRINGS]
            for i in range(done, until):
                _scan(data, base, work.strings[i, 0], work.strings[i, 1], found, work)
            done = until
        rows[row + 1] = found.now[_FUNCTIONS]
    return rows, found.functions, found.names, found.symbols, found.statements, found.hashes, found.now
