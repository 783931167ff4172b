"""Where tasks run: in this process, on an embedded Dask cluster, or on a running one.

What they run on is made, or reached, by ``deploy.py`` and its kin, as ``cluster_file.py`` reads it."""

from __future__ import annotations

import concurrent.futures
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from curate.errors import EndpointError, VersionError
from curate.run.cluster_file import Cluster, read_cluster
from curate.run.crew import Crew
from curate.run.deploy import Deployment, Note, deploy
from curate.run.flights import Flights, Outcome, judge
from curate.run.needs import Needs
from curate.run.progress import Reporter, Silent
from curate.run.quarantine import DIED
from curate.run.stop import Stop
from curate.run.task import Task
from curate.run.worker import execute
from curate.spent import Work
from curate.stages.plugins import Plugin
from curate.store.files import Store

_AHEAD_SECONDS, _MOST_AHEAD = 0.25, 16
"""How much work is sent ahead where tasks are short, and at most so many for each thread: a worker that dies takes all
that it was sent along, and each of them is charged with it."""
_FOLLOW_SECONDS = 0.1
"""How often tasks that run are asked what they have made possible: at thousands of threads there are as many to ask."""

Follow = Callable[[Task], Iterable[Task]]


class Landed(NamedTuple):
    """A task that is done, with its receipt, and what it took; nothing where it had been committed before."""

    task: Task
    receipt: Any
    works: list[Work]


def _nothing(_: Task) -> tuple[Task, ...]:
    return ()


