"""A store's files in a folder of a local (or mounted) file system: links, renames and fsync."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from curate.errors import StorageError
from curate.store.crash_points import crash_point
from curate.store.syncing import sync_file, sync_folder

_NO_FAULTS: Final = (
    BlockingIOError,
    ChildProcessError,
    ConnectionError,
    FileExistsError,
    FileNotFoundError,
    InterruptedError,
    ProcessLookupError,
    TimeoutError,
)
_FEW: Final = 8
"""So many files of a folder are looked for one by one."""


class Entry(NamedTuple):
    """A file of a store.

    Attributes:
        key: its key.
        size: bytes.
        modified: seconds since 1970, as the file system or the object store says (whole seconds on most of the latter).
    """

    key: str
    size: int
    modified: float


@contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Turn a full disk, a missing permission or a broken device into StorageError with a cure.

    What may be tried again, and what says that a file is there or not, stays what it is; so do errors of libraries, whose
    numbers are their own.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, _NO_FAULTS) or not error.errno or type(error).__module__ != "builtins":
            raise
        cures = {
            errno.ENOSPC: "free some space and run again: what is committed is kept",
            errno.EDQUOT: "raise the quota and run again: what is committed is kept",
            errno.EACCES: "check the folder's permissions",
            errno.ENOTDIR: "a file lies where a folder should be: choose another folder with --store",
            errno.EROFS: "choose a folder that can be written with --store",
            errno.EFBIG: "raise the limit of a file's size (ulimit -f), or choose another disk with --store, and run again",
        }
        cure = cures.get(error.errno, "run again")
        raise StorageError(os.strerror(error.errno).lower(), place=place, cure=cure) from error


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it, and their entries durable: a file in it is lost with its folder's entry."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    sync_folder(folder.parent)


def _write(path: Path, data: bytes) -> None:
    """A durable file."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link(source: Path, target: Path) -> None:
    """The same file under another name, or where there are no links its bytes."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        sync_file(target)


class Disk:
    """Files of a store in a folder; see Store for what each method promises."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def name(self, key: str) -> str:
        """What messages call a key's file."""
        return str(self.root / key)

    def address(self, key: str) -> str:
        """By which a source finds the file."""
        return str(self.root / key)

    # -- reading -----------------------------------------------------------------------------------------------

    def read(self, key: str) -> bytes | None:
        """A file's bytes, or None if there is none."""
        try:
            with storage_errors(self.name(key)):
                return (self.root / key).read_bytes()
        except FileNotFoundError:
            return None

    def read_many(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        """Each file's bytes, or None."""
        return map(self.read, keys)

    def exists(self, key: str) -> bool:
        """Whether there is such a file or folder."""
        return (self.root / key).exists()

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of some keys that are there; for many of one folder, it is read once."""
        folders: dict[str, Any] = {}
        for key in keys:
            folders.setdefault(key.rpartition("/")[0], []).append(key)
        found: set[str] = set()
        for folder, inside in folders.items():
            if len(inside) <= _FEW:
                found.update(key for key in inside if self.exists(key))
                continue
            try:
                names = set(os.listdir(self.root / folder))  # noqa: PTH208 - names alone: there may be a million
            except (FileNotFoundError, NotADirectoryError):
                continue
            found.update(key for key in inside if key.rpartition("/")[2] in names)
        return found

    def list(self, folder: str) -> Iterator[Entry]:
        """All files below a folder; links are files, and are not followed."""
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            try:
                with os.scandir(self.root / here) as found:
                    entries = sorted(found, key=lambda e: e.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            below = []
            for entry in entries:
                key = f"{here}/{entry.name}" if here else entry.name
                if entry.is_dir(follow_symlinks=False):
                    below.append(key)
                else:
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield Entry(key, facts.st_size, facts.st_mtime_ns / 1e9)
            waiting.extend(reversed(below))

    def data(self, key: str) -> Path:
        """Where the file is."""
        return self.root / key

    @contextmanager
    def reading(self, key: str) -> Iterator[Path]:
        """Where the file is."""
        yield self.root / key

    def local(self, key: str) -> Path:
        """Where the file or folder is."""
        return self.root / key

    # -- writing -----------------------------------------------------------------------------------------------

    def prepare(self, folder: str) -> None:
        """Make a folder that is to be written to."""
        with storage_errors(str(self.root)):
            make_folder(self.root / folder)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Where to write a file: in its place, under a name that nobody else uses. Its entry is durable with the
        receipt that names it."""
        path = self.root / key
        with storage_errors(str(path)):
            make_folder(path.parent)
        yield path
        with storage_errors(str(path)):
            sync_file(path)

    @contextmanager
    def writing_folder(self, key: str) -> Iterator[Path]:
        """Where to write a folder of files: in its place; gone again where the work fails."""
        folder = self.root / key
        with storage_errors(str(folder)):
            make_folder(folder.parent)
            folder.mkdir()
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with storage_errors(str(folder)):
            for path in sorted(folder.rglob("*")):
                sync_folder(path) if path.is_dir() else sync_file(path)
            sync_folder(folder)

    def assemble(self, folder: str, files: Mapping[str, str], extra: Mapping[str, bytes]) -> None:
        """Hard links beside the place, then a rename: the folder is there at once."""
        final = self.root / folder
        shutil.rmtree(final, ignore_errors=True)
        building = final.with_name(f".{final.name}-{uuid.uuid4().hex[:12]}")
        with storage_errors(str(building)):
            make_folder(final.parent)
            building.mkdir()
            try:
                for name, key in files.items():
                    _link(self.root / key, building / name)
                for name, data in extra.items():
                    _write(building / name, data)
                sync_folder(building)
                crash_point("assemble.before-folder")
                try:
                    building.rename(final)
                except OSError:
                    # Another driver was first; what it built has the same bytes.
                    if not final.is_dir():
                        raise
                sync_folder(final.parent)
                crash_point("assemble.after-folder")
            finally:
                shutil.rmtree(building, ignore_errors=True)

    def settle(self, files: set[str]) -> None:
        """Make entries of files durable before a receipt names them."""
        for folder in {(self.root / key).parent for key in files}:
            if folder.is_dir():
                sync_folder(folder)

    def put_new(self, key: str, data: bytes) -> bool:
        """Put a small file unless there is one; whether it was put."""
        with self._beside(key, data) as (temporary, final):
            try:
                os.link(temporary, final)
            except FileExistsError:
                return False
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Put a small file in place of what is there."""
        with self._beside(key, data) as (temporary, final):
            temporary.replace(final)

    @contextmanager
    def _beside(self, key: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """A durable file beside the place where it is to lie; what was done with it is durable afterwards."""
        final = self.root / key
        with storage_errors(str(final)):
            make_folder(final.parent)
            temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:12]}")
            try:
                _write(temporary, data)
                yield temporary, final
                sync_folder(final.parent)
            finally:
                temporary.unlink(missing_ok=True)

    def move(self, key: str, target: str) -> bool:
        """Give a file or folder another key; False where it is gone."""
        source, final = self.root / key, self.root / target
        with storage_errors(str(final)):
            make_folder(final.parent)
            try:
                source.rename(final)
            except FileNotFoundError:
                return False
            sync_folder(final.parent)
            sync_folder(source.parent)
        return True

    def remove(self, key: str) -> None:
        """Remove a file, if there is one."""
        with storage_errors(self.name(key)):
            (self.root / key).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder with all that is in it, if there is one."""
        with storage_errors(self.name(folder)):
            shutil.rmtree(self.root / folder, ignore_errors=True)

    def state(self, name: str) -> Path:
        """Where a file lies that this machine alone writes."""
        return self.root / name
