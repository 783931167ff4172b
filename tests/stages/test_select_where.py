"""select.where: bounds, the top share, and rows without a value."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from exchange import CONTEXT, batch, documents, dropped, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.errors import RecipeError
from curate.stages.dedup_exact import DedupExact
from curate.stages.select_where import SelectTop, SelectWhere


def test_bounds_are_kept_and_missing_values_go():
    """Bounds belong to what stays; null and NaN are no_value."""
    stage = SelectWhere(column="s", at_least=0.25, at_most=0.75)
    docs = batch(["x"] * 6, {"s": pa.array([0.25, 0.75, 0.2, 0.8, None, float("nan")], pa.float64())})
    got = stage.decide(stage.measure(docs, CONTEXT)).to_pylist()
    assert got == [None, None, "below_threshold", "above_threshold", "no_value", "no_value"]
    assert stage.concrete() is stage
    assert stage.reads() == {"s"}
    assert stage.measure_fingerprint() == SelectWhere(column="s", at_least=0.5).measure_fingerprint()


def test_integers_and_empty_batches():
    """Any numeric column will do."""
    stage = SelectWhere(column="s", at_least=3)
    docs = batch(["x"] * 2, {"s": pa.array([2, 3], pa.int32())})
    assert stage.decide(stage.measure(docs, CONTEXT)).to_pylist() == ["below_threshold", None]
    docs = batch([], {"s": pa.array([], pa.float32())})
    assert stage.decide(stage.measure(docs, CONTEXT)).to_pylist() == []


@pytest.mark.parametrize(
    "settings_", [{}, {"top": 0.1, "at_least": 1.0}, {"top": 0}, {"at_least": 2.0, "at_most": 1.0}]
)
def test_settings_that_say_nothing_or_too_much(settings_):
    """Exactly one form."""
    with pytest.raises(ValidationError):
        SelectWhere(column="s", **settings_)


@given(
    st.lists(st.one_of(st.none(), st.floats(width=32), st.sampled_from([0.0, -0.0, 1.0])), max_size=40),
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_top_keeps_the_highest(values, top, seed):
    """ceil(top * rows with a value) rows stay, none lower than one that goes; no cut of the input changes which."""
    docs = documents(["x"] * len(values), {"s": pa.array(values, pa.float32())})
    stage = SelectWhere(column="s", top=top).concrete()
    assert isinstance(stage, SelectTop)
    expected = dropped(stage, docs)
    for partitions in (2, 7):
        assert dropped(stage, docs, parts=3, partitions=partitions, seed=seed) == expected
    has = [i for i, v in enumerate(values) if v is not None and not np.isnan(v)]
    kept = set(range(len(values))) - expected
    assert kept <= set(has)
    assert len(kept) == -(-int(top * 10) * len(has) // 10)
    assert min((values[i] for i in kept), default=np.inf) >= max((values[i] for i in set(has) - kept), default=-np.inf)


def test_top_reasons():
    """What has no value says so."""
    docs = documents(["x"] * 4, {"s": pa.array([1.0, None, 3.0, 2.0])})
    got = verdicts(SelectWhere(column="s", top=0.34).concrete(), docs)
    reasons = dict(zip(got.column("id").to_pylist(), got.column("reason").to_pylist(), strict=True))
    assert [reasons.get(i) for i in docs.column("id").to_pylist()] == ["below_top", "no_value", None, None]


@pytest.mark.parametrize("stage", [SelectWhere(column="source", top=0.5).concrete(), DedupExact(prefer="source")])
def test_a_column_of_words_is_the_recipes_mistake(stage):
    """A column that holds no numbers is named, with its type."""
    with pytest.raises(RecipeError, match="column 'source' holds string, not numbers"):
        verdicts(stage, documents(["a", "b"]))
