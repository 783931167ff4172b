"""How good a classifier is, measured on rows it has not seen. NumPy only; every measure states its formula.

Labels are 1 (good) and 0 (bad), scores are numbers in [0, 1]. A measure that is not defined for the rows at hand (the
AUC of one class alone) is None, never a made-up number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
LENGTHS: Final = (0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 64_000)
"""Lower ends of the classes of length, in bytes, by which scores are reported."""


def _ranks(values: Array) -> npt.NDArray[np.float64]:
    """1-based ranks; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((2 * ends - counts + 1) / 2.0)[inverse]


def roc_auc(labels: Array, scores: Array) -> float | None:
    """P(score of a good row > score of a bad row) + P(equal) / 2.

    By ranks (Mann-Whitney): (R - g(g+1)/2) / (g b), R the sum of the good rows' ranks, g and b the classes' sizes.
    """
    labels = np.asarray(labels).astype(bool)
    good = int(labels.sum())
    bad = len(labels) - good
    if not good or not bad:
        return None
    total = math.fsum(_ranks(np.asarray(scores))[labels])
    return (total - good * (good + 1) / 2) / (good * bad)


def pr_auc(labels: Array, scores: Array) -> float | None:
    """Average precision: the sum over distinct thresholds of (recall - recall before) * precision.

    No interpolation between points, which would be optimistic. A classifier that knows nothing gets the share of good.
    """
    labels = np.asarray(labels).astype(bool)
    if not labels.any():
        return None
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ranked, values = labels[order], np.asarray(scores)[order]
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    hits = np.cumsum(ranked)[last]
    gained = np.diff(np.concatenate(([0], hits))) / labels.sum()
    return math.fsum(gained * (hits / (last + 1)))


def length_matched_auc(labels: Array, scores: Array, lengths: Array) -> float | None:
    """P(score of a good row > score of a bad row) + P(equal) / 2, for pairs of about the same length only.

    Pairs count whose lengths in bytes are in one class, four to a doubling: (sum over classes of wins) / (sum of
    pairs). What is left of the AUC when a score can't make use of good texts being longer.
    """
    truth, values = np.asarray(labels).astype(bool), np.asarray(scores)
    place = np.floor(4 * np.log2(np.maximum(np.asarray(lengths, dtype=np.float64), 1))).astype(np.int64)
    wins, pairs = [], 0
    for here in (place == one for one in np.unique(place)):
        good = int(truth[here].sum())
        count = good * (int(here.sum()) - good)
        if count:
            wins.append(count * (roc_auc(truth[here], values[here]) or 0.0))
            pairs += count
    return _share(math.fsum(wins), pairs)


def spearman(a: Array, b: Array) -> float | None:
    """Correlation of the ranks, ties sharing theirs (Spearman 1904); None where one of them is constant."""
    if not len(a):
        return None
    first, second = (r - r.mean() for r in (_ranks(np.asarray(a)), _ranks(np.asarray(b))))
    spread = math.sqrt(math.fsum(first**2) * math.fsum(second**2))
    return math.fsum(first * second) / spread if spread else None


def table_of(a: Array, b: Array, levels: int) -> list[list[int]]:
    """Counts of rows by two whole numbers from 0: row i, column j is how often a = i and b = j."""
    counts = np.zeros((levels, levels), np.int64)
    np.add.at(counts, (np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)), 1)
    found: list[list[int]] = counts.tolist()
    return found


def confused_sources(
    labels: Array, scores: Array, sources: Sequence[str], *, count: int = 10, at_least: int = 5, most: int = 40
) -> list[dict[str, Any]]:
    """The ``count`` pairs of sources that the score tells apart worst: good rows of one against bad rows of the other.

    Only sources with ``at_least`` rows of the class, of those the ``most`` largest. ``roc_auc`` is that of the pair's
    rows.
    """
    truth, values = np.asarray(labels).astype(bool), np.asarray(scores, dtype=np.float64)
    names, code = np.unique(np.asarray(sources, dtype=object).astype(str), return_inverse=True)

    def largest(mine: Array) -> dict[str, Array]:
        counts = np.bincount(code[mine], minlength=len(names))
        order = np.argsort(-counts, kind="stable")[:most]
        return {str(names[i]): values[mine & (code == i)] for i in order if counts[i] >= at_least}

    pairs, bads = [], largest(~truth)
    for good, ours in largest(truth).items():
        for bad, theirs in bads.items():
            both = np.concatenate((ours, theirs))
            auc = roc_auc(np.arange(len(both)) < len(ours), both)
            pairs.append({"good": good, "bad": bad, "rows": len(both), "roc_auc": auc})
    return sorted(pairs, key=lambda p: (p["roc_auc"], p["good"], p["bad"]))[:count]


def confusion(labels: Array, scores: Array, threshold: float) -> dict[str, int]:
    """Counts of true and false positives and negatives; a score of at least ``threshold`` says good."""
    truth, said = np.asarray(labels).astype(bool), np.asarray(scores) >= threshold
    return {
        "true_positive": int((truth & said).sum()),
        "false_positive": int((~truth & said).sum()),
        "false_negative": int((truth & ~said).sum()),
        "true_negative": int((~truth & ~said).sum()),
    }


