"""A recipe, and what it names, is data: nothing in it is imported, run, or replaced by what the environment holds."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from command import Curate
from hypothesis import given, settings
from hypothesis import strategies as st
from recipes import step, write
from small_run import prose

from curate.errors import RecipeError
from curate.fingerprint import fingerprint
from curate.recipe.document import read_yaml
from curate.recipe.recipe import load_recipe

YAML = st.text(alphabet="ab1 :-[]{}&*!|>?,#'\"%@`~\n\t.\\<=", max_size=60)
NUMBERS = st.one_of(st.integers(), st.integers(-(1 << 90), 1 << 90), st.floats())
QUOTED = st.text(st.characters(exclude_characters="'\n", exclude_categories=()), max_size=6)
"""Half characters, too: YAML has an escape for them."""


@settings(max_examples=100)
@given(YAML, st.binary(max_size=8))
def test_whatever_stands_in_a_recipe_is_one_line_or_a_recipe(
    tmp_path_factory: pytest.TempPathFactory, text: str, raw: bytes
) -> None:
    """Marks of YAML in any order, and any bytes behind them: plain values, or a RecipeError with the file and a line."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode() + raw)
    try:
        found = read_yaml(path).values
    except RecipeError as error:
        assert str(error).startswith(str(path)) and "\n" not in error.cause
    else:
        json.dumps(found, default=lambda value: value.isoformat() if hasattr(value, "isoformat") else list(value))


@settings(max_examples=100)
@given(st.one_of(NUMBERS, QUOTED), st.booleans())
def test_whatever_value_a_setting_has_all_parts_of_a_run_can_take_it(
    tmp_path_factory: pytest.TempPathFactory, value: float | str, in_words: bool
) -> None:
    """Any number, as such and as a text, and any text: a recipe whose stages have a fingerprint, and whose numbers Arrow takes; or
    a RecipeError with file and line."""
    path = tmp_path_factory.getbasetemp() / "value.yaml"
    said = json.dumps(value) if isinstance(value, str) or not in_words else json.dumps(str(value))
    said = {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}.get(said, said)
    path.write_text(
        f"recipe: my\nsteps:\n- id: docs\n  use: read.jsonl\n  with:\n    paths: [x]\n    source: {said}\n"
        f"    max_document_bytes: {said if not isinstance(value, str) else 9}\n"
        f"- id: rules\n  use: filter.massivetext\n  with: {{max_symbol_ratio: {said if not isinstance(value, str) else 1}}}\n"
    )
    try:
        made = load_recipe(path)
    except RecipeError as error:
        assert str(error).startswith(str(path)) and "\n" not in error.cause
    else:
        for each in made.steps:
            fingerprint(each.stage)
            pa.array([v for v in each.stage.model_dump().values() if type(v) is int], pa.int64())


@pytest.mark.parametrize(
    "use",
    ["os.system", "curate.stages.base", "../evil", "evil.py", "read.jsonl; import os", "filter.__class__", "a" * 999],
)
def test_a_stage_is_a_name_in_the_registry(curate: Curate, tmp_path: Path, use: str) -> None:
    """Anything else is one line: a module, a path or an attribute of that name is not looked for."""
    (tmp_path / "evil.py").write_text("open('pwned', 'w')")
    done = curate("plan", write(tmp_path / "r.yaml", [step("a", use, paths=["x"])]), cwd=tmp_path)
    assert done.code == 2 and "no stage" in done.line
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("path", ["$MY_SECRET/a.jsonl", "${MY_SECRET}/a.jsonl", "%(MY_SECRET)s/a.jsonl", "{MY_SECRET}.jsonl"])  # fmt: skip
def test_words_are_not_replaced_by_the_environment(curate: Curate, tmp_path: Path, path: str) -> None:
    """A variable's name in a setting stays that name: no value gets into paths, prompts, manifests or errors."""
    recipe = write(tmp_path / "r.yaml", [step("a", "read.jsonl", paths=[path]), step("out", "write.text")])
    done = curate("run", recipe, "--store", tmp_path / "run", "--workers", 0, env={"MY_SECRET": "swordfish"})
    assert done.code == 3 and path in done.line and "swordfish" not in done.err + done.out


def test_who_is_asked_and_with_which_key_is_said_first(curate: Curate, tmp_path: Path) -> None:
    """Before anything is sent: who gets prompts, and the name of the key. A model that no step uses is not mentioned."""
    (tmp_path / "docs.jsonl").write_text(json.dumps({"text": prose(1)}) + "\n")
    models = {
        "judge": {"model": "gpt", "base_url": "https://api.example.org/v1", "key_env": "MY_KEY", "prompt_price": 0},
        "second": {"model": "big", "base_url": "https://second.example.org/v1", "prompt_price": 0},
        "other": {"model": "gpt", "base_url": "https://unused.example.org/v1", "prompt_price": 0},
    }
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("labels", "label.llm", model="judge"),
        step("told", "generate.textbooks", model="judge", then="second", passages=2),
    ]
    out = curate("plan", write(tmp_path / "r.yaml", steps, models=models)).ok().out
    assert "asks gpt at https://api.example.org/v1 with the key in MY_KEY" in out
    assert "asks big at https://second.example.org/v1" in out, "for what the first one failed"
    assert "unused" not in out


def test_a_dataset_brings_no_code(curate: Curate, tmp_path: Path) -> None:
    """A folder with a loading script, as hubs once had them: the script does not run."""
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\nimport datasets\n")
    (folder / "setup.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n")
    recipe = write(tmp_path / "r.yaml", [step("a", "read.dataset", path=str(folder)), step("out", "write.text")])
    done = curate("run", recipe, "--store", tmp_path / "run", "--workers", 0)
    assert done.code == 3 and "Traceback" not in done.err
    assert not (tmp_path / "pwned").exists()
