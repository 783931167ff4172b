"""Workers that are told to go, or whose time is over: their tasks are done elsewhere, and no death is counted."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curate.errors import EndpointError, WorkerError
from curate.run import cluster, crew
from curate.run.cluster import Runner
from curate.run.crew import Crew
from curate.run.deploy import Deployment
from curate.run.leaving import ENDS
from curate.run.needs import Needs
from curate.run.progress import Silent
from curate.run.task import Task
from curate.store.files import Store


@dataclass(frozen=True)
class Waits(Task):
    """Says that it has begun, and where, and waits for a file of that worker; then it is done."""

    kind: str = ""

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset({self.kind} - {""})

    @property
    def point(self) -> str:
        return "segment"

    def work(self) -> dict[str, Any]:
        from distributed import get_worker

        name = get_worker().name
        (self.store.root / f"{self.key}-on-{name}").touch()
        while not (self.store.root / f"{self.key}-may-end-on-{name}").exists():
            time.sleep(0.02)
        return {"on": name}


def _die_with_us() -> None:
    """In a child before it becomes what it will be: it is not to be left behind when the tests are killed (prctl(2))."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def until(there: Callable[[], Any], seconds: float = 90) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


class Cluster:
    """A scheduler and workers with nannies, each a process group of its own, as a batch system's jobs are."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.running = folder, dict[str, subprocess.Popen[bytes]]()
        self.meeting = folder / "scheduler.json"
        self._start("scheduler", "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")

    def _start(self, name: str, program: str, *argv: str, **env: str) -> None:
        path = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, sys.path)]), **env}
        call = [sys.executable, "-m", f"distributed.cli.{program}", *argv, "--scheduler-file", str(self.meeting)]
        self.running[name] = subprocess.Popen(
            call,
            preexec_fn=_die_with_us,  # noqa: PLW1509 - it takes no lock
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=path,
            start_new_session=True,
        )

    def worker(self, name: str, *argv: str, **env: str) -> None:
        """Start one."""
        until(lambda: self.meeting.exists() and self.meeting.read_text().strip())
        more = ("--nthreads", "1", "--no-dashboard", "--local-directory", "/dev/shm", "--name", name, *argv)
        self._start(name, "dask_worker", *more, **env)

    def tell(self, name: str, number: int) -> None:
        """Send a signal to all processes of a worker, as Slurm does."""
        os.killpg(self.running[name].pid, number)

    def close(self) -> None:
        for process in reversed(self.running.values()):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests here: each starts workers of its own."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many deaths each attempt was charged with."""
    found: list[int] = []
    real = cluster.judge
    monkeypatch.setattr(
        cluster, "judge", lambda flight, receipt, n, works: found.append(n) or real(flight, receipt, n, works)
    )
    return found


class Script(dict[str, Callable[[], None]]):
    """What happens when a task has begun on a worker, once each."""

    def __init__(self, folder: Path, **steps: Callable[[], None]) -> None:
        super().__init__(steps)
        self.folder = folder

    def __call__(self, task: Task) -> tuple[Task, ...]:
        for name in [name for name in self if list(self.folder.glob(name))]:
            self.pop(name)()
        return ()


def test_a_worker_that_is_told_to_go(dask: Cluster, tmp_path: Path, deaths: list[int]) -> None:
    """SIGTERM to a worker's processes in the middle of a task, as at a job's time limit or from scancel: another one does the
    task, which is charged with nothing. A kind of worker that is offered is kept for the tasks that are for it."""
    store, said = Store(tmp_path / "run"), list[str]()
    (tmp_path / "run").mkdir()
    dask.worker("first", "--resources", "sandbox=1")

    def end_first() -> None:
        dask.worker("second", "--resources", "sandbox=1")
        dask.tell("first", signal.SIGTERM)

    script = Script(store.root, **{"a-on-first": end_first, "a-on-second": (store.root / "a-may-end-on-second").touch})
    needs = Needs(kinds={"sandbox": ("proven",), "embed": ("vectors",)})
    with Runner(0, str(dask.meeting), needs=needs, note=said.append) as runner:
        found = {task.key: receipt for task, receipt, _ in runner.run([Waits(store, "f", "a", "sandbox")], script)}
    assert found == {"a": {"on": "second"}}
    assert deaths == [0]
    assert said == [
        f"{dask.meeting}: no worker offers 'embed', which step 'vectors' is for: it runs on any (offered: sandbox)"
    ]
    (store.root / "a-may-end-on-first").touch()  # its thread would be waited for
    assert dask.running["first"].wait(60) == 0
    dask.tell("second", signal.SIGKILL)


