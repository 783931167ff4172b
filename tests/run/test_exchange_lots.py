"""The exchange with little memory: runs of a map, lots of a reduce, parts packed; never another result."""

from __future__ import annotations

import json
import random
import resource
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from command import Curate, results
from exchange import CONTEXT
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st
from recipes import step, write

from curate.run import exchange, phases, reduce, spill
from curate.run.exchange import group_sums, partition_bounds, sort_rows, write_partitions
from curate.run.pieces import Entries, Opened, Partitions, Piece, Share, spans
from curate.run.reduce import ReduceTask, lots
from curate.stages.base import KEY, WEIGHT, Global, Phase, Span
from curate.store import scratch
from curate.store.files import Store
from curate.store.tables import batches_by_bytes, table_writer

ROWS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 12), st.integers(0, 2**64 - 1)),
        st.integers(0, 9),
        st.sampled_from(["a", "b", None]),
        st.integers(0, 300),
    ),
    min_size=1,
    max_size=120,
)


TOTAL = ("text", WEIGHT, "group")
"""Columns that make the order total."""


def table(rows: list[tuple[int, int, str | None, int]]) -> pa.Table:
    """Rows of an exchange; the texts are what takes memory."""
    keys, weights, groups, sizes = zip(*rows, strict=True)
    return pa.table(
        {
            KEY: pa.array(keys, pa.uint64()),
            WEIGHT: pa.array(weights, pa.int64()),
            "group": pa.array(groups, pa.string()),
            "text": pa.array(["x" * n for n in sizes], pa.large_string()),
        }
    )


def put(store: Store, maps: list[pa.Table], bounds: Any, *, runs: int = 1) -> Partitions:
    """Write maps as tasks do, each in some runs; where their partitions lie."""
    found = Partitions()
    for rows in maps:
        key, entries = store.fresh("steps/x/y", "map", ".arrow"), Entries()
        with table_writer(store.path(key), rows.schema) as out:
            for run in range(runs):
                begin, end = run * rows.num_rows // runs, (run + 1) * rows.num_rows // runs
                write_partitions(out, sort_rows(rows.slice(begin, end - begin), TOTAL), bounds, "group", entries)
        found.add(key, entries.dump())
    return found


def share_all(store: Store, found: Partitions) -> dict[int, Share]:
    """The shares of an index that stays."""
    return found.published(store, "steps/x/y").__enter__()


@given(ROWS, st.integers(1, 4), st.integers(1, 3), st.integers(40, 4000), st.sampled_from([0, 2, 10**9]))
@how(deadline=None, max_examples=60)
def test_lots_are_ranges_of_the_key(
    tmp_path_factory: pytest.TempPathFactory, rows, maps, partitions, budget, reads
) -> None:
    """Lots hold every row once, in ranges of the key that follow each other; rows that share a key are together. Whether they
    are read from what the maps wrote, or parted on a disk first."""
    store = Store(tmp_path_factory.mktemp("store"))
    with mock.patch.object(reduce, "READS", reads), mock.patch.object(spill, "HELD_BYTES", budget):
        _lots_are_ranges(store, rows, maps, partitions, budget)


