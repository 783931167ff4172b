"""`curate audit`: what every rule of a recipe would do, on a sample."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from curate.cli.app import JSON, app, examples

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from curate.recipe.plan import Plan
    from curate.run.audit import Audit, Pair

_PAIRS: Final = 12
"""Pairs of rules that are shown."""
_SMALL_BYTES: Final = 64 << 20


@app.command(
    short_help="Try every rule on a sample, also on what earlier rules drop.",
    epilog=examples(
        "curate audit phi-1-mini                      every filter that comes after a source",
        "curate audit my.yaml --sample 0.01           one document in a hundred, by its id",
        "curate audit my.yaml --limit 1000            the first thousand of each source: quick",
        "curate audit my.yaml --step rules            one filter, as if it stood alone",
        after="A run stops at the first rule that a document breaks; an audit goes on, so that rules can be compared. It "
        "leaves nothing behind. To look at single values: signals.text and 'curate inspect --signal'.",
    ),
)
def audit(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or the path of a YAML file.")],
    sample: Annotated[
        float | None,
        typer.Option(
            help="Share of documents, by hash of id, as for 'curate run'. Default: what makes 64 MB of input.",
            min=0,
            max=1,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many documents of each source.", min=1)] = None,
    step: Annotated[str | None, typer.Option(help="Only this filter, as if it stood alone.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; 0 works in this one. Default: as many as help.", min=0)
    ] = None,
    as_json: JSON = False,
) -> None:
    """Measure a sample with every filter, also what an earlier one drops: what each rule does, and it alone."""
    from rich.console import Console as Terminal
    from rich.progress import Progress

    from curate.cli.run import options
    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import find_recipe, load_recipe
    from curate.run.audit import Auditor
    from curate.run.cluster import Runner

    plan = make_plan(load_recipe(find_recipe(recipe)), options(1.0 if sample is None else sample, limit))
    auditor = Auditor(plan, step, sample, limit)
    # Starting processes takes longer than reading a little.
    small = limit is not None or auditor.tasks < 2 or auditor.bytes < _SMALL_BYTES
    count = workers if workers is not None else 0 if small else min(os.cpu_count() or 1, auditor.tasks)
    quiet = as_json or not sys.stderr.isatty()
    with Progress(console=Terminal(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("auditing", total=auditor.bytes or None)
        with Runner(count, plugins=plan.recipe.plugins) as runner:
            found = auditor.run(runner, lambda size: bar.advance(task, size))
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return
    from curate.cli.tables import console

    _show(console(120), found, plan, step)


def _show(out: Console, found: Audit, plan: Plan, step: str | None) -> None:
    from rich.padding import Padding

    _head(out, found)
    _rules(out, found, plan, alone=step is not None)
    _pairs(out, found, one_step=len({r.step for r in found.rules}) == 1)
    if found.left_out:
        out.print("\nnot audited", style="bold")
        for name, why in found.left_out.items():
            out.print(Padding(f"{name} ({plan.steps[name].stage.name}): it {why}", (0, 0, 0, 2)))


def _head(out: Console, found: Audit) -> None:
    from rich.text import Text

    from curate.cli.tables import share

    if found.limit is not None:
        chosen = f", at most {found.limit:,} of each source" + (f" and {found.sample:.3g} of all" * (found.sample < 1))
    elif found.sample < 1:
        chosen = f", a sample of {found.sample:.2%} (--sample {found.sample:.3g}) by hash of their ids"
    else:
        chosen = ", all there are"
    out.print(Text.assemble((found.recipe, "bold"), f": {found.documents:,} documents{chosen}"))
    if found.set_aside:
        out.print(f"{found.set_aside:,} records were no documents and were set aside")
    said = share(found.broken, found.documents)
    out.print(f"{found.broken:,}{f' ({said})' if said else ''} break a rule; each is tried on every document\n")


def _rules(out: Console, found: Audit, plan: Plan, *, alone: bool) -> None:
    from rich.text import Text

    from curate.cli.tables import share, table

    wide = out.width >= 100
    numbers = ("breaks it", "", "only it", "", "in a run", "")
    made = table("rule", *(("goes if",) if wide else ()), fold=("goes if",) if wide else ("rule",))
    for name in numbers:
        made.add_column(name, justify="right", no_wrap=True)
    ruled = {rule.step for rule in found.rules}
    for each in found.steps:
        if each.step not in ruled and each.bytes_in == each.bytes_out:
            continue
        cells: list[Text | str] = [Text(each.step, style="bold"), *([Text(each.use, style="dim")] if wide else [])]
        cells += _cells(each.broken, each.documents, None, each.documents, each.dropped, each.arrived)
        made.add_row(*cells)
        bounds = _bounds(plan, each.step)
        for rule in found.rules:
            if rule.step != each.step:
                continue
            cells = [Text(f"  {rule.reason}", style="yellow" if rule.broken else "dim")]
            if wide:
                cells.append(Text(bounds.get(rule.reason, ""), style="dim"))
            cells += _cells(rule.broken, each.documents, rule.only, each.documents, rule.first, each.arrived)
            made.add_row(*cells)
        if each.bytes_in != each.bytes_out:
            removed = share(each.bytes_in - each.bytes_out, each.bytes_in)
            made.add_row(Text(f"  its edits take {removed} of the text", style="dim"))
    out.print(made)
    arrives = "" if alone or len(ruled) == 1 else ", a share of what reaches the step"
    out.print(
        "\nbreaks it: whatever else they break; only it: they break no other rule, and would stay without it; "
        f"in a run: what it drops there, where rules are tried in order{arrives}",
        style="dim",
    )


def _cells(broken: int, documents: int, only: int | None, of: int, first: int, arrived: int) -> list[Text | str]:
    from rich.text import Text

    from curate.cli.tables import share

    cells: list[Text | str] = []
    for part, whole in ((broken, documents), (only, of), (first, arrived)):
        style = "" if part else "dim"
        cells += ["", ""] if part is None else [Text(f"{part:,}", style=style), Text(share(part, whole), style=style)]
    return cells


def _bounds(plan: Plan, step: str) -> dict[str, str]:
    """What a rule compares, by reason."""
    from curate.report.plain import number
    from curate.stages.base import Filter

    stage = plan.steps[step].stage
    said: dict[str, list[str]] = {}
    for t in stage.thresholds() if isinstance(stage, Filter) else ():
        said.setdefault(t.reason, []).append(t.signal if t.op == "is" else f"{t.signal} {t.op} {number(t.value)}")
    return {reason: " or ".join(each) for reason, each in said.items()}


def _pairs(out: Console, found: Audit, *, one_step: bool) -> None:
    from rich.text import Text

    from curate.cli.tables import share, table

    broken = {(r.step, r.reason): r.broken for r in found.rules}
    # Two rules that share two documents of thousands say nothing.
    shown = [p for p in found.pairs if p.both >= max(2, found.documents / 1000)][:_PAIRS]
    if not shown:
        return

    out.print("\nrules that go together", style="bold")
    made = table("rules", "both", "of the 1st", "of the 2nd", right=("both", "of the 1st", "of the 2nd"))
    for pair in shown:
        made.add_row(
            Text(_names(pair, one_step=one_step)),
            f"{pair.both:,}",
            share(pair.both, broken[pair.one]),
            share(pair.both, broken[pair.other]),
        )
    out.print(made)


def _names(pair: Pair, *, one_step: bool) -> str:
    (step, reason), (other_step, other) = pair.one, pair.other
    first = reason if one_step else f"{step}: {reason}"
    return f"{first}, {other}" if step == other_step else f"{first}, {other_step}: {other}"
