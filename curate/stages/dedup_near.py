"""Documents that are nearly the same text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from curate import assets
from curate.stages.base import Context, Phase
from curate.stages.clusters import Clusters, clusters_report
from curate.stages.paired import Bucketed, Paired
from curate.stages.registry import register
from curate.stages.verified import Verifier
from curate.text.batch import Batch

if TYPE_CHECKING:
    from curate.text.minhash import Signatures
    from curate.text.ngrams import Ngrams, Units

_SEED: Final = 0
_SHORT: Final = 255
"""Number of the band of documents that have none."""
_BITS: Final = 2
"""Of each minimum in the sketches that are compared: of 112 bytes they tell as much as one can (curate/text/minhash.py)."""


@register("dedup.near")
class DedupNear(Paired):
    """Keep one of the documents that are mostly the same.

    A document is the set of its shingles: runs of ``n`` words (or characters, or a tokenizer's tokens) of its text in NFC and
    lower case. Documents that share one of ``bands`` hashes of ``rows`` minima of such sets (MinHash, ``curate.text.minhash``) are
    candidates: with 14 bands of 8, at a Jaccard similarity of 0.7 a pair is one with probability 0.56, at 0.8 0.92, at 0.9 0.999.
    Those whose similarity is at least ``similarity`` are duplicates. With ``verify: true`` that is the true similarity of their
    sets, so no pair is taken wrongly for one; with ``estimate`` it is estimated from the minima (standard error 0.026 at 0.7 with
    14 bands of 8), for which less is sent around. A document shorter than a shingle is like those with the same text, in NFC and
    lower case and with white space collapsed.

    With ``mode: greedy`` documents are gone through in the order that ``keep`` says, and one is dropped only if one that
    *stays* is similar to it, so chains of small changes (A like B, B like C) never remove what resembles nothing that is kept. The
    detail names the most similar such document. The result is a function of the set of documents, not of their order or
    partitioning.

    With ``mode: components`` all documents that hang together through such pairs are one cluster, of which the first stays, as
    in other engines. Chains then remove what is like nothing that is kept: the manifest says how pure the clusters are (the
    share of pairs, of up to 16 documents of each, that are similar), how many documents went that are not similar to the
    one that was kept, and which clusters are the largest. Adding data later can join clusters, so there is no index for it.

    Put ``dedup.exact`` before it: many copies of one text are cheap there, and here each is compared in every band.

    A document that is like one that an index of ``against`` has kept goes; the detail names that one and its index. What
    snapshots drop, each against the indexes of all before it, is what one run over all would, the earlier ones preferred.

    ``profile`` says what words are: for ``prose`` letters and digits in lower case; for ``code`` also each other sign,
    so that ``a[i] + b`` and ``a(i) - b`` differ.
    """

    revision: ClassVar[int] = 6
    seeded: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "near_duplicate": "a document that stays is nearly the same, or with `mode: components` a chain of nearly the same ones "
        "leads to it; the detail names it and says how similar it is"
    }
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {**Paired.asset_settings, "tokenizer": "tokenizers"}
    reason: ClassVar[str] = "near_duplicate"

    similarity: float = Field(
        0.7, ge=0.3, le=1, description="Jaccard similarity of two sets of shingles from which one goes"
    )
    verify: Literal["true", "estimate"] = Field(
        "true", description="how candidates are compared: by the true similarity of their sets, or by an `estimate`"
    )
    mode: Literal["greedy", "components"] = Field(
        "greedy",
        description="who goes: documents like one that stays; or all but the first of each `components` of like ones",
    )
    units: Literal["words", "characters", "tokens"] = Field("words", description="what shingles are made of")
    n: int = Field(5, ge=1, le=100, description="units of a shingle; of characters one takes 20 or more")
    profile: Literal["prose", "code"] = Field("prose", description="whether signs count as words")
    tokenizer: str | None = Field(
        None, description="for `units: tokens`: a train.tokenizer step, or a folder with its files"
    )
    bands: int = Field(14, ge=1, le=200, description="hashes of a document that make it a candidate")
    rows: int = Field(8, ge=1, le=200, description="minima of a band: with more, only more similar ones are candidates")
    bins: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="choose bands and rows by `similarity`, of at most so many minima (as datasketch does)",
    )

    @field_validator("verify", mode="before")
    @classmethod
    def _true_is_a_word(cls, value: Any) -> Any:
        return "true" if value is True else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.units == "tokens") != (self.tokenizer is not None):
            raise ValueError("`units: tokens` and `tokenizer` go together")
        if self.tokenizer is not None and (self.index or self.against):
            raise ValueError(
                "an index of tokens would need its tokenizer: `index` and `against` go with words or characters"
            )
        if self.mode == "components" and (self.index or self.against):
            raise ValueError("later data joins clusters: `mode: components` goes without `index` and `against`")
        if self.units != "words" and self.profile != "prose":
            raise ValueError(f"profile says what words are, and these are {self.units}: leave it out")
        if self.bins is not None and {"bands", "rows"} & self.model_fields_set:
            raise ValueError("bins chooses bands and rows: leave them out, or bins")
        if self.bins is None and self.bands * self.rows > 4096:
            raise ValueError(f"{self.bands} bands of {self.rows} rows are more than 4096 minima")
        return self

    def index_settings(self) -> Mapping[str, Any]:
        """Shingles, bands, and what is written down of a document."""
        bands, rows = self.banding()
        said: dict[str, Any] = {"units": self.units, "n": self.n, "profile": self.profile, "bands": bands, "rows": rows}
        if self.units == "words":
            said["form"] = "NFC"  # older ones are of words in whatever form they were written
        return {**said, "seed": _SEED, "verify": self.verify, "bits": _BITS, "bound": self.bound}

    def settled(self) -> tuple[Phase, ...]:
        """As ``mode`` says."""
        if self.mode == "greedy":
            return super().settled()
        return Clusters(self, self.verifier(), "verify", self.reason).phases()

    def reported(self) -> tuple[str, ...]:
        """Clusters, where whole clusters go."""
        return ("summary",) if self.mode == "components" else ()

    def report(self, rows: Mapping[str, pa.Table], ctx: Context) -> Mapping[str, Any]:
        """How pure clusters are, and the largest."""
        return clusters_report(rows)

    def buckets(self) -> int:
        """One for each band."""
        return self.banding()[0]

    def banding(self) -> tuple[int, int]:
        """Bands and rows."""
        from curate.text.banding import banding

        return (self.bands, self.rows) if self.bins is None else banding(self.similarity, self.bins)

    # -- candidates -----------------------------------------------------------------------------------------

    def _grams(self, docs: Batch, ctx: Context) -> Ngrams:
        return docs.view(self._shingled(), lambda: self._ngrams(docs, ctx))

    def _shingled(self) -> str:
        return f"shingles of {self.n} {self.units} ({self.profile}, {self.tokenizer})"

    def _ngrams(self, docs: Batch, ctx: Context) -> Ngrams:
        from curate.text.ngrams import characters, ngrams

        if self.units == "characters":
            return ngrams(characters(docs.text), self.n)
        if self.units == "tokens":
            return ngrams(_tokens(docs.composed, ctx), self.n)
        return ngrams(docs.composed.words("folded" if self.profile == "prose" else "symbols"), self.n)

    def bucketed(self, docs: Batch, ctx: Context) -> Bucketed:
        """One for every band of a document; for one shorter than a shingle one that is keyed by its text."""
        from curate.text.arrow import fixed

        found = self._signatures(docs, ctx)
        bands, _ = self.banding()
        whole, long = np.flatnonzero(found.short), np.flatnonzero(~found.short)
        exact = np.ascontiguousarray(fixed(_whole(docs, whole))).view(np.uint64)
        band = np.tile(np.minimum(np.arange(bands), _SHORT - 1), len(long))
        return Bucketed(
            at=np.concatenate([np.repeat(long, bands), whole]),
            keys=np.concatenate([found.bands[long].reshape(-1), exact[:, 0]]),
            bands=np.concatenate([band, np.full(len(whole), _SHORT)]).astype(np.uint8),
            sizes=np.diff(self._grams(docs, ctx).rows).astype(np.uint32),
        )

    def _signatures(self, docs: Batch, ctx: Context) -> Signatures:
        from curate.text.minhash import signatures

        # The hashes are no choice of a recipe's: a constant seed keeps signatures comparable between runs.
        bands, rows = self.banding()
        make = partial(signatures, self._grams(docs, ctx), _SEED, bands, rows)
        return docs.view(f"{self._shingled()}, {bands} x {rows}", make)

    # -- what they are ----------------------------------------------------------------------------------------

    def verifier(self) -> Verifier:
        """By sets, or by sketches."""
        if self.verify == "true":
            return Verifier(pa.large_list(pa.uint64()), self._sets, _jaccard, self.similarity)
        bands, rows = self.banding()
        return Verifier(pa.binary(bands * rows), self._sketches, _estimate, self.similarity)

    def _sets(self, docs: Batch, ctx: Context) -> tuple[pa.Array, pa.Array]:
        from curate.text.shingles import shingles

        sets = shingles(self._grams(docs, ctx))
        described = pa.LargeListArray.from_arrays(pa.array(sets.rows), pa.array(sets.hashes))
        return described, _of_short(docs, np.diff(sets.rows) == 0)

    def _sketches(self, docs: Batch, ctx: Context) -> tuple[pa.Array, pa.Array]:
        from curate.text.arrow import from_fixed
        from curate.text.minhash import signatures

        found = signatures(self._grams(docs, ctx), _SEED, *self.banding(), _BITS)
        return from_fixed(found.sketch), _of_short(docs, found.short)


def _tokens(docs: Batch, ctx: Context) -> Units:
    from curate.stages.tokenizer import load
    from curate.text.ngrams import tokens

    encoded = load(ctx.assets["tokenizer"]).encode(docs.text)
    return tokens(encoded.offsets.to_numpy(), encoded.values.to_numpy().astype(np.int32))


def _whole(docs: Batch, which: npt.NDArray[np.int64]) -> pa.Array:
    """A hash of the whole text of some documents, binary16."""
    from curate.text.hashing import hash128
    from curate.text.normal import folded

    return hash128(folded(docs.text.take(pa.array(which))))


def _of_short(docs: Batch, short: npt.NDArray[np.bool_]) -> pa.Array:
    """The same of those that are short, null for the others."""
    if not short.any():
        return pa.nulls(len(short), pa.binary(16))
    at = np.where(short, np.cumsum(short) - 1, 0)
    return _whole(docs, np.flatnonzero(short)).take(pa.array(at, mask=~short))


def _jaccard(sets: pa.Array, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    from curate.text.shingles import Shingles, jaccard

    values = sets.values.to_numpy()
    return jaccard(Shingles(sets.offsets.to_numpy(), values), first, second)


def _estimate(
    sketches: pa.Array, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    from curate.text.arrow import fixed
    from curate.text.minhash import estimate

    rows = fixed(sketches)
    pieces = [
        estimate(rows[first[i : i + 65536]], rows[second[i : i + 65536]], _BITS) for i in range(0, len(first), 65536)
    ]
    return np.concatenate([np.zeros(0), *pieces])
