"""Promise 1: the same recipe, inputs and seed give the same dataset and manifest, byte for byte, however it is run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from command import Curate, fresh, manifest, results
from recipes import everything, step, write


@pytest.fixture(scope="module")
def recipe(corpus: Path) -> Path:
    """Every kind of step, over inputs by relative path."""
    return write(corpus.parent / "all.yaml", everything(corpus.name))


@pytest.fixture(scope="module")
def reference(curate: Curate, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run in one process, one split a file where that can be."""
    store = tmp_path_factory.mktemp("reference") / "run"
    curate.run(recipe, store).ok()
    return store


def test_the_recipe_reaches_everything(reference: Path) -> None:
    """The reference is worth comparing with: each step drops, trains or writes something."""
    steps = manifest(reference)["steps"]
    for name in ("prose-rules", "code-rules", "unique", "near", "good"):
        assert 0 < steps[name]["rows_out"] < steps[name]["rows_in"], name
        assert sum(steps[name]["reasons"].values()) == steps[name]["rows_in"] - steps[name]["rows_out"]
    assert steps["value"]["report"]["digest"]
    for writer in (s for s in steps.values() if s["use"].startswith("write.")):
        assert len(writer["shards"]) > 2
        assert sum(s["rows"] for s in writer["shards"]) > 100
    digests = results(reference)
    for shard in steps["text"]["shards"]:
        assert digests[f"text/{shard['name']}"] == shard["sha256"]
    with pa.OSFile(str(reference / "text" / steps["text"]["shards"][0]["name"])) as file:
        ids = pa.ipc.open_stream(file).read_all().column("id").to_pylist()
    assert len(set(ids)) == len(ids) == 60


def test_splits_and_partitions(curate: Curate, recipe: Path, reference: Path, tmp_path: Path) -> None:
    """Neither how inputs are cut nor into how many partitions an exchange is cut can be seen in the results."""
    curate.run(recipe, tmp_path / "run", "--split-mb", 0.15, "--partitions", 3).ok()
    assert results(tmp_path / "run") == results(reference)
    assert len(list((tmp_path / "run").glob("pieces/*/receipts/*.0.json"))) == 2, "one-frame zst and gz are cut"


def test_workers(curate: Curate, recipe: Path, reference: Path, tmp_path: Path) -> None:
    """On Dask, with two processes: the order in which tasks finish can not be seen in the results."""
    curate.run(recipe, tmp_path / "run", "--split-mb", 0.5, "--partitions", 5, workers=2).ok()
    assert results(tmp_path / "run") == results(reference)


def test_hash_seed(recipe: Path, reference: Path, tmp_path: Path) -> None:
    """Python's own hashes differ from run to run, our results do not; in a fresh interpreter, as a user starts one."""
    done = fresh("run", recipe, "--store", tmp_path / "run", "--workers", 0, env={"PYTHONHASHSEED": "4242"})
    done.ok()
    assert results(tmp_path / "run") == results(reference)


def test_elsewhere(curate: Curate, corpus: Path, reference: Path, tmp_path: Path) -> None:
    """Inputs, recipe, store and working folder may lie anywhere: no absolute path is part of any result."""
    home = tmp_path / "another/deep below"
    shutil.copytree(corpus, home / "data")
    recipe = write(home / "other name.yaml", everything(str(home / "data")))
    curate.run(recipe, home / "store", cwd=home).ok()
    # The names of input files are relative to the source's root, so also equal to those of a relative recipe.
    assert results(home / "store") == results(reference)


def test_asset_elsewhere(curate: Curate, corpus: Path, tmp_path: Path) -> None:
    """An asset named by an absolute path is known by its content."""
    found = []
    for move in ("one", "two"):
        registry = shutil.copytree(Path(__file__).parents[2] / "data" / "benchmarks", tmp_path / move / "bench")
        steps = [
            step("docs", "read.jsonl", paths=[str(corpus / "prose.jsonl")]),
            step("clean", "decontaminate", against=["humaneval"], registry=str(registry)),
            step("out", "write.text"),
        ]
        curate.run(write(tmp_path / move / "r.yaml", steps), tmp_path / move / "run").ok()
        found.append(results(tmp_path / move / "run"))
        assert str(tmp_path) not in (tmp_path / move / "run" / "manifest.json").read_text()
    assert found[0] == found[1]


def test_column_of_one_branch(curate: Curate, corpus: Path, tmp_path: Path) -> None:
    """A filter after a join sees null in the rows of a branch that lacks its column."""
    steps = [
        step("docs", "read.jsonl", paths=[str(corpus / "prose.jsonl")]),
        step("more", "read.jsonl", paths=[str(corpus / "code.jsonl.zst")]),
        step("labels", "label.contrast", "docs", positive=["docs"], negative=["none"]),
        step("good", "select.where", ["labels", "more"], column="labels.label", at_least=0.5),
        step("out", "write.text"),
    ]
    curate.run(write(tmp_path / "r.yaml", steps), tmp_path / "run").ok()
    found = manifest(tmp_path / "run")["steps"]
    assert found["good"]["rows_out"] == found["labels"]["rows_out"] > 0
    assert found["good"]["reasons"] == {"no_value": found["more"]["rows_out"]}


def test_manifest_says_what_not_how(reference: Path, corpus: Path) -> None:
    """Times, hosts, paths and arguments stand in run.json, never in the manifest."""
    text = (reference / "manifest.json").read_text()
    assert str(corpus.parent) not in text
    assert str(reference) not in text
    session = json.loads((reference / "run.json").read_text())["sessions"][-1]
    assert session["outcome"] == "finished"
    assert session["started"][:10] not in text
    assert session["host"] not in json.loads(text)["recipe"]
    assert "measured" not in text
