"""What a router is worth: measures against plain counting over all thresholds, and what lots and oracles must have."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.quality import routing
from curate.quality.routing import Answers, Router, measure


def answers(small: list[float], large: list[float]) -> Answers:
    """Without costs."""
    return Answers(np.array(small, float), np.array(large, float))


def one(numbers: list[float], known: Answers) -> dict[str, list[float]]:
    """A router's measures by name."""
    return measure({"router": np.array(numbers, float)}, known, {}, 7)["routers"]["router"]


def slow(numbers: list[float], known: Answers) -> list[tuple[float, float]]:
    """(share, PGR) of every threshold, by counting."""
    points = []
    for threshold in [math.inf, *sorted(set(numbers), reverse=True)]:
        taken = [n >= threshold for n in numbers]
        quality = [b if t else a for a, b, t in zip(known.small, known.large, taken, strict=True)]
        gained = (np.mean(quality) - np.mean(known.small)) / (np.mean(known.large) - np.mean(known.small))
        points.append((sum(taken) / len(taken), float(gained)))
    return points


ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12)


@given(ROWS)
@settings(max_examples=80, deadline=None)
def test_measures_are_those_of_all_thresholds(rows: list[tuple[int, int, int]]) -> None:
    """The curve, APGR and CPT by counting at every threshold, straight between two; none where the large model is not better."""
    numbers, small, large = (list(map(float, column)) for column in zip(*rows, strict=True))
    known = answers(small, large)
    found = one(numbers, known)
    if sum(large) <= sum(small):
        assert found["apgr"] is None
        assert Router(np.array(numbers)).points(known) == []
        return
    points = slow(numbers, known)
    assert np.array(Router(np.array(numbers)).points(known)) == pytest.approx(np.array(points))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))
    assert found["apgr"][0] == pytest.approx(area)
    for level in routing.LEVELS:
        a, b = next((a, b) for a, b in itertools.pairwise(points) if b[1] >= level - 1e-9)
        part = (level - a[1]) / (b[1] - a[1])
        assert found[f"cpt{level * 100:.0f}"][0] == pytest.approx(a[0] + max(part, 0) * (b[0] - a[0]))


def test_a_router_that_knows_nothing_recovers_what_it_pays_for() -> None:
    """One number for all is a lot drawn: APGR a half, CPT the share itself, whatever the answers."""
    known = answers([0, 0, 1, 1, 0], [1, 1, 1, 0, 1])
    found = one([0.3] * 5, known)
    assert [found[name][0] for name in ("apgr", "cpt50", "cpt80", "cpt95")] == pytest.approx([0.5, 0.5, 0.8, 0.95])


def test_the_oracle_sends_just_what_is_better_there() -> None:
    """Two of five queries gain, one loses: with two calls quality is above the large model's own, and no router beats that."""
    known = answers([0, 0, 1, 1, 1], [1, 1, 1, 1, 0])
    found = measure({"router": known.gap}, known, {"two": known.gap > 0}, 7)
    assert found["routers"]["router"]["apgr"] == found["routers"]["oracle"]["apgr"]
    assert (found["small"], found["large"], found["needed"]) == pytest.approx((0.6, 0.8, 0.4))
    two = found["at"]["two"]
    assert (two["share"], two["quality"], two["pgr"][0]) == pytest.approx((0.4, 1.0, 2.0))


def test_costs_are_of_the_answers_that_are_taken() -> None:
    """Mean cost of small alone, large alone and of a choice; unknown where an answer of a choice has none."""
    costs = {"tokens": (np.array([1.0, 2.0]), np.array([10.0, 20.0])), "dollars": (np.full(2, np.nan), np.ones(2))}
    known = Answers(np.zeros(2), np.ones(2), costs)
    found = measure({"router": np.array([0.0, 1.0])}, known, {"second": np.array([False, True])}, 7)
    assert found["costs"] == {"tokens": [1.5, 15.0], "dollars": [None, 1.0]}
    assert found["at"]["second"]["costs"] == {"tokens": 10.5, "dollars": None}


def test_intervals_hold_what_is_true_and_narrow_with_more_queries() -> None:
    """Of queries drawn from a known law nearly all intervals have its APGR; four times the queries halve them."""
    rng = np.random.default_rng(3)

    def drawn(rows: int) -> list[float]:
        score = rng.random(rows)
        needed = rng.random(rows) < score  # the chance that the large model is needed is the score
        return one(score.tolist(), answers((~needed).astype(float).tolist(), [1.0] * rows))["apgr"]

    true = 2 / 3  # PGR at a share c is 1 - (1 - c)^2: its mean over c is 2 / 3
    few, many = ([drawn(n) for _ in range(10)] for n in (100, 400))
    assert sum(low <= true <= high for _, low, high in (*few, *many)) >= 17
    widths = [np.mean([high - low for _, low, high in each]) for each in (few, many)]
    assert 1.6 < widths[0] / widths[1] < 2.5


def test_a_lead_is_over_chance_and_over_other_routers() -> None:
    """The first router's lead over chance is above nothing if it knows something; over its own copy it is nothing."""
    rng = np.random.default_rng(5)
    score = rng.random(300)
    known = answers((rng.random(300) > score).astype(float).tolist(), [1.0] * 300)
    found = measure({"router": score, "copy": score * 2, "lots": rng.random(300)}, known, {}, 7)["routers"]
    assert found["router"]["lead"][0] > 0
    assert found["copy"]["lead"] == [0, 0]
    assert found["lots"]["lead"][0] > 0
