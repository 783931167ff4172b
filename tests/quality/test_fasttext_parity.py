"""Folded fastText models against the library on real documents, and their kernels against a slow twin of getLine."""

import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from fasttext_models import KINDS, train_models
from fasttext_twin import slow_line
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.quality.fasttext_file import read_fasttext
from curate.quality.fasttext_model import FastTextClassifier
from curate.quality.folded import Folded, fold
from curate.text.arrow import buffers
from curate.text.batch import Batch
from curate.text.fasttext_buckets import buckets_of, modulo, remainder
from curate.text.fasttext_features import feature_sums, features
from curate.text.words import words

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"
STRANGE = [
    *("", " ", "\n", "\x00", "a", "</s>", "__label__l1", "__label__l0 a", "#l1 the", "the #nothing", "a </s> b c d"),
    *("naïve café", "數學\u3000很好", "one\u00a0word", "\x0bv\x0cf\rr\tt", "nul\x00in the middle", "x" * 5000),
    *("the __label__ of it", "x__label__y z", "__label_ _", "<s> < > </s", "😀 🎉🎉", "a\nb\nc", "the " * 300),
    *("e\u0301 combining", "\u2028 line separator", "__label__" + "long" * 100 + " behind"),
]


def samples(count):
    found = []
    for name in ("web", "code"):
        with (SAMPLES / f"{name}.jsonl.zst").open("rb") as file:
            stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            lines = io.BufferedReader(stream)
            found += [json.loads(next(lines))["text"] for _ in range(count // 2)]
    return found


def texts(values):
    return pa.array(values, pa.large_string())


@pytest.fixture(scope="module")
def documents():
    return [*samples(300), *STRANGE]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return train_models(tmp_path_factory.mktemp("models"), [text[:2000] for text in samples(120)])


@cache
def library(path):
    """The library's model."""
    import fasttext

    return fasttext.load_model(str(path))


def predicted(path, labels, lines):
    """What the library says, float64[n, labels] without its offset, NaN where it says nothing."""
    prefix = "#" if path.stem == "prefix" else "__label__"
    out = np.full((len(lines), len(labels)), np.nan)
    for row, (names, values) in enumerate(zip(*library(path).predict(lines, k=-1), strict=True)):
        given = {name.removeprefix(prefix): value for name, value in zip(names, values, strict=True)}
        if given:
            out[row] = [given[label.removeprefix(prefix)] - 1e-5 for label in labels]
    return out


def edges(logits):
    """How far logits are from the next step of the sigmoid's table."""
    place = (logits + 8) * 32
    return np.abs(place - np.round(place)) / 32


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_the_librarys(models, documents, kind):
    """Within 1e-5 for every document, and the same label; one-vs-all may differ at the edge of a step of its table."""
    path = models[kind]
    mine = FastTextClassifier.foreign(path, None if kind in ("one", "six", "ova6", "hs", "cutoff6") else first(path))
    found = mine.probabilities(Batch.of(texts(documents)))
    expected = predicted(path, mine.labels, [text.replace("\n", " ") for text in documents])
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    far = np.abs(found - expected) > 1e-5
    if KINDS[kind][1].get("loss") in ("ova", "ns"):
        sums = mine.model.sums(*buffers(texts(documents)), words(*buffers(texts(documents)), "raw"), own=False)
        far &= edges(sums.values / sums.counts[:, None]) > 1e-5
    assert not far.any(), [documents[i][:80] for i in np.flatnonzero(far.any(axis=1))]
    clear = np.diff(np.sort(expected, axis=1)[:, -2:], axis=1)[:, 0] > 1e-5 if len(mine.labels) > 1 else []
    assert (found.argmax(axis=1) == expected.argmax(axis=1))[clear].all()


def first(path):
    return read_fasttext(path).labels[0]


@settings(max_examples=40)
@given(st.lists(st.lists(st.one_of(st.text(max_size=6), st.sampled_from(STRANGE[:20])), max_size=8), max_size=6))
def test_any_text_is_read_as_the_library_reads_it(models, pieces):
    """Texts of any characters and of words that models know, for runs, subwords, pruned tables."""
    values = [" ".join(piece).replace("\n", " ") for piece in pieces]
    for kind in ("softmax", "subwords", "retrain"):
        mine = FastTextClassifier.foreign(models[kind], first(models[kind]))
        found, expected = mine.probabilities(Batch.of(texts(values))), predicted(models[kind], mine.labels, values)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["softmax", "six", "subwords", "cutoff", "retrain", "ova6", "prefix"])
def test_a_folded_model_can_be_kept_instead(models, documents, kind, tmp_path):
    """What is written and read again gives the same probabilities in single precision, nearly the same in half."""
    whole = fold(read_fasttext(models[kind]))
    docs = Batch.of(texts(documents))
    expected = whole.probabilities(whole.sums(*docs.utf8, docs.words("raw"), own=False))
    for precision, close in (("float32", 0.0), ("float16", 2.5e-3)):
        whole.write(tmp_path / "model.npz", precision)
        first = (tmp_path / "model.npz").read_bytes()
        again = Folded.read(tmp_path / "model.npz")
        found = again.probabilities(again.sums(*docs.utf8, docs.words("raw"), own=False))
        assert again.labels == whole.labels
        if whole.softmax or not close:
            np.testing.assert_allclose(found, expected, atol=close, rtol=0)
        whole.write(tmp_path / "model.npz", precision)
        assert (tmp_path / "model.npz").read_bytes() == first


# -- against a slow twin --------------------------------------------------------------------------------------------

WORDS = [b"</s>", b"the", b"longer-than-eight", "数".encode(), b"a", b"#x", b"eightbyt", b"\xff\xfe"]
IDS = {word: i for i, word in enumerate(WORDS)}
LABELS = [b"__label__good", b"#bad"]
TOKENS = [
    *WORDS, *LABELS, b"__label__other", b"unknown", b"longer-than-eigh", b"longer-than-eighT", b"th", "é".encode(),
    b"\x80\x81", b"<", b">", b"\xe6\x95",
]  # fmt: skip
LINES = st.lists(
    st.lists(st.tuples(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4)), st.sampled_from(b" \n\x00\t"))),
    max_size=4,
)


