"""What the engine tells whoever watches: plain calls, no printing here."""

from __future__ import annotations

from typing import Protocol

from curate.store.records import Counts, StepRecord


class Reporter(Protocol):
    """Watches a run. All calls come from the driver's main thread."""

    def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
        """A stretch of work begins: these steps, in ``tasks`` tasks of which ``done`` are committed already."""

    def expect(self, tasks: int) -> None:
        """It takes so many tasks in all, not those that were said."""

    def advance(self, bytes_done: int, counts: dict[str, Counts]) -> None:
        """One task was committed."""

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

    def note(self, line: str) -> None:
        """Ignore."""

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """Ignore."""
