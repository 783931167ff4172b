"""What the engine's way to Dask costs where tasks cost nothing, and what many workers cost the scheduler.

* ``cluster tasks``: tasks that do nothing, through our Runner on an embedded cluster of two workers; references, in turns on the
  same cluster: futures of a function that does nothing, each submitted alone, as many on their way as ours, gathered as they end;
  and all of them sent by one ``map`` and gathered at once, which is the most that Dask does.
* ``cluster small tasks``: the same in bundles, as the engine sends tasks of little input (run/bundle.py); and with a receipt
  each, durable on the disk below ``TMPDIR``.
* ``cluster connections N``: N real workers of one thread (many in few processes, each with its own connection and heartbeat)
  on a scheduler in a process of its own: tasks that do nothing, and the CPU and memory of scheduler, driver and a worker.

Sizes: BENCH_TASKS (20000), BENCH_CONNECTIONS (200,1000).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.run.bundle import MOST_TASKS, Bundle
from curate.run.cluster import Runner
from curate.run.task import Task
from curate.store.files import Store
from tests.bench.measure import ROOT, Row, peak_mb

_WORKERS_EACH = 125
"""Workers of one process: each is a connection, two listeners and two heartbeats, and shares the libraries with the others."""
_ALONE = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.worker.memory.spill": False,
}
"""Of these workers: what each does for itself, a hundred times a second, the scheduler does not see, but two cores do."""


@dataclass(frozen=True)
class Nothing(Task):
    """Does nothing, and commits nothing."""

    def run(self) -> Any:
        return {}

    def work(self) -> Any:
        return {}

    def commit(self, value: Any, unsynced: Iterable[Path]) -> Any:
        return value


@dataclass(frozen=True)
class Receipt(Task):
    """Does nothing, and commits that."""

    @property
    def point(self) -> str:
        return "segment"

    def work(self) -> Any:
        return {}


def nothing(number: int) -> dict[str, int]:
    """The same for Dask."""
    return {}


def _ours(runner: Runner, folder: Path, count: int, kind: type[Task] = Nothing, each: int = 1) -> float:
    """Seconds that so many tasks take, in bundles of ``each``."""
    store = Store(folder)
    start = time.perf_counter()
    tasks: list[Task] = [kind(store, "f", uuid.uuid4().hex) for _ in range(count)]
    if each > 1:
        groups = [tuple(tasks[first : first + each]) for first in range(0, count, each)]
        tasks = [Bundle(store, "f", f"{some[0].key}x{len(some)}", some) for some in groups]
    receipts = sum(len(landed.receipt) or 1 for landed in runner.run(tasks))
    assert receipts == count
    return time.perf_counter() - start


def _at_once(client: Any, count: int) -> float:
    start = time.perf_counter()
    futures = client.map(nothing, range(count), key=f"nothing-{time.monotonic_ns()}", pure=False)
    assert len(client.gather(futures)) == count
    return time.perf_counter() - start


def _theirs(client: Any, count: int, window: int) -> float:
    from distributed import as_completed

    start = time.perf_counter()
    done = as_completed(with_results=True)
    sent = 0
    while sent < min(window, count):
        done.add(client.submit(nothing, sent, key=f"nothing-{time.monotonic_ns()}-{sent}", pure=False))
        sent += 1
    ended = 0
    for future, _ in done:
        ended += 1
        future.release()
        if sent < count:
            done.add(client.submit(nothing, sent, key=f"nothing-{time.monotonic_ns()}-{sent}", pure=False))
            sent += 1
    assert ended == count
    return time.perf_counter() - start


def _children_cpu() -> float:
    """CPU seconds of this process's children that live."""
    ticks = 0
    for children in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for child in children.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def tasks() -> Iterator[Row]:
    """Ours and Dask's in turns on one cluster, three times each."""
    count = int(os.environ.get("BENCH_TASKS", "20000"))
    with tempfile.TemporaryDirectory() as temporary, Runner(2) as runner:
        folder = Path(temporary)
        _ours(runner, folder, 100)
        client = runner._connect(Store(folder)).client
        ways: dict[str, Callable[[], float]] = {
            "cluster tasks": lambda: _ours(runner, folder, count),
            "futures one by one": lambda: _theirs(client, count, runner._window),
            "map at once": lambda: _at_once(client, count),
            "cluster small tasks": lambda: _ours(runner, folder, count, each=MOST_TASKS),
            "with receipts": lambda: _ours(runner, folder, count, Receipt, MOST_TASKS),
        }
        taken = {name: list[tuple[float, float, float]]() for name in ways}
        for _ in range(3):
            for name, way in ways.items():
                driver, workers = time.process_time(), _children_cpu()
                seconds = way()
                spent = time.process_time() - driver, _children_cpu() - workers
                taken[name].append((seconds, *spent))
    for name, reference in (
        ("cluster tasks", "futures one by one"),
        ("cluster tasks", "map at once"),
        ("cluster small tasks", "map at once"),
        ("with receipts", "map at once"),
    ):
        ours, theirs = min(taken[name]), min(taken[reference])
        yield {
            "name": name,
            "cores": 2,
            "clock": "wall",
            "count": count,
            "seconds": [seconds for seconds, _, _ in taken[name]],
            "per_s": count / ours[0],
            "driver_cpu_ms_per_task": 1000 * ours[1] / count,
            "workers_cpu_ms_per_task": 1000 * ours[2] / count,
            "reference": reference,
            "reference_seconds": [seconds for seconds, _, _ in taken[reference]],
            "reference_per_s": count / theirs[0],
            "reference_driver_cpu_ms_per_task": 1000 * theirs[1] / count,
            "reference_workers_cpu_ms_per_task": 1000 * theirs[2] / count,
            "ratio": theirs[0] / ours[0],
            "load": os.getloadavg()[0],
            "peak_rss_mb": peak_mb(),
        }


