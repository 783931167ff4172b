"""`curate inspect --step`: what a step kept of each source and class of length, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from curate.cli.tables import share, table
from curate.report.kept import EMPTIED_LOSS, EMPTIED_SHARE, Kept, kept_by, label
from curate.report.plain import one_line

if TYPE_CHECKING:
    from rich.console import Console

_MOST: Final = 24
"""Values that are shown; the others are summed up."""
_BAR: Final = 36
_NAME: Final = 24


def show(out: Console, counts: Mapping[str, Any]) -> None:
    """Print a table for each column that was counted by."""
    for column, found in kept_by(counts).items():
        if found is None:
            out.print(f"\nby {column}: too many different values to count", style="dim")
        elif found:
            _table(out, column, found)


def _table(out: Console, column: str, found: Sequence[Kept]) -> None:
    shown, rest = found[:_MOST], found[_MOST:]
    made = table(f"by {column}", "before", "after", "kept", "", right=("before", "after", "kept"))
    room = max(8, min(_BAR, out.width - _NAME - 33))
    top = max(k.rows_in for k in shown)
    for each in shown:
        style = "red" if each.emptied else ""
        kept = share(each.rows_out, each.rows_in) if each.rows_out else "none"
        made.add_row(
            Text(one_line(label(column, each.value), _NAME), style=style),
            f"{each.rows_in:,}",
            f"{each.rows_out:,}",
            Text(kept, style=style),
            _bar(each, top, room),
        )
    if rest:
        before, after = sum(k.rows_in for k in rest), sum(k.rows_out for k in rest)
        made.add_row(
            Text(f"{len(rest):,} others", style="dim"), f"{before:,}", f"{after:,}", share(after, before) or "none", ""
        )
    out.print()
    out.print(made)
    if any(k.emptied for k in found):
        rule = f"red: at least {EMPTIED_SHARE:.0%} of the rows before, and more than {EMPTIED_LOSS:.0%} of its own gone"
        out.print(rule, style="dim", soft_wrap=True)


def _bar(each: Kept, top: int, room: int) -> Text:
    """The rows before as one bar, what stays of them solid."""
    whole = max(round(each.rows_in / top * room), 1) if each.rows_in else 0
    solid = round(whole * each.rows_out / each.rows_in) if each.rows_in else 0
    bar = Text("█" * solid, style="cyan")
    bar.append("░" * (whole - solid), style="dim")
    return bar
