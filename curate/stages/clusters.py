"""Connected components of the graph of like documents, for parity with engines that drop all but one of each. No stage.

A document goes here because a chain of likenesses leads to the one that is kept, however unlike the two are. So it is told how
pure clusters are: of some pairs of each, the share that is like each other.

Components are found by contraction (Lacki, Mirrokni and Wlodarczyk, "Connected components at scale via local contractions",
2018): every label takes the name of that one among itself and its neighbours which comes first in a random order, edges
follow, and what has no edge left is a component. Labels get fewer by a factor each time, for chains as for stars (31 rounds for
20,000 in a row). One contraction is two rounds: in the first a label chooses and tells its neighbours, in the second edges
are renamed at their other end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import AGAIN, AT, KEY, PART, ROW, VERDICTS, Context, Phase, Read, Rounds, Span
from curate.stages.edges import EARLIER, LATER, addresses, parts_and_rows
from curate.stages.keep_order import KeepsFirst, details
from curate.stages.sorted_rows import changes, firsts
from curate.stages.verified import PAIRS, Verifier
from curate.text.batch import Batch

U64 = npt.NDArray[np.uint64]

SAMPLE: Final = 16
"""Documents of a cluster of which all pairs are looked at: those with the lowest hashes of their ids."""
GIANTS: Final = 20
"""Clusters that the report names: the largest."""
_LARGE: Final = 1 << 19
"""Bytes of a document's text from which it is in no sample: a sample is in memory at once."""
_SHINGLE: Final = 8
"""About how many bytes of text have one."""
_EDGE: Final = 0
_CHOICE: Final = 1
_HALF: Final = 2
_MEMBER: Final = 3
_LINKS: Final = pa.schema([("label", pa.uint64()), ("kind", pa.uint8()), ("other", pa.uint64()), ("step", pa.uint32())])
"""``_EDGE``: two labels, from both sides; ``_MEMBER``: a label, and a document that has it; ``_CHOICE``: a label, and what it is
called from now on; ``_HALF``: a label, and what a neighbour of it is called from now on."""
_ORDER: Final = ("label", "kind", "other")
_ABOUT: Final = pa.schema([("cluster", pa.uint64()), ("drops", pa.bool_()), ("sampled", pa.bool_())])
"""What a pair of a cluster is for: a verdict about its later document, the cluster's purity, or both."""
_SIZES: Final = ("clusters", "documents", "pairs", "alike", "unlike_kept")
_SUMS: Final = pa.schema([*((name, pa.int64()) for name in _SIZES), ("kept", pa.binary(16))])
"""Of one cluster, with the id of the document that is kept, or of many, with none: clusters, documents, pairs of the samples,
those of them that are alike, and documents that are not like the one that is kept."""


