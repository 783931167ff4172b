"""Rounds that are open: what of them is known, what must still be asked, and when each is closed.

Nothing here waits or sends. A round's answers come from the journal, from rounds that were published before, or from a
job; equal requests of several rounds share one job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from curate.llm.endpoint import Endpoint
from curate.llm.journal import Journal, Reserve, Stored, request_key, reserve_of
from curate.llm.model import Model
from curate.llm.request import Answer, Request

__all__ = ["Closed", "Failed", "Job", "OpenRound", "Round", "Rounds"]


@dataclass(frozen=True)
class Round:
    """Requests of one prompt family to one model.

    Attributes:
        model: its name in the recipe's ``models``.
    """

    model: str
    requests: tuple[Request, ...]


@dataclass(frozen=True)
class Failed:
    """A request that has no answer: the place of its None in a round's answers, and why."""

    round: int
    index: int
    key: str
    family: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Closed:
    """A round in which nothing is open any more.

    Attributes:
        number: how many rounds were put before it.
        answers: in the order of its requests; None where one finally failed.
        failed: one entry per None.
    """

    number: int
    round: Round
    answers: list[Answer | None]
    failed: list[Failed]


class OpenRound:
    """A round whose requests are not all settled.

    Attributes:
        left: places that are neither answered nor given up.
        tried: whether a request was given up just now, not in an earlier run.
    """

    def __init__(self, number: int, round_: Round, model: Model) -> None:
        self.number, self.round, self.model = number, round_, model
        self.keys = [request_key(request, model.model) for request in round_.requests]
        self.answers: list[Answer | None] = [None] * len(self.keys)
        self.failures: dict[int, tuple[str, str]] = {}
        self.left = len(self.keys)
        self.tried = False
        # Equal requests of one round are asked once, with the largest limit that one of them has. A limit is the server's:
        # what the model may think counts.
        self.limits: dict[str, int] = {}
        self.places: dict[str, list[int]] = {}
        for index, (key, request) in enumerate(zip(self.keys, round_.requests, strict=True)):
            thought = model.reasoning_tokens if request.kind == "chat" else 0
            self.limits[key] = max(self.limits.get(key, 0), request.max_tokens + thought)
            self.places.setdefault(key, []).append(index)

    @property
    def failed_altogether(self) -> bool:
        return self.tried and len(self.failures) == len(self.keys)

    def answer(self, key: str, stored: Stored) -> None:
        """Put an answer into its places."""
        answer = Answer(
            key=key,
            text=stored.text,
            finish_reason=stored.finish_reason,
            model=self.model.model,
            prompt_tokens=stored.prompt_tokens,
            completion_tokens=stored.completion_tokens,
            licence=self.model.licence,
            dollars=stored.dollars,
        )
        for index in self.places[key]:
            self.answers[index] = answer
        self.left -= len(self.places[key])

    def fail(self, key: str, kind: str, detail: str) -> None:
        """Leave None in its places."""
        for index in self.places[key]:
            self.failures[index] = (kind, detail)
        self.left -= len(self.places[key])

    def close(self) -> Closed:
        """The round as it stays."""
        failed = [
            Failed(self.number, index, self.keys[index], self.round.requests[index].family, *why)
            for index, why in sorted(self.failures.items())
        ]
        return Closed(self.number, self.round, self.answers, failed)


@dataclass(eq=False, slots=True)
class Job:
    """A request on its way.

    Attributes:
        position: (round, index): its place in the order in which requests leave.
        model: name of the model that is asked.
        rounds: those that wait for it.
        later: rounds that ask the same with a larger limit: for them it may have to be asked again.
        outcome: the answer, or (kind, detail) of the failure.
        endpoint: where it was sent last.
    """

    position: tuple[int, int]
    model: str
    key: str
    request: Request
    max_tokens: int
    reserve: Reserve
    rounds: list[OpenRound]
    later: list[OpenRound] = field(default_factory=list)
    outcome: Stored | tuple[str, str] | None = None
    tries: int = 0
    throttles: int = 0
    ready_at: float = 0.0
    sent_at: float = 0.0
    attempt: int = 0
    endpoint: Endpoint | None = None


