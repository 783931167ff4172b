"""What the ways of counting share: their numbers in kernels, words and signs, and what each code point is to them.

The same rules of Gopher (Rae et al. 2021, appendix A1.1) are counted in different ways by different engines. Kernels
take the way as a small number: ``PAPER``, ``DATATROVE``, ``DOLMA`` or ``DCLM``.
"""

from __future__ import annotations

from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from curate.text import unicode

__all__ = [
    "ALPHA",
    "BULLETS",
    "COUNTINGS",
    "DATATROVE",
    "DCLM",
    "DOLMA",
    "MARK",
    "PAPER",
    "STOP_WORDS",
    "WORD",
    "Counting",
    "classes",
]

Counting = Literal["paper", "datatrove", "dolma", "dclm"]
COUNTINGS: Final[tuple[Counting, ...]] = ("paper", "datatrove", "dolma", "dclm")
PAPER: Final = 0
DATATROVE: Final = 1
DOLMA: Final = 2
DCLM: Final = 3

STOP_WORDS: Final = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's eight (Rae et al. 2021, appendix A1.1)."""
BULLETS: Final = ("*", "-", "\u2022", "\u25cf")
"""Signs that begin a bullet point; engines take fewer of them, see ``line_counts``."""

ALPHA: Final = 1
"""A letter, as ``str.isalpha`` says."""
WORD: Final = 2
"""A letter or a number, as ``str.isalnum`` says."""
MARK: Final = 4
"""One of datatrove 0.10.1's ``PUNCTUATION_SET``: its punctuation, control and sentence-ending signs."""

_MARKS: Final = """
0-8 B-1F 21-2F 3A-40 5B-60 7B-9F AB B4 BB 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368
166E 1735-1736 17D4-17D6 17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F
2013-2014 2019 201C-201E 2026 203C-203D 2047-2049 2236 2501 25BA 2E2E 2E3C 2E53-2E54 3001-3002 3008-300D 3010-3011
A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF05
FF08-FF09 FF0C FF0E FF11 FF1A-FF1B FF1F FF5E FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1
11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7
11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5
16B37-16B38 16B44 16E98 1BC9F 1DA88
"""
"""Code points of datatrove 0.10.1's ``datatrove.utils.text.PUNCTUATION_SET`` (Apache-2.0)."""


@cache
def classes() -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: ALPHA, WORD and MARK of each code point, or-ed."""
    kind = unicode.kinds()
    table = np.where(kind & unicode.ALPHA, ALPHA | WORD, 0).astype(np.uint8)
    table |= np.where((kind & unicode.WORD > 0) & (kind & unicode.MARK == 0), WORD, 0).astype(np.uint8)
    for span in _MARKS.split():
        begin, _, end = span.partition("-")
        table[int(begin, 16) : int(end or begin, 16) + 1] |= MARK
    table.flags.writeable = False
    return table
