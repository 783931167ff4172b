"""Input files that are damaged, where a source is told to set them aside: each goes as a whole, however it is split.

A file is found to be damaged by whoever comes to the place first: a worker in the middle of it, or the driver that looks
for splits. It is then written down, by path and version, and the plan is walked again as if the file were not there: of
its other splits nothing is used, so neither their size nor the order of tasks bears on what is kept. A file that was
mended has another version, and is read.
"""

from __future__ import annotations

from typing import Final

from curate import schema
from curate.errors import DamagedError, DamagedInputError
from curate.run.dropped import dropped_records
from curate.stages.catalog import Files
from curate.stages.reading import DAMAGED_FILE
from curate.store.files import Store
from curate.store.tables import new_table

KEY: Final = "inputs-damaged.json"


class DamagedInputs:
    """What is known to be damaged, kept in the store.

    Attributes:
        left_out: names of the files that were left out since it was emptied last.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        try:
            known = store.read_json(KEY)
        except DamagedError:
            known = None  # they are found again
        self._known: dict[str, list[str]] = known or {}
        self._listed: list[Files] = []
        self.left_out: list[str] = []

    def sound(self, files: Files) -> Files:
        """Those of some files that are not known to be damaged."""
        # A plan is walked once for each file that is found: of a listing the newest is kept.
        self._listed = [f for f in self._listed if (f.root, f.names) != (files.root, files.names)] + [files]
        stays = [n for n in range(len(files)) if not self._is_known(files, n)] if self._known else range(len(files))
        if len(stays) == len(files):
            return files
        self.left_out += sorted(set(files.names) - {files.names[n] for n in stays})
        return files.chosen(stays)

    def _is_known(self, files: Files, number: int) -> bool:
        said = self._known.get(files.path(number))
        return said is not None and said[0] == files.stamps[number].tobytes().hex()

    def takes(self, error: DamagedInputError) -> bool:
        """Write down the file that an error names; False when it is none that was asked about, or is known already."""
        for files in self._listed:
            for number in range(len(files)):
                if files.path(number) == error.place and not self._is_known(files, number):
                    self._known[error.place] = [files.stamps[number].tobytes().hex(), error.cause]
                    self._store.replace_json(KEY, self._known)
                    return True
        return False


def dropped(store: Store, folder: str, step: str, names: list[str]) -> list[str]:
    """Keys of tables of dropped rows with one row for each file of a source that was left out."""
    if not names:
        return []
    key = store.fresh(folder, "dropped", ".arrow")
    with new_table(store, key, schema.DROPPED) as out:
        out.write(dropped_records(step, names, [DAMAGED_FILE] * len(names), [None] * len(names)))
    return [key]
