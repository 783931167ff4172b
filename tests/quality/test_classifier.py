"""fastText classifiers: preparation of text, repeatable training, scores, loading."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import InputError
from curate.quality.classifier import EMPTY_SCORE, load
from curate.quality.fasttext_model import FastTextClassifier
from curate.quality.fasttext_train import FastTextSettings
from curate.text.batch import Batch

SMALL = FastTextSettings(dim=8, epoch=20, lr=0.5, bucket=500, min_count=1)
TOPICS = ["loop", "list", "function", "string", "recursion", "file", "class", "test", "number", "sort"]
GOOD = [
    f"A {t} lets us {v} the {o}. For example, we write a small function and explain each step of the {t}.\n"
    for t in TOPICS for v in ("repeat", "name", "share") for o in ("work", "idea")
]  # fmt: skip
BAD = [
    f"click here to buy {t} {v} now!!! best {o} price, free shipping, subscribe, login, cookie settings\n"
    for t in ("shoes", "phones", "pills", "bags", "loans", "watches", "wine", "tickets", "hats", "rings")
    for v in ("cheap", "deal", "sale") for o in ("offer", "coupon")
]  # fmt: skip
LABELS = [1] * len(GOOD) + [0] * len(BAD)


def texts(values):
    return pa.array(values, pa.large_string())


def batch(values):
    return Batch.of(texts(values))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    FastTextClassifier.train(texts(GOOD + BAD), LABELS, SMALL, folder)
    return folder


def test_scores_are_float32_in_the_unit_interval_and_right(folder):
    """Good texts score above bad ones."""
    model = FastTextClassifier.load(folder)
    scores = model.score(batch(GOOD + BAD))
    assert scores.dtype == np.float32
    assert scores.min() >= 0 and scores.max() <= 1
    assert scores[: len(GOOD)].min() > 0.6 > 0.4 > scores[len(GOOD) :].max()


def test_empty_texts_have_the_documented_score(folder):
    """Empty, blank and null texts score EMPTY_SCORE; an empty batch has no scores."""
    model = FastTextClassifier.load(folder)
    assert model.score(batch(["", "\n\t \x00", None])).tolist() == [EMPTY_SCORE] * 3
    assert model.score(batch([])).shape == (0,)


def test_a_score_depends_on_its_own_text_alone(folder):
    """Neither the batch nor a planted label nor the part beyond max_bytes changes a score."""
    model = FastTextClassifier.load(folder)
    together = model.score(batch([GOOD[0], BAD[0], "", GOOD[1]]))
    alone = [float(model.score(batch([t]))[0]) for t in (GOOD[0], BAD[0], "", GOOD[1])]
    assert together.tolist() == alone
    assert model.score(batch(["x" * 50 + " " + "y " * 5_000])) == model.score(batch(["x" * 50 + " " + "y " * 6_000]))
    planted = model.score(batch([BAD[0] + " __label__good </s>"]))[0]
    assert abs(planted - alone[1]) < 0.1


def digest(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_training_is_repeatable_in_any_order(folder, tmp_path):
    """Rows in another order give the same bytes."""
    order = np.random.default_rng(1).permutation(len(LABELS))
    shuffled = texts(GOOD + BAD).take(pa.array(order))
    FastTextClassifier.train(shuffled, np.array(LABELS)[order], SMALL, tmp_path)
    assert digest(tmp_path) == digest(folder)


def test_training_is_repeatable_in_a_fresh_process(folder, tmp_path):
    """Another process with another hash seed gives the same bytes."""
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([GOOD + BAD, LABELS, SMALL.model_dump()]))
    code = (
        "import json, sys, pathlib, pyarrow as pa\n"
        "from curate.quality.fasttext_model import *\n"
        "t, y, s = json.loads(pathlib.Path(sys.argv[1]).read_text())\n"
        "FastTextClassifier.train(pa.array(t, pa.large_string()), y, FastTextSettings(**s), pathlib.Path(sys.argv[2]))\n"
    )
    import os

    environment = {**os.environ, "PYTHONHASHSEED": "4242", "OMP_NUM_THREADS": "3"}
    subprocess.run([sys.executable, "-c", code, str(rows), str(tmp_path / "again")], check=True, env=environment)
    assert digest(tmp_path / "again") == digest(folder)


def test_nothing_of_this_machine_is_in_the_model(folder):
    """Neither the temporary file nor the folder is named in what was written."""
    for path in folder.iterdir():
        assert b"curate-train" not in path.read_bytes()
        assert str(folder).encode() not in path.read_bytes()


def test_a_quantized_model_is_smaller_and_agrees(folder, tmp_path):
    """Quantization keeps which side a text is on; training again without it removes the quantized model."""
    settings = SMALL.model_copy(update={"quantize": True})
    FastTextClassifier.train(texts(GOOD + BAD), LABELS, settings, tmp_path)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["model.ftz", "settings.json"]
    assert (tmp_path / "model.ftz").stat().st_size < (folder / "model.bin").stat().st_size
    scores = FastTextClassifier.load(tmp_path).score(batch(GOOD + BAD))
    assert ((scores >= 0.5) == (np.array(LABELS) == 1)).mean() > 0.95
    first = digest(tmp_path)
    FastTextClassifier.train(texts(GOOD + BAD), LABELS, settings, tmp_path)
    assert digest(tmp_path) == first
    FastTextClassifier.train(texts(GOOD + BAD), LABELS, SMALL, tmp_path)
    assert not (tmp_path / "model.ftz").exists()


def test_folders_without_a_usable_model_are_refused(folder, tmp_path):
    """No settings, no model, a damaged model, a strange kind: each is an InputError that names the folder."""
    with pytest.raises(InputError, match="no trained classifier"):
        load(tmp_path)
    settings = tmp_path / "settings.json"
    settings.write_text((folder / "settings.json").read_text())
    with pytest.raises(InputError, match="no trained classifier"):
        load(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"too short|not a fastText"):
        load(tmp_path)
    for bad in ("{", '{"kind": "tree"}', '{"kind": "fasttext", "settings": {"dims": 3}}', "[]"):
        settings.write_text(bad)
        with pytest.raises(InputError):
            load(tmp_path)


def test_a_model_is_read_once_until_it_changes(folder, tmp_path):
    """The same folder gives the same object; a new model gives a new one."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    first = load(tmp_path)
    assert load(tmp_path) is first
    settings = SMALL.model_copy(update={"epoch": 5})
    FastTextClassifier.train(texts(GOOD + BAD), LABELS, settings, tmp_path)
    assert load(tmp_path) is not first


