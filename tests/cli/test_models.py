"""`curate train`, `curate score` and `curate check`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from command import Curate
from small_run import HOSTILE, documents, write_run

from curate.quality.fasttext_model import FastTextClassifier
from curate.quality.fasttext_train import FastTextSettings
from curate.recipe.recipe import find_recipe

MODEL = "model.npz"
TRAIN = ("train", "textbook-value", "docs.jsonl", "--good", "lessons", "--bad", "notes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, curate: Curate) -> Path:
    """A folder with docs.jsonl (no bad line) and a classifier trained on them."""
    folder = tmp_path_factory.mktemp("models")
    write_run(folder)
    lines = (folder / "docs.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "docs.jsonl").write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    curate(*TRAIN, "-o", "mine", cwd=folder).ok()
    return folder


def test_train_writes_a_model_and_its_card(curate: Curate, folder: Path) -> None:
    """Model, settings, card; the settings are those of the classifier's train.yaml; it is the same twice."""
    made = {p.name for p in (folder / "mine").iterdir()}
    assert made == {"card.md", MODEL, "settings.json"}
    assert json.loads((folder / "mine/settings.json").read_bytes())["settings"]["min_sources"] == 20
    curate(*TRAIN, "-o", "again", "--no-folds", "--store", "elsewhere", cwd=folder).ok()
    assert {p.name for p in (folder / "again").iterdir()} == made
    assert (folder / "again" / MODEL).read_bytes() == (folder / "mine" / MODEL).read_bytes()
    card = (folder / "mine/card.md").read_text(encoding="utf-8")
    assert "Prose that teaches" in card and "ROC AUC" in card


def test_train_from_a_recipe(curate: Curate, folder: Path) -> None:
    """The recipe that the first form wrote is one, and can be given itself."""
    recipe = folder / "runs/train-textbook-value/recipe.yaml"
    curate("train", recipe, "-o", folder / "third", cwd=folder).ok()
    assert (folder / "third" / MODEL).read_bytes() == (folder / "mine" / MODEL).read_bytes()


def test_train_says_what_it_needs(curate: Curate, folder: Path, tmp_path: Path) -> None:
    """Which settings, which files, a free folder, a recipe that trains."""
    for argv, said in (
        (("train", "textbook-value", "docs.jsonl", "-o", "x"), "name sources with --good and --bad"),
        (("train", "textbook-value", "--good", "lessons", "-o", "x"), "name the files, too"),
        ((*TRAIN, "-o", "mine"), "exists already"),
        (("train", "textbook-valu", "docs.jsonl"), "did you mean 'textbook-value'?"),
        (("train", "answer-quality", "-o", "x"), "it is a rubric for a judge"),
    ):
        done = curate(*argv, cwd=folder)
        assert done.code == 2 and said in done.line
    done = curate(*TRAIN, "-o", "docs.jsonl/x", "--store", "unused", cwd=folder)
    assert done.code == 6 and "docs.jsonl" in done.line
    assert not (folder / "unused").exists(), "it was said before anything was trained"
    done = curate("train", folder / "recipe.yaml", "docs.jsonl", "-o", tmp_path / "x", cwd=folder)
    assert "a recipe names its own inputs" in done.line
    done = curate("train", "router", "-o", tmp_path / "x", cwd=tmp_path)
    assert done.code == 3 and "there is no raw/answers; put there: " in done.line
    assert not (tmp_path / "runs").exists()


def test_a_copy_is_what_its_name_says_first(curate: Curate, tmp_path: Path) -> None:
    """A recipe before a classifier of the same name, which has its folder before it; files of data; each says what is next."""
    for name, target, then in (
        ("router", "my own.yaml", "run: curate plan 'my own.yaml'"),
        ("classifiers/router", "mine", "run: curate train mine"),
        ("textbook-value", "value", "run: curate train value FILE..."),
        ("answer-quality", "rubric", "name it in your recipe, by its path from there: rubric"),
        ("system-messages/orca", "m.yaml", "name it in your recipe, by its path from there: m.yaml"),
    ):
        assert then in curate("copy", name, target, cwd=tmp_path).ok().out
    assert (tmp_path / "my own.yaml").read_text() == find_recipe("router").read_text()
    assert (tmp_path / "mine/train.yaml").is_file() and (tmp_path / "rubric/rubric.md").is_file()
    assert curate("copy", "routr", "x", cwd=tmp_path).line.endswith("did you mean 'router'?")


