r"""Megatron-LM's indexed datasets: ``NAME.bin`` has token ids end to end, ``NAME.idx`` where each document lies.

The layout is that of ``megatron/core/datasets/indexed_dataset.py`` (megatron-core 0.16)::

    "MMIDIDX\0\0", version 1 (u64), code of the dtype (u8), sequences (u64), documents + 1 (u64)
    tokens of each sequence (i32), its first byte (i64), first sequence of each document (i64) and the end

Each document is one sequence, as ``tools/preprocess_data.py --append-eod`` writes them.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.export.format import File, Stream
from curate.export.ragged import Lengths

_CODES: Final = {"uint16": 8, "int32": 4}
"""Codes of the dtypes that ids are written in: Megatron has no uint32."""


class Megatron(Stream):
    """Documents as ``.bin`` and ``.idx``."""

    name = "megatron"
    about = "Megatron-LM and NeMo: --data-path OUT/00000_documents ..., each name without its ending"
    shard_bytes = 8 << 30

    def shard_name(self, number: int) -> str:
        """``00000_documents.bin``."""
        return f"{number:05d}_documents.bin"

    def encoded(self, ids: pa.Array) -> pa.Array:
        """As uint16, or int32 from a vocabulary of 65,536."""
        if self._dtype == "uint16":
            return ids
        return pc.cast(ids, pa.large_list(pa.int32()) if pa.types.is_large_list(ids.type) else pa.list_(pa.int32()))

    @property
    def _dtype(self) -> str:
        return "uint16" if self.dataset.dtype.itemsize == 2 else "int32"

    def beside(self, file: File, lengths: Lengths) -> None:
        """Write the index."""
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) * np.dtype(self._dtype).itemsize
        with (self.folder / file.name).with_suffix(".idx").open("wb") as out:
            out.write(b"MMIDIDX\x00\x00")
            out.write(struct.pack("<QBQQ", 1, _CODES[self._dtype], len(lengths), len(lengths) + 1))
            out.write(lengths.astype("<i4").tobytes())
            out.write(starts.astype("<i8").tobytes())
            out.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())
