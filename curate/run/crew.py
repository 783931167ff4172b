"""The workers of a cluster: whether they are fit, who comes and goes, how many threads they have, what kinds they offer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from curate.errors import EndpointError, WorkerError
from curate.run import worker
from curate.run.deploy import Deployment, Note
from curate.run.flights import Flights
from curate.run.leaving import LEFT
from curate.run.needs import Needs, lacking
from curate.run.progress import Reporter
from curate.run.stop import Stop
from curate.run.worker import execute_on_worker, execute_there
from curate.spent import Work
from curate.stages.plugins import Plugin, load_same
from curate.store.files import Store

_LOOK_SECONDS: Final = 2.0
"""How often the cluster is looked after."""
_MUSTER_SECONDS: Final = 30.0
"""How often it is asked who they are, where there are as many workers as before."""
_NO_WORKERS_SECONDS: Final = 300.0
"""How long a cluster may be without a worker: longer than any machine takes to start one anew."""
_FIRST_SECONDS: Final = 5.0
"""After so long without a first worker a user is told, and the status says, what the run waits for."""
_TELL_SECONDS: Final = 60.0
"""After so long without a worker a user is told that jobs are waited for, then after four times as long, and so on."""
_LEFT_MOST: Final = 5
"""Workers that left a task because their time was over: a sixth would not finish it either."""


class Crew:
    """Looks after the workers of a deployment.

    Args:
        where: what errors call it.
        note: is told what a user should know.
        reporter: is told who came and went.

    Attributes:
        client: Dask's.
        threads: of all workers, as of the last look, or as many as may come.
        offered: kinds of workers that there are: tasks that are for one of them are kept for it.
        execute: what a worker calls with a pickled task.
    """

    def __init__(self, deployment: Deployment, where: str, note: Note, reporter: Reporter) -> None:
        self.client = deployment.client
        self.threads = 1
        self.offered: frozenset[str] = frozenset()
        self.execute: Callable[[bytes], tuple[Any, list[Work]]] = execute_on_worker
        self._deployment, self._where, self._note, self._reporter = deployment, where, note, reporter
        self._store: Store | None = None
        self._there: set[str] | None = None  # nothing was said yet, not even that there is none
        self._mustered = (-1, 0.0)
        self._look = 0.0
        self._idle_since: float | None = None
        self._tell_at = _TELL_SECONDS
        self._left: dict[str, int] = {}
        self._gone_since: dict[str, float] = {}

    # -- before the first task -------------------------------------------------------------------------------------

    def take_on(self, store: Store, needs: Needs, plugins: Sequence[Plugin], stop: Stop) -> None:
        """Wait for a worker where they do not come on demand; ask all, and those that come later, whether they have our
        versions, see the store, have what is needed; load plugins."""
        client = self.client
        if not self._deployment.ours:
            client.subscribe_topic(LEFT, self._left_by)
            if not self._deployment.on_demand:
                self._wait(stop)
            self._check(client, store, needs)
            self.offered = self._kinds(needs)
        if plugins:
            client.register_plugin(_with_plugins(tuple(plugins)), name="plugins")
        self.threads = max(self._count() or 1, self._deployment.most)

    def dismiss(self) -> None:
        """The run is over."""
        if self._store is not None:
            worker.remove_token(self._store)

    def _wait(self, stop: Stop) -> None:
        """Until one is there: jobs may wait in a queue for hours."""
        begun, told = time.monotonic(), False
        while not self._count():
            if stop.asked:
                stop.leave()
            self._deployment.mend()
            waited = time.monotonic() - begun
            if waited > _FIRST_SECONDS and not told:
                self._note(f"{self._deployment.where}: waiting for the first worker")
                self._muster(0, None)
                told = True
            self._bear(waited)
            time.sleep(0.2)

    def _check(self, client: Any, store: Store, needs: Needs) -> None:
        ours = worker.our_facts()
        worker.check_versions(_asked(client, worker.ask_versions()), ours)
        token, self._store = uuid.uuid4().hex, store
        worker.put_token(store, token, ours, needs)
        worker.check_sight(store, _asked(client, worker.beside, worker.sees, store, token))
        worker.check_needs(_asked(client, worker.beside, lacking, needs))
        self.execute = partial(execute_there, token, store)

    def _kinds(self, needs: Needs) -> frozenset[str]:
        """Kinds of workers that there are; a user is told of those that steps are for and nobody offers."""
        there = self._deployment.kinds or _offers(self._workers())
        if there:
            for kind, steps in sorted(needs.kinds.items()):
                if kind not in there:
                    self._note(
                        f"{self._deployment.where}: no worker offers '{kind}', which step '{steps[0]}' is for: it runs on any"
                        f" (offered: {', '.join(sorted(there))})"
                    )
        return there

    # -- while tasks run -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Tasks are sent now: how long workers were away before does not count."""
        self._idle_since, self._gone_since = None, {}

    def look_after(self, flights: Flights) -> None:
        """Every two seconds: who is there now, and whether what is missing can be waited for."""
        now = time.monotonic()
        if now < self._look:
            return
        self._look = now + _LOOK_SECONDS
        self._deployment.mend()
        self._check_left(flights)
        if (threads := self._count()) is None:
            return
        self._muster(threads, flights)
        if threads:
            self.threads = max(threads, self._deployment.most)
            self._idle_since, self._tell_at = None, _TELL_SECONDS
        else:
            self._idle_since = self._idle_since or now
            self._bear(now - self._idle_since)

    def _count(self) -> int | None:
        """Threads of all workers; None when nobody answers. A lost scheduler shows in the futures' ends."""
        info = self.client.scheduler_info(n_workers=0)
        return int(info["total_threads"]) if "total_threads" in info else None

    def _workers(self) -> Mapping[str, Any]:
        """All of them by address, as the scheduler tells of them."""
        found: Mapping[str, Any] = self.client.scheduler_info(n_workers=-1).get("workers", {})
        return found

    def _bear(self, waited: float) -> None:
        """Without a worker for so long: a user is told, and it has an end where no queue brings any."""
        if waited > _NO_WORKERS_SECONDS and not self._deployment.queued:
            raise EndpointError(
                f"the Dask cluster has had no workers for {_NO_WORKERS_SECONDS:g} s",
                place=self._where,
                cure="start some and run again: what is committed is kept",
            )
        if waited > self._tell_at:
            self._note(f"{self._deployment.where}: no worker has come for {waited / 60:.0f} min; waiting")
            self._tell_at *= 4

    def _muster(self, threads: int, flights: Flights | None) -> None:
        """Tell which workers came and went; all of them are asked for where their number says so, or it was long ago."""
        now = time.monotonic()
        if threads == self._mustered[0] and now < self._mustered[1]:
            return
        self._mustered = threads, now + _MUSTER_SECONDS
        workers = self._workers() if threads else {}
        if flights is not None:
            self._check_kinds(_offers(workers), flights)
        there, before = set(workers), self._there or set()
        if there != self._there:
            came, went = sorted(there - before), sorted(before - there)
            self._reporter.event("workers", workers=len(there), threads=threads, joined=came, lost=went)
            self._there = there

    def _check_kinds(self, there: frozenset[str], flights: Flights) -> None:
        """A task that is for a kind of worker waits for one: not for ever, where none of them comes back."""
        awaited = frozenset().union(*(task.kinds for task in flights.tasks())) & self.offered - there
        now = time.monotonic()
        self._gone_since = {kind: self._gone_since.get(kind, now) for kind in sorted(awaited)}
        for kind, since in self._gone_since.items():
            if now - since > _NO_WORKERS_SECONDS and not self._deployment.queued:
                raise EndpointError(
                    f"the workers that offered '{kind}' have been gone for {now - since:.0f} s, and tasks are for them",
                    place=self._where,
                    cure="start some and run again: what is committed is kept",
                )

    def _left_by(self, event: Any) -> None:
        """Told by a worker that goes: the keys of tasks that it does not finish."""
        for key in event[1]["keys"]:
            self._left[key] = self._left.get(key, 0) + 1

    def _check_left(self, flights: Flights) -> None:
        for key, times in list(self._left.items()):
            if times >= _LEFT_MOST and (task := flights.flying(key)) is not None:
                raise WorkerError(
                    f"{times} workers came to the end of their time while they were at it",
                    place=task.place,
                    cure="give them a longer walltime, or run with a smaller --split-mb",
                )


def _offers(workers: Mapping[str, Any]) -> frozenset[str]:
    """Kinds of some workers, as a scheduler tells of them; of less than one no task could be begun."""
    return frozenset(kind for each in workers.values() for kind, much in each.get("resources", {}).items() if much >= 1)


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
