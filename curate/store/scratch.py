"""Local files of stores that are not on this machine's disk: what is being written, and copies of what is read whole.

All of it lies below one folder, $CURATE_SCRATCH or one in the system's folder for temporary files:

- ``work-*/``: files of one process, on their way into the store. It goes with its process: whoever comes next removes
  those whose owner is dead, which an flock tells.
- ``copies/``: files and folders of stores by digest of their address. What is committed never changes, so a copy is
  right for ever; the least recently used ones go when there are more than COPIES_BYTES.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from curate.errors import StorageError
from curate.store.disk import storage_errors

COPIES_BYTES: Final = 16 << 30
"""Bytes of copies that are kept: a few classifiers and tokenizers are a few GB at most."""

_held: dict[tuple[int, str], IO[bytes]] = {}
"""Locks that this process has, by its id and path: a child after a fork has none of its parent's."""


def root() -> Path:
    """The folder; raises StorageError where it is somebody else's, or leads there: they could put anything into it."""
    named = os.environ.get("CURATE_SCRATCH")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"curate-{os.getuid()}"
    with storage_errors(str(folder)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat() if named else folder.lstat()
    if facts.st_uid != os.getuid() or not stat.S_ISDIR(facts.st_mode):
        raise StorageError(
            "the scratch folder belongs to somebody else", place=str(folder), cure="set CURATE_SCRATCH to another"
        )
    return folder


def _lock(path: Path, how: int) -> IO[bytes] | None:
    """A lock on a file; None where somebody else has it, or removed the file just now."""
    file = path.open("ab")
    try:
        fcntl.flock(file, how)
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    file.close()
    return None


def _work() -> Path:
    """A folder of this process alone; those of dead processes are removed when it is made."""
    here = root()
    for pid, held in list(_held):  # another thread may be adding to it
        if pid == os.getpid() and Path(held).parent == here and Path(held).name.startswith("work-"):
            return Path(held).with_suffix("")
    for other in sorted(here.glob("work-*.lock")):
        dead = _lock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if dead is not None:
            shutil.rmtree(other.with_suffix(""), ignore_errors=True)
            other.unlink(missing_ok=True)
            dead.close()
    while True:
        name = here / f"work-{uuid.uuid4().hex[:12]}.lock"
        # Not before it is locked by us is it ours: somebody may be removing it, taking us for dead.
        mine = _lock(name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if mine is not None:
            _held[os.getpid(), str(name)] = mine
            name.with_suffix("").mkdir()
            return name.with_suffix("")


@contextmanager
def scratch() -> Iterator[Path]:
    """A new empty folder, removed at the end."""
    folder = _work() / uuid.uuid4().hex
    with storage_errors(str(folder)):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_of(address: str, name: str, fetch: Callable[[Path], None]) -> Path:
    """A local copy of what has this address and never changes, fetched (to a path that ends in ``name``) unless it is
    there. It stays at least as long as this process lives."""
    place = root() / "copies" / hashlib.blake2b(address.encode(), digest_size=16).hexdigest()
    with storage_errors(str(place)):
        place.parent.mkdir(exist_ok=True)
        key = (os.getpid(), str(place))
        if key not in _held:
            # Waits for somebody who is just removing the copy; nobody removes the lock.
            lock = _lock(place.with_suffix(".lock"), fcntl.LOCK_SH)
            assert lock is not None
            _held[key] = lock
        if not (place / name).exists():
            with scratch() as building:
                fetch(building / name)
                try:
                    building.rename(place)
                except OSError:
                    # Another process was first with the same bytes.
                    if not (place / name).exists():
                        raise
            _trim(place)
        os.utime(place)
    return place / name


def _trim(newest: Path) -> None:
    """Remove copies that nobody uses, the longest unused first, until the rest is small enough."""
    trimming = _lock(newest.parent / "trim.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
    if trimming is None:
        return  # another process is at it
    with trimming:
        copies = sorted((p for p in newest.parent.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
        sizes = {p: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in copies}
        over = sum(sizes.values()) - COPIES_BYTES
        for copy in copies:
            if over <= 0:
                return
            lock = _lock(copy.with_suffix(".lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock is not None:
                # Away at once: a copy that lost a part when this process was killed would pass for whole.
                with lock, scratch() as removed:
                    copy.rename(removed / copy.name)
                over -= sizes[copy]
