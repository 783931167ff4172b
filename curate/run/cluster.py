"""Where tasks run: in this process, on an embedded Dask cluster, or on a running one.

What they run on is made, or reached, by ``deploy.py`` and its kin, as ``cluster_file.py`` reads it."""

from __future__ import annotations

import time
import uuid
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from curate.errors import EndpointError, VersionError, WorkerError
from curate.run import worker
from curate.run.cluster_file import Cluster, read_cluster
from curate.run.deploy import Deployment, Note, deploy
from curate.run.flights import Flights, Outcome, judge
from curate.run.leaving import LEFT
from curate.run.needs import Needs, lacking
from curate.run.progress import Reporter, Silent
from curate.run.quarantine import DIED
from curate.run.stop import Stop
from curate.run.task import Task
from curate.spent import Work, metered
from curate.stages.plugins import Plugin, load_same
from curate.store.files import Store

_LOOK_SECONDS = 2.0
"""How often the cluster is looked after."""
_MUSTER_SECONDS = 30.0
"""How often it is asked who they are, where there are as many workers as before."""
_NO_WORKERS_SECONDS = 300.0
"""How long a cluster may be without a worker: longer than any machine takes to start one anew."""

_TELL_SECONDS = 60.0
"""After so long without a worker a user is told that jobs are waited for, then after four times as long, and so on."""
_LEFT_MOST = 5
"""Workers that left a task because their time was over: a sixth would not finish it either."""
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


def execute(task: Task, name: str = "", *, alone: bool = True) -> tuple[Any, list[Work]]:
    """Run a task; its receipt, and what it took: of a bundle each of its tasks."""
    with metered(name, alone=alone) as meter:
        receipt = task.run()
        if not meter.works:
            meter.lap(task.key)
    return receipt, meter.works


def execute_on_worker(task: Task) -> tuple[Any, list[Work]]:
    """The same on a worker."""
    from distributed import get_worker

    here = get_worker()
    return execute(task, str(here.address), alone=here.state.nthreads == 1)


