# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What a text's fastText features add up to, from its words: the kernel behind a folded model's scores.

The features of a line are, as ``Dictionary::getLine`` has them: each word of the vocabulary (with its subwords), the
subwords of each other word, and each run of up to ``word_ngrams`` words, hashed into a bucket; ``</s>`` is the last
word of every line. A folded model has a value for each feature, and a line's are summed and counted here.

The time goes into look-ups in tables larger than the caches, one or two a word. So a row's words are taken a few
hundred at a time: first all places are computed, then all are read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets, padded
from curate.text.fasttext_buckets import AT_ONCE, Buckets, runs, subwords
from curate.text.fasttext_lines import END, is_end, is_label
from curate.text.fasttext_vocabulary import COUNT_BITS, NO_WORD, SIZE, Slots, place, vocabulary, word_key
from curate.text.swar import prefetch
from curate.text.word_hashes import fnv
from curate.text.words import Words

__all__ = ["Features", "Sums", "feature_sums", "features"]

_OPEN = np.uint8(ord("<"))
_UNDERSCORE = np.uint8(ord("_"))


class Features(NamedTuple):
    """A folded model's tables, as kernels take them.

    Attributes:
        slots: the vocabulary (see ``curate.text.fasttext_vocabulary``); a value is the word's float32 where a feature
            has one value, else its row in ``words``. It has its subwords' values in it.
        values: float32[2 * len(slots), 2], the same memory: ``values[2 * slot + 1, 1]`` is the slot's value.
        shift: finds a word's first place.
        words: float32[n, k]: the values of each word, with its subwords'.
        buckets: the hashed features.
        word_ngrams: the longest run of words that is a feature.
        minn, maxn: the shortest and longest subword, in characters.
        end: float32[k]: the values of ``</s>``; zeros where it is not in the vocabulary.
        end_count: 1 where it is, else 0.
        end_hash: its hash, sign-extended.
    """

    slots: Slots
    values: npt.NDArray[np.float32]
    shift: np.uint64
    words: npt.NDArray[np.float32]
    buckets: Buckets
    word_ngrams: int
    minn: int
    maxn: int
    end: npt.NDArray[np.float32]
    end_count: int
    end_hash: int


class Sums(NamedTuple):
    """Of n rows.

    Attributes:
        values: float64[n, k], what the features' values add up to.
        counts: int64[n], how many features there are.
        words: int64[n], how many words, known or not, without the ``</s>`` at the end.
    """

    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]


@njit(nogil=True, cache=True)
def _with_subwords(offsets, data, number, end, minn, maxn, buckets, values, counts):
    """Add to the first ``number`` words' values and counts those of their subwords; ``</s>`` has none."""
    sums = np.zeros((1, values.shape[1]), np.float64)
    ids = np.empty(AT_ONCE, np.uint32)
    for i in range(number):
        if i == end:
            continue
        sums[0] = values[i]
        counts[i] += subwords(data, offsets[i], offsets[i + 1], minn, maxn, buckets, ids, 0, sums)
        for k in range(values.shape[1]):
            values[i, k] = sums[0, k]


def features(
    words: tuple[bytes, ...],
    labels: tuple[bytes, ...],
    values: npt.NDArray[np.float32],
    buckets: Buckets,
    word_ngrams: int,
    minn: int,
    maxn: int,
) -> Features:
    """The tables of a model with these words, labels (as they would stand in a text) and values, float32[words, k].

    Raises ValueError for a word that is there twice or has 16 million subwords.
    """
    entries = (*words, *labels)
    offsets = np.zeros(len(entries) + 1, np.int64)
    np.cumsum([len(word) for word in entries], out=offsets[1:])
    data = np.frombuffer(b"".join(entries), np.uint8)
    width = buckets.values.shape[1]
    whole = np.concatenate((values, np.zeros((len(labels), width), np.float32)))
    counts = np.ones(len(entries), np.int64)
    end = next((i for i, word in enumerate(words) if word == END.encode()), -1)
    if maxn > 0:
        _with_subwords(offsets, data, len(words), end, minn, maxn, buckets, whole, counts)
    if counts.max(initial=0) >= NO_WORD:
        raise ValueError("a word has more than 16 million subwords")
    counts[len(words) :] = NO_WORD
    numbers = whole[:, 0].view(np.uint32) if width == 1 else np.arange(len(entries), dtype=np.uint32)
    slots, shift = vocabulary(offsets, data, counts, numbers)
    hashed = int(fnv(np.frombuffer(END.encode(), np.uint8), 0, len(END)))
    return Features(
        slots=slots,
        values=slots.view(np.float32).reshape(-1, 2),
        shift=np.uint64(shift),
        words=whole,
        buckets=buckets,
        word_ngrams=word_ngrams,
        minn=minn,
        maxn=maxn,
        end=whole[end].copy() if end >= 0 else np.zeros(width, np.float32),
        end_count=int(end >= 0),
        end_hash=hashed - (1 << 32) if hashed >> 31 else hashed,
    )


