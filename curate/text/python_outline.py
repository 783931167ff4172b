# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What a Python file is made of, by indentation, brackets and keywords alone; no syntax tree, any bytes.

A statement is a logical line: it ends at a line end outside brackets and strings that no backslash precedes; what
follows a semicolon belongs to it. Its lines are those with something else than white space and comments, lines of
strings included. Strings in one pair of quotes end with their line at the latest. A documentation string is a
statement that is nothing but strings. ``python_bounds`` and the tree in ``filter.python_syntax`` know better.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets, columns
from curate.text.python_modules import GUI_MODULES, KNOWN_MODULES, STANDARD_MODULES, module_hashes
from curate.text.python_statements import (
    ALL,
    CLASS,
    FROM,
    FUNCTION,
    IMPORT,
    KIND,
    PLAIN,
    SPACE,
    WORD,
    is_word,
    literal,
    name_end,
    read_statement,
    statement_kind,
)
from curate.text.spaces import chars

__all__ = ["GUI_CALLS", "LONG_FUNCTION", "OUTLINE", "python_outline"]

OUTLINE: Final = (
    "statements",  # documentation strings not included
    "code_lines",  # lines of these
    "comment_chars",  # characters from '#' to the line's end
    "docstring_chars",  # characters of documentation strings
    "functions",  # def, async def
    "documented",  # functions whose first statement is a documentation string
    "classes",
    "imports",  # statements
    "import_lines",  # lines of import statements and of assignments to __all__
    "local_imports",  # imports of something relative, or of a module that is not known
    "constant_lines",  # lines that set a name to a literal (with no "for" in it: tables of calls count), class headers
    "gui_imports",  # imports of a toolkit for graphical interfaces
    "gui_calls",  # statements that build or configure one, see GUI_CALLS
    "undocumented_lines",  # lines of functions of LONG_FUNCTION or more without a comment or documentation string
)
"""Names of the columns of ``python_outline``, in order."""

GUI_CALLS: Final = (
    "addAction", "addItem", "addLayout", "addMenu", "addSeparator", "addStretch", "addTab", "addWidget", "Add", "Bind",
    "SetSizer", "add_cascade", "add_command", "add_separator", "add_widget", "bind", "columnconfigure", "config",
    "configure", "connect", "geometry", "grid", "insert", "mainloop", "move", "pack", "place", "resizable", "resize",
    "rowconfigure", "show", "title", "retranslateUi", "connectSlotsByName", "translate",
)  # fmt: skip
"""Last names of calls that build or configure a graphical interface, beside ``set...`` and assignments of a call whose
last name begins with a capital: widgets are classes."""

LONG_FUNCTION: Final = 20
"""Lines of code, those of functions inside it included; shorter functions may do without a word."""

_KNOWN: Final = module_hashes(STANDARD_MODULES | KNOWN_MODULES | GUI_MODULES)
_GUI: Final = module_hashes(GUI_MODULES)
_CALLS: Final = module_hashes(frozenset(GUI_CALLS))
_MAX_OPEN: Final = 100
"""Functions within functions that are followed: Python allows 100 levels of indentation."""


