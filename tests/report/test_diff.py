"""`curate diff`: what differs, why, and which change came first; on real runs."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from command import Curate, manifest
from recipes import Steps, changed, step, write
from small_run import prose

from curate.cli.diff import _change as shown_change
from curate.report.dataset_folder import shards
from curate.report.diff import diff_manifests
from curate.report.diff_rows import NOT_KEPT, NOT_READ, Side
from curate.report.diff_rows import _missing as missing
from curate.report.run_folder import Row
from curate.report.step import Step
from curate.store.files import Store
from curate.store.records import Counts, StepRecord


def steps() -> Steps:
    return [
        step("docs", "read.jsonl", paths=["in/*.jsonl"]),
        step("short", "filter.massivetext", min_words=60, max_symbol_ratio=0.5),
        step("marks", "label.file", labels="marks.csv", only_labelled=True),
        step("unique", "dedup.exact"),
        step("words", "train.tokenizer", "unique", vocab_size=400, max_bytes=30_000),
        step("out", "write.text", "unique", documents_per_shard=20),
    ]


def lines(first: int, last: int) -> str:
    return "".join(json.dumps({"id": f"d{i}", "text": prose(i, 40 + 5 * (i % 20))}) + "\n" for i in range(first, last))


@pytest.fixture(scope="module")
def before(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of forty documents in two files; read only."""
    folder = tmp_path_factory.mktemp("diff")
    (folder / "in").mkdir()
    (folder / "in" / "a.jsonl").write_text(lines(0, 20))
    (folder / "in" / "b.jsonl").write_text(lines(20, 40))
    marks = [f"a.jsonl#d{i},1" for i in range(20)] + [f"b.jsonl#d{i},2" for i in range(20, 40) if i % 7]
    (folder / "marks.csv").write_text("\n".join(["origin,label", *marks, "c.jsonl#d40,1"]))
    curate.run(write(folder / "r.yaml", steps()), folder / "a").ok()
    return folder


@pytest.fixture
def mine(before: Path, tmp_path: Path) -> Path:
    """A copy: run ``a``, and ``b``, which is to differ."""
    shutil.copytree(before, tmp_path / "mine", symlinks=True)
    shutil.copytree(tmp_path / "mine" / "a", tmp_path / "mine" / "b", symlinks=True)
    return tmp_path / "mine"


def compared(curate: Curate, a: Path, b: Path, *options: str) -> dict[str, Any]:
    done = curate("diff", a, b, "--json", *options)
    assert done.code in (0, 1) and not done.err, done.err
    said = json.loads(done.out)
    assert said["same"] == (done.code == 0)
    return {**said, "steps": {s["id"]: s for s in said["steps"]}}


def documents(store: Path) -> dict[str, int]:
    out = manifest(store)["steps"]["out"]
    return {"rows": out["rows_out"]}


def test_the_same(curate: Curate, mine: Path) -> None:
    """A run and its copy; another name for the recipe is said, and is no difference."""
    assert compared(curate, mine / "a", mine / "b")["same"]
    assert "the same" in curate("diff", mine / "a", mine / "b").ok().out
    curate.run(write(mine / "r.yaml", steps(), name="other"), mine / "b").ok()
    said = compared(curate, mine / "a", mine / "b")
    assert said["same"] and [c["name"] for c in said["head"]] == ["recipe"]


