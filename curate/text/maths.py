# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
r"""The normal form by which exact duplicates of mathematics are found, in LaTeX or in plain text.

It folds what is layout and nothing else. Letters, digits, case, signs, brackets, scripts and their order stay, so that
``3+4`` and ``5-70``, ``x^2`` and ``x_2``, ``a[i]`` and ``a(i)``, ``3. 5`` and ``3.5`` are never one text.

====================  =============================================================================================
folded                into
====================  =============================================================================================
white space           one space between words and numbers; none beside operators and inside brackets. A line break
                      beside an operator stays a space (``- 3`` and ``- 4`` as a list are not ``-3-4``), and so does the
                      space of a signed number (``3 -4`` is not ``3-4``)
spacing commands      white space: ``\,`` ``\;`` ``\:`` ``\!`` ``\>`` ``\ `` ``\quad`` ``\qquad``
sizes and styles      white space: ``\left`` ``\right`` ``\big`` (and its like) ``\displaystyle`` ``\limits`` ...
delimiters            ``\(`` and ``\)`` are ``$``, ``\[`` and ``\]`` are ``$$``
synonyms of LaTeX     one of them: ``\le`` and ``\leq``, ``\frac`` and ``\dfrac``, ``\to`` and ``\rightarrow``, ...
operators             the Unicode sign, in whichever way it is written: ``\times`` is U+00D7, ``\le`` U+2264; the minus
                      sign U+2212 is ``-``
====================  =============================================================================================
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text import unicode
from curate.text.arrow import buffers, from_text
from curate.text.hashing import xxh64, xxh64_rows
from curate.text.normal import canonical, is_space
from curate.text.sorted_values import lower_bound
from curate.text.utf8 import decode, encode

__all__ = ["LAYOUT", "SIGNS", "SIZED", "VARIANTS", "maths_profile"]

LAYOUT: Final = (
    *("quad", "qquad", "left", "right", "middle", "displaystyle", "textstyle", "limits", "nolimits"),
    *(f"{size}{side}" for size in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r", "m")),
)
"""Commands that set space, size or style: white space."""
SIZED: Final = ("dfrac", "tfrac", "cfrac", "dbinom", "tbinom")
"""Commands that mean what they do without their first letter, in another size."""
SIGNS: Final = {
    "le": "\u2264",
    "leq": "\u2264",
    "ge": "\u2265",
    "geq": "\u2265",
    "ne": "\u2260",
    "neq": "\u2260",
    "leqslant": "\u2264",
    "geqslant": "\u2265",
    "times": "\u00d7",
    "div": "\u00f7",
    "cdot": "\u00b7",
    "pm": "\u00b1",
    "ast": "*",
    "approx": "\u2248",
    "equiv": "\u2261",
    "in": "\u2208",
    "ni": "\u220b",
    "notin": "\u2209",
    "subset": "\u2282",
    "subseteq": "\u2286",
    "cup": "\u222a",
    "cap": "\u2229",
    "wedge": "\u2227",
    "land": "\u2227",
    "vee": "\u2228",
    "lor": "\u2228",
    "to": "\u2192",
    "rightarrow": "\u2192",
    "gets": "\u2190",
    "leftarrow": "\u2190",
    "Rightarrow": "\u21d2",
    "Leftrightarrow": "\u21d4",
    "vert": "|",
    "lvert": "|",
    "rvert": "|",
    "lbrack": "[",
    "rbrack": "]",
}
"""Operators, relations and brackets that LaTeX has a command for."""
VARIANTS: Final = {
    "\u2212": "-",
    "\u2215": "/",
    "\u2217": "*",
    "\u22c5": "\u00b7",
    "\u2a7d": "\u2264",
    "\u2a7e": "\u2265",
}
"""Signs of Unicode that stand for another one."""

_START, _WORD, _OPERATOR, _OPEN, _CLOSE, _OTHER, _COMMAND = range(7)
"""What a token is, as far as white space beside it is concerned."""
_SPACE, _COPY, _SHORTER, _DISPLAY = -1, -2, -3, -4
"""What becomes of a token that is no single code point: white space, its bytes, these without the first letter, $$."""
_KEPT_BLANK: Final = (44, 59, 58, 33, 62)
"""Behind a backslash these are white space of some width: , ; : ! >"""


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """uint8[0x110000]: what each character is."""
    table = np.full(unicode.POINTS, _OTHER, np.uint8)
    table[(unicode.kinds() & unicode.WORD) != 0] = _WORD
    for kind, signs in ((_OPERATOR, "+-*/=<>^_&|$" + "".join(SIGNS.values())), (_OPEN, "([{"), (_CLOSE, ")]}")):
        table[[ord(sign) for sign in signs]] = kind
    table.flags.writeable = False
    return table


@cache
def _commands() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Sorted hashes of the names of commands that are not copied, and what becomes of each."""
    to = {**dict.fromkeys(LAYOUT, _SPACE), **dict.fromkeys(SIZED, _SHORTER), **{n: ord(s) for n, s in SIGNS.items()}}
    names = xxh64_rows(pa.array(list(to), pa.large_string()))
    order = np.argsort(names)
    return names[order], np.array(list(to.values()), np.int64)[order]


