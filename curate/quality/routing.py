"""What a router is worth: quality against the share of queries that go to the large model. NumPy only, no files.

Of each query both models' answers have a score, and a router a number, higher where the large model is wanted. With a
threshold the queries from it up go to the large model, the others to the small one. Measures are RouteLLM's (arXiv 2406.18665):

- PGR (performance gap recovered): (quality - small's) / (large's - small's), quality the mean score of the answers taken.
- APGR: the mean of PGR over all shares from 0 to 1; a router that draws lots has 0.5.
- CPT(x): the least share of calls of the large model with which PGR reaches x.

Queries with one number are a lot drawn among them: between thresholds curves are straight. Intervals are of 95 %, by
bootstrap: queries drawn with replacement, a router's numbers as they are, so they say nothing of another training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

UNITS: Final = ("tokens", "dollars")
COLUMNS: Final = ("small_score", "large_score", *(f"{side}_{unit}" for unit in UNITS for side in ("small", "large")))
"""Columns that ``route.answers`` adds to a query, which ``Answers`` are made of."""
LEVELS: Final = (0.5, 0.8, 0.95)
"""Of PGR, for CPT: RouteLLM has the first two, Hybrid LLM's promise is about the last."""
DRAWS: Final = 1_000
_CELLS: Final = 20_000_000
"""Queries times draws, at most: of many queries fewer draws are taken, down to _FEWEST."""
_FEWEST: Final = 100
_HELD: Final = 2_000_000
"""Cells that are held at once."""
_ENDS: Final = (2.5, 97.5)


@dataclass(frozen=True)
class Answers:
    """What both models' answers to n queries are worth, float64[n] each.

    Attributes:
        small, large: scores.
        costs: by unit (tokens, dollars) what an answer of the small and of the large model costs; NaN: nobody said.
    """

    small: F64
    large: F64
    costs: Mapping[str, tuple[F64, F64]] = field(default_factory=dict)

    @classmethod
    def of(cls, columns: Mapping[str, F64]) -> Self:
        """From COLUMNS."""
        costs = {unit: (columns[f"small_{unit}"], columns[f"large_{unit}"]) for unit in UNITS}
        return cls(columns["small_score"], columns["large_score"], costs)

    def __len__(self) -> int:
        return len(self.small)

    def only(self, some: Mask) -> Answers:
        """Of some queries."""
        costs = {unit: (small[some], large[some]) for unit, (small, large) in self.costs.items()}
        return Answers(self.small[some], self.large[some], costs)

    @property
    def known(self) -> Mask:
        """bool[n]: both have a score."""
        return ~(np.isnan(self.small) | np.isnan(self.large))

    @property
    def gap(self) -> F64:
        """How much better the large model's answer is."""
        return self.large - self.small

    def cost(self, unit: str, strong: Mask) -> float | None:
        """Mean cost of a query when some of them go to the large model; None where a cost is unknown."""
        small, large = self.costs[unit]
        paid = np.where(strong, large, small)
        return float(paid.mean()) if len(paid) and not np.isnan(paid).any() else None


class Router:
    """Queries by a router's numbers: those with the highest go to the large model first.

    Attributes:
        order: int64[n], queries from high to low.
        ends: int64[m], how many of them the thresholds take: 0, then the last query of each number.
    """

    def __init__(self, numbers: F64) -> None:
        self.order = np.argsort(-numbers, kind="stable")
        ranked = numbers[self.order]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, np.int64)
        self.ends = np.concatenate(([0], last + 1))

    def sums(self, weights: F64, values: F64) -> tuple[F64, F64]:
        """float64[draws, m]: shares of the queries, and sums of values over them by all queries, at ``ends``.

        ``weights`` float64[draws, n]: how often each query counts.
        """
        ranked = weights[:, self.order]
        whole = ranked.sum(axis=1, keepdims=True)
        found = []
        for each in (ranked, ranked * values[self.order]):
            sums = np.zeros((len(each), each.shape[1] + 1))
            np.cumsum(each, axis=1, out=sums[:, 1:])
            found.append(sums[:, self.ends] / whole)
        return found[0], found[1]

    def points(self, answers: Answers) -> list[tuple[float, float]]:
        """(share, PGR) at ``ends``; empty where the large model is not better."""
        share, gain = (each[0] for each in self.sums(np.ones((1, len(answers))), answers.gap))
        if not gain[-1] > 0:
            return []
        return list(zip(share.tolist(), (gain / gain[-1]).tolist(), strict=True))


def apgr(share: F64, gain: F64) -> F64:
    """float64[draws]: APGR of curves, by trapezoids, which is exact; NaN where the large model is not better."""
    area = (np.diff(share, axis=1) * (gain[:, 1:] + gain[:, :-1]) / 2).sum(axis=1)
    return np.divide(area, gain[:, -1], out=np.full(len(area), np.nan), where=gain[:, -1] > 0)


