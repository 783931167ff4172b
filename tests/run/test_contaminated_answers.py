"""A model that answers with a benchmark's items: none of them becomes a document."""

from __future__ import annotations

import json
import re
from pathlib import Path

from command import Curate, manifest
from recipes import step, write

from curate import assets
from curate.llm.teacher import Call, Say, Teacher, default_script

ITEM = json.loads((assets.find("data", "benchmarks") / "humaneval.jsonl").read_text(encoding="utf-8").split("\n")[0])


def leaks(call: Call) -> Say:
    """For functions whose name begins with one of half of the alphabet the item, under that name, with other names in it."""
    name = re.findall(r"`(\w+)`", call.prompt)[-1]
    if name[0] > "h":
        return default_script(call)
    body = ITEM["canonical_solution"].replace("elem", "leaf").replace("idx", "at").replace("numbers", "box")
    code = f'def {name}(box, threshold):\n    """Say whether two are near."""\n{body}\n'
    return Say(f"```python\n{code}\nassert {name}([1, 2], 3)\nassert not {name}([1, 9], 3)\n```")


def test_items_are_no_exercises(curate: Curate, tmp_path: Path) -> None:
    """Counted as contaminated; what it says of the topics' other functions is kept."""
    names = [f"{first}_of_lists" for first in "abcdefgh"] + [f"{first}_of_lists" for first in "mnopqrst"]
    topics = {"version": 1, "exercises": [{"name": name, "topic": "lists"} for name in names]}
    (tmp_path / "topics.yaml").write_text(json.dumps(topics))
    with Teacher(leaks) as teacher:
        steps = [step("exercises", "generate.exercises", topics="./topics.yaml", exercises=16, min_asserts=1)]
        model = {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0"}
        curate.run(write(tmp_path / "r.yaml", steps, models={"writer": model}), tmp_path / "run").ok()
    told = manifest(tmp_path / "run")["steps"]["exercises"]
    assert told["reasons"]["contaminated"] == 8
    assert told["rows_out"] + sum(told["reasons"].values()) == 16
    assert told["rows_out"] >= 4
