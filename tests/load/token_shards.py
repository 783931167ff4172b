"""Small datasets as write.tokens publishes them, with rows that say which they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

END, PADDING = 65_001, 65_002


def tokens(rows: int, sequence: int, dtype: Any = np.uint16, seed: int = 0) -> np.ndarray:
    """Random ids [rows, sequence]; the first tell rows apart, and from those of other seeds."""
    ids = np.random.default_rng(seed).integers(0, 60_000, (rows, sequence)).astype(dtype)
    ids[:, 0] = np.arange(rows)
    return ids


def pieces(rows: int, sequence: int, seed: int = 0) -> list[list[int]]:
    """Lengths of documents' pieces in each row, which sum up to the sequence."""
    random = np.random.default_rng(seed + 1)
    cuts = [np.unique(random.integers(1, max(2, sequence), random.integers(0, 4))) for _ in range(rows)]
    return [np.diff(np.unique([0, *c, sequence])).tolist() for c in cuts]


def table(rows: int, sequence: int = 8, dtype: Any = np.uint16, seed: int = 0, *, full: bool = False) -> pa.Table:
    """input_ids, and with ``full`` all other columns that there may be."""
    listed = pa.FixedSizeListArray.from_arrays
    columns = {"input_ids": listed(tokens(rows, sequence, dtype, seed).ravel(), sequence)}
    if full:
        lengths = pieces(rows, sequence, seed)
        positions = np.concatenate([np.arange(n) for row in lengths for n in row] or [np.zeros(0)]).astype(np.int32)
        columns |= {
            "doc_ids": pa.array([[f"{i:x}"] * (i % 3) for i in range(rows)], pa.list_(pa.string())),
            "position_ids": listed(positions, sequence),
            "loss_mask": listed((positions > 0).astype(np.uint8), sequence),
            "segments": pa.array(lengths, pa.list_(pa.int32())),
            "quality": pa.array(np.arange(rows) / 8, pa.float32()),
        }
    return pa.table(columns)


def stream(path: Path, data: pa.Table, per: int | Sequence[int] = 4, **options: Any) -> bytes:
    """Write a stream with batches of so many rows; its bytes."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, data.schema, **options) as out:
        at = 0
        for size in [per] * (-(-len(data) // per)) if isinstance(per, int) else per:
            for batch in data.slice(at, size).combine_chunks().to_batches():
                out.write_batch(batch)
            at += size
    return path.read_bytes()


def dataset(
    folder: Path, data: pa.Table, sizes: Sequence[int], per: int | Sequence[int] = 4, *, listed: bool = True
) -> Path:
    """Rows as shards of so many each, and the JSON files beside them; without ``listed`` just the streams and state.json."""
    folder.mkdir(parents=True, exist_ok=True)
    shards, at = [], 0
    for i, size in enumerate(sizes):
        name = f"data-{i:05d}-of-{len(sizes):05d}.arrow"
        written = stream(folder / name, data.slice(at, size), per)
        facts = {"rows": size, "size": len(written), "sha256": hashlib.sha256(written).hexdigest()}
        shards.append({"name": name, "tokens": size * 8, **facts})
        at += size
    sequence = data.schema.field("input_ids").type
    whole = {"format": "curate.tokens/1", "sequence": getattr(sequence, "list_size", None), "dtype": "uint16"}
    whole |= {"vocab_size": 65_003, "end_of_text": END, "padding": PADDING, "pack": "concat", "rows": len(data)}
    state = {"_data_files": [{"filename": s["name"]} for s in shards], "_fingerprint": "0123456789abcdef"}
    (folder / "state.json").write_text(json.dumps(state))
    if listed:
        (folder / "shards.json").write_text(json.dumps({**whole, "tokens": len(data) * 8, "shards": shards}))
    return folder
