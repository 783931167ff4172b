"""What a threshold keeps, as curves over all thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from curate.quality.calibrate import Ranking
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


def svg(title: str, found: dict[str, Curve], candidates: Sequence[Candidate]) -> str:
    """The curves between the least and the greatest threshold, with a line at each candidate."""
    marks = [(each.at_least, each.asked) for each in candidates]
    return chart(f"{title}: what a threshold keeps", found, marks=marks)
