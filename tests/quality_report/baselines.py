"""What a classifier of quality must beat: length, readability, perplexity of a small model of language."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

_WORD = re.compile(r"[A-Za-z']+")
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)")
_VOWELS = re.compile(r"[aeiouy]+")
FIRST = 8_192
"""Characters of a text that are looked at: what the classifiers read, too."""


def syllables(word: str) -> int:
    """Groups of vowels, less a silent e; at least one."""
    word = word.lower()
    return max(1, len(_VOWELS.findall(word)) - (word.endswith("e") and not word.endswith("le")))


def flesch(text: str) -> float:
    """Flesch's reading ease (1948): 206.835 - 1.015 words a sentence - 84.6 syllables a word."""
    words = _WORD.findall(text)
    if not words:
        return 0.0
    sentences = max(1, len(_SENTENCE.findall(text)))
    return 206.835 - 1.015 * len(words) / sentences - 84.6 * sum(map(syllables, words)) / len(words)


class Unigrams:
    """A unigram model with add-one smoothing."""

    def __init__(self, texts: list[str]) -> None:
        self.counts = Counter(w.lower() for text in texts for w in _WORD.findall(text[:FIRST]))
        self.total = sum(self.counts.values()) + len(self.counts) + 1

    def log_perplexity(self, text: str) -> float:
        """Mean negative log-probability of a word, nats."""
        words = [w.lower() for w in _WORD.findall(text)]
        if not words:
            return 0.0
        return float(-np.mean([np.log((self.counts.get(w, 0) + 1) / self.total) for w in words]))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, ties at their mean."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[where]


def all_of(texts: list[str], unigrams: Unigrams) -> dict[str, np.ndarray]:
    """Each baseline's score of each text, higher is better (perplexity and readability in the better direction are the
    reader's choice: both signs are shown)."""
    heads = [text[:FIRST] for text in texts]
    words = np.array([len(_WORD.findall(text)) for text in texts], dtype=np.float64)
    ease = np.array([flesch(text) for text in heads])
    perplexity = np.array([unigrams.log_perplexity(text) for text in heads])
    return {
        "words": words,
        "hard to read (Flesch)": -ease,
        "easy to read (Flesch)": ease,
        "perplexity under negatives": perplexity,
        "likelihood under negatives": -perplexity,
    }
