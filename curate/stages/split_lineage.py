"""Training and validation parts that no near copy, repository, site or generation straddles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from curate.stages.amounts import Share
from curate.stages.base import KEY, PART, ROW, Context, Global, Phase, Read, Span
from curate.stages.dedup_near import DedupNear
from curate.stages.edges import EARLIER, LATER, addresses
from curate.stages.groups import Groups, edges, joints_of, names_of, shown
from curate.stages.kinship import BOOK, PACKAGE, REPOSITORY, SITE, kin, kin_columns, parents
from curate.stages.registry import register
from curate.stages.select_ranked import token_counts
from curate.stages.side_sums import KIN, MADE, SEEN, split_report
from curate.stages.sides import Sides, copy_rows, in_a_row, made_rows, member_rows
from curate.stages.sorted_rows import with_heads
from curate.stages.strata import columns_of, strata
from curate.stages.verified import PAIRS, Verifier
from curate.text.batch import Batch

TRAIN: Final = "train"
VALIDATION: Final = "validation"
_ENDS: Final = pa.schema([("one", pa.uint64()), ("two", pa.uint64())])
"""Of a pair of near copies: the names of both documents."""


@register("split.lineage")
class SplitLineage(Global):
    """Say for each document whether it is for training or for validation: what is related to it is on the same side.

    Related are documents whose shingles have a Jaccard similarity of at least ``similarity`` (as in ``dedup.near``; found
    with 64 bands of 4 minima: a pair of similarity 0.5 with probability 0.984, of 0.6 with 0.9999), documents of one repository,
    package, book or site (``group``), and a generated document with what it was made of, and so with all else that was made
    of that. Groups are what hangs together through such links, however long the chain.

    Groups come in an order by keyed hash of their names, and the first ones are for validation, until these are ``validation``
    of all (as ``weigh`` says). A group that is larger than ``largest`` of that part is always for training, so that the share
    is met but for a few per cent, whatever the groups' sizes; the report names such groups.

    Adds ``side`` (``train`` or ``validation``), ``group`` (first digits of the smallest id in it), and ``links``: what the
    document hangs together by with others of its group; null for one that is alone. Let later steps read one side:
    ``select.where`` with ``column: split.side`` and ``equals: train``. A recipe that has this step trains nothing (tokenizer,
    classifier) on rows that may be of the other side: the plan refuses it.

    A classifier that is trained before the corpus is complete needs a side early. Split what there is then, and the whole
    again at the end with ``earlier: FIRST.side``: the sides are kept, what came since goes with what it is related to, else
    to training. A group that turns out to have documents of both sides is for training, as models have seen it.
    """

    revision: ClassVar[int] = 1

    validation: Share = Field(0.01, gt=0, le=0.5, description="share that is for validation, such as 0.01 or 1%")
    weigh: str = Field(
        "bytes", description="what the share is of: `bytes` of text, `documents`, or a column such as `tokens.count`"
    )
    group: list[str] = Field(
        [REPOSITORY, PACKAGE, BOOK, SITE],
        description="what makes documents related: `repository`, `package`, `book`, `site` or `folder` as `meta` and origin "
        "say, columns, fields as `meta.FIELD`",
    )
    similarity: float | None = Field(
        0.5,
        ge=0.3,
        le=1,
        description="Jaccard similarity from which documents are related; null: near copies are not sought",
    )
    profile: Literal["prose", "code"] = Field("prose", description="whether signs count as words, as in `dedup.near`")
    bands: int = Field(
        64, ge=1, le=200, description="hashes of a document that make it a candidate, as in `dedup.near`"
    )
    rows: int = Field(4, ge=1, le=20, description="minima of a band")
    largest: Share = Field(
        0.2, gt=0, le=1, description="share of the validation part that one group may be; larger ones are for training"
    )
    earlier: str | None = Field(
        None,
        description="column with the sides of an earlier split, as `split.side`, or `meta.FIELD`: these are kept, and "
        "`validation` is not used",
    )

    @field_validator("group")
    @classmethod
    def _each_once(cls, group: list[str]) -> list[str]:
        if len(set(group)) < len(group) or "" in group:
            raise ValueError("group names something twice, or nothing")
        return group

    @model_validator(mode="after")
    def _share_or_sides(self) -> SplitLineage:
        if self.earlier is not None and {"validation", "largest", "weigh"} & self.model_fields_set:
            raise ValueError("earlier says the sides: leave validation, weigh and largest out")
        return self

    def reads(self) -> frozenset[str]:
        """Columns that documents are weighed and grouped by, and the earlier side."""
        weighed = {self.weigh} if self.weigh not in ("bytes", "documents") else set()
        return kin_columns(self.group) | columns_of(self.earlier) | weighed

    def adds(self) -> Mapping[str, pa.DataType]:
        """Side, group, and what the document belongs to it by."""
        return {"side": pa.string(), "group": pa.string(), "links": pa.string()}

    def phases(self) -> tuple[Phase, ...]:
        """Near copies, groups, sides."""
        near = self._near()
        alike = (Read(self._alike, "verify"),) if near else ()
        groups = Groups((Read(self._related), *alike))
        ends = (Read(self._copies, "verify"),) if near else ()
        sides = Sides(self.validation, self.largest, self.earlier is not None, (TRAIN, VALIDATION))
        return (*near, *groups.phases(), *sides.phases(Read(self._members), ends, "verify" if near else None))

    def decides(self) -> str:
        """The phase that gives columns; sums come behind it."""
        return "verdicts"

    def reported(self) -> tuple[str, ...]:
        """Sums by side and source, and the largest groups."""
        return ("summary",)

    def report(self, rows: Mapping[str, pa.Table], ctx: Context) -> Mapping[str, Any]:
        """Documents and bytes by side and source, the share that was asked for and had, what documents are linked by."""
        asked = self.validation if self.earlier is None else None
        return {"weighed": self.weigh, **split_report(rows.get("summary"), asked, (TRAIN, VALIDATION))}

    # -- near copies ------------------------------------------------------------------------------------------

    def _near(self) -> tuple[Phase, ...]:
        """Candidates to edges: phase ``verify`` has every pair that is alike, with both names."""
        if self.similarity is None:
            return ()
        verifier: Verifier = replace(self._dedup().verifier(), about=_ENDS)
        meet = Read(self._meet, row_bytes=self.bands * 40)
        return (
            Phase("candidates", (meet,), self._pair, ("band", "id"), streamed=True),
            *verifier.phases("candidates"),
        )

    def _dedup(self) -> DedupNear:
        assert self.similarity is not None
        return DedupNear(similarity=self.similarity, profile=self.profile, bands=self.bands, rows=self.rows)

    def _meet(self, docs: Batch, ctx: Context) -> pa.Table:
        """A row for every band of a document."""
        found = self._dedup().bucketed(docs, ctx)
        at = pa.array(found.at)
        columns = {"id": docs.column("id"), PART: docs.column(PART), ROW: docs.column(ROW), "size": found.sizes}
        taken = {name: pa.array(column).take(at) for name, column in columns.items()}
        return pa.table({KEY: pa.array(found.keys), "band": pa.array(found.bands), **taken})

    def _pair(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """Each document of a bucket with the first ones of it, which come again before the rest of a bucket that goes on."""
        from curate.text.pairs import candidates

        bound, last = self._dedup().bound, np.zeros(2, np.int64)
        for rows, known in with_heads(tables, lambda some: some.slice(0, bound)):
            key, place = rows.column(KEY).to_numpy(), addresses(rows)
            names = names_of(rows.column("id").combine_chunks())
            size = rows.column("size").to_numpy().astype(np.int64)
            band = rows.column("band").to_numpy()
            for i, j, block in candidates(key, band, size, bound, known=known, last=last):
                ends = {EARLIER: place[i], LATER: place[j], "block": block, "one": names[i], "two": names[j]}
                yield pa.table(ends, pa.schema([*PAIRS, *_ENDS]))

    # -- links ------------------------------------------------------------------------------------------------

    def _alike(self, pairs: Batch, ctx: Context) -> pa.Table:
        return edges(pairs.column("one").to_numpy(), pairs.column("two").to_numpy())

    def _related(self, docs: Batch, ctx: Context) -> pa.Table:
        """A document and each joint that it says it belongs to; a document and what it was made of."""
        own = names_of(docs.column("id"))
        rows, made = parents(docs)
        one, two = [own[rows]], [names_of(made)]
        for kind, values in kin(docs, self.group):
            there = np.flatnonzero(np.asarray(values.is_valid()))
            one.append(own[there])
            two.append(joints_of(kind, values.take(pa.array(there))))
        return edges(np.concatenate(one), np.concatenate(two))

    # -- who is in a group --------------------------------------------------------------------------------------

    def _members(self, docs: Batch, ctx: Context) -> Iterator[pa.Table]:
        """What is known of each document, by its name; and of what it was made."""
        size = pc.fill_null(pc.binary_length(docs.text), 0).cast(pa.int64())
        amount: npt.NDArray[np.int64] = size.to_numpy()
        if self.weigh == "documents":
            amount = np.ones(len(docs), np.int64)
        elif self.weigh != "bytes":
            amount, _ = token_counts(docs, self.weigh)
        own, (rows, made) = names_of(docs.column("id")), parents(docs)
        yield made_rows(names_of(made), own[rows])
        said, by = self._said(docs, rows, made)
        yield member_rows(
            {
                "name": own,
                PART: docs.column(PART),
                ROW: docs.column(ROW),
                "amount": amount,
                "bytes": size,
                "source": docs.column("source"),
                "said": said,
                "by": by,
                SEEN: self._seen(docs),
            }
        )

    def _said(
        self, docs: Batch, rows: npt.NDArray[np.int64], made: pa.Array
    ) -> tuple[pa.StringArray, npt.NDArray[np.uint8]]:
        """What each document says of its kin, in words (null where it says nothing) and as bits; ``rows`` and ``made`` are
        its ``parents``."""
        first = np.unique(rows, return_index=True)[1]
        at = np.full(len(docs), -1, np.int64)
        at[rows[first]] = np.arange(len(first))
        by = np.where(at >= 0, MADE, 0).astype(np.uint8)
        words = (pa.scalar("made of"), shown(names_of(made.take(pa.array(first)))), " ")
        told = [pc.binary_join_element_wise(*words).take(pa.array(at, mask=at < 0))]
        for kind, values in kin(docs, self.group):
            told.append(pc.binary_join_element_wise(pa.scalar(kind), values, " "))
            by |= np.where(np.asarray(values.is_valid()), KIN, 0).astype(np.uint8)
        return in_a_row(told), by

    def _seen(self, docs: Batch) -> npt.NDArray[np.uint8]:
        """1: it was for training, 2: for validation, 0: there was no side."""
        if self.earlier is None:
            return np.zeros(len(docs), np.uint8)
        place = pc.index_in(strata(docs, self.earlier), pa.array([TRAIN, VALIDATION]))
        return np.asarray(pc.add(pc.fill_null(place, -1), 1).cast(pa.uint8()))

    def _copies(self, pairs: Batch, ctx: Context) -> pa.Table:
        """Both ends of each pair of near copies, each with the other."""
        one, two = (pairs.column(name).to_numpy() for name in ("one", "two"))
        alike = np.tile(pairs.column("similarity").to_numpy(), 2)
        return copy_rows(np.concatenate([one, two]), np.concatenate([two, one]), alike)
