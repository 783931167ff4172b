"""Two commands on one store: the second refuses, or waits; a lease outlives neither its owner nor a cut-off machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from command import Curate
from recipes import step, write

from curate.errors import BusyError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run import lease
from curate.run.cluster import Runner
from curate.run.engine import Engine
from curate.run.lease import FOLDER, Lease, Owner
from curate.run.progress import Silent
from curate.store.files import Store

HOLD = """
import sys
from pathlib import Path
from curate.run.lease import Lease
from curate.store.files import Store
with Lease(Store(Path(sys.argv[1])), "curate run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that takes no time."""
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(40)))
    return write(tmp_path / "r.yaml", [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("out", "write.text")])


def holder(store: Path) -> subprocess.Popen[str]:
    """A process that holds the store until its input ends, or it is killed."""
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert held.stdout and held.stdout.readline() == "held\n"
    return held


def owner_of(store: Path) -> Owner:
    """What the newest lease says."""
    value = json.loads(max((store / FOLDER).glob("*.json")).read_text())
    value.pop("checksum", None)
    return Owner(**value)


def put(store: Path, owner: Owner) -> None:
    """A lease as another machine would have put it."""
    numbers = [int(p.stem) for p in (store / FOLDER).glob("*.json")]
    Store(store).replace_json(f"{FOLDER}/{max(numbers, default=0) + 1:08d}.json", asdict(owner))


def elsewhere(seconds: float, *, renewed: float) -> Owner:
    """An owner on another machine, which renewed so many seconds ago by its clock."""
    now = time.time()
    return Owner("t" * 32, "curate run", "far-away", 4711, "another kernel", 1, now - 999, now - renewed, 7, seconds)


def test_the_second_is_refused_then_a_dead_owner_is_not_waited_for(curate: Curate, recipe, tmp_path):
    """One line with host, pid and times, exit code 11, nothing touched; after kill -9 of the owner the next one runs."""
    store = tmp_path / "run"
    held = holder(store)
    try:
        before = sorted(store.rglob("*"))
        refused = curate.run(recipe, store)
        assert refused.code == 11
        assert f"{store}: is in use (curate run, pid {held.pid} on " in refused.line
        assert "renewed" in refused.line
        assert sorted(store.rglob("*")) == before
        assert curate("plan", recipe, "--store", store).code == 0
    finally:
        held.kill()
        held.wait()
    curate.run(recipe, store).ok()
    assert owner_of(store).released
    assert "checksum" in json.loads(max((store / FOLDER).glob("*.json")).read_text()), "renewed without a seal"
    assert len(list((store / FOLDER).iterdir())) == 1


def test_waiting(curate: Curate, recipe, tmp_path):
    """--wait says once whom it waits for, and runs when that one is done."""
    store = tmp_path / "run"
    held = holder(store)

    def release(_: int) -> None:
        time.sleep(1)
        assert not (store / "manifest.json").exists()
        assert held.stdin
        held.stdin.close()

    done = curate.run(recipe, store, "--wait", meanwhile=release).ok()
    assert held.wait(20) == 0
    assert f"pid {held.pid}" in done.err + done.out
    assert (store / "manifest.json").exists()


def test_an_owner_that_stopped_is_alive(curate: Curate, recipe, tmp_path):
    """On this machine a process that does not renew, but is there, keeps its lease: it may go on at any moment."""
    store = tmp_path / "run"
    held = holder(store)
    try:
        os.kill(held.pid, signal.SIGSTOP)
        put(store, replace(owner_of(store), renewed=time.time() - 9999))
        assert curate.run(recipe, store).code == 11
    finally:
        held.kill()
        held.wait()


@pytest.mark.parametrize("renewed", [9999, -86400])
def test_an_owner_on_a_machine_that_died(renewed, tmp_path):
    """Its lease is watched for as long as it holds and then taken, be its clock right or a day ahead."""
    put(tmp_path, elsewhere(1, renewed=renewed))
    notes: list[str] = []
    began = time.monotonic()
    with Lease(Store(tmp_path), "curate run", note=notes.append):
        assert time.monotonic() - began >= 1
    assert len(notes) == 1
    assert "far-away" in notes[0]


