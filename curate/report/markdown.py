"""Lines and tables of Markdown in which text of others is only text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from curate.report.plain import one_line

__all__ = ["line", "table"]


def line(value: object, most: int = 400) -> str:
    """Text of others as one line of Markdown that is only text: no HTML, no link, no cell's end."""
    shown = one_line(value, most)
    for mark in "\\`*[]|":
        shown = shown.replace(mark, f"\\{mark}")
    return shown.replace("<", "&lt;").replace(">", "&gt;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> str:
    """A table; ``right`` columns are numbers. Cells are Markdown."""
    rule = ["---:" if h in right else "---" for h in head]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])
