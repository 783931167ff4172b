"""Rank buckets: a score as the share of the corpus that scores lower, so that scores of several models compare.

Nemotron-CC (arXiv 2412.02595) ranks documents by each of its classifiers into 20 buckets of equal size, and takes the
best bucket of the three. ``ranks.json`` in a folder holds the edges of the buckets by column.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

RANKS_FILE: Final = "ranks.json"
_CURE: Final = "name a 'train.ranks' step, or a folder that one made"

F64 = npt.NDArray[np.float64]


def edges_of(values: F64, buckets: int) -> F64:
    """Lower edges of all buckets but the first: float64, ascending, at most ``buckets - 1``.

    A value's bucket is ``floor(buckets * below / n)``, ``below`` the number of values that are less: equal values share
    one, and where many are equal, buckets above theirs are empty. Edges that no value reaches are left out.

    Args:
        values: finite values, in any order, at least one.
        buckets: how many.
    """
    distinct, counts = np.unique(values, return_counts=True)
    below = np.cumsum(counts) - counts
    # In whole numbers: floor(buckets * below / n) >= j.
    at = np.searchsorted(buckets * below, np.arange(1, buckets) * len(values), side="left")
    found: F64 = distinct[at[at < len(distinct)]]
    return found


def buckets_of(values: F64, edges: F64) -> F64:
    """Each value's bucket, from 0, as float64: monotone in the value; NaN stays NaN."""
    found = np.searchsorted(edges, values, side="right").astype(np.float64)
    return np.where(np.isnan(values), np.nan, found)


def save(folder: Path, buckets: int, columns: Mapping[str, F64]) -> None:
    """Write the edges by column; numbers are written so that they read back as they were."""
    edges = {name: found.tolist() for name, found in columns.items()}
    text = json.dumps({"kind": "ranks", "buckets": buckets, "edges": edges}, indent=1, allow_nan=False)
    (folder / RANKS_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> Mapping[str, F64]:
    """The edges by column; read once a process. Raises InputError for what holds none."""
    path = folder / RANKS_FILE
    try:
        stat = path.stat()
    except OSError:
        raise InputError(f"no {RANKS_FILE} in it", place=str(folder), cure=_CURE) from None
    return _load(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _load(path: Path, _changed: int, _size: int) -> Mapping[str, F64]:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        if value["kind"] != "ranks":
            raise InputError(f"holds {value['kind']!r}, not ranks", place=str(path), cure=_CURE)
        found = {str(name): np.array(edges, np.float64).reshape(-1) for name, edges in value["edges"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError("is no file of ranks, or cut short", place=str(path), cure=_CURE) from None
    if any(np.isnan(e).any() or (np.diff(e) < 0).any() for e in found.values()):
        raise InputError("edges are not in order", place=str(path), cure=_CURE)
    return found
