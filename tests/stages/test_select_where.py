"""select.where: bounds, the top share, and rows without a value."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from exchange import CONTEXT, batch, documents, dropped, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.errors import InputError, RecipeError
from curate.stages.amounts import parse_count, short_count
from curate.stages.dedup_exact import DedupExact
from curate.stages.select_ranked import SelectRanked, order_key
from curate.stages.select_where import SelectWhere
from curate.stages.strata import strata
from curate.text.batch import Batch
from curate.text.hashing import keyed_hash


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


def test_a_field_of_meta_is_warmed_up():
    """What a process does before its first rows has null meta."""
    SelectWhere(column="meta.language", equals="en").concrete().warm(CONTEXT)


def test_equal_values_are_kept():
    """One string, or several; of a column, or a field of meta; a value that is not there is (none)."""
    stage = SelectWhere(column="a.side", equals="train").concrete()
    docs = batch(["x"] * 3, {"a.side": pa.array(["train", "validation", None])})
    assert stage.decide(stage.measure(docs, CONTEXT)).to_pylist() == [None, "other_value", "other_value"]
    both = SelectWhere(column="a.side", equals=["train", "(none)"]).concrete()
    assert both.decide(both.measure(docs, CONTEXT)).to_pylist() == [None, "other_value", None]
    assert stage.reads() == {"a.side"}
    assert stage.measure_fingerprint() == both.measure_fingerprint()
    assert stage.fingerprint() != both.fingerprint()
    field = SelectWhere(column="meta.language", equals="en").concrete()
    assert field.reads() == frozenset()
    assert field.decide(field.measure(batch(["x"]), CONTEXT)).to_pylist() == ["other_value"]


@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"equals": []},
        {"equals": "a", "top": 0.1},
        {"equals": "a", "within": "source"},
        {"top": 0.1, "at_least": 1.0},
        {"top": 0},
        {"at_least": 2.0, "at_most": 1.0},
    ],
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
@settings(max_examples=40)
def test_top_keeps_the_highest(values, top, seed):
    """ceil(top * rows with a value) rows stay, none lower than one that goes; no cut of the input changes which."""
    docs = documents(["x"] * len(values), {"s": pa.array(values, pa.float32())})
    stage = SelectWhere(column="s", top=top).concrete()
    assert isinstance(stage, SelectRanked)
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


@pytest.mark.parametrize("stage", [SelectWhere(column="source", top=0.5).concrete(), DedupExact(keep=["source"])])
def test_a_column_of_words_is_the_recipes_mistake(stage):
    """A column that holds no numbers is named, with its type."""
    with pytest.raises(RecipeError, match="column 'source' holds string, not numbers"):
        verdicts(stage, documents(["a", "b"]))


# -- all rows in one order, against a plain sort -----------------------------------------------------------------

SCORES = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 0.1, float("inf"), float("-inf")]),
    # What float32 can't tell apart.
    st.integers(0, 3).map(lambda n: 0.7 + n * 1e-12),
)


def twin(rows, *, top=None, tokens=None, within=None, floor=None, bytes_per_token=4.0):
    """Positions that go, by sorting all rows in one list: (value, keyed hash of the id, id)."""
    salt = CONTEXT.key("test", "ties")
    hashes = keyed_hash(pa.array([r["id"] for r in rows], pa.binary(16)), salt).tolist() if rows else []
    known = [i for i, r in enumerate(rows) if r["s"] is not None and r["s"] == r["s"]]
    known.sort(key=lambda i: (-rows[i]["s"], hashes[i], rows[i]["id"]))
    budget = None if tokens is None else math.floor(tokens * Fraction(str(bytes_per_token)))

    def first(order, start=()):
        chosen, spent, room = set(start), sum(len(rows[i]["text"].encode()) for i in start), True
        for i in (i for i in order if i not in chosen):
            if top is not None:
                room = len(chosen) < math.ceil(Fraction(str(top)) * len(order))
            else:
                spent += len(rows[i]["text"].encode())
                room = room and spent <= budget
            if not room:
                break
            chosen.add(i)
        return chosen

    strata = {}
    for i in known:
        strata.setdefault(rows[i][within] if within else "", []).append(i)
    if floor is None:
        stays = set().union(*(first(order) for order in strata.values())) if strata else set()
    else:
        marked = [i for order in strata.values() for i in order[: math.ceil(Fraction(str(floor)) * len(order))]]
        stays = first(known, marked)
    return set(range(len(rows))) - stays


@given(
    st.lists(st.tuples(SCORES, st.sampled_from("abc"), st.integers(0, 40)), max_size=50),
    st.sampled_from(
        [
            {"top": 0.1},
            {"top": 0.3, "within": "source"},
            {"top": 0.4, "within": "source", "floor": 0.2},
            {"tokens": 60},
            {"tokens": 40, "within": "source", "bytes_per_token": 2.3},
            {"tokens": 300, "within": "source", "floor": 0.1},
        ]
    ),
    st.integers(0, 3),
)
@settings(max_examples=40)
def test_ranked_is_a_plain_sort(rows, how, seed):
    """Ties, null, NaN, infinities, strata, a budget, a floor: what goes is what a sort of all rows says, whatever the
    parts and partitions."""
    docs = documents(["x" * n for *_, n in rows], {"s": pa.array([s for s, *_ in rows], pa.float64())})
    docs = docs.set_column(2, "source", pa.array([s for _, s, _ in rows], pa.string()))
    stage = SelectWhere(column="s", **how).concrete()
    expected = twin(docs.to_pylist(), **how)
    assert dropped(stage, docs) == expected
    for parts, partitions, size in ((3, 2, 5), (2, 64, 64)):
        assert dropped(stage, docs, parts=parts, partitions=partitions, seed=seed, batch_rows=size) == expected


@given(st.lists(st.floats(allow_nan=False), max_size=60), st.integers(0, 5))
def test_keys_never_contradict_the_order(values, seed):
    """Sorting by (value, tie) sorts the keys; rows of one float32 value have keys of their own."""
    values = np.array(values + values, np.float64)
    tie = np.random.default_rng(seed).integers(0, 2**64, len(values), np.uint64)
    keys = order_key(values, tie)
    order = np.lexsort((tie, -values))
    assert (np.diff(keys[order].astype(object)) >= 0).all()
    same = order_key(np.full(1000, 0.5), np.arange(1000, dtype=np.uint64) << np.uint64(54))
    assert len(np.unique(same)) == 1000


def test_a_budget_is_never_passed_and_counts_a_column():
    """The row that would pass it goes, and all after it; a null or negative count can't be budgeted."""
    columns = {"s": pa.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), "n": pa.array([10, None, 60, 40, 0, -1])}
    docs = documents(["x"] * 6, columns)
    got = verdicts(SelectWhere(column="s", tokens=100, tokens_column="n").concrete(), docs)
    reasons = dict(zip(got.column("id").to_pylist(), got.column("reason").to_pylist(), strict=True))
    said = [reasons.get(i) for i in docs.column("id").to_pylist()]
    assert said == [None, "no_tokens", None, "over_budget", "over_budget", "no_tokens"]
    with pytest.raises(RecipeError, match="column 'source' holds string, not numbers of tokens"):
        verdicts(SelectWhere(column="s", tokens=9, tokens_column="source").concrete(), docs)
    docs = docs.append_column("f", pa.array([1.5] * 6))
    with pytest.raises(RecipeError, match="no whole numbers of tokens"):
        verdicts(SelectWhere(column="s", tokens=9, tokens_column="f").concrete(), docs)


