"""What a threshold keeps, as curves over all thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from curate.quality.calibrate import Ranking
from curate.quality.routing import Router
from curate.report.calibration import Candidate
from curate.report.chart import Curve, chart
from curate.report.scored_rows import ScoredRows

POINTS: Final = 200


def curves(rows: ScoredRows) -> dict[str, Curve]:
    """By name (threshold, share) pairs, thresholds ascending, at most POINTS: documents and text that are kept, and with
    labels precision and recall (left out where no labelled row is kept)."""
    ranking = Ranking(rows.score, rows.tie)
    if not len(ranking):
        return {}
    ends = np.unique(np.linspace(1, len(ranking), POINTS).astype(np.int64))
    # With a threshold all rows of its score stay.
    counts = np.unique([ranking.at_least(float(s)) for s in ranking.scores[ends - 1]])
    at = ranking.scores[counts - 1]
    size = np.cumsum(rows.size[ranking.order])
    found = {"documents kept": counts / len(ranking), "text kept": size[counts - 1] / max(int(size[-1]), 1)}
    if rows.label is not None:
        good, bad = (np.cumsum(rows.label[ranking.order] == mark) for mark in (1, 0))
        hits, seen = good[counts - 1], (good + bad)[counts - 1]
        found["precision"] = np.where(seen > 0, hits / np.maximum(seen, 1), np.nan)
        found["recall"] = hits / max(int(good[-1]), 1)
    pairs = {n: zip(at[::-1].tolist(), v[::-1].tolist(), strict=True) for n, v in found.items()}
    return {n: [(t, v) for t, v in each if np.isfinite(t) and np.isfinite(v)] for n, each in pairs.items()}


def routing_curves(rows: ScoredRows) -> dict[str, Curve]:
    """By router (share of calls of the large model, share recovered of its lead): the score, length, lots, and who knows both
    answers; empty where the large model is not better."""
    if rows.answers is None:
        return {}
    mine = rows.answers.known & np.isfinite(rows.score)
    answers = rows.answers.only(mine)
    numbers = {
        "router": rows.score[mine],
        "length of the query": rows.size[mine].astype(np.float64),
        "oracle": answers.gap,
    }
    found: dict[str, Curve] = {name: _thinned(Router(each).points(answers)) for name, each in numbers.items()}
    return {**found, "lots drawn": [(0.0, 0.0), (1.0, 1.0)]} if found["router"] else {}


def _thinned(points: Sequence[tuple[float, float]]) -> Curve:
    """At most POINTS of them, both ends among them."""
    return (
        [points[i] for i in np.unique(np.linspace(0, len(points) - 1, POINTS).astype(np.int64)).tolist()]
        if points
        else []
    )


def routing_svg(title: str, found: dict[str, Curve], candidates: Sequence[Candidate]) -> str:
    """The curves, with a line at each candidate's share."""
    marks = [(each.routed["share"], each.asked) for each in candidates if each.routed]
    top = max([1.0, *(y for line in found.values() for _, y in line)])
    return chart(f"{title}: share of calls of the large model, and recovered of its lead", found, marks=marks, top=top)


def svg(title: str, found: dict[str, Curve], candidates: Sequence[Candidate]) -> str:
    """The curves between the least and the greatest threshold, with a line at each candidate."""
    marks = [(each.at_least, each.asked) for each in candidates]
    return chart(f"{title}: what a threshold keeps", found, marks=marks)
