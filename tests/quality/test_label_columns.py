"""Labels from several columns: the most trusted one that has a label counts; what it contradicts itself about has none."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_cases import batch

from curate.errors import InputError
from curate.quality.label_columns import NONE, LabelColumn, Votes

COLUMNS = (
    LabelColumn(column="human.label"),
    LabelColumn(column="judge.score", scale="0-5"),
    LabelColumn(column="contrast.label"),
)


def slow_labels(votes, contents, exact):
    """One content after another, as the docstring says it."""
    result = []
    for content in range(contents):
        mine = sorted({(place, mark) for c, place, mark in votes if c == content})
        if not mine:
            result.append((NONE, NONE, NONE, False, False))
            continue
        best = mine[0][0]
        marks = [mark for place, mark in mine if place == best]
        good = [int(mark >= (3 if best == 1 else 1)) for mark in marks]
        if len(set(marks if exact else good)) > 1:
            result.append((NONE, NONE, NONE, True, False))
            continue
        others = {int(mark >= (3 if place == 1 else 1)) for place, mark in mine if place != best}
        result.append((marks[0], good[0], best, False, bool(others - {good[0]})))
    return result


VOTES = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 2), st.integers(0, 5)).map(
        lambda v: (v[0], v[1], v[2] if v[1] == 1 else v[2] % 2)
    ),
    max_size=30,
)


@given(VOTES, st.booleans(), st.integers(1, 4))
def test_what_counts_equals_the_rule(votes, exact, size):
    """Vectorised, in batches, in any order: the same as one content after another."""
    held = Votes(COLUMNS)
    for i in range(0, len(votes), size):
        part = votes[i : i + size]
        marks = [
            np.array([mark if place == column else NONE for _, place, mark in part], np.int8) for column in range(3)
        ]
        held.add(np.array([content for content, _, _ in part]), marks)
    found = held.resolve(8, trusted=3, exact=exact)
    columns = (found.mark, found.good, found.column, found.contradictory, found.overruled)
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == slow_labels(votes, 8, exact)
    for place in range(3):
        lowest = [min((m for c, p, m in votes if (c, p) == (content, place)), default=NONE) for content in range(8)]
        assert held.of(place, 8).tolist() == lowest


def test_agreement_of_columns():
    """For each two columns, on the contents that both label."""
    held = Votes(COLUMNS)
    held.add(np.arange(4), [np.array([1, 0, 1, NONE], np.int8), np.array([4, 1, 0, 5], np.int8)])
    found = held.agreements(4)
    assert found["human.label, judge.score"]["rows"] == 3
    assert found["human.label, judge.score"]["agreement"] == pytest.approx(2 / 3)
    assert found["human.label, contrast.label"] == {"rows": 0, "agreement": None, "cohen_kappa": None}


@pytest.mark.parametrize("values", [
    pa.array([1, 0, None], pa.int8()), pa.array([1.0, 0.0, None]), pa.array([True, False, None]),
    pa.array([1, 0, None], pa.uint64()),
])  # fmt: skip
def test_labels_may_be_any_kind_of_number(values):
    """Whole numbers of any type; null is no label."""
    assert COLUMNS[0].read(batch("abc", "sss", **{"human.label": values}), "step").tolist() == [1, 0, NONE]
    nothing = batch("abc", "sss", **{"human.label": pa.nulls(3)})
    assert COLUMNS[0].read(nothing, "step").tolist() == [NONE] * 3


@pytest.mark.parametrize(("column", "values", "message"), [
    (0, pa.array([1, 2]), "2 in column 'human.label' is no label on the scale 0-1"),
    (1, pa.array([5, 6]), "6 in column 'judge.score' is no label on the scale 0-5"),
    (1, pa.array([5, -1]), "-1 in column"),
    (1, pa.array([5, 2.5]), "2.5 in column"),
    (1, pa.array([5, float("nan")]), "nan in column"),
    (1, pa.array([5, float("inf")]), "inf in column"),
    (0, pa.array(["good", "bad"]), "column 'human.label' holds string, not labels"),
])  # fmt: skip
def test_what_is_no_label_is_said(column, values, message):
    """The value, the column, the document and what to do."""
    with pytest.raises(InputError, match=message) as caught:
        COLUMNS[column].read(batch("ab", "ss", **{COLUMNS[column].column: values}), "value")
    assert caught.value.cure and "step 'value'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_votes_of_copies_are_held_once(monkeypatch):
    """A page that is in every batch does not fill the memory, and counts as it does once."""
    monkeypatch.setattr("curate.quality.label_columns._VOTES", 100)
    many, once = Votes(COLUMNS), Votes(COLUMNS)
    for i in range(200):
        contents = np.arange(30)
        marks = [np.full(30, i % 2, np.int8), np.full(30, NONE, np.int8), (contents % 2).astype(np.int8)]
        many.add(contents, marks)
        if i < 2:
            once.add(contents, marks)
        assert sum(map(len, many._parts)) <= 2 * 90 + 100 + 60
    assert np.array_equal(many.table(), once.table())
