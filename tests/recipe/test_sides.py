"""A plan refuses to train on rows that a split may set aside for validation."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipes import Steps, step, write

from curate.errors import RecipeError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe

DOCS = step("docs", "read.jsonl", paths=["a.jsonl"])
SPLIT = step("split", "split.lineage")
TRAIN = step("train", "select.where", "split", column="split.side", equals="train")
LABELS = step("labels", "label.contrast", "docs", positive=["a"], negative=["b"])
VALUE = step("value", "train.classifier", "labels", label="labels.label")


def tokenizer(reads: str | list[str]) -> dict:
    """A step that trains one."""
    return step("tokenizer", "train.tokenizer", reads, vocab_size=1000)


def refused(folder: Path, steps: Steps) -> str | None:
    """What the plan says against a recipe, on one line."""
    try:
        make_plan(load_recipe(write(folder / "r.yaml", steps)))
    except RecipeError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("steps", "who"),
    [
        ([DOCS, SPLIT, TRAIN, tokenizer("train")], None),
        ([DOCS, SPLIT, TRAIN, step("near", "dedup.near", "train"), tokenizer("near")], None),
        ([DOCS, SPLIT, tokenizer("split")], "tokenizer"),
        ([DOCS, SPLIT, step("near", "dedup.near", "split"), tokenizer("near")], "tokenizer"),
        ([DOCS, SPLIT, TRAIN, step("more", "read.jsonl", paths=["b.jsonl"]), tokenizer(["train", "more"])], "tokenizer"),
        ([DOCS, SPLIT, step("v", "select.where", column="split.side", equals=["validation", "train"]), tokenizer("v")],
         "tokenizer"),
        ([DOCS, SPLIT, step("v", "select.where", column="split.group", equals="train"), tokenizer("v")], "tokenizer"),
        ([DOCS, LABELS, VALUE, step("split", "split.lineage", "docs")], "value"),
        ([step("other", "read.jsonl", paths=["b.jsonl"]), {**LABELS, "from": "other"}, VALUE, DOCS, SPLIT], None),
    ],
)  # fmt: skip
def test_who_reads_both_sides(tmp_path: Path, steps: Steps, who: str | None) -> None:
    """A trainer behind a split, or before one, must read one selected side on every way; other corpora are no matter."""
    said = refused(tmp_path, steps)
    assert (said is None) == (who is None), said
    if who is not None:
        assert f"'{who}'" in str(said)
        assert "'split' may set aside" in str(said)
        assert "r.yaml:" in str(said)


def test_an_early_split_and_a_last_one(tmp_path: Path) -> None:
    """A classifier learns from the early split's side, a tokenizer from the last one's, if that keeps the early sides."""
    steps = [
        DOCS, SPLIT, TRAIN, {**LABELS, "from": "train"}, VALUE,
        step("scored", "score.classifier", "split", classifier="value"),
        step("near", "dedup.near", "scored"),
        step("final", "split.lineage", "near", earlier="split.side"),
        step("learn", "select.where", "final", column="final.side", equals="train"),
        tokenizer("learn"),
    ]  # fmt: skip
    assert refused(tmp_path, steps) is None
    loose = [step("final", "split.lineage", "near") if s["id"] == "final" else s for s in steps]
    assert "may set aside for validation" in str(refused(tmp_path, loose))
    late = [tokenizer("final") if s["id"] == "tokenizer" else s for s in steps]
    assert "'tokenizer'" in str(refused(tmp_path, late))
