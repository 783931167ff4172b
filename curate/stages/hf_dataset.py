"""The folder that Hugging Face ``datasets`` opens: uncompressed Arrow IPC streams and two small JSON files.

Only uncompressed *stream* files are memory-mapped by ``datasets`` (measured with 5.2); the two JSON files are what
``Dataset.save_to_disk`` writes and ``load_from_disk`` needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa


@contextmanager
def stream_writer(path: Path, schema: pa.Schema) -> Iterator[pa.ipc.RecordBatchStreamWriter]:
    """A writer of an uncompressed IPC stream."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        yield writer


def dataset_files(shards: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """``state.json`` and ``dataset_info.json`` for shards, each with ``name`` and ``sha256``.

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
    info = {"citation": "", "description": "", "homepage": "", "license": ""}
    return {
        "state.json": (json.dumps(state, indent=2, sort_keys=True) + "\n").encode(),
        "dataset_info.json": (json.dumps(info, indent=2, sort_keys=True) + "\n").encode(),
    }
