"""Where tasks run: in this process, on an embedded Dask cluster, or on a running one. The only module that knows Dask."""

from __future__ import annotations

import json
import logging
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from curate.errors import EndpointError, VersionError
from curate.run import worker
from curate.run.flights import Flights, judge
from curate.run.quarantine import DIED
from curate.run.stop import Stop
from curate.run.task import Task
from curate.stages.plugins import Plugin, load_same
from curate.startup import ALLOCATOR, without_pandas
from curate.store.files import Store

_CONFIG = {
    # Each death is told at once: what follows from how many is decided in flights.py.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.comm.timeouts.connect": "60s",
    "distributed.admin.tick.limit": "1h",
    # A worker of ours that ends is known by its connection. Heartbeats are counted by the wall clock: set forward by
    # more than this, it would condemn all workers at once, and with them the rows that they are at.
    "distributed.scheduler.worker-ttl": None,
    # After so long without its worker a nanny is dismissed, also one whose worker is just slow to start.
    "distributed.deploy.lost-worker-timeout": "60s",
    # Results that are kept must not depend on how a BLAS splits its sums.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **ALLOCATOR,
    },
}


_LOOK_SECONDS = 2.0
"""How often the cluster is looked after."""
_NO_WORKERS_SECONDS = 300.0
"""How long a cluster may be without a worker: longer than any machine takes to start one anew."""

_RESULT_SECONDS = 30.0
"""How long the way of a receipt of some kilobytes may take."""

Follow = Callable[[Task], Iterable[Task]]


def _nothing(_: Task) -> tuple[Task, ...]:
    return ()


def execute(task: Task) -> Any:
    """Run a task."""
    return task.run()


def execute_there(token: str, ours: dict[str, str], task: Task) -> Any:
    """The same on a worker that is not ours, once it is known to be fit for it."""
    worker.check_here(task.store, token, ours)
    return execute(task)


