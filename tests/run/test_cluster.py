"""A running Dask cluster, by address and by scheduler file: the same bytes as in this process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import Curate, alive
from recipes import step, write

from curate.errors import EndpointError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]

RECIPE = """recipe: elsewhere
steps:
  - {id: docs, use: read.jsonl, with: {paths: [docs.jsonl]}}
  - {id: unique, use: dedup.exact}
  - {id: out, use: write.text, with: {documents_per_shard: 20}}
"""


def begun(pid: int, store: Path) -> None:
    """Return once a run has committed something, or has ended."""
    while alive(pid) and not list(store.glob("steps/*/*/receipts/*.json")):
        time.sleep(0.01)


def test_a_running_cluster_gives_the_same_bytes(curate: Curate, tmp_path):
    """Real scheduler and worker processes; --cluster takes the file they meet by, and the address in it."""
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": f"document {i % 50}"}) + "\n" for i in range(60)))
    (tmp_path / "r.yaml").write_text(RECIPE)
    meeting = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli"]
    scheduler = [*dask[:2], "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = [*dask[:2], "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    running = [subprocess.Popen([*scheduler, "--scheduler-file", str(meeting)], **quiet)]
    try:
        running.append(subprocess.Popen([*worker, "--scheduler-file", str(meeting)], **quiet))
        for _ in range(300):
            if meeting.exists() and meeting.read_text().strip():
                break
            time.sleep(0.1)
        address = json.loads(meeting.read_text())["address"]
        found = []
        for where in (["--workers", "0"], ["--cluster", str(meeting)], ["--cluster", address]):
            store = tmp_path / f"run{len(found)}"
            curate("run", tmp_path / "r.yaml", "--store", store, *where).ok()
            found.append(
                [p.read_bytes() for p in sorted((store / "out").glob("*.arrow"))]
                + [(store / "manifest.json").read_bytes()]
            )
        assert len(found[0]) > 2
        assert found[0] == found[1] == found[2]
        # The scheduler dies in the middle of a run: one line, no waiting.
        (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(3000)))
        store = tmp_path / "lost"

        def lose(pid: int) -> None:
            begun(pid, store)
            running[0].kill()

        call = ("run", tmp_path / "r.yaml", "--store", store)
        left = curate(*call, "--cluster", address, "--split-mb", 0.001, meanwhile=lose)
        assert left.code == 4, left.err
        assert left.err.count("\n") == 1
        assert left.err.startswith(f"curate: {address}: the Dask cluster went away")
        curate(*call, "--workers", 0).ok()
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(20)


@pytest.mark.parametrize("content", ["{no json", "{}", "[]"])
def test_no_scheduler_file(curate: Curate, tmp_path, content):
    """A file that is no scheduler file, and an address of no known kind: exit code 4 and one line."""
    (tmp_path / "docs.jsonl").write_text('{"text": "a document"}\n')
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "s.json").write_text(content)
    for where in (tmp_path / "s.json", "carrier-pigeon://here"):
        done = curate("run", tmp_path / "r.yaml", "--store", tmp_path / "run", "--cluster", where)
        assert done.code == 4
        assert str(where) in done.line


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "--cluster is empty; is a variable"),
        ("127.0.0.1:8786", "127.0.0.1:8786: there is no such scheduler file; an address is tcp://127.0.0.1:8786"),
    ],
)
def test_no_cluster(curate: Curate, tmp_path, given, said):
    """A variable that is not set, and an address without its protocol: one line, and nothing runs on this machine instead."""
    done = curate("run", "harvest-mini", "--store", tmp_path / "run", "--cluster", given)
    assert done.code == 2
    assert done.line.startswith(said)
    for word, size in (("--workers", "7"), ("--worker-memory", "3GB")):
        done = curate("run", "harvest-mini", "--store", tmp_path / "run", "--cluster", "tcp://127.0.0.1:9", word, size)
        assert done.code == 2
        assert done.line.startswith(f"{word} is for processes of this machine, not of --cluster; leave it out")
    assert not (tmp_path / "run").exists()


def test_a_receipt_that_its_worker_took_along():
    """Told as done, its worker dies before the receipt is had, and the next one that does it again: the task is sent once
    more."""
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    from curate.run.cluster import Runner
    from curate.run.flights import Outcome
    from curate.run.quarantine import DIED

    lost = Outcome(error=KilledWorker("SegmentTask-2", None, 0), lost=True)
    assert Runner(1)._received(lost) == (DIED, 1, [])
    assert Runner(1)._received(Outcome(error=TimeoutError(), lost=True)) == (DIED, 0, [])
    for away in (ConnectionError("closed"), FutureCancelledError("SegmentTask-2", "scheduler-connection-lost")):
        with pytest.raises(EndpointError, match="went away"):
            Runner(1)._received(Outcome(error=away, lost=True))
    with pytest.raises(ConnectionError):  # that is what the task itself raised
        Runner(1)._received(Outcome(error=ConnectionError("closed")))


def test_what_was_judged_before_one_fails(tmp_path, monkeypatch):
    """Of tasks that land together those are told of that are committed, though another one ends the run."""
    from curate.errors import InputError
    from curate.run import cluster
    from curate.run.flights import Flight, Outcome
    from curate.run.task import Task
    from curate.store.files import Store

    first, second, third = (Task(Store(tmp_path), "steps/a", key) for key in "abc")

    class Landed:
        """Flights of which three are over at once."""

        def __init__(self, *_: object) -> None:
            pass

        def landed(self, _: float) -> list[tuple[Flight, Outcome]]:
            ended = [Outcome(({"n": n}, []), ended=True) for n in (1, 3)]
            return list(
                zip(
                    (Flight(first, first), Flight(second, second), Flight(third, third)),
                    (ended[0], Outcome(error=InputError("bad luck")), ended[1]),
                    strict=True,
                )
            )

        def room(self, most: int) -> int:
            return most

        def begin(self, tasks: object) -> None:
            pass

        def clear(self) -> None:
            pass

    monkeypatch.setattr(cluster, "Flights", Landed)
    runner, seen = cluster.Runner(1), []
    crew = SimpleNamespace(client=None, execute=None, offered=(), threads=1, begin=lambda: 0, look_after=lambda _: 0)
    monkeypatch.setattr(runner, "_connect", lambda _: crew)
    with pytest.raises(InputError, match="bad luck"):
        seen.extend(runner.run([first, second, third]))
    assert [(landed.task, landed.receipt) for landed in seen] == [(first, {"n": 1})]


def test_one_that_waits_for_its_first_worker(curate: Curate, tmp_path):
    """A scheduler without workers: a line and the status say so, and who tells it to stop is not waited with."""
    (tmp_path / "docs.jsonl").write_text('{"text": "a document"}\n')
    (tmp_path / "r.yaml").write_text(RECIPE)
    meeting, store = tmp_path / "scheduler.json", tmp_path / "run"
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    running = subprocess.Popen([*scheduler, "--no-dashboard", "--scheduler-file", str(meeting)], **quiet)
    told = 0.0

    def stop(pid: int) -> None:
        nonlocal told
        status, words = store / "status.json", ("waiting for the first worker", '"no_workers_since": "20')
        while alive(pid) and not (status.exists() and all(word in status.read_text() for word in words)):
            time.sleep(0.1)
        told = time.monotonic()
        os.kill(pid, signal.SIGTERM)

    try:
        while not (meeting.exists() and meeting.read_text().strip()):
            time.sleep(0.1)
        done = curate("run", tmp_path / "r.yaml", "--store", store, "--cluster", meeting, meanwhile=stop)
        assert done.code == 143, done.err
        assert time.monotonic() - told < 15
        assert "everything that was begun is finished; 0 tasks were committed" in done.err
    finally:
        running.terminate()
        running.wait(20)


def test_interrupted(curate: Curate, tmp_path):
    """A batch system's SIGTERM to all processes: what runs is committed, two lines, and it can go on.

    ``make soak`` sends it at random moments.
    """
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(3000)))
    (tmp_path / "r.yaml").write_text(RECIPE)
    store = tmp_path / "run"

    def interrupt(pid: int) -> None:
        begun(pid, store)
        os.killpg(pid, signal.SIGTERM)

    split = ("--split-mb", 0.001)
    run = curate.run(tmp_path / "r.yaml", store, *split, workers=1, meanwhile=interrupt)
    assert run.code == 143
    first, last = run.err.strip().splitlines()
    assert first.startswith("curate: SIGTERM: finishing what runs, for 25 s at most")
    committed = re.fullmatch(
        r"curate: interrupted by SIG[A-Z]+, everything that was begun is finished; ([0-9,]+) tasks were committed by"
        " this run; the same command goes on from there",
        last,
    )
    assert committed, last
    assert int(committed[1].replace(",", "")) == len(list(store.glob("steps/*/*/receipts/*.json")))
    curate.run(tmp_path / "r.yaml", store, *split).ok()


def test_a_second_signal_ends_at_once(tmp_path):
    """Who types Ctrl-C twice does not want to wait for what runs."""
    (tmp_path / "docs.jsonl").write_text('{"text": "KILLER"}\n')
    (tmp_path / "r.yaml").write_text(RECIPE.replace("dedup.exact}", "filter.massivetext}"))
    store, kill = tmp_path / "run", Path(__file__).parents[1] / "killing"
    env = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{kill}", "KILLING_SLEEPS": "1"}
    call = [sys.executable, "-m", "curate", "run", str(tmp_path / "r.yaml"), "--store", str(store)]
    run = subprocess.Popen([*call, "--workers", "0"], stderr=subprocess.PIPE, text=True, env=env)
    assert run.stderr
    assert run.stderr.readline() == "asleep\n"
    run.send_signal(signal.SIGINT)
    assert "SIGINT: finishing what runs" in run.stderr.readline()
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    assert "interrupted by SIGINT, at once; 0 tasks" in run.stderr.readline()
    assert run.wait(60) == 130


def test_assets_by_relative_path(tmp_path, monkeypatch):
    """Workers of a running cluster have another working folder: a plan names assets by absolute paths."""
    (tmp_path / "bench").symlink_to(ROOT / "data" / "benchmarks")
    steps = [step("docs", "read.jsonl", paths=["docs.jsonl"])]
    steps += [step("clean", "decontaminate", against=["humaneval"], registry="./bench")]
    write(tmp_path / "r.yaml", steps)
    monkeypatch.chdir(tmp_path)
    planned = make_plan(load_recipe(Path("r.yaml")))
    assert (planned.steps["clean"].assets["against/0"] / "index.json").is_absolute()
