"""encode.tokens: every document as a tokenizer's ids, in columns that writers read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate import assets
from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register
from curate.stages.tokenizer import load
from curate.text.batch import Batch


@register("encode.tokens")
class EncodeTokens(Filter):
    """Add a document's tokens as columns; every row stays.

    ``ids`` are little-endian uint16, or uint32 from a vocabulary of 65,536 on, without an end-of-text token; ``count`` is how
    many there are. ``decode(ids)`` is the text, always, and no text is encoded to a control symbol: a literal
    ``<|endoftext|>`` is its characters. A writer names this step (``tokens: STEP``) and is given its tokenizer, too.
    """

    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"tokenizer": "tokenizers"}
    lends: ClassVar[str] = "tokenizer"
    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "ids": pa.large_binary(),
        "count": pa.int64(),
        "trained": pa.list_(pa.int32()),
    }

    tokenizer: str = Field(description="a train.tokenizer step, a tokenizer's file, or a folder with its files")

    def adds(self) -> Mapping[str, pa.DataType]:
        """``ids``, ``count``; ``trained``: null, for all of a document is trained on."""
        return self.signals

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """The three columns."""
        ids = load(ctx.assets["tokenizer"]).encode(docs.text)
        counts = np.diff(ids.offsets.to_numpy())
        return {"ids": as_bytes(ids), "count": pa.array(counts), "trained": pa.nulls(len(docs), pa.list_(pa.int32()))}


def as_bytes(ids: pa.LargeListArray) -> pa.LargeBinaryArray:
    """Lists of ids as their little-endian bytes, without a copy of them."""
    values = ids.values.to_numpy()
    offsets = ids.offsets.to_numpy() * values.itemsize
    data = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(ids), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def as_ids(data: pa.LargeBinaryArray, dtype: np.dtype[np.uint16] | np.dtype[np.uint32]) -> pa.LargeListArray:
    """What ``as_bytes`` was given; a null is an empty list."""
    from curate.text.arrow import buffers

    offsets, raw = buffers(data)
    values = raw[offsets[0] : offsets[-1]].view(dtype.newbyteorder("<")).astype(dtype, copy=False)
    return pa.LargeListArray.from_arrays(pa.array((offsets - offsets[0]) // dtype.itemsize), pa.array(values))
