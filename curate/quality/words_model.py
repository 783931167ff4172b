"""Logistic regression on which words occur: for small sets of labels, and sources unlike those that were labelled.

A document is its distinct words and runs of words among those that the model knows, each with its inverse document
frequency, brought to length 1. How often a word occurs in a document, which tells topics apart, does not count; a model
that takes only words that occur in many sources knows little else than how people write. Stored as plain arrays: 64-bit
hashes, and two numbers each.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.quality.classifier import EMPTY_SCORE, Scores
from curate.quality.folder import Description, describe, no_model
from curate.quality.text_form import TextForm
from curate.store.arrays import read_arrays, write_arrays
from curate.text.batch import Batch

MODEL_FILE: Final = "model.npz"
KIND: Final = "words"
POLICY: Final = "folded"
"""What a word is, see ``curate.text.words``: letters, marks and numbers, whatever their case."""
_MOST_NGRAMS: Final = 8


@dataclass(frozen=True)
class WordsClassifier:
    """What it knows.

    Attributes:
        keys: uint64[m], hashes of words and runs of words, ascending.
        weights: float32[m], the regression's weight times the inverse document frequency.
        squares: float32[m], that frequency's square, not negative.
        intercept: what a document without known words has.
        ngrams: longest run.
        form: how texts are read.
    """

    keys: npt.NDArray[np.uint64]
    weights: npt.NDArray[np.float32]
    squares: npt.NDArray[np.float32]
    intercept: float
    ngrams: int
    form: TextForm

    def __post_init__(self) -> None:
        from curate.text.presence import table

        object.__setattr__(self, "_table", table(self.keys))

    def score(self, docs: Batch) -> Scores:
        """P(good): 1 / (1 + exp(-(intercept + sum of weights / sqrt(sum of squares)))); EMPTY_SCORE without a word."""
        from curate.text.presence import sums

        words = self.form.read(docs).words(POLICY)
        total, norm = sums(words, self.ngrams, self._table, self.weights, self.squares)  # type: ignore[attr-defined]
        logit = self.intercept + total / np.sqrt(np.where(norm > 0, norm, 1))
        scores = 1 / (1 + np.exp(-np.clip(logit, -80, 80)))
        return np.where(np.diff(words.rows) > 0, scores, EMPTY_SCORE).astype(np.float32)

    def write(self, folder: Path, settings: dict[str, Any]) -> None:
        """Write model and description to a folder that exists."""
        write_arrays(
            folder / MODEL_FILE,
            {
                "keys": self.keys,
                "weights": self.weights,
                "squares": self.squares,
                "intercept": np.array([self.intercept], np.float64),
                "ngrams": np.array([self.ngrams], np.int32),
            },
        )
        Description(kind=KIND, form=self.form, settings=settings).write(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The classifier in a folder; raises InputError if there is none, or none that can be trusted to be one."""
        form, path = describe(folder).form, folder / MODEL_FILE
        if not path.is_file():
            raise no_model(folder)
        arrays = read_arrays(path)
        kinds = {
            "keys": np.uint64,
            "weights": np.float32,
            "squares": np.float32,
            "intercept": np.float64,
            "ngrams": np.int32,
        }
        wrong = [n for n, kind in kinds.items() if n not in arrays or arrays[n].dtype != kind or arrays[n].ndim != 1]
        if wrong:
            raise _broken(path, f"no {wrong[0]} as they are stored")
        keys, weights, squares = arrays["keys"], arrays["weights"], arrays["squares"]
        if not len(keys) == len(weights) == len(squares) or (keys[1:] <= keys[:-1]).any():
            raise _broken(path, "words and weights do not fit")
        if len(arrays["intercept"]) != 1 or len(arrays["ngrams"]) != 1:
            raise _broken(path, "one intercept and one longest run are wanted")
        if not (np.isfinite(weights).all() and np.isfinite(squares).all() and np.isfinite(arrays["intercept"]).all()):
            raise _broken(path, "it holds NaN or infinity")
        if (squares < 0).any():
            raise _broken(path, "a square is negative")
        ngrams = int(arrays["ngrams"][0])
        if not 1 <= ngrams <= _MOST_NGRAMS:
            raise _broken(path, f"runs of {ngrams} words")
        return cls(keys, weights, squares, float(arrays["intercept"][0]), ngrams, form)


def _broken(path: Path, why: str) -> InputError:
    return InputError(f"not a trained classifier of words: {why}", place=str(path), cure="fetch or train it again")
