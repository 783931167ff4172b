"""Ways to find documents whose embeddings point the same way: ``python -m tests.bench.cells --corpus FILE``.

Prints the tables of docs/duplicates.md. Vectors are those of ``embed.static``; the truth is the cosine of all pairs.

*Recall*: share of the pairs at or above a cosine that are candidates, beside the candidates for each document (with the share
of all pairs that they are) and the largest cell. Ours (cross-polytope hashes), hyperplanes through the origin, and k-means
with the nearest centre and with the two nearest.
*Verdicts*: who goes by one pass over all pairs, and by one over candidates.
*Speed*: documents a second on one core, from CPU time, vectors given.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator

import numpy as np

from curate.quality.cells import cells
from curate.quality.static_vectors import static_vectors
from tests.bench.measure import batch, corpus

LEVELS = (0.9, 0.95, 0.98)
WAYS = ((1, 4), (2, 8), (2, 14), (2, 28), (3, 28))
PLANES = ((12, 14), (16, 14), (16, 28))
CENTRES = (100, 400)
ROUNDS = 10


def vectors(most: int) -> np.ndarray:
    """Directions of so many documents of the corpora, chosen at random by a fixed seed; float32[n, 256]."""
    found, there = static_vectors().of(batch(corpus(1 << 12)), 8_192)
    found = found[there]
    found = found[np.random.default_rng(0).permutation(len(found))[:most]]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def pairs_at(unit: np.ndarray) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    """All pairs at or above each level, by blocks of rows."""
    firsts, seconds, cosines = [], [], []
    for begin in range(0, len(unit), 1000):
        alike = unit[begin : begin + 1000] @ unit.T
        i, j = np.nonzero(alike >= min(LEVELS))
        later = j > i + begin
        firsts.append(i[later] + begin)
        seconds.append(j[later])
        cosines.append(alike[i[later], j[later]])
    first, second, cosine = (np.concatenate(some) for some in (firsts, seconds, cosines))
    return {level: (first[cosine >= level], second[cosine >= level]) for level in LEVELS}


def told(keys: np.ndarray, truth: dict[float, tuple[np.ndarray, np.ndarray]]) -> tuple[float, int, list[float]]:
    """Candidates for each document, the largest cell, recall at each level; from cells [n, tables]."""
    candidates, largest = 0, 0
    for column in keys.T:
        _, counts = np.unique(column, return_counts=True)
        candidates += int((counts * (counts - 1) // 2).sum())
        largest = max(largest, int(counts.max()))
    recall = [float((keys[a] == keys[b]).any(axis=1).mean()) for a, b in truth.values()]
    return candidates / len(keys), largest, recall


def planes(unit: np.ndarray, bits: int, tables: int) -> np.ndarray:
    """Cells of random hyperplanes through the origin (Charikar 2002)."""
    normals = np.random.default_rng(1).standard_normal((tables, unit.shape[1], bits))
    return np.stack([((unit @ some) > 0) @ (1 << np.arange(bits)) for some in normals], axis=1)


def centres(unit: np.ndarray, count: int) -> np.ndarray:
    """The two nearest of so many centres of a quarter of the vectors, int[n, 2]: Lloyd's rounds on directions."""
    draw = np.random.default_rng(2)
    sample = unit[: len(unit) // 4]
    found = sample[draw.permutation(len(sample))[:count]]
    for _ in range(ROUNDS):
        nearest = (sample @ found.T).argmax(axis=1)
        sums = np.zeros_like(found)
        np.add.at(sums, nearest, sample)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        found = np.where(lengths > 0, sums / np.maximum(lengths, 1e-9), found)
    return np.argsort(-(unit @ found.T), axis=1)[:, :2]


def ways(unit: np.ndarray) -> Iterator[tuple[str, tuple[float, int, list[float]]]]:
    """Each way by name, with what it finds."""
    truth = pairs_at(unit)
    print(", ".join(f"{len(a):,} pairs at {level}" for level, (a, _) in truth.items()))
    for hashes, tables in WAYS:
        yield f"ours, {tables} cells of {hashes}", told(cells(unit, tables, hashes, 0)[0], truth)
    for bits, tables in PLANES:
        yield f"hyperplanes, {tables} cells of {bits} bits", told(planes(unit, bits, tables), truth)
    for count in CENTRES:
        nearest = centres(unit, count)
        yield f"k-means, the nearest of {count} centres", told(nearest[:, :1], truth)
        both = [
            float((nearest[a][:, :, None] == nearest[b][:, None, :]).any(axis=(1, 2)).mean()) for a, b in truth.values()
        ]
        load = np.bincount(nearest.reshape(-1))
        yield (
            f"k-means, the two nearest of {count}",
            (float((load * (load - 1) // 2).sum()) / len(unit), int(load.max()), both),
        )


def verdicts(unit: np.ndarray, level: float) -> tuple[int, int, int]:
    """Documents that go by all pairs, in the order of rows; by our candidates alone; and those of the former that stay there."""
    keys, _ = cells(unit, 14, 2, 0)
    first, second = pairs_at(unit)[level]
    found = (keys[first] == keys[second]).any(axis=1)
    gone = [np.zeros(len(unit), bool), np.zeros(len(unit), bool)]
    for which, some in enumerate((np.ones(len(first), bool), found)):
        order = np.argsort(second[some], kind="stable")
        for i, j in zip(first[some][order].tolist(), second[some][order].tolist(), strict=True):
            gone[which][j] |= not gone[which][i]
    return int(gone[0].sum()), int(gone[1].sum()), int((gone[0] & ~gone[1]).sum())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", help="JSONL, JSONL.zst or Parquet with `text` (data/samples)")
    parser.add_argument("--documents", type=int, default=12_000, help="most documents (12,000)")
    args = parser.parse_args()
    if args.corpus:
        os.environ["BENCH_CORPUS"] = args.corpus
    unit = vectors(args.documents)
    print(f"{len(unit):,} documents")
    print("| cells | candidates a document | of all pairs | largest | " + " | ".join(map(str, LEVELS)) + " |")
    print("|---|" + "---:|" * (3 + len(LEVELS)))
    for name, (candidates, largest, recall) in ways(unit):
        share = candidates / ((len(unit) - 1) / 2)
        numbers = " | ".join(f"{r:.2%}" for r in recall)
        print(f"| {name} | {candidates:,.0f} | {share:.2%} | {largest:,} | {numbers} |", flush=True)
    for level in LEVELS:
        every, ours, missed = verdicts(unit, level)
        print(f"at {level}: {every:,} go by all pairs, {ours:,} by candidates; {missed:,} of the former stay")
    began = time.process_time()
    cells(unit, 14, 2, 0)
    print(f"{len(unit) / (time.process_time() - began):,.0f} documents a second, 14 cells of 2")


if __name__ == "__main__":
    main()
