"""The folder that Hugging Face ``datasets`` opens: uncompressed Arrow IPC streams and two small JSON files.

Only uncompressed *stream* files are memory-mapped by ``datasets`` (measured with 5.2); the two JSON files are what
``Dataset.save_to_disk`` writes and ``load_from_disk`` needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa


@contextmanager
def stream_writer(path: Path, schema: pa.Schema) -> Iterator[pa.ipc.RecordBatchStreamWriter]:
    """A writer of an uncompressed IPC stream."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        yield writer


def in_batches(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The same rows, ``rows`` at a time: shards are cut by count, so their batches are too, whatever came in."""
    held: list[pa.Table] = []
    count = 0
    for batch in batches:
        held.append(pa.Table.from_batches([batch]))
        count += batch.num_rows
        if count >= rows:
            table = pa.concat_tables(held)
            full = count // rows * rows
            for start in range(0, full, rows):
                yield table.slice(start, rows)
            held, count = [table.slice(full)], count - full
    if count:
        yield pa.concat_tables(held)


def dataset_files(shards: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None) -> dict[str, bytes]:
    """``state.json`` and ``dataset_info.json`` for shards, each with ``name`` and ``sha256``, of rows of a schema;
    without it ``datasets`` reads the columns' types from the shards.

    The fingerprint in state.json names the content for the cache of ``datasets``.
    """
    state: dict[str, Any] = {
        "_data_files": [{"filename": shard["name"]} for shard in shards],
        "_fingerprint": hashlib.sha256("\n".join(str(shard["sha256"]) for shard in shards).encode()).hexdigest()[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": "train",
    }
    info: dict[str, Any] = {"citation": "", "description": "", "homepage": "", "license": ""}
    if schema is not None:
        info["features"] = {field.name: _feature(field.type) for field in schema}
    return {
        "state.json": (json.dumps(state, indent=2, sort_keys=True) + "\n").encode(),
        "dataset_info.json": (json.dumps(info, indent=2, sort_keys=True) + "\n").encode(),
    }


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A column's type as ``datasets`` (5.2) writes it."""
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_large_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "LargeList"}
    named = {pa.float64(): "float64", pa.float32(): "float32", pa.float16(): "float16"}
    return {"dtype": named.get(kind, str(kind)), "_type": "Value"}
