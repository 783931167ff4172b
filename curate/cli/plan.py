"""`curate plan`: what a run would do, and why; runs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from curate.cli.app import JSON, app


@app.command(epilog="Examples:  curate plan phi-1-mini   |   curate plan my.yaml --json")
def plan(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or the path of a YAML file.")],
    store: Annotated[Path | None, typer.Option(help="Folder for results. Default: runs/<recipe>.")] = None,
    sample: Annotated[float, typer.Option(help="As for 'curate run'.", min=0, max=1)] = 1.0,
    limit: Annotated[int | None, typer.Option(help="As for 'curate run'.", min=1)] = None,
    as_json: JSON = False,
) -> None:
    """Read and check everything, run nothing: what is done, what is stale and why, what is to do, and its cost."""
    from curate.cli.run import default_store
    from curate.recipe.plan import Options, make_plan
    from curate.recipe.recipe import find_recipe, load_recipe
    from curate.run.foresight import foresee
    from curate.store.files import Store

    loaded = load_recipe(find_recipe(recipe))
    made = make_plan(loaded, Options(sample, limit))
    states = foresee(made, Store((store or default_store(loaded.name)).absolute()))
    if as_json:
        print(json.dumps([vars(s) for s in states], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{loaded.name}[/bold]  {loaded.about}")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("step", "use", "from", "state", "why"):
        table.add_column(column, overflow="fold")
    colours = {"done": "green", "to do": "yellow", "stale": "red", "half done": "yellow", "later": "dim"}
    for state in states:
        colour = colours.get(state.state, "")
        table.add_row(state.step, state.use, ", ".join(state.inputs), f"[{colour}]{state.state}[/{colour}]", state.why)
    console.print(table)
    if loaded.models:
        caps = {k: v for k, v in loaded.budget.model_dump().items() if v is not None}
        said = ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in caps.items()) or "no cap: set 'budget:'"
        console.print(f"\nat most: {said}", markup=False)
