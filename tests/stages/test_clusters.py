"""mode: components, in rounds: the components of any graph, who stays of each, and how pure they are."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from exchange import CONTEXT, documents, results, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.base import KEY, PART, ROW, Context, Phase, Read
from curate.stages.clusters import Clusters, clusters_report
from curate.stages.dedup_near import DedupNear
from curate.stages.edges import EARLIER, EDGES, LATER, addresses
from curate.stages.keep_order import KeepsFirst
from curate.text.batch import Batch


class Graph(KeepsFirst):
    """Edges that are given, between documents by their place in a column."""

    reasons: ClassVar[Mapping[str, str]] = {"like": "it hangs together with another"}
    edges: list[tuple[int, int]]
    few: int = 0
    similarity: float = 0.5

    def phases(self) -> tuple[Phase, ...]:
        """All in one place first: the test is about what comes then."""
        found = Phase("edges", (Read(self._number),), self._edges, ("n.n",))
        verifier = DedupNear(n=1, similarity=self.similarity).verifier()
        return (found, *Clusters(self, verifier, "edges", "like", self.few).phases())

    def _number(self, docs: Batch, ctx: Context) -> pa.Table:
        columns = {"n.n": docs.column("n.n"), "address": pa.array(addresses(docs)), "id": docs.column("id")}
        return pa.table({KEY: pa.array(np.zeros(len(docs), np.uint64)), **columns})

    def _edges(self, rows: pa.Table, span: Any, ctx: Context) -> pa.Table:
        address, ids = rows.column("address").to_numpy(), rows.column("id").combine_chunks()
        a, b = (np.array([e[i] for e in self.edges], np.int64) for i in (0, 1))
        columns = {EARLIER: address[a], LATER: address[b], "similarity": np.ones(len(a))}
        known = pa.array(np.zeros(len(a), np.bool_))
        return pa.table({**columns, "kept": ids.take(pa.array(a)), "known": known}, EDGES)


def components(n: int, edges: list[tuple[int, int]]) -> list[list[int]]:
    """By walking, those of more than one."""
    near: dict[int, set[int]] = {i: set() for i in range(n)}
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    seen: set[int] = set()
    found = []
    for start in range(n):
        if start in seen:
            continue
        walk, here = [start], {start}
        while walk:
            for other in near[walk.pop()] - here:
                here.add(other)
                walk.append(other)
        seen |= here
        if len(here) > 1:
            found.append(sorted(here))
    return found


def check(n: int, edges: list[tuple[int, int]], few: int, **how: int) -> None:
    """Verdicts and the report, held against walks and sets."""
    rng = random.Random(n + len(edges))
    words = [{f"w{rng.randrange(6)}" for _ in range(rng.randrange(1, 7))} for _ in range(n)]
    order = [float(i) for i in range(n)]
    rng.shuffle(order)
    docs = documents([" ".join(sorted(w)) for w in words], {"n.n": pa.array(range(n)), "s.s": pa.array(order)})
    ids = docs.column("id").to_pylist()
    stage = Graph(edges=edges, few=few, keep=["s.s"])
    wanted = {}
    for members in components(n, edges):
        first = max(members, key=lambda i: order[i])
        for i in members:
            if i != first:
                alike = len(words[i] & words[first]) / len(words[i] | words[first])
                wanted[ids[i]] = (ids[first].hex(), round(alike, 4))
    got = {}
    for row in verdicts(stage, docs, **how).to_pylist():
        detail = json.loads(row["detail"])
        got[row["id"]] = (detail["kept"], detail["similarity"])
    assert got == wanted


@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)).filter(lambda e: e[0] < e[1]), max_size=24, unique=True),
    st.sampled_from([0, 12, 1000]),
    st.integers(1, 3),
)
@settings(max_examples=20)
def test_any_graph(edges, few, partitions):
    """In rounds to the end, cut short at either half of a contraction, or at once."""
    check(16, edges, few, partitions=partitions, parts=2, batch_rows=5)


@pytest.mark.parametrize("few", [0, 100])
def test_chains_stars_and_cliques(few):
    """A chain of hundreds in order takes some rounds, not hundreds."""
    chain = [(i, i + 1) for i in range(299)]
    stars = [(0, i) for i in range(1, 100)] + [(i, 199) for i in range(120, 199)]
    clique = list(itertools.combinations(range(20), 2))
    for n, edges in ((300, chain), (200, stars), (20, clique)):
        check(n, edges, few, partitions=2)


def summary(stage: DedupNear | Graph, docs: pa.Table) -> dict[str, Any]:
    """The report of a stage over documents in one part."""
    rows = docs.append_column(PART, pa.array(np.zeros(docs.num_rows), pa.uint32()))
    rows = rows.append_column(ROW, pa.array(np.arange(docs.num_rows), pa.uint32()))
    batches = [Batch(b) for b in rows.combine_chunks().to_batches(max_chunksize=50)]
    found = results(stage, batches, 2, random.Random(1), ctx=CONTEXT)["summary"]
    return clusters_report({"summary": found} if found.num_rows else {})


def test_purity_tells_a_chain_from_copies():
    """Of thirty copies all pairs are alike; of a chain of thirty few are, and most are unlike the one that is kept."""
    rng = random.Random(5)
    copies, chain, step = [], [], [f"c{i}" for i in range(100)]
    for i in range(30):
        copies.append(" ".join([*(f"a{k}" for k in range(100)), f"z{i}"]))
        chain.append(" ".join(step))
        for k in range(5):
            step[(i * 5 + k) % 100] = f"n{rng.randrange(10**6)}"
    stage = DedupNear(n=1, similarity=0.8, bands=40, rows=2, mode="components")
    both = summary(stage, documents([*copies, *chain]))
    assert (both["clusters"], both["documents"]) == (2, 60)
    assert [g["documents"] for g in both["largest"]] == [30, 30]
    purity = sorted(g["purity"] for g in both["largest"])
    assert purity[1] == 1.0
    assert purity[0] < 0.4
    assert purity[0] < both["purity"] < 1
    assert 15 < both["unlike_kept"] < 30
    assert stage.reported() == ("summary",)
    assert summary(stage, documents(["one", "two"])) == {
        "clusters": 0,
        "documents": 0,
        "unlike_kept": 0,
        "purity": None,
        "largest": [],
    }


def test_many_clusters_are_summed():
    """The largest are named, all are counted."""
    texts = [f"x{c} y{c} z{c}" for c in range(60) for _ in range(2 + (c < 25) + 5 * (c < 3))]
    told = summary(DedupNear(n=2, mode="components"), documents(texts))
    assert (told["clusters"], told["documents"]) == (60, len(texts))
    assert [g["documents"] for g in told["largest"]] == [8] * 3 + [3] * 17
    assert told["purity"] == 1.0
