"""`curate takedown`: what a removal list means for a run."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from curate.report.takedown import Hit, Takedown

_SHOWN = 10


@app.command(
    short_help="What a removal list means for a run; documents, copies, what was made of them.",
    epilog=examples(
        "curate takedown phi-1-mini list.txt                     what it names, and where that is now",
        "curate takedown phi-1-mini list.txt --write gone.txt    with the ids of all copies, for the recipe",
        after="Then, in the recipe, 'takedown: gone.txt'; 'curate run' makes everything anew without them (answers about other "
        "documents are not asked for again), and 'curate gc RUN --newest --yes' removes the older files. A list has lines "
        "id:, url:, site:, repo:, origin:, source: or content_hash:, or is CSV or JSON lines with such columns.",
    ),
)
def takedown(
    run: Annotated[str, typer.Argument(help="A run's folder, or its name below runs/.")],
    removals: Annotated[list[Path], typer.Argument(metavar="LIST...", help="Removal lists.")],
    write: Annotated[
        Path | None, typer.Option("--write", help="Write the list, with the ids of copies; must not exist.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Say which documents a removal list names in a run, their copies, what was made of them, and what names nothing.

    Changes nothing: a recipe that names the list does. Exit 1 while any of them is in one of the run's results.
    """
    from curate.report.run_folder import open_run
    from curate.report.takedown import resolved, take_down
    from curate.stages.removals import read_removals

    if write is not None and write.exists():
        raise RecipeError(
            "is there already", place=str(write), cure="give another name: a recipe may name several lists"
        )
    lists = read_removals(path.absolute() for path in removals)
    opened = open_run(run)
    found = take_down(opened, lists)
    if write is not None:
        write.write_text(resolved(found, lists), encoding="utf-8")
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
    else:
        _show(found, opened.note, len(lists.entries()), write)
    if found.writers or found.trained:
        raise typer.Exit(1)


def _show(found: Takedown, note: str, entries: int, write: Path | None) -> None:
    from curate.cli.tables import console, table
    from curate.report.plain import one_line

    out = console()
    if note:
        out.print(f"note: {note}\n", style="yellow")
    rows = table("what", "documents", right=("documents",), fold=("what",))
    rows.add_row(f"named by {entries:,} entries", f"{len(found.named):,}")
    rows.add_row("copies of these", f"{len(found.copies):,}")
    rows.add_row("made of them by a model", f"{len(found.derived):,}")
    for step, number in found.writers.items():
        rows.add_row(f"of all these, in {one_line(step, 64)}", f"{number:,}")
    if found.removed:
        rows.add_row("taken down already", f"{sum(found.removed.values()):,}")
    out.print(rows)
    for title, hits in (("named", found.named), ("copies", found.copies), ("made of them", found.derived)):
        _hits(out, title, hits)
    if found.trained:
        out.print(
            f"\nlearnt from some of them: {one_line(', '.join(found.trained), 400)} (trained anew without them by the next run)"
        )
    if found.unmatched:
        out.print(f"\nentries that name nothing in this run: {len(found.unmatched):,}", style="bold")
        for entry in found.unmatched[:_SHOWN]:
            out.print(f"  {one_line(entry, 70)}  {one_line(entry.place, 60)}", soft_wrap=True)
        _more(out, len(found.unmatched))
    if write is not None:
        out.print(
            f"\nwritten: {write}. Name it in the recipe as 'takedown:', then run it, then: curate gc RUN --newest --yes"
        )
    elif found.hits:
        out.print("\nNothing was changed. --write FILE makes a list for the recipe, with the copies' ids.")


def _hits(out: Console, title: str, hits: list[Hit]) -> None:
    from curate.cli.tables import table
    from curate.report.plain import one_line

    if not hits:
        return
    out.print()
    rows = table(title, "origin", "because", "now", fold=("origin", "because", "now"))
    for hit in hits[:_SHOWN]:
        why = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20}\b", r"\1", hit.why)
        shown = (one_line(said, 60) for said in (hit.origin, why, hit.fate or "in no result"))
        rows.add_row(hit.id[:12], *shown)
    out.print(rows)
    _more(out, len(hits))


def _more(out: Console, number: int) -> None:
    if number > _SHOWN:
        out.print(f"... and {number - _SHOWN:,} more (all of them: --json)")
