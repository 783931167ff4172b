"""What is told of a judge: how often each score, how far it agrees with labels, with itself, and what else moves it.

Agreement is measured on what was asked, as it is; nothing is tuned to it. A mean shift is the mean of (score in the
changed prompt - score in the usual one) over the documents that have both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.quality import evaluate
from curate.quality.label_columns import GOOD_FROM
from curate.stages.judge_prompts import SCALE

GRADE: Final = "grade"
"""Field of ``meta`` with what the judge said, where the rest is the document's own."""

Ints = npt.NDArray[np.int8]


def report(docs: pa.Table, noted: Sequence[Mapping[str, Any]], *, compared: bool) -> dict[str, Any]:
    """Plain values about accepted labels (``score``, ``label``, ``meta``, ``chars``) and noted second looks."""
    scores = _column(docs, "score")
    metas = [json.loads(meta) for meta in docs.column("meta").to_pylist()] if "meta" in docs.column_names else []
    metas = [meta.get(GRADE, meta) for meta in metas]
    result: dict[str, Any] = {"scores": {str(s): int((scores == s).sum()) for s in range(SCALE + 1)}}
    if compared and docs.num_rows:
        result["label"] = _against(scores, _column(docs, "label"))
    if metas:
        lengths = docs.column("chars").to_numpy()
        result["length"] = {"documents": len(scores), "spearman": evaluate.spearman(lengths, scores)}
        masked = [int(meta.get("masked", 0)) for meta in metas]
        result["masked"] = {"documents": sum(m > 0 for m in masked), "sentences": sum(masked)}
        if any("writer" in meta for meta in metas):
            result["written"] = _written(scores, metas)
    first = {str(meta["document"]): int(s) for meta, s in zip(metas, scores.tolist(), strict=True)} if metas else {}
    looks: dict[str, dict[str, dict[int, int]]] = {}
    for one in noted:
        looks.setdefault(str(one["look"]), {}).setdefault(str(one["document"]), {})[int(one["draw"])] = int(
            one["score"]
        )
    if repeats := looks.pop("repeat", None):
        result["self_agreement"] = _with_itself(repeats)
    if looks:
        result["bias"] = {name: _shift(first, looks[name]) for name in sorted(looks)}
    return result


def _written(scores: Ints, metas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of documents that models wrote: mean score by prompt family and by writer, and how many the judge wrote itself."""
    found: dict[str, Any] = {}
    for label, name in (("by_family", "of_family"), ("by_writer", "writer")):
        groups: dict[str, list[int]] = {}
        for score, meta in zip(scores.tolist(), metas, strict=True):
            if "writer" in meta:
                groups.setdefault(str(meta.get(name, "")), []).append(score)
        found[label] = {
            group: {"documents": len(some), "mean_score": sum(some) / len(some)}
            for group, some in sorted(groups.items())
        }
    found["own_writer"] = sum(meta.get("writer") == meta.get("model") for meta in metas if "writer" in meta)
    return found


def _against(scores: Ints, labels: Ints) -> dict[str, Any]:
    """Agreement with labels: of two classes, or where any label is over 1, grades (good from 3 on, too)."""
    have = labels >= 0
    scores, labels = scores[have], labels[have]
    graded = bool((labels > 1).any())
    good, label = scores >= GOOD_FROM, labels >= (GOOD_FROM if graded else 1)
    found = {
        "rows": int(have.sum()),
        "agreement": evaluate.agreement(good, label),
        "cohen_kappa": evaluate.cohen_kappa(good, label),
        "mean_score_good": float(scores[label].mean()) if label.any() else None,
        "mean_score_bad": float(scores[~label].mean()) if (~label).any() else None,
        "roc_auc": evaluate.roc_auc(label, scores),
    }
    if graded:
        found["quadratic_kappa"] = evaluate.quadratic_kappa(scores, labels)
        found["spearman"] = evaluate.spearman(scores, labels)
    return found


def _with_itself(repeats: Mapping[str, Mapping[int, int]]) -> dict[str, Any]:
    """Over all pairs of draws about the same document, each pair in both directions, so that no draw is the first."""
    pairs = [pair for draws in repeats.values() for pair in combinations([draws[d] for d in sorted(draws)], 2)]
    one = np.array([a for a, b in pairs] + [b for a, b in pairs], np.int64)
    other = np.array([b for a, b in pairs] + [a for a, b in pairs], np.int64)
    return {
        "documents": sum(len(draws) > 1 for draws in repeats.values()),
        "pairs": len(pairs),
        "exact": evaluate.agreement(one, other),
        "mean_difference": _mean(np.abs(one - other)),
        "quadratic_kappa": evaluate.quadratic_kappa(one, other),
    }


def _shift(first: Mapping[str, int], looks: Mapping[str, Mapping[int, int]]) -> dict[str, Any]:
    moved = np.array(
        [s - first[d] for d, draws in sorted(looks.items()) if d in first for s in draws.values()], np.int64
    )
    deviation = float(moved.std(ddof=1)) if len(moved) > 1 else None
    return {
        "documents": len(moved),
        "mean_shift": _mean(moved),
        "standard_error": deviation / math.sqrt(len(moved)) if deviation is not None else None,
        "mean_difference": _mean(np.abs(moved)),
    }


def _mean(values: npt.NDArray[np.int64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _column(docs: pa.Table, short: str) -> Ints:
    """A column by its short name, nulls as -1."""
    name = next((n for n in docs.column_names if n == short or n.endswith(f".{short}")), None)
    values = docs.column(name) if name else pa.nulls(docs.num_rows, pa.int8())
    return np.asarray(pc.fill_null(values, -1).to_numpy(zero_copy_only=False), dtype=np.int8)
