"""Looking for benchmarks in documents: the layers of words and of code, rephrased prompts, and the stage.

BENCH_BENCHMARKS names a folder of ``*.jsonl.zst`` with ``text`` and ``answer``: their items are looked for as well as HumanEval's. BENCH_CODE names another file of Python.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from curate import assets
from curate.text import overlap, overlap_units, rephrased
from curate.text.arrow import buffers
from curate.text.batch import Batch
from curate.text.syntax import functions, main_functions, tree_index, tree_matches, trees
from curate.text.words import words
from tests.bench.measure import SAMPLES, Row, case, corpus, decided, on_batch


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
    arrays = [
        a
        for value in vars(index).values()
        for a in (value if isinstance(value, tuple) else (value,))
        if hasattr(a, "nbytes")
    ]
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
    code = corpus(16, SAMPLES[1:], "BENCH_CODE")
    solutions = [answer if "def " in answer else prompt + answer for prompt, answer in known]
    solved = functions(*buffers(pa.array([text for text in solutions if "def " in text], pa.large_string())))
    main = main_functions(solved, [None] * (len(solved.rows) - 1))
    bodies = trees(solved, main[main >= 0], np.flatnonzero(main >= 0))
    index = tree_index(bodies)
    alone = ("functions alone", on_batch(lambda b: functions(*b.utf8)))
    matched = on_batch(lambda b: tree_matches(functions(*b.utf8), index, 0.8))
    yield case("tree", code, matched, alone) | {"items": len(bodies.owners), "index_mb": _megabytes(index)}
    yield case("decontaminate, HumanEval, of Python", code, decided(Decontaminate(against=["humaneval"])))
