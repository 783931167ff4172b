"""train.classifier and score.classifier on docstrings against junk."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from learning_cases import batch, context, docstrings, junk, source_files, split

from curate import assets
from curate.errors import InputError
from curate.recipe.recipe import load_recipe
from curate.stages.catalog import Catalog
from curate.stages.score_classifier import ScoreClassifier
from curate.stages.train_classifier import TrainClassifier

FAST = {"dim": 8, "epoch": 15, "bucket": 2_000, "min_count": 1, "lr": 0.5}


def documents(copies=0):
    good, bad = docstrings()[:120], junk(120)
    texts = good + bad + good[:copies]
    sources = ["docs"] * len(good) + ["shop"] * len(bad) + ["docs"] * copies
    labels = pa.array([1] * len(good) + [0] * len(bad) + [1] * copies, pa.int8())
    grades = [4 if i % 3 == 0 and s == "docs" else 1 if i % 3 == 0 else None for i, s in enumerate(sources)]
    return batch(texts, sources, **{"labels.label": labels, "judge.score": pa.array(grades, pa.int8())})


def stage(**settings):
    return TrainClassifier(**{"label": "labels.label", "fasttext": FAST, **settings})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("value")
    report = stage(judge="judge.score", about="Good means a docstring.", labels_licence="none").train(
        split(documents(copies=30), 17), folder, context("value")
    )
    return folder, report


def digest(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_report_says_what_was_done(trained):
    """Counts add up, copies are taken once, and the held-out rows are told apart well."""
    folder, report = trained
    rows = report["rows"]
    assert (rows["seen_good"], rows["taken_good"], rows["seen_bad"], rows["taken_bad"]) == (150, 120, 120, 120)
    assert rows["train_good"] + rows["held_out_good"] == 120
    assert report["held_out"]["rows"] == rows["held_out_good"] + rows["held_out_bad"] > 10
    assert report["held_out"]["roc_auc"] > 0.95
    assert report["labels"] == {"docs": {"good": 120, "bad": 0}, "shop": {"good": 0, "bad": 120}}
    folds = {f"fold-{k}" for k in range(4)}
    assert {p.name for p in folder.iterdir()} == {"model.bin", "settings.json", "card.md", "folds.npz", *folds}


def test_judge_label_and_classifier_are_compared(trained):
    """Agreement is stated for each pair, with how many judged documents were trained on."""
    judge = trained[1]["judge"]
    assert judge["rows"] == sum(judge["scores"].values()) == 80
    both = trained[1]["agreements"]["labels.label, judge.score"]
    assert both == {"rows": 80, "agreement": 1.0, "cohen_kappa": 1.0}
    assert judge["pairs"]["judge, classifier"]["agreement"] > 0.9
    assert 0 < judge["in_training"] < 80


def test_the_card_tells_a_reader_everything(trained):
    """Data, confusion, reliability, scores by source, licence of labels and the judge are on the card; no path is."""
    folder, _ = trained
    card = (folder / "card.md").read_text()
    for part in ("Good means a docstring.", "ROC AUC", "Confusion", "Reliability", "Scores by source", "Licence of the labels: none",
                 "What it confuses", "Against the judge", "| shop |", "Spearman", "near copies", "kappa", "word_ngrams"):  # fmt: skip
        assert part in card
    assert str(folder) not in card
    assert "None" not in card and "nan" not in card


def test_the_same_rows_give_the_same_bytes(trained, tmp_path):
    """Order and batches of the rows do not matter, for model and card."""
    folder, report = trained
    whole = documents(copies=30).rows
    order = np.random.default_rng(3).permutation(whole.num_rows)
    from curate.text.batch import Batch

    again = stage(judge="judge.score", about="Good means a docstring.", labels_licence="none").train(
        split(Batch(whole.take(pa.array(order))), 50), tmp_path, context("value")
    )
    assert digest(tmp_path) == digest(folder)
    assert again == report


def test_max_per_class_bounds_the_sample(tmp_path):
    """At most so many rows a class are taken, a prefix of the larger sample."""
    report = stage(max_per_class=40, min_per_class=5).train(split(documents(), 30), tmp_path, context())
    assert report["rows"]["taken_good"] == report["rows"]["taken_bad"] == 40
    assert report["judge"] is None


def test_contents_with_both_labels_are_left_out(tmp_path):
    """A text that is good in one source and bad in another teaches nothing."""
    good, bad = docstrings()[:60], junk(60)
    texts = good + bad + good[:7]
    labels = pa.array([1] * 60 + [0] * 67, pa.int8())
    docs = batch(texts, ["s"] * 127, **{"labels.label": labels})
    rows = stage(min_per_class=5).train([docs], tmp_path, context())["rows"]
    assert (rows["contradictory"], rows["taken_good"], rows["taken_bad"]) == (7, 53, 60)


def test_near_copies_never_straddle_the_split(tmp_path):
    """Pages that differ in a line are one group: held out, or trained on, together; the card says how many there are."""
    good, code = [d for d in docstrings() if len(d) > 400][:60], source_files(60)
    texts = [f"{text}\nPage {i}." for text in good for i in range(3)] + code
    labels = pa.array([1] * (len(texts) - 60) + [0] * 60, pa.int8())
    docs = batch(texts, ["s"] * len(texts), **{"labels.label": labels})
    report = stage(min_per_class=5).train([docs], tmp_path, context())
    groups, rows = report["groups"], report["rows"]
    assert groups["with_copies"] >= 50 and groups["rows_with_copies"] >= 170
    assert rows["held_out_good"] % 3 == rows["train_good"] % 3 == 0
    assert f"{groups['rows_with_copies']} of the contents have near copies" in (tmp_path / "card.md").read_text()


@pytest.mark.parametrize(("labels", "message"), [
    ([1] * 60, "no document has label 0"),
    ([None] * 60, "no document has a label in column"),
    ([1] * 55 + [0] * 5, "class 0 .bad. is too small"),
    ([], "no document"),
])  # fmt: skip
def test_an_empty_or_small_class_stops_with_a_cure(labels, message, tmp_path):
    """The class, the column and what to do are named."""
    texts = docstrings()[: len(labels)]
    docs = batch(texts, ["s"] * len(texts), **{"labels.label": pa.array(labels, pa.int8())})
    with pytest.raises(InputError, match=message) as caught:
        stage().train([docs], tmp_path, context())
    assert "min_per_class" in caught.value.cure or "the step before" in caught.value.cure


def test_scores_keep_every_row(trained):
    """score.classifier adds a float32 column and drops nothing."""
    scorer = ScoreClassifier(classifier="value")
    docs = batch([docstrings()[130], junk(1)[0], ""], ["docs", "shop", "shop"])
    signals = scorer.measure(docs, context(classifier=trained[0]))
    scores = signals["score"]
    assert scores.type == scorer.adds()["score"]
    assert scores[0].as_py() > 0.5 > scores[1].as_py() > scores[2].as_py() == 0.0
    assert scorer.decide(signals).null_count == 3


def test_a_classifier_without_a_model_says_how_to_get_one(tmp_path):
    """A folder that nothing was trained into."""
    docs = batch(["x"], ["s"])
    with pytest.raises(InputError, match="train"):
        ScoreClassifier(classifier="mine").measure(docs, context(classifier=tmp_path))


@pytest.mark.parametrize("name", ["textbook-value", "code-value"])
def test_the_shipped_recipes_are_valid(name):
    """Each train.yaml is a recipe whose stages accept their settings, and whose lists and packages fit each other."""
    folder = assets.find("classifiers", name)
    recipe = load_recipe(folder / "train.yaml")
    assert [step.stage.name for step in recipe.steps] == ["read.packages", "label.file", "train.classifier"]
    splits = recipe.steps[0].stage.splits(folder, Catalog(), 1 << 20)
    assert len(splits) >= 30 and sum(split.stop for split in splits) > 1000


def test_the_recipe_of_a_router_is_valid():
    """From scored answers in a log to a router with its curve; there is no model, and the folder says how to get one."""
    folder = assets.find("classifiers", "router")
    steps = load_recipe(folder / "train.yaml").steps
    names = ["read.chats", "route.answers", "chats.text", "train.classifier"]
    assert [step.stage.name for step in steps] == names
    assert steps[-1].stage.route == "routes"
    assert "No model is shipped" in (folder / "README.md").read_text()
    assert not list(folder.glob("model.*"))
