"""Words and character kinds for the line rules, until the words view has them: one place to change then."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

from curate.text.batch import Batch

__all__ = ["gopher_words", "kinds", "token_rows"]

IntArray = npt.NDArray[np.int64]


def gopher_words(docs: Batch) -> tuple[IntArray, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """(rows, starts, stops) of the words under the policy ``gopher``: Python's ``str.split``."""
    try:
        words = docs.words("gopher")  # type: ignore[arg-type]
    except ValueError:
        return _split(docs, re.compile(r"\S+"))
    return words.rows, words.starts, words.stops  # type: ignore[attr-defined,return-value]


def token_rows(docs: Batch) -> IntArray:
    """int64[n + 1]: row ``i`` has ``rows[i + 1] - rows[i]`` words under the policy ``tokens``."""
    try:
        return docs.words("tokens").rows  # type: ignore[arg-type]
    except ValueError:
        return _split(docs, re.compile(r"\w+|[^\w\s]"))[0]


def _split(docs: Batch, word: re.Pattern[str]) -> tuple[IntArray, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    offsets, data = docs.utf8
    rows, starts, stops = [0], [], []
    for i in range(len(offsets) - 1):
        text = data[offsets[i] : offsets[i + 1]].tobytes().decode("utf-8", "surrogateescape")
        at = last = 0
        for match in word.finditer(text):
            at += len(text[last : match.start()].encode("utf-8", "surrogateescape"))
            starts.append(at)
            at += len(match.group().encode("utf-8", "surrogateescape"))
            stops.append(at)
            last = match.end()
        rows.append(len(starts))
    return np.array(rows, np.int64), np.array(starts, np.uint32), np.array(stops, np.uint32)


@cache
def kinds() -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: 1 letter, mark or number, 4 white space, 8 punctuation, 32 letter, 64 digit, 128 mark."""
    try:
        from curate.text.unicode import kinds as committed
    except ImportError:
        pass
    else:
        return committed()
    table = np.zeros(0x110000, np.uint8)
    for point in range(0x110000):
        category = unicodedata.category(chr(point))
        table[point] = {"L": 33, "M": 129, "N": 1, "P": 8}.get(category[0], 0) | (64 if category == "Nd" else 0)
        table[point] |= 4 if chr(point).isspace() else 0
    table.flags.writeable = False
    return table
