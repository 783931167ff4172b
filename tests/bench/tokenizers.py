"""Every document through every kind of tokenizer and back: ``python -m tests.bench.tokenizers``.

``--corpus FOLDER`` reads all ``*.jsonl.zst`` and ``*.jsonl`` below it (default: the shipped samples), ``--kinds gpt2 bpe`` some
kinds. A row for each kind and corpus: ``lost`` documents are not what they were, ``controls`` are ids of control symbols among
the tokens, ``other`` documents have ids that differ from the library's own for the whole text. All three must be 0.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import zstandard

from curate import assets
from curate.stages import tokenizer as tk
from curate.stages import tokenizer_named
from curate.stages.base import Context
from curate.stages.train_tokenizer import TrainTokenizer
from curate.text.batch import Batch
from curate.text.hashing import content_hash, hash128

AT_ONCE = 256
TRAINED = ("bpe", "unigram")


def texts(file: Path) -> Iterator[str]:
    """The documents of a file that have a text."""
    with file.open("rb") as raw:
        lines = zstandard.ZstdDecompressor().stream_reader(raw) if file.suffix == ".zst" else raw
        rest = b""
        while block := lines.read(1 << 22):
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                text = json.loads(line).get("text")
                if isinstance(text, str):
                    yield text
        if rest and isinstance(text := json.loads(rest).get("text"), str):
            yield text


def batches(file: Path) -> Iterator[pa.Array]:
    """The same as columns."""
    part: list[str] = []
    for text in texts(file):
        part.append(text)
        if len(part) == AT_ONCE:
            yield pa.array(part, pa.large_string())
            part = []
    if part:
        yield pa.array(part, pa.large_string())


def trained(kind: str, files: list[Path], folder: Path, size: int) -> Path:
    """A tokenizer of our own, from a sample of the corpora."""

    def rows() -> Iterator[Batch]:
        for file in files:
            for text in batches(file):
                ids = hash128(text, 3)
                yield Batch(
                    pa.RecordBatch.from_pydict(
                        {
                            "id": ids,
                            "text": text,
                            "source": pa.array([file.name.partition(".")[0]] * len(text)),
                            "content_hash": content_hash(text),
                        }
                    )
                )

    TrainTokenizer(vocab_size=size, model_type=kind, max_bytes=8_000_000).train(rows(), folder, Context("words", 1))
    return folder


def row(tokenizer: tk.Tokenizer, file: Path, *, slow: bool) -> tuple[int, ...]:
    """Documents, bytes, tokens, lost, controls, other."""
    held = np.array(sorted(tokenizer.controls().values()))
    found = np.zeros(6, np.int64)
    for text in batches(file):
        ids = tokenizer.encode(text)
        rows = list(tk.lists(ids))
        lost = sum(tokenizer.decode(one) != given for one, given in zip(rows, text.to_pylist(), strict=True))
        other = 0
        if slow:
            theirs = tokenizer.encode_slow(text)
            other = sum(not np.array_equal(a, b) for a, b in zip(rows, tk.lists(theirs), strict=True))
        values = ids.values.to_numpy()
        found += [len(text), text.nbytes, len(values), lost, int(np.isin(values, held).sum()), other]
    return tuple(found.tolist())


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--corpus", type=Path, default=assets.ROOT / "data" / "samples")
    asked.add_argument("--kinds", nargs="*", default=[*TRAINED, *tokenizer_named.NAMES])
    asked.add_argument("--vocabulary", type=int, default=32_000, help="of those trained here")
    asked.add_argument("--fast", action="store_true", help="do not ask the library for the whole texts")
    args = asked.parse_args()
    files = [
        f for f in sorted(args.corpus.rglob("*.jsonl*")) if "benchmarks" not in f.parts and "instruct" not in f.parts
    ]
    wrong = 0
    print(
        f"{'kind':12} {'corpus':18} {'documents':>9} {'MB':>7} {'tokens':>11} {'B/token':>7} lost controls other seconds"
    )
    with tempfile.TemporaryDirectory(prefix="curate-tokenizers-") as work:
        for kind in args.kinds:
            place = (
                trained(kind, files, Path(work) / kind, args.vocabulary)
                if kind in TRAINED
                else tokenizer_named.folder(kind)
                if kind in tokenizer_named.NAMES
                else Path(kind)
            )
            tokenizer = tk.load(place)
            for file in files:
                began = time.monotonic()
                documents, size, tokens, *bad = row(tokenizer, file, slow=not args.fast)
                wrong += sum(bad)
                lost, controls, other = bad
                print(
                    f"{Path(kind).name:12} {file.name.partition('.')[0]:18} {documents:9,} {size / 1e6:7.1f} {tokens:11,} "
                    f"{size / max(tokens, 1):7.2f} {lost:4} {controls:8} {other:5} {time.monotonic() - began:7.1f}",
                    flush=True,
                )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
