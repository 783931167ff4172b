"""`curate copy`: start one's own recipe from a shipped one."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from curate import assets
from curate.cli.app import app, examples
from curate.errors import RecipeError


@app.command(
    short_help="Start one's own from a shipped recipe, classifier or prompt.",
    epilog=examples(
        "curate copy phi-1-mini my.yaml",
        "curate copy textbook-value classifiers/mine",
        "curate copy classifiers/router mine       where a recipe has the same name",
        "curate copy prompts/exercise my-exercise.md",
        "curate copy system-messages/orca my-messages.yaml",
    ),
)
def copy(
    name: Annotated[
        str,
        typer.Argument(help="A shipped recipe or classifier, or prompts/NAME, topics/NAME, system-messages/NAME."),
    ],
    target: Annotated[Path, typer.Argument(help="The file (or folder) to write; must not exist.")],
) -> None:
    """Copy a shipped recipe, a classifier's folder, or a file of prompts, topics or system messages, as a start for one's own."""
    import shutil

    if target.exists():
        raise RecipeError("exists already", place=str(target), cure="choose another name")
    kind, source = _source(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    word = quote(str(target))
    if kind == "pipelines":
        then = f"run: curate plan {word}"
    elif (source / "settings.json").is_file():
        then = f"run: curate train {word} FILE..."
    elif (source / "train.yaml").is_file():
        then = f"run: curate train {word}"
    else:
        then = f"name it in your recipe, by its path from there: {target}"
    print(f"{target}: a copy of {name}; edit it, then {then}")


def _source(name: str) -> tuple[assets.Kind, Path]:
    """What is to be copied; a recipe before a classifier of the same name, which is `classifiers/NAME`."""
    folder, _, rest = name.partition("/")
    if folder == "classifiers" and rest:
        return "classifiers", assets.find("classifiers", rest)
    if rest:
        return "data", assets.find("data", name)
    classifier = name in assets.names("classifiers") and name not in assets.names("pipelines")
    kind: assets.Kind = "classifiers" if classifier else "pipelines"
    return kind, assets.find(kind, name)
