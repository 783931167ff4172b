"""`curate score`: a classifier's scores for one's own files."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.app import JSON, app, examples

if TYPE_CHECKING:
    from rich.console import Console

    from curate.report.scoring import Scored


@app.command(
    short_help="Score documents with a classifier.",
    epilog=examples(
        "curate score phi-1-mini:value my.jsonl   what a run trained in its step 'value'",
        "curate score my-classifier a.parquet      what 'curate train' made",
        "curate score my-classifier a.parquet -o scores.arrow",
        "                                          and one score per document",
        "curate score my-classifier data/ --text body   a folder, text in 'body'",
        "curate score model.bin a.jsonl --label hq      anybody's fastText model: P(hq)",
    ),
)
def score(
    classifier: Annotated[
        str, typer.Argument(help="A shipped one, a folder with a model, a fastText .bin or .ftz, or RUN:STEP.")
    ],
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="JSON lines (.gz, .zst too), Parquet or Arrow.")],
    text: Annotated[str, typer.Option(help="The field that holds the text.")] = "text",
    label: Annotated[
        str | None, typer.Option(help="The label whose probability is the score, for a fastText model.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write id, source, origin and score: .jsonl or .arrow.")
    ] = None,
    few: Annotated[int, typer.Option("-n", "--few", help="How many of the best and the worst to show.", min=0)] = 5,
    as_json: JSON = False,
) -> None:
    """Score documents with a classifier: quantiles, a histogram, the best and the worst; with -o every score."""
    from rich.console import Console as Terminal
    from rich.progress import Progress

    from curate.cli.tables import console
    from curate.report.scoring import find_classifier, score_files, source_for, splits_of

    place = find_classifier(classifier)
    stage = source_for(files, text)
    splits = splits_of(stage)
    quiet = as_json or not sys.stderr.isatty()
    with Progress(console=Terminal(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("scoring", total=sum(s.bytes for s in splits))
        found = score_files(place, label, stage, splits, output, few, lambda s: progress.advance(task, s.bytes))
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return
    out = console()
    _show(out, found)
    if output is not None:
        out.print(f"\nscores: {output}")


def _show(out: Console, found: Scored) -> None:
    from rich.text import Text

    from curate.cli.tables import bars, table
    from curate.report.plain import one_line

    asides = ", ".join(f"{reason} {n:,}" for reason, n in found.set_aside.items())
    out.print(f"{found.rows:,} documents scored" + (f"; set aside: {asides}" if asides else ""))
    each = found.distribution
    if each is None:
        return
    names = ("least", "5 %", "25 %", "half", "75 %", "95 %", "most")
    made = table(*names, f"{each.low:g} distribution {each.high:g}", right=names)
    made.add_row(*(f"{q:.3f}" for q in each.quantiles.values()), "  " + bars(each.bins, out.width))
    out.print()
    out.print(made)
    for title, shown in (("best", found.best), ("worst", found.worst)):
        if shown:
            out.print(f"\n{title}", style="bold")
        for example in shown:
            line = Text(f"{example.score:.3f}  ")
            line.append(one_line(example.origin, 90))
            line.truncate(out.width, overflow="ellipsis")
            out.print(line)
            text = Text(f"       {example.text}", style="dim")
            text.truncate(min(out.width, 88), overflow="ellipsis")
            out.print(text)
