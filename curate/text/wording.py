"""How far texts are worded alike: their openings, and how well they compress."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from curate.text.arrow import buffers
from curate.text.batch import Batch

__all__ = ["LEVEL", "LONGEST", "OPENING", "openings", "packed"]

OPENING: Final = 5
"""Words of an opening: long enough that two texts about different things seldom share one."""
LONGEST: Final = 48
"""Bytes of a word that are shown of it."""
LEVEL: Final = 3
"""Of zstd."""


def openings(docs: Batch, words: int = OPENING) -> list[str]:
    """The first words of each text, in lower case, one space between them; all of them where it has no more.

    Of a word no more than ``LONGEST`` bytes.
    """
    offsets, data = docs.utf8
    found = docs.words("folded")
    said = []
    for row in range(len(docs)):
        first, last = int(found.rows[row]), int(min(found.rows[row + 1], found.rows[row] + words))
        ranges = zip(found.starts[first:last].tolist(), found.stops[first:last].tolist(), strict=True)
        base = int(offsets[row])
        each = [
            data[base + start : base + min(stop, start + LONGEST)].tobytes().decode("utf-8", "replace")
            for start, stop in ranges
        ]
        said.append(" ".join(each).lower())
    return said


def packed(texts: pa.Array, size: int) -> tuple[int, int]:
    """(bytes, compressed bytes) of the texts, a line feed after each, cut into slices of ``size`` bytes, each packed by
    itself (zstd, LEVEL); what is left at the end is left out, so both are 0 for less than one slice.

    Their quotient says how much the texts repeat each other and themselves, and can be compared with that of other texts
    only because the slices are equally long: the longer a text, the better it packs.
    """
    offsets, data = buffers(texts)
    ends = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    whole = b"".join(line for start, stop in ends for line in (data[start:stop].tobytes(), b"\n"))
    tool = pa.Codec("zstd", compression_level=LEVEL)
    starts = range(0, len(whole) - size + 1, size)
    return size * len(starts), sum(len(tool.compress(whole[at : at + size], asbytes=True)) for at in starts)
