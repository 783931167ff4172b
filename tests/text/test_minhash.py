"""Signatures against a slow twin, their error against theory, shingle sets and bands against brute force."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import sketch_twins
import twins
from corpus import code, prose
from hypothesis import given, settings
from hypothesis import strategies as st
from shingle_sets import grams_of, pairs_at
from test_kernels import KERNELS, sliced

from curate.text.arrow import buffers
from curate.text.banding import banding, collision
from curate.text.batch import Batch
from curate.text.minhash import MOST_BINS, estimate, signatures
from curate.text.ngrams import characters, ngrams, tokens
from curate.text.normal import folded
from curate.text.shingles import jaccard, shingles
from curate.text.words import words

HASHES = st.integers(0, twins.M64)
SHAPES = st.sampled_from([(14, 8), (1, 1), (1, 7), (9, 1), (3, 5), (20, 6)])


@settings(max_examples=25)
@given(twins.ROWS, SHAPES, HASHES, st.integers(1, 6), st.sampled_from([8, 4, 2, 1]))
def test_signatures(rows, shape, seed, n, bits):
    """Bands and sketch of each row, and the flag of rows that are too short for a shingle."""
    grams = ngrams(words(*buffers(sliced(rows)), "folded"), n)
    got = signatures(grams, seed, *shape, bits)
    none = [0] * shape[0], [0] * (shape[0] * shape[1])
    for i, hashes in enumerate(twins.as_lists(grams.rows, grams.hashes)):
        want = sketch_twins.signature(set(hashes), seed, *shape, bits)
        assert got.short[i] == (want is None)
        assert (got.bands[i].tolist(), got.sketch[i].tolist()) == (want or none)


@KERNELS
@given(st.lists(st.lists(HASHES, min_size=1, max_size=40), min_size=1, max_size=4), SHAPES, st.randoms())
def test_signatures_are_of_sets(rows, shape, random):
    """Order and repetitions change nothing, also where there are so many that they are put out of the way."""
    again = []
    for row in rows:
        more = row + [random.choice(row) for _ in range(random.choice([0, 30, 2500]))]
        random.shuffle(more)
        again.append(np.array(more, np.uint64))
    first = signatures(grams_of([np.array(row, np.uint64) for row in rows]), 5, *shape)
    second = signatures(grams_of(again), 5, *shape)
    assert np.array_equal(first.bands, second.bands)
    assert np.array_equal(first.sketch, second.sketch)


def test_bands_and_rows_have_limits():
    """Neither none nor too many minima."""
    grams = grams_of([np.arange(9, dtype=np.uint64)])
    assert signatures(grams, 0, 1, MOST_BINS).sketch.shape == (1, MOST_BINS)
    for bands, rows in ((0, 8), (14, 0), (2, MOST_BINS)):
        with pytest.raises(ValueError, match=f"{bands} bands of {rows} rows: a signature has 1 to {MOST_BINS} minima"):
            signatures(grams, 0, bands, rows)
    for bits in (0, 3, 16):
        with pytest.raises(ValueError, match=f"{bits} bits of a minimum"):
            signatures(grams, bits=bits)
        with pytest.raises(ValueError, match=f"{bits} bits of a minimum"):
            estimate(np.zeros((1, 4), np.uint8), np.zeros((1, 4), np.uint8), bits)


@pytest.mark.parametrize("bits", [8, 2])
@pytest.mark.parametrize("union", [12, 60, 500, 6000])
@pytest.mark.parametrize("similarity", [0.3, 0.6, 0.8, 0.95])
def test_estimate_is_unbiased(similarity, union, bits):
    """Estimates average to the true Jaccard and scatter no more than independent permutations do, at any length."""
    count, bins = 400, 112 * 8 // bits
    grams, true = pairs_at(similarity, [union] * count, np.random.default_rng(1))
    found = signatures(grams, 11, bits=bits)
    errors = estimate(found.sketch[0::2], found.sketch[1::2], bits) - true
    chance = 0.5**bits
    agreed = true[0] + (1 - true[0]) * chance
    law = (agreed * (1 - agreed) / bins) ** 0.5 / (1 - chance)
    assert abs(errors.mean()) < 4 * law / count**0.5
    # The standard deviation of 400 draws is itself good to 3.5 %: three times that.
    assert errors.std() < 1.11 * law
    assert errors.std() > (0.85 if union > 1000 else 0.4) * law


@pytest.mark.parametrize(("shortest", "longest"), [(112, 5000), (20, 111)])
def test_recall_follows_theory(shortest, longest):
    """Of pairs at Jaccard s the share 1 - (1 - s^8)^14 has a band in common, for long documents and for short ones."""
    rng = np.random.default_rng(2)
    for level in (0.7, 0.75, 0.8, 0.85):
        lengths = np.exp(rng.uniform(np.log(shortest), np.log(longest), 700)).astype(int)
        unions = np.rint(2 * lengths / (1 + level)).astype(int).tolist()
        grams, true = pairs_at(level, unions, rng)
        want = np.array([collision(s, 14, 8) for s in true]).mean()
        found = []
        for seed in range(3):
            bands = signatures(grams, seed).bands
            found.append((bands[0::2] == bands[1::2]).any(axis=1))
        error = (want * (1 - want) / 2100) ** 0.5
        assert abs(np.mean(found) - want) < 0.02 + 3 * error, (level, np.mean(found), want)


@KERNELS
@given(st.lists(st.lists(st.one_of(HASHES, st.integers(0, 9), st.just(twins.M64)), max_size=60), max_size=5))
def test_shingles_are_sorted_sets(rows):
    """Whatever the hashes: small, large, equal, the largest there is."""
    got = shingles(grams_of([np.array(row, np.uint64) for row in rows]))
    assert twins.as_lists(got.rows, got.hashes) == [sorted(set(row)) for row in rows]


def test_shingles_of_long_rows():
    """Thousands of hashes, uniform ones and such as all belong at the table's end."""
    rng = np.random.default_rng(3)
    many = rng.integers(0, 1 << 64, 30_000, dtype=np.uint64)
    close = np.arange(200_000, dtype=np.uint64)[::-1] * np.uint64(3)
    rows = [many, np.repeat(many[:50], 400), many | np.uint64(0xFFF << 52), close, np.append(close, many), ~close]
    got = shingles(grams_of(rows))
    for i, row in enumerate(rows):
        assert np.array_equal(got.hashes[got.rows[i] : got.rows[i + 1]], np.unique(row))


