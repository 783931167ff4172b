"""Files to read, by path or by URL: opened as binary streams, whatever keeps them.

A local path is opened as ever. A URL goes through fsspec: each read is one ranged request, tried again as those of
a run's store are (store/service.py), and refused when the object is no longer the one that was listed. What goes wrong
is an InputError with the URL, in one line.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar, cast

import numpy as np
import xxhash

from curate.environment import redacted
from curate.errors import DamagedInputError, InputError
from curate.store import service
from curate.store.object_file import Ranges
from curate.store.service import AT_ONCE, INSTALL, SCHEMES, Trouble, said

T = TypeVar("T")
_FETCHED: ContextVar[Mapping[str, bytes]] = ContextVar("_FETCHED", default={})  # noqa: B039 - never changed in place
BLOCK: Final = 4 << 20
"""Bytes of a remote file that are asked for at once: a request costs as much as about 1 to 3 MB of transfer."""
_VERSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("ETag",),
    "gs": ("md5Hash", "crc32c", "etag"),
    "hf": ("blob_id",),
    "memory": (),
}
"""By protocol: which entry of a listing the store guarantees to differ when the content does."""
_CHECKED: Final = frozenset({"s3"})
"""Protocols whose every read asks for the version that was opened (If-Match)."""


def is_url(path: str) -> bool:
    """Whether it is a URL, and no local path."""
    return "://" in path


def protocol(url: str) -> str:
    """Its protocol, by the name used here; raises InputError for one that is not read."""
    given = url.partition("://")[0]
    if given not in SCHEMES:
        raise InputError(
            f"'{given}' is no protocol that is read", place=url, cure="use s3, gs, hf, file, memory or a local path"
        )
    if service.names_a_user(url):
        raise InputError(
            "an address holds no user and no key",
            place=redacted(url),
            cure="credentials come from the environment, or from the provider's own files",
        )
    return SCHEMES[given]


def plain(path: str) -> str:
    """A path or URL as it is known here: ``file://`` becomes a local path, other names of a protocol its usual one."""
    if not is_url(path):
        return path
    kind, rest = protocol(path), path.partition("://")[2]
    if kind == "file":
        return rest if rest.startswith("/") else f"/{rest}"
    return f"{kind}://{rest.rstrip('/')}"


def filesystem(url: str) -> Any:
    """The file system of a URL; raises InputError when the library for it is missing."""
    return tried(lambda: service.file_system(protocol(url)), url)


def changed(path: str) -> InputError:
    """The error for a file that is no longer what it was when its digest was taken."""
    return InputError(
        "the file was changed while it was being read",
        place=path,
        cure="run again when nothing writes to it any more: what is committed is kept",
    )


def tried(ask: Callable[[], T], url: str, *, listed: bool = False) -> T:
    """The answer to a request that may be repeated; raises InputError, in one line, when there is none.

    DamagedInputError where the object was ``listed``, and is gone.
    """
    return service.tried(ask, lambda kind, error: _error(kind, error, url, listed=listed))


def _error(kind: Trouble, error: Exception, url: str, *, listed: bool) -> InputError:
    why = said(error)
    if kind is Trouble.CONDITION:
        return changed(url)
    if kind in (Trouble.ABSENT, Trouble.NO_BUCKET):
        what, cure = "no such object or bucket", "check paths; an object may have vanished since it was listed"
        return (DamagedInputError if listed and kind is Trouble.ABSENT else InputError)(what, place=url, cure=cure)
    if kind in (Trouble.REFUSED, Trouble.NO_KEYS):
        where = "check the keys in the environment (AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN)"
        return InputError(f"no permission to read it ({why})", place=url, cure=where)
    if kind is Trouble.NO_LIBRARY:
        return InputError(f"a library is missing ({why})", place=url, cure=INSTALL.get(protocol(url), "install it"))
    name = type(error).__name__
    if kind is Trouble.AGAIN:
        cure = "run again when it does: what is committed is kept"
        return InputError(f"its store does not answer ({name}: {why})", place=url, cure=cure)
    return InputError(f"can't be read ({name}: {why})", place=url, cure="check the path and the store's settings")


# -- versions


def given(url: str, info: Mapping[str, Any]) -> str:
    """What a store guarantees of an object's content, as an identity that no digest of content looks like; or empty."""
    kind = protocol(url)
    for name in _VERSIONS[kind]:
        if info.get(name):
            version = str(info[name]).strip('"')
            generation = f":{info['generation']}" if name == "etag" and info.get("generation") else ""
            return f"{kind}-{name.lower()}:{version}{generation}:{info['size']}"
    return ""


