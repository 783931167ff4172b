"""Kernels against their twins, on any bytes, sliced arrays, nulls and empty batches."""

from __future__ import annotations

import random
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import twins
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text import hashing, minhash, normal, unicode
from curate.text.arrow import buffers, fixed, from_fixed
from curate.text.batch import Batch
from curate.text.line_shapes import line_shapes
from curate.text.lines import lines
from curate.text.ngrams import characters, ngrams
from curate.text.shingles import shingles
from curate.text.words import words

KERNELS = settings(max_examples=60)  # the first example compiles


def sliced(rows: list[bytes]) -> pa.Array:
    """The rows as a slice of a larger array, as batches cut from a file are."""
    return twins.strings([b"before\xff", *rows, b"after"])[1 : len(rows) + 1]


def test_buffers_read_nulls_slices_strings_and_chunks():
    """Every text array reads as its rows; nulls as empty ones."""
    text = ["a", None, "", "déjà", "long " * 100]
    for array in (pa.array(text), pa.array(text, pa.large_string()), pa.chunked_array([pa.array(text)])):
        offsets, data = buffers(array[1:])
        got = [bytes(data[offsets[i] : offsets[i + 1]]).decode() for i in range(len(offsets) - 1)]
        assert got == ["", "", "déjà", "long " * 100]
    for empty in (pa.array([], pa.large_string()), pa.array([], pa.string()), pa.chunked_array([], pa.large_string())):
        offsets, data = buffers(empty)
        assert offsets.tolist() == [0]


def test_buffers_are_views_of_arrows_memory():
    """Nothing is copied for a large_string array without nulls."""
    array = pa.array(["abc", "def"], pa.large_string())
    assert buffers(array)[1].ctypes.data == array.buffers()[2].address


@KERNELS
@given(st.lists(st.binary(max_size=100), max_size=20), st.integers(0, 2**64 - 1))
def test_xxh64_is_xxhash(rows, seed):
    """Equal to the xxhash package, for any bytes, length and seed."""
    expected = [xxhash.xxh64_intdigest(row, seed) for row in rows]
    assert hashing.xxh64_rows(sliced(rows), seed).tolist() == expected


def test_hash128_is_two_seeds_and_pairs_do_not_concatenate():
    """Halves are XXH64 under two seeds; ('ab', 'c') is not ('a', 'bc')."""
    row = b"some text"
    first = xxhash.xxh64_intdigest(row, 5).to_bytes(8, "little")
    second = xxhash.xxh64_intdigest(row, 5 ^ 0x9E3779B97F4A7C15).to_bytes(8, "little")
    assert hashing.hash128(pa.array([row]), 5).to_pylist() == [first + second]
    a, b = hashing.hash128_pair(pa.array(["ab", "a"]), pa.array(["c", "bc"])).to_pylist()
    assert a != b
    with pytest.raises(ValueError, match="2 rows and 1 rows"):
        hashing.hash128_pair(pa.array(["ab", "a"]), pa.array(["c"]))


@KERNELS
@given(st.lists(st.binary(min_size=16, max_size=16), max_size=9), st.integers(0, 2**64 - 1))
def test_keyed_hash_and_hex_of_ids(ids, key):
    """Ids hash as their bytes under the key, and print as bytes.hex does, also in slices."""
    array = pa.array([bytes(16), *ids], pa.binary(16))[1:]
    assert hashing.keyed_hash(array, key).tolist() == [xxhash.xxh64_intdigest(i, key) for i in ids]
    assert hashing.hex_ids(array).to_pylist() == [i.hex() for i in ids]
    assert from_fixed(fixed(array)).to_pylist() == ids


@KERNELS
@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cn"))), max_size=6))
def test_content_hash_is_of_nfc_with_lf(texts):
    """Composed or not, CRLF, CR or LF: one hash."""
    canonical = [unicodedata.normalize("NFC", t).replace("\r\n", "\n").replace("\r", "\n") for t in texts]
    assert normal.canonical(pa.array(texts, pa.large_string())).to_pylist() == canonical
    got = hashing.content_hash(pa.array(texts, pa.large_string()))
    assert got.equals(hashing.hash128(pa.array(canonical, pa.large_string())))


def test_content_hash_of_bytes_that_are_no_utf8_does_not_depend_on_neighbours():
    """A row that is no valid UTF-8 has a hash, the same in any batch."""
    bad, good = b"a\xff\r\xcc\x81b", "e\u0301\r\n".encode()
    both = hashing.content_hash(twins.strings([bad, good])).to_pylist()
    assert both == [hashing.content_hash(twins.strings([row]))[0].as_py() for row in (bad, good)]


@KERNELS
@given(twins.ROWS)
def test_row_flags(rows):
    """ASCII, validity and CR of each row, as Python's decoder sees them."""
    for row, flags in zip(rows, normal.row_flags(sliced(rows)).tolist(), strict=True):
        assert bool(flags & normal.NON_ASCII) == (not row.isascii())
        assert bool(flags & normal.CARRIAGE_RETURN) == (b"\r" in row)
        assert bool(flags & normal.INVALID) == (not _valid(row))
        points = [point for point, _, _ in twins.points(row)]
        assert bool(flags & normal.UNSTABLE) == any(point >= 0 and unicode.unstable()[point] for point in points)


def _valid(row: bytes) -> bool:
    try:
        row.decode()
    except UnicodeDecodeError:
        return False
    return True


