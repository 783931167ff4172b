"""router-mini from end to end with a scripted teacher: what is hard for the small model is learnt, and goes to the large one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from command import Curate, dataset, manifest

from curate import assets
from curate.llm.teacher import Call, Say, Teacher
from curate.recipe.recipe import find_recipe

EASY = {"add", "after", "ten", "minus"}


def sums(name: str) -> dict[str, dict[str, str]]:
    """The sample's questions."""
    lines = (assets.ROOT / f"data/samples/{name}.jsonl").read_text().splitlines()
    return {row["instruction"]: row for row in map(json.loads, lines)}


def test_runs(curate: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small model that does easy sums alone and a large one that does all: the dataset has one row a query with soft labels,
    the card a curve, and of what comes later the large model is asked the hard sums and no other."""
    monkeypatch.chdir(tmp_path)
    known, later = sums("sums"), sums("sums-later")
    assert not set(known) & set(later)
    asked: Counter[tuple[str, str]] = Counter()

    def say(call: Call) -> Say:
        query = call.body["messages"][-1]["content"]
        row = {**known, **later}[query]
        asked[call.body["model"], query] += 1
        able = call.body["model"] == "teacher-large" or row["task"] in EASY
        return Say(f"It is {row['reference']}." if able else "It is -1.")

    value = yaml.safe_load(find_recipe("router-mini").read_text())
    with Teacher(say) as teacher:
        for model in value["models"]:
            value["models"][model] = {"base_url": teacher.base_url, "model": f"teacher-{model}", "licence": "CC0-1.0"}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
        curate.run(tmp_path / "mine.yaml", tmp_path / "run", cwd=tmp_path).ok()
    rows = dataset(tmp_path / "run", "dataset")
    tasks = {row["text"]: known[row["text"]]["task"] for row in rows}
    assert len(rows) == len(known) == 80
    assert {row["text"]: row["routes.soft"] for row in rows} == {q: float(tasks[q] not in EASY) for q in tasks}
    assert {row["routes.terms"] for row in rows} == {"CC0-1.0"}
    assert {row["routes.small_answer"].startswith("It is") for row in rows} == {True}

    steps = manifest(tmp_path / "run")["steps"]
    assert steps["routes"]["reasons"] == {"compared": 160}  # the right answers count as another draw of the large model
    report = steps["router"]["report"]["route"]
    assert (report["rows"], report["needed"], report["large"]) == (80, 0.5, 1.0)
    assert report["routers"]["router"]["apgr"][1] > 0.6
    assert "## As a router" in (tmp_path / "run/router/card.md").read_text()

    to = {query: {model for model, q in asked if q == query} for query in later}
    hard = {query for query, row in later.items() if row["task"] not in EASY}
    assert {query for query in later if "teacher-large" in to[query]} == hard
    assert all(len(models) == 1 for models in to.values())
    assert [row["right.score"] for row in dataset(tmp_path / "run", "chats")] == [1.0] * len(later)
