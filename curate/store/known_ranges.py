"""What input files are split into, by an identity of their content: to find the frames of a file, all of it may have to
be fetched. It only saves to look again, and may be removed at any time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from curate.errors import DamagedError
from curate.store.files import Store

KEY: Final = "inputs-ranges.json"
"""Where it lies."""
_MOST_FILES: Final = 100_000
"""Files that are kept, those that were asked for first: some 10 MB. Into the others one looks again."""

Ranges = Sequence[Sequence[Any]]
"""A few numbers for each range: whoever splits files knows which."""


class KnownRanges:
    """The file of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        try:
            self._known: dict[str, Ranges] = store.read_json(KEY) or {}
        except DamagedError:
            self._known = {}
        self._asked: dict[str, Ranges] = {}
        self._changed = False

    def find(self, key: str) -> Ranges | None:
        """What is known under a key."""
        return self._asked.get(key, self._known.get(key))

    def keep(self, key: str, ranges: Ranges) -> None:
        """From now on this is known."""
        self._asked[key] = ranges
        self._changed = self._changed or key not in self._known

    def save(self) -> None:
        """Write what was learnt, if anything was."""
        if self._changed:
            kept = list({**self._asked, **self._known}.items())[:_MOST_FILES]
            self._store.replace_json(KEY, {key: [list(one) for one in ranges] for key, ranges in kept})
            self._changed = False
