# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Words by policies ``gopher`` and ``tokens`` until ``Batch.words`` has them: this module goes then."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Offsets
from curate.text.batch import Batch
from curate.text.hashing import xxh64
from curate.text.spaces import space_after
from curate.text.tokens import tokens

__all__ = ["Words", "words_of"]


class Words(NamedTuple):
    """Words of n rows: ``rows`` int64[n + 1]; of each word its hash and its bytes from the row's own beginning."""

    rows: Offsets
    hashes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.uint32]
    stops: npt.NDArray[np.uint32]


@njit(nogil=True, cache=True)
def _words(offsets, data):
    count = len(offsets) - 1
    rows = np.zeros(count + 1, np.int64)
    room = offsets[count] - offsets[0] + 1
    hashes = np.empty(room, np.uint64)
    starts = np.empty(room, np.uint32)
    stops = np.empty(room, np.uint32)
    size = 0
    for row in range(count):
        base, stop = offsets[row], offsets[row + 1]
        at = base
        while at < stop:
            width = space_after(data, at, stop)
            if width:
                at += width
                continue
            start = at
            while at < stop and space_after(data, at, stop) == 0:
                at += 1
            hashes[size] = xxh64(data, start, at, np.uint64(0))
            starts[size] = start - base
            stops[size] = at - base
            size += 1
        rows[row + 1] = size
    return rows, hashes[:size].copy(), starts[:size].copy(), stops[:size].copy()


def words_of(docs: Batch, policy: Literal["gopher", "tokens"]) -> Words:
    """Runs without white space, as ``str.split`` finds them, or the tokens in them."""
    gopher = Words(*_words(*docs.utf8))
    if policy == "gopher":
        return gopher
    return Words(*tokens(*docs.utf8, gopher.rows, gopher.starts, gopher.stops))
