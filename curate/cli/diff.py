"""`curate diff`: why two datasets differ."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from curate.report.diff import Change, Diff, StepDiff
    from curate.report.diff_rows import Missing, Rows, Side

_WIDTH = 80
_SHOWN = 8


@app.command(
    short_help="Why two datasets differ: settings, inputs, steps, documents.",
    epilog=examples(
        "curate diff runs/a runs/b                  two runs",
        "curate diff runs/a/dataset copied/dataset  two datasets, also copies without their runs",
        "curate diff old-manifest.json runs/b       a manifest that was kept",
        after="Exit 0 when they are the same, 1 when they differ.",
    ),
)
def diff(
    a: Annotated[str, typer.Argument(help="What was before: a run, a dataset's folder, or a manifest.")],
    b: Annotated[str, typer.Argument(help="What came after.")],
    rows: Annotated[bool, typer.Option("--rows/--no-rows", help="Compare the documents, too.")] = True,
    as_json: JSON = False,
) -> None:
    """Explain why two datasets differ: by field, by step, by counts, and by documents that only one of them has."""
    from curate.report.diff import diff_manifests
    from curate.report.diff_rows import diff_rows
    from curate.store.provenance import of_dataset

    sides = [_open(name) for name in (a, b)]
    writers = {str(side.manifest["dataset"]) for side in sides if "dataset" in side.manifest}
    for side in sides:
        # A run beside one of its datasets: only what that one was made of.
        if (
            len(writers) == 1
            and "dataset" not in side.manifest
            and any(s["id"] in writers for s in side.manifest["steps"])
        ):
            side.narrow(of_dataset(side.manifest, next(iter(writers))))
    found = diff_manifests(sides[0].manifest, sides[1].manifest)
    documents = None
    if rows and all(side.rows is not None for side in sides):
        documents = diff_rows(*(side.rows for side in sides if side.rows is not None))
    same = found.same_meaning and (documents is None or documents.same)
    if as_json:
        said = dataclasses.asdict(found)
        print(json.dumps({"same": same, **said, "rows": documents and dataclasses.asdict(documents)}, indent=1))
    else:
        _show(found, documents, a, b)
    if not same:
        raise typer.Exit(1)


@dataclass
class _Opened:
    """One of the two: what it says of itself, and its documents, if it has them."""

    manifest: dict[str, Any]
    rows: Side | None

    def narrow(self, manifest: dict[str, Any]) -> None:
        self.manifest = manifest
        if self.rows is not None:
            self.rows = dataclasses.replace(self.rows, writer=manifest["dataset"])


def _open(name: str) -> _Opened:
    from curate.report.dataset_folder import locate_dataset, run_above
    from curate.report.diff_rows import Side
    from curate.report.run_folder import finished_run, is_run, locate_run
    from curate.store.files import store_at
    from curate.store.provenance import provenance

    path = Path(name)
    if path.is_file():
        return _Opened(_manifest(path), None)
    written = locate_dataset(name) or (store_at(name) if path.is_dir() and not is_run(store_at(name)) else None)
    if written is not None:
        made_of = provenance(written)
        if not made_of:
            raise RecipeError(
                "does not say what it was made of",
                place=name,
                cure="give a run, a dataset that curate wrote, or a manifest",
            )
        above = run_above(name)
        if above is not None and above[1] == made_of["dataset"]:
            return _Opened(made_of, Side(finished_run(above[0]), writer=above[1]))
        return _Opened(made_of, Side(None, written))
    run = finished_run(locate_run(name))
    return _Opened(run.manifest, Side(run))


def _manifest(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        value = None
    whole = isinstance(value, dict) and {"manifest", "steps", "inputs"} <= value.keys()
    if not whole or not isinstance(value["steps"], list) or not all(isinstance(step, dict) for step in value["steps"]):
        raise RecipeError(
            "is no manifest", place=str(path), cure="give a run's manifest.json or a dataset's provenance.json"
        )
    return value


# -- shown ---------------------------------------------------------------------------------------------------


def _show(found: Diff, documents: Rows | None, a: str, b: str) -> None:
    from curate.cli.tables import console
    from curate.report.plain import one_line

    out = console(_WIDTH)
    out.print(f"A  {one_line(a, 70)}\nB  {one_line(b, 70)}\n")
    if found.same and (documents is None or documents.same):
        out.print("the same")
        return
    cause = next((s for s in found.steps if s.id == found.cause), None)
    if cause is not None:
        out.print(f"first cause: {one_line(cause.id, 64)} ({one_line(cause.use, 64)})", style="bold")
        for line in _why(cause):
            _line(out, line)
        after = [s.id for s in found.steps if s.state == "follows"]
        if after:
            _line(out, f"what follows from it, or from others: {', '.join(after)}", style="dim")
        out.print()
    elif not found.same_meaning:
        out.print("no setting and no input differs; what came of them does\n", style="bold")
    if found.head:
        out.print("of all of it", style="bold")
        for change in found.head:
            _line(out, _change(change))
        out.print()
    for step in found.steps:
        _step(out, step, cause=step is cause)
    same = [s.id for s in found.steps if not s.differs]
    if same:
        out.print(f"the same: {one_line(', '.join(same), 4000)}", style="dim")
    if documents is not None:
        _rows(out, documents)


def _line(out: Console, text: str, style: str = "") -> None:
    """A line that is set in, and stays so where it is broken."""
    from rich.padding import Padding
    from rich.text import Text

    from curate.report.plain import one_line

    # Names of files and steps are a stranger's where a copy is looked at.
    out.print(Padding(Text(one_line(text, 4000), style=style), (0, 0, 0, 2)))


def _why(step: StepDiff) -> list[str]:
    if step.state in ("added", "removed"):
        return [f"only in {'B' if step.state == 'added' else 'A'}"]
    found = [_change(c) for c in step.changes]
    for kind, names in step.inputs.items():
        shown = ", ".join(names[:_SHOWN]) + (f", {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
        found.append(f"{len(names):,} input{'s' * (len(names) > 1)} {kind}: {shown}")
    return found


def _step(out: Console, step: StepDiff, *, cause: bool) -> None:
    from rich.text import Text

    from curate.report.plain import one_line

    if not step.differs:
        return
    styles = {"added": "green", "removed": "red", "changed": "yellow", "follows": "dim", "same": ""}
    said = f"follows {', '.join(step.follows)}" if step.state == "follows" and step.follows else step.state
    said = "came out otherwise" if step.state == "same" else said
    shown = ((step.id, "bold"), (step.use, "dim"), (said, styles[step.state]))
    out.print(Text("  ").join(Text(one_line(words, 400), style=style) for words, style in shown))
    for line in [] if cause or step.state in ("added", "removed") else _why(step):
        _line(out, line)
    if step.counts:
        _line(out, ", ".join(f"{c.name.replace('_', ' ')} {_pair(c)}" for c in step.counts))
    if step.reasons:
        _line(out, f"dropped: {', '.join(f'{c.name} {_pair(c)}' for c in step.reasons)}")
    if step.shards is not None:
        _line(out, "the same bytes" if step.shards else "other bytes")


def _pair(change: Change) -> str:
    more = change.after - change.before
    return f"{change.before:,} -> {change.after:,} ({more:+,})"


def _change(change: Change) -> str:
    from curate.report.diff import OUTPUT, REVISION
    from curate.report.plain import one_line

    if change.name == OUTPUT:
        return "what it made is another thing (a model, answers), of the same settings and inputs"
    if change.name == REVISION:
        return "another revision of the stage"
    if change.name.endswith(" (content)") and change.before and change.after:
        return f"{change.name.removesuffix(' (content)')}: its content changed"
    before, after = (
        one_line("-" if v is None else json.dumps(v, ensure_ascii=False), 60) for v in (change.before, change.after)
    )
    return f"{change.name}: {before} -> {after}"


def _rows(out: Console, rows: Rows) -> None:
    out.print(
        f"\ndocuments: {rows.both:,} in both ({rows.edited:,} with another text), {rows.only_a:,} only in A, "
        f"{rows.only_b:,} only in B",
        style="bold",
    )
    for title, missing in (("only in A; B says", rows.missing_in_b), ("only in B; A says", rows.missing_in_a)):
        if missing:
            out.print(f"{title}:")
        for one in missing:
            _missing(out, one)


def _missing(out: Console, one: Missing) -> None:
    from curate.report.plain import one_line

    where = f"{one.step}: {one.reason}" if one.step else one.reason
    _line(out, f"{one.documents:,} {where}" + (f" ({one.sentence})" if one.sentence else ""))
    for example in one.examples:
        out.print(f"     {example.id[:12]}  {one_line(f'{example.origin}  {example.said}', 60)}", style="dim")
