"""Which files a source reads, under which names, and whether they are what their names say."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from curate.assets import locate
from curate.errors import InputError
from curate.fingerprint import fingerprint

_WILD: Final = "*?["
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


@dataclass(frozen=True)
class InputFile:
    """A file to read: where it is now, and its name relative to its source's root."""

    path: Path
    name: str
    size: int


def find_files(paths: Sequence[str], base: Path, suffixes: Sequence[str]) -> list[InputFile]:
    """The files that paths, folders and globs name, each once, in the order of ``paths``, then by name.

    A folder gives all files below it with one of the suffixes; hidden files and folders are passed over. A file
    named outright or matched by a glob must have one of the suffixes.

    Raises InputError for what is missing, matches nothing, is empty, or shares its name with another file.
    """
    found: dict[str, InputFile] = {}
    known: set[Path] = set()
    for given in paths:
        for path, name in _expand(given, base, suffixes):
            real = path.resolve()
            if real in known:
                continue
            known.add(real)
            file = _input_file(path, name, suffixes)
            if name in found:
                raise InputError(
                    f"two inputs are called '{name}': {found[name].path} and {path}",
                    place=given,
                    cure="rows are known by step and name: give the folder that holds both, or use two steps",
                )
            found[name] = file
    return list(found.values())


def _expand(given: str, base: Path, suffixes: Sequence[str]) -> list[tuple[Path, str]]:
    root, names, _ = expand_inputs(given, base, suffixes)
    return [(root / name, name) for name in names]


def expand_inputs(given: str, base: Path, suffixes: Sequence[str]) -> tuple[Path, list[str], bool]:
    """Root, sorted names below it, and whether a file was named outright, of one entry of ``paths``."""
    if "://" in given:
        raise InputError(
            "only local files are read", place=given, cure="copy it to a disk first, or use read.dataset for the hub"
        )
    path = locate(given, base)
    if path.is_dir():
        names = walk(path, suffixes)
        if not names:
            raise InputError(f"no file with {listing(suffixes)} in this folder", place=str(path), cure="check paths")
        return path, names, False
    if path.exists() or path.is_symlink():
        return path.parent, [path.name], True
    if any(c in given for c in _WILD):
        root, names = _glob(given, base)
        return root, names, False
    raise InputError("no such file or folder", place=str(path), cure="check paths in the recipe")


def _glob(given: str, base: Path) -> tuple[Path, list[str]]:
    parts = Path(given).parts
    first = next(i for i, part in enumerate(parts) if any(c in part for c in _WILD))
    root = locate(str(Path(*parts[:first])), base) if first else base
    if not root.is_dir():
        raise InputError(f"no such folder, so nothing matches '{given}'", place=str(root), cure="check paths")
    found = glob.glob(  # noqa: PTH207 - Path.glob reads hidden files and can not stay below a root
        str(Path(*parts[first:])), root_dir=root, recursive=True
    )
    names = sorted({PurePosixPath(n).as_posix() for n in found if not (root / n).is_dir()})
    if not names:
        raise InputError(f"nothing matches '{given}'", place=str(root), cure="check the pattern")
    return root, names


def walk(root: Path, suffixes: Sequence[str]) -> list[str]:
    """Relative names of the files below a folder that end in a suffix, sorted; nothing hidden, no linked folders."""
    found = []
    for folder, folders, files in os.walk(root, followlinks=False):
        folders[:] = [f for f in folders if not f.startswith(".")]
        below = Path(folder).relative_to(root)
        found += [
            (below / file).as_posix()
            for file in files
            if not file.startswith(".") and file.lower().endswith(tuple(suffixes))
        ]
    return sorted(found)


def _input_file(path: Path, name: str, suffixes: Sequence[str]) -> InputFile:
    check_name(name, path)
    if not path.name.lower().endswith(tuple(suffixes)):
        raise InputError(
            f"the name ends in none of {listing(suffixes)}", place=str(path), cure="rename it, or narrow the pattern"
        )
    if path.is_symlink() and not path.exists():
        raise InputError("a symbolic link that leads nowhere", place=str(path), cure="remove it or fix it")
    if not path.is_file():
        raise InputError("neither a file nor a folder", place=str(path), cure="name files or folders in paths")
    size = path.stat().st_size
    if size == 0:
        raise InputError("the file is empty", place=str(path), cure="remove it or fix it")
    return InputFile(path.absolute(), name, size)


def check_name(name: str, path: Path) -> None:
    """Raises InputError for a name that is not UTF-8: it could be in no row's origin."""
    try:
        name.encode()
    except UnicodeEncodeError:
        place = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise InputError("the file's name is not UTF-8", place=place, cure="rename it or exclude it") from None


def head(path: Path, size: int = 4096) -> bytes:
    """The file's first bytes; raises InputError when it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", place=str(path), cure="check its permissions") from None


def looks_like(start: bytes) -> str:
    """What the first bytes of a file say it is; empty when nothing known."""
    if is_skippable(start):
        return "zstd"
    return next((what for magic, what in _MAGICS if start.startswith(magic)), "")


def is_skippable(start: bytes) -> bool:
    """Whether bytes begin with a skippable frame of zstd (RFC 8878, 3.1.2)."""
    return len(start) >= 4 and start[1:4] == b"\x2a\x4d\x18" and 0x50 <= start[0] <= 0x5F


def not_what_it_says(path: Path, said: str, start: bytes, cure: str = "") -> InputError:
    """The error for a file whose content is of another kind than its name says."""
    is_ = looks_like(start)
    return InputError(
        f"the name says {said}, the content " + (f"is {is_}" if is_ else "is not"),
        place=str(path),
        cure=cure or "rename it after its content, or replace it",
    )


def split_digest(content: str, name: str, start: int, stop: int) -> str:
    """Digest of one range of a file. The name is in it, as it is in the rows' ids."""
    return fingerprint(content, name, start, stop)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A cure that names the nearest of some names, or all of them."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"did you mean '{near[0]}'?" if near else f"there are: {shown or 'none'}"


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


Digest = Callable[[Path], str]
