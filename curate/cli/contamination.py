"""What `curate benchmarks report` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

    from curate.report.contamination import Contamination
    from curate.report.contamination_examples import Example

_ROWS: Final = 24
"""Of two texts beside each other."""
_SAID: Final = 400
"""Characters of the list of items without a hit."""


def show(out: Console, found: Contamination, items: int) -> None:
    """Print the report of one step."""
    from curate.cli.tables import share
    from curate.report.contamination import folded
    from curate.report.plain import one_line

    gone = sum(found.reasons.values())
    why = "".join(f", {reason} {count:,}" for reason, count in sorted(found.reasons.items(), key=lambda r: -r[1]))
    out.print(
        f"{found.step}: {gone:,} of {found.rows:,} documents dropped {share(gone, found.rows)}{why}", style="bold"
    )
    if found.note:
        out.print(found.note, style="yellow")
    _layers(out, found)
    _benchmarks(out, found)
    _items(out, found, items)
    for example in found.examples:
        _example(out, example)
    for kept in found.benchmarks:
        if kept.without:
            out.print(
                f"\nno hit of any layer: {len(kept.without):,} of {kept.items:,} items of {kept.benchmark}",
                style="bold",
            )
            out.print(one_line(folded(kept.without), _SAID), soft_wrap=False)


def _layers(out: Console, found: Contamination) -> None:
    from curate.cli.tables import table

    levels = list(found.layers[0].documents) if found.layers else []
    right = (*levels, "counted", "alone", "items")
    made = table("layer", *right, right=right, title="\ndocuments with a hit, by its strength")
    for layer in found.layers:
        counts = (*layer.documents.values(), layer.counted, layer.alone, layer.items)
        made.add_row(layer.name, *(f"{count:,}" for count in counts))
    out.print(made)


def _benchmarks(out: Console, found: Contamination) -> None:
    from curate.cli.tables import share, table

    if not found.benchmarks:
        return
    right = ("items", "hit", "share")
    made = table("benchmark", *right, right=right, title="\nitems found")
    for kept in found.benchmarks:
        made.add_row(kept.benchmark, f"{kept.items:,}", f"{kept.hit:,}", share(kept.hit, kept.items))
    out.print(made)


def _items(out: Console, found: Contamination, many: int) -> None:
    from rich.text import Text

    from curate.cli.tables import table
    from curate.report.plain import one_line

    if not found.items or not many:
        return
    right = ("documents", "strength")
    made = table(
        "item", *right, "layer", "part", right=right, title="\nitems in most documents, with their strongest hit"
    )
    for item in found.items[:many]:
        made.add_row(Text(one_line(item.item)), f"{item.documents:,}", f"{item.strength:.2f}", item.layer, item.part)
    out.print(made)
    if len(found.items) > many:
        out.print(f"and {len(found.items) - many:,} more: --items {len(found.items)}", style="dim")


def _example(out: Console, example: Example) -> None:
    from rich.text import Text

    from curate.cli.explain import beside, pieces
    from curate.report.explain import column_width
    from curate.report.plain import lines, one_line
    from curate.report.side_by_side import side_by_side

    column = column_width(out.width)
    out.print(f"\n{one_line(example.item)} ({example.layer}, {example.part}, {example.strength:.2f})", style="bold")
    out.print(Text(f"in {example.document} {one_line(example.source, 60)} {one_line(example.origin, 200)}"))
    if example.note:
        out.print(Text(one_line(example.note, 300)), style="dim")
    if not example.known or not example.passage:
        for line in lines(example.passage or example.known, out.width - 2, _ROWS):
            out.print(Text(f"  {line}"), soft_wrap=True)
        return
    said, rows = side_by_side(example.passage, example.known, column, _ROWS)
    if said:
        out.print(said, style="dim")
        for line in lines(example.passage, out.width - 2, _ROWS):
            out.print(Text(f"  {line}"), soft_wrap=True)
    for row in rows:
        beside(out, pieces(row.left, "bold red"), row.mark.replace(":", " "), pieces(row.right, "bold green"), column)