class Runner:
    """Runs tasks, a bounded number of them in flight; the cluster starts with the first task, not before.

    Args:
        workers: processes of the embedded cluster; 0 runs tasks in this process, one after the other.
        cluster: instead of an embedded one, see cluster_file.read_cluster.
        plugins: what workers must load before the first task, in the same version.
        needs: what workers of such a cluster must have beside curate.
        note: is told what a user should know of the cluster.
        worker_memory: of each process of the embedded cluster, as ``2GB``; ``auto``: an equal share of the machine's.
            One that comes to 95 % of it is ended, and its task done with more care (run/quarantine.py).
        stop: asked before a task is begun.
        reporter: is told of workers and of tasks that are tried again.

    Attributes:
        stop: the same; one that is never asked to stop where none was given.
    """

    def __init__(
        self,
        workers: int,
        cluster: Cluster | str | None = None,
        plugins: Sequence[Plugin] = (),
        *,
        needs: Needs | None = None,
        note: Note = lambda _: None,
        worker_memory: str = "auto",
        stop: Stop | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self._given = read_cluster(cluster) if isinstance(cluster, str) else cluster
        self._workers, self._plugins = workers, tuple(plugins)
        self._needs, self._note = needs or Needs(), note
        self._worker_memory = worker_memory
        self.stop = stop or Stop()
        self._reporter = reporter or Silent()
        self._deployment: Deployment | None = None
        self._crew: Crew | None = None
        self._window = 2
        self._landed, self._counted = 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._crew is not None:
                self._crew.dismiss()
        finally:
            if self._deployment is not None:
                self._deployment.close()

    def run(self, tasks: Sequence[Task], follow: Follow = _nothing, label: str = "task") -> Iterator[Landed]:
        """Each task with its receipt, in the order in which they finish. Committed ones cost one small read.

        Args:
            label: what Dask's dashboard calls them.
            tasks: what to run.
            follow: tasks that a task has made possible since it was last asked about: asked again and again while
                the task runs, and a last time when it is done. They go before those that wait.
        """
        waiting: deque[Task] = deque()
        yield from self._take(tasks, waiting, follow)
        if not waiting:
            return
        if self._given is None and self._workers == 0:
            while waiting:
                if self.stop.asked:
                    self.stop.leave()
                task = waiting.popleft()
                receipt, works = execute(task)
                self.stop.committed(task.commits)
                yield Landed(task, receipt, works)
                yield from self._take(follow(task), waiting, follow)
            return
        yield from self._on_dask(waiting, follow, label)

    def _take(self, tasks: Iterable[Task], waiting: deque[Task], follow: Follow) -> Iterator[Landed]:
        """Those of some tasks that are committed, with what follows them; the others are put before what waits."""
        fresh: list[Task] = []
        ahead = deque(tasks)
        receipts = [task.receipt for task in ahead]
        absent = set(receipts) - ahead[0].store.present(receipts) if ahead else set()
        while ahead:
            task = ahead.popleft()
            receipt = None if task.receipt in absent else task.store.read_whole(task.receipt)
            if receipt is None:
                fresh.append(task)
            else:
                yield Landed(task, receipt, [])
                ahead.extendleft(reversed(list(follow(task))))
        waiting.extendleft(reversed(fresh))

    def _on_dask(self, waiting: deque[Task], follow: Follow, label: str) -> Iterator[Landed]:
        crew = self._connect(waiting[0].store)
        flights = Flights(crew.client, crew.execute, label, crew.offered)
        crew.begin()
        asked = 0.0
        try:
            while waiting or flights:
                if self.stop.asked and not flights:
                    self.stop.leave()
                self._fill(flights, waiting, crew.threads)
                crew.look_after(flights)
                done: list[Landed] = []
                try:
                    done.extend(self._judged(flights, waiting))  # keeps what came before one that raises
                except Exception:
                    yield from done  # they are committed, whatever became of another one
                    raise
                self._fill(flights, waiting, crew.threads)  # before those who asked have a look at what is done
                for landed in done:
                    yield landed
                    yield from self._take(follow(landed.task), waiting, follow)
                if follow is not _nothing and time.monotonic() >= asked:
                    for task in flights.tasks():
                        yield from self._take(follow(task), waiting, follow)
                    asked = time.monotonic() + _FOLLOW_SECONDS
        finally:
            flights.clear()

    def _fill(self, flights: Flights, waiting: deque[Task], threads: int) -> None:
        """Send as many as may be on their way."""
        self._widen(threads)
        number = min(len(waiting), flights.room(self._window))
        if number and not self.stop.asked:
            flights.begin([waiting.popleft() for _ in range(number)])

    def _judged(self, flights: Flights, waiting: deque[Task]) -> Iterator[Landed]:
        """Those that are done now; the others that have landed are tried again."""
        for flight, outcome in flights.landed(0.1):
            self._landed += 1
            receipt = judge(flight, *self._received(outcome))
            if receipt is not DIED:
                self.stop.committed(flight.task.commits)
                yield Landed(flight.task, receipt, flight.works)
            elif self.stop.asked:
                waiting.append(flight.task)
            else:
                self._reporter.event("retry", task=flight.task.place, how=type(flight.sent).__name__)
                flights.again(flight)

    def _widen(self, threads: int) -> None:
        """How many tasks may be on their way: two for each thread, and of short ones as many as end while one of them goes to
        a worker and its receipt comes back."""
        now = time.monotonic()
        if (seconds := now - self._counted) >= _AHEAD_SECONDS:
            ended, self._landed, self._counted = self._landed, 0, now
            ahead = min(_MOST_AHEAD * threads, int(ended / seconds * _AHEAD_SECONDS))
            self._window = max(2, 2 * threads, ahead)

    @property
    def _where(self) -> str:
        return "the embedded cluster" if self._given is None else self._given.name

    def _received(self, outcome: Outcome) -> tuple[Any, int, list[Work]]:
        """A finished attempt's receipt, or DIED, how many workers died of it, and what it took; raises what it raised."""
        from distributed.scheduler import KilledWorker

        error = outcome.error
        if outcome.ended:
            receipt, works = outcome.receipt
            return receipt, 0, works
        if outcome.lost and isinstance(error, TimeoutError):
            # The worker that had it is gone, and without any other Dask waits for ever. It was committed before it was
            # told: who is sent it again finds it.
            return DIED, 0, []
        # Without an error the scheduler that knew was lost; while a receipt is fetched Dask says so in two ways. (KilledWorker
        # where the receipt is lost: the worker that had it died, and so did the one that Dask let do it again.)
        away = (OSError, concurrent.futures.CancelledError)
        if error is None or isinstance(error, CancelledError) or (outcome.lost and isinstance(error, away)):
            raise EndpointError(
                "the Dask cluster went away",
                place=self._where,
                cure="start it and run again: what is committed is kept",
            )
        if isinstance(error, KilledWorker):
            # A scheduler that is not ours may have tried it several times.
            return DIED, error.allowed_failures + 1, []
        if isinstance(error, ImportError) and self._given is not None:
            raise VersionError(
                f"a worker of the cluster has another curate ({error})",
                place=self._where,
                cure="install the same in both, from one constraints.txt",
            )
        raise error

    def _connect(self, store: Store) -> Crew:
        if self._crew is None:
            self._deployment = deploy(self._given, self._workers, self._worker_memory, self._note)
            crew = Crew(self._deployment, self._where, self._note, self._reporter)
            self._crew = crew  # so that it is dismissed also where it is not taken on
            crew.take_on(store, self._needs, self._plugins, self.stop)
        return self._crew
