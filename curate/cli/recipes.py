"""`curate recipes`: which recipes are shipped, and what each is for."""

from __future__ import annotations

import json

from curate.cli.app import JSON, app, examples


@app.command(
    short_help="Recipes that are shipped, and what each makes.",
    epilog=examples(
        "curate recipes",
        "curate plan phi-1              what one wants to be put where, and what it would do",
        "curate copy phi-1 my.yaml      start one's own",
    ),
)
def recipes(as_json: JSON = False) -> None:
    """List the shipped recipes: a full one, with inputs and endpoints of yours, and its -mini twin, which runs as it is."""
    from curate import assets
    from curate.recipe.recipe import find_recipe, load_recipe

    found = [load_recipe(find_recipe(name), plugins=False) for name in assets.names("pipelines")]
    if as_json:
        print(json.dumps([{"recipe": r.name, "about": r.about, "steps": len(r.steps)} for r in found], indent=1))
        return
    from curate.cli.tables import console, table

    made = table("recipe", "what it makes", fold=("what it makes",))
    for one in found:
        made.add_row(one.name, one.about)
    out = console()
    out.print(made)
    out.print("\nOne of them: curate run NAME, curate plan NAME, curate copy NAME my.yaml", style="dim")
