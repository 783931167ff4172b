# ruff: noqa: ANN001 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""How diverse a sample of texts is, in numbers that can be compared between samples of one size.

Each of them depends on how much it is given: the more texts, the more of them repeat another; the longer a slice, the
better it packs. So every function has a fixed amount (texts, words, bytes) that its caller gives it, and says None rather
than measure less. Words are runs of letters and digits in lower case (``folded`` in ``curate.text.words``). Compression
ratios, self-repetition and self-BLEU are what Shaib et al., "Standardizing the measurement of text diversity" (2024), found
to say different things; near duplicates and unseen mass are ``curate.text.species``.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.batch import Batch
from curate.text.ngrams import Ngrams, Units, ngrams
from curate.text.shingles import shingles
from curate.text.syntax import FEWEST, functions
from curate.text.wording import openings, packed

__all__ = ["compression", "distinct", "self_bleu", "self_repetition", "templates", "unique_functions", "vendi"]

_ORDERS: Final = 4
"""Of BLEU: n-grams up to that many words."""
_NONE: Final = 0.1
"""What counts instead of no match at all (smoothing 1 of Chen and Cherry, WMT 2014, as NLTK has it)."""

Floats = npt.NDArray[np.float64]


def compression(docs: Batch, size: int) -> float | None:
    """Bytes over compressed bytes of whole slices of the texts (zstd; see ``curate.text.wording.packed``); None for less
    than one slice. English prose has 2.4 in slices of 16 KiB, one form filled in again and again 5."""
    whole, small = packed(docs.text, size)
    return whole / small if small else None


def distinct(docs: Batch, n: int, count: int) -> float | None:
    """Different n-grams over n-grams of the first ``count`` words; an n-gram lies in one text. None for fewer words."""
    words = docs.words("folded")
    if len(words.hashes) < count:
        return None
    found = ngrams(Units(np.minimum(words.rows, count), words.hashes[:count]), n).hashes
    return len(np.unique(found)) / len(found) if len(found) else None


def self_repetition(docs: Batch, n: int) -> float | None:
    """Share of the texts' n-grams, each counted once a text, that stand in another text too; None without n-grams."""
    found = shingles(_ngrams(docs, n)).hashes
    _, which, counts = np.unique(found, return_inverse=True, return_counts=True)
    return float((counts[which] > 1).mean()) if len(found) else None


def templates(docs: Batch) -> tuple[float, float, str] | None:
    """The share of texts that begin with the most frequent opening, the share of those whose opening is another's too, and
    that opening; None without texts. (See ``curate.text.wording.OPENING``.)"""
    said = Counter(openings(docs))
    if not said:
        return None
    most = max(said.values())
    shared = sum(count for count in said.values() if count > 1)
    return most / len(docs), shared / len(docs), min(opening for opening, count in said.items() if count == most)


def self_bleu(docs: Batch, most: int) -> float | None:
    """Mean BLEU of each text's first ``most`` words with all other texts' as references, 0 to 1 (Zhu et al., "Texygen",
    SIGIR 2018); None for fewer than two texts.

    BLEU-4 with equal weights, the reference of the nearest length (the shorter of two), matches that are none smoothed.
    """
    if len(docs) < 2:
        return None
    words = docs.words("folded")
    sizes = np.minimum(np.diff(words.rows), most)
    rows = np.concatenate([[0], np.cumsum(sizes)])
    at = np.arange(rows[-1]) + np.repeat(words.rows[:-1] - rows[:-1], sizes)
    units = Units(rows, words.hashes[at])
    logs = np.zeros(len(sizes))
    for n in range(1, _ORDERS + 1):
        matches, grams = _matches(ngrams(units, n))
        with np.errstate(divide="ignore"):
            logs += np.log(np.where(matches > 0, matches, _NONE if n > 1 else 0.0) / np.maximum(grams, 1))
    with np.errstate(divide="ignore"):
        brevity = np.where(sizes > 0, np.minimum(0.0, 1 - _nearest(sizes) / np.maximum(sizes, 1)), -np.inf)
    return float(np.exp(logs / _ORDERS + brevity).mean())


