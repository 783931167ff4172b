# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What spaCy's English tokenizer leaves whole as a URL, a host or a mail address."""

from __future__ import annotations

import numpy as np
from numba import njit

from curate.text.swar import fill, near, trailing, zeros
from curate.text.token_tables import LOWER, after, is_digit

__all__ = ["looks_like_url"]


@njit(nogil=True, cache=True, inline="always")
def _label(byte):
    return byte >= 0xC2 or 0x80 <= byte < 0xC0 or is_digit(byte) or 97 <= (byte | 32) <= 122


@njit(nogil=True, cache=True, _nrt=False)
def _host(data, start, stop, table):
    """Whether ``data[start:stop]`` is a host name with a top level, or four numbers, with a port, path or query."""
    at = start
    dots = 0
    begin = start
    good = True
    numbers = True
    while at < stop and data[at] not in (47, 63, 35, 58):
        byte = data[at]
        if byte == 46:
            good &= at > begin and _label(data[begin]) and _label(data[at - 1]) and at - begin <= 64
            dots += 1
            begin = at + 1
        elif not (_label(byte) or byte in (45, 95)):
            return False
        numbers &= byte == 46 or is_digit(byte)
        at += 1
    if not good or dots == 0:
        return False
    if numbers:
        if dots != 3 or at == begin:
            return False
    else:
        count = 0
        place = begin
        while place < at:
            bits, width, _ = after(data, place, at, table)
            if not bits & LOWER:
                return False
            place += width
            count += 1
        if not 2 <= count <= 63:
            return False
    if at < stop and data[at] == 58:
        first = at + 1
        at = first
        while at < stop and is_digit(data[at]):
            at += 1
        if not 2 <= at - first <= 5:
            return False
    return at == stop or data[at] in (47, 63, 35)


@njit(nogil=True, cache=True, _nrt=False)
def looks_like_url(data, start, stop, table):
    """Whether it looks like a URL, a host with a path, or a mail address; a host is looked for behind four `@` at most."""
    dots = np.uint64(0)
    for at in range(start, stop, 8):
        dots |= zeros(near(data, at, stop) ^ fill(46))
    if not dots:
        return False
    if _host(data, start, stop, table):
        return True
    scheme_end = start
    while scheme_end < stop and (_label(data[scheme_end]) or data[scheme_end] in (43, 45, 46, 95)):
        scheme_end += 1
    tried = 0
    for base in range(start, stop, 8):
        chunk = near(data, base, stop)
        marks = zeros(chunk ^ fill(47)) | zeros(chunk ^ fill(64))
        while marks:
            at = base + (trailing(marks) >> 3)
            marks &= marks - np.uint64(1)
            if at == start or at + 1 >= stop:
                continue
            scheme = data[at] == 47 and data[at - 1] == 47 and at - start >= 4 and at - 2 == scheme_end
            scheme &= data[scheme_end] == 58
            if scheme or (data[at] == 64 and tried < 4):
                tried += 1
                if _host(data, at + 1, stop, table):
                    return True
    return False
