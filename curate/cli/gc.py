"""`curate gc`: remove from a run's folder what nobody needs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.app import JSON, app, examples

if TYPE_CHECKING:
    from curate.run.garbage import Garbage


@app.command(
    short_help="Remove from a run's folder what nobody needs.",
    epilog=examples(
        "curate gc phi-1-mini                  say what could go: leftovers of kills and of lost races",
        "curate gc phi-1-mini --yes            remove it; a run redoes nothing",
        "curate gc phi-1-mini --newest --yes   older results too: only what the newest run is made of stays",
        after="After a takedown, --newest removes the text from the run's folder, too. Answers of models stay in journal.sqlite "
        "and in rounds/: they were paid for.",
    ),
)
def gc(
    run: Annotated[str, typer.Argument(help="A run's folder, or its name below runs/.")],
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, only say what could go.")] = False,
    newest: Annotated[
        bool,
        typer.Option(
            "--newest",
            help="Also results of other settings and inputs, what only helps to make such again, and --damaged.",
        ),
    ] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Also files that were set aside as damaged.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait while another command holds the run.")] = False,
    as_json: JSON = False,
) -> None:
    """Remove from a run's folder what no record or receipt names; nothing that a later run would use again.

    That is what killed attempts and lost races leave behind. Older results stay, so that going back to other settings redoes
    nothing, unless --newest says otherwise.
    """
    from curate.report.run_folder import locate_run
    from curate.run.garbage import find_garbage, remove_garbage
    from curate.run.lease import Lease

    store = locate_run(run)
    # What a run is writing is named by nothing yet: not even to look, before it is done.
    with Lease(store, "curate gc", wait=wait, note=lambda line: print(line, file=sys.stderr)):
        found = find_garbage(store, newest=newest, damaged=damaged)
        if yes:
            remove_garbage(store, found)
    if as_json:
        files = {kind: [key for key, _ in files] for kind, files in found.files.items()}
        said = {"removed": yes, "bytes": found.bytes, "files": files, "links": found.links}
        print(json.dumps({**said, "kept": {"files": found.kept, "bytes": found.kept_bytes}}, indent=1))
        return
    _show(found, run, removed=yes)


def _show(found: Garbage, run: str, *, removed: bool) -> None:
    from curate.cli.tables import console, table
    from curate.report.plain import size
    from curate.run.garbage import KINDS

    out = console()
    out.print(f"{run}: {found.kept:,} files, {size(found.kept_bytes)}, are needed")
    if not found.count:
        out.print("nothing else is there")
        return
    rows = table("removed" if removed else "could go", "files", "size", right=("files", "size"), fold=("could go",))
    for kind, said in KINDS.items():
        if files := found.files.get(kind):
            rows.add_row(said, f"{len(files):,}", size(sum(n for _, n in files)))
    if found.links:
        rows.add_row(f"links to them: {', '.join(found.links)}", f"{len(found.links):,}", "")
    rows.add_row("together", f"{found.count:,}", size(found.bytes), style="bold")
    out.print()
    out.print(rows)
    if not removed:
        out.print("\nNothing was removed. To remove it, say --yes.")
