"""What a stage is given beside its rows: its assets, and what earlier steps of the run made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from curate.store.files import Store


@dataclass(frozen=True)
class Assets(Mapping[str, Path]):
    """Files and folders by the setting that names them.

    What lies in a store that is no folder comes to a machine when a stage there asks for it, so it goes to workers as
    a key, never as a path.

    Attributes:
        files: those that the recipe names.
        store, folders: keys of folders that earlier steps made.
    """

    files: Mapping[str, Path]
    store: Store
    folders: Mapping[str, str]

    def __getitem__(self, setting: str) -> Path:
        if setting in self.folders:
            return self.store.local(self.folders[setting])
        return self.files[setting]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.files, **self.folders})

    def __len__(self) -> int:
        return len({**self.files, **self.folders})