def _lots_are_ranges(store: Store, rows: Any, maps: int, partitions: int, budget: int) -> None:
    random.Random(5).shuffle(rows)
    every = table(rows)
    parts = [
        every.slice(i * len(rows) // maps, (i + 1) * len(rows) // maps - i * len(rows) // maps) for i in range(maps)
    ]
    found = put(store, [p for p in parts if p.num_rows], partition_bounds(partitions))
    shares, sizes = share_all(store, found), found.bytes()
    seen: list[tuple[int, int, str | None, int]] = []
    for p, (count, weight, _) in found.sums().items():
        before, here = -1, 0
        for lot in lots(store, shares[p].pieces(store), sizes[p], budget):
            keys = lot.column(KEY).to_pylist()
            if not keys:
                continue
            assert min(keys) > before, "a key lies in two lots"
            before, here = max(keys), here + lot.num_rows
            texts = lot.column("text").to_pylist()
            seen += zip(
                keys, lot.column(WEIGHT).to_pylist(), lot.column("group").to_pylist(), map(len, texts), strict=True
            )
        assert here == count
        assert weight == sum(w for k, w, *_ in rows if (k * partitions) >> 64 == p)
    assert sorted(seen, key=repr) == sorted(rows, key=repr)


def test_a_batch_is_read_twice_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 maps of which each has a batch with keys from everywhere, in 20 lots: to find the lots, and to part the rows. The same
    lots as where each reads all of them."""
    rng, store = random.Random(4), Store(tmp_path)
    found = put(
        store, [table([(rng.randrange(2**64), n, "a", 300) for n in range(50)]) for _ in range(40)], partition_bounds(1)
    )
    pieces, size = share_all(store, found)[0].pieces(store), found.bytes()[0]
    read: Counter[tuple[str, int]] = Counter()
    batch = Opened.batch

    def counted(opened: Opened, file: str, number: int) -> pa.RecordBatch:
        read[file, number] += 1
        return batch(opened, file, number)

    monkeypatch.setattr(Opened, "batch", counted)
    parted = list(lots(store, pieces, size, size // 20))
    assert len(parted) > 15 and set(read.values()) == {2}
    monkeypatch.setattr(reduce, "READS", 100)
    again = list(lots(store, pieces, size, size // 20))
    assert max(read.values()) > 15
    assert [rows.to_pydict() for rows in parted] == [rows.to_pydict() for rows in again]
    assert not [*scratch.root().glob("work-*/*/lots.arrow")]


def test_more_maps_than_files_may_be_open(tmp_path: Path) -> None:
    """A partition of 400 maps, gone through in lots by a process that may have 350 files open."""
    store, before = Store(tmp_path), resource.getrlimit(resource.RLIMIT_NOFILE)
    found = put(store, [table([(n, 1, "a", 300), (2**63 + n, 1, "b", 300)]) for n in range(400)], partition_bounds(1))
    share, size = share_all(store, found)[0], found.bytes()[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (350, before[1]))
    try:
        got = [lot.num_rows for lot in lots(store, share.pieces(store), size, size // 4)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(got) > 2
    assert sum(got) == 800


def test_a_lot_is_as_large_as_said(tmp_path: Path) -> None:
    """4 MB of rows in lots of 256 kB: none has more than a quarter more, whatever the sizes of single rows."""
    rng = random.Random(3)
    store = Store(tmp_path)
    maps = [table([(rng.randrange(2**64), 1, "a", rng.randrange(2000)) for _ in range(1000)]) for _ in range(4)]
    found = put(store, maps, partition_bounds(1))
    pieces, size = share_all(store, found)[0].pieces(store), found.bytes()[0]
    sizes = [lot.nbytes for lot in lots(store, pieces, size, 256 << 10)]
    assert len(sizes) >= size / (256 << 10)
    assert max(sizes) < 1.25 * (256 << 10)
    assert [lot.num_rows for lot in lots(store, pieces, size, size)] == [4000]


class Ranks(Global):
    """Gives every row its rank in all and in its group, from the Span alone."""

    def phases(self) -> tuple[Phase, ...]:
        def ranks(rows: pa.Table, span: Span, _: Any) -> pa.Table:
            seen: dict[str, int] = {}
            out = []
            weight = span.start_weight
            for i, (name, w) in enumerate(
                zip(rows.column("group").to_pylist(), rows.column(WEIGHT).to_pylist(), strict=True)
            ):
                inner = span.groups[name] if name is not None else Span(0, 0)
                seen[name] = seen.get(name, -1) + 1
                out.append(
                    (span.start_rows + i, span.total_rows, weight, inner.start_rows + seen[name], inner.total_rows)
                )
                weight += w
            return pa.table({"rank": [json.dumps(o) for o in out]})

        return (
            Phase("rank", (), ranks, TOTAL, group="group"),
            Phase("last", (), ranks, ()),
        )


@given(ROWS, st.integers(1, 3), st.integers(1, 3), st.integers(40, 3000))
@how(deadline=None, max_examples=40)
def test_spans_of_lots(tmp_path_factory: pytest.TempPathFactory, rows, partitions, runs, budget) -> None:
    """What a reduce is told of a lot adds up to the ranks of one sorted table, also within groups."""
    store = Store(tmp_path_factory.mktemp("store"))
    every = sort_rows(table(rows), TOTAL)
    found = put(store, [every.take(list(reversed(range(every.num_rows))))], partition_bounds(partitions), runs=runs)
    shares, sizes, sums = share_all(store, found), found.bytes(), found.sums()
    ranks = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduce, "lots", lambda s, p, n: lots(s, p, n, budget))
        for p, span in zip(sums, spans(list(sums.values())), strict=True):
            task = ReduceTask(store, "steps/x/y", f"k{p}", Ranks(), CONTEXT, 0, shares[p], sizes[p], span)
            receipt = task.run()
            assert receipt["rows"] == sums[p][0]
            from curate.store.tables import read_batches

            for batch in read_batches(store.path(receipt["file"])):
                ranks += [json.loads(r) for r in batch.column("rank").to_pylist()]
    totals, seen, weight = group_sums(every, "group"), dict[str, int](), 0
    for i, (name, w) in enumerate(
        zip(every.column("group").to_pylist(), every.column(WEIGHT).to_pylist(), strict=True)
    ):
        assert ranks[i][:3] == [i, len(rows), weight]
        weight += w
        if name is not None:
            assert ranks[i][3:] == [seen.get(name, 0), totals[name][0]]
            seen[name] = seen.get(name, 0) + 1


def test_a_share_is_an_order_of_pieces(tmp_path: Path) -> None:
    """Pieces come back in the order of the maps; a share of nothing has none."""
    store = Store(tmp_path)
    found = Partitions()
    for name, counts in (("b", [(3, 2), (5, 1)]), ("a", [(3, 4)]), ("c", [(1, 1), (3, 1), (3, 2)])):
        entries = Entries()
        for partition, batches in counts:
            entries.add(partition, batches, 10 * batches, 100)
        found.add(name, entries.dump())
    shares = share_all(store, found)
    assert list(shares) == [1, 3, 5]
    assert shares[3].pieces(store) == [
        Piece("b", 0, 2, 20, 100),
        Piece("a", 0, 4, 40, 100),
        Piece("c", 1, 1, 10, 100),
        Piece("c", 2, 2, 20, 100),
    ]
    assert Share().pieces(store) == []
    assert (share_all(store, Partitions()), Partitions().sums(), Partitions().bytes()) == ({}, {}, {})


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_batches_by_bytes(rows: int) -> None:
    """All rows in order; a batch has more bytes than it should only when it is one row."""
    rng = random.Random(rows)
    whole = table([(i, 1, "a", rng.choice([0, 10, 5000])) for i in range(500)]).combine_chunks()
    batches = list(batches_by_bytes(whole, rows, 4096))
    assert pa.Table.from_batches(batches).equals(whole)
    assert all(b.num_rows <= rows and (b.nbytes <= 4096 or b.num_rows == 1) for b in batches)


def test_little_memory_gives_the_same_bytes(
    curate: Curate, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps in many runs, reduces in many lots, parts packed or alone: the results are the same files."""
    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import load_recipe
    from curate.run.cluster import Runner
    from curate.run.engine import Engine, Settings
    from curate.run.manifest import write_manifest
    from curate.run.progress import Silent

    steps = [
        step("docs", "read.jsonl", paths=[str(corpus / "prose.jsonl"), str(corpus / "code.jsonl.zst")]),
        step("unique", "dedup.exact"),
        step("near", "dedup.near"),
        step("long", "signals.text"),
        step("top", "select.where", column="long.massivetext_words", top="60%", within="source"),
        step("out", "write.text", documents_per_shard=40),
    ]
    recipe = write(tmp_path / "r.yaml", steps)
    curate.run(recipe, tmp_path / "reference").ok()
    wanted = results(tmp_path / "reference", card=False)
    assert len(wanted) > 3
    monkeypatch.setattr(exchange, "RUN_BYTES", 20_000)
    monkeypatch.setattr(reduce, "lots", lambda s, p, n: lots(s, p, n, 15_000))
    for name, most in (("alone", 1), ("packed", 32)):
        monkeypatch.setattr(phases, "PACK_ITEMS", most)
        store = Store(tmp_path / name)
        with Runner(0) as runner:
            plan = make_plan(load_recipe(recipe))
            engine = Engine(plan, store, runner, Silent(), Settings(split_bytes=20_000, partitions=2))
            engine.run()
            write_manifest(engine)
        assert results(tmp_path / name, card=False) == wanted
        assert not list(store.root.glob("steps/*/*/pieces*")), "an index goes with its use"
    parts = len(list((tmp_path / "alone").glob("steps/unique/*/map0*")))
    assert parts > 3 * len(list((tmp_path / "packed").glob("steps/unique/*/map0*"))) > 0
