"""dedup.semantic against planted directions: what is alike goes, nothing else, however rows are cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from exchange import documents, dropped, verdicts
from exchange import ids as ids_of
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import in_memory, joined

from curate.errors import InputError
from curate.quality.cells import cells
from curate.stages.dedup_semantic import DedupSemantic

DIM = 64


def column(vectors: np.ndarray, missing: set[int] | None = None) -> pa.Array:
    """Vectors as `embed.llm` gives them."""
    rows = [None if i in (missing or set()) else row for i, row in enumerate(vectors.tolist())]
    return pa.array(rows, pa.list_(pa.float32()))


def docs(vectors: np.ndarray, missing: set[int] | None = None, source: list[str] | None = None) -> pa.Table:
    """Documents of different texts with these vectors."""
    return documents([f"text {i}" for i in range(len(vectors))], {"v": column(vectors, missing)}, source)


def turned(draw: np.random.Generator, base: np.ndarray, cosine: float) -> np.ndarray:
    """A vector at a known angle to another, of another length."""
    unit = base / np.linalg.norm(base)
    other = draw.standard_normal(len(base))
    other -= (other @ unit) * unit
    return draw.uniform(0.1, 10) * (cosine * unit + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other))


def cosine_of(vectors: np.ndarray) -> np.ndarray:
    unit = vectors.astype(np.float32).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit @ unit.T


def test_planted_copies_are_found_and_nothing_else():
    """Of 400 copies at cosines above the threshold 99 % go, all for one that is verified; of 400 below it none does."""
    draw = np.random.default_rng(1)
    bases = draw.standard_normal((400, DIM))
    near = [turned(draw, base, draw.uniform(0.96, 1)) for base in bases]
    far = [turned(draw, base, draw.uniform(0.85, 0.94)) for base in bases]
    vectors = np.array([*bases, *near, *far])
    alike = cosine_of(vectors)
    gone = {}
    rows = docs(vectors)
    where = {i: n for n, i in enumerate(rows.column("id").to_pylist())}
    for verdict in verdicts(DedupSemantic(column="v"), rows).to_pylist():
        detail = json.loads(verdict["detail"])
        kept = where[bytes.fromhex(detail["kept"])]
        gone[where[verdict["id"]]] = kept
        assert abs(alike[where[verdict["id"]], kept] - detail["similarity"]) < 1e-4
        assert detail["similarity"] >= 0.95
    assert not gone.keys() & set(gone.values()), "who is kept instead stays"
    found = sum(any({i, 400 + i} == {a, b} for a, b in gone.items()) for i in range(400))
    assert found >= 0.99 * 400
    assert not any(a >= 800 for a in gone), "no document below the threshold goes"


def twin(stage: DedupSemantic, rows: pa.Table, vectors: np.ndarray) -> dict[int, int]:
    """Who goes and for whom: all pairs that share a cell, in keep order."""
    keys, there = cells(vectors.astype(np.float32), stage.cells, stage.hashes, 0)
    alike = cosine_of(np.where(there[:, None], vectors, 1))
    hashes, ids = (rows.column(name).to_pylist() for name in ("content_hash", "id"))
    order = sorted(range(len(vectors)), key=lambda i: (hashes[i], ids[i]))
    gone: dict[int, int] = {}
    for place, j in enumerate(order):
        found = []
        for i in order[:place]:
            shared = [t for t in range(stage.cells) if keys[i, t] == keys[j, t] and there[i] and there[j]]
            first = [t for t in shared if sum(keys[k, t] == keys[j, t] for k in order[: order.index(i)]) < stage.bound]
            if first and i not in gone and alike[i, j] >= stage.similarity:
                found.append((-alike[i, j].round(9), ids[i], i))
        if found:
            gone[j] = min(found)[2]
    return gone


@pytest.mark.parametrize("bound", [64, 2])
@given(st.lists(st.integers(0, 3), min_size=0, max_size=20), st.integers(0, 99), st.integers(1, 3))
@settings(max_examples=10)
def test_by_brute_force(bound, clusters, seed, partitions):
    """The same verdicts as all pairs compared one by one, from any cut of the documents."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((4, DIM))
    vectors = np.array([turned(draw, centres[c], draw.uniform(0.93, 1)) for c in clusters]).reshape(-1, DIM)
    rows = docs(vectors)
    stage = DedupSemantic(column="v", similarity=0.9, bound=bound, cells=6, hashes=1)
    where = {i: n for n, i in enumerate(rows.column("id").to_pylist())}
    told = verdicts(stage, rows, partitions=partitions, parts=2, batch_rows=5, seed=seed).to_pylist()
    found = {where[v["id"]]: where[bytes.fromhex(json.loads(v["detail"])["kept"])] for v in told}
    assert found == twin(stage, rows, vectors)


def test_no_direction_no_duplicate():
    """Rows without a vector stay, and so do vectors of zeros; copies of any length are the same direction."""
    vectors = np.ones((6, 5))
    vectors[0:2] = 0
    vectors[5] *= 1e-3
    rows = docs(vectors, missing={2})
    stage = DedupSemantic(column="v")
    assert stage.reads() == {"v"}
    gone = dropped(stage, rows)
    assert len(gone) == 2
    assert gone < {3, 4, 5}
    assert dropped(stage, docs(np.ones((3, 5)), missing={0, 1, 2})) == set()
    assert dropped(stage, docs(np.zeros((0, 5)))) == set()


def test_columns_that_are_none_are_refused():
    """Numbers instead of vectors, and vectors of different models."""
    with pytest.raises(InputError, match="no vectors"):
        dropped(DedupSemantic(column="v"), documents(["a"], {"v": pa.array([1.0])}))
    mixed = pa.array([[1.0, 1.0], [1.0, 1.0, 1.0]], pa.list_(pa.float32()))
    with pytest.raises(InputError, match="vectors of 2, 3 numbers"):
        dropped(DedupSemantic(column="v"), documents(["a", "b"], {"v": mixed}))


@given(st.lists(st.lists(st.integers(0, 3), max_size=8), min_size=2, max_size=4), st.integers(0, 99))
@settings(max_examples=8)
def test_snapshots_in_a_row_are_all_at_once(tmp_path_factory, clusters, seed):
    """Each against the indexes of those before it: what all of them together drop, the earlier ones preferred."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((4, DIM))
    snapshots = []
    for n, some in enumerate(clusters):
        vectors = np.array([turned(draw, centres[c], draw.uniform(0.95, 1)) for c in some]).reshape(-1, DIM)
        rows = docs(vectors, source=[f"s{n}"] * len(some))
        snapshots.append(rows.set_column(0, "id", ids_of(n, len(some))))

    def make(**more: object) -> DedupSemantic:
        return DedupSemantic(column="v", similarity=0.93, cells=6, hashes=1, bound=3, **more)

    each, every = in_memory(tmp_path_factory.mktemp("index"), make, snapshots, batch_rows=3, seed=seed, partitions=2)
    assert joined(each) == every


def test_an_index_of_other_vectors_is_refused(tmp_path: Path) -> None:
    """Vectors of another length would be like nothing in it: that is an error, and no silence."""
    left = []
    for dim in (DIM, DIM // 2):
        rows = docs(np.random.default_rng(dim).standard_normal((5, dim)), source=["s"] * 5)
        left.append(rows.set_column(0, "id", ids_of(dim, 5)))
    with pytest.raises(InputError, match="vectors of 32 numbers, and those of the index have 64"):
        in_memory(tmp_path, lambda **more: DedupSemantic(column="v", **more), left)
