"""Explanation tuning from queries to packed chats: two scripted teachers, one curriculum, and the teachers' tokens alone to learn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Curate, Done, manifest, record

from curate.fingerprint import fingerprint
from curate.llm.teacher import Call, Say, Teacher
from curate.load.dataset import TokenDataset
from curate.stages.tokenizer import Tokenizer, load
from curate.store.files import Store
from curate.store.parts import read_part
from curate.store.records import Part

TEACHERS = ("teacher-1", "teacher-2")


def teacher_of(call: Call) -> Say:
    """A few sentences that follow from what was asked and of whom; some refusals."""
    dice = int(fingerprint([dict(m) for m in call.body["messages"]], call.body["model"])[:8], 16)
    if dice % 11 == 0:
        return Say("I'm sorry, but I can't help with that.")
    words = [fingerprint(dice, i)[:5] for i in range(10 + dice % 60)]
    return Say(f"{call.body['model']} says: {' '.join(words)}.\n\nAnswer: {dice % 100}")


@dataclass(frozen=True)
class Finished:
    """A run; the documents of each step; the pieces of its dataset, the sequences, and their tokenizer."""

    store: Path
    done: Done
    answers: dict[str, list[dict[str, Any]]]
    pieces: list[dict[str, Any]]
    sequences: TokenDataset
    tokenizer: Tokenizer


def documents(store: Path, step: str) -> list[dict[str, Any]]:
    """``meta`` and id of a step's documents."""
    found = []
    for part in map(Part.load, record(store, step)["parts"]):
        for visible in read_part(Store(store), part):
            rows = visible.rows.select(["id", "source", "text", "meta"]).to_pylist()
            found += [{**json.loads(row["meta"]), **row, "id": row["id"].hex()} for row in rows]
    return found


