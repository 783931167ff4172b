"""Tasks on their way: sent to workers, tried again when those die, and treated when they die again and again."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import deque
from collections.abc import Callable
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

    Receipts are fetched while others are waited for, many at a time: to ask for one and wait for it is a way to the
    scheduler and back, and was nine tenths of a small task's time.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ended: SimpleQueue[tuple[str, Outcome]] = SimpleQueue()

    def add(self, future: Any) -> None:
        """Wait for one more."""
        self._client.loop.add_callback(self._bring, future)

    def next(self, seconds: float) -> tuple[str, Outcome] | None:
        """The key of one that has ended, and how; None when there is none after so many seconds."""
        try:
            return self._ended.get(timeout=seconds)
        except Empty:
            return None

    async def _bring(self, future: Any) -> None:
        key = future.key
        try:
            error = await future._exception()  # noqa: SLF001 - waits without a thread of its own
            outcome = await self._receipt(future) if future.status == "finished" else Outcome(error=error)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, somebody waits for it
            outcome = Outcome(error=error, lost=True)
        self._ended.put((key, outcome))

    async def _receipt(self, future: Any) -> Outcome:
        # What is fetched with others must not be given up for their sake: so no wait_for.
        fetching = asyncio.ensure_future(self._client.gather(future, asynchronous=True))
        fetching.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait({fetching}, timeout=RESULT_SECONDS)
        if not fetching.done():
            return Outcome(error=TimeoutError(), lost=True)
        return Outcome(fetching.result(), ended=True)


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


class Flights:
    """All tasks on their way.

    Args:
        client: Dask's.
        execute: what a worker calls with a task.
        label: step and phase: Dask's dashboard groups tasks by what their keys begin with.
        kinds: of workers that there are: a task that is for one of them goes to such a worker alone.

    A task in treatment has the cluster for itself: workers are sent a task ahead, and those that are not ours may run several
    at once, so a death could be that of any of them.
    """

    def __init__(
        self,
        client: Any,
        execute: Callable[[Task], Any],
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

    def room(self, most: int) -> bool:
        """Whether another task may be sent, with at most so many on their way."""
        return not self._treated and len(self._flying) + len(self._held) < most

    def begin(self, task: Task) -> None:
        """Send a task."""
        self._send(Flight(task, task))

    def again(self, flight: Flight) -> None:
        """Send what comes next of one that has landed."""
        if flight.case is not None:
            self._treated += 1
            self._held.append(flight)
        else:
            self._send(flight)

    def _send(self, flight: Flight) -> None:
        task = flight.sent
        self._sent += 1
        # Dask takes equal keys for one task: an earlier attempt's, or that of another driver on a store of its own, must
        # not be mistaken for it.
        name = f"{self._label}-{self._sent}-{self._session}-{task.key}"
        # What is in treatment holds up all others.
        wanted = dict.fromkeys(sorted(task.kinds & self._kinds), 1)
        priority = 0 if flight.case is None else 1
        future = self._client.submit(
            self._execute, task, key=name, pure=False, retries=0, priority=priority, resources=wanted or None
        )
        self._flying[future.key] = flight, future
        self._landings.add(future)

    def landed(self, seconds: float) -> tuple[Flight, Outcome] | None:
        """One that has ended, and how; None when there is none after so many seconds."""
        if self._held and not self._flying:
            self._send(self._held.popleft())
        found = self._landings.next(seconds)
        if found is None:
            return None
        flight, future = self._flying.pop(found[0])
        future.release()
        self._treated -= flight.case is not None
        return flight, found[1]

    def clear(self) -> None:
        """Give up what is on its way."""
        left = [future for _, future in self._flying.values()]
        if left and self._client.status == "running":
            self._client.cancel(left, force=True)


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
