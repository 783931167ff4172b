# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Personal data in texts: where it stands, of which kind, and the texts with a word in its place.

One pass over all bytes finds places where something may stand: an ``@``, a run of digits, the first letters of a key. Each is then
looked at by the check of its kind, in Python; of a text without such places nothing else is looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from curate.text import personal_kinds as kinds
from curate.text import personal_numbers as numbers
from curate.text.arrow import buffers
from curate.text.personal_kinds import Check, Span

__all__ = ["KINDS", "Found", "find", "replaced"]

KINDS: Final = ("email", "phone", "ip", "card", "iban", "ssn", "secret")
"""In the order in which they are counted."""

_AT, _NUMBER, _IP6, _PASSWORD, _KEY, _IBAN, _SECRET = range(7)
_CHECKS: Final[dict[int, Check]] = {
    _AT: kinds.email,
    _IP6: numbers.ip6,
    _PASSWORD: kinds.url_password,
    _KEY: kinds.private_key,
    _IBAN: kinds.iban,
    _SECRET: kinds.secret,
}
_ALPHANUMERIC: Final = bytes(byte for byte in range(128) if chr(byte).isalnum())
_FEWEST: Final = 7
"""Digits of the shortest telephone number."""


class Found(NamedTuple):
    """What stands in n texts, in order.

    Attributes:
        row, kind, start, stop: int64[m]: number of the text, of the kind (of KINDS), and its bytes within the text.
        rows: n.
    """

    row: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    rows: int

    def counts(self) -> npt.NDArray[np.int64]:
        """int64[n, len(KINDS)]: how often each kind stands in each text."""
        made = np.zeros((self.rows, len(KINDS)), np.int64)
        np.add.at(made, (self.row, self.kind), 1)
        return made


@cache
def _tables() -> tuple[npt.NDArray[Any], ...]:
    """What each byte may begin: 1 a number, 2 a word that may be a secret, 4 an IBAN, 8 something else; countries of IBANs;
    prefixes of secrets, zero behind each, their sizes, and the bytes with which such a secret goes on, none for most."""
    first = np.zeros(256, np.uint8)
    first[48:58] = 1
    first[list(b"@:-")] = 8
    known = sorted(kinds.SECRET_PREFIXES)
    prefixes = np.zeros((len(known), 32), np.uint8)
    runs = np.zeros((len(known), 256), np.bool_)
    for number, prefix in enumerate(known):
        prefixes[number, : len(prefix)] = list(prefix)
        first[prefix[0]] |= 2
        if (signs := kinds.SECRET_RUNS.get(prefix)) is not None:
            runs[number, list(signs + _ALPHANUMERIC)] = True
    countries = np.zeros(1 << 10, np.bool_)
    for country in kinds.IBAN_SIZES:
        first[ord(country[0])] |= 4
        countries[(ord(country[0]) - 65) * 32 + ord(country[1]) - 65] = True
    return first, countries, prefixes, np.array([len(p) for p in known], np.int64), runs


@njit(nogil=True, cache=True, _nrt=False)
def _word(byte):
    """Whether a byte is an ASCII letter, a digit or an underscore."""
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 95


@njit(nogil=True, cache=True, _nrt=False)
def _hextet(data, at):
    """Whether four hexadecimal digits stand at a place."""
    for place in range(at, at + 4):
        byte = data[place]
        if not (48 <= byte <= 57 or 65 <= byte <= 70 or 97 <= byte <= 102):
            return False
    return True


@njit(nogil=True, cache=True, _nrt=False)
def _account(data, at, countries):
    """Whether a country of IBANs and two digits stand at a place."""
    if not (65 <= data[at + 1] <= 90 and 48 <= data[at + 2] <= 57 and 48 <= data[at + 3] <= 57):
        return False
    return countries[(np.int64(data[at]) - 65) * 32 + data[at + 1] - 65]


