"""Heads: classifiers that read a document's embedding instead of its text.

phi-1's form: a model that others trained turns a document into a vector, and a small head learns from labelled vectors
what is good. Three heads: ``forest`` (phi-1's own choice), ``ridge`` (FineWeb-Edu's: a regression on the grade) and
``logistic``. A head is stored as plain arrays in ``model.npz``; reading one never unpickles anything and needs NumPy
and numba only. Training is in ``heads_train.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.quality.classifier import EMPTY_SCORE, VECTORS, Scores
from curate.quality.folder import Description, describe, no_model
from curate.quality.vectors import Matrix, matrix
from curate.store.arrays import Arrays, read_arrays, write_arrays
from curate.text.batch import Batch

__all__ = ["HEADS", "MODEL_FILE", "Head", "Kind", "Predictor"]

MODEL_FILE: Final = "model.npz"
_DIM: Final = "dim"

Kind = Literal["forest", "ridge", "logistic"]
HEADS: Final[tuple[Kind, ...]] = ("forest", "ridge", "logistic")


class Predictor(Protocol):
    """What a head does with vectors."""

    def predict(self, vectors: Matrix) -> npt.NDArray[np.float64]:
        """float32[n, dim] to float64[n] in [0, 1]."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What is stored."""
        ...


@dataclass(frozen=True)
class Head:
    """A trained head: its kind, the length of the vectors it was trained on, and what predicts."""

    kind: Kind
    dim: int
    predictor: Predictor

    def score(self, docs: Batch) -> Scores:
        """One float32 in [0, 1] a row from the column ``vectors``; EMPTY_SCORE for a row without a vector.

        Raises InputError when there is no such column, or its vectors are not of this head's length or not finite.
        """
        if VECTORS not in docs.rows.schema.names:
            raise InputError(
                f"a '{self.kind}' classifier scores embeddings, and the documents have none",
                cure="embed them first (embed.llm, embed.static) and name that column in 'vectors:'",
            )
        vectors, there = matrix(docs.column(VECTORS))
        scores = np.full(len(there), EMPTY_SCORE, np.float32)
        if len(vectors):
            scores[there] = self.predict(vectors)
        return scores

    def predict(self, vectors: Matrix) -> Scores:
        """float32[n, dim], finite, to float32[n] in [0, 1]; raises InputError for vectors of another length."""
        if vectors.shape[1] != self.dim:
            raise InputError(
                f"vectors of {vectors.shape[1]} numbers, but this classifier was trained on vectors of {self.dim}",
                cure="score with the embedding model it was trained on",
            )
        return self.predictor.predict(vectors).astype(np.float32)

    def write(self, folder: Path, settings: dict[str, Any]) -> None:
        """Write the model and its description to a folder that exists; the same head gives the same bytes."""
        dim = np.array([self.dim], np.int32)
        write_arrays(folder / MODEL_FILE, dict(sorted({_DIM: dim, **self.predictor.arrays()}.items())))
        Description(kind=self.kind, settings=settings).write(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The head in a folder; raises InputError if there is none, or none that can be trusted to be one."""
        kind: Any = describe(folder).kind
        path = folder / MODEL_FILE
        if not path.is_file():
            raise no_model(folder)
        arrays = read_arrays(path)
        try:
            dim = _length(arrays)
            head = cls(kind, dim, _read(kind, arrays, dim))
        except ValueError as error:
            raise InputError(f"no trained head: {error}", place=str(path), cure="train it again") from None
        # Whoever loads it is about to score: the kernel is compiled, or read from its cache, before the first row.
        head.predictor.predict(np.zeros((1, dim), np.float32))
        return head


def _length(arrays: Arrays) -> int:
    stored = arrays.get(_DIM)
    if stored is None or stored.shape != (1,) or stored.dtype != np.int32 or stored[0] < 1:
        raise ValueError("it does not say how long its vectors are")
    return int(stored[0])


def _read(kind: Kind, arrays: Arrays, dim: int) -> Predictor:
    if kind == "forest":
        from curate.quality.forest import Forest

        return Forest.read(arrays, dim)
    from curate.quality.linear import Linear

    return Linear.read(arrays, dim, logistic=kind == "logistic")
