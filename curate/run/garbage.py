"""What of a store nobody needs: the leftovers of killed attempts and lost races, and where it is wanted, older results.

A file is needed when something that counts names it. What counts are records of steps, receipts of tasks, and pointers to
measurements, as far as all files that they name are there: others the engine takes for absent, and so do we. Rounds of
answers are needed whatever became of their step: they were paid for.

What is kept for whoever needs the same (``kept/``) is named by nobody and needed by all, until only the newest run counts.

Only what lies under ``steps/``, ``signals/``, ``pieces/``, ``kept/`` and ``damaged/`` is ours to judge, and temporary files beside
them; a user's own files in a run's folder are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from curate.errors import DamagedError, RecipeError
from curate.store.files import ASIDE, Store
from curate.store.kept import FOLDER as KEPT
from curate.store.latest import LATEST, latest
from curate.store.records import named_files

TEMPORARY: Final = "temporary"
UNNAMED: Final = "unnamed"
VOID: Final = "void"
OLDER: Final = "older"
DAMAGED: Final = "damaged"
KINDS: Final = {
    TEMPORARY: "half written when something was killed",
    UNNAMED: "data of attempts that were killed, or that lost a race",
    VOID: "receipts of files that are gone",
    OLDER: "older results, and what only helps to make others",
    DAMAGED: "damaged files that were set aside",
}
"""Why a file is garbage, in a user's words."""

_FOLDERS: Final = ("steps", "signals", "pieces", KEPT)
_HALF: Final = re.compile(r"\..+[.-][0-9a-f]{12}")
"""Names of what is being written (store/files.py, run/dataset.py): a dot, the final name, and an attempt's own digits."""
_STATEMENT: Final = re.compile(
    r"steps/[^/]+/[^/]+/(done-[^/]+|receipts/.+)\.json|signals/[^/]+/[^/]+/[^/]+\.json|pieces/[^/]+/receipts/.+\.json"
)
"""Files that name others: records, receipts, pointers."""
_DAMAGED: Final = "\0"
"""Instead of what a damaged statement names: no file's key."""
_ROUND: Final = re.compile(r"steps/[^/]+/[^/]+/rounds/[^/]+\.json")
_FACTS: Final = re.compile(r"(steps/[^/]+/[^/]+)/(step|receipts/.+\.kills)\.json")
"""What is known of a step and its tasks (run/versions.py, run/quarantine.py): needed as long as anything of it is."""


@dataclass
class Garbage:
    """What can go.

    Attributes:
        files: key and size in bytes by kind of garbage, each in the order in which they may be removed: what names files
            goes before them, so that a removal that is killed leaves nothing that names what is gone.
        links: names beside ``steps/`` (or pointers) under which results were published that are among the files.
        kept, kept_bytes: what stays, of the folders that were looked at.
    """

    files: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    kept: int = 0
    kept_bytes: int = 0

    @property
    def count(self) -> int:
        """How many files can go."""
        return sum(map(len, self.files.values())) + len(self.links)

    @property
    def bytes(self) -> int:
        """How much they are."""
        return sum(size for found in self.files.values() for _, size in found)


def find_garbage(store: Store, *, newest: bool = False, damaged: bool = False) -> Garbage:
    """What can be removed so that a run redoes nothing.

    Args:
        newest: keep only what the records of the newest run name (and what was paid for): results of other settings and
            inputs go, with all that would only help to make others (pieces, exchanged rows, measurements). A run of the
            same recipe still redoes nothing. What was set aside as damaged is older than it, and goes.
        damaged: what was set aside as damaged goes, too.

    Raises RecipeError for ``newest`` where the newest run has not come to its end: what it will need is not known.
    """
    there = {key: size for folder in _FOLDERS for key, size in _listing(store, folder)}
    names = _Names(there)
    if newest:
        needed = _newest(store, names)
    else:
        needed = {key for key in there if _STATEMENT.fullmatch(key) and names.whole(store, key)}
    named = {file for key in needed for file in names.of(store, key)}
    if newest:
        # Receipts of what stays: with them, one more input does not redo the others.
        more = (key for key in there if _STATEMENT.fullmatch(key) and _says_nothing_else(names, store, key, named))
        needed |= set(more)
    folders = {key.rpartition("/")[0] for key in needed if key.startswith("steps/")}
    folders = {folder.removesuffix("/receipts") for folder in folders}
    found = Garbage()
    for key in sorted(there, key=lambda key: (not _STATEMENT.fullmatch(key), key)):
        facts = _FACTS.fullmatch(key)
        if (
            _is_kept(key, newest=newest)
            or key in needed
            or _ROUND.fullmatch(key)
            or _is_named(key, named)
            or (facts and facts[1] in folders)
        ):
            found.kept, found.kept_bytes = found.kept + 1, found.kept_bytes + there[key]
            continue
        found.files.setdefault(_kind(key, names, store, newest=newest), []).append((key, there[key]))
    _beside(store, found, named, damaged=damaged or newest)
    return found


def remove_garbage(store: Store, garbage: Garbage) -> None:
    """Remove what was found; whatever of it is gone already is no error."""
    for link in garbage.links:
        store.remove(link)
    for kind in sorted(garbage.files, key=lambda kind: kind == UNNAMED):
        for key, _ in garbage.files[kind]:
            store.remove(key)
    _prune(store)