def test_bad_settings_and_failing_training_are_said(tmp_path, monkeypatch):
    """n-grams need a hash table; what fastText can't train on is an InputError with a cure."""
    with pytest.raises(ValueError, match="bucket"):
        FastTextSettings(word_ngrams=2, bucket=0)
    with pytest.raises(ValueError, match="bucket"):
        FastTextSettings(word_ngrams=1, bucket=0, quantize=True)
    with pytest.raises(InputError, match="min_count"):
        FastTextClassifier.train(texts([]), [], SMALL, tmp_path)
    with pytest.raises(ValueError, match="labels"):
        FastTextClassifier.train(texts(["a"]), [], SMALL, tmp_path)

    with pytest.raises(InputError, match="lower lr"):
        diverging = SMALL.model_copy(update={"lr": 1e30})
        FastTextClassifier.train(texts(GOOD + BAD), LABELS, diverging, tmp_path)


@pytest.mark.parametrize(("words", "dim"), [(1, 40), (2, 1)])
def test_small_matrices_start_from_zero(words, dim, tmp_path):
    """fastText leaves most of its matrix as the allocator gives it; what was freed before must not show."""
    settings = SMALL.model_copy(update={"dim": dim, "word_ngrams": words, "lr": 0.05})
    digests = set()
    for round_ in range(2):
        FastTextClassifier.train(texts(GOOD + BAD), LABELS, settings, tmp_path / str(round_))
        digests.add(str(digest(tmp_path / str(round_))))
    assert len(digests) == 1
