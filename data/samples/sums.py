"""Writes sums.jsonl and sums-later.jsonl: questions with one right answer, from sums that a child does to problems of several steps.

Written for this project (CC0-1.0): no benchmark's items, no names of people. ``reference`` is computed, ``task`` the kind of
question. The first file is for learning, the second is what comes later. The same bytes every time: ``python data/samples/sums.py``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

FIRST, LATER = 10, 4
"""Questions of each kind in each file."""
WORDS = ("remembrance", "bookkeeper", "assessment", "committee", "engineering", "excellence", "independence", "millennium",
         "needlessness", "parallelepiped", "recommence", "senselessness", "beekeeper", "effervescence")  # fmt: skip
THINGS = ("pens", "apples", "tiles", "cards", "screws", "seeds", "beads")


def add(draw: random.Random) -> tuple[str, int]:
    a, b = draw.randrange(1, 10), draw.randrange(1, 10)
    return f"What is {a} + {b}?", a + b


def after(draw: random.Random) -> tuple[str, int]:
    a = draw.randrange(10, 99)
    return f"Which whole number comes right after {a}?", a + 1


def ten(draw: random.Random) -> tuple[str, int]:
    a = draw.randrange(2, 60)
    return f"What is {a} times 10?", a * 10


def minus(draw: random.Random) -> tuple[str, int]:
    a, b = draw.randrange(6, 20), draw.randrange(1, 6)
    return f"What is {a} - {b}?", a - b


def product(draw: random.Random) -> tuple[str, int]:
    a, b = draw.randrange(123, 988), draw.randrange(23, 98)
    return f"Multiply {a} by {b}. What is the product?", a * b


def letters(draw: random.Random) -> tuple[str, int]:
    word, letter = draw.choice(WORDS), draw.choice("ensm")
    return f"How often does the letter '{letter}' occur in the word '{word}'?", word.count(letter)


def remainder(draw: random.Random) -> tuple[str, int]:
    a, b = draw.randrange(1_000, 9_999), draw.randrange(13, 67)
    return f"What is the remainder when {a} is divided by {b}?", a % b


def shared(draw: random.Random) -> tuple[str, int]:
    thing, classes, each = draw.choice(THINGS), draw.randrange(3, 9), draw.randrange(11, 38)
    boxes, broken = draw.randrange(4, 12), draw.randrange(1, 9)
    per = -(-(classes * each + broken) // boxes)
    broken = boxes * per - classes * each
    said = (
        f"A school buys {boxes} boxes of {per} {thing} each. {broken} of them are broken and thrown away. The rest is shared "
        f"equally among {classes} classes. How many {thing} does each class get?"
    )
    return said, each


KINDS: tuple[Callable[[random.Random], tuple[str, int]], ...] = (
    add, after, ten, minus, product, letters, remainder, shared,
)  # fmt: skip


def main() -> None:
    """Write the file beside this one."""
    first: list[str] = []
    later: list[str] = []
    seen = set()
    for kind in KINDS:
        draw = random.Random(kind.__name__)
        found: list[tuple[str, int]] = []
        while len(found) < FIRST + LATER:
            question, right = kind(draw)
            if question not in seen:
                seen.add(question)
                found.append((question, right))
        for number, (question, right) in enumerate(found):
            row = {
                "id": f"{kind.__name__}-{number}",
                "instruction": f"{question} Answer with the number alone.",
                "reference": str(right),
                "task": kind.__name__,
                "license": "CC0-1.0",
            }
            (first if number < FIRST else later).append(json.dumps(row) + "\n")
    for name, lines in (("sums", first), ("sums-later", later)):
        Path(__file__).with_name(f"{name}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
