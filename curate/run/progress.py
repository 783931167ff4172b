"""What the engine tells whoever watches: plain calls, no printing here."""

from __future__ import annotations

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

    def event(self, what: str, **facts: Any) -> None:
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

    def event(self, what: str, **facts: Any) -> None:
        """Ignore."""

    def note(self, line: str) -> None:
        """Ignore."""

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """Ignore."""
