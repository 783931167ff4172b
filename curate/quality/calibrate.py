"""Choosing a threshold from data: where a cut keeps what, and how sure that is. NumPy only, no files.

Scores are float64; NaN is no score. Labels are 1 (good), 0 (bad), -1 (none).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

Z: Final = 1.959963984540054
"""Standard deviations on either side of 95 % of a normal distribution."""


@dataclass(frozen=True)
class Rate:
    """A share seen in a sample: ``hits`` of ``rows``, and Wilson's 95 % interval; None without rows."""

    hits: int
    rows: int
    value: float | None
    low: float | None
    high: float | None


def wilson(hits: int, rows: int) -> Rate:
    """The interval of shares for which ``hits`` of ``rows`` is no surprise (Wilson, JASA 1927).

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n); unlike p +- z sqrt(p(1-p)/n) it is sane at 0, 1 and few rows.
    """
    if not rows:
        return Rate(hits, rows, None, None, None)
    share, square = hits / rows, Z * Z / rows
    middle = share + square / 2
    half = math.sqrt(square * share * (1 - share) + square * square / 4)
    # None and all are the ends themselves, which rounding would miss.
    low = (middle - half) / (1 + square) if hits else 0.0
    high = (middle + half) / (1 + square) if hits < rows else 1.0
    return Rate(hits, rows, share, low, high)


class Ranking:
    """All rows with a score, from high to low, equal scores by ``tie`` (uint64): ``order`` int64, row numbers."""

    def __init__(self, scores: F64, tie: npt.NDArray[np.uint64]) -> None:
        order = np.lexsort((tie, -scores))
        self.order: I64 = order[: int((~np.isnan(scores)).sum())]
        self.scores: F64 = scores[self.order]

    def __len__(self) -> int:
        return len(self.order)

    def at_least(self, threshold: float) -> int:
        """How many rows a threshold keeps; they are the first ones of ``order``."""
        return int(np.searchsorted(-self.scores, -threshold, side="right"))

    def top(self, share: float) -> int:
        """How many rows the highest ``ceil(share * rows)`` are, as ``select.where`` counts them."""
        return math.ceil(Fraction(repr(share)) * len(self))

    def budget(self, weights: I64, most: int) -> int:
        """How many rows stay until the next would make their weights (by row number) more than ``most``."""
        return int(np.searchsorted(np.cumsum(weights[self.order]), most, side="right"))

    def threshold(self, kept: int) -> float:
        """A threshold that keeps the first ``kept`` rows and, with the last of them, all that have its score.

        Of those that do it is the shortest number: people copy it into recipes. Of no rows it is one that keeps none.
        """
        if not len(self):
            return 0.0
        if kept <= 0:
            return math.nextafter(float(self.scores[0]), math.inf)
        lowest = float(self.scores[min(kept, len(self)) - 1])
        after = self.at_least(lowest)
        return short_between(float(self.scores[after]) if after < len(self) else -math.inf, lowest)


def short_between(low: float, high: float) -> float:
    """The number with the fewest decimals in (low, high], at least two where ``high`` has as many."""
    if not math.isfinite(high) or high == 0:
        return high
    for digits in range(2, 18):
        scale = 10.0**digits
        if abs(high) * scale >= 2.0**53:
            break
        found = round(math.floor(high * scale) / scale, digits)
        if low < found <= high:
            return found
    return high


def precision_recall(labels: npt.NDArray[np.int8], keeps: npt.NDArray[np.bool_]) -> tuple[Rate, Rate]:
    """Of the labelled rows that are kept, which share is good; of the good ones, which share is kept."""
    good, bad = labels == 1, labels == 0
    hits = int((good & keeps).sum())
    return wilson(hits, hits + int((bad & keeps).sum())), wilson(hits, int(good.sum()))
