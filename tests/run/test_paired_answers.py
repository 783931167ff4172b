"""Pairs of answers through a whole run: terms of both sides, the story of each side, order, card, exports."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import orjson
import pyarrow as pa
import pytest
import yaml
from command import Curate
from recipes import step, write

from curate.assets import find
from curate.errors import RecipeError
from curate.export.chats import LastAnswers, Pairs
from curate.llm.teacher import Call, Say, Teacher
from curate.stages.answered import query_id

TIERS = {"easy": 3, "medium": 2, "hard": 0}


def answers(weak_terms: str = "CC0-1.0") -> list[dict[str, Any]]:
    """Twelve queries, each with an answer of a strong and of a weak model, 1 to 4 apart."""
    rows = []
    for n in range(12):
        for model, score, terms in (("strong", 5, "MIT"), ("weak", 1 + n % 4, weak_terms)):
            told = [
                {"role": "user", "content": f"What is {n} and {n}?"},
                {"role": "assistant", "content": f"{n} and {n} is {2 * n}, as {model} says."},
            ]
            row = {"text": "\n\n".join(m["content"] for m in told), "messages": told, "query": query_id(told)}
            rows.append({**row, "model": model, "score": score, "license": terms})
    return rows


def recipe(folder: Path, rows: list[dict[str, Any]], **more: Any) -> Path:
    (folder / "answers.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return write(
        folder / "pairs.yaml",
        [
            step("answers", "read.jsonl", paths=["answers.jsonl"]),
            step("pair", "pair.answers", score="meta.score", tiers=TIERS),
            step("dataset", "write.text", documents_per_shard=5, order={"by": "pair.tier", "values": list(TIERS)}),
        ],
        **more,
    )


def test_a_rejected_answer_that_may_not_be_used_is_refused(curate: Curate, tmp_path: Path) -> None:
    """The pair is under the terms of both sides: one clear line, nothing written; let pass by name it is written."""
    run = ("--store", tmp_path / "run", "--workers", 0)
    done = curate("run", recipe(tmp_path, answers("OpenAI terms"), use="train-open"), *run)
    assert done.code == 3 and not (tmp_path / "run/dataset").exists()
    assert "step dataset: terms of what would be written conflict with use: train-open" in done.line
    assert "12 rows under 'MIT AND OpenAI terms' (no-competing-models)" in done.line
    done = curate(
        "run", recipe(tmp_path, answers("OpenAI terms"), use="train-open", allow_terms=["OpenAI terms"]), *run
    ).ok()
    card = (tmp_path / "run/README.md").read_text()
    assert "| MIT AND OpenAI terms | 12 | attribution, no-competing-models | **no-competing-models**: let pass" in card
    pushed = curate("push", tmp_path / "run/dataset", "me/pairs")
    assert pushed.code != 0 and "MIT AND OpenAI terms" in pushed.line


@pytest.fixture(scope="module")
def place(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the recipe."""
    folder = tmp_path_factory.mktemp("pairs")
    curate("run", recipe(folder, answers()), "--store", folder / "run", "--workers", 0).ok()
    return folder


def rows_of(folder: Path) -> pa.Table:
    files = sorted(str(path) for path in folder.glob("*.arrow"))
    return datasets.load_dataset(
        "arrow", data_files=files, split="train", cache_dir=str(folder.parent / "cache")
    ).data.table


def test_both_sides_are_told_side_by_side(curate: Curate, place: Path) -> None:
    """Of a rejected answer ``explain`` shows the one that was chosen over it, with gap and tier; ``inspect`` and card the shortcuts."""
    rows = rows_of(place / "run/dataset").to_pylist()
    assert len(rows) == 12 and all(
        "as strong says" in row["text"] and "as weak says" in row["pair.rejected"] for row in rows
    )
    one = rows[0]
    told = curate("explain", place / "run", one["pair.rejected_id"]).ok().out
    assert f"chosen over it: {one['id'][:12]}, gap {one['pair.gap']:g}, tier {one['pair.tier']}" in told
    assert "rejected " in told and f"chosen, gap {one['pair.gap']:g}" in told and "strong" in told
    seen = curate("inspect", "--plain", place / "run", "--reason", "rejected").ok().out
    assert "12 pairs: easy 50%, medium 25%, hard 25%" in seen and f"beside {one['id'][:8]}" in seen
    # What a removal list names goes from the dataset with its text: the chosen answer stands for itself, and is no copy.
    (place / "list.txt").write_text(f"id:{one['pair.rejected_id']}\n")
    taken = curate("takedown", place / "run", place / "list.txt", "--json")
    told = json.loads(taken.out)
    assert [hit["fate"] for hit in told["named"]] == ["in dataset"] and not told["copies"]
    card = (place / "run/README.md").read_text()
    assert "## Pairs, and what gives the chosen one away" in card and "| strong &gt; weak | 12 |" in card
    report = next(s for s in json.loads((place / "run/manifest.json").read_text())["steps"] if s["id"] == "pair")[
        "report"
    ]
    assert report["pairs"]["tiers"][0]["pairs"] == 6 and report["pairs"]["longest_chosen"] == 1


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def test_pairs_are_written_from_easy_to_hard_and_exported(curate: Curate, place: Path, tmp_path: Path) -> None:
    """In the order of tiers; chats, and pairs in trl's conversational form and as strings, load in ``datasets`` in that order."""
    rows = rows_of(place / "run/dataset").to_pylist()
    assert [row["pair.tier"] for row in rows] == ["easy"] * 6 + ["medium"] * 3 + ["hard"] * 3
    dataset = place / "run/dataset"
    curate("export", dataset, tmp_path / "chat", "--to", "chat", "--columns", "id,source").ok()
    chats = lines(tmp_path / "chat")
    assert [row["id"] for row in chats] == [row["id"] for row in rows] and set(chats[0]) == {"messages", "id", "source"}
    assert [row["messages"] for row in chats] == [json.loads(row["meta"])["messages"] for row in rows]
    curate("export", dataset, tmp_path / "dpo", "--to", "dpo", "--columns", "pair.tier").ok()
    pairs = lines(tmp_path / "dpo")
    for pair, row in zip(pairs, rows, strict=True):
        assert pair["prompt"] + pair["chosen"] == json.loads(row["meta"])["messages"] and len(pair["chosen"]) == 1
        assert pair["rejected"] == [{"role": "assistant", "content": row["pair.rejected"]}]
    curate("export", dataset, tmp_path / "last", "--to", "chat-last").ok()
    assert lines(tmp_path / "last") == [{"prompt": p["prompt"], "completion": p["chosen"]} for p in pairs]
    curate("export", dataset, tmp_path / "strings", "--to", "dpo-strings").ok()
    one = lines(tmp_path / "strings")[0]
    assert one == {
        "prompt": pairs[0]["prompt"][0]["content"],
        "chosen": pairs[0]["chosen"][0]["content"],
        "rejected": pairs[0]["rejected"][0]["content"],
    }
    for name, columns in (
        ("chat", ["messages", "id", "source"]),
        ("dpo", ["prompt", "chosen", "rejected", "pair.tier"]),
    ):
        files = sorted(str(path) for path in (tmp_path / name).glob("*.jsonl"))
        loaded = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
        assert loaded.column_names == columns and len(loaded) == 12


