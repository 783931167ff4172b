"""litdata's chunks and their index.

A chunk is: number of items (u32), where each begins and the last ends (u32), the items. Of documents an item is its token
ids, and the index says ``TokensLoader``: a reader takes blocks of any length across documents, as LitGPT does. Of any other
rows an item is the sizes (u32) of its values, then the values. That is what ``BinaryWriter`` of litdata 0.2.76 writes
(``litdata/streaming/writer.py``), but for ``updated_at``, which is no time here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curate.export.format import Items, ids_alone, item_parts, with_sizes
from curate.export.ragged import as_bytes
from curate.export.values import as_json, without_nulls
from curate.store.dataset import Dataset

_NUMPY: Final = (
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "halffloat",
    "float",
    "double",
)
"""Arrow's names of the numpy types, in the order of litdata's ``_NUMPY_DTYPES_MAPPING``."""
_LEAF: Final[dict[str, Any]] = {"type": None, "context": None, "children_spec": []}


class LitData(Items):
    """Rows as items of litdata's chunks."""

    name = "litdata"
    about = "litdata: StreamingDataset(OUT); of documents with item_loader=TokensLoader(block_size=...)"
    kinds = frozenset({"tokens", "documents", "text"})
    shard_bytes = 1 << 26

    @classmethod
    def columns(cls, dataset: Dataset, schema: pa.Schema, asked: Sequence[str] | None) -> list[str]:
        """Of a stream of documents the ids, of other rows any."""
        if dataset.kind == "documents":
            return ids_alone(cls, dataset, schema, asked)
        return super().columns(dataset, schema, asked)

    def __init__(self, folder: Path, dataset: Dataset, schema: pa.Schema, shard_bytes: int) -> None:
        super().__init__(folder, dataset, schema, shard_bytes)
        self._stream = dataset.kind == "documents"
        self._formats = [format_of(schema.field(name).type) for name in schema.names]

    def shard_name(self, number: int) -> str:
        """As one worker names its chunks."""
        return f"chunk-0-{number}.bin"

    def items(self, batch: pa.RecordBatch) -> pa.LargeBinaryArray:
        """Each row as an item."""
        if self._stream:
            return as_bytes(batch.column("input_ids"))
        columns = []
        for name, said in zip(self.schema.names, self._formats, strict=True):
            column = without_nulls(self, name, batch.column(name))
            if said == "str" and not _is_text(column.type):
                column = as_json(column)
            columns.append(column.cast(_STORED[said]) if said in _STORED else column)
        parts, sizes = item_parts(columns)
        return with_sizes(parts, sizes)

    def finish(self) -> None:
        """Write the last chunk and the index."""
        super().finish()
        chunks = [
            {
                "chunk_bytes": (self.folder / file.name).stat().st_size,
                "chunk_size": file.rows,
                "dim": file.tokens if self._stream else None,
                "filename": file.name,
            }
            for file in self.files
        ]
        index = json.dumps({"chunks": chunks, "config": self._config(), "updated_at": "0"}, sort_keys=True)
        (self.folder / "index.json").write_text(index, encoding="utf-8")

    def _config(self) -> dict[str, Any]:
        names = self.schema.names
        spec = {"type": "builtins.dict", "context": json.dumps(names), "children_spec": [_LEAF] * len(names)}
        types = {name: said if said in _PLAIN else "json" for name, said in zip(names, self._formats, strict=True)}
        return {
            "chunk_bytes": self.most,
            "chunk_size": None,
            "compression": None,
            "compression_batch_size": None,
            "compression_level": None,
            "data_format": self._formats,
            "data_spec": json.dumps([1, _LEAF if self._stream else spec]),
            "encryption": None,
            "ipc_compression": None,
            "item_loader": "TokensLoader" if self._stream else "PyTreeLoader",
            "types": "json" if self._stream else types,
        }


_PLAIN: Final = ("str", "int", "float")
_STORED: Final = {"int": pa.int64(), "float": pa.float64()}


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def format_of(kind: pa.DataType) -> str:
    """The name that litdata has for values of an Arrow type; anything nested is a text of JSON."""
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "int"
    if pa.types.is_floating(kind):
        return "float"
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if lists and str(kind.value_type) in _NUMPY:
        return f"no_header_numpy:{_NUMPY.index(str(kind.value_type))}"
    return "str"
