"""A writer writes nothing whose terms conflict with the declared use, and says aloud what it lets pass."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from command import Curate
from hypothesis import given, settings
from hypothesis import strategies as st
from recipes import step, write
from small_run import prose

from curate.errors import RecipeError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.terms import check_teachers, terms_of
from curate.stages.stated import stated_terms
from curate.stages.stated import terms_of as stated_of

PLANTED = [
    *[{"license": "MIT"}] * 3,
    {"licence": "CC-BY-4.0"},
    {"terms": "CC-BY-NC-4.0 AND MIT", "license": "MIT"},
    {"terms": "", "licence": "OpenAI terms"},
    {"note": "nobody said"},
]
"""Of seven rows one may not be used in anything that earns money, one not for competing models, one for nothing."""


def recipe(folder: Path, rows: list[dict[str, Any]] = PLANTED, **more: Any) -> Path:
    (folder / "docs.jsonl").write_text("".join(json.dumps({"text": prose(n), **r}) + "\n" for n, r in enumerate(rows)))
    steps = [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("out", "write.text")]
    return write(folder / "r.yaml", steps, **more)


def test_planted_conflicts_are_refused_and_allowed_aloud(curate: Curate, tmp_path: Path) -> None:
    """Refused with counts, also where the dataset is there from a run under no use; allowed by name, in output and card."""
    run = ("--store", tmp_path / "run", "--workers", 0)
    curate("run", recipe(tmp_path), *run).ok()
    card = (tmp_path / "run/README.md").read_text()
    assert "No use was declared" in card and "| CC-BY-NC-4.0 AND MIT | 1 | attribution, non-commercial |" in card
    before = sorted((tmp_path / "run").rglob("*.arrow"))
    done = curate("run", recipe(tmp_path, use="train-open"), *run)
    assert done.code == 3 and "step out: terms of what would be written conflict with use: train-open" in done.line
    for told in (
        "1 rows under 'CC-BY-NC-4.0 AND MIT' (non-commercial)",
        "1 rows under 'OpenAI terms' (no-competing-models)",
        "1 rows under 'unstated' (unknown)",
    ):
        assert told in done.line
    assert "MIT'" not in done.line.replace("AND MIT'", "") and "CC-BY-4.0'" not in done.line
    aloud = ["CC-BY-NC-4.0", "OpenAI", "unstated"]
    done = curate("run", recipe(tmp_path, use="train-open", allow_terms=aloud), *run).ok()
    assert "in spite of use: train-open, by allow_terms, are written 1 rows under" in done.out + done.err
    card = (tmp_path / "run/README.md").read_text()
    assert "Declared use: `train-open`" in card and "Let pass aloud: CC-BY-NC-4.0, OpenAI, unstated." in card
    assert "| OpenAI terms | 1 | no-competing-models | **no-competing-models**: let pass by allow_terms |" in card
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["use"] == "train-open" and manifest["allow_terms"] == aloud
    # What data is for changes no byte of it.
    assert sorted((tmp_path / "run").rglob("*.arrow")) == before


def test_a_teacher_in_conflict_is_refused_before_it_is_paid(tmp_path: Path) -> None:
    """A model whose texts could not be written is told of by the plan; one that only judges may be any."""
    model = {"model": "gpt-4o-mini", "base_url": "http://127.0.0.1:9/v1", "licence": "OpenAI terms"}
    teach = step("made", "generate.exercises")
    judge = step("judged", "label.llm", "docs", model="writer")

    def check(steps: list[dict[str, Any]], **more: Any) -> None:
        check_teachers(make_plan(load_recipe(write(tmp_path / "r.yaml", steps, models={"writer": model}, **more))))

    check([teach, step("out", "write.text")])
    check([teach], use="train-open")
    check([teach, step("out", "write.text")], use="train-open", allow_terms="OpenAI terms")
    read = step("docs", "read.jsonl", paths=["docs.jsonl"])
    check([read, judge, step("out", "write.text", "docs")], use="train-open")
    for use, wrong in (("train-open", "no-competing-models"), ("train-closed", "OpenAI terms")):
        with pytest.raises(RecipeError, match=wrong):
            check([teach, step("one", "dedup.exact"), step("out", "write.text")], use=use)
    model["licence"] = ""
    with pytest.raises(RecipeError, match="'unstated' \\(unknown\\)"):
        check([teach, step("out", "write.text")], use="research")


@pytest.mark.parametrize(
    ("more", "told"), [({"use": "train"}, "train-open"), ({"allow_terms": ["MIT"]}, "without 'use:'")]
)
def test_mistakes_in_a_use(tmp_path: Path, more: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        load_recipe(recipe(tmp_path, **more))


@pytest.mark.parametrize(
    ("meta", "stated"),
    [
        ({"terms": "MIT", "license": "OpenAI terms"}, "MIT AND OpenAI terms"),
        ({"license": "mit", "licence": "CC-BY-NC-4.0"}, "CC-BY-NC-4.0"),
        ({"terms": "CC-BY-NC-4.0 AND MIT", "license": "MIT"}, "CC-BY-NC-4.0 AND MIT"),
        ({"terms": "MIT", "license": "see LICENSE"}, "MIT AND see LICENSE"),
        ({"terms": "mit", "licence": "MIT"}, "mit"),
        ({"terms": "", "licence": "my own"}, "my own"),
        ({"x": "MIT"}, ""),
    ],
)
def test_what_one_field_says_another_does_not_hide(meta: dict[str, str], stated: str) -> None:
    """A row stands under all that its fields say."""
    assert stated_of(meta) == stated
    assert stated_terms(pa.array([json.dumps(meta), "{}"])).to_pylist() == [stated or None, None]


VALUES = st.sampled_from(["MIT", "", None, 3, ["MIT"], "CC0-1.0 AND MIT", "ä\n"])


@given(st.lists(st.dictionaries(st.sampled_from(["terms", "license", "licence", "x"]), VALUES), max_size=6))
@settings(max_examples=40)
def test_terms_are_counted_as_one_by_one(rows: list[dict[str, Any]]) -> None:
    """By columns the same as row by row: what terms, license and licence say together."""
    slow: Counter[str] = Counter()
    for row in rows:
        given = (row.get(name) for name in ("terms", "license", "licence"))
        said = [v if isinstance(v, str) else json.dumps(v) for v in given if v not in ("", None)]
        slow[stated_of(dict(zip(("terms", "license", "licence"), said, strict=False))) or "unstated"] += 1
    metas = pa.array([json.dumps(row) for row in rows], pa.string())
    assert terms_of(pa.RecordBatch.from_pydict({"meta": metas})) == slow