@KERNELS
@given(st.lists(st.sets(st.integers(0, 12), max_size=12), min_size=1, max_size=6), st.data())
def test_jaccard(rows, data):
    """The quotient of two sets' sizes, also of sets that lie elsewhere; 0 where both are empty."""
    sets = shingles(grams_of([np.array(sorted(row), np.uint64) for row in rows]))
    others = shingles(grams_of([np.array(sorted(row), np.uint64) for row in rows[1:]]))
    number = st.integers(0, len(rows) - 1)
    pairs = data.draw(st.lists(st.tuples(number, number), max_size=10))
    first, second = (np.array([p[k] for p in pairs], np.int64) for k in (0, 1))
    want = [len(rows[a] & rows[b]) / max(len(rows[a] | rows[b]), 1) for a, b in pairs]
    assert jaccard(sets, first, second).tolist() == want
    some = second > 0
    assert jaccard(sets, first[some], second[some] - 1, others).tolist() == np.array(want)[some].tolist()


@KERNELS
@given(twins.ROWS, st.integers(1, 7))
def test_character_ngrams(rows, n):
    """Equal where the folded texts' characters are, and nowhere else."""
    array = sliced(rows)
    text = [bytes(row).decode("utf-8", "surrogateescape") for row in folded(array).cast(pa.large_binary()).to_pylist()]
    units = characters(array)
    assert np.diff(units.rows).tolist() == [len(row) for row in text]
    grams = ngrams(units, n)
    want = [row[i : i + n] for row in text for i in range(len(row) - n + 1)]
    assert len(set(zip(want, grams.hashes.tolist(), strict=True))) == len(set(want)) == len(set(grams.hashes.tolist()))


