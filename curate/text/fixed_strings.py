# ruff: noqa: ANN001, ANN201 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Strings that are one token wherever they stand: found before anything else, from the left, the longest first.

User-defined symbols of a SentencePiece model; added tokens of a Hugging Face file, as the runs of spaces of CodeGen's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["MOST_NODES", "Fixed", "fixed_id", "fixed_strings", "next_fixed"]

MOST_NODES: Final = 1 << 13
"""Nodes of the largest tree that is made, a kilobyte each."""


class Fixed(NamedTuple):
    """A tree of bytes.

    Attributes:
        after: int32[nodes, 256]: the node that a byte leads to, 0: none. The root is 0.
        ids: int32[nodes]: the id of the string that ends here, -1: none does.
    """

    after: npt.NDArray[np.int32]
    ids: npt.NDArray[np.int32]


def fixed_strings(strings: Mapping[bytes, int]) -> Fixed | None:
    """The tree of strings, none of them empty, and their ids; None: they are too many."""
    nodes: list[dict[int, int]] = [{}]
    ids = [-1]
    for string, i in strings.items():
        at = 0
        for byte in string:
            if byte not in nodes[at]:
                nodes[at][byte] = len(nodes)
                nodes.append({})
                ids.append(-1)
            at = nodes[at][byte]
        ids[at] = i
    if len(nodes) > MOST_NODES:
        return None
    after = np.zeros((len(nodes), 256), np.int32)
    for node, ways in enumerate(nodes):
        for byte, to in ways.items():
            after[node, byte] = to
    return Fixed(after, np.array(ids, np.int32))


@njit(nogil=True, cache=True)
def next_fixed(data, at, stop, fixed):
    """(start, end) of the first string in ``data[at:stop]``, the longest there; (stop, stop): there is none."""
    after = fixed.after
    if len(after) == 1:
        return stop, stop
    while at < stop:
        node = after[0, data[at]]
        if node:
            end = at
            i = at + 1
            if fixed.ids[node] >= 0:
                end = i
            while i < stop:
                node = after[node, data[i]]
                if not node:
                    break
                i += 1
                if fixed.ids[node] >= 0:
                    end = i
            if end > at:
                return at, end
        at += 1
    return stop, stop


@njit(nogil=True, cache=True)
def fixed_id(data, start, stop, fixed):
    """The id of the string that ``data[start:stop]`` is; -1: none."""
    node = 0
    for i in range(start, stop):
        node = fixed.after[node, data[i]]
        if not node:
            return -1
    return fixed.ids[node]
