"""What a step that drops whole clusters says of them: how many, how pure, and the largest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

GIANT: Final = 100
"""Documents from which a cluster is named, if it is among the largest."""
IMPURE: Final = 0.5
"""Share of its pairs that are alike below which a cluster is named, however large it is."""
_MOST: Final = 5


def cluster_lines(report: Mapping[str, Any]) -> list[str]:
    """Lines about the clusters in a step's report (stages/clusters.py); none where it has no such thing."""
    if "unlike_kept" not in report:
        return []
    alike = "" if report["purity"] is None else f"; of the pairs looked at {report['purity']:.1%} are alike"
    count = f"{report['clusters']:,} clusters of {report['documents']:,} documents"
    lines = [f"{count}{alike}; {report['unlike_kept']:,} went that are not like the one kept in their place"]
    named = [g for g in report["largest"] if g["documents"] >= GIANT or (g["purity"] or 1) < IMPURE]
    for giant in named[:_MOST]:
        pure = "not sampled" if giant["purity"] is None else f"{giant['purity']:.0%} of pairs alike"
        lines.append(f"a cluster of {giant['documents']:,} documents, {pure}; kept: {giant['kept'][:12]}")
    return lines
