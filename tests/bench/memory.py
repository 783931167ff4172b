"""Memory of workers, by what could fill it: ``make memory``, or ``python -m tests.bench.memory [twenty ...] [--mb 8000] [--format parquet]``.

* ``too_large FORMAT``: a document of 500 MB among small ones, which is set aside by name. JSON lines, gz, zst, Parquet, Arrow.
* ``tiny``: a million documents of a few bytes through reading, exact deduplication and writing.
* ``twenty FORMAT``: an input file of 20 times ``--worker-memory`` (400 MiB, of which Python and its libraries need about 290): a nanny ends a worker that comes to 95 % of it.
* ``tokens PACK``: the same text encoded, mixed, shuffled, packed and written by write.tokens, in
  workers of 700 MiB. MB are token bytes, ten times that memory (with --mb 8000, which takes about 40 GB of disk).

Peaks are VmHWM of each worker from /proc, pages of mapped files included. ``start`` is that of a worker that read
almost nothing: Python, Arrow and the kernels. Parquet and Arrow hold a page or batch as one piece, which is what a
format makes unavoidable: there the document itself is in memory once (see docs/scale.md).
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
import zstandard

from tests.bench.big_file import run

TOKEN_WORKER = 700
"""MiB of a worker that writes tokens: 290 are there before it has read anything."""
TEXT_FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst")
FORMATS = (*TEXT_FORMATS, "parquet", "arrow")
WORDS = b"the river runs past a mill and a list of numbers is sorted by the function that the teacher wrote for us "


@dataclass(frozen=True)
class Peak:
    """What a run needed: MiB of the largest worker, seconds, and the manifest's steps by id."""

    mib: float
    seconds: float
    steps: dict[str, Any]


def lines(path: Path, rows: Iterator[tuple[str, list[bytes]]]) -> int:
    """Write JSON lines of (id, pieces of an ASCII text without quotes); plain, gz or zst by the name. Bytes of plain JSON."""
    written = 0
    with path.open("wb") as file:
        if path.suffix == ".gz":
            out: Any = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0)
        elif path.suffix == ".zst":
            out = zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False)
        else:
            out = file
        for own, pieces in rows:
            for piece in (b'{"id":"%s","text":"' % own.encode(), *pieces, b'"}\n'):
                written += len(piece)
                out.write(piece)
        if out is not file:
            out.close()
    return written


