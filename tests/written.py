"""Written datasets made by hand from their layout (docs/shards.md), with loops that anybody can follow.

Nothing of the writers is used here, so that what reads datasets is not tested against the same mistake.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

EOT, PAD, VOCAB = 0, 1, 500


@dataclass(frozen=True)
class Document:
    """An encoded document: ``ids`` end with EOT; ``trained`` are lengths of runs, by turns not and trained on."""

    id: str
    source: str
    ids: list[int]
    trained: list[int] | None = None
    epoch: int = 0
    component: str = ""


@dataclass
class Piece:
    """Tokens [start, stop) of a document, at a place in a sequence."""

    document: Document
    start: int
    stop: int
    at: int = 0


@dataclass
class Made:
    """A dataset on the disk, and what it was made of: the pieces of each sequence."""

    folder: Path
    documents: list[Document]
    sequences: list[list[Piece]] = field(default_factory=list)


def documents(count: int, seed: int = 0, longest: int = 60, vocab: int = VOCAB, masked: bool = False) -> list[Document]:
    """Random documents of two sources; every fifth is there in two epochs."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        name = hashlib.sha256(f"{seed}-{number}".encode()).hexdigest()[:32]
        ids = [draw.randrange(2, vocab) for _ in range(draw.randrange(0, longest))] + [EOT]
        runs = None
        if masked and number % 2:
            cut = draw.randrange(0, len(ids))
            runs = [[cut, len(ids) - 1 - cut], [0, cut, len(ids) - 1 - cut], [], [len(ids) - 1]][draw.randrange(4)]
        source = "lessons" if number % 3 else "notes"
        made += [Document(name, source, ids, runs, epoch, source) for epoch in range(2 if number % 5 == 0 else 1)]
    draw.shuffle(made)
    return made


def packed(docs: Sequence[Document], sequence: int) -> list[list[Piece]]:
    """One stream, cut at ``sequence``; the last one may be short."""
    made: list[list[Piece]] = [[]]
    room = sequence
    for doc in docs:
        start = 0
        while start < len(doc.ids):
            if room == 0:
                made.append([])
                room = sequence
            take = min(room, len(doc.ids) - start)
            made[-1].append(Piece(doc, start, start + take, sequence - room))
            start += take
            room -= take
    return made


def trained_on(doc: Document) -> list[bool]:
    """For each token of a document, whether it is trained on."""
    if doc.trained is None:
        return [True] * len(doc.ids)
    found = [turn % 2 == 1 for turn, length in enumerate(doc.trained) for _ in range(length)]
    # What stands behind the last run, end-of-text, goes with it.
    return found + [len(doc.trained) % 2 == 0 and bool(doc.trained)] * (len(doc.ids) - len(found))


def row(pieces: Sequence[Piece], sequence: int) -> dict[str, list[int]]:
    """All columns of one sequence."""
    ids, positions, mask, segments = [], [], [], []
    for piece in pieces:
        length = piece.stop - piece.start
        ids += piece.document.ids[piece.start : piece.stop]
        positions += range(length)
        mask += [0, *map(int, trained_on(piece.document)[piece.start + 1 : piece.stop])]
        segments.append(length)
    rest = sequence - len(ids)
    if rest:
        ids, mask, segments = ids + [PAD] * rest, mask + [0] * rest, [*segments, rest]
        positions += range(rest)
    return {"input_ids": ids, "position_ids": positions, "loss_mask": mask, "segments": segments}


