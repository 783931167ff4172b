"""A store's files as objects of an object store: S3, Google Cloud Storage, or this process's memory, by fsspec.

Nothing is renamed or linked there, and nothing needs to be: data objects get names that nobody else uses, and a commit
is one put-if-absent (If-None-Match on S3, ifGenerationMatch on Google's). Every request is tried again while the store
throttles, fails or is away, for CURATE_STORE_SECONDS; each of them can be: what is put under a name of its own is
the same the second time, and who can't tell whether a put-if-absent got through reads what is there now.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from curate.errors import DamagedError, StorageError
from curate.store.crash_points import crash_point
from curate.store.disk import Entry, storage_errors
from curate.store.object_file import ObjectFile
from curate.store.scratch import copy_of, scratch
from curate.store.service import AT_ONCE, INSTALL, SCHEMES, Trouble, file_system, said, tried

PROTOCOLS: Final = frozenset({"s3", "gs", "memory"})
"""What can be a store: whatever has a put-if-absent."""
_PART_BYTES: Final = 8 << 20
"""Of an upload in parts, four at a time: 32 MB of a worker's memory, files of up to 80 GB (S3 takes 10,000 parts)."""
_FEW: Final = 8
"""So many objects of a folder are asked for one by one; for more the folder is listed, 1,000 to a request."""

T = TypeVar("T")


class Objects:
    """Files of a store below an address like ``s3://bucket/prefix``; see Store for what each method promises.

    It holds the address alone, and is pickled as such: credentials and endpoints come from each process's environment.
    """

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        self.protocol = SCHEMES[scheme]
        self.root = f"{self.protocol}://{rest.strip('/')}"

    def __str__(self) -> str:
        return self.root

    def __reduce__(self) -> tuple[object, ...]:
        return (Objects, (self.root,))

    def name(self, key: str) -> str:
        """What messages call a key's object."""
        return f"{self.root}/{key}"

    def address(self, key: str) -> str:
        """By which a source finds the object."""
        return f"{self.root}/{key}"

    # -- requests ----------------------------------------------------------------------------------------------

    @property
    def _fs(self) -> Any:
        """Fsspec's file system."""
        return file_system(self.protocol)

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}" if key else self.root

    def _try(self, key: str, request: Callable[[Any], T]) -> T:
        """A request's answer; tried again as long as that may help.

        Raises FileNotFoundError, FileExistsError, and StorageError for all that is not to be had.
        """
        return tried(lambda: request(self._fs), lambda kind, error: _error(kind, error, self.name(key)))

    # -- reading -----------------------------------------------------------------------------------------------

    def read(self, key: str) -> bytes | None:
        """An object's bytes, or None if there is none."""
        try:
            return self._try(key, lambda fs: bytes(fs.cat_file(self._path(key))))
        except FileNotFoundError:
            return None

    def read_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """The same for many, some at once."""
        if len(keys) < 2:
            return [self.read(key) for key in keys]
        with ThreadPoolExecutor(min(AT_ONCE, len(keys))) as pool:
            return list(pool.map(self.read, keys))

    def exists(self, key: str) -> bool:
        """Whether there is such an object, or any below it."""
        try:
            self._try(key, lambda fs: fs.info(self._path(key)))
        except FileNotFoundError:
            return False
        return True

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of some keys whose objects (or any below them) are there: for many of one folder, it is listed."""
        folders: dict[str, Any] = {}
        for key in dict.fromkeys(keys):
            folders.setdefault(key.rpartition("/")[0], []).append(key)
        found: set[str] = set()
        for folder, inside in folders.items():
            if len(inside) <= _FEW:
                found.update(key for key in inside if self.exists(key))
                continue
            deep = len(folder.split("/")) + 1 if folder else 1
            there = {"/".join(entry.key.split("/")[:deep]) for entry in self.list(folder)}
            found.update(there.intersection(inside))
        return found

    def list(self, folder: str) -> Iterator[Entry]:
        """All objects below a folder, by a request for each thousand."""
        path = self._path(folder)
        found = self._try(folder, lambda fs: fs.find(path, detail=True))
        bare = self._fs._strip_protocol(self.root).rstrip("/")  # noqa: SLF001 - fsspec's own way to compare paths
        for name, facts in sorted(found.items()):
            key = name[len(bare) + 1 :]
            if key != folder:
                yield Entry(key, int(facts["size"]), _modified(facts))

    def size(self, key: str) -> int:
        """An object's bytes; raises FileNotFoundError when it is not there."""
        return int(self._try(key, lambda fs: fs.info(self._path(key)))["size"])

    def read_range(self, key: str, begin: int, end: int) -> bytes:
        """Its bytes from one offset to another, at most its end."""

        def get(fs: Any) -> bytes:
            data = bytes(fs.cat_file(self._path(key), start=begin, end=end))
            if len(data) != end - begin:
                raise ConnectionError(f"{len(data)} of {end - begin} bytes came")
            return data

        return self._try(key, get) if begin < end else b""

    def data(self, key: str) -> ObjectFile:
        """The object, to be read by ranges."""
        return ObjectFile(self, key)

    @contextmanager
    def reading(self, key: str) -> Iterator[Path]:
        """A copy on this machine of a file that is read once, as a whole."""
        with scratch() as folder:
            path = folder / key.rpartition("/")[2]
            self._fetch(key, path)
            yield path

    def local(self, key: str) -> Path:
        """A copy on this machine of a file, or a folder of files, that is committed."""

        def fetch(path: Path) -> None:
            below = list(self.list(key))
            for entry in below:
                inner = path / entry.key[len(key) + 1 :]
                inner.parent.mkdir(parents=True, exist_ok=True)
                self._fetch(entry.key, inner)
            if not below:
                self._fetch(key, path)

        try:
            return copy_of(self.name(key), key.rpartition("/")[2], fetch)
        except FileNotFoundError:
            raise DamagedError(
                "a committed file is missing", place=self.name(key), cure="run the recipe again to make it anew"
            ) from None

    def _fetch(self, key: str, path: Path) -> None:
        with storage_errors(str(path)):
            self._try(key, lambda fs: fs.get_file(self._path(key), str(path)))

    # -- writing -----------------------------------------------------------------------------------------------

    def prepare(self, folder: str) -> None:
        """Folders need not be made."""

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Where to write a file: on this machine; it is put under its key when it is whole."""
        with scratch() as folder:
            path = folder / key.rpartition("/")[2]
            yield path
            self._put(path, key)

    @contextmanager
    def writing_folder(self, key: str) -> Iterator[Path]:
        """Where to write a folder of files: on this machine; all are put below the key when the work is done."""
        with scratch() as above:
            folder = above / key.rpartition("/")[2]
            folder.mkdir()
            yield folder
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                self._put(path, f"{key}/{path.relative_to(folder).as_posix()}")

    def _put(self, path: Path, key: str) -> None:
        parts: dict[str, Any] = {"chunksize": _PART_BYTES} if self.protocol != "memory" else {}
        if self.protocol == "s3":
            parts["max_concurrency"] = 4
        self._try(key, lambda fs: fs.put_file(str(path), self._path(key), **parts))

    def _copy(self, source: str, target: str) -> None:
        """Inside the object store."""
        self._try(target, lambda fs: fs.cp_file(self._path(source), self._path(target)))

    def assemble(self, folder: str, files: Mapping[str, str], extra: Mapping[str, bytes]) -> None:
        """Copies inside the object store of what is not there yet, some at once, after the small files."""
        for name, data in extra.items():
            self.replace(f"{folder}/{name}", data)
        there = {entry.key for entry in self.list(folder)}
        crash_point("assemble.before-folder")
        copies = [(key, made) for name, key in files.items() if (made := f"{folder}/{name}") not in there]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda names: self._copy(*names), copies))
        crash_point("assemble.after-folder")

    def settle(self, files: set[str]) -> None:
        """An object that was put is durable."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Put a small object unless there is one; whether it was put.

        False may also mean that it was, by a try whose answer was lost: what is there now is then what was put.
        """
        try:
            self._try(key, lambda fs: fs.pipe_file(self._path(key), data, mode="create"))
        except FileExistsError:
            return False
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Put a small object in place of what is there."""
        self._try(key, lambda fs: fs.pipe_file(self._path(key), data))

    def move(self, key: str, target: str) -> bool:
        """Give an object, or those below a key, another key; False where there is none. Copies first: killed in
        between, both are there."""
        try:
            for inner in [entry.key for entry in self.list(key)] or [key]:
                self._copy(inner, target + inner[len(key) :])
                self.remove(inner)
        except FileNotFoundError:
            return False
        return True

    def remove(self, key: str) -> None:
        """Remove an object, if there is one."""
        with suppress(FileNotFoundError):
            self._try(key, lambda fs: fs.rm_file(self._path(key)))

    def remove_folder(self, folder: str) -> None:
        """Remove all objects below a folder."""
        for entry in list(self.list(folder)):
            self.remove(entry.key)

    def state(self, name: str) -> Path:
        """Where a file lies that this machine alone writes: beside other programs' state, by the store's address."""
        import hashlib

        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        digest = hashlib.blake2b(self.root.encode(), digest_size=6).hexdigest()
        return home / "curate" / f"{self.root.rpartition('/')[2]}-{digest}" / name


