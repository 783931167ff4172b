"""What a benchmark's items and a row have in common, slowly: sets of tuples of words."""

from __future__ import annotations

from collections import Counter

Gram = tuple[int, ...]
Unit = tuple[int, str, set[Gram], bool, list[Gram]]
"""Item, part, grams by which it is known, whether only all of them count, grams that must be near."""


def _grams(text: list[int], n: int) -> set[Gram]:
    return {tuple(text[i : i + n]) for i in range(len(text) - n + 1)}


def _length(words: int) -> int:
    return min(words, 8) if words < 80 else 10 if words < 160 else 13


def _of_item(item: int, parts: dict[str, list[list[int]]]) -> list[Unit]:
    units: list[Unit] = []
    for prompt in parts.get("prompt", []):
        grams = _grams(prompt, _length(len(prompt)))
        if len(prompt) >= 8:
            units.append((item, "prompt", grams, len(prompt) < 16, []))
            continue
        begun = {part: [tuple(t[:8]) for t in parts.get(part, []) if t] for part in ("answer", "choices")}
        for part, near in begun.items():
            if near:
                units.append((item, f"prompt and {part}", grams, True, near))
        units.append((item, "asked" if any(begun.values()) else "prompt", grams, True, []))
    for part in ("answer", "test", "few_shot"):
        units += [(item, part, _grams(t, _length(len(t))), False, []) for t in parts.get(part, []) if len(t) >= 16]
    long = [t for t in parts.get("choices", []) if len(t) >= 8]
    if sum(map(len, long)) >= 16:
        units.append((item, "choices", set().union(*(_grams(t, 8) for t in long)), False, []))
    return units


def units(items: list[dict[str, list[list[int]]]]) -> list[Unit]:
    every = [unit for item, parts in enumerate(items) for unit in _of_item(item, parts)]
    items_of = Counter(gram for gram, _ in {(gram, unit[0]) for unit in every for gram in unit[2]})
    result = []
    for item, part, grams, whole, near in every:
        own = {gram for gram in grams if items_of[gram] <= 16}
        result.append((item, part, own if 2 * len(own) >= len(grams) else grams, whole, near))
    return result


def places(row: list[int], unit: Unit) -> list[tuple[int, int]]:
    """(first word, word behind the last) of each gram of a unit in a row, in order."""
    _, _, grams, _, near = unit
    found = []
    for i in range(len(row)):
        for length in {len(gram) for gram in grams}:
            if tuple(row[i : i + length]) not in grams:
                continue
            windows = [row[max(0, i - 4 * (length + len(g))) : i + length + 4 * (length + len(g))] for g in near]
            if all(g in _grams(window, len(g)) for g, window in zip(near, windows, strict=True)):
                found.append((i, i + length))
    return found


def spans(row: list[int], unit: Unit) -> list[tuple[int, int]]:
    """Ranges of words, those less than four words apart made one."""
    merged: list[list[int]] = []
    for first, stop in places(row, unit):
        if merged and first <= merged[-1][1] + 3:
            merged[-1][1] = stop
        else:
            merged.append([first, stop])
    return [(a, b) for a, b in merged]


def overlap(row: list[int], unit: Unit, least: tuple[float, int, float]) -> tuple[float, float, int] | None:
    """(share of the unit, share of the row, longest run), or None where it is no hit."""
    found = places(row, unit)
    covered = {word for first, stop in found for word in range(first, stop)}
    share = len({tuple(row[first:stop]) for first, stop in found}) / len(unit[2])
    first_met = {tuple(row[first:stop]): (first, stop) for first, stop in reversed(found)}
    fresh = {word for first, stop in first_met.values() for word in range(first, stop)}
    run = max((sum(word in fresh for word in range(a, b)) for a, b in spans(row, unit)), default=0)
    if unit[3]:
        return (share, len(covered) / len(row), run) if share == 1 else None
    if found and (share >= least[0] or run >= least[1] or len(covered) >= least[2] * len(row)):
        return share, len(covered) / len(row), run
    return None
