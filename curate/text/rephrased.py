# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Passages that say in other words what a benchmark's prompt says: they keep its names, its numbers and its rare words.

A prompt is known by the set of its stems (``curate.text.stems``), each weighted by how rare it is among all prompts and in
ordinary text. Where a stretch of a row has enough of a prompt's rarer stems, the best window about as long as the prompt is
measured (``FEATURES``), and a logistic score of that says how sure it is. The order of a prompt's words is not in the index.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.arrow import buffers
from curate.text.batch import Batch
from curate.text.overlap import grown, upper
from curate.text.stems import BACKGROUND, background, stems
from curate.text.words import Words, words

__all__ = ["COEFFICIENTS", "FEATURES", "RephraseIndex", "Rephrasings", "build", "passages", "rephrased", "scores"]

FEATURES: Final = (
    "of_prompt",
    "of_passage",
    "weight",
    "numbers",
    "own_numbers",
    "no_numbers",
    "length",
    "stems",
    "words",
)
"""What is measured of a window and a prompt; numbers are no stems here:

``of_prompt``     share of the weight of the prompt's stems that the window has
``of_passage``    share of the weight of the window's stems that the prompt has
``weight``        log(1 + weight of the stems that both have)
``numbers``       share of the prompt's numbers that the window has, 0 where it has none
``own_numbers``   share of the window's numbers that the prompt has, 0 where it has none
``no_numbers``    1 where the prompt has no number
``length``        |log(words of the window / words of the prompt)|
``stems``         log(1 + stems that both have)
``words``         log(1 + words of the prompt)
"""
COEFFICIENTS: Final = (7.04, 1.0, 6.6, 4.79, 3.18, 2.4, -0.23, -0.02, -1.8, -25.24)
"""Of the features, and the intercept: fitted by ``python -m tests.peers.rephrased_fit``, which says on what."""
_HEAVIEST: Final = 7.0
"""Nats: the largest weight of a stem, so that one name alone proves nothing."""
_NUMBER: Final = 3.0
"""The largest weight of a number: tables and tests are full of them."""
_COMMON: Final = 400
"""Prompts: a stem of more of them proposes none."""
_BLOCK: Final = 48
"""Words that are looked at together with as many before them."""
_SHARE, _LEAST = 0.33, 12.0
"""A prompt is measured where two blocks have this share of the weight of its rarer stems, and at least this weight."""
_LONG: Final = 60
"""Words: a longer prompt's last line, its question, is a passage of its own."""
_WORTH: Final = 0.4
"""Of the mean weight of a prompt's words: what the words at a window's ends carry at least."""
_EDGE: Final = 6
"""Words: an end is where the words up to it carry enough for so many more."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RephraseIndex:
    """Prompts by their stems. All fields are arrays, which can be stored as they are.

    Attributes:
        stems: uint64[s], ascending.
        numbers: bool[s]; whether it is a number.
        passages_at: int64[p + 1]; passage ``i`` has the stems ``members[passages_at[i]:passages_at[i + 1]]``.
        members: int32[m]; places in ``stems``, ascending, each once.
        words: int32[p]; how many words a passage has.
        item: int32[p]; the number of the item that it is of.
    """

    stems: npt.NDArray[np.uint64]
    numbers: npt.NDArray[np.bool_]
    passages_at: Ints
    members: npt.NDArray[np.int32]
    words: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]

    @cached_property
    def directory(self) -> npt.NDArray[np.int32]:
        """int32[2^b + 1]: where in ``stems`` those begin whose upper b bits are i."""
        bits = max(1, (len(self.stems) - 1).bit_length())
        tops = (self.stems >> np.uint64(64 - bits)).astype(np.int64)
        return np.searchsorted(tops, np.arange((1 << bits) + 1)).astype(np.int32)

    @cached_property
    def weights(self) -> npt.NDArray[np.float32]:
        """float32[s]: how rare each stem is among these passages and as many of ordinary text as BACKGROUND says; nats."""
        often = np.bincount(self.members, minlength=len(self.stems)).astype(np.float64)
        names, counts = background()
        at = np.minimum(np.searchsorted(names, self.stems), len(names) - 1)
        often += np.where(names[at] == self.stems, counts[at], 0.0)
        most = np.where(self.numbers, _NUMBER, _HEAVIEST)
        return np.clip(np.log((len(self.item) + BACKGROUND) / (often + 0.5)) - 1.0, 0.0, most).astype(np.float32)

    @cached_property
    def postings(self) -> tuple[Ints, npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """int64[s + 1], int32[k]: the passages of each stem that has weight and no more than _COMMON of them; float32[p]:
        the weight of such stems that proposes a passage."""
        passage = np.repeat(np.arange(len(self.item)), np.diff(self.passages_at))
        rare = (np.bincount(self.members, minlength=len(self.stems)) <= _COMMON) & (self.weights > 0)
        kept = rare[self.members]
        stem, passage = self.members[kept], passage[kept]
        order = np.argsort(stem, kind="stable")
        at = np.searchsorted(stem[order], np.arange(len(self.stems) + 1))
        total = np.bincount(passage, self.weights[stem], minlength=len(self.item))
        need = np.maximum(_SHARE * total, np.minimum(_LEAST, 0.8 * total))
        return (
            at.astype(np.int64),
            passage[order].astype(np.int32),
            np.where(total > 0, need, np.inf).astype(np.float32),
        )


@dataclass(frozen=True)
class Rephrasings:
    """Passages of rows that may say what an item's prompt says, best first within a row; of an item the best one.

    Attributes:
        row: int64[h], ascending.
        item: int32[h].
        passage: int32[h]; which of the index's passages.
        score: float32[h]; log-odds: 0 is even, 3 is 95 %, where rows and prompts are as those that it was fitted on.
        features: float32[h, 9]; see FEATURES.
        starts, stops: uint32[h]; byte range of the window in the row's text.
    """

    row: Ints
    item: npt.NDArray[np.int32]
    passage: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    starts: npt.NDArray[np.uint32]
    stops: npt.NDArray[np.uint32]


@njit(nogil=True, cache=True)
def _places(hashes, keys, directory):
    """Which of the keys each hash is, int32[m]; -1 for none."""
    out = np.full(len(hashes), -1, np.int32)
    shift = upper(len(directory) - 1)
    for i in range(len(hashes)):
        bucket = np.int64(hashes[i] >> shift)
        for place in range(directory[bucket], directory[bucket + 1]):
            if keys[place] == hashes[i]:
                out[i] = place
    return out


@njit(nogil=True, cache=True)
def _propose(rows, places, weights, at, postings, need):
    """int64[3, k]: row, passage, first word of the second of the two blocks that have what it needs; of neighbouring
    blocks the ones that have most."""
    out = np.empty((3, 1024), np.int64)
    count = 0
    now = np.zeros(len(need), np.float32)  # by passage: weight in this block
    then = np.zeros(len(need), np.float32)  # in the one before
    latest = np.full(len(need), -1, np.int64)  # its last proposal
    best = np.zeros(len(need), np.float32)
    seen = np.full(len(weights), -1, np.int64)  # by stem: the block it was last seen in
    touched, before = np.empty(len(need), np.int64), np.empty(len(need), np.int64)
    earlier = 0
    block = 0
    for row in range(len(rows) - 1):
        for first in range(rows[row], rows[row + 1], _BLOCK):
            many = 0
            block += 1
            for i in range(first, min(first + _BLOCK, rows[row + 1])):
                stem = places[i]
                if stem < 0 or seen[stem] == block:
                    continue
                seen[stem] = block
                for k in range(at[stem], at[stem + 1]):
                    passage = postings[k]
                    if now[passage] == 0:
                        touched[many] = passage
                        many += 1
                    now[passage] += weights[stem]
            for passage in touched[:many]:
                both = now[passage] + (then[passage] if first > rows[row] else np.float32(0))
                if both < need[passage]:
                    continue
                last = latest[passage]
                if last >= 0 and out[0, last] == row and first - out[2, last] <= _BLOCK:
                    if both > best[passage]:
                        out[2, last] = first
                        best[passage] = both
                    continue
                out = grown(out, count)
                out[0, count], out[1, count], out[2, count] = row, passage, first
                latest[passage], best[passage] = count, both
                count += 1
            for passage in before[:earlier]:
                then[passage] = 0
            for k in range(many):
                before[k] = touched[k]
                then[touched[k]], now[touched[k]] = now[touched[k]], 0
            earlier = many
    return out[:, :count]


@njit(nogil=True, cache=True)
def _window(places, weights, mark, inside, stamp, low, high, size):
    """(first word, word behind the last) of the ``size`` words within ``[low:high]`` that have most of the weight of the
    stems marked with ``stamp``, from the first to the last of them; ``inside`` counts stems, and is zero again after."""
    shared = 0.0
    best = 0.0
    first = stop = low
    for i in range(low, high):
        stem = places[i]
        if stem >= 0 and mark[stem] == stamp:
            if inside[stem] == 0:
                shared += weights[stem]
            inside[stem] += 1
            if shared > best + 1e-9:
                best = shared
                stop = i + 1
                first = max(low, stop - size)
        if i - size + 1 >= low:
            stem = places[i - size + 1]
            if stem >= 0 and mark[stem] == stamp:
                inside[stem] -= 1
                if inside[stem] == 0:
                    shared -= weights[stem]
    for i in range(max(low, high - size + 1), high):
        if places[i] >= 0:
            inside[places[i]] = 0
    return first, stop


@njit(nogil=True, cache=True)
def _trimmed(places, weights, mark, stamp, first, stop, worth):
    """The window without what lies at its ends and carries less than ``worth`` a word in stems marked with ``stamp``."""
    for way in (1, -1):
        carried = 0.0
        many = 0
        kept = at = first if way > 0 else stop - 1
        while first <= at < stop and (many == 0 or carried < worth * (many + _EDGE)):
            stem = places[at]
            if stem >= 0 and mark[stem] == stamp and weights[stem] > 0:
                if carried < worth * many:
                    kept = at
                    carried = 0.0
                    many = 0
                carried += weights[stem]
            many += 1
            at += way
        if way > 0:
            first = kept
        else:
            stop = kept + 1
    return first, stop


@njit(nogil=True, cache=True)
def _measure(rows, places, digits, proposed, weights, numbers, passages_at, members, lengths, features, windows):
    """Fill float32[k, 9] and int64[k, 2] for proposed passages: FEATURES, and the window's first and last word."""
    mark = np.full(len(weights), -1, np.int64)
    met = np.full(len(weights), -1, np.int64)
    inside = np.zeros(len(weights), np.int64)
    for each in range(proposed.shape[1]):
        row, passage, block = proposed[0, each], proposed[1, each], proposed[2, each]
        total = 0.0
        its_numbers = 0
        for k in range(passages_at[passage], passages_at[passage + 1]):
            mark[members[k]] = each
            if numbers[members[k]]:
                its_numbers += 1
            else:
                total += weights[members[k]]
        size = max(8, lengths[passage] * 5 // 4)
        low, high = max(rows[row], block - _BLOCK - size), min(rows[row + 1], block + _BLOCK + size)
        first, stop = _window(places, weights, mark, inside, each, low, high, size)
        first, stop = _trimmed(places, weights, mark, each, first, stop, _WORTH * total / max(lengths[passage], 1))
        shared = other = 0.0
        both = shared_numbers = window_numbers = 0
        for i in range(first, stop):
            stem = places[i]
            if stem < 0:
                if digits[i]:
                    window_numbers += 1
                else:
                    other += _HEAVIEST
            elif met[stem] != each:
                met[stem] = each
                if numbers[stem]:
                    window_numbers += 1
                    shared_numbers += mark[stem] == each
                elif mark[stem] == each:
                    shared += weights[stem]
                    both += weights[stem] > 0
                else:
                    other += weights[stem]
        values = features[each]
        values[0] = shared / max(total, 1e-9)
        values[1] = shared / max(shared + other, 1e-9)
        values[2] = np.log1p(shared)
        values[3] = shared_numbers / max(its_numbers, 1)
        values[4] = shared_numbers / max(window_numbers, 1)
        values[5] = its_numbers == 0
        values[6] = abs(np.log((stop - first + 1) / (lengths[passage] + 1)))
        values[7] = np.log1p(both)
        values[8] = np.log1p(lengths[passage])
        windows[each, 0], windows[each, 1] = first, stop


def scores(features: npt.NDArray[np.float32], coefficients: Sequence[float]) -> npt.NDArray[np.float32]:
    """Log-odds float32[h] of float32[h, k], by k coefficients and the intercept."""
    total = np.full(len(features), coefficients[-1])
    for k, coefficient in enumerate(coefficients[:-1]):
        # One after the other: a matrix product adds in an order of its own on each machine.
        total += features[:, k].astype(np.float64) * coefficient
    return total.astype(np.float32)


def rephrased(docs: Batch, index: RephraseIndex, least: float = 0.0) -> Rephrasings:
    """Of each row the items that a passage of it may rephrase, with a score of ``least`` or more."""
    seen = docs.words("alphanumeric")
    hashes, digits = stems(*docs.utf8, seen)
    places, proposed = np.zeros(0, np.int32), np.zeros((3, 0), np.int64)
    if len(index.item):
        places = _places(hashes, index.stems, index.directory)
        # As in overlap.py: one layout, so that what takes it is compiled once.
        proposed = np.ascontiguousarray(_propose(seen.rows, places, index.weights, *index.postings))
    count = proposed.shape[1]
    features, windows = np.zeros((count, len(FEATURES)), np.float32), np.zeros((count, 2), np.int64)
    _measure(
        seen.rows, places, digits, proposed, index.weights, index.numbers, index.passages_at, index.members, index.words,
        features, windows,
    )  # fmt: skip
    score, row, item = scores(features, COEFFICIENTS), proposed[0], index.item[proposed[1]]
    order = np.lexsort((proposed[2], proposed[1], -score, row))
    order = order[score[order] >= least]
    first = np.unique(np.stack((row[order], item[order]), axis=1), axis=0, return_index=True)[1]
    order = order[np.sort(first)]
    begin, end = windows[order, 0], windows[order, 1]
    return Rephrasings(
        row[order], item[order], proposed[1][order].astype(np.int32), score[order], features[order],
        seen.starts[begin], seen.stops[end - 1],
    )  # fmt: skip


def passages(texts: Sequence[str]) -> list[tuple[int, str]]:
    """(which text, passage): each text, and a long one's last line, where that is a sentence of its own."""
    found = []
    for number, text in enumerate(texts):
        found.append((number, text))
        lines = text.rstrip().split("\n")
        question = lines[-1]
        if (
            len(lines) > 1
            and len(re.findall(r"\w+", text)) >= _LONG
            and re.match(r"\w", question)
            and len(question.split()) >= 8
        ):
            found.append((number, question))
    return found


def build(texts: Sequence[str], items: Sequence[int]) -> RephraseIndex:
    """Index prompts: text i is of the item ``items[i]``. A prompt without words is known by nothing and never found."""
    pieces = passages(texts)
    offsets, data = buffers(pa.array([text for _, text in pieces], pa.large_string()))
    seen: Words = words(offsets, data, "alphanumeric")
    hashes, digits = stems(offsets, data, seen)
    known, places = np.unique(hashes, return_inverse=True)
    passage = np.repeat(np.arange(len(pieces)), np.diff(seen.rows))
    both = np.unique(np.stack((passage, places), axis=1).reshape(-1, 2), axis=0)
    numbers = np.zeros(len(known), np.bool_)
    numbers[places] = digits
    return RephraseIndex(
        stems=known,
        numbers=numbers,
        passages_at=np.searchsorted(both[:, 0], np.arange(len(pieces) + 1)).astype(np.int64),
        members=both[:, 1].astype(np.int32),
        words=np.diff(seen.rows).astype(np.int32),
        item=np.array([items[number] for number, _ in pieces], np.int32),
    )