@dataclass(frozen=True)
class Clusters:
    """The last phases of a stage that finds edges, where it drops all but the first of each component.

    Attributes:
        stage: says who comes first.
        verifier: compares documents; ``least`` says from what similarity two are alike.
        edges: name of the phase whose rows are EDGES.
        reason: of the verdicts. They name the first document of the cluster, and how similar that really is.
        few: links that are joined at once, see Rounds.
    """

    stage: KeepsFirst
    verifier: Verifier
    edges: str
    reason: str
    few: int = Rounds.few

    def phases(self) -> tuple[Phase, ...]:
        """Components, their members in keep order, some pairs of them compared, a summary, verdicts."""
        compare = replace(self.verifier, least=-1.0, about=_ABOUT)
        members = ("cluster", *self.stage.rank_names)
        rounds = Rounds(self._rest, self.few)
        return (
            Phase("links", (Read(self._links, self.edges),), self._distinct, _ORDER),
            Phase("components", (Read(self._by_label, "links"),), self._contract, _ORDER, rounds=rounds),
            Phase("labels", (Read(self._labels, "components"),), self._as_they_are, (PART, ROW)),
            Phase("members", (Read(self._members, at="labels"),), self._pairs, members),
            *compare.phases("members", prefix="cluster "),
            Phase("clusters", (Read(self._by_cluster, "cluster verify"),), self._sums, ("cluster", "last", LATER)),
            Phase("summary", (Read(self._together, "clusters"),), self._largest, ("rank_documents", "kept")),
            Phase("verdicts", (Read(self._by_later, "cluster verify"),), self._verdicts, (LATER,)),
        )

    # -- components -----------------------------------------------------------------------------------------

    def _links(self, edges: Batch, ctx: Context) -> pa.Table:
        """Every document is a label of its own at first."""
        one, two = edges.column(EARLIER).to_numpy(), edges.column(LATER).to_numpy()
        ends = np.concatenate([one, two])
        return _keyed(_links([(_EDGE, ends, np.concatenate([two, one])), (_MEMBER, ends, ends)], 0))

    def _distinct(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        return firsts(rows.drop_columns([KEY]), *_ORDER)

    def _by_label(self, rows: Batch, ctx: Context) -> pa.Table:
        return _keyed(pa.Table.from_batches([rows.rows]))

    def _contract(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Half of a contraction: see the module."""
        label, kind, other = (rows.column(name).to_numpy() for name in _ORDER)
        step = int(rows.column("step")[0].as_py())
        begins = np.flatnonzero(changes(rows, "label"))
        group = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(label))))
        edge, half, member = (kind == k for k in (_EDGE, _HALF, _MEMBER))
        if step % 2:
            named = np.zeros(len(begins), np.uint64)
            named[group[kind == _CHOICE]] = other[kind == _CHOICE]
            mine = named[group]
            kept = half & (mine != other)
            left = [(_EDGE, mine[kept], other[kept]), (_MEMBER, label[member], other[member])]
            return _again(_links(left, step + 1))
        edge &= changes(rows, *_ORDER)  # each once
        chosen = _first_neighbour(label[begins], group[edge], other[edge], step)
        busy = np.zeros(len(begins), np.bool_)
        busy[group[edge]] = True
        moves = member & busy[group]
        left = [
            (_CHOICE, label[begins][busy], chosen[busy]),
            (_HALF, other[edge], chosen[group[edge]]),
            (_MEMBER, chosen[group[moves]], other[moves]),
        ]
        ends = member & ~busy[group]
        done = _links([(_MEMBER, label[ends], other[ends])], 0)
        done = done.append_column(AGAIN, pa.repeat(pa.scalar(False), done.num_rows))
        return pa.concat_tables([_again(_links(left, step + 1)), done])

    def _rest(self, rows: pa.Table, ctx: Context) -> pa.Table:
        """All at once. Whatever two names a row has are in one component; a component's label is one of its documents."""
        from curate.text.components import joined

        names, at = np.unique(
            np.concatenate([rows.column(n).to_numpy() for n in ("label", "other")]), return_inverse=True
        )
        at = at.reshape(2, -1)
        roots = joined(len(names), at[0], at[1])
        member = rows.column("kind").to_numpy() == _MEMBER
        return _links([(_MEMBER, names[roots[at[1][member]]], names[at[1][member]])], 0)

    def _labels(self, rows: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        other = rows.column("other").to_numpy()
        return pa.table({KEY: spread(other), **parts_and_rows(other), "cluster": rows.column("label")})

    def _as_they_are(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        return rows.drop_columns([KEY])

    # -- who is compared --------------------------------------------------------------------------------------

    def _members(self, docs: Batch, named: pa.Table, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        at = named.column(AT).combine_chunks()
        columns = {**self.stage.ranks(docs), "bytes": pc.fill_null(pc.binary_length(docs.text), 0).cast(pa.int64())}
        return pa.table(
            {
                KEY: spread(named.column("cluster").to_numpy()),
                "cluster": named.column("cluster"),
                PART: named.column(PART),
                ROW: named.column(ROW),
                **{name: column.take(at) for name, column in columns.items()},
            }
        )

    def _pairs(self, rows: pa.Table, span: Span, ctx: Context) -> Iterator[pa.Table]:
        """The first of each cluster with all others, and all pairs of its sample."""
        from curate.text.hashing import keyed_hash
        from curate.text.pairs import candidates

        cluster, place = rows.column("cluster").to_numpy(), addresses(rows)
        size = rows.column("bytes").to_numpy()
        first = changes(rows, "cluster")
        sampled = _sampled(np.cumsum(first), keyed_hash(rows.column("id").combine_chunks(), 0), size < _LARGE)
        band, shingles = np.zeros(len(cluster), np.uint8), size // _SHINGLE

        def told(i: Any, j: Any, block: U64, *, drops: bool) -> pa.Table:
            known = {"cluster": cluster[j], "drops": np.full(len(j), drops), "sampled": sampled[i] & sampled[j]}
            ends = {EARLIER: place[i], LATER: place[j], "block": block}
            return pa.table({**ends, **known}, pa.schema([*PAIRS, *_ABOUT]))

        for i, j, block in candidates(cluster, band, shingles, 1):
            yield told(i, j, block, drops=True)
        some = np.flatnonzero(sampled)
        for i, j, block in candidates(cluster[some], band[some] + np.uint8(1), shingles[some], SAMPLE):
            new = ~first[some[i]]
            yield told(some[i][new], some[j][new], block[new], drops=False)

    # -- what is told ---------------------------------------------------------------------------------------------

    def _by_cluster(self, pairs: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        return pa.table(
            {
                KEY: spread(pairs.column("cluster").to_numpy()),
                "last": pc.invert(pairs.column("drops")).cast(pa.uint8()),
                "alike": pc.greater_equal(pairs.column("similarity"), self.verifier.least),
                **{name: pairs.column(name) for name in ("cluster", LATER, "drops", "sampled", "kept")},
            }
        )

    def _sums(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Of the largest clusters, and of all others together."""
        begins = np.flatnonzero(changes(rows, "cluster"))
        drops, sampled, alike = (
            rows.column(name).to_numpy().astype(np.int64) for name in ("drops", "sampled", "alike")
        )
        each = {
            "clusters": np.ones(len(begins), np.int64),
            "documents": 1 + np.add.reduceat(drops, begins),
            "pairs": np.add.reduceat(sampled, begins),
            "alike": np.add.reduceat(sampled * alike, begins),
            "unlike_kept": np.add.reduceat(drops * (1 - alike), begins),
        }
        # The rows that drop come first, and all of them name the one that is kept.
        return _giants(pa.table({**each, "kept": rows.column("kept").take(pa.array(begins))}, _SUMS))

    def _together(self, rows: Batch, ctx: Context) -> pa.Table:
        table = pa.Table.from_batches([rows.rows])
        table = table.append_column("rank_documents", pc.negate(table.column("documents")))
        return table.append_column(KEY, pa.array(np.zeros(len(rows), np.uint64)))

    def _largest(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        return _giants(rows.select(_SUMS.names))

    def _by_later(self, pairs: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        goes = pairs.rows.filter(pairs.column("drops"))
        key = spread(goes.column(LATER).to_numpy())
        return pa.table({KEY: key, **{name: goes.column(name) for name in (LATER, "similarity", "kept")}})

    def _verdicts(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        said = details(rows.column("kept"), rows.column("similarity").to_numpy())
        reason = pa.repeat(pa.scalar(self.reason), rows.num_rows)
        return pa.table({**parts_and_rows(rows.column(LATER).to_numpy()), "reason": reason, "detail": said}, VERDICTS)


def clusters_report(rows: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Plain values for the manifest from the rows of phase ``summary``.

    ``purity``: of the pairs of documents that were looked at in each cluster (all of up to SAMPLE documents), the share
    that are alike; ``unlike_kept``: documents that went and are not like the one that was kept in their place.
    """
    if "summary" not in rows:
        return {"clusters": 0, "documents": 0, "purity": None, "unlike_kept": 0, "largest": []}
    table = rows["summary"]
    total = {name: pc.sum(table.column(name)).as_py() for name in _SIZES}
    largest = [
        {
            "kept": row["kept"].hex(),
            "documents": row["documents"],
            "purity": _share(row),
            "unlike_kept": row["unlike_kept"],
        }
        for row in table.filter(table.column("kept").is_valid()).to_pylist()
    ]
    sums = {name: total[name] for name in ("clusters", "documents", "unlike_kept")}
    return {**sums, "purity": _share(total), "largest": largest}


def _share(row: Mapping[str, Any]) -> float | None:
    return round(row["alike"] / row["pairs"], 4) if row["pairs"] else None


def _links(rows: Sequence[tuple[int, U64, U64]], step: int) -> pa.Table:
    """Rows of _LINKS from (kind, label, other)."""
    kind = np.concatenate([np.full(len(label), k, np.uint8) for k, label, _ in rows])
    label, other = (np.concatenate([row[i] for row in rows]) for i in (1, 2))
    return pa.table({"label": label, "kind": kind, "other": other, "step": np.full(len(kind), step, np.uint32)}, _LINKS)


def _again(rows: pa.Table) -> pa.Table:
    return rows.append_column(AGAIN, pa.repeat(pa.scalar(True), rows.num_rows))


def _keyed(rows: pa.Table) -> pa.Table:
    from curate.text.pairs import spread

    return rows.append_column(KEY, pa.array(spread(rows.column("label").to_numpy())))


def _first_neighbour(labels: U64, group: npt.NDArray[np.int64], other: U64, step: int) -> U64:
    """Of each label and its neighbours the one that comes first in an order that is another one in each step."""
    from curate.text.pairs import spread

    names = np.concatenate([labels, other])
    groups = np.concatenate([np.arange(len(labels)), group])
    order = np.lexsort((spread(names, step), groups))
    begins = np.searchsorted(groups[order], np.arange(len(labels)))
    return names[order[begins]]


def _sampled(group: npt.NDArray[np.int64], chance: U64, may: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """SAMPLE rows of each group with the lowest ``chance`` among those that may be chosen."""
    order = np.lexsort((chance, ~may, group))
    place = np.empty(len(group), np.int64)
    begins = np.searchsorted(group[order], group[order])
    place[order] = np.arange(len(group)) - begins
    return may & (place < SAMPLE)


def _giants(rows: pa.Table) -> pa.Table:
    """The GIANTS largest clusters, and one row of sums over all others; ``rows`` may have several such."""
    rank = rows.append_column("single", rows.column("kept").is_valid().cast(pa.int8()))
    order = pc.sort_indices(
        rank, sort_keys=[("single", "descending"), ("documents", "descending"), ("kept", "ascending")]
    )
    rows = rows.take(order)
    some = min(GIANTS, rows.num_rows - rows.column("kept").null_count)
    others = {name: pc.sum(rows.column(name).slice(some)).as_py() or 0 for name in _SIZES}
    return pa.concat_tables([rows.slice(0, some), pa.Table.from_pylist([{**others, "kept": None}], _SUMS)])
