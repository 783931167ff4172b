"""Pages of reports: one file, without scripts; what documents say is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from curate.report.plain import escaped

__all__ = ["html_page", "html_table", "safe"]

_STYLE: Final = (
    "body{font:15px/1.4 sans-serif;margin:2em auto;max-width:80em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em 1em .2em 0;text-align:left;vertical-align:top}"
    "td.n,th.n{text-align:right}tr:nth-child(even){background:#f4f4f4}"
    ".two{display:grid;grid-template-columns:1fr 1fr;gap:1em}svg{max-width:46em}"
    "pre{background:#f4f4f4;padding:.6em;white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px}.dim{color:#777}"
)


def html_page(title: str, body: str) -> str:
    """The whole page; ``body`` is HTML."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{safe(title)}</title><style>{_STYLE}</style><h1>{safe(title)}</h1>{body}</html>\n"
    )


def safe(text: object) -> str:
    """Text as HTML that is only text."""
    return escape(escaped(str(text)))


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; whole numbers with thousands marked, others with two decimals, all to the right."""

    def cell(tag: str, value: object) -> str:
        number = isinstance(value, int | float) or tag == "th"
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.2f}" if isinstance(value, float) else safe(value)
        return f"<{tag}{' class=n' * (number and tag == 'td')}>{shown}</{tag}>"

    made = "".join(f"<tr>{''.join(cell('td', value) for value in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(cell('th', column) for column in columns)}</tr>{made}</table>"