class Rounds:
    """The open rounds of one asker, in order.

    Attributes:
        requests: of rounds that are open here.
        done, failed, known: places settled, given up, and settled without asking, of all rounds there ever were.
    """

    def __init__(
        self, models: Mapping[str, Model], book: Journal, published: Callable[[], Mapping[str, Answer]]
    ) -> None:
        self._models, self._book, self._published = models, book, published
        self._earlier: Mapping[str, Answer] | None = None
        self._open: dict[int, OpenRound] = {}  # in order of numbers
        # By key. Settled ones stay until they are committed: only then the journal finds them.
        self._jobs: dict[str, Job] = {}
        # By key and limit, why it failed in a round that is not closed: the journal knows of it when that is.
        self._given_up: dict[tuple[str, int], tuple[str, str]] = {}
        self.requests = self.done = self.failed = self.known = 0

    def open(self, number: int, round_: Round) -> list[Job]:
        """Look a round's requests up; the jobs that are needed for the others, in order."""
        model = self._models[round_.model]
        opened = self._open[number] = OpenRound(number, round_, model)
        self.requests += len(opened.keys)
        jobs = []
        for key, places in opened.places.items():
            limit = opened.limits[key]
            if (job := self._jobs.get(key)) is not None:
                jobs += self._join(job, opened)
            elif stored := self._find(key, limit):
                opened.answer(key, stored)
                self._count(places, known=True)
            else:
                jobs += self._ask(key, opened)
        return jobs

    def _find(self, key: str, limit: int) -> Stored | None:
        if stored := self._book.find(key, limit):
            return stored
        self._earlier = self._published() if self._earlier is None else self._earlier
        answer = self._earlier.get(key)
        if answer is None or (answer.finish_reason == "length" and answer.completion_tokens < limit):
            return None
        counts = (answer.prompt_tokens, answer.completion_tokens, limit)
        return Stored(answer.text, answer.finish_reason, *counts, answer.dollars)

    def _ask(self, key: str, opened: OpenRound) -> list[Job]:
        """A job, unless the same has failed before."""
        limit, places = opened.limits[key], opened.places[key]
        if why := self._given_up.get((key, limit)):
            opened.fail(key, *why)
            opened.tried = True
            self._count(places, failed=True)
        elif kind := self._book.failure(key, limit):
            opened.fail(key, kind, "given up before, in another round or run")
            self._count(places, known=True)
        else:
            return [self._job(key, opened)]
        return []

    def _job(self, key: str, opened: OpenRound) -> Job:
        index, limit = opened.places[key][0], opened.limits[key]
        request, model = opened.round.requests[index], opened.model
        reserve = reserve_of(request, limit, (model.prompt_price, model.completion_price))
        job = Job((opened.number, index), opened.round.model, key, request, limit, reserve, [opened])
        self._jobs[key] = job
        return job

    def _join(self, job: Job, opened: OpenRound) -> list[Job]:
        """Let a round wait for a job that is there already, or have its outcome; a job if that is no use to it."""
        limit = opened.limits[job.key]
        if job.outcome is None:
            (job.rounds if limit <= job.max_tokens else job.later).append(opened)
            return []
        if isinstance(job.outcome, Stored) and (limit <= job.max_tokens or job.outcome.finish_reason != "length"):
            opened.answer(job.key, job.outcome)
            self._count(opened.places[job.key])
            return []
        return self._ask(job.key, opened)

    def _count(self, places: list[int], *, known: bool = False, failed: bool = False) -> None:
        self.done += len(places)
        self.known += len(places) * known
        self.failed += len(places) * failed

    def settle(self, job: Job, outcome: Stored | tuple[str, str]) -> list[Job]:
        """A job's answer or final failure; jobs for rounds that it does not serve."""
        job.outcome = outcome
        if not isinstance(outcome, Stored):
            self._given_up[job.key, job.max_tokens] = outcome
        for opened in job.rounds:
            if isinstance(outcome, Stored):
                opened.answer(job.key, outcome)
            else:
                opened.fail(job.key, *outcome)
                opened.tried = True
            self._count(opened.places[job.key], failed=not isinstance(outcome, Stored))
        jobs: list[Job] = []
        for opened in job.later:
            jobs += self._join(self._jobs[job.key], opened)
        return jobs

    def forget(self, jobs: list[Job]) -> None:
        """The journal finds these by itself now."""
        for job in jobs:
            if self._jobs.get(job.key) is job:
                del self._jobs[job.key]

    def close(self, held: Callable[[OpenRound], bool]) -> Iterator[Closed]:
        """The rounds that are complete, as far as all before them are; one with failures that is ``held`` stays open.

        Its failures become final: they are noted in the journal. Commit before it is handed on."""
        while self._open:
            first = next(iter(self._open.values()))
            if first.left or (first.failures and held(first)):
                return
            del self._open[first.number]
            self.requests -= len(first.keys)
            closed = first.close()
            self._book.give_up([(f.key, first.limits[f.key], f.kind) for f in closed.failed])
            for failed in closed.failed:
                self._given_up.pop((failed.key, first.limits[failed.key]), None)
            yield closed
