"""What the engine's way to Dask costs where tasks cost nothing, and what many workers cost the scheduler.

* ``cluster tasks``: tasks that do nothing, through our Runner on an embedded cluster of two workers; reference: futures of a
  function that does nothing, on a cluster of the same size in the same process, in the same window, gathered as they end.
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.run.cluster import Runner
from curate.run.task import Task
from curate.store.files import Store
from tests.bench.measure import ROOT, Row, peak_mb

_WORKERS_EACH = 50
"""Workers of one process: each is a connection, a listener and two heartbeats, and shares the libraries with the others."""


@dataclass(frozen=True)
class Nothing(Task):
    """Does nothing, and commits nothing."""

    def run(self) -> Any:
        return {}


def nothing(number: int) -> dict[str, int]:
    """The same for Dask."""
    return {}


def _ours(runner: Runner, folder: Path, count: int) -> float:
    store = Store(folder)
    start = time.perf_counter()
    assert sum(1 for _ in runner.run([Nothing(store, "f", f"{n:032x}") for n in range(count)])) == count
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


def tasks() -> Iterator[Row]:
    """Ours and Dask's in turns on one cluster, three times each."""
    count = int(os.environ.get("BENCH_TASKS", "20000"))
    ours, theirs = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as temporary, Runner(2) as runner:
        _ours(runner, Path(temporary), 100)
        client = runner._deployment.client  # type: ignore[union-attr]
        _theirs(client, 100, 4)
        for _ in range(3):
            ours.append(_ours(runner, Path(temporary), count))
            theirs.append(_theirs(client, count, runner._window))
    yield {
        "name": "cluster tasks",
        "cores": 2,
        "clock": "wall",
        "count": count,
        "seconds": ours,
        "per_s": count / min(ours),
        "reference": "futures of nothing",
        "reference_seconds": theirs,
        "reference_per_s": count / min(theirs),
        "ratio": min(theirs) / min(ours),
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
            client = runner._connect(Store(folder))
            client.wait_for_workers(number, timeout=600)
            came = time.perf_counter() - start
            runner._look_after(None)  # type: ignore[arg-type]
            before, own = _facts(running[0].pid)[0], time.process_time()
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
                "scheduler_idle_cpu": idle,
                "scheduler_cpu_ms_per_task": 1000 * (after - before) / count,
                "driver_cpu_ms_per_task": 1000 * (time.process_time() - own) / count,
                "scheduler_rss_mb": scheduler_mb,
                "worker_process_rss_mb": _facts(running[1].pid)[1],
                "peak_rss_mb": peak_mb(),
            }
    finally:
        for process in reversed(running):
            process.kill()
            process.wait(30)


async def _work(address: str, number: int) -> None:
    """So many workers in this process, until it is ended."""
    from distributed import Worker

    workers = [Worker(address, nthreads=1, dashboard_address="127.0.0.1:0", memory_limit=0) for _ in range(number)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(one.finished() for one in workers))


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not to be left behind when the bench is killed
    asyncio.run(_work(sys.argv[1], int(sys.argv[2])))
