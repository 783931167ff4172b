# ruff: noqa: ANN001, ANN201 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What characters and strings are to the rules of ``curate.text.tokens``."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64, xxh64
from curate.text.swar import load
from curate.text.token_exceptions import CUT, SIGNED, SIGNED_CUT, WHOLE
from curate.text.unicode import categories

__all__ = ["characters", "exceptions", "shape", "token_hash"]

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
UNIT: Final = 1 << 32
_K: Final = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True)
def token_hash(data, start, stop):
    """64 bits for the bytes ``data[start:stop]``: equal for equal bytes only, but for one chance in 2^64."""
    if stop - start <= 8:
        return mix64(load(data, start, stop) + np.uint64(stop - start) * _K)
    return xxh64(data, start, stop, np.uint64(1))


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


@njit(nogil=True, cache=True)
def shape(first, last, size):
    """A number below 65536 of a string's first and last byte and its size."""
    return (np.int64(first) | np.int64(last) << 8) ^ (np.int64(size) * 0x1357 & 0xFFFF)


@cache
def exceptions() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """A hash table of the exceptions and units: hashes uint64[SLOTS], int64[SLOTS] of what each is, and a filter.

    0: no entry; else KNOWN, with the two first tokens' sizes in the next bytes (0: not cut), and JOINS if the other
    rules would cut it; UNIT. The filter, uint8[65536], has KNOWN at each one's ``shape``, JOINS at its first two bytes
    if the other rules would cut it.
    """
    keys = np.zeros(SLOTS, np.uint64)
    values = np.zeros(SLOTS, np.int64)
    firsts = np.zeros(1 << 16, np.uint8)
    entries: dict[bytes, int] = {}
    for words, kind in ((WHOLE, 0), (CUT, 0), (SIGNED, JOINS), (SIGNED_CUT, JOINS)):
        for word in words.split():
            parts = word.split("|") if words in (CUT, SIGNED_CUT) else [word]
            sizes = [len(part.encode()) for part in parts[:-1]] + [0, 0]
            raw = "".join(parts).encode()
            entries[raw] = KNOWN | kind | sizes[0] << 8 | sizes[1] << 16
            firsts[raw[0] | (raw[1] << 8 if len(raw) > 1 else 0)] |= kind
            firsts[shape(raw[0], raw[-1], len(raw))] |= KNOWN
    for unit in UNITS.split():
        entries[unit.encode()] = entries.get(unit.encode(), 0) | UNIT
    for raw, value in entries.items():
        key = int(token_hash(np.frombuffer(raw, np.uint8), 0, len(raw)))
        slot = key & (SLOTS - 1)
        while values[slot]:
            slot = (slot + 1) & (SLOTS - 1)
        keys[slot], values[slot] = key, value
    for array in (keys, values, firsts):
        array.flags.writeable = False
    return keys, values, firsts
