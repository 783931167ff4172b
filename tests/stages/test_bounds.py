"""A table of rules does what each of its lines says, one row and one line at a time."""

from __future__ import annotations

import math
import operator
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from curate.stages.bounds import Bound, beyond, conditions, first_reason, rules_of, thresholds_of
from curate.stages.filter_massivetext import MassiveText

OPS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
VALUES = st.one_of(st.none(), st.floats(-2, 2), st.just(math.nan), st.sampled_from([0.1, 0.3, 1.0]))
TABLE = st.lists(
    st.builds(
        Bound,
        st.sampled_from(["one", "two", "three"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(list(OPS)),
        st.sampled_from(["low", "high", "off"]),
    ),
    max_size=8,
)


def slow(table, settings, row):
    """The reasons of one row, in the order of each reason's first line; None is no value."""
    order = list(dict.fromkeys(b.reason for b in table if getattr(settings, b.setting) is not None))
    broken = {
        b.reason
        for b in table
        if getattr(settings, b.setting) is not None
        and row[b.signal] is not None
        and OPS[b.op](row[b.signal], getattr(settings, b.setting))
    }
    return [r for r in order if r in broken]


@how(deadline=None)
@given(TABLE, st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=20), st.floats(-1, 1), st.floats(-1, 1))
def test_rules_are_those_of_the_lines(table, rows, low, high):
    """Whatever stands in the table; nulls and NaN break nothing; the first reason decides."""
    settings = SimpleNamespace(low=low, high=high, off=None)
    signals = {n: pa.array([r[i] for r in rows], pa.float64()) for i, n in enumerate("ab")}
    rules = rules_of(table, settings, signals)
    expected = [slow(table, settings, {"a": a, "b": b}) for a, b in rows]
    assert len({r for r, _ in rules}) == len(rules)
    assert [[r for r, goes in rules if goes[i].as_py()] for i in range(len(rows))] == expected
    decided = first_reason(len(rows), rules).to_pylist()
    assert decided == [reasons[0] if reasons else None for reasons in expected]
    assert {(t.reason, t.setting) for t in thresholds_of(table, settings)} == {
        (b.reason, b.setting) for b in table if b.setting != "off"
    }


@how(deadline=None)
@given(st.sampled_from(list(OPS)), st.floats(0, 1, width=64))
def test_a_float32_signal_meets_its_own_threshold(op, value):
    """0.1 measured in 32 bits is neither above nor below 0.1 set."""
    signal = pa.array(np.array([value], np.float32))
    assert beyond(signal, op, value).to_pylist() == ["=" in op]


@pytest.mark.parametrize(("switch", "goes"), [(True, [True, False, None]), (False, [False, False, None])])
def test_a_switch(switch, goes):
    """Rows that have the flag go while the switch is on; then only it is a threshold."""
    assert beyond(pa.array([True, False, None]), "is", switch).to_pylist()[:2] == goes[:2]
    (rule,) = rules_of([Bound("r", "flag", "is", "on")], SimpleNamespace(on=switch), {"flag": pa.array([None, True])})
    assert first_reason(2, [rule]).to_pylist() == [None, "r" if switch else None]
    assert len(thresholds_of([Bound("r", "flag", "is", "on")], SimpleNamespace(on=switch))) == switch


def test_whole_numbers_and_fractions():
    """A count against a fraction is compared as numbers are."""
    assert beyond(pa.array([2, 3]), ">", 2.5).to_pylist() == [False, True]
    assert beyond(pa.array([2, 3], pa.int8()), "<", 1000).to_pylist() == [True, True]


def test_settings_of_a_table_are_for_deciding():
    """A filter's author does not list them again; further ones that he lists are kept."""

    class Mine(MassiveText):
        decide_settings = frozenset({"extra"})
        bounds = (Bound("too_short", "words", "<", "min_words"),)

    assert Mine.decide_settings == {"extra", "min_words"}
    assert "max_symbol_ratio" in MassiveText.decide_settings


def test_conditions_read_well():
    """For a reader of docs: signal and setting, alternatives joined."""
    table = [Bound("w", "a", "<", "x"), Bound("w", "b", ">=", "y"), Bound("f", "flag", "is", "on")]
    assert conditions(table) == {"w": "a < x or b >= y", "f": "flag, with on"}
