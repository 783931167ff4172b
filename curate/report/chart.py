"""Lines over an axis as a small SVG that needs nothing but a browser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

__all__ = ["Curve", "chart", "panels"]

_SMALL: Final = 'fill="#666" font-size="9"'
Curve = Sequence[tuple[float, float]]
"""Points (x, y), x ascending."""

_WIDTH: Final = 720
_LEFT: Final = 56
_TOP: Final = 40
_BOX: Final = (600, 300)
_NAME: Final = 24
"""Room for a mark's name; of those that lie closer the first has it."""
_LEGEND: Final = 150
"""Room for the name of a line; four stand in a row."""
COLOURS: Final = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#17a2a2", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22",
)  # fmt: skip


def chart(
    title: str,
    lines: Mapping[str, Curve],
    *,
    marks: Sequence[tuple[float, str]] = (),
    levels: Sequence[tuple[float, str]] = (),
    top: float = 1.0,
    log: bool = False,
    percent: bool = True,
) -> str:
    """Lines by name, y from 0 to ``top``, x from the least to the greatest value.

    ``marks`` are places on the x axis with a name, ``levels`` on the y axis. ``log``: x is on a logarithmic axis, and is
    above 0. ``percent``: y is a share.
    """
    every = [x for line in lines.values() for x, _ in line] or [1.0]
    scale = math.log10 if log else float
    low, high = scale(min(every)), scale(max(every))
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return _LEFT + _BOX[0] * (min(max(scale(value), low), high) - low) / span

    def y(value: float) -> float:
        return _TOP + _BOX[1] * (1 - min(max(value / top, 0.0), 1.0))

    bottom = _TOP + _BOX[1]
    height = bottom + 44 + 16 * math.ceil(max(len(lines), 1) / 4)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]
    for i in range(5):
        value = top * i / 4
        said = f"{value:.0%}" if percent else f"{value:.3g}"
        parts += [
            f'<path d="M{_LEFT} {y(value):.1f}h{_BOX[0]}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{said}</text>',
        ]
    for tick in _ticks(low, high, log=log):
        said = f"{tick:,.0f}" if log or abs(tick) >= 100 else f"{tick:.3g}"
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{said}</text>')
    named = -math.inf
    for value, said in sorted(marks):
        place = x(value)
        parts.append(f'<path d="M{place:.1f} {_TOP}v{_BOX[1]}" stroke="#999" stroke-dasharray="3 3"/>')
        if place - named >= _NAME:
            named = place
            parts.append(f'<text x="{place:.1f}" y="{_TOP - 4}" {_SMALL} text-anchor="middle">{escape(said)}</text>')
    for value, said in levels:
        parts += [
            f'<path d="M{_LEFT} {y(value):.1f}h{_BOX[0]}" stroke="#999" stroke-dasharray="3 3"/>',
            f'<text x="{_LEFT + _BOX[0] + 4}" y="{y(value) + 3:.1f}" {_SMALL}>{escape(said)}</text>',
        ]
    for i, (name, line) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
        at = f'x="{_LEFT + _LEGEND * (i % 4)}" y="{bottom + 42 + 16 * (i // 4)}"'
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<text {at} fill="{colour}">{escape(_short(name))}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def panels(title: str, charts: Sequence[str]) -> str:
    """Charts beside and below each other, two in a row, as one SVG."""
    # A chart is an SVG of its own; inside of another one it has a place and a size.
    heights = [int(each.partition(f'viewBox="0 0 {_WIDTH} ')[2].partition('"')[0]) for each in charts]
    tall = max(heights, default=0)
    whole = 30 + tall * math.ceil(len(charts) / 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {whole}" font-family="sans-serif" font-size="18">',
        f'<rect width="{2 * _WIDTH}" height="{whole}" fill="white"/>',
        f'<text x="{_LEFT}" y="22">{escape(title)}</text>',
    ]
    for i, (each, height) in enumerate(zip(charts, heights, strict=True)):
        place = f'x="{_WIDTH * (i % 2)}" y="{30 + tall * (i // 2)}" width="{_WIDTH}" height="{height}"'
        parts.append(each.replace("<svg ", f"<svg {place} ", 1))
    return "\n".join([*parts, "</svg>\n"])


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:19] + "..."


def _ticks(low: float, high: float, *, log: bool) -> list[float]:
    if not log:
        return [low + ((high - low) or 1.0) * i / 4 for i in range(5)]
    decades = [10.0**k for k in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
    return sorted({10**low, *(d for d in decades if high - math.log10(d) > 0.15 < math.log10(d) - low), 10**high})
