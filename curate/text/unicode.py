"""What each code point is, from the committed tables of ``data/unicode``: one version on every machine and Python."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from curate import assets

__all__ = [
    "ALONE",
    "ALPHA",
    "DIGIT",
    "MARK",
    "PUNCTUATION",
    "SPACE",
    "SYMBOL",
    "WORD",
    "folding",
    "kinds",
    "unstable",
    "version",
]

POINTS: Final = 0x110000
WORD: Final = 1
"""A letter, mark or number (general category L, M or N): part of a word."""
ALONE: Final = 2
"""A letter, mark or number of a script that is written without spaces; all but marks begin a word of their own."""
SPACE: Final = 4
"""White space as Python's ``str.isspace`` has it (category Zs, or bidirectional class WS, B or S)."""
PUNCTUATION: Final = 8
"""Category P."""
SYMBOL: Final = 16
"""Category S."""
ALPHA: Final = 32
"""A letter (category L): what ``str.isalpha`` says."""
DIGIT: Final = 64
"""A decimal digit (category Nd): what ``str.isdecimal`` says."""
MARK: Final = 128
"""A combining mark (category M)."""


def _lines(name: str) -> list[str]:
    return (assets.find("data", "unicode") / name).read_text(encoding="utf-8").splitlines()


def categories() -> list[tuple[int, int, str]]:
    """(first, last, general category) of every range of code points in the tables."""
    rows = [line.split("\t") for line in _lines("unicode.tsv")[1:]]
    return [(int(row[0], 16), int(row[1], 16), row[2]) for row in rows]


def version() -> str:
    """The version of Unicode that the tables are from, as in ``15.0.0``."""
    return _lines("unicode.tsv")[0].split(":")[0].split()[-1]


@cache
def kinds() -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: for each code point WORD, ALONE, SPACE, ... or-ed; 0: none, or not assigned."""
    table = np.zeros(POINTS, np.uint8)
    for line in _lines("unicode.tsv")[1:]:
        first, last, category, flags = line.split("\t")
        kind = {"L": WORD | ALPHA, "M": WORD | MARK, "N": WORD, "P": PUNCTUATION, "S": SYMBOL}.get(category[0], 0)
        kind |= DIGIT if category == "Nd" else 0
        kind |= (SPACE if "s" in flags else 0) | (ALONE if "a" in flags else 0)
        table[int(first, 16) : int(last, 16) + 1] = kind
    table.flags.writeable = False
    return table


@cache
def folding() -> npt.NDArray[np.uint32]:
    """uint32[0x1F000], read-only: the simple case folding of each code point; those above fold to themselves."""
    table = np.arange(0x1F000, dtype=np.uint32)
    for line in _lines("folding.tsv")[1:]:
        point, to = line.split("\t")
        table[int(point, 16)] = int(to, 16)
    table.flags.writeable = False
    return table


@cache
def unstable() -> npt.NDArray[np.bool_]:
    """bool[0x110000], read-only: code points that NFC may change; a text that has none of them is in NFC (UAX 15)."""
    table = np.zeros(POINTS, np.bool_)
    for line in _lines("unicode.tsv")[1:]:
        first, last, _, flags = line.split("\t")
        if "n" in flags:
            table[int(first, 16) : int(last, 16) + 1] = True
    table.flags.writeable = False
    return table
