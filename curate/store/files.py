"""Files that are committed once: attempt-unique data objects, and receipts that only one attempt can put.

A task writes its data under names nobody else uses, makes them durable, and then puts one small receipt under a
name that all attempts share. The first receipt wins; what a loser or a killed attempt wrote is garbage that no
receipt names. This needs only *put if absent*, which local disks (link) and object stores (If-None-Match) have.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from curate.environment import redacted
from curate.errors import DamagedError, StorageError
from curate.store.crash_points import CRASH_POINTS, crash_point
from curate.store.disk import Disk, Entry, storage_errors
from curate.store.object_file import ObjectFile
from curate.store.objects import PROTOCOLS, Objects
from curate.store.records import named_files
from curate.store.sealed import open_json, seal_json
from curate.store.service import SCHEMES, names_a_user
from curate.store.syncing import sync_file, sync_folder

__all__ = [
    "CRASH_POINTS",
    "Entry",
    "Store",
    "crash_point",
    "encode_json",
    "storage_errors",
    "store_at",
    "sync_file",
    "sync_folder",
]

ASIDE: Final = "damaged"
"""Folder of damaged files, under their keys: whatever a file held, its copy there may still hold."""


class Store:
    """Committed files, addressed by keys: relative paths with ``/``. In a folder, or below an object store's address.

    Picklable: workers get it by value and see the same files; no credentials are in it.

    Args:
        root: a folder, or an address: ``s3://bucket/prefix``, ``gs://...``, ``memory://...`` (this process's alone).
    """

    def __init__(self, root: Path | str) -> None:
        self.files: Disk | Objects = Objects(root) if isinstance(root, str) else Disk(root)

    def __str__(self) -> str:
        """What a user would type to name it."""
        return str(self.files)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def remote(self) -> bool:
        """Whether it is no folder."""
        return isinstance(self.files, Objects)

    @property
    def root(self) -> Path:
        """The folder; raises StorageError for a store that is none, which whoever asks can't work with."""
        if isinstance(self.files, Disk):
            return self.files.root
        raise StorageError("this needs a store that is a folder", place=str(self), cure="copy it to a disk first")

    def path(self, key: str) -> Path:
        """Where a key's file is in a store that is a folder; see ``data`` and ``local`` for any store."""
        return self.root / key

    def name(self, key: str) -> str:
        """What messages call a key's file."""
        return self.files.name(key)

    def address(self, key: str) -> str:
        """The path or address by which a source's split names the file."""
        return self.files.address(key)

    # -- reading -----------------------------------------------------------------------------------------------

    def read(self, key: str) -> bytes | None:
        """A small file's bytes, or None if there is none."""
        return self.files.read(key)

    def exists(self, key: str) -> bool:
        """Whether a file or folder is there."""
        return self.files.exists(key)

    def present(self, keys: Iterable[str]) -> set[str]:
        """Those of some keys that are there; folders are listed where that takes less than asking for each."""
        return self.files.present(list(keys))

    def list(self, folder: str = "") -> Iterator[Entry]:
        """All files below a folder (nothing where there is none), each with key, size and time of its last change.

        On an object store a request for each thousand. Other attempts' files, and on a disk hidden temporary ones, too.
        """
        return self.files.list(folder)

    def data(self, key: str) -> Path | ObjectFile:
        """A data file for reading: of an object store only the ranges that are asked for are fetched."""
        return self.files.data(key)

    def reading(self, key: str) -> AbstractContextManager[Path]:
        """A data file on this machine's disk, as long as the block lasts: itself, or a copy. Raises FileNotFoundError."""
        return self.files.reading(key)

    def local(self, key: str) -> Path:
        """A committed data file or folder on this machine's disk: itself, or a copy that is kept for later use.

        Raises DamagedError where it is not there on an object store.
        """
        return self.files.local(key)

    def read_json(self, key: str) -> Any | None:
        """A sealed JSON file's value, or None if there is none; raises DamagedError if it is not what was written."""
        return self._parsed(key, self.files.read(key))

    def read_view(self, key: str) -> dict[str, Any] | None:
        """The same of a view for people (``manifest.json``, ``run.json``), an object, which has no checksum."""
        return self._parsed(key, self.files.read(key), _object)

    def _parsed(self, key: str, raw: bytes | None, opened: Callable[[str, bytes], Any] = open_json) -> Any | None:
        if raw is None:
            return None
        try:
            return opened(key, raw)
        except ValueError as error:
            raise DamagedError(
                "is not what was written", place=self.name(key), cure="remove it and run again to redo that task"
            ) from error

    def read_whole(self, key: str) -> Any | None:
        """A receipt or record whose files are all there; None for one that names a file that was removed.

        So a damaged file is cured by removing it: it is made anew, with all that was built on it, in later steps too.
        """
        value = self.read_json(key)
        files = list(dict.fromkeys(named_files(value)))
        return value if len(self.present(files)) == len(files) else None

    def read_wholes(self, keys: Iterable[str]) -> dict[str, Any]:
        """``read_whole`` of many: those that are there and whole. Folders are listed once, and on an object store receipts
        are read some at once."""
        keys = list(keys)
        there = self.present(keys)
        wanted = [key for key in keys if key in there]
        found = {key: self._parsed(key, raw) for key, raw in zip(wanted, self.files.read_many(wanted), strict=True)}
        named = {key: set(named_files(value)) for key, value in found.items()}
        files = self.present({file for files in named.values() for file in files})
        return {key: value for key, value in found.items() if value is not None and named[key] <= files}

    # -- writing -----------------------------------------------------------------------------------------------

    def fresh(self, folder: str, name: str, suffix: str) -> str:
        """A key that no other attempt uses, below ``folder``; its parent exists."""
        self.files.prepare(folder)
        return f"{folder}/{name}-{uuid.uuid4().hex[:12]}{suffix}"

    def writing(self, key: str) -> AbstractContextManager[Path]:
        """Where to write a data file under a fresh key: durable, and on an object store there, when the block ends."""
        return self.files.writing(key)

    def writing_folder(self, key: str) -> AbstractContextManager[Path]:
        """Where to write a folder of files under a fresh key: durable, and there, when the block ends; nothing of it
        stays on a disk when the block fails."""
        return self.files.writing_folder(key)

    def assemble(self, folder: str, files: Mapping[str, str], extra: Mapping[str, bytes]) -> None:
        """Make a folder of committed data files, by name and key, and of small ones; whoever finds all of the data files
        there finds the small ones, too. Two that do so at once make the same of the same."""
        self.files.assemble(folder, files, extra)

    def put_if_absent(self, key: str, value: Any) -> Any:
        """Commit ``value`` under ``key`` unless something whole is there already; returns what is there now."""
        data = seal_json(key, _compact(value))
        self.files.settle(set(named_files(value)))
        if self.files.put_new(key, data):
            return value
        known = self.read_whole(key)
        if known is not None:
            return known
        self.files.replace(key, data)
        return value

    def replace(self, key: str, data: bytes) -> None:
        """Write a file as a whole, in place of an older one: for views of the store, never for commits."""
        self.files.replace(key, data)

    def remove(self, key: str) -> None:
        """Remove a file, if there is one."""
        self.files.remove(key)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and all that is in it, if there is one."""
        self.files.remove_folder(folder)

    def replace_json(self, key: str, value: Any) -> None:
        """Write a sealed JSON file in place of an older one."""
        self.replace(key, seal_json(key, encode_json(value)))

    def key_of(self, place: str) -> str | None:
        """The key of a file of this store, from what an error gives as its place; None for any other place."""
        if self.remote:
            key = place.removeprefix(f"{self}/")
            return key if key != place else None
        path = Path(place)
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None

    def set_aside(self, key: str) -> str | None:
        """Move a damaged file or folder to ``damaged/``, under its key; the new key, or None where it is gone."""
        for number in range(1 << 20):
            moved = f"{ASIDE}/{key}" + (f".{number}" if number else "")
            if not self.exists(moved):
                return moved if self.files.move(key, moved) else None
        return None

    def commit(
        self,
        receipt: str,
        work: Callable[[], Any],
        point: str,
        settled: Callable[[Any], Any] = lambda value: value,
    ) -> Any:
        """The receipt under that key, doing ``work`` (which writes data durably) first if there is none.

        Args:
            point: prefix of the crash points around the receipt.
            settled: puts small files that belong before the receipt, for what ``work`` gave, and returns its value.
        """
        known = self.read_whole(receipt)
        if known is not None:
            return known
        with storage_errors(str(self)):
            value = work()
        return self.put_receipt(receipt, settled(value), point)

    def put_receipt(self, receipt: str, value: Any, point: str) -> Any:
        """The rest of a commit, whose data is durable; returns the receipt that counts."""
        crash_point(f"{point}.before-receipt")
        value = self.put_if_absent(receipt, value)
        crash_point(f"{point}.after-receipt")
        return value

    def state(self, name: str) -> Path:
        """Where a file lies that one machine alone writes (an SQLite file, a log): in the store's folder, or for an
        object store in this user's state folder, $XDG_STATE_HOME/curate or ~/.local/state/curate."""
        return self.files.state(name)


