"""Promise 2: kill -9 any process at any moment; the same command goes on from there and gives the same bytes.

Here is one kill of each kind. ``make soak`` kills at every crash point (the only process, and workers), and any process
at random moments some 200 times; ``make bigfile`` kills inside a file of each format, ``make s3`` at every point of a run on
an object store.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import Curate, descendants, gone, manifest, results
from corpus import code, lines, one_frame, prose, rows
from recipes import Steps, small_classifier, step, write

from curate.store.files import CRASH_POINTS

WORKER = ("reduce.after-receipt", "shard.before-receipt")
"""Points in tasks: on Dask they kill a worker."""
POINTS = ("cut.after-piece", "publish.before-manifest")
"""Inside of a task, and in the driver while it publishes."""
PAIRS = (("segment.before-receipt", "segment.after-receipt"), ("map.before-receipt", "map.after-receipt"))
"""Points before and after one commit, of a segment and inside an exchange: killed at both in turn, a run still gets on by
one commit each time."""
SPLIT = ("--split-mb", 0.03)


def steps() -> Steps:
    """Small, but with every kind of task."""
    return [
        step("prose", "read.jsonl", paths=["prose.jsonl"]),
        step("rules", "filter.massivetext", min_words=30, max_symbol_ratio=0.02),
        step("code", "read.jsonl", paths=["code.jsonl.zst"]),
        step("unique", "dedup.exact", ["rules", "code"], index=True),
        step("labels", "label.contrast", positive=["prose"], negative=["code"]),
        small_classifier(),
        step("scored", "score.classifier", "labels", classifier="value"),
        step("good", "select.where", column="scored.score", top=0.7),
        step("text", "write.text", documents_per_shard=20),
    ]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe beside its inputs: a plain file of two splits and a one-frame zst that is cut into pieces."""
    folder = tmp_path_factory.mktemp("kill")
    english, python = prose(30), code(12, 8000)
    (folder / "prose.jsonl").write_bytes(lines(rows(english + english[:5], "a")))
    (folder / "code.jsonl.zst").write_bytes(one_frame(lines(rows(python, "c"))))
    return write(folder / "kill.yaml", steps(), name="kill")


