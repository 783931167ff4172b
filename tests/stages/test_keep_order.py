"""Who stays: criteria in their order, each total over all values, none of it dependent on place."""

from __future__ import annotations

import itertools
import json
import random
from datetime import date

import pyarrow as pa
import pytest
from exchange import batch, documents, dropped
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.errors import RecipeError
from curate.stages.dedup_exact import DedupExact


def order(keep: list, **columns: pa.Array) -> list[int]:
    """Rows in keep order, without those that no criterion tells apart from the row before."""
    texts = columns.pop("text", pa.array(["x"] * len(next(iter(columns.values()))))).to_pylist()
    stage = DedupExact(keep=keep)
    rows = batch(texts, {k.replace("__", "."): v for k, v in columns.items() if k not in ("meta", "source")}).rows
    for name in ("meta", "source"):
        if name in columns:
            rows = rows.set_column(rows.schema.get_field_index(name), name, columns[name])
    from curate.text.batch import Batch

    ranks = stage.ranks(Batch(rows))
    assert tuple(ranks) == stage.rank_names
    first = [ranks[f"rank_{i}"].to_pylist() for i in range(len(keep))]
    keys = list(zip(*first, strict=True))
    return [
        next(iter(group))
        for _, group in itertools.groupby(sorted(range(len(keys)), key=lambda i: keys[i]), key=lambda i: keys[i])
    ]


def test_each_criterion():
    """Highest, lowest, longest, newest, sources; what has no value comes last."""
    values = pa.array([0.5, None, -1.0, 2.0, float("nan")])
    assert order(["a.score"], a__score=values) == [3, 0, 2, 1]
    assert order([{"lowest": "a.score"}], a__score=values) == [2, 0, 3, 1]
    assert order(["longest"], text=pa.array(["aa", "", "éé", "a"])) == [2, 0, 3, 1]
    assert order([{"sources": ["b", "a"]}], source=pa.array(["a", "c", "b", "d"])) == [2, 0, 1]


DATES = [
    "2024-05-01",
    "2024-05-01T00:00:01Z",
    "2024",
    "2023-12",
    "1999-12-31T23:59:59+01:00",
    "nonsense",
    None,
    "1714521700",
]


def test_newest_reads_dates_of_every_kind():
    """ISO 8601, years and months, seconds, Arrow's own; in meta as in columns; the rest is last."""
    wanted = [7, 1, 0, 2, 3, 4, 5]
    assert order([{"newest": "a.when"}], a__when=pa.array(DATES)) == wanted
    metas = [json.dumps({"d": d}) if d else "{}" for d in DATES]
    assert order([{"newest": "meta.d"}], meta=pa.array(metas)) == wanted
    metas[7], metas[2] = '{"d": 1714521700}', '{"d": 2024}'
    assert order([{"newest": "meta.d"}], meta=pa.array(metas)) == wanted
    assert order([{"newest": "a.y"}], a__y=pa.array([1999, 2024, None, 1714521700])) == [3, 1, 0, 2]
    assert order([{"newest": "a.d"}], a__d=pa.array([date(2024, 1, 2), None, date(2024, 1, 3)])) == [2, 0, 1]
    times = pa.array([1704153600000, 1704157200000, None], pa.timestamp("ms"))
    assert order([{"newest": "a.t"}], a__t=times) == [1, 0, 2]
    assert order([{"newest": "a.t"}], a__t=times.cast(pa.timestamp("us", "UTC"))) == [1, 0, 2]
    fine = pa.array([1704153600_000000001, 1704153601_000000002, None], pa.timestamp("ns"))
    assert order([{"newest": "a.t"}], a__t=fine) == [1, 0, 2]
    # 1512-06-15T00:00 and 1603-12-24T10:30, if one cares to read them so.
    milliseconds = ["1512061530000", "1603122410300", "1400000000000"]
    assert order([{"newest": "a.s"}], a__s=pa.array(milliseconds)) == [1, 0, 2]
    assert order([{"newest": "meta.d"}], meta=pa.array([f'{{"d": {n}}}' for n in milliseconds])) == [1, 0, 2]


def test_criteria_are_tried_in_order():
    """The first that differs decides; with none left content_hash, then id."""
    docs = documents(["same"] * 4, {"v.a": pa.array([1, 1, 2, 2]), "v.b": pa.array([5, 6, 1, 0])})
    assert dropped(DedupExact(keep=["v.a", "v.b"]), docs) == {0, 1, 3}
    assert dropped(DedupExact(keep=["v.b", "v.a"]), docs) == {0, 2, 3}
    assert dropped(DedupExact(keep=[{"lowest": "v.a"}, "v.b"]), docs) == {0, 2, 3}
    ids = docs.column("id").to_pylist()
    assert dropped(DedupExact(), docs) == {i for i in range(4) if ids[i] != min(ids)}
    assert DedupExact(keep=["v.a", {"lowest": "v.b"}, "longest", {"newest": "v.c"}, {"newest": "meta.x"}]).reads() == {
        "v.a",
        "v.b",
        "v.c",
    }


VALUES = st.lists(st.tuples(st.one_of(st.none(), st.floats()), st.integers(0, 3)), min_size=1, max_size=30)


@given(VALUES, st.integers(0, 5))
def test_the_order_is_total_and_splits_do_not_matter(values, seed):
    """Among equal texts one stays, the same one in any order and cut."""
    columns = {"v.a": pa.array([v for v, _ in values], pa.float64()), "v.b": pa.array([b for _, b in values])}
    docs = documents(["same"] * len(values), columns)
    stage = DedupExact(keep=["v.a", {"lowest": "v.b"}])
    gone = dropped(stage, docs)
    assert len(gone) == len(values) - 1
    shuffled = list(range(len(values)))
    random.Random(seed).shuffle(shuffled)
    again = dropped(stage, docs.take(shuffled), parts=3, partitions=2, seed=seed, batch_rows=5)
    assert {shuffled[i] for i in again} == gone


def test_what_is_no_criterion():
    """A sentence says what there is, for values and for columns of another type."""
    for wrong in (
        [{"lowest": ["a"]}],
        [{"sources": "a"}],
        [{"sources": []}],
        [{"newest": "a", "lowest": "b"}],
        [""],
        [{}],
    ):
        with pytest.raises(ValidationError, match="longest"):
            DedupExact.model_validate({"keep": wrong})
    with pytest.raises(RecipeError, match="not numbers"):
        order(["a.s"], a__s=pa.array([["x"]]))
    with pytest.raises(RecipeError, match="not numbers"):
        order([{"newest": "a.s"}], a__s=pa.array([["x"]]))
    with pytest.raises(RecipeError, match="not dates"):
        order([{"newest": "a.s"}], a__s=pa.array([1], pa.time32("s")))
