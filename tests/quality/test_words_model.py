"""Classifiers of words: a slow twin, equal to scikit-learn's own prediction, repeatable, one line for what is broken."""

import hashlib
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.quality import classifier
from curate.quality.text_form import TextForm
from curate.quality.words_model import WordsClassifier
from curate.quality.words_train import WordsSettings, train_words
from curate.store.arrays import read_arrays, write_arrays
from curate.text.batch import Batch
from curate.text.presence import features

FORM = TextForm()
GOOD = [f"Let us see why the {a} is a {b}. For example, suppose that we {c} it first." for a in ("force", "price", "tribe", "loop")
        for b in ("sum", "claim", "rule") for c in ("hold", "count", "name")]  # fmt: skip
BAD = [f"{a} {b}!!! click here, {c} now, subscribe for the best offer" for a in ("Buy", "Sell", "Win", "Get")
       for b in ("force", "price", "loop") for c in ("hold", "count", "name")]  # fmt: skip


def rows(order=None):
    table = pa.table(
        {
            "text": pa.array(GOOD + BAD, pa.large_string()),
            "source": [f"s{i % 6}" for i in range(len(GOOD))] + [f"t{i % 6}" for i in range(len(BAD))],
        }
    )
    return table if order is None else table.take(pa.array(order))


LABELS = np.array([True] * len(GOOD) + [False] * len(BAD))


def batch(*texts):
    return Batch.of(pa.array(texts, pa.large_string()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "model"
    train_words(rows(), LABELS, WordsSettings(min_sources=2, min_rows=2), folder, FORM)
    return folder


def twin(model, text):
    """The score by sets of Python."""
    ends, found = features(model.form.read(batch(text)).words("folded"), model.ngrams)
    if ends[1] == 0:
        return 0.0
    weight = dict(zip(model.keys.tolist(), model.weights.tolist(), strict=True))
    known = {f for f in found.tolist() if f in weight}
    square = dict(zip(model.keys.tolist(), model.squares.tolist(), strict=True))
    norm = math.sqrt(sum(square[f] for f in known)) or 1.0
    logit = model.intercept + sum(weight[f] for f in known) / norm
    return 1 / (1 + math.exp(-logit))


WORDS = st.sampled_from(
    ["Let", "us", "force", "PRICE", "click", "here", "now", "é", "ein", "for", "example", ",", "\x00"]
)


@settings(max_examples=66)
@given(st.lists(st.lists(WORDS, max_size=30).map(" ".join), max_size=6))
def test_scores_equal_the_twin(folder, texts):
    """In batches as alone, repeated words counting once."""
    model = classifier.load(folder)
    assert model.score(batch(*texts)) == pytest.approx([twin(model, t) for t in texts], abs=1e-6)


def test_it_learns_how_texts_are_written(folder):
    """Good above bad, on subjects that neither class has."""
    model = classifier.load(folder)
    assert isinstance(model, WordsClassifier)
    good, bad = model.score(batch("Let us see why a whale is a mammal.", "Buy whales! click here now"))
    assert good > 0.5 > bad


def test_texts_without_words_score_nothing(folder):
    """Empty, null and white space."""
    assert classifier.load(folder).score(batch("", None, " \n\t")).tolist() == [0.0, 0.0, 0.0]


def test_runs_of_words_are_told_apart():
    """Pairs are features of their own, in their order."""
    ends, found = features(batch("a b", "b a", "a").words("folded"), 2)
    assert ends.tolist() == [0, 3, 6, 7]
    assert len(set(found.tolist())) == 4


def test_what_few_sources_say_is_left_out(tmp_path):
    """`min_sources` counts sources, not documents."""
    table = rows().append_column("extra", pa.nulls(len(LABELS)))
    texts = [
        t + (" zebra" if (i < 6 and i % 6 == 0) or i == 0 else "")
        for i, t in enumerate(table.column("text").to_pylist())
    ]
    texts = [t + " zebra" if s == "s0" else t for t, s in zip(texts, table.column("source").to_pylist(), strict=True)]
    table = table.set_column(0, "text", pa.array(texts, pa.large_string()))
    _, zebra = features(batch("zebra").words("folded"), 1)
    for least, known in ((1, True), (2, False)):
        train_words(table, LABELS, WordsSettings(min_sources=least, min_rows=1), tmp_path / str(least), FORM)
        assert (int(zebra[0]) in WordsClassifier.load(tmp_path / str(least)).keys.tolist()) is known


def test_the_same_rows_give_the_same_bytes(folder, tmp_path):
    """In any order."""
    order = np.random.default_rng(3).permutation(len(LABELS))
    train_words(rows(order), LABELS[order], WordsSettings(min_sources=2, min_rows=2), tmp_path / "again", FORM)
    for path in folder.iterdir():
        other = tmp_path / "again" / path.name
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()


def test_nothing_to_learn_from_is_said(tmp_path):
    """No feature is in so many sources."""
    with pytest.raises(InputError, match="no word is in 999 documents"):
        train_words(rows(), LABELS, WordsSettings(min_rows=999), tmp_path / "none", FORM)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("weights", lambda v: v[:-1], "do not fit"),
        ("weights", lambda v: np.full_like(v, np.nan), "NaN"),
        ("squares", lambda v: -v - 1, "negative"),
        ("keys", lambda v: v[::-1].copy(), "do not fit"),
        ("keys", lambda v: v.astype(np.float64), "no keys"),
        ("ngrams", lambda v: v * 0, "runs of 0 words"),
        ("intercept", lambda v: np.zeros(2), "one intercept"),
    ],
)
def test_broken_models_are_one_line(folder, tmp_path, name, value, said):
    """What can't be a model is refused."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    arrays = dict(read_arrays(tmp_path / "model.npz"))
    write_arrays(tmp_path / "model.npz", {**arrays, name: value(arrays[name])})
    with pytest.raises(InputError, match=said):
        WordsClassifier.load(tmp_path)
    (tmp_path / "model.npz").write_bytes((folder / "model.npz").read_bytes()[:200])
    with pytest.raises(InputError, match="not a file of arrays"):
        WordsClassifier.load(tmp_path)
