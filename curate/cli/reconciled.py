"""The table from documents to tokens, as `curate run` and `curate inspect` print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from curate.cli.tables import table
from curate.report.plain import one_line
from curate.report.reconciliation import reconciliation

if TYPE_CHECKING:
    from rich.console import Console


def show(
    out: Console,
    step: str,
    report: Mapping[str, Any],
    settings: Mapping[str, Any],
    shards: Sequence[Mapping[str, Any]],
    most: int | None = None,
) -> None:
    """Print it for a writer of tokens, with at most so many components; nothing for any other step."""
    head, rows = reconciliation(report, settings, shards, most)
    if not rows:
        return
    made = table(*head, right=head[1:], title=f"from documents to tokens: {step}")
    for name, *cells in rows:
        made.add_row(Text(one_line(name, 24)), *cells)
    out.print()
    out.print(made)
