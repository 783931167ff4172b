"""The shipped recipe from raw pages to shards, by the command line, with a scripted teacher over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from command import Curate, Done, descendants, manifest, receipts, record, results
from recipes import step, write

from curate.llm.teacher import Call, Say, Teacher, default_script
from curate.stages import tokenizer
from curate.store.files import Store
from curate.store.parts import read_part
from curate.store.records import Part

KEY = "sk-only-for-this-test-6b1f0e7d2c"
STORE_KEY = "of-the-object-store-8d2f10ac"
SAMPLE = ("--sample", 0.06)


@dataclass(frozen=True)
class Finished:
    """A run, what it said, who answered it, which of its processes had the key in their environment or command line when
    there were children, and which children had the object store's."""

    store: Path
    recipe: Path
    done: Done
    teacher: Teacher
    children: int
    leaks: list[str]
    with_storage: list[str]


def own_recipe(curate: Curate, folder: Path, base_url: str) -> Path:
    """The shipped recipe with another teacher, as a user would edit the copy."""
    path = folder / "mine.yaml"
    curate("copy", "phi-1-mini", path).ok()
    model = f'{{base_url: "{base_url}", model: teacher, licence: CC0-1.0, key_env: TEACHER_KEY}}'
    text = path.read_text()
    for name in ("writer", "judge", "embedder"):
        assert f"  {name}: {{}}" in text
        text = text.replace(f"  {name}: {{}}", f"  {name}: {model}")
    # So few documents do not fill both classes.
    labels = "labels: [labels.label, {column: graded.score, scale: share}]\n"
    assert labels in text
    path.write_text(text.replace(labels, f"{labels}      min_per_class: 5\n"))
    return path


def shows(pid: int, key: str) -> bool:
    """Whether a key is where `ps e` and any program of this user could read it."""
    try:
        value = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return key.encode() in value


def command_line(pid: int) -> str:
    """What a process was started with."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:300]
    except OSError:
        return ""


@pytest.fixture(scope="module")
def finished(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """The whole recipe, once, in an interpreter of its own, as in a user's shell."""
    folder = tmp_path_factory.mktemp("phi")
    with Teacher() as teacher:
        recipe = own_recipe(curate, folder, teacher.base_url)
        command = [sys.executable, "-m", "curate", "run", recipe, "--store", folder / "run", "--workers", "1", *SAMPLE]
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            keys = {"TEACHER_KEY": KEY, "GITHUB_TOKEN": KEY, "AWS_SECRET_ACCESS_KEY": STORE_KEY}
            environment = {**os.environ, **keys, "COLUMNS": "200"}
            running = subprocess.Popen(list(map(str, command)), stdout=out, stderr=err, env=environment, cwd=folder)
            looks: dict[int, int] = {}
            leaks: dict[int, str] = {}
            stores: dict[int, int] = {}
            with_storage: dict[int, str] = {}
            # The probe must see the key where it is. The kernel shows a new program's environment a moment after exec.
            seen = any(shows(running.pid, KEY) or time.sleep(0.01) for _ in range(500))
            assert seen
            while running.poll() is None:
                children = descendants(running.pid)
                for pid in [running.pid, *children] if children else []:
                    if shows(pid, KEY):
                        leaks.setdefault(pid, command_line(pid))
                    # Between fork and exec a child still shows its parent's: that passes.
                    looks[pid] = looks.get(pid, 0) + 1
                    stores[pid] = stores.get(pid, 0) + shows(pid, STORE_KEY)
                    if stores[pid] >= 3 and command_line(pid):
                        with_storage[pid] = command_line(pid)
                time.sleep(0.1)  # each look reads all of /proc
        done = Done(running.returncode, (folder / "out").read_text(), (folder / "err").read_text()).ok()
        lines = [line for pid, line in with_storage.items() if pid != running.pid]
        yield Finished(folder / "run", recipe, done, teacher, len(looks) - 1, list(leaks.values()), lines)


