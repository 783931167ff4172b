"""Heads on embeddings: equal to scikit-learn, repeatable, stored as plain arrays, one clear line for what is broken."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.quality import classifier
from curate.quality.forest import Forest
from curate.quality.heads import Head
from curate.quality.heads_train import HeadSettings, train_head
from curate.quality.vectors import matrix
from curate.text.batch import Batch

KINDS = ("forest", "ridge", "logistic")
DIM = 12


def problem(rows, seed=0, dim=DIM, digits=None):
    """Vectors on (where ``digits``) a coarse grid, and labels that follow from them with some noise."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, dim)).astype(np.float32)
    if digits is not None:
        vectors = np.round(vectors, digits)
    signal = vectors[:, 0] + vectors[:, 1] * vectors[:, 2] + rng.normal(size=rows) / 2
    return vectors, (signal > 0).astype(np.int8)


def documents(vectors, kind=None):
    """A batch with texts and vectors; a vector may be None."""
    dim = next((len(v) for v in vectors if v is not None), DIM)
    column = pa.array(
        [None if v is None else list(map(float, v)) for v in vectors], kind or pa.list_(pa.float32(), dim)
    )
    rows = {"text": pa.array(["x"] * len(vectors), pa.large_string()), "vectors": column}
    return Batch(pa.RecordBatch.from_pydict(rows))


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "model"
    vectors, labels = problem(400)
    return folder, train_head(request.param, vectors, labels, HeadSettings(trees=20), folder), vectors, labels


@pytest.mark.parametrize(
    ("depth", "leaf", "digits"), [(None, 1, None), (None, 1, 1), (3, 1, 0), (None, 20, 1), (1, 1, 1)]
)
def test_a_forest_predicts_what_scikit_learn_predicts(depth, leaf, digits):
    """On other rows, and on numbers that equal thresholds: float32 thresholds decide as the float64 ones do."""
    from sklearn.ensemble import RandomForestClassifier

    vectors, labels = problem(1_500, digits=digits)
    peer = RandomForestClassifier(30, max_depth=depth, min_samples_leaf=leaf, random_state=3).fit(vectors, labels)
    forest = Forest.read(Forest.of(peer, np.array([0.0, 1.0])).arrays(), DIM)
    edges = np.unique(np.concatenate([t.tree_.threshold for t in peer.estimators_])).astype(np.float32)
    near = np.concatenate((edges, np.nextafter(edges, np.float32(np.inf)), np.nextafter(edges, np.float32(-np.inf))))
    odd = np.resize(near, (2_000, DIM))
    huge = np.array([[1e30] * DIM, [-1e30] * DIM, [1e-45] * DIM, [0.0] * DIM, [-0.0] * DIM], np.float32)
    for others in (problem(3_000, 1, digits=digits)[0], odd, huge):
        expected = peer.predict_proba(others)[:, 1]
        assert np.abs(forest.predict(others) - expected).max() <= 1e-12


def test_a_forest_of_one_class_a_bootstrap_never_saw():
    """A tree that is one leaf predicts its share."""
    from sklearn.ensemble import RandomForestClassifier

    vectors, labels = problem(6)
    peer = RandomForestClassifier(8, random_state=0).fit(vectors[:, :1] * 0, labels)
    ours = Forest.of(peer, np.array([0.0, 1.0])).predict(vectors[:, :1])
    assert np.allclose(ours, peer.predict_proba(vectors[:, :1])[:, 1])


def test_a_forest_of_grades_predicts_the_expected_one():
    """As the classes' probabilities say, when a tree saw only some of them too."""
    from sklearn.ensemble import RandomForestClassifier

    vectors, _ = problem(200)
    grades = np.clip(np.floor(vectors[:, 0] * 1.5 + 2.5), 0, 5) / 5
    levels, classes = np.unique(grades, return_inverse=True)
    peer = RandomForestClassifier(20, random_state=0).fit(vectors, classes)
    others, _ = problem(500, 4)
    assert np.abs(Forest.of(peer, levels).predict(others) - peer.predict_proba(others) @ levels).max() < 1e-12


