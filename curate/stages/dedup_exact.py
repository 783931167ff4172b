"""Documents that are the same text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.schema import ID_TYPE
from curate.stages.base import KEY, PART, ROW, VERDICTS, Context, Phase, Read, Span
from curate.stages.edges import addresses
from curate.stages.indexed import AGE, Indexed, Left, unranked
from curate.stages.keep_order import KeepsFirst, details
from curate.stages.registry import register
from curate.stages.sorted_rows import id_changes, with_heads
from curate.stages.strata import strata
from curate.text.batch import Batch

_HASHES: Final = "hashes"
_GROUPS: Final = "groups"
_LEFT: Final = pa.schema([pa.field("hash", ID_TYPE), pa.field("id", ID_TYPE)])


@register("dedup.exact")
class DedupExact(Indexed, KeepsFirst):
    r"""Keep one of the documents whose text is the same but for white space.

    Texts are compared by a 128-bit hash of their normal form: NFC, line ends as LF, and by ``profile``

    - ``prose``: any run of white space is one space.
    - ``code``: white space at line ends and blank lines at the end do not count, but indentation does.
    - ``maths``: white space around operators and inside brackets, spacing and sizing commands of LaTeX do not count;
      ``\le``, ``\leq`` and the sign itself are the same, and so are ``$`` and ``\(`` (``curate.text.maths`` has the
      whole table).

    Case, punctuation, digits and brackets are never folded: ``3+4`` and ``5-70``, ``a[i]`` and ``a(i)`` stay different.

    Among equal texts stays the one that comes first in the order that ``keep`` says. So who stays depends on content alone.

    A text that an index of ``against`` has goes, every copy of it; the detail names the earlier document and its index.
    """

    revision: ClassVar[int] = 3
    seeded: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "exact_duplicate": "another document has the same text; the detail names the one that was kept"
    }

    profile: Literal["prose", "code", "maths"] = Field("prose", description="what is not compared: see above")

    def index_settings(self) -> Mapping[str, Any]:
        """The normal form."""
        return {"profile": self.profile}

    def leaves(self) -> Mapping[str, Left]:
        """The hash and id of each document that stays: 32 bytes."""
        return {_HASHES: Left(_GROUPS, _stay, _LEFT, ("hash", "id"))}

    def phases(self) -> tuple[Phase, ...]:
        """By hash, earlier documents first, then in keep order; where an index is left, verdicts are told from it then."""
        reads = (Read(self._map), *((Read(self._earlier, _HASHES),) if self.against else ()))
        order = ("hash", AGE, *self.rank_names)
        if not self.index:
            return (Phase("verdicts", reads, self._verdicts, order, streamed=True),)
        told = Read(self._gone, _GROUPS)
        return (
            Phase(_GROUPS, reads, self._groups, order, streamed=True),
            Phase("verdicts", (told,), self._told, (PART, ROW)),
        )

    def _map(self, docs: Batch, ctx: Context) -> pa.Table:
        from curate.text.hashing import hash128, hash128_pair
        from curate.text.maths import maths_profile
        from curate.text.normal import code_profile, prose_profile

        normal = {"prose": prose_profile, "code": code_profile, "maths": maths_profile}[self.profile]
        text = normal(docs.text)
        hashes = hash128_pair(strata(docs, self.within), text) if self.within else hash128(text)
        columns = {"hash": hashes, **self.ranks(docs), PART: docs.column(PART), ROW: docs.column(ROW)}
        return _keyed(columns, np.full(len(docs), len(self.against), np.uint32))

    def _earlier(self, rows: Batch, ctx: Context) -> pa.Table:
        """Rows of indexes."""
        columns = {
            "hash": rows.column("hash"),
            **unranked(self.rank_names, rows.column("id")),
            PART: rows.column(PART),
            ROW: rows.column(ROW),
        }
        return _keyed(columns, self.ages(rows.column(PART).to_numpy(), _HASHES, ctx))

    def _groups(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """The new documents, each with the one that stays in its place, null where that is itself."""
        for rows, known in with_heads(tables, _first_of_last):
            yield self._grouped(rows, known)

    def _grouped(self, rows: pa.Table, known: int) -> pa.Table:
        repeat = ~id_changes(rows.column("hash"))
        first = pa.array(np.maximum.accumulate(np.where(repeat, 0, np.arange(len(repeat)))))
        new = rows.column(AGE).to_numpy() == len(self.against)
        new[:known] = False
        ids, ages = rows.column("id").combine_chunks(), rows.column(AGE).combine_chunks()
        kept = pc.if_else(pa.array(repeat), ids.take(first), pa.scalar(None, ID_TYPE))
        found = rows.select([PART, ROW, "hash", "id"])
        return found.append_column("kept", kept).append_column("kept_age", ages.take(first)).filter(pa.array(new))

    def _verdicts(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        for groups in self._groups(tables, span, ctx):
            yield self._said(groups, ctx)

    def _gone(self, groups: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        gone = pa.Table.from_batches([groups.rows]).filter(pc.is_valid(groups.column("kept")))
        return gone.append_column(KEY, pa.array(spread(addresses(gone))))

    def _told(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        return self._said(rows, ctx)

    def _said(self, groups: pa.Table, ctx: Context) -> pa.Table:
        """Verdicts on those of some documents that have another one in their place."""
        gone = groups.filter(pc.is_valid(groups.column("kept")))
        kept = gone.column("kept").combine_chunks()
        names = [index.short for index in self.indexes(ctx)]
        return pa.table(
            {
                PART: gone.column(PART),
                ROW: gone.column(ROW),
                "reason": pa.repeat(pa.scalar("exact_duplicate"), gone.num_rows),
                "detail": details(kept, np.ones(gone.num_rows), names, gone.column("kept_age").to_numpy()),
            },
            VERDICTS,
        )


def _first_of_last(rows: pa.Table) -> pa.Table:
    """Of rows in the order of their hashes the first one that has the last one's."""
    from curate.text.arrow import fixed

    hashes = fixed(rows.column("hash"))
    return rows.slice(int(np.flatnonzero((hashes == hashes[-1]).all(axis=1))[0]), 1)


def _keyed(columns: Mapping[str, pa.Array], ages: np.ndarray) -> pa.Table:
    from curate.text.arrow import fixed

    key = np.ascontiguousarray(fixed(columns["hash"])).view(np.uint64)[:, 0]
    return pa.table({KEY: pa.array(key, pa.uint64()), AGE: pa.array(ages, pa.uint32()), **columns})


def _stay(groups: pa.Table) -> pa.Table:
    return groups.filter(pc.is_null(groups.column("kept"))).select(_LEFT.names)
