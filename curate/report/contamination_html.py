"""The report of a run's decontamination as a page: one file, without scripts, what documents and items say escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from curate.report.contamination import Contamination, folded
from curate.report.contamination_examples import Example
from curate.report.plain import escaped

_STYLE: Final = (
    "body{font:15px/1.4 sans-serif;margin:2em auto;max-width:80em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em 1em .2em 0;text-align:left;vertical-align:top}"
    "td.n,th.n{text-align:right}tr:nth-child(even){background:#f4f4f4}"
    ".two{display:grid;grid-template-columns:1fr 1fr;gap:1em}"
    "pre{background:#f4f4f4;padding:.6em;white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px}.dim{color:#777}"
)


def page(found: Sequence[Contamination], run: str) -> str:
    """The whole page."""
    body = "".join(_step(one) for one in found)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_safe(run)}: contamination</title><style>{_STYLE}</style><h1>{_safe(run)}: contamination</h1>{body}</html>\n"
    )


def _safe(text: object) -> str:
    return escape(escaped(str(text)))


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def cell(tag: str, value: object) -> str:
        number = isinstance(value, int | float) or tag == "th"
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.2f}" if isinstance(value, float) else _safe(value)
        return f"<{tag}{' class=n' * (number and tag == 'td')}>{shown}</{tag}>"

    made = "".join(f"<tr>{''.join(cell('td', value) for value in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(cell('th', column) for column in columns)}</tr>{made}</table>"


def _step(found: Contamination) -> str:
    gone = sum(found.reasons.values())
    levels = list(found.layers[0].documents) if found.layers else []
    parts = [
        f"<h2>{_safe(found.step)}: {gone:,} of {found.rows:,} documents dropped</h2>",
        f"<p class=dim>{_safe(found.note)}</p>" if found.note else "",
        _table(("reason", "documents"), found.reasons.items()),
        "<h3>Documents with a hit, by its strength</h3>",
        _table(
            ("layer", *levels, "counted", "alone", "items"),
            [(one.name, *one.documents.values(), one.counted, one.alone, one.items) for one in found.layers],
        ),
        "<h3>Items that some document holds</h3>",
        _table(("benchmark", "items", "hit"), [(kept.benchmark, kept.items, kept.hit) for kept in found.benchmarks]),
        _table(
            ("item", "documents", "strength", "layer", "part"),
            [(item.item, item.documents, item.strength, item.layer, item.part) for item in found.items],
        ),
        *map(_example, found.examples),
    ]
    for kept in found.benchmarks:
        title = (
            f"<h3>No hit of any layer: {len(kept.without):,} of {kept.items:,} items of {_safe(kept.benchmark)}</h3>"
        )
        parts.append(f"{title}<p>{_safe(folded(kept.without))}</p>")
    return "".join(parts)


def _example(example: Example) -> str:
    title = f"{example.item} ({example.layer}, {example.part}, {example.strength:.2f})"
    where = f"{example.document} {example.source} {example.origin}"
    note = f"<p class=dim>{_safe(example.note)}</p>" if example.note else ""
    sides = f"<div class=two><pre>{_safe(example.passage)}</pre><pre>{_safe(example.known)}</pre></div>"
    return f"<h3>{_safe(title)}</h3><p>{_safe(where)}</p>{note}{sides}"
