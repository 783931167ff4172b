"""train.classifier with several label columns, grades, balance, cross-fitting and a search for settings."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pytest
from learning_cases import batch, context, docstrings, junk, source_files, split

from curate.errors import InputError
from curate.quality import classifier, report
from curate.quality.cross_fit import CrossFitted
from curate.quality.examples import Wanted, gather
from curate.quality.label_columns import NONE, LabelColumn
from curate.quality.text_form import TextForm
from curate.stages.train_classifier import TrainClassifier
from curate.text.batch import Batch

FAST = {"dim": 8, "epoch": 15, "bucket": 2_000, "min_count": 1, "lr": 0.5}
JUDGE = {"column": "judge.score", "scale": "0-5"}


def stage(**settings):
    return TrainClassifier(**{"min_per_class": 5, "fasttext": FAST, "folds": 0, **settings})


def marks(values):
    return pa.array(values, pa.int8())


def digest(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def wanted(**changes):
    given = {
        "step": "value", "labels": (LabelColumn(column="human.label"), LabelColumn(**JUDGE), LabelColumn(column="c.label")),
        "judge": LabelColumn(**JUDGE), "vectors": None, "form": TextForm(), "per_class": 100, "per_source": None,
        "judged": 100, "exact": False, "key": 7,
    }  # fmt: skip
    return Wanted(**{**given, **changes})


def rows_of(table):
    """A batch of (text, source, human, judge, contrast); a judgement is a row about a document, as label.llm writes it."""
    docs = batch([t for t, *_ in table], [s for _, s, *_ in table])
    columns = {"human.label": 2, "judge.score": 3, "c.label": 4}
    rows = docs.rows
    for name, place in columns.items():
        rows = rows.append_column(name, marks([row[place] for row in table]))
    ids = {t: i for (t, s, *_), i in zip(table, rows.column("id").to_pylist(), strict=True) if s != "judge"}
    meta = [
        json.dumps({"document": ids[t].hex(), "source": "pages", "model": "m-1", "licence": "L"}, separators=(",", ":"))
        if s == "judge" else "{}" for t, s, *_ in table
    ]  # fmt: skip
    return Batch(rows.set_column(rows.schema.get_field_index("meta"), "meta", pa.array(meta)))


TABLE = [
    ("one", "pages", 1, None, 0),  # the human counts, and overrules contrast
    ("two", "pages", None, None, 1),
    ("two", "judge", None, 1, None),  # the judge counts, in a row of its own
    ("three", "pages", None, None, 1),
    ("three", "copies", None, None, 0),  # contradictory
    ("four", "pages", None, 4, None),
    ("four", "judge", None, 3, None),  # both good: no contradiction, unless grades are learned
    ("five", "pages", None, None, None),  # no label at all
]


def by_text(examples):
    texts = examples.rows.column("text").to_pylist()
    found = zip(examples.labels.good.tolist(), examples.labels.mark.tolist(), strict=True)
    return dict(zip(texts, found, strict=True))


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("order", [1, -1])
def test_the_most_trusted_label_of_a_content_counts(size, order):
    """Across rows, in any order; a judged document keeps its own source and id."""
    docs = split(Batch(rows_of(TABLE).rows.take(pa.array(range(8)[::order]))), size)
    examples = gather(docs, wanted())
    assert by_text(examples) == {"one": (1, 1), "two": (0, 1), "three": (NONE, NONE), "four": (1, 3)}
    assert (int(examples.labels.contradictory.sum()), int(examples.labels.overruled.sum())) == (1, 2)
    exact = gather(docs, wanted(exact=True))
    assert by_text(exact)["four"] == (NONE, NONE) and exact.labels.contradictory.sum() == 2
    assert examples.makers["judge.score"] == [("m-1", "L")] and examples.makers["c.label"] == []
    sources = dict(zip(examples.rows.column("text").to_pylist(), examples.sources, strict=True))
    assert sources["two"] == "pages" and set(sources.values()) <= {"pages", "copies"}
    assert examples.seen == {1: 5, 0: 2}


def test_a_contradiction_is_found_although_one_class_is_full():
    """Of the bad ones only two are taken; a good one that is also called bad is left out all the same."""
    table = [(f"bad {i}", "s", None, None, 0) for i in range(300)] + [("both", "s", None, None, 1)]
    table += [("both", "t", None, None, 0), ("good", "s", None, None, 1)]
    for docs in (split(rows_of(table), 50), split(rows_of(table[::-1]), 7)):
        examples = gather(docs, wanted(per_class=2))
        found = by_text(examples)
        assert found["good"] == (1, 1) and found["both"] == (NONE, NONE)
        assert sum(good == 0 for good, _ in found.values()) <= 2


def test_no_source_outweighs_the_others():
    """max_per_source bounds what one source gives to a class."""
    table = [(f"a {i}", "huge", None, None, 1) for i in range(200)]
    table += [(f"b {i}", f"s{i % 3}", None, None, 1) for i in range(12)] + [("c", "huge", None, None, 0)]
    examples = gather(split(rows_of(table), 9), wanted(per_source=5))
    counts = {s: int(((examples.sources == s) & (examples.labels.good == 1)).sum()) for s in ("huge", "s0", "s1", "s2")}
    assert counts == {"huge": 5, "s0": 4, "s1": 4, "s2": 4}
    assert (examples.labels.good == 0).sum() == 1


def test_rows_are_gone_through_twice():
    """An iterator that is used up is refused, not silently read as empty."""
    with pytest.raises(TypeError, match="twice"):
        gather(iter([rows_of(TABLE)]), wanted())


def graded(count=150):
    """Docstrings are graded 3 to 5 by their length, source code 1, junk 0; and a few contrast labels that disagree."""
    good, code, bad = docstrings()[:count], source_files(50), junk(count)
    ranked = sorted(good, key=len)
    grade = {t: 3 + i * 3 // len(ranked) for i, t in enumerate(ranked)} | dict.fromkeys(code, 1) | dict.fromkeys(bad, 0)
    texts = good + code + bad
    sources = ["docs"] * len(good) + ["code"] * len(code) + ["shop"] * len(bad)
    contrast = [int(s != "shop") for s in sources]
    columns = {"judge.score": marks([grade[t] for t in texts]), "c.label": marks(contrast)}
    return batch(texts, sources, **columns)


def test_grades_are_learned_and_measured(tmp_path):
    """The score is the expected grade / 5: it orders the grades, and the card has all of them."""
    docs = graded()
    result = stage(labels=[JUDGE], target="grade", folds=2).train(split(docs, 40), tmp_path, context())
    found = result["grades"]
    assert np.array(found["confusion"]).shape == (6, 6) and found["spearman"] > 0.5 and found["quadratic_kappa"] > 0.5
    scores = classifier.load(tmp_path).score(docs)
    assert scores.min() >= 0 and scores.max() <= 1
    sources = np.array(docs.column("source").to_pylist())
    means = [scores[sources == s].mean() for s in ("shop", "code", "docs")]
    assert means == sorted(means) and means[0] < 0.15 and means[2] > 0.55
    card = (tmp_path / "card.md").read_text()
    for part in ("| is 5 |", "grades 0-5; the score is the expected grade / 5", "0: ", "Spearman", "Against the judge"):
        assert part in card


def test_labels_of_several_columns_are_mixed(tmp_path):
    """Judged where judged, contrast elsewhere; the card says how many by which, how far they agree, and on what terms."""
    docs = graded()
    rows = docs.rows
    judged = marks([g if i % 2 else None for i, g in enumerate(rows.column("judge.score").to_pylist())])
    rows = rows.set_column(rows.schema.get_field_index("judge.score"), "judge.score", judged)
    result = stage(labels=[{**JUDGE, "licence": "judge terms"}, "c.label"]).train([Batch(rows)], tmp_path, context())
    columns = result["columns"]
    assert columns["judge.score"]["rows"] + columns["c.label"]["rows"] == sum(
        result["rows"][f"taken_{name}"] for name in ("good", "bad")
    )
    assert columns["judge.score"]["licences"] == ["judge terms"] and columns["judge.score"]["good_from"] == 3
    assert result["rows"]["overruled"] == 25  # half of the code: contrast calls it good, the judge does not
    assert 0.8 < result["agreements"]["judge.score, c.label"]["agreement"] < 1
    assert result["judge"]["column"] == "judge.score" and result["grades"]["rows"] > 10
    assert "judge terms" in (tmp_path / "card.md").read_text()


def random_labels(count=240):
    """Texts whose labels nothing in them tells: only memory can get them right."""
    rng = np.random.default_rng(3)
    words = [f"word{i}" for i in range(2_000)]
    texts = [" ".join(rng.choice(words, 60)) for _ in range(count)]
    labels = marks(rng.integers(0, 2, count).tolist())
    return batch(texts, ["s"] * count, **{"c.label": labels}), np.array(labels.to_pylist())


def test_what_was_memorised_does_not_count(tmp_path):
    """A model that knows its rows by heart scores them by their labels; cross-fitted they score like unseen ones."""
    docs, labels = random_labels()
    heart = {"dim": 32, "epoch": 60, "bucket": 20_000, "min_count": 1, "lr": 1.0}
    result = stage(label="c.label", folds=4, fasttext=heart).train(split(docs, 50), tmp_path, context())
    found = result["cross_fitted"]
    assert found["in_sample"]["roc_auc"] > 0.99
    assert 0.35 < found["cross_fitted"]["roc_auc"] < 0.65
    model = classifier.load(tmp_path)
    assert isinstance(model, CrossFitted)
    texts_only = Batch.of(docs.text)
    right = lambda scores: float(((scores >= 0.5) == (labels == 1)).mean())  # noqa: E731
    assert right(model.score(texts_only)) > 0.85  # a fifth is held out
    assert right(model.score(docs)) < 0.65
    # A text that is not in the table is scored by the model of all.
    other = batch([docs.text[0].as_py() + " more"], ["s"])
    assert model.score(other) == model.plain.score(other)
    assert "the difference is memory" in (tmp_path / "card.md").read_text()


def test_folds_do_not_depend_on_order_and_loading_notices_them(tmp_path):
    """The same bytes for rows in another order; the folder without its table of folds is the plain model."""
    docs = graded(100)
    order = np.random.default_rng(1).permutation(len(docs))
    shuffled = Batch(docs.rows.take(pa.array(order)))
    for name, rows, size in (("a", docs, 1_000), ("b", shuffled, 33)):
        stage(labels=[JUDGE, "c.label"], folds=3).train(split(rows, size), tmp_path / name, context())
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert {p for p in digest(tmp_path / "a") if "/" in p} == {
        f"fold-{k}/{name}" for k in range(3) for name in ("model.bin", "settings.json")
    }
    whole = classifier.load(tmp_path / "a").score(docs)
    (tmp_path / "a/folds.npz").unlink()
    plain = classifier.load(tmp_path / "a").score(docs)
    assert (whole != plain).mean() > 0.5


def test_settings_are_searched_for_and_the_search_is_repeatable(tmp_path):
    """So many trials, the best by groups that are set aside; the card lists them; the same bytes again."""
    docs = graded(120)
    poor = {**FAST, "lr": 0.001, "epoch": 1}
    hard = {**JUDGE, "good_from": 5}  # the longest docstrings against all others
    for name in ("a", "b"):
        given = stage(labels=[hard], autotune={"trials": 4}, fasttext=poor)
        result = given.train([docs], tmp_path / name, context())
    tried = result["search"]["tried"]
    assert len(tried) == 4 and sum(t["chosen"] for t in tried) == 1
    best = max(t["value"] for t in tried)
    assert next(t for t in tried if t["chosen"])["value"] == best > tried[0]["value"]
    assert tried[0]["settings"]["lr"] == 0.001 != result["settings"]["lr"]
    written = json.loads((tmp_path / "a/settings.json").read_text())["settings"]
    assert written["lr"] == result["settings"]["lr"]
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert "| chosen |" in (tmp_path / "a/card.md").read_text()


def test_balance_is_about_what_is_trained_on(tmp_path):
    """The held-out documents stay as they are."""
    docs = graded()
    counts = {}
    for how in ("none", "equal", "sqrt"):
        rows = stage(label="c.label", balance=how).train([docs], tmp_path / how, context())["rows"]
        counts[how] = rows["train_good"], rows["train_bad"], rows["held_out_good"], rows["held_out_bad"]
    good, bad, *held = counts["none"]
    assert counts["equal"] == (bad, bad, *held)
    assert counts["sqrt"] == (int((good * bad) ** 0.5), bad, *held)


def test_scores_that_are_no_numbers_stop_with_one_line():
    """Never a card with NaN in it."""

    class Broken:
        def score(self, docs):
            return np.full(len(docs), np.nan, np.float32)

    with pytest.raises(InputError, match="NaN for 3 of 3 documents") as caught:
        report.score_rows(Broken(), pa.table({"text": pa.array(["a", "b", "c"], pa.large_string())}), "value")
    assert "step 'value'" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("settings", "message"), [
    ({}, "name the label's column"),
    ({"label": "a", "labels": ["b"]}, "name the label's column"),
    ({"labels": ["a", {"column": "a", "scale": "0-5"}]}, "names a column twice"),
    ({"label": "a", "target": "grade"}, "needs labels on the scale 0-5"),
    ({"label": "a", "folds": 1}, "one fold leaves nothing"),
    ({"label": "a", "vectors": "v"}, "has no use for 'vectors'"),
    ({"labels": [{"column": "a", "scale": "0-10"}]}, "scale"),
    ({"label": "a", "fasttext": {"cutoff": 10}}, "set quantize"),
    ({"label": "a", "fasttext": {"quantize": True, "retrain": True}}, "needs a cutoff"),
    ({"label": "a", "fasttext": {"minn": 3, "maxn": 2}}, "minn lies between"),
    ({"label": "a", "fasttext": {"maxn": 3, "minn": 2, "bucket": 0, "word_ngrams": 1}}, "bucket above 0"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings, message):
    """Before anything runs."""
    with pytest.raises(ValueError, match=message):
        TrainClassifier(**settings)


@pytest.mark.parametrize("change", [
    {"minn": 2, "maxn": 4}, {"quantize": True, "cutoff": 300, "retrain": True},
    {"store": "folded", "quantize": True, "loss": "ova"},
])  # fmt: skip
def test_every_form_of_fasttext_is_trained_stored_and_read(change, tmp_path):
    """Each tells good from bad, and the same rows give the same bytes; nothing of the temporary folder is in it."""
    docs = graded(120)
    for name in ("a", "b"):
        result = stage(label="c.label", fasttext={**FAST, **change}).train([docs], tmp_path / name, context())
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert result["held_out"]["roc_auc"] > 0.95
    expected = "model.npz" if change.get("store") else "model.ftz" if change.get("quantize") else "model.bin"
    assert (tmp_path / "a" / expected).is_file()
    for path in (tmp_path / "a").rglob("model.*"):
        assert b"curate-train" not in path.read_bytes()


def test_test_sources_are_never_trained_on(tmp_path):
    """Neither their documents nor near copies of them; the card says how good the model is there, beside the held-out ones."""
    docs = graded()
    good = docstrings()[:150]
    copies = [f"{t}\nMore." for t in good if len(t) > 400][:30]
    rows = pa.concat_tables(
        [
            pa.Table.from_batches([docs.rows.drop_columns(["judge.score"])]),
            pa.Table.from_batches([batch(copies, ["test-docs"] * len(copies), **{"c.label": marks([1] * 30)}).rows]),
            pa.Table.from_batches([batch(junk(200)[150:], ["test-shop"] * 50, **{"c.label": marks([0] * 50)}).rows]),
        ]
    ).combine_chunks()
    whole = Batch(rows.to_batches()[0])
    without = stage(label="c.label").train([whole], tmp_path / "without", context())["rows"]
    result = stage(label="c.label", test_sources=["test-*"], folds=2).train(split(whole, 60), tmp_path / "a", context())
    tests, counts = result["tests"], result["rows"]
    assert (tests["rows"], tests["good"], counts["tested_good"], counts["tested_bad"]) == (80, 30, 30, 50)
    assert set(tests["by_source"]) == {"test-docs", "test-shop"} and tests["roc_auc"] > 0.95
    assert not set(result["held_out"]["by_source"]) & {"test-docs", "test-shop"}
    # The originals of the 30 copies are out as well.
    assert counts["train_good"] + counts["held_out_good"] <= without["taken_good"] - 30 - 25
    table = classifier.load(tmp_path / "a")._table
    apart = pa.array([str(s).startswith("test-") for s in rows.column("source").to_pylist()])
    assert (table.look_up(rows.column("content_hash").filter(apart)) == -1).all()
    assert "## On sources it has never seen" in (tmp_path / "a/card.md").read_text()
    with pytest.raises(InputError, match="no labelled document is of the test sources"):
        stage(label="c.label", test_sources=["x"]).train([whole], tmp_path / "b", context())


def test_a_class_of_one_group_can_not_be_cross_fitted(tmp_path):
    """The fold's model would know one class only; without folds it is trained."""
    page = docstrings()[200] * 3
    bad = [f"{page}\nCopy {i}." for i in range(30)] + source_files(2)
    good = docstrings()[:60]
    docs = batch(good + bad, ["s"] * len(good + bad), **{"c.label": marks([1] * len(good) + [0] * len(bad))})
    with pytest.raises(InputError, match="are near copies of each other") as caught:
        stage(label="c.label", folds=3, held_out=0.1).train([docs], tmp_path / "a", context())
    assert "folds to 0" in caught.value.cure
    assert (
        stage(label="c.label", held_out=0.1).train([docs], tmp_path / "b", context())["rows"]["train_groups_bad"] == 1
    )


