"""`curate stages`: what steps a recipe can use, and their settings."""

from __future__ import annotations

import inspect as python_inspect
import json
import re
import textwrap
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from curate.cli.app import JSON, app, examples


@app.command(
    short_help="Stages a recipe can use, their settings and reasons.",
    epilog=examples("curate stages", "curate stages dedup.near", "curate stages dedup.near --json"),
)
def stages(
    name: Annotated[str | None, typer.Argument(help="One stage, to see its settings and reasons.")] = None,
    as_json: JSON = False,
) -> None:
    """List all stages, or show one stage's settings, reasons and signals."""
    from curate.stages import load_all
    from curate.stages.registry import registered, stage_class

    load_all()
    if as_json:
        chosen = registered() if name is None else {name: stage_class(name)}
        print(json.dumps({n: _facts(s) for n, s in chosen.items()}, indent=1))
        return
    from rich.text import Text

    from curate.cli.tables import console, table

    out = console()
    if name is None:
        made = table("stage", "kind", "what it does", fold=("what it does",))
        for stage_name, stage in registered().items():
            made.add_row(stage_name, _kind(stage), _first_line(stage))
        out.print(made)
        out.print("\nSettings and reasons of one: curate stages NAME", style="dim")
        return
    stage = stage_class(name)
    out.print(Text.assemble((name, "bold"), f"  ({_kind(stage)}, revision {stage.revision})\n"))
    for paragraph in python_inspect.cleandoc(stage.__doc__ or "").split("\n\n"):
        out.print(_broken(paragraph, out.width) + "\n")
    settings = table("setting", "default", "what it is", fold=("default", "what it is"), title="settings")
    for field, facts in _facts(stage)["settings"].items():
        settings.add_row(field, "required" if facts["required"] else json.dumps(facts["default"]), facts["about"])
    out.print(settings)
    if stage.reasons:
        goes = _conditions(stage)
        fold = ("a row goes because", "goes if")
        reasons = table("reason", *(fold if goes else fold[:1]), fold=fold, title="\nreasons")
        for reason, why in stage.reasons.items():
            reasons.add_row(reason, why, *([goes.get(reason, "")] if goes else []))
        out.print(reasons)
    if _signals(stage):
        out.print(Text("\nsignals", style="bold"))
        out.print(textwrap.fill(", ".join(_signals(stage)), out.width, break_on_hyphens=False))


def _broken(paragraph: str, width: int) -> str:
    """Prose and items of lists, broken where this terminal ends; examples and tables stay as they are."""
    lines = paragraph.split("\n")
    if not any(line.startswith((" ", "- ", "=")) for line in lines):
        return textwrap.fill(" ".join(lines), width)
    if not lines[0].startswith("- ") or not all(line.startswith(("- ", "  ")) for line in lines):
        return paragraph
    items = re.split(r"\n(?=- )", paragraph)
    return "\n".join(textwrap.fill(re.sub(r"\n\s+", " ", item), width, subsequent_indent="  ") for item in items)


def _signals(stage: type[Any]) -> list[str]:
    """What a filter measures, by name; none where that depends on its settings."""
    found = getattr(stage, "signals", None)
    return list(found) if isinstance(found, Mapping) else []


def _conditions(stage: type[Any]) -> dict[str, str]:
    from curate.stages.base import Filter
    from curate.stages.bounds import conditions

    return conditions(stage.bounds) if issubclass(stage, Filter) else {}


def _kind(stage: type[Any]) -> str:
    from curate.stages import base
    from curate.stages.generator import Generator
    from curate.stages.source import Source
    from curate.stages.writer import Writer

    for kind in (Source, base.Filter, base.Global, base.Trainer, Generator, Writer):
        if issubclass(stage, kind):
            return kind.__name__.lower()
    return "stage"


def _first_line(stage: type[Any]) -> str:
    return python_inspect.cleandoc(stage.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _facts(stage: type[Any]) -> dict[str, Any]:
    from curate.stages.settings import settings_of

    settings = {
        one.name: {"required": one.required, "default": one.default, "about": one.about} for one in settings_of(stage)
    }
    return {
        "kind": _kind(stage),
        "revision": stage.revision,
        "about": _first_line(stage),
        "settings": settings,
        "reasons": dict(stage.reasons),
        "goes_if": _conditions(stage),
        "signals": _signals(stage),
    }
