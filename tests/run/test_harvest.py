"""harvest-mini: an invented log becomes answered queries and queries, without what names somebody by its form (names stay), in
the form that others begin with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from command import Curate, manifest
from exchange import CONTEXT, dropped
from exchange import documents as documents_of

from curate.assets import find
from curate.stages.answered import ASSISTANT, text_of
from curate.stages.base import PART, ROW
from curate.stages.catalog import Catalog
from curate.stages.chats_text import ChatsText
from curate.stages.compared import answers_of
from curate.stages.dedup_exact import DedupExact
from curate.stages.dedup_near import DedupNear
from curate.stages.queries import asked
from curate.stages.read_dataset import ReadDataset
from curate.text.batch import Batch

DATA = Path(__file__).parents[2] / "data/samples"


def chat_log():
    spec = importlib.util.spec_from_file_location("chat_log", DATA / "chat_log.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documents(folder: Path) -> pa.RecordBatch:
    stage = ReadDataset(path=str(folder))
    batches = [b for split in stage.splits(folder, Catalog(), 1 << 20) for b in stage.read(split, "read")]
    assert all(isinstance(b, pa.RecordBatch) for b in batches)
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def test_the_log_is_what_its_maker_writes():
    """The committed sample is made by the script beside it, byte for byte in its lines."""
    import zstandard

    made = chat_log()
    packed = (DATA / "chat-log.jsonl.zst").read_bytes()
    assert zstandard.decompress(packed, 1 << 20) == zstandard.decompress(made.packed(), 1 << 20)


def steps_of(recipe: str) -> dict[str, dict[str, Any]]:
    """Settings of a shipped recipe's steps by id."""
    loaded = yaml.safe_load(find("pipelines", recipe).read_text())
    return {step["id"]: step.get("with", {}) for step in loaded["steps"]}


def harvested(*chats: list[tuple[str, str]]) -> int:
    """How many queries harvest keeps of some chats of (role, content)."""
    with_ = steps_of("harvest")
    messages = [[{"role": role, "content": content} for role, content in chat] for chat in chats]
    docs = documents_of([text_of(chat) for chat in messages])
    metas = pa.array([json.dumps({"messages": chat}) for chat in messages])
    docs = docs.set_column(docs.schema.get_field_index("meta"), "meta", metas)
    stage, batch = ChatsText(**with_["asked"]), Batch(docs.combine_chunks().to_batches()[0])
    texts, before = stage.edit(batch, CONTEXT), stage.measure(batch, CONTEXT)["before"]
    left = documents_of(texts.to_pylist(), {"asked.before": before})
    for dedup in (DedupExact(**with_["asked-once"]), DedupNear(**with_["asked-alike"])):
        gone = dropped(dedup, left)
        left = left.filter(pa.array([n not in gone for n in range(left.num_rows)]))
    return left.num_rows


def test_the_recipe_and_its_mini_tell_queries_apart_alike():
    """What follows is about both."""
    full, mini = steps_of("harvest"), steps_of("harvest-mini")
    assert all(full[name] == mini[name] for name in ("asked", "asked-once", "asked-alike"))


def test_what_stands_before_a_query_makes_it_another_one():
    """The same last words in five conversations, and under three system messages, long ones too, are so many queries; said again
    in the same conversation they are one, whatever was answered."""
    on = [
        [("user", f"Tell me of {topic}."), ("assistant", f"{topic} is ..."), ("user", "Can you go on, please?")]
        for topic in ("tides", "bread", "chess", "Rome", "bees")
    ]
    assert harvested(*([*chat, ("assistant", "Yes: ...")] for chat in on)) == 5
    assert harvested(*([*on[0], ("assistant", said)] for said in ("Yes: ...", "No.", "Yes: ..."))) == 1
    shared = "You are the assistant of a shop that sells lamps, and never say what a customer has not asked for. " * 9
    for rules in ("", shared):
        told = [[("system", rules + f"Translate to {t}.")] for t in ("German", "French", "Welsh")]
        assert harvested(*([*system, ("user", "Where is the next station?")] for system in told)) == 3
    ask = [[("system", shared), ("user", asked)] for asked in ("Is it bright?", "Is it green?", "is it green")]
    assert harvested(*ask) == 3 and harvested(*ask, *ask) == 3
    assert harvested([("user", "Is it green?")], [("system", " "), ("user", "Is it green?")]) == 1


