"""Which files a source reads, under which names, and whether they are what their names say."""

from __future__ import annotations

import glob
import os
import stat
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from curate.assets import locate
from curate.errors import DamagedInputError, InputError
from curate.stages import remote
from curate.stages.catalog import NO_STAMP, Files, join
from curate.stages.reading_urls import WILD, expand_url

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
_MAGICS: Final = (
    (GZIP, "gzip"),
    (ZSTD, "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow"),
    (b"FEA1", "Feather V1"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\xff\xff\xff\xff", "Arrow stream"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def find_files(paths: Sequence[str], base: Path, suffixes: Sequence[str]) -> list[Files]:
    """The files that paths, folders, globs and URLs name, each once, in the order of ``paths``, then by name.

    A folder gives all files below it with one of the suffixes; hidden files and folders are passed over. A file
    named outright or matched by a glob must have one of the suffixes. Neither folders nor ``**`` follow links to folders; ``*``
    does, and what it finds by two names counts once.

    Raises InputError for what is missing, matches nothing, is empty, or shares its name with another file.
    """
    found: list[Files] = []
    owner: dict[str, Files] = {}
    known: set[str] = set()
    for given in paths:
        files = expand(given, base, suffixes)
        if len(paths) > 1 or files.links or any(c in given for c in WILD):
            files = files.chosen(_not_yet(real_paths(files), known))
        _check_files(files, suffixes)
        if len(paths) > 1:
            check_names(files, owner, given)
        found.append(files)
    return found


def _not_yet(paths: Sequence[str], known: set[str]) -> list[int]:
    """Which of the paths are not known yet; they are then."""
    found = []
    for number, path in enumerate(paths):
        if path not in known:
            known.add(path)
            found.append(number)
    return found


def check_names(files: Files, owner: dict[str, Files], given: str) -> None:
    """Raise InputError for a name that a file below another root has too; ``owner`` has those known, by name."""
    for number, name in enumerate(files.names):
        other = owner.setdefault(name, files)
        if other is not files:
            raise InputError(
                f"two inputs are called '{name}': {join(other.root, name)} and {files.path(number)}",
                place=given,
                cure="rows are known by step and name: give the folder that holds both, or use two steps",
            )


def real_paths(files: Files) -> list[str]:
    """Where files are when no link is left in their paths; a URL has none."""
    if not files.local:
        return [files.path(number) for number in range(len(files))]
    folders: dict[str, str] = {}
    found = []
    for number, name in enumerate(files.names):
        below, _, last = name.rpartition("/")
        if below not in folders:
            folders[below] = os.path.realpath(join(files.root, below))
        path = join(folders[below], last)
        found.append(os.path.realpath(path) if number in files.links else path)
    return found


def expand(given: str, base: Path, suffixes: Sequence[str]) -> Files:
    """The files that one entry of ``paths`` names.

    What is no file (a pipe, a link that leads nowhere) is among them, with NO_STAMP.

    Raises InputError when there is nothing.
    """
    given = remote.plain(given)
    if remote.is_url(given):
        return expand_url(given, suffixes)
    try:
        path = locate(given, base)
        folder = path.is_dir()
    except OSError as error:
        raise InputError(
            f"can't be looked at: {error.strerror}", place=given, cure="check paths, and the permissions of folders"
        ) from None
    if folder:
        found = walk(str(path.absolute()), suffixes)
        if not len(found):
            raise InputError(f"no file with {listing(suffixes)} in this folder", place=str(path), cure="check paths")
        return found
    if path.exists() or path.is_symlink():
        return _listed(str(path.absolute().parent), [path.name], outright=True)
    if any(c in given for c in WILD):
        return _glob(given, base)
    raise InputError("no such file or folder", place=str(path), cure="check paths in the recipe")


def absent(paths: Sequence[str], base: Path) -> list[str]:
    """What of some paths is not there: of a glob the folder in front of its first wildcard. URLs are not asked for."""
    found = []
    for given in map(remote.plain, paths):
        if remote.is_url(given) or locate(given, base).exists() or locate(given, base).is_symlink():
            continue
        before = _before_wild(given)
        if before == given or not locate(before or ".", base).is_dir():
            found.append(before)
    return found


def _before_wild(given: str) -> str:
    """The part of a path before its first part with a wildcard."""
    parts = Path(given).parts
    first = next((i for i, part in enumerate(parts) if any(c in part for c in WILD)), len(parts))
    return str(Path(*parts[:first])) if first else ""


def _glob(given: str, base: Path) -> Files:
    before = _before_wild(given)
    parts, first = Path(given).parts, len(Path(before).parts)
    root = locate(before, base) if before else base
    if not root.is_dir():
        raise InputError(f"no such folder, so nothing matches '{given}'", place=str(root), cure="check paths")
    matches = _matches(str(root), parts[first:])
    names = {PurePosixPath(n).as_posix() if "//" in n or n.endswith("/") else n for n in matches}
    found = _listed(str(root.absolute()), names)
    if not len(found):
        raise InputError(f"nothing matches '{given}'", place=str(root), cure="check the pattern")
    return found


def _matches(root: str, parts: Sequence[str]) -> Iterator[str]:
    """What below a folder a pattern matches. Not by ``**`` of ``glob``, which follows links to folders, round and round."""
    here = parts.index("**") if "**" in parts else len(parts)
    before = str(Path(*parts[:here]))
    # Path.glob reads hidden files and can not stay below a root.
    found = glob.iglob(before, root_dir=root) if here else iter([""])  # noqa: PTH207
    if here == len(parts):
        yield from found
        return
    after = parts[here + 1 :] or ("*",)
    for start in found:
        for folder in _folders(root, start):
            for name in _matches(join(root, folder) if folder else root, after):
                yield f"{folder}/{name}" if folder else name


def _folders(root: str, start: str) -> Iterator[str]:
    """A folder and all below it, by their names below a root; none that is hidden, or a link."""
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(join(root, folder) if folder else root) as entries:
                below = [e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
        except OSError:  # no folder, or not ours to read: as glob has it, nothing matches there
            continue
        yield folder
        waiting += [f"{folder}/{name}" if folder else name for name in below]


def _listed(root: str, names: Iterable[str], *, outright: bool = False) -> Files:
    """Files of the file system by name; folders are left out."""
    kept: list[str] = []
    stamps = array("q")
    links: set[str] = set()
    for name in names:
        path = join(root, name)
        try:
            facts = os.lstat(path)
            if stat.S_ISLNK(facts.st_mode):
                links.add(name)
                facts = os.stat(path)  # noqa: PTH116
        except OSError:
            stamps.extend(NO_STAMP)
            kept.append(name)
            continue
        if stat.S_ISDIR(facts.st_mode):
            continue
        kept.append(name)
        stamps.extend(_stamp(facts))
    return Files.in_order(root, kept, stamps, links, outright=outright)


def walk(root: str, suffixes: Sequence[str]) -> Files:
    """Files below a folder that end in a suffix; nothing hidden, no linked folders. One stat for each file."""
    ends = tuple(suffixes)
    names: list[str] = []
    stamps = array("q")
    links: set[str] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        folder = join(root, below) if below else root
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{below}{entry.name}/")
                    elif entry.name.lower().endswith(ends) and not (entry.is_symlink() and entry.is_dir()):
                        name = below + entry.name
                        names.append(name)
                        if entry.is_symlink():
                            links.add(name)
                        try:
                            stamps.extend(_stamp(entry.stat()))
                        except OSError:
                            stamps.extend(NO_STAMP)
        except OSError as error:
            raise InputError(
                f"the folder can't be listed: {error.strerror}", place=folder, cure="check its permissions"
            ) from None
    return Files.in_order(root, names, stamps, links)


def _stamp(facts: os.stat_result) -> tuple[int, int, int]:
    if not stat.S_ISREG(facts.st_mode):
        return NO_STAMP
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _check_files(files: Files, suffixes: Sequence[str]) -> None:
    check_utf8(files)
    ends = tuple(suffixes)
    for number, name in enumerate(files.names):
        if not name.lower().endswith(ends):
            raise InputError(
                f"the name ends in none of {listing(suffixes)}",
                place=files.path(number),
                cure="rename it, or narrow the pattern",
            )
    for number in np.flatnonzero(files.stamps[:, 0] <= 0).tolist():
        path = files.path(number)
        if files.stamps[number, 0] == 0:
            raise InputError("the file is empty", place=path, cure="remove it or fix it")
        if number in files.links and not Path(path).exists():
            raise InputError("a symbolic link that leads nowhere", place=path, cure="remove it or fix it")
        raise InputError("neither a file nor a folder", place=path, cure="name files or folders in paths")


def check_utf8(files: Files) -> None:
    """Raises InputError for a name that is not UTF-8: it could be in no row's origin."""
    try:
        "\n".join(files.names).encode()
    except UnicodeEncodeError:
        bad = next(n for n, name in enumerate(files.names) if not name.isascii() and not _is_utf8(name))
        place = os.fsencode(files.path(bad)).decode("utf-8", "backslashreplace")
        raise InputError("the file's name is not UTF-8", place=place, cure="rename it or exclude it") from None


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def head(path: str, stamp: bytes = b"", size: int = 4096) -> bytes:
    """The file's first bytes; raises InputError when it can't be read."""
    with remote.opened(path, stamp, 0) as file:
        return file.read(size)


def looks_like(start: bytes) -> str:
    """What the first bytes of a file say it is; empty when nothing known."""
    if is_skippable(start):
        return "zstd"
    return next((what for magic, what in _MAGICS if start.startswith(magic)), "")


def is_skippable(start: bytes) -> bool:
    """Whether bytes begin with a skippable frame of zstd (RFC 8878, 3.1.2)."""
    return len(start) >= 4 and start[1:4] == b"\x2a\x4d\x18" and 0x50 <= start[0] <= 0x5F


def not_what_it_says(path: str, said: str, start: bytes, cure: str = "") -> InputError:
    """The error for a file whose content is of another kind than its name says."""
    is_ = looks_like(start)
    return DamagedInputError(
        f"the name says {said}, the content " + (f"is {is_}" if is_ else "is not"),
        place=path,
        cure=cure or "rename it after its content, or replace it",
    )


def group_sizes(sizes: Iterable[int], goal: int) -> list[tuple[int, int, int]]:
    """(start, stop, size) of runs of neighbours; a run is closed once it has reached the goal."""
    runs, start, total, stop = [], 0, 0, 0
    for stop, size in enumerate(sizes, 1):
        total += size
        if total >= goal:
            runs.append((start, stop, total))
            start, total = stop, 0
    if stop > start:
        runs.append((start, stop, total))
    return runs


def listing(suffixes: Sequence[str]) -> str:
    """Suffixes in words."""
    return ", ".join(suffixes)
