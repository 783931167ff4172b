"""Speed of what tells near duplicates while a model is asked, and of the measures of a sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from curate.stages.family import Family, Seen, seen_of
from curate.text import diversity as measures
from curate.text.batch import Batch
from curate.text.near_keys import BANDS, near_keys
from tests.bench.measure import Row, case, corpus, counted, on_batch

_ANSWERS = 1_000_000
_ROUND = 100


def diversity() -> Iterator[Row]:
    """Keys of texts; what a worker makes of a round; rounds of a hundred answers added to a family of a million; measures
    of a thousand texts."""
    texts = corpus(8)
    yield case("near_keys", texts, on_batch(lambda b: near_keys(Batch.of(b.text))))
    yield case("seen_of, a round", texts, on_batch(lambda b: seen_of(b.text)))
    draw = np.random.default_rng(1)

    def round_of(size: int, number: int) -> Seen:
        keys = draw.integers(0, 1 << 64, (size, BANDS), dtype=np.uint64)
        return Seen(keys, tuple(f"answer {number} {i}" for i in range(size)), (9,) * size, 0, 0)

    family = Family()
    for number in range(_ANSWERS // 10_000):
        family.add(round_of(10_000, number), 10_000)
    rounds = [round_of(_ROUND, number) for number in range(400)]
    left = iter(rounds)
    yield counted(
        "answers added to a million", 100 * _ROUND, lambda: [family.add(next(left), _ROUND) for _ in range(100)]
    )
    docs = Batch.of(pa.array(texts[:1000], pa.large_string()))
    few = len(docs)
    yield counted("Vendi score, 1,000 texts", few, lambda: measures.vendi(Batch.of(docs.text)))
    yield counted("self-BLEU, 1,000 texts", few, lambda: measures.self_bleu(Batch.of(docs.text), 256))
