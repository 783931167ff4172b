"""Keeping one of documents that are alike: buckets, candidates, comparison, settling; and the index of all that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import InputError
from curate.schema import ID_TYPE
from curate.stages.base import KEY, OUTSIDE, PART, ROW, WEIGHT, Context, Phase, Read, Span
from curate.stages.edges import EARLIER, LATER, Settling, addresses
from curate.stages.indexed import AGE, Indexed, Left, unranked
from curate.stages.keep_order import LAST, KeepsFirst
from curate.stages.sorted_rows import whole_keys, with_heads
from curate.stages.strata import strata
from curate.stages.verified import PAIRS, Verifier, nodes
from curate.text.batch import Batch

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

_INDEXED: Final = "indexed"
_BUCKETS: Final = "buckets"
_KEPT: Final = "kept"
_PLACES: Final = "places"
NONE: Final = 0xFFFFFFFF
"""Number of documents that an index counts in a bucket and does not have, since they were dropped."""
_BUCKET: Final = pa.schema(
    [
        ("key", pa.uint64()),
        ("band", pa.uint8()),
        ("document", pa.uint32()),
        ("size", pa.uint32()),
        ("places", pa.uint16()),
    ]
)
"""A document in a bucket, in an index: ``document`` is its number there, ``places`` how many it stands for (see NONE)."""

_BUCKET_BYTES: Final = 80
"""Of a document's row in a bucket, without criteria."""
_KEY_BYTES: Final = 17
"""Of each bucket in a document's row before it has a number: key, band, and a byte of a sketch for each minimum."""


@dataclass(frozen=True)
class Bucketed:
    """The buckets of n documents.

    Attributes:
        at: int64[m], the document of each row.
        keys: uint64[m], its bucket, evenly spread.
        bands: uint8[m], which of a document's buckets that is.
        sizes: uint32[n], how large what is compared of each document is, in units of 8 bytes.
    """

    at: I64
    keys: U64
    bands: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.uint32]


