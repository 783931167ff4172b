"""Going on by itself when files of the store turn out to be damaged or gone: they are set aside, and made anew.

Every file is checked when it is read (store/sealed.py), so damage shows as DamagedError before anything is made of it.
The file is then moved to ``damaged/`` in the store, never deleted, and the plan is walked again: a receipt or record
that names a file which is not there does not count, so just what made it, and what is missing of what was built on it,
is done again. Results are pure functions of their inputs, so the bytes come out as they would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from curate.errors import DamagedError
from curate.fingerprint import content_digest, file_digest, tree_digest
from curate.store.files import Store
from curate.store.records import named_files
from curate.store.tables import open_table

MOST_DAMAGED: Final = 100
"""Files set aside in one run. A disk that damages more is no place for a store; the next run may go on."""
_MENDABLE: Final = ("steps/", "signals/", "pieces/")
"""What can be made anew. Not the journal: nothing else knows what was spent."""
CURE: Final = "run again: it is made anew, with what was built on it"

T = TypeVar("T")


def mended(store: Store, note: Callable[[str], None], walk: Callable[[], T]) -> T:
    """What ``walk`` returns, after damaged files that it found were set aside, one after the other.

    Args:
        note: is told each file in one line: which, what is wrong with it, and what is redone.
        walk: goes through the whole plan, and leaves out what is committed.

    Raises DamagedError for a file that can't be made anew, that is damaged again right after it was, and after more
    than MOST_DAMAGED.
    """
    seen: list[str] = []
    while True:
        try:
            return walk()
        except DamagedError as error:
            key = store.key_of(error.place)
            if key is None or not key.startswith(_MENDABLE) or seen.count(key) > 1:
                raise
            seen.append(key)
            if len(seen) > MOST_DAMAGED:
                raise DamagedError(
                    f"more than {MOST_DAMAGED} files were damaged",
                    place=str(store),
                    cure=f"check the disk, then run again: they lie under {store.name('damaged')}",
                ) from None
            note(set_aside(store, key, error.cause))


def set_aside(store: Store, key: str, cause: str) -> str:
    """Move a damaged file out of the way; the line that says so."""
    moved = store.set_aside(key)
    where = f"set aside as {moved}" if moved else "gone"
    return f"{key}: {cause}; {where}: {_maker(key)} is done again where it is missing"


def _maker(key: str) -> str:
    first, _, rest = key.partition("/")
    kinds = {"steps": f"step '{rest.partition('/')[0]}'", "signals": "what was measured", "pieces": "cutting its input"}
    return kinds[first]


def check_store(store: Store, note: Callable[[str], None]) -> int:
    """Read every receipt of a store and every file that one names, whole; set aside what is damaged or no more what
    was written. Returns the number of files that were set aside.

    Files that are missing are no concern here: a run finds that by itself.
    """
    found: dict[str, str] = {}
    there = {entry.key for folder in _MENDABLE for entry in store.list(folder.rstrip("/"))}
    for key in sorted(key for key in there if key.endswith(".json")):
        if any(part.startswith((".", "out-", "trained-")) for part in key.split("/")):
            continue
        try:
            value = store.read_json(key)
        except DamagedError as error:
            found[key] = error.cause
            continue
        for file, facts in _named(value):
            if file not in found and store.exists(file):
                why = wrong(store, file, facts)
                if why:
                    found[file] = why
    for key, why in found.items():
        note(set_aside(store, key, why))
    return len(found)


def _named(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files and folders of a receipt or record, each with what is said of it."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            for key in named_files(item):
                yield key, item if key in (item.get("file"), item.get("folder")) else {}
            for file in (*item.get("shards", ()), *item.get("files", ())):
                yield f"{item.get('folder') or item['indexed']}/{file['name']}", file


def wrong(store: Store, key: str, facts: dict[str, Any]) -> str:
    """What is wrong with a file or folder that is there, read whole; empty when nothing is.

    Args:
        facts: the receipt that names it: its sha256, xxh3 or digest.
    """
    try:
        if next(iter(store.list(key)), None) is not None:
            said = facts.get("digest") or facts.get("report", {}).get("digest")
            return "is not what was written" if said and tree_digest(store.local(key)) != said else ""
        if key.endswith(".arrow") and "sha256" not in facts:
            with open_table(store.data(key)) as table:
                table.check()
            return ""
        for name, digest in (("sha256", file_digest), ("xxh3", content_digest)):
            if name in facts:
                with store.reading(key) as path:
                    if digest(path) != facts[name]:
                        return "is not what was written"
    except DamagedError as error:
        return error.cause
    return ""


def check_written(store: Store, key: str, facts: dict[str, Any]) -> None:
    """Raise DamagedError unless a file or folder is there and is what its receipt says."""
    why = wrong(store, key, facts) if store.exists(key) else "is missing"
    if why:
        raise DamagedError(why, place=store.name(key), cure=CURE)


def check_file(place: str, path: Path, xxh3: str) -> None:
    """Raise DamagedError unless a file has this digest."""
    if content_digest(path) != xxh3:
        raise DamagedError("is not what was written", place=place, cure=CURE)
