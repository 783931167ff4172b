"""`curate copy`: start one's own recipe from a shipped one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate import assets
from curate.cli.app import app, examples
from curate.errors import RecipeError


@app.command(
    short_help="Start one's own recipe or classifier from a shipped one.",
    epilog=examples("curate copy phi-1-mini my.yaml", "curate copy textbook-value classifiers/mine"),
)
def copy(
    name: Annotated[str, typer.Argument(help="A shipped recipe or classifier.")],
    target: Annotated[Path, typer.Argument(help="The file (or folder) to write; must not exist.")],
) -> None:
    """Copy a shipped recipe, or a classifier's folder, as a start for one's own."""
    import shutil

    if target.exists():
        raise RecipeError("exists already", place=str(target), cure="choose another name")
    source = assets.find("classifiers" if name in assets.names("classifiers") else "pipelines", name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    then = f"curate train {target} FILE..." if source.is_dir() else f"curate plan {target}"
    print(f"{target}: a copy of {name}; edit it, then run '{then}'")
