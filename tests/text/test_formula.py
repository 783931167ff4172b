"""Formulas and copies of kernels, against Python's whole numbers and NumPy's slices."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numba import njit, types
from numba.core.errors import TypingError

from curate.text.formula import formula
from curate.text.sorted_values import lower_bound
from curate.text.swar import copy

ALL = (1 << 64) - 1


@formula
def mixed(x, y):
    """Every operation, numbers on both sides."""
    return ((x << 3) - y * 0x9E3779B97F4A7C15) ^ (7 | (y >> 1)) ^ ~(5 - (x & 0xFFFF)) + (3 * (2 + x) | y)


@formula(result=types.int64)
def again(x):
    """A formula in a formula."""
    return mixed.python(x, 1) >> 1


@njit
def both(x, y, signed):
    return mixed(x, y), again(x), mixed(signed, 3)


def test_a_formula_counts_modulo_two_to_the_64() -> None:
    """In a kernel it gives what Python gives, of uint64 and of negative numbers."""
    draw = random.Random(1)
    for _ in range(50):
        x, y, signed = draw.getrandbits(64), draw.getrandbits(64), -draw.getrandbits(60)
        want = [mixed.python(a, b) & ALL for a, b in ((x, y), (x, 1), (signed & ALL, 3))]
        found = both(np.uint64(x), np.uint64(y), np.int64(signed))
        assert [int(value) for value in found] == [want[0], want[1] >> 1, want[2]]


@njit
def copied(out, data):
    copy(out, 1, data, 2, 3)


def test_copies_are_of_elements() -> None:
    """Of any one dtype; of two, or of a column of a table, there is none."""
    for dtype in (np.uint8, np.float32, np.int64):
        out = np.zeros(5, dtype)
        copied(out, np.arange(9, dtype=dtype))
        assert out.tolist() == [0, 2, 3, 4, 0]
    for data in (np.zeros(9, np.int32), np.zeros((9, 2), np.int64)[:, 0]):
        with pytest.raises(TypingError, match="copy: "):
            copied(np.zeros(5, np.int64), data)


def test_lower_bound_is_numpys() -> None:
    """With equal values, below all, above all, in nothing."""
    values = np.array([1, 3, 3, 3, 9], np.int64)
    for value in range(11):
        assert lower_bound(values, value) == np.searchsorted(values, value)
    assert lower_bound(values[:0], 5) == 0
