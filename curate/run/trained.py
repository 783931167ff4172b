"""What a stage is given beside its rows: its assets, and what earlier steps of the run made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curate import assets
from curate.store.files import Store
from curate.store.near import near, near_made


@dataclass(frozen=True)
class Assets(Mapping[str, Path]):
    """Files and folders by the setting that names them.

    What lies in a store that is no folder comes to a machine when a stage there asks for it, so it goes to workers as
    a key, never as a path. What curate brings along goes to them by its name: it may be installed elsewhere there.

    Attributes:
        files: those that the recipe names.
        store, folders: keys of folders that earlier steps made.
        digests: of the files' content, where they are small enough to be copied to a machine (see store/near.py).
    """

    files: Mapping[str, Path]
    store: Store
    folders: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, setting: str) -> Path:
        if setting in self.folders:
            key = self.folders[setting]
            return near_made(self.store.local(key), f"{self.store}/{key}")
        path = self.files[setting]
        return near(path, self.digests[setting]) if setting in self.digests else path

    def __iter__(self) -> Iterator[str]:
        return iter({**self.files, **self.folders})

    def __len__(self) -> int:
        return len({**self.files, **self.folders})

    def __reduce__(self) -> tuple[object, ...]:
        files = {setting: portable(path) for setting, path in self.files.items()}
        return (_there, (files, self.store, dict(self.folders), dict(self.digests)))


def portable(path: Path) -> tuple[bool, str]:
    """A path for another machine: whether it is one of curate's own assets, and then its name among them."""
    own = path.is_relative_to(assets.ROOT)
    return own, str(path.relative_to(assets.ROOT) if own else path)


def found_here(path: tuple[bool, str]) -> Path:
    """The path on this machine of what ``portable`` said on another."""
    own, name = path
    return assets.ROOT / name if own else Path(name)


def _there(
    files: Mapping[str, tuple[bool, str]], store: Store, folders: Mapping[str, str], digests: Mapping[str, str]
) -> Assets:
    return Assets({setting: found_here(path) for setting, path in files.items()}, store, folders, digests)
