"""Every measure against a slow, obvious twin, and on cases with a known answer."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.quality import evaluate as ev

PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda n: n / 8)), max_size=40)
GRADES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


def split(pairs):
    return np.array([p[0] for p in pairs], np.int8), np.array([p[1] for p in pairs], np.float32)


def close(a, b):
    return a is b if a is None or b is None else math.isclose(a, b, abs_tol=1e-9)


@given(PAIRS)
def test_roc_auc_counts_pairs(pairs):
    """The AUC is the share of (good, bad) pairs in the right order, ties half."""
    good = [s for m, s in pairs if m]
    bad = [s for m, s in pairs if not m]
    wins = [1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad]
    assert close(ev.roc_auc(*split(pairs)), sum(wins) / len(wins) if wins else None)


@given(PAIRS)
def test_pr_auc_walks_the_thresholds(pairs):
    """Average precision sums precision times the recall gained at each distinct score."""
    positives = sum(m for m, _ in pairs)
    expected, before = (0.0 if positives else None), 0.0
    for t in sorted({s for _, s in pairs}, reverse=True) if positives else []:
        taken = [m for m, s in pairs if s >= t]
        recall = sum(taken) / positives
        expected += (recall - before) * sum(taken) / len(taken)
        before = recall
    assert close(ev.pr_auc(*split(pairs)), expected)


@given(PAIRS, st.floats(0, 1))
def test_confusion_and_rates_count_rows(pairs, threshold):
    """Counts and rates follow their definitions; a rate without rows is None."""
    labels, scores = split(pairs)
    counts = ev.confusion(labels, scores, threshold)
    said = [(int(m), bool(s >= threshold)) for m, s in zip(labels, scores, strict=True)]
    tp, fp, fn, tn = (said.count(c) for c in ((1, True), (0, True), (1, False), (0, False)))
    assert list(counts.values()) == [tp, fp, fn, tn]
    rates = ev.rates(counts)
    assert close(rates["accuracy"], (tp + tn) / len(pairs) if pairs else None)
    assert close(rates["precision"], tp / (tp + fp) if tp + fp else None)
    assert close(rates["recall"], tp / (tp + fn) if tp + fn else None)


def slow_kappa(pairs, cost):
    n = len(pairs)
    observed = sum(cost(a, b) for a, b in pairs) / n
    expected = sum(cost(a, b) for a, _ in pairs for _, b in pairs) / n**2
    return None if expected == 0 else 1 - observed / expected


@given(GRADES)
def test_kappas_compare_with_chance(pairs):
    """Kappa is one minus the observed cost over the cost of labels paired at random."""
    a, b = (np.array(c) for c in zip(*pairs, strict=True))
    assert close(ev.cohen_kappa(a, b), slow_kappa(pairs, lambda x, y: x != y))
    assert close(ev.quadratic_kappa(a, b), slow_kappa(pairs, lambda x, y: (x - y) ** 2))
    assert close(ev.agreement(a, b), sum(x == y for x, y in pairs) / len(pairs))


def test_kappa_of_a_textbook_example():
    """20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: kappa is 0.4."""
    a = np.array([1] * 25 + [0] * 25)
    b = np.array([1] * 20 + [0] * 5 + [1] * 10 + [0] * 15)
    assert ev.cohen_kappa(a, b) == pytest.approx(0.4)
    assert ev.quadratic_kappa(a, b) == pytest.approx(0.4)


def test_one_label_alone_has_no_kappa_and_no_auc():
    """What is not defined is None."""
    ones = np.ones(4)
    assert ev.cohen_kappa(ones, ones) is None
    assert ev.roc_auc(ones, ones) is None
    assert ev.cohen_kappa(np.array([]), np.array([])) is None
    assert ev.pr_auc(np.zeros(3), ones[:3]) is None


@given(PAIRS)
def test_reliability_bins_hold_every_row(pairs):
    """Each row is in one bin, between its ends; the calibration error follows from the bins."""
    labels, scores = split(pairs)
    bins = ev.reliability(labels, scores, 5)
    for i, b in enumerate(bins):
        inside = [(m, s) for m, s in pairs if min(int(s * 5), 4) == i]
        assert b["rows"] == len(inside)
        assert close(b["good"], sum(m for m, _ in inside) / len(inside) if inside else None)
        assert close(b["mean_score"], sum(s for _, s in inside) / len(inside) if inside else None)
    gaps = [b["rows"] * abs(b["good"] - b["mean_score"]) for b in bins if b["rows"]]
    assert close(ev.calibration_error(bins), sum(gaps) / len(pairs) if pairs else None)


def test_groups_and_lengths():
    """Scores by source and by length of text, in order of name and length."""
    labels, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.2, 0.4, 0.6], np.float32)
    report = ev.evaluate(labels, scores, sources=["b", "b", "a", "a"], lengths=np.array([0, 500, 999, 70_000]))
    assert list(report["by_source"]) == ["a", "b"]
    assert report["by_source"]["b"]["roc_auc"] == 1.0
    assert report["by_source"]["a"]["roc_auc"] == 0.0
    assert {k: v["rows"] for k, v in report["by_length"].items()} == {"0+": 1, "500+": 2, "64000+": 1}
    assert report["roc_auc"] == 0.75
    assert ev.evaluate(labels[:0], scores[:0], sources=[], lengths=labels[:0])["accuracy"] is None


LENGTHS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda n: n / 8), st.integers(0, 60)), max_size=40
)


@given(LENGTHS)
def test_length_matched_auc_counts_pairs_of_like_length(rows):
    """Of the pairs whose lengths are in one quarter of a doubling, the share in the right order, ties half."""
    wins, pairs = 0.0, 0
    for good, a, first in rows:
        for bad, b, second in rows:
            alike = math.floor(4 * math.log2(max(first, 1))) == math.floor(4 * math.log2(max(second, 1)))
            if good and not bad and alike:
                pairs += 1
                wins += 1.0 if a > b else 0.5 if a == b else 0.0
    columns = [np.array([row[i] for row in rows]) for i in range(3)]
    assert close(ev.length_matched_auc(*columns), wins / pairs if pairs else None)


def test_a_score_that_knows_only_the_length_shows():
    """ROC AUC 1, and a half among texts of one length."""
    lengths = np.array([1_000] * 50 + [100] * 50 + [400] * 100)
    labels = np.array([1] * 50 + [0] * 50 + [1, 0] * 50)
    assert ev.length_matched_auc(labels, lengths, lengths) == 0.5
    assert ev.roc_auc(labels, lengths) > 0.85


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), max_size=30))
def test_spearman_is_the_correlation_of_ranks(pairs):
    """Pearson's formula on mean ranks, one by one."""
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    rank = lambda v: [sum(w < x for w in v) + (sum(w == x for w in v) + 1) / 2 for x in v]  # noqa: E731
    found = ev.spearman(np.array(a), np.array(b))
    if len(set(a)) < 2 or len(set(b)) < 2:
        assert found is None
        return
    x, y = rank(a), rank(b)
    mx, my = sum(x) / len(x), sum(y) / len(y)
    top = sum((p - mx) * (q - my) for p, q in zip(x, y, strict=True))
    assert close(found, top / math.sqrt(sum((p - mx) ** 2 for p in x) * sum((q - my) ** 2 for q in y)))


def test_a_table_of_grades_and_the_sources_that_are_confused():
    """Row is the truth; the worst pair of sources comes first, and small sources do not count."""
    assert ev.table_of(np.array([0, 1, 1]), np.array([0.0, 2.0, 1.0]), 3) == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    labels = np.array([1] * 10 + [0] * 11)
    sources = ["lessons"] * 5 + ["guides"] * 5 + ["reviews"] * 5 + ["shop"] * 5 + ["tiny"]
    scores = np.array([0.9] * 5 + [0.6] * 5 + [0.7] * 5 + [0.1] * 6)
    found = ev.confused_sources(labels, scores, sources, count=3)
    assert found[0] == {"good": "guides", "bad": "reviews", "rows": 10, "roc_auc": 0.0}
    assert [p["roc_auc"] for p in found] == [0.0, 1.0, 1.0]
    assert ev.confused_sources(labels[:0], scores[:0], []) == []
