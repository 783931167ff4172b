"""A pilot's answers are paid once, its estimate holds what the run then costs, and the cap holds for it, too."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import Curate
from recipes import step, write
from small_run import prose

from curate.llm.journal import JOURNAL, attempts_of
from curate.llm.teacher import Teacher
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.cluster import Runner
from curate.run.engine import Engine
from curate.run.pilot import Pilot, estimated, run_pilot
from curate.run.progress import Silent
from curate.store.files import Store

PRICES = {"prompt_price": 2.0, "completion_price": 10.0}
COUNT = 24


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    with Teacher() as served:
        yield served


def recipe(folder: Path, teacher: Teacher, **more: Any) -> Path:
    """Passages from nothing; a judge of documents that nobody has read yet."""
    (folder / "docs.jsonl").write_text(json.dumps({"text": prose(1)}) + "\n")
    steps = [
        step("passages", "generate.textbooks", passages=COUNT, round=4, max_tokens=200, min_chars=20),
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("labels", "label.llm", "docs", model="writer"),
    ]
    models = {"writer": {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0", **PRICES}}
    return write(folder / "r.yaml", steps, models=models, **more)


def piloted(path: Path, store: Path, number: int) -> Pilot:
    plan = make_plan(load_recipe(path))
    with Runner(0) as runner:
        return run_pilot(Engine(plan, Store(store), runner, Silent()), number, lambda _: None)[1]


def test_nothing_is_paid_twice_and_the_estimate_holds(teacher: Teacher, tmp_path: Path) -> None:
    """The first N of the plan are sent; the run sends the others. What it costs lies in the range that was told."""
    path, store = recipe(tmp_path, teacher, budget={"dollars": 1.0}), tmp_path / "run"
    pilot = piloted(path, store, 8)
    assert sum(teacher.received.values()) == len(teacher.received) == 8
    (one,) = pilot.estimates
    assert (one.planned, one.left, one.sent, one.answered) == (COUNT, COUNT - 8, 8, 8) and 0 < one.accepted <= 8
    assert list(pilot.unknown) == ["labels"] and "does not exist yet" in pilot.unknown["labels"]
    assert pilot.spent.dollars == pytest.approx(8 * one.dollars_each) and not pilot.stopped
    assert [line.rpartition(": ")[2] for line in pilot.against(make_plan(load_recipe(path)).recipe.budget)] == [
        "the cap will not stop it"
    ]
    again = piloted(path, store, 8)
    assert sum(teacher.received.values()) == 8 and again.estimates == pilot.estimates
    with Runner(0) as runner:
        Engine(make_plan(load_recipe(path)), Store(store), runner, Silent()).run()
    assert max(teacher.received.values()) == 1
    rest = list(attempts_of(store / JOURNAL))[8:COUNT]
    assert one.dollars.low <= sum(a.dollars for a in rest) <= one.dollars.high
    assert one.completion_tokens.low <= sum(a.completion_tokens for a in rest) <= one.completion_tokens.high


def test_the_cap_holds_for_a_pilot(teacher: Teacher, tmp_path: Path) -> None:
    """It ends where the next request might pass the cap; what it has is told, and that the cap will stop the run."""
    path = recipe(tmp_path, teacher, budget={"completion_tokens": 700})
    pilot = piloted(path, tmp_path / "run", 20)
    assert pilot.stopped and 0 < pilot.estimates[0].sent < 20
    assert pilot.spent.completion_tokens <= 700
    assert "stop it" in pilot.against(make_plan(load_recipe(path)).recipe.budget)[0]


def test_plan_shows_it(curate: Curate, teacher: Teacher, tmp_path: Path) -> None:
    """Tokens and dollars each, of all, whether the cap will stop it; without --pilot nothing is sent."""
    path = recipe(tmp_path, teacher, budget={"dollars": 0.01})
    plan = ("plan", path, "--store", tmp_path / "run")
    assert "measured by" not in curate(*plan).ok().out and not teacher.received
    out = curate(*plan, "--pilot", 5).ok().out
    assert "measured by the pilot" in out and "19 of 24" in out and "dollars: " in out and "the cap " in out
    assert "labels: not estimated: its input does not exist yet" in out
    value = json.loads(curate(*plan, "--pilot", 5, "--json").ok().out)
    assert value["pilot"]["estimates"][0]["left"] == 19 and len(value["steps"]) == 3
    assert sum(teacher.received.values()) == 5


def test_ranges_cover() -> None:
    """Of small samples from a population whose sum is known, more than nine in ten have it in their range."""
    draw = random.Random(3)
    weights = [draw.uniform(50, 400) for _ in range(2000)]
    values = [w * draw.uniform(0.15, 0.35) for w in weights]
    total, true, hits = sum(weights), sum(values), 0
    for _ in range(400):
        some = draw.sample(range(2000), 20)
        found = estimated([values[i] for i in some], [weights[i] for i in some], total, 1e9)
        hits += found.low <= true <= found.high
    assert 0.88 <= hits / 400 <= 0.99
    assert estimated([], [], 10, 7).high == 7 and estimated([3], [1], 10, 50).high == 50
