"""`curate push`: a dataset to the Hugging Face hub."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import RecipeError

if TYPE_CHECKING:
    from curate.report.run_folder import RunFolder


@app.command(
    short_help="A dataset to the Hugging Face hub, with its card.",
    epilog=examples(
        "curate push runs/phi-1/dataset me/phi-1            a private repository",
        "curate push runs/phi-1/dataset me/phi-1 --public   for everybody",
        "curate push runs/phi-1/dataset me/phi-1 --accept-terms 'CC-BY-NC-4.0'",
        after="The token is HF_TOKEN, the file that HF_TOKEN_FILE names, or that of 'hf auth login'. Cut off? The same "
        "command again sends only what is missing; nothing shows before all is there.",
    ),
)
def push(
    dataset: Annotated[str, typer.Argument(help="A written dataset in its run, as RUN/STEP, or a copy with --run.")],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME on the hub; made when there is none.")],
    run: Annotated[
        str | None, typer.Option("--run", help="The run that made it. Default: the one in which it lies.")
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="With --run: the step that wrote it. Default: as the dataset says.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it.")] = False,
    accept_terms: Annotated[
        list[str] | None,
        typer.Option(
            help="Terms of documents that ask for more than to be named, and that you may give on; repeatable. 'unknown': all that nothing is known of."
        ),
    ] = None,
    message: Annotated[str, typer.Option("-m", "--message", help="Of the commit.")] = "",
    as_json: JSON = False,
) -> None:
    """Upload a dataset with a card that says what it is made of and under which terms; private unless --public is said."""
    from curate.cli.check import Progress
    from curate.export.push import push as send
    from curate.export.push import token
    from curate.report.dataset_folder import the_dataset
    from curate.report.plain import one_line, size
    from curate.report.publish import publication

    opened = the_dataset(dataset)
    made_by, writer = _run_of(dataset, run, step)
    ready = publication(opened, made_by, writer, accept_terms or [])
    key = token()
    total = sum(len(data) if isinstance(data, bytes) else data.stat().st_size for data in ready.files.values())
    said = message or f"{writer}: {sum(max(0, s.rows) for s in opened.shards):,} rows"
    with Progress(total, "uploading", quiet=as_json) as progress:
        done = send(ready.files, repo, key, public=public, message=said, folders=ready.folders, done=progress.advance)
    if as_json:
        print(json.dumps({**dataclasses.asdict(done), "accepted": ready.accepted}, indent=1))
        return
    for terms, rows in ready.accepted.items():
        print(f"accepted: {rows:,} rows under {one_line(terms, 100)}")
    if done.removed:
        print(f"removed {len(done.removed):,} files of the version before")
    print(f"{repo}: {done.files:,} files, {size(done.bytes)}, {'public' if done.public else 'private'}")
    print(one_line(done.url, 400))


def _run_of(dataset: str, run: str | None, step: str | None) -> tuple[RunFolder, str]:
    """The run that made a dataset, and the step; raises RecipeError where they are not known."""
    from curate.report.dataset_folder import run_above, the_dataset
    from curate.report.run_folder import open_run
    from curate.store.provenance import provenance

    above = run_above(dataset)
    if run is None and above is None:
        raise RecipeError(
            "lies alone, and only its run knows the terms of its documents",
            place=dataset,
            cure="push it as RUN/STEP, or give the run as --run",
        )
    opened = open_run(run if run is not None else str(above[0]) if above else "")
    made_of = provenance(the_dataset(dataset).folder)
    name = step or (above[1] if above is not None and run is None else made_of.get("dataset", ""))
    if name not in opened.steps:
        raise RecipeError(
            f"the run has no step '{name}'", place=str(opened.store), cure=f"it has: {', '.join(opened.steps)}"
        )
    return opened, name