def test_trainings_beside_each_other_are_as_alone(tmp_path):
    """Folds are trained in threads of one process, and BLAS keeps its one thread until the last is done."""
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_info

    def train(name):
        vectors, labels = problem(300)
        train_head("ridge", vectors, labels, HeadSettings(), tmp_path / name)
        return (tmp_path / name / "model.npz").read_bytes()

    alone = train("alone")  # loads every library that has threads
    before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(train, [f"t{i}" for i in range(8)]))
    assert set(together) == {alone}
    assert {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()} == before


def test_ridge_is_the_ridge_of_scikit_learn(tmp_path):
    """Weights of a fixed strength, and the strength that leave-one-out chooses; grades between 0 and 1 are learnt."""
    from sklearn.linear_model import Ridge, RidgeCV
    from sklearn.preprocessing import StandardScaler

    from curate.quality.heads_train import _ALPHAS

    vectors, labels = problem(300)
    grades = np.clip((vectors[:, 0] + 2) / 4, 0, 1).round(1)
    rows = StandardScaler().fit_transform(vectors.astype(np.float64))
    others = problem(500, 5)[0]
    scaled = StandardScaler().fit(vectors.astype(np.float64)).transform(others.astype(np.float64))
    for alpha in (0.5, 300.0):
        ours = train_head("ridge", vectors, grades, HeadSettings(alpha=alpha), tmp_path / str(alpha))
        peer = Ridge(alpha).fit(rows, grades)
        assert np.abs(ours.predict(others) - np.clip(peer.predict(scaled), 0, 1)).max() < 1e-6
    train_head("ridge", vectors, labels, HeadSettings(), tmp_path / "chosen")
    chosen = json.loads((tmp_path / "chosen/settings.json").read_text())["settings"]
    peer = RidgeCV(_ALPHAS, store_cv_results=True).fit(rows, labels.astype(float))
    assert chosen["alpha"] == peer.alpha_
    best = peer.cv_results_.mean(axis=0).min()
    assert chosen["leave_one_out_error"] == pytest.approx(best, rel=1e-9)


def test_logistic_is_that_of_scikit_learn(tmp_path):
    """Another solver of scikit-learn finds the same probabilities; no overflow far away from the rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    vectors, labels = problem(300)
    ours = train_head("logistic", vectors, labels, HeadSettings(c=0.1), tmp_path)
    scaler = StandardScaler().fit(vectors.astype(np.float64))
    peer = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(
        scaler.transform(vectors.astype(np.float64)), labels
    )
    others = np.concatenate(
        (problem(500, 5)[0], np.full((1, DIM), 1e6, np.float32), np.full((1, DIM), -1e6, np.float32))
    )
    expected = peer.predict_proba(scaler.transform(others.astype(np.float64)))[:, 1]
    assert np.abs(ours.predict(others) - expected).max() < 1e-5


def test_heads_learn(trained):
    """Better than chance by far on rows they have not seen, within [0, 1]."""
    from curate.quality.evaluate import roc_auc

    _, head, _, _ = trained
    vectors, labels = problem(1_000, 9)
    scores = head.predict(vectors)
    assert scores.dtype == np.float32 and scores.min() >= 0 and scores.max() <= 1
    assert roc_auc(labels, scores) > 0.75


def test_what_is_loaded_is_what_was_trained(trained):
    """By ``classifier.load``, from the folder alone; rows in any batches get the same scores."""
    folder, head, vectors, _ = trained
    loaded = classifier.load(folder)
    docs = documents(list(vectors[:50]))
    expected = head.predict(vectors[:50])
    assert np.array_equal(loaded.score(docs), expected)
    for cut in (1, 17, 49):
        parts = [Batch(docs.rows.slice(0, cut)), Batch(docs.rows.slice(cut))]
        assert np.array_equal(np.concatenate([loaded.score(p) for p in parts]), expected)


def test_the_same_rows_give_the_same_bytes(trained, tmp_path):
    """Whatever their order, and, of the kind with most chance in it, in another process with another hash seed."""
    folder, head, vectors, labels = trained
    order = np.random.default_rng(2).permutation(len(vectors))
    train_head(head.kind, vectors[order], labels[order], HeadSettings(trees=20), tmp_path / "again")
    if head.kind == "forest":
        code = f"""
