"""Where tasks run: in this process, on an embedded Dask cluster, or on a running one. The only module that knows Dask."""

from __future__ import annotations

import json
import logging
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from curate.errors import CurateError, EndpointError, StorageError, WorkerError
from curate.run.task import Task
from curate.stages.plugins import Plugin, load_same

_CONFIG = {
    # A prefetched task behind one that kills its worker would be condemned with it (dask/distributed#5234).
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 3,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.comm.timeouts.connect": "60s",
    "distributed.admin.tick.limit": "1h",
    # After so long without its worker a nanny is dismissed, also one whose worker is just slow to start.
    "distributed.deploy.lost-worker-timeout": "60s",
    # Results that are kept must not depend on how a BLAS splits its sums.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    },
}


_MEND_SECONDS = 2.0
"""How often the embedded cluster is looked after."""

Follow = Callable[[Task], Iterable[Task]]


def _nothing(_: Task) -> tuple[Task, ...]:
    return ()


def execute(task: Task) -> Any:
    """Run a task; what a user can mend becomes a CurateError that survives the way back to the driver."""
    import pyarrow as pa

    try:
        return task.run()
    except CurateError:
        raise
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None) == 28 or "No space left" in str(error):
            raise StorageError(
                "no space left on device",
                place=str(task.store.root),
                cure="free some space and run again: what is committed is kept",
            ) from error
        raise


class Runner:
    """Runs tasks, a bounded number of them in flight; the cluster starts with the first task, not before.

    Args:
        workers: processes of the embedded cluster; 0 runs tasks in this process, one after the other.
        cluster: ``tcp://host:port`` of a running scheduler, or a scheduler file, instead of an embedded one.
        plugins: what workers must load before the first task, in the same version.
    """

    def __init__(self, workers: int, cluster: str | None = None, plugins: Sequence[Plugin] = ()) -> None:
        self._workers, self._address, self._plugins = workers, cluster, tuple(plugins)
        self._client: Any = None
        self._cluster: Any = None
        self._look = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            logging.getLogger("distributed").setLevel(logging.CRITICAL)
            self._client.close(timeout=5)
        if self._cluster is not None:
            self._cluster.close(timeout=10)

    def run(self, tasks: Sequence[Task], follow: Follow = _nothing) -> Iterator[tuple[Task, Any]]:
        """Each task with its receipt, in the order in which they finish. Committed ones cost one small read.

        Args:
            tasks: what to run.
            follow: tasks that a task has made possible since it was last asked about: asked again and again while
                the task runs, and a last time when it is done. They go before those that wait.
        """
        waiting: deque[Task] = deque()
        yield from self._take(tasks, waiting, follow)
        if not waiting:
            return
        if self._address is None and self._workers == 0:
            while waiting:
                task = waiting.popleft()
                yield task, execute(task)
                yield from self._take(follow(task), waiting, follow)
            return
        yield from self._on_dask(waiting, follow)

    def _take(self, tasks: Iterable[Task], waiting: deque[Task], follow: Follow) -> Iterator[tuple[Task, Any]]:
        """Those of some tasks that are committed, with what follows them; the others are put before what waits."""
        fresh: list[Task] = []
        ahead = deque(tasks)
        while ahead:
            task = ahead.popleft()
            receipt = task.store.read_whole(task.receipt)
            if receipt is None:
                fresh.append(task)
            else:
                yield task, receipt
                ahead.extendleft(reversed(list(follow(task))))
        waiting.extendleft(reversed(fresh))

    def _on_dask(self, waiting: deque[Task], follow: Follow) -> Iterator[tuple[Task, Any]]:
        from distributed import as_completed

        client = self._connect()
        window = max(2, 2 * max(1, sum(client.nthreads().values())))
        session = uuid.uuid4().hex[:12]
        running: dict[str, Task] = {}
        done = as_completed(raise_errors=False)

        def submit() -> None:
            task = waiting.popleft()
            # Dask takes equal keys for one task: another driver's, on a store of its own, must not be mistaken for it.
            name = f"{type(task).__name__}-{task.key}-{session}"
            future = client.submit(execute, task, key=name, pure=False, retries=0)
            running[future.key] = task
            done.add(future)

        try:
            while waiting or running:
                while waiting and len(running) < window:
                    submit()
                if not done.has_ready():
                    with done.thread_condition:
                        done.thread_condition.wait(0.1)
                    self._mend()
                if done.has_ready():
                    future = next(done)
                    task = running.pop(future.key)
                    receipt = self._received(future, task)
                    future.release()
                    if waiting:
                        submit()
                    yield task, receipt
                    yield from self._take(follow(task), waiting, follow)
                for task in list(running.values()):
                    yield from self._take(follow(task), waiting, follow)
        finally:
            leftover = list(done.futures)
            if leftover and client.status == "running":
                client.cancel(leftover, force=True)

    def _mend(self) -> None:
        """Start workers in place of those that Dask has given up.

        It gives one up that dies while it starts, or that is slow to start again; without any, we would wait for ever.
        """
        if self._cluster is None or time.monotonic() < self._look:
            return
        self._look = time.monotonic() + _MEND_SECONDS
        cluster, wanted = self._cluster, self._workers

        def mend() -> None:
            for name, nanny in list(cluster.workers.items()):
                if nanny.status.name in ("closed", "failed", "stopped"):
                    del cluster.workers[name]
            if len(cluster.workers) < wanted:
                cluster.scale(wanted)

        cluster.loop.add_callback(mend)

    def _received(self, future: Any, task: Task) -> Any:
        """A finished task's receipt; raises what it raised."""
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        error: BaseException | None
        try:
            if future.status == "finished":
                return future.result()
            # None, when the scheduler that knew was lost.
            error = future.exception()
        except (OSError, FutureCancelledError):
            error = None
        if error is None or isinstance(error, FutureCancelledError):
            raise EndpointError(
                "the Dask cluster went away",
                place=self._address or "the embedded cluster",
                cure="start it and run again: what is committed is kept",
            )
        if isinstance(error, KilledWorker):
            raise WorkerError(
                "workers died again and again on one task (out of memory?)",
                place=_describe(task),
                cure="run again with fewer --workers, or with --workers 0 to see the reason",
            )
        raise error

    def _connect(self) -> Any:
        if self._client is not None:
            return self._client
        import dask
        from distributed import Client, LocalCluster

        dask.config.set(_CONFIG)
        logging.getLogger("distributed").setLevel(logging.ERROR)
        # What the client finds comes to us as an exception; its own words are a traceback.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        if self._address is None:
            self._cluster = LocalCluster(
                n_workers=self._workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",  # None would listen on port 8787 of every interface
                memory_limit="auto",
                silence_logs=logging.CRITICAL,
            )
            self._client = Client(self._cluster)
            self._client.register_plugin(_our_worker(), name="our-worker")
            self._load_plugins()
            return self._client
        try:
            self._client = Client(_scheduler(self._address), timeout="10s")
            self._client.wait_for_workers(1, timeout=60)
        except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
            raise EndpointError(
                f"no Dask scheduler with workers answers ({error})",
                place=self._address,
                cure="start 'dask scheduler' and 'dask worker', or leave --cluster out",
            ) from None
        self._load_plugins()
        return self._client

    def _load_plugins(self) -> None:
        if self._plugins:
            self._client.register_plugin(_with_plugins(self._plugins), name="plugins")


