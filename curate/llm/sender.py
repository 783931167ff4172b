"""Sends what open rounds need, in order, within the budget and what the endpoints bear, and closes the rounds.

One task of one event loop makes all decisions, in turns; the others only wait for HTTP. What a turn notes in the journal
is made to last by one flush of the disk, in a thread beside, while the loop goes on: only then its requests leave, and
only then the rounds that it closed are handed on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from curate.errors import EndpointError
from curate.llm.endpoint import Endpoint
from curate.llm.journal import Journal, Reserve, Stored, Totals
from curate.llm.lane import Lane
from curate.llm.model import Budget
from curate.llm.outcome import FREE, THROTTLES, UNSENT, Failure, Reply
from curate.llm.rounds import Closed, Job, OpenRound, Round, Rounds

__all__ = ["Sender"]

_DRAIN_SECONDS: Final = 10.0
"""How long answers in flight may still arrive once it is clear that no more requests leave: they are paid for. Whoever
tells it to leave has a clock of his own."""

_LOOK_SECONDS: Final = 0.25
"""How often it is asked whether to leave, when nothing else happens."""

_HELD: Final = 32_768
"""Requests of rounds that are open or wait to be taken; further rounds are not even looked up. It bounds memory."""


@dataclass
class _Turn:
    """What waits for the next flush of the disk."""

    sent: list[Job] = field(default_factory=list)
    settled: list[Job] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)


class Sender:
    """Everything between rounds that are put and rounds that are closed.

    Args:
        give: called with each closed round, in order.
        waiting: requests of closed rounds that nobody has taken yet.
        leave: once it says so nothing is sent any more; answers in flight are waited for, as they are paid, those of
            batches, which the next run finds again, not for long.

    Attributes:
        stopped: whether the budget ended it.
        bought, completion_tokens: answers that came, and their tokens.
        first_sent, last_answer: times of the clock ``time.monotonic``, 0 before.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        rounds: Rounds,
        budget: Budget,
        book: Journal,
        *,
        give: Callable[[Closed], None],
        waiting: Callable[[], int],
        leave: Callable[[], bool],
    ) -> None:
        self.lanes, self.rounds, self._budget, self._book = lanes, rounds, budget, book
        self._give, self._waiting, self._leave = give, waiting, leave
        self._put: deque[tuple[int, Round]] = deque()
        self._pending = dict.fromkeys(lanes, 0)
        self._known: dict[str, bool] = {}  # whether a model answered in an earlier run
        self._outcomes: deque[tuple[asyncio.Task[Reply | Failure], Job]] = deque()
        self._tasks: dict[asyncio.Task[Reply | Failure], Job] = {}
        self._turn, self._saving = _Turn(), _Turn()
        self._sync: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._end_by: float | None = None
        self._leaving = False
        self._error: EndpointError | None = None
        self.stopped = False
        self.bought = self.completion_tokens = 0
        self.first_sent = self.last_answer = 0.0

    @property
    def spent(self) -> Totals:
        """Accounts of the whole run."""
        return self._book.spent

    # -- from outside, on the loop's thread --------------------------------------------------------------------------

    def put(self, number: int, round_: Round) -> None:
        """Rounds come in order of their numbers."""
        self._put.append((number, round_))
        self._pending[round_.model] += 1
        self._wake.set()

    def end(self) -> None:
        """Send nothing any more; ``run`` returns when what is in flight has come, or is late."""
        if self._end_by is None:
            self._end_by = time.monotonic() + _DRAIN_SECONDS
            self._wake.set()

    def wake(self) -> None:
        """Something changed outside."""
        self._wake.set()

    # -- turns -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until ``end`` or ``leave``, the budget's end, or an endpoint's: then EndpointError is raised."""
        try:
            while True:
                self._wake.clear()
                if self._leave():
                    self._leaving = True
                    self.end()
                self._saved()
                try:
                    self._settle()
                    for lane in self.lanes.values():
                        lane.check()
                except EndpointError as error:
                    self._error = self._error or error
                    self.end()
                wait = _LOOK_SECONDS
                if self._end_by is None:
                    self._open()
                    wait = self._launch()
                self._close()
                self._save()
                if self._over():
                    break
                await self._sleep(wait)
        finally:
            await self._give_up()
        if self._error is not None:
            raise self._error

    async def _sleep(self, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        await asyncio.sleep(0)  # an event that is set does not let anybody else run
        await self._wake.wait()
        timer.cancel()

    def _over(self) -> bool:
        """Whether nothing more will happen."""
        if self._end_by is None or self._sync is not None:
            return False
        if not (self._tasks or self._outcomes):
            return True
        if self._leaving and any(not self.lanes[job.model].model.batch for job in self._tasks.values()):
            return False
        return time.monotonic() > self._end_by

    async def _give_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        late = [job for _, job in self._outcomes]
        for job in [*self._tasks.values(), *late, *self._saving.sent, *self._turn.sent]:
            assert job.endpoint is not None
            job.endpoint.limiter.failed()
        if self._sync is not None:
            await asyncio.gather(self._sync, return_exceptions=True)
        self._flusher.shutdown()
        for lane in self.lanes.values():
            await lane.close()

    # -- rounds ------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Look up as many rounds, in order, as are needed for each model to have enough to do."""
        while self._put and any(
            left and len(self.lanes[name].fresh) < self.lanes[name].at_hand for name, left in self._pending.items()
        ):
            number, round_ = self._put[0]
            held = self.rounds.requests + self._waiting()
            if held and held + len(round_.requests) > _HELD:
                return
            self._put.popleft()
            self._pending[round_.model] -= 1
            self._enqueue(self.rounds.open(number, round_))

    def _enqueue(self, jobs: list[Job]) -> None:
        for job in jobs:
            lane = self.lanes[job.model]
            if lane.fresh and lane.fresh[-1].position > job.position:
                lane.again(job, 0.0)
            else:
                lane.fresh.append(job)

    def _close(self) -> None:
        self._turn.closed += self.rounds.close(self._held)

    def _held(self, opened: OpenRound) -> bool:
        """Whether a round's failures may be the endpoint's end, which is told once that is certain.

        If nothing was ever answered and all of the round failed, the set-up is wrong, and a round full of None would be
        closed for ever: it ends with EndpointError."""
        lane = self.lanes[opened.round.model]
        unheard = opened.failed_altogether and not lane.replies and not self._knows(lane.model.model)
        if not unheard and not lane.failed_in_a_row:
            return False
        if self._error is not None or (not self.stopped and (lane.open_jobs or self._end_by is not None)):
            return True
        if unheard and self._error is None:
            kind, detail = opened.failures[0]
            self._error = EndpointError(
                f"every request of the first round failed ({kind}: {detail})",
                place=lane.place,
                cure="check the model's settings in the recipe, then run again",
            )
            self.end()
        return unheard

    def _knows(self, model: str) -> bool:
        if model not in self._known:
            self._known[model] = self._book.knows(model)
        return self._known[model]

    # -- leaving -----------------------------------------------------------------------------------------------------

    def _launch(self) -> float:
        """Note as sent what may leave now; seconds after which there may be more, if nothing comes back before.

        Sets ``stopped`` when the first that should leave does not fit, and nothing in flight can give back a part of its
        reserve."""
        now, wait = time.monotonic(), _LOOK_SECONDS
        refused: list[Job] = []
        for lane in self.lanes.values():
            while True:
                job, again = lane.first(now)
                if job is None:
                    break
                endpoint = lane.free(now, job)
                if endpoint is None and lane.endpoints is not None:
                    break
                if not self._fits(job, again=again):
                    refused.append(job)
                    break
                if endpoint is None:
                    lane.begin(job, self._wake.set)
                    break
                lane.pop()
                self._send(lane, endpoint, job, now)
            if not refused or refused[-1].model != lane.name:  # else it waits for the budget, not for a time
                wait = min(wait, max(0.001, lane.wait(now)))
        if refused and not any(lane.in_flight for lane in self.lanes.values()):
            first = min(job.position for job in refused)
            waiting = [job.position for lane in self.lanes.values() for job in [*lane.retries(), *lane.fresh]]
            if first == min(waiting):
                self.stopped = True
                self.end()
        return wait

    def _fits(self, job: Job, *, again: bool) -> bool:
        if not self._budget.limited or self._book.under_way(job.key, job.max_tokens):
            return True
        jobs = [job]
        if not again:
            # What comes earlier in the order has its share of the budget kept for it.
            for lane in self.lanes.values():
                jobs += lane.retries()
                for other in lane.fresh if lane.name != job.model else ():
                    if other.position > job.position:
                        break
                    jobs.append(other)
        spent = self._book.spent
        return self._budget.admits(
            spent.prompt_tokens + sum(job.reserve.prompt_tokens for job in jobs),
            spent.completion_tokens + sum(job.reserve.completion_tokens for job in jobs),
            spent.dollars + sum(job.reserve.dollars for job in jobs),
        )

    def _send(self, lane: Lane, endpoint: Endpoint, job: Job, now: float) -> None:
        job.attempt = self._book.send(job.key, job.request.family, lane.model.model, job.max_tokens, job.reserve)
        job.sent_at, job.endpoint = now, endpoint
        lane.in_flight += 1
        endpoint.limiter.sent(now, _tokens(job))
        self._turn.sent.append(job)

    # -- the journal -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """Begin to make last what was noted, if the last flush is over; with nothing noted, hand on what is closed."""
        if self._sync is not None:
            return
        if not self._book.write():
            self._hand_on(self._turn)
            self._turn = _Turn()
            return
        self._saving, self._turn = self._turn, _Turn()
        self._sync = asyncio.get_running_loop().run_in_executor(self._flusher, self._book.sync)
        self._sync.add_done_callback(lambda _: self._wake.set())

    def _saved(self) -> None:
        """What was noted before the flush began does last now."""
        if self._sync is not None and self._sync.done():
            sync, self._sync = self._sync, None
            sync.result()
            saved, self._saving = self._saving, _Turn()
            self._hand_on(saved)

    def _hand_on(self, turn: _Turn) -> None:
        self.rounds.forget(turn.settled)
        for closed in turn.closed:
            self._give(closed)
        now = time.monotonic()
        for job in turn.sent:
            assert job.endpoint is not None
            if self._end_by is not None and not self.lanes[job.model].model.batch:
                self._unsend(job)
                continue
            self.first_sent = self.first_sent or now
            task = asyncio.create_task(job.endpoint.transport.send(job.request, job.max_tokens, job.key))
            self._tasks[task] = job
            task.add_done_callback(self._came)

    def _unsend(self, job: Job) -> None:
        """It came to an end while the disk was flushed: what was noted as sent stays here."""
        assert job.endpoint is not None
        self._book.fail(job.attempt, UNSENT, "", job.reserve, free=True)
        self.lanes[job.model].in_flight -= 1
        job.endpoint.limiter.failed()

    # -- coming back -------------------------------------------------------------------------------------------------

    def _came(self, task: asyncio.Task[Reply | Failure]) -> None:
        if not task.cancelled():
            self._outcomes.append((task, self._tasks.pop(task)))
            self._wake.set()

    def _settle(self) -> None:
        # Everything received is noted before any of it may raise.
        failed = []
        while self._outcomes:
            task, job = self._outcomes.popleft()
            outcome, lane = task.result(), self.lanes[job.model]
            lane.in_flight -= 1
            if isinstance(outcome, Reply):
                self._received(lane, job, outcome)
            else:
                self._note_failure(lane, job, outcome)
                failed.append((lane, job, outcome))
        for lane, job, failure in failed:
            # While it ends nothing is tried again, and nothing is final.
            if self._end_by is None and not lane.decide(job, failure):
                self._settled(job, (failure.kind, failure.detail))

    def _settled(self, job: Job, outcome: Stored | tuple[str, str]) -> None:
        self._turn.settled.append(job)
        self._enqueue(self.rounds.settle(job, outcome))

    def _received(self, lane: Lane, job: Job, reply: Reply) -> None:
        assert job.endpoint is not None
        job.endpoint.limiter.answered(_tokens(job))
        job.endpoint.limiter.learn(job.sent_at, reply.quotas)
        counted = reply.prompt_tokens is not None and reply.completion_tokens is not None
        # What the server does not count is charged at the reserve.
        prompt = job.reserve.prompt_tokens if reply.prompt_tokens is None else reply.prompt_tokens
        completion = job.reserve.completion_tokens if reply.completion_tokens is None else reply.completion_tokens
        cost = Reserve(prompt, completion, lane.model.dollars(prompt, completion))
        self._book.answer(job.attempt, reply.text, reply.finish_reason, cost, job.reserve, counted=counted)
        self.bought += 1
        self.completion_tokens += completion
        self.last_answer = time.monotonic()
        lane.replied(job, completion)
        counts = (prompt, completion, job.max_tokens)
        self._settled(job, Stored(reply.text, reply.finish_reason, *counts, cost.dollars))

    def _note_failure(self, lane: Lane, job: Job, failure: Failure) -> None:
        assert job.endpoint is not None
        self._book.fail(job.attempt, failure.kind, failure.detail, job.reserve, free=failure.kind in FREE)
        limiter, now = job.endpoint.limiter, time.monotonic()
        limiter.learn(job.sent_at, failure.quotas)
        if failure.kind in THROTTLES:
            limiter.throttled(now, job.sent_at, failure.retry_after, busy=failure.kind == "unavailable")
        elif failure.kind == "refused_request":
            limiter.answered(_tokens(job))
        else:
            limiter.failed()


def _tokens(job: Job) -> float:
    """What a request is thought to count against a limit of tokens: its own limit, and four bytes a token of its text, as
    OpenAI counts before it answers."""
    return job.reserve.completion_tokens + job.reserve.prompt_tokens / 4
