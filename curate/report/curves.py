"""What a threshold keeps, as curves over all thresholds: a small SVG that needs nothing but a browser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np

from curate.quality.calibrate import Ranking
from curate.report.calibration import Candidate
from curate.report.scored_rows import ScoredRows

POINTS: Final = 200
_WIDTH: Final = 720
_HEIGHT: Final = 400
_LEFT: Final = 56
_TOP: Final = 40
_BOX: Final = (600, 300)
_NAME: Final = 24
"""Room for a candidate's name; of those that lie closer the first has it."""
_COLOURS: Final = {"documents kept": "#1f77b4", "text kept": "#17a2a2", "precision": "#2ca02c", "recall": "#d62728"}

Curve = list[tuple[float, float]]


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
    every = [t for curve in found.values() for t, _ in curve] or [0.0]
    low, high = min(every), max(every)
    span = (high - low) or 1.0

    def x(threshold: float) -> float:
        return _LEFT + _BOX[0] * (min(max(threshold, low), high) - low) / span

    def y(share: float) -> float:
        return _TOP + _BOX[1] * (1 - share)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}: what a threshold keeps</text>',
    ]
    for i in range(5):
        share, threshold = i / 4, low + span * i / 4
        parts += [
            f'<path d="M{_LEFT} {y(share):.1f}h{_BOX[0]}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>',
            f'<text x="{x(threshold):.1f}" y="{_TOP + _BOX[1] + 18}" text-anchor="middle">{threshold:.3g}</text>',
        ]
    named = -math.inf
    for each in sorted(candidates, key=lambda c: c.at_least):
        place = x(each.at_least)
        parts.append(f'<path d="M{place:.1f} {_TOP}v{_BOX[1]}" stroke="#999" stroke-dasharray="3 3"/>')
        if place - named >= _NAME:
            named = place
            said = escape(each.asked)
            parts.append(
                f'<text x="{place:.1f}" y="{_TOP - 4}" fill="#666" font-size="9" text-anchor="middle">{said}</text>'
            )
    for i, (name, curve) in enumerate(found.items()):
        points = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in curve)
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{_COLOURS[name]}" stroke-width="2"/>',
            f'<text x="{_LEFT + 150 * i}" y="{_HEIGHT - 16}" fill="{_COLOURS[name]}">{name}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])
