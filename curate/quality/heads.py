"""Heads: classifiers that read a document's embedding instead of its text.

phi-1's form: a model that others trained turns a document into a vector, and a small head learns from labelled vectors
what is good. Three heads: ``forest`` (phi-1's own choice), ``ridge`` (FineWeb-Edu's: a regression on the grade) and
``logistic``. A head is stored as plain arrays in ``model.npz``; reading one never unpickles anything and needs NumPy
and numba only. Training is in ``heads_train.py``.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.quality.classifier import EMPTY_SCORE, VECTORS, Scores
from curate.quality.folder import Description, describe, no_model
from curate.quality.vectors import Matrix, matrix
from curate.text.batch import Batch

__all__ = ["MODEL_FILE", "Head", "Kind", "Predictor"]

MODEL_FILE: Final = "model.npz"
_DIM: Final = "dim"

Kind = Literal["forest", "ridge", "logistic"]


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
        arrays = {_DIM: np.array([self.dim], np.int32), **self.predictor.arrays()}
        with zipfile.ZipFile(folder / MODEL_FILE, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(arrays):
                # A fixed date: np.savez writes one too, but says nowhere that it always will.
                entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(entry, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, arrays[name], allow_pickle=False)
        Description(kind=self.kind, settings=settings).write(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The head in a folder; raises InputError if there is none, or none that can be trusted to be one."""
        kind: Any = describe(folder).kind
        path = folder / MODEL_FILE
        if not path.is_file():
            raise no_model(folder)
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            dim = _length(arrays)
            head = cls(kind, dim, _read(kind, arrays, dim))
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError, MemoryError) as error:
            # zlib's error is no ValueError.
            raise _broken(path, error) from None
        except Exception as error:
            if type(error).__module__ == "zlib":
                raise _broken(path, error) from None
            raise
        # Whoever loads it is about to score: the kernel is compiled, or read from its cache, before the first row.
        head.predictor.predict(np.zeros((1, dim), np.float32))
        return head


def _broken(path: Path, error: Exception) -> InputError:
    cause = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"no trained head can be read from it: {cause}", place=str(path), cure="train it again")


def _length(arrays: dict[str, npt.NDArray[Any]]) -> int:
    stored = arrays.get(_DIM)
    if stored is None or stored.shape != (1,) or stored.dtype != np.int32 or stored[0] < 1:
        raise ValueError("it does not say how long its vectors are")
    return int(stored[0])


def _read(kind: Kind, arrays: dict[str, npt.NDArray[Any]], dim: int) -> Predictor:
    if kind == "forest":
        from curate.quality.forest import Forest

        return Forest.read(arrays, dim)
    from curate.quality.linear import Linear

    return Linear.read(arrays, dim, logistic=kind == "logistic")
