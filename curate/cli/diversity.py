"""`curate diversity`: how much a set of texts repeats itself, whole and by prompt family."""

from __future__ import annotations

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import StorageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from curate.report.diversity import Measured
    from curate.report.texts import Texts


@app.command(
    short_help="How much texts repeat each other, by prompt family.",
    epilog=examples(
        "curate diversity answers.jsonl              all measures, by meta.family where rows have it",
        "curate diversity old.jsonl new.jsonl        two datasets, side by side",
        "curate diversity 'textbooks/*.parquet' --text body",
        "                                            several files as one dataset, text in 'body'",
        "curate diversity phi-1-mini                 the result of a run",
        "curate diversity phi-1-mini:exercises --by meta.topic",
        "                                            what one step gave, told apart by another field",
        "curate diversity a.jsonl b.jsonl --html diversity.html",
        after="Which texts are looked at depends on their content alone. What the measures mean: docs/generation.md.",
    ),
)
def diversity(
    datasets: Annotated[
        list[str],
        typer.Argument(
            metavar="DATASET", help="JSON lines (.gz, .zst too), Parquet or Arrow, a folder, or RUN[:STEP]."
        ),
    ],
    text: Annotated[str, typer.Option(help="The field of files that holds the text.")] = "text",
    by: Annotated[
        str, typer.Option(help="What tells families apart: a column, as source, or a field of meta, as meta.FIELD.")
    ] = "meta.family",
    sample: Annotated[
        int, typer.Option(help="Texts on which wording is measured. Compare samples of one size.", min=2, max=5000)
    ] = 1000,
    plot: Annotated[Path | None, typer.Option(help="Write the curve of near duplicates as an SVG file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write tables and curve as a page.")] = None,
    as_json: JSON = False,
) -> None:
    """How much texts repeat each other: near duplicates against N, unseen mass, compression, n-grams, openings, functions."""
    from curate.cli.tables import console
    from curate.report.diversity_page import curve, page
    from curate.report.texts import open_texts

    for place in (plot, html):
        if place is not None and not place.parent.is_dir():
            raise StorageError("there is no such folder", place=str(place.parent), cure="make it, or give another one")
    found = _measure([open_texts(name, text, by) for name in datasets], by, sample, quiet=as_json)
    if plot is not None:
        plot.write_text(curve(found), encoding="utf-8")
    if html is not None:
        html.write_text(page(found, by), encoding="utf-8")
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in found], indent=1))
        return
    out = console()
    _show(out, found, by)
    for place in (plot, html):
        if place is not None:
            out.print(f"\nwritten: {place}", soft_wrap=True)


def _measure(texts: list[Texts], by: str, sample: int, *, quiet: bool) -> list[Measured]:
    from rich.console import Console as Terminal
    from rich.progress import Progress as Bar

    from curate.report.diversity import Progress, measure

    found = []
    with Bar(console=Terminal(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty()) as bar:
        for each in texts:
            task = bar.add_task(f"reading {each.name}", total=2 * each.bytes or None)
            told = Progress(partial(bar.advance, task), partial(_say, bar, task))
            found.append(measure(each, by, sample, told))
    return found


def _say(bar: Bar, task: TaskID, what: str) -> None:
    bar.update(task, description=f"measuring {what}")


def _show(out: Console, found: list[Measured], by: str) -> None:
    from curate.cli.tables import table
    from curate.report.diversity_page import curve_rows, family_rows, names, rows
    from curate.report.plain import one_line

    called = names(found, 26)
    made = table("", *called, "", right=called, fold=("",))
    for said, *cells, how in rows(found):
        made.add_row(said, *cells, how if len(found) == 1 else "")
    out.print(made)
    head, *lines = curve_rows(found)
    made = table("near duplicates among the first", *head[1:], right=head[1:])
    for line in lines:
        made.add_row(*line)
    out.print()
    out.print(made)
    for each in found:
        if each.families:
            head, *lines = family_rows(each)
            made = table(*head, right=head[1:], title=f"{one_line(each.whole.dataset)}, by {by}")
            for line in lines:
                made.add_row(*line)
            out.print()
            out.print(made)
        if each.more:
            out.print(f"{each.more:,} smaller families are not shown", style="dim")
        if each.set_aside:
            out.print("set aside: " + ", ".join(f"{r} {n:,}" for r, n in sorted(each.set_aside.items())))
        for note in each.notes:
            out.print(f"note: {one_line(note, 400)}", style="yellow", soft_wrap=True)
