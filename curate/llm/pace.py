"""How fast an endpoint may be asked: an allowance per minute, spent evenly, learnt where nobody states it.

Pure state with a clock given by the caller, like the limiter that owns it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["Pace", "Quota"]

_SHARE: Final = 0.98
"""Of a known limit: two clocks never agree, and a window that ends with the limit reached refuses the next request."""

_BURST: Final = 0.25
"""Seconds of allowance that may be spent at once, after a moment in which nothing could leave. OpenAI says that it may
enforce a limit per minute second by second, so more would be refused."""

_DECREASE: Final = 0.95
_GROWTH: Final = 0.002
"""A second, of the rate after the last decrease: 5 % are won back in half a minute."""

_LEAST: Final = 0.05
"""Of a limit, when headers say that nothing is left."""

_TELLING: Final = 10
"""Requests that must have been taken since the last refusal for their number to tell a rate."""


@dataclass(frozen=True)
class Quota:
    """What a reply's headers say of one limit: per minute, what is left of it, seconds until all of it is there again."""

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None


class Pace:
    """One limit of one endpoint, in requests or in tokens.

    ``limit``: per minute, as declared; None to learn it.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._declared, self._told = math.inf if limit is None else float(limit), math.inf
        # After a refusal: requests a second at that time, and since when they grow again.
        self._base, self._since = math.inf, 0.0
        # What headers leave until all of the limit is there again.
        self._short, self._until, self._told_at = math.inf, 0.0, -math.inf
        self._level, self._at = 0.0, -math.inf
        self._taken, self._counted_from = 0.0, math.nan

    @property
    def limit(self) -> float:
        """Per minute, as declared or as headers said; infinite when unknown."""
        return min(self._declared, self._told)

    def declare(self, limit: float | None) -> None:
        """Another setting; what was learnt stays."""
        self._declared = math.inf if limit is None else float(limit)

    def rate(self, now: float) -> float:
        """How much may be spent a second."""
        rate = min(_SHARE * self.limit / 60.0, self._base * (1.0 + _GROWTH * max(0.0, now - self._since)))
        return min(rate, self._short) if now < self._until else rate

    def free(self, now: float) -> bool:
        """Whether something may be spent now. A single thing may cost more than there is: the rest is made up for."""
        rate = self.rate(now)
        if math.isinf(rate):
            return True
        if not math.isinf(self._at):
            self._level = min(_BURST * rate, self._level + rate * (now - self._at))
        self._at = now
        return self._level >= 0.0

    def wait(self, now: float) -> float:
        """Seconds until something may be spent."""
        if self.free(now):
            return 0.0
        return -self._level / self.rate(now)

    def spend(self, now: float, cost: float) -> None:
        """Something leaves."""
        if math.isnan(self._counted_from):
            self._counted_from = now
        if not math.isinf(self.rate(now)):
            self.free(now)
            self._level -= cost

    def taken(self, cost: float) -> None:
        """Something that left was not refused."""
        self._taken += cost

    def tight(self, now: float) -> bool:
        """Whether all that may be spent is being spent."""
        return not math.isinf(rate := self.rate(now)) and self.free(now) and self._level < 0.5 * _BURST * rate + 1.0

    def learn(self, sent_at: float, quota: Quota) -> None:
        """What the headers said that answer a request of that time: a limiter sees it when it comes in, not when the answer
        is made. What was declared is never exceeded."""
        if quota.limit:
            self._told = quota.limit
        if quota.remaining is not None and quota.reset and sent_at >= self._told_at:
            self._told_at = sent_at
            # Of a fixed window exactly what is left; of a bucket, which fills again meanwhile, less than that when it is
            # more than half empty: others drink from it. Never nothing: which of the two it is nobody says.
            self._short = max(quota.remaining / quota.reset, _LEAST * self.limit / 60.0)
            self._until = sent_at + quota.reset

    def refused(self, now: float, wait: float) -> None:
        """The endpoint says that it was too much, and to wait: less from now on, growing again slowly."""
        rate, seconds = self.rate(now), now + wait - self._counted_from
        if self._taken >= _TELLING and seconds > 0.0:
            # What it took between two refusals, over that time: the limit itself, whatever form it has.
            told = self._taken / seconds
            self._base = _DECREASE * min(rate, max(told, 0.5 * rate) if not math.isinf(rate) else told)
        elif not math.isinf(rate):
            self._base = _DECREASE * rate
        self._since = self._counted_from = now + wait
        self._taken = 0.0
