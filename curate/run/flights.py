"""Tasks on their way: sent to workers, tried again when those die, and treated when they die again and again."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final

from curate.run.quarantine import DIED, Conversation, treat
from curate.run.task import Task
from curate.spent import Work

PATIENCE: Final = 2
"""Deaths of workers that what was sent must have seen before they count: machines are preempted, operators kill."""
RESULT_SECONDS: Final = 30.0
"""How long the way of a receipt of some kilobytes may take."""
_LINGER_SECONDS: Final = 0.002
"""How long others are waited for that come along with a receipt."""
_SLOW_SECONDS: Final = 0.5
"""After so long others are fetched beside it."""
_MESSAGE: Final = 1000
"""Tasks of one message to the scheduler, those in bundles counted one by one: about a megabyte, which it takes apart in one go."""


@dataclass(frozen=True)
class Outcome:
    """How a future ended.

    Attributes:
        receipt: what came of it.
        error: what it raised, where it did; of one that the scheduler lost None.
        lost: whether the receipt could not be had, for ``error``, though the task was done.
    """

    receipt: Any = None
    error: BaseException | None = None
    ended: bool = False
    lost: bool = False


class Landings:
    """Brings what futures end with to this thread.

    Receipts are fetched while others are waited for, all that have come meanwhile at once: to ask for one is a way to the
    scheduler and to a worker and back, and was nine tenths of a small task's time.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ended: SimpleQueue[list[tuple[str, Outcome]]] = SimpleQueue()
        # Of the loop's thread alone:
        self._running = set[asyncio.Future[None]]()
        self._done: list[Any] = []
        self._fetching = False

    def add(self, futures: Sequence[Any]) -> None:
        """Wait for some more."""
        self._client.loop.add_callback(self._wait, futures)

    def next(self, seconds: float) -> list[tuple[str, Outcome]]:
        """Keys of those that have ended, and how; none when there is none after so many seconds."""
        found: list[tuple[str, Outcome]] = []
        with suppress(Empty):
            found += self._ended.get(timeout=seconds)
            while True:
                found += self._ended.get_nowait()
        return found

    def _wait(self, futures: Sequence[Any]) -> None:
        for future in futures:
            self._begin(self._bring(future))

    def _begin(self, what: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(what)
        self._running.add(task)  # the loop itself keeps none alive
        task.add_done_callback(self._running.discard)
        return task

    async def _bring(self, future: Any) -> None:
        try:
            error = await future._exception()  # noqa: SLF001 - waits without a thread of its own
            while future.status in ("pending", "lost"):
                # Its worker died before this was told that it is done: Dask has it done again.
                error = await future._exception()  # noqa: SLF001
        except (Exception, asyncio.CancelledError) as failed:  # noqa: BLE001 - whatever it is, somebody waits for it
            self._ended.put([(future.key, Outcome(error=failed, lost=True))])
            return
        if future.status != "finished":
            self._ended.put([(future.key, Outcome(error=error))])
            return
        self._done.append(future)
        if not self._fetching:
            self._fetching = True
            try:
                await self._fetch()
            finally:
                self._fetching = False

    async def _fetch(self) -> None:
        """Fetch what is done, and then what was done meanwhile. One fetch that is slow, as of a worker that is gone, is not
        waited for by what comes next."""
        while self._done:
            await asyncio.sleep(_LINGER_SECONDS)
            futures, self._done = self._done, []
            await asyncio.wait({self._begin(self._receipts(futures))}, timeout=_SLOW_SECONDS)

    async def _receipts(self, futures: list[Any]) -> None:
        found = await self._gathered(futures)
        if isinstance(found, BaseException) and len(futures) > 1:  # it may be that of one of them alone
            await asyncio.gather(*(self._receipts([future]) for future in futures))
        elif isinstance(found, BaseException):
            self._ended.put([(futures[0].key, Outcome(error=found, lost=True))])
        else:
            self._ended.put([(f.key, Outcome(receipt, ended=True)) for f, receipt in zip(futures, found, strict=True)])

    async def _gathered(self, futures: list[Any]) -> list[Any] | BaseException:
        # What is fetched with others must not be given up for their sake: so no wait_for.
        fetching = asyncio.ensure_future(self._client.gather(futures, asynchronous=True))
        fetching.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait({fetching}, timeout=RESULT_SECONDS)
        if not fetching.done():
            return TimeoutError()
        if fetching.cancelled():
            return asyncio.CancelledError()
        return fetching.exception() or fetching.result()


@dataclass
class Flight:
    """One of the engine's tasks on its way, in one attempt after the other.

    Attributes:
        task: as the engine gave it.
        sent: what runs now: the task, or something that tells why its workers die.
        deaths: workers lost with what is sent now.
        case: what is being found out about it, once that is so.
        works: what attempts took that did not kill their worker.
    """

    task: Task
    sent: Task
    deaths: int = 0
    case: Conversation | None = None
    works: list[Work] = field(default_factory=list)


class _Called:
    """Unpickled, it is what the call gives.

    A worker takes a message apart before it begins any task of it, and one that fails at that closes: where there is no curate,
    or another one, it would die of each task that it is sent. So what Dask sees is its own function, which all workers have, and
    bytes: what is wrong with them is the task's error, and comes back. (It is faster, too: the scheduler has no use for more.)
    """

    def __init__(self, execute: Callable[[bytes], Any], task: bytes) -> None:
        self._call = execute, (task,)

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return self._call


class Flights:
    """All tasks on their way.

    Args:
        client: Dask's.
        execute: what a worker calls with a pickled task.
        label: step and phase: Dask's dashboard groups tasks by what their keys begin with.
        kinds: of workers that there are: a task that is for one of them goes to such a worker alone.

    A task in treatment has the cluster for itself: workers are sent a task ahead, and those that are not ours may run several
    at once, so a death could be that of any of them.
    """

    def __init__(
        self,
        client: Any,
        execute: Callable[[bytes], Any],
        label: str,
        kinds: frozenset[str] = frozenset(),
    ) -> None:
        self._client, self._execute, self._kinds = client, execute, kinds
        self._landings = Landings(client)
        # Up to the first hyphen that something else than letters follows (dask.utils.key_split): there is none in it.
        self._label = re.sub(r"[^A-Za-z0-9_:.>]+", "_", label)
        self._session = uuid.uuid4().hex[:12]
        self._sent = 0
        self._flying: dict[str, tuple[Flight, Any]] = {}
        self._held: deque[Flight] = deque()
        self._treated = 0

    def __bool__(self) -> bool:
        return bool(self._flying or self._held)

    def tasks(self) -> list[Task]:
        """The engine's tasks that are on their way."""
        return [f.task for f in (*(flight for flight, _ in self._flying.values()), *self._held)]

    def flying(self, key: str) -> Task | None:
        """The engine's task that was sent under this key and has not landed."""
        found = self._flying.get(key)
        return found[0].task if found else None

    def room(self, most: int) -> int:
        """How many more tasks may be sent, with at most so many on their way."""
        return 0 if self._treated else max(0, most - len(self._flying) - len(self._held))

    def begin(self, tasks: Sequence[Task]) -> None:
        """Send some tasks."""
        self._send([Flight(task, task) for task in tasks])

    def again(self, flight: Flight) -> None:
        """Send what comes next of one that has landed."""
        if flight.case is not None:
            self._treated += 1
            self._held.append(flight)
        else:
            self._send([flight])

    def _send(self, flights: Sequence[Flight]) -> None:
        """In few messages: one for each task is most of what a small task costs, here and in the scheduler."""
        alike: dict[tuple[bool, frozenset[str]], list[Flight]] = {}
        for flight in flights:
            alike.setdefault((flight.case is not None, flight.sent.kinds & self._kinds), []).append(flight)
        for (treated, kinds), some in alike.items():
            for lot in _messages(some):
                self._send_alike(lot, treated, kinds)

    def _send_alike(self, flights: Sequence[Flight], treated: bool, kinds: frozenset[str]) -> None:
        # Dask takes equal keys for one task: an earlier attempt's, or that of another driver on a store of its own, must
        # not be mistaken for it.
        names = [
            f"{self._label}-{self._sent + number}-{self._session}-{flight.sent.key}"
            for number, flight in enumerate(flights, 1)
        ]
        self._sent += len(flights)
        from distributed.protocol.pickle import dumps, loads

        futures = self._client.map(
            loads,
            [dumps(_Called(self._execute, dumps(flight.sent))) for flight in flights],
            key=names,
            pure=False,
            retries=0,
            priority=int(treated),  # what is in treatment holds up all others
            resources=dict.fromkeys(sorted(kinds), 1) or None,
        )
        self._flying.update((future.key, (flight, future)) for flight, future in zip(flights, futures, strict=True))
        self._landings.add(futures)

    def landed(self, seconds: float) -> list[tuple[Flight, Outcome]]:
        """Those that have ended, and how; none when there is none after so many seconds."""
        if self._held and not self._flying:
            self._send([self._held.popleft()])
        landed = []
        for key, outcome in self._landings.next(seconds):
            flight, future = self._flying.pop(key)
            future.release()
            self._treated -= flight.case is not None
            landed.append((flight, outcome))
        return landed

    def clear(self) -> None:
        """Give up what is on its way."""
        left = [future for _, future in self._flying.values()]
        if left and self._client.status == "running":
            self._client.cancel(left, force=True)


def _messages(flights: Sequence[Flight]) -> Iterator[list[Flight]]:
    """Some of them at a time, of ``_MESSAGE`` tasks at most, or one that has more."""
    lot: list[Flight] = []
    size = 0
    for flight in flights:
        if lot and size + flight.sent.commits > _MESSAGE:
            yield lot
            lot, size = [], 0
        lot.append(flight)
        size += flight.sent.commits
    if lot:
        yield lot


def judge(flight: Flight, receipt: Any, deaths: int, works: list[Work]) -> Any:
    """The task's receipt, or DIED when there is more to try: then ``flight.sent`` is that.

    Args:
        receipt: of what was sent, or DIED.
        deaths: how many workers died of it, or with it; none where its receipt was lost on its way.
        works: what it took.

    Raises WorkerError when nothing is left to try.
    """
    flight.works += works
    if receipt is DIED:
        flight.deaths += deaths
        if flight.deaths < PATIENCE:
            return DIED
    flight.deaths = 0
    if flight.case is None:
        if receipt is DIED:
            flight.case = treat(flight.task)
            flight.sent = next(flight.case)
        return receipt
    try:
        flight.sent = flight.case.send(receipt)
    except StopIteration as end:
        return end.value
    return DIED
