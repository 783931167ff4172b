# ruff: noqa: ANN001, ANN201 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What characters and strings are to the rules of ``curate.text.tokens``."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.token_exceptions import CUT, SIGNED, SIGNED_CUT, WHOLE
from curate.text.unicode import categories
from curate.text.utf8 import decode
from curate.text.word_hashes import word_hash

__all__ = ["after", "before", "bits_at", "bits_before", "characters", "exceptions", "is_digit", "shape"]

ALPHA: Final = 1
LOWER: Final = 2
"""Lower case, or a letter without case."""
UPPER: Final = 4
PREFIX: Final = 8
SUFFIX: Final = 16
QUOTE: Final = 32
CURRENCY: Final = 64
ICON: Final = 128

PUNCTUATION: Final = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
QUOTES: Final = "\"'”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
MONEY: Final = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
UNITS: Final = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa "
    "mbar mb MB kb KB gb GB tb TB T G M K %"
)
LONGEST: Final = 29
"""Bytes of the longest exception."""
SLOTS: Final = 8192
KNOWN: Final = 1
JOINS: Final = 2
HASHED: Final = 2 * SLOTS
SHAPES: Final = HASHED + 1024
PAIRS: Final = SHAPES + 1024
UNIT: Final = 1 << 32


@cache
def characters() -> npt.NDArray[np.uint8]:
    """uint8[0x110000]: what each code point is to the rules."""
    table = np.zeros(0x110000, np.uint8)
    kind = {"Ll": ALPHA | LOWER, "Lu": ALPHA | UPPER, "So": PREFIX | SUFFIX | ICON}
    kind |= dict.fromkeys(("Lo", "Lm", "Lt"), ALPHA | LOWER | UPPER)
    for first, last, category in categories():
        table[first : last + 1] = kind.get(category, 0)
    for signs, bits in (
        (PUNCTUATION, PREFIX | SUFFIX),
        (QUOTES, PREFIX | SUFFIX | QUOTE),
        (MONEY, PREFIX | CURRENCY),
        ("§%=—–", PREFIX),
        ("—–", SUFFIX),
    ):
        for sign in signs:
            table[ord(sign)] |= bits
    table.flags.writeable = False
    return table


@njit(nogil=True, cache=True, _nrt=False)
def after(data, at, stop, table):
    """(bits, width, code point) of the character at ``data[at]``; 0 bits at the end and for invalid bytes."""
    if at >= stop:
        return np.int64(0), 0, np.int64(-1)
    point, width = decode(data, at, stop)
    return (np.int64(table[point]) if point >= 0 else np.int64(0)), width, np.int64(point)


@njit(nogil=True, cache=True, _nrt=False)
def before(data, start, at, table):
    """The same of the character that ends before ``data[at]``."""
    if at <= start:
        return np.int64(0), 0, np.int64(-1)
    first = at - 1
    while first > start and at - first < 4 and data[first] & 0xC0 == 0x80:
        first -= 1
    bits, width, point = after(data, first, at, table)
    if width == at - first:
        return bits, width, point
    return np.int64(0), 1, np.int64(-1)


@njit(nogil=True, cache=True, inline="always")
def bits_before(data, start, at, table):
    """What the character that ends before ``data[at]`` is."""
    if at <= start:
        bits = np.int64(0)
    elif data[at - 1] < 128:
        bits = np.int64(table[data[at - 1]])
    else:
        bits = before(data, start, at, table)[0]
    return bits


@njit(nogil=True, cache=True, inline="always")
def bits_at(data, at, stop, table):
    """What the character at ``data[at]`` is."""
    if at >= stop:
        bits = np.int64(0)
    elif data[at] < 128:
        bits = np.int64(table[data[at]])
    else:
        bits = after(data, at, stop, table)[0]
    return bits


@njit(nogil=True, cache=True, inline="always")
def is_digit(byte):
    return 48 <= byte <= 57


@njit(nogil=True, cache=True, inline="always")
def shape(data, start, stop):
    """A number below 65536 of the string ``data[start:stop]``: of its first two bytes, its last one and its size."""
    last = stop - 1
    first, second = np.uint64(data[start]), np.uint64(data[min(start + 1, last)])
    mixed = (
        first
        | second << np.uint64(8)
        | np.uint64(data[last]) << np.uint64(16)
        | np.uint64(stop - start) << np.uint64(24)
    )
    return np.int64((mixed * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48))


@cache
def exceptions() -> npt.NDArray[np.uint64]:
    """The exceptions and units, one uint64[2 * SLOTS + 3072], so that kernels pass one array along.

    First a hash table by ``word_hash``: SLOTS hashes, SLOTS values. Values: 0: no entry; else KNOWN, with the two first
    tokens' sizes in the next bytes (0: not cut), and JOINS if the other rules would cut it; UNIT. Then three filters of
    65536 bits each: at HASHED the highest bits of the hashes, at SHAPES the ``shape`` of each exception, at PAIRS the
    first two bytes of each that the other rules would cut.
    """
    strings = np.zeros(2 * SLOTS + 3072, np.uint64)
    entries: dict[bytes, int] = {}
    for words, kind in ((WHOLE, 0), (CUT, 0), (SIGNED, JOINS), (SIGNED_CUT, JOINS)):
        for word in words.split():
            parts = word.split("|") if words in (CUT, SIGNED_CUT) else [word]
            sizes = [len(part.encode()) for part in parts[:-1]] + [0, 0]
            entries["".join(parts).encode()] = KNOWN | kind | sizes[0] << 8 | sizes[1] << 16
    for unit in UNITS.split():
        entries[unit.encode()] = entries.get(unit.encode(), 0) | UNIT
    for raw, value in entries.items():
        data = np.frombuffer(raw, np.uint8)
        key = int(word_hash(data, 0, len(raw)))
        numbers = [(HASHED, key >> 48)]
        if value & KNOWN:
            numbers.append((SHAPES, int(shape(data, 0, len(raw)))))
        if value & JOINS:
            numbers.append((PAIRS, int.from_bytes(raw[:2], "little")))
        for base, number in numbers:
            strings[base + (number >> 6)] |= np.uint64(1 << (number & 63))
        slot = key & (SLOTS - 1)
        while strings[SLOTS + slot]:
            slot = (slot + 1) & (SLOTS - 1)
        strings[slot], strings[SLOTS + slot] = key, value
    strings.flags.writeable = False
    return strings