@pytest.fixture(scope="module")
def whole(curate: Curate, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of what an undisturbed run gives."""
    store = tmp_path_factory.mktemp("whole")
    curate.run(recipe, store, *SPLIT).ok()
    found = manifest(store)["steps"]
    assert len(found["text"]["shards"]) == 2
    assert (
        found["unique"]["reasons"] == {"exact_duplicate": 4} or found["unique"]["rows_in"] > found["unique"]["rows_out"]
    )
    return results(store)


def tokens(folder: Path, points: tuple[str, ...]) -> dict[str, str]:
    """CURATE_CRASH_AT that kills once at each point."""
    for point in points:
        (folder / point).touch()
    return {"CURATE_CRASH_AT": ",".join(f"{p}={folder / p}" for p in points)}


def test_the_points_are_known() -> None:
    """A point that was renamed kills nobody."""
    assert {*WORKER, *POINTS, *(p for pair in PAIRS for p in pair)} <= set(CRASH_POINTS)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(curate: Curate, recipe: Path, whole: dict[str, str], tmp_path: Path, point: str) -> None:
    """The only process is killed at a point, once; the same command then finishes with the same bytes."""
    store = tmp_path / "run"
    done = curate.run(recipe, store, *SPLIT, env=tokens(tmp_path, (point,)))
    assert done.code == -signal.SIGKILL
    assert not (tmp_path / point).exists()
    assert "Traceback" not in done.err
    curate.run(recipe, store, *SPLIT).ok()
    assert results(store) == whole


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_killed_at_every_commit(
    curate: Curate, recipe: Path, whole: dict[str, str], tmp_path: Path, pair: tuple[str, str]
) -> None:
    """Killed before a commit, then after it, then before the next one, and so on to the end."""
    store, kills = tmp_path / "run", 0
    for turn in range(200):
        point = pair[turn % 2]
        done = curate.run(recipe, store, *SPLIT, env=tokens(tmp_path, (point,)))
        if done.code == 0:
            break
        assert done.code == -signal.SIGKILL, done.err
        kills += 1
    assert kills >= 2
    assert results(store) == whole


def test_resumes_inside_a_file(curate: Curate, tmp_path: Path) -> None:
    """One file in one zst frame, killed behind its second commit: that work stays, and the bytes are the same."""
    (tmp_path / "one.jsonl.zst").write_bytes(one_frame(lines(rows(prose(60), "a"))))
    read = [
        step("read", "read.jsonl", paths=["one.jsonl.zst"]),
        step("rules", "filter.fineweb"),
        step("text", "write.text"),
    ]
    recipe = write(tmp_path / "one.yaml", read)
    curate.run(recipe, tmp_path / "whole", *SPLIT).ok()
    store = tmp_path / "run"
    for _ in range(2):
        assert (
            curate.run(recipe, store, *SPLIT, env=tokens(tmp_path, ("segment.after-receipt",))).code == -signal.SIGKILL
        )
    kept = {path: path.stat().st_mtime_ns for path in store.glob("steps/*/*/receipts/*.json")}
    assert len(kept) >= 2
    curate.run(recipe, store, *SPLIT).ok()
    assert results(store) == results(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(store.glob("steps/*/*/receipts/*.json"))) > len(kept)


def test_driver_dies_any_time(curate: Curate, recipe: Path, whole: dict[str, str], tmp_path: Path) -> None:
    """kill -9 of the driver at random moments, again and again, until a run gets to its end."""
    rng, store = random.Random(0), tmp_path / "run"

    def kill(pid: int) -> None:
        # A moment drawn from the files that a run leaves, not from the clock: fast machines would be done by then.
        aim = len(list(store.rglob("*"))) + rng.randrange(1, 25)
        wait_for(lambda: len(list(store.rglob("*"))) >= aim)
        time.sleep(rng.uniform(0, 0.004))
        os.kill(pid, signal.SIGKILL)

    codes = [curate.run(recipe, store, *SPLIT, meanwhile=kill).code for _ in range(2)]
    assert codes == [-signal.SIGKILL] * 2
    curate.run(recipe, store, *SPLIT).ok()
    assert results(store) == whole


def test_workers_die(curate: Curate, recipe: Path, whole: dict[str, str], tmp_path: Path) -> None:
    """The driver is killed: its workers end by themselves. The next one's workers die: Dask runs their tasks again."""
    store, seen = tmp_path / "run", list[int]()

    def kill_driver(pid: int) -> None:
        wait_for(lambda: any(store.glob("steps/*/*/receipts/*.json")))
        seen.extend(descendants(pid))
        os.kill(pid, signal.SIGKILL)

    assert curate.run(recipe, store, *SPLIT, workers=2, meanwhile=kill_driver).code == -signal.SIGKILL
    assert len(seen) >= 2
    left = gone(seen)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []
    curate.run(recipe, store, *SPLIT, workers=2, env=tokens(tmp_path, WORKER)).ok()
    assert [p for p in WORKER if (tmp_path / p).exists()] == [], "points that were not reached"
    assert results(store) == whole


_IMPATIENT = """
import sys
from curate.run import deploy
deploy.CONFIG["distributed.deploy.lost-worker-timeout"] = "1ms"
from curate.cli import main
main()
"""


def test_worker_that_dask_gives_up_is_replaced(recipe: Path, whole: dict[str, str], tmp_path: Path) -> None:
    """Dask dismisses a worker's place when the worker is slow to start again: here, at once, and the only one."""
    argv = ["run", recipe, "--store", tmp_path / "run", "--workers", 1, *SPLIT]
    env = {**os.environ, **tokens(tmp_path, ("segment.before-receipt",))}
    done = subprocess.run(
        [sys.executable, "-c", _IMPATIENT, *map(str, argv)], env=env, capture_output=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "segment.before-receipt").exists()
    assert results(tmp_path / "run") == whole


def wait_for(condition, seconds: float = 60) -> None:
    """Return once a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)
