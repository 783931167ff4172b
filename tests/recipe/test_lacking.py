"""A recipe that lacks an input or an endpoint says in one line what to put where, and touches nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Curate
from recipes import step, write
from small_run import prose

from curate.errors import InputError, RecipeError
from curate.recipe.lacking import check_ready, missing_inputs, unfilled_models
from curate.recipe.recipe import Recipe, load_recipe

MODEL = {
    "base_url": "http://writer.example:8000/v1",
    "model": "m",
    "licence": "CC0-1.0",
    "prompt_price": 1,
    "completion_price": 2,
}


def recipe(folder: Path) -> Path:
    """Two places to put something, an endpoint to fill in, and one that no step asks."""
    steps = [
        step("pages", "read.jsonl", paths=["raw/pages/**/*.jsonl"]) | {"about": "pages as `text`"},
        step("code", "read.parquet", paths=["raw/code"]) | {"about": "files of Python"},
        step("told", "generate.textbooks", passages=2),
        step("out", "write.text", ["pages", "code", "told"]),
    ]
    return write(folder / "r.yaml", steps, name="mine", models={"writer": MODEL, "other": {**MODEL, "model": "n"}})


def put(folder: Path) -> None:
    """What both sources want."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "raw/pages").mkdir(parents=True)
    (folder / "raw/pages/a.jsonl").write_text(json.dumps({"text": prose(1)}) + "\n")
    (folder / "raw/code").mkdir()
    pq.write_table(pa.table({"text": ["x = 1\n"]}), folder / "raw/code/a.parquet")


def load(folder: Path) -> Recipe:
    return load_recipe(recipe(folder))


def test_inputs_then_endpoints(tmp_path: Path) -> None:
    """All that is missing is in one line, with file and line; when the inputs are there the endpoint is next; a URL, a folder
    and a glob are known to be there without being read."""
    assert missing_inputs(load(tmp_path)) == {
        "pages": "there is no raw/pages; put there: pages as `text`",
        "code": "there is no raw/code; put there: files of Python",
    }
    with pytest.raises(InputError) as stop:
        check_ready(load(tmp_path))
    said = str(stop.value)
    assert (
        said.startswith(f"{tmp_path}/r.yaml:")
        and "step 'pages': there is no raw/pages; put there: pages as `text`" in said
    )
    assert said.endswith("; the same goes for step code")
    put(tmp_path)
    assert missing_inputs(load(tmp_path)) == {}
    assert list(unfilled_models(load(tmp_path))) == ["writer"]
    with pytest.raises(
        RecipeError, match=r"r.yaml:\d+: model 'writer': http://writer.example:8000/v1 stands for an endpoint"
    ):
        check_ready(load(tmp_path))


def test_plan_and_run_say_it_and_write_nothing(curate: Curate, tmp_path: Path) -> None:
    """The plan shows all steps, what is missing among them, and ends with the line and exit code 3; a run does nothing."""
    path = recipe(tmp_path)
    done = curate("plan", path, "--store", tmp_path / "run")
    assert done.code == 3 and "step 'pages': there is no raw/pages; put there" in done.line
    assert done.out.count("missing") == 2 and "told" in done.out and "writer.example" in done.out
    assert curate("run", path, "--store", tmp_path / "run", "--workers", 0).line == done.line
    put(tmp_path)
    for command in (("plan",), ("plan", "--pilot", 2), ("run", "--workers", 0)):
        done = curate(*command, path, "--store", tmp_path / "run")
        assert done.code == 2 and "model 'writer'" in done.line and "curate copy mine my.yaml" in done.line
    assert not (tmp_path / "run/steps").exists()


def test_shipped_recipes_are_listed(curate: Curate) -> None:
    """Each by name, with what it makes."""
    from curate import assets

    told = json.loads(curate("recipes", "--json").ok().out)
    assert [one["recipe"] for one in told] == assets.names("pipelines")
    assert all(one["about"] and one["steps"] > 2 for one in told)
