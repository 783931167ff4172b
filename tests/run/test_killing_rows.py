"""Real rows that kill real workers: set aside by name, the rest as if they had never been there."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from command import Curate, manifest, receipts
from killers import KILLING, killers, shards
from recipes import step, write
from small_run import MAY_REPEAT, prose

from curate.errors import DamagedError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run import measured
from curate.run.cluster import Landed, Runner
from curate.run.engine import Engine, Settings
from curate.run.progress import Silent
from curate.run.quarantine import DIED, Conversation, treat
from curate.run.row_step import RowStep
from curate.run.segment import SegmentTask
from curate.run.task import Task
from curate.stages.base import Signals
from curate.store.files import Store
from curate.store.parts import read_part
from curate.store.records import Part
from curate.store.tables import read_batches
from curate.text.batch import Batch


def test_a_row_that_takes_all_memory(curate: Curate, tmp_path):
    """A worker's real limit: the row is set aside, counted, shown with its place; the next run pays nothing for it."""
    texts = {f"d{n}": prose(n, 60) for n in range(2)}
    whole = killers(tmp_path / "whole", {"d0": texts["d0"]})
    curate.run(whole, tmp_path / "undisturbed").ok()
    bad = killers(tmp_path / "bad", {**texts, "d1": texts["d1"] + " HUNGRY"})
    store = tmp_path / "run"
    wrong = curate.run(bad, store, "--worker-memory", "banana", workers=1)
    assert (wrong.code, wrong.line.partition(";")[0]) == (2, "--worker-memory banana is no amount of memory")
    # A worker has about 250 MB before it does anything.
    curate.run(bad, store, "--worker-memory", "600MB", workers=1, env=KILLING).ok()
    assert shards(store) == shards(tmp_path / "undisturbed")
    found = manifest(store)["steps"]["rules"]
    assert (found["rows_in"], found["rows_out"], found["reasons"]) == (2, 1, {"kills_worker": 1})
    shown = curate("inspect", "--plain", store, "--step", "rules", "--reason", "kills_worker").ok()
    row = re.search(r"^([0-9a-f]{8}) +docs +rules: kills_worker$", shown.out, re.MULTILINE)
    assert row, shown.out
    story = curate("explain", store, row[1]).ok().out
    assert "docs.jsonl#d1" in story
    assert "died whenever it saw this row alone" in " ".join(story.split())
    before = receipts(store)
    curate.run(bad, store, workers=1, env=KILLING).ok()
    assert receipts(store) == before


def part_rows(store: Store, receipt: dict[str, Any]) -> list[dict[str, Any]]:
    """Visible rows of the part that a receipt names."""
    return [row for visible in read_part(store, Part.load(receipt["part"])) for row in visible.rows.to_pylist()]


def in_children(case: Conversation) -> tuple[Any, int]:
    """Play the workers with real processes: each attempt is a fork that may die. The receipt, and how many did."""
    sent, deaths = next(case), 0
    while True:
        read, write_ = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            with os.fdopen(write_, "wb") as out:
                out.write(json.dumps(sent.run()).encode())
            os._exit(0)
        os.close(write_)
        with os.fdopen(read, "rb") as answer:
            said = answer.read()
        _, status = os.waitpid(pid, 0)
        died = os.WIFSIGNALED(status)
        assert died or os.waitstatus_to_exitcode(status) == 0
        deaths += died
        try:
            sent = case.send(DIED if died else json.loads(said))
        except StopIteration as end:
            return end.value, deaths


def lethal_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process's forks too, rows with KILLER end the process that measures them."""
    real = measured.measure

    def measure(one: RowStep, docs: Batch) -> Signals:
        if any("KILLER" in text for text in docs.text.to_pylist()):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(one, docs)

    monkeypatch.setattr(measured, "measure", measure)


class Caught(Runner):
    """Runs tasks here; those of segments are kept, to be looked at."""

    def __init__(self) -> None:
        super().__init__(0)
        self.segments: list[SegmentTask] = []

    def run(self, tasks: Sequence[Task], follow: Any = lambda _: (), label: str = "") -> Iterator[Landed]:
        for landed in super().run(tasks, follow):
            if isinstance(landed.task, SegmentTask):
                self.segments.append(landed.task)
            yield landed


