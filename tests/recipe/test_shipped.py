"""Every shipped recipe plans, and every full one has a twin that goes the same way with small numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from shipped import FULL, SHIPPED, TWINS, stand_in

from curate.recipe.lacking import check_ready, missing_inputs, unfilled_models
from curate.recipe.plan import Plan, make_plan
from curate.recipe.recipe import Recipe, find_recipe, load_recipe
from curate.run.foresight import foresee
from curate.run.terms import check_teachers
from curate.stages import tokenizer_named
from curate.stages.source import Source
from curate.store.files import Store


def recipe(name: str) -> Recipe:
    return load_recipe(find_recipe(name))


@pytest.fixture
def plan_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What plans a recipe; tokenizers that are fetched by name are a file here."""
    (tmp_path / "codegen").mkdir()
    (tmp_path / "codegen/tokenizer.json").write_text("{}")
    monkeypatch.setattr(tokenizer_named, "folder", lambda name: tmp_path / name)
    return make_plan


@pytest.mark.parametrize("name", SHIPPED)
def test_plans(name: str, plan_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, columns, assets and terms fit together; with its inputs in place nothing is missing but endpoints."""
    monkeypatch.chdir(tmp_path)
    loaded = recipe(name)
    assert loaded.name == name and loaded.about
    for step in loaded.steps:
        if step.id in missing_inputs(loaded):
            stand_in(step.stage, tmp_path, rows=1)
    made = plan_of(loaded)
    check_teachers(made)
    states = foresee(made, Store(tmp_path / "run"))
    assert [state.step for state in states] == [step.id for step in loaded.steps]
    assert {state.state for state in states} <= {"to do", "later"}
    if name not in FULL:
        check_ready(loaded)


@pytest.mark.parametrize("name", FULL)
def test_a_full_recipe_wants_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its sources is a place in raw/ or in another run, and says what to put there and under which terms, for a use is
    declared; each model that it asks is an endpoint to fill in, with prices, terms and a pace; there is a cap."""
    monkeypatch.chdir(tmp_path)
    loaded = recipe(name)
    sources = [step for step in loaded.steps if isinstance(step.stage, Source)]
    assert sources and list(missing_inputs(loaded)) == [step.id for step in sources]
    for step in sources:
        for place in getattr(step.stage, "paths", None) or [step.stage.path]:
            assert place.startswith(("raw/", "runs/")), place
        # Rows that state no terms, and what is made of them, could not be written: after all answers are paid.
        stated = getattr(step.stage, "license", None) or "`license`" in step.about or "`terms`" in step.about
        assert stated or step.stage.name == "read.dataset", step.id
    assert loaded.use is not None
    assert set(unfilled_models(loaded)) == set(loaded.models)
    for model in loaded.models.values():
        assert model.licence != "unstated" and model.requests_per_minute
    if loaded.models:
        assert loaded.budget.dollars


def test_every_full_recipe_has_a_twin() -> None:
    """There is a -mini of each."""
    assert TWINS == FULL


def edges(plan: Plan, known: set[str]) -> dict[str, set[str]]:
    """For each of some steps those of them whose rows or models it gets, directly or through other steps."""
    found: dict[str, set[str]] = {}
    for name, step in plan.steps.items():
        found[name] = set()
        for needed in (*step.inputs, *step.uses.values()):
            found[name] |= {needed} if needed in known else found[needed]
    return {name: found[name] for name in plan.steps if name in known}


@pytest.mark.parametrize("name", TWINS)
def test_a_mini_is_a_twin(name: str, plan_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has every step of the full recipe, in its order, of the same stage (any read.* in place of another), each with what
    its twin reads: directly, or through steps that only the mini has."""
    monkeypatch.chdir(tmp_path)
    full, mini = plan_of(recipe(name)), plan_of(recipe(f"{name}-mini"))
    assert [step for step in mini.steps if step in full.steps] == list(full.steps)
    for step, planned in full.steps.items():
        use, twin = planned.stage.name, mini.steps[step].stage.name
        assert use == twin or (use.startswith("read.") and twin.startswith("read.")), step
    theirs = edges(mini, set(full.steps))
    for step, needed in edges(full, set(full.steps)).items():
        assert needed <= theirs[step], step