@njit(nogil=True, cache=True, _nrt=False)
def _sign(data, at, stop):
    """The bytes of a sign that may stand between digits, one of `` .-/()`` or of ``personal_numbers._SIGNS``; 0: none is there."""
    byte = data[at]
    if byte in (32, 40, 41, 45, 46, 47):
        return 1
    if byte == 0xC2:
        return 2 if at + 1 < stop and data[at + 1] == 0xA0 else 0
    if byte == 0xE2 and at + 2 < stop and data[at + 1] == 0x80:
        last = data[at + 2]
        return 3 if last in (0x87, 0x89, 0xAF) or 0x90 <= last <= 0x93 else 0
    return 0


@njit(nogil=True, cache=True, _nrt=False)
def _run(data, at, stop, fresh):
    """The end of a run of digits with at most two signs between them; its digits, and its dots. Digits with a letter
    behind them begin another word, unless nothing stands before them; those that end a word (not ``fresh``) end at a space."""
    end = before = place = at
    digits = dots = gap = fewer = 0
    while place < stop:
        byte = data[place]
        size = 1
        if 48 <= byte <= 57:
            if gap:
                before, fewer = end, digits
            digits += 1
            gap = 0
            end = place + 1
        else:
            size = _sign(data, place, stop) if gap < 2 else 0
            if size == 0 or (not fresh and (byte == 32 or byte >= 128)):
                break
            gap += 1
            dots += byte == 46
        place += size
    # But for an extension: 415-867-5309x12.
    extended = end + 1 < stop and (data[end] == 120 or data[end] == 88) and 48 <= data[end + 1] <= 57
    if end < stop and before > at and _word(data[end]) and not extended:
        return before, fewer, dots
    return end, digits, dots


@njit(nogil=True, cache=True, _nrt=False)
def _password(data, at, stop):
    """Whether ``user:...@`` follows a ``://``."""
    colon = False
    for place in range(at + 3, min(stop, at + 256)):
        byte = data[place]
        if byte == 64:
            return colon
        if byte <= 32 or byte in (34, 39, 47, 60, 62):
            return False
        colon |= byte == 58
    return False


@njit(nogil=True, cache=True, _nrt=False)
def _begins(data, at, stop, prefixes, sizes):
    """The number of the prefix, of some that are sorted, that stands at a place; -1: none does."""
    for number in range(len(sizes)):
        size = sizes[number]
        if prefixes[number, 0] > data[at]:
            return -1
        if prefixes[number, 0] == data[at] and at + size <= stop and prefixes[number, 1] == data[at + 1]:
            same = True
            for i in range(size):
                if data[at + i] != prefixes[number, i]:
                    same = False
                    break
            if same:
                return number
    return -1


@njit(nogil=True, cache=True, _nrt=False)
def _tried(data, at, stop, number, runs, until):
    """Whether the same prefix stood before in the run of signs that a place is in; keeps in ``until`` where that run ends."""
    if at < until[number]:
        return True
    end = at
    while end < stop and runs[number, data[end]]:
        end += 1
    until[number] = end
    return False


@njit(nogil=True, cache=True)
def _places(offsets, data, first, countries, prefixes, sizes, runs, fewest):
    """int64[m, 4]: row, what may stand there, and its bytes from and (for numbers) to."""
    found = np.empty((1024, 4), np.int64)
    until = np.zeros(len(sizes), np.int64)
    count = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        at = start
        while at < stop:
            byte = data[at]
            may = first[byte]
            if may == 0:
                at += 1
                continue
            what, end = -1, at + 1
            fresh = at == start or not _word(data[at - 1])
            if may == 1:
                end, digits, dots = _run(data, at, stop, fresh)
                if digits >= fewest or dots >= 3:
                    what = 1
                if fresh and 50 <= byte <= 51 and at + 6 < stop and data[at + 4] == 58 and _hextet(data, at):
                    what, end = 2, at + 1
            elif may == 8:
                if byte == 64:
                    what = 0
                elif byte == 58:
                    if at + 3 < stop and data[at + 1] == 47 and data[at + 2] == 47 and _password(data, at, stop):
                        what = 3
                elif (
                    at + 10 < stop
                    and data[at + 1] == 45
                    and data[at + 4] == 45
                    and data[at + 5] == 66
                    and data[at + 9] == 78
                ):
                    what = 4
            elif fresh:
                if may & 4 and at + 14 < stop and _account(data, at, countries):
                    what = 5
                if what < 0 and may & 2:
                    number = _begins(data, at, stop, prefixes, sizes)
                    if number >= 0 and not _tried(data, at, stop, number, runs, until):
                        what = 6
            if what >= 0:
                if count == len(found):
                    more = np.empty((2 * count, 4), np.int64)
                    for i in range(count):
                        for j in range(4):
                            more[i, j] = found[i, j]
                    found = more
                found[count, 0], found[count, 1], found[count, 2], found[count, 3] = row, what, at, end
                count += 1
            at = end
    return found[:count]