import sys; sys.path.insert(0, {str(__file__.rsplit("/", 1)[0])!r})
from test_heads import problem, HeadSettings, train_head
from pathlib import Path
vectors, labels = problem(400)
train_head({head.kind!r}, vectors, labels, HeadSettings(trees=20), Path({str(tmp_path / "other")!r}))
"""
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "5"})
    digests = {
        hashlib.sha256((f / "model.npz").read_bytes() + (f / "settings.json").read_bytes()).hexdigest()
        for f in (folder, *tmp_path.iterdir())
    }
    assert len(digests) == 1


def test_rows_without_a_vector_have_the_score_of_nothing(trained):
    """Null rows, no rows, and a column of nulls of any type."""
    _, head, vectors, _ = trained
    scores = head.score(documents([None, vectors[0], None]))
    assert scores.tolist() == [0.0, head.predict(vectors[:1])[0], 0.0]
    assert len(head.score(documents([]))) == 0
    for kind in (pa.null(), pa.float64(), pa.list_(pa.float32(), DIM)):
        assert head.score(documents([None, None], kind)).tolist() == [0.0, 0.0]


def test_vectors_that_do_not_fit_are_said(trained):
    """No column, another length, NaN, no vectors at all, vectors of many lengths: one line each, with a cure."""
    _, head, vectors, _ = trained
    with pytest.raises(InputError, match=r"scores embeddings, and the documents have none; embed them first"):
        head.score(Batch.of(pa.array(["x"], pa.large_string())))
    with pytest.raises(InputError, match=r"vectors of 3 numbers, but this classifier was trained on vectors of 12"):
        head.score(documents([vectors[0][:3]]))
    bad = vectors[0].copy()
    for value in (np.nan, np.inf, -np.inf):
        bad[4] = value
        with pytest.raises(InputError, match=r"NaN or infinite numbers, the first in row 2 of its batch"):
            head.score(documents([vectors[0], None, bad]))
    with pytest.raises(InputError, match=r"column 'vectors' holds double, no vectors"):
        head.score(Batch(pa.RecordBatch.from_pydict({"text": ["x"], "vectors": pa.array([0.5])})))
    with pytest.raises(InputError, match=r"vectors of 2, 3 numbers"):
        head.score(documents([[1, 2], [1, 2, 3]], pa.list_(pa.float32())))
    with pytest.raises(InputError, match=r"NaN"):
        column = pa.array([[1.0] * (DIM - 1) + [None]], pa.list_(pa.float32(), DIM))
        head.score(Batch(pa.RecordBatch.from_pydict({"text": ["x"], "vectors": column})))


@given(st.lists(st.none() | st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), max_size=9), st.data())
def test_a_column_is_a_matrix(values, data):
    """Slices, nulls, every type of list of numbers: as the rows say."""
    kind = data.draw(st.sampled_from([
        pa.list_(pa.float32(), 3), pa.list_(pa.float64(), 3), pa.list_(pa.float32()), pa.large_list(pa.float64()),
    ]))  # fmt: skip
    begin = data.draw(st.integers(0, len(values)))
    column = pa.array(values, kind)[begin:]
    rows, there = matrix(column)
    assert there.tolist() == [v is not None for v in values[begin:]]
    assert rows.tolist() == [np.float32(v).tolist() for v in values[begin:] if v is not None]
    assert rows.dtype == np.float32 and rows.flags.c_contiguous


def rewritten(folder, out, change):
    """The folder with other arrays."""
    out.mkdir()
    with np.load(folder / "model.npz") as stored:
        arrays = {name: stored[name].copy() for name in stored.files}
    change(arrays)
    np.savez(out / "model.npz", **arrays)
    (out / "settings.json").write_bytes((folder / "settings.json").read_bytes())
    return out


def spoil(name, change):
    def apply(arrays):
        if name in arrays:
            arrays[name] = change(arrays[name])

    return apply


@pytest.mark.parametrize(("change", "kinds", "match"), [
    (lambda a: a.pop("dim"), KINDS, "how long its vectors are"),
    (spoil("dim", lambda a: a * 0), KINDS, "how long its vectors are"),
    (spoil("dim", lambda a: a - 5), KINDS, "vectors of 7 do not have|not float64"),
    (lambda a: a.pop("left"), ("forest",), "no array 'left'"),
    (lambda a: a.pop("weights"), ("ridge", "logistic"), "no array 'weights'"),
    (spoil("weights", lambda a: a.astype(np.float32)), ("ridge", "logistic"), "not float64"),
    (spoil("weights", lambda a: a * np.nan), ("ridge", "logistic"), "NaN"),
    (spoil("threshold", lambda a: a.astype(np.float64)), ("forest",), "not float32"),
    (spoil("threshold", lambda a: a * np.float32(np.nan)), ("forest",), "not finite"),
    (spoil("value", lambda a: a[:-1]), ("forest",), "differ in length"),
    (spoil("value", lambda a: a + 2), ("forest",), r"not in \[0, 1\]"),
    (spoil("roots", lambda a: a + 10**6), ("forest",), "begins outside"),
    (spoil("roots", lambda a: a[:0]), ("forest",), "differ in length"),
    (spoil("left", np.zeros_like), ("forest",), "not lie behind"),  # would walk for ever
    (spoil("right", lambda a: a + 10**6), ("forest",), "not lie behind"),
    (spoil("feature", lambda a: a + 100), ("forest",), "vectors of 12 do not have"),
])  # fmt: skip
def test_arrays_that_are_no_head_are_refused(trained, tmp_path, change, kinds, match):
    """Whatever a file says: no crash, no endless walk, no read outside of an array."""
    folder, head, _, _ = trained
    if head.kind in kinds:
        with pytest.raises(InputError, match=match) as caught:
            Head.load(rewritten(folder, tmp_path / "bad", change))
        assert caught.value.place.endswith("model.npz")
        assert "\n" not in str(caught.value)


def test_files_that_are_no_arrays_are_refused(trained, tmp_path):
    """Cut at any place, with bytes changed, empty, missing, a pickle: InputError, never another error."""
    folder, _, _, _ = trained
    (tmp_path / "settings.json").write_bytes((folder / "settings.json").read_bytes())
    path, whole = tmp_path / "model.npz", (folder / "model.npz").read_bytes()
    with pytest.raises(InputError, match="no trained classifier"):
        Head.load(tmp_path)
    rng = np.random.default_rng(0)
    cut = [whole[:n] for n in (0, 1, 30, len(whole) // 2, len(whole) - 1)]
    changed = []
    for _ in range(60):
        bytes_ = bytearray(whole)
        bytes_[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        changed.append(bytes(bytes_))
    for content in cut:
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a file of arrays"):
            Head.load(tmp_path)
    for content in changed:
        path.write_bytes(content)
        with contextlib.suppress(InputError):  # a bit of a date or a flag may say nothing
            Head.load(tmp_path)
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dim.npy", pickled.getvalue())
    with pytest.raises(InputError, match="no plain array"):
        Head.load(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_not_be_learnt_is_said(tmp_path, kind, monkeypatch):
    """One class, no rows, labels outside of [0, 1], NaN; no scikit-learn."""
    vectors, labels = problem(30)
    for given_, match in ((labels * 0, "equal"), (labels * 5, r"\[0, 1\]"), (labels * np.nan, r"\[0, 1\]")):
        with pytest.raises(InputError, match=match):
            train_head(kind, vectors, given_, HeadSettings(), tmp_path)
    with pytest.raises(InputError, match="nothing to train"):
        train_head(kind, vectors[:0], labels[:0], HeadSettings(), tmp_path)
    with pytest.raises(InputError, match="NaN"):
        train_head(kind, vectors * np.float32(np.nan), labels, HeadSettings(), tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match=r"scikit-learn is not installed.*pip install 'phi-curate\[heads\]'"):
        train_head(kind, vectors, labels, HeadSettings(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_scoring_needs_no_scikit_learn(tmp_path):
    """A process that can't import it scores, with each kind."""
    vectors, labels = problem(100)
    heads = [train_head(kind, vectors, labels, HeadSettings(trees=5), tmp_path / kind) for kind in KINDS]
    code = f"""
import sys; sys.modules["sklearn"] = sys.modules["joblib"] = None
from pathlib import Path
import numpy as np
from curate.quality.heads import Head
for kind in {KINDS!r}:
    print(Head.load(Path({str(tmp_path)!r}, kind)).predict(np.array({[vectors[0].tolist()]}, np.float32))[0])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found = np.array(done.stdout.split(), np.float32)
    assert found == pytest.approx([head.predict(vectors[:1])[0] for head in heads], rel=1e-6)