def _error(kind: Trouble, error: Exception, place: str) -> Exception:
    """What is raised for a request that came to nothing."""
    if kind is Trouble.UNKNOWN:
        return error
    if kind is Trouble.ABSENT:
        return FileNotFoundError(place)
    if kind is Trouble.CONDITION:
        return FileExistsError(place)
    why = said(error)
    cause, cure = {
        Trouble.AGAIN: (
            f"the object store does not answer ({why})",
            "run again when it does: what is committed is kept",
        ),
        Trouble.NO_BUCKET: ("there is no such bucket", "create it, or choose another with --store"),
        Trouble.NO_KEYS: (
            "no credentials were found",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or GOOGLE_APPLICATION_CREDENTIALS",
        ),
        Trouble.REFUSED: (f"access was refused ({why})", "check the credentials, and what they may do in this bucket"),
        Trouble.NO_LIBRARY: (f"a library is missing ({why})", INSTALL.get(place.partition("://")[0], "install it")),
        Trouble.OTHER: (f"the object store refused a request ({why})", "see what it means there"),
    }[kind]
    return StorageError(cause, place=place, cure=cure)


def _modified(facts: dict[str, Any]) -> float:
    found = facts.get("LastModified") or facts.get("updated") or facts.get("created") or 0.0
    if isinstance(found, str):
        found = dt.datetime.fromisoformat(found)
    return found.timestamp() if isinstance(found, dt.datetime) else float(found)
