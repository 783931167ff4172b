"""What a split says of itself: sums by side and source, the largest groups, the report. No stage, used by those that split a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import KEY, Context, Phase, Read, Span
from curate.stages.groups import shown
from curate.text.batch import Batch

SEEN: Final = "seen"
"""uint8: 1 for a document that an earlier split put on the first side, 2 for the other, 0 for one that it has not seen; of a
group all of these together."""
LARGEST: Final = 20
"""Groups that a report names."""
SOURCES: Final = 100
"""Sources that it names, those with the most bytes; all others are one."""
OTHERS: Final = "(others)"

NEAR: Final = 1
MADE: Final = 2
KIN: Final = 4
ORIGIN: Final = 8
"""Bits of ``by``: what a document hangs together by with others."""
_BITS: Final = {"near": NEAR, "made": MADE, "origin": ORIGIN, "kin": KIN}
_SOURCE: Final = 0
_GROUPS: Final = 1
_GROUP: Final = 2
_PAIRS: Final = 3
_LINKED: Final = {"near": "near copies", "made": "made of others", "origin": "origins of others", "kin": "kin"}
_SUMS: Final = ("groups", "documents", "amount", "bytes", "near", "made", "origin", "kin", "mixed")
_TOLD: Final = pa.schema(
    [("what", pa.uint8()), ("name", pa.string()), ("side", pa.uint8()), ("fits", pa.bool_())]
    + [(name, pa.int64()) for name in _SUMS]
)
"""A row of sums. ``_SOURCE``: of a source's documents of one side; ``_GROUPS``: of groups; ``_GROUP``: of one; ``_PAIRS``: of pairs
of near copies. ``mixed``: documents in groups that an earlier split had on both sides."""


@dataclass(frozen=True)
class SideSums:
    """The phases behind ``verdicts`` and ``sides`` that add up what a report says.

    Attributes:
        pairs: phase that has the pairs of near copies, for their number; None: there is none.
    """

    pairs: str | None

    def phases(self) -> tuple[Phase, Phase]:
        """Sums by source, and ``summary``."""
        counted = (Read(self._count_pairs, self.pairs),) if self.pairs is not None else ()
        told = ("what", "name", "side", "fits", "rank")
        return (
            Phase("shares", (Read(self._by_source, "verdicts"), *counted), self._added, told[:4]),
            Phase("summary", (Read(self._again, "shares"), Read(self._of_groups, "sides")), self._summary, told),
        )

    def _by_source(self, verdicts: Batch, ctx: Context) -> pa.Table:
        from curate.text.hashing import xxh64_rows

        by = verdicts.column("by").to_numpy()
        bits = {name: ((by & bit) > 0).astype(np.int64) for name, bit in _BITS.items()}
        rows = _told(
            _SOURCE,
            len(verdicts),
            {
                "name": verdicts.column("source"),
                "side": verdicts.column("number"),
                "bytes": verdicts.column("bytes"),
                "documents": np.ones(len(verdicts), np.int64),
                **bits,
            },
        )
        rows = _sums(rows)
        return rows.append_column(KEY, pa.array(xxh64_rows(rows.column("name").combine_chunks())))

    def _count_pairs(self, pairs: Batch, ctx: Context) -> pa.Table:
        rows = _told(_PAIRS, 1, {"documents": np.array([len(pairs)])})
        return rows.append_column(KEY, pa.array(np.zeros(1, np.uint64)))

    def _added(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        return _sums(rows.drop_columns([KEY]))

    def _again(self, rows: Batch, ctx: Context) -> pa.Table:
        return _ranked(pa.Table.from_batches([rows.rows]))

    def _of_groups(self, groups: Batch, ctx: Context) -> pa.Table:
        """The largest groups that are here, and sums over all."""
        rows = pa.Table.from_batches([groups.rows])
        mixed = np.where(rows.column(SEEN).to_numpy() == 3, rows.column("documents").to_numpy(), 0)
        columns = {
            **{name: rows.column(name) for name in ("side", "fits", "documents", "amount")},
            "groups": np.ones(rows.num_rows, np.int64),
            "mixed": mixed,
        }
        each = _told(_GROUP, rows.num_rows, {**columns, "name": shown(rows.column("group").to_numpy())})
        return _ranked(pa.concat_tables([_first(each, LARGEST), _sums(_told(_GROUPS, rows.num_rows, columns))]))

    def _summary(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """The largest groups and sources, and sums."""
        rows = rows.select(_TOLD.names)
        what = rows.column("what")
        groups = _first(rows.filter(pc.equal(what, _GROUP)), LARGEST)
        sources = rows.filter(pc.equal(what, _SOURCE))
        sizes = sources.group_by("name", use_threads=False).aggregate([("bytes", "sum")])
        named = _first(sizes, SOURCES, "bytes_sum").column("name")
        few = pc.is_in(sources.column("name"), value_set=named.combine_chunks())
        name = pc.if_else(few, sources.column("name"), OTHERS)
        sources = sources.set_column(sources.schema.get_field_index("name"), "name", name)
        rest = rows.filter(pc.is_in(what, value_set=pa.array([_GROUPS, _PAIRS], pa.uint8())))
        return pa.concat_tables([groups, _sums(sources), _sums(rest)])


def _told(what: int, count: int, columns: Mapping[str, Any]) -> pa.Table:
    """Rows of _TOLD; sums that are not given are 0."""
    found: dict[str, Any] = {"what": np.full(count, what, np.uint8), "name": pa.nulls(count, pa.string()), **columns}
    for field in _TOLD:
        found.setdefault(field.name, np.zeros(count, np.bool_ if field.name == "fits" else np.int64))
        value = found[field.name]
        found[field.name] = pa.array(value).cast(field.type) if isinstance(value, np.ndarray) else value
    return pa.table({name: found[name] for name in _TOLD.names}, _TOLD)


def _sums(rows: pa.Table) -> pa.Table:
    """Rows of _TOLD added up that are alike but for their sums; in an order of their own."""
    keys = ["what", "name", "side", "fits"]
    added = rows.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in _SUMS])
    return pa.table({f.name: added.column(f.name if f.name in keys else f"{f.name}_sum") for f in _TOLD}, _TOLD)


def _ranked(rows: pa.Table) -> pa.Table:
    """All of them in one place, the largest first."""
    rank = pc.negate(rows.column("amount"))
    return rows.append_column("rank", rank).append_column(KEY, pa.array(np.zeros(rows.num_rows, np.uint64)))


def _first(rows: pa.Table, most: int, by: str = "amount") -> pa.Table:
    order = pc.sort_indices(rows, sort_keys=[(by, "descending"), ("name", "ascending")])
    return rows.take(order[:most])


def split_report(rows: pa.Table | None, asked: float | None, names: tuple[str, str]) -> dict[str, Any]:
    """Plain values for the manifest from the rows of phase ``summary``.

    ``amount``: of all, in the unit that was weighed; ``share``: of it on the second side; ``asked``: what it should be, None where an earlier split's sides
    were kept. ``too_large``: groups that could not be on it. ``linked``: documents by what they hang together by with others
    (one may be in several), ``near_pairs``: pairs of near copies that were found. ``mixed``: documents in groups that an
    earlier split had on both sides. ``sources``: documents and bytes by side.
    """
    said = rows.to_pylist() if rows is not None else []
    groups = [row for row in said if row["what"] == _GROUPS]
    weight = sum(row["amount"] for row in groups)
    second = sum(row["amount"] for row in groups if row["side"])
    large = [row for row in groups if not row["fits"]]
    found: dict[str, Any] = {"asked": asked, "amount": weight, "share": round(second / weight, 6) if weight else None}
    for number, side in enumerate(names):
        here = [row for row in said if row["what"] == _SOURCE and row["side"] == number]
        sums = {name: sum(row[name] for row in here) for name in ("documents", "bytes")}
        found[side] = {"groups": sum(row["groups"] for row in groups if row["side"] == number), **sums}
    sources: dict[str, dict[str, list[int]]] = {}
    for row in sorted((r for r in said if r["what"] == _SOURCE), key=lambda r: (r["name"], r["side"])):
        sources.setdefault(row["name"], {})[names[row["side"]]] = [row["documents"], row["bytes"]]
    of = [row for row in said if row["what"] == _SOURCE]
    return {
        **found,
        "linked": {word: sum(row[name] for row in of) for name, word in _LINKED.items()},
        "near_pairs": sum(row["documents"] for row in said if row["what"] == _PAIRS),
        "too_large": {name: sum(row[name] for row in large) for name in ("groups", "documents", "amount")},
        "mixed": sum(row["mixed"] for row in groups),
        "largest": [
            {"group": row["name"], "documents": row["documents"], "amount": row["amount"], "side": names[row["side"]]}
            for row in said
            if row["what"] == _GROUP and row["documents"] > 1
        ],
        "sources": sources,
    }
