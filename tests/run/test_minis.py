"""Every shipped -mini recipe runs from end to end, by the command line, with a scripted teacher."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from command import Curate, manifest
from shipped import SHIPPED, stand_in

from curate.fingerprint import fingerprint
from curate.llm.teacher import Call, Say, Teacher, default_script
from curate.recipe.lacking import missing_inputs
from curate.recipe.recipe import find_recipe, load_recipe
from curate.stages.writer import Writer

ELSEWHERE = {
    "contrast-mini": "test_paired_answers.py",
    "harvest-mini": "test_harvest.py",
    "orca-mini": "test_orca_mini.py",
    "phi-1-mini": "test_phi_1_mini.py",
    "quality-mini": "test_labels.py",
    "router-mini": "test_router_mini.py",
    "quality-two-stage-mini": "test_two_stage.py",
}
"""Recipes that tests of their own run."""
MINIS = [name for name in SHIPPED if name.endswith("-mini") and name not in ELSEWHERE]
SAMPLE = ("--sample", 0.05)

FORMS = """**Question:** What goes into the {noun}?
**Answer:** The {noun} takes {number} parts.

**Question:** And what comes out?
**Answer:** One {noun} of {number} parts.

| part | count |
|---|---|
| {noun} | {number} |
| rest | 1 |

Problem: a {noun} has {number} parts and loses one. How many are left?
Solution: {number} - 1 parts are left.

1. Take the {noun}.
2. Count its {number} parts.
3. Write the number down.
"""
"""A text that has every form that a prompt may expect."""


def script(call: Call) -> Say:
    """Lists of topics, rephrasings in every form at once, and else what the default teacher says."""
    if call.embeddings:
        return Say()
    noun = f"{fingerprint(call.key)[:8]}"
    if asked := re.search(r"Name (\d+) narrower topics", call.prompt):
        return Say(
            "\n".join(f"{n}. {noun} as a part of {fingerprint(noun, n)[:8]}" for n in range(1, int(asked[1]) + 1))
        )
    if "Plan a textbook chapter" in call.prompt:
        parts = [f"{n}. Part {fingerprint(noun, n)[:6]}: what it is for" for n in range(1, 5)]
        return Say("\n".join([f"Title: {noun}", *parts]))
    if "Rewrite the document" in call.prompt or "document above" in call.prompt:
        return Say(FORMS.format(noun=noun, number=int(noun, 16) % 900 + 10))
    return default_script(call)


def own(name: str, folder: Path, base_url: str) -> Path:
    """The shipped recipe with another teacher, as a user would edit the copy."""
    value = yaml.safe_load(find_recipe(name).read_text())
    for model in value.get("models", {}):
        value["models"][model] = {"base_url": base_url, "model": f"teacher-{model}", "licence": "CC0-1.0"}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    return path


@pytest.mark.parametrize("name", MINIS)
def test_runs(curate: Curate, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps are done, every step that asks got answers that count, every dataset has rows, under the declared use."""
    monkeypatch.chdir(tmp_path)
    with Teacher(script) as teacher:
        path = own(name, tmp_path, teacher.base_url)
        loaded = load_recipe(path)
        for step in loaded.steps:
            if step.id in missing_inputs(loaded):
                stand_in(step.stage, tmp_path, rows=400)  # a twentieth of them is read
        curate.run(path, tmp_path / "run", *SAMPLE, cwd=tmp_path).ok()
        asked = teacher.received.total()
    steps = manifest(tmp_path / "run")["steps"]
    assert set(steps) == {step.id for step in loaded.steps}
    for step in loaded.steps:
        if isinstance(step.stage, Writer):
            assert sum(shard["rows"] for shard in steps[step.id]["shards"]) > 0, step.id
    assert sum(
        one["report"]["rounds"]["closed"] > 0 for one in steps.values() if "rounds" in one.get("report", {})
    ) == sum(bool(step.stage.models()) for step in loaded.steps if hasattr(step.stage, "models"))
    assert (asked > 0) == bool(loaded.models)


def test_minis_with_tests_of_their_own_are_there() -> None:
    """None of the exceptions is out of date."""
    assert set(ELSEWHERE) <= set(SHIPPED)
    assert all((Path(__file__).parent / file).is_file() for file in ELSEWHERE.values())
