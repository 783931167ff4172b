"""Several indexes of prompts' stems as one, and whether one is sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.text.rephrased import RephraseIndex

__all__ = ["FORMAT", "fault", "joined"]

FORMAT: Final = 1
"""Of the words, stems and passages that an index has hashes of. Another one finds nothing, and is refused."""


def joined(indexes: Sequence[RephraseIndex], items: Sequence[int]) -> RephraseIndex:
    """One index of the passages of several; the items of the i-th are numbered from ``items[i]`` on.

    The same as if it had been built of all texts at once: how rare a stem is, is found among all of them.
    """
    stems = np.unique(np.concatenate([index.stems for index in indexes]))
    numbers = np.zeros(len(stems), np.bool_)
    members = []
    for index in indexes:
        places = np.searchsorted(stems, index.stems)
        numbers[places] = index.numbers
        # Both are ascending, so the members of a passage stay so.
        members.append(places[index.members].astype(np.int32))
    sizes = np.concatenate([np.diff(index.passages_at) for index in indexes])
    return RephraseIndex(
        stems=stems,
        numbers=numbers,
        passages_at=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        members=np.concatenate(members),
        words=np.concatenate([index.words for index in indexes]),
        item=np.concatenate([index.item + first for index, first in zip(indexes, items, strict=True)]).astype(np.int32),
    )


def fault(index: RephraseIndex, items: int) -> str:
    """What is wrong with an index of so many items that comes from elsewhere: kernels read where its arrays say.

    Empty where nothing is.
    """
    kinds = {"stems": "u8", "numbers": "b1", "passages_at": "i8", "members": "i4", "words": "i4", "item": "i4"}
    for name, kind in kinds.items():
        array: npt.NDArray[Any] = getattr(index, name)
        if array.ndim != 1 or array.dtype != np.dtype(kind):
            return f"{name} has other values"
    at, members, passages = index.passages_at, index.members, len(index.item)
    offsets = len(at) == passages + 1 and at[0] == 0 and at[-1] == len(members) and bool((np.diff(at) >= 0).all())
    first = np.zeros(len(members) + 1, np.bool_)
    if offsets:
        first[at] = True
    sound = {
        "stems": bool((index.stems[1:] > index.stems[:-1]).all()),
        "numbers": len(index.numbers) == len(index.stems),
        "passages_at": offsets,
        "members": bool(((members >= 0) & (members < len(index.stems))).all())
        and bool((first[1:-1] | (members[1:] > members[:-1])).all()),
        "words": len(index.words) == passages
        and bool((index.words >= 0).all())
        and bool((index.words < 1 << 24).all()),
        "item": bool(((index.item >= 0) & (index.item < items)).all()),
    }
    return next((f"{name} is not what it must be" for name, fine in sound.items() if not fine), "")
