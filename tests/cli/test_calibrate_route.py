"""`curate calibrate --route`: a router's figures on a run and on files, against plain counting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import Curate
from recipes import step, write

from curate.stages.answered import query_id


def answered(path: Path, queries: int = 80) -> None:
    """Answers of two models: the small one fails every other proof and no sum."""
    lines = []
    for i in range(queries):
        proof = i % 2 == 1
        query = f"{'Prove' if proof else 'Add'} number {i} and {'theorem' if proof else 'sum'} {i * i}"
        for model, score, tokens in (("mini", 0 if i % 4 == 1 else 1, 10), ("maxi", 1, 40)):
            messages = [{"role": "user", "content": query}, {"role": "assistant", "content": f"{model}: done"}]
            meta = {"messages": messages, "query": query_id(messages), "model": model, "score": score}
            lines.append(json.dumps({"id": f"{model}/{i}", "text": query, "completion_tokens": tokens, **meta}))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def routed(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run: answers, both models' in one row, a classifier of words, its scores."""
    folder = tmp_path_factory.mktemp("routed")
    answered(folder / "answers.jsonl")
    words = {"min_rows": 2, "ngrams": 1}
    steps = [
        step("answers", "read.jsonl", paths=["answers.jsonl"]),
        step("routes", "route.answers", small="mini", large="maxi"),
        step("router", "train.classifier", label="routes.label", route="routes", model="words", words=words, folds=2, min_per_class=5),
        step("ranked", "score.classifier", "routes", classifier="router"),
    ]  # fmt: skip
    curate.run(write(folder / "r.yaml", steps), folder / "run").ok()
    return folder


def looked(curate: Curate, *argv: Any) -> dict[str, Any]:
    """The JSON."""
    found = json.loads(curate("calibrate", *argv, "-n", 0, "--json").ok().out)
    assert isinstance(found, dict)
    return found


def test_a_router_of_a_run(curate: Curate, routed: Path) -> None:
    """Half of the queries, the proofs, go to the large model and recover all of its lead, at their cost alone."""
    found = looked(curate, f"{routed}/run:ranked", "--route", "routes", "--at", "50%", "--at", "25%")
    route = found["route"]
    assert (route["rows"], route["small"], route["large"], route["needed"]) == (80, 0.75, 1.0, 0.25)
    assert route["costs"] == {"tokens": [10, 40], "dollars": [None, None]}
    half, quarter = (each["routed"] for each in found["candidates"])
    assert (half["share"], half["quality"], half["pgr"][0], half["costs"]["tokens"]) == (0.5, 1.0, 1.0, 25.0)
    assert quarter["pgr"][0] < 1
    assert route["routers"]["oracle"]["cpt95"][0] == pytest.approx(0.95 * 0.25)
    assert route["routers"]["score"]["lead"][0] > 0
    assert any("a fold that did not" in note for note in found["notes"])


def test_a_router_on_files(curate: Curate, routed: Path) -> None:
    """Files whose meta says what a route.answers step says give the same figures."""
    rows = [json.loads(line) for line in (routed / "answers.jsonl").read_text().splitlines()]
    pairs = {r["text"]: {"text": r["text"]} for r in rows}
    for r in rows:
        side = {"mini": "small", "maxi": "large"}[r["model"]]
        pairs[r["text"]] |= {
            f"{side}_score": r["score"],
            f"{side}_tokens": r["completion_tokens"],
            f"{side}_dollars": None,
        }
    (routed / "queries.jsonl").write_text("\n".join(map(json.dumps, pairs.values())) + "\n")
    found = looked(curate, routed / "run/router", routed / "queries.jsonl", "--route", "meta", "--at", "50%")
    assert found["route"]["rows"] == 80
    assert found["candidates"][0]["routed"]["pgr"][0] == 1.0


def test_what_a_person_sees(curate: Curate, routed: Path, tmp_path: Path) -> None:
    """Tables with both ends, a gate to copy, and the curves as a picture; a step that says no such thing is named."""
    shown = curate("calibrate", f"{routed}/run:ranked", "--route", "routes", "--plot", tmp_path / "r.svg").ok().out
    for part in (
        "APGR",
        "small only",
        "large only",
        "who knows both answers",
        "gate: {column: ranked.score, at_least: 0.",
    ):
        assert part in shown
    picture = (tmp_path / "r.svg").read_text()
    assert picture.count("<polyline") == 4
    assert "lots drawn" in picture
    wrong = curate("calibrate", f"{routed}/run:ranked", "--route", "answers")
    assert wrong.code == 2
    assert "name a route.answers step: routes" in wrong.err