OTHER = [
    ("What is the sum of all even numbers below 100?", "What is the sum of all odd numbers below 100?"),
    ("What is the capital of France?", "What is the capital of Chile?"),
    ("Can I take ibuprofen with alcohol?", "Can I take ibuprofen without alcohol?"),
    ("Translate this sentence to German: The train is late.", "Translate this sentence to French: The train is late."),
    ("I buy 12 apples at 3 euros each. What do I pay?", "I buy 15 apples at 4 euros each. What do I pay?"),
    ("How do I enable dark mode in Firefox?", "How do I disable dark mode in Firefox?"),
    ("Solve 3x + 7 = 31.", "Solve 3x - 7 = 31."),
    ("What is the difference between a list and a tuple?", "What is the difference between a list and a set?"),
    (
        "Is it safe to mix bleach and vinegar when I clean the bathroom floor?",
        "Is it unsafe to mix bleach and vinegar when I clean the bathroom floor?",
    ),
    (
        "Which medicines should a person with high blood pressure avoid before an operation under anaesthesia?",
        "Which medicines should a person with low blood pressure avoid before an operation under anaesthesia?",
    ),
    (
        "Please tell me in one short paragraph who won the match between Spain and France",
        "Please tell me in one short paragraph who won the match between Spain and Italy",
    ),
    (
        "Janet has 12 ducks that lay one egg a day each. She eats three for breakfast and sells the rest at 2 dollars. What is left?",
        "Janet has 16 ducks that lay one egg a day each. She eats three for breakfast and sells the rest at 2 dollars. What is left?",
    ),
]
"""Pairs of different questions."""
TIDES, LIST = "What makes the tides?", "How do I reverse a list in Python without changing it?"
EGGS = OTHER[-1][0]
MERGED = [
    (TIDES, "what makes  the tides?"),
    (TIDES, "What makes the tides"),
    (TIDES, "What makes the tides??"),
    (LIST, "how do i reverse a list in python without changing it"),
    (LIST, f"Hi! {LIST}"),
    (EGGS, f"Hello, {EGGS}"),
    (EGGS, f"{EGGS} Thanks!"),
]
"""Pairs of one question, by case, white space, signs at an end, and few words more at the ends of a longer one."""
KEPT = [
    (TIDES, f"{TIDES} Thanks a lot in advance!"),
    (TIDES, "What makes the tides, please?"),
    (LIST, LIST.replace("list", "lsit")),
    (EGGS, EGGS.replace("breakfast and", "breakfast, and")),
]
"""Pairs of one question that stay both: what changes inside, and much that is put around few words."""


@pytest.mark.parametrize(("pairs", "left"), [(OTHER, 2), (MERGED, 1), (KEPT, 2)], ids=["other", "merged", "kept"])
def test_which_queries_are_alike(pairs: list[tuple[str, str]], left: int) -> None:
    """Different questions stay; what is merged, and what of one question is not, is as docs/chats.md says."""
    found = {pair: harvested(*([("user", one)] for one in pair)) for pair in pairs}
    assert found == dict.fromkeys(pairs, left)


def test_harvest(curate: Curate, tmp_path: Path) -> None:
    """What is planted is found, to the row; both datasets are read as orca and the router read them."""
    curate.run("harvest-mini", tmp_path / "run", "--workers", 0).ok()
    made = chat_log()
    planted, steps = made.PLANTED, manifest(tmp_path / "run")["steps"]
    assert steps["log"]["reasons"] == {
        "no_consent": planted["without consent"],
        "failed": planted["failed"],
        "cut_short": planted["cut short"],
        "refused": planted["held back"],
        "tool_calls": planted["with a tool"],
        "not_text": planted["with a picture"],
    }
    assert steps["unique"]["reasons"]["exact_duplicate"] >= planted["said again"]
    assert sum(steps["clean"]["reasons"].values()) == planted["of a benchmark"]
    answered, queries = (documents(tmp_path / "run" / name) for name in ("answered", "queries"))

    # No user's id or address, and nothing of the form of personal data, is in what is written; first names are, see docs/chats.md.
    written = "\n".join(t for b in (answered, queries) for c in ("text", "meta") for t in b.column(c).to_pylist())
    users = {record["user"]["id"] for record in made.log()} | {record["user"]["ip"] for record in made.log()}
    words = {word.strip("().,?!") for record in made.log() for word in json.dumps(record["request"]).split()}
    private = {w for w in words if "@" in w or w.startswith("sk-proj") or (sum(map(str.isdigit, w)) > 7)}
    assert len(private) > 20 and len(users) > 20
    assert not [one for one in users | private if one in written]
    assert "<EMAIL_ADDRESS>" in written and "<US_SSN>" in written and '"consent":true' in written

    # Queries: each once, without an answer, as those who ask teachers read them.
    texts = queries.column("text").to_pylist()
    chats = [
        json.dumps(asked(*pair))
        for pair in zip(texts, map(json.loads, queries.column("meta").to_pylist()), strict=True)
    ]
    assert len(set(chats)) == len(chats) < answered.num_rows
    assert steps["asked-alike"]["reasons"]["near_duplicate"] == planted["said again in other words"] // 2
    for text, meta in zip(texts, map(json.loads, queries.column("meta").to_pylist()), strict=True):
        messages = asked(text, meta)
        assert messages is not None and messages[-1]["content"] == text and meta["task"] and meta["terms"]
        assert all(m["role"] != ASSISTANT for m in meta.get("messages", []))

    # Answers of two models to one query stand beside each other.
    numbers = pa.array(range(answered.num_rows), pa.uint32())
    rows = answers_of(
        Batch(answered.append_column(PART, numbers).append_column(ROW, numbers)), "meta.score"
    ).to_pylist()
    by_query: dict[bytes, set[str]] = {}
    for row in rows:
        by_query.setdefault(row["query"], set()).add(row["by"])
    assert sum({"small-1b-2026-01", "large-70b-2026-01"} <= models for models in by_query.values()) >= 29