def test_score_writes_every_score_in_order(curate: Curate, folder: Path) -> None:
    """As JSON lines and as Arrow: the same scores, one a document, in the order of the file."""
    out = curate("score", "mine", "docs.jsonl", "-o", "s.jsonl", cwd=folder).ok().out
    assert f"{len(documents())} documents scored" in out and "best" in out and "worst" in out
    assert "\x1b" not in out and "\\x1b" in curate("score", "mine", "docs.jsonl", "-n", 500, cwd=folder).ok().out
    rows = [json.loads(line) for line in (folder / "s.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [r["origin"] for r in rows][:3] == ["docs.jsonl#p0", "docs.jsonl#p1", "docs.jsonl#p2"]
    assert all(0 <= r["score"] <= 1 for r in rows) and any(HOSTILE in r["origin"] for r in rows)
    curate("score", "mine", "docs.jsonl", "-o", "s.arrow", "--json", cwd=folder).ok()
    table = pa.ipc.open_stream(folder / "s.arrow").read_all()
    assert table.column("score").to_pylist() == pytest.approx([r["score"] for r in rows], rel=1e-5)
    scores = {r["origin"]: r["score"] for r in rows}
    lessons = [s for o, s in scores.items() if o.startswith("docs.jsonl#p") and int(o[12:]) % 2]
    assert len(lessons) == 60


def test_score_with_a_runs_classifier(curate: Curate, small_run: Path, folder: Path) -> None:
    """RUN:STEP names it; the scores are those that the run itself gave."""
    found = json.loads(curate("score", f"{small_run}:value", "docs.jsonl", "--json", "-n", 1, cwd=folder).ok().out)
    assert found["rows"] == len(documents()) and len(found["best"]) == 1
    shown = json.loads(curate("inspect", small_run, "--json", "-n", 500).ok().out)
    in_run = {r["origin"]: r["about"].get("scored.score") for r in shown["rows"]}
    curate("score", f"{small_run}:value", "docs.jsonl", "-o", "r.jsonl", cwd=folder).ok()
    for row in map(json.loads, (folder / "r.jsonl").read_text(encoding="utf-8").splitlines()):
        if in_run.get(row["origin"]) is not None:
            assert row["score"] == pytest.approx(in_run[row["origin"]], rel=1e-5)


def test_the_shipped_classifiers_score_without_any_training(curate: Curate, folder: Path) -> None:
    """By name; a lesson above a changelog, an algorithm above a migration."""
    lesson = (
        "A variable is a name for a value. For example, in the following figure we define x. Suppose that we add 1. "
    )
    news = "Fixed: regression in 2.3.1 (#4312). Deprecated the option. Thanks to all contributors of this release! "
    code = (
        '"""Sorting, step by step."""\n\ndef bubble_sort(items):\n    """Swap neighbours until all are in order."""\n'
        "    for i in range(len(items)):\n        for j in range(len(items) - 1 - i):\n"
        "            if items[j] > items[j + 1]:\n                items[j], items[j + 1] = items[j + 1], items[j]\n"
        "    return items\n\nprint(bubble_sort([3, 1, 2]))\n"
    )
    migration = (
        "from django.db import migrations, models\n\nclass Migration(migrations.Migration):\n    dependencies = [('app', '0001')]\n"
        "    operations = [migrations.AddField(model_name='item', name='size', field=models.IntegerField(default=0))]\n"
    )
    rows = {"lesson": lesson * 8, "news": news * 8, "code": code, "migration": migration}
    lines = [json.dumps({"id": name, "text": text}) for name, text in rows.items()]
    (folder / "both.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, good, bad in (("textbook-value", "lesson", "news"), ("code-value", "code", "migration")):
        curate("score", name, "both.jsonl", "-o", f"{name}.jsonl", cwd=folder).ok()
        found = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        scores = {row["origin"].partition("#")[2]: row["score"] for row in found}
        assert scores[good] > scores[bad], scores


def test_score_says_what_is_wrong(curate: Curate, small_run: Path, folder: Path) -> None:
    """No model, no such step, another field, a file of an unknown kind, an output that is neither."""
    for argv, code, said in (
        (("score", "untrained", "docs.jsonl"), 2, "no classifier 'untrained'"),
        (("score", f"{small_run}:nope", "docs.jsonl"), 2, "it has: value"),
        (("score", "mine", "docs.txt"), 3, "does not say what is in it"),
        (("score", "mine", "docs.jsonl", "-o", "x.csv"), 2, ".jsonl or .arrow"),
        (("score", "mine", "gone.jsonl"), 3, "no such file"),
    ):
        done = curate(*argv, cwd=folder)
        assert done.code == code and said in done.line
    out = curate("score", "mine", "docs.jsonl", "--text", "content", cwd=folder).ok().out
    assert f"0 documents scored; set aside: no_text {len(documents())}" in out


def test_check_finds_the_shard_that_was_changed(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """A run as it was written is fine; one flipped byte, a lost file or a cut one exits 9 and is named."""
    assert "OK" in curate("check", small_run).ok().out
    assert "OK" in curate("check", small_run / "pages").ok().out
    copy = tmp_path / "run"
    shutil.copytree(small_run, copy, symlinks=True)
    shard = (copy / "pages/data-00001-of-00003.arrow").resolve()
    whole = shard.read_bytes()
    shard.unlink()
    for damaged, said in (
        (whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:], "differs from its SHA-256"),
        (whole[:-8], "bytes instead of"),
        (None, "is missing"),
    ):
        if damaged is not None:
            shard.write_bytes(damaged)
        else:
            shard.unlink()
        done = curate("check", copy)
        assert done.code == 9 and said in done.line and "data-00001-of-00003.arrow" in done.line
    assert "OK" in curate("check", copy / "tokens").ok().out


def test_check_a_dataset_that_lies_alone(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """It can be read or not; that nothing is compared is said."""
    file = next((small_run / "pages").glob("*.arrow"))
    (tmp_path / file.name).write_bytes(file.read_bytes())
    assert "nothing can be compared" in curate("check", tmp_path).ok().out
    (tmp_path / file.name).write_bytes(file.read_bytes()[:5000])
    assert curate("check", tmp_path).code == 9


def test_check_a_recipe(curate: Curate, folder: Path, tmp_path: Path) -> None:
    """A good one is OK; a bad one says the line."""
    assert "OK, 14 steps" in curate("check", folder / "recipe.yaml").ok().out
    bad = tmp_path / "bad.yaml"
    bad.write_text((folder / "recipe.yaml").read_text(encoding="utf-8").replace("min_words", "min_word"))
    done = curate("check", bad)
    assert done.code == 2 and "did you mean 'min_words'" in done.line


def test_check_the_machine(curate: Curate) -> None:
    """A line for each thing a run needs."""
    found = {f["what"]: f for f in json.loads(curate("check", "--json").out)}
    assert {"Python", "fastText", "sentencepiece", "sandbox", "local model", "cores", "disk"} <= set(found)
    assert found["fastText"]["state"] in ("ok", "note"), found["fastText"]
    assert found["sentencepiece"]["state"] == "ok"
    assert all(f["cure"] for f in found.values() if f["state"] != "ok")
    assert "sentencepiece" in curate("check").out


def test_score_with_anybodys_fasttext_model(curate: Curate, folder: Path) -> None:
    """A .bin by path: P of the label that is named; without one, or with a wrong one, its labels are listed."""
    rows = [row for row in documents() if row["source"] in ("lessons", "notes")]
    text = pa.array([row["text"] for row in rows], pa.large_string())
    labels = [row["source"] == "lessons" for row in rows]
    settings = FastTextSettings(dim=8, epoch=5, store="model")
    FastTextClassifier.train(text, labels, settings, folder / "stock")
    found = json.loads(
        curate("score", "stock/model.bin", "docs.jsonl", "--label", "good", "--json", cwd=folder).ok().out
    )
    own = json.loads(curate("score", "stock", "docs.jsonl", "--json", cwd=folder).ok().out)
    assert found["distribution"]["quantiles"]["50"] == pytest.approx(own["distribution"]["quantiles"]["50"], abs=0.05)
    for argv, said in (
        (("stock/model.bin",), "name one of its labels"),
        (("stock/model.bin", "--label", "hq"), "the model has no label 'hq'"),
        (("docs.jsonl",), "not a fastText model"),
    ):
        done = curate("score", argv[0], "docs.jsonl", *argv[1:], cwd=folder)
        assert done.code == 3 and said in done.line