def store_at(where: str) -> Store:
    """The store that a user names: a folder, ``file://`` one, or an object store's address.

    Raises StorageError for an address that can't be a store, one without a bucket, and a folder whose name is no UTF-8.
    """
    scheme, separator, rest = where.partition("://")
    kind = SCHEMES.get(scheme)
    if not separator or kind == "file":
        folder = Path(rest if separator else where).absolute()
        try:
            str(folder).encode()
        except UnicodeEncodeError:
            raise StorageError(
                "the folder's name is no UTF-8, and Arrow opens no other",
                place=str(folder),
                cure="give it another name",
            ) from None
        return Store(folder)
    if kind not in PROTOCOLS:
        why = "it has no way to put a file only if there is none" if kind == "hf" else "no store is known there"
        raise StorageError(f"{scheme}:// can't be a store: {why}", place=where, cure="use a folder, s3:// or gs://")
    if not rest.strip("/"):
        raise StorageError("the address names no bucket", place=where, cure=f"write {scheme}://BUCKET/FOLDER")
    if names_a_user(where):
        raise StorageError(
            "a store's address holds no user and no key",
            place=redacted(where),
            cure="credentials come from the environment, or from the provider's own files",
        )
    return Store(where)


def _object(_key: str, raw: bytes) -> dict[str, Any]:
    if not isinstance(value := json.loads(raw), dict):
        raise ValueError("no object")  # noqa: TRY004 - as for what is no JSON
    return value


def _compact(value: Any) -> bytes:
    """JSON for machines: Python's own encoder is not asked for an indent, which makes it ten times slower."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return (f"{{\n{text[1:]}\n" if len(text) > 2 and text[0] == "{" else f"{text}\n").encode()


def encode_json(value: Any) -> bytes:
    """JSON that people may read: sorted keys, one indent, a newline at the end; half characters, as names of files may have,
    are escapes."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
