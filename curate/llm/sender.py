"""Sends what is still open, in order, within the budget and what the endpoint bears; nothing here knows rounds' meaning.

One task of one event loop owns the journal, the limiter and all decisions; the others only wait for HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from curate.errors import EndpointError
from curate.llm.journal import Journal, Reserve, Stored
from curate.llm.limiter import PAUSE_CAP, Limiter
from curate.llm.model import Budget, Model
from curate.llm.outcome import BAD_VECTOR, ENDPOINT, FREE, THROTTLES, Failure, Reply
from curate.llm.request import Request

if TYPE_CHECKING:
    from curate.llm.client import Client

__all__ = ["Job", "Sender"]

_THROTTLED_TRIES: Final = 20
"""429s and 503s that one request may meet before it counts as failed: they say *later*, not *no*."""

_BACKOFF: Final = 0.25
_BACKOFF_CAP: Final = 30.0
_DRAIN_SECONDS: Final = 10.0
"""How long answers in flight may still arrive once it is clear that no more requests leave: they are paid for."""

_CURES: Final = {
    "auth": "check the key in {key} and that it may use this model",
    "quota": "the account has no credit left: top it up and run again, nothing received is bought twice",
    "not_found": "does the endpoint serve '{model}', and does base_url end in /v1?",
}


@dataclass
class Job:
    """A request on its way. ``position`` is its place in the order in which requests leave."""

    position: int
    key: str
    request: Request
    max_tokens: int
    reserve: Reserve
    tries: int = 0
    throttles: int = 0
    ready_at: float = 0.0
    sent_at: float = 0.0
    attempt: int = 0


class Sender:
    """One call's sending.

    Attributes:
        answers: by key, what was received.
        failures: by key, (kind, detail) of the requests given up.
        stopped: whether the budget ended it.
        replies, completion_tokens: what came in, for progress.
    """

    def __init__(
        self, jobs: Sequence[Job], model: Model, budget: Budget, journal: Journal, limiter: Limiter, place: str
    ) -> None:
        self._fresh = deque(jobs)
        self._retries: list[Job] = []
        self._tasks: dict[asyncio.Task[Reply | Failure], Job] = {}
        self._model, self._budget, self._journal, self._limiter, self._place = model, budget, journal, limiter, place
        self.answers: dict[str, Stored] = {}
        self.failures: dict[str, tuple[str, str]] = {}
        self.stopped = False
        self.replies = self.completion_tokens = 0
        self._heard = False
        self._given_up_in_a_row = 0

    async def run(self, client: Client, tick: Callable[[], None], leave: Callable[[], bool] = lambda: False) -> None:
        """Send everything; ``tick`` is called after whatever changes. Raises EndpointError when going on is useless.

        Once ``leave`` says so nothing is sent any more; answers in flight are waited for, as they are paid.
        """
        try:
            while self._fresh or self._retries or self._tasks:
                if leave():
                    await self._drain()
                    return
                wait = self._launch(client)
                if self.stopped:
                    return
                tick()
                if not self._tasks:
                    await asyncio.sleep(wait)
                    continue
                done, _ = await asyncio.wait(self._tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                self._settle_all(done)
            tick()
        except EndpointError:
            await self._drain()
            raise
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self) -> None:
        if self._tasks:
            done, _ = await asyncio.wait(self._tasks, timeout=_DRAIN_SECONDS)
            for task in done:
                job = self._tasks.pop(task)
                outcome = task.result()
                if isinstance(outcome, Reply):
                    self._received(job, outcome)
                else:
                    self._write_failure(job, outcome)

    # -- leaving -----------------------------------------------------------------------------------------------

    def _launch(self, client: Client) -> float:
        """Send what may leave now; seconds after which there may be more, if nothing comes back before."""
        now = time.monotonic()
        for _ in range(self._limiter.room(now)):
            job = self._next(now)
            if job is None:
                break
            job.attempt = self._journal.send(
                job.key, job.request.family, self._model.model, job.max_tokens, job.reserve
            )
            job.sent_at = now
            self._limiter.sent()
            self._tasks[asyncio.create_task(client.send(job.request, job.max_tokens, job.key))] = job
        soonest = min((job.ready_at - now for job in self._retries), default=1.0)
        return min(1.0, max(0.001, soonest, self._limiter.pause(now)))

    def _next(self, now: float) -> Job | None:
        """The first job that may leave and fits the budget. Sets ``stopped`` when the first that should leave does not
        fit, and nothing in flight can give back a part of its reserve."""
        ready = [job for job in self._retries if job.ready_at <= now]
        if ready:
            job = min(ready, key=lambda job: job.position)
            if self._fits([job]):
                self._retries.remove(job)
                return job
        elif self._fresh:
            job = self._fresh[0]
            # What waits to be tried again comes earlier in the order: its share of the budget is kept for it.
            if self._fits([job, *self._retries]):
                return self._fresh.popleft()
            if self._retries:
                return None
        else:
            return None
        self.stopped = not self._tasks
        return None

    def _fits(self, jobs: Sequence[Job]) -> bool:
        spent = self._journal.spent
        return self._budget.admits(
            spent.prompt_tokens + sum(job.reserve.prompt_tokens for job in jobs),
            spent.completion_tokens + sum(job.reserve.completion_tokens for job in jobs),
            spent.dollars + sum(job.reserve.dollars for job in jobs),
        )

    # -- coming back -------------------------------------------------------------------------------------------

    def _settle_all(self, done: set[asyncio.Task[Reply | Failure]]) -> None:
        # Everything received is written down before any of it may raise.
        failed = []
        for task in done:
            job = self._tasks.pop(task)
            outcome = task.result()
            if isinstance(outcome, Reply):
                self._received(job, outcome)
            else:
                self._write_failure(job, outcome)
                failed.append((job, outcome))
        for job, outcome in failed:
            self._decide(job, outcome)

    def _received(self, job: Job, reply: Reply) -> None:
        self._limiter.answered()
        counted = reply.prompt_tokens is not None and reply.completion_tokens is not None
        # Upper bounds where the server does not count: a token is at least one byte.
        prompt = reply.prompt_tokens if reply.prompt_tokens is not None else job.reserve.prompt_tokens
        completion = reply.completion_tokens
        if completion is None:
            completion = min(job.max_tokens, len(reply.text.encode()))
        cost = Reserve(prompt, completion, self._model.dollars(prompt, completion))
        self._journal.answer(job.attempt, reply.text, reply.finish_reason, cost, job.reserve, counted=counted)
        self.answers[job.key] = Stored(reply.text, reply.finish_reason, prompt, completion, job.max_tokens)
        self.replies += 1
        self.completion_tokens += completion
        self._heard = True
        self._given_up_in_a_row = 0

    def _write_failure(self, job: Job, failure: Failure) -> None:
        self._journal.fail(job.attempt, failure.kind, failure.detail, job.reserve, free=failure.kind in FREE)
        if failure.kind in THROTTLES:
            self._limiter.throttled(time.monotonic(), job.sent_at, failure.retry_after)
        elif failure.kind == "refused_request":
            self._limiter.answered()
        else:
            self._limiter.failed()

    def _decide(self, job: Job, failure: Failure) -> None:
        """Try again, give the request up, or stop everything."""
        if failure.kind in ENDPOINT:
            cure = _CURES[failure.kind].format(key=self._model.key_env or "key_env", model=self._model.model)
            raise EndpointError(f"the endpoint refuses: {failure.detail}", place=self._place, cure=cure)
        if failure.kind == "refused_request":
            self._heard = True
            self.failures[job.key] = (failure.kind, failure.detail)
            return
        if failure.kind in THROTTLES:
            job.throttles += 1
            again = job.throttles < _THROTTLED_TRIES
            delay = 0.0  # the limiter's pause holds everybody
        else:
            job.tries += 1
            # The same text gets the same vector again, at the same price.
            again = job.tries < self._model.attempts and failure.kind != BAD_VECTOR
            # Spread by the key: the same in every run, different for requests that failed together.
            spread = 0.5 + int(job.key[:4], 16) / 0x10000
            delay = min(_BACKOFF_CAP, _BACKOFF * 2.0 ** (job.tries - 1) * spread)
            delay = max(delay, min(failure.retry_after or 0.0, PAUSE_CAP))
        self._heard = self._heard or failure.kind != "connect"
        if not self._heard and job.tries >= min(3, self._model.attempts):
            raise self._gone("can't be reached", failure)
        if again:
            job.ready_at = time.monotonic() + delay
            self._retries.append(job)
            return
        self.failures[job.key] = (failure.kind, failure.detail)
        self._given_up_in_a_row += 1
        # Who was put off so often and heard nothing else would wait for hours at the next requests.
        put_off = failure.kind in THROTTLES and not self.replies
        if put_off or self._given_up_in_a_row >= max(8, 2 * self._model.concurrency):
            raise self._gone("gives no usable answers any more", failure)

    def _gone(self, what: str, failure: Failure) -> EndpointError:
        return EndpointError(
            f"the endpoint {what} ({failure.kind}: {failure.detail})",
            place=self._place,
            cure="check base_url and the network, then run again: nothing received is bought twice",
        )
