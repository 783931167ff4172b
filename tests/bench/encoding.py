"""Encoding, cold: one pass over all of a corpus with an empty table, against the libraries' own calls and datatrove's stage.

For each file (the samples; BENCH_CORPUS: others, with ``:`` between them) and vocabulary a row: SentencePiece BPE of 32,000
pieces as ``train.tokenizer`` trains it on the same files, GPT-2's vocabulary, and cl100k_base. Seconds are of passes in which the
table of segments is built, start-up is what the model's own tables take once. References get REFERENCE_MB of the same texts, in
the same run. ``segments`` cuts the same texts and hashes each segment, without looking anything up: no encoder of this kind is
quicker than that.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from curate.errors import CurateError
from curate.stages import tokenizer, tokenizer_named
from curate.stages.reading_documents import BATCH_BYTES
from curate.stages.tokenizer_huggingface import HuggingFace
from curate.stages.train_tokenizer import TrainTokenizer
from curate.text import swar
from curate.text.arrow import buffers
from curate.text.encoder import Encoder, of_bytes, of_pieces
from curate.text.pretokens import PATTERNS
from tests.bench.measure import SAMPLES, Row, peak_mb, texts_of
from tests.bench.rules import peer_speed
from tests.exchange import CONTEXT

REFERENCE_MB = 4.0
"""MB of text that the references get."""
PASSES = 3
TRAIN_BYTES = 32_000_000

Texts = list[pa.LargeStringArray]


def _batches(texts: Sequence[str]) -> Texts:
    """Arrays of about as much text as sources read at once."""
    found, size, first = [], 0, 0
    for i, text in enumerate(texts):
        size += len(text.encode())
        if size >= BATCH_BYTES or i + 1 == len(texts):
            found.append(pa.array(texts[first : i + 1], pa.large_string()))
            size, first = 0, i + 1
    return found


def _some(texts: Sequence[str]) -> list[str]:
    """Every so many-th document, REFERENCE_MB in all at most."""
    whole = sum(len(t.encode()) for t in texts) / 1e6
    return list(texts[:: max(1, round(whole / REFERENCE_MB))])


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _cold(name: str, texts: Sequence[str], make: Callable[[], Encoder]) -> Row:
    """Passes with a new encoder each, and one more with the last, whose table is full."""
    batches = _batches(texts)
    make().encode(pa.array(["compile\u00e9 1 \U0001f600", "a" * 200], pa.large_string()))
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mb() or 0.0
    taken, starts = [], []
    for _ in range(PASSES):
        start = time.process_time()
        encoder = make()
        starts.append(time.process_time() - start)
        tokens = 0
        start = time.process_time()
        for batch in batches:
            tokens += len(encoder.encode(batch).values)
        taken.append(time.process_time() - start)
    peak = peak_mb() or 0.0
    warm = _cpu(lambda: [encoder.encode(batch) for batch in batches])
    mb = sum(pc.sum(pc.binary_length(batch)).as_py() for batch in batches) / 1e6
    return {
        "name": name,
        "cores": 1,
        "clock": "cpu",
        "mb": round(mb, 3),
        "docs": len(texts),
        "tokens": tokens,
        "seconds": taken,
        "mb_per_s": mb / statistics.median(taken),
        "startup_s": statistics.median(starts),
        "warm_mb_per_s": mb / warm,
        "peak_rss_mb": peak,
        "added_rss_mb": round(peak - before, 1),
    }


def _against(row: Row, name: str, few: list[str], work: Callable[[list[str]], object]) -> Row:
    work(few[:5])
    mb = sum(len(t.encode()) for t in few) / 1e6
    return _beside(row, name, mb / statistics.median(_cpu(lambda: work(few)) for _ in range(PASSES)))


def _beside(row: Row, name: str, speed: float | None) -> Row:
    return row | {"reference": name, "reference_mb_per_s": speed, "ratio": row["mb_per_s"] / speed if speed else None}


@njit(nogil=True, cache=True)
def _hashed(data, offsets, marks, seed):
    """The sum of the hashes of all segments."""
    total = np.uint64(0)
    at = offsets[0]
    for block in range(len(marks)):
        bits = marks[block]
        while bits:
            after = offsets[0] + 64 * block + swar.trailing(bits)
            bits &= bits - np.uint64(1)
            if after > at:
                total += swar.quick_hash(data, at, after, seed)
            at = after
    return total


def _segments(name: str, texts: Sequence[str], encoder: Encoder) -> Row:
    batches = [buffers(batch) for batch in _batches(texts)]

    def work() -> None:
        for rows, data in batches:
            raw, cut, marks, _ = encoder._cut(data, rows)
            _hashed(raw, cut, marks, swar.SEED)

    work()
    mb = sum(int(rows[-1] - rows[0]) for rows, _ in batches) / 1e6
    taken = [_cpu(work) for _ in range(PASSES)]
    row: Row = {"name": name, "cores": 1, "clock": "cpu", "mb": round(mb, 3), "docs": len(texts), "seconds": taken}
    return row | {"mb_per_s": mb / statistics.median(taken), "peak_rss_mb": peak_mb()}


def pieces_model(texts: Sequence[str], size: int) -> bytes:
    """A SentencePiece model as ``train.tokenizer`` makes them, of documents evenly drawn."""
    whole = sum(len(t.encode()) for t in texts)
    sample = pa.table({"text": pa.array(texts[:: max(1, -(-whole // TRAIN_BYTES))], pa.large_string())})
    return TrainTokenizer(vocab_size=size)._fit([sample], CONTEXT)


def byte_encoder(spec: HuggingFace) -> Encoder:
    """A byte-level vocabulary's, or an error where the fast way does not take it on."""
    added = {name.encode(): i for name, i in spec.added.items()}
    pieces = [b"" if piece in added else piece for piece in spec.byte_level or []]
    encoder = of_bytes(pieces, spec.merges(), next(iter(PATTERNS)), added, spec.encode_slow)
    if encoder is None:
        raise CurateError("not encoded fast", cure="look at of_bytes")
    return encoder


