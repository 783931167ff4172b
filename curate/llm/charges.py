"""What attempts are charged: reserves before they leave, and the accounts of a run."""

from __future__ import annotations

from dataclasses import dataclass

from curate.llm.request import Request

__all__ = ["Reserve", "Totals", "reserve_of"]


@dataclass(frozen=True)
class Reserve:
    """What an attempt may cost at most: tokens, US dollars."""

    prompt_tokens: int
    completion_tokens: int
    dollars: float


def reserve_of(request: Request, max_tokens: int, prices: tuple[float, float]) -> Reserve:
    """An upper bound, so that a cap holds: a token of a byte-level vocabulary is at least one byte, and a chat
    template adds a few tokens per message and perhaps a system message of its own. ``prices``: US dollars per
    million (prompt, completion) tokens."""
    prompt = 64 + sum(16 + len(m["content"].encode("utf-8", "replace")) for m in request.messages)
    return Reserve(prompt, max_tokens, (prompt * prices[0] + max_tokens * prices[1]) / 1e6)


@dataclass(slots=True)
class Totals:
    """Accounts: attempts by state; tokens and dollars as charged (answers at their cost, in flight, lost and possibly
    billed failures at their reserve); ``uncounted``: answers whose server gave no token counts."""

    sent: int = 0
    answered: int = 0
    error: int = 0
    lost: int = 0
    in_flight: int = 0
    uncounted: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0
