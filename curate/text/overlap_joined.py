"""Several indexes of word n-grams as one, so that a document is gone through once; and whether an index is sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.text.overlap import Index
from curate.text.overlap_units import PARTS

FORMAT: Final = 2
"""Of what an index's hashes are made of: words, n-grams, units. Another one finds nothing, and is refused."""

Offsets = npt.NDArray[np.int64]


def joined(indexes: Sequence[Index], items: Sequence[int]) -> Index:
    """One index of the units of several; the items of the i-th are numbered from ``items[i]`` on.

    What is common among items is so within each index alone: the units are those that they were.
    """
    if len(indexes) == 1 and items[0] == 0:
        return indexes[0]
    firsts = np.cumsum([0] + [len(index.item) for index in indexes])
    keys = np.concatenate([np.repeat(index.keys, np.diff(index.owners_at)) for index in indexes])
    owners = np.concatenate([index.owners + first for index, first in zip(indexes, firsts, strict=False)])
    order = np.lexsort((owners, keys))
    keys, owners = keys[order], owners[order]
    distinct, begins = np.unique(keys, return_index=True)
    return Index(
        keys=distinct,
        owners_at=np.append(begins, len(keys)).astype(np.int64),
        owners=owners.astype(np.int32),
        lengths=np.unique(np.concatenate([index.lengths for index in indexes])),
        sieve=_either([index.sieve for index in indexes]),
        short_sieve=_either([index.short_sieve for index in indexes]),
        item=np.concatenate([index.item + first for index, first in zip(indexes, items, strict=True)]).astype(np.int32),
        part=np.concatenate([index.part for index in indexes]),
        totals=np.concatenate([index.totals for index in indexes]),
        whole=np.concatenate([index.whole for index in indexes]),
        needs_at=_ends([index.needs_at for index in indexes]),
        needs=np.concatenate([index.needs for index in indexes]),
        needs_words=np.concatenate([index.needs_words for index in indexes]),
    )


def _either(sieves: Sequence[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """Bloom filters as one: the upper bits name a word, so a smaller one is a larger one whose neighbours are equal."""
    size = max(map(len, sieves))
    found = np.zeros(size, np.uint64)
    for sieve in sieves:
        found |= np.repeat(sieve, size // len(sieve))
    return found


def _ends(offsets: Sequence[Offsets]) -> Offsets:
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(some) for some in offsets]))]).astype(np.int64)


def fault(index: Index, items: int) -> str:
    """What is wrong with an index of so many items that comes from elsewhere: kernels read where its arrays say.

    Empty where nothing is.
    """
    kinds = {"keys": "u8", "owners_at": "i8", "owners": "i4", "lengths": "i8", "sieve": "u8", "short_sieve": "u8"}
    kinds |= {
        "item": "i4",
        "part": "i1",
        "totals": "i4",
        "whole": "b1",
        "needs_at": "i8",
        "needs": "u8",
        "needs_words": "i8",
    }
    for name, kind in kinds.items():
        array: npt.NDArray[Any] = getattr(index, name)
        if array.ndim != 1 or array.dtype != np.dtype(kind):
            return f"{name} has other values"
    units = len(index.item)
    sound = {
        "keys": bool((index.keys[1:] > index.keys[:-1]).all()),
        "owners_at": _is_offsets(index.owners_at, len(index.keys), len(index.owners)),
        "owners": _within(index.owners, units),
        "lengths": _within(index.lengths - 1, 64) and len(index.lengths) <= 64,
        "sieve": _is_power(len(index.sieve)),
        "short_sieve": _is_power(len(index.short_sieve)),
        "item": _within(index.item, items),
        "part": _within(index.part, len(PARTS)) and len(index.part) == units,
        "totals": len(index.totals) == units and bool((index.totals > 0).all()),
        "whole": len(index.whole) == units,
        "needs_at": _is_offsets(index.needs_at, units, len(index.needs)),
        "needs_words": len(index.needs_words) == len(index.needs) and _within(index.needs_words - 1, 64),
    }
    return next((f"{name} is not what it must be" for name, fine in sound.items() if not fine), "")


def _is_offsets(offsets: Offsets, rows: int, end: int) -> bool:
    inside = len(offsets) == rows + 1 and offsets[0] == 0 and offsets[-1] == end
    return bool(inside and (offsets[1:] >= offsets[:-1]).all())


def _within(values: npt.NDArray[Any], most: int) -> bool:
    return bool(((values >= 0) & (values < most)).all())


def _is_power(size: int) -> bool:
    return size > 0 and size & (size - 1) == 0