@pytest.fixture(scope="module")
def run(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """The shipped recipe with two teachers, as a user would edit the copy."""
    folder = tmp_path_factory.mktemp("orca")
    path, store = folder / "mine.yaml", folder / "run"
    curate("copy", "orca-mini", path).ok()
    with Teacher(teacher_of) as served:
        text = path.read_text()
        for name, licence in zip(TEACHERS, ("Apache-2.0", "OpenAI terms"), strict=True):
            assert f"  {name}: {{}}\n" in text
            model = f'{{base_url: "{served.base_url}", model: {name}, licence: {licence}, requests_per_minute: 6000}}'
            text = text.replace(f"  {name}: {{}}\n", f"  {name}: {model}\n")
        path.write_text(text)
        done = curate("run", path, "--store", store, "--workers", "0").ok()
    pieces = pq.read_table(sorted((store / "dataset.sequences").glob("*.parquet"))).to_pylist()
    yield Finished(
        store,
        done,
        {name: documents(store, name) for name in (*TEACHERS, "clean")},
        pieces,
        TokenDataset(store / "dataset"),
        load(store / "tokenizer"),
    )


def test_the_second_teacher_answers_a_sample_of_the_same_queries(run: Finished) -> None:
    """With the same system messages; each answer names its query, its teacher, the terms of both and what it cost."""
    first, second = ({one["query"]: one for one in run.answers[name]} for name in TEACHERS)
    counts = manifest(run.store)["steps"]
    assert counts["teacher-1"]["rows_in"] == 30 and counts["teacher-2"]["rows_in"] == 10
    assert 22 <= len(first) < 30 and 7 <= len(second) <= 10
    both = first.keys() & second.keys()
    assert len(both) >= len(second) - 4, "but for those that a teacher refused"
    for query in both:
        assert first[query]["messages"][:-1] == second[query]["messages"][:-1]
        assert first[query]["made_from"] == second[query]["made_from"]
        assert (first[query]["terms"], second[query]["terms"]) == ("Apache-2.0", "OpenAI terms")
        assert (first[query]["model"], second[query]["model"]) == TEACHERS
    assert {one["submix"] for one in first.values()} == {"cot", "niv2", "flan2021", "t0"}
    assert all(one["task"] and one["prompt_tokens"] > 0 and one["strategy"] for one in first.values())


def test_each_submix_has_its_messages(run: Finished) -> None:
    """Those of the paper's table."""
    allowed = {
        "cot": {"detailed-helper", "steps-detailed", "helper"},
        "niv2": {"empty", "detailed", "follow", "steps-faithful", "by-definition", "justify", "teach-the-task", "any-language", "parts-and-examples"},
        "flan2021": {"long", "to-a-child", "steps-faithful", "choice-simple", "choice-knowledge"},
        "t0": {"empty", "detailed", "long", "follow", "steps-faithful"},
    }  # fmt: skip
    for one in run.answers["teacher-1"]:
        assert one["strategy"] in allowed[one["submix"]]
        if one["submix"] == "flan2021":
            assert ("choice" in one["strategy"]) == ("Options:" in one["messages"][-2]["content"])


def test_drawn_by_task(run: Finished) -> None:
    """As many as the recipe says: of niv2 five a task, of the others some of each task until there are enough."""
    by_task = {
        name: Counter(one["task"] for one in documents(run.store, f"{name}-drawn"))
        for name in ("niv2", "flan2021", "t0")
    }
    assert set(by_task["niv2"].values()) == {5} and len(by_task["niv2"]) == 7
    assert (sum(by_task["flan2021"].values()), sum(by_task["t0"].values())) == (25, 20)
    kept = manifest(run.store)["steps"]["t0-drawn"]["kept_by"]["meta.task"]
    assert {task: counts[1] for task, counts in kept.items() if counts[1]} == dict(by_task["t0"])


def test_only_the_teachers_tokens_are_learnt(run: Finished) -> None:
    """In each whole chat of a sequence: what is masked in is the answer and the symbol that ends it, to the token."""
    chats = {one["id"]: one for one in run.answers["clean"]}
    ends = run.tokenizer.control("<|im_end|>")
    whole = [piece for piece in run.pieces if not piece["cut"] and piece["document"] in chats]
    assert len(whole) >= 0.9 * len(chats)
    for piece in whole:
        row = run.sequences[piece["sequence"]]
        at = slice(piece["at"], piece["at"] + piece["length"])
        ids, mask = row["input_ids"][at], row["loss_mask"][at]
        (*shown, answer) = chats[piece["document"]]["messages"]
        learnt = ids[mask.astype(bool)]
        assert learnt[-1] == ends and run.tokenizer.decode(learnt[:-1]) == answer["content"]
        (first,) = run.tokenizer.encode(pa.array([answer["content"]], pa.large_string())).to_pylist()
        assert learnt[:-1].tolist() == first
        assert (ids == ends).sum() == len(shown) + 1 and len(shown) == 1 + (shown[0]["role"] == "system")


def test_the_second_teacher_comes_last(run: Finished) -> None:
    """No sequence that has the first teacher's answers alone stands behind one with the second's; each is taken once."""
    of = {}
    for piece in run.pieces:
        if piece["component"]:
            of.setdefault(piece["sequence"], set()).add(piece["component"])
    late = [TEACHERS[1] in of[number] for number in sorted(of)]
    assert late == sorted(late) and any(late) and not all(late)
    told = manifest(run.store)["steps"]["dataset"]["report"]["mixture"]
    assert [phase["name"] for phase in told["phases"]] == list(TEACHERS)
    assert {name: c["epochs"] for name, c in told["components"].items()} == dict.fromkeys(TEACHERS, 1.0)


def test_chats_in_the_same_order(run: Finished) -> None:
    """The texts beside the tokens: all answers, the first teacher's first."""
    (shard,) = sorted((run.store / "chats").glob("*.arrow"))
    with pa.OSFile(str(shard)) as file:
        sources = pa.ipc.open_stream(file).read_all().column("source").to_pylist()
    assert sources == sorted(sources) and len(sources) == len(run.answers["clean"])


def test_a_use_that_a_teacher_forbids(run: Finished, curate: Curate) -> None:
    """Declared as open training, the recipe is refused before anybody is asked, with the teacher's terms named."""
    path = run.store.parent / "mine.yaml"
    open_ = run.store.parent / "open.yaml"
    open_.write_text(path.read_text().replace("seed:", "use: train-open\nseed:"))
    done = curate("run", open_, "--store", run.store, "--workers", "0")
    assert done.code == 2 and "OpenAI terms" in done.line
