"""From groups of documents to sides, and what a report says of them. No stage, used by those that split a corpus."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import KEY, PART, ROW, WEIGHT, Context, Phase, Read, Span
from curate.stages.groups import Heads, shown
from curate.stages.keep_order import descending
from curate.stages.side_sums import NEAR, ORIGIN, SEEN, SideSums
from curate.stages.sorted_rows import changes
from curate.text.batch import Batch

U64 = npt.NDArray[np.uint64]

_TOP: Final = 0
_COPY: Final = 1
_MADE: Final = 2
_MEMBER: Final = 3
_KNOWN: Final = pa.schema(
    [
        (KEY, pa.uint64()),
        ("name", pa.uint64()),
        ("kind", pa.uint8()),
        ("rank", pa.uint64()),
        ("other", pa.uint64()),
        ("similarity", pa.float64()),
        (PART, pa.uint32()),
        (ROW, pa.uint32()),
        ("amount", pa.int64()),
        ("bytes", pa.int64()),
        ("source", pa.string()),
        ("said", pa.string()),
        ("by", pa.uint8()),
        (SEEN, pa.uint8()),
    ]
)
"""What is known of a document, by its name: ``_TOP`` its group's name (``other``); ``_COPY`` a near copy (``other``) and how
similar that is, the most similar first; ``_MADE`` what was made of it (``other``); ``_MEMBER`` itself."""


def known(kind: int, columns: Mapping[str, Any]) -> pa.Table:
    """Rows of _KNOWN, from the columns that this kind of row has; the others are null, addresses 0."""
    from curate.text.pairs import spread

    names = columns["name"]
    found = {KEY: spread(names), "kind": np.full(len(names), kind, np.uint8), **columns}
    zeros = np.zeros(len(names), np.int64)
    for field in _KNOWN:
        empty = zeros if field.name in (PART, ROW, "rank", "other") else pa.nulls(len(names), field.type)
        value = found.get(field.name, empty)
        found[field.name] = pa.array(value).cast(field.type) if isinstance(value, np.ndarray) else value
    return pa.table({name: found[name] for name in _KNOWN.names}, _KNOWN)


def member_rows(columns: Mapping[str, Any]) -> pa.Table:
    """Documents: ``name`` uint64, PART, ROW, ``amount``, ``bytes``, ``source``, ``said`` and ``by`` (what links them), SEEN."""
    return known(_MEMBER, columns)


def copy_rows(name: U64, other: U64, similarity: npt.NDArray[np.float64]) -> pa.Table:
    """Near copies of documents."""
    rank = descending(pa.array(similarity))
    return known(_COPY, {"name": name, "rank": rank, "other": other, "similarity": similarity})


def made_rows(name: U64, other: U64) -> pa.Table:
    """What was made of documents."""
    return known(_MADE, {"name": name, "other": other})


def in_a_row(parts: Sequence[pa.StringArray]) -> pa.StringArray:
    """Strings row by row, those that are there joined by semicolons; null where none is.

    (Arrow's own join that skips nulls gives no rows at all where all are null: tried with pyarrow 26.)
    """
    begun = [pc.if_else(pc.is_valid(p), pc.binary_join_element_wise("; ", pc.fill_null(p, ""), ""), "") for p in parts]
    joined = pc.utf8_slice_codeunits(pc.binary_join_element_wise(*begun, ""), 2)
    return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)


@dataclass(frozen=True)
class Sides:
    """The phases from groups to sides.

    Attributes:
        share: of the second side.
        largest: share of that side that a group may be, to be on it.
        kept: whether documents are on sides already; then these are kept, and ``share`` is not used.
        names: of the sides.
    """

    share: float
    largest: float
    kept: bool
    names: tuple[str, str]

    def phases(self, members: Read, copies: tuple[Read, ...], pairs: str | None) -> tuple[Phase, ...]:
        """Members with their groups, groups, their sides, ``verdicts``, sums, ``summary``.

        Args:
            members: its map gives ``member_rows``.
            copies: their maps give ``copy_rows``.
            pairs: phase that has the pairs of near copies, for their number.
        """
        return (
            Phase(
                "members", (members, *copies, Read(self._tops, "names")), self._join, ("name", "kind", "rank", "other")
            ),
            Phase("groups", (Read(self._by_group, "members"),), self._weigh, ("group", "documents", "amount", SEEN)),
            Phase("sides", (Read(self._in_order, "groups"),), self._divide, ("group",)),
            Phase(
                "verdicts",
                (Read(self._of_group, "members"), Read(self._side_of_group, "sides")),
                self._say,
                ("group", "kind", PART, ROW),
                streamed=True,
            ),
            *SideSums(pairs).phases(),
        )

    # -- groups -----------------------------------------------------------------------------------------------

    def _by_group(self, members: Batch, ctx: Context) -> pa.Table:
        """Sums over the members that are here."""
        from curate.text.pairs import spread

        group, at = np.unique(members.column("group").to_numpy(), return_inverse=True)
        weight, seen = np.zeros(len(group), np.int64), np.zeros(len(group), np.uint8)
        np.add.at(weight, at, members.column("amount").to_numpy())
        np.bitwise_or.at(seen, at, members.column(SEEN).to_numpy())
        key = spread(group, ctx.key(ctx.step, "side"))
        documents = np.bincount(at, minlength=len(group)).astype(np.int64)
        return pa.table(
            {KEY: key, "group": group, WEIGHT: weight, "amount": weight, "documents": documents, SEEN: seen}
        )

    def _weigh(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Each group with its sums, and whether it is small enough for the second side."""
        begins = np.flatnonzero(changes(rows, "group"))
        weight, documents = (np.add.reduceat(rows.column(n).to_numpy(), begins) for n in ("amount", "documents"))
        seen = np.bitwise_or.reduceat(rows.column(SEEN).to_numpy(), begins)
        most = math.floor(Fraction(repr(self.share)) * Fraction(repr(self.largest)) * span.total_weight)
        return pa.table(
            {
                "group": rows.column("group").take(pa.array(begins)),
                "amount": weight,
                "documents": documents,
                SEEN: seen,
                "fits": weight <= most,
                "total": np.full(len(begins), span.total_weight, np.int64),
            }
        )

    def _in_order(self, groups: Batch, ctx: Context) -> pa.Table:
        """By the same key; a group that is too large takes no room."""
        from curate.text.pairs import spread

        weight = np.where(groups.column("fits").to_numpy(zero_copy_only=False), groups.column("amount").to_numpy(), 0)
        key = spread(groups.column("group").to_numpy(), ctx.key(ctx.step, "side"))
        return pa.Table.from_batches([groups.rows]).append_column(KEY, pa.array(key)).append_column(WEIGHT, [weight])

    def _divide(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """The first groups are for the second side while more than half of each has room."""
        weight, seen = rows.column(WEIGHT).to_numpy(), rows.column(SEEN).to_numpy()
        fits = rows.column("fits").to_numpy(zero_copy_only=False).astype(bool)
        before = span.start_weight + np.cumsum(weight) - weight
        room = math.floor(2 * Fraction(repr(self.share)) * int(rows.column("total")[0].as_py()))
        second = (seen == 2) if self.kept else fits & (2 * before + weight <= room)
        found = rows.select(["group", "amount", "documents", SEEN, "fits"])
        return found.append_column("side", pa.array(second.astype(np.uint8)))

    # -- documents ----------------------------------------------------------------------------------------------

    def _of_group(self, members: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        rows = pa.Table.from_batches([members.rows]).select([PART, ROW, "group", "bytes", "source", "links", "by"])
        rows = rows.append_column("kind", pa.array(np.ones(len(members), np.uint8)))
        rows = rows.append_column("said", pa.array(np.zeros(len(members), np.uint64)))
        return rows.append_column(KEY, pa.array(spread(members.column("group").to_numpy())))

    def _say(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """Verdicts of members, behind what is known of their group; one that is alone is linked with none."""
        heads = Heads()
        for rows in tables:
            group = rows.column("group").to_numpy()
            said = heads.told(group, rows.column("said").to_numpy())
            member = rows.column("kind").to_numpy() == 1
            said, here = said[member], rows.filter(pa.array(member))
            side, alone = (said & np.uint64(1)).astype(np.uint8), said & np.uint64(2) > 0
            nothing = pa.nulls(here.num_rows, pa.string())
            yield pa.table(
                {
                    **{name: here.column(name) for name in (PART, ROW)},
                    **dict.fromkeys(("reason", "detail"), nothing),
                    "side": pa.array(self.names, pa.string()).take(pa.array(side)),
                    "group": shown(group[member]),
                    "links": pc.if_else(pa.array(alone), nothing, here.column("links")),
                    "source": here.column("source"),
                    "bytes": here.column("bytes"),
                    "number": side,
                    "by": np.where(alone, 0, here.column("by").to_numpy()).astype(np.uint8),
                }
            )

    def _tops(self, names: Batch, ctx: Context) -> pa.Table:
        """Names of groups, at their nodes; of those that are no documents no member comes."""
        return known(_TOP, {"name": names.column("other").to_numpy(), "other": names.column("label").to_numpy()})

    def _join(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Documents, each with its group, and all that links it."""
        name, kind = (rows.column(n).to_numpy() for n in ("name", "kind"))
        begins = changes(rows, "name")
        node = np.cumsum(begins) - 1
        first = np.flatnonzero(begins)
        group = np.where(kind[first] == _TOP, rows.column("other").to_numpy()[first], name[first])
        member = np.flatnonzero(kind == _MEMBER)
        found = rows.take(pa.array(member))
        firsts = np.flatnonzero(changes(rows, "name", "kind"))

        def told(of: int, words: str) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
            """What the first row of a kind says of each member, and its number; -1 where there is none."""
            best = firsts[kind[firsts] == of]
            place = np.full(len(first), -1, np.int64)
            place[node[best]] = best
            at = place[node[member]]
            others = rows.column("other").take(pa.array(np.maximum(at, 0))).to_numpy()
            said = pc.binary_join_element_wise(pa.scalar(words), shown(others), " ")
            return pc.if_else(pa.array(at >= 0), said, pa.scalar(None, pa.string())), at

        near, at = told(_COPY, "near copy of")
        alike = rows.column("similarity").take(pa.array(np.maximum(at, 0)))
        # Two decimals, cut: 0.4999 must not read as 0.50.
        alike = pc.cast(pc.divide(pc.floor(pc.multiply(pc.fill_null(alike, 0.0), 100.0)), 100.0), pa.string())
        near = pc.binary_join_element_wise(near, alike.combine_chunks(), " ")
        seed, made = told(_MADE, "origin of")
        by = found.column("by").to_numpy() | np.where(at >= 0, NEAR, 0).astype(np.uint8)
        by |= np.where(made >= 0, ORIGIN, 0).astype(np.uint8)
        return pa.table(
            {
                **{n: found.column(n) for n in (PART, ROW, "amount", "bytes", "source", SEEN)},
                "group": group[node[member]],
                "links": in_a_row([near, seed, found.column("said").combine_chunks()]),
                "by": by,
            }
        )

    def _side_of_group(self, groups: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        group, count = groups.column("group").to_numpy(), len(groups)
        alone = groups.column("documents").to_numpy() == 1
        said = groups.column("side").to_numpy().astype(np.uint64) | np.where(alone, np.uint64(2), np.uint64(0))
        zeros = pa.array(np.zeros(count, np.uint32))
        return pa.table(
            {
                PART: zeros,
                ROW: zeros,
                "group": group,
                "bytes": pa.array(np.zeros(count, np.int64)),
                "source": pa.nulls(count, pa.string()),
                "links": pa.nulls(count, pa.string()),
                "by": pa.array(np.zeros(count, np.uint8)),
                "kind": pa.array(np.zeros(count, np.uint8)),
                "said": said,
                KEY: spread(group),
            }
        )
