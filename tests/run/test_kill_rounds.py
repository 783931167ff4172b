"""A step that asks a model is killed: nothing that was received is asked again, and the bytes are the same.

``make soak`` has this step in its recipe, whatever it kills.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import Curate, descendants, gone, manifest, results
from recipes import step, write

from curate.llm.teacher import Call, Say, Teacher, default_script
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.cluster import Runner
from curate.run.engine import Engine
from curate.run.progress import Silent
from curate.run.stop import Stop
from curate.store.files import Store

IN_FLIGHT = 3


def slowly(call: Call) -> Say:
    """The default script's answer, after a moment: so that a kill finds requests on their way."""
    time.sleep(0.03)
    return default_script(call)


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    """A server with counts of its own."""
    with Teacher(slowly) as served:
        yield served


def recipe(folder: Path, teacher: Teacher) -> Path:
    """Passages in rounds of four, written out."""
    steps = [
        step("textbooks", "generate.textbooks", passages=20, round=4, max_tokens=200, min_chars=20),
        step("unique", "dedup.exact"),
        step("out", "write.text", documents_per_shard=8),
    ]
    models = {
        "writer": {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0", "concurrency": IN_FLIGHT}
    }
    return write(folder / "r.yaml", steps, models=models)


@pytest.fixture(scope="module")
def whole(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of an undisturbed run; another server's address is no part of them."""
    folder = tmp_path_factory.mktemp("rounds")
    with Teacher(slowly) as teacher:
        curate.run(recipe(folder, teacher), folder / "run").ok()
        assert sum(teacher.received.values()) == 20
    asked = manifest(folder / "run")["steps"]["textbooks"]
    assert asked["rows_in"] == 20
    assert asked["rows_out"] + sum(asked["reasons"].values()) == 20
    assert asked["rows_out"] > 5
    assert asked["report"]["rounds"] == {"planned": 5, "closed": 5}
    return results(folder / "run")


@pytest.mark.parametrize("point", ["round.before-publish", "round.after-publish"])
def test_killed_at(curate: Curate, teacher: Teacher, whole: dict[str, str], tmp_path: Path, point: str) -> None:
    """Killed beside the publication of a round: only what is on its way then, of later rounds, is asked again."""
    path, store = recipe(tmp_path, teacher), tmp_path / "run"
    (tmp_path / "token").touch()
    env = {"CURATE_CRASH_AT": f"{point}={tmp_path / 'token'}"}
    assert curate.run(path, store, env=env).code == -signal.SIGKILL
    curate.run(path, store).ok()
    assert len(teacher.received) == 20
    assert sum(teacher.received.values()) <= 20 + IN_FLIGHT
    assert results(store) == whole


def test_killed_while_asking(curate: Curate, teacher: Teacher, whole: dict[str, str], tmp_path: Path) -> None:
    """Killed twice with requests on their way: only those may be asked again, and no sender stays behind."""
    path, store, rng = recipe(tmp_path, teacher), tmp_path / "run", random.Random(0)
    left: list[int] = []

    def kill(pid: int) -> None:
        end, already = time.monotonic() + 30, sum(teacher.received.values())
        while sum(teacher.received.values()) < already + rng.randrange(1, 8) and time.monotonic() < end:
            time.sleep(0.002)
        children = descendants(pid)
        os.kill(pid, signal.SIGKILL)
        left.extend(gone(children))

    for _ in range(2):
        assert curate.run(path, store, meanwhile=kill).code == -signal.SIGKILL
    curate.run(path, store).ok()
    assert left == []
    assert len(teacher.received) == 20
    assert max(teacher.received.values()) <= 3
    assert sum(teacher.received.values()) <= 20 + 2 * IN_FLIGHT
    assert results(store) == whole


def test_answers_outlive_the_journal(curate: Curate, teacher: Teacher, whole: dict[str, str], tmp_path: Path) -> None:
    """Published rounds are what the step is made of: without the journal, nobody is asked again."""
    path, store = recipe(tmp_path, teacher), tmp_path / "run"
    curate.run(path, store).ok()
    for journal in store.glob("journal.sqlite*"):
        journal.unlink()
    for record in store.glob("steps/textbooks/*/done-*.json"):
        record.unlink()
    curate.run(path, store).ok()
    assert sum(teacher.received.values()) == 20
    assert results(store) == whole


def test_told_to_stop_while_asking(curate: Curate, teacher: Teacher, whole: dict[str, str], tmp_path: Path) -> None:
    """SIGTERM with requests on their way: their answers are waited for, full rounds published, and none asked twice."""
    path, store = recipe(tmp_path, teacher), tmp_path / "run"

    def term(pid: int) -> None:
        end = time.monotonic() + 60
        while sum(teacher.received.values()) < 7 and time.monotonic() < end:
            time.sleep(0.002)
        os.kill(pid, signal.SIGTERM)

    done = curate.run(path, store, meanwhile=term)
    assert done.code == 143
    assert "everything that was begun is finished" in done.err
    asked = sum(teacher.received.values())
    assert 7 <= asked < 20
    published = len(list(store.glob("steps/textbooks/*/rounds/*.json")))
    assert published in (asked // 4, (asked - IN_FLIGHT) // 4)
    curate.run(path, store).ok()
    assert set(teacher.received.values()) == {1}
    assert results(store) == whole


class Terminating(Silent):
    """Sends SIGTERM between the publication of a round and its judgement."""

    def event(self, what: str, /, **facts: Any) -> None:
        if what == "round":
            os.kill(os.getpid(), signal.SIGTERM)


def test_told_to_stop_before_a_round_is_judged(curate: Curate, whole: dict[str, str], tmp_path: Path) -> None:
    """The runner begins no judgement any more; what is on its way is waited for all the same."""

    def late(call: Call) -> Say:
        time.sleep(0.3)
        return default_script(call)

    with Teacher(late) as teacher:
        path, store = recipe(tmp_path, teacher), tmp_path / "run"
        plan = make_plan(load_recipe(path))
        with pytest.raises(SystemExit) as left, Stop() as stop, Runner(0, stop=stop) as runner:
            Engine(plan, Store(store), runner, Terminating()).run()
        assert left.value.code == 143
        asked = sum(teacher.received.values())
        assert 4 < asked < 20
        assert asked == sum(teacher.answered.values())
        curate.run(path, store).ok()
        assert set(teacher.received.values()) == {1}
        assert results(store) == whole
