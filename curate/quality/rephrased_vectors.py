"""Whether a passage that may rephrase a prompt also means what the prompt means: the cosine of static embeddings.

Needs the extra ``embeddings`` (``curate.quality.static_vectors``). Without it the score of ``curate.text.rephrased`` decides
by names, numbers and rare words alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.quality.static_vectors import DIMENSIONS, static_vectors
from curate.text.batch import Batch
from curate.text.rephrased import Rephrasings, passages, scores

__all__ = ["COEFFICIENTS", "LOWEST", "confirmed", "passage_vectors"]

COEFFICIENTS: Final = (3.57, -1.3, 4.44, 2.99, 3.6, 2.41, 0.4, 1.84, -1.25, 11.1, -27.72)
"""Of ``rephrased.FEATURES`` and the cosine, and the intercept: fitted by ``python -m tests.peers.rephrased_fit``."""
LOWEST: Final = -3.0
"""The score by words from which a passage is looked at; below it a cosine of 1 would hardly lift it above 0."""
_ALL: Final = 1 << 31

Vectors = npt.NDArray[np.float32]


def _unit(texts: Sequence[str]) -> Vectors:
    """float32[n, DIMENSIONS] of length 1; zero for a text without tokens."""
    if not texts:
        return np.zeros((0, DIMENSIONS), np.float32)
    means, _ = static_vectors().of(Batch.of(pa.array(texts, pa.large_string())), _ALL)
    lengths = np.sqrt(_dots(means, means)).astype(np.float32)
    return np.divide(means, np.maximum(lengths, np.float32(1e-9))[:, None], dtype=np.float32)


def _dots(one: Vectors, two: Vectors) -> npt.NDArray[np.float32]:
    """Row by row, added in order: a matrix product adds in an order of its own on each machine."""
    total = np.zeros(len(one), np.float32)
    for k in range(one.shape[1]):
        total += one[:, k] * two[:, k]
    return total


def passage_vectors(texts: Sequence[str]) -> npt.NDArray[np.float16]:
    """float16[p, DIMENSIONS]: what belongs to ``rephrased.build(texts, ...)``, a row for each of its passages.

    Raises InputError where the static embeddings are not installed.
    """
    return _unit([text for _, text in passages(texts)]).astype(np.float16)


def confirmed(
    docs: Batch, matches: Rephrasings, vectors: npt.NDArray[np.float16], least: float = 0.0
) -> tuple[Rephrasings, npt.NDArray[np.float32]]:
    """The matches (of ``rephrased(docs, index, LOWEST)``) with a score of ``least`` or more when the cosine is known, best
    first within a row, and their cosines, float32[h]."""
    offsets, data = docs.utf8
    begins, ends = offsets[matches.row] + matches.starts, offsets[matches.row] + matches.stops
    texts = [
        data[a:b].tobytes().decode("utf-8", "replace") for a, b in zip(begins.tolist(), ends.tolist(), strict=True)
    ]
    cosine = _dots(_unit(texts), vectors[matches.passage].astype(np.float32))
    score = scores(np.column_stack((matches.features, cosine)), COEFFICIENTS)
    order = np.lexsort((matches.passage, -score, matches.row))
    order = order[score[order] >= least]
    kept = {name: getattr(matches, name)[order] for name in ("row", "item", "passage", "features", "starts", "stops")}
    return replace(matches, score=score[order], **kept), cosine[order]