class _Names:
    """What statements name, each read once, and whether that is there."""

    def __init__(self, there: dict[str, int]) -> None:
        self._there = there
        self._folders = {folder for key in there for folder in _parents(key)}
        self._of: dict[str, tuple[str, ...]] = {}

    def of(self, store: Store, statement: str) -> tuple[str, ...]:
        """Keys of the files and folders that a statement names."""
        if statement not in self._of:
            try:
                self._of[statement] = tuple(named_files(store.read_json(statement)))
            except DamagedError:
                self._of[statement] = (_DAMAGED,)
        return self._of[statement]

    def whole(self, store: Store, statement: str) -> bool:
        """Whether all of them are there; for a damaged statement nothing is, as for the engine."""
        return all(name in self._there or name in self._folders for name in self.of(store, statement))


def _parents(key: str) -> Iterator[str]:
    """The folders that a key lies in, the innermost first."""
    while key := key.rpartition("/")[0]:
        yield key


def _is_kept(key: str, *, newest: bool) -> bool:
    """Whether it is a whole file of ``kept/``, and those count."""
    return key.startswith(f"{KEPT}/") and not newest and not _HALF.fullmatch(key.rpartition("/")[2])


def _is_named(key: str, named: set[str]) -> bool:
    """Whether a file is named, or lies in a folder that is; what was half written there is not meant."""
    if key in named:
        return True
    return not _HALF.fullmatch(key.rpartition("/")[2]) and any(folder in named for folder in _parents(key))


def _newest(store: Store, names: _Names) -> set[str]:
    """Keys of the records of the newest run."""
    keys: dict[str, str] = store.read_json("steps.json") or {}
    manifest: dict[str, Any] = store.read_view("manifest.json") or {"steps": []}
    said = {step["id"]: step["fingerprint"] for step in manifest["steps"]}
    if not keys or keys.keys() != said.keys() or any(f"/{said[step][:16]}/" not in key for step, key in keys.items()):
        raise RecipeError(
            "the newest run has not come to its end, so what it needs is not known",
            place=str(store),
            cure="run its recipe again first, or leave --newest out",
        )
    if lost := [key for key in keys.values() if store.read_json(key) is None or not names.whole(store, key)]:
        raise RecipeError(
            "a file of the newest run is missing", place=f"{store}: {lost[0]}", cure="run its recipe again first"
        )
    return set(keys.values())


def _says_nothing_else(names: _Names, store: Store, statement: str, named: set[str]) -> bool:
    """Whether a receipt or pointer names files, and all of them are named by records: then it costs nothing to keep."""
    if "/done-" in statement:
        return False
    found = names.of(store, statement)
    return bool(found) and all(name in named for name in found)


def _kind(key: str, names: _Names, store: Store, *, newest: bool) -> str:
    if any(_HALF.fullmatch(part) for part in key.split("/")):
        return TEMPORARY
    if _STATEMENT.fullmatch(key) and not names.whole(store, key):
        return VOID
    return OLDER if newest else UNNAMED


def _beside(store: Store, found: Garbage, named: set[str], *, damaged: bool) -> None:
    """Temporary files and links in the run's folder itself, and what lies in ``damaged/``."""
    if damaged and (aside := sorted(_listing(store, ASIDE))):
        found.files[DAMAGED] = aside
    # Who waited and was killed has left a sign; who waits now will not miss it.
    half = [
        (key, size)
        for folder in ("lease", "events", "logs")
        for key, size in sorted(_listing(store, folder))
        if _HALF.fullmatch(name := key.rpartition("/")[2]) or name.startswith("waits-")
    ]
    found.links.extend(
        entry.key
        for entry in (store.list(LATEST) if store.remote else ())
        if not _is_named(latest(store, entry.key.removeprefix(f"{LATEST}/").removesuffix(".json")), named)
    )
    for entry in () if store.remote else sorted(store.root.iterdir()):
        if _HALF.fullmatch(entry.name) and (entry.is_symlink() or entry.is_file()):
            half.append((entry.name, entry.lstat().st_size))
        elif (
            entry.is_symlink()
            and (target := str(entry.readlink())).startswith("steps/")
            and not _is_named(target, named)
        ):
            found.links.append(entry.name)
    if half:
        found.files.setdefault(TEMPORARY, []).extend(half)


def _listing(store: Store, folder: str) -> Iterable[tuple[str, int]]:
    """Every file below a folder with its size; where the folder is a link, what lies elsewhere is not ours to remove."""
    if not store.remote and store.path(folder).is_symlink():
        return ()
    return ((entry.key, entry.size) for entry in store.list(folder))


def _prune(store: Store) -> None:
    """Remove folders that nothing is left in; on an object store there are none."""
    if store.remote:
        return
    for name in (*_FOLDERS, ASIDE):
        within = store.path(name)
        if within.is_symlink():
            continue
        folders = [path for path in (within, *within.rglob("*")) if path.is_dir() and not path.is_symlink()]
        for path in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            if not any(path.iterdir()):
                path.rmdir()
