"""`curate plan`: what a run would do, and why; runs nothing. With --pilot it asks a few questions, and tells the price of all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.app import JSON, app, examples
from curate.cli.run import STORE
from curate.errors import EndpointError

if TYPE_CHECKING:
    from curate.recipe.plan import Plan
    from curate.recipe.recipe import Recipe
    from curate.run.foresight import Foreseen
    from curate.run.pilot import Pilot, Range
    from curate.store.files import Store


@app.command(
    short_help="Check a recipe and say what a run would do; run nothing.",
    epilog=examples(
        "curate plan phi-1-mini",
        "curate plan my.yaml --json",
        "curate plan my.yaml --pilot 20        ask 20 questions of each step; say what all would cost",
    ),
)
def plan(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or the path of a YAML file.")],
    store: STORE = None,
    sample: Annotated[float, typer.Option(help="As for 'curate run'.", min=0, max=1)] = 1.0,
    limit: Annotated[int | None, typer.Option(help="As for 'curate run'.", min=1)] = None,
    pilot: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Send the first N requests of each step that asks a model, and estimate from them what all will cost. They "
            "are paid, under the budget, and the run does not pay for them again.",
            min=1,
        ),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Read and check everything, run nothing: what is done, what is stale and why, what is to do, and its cost.

    What a run would lack (an input that is not there, an endpoint that stands for one's own) is its last line, and no endpoint
    is asked.
    """
    from curate.cli.run import options, store_of
    from curate.recipe.lacking import check_ready
    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import find_recipe, load_recipe
    from curate.run.foresight import foresee
    from curate.run.terms import check_teachers

    loaded = load_recipe(find_recipe(recipe))
    try:
        made = make_plan(loaded, options(sample, limit))
    except EndpointError:
        check_ready(loaded)  # what to put where is worth more than a tokenizer that can't be fetched
        raise
    check_teachers(made)
    place = store_of(store, loaded.name)
    tried = None
    if pilot is None:
        states = foresee(made, place)
    else:
        check_ready(loaded)
        states, tried = _pilot(made, place, pilot, as_json=as_json)
    if as_json:
        steps = [vars(state) for state in states]
        value: Any = steps if tried is None else {"steps": steps, "pilot": tried.plain(loaded.budget)}
        print(json.dumps(value, indent=1))
    else:
        _show(loaded, states)
        if tried is not None:
            _show_pilot(loaded, tried)
    check_ready(loaded)


def _pilot(made: Plan, place: Store, number: int, *, as_json: bool) -> tuple[list[Foreseen], Pilot]:
    """Send the pilot's requests, as the only one who writes to the store."""
    from curate.cli.progress import choose_view
    from curate.run.cluster import Runner
    from curate.run.engine import Engine
    from curate.run.lease import Lease
    from curate.run.pilot import run_pilot
    from curate.run.progress import Silent

    with choose_view(as_json=as_json) as view, Lease(place, "curate plan --pilot", note=view.note) as lease:
        for line in made.recipe.trusts():
            view.note(line)
        with Runner(0, plugins=made.recipe.plugins) as runner:
            return run_pilot(Engine(made, place, runner, Silent(), lease=lease), number, view.note)


def _show(loaded: Recipe, states: list[Foreseen]) -> None:
    from rich.text import Text

    from curate.cli.tables import console, table
    from curate.report.plain import one_line

    out = console()
    out.print(Text.assemble((loaded.name, "bold"), "  ", one_line(loaded.about, 400)))
    for line in loaded.trusts():
        out.print(one_line(line, 400), soft_wrap=True)
    made_of = table("step", "use", "from", "state", "why", fold=("from", "why"))
    colours = {
        "done": "green",
        "to do": "yellow",
        "stale": "red",
        "half done": "yellow",
        "later": "dim",
        "missing": "red",
    }
    for state in states:
        colour = colours.get(state.state, "")
        made_of.add_row(
            state.step, state.use, ", ".join(state.inputs), Text(state.state, style=colour), one_line(state.why, 400)
        )
    out.print(made_of)
    if loaded.models:
        caps = {k: v for k, v in loaded.budget.model_dump().items() if v is not None}
        said = ", ".join(f"{v:,.15g} {k.replace('_', ' ')}" for k, v in caps.items()) or "no cap: set 'budget:'"
        out.print(f"\nat most: {said}")
        for name, price in loaded.prices.items():
            out.print(f"{name}: {one_line(price, 400)}", soft_wrap=True)


def _show_pilot(loaded: Recipe, tried: Pilot) -> None:
    from curate.cli.tables import console, table
    from curate.run.pilot import amount

    def ranged(value: Range) -> str:
        return f"{amount(value.middle)} ({amount(value.low)}-{amount(value.high)})"

    out = console()
    measured = table(
        "step", "pilot", "accepted", "tokens each", "$ each", "left", right=("pilot", "accepted", "tokens each", "$ each", "left")
    )  # fmt: skip
    costs = table("step", "prompt tokens", "completion tokens", "$", right=("prompt tokens", "completion tokens", "$"))
    for one in tried.estimates:
        each = f"{one.tokens_each[0]:,.0f} + {one.tokens_each[1]:,.0f}"
        measured.add_row(
            one.step,
            str(one.sent),
            str(one.accepted),
            each,
            amount(one.dollars_each),
            f"{one.left:,} of {one.planned:,}",
        )
        costs.add_row(one.step, ranged(one.prompt_tokens), ranged(one.completion_tokens), ranged(one.dollars))
    if tried.estimates:
        out.print("\nmeasured by the pilot:")
        out.print(measured)
        out.print("\nwhat is left would cost (95 % range):")
        out.print(costs)
    for one in tried.estimates:
        for note in one.notes:
            out.print(f"{one.step}: {note}", soft_wrap=True)
    for step, why in tried.unknown.items():
        out.print(f"{step}: not estimated: {why}", soft_wrap=True)
    if tried.stopped:
        out.print("the cap ended the pilot", soft_wrap=True)
    for line in tried.against(loaded.budget):
        out.print(line, soft_wrap=True)
