"""Documents that are nearly the same text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from curate.stages.base import KEY, PART, ROW, VERDICTS, Context, Global, Phase, Read, Span
from curate.stages.keep_order import RANKS, descending, details, ranks
from curate.stages.registry import register
from curate.text.batch import Batch

_KEPT: Final = tuple(f"kept_{name}" for name in RANKS)


@register("dedup.near")
class DedupNear(Global):
    """Keep one of the documents whose word 5-grams are mostly the same.

    MinHash with 112 minima in 14 bands of 8 (``curate.text.minhash``) finds candidates: at a Jaccard similarity
    of 0.7 a pair is found with probability 0.56, at 0.8 0.92, at 0.9 0.999. A candidate counts only if its Jaccard,
    estimated from all 112 minima (standard error 0.043 at 0.7), is at least ``similarity``. A document with fewer
    than 5 words is compared by its whole text instead, in lower case and with white space collapsed.

    Documents are then gone through in keep order: higher ``prefer``, earlier in ``sources``, lower content_hash,
    lower id. One is dropped only if a document that *stays* was verified to be similar to it, so chains of small
    changes (A like B, B like C) never remove what resembles nothing that is kept; the detail names the most
    similar such document. The result is a function of the set of documents, not of their order or partitioning.

    Put ``dedup.exact`` before it: many copies of one text are cheap there, and here each is compared in 14 buckets.

    ``profile`` says what words are: for ``prose`` letters and digits in lower case; for ``code`` also each other sign,
    so that ``a[i] + b`` and ``a(i) - b`` differ.
    """

    revision: ClassVar[int] = 3
    seeded: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "near_duplicate": "a document that stays is nearly the same; the detail names it and says how similar it is"
    }

    similarity: float = Field(0.7, ge=0.3, le=1, description="estimated Jaccard of word 5-grams from which one goes")
    profile: Literal["prose", "code"] = Field("prose", description="whether signs count as words")
    prefer: str | None = Field(None, description="numeric column; the highest stays, null last")
    sources: list[str] = Field([], description="sources, the most wanted first; others come after them")
    bound: int = Field(
        64,
        ge=2,
        le=4096,
        description="documents of a bucket that the others are compared with: the first in keep order",
    )

    def reads(self) -> frozenset[str]:
        """The column of ``prefer``."""
        return frozenset({self.prefer} if self.prefer else ())

    def phases(self) -> tuple[Phase, ...]:
        """Buckets to verified pairs, pairs to verdicts.

        All pairs meet in one partition, whose memory grows with them; rounds over partitions may replace that.
        """
        return (
            Phase("buckets", (Read(self._sketch),), self._pair, RANKS),
            Phase("verdicts", (Read(self._gather, "buckets"),), self._choose, (*RANKS, "rank_similarity", *_KEPT)),
        )

    def _sketch(self, docs: Batch, ctx: Context) -> pa.Table:
        """14 rows a document, keyed by its bands; one, keyed by its text, for a document shorter than a shingle."""
        from curate.text.arrow import fixed, from_fixed
        from curate.text.hashing import hash128
        from curate.text.minhash import BANDS, SHINGLE, signatures
        from curate.text.ngrams import ngrams
        from curate.text.normal import folded

        # The hashes are no choice of a recipe's: a constant seed keeps sketches comparable between runs.
        found = signatures(ngrams(docs.words("folded" if self.profile == "prose" else "symbols"), SHINGLE))
        whole = np.flatnonzero(found.short)
        long = np.flatnonzero(~found.short)
        exact = fixed(hash128(folded(docs.text.take(pa.array(whole)))))
        sketch = found.sketch.copy()
        sketch[whole, : exact.shape[1]] = exact
        keys = np.concatenate([found.bands[long].reshape(-1), np.ascontiguousarray(exact).view(np.uint64)[:, 0]])
        rows = np.concatenate([np.repeat(long, BANDS), whole])
        columns = {
            **ranks(docs, self.prefer, self.sources),
            PART: docs.column(PART),
            ROW: docs.column(ROW),
            "short": pa.array(found.short),
            "sketch": from_fixed(sketch),
        }
        return pa.table({KEY: pa.array(keys), **_columns(pa.table(columns).take(pa.array(rows)))})

    def _pair(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Verified pairs of each bucket: who would go, and in favour of whom."""
        from curate.text.arrow import fixed
        from curate.text.pairs import similar_pairs

        rows = rows.combine_chunks()
        short = rows.column("short").to_numpy()
        sketch = fixed(rows.column("sketch"))
        first, second, agree = similar_pairs(rows.column(KEY).to_numpy(), sketch, short, self.bound, self.similarity)
        goes = rows.select([PART, ROW, *RANKS]).take(pa.array(second))
        stays = rows.select(list(RANKS)).take(pa.array(first)).rename_columns(list(_KEPT))
        table = pa.table({**_columns(goes), **_columns(stays), "similarity": pa.array(agree, pa.float64())})
        return table.append_column("rank_similarity", pa.array(descending(pa.array(agree, pa.float64())), pa.uint64()))

    def _gather(self, pairs: Batch, ctx: Context) -> pa.Table:
        table = pa.Table.from_batches([pairs.rows])
        return table.append_column(KEY, pa.array(np.zeros(len(pairs), np.uint64)))

    def _choose(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Go through the pairs by who would go, in keep order: whoever is decided on here has only decided neighbours."""
        from curate.text.pairs import greedy

        rows = rows.combine_chunks()
        nodes = pa.chunked_array([*rows.column("kept_id").chunks, *rows.column("id").chunks]).combine_chunks()
        index = nodes.dictionary_encode().indices.to_numpy().astype(np.int64)
        chosen: npt.NDArray[np.int64] = greedy(index[: rows.num_rows], index[rows.num_rows :])
        gone = rows.take(pa.array(chosen))
        similarity = gone.column("similarity").to_numpy()
        return pa.table(
            {
                PART: gone.column(PART),
                ROW: gone.column(ROW),
                "reason": pa.repeat(pa.scalar("near_duplicate"), gone.num_rows),
                "detail": details(gone.column("kept_id"), similarity),
            },
            VERDICTS,
        )


def _columns(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table.column_names, table.columns, strict=True))
