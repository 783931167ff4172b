"""`curate ledger`: what became of every request to a model, and what it cost."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.app import JSON, app, examples

if TYPE_CHECKING:
    from curate.report.ledger import Line


@app.command(
    short_help="What became of every request to a model, and what it cost.",
    epilog=examples("curate ledger phi-1-mini", "curate ledger runs/phi-1-mini --json"),
)
def ledger(
    run: Annotated[str, typer.Argument(help="a run's name below runs/, its folder or its address")],
    as_json: JSON = False,
) -> None:
    """Show what became of every request to a model, by prompt family, and what it cost.

    Every attempt that left is counted once: accepted, turned down for a reason, failed, lost with a process that died, or
    paid and not used. Documents that later steps drop (code that fails, duplicates, benchmark items) are no more accepted.
    """
    from curate.report.ledger import cascades
    from curate.report.ledger import ledger as lines_of
    from curate.report.run_folder import open_run

    opened = open_run(run)
    lines = lines_of(opened)
    second = cascades(opened, lines)
    if as_json:
        told = {"families": [line.plain() for line in lines], "cascades": [asdict(one) for one in second]}
        typer.echo(json.dumps(told, indent=2))
        return
    _show(lines)
    for one in second:
        sent = f"{one.gated:,} that the gate sent to it" if one.gated else ""
        failed = f"{one.asked[1] - one.gated:,} of what {one.first} failed" if one.asked[1] > one.gated else ""
        typer.echo(
            f"{one.step}: {one.then} was asked for {' and '.join(filter(None, (sent, failed)))}: ${one.spent:,.4f} for both; "
            f"it alone would have cost about ${one.alone:,.4f}"
        )


def _show(lines: list[Line]) -> None:
    from curate.cli.tables import console, share, table
    from curate.report.plain import one_line
    from curate.stages.generator import LEDGER

    out = console()
    if not lines:
        out.print("no step of this run asks a model")
        return
    right = ("sent", "accepted", "yield", "tokens", "dollars", "per 1K")
    made = table("step", "family", *right, right=right)
    for line in lines:
        sent = line.counts.total() if line.sent is None else line.sent
        per = line.dollars_per_1k
        made.add_row(
            one_line(line.step, 24),
            one_line(line.family, 24),
            f"{sent:,}",
            f"{line.counts['accepted']:,}",
            share(line.counts["accepted"], sent),
            f"{line.completion_tokens:,}",
            f"${line.dollars:,.4f}",
            "" if per is None else f"${per:,.5f}",
        )
    out.print(made)
    out.print()
    rest = [name for name in (*LEDGER[1:], "unused") if any(line.counts[name] for line in lines)]
    if rest:
        made = table("family", *(name.replace("_", " ") for name in rest), right=[n.replace("_", " ") for n in rest])
        for line in lines:
            made.add_row(one_line(line.family, 24), *(f"{line.counts[name]:,}" for name in rest))
        out.print(made)
    for line in lines:
        if line.sent is None:
            out.print(
                f"{line.family}: the journal is not on this machine: requests are counted, not attempts", style="dim"
            )
        elif not line.balanced:
            out.print(f"{line.family}: {line.sent:,} sent, {line.counts.total():,} told of", style="red")