def test_a_threshold(curate: Curate, mine: Path) -> None:
    """The setting is the first cause, what comes after follows, and each document that is gone has its reason."""
    curate.run(write(mine / "r.yaml", changed(steps(), "short", min_words=100)), mine / "b").ok()
    said = compared(curate, mine / "a", mine / "b")
    assert said["cause"] == "short"
    assert said["steps"]["short"]["changes"] == [{"name": "min_words", "before": 60, "after": 100}]
    assert [s["state"] for s in said["steps"].values()] == ["same", "changed", *["follows"] * 4]
    was, now = (manifest(mine / run)["steps"]["short"] for run in "ab")
    assert said["steps"]["short"]["reasons"] == [
        {"name": "too_short", "before": was["reasons"]["too_short"], "after": now["reasons"]["too_short"]}
    ]
    rows = said["rows"]
    gone = documents(mine / "a")["rows"] - documents(mine / "b")["rows"]
    assert gone > 5 and (rows["only_a"], rows["only_b"], rows["edited"]) == (gone, 0, 0)
    assert rows["both"] == documents(mine / "b")["rows"]
    [why] = rows["missing_in_b"]
    assert (why["step"], why["reason"], why["documents"]) == ("short", "too_short", gone)
    assert len(why["examples"]) == 3 and all(
        "min_words 100" in e["said"] and ".jsonl#d" in e["origin"] for e in why["examples"]
    )
    shown = curate("diff", mine / "a", mine / "b")
    assert shown.code == 1
    assert "first cause: short (filter.massivetext)\n  min_words: 60 -> 100\n" in shown.out
    assert f"  {gone:,} short: too_short (fewer words than min_words)" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 100
    # And back: what only B has was dropped by A.
    back = compared(curate, mine / "b", mine / "a")["rows"]
    assert back["missing_in_b"] == [] and back["missing_in_a"] == rows["missing_in_b"]


def test_inputs(curate: Curate, mine: Path) -> None:
    """Files that came, went or changed, by name; documents that were not there, or have another text."""
    (mine / "in" / "c.jsonl").write_text(lines(40, 44))
    (mine / "in" / "b.jsonl").write_text(lines(20, 38).replace(" the ", " The "))
    curate.run(mine / "r.yaml", mine / "b").ok()
    said = compared(curate, mine / "a", mine / "b")
    assert said["cause"] == "docs"
    assert said["steps"]["docs"]["inputs"] == {"added": ["c.jsonl"], "changed": ["b.jsonl"]}
    assert {s["state"] for n, s in said["steps"].items() if n != "docs"} == {"follows"}
    reasons = {(m["step"], m["reason"]) for m in said["rows"]["missing_in_b"]}
    assert reasons == {("", "not read")}
    left = [f"b.jsonl#d{i}" for i in range(20, 38) if i % 7 and 40 + 5 * (i % 20) >= 62]
    assert 0 < said["rows"]["edited"] <= len(left) + 2
    assert said["rows"]["only_a"] == said["rows"]["missing_in_b"][0]["documents"] > 0
    assert "1 input added: c.jsonl" in curate("diff", mine / "a", mine / "b").out


def test_an_asset_the_seed_and_steps(curate: Curate, mine: Path) -> None:
    """A file that a setting names, the recipe's seed where a step depends on it, a step that came in between."""
    text = (mine / "marks.csv").read_text()
    (mine / "marks.csv").write_text(text.replace("a.jsonl#d11,1\n", ""))
    curate.run(mine / "r.yaml", mine / "b").ok()
    said = compared(curate, mine / "a", mine / "b")
    assert said["cause"] == "marks"
    assert [c["name"] for c in said["steps"]["marks"]["changes"]] == ["labels (content)"]
    assert [(m["step"], m["reason"], m["documents"]) for m in said["rows"]["missing_in_b"]] == [
        ("marks", "unlabelled", 1)
    ]
    assert "labels: its content changed" in curate("diff", mine / "a", mine / "b").out
    (mine / "marks.csv").write_text(text)
    curate.run(write(mine / "r.yaml", steps(), seed=8), mine / "b").ok()
    said = compared(curate, mine / "a", mine / "b")
    assert [c["name"] for c in said["head"]] == ["seed"] and said["cause"] == "words"
    for name in ("words", "out"):
        assert said["steps"][name]["changes"] == [{"name": "seed", "before": 7, "after": 8}]
    assert {said["steps"][n]["state"] for n in ("docs", "short", "marks", "unique")} == {"same"}
    assert said["rows"]["only_a"] == said["rows"]["only_b"] == 0 and said["steps"]["out"]["shards"] is False
    more = steps()
    more[3:3] = [step("few", "filter.fineweb")]
    more = [{**s, "from": "few"} if s["id"] == "unique" else s for s in more if s["id"] != "words"]
    curate.run(write(mine / "r.yaml", more), mine / "b").ok()
    said = compared(curate, mine / "a", mine / "b")
    assert said["steps"]["few"]["state"] == "added" and said["steps"]["words"]["state"] == "removed"
    assert said["cause"] == "few" and list(said["steps"]) == ["docs", "short", "marks", "few", "unique", "words", "out"]


