"""`curate check`: is everything there that a run needs; is a recipe valid; is a result still what was written."""

from __future__ import annotations

import json
import sys
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Self

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import DamagedError

if TYPE_CHECKING:
    from curate.report.verify import Verified
    from curate.store.files import Store


@app.command(
    short_help="This machine, a recipe, a run or a dataset: is it in order?",
    epilog=examples(
        "curate check                   this machine: libraries, sandbox, model, memory",
        "curate check my.yaml           a recipe: settings, columns, assets; reads no input",
        "curate check runs/phi-1-mini   a run: its shards against their SHA-256; exit 9 if wrong",
        "curate check runs/phi-1-mini/dataset",
    ),
)
def check(
    what: Annotated[str | None, typer.Argument(metavar="RECIPE|RUN|DATASET", help="Nothing: this machine.")] = None,
    as_json: JSON = False,
) -> None:
    """Check this machine, a recipe, a run or a dataset."""
    if what is None:
        _machine(as_json=as_json)
        return
    from curate.report.dataset_folder import locate_dataset
    from curate.report.run_folder import is_run
    from curate.store.files import store_at

    if what.endswith((".yaml", ".yml")):
        _recipe(what, as_json=as_json)
        return
    written = locate_dataset(what)
    if written is not None:
        _dataset(what, written, as_json=as_json)
    elif is_run(store_at(what)) or "://" in what or is_run(store_at(f"runs/{what}")):
        _run(what, as_json=as_json)
    else:
        _recipe(what, as_json=as_json)


def _machine(*, as_json: bool) -> None:
    from curate.cli.machine import look
    from curate.cli.tables import console, table

    found = look()
    if as_json:
        print(json.dumps([vars(f) for f in found], indent=1))
    else:
        from rich.text import Text

        styles = {"ok": "green", "note": "yellow", "bad": "red"}
        made = table("", "what", "found", "what to do", fold=("found", "what to do"))
        for each in found:
            made.add_row(Text(each.state, style=styles[each.state]), each.what, each.found, each.cure)
        console().print(made)
    if any(f.state == "bad" for f in found):
        raise typer.Exit(1)


def _recipe(what: str, *, as_json: bool) -> None:
    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import find_recipe, load_recipe

    plan = make_plan(load_recipe(find_recipe(what)))
    if as_json:
        print(json.dumps({"recipe": plan.recipe.name, "steps": list(plan.steps), "ok": True}))
        return
    print(
        f"{what}: OK, {len(plan.steps)} steps. What is done and to do, and whether inputs are there: curate plan {quote(what)}"
    )


def _run(what: str, *, as_json: bool) -> None:
    from curate.report.run_folder import open_run
    from curate.report.verify import verify_run

    run = open_run(what)
    total = sum(int(s["size"]) for step in run.steps.values() for s in step.record.shards)
    with Progress(total, "checking", quiet=as_json) as progress:
        found = verify_run(run, progress.advance)
    _verdict(found, str(run.store), "every shard has its SHA-256 and its rows", as_json=as_json)


def _dataset(what: str, folder: Store, *, as_json: bool) -> None:
    from curate.report.dataset_folder import run_above, shards
    from curate.report.run_folder import open_run
    from curate.report.verify import verify_dataset, verify_run
    from curate.store.provenance import PROVENANCE

    total = sum(shard.size for shard in shards(folder))
    above = run_above(what)
    if above is not None:
        run = open_run(str(above[0]))
        if above[1] in run.steps:
            with Progress(total, "checking", quiet=as_json) as progress:
                found = verify_run(run, progress.advance, only=above[1])
            _verdict(found, str(folder), "every shard has its SHA-256 and its rows", as_json=as_json)
            return
    with Progress(total, "checking", quiet=as_json) as progress:
        found = verify_dataset(folder, progress.advance)
    alone = "every shard can be read; without its provenance.json nothing can be compared"
    said = "every shard has its SHA-256 and its rows" if folder.exists(PROVENANCE) else alone
    _verdict(found, str(folder), said, as_json=as_json)


def _verdict(found: Verified, place: str, said: str, *, as_json: bool) -> None:
    from curate.report.plain import one_line

    if as_json:
        print(
            json.dumps({"files": found.files, "rows": found.rows, "bytes": found.bytes, "wrong": found.wrong}, indent=1)
        )
    else:
        for path, why in found.wrong[1:]:
            print(one_line(f"{path}: {why}", 400), file=sys.stderr)
    if found.wrong:
        path, why = found.wrong[0]
        more = f" (and {len(found.wrong) - 1} more files)" if len(found.wrong) > 1 else ""
        raise DamagedError(
            f"{why}{more}",
            place=path,
            cure="remove the step's folder below steps/ and run the recipe again to make it anew",
        )
    if not as_json:
        print(
            f"{one_line(place, 400)}: OK, {found.files:,} files, {found.rows:,} rows, {found.bytes / 1e6:,.1f} MB; {said}"
        )


class Progress:
    """A bar for bytes on a terminal's stderr, nothing elsewhere."""

    def __init__(self, total: int, doing: str, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar

        self._bar = Bar(console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty())
        self._task = self._bar.add_task(doing, total=total or None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, size: int) -> None:
        """So many more bytes are done."""
        self._bar.advance(self._task, size)
