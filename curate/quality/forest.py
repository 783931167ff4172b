# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""A random forest as plain arrays, and the mean label that it predicts.

scikit-learn is needed where a forest is trained, never where it is read: what it stores as objects is five arrays here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["Forest"]


@njit(nogil=True, cache=True)
def _predict(vectors, roots, feature, threshold, left, right, value):
    """float32[n, dim] and a forest's arrays to float64[n]: the mean over trees, summed in the order of the trees.

    Trees outside, rows inside: one tree's nodes stay in cache while the batch goes through it.
    """
    total = np.zeros(len(vectors), np.float64)
    for tree in range(len(roots)):
        for row in range(len(vectors)):
            node = roots[tree]
            while feature[node] >= 0:
                node = left[node] if vectors[row, feature[node]] <= threshold[node] else right[node]
            total[row] += value[node]
    return total / len(roots)


@dataclass(frozen=True)
class Forest:
    """Trees whose nodes lie one after another; a child lies behind its parent, so every walk ends.

    Attributes:
        roots: int32[trees], each tree's first node.
        feature: int32[nodes], which number of a vector is compared; -1 for a leaf.
        threshold: float32[nodes], the walk goes left where the number is at most this; 0 for a leaf.
        left, right: int32[nodes], the children; -1 for a leaf.
        value: float64[nodes], the mean label (0 bad, 1 good) of a leaf's training rows; 0 elsewhere.
    """

    roots: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]

    def predict(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """float32[n, dim] to float64[n]: the mean over the trees of the mean label in the leaf that a row reaches."""
        return _predict(vectors, self.roots, self.feature, self.threshold, self.left, self.right, self.value)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name, as they are stored."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def of(cls, trained: Any, levels: npt.NDArray[np.float64]) -> Self:
        """From a fitted ``RandomForestClassifier``; ``levels``: the label in [0, 1] that each of its classes stands for.

        It compares float32 numbers with float64 thresholds. A float32 number is at most a threshold exactly if it is at
        most the largest float32 that is not above the threshold: so float32 thresholds decide the same, always.
        """
        trees = [estimator.tree_ for estimator in trained.estimators_]
        roots = np.concatenate(([0], np.cumsum([t.node_count for t in trees])[:-1])).astype(np.int32)
        leaf = np.concatenate([t.children_left for t in trees]) < 0
        start = np.repeat(roots, [t.node_count for t in trees])

        def whole(name: str, fill: float) -> npt.NDArray[Any]:
            return np.where(leaf, fill, np.concatenate([getattr(t, name) for t in trees]))

        counts = np.concatenate([t.value[:, 0, :] for t in trees])
        means = (counts * levels).sum(axis=1) / counts.sum(axis=1)
        return cls(
            roots=roots,
            feature=whole("feature", -1).astype(np.int32),
            threshold=_not_above(whole("threshold", 0.0)),
            left=np.where(leaf, -1, whole("children_left", -1) + start).astype(np.int32),
            right=np.where(leaf, -1, whole("children_right", -1) + start).astype(np.int32),
            value=np.where(leaf, np.clip(means, 0.0, 1.0), 0.0),
        )

    @classmethod
    def read(cls, arrays: Mapping[str, npt.NDArray[Any]], dim: int) -> Self:
        """From stored arrays; raises ValueError with a clause for what no forest over ``dim`` numbers has."""
        kinds = {f.name: np.int32 for f in fields(cls)} | {"threshold": np.float32, "value": np.float64}
        for name, kind in kinds.items():
            if name not in arrays:
                raise ValueError(f"it has no array '{name}'")
            if arrays[name].dtype != kind or arrays[name].ndim != 1:
                raise ValueError(f"'{name}' is {arrays[name].dtype}[{arrays[name].ndim}-d], not {np.dtype(kind)}[1-d]")
        forest = cls(**{name: np.ascontiguousarray(arrays[name]) for name in kinds})
        forest._check(dim)
        return forest

    def _check(self, dim: int) -> None:
        nodes = len(self.feature)
        if not len(self.roots) or any(len(a) != nodes for n, a in self.arrays().items() if n != "roots"):
            raise ValueError("its arrays differ in length")
        if ((self.roots < 0) | (self.roots >= nodes)).any():
            raise ValueError("a tree begins outside of it")
        if ((self.feature < -1) | (self.feature >= dim)).any():
            raise ValueError(f"a node looks at a number that vectors of {dim} do not have")
        inner, here = self.feature >= 0, np.arange(nodes)
        for child in (self.left, self.right):
            if (inner & ((child <= here) | (child >= nodes))).any():
                raise ValueError("a node's child does not lie behind it")
        if not np.isfinite(self.threshold).all() or not ((self.value >= 0) & (self.value <= 1)).all():
            raise ValueError("a threshold is not finite, or a leaf's value not in [0, 1]")


def _not_above(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The largest float32 that is not above each float64."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)
