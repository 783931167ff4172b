"""Files of a run on a machine that others use: nobody's link is followed, nobody's lock waited for, the umask holds."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from recipes import step, write
from small_run import prose

from curate import startup
from curate.errors import StorageError
from curate.run.garbage import find_garbage, remove_garbage
from curate.store.files import Store
from curate.store.latest import set_latest


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """Where others may write beside the kernels: the file that a link leads to is neither made nor opened."""
    (tmp_path / "kernel.lock").symlink_to(tmp_path / "target")
    with startup._alone(str(tmp_path / "kernel")):
        pass
    assert not (tmp_path / "target").exists()


def test_nobody_else_can_open_the_lock(tmp_path: Path) -> None:
    """Whoever can, could hold it for ever."""
    with startup._alone(str(tmp_path / "kernel")):
        assert stat.S_IMODE((tmp_path / "kernel.lock").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_lock_of_another_user_is_not_waited_for(tmp_path: Path) -> None:
    """He could hold it for ever."""
    lock = tmp_path / "kernel.lock"
    with lock.open("w") as held:
        os.chown(lock, 65534, 65534)
        fcntl.flock(held, fcntl.LOCK_EX)
        done = threading.Event()

        def enter() -> None:
            with startup._alone(str(tmp_path / "kernel")):
                done.set()

        threading.Thread(target=enter, daemon=True).start()
        assert done.wait(20)


def test_publishing_replaces_a_link_and_nothing_behind_it(tmp_path: Path) -> None:
    """A link that leads out of the store is replaced itself; a folder in its place is refused, not removed."""
    store = Store(tmp_path / "run")
    (tmp_path / "run" / "steps").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("kept")
    (tmp_path / "run" / "out").symlink_to(tmp_path / "outside", target_is_directory=True)
    set_latest(store, "out", "steps/out/x/out-1")
    assert str((tmp_path / "run" / "out").readlink()) == "steps/out/x/out-1"
    assert (tmp_path / "outside" / "precious").read_text() == "kept"
    (tmp_path / "run" / "mine").mkdir()
    (tmp_path / "run" / "mine" / "notes").write_text("kept")
    with pytest.raises(StorageError, match="a folder of its own"):
        set_latest(store, "mine", "steps/mine/x/out-1")
    assert (tmp_path / "run" / "mine" / "notes").read_text() == "kept"


def test_gc_follows_no_link(tmp_path: Path) -> None:
    """Links of whoever else can write to the store, to a file, to a folder, in place of a folder: they go, or stay, themselves."""
    outside, run = tmp_path / "outside", tmp_path / "run"
    (outside / "below").mkdir(parents=True)
    for name in ("precious", "below/done-1.json", ".half.0123456789ab"):
        (outside / name).write_text("kept")
    (run / "steps" / "a" / "b").mkdir(parents=True)
    (run / "steps" / "a" / "b" / "file.arrow").symlink_to(outside / "precious")
    (run / "steps" / "a" / "folder").symlink_to(outside, target_is_directory=True)
    (run / "steps" / "c").symlink_to(outside / "below", target_is_directory=True)
    (run / "pieces").symlink_to(outside, target_is_directory=True)
    (run / "damaged").symlink_to(outside, target_is_directory=True)
    (run / ".out.0123456789ab").symlink_to(outside, target_is_directory=True)
    store = Store(run)
    found = find_garbage(store, damaged=True)
    remove_garbage(store, found)
    assert found.count == 4
    assert {p.relative_to(outside).as_posix() for p in outside.rglob("*") if p.is_file()} == {
        "precious",
        "below/done-1.json",
        ".half.0123456789ab",
    }
    assert not (run / "steps" / "c").is_symlink() and (run / "pieces").is_symlink()


def test_the_umask_holds_for_every_file(tmp_path: Path) -> None:
    """With umask 077 nothing of a run, its answers, rows and logs, can be read by another user of the machine."""
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": prose(n)}) + "\n" for n in range(9)))
    steps = [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("one", "dedup.exact"), step("out", "write.text")]
    recipe = write(tmp_path / "r.yaml", steps)
    call = [sys.executable, "-m", "curate", "run", str(recipe), "--store", str(tmp_path / "run"), "--workers", "0"]
    subprocess.run(call, check=True, capture_output=True, timeout=120, umask=0o077)
    made = [p for p in (tmp_path / "run").rglob("*") if not p.is_symlink()]
    assert len(made) > 12
    assert [str(p) for p in made if p.stat().st_mode & 0o077] == []
