"""The one call by which the engine asks a model: rounds of requests in, answers of the closed rounds out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from curate.errors import EndpointError
from curate.llm.journal import Journal, Stored, request_key, reserve_of
from curate.llm.limiter import Limiter, limiter_of
from curate.llm.local import SLOTS, LocalServer
from curate.llm.model import Budget, Model
from curate.llm.request import Answer, Request
from curate.llm.sender import Job, Sender

__all__ = ["Asked", "Failed", "Progress", "ask"]

_PROGRESS_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Progress:
    """Where a call stands.

    Attributes:
        total: requests of the call, equal ones counted once.
        done: those with an answer or a final failure, however they came by it.
        from_journal: those that cost nothing in this call.
        failed: those given up in this call.
        in_flight, window: requests under way, and how many the endpoint is thought to bear.
        paused: seconds for which the endpoint asked for silence.
        prompt_tokens, completion_tokens, dollars: charged to the whole run so far, reserves included.
        tokens_per_second: completion tokens of this call over its time.
        note: what happens before anything is sent (a download with its MB), else empty.
    """

    total: int = 0
    done: int = 0
    from_journal: int = 0
    failed: int = 0
    in_flight: int = 0
    window: int = 0
    paused: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0
    tokens_per_second: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Failed:
    """A request that has no answer: the place of its None in ``Asked.rounds``, and why."""

    round: int
    index: int
    key: str
    family: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Asked:
    """What came of it.

    Attributes:
        rounds: for each closed round, in request order, the answer or None.
        stopped: ``budget`` when the cap ended it before all rounds were closed.
        rounds_not_asked: rounds that are not closed.
        failed: one entry per None.
        accounts: of the whole run, as plain values: see Journal.totals.
        bought, seconds: answers that came in during this call, and how long it sent: from the first request that left
            to the last answer, without a server's start.
    """

    rounds: list[list[Answer | None]]
    stopped: Literal["", "budget"]
    rounds_not_asked: int
    failed: list[Failed]
    accounts: dict[str, Any] = field(default_factory=dict)
    bought: int = 0
    seconds: float = 0.0


def ask(
    rounds: Sequence[Sequence[Request]],
    model: Model,
    *,
    budget: Budget,
    journal: Path,
    published: Callable[[], Mapping[str, Answer]] = dict,
    progress: Callable[[Progress], None] | None = None,
    local_log: Path,
    leave: Callable[[], bool] = lambda: False,
) -> Asked:
    """Get answers to rounds of requests, from the journal where it has them, else from the model.

    ``published`` gives answers of rounds that were closed before, by key: it is looked at where the journal lacks some, as
    one that was lost, so that what was paid for is not asked again.

    All requests are of one kind. The longest prefix of complete rounds comes back; a round in which requests finally failed is complete, with None
    in their places. Requests leave in order. One leaves only if the run's charges and reserves, with its own, stay
    within the budget, so the budget is never passed (unless a server counts more tokens than it was allowed to make).
    If the journal has everything, no key is read, no server is started and no connection made. The result depends on
    the journal's content, not on the order of arrival.

    Blocks; runs an event loop of its own. ``progress`` is called at most five times a second, from another thread
    while weights are downloaded. Once ``leave`` says so, nothing is sent any more, answers in flight are waited for, and
    what is complete by then comes back. Raises EndpointError when the endpoint can't be reached, refuses the key or the
    model, or stops answering, and StorageError when the journal can't be written or is in use; what was received by
    then stays in the journal.
    """
    with Journal(journal) as book:
        call = _Call(rounds, model, book, published)
        report = _Reporter(call, book, progress)
        stopped, bought, seconds = False, 0, 0.0
        if call.jobs:
            # A cap that is reached already: no weights, no server, no key for nothing.
            first = call.jobs[0].reserve
            spent = book.spent
            stopped = not budget.admits(
                spent.prompt_tokens + first.prompt_tokens,
                spent.completion_tokens + first.completion_tokens,
                spent.dollars + first.dollars,
            )
        if call.jobs and not stopped:
            before = book.spent.answered
            embeddings = call.jobs[0].request.kind == "embeddings"
            with _endpoint(model, local_log, report, embeddings=embeddings) as (base_url, limiter):
                sender = Sender(call.jobs, model, budget, book, limiter, base_url)
                began = time.monotonic()
                asyncio.run(_send(sender, model, base_url, lambda: report.tick(sender, limiter), leave))
                seconds = time.monotonic() - began
            stopped = sender.stopped
            call.take(sender)
            bought = len(sender.answers)
            if not before and not sender.answers and not leave():
                call.complain(base_url)
        asked = call.close("budget" if stopped else "")
        report.last()
        return replace(asked, bought=bought, seconds=seconds)


async def _send(
    sender: Sender, model: Model, base_url: str, tick: Callable[[], None], leave: Callable[[], bool]
) -> None:
    from curate.llm.client import Client  # openai takes a second to import: only who sends pays for it

    async with Client(model, base_url) as client:
        await sender.run(client, tick, leave)


@contextlib.contextmanager
def _endpoint(model: Model, log: Path, report: _Reporter, *, embeddings: bool) -> Iterator[tuple[str, Limiter]]:
    """The address to send to, and its limiter; the embedded server runs only inside."""
    if model.base_url is not None:
        yield model.base_url, limiter_of(model.base_url, model.model, model.concurrency)
        return
    with LocalServer(model, log=log, progress=report.download, embeddings=embeddings) as server:
        # More than its slots would only wait inside it, with their time-outs running.
        yield server.base_url, Limiter(min(model.concurrency, SLOTS))


class _Call:
    """The rounds of one call, what is known of each request, and what is still to be asked (``jobs``, in order)."""

    def __init__(
        self,
        rounds: Sequence[Sequence[Request]],
        model: Model,
        book: Journal,
        published: Callable[[], Mapping[str, Answer]],
    ) -> None:
        self.rounds, self.model, self.book = rounds, model, book
        self.keys = [[request_key(request, model.model) for request in requests] for requests in rounds]
        self.answers: dict[str, Stored] = {}
        self.failures: dict[str, tuple[str, str]] = {}
        self.jobs: list[Job] = []
        prices = (model.prompt_price, model.completion_price)
        earlier: Mapping[str, Answer] | None = None
        for key, (request, limit) in self._distinct().items():
            if stored := book.find(key, limit):
                self.answers[key] = stored
                continue
            earlier = published() if earlier is None else earlier
            if (answer := earlier.get(key)) is not None and _whole(answer, limit):
                counts = (answer.prompt_tokens, answer.completion_tokens, limit)
                self.answers[key] = Stored(answer.text, answer.finish_reason, *counts)
            elif kind := book.failure(key, limit):
                self.failures[key] = (kind, "given up in an earlier run")
            else:
                job = Job(len(self.jobs), key, request, limit, reserve_of(request, limit, prices))
                self.jobs.append(job)
        self.known = len(self.answers) + len(self.failures)
        self.total = self.known + len(self.jobs)

    def _distinct(self) -> dict[str, tuple[Request, int]]:
        """Each key once, at its first place, with the largest limit that anyone asks for it."""
        distinct: dict[str, tuple[Request, int]] = {}
        for requests, keys in zip(self.rounds, self.keys, strict=True):
            for request, key in zip(requests, keys, strict=True):
                first, limit = distinct.get(key, (request, 0))
                distinct[key] = (first, max(limit, request.max_tokens))
        self.limits = {key: limit for key, (_, limit) in distinct.items()}
        return distinct

    def take(self, sender: Sender) -> None:
        """What the sender brought."""
        self.answers.update(sender.answers)
        self.failures.update(sender.failures)

    def complain(self, place: str) -> None:
        """Raise EndpointError if nothing was ever answered and the first round failed altogether: the set-up is wrong,
        and a round full of None would be closed for ever."""
        first = next((keys for keys in self.keys if keys), [])
        if first and all(key in self.failures for key in first):
            kind, detail = self.failures[first[0]]
            raise EndpointError(
                f"every request of the first round failed ({kind}: {detail})",
                place=place,
                cure="check the model's settings in the recipe, then run again",
            )

    def close(self, stopped: Literal["", "budget"]) -> Asked:
        """The complete prefix; failures in it become final."""
        closed: list[list[Answer | None]] = []
        failed: list[Failed] = []
        for number, (requests, keys) in enumerate(zip(self.rounds, self.keys, strict=True)):
            if not all(key in self.answers or key in self.failures for key in keys):
                break
            closed.append([self._answer(key) for key in keys])
            failed += [
                Failed(number, index, key, requests[index].family, *self.failures[key])
                for index, key in enumerate(keys)
                if key not in self.answers
            ]
        self.book.give_up([(f.key, self.limits[f.key], f.kind) for f in failed])
        return Asked(closed, stopped, len(self.rounds) - len(closed), failed, self.book.totals())

    def _answer(self, key: str) -> Answer | None:
        stored = self.answers.get(key)
        if stored is None:
            return None
        return Answer(
            key=key,
            text=stored.text,
            finish_reason=stored.finish_reason,
            model=self.model.model,
            prompt_tokens=stored.prompt_tokens,
            completion_tokens=stored.completion_tokens,
            licence=self.model.licence,
        )


def _whole(answer: Answer, limit: int) -> bool:
    """Whether an answer is what a request with that limit would get: one that was cut is, if it was no sooner."""
    return answer.finish_reason != "length" or answer.completion_tokens >= limit


class _Reporter:
    """Progress as values, not more often than a person can read."""

    def __init__(self, call: _Call, book: Journal, progress: Callable[[Progress], None] | None) -> None:
        self._book, self._progress = book, progress
        self._now = Progress(total=call.total, done=call.known, from_journal=call.known)
        self._shown = 0.0
        self._began = time.monotonic()

    def download(self, done: int, total: int, what: str) -> None:
        """Bytes of weights that have arrived."""
        if self._progress:
            self._progress(replace(self._now, note=f"{what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"))
        self._began = time.monotonic()

    def tick(self, sender: Sender, limiter: Limiter) -> None:
        """Something changed."""
        now = time.monotonic()
        spent = self._book.spent
        self._now = replace(
            self._now,
            done=self._now.from_journal + len(sender.answers) + len(sender.failures),
            failed=len(sender.failures),
            in_flight=limiter.in_flight,
            window=int(limiter.window),
            paused=limiter.pause(now),
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            dollars=spent.dollars,
            tokens_per_second=sender.completion_tokens / max(1e-3, now - self._began),
        )
        if now - self._shown >= _PROGRESS_SECONDS:
            self._show(now)

    def last(self) -> None:
        """The call's final state."""
        self._now = replace(self._now, in_flight=0, paused=0.0)
        self._show(time.monotonic())

    def _show(self, now: float) -> None:
        self._shown = now
        if self._progress:
            self._progress(self._now)
