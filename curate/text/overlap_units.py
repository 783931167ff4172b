# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What of a benchmark's items is looked for: units of word n-grams, made into an ``overlap.Index``.

- A prompt of WHOLE words or more: any share of its n-grams counts; n is 8, 10 or 13 by its length (``gram_length``).
- One of ALONE to WHOLE - 1 words: all of its 8-grams, that is, word by word.
- A shorter one ("What is 3+4?") proves nothing by itself: word by word, with the answer (its first 8 words), or each of
  the choices, near it (``overlap.REACH``). Where there is neither, the prompt alone. And by itself as ASKED, which is no
  hit, but bears out what else is found of the item.
- An answer, a test, choices or a few-shot text of WHOLE words or more: like a prompt. Shorter ones (``return a % 1.0``)
  are anybody's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.ngrams import BASE
from curate.text.overlap import Index, anchor_size, gram_key, sieve_bits, upper
from curate.text.words import Words

__all__ = [
    "ALONE",
    "ANSWER",
    "ASKED",
    "BOTH",
    "CHOICE",
    "COMMON",
    "PARTS",
    "PROMPT",
    "SHOT",
    "TEST",
    "WHOLE",
    "build",
    "gram_length",
]

PARTS: Final = ("prompt", "answer", "choices", "test", "few_shot", "prompt and answer", "prompt and choices", "asked")
PROMPT, ANSWER, CHOICE, TEST, SHOT, BOTH, _CHOOSE, ASKED = range(len(PARTS))
ALONE: Final = 8
"""Words: a shorter prompt proves nothing without its answer."""
WHOLE: Final = 16
"""Words: of a shorter text only all of it counts, as a share of one would be a phrase ("Write a function to find the")."""
COMMON: Final = 16
"""A gram in the units of more items is no item's own."""
_BITS: Final = 16
"""Bits of the filter for each anchor, at least: with three of them set one word in 200 passes."""

Range = tuple[int, int]


def gram_length(words: int) -> int:
    """The n of the n-grams of a text of so many words."""
    return min(words, 8) if words < 80 else 10 if words < 160 else 13


@dataclass
class _Unit:
    """Ranges of words that count together, in n-grams, with what else must be there."""

    item: int
    part: int
    passages: list[Range]
    n: int
    whole: bool = False
    needs: list[Range] = field(default_factory=list)


def _size(passage: Range) -> int:
    return passage[1] - passage[0]


def _units(item: int, parts: dict[int, list[Range]]) -> Iterator[_Unit]:
    """The units of an item; raises ValueError where its prompt has no words."""
    for passage in parts.get(PROMPT, []):
        size = _size(passage)
        if not size:
            raise ValueError(f"the prompt of item {item} has no words")
        if size >= ALONE:
            yield _Unit(item, PROMPT, [passage], gram_length(size), whole=size < WHOLE)
            continue
        begun = {
            part: [(at, min(stop, at + 8)) for at, stop in parts.get(part, []) if stop > at]
            for part in (ANSWER, CHOICE)
        }
        for part, name in ((ANSWER, BOTH), (CHOICE, _CHOOSE)):
            if begun[part]:
                yield _Unit(item, name, [passage], size, whole=True, needs=begun[part])
        yield _Unit(item, ASKED if any(begun.values()) else PROMPT, [passage], size, whole=True)
    for part in (ANSWER, TEST, SHOT):
        for passage in parts.get(part, []):
            if _size(passage) >= WHOLE:
                yield _Unit(item, part, [passage], gram_length(_size(passage)))
    long = [choice for choice in parts.get(CHOICE, []) if _size(choice) >= ALONE]
    if sum(map(_size, long)) >= WHOLE:
        yield _Unit(item, CHOICE, long, 8)


@njit(nogil=True, cache=True)
def _grams(hashes, starts, stops, lengths):
    """Of each range of words all its grams: (uint64: the gram, uint64: its anchor, int64: the range)."""
    total = 0
    for i in range(len(starts)):
        total += stops[i] - starts[i] - lengths[i] + 1
    keys, anchors, ranges = np.empty(total, np.uint64), np.empty(total, np.uint64), np.empty(total, np.int64)
    to = 0
    for i in range(len(starts)):
        for at in range(starts[i], stops[i] - lengths[i] + 1):
            keys[to] = gram_key(hashes, at, lengths[i])
            value = np.uint64(0)
            for k in range(at, at + anchor_size(lengths[i])):
                value = value * BASE + hashes[k]
            anchors[to] = value
            ranges[to] = i
            to += 1
    return keys, anchors, ranges