def one_large(path: Path, size: int) -> None:
    """A document of ``size`` bytes in the middle of 400 small ones."""
    block = WORDS * 10_000

    def rows() -> Iterator[tuple[str, list[bytes]]]:
        for i in range(401):
            large = i == 200
            yield ("large", [block] * -(-size // len(block))) if large else (f"small{i}", [b"%d " % i, WORDS * 3])

    if path.suffix in (".parquet", ".arrow"):
        ids, texts = zip(*((own, b"".join(pieces)) for own, pieces in rows()), strict=True)
        table = pa.table({"id": ids, "text": pa.array(texts, pa.large_binary()).cast(pa.large_string())})
        if path.suffix == ".parquet":
            pq.write_table(table, path, row_group_size=100)
        else:
            with pa.ipc.new_file(str(path), table.schema) as out:
                out.write_table(table, max_chunksize=100)
    else:
        lines(path, rows())


def many_tiny(path: Path, count: int) -> None:
    """Documents of a few bytes; one in a thousand comes twice."""
    lines(path, ((str(i), [b"tiny %d" % (i if i % 1000 else 7)]) for i in range(count)))


def repeated(path: Path, size: int, document: int = 4000) -> None:
    """About ``size`` bytes of documents with words of their own; Parquet in row groups of 64 MB."""
    rng, words = np.random.default_rng(3), WORDS.split()
    pool = [b" ".join(words[i] for i in rng.integers(0, len(words), document // 5)) for _ in range(200)]
    count = size // (len(pool[0]) + 30)
    rows = ((str(i), [b"%d " % i, pool[i % 200]]) for i in range(count))
    if path.suffix != ".parquet":
        lines(path, rows)
        return
    schema = pa.schema([("id", pa.string()), ("text", pa.large_string())])
    with pq.ParquetWriter(path, schema) as out:
        held: list[tuple[str, str]] = []
        for own, pieces in rows:
            held.append((own, b"".join(pieces).decode()))
            if len(held) * document >= 64 << 20:
                out.write_table(pa.Table.from_arrays([pa.array(c) for c in zip(*held, strict=True)], schema=schema))
                held = []
        if held:
            out.write_table(pa.Table.from_arrays([pa.array(c) for c in zip(*held, strict=True)], schema=schema))


def to_tokens(pack: str) -> list[dict[str, Any]]:
    """The steps that encode documents and write them as a mixture, all of them 2.1 times."""
    written = {"tokens": "tokens", "pack": pack, "mix": {"components": {"docs": {"epochs": 2.1}}}}
    return [
        {"id": "tokenizer", "use": "train.tokenizer", "with": {"vocab_size": 2048, "max_bytes": 1_000_000}},
        {"id": "tokens", "use": "encode.tokens", "from": "docs", "with": {"tokenizer": "tokenizer"}},
        {"id": "out", "use": "write.tokens", "with": written},
    ]


def measure(
    path: Path,
    *,
    dedup: bool = True,
    memory: str | None = None,
    end: list[dict[str, Any]] | None = None,
    **settings: Any,
) -> Peak:
    """Read a file, perhaps deduplicate, and write it, with one worker; the store is removed. ``end``: instead of write.text."""
    use = {"parquet": "read.parquet", "arrow": "read.arrow"}.get(path.suffix[1:], "read.jsonl")
    steps: list[dict[str, Any]] = [{"id": "docs", "use": use, "with": {"paths": [str(path)], **settings}}]
    steps += [{"id": "one", "use": "dedup.exact"}] if dedup else []
    steps += [{"id": "out", "use": "write.text"}] if end is None else end
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        recipe, store = Path(folder) / "r.yaml", Path(folder) / "run"
        recipe.write_text(yaml.safe_dump({"recipe": "memory", "steps": steps}, sort_keys=False))
        ran = run(recipe, store, 1, more=("--worker-memory", memory) if memory else ())
        manifest = json.loads((store / "manifest.json").read_bytes())
        return Peak(max(ran.workers_mib), ran.seconds, {step["id"]: step for step in manifest["steps"]})


@dataclass(frozen=True)
class Asked:
    """What the command line asks for, where files are made, and what a worker needs that has read almost nothing."""

    mb: float
    large: int
    tiny: int
    home: Path
    start: float
    formats: tuple[str, ...] = FORMATS


def too_large(asked: Asked) -> Iterator[dict[str, Any]]:
    """A document that is set aside, by format."""
    for form in asked.formats:
        path = asked.home / f"large.{form}"
        one_large(path, asked.large)
        peak = measure(path)
        assert peak.steps["docs"]["reasons"] == {"too_large": 1}, peak.steps["docs"]
        assert peak.steps["out"]["rows_out"] == 400
        yield _row(f"too_large {form}", path, peak, asked.start)


def tiny(asked: Asked) -> Iterator[dict[str, Any]]:
    """Many documents of a few bytes."""
    path = asked.home / "tiny.jsonl"
    many_tiny(path, asked.tiny)
    peak = measure(path)
    assert peak.steps["out"]["rows_out"] == asked.tiny - -(-asked.tiny // 1000) + 1 - (asked.tiny > 7)
    yield _row("tiny", path, peak, asked.start)


def twenty(asked: Asked) -> Iterator[dict[str, Any]]:
    """Twenty times the memory of a worker, by format."""
    for form in filter({*TEXT_FORMATS, "parquet"}.__contains__, asked.formats):
        path = asked.home / f"twenty.{form}"
        repeated(path, int(asked.mb * (1 << 20)))
        peak = measure(path, dedup=False, memory=f"{asked.mb / 20:g}MiB")
        yield _row(f"twenty {form}", path, peak, asked.start)


def tokens(asked: Asked) -> Iterator[dict[str, Any]]:
    """Token bytes of ten times the memory of a worker, by how they are packed."""
    path = asked.home / "tokens.jsonl"
    repeated(path, int(asked.mb * (1 << 20)))
    for pack in ("concat", "best-fit"):
        peak = measure(path, dedup=False, memory=f"{TOKEN_WORKER}MiB", end=to_tokens(pack))
        row = _row(f"tokens {pack}", path, peak, asked.start, keep=pack == "concat")
        yield {**row, "mb": peak.steps["out"]["report"]["mixture"]["tokens"] * 2 / 1e6}


ROWS = {rows.__name__: rows for rows in (too_large, tiny, twenty, tokens)}


def bench(asked: Asked, names: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of the table, or those that are named."""
    path = asked.home / "start.jsonl"
    many_tiny(path, 10)
    asked = replace(asked, start=measure(path).mib)
    for name in names or list(ROWS):
        yield from ROWS[name](asked)


def _row(name: str, path: Path, peak: Peak, start: float, *, keep: bool = False) -> dict[str, Any]:
    size = path.stat().st_size / 1e6
    if not keep:
        path.unlink()
    return {"name": name, "mb": size, "peak_mib": peak.mib, "start_mib": start, "seconds": peak.seconds}


def main() -> int:
    """Print a line for each."""
    arguments = argparse.ArgumentParser(prog="tests.bench.memory", description="peak memory of workers")
    arguments.add_argument("only", nargs="*", choices=[[], *ROWS], help="which rows; all where none is named")
    arguments.add_argument("--mb", type=float, default=8000, help="MiB of text of the large files: 20 workers' memory")
    arguments.add_argument("--large", type=int, default=500_000_000, help="bytes of the large document")
    arguments.add_argument("--tiny", type=int, default=1_000_000, help="tiny documents")
    arguments.add_argument("--format", action="append", choices=FORMATS, help="of files; may come again; default: all")
    given = arguments.parse_args()
    rows = []
    print(f"{'case':20} {'file MB':>9} {'peak MiB':>9} {'of it start':>11} {'seconds':>8}", flush=True)
    with tempfile.TemporaryDirectory() as home:
        for row in bench(
            Asked(given.mb, given.large, given.tiny, Path(home), 0.0, tuple(given.format or FORMATS)), given.only
        ):
            rows.append(row)
            print(
                f"{row['name']:20} {row['mb']:9.1f} {row['peak_mib']:9.1f} {row['start_mib']:11.1f} {row['seconds']:8.1f}",
                flush=True,
            )
    out = Path(__file__).resolve().parents[2] / "runs/bench/memory.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(orjson.dumps({"bench": "memory", "rows": rows}, option=orjson.OPT_INDENT_2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
