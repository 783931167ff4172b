"""Writers of encoded documents: mixed by component, each copy at its place in one global order.

A document is written as often as the mixture says (curate/stages/mixture.py). Which copies there are is known before a
token moves: a first phase counts tokens and ranks documents, a second one brings their ids to their places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate import assets
from curate.errors import InputError
from curate.stages.base import AT, DOCUMENTS, KEY, PART, ROW, WEIGHT, Context, Phase, Read, Span
from curate.stages.mixture import Mix
from curate.stages.takes import Taken, copies, stated, takes
from curate.stages.tokenizer import Tokenizer, load
from curate.stages.writer import SUMS, Writer
from curate.text.batch import Batch
from curate.text.hashing import keyed_hash

TOKENS: Final = "tokens"
"""large_binary: a document's ids, little-endian, without end-of-text."""
LEFT_OUT: Final = ""
"""Component of the documents that no component names."""
_ROW_BYTES: Final = 64
"""Of a row that says where a document is and how long."""
_BETWEEN: Final = "\x1f"

Sums = Mapping[str, Mapping[str, tuple[int, int]]]
"""Rows and tokens by phase and group."""


class MixedWriter(Writer):
    """Writes encoded documents as a mixture; WEIGHT of a row is its tokens, end-of-text included."""

    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"tokens": "tokenizers"}

    tokens: str = Field(description="the encode.tokens step whose tokens are written")
    mix: Mix = Field(default_factory=Mix, description="which documents, and how often; by default each once")

    def reads(self) -> frozenset[str]:
        """What was encoded, and what components are told apart by."""
        return frozenset({self._of("ids"), self._of("count"), self._of("trained")}) | self.mix.reads()

    def _of(self, name: str) -> str:
        return f"{self.tokens}.{name}"

    def phases(self) -> tuple[Phase, ...]:
        """Count and rank; bring each copy to its place."""
        columns = ("source", "meta", self._of("count"), *sorted(self.mix.reads()))
        counted = Read(self._counted, columns=columns, row_bytes=_ROW_BYTES)
        columns = ("source", self._of("ids"), self._of("trained"))
        placed = Read(self._placed, of=DOCUMENTS, at="count", columns=columns)
        return (
            Phase(
                "count",
                (counted,),
                self._copied,
                ("id",),
                group="component",
                group_label=f"mix: {self.mix.by}",
                all_groups=True,
            ),
            Phase("shuffle", (placed,), as_they_are, self.sort_by(), group="taken_for", ordered=True, dense=True),
        )

    def sort_by(self) -> tuple[str, ...]:
        """Copies of equal places are ordered by id, then by pass."""
        return ("id", "epoch")

    def _counted(self, docs: Batch, ctx: Context) -> pa.Table:
        """Where each document is, its component, and its tokens with the one that ends it."""
        ids, component, count = docs.column("id"), self.mix.component_of(docs), docs.column(self._of("count"))
        if count.null_count:
            raise InputError(
                f"documents without tokens of step '{self.tokens}', the first one {ids[pc.index(count.is_null(), True).as_py()].as_py().hex()}",
                cure="encode all documents in one step: its 'from' may join branches",
            )
        return pa.table(
            {
                PART: docs.column(PART),
                ROW: docs.column(ROW),
                "id": ids,
                "component": component.fill_null(LEFT_OUT),
                "synthetic": self.mix.synthetic_of(docs, component),
                KEY: keyed_hash(ids, ctx.key("tape")),
                WEIGHT: pc.add(count, 1),
            }
        )

    def _copied(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Each copy that is written: which document, in which pass, and where in the order."""
        rows = self.one_of_each(rows, span, ctx).combine_chunks()
        totals = _named(span.everything)
        component = rows.column("component").combine_chunks()
        found = copies(
            takes(self.mix, totals),
            totals,
            component,
            _before(component, rows.column(WEIGHT).to_numpy(), span),
            rows.column("id").combine_chunks(),
            lambda epoch: ctx.key("place", epoch),
        )
        return (
            rows.select([PART, ROW, "component", "synthetic"])
            .take(pa.array(found.row))
            .append_column("epoch", pa.array(found.epoch))
            .append_column("phase", pa.array(found.phase))
            .append_column("place", pa.array(found.key))
            .append_column("first", pa.array(found.first))
            .append_column("last", pa.array(found.last))
        )

    def _placed(self, docs: Batch, named: pa.Table, ctx: Context) -> pa.Table:
        """Each copy's ids at its place."""
        width = self.tokenizer(ctx).dtype.itemsize
        at = named.column(AT).combine_chunks()
        ids = docs.column(self._of("ids")).take(at)
        taken_for = [named.column(name).cast(pa.string()) for name in ("phase", "synthetic", "component")]
        return pa.table(
            {
                "id": docs.column("id").take(at),
                "source": docs.column("source").take(at),
                "component": named.column("component"),
                "epoch": named.column("epoch"),
                "first": named.column("first"),
                "last": named.column("last"),
                "taken_for": pc.binary_join_element_wise(*taken_for, _BETWEEN),
                TOKENS: ids,
                "trained": docs.column(self._of("trained")).take(at),
                KEY: named.column("place"),
                WEIGHT: pc.add(pc.divide(pc.cast(pc.binary_length(ids), pa.int64()), width), 1),
            }
        )

    def tokenizer(self, ctx: Context) -> Tokenizer:
        """The one that the documents were encoded with."""
        return load(ctx.assets["tokens"])

    def report(self, shards: Sequence[Mapping[str, Any]], sums: Sums) -> Mapping[str, Any]:
        """``sources``: by component what came in and what became of it, to the last token; ``mixture``: see takes.stated.

        ``tokens_in`` are those of one pass over all ``documents`` of a component; ``tokens_taken`` those of the ``copies`` that
        the mixture takes. Each of them is among ``tokens``, which were written, or ``dropped``.
        """
        totals, taken = _named(sums["count"]), _taken(sums["shuffle"])
        written, copied, tokens_taken = Counter[str](), Counter[str](), Counter[str]()
        for shard in shards:
            written.update(shard[SUMS])
        for (_, name), one in taken.items():
            copied[name] += one.documents
            tokens_taken[name] += one.tokens
        sources = {
            name: {
                "documents": documents,
                "tokens_in": tokens_in,
                "copies": copied[name],
                "epochs": round(tokens_taken[name] / tokens_in, 6),
                "tokens_taken": tokens_taken[name],
                "tokens": written[name],
                "dropped": tokens_taken[name] - written[name],
            }
            for name, (documents, tokens_in) in totals.items()
        }
        left_out = sums["count"].get(LEFT_OUT, (0, 0))
        mixture = stated(takes(self.mix, totals), totals, taken, left_out)
        return {"sources": sources, "mixture": mixture, **({"curriculum": True} if self.mix.ordered else {})}


def _named(groups: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Documents and tokens by component, without those that are left out."""
    return {name: sums for name, sums in groups.items() if name != LEFT_OUT}


def _taken(groups: Mapping[str, tuple[int, int]]) -> dict[tuple[int, str], Taken]:
    """What was taken by phase and component, of sums by ``taken_for``."""
    found: dict[tuple[int, str], Taken] = {}
    for name, (rows, tokens) in groups.items():
        phase, synthetic, component = name.split(_BETWEEN, 2)
        before = found.get((int(phase), component), Taken(0, 0))
        made = tokens if synthetic == "true" else 0
        found[int(phase), component] = Taken(before.documents + rows, before.tokens + tokens, before.synthetic + made)
    return found


def as_they_are(rows: pa.Table, _span: Span, _ctx: Context) -> pa.Table:
    """The reduce of a phase that only orders."""
    return rows


def _before(component: pa.Array, count: np.ndarray, span: Span) -> np.ndarray:
    """int64[n]: tokens of a row's component before it, in the order of all rows."""
    codes = component.dictionary_encode()
    of, names = codes.indices.to_numpy(zero_copy_only=False), codes.dictionary.to_pylist()
    order = np.argsort(of, kind="stable")
    ends = np.cumsum(count[order])
    first = np.searchsorted(of[order], np.arange(len(names)))
    here = np.array([span.groups[name].start_weight for name in names], np.int64)
    before = np.empty(len(count), np.int64)
    before[order] = ends - count[order] + (here - (ends - count[order])[first])[of[order]]
    return before


def add_by_component(sums: dict[str, int], rows: pa.Table) -> None:
    """Add the second column of some rows to sums by the first one."""
    name, value = rows.schema.names
    added = rows.group_by(name, use_threads=False).aggregate([(value, "sum")])
    for component, size in zip(added.column(name).to_pylist(), added.column(f"{value}_sum").to_pylist(), strict=True):
        sums[component] = sums.get(component, 0) + size
