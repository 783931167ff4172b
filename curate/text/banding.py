"""How many bands of how many rows a signature is cut into, so that similar pairs become candidates and others don't."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["banding", "collision"]

_CELLS: Final = 64
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def collision(similarity: float, bands: int, rows: int) -> float:
    """Probability that two documents of that Jaccard similarity share a band: ``1 - (1 - similarity^rows)^bands``."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def _integrals(start: float, stop: float, bands: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.float64]:
    """Of ``collision`` over similarities, for each of ``bands``: Gauss and Legendre's rule in 64 cells, good to 1e-12."""
    edges = np.linspace(start, stop, _CELLS + 1)
    half = (edges[1:] - edges[:-1])[:, None] / 2
    none = 1.0 - (edges[:-1, None] + half * (1 + _NODES)) ** rows
    return np.array([(half * _WEIGHTS * (1.0 - none**b)).sum() for b in bands.tolist()])


@lru_cache(maxsize=256)
def banding(similarity: float, bins: int = 112, missed: float = 0.5) -> tuple[int, int]:
    """(bands, rows), at most ``bins`` in all, that tell best what is at least ``similarity`` from what is not.

    Best is the least ``(1 - missed) * A + missed * B``. A is the integral of the probability to be a candidate
    from 0 to ``similarity`` (pairs that are looked at in vain), B that of the probability to be none from ``similarity`` to
    1 (pairs that are missed): the rule of datasketch's ``MinHashLSH`` (``_optimal_param``; Zhu et al., "LSH Ensemble",
    VLDB 2016), which data-juicer, text-dedup and RedPajama follow. Of choices within 1e-9 of each other the one with
    the fewest bins is taken, then the fewest bands.

    Args:
        similarity: Jaccard similarity from which pairs are wanted, above 0, at most 1.
        bins: minima of a signature, 1 or more.
        missed: weight of a pair missed against a pair looked at in vain, 0 to 1. Candidates that are verified
            cost time only: more than one half asks for recall.

    Raises ValueError for values out of these ranges.
    """
    if not 0 < similarity <= 1 or bins < 1 or not 0 <= missed <= 1:
        raise ValueError(f"no bands for a similarity of {similarity}, {bins} bins and a weight of {missed}")
    best: tuple[float, int, int, int] | None = None
    for rows in range(1, bins + 1):
        bands = np.arange(1, bins // rows + 1)
        vain = _integrals(0.0, similarity, bands, rows)
        miss = 1.0 - similarity - _integrals(similarity, 1.0, bands, rows)
        costs = np.round((1.0 - missed) * vain + missed * miss, 9)
        at = int(costs.argmin())  # the first of equal ones has the fewest bands
        one = (float(costs[at]), (at + 1) * rows, at + 1, rows)
        if best is None or one < best:
            best = one
    assert best is not None
    return best[2], best[3]