def _our_worker() -> Any:
    """What a worker process of ours is told once: not to hear Ctrl-C, and which allocator Arrow takes."""
    import pyarrow as pa
    from distributed import WorkerPlugin

    class OurWorker(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            # Ctrl-C goes to all processes of a terminal; the driver's word is enough, and workers would print tracebacks.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            # Arrow's default, mimalloc, keeps 30 to 40 MiB more of what a worker has freed; wheels for Linux have jemalloc.
            if "jemalloc" in pa.supported_memory_backends():
                pa.set_memory_pool(pa.jemalloc_memory_pool())

    return OurWorker()


def _with_plugins(plugins: tuple[Plugin, ...]) -> Any:
    """Loads plugins in each worker, also in those that join later; a worker that has others is not begun with."""
    from distributed import WorkerPlugin

    class WithPlugins(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            from curate.stages import load_all

            load_all()
            load_same(plugins)

    return WithPlugins()


def _scheduler(address: str) -> str:
    """The address that was given, or that stands in the scheduler file that was given."""
    if "://" in address:
        return address
    try:
        found = json.loads(Path(address).read_bytes())["address"]
    except FileNotFoundError:
        raise EndpointError("there is no such scheduler file", place=address) from None
    except (ValueError, KeyError, TypeError):
        raise EndpointError(
            "is no scheduler file", place=address, cure="give the one that 'dask scheduler' wrote"
        ) from None
    return str(found)


def _describe(task: Task) -> str:
    split = getattr(task, "split", None)
    return f"{split.name} [{split.start}, {split.stop})" if split is not None else f"{task.folder} {task.key[:12]}"
