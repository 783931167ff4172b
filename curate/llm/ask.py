"""How the engine asks models: rounds of requests are put in, closed rounds are taken out, in order."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from curate.llm.batch_book import BatchBook
from curate.llm.journal import Journal
from curate.llm.lane import Lane
from curate.llm.model import Budget, Model
from curate.llm.request import Answer
from curate.llm.rounds import Closed, Failed, Round, Rounds
from curate.llm.sender import Sender

__all__ = ["Asker", "Closed", "Failed", "Progress", "Round"]

_PROGRESS_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Progress:
    """Where an asker stands.

    Attributes:
        total: requests of all rounds that were put.
        done: those with an answer or a final failure, however they came by it.
        from_journal: those that cost nothing here.
        failed: those given up here.
        in_flight, window: requests under way, and how many the endpoints are thought to bear.
        paused: seconds for which an endpoint asked for silence.
        prompt_tokens, completion_tokens, dollars: charged to the whole run so far, reserves included.
        tokens_per_second: completion tokens of this asker over its time.
        note: what happens before anything is sent (a download with its MB), else empty.
        notes: what a user should know and what is no error, each said once: an endpoint that is left out.
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
    notes: tuple[str, ...] = ()


class Asker:
    """Context manager: gets answers to rounds of requests, from the journal where it has them, else from the models.

    ``models`` are those of the recipe, by name; a round names its own. ``published`` gives answers of rounds that were
    closed before, by key: it is looked at where the journal lacks some, as one that was lost, so that what was paid for is
    not asked again.

    Rounds are numbered as they are put and come out in that order, each once all its requests are answered or finally
    failed. Requests leave in order, as far as they are for one model; a request leaves only if the run's charges and
    reserves, with its own and with those of what comes earlier, stay within the budget, so the budget is never passed
    (unless a server counts more tokens than it was allowed to make). If the journal has everything, no key is read, no
    server is started and no connection made; of the models only those are reached that something must be sent to. What
    comes out depends on the journal's content, not on the order of arrival.

    An event loop runs in a thread of its own; ``put``, ``take`` and ``progress`` (at most five times a second) belong to
    the thread that made the asker. Once ``leave`` says so, nothing is sent any more, answers in flight are waited for, and
    what is complete by then comes out; so it is when the block is left before all was taken.

    Raises EndpointError, from ``take`` once the rounds closed before were taken, when an endpoint can't be reached, refuses
    the key or the model, or stops answering, and StorageError when the journal can't be written or is in use; what was
    received by then stays in the journal.

    Attributes:
        stopped: ``budget`` when the cap ended it before all rounds were closed.
        accounts: of the whole run, as plain values: see Journal.totals. Empty until the block is left.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        budget: Budget,
        journal: Path,
        published: Callable[[], Mapping[str, Answer]] = dict,
        progress: Callable[[Progress], None] | None = None,
        local_log: Path,
        leave: Callable[[], bool] = lambda: False,
    ) -> None:
        self._models, self._budget, self._journal, self._published = models, budget, journal, published
        self._tell, self._local_log, self._leave = progress, local_log, leave
        self.accounts: dict[str, Any] = {}
        self._note, self._shown = "", 0.0
        self._notes: deque[str] = deque()
        self._put = self._taken = self._requests = 0
        # Of the two threads: everything below is changed with this held.
        self._changed = threading.Condition()
        self._closed: deque[Closed] = deque()
        self._waiting = 0
        self._ended = False
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: Sender | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._sender is not None or self._ended)
                if self._error is not None:
                    raise self._error
        except KeyboardInterrupt:
            self._cancel()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Ctrl-C does not wait for answers; whatever else goes wrong, those in flight are paid.
        abandon = error is not None and not isinstance(error, Exception)
        try:
            self._cancel() if abandon else self._call(Sender.end)
            self._thread.join()
        except BaseException:
            self._cancel()
            self._thread.join()
            raise
        if error is None and self._error is not None:
            raise self._error
        if error is None:
            self._report(last=True)

    # -- the caller's thread -----------------------------------------------------------------------------------------

    def put(self, round: Round) -> None:  # noqa: A002 - the trade's noun
        """Let a round be asked after all that were put before."""
        if round.model not in self._models:
            raise KeyError(round.model)
        number = self._put
        self._put += 1
        self._requests += len(round.requests)
        self._call(lambda sender: sender.put(number, round))

    def take(self, wait: bool = True) -> Closed | None:
        """The next round, once it is closed. None: nothing more will close (the budget's end, ``leave``), or all that was
        put is taken; or, unless it is to ``wait``, that it is not closed yet."""
        while True:
            with self._changed:
                if self._closed:
                    closed = self._closed.popleft()
                    self._taken += 1
                    self._waiting -= len(closed.answers)
                    break
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                if self._ended or self._taken == self._put:
                    return None
                if wait:
                    self._changed.wait(_PROGRESS_SECONDS)
            self._report()
            if not wait:
                return None
        self._call(Sender.wake)
        self._report()
        return closed

    @property
    def stopped(self) -> Literal["", "budget"]:
        return "budget" if self._sender is not None and self._sender.stopped else ""

    @property
    def bought(self) -> int:
        """Answers that came in here."""
        return self._sender.bought if self._sender is not None else 0

    @property
    def seconds(self) -> float:
        """How long it sent: from the first request that left to the last answer, without a server's start."""
        sender = self._sender
        return max(0.0, sender.last_answer - sender.first_sent) if sender is not None else 0.0

    def _report(self, *, last: bool = False) -> None:
        now, sender = time.monotonic(), self._sender
        if self._tell is None or sender is None or (not last and now - self._shown < _PROGRESS_SECONDS):
            return
        self._shown = now
        notes = tuple(self._notes.popleft() for _ in range(len(self._notes)))
        limiters = [endpoint.limiter for lane in sender.lanes.values() for endpoint in lane.endpoints or ()]
        spent, rounds = sender.spent, sender.rounds
        self._tell(
            Progress(
                total=self._requests,
                done=rounds.done,
                from_journal=rounds.known,
                failed=rounds.failed,
                in_flight=0 if last else sum(limiter.in_flight for limiter in limiters),
                window=sum(int(limiter.window) for limiter in limiters),
                paused=0.0 if last else max((limiter.pause(now) for limiter in limiters), default=0.0),
                prompt_tokens=spent.prompt_tokens,
                completion_tokens=spent.completion_tokens,
                dollars=spent.dollars,
                tokens_per_second=sender.completion_tokens / max(1e-3, now - (sender.first_sent or now)),
                note="" if sender.first_sent else self._note,
                notes=notes,
            )
        )

    def _call(self, what: Callable[[Sender], object]) -> None:
        """Do it on the loop's thread, if that is still there."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: it ends just now
            if self._loop is not None and self._sender is not None:
                self._loop.call_soon_threadsafe(what, self._sender)

    def _cancel(self) -> None:
        with contextlib.suppress(RuntimeError):
            if self._loop is not None and self._main is not None:
                self._loop.call_soon_threadsafe(self._main.cancel)

    # -- the loop's thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._ask())
        except asyncio.CancelledError:
            pass
        except BaseException as caught:  # noqa: BLE001 - whoever takes is told, whatever it is
            error = caught
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    async def _ask(self) -> None:
        with Journal(self._journal, BatchBook(self._journal).places) as book:
            rounds = Rounds(self._models, book, self._published)
            lanes = {
                name: Lane(
                    name,
                    model,
                    log=self._local_log,
                    journal=self._journal,
                    download=self._downloaded,
                    note=self._notes.append,
                )
                for name, model in self._models.items()
            }
            sender = Sender(
                lanes,
                rounds,
                self._budget,
                book,
                give=self._give,
                waiting=lambda: self._waiting,
                leave=self._leave,
            )
            with self._changed:
                self._loop, self._main, self._sender = asyncio.get_running_loop(), asyncio.current_task(), sender
                self._changed.notify_all()
            try:
                await sender.run()
            finally:
                self.accounts = book.totals()

    def _give(self, closed: Closed) -> None:
        with self._changed:
            self._closed.append(closed)
            self._waiting += len(closed.answers)
            self._changed.notify_all()

    def _downloaded(self, done: int, total: int, what: str) -> None:
        self._note = f"{what}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
