"""What a written dataset is mixed of, in a few words: shares, epochs, what models wrote, what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["mixture_lines"]

_MOST: Final = 6


def mixture_lines(report: Mapping[str, Any]) -> list[str]:
    """At most two lines about a writer's report (stages/takes.py: ``stated``); none where it has no mixture.

    First the components by their share of the tokens, with their epochs where they are not one, and the share that a model
    wrote; then what no component names. What became of the tokens is a table of its own.
    """
    mixture = report.get("mixture")
    if mixture is None or not mixture["tokens"]:
        return []
    named = sorted(mixture["components"].items(), key=lambda item: (-item[1]["share"], item[0]))
    parts = [f"{name} {share(one['share'])}{_epochs(one['epochs'])}" for name, one in named[:_MOST]]
    if named[_MOST:]:
        parts.append(f"{len(named) - _MOST:,} others {share(sum(one['share'] for _, one in named[_MOST:]))}")
    lines = [f"tokens of {', '.join(parts)}; a model wrote {share(mixture['synthetic'])}"]
    if out := mixture.get("left_out"):
        lines.append(
            f"left out, as no component names them: {out['documents']:,} documents of {out['tokens']:,} tokens"
        )
    return lines


def share(value: float) -> str:
    """A share in per cent, with as many digits as it takes to see that there is something: ``75%``, ``0.03%``."""
    if value in (0, 1) or 0.095 <= value < 0.995:
        return f"{value:.0%}"
    return f"{value:.1%}" if 0.0095 <= value < 0.9995 else "<0.01%" if value < 0.0001 else f"{value:.2%}"


def _epochs(value: float) -> str:
    return "" if value == 1 else f" ({value:.3g} epochs)"
