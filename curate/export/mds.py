"""MosaicML streaming's MDS shards and their index.

A shard is: number of samples (u32), where each begins and the last ends (u32), the columns as JSON, the samples. A sample is
the sizes (u32) of its columns of no fixed size, then all columns in the order of their names. That is what ``MDSWriter`` of
mosaicml-streaming 0.13 writes (``streaming/base/format/mds/writer.py``), to the byte for the same columns and limit.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.export.format import Items, item_parts, with_sizes
from curate.export.ragged import as_bytes, joined, lengths_of, shorter
from curate.export.values import as_json, without_nulls
from curate.store.dataset import Dataset

_SCALARS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


class Mds(Items):
    """Rows as samples of MDS shards."""

    name = "mds"
    about = "MosaicML streaming: StreamingDataset(local=OUT, batch_size=...)"
    kinds = frozenset({"tokens", "documents", "text"})
    shard_bytes = 1 << 26

    def __init__(self, folder: Path, dataset: Dataset, schema: pa.Schema, shard_bytes: int) -> None:
        super().__init__(folder, dataset, schema, shard_bytes)
        self._names = sorted(schema.names)
        self._encodings = [encoding_of(schema.field(name).type) for name in self._names]
        self._sizes = [size_of(schema.field(name).type) for name in self._names]
        self._config: dict[str, Any] = {
            "version": 2,
            "format": "mds",
            "compression": None,
            "hashes": ["sha1"],
            "size_limit": self.most,
            "column_names": self._names,
            "column_encodings": self._encodings,
            "column_sizes": self._sizes,
        }
        self._head = json.dumps(self._config, sort_keys=True).encode()

    def shard_name(self, number: int) -> str:
        """``shard.00000.mds``."""
        return f"shard.{number:05d}.mds"

    def head(self) -> bytes:
        """The columns."""
        return self._head

    def beginning(self) -> int:
        """As MDSWriter counts."""
        return 8 + len(self._head)

    def items(self, batch: pa.RecordBatch) -> pa.LargeBinaryArray:
        """Each row as a sample."""
        columns = [without_nulls(self, name, batch.column(name)) for name in self._names]
        shown = [_values(column, encoding) for column, encoding in zip(columns, self._encodings, strict=True)]
        parts, sizes = item_parts(shown)
        free = [size for size, fixed in zip(sizes, self._sizes, strict=True) if fixed is None]
        return with_sizes(parts, free)

    def finish(self) -> None:
        """Write the last shard and the index."""
        super().finish()
        shards = []
        for file in self.files:
            data = (self.folder / file.name).stat().st_size
            digest = _sha1(self.folder / file.name)
            raw = {"basename": file.name, "bytes": data, "hashes": {"sha1": digest}}
            shards.append({"samples": file.rows, "raw_data": raw, "zip_data": None, **self._config})
        index = json.dumps({"version": 2, "shards": shards}, sort_keys=True)
        (self.folder / "index.json").write_text(index, encoding="utf-8")


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()


def encoding_of(kind: pa.DataType) -> str:
    """MDS's name for values of an Arrow type."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "str"
    if pa.types.is_boolean(kind):
        return "uint8"
    if str(_plain(kind)) in _SCALARS:
        return str(_plain(kind))
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and str(_plain(kind.value_type)) in _SCALARS:
        return f"ndarray:{_plain(kind.value_type)}"
    if pa.types.is_fixed_size_list(kind) and str(_plain(kind.value_type)) in _SCALARS:
        return f"ndarray:{_plain(kind.value_type)}:{kind.list_size}"
    return "json"


def _plain(kind: pa.DataType) -> str:
    return {"float": "float32", "double": "float64"}.get(str(kind), str(kind))


def size_of(kind: pa.DataType) -> int | None:
    """Bytes of each value, where all have as many."""
    if pa.types.is_fixed_size_list(kind) and encoding_of(kind) != "json":
        return int(kind.list_size * kind.value_type.bit_width // 8)
    if pa.types.is_boolean(kind):
        return 1
    return int(kind.bit_width // 8) if encoding_of(kind) in _SCALARS else None


def _values(column: pa.Array, encoding: str) -> pa.Array:
    if encoding == "json":
        return as_json(column)
    if not encoding.startswith("ndarray") or encoding.count(":") == 2:
        return column
    # An array without a fixed shape begins with its shape: 1 << 2 for one dimension, and log2 of the bytes of its length.
    lengths = lengths_of(column)
    code = np.searchsorted([1 << 8, 1 << 16], lengths, side="right")
    table = np.zeros((len(lengths), 5), np.uint8)
    table[:, 0] = 4 | code
    table[:, 1:] = lengths.astype("<u4").view(np.uint8).reshape(-1, 4)
    return joined([shorter(table, 1 + (1 << code).astype(np.int64)), as_bytes(column)])
