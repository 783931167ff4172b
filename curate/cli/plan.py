"""`curate plan`: what a run would do, and why; runs nothing."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from curate.cli.app import JSON, app, examples
from curate.cli.run import STORE


@app.command(
    short_help="Check a recipe and say what a run would do; run nothing.",
    epilog=examples("curate plan phi-1-mini", "curate plan my.yaml --json"),
)
def plan(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or the path of a YAML file.")],
    store: STORE = None,
    sample: Annotated[float, typer.Option(help="As for 'curate run'.", min=0, max=1)] = 1.0,
    limit: Annotated[int | None, typer.Option(help="As for 'curate run'.", min=1)] = None,
    as_json: JSON = False,
) -> None:
    """Read and check everything, run nothing: what is done, what is stale and why, what is to do, and its cost."""
    from curate.cli.run import options, store_of
    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import find_recipe, load_recipe
    from curate.run.foresight import foresee
    from curate.run.terms import check_teachers

    loaded = load_recipe(find_recipe(recipe))
    made = make_plan(loaded, options(sample, limit))
    check_teachers(made)
    states = foresee(made, store_of(store, loaded.name))
    if as_json:
        print(json.dumps([vars(s) for s in states], indent=1))
        return
    from rich.text import Text

    from curate.cli.tables import console, table
    from curate.report.plain import one_line

    out = console()
    out.print(Text.assemble((loaded.name, "bold"), "  ", one_line(loaded.about, 400)))
    for line in loaded.trusts():
        out.print(one_line(line, 400), soft_wrap=True)
    made_of = table("step", "use", "from", "state", "why", fold=("from", "why"))
    colours = {"done": "green", "to do": "yellow", "stale": "red", "half done": "yellow", "later": "dim"}
    for state in states:
        colour = colours.get(state.state, "")
        made_of.add_row(
            state.step, state.use, ", ".join(state.inputs), Text(state.state, style=colour), one_line(state.why, 400)
        )
    out.print(made_of)
    if loaded.models:
        caps = {k: v for k, v in loaded.budget.model_dump().items() if v is not None}
        said = ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in caps.items()) or "no cap: set 'budget:'"
        out.print(f"\nat most: {said}")
        for name, price in loaded.prices.items():
            out.print(f"{name}: {one_line(price, 400)}", soft_wrap=True)
