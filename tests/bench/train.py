"""Training from 50,000 labels to a card, folds included: the whole, and where the time goes.

Wall seconds mean something on a machine with two free cores only; CPU seconds, of this process and of fastText's, are beside
them: half of those of the models is what two free cores need.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from curate.quality import examples, kinds, lessons
from curate.stages import train_classifier
from curate.stages.base import Context
from curate.stages.train_classifier import TrainClassifier
from curate.text.batch import Batch
from curate.text.hashing import content_hash, hash128
from tests.bench.measure import Row, corpus, peak_mb, size

LABELS = 50_000
PIECE = 3_000
"""Characters of a document: pages are cut into so many, so that there are enough of about the size of web pages."""


def _documents() -> list[str]:
    texts = corpus(LABELS * PIECE / 1e6 * 1.3)
    pieces = [t[i : i + PIECE] for t in texts for i in range(0, len(t), PIECE) if len(t) - i >= PIECE // 4]
    return pieces[:LABELS]


def _batches(texts: list[str]) -> list[Batch]:
    made = []
    for start in range(0, len(texts), 1_000):
        text = pa.array(texts[start : start + 1_000], pa.large_string())
        names = pa.array([str(start + i) for i in range(len(text))], pa.large_string())
        columns = {
            "id": hash128(names),
            "text": text,
            "source": pa.array([f"source{i % 40}" for i in range(len(text))]),
            "origin": names.cast(pa.string()),
            "meta": pa.repeat("{}", len(text)),
            "content_hash": content_hash(text),
        }
        # Which words a document has decides: something to learn, and to get wrong.
        columns["labels.label"] = pa.array([int(t.count(" the ") * 250 > len(t)) for t in text.to_pylist()], pa.int8())
        made.append(Batch(pa.RecordBatch.from_pydict(columns)))
    return made


def _cpu() -> float:
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def train50k() -> Iterator[Row]:
    """train.classifier with its defaults, in wall seconds; then its parts in the order in which they come."""
    texts = _documents()
    docs, taken = _batches(texts), {}

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return work(*args, **named)
            finally:
                taken[name] = taken.get(name, 0.0) + time.perf_counter() - start

        return run

    Path("/proc/self/clear_refs").write_text("5")
    stage = TrainClassifier(label="labels.label", max_per_class=LABELS)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.multiple(
            train_classifier,
            gather=timed("gather", examples.gather),
            divide=timed("split", lessons.divide),
            train_all=timed("models", kinds.train_all),
        ),
        mock.patch.object(TrainClassifier, "_measure", timed("evaluate", TrainClassifier._measure)),
    ):
        start, before = time.perf_counter(), _cpu()
        report = stage.train(docs, Path(folder), Context("value", 1, {}))
        whole, cpu = time.perf_counter() - start, _cpu() - before
    facts = {"clock": "wall", "mb": round(size(texts), 1), "docs": len(texts), "peak_rss_mb": peak_mb()}
    auc = round(float(np.float64(report["held_out"]["roc_auc"])), 4)
    yield {"name": f"train50k ({whole:.0f} s, CPU {cpu:.0f})", "cpu_seconds": cpu, "cores": 2, "count": len(texts), "seconds": [whole], "per_s": len(texts) / whole,
           "roc_auc": auc, "models": 1 + stage.folds, **facts}  # fmt: skip
    for name, seconds in taken.items():
        yield {"name": f"  {name} ({seconds:.1f} s)", "cores": 2, "count": len(texts), "seconds": [seconds],
               "per_s": len(texts) / seconds, **facts}  # fmt: skip