class Runner:
    """Runs tasks, a bounded number of them in flight; the cluster starts with the first task, not before.

    Args:
        workers: processes of the embedded cluster; 0 runs tasks in this process, one after the other.
        cluster: ``tcp://host:port`` of a running scheduler, or a scheduler file, instead of an embedded one.
        plugins: what workers must load before the first task, in the same version.
        worker_memory: of each process of the embedded cluster, as ``2GB``; ``auto``: an equal share of the machine's.
            One that comes to 95 % of it is ended, and its task done with more care (run/quarantine.py).
        stop: asked before a task is begun.

    Attributes:
        stop: the same; one that is never asked to stop where none was given.
    """

    def __init__(
        self,
        workers: int,
        cluster: str | None = None,
        plugins: Sequence[Plugin] = (),
        *,
        worker_memory: str = "auto",
        stop: Stop | None = None,
    ) -> None:
        self._workers, self._address, self._plugins = workers, cluster, tuple(plugins)
        self._worker_memory = worker_memory
        self.stop = stop or Stop()
        self._client: Any = None
        self._cluster: Any = None
        self._store: Store | None = None
        self._execute: Callable[[Task], Any] = execute
        self._window = 2
        self._look = 0.0
        self._idle_since: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            worker.remove_token(self._store)
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
                if self.stop.asked:
                    self.stop.leave()
                task = waiting.popleft()
                receipt = execute(task)
                self.stop.committed(task.commits)
                yield task, receipt
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

        client = self._connect(waiting[0].store)
        flights = Flights(client, as_completed(raise_errors=False), self._execute)
        try:
            while waiting or flights:
                if self.stop.asked and not flights:
                    self.stop.leave()
                while waiting and not self.stop.asked and flights.room(self._window):
                    flights.begin(waiting.popleft())
                self._look_after()
                if (landed := flights.landed(0.1)) is not None:
                    flight, future = landed
                    receipt = judge(flight, *self._received(future))
                    future.release()
                    if receipt is DIED and self.stop.asked:
                        waiting.append(flight.task)
                    elif receipt is DIED:
                        flights.again(flight)
                    else:
                        self.stop.committed(flight.task.commits)
                        if waiting and not self.stop.asked and flights.room(self._window):
                            flights.begin(waiting.popleft())
                        yield flight.task, receipt
                        yield from self._take(follow(flight.task), waiting, follow)
                for task in flights.tasks():
                    yield from self._take(follow(task), waiting, follow)
        finally:
            flights.clear()

    def _look_after(self) -> None:
        """How many tasks to send depends on how many threads there are now; without any we must not wait for ever."""
        now = time.monotonic()
        if now < self._look:
            return
        self._look = now + _LOOK_SECONDS
        self._mend()
        if (threads := self._threads()) is None:
            return
        if threads:
            self._window, self._idle_since = 2 * threads, None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > _NO_WORKERS_SECONDS:
            raise EndpointError(
                f"the Dask cluster has had no workers for {_NO_WORKERS_SECONDS:g} s",
                place=self._address or "the embedded cluster",
                cure="start some and run again: what is committed is kept",
            )

    def _threads(self) -> int | None:
        """Threads of all workers; None when nobody answers. A lost scheduler shows in the futures' ends."""
        info = self._client.scheduler_info(n_workers=0)
        return int(info["total_threads"]) if "total_threads" in info else None

    def _mend(self) -> None:
        """Start workers in place of those that Dask has given up.

        It gives one up that dies while it starts, or that is slow to start again.
        """
        if self._cluster is None:
            return
        cluster, wanted = self._cluster, self._workers

        def mend() -> None:
            for name, nanny in list(cluster.workers.items()):
                if nanny.status.name in ("closed", "failed", "stopped"):
                    del cluster.workers[name]
            if len(cluster.workers) < wanted:
                cluster.scale(wanted)

        cluster.loop.add_callback(mend)

    def _received(self, future: Any) -> tuple[Any, int]:
        """A finished attempt's receipt, or DIED, and how many workers died of it; raises what it raised."""
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        error: BaseException | None
        try:
            if future.status == "finished":
                return future.result(timeout=_RESULT_SECONDS), 0
            # None, when the scheduler that knew was lost.
            error = future.exception()
        except TimeoutError:
            # The worker that had it is gone, and without any other Dask waits for ever. It was committed before it was
            # told: who is sent it again finds it.
            return DIED, 0
        except KilledWorker as killed:
            # Between the two words the worker that had it died, and so did the one that Dask let do it again.
            error = killed
        except (OSError, FutureCancelledError):
            error = None
        if error is None or isinstance(error, FutureCancelledError):
            raise EndpointError(
                "the Dask cluster went away",
                place=self._address or "the embedded cluster",
                cure="start it and run again: what is committed is kept",
            )
        if isinstance(error, KilledWorker):
            # A scheduler that is not ours may have tried it several times.
            return DIED, error.allowed_failures + 1
        if isinstance(error, ImportError) and self._address is not None:
            raise VersionError(
                f"a worker of the cluster has another curate ({error})",
                place=self._address,
                cure="install the same in both, from one constraints.txt",
            )
        raise error

    def _connect(self, store: Store) -> Any:
        if self._client is not None:
            return self._client
        import dask
        from distributed import Client, LocalCluster

        dask.config.set(_CONFIG)
        unmoved_by_clocks()
        logging.getLogger("distributed").setLevel(logging.ERROR)
        # What the client finds comes to us as an exception; its own words are a traceback.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        if self._address is None:
            self._cluster = LocalCluster(
                n_workers=self._workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",  # None would listen on port 8787 of every interface
                memory_limit=self._worker_memory,
                silence_logs=logging.CRITICAL,
            )
            self._client = Client(self._cluster)
            self._client.register_plugin(_our_worker(), name="our-worker")
            self._load_plugins()
            self._window = max(2, 2 * self._workers)
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
        self._check_workers(store)
        self._load_plugins()
        self._window = max(2, 2 * (self._threads() or 1))
        return self._client

    def _check_workers(self, store: Store) -> None:
        """Ask all workers, and those that come later, whether they have our versions and see the store."""
        ours = worker.our_facts()
        worker.check_versions(self._client.run(worker.ask_versions()), ours)
        token, self._store = uuid.uuid4().hex, store
        worker.put_token(store, token)
        worker.check_sight(store, self._client.run(worker.sees, store, token))
        self._execute = partial(execute_there, token, ours)

    def _load_plugins(self) -> None:
        if self._plugins:
            self._client.register_plugin(_with_plugins(self._plugins), name="plugins")


def unmoved_by_clocks() -> None:
    """Let this process send its messages to other processes of Dask whatever becomes of the wall clock.

    distributed 2026.8 (batched.py) holds a message back until the wall clock has passed a time some milliseconds ahead: of
    a clock that is set back by a day, for a day. Now none is held back: those that come while one is sent go together.
    """
    from distributed.batched import BatchedSend

    # On the class it goes before what senders that are there already have written down.
    BatchedSend.next_deadline = property(lambda _: None, lambda _, __: None)


def _our_worker() -> Any:
    """What a worker process of ours is told once: not to hear signals to all, and not to load what it won't use."""
    from distributed import WorkerPlugin

    class OurWorker(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            # Ctrl-C goes to all processes of a terminal, a batch system's SIGTERM to all of a job; the driver's word is
            # enough: it lets us finish what runs. (Where memory is the matter Dask sends SIGKILL next.)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            unmoved_by_clocks()
            without_pandas()

    return OurWorker()


def _with_plugins(plugins: tuple[Plugin, ...]) -> Any:
    """Loads plugins in each worker, also in those that join later; a worker that has others is not begun with."""
    from distributed import WorkerPlugin

    class WithPlugins(WorkerPlugin):
        def setup(self, worker: Any) -> None:
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
