"""One model's share of an asker: what waits for it, how it is reached, and when asking it any more is useless."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Protocol

from curate.errors import EndpointError
from curate.llm.limiter import PAUSE_CAP, Limiter, limiter_of
from curate.llm.local import SLOTS, KeptServer, LocalServer
from curate.llm.model import Model
from curate.llm.outcome import BAD_VECTOR, ENDPOINT, THROTTLES, Failure, Reply
from curate.llm.request import Request
from curate.llm.rounds import Job

__all__ = ["Lane", "Transport"]

_THROTTLED_TRIES: Final = 20
"""429s and 503s that one request may meet before it counts as failed: they say *later*, not *no*."""

_BACKOFF: Final = 0.25
_BACKOFF_CAP: Final = 30.0

_CURES: Final = {
    "auth": "check the key in {key} and that it may use this model",
    "quota": "the account has no credit left: top it up and run again, nothing received is bought twice",
    "not_found": "does the endpoint serve '{model}', and does base_url end in /v1?",
}


class Transport(Protocol):
    """What carries one attempt to a model: HTTP today, a batch of them another day."""

    async def send(self, request: Request, max_tokens: int, key: str) -> Reply | Failure:
        """One attempt, and what came of it; raises nothing that an endpoint can cause."""


class Lane:
    """State of asking one model.

    Attributes:
        fresh: jobs that were not sent yet, in order.
        in_flight: attempts noted as sent whose outcome is not noted.
        failed_in_a_row: requests given up since the last usable answer.
        replies: answers that came.
        place: where it is, for messages.
    """

    def __init__(self, name: str, model: Model, *, log: Path, download: Callable[[int, int, str], None]) -> None:
        self.name, self.model = name, model
        self.fresh: deque[Job] = deque()
        self._retries: list[tuple[float, tuple[int, int], Job]] = []  # by the time at which they are ready
        self._ready: list[tuple[tuple[int, int], Job]] = []  # by their place in the order
        self.in_flight = self.failed_in_a_row = self.replies = 0
        self.place = model.base_url or ""
        self.transport: Transport | None = None
        self.limiter: Limiter | None = None
        self._log, self._download = log, download
        self._heard = False
        self._opening: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    # -- order ---------------------------------------------------------------------------------------------------

    @property
    def open_jobs(self) -> int:
        """Jobs that are not settled."""
        return len(self.fresh) + len(self._retries) + len(self._ready) + self.in_flight

    def retries(self) -> list[Job]:
        """What waits to be tried again, in no order."""
        return [job for *_, job in self._retries] + [job for _, job in self._ready]

    def again(self, job: Job, ready_at: float) -> None:
        """Let a job leave, not before that time, at its own place in the order."""
        heapq.heappush(self._retries, (ready_at, job.position, job))

    def first(self, now: float) -> tuple[Job | None, bool]:
        """The job that should leave next, and whether it is one that is tried again."""
        while self._retries and self._retries[0][0] <= now:
            _, position, job = heapq.heappop(self._retries)
            heapq.heappush(self._ready, (position, job))
        if self._ready:
            return self._ready[0][1], True
        return (self.fresh[0], False) if self.fresh else (None, False)

    def pop(self) -> None:
        """Remove what ``first`` gave."""
        if self._ready:
            heapq.heappop(self._ready)
        else:
            self.fresh.popleft()

    def wait(self, now: float) -> float:
        """Seconds until something may leave that may not leave now, if nothing comes back before; infinite if nothing
        will."""
        if self.limiter is not None and (pause := self.limiter.pause(now)):
            return pause
        if self.limiter is not None and not self.limiter.room(now):
            return math.inf
        return self._retries[0][0] - now if self._retries else math.inf

    # -- reaching the model --------------------------------------------------------------------------------------

    def begin(self, job: Job, done: Callable[[], None]) -> None:
        """Open the way to the model for a first job, if nobody has; ``done`` is called when that came to an end."""
        if self._opening is None:
            embeddings = job.request.kind == "embeddings"
            self._opening = asyncio.create_task(self._open(embeddings=embeddings))
            self._opening.add_done_callback(lambda _: done())

    async def _open(self, *, embeddings: bool) -> None:
        from curate.llm.client import Client  # openai takes a second to import: only who sends pays for it

        model = self.model
        if model.base_url is not None:
            base_url, limiter = model.base_url, limiter_of(model.base_url, model.model, model.concurrency)
        else:
            server = LocalServer(model, log=self._log, progress=self._download, embeddings=embeddings)
            base_url = await self._stack.enter_async_context(KeptServer(server))
            # More than its slots would only wait inside it, with their time-outs running.
            limiter = Limiter(min(model.concurrency, SLOTS))
        self.place = base_url
        self.transport = await self._stack.enter_async_context(Client(model, base_url))
        self.limiter = limiter

    def check(self) -> None:
        """Raise what opening the way raised."""
        if self._opening is not None and self._opening.done() and not self._opening.cancelled():
            self._opening.result()

    async def close(self) -> None:
        """Give everything up that was opened."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._stack.aclose()

    # -- patience ------------------------------------------------------------------------------------------------

    def replied(self) -> None:
        """A usable answer came."""
        self.replies += 1
        self._heard = True
        self.failed_in_a_row = 0

    def decide(self, job: Job, failure: Failure) -> bool:
        """Whether the job is tried again (it waits here, then) or given up. Raises EndpointError when no request will do
        better."""
        if failure.kind in ENDPOINT:
            cure = _CURES[failure.kind].format(key=self.model.key_env or "key_env", model=self.model.model)
            raise EndpointError(f"the endpoint refuses: {failure.detail}", place=self.place, cure=cure)
        if failure.kind == "refused_request":
            self._heard = True
            return False
        if failure.kind in THROTTLES:
            job.throttles += 1
            again = job.throttles < _THROTTLED_TRIES
            delay = 0.0  # the limiter's pause holds everybody
        else:
            job.tries += 1
            # The same text gets the same vector again, at the same price.
            again = job.tries < self.model.attempts and failure.kind != BAD_VECTOR
            # Spread by the key: the same in every run, different for requests that failed together.
            spread = 0.5 + int(job.key[:4], 16) / 0x10000
            delay = min(_BACKOFF_CAP, _BACKOFF * 2.0 ** (job.tries - 1) * spread)
            delay = max(delay, min(failure.retry_after or 0.0, PAUSE_CAP))
        self._heard = self._heard or failure.kind != "connect"
        if not self._heard and job.tries >= min(3, self.model.attempts):
            raise self._gone("can't be reached", failure)
        if again:
            self.again(job, time.monotonic() + delay)
            return True
        self.failed_in_a_row += 1
        # Who was put off so often and heard nothing else would wait for hours at the next requests.
        put_off = failure.kind in THROTTLES and not self.replies
        if put_off or self.failed_in_a_row >= max(8, 2 * self.model.concurrency):
            raise self._gone("gives no usable answers any more", failure)
        return False

    def _gone(self, what: str, failure: Failure) -> EndpointError:
        return EndpointError(
            f"the endpoint {what} ({failure.kind}: {failure.detail})",
            place=self.place,
            cure="check base_url and the network, then run again: nothing received is bought twice",
        )
