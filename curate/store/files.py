"""Files that are committed once: attempt-unique data objects, and receipts that only one attempt can put.

A task writes its data under names nobody else uses, makes them durable, and then puts one small receipt under a
name that all attempts share. The first receipt wins; what a loser or a killed attempt wrote is garbage that no
receipt names. This needs only *put if absent*, which local disks (link) and object stores (If-None-Match) have.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from curate.errors import DamagedError, StorageError
from curate.store.records import named_files
from curate.store.sealed import open_json, seal_json

CRASH_POINTS: Final = (
    "segment.before-data",
    "segment.before-receipt",
    "segment.after-receipt",
    "map.before-receipt",
    "map.after-receipt",
    "reduce.before-receipt",
    "reduce.after-receipt",
    "apply.before-receipt",
    "train.before-receipt",
    "shard.before-receipt",
    "shard.after-receipt",
    "cut.after-piece",
    "round.before-publish",
    "round.after-publish",
    "step.before-done",
    "step.after-done",
    "publish.before-link",
    "publish.before-manifest",
    "publish.after-manifest",
)
"""Names for CURATE_CRASH_AT, by which tests kill a process between any two durable acts."""


def crash_point(name: str) -> None:
    """Kill this process with SIGKILL if CURATE_CRASH_AT names this point and its token file can still be taken.

    CURATE_CRASH_AT is ``name`` or ``name=path``, or several with commas between: with a path the kill happens once,
    for whoever removes that file.
    """
    for entry in os.environ.get("CURATE_CRASH_AT", "").split(","):
        wanted, _, token = entry.partition("=")
        if wanted != name:
            continue
        if token:
            try:
                Path(token).unlink()
            except FileNotFoundError:
                continue
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Turn a full disk, a missing permission or a broken device into StorageError with a cure."""
    try:
        yield
    except OSError as error:
        if isinstance(error, BlockingIOError | ConnectionError | TimeoutError):
            raise
        cures = {
            errno.ENOSPC: "free some space and run again: what is committed is kept",
            errno.EDQUOT: "raise the quota and run again: what is committed is kept",
            errno.EACCES: "check the folder's permissions",
            errno.ENOTDIR: "a file lies where a folder should be: choose another folder with --store",
            errno.EROFS: "choose a folder that can be written with --store",
        }
        if error.errno in (*cures, errno.EIO):
            raise StorageError(
                os.strerror(error.errno or 0).lower(), place=place, cure=cures.get(error.errno or 0, "run again")
            ) from error
        raise


class Store:
    """A folder of committed files, addressed by keys: relative paths with ``/``.

    Picklable: workers get it by value and see the same files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Where a key's file is."""
        return self.root / key

    def fresh(self, folder: str, name: str, suffix: str) -> str:
        """A key that no other attempt uses, below ``folder``; its parent exists."""
        key = f"{folder}/{name}-{uuid.uuid4().hex[:12]}{suffix}"
        with storage_errors(str(self.root)):
            self.path(key).parent.mkdir(parents=True, exist_ok=True)
        return key

    def read_json(self, key: str) -> Any | None:
        """A JSON file's value, or None if there is none; raises DamagedError if it is not what was written."""
        try:
            with storage_errors(str(self.path(key))):
                raw = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return open_json(key, raw)
        except ValueError as error:
            raise DamagedError(
                "is not what was written", place=str(self.path(key)), cure="remove it and run again to redo that task"
            ) from error

    def read_whole(self, key: str) -> Any | None:
        """A receipt or record whose files are all there; None for one that names a file that was removed.

        So a damaged file is cured by removing it: it is made anew, with all that was built on it, in later steps too.
        """
        value = self.read_json(key)
        return value if all(self.path(file).exists() for file in named_files(value)) else None

    def put_if_absent(self, key: str, value: Any) -> Any:
        """Commit ``value`` under ``key`` unless something whole is there already; returns what is there now."""
        final = self.path(key)
        with storage_errors(str(final)):
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:12]}")
            try:
                with temporary.open("wb") as file:
                    file.write(seal_json(key, encode_json(value)))
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    os.link(temporary, final)
                    sync_folder(final.parent)
                except FileExistsError:
                    known = self.read_whole(key)
                    if known is not None:
                        return known
                    temporary.replace(final)
                    sync_folder(final.parent)
            finally:
                temporary.unlink(missing_ok=True)
        return value

    def replace(self, key: str, data: bytes) -> None:
        """Write a file as a whole, in place of an older one: for views of the store, never for commits."""
        final = self.path(key)
        with storage_errors(str(final)):
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:12]}")
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(final)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(final.parent)

    def replace_json(self, key: str, value: Any) -> None:
        """Write a sealed JSON file in place of an older one."""
        self.replace(key, seal_json(key, encode_json(value)))

    def key_of(self, place: str) -> str | None:
        """The key of a file of this store, from what an error gives as its place; None for any other place."""
        path = Path(place)
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None

    def set_aside(self, key: str) -> str | None:
        """Move a damaged file or folder to ``damaged/``, under its key; the new key, or None where it is gone."""
        for number in range(1 << 20):
            moved = f"damaged/{key}" + (f".{number}" if number else "")
            if self.path(moved).exists():
                continue
            with storage_errors(str(self.path(moved))):
                self.path(moved).parent.mkdir(parents=True, exist_ok=True)
                try:
                    self.path(key).rename(self.path(moved))
                except FileNotFoundError:
                    return None
                sync_folder(self.path(moved).parent)
                sync_folder(self.path(key).parent)
            return moved
        return None

    def commit(self, receipt: str, work: Callable[[], Any], point: str) -> Any:
        """The receipt under that key, doing ``work`` (which writes data durably) first if there is none."""
        known = self.read_whole(receipt)
        if known is not None:
            return known
        with storage_errors(str(self.root)):
            value = work()
        crash_point(f"{point}.before-receipt")
        value = self.put_if_absent(receipt, value)
        crash_point(f"{point}.after-receipt")
        return value


def encode_json(value: Any) -> bytes:
    """JSON as it stands in the store: sorted keys, one indent, a newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make a written file durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
