"""`curate benchmarks report`: hits by layer, strength, benchmark and item, examples, items without a hit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command import Curate
from recipes import step, write
from small_run import HOSTILE, prose

from curate.report.contamination import folded
from tests.contamination.items import humaneval
from tests.contamination.strengths import renamed_bare, shouted

ITEMS = humaneval()
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e]")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, curate: Curate) -> Path:
    """Item 0 in two documents, 1, 10 and the solution of 39 in one each, a stranger's text around 10; and six others."""
    folder = tmp_path_factory.mktemp("contaminated")
    planted = [
        ITEMS[0].whole,
        shouted(ITEMS[0]),
        ITEMS[1].whole,
        f"{HOSTILE}\n{ITEMS[10].prompt}",
        renamed_bare(ITEMS[39]),
    ]
    texts = [f"{prose(n)}\n\n{text}\n\n{prose(n + 50)}" for n, text in enumerate(planted)] + [
        prose(n) for n in range(90, 96)
    ]
    lines = [json.dumps({"id": f"d{n}", "text": text, "source": HOSTILE}) for n, text in enumerate(texts)]
    (folder / "docs.jsonl").write_text("\n".join(lines))
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("clean", "decontaminate", against=["humaneval"]),
        step("out", "write.text"),
    ]
    curate.run(write(folder / "recipe.yaml", steps), folder / "run").ok()
    return folder / "run"


def test_counts_are_those_of_what_was_planted(curate: Curate, run: Path) -> None:
    """Per layer, per strength, per item; every item of the benchmark is either hit or named as not hit."""
    (found,) = json.loads(curate("benchmarks", "report", run, "--json").ok().out)
    assert (found["rows"], sum(found["reasons"].values()), found["note"]) == (11, 5, "")
    words, code = found["layers"][:2]
    # What is there word by word is no less a rephrasing.
    assert (words["name"], words["counted"], words["alone"], words["items"]) == ("words", 4, 0, 3)
    assert (code["name"], code["counted"], code["alone"], code["items"]) == ("code", 3, 1, 3)
    assert words["documents"] == {"0.95": 4, "0.90": 4, "0.85": 4, "0.80": 4}
    assert code["documents"] == {"0.95": 3, "0.90": 3, "0.85": 3, "0.80": 3}
    assert {item["item"]: item["documents"] for item in found["items"]} == {
        "humaneval/HumanEval/0": 2,
        "humaneval/HumanEval/1": 1,
        "humaneval/HumanEval/10": 1,
        "humaneval/HumanEval/39": 1,
    }
    (kept,) = found["benchmarks"]
    assert (kept["benchmark"], kept["items"], kept["hit"]) == ("humaneval", 164, 4)
    assert kept["without"] == [f"HumanEval/{n}" for n in range(164) if n not in (0, 1, 10, 39)]


def test_documents_stand_beside_the_items_they_hold(curate: Curate, run: Path) -> None:
    """The passage alone, and the item's text; what a stranger wrote moves no terminal and makes no markup."""
    (found,) = json.loads(curate("benchmarks", "report", run, "--json", "--examples", 4).ok().out)
    assert len({example["item"] for example in found["examples"]}) == 4
    assert {example["layer"] for example in found["examples"]} >= {"words", "code"}
    for example in found["examples"]:
        item = next(i for i in ITEMS if i.name == example["item"])
        assert example["known"] in (item.prompt, item.source, item.answer)
        assert prose(90)[:20] not in example["passage"]
        assert 0.5 < len(example["passage"]) / len(item.prompt) < 2.5
    out = curate("benchmarks", "report", run).ok().out
    assert not CONTROL.search(out)
    assert "no hit of any layer: 160 of 164 items of humaneval" in out
    assert "HumanEval/2-9, 11-38, 40-163" in out
    assert re.search(r"^humaneval/HumanEval/0 +2 +1\.00 +words", out, re.MULTILINE)


def test_the_item_is_that_of_the_layer_that_decided(curate: Curate, run: Path) -> None:
    """One document goes by its function alone: its item is told, not the one of which it has the most words."""
    out = curate("inspect", "--plain", run, "--reason", "benchmark_code").ok().out
    assert re.search(r"clean: benchmark_code +humaneval/HumanEval/39, tau 1", out)
    (gone,) = json.loads(curate("inspect", "--json", run, "--reason", "benchmark_code").ok().out)["rows"]
    assert gone["about"] == {"item": "humaneval/HumanEval/39", "tau": 1.0}
    out = curate("explain", run, gone["id"]).ok().out
    assert "has a function like the solution of humaneval/HumanEval/39 (tau 1.00)" in out


def test_the_page_is_whole_and_escaped(curate: Curate, run: Path, tmp_path: Path) -> None:
    """One file without scripts; markup of documents shows as text."""
    curate("benchmarks", "report", run, "--html", tmp_path / "hits.html").ok()
    text = (tmp_path / "hits.html").read_text()
    assert "<script" not in text and "&lt;script&gt;" in text and not CONTROL.search(text)
    assert "HumanEval/2-9, 11-38, 40-163" in text and "<h2>clean: 5 of 11 documents dropped</h2>" in text


def test_a_run_without_decontamination_says_so(curate: Curate, run: Path) -> None:
    """One line with a cure; a step that does not decontaminate names those that do."""
    assert "there are: clean" in curate("benchmarks", "report", run, "--step", "docs").line


def test_names_are_folded() -> None:
    """Ranges of numbers; other names as they are."""
    assert (
        folded(["HumanEval/0", "HumanEval/1", "HumanEval/3", "x/007", "b", "Mbpp/11"])
        == "x/007; b; HumanEval/0-1, 3; Mbpp/11"
    )
    assert folded([]) == ""


def test_benchmarks_are_found_by_the_paths_of_the_recipe(curate: Curate, tmp_path: Path) -> None:
    """A manifest has no paths; the recipe has."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/mine.jsonl").write_text(json.dumps({"id": "1", "prompt": ITEMS[5].prompt, "answer": ""}) + "\n")
    lines = [json.dumps({"id": str(n), "text": prose(n) + ITEMS[5].prompt * n}) for n in (0, 1)]
    (tmp_path / "docs.jsonl").write_text("\n".join(lines))
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("clean", "decontaminate", against=[str(tmp_path / "in/mine.jsonl")]),
        step("out", "write.text"),
    ]
    curate.run(write(tmp_path / "recipe.yaml", steps), tmp_path / "run").ok()
    (found,) = json.loads(curate("benchmarks", "report", tmp_path / "run", "--json").ok().out)
    assert found["note"] == "" and found["benchmarks"][0]["benchmark"] == "mine"
    assert [example["known"] for example in found["examples"]] == [ITEMS[5].prompt]