def soft_rows(rows=240):
    """Queries: those that speak of proofs need the large model nine times in ten, sums once in ten; and both models' scores."""
    texts = [f"{'prove' if i % 2 else 'add'} number {i} {'theorem' if i % 2 else 'sum'}" for i in range(rows)]
    shares = [0.9 if i % 2 else 0.1 for i in range(rows)]
    answered = {
        "routes.small_score": pa.array([1 - s for s in shares]), "routes.large_score": pa.array([1.0] * rows),
        **{f"routes.{side}_{unit}": pa.array([cost] * rows, pa.float64())
           for side, cost in (("small", 1), ("large", 9)) for unit in ("tokens", "dollars")},
    }  # fmt: skip
    vectors = pa.array([[float(i % 2), i % 7 / 7] for i in range(rows)], pa.list_(pa.float32(), 2))
    columns = {"routes.soft": pa.array(shares), "v.v": vectors, **answered}
    return split(batch(texts, ["queries"] * rows, **columns), 50)


@pytest.mark.parametrize("model", ["fasttext", "words", "ridge", "logistic"])
def test_soft_labels_teach_shares(tmp_path, model):
    """A model of soft labels says nine tenths where nine in ten are needed, though every such row is good: a hard label's model
    would say all of them."""
    docs = soft_rows()
    vectors = (
        {"vectors": "v.v", "head": {"c": 10.0}}
        if model in ("ridge", "logistic")
        else {"words": {"min_rows": 2, "c": 20.0}}
    )
    soft = [{"column": "routes.soft", "scale": "share"}]
    result = stage(labels=soft, target="share", model=model, **vectors).train(docs, tmp_path, context())
    held = result["held_out"]
    assert held["roc_auc"] == 1.0
    hard, easy = (np.mean([b["mean_score"] for b in held["reliability"] if b["rows"] and (b["from"] >= 0.5) == side]) for side in (True, False))  # fmt: skip
    assert 0.8 < hard < 0.97
    assert 0.03 < easy < 0.2
    assert held["shares"]["squared_error"] < 0.01 < held["shares"]["squared_error_of_mean"]
    assert result["columns"]["routes.soft"]["marks"]["0.9-1.0"] == result["columns"]["routes.soft"]["good"] == 120
    assert "learned soft labels" in (tmp_path / "card.md").read_text()


