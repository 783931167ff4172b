"""Histograms of signals: every value is in exactly one bin, edges are round, the axis fits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.report.signal import histogram

FLOATS = st.floats(-1e12, 1e12, allow_nan=False).map(lambda x: 0.0 if abs(x) < 1e-9 else x)


def slow(values, bins):
    """The count of each bin from its definition: the outer ones hold what lies beyond."""
    ranges = [b for b in bins if b.low != b.high]
    points = {b.low for b in bins if b.low == b.high}
    rest = [v for v in values if v not in points]
    counts = []
    for b in bins:
        if b.low == b.high:
            counts.append(sum(v == b.low for v in values))
            continue
        low = -math.inf if b is ranges[0] else b.low
        high = math.inf if b is ranges[-1] else b.high
        counts.append(sum(low <= v < high for v in rest))
    return counts


@given(st.lists(FLOATS, min_size=1, max_size=200))
def test_every_number_is_in_one_bin(values):
    """Bins lie side by side and hold all values, whatever they are."""
    axis, bins = histogram(np.array(values), whole=False)
    assert (axis == "values") == (len(set(values)) <= 16)
    assert sum(b.rows for b in bins) == len(values)
    assert [b.rows for b in bins] == slow(values, bins)
    ranges = [b for b in bins if b.low != b.high]
    assert all(a.high == b.low for a, b in itertools.pairwise(ranges))
    assert len(bins) <= 32


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=200))
def test_whole_numbers_have_whole_edges(values):
    """Counts are not cut at 1.5."""
    axis, bins = histogram(np.array(values, np.float64), whole=True)
    assert all(float(b.low).is_integer() and float(b.high).is_integer() for b in bins)
    assert [b.rows for b in bins] == slow(values, bins)
    if len(set(values)) <= 16:
        assert axis == "values" and [b.low for b in bins] == sorted(set(values))


@pytest.mark.parametrize(
    ("values", "whole", "axis", "first", "last"),
    [
        (np.linspace(0, 1, 1000), False, "linear", 0.0, 0.9),
        (10 ** np.linspace(0, 5, 1000), False, "log", 1.0, 50_000.0),
        (np.r_[np.zeros(500), np.linspace(0.1, 0.9, 500)], False, "linear", 0.0, 0.8),
        (np.full(100, 0.5), False, "values", 0.5, 0.5),
        (np.arange(9) % 3, True, "values", 0, 2),
        (np.linspace(-5, 4.4, 100), False, "linear", -5.0, 4.0),
        (np.r_[np.full(2000, 7), np.arange(20)], True, "linear", 7.0, 8.0),
    ],
)
def test_axis_and_edges(values, whole, axis, first, last):
    """Shares evenly, lengths by their logarithm, few different ones one by one; many zeros apart."""
    found, bins = histogram(np.asarray(values, np.float64), whole=whole)
    assert found == axis
    assert bins[0].low == first
    assert bins[-1].low == pytest.approx(last)
