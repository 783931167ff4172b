"""What a receipt, or a link to a dataset, says is durable before it is: content, entries, and folders up to the store.

Calls that change a disk, or wait for it, are noted as they come; at each commit it is asked what a power cut would leave.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.run.bundle import Bundle
from curate.run.task import Task
from curate.store.files import Store
from curate.store.latest import set_latest
from curate.store.records import named_files
from curate.store.tables import new_table

ROWS = pa.table({"n": list(range(1000))})


class Disk:
    """Notes which contents and entries are durable below a folder, and looks at it before each commit.

    Attributes:
        commits: keys whose commit was looked at.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.commits = root, list[str]()
        self._content: dict[int, bytes] = {}  # by inode
        self._entries: dict[Path, set[str]] = {root.parent: {root.name}}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._synced)
        for name in ("link", "rename", "replace"):
            monkeypatch.setattr(os, name, self._moving(getattr(os, name)))

    def _synced(self, handle: int) -> None:
        self._fsync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_dir():
            self._entries[path] = {entry.name for entry in path.iterdir()}
        else:
            self._content[path.stat().st_ino] = path.read_bytes()

    def _moving(self, act: Callable[..., None]) -> Callable[..., None]:
        def move(source: Any, target: Any) -> None:
            path, source = Path(target), Path(source)
            if "receipts" in path.parts:
                assert self._content.get(source.stat().st_ino) == source.read_bytes(), f"{path} is not durable"
                self._look(path, named_files(json.loads(source.read_bytes())))
            elif source.is_symlink():
                self._look(path, [str(source.readlink())])
            act(source, target)
            if path in self._entries or source in self._entries:
                self._entries[path] = self._entries.pop(source)

        return move

    def _look(self, commit: Path, keys: Iterable[str]) -> None:
        """Fail where a power cut now would leave less than a commit is about to say."""
        named = [self.root / key for key in keys]
        files = [file for path in named for file in (path, *path.rglob("*"))]
        assert any(file.is_file() for file in files)
        for file in files:
            assert file.is_dir() or self._content.get(file.stat().st_ino) == file.read_bytes(), f"{file} is not durable"
            self.has_entry(file)
        self.commits.append(commit.relative_to(self.root).as_posix())

    def has_entry(self, path: Path) -> None:
        """Fail where a file, or a folder above it, would not be found after a power cut."""
        while path != self.root.parent:
            assert path.name in self._entries.get(path.parent, ()), f"the entry of {path} is not durable"
            path = path.parent


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A store's folder that is watched."""
    (tmp_path / "run").mkdir()
    return Disk(tmp_path / "run", monkeypatch)


class Making(Task):
    """Writes a table."""

    point = "map"

    def work(self) -> dict[str, str]:
        """One file, two folders deep."""
        key = self.store.fresh(f"{self.folder}/deep/er", "part", ".arrow")
        with new_table(self.store, key, ROWS.schema) as out:
            out.write(ROWS.to_batches()[0])
        return {"file": key}


@pytest.mark.parametrize("tasks", [1, 5])
def test_data_then_entries_then_the_receipt(disk: Disk, tasks: int) -> None:
    """One task, and several whose files wait for the disk together."""
    store = Store(disk.root)
    made = [Making(store, "steps/a/f", f"{number}") for number in range(tasks)]
    (made[0] if tasks == 1 else Bundle(store, "steps/a/f", "all", tuple(made))).run()
    assert sorted(disk.commits) == [f"steps/a/f/receipts/{number}.json" for number in range(tasks)]
    for task in made:
        # And it is there when the task says so.
        disk.has_entry(store.path(task.receipt))


def test_a_folder_then_its_receipt(disk: Disk) -> None:
    """A model of several files in several folders."""
    store = Store(disk.root)
    key = store.fresh("steps/m/f", "trained", "")
    with store.writing_folder(key) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "x.arrow").write_bytes(b"x")
        (folder / "y.arrow").write_bytes(b"y")
    store.put_receipt("steps/m/f/receipts/0.json", {"folder": key}, "train")
    assert disk.commits == ["steps/m/f/receipts/0.json"]


def test_a_dataset_then_the_link_to_it(disk: Disk) -> None:
    """Shards under their final names, and small files, before ``<run>/<step>`` leads to them."""
    store = Store(disk.root)
    task = Making(store, "steps/out/f", "0")
    store.assemble("steps/out/f/out-1", {"a.arrow": task.run()["file"]}, {"state.json": b"{}"})
    set_latest(store, "out", "steps/out/f/out-1")
    assert disk.commits == ["steps/out/f/receipts/0.json", "out"]
    assert sorted(p.name for p in (disk.root / "out").iterdir()) == ["a.arrow", "state.json"]
    disk.has_entry(disk.root / "out")
