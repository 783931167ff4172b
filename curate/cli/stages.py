"""`curate stages`: what steps a recipe can use, and their settings."""

from __future__ import annotations

import inspect as python_inspect
import json
from typing import Annotated, Any

import typer

from curate.cli.app import JSON, app


@app.command(epilog="Examples:  curate stages   |   curate stages dedup.near   |   curate stages dedup.near --json")
def stages(
    name: Annotated[str | None, typer.Argument(help="One stage, to see its settings and reasons.")] = None,
    as_json: JSON = False,
) -> None:
    """List all stages, or show one stage's settings, reasons and columns."""
    from curate.stages import load_all
    from curate.stages.base import registered, stage_class

    load_all()
    if as_json:
        chosen = registered() if name is None else {name: stage_class(name)}
        print(json.dumps({n: _facts(s) for n, s in chosen.items()}, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if name is None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("stage", no_wrap=True)
        table.add_column("kind", no_wrap=True)
        table.add_column("what it does")
        for stage_name, stage in registered().items():
            table.add_row(stage_name, _kind(stage), _first_line(stage))
        console.print(table)
        console.print("\nSettings and reasons of one: curate stages NAME", style="dim")
        return
    stage = stage_class(name)
    console.print(f"[bold]{name}[/bold]  ({_kind(stage)}, revision {stage.revision})\n")
    console.print(python_inspect.cleandoc(stage.__doc__ or ""), markup=False)
    settings = Table(box=None, pad_edge=False, header_style="bold", title="\nsettings", title_justify="left")
    for column in ("setting", "default", "what it is"):
        settings.add_column(column)
    for field, facts in _facts(stage)["settings"].items():
        settings.add_row(field, "required" if facts["required"] else json.dumps(facts["default"]), facts["about"])
    console.print(settings, markup=False)
    if stage.reasons:
        reasons = Table(box=None, pad_edge=False, header_style="bold", title="\nreasons", title_justify="left")
        reasons.add_column("reason", no_wrap=True)
        reasons.add_column("a row goes because")
        for reason, why in stage.reasons.items():
            reasons.add_row(reason, why)
        console.print(reasons)


def _kind(stage: type[Any]) -> str:
    from curate.stages import base

    for kind in (base.Source, base.Filter, base.Global, base.Trainer, base.Generator, base.Writer):
        if issubclass(stage, kind):
            return kind.__name__.lower()
    return "stage"


def _first_line(stage: type[Any]) -> str:
    return python_inspect.cleandoc(stage.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _facts(stage: type[Any]) -> dict[str, Any]:
    settings = {
        name: {
            "required": field.is_required(),
            "default": None if field.is_required() else field.get_default(call_default_factory=True),
            "about": field.description or "",
        }
        for name, field in stage.model_fields.items()
    }
    return {
        "kind": _kind(stage),
        "revision": stage.revision,
        "about": _first_line(stage),
        "settings": settings,
        "reasons": dict(stage.reasons),
    }
