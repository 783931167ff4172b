"""Edges settled in rounds: the same verdicts as one pass in keep order, for any graph, however it is cut."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from exchange import documents, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.base import KEY, Context, Global, Phase, Read
from curate.stages.edges import EARLIER, EDGES, LATER, Settling, addresses
from curate.text.batch import Batch

Edges = dict[tuple[int, int], float]


class Graph(Global):
    """Edges that are given, from documents whose texts are numbers: their place in keep order."""

    reasons: ClassVar[Mapping[str, str]] = {"like": "another is like it"}
    edges: list[tuple[int, int, float]]
    few: int = 0

    def phases(self) -> tuple[Phase, ...]:
        """All in one place first: the test is about what comes then."""
        found = Phase("edges", (Read(self._number),), self._edges, ("number",))
        return (found, *Settling("edges", "like", self.few).phases())

    def _number(self, docs: Batch, ctx: Context) -> pa.Table:
        number = pa.array([int(t) for t in docs.text.to_pylist()])
        columns = {"number": number, "address": pa.array(addresses(docs)), "id": docs.column("id")}
        return pa.table({KEY: pa.array(np.zeros(len(docs), np.uint64)), **columns})

    def _edges(self, rows: pa.Table, span, ctx: Context) -> pa.Table:
        address, ids = rows.column("address").to_numpy(), rows.column("id").combine_chunks()
        a, b = (np.array([e[i] for e in self.edges], np.int64) for i in (0, 1))
        columns = {
            EARLIER: address[a],
            LATER: address[b],
            "similarity": pa.array([s for *_, s in self.edges], pa.float64()),
        }
        known = pa.array(np.zeros(len(a), np.bool_))
        return pa.table({**columns, "kept": ids.take(pa.array(a)), "known": known}, EDGES)


def twin(n: int, edges: Edges, ids: list[bytes]) -> dict[int, tuple[str, float]]:
    """Number of each document that goes: who is kept instead, how similar."""
    before: dict[int, list[tuple[int, float]]] = {}
    for (a, b), s in edges.items():
        before.setdefault(b, []).append((a, s))
    gone: dict[int, tuple[str, float]] = {}
    for j in range(n):
        if found := [(-s, ids[i]) for i, s in before.get(j, []) if i not in gone]:
            s, i = min(found)
            gone[j] = (i.hex(), -s)
    return gone


def check(n: int, edges: Edges, few: int, **how: int) -> dict[int, tuple[str, float]]:
    """Verdicts of the rounds, held against the twin's."""
    docs = documents([str(i) for i in range(n)])
    ids = docs.column("id").to_pylist()
    order = list(range(n))
    random.Random(n).shuffle(order)
    stage = Graph(edges=[(a, b, s) for (a, b), s in edges.items()], few=few)
    got = {}
    for row in verdicts(stage, docs.take(order), **how).to_pylist():
        detail = json.loads(row["detail"])
        got[ids.index(row["id"])] = (detail["kept"], detail["similarity"])
    assert got == twin(n, edges, ids)
    return got


GRAPHS = st.dictionaries(
    st.tuples(st.integers(0, 13), st.integers(0, 13)).filter(lambda e: e[0] < e[1]),
    st.sampled_from([0.7, 0.75, 0.8, 1.0]),
    max_size=40,
)


@given(GRAPHS, st.sampled_from([0, 5, 1000]), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=60)
def test_any_graph(edges, few, partitions, parts):
    """Rounds to the end, cut short, or none at all; keepers and similarities too."""
    check(14, edges, few, partitions=partitions, parts=parts, batch_rows=3)


@pytest.mark.parametrize("few", [0, 40])
def test_chains_stars_and_cliques(few):
    """What takes the most rounds, what meets in one document, and where all are like all."""
    chain = {(i, i + 1): 0.8 for i in range(120)}
    assert len(check(121, chain, few, partitions=3)) == 60
    out = {(0, i): 0.9 for i in range(1, 200)}
    assert len(check(200, out, few, partitions=3)) == 199
    into = {(i, 199): round(0.7 + i / 1000, 3) for i in range(199)}
    assert list(check(200, into, few, partitions=3)) == [199]
    clique = {(i, j): 1.0 for j in range(30) for i in range(j)}
    assert len(check(30, clique, few, partitions=3)) == 29
    # Each document of a ladder waits for the two before it.
    ladder = {(i, j): 0.8 for j in range(100) for i in (j - 2, j - 1) if i >= 0}
    assert len(check(100, ladder, few, partitions=2)) == 66
