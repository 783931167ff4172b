# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""One string out of every JSON line, by a kernel: texts are nearly all of a line, and go to Arrow without becoming objects.

What is left of a line, the string emptied, is JSON if the line was, and says the same otherwise: a parser is asked for it. So
nothing here needs to know what JSON is but for strings, and where the value of a key in an object begins and ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.swar import EACH, TOPS, copy, trailing, write64
from curate.text.utf8 import decode, encode, read64

__all__ = ["Cut", "cut", "plain"]

_QUOTE, _BACKSLASH, _FEED, _COLON, _COMMA = 34, 92, 10, 58, 44
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = 123, 125, 91, 93
_CONTROL: Final = 32
_QUOTES: Final = np.uint64(_QUOTE) * EACH
_BACKSLASHES: Final = np.uint64(_BACKSLASH) * EACH
_CONTROLS: Final = np.uint64(_CONTROL) * EACH
_DEEPEST: Final = 64
"""Levels of a value that is passed over; what is nested deeper is left to the parser as a whole."""
_ESCAPES: Final = np.zeros(256, np.uint8)
_ESCAPES[[ord(c) for c in '"\\/bfnrt']] = [ord(c) for c in '"\\/\b\f\n\r\t']


@dataclass(frozen=True)
class Cut:
    """Some JSON lines, taken apart.

    Attributes:
        starts: int64[n + 1], where each line begins; the last one is the end of the last line.
        good: bool[n], whether a line is an object with one such string; of the others nothing is known.
        texts: large_string[n], the strings, "" where there is none.
        rest: a JSON array of the good lines, with "" for each string. That one of them is no JSON shows when it is parsed.
    """

    starts: npt.NDArray[np.int64]
    good: npt.NDArray[np.bool_]
    texts: pa.LargeStringArray
    rest: memoryview


@njit(nogil=True, cache=True)
def _blank(data, at):
    """The place behind white space of a line."""
    while data[at] == 32 or data[at] == 9 or data[at] == 13:
        at += 1
    return at


@njit(nogil=True, cache=True)
def _past_string(data, at):
    """The place behind the quote that ends the string whose first byte is at ``at``, or ``-at`` where a line feed comes first."""
    while data[at] != _QUOTE:
        if data[at] == _BACKSLASH:
            at += 1
        if data[at] == _FEED:
            return -at
        at += 1
    return at + 1


@njit(nogil=True, cache=True)
def _past_value(data, at):
    """The place behind a value of any kind, or minus a place of its line where that can't be told."""
    depth = 0
    while True:
        byte = data[at]
        if byte == _FEED:
            return -at
        if byte == _QUOTE:
            at = _past_string(data, at + 1)
            if at < 0:
                return at
        elif byte in (_OPEN, _OPEN_LIST):
            depth += 1
            at += 1
            if depth > _DEEPEST:
                return -at
        elif byte in (_CLOSE, _CLOSE_LIST):
            depth -= 1
            at += 1
            if depth < 0:
                return -at
        elif depth:
            at += 1
        else:
            begin = at
            while data[at] > 32 and data[at] != _COMMA and data[at] != _CLOSE and data[at] != _QUOTE:
                at += 1
            return at if at > begin else -at
        if not depth:
            return at


@njit(nogil=True, cache=True)
def _four_digits(data, at):
    """The number that four hexadecimal digits are, or -1."""
    value = 0
    for k in range(at, at + 4):
        byte = data[k]
        if 48 <= byte <= 57:
            value = value * 16 + (byte - 48)
        elif 97 <= (byte | 32) <= 102:
            value = value * 16 + ((byte | 32) - 87)
        else:
            return -1
    return value


@njit(nogil=True, cache=True)
def _escape(data, at, out, to):
    """What the escape at ``at`` stands for goes to ``out[to]``; both places behind it, or minus ``at`` where it is none."""
    byte = data[at + 1]
    if _ESCAPES[byte]:
        out[to] = _ESCAPES[byte]
        return at + 2, to + 1
    point = _four_digits(data, at + 2) if byte == 117 else -1
    after = at + 6
    if 0xD800 <= point < 0xDC00 and data[after] == _BACKSLASH and data[after + 1] == 117:
        low = _four_digits(data, after + 2)
        if 0xDC00 <= low < 0xE000:
            return after + 6, encode(out, to, 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00))
    if point < 0 or 0xD800 <= point < 0xE000:
        return -at, to
    return after, encode(out, to, point)