@njit(nogil=True, cache=True)
def _among(value, table):
    """Whether a sorted table holds the value."""
    low, high = 0, len(table)
    while low < high:
        middle = (low + high) // 2
        if table[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low < len(table) and table[low] == value


@njit(nogil=True, cache=True)
def _module(data, at, stop, counts):
    """Count the module named at ``at`` into counts (local, gui); returns the first byte after its dotted name."""
    begin = at
    at, value = name_end(data, at, stop)
    if at > begin:
        counts[0] += not _among(value, _KNOWN)
        counts[1] += _among(value, _GUI)
    while at < stop and (data[at] == 46 or KIND[data[at]] == WORD):
        at += 1
    return at


@njit(nogil=True, cache=True)
def _modules(data, at, stop, kind, counts):
    """Count what the import statement ``data[at:stop]`` imports into counts: (local, gui)."""
    counts[:] = 0
    at += 6 if kind == IMPORT else 4
    while at < stop and data[at] in (32, 9):
        at += 1
    if kind == FROM:
        if at < stop and data[at] == 46:
            counts[0] = 1
        else:
            _module(data, at, stop, counts)
        return
    while at < stop:
        at = _module(data, at, stop, counts)
        while at < stop and data[at] not in (44, 35, 10, 59):  # the next one follows a comma
            at += 1
        if at >= stop or data[at] != 44:
            return
        at += 1
        while at < stop and data[at] in (32, 9):
            at += 1


@njit(nogil=True, cache=True)
def _gui_call(data, begin, end, assigned):
    """Whether a call of the name ``data[begin:end]`` builds or configures a graphical interface."""
    if end - begin > 3 and data[begin] | 32 == 115 and data[begin + 1] == 101 and data[begin + 2] == 116:
        return data[begin + 3] == 95 or 65 <= data[begin + 3] <= 90
    if assigned and end > begin and 65 <= data[begin] <= 90:
        return True
    _, value = name_end(data, begin, end)
    return _among(value, _CALLS)


@njit(nogil=True, cache=True)
def _close(indents, flags, sizes, bare, held, indent):
    """Close functions at this indentation or deeper; returns (functions still open, lines without a word in them).

    Each open function has its indentation, whether something explains it, its lines, and how many of these belong to
    long functions inside it that nothing explains.
    """
    lines = 0
    while held and indents[held - 1] >= indent:
        held -= 1
        if not flags[held] and sizes[held] >= LONG_FUNCTION:
            bare[held] = sizes[held]
        if held:
            flags[held - 1] |= flags[held]
            sizes[held - 1] += sizes[held]
            bare[held - 1] += bare[held]
        else:
            lines += bare[held]
    return held, lines


@njit(nogil=True, cache=True)
def _outline_row(data, base, stop, out, found, counts, indents, flags, sizes, bare):
    held = np.int64(0)  # open functions
    wants = 0  # 1: the next statement may document a class or the module, 2: a function
    at = base
    while at < stop:
        indent = 0
        while at < stop and KIND[data[at]] == SPACE:
            byte = data[at]
            indent = indent + 1 if byte == 32 else (indent // 8 + 1) * 8 if byte == 9 else 0 if byte == 12 else indent
            at += 1
        if at >= stop:
            break
        if data[at] == 10:
            at += 1
            continue
        if data[at] == 35:
            first = at
            while at < stop and data[at] != 10:
                at += 1
            out[2] += chars(data, first, at)
            for i in range(held - 1, -1, -1):
                if indents[i] < indent:
                    flags[i] = True
                    break
            continue
        if held:
            held, lines = _close(indents, flags, sizes, bare, held, indent)
            out[13] += lines
        first = at
        kind = statement_kind(data, at, stop)
        at = read_statement(data, first, stop, found)
        lines = found[0]
        out[2] += found[2]
        if found[1]:
            out[3] += chars(data, first, found[7])
            if held:
                flags[held - 1] = True
            out[5] += wants == 2
            wants = 0
            continue
        wants = 0
        out[0] += 1
        out[1] += lines
        if kind == FUNCTION:
            out[4] += 1
            wants = 2
            if held < _MAX_OPEN:
                indents[held], flags[held], sizes[held], bare[held] = indent, False, 0, 0
                held += 1
        elif kind == CLASS:
            out[6] += 1
            wants = 1
            out[10] += lines
        elif kind in (IMPORT, FROM):
            _modules(data, first, at, kind, counts)
            out[7] += 1
            out[8] += lines
            out[9] += counts[0] > 0
            out[11] += counts[1] > 0
        elif kind == PLAIN:
            assigned = 0 <= found[3] < stop
            if assigned and is_word(data, first, stop, ALL):
                out[8] += lines
            elif assigned and not found[4] and not found[8] and literal(data, found[3], stop):
                out[10] += lines
            if found[4]:
                out[12] += _gui_call(data, found[5], found[6], assigned)
        if held:
            sizes[held - 1] += lines
            flags[held - 1] |= found[2] > 0
    held, lines = _close(indents, flags, sizes, bare, held, np.int64(0))
    out[13] += lines


@njit(nogil=True, cache=True)
def _outline(offsets, data, wanted):
    count = len(offsets) - 1
    out = np.zeros((count, 14), np.int64)
    found = np.zeros(9, np.int64)
    counts = np.zeros(2, np.int64)
    indents = np.zeros(_MAX_OPEN, np.int64)
    flags = np.zeros(_MAX_OPEN, np.bool_)
    sizes = np.zeros(_MAX_OPEN, np.int64)
    bare = np.zeros(_MAX_OPEN, np.int64)
    for row in range(count):
        if wanted[row]:
            _outline_row(data, offsets[row], offsets[row + 1], out[row], found, counts, indents, flags, sizes, bare)
    return out


def python_outline(offsets: Offsets, data: Bytes, wanted: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.int64]]:
    """Counts of each row, int64[n] each, by the names of OUTLINE; zeros for rows that are not wanted."""
    counts = _outline(offsets, data, wanted)
    return columns(counts, OUTLINE)
