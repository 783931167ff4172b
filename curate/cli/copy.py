"""`curate copy`: start one's own recipe from a shipped one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate import assets
from curate.cli.app import app, examples
from curate.errors import RecipeError


@app.command(
    short_help="Start one's own recipe, classifier, prompt or topics from shipped ones.",
    epilog=examples(
        "curate copy phi-1-mini my.yaml",
        "curate copy textbook-value classifiers/mine",
        "curate copy prompts/exercise my-exercise.md",
    ),
)
def copy(
    name: Annotated[str, typer.Argument(help="A shipped recipe or classifier, or prompts/NAME, topics/NAME.")],
    target: Annotated[Path, typer.Argument(help="The file (or folder) to write; must not exist.")],
) -> None:
    """Copy a shipped recipe, a classifier's folder, or a file of prompts or topics, as a start for one's own."""
    import shutil

    if target.exists():
        raise RecipeError("exists already", place=str(target), cure="choose another name")
    data = name.startswith(("prompts/", "topics/"))
    kind: assets.Kind = "data" if data else "classifiers" if name in assets.names("classifiers") else "pipelines"
    source = assets.find(kind, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    then = f"run 'curate train {target} FILE...'" if source.is_dir() else f"run 'curate plan {target}'"
    if data:
        then = f"name it in your recipe, by its path from there: {target}"
    print(f"{target}: a copy of {name}; edit it, then {then}")