def test_a_worker_whose_time_is_over(dask: Cluster, tmp_path: Path, deaths: list[int]) -> None:
    """It finishes what runs, begins nothing more, and goes: what waited for it is done by another."""
    store = Store(tmp_path / "run")
    (tmp_path / "run").mkdir()
    dask.worker("short", **{ENDS: str(time.clock_gettime(time.CLOCK_BOOTTIME))})  # over before it begins

    def more() -> None:
        dask.worker("long")
        time.sleep(1)  # long enough for a task that waits there to be begun, were it so
        assert not list(store.root.glob("b-on-short"))
        (store.root / "a-may-end-on-short").touch()

    script = Script(store.root, **{"a-on-short": more, "b-on-long": (store.root / "b-may-end-on-long").touch})
    with Runner(0, str(dask.meeting)) as runner:
        tasks = [Waits(store, "f", key) for key in "ab"]
        found = {task.key: receipt["on"] for task, receipt, _ in runner.run(tasks, script)}
    assert found == {"a": "short", "b": "long"}
    assert sum(deaths) == 0
    assert dask.running["short"].wait(60) == 0
    dask.tell("long", signal.SIGKILL)


class Nobody(Deployment):
    """A deployment that nobody asks for its client."""

    def __init__(self) -> None:
        super().__init__(None)


def test_a_task_that_no_worker_has_time_for(tmp_path: Path) -> None:
    """Left by one worker after the other: one line that says so, instead of no end."""
    looks = Crew(Nobody(), "here", print, Silent())
    for _ in range(5):
        looks._left_by((0.0, {"keys": ["Waits-k-1"]}))
    task = Waits(Store(tmp_path), "f", "k")
    looks._check_left(type("Flights", (), {"flying": lambda _, key: None})())
    with pytest.raises(
        WorkerError, match="5 workers came to the end of their time while they were at it; give them a longer"
    ):
        looks._check_left(type("Flights", (), {"flying": lambda _, key: task})())


def test_a_kind_of_worker_that_does_not_come_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tasks that are for it wait for a while, then it is one line; where a queue brings others, and without such tasks, nothing is said."""
    clock = [100.0]
    monkeypatch.setattr(crew, "time", type("Clock", (), {"monotonic": staticmethod(lambda: clock[0])}))
    deployment, flights = Nobody(), type("Flights", (), {"tasks": lambda _: flying})()
    looks = Crew(deployment, "tcp://a:1", print, Silent())
    looks.offered = frozenset({"sandbox"})
    flying = [Waits(Store(tmp_path), "f", "a", "sandbox")]
    looks._check_kinds(frozenset(), flights)
    clock[0] += 299
    looks._check_kinds(frozenset(), flights)
    clock[0] += 2
    with pytest.raises(EndpointError, match=r"^tcp://a:1: the workers that offered 'sandbox' have been gone for 301 s"):
        looks._check_kinds(frozenset(), flights)
    deployment.queued = True
    looks._check_kinds(frozenset(), flights)
    deployment.queued, flying = False, [Waits(Store(tmp_path), "f", "b")]
    looks._check_kinds(frozenset(), flights)
    flying = [Waits(Store(tmp_path), "f", "a", "sandbox")]
    looks._check_kinds(frozenset({"sandbox"}), flights)
    looks._check_kinds(frozenset(), flights)  # it is counted anew


def test_the_mark_says_what_is_asked(tmp_path: Path) -> None:
    """A worker reads in the store what it is asked for: it does not travel with every task."""
    from curate.run import worker

    store = Store(tmp_path)
    worker.put_token(store, "t", {"numpy": "1"}, Needs({"a": "1"}))
    assert store.read_json(worker.MARK) == {
        "token": "t",
        "versions": {"numpy": "1"},
        "needs": {"packages": {"a": "1"}, "assets": {}},
    }
