"""Groups: the components of any graph, under the smallest name, in rounds or at once, whatever lies in one table."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from exchange import CONTEXT, documents, results
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.base import PART, ROW, Context, Global, Phase, Read
from curate.stages.groups import DIGITS, Groups, edges, joints_of, names_of, shown
from curate.text.batch import Batch


class Graph(Global):
    """Edges that are given, between documents and joints by their numbers; documents come first."""

    reasons: ClassVar[Mapping[str, str]] = {}
    links: list[tuple[int, int]]
    names: list[int]
    few: int = 0

    def phases(self) -> tuple[Phase, ...]:
        """Just those."""
        return Groups((Read(self._map),), self.few).phases()

    def _map(self, docs: Batch, ctx: Context) -> pa.Table:
        one, two = (np.array([self.names[e[i]] for e in self.links], np.uint64) for i in (0, 1))
        return edges(one, two)


def components(n: int, links: list[tuple[int, int]]) -> dict[int, int]:
    """The smallest node that each one hangs together with, by walking."""
    near: dict[int, set[int]] = {i: {i} for i in range(n)}
    for a, b in links:
        near[a].add(b)
        near[b].add(a)
    found: dict[int, int] = {}
    for start in range(n):
        if start not in found:
            walk, here = [start], {start}
            while walk:
                for other in near[walk.pop()] - here:
                    here.add(other)
                    walk.append(other)
            found |= dict.fromkeys(here, min(here))
    return found


def check(n: int, links: list[tuple[int, int]], few: int, partitions: int, seed: int = 0) -> None:
    """What phase ``names`` gives, held against walks. Names are numbers in a random order, as hashes are."""
    rng = random.Random(seed)
    names = sorted(rng.sample(range(1 << 60), n))
    stage = Graph(links=links, names=names, few=few)
    docs = (
        documents(["x"]).append_column(PART, pa.array([0], pa.uint32())).append_column(ROW, pa.array([0], pa.uint32()))
    )
    found = results(stage, [Batch(docs.to_batches()[0])], partitions, rng, batch_rows=5, ctx=CONTEXT)["names"]
    got: dict[int, int] = {}
    for row in found.to_pylist():
        assert got.setdefault(row["other"], row["label"]) == row["label"]
    linked = {i for a, b in links if a != b for i in (a, b)}
    assert got == {names[i]: names[top] for i, top in components(n, links).items() if i in linked}


@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=24),
    st.sampled_from([0, 7, 1000]),
    st.integers(1, 3),
    st.integers(0, 99),
)
@settings(max_examples=25)
def test_any_graph(links: list[tuple[int, int]], few: int, partitions: int, seed: int) -> None:
    """In rounds to the end, cut short anywhere, or at once; with loops and edges that are said twice."""
    check(16, links, few, partitions, seed)


@pytest.mark.parametrize("few", [0, 60])
def test_chains_stars_and_cliques(few: int) -> None:
    """A chain whose names are in random order takes some rounds, not hundreds; so does a star of stars."""
    order = list(range(200))
    random.Random(3).shuffle(order)
    check(200, list(itertools.pairwise(order)), few, 2)
    check(160, [(n // 12 + 140, n) for n in range(140)] + [(159, n) for n in range(140, 152)], few, 2)
    check(15, list(itertools.combinations(range(15), 2)), few, 3)


def test_names() -> None:
    """A document's name is shown as the first digits of its id; a joint is no document's name, and knows its kind."""
    docs = documents(["a", "b", "c"])
    ids = docs.column("id").combine_chunks()
    assert shown(names_of(ids)).to_pylist() == [i.hex()[:DIGITS] for i in ids.to_pylist()]
    values: Any = pa.array(["x", "y"])
    joints = [joints_of(kind, values) for kind in ("site", "book")]
    assert len(np.unique(np.concatenate(joints))) == 4
    assert min(j.min() for j in joints) > names_of(ids).max()