def write_tokens(
    folder: Path,
    docs: Sequence[Document],
    sequence: int = 32,
    shards: int = 2,
    dtype: str = "uint16",
    vocab: int = VOCAB,
    extra: Sequence[str] = ("position_ids", "loss_mask", "segments"),
    tail: str = "pad",
) -> Made:
    """Packed sequences with their side table beside them."""
    sequences = packed(docs, sequence)
    dropped: list[Piece] = []
    if tail == "drop" and sum(p.stop - p.start for p in sequences[-1]) < sequence:
        dropped = sequences.pop()
    kinds = {
        "input_ids": pa.list_(getattr(pa, dtype)(), sequence),
        "position_ids": pa.list_(pa.int32(), sequence),
        "loss_mask": pa.list_(pa.uint8(), sequence),
        "segments": pa.list_(pa.int32()),
    }
    schema = pa.schema([(name, kinds[name]) for name in ("input_ids", *extra)])
    per = -(-len(sequences) // shards)
    parts = [sequences[i : i + per] for i in range(0, len(sequences), per)]
    folder.mkdir(parents=True)
    said = []
    for number, part in enumerate(parts):
        rows = [row(pieces, sequence) for pieces in part]
        name = f"data-{number:05d}-of-{len(parts):05d}.arrow"
        tokens = sum(p.stop - p.start for pieces in part for p in pieces)
        said.append(write_shard(folder / name, schema, rows, 64, tokens))
        write_side(folder, number, len(parts), number * per, part)
    tokens = sum(s["tokens"] for s in said)
    shards_json = {
        "format": "curate.tokens/1",
        "sequence": sequence,
        "pack": "concat",
        "columns": {name: str(schema.field(name).type) for name in schema.names},
        "padding_tokens": len(sequences) * sequence - tokens,
        **about(docs, dropped, said, dtype, vocab),
        "trained": any(doc.trained is not None for doc in docs),
    }
    finish(folder, shards_json)
    return Made(folder, list(docs), sequences)


def write_documents(
    folder: Path, docs: Sequence[Document], shards: int = 2, dtype: str = "uint16", vocab: int = VOCAB
) -> Made:
    """Encoded documents."""
    masked = any(doc.trained is not None for doc in docs)
    fields = [("id", pa.string()), ("source", pa.string()), ("component", pa.string()), ("epoch", pa.int32())]
    fields += [("input_ids", pa.list_(getattr(pa, dtype)()))] + ([("trained", pa.list_(pa.int32()))] if masked else [])
    schema = pa.schema(fields)
    per = -(-len(docs) // shards)
    parts = [docs[i : i + per] for i in range(0, len(docs), per)]
    folder.mkdir(parents=True)
    said = []
    for number, part in enumerate(parts):
        rows = [
            {"id": d.id, "source": d.source, "component": d.component, "epoch": d.epoch, "input_ids": d.ids}
            | ({"trained": d.trained} if masked else {})
            for d in part
        ]
        name = f"data-{number:05d}-of-{len(parts):05d}.arrow"
        said.append(write_shard(folder / name, schema, rows, 7, sum(len(d.ids) for d in part)))
    columns = {name: str(schema.field(name).type) for name in schema.names}
    finish(folder, {"format": "curate.documents/1", "columns": columns, **about(docs, [], said, dtype, vocab)})
    return Made(folder, list(docs))


def write_texts(folder: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema, shards: int = 2) -> Made:
    """A dataset of texts, as write.text leaves it."""
    per = -(-len(rows) // shards)
    parts = [rows[i : i + per] for i in range(0, len(rows), per)]
    folder.mkdir(parents=True)
    said = [
        write_shard(folder / f"data-{n:05d}-of-{len(parts):05d}.arrow", schema, part, 5, 0)
        for n, part in enumerate(parts)
    ]
    finish(folder, {"shards": said})
    (folder / "shards.json").unlink()
    return Made(folder, [])


def write_shard(
    path: Path, schema: pa.Schema, rows: Sequence[dict[str, Any]], per_batch: int, tokens: int
) -> dict[str, Any]:
    """One IPC stream; what shards.json says of it."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as out:
        for start in range(0, len(rows), per_batch):
            out.write_batch(pa.RecordBatch.from_pylist(list(rows[start : start + per_batch]), schema=schema))
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    return {"name": path.name, "sha256": digest, "size": len(raw), "rows": len(rows), "tokens": tokens}


SIDE = pa.schema(
    [
        ("sequence", pa.int64()),
        ("at", pa.int32()),
        ("length", pa.int32()),
        ("start", pa.int64()),
        ("document", pa.string()),
        ("source", pa.string()),
        ("component", pa.string()),
        ("epoch", pa.int32()),
        ("cut", pa.bool_()),
    ]
)


def write_side(folder: Path, number: int, count: int, first: int, part: Sequence[Sequence[Piece]]) -> None:
    """The side table of one shard, whose first sequence is number ``first`` of the dataset."""
    rows = [
        {
            "sequence": first + i,
            "at": piece.at,
            "length": piece.stop - piece.start,
            "start": piece.start,
            "document": piece.document.id,
            "source": piece.document.source,
            "component": piece.document.component,
            "epoch": piece.document.epoch,
            "cut": piece.stop - piece.start < len(piece.document.ids),
        }
        for i, pieces in enumerate(part)
        for piece in pieces
    ]
    beside = folder.with_name(f"{folder.name}.sequences")
    beside.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SIDE), beside / f"sequences-{number:05d}-of-{count:05d}.parquet")


def about(
    docs: Sequence[Document], dropped: Sequence[Piece], said: list[dict[str, Any]], dtype: str, vocab: int
) -> dict[str, Any]:
    """What both kinds of shards.json say."""
    sources: dict[str, dict[str, Any]] = {}
    for doc in docs:
        here = sources.setdefault(
            doc.component,
            {"documents": 0, "tokens_in": 0, "copies": 0, "tokens_taken": 0, "tokens": 0, "dropped": 0},
        )
        if doc.epoch == 0:
            here["documents"] += 1
            here["tokens_in"] += len(doc.ids)
        here["copies"] += 1
        here["tokens_taken"] += len(doc.ids)
    for piece in dropped:
        sources[piece.document.component]["dropped"] += piece.stop - piece.start
    for here in sources.values():
        here["tokens"] = here["tokens_taken"] - here["dropped"]
        here["epochs"] = here["tokens_taken"] / here["tokens_in"]
    return {
        "dtype": dtype,
        "vocab_size": vocab,
        "end_of_text": EOT,
        "padding": PAD,
        "rows": sum(s["rows"] for s in said),
        "tokens": sum(s["tokens"] for s in said),
        "shards": said,
        "sources": sources,
    }


def finish(folder: Path, said: dict[str, Any]) -> None:
    """shards.json, state.json, dataset_info.json."""
    digests = "\n".join(s["sha256"] for s in said["shards"])
    state = {
        "_data_files": [{"filename": s["name"]} for s in said["shards"]],
        "_fingerprint": hashlib.sha256(digests.encode()).hexdigest()[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": "train",
    }
    (folder / "shards.json").write_text(json.dumps(said))
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(
        json.dumps({"citation": "", "description": "", "homepage": "", "license": ""})
    )


def resealed(folder: Path) -> None:
    """Let shards.json say what its shards now are: for damage that a digest would tell first."""
    said = json.loads((folder / "shards.json").read_text())
    for shard in said["shards"]:
        raw = (folder / shard["name"]).read_bytes()
        shard.update(size=len(raw), sha256=hashlib.sha256(raw).hexdigest())
    finish(folder, said)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """All rows of a dataset's shards, in order."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.arrow")):
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            found += reader.read_all().to_pylist()
    return found


def texts(count: int, seed: int = 0) -> tuple[list[dict[str, Any]], pa.Schema]:
    """Rows of a dataset of texts with columns of most types, nulls among them."""
    draw = random.Random(seed)
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.large_string()),
            ("source", pa.string()),
            ("meta", pa.string()),
            ("value.score", pa.float32()),
            ("rules.words", pa.int64()),
            ("labels.sure", pa.bool_()),
            ("tags", pa.list_(pa.string())),
            ("sketch", pa.list_(pa.int32())),
        ]
    )
    rows = []
    for number in range(count):
        text = "".join(draw.choice("aé漢🙂\n ") for _ in range(draw.randrange(0, 400)))
        rows.append(
            {
                "id": f"{number:032x}",
                "text": text,
                "source": draw.choice(["web", "code"]),
                "meta": None if number % 7 == 0 else json.dumps({"url": f"http://x/{number}"}),
                "value.score": None if number % 5 == 0 else float(np.float32(draw.random())),
                "rules.words": number,
                "labels.sure": number % 2 == 0,
                "tags": [] if number % 3 else ["a", 'b"'],
                "sketch": [draw.randrange(-5, 5) for _ in range(draw.randrange(1, 300))],
            }
        )
    return rows, schema