@njit(nogil=True, cache=True)
def _string(data, at, out, to):
    """The string that begins at ``at`` goes to ``out[to]``: places of its last quote and behind what was written; the first one
    is minus a place of the line where it is no string."""
    size = len(data)
    while True:
        while at + 8 <= size:
            word = read64(data, at)
            write64(out, to, word)
            quotes, slashes = word ^ _QUOTES, word ^ _BACKSLASHES
            marks = ((quotes - EACH) & ~quotes) | ((slashes - EACH) & ~slashes) | ((word - _CONTROLS) & ~word) | word
            marks &= TOPS
            if marks:
                step = trailing(marks) >> 3
                at += step
                to += step
                break
            at += 8
            to += 8
        byte = data[at]
        if byte == _QUOTE:
            return at, to
        if byte == _BACKSLASH:
            at, to = _escape(data, at, out, to)
            if at < 0:
                return at, to
        elif byte < _CONTROL:
            return -at, to
        elif byte < 128:
            out[to] = byte
            at += 1
            to += 1
        else:
            while data[at] >= 128:
                point, width = decode(data, at, size)
                if point < 0:
                    return -at, to
                for k in range(width):
                    out[to + k] = data[at + k]
                at += width
                to += width


@njit(nogil=True, cache=True)
def _line(data, start, key, out, to):
    """The object that begins at ``start``: places of the string's first byte and last quote, the end of the line, and the place
    behind what was written; the end is minus a place of the line where it is no object with one such string."""
    begin = stop = 0
    at = _blank(data, start)
    if data[at] != _OPEN:
        return begin, stop, -at, to
    at = _blank(data, at + 1)
    while True:
        if data[at] != _QUOTE:
            return begin, stop, -at, to
        name = at + 1
        at = name
        while data[at] != _QUOTE:
            if data[at] == _BACKSLASH or data[at] < _CONTROL:  # an escaped name may be this one
                return begin, stop, -at, to
            at += 1
        here = at - name == len(key)
        for k in range(len(key)):
            here = here and data[name + k] == key[k]
        at = _blank(data, at + 1)
        if data[at] != _COLON:
            return begin, stop, -at, to
        at = _blank(data, at + 1)
        if not here:
            at = _past_value(data, at)
        elif stop or data[at] != _QUOTE:
            return begin, stop, -at, to
        else:
            begin = at + 1
            stop, to = _string(data, begin, out, to)
            at = stop + 1 if stop > 0 else stop
        if at < 0:
            return begin, stop, at, to
        at = _blank(data, at)
        if data[at] == _CLOSE:
            break
        if data[at] != _COMMA:
            return begin, stop, -at, to
        at = _blank(data, at + 1)
    at = _blank(data, at + 1)
    return begin, stop, at if stop and data[at] == _FEED else -at, to


@njit(nogil=True, cache=True)
def _cut(data, key, starts, ends, good, out, rest):
    """Fill in what Cut has; how many bytes of ``rest``."""
    at = to = left = np.int64(0)
    for i in range(len(good)):
        begin, stop, end, after = _line(data, at, key, out, to)
        good[i] = end > 0
        if good[i]:
            to = after
            rest[left] = _COMMA if left else _OPEN_LIST
            left += 1
            for first, last in ((at, begin), (stop, end)):
                copy(rest, left, data, first, last - first)
                left += last - first
        else:
            end = -end
            while data[end] != _FEED:
                end += 1
        at = end + 1
        starts[i + 1] = at
        ends[i + 1] = to
    rest[left] = _CLOSE_LIST if left else _OPEN_LIST
    rest[left + 1] = _CLOSE_LIST if not left else 32
    return left + 2


def plain(key: str) -> bool:
    """Whether a key is written in JSON without an escape."""
    return not any(c < " " or c in '"\\' or "\ud800" <= c <= "\udfff" for c in key)


def cut(block: bytes, key: str) -> Cut:
    """Take whole JSON lines apart, of which each ends with a line feed: the strings under a key that is ``plain``, and the rest.

    A line is good only if its string is JSON and valid UTF-8, and no other member has the key.
    """
    data = np.frombuffer(block, np.uint8)
    lines = np.count_nonzero(data == _FEED)  # at four times the speed of bytes.count
    starts, ends = np.zeros(lines + 1, np.int64), np.zeros(lines + 1, np.int64)
    good = np.zeros(lines, np.bool_)
    out, rest = np.empty(len(data) + 8, np.uint8), np.empty(len(data) + 2, np.uint8)
    size = _cut(data, np.frombuffer(key.encode(), np.uint8), starts, ends, good, out, rest)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]])]
    texts = pa.Array.from_buffers(pa.large_string(), lines, buffers, null_count=0)
    return Cut(starts, good, texts, rest[:size].data)
