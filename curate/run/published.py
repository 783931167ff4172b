"""Answers of rounds that were closed before, found by their keys in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from curate.llm.request import Answer
from curate.store.files import Store


class Published(Mapping[str, Answer]):
    """Answers of all rounds that a step ever closed, under whatever settings and inputs, by the requests' keys.

    Where they stand is in memory, 16 bytes each, and one round at a time. Of several answers to one request the last
    that the store lists is given.
    """

    def __init__(self, store: Store, step: str) -> None:
        self._store = store
        self._files: list[str] = []
        keys: list[np.ndarray] = []
        places: list[np.ndarray] = []
        for entry in store.list(f"steps/{step}"):
            if "/rounds/" not in entry.key:
                continue
            there = [
                (_short(answer["key"]), place)
                for place, answer in enumerate(store.read_json(entry.key) or ())
                if answer is not None
            ]
            keys.append(np.array([key for key, _ in there], np.uint64))
            number = len(self._files) << 32
            places.append(np.array([number | place for _, place in there], np.uint64))
            self._files.append(entry.key)
        key = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
        order = np.argsort(key, kind="stable")
        self._keys, self._places = key[order], (np.concatenate(places)[order] if places else key)
        self._read: tuple[int, list[dict[str, Any] | None]] = (-1, [])

    def __getitem__(self, key: str) -> Answer:
        short = np.uint64(_short(key))
        low, high = (int(np.searchsorted(self._keys, short, side)) for side in ("left", "right"))
        for at in range(high - 1, low - 1, -1):
            answer = self._at(int(self._places[at]))
            if answer is not None and answer["key"] == key:
                return Answer(**answer)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        for file in range(len(self._files)):
            yield from (answer["key"] for answer in self._round(file) if answer is not None)

    def __len__(self) -> int:
        return len(self._keys)

    def _at(self, place: int) -> dict[str, Any] | None:
        return self._round(place >> 32)[place & 0xFFFFFFFF]

    def _round(self, file: int) -> list[dict[str, Any] | None]:
        if self._read[0] != file:
            self._read = (file, self._store.read_json(self._files[file]) or [])
        return self._read[1]


def _short(key: str) -> int:
    return int(key[:16], 16)
