"""What a plan makes of a recipe: inputs, fused segments, columns, identities."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipes import Steps, changed, everything, step, write

from curate import assets
from curate.errors import RecipeError
from curate.recipe.plan import Options, Plan, make_plan
from curate.recipe.recipe import load_recipe


def plan(folder: Path, steps: Steps, **more: object) -> Plan:
    """The plan of some steps."""
    return make_plan(load_recipe(write(folder / "r.yaml", steps, **more)), Options())


def test_segments(tmp_path: Path) -> None:
    """Neighbouring filters are one segment; a branch, a global step, a trainer ends it."""
    steps = [
        step("docs", "read.jsonl", paths=["a.jsonl"]),
        step("rules", "filter.massivetext"),
        step("more", "filter.code_rules"),
        step("left", "filter.massivetext", "more"),
        step("right", "filter.code_rules", "more"),
        step("unique", "dedup.exact", ["left", "right"]),
        step("late", "filter.massivetext"),
        step("last", "filter.code_rules"),
        step("out", "write.text"),
    ]
    made = plan(tmp_path, steps)
    assert made.segments == (
        ("docs", "rules", "more"),
        ("left",),
        ("right",),
        ("unique",),
        ("late", "last"),
        ("out",),
    )
    assert made.steps["unique"].inputs == ("left", "right")
    assert made.steps["more"].consumers == 2


def test_a_segment_waits_for_the_model_it_uses(tmp_path: Path) -> None:
    """A filter fused with its source is cut off where it needs a model that is trained later from that source."""
    steps = [
        step("docs", "read.jsonl", paths=["a.jsonl"]),
        step("labels", "label.contrast", positive=["a"], negative=["b"]),
        step("value", "train.classifier", label="labels.label"),
        step("scored", "score.classifier", "labels", classifier="value"),
        step("good", "select.where", column="scored.score", at_least=0.5),
        step("out", "write.text"),
    ]
    made = plan(tmp_path, steps)
    order = [name for segment in made.segments for name in segment]
    assert sorted(order) == sorted(made.steps)
    assert order.index("value") < order.index("scored")
    assert ("scored", "good") in made.segments
    assert made.steps["scored"].uses == {"classifier": "value"}


def test_columns(tmp_path: Path) -> None:
    """Columns come from above, also through joins; writers and trainers give none."""
    made = plan(tmp_path, everything())
    assert "labels.label" in made.steps["good"].columns
    assert {"labels.label", "scored.score", "text"} <= made.steps["bounded"].columns
    assert made.steps["text"].columns == made.steps["value"].columns == frozenset()


def test_measurements_know_what_they_depend_on(tmp_path: Path) -> None:
    """A threshold does not change what is measured; the model that scores does, down to who reads its column."""
    first = plan(tmp_path, everything())
    trained = {"value": "one", "words": "w"}
    for name, setting, same in (("prose-rules", "min_words", True), ("bounded", "at_least", True)):
        other = plan(tmp_path, changed(everything(), name, **{setting: 0}))
        assert (other.measure_identity(name, trained) == first.measure_identity(name, trained)) is same
    assert first.measure_identity("scored", trained) != first.measure_identity("scored", {**trained, "value": "two"})
    assert first.measure_identity("bounded", trained) != first.measure_identity("bounded", {**trained, "value": "two"})


def test_names_are_no_paths(tmp_path: Path) -> None:
    """Recipes are found by name among the shipped ones, whose plans all hold."""
    shipped = assets.names("pipelines")
    assert shipped
    for name in shipped:
        made = make_plan(load_recipe(assets.find("pipelines", name)))
        assert any(not s.columns for s in made.steps.values()), "it writes something"
    with pytest.raises(RecipeError, match="did you mean"):
        assets.find("pipelines", shipped[0] + "x")


def test_a_step_lends_its_tokenizer(tmp_path: Path) -> None:
    """Who names the step that encoded is given the tokenizer that it encoded with, trained or from a file."""
    steps = [
        step("docs", "read.jsonl", paths=["in"]),
        step("words", "train.tokenizer", "docs", vocab_size=400),
        step("tokens", "encode.tokens", "docs", tokenizer="words"),
        step("out", "write.tokens", "tokens", tokens="tokens"),
    ]
    made = plan(tmp_path, steps)
    assert made.steps["out"].uses == {"tokens": "words"}
    assert made.steps["tokens"].columns >= {"tokens.ids", "tokens.count", "tokens.trained"}
    (tmp_path / "t.model").write_bytes(b"")
    given = [steps[0], step("tokens", "encode.tokens", "docs", tokenizer="t.model"), steps[3]]
    made = plan(tmp_path, given)
    assert made.steps["out"].uses == {}
    assert made.steps["tokens"].assets == {"tokenizer": tmp_path / "t.model"}
    assert made.steps["out"].assets == {"tokens": tmp_path / "t.model"}
    with pytest.raises(RecipeError, match="no tokenizer 'docs'") as caught:
        plan(tmp_path, [*given[:2], step("out", "write.tokens", "tokens", tokens="docs")])
    assert caught.value.cure.endswith("; steps that have one: tokens")
