"""`curate calibrate`: choose a threshold from data."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from curate.quality.calibrate import Rate
    from curate.report.calibration import Calibration, Candidate
    from curate.report.scored_rows import LabelsWanted, ScoredRows, Shown

_INTERVALS: Final = 100
"""Columns from which there is room for intervals."""
_COUNTS: Final = 118
"""And for the counts that they are of."""


@app.command(
    short_help="Choose a threshold: what each would keep, and documents around it.",
    epilog=examples(
        "curate calibrate phi-1-mini:scored                    what the top 50 %, 30 %, ... 1 % are",
        "curate calibrate phi-1-mini:scored --at 0.62 --at 10% --at 6B",
        "                                                      a score, a share, a number of tokens",
        "curate calibrate phi-1-mini:scored --label labels.label   precision and recall on labelled documents",
        "curate calibrate my-classifier data/ --label labels.csv   files, scored now",
        "curate calibrate router-mini:ranked --route routes    a router: quality and cost against calls of the large model",
    ),
)
def calibrate(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN:STEP", help="A step of a run that scored documents, or a classifier (with files to score)."
        ),
    ],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="JSON lines (.gz, .zst too), Parquet or Arrow.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(help="A threshold to look at: 10%, 0.62 or 6B (tokens). Give several.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Labels: STEP.COLUMN of the run, a file, or meta.FIELD of the files.")
    ] = None,
    key: Annotated[
        Literal["origin", "id", "content_hash"], typer.Option(help="How a file of labels names documents.")
    ] = "origin",
    good_from: Annotated[
        float | None, typer.Option(help="Lowest label that is good. Default: 1 of 0-1, 3 of 0-5.")
    ] = None,
    route: Annotated[
        str | None,
        typer.Option(
            help="A route.answers step of the run ('meta' of files): what quality is kept, at which cost, when documents from "
            "the threshold up go to the large model."
        ),
    ] = None,
    bytes_per_token: Annotated[
        float | None,
        typer.Option(help="To estimate tokens. Default: what the run's tokenizer measured, else 4.", min=0.1, max=1e9),
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="The run's step whose bytes per token to use.")] = None,
    tokens_column: Annotated[
        str | None, typer.Option(help="STEP.COLUMN of the run with each document's tokens.")
    ] = None,
    documents: Annotated[
        int, typer.Option("-n", "--documents", help="Documents to show around each threshold.", min=0, max=1000)
    ] = 10,
    text: Annotated[str, typer.Option(help="The field of the files that holds the text.")] = "text",
    plot: Annotated[
        Path | None,
        typer.Option(help="Write the curves over all thresholds (of a router: over all shares) as an SVG file."),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Choose a threshold from data: how scores are distributed, what each threshold keeps, and documents around it."""
    from curate.cli.tables import console
    from curate.report.calibration import Tokens, tokens_of
    from curate.report.calibration import calibrate as look
    from curate.report.scored_rows import LabelsWanted

    labels = LabelsWanted(label, key, good_from) if label is not None else None
    tokens = Tokens()
    if files:
        if tokens_column or tokenizer:
            raise RecipeError("--tokens-column and --tokenizer are of a run", cure="give --bytes-per-token")
        if route not in (None, "meta"):
            raise RecipeError(f"--route {route} is of a run", cure="of files their meta says it: --route meta")
        rows = _scored_now(what, files, text, labels, quiet=as_json, route=route is not None)
    else:
        run, step = _run_and_step(what)
        rows, opened = _of_run(run, step, labels, tokens_column, route)
        tokens = tokens_of(opened, tokenizer)
    if tokens_column is not None:
        tokens = Tokens(column=tokens_column)
    elif bytes_per_token is not None:
        tokens = Tokens(bytes_per_token=bytes_per_token, why="as asked for")
    found = look(rows, at or [], documents, tokens)
    if plot is not None:
        from curate.report import curves

        drawn = (
            curves.svg(found.column, curves.curves(rows), found.candidates)
            if route is None
            else curves.routing_svg(found.column, curves.routing_curves(rows), found.candidates)
        )
        plot.write_text(drawn, encoding="utf-8")
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return
    _show(console(120), found)


def _run_and_step(what: str) -> tuple[str, str]:
    run, colon, step = what.rpartition(":")
    if not colon:
        raise RecipeError(
            "which documents?",
            place=what,
            cure="give RUN:STEP for a step that scored them, or files after a classifier",
        )
    return run, step


def _of_run(
    run: str, step: str, labels: LabelsWanted | None, tokens_column: str | None, route: str | None
) -> tuple[ScoredRows, object]:
    from curate.report.run_folder import open_run
    from curate.report.scored_rows import rows_of_step

    opened = open_run(run)
    rows = rows_of_step(opened, step, labels, tokens_column, route)
    if opened.note:
        rows.notes.append(opened.note)
    return rows, opened


