"""A small plot with two logarithmic axes, as SVG: for docs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 400
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 20, 46
COLOURS: Final = ("#1f6fb4", "#c8501e", "#2c8a4b", "#7d4fa0")


@dataclass(frozen=True)
class Line:
    """A name, and a value above 0 for each place on the x axis, or None."""

    name: str
    values: Sequence[float | None]


def _decades(values: Sequence[float]) -> tuple[int, int]:
    return math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)


def _number(power: int) -> str:
    return f"{10**power:,}" if 0 <= power <= 4 else f"1e{power}"


def drawn(x_name: str, at: Sequence[float], lines: Sequence[Line]) -> str:
    """The SVG; on grey, so that it can be read on a white page and on a black one."""
    (x0, x1), (y0, y1) = _decades(at), _decades([v for line in lines for v in line.values if v])
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (math.log10(value) - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#f6f6f4"/>',
    ]
    for power in range(x0, x1 + 1):
        here = x(10.0**power)
        out.append(f'<path d="M{here:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#d8d8d4"/>')
        out.append(f'<text x="{here:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{_number(power)}</text>')
    for power in range(y0, y1 + 1):
        here = y(10.0**power)
        out.append(f'<path d="M{LEFT} {here:.1f}H{WIDTH - RIGHT}" stroke="#d8d8d4"/>')
        out.append(f'<text x="{LEFT - 8}" y="{here + 4:.1f}" text-anchor="end">{_number(power)}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{x_name}</text>')
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        points = [(x(a), y(v)) for a, v in zip(at, line.values, strict=True) if v]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in points]
        out.append(f'<text x="{LEFT + 12}" y="{TOP + 18 + 17 * number}" fill="{colour}">{line.name}</text>')
    return "\n".join([*out, "</svg>", ""])