def rates(counts: Mapping[str, int]) -> dict[str, float | None]:
    """Counts as rates: accuracy = (tp+tn)/all, precision = tp/(tp+fp), recall = tp/(tp+fn), f1 = 2tp/(2tp+fp+fn)."""
    tp, fp = counts["true_positive"], counts["false_positive"]
    fn, tn = counts["false_negative"], counts["true_negative"]
    return {
        "accuracy": _share(tp + tn, tp + tn + fp + fn),
        "precision": _share(tp, tp + fp),
        "recall": _share(tp, tp + fn),
        "f1": _share(2 * tp, 2 * tp + fp + fn),
    }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def agreement(a: Array, b: Array) -> float | None:
    """Share of rows to which two label sets give the same label."""
    return _share(int((np.asarray(a) == np.asarray(b)).sum()), len(a))


def cohen_kappa(a: Array, b: Array) -> float | None:
    """(p - e) / (1 - e): p the observed agreement, e the one expected if both labelled independently (Cohen 1960).

    None when e = 1: both sets consist of one and the same label, and chance explains everything.
    """
    return _kappa(np.asarray(a), np.asarray(b), lambda i, j: i != j)


def quadratic_kappa(a: Array, b: Array) -> float | None:
    """1 - sum(w o) / sum(w e), w = (difference of the labels)^2: near misses on a scale cost less (Cohen 1968)."""
    return _kappa(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64), lambda i, j: (i - j) ** 2)


def _kappa(a: Array, b: Array, cost: Any) -> float | None:
    if not len(a):
        return None
    levels = np.unique(np.concatenate((a, b)))
    table = np.zeros((len(levels), len(levels)))
    np.add.at(table, (np.searchsorted(levels, a), np.searchsorted(levels, b)), 1.0)
    table /= len(a)
    weights = np.asarray(cost(levels[:, None], levels[None, :]), dtype=np.float64)
    expected = math.fsum((weights * np.outer(table.sum(axis=1), table.sum(axis=0))).ravel())
    return 1 - math.fsum((weights * table).ravel()) / expected if expected else None


def reliability(labels: Array, scores: Array, bins: int = 10) -> list[dict[str, Any]]:
    """Bins of equal width over [0, 1]: rows, mean score, share of good rows. Equal means the scores are calibrated."""
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    place = np.clip((values * bins).astype(np.int64), 0, bins - 1)
    result = []
    for i in range(bins):
        here = place == i
        rows = int(here.sum())
        result.append(
            {
                "from": i / bins,
                "to": (i + 1) / bins,
                "rows": rows,
                "mean_score": _share(math.fsum(values[here]), rows),
                "good": _share(math.fsum(truth[here]), rows),
            }
        )
    return result


def calibration_error(bins: Sequence[Mapping[str, Any]]) -> float | None:
    """Expected calibration error: the mean over rows of |mean score - share of good| of the row's bin."""
    rows = sum(b["rows"] for b in bins)
    return _share(math.fsum(b["rows"] * abs(b["mean_score"] - b["good"]) for b in bins if b["rows"]), rows)


def by_group(labels: Array, scores: Array, groups: Sequence[str], threshold: float) -> dict[str, dict[str, Any]]:
    """Per group, by name: rows, share of good labels, mean score, share said to be good, ROC AUC within the group."""
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    names, inverse = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    result = {}
    for i, name in enumerate(names.tolist()):
        here = inverse == i
        rows = int(here.sum())
        result[name] = {
            "rows": rows,
            "good": float(truth[here].mean()),
            "mean_score": math.fsum(values[here]) / rows,
            "said_good": float((values[here] >= threshold).mean()),
            "roc_auc": roc_auc(truth[here], values[here]),
        }
    return result


def by_length(labels: Array, scores: Array, lengths: Array, threshold: float) -> dict[str, dict[str, Any]]:
    """As ``by_group``, by length of the text in bytes: a score that only knows the length shows here."""
    place = np.searchsorted(np.asarray(LENGTHS), np.asarray(lengths), side="right") - 1
    names = [f"{a:>6}+" for a in LENGTHS]
    groups = by_group(labels, scores, [names[i] for i in place.tolist()], threshold) if len(place) else {}
    return {name.strip(): value for name, value in sorted(groups.items())}


def evaluate(
    labels: Array, scores: Array, *, sources: Sequence[str], lengths: Array, threshold: float = 0.5
) -> dict[str, Any]:
    """Everything above about one set of rows, as plain values."""
    counts = confusion(labels, scores, threshold)
    bins = reliability(labels, scores)
    return {
        "rows": len(labels),
        "good": int(np.asarray(labels).astype(bool).sum()),
        "threshold": threshold,
        "roc_auc": roc_auc(labels, scores),
        "pr_auc": pr_auc(labels, scores),
        "length_matched_auc": length_matched_auc(labels, scores, lengths),
        "length_alone_auc": roc_auc(labels, lengths),
        "confusion": counts,
        **rates(counts),
        "reliability": bins,
        "calibration_error": calibration_error(bins),
        "by_source": by_group(labels, scores, sources, threshold) if len(labels) else {},
        "by_length": by_length(labels, scores, lengths, threshold),
    }