def _matches(grams: Ngrams) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Of each text how many n-grams some other text has as often, and how many it has."""
    rows = np.repeat(np.arange(len(grams.rows) - 1), np.diff(grams.rows))
    _, gram = np.unique(grams.hashes, return_inverse=True)
    pairs, counts = np.unique(gram * len(grams.rows) + rows, return_counts=True)
    gram, row = np.divmod(pairs, len(grams.rows))
    order = np.lexsort([row, -counts, gram])
    gram, row, counts = gram[order], row[order], counts[order]
    first = np.concatenate([[True], gram[1:] != gram[:-1]]) if len(gram) else np.zeros(0, bool)
    # A text's own rival is the text that has most of the n-gram, or the next one where that is itself.
    number = np.cumsum(first) - 1
    leader = np.flatnonzero(first)
    second = np.append(counts, 0)[leader + 1] * ~np.append(first, True)[leader + 1] if len(leader) else counts
    rival = np.where(first, second[number], counts[leader[number]]) if len(gram) else counts
    matches = np.bincount(row, np.minimum(counts, rival), len(grams.rows) - 1)
    return matches.astype(np.float64), np.diff(grams.rows)


def _nearest(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of each text's length the nearest of another text's, the shorter of two that are equally near."""
    order = np.argsort(sizes, kind="stable")
    ranked = sizes[order]
    below = np.concatenate([[np.iinfo(np.int64).min // 2], ranked[:-1]])
    above = np.concatenate([ranked[1:], [np.iinfo(np.int64).max // 2]])
    found = np.empty(len(sizes), np.int64)
    found[order] = np.where(ranked - below <= above - ranked, below, above)
    return found


def vendi(docs: Batch) -> float | None:
    """How many texts that have nothing in common would be as diverse: the Vendi score, 1 to n (Friedman and Dieng, TMLR
    2023); None without texts.

    That is the exponential of the entropy of the eigenvalues of K / n, where K holds the cosines of the texts' counts of
    words, averaged with those of their counts of pairs of words (as the authors' package has it for n-grams). A text without
    any is like itself alone. Takes the time of n^3.
    """
    count = len(docs)
    if not count:
        return None
    kernel = (_cosines(_ngrams(docs, 1)) + _cosines(_ngrams(docs, 2))) / 2
    values = np.linalg.eigvalsh(kernel / count)
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))


@njit(nogil=True, cache=True)
def _products(ends, rows, weights, out) -> None:
    """Add the products of the weights of the rows that share a column to the lower half of ``out`` (float64[n, n]).

    ``ends`` int64[c + 1]; column ``i`` has the ``rows[ends[i]:ends[i + 1]]``, ascending, and their weights.
    """
    for column in range(len(ends) - 1):
        for i in range(ends[column], ends[column + 1]):
            for j in range(ends[column], i + 1):
                out[rows[i], rows[j]] += weights[i] * weights[j]


def _cosines(grams: Ngrams) -> Floats:
    """The lower half of the cosines of the texts' counts of n-grams, float64[n, n]."""
    count = len(grams.rows) - 1
    rows = np.repeat(np.arange(count), np.diff(grams.rows))
    _, gram = np.unique(grams.hashes, return_inverse=True)
    pairs, times = np.unique(gram * count + rows, return_counts=True)
    gram, row = np.divmod(pairs, count)
    lengths = np.sqrt(np.bincount(row, times.astype(np.float64) ** 2, count))
    ends = np.append(np.flatnonzero(np.concatenate([[True], gram[1:] != gram[:-1]])), len(gram)) if len(gram) else [0]
    found = np.zeros((count, count))
    _products(np.asarray(ends, np.int64), row, times / lengths[row], found)
    np.fill_diagonal(found, 1.0)
    return found


def unique_functions(docs: Batch, most: int) -> tuple[int, int]:
    """How many functions of Python the texts have, at most ``most``, in their order; and how many different normal forms
    of bodies these have (``curate.text.syntax``: blind to names, layout, comments). Bodies of fewer than FEWEST symbols
    are none."""
    found = functions(*docs.utf8)
    long = np.flatnonzero(found.ends - found.bodies >= FEWEST)[:most]
    forms = {found.symbols[a:b].tobytes() for a, b in zip(found.bodies[long], found.ends[long], strict=True)}
    return len(long), len(forms)


def _ngrams(docs: Batch, n: int) -> Ngrams:
    return docs.view(f"{n}-grams of words", lambda: ngrams(docs.words("folded"), n))