def test_copies_and_manifests(curate: Curate, mine: Path) -> None:
    """A dataset that was copied away, and a manifest that was kept, are compared as far as they go."""
    curate.run(write(mine / "r.yaml", changed(steps(), "short", min_words=100)), mine / "b").ok()
    shutil.copytree(mine / "a" / "out", mine / "away")
    shutil.copy(mine / "a" / "manifest.json", mine / "kept.json")
    whole = compared(curate, mine / "a", mine / "b")
    away = compared(curate, mine / "away", mine / "b")
    # The tokenizer is none of what this dataset was made of.
    assert away["cause"] == "short" and list(away["steps"]) == [n for n in whole["steps"] if n != "words"]
    assert away["rows"]["only_a"] == whole["rows"]["only_a"]
    assert away["rows"]["missing_in_b"][0]["documents"] == whole["rows"]["missing_in_b"][0]["documents"]
    assert compared(curate, mine / "away", mine / "a" / "out")["same"]
    kept = compared(curate, mine / "kept.json", mine / "b")
    assert kept["rows"] is None and kept["steps"] == whole["steps"]
    for wrong in (mine / "in", mine / "r.yaml", mine / "nowhere"):
        assert curate("diff", wrong, mine / "b").code == 2


def test_a_copy_on_an_object_store_names_its_documents(before: Path) -> None:
    """As one on a disk does."""
    here, there = Store((before / "a" / "out").resolve()), Store("memory://diff/away")
    for shard in shards(here):
        there.replace(shard.key, here.read(shard.key) or b"")
    mine, other = (Side(None, folder).documents() for folder in (here, there))
    assert mine is not None and other is not None and len(mine) > 20 and (mine == other).all()


def test_a_setting_is_shown_as_one_whatever_its_name() -> None:
    """``output`` is a setting of label.llm, and not what a step made."""
    draw = random.Random(1)
    a = _random_manifest(draw)
    b = copy.deepcopy(a)
    a["steps"][0]["settings"], b["steps"][0]["settings"] = {"output": "text"}, {"output": "json"}
    (change,) = diff_manifests(a, b).steps[0].changes
    assert shown_change(change) == 'output: "text" -> "json"'
    a["steps"][1]["output"], b["steps"][0]["settings"] = "digest", {"output": "text"}
    (change,) = diff_manifests(a, b).steps[1].changes
    assert shown_change(change).startswith("what it made is another thing")


@dataclass
class _Tables:
    """As much of a run as says what became of documents: tables by name, by step those of dropped rows, and bases."""

    tables: dict[str, list[pa.RecordBatch]]
    steps: dict[str, Any]

    def way(self) -> list[str]:
        return list(self.steps)[:1]

    def bases(self) -> list[str]:
        return [name for name in self.tables if name.startswith("base")]

    def batches(self, key: str, columns: list[str]) -> list[pa.RecordBatch]:
        return [batch.select(columns) for batch in self.tables[key]]

    def rows(self, ids: list[bytes], text: bool) -> dict[bytes, Row]:
        assert not text
        return {one: Row(one, origin=one.hex()) for one in ids}


