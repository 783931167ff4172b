"""Thresholds: against plain counting, and Wilson's interval against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from curate.quality.calibrate import Ranking, precision_recall, short_between, wilson

SCORES = st.lists(
    st.one_of(
        st.floats(0, 1, width=32), st.just(float("nan")), st.sampled_from([0.0, 0.5, 1.0, float("inf"), -float("inf")])
    ),
    max_size=60,
)


def ranking(scores: list[float]) -> Ranking:
    """With ties by position, shuffled."""
    tie = np.random.default_rng(3).permutation(len(scores)).astype(np.uint64)
    return Ranking(np.array(scores, np.float64), tie)


@given(SCORES, st.floats(-0.1, 1.1), st.sampled_from([0.01, 0.1, 0.3, 0.5, 1.0]))
@how(deadline=None)
def test_counts_are_plain_counts(scores, threshold, share):
    """How many rows a threshold, a share and a budget keep; the threshold of a share keeps its rows and their equals."""
    found = ranking(scores)
    known = sorted((s for s in scores if not math.isnan(s)), reverse=True)
    assert found.scores.tolist() == known
    assert found.at_least(threshold) == sum(s >= threshold for s in known)
    assert found.top(share) == math.ceil(round(share * 100) * len(known) / 100)
    count = found.top(share)
    at = found.threshold(count)
    if known:
        assert found.at_least(at) == sum(s >= known[count - 1] for s in known)
        assert found.at_least(found.threshold(0)) == 0 or known[0] == math.inf
    weights = np.arange(1, len(scores) + 1)
    for most in (0, 5, 40, 10_000):
        spent = kept = 0
        for row in found.order.tolist():
            spent += row + 1
            if spent > most:
                break
            kept += 1
        assert found.budget(weights, most) == kept


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_the_shortest_number_between(a, b):
    """It lies in the half-open range; no number with fewer decimals (and two or more) does."""
    low, high = sorted((a, b))
    if low == high:
        return
    found = short_between(low, high)
    assert low < found <= high
    digits = len(repr(found).partition(".")[2]) if "e" not in repr(found) else 99
    if 2 < digits < 12:
        coarser = math.floor(high * 10.0 ** (digits - 1)) / 10.0 ** (digits - 1)
        assert not low < round(coarser, digits - 1) <= high


def test_shortest_as_people_write_it():
    """What stands in a recipe later."""
    assert short_between(0.61, 0.6251234) == 0.62
    assert short_between(0.99, 1.0) == 1.0
    assert short_between(-math.inf, 0.123456789) == 0.12


@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_is_where_the_test_turns(hits, rows):
    """Its ends are the shares p for which hits / rows lies just 1.96 standard errors of p away."""
    hits = min(hits, rows)
    found = wilson(hits, rows)
    assert found.low is not None and found.high is not None and found.value is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    for end in (found.low, found.high):
        if 0 < end < 1:
            assert abs(found.value - end) / math.sqrt(end * (1 - end) / rows) == pytest.approx(1.959964, rel=1e-5)
    assert wilson(0, 0).value is None


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.booleans()), max_size=40))
def test_precision_and_recall_are_counted(rows):
    """Unlabelled rows count nowhere."""
    labels, keeps = np.array([a for a, _ in rows], np.int8), np.array([b for _, b in rows], bool)
    precision, recall = precision_recall(labels, keeps)
    assert (precision.hits, precision.rows) == (rows.count((1, True)), rows.count((1, True)) + rows.count((0, True)))
    assert (recall.hits, recall.rows) == (rows.count((1, True)), rows.count((1, True)) + rows.count((1, False)))
