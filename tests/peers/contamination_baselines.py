"""What others do: a shared 13-gram of words (GPT-3, lm-evaluation-harness), and 10-grams checked by difflib (Cosmopedia).

Both follow the published code: lower case, words are ``\\w+`` without combining marks. An item is known by its prompt, and by
prompt and answer together; whichever is matched more counts, which is in the baselines' favour.
"""

from __future__ import annotations

import difflib
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tests.contamination.items import Item

U64 = npt.NDArray[np.uint64]
NEAREST: Final = 2
"""Items that a text is compared with by difflib; Cosmopedia's code takes one."""
_BASE = np.uint64(0x9E3779B97F4A7C15)


def tokens(text: str) -> list[str]:
    """Words as both split them."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return re.findall(r"\w+", text.lower())


class Text:
    """A text's words, and a random number for each, uint64[words]: n-grams are compared as 64-bit sums of them."""

    def __init__(self, text: str) -> None:
        self.words = tokens(text)
        self.hashes = np.fromiter((_numbers[word] for word in self.words), np.uint64, len(self.words))

    def grams(self, n: int) -> U64:
        """A hash for each n-gram, uint64[words - n + 1]."""
        count = max(0, len(self.words) - n + 1)
        total = np.zeros(count, np.uint64)
        for k in range(n):
            total = total * _BASE + self.hashes[k : count + k]
        return total


class _Numbers(dict[str, int]):
    def __init__(self) -> None:
        self._rng = random.Random(1)

    def __missing__(self, word: str) -> int:
        number = self[word] = self._rng.getrandbits(64)
        return number


_numbers = _Numbers()


class Baseline:
    """Documents that share an n-gram with an item, and what is made of that."""

    name: str
    n: int

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        found = [Text(item.whole).grams(self.n) for item in items]
        grams = np.concatenate(found)
        owners = np.repeat(np.arange(len(items)), [len(f) for f in found])
        order = np.argsort(grams, kind="stable")
        self._grams, self._owners = grams[order], owners[order]

    def _shared(self, text: Text) -> list[Item]:
        """The items that have most n-grams in common with a text, NEAREST at most."""
        mine = np.unique(text.grams(self.n))
        first, last = (np.searchsorted(self._grams, mine, side=side) for side in ("left", "right"))
        numbers = Counter(int(o) for i in np.flatnonzero(last > first) for o in self._owners[first[i] : last[i]])
        return [self._items[number] for number, _ in numbers.most_common(NEAREST)]

    def item(self, text: Text) -> str | None:
        """The name of the item that a text holds, if any."""
        raise NotImplementedError


class Thirteen(Baseline):
    """A document goes for one 13-gram of an item."""

    name, n = "13-gram", 13

    def item(self, text: Text) -> str | None:
        """The first item found."""
        shared = self._shared(text)
        return shared[0].name if shared else None


class TenAndDiff(Baseline):
    """A document goes for a 10-gram of an item of whose characters over half are in parts of more than 5 alike."""

    name, n = "10-gram + difflib", 10

    def item(self, text: Text) -> str | None:
        """The item with the largest share alike, if that is over a half."""
        joined = " ".join(text.words)
        best: tuple[float, str | None] = (0.5, None)
        for item in self._shared(text):
            ratio = max(_alike(joined, " ".join(tokens(part))) for part in (item.prompt, item.whole))
            if ratio > best[0]:
                best = ratio, item.name
        return best[1]


def baselines(items: Sequence[Item]) -> list[Baseline]:
    """Both, against the same items."""
    return [Thirteen(items), TenAndDiff(items)]


def _alike(text: str, known: str) -> float:
    if not known:
        return 0.0
    blocks = difflib.SequenceMatcher(None, text, known, autojunk=False).get_matching_blocks()
    matched = "".join(text[b.a : b.a + b.size] for b in blocks if b.size > 5)
    return len(" ".join(matched.split())) / len(known)
