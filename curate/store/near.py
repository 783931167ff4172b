"""What a machine of a cluster keeps near: copies of assets that lie on a network's file system, digests, compiled kernels.

A thousand workers that open one model on a shared file system at once bring it down, and so do a thousand that compile the
same kernels into one shared folder. So on a machine one process fetches and the others wait for it, and what was fetched is
known by its digest: a copy is right for ever, or it is not made. All of it lies below ``scratch.root()``, which a cluster file
or ``$CURATE_SCRATCH`` puts on a node's own disk; copies are bounded there, and old kernels go.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from curate.errors import CurateError, InputError
from curate.fingerprint import fingerprint, tree_digest
from curate.store.scratch import copy_of, root

_KINDS: Final = "nfs nfs4 lustre gpfs beegfs ceph cifs smb3 afs 9p glusterfs wekafs panfs pvfs2 orangefs"
_FUSE: Final = "fuse.glusterfs fuse.sshfs fuse.s3fs fuse.gcsfuse fuse.beegfs fuse.juicefs"
NETWORK: Final = frozenset(f"{_KINDS} {_FUSE}".split())
"""Kinds of file systems that other machines share, as /proc/self/mountinfo calls them."""
KERNELS_KEPT: Final = 3
"""Caches of compiled kernels, one for each version and place of curate, that stay."""

_active: bool = False


def use() -> None:
    """From now on this process is a worker of a cluster: what it reads from a network it reads near."""
    global _active
    _active = True


def on_network(path: Path) -> bool:
    """Whether a path lies on a file system that other machines share. ``CURATE_SHARED`` names folders that pass for one."""
    real = path.resolve()
    named = [Path(one) for one in os.environ.get("CURATE_SHARED", "").split(os.pathsep) if one]
    if any(real.is_relative_to(one) for one in named):
        return True
    best, kind = -1, ""
    for point, found in _mounts():
        # Of two at one place the later one hides the earlier, as a share does its automounter's mark.
        if len(point) >= best and real.is_relative_to(point):
            best, kind = len(point), found
    return kind in NETWORK


@cache
def _mounts() -> tuple[tuple[str, str], ...]:
    """Mount points with the kinds of their file systems, as this process sees them."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 4 and after:
            found.append((fields[4].replace("\\040", " "), after.split()[0]))
    return tuple(found)


def near(path: Path, digest: str) -> Path:
    """A file or folder of this content, on this machine where it lies on a network.

    Raises InputError where what is there has another ``digest`` (fingerprint.tree_digest).
    """
    if not _active:
        return path
    if not on_network(path):
        if known_digest(path) != digest:
            raise InputError("is not what the driver has under this name", place=str(path))
        return path

    def fetch(to: Path) -> None:
        _copy(path, to)
        if tree_digest(to) != digest:
            raise InputError("is not what the driver has under this name", place=str(path))

    with _alone(digest):
        return copy_of(f"asset:{digest}", path.name, fetch)


def near_made(path: Path, address: str) -> Path:
    """The same of what a step made, which never changes under its address."""
    if not (_active and on_network(path)):
        return path

    with _alone(address):
        return copy_of(f"made:{address}", path.name, lambda to: _copy(path, to))


def _copy(path: Path, to: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, to)
    else:
        shutil.copyfile(path, to)


def known_digest(path: Path) -> str:
    """tree_digest of a file or folder, computed once a machine for as long as names, sizes and times stay."""
    facts = [
        [str(one), stat.st_size, stat.st_mtime_ns, stat.st_ino]
        for one in (sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path])
        for stat in [one.stat()]
    ]
    name = fingerprint(facts)[:32]
    with _alone(name):
        book = root() / "digests" / name
        with suppress(OSError, ValueError):
            return str(json.loads(book.read_bytes()))
        digest = tree_digest(path)
        with suppress(OSError):
            book.parent.mkdir(exist_ok=True)
            fresh = book.with_name(f"{name}.{os.getpid()}")
            fresh.write_text(json.dumps(digest))
            fresh.replace(book)
        return digest


@contextmanager
def _alone(what: str) -> Iterator[None]:
    """One process of this machine at a time for one thing; the lock goes with its process."""
    folder = root() / "fetching"
    folder.mkdir(exist_ok=True)
    with (folder / f"{fingerprint(what)[:16]}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# -- kernels -------------------------------------------------------------------------------------------------------


def kernels_near() -> None:
    """Before the first kernel is defined: where numba keeps what it compiled, if beside the package is no good place.

    That is so on a network's file system, and where this user can't write there: numba's next choice is a folder in the
    home, which machines of a cluster share, too. What NUMBA_CACHE_DIR says goes first.
    """
    package = Path(__file__).parents[1]
    if os.environ.get("NUMBA_CACHE_DIR") or (_writable(package) and not on_network(package)):
        return
    try:
        folder = root() / "kernels" / fingerprint(str(package), version("numba"), *_version())[:16]
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, CurateError):
        return
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if "numba" in sys.modules:
        from numba.core import config

        config.CACHE_DIR = str(folder)
    with suppress(OSError):
        os.utime(folder)
        old = sorted((p for p in folder.parent.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime, reverse=True)
        for one in old[KERNELS_KEPT:]:
            shutil.rmtree(one, ignore_errors=True)


def _version() -> tuple[str, ...]:
    from curate import __version__

    return (__version__,)


def _writable(package: Path) -> bool:
    folder = package / "text" / "__pycache__"
    return os.access(folder if folder.is_dir() else folder.parent, os.W_OK)
