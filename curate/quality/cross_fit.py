"""Cross-fitting: a document that a model was trained on is scored by a model that has not seen it, or its near copies.

A model remembers what it was trained on, so a good label gives a document a higher score than its text deserves, and a
threshold would keep labelled documents for their labels. Therefore the documents are dealt into folds, near copies
together (``curate.quality.split``), and for each fold one more model is trained without it. The classifier's folder has
them as ``fold-0``, ``fold-1``, ..., and ``folds.npz`` says which content is in which fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError
from curate.quality.classifier import Classifier, Scores
from curate.quality.folder import FOLDS_FILE
from curate.store.arrays import read_arrays, write_arrays
from curate.text.batch import Batch


@dataclass(frozen=True)
class Folds:
    """Which content is in which fold.

    Attributes:
        contents: uint64[n, 2], the halves of each content hash (little-endian), sorted by the first, then the second.
        fold: int8[n].
    """

    contents: npt.NDArray[np.uint64]
    fold: npt.NDArray[np.int8]

    @classmethod
    def of(cls, content_hash: pa.Array | pa.ChunkedArray, fold: npt.NDArray[np.int8]) -> Self:
        """From a column of content hashes and each row's fold; rows with fold -1 are in none."""
        halves = _halves(content_hash)[fold >= 0]
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        return cls(halves[order], fold[fold >= 0][order])

    def look_up(self, content_hash: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int8]:
        """int8[n]: each row's fold, -1 for a content that is in none."""
        halves = _halves(content_hash)
        place = np.searchsorted(self.contents[:, 0], halves[:, 0])
        found = np.full(len(halves), -1, np.int8)
        open_ = np.arange(len(halves))
        while True:  # once, and again for contents that agree in the first half only
            open_ = open_[place[open_] < len(self.contents)]
            open_ = open_[self.contents[place[open_], 0] == halves[open_, 0]]
            if not len(open_):
                return found
            same = self.contents[place[open_], 1] == halves[open_, 1]
            found[open_[same]] = self.fold[place[open_[same]]]
            open_ = open_[~same]
            place[open_] += 1

    def write(self, folder: Path) -> None:
        """To ``folds.npz``: plain arrays, the same bytes for the same folds."""
        write_arrays(folder / FOLDS_FILE, {"contents": self.contents.astype("<u8"), "fold": self.fold})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """From ``folds.npz``; raises InputError for a file that is none."""
        path = folder / FOLDS_FILE
        found = read_arrays(path)
        contents, fold = (found.get(name, np.zeros(0)) for name in ("contents", "fold"))
        fits = contents.dtype == np.uint64 and fold.dtype == np.int8 and contents.shape == (len(fold), 2)
        if not fits or (len(fold) and fold.min() < 0):
            raise InputError("not a table of folds", place=str(path), cure="train it again")
        return cls(contents, fold)

    @cached_property
    def count(self) -> int:
        """How many folds there are."""
        return int(self.fold.max(initial=-1)) + 1


def _halves(content_hash: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    from curate.text.arrow import fixed

    return np.ascontiguousarray(fixed(content_hash)).view("<u8").astype(np.uint64, copy=False).reshape(-1, 2)


class CrossFitted:
    """A classifier that gives documents it was trained on the score of the fold's model that was not.

    Attributes:
        plain: the model of all documents; scores what is in no fold, and everything in batches without
            ``content_hash``.
    """

    def __init__(self, plain: Classifier, folds: Sequence[Classifier], table: Folds) -> None:
        self.plain, self._folds, self._table = plain, tuple(folds), table

    @classmethod
    def load(cls, folder: Path, plain: Classifier, read: Callable[[Path], Classifier]) -> Self:
        """From a folder with ``folds.npz``; ``read`` loads the model of one fold."""
        table = Folds.read(folder)
        return cls(plain, [read(fold_folder(folder, k)) for k in range(table.count)], table)

    def score(self, docs: Batch) -> Scores:
        """As ``Classifier.score``."""
        if "content_hash" not in docs.rows.schema.names:
            return self.plain.score(docs)
        fold = self._table.look_up(docs.column("content_hash"))
        known = np.unique(fold)
        if not (known >= 0).any():
            return self.plain.score(docs)
        scores = np.empty(len(docs), np.float32)
        for k in known.tolist():
            here = fold == k
            scores[here] = (self.plain if k < 0 else self._folds[k]).score(docs.filter(pa.array(here)))
        return scores


def fold_folder(folder: Path, fold: int) -> Path:
    """Where the model without a fold lies."""
    return folder / f"fold-{fold}"
