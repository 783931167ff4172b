# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Which answers to one query make pairs: the better one and its opponent, by a rule that says which comes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["MOST_ANSWERS", "Opponents", "Pairing", "Rule", "gap_of", "opponents"]

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

Rule = Literal["widest", "adjacent", "tiers"]
_RULES: Final = {"widest": 0, "adjacent": 1, "tiers": 2}
MOST_ANSWERS: Final = 64
"""Answers to one query that are looked at: the best half and the worst half of so many."""
_PARTS: Final = 1e9
"""Of one, that gaps are rounded to: .4 - .3 and .3 - .2 are the same gap, and as wide as a bound of .1. Scores say less."""


@dataclass(frozen=True)
class Pairing:
    """What makes a pair, and which come first.

    Attributes:
        rule: ``widest`` gap first; ``adjacent``: the best answer with the next one that is low enough below it, then the
            second best; ``tiers``: one of each tier in turn, of the best answer that is left, with the widest gap there; there an
            answer may be rejected several times.
        most: pairs of a query.
        min_gap: least gap; rounded as gaps are, see ``gap_of``.
        max_ratio: how many times as long one side may be; infinite: any.
        same: whether two answers of one model may be a pair.
        bounds: float64[r], of each rule of a tier the least gap, rounded alike.
        tiers: int64[r], the tier that each rule is of.
        better, worse: bool[r, m], which models each rule lets be chosen and rejected.
    """

    rule: Rule
    most: int
    min_gap: float
    max_ratio: float
    same: bool
    bounds: F64
    tiers: I64
    better: npt.NDArray[np.bool_]
    worse: npt.NDArray[np.bool_]


class Opponents(NamedTuple):
    """What became of n answers.

    Attributes:
        of: int64[n], the row of its opponent where an answer is chosen, else -1.
        tier: int64[n], of that pair, else -1.
        by: int64[n], the row of the answer that was chosen over it, the first one, else -1.
        could: uint8[n], 2: some pair of it is one, or nobody looked (see MOST_ANSWERS); 1: but for its length some would be; 0: none.
    """

    of: I64
    tier: I64
    by: I64
    could: npt.NDArray[np.uint8]


@njit(nogil=True, cache=True)
def gap_of(high, low):
    """How far one score is above another, to nine digits behind the point; of numbers, or of arrays of them."""
    return np.rint((high - low) * _PARTS) / _PARTS


@njit(nogil=True, cache=True)
def _tier(gap, better, worse, bounds, tiers, strong, weak):
    for r in range(len(bounds)):
        if gap >= bounds[r] and strong[r, better] and weak[r, worse]:
            return tiers[r]
    return -1


@njit(nogil=True, cache=True)
def _opponents(
    starts, value, strength, model, nobody, chars, rule, most, min_gap, max_ratio, same, bounds, tiers, strong, weak
):
    n = len(value)
    of, tier_of = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    by, could = np.full(n, -1, np.int64), np.zeros(n, np.uint8)
    room = MOST_ANSWERS
    rows = np.empty(room, np.int64)
    tier = np.empty((room, room), np.int64)
    count = 0
    for t in tiers:
        count = max(count, t + 1)
    for g in range(len(starts) - 1):
        begin, stop = starts[g], starts[g + 1]
        size = min(stop - begin, room)
        for i in range(size):
            low = stop - begin > room and i >= room // 2
            rows[i] = stop - size + i if low else begin + i
        if stop - begin > room:
            could[begin + room // 2 : stop - room // 2] = 2
        for i in range(size):
            a = rows[i]
            for j in range(i + 1, size):
                b = rows[j]
                tier[i, j] = -1
                gap = gap_of(value[a], value[b])
                if gap <= 0 or gap < min_gap or (strength[a] >= 0 and strength[a] >= strength[b]):
                    continue
                if model[a] == model[b] and not same and model[a] != nobody:
                    continue
                found = _tier(gap, model[a], model[b], bounds, tiers, strong, weak)
                if found < 0:
                    continue
                short, long = min(chars[a], chars[b]), max(chars[a], chars[b])
                fits = long <= short * max_ratio
                if fits:
                    tier[i, j] = found
                said = 2 if fits else 1
                could[a], could[b] = max(could[a], said), max(could[b], said)
        wanted, missed, turn = most, 0, 0
        while wanted > 0 and missed < max(count, 1):
            best_i, best_j, best_gap = -1, -1, 0.0
            for i in range(size):
                if of[rows[i]] >= 0:
                    continue
                # But by the widest gap of all, the best answer that has an opponent comes first.
                if rule != 0 and best_i >= 0:
                    break
                for j in range(i + 1, size):
                    if tier[i, j] < 0 or (by[rows[j]] >= 0 if rule != 2 else tier[i, j] != turn):
                        continue
                    gap = gap_of(value[rows[i]], value[rows[j]])
                    if best_i < 0 or (rule == 1 and gap < best_gap) or (rule != 1 and gap > best_gap):
                        best_i, best_j, best_gap = i, j, gap
            if best_i < 0:
                if rule != 2:
                    break
                missed += 1
            else:
                missed = 0
                wanted -= 1
                of[rows[best_i]] = rows[best_j]
                if by[rows[best_j]] < 0:
                    by[rows[best_j]] = rows[best_i]
                tier_of[rows[best_i]] = tier[best_i, best_j]
            turn = (turn + 1) % max(count, 1)
    return of, tier_of, by, could


def opponents(starts: I64, value: F64, strength: I64, model: I64, nobody: int, chars: I64, how: Pairing) -> Opponents:
    """Pairs among the answers of each query; an answer is chosen in one pair at most, and but by ``tiers`` rejected in one.

    Args:
        starts: int64[q + 1]; query ``k`` has the rows ``starts[k]:starts[k + 1]``, best first.
        value: float64[n], ``gap_of`` two is their gap; falls within a query.
        strength: int64[n], place of the model among those that are ordered by strength, 0 for the strongest; -1: none are.
            A pair leads from a stronger to a weaker one.
        model: int64[n], whose answer it is, as a column of ``better`` and ``worse``.
        nobody: the column that stands for answers of which nobody says whose they are.
        chars: int64[n], length of the answer.
        how: what makes a pair.
    """
    found = _opponents(
        starts,
        value,
        strength,
        model,
        nobody,
        chars,
        _RULES[how.rule],
        how.most,
        gap_of(how.min_gap, 0.0),
        how.max_ratio,
        how.same,
        gap_of(how.bounds, 0.0),
        how.tiers,
        how.better,
        how.worse,
    )
    return Opponents(*found)