def test_a_floor_keeps_every_stratum_and_the_total():
    """Without it a low source is emptied; with it its best rows stay, and the total is the same."""
    values = {"s": pa.array([0.9 + i / 1000 for i in range(90)] + [0.1 + i / 1000 for i in range(10)])}
    docs = documents(["x"] * 100, values, ["good"] * 90 + ["poor"] * 10)
    plain = dropped(SelectWhere(column="s", top="30%").concrete(), docs)
    assert set(range(90, 100)) <= plain
    floored = dropped(SelectWhere(column="s", top="30%", within="source", floor="20%").concrete(), docs)
    assert len(floored) == len(plain) == 70
    assert {98, 99} == set(range(90, 100)) - floored
    with pytest.raises(InputError, match=r"floor of 0.2 of each stratum is more than the budget of 1 tokens"):
        verdicts(SelectWhere(column="s", tokens=1, within="source", floor=0.2).concrete(), docs)


def test_strata_of_a_field_of_meta():
    """``meta.lang`` is a stratum; rows without the field are one of their own."""
    metas = ['{"lang": "en"}', '{"lang": "de"}', "{}", '{"lang": null}', '{"lang": "en"}', '{"lang": "de"}']
    docs = documents(["x"] * 6, {"s": pa.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])})
    docs = docs.set_column(4, "meta", pa.array(metas, pa.string()))
    assert dropped(SelectWhere(column="s", top=0.5, within="meta.lang").concrete(), docs) == {0, 1, 2}
    with pytest.raises(RecipeError, match=r"can't be told apart by column 'text'"):
        verdicts(SelectWhere(column="s", top=0.5, within="text").concrete(), docs)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("ab"),
            st.one_of(
                st.none(),
                st.text('aé\n"\\{\0\U0001f600', max_size=5),
                st.integers(),
                st.booleans(),
                st.lists(st.integers(), max_size=2),
            ),
        ),
        max_size=8,
    )
)
def test_fields_are_read_as_json_reads_them(metas):
    """Strings as they are, other values as JSON, whichever reader took them."""
    docs = batch(["x"] * len(metas))
    rows = docs.rows.set_column(4, "meta", pa.array([json.dumps(m) for m in metas], pa.string()))

    def said(value):
        return "(none)" if value is None else value if isinstance(value, str) else json.dumps(value)

    assert strata(Batch(rows), "meta.a").to_pylist() == [said(m.get("a")) for m in metas]


