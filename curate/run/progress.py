"""What the engine tells whoever watches: plain calls, no printing here; and where a stretch of work stands, by them."""

from __future__ import annotations

import time
from typing import Any, Protocol

from curate.spent import Work
from curate.store.records import Counts, StepRecord


class Reporter(Protocol):
    """Watches a run. All calls come from the driver's main thread."""

    def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
        """A stretch of work begins: these steps, in ``tasks`` tasks of which ``done`` are committed already."""

    def expect(self, tasks: int) -> None:
        """It takes so many tasks in all, not those that were said."""

    def advance(self, bytes_done: int, counts: dict[str, Counts]) -> None:
        """One task was committed."""

    def worked(self, steps: tuple[str, ...], work: Work, counts: dict[str, Counts]) -> None:
        """Of a task that was committed now, and not before: what it took. It follows ``advance``."""

    def charged(self, prompt_tokens: int, completion_tokens: int, dollars: float, in_flight: int) -> None:
        """What models have cost the whole run by now, and how many requests are under way; some times a second."""

    def event(self, what: str, /, **facts: Any) -> None:
        """Something for the record (run/events.py says what there is), with plain values."""

    def note(self, line: str) -> None:
        """Something a user should read while it happens (a server starts, weights are fetched)."""

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """A step is complete; ``reused`` when nothing had to be done for it."""


class Silent:
    """Watches nothing."""

    def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
        """Ignore."""

    def expect(self, tasks: int) -> None:
        """Ignore."""

    def advance(self, bytes_done: int, counts: dict[str, Counts]) -> None:
        """Ignore."""

    def worked(self, steps: tuple[str, ...], work: Work, counts: dict[str, Counts]) -> None:
        """Ignore."""

    def charged(self, prompt_tokens: int, completion_tokens: int, dollars: float, in_flight: int) -> None:
        """Ignore."""

    def event(self, what: str, /, **facts: Any) -> None:
        """Ignore."""

    def note(self, line: str) -> None:
        """Ignore."""

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """Ignore."""


class Several(Silent):
    """Several reporters as one; each is told in turn."""

    def __init__(self, *reporters: Reporter) -> None:
        self._all = reporters

    def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
        """Tell all."""
        for each in self._all:
            each.step(steps, what, total_bytes, tasks, done)

    def expect(self, tasks: int) -> None:
        """Tell all."""
        for each in self._all:
            each.expect(tasks)

    def advance(self, bytes_done: int, counts: dict[str, Counts]) -> None:
        """Tell all."""
        for each in self._all:
            each.advance(bytes_done, counts)

    def worked(self, steps: tuple[str, ...], work: Work, counts: dict[str, Counts]) -> None:
        """Tell all."""
        for each in self._all:
            each.worked(steps, work, counts)

    def charged(self, prompt_tokens: int, completion_tokens: int, dollars: float, in_flight: int) -> None:
        """Tell all."""
        for each in self._all:
            each.charged(prompt_tokens, completion_tokens, dollars, in_flight)

    def event(self, what: str, /, **facts: Any) -> None:
        """Tell all."""
        for each in self._all:
            each.event(what, **facts)

    def note(self, line: str) -> None:
        """Tell all."""
        for each in self._all:
            each.note(line)

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """Tell all."""
        for each in self._all:
            each.finished(record, seconds, reused)


class Stretch(Silent):
    """How far the stretch of work is that is done now, how fast it goes, and what it keeps; wall seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._counts: dict[str, Counts] = {}
        self._steps: tuple[str, ...] = ()
        self._what = ""
        # Done, done before this run began with it, and to do: bytes, or tasks or requests where there are no bytes.
        self._bytes = self._old_bytes = self._total_bytes = 0
        self._done = self._old_done = self._tasks = 0
        self._committed = 0
        self._began = time.monotonic()

    def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
        """A stretch of work begins."""
        self._counts = {name: Counts() for name in steps}
        self._steps, self._what = steps, what
        self._total_bytes, self._bytes, self._old_bytes = total_bytes, 0, 0
        # Committed tasks are still reported, before all others; requests answered in an earlier run are not.
        self._committed = done if total_bytes else 0
        self._tasks, self._done, self._old_done = tasks, done - self._committed, done - self._committed
        self._began = time.monotonic()

    def expect(self, tasks: int) -> None:
        """What failed is asked again, or what repeats itself no more."""
        self._tasks = tasks

    def advance(self, bytes_done: int, counts: dict[str, Counts]) -> None:
        """One task was committed, or some requests were answered."""
        self._bytes += bytes_done
        more = 1 if self._total_bytes or not counts else sum(c.rows_in for c in counts.values())
        self._done = min(self._done + more, self._tasks)
        for name, found in counts.items():
            self._counts.setdefault(name, Counts()).add(found)
        if self._committed:
            # It cost no time, and would promise a speed that the rest does not have.
            self._committed -= 1
            self._old_bytes, self._old_done, self._began = self._bytes, self._done, time.monotonic()

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """A step is complete."""
        self.seconds[record.step] = 0.0 if reused else seconds

    def rate(self) -> float:
        """Bytes (tasks, requests) a second of what this run did; 0 while it has done nothing."""
        seconds = max(self.elapsed(), 1e-6)
        return (self._bytes - self._old_bytes if self._total_bytes else self._done - self._old_done) / seconds

    def elapsed(self) -> float:
        """Wall seconds since this run began with it."""
        return time.monotonic() - self._began

    def left(self) -> int:
        """Bytes (tasks, requests) that are to be done."""
        return max(self._total_bytes - self._bytes, 0) if self._total_bytes else self._tasks - self._done
