# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Comments of files in languages of the table in ``code_languages`` (Python: ``python_outline``), and HTML's text.

Approximate where a language is subtle: strings in single or double quotes end with their line at the latest, those in
backquotes do not; a backslash takes the next byte with it; comments do not nest; here-documents and regular
expressions are not known.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.code_languages import syntax_tables
from curate.text.spaces import chars

__all__ = ["comment_chars", "html_text"]

_SIGNS, _LENGTHS, _FIRST = syntax_tables()
Languages = npt.NDArray[np.int64]
"""int64[n]: index into LANGUAGES, or -1."""


@njit(nogil=True, cache=True, _nrt=False)
def _stands(data, at, stop, signs, length):
    """Whether a sign of that length stands at ``at``."""
    if length == 0 or at + length > stop:
        return False
    same = True
    for i in range(length):
        same &= data[at + i] == signs[i]
    return same


@njit(nogil=True, cache=True, _nrt=False)
def _string_end(data, at, stop):
    """First byte after the string whose quote is at ``at``."""
    quote = data[at]
    at += 1
    while at < stop:
        byte = data[at]
        if byte == 92:
            at += 2
            continue
        if byte == quote:
            return at + 1
        if byte == 10 and quote != 96:
            return at
        at += 1
    return stop


@njit(nogil=True, cache=True, _nrt=False)
def _comment(data, at, stop, signs, lengths):
    """First byte after the comment that begins at ``at``; at where none does."""
    # The block's sign first: Lua's "--[[" begins with the sign of its line comments.
    if _stands(data, at, stop, signs[2], lengths[2]):
        end = at + lengths[2]
        while end < stop and not _stands(data, end, stop, signs[3], lengths[3]):
            end += 1
        return min(end + lengths[3], stop)
    if _stands(data, at, stop, signs[0], lengths[0]) or _stands(data, at, stop, signs[1], lengths[1]):
        end = at
        while end < stop and data[end] != 10:
            end += 1
        return end
    return at


@njit(nogil=True, cache=True)
def _comments(offsets, data, languages, all_signs, all_lengths, all_first):
    count = len(offsets) - 1
    out = np.full(count, -1, np.int64)
    for row in range(count):
        language = languages[row]
        if language < 0:
            continue
        signs, lengths, first = all_signs[language], all_lengths[language], all_first[language]
        if lengths[0] + lengths[2] == 0:
            continue
        at, stop = offsets[row], offsets[row + 1]
        total = 0
        while at < stop:
            kind = first[data[at]]
            if kind == 0:
                at += 1
            elif kind == 2:
                at = _string_end(data, at, stop)
            else:
                end = _comment(data, at, stop, signs, lengths)
                total += chars(data, at, end)
                at = max(end, at + 1)
        out[row] = total
    return out


def comment_chars(offsets: Offsets, data: Bytes, languages: Languages) -> npt.NDArray[np.int64]:
    """Characters in comments of each row, signs included, int64[n]; -1 where the language is unknown or has none."""
    return _comments(offsets, data, languages, _SIGNS, _LENGTHS, _FIRST)


_SCRIPT: Final = np.frombuffer(b"script", np.uint8)
_STYLE: Final = np.frombuffer(b"style", np.uint8)


@njit(nogil=True, cache=True, _nrt=False)
def _is_tag(data, at, stop, name):
    """Whether the tag whose name begins at ``at`` has this name (lower case)."""
    if at + len(name) > stop:
        return False
    for i in range(len(name)):
        if data[at + i] | 32 != name[i]:
            return False
    end = at + len(name)
    return end == stop or not (97 <= (data[end] | 32) <= 122)


@njit(nogil=True, cache=True, _nrt=False)
def _after_closing(data, at, stop, name):
    """First byte of the closing tag of this name from ``at`` on, or stop."""
    while at < stop:
        if data[at] == 60 and at + 1 < stop and data[at + 1] == 47 and _is_tag(data, at + 2, stop, name):
            return at
        at += 1
    return stop


@njit(nogil=True, cache=True)
def _html(offsets, data, languages, html):
    count = len(offsets) - 1
    out = np.full(count, -1, np.int64)
    for row in range(count):
        if languages[row] != html:
            continue
        at, stop = offsets[row], offsets[row + 1]
        chars = 0
        space = True
        while at < stop:
            byte = data[at]
            if byte == 60 and at + 1 < stop and (data[at + 1] in (33, 47, 63) or 97 <= (data[at + 1] | 32) <= 122):
                name = at + 1
                if name + 3 <= stop and data[name] == 33 and data[name + 1] == 45 and data[name + 2] == 45:
                    at = name + 3
                    while at < stop and not (
                        data[at] == 62 and at >= name + 5 and data[at - 1] == 45 and data[at - 2] == 45
                    ):
                        at += 1
                else:
                    while at < stop and data[at] != 62:
                        at += 1
                    if _is_tag(data, name, stop, _SCRIPT):
                        at = _after_closing(data, at, stop, _SCRIPT) - 1
                    elif _is_tag(data, name, stop, _STYLE):
                        at = _after_closing(data, at, stop, _STYLE) - 1
                at += 1
                continue
            if byte == 32 or 9 <= byte <= 13:
                chars += not space
                space = True
            else:
                chars += byte & 0xC0 != 0x80
                space = False
            at += 1
        out[row] = chars
    return out


def html_text(offsets: Offsets, data: Bytes, languages: Languages, html: int) -> npt.NDArray[np.int64]:
    """Visible characters of rows whose language is ``html``, int64[n]; -1 for the others.

    What is outside tags, comments, scripts and styles; a run of white space counts as one, at the beginning as none.
    Entities count as they are written. StarCoder asks BeautifulSoup, which keeps white space.
    """
    return _html(offsets, data, languages, html)