def stamp_of_info(url: str, info: Mapping[str, Any]) -> tuple[int, int, int]:
    """Size, and 128 bits of an object's version: a row of Stamps."""
    version = given(url, info)
    if not version:  # only in memory; listings give it as a number
        made = info.get("created", 0)
        version = repr(made.timestamp() if isinstance(made, dt.datetime) else made)
    first, second = np.frombuffer(xxhash.xxh3_128_digest(version.encode()), np.int64)
    return int(info["size"] or 0), int(first), int(second)


def stamp(url: str) -> bytes:
    """An object's stamp now, asked of its store; raises InputError when that can't be had."""
    return np.array(stamp_of_info(url, info(url)), np.int64).tobytes()


def info(url: str) -> dict[str, Any]:
    """What the store says of an object or folder."""
    files = filesystem(url)
    fresh = {"refresh": True} if protocol(url) in ("s3", "hf") else {}
    return tried(lambda: dict(files.info(url, **fresh)), url)


def checks_each_read(path: str) -> bool:
    """Whether what was read of a file is known to be of the version it was opened as."""
    return is_url(path) and protocol(path) in _CHECKED


# -- reading


@contextmanager
def opened(path: str, stamp: bytes = b"", buffer: int | None = None) -> Iterator[BinaryIO]:
    """A file as a binary stream.

    Args:
        path: a local path, or a URL.
        stamp: what the file was when it was listed; empty: whatever it is now. Local files are checked when they have
            been read.
        buffer: bytes asked for at once of a remote file, by default BLOCK; 0 asks for just what is read.

    Raises InputError where it can't be read.
    """
    if not is_url(path):
        with local_errors(path), Path(path).open("rb") as file:
            yield file
        return
    if path in _FETCHED.get():
        yield io.BytesIO(_FETCHED.get()[path])
        return
    with Ranged(path, stamp) as ranged:
        size = BLOCK if buffer is None else buffer
        yield io.BufferedReader(ranged, size) if size else cast("BinaryIO", ranged)


@contextmanager
def fetched(files: Sequence[tuple[str, bytes]], most: int = -1) -> Iterator[Iterator[tuple[str, bytes]]]:
    """Path and content (at most so many bytes) of small remote files, by path and stamp, fetched several at a time.

    ``opened`` finds the one that was given last without a request.
    """

    def fetch(file: tuple[str, bytes]) -> bytes:
        with opened(*file, 0) as stream:
            return stream.read(most)

    def ahead() -> Iterator[tuple[str, bytes]]:
        for start in range(0, len(files), AT_ONCE):
            some = files[start : start + AT_ONCE]
            for file, data in zip(some, pool.map(fetch, some), strict=True):
                _FETCHED.set({file[0]: data})
                yield file[0], data

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield ahead()
        finally:
            _FETCHED.set({})


@contextmanager
def local_errors(path: str) -> Iterator[None]:
    """What the file system says of an input, as an InputError."""
    try:
        yield
    except FileNotFoundError:
        raise DamagedInputError(
            "the file is no longer there", place=path, cure="put it back, or run again without it"
        ) from None
    except (PermissionError, IsADirectoryError) as error:
        raise InputError(f"can't be read: {error.strerror}", place=path, cure="check its permissions") from None


class Ranged(Ranges):
    """A remote file; each read is one ranged request, which is repeated when it fails on its way.

    Raises InputError when the object is not of the version that ``stamp`` says.
    """

    def __init__(self, url: str, stamp: bytes = b"") -> None:
        self._url, self._listed = url, bool(stamp)
        self._file: Any = None
        self._files = filesystem(url)
        # fsspec's files in memory are one object for all who open them, with one position.
        if protocol(url) == "memory":
            facts = info(url)
        else:
            self._file = self._asked(lambda: self._files.open(url, "rb", cache_type="none"))
            facts = self._asked(lambda: dict(self._file.details))
        super().__init__(int(facts["size"] or 0), self._range)
        if stamp and np.array(stamp_of_info(url, facts), np.int64).tobytes() != stamp:
            raise changed(url)

    def _asked(self, ask: Callable[[], T]) -> T:
        return tried(ask, self._url, listed=self._listed)

    def _range(self, start: int, stop: int) -> bytes:
        data = self._asked(lambda: self._fetched(start, stop))
        if len(data) != stop - start:
            raise changed(self._url)
        return data

    def _fetched(self, start: int, stop: int) -> bytes:
        if self._file is None:
            return bytes(self._files.cat_file(self._url, start=start, end=stop))
        self._file.seek(start)
        return bytes(self._file.read(stop - start))

    def close(self) -> None:
        if not self.closed and self._file is not None:
            self._file.close()
        super().close()
