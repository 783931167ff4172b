"""One address at which a model is served: what it bears, and whether it is used."""

from __future__ import annotations

import math
from typing import Final, Protocol

from curate.llm.limiter import Limiter
from curate.llm.outcome import Failure, Reply
from curate.llm.request import Request

__all__ = ["Endpoint", "Transport"]

_FIRST_REST: Final = 30.0
_REST_CAP: Final = 600.0


class Transport(Protocol):
    """What carries one attempt to a model: HTTP today, a batch of them another day."""

    async def send(self, request: Request, max_tokens: int, key: str) -> Reply | Failure:
        """One attempt, and what came of it; raises nothing that an endpoint can cause."""


class Endpoint:
    """State of one address. Times are those of ``time.monotonic``.

    Attributes:
        failures: attempts since the last usable reply that brought none, refusals for load apart.
        heard: whether anything but silence ever came.
        rests_until: it is left out until then; infinite: for good.
    """

    def __init__(self, url: str, limiter: Limiter, transport: Transport) -> None:
        self.url, self.limiter, self.transport = url, limiter, transport
        self.failures = 0
        self.heard = False
        self.rests_until = 0.0
        self._rest = _FIRST_REST

    def room(self, now: float) -> int:
        """How many requests there is place for now."""
        return self.limiter.room(now) if now >= self.rests_until else 0

    def wait(self, now: float) -> float:
        """Seconds until there may be room; infinite when a request must come back first."""
        return max(self.rests_until - now, self.limiter.wait(now))

    def replied(self) -> None:
        """A usable answer came."""
        self.failures, self.heard, self._rest = 0, True, _FIRST_REST

    def leave_out(self, now: float, *, for_good: bool) -> None:
        """Send nothing for a while, twice as long each time; then one request tries it."""
        self.rests_until = math.inf if for_good else now + self._rest
        self._rest = min(_REST_CAP, 2.0 * self._rest)
        self.limiter.window = 1.0