@pytest.mark.parametrize(
    ("said", "value"), [("10%", 0.1), ("33.3%", 0.333), (" 0.25 ", 0.25), (0.5, 0.5), ("100%", 1.0), (1, 1.0)]
)
def test_shares(said, value):
    """A per cent sign is the decimal that was meant: the same settings, the same step."""
    stage = SelectWhere(column="s", top=said)
    assert stage.top == value
    assert stage.fingerprint() == SelectWhere(column="s", top=value).fingerprint()


@pytest.mark.parametrize(
    ("said", "value"),
    [("6B", 6 * 10**9), ("1.5m", 1_500_000), ("250_000", 250_000), ("250,000", 250_000), (7, 7), ("2T", 2 * 10**12)],
)
def test_counts(said, value):
    """K, M, B and T; digits may be grouped."""
    assert SelectWhere(column="s", tokens=said).tokens == value
    assert parse_count(short_count(value)) == value


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"top": 10}, "10 is no share: write 10% or a number up to 1"),
        ({"top": "ten"}, "'ten' is no amount: a share is written as 10% or 0.1"),
        ({"top": "200%"}, "'200%' is more than the whole"),
        ({"tokens": "6X"}, "'6X' is no amount: a number of tokens is written as 6B, 500M or 250000"),
        ({"tokens": "0.5"}, "'0.5' is no whole number of tokens"),
        ({"tokens": "1e999999999"}, "is no amount"),
        ({"tokens": True}, "a number of tokens is written"),
        ({"top": 0.5, "tokens": 5}, "set one of"),
        ({"at_least": 0.5, "within": "source"}, "within goes with top or tokens"),
        ({"top": 0.5, "floor": 0.1}, "floor needs within"),
        ({"top": 0.5, "tokens_column": "n"}, "tokens_column goes with tokens"),
        ({"top": 0.1, "within": "source", "floor": 0.2}, "can't lie above a top"),
    ],
)
def test_amounts_that_are_none(how, line):
    """What is wrong, and how it is written."""
    with pytest.raises(ValidationError, match=re.escape(line)):
        SelectWhere(column="s", **how)
