"""Small tasks in bundles: each is committed by itself, whatever becomes of the others."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import Curate, receipts, results
from hypothesis import given
from hypothesis import strategies as st
from recipes import step, write

from curate.errors import InputError
from curate.run.bundle import MOST_BYTES, MOST_TASKS, SMALL_BYTES, Bundle, bundled, unbundled
from curate.run.task import Task
from curate.run.worker import execute
from curate.store import syncing
from curate.store.files import Store


@dataclass(frozen=True)
class Note(Task):
    """Writes its number; 99 is bad luck."""

    number: int = 0
    bytes: int | None = 0

    @property
    def point(self) -> str:
        return "segment"

    @property
    def cost(self) -> int | None:
        return self.bytes

    def work(self) -> Any:
        if self.number == 99:
            raise InputError("bad luck")
        file = self.store.fresh(self.folder, "data", ".txt")
        self.store.path(file).write_text(str(self.number))
        syncing.sync_file(self.store.path(file))
        return {"file": file, "number": self.number}


def notes(store: Store, numbers: Any) -> list[Note]:
    """Tasks."""
    return [Note(store, "steps/x/y", f"k{n}", n) for n in numbers]


@given(st.lists(st.one_of(st.none(), st.integers(0, 3 * SMALL_BYTES)), max_size=400))
def test_bundles_hold_every_task_once(costs: list[int | None]) -> None:
    """In order, large ones and those of unknown cost alone, none beyond its bounds; few tasks are not bundled."""
    tasks = [Note(Store(Path("/nowhere")), "steps/x/y", str(i), i, cost) for i, cost in enumerate(costs)]
    sent = list(bundled(tasks))
    assert [
        t for s in sent for t, _ in unbundled(s, [None] * 400 if not isinstance(s, Bundle) else [None] * len(s.tasks))
    ] == tasks
    for one in sent:
        if isinstance(one, Bundle):
            assert 1 < len(one.tasks) <= MOST_TASKS
            assert all(t.cost is not None and t.cost <= SMALL_BYTES for t in one.tasks)
            assert sum(t.cost or 0 for t in one.tasks) <= MOST_BYTES
    if len(tasks) < 128:
        assert sent == tasks
    assert len({s.key for s in sent}) == len(sent)


def test_each_task_is_committed_and_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Receipts come in order, each put only when its file was synced; what is committed is not done again."""
    store, synced, wrong = Store(tmp_path), set[str](), []
    lock, sync, put = threading.Lock(), syncing._sync, Store.put_if_absent

    def syncing_(path: Path) -> None:
        sync(path)
        with lock:
            synced.add(path.name)

    def putting(self: Store, key: str, value: Any) -> Any:
        with lock:
            if Path(value["file"]).name not in synced:
                wrong.append(key)
        return put(self, key, value)

    monkeypatch.setattr(syncing, "_sync", syncing_)
    monkeypatch.setattr(Store, "put_if_absent", putting)
    first = notes(store, range(3))[1].run()
    got = Bundle(store, "steps/x/y", "b", tuple(notes(store, range(40)))).run()
    assert [r["number"] for r in got] == list(range(40))
    assert got[1] == first
    assert not wrong
    assert len(list(tmp_path.glob("steps/x/y/*.txt"))) == 40
    # Where a worker died as it was at the rest: each is counted, too, that is committed already.
    again, works = execute(Bundle(store, "steps/x/y", "b", tuple(notes(store, range(41)))))
    assert again[:40] == got
    assert [work.key for work in works] == [f"k{n}" for n in range(41)]


def test_an_error_leaves_the_others_committed(tmp_path: Path) -> None:
    """The bundle raises what its task raised; those before it are committed."""
    store = Store(tmp_path)
    with pytest.raises(InputError, match="bad luck"):
        Bundle(store, "steps/x/y", "b", tuple(notes(store, [*range(13), 99, *range(13, 20)]))).run()
    assert len(list(tmp_path.glob("steps/x/y/receipts/*.json"))) == 13


def test_many_small_tasks(curate: Curate, tmp_path: Path) -> None:
    """Some 140 splits of a line or two: the only process is killed in a bundle, then a worker: they go on with what was committed, and
    give the same bytes."""
    (tmp_path / "docs.jsonl").write_text(
        "".join(json.dumps({"id": str(i), "text": f"document {i % 150} " * 60}) + "\n" for i in range(190))
    )
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("unique", "dedup.exact"),
        step("out", "write.text", documents_per_shard=50),
    ]
    recipe, store, split = write(tmp_path / "r.yaml", steps), tmp_path / "run", ("--split-mb", 0.001)
    curate.run(recipe, tmp_path / "whole").ok()
    assert curate.run(recipe, store, *split, env={"CURATE_CRASH_AT": "segment.after-receipt"}).code == -9
    before, token = receipts(store), tmp_path / "token"
    assert 1 <= len(before) < 64
    token.touch()
    curate.run(recipe, store, *split, workers=1, env={"CURATE_CRASH_AT": f"segment.before-receipt={token}"}).ok()
    assert not token.exists(), "a worker was killed"
    after = receipts(store)
    assert all(after[key] == when for key, when in before.items())
    assert len([k for k in after if k.startswith("steps/docs/")]) >= 128
    assert results(store) == results(tmp_path / "whole")