def execute_there(token: str, task: Task) -> tuple[Any, list[Work]]:
    """The same on a worker that is not ours, once it is known to be fit for it."""
    worker.check_here(task.store, token)
    return execute_on_worker(task)


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
        self._deployment: Deployment | None = None
        self._offered: frozenset[str] = frozenset()
        self._left: dict[str, int] = {}
        self._reporter = reporter or Silent()
        self._crew: set[str] = set()
        self._mustered = (-1, 0.0)
        self._store: Store | None = None
        self._execute: Callable[[Task], tuple[Any, list[Work]]] = execute_on_worker
        self._window = 2
        self._look = 0.0
        self._landed, self._counted = 0, 0.0
        self._idle_since: float | None = None
        self._tell_at = _TELL_SECONDS
        self._gone_since: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._store is not None:
                worker.remove_token(self._store)
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
        while ahead:
            task = ahead.popleft()
            receipt = task.store.read_whole(task.receipt)
            if receipt is None:
                fresh.append(task)
            else:
                yield Landed(task, receipt, [])
                ahead.extendleft(reversed(list(follow(task))))
        waiting.extendleft(reversed(fresh))

    def _on_dask(self, waiting: deque[Task], follow: Follow, label: str) -> Iterator[Landed]:
        client = self._connect(waiting[0].store)
        flights = Flights(client, self._execute, label, self._offered)
        self._idle_since, self._gone_since = None, {}
        asked = 0.0
        try:
            while waiting or flights:
                if self.stop.asked and not flights:
                    self.stop.leave()
                while waiting and not self.stop.asked and flights.room(self._window):
                    flights.begin(waiting.popleft())
                self._look_after(flights)
                if (landed := flights.landed(0.1)) is not None:
                    self._landed += 1
                    flight, outcome = landed
                    receipt = judge(flight, *self._received(outcome))
                    if receipt is DIED and self.stop.asked:
                        waiting.append(flight.task)
                    elif receipt is DIED:
                        self._reporter.event("retry", task=flight.task.place, how=type(flight.sent).__name__)
                        flights.again(flight)
                    else:
                        self.stop.committed(flight.task.commits)
                        if waiting and not self.stop.asked and flights.room(self._window):
                            flights.begin(waiting.popleft())
                        yield Landed(flight.task, receipt, flight.works)
                        yield from self._take(follow(flight.task), waiting, follow)
                if follow is not _nothing and time.monotonic() >= asked:
                    for task in flights.tasks():
                        yield from self._take(follow(task), waiting, follow)
                    asked = time.monotonic() + _FOLLOW_SECONDS
        finally:
            flights.clear()

    def _look_after(self, flights: Flights) -> None:
        """How many tasks to send depends on how many threads there are now; without any we must not wait for ever."""
        now = time.monotonic()
        if now < self._look:
            return
        self._look = now + _LOOK_SECONDS
        assert self._deployment is not None
        self._deployment.mend()
        self._check_left(flights)
        if (threads := self._threads()) is None:
            return
        self._muster(threads, flights)
        if threads:
            self._window, self._idle_since, self._tell_at = self._room(threads, now), None, _TELL_SECONDS
        else:
            self._idle_since = self._idle_since or now
            self._bear(now - self._idle_since, self._deployment)

    def _room(self, threads: int, now: float) -> int:
        """How many tasks may be on their way: two for each thread, and of short ones as many as end while one of them goes to
        a worker and its receipt comes back."""
        ended, seconds = self._landed, max(now - self._counted, _LOOK_SECONDS)
        self._landed, self._counted = 0, now
        return max(2 * threads, min(_MOST_AHEAD * threads, int(ended / seconds * _AHEAD_SECONDS)))

    def _bear(self, waited: float, deployment: Deployment) -> None:
        """Without a worker for so long: a user is told, and it has an end where no queue brings any."""
        if waited > _NO_WORKERS_SECONDS and not deployment.queued:
            raise EndpointError(
                f"the Dask cluster has had no workers for {_NO_WORKERS_SECONDS:g} s",
                place=self._where,
                cure="start some and run again: what is committed is kept",
            )
        if waited > self._tell_at:
            self._note(f"{deployment.where}: no worker has come for {waited / 60:.0f} min; waiting")
            self._tell_at *= 4

    @property
    def _where(self) -> str:
        return "the embedded cluster" if self._given is None else self._given.name

    def _check_left(self, flights: Flights) -> None:
        for key, times in list(self._left.items()):
            if times >= _LEFT_MOST and (task := flights.flying(key)) is not None:
                raise WorkerError(
                    f"{times} workers came to the end of their time while they were at it",
                    place=task.place,
                    cure="give them a longer walltime, or run with a smaller --split-mb",
                )

    def _muster(self, threads: int, flights: Flights) -> None:
        """Tell which workers came and went; all of them are asked for where their number says so, or it was long ago."""
        now = time.monotonic()
        if threads == self._mustered[0] and now < self._mustered[1]:
            return
        self._mustered = threads, now + _MUSTER_SECONDS
        assert self._deployment is not None
        workers = self._deployment.client.scheduler_info(n_workers=-1).get("workers", {}) if threads else {}
        self._check_kinds(_offers(workers), flights)
        crew = set(workers)
        if crew != self._crew:
            came, went = sorted(crew - self._crew), sorted(self._crew - crew)
            self._reporter.event("workers", workers=len(crew), threads=threads, joined=came, lost=went)
            self._crew = crew

    def _check_kinds(self, there: frozenset[str], flights: Flights) -> None:
        """A task that is for a kind of worker waits for one: not for ever, where none of them comes back."""
        assert self._deployment is not None
        awaited = frozenset().union(*(task.kinds for task in flights.tasks())) & self._offered - there
        now = time.monotonic()
        self._gone_since = {kind: self._gone_since.get(kind, now) for kind in sorted(awaited)}
        for kind, since in self._gone_since.items():
            if now - since > _NO_WORKERS_SECONDS and not self._deployment.queued:
                raise EndpointError(
                    f"the workers that offered '{kind}' have been gone for {now - since:.0f} s, and tasks are for them",
                    place=self._where,
                    cure="start some and run again: what is committed is kept",
                )

    def _threads(self) -> int | None:
        """Threads of all workers; None when nobody answers. A lost scheduler shows in the futures' ends."""
        assert self._deployment is not None
        info = self._deployment.client.scheduler_info(n_workers=0)
        return int(info["total_threads"]) if "total_threads" in info else None

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
        # Without an error the scheduler that knew was lost. (KilledWorker where the receipt is lost: the worker that had it
        # died, and so did the one that Dask let do it again.)
        if error is None or isinstance(error, CancelledError) or (outcome.lost and isinstance(error, OSError)):
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

    def _connect(self, store: Store) -> Any:
        if self._deployment is not None:
            return self._deployment.client
        self._deployment = deployment = deploy(self._given, self._workers, self._worker_memory, self._note)
        client = deployment.client
        if deployment.ours:
            self._load_plugins(client)
            self._window = max(2, 2 * self._workers)
            return client
        client.subscribe_topic(LEFT, self._left_by)
        if not deployment.on_demand:
            self._wait_for_workers(deployment)
        self._check_workers(client, store)
        self._offered = self._kinds(deployment)
        self._load_plugins(client)
        self._window = max(2, 2 * (self._threads() or 1))
        return client

    def _wait_for_workers(self, deployment: Deployment) -> None:
        """Until one is there: jobs may wait in a queue for hours."""
        begun = time.monotonic()
        while not self._threads():
            if self.stop.asked:
                self.stop.leave()
            deployment.mend()
            self._bear(time.monotonic() - begun, deployment)
            time.sleep(0.2)

    def _check_workers(self, client: Any, store: Store) -> None:
        """Ask all workers, and those that come later, whether they have our versions, see the store, have what is needed."""
        ours = worker.our_facts()
        worker.check_versions(_asked(client, worker.ask_versions()), ours)
        token, self._store = uuid.uuid4().hex, store
        worker.put_token(store, token, ours, self._needs)
        worker.check_sight(store, _asked(client, worker.sees, store, token))
        worker.check_needs(_asked(client, lacking, self._needs))
        self._execute = partial(execute_there, token)

    def _kinds(self, deployment: Deployment) -> frozenset[str]:
        """Kinds of workers that there are; a user is told of those that steps are for and nobody offers."""
        there = deployment.kinds
        if not there:
            there = _offers(deployment.client.scheduler_info(n_workers=-1).get("workers", {}))
        if there:
            for kind, steps in sorted(self._needs.kinds.items()):
                if kind not in there:
                    self._note(
                        f"{deployment.where}: no worker offers '{kind}', which step '{steps[0]}' is for: it runs on any"
                        f" (offered: {', '.join(sorted(there))})"
                    )
        return there

    def _left_by(self, event: Any) -> None:
        """Told by a worker that goes: the keys of tasks that it does not finish."""
        for key in event[1]["keys"]:
            self._left[key] = self._left.get(key, 0) + 1

    def _load_plugins(self, client: Any) -> None:
        if self._plugins:
            client.register_plugin(_with_plugins(self._plugins), name="plugins")


def _offers(workers: Mapping[str, Any]) -> frozenset[str]:
    """Kinds of some workers, as a scheduler tells of them."""
    return frozenset(kind for each in workers.values() for kind in each.get("resources", {}))


def _asked(client: Any, question: Callable[..., Any], *what: Any) -> dict[str, Any]:
    """What each worker answers, by address; one that goes meanwhile is not asked."""
    answers = client.run(question, *what, on_error="return")
    for answer in answers.values():
        if isinstance(answer, Exception) and not isinstance(answer, OSError):
            raise answer
    return {address: answer for address, answer in answers.items() if not isinstance(answer, Exception)}


def _with_plugins(plugins: tuple[Plugin, ...]) -> Any:
    """Loads plugins in each worker, also in those that join later; a worker that has others is not begun with."""
    from distributed import WorkerPlugin

    class WithPlugins(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            load_same(plugins)

    return WithPlugins()
