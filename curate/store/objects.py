"""A store's files as objects of an object store: S3, Google Cloud Storage, or this process's memory, by fsspec.

Nothing is renamed or linked there, and nothing needs to be: data objects get names that nobody else uses, and a commit
is one put-if-absent (If-None-Match on S3, ifGenerationMatch on Google's). Every request is tried again while the store
throttles, fails or is away, for CURATE_STORE_SECONDS; each of them can be: what is put under a name of its own is
the same the second time, and who can't tell whether a put-if-absent got through reads what is there now.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from curate.errors import DamagedError, StorageError
from curate.store.disk import Entry, storage_errors
from curate.store.scratch import copy_of, scratch
from curate.store.trouble import ABSENT, AGAIN, EXISTS, trouble

if TYPE_CHECKING:
    import pyarrow as pa

PROTOCOLS: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "memory": "memory"}
"""What a store's address may begin with, and what it is called here: those with a put-if-absent."""
PATIENCE_SECONDS: Final = 60.0
"""How long a request is tried again, unless CURATE_STORE_SECONDS says otherwise: throttling ends within seconds, and
what is away longer is better waited for by whoever starts the run again."""
_LONGEST_WAIT: Final = 8.0
_PART_BYTES: Final = 8 << 20
"""Of an upload in parts, four at a time: 32 MB of a worker's memory, files of up to 80 GB (S3 takes 10,000 parts)."""
_AT_ONCE: Final = 16
"""Small requests that are under way at once."""
_FEW: Final = 8
"""So many objects of a folder are asked for one by one; for more the folder is listed, 1,000 to a request."""
_READ_AHEAD: Final = 256 << 10
_TAIL: Final = 64 << 10
"""Bytes at a table's end that are fetched at once: where its batches lie stands there."""

T = TypeVar("T")


class Objects:
    """Files of a store below an address like ``s3://bucket/prefix``; see Store for what each method promises.

    It holds the address alone, and is pickled as such: credentials and endpoints come from each process's environment.
    """

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        self.protocol = PROTOCOLS[scheme]
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
        """Fsspec's file system; it keeps one for each process."""
        import fsspec

        extra = {"s3": "s3", "gs": "gs"}.get(self.protocol, "")
        try:
            files = fsspec.filesystem(self.protocol, **_options(self.protocol))
        except ImportError as error:
            raise StorageError(
                f"a library is missing ({error})", place=self.root, cure=f"pip install 'phi-curate[{extra}]'"
            ) from None
        # s3fs's own tries, so that one part of an upload does not cost all of it; the patience is ours.
        files.retries = 3
        return files

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}" if key else self.root

    def _try(self, key: str, request: Callable[[Any], T]) -> T:
        """A request's answer; tried again as long as that may help.

        Raises FileNotFoundError, FileExistsError, and StorageError for all that is not to be had.
        """
        began, wait, place = time.monotonic(), 0.1, self.name(key)
        while True:
            try:
                return request(self._fs)
            except StorageError:
                raise
            except Exception as error:
                found = trouble(error, place)
                if found is None:
                    raise
                if found == ABSENT:
                    raise FileNotFoundError(place) from None
                if found == EXISTS:
                    raise FileExistsError(place) from None
                if isinstance(found, StorageError):
                    raise found from None
                assert found == AGAIN
                if time.monotonic() - began + wait > _patience():
                    said = " ".join(str(error).split())[:160] or type(error).__name__
                    raise StorageError(
                        f"the object store does not answer ({said})",
                        place=place,
                        cure="run again when it does: what is committed is kept",
                    ) from None
            # Spread, so that workers that were throttled together do not come back together.
            time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret, and no part of any result
            wait = min(wait * 2, _LONGEST_WAIT)

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
        with ThreadPoolExecutor(min(_AT_ONCE, len(keys))) as pool:
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

    def copy(self, source: str, target: str) -> None:
        """Copy an object, inside the object store."""
        self._try(target, lambda fs: fs.cp_file(self._path(source), self._path(target)))

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
        below = [entry.key for entry in self.list(key)]
        for inner in below:
            self.move(inner, target + inner[len(key) :])
        if not below:
            try:
                self.copy(key, target)
            except FileNotFoundError:
                return False
            self.remove(key)
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


class ObjectFile:
    """An object that is read by ranges: its end at once, then what is asked for with a little more."""

    def __init__(self, objects: Objects, key: str) -> None:
        self._objects, self._key = objects, key
        self._window: tuple[int, bytes] = (0, b"")

    def __str__(self) -> str:
        return self._objects.name(self._key)

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self._key.rpartition("/")[2]

    @cached_property
    def size(self) -> int:
        """Its bytes; raises FileNotFoundError when it is not there."""
        return int(self._objects._try(self._key, lambda fs: fs.info(self._objects._path(self._key)))["size"])  # noqa: SLF001

    @cached_property
    def _end(self) -> bytes:
        return self._request(max(0, self.size - _TAIL), self.size)

    def _request(self, begin: int, end: int) -> bytes:
        if begin >= end:
            return b""

        def get(fs: Any) -> bytes:
            data = bytes(fs.cat_file(self._objects._path(self._key), start=begin, end=end))  # noqa: SLF001 - one class in two
            if len(data) != end - begin:
                raise ConnectionError(f"{len(data)} of {end - begin} bytes came")
            return data

        return self._objects._try(self._key, get)  # noqa: SLF001

    def fetch(self, begin: int, end: int) -> pa.Buffer:
        """Bytes from one offset to another, as one request at most."""
        import pyarrow as pa

        end = min(end, self.size)
        tail = self.size - len(self._end)
        if begin >= tail:
            return pa.py_buffer(self._end).slice(begin - tail, max(0, end - begin))
        start, data = self._window
        if not start <= begin <= end <= start + len(data):
            start, data = begin, self._request(begin, min(max(end, begin + _READ_AHEAD), self.size))
            self._window = (start, data)
        return pa.py_buffer(data).slice(begin - start, end - begin)

    def open(self) -> pa.NativeFile:
        """As a file that Arrow reads from."""
        import pyarrow as pa

        return pa.PythonFile(_Seekable(self), mode="r")


class _Seekable:
    """What Arrow needs of a file."""

    closed = False

    def __init__(self, file: ObjectFile) -> None:
        self._file, self._at = file, 0

    def read(self, size: int = -1) -> pa.Buffer:
        end = self._file.size if size is None or size < 0 else min(self._at + size, self._file.size)
        data = self._file.fetch(self._at, max(end, self._at))
        self._at += data.size
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._file.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def _patience() -> float:
    try:
        return float(os.environ.get("CURATE_STORE_SECONDS", PATIENCE_SECONDS))
    except ValueError:
        return PATIENCE_SECONDS


def _options(protocol: str) -> dict[str, Any]:
    """How fsspec's file systems are opened: no listing kept (others write, too), few tries of their own."""
    if protocol == "s3":
        return {
            "use_listings_cache": False,
            "endpoint_url": os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None,
            # More than one request at once for one small object would begin with a request for its size.
            "max_concurrency": 1,
            "config_kwargs": {
                "retries": {"max_attempts": 0},
                "connect_timeout": 10,
                "read_timeout": 60,
                "max_pool_connections": 2 * _AT_ONCE,
            },
        }
    return {"use_listings_cache": False} if protocol == "gs" else {}


def _modified(facts: dict[str, Any]) -> float:
    found = facts.get("LastModified") or facts.get("updated") or facts.get("created") or 0.0
    if isinstance(found, str):
        found = dt.datetime.fromisoformat(found)
    return found.timestamp() if isinstance(found, dt.datetime) else float(found)
