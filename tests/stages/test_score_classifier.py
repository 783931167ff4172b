"""score.classifier with anybody's fastText model, by path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fasttext_files import write_model
from learning_cases import batch, context
from recipes import step, write

from curate import assets
from curate.errors import InputError, RecipeError
from curate.recipe.plan import Options, make_plan
from curate.recipe.recipe import load_recipe
from curate.stages.score_classifier import ScoreClassifier


def measured(path, texts, label=None):
    docs = batch(texts, ["s"] * len(texts))
    signals = ScoreClassifier(classifier=str(path), label=label).measure(docs, context(classifier=path))
    return signals["score"].to_numpy()


def test_the_score_is_the_probability_of_a_label(tmp_path):
    """P(label) by hand: the mean of a word's values and those of </s>, through the softmax."""
    model = write_model(tmp_path / "m.bin", {"</s>": [0.0], "good": [4.0], "bad": [-4.0]}, {"hq": [0.5], "cc": [-0.5]})
    texts = ["good", "bad", "good\nbad", "nothing known", ""]
    means = np.array([4 / 2, -4 / 2, 0, 0, 0])
    expected = 1 / (1 + np.exp(-means))
    np.testing.assert_allclose(measured(model, texts, "hq"), expected, rtol=1e-6)
    np.testing.assert_allclose(measured(model, texts, "__label__cc"), 1 - expected, rtol=1e-6)


def test_labels_that_are_numbers_give_the_expected_one(tmp_path):
    """As FineWeb-Edu's 0 to 5; a label can be named all the same."""
    labels = {str(n): [float(n)] for n in range(6)}
    model = write_model(tmp_path / "m.bin", {"</s>": [0.0], "good": [3.0]}, labels)
    logits = 1.5 * np.arange(6)
    chances = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(measured(model, ["good", ""]), [chances @ np.arange(6), 2.5], rtol=1e-6)
    np.testing.assert_allclose(measured(model, ["good"], "5"), chances[5:], rtol=1e-6)


def test_a_label_that_is_not_there_lists_those_that_are(tmp_path):
    """One line."""
    model = write_model(tmp_path / "m.bin", {"</s>": [0.0]}, {"hq": [0.5], "cc": [-0.5]})
    for label, said in (("hw", "no label 'hw'"), (None, "several labels")):
        with pytest.raises(InputError, match=said) as error:
            measured(model, ["x"], label)
        assert "hq, cc" in str(error.value) and "\n" not in str(error.value)


def planned(folder: Path, name: str):
    steps = [
        step("docs", "read.jsonl", paths=["a.jsonl"]),
        step("scored", "score.classifier", classifier=name, label="hq"),
        step("out", "write.text"),
    ]
    return make_plan(load_recipe(write(folder / "r.yaml", steps)), Options()).steps["scored"]


def test_a_recipe_names_a_file_beside_it_and_its_content_counts(tmp_path):
    """With a folder or without one; another content is another step, another name is not; a file that is not there is said."""
    labels = {"hq": [0.5], "cc": [-0.5]}
    (tmp_path / "models").mkdir()
    for name in ("m.bin", "models/m.bin", "models/other.bin"):
        write_model(tmp_path / name, {"</s>": [0.0]}, labels)
    beside, below = planned(tmp_path, "m.bin"), planned(tmp_path, "models/m.bin")
    assert beside.assets["classifier"] == tmp_path / "m.bin"
    assert beside.digests == below.digests == planned(tmp_path, "models/other.bin").digests
    write_model(tmp_path / "m.bin", {"</s>": [1.0]}, labels)
    assert planned(tmp_path, "m.bin").digests != below.digests
    with pytest.raises(RecipeError):
        planned(tmp_path, "models/none.bin")


def test_a_classifier_of_texts_takes_no_vectors(tmp_path):
    """A column that would not be read is a mistake; a file's, a folder's kind says so."""
    model = write_model(tmp_path / "m.bin", {"</s>": [0.0]}, {"hq": [0.5], "cc": [-0.5]})
    docs = batch(["x"], ["s"])
    for place in (model, assets.find("classifiers", "textbook-value")):
        stage = ScoreClassifier(classifier=str(place), vectors="embedded.vector")
        with pytest.raises(InputError, match="scores texts, not vectors"):
            stage.measure(docs, context(classifier=place))
