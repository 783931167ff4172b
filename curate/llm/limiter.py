"""How many requests may be in flight and how fast they may leave, learnt from the endpoint's own answers.

Additive increase, multiplicative decrease (Chiu and Jain 1989), as in TCP: in flight, doubling at first, then one more
per window of answers; half on a 429 or 503. Requests and tokens a minute have a pace each, as declared, as headers say, or
as refusals tell: a 429 while all of a pace is used slows that pace, any other halves the window. A refusal also pauses
everybody, for as long as it asks or, if it does not say, for a time that doubles while they keep coming. No sleeping
here, no event loop and no locks: a pure state that the sender asks, so that a test can give it any clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from curate.llm.pace import Pace, Quota

__all__ = ["PAUSE_CAP", "Limiter", "limiter_of"]

PAUSE_CAP: Final = 120.0
"""Seconds: no endpoint may ask for a longer pause at once. It can ask again."""

_FIRST_PAUSE: Final = 0.5
_FIRST_WINDOW: Final = 8.0


class Limiter:
    """State for one (endpoint, model). Times are seconds of one monotonic clock, given by the caller.

    Attributes:
        ceiling: requests in flight at most, whatever the endpoint bears.
        window: how many it is thought to bear now, a fraction between additions.
        in_flight: requests sent and not yet answered.
        requests, tokens: how fast they may leave.
    """

    def __init__(
        self, ceiling: int, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        self.ceiling = ceiling
        self.window = min(_FIRST_WINDOW, float(ceiling))
        self.in_flight = 0
        self.requests, self.tokens = Pace(requests_per_minute), Pace(tokens_per_minute)
        self._doubling = True
        self._paused_until = 0.0
        self._throttles = 0
        self._decreased_at = -1.0

    def room(self, now: float) -> int:
        """How many requests there is place for; 0 while none may leave."""
        if now < self._paused_until or not (self.requests.free(now) and self.tokens.free(now)):
            return 0
        return max(0, int(self.window) - self.in_flight)

    def wait(self, now: float) -> float:
        """Seconds until a request may leave, unless one comes back before; infinite when one must come back first."""
        if self.in_flight >= int(self.window):
            return math.inf
        return max(self.pause(now), self.requests.wait(now), self.tokens.wait(now))

    def pause(self, now: float) -> float:
        """Seconds for which the endpoint asked for silence; 0 when there is no pause."""
        return max(0.0, self._paused_until - now)

    def sent(self, now: float, tokens: float = 0.0) -> None:
        """A request leaves, which may come to so many tokens."""
        self.in_flight += 1
        self.requests.spend(now, 1.0)
        self.tokens.spend(now, tokens)

    def answered(self, tokens: float = 0.0) -> None:
        """A reply that says nothing about load: success, or an error of the request's own."""
        self.in_flight -= 1
        self.requests.taken(1.0)
        self.tokens.taken(tokens)
        self._throttles = 0
        step = 1.0 if self._doubling else 1.0 / self.window
        self.window = min(float(self.ceiling), self.window + step)

    def failed(self) -> None:
        """No reply at all: it tells nothing about how many the endpoint bears."""
        self.in_flight -= 1

    def learn(self, sent_at: float, quotas: Mapping[str, Quota]) -> None:
        """What the headers that answer a request of that time say of ``requests`` and ``tokens``."""
        for name, pace in (("requests", self.requests), ("tokens", self.tokens)):
            if name in quotas:
                pace.learn(sent_at, quotas[name])

    def throttled(self, now: float, sent_at: float, retry_after: float | None, *, busy: bool = False) -> None:
        """A 429, or a 503 (``busy``). Those for requests sent before the last decrease tell what is known already."""
        self.in_flight -= 1
        first = sent_at > self._decreased_at
        if first:
            self._throttles += 1
        wait = retry_after if retry_after is not None else _FIRST_PAUSE * 2.0 ** min(self._throttles - 1, 10)
        wait = min(max(wait, 0.0), PAUSE_CAP)
        if first:
            tight = [pace for pace in (self.requests, self.tokens) if pace.tight(now)]
            for pace in tight or [self.requests]:
                if not busy:
                    pace.refused(now, wait)
            if busy or not tight:
                self.window = max(1.0, self.window / 2)
            self._decreased_at = now
            self._doubling = False
        self._paused_until = max(self._paused_until, now + wait)


_limiters: dict[tuple[str, str], Limiter] = {}


def limiter_of(
    base_url: str,
    model: str,
    ceiling: int,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
) -> Limiter:
    """The process's limiter for a provider's model: the next step starts with what the last one learnt."""
    limiter = _limiters.setdefault((base_url, model), Limiter(ceiling))
    limiter.ceiling = ceiling
    limiter.window = min(limiter.window, float(ceiling))
    limiter.requests.declare(requests_per_minute)
    limiter.tokens.declare(tokens_per_minute)
    return limiter
