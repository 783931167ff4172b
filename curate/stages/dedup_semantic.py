"""Documents that say about the same, told from embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import InputError
from curate.schema import ID_TYPE
from curate.stages.base import Context
from curate.stages.paired import Bucketed, Paired
from curate.stages.registry import register
from curate.stages.verified import Verifier
from curate.text.batch import Batch

_SEED: Final = 0


@register("dedup.semantic")
class DedupSemantic(Paired):
    """Keep one of the documents whose embeddings point the same way.

    Vectors come from a column: `embed.static`, `embed.llm`, or the input's own (`vector:` of the step that reads it).
    Documents that share one of ``cells`` cells of directions (``curate.quality.cells``) are candidates; those whose vectors
    have a cosine of at least ``similarity`` are duplicates, and one goes in favour of one that stays, in the order that
    ``keep`` says: as in ``dedup.near``, no chain of small changes removes what is like nothing that is kept, and the detail
    names the most similar one. A document without a vector stays.

    With 14 cells of 2 hashes, of pages' vectors 99.9 % of the pairs with a cosine of 0.95 or more are candidates, 98 % of those with
    0.9. For lower thresholds take more cells; for tens of millions of documents 3 hashes, whose cells are smaller, and 28 cells.
    Cosines mean something for vectors of one model alone: an index of ``against`` whose vectors were made by another one, or
    have another length, is refused. Of vectors that come with the data nobody knows the model: that is yours to see to.

    What embeddings find alike is not the same text: look at what goes (`curate explain`) before you trust a threshold.
    """

    revision: ClassVar[int] = 3
    seeded: ClassVar[bool] = False
    reasons: ClassVar[Mapping[str, str]] = {
        "semantic_duplicate": "a document that stays says about the same; the detail names it, with the cosine of both vectors"
    }
    reason: ClassVar[str] = "semantic_duplicate"

    column: str = Field(
        min_length=1,
        description="column of vectors, such as `embed.vector`, or `docs.vector` of step `docs` that reads them",
    )
    similarity: float = Field(0.95, ge=0.5, le=1, description="cosine from which one goes")
    cells: int = Field(
        14, ge=1, le=128, description="cells in which a document lies: with more, more pairs are candidates"
    )
    hashes: int = Field(2, ge=1, le=4, description="hashes of a cell: with more, cells are smaller")

    def reads(self) -> frozenset[str]:
        """The vectors, and what ``keep`` names."""
        return super().reads() | {self.column}

    def index_settings(self) -> Mapping[str, Any]:
        """How cells are drawn."""
        return {"cells": self.cells, "hashes": self.hashes, "seed": _SEED, "bound": self.bound}

    found: ClassVar[frozenset[str]] = frozenset({"numbers"})

    def compared_by(self) -> tuple[str, ...]:
        """The vectors."""
        return (self.column,)

    def found_in(self, table: str, rows: pa.Table) -> Mapping[str, Any]:
        """How many numbers a vector has."""
        if "described" not in rows.schema.names:
            return {}
        lengths = pc.unique(pc.list_value_length(rows.column("described"))).to_pylist()
        lengths = [length for length in lengths if length]
        if len(lengths) > 1:
            raise self._other_lengths(lengths)
        return {"numbers": lengths[0]} if lengths else {}

    def _other_lengths(self, lengths: Iterable[int]) -> InputError:
        return InputError(
            f"column '{self.column}' holds vectors of {', '.join(map(str, sorted(lengths)[:4]))} numbers",
            cure="compare vectors of one model",
        )

    def buckets(self) -> int:
        """One for each cell."""
        return self.cells

    def bucketed(self, docs: Batch, ctx: Context) -> Bucketed:
        """A cell of each table."""
        from curate.quality.cells import cells
        from curate.quality.vectors import matrix

        vectors, there = matrix(docs.column(self.column), self.column)
        for index in self.indexes(ctx) if len(vectors) else ():
            numbers = index.settings.get("numbers", vectors.shape[1])
            if numbers != vectors.shape[1]:
                raise InputError(
                    f"column '{self.column}' holds vectors of {vectors.shape[1]} numbers, and those of the index have {numbers}",
                    place=str(index.at),
                    cure="embed with the model that the earlier data was embedded with, or index that anew",
                )
        # The rotations are no choice of a recipe's: a constant seed keeps cells comparable between runs.
        keys, directed = cells(vectors, self.cells, self.hashes, _SEED)
        which = np.flatnonzero(there)[directed]
        return Bucketed(
            at=np.repeat(which, self.cells),
            keys=keys[directed].reshape(-1),
            bands=np.tile(np.arange(self.cells), len(which)).astype(np.uint8),
            sizes=(there * vectors.shape[1] // 2).astype(np.uint32),
        )

    def verifier(self) -> Verifier:
        """By the vectors themselves."""
        return Verifier(pa.large_list(pa.float32()), self._vectors, self._cosines, self.similarity)

    def _vectors(self, docs: Batch, ctx: Context) -> tuple[pa.Array, pa.Array]:
        from curate.quality.vectors import matrix

        vectors, there = matrix(docs.column(self.column), self.column)
        ends = np.concatenate(([0], np.cumsum(there * vectors.shape[1]))).astype(np.int64)
        described = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(vectors.reshape(-1), pa.float32()))
        return described, pa.nulls(len(docs), ID_TYPE)

    def _cosines(
        self, vectors: pa.Array, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        from curate.quality.cells import cosines

        lengths = np.unique(np.asarray(vectors.value_lengths()))
        if len(lengths) > 1:
            raise self._other_lengths(lengths.tolist())
        rows = vectors.flatten().to_numpy().reshape(len(vectors), -1)
        return cosines(rows, first, second)
