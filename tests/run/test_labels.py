"""Labels through a whole run: a judge's rows are the documents it was shown; second looks are told, and are no rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from command import Curate, manifest, record, results
from recipes import step, write

from curate.llm.teacher import Call, Say, Teacher
from curate.store.files import Store
from curate.store.parts import read_part
from curate.store.records import Part

DOCUMENTS, AGAIN, ODD = 24, 6, 5


def judge(call: Call) -> Say:
    """Scores by the document's number. Points in reverse order cost one, half a document too, a rubric at the end gives
    one; asked again, it says every second time one more."""
    user = call.body["messages"][1]["content"]
    number = int(re.search(r"Document (\d+)", user)[1])
    score = 1 + number % 3
    score -= "fit for a textbook; has a worked" in user
    score += user.startswith("<document")
    score -= "The end" not in user
    if call.body["temperature"] > 0:
        score += int(call.key[0], 16) % 2
    return Say(f"It earns what it earns.\n\nEducational score: {score}")


def recipe(folder: Path, base_url: str, **settings: object) -> Path:
    """Sixty short documents of two sources, labelled by contrast, by a file and by a judge."""
    rows = [
        {"id": str(i), "text": f"Document {i}. " + "It goes on. " * (1 + i % 9) + "The end.", "source": "ab"[i % 2]}
        for i in range(60)
    ]
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    marks = [f"read#{i},{1 + i % 3}" for i in range(0, 60, 2)]
    (folder / "marks.csv").write_text("\n".join(["origin,label", *marks]))
    steps = [
        step("read", "read.jsonl", paths=["in/all.jsonl"]),
        step("human", "label.file", labels="marks.csv"),
        step("labels", "label.contrast", positive=["a"], negative=["b"]),
        step("judge", "label.llm", "labels", documents=DOCUMENTS, compare="labels.label", **settings),
        step("out", "write.text", "judge", documents_per_shard=100),
    ]
    models = {"judge": {"model": "teacher", "base_url": base_url, "licence": "CC0-1.0"}}
    return write(folder / "r.yaml", steps, models=models)


def rows_of(store: Path, name: str) -> list[dict[str, object]]:
    part = Part.load(record(store, name)["parts"][0])
    return [row for visible in read_part(Store(store), part) for row in visible.rows.to_pylist()]


LOOKS = {
    "repeats": {"documents": AGAIN, "draws": 2},
    "bias": {"documents": ODD, "checks": ["reversed", "after", "half"]},
}


@pytest.fixture(scope="module")
def labelled(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Teacher]:
    folder = tmp_path_factory.mktemp("labels")
    with Teacher(judge) as teacher:
        done = curate.run(recipe(folder, teacher.base_url, **LOOKS), folder / "run").ok()
    assert "judge: asked again, gives" in done.out + done.err
    return folder, teacher


def test_a_label_is_its_document_and_a_score(labelled: tuple[Path, Teacher]) -> None:
    """Text, source and content of the document; one row a document, second looks among the rejected ones."""
    folder, teacher = labelled
    documents = {row["id"].hex(): row for row in rows_of(folder / "run", "labels")}
    assert Counter(row["labels.label"] for row in documents.values()) == {0: 30, 1: 30}
    labels = rows_of(folder / "run", "judge")
    assert len(labels) == DOCUMENTS
    shown = set()
    for row in labels:
        meta = json.loads(row["meta"])
        document = documents[meta["document"]]
        shown.add(meta["document"])
        for column in ("text", "source", "content_hash"):
            assert row[column] == document[column]
        assert row["id"] != document["id"]
        assert row["judge.score"] == 1 + int(re.search(r"\d+", row["text"])[0]) % 3
        assert row["judge.label"] == document["labels.label"]
    assert len(shown) == DOCUMENTS
    step = manifest(folder / "run")["steps"]["judge"]
    assert step["reasons"] == {"second_look": 2 * AGAIN + 3 * ODD}
    assert step["rows_in"] == DOCUMENTS + 2 * AGAIN + 3 * ODD == teacher.received.total()


def test_second_looks_are_told(labelled: tuple[Path, Teacher]) -> None:
    """What the scripted judge does is what the report says."""
    report = manifest(labelled[0] / "run")["steps"]["judge"]["report"]
    bias = report["bias"]
    assert {look: one["mean_shift"] for look, one in bias.items()} == {"after": 1.0, "half": -1.0, "reversed": -1.0}
    assert {one["documents"] for one in bias.values()} == {ODD}
    again = report["self_agreement"]
    assert again["documents"] == again["pairs"] == AGAIN
    assert again["mean_difference"] == pytest.approx(1 - again["exact"])
    assert report["length"]["documents"] == DOCUMENTS
    card = (labelled[0] / "run" / "README.md").read_text()
    assert "`judge` moves its score by -1.00 ± 0.00 with the rubric's points in reverse order" in card


def test_requests_carry_no_document(labelled: tuple[Path, Teacher]) -> None:
    """Beyond what is shown, no text of a document lies in a receipt."""
    for path in (labelled[0] / "run").rglob("*.json"):
        assert '"text": "Document' not in path.read_text(), path


def test_labels_of_a_file(labelled: tuple[Path, Teacher]) -> None:
    """Every second row has the file's label, the others none; the file beside the recipe was found."""
    rows = rows_of(labelled[0] / "run", "labels")
    for row in rows:
        number = int(re.search(r"\d+", row["text"])[0])
        assert row["human.label"] in (None, 1 + number % 3)


