# ruff: noqa: ANN001, ANN201 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""UTF-8 in kernels: decoding that survives any bytes, and a table of what each code point is to a words view."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

__all__ = ["CHARACTER", "LETTER", "SEPARATOR", "SINGLE_RANGES", "SYMBOL_RANGES", "TABLE_SIZE", "decode", "fold_table"]

SEPARATOR: Final = 0
"""Ends a word and is part of none."""
LETTER: Final = 1
"""Part of a word: ASCII letters and digits, every other letter, digit and mark."""
CHARACTER: Final = 2
"""A word of its own: scripts that are written without spaces."""
TABLE_SIZE: Final = 0x20000
"""Code points in the table: both planes that have case. Above: ideographs up to U+3FFFF, else separators."""

SINGLE_RANGES: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F40, 0x0FBC),  # Tibetan letters
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17D3),  # Khmer
    (0x3005, 0x3007),  # iteration mark, closing mark, ideographic zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3100, 0x312F),  # Bopomofo
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # ideographs
    (0x4E00, 0x9FFF),
    (0xA000, 0xA48C),  # Yi
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x1B000, 0x1B16F),  # Kana supplement
)
"""Blocks (inclusive, from Unicode's Blocks.txt) whose code points are words of their own."""

SYMBOL_RANGES: Final = (
    (0x80, 0xA9),
    (0xAB, 0xB4),
    (0xB6, 0xB9),
    (0xBB, 0xBF),
    (0xD7, 0xD7),
    (0xF7, 0xF7),
    (0x055A, 0x055F),
    (0x0589, 0x058F),
    (0x060C, 0x060D),
    (0x061B, 0x061F),
    (0x066A, 0x066D),
    (0x06D4, 0x06D4),
    (0x0964, 0x0965),
    (0x0E3F, 0x0E3F),
    (0x0E4F, 0x0E4F),
    (0x0E5A, 0x0E5B),
    (0x104A, 0x104F),
    (0x1680, 0x1680),
    (0x2000, 0x206F),  # general punctuation
    (0x20A0, 0x20CF),  # currency
    (0x2190, 0x2BFF),  # arrows, mathematics, boxes, dingbats, Braille
    (0x2E00, 0x2E7F),
    (0x2FF0, 0x3004),
    (0x3008, 0x3020),
    (0x3030, 0x3030),
    (0x3036, 0x3037),
    (0x303D, 0x303F),
    (0x30A0, 0x30A0),
    (0x30FB, 0x30FB),
    (0x3200, 0x33FF),
    (0xD800, 0xF8FF),  # surrogates, private use
    (0xFD3E, 0xFD3F),
    (0xFE10, 0xFE1F),
    (0xFE30, 0xFE6F),
    (0xFEFF, 0xFF0F),
    (0xFF1A, 0xFF20),
    (0xFF3B, 0xFF40),
    (0xFF5B, 0xFF65),
    (0xFFE0, 0xFFFF),
    (0x1D000, 0x1D3FF),  # music, counting rods
    (0x1F000, 0x1FAFF),  # games, emoji
)
"""Blocks (inclusive) of punctuation, symbols and white space above ASCII; they win over SINGLE_RANGES.

Coarse on purpose: a table made from Unicode's own general categories takes its place when it is committed.
"""


@cache
def fold_table() -> npt.NDArray[np.uint32]:
    """uint32[TABLE_SIZE]: for each code point its lower-case code point, and its class in the top 8 bits.

    Lower case is ``pyarrow.compute.utf8_lower``'s simple (one to one) mapping, so its Unicode version is that of
    pyarrow's utf8proc. Classes are SEPARATOR, LETTER or CHARACTER.
    """
    table = np.arange(TABLE_SIZE, dtype=np.uint32)
    real = [point for point in range(0x80, TABLE_SIZE) if not 0xD800 <= point <= 0xDFFF]
    lower = pc.utf8_lower(pa.array([chr(point) for point in real], pa.large_string()))
    table[real] = [ord(text) for text in lower.to_pylist()]
    table[65:91] += 32
    kind = np.full(TABLE_SIZE, LETTER, np.uint32)
    for first, last in SINGLE_RANGES:
        kind[first : last + 1] = CHARACTER
    for first, last in SYMBOL_RANGES:
        kind[first : last + 1] = SEPARATOR
    kind[:128] = [LETTER if chr(point).isalnum() else SEPARATOR for point in range(128)]
    table |= kind << np.uint32(24)
    table.flags.writeable = False
    return table


@njit(nogil=True, cache=True)
def decode(data, at, stop):
    """(code point, width) of the UTF-8 sequence at ``data[at]``, or (-1, 1) where no valid one begins.

    Valid is what Python's strict decoder accepts: no overlong form, no surrogate, nothing above U+10FFFF; a byte
    that begins no valid sequence stands alone.
    """
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xC2 or first > 0xF4:
        return np.int64(-1), 1
    width = 2 if first < 0xE0 else (3 if first < 0xF0 else 4)
    if at + width > stop:
        return np.int64(-1), 1
    point = first & (0xFF >> (width + 1))
    for i in range(1, width):
        byte = np.int64(data[at + i])
        if byte & 0xC0 != 0x80:
            return np.int64(-1), 1
        point = (point << 6) | (byte & 0x3F)
    if width == 3 and (point < 0x800 or 0xD800 <= point <= 0xDFFF):
        return np.int64(-1), 1
    if width == 4 and (point < 0x10000 or point > 0x10FFFF):
        return np.int64(-1), 1
    return point, width
