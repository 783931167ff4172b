"""What a manifest says of a run, and what a dataset that was copied away still says of its origin."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

from command import Curate, manifest
from corpus import lines, prose, rows
from recipes import changed, step, write

from curate.fingerprint import content_digest
from curate.store.provenance import of_dataset

OTHERS = ("words", "encoded", "tokens", "documents")


def test_a_dataset_names_its_origin(small_run: Path) -> None:
    """Recipe, inputs with digests, assets, versions and the tree of steps: of what this dataset was made of."""
    whole = json.loads((small_run / "manifest.json").read_bytes())
    pages = json.loads((small_run / "pages" / "provenance.json").read_bytes())
    assert pages["dataset"] == "pages"
    assert [pages[k] for k in ("recipe", "recipe_digest", "seed", "versions", "curate")] == [
        whole[k] for k in ("recipe", "recipe_digest", "seed", "versions", "curate")
    ]
    docs = small_run.parent / "docs.jsonl"
    assert pages["inputs"] == {"docs": [{"name": "docs.jsonl", "digest": content_digest(docs)}]}
    steps = {s["id"]: s for s in pages["steps"]}
    # The classifier that scored its rows, and the labels that it learnt from; not the other writers, nor their tokenizer.
    assert list(steps) == [s["id"] for s in whole["steps"] if s["id"] not in OTHERS]
    assert steps["scored"]["uses"] == {"classifier": "value"}
    assert steps["value"]["output"] != steps["value"]["fingerprint"]
    assert steps["rules"]["settings"]["min_words"] == 20
    assert steps["clean"]["assets"]
    assert steps["pages"]["shards"] == manifest(small_run)["steps"]["pages"]["shards"]
    assert {s["id"] for s in json.loads((small_run / "tokens" / "provenance.json").read_bytes())["steps"]} >= {"words"}


def test_a_copy_is_checked_against_its_origin(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """A dataset without its run is compared with what its own account says, and a shard that is gone is named."""
    shutil.copytree(small_run / "pages", tmp_path / "away")
    assert "every shard has its SHA-256" in curate("check", tmp_path / "away").ok().out
    shard = min((tmp_path / "away").glob("*.arrow"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:])
    done = curate("check", tmp_path / "away")
    assert done.code == 9 and "differs from its SHA-256" in done.line
    shard.unlink()
    done = curate("check", tmp_path / "away")
    assert done.code == 9 and shard.name in done.line and "is missing" in done.line
    (tmp_path / "away" / "provenance.json").write_text("{")
    assert curate("check", tmp_path / "away").code == 9


def test_the_digest_of_a_recipe_is_that_of_its_meaning(curate: Curate, tmp_path: Path) -> None:
    """Comments, places and the recipe's name are none of it; a setting, a guard, the seed are. A dataset that is
    reused gets a new account, as a fresh run would give."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(lines(rows(prose(12), "a")))
    steps = [
        step("docs", "read.jsonl", paths=["in/a.jsonl"]),
        step("short", "filter.massivetext", min_words=20),
        step("out", "write.text"),
    ]

    def digest(name: str, steps: list, **more: object) -> tuple[str, bytes]:
        recipe = write(tmp_path / f"{name}.yaml", steps, name=name, **more)
        recipe.write_text(f"# {name}\n{recipe.read_text()}")
        curate.run(recipe, tmp_path / "run").ok()
        said = (tmp_path / "run" / "out" / "provenance.json").read_bytes()
        curate.run(recipe, tmp_path / f"fresh-{name}").ok()
        assert said == (tmp_path / f"fresh-{name}" / "out" / "provenance.json").read_bytes()
        return manifest(tmp_path / "run")["recipe_digest"], said

    first, said = digest("one", steps)
    moved = changed(steps, "docs", paths=[str(tmp_path / "in" / "a.jsonl")])
    second, renamed = digest("two", moved)
    assert second == first and renamed != said and json.loads(renamed)["recipe"] == "two"
    guarded = copy.deepcopy(steps)
    guarded[1]["guard"] = {"max_drop": 0.9}
    others = [digest("three", changed(steps, "short", min_words=21))[0], digest("four", steps, seed=8)[0]]
    others.append(digest("five", guarded)[0])
    assert len({first, *others}) == 4


def test_only_what_a_dataset_was_made_of() -> None:
    """Models and inputs of other branches are left out."""
    plain = {"settings": {}, "uses": {}, "from": []}
    whole = {
        "models": {"writer": {}, "judge": {}},
        "inputs": {"a": [], "b": []},
        "steps": [
            {**plain, "id": "a"},
            {**plain, "id": "b"},
            {**plain, "id": "judged", "from": ["b"], "settings": {"model": "judge"}},
            {**plain, "id": "value", "from": ["judged"]},
            {**plain, "id": "scored", "from": ["a"], "uses": {"classifier": "value"}},
            {**plain, "id": "one", "from": ["scored"]},
            {**plain, "id": "two", "from": ["a"]},
        ],
    }
    one, two = of_dataset(whole, "one"), of_dataset(whole, "two")
    assert [s["id"] for s in one["steps"]] == ["a", "b", "judged", "value", "scored", "one"]
    assert list(one["models"]) == ["judge"] and list(one["inputs"]) == ["a", "b"]
    assert [s["id"] for s in two["steps"]] == ["a", "two"]
    assert two["models"] == {} and list(two["inputs"]) == ["a"]