@settings(max_examples=40)
@given(LINES, st.booleans(), st.integers(0, 4), st.sampled_from([(0, 0), (1, 1), (2, 3), (1, 6), (3, 2)]),
       st.sampled_from([1, 2, 64, 100, 1000, 65_537]), st.sampled_from([1, 3]), st.booleans())  # fmt: skip
def test_features_are_what_the_slow_twin_says(lines, own, ngrams, subwords, bucket, width, pruned):
    """Any bytes, in both readings: which features there are, how many, and their sums."""
    minn, maxn = subwords
    raw = [b"".join(token + bytes([separator]) for token, separator in line) for line in lines]
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int64)
    array = pa.LargeStringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(b"".join(raw)))
    # Whole numbers, so that sums are exact in any order.
    rng = np.random.default_rng(bucket)
    values = rng.integers(-1000, 1000, (len(WORDS), width)).astype(np.float32)
    table = rng.integers(-1000, 1000, (bucket, width)).astype(np.float32)
    if pruned:
        table[rng.random(bucket) < 0.5] = np.nan
    model = features(tuple(WORDS), tuple(LABELS), values, buckets_of(table), ngrams, minn, maxn)
    found = feature_sums(*buffers(array), words(*buffers(array), "raw"), model, own=own)
    for row, line in enumerate(raw):
        known, hashed, size = slow_line(line, IDS, LABELS, ngrams, minn, maxn, bucket, own=own)
        there = [table[b].astype(np.float64) for b in hashed if not np.isnan(table[b, 0])]
        expected = sum([values[w].astype(np.float64) for w in known] + there, np.zeros(width))
        assert found.counts[row] == len(known) + len(there)
        assert found.words[row] == size
        np.testing.assert_array_equal(found.values[row], expected)


@given(st.integers(1, 1 << 32), st.integers(0, (1 << 64) - 1))
def test_the_remainder_by_multiplication_is_exact(divisor, x):
    """For any uint64 and any number of buckets, the edges of quotients included."""
    magic, shift = modulo(divisor)
    for value in {x, x - x % divisor, max(x - x % divisor - 1, 0), (1 << 64) - 1}:
        got = remainder(np.uint64(value), np.uint64(divisor), magic, shift)
        assert int(got) == value % divisor