def _random_run(draw: random.Random, ids: list[bytes]) -> _Tables:
    tables, steps = {}, {}
    for number, name in enumerate(("b", "a")):
        gone = [(one, name, draw.choice("xy")) for one in draw.choices(ids, k=40)]
        columns = [
            pa.array(c, t)
            for c, t in zip(zip(*gone, strict=True), (pa.binary(16), pa.string(), pa.string()), strict=True)
        ]
        tables[name] = pa.table(columns, names=["id", "step", "reason"]).to_batches(max_chunksize=7)
        steps[name] = Step(name, "none", {}, (), {}, StepRecord(name, "none", "", "", Counts(), dropped=[name]))
        base = pa.table([pa.array(draw.choices(ids, k=20), pa.binary(16))], names=["id"])
        tables[f"base{number}"] = base.to_batches(max_chunksize=7)
    return _Tables(tables, steps)


def test_why_a_run_lacks_documents() -> None:
    """By step and reason as a plain reading of its tables has it: what is said first, on the way into the result first."""
    for seed in range(30):
        draw = random.Random(seed)
        # Zeros at the end, too: numpy's strings do without them.
        ids = [bytes([n % 7, *bytes(14), n // 7]) for n in range(120)]
        run, lost = _random_run(draw, ids), sorted(draw.sample(ids, 60))
        why = dict.fromkeys(lost, ("", NOT_READ))
        why |= {
            one: ("", NOT_KEPT)
            for key in run.bases()
            for b in run.tables[key]
            for one in b["id"].to_pylist()
            if one in why
        }
        seen = set()
        for step_ in ("b", "a"):
            for row in (row for b in run.tables[step_] for row in b.to_pylist()):
                if row["id"] in why and row["id"] not in seen:
                    seen.add(row["id"])
                    why[row["id"]] = (row["step"], row["reason"])
        found = missing(np.array(lost, "S16"), run, None)  # type: ignore[arg-type]
        counts = Counter(why.values())
        assert [((m.step, m.reason), m.documents) for m in found] == sorted(counts.items(), key=lambda c: (-c[1], c[0]))
        for one in found:
            those = [i.hex() for i in lost if why[i] == (one.step, one.reason)]
            assert [(e.id, e.origin) for e in one.examples] == [(i, i) for i in those[:3]]


def _random_manifest(draw: random.Random) -> dict[str, Any]:
    names = [f"s{i}" for i in range(draw.randrange(2, 6))]
    made = []
    for i, name in enumerate(names):
        made.append({
            "id": name, "use": "dedup.exact" if i else "read.jsonl", "settings": {"x": draw.randrange(3)}, "uses": {},
            "from": names[i - 1 : i] if i else [], "assets": {}, "fingerprint": "", "rows_in": 9, "rows_out": 9,
            "bytes_out": 9, "reasons": {}, "shards": [],
        })  # fmt: skip
    for i, each in enumerate(made):
        each["fingerprint"] = str([s["settings"] for s in made[: i + 1]])
    return {"manifest": 1, "recipe": "r", "inputs": {"s0": [{"name": "a", "digest": "1"}]}, "steps": made}


def test_the_first_cause_is_the_first_that_was_changed() -> None:
    """Any settings changed at random: the cause is the earliest, all between it and the end follow or have their own
    reason, and swapping the sides names the same steps."""
    for seed in range(60):
        draw = random.Random(seed)
        a = _random_manifest(draw)
        b = copy.deepcopy(a)
        touched = sorted(draw.sample(range(len(a["steps"])), draw.randrange(0, len(a["steps"]))))
        for i in touched:
            b["steps"][i]["settings"]["x"] += 1
        for i, each in enumerate(b["steps"]):
            each["fingerprint"] = str([s["settings"] for s in b["steps"][: i + 1]])
        found, back = diff_manifests(a, b), diff_manifests(b, a)
        assert found.same == (not touched)
        assert found.cause == (f"s{touched[0]}" if touched else None)
        for i, one in enumerate(found.steps):
            after = bool(touched) and i > touched[0]
            assert one.state == ("changed" if i in touched else "follows" if after else "same")
        assert [(s.id, s.state) for s in back.steps] == [(s.id, s.state) for s in found.steps]
