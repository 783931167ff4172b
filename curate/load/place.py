"""A dataset's folder, here or behind a URL, as files that can be mapped.

What lies behind a URL (s3, gs, hf, memory) is fetched once, shard by shard, into a cache: a file appears there whole and
checked, or not at all, and processes that want the same one wait for the first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from curate.errors import CurateError, DamagedInputError, InputError, StorageError
from curate.fingerprint import fingerprint
from curate.store import service
from curate.store.service import INSTALL, SCHEMES, Trouble, said

__all__ = ["Place", "cache_folder", "place_of"]

T = TypeVar("T")
_CHUNK: Final = 8 << 20


def cache_folder() -> Path:
    """Where shards from elsewhere are kept: CURATE_SHARDS, or ``curate/shards`` in the user's cache. Nothing removes them."""
    named, base = os.environ.get("CURATE_SHARDS"), os.environ.get("XDG_CACHE_HOME")
    return Path(named) if named else (Path(base) if base else Path.home() / ".cache") / "curate" / "shards"


@dataclass(frozen=True)
class Place:
    """A folder on this machine's disks.

    Attributes:
        name: its path, or URL.
    """

    name: str

    def read(self, file: str) -> bytes | None:
        """A small file; None where it is not there."""
        try:
            return (Path(self.name) / file).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(
                f"can't be read: {error.strerror}", place=self.of(file), cure="check its permissions"
            ) from None

    def streams(self) -> dict[str, int]:
        """Names of its ``*.arrow`` files in order, and their bytes."""
        try:
            found = sorted(p for p in Path(self.name).iterdir() if p.suffix == ".arrow" and p.is_file())
            return {p.name: p.stat().st_size for p in found}
        except OSError as error:
            cure = "give the folder of a dataset"
            raise InputError(f"no folder that can be read: {error.strerror}", place=self.name, cure=cure) from None

    def of(self, file: str) -> str:
        """A file's path, or URL."""
        return f"{self.name}/{file}"

    @property
    def remote(self) -> bool:
        """Whether shards must be fetched."""
        return False

    def local(self, file: str, sha256: str | None) -> Path:
        """A shard as a file of this machine."""
        return Path(self.name) / file


@dataclass(frozen=True)
class Remote(Place):
    """A folder behind a URL.

    Attributes:
        cache: where its shards are kept.
    """

    cache: Path

    @property
    def remote(self) -> bool:
        return True

    def read(self, file: str) -> bytes | None:
        try:
            return self._asked(lambda files: bytes(files.cat_file(self.of(file))), file)
        except DamagedInputError:
            return None

    def streams(self) -> dict[str, int]:
        found = self._asked(lambda files: files.ls(self.name, detail=True), "")
        sizes = {str(f["name"]).rpartition("/")[2]: int(f["size"] or 0) for f in found if f.get("type") == "file"}
        return {name: sizes[name] for name in sorted(sizes) if name.endswith(".arrow")}

    def local(self, file: str, sha256: str | None) -> Path:
        """Fetched if it is not in the cache; raises DamagedInputError where it is not what its SHA-256 says."""
        name = sha256 or fingerprint(self.of(file), self._version(file))
        target = self.cache / f"{name}.arrow"
        try:
            if target.exists():
                return target
            self.cache.mkdir(parents=True, exist_ok=True)
            with target.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not target.exists():
                    self._fetch(file, target, sha256)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            cure = (
                "free some space, or name another folder in CURATE_SHARDS" if full else "name another in CURATE_SHARDS"
            )
            raise StorageError(f"a shard can't be kept: {error.strerror}", place=str(self.cache), cure=cure) from None
        return target

    def _version(self, file: str) -> list[str]:
        info = self._asked(lambda files: dict(files.info(self.of(file))), file)
        return [f"{k}={info[k]}" for k in ("ETag", "etag", "md5Hash", "blob_id", "created", "size") if info.get(k)]

    def _fetch(self, file: str, target: Path, sha256: str | None) -> None:
        handle, name = tempfile.mkstemp(dir=self.cache, prefix=".fetching-")
        os.close(handle)
        temporary = Path(name)
        try:
            digest = self._asked(lambda files: _copy(files, self.of(file), temporary), file)
            if sha256 is not None and digest != sha256:
                raise DamagedInputError(
                    f"the shard differs from what it must be: SHA-256 {digest[:12]}..., wanted {sha256[:12]}...",
                    place=self.of(file),
                    cure="copy the dataset there again",
                )
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()

    def _asked(self, ask: Callable[[Any], T], file: str) -> T:
        where = self.of(file) if file else self.name
        protocol = self.name.partition("://")[0]

        def failed(kind: Trouble, error: Exception) -> Exception:
            if kind is Trouble.UNKNOWN:
                return error
            return _error(kind, error, where, protocol)

        return service.tried(lambda: ask(service.file_system(protocol)), failed)


def _copy(files: Any, url: str, target: Path) -> str:
    """Copy an object to a file; its SHA-256."""
    state = hashlib.sha256()
    with files.open(url, "rb") as source, target.open("wb") as out:
        source.seek(0)
        while chunk := source.read(_CHUNK):
            state.update(chunk)
            out.write(chunk)
    return state.hexdigest()


def _error(kind: Trouble, error: Exception, where: str, protocol: str) -> CurateError:
    if kind is Trouble.ABSENT:
        return DamagedInputError("no such object", place=where, cure="check the address; copy the dataset there again")
    cures: Mapping[Trouble, str] = {
        Trouble.AGAIN: "run again when its store answers",
        Trouble.NO_LIBRARY: INSTALL.get(protocol, "install it"),
        Trouble.NO_BUCKET: "check the address",
    }
    cure = cures.get(kind, "check the keys in the environment (AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN)")
    return InputError(f"can't be read ({said(error)})", place=where, cure=cure)


def place_of(path: str | Path, cache: Path | None = None) -> Place:
    """The folder of a path or URL; raises InputError for a protocol that is not read, or a URL with a user in it."""
    name = str(path).rstrip("/") or "/"
    scheme, found, rest = name.partition("://")
    if not found:
        return Place(name)
    if scheme not in SCHEMES:
        cure = "use s3, gs, hf, file, memory or a local path"
        raise InputError(f"'{scheme}' is no protocol that is read", place=name, cure=cure)
    if SCHEMES[scheme] == "file":
        return Place(rest)
    if service.names_a_user(name):
        raise InputError(
            "an address holds no user and no key", place=scheme, cure="credentials come from the environment"
        )
    return Remote(f"{SCHEMES[scheme]}://{rest}", cache or cache_folder())
