"""Classifiers: a score for each text of a batch. One folder holds one classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.quality.folder import SETTINGS_FILE, describe
from curate.text.batch import Batch

EMPTY_SCORE: Final = 0.0
"""The score of a text without a single word: there is nothing in it to be good. fastText would say about a half."""

Scores = npt.NDArray[np.float32]


class Classifier(Protocol):
    """Anything that gives texts a score."""

    def score(self, docs: Batch) -> Scores:
        """One float32 in [0, 1] a row, higher is better; a null text counts as an empty one."""
        ...


def load(folder: Path) -> Classifier:
    """The classifier in a folder, read once per process and again when its files have changed."""
    files = sorted(p for p in folder.glob("*") if p.name == SETTINGS_FILE or p.stem == "model")
    stats = tuple((p.name, (s := p.stat()).st_size, s.st_mtime_ns, s.st_ino) for p in files)
    return _load(folder.absolute(), stats)


@lru_cache(maxsize=4)
def _load(folder: Path, stats: tuple[tuple[str, int, int, int], ...]) -> Classifier:  # noqa: ARG001 - part of the cache's key
    kind = describe(folder).kind
    if kind not in KINDS:
        raise InputError(f"unknown kind of classifier '{kind}'", place=str(folder / SETTINGS_FILE))
    return KINDS[kind](folder)


def _fasttext(folder: Path) -> Classifier:
    from curate.quality.fasttext_model import FastTextClassifier

    return FastTextClassifier.load(folder)


def _head(folder: Path) -> Classifier:
    from curate.quality.heads import Head

    return Head.load(folder)


KINDS: Final[Mapping[str, Callable[[Path], Classifier]]] = {
    "fasttext": _fasttext,
    "forest": _head,
    "ridge": _head,
    "logistic": _head,
}
"""Each kind's way to read a folder."""
