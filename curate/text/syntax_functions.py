# ruff: noqa: ANN001, ANN201, ANN202, PLR1714 - numba infers types, and is quicker with plain comparisons.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Functions of Python found in any text, with their statements in normal form; ``syntax`` says what that is.

A text is gone through line by line, and read as Python from each line on that begins with a def, until a line that is
no further in. So it does not matter what stands around: prose, a class, the fence of a code block, a doctest, a diff.
Strings of several lines are gone through in the same way afterwards.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from curate.text.hashing import mix64
from curate.text.ngrams import BASE
from curate.text.syntax_lexemes import KIND, LINE, SPACE, fenced, heads, inner, line_start
from curate.text.syntax_statement import (
    BAD,
    BLOCK,
    CONTENT,
    COUNT,
    DEF,
    DROPPED,
    END,
    MOST_TOKENS,
    NAME_HASH,
    RETURNS,
    SEMICOLON,
    SIGNATURE,
    STRINGS,
    read_statement,
)
from curate.text.syntax_symbols import CLOSE

__all__ = ["found_functions"]

_MOST_BLOCKS: Final = 100
"""Blocks within blocks that are followed: Python allows 100 levels of indentation."""
_MOST_LEVELS: Final = 3
"""Strings within strings that are gone through."""
# Columns of the functions that are found.
_START, _STOP, _HEAD, _BODY, _LAST, _FIRST_STATEMENT, _LAST_STATEMENT, _DEPTH = range(8)
# Of each open block.
_OF_HEAD, _OF_BODY, _RETURNED = range(3)
# Where the outputs are filled to.
_TOKENS, _STATEMENTS, _FUNCTIONS = range(3)


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
def _hash(tokens, count):
    value = np.uint64(count)
    for i in range(count):
        value = value * BASE + np.uint64(tokens[i]) + np.uint64(1)
    return mix64(value)


@inner
def _close(columns, opened, held, column, out, filled, functions, ends):
    """Close the blocks whose heads are at this column or further in; returns how many stay open.

    So is a block whose body is further in, and a function whose body has returned there: what follows is none of it.
    A function ends with its last statement; the ends of its own last blocks are not part of it.
    """
    last = filled[_TOKENS]
    while held and (
        columns[held - 1, _OF_HEAD] >= column or columns[held - 1, _OF_BODY] > column or columns[held - 1, _RETURNED]
    ):
        held -= 1
        if opened[held] >= 0:
            functions[opened[held], _LAST] = last
            functions[opened[held], _LAST_STATEMENT] = filled[_STATEMENTS]
            functions[opened[held], _STOP] = ends
        out[filled[_TOKENS]] = np.uint32(CLOSE)
        filled[_TOKENS] += 1
    return held


@inner
def _region(
    data, base, at, first, column, stop, marks, held_marks, headless, whole,
    out, statements, hashes, functions, names, strings, filled, work, columns, opened, info,
):  # fmt: skip
    """Read Python from the statement at ``first`` on, whose line begins at ``at``, to a line that is no further in.

    headless: what begins is no def. whole: a text begins with it, or what a fence encloses. Both end at the first
    statement that is no Python.

    Returns (the line at which it ended, whether an empty line stands before it, whether it is no Python to its end).
    """
    tokens, brackets, lambdas = work
    outer = column
    failed = empty = returned = begun = False
    held = 0
    inside = -1  # the block of the outermost function that is open
    ends = first - base
    mine = -1
    if headless:
        mine = filled[_FUNCTIONS]
        filled[_FUNCTIONS] += 1
        functions[mine, _START] = at - base
        functions[mine, _HEAD] = functions[mine, _BODY] = filled[_TOKENS]
        functions[mine, _FIRST_STATEMENT] = filled[_STATEMENTS]
        functions[mine, _DEPTH] = 0
        names[mine, 0] = names[mine, 1] = 0
    while True:
        line = at
        held = _close(columns, opened, held, column, out, filled, functions, ends)
        inside = inside if inside < held else -1
        if held == 0 and (returned or (begun and not headless)):
            break
        begun = True
        if held and columns[held - 1, _OF_BODY] < 0:
            columns[held - 1, _OF_BODY] = column
        at = first
        inner = column
        while True:
            begin = at
            many = info[STRINGS]
            # A string of several lines in the middle of a text may be the end of one and the begin of another.
            lone = headless and inside < 0 and not whole
            at = read_statement(data, at, stop, marks, held_marks, lone, tokens, brackets, lambdas, strings, info)
            count = info[COUNT]
            if info[BAD]:
                if lone and info[STRINGS] > many:
                    info[STRINGS] = many
                    at = begin
                break
            if info[CONTENT] > begin:
                ends = info[CONTENT] - base
            started = filled[_TOKENS]
            if count and not info[DROPPED]:
                for i in range(count):
                    out[started + i] = tokens[i]
                filled[_TOKENS] += count
                statements[filled[_STATEMENTS], 0] = started
                statements[filled[_STATEMENTS], 1] = held
                statements[filled[_STATEMENTS], 2] = count
                hashes[filled[_STATEMENTS]] = _hash(tokens, count)
                filled[_STATEMENTS] += 1
            if info[RETURNS] and inner == column:
                if held and opened[held - 1] >= 0:
                    columns[held - 1, _RETURNED] = 1
                returned = held == 0
            if info[END] == BLOCK and held < _MOST_BLOCKS:
                opened[held] = -1
                if info[DEF]:
                    number = filled[_FUNCTIONS]
                    filled[_FUNCTIONS] += 1
                    opened[held] = number
                    inside = held if inside < 0 else inside
                    functions[number, _START] = line - base
                    functions[number, _HEAD] = started
                    functions[number, _BODY] = filled[_TOKENS]
                    functions[number, _FIRST_STATEMENT] = filled[_STATEMENTS]
                    functions[number, _DEPTH] = held + 1
                    names[number, 0] = np.uint64(info[NAME_HASH])
                    names[number, 1] = np.uint64(info[SIGNATURE])
                columns[held, _OF_HEAD] = inner
                columns[held, _OF_BODY] = -1
                columns[held, _RETURNED] = 0
                held += 1
            if info[END] != BLOCK and info[END] != SEMICOLON:
                break
            # What follows on the line is in the block that it opened.
            inner += info[END] == BLOCK
            while at < stop and KIND[data[at]] == SPACE:
                at += 1
            if at >= stop or data[at] == 10 or data[at] == 35:
                at = _next_line(data, at, stop)
                break
        empty = False
        if info[BAD]:
            at = _next_line(data, max(at - 1, begin), stop)
            failed = True
            break
        while at < stop:
            first, column, same = line_start(data, at, stop, marks, held_marks)
            if first < stop and data[first] != 10 and data[first] != 35:
                break
            empty |= first < stop and data[first] == 10
            at = _next_line(data, first, stop)
        if at >= stop or not same or fenced(data, first, stop):
            break
        if column < outer or (column == outer and not headless):
            break
        if held_marks == 0 and (data[first] == 62 or data[first] == 124):
            break
    last = filled[_TOKENS]
    filled_statements = filled[_STATEMENTS]
    _close(columns, opened, held, 0, out, filled, functions, ends)
    if headless:
        functions[mine, _STOP] = ends
        functions[mine, _LAST] = last
        functions[mine, _LAST_STATEMENT] = filled_statements
    return at, empty, failed


