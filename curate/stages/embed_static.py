"""embed.static: an embedding of every document in-process, from vectors of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import pyarrow as pa
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register
from curate.text.batch import Batch

_VECTOR: Final = pa.list_(pa.float32(), 256)


@register("embed.static")
class EmbedStatic(Filter):
    """Add a column `vector`: the mean of the 256-number vectors of a document's tokens; every row stays.

    No model runs: tens of megabytes a second on one core, where `embed.llm` reads a few hundred tokens. It knows what a
    text is about, not how it says it. The vectors are those of the wheel `wordllama` (MIT; distilled from Llama 2's token
    embeddings), an optional extra: `pip install 'phi-curate[embeddings]'`. White space has no token; a row without a word
    has no vector.
    """

    signals: ClassVar[Mapping[str, pa.DataType]] = {"vector": _VECTOR}

    runs_on: ClassVar[str] = "embed"

    max_bytes: int = Field(8_192, ge=64, description="words that end within so many first bytes are embedded")

    def needs_packages(self) -> frozenset[str]:
        """The vectors, and what cuts texts into tokens."""
        return frozenset({"wordllama", "tokenizers"})

    def adds(self) -> Mapping[str, pa.DataType]:
        """The vector."""
        return self.signals

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``vector``: fixed_size_list<float32>[256], null for a row without a word."""
        from curate.quality.static_vectors import static_vectors

        rows, there = static_vectors().of(docs, self.max_bytes)
        values = pa.array(rows.reshape(-1), pa.float32())
        return {"vector": pa.FixedSizeListArray.from_arrays(values, type=_VECTOR, mask=pa.array(~there))}
