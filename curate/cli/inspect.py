"""`curate inspect`: rows, reasons and scores of a run, in the terminal."""

from __future__ import annotations

import dataclasses
import json
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from curate.report.dataset_folder import Sample
    from curate.report.inspect import Distribution, Overview
    from curate.report.run_folder import RunFolder


@app.command(
    short_help="What each step dropped and why, scores, some rows.",
    epilog=examples(
        "curate inspect --plain phi-1-mini                    counts, scores, and 20 rows",
        "curate inspect --plain phi-1-mini --step web-rules   what one step dropped",
        "curate inspect --plain phi-1-mini --reason near_duplicate -n 5",
        "curate inspect --plain phi-1-mini --kept --source rust-book --seed 7",
        "curate inspect --plain runs/phi-1-mini/dataset       a written dataset, decoded",
        "curate inspect phi-1-mini --signal web-quality.words   quantiles, histogram, thresholds of a signal",
        "curate inspect phi-1-mini --signal web-quality.words --at 0.95 -n 5",
        "curate inspect phi-1-mini --signal web-quality.words --at min_words",
        "                                                     and the documents nearest to a place on it",
        after="Which rows are shown depends on their ids and the seed alone: the same rows every time.",
    ),
)
def inspect(
    run: Annotated[str, typer.Argument(help="A run's folder, its name below runs/, or a written dataset's folder.")],
    plain: Annotated[bool, typer.Option("--plain", help="In the terminal.")] = False,
    step: Annotated[str | None, typer.Option(help="Rows this step dropped (or with --kept: gave).")] = None,
    reason: Annotated[str | None, typer.Option(help="Rows dropped for this reason.")] = None,
    dropped: Annotated[bool, typer.Option("--dropped", help="Only rows that were dropped.")] = False,
    kept: Annotated[bool, typer.Option("--kept", help="Only rows in the result.")] = False,
    source: Annotated[str | None, typer.Option(help="Rows of this source.")] = None,
    signal: Annotated[
        str | None, typer.Option(metavar="STEP.SIGNAL", help="Quantiles and a histogram of what a step measured.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="With --signal, documents at: a quantile (0.95, 95%), a value (=0.3), a setting's threshold."
        ),
    ] = None,
    rows: Annotated[int, typer.Option("-n", "--rows", help="How many rows.", min=0, max=10_000)] = 20,
    seed: Annotated[int, typer.Option(help="Another seed shows other rows.", min=0)] = 0,
    as_json: JSON = False,
) -> None:
    """Look at a run: what each step dropped and why, how scores are distributed, and some rows."""
    from curate.cli.tables import console
    from curate.report.dataset_folder import locate_dataset, sample
    from curate.report.inspect import Wanted
    from curate.report.inspect import inspect as look
    from curate.report.run_folder import open_run

    if at is not None and signal is None:
        raise RecipeError("--at needs --signal", cure="say on which signal, as in --signal web-quality.words --at 0.95")
    if signal is not None:
        others = {"--step": step, "--reason": reason, "--source": source, "--dropped": dropped, "--kept": kept}
        given = [name for name, value in others.items() if value]
        if given:
            raise RecipeError(
                f"--signal looks at all documents that its step measured, so {given[0]} says nothing to it",
                cure=f"leave out {' and '.join(given)}, or --signal",
            )
        _signal(run, signal, at, rows, as_json=as_json)
        return
    if not plain and not as_json:
        print("The report for the browser is not in this version yet; add --plain to look at it here.")
        raise typer.Exit(2)
    written = locate_dataset(run)
    if written is not None:
        seen = sample(written, rows, seed)
        if as_json:
            print(json.dumps(dataclasses.asdict(seen), indent=1))
        else:
            _dataset(console(), seen)
        return
    opened = open_run(run)
    found = look(opened, Wanted(step, reason, dropped, kept, source, rows, seed))
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return
    out = console()
    if opened.note:
        out.print(f"note: {opened.note}\n", style="yellow")
    _counts(out, found)
    _families(out, opened, step)
    _kept(out, found, step, run)
    _most_cut(out, found, step, run)
    _reconciled(out, opened, step)
    _distributions(out, found.distributions, step, run)
    for name, columns in found.crowded.items():
        out.print(
            f"\n{columns} signals of step {name}: curate inspect {quote(run)} --plain --step {name}", soft_wrap=True
        )
    _rows(out, found, run)


