"""Where the parts of a text in NFC stand in the text as it is written."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.text.arrow import buffers, from_text
from curate.text.atoms import UNSTABLE, atoms
from curate.text.cuts import pieces

__all__ = ["as_written"]

I64 = npt.NDArray[np.int64]


def as_written(
    text: pa.LargeStringArray, normal: pa.LargeStringArray, owner: I64, starts: I64, stops: I64
) -> tuple[I64, I64]:
    """Ranges of bytes of rows in NFC as ranges of the same rows as they are written.

    A character that NFC never changes does not go together with what is before it (UAX 15). So a text is composed part by
    part: such a character, with those behind it that NFC may change. An end within a part that is written otherwise goes
    to the end of that part, outwards. Of a row that is composed otherwise than its parts (NFC knows characters that are
    younger than the tables of ``curate.text.unicode``) all ranges are empty.

    Args:
        text: valid UTF-8, no nulls.
        normal: ``composed(text)``.
        owner, starts, stops: int64[m] each; a row, and a range of its text in ``normal`` that is not empty.

    Returns starts and stops in ``text``, int64[m] each.
    """
    rows, which = np.unique(owner, return_inverse=True)
    offsets, data = buffers(text.take(pa.array(rows)))
    ends, data = (offsets - offsets[0]).astype(np.int64), data[offsets[0] : offsets[-1]]
    loose = np.unpackbits(atoms(ends, data)[UNSTABLE].view(np.uint8), bitorder="little")
    points = np.flatnonzero((data & 0xC0) != 0x80)
    unstable = loose[points].astype(np.bool_)
    first = np.flatnonzero(~unstable | np.isin(points, ends[:-1]))
    begin, end = points[first], np.append(points[first[1:]], len(data))
    odd = np.logical_or.reduceat(unstable, first) if len(first) else unstable
    begin, end = begin[odd], end[odd]
    parts = from_text(*pieces(np.array([0, len(data)]), data, np.zeros(len(begin), np.int64), begin, end))
    changed = pc.utf8_normalize(parts, form="NFC")
    changes = np.asarray(pc.not_equal(parts, changed))
    begin, end = begin[changes], end[changes]
    sizes = np.asarray(pc.binary_length(changed)).astype(np.int64)[changes]
    # Bytes that the text has more than its NFC before each part, and in all.
    more = np.append(0, np.cumsum(end - begin - sizes))
    composed = begin - more[:-1]
    base = ends[which]
    before = more[np.searchsorted(begin, ends)]
    lengths = np.asarray(pc.binary_length(normal.take(pa.array(rows))))
    known = (lengths == np.diff(ends - before))[which]
    shift = (ends - before)[which]

    def moved(places: I64, side: Literal["left", "right"], ends_of: I64) -> I64:
        part = np.searchsorted(composed, places, side)
        found = places + more[part]
        within = np.flatnonzero(part)
        last = part[within] - 1
        inside = places[within] < composed[last] + sizes[last]
        found[within[inside]] = ends_of[last[inside]]
        return np.where(known, found - base, 0)

    return moved(starts + shift, "right", begin), moved(stops + shift, "left", end)
