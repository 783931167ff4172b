"""`curate verify`: is a written dataset all that it says of itself."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import DamagedError

if TYPE_CHECKING:
    from curate.report.checks import Checks


@app.command(
    short_help="All of a dataset: digests, ids, masks, every token of every source.",
    epilog=examples(
        "curate verify runs/phi-1/dataset                 a dataset in its run: the documents' text, too",
        "curate verify copied/dataset --run runs/phi-1    a copy of it, against the run",
        "curate verify copied/dataset                     alone: all but the text",
        after="Exit 9 if anything is wrong. 'curate check' compares digests and counts only.",
    ),
)
def verify(
    dataset: Annotated[str, typer.Argument(help="A written dataset's folder or address, or RUN/STEP.")],
    run: Annotated[
        str | None, typer.Option("--run", help="The run that made it. Default: the one in which it lies.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Check all of a dataset: files, counts, ids, the table of pieces, masks, and that tokens are those of the texts."""
    from curate.cli.check import Progress
    from curate.report.dataset_folder import run_above, the_dataset
    from curate.report.run_folder import open_run
    from curate.report.verify_dataset import verify as look

    opened = the_dataset(dataset)
    above = run_above(dataset) if run is None else None
    made_by = open_run(run) if run is not None else open_run(str(above[0])) if above is not None else None
    total = 2 * sum(max(0, shard.size) for shard in opened.shards)
    with Progress(total, "verifying", quiet=as_json) as progress:
        found = look(opened, made_by, progress.advance)
    if as_json:
        said = {name: {"looked_at": n, "of": what, "wrong": found.of(name)} for name, (n, what) in found.looked.items()}
        problems = [dataclasses.asdict(problem) for problem in found.problems]
        print(
            json.dumps({"checks": said, "problems": problems, "more": found.untold(), "notes": found.notes}, indent=1)
        )
    else:
        _show(found)
        if made_by is None and opened.kind != "text":
            print("texts were not compared: give the run that made it as --run")
    if found.problems:
        _refuse(found)


def _show(found: Checks) -> None:
    from curate.cli.tables import console, table

    out = console()
    right = ("looked at", "wrong")
    made = table("check", "looked at", "of", "wrong", right=right)
    for name, (count, what) in found.looked.items():
        wrong = found.of(name)
        made.add_row(name, f"{count:,}", what, f"{wrong:,}" if wrong else "", style="red" if wrong else "")
    out.print(made)
    for note in found.notes:
        out.print(note, style="yellow", soft_wrap=True)


def _refuse(found: Checks) -> None:
    """A line for each problem on stderr, the first one with the exit code."""
    from curate.report.plain import one_line

    for problem in found.problems[1:]:
        print(f"curate: {one_line(problem, 600)}", file=sys.stderr)
    first = found.problems[0]
    more = found.untold() + len(found.problems) - 1
    row = f" row {first.row:,}" if first.row >= 0 else ""
    cause = first.cause + (f" (and {more:,} more)" if more else "")
    raise DamagedError(f"{row.strip()} {cause}".strip(), place=first.file, cure=first.cure)
