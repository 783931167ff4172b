"""The two-stage recipe as it is shipped, with the scripted teacher's embeddings: scored, killed, explained, and bad input."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import Curate, manifest, results

from curate import assets
from curate.llm.teacher import Call, Say, Teacher

SHIPPED = assets.find("pipelines", "quality-two-stage-mini")


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    """With a moment before each answer, so that a kill finds requests on their way."""
    with Teacher(lambda _: Say(latency=0.01)) as served:
        yield served


def recipe(folder: Path, teacher: Teacher, **changes: dict[str, Any]) -> Path:
    """The shipped recipe beside the samples, with another endpoint, and other settings by step."""
    value = yaml.safe_load(SHIPPED.read_text())
    value["models"]["embedder"] = {
        "model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0", "prompt_price": 0.02,
        "completion_price": 0, "concurrency": 4,
    }  # fmt: skip
    for one in value["steps"]:
        one.setdefault("with", {}).update(changes.get(one["id"], {}))
        if one["id"] == "code":
            one["with"]["paths"] = [str(SHIPPED.parents[1] / path) for path in one["with"]["paths"]]
    path = folder / "r.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def whole(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """An undisturbed run, and its digests."""
    folder = tmp_path_factory.mktemp("two-stage")
    with Teacher() as teacher:
        done = curate.run(recipe(folder, teacher), folder / "run")
        done.ok()
        assert {c.embeddings for c in teacher.calls} == {True}
        assert "answers of teacher in" in (done.out + done.err)
        assert " a second, $0.000" in (done.out + done.err)
    return folder / "run", results(folder / "run")


def again(whole: tuple[Path, dict[str, str]], folder: Path) -> Path:
    """A store in which the undisturbed run is done: another recipe redoes what it changes."""
    shutil.copytree(whole[0], folder / "run", symlinks=True)
    return folder / "run"


def test_only_what_the_cheap_score_leaves_is_embedded(whole: tuple[Path, dict[str, str]]) -> None:
    """A few of each source; of those the forest, which has not seen the one it scores, keeps the better half."""
    steps = manifest(whole[0])["steps"]
    left, embedded = steps["left"]["rows_out"], steps["embedded"]
    assert embedded["rows_in"] == embedded["rows_out"] == left
    assert left < 0.06 * steps["left"]["rows_in"]
    assert embedded["report"]["dimensions"] == 64
    assert embedded["report"]["completion_tokens"] == 0 < embedded["report"]["prompt_tokens"]
    assert embedded["report"]["cut"] > 0
    assert steps["good"]["rows_out"] == -(-left // 2)
    assert (whole[0] / "fine/model.npz").is_file()
    assert "forest" in (whole[0] / "fine/card.md").read_text()


def test_a_vector_is_explained_with_its_document(curate: Curate, whole: tuple[Path, dict[str, str]]) -> None:
    """The row of a vector has its document's source and meta, and names it; nothing of it counts as written by a model."""
    import datasets

    rows = datasets.load_from_disk(str(whole[0] / "dataset"))
    row = rows[0]
    told = curate("explain", str(whole[0]), row["id"].hex() if isinstance(row["id"], bytes) else row["id"])
    told.ok()
    assert "embedded_by" in told.out
    assert "second" in told.out
    card = (whole[0] / "README.md").read_text()
    assert "synthetic" not in card.split("\n---\n")[0]


def test_killed_while_embedding(
    curate: Curate, teacher: Teacher, whole: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """What was received is not asked again, and the bytes are those of a run that nobody disturbed."""
    path, store = recipe(tmp_path, teacher), again(whole, tmp_path)
    for found in (store / "steps/embedded", *store.glob("journal.sqlite*")):
        shutil.rmtree(found) if found.is_dir() else found.unlink()

    def kill(pid: int) -> None:
        end = time.monotonic() + 60
        while sum(teacher.received.values()) < 20 and time.monotonic() < end:
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)

    assert curate.run(path, store, meanwhile=kill).code == -signal.SIGKILL
    curate.run(path, store).ok()
    assert max(teacher.received.values()) <= 2
    assert sum(teacher.received.values()) <= len(teacher.received) + 4
    assert results(store) == whole[1]


def test_other_heads_need_no_new_embeddings(
    curate: Curate, teacher: Teacher, whole: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """Another head is trained on the vectors that are there; its card names it."""
    store = again(whole, tmp_path)
    curate.run(recipe(tmp_path, teacher, fine={"model": "logistic"}), store).ok()
    assert not teacher.received
    assert "A logistic model" in (store / "fine/card.md").read_text()
    assert results(store) != whole[1]


@pytest.mark.skipif(importlib.util.find_spec("wordllama") is None, reason="the extra 'embeddings' is not installed")
def test_static_vectors_in_place_of_a_model(
    curate: Curate, teacher: Teacher, whole: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """A filter that adds the column: nobody is asked, the documents stay the rows they were."""
    value = yaml.safe_load(recipe(tmp_path, teacher).read_text())
    value["steps"] = [step for step in value["steps"] if step["id"] != "embedded"]
    by_id = {step["id"]: step for step in value["steps"]}
    place = value["steps"].index(by_id["fine"])
    value["steps"].insert(place, {"id": "embedded", "use": "embed.static", "from": "left"})
    by_id["fine"]["with"] |= {"label": "labels.label", "model": "ridge"}
    path = tmp_path / "static.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    curate.run(path, again(whole, tmp_path)).ok()
    assert not teacher.received
    steps = manifest(tmp_path / "run")["steps"]
    assert steps["embedded"]["rows_out"] == steps["left"]["rows_out"]
    assert steps["good"]["rows_out"] == -(-steps["left"]["rows_out"] // 2)
    assert (tmp_path / "run/fine/settings.json").is_file()
    curate("inspect", "--plain", str(tmp_path / "run")).ok()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fine": {"vectors": None}}, "'forest' needs 'vectors'"),
        ({"fine": {"vectors": "first.score"}}, "reads a column 'first.score' that no step before it makes"),
        ({"fine": {"vectors": "embedded.score"}}, "step 'fine': column 'vectors' holds double, no vectors"),
        ({"second": {"vectors": None}}, "scores embeddings, and the documents have none"),
        ({"embedded": {"max_documents": 5}}, "more than 5 documents to embed"),
        ({"fine": {"target": "grade", "model": "logistic"}}, "0-5|logistic"),
    ],
)
def test_mistakes_are_one_line(
    curate: Curate,
    teacher: Teacher,
    whole: tuple[Path, dict[str, str]],
    tmp_path: Path,
    changes: dict[str, Any],
    says: str,
) -> None:
    """With what is wrong and what helps; no traceback."""
    done = curate.run(recipe(tmp_path, teacher, **changes), again(whole, tmp_path))
    assert done.code in (2, 3)
    assert re.search(says, (done.out + done.err)), done.out + done.err
    assert "Traceback" not in (done.out + done.err)


def test_vectors_that_are_none_stop_the_run(curate: Curate, whole: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """A model that gives NaN for everything ends the run with the reason."""

    def script(_: Call) -> Say:
        return Say(vectors=[[float("nan")] * 4])

    with Teacher(script) as served:
        path = recipe(tmp_path, served)
        path.write_text(path.read_text().replace("model: teacher", "model: another"))
        done = curate.run(path, again(whole, tmp_path))
    assert done.code == 4
    assert "bad_vector: the vector has NaN" in (done.out + done.err)
