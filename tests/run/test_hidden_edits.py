"""Edits that change meta and hide what they take: the same bytes however run, nothing of it in the store, none of it in reports."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from command import Curate, record, results
from recipes import Steps, changed, step, write

from curate.stages.answered import MESSAGES
from curate.store.files import Store
from curate.store.parts import read_part
from curate.store.records import Part

SECRETS = ("maria@gmail.com", "415-867-5309", "u-4711")
SPLIT = ("--split-mb", 0.02, "--partitions", 2)


def log() -> list[dict]:
    """Requests of which every third has an address, twice with the same words around another one; and long ones that go."""
    found = []
    for i in range(40):
        who = [f"I am {SECRETS[0]}, call {SECRETS[1]}. ", "I am jens@web.de, call 212-867-5310. ", ""][i % 3]
        asked = {"role": "user", "content": f"{who}What is {i // 6} plus {i // 6}?" + " Really?" * (i > 35) * 50}
        answered = {"role": "assistant", "content": f"Dear {who[5:20]}: it is {i // 6 * 2}."}
        request = {"messages": [asked], "user": SECRETS[2]}
        found.append({"id": f"r{i}", "request": request, "response": {"choices": [{"message": answered}]}})
    return found


def steps() -> Steps:
    """Redacted behind the source, told by queries, and whole again; `short` drops some rows within the first segment."""
    return [
        step("log", "read.chats", paths=["log.jsonl"]),
        step("private", "redact.pii", hash=["request.user"], drop=["user.mial"]),
        step("asked", "chats.text"),
        step("short", "filter.length", word="Really? Really?"),
        step("unique", "dedup.exact"),
        step("whole", "chats.text", show="chat"),
        step("queries", "chats.text", "unique", drop_answer=True),
        step("out", "write.text", "whole"),
        step("asked-out", "write.text", "queries"),
    ]


@pytest.fixture(scope="module")
def home(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, a recipe, and a finished run."""
    home = tmp_path_factory.mktemp("hidden")
    (home / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in log()))
    write(home / "r.yaml", steps())
    curate.run(home / "r.yaml", home / "run", *SPLIT).ok()
    return home


def rows(store: Path, name: str) -> list[dict]:
    found = []
    for part in record(store, name)["parts"]:
        for batch in read_part(Store(store), Part.load(part)):
            found += [{**row, "meta": json.loads(row["meta"])} for row in batch.rows.to_pylist()]
    return found


def test_nothing_of_it_stays(home: Path) -> None:
    """Texts and meta have words in its place; queries that differed in an address alone are one; no file of the store has it."""
    whole = rows(home / "run", "whole")
    for row in whole:
        chat = row["meta"][MESSAGES]
        assert row["text"] == "\n\n".join(m["content"] for m in chat) and chat[-1]["role"] == "assistant"
    assert 7 <= len(whole) < 20 and any("<EMAIL_ADDRESS>, call <PHONE_NUMBER>" in row["text"] for row in whole)
    assert all(MESSAGES not in row["meta"] and "it is" not in row["text"] for row in rows(home / "run", "queries"))
    counts = record(home / "run", "private")["counts"]
    assert counts["fields"] == {"user.mial": 0, "request.user": 40}
    assert counts["edited"] == 40 and counts["removed"] != 0, "words may be longer than what they stand for"
    for path in (home / "run").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in SECRETS), path


def test_reports_show_none_of_it(curate: Curate, home: Path) -> None:
    """explain and inspect tell what was taken by numbers, of rows that stayed and of those that went, and show no word of it."""
    shown = curate("inspect", "--plain", home / "run", "-n", 100).out + curate("inspect", home / "run", "--json", "--step", "short", "-n", 100).out  # fmt: skip
    found = json.loads(curate("inspect", home / "run", "--json", "-n", 100).ok().out)["rows"]
    for row in found:
        if row["origin"].partition("#")[2] in ("r0", "r1", "r36"):
            told = curate("explain", home / "run", row["id"], "--json").ok().out
            shown += told + curate("explain", home / "run", row["id"], "--text").ok().out
            story = json.loads(told)
            private = next(e for e in story["events"] if e["step"] == "private")
            assert private["signals"]["email"] >= 1 and private["signals"]["in_meta"] >= 2
            assert private["removed"] is None and not private["diff"] and story["original"] is None
            assert "hides what it takes" in story["note"] and "<EMAIL_ADDRESS>" in story["text"]
    assert "private: in no row there is a field user.mial" in shown
    assert "private: fields of meta, by rows that have them: request.user 40" in shown
    assert "private" in shown and not any(secret in shown for secret in SECRETS)


def test_killed_and_other_settings(curate: Curate, home: Path, tmp_path: Path) -> None:
    """Killed on the way, or run before with another redaction: what a new store gives. Later steps measure meta anew."""
    store, token = tmp_path / "run", tmp_path / "token"
    token.touch()
    (tmp_path / "log.jsonl").symlink_to(home / "log.jsonl")
    write(tmp_path / "r.yaml", changed(steps(), "private", kinds=["ssn"]))
    done = curate.run(tmp_path / "r.yaml", store, *SPLIT, env={"CURATE_CRASH_AT": f"segment.before-receipt={token}"})
    assert done.code == -signal.SIGKILL
    curate.run(tmp_path / "r.yaml", store, *SPLIT).ok()
    write(tmp_path / "r.yaml", steps())
    said = curate.run(tmp_path / "r.yaml", store, *SPLIT).ok().out
    assert "private: in no row there is a field user.mial" in said and "request.user 40" in said
    assert results(store) == results(home / "run")
    counts = {s["id"]: record(store, s["id"])["counts"] for s in steps()}
    assert counts["asked"]["measured"] == counts["asked"]["rows_in"]
