"""A small corpus in every container that is read, made of the standard library, with planted copies."""

from __future__ import annotations

import gzip
import json
import pydoc_data.topics
import random
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Row = dict[str, Any]


def prose(count: int, size: int = 2000) -> list[str]:
    """Paragraphs of Python's language reference, about ``size`` characters each."""
    texts: list[str] = []
    for topic in sorted(pydoc_data.topics.topics):
        pending = ""
        for paragraph in pydoc_data.topics.topics[topic].split("\n\n"):
            pending += paragraph + "\n\n"
            if len(pending) >= size:
                texts.append(pending)
                pending = ""
            if len(texts) == count:
                return texts
    return texts


def code(count: int, size: int = 40_000) -> list[str]:
    """Files of the standard library up to ``size`` characters."""
    texts = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if 200 <= len(text) <= size:
            texts.append(text)
        if len(texts) == count:
            break
    return texts


def near_copy(text: str, rng: random.Random) -> str:
    """The same text with one word in sixty replaced: a Jaccard of 5-grams of about 0.85."""
    words = text.split(" ")
    for i in range(rng.randrange(60), len(words), 60):
        words[i] = "elsewhere"
    return " ".join(words)


def rows(texts: Sequence[str], name: str) -> list[Row]:
    """Records with own ids and a field that ends up in meta."""
    return [{"id": f"{name}-{i}", "text": t, "licence": "PSF-2.0", "number": i} for i, t in enumerate(texts)]


def lines(records: Sequence[Row]) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records)


def one_frame(data: bytes) -> bytes:
    """zstd that can only be read from its beginning."""
    return zstandard.ZstdCompressor(level=3).compress(data)


def many_frames(records: Sequence[Row], each: int = 10) -> bytes:
    """zstd in frames of some records, each with its size."""
    return b"".join(one_frame(lines(records[i : i + each])) for i in range(0, len(records), each))


def write_two_files(folder: Path, texts: Sequence[str]) -> None:
    """Two thirds of the texts as plain JSON lines, the others as one frame of zstd; own ids are a-0, a-1, ..."""
    folder.mkdir()
    made, cut = rows(texts, "a"), len(texts) * 2 // 3
    (folder / "a.jsonl").write_bytes(lines(made[:cut]))
    (folder / "b.jsonl.zst").write_bytes(one_frame(lines(made[cut:])))


def write_corpus(folder: Path, documents: int = 300, *, code_size: int = 40_000) -> Path:
    """Files of prose and code: plain, one-frame zst, many-frame zst, gz, Parquet; exact and near copies between them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(5)
    english, python = prose(documents), code(documents // 2, code_size)
    exact = [english[i] for i in range(0, len(english), 9)]
    near = [near_copy(english[i], rng) for i in range(4, len(english), 9)]
    half = len(english) // 2
    (folder / "prose.jsonl").write_bytes(lines(rows(english[:half], "a")))
    (folder / "prose-more.jsonl.zst").write_bytes(one_frame(lines(rows(english[half:] + exact + near, "b"))))
    some = len(python) // 2
    (folder / "code.jsonl.zst").write_bytes(many_frames(rows(python[:some], "c")))
    (folder / "code-more.jsonl.gz").write_bytes(gzip.compress(lines(rows(python[some:] + python[:7], "d")), mtime=0))
    table = rows([near_copy(t, rng) for t in english[2::11]] + exact[:5] + python[3:9], "e")
    pq.write_table(pa.Table.from_pylist(table), folder / "table.parquet", row_group_size=7)
    return folder
