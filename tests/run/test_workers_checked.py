"""Workers of a cluster that is somebody else's are asked, before the first task and when they join, what they are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Curate
from recipes import step, write

from curate.errors import StorageError, VersionError
from curate.run import worker
from curate.run.crew import _offers
from curate.store.files import Store


def test_versions():
    """Each difference is named, with the worker; of many workers the first few."""
    ours = worker.our_facts()
    worker.check_versions({"tcp://a:1": ours, "tcp://b:1": dict(ours)}, ours)
    other = {**ours, "pyarrow": "1.0"}
    del other["numpy"]
    with pytest.raises(VersionError) as found:
        worker.check_versions({f"tcp://{n}:1": other for n in range(5)} | {"tcp://a:1": ours}, ours)
    said = str(found.value)
    assert said.startswith("workers of the cluster have other versions (tcp://0:1: ")
    assert f"numpy absent instead of {ours['numpy']}" in said
    assert f"pyarrow 1.0 instead of {ours['pyarrow']}" in said
    assert "and 2 more" in said
    with pytest.raises(VersionError) as found:  # who has no curate can't say what else there is
        worker.check_versions({"tcp://a:1": {"curate": "absent (No module named 'curate')"}}, ours)
    assert f"(tcp://a:1: curate absent (No module named 'curate') instead of {ours['curate']});" in str(found.value)


def test_offers():
    """A worker that has less than one of a kind has none: a task takes one."""
    workers = {"a": {"resources": {"sandbox": 0.5, "embed": 1}}, "b": {"resources": {"gpu": 2.0}}, "c": {}}
    assert _offers(workers) == {"embed", "gpu"}


def test_sight(tmp_path):
    """The store that a worker sees under this path is none, another one, or ours."""
    ours, other = Store(tmp_path / "ours"), Store(tmp_path / "other")
    assert worker.sees(ours, "t") == "does not have it"
    worker.put_token(ours, "t")
    worker.put_token(other, "u")
    assert worker.sees(ours, "t") == ""
    assert worker.sees(other, "t") == "has another one there"
    with pytest.raises(StorageError, match=r"workers of the cluster do not see the store .tcp://a:1: has another one"):
        worker.check_sight(ours, {"tcp://a:1": worker.sees(other, "t"), "tcp://b:1": ""})
    worker.remove_token(ours)
    assert worker.sees(ours, "t") == "does not have it"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="a mount namespace needs root and unshare"
)
def test_workers_that_can_not_work(curate: Curate, tmp_path):
    """Real ones: one with another curate, one that joins in the middle without any, and one that does on a machine without the
    folder: one line each. No worker dies of it, and no row is suspected."""
    (tmp_path / "in").mkdir()
    lines = (json.dumps({"text": f"document {n}"}) for n in range(900))
    (tmp_path / "in" / "docs.jsonl").write_text("".join(f"{line}\n" for line in lines))
    recipe = write(
        tmp_path / "in" / "r.yaml", [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("out", "write.text")]
    )
    store = tmp_path / "stores" / "run"
    store.parent.mkdir()
    other = tmp_path / "other" / "curate"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.1"\n')
    none = tmp_path / "none"
    none.mkdir()
    (none / "curate.py").write_text('raise ModuleNotFoundError("No module named curate", name="curate")\n')
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    python = [sys.executable, "-m"]
    meeting = tmp_path / "scheduler.json"
    scheduler = [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    # Where a death is told at once, one that is a worker's own fault would be charged to a task soonest.
    env = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    running = {"scheduler": subprocess.Popen([*scheduler, "--scheduler-file", str(meeting)], env=env, **quiet)}

    def start(name: str, *before: str, **env: str) -> None:
        """A worker: it comes up, and waits for the file that tells where the scheduler is."""
        work = [*before, *python, "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard", "--no-nanny"]
        work += ["--local-directory", "/dev/shm", "--scheduler-file", str(tmp_path / name), "--name", name]
        running[name] = subprocess.Popen(work, env={**os.environ, **env}, **quiet)

    def admit(name: str) -> None:
        (tmp_path / name).write_bytes(meeting.read_bytes())

    def join(name: str, store: Path) -> Callable[[int], None]:
        def joined(_: int) -> None:
            end = time.monotonic() + 100
            while not list(store.glob("steps/*/*/receipts/*")) and time.monotonic() < end:
                time.sleep(0.01)
            running["good"].send_signal(signal.SIGSTOP)  # From now on all tasks are the other one's.
            admit(name)

        return joined

    try:
        start("foreign", PYTHONPATH=str(other.parent))
        start("good")
        start("bare", PYTHONPATH=str(none))
        start("blind", "unshare", "-m", "sh", "-c", f'mount -t tmpfs none {store.parent} && exec "$@"', "sh")
        for _ in range(600):
            if meeting.exists() and meeting.read_text().strip():
                break
            time.sleep(0.1)
        admit("foreign")
        done = curate.run(recipe, store, "--cluster", meeting)
        assert done.code == 8
        assert "have other versions" in done.line
        assert "curate absent (No module named" in done.line
        assert not list(store.glob("steps/*/*/receipts/*"))
        running["foreign"].kill()
        running["foreign"].wait(20)
        admit("good")
        split = ("--split-mb", 0.001)
        other_store = store.with_name("other")
        done = curate.run(recipe, other_store, "--cluster", meeting, *split, meanwhile=join("bare", other_store))
        assert done.code == 8, done.err
        assert "a worker of the cluster has another curate (No module named curate)" in done.line
        assert running["bare"].poll() is None
        running["bare"].kill()
        running["bare"].wait(20)
        running["good"].send_signal(signal.SIGCONT)
        done = curate.run(recipe, store, "--cluster", meeting, *split, meanwhile=join("blind", store))
        assert done.code == 6, done.err
        assert "do not see the store" in done.line
    finally:
        for process in reversed(running.values()):
            process.kill()
            process.wait(20)