@cache
def _variants() -> npt.NDArray[np.int64]:
    """int64[k, 2]: code points, and those that they stand for."""
    return np.array([(ord(sign), ord(other)) for sign, other in VARIANTS.items()], np.int64)


@njit(nogil=True, cache=True)
def _letter(byte):
    return 65 <= byte <= 90 or 97 <= byte <= 122


@njit(nogil=True, cache=True)
def _plain(byte):
    return _letter(byte) or 48 <= byte <= 57


@njit(nogil=True, cache=True)
def _blank(data, at, stop):
    """Whether white space, or the end, is at a place."""
    if at >= stop:
        return True
    point, _ = decode(data, at, stop)
    return point >= 0 and is_space(point)


@njit(nogil=True, cache=True)
def _backslash(data, at, stop, names, meanings):
    """(end, becomes) of what a backslash begins: a command, or a sign."""
    end = at + 1
    while end < stop and _letter(data[end]):
        end += 1
    if end > at + 1:
        name = xxh64(data, at + 1, end, np.uint64(0))
        place = lower_bound(names, name)
        if place < len(names) and names[place] == name:
            return end, meanings[place]
        return end, np.int64(_COPY)
    if _blank(data, at + 1, stop):
        # At the end nothing follows that could be blank.
        return end, np.int64(_SPACE if end < stop else _COPY)
    point, width = decode(data, at + 1, stop)
    end += width
    if point in _KEPT_BLANK:
        return end, np.int64(_SPACE)
    if point in (40, 41):
        return end, np.int64(36)
    if point in (91, 93):
        return end, np.int64(_DISPLAY)
    return end, np.int64(_COPY)


@njit(nogil=True, cache=True)
def _token(data, at, stop, names, meanings, variants):
    """(end, becomes) of the token at a place: becomes is a code point, or one of _SPACE, _COPY, _SHORTER, _DISPLAY."""
    if data[at] == 92:
        return _backslash(data, at, stop, names, meanings)
    point, width = decode(data, at, stop)
    if point < 0:
        return at + 1, np.int64(_COPY)
    if is_space(point):
        return at + width, np.int64(_SPACE)
    if point >= 0x2212:
        for i in range(len(variants)):
            if variants[i, 0] == point:
                point = variants[i, 1]
    return at + width, point


@njit(nogil=True, cache=True)
def _stays(last, kind, line, signed, letter):
    """Whether white space between two tokens stays, as one space.

    ``line``: it has a line break. ``signed``: a plus or minus follows, and what that stands before touches it. ``letter``: a
    letter follows, which a command before it would swallow.
    """
    if last == _START:
        return False
    if line:
        return True
    if last in (_OPERATOR, _OPEN) or kind in (_CLOSE, _COMMAND):
        return False
    if kind == _OPERATOR:
        return signed
    return last != _COMMAND or letter


@njit(nogil=True, cache=True)
def _row(data, at, stop, kinds, names, meanings, variants, out, to):
    """Write the normal form of one row; where it ends. It is never longer than the row."""
    last = _START
    gap = False
    line = False
    while at < stop:
        if _plain(data[at]):
            # Most of a text: runs of letters and digits, copied as they are.
            if gap and _stays(last, _WORD, line, False, _letter(data[at])):
                out[to] = 32
                to += 1
            gap = False
            line = False
            last = _WORD
            while at < stop and _plain(data[at]):
                out[to] = data[at]
                to += 1
                at += 1
            continue
        if data[at] == 32:
            gap = True
            at += 1
            continue
        end, becomes = _token(data, at, stop, names, meanings, variants)
        if becomes == _SPACE:
            gap = True
            line |= data[end - 1] == 10
            at = end
            continue
        kind = _OTHER
        if becomes >= 0:
            kind = kinds[becomes]
        elif data[at] == 92:
            kind = _COMMAND if _letter(data[end - 1]) and end > at + 1 and _letter(data[at + 1]) else _OPERATOR
        if gap:
            signed = becomes in (43, 45) and not _blank(data, end, stop)
            if _stays(last, kind, line, signed, 0 <= becomes < 128 and _letter(becomes)):
                out[to] = 32
                to += 1
        gap = False
        line = False
        last = kind
        if becomes >= 0:
            to = encode(out, to, becomes)
        elif becomes == _DISPLAY:
            to = encode(out, encode(out, to, np.int64(36)), np.int64(36))
        else:
            for i in range(at, end):
                if i != at + 1 or becomes != _SHORTER:
                    out[to] = data[i]
                    to += 1
        at = end
    return to


@njit(nogil=True, cache=True)
def _maths(offsets, data, kinds, names, meanings, variants):
    rows = len(offsets) - 1
    out = np.empty(offsets[rows] - offsets[0], np.uint8)
    ends = np.zeros(rows + 1, np.int64)
    to = np.int64(0)
    for row in range(rows):
        to = _row(data, offsets[row], offsets[row + 1], kinds, names, meanings, variants, out, to)
        ends[row + 1] = to
    return ends, out[:to]


def maths_profile(text: pa.Array) -> pa.LargeStringArray:
    """Canonical text (NFC, LF) with what the module says folded; bytes that are no valid UTF-8 stay as they are."""
    offsets, data = buffers(canonical(text))
    return from_text(*_maths(offsets, data, _kinds(), *_commands(), _variants()))
