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
from typing import Final

from curate.errors import EndpointError
from curate.llm.batch_book import BatchBook
from curate.llm.endpoint import Endpoint
from curate.llm.limiter import PAUSE_CAP, Limiter, limiter_of
from curate.llm.local import SLOTS, KeptServer, LocalServer
from curate.llm.model import Model
from curate.llm.outcome import BAD_VECTOR, ENDPOINT, THROTTLES, Failure
from curate.llm.rounds import Job

__all__ = ["Lane"]

_THROTTLED_TRIES: Final = 20
"""429s and 503s that one request may meet before it counts as failed: they say *later*, not *no*."""

_SILENT: Final = 3
"""Attempts that may find nobody before an endpoint counts as one that can't be reached."""

_BATCHED: Final = 10_000
"""Requests that are looked up for one batch, before it leaves."""

_BACKOFF: Final = 0.25
_BACKOFF_CAP: Final = 30.0

_CURES: Final = {
    "auth": "check the key in {key} and that it may use this model",
    "quota": "the account has no credit left: top it up and run again, nothing received is bought twice",
    "not_found": "does the endpoint serve '{model}', and does base_url end in /v1?",
}


class Lane:
    """State of asking one model.

    Attributes:
        fresh: jobs that were not sent yet, in order.
        in_flight: attempts noted as sent whose outcome is not noted.
        failed_in_a_row: requests given up since the last usable answer.
        replies: answers that came.
        endpoints: where it is asked; None until something must be sent.
        place: where it is, for messages.

    Args:
        note: told in words what a user should know and what is no error.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        *,
        log: Path,
        journal: Path,
        download: Callable[[int, int, str], None],
        note: Callable[[str], None],
    ) -> None:
        self.name, self.model = name, model
        self.fresh: deque[Job] = deque()
        self._retries: list[tuple[float, tuple[int, int], Job]] = []  # by the time at which they are ready
        self._ready: list[tuple[tuple[int, int], Job]] = []  # by their place in the order
        self.in_flight = self.failed_in_a_row = self.replies = 0
        self.endpoints: list[Endpoint] | None = None
        self.place = ", ".join(model.endpoints)
        self._log, self._download, self._note = log, download, note
        self._book = BatchBook(journal)
        self._over = False
        self._opening: asyncio.Task[None] | None = None
        self._told = False
        self._stack = AsyncExitStack()

    # -- order ---------------------------------------------------------------------------------------------------

    @property
    def open_jobs(self) -> int:
        """Jobs that are not settled."""
        return len(self.fresh) + len(self._retries) + len(self._ready) + self.in_flight

    @property
    def at_hand(self) -> int:
        """Jobs that are worth looking up ahead: enough for those who send, or for a batch."""
        return _BATCHED if self.model.batch else self.model.concurrency

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
        if self.endpoints is None or not (self.fresh or self._ready or self._retries):
            return math.inf
        room = min(endpoint.wait(now) for endpoint in self.endpoints)
        return room if self.fresh or self._ready else max(room, self._retries[0][0] - now)

    # -- reaching the model --------------------------------------------------------------------------------------

    def begin(self, job: Job, done: Callable[[], None]) -> None:
        """Open the way to the model for a first job, if nobody has; ``done`` is called when that came to an end."""
        if self._opening is None:
            embeddings = job.request.kind == "embeddings"
            self._opening = asyncio.create_task(self._open(embeddings=embeddings))
            self._opening.add_done_callback(lambda _: done())

    async def _open(self, *, embeddings: bool) -> None:
        from curate.llm.client import Client  # openai takes a second to import: only who sends pays for it

        model, found = self.model, []
        if model.batch:
            await self._open_batches()
            return
        for url in model.endpoints:
            paces = (model.requests_per_minute, model.tokens_per_minute)
            found.append((url, limiter_of(url, model.model, model.concurrency, *paces)))
        if not found:
            server = LocalServer(model, log=self._log, progress=self._download, embeddings=embeddings)
            url = await self._stack.enter_async_context(KeptServer(server))
            # More than its slots would only wait inside it, with their time-outs running.
            found.append((url, Limiter(min(model.concurrency, SLOTS))))
            self.place = url
        self.endpoints = [
            Endpoint(url, limiter, await self._stack.enter_async_context(Client(model, url))) for url, limiter in found
        ]

    async def _open_batches(self) -> None:
        from curate.llm.batches import MOST_REQUESTS, Batches
        from curate.llm.client import Client

        (url,) = self.model.endpoints
        client = await self._stack.enter_async_context(Client(self.model, url))
        batches = await self._stack.enter_async_context(Batches(self.model, url, client, self._book, self._note))
        limiter = Limiter(MOST_REQUESTS)
        limiter.window = float(MOST_REQUESTS)  # nothing to be learnt: the endpoint asks them when it likes
        self.endpoints = [Endpoint(url, limiter, batches)]

    def check(self) -> None:
        """Raise what opening the way raised, once."""
        if self._opening is not None and self._opening.done() and self.endpoints is None and not self._told:
            self._told = True
            self._opening.result()

    def free(self, now: float, job: Job) -> Endpoint | None:
        """The endpoint with the most room; for what failed at one, rather another."""
        best: Endpoint | None = None
        most = (False, 0)
        for endpoint in self.endpoints or ():
            if room := endpoint.room(now):
                rank = (endpoint is not job.endpoint, room)
                if best is None or rank > most:
                    best, most = endpoint, rank
        return best

    async def close(self) -> None:
        """Give everything up that was opened."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._stack.aclose()

    # -- patience ------------------------------------------------------------------------------------------------

    def replied(self, job: Job, completion_tokens: int) -> None:
        """A usable answer came."""
        assert job.endpoint is not None
        job.endpoint.replied()
        self.replies += 1
        self.failed_in_a_row = 0
        if completion_tokens > job.max_tokens and not self._over:
            self._over = True
            self._note(
                f"{self.model.model} at {job.endpoint.url} counts {completion_tokens:,} tokens of an answer for which"
                f" {job.max_tokens:,} were allowed: they are charged, and a cap may be passed by so much;"
                " set `limit_field` or `reasoning_tokens` of the model"
            )

    def decide(self, job: Job, failure: Failure) -> bool:
        """Whether the job is tried again (it waits here, then) or given up. Raises EndpointError when no request will do
        better, and no other endpoint is there."""
        endpoint, now = job.endpoint, time.monotonic()
        assert endpoint is not None
        if failure.kind in ENDPOINT:
            cure = _CURES[failure.kind].format(key=self.model.key_env or "key_env", model=self.model.model)
            error = EndpointError(f"the endpoint refuses: {failure.detail}", place=endpoint.url, cure=cure)
            self._leave_out(endpoint, now, error, for_good=True)
            self.again(job, now)
            return True
        if failure.kind == "refused_request":
            endpoint.heard = True
            return False
        others = self._others(endpoint, now)
        if failure.kind in THROTTLES:
            job.throttles += 1
            again = job.throttles < _THROTTLED_TRIES
            delay = 0.0  # the limiter's pause holds everybody
        else:
            job.tries += 1
            endpoint.failures += 1
            # The same text gets the same vector again, at the same price.
            again = job.tries < self.model.attempts and failure.kind != BAD_VECTOR
            # Spread by the key: the same in every run, different for requests that failed together.
            spread = 0.5 + int(job.key[:4], 16) / 0x10000
            delay = min(_BACKOFF_CAP, _BACKOFF * 2.0 ** (job.tries - 1) * spread)
            delay = max(delay, min(failure.retry_after or 0.0, PAUSE_CAP))
            if failure.kind == "expired":
                delay = 0.0  # it waited long enough, and leaves with the others of its batch
        endpoint.heard = endpoint.heard or failure.kind != "connect"
        if others and endpoint.failures >= (_SILENT if failure.kind == "connect" else 2 * self.model.concurrency):
            self._leave_out(endpoint, now, self._gone(endpoint, "gives no usable answers", failure), for_good=False)
            delay = 0.0
        elif not endpoint.heard and not self.replies and job.tries >= min(_SILENT, self.model.attempts):
            raise self._gone(endpoint, "can't be reached", failure)
        if again:
            self.again(job, now + (0.0 if others and failure.kind == "connect" else delay))
            return True
        self.failed_in_a_row += 1
        # Who was put off so often and heard nothing else would wait for hours at the next requests.
        put_off = failure.kind in THROTTLES and not self.replies
        if put_off or self.failed_in_a_row >= max(8, 2 * self.model.concurrency):
            raise self._gone(endpoint, "gives no usable answers any more", failure)
        return False

    def _others(self, endpoint: Endpoint, now: float) -> bool:
        return any(other is not endpoint and now >= other.rests_until for other in self.endpoints or ())

    def _leave_out(self, endpoint: Endpoint, now: float, error: EndpointError, *, for_good: bool) -> None:
        """Go on with the others, and say so; raise the error when there are none."""
        if not self._others(endpoint, now):
            raise error
        if now >= endpoint.rests_until:
            endpoint.leave_out(now, for_good=for_good)
            self._note(f"{endpoint.url} is left out{'' if for_good else ' for a while'}: {error.cause}")

    def _gone(self, endpoint: Endpoint, what: str, failure: Failure) -> EndpointError:
        return EndpointError(
            f"the endpoint {what} ({failure.kind}: {failure.detail})",
            place=endpoint.url,
            cure="check base_url and the network, then run again: nothing received is bought twice",
        )
