"""Connected components of the graph of like documents, for parity with engines that drop all but one of each. No stage.

A document goes here because a chain of likenesses leads to the one that is kept, however unlike the two are. So it is told how
pure clusters are: of some pairs of each, the share that is like each other.

Components are found by groups.py. A cluster may be of very many documents: its first one, a sample of it and its sums are
all that is held while it is gone through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import AT, KEY, PART, ROW, VERDICTS, Context, Phase, Read, Rounds, Span
from curate.stages.edges import EARLIER, LATER, addresses, parts_and_rows
from curate.stages.groups import Groups, edges
from curate.stages.keep_order import KeepsFirst, details
from curate.stages.sorted_rows import changes, with_heads
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
_ABOUT: Final = pa.schema([("cluster", pa.uint64()), ("drops", pa.bool_()), ("sampled", pa.bool_())])
"""What a pair of a cluster is for: a verdict about its later document, the cluster's purity, or both."""
_SIZES: Final = ("clusters", "documents", "pairs", "alike", "unlike_kept")
_SUMS: Final = pa.schema([*((name, pa.int64()) for name in _SIZES), ("kept", pa.binary(16))])
_NAMED_SUMS: Final = pa.schema([("cluster", pa.uint64()), *_SUMS])
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
        return (
            *Groups((Read(self._links, self.edges),), self.few).phases(),
            Phase("labels", (Read(self._labels, "names"),), self._each_once, (PART, ROW), streamed=True),
            Phase("members", (Read(self._members, at="labels"),), self._pairs, members, streamed=True),
            *compare.phases("members", prefix="cluster "),
            Phase(
                "clusters",
                (Read(self._by_cluster, "cluster verify"),),
                self._sums,
                ("cluster", "last", LATER),
                streamed=True,
            ),
            Phase("summary", (Read(self._together, "clusters"),), self._largest, ("rank_documents", "kept")),
            Phase("verdicts", (Read(self._by_later, "cluster verify"),), self._verdicts, (LATER,)),
        )

    # -- components -----------------------------------------------------------------------------------------

    def _links(self, rows: Batch, ctx: Context) -> pa.Table:
        return edges(rows.column(EARLIER).to_numpy(), rows.column(LATER).to_numpy())

    def _labels(self, rows: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        other = rows.column("other").to_numpy()
        return pa.table({KEY: spread(other), **parts_and_rows(other), "cluster": rows.column("label")})

    def _each_once(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """A document's name may have come several times."""
        for rows, known in with_heads(tables, lambda some: some.slice(0, 1)):
            first = changes(rows, KEY)
            first[:known] = False
            yield rows.filter(pa.array(first)).drop_columns([KEY])

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

    def _pairs(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """The first of each cluster with all others, and all pairs of its sample; see _Open for one that may go on."""
        last: _Open | None = None
        for given in tables:
            rows = given.select([KEY, "cluster", PART, ROW, "id", "bytes"]).combine_chunks()
            cluster = rows.column("cluster").to_numpy()
            if last is not None:
                end = int((cluster == last.cluster).sum())
                yield from last.more(rows.slice(0, end))
                if end == len(cluster):
                    continue
                yield from last.ended()
                rows, cluster = rows.slice(end), cluster[end:]
            begin = int(np.flatnonzero(cluster[1:] != cluster[:-1])[-1]) + 1 if cluster[0] != cluster[-1] else 0
            yield from _told(rows.slice(0, begin), _sample(rows.slice(0, begin)))
            last = _Open(rows.slice(begin, 1))
            yield from last.more(rows.slice(begin))
        if last is not None:
            yield from last.ended()

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

    def _sums(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """Of the largest clusters, and of all others together."""
        found, last = _SUMS.empty_table(), None
        for rows in tables:
            each = _each(rows, last)
            last = each.slice(each.num_rows - 1)
            found = _giants(pa.concat_tables([found, each.slice(0, each.num_rows - 1).select(_SUMS.names)]))
        if last is not None:
            yield _giants(pa.concat_tables([found, last.select(_SUMS.names)]))

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


class _Open:
    """A cluster that may go on: its first document is paired with each other one once it is known that this one is in no sample.

    Args:
        first: its first document, one row.
    """

    def __init__(self, first: pa.Table) -> None:
        self._first = first
        self._sample = first.slice(0, 0)
        # Where candidates have come to: the first document is in all blocks.
        self._last = np.array([0, first.column("bytes")[0].as_py() // _SHINGLE], np.int64)
        self.cluster: int = first.column("cluster")[0].as_py()

    def more(self, rows: pa.Table) -> Iterator[pa.Table]:
        """Some more of its documents, in keep order."""
        if not rows.num_rows:
            return
        some = pa.concat_tables([self._sample, rows])
        chosen, others = _sample(some), np.ones(some.num_rows, np.bool_)
        others[0] = not self._is_first(some)
        yield from self._paired(some.filter(pa.array(~chosen & others)))
        self._sample = some.take(pa.array(np.flatnonzero(chosen)))

    def ended(self) -> Iterator[pa.Table]:
        """The pairs of its sample."""
        inside = self._sample.num_rows > 0 and self._is_first(self._sample)
        rows = pa.concat_tables([self._first, self._sample.slice(int(inside))])
        sampled = np.ones(rows.num_rows, np.bool_)
        sampled[0] = inside
        yield from _told(rows, sampled, 1, self._last)

    def _is_first(self, rows: pa.Table) -> bool:
        return bool(addresses(rows)[0] == addresses(self._first)[0])

    def _paired(self, rows: pa.Table) -> Iterator[pa.Table]:
        rows = pa.concat_tables([self._first, rows])
        yield from _told(rows, np.zeros(rows.num_rows, np.bool_), 1, self._last)


def _told(
    rows: pa.Table, sampled: npt.NDArray[np.bool_], known: int = 0, last: npt.NDArray[np.int64] | None = None
) -> Iterator[pa.Table]:
    """Pairs of the first of each cluster with others, and of those that are sampled; ``known`` and ``last`` as candidates has them."""
    from curate.text.pairs import candidates

    cluster, place, first = rows.column("cluster").to_numpy(), addresses(rows), changes(rows, "cluster")
    band, shingles = np.zeros(len(cluster), np.uint8), rows.column("bytes").to_numpy() // _SHINGLE

    def pairs(i: Any, j: Any, block: U64, *, drops: bool) -> pa.Table:
        about = {"cluster": cluster[j], "drops": np.full(len(j), drops), "sampled": sampled[i] & sampled[j]}
        ends = {EARLIER: place[i], LATER: place[j], "block": block}
        return pa.table({**ends, **about}, pa.schema([*PAIRS, *_ABOUT]))

    for i, j, block in candidates(cluster, band, shingles, 1, known=known, last=last):
        yield pairs(i, j, block, drops=True)
    some = np.flatnonzero(sampled)
    for i, j, block in candidates(cluster[some], band[some] + np.uint8(1), shingles[some], SAMPLE):
        new = ~first[some[i]]
        yield pairs(some[i][new], some[j][new], block[new], drops=False)


def _each(rows: pa.Table, before: pa.Table | None) -> pa.Table:
    """The sums of each cluster, with its name; first those of the one that was the last one ``before``."""
    begins = np.flatnonzero(changes(rows, "cluster"))
    drops, sampled, alike = (rows.column(name).to_numpy().astype(np.int64) for name in ("drops", "sampled", "alike"))
    each = {
        "cluster": rows.column("cluster").to_numpy()[begins],
        "clusters": np.ones(len(begins), np.int64),
        "documents": 1 + np.add.reduceat(drops, begins),
        "pairs": np.add.reduceat(sampled, begins),
        "alike": np.add.reduceat(sampled * alike, begins),
        "unlike_kept": np.add.reduceat(drops * (1 - alike), begins),
    }
    # The rows that drop come first, and all of them name the one that is kept.
    found = pa.table({**each, "kept": rows.column("kept").take(pa.array(begins))}, _NAMED_SUMS)
    if before is None:
        return found
    if before.column("cluster")[0] != found.column("cluster")[0]:
        return pa.concat_tables([before, found])
    row, more = before.to_pylist()[0], found.slice(0, 1).to_pylist()[0]
    for name in ("documents", "pairs", "alike", "unlike_kept"):
        row[name] += more[name] - (name == "documents")
    return pa.concat_tables([pa.Table.from_pylist([row], _NAMED_SUMS), found.slice(1)])


def _sample(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """SAMPLE documents of each cluster."""
    from curate.text.hashing import keyed_hash

    small = rows.column("bytes").to_numpy() < _LARGE
    return _sampled(np.cumsum(changes(rows, "cluster")), keyed_hash(rows.column("id").combine_chunks(), 0), small)


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
