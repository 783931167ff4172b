"""harvest-mini: an invented log becomes answered queries and queries, without what names somebody by its form (names stay), in
the form that others begin with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pyarrow as pa
from command import Curate, manifest

from curate.stages.answered import ASSISTANT
from curate.stages.base import PART, ROW
from curate.stages.catalog import Catalog
from curate.stages.compared import answers_of
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
    assert len(set(texts)) == len(texts) < answered.num_rows
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