def test_what_is_no_pair_is_refused_in_one_line(curate: Curate, tmp_path: Path) -> None:
    """Texts without messages, and datasets without rejected answers, in a format of chats; no folder is left."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "no chat"}) + "\n")
    steps = [step("a", "read.jsonl", paths=["a.jsonl"]), step("dataset", "write.text")]
    curate("run", write(tmp_path / "r.yaml", steps), "--store", tmp_path / "run", "--workers", 0).ok()
    for to, wrong in (("chat", "would have no messages"), ("dpo", "no column has rejected answers")):
        done = curate("export", tmp_path / "run/dataset", tmp_path / "out", "--to", to)
        assert done.code == 2 and wrong in done.line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "r.yaml", "run"]


def test_a_row_without_a_rejected_answer_is_no_pair(tmp_path: Path) -> None:
    """It is refused, not written with an empty one; so is a chat that nobody answered."""
    meta = json.dumps({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})
    asked = json.dumps({"messages": [{"role": "user", "content": "q"}]})
    for metas, rejected in (([meta, meta], ["b", None]), ([meta, asked], ["b", "b"])):
        rows = pa.RecordBatch.from_pydict(
            {"meta": pa.array(metas), "pair.rejected": pa.array(rejected, pa.large_string())}
        )
        out = Pairs(tmp_path, SimpleNamespace(folder=tmp_path), rows.schema, 1 << 20)
        with pytest.raises(RecipeError, match=r"row 1 of data-00000\.jsonl would be no pair"):
            out.add(rows)
    last = LastAnswers(tmp_path, SimpleNamespace(folder=tmp_path), rows.schema, 1 << 20)
    with pytest.raises(RecipeError, match=r"row 1 of data-00000\.jsonl would have no completion"):
        last.add(rows)


def answered_or_judged(call: Call) -> Say:
    """The colder, the more words; a judge gives a point for every third of them."""
    told = str(call.body["messages"][-1]["content"])
    if "Answer score:" in call.prompt:
        return Say(f"It says something.\n\nAnswer score: {min(5, len(told.split('Word')) - 1)}")
    words = {0.2: 5, 1.2: 3, 1.8: 1}[call.body["temperature"]]
    return Say(" ".join(["Word"] * words) + f" about {told.rsplit(maxsplit=1)[-1]}")


def test_contrast_mini_runs_to_pairs_in_order(curate: Curate, tmp_path: Path) -> None:
    """The shipped recipe with a scripted teacher: of each query an easy pair, strong over weak, and a hard one, middle over weak."""
    loaded = yaml.safe_load(find("pipelines", "contrast-mini").read_text())
    with Teacher(answered_or_judged) as teacher:
        model = {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0"}
        loaded["models"] = {name: dict(model) for name in loaded["models"]}
        (tmp_path / "mini.yaml").write_text(yaml.safe_dump(loaded, sort_keys=False))
        curate.run(tmp_path / "mini.yaml", tmp_path / "run").ok()
    rows = rows_of(tmp_path / "run/dataset").to_pylist()
    assert [row["pair.tier"] for row in rows] == ["easy"] * 10 + ["hard"] * 10
    for row in rows:
        said = json.loads(row["meta"])["messages"][-1]["content"]
        assert (
            said.count("Word") == (5 if row["pair.tier"] == "easy" else 3) and row["pair.rejected"].count("Word") == 1
        )
        assert (row["source"], row["judged.score"]) == (("strong", 5) if row["pair.tier"] == "easy" else ("middle", 3))