@njit(nogil=True, cache=True, _nrt=False)
def _places(data, first, hashes, starts, stops, word, upto, model, own, found):
    """Keys, sizes, places and numbers of the words from ``word`` on: (how many, where the line ends or ``upto``)."""
    filled = 0
    for i in range(word, upto):
        at, stop = first + np.int64(starts[i]), first + np.int64(stops[i])
        byte = data[at]
        if byte == _OPEN and is_end(data, at, stop):
            if own:
                continue
            return filled, i
        if own and byte == _UNDERSCORE and is_label(data, at, stop):
            continue
        slot = place(hashes[i], model.shift)
        prefetch(model.slots, 2 * slot)
        found[0, filled] = word_key(data, at, stop)
        found[1, filled] = min(np.uint64(stop - at), SIZE)
        found[2, filled] = slot
        found[3, filled] = i
        filled += 1
    return filled, upto


@njit(nogil=True, cache=True, _nrt=False)
def _look_up(data, first, hashes, starts, stops, model, own, found, filled, chain, size, ids, row, sums):
    """Take the words that were found: (their features, the length of the chain with their hashes behind it)."""
    slots, mask = model.slots, len(model.slots) - 1
    single = sums.shape[1] == 1
    features = np.int64(0)
    total = 0.0
    for k in range(filled):
        key, length, i = found[0, k], found[1, k], np.int64(found[3, k])
        slot = np.int64(found[2, k])
        about = slots[slot, 1]
        while about and (slots[slot, 0] != key or about & SIZE != length):
            slot = (slot + 1) & mask
            about = slots[slot, 1]
        count = (about >> np.uint64(8)) & COUNT_BITS
        if count == NO_WORD:
            continue
        if about:
            features += np.int64(count)
            if single:
                total += model.values[2 * slot + 1, 1]
            else:
                for c in range(sums.shape[1]):
                    sums[row, c] += model.words[np.int64(about >> np.uint64(32)), c]
        else:
            at, stop = first + np.int64(starts[i]), first + np.int64(stops[i])
            if not own and is_label(data, at, stop):
                continue
            if model.maxn > 0:
                features += subwords(data, at, stop, model.minn, model.maxn, model.buckets, ids, row, sums)
        chain[size] = np.int64(np.int32(np.uint32(hashes[i])))
        size += 1
    sums[row, 0] += total
    return features, size


@njit(nogil=True, cache=True, _nrt=False)
def _sums(offsets, data, rows, hashes, starts, stops, model, own, chain, found, ids, sums, counts, read):
    """Sum and count the features of each row.

    Scratch: ``chain`` int64[words of the longest row + 1], ``found`` uint64[4, AT_ONCE], ``ids`` uint32[AT_ONCE].
    """
    for row in range(len(rows) - 1):
        first = offsets[row]
        features = np.int64(model.end_count)
        for k in range(sums.shape[1]):
            sums[row, k] = model.end[k]
        size = 0
        word, last = rows[row], rows[row + 1]
        while word < last:
            upto = min(word + AT_ONCE, last)
            filled, word = _places(data, first, hashes, starts, stops, word, upto, model, own, found)
            if word < upto:
                last = word  # the line ends here
            more, size = _look_up(
                data, first, hashes, starts, stops, model, own, found, filled, chain, size, ids, row, sums
            )
            features += more
        chain[size] = model.end_hash
        if model.word_ngrams > 1:
            features += runs(chain, size + 1, model.word_ngrams, model.buckets, ids, row, sums)
        counts[row] = features
        read[row] = size


def feature_sums(offsets: Offsets, data: Bytes, words: Words, model: Features, *, own: bool) -> Sums:
    """Sums and counts of the features of every row, from its words under ``raw``.

    ``own``: labels and ``</s>`` within the text are left out, as our forms have it; else they are what fastText's
    ``predict`` takes them for (a label that the vocabulary does not have is no word, ``</s>`` ends the line).
    """
    rows = len(offsets) - 1
    if len(data) < 8:  # kernels read eight bytes at a time
        offsets, data = padded(offsets, data, 8)
        data.flags.writeable = False
        offsets.flags.writeable = False
    longest = int(np.diff(words.rows).max()) if rows else 0
    sums = np.empty((rows, model.buckets.values.shape[1]), np.float64)
    counts, read = np.empty(rows, np.int64), np.empty(rows, np.int64)
    chain, found = np.empty(longest + 1, np.int64), np.empty((4, AT_ONCE), np.uint64)
    ids = np.empty(AT_ONCE, np.uint32)
    places = words.rows, words.hashes, words.starts, words.stops
    _sums(offsets, data, *places, model, own, chain, found, ids, sums, counts, read)
    return Sums(sums, counts, read)