class Paired(Indexed, KeepsFirst):
    """A Global that keeps one of documents that are alike.

    Documents that share a bucket are candidates, those whose similarity is verified are duplicates, and one goes in favour
    of one that stays. What an index has of a document: its buckets, what it is compared by, and its id.
    """

    reason: ClassVar[str]
    """Of its verdicts."""

    bound: int = Field(
        64,
        ge=2,
        le=4096,
        description="documents of a bucket that the others are compared with: the first in keep order",
    )

    def buckets(self) -> int:
        """In how many buckets a document is, about."""
        return 1

    def bucketed(self, docs: Batch, ctx: Context) -> Bucketed:
        """The buckets of some documents."""
        raise NotImplementedError

    def _apart(self, docs: Batch, ctx: Context) -> Bucketed:
        """``bucketed``; with ``within`` documents that differ in it have no bucket in common."""
        from curate.text.arrow import fixed
        from curate.text.hashing import hash128

        found = self.bucketed(docs, ctx)
        if self.within is None:
            return found
        group = np.ascontiguousarray(fixed(hash128(strata(docs, self.within)))).view(np.uint64)[:, 0]
        return replace(found, keys=found.keys ^ group[found.at])

    def verifier(self) -> Verifier:
        """How candidates are compared."""
        raise NotImplementedError

    def settled(self) -> tuple[Phase, ...]:
        """From edges to verdicts, by phase ``verdicts``."""
        return Settling("verify", self.reason, of=self._of).phases()

    def phases(self) -> tuple[Phase, ...]:
        """Buckets to candidates, candidates to edges, edges to verdicts; see verified.py and edges.py. Then the index."""
        earlier = (Read(self._earlier, _BUCKETS),) if self.against else ()
        known = (Read(self._known, _INDEXED, at="ends"),) if self.against else ()
        rows = Read(self._meet, row_bytes=self.buckets() * (_BUCKET_BYTES + 8 * len(self.keep)))
        order = (AGE, *self.rank_names) if self.against else self.rank_names
        meet = Phase("candidates", (rows, *earlier), self._pair, order, streamed=True)
        return (meet, *self.verifier().phases("candidates", known), *self.settled(), *self._indexing())

    def decides(self) -> str:
        """The last phase but those that make an index."""
        return "verdicts"

    # -- candidates -----------------------------------------------------------------------------------------

    def _meet(self, docs: Batch, ctx: Context) -> pa.Table:
        """A row for every bucket of a document."""
        found = self._apart(docs, ctx)
        at = pa.array(found.at)
        columns = {**self.ranks(docs), PART: docs.column(PART), ROW: docs.column(ROW), "size": pa.array(found.sizes)}
        columns = {name: column.take(at) for name, column in columns.items()}
        return self._bucket_rows(found.keys, found.bands, columns, len(self.against))

    def _earlier(self, rows: Batch, ctx: Context) -> pa.Table:
        """The rows of an index's buckets, which name a document by its address in the index."""
        age = int(self.ages(rows.column(PART).to_numpy()[:1], _BUCKETS, ctx)[0])  # a batch is of one file
        number = rows.column("document").to_numpy()
        columns = {
            **unranked(self.rank_names, pa.repeat(pa.scalar(bytes(16), ID_TYPE), len(rows))),
            **self._address(number.astype(np.int64), age, ctx),
            "size": rows.column("size"),
        }
        keys, bands = rows.column("key").to_numpy(), rows.column("band").to_numpy()
        return self._bucket_rows(keys, bands, columns, age, number != NONE, rows.column("places"))

    def _address(self, number: I64, age: int, ctx: Context) -> dict[str, pa.Array]:
        """PART and ROW of documents of one index; nothing that means anything for NONE."""
        indexes = self.indexes(ctx)
        before = sum(len(index.tables[_INDEXED]) for index in indexes[:age])
        ends = np.cumsum([0, *(file.rows for file in indexes[age].tables[_INDEXED])])
        file = np.clip(np.searchsorted(ends, number, side="right") - 1, 0, max(0, len(ends) - 2))
        row = np.where(number == NONE, 0, number - ends[file])
        part = OUTSIDE + before + file
        return {PART: pa.array(part.astype(np.uint32)), ROW: pa.array(row.astype(np.uint32))}

    def _bucket_rows(
        self,
        keys: U64,
        bands: npt.NDArray[np.uint8],
        columns: Mapping[str, Any],
        age: int,
        there: npt.NDArray[np.bool_] | None = None,
        places: pa.Array | None = None,
    ) -> pa.Table:
        """Rows of buckets; where there are no earlier ones, and all are there, without the columns that would say so."""
        count = len(keys)
        table = pa.table({KEY: pa.array(keys, pa.uint64()), "band": pa.array(bands, pa.uint8()), **columns})
        if there is None and not self.against:
            return table
        table = table.append_column(AGE, pa.array(np.full(count, age, np.uint32)))
        table = table.append_column("there", pa.array(np.ones(count, np.bool_) if there is None else there))
        return table.append_column("places", pa.array(np.ones(count, np.uint16)) if places is None else places)

    def _pair(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """Candidates of each bucket: no two of them earlier ones."""
        from curate.text.pairs import candidates

        last = np.zeros(2, np.int64)
        for given, before in with_heads(tables, self._with_places):
            rows, stops, known = given, None, before
            if self.against:
                known = int(np.asarray(given.column("there").slice(0, before).to_numpy(), bool).sum())
                rows, stops = self._comparable(given)
            place = addresses(rows)
            key, band = rows.column(KEY).to_numpy(), rows.column("band").to_numpy()
            size = rows.column("size").to_numpy().astype(np.int64)
            for first, second, block in candidates(key, band, size, self.bound, stops=stops, known=known, last=last):
                yield pa.table({EARLIER: place[first], LATER: place[second], "block": block}, PAIRS)

    def _with_places(self, rows: pa.Table) -> pa.Table:
        """Those of a bucket's rows that others are compared with, and those that just have places in it."""
        from curate.text.buckets import with_places

        if not self.against:
            return rows.slice(0, self.bound)
        old, _, places = self._in_places(rows)
        return rows.filter(pa.array(with_places(rows.column(KEY).to_numpy(), old, places, self.bound)))

    def _comparable(self, rows: pa.Table) -> tuple[pa.Table, I64]:
        from curate.text.buckets import comparable

        found, stops = comparable(rows.column(KEY).to_numpy(), *self._in_places(rows), self.bound)
        return rows.take(pa.array(found)), stops

    def _in_places(self, rows: pa.Table) -> tuple[Any, Any, I64]:
        """Which rows are earlier documents, which are there, and how many each stands for."""
        old = rows.column(AGE).to_numpy() < len(self.against)
        there = np.asarray(rows.column("there").to_numpy(), bool)
        return old, there, rows.column("places").to_numpy().astype(np.int64)

    # -- comparison ---------------------------------------------------------------------------------------------

    def _known(self, rows: Batch, named: pa.Table, ctx: Context) -> Iterator[pa.Table]:
        """What an index has of documents at the ends of pairs."""
        return nodes(rows.column("described"), rows.column("whole"), rows.column("id"), named)

    def _of(self, earlier: U64, ctx: Context) -> tuple[list[str], npt.NDArray[np.uint32]]:
        """Names of the indexes, and which of them each document is from: beyond the last one for a new one."""
        return [index.short for index in self.indexes(ctx)], self.ages(earlier >> np.uint64(32), _INDEXED, ctx)

    # -- the index --------------------------------------------------------------------------------------------

    def leaves(self) -> Mapping[str, Left]:
        """Of each document that stays its id and what it is compared by; of each bucket who has its places."""
        described = pa.schema([("id", ID_TYPE), ("described", self.verifier().kind), ("whole", ID_TYPE)])
        return {
            _INDEXED: Left(_KEPT, _stay, described, tuple(described.names)),
            _BUCKETS: Left(_PLACES, lambda rows: rows, _BUCKET, ("key", "band", "places")),
        }

    def _indexing(self) -> tuple[Phase, ...]:
        """Documents are numbered by a hash of their address; then they take their places in their buckets."""
        if not self.index:
            return ()
        taken = (Read(self._taken, _BUCKETS),) if self.against else ()
        described = Read(self._described, row_bytes=_BUCKET_BYTES + self.buckets() * _KEY_BYTES)
        return (
            Phase(_KEPT, (described, Read(self._went, "verdicts")), self._number, ("gone",)),
            Phase(_PLACES, (Read(self._placed, _KEPT), *taken), self._place, (AGE, *self.rank_names), streamed=True),
        )

    def _schema(self) -> pa.Schema:
        """Of what is known of a document, before it has a number."""
        ranks = [(name, ID_TYPE if name in LAST else pa.uint64()) for name in self.rank_names]
        described = [("described", self.verifier().kind), ("whole", ID_TYPE), ("size", pa.uint32())]
        buckets = [("keys", pa.large_list(pa.uint64())), ("bands", pa.large_list(pa.uint8()))]
        return pa.schema([(KEY, pa.uint64()), (WEIGHT, pa.int64()), ("gone", pa.bool_()), *ranks, *described, *buckets])

    def _described(self, docs: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        found = self._apart(docs, ctx)
        order = np.argsort(found.at, kind="stable")
        ends = pa.array(np.cumsum([0, *np.bincount(found.at, minlength=len(docs))]), pa.int64())
        described, whole = self.verifier().describe(docs, ctx)
        columns = {
            KEY: pa.array(spread(addresses(docs))),
            WEIGHT: pa.array(np.ones(len(docs), np.int64)),
            "gone": pa.array(np.zeros(len(docs), np.bool_)),
            **self.ranks(docs),
            "described": described,
            "whole": whole,
            "size": pa.array(found.sizes),
            "keys": pa.LargeListArray.from_arrays(ends, pa.array(found.keys[order])),
            "bands": pa.LargeListArray.from_arrays(ends, pa.array(found.bands[order])),
        }
        return pa.table(columns, self._schema())

    def _went(self, verdicts: Batch, ctx: Context) -> pa.Table:
        """A document that goes takes back the number that it would have had."""
        from curate.text.pairs import spread

        count, schema = len(verdicts), self._schema()
        columns = {
            **{field.name: pa.nulls(count, field.type) for field in schema},
            KEY: pa.array(spread(addresses(verdicts))),
            WEIGHT: pa.array(np.full(count, -1, np.int64)),
            "gone": pa.array(np.ones(count, np.bool_)),
        }
        return pa.table(columns, schema)

    def _number(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Documents, each with its number, NONE for one that goes."""
        rows = rows.combine_chunks()
        key, gone = rows.column(KEY).to_numpy(), np.asarray(rows.column("gone").to_numpy(), bool)
        goes = np.zeros(len(key), np.bool_)
        goes[:-1] = (key[1:] == key[:-1]) & gone[1:]
        goes = goes[~gone]
        number = span.start_weight + np.cumsum(~goes) - 1
        if span.total_weight >= NONE:
            raise InputError(
                f"an index numbers {NONE - 1:,} documents, and {span.total_weight:,} are kept",
                cure="index them in parts: several sources, one after the other, each against those before",
            )
        docs = rows.filter(pa.array(~gone)).drop_columns([KEY, WEIGHT, "gone"])
        return docs.append_column("document", pa.array(np.where(goes, NONE, number).astype(np.uint32)))

    def _placed(self, rows: Batch, ctx: Context) -> pa.Table:
        keys, bands = rows.column("keys"), rows.column("bands")
        at = pa.array(np.repeat(np.arange(len(rows)), np.asarray(keys.value_lengths())))
        columns = {name: rows.column(name).take(at) for name in (*self.rank_names, "size", "document")}
        there = columns["document"].to_numpy() != NONE
        return self._bucket_rows(
            keys.flatten().to_numpy(), bands.flatten().to_numpy(), columns, len(self.against), there
        )

    def _taken(self, rows: Batch, ctx: Context) -> pa.Table:
        """The places that earlier documents have."""
        columns = {
            **unranked(self.rank_names, pa.repeat(pa.scalar(bytes(16), ID_TYPE), len(rows))),
            "size": rows.column("size"),
            "document": rows.column("document"),
        }
        keys, bands = rows.column("key").to_numpy(), rows.column("band").to_numpy()
        there = np.zeros(len(rows), np.bool_)
        return self._bucket_rows(keys, bands, columns, 0, there, rows.column("places"))

    def _place(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """The places of each bucket."""
        from curate.text.buckets import taken

        def first(rows: pa.Table) -> pa.Table:
            *_, places = self._in_places(rows)
            return rows.filter(pa.array(taken(rows.column(KEY).to_numpy(), places) < self.bound))

        for rows in whole_keys(tables, first):
            yield self._in_index(rows)

    def _in_index(self, rows: pa.Table) -> pa.Table:
        """What an index says of whole buckets."""
        from curate.text.buckets import placed

        found, places = placed(rows.column(KEY).to_numpy(), *self._in_places(rows), self.bound)
        there = rows.take(pa.array(found))
        size = pc.if_else(there.column("there"), there.column("size"), pa.scalar(0, pa.uint32()))
        columns = [there.column(KEY), there.column("band"), there.column("document"), size, places.astype(np.uint16)]
        return pa.table(dict(zip(_BUCKET.names, columns, strict=True)), _BUCKET)


def _stay(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.not_equal(rows.column("document"), pa.scalar(NONE, pa.uint32()))).select(
        ["id", "described", "whole"]
    )