def _signal(run: str, name: str, at: str | None, rows: int, *, as_json: bool) -> None:
    from curate.cli.signal import show
    from curate.cli.tables import console
    from curate.report.run_folder import open_run
    from curate.report.signal import signal as look

    opened = open_run(run)
    found = look(opened, name, at, rows)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return
    out = console()
    if opened.note:
        out.print(f"note: {opened.note}\n", style="yellow")
    show(out, found, run)


def _counts(out: Console, found: Overview) -> None:
    from rich.text import Text

    from curate.cli.tables import WIDTH, share, table
    from curate.report.plain import edited_line

    # Where there is little room, the step's id has to do, and reasons take several lines: numbers stay whole.
    wide = out.width >= WIDTH
    numbers = ("in", "out", "dropped", "share")
    made = table(
        "step", *(("use",) if wide else ()), *numbers, "reason", right=numbers, fold=() if wide else ("reason",)
    )

    def row(step: str, use: str, *cells: str | Text) -> None:
        made.add_row(Text(step, style="bold"), *([Text(use, style="dim")] if wide else []), *cells)

    for step in found.steps:
        gone = sum(step["reasons"].values())
        dropped = (f"{gone:,}", share(gone, step["in"])) if gone else ("", "")
        row(step["step"], step["use"], f"{step['in']:,}", f"{step['out']:,}", *dropped, "")
        for name, rows in step["reasons"].items():
            row("", "", "", "", f"{rows:,}", share(rows, step["in"]), Text(name, style="yellow"))
        for said in edited_line(step):
            row("", "", "", "", "", "", Text(said, style="dim"))
    out.print(made)


def _families(out: Console, run: RunFolder, only: str | None) -> None:
    """What prompt families gave, and how much of it was new."""
    from rich.text import Text

    from curate.cli.tables import table
    from curate.report.families import families_of, family_table

    for step in run.steps.values():
        families = families_of(step) if only in (None, step.id) else []
        if not families:
            continue
        head, *lines = family_table(families)
        right = head[1:-1]
        made = table("family", *right, right=right)
        made.title, made.title_style, made.title_justify = f"prompt families of {step.id}", "bold", "left"
        for line in lines:
            made.add_row(*line[:-1])
        out.print()
        out.print(made)
        for line in lines:
            if line[-1]:
                out.print(Text(f"{line[0]}: {line[-1]}", style="yellow"), soft_wrap=True)


def _kept(out: Console, found: Overview, step: str | None, run: str) -> None:
    """What became of each source and length: of one step in full, of others only where something was emptied; and of
    clusters, sides, pairs and queries that were not asked."""
    from curate.cli.kept import show
    from curate.report.clusters import cluster_lines
    from curate.report.families import not_asked_lines
    from curate.report.kept import emptied_lines
    from curate.report.pairs import pair_lines
    from curate.report.plain import field_lines, one_line
    from curate.report.split import split_lines

    for each in found.steps:
        said = (each["report"],) if step in (None, each["step"]) else ()
        for line in field_lines(each) if said else ():
            out.print(one_line(f"{each['step']}: {line}", 400), soft_wrap=True)
        for line in (
            line
            for tell in (cluster_lines, split_lines, pair_lines, not_asked_lines)
            for report in said
            for line in tell(report)
        ):
            out.print(one_line(f"{each['step']}: {line}", 400), soft_wrap=True)
        if each["step"] == step:
            show(out, each["kept_by"])
            continue
        lines = emptied_lines(each["kept_by"]) if step is None else []
        for line in lines:
            out.print(one_line(f"{each['step']}: {line}", 400), style="yellow", soft_wrap=True)
        if lines:
            out.print(f"  curate inspect --plain {quote(run)} --step {each['step']}", style="dim", soft_wrap=True)


