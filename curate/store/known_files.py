"""Digests of input files, by path and stamp: they only save reading a file again, and may be removed at any time.

A table with a row for each file, so that those of a million files are looked up in a second or two::

    root, name    where it was
    size, first, second    its stamp: another one, and the row says nothing
    digest        of its content
    checks        identity of the check that it passed, that its content is what its name says

Behind the Arrow file stands its XXH3-64 (8 bytes, little-endian): with a flipped bit in it nothing is known any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.store.files import Store
from curate.store.sealed import checksum

KEY: Final = "inputs.arrow"
"""Where the table is."""
Stamps = npt.NDArray[np.int64]
"""A row for each file: size, and two numbers that tell its version."""
_NAMES: Final = pa.dictionary(pa.int32(), pa.string())
_SCHEMA: Final = pa.schema(
    [
        ("root", _NAMES),
        ("name", pa.string()),
        ("size", pa.int64()),
        ("first", pa.int64()),
        ("second", pa.int64()),
        ("digest", pa.string()),
        ("checks", _NAMES),
    ]
)
_SPARE_ROWS: Final = 1_000_000
"""Rows that are kept of listings that were not asked for, of a recipe's other sources among them: some 100 MB."""
_SUM_BYTES: Final = 8
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1), unify_dictionaries=True)


@dataclass(frozen=True)
class Known:
    """What is known of some files, in their order.

    Attributes:
        digests: of their content; empty where it is not known.
        checked: whether they passed the check that was asked for.
        missing: the files of which a digest or the check is missing.
    """

    digests: list[str]
    checked: npt.NDArray[np.bool_]
    missing: list[int]


class KnownFiles:
    """The table of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = _SCHEMA.empty_table()
        raw = store.read(KEY) or b""
        rows = pa.py_buffer(raw).slice(0, max(0, len(raw) - _SUM_BYTES))
        if rows.size and raw[-_SUM_BYTES:] == _sum(rows):  # else nothing is lost but time
            with pa.ipc.open_file(rows) as reader:
                if reader.schema == _SCHEMA:
                    self._rows = reader.read_all()
        self._asked: dict[tuple[str, str], pa.Table] = {}
        self._some: set[tuple[str, str]] = set()
        self._changed = False

    def find(self, root: str, names: Sequence[str], stamps: Stamps, checks: str) -> Known:
        """What is known of files below a root, as they are now."""
        asked = [table for (where, _), table in self._asked.items() if where == root]
        here = pa.concat_tables([*asked, self._rows.filter(pc.equal(self._rows.column("root"), root))])
        passed = pc.equal(here.column("checks"), checks)
        digests = _digests(here.filter(passed), names, stamps)
        checked = np.fromiter(map(bool, digests), np.bool_, len(digests))
        missing = np.flatnonzero(~checked).tolist()
        self._changed = self._changed or bool(missing)
        if missing and here.num_rows:
            other = _digests(here.filter(pc.invert(passed)), [names[n] for n in missing], stamps[missing])
            for number, digest in zip(missing, other, strict=True):
                digests[number] = digest
        return Known(digests, checked, missing)

    def keep(
        self,
        root: str,
        names: Sequence[str],
        stamps: Stamps,
        digests: Sequence[str],
        checks: str,
        *,
        some: bool = False,
    ) -> None:
        """From now on this is known of the files below a root, which passed this check; with ``some`` there may be others, of
        which what is known stays."""
        (self._some.add if some else self._some.discard)((root, checks))
        roots, checked = (
            pa.DictionaryArray.from_arrays(np.zeros(len(names), np.int32), pa.array([value], pa.string()))
            for value in (root, checks)
        )
        columns = [roots, pa.array(names, pa.string()), *(pa.array(stamps[:, n]) for n in range(3))]
        rows = pa.table([*columns, pa.array(digests, pa.string()), checked], schema=_SCHEMA)
        # A plan is walked again when something turns out to be damaged: what is said of a file last counts.
        if (before := self._asked.get((root, checks))) is not None:
            said = pc.is_in(before.column("name"), value_set=rows.column("name").combine_chunks())
            rows = pa.concat_tables([rows, before.filter(pc.invert(said))])
        self._asked[root, checks] = rows

    def save(self) -> None:
        """Write what was learnt, if anything was."""
        if not self._changed:
            return
        old = self._rows
        for (root, checks), rows in self._asked.items():
            same = pc.and_(pc.equal(old.column("root"), root), pc.equal(old.column("checks"), checks))
            if (root, checks) in self._some:
                same = pc.and_(same, pc.is_in(old.column("name"), value_set=rows.column("name").combine_chunks()))
            old = old.filter(pc.invert(same))
        rows = pa.concat_tables([*self._asked.values(), old.slice(0, _SPARE_ROWS)])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, _SCHEMA, options=_OPTIONS) as writer:
            writer.write_table(rows.combine_chunks().unify_dictionaries())
        data = sink.getvalue()
        self._store.replace(KEY, data.to_pybytes() + _sum(data))
        self._changed = False


def _sum(data: pa.Buffer) -> bytes:
    return checksum(data).to_bytes(_SUM_BYTES, "little")


def _digests(rows: pa.Table, names: Sequence[str], stamps: Stamps) -> list[str]:
    """Digests of files by name, where the stamp is the same; else empty."""
    if not rows.num_rows:
        return [""] * len(names)
    place = pc.index_in(pa.array(names, pa.string()), rows.column("name").combine_chunks())
    same = place.is_valid().to_numpy(zero_copy_only=False)
    at = place.fill_null(0).to_numpy(zero_copy_only=False)
    for number, column in enumerate(("size", "first", "second")):
        same &= rows.column(column).to_numpy()[at] == stamps[:, number]
    found = rows.column("digest").combine_chunks().take(pa.array(at))
    return list(pc.if_else(pa.array(same), found, "").to_pylist())