# -- many connections ----------------------------------------------------------------------------------------------


def _facts(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / ticks, pages * resource.getpagesize() / 1e6


def connections() -> Iterator[Row]:
    """So many workers, and tasks in the window that the Runner takes for them."""
    for number in map(int, os.environ.get("BENCH_CONNECTIONS", "200,1000").split(",")):
        with tempfile.TemporaryDirectory() as temporary:
            yield _connected(Path(temporary), number)


def _connected(folder: Path, number: int) -> Row:
    count = int(os.environ.get("BENCH_TASKS", "20000"))
    meeting = folder / "scheduler.json"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    call = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
    ]
    running = [
        subprocess.Popen([*call, "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(meeting)], **quiet)
    ]
    try:
        while not (meeting.exists() and meeting.read_text().strip()):
            time.sleep(0.1)
        address = json.loads(meeting.read_bytes())["address"]
        start = time.perf_counter()
        for first in range(0, number, _WORKERS_EACH):
            here = min(_WORKERS_EACH, number - first)
            running.append(
                subprocess.Popen([sys.executable, "-m", "tests.bench.clusters", address, str(here)], **quiet)
            )
        with Runner(0, str(meeting)) as runner:
            crew = runner._connect(Store(folder))
            crew.client.wait_for_workers(number, timeout=600)
            came = time.perf_counter() - start
            first = _ours(runner, folder, number)  # with what a worker is asked at its first task
            idle = _facts(running[0].pid)[0]
            time.sleep(5)
            idle = (_facts(running[0].pid)[0] - idle) / 5
            before, own = _facts(running[0].pid)[0], time.process_time()
            taken = _ours(runner, folder, count)
            after, scheduler_mb = _facts(running[0].pid)
            return {
                "name": f"cluster connections {number}",
                "cores": 2,
                "clock": "wall",
                "count": count,
                "seconds": [taken],
                "per_s": count / taken,
                "window": runner._window,
                "came_s": came,
                "first_s": first,
                "scheduler_idle_cpu": idle,
                "scheduler_cpu_ms_per_task": 1000 * (after - before) / count,
                "driver_cpu_ms_per_task": 1000 * (time.process_time() - own) / count,
                "scheduler_rss_mb": scheduler_mb,
                "load": os.getloadavg()[0],
                "worker_process_rss_mb": _facts(running[1].pid)[1],
                "peak_rss_mb": peak_mb(),
            }
    finally:
        for process in reversed(running):
            process.kill()
            process.wait(30)


async def _work(address: str, number: int) -> None:
    """So many workers in this process, until it is ended."""
    import dask
    from distributed import Worker

    dask.config.set(_ALONE)
    workers = [Worker(address, nthreads=1, dashboard_address="127.0.0.1:0", memory_limit=0) for _ in range(number)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(one.finished() for one in workers))


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not to be left behind when the bench is killed
    asyncio.run(_work(sys.argv[1], int(sys.argv[2])))