def test_labels_of_other_documents(curate: Curate, tmp_path: Path) -> None:
    """A file whose keys are no row's stops the run, in one line with the step and the cure."""
    (tmp_path / "rows.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "marks.csv").write_text("origin,label\nelsewhere,1\n")
    steps = [
        step("read", "read.jsonl", paths=["rows.jsonl"]),
        step("human", "label.file", labels="marks.csv", only_labelled=True),
        step("out", "write.text"),
    ]
    done = curate.run(write(tmp_path / "r.yaml", steps), tmp_path / "run")
    assert done.code == 3
    assert "r.yaml:9: step human: the file has no label for any row (2 rows); set `key`" in done.line


def test_the_same_bytes_from_smaller_splits(curate: Curate, labelled: tuple[Path, Teacher], tmp_path: Path) -> None:
    """However the rows come, the same requests: none is asked again."""
    import shutil

    folder, _ = labelled
    (tmp_path / "run").mkdir()
    shutil.copy(folder / "run" / "journal.sqlite", tmp_path / "run")
    curate.run(folder / "r.yaml", tmp_path / "run", "--split-mb", 0.001).ok()
    assert results(tmp_path / "run") == results(folder / "run")


def test_a_cap_ends_second_looks_first(curate: Curate, tmp_path: Path) -> None:
    """Under a small budget the labels come first."""
    with Teacher(judge) as teacher:
        path = recipe(tmp_path, teacher.base_url, **LOOKS)
        path.write_text(path.read_text() + "budget: {completion_tokens: 260}\n")
        curate.run(path, tmp_path / "run").ok()
    step = manifest(tmp_path / "run")["steps"]["judge"]
    assert step["report"]["stopped"] == "budget"
    assert 0 < step["rows_out"] <= DOCUMENTS
    assert step["reasons"].get("second_look", 0) == 0 or step["rows_out"] == DOCUMENTS


def test_the_shipped_recipe_labels_trains_and_selects(curate: Curate, tmp_path: Path) -> None:
    """quality-mini with a scripted judge, on a part of the pages: judged in classes of the first score, trained on the
    judge's word and the sources', scored, cut; calibrate reads its scores."""
    mine = tmp_path / "mine.yaml"
    curate("copy", "quality-mini", mine).ok()
    text = mine.read_text()
    assert "  judge: {}" in text
    with Teacher() as teacher:
        text = text.replace(
            "  judge: {}", f'  judge: {{base_url: "{teacher.base_url}", model: teacher, licence: CC0-1.0}}'
        )
        mine.write_text(text)
        done = curate.run(mine, tmp_path / "run", "--sample", 0.18).ok()
        assert teacher.received.total() == 60 + 2 * 8 + 3 * 8
    steps = manifest(tmp_path / "run")["steps"]
    assert steps["judge"]["rows_out"] == 60
    assert steps["judge"]["report"]["label"]["rows"] > 20
    assert len({row["source"] for row in rows_of(tmp_path / "run", "judge")}) > 20
    assert steps["best"]["rows_out"] < steps["scored"]["rows_out"] / 2
    for words in ("judge: asked again, gives", "judge: moves its score by", "value: on "):
        assert words in done.out + done.err
    shown = curate("calibrate", f"{tmp_path / 'run'}:scored").ok()
    assert "scored.score" in shown.out
