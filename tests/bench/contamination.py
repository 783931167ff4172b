"""Looking for benchmarks in documents: the layer of words, rephrased prompts, and the stage.

BENCH_BENCHMARKS names a folder of ``*.jsonl.zst`` with ``text`` and ``answer``: their items are looked for as well as HumanEval's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from curate import assets
from curate.text import overlap, overlap_units, rephrased
from curate.text.arrow import buffers
from curate.text.batch import Batch
from curate.text.words import words
from tests.bench.measure import Row, case, corpus, decided, on_batch


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    import io

    import zstandard

    with path.open("rb") as file:
        yield from map(orjson.loads, io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file)))


def items() -> list[tuple[str, str]]:
    """(prompt, answer) of all items."""
    shipped = (assets.find("data", "benchmarks") / "humaneval.jsonl").read_bytes().splitlines()
    found = [(row["prompt"], row["canonical_solution"]) for row in map(orjson.loads, shipped)]
    folder = os.environ.get("BENCH_BENCHMARKS")
    for path in sorted(Path(folder).glob("*.jsonl.zst")) if folder else []:
        found += [(row["text"], row.get("answer") or "") for row in _rows(path) if "variant" not in row]
    return found


def _megabytes(index: object) -> float:
    """Of an index's arrays, what is derived from them included."""
    arrays = [a for value in vars(index).values() for a in (value if isinstance(value, tuple) else (value,))]
    return round(sum(array.nbytes for array in arrays) / 1e6, 1)


def decontaminate() -> Iterator[Row]:
    """N-grams and rephrased prompts, with the words that they are made of, which are the least that either must do."""
    from curate.stages.decontaminate import Decontaminate

    texts, known = corpus(16), items()
    parts = [text for item in known for text in item]
    seen = words(*buffers(pa.array(parts, pa.large_string())), "alphanumeric")
    numbers = [i for i in range(len(known)) for _ in range(2)]
    grams = overlap_units.build(seen, numbers, [overlap_units.PROMPT, overlap_units.ANSWER] * len(known))
    others = rephrased.build([prompt for prompt, _ in known], range(len(known)))
    size = {"items": len(known)}

    def look(b: Batch) -> object:
        return overlap.overlaps(b.words("alphanumeric"), grams)

    alone = ("words alone", on_batch(lambda b: b.words("alphanumeric")))
    yield case("ngram", texts, on_batch(look), alone) | size | {"index_mb": _megabytes(grams)}
    other = case("rephrased", texts, on_batch(lambda b: rephrased.rephrased(b, others)), alone)
    yield other | size | {"index_mb": _megabytes(others)}
    yield case("decontaminate, HumanEval", texts, decided(Decontaminate(against=["humaneval"])))