SPACE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"


@KERNELS
@given(twins.ROWS)
def test_profiles(rows):
    """Prose: runs of white space are one space. Code: line ends and the end are bare. All else is kept."""
    canonical = normal.canonical(sliced(rows))
    plain = [bytes(s) for s in canonical.cast(pa.large_binary()).to_pylist()]
    got = normal.prose_profile(sliced(rows)).cast(pa.large_binary()).to_pylist()
    for row, have in zip(plain, got, strict=True):
        want = re.sub(SPACE, " ", row.decode("utf-8", "surrogateescape")).strip(" ")
        assert have == want.encode("utf-8", "surrogateescape")
    code = normal.code_profile(sliced(rows)).cast(pa.large_binary()).to_pylist()
    assert code == [twins.code_profile(row) for row in plain]


def test_sum128_is_of_a_set_of_rows():
    """Order and parts do not bear on it; values, columns, rows and how often they come do."""
    ids = pa.array([bytes([i] * 16) for i in (1, 2, 3)], pa.binary(16))
    numbers = pa.array([7, 8, 9], pa.uint64())
    lists = pa.array([[1, 2], [], [3]], pa.large_list(pa.uint64()))
    whole = hashing.sum128([ids, numbers, lists])
    back = pa.array([2, 0, 1])
    assert hashing.sum128([ids.take(back), numbers.take(back), lists.take(back)]) == whole
    parts = [hashing.sum128([c.slice(a, n) for c in (ids, numbers, lists)]) for a, n in ((0, 1), (1, 2))]
    assert tuple(sum(p[i] for p in parts) % 2**64 for i in (0, 1)) == whole
    others = [
        [ids.take(back), numbers, lists],
        [ids, numbers, lists.take(back)],
        [ids, numbers],
        [ids, numbers, pa.array([[1], [2], [3]], pa.large_list(pa.uint64()))],
        [ids.take(pa.array([0, 1, 1])), numbers, lists],
        [pa.concat_arrays([c, c]) for c in (ids, numbers, lists)],
    ]
    assert len({whole, (0, 0), *map(hashing.sum128, others)}) == 8
    assert hashing.sum128([ids.slice(0, 0), numbers.slice(0, 0)]) == (0, 0)


def test_profiles_never_fold_signs_or_digits_or_case():
    """What other tools take for equal stays different."""
    for a, b in (("What is 3+4?", "What is 5-70?"), ("x = a[i] + b", "x = a(i) - b"), ("US", "us")):
        for profile in (normal.prose_profile, normal.code_profile):
            assert len(set(profile(pa.array([a, b], pa.large_string())).to_pylist())) == 2


@KERNELS
@given(twins.ROWS, st.integers(1, 7))
def test_ngrams(rows, n):
    """All n-grams in order; none for a row with fewer words."""
    view = words(*buffers(sliced(rows)), "folded")
    grams = ngrams(view, n)
    want = [twins.ngrams(hashes, n) for hashes in twins.as_lists(view.rows, view.hashes)]
    assert twins.as_lists(grams.rows, grams.hashes) == want


def test_every_kernel_takes_an_empty_batch():
    """No rows in, no rows out."""
    nothing = pa.array([], pa.large_string())
    offsets, data = buffers(nothing)
    view = words(offsets, data, "folded")
    assert view.hashes.size == lines(offsets, data).starts.size == ngrams(view, 5).hashes.size == 0
    assert minhash.signatures(ngrams(view, 5)).bands.shape == (0, 14)
    assert shingles(ngrams(characters(nothing), 3)).hashes.size == 0
    assert all(c.size == 0 for c in line_shapes(offsets, data, 30).values())
    assert len(hashing.content_hash(nothing)) == len(normal.folded(nothing)) == len(normal.code_profile(nothing)) == 0


def test_batch_computes_each_view_once():
    """Rules and shingles of one batch share its words; a pickled batch leaves them behind."""
    batch = Batch(pa.record_batch({"text": pa.array(["one two", None], pa.large_string())}))
    assert batch.words("folded") is batch.words("folded")
    assert batch.words("symbols") is not batch.words("folded")
    assert batch.lines is batch.lines
    assert np.diff(batch.words("folded").rows).tolist() == [2, 0]
    kind, arguments = batch.__reduce__()
    assert kind(*arguments).words("folded").hashes.tolist() == batch.words("folded").hashes.tolist()


def test_folded_text_of_any_bytes():
    """Lower case and single spaces; a row that is no UTF-8 keeps its bytes."""
    got = normal.folded(twins.strings(["ÀB  c".encode(), b"A\xffB "])).cast(pa.large_binary()).to_pylist()
    assert got == ["àb c".encode(), b"a\xffb"]


def test_random_bytes_do_not_crash():
    """Kernels meet bytes of every kind at once."""
    rng = random.Random(2)
    text = twins.strings([rng.randbytes(rng.randrange(400)) for _ in range(300)])
    batch = Batch(pa.RecordBatch.from_arrays([text], names=["text"]))
    for units in (batch.words("symbols"), characters(text)):
        assert len(minhash.signatures(ngrams(units, 5)).short) == len(shingles(ngrams(units, 5)).rows) - 1 == 300
    assert len(batch.lines.rows) == 301
    assert all(len(c) == 300 for c in line_shapes(*batch.utf8, 30).values())
    assert len(hashing.content_hash(text)) == 300
