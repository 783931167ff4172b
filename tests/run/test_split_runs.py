"""A corpus split by lineage in a run: the columns, what reads them, what is said of them; and what changes when data does."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from command import Curate, manifest
from exchange import verdicts
from recipes import step, write

from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.report.run_folder import RunFolder, open_run
from curate.run.cluster import Runner
from curate.run.engine import Engine, Settings
from curate.run.progress import Silent
from curate.stages.base import Context
from curate.stages.groups import Groups
from curate.stages.split_lineage import SplitLineage
from curate.store.files import Store
from curate.store.parts import read_part


def corpus(folder: Path, start: int, stop: int) -> None:
    """A file of documents: near copies, repositories, and some that are alone."""
    with (folder / f"docs-{start}.jsonl").open("w") as out:
        for n in range(start, stop):
            rng = random.Random(n // 3)
            words = [f"w{rng.randrange(10**6)}" for _ in range(60)]
            words[-1] = f"end{n % 3}"
            row = {"id": f"d{n}", "text": " ".join(words), "repo": f"o/r{n // 6}"}
            if n % 5 == 0:
                row = {"id": f"d{n}", "text": f"alone {n} " + " ".join(f"x{n}y{i}" for i in range(40))}
            out.write(json.dumps(row) + "\n")


def rows(run: RunFolder, name: str) -> pa.Table:
    """The rows that a step gives."""
    columns = ["id", "text", "source", "origin", "meta", "content_hash", "split.side", "split.group", "split.links"]
    return pa.Table.from_batches([b for part in run.steps[name].record.parts for b in run.visible(part, columns)])


@pytest.fixture(scope="module")
def ran(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in five partitions."""
    folder = tmp_path_factory.mktemp("split")
    corpus(folder, 0, 300)
    steps = [
        step("docs", "read.jsonl", paths=["docs-*.jsonl"]),
        step("split", "split.lineage", validation="20%"),
        step("train", "select.where", "split", column="split.side", equals="train"),
        step("held", "select.where", "split", column="split.side", equals="validation"),
        step("out", "write.text", "train"),
        step("held-out", "write.text", "held"),
    ]
    curate.run(write(folder / "r.yaml", steps), folder / "run", "--partitions", 5).ok()
    return folder


def test_columns_are_what_one_partition_gives(ran: Path) -> None:
    """Sides, groups and links are those of all documents taken together; each side goes its own way."""
    run = open_run(str(ran / "run"))
    docs = rows(run, "split")
    stage = SplitLineage(validation=0.2)
    wanted = {r["id"]: r for r in verdicts(stage, docs.select(range(6)), ctx=Context("split", 7)).to_pylist()}
    got = {r["id"]: r for r in docs.to_pylist()}
    assert len(got) == 300
    for one, row in got.items():
        for name in ("side", "group", "links"):
            assert row[f"split.{name}"] == wanted[one][name]
    sides = {name: set(rows(run, name).column("split.side").to_pylist()) for name in ("train", "held")}
    assert sides == {"train": {"train"}, "held": {"validation"}}
    report = manifest(ran / "run")["steps"]["split"]["report"]
    assert 0.18 < report["share"] < 0.22
    assert report["validation"]["documents"] == rows(run, "held").num_rows
    assert rows(run, "train").num_rows + rows(run, "held").num_rows == 300


def test_explain_and_inspect_say_it(curate: Curate, ran: Path) -> None:
    """A document's story has its side, its group, and what links it; the group's name is an id that explain finds."""
    one = next(
        r for r in rows(open_run(str(ran / "run")), "split").to_pylist() if "near copy" in (r["split.links"] or "")
    )
    told = json.loads(curate("explain", ran / "run", one["id"].hex(), "--json").ok().out)
    said: dict[str, Any] = next(e for e in told["events"] if e["step"] == "split")["signals"]
    assert said == {name: one[f"split.{name}"] for name in ("side", "group", "links")}
    assert "repository o/r" in said["links"]
    shown = curate("explain", ran / "run", said["group"]).ok().out
    assert f"group {said['group']}" in shown
    assert "documents have near copies" in curate("inspect", "--plain", ran / "run").ok().out


def test_more_data_is_measured_anew(curate: Curate, ran: Path) -> None:
    """What a selection read of the sides was true of the data as it was: with more of it, sides are read again."""
    before = {r["id"]: r["split.side"] for r in rows(open_run(str(ran / "run")), "split").to_pylist()}
    corpus(ran, 300, 420)
    curate.run(ran / "r.yaml", ran / "run").ok()
    run = open_run(str(ran / "run"))
    after = {r["id"]: r["split.side"] for r in rows(run, "split").to_pylist()}
    assert any(after[i] != side for i, side in before.items()), "this data moves some; else the test shows nothing"
    assert set(rows(run, "train").column("split.side").to_pylist()) == {"train"}
    assert set(rows(run, "held").column("split.side").to_pylist()) == {"validation"}


def test_in_pieces_and_rounds(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduces that hold a few rows at a time, and links that are followed in rounds to the end, give the same."""
    (tmp_path / "docs-0.jsonl").write_bytes((ran / "docs-0.jsonl").read_bytes())
    steps = [step("docs", "read.jsonl", paths=["docs-0.jsonl"]), step("split", "split.lineage", validation="20%")]
    plan = make_plan(load_recipe(write(tmp_path / "r.yaml", steps)))
    names = ["id", "split.side", "split.group", "split.links"]
    found = []
    for name in ("whole", "pieces"):
        store = Store(tmp_path / name)
        with Runner(0) as runner:
            record = Engine(plan, store, runner, Silent(), Settings(partitions=2)).run()["split"]
        rows = [v.rows.select(names) for part in record.parts for v in read_part(store, part)]
        found.append((record.report, pa.Table.from_batches(rows).to_pylist()))
        monkeypatch.setattr("curate.run.reduce.LOT_BYTES", 2_000)
        monkeypatch.setattr("curate.stages.split_lineage.Groups", partial(Groups, few=0))
    assert found[0] == found[1]
    assert len(list((tmp_path / "pieces").glob("steps/split/*/again*"))) > 2, "it did go in rounds"