def test_a_lease_that_is_damaged(curate: Curate, recipe, tmp_path, monkeypatch):
    """It is that of a machine that died: watched as long as one holds, then taken. One whose owner lives is whole again with its
    next renewal, and a command that only looks is not stopped by it."""
    store = tmp_path / "run"
    curate.run(recipe, store).ok()
    (path,) = (store / FOLDER).glob("*.json")
    whole = path.read_bytes()
    path.write_bytes(whole[:10])
    curate("plan", recipe, "--store", store).ok()
    monkeypatch.setattr(lease, "EXPIRE_SECONDS", 1)
    notes: list[str] = []
    with Lease(Store(store), "curate run", note=notes.append) as taken:
        assert [str(path) in note and "is damaged" in note and "None" not in note for note in notes] == [True]
        (mine,) = (store / FOLDER).glob("*.json")
        good = mine.read_bytes()
        mine.write_bytes(b"{}")
        taken.check()
        mine.write_bytes(good)
    assert owner_of(store).released


def test_a_lease_of_another_version(curate: Curate, recipe, tmp_path):
    """What it says besides is nothing to us; one that says too little is damaged."""
    owner = elsewhere(60, renewed=0)
    Store(tmp_path).replace_json(f"{FOLDER}/00000001.json", {**asdict(owner), "colour": "red"})
    assert lease.holder(Store(tmp_path)) == (1, owner)
    assert "far-away" in curate.run(recipe, tmp_path).line
    Store(tmp_path).replace_json(f"{FOLDER}/00000002.json", {"token": "t"})
    found = lease.holder(Store(tmp_path))
    assert found is not None and found[0] == 2 and "is damaged" in str(found[1])


def test_an_owner_elsewhere_that_lives(tmp_path):
    """One that renews is refused at once when clocks agree, and never taken for dead when they don't."""
    put(tmp_path, elsewhere(2, renewed=1))
    with pytest.raises(BusyError, match="pid 4711 on far-away"), Lease(Store(tmp_path), "curate run"):
        pass
    alive = elsewhere(0.9, renewed=9999)
    stop = threading.Event()

    def renew() -> None:
        for n in range(1, 10**6):
            Store(tmp_path).replace_json(f"{FOLDER}/00000001.json", asdict(replace(alive, renewals=n)))
            if stop.wait(0.05):
                return

    renewing = threading.Thread(target=renew)
    renewing.start()
    taken = threading.Event()

    def take() -> None:
        with Lease(Store(tmp_path), "curate run", wait=True):
            taken.set()

    taking = threading.Thread(target=take)
    taking.start()
    assert not taken.wait(3)
    stop.set()
    renewing.join()
    taking.join(30)
    assert taken.is_set()


def test_of_many_at_once_one_holds(tmp_path):
    """Threads that take it, hold it and give it back: never two at a time, and each gets its turn."""
    store, inside, most, turns = Store(tmp_path), 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, turns
        with Lease(store, "curate run", wait=True):
            with guard:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with guard:
                inside -= 1
                turns += 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, turns) == (1, 6)


def test_who_lost_it_publishes_nothing(recipe, tmp_path):
    """A run that was taken for dead, and was not, stops before its next record, link or manifest."""
    root = tmp_path / "run"

    class Taken(Silent):
        def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
            if what == "writing shards":
                put(root, elsewhere(60, renewed=0))

    store = Store(root)
    with Lease(store, "curate run") as lease, Runner(0) as runner:
        engine = Engine(make_plan(load_recipe(recipe)), store, runner, Taken(), lease=lease)
        with pytest.raises(BusyError, match=r"lost the store to another command .*far-away"):
            engine.run()
    assert not (root / "out").exists()
    assert not list(root.glob("steps/out/*/done-*.json"))
    assert list(root.glob("steps/out/*/receipts/*.json"))
    assert not owner_of(root).released, "the lease of the one who took it was touched"
