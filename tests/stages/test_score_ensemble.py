"""score.ensemble and train.ranks: against plain counting; what is missing, equal, or infinite."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from exchange import CONTEXT, batch, documents
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.errors import InputError, RecipeError
from curate.quality import ranks
from curate.stages.base import Context
from curate.stages.score_ensemble import ScoreEnsemble
from curate.stages.train_ranks import TrainRanks
from curate.text.batch import Batch
from curate.text.hashing import keyed_hash

FLOATS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, 0.5, 1.0]))
MISSING = st.one_of(st.none(), st.just(float("nan")))


def ensemble(columns: dict[str, list[float | None]], ctx: Context = CONTEXT, **settings) -> list[float | None]:
    """The scores that a stage gives."""
    docs = batch(["x"] * len(next(iter(columns.values()))), {n: pa.array(v, pa.float64()) for n, v in columns.items()})
    found = ScoreEnsemble(columns=list(columns), **settings).measure(docs, ctx)["score"]
    assert found.type == pa.float32()
    return found.to_pylist()


@given(st.lists(FLOATS, min_size=1, max_size=60), st.integers(2, 25))
@how(deadline=None)
def test_a_bucket_is_the_share_that_scores_lower(values, buckets):
    """floor(buckets * below / n), whatever is equal; monotone also for values that were never seen."""
    edges = ranks.edges_of(np.array(values), buckets)
    found = ranks.buckets_of(np.array(values), edges).tolist()
    assert found == [buckets * sum(v < value for v in values) // len(values) for value in values]
    others = np.sort(np.array([*values, *(v + 0.25 for v in values), -math.inf, math.inf]))
    assert (np.diff(ranks.buckets_of(others, edges)) >= 0).all()
    assert np.isnan(ranks.buckets_of(np.array([np.nan]), edges)).all()


@given(
    st.lists(st.tuples(st.one_of(FLOATS, MISSING), st.one_of(FLOATS, MISSING)), max_size=20),
    st.sampled_from(["max", "mean"]),
    st.booleans(),
)
@how(deadline=None)
def test_max_and_mean(rows, kind, skip):
    """Of what is there; null where one is missing, unless missing ones are skipped and not all are."""
    columns = {"a": [a for a, _ in rows], "b": [b for _, b in rows]}
    expected = []
    for row in rows:
        there = [v for v in row if v is not None and not math.isnan(v)]
        value = max(there, default=0.0) if kind == "max" else sum(there) / max(len(there), 1)
        expected.append(float(np.float32(value)) if len(there) == 2 or (skip and there) else None)
    assert ensemble(columns, how=kind, skip_missing=skip) == expected


def test_infinities_do_no_harm():
    """They are scores; a mean of both is none."""
    inf = math.inf
    assert ensemble({"a": [inf, inf, -inf, 1e300], "b": [0.0, -inf, 1.0, 1.0]}, how="mean") == [inf, None, -inf, inf]
    assert ensemble({"a": [inf, -inf], "b": [0.0, 1.0]}, how="max") == [inf, 1.0]


def trained(folder: Path, docs: pa.Table, *, size: int = 64, seed: int = 0, **settings) -> dict:
    """Ranks of some rows in batches of any size and order; the report."""
    batches = docs.combine_chunks().to_batches(max_chunksize=size)
    random.Random(seed).shuffle(batches)
    folder.mkdir(exist_ok=True)
    return dict(TrainRanks(**settings).train([Batch(b) for b in batches], folder, CONTEXT))


def test_the_best_bucket_of_two_models(tmp_path: Path) -> None:
    """One model's scores lie near 0, the other's near 1: their ranks compare, their values would not."""
    draw = np.random.default_rng(5)
    low, high = draw.random(400) * 0.01, 1 - draw.random(400) ** 3 * 0.5
    docs = documents(["x"] * 400, {"a.score": pa.array(low), "b.score": pa.array(high)})
    report = trained(tmp_path, docs, columns=["a.score", "b.score"])
    assert report["exact"] and report["looked_at"] == {"a.score": 400, "b.score": 400}
    ctx = Context("all", None, {"ranks": tmp_path})
    found = ensemble({"a.score": low.tolist(), "b.score": high.tolist()}, ctx, how="rank_buckets", ranks="r")
    places = [20 * np.argsort(np.argsort(v)) // 400 for v in (low, high)]
    assert found == np.maximum(*places).tolist()
    assert pytest.approx(sum(s == 19 for s in found), abs=8) == 400 * (1 - 0.95**2)


def test_ranks_do_not_depend_on_splits(tmp_path: Path) -> None:
    """Of more rows than are looked at, those with the smallest hashes of their ids, in any order of batches."""
    values = np.random.default_rng(1).random(3000)
    docs = documents(["x"] * 3000, {"s": pa.array(values)})
    settings = {"columns": ["s"], "buckets": 10, "max_rows": 1000}
    report = trained(tmp_path / "a", docs, **settings)
    trained(tmp_path / "b", docs, size=7, seed=2, **settings)
    assert (tmp_path / "a/ranks.json").read_bytes() == (tmp_path / "b/ranks.json").read_bytes()
    assert not report["exact"] and report["rows"] == 3000 and report["looked_at"] == {"s": 1000}
    hashes = keyed_hash(docs.column("id").combine_chunks(), CONTEXT.key("test", "sample"))
    chosen = values[np.argsort(hashes)[:1000]]
    assert ranks.load(tmp_path / "a")["s"].tolist() == ranks.edges_of(chosen, 10).tolist()


def test_what_has_no_ranks(tmp_path: Path) -> None:
    """Each mistake is a line with its cure."""
    docs = documents(["x"] * 2, {"s": pa.array([None, float("nan")], pa.float64())})
    with pytest.raises(InputError, match="step 'test': no row has a value of 's'"):
        trained(tmp_path / "none", docs, columns=["s"])
    trained(tmp_path / "one", documents(["x"], {"s": pa.array([1.0])}), columns=["s"])
    ctx = Context("all", None, {"ranks": tmp_path / "one"})
    with pytest.raises(RecipeError, match="'r' has no ranks of 't'; it has: s"):
        ensemble({"t": [1.0]}, ctx, how="rank_buckets", ranks="r")
    for text, line in (
        (None, "no ranks.json in it"),
        ("{", "is no file of ranks, or cut short"),
        (json.dumps({"kind": "forest"}), "holds 'forest', not ranks"),
        (json.dumps({"kind": "ranks", "edges": {"s": [2, 1]}}), "edges are not in order"),
        (json.dumps([]), "is no file of ranks"),
    ):
        folder = tmp_path / f"bad{len(text or '')}"
        folder.mkdir()
        if text is not None:
            (folder / "ranks.json").write_text(text)
        with pytest.raises(InputError, match=line):
            ranks.load(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"columns": ["a"], "how": "rank_buckets"},
        {"columns": ["a"], "how": "max", "ranks": "r"},
        {"columns": ["a", "a"], "how": "max"},
        {"columns": [], "how": "max"},
        {"columns": ["a"], "how": "median"},
    ],
)
def test_settings_that_do_not_fit(settings):
    """Ranks and buckets go together."""
    with pytest.raises(ValidationError):
        ScoreEnsemble(**settings)