def _most_cut(out: Console, found: Overview, step: str | None, run: str) -> None:
    """Of one step the spans that it cut out of most documents; of others that they can be looked at."""
    from curate.cli.tables import table
    from curate.report.plain import one_line, size

    for each in found.steps:
        most = each["report"].get("most")
        if not most:
            continue
        if each["step"] != step:
            if step is None:
                out.print(
                    f"what {each['step']} cut most: curate inspect {quote(run)} --plain --step {each['step']}",
                    style="dim",
                )
            continue
        right = ("documents", "cut", "size")
        made = table(*right, "text", right=right)
        for said in most:
            row = (f"{said['documents']:,}", f"{said['cut']:,}", size(said["bytes"]))
            made.add_row(*row, one_line(said["text"], max(20, out.width - 36)))
        out.print()
        out.print(made)


def _reconciled(out: Console, run: RunFolder, only: str | None) -> None:
    """From documents to tokens: what each component of a writer's mixture brought, and what became of it."""
    from curate.cli.reconciled import show

    for step in run.steps.values():
        if only in (None, step.id):
            show(out, step.id, step.record.report, step.settings, step.record.shards)


def _distributions(out: Console, found: list[Distribution], step: str | None, run: str) -> None:
    from curate.cli.tables import bars, table
    from curate.report.plain import short_number

    if not found:
        return
    made = table(
        *("measured", "5 %", "25 %", "half", "75 %", "95 %", "distribution"),
        right=("5 %", "25 %", "half", "75 %", "95 %"),
        fold=("measured",),
    )
    for each in found:
        q = each.quantiles
        sampled = " (sample)" if each.sampled else ""
        made.add_row(
            (each.name if step else f"{each.step}.{each.name}") + sampled,
            *(short_number(q[p]) for p in ("5", "25", "50", "75", "95")),
            f"{short_number(each.low):>5} {bars(each.bins, out.width)} {short_number(each.high)}",
        )
    out.print()
    out.print(made)
    if step:
        hint = f"One of them closely, with its thresholds: curate inspect {quote(run)} --signal {step}.{found[0].name}"
        out.print(f"\n{hint}", style="dim", soft_wrap=True)


def _rows(out: Console, found: Overview, run: str) -> None:
    from rich.text import Text

    from curate.report.plain import one_line

    out.print(f"\n{len(found.rows):,} of {found.matching:,} rows", style="bold")
    for row in found.rows:
        line = Text()
        line.append(row.id[:8], style="bold")
        line.append(f"  {one_line(row.source, 20):<20}  ", style="dim")
        line.append(f"{row.step}: {row.reason}" if row.reason else "kept", style="red" if row.reason else "green")
        about = _about(row.about)
        if about:
            line.append(f"  {about}")
        line.truncate(out.width, overflow="ellipsis")
        out.print(line)
        text = Text("          " + row.text, style="dim")
        text.truncate(min(out.width, 92), overflow="ellipsis")
        out.print(text)
    if found.rows:
        out.print(
            f"\nOne row's whole story: curate explain {quote(run)} {found.rows[0].id[:8]}", style="dim", soft_wrap=True
        )


def _about(values: dict[str, Any]) -> str:
    from curate.report.plain import number, one_line

    if "kept" in values:
        of = f" of index {values['index']}" if "index" in values else ""
        return f"like {values['kept']}{of}, {number(values['similarity'])}"
    if "item" in values:
        (strength,) = (f"{name} {number(value)}" for name, value in values.items() if name != "item")
        return f"{one_line(values['item'], 40)}, {strength}"
    if "detail" in values:
        return one_line(values["detail"], 60)
    return "  ".join(f"{one_line(name, 30)} {number(value)}" for name, value in list(values.items())[:4])


def _dataset(out: Console, seen: Sample) -> None:
    from rich.text import Text

    from curate.cli.tables import table
    from curate.report.plain import number

    out.print(f"{seen.rows:,} rows in {seen.shards} shards; columns: {', '.join(seen.columns)}")
    if seen.note:
        out.print(seen.note, style="yellow")
    for shown in seen.shown:
        out.print(f"\nrow {shown.row:,}", style="bold")
        facts = table("", "", fold=("",))
        facts.show_header = False
        for name, value in shown.values.items():
            facts.add_row(Text(name, style="dim"), number(value))
        if shown.values:
            out.print(facts)
        for line in shown.text:
            out.print(Text(f"  {line}"), soft_wrap=True)
