"""The report of a run's decontamination as a page: one file, without scripts, what documents and items say escaped."""

from __future__ import annotations

from collections.abc import Sequence

from curate.report.contamination import Contamination, folded
from curate.report.contamination_examples import Example
from curate.report.page import html_page, html_table, safe


def page(found: Sequence[Contamination], run: str) -> str:
    """The whole page."""
    return html_page(f"{run}: contamination", "".join(_step(one) for one in found))


def _step(found: Contamination) -> str:
    gone = sum(found.reasons.values())
    levels = list(found.layers[0].documents) if found.layers else []
    parts = [
        f"<h2>{safe(found.step)}: {gone:,} of {found.rows:,} documents dropped</h2>",
        f"<p class=dim>{safe(found.note)}</p>" if found.note else "",
        html_table(("reason", "documents"), found.reasons.items()),
        "<h3>Documents with a hit, by its strength</h3>",
        html_table(
            ("layer", *levels, "counted", "alone", "items"),
            [(one.name, *one.documents.values(), one.counted, one.alone, one.items) for one in found.layers],
        ),
        "<h3>Items that some document holds</h3>",
        html_table(
            ("benchmark", "items", "hit"), [(kept.benchmark, kept.items, kept.hit) for kept in found.benchmarks]
        ),
        html_table(
            ("item", "documents", "strength", "layer", "part"),
            [(item.item, item.documents, item.strength, item.layer, item.part) for item in found.items],
        ),
        *map(_example, found.examples),
    ]
    for kept in found.benchmarks:
        title = f"<h3>No hit of any layer: {len(kept.without):,} of {kept.items:,} items of {safe(kept.benchmark)}</h3>"
        parts.append(f"{title}<p>{safe(folded(kept.without))}</p>")
    return "".join(parts)


def _example(example: Example) -> str:
    title = f"{example.item} ({example.layer}, {example.part}, {example.strength:.2f})"
    where = f"{example.document} {example.source} {example.origin}"
    note = f"<p class=dim>{safe(example.note)}</p>" if example.note else ""
    sides = f"<div class=two><pre>{safe(example.passage)}</pre><pre>{safe(example.known)}</pre></div>"
    return f"<h3>{safe(title)}</h3><p>{safe(where)}</p>{note}{sides}"