def encode() -> Iterator[Row]:
    """See the module."""
    import sentencepiece
    import tiktoken

    named = os.environ.get("BENCH_CORPUS")
    files = {
        Path(name).name.split(".")[0]: list(texts_of(Path(name))) for name in (named.split(":") if named else SAMPLES)
    }
    model = pieces_model([text for texts in files.values() for text in texts], 32_000)
    library = sentencepiece.SentencePieceProcessor(model_proto=model)
    kind = "numpy" if hasattr(library, "EncodeAsNumpy") else int  # as ours asks for
    folder = tokenizer_named.folder("gpt2")
    gpt2 = tokenizer.opened(folder)
    assert isinstance(gpt2, HuggingFace)
    ranks = {piece: i for i, piece in enumerate(gpt2.byte_level or []) if piece}
    theirs = tiktoken.Encoding("gpt2", pat_str=list(PATTERNS)[3], mergeable_ranks=ranks, special_tokens={})
    for file, texts in files.items():
        few = _some(texts)
        ours = _cold(f"sentencepiece {file}", texts, lambda: of_pieces(model))
        yield _against(ours, "sentencepiece", few, lambda some: library.encode(some, out_type=kind, num_threads=1))
        yield _segments(f"segments {file}", texts, of_pieces(model))
        ours = _cold(f"gpt2 {file}", texts, lambda: byte_encoder(gpt2))
        yield _against(ours, "tokenizers", few, lambda some: gpt2.encode_slow(pa.array(some, pa.large_string())))
        yield _against(
            ours | {"name": f"tiktoken {file}"}, "tiktoken", few, lambda some: [theirs.encode_ordinary(t) for t in some]
        )
        speed = peer_speed("datatrove", f"datatrove-tokens={folder / 'tokenizer.json'}", few)
        yield _beside(ours | {"name": f"datatrove-tokens {file}"}, "datatrove's DocumentTokenizer", speed)