def cpt(share: F64, gain: F64, level: float) -> F64:
    """float64[draws]: CPT(level) of curves; NaN where the large model is not better."""
    goal = level * gain[:, -1:]
    place = np.maximum(np.argmax(gain >= goal - 1e-12 * np.abs(goal), axis=1), 1)
    row = np.arange(len(gain))
    low, high = gain[row, place - 1], gain[row, place]
    part = np.clip((goal[:, 0] - low) / np.where(high > low, high - low, 1), 0, 1)
    found = share[row, place - 1] + part * (share[row, place] - share[row, place - 1])
    return np.where(gain[:, -1] > 0, found, np.nan)


def measure(numbers: Mapping[str, F64], answers: Answers, strong: Mapping[str, Mask], key: int) -> dict[str, Any]:
    """Everything above as plain values: routers by name, with the large model's own gain as the oracle's.

    Args:
        numbers: routers by name, float64[n] each, no NaN. The first one is held against the others.
        answers: to the same queries, all with both scores.
        strong: by what it is called, bool[n]: queries that go to the large model; what that gives and costs.
        key: of the bootstrap's draws.
    """
    gap, rows = answers.gap, len(answers)
    better = float(gap.sum()) > 0
    routers = {name: Router(each) for name, each in {**numbers, "oracle": gap}.items()}
    draws = _draws(rows, key) if rows else np.zeros((0, 0))
    found: dict[str, Any] = {
        "rows": rows,
        "small": float(answers.small.mean()) if rows else None,
        "large": float(answers.large.mean()) if rows else None,
        "needed": float((gap > 0).mean()) if rows else None,
        "costs": {unit: [answers.cost(unit, np.full(rows, side)) for side in (False, True)] for unit in answers.costs},
        "routers": {},
        "at": {},
    }
    areas: dict[str, F64] = {}
    for name, router in routers.items():
        value, drawn = _measures(router, gap, draws)
        areas[name] = drawn["apgr"]
        found["routers"][name] = {each: _interval(value[each], drawn[each]) if better else None for each in value}
    first = next(iter(numbers))
    for name in numbers:
        lead = areas[first] - (areas[name] if name != first else 0.5)
        # Of a router the lead over chance, of the others the first one's lead over them.
        found["routers"][name]["lead"] = _interval(float("nan"), lead)[1:] if better else None
    for name, mask in strong.items():
        found["at"][name] = _at(answers, mask, draws, better=better)
    return found


def _measures(router: Router, gap: F64, draws: npt.NDArray[Any]) -> tuple[dict[str, float], dict[str, F64]]:
    """APGR and CPTs by name: of all queries, and of each draw."""
    values: list[dict[str, F64]] = []
    for weights in (np.ones((1, len(gap))), *_pieces(draws)):
        share, gain = router.sums(weights.astype(np.float64), gap)
        values.append(
            {"apgr": apgr(share, gain), **{f"cpt{level * 100:.0f}": cpt(share, gain, level) for level in LEVELS}}
        )
    drawn = {name: np.concatenate([each[name] for each in values[1:]]) for name in values[0]}
    return {name: float(each[0]) for name, each in values[0].items()}, drawn


def _at(answers: Answers, mask: Mask, draws: npt.NDArray[Any], *, better: bool) -> dict[str, Any]:
    """What a choice of queries for the large model gives and costs."""
    gap = answers.gap
    taken = (
        np.concatenate([w @ np.stack([gap * mask, gap], axis=1) for w in _pieces(draws)])
        if len(draws)
        else np.zeros((0, 2))
    )
    drawn = np.divide(taken[:, 0], taken[:, 1], out=np.full(len(taken), np.nan), where=taken[:, 1] > 0)
    pgr = float((gap * mask).sum() / gap.sum()) if better else float("nan")
    return {
        "share": float(mask.mean()) if len(mask) else None,
        "quality": float(np.where(mask, answers.large, answers.small).mean()) if len(mask) else None,
        "pgr": _interval(pgr, drawn) if better else None,
        "costs": {unit: answers.cost(unit, mask) for unit in answers.costs},
    }


def _draws(rows: int, key: int) -> npt.NDArray[Any]:
    """uint16[draws, n]: how often each query is in a draw of n queries."""
    rng = np.random.default_rng(key)
    count = max(_FEWEST, min(DRAWS, _CELLS // rows))
    found = np.empty((count, rows), np.uint16)
    for draw in found:
        draw[:] = np.bincount(rng.integers(0, rows, rows), minlength=rows)
    return found


def _pieces(draws: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Draws, so many at once that their sums may be held."""
    step = max(1, _HELD // max(draws.shape[1], 1))
    return [draws[i : i + step] for i in range(0, len(draws), step)]


def _interval(value: float, drawn: F64) -> list[float | None]:
    """[value, low, high]; None for what is not defined."""
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, _ENDS).tolist() if len(known) else (None, None)
    return [None if np.isnan(value) else value, low, high]