def _scored_now(
    what: str, files: list[str], text: str, labels: LabelsWanted | None, *, quiet: bool, route: bool
) -> ScoredRows:
    from rich.console import Console as Terminal
    from rich.progress import Progress

    from curate.report.scored_rows import rows_of_files
    from curate.report.scoring import find_classifier, source_for, splits_of

    folder = find_classifier(what)
    stage = source_for(files, text)
    splits = splits_of(stage)
    with Progress(console=Terminal(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty()) as progress:
        task = progress.add_task("scoring", total=sum(s.bytes for s in splits))
        return rows_of_files(folder, stage, splits, labels, lambda s: progress.advance(task, s.bytes), route=route)


# -- showing ---------------------------------------------------------------------------------------------------


def _show(out: Console, found: Calibration) -> None:
    from rich.text import Text

    from curate.report.calibration import tokens_line
    from curate.report.plain import one_line, size
    from curate.stages.amounts import short_count

    head = Text(found.column, style="bold")
    head.append(f"  {found.rows:,} documents, {size(found.bytes)}, {short_count(found.tokens)} tokens")
    if found.labelled is not None:
        head.append(f", labelled good {found.labelled['good']:,}, bad {found.labelled['bad']:,}")
    out.print(head)
    out.print(tokens_line(found), style="dim")
    if found.set_aside:
        out.print("set aside: " + ", ".join(f"{r} {n:,}" for r, n in found.set_aside.items()))
    for note in found.notes:
        out.print(f"note: {one_line(note, 400)}", style="yellow")
    _distributions(out, found)
    _thresholds(out, found)
    _routing(out, found)
    _by_source(out, found)
    for each in found.candidates:
        _around(out, each)
    where = "with 'generate.answers'" if found.route else "the recipe"
    out.print(f"\nIn {where}, one of:", style="bold")
    for each in found.candidates:
        said = f"{{id: good, use: select.where, with: {each.recipe}}}"
        if each.routed:
            said = f"gate: {{column: {found.column}, at_least: {each.at_least!r}, model: large}}"
        out.print(f"  - {said}" if not each.routed else f"  {said}", soft_wrap=True)


def _distributions(out: Console, found: Calibration) -> None:
    from rich.text import Text

    from curate.cli.tables import bars, table
    from curate.report.plain import one_line, short_number

    numbers = ("documents", "5 %", "half", "95 %")
    room = 24 if out.width >= 100 else 18
    made = table("source", *numbers, "distribution", right=numbers)
    for each in (found.overall, *found.sources):
        q = each.quantiles
        name = Text("all", style="bold") if each is found.overall else Text(one_line(each.name, room))
        ends = f"{short_number(each.low):>3} {bars(each.bins, out.width)} {short_number(each.high)}"
        made.add_row(name, f"{each.rows:,}", *(short_number(q[p]) for p in ("5", "50", "95")), ends)
    out.print()
    out.print(made)


def _thresholds(out: Console, found: Calibration) -> None:
    from rich.text import Text

    from curate.cli.tables import share, table
    from curate.report.plain import size
    from curate.stages.amounts import short_count

    names = ["asked", "at_least", "documents", "kept", "text", "kept ", "tokens"]
    labelled = found.labelled is not None
    names += ["precision", "recall"] if labelled else []
    made = table(*names, right=tuple(names[1:7] if out.width >= _INTERVALS else names[1:]))
    for each in found.candidates:
        cells = [each.asked, f"{each.at_least:.10g}", f"{each.documents:,}"]
        cells += [share(each.documents, found.rows), size(each.bytes), share(each.bytes, found.bytes)]
        cells.append(short_count(each.tokens))
        row: list[Text | str] = [Text(cells[0], style="bold"), *cells[1:]]
        if labelled:
            row += [_rate(each.precision, out.width), _rate(each.recall, out.width)]
        made.add_row(*row)
    out.print()
    out.print(made)
    for each in found.candidates:
        if each.equal:
            said = f"at {each.asked} {each.equal:,} more with the score of the last one, which at_least keeps, too"
            out.print(said, style="dim")
    if labelled:
        wide = out.width >= _INTERVALS
        note = ", with 95 % intervals (Wilson)" if wide else f"; intervals: --json, or {_INTERVALS} columns"
        out.print(f"precision and recall of good on the labelled documents{note}", style="dim")


def _routing(out: Console, found: Calibration) -> None:
    """A router's worth, and what each threshold gives when documents from it up go to the large model."""
    from curate.cli.tables import table

    route = found.route
    if route is None:
        return
    out.print(
        f"\n{route['rows']:,} queries: mean score of the small model {route['small']:.3f}, of the large one {route['large']:.3f}; "
        f"for {route['needed']:.0%} of them the large one's answer is better"
    )
    if route["large"] <= route["small"]:
        out.print("the large model is not better: there is nothing for a router to recover", style="yellow")
    names = {"apgr": "APGR", "lead": "lead", "cpt50": "CPT 50 %", "cpt80": "CPT 80 %", "cpt95": "CPT 95 %"}
    made = table("calls by", *names.values(), right=tuple(names.values()))
    for name, said in (("score", found.column), ("length", "length of the text"), ("oracle", "who knows both answers")):
        made.add_row(said, *(_interval(route["routers"][name].get(each), out.width) for each in names))
    out.print(made)
    units = [unit for unit, both in route["costs"].items() if None not in both]
    heads = ["asked", "at_least", "large's calls", "quality", "recovered", *(f"{unit} a query" for unit in units)]
    made = table(*heads, right=tuple(heads[1:]))
    for end, (name, share) in enumerate((("small only", "0%"), ("large only", "100%"))):
        costs = [f"{route['costs'][unit][end]:.4g}" for unit in units]
        made.add_row(name, "", share, f"{route[name.split()[0]]:.3f}", f"{end}.00", *costs)
    for each in sorted(found.candidates, key=lambda c: -c.at_least):
        if at := each.routed:
            cells = [f"{at['share']:.1%}", f"{at['quality']:.3f}", _interval(at["pgr"], out.width)]
            made.add_row(each.asked, f"{each.at_least:.10g}", *cells, *(f"{at['costs'][u]:.4g}" for u in units))
    out.print()
    out.print(made)
    wide = "in brackets" if out.width >= _COUNTS else f"--json or {_COUNTS} columns show intervals"
    out.print(
        "recovered: (quality - small's) / (large's - small's); APGR: its mean over all shares of calls (lots drawn: 0.5); CPT: the "
        f"least share of calls that recovers so much; lead: over chance, of other lines the score's over them; {wide}: 95 % by "
        "bootstrap over queries",
        style="dim",
    )


def _interval(value: list[float | None] | None, width: int) -> str:
    """A value, where there is room with its interval; or an interval alone."""
    if value is None or None in value:
        return "-"
    shown = [f"{each:.2f}" for each in value]
    if len(shown) == 2:
        return f"{shown[0]} to {shown[1]}"
    return f"{shown[0]} ({shown[1]}-{shown[2]})" if width >= _COUNTS else shown[0]


def _rate(rate: Rate | None, width: int) -> str:
    if rate is None or rate.value is None:
        return "-"
    # 789 of 790 is not all of them.
    said = f"{rate.value:.3f}" if 0.995 <= rate.value < 1 else f"{rate.value:.2f}"
    if width >= _INTERVALS:
        said += f" ({rate.low:.2f}-{rate.high:.2f})"
    return said + (f" {rate.hits:,}/{rate.rows:,}" if width >= _COUNTS else "")


def _by_source(out: Console, found: Calibration) -> None:
    """What each threshold keeps of each source: where a topic is emptied, it shows."""
    from rich.text import Text

    from curate.cli.tables import table
    from curate.report.kept import EMPTIED_LOSS, EMPTIED_SHARE
    from curate.report.plain import one_line

    if len(found.sources) < 2:
        return
    titles = [f"{'' if c.asked.endswith('%') else '='}{c.asked}" for c in found.candidates]
    made = table("kept of", *titles, right=titles)
    red = False
    for source in found.sources:
        cells = []
        for each in found.candidates:
            kept = each.sources[source.name] or 0.0
            lost = source.rows >= EMPTIED_SHARE * found.rows and 1 - kept > EMPTIED_LOSS
            red = red or lost
            cells.append(
                Text("none" if kept == 0 else f"{kept:.0%}" if kept >= 0.005 else "<1%", "red" if lost else "")
            )
        made.add_row(one_line(source.name, 24 if out.width >= 100 else 18), *cells)
    out.print()
    out.print(made)
    if red:
        said = f"red: at least {EMPTIED_SHARE:.0%} of all documents, and more than {EMPTIED_LOSS:.0%} of them would go;"
        out.print(f"{said} 'within: source' or a floor keeps some", style="dim")


def _around(out: Console, each: Candidate) -> None:
    from rich.text import Text

    if not each.above and not each.below:
        return
    title = Text(f"\naround {each.at_least:.6g}", style="bold")
    title.append(f"  ({each.asked})", style="dim")
    out.print(title)
    for shown in each.above:
        _document(out, shown, "green")
    out.print(Text("─" * min(out.width, 40) + " kept above, dropped below", style="dim"))
    for shown in each.below:
        _document(out, shown, "red")


def _document(out: Console, shown: Shown, style: str) -> None:
    from rich.text import Text

    from curate.report.plain import one_line

    line = Text(f"{shown.score:>8.6g}  ", style=style)
    line.append(one_line(shown.origin or shown.source, 120))
    line.truncate(out.width, overflow="ellipsis")
    out.print(line)
    text = Text(f"          {shown.text}", style="dim")
    text.truncate(out.width, overflow="ellipsis")
    out.print(text)
