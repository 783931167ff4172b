"""Ids by our kernels against the libraries' own, on every document: ``make encodings``, or ``python -m tests.peers.encodings --corpus FILES``.

A line for each vocabulary and file: documents, tokens, documents whose ids differ (must be 0), documents that do not come back from
``decode``, documents that the fast way left to the library, MB/s of both (CPU). SentencePiece models of --pieces are trained on the
files as ``train.tokenizer`` does it; --named are fetched. Then texts that take a bad encoder hours: seconds of each.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages import tokenizer, tokenizer_named
from curate.stages.tokenizer import Tokenizer, lists
from curate.stages.tokenizer_sentencepiece import SentencePiece
from tests.bench.encoding import pieces_model
from tests.bench.measure import texts_of
from tests.peers.environment import SAMPLES

SLICE = 500
"""Documents at once."""


def hard() -> Iterator[tuple[str, str]]:
    """Texts without a place to cut, or of what is in no vocabulary, 10 MB each."""
    rng = np.random.default_rng(7)
    yield "one letter", "a" * 10_000_000
    yield "spaces", " " * 10_000_000
    yield "two letters", "".join(rng.choice(["a", "b"], 10_000_000))
    yield "line feeds and spaces", "\n \n" * 3_333_333
    yield "random bytes", rng.integers(0, 256, 10_000_000, np.uint8).tobytes().decode("utf-8", "replace")
    yield "random characters", "".join(map(chr, rng.integers(0x100, 0xD000, 3_500_000)))


def compared(vocabulary: Tokenizer, texts: list[str]) -> dict[str, Any]:
    """Counts over all documents."""
    left = [0]
    encoder = vocabulary._encoder
    if encoder is not None and encoder._library is not None:
        library = encoder._library

        def counted(text: pa.LargeStringArray) -> pa.LargeListArray:
            left[0] += len(text)
            return library(text)

        encoder._library = counted
    differ = lost = tokens = 0
    ours = theirs = size = 0.0
    for first in range(0, len(texts), SLICE):
        some = pa.array(texts[first : first + SLICE], pa.large_string())
        start = time.process_time()
        fast = vocabulary.encode(some)
        middle = time.process_time()
        slow = vocabulary.encode_slow(some)
        theirs += time.process_time() - middle
        ours += middle - start
        size += pc.sum(pc.binary_length(some)).as_py() / 1e6
        tokens += len(fast.values)
        for text, a, b in zip(some.to_pylist(), lists(fast), lists(slow), strict=True):
            differ += not np.array_equal(a, b)
            lost += vocabulary.decode(a) != text
    return {
        "documents": len(texts),
        "tokens": tokens,
        "differ": differ,
        "lost": lost,
        "left": left[0],
        "ours": size / ours,
        "library": size / theirs,
    }


def vocabularies(asked: argparse.Namespace, texts: list[str]) -> Iterator[tuple[str, Tokenizer]]:
    for size in asked.pieces:
        yield f"pieces {size}", SentencePiece(pieces_model(texts, size))
    for name in asked.named:
        yield name, tokenizer.load(tokenizer_named.folder(name))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.encodings", description=__doc__)
    parser.add_argument("--corpus", nargs="+", type=Path, default=SAMPLES, help="JSONL or JSONL.zst with text")
    parser.add_argument("--pieces", nargs="*", type=int, default=[8192, 32000, 70000])
    parser.add_argument("--named", nargs="*", default=["gpt2", "codegen", "cl100k_base"])
    asked = parser.parse_args()
    files = {path.name.split(".")[0]: [t for t in texts_of(path) if isinstance(t, str)] for path in asked.corpus}
    every = [text for texts in files.values() for text in texts]
    print(
        f"{'vocabulary':16}{'file':18}{'documents':>10}{'tokens':>12}{'differ':>8}{'lost':>6}{'left':>6}{'MB/s':>7}{'library':>9}"
    )
    wrong = 0
    for name, vocabulary in vocabularies(asked, every):
        if vocabulary._encoder is None:
            print(f"{name:16}by the library")
        for file, texts in files.items():
            found = compared(vocabulary, texts)
            wrong += found["differ"] + found["lost"]
            print(
                f"{name:16}{file:18}{found['documents']:>10,}{found['tokens']:>12,}{found['differ']:>8}{found['lost']:>6}"
                f"{found['left']:>6}{found['ours']:>7.1f}{found['library']:>9.1f}",
                flush=True,
            )
        for kind, text in hard():
            start = time.process_time()
            (ids,) = lists(vocabulary.encode(pa.array([text], pa.large_string())))
            taken = time.process_time() - start
            wrong += vocabulary.decode(ids) != text
            print(f"{name:16}{kind:24}{len(text.encode()):>12,} bytes{len(ids):>12,} tokens{taken:>8.2f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