@inner
def _scan(
    data, base, at, stop, out, statements, hashes, functions, names, strings, filled, work, columns, opened, info, marks
):
    """Find the functions in ``data[at:stop]``, strings not gone into."""
    empty = fence = True
    begins = at == base
    tokens_before, statements_before, functions_before = filled
    while at < stop:
        first, column, held = _marks(data, at, stop, marks)
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
            at, empty, failed = _region(
                data, base, at, first, column, stop, marks, held, not head, fence,
                out, statements, hashes, functions, names, strings, filled, work, columns, opened, info,
            )  # fmt: skip
            if failed and begins:
                # What was taken for strings may be none: once more, from def to def.
                filled[_TOKENS], filled[_STATEMENTS] = tokens_before, statements_before
                filled[_FUNCTIONS] = functions_before
                info[STRINGS] = 0
                at = base
                empty = False
        else:
            at = _next_line(data, first, stop)
            empty = False
        fence = begins = False


@njit(nogil=True, cache=True)
def found_functions(offsets, data):
    """(rows int64[n + 1], functions int64[f, 8], names uint64[f, 2], symbols uint32[t], statements int64[s, 3], hashes uint64[s],
    how many symbols, statements and functions there are, int64[3]): the arrays are longer than that.

    Each function's columns: begin and end in its row's text; its first symbol, the first of its body, and the end; its
    first statement and the end; its depth of blocks; the hashes of its name and of its parameters. Each statement's: its first symbol, its depth of blocks, its symbols.
    """
    count = len(offsets) - 1
    size = offsets[count] - offsets[0]
    # No byte gives more than one symbol, a statement has two bytes: memory that is not written is not there.
    out = np.empty(size + 2 * count + 8, np.uint32)
    statements = np.empty((size // 2 + count + 8, 3), np.int64)
    hashes = np.empty(size // 2 + count + 8, np.uint64)
    functions = np.empty((size // 2 + count + 8, 8), np.int64)
    names = np.empty((size // 2 + count + 8, 2), np.uint64)
    strings = np.empty((size // 6 + 8, 2), np.int64)
    rows = np.zeros(count + 1, np.int64)
    filled = np.zeros(3, np.int64)
    work = (np.empty(MOST_TOKENS, np.uint32), np.empty(256, np.uint8), np.empty(256, np.uint8))
    columns = np.empty((_MOST_BLOCKS, 3), np.int64)
    opened = np.empty(_MOST_BLOCKS, np.int64)
    info = np.zeros(10, np.int64)
    marks = np.zeros(8, np.uint8)
    for row in range(count):
        base = offsets[row]
        info[STRINGS] = 0
        _scan(
            data, base, base, offsets[row + 1],
            out, statements, hashes, functions, names, strings, filled, work, columns, opened, info, marks,
        )  # fmt: skip
        done = 0
        for _ in range(_MOST_LEVELS):
            until = info[STRINGS]
            for i in range(done, until):
                _scan(
                    data, base, strings[i, 0], strings[i, 1],
                    out, statements, hashes, functions, names, strings, filled, work, columns, opened, info, marks,
                )  # fmt: skip
            done = until
        rows[row + 1] = filled[_FUNCTIONS]
    return rows, functions, names, out, statements, hashes, filled
