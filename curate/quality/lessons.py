"""Who is trained on, who is held out, who is in which fold: a division of examples that near copies do not straddle."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.quality import split
from curate.quality.examples import Examples
from curate.quality.label_columns import NONE, Marks
from curate.quality.sample import HASH

Balance = Literal["none", "equal", "sqrt"]
Mask = npt.NDArray[np.bool_]
_ID_BYTES: Final = 16


@dataclass(frozen=True)
class Division:
    """What becomes of each of n examples.

    Attributes:
        group: int64[n], group of near copies.
        apart: bool[n]; the group has a content of a source that is only tested on: nothing of it is trained on.
        held: bool[n]; the group is held out, and not ``apart``. Those with a label are what the model is measured on.
        used: bool[n]; trained on.
        fold: int8[n]; fold of the group, -1 for groups that nothing is trained on of.
    """

    group: npt.NDArray[np.int64]
    apart: Mask
    held: Mask
    used: Mask
    fold: npt.NDArray[np.int8]

    @property
    def touched(self) -> Mask:
        """bool[n]; the row or a near copy of it is trained on."""
        return np.isin(self.group, self.group[self.used])


def divide(
    examples: Examples,
    classes: Marks,
    *,
    share: float,
    folds: int,
    balance: Balance,
    key: Callable[[str], int],
) -> Division:
    """Hold out, balance, deal.

    Args:
        examples: what there is.
        classes: int8[n], the classes that are balanced; NONE for examples that count for no label.
        share: of each class, to be held out.
        folds: how many; 0 for none.
        balance: see ``balanced``.
        key: a 64-bit key for each purpose.
    """
    group = split.groups(examples.rows.column("text"))
    apart = np.isin(group, group[examples.tests])
    good = np.where(apart, NONE, examples.labels.good).astype(np.int8)
    names = split.names(group, examples.rows.column(HASH).to_numpy())
    held = split.hold_out(group, good, _keyed(names, key("held out")), share)
    used = balanced(classes, (good != NONE) & ~held, balance)
    fold = np.full(len(good), -1, np.int8)
    if folds:
        fold = split.deal(group, good, _keyed(names, key("folds")), folds, used)
    return Division(group, apart, held & ~apart, used, fold)


def set_aside(examples: Examples, division: Division, share: float, key: int) -> Mask:
    """bool[n]: rows that are trained on, about ``share`` of them, by which settings are chosen; near copies together."""
    good = np.where(division.used, examples.labels.good, NONE).astype(np.int8)
    names = split.names(division.group, examples.rows.column(HASH).to_numpy())
    return split.hold_out(division.group, good, _keyed(names, key), share) & division.used


def balanced(classes: Marks, among: Mask, balance: Balance) -> Mask:
    """The rows of ``among`` that stay so that no class outweighs the others; each keeps its first rows.

    With ``equal`` every class keeps as many as the smallest has, m; with ``sqrt`` one of n rows keeps sqrt(n m), so that
    a class of a hundred times the size outweighs the smallest ten times.
    """
    kept = among.copy()
    sizes = {mark: int((among & (classes == mark)).sum()) for mark in np.unique(classes[among]).tolist()}
    if balance == "none" or not sizes:
        return kept
    smallest = min(sizes.values())
    for mark, size in sizes.items():
        limit = smallest if balance == "equal" else math.isqrt(size * smallest)
        kept[np.flatnonzero(among & (classes == mark))[limit:]] = False
    return kept


def _keyed(names: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.uint64]:
    """Keyed hashes of groups' names."""
    from curate.text.hashing import keyed_hash

    wide = np.zeros((len(names), _ID_BYTES // 8), "<u8")
    wide[:, 0] = names
    flat = pa.FixedSizeBinaryArray.from_buffers(pa.binary(_ID_BYTES), len(names), [None, pa.py_buffer(wide)])
    return keyed_hash(flat, key)