def test_no_two_shingles_of_a_corpus_meet():
    """Different 5-grams of words of the standard library's texts have different hashes: all 64 bits count."""
    texts = [text.lower() for text in [*prose(2000), *code(150)]]
    view = words(*buffers(pa.array(texts, pa.large_string())), "folded")
    found: dict[int, tuple[bytes, ...]] = {}
    grams = ngrams(view, 5)
    for i, text in enumerate(texts):
        raw = text.encode()
        bounds = zip(
            view.starts[view.rows[i] : view.rows[i + 1]], view.stops[view.rows[i] : view.rows[i + 1]], strict=True
        )
        own = [raw[a:b] for a, b in bounds]
        for k, value in enumerate(grams.hashes[grams.rows[i] : grams.rows[i + 1]].tolist()):
            gram = tuple(own[k : k + 5])
            assert found.setdefault(value, gram) == gram
    assert len(found) > 100_000


def test_characters_are_folded():
    """Case, composed letters and white space do not count; signs do."""
    same = ["Caf\u00e9  3+4\n", "cafe\u0301 3+4", " CAF\u00c9\t3+4"]
    units = characters(pa.array([*same, "caf\u00e9 3-4"], pa.large_string()))
    rows = twins.as_lists(units.rows, units.hashes)
    assert rows[0] == rows[1] == rows[2] != rows[3]
    assert len(rows[0]) == 8


@KERNELS
@given(st.lists(st.lists(st.integers(0, 70_000), max_size=9), max_size=4), st.integers(1, 4))
def test_token_ngrams(rows, n):
    """n-grams of ids, of any integer type."""
    ends = np.cumsum([0, *(len(row) for row in rows)])
    for kind in (np.int32, np.uint32, np.int64):
        ids = np.array([i for row in rows for i in row], kind)
        grams = ngrams(tokens(ends, ids), n)
        want = [twins.ngrams([twins.mix64(i + 1) for i in row], n) for row in rows]
        assert twins.as_lists(grams.rows, grams.hashes) == want


def test_views_go_with_the_rows_that_are_kept():
    """Units, n-grams and sets of a batch are found once, and those of some of its rows are taken from them."""
    batch = Batch.of(pa.array(["a b c d", None, "b c", "x y z"], pa.large_string()))
    sets = batch.view("sets", lambda: shingles(ngrams(batch.words("folded"), 2)))
    kept = batch.filter(pa.array([True, False, False, True])).view("sets", lambda: pytest.fail("found anew"))
    assert np.diff(kept.rows).tolist() == [3, 2]
    assert kept.hashes.tolist() == sets.hashes[np.r_[0:3, 4:6]].tolist()


def test_banding_is_what_others_have_published():
    """RedPajama-Data v2's table of 128 permutations, data-juicer's 256, text-dedup's 240."""
    assert [banding(s, 128) for s in (0.7, 0.8, 0.9, 1.0)] == [(14, 9), (9, 13), (5, 25), (1, 128)]
    assert (banding(0.7, 256), banding(0.7, 240)) == ((25, 10), (24, 10))


@pytest.mark.parametrize("similarity", [0.31, 0.55, 0.7, 0.86])
@pytest.mark.parametrize(("bins", "missed"), [(24, 0.5), (40, 0.9), (31, 0.2)])
def test_banding_is_datasketchs(similarity, bins, missed):
    """The same bands and rows as by scipy's integration."""
    assert banding(similarity, bins, missed) == sketch_twins.banding(similarity, bins, missed)


def test_banding_asks_for_sense():
    """A weight on what is missed buys recall; values out of range are refused."""
    assert (
        collision(0.7, *banding(0.7, 112, 0.9))
        > collision(0.7, *banding(0.7))
        > collision(0.7, *banding(0.7, 112, 0.1))
    )
    assert collision(0.8, 14, 8) == pytest.approx(0.9236, abs=1e-4)
    for wrong in ((0.0, 112, 0.5), (1.1, 112, 0.5), (0.7, 0, 0.5), (0.7, 112, -0.1)):
        with pytest.raises(ValueError, match="no bands for a similarity of"):
            banding(*wrong)
