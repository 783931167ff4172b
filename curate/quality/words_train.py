"""Training of classifiers of words, with scikit-learn's liblinear: the same rows give the same bytes in any order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from curate.errors import InputError
from curate.quality.label_columns import as_classes
from curate.quality.text_form import TextForm
from curate.quality.words_model import POLICY, WordsClassifier
from curate.text.batch import Batch

_ROWS_AT_ONCE: Final = 1024
U64 = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


class WordsSettings(BaseModel):
    """How a classifier of words is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ngrams: int = Field(2, ge=1, le=8, description="longest run of words that is a feature")
    min_sources: int = Field(
        1,
        ge=1,
        description="features of fewer sources are left out, or of less than a fourth of them: what few say is their topic",
    )
    min_rows: int = Field(5, ge=1, description="features of fewer documents are left out")
    c: float = Field(1.0, gt=0, description="inverse strength of the penalty on the weights")


def train_words(
    rows: pa.Table, labels: npt.NDArray[Any], settings: WordsSettings, folder: Path, form: TextForm
) -> None:
    """Train on rows with ``text`` and ``source`` and labels, 1 (good) and 0 or shares between; write the model to ``folder``.

    A document weighs 1 / sqrt(documents of its source and class), and both classes weigh the same. Raises InputError
    when scikit-learn is missing, or when no feature is left.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise InputError(
            "scikit-learn is not installed, and a 'words' classifier is trained with it",
            cure="pip install 'phi-curate[heads]' (scoring does without)",
        ) from None
    order = _order(rows, labels)
    rows, labels = rows.take(pa.array(order)).combine_chunks(), labels[order]
    sources = np.asarray(rows.column("source").combine_chunks().dictionary_encode().indices)
    keys, documents = _vocabulary(rows, sources, settings, form)
    if not len(keys):
        raise InputError(f"no word is in {settings.min_rows} documents", cure="lower min_rows, or label more")
    rarity = np.log(rows.num_rows / documents)
    matrix = _matrix(rows, keys, rarity, settings, form)
    model = LogisticRegression(C=settings.c, solver="liblinear", max_iter=1000)
    at, good, weight = as_classes(labels)
    model.fit(matrix[at], good, sample_weight=_weights(sources[at], good, weight))
    folder.mkdir(parents=True, exist_ok=True)
    weights, squares = (model.coef_[0] * rarity).astype(np.float32), (rarity**2).astype(np.float32)
    made = WordsClassifier(keys, weights, squares, float(model.intercept_[0]), settings.ngrams, form)
    made.write(folder, settings.model_dump(mode="json"))


def _order(rows: pa.Table, labels: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """An order of the rows' content alone, source by source."""
    texts = [xxhash.xxh3_64_intdigest((t or "").encode()) for t in rows.column("text").to_pylist()]
    sources = np.array(
        [xxhash.xxh3_64_intdigest((s or "").encode()) for s in rows.column("source").to_pylist()], np.uint64
    )
    return np.lexsort((labels, np.array(texts, np.uint64), sources))


def _distinct(rows: pa.Table, settings: WordsSettings, form: TextForm) -> Iterator[tuple[int, U64]]:
    """Each row's number and distinct features, ascending."""
    from curate.text.presence import features

    for start in range(0, rows.num_rows, _ROWS_AT_ONCE):
        text = rows.column("text").slice(start, _ROWS_AT_ONCE).combine_chunks()
        ends, found = features(form.read(Batch.of(text)).words(POLICY), settings.ngrams)
        for row in range(len(text)):
            yield start + row, np.unique(found[ends[row] : ends[row + 1]])


def _vocabulary(
    rows: pa.Table, sources: npt.NDArray[Any], settings: WordsSettings, form: TextForm
) -> tuple[U64, Floats]:
    """uint64[m], ascending: features of enough documents and sources; and in how many documents. Rows stand source by source."""
    of_source: list[tuple[U64, npt.NDArray[np.int64]]] = []
    held: list[U64] = []
    last = rows.num_rows - 1
    for row, found in _distinct(rows, settings, form):
        held.append(found)
        if row == last or sources[row + 1] != sources[row]:
            of_source.append(np.unique(np.concatenate(held), return_counts=True))
            held = []
    if not of_source:
        return np.zeros(0, np.uint64), np.zeros(0)
    keys, at, in_sources = np.unique(np.concatenate([k for k, _ in of_source]), return_inverse=True, return_counts=True)
    in_rows = np.bincount(at.reshape(-1), np.concatenate([n for _, n in of_source]), len(keys))
    least = max(1, min(settings.min_sources, len(of_source) // 4))
    enough = (in_sources >= least) & (in_rows >= settings.min_rows)
    return keys[enough], in_rows[enough].astype(np.float64)


def _matrix(rows: pa.Table, keys: U64, rarity: Floats, settings: WordsSettings, form: TextForm) -> Any:
    """Sparse float64[n, m]: the rarity of each of a row's known features, rows of length 1."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    columns, values, ends = [], [], [0]
    for _, found in _distinct(rows, settings, form):
        at = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
        known = at[keys[at] == found]
        columns.append(known.astype(np.int32))
        norm = np.sqrt((rarity[known] ** 2).sum())
        values.append(rarity[known] / (norm if norm > 0 else 1.0))
        ends.append(ends[-1] + len(known))
    return csr_matrix((np.concatenate(values), np.concatenate(columns), ends), shape=(rows.num_rows, len(keys)))


def _weights(sources: npt.NDArray[Any], good: npt.NDArray[np.bool_], weight: Floats) -> Floats:
    """float64[n], mean 1: see ``train_words``; ``weight``: what share of a document a row is."""
    pair = sources.astype(np.int64) * 2 + good
    _, at, counts = np.unique(pair, return_inverse=True, return_counts=True)
    weights = weight / np.sqrt(counts[at.reshape(-1)])
    for side in (good, ~good):
        weights[side] *= len(good) / 2 / weights[side].sum()
    return weights
