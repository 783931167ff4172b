"""Slow, obvious versions of the measures of diversity, on lists of lists of words."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np


def grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def distinct(rows: list[list[str]], n: int, count: int) -> float | None:
    if sum(map(len, rows)) < count:
        return None
    found = []
    for row in rows:
        found += grams(row[:count], n)
        count -= len(row[:count])
    return len(set(found)) / len(found) if found else None


def self_repetition(rows: list[list[str]], n: int) -> float | None:
    sets = [set(grams(row, n)) for row in rows]
    found = [any(gram in other for j, other in enumerate(sets) if j != i) for i, own in enumerate(sets) for gram in own]
    return sum(found) / len(found) if found else None


def bleu(row: list[str], others: list[list[str]]) -> float:
    if not row:
        return 0.0
    logs = 0.0
    for n in (1, 2, 3, 4):
        own, matches = Counter(grams(row, n)), 0
        for gram, times in own.items():
            matches += min(times, max(grams(other, n).count(gram) for other in others))
        if n == 1 and not matches:
            return 0.0
        logs += math.log((matches or 0.1) / max(sum(own.values()), 1))
    nearest = min((len(other) for other in others), key=lambda size: (abs(size - len(row)), size))
    brevity = 1.0 if len(row) >= nearest else math.exp(1 - nearest / len(row))
    return brevity * math.exp(logs / 4)


def self_bleu(rows: list[list[str]], most: int) -> float | None:
    rows = [row[:most] for row in rows]
    if len(rows) < 2:
        return None
    return sum(bleu(row, rows[:i] + rows[i + 1 :]) for i, row in enumerate(rows)) / len(rows)


def cosine(one: Counter, two: Counter) -> float:
    if one == two:
        return 1.0
    product = sum(one[gram] * two[gram] for gram in one)
    sizes = [math.sqrt(sum(times**2 for times in each.values())) for each in (one, two)]
    return product / (sizes[0] * sizes[1]) if product else 0.0


def vendi(rows: list[list[str]]) -> float | None:
    if not rows:
        return None
    kernel = np.zeros((len(rows), len(rows)))
    for i, one in enumerate(rows):
        for j, two in enumerate(rows):
            for n in (1, 2):
                first, second = Counter(grams(one, n)), Counter(grams(two, n))
                kernel[i, j] += 0.5 * (1.0 if i == j else cosine(first, second) if first and second else 0.0)
    values = np.linalg.eigvals(kernel / len(rows)).real
    return math.exp(-sum(value * math.log(value) for value in values if value > 1e-12))


def templates(rows: list[list[str]]) -> tuple[float, float, str] | None:
    said = Counter(" ".join(row[:5]) for row in rows)
    if not said:
        return None
    opening, most = min(said.items(), key=lambda item: (-item[1], item[0]))
    return most / len(rows), sum(c for c in said.values() if c > 1) / len(rows), opening