def find(text: pa.LargeStringArray, wanted: Collection[str] = KINDS, *, reserved: bool = False) -> Found:
    """Personal data in texts.

    Args:
        text: large_string[n].
        wanted: kinds to find.
        reserved: whether also what is nobody's: addresses and numbers set apart for examples, fiction, tests, private networks.
    """
    offsets, data = buffers(text)
    places = _places(offsets, data, *_tables(), _FEWEST)
    spans: list[tuple[int, int, int, int]] = []
    known = {kind: KINDS.index(kind) for kind in wanted}
    row, here, begin, said, reach = -1, list[Span](), 0, b"", 0
    for of, what, at, end in places.tolist():
        if of != row:
            spans += _apart(row, here, known)
            row, here, begin, reach = of, [], int(offsets[of]), 0
            # A copy of its own: an expression that looks behind a place must not see another text.
            said = data[begin : offsets[of + 1]].tobytes()
        if what == _KEY and at - begin < reach:
            continue
        if what == _NUMBER:
            here += numbers.number(said, at - begin, end - begin, reserved)
        elif (span := _CHECKS[what](said, at - begin, reserved)) is not None:
            here.append(span)
            reach = span[2] if what == _KEY else reach
    spans += _apart(row, here, known)
    columns = np.array(spans, np.int64).reshape(-1, 4)
    return Found(columns[:, 0], columns[:, 1], columns[:, 2], columns[:, 3], len(text))


def _apart(row: int, spans: list[Span], known: dict[str, int]) -> list[tuple[int, int, int, int]]:
    """The spans of a text that are wanted, in order; of two that overlap the secret, else the longer one."""
    if not spans:
        return []
    found: list[tuple[int, int, str]] = []  # in order, so that only neighbours can overlap
    for kind, start, stop in sorted(spans, key=lambda s: (s[0] != "secret", s[1] - s[2], s[1])):
        at = bisect_left(found, (start,))
        free = (at == 0 or found[at - 1][1] <= start) and (at == len(found) or stop <= found[at][0])
        if kind in known and free:
            found.insert(at, (start, stop, kind))
    return [(row, known[kind], start, stop) for start, stop, kind in found]


def replaced(text: pa.LargeStringArray, found: Found, word: Callable[[str], str]) -> pa.LargeStringArray:
    """The texts with a word, by kind, in place of each span."""
    if not len(found.row):
        return text
    rows, first = np.unique(found.row, return_index=True)
    ends = [*first[1:].tolist(), len(found.row)]
    words = [word(kind).encode() for kind in KINDS]
    made = []
    for raw, begin, end in zip(
        text.take(pa.array(rows)).cast(pa.large_binary()).to_pylist(), first.tolist(), ends, strict=True
    ):
        parts, at = [], 0
        for i in range(begin, end):
            parts += [raw[at : found.start[i]], words[found.kind[i]]]
            at = int(found.stop[i])
        made.append(b"".join([*parts, raw[at:]]))
    mask = np.zeros(len(text), np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(text, pa.array(mask), pa.array(made, pa.large_binary()).cast(pa.large_string()))