def test_soft_labels_are_numbers_from_0_to_1(tmp_path):
    """Kept to a hundredth, good from a half on; what is beyond is refused, and a target takes its own scale alone."""
    column = LabelColumn(column="s.s", scale="share")
    docs = batch(["a", "b", "c", "d"], ["s"] * 4, **{"s.s": pa.array([0.5, 0.494, None, 1.0])})
    assert column.read(docs, "x").tolist() == [50, 49, NONE, 100]
    assert column.good(column.read(docs, "x")).tolist() == [1, 0, NONE, 1]
    for wrong in (1.2, -0.1, float("nan"), float("inf")):
        bad = batch(["a"], ["s"], **{"s.s": pa.array([wrong])})
        with pytest.raises(InputError, match="no label on the scale share"):
            column.read(bad, "x")
    with pytest.raises(ValueError, match="scale share"):
        stage(label="labels.label", target="share")


def test_the_card_of_a_router_says_what_it_recovers(tmp_path):
    """By rows that the scoring model has not seen: calls of the large model against the quality that they recover, and costs."""
    result = stage(labels=[{"column": "routes.soft", "scale": "share"}], target="share", route="routes", folds=2).train(
        soft_rows(), tmp_path, context()
    )
    route = result["route"]
    assert route["rows"] == 240  # held out or cross-fitted: all of them
    half = route["at"]["50%"]
    assert (half["share"], half["pgr"][0]) == pytest.approx((0.5, 0.9), abs=0.02)
    assert half["costs"] == pytest.approx({"tokens": 5.0, "dollars": 5.0}, abs=0.1)
    assert route["routers"]["router"]["apgr"][1] > 0.5 > route["routers"]["length"]["apgr"][0] - 0.3
    card = (tmp_path / "card.md").read_text()
    section = card[card.index("## As a router") : card.index("## On documents that were trained on")]
    for part in ("240 queries", "| router |", "| large only |", "tokens a query", "dollars a query", "CPT 95 %"):
        assert part in section