def test_every_step_did_its_work(finished: Finished) -> None:
    """Pages and code were read, judged, scored; passages and exercises accepted, some proven; shards written."""
    found = manifest(finished.store)
    assert set(found["steps"]) == {s["id"] for s in yaml.safe_load(finished.recipe.read_text())["steps"]}
    steps = found["steps"]
    for name in (
        "web",
        "code",
        "web-rules",
        "code-rules",
        "labels",
        "judge",
        "few",
        "graded",
        "good",
        "textbooks",
        "exercises",
    ):
        assert steps[name]["rows_out"] > 0, name
    assert 0 < steps["proven"]["rows_out"] <= steps["exercises"]["rows_out"]
    assert steps["unique"]["rows_in"] == sum(steps[s]["rows_out"] for s in ("good", "textbooks"))
    assert steps["exercises-near"]["rows_in"] == steps["proven"]["rows_out"]
    assert sum(s["rows"] for s in steps["dataset"]["shards"]) > 5
    assert sum(s["rows"] for s in steps["finetune"]["shards"]) > 0
    assert found["models"]["writer"] == {"licence": "CC0-1.0", "model": "teacher"}


def test_others_open_the_dataset(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways that the summary names; the tokens are the kept documents."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    folder = finished.store / "dataset"
    disk = datasets.load_from_disk(str(folder))
    files = sorted(map(str, folder.glob("*.arrow")))
    loaded = datasets.load_dataset("arrow", data_files=files, split="train", cache_dir=str(tmp_path / "hf"))
    assert len(disk) == len(loaded) == sum(s["rows"] for s in manifest(finished.store)["steps"]["dataset"]["shards"])
    for data in (disk, loaded):
        assert data.features["input_ids"].length == 2048
        assert data.data.schema.field("input_ids").type == pa.list_(pa.uint16(), 2048)
    assert loaded[0] == disk[0]

    words = tokenizer.load(folder)
    for dataset, name in (("dataset", "textbooks"), ("finetune", "exercises-clean")):
        inside = set()
        for row in datasets.load_from_disk(str(finished.store / dataset)).with_format("numpy")["input_ids"]:
            ends = np.flatnonzero(row == words.end_of_text)
            inside |= {words.decode(ids[1:]) for ids in np.split(row, ends)[1:-1]}
        part = Part.load(record(finished.store, name)["parts"][0])
        kept = [t for rows in read_part(Store(finished.store), part) for t in rows.rows.column("text").to_pylist()]
        assert len(kept) == manifest(finished.store)["steps"][name]["rows_out"]
        assert len(inside & set(kept)) > len(kept) / 2, name


def test_pretraining_takes_eight_passes_and_finetuning_has_the_exercises_alone(finished: Finished) -> None:
    """As phi-1's: no exercise is pretrained on, and each document of CodeTextbook is taken eight times."""
    steps = manifest(finished.store)["steps"]
    shards = json.loads((finished.store / "dataset/shards.json").read_text())
    taken = {name: (one["documents"], one["copies"]) for name, one in shards["sources"].items()}
    assert set(taken) == {"filtered", "textbooks"}
    assert all(copies == 8 * documents for documents, copies in taken.values())
    assert sum(documents for documents, _ in taken.values()) == steps["clean"]["rows_out"]
    finetune = json.loads((finished.store / "finetune/shards.json").read_text())
    assert set(finetune["sources"]) == {"exercises"}


def attempts(store: Path) -> Counter[str]:
    """The journal's rows by state."""
    with sqlite3.connect(f"file:{store / 'journal.sqlite'}?mode=ro", uri=True) as db:
        return Counter(dict(db.execute("SELECT state, count(*) FROM attempts GROUP BY state")))


def test_requests_are_accounted_for(finished: Finished) -> None:
    """Each request that the server saw is a row of the journal, and each has ended."""
    states = attempts(finished.store)
    assert set(states) <= {"answered", "error", "lost"}
    assert states.total() == finished.teacher.received.total() == len(finished.teacher.calls)
    # Of what is embedded some was judged, too: one text is asked about once.
    embedded = manifest(finished.store)["steps"]["embedded"]["rows_in"]
    assert states["answered"] == finished.teacher.answered.total()
    assert 16 + embedded - 16 + 6 + 12 <= states["answered"] <= 16 + embedded + 6 + 12
    assert {call.authorization for call in finished.teacher.calls} == {f"Bearer {KEY}"}


def test_the_key_is_nowhere(finished: Finished) -> None:
    """Not in a file of the results, not in what was printed, not in the environment or the command line of any process:
    from the first child on not even the run's own."""
    files = [p for p in finished.store.rglob("*") if p.is_file()]
    assert len(files) > 50
    assert [str(p) for p in files if KEY.encode() in p.read_bytes()] == []
    assert KEY not in finished.done.out + finished.done.err
    assert finished.children >= 3
    assert finished.leaks == []


def test_only_workers_can_open_the_store(finished: Finished) -> None:
    """Object stores' credentials reach Dask's processes; not the sandbox, nor who trains on text from anywhere."""
    assert finished.with_storage
    assert [line for line in finished.with_storage if "multiprocessing" not in line] == []


def state(store: Path) -> dict[str, bytes]:
    """Every file but the diary of sessions, the lease and the events of each, and SQLite's own."""
    own = ("run.json", "status.json", "journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm")
    files = [
        p for p in store.rglob("*") if p.is_file() and p.name not in own and p.parent.name not in ("lease", "events")
    ]
    return {str(p.relative_to(store)): p.read_bytes() for p in files}


def test_again_asks_nobody(curate: Curate, finished: Finished) -> None:
    """The same command does nothing: no request, no new byte, and it needs no key."""
    before, rows, done = state(finished.store), attempts(finished.store), receipts(finished.store)
    asked = finished.teacher.received.total()
    curate.run(finished.recipe, finished.store, *SAMPLE).ok()
    assert finished.teacher.received.total() == asked
    assert attempts(finished.store) == rows
    after = state(finished.store)
    assert sorted(after) == sorted(before)
    assert [name for name in before if after[name] != before[name]] == []
    assert receipts(finished.store) == done


def test_elsewhere_the_same_answers_give_the_same_bytes(curate: Curate, finished: Finished, tmp_path: Path) -> None:
    """Without a worker, small splits, another folder: with the journal alone, no request and equal results."""
    (tmp_path / "run").mkdir()
    shutil.copy(finished.store / "journal.sqlite", tmp_path / "run")
    asked = finished.teacher.received.total()
    curate.run(finished.recipe, tmp_path / "run", *SAMPLE, "--split-mb", 1).ok()
    assert finished.teacher.received.total() == asked
    mine, first = manifest(tmp_path / "run")["steps"], manifest(finished.store)["steps"]
    assert [s["sha256"] for s in mine["dataset"]["shards"]] == [s["sha256"] for s in first["dataset"]["shards"]]
    assert results(tmp_path / "run") == results(finished.store)


def passages(folder: Path, base_url: str, **more: object) -> Path:
    """Passages in rounds of four, written out."""
    steps = [
        step("textbooks", "generate.textbooks", passages=20, round=4, max_tokens=200, min_chars=20),
        step("out", "write.text"),
    ]
    models = {"writer": {"model": "teacher", "base_url": base_url, "licence": "CC0-1.0"}}
    return write(folder / "r.yaml", steps, models=models, **more)


def test_an_endpoint_that_is_not_there(curate: Curate, tmp_path: Path) -> None:
    """Exit code 4 and one line: where, what, and what to do."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        place = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        done = curate.run(passages(tmp_path, place), tmp_path / "run")
    assert done.code == 4
    assert done.line.startswith(f"{place}: the endpoint can't be reached")
    assert "check base_url" in done.line


def test_a_small_budget_keeps_whole_rounds(curate: Curate, tmp_path: Path) -> None:
    """Charges and reserves never pass the cap, at no request; the complete rounds become the result."""
    cap, charged = 1000, []

    def script(call: Call) -> Say:
        with sqlite3.connect(f"file:{tmp_path / 'run' / 'journal.sqlite'}?mode=ro", uri=True) as db:
            charged.append(db.execute("SELECT sum(completion_tokens) FROM attempts").fetchone()[0])
        return default_script(call)

    with Teacher(script) as teacher:
        recipe = passages(tmp_path, teacher.base_url, budget={"completion_tokens": cap})
        curate.run(recipe, tmp_path / "run").ok()
        asked = manifest(tmp_path / "run")["steps"]["textbooks"]
        assert asked["report"]["stopped"] == "budget"
        assert 0 < asked["report"]["rounds"]["closed"] < asked["report"]["rounds"]["planned"] == 5
        assert asked["rows_in"] == 4 * asked["report"]["rounds"]["closed"]
        assert asked["report"]["completion_tokens"] <= max(charged) <= cap
        sent = teacher.received.total()
        assert len(charged) == sent < 20
        # Once more under the same cap: it stops at once, with the same result.
        before = json.loads((tmp_path / "run" / "manifest.json").read_bytes())
        curate.run(recipe, tmp_path / "run").ok()
        assert teacher.received.total() == sent
        assert json.loads((tmp_path / "run" / "manifest.json").read_bytes()) == before
