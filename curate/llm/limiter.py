"""How many requests may be in flight, learnt from the endpoint's own answers.

Additive increase, multiplicative decrease (Chiu and Jain 1989), as in TCP: doubling at first, then one more per
window of answers; half on a 429 or 503. Such an answer also pauses everybody, for as long as it asks or, if it does
not say, for a time that doubles while they keep coming. No sleeping here, no event loop and no locks: a pure state
that the sender asks, so that a test can give it any clock.
"""

from __future__ import annotations

from typing import Final

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
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.window = min(_FIRST_WINDOW, float(ceiling))
        self.in_flight = 0
        self._doubling = True
        self._paused_until = 0.0
        self._throttles = 0
        self._decreased_at = -1.0

    def room(self, now: float) -> int:
        """How many requests may leave now."""
        return 0 if now < self._paused_until else max(0, int(self.window) - self.in_flight)

    def pause(self, now: float) -> float:
        """Seconds until requests may leave again; 0 when there is no pause."""
        return max(0.0, self._paused_until - now)

    def sent(self) -> None:
        """A request leaves."""
        self.in_flight += 1

    def answered(self) -> None:
        """A reply that says nothing about load: success, or an error of the request's own."""
        self.in_flight -= 1
        self._throttles = 0
        step = 1.0 if self._doubling else 1.0 / self.window
        self.window = min(float(self.ceiling), self.window + step)

    def failed(self) -> None:
        """No reply at all: it tells nothing about how many the endpoint bears."""
        self.in_flight -= 1

    def throttled(self, now: float, sent_at: float, retry_after: float | None) -> None:
        """A 429 or 503. Those for requests sent before the last decrease tell what is known already."""
        self.in_flight -= 1
        if sent_at > self._decreased_at:
            self.window = max(1.0, self.window / 2)
            self._decreased_at = now
            self._doubling = False
            self._throttles += 1
        wait = retry_after if retry_after is not None else _FIRST_PAUSE * 2.0 ** min(self._throttles - 1, 10)
        self._paused_until = max(self._paused_until, now + min(max(wait, 0.0), PAUSE_CAP))


_limiters: dict[tuple[str, str], Limiter] = {}


def limiter_of(base_url: str, model: str, ceiling: int) -> Limiter:
    """The process's limiter for a provider's model: the next step starts with what the last one learnt."""
    limiter = _limiters.setdefault((base_url, model), Limiter(ceiling))
    limiter.ceiling = ceiling
    limiter.window = min(limiter.window, float(ceiling))
    limiter.in_flight = 0  # a call that was interrupted took its requests with it
    return limiter
