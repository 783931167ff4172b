"""Measures of diversity against slow twins, on planted samples, and where there is too little to measure."""

from __future__ import annotations

import random

import diversity_twins as twins
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text import diversity
from curate.text.batch import Batch
from curate.text.key_table import NONE, KeyTable
from curate.text.species import Species
from curate.text.wording import packed

ROWS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "dd", "Ünï", "7"]), max_size=9), max_size=7)


def batch(texts: list[str]) -> Batch:
    return Batch.of(pa.array(texts, pa.large_string()))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 4), st.integers(1, 12))
def test_measures(rows, n, count):
    """Each of them, of texts of few words, empty ones too."""
    docs = batch([" ".join(row) for row in rows])
    rows = [[word.lower() for word in row] for row in rows]
    assert diversity.distinct(docs, n, count) == twins.distinct(rows, n, count)
    assert diversity.self_repetition(docs, n) == twins.self_repetition(rows, n)
    assert diversity.templates(docs) == twins.templates(rows)
    assert diversity.self_bleu(docs, count) == pytest.approx(twins.self_bleu(rows, count))
    assert diversity.vendi(docs) == pytest.approx(twins.vendi(rows))


def test_planted():
    """Copies, strangers, and a half of each."""
    texts = [" ".join(f"w{i}x{j}" for j in range(20)) for i in range(60)]
    strangers, copies, half = batch(texts), batch(texts[:1] * 60), batch(texts[:30] * 2)
    assert diversity.vendi(strangers) == pytest.approx(60)
    assert diversity.vendi(copies) == pytest.approx(1)
    assert diversity.vendi(half) == pytest.approx(30)
    assert [diversity.self_repetition(docs, 8) for docs in (strangers, copies, half)] == [0, 1, 1]
    assert [diversity.self_bleu(docs, 256) for docs in (strangers, copies, half)] == pytest.approx([0, 1, 1])
    assert [diversity.distinct(docs, 2, 1000) for docs in (strangers, copies)] == [1, 19 / 950]
    assert diversity.templates(copies) == (1, 1, "w0x0 w0x1 w0x2 w0x3 w0x4")
    assert diversity.templates(half)[:2] == (2 / 60, 1)


@given(st.lists(st.text("ab\n", max_size=30), max_size=9), st.integers(1, 40))
@settings(max_examples=30)
def test_slices(texts, size):
    """Whole slices of the lines, each packed alone."""
    whole = "".join(f"{text}\n" for text in texts).encode()
    slices = [whole[i : i + size] for i in range(0, len(whole), size) if i + size <= len(whole)]
    tool = pa.Codec("zstd", compression_level=3)
    small = sum(len(tool.compress(each)) for each in slices)
    assert packed(pa.array(texts, pa.large_string()), size) == (size * len(slices), small)


def test_unique_functions():
    """Another layout and other names are no other function; one of too few symbols is none."""
    one = "def add_up(items):\n    total = 0\n    for item in items:\n        total += item\n    return total\n"
    two = "def f(xs):\n  # adds\n  t = 0\n  for x in xs: t += x\n  return t\n"
    other = "def largest(items):\n    return max(items, key=len)\n"
    assert diversity.unique_functions(batch([one, two + other, "no code", "def g():\n    pass\n"]), 100) == (3, 2)
    assert diversity.unique_functions(batch([one, two + other]), 2) == (2, 1)
    assert diversity.unique_functions(batch([]), 2) == (0, 0)


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=40), max_size=8))
def test_key_table(rounds):
    """Keys have the lowest number that they were put with."""
    table, known = KeyTable(), {}
    for number, keys in enumerate(rounds):
        asked = np.array(keys, np.uint64)
        # A place knows half of a key: what is alike in both halves of its hash is one key.
        assert table.lowest(asked).tolist() == [known.get(key, NONE) for key in keys]
        table.put(asked, np.full(len(keys), number, np.uint32))
        for key in keys:
            known.setdefault(key, number)


def test_key_table_grows():
    """A hundred thousand keys, found again in tables that are nearly full; strangers are not found."""
    draw = np.random.default_rng(1)
    keys = draw.integers(0, 1 << 64, 100_000, dtype=np.uint64)
    table = KeyTable()
    for at in range(0, len(keys), 1000):
        table.put(keys[at : at + 1000], np.arange(at, at + 1000, dtype=np.uint32))
    assert np.array_equal(table.lowest(keys), np.arange(len(keys)))
    assert (table.lowest(keys + np.uint64(1)) == NONE).all()
    assert table.nbytes < 25 * len(keys)


def test_species_don_t_depend_on_calls():
    """The same texts in one call, and one by one."""
    draw = random.Random(2)
    keys = np.array([[draw.randrange(300) * 4 + band for band in range(4)] for _ in range(400)], np.uint64)
    keys *= np.uint64(0x9E3779B97F4A7C15)
    one, many = Species(), Species()
    firsts = [int(many.add(keys[i : i + 1])[0]) for i in range(len(keys))]
    assert one.add(keys).tolist() == firsts
    assert (one.texts, one.distinct, one.once) == (many.texts, many.distinct, many.once)
    assert one.distinct == firsts.count(-1)
    assert one.once == sum(firsts[i] < 0 and i not in firsts for i in range(len(firsts)))
