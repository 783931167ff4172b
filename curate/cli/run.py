"""`curate run`: run, or go on with, a recipe."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.app import JSON, app, examples, say_now
from curate.errors import CurateError, RecipeError

if TYPE_CHECKING:
    from curate.recipe.plan import Options
    from curate.store.files import Store


STORE = Annotated[
    str | None,
    typer.Option(metavar="FOLDER|URL", help="Where results go: a folder, or s3://bucket/prefix. Default: runs/NAME."),
]


def store_of(asked: str | None, name: str) -> Store:
    """What --store asks for, or where the results of a recipe of that name lie without it."""
    from curate.store.files import store_at

    return store_at(asked or f"runs/{name}")


def options(sample: float, limit: int | None) -> Options:
    """What part of the input to read; raises RecipeError for none of it."""
    from curate.recipe.plan import Options

    if sample <= 0:
        raise RecipeError("--sample must be more than 0", cure="--sample 0.01 reads one document in a hundred")
    return Options(sample, limit)


def _memory(value: str) -> str:
    """An amount of memory as Dask reads it; raises RecipeError for anything else."""
    if value != "auto" and not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})? ?([kMGT]B|[KMGT]iB)", value):
        raise RecipeError(f"--worker-memory {value} is no amount of memory", cure="write it as 2GB, 512MB or 1.5GiB")
    return value


@app.command(
    short_help="Run a recipe, or go on with it.",
    epilog=examples(
        "curate run phi-1-mini                 the shipped recipe, on all cores",
        "curate run ./my.yaml --workers 4      one's own, on four processes",
        "curate run phi-1-mini --sample 0.01   one document in a hundred, by its id",
        "curate run my.yaml --cluster tcp://host:8786",
        "                                      on a Dask cluster that sees the same folders",
        "curate run my.yaml --cluster slurm.yaml   workers as Slurm jobs, Kubernetes pods or MPI ranks (docs/clusters.md)",
        after="Killed or failed? The same command goes on from what is committed. SIGTERM or Ctrl-C lets running tasks be"
        " committed first, then ends with code 143 or 130; a second one ends at once.",
    ),
)
def run(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or the path of a YAML file.")],
    workers: Annotated[
        int | None, typer.Option(help="Processes; 0 runs in this one. Default: all cores.", min=0)
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|FILE",
            help="tcp:// or tls:// of a Dask scheduler, its scheduler file, or a cluster file (.yaml).",
        ),
    ] = None,
    store: STORE = None,
    sample: Annotated[
        float, typer.Option(help="Share of documents to read, by hash of id; samples are nested.", min=0, max=1)
    ] = 1.0,
    limit: Annotated[int | None, typer.Option(help="Read at most this many documents of each source.", min=1)] = None,
    split_mb: Annotated[
        float, typer.Option(help="MB of input per task. Results never depend on it.", min=0.001, max=1e9)
    ] = 64,
    partitions: Annotated[
        int | None, typer.Option(help="Partitions per exchange. Results never depend on it.", min=1, max=1_000_000)
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="First read every committed file whole; what is damaged is made anew.")
    ] = False,
    worker_memory: Annotated[
        str, typer.Option(help="Memory of a process, as 2GB; one that needs more is ended. Default: an equal share.")
    ] = "auto",
    grace: Annotated[
        float, typer.Option(help="Seconds that running tasks may take to end after SIGTERM or Ctrl-C.", min=0)
    ] = 25.0,
    wait: Annotated[bool, typer.Option("--wait", help="Wait while another command holds the store.")] = False,
    detached: Annotated[
        bool,
        typer.Option(
            "--detach", help="Go on in a process (with a cluster file a job or a pod) of its own, and return at once."
        ),
    ] = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT", help="Serve Prometheus metrics there while it runs; on loopback without HOST."
        ),
    ] = None,
    driver_log: Annotated[str, typer.Option(hidden=True)] = "",  # what --detach adds
    as_json: JSON = False,
) -> None:
    """Run a recipe, or go on with it: what is done already is not done again."""
    from curate.startup import without_pandas

    without_pandas()  # before any import makes an array of a list
    from curate.cli.progress import choose_view
    from curate.recipe.lacking import check_ready
    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import find_recipe, load_recipe
    from curate.report.card import write_card
    from curate.run.cluster import Runner
    from curate.run.cluster_file import read_cluster
    from curate.run.engine import Engine, Settings
    from curate.run.lease import Lease
    from curate.run.manifest import write_manifest
    from curate.run.mend import mended
    from curate.run.metrics import address_of, served
    from curate.run.needs import Needs, needs_of
    from curate.run.session import Session
    from curate.run.stop import Stop
    from curate.run.watch import Watch

    there = read_cluster(cluster) if cluster is not None else None
    if there is not None and (workers is not None or worker_memory != "auto"):
        raise RecipeError(
            f"{'--workers' if workers is not None else '--worker-memory'} is for processes of this machine, not of --cluster",
            cure="leave it out: workers are as they were started, or as the cluster file says",
        )
    loaded = load_recipe(find_recipe(recipe))
    check_ready(loaded)  # before anything is written, and before hours are spent on the other inputs
    plan = make_plan(loaded, options(sample, limit))
    place = store_of(store, loaded.name)
    count = (os.cpu_count() or 1) if workers is None else workers
    if str(place).startswith("memory://") and (count or cluster):
        raise RecipeError("a store in memory is one process's alone", place=str(place), cure="add --workers 0")
    memory = _memory(worker_memory)
    serving = address_of(metrics) if metrics is not None else None
    if detached:
        from curate.cli.detach import detach

        detach(place, there, loaded, wait=wait, as_json=as_json)
        return
    settings = Settings(split_bytes=max(1, int(split_mb * 1e6)), partitions=partitions, verify=verify)
    with (
        choose_view(as_json=as_json) as view,
        Lease(place, "curate run", wait=wait, note=view.note) as lease,
        Watch(place, lease, loaded.name, list(plan.steps), log=driver_log) as watch,
        Session(place, sys.argv, loaded.path, loaded.prices, watch) as session,
    ):
        reporter = watch.beside(view)
        view.begin(loaded, place)
        with (
            served(watch.status, serving, reporter.note),
            Stop(grace, say_now) as stop,
            Runner(
                count,
                there,
                loaded.plugins,
                needs=needs_of(plan) if there else Needs(),
                note=reporter.note,
                worker_memory=memory,
                stop=stop,
                reporter=reporter,
            ) as runner,
        ):
            engine = Engine(plan, place, runner, reporter, settings, lease)

            def walk() -> dict[str, Any]:
                engine.run()
                made = write_manifest(engine)
                # It reads rows that no step may have read in this run: they may be the damaged ones.
                write_card(place)
                return made

            try:
                manifest = mended(place, reporter.note, walk)
            except CurateError as error:
                session.failed(str(error))
                raise
        cpu = watch.status.cpu_table()
        session.finished(view.seconds, cpu)
        if as_json:
            print(json.dumps({"store": str(place), "manifest": manifest}))
        else:
            view.summary(manifest, place, cpu)
