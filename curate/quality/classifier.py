"""Classifiers: a score for each text of a batch. One folder holds one classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.quality.folder import FOLDS_FILE, SETTINGS_FILE, describe
from curate.text.batch import Batch

EMPTY_SCORE: Final = 0.0
"""The score of a text without a single word: there is nothing in it to be good. fastText would say about a half."""

VECTORS: Final = "vectors"
"""What the column of embeddings is called in a batch for a classifier that scores those."""

Scores = npt.NDArray[np.float32]


class Classifier(Protocol):
    """Anything that gives texts a score."""

    def score(self, docs: Batch) -> Scores:
        """One float32 a row, higher is better; a null text counts as an empty one.

        In [0, 1], but for models whose labels are numbers: those give the expected one.
        """
        ...


def load(place: Path, label: str | None = None) -> Classifier:
    """The classifier in a folder, or in a fastText model file; read once per process, and again when it has changed.

    ``label``: whose probability the score is, where a fastText model has several labels. Raises InputError for what is
    no classifier.
    """
    files = [place] if place.is_file() else sorted(place.glob("*"))
    read = [p for p in files if p == place or p.name == SETTINGS_FILE or p.stem in {"model", "folds"}]
    stats = tuple((p.name, (s := p.stat()).st_size, s.st_mtime_ns, s.st_ino) for p in read)
    return _load(place.absolute(), label, stats)


def scores_texts(place: Path) -> bool:
    """Whether a classifier reads texts, and not embeddings. Raises InputError for a folder that is no classifier."""
    return place.is_file() or KINDS.get(describe(place).kind) is not _head


@lru_cache(maxsize=4)
def _load(place: Path, label: str | None, stats: tuple[tuple[str, int, int, int], ...]) -> Classifier:  # noqa: ARG001 - part of the cache's key
    if place.is_file():
        from curate.quality.fasttext_model import FastTextClassifier

        return FastTextClassifier.foreign(place, label)
    model = _read(place, label)
    if not (place / FOLDS_FILE).is_file():
        return model
    from curate.quality.cross_fit import CrossFitted

    return CrossFitted.load(place, model, lambda folder: _read(folder, label))


def _read(folder: Path, label: str | None) -> Classifier:
    kind = describe(folder).kind
    if kind not in KINDS:
        raise InputError(f"unknown kind of classifier '{kind}'", place=str(folder / SETTINGS_FILE))
    if kind in _LABELLED:
        return _fasttext(folder, label)
    if label is not None:
        raise InputError(
            f"a classifier of kind '{kind}' has one score, no labels", place=str(folder), cure="leave label out"
        )
    return KINDS[kind](folder)


def _fasttext(folder: Path, label: str | None = None) -> Classifier:
    from curate.quality.fasttext_model import FastTextClassifier

    return FastTextClassifier.load(folder, label)


def _words(folder: Path) -> Classifier:
    from curate.quality.words_model import WordsClassifier

    return WordsClassifier.load(folder)


def _head(folder: Path) -> Classifier:
    from curate.quality.heads import Head

    return Head.load(folder)


KINDS: Final[Mapping[str, Callable[[Path], Classifier]]] = {
    "fasttext": _fasttext,
    "folded": _fasttext,
    "words": _words,
    "forest": _head,
    "ridge": _head,
    "logistic": _head,
}
"""Each kind's way to read a folder."""
_LABELLED: Final = frozenset({"fasttext", "folded"})
"""Kinds whose models have labels, of which one can be named."""
