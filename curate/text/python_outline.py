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

from curate.text.arrow import Bytes, Offsets
from curate.text.python_modules import GUI_MODULES, KNOWN_MODULES, STANDARD_MODULES, module_hashes

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
_SPACE, _WORD, _OTHER, _QUOTE, _HASH, _LINE, _BACKSLASH, _OPEN, _CLOSE, _EQUALS = range(10)
_MAX_OPEN: Final = 100
"""Functions within functions that are followed: Python allows 100 levels of indentation."""


def _kinds() -> npt.NDArray[np.uint8]:
    table = np.full(256, _OTHER, np.uint8)
    table[[32, 9, 12, 13]] = _SPACE
    table[[*range(48, 58), *range(65, 91), 95, *range(97, 123), *range(128, 256)]] = _WORD
    for chars, kind in ((b"\"'", _QUOTE), (b"#", _HASH), (b"\n", _LINE), (b"\\", _BACKSLASH), (b"=", _EQUALS)):
        table[list(chars)] = kind
    table[list(b"([{")] = _OPEN
    table[list(b")]}")] = _CLOSE
    return table


_KIND: Final = _kinds()
_BEFORE_EQUALS: Final = tuple(b"!<>=:+-*/%&|^@")
_FUNCTION, _CLASS, _IMPORT, _FROM, _DECORATOR, _PLAIN = range(1, 7)


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
def _name(data, at, stop):
    """(end, hash) of the name at ``at``."""
    value = np.uint64(0xCBF29CE484222325)
    while at < stop and _KIND[data[at]] == _WORD:
        value = (value ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
        at += 1
    return at, value


@njit(nogil=True, cache=True)
def _is(data, at, stop, word):
    """Whether the whole word at ``at`` is this one."""
    end = at + len(word)
    if end > stop:
        return False
    for i in range(len(word)):
        if data[at + i] != word[i]:
            return False
    return end == stop or _KIND[data[end]] != _WORD


_W_DEF, _W_ASYNC, _W_CLASS, _W_IMPORT, _W_FROM, _W_ALL, _W_TRUE, _W_FALSE, _W_NONE = (
    np.frombuffer(word, np.uint8)
    for word in (b"def", b"async", b"class", b"import", b"from", b"__all__", b"True", b"False", b"None")
)


@njit(nogil=True, cache=True)
def _first_word(data, at, stop):
    """Kind of the statement that begins at ``at``."""
    byte = data[at]
    if byte == 64:
        return _DECORATOR
    if byte == 100 and _is(data, at, stop, _W_DEF):
        return _FUNCTION
    if byte == 99 and _is(data, at, stop, _W_CLASS):
        return _CLASS
    if byte == 105 and _is(data, at, stop, _W_IMPORT):
        return _IMPORT
    if byte == 102 and _is(data, at, stop, _W_FROM):
        return _FROM
    if byte == 97 and _is(data, at, stop, _W_ASYNC):
        at += 5
        while at < stop and data[at] in (32, 9):
            at += 1
        if _is(data, at, stop, _W_DEF):
            return _FUNCTION
    return _PLAIN


@njit(nogil=True, cache=True)
def _string(data, at, stop):
    """(end, line ends inside) of the string whose quote is at ``at``."""
    quote = data[at]
    lines = 0
    if at + 2 < stop and data[at + 1] == quote and data[at + 2] == quote:
        at += 3
        while at < stop:
            byte = data[at]
            if byte == 92:
                lines += at + 1 < stop and data[at + 1] == 10
                at += 2
                continue
            if byte == quote and at + 2 < stop and data[at + 1] == quote and data[at + 2] == quote:
                return at + 3, lines
            lines += byte == 10
            at += 1
        return stop, lines
    at += 1
    while at < stop:
        byte = data[at]
        if byte == 92:
            lines += at + 1 < stop and data[at + 1] == 10
            at += 2
            continue
        if byte == quote:
            return at + 1, lines
        if byte == 10:
            return at, lines
        at += 1
    return stop, lines


@njit(nogil=True, cache=True)
def _points(data, start, stop):
    chars = 0
    for at in range(start, stop):
        chars += data[at] & 0xC0 != 0x80
    return chars


@njit(nogil=True, cache=True)
def _literal(data, at, stop):
    """Whether a value that begins at ``at`` or after spaces looks like a literal."""
    while at < stop and data[at] in (32, 9):
        at += 1
    if at >= stop:
        return False
    byte = data[at]
    if byte in (34, 39, 40, 91, 123, 45) or 48 <= byte <= 57:
        return True
    if _KIND[byte] != _WORD:
        return False
    if _is(data, at, stop, _W_TRUE) or _is(data, at, stop, _W_FALSE) or _is(data, at, stop, _W_NONE):
        return True
    for size in (1, 2):  # a string's prefix
        if at + size < stop and data[at + size] in (34, 39) and data[at + size - 1] | 32 in (98, 102, 114, 117):
            return True
    return False


@njit(nogil=True, cache=True)
def _module(data, at, stop, counts):
    """Count the module named at ``at`` into counts (local, gui); returns the first byte after its dotted name."""
    begin = at
    at, value = _name(data, at, stop)
    if at > begin:
        counts[0] += not _among(value, _KNOWN)
        counts[1] += _among(value, _GUI)
    while at < stop and (data[at] == 46 or _KIND[data[at]] == _WORD):
        at += 1
    return at


@njit(nogil=True, cache=True)
def _modules(data, at, stop, kind, counts):
    """Count what the import statement ``data[at:stop]`` imports into counts: (local, gui)."""
    counts[:] = 0
    at += 6 if kind == _IMPORT else 4
    while at < stop and data[at] in (32, 9):
        at += 1
    if kind == _FROM:
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
    _, value = _name(data, begin, end)
    return _among(value, _CALLS)


@njit(nogil=True, cache=True)
def _calls(byte):
    """Whether a bracket right after this byte is a call."""
    return _KIND[byte] == _WORD or byte in (41, 93)


@njit(nogil=True, cache=True)
def _statement(data, at, stop, found):
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
        kind = _KIND[data[at]]
        if kind == _SPACE:
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
            comment += _points(data, first, at)
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
        if kind == _WORD:
            first = at
            at += 1
            while at < stop and _KIND[data[at]] == _WORD:
                at += 1
            loops |= at - first == 3 and data[first] == 102 and data[first + 1] == 111 and data[first + 2] == 114
            # A string may have a prefix.
            only &= at - first <= 2 and at < stop and _KIND[data[at]] == _QUOTE
            content = at
            continue
        only = False
        if kind == _OPEN:
            if data[at] == 40 and at > start and content == at and _calls(data[at - 1]):
                if depth == 0:
                    called = True
                    begin = end = at
                    while begin > start and _KIND[data[begin - 1]] == _WORD:
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


@njit(nogil=True, cache=True)
def _close(indents, flags, sizes, bare, held, indent):
    """Close functions at this indentation or deeper; returns (functions still open, lines without a word in them).

    Each open function has its indentation, whether something explains it, its lines, and how many of these belong to
    long functions inside it that nothing explains.
    """
    lines = 0
    while held and indents[held - 1] >= indent:
        held -= 1
        if not flags[held] and sizes[held] >= 20:
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
    held = 0  # open functions
    wants = 0  # 1: the next statement may document a class or the module, 2: a function
    at = base
    while at < stop:
        indent = 0
        while at < stop and _KIND[data[at]] == _SPACE:
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
            out[2] += _points(data, first, at)
            for i in range(held - 1, -1, -1):
                if indents[i] < indent:
                    flags[i] = True
                    break
            continue
        if held:
            held, lines = _close(indents, flags, sizes, bare, held, indent)
            out[13] += lines
        first = at
        kind = _first_word(data, at, stop)
        at = _statement(data, first, stop, found)
        lines = found[0]
        out[2] += found[2]
        if found[1]:
            out[3] += _points(data, first, found[7])
            if held:
                flags[held - 1] = True
            out[5] += wants == 2
            wants = 0
            continue
        wants = 0
        out[0] += 1
        out[1] += lines
        if kind == _FUNCTION:
            out[4] += 1
            wants = 2
            if held < _MAX_OPEN:
                indents[held], flags[held], sizes[held], bare[held] = indent, False, 0, 0
                held += 1
        elif kind == _CLASS:
            out[6] += 1
            wants = 1
            out[10] += lines
        elif kind == _IMPORT or kind == _FROM:
            _modules(data, first, at, kind, counts)
            out[7] += 1
            out[8] += lines
            out[9] += counts[0] > 0
            out[11] += counts[1] > 0
        elif kind == _PLAIN:
            assigned = 0 <= found[3] < stop
            if assigned and _is(data, first, stop, _W_ALL):
                out[8] += lines
            elif assigned and not found[4] and not found[8] and _literal(data, found[3], stop):
                out[10] += lines
            if found[4]:
                out[12] += _gui_call(data, found[5], found[6], assigned)
        if held:
            sizes[held - 1] += lines
            flags[held - 1] |= found[2] > 0
    held, lines = _close(indents, flags, sizes, bare, held, 0)
    out[13] += lines


@njit(nogil=True, cache=True)
def _outline(offsets, data, wanted):
    count = len(offsets) - 1
    out = np.zeros((count, 14), np.int64)
    found = np.zeros(9, np.int64)
    counts = np.zeros(2, np.int64)
    indents = np.zeros(100, np.int64)
    flags = np.zeros(100, np.bool_)
    sizes = np.zeros(100, np.int64)
    bare = np.zeros(100, np.int64)
    for row in range(count):
        if wanted[row]:
            _outline_row(data, offsets[row], offsets[row + 1], out[row], found, counts, indents, flags, sizes, bare)
    return out


def python_outline(
    offsets: Offsets, data: Bytes, wanted: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.int64]]:
    """Counts of each row, int64[n] each, by the names of OUTLINE; zeros for rows that are not wanted."""
    counts = _outline(offsets, data, wanted)
    return {name: np.ascontiguousarray(counts[:, i]) for i, name in enumerate(OUTLINE)}
