"""Real documents with near copies at known Jaccard similarity among them, and every similar pair there is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.text.batch import Batch
from curate.text.ngrams import ngrams
from curate.text.shingles import Shingles, jaccard, shingles
from curate.text.words import Words
from tests.bench.measure import batch
from tests.bench.sketches import NEAR, SHINGLE, changes

LEVELS: Final = (0.9, 0.85, 0.8, 0.75, 0.71, 0.6, 0.5)
SHORTEST: Final = 112
"""Shingles of a document that is copied."""
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Documents and what is true of them.

    Attributes:
        planted: for each level (original, copy), int64[m, 2], numbers of documents.
        pairs, similarity: all pairs of a true Jaccard of 0.5 and more, int64[k, 2] and float64[k], planted ones among them.
    """

    texts: list[str]
    planted: dict[float, I64]
    pairs: I64
    similarity: npt.NDArray[np.float64]


def sets_of(docs: Batch) -> Shingles:
    """Word 5-grams in lower case, without signs: what similarity means here."""
    return shingles(ngrams(docs.words("folded"), SHINGLE))


def changed(texts: Sequence[str], level: float, rng: np.random.Generator) -> list[str]:
    """A copy of each text with so many words replaced by others of the same texts that its Jaccard is about the level."""
    docs = batch(list(texts))
    view: Words = docs.words("folded")
    raw = [text.encode() for text in texts]
    copies = []
    for row, text in enumerate(raw):
        begin, end = int(view.rows[row]), int(view.rows[row + 1])
        out, done = [], 0
        for place in sorted(changes(end - begin, level, rng).tolist()):
            start, stop = int(view.starts[begin + place]), int(view.stops[begin + place])
            out += [text[done:start], b"".join(rng.choice(_LETTERS, 7))]
            done = stop
        copies.append(b"".join([*out, text[done:]]).decode())
    return copies


_LETTERS = np.array([bytes([c]) for c in b"bcdfghklmnprstvw"])


def planted(texts: list[str], level: float, count: int, rng: np.random.Generator) -> list[tuple[int, str]]:
    """(Number of the original, copy) whose true Jaccard is within NEAR of the level; texts that have repetitions miss it."""
    found: list[tuple[int, str]] = []
    order = rng.permutation(len(texts)).tolist()
    while order and len(found) < count:
        some, order = order[: 2 * count], order[2 * count :]
        own = [texts[i] for i in some]
        copies = changed(own, level, rng)
        sets = sets_of(batch([*own, *copies]))
        numbers = np.arange(len(own))
        good = np.abs(jaccard(sets, numbers, numbers + len(own)) - level) <= NEAR
        found += [(some[i], copies[i]) for i in np.flatnonzero(good).tolist()]
    return found[:count]


def similar(sets: Shingles, least: float) -> tuple[I64, npt.NDArray[np.float64]]:
    """All pairs of rows of at least this Jaccard, and their Jaccard: by prefix filtering (Chaudhuri, Ganti, Kaushik 2006).

    Of sets ordered by how rare their members are, two with J >= t have one in common among the first |A| - ceil(t |A|) + 1.
    """
    sizes = np.diff(sets.rows)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    _, at, often = np.unique(sets.hashes, return_inverse=True, return_counts=True)
    order = np.lexsort((at, often[at], rows))
    place = np.arange(len(rows)) - np.repeat(sets.rows[:-1], sizes)
    first = place < np.repeat(sizes - np.ceil(least * sizes).astype(np.int64) + 1, sizes)
    member, row = at[order][first], rows[order][first]
    by = np.lexsort((row, member))
    member, row = member[by], row[by]
    found: list[npt.NDArray[np.int64]] = []
    for apart in range(1, len(row)):
        same = np.flatnonzero(member[apart:] == member[:-apart])
        if not len(same):
            break
        found.append(np.unique(row[same] * len(sizes) + row[same + apart]))
    codes = np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
    pairs = np.stack([codes // len(sizes), codes % len(sizes)], axis=1)
    true = jaccard(sets, pairs[:, 0], pairs[:, 1])
    return pairs[true >= least], true[true >= least]


def corpus(documents: Sequence[str], megabytes: float, pairs: int, seed: int = 1) -> Corpus:
    """Distinct documents of so many MB with ``pairs`` near copies at each of LEVELS, in an order of its own.

    Each original has one copy. The documents' own duplicates stay among them.
    """
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    left = megabytes * 1e6
    for text in dict.fromkeys(documents):
        if left <= 0:
            break
        texts.append(text)
        left -= len(text.encode())
    long = np.flatnonzero(np.diff(sets_of(batch(texts)).rows) >= SHORTEST)
    rng.shuffle(long)
    count = len(long) // len(LEVELS)
    everything, links = list(texts), {}
    for number, level in enumerate(LEVELS):
        mine = long[number * count : (number + 1) * count].tolist()
        links[level] = []
        for at, copy in planted([texts[i] for i in mine], level, pairs, rng):
            links[level].append((mine[at], len(everything)))
            everything.append(copy)
    order = list(range(len(everything)))
    random.Random(seed).shuffle(order)
    place = np.argsort(order)
    shuffled = [everything[i] for i in order]
    found, similarity = similar(sets_of(batch(shuffled)), 0.5)
    numbers = {level: place[np.array(some, np.int64).reshape(-1, 2)] for level, some in links.items()}
    return Corpus(shuffled, numbers, found, similarity)


def table(corpus: Corpus) -> pa.Table:
    """``id`` (the number) and ``text``, for a JSONL file."""
    return pa.table({"id": [str(i) for i in range(len(corpus.texts))], "text": corpus.texts})
