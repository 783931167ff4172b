"""Training of heads, with scikit-learn: the same vectors and labels give the same bytes.

Rows are put into an order of their content, seeds are fixed, and one BLAS thread adds up: neither the order in which
rows came nor the number of cores bears on a model.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from curate.errors import InputError
from curate.quality.heads import Head, Kind, Predictor
from curate.quality.label_columns import as_classes
from curate.quality.vectors import Matrix

__all__ = ["HeadSettings", "train_head"]

_ALPHAS: Final = np.logspace(-1, 6, 15)
"""Strengths that ``ridge`` chooses from. Vectors are standardised, so they mean the same for every model of embeddings."""
_SEED: Final = 0

Floats = npt.NDArray[np.float64]


class HeadSettings(BaseModel):
    """How a head is trained; each kind reads its own settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trees: int = Field(100, ge=1, le=10_000, description="forest: trees")
    max_depth: int | None = Field(None, ge=1, description="forest: longest path from a root; null = no bound")
    rows_per_tree: int = Field(20_000, ge=1, description="forest: rows drawn for a tree at most, with replacement")
    min_leaf: int = Field(5, ge=1, description="forest: fewest rows of a leaf; more make a smaller, smoother forest")
    alpha: float | None = Field(
        None, gt=0, description="ridge: strength of the penalty; null = the best of 15 by leave-one-out"
    )
    c: float = Field(0.01, gt=0, description="logistic: inverse strength of the penalty")


def train_head(kind: Kind, vectors: Matrix, labels: npt.ArrayLike, settings: HeadSettings, folder: Path) -> Head:
    """Train on vectors, write the model and its description to ``folder``, return what a later load gives.

    Args:
        kind: ``forest`` (as classes) and ``ridge`` (as numbers) learn grades; to ``logistic`` a label between 0 and 1 is a
            row that is good by so much and bad by the rest.
        vectors: float32[n, dim], finite.
        labels: float[n] in [0, 1]: 1 good, 0 bad, or a grade's share of the highest.
        settings: those of the kind; others are not looked at.
        folder: is made if it is not there.

    Raises InputError when scikit-learn is missing, rows and labels do not fit, or all labels are equal.
    """
    values = np.asarray(labels, dtype=np.float64)
    _check(kind, vectors, values)
    order = _order(vectors, values)
    vectors, values = vectors[order], values[order]
    with _one_thread(kind):
        predictor, chosen = {"forest": _forest, "ridge": _ridge, "logistic": _logistic}[kind](vectors, values, settings)
    folder.mkdir(parents=True, exist_ok=True)
    Head(kind, vectors.shape[1], predictor).write(folder, {**chosen, "rows": len(values)})
    return Head.load(folder)


def _check(kind: Kind, vectors: Matrix, labels: Floats) -> None:
    if vectors.ndim != 2 or len(vectors) != len(labels):
        raise ValueError(f"vectors of shape {vectors.shape} but {len(labels)} labels")
    if not len(labels):
        raise InputError(f"nothing to train a '{kind}' classifier on", cure="embed labelled documents")
    if not np.isfinite(vectors).all():
        raise InputError(f"a '{kind}' classifier can't learn from NaN or infinite vectors", cure="embed them again")
    if not ((labels >= 0) & (labels <= 1)).all():
        raise InputError("labels must lie in [0, 1]", cure="give grades as their share of the highest grade")
    if len(np.unique(labels)) < 2:
        raise InputError(f"all {len(labels)} labels are equal", cure="give it documents that differ in quality")


def _order(vectors: Matrix, labels: Floats) -> npt.NDArray[np.intp]:
    """An order that follows from the rows alone."""
    hashes = np.array([xxhash.xxh3_64_intdigest(row.tobytes()) for row in vectors], np.uint64)
    return np.lexsort((labels, hashes))


_BLAS: Final = threading.Lock()
"""The limit of BLAS threads is the process's: trainings that need it, one fold's beside another's, take turns."""


@contextlib.contextmanager
def _one_thread(kind: Kind) -> Iterator[None]:
    try:
        import sklearn  # noqa: F401
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise InputError(
            f"scikit-learn is not installed, and a '{kind}' classifier is trained with it",
            cure="pip install 'phi-curate[heads]' (scoring does without)",
        ) from None
    if kind == "forest":  # it compares and counts, and has threads of its own
        yield
        return
    with _BLAS, threadpool_limits(1):
        yield


def _forest(vectors: Matrix, labels: Floats, settings: HeadSettings) -> tuple[Predictor, dict[str, Any]]:
    from sklearn.ensemble import RandomForestClassifier

    from curate.quality.forest import Forest

    levels, classes = np.unique(labels, return_inverse=True)
    chosen = settings.model_dump(include={"trees", "max_depth", "min_leaf", "rows_per_tree"})
    # Each tree has a seed of its own, so that the number of jobs bears on nothing but the time.
    model = RandomForestClassifier(
        settings.trees,
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_leaf,
        max_samples=min(len(labels), settings.rows_per_tree),
        random_state=_SEED,
        n_jobs=2,
    )
    return Forest.of(model.fit(vectors, classes.astype(np.int8)), levels), chosen


def _standardised(vectors: Matrix) -> tuple[Floats, Floats, Floats]:
    """Rows with mean 0 and variance 1 in each number that varies; the means and the deviations."""
    rows = vectors.astype(np.float64)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    rows -= mean
    rows /= deviation
    return rows, mean, deviation


def _linear(weights: Floats, intercept: float, mean: Floats, deviation: Floats, *, logistic: bool) -> Predictor:
    """Weights for vectors as they are, from weights for standardised ones."""
    from curate.quality.linear import Linear

    weights = weights / deviation
    return Linear(weights, np.array([intercept - float(weights @ mean)]), logistic)


def _ridge(vectors: Matrix, labels: Floats, settings: HeadSettings) -> tuple[Predictor, dict[str, Any]]:
    """Least squares with a penalty on the weights; the strength with the smallest leave-one-out error, exactly.

    Leaving row i out changes its residual r to r / (1 - h), h its leverage (Allen 1974): with the eigenvectors of the
    covariance at hand, each strength costs two products.
    """
    rows, mean, deviation = _standardised(vectors)
    target = labels - labels.mean()
    spectrum, basis = np.linalg.eigh(rows.T @ rows)
    spectrum = np.maximum(spectrum, 0.0)
    turned = rows @ basis
    toward = turned.T @ target
    squares = turned**2

    def error(alpha: float) -> float:
        leverage = 1 / len(labels) + squares @ (1 / (spectrum + alpha))
        residual = target - turned @ (toward / (spectrum + alpha))
        return float(np.mean((residual / np.maximum(1 - leverage, 1e-9)) ** 2))

    alpha = settings.alpha if settings.alpha is not None else float(min(_ALPHAS, key=error))
    weights = basis @ (toward / (spectrum + alpha))
    predictor = _linear(weights, float(labels.mean()), mean, deviation, logistic=False)
    return predictor, {"alpha": alpha, "leave_one_out_error": error(alpha)}


def _logistic(vectors: Matrix, labels: Floats, settings: HeadSettings) -> tuple[Predictor, dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression

    rows, mean, deviation = _standardised(vectors)
    model = LogisticRegression(C=settings.c, solver="newton-cholesky", tol=1e-8, max_iter=100)
    at, good, weight = as_classes(labels)
    soft = len(at) > len(labels)
    model.fit(rows[at], good.astype(np.int8), sample_weight=weight if soft else None)
    predictor = _linear(model.coef_[0], float(model.intercept_[0]), mean, deviation, logistic=True)
    return predictor, {"c": settings.c}
