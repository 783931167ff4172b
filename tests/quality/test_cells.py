"""Cells of directions: their twin, what they find against all pairs, and that nothing bears on them but the vector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.quality.cells import ROTATIONS, cells, cosines

M64 = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & M64
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & M64
    return x ^ (x >> 33)


def hadamard(size: int) -> np.ndarray:
    whole = np.array([[1.0]])
    while len(whole) < size:
        whole = np.block([[whole, whole], [whole, -whole]])
    return whole


def twin(vector: np.ndarray, tables: int, hashes: int, seed: int) -> list[int] | None:
    """Keys with matrices in place of transforms; None where rounding could decide which axis is nearest."""
    dim = 1 << (len(vector) - 1).bit_length()
    unit = np.zeros(dim)
    unit[: len(vector)] = vector / np.linalg.norm(vector)
    keys, drawn = [], 0
    for table in range(tables):
        key = table + 1
        for _ in range(hashes):
            x = unit.copy()
            for _ in range(ROTATIONS):
                flips = [1 - 2 * (mix((seed + (drawn + i + 1) * STEP) & M64) >> 63) for i in range(dim)]
                drawn += dim
                x = hadamard(dim) @ (x * flips)
            order = np.argsort(-np.abs(x), kind="stable")
            if dim > 1 and abs(x[order[0]]) - abs(x[order[1]]) < 1e-4 * abs(x[order[0]]):
                return None
            key = mix((key * STEP + 2 * int(order[0]) + int(x[order[0]] < 0)) & M64)
        keys.append(key)
    return keys


@given(st.integers(1, 20), st.integers(1, 3), st.integers(1, 3), st.integers(0, M64))
@settings(max_examples=60)
def test_cells_are_their_twin(dim, tables, hashes, seed):
    """The axis that is nearest after each rotation, whatever the vector's length and size."""
    draw = np.random.default_rng(seed % 1000)
    vectors = (draw.standard_normal((5, dim)) * 10.0 ** draw.integers(-20, 20, (5, 1))).astype(np.float32)
    keys, there = cells(vectors, tables, hashes, seed)
    assert there.all()
    for row, vector in zip(keys.tolist(), vectors.astype(np.float64), strict=True):
        assert twin(vector, tables, hashes, seed) in (None, row)


def test_a_vector_of_zeros_has_no_direction():
    """It lies in no cell, and is like nothing, itself included."""
    vectors = np.zeros((2, 7), np.float32)
    vectors[1, 3] = 1e-30
    assert cells(vectors, 2, 1, 0)[1].tolist() == [False, True]
    assert cosines(vectors, np.arange(2), np.arange(2)).tolist() == [0.0, 1.0]
    assert cells(np.zeros((0, 5), np.float32), 2, 1, 0)[0].shape == (0, 2)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_cosines(seed):
    """As numpy has them, never beyond 1."""
    draw = np.random.default_rng(seed)
    a, b = draw.standard_normal((2, 9, 13)).astype(np.float32)
    a[0], b[0] = 3, 7
    x, y = a.astype(np.float64), b.astype(np.float64)
    want = (x * y).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    found = cosines(np.concatenate([b, a]), np.arange(9, 18), np.arange(9))
    np.testing.assert_allclose(found, np.clip(want, -1, 1), atol=1e-12)
    assert found[0] == 1.0


@pytest.mark.parametrize("scale", [1.0, 1e-38, 1e38])
def test_a_vector_is_like_itself(scale):
    """The cosine of a vector with itself, and with itself doubled, is 1 to the last bit, however long it is."""
    draw = np.random.default_rng(3)
    for numbers in (1, 2, 7, 64):
        vectors = (draw.uniform(-1, 1, (50, numbers)) * scale).astype(np.float32)
        both = np.concatenate([vectors, 2 * vectors, -vectors])
        first = np.arange(50)
        assert set(cosines(both, first, first + 50)) == {1.0} == set(cosines(both, first, first))
        assert set(cosines(both, first, first + 100)) == {-1.0}


@pytest.mark.parametrize(("cosine", "least"), [(0.98, 0.99), (0.95, 0.95), (0.9, 0.75)])
def test_pairs_of_a_known_angle_are_found(cosine, least):
    """Of 400 planted pairs so many share a cell of 14 tables of 2; of as many unlike ones hardly any."""
    draw = np.random.default_rng(5)
    first, other = draw.standard_normal((2, 400, 256))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    other -= (other * first).sum(axis=1, keepdims=True) * first
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    second = cosine * first + np.sqrt(1 - cosine**2) * other
    both = np.concatenate([first, second]).astype(np.float32)
    np.testing.assert_allclose(cosines(both, np.arange(400), np.arange(400, 800)), cosine, atol=1e-6)
    one, _ = cells(first.astype(np.float32), 14, 2, 0)
    two, _ = cells(second.astype(np.float32), 14, 2, 0)
    assert (one == two).any(axis=1).mean() >= least
    assert (one == np.roll(two, 1, axis=0)).any(axis=1).mean() < 0.02
