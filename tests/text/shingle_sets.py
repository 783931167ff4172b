"""Sets of shingles of known similarity: for tests and benches."""

from __future__ import annotations

import numpy as np

from curate.text.ngrams import Ngrams


def grams_of(rows: list[np.ndarray]) -> Ngrams:
    """Rows of shingles' hashes as they would come from a text."""
    ends = np.cumsum([0, *(len(row) for row in rows)])
    return Ngrams(ends, np.concatenate([*rows, np.zeros(0, np.uint64)]).astype(np.uint64))


def pairs_at(jaccard: float, unions: list[int], rng: np.random.Generator) -> tuple[Ngrams, np.ndarray]:
    """Rows 2i and 2i + 1 are sets with ``unions[i]`` shingles together, and their true Jaccard, as near as it comes."""
    rows, true = [], []
    for union in unions:
        common = round(jaccard * union)
        grams = rng.integers(0, 1 << 64, union, dtype=np.uint64)
        middle = common + (union - common) // 2
        rows += [grams[:middle], np.concatenate([grams[:common], grams[middle:]])]
        true.append(common / union)
    return grams_of(rows), np.array(true)