@njit(nogil=True, cache=True)
def _fill(anchors, sieve):
    shift = upper(len(sieve))
    for anchor in anchors:
        sieve[anchor >> shift] |= sieve_bits(anchor)


def _sieve(anchors: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    sieve = np.zeros(max(64, 1 << (_BITS * len(anchors) // 64).bit_length()), np.uint64)
    _fill(anchors, sieve)
    return sieve


def _ranges(ranges: Sequence[Range]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    both = np.array(ranges, np.int64).reshape(-1, 2)
    return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])


def _own(
    keys: npt.NDArray[np.uint64], units: npt.NDArray[np.int64], items: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Which (gram, unit) pairs a unit is known by: those of grams in at most COMMON items, unless these are fewer than
    half of the unit's."""
    pairs = np.unique(np.stack((keys, items[units].astype(np.uint64)), axis=1), axis=0)
    grams, counts = np.unique(pairs[:, 0], return_counts=True)
    own = counts[np.searchsorted(grams, keys)] <= COMMON
    kept, of = np.bincount(units[own], minlength=len(items)), np.bincount(units, minlength=len(items))
    return np.asarray(own | (2 * kept < of)[units])


def build(texts: Words, items: Sequence[int], parts: Sequence[int]) -> Index:
    """Index texts under the policy ``alphanumeric``: row i is a text of the item ``items[i]``, its part ``parts[i]``.

    An item has one prompt or several, one answer, choices (a row each) and so on; its rows need not be neighbours. The
    same texts give the same arrays, whatever the order of an item's parts. Raises ValueError where a prompt has no words.
    """
    by_item: dict[int, dict[int, list[Range]]] = {}
    for item, part, start, stop in zip(items, parts, texts.rows[:-1].tolist(), texts.rows[1:].tolist(), strict=True):
        by_item.setdefault(item, {}).setdefault(part, []).append((start, stop))
    units = [unit for item in sorted(by_item) for unit in _units(item, by_item[item])]
    item_of = np.array([unit.item for unit in units], np.int64)
    passages = [(number, unit.n, passage) for number, unit in enumerate(units) for passage in unit.passages]
    lengths = np.array([n for _, n, _ in passages], np.int64)
    keys, anchors, ranges = _grams(texts.hashes, *_ranges([passage for _, _, passage in passages]), lengths)
    owners = np.array([number for number, _, _ in passages], np.int64)[ranges]
    order = np.lexsort((owners, keys))
    keys, anchors, owners = keys[order], anchors[order], owners[order]
    first = np.ones(len(keys), np.bool_)
    first[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
    keys, anchors, owners = keys[first], anchors[first], owners[first]
    own = _own(keys, owners, item_of)
    keys, anchors, owners = keys[own], anchors[own], owners[own]
    distinct, begins = np.unique(keys, return_index=True)
    needed = [need for unit in units for need in unit.needs]
    sizes = np.array([_size(need) for need in needed], np.int64)
    long = lengths[ranges][order][first][own] >= ALONE
    return Index(
        keys=distinct,
        owners_at=np.append(begins, len(keys)).astype(np.int64),
        owners=owners.astype(np.int32),
        lengths=np.unique(lengths),
        sieve=_sieve(np.unique(anchors[long])),
        short_sieve=_sieve(np.unique(anchors[~long])),
        item=item_of.astype(np.int32),
        part=np.array([unit.part for unit in units], np.int8),
        totals=np.bincount(owners, minlength=len(units)).astype(np.int32),
        whole=np.array([unit.whole for unit in units], np.bool_),
        needs_at=np.cumsum([0] + [len(unit.needs) for unit in units], dtype=np.int64),
        needs=_grams(texts.hashes, *_ranges(needed), sizes)[0],
        needs_words=sizes,
    )