def forget_signals(folder: Path) -> None:
    """What was measured is measured again."""
    for path in folder.glob("run/signals/*/*/*.json"):
        path.unlink()


@pytest.mark.parametrize("kind", ["plain", "gz", "frames", "parquet", "part", "edits"])
def test_every_kind_of_split(kind, tmp_path, monkeypatch):
    """A split of each kind, and parts with and without edits: what is left is what is left of the others."""
    texts = [prose(n, 60) for n in range(40)]
    killers = {3, 20, 21, 39} if kind == "plain" else {20}
    rows = [{"id": f"d{n}", "text": text + " KILLER" * (n in killers)} for n, text in enumerate(texts)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    name = {"gz": "docs.jsonl.gz", "frames": "docs.jsonl.zst", "parquet": "docs.parquet"}.get(kind, "docs.jsonl")
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    else:
        packed = {
            "gz": gzip.compress,
            "frames": lambda data: zstandard.compress(data[:9000]) + zstandard.compress(data[9000:]),
        }
        (tmp_path / name).write_bytes(packed.get(kind, bytes)(lines))
    rules = step(
        "rules", "filter.c4" if kind == "edits" else "filter.massivetext", **({} if kind == "edits" else MAY_REPEAT)
    )
    between = [step("unique", "dedup.exact")] if kind in ("part", "edits") else []
    source = step("docs", "read.parquet" if kind == "parquet" else "read.jsonl", paths=[name])
    plan = make_plan(load_recipe(write(tmp_path / "r.yaml", [source, *between, rules])))
    with Caught() as runner:
        Engine(plan, Store(tmp_path / "run"), runner, Silent()).run()
    (task,) = [t for t in runner.segments if t.steps]
    undisturbed = task.run()
    gone = {f"{name}#d{n}" for n in killers}
    expected = [row for row in part_rows(task.store, undisturbed) if row["origin"] not in gone]
    (task.store.path(task.receipt)).unlink()
    forget_signals(tmp_path)
    careful = task.careful().work()
    assert careful["counts"] == undisturbed["counts"]
    assert part_rows(task.store, careful) == part_rows(task.store, undisturbed)
    forget_signals(tmp_path)
    lethal_measure(monkeypatch)
    receipt, deaths = in_children(treat(task))
    assert part_rows(task.store, receipt) == expected
    assert receipt["counts"]["rules"]["reasons"]["kills_worker"] == len(killers)
    dropped = [r for b in read_batches(task.store.path(receipt["dropped"])) for r in b.to_pylist()]
    assert {r["origin"] for r in dropped if r["reason"] == "kills_worker"} == gone
    assert deaths > 2 * len(killers)


def test_pieces_on_an_object_store_are_rehearsed(tmp_path):
    """A piece of a file that was cut is read from a copy; one that is not what was written is no row's fault."""
    lines = "".join(json.dumps({"id": f"d{n}", "text": prose(n, 60)}) + "\n" for n in range(40))
    (tmp_path / "docs.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl.gz"]),
        step("rules", "filter.massivetext", **MAY_REPEAT),
    ]
    plan = make_plan(load_recipe(write(tmp_path / "r.yaml", steps)))
    store = Store(f"memory://{tmp_path.name}/run")
    with Caught() as runner:
        Engine(plan, store, runner, Silent(), Settings(split_bytes=16_000)).run()
    task = runner.segments[0]
    assert task.careful().rehearse(20, 30, 1) == {"rows": 40, "origin": "docs.jsonl.gz#d20"}
    assert task.split is not None
    piece = str(store.key_of(task.split.path))
    data = store.read(piece)
    assert data is not None
    store.replace(piece, data[:-9] + b"?" + data[-8:])
    with pytest.raises(DamagedError, match="not what was written"):
        task.careful().rehearse(20, 30, 1)
