"""What one attempt of one request comes to: plain values.

Failure kinds, and what the asker does:

- ``rate_limited`` (429), ``unavailable`` (503): pause everybody, try again
- ``connect``: the endpoint was never reached: try again; nothing was spent
- ``timeout``, ``dropped``, ``bad_reply``: no usable reply, though it may have been made and billed: try again
- ``no_content``: a reply whose content is null, with nothing that says why: the same
- ``bad_vector``: a reply to a request for an embedding without one usable vector: final, and stays charged
- ``expired``: its batch came to its end without an answer to it, which costs nothing: try again
- ``unsent``: the run was told to stop before it left: the next run asks it
- ``server_error`` (other 5xx, 408, 409): try again
- ``refused_request`` (400, 413, 422 and other 4xx): the request itself is wrong: its failure is final
- ``auth`` (401, 403), ``not_found`` (404), ``quota`` (402, a 429 that says so): no request will do better: stop
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from curate.llm.pace import Quota

__all__ = ["BAD_VECTOR", "ENDPOINT", "FREE", "THROTTLES", "UNSENT", "Failure", "Reply"]

BAD_VECTOR: Final = "bad_vector"
UNSENT: Final = "unsent"
THROTTLES: Final = frozenset({"rate_limited", "unavailable"})
ENDPOINT: Final = frozenset({"auth", "not_found", "quota"})
FREE: Final = THROTTLES | ENDPOINT | {"connect", "server_error", "refused_request", "expired"}
"""Kinds that cost nothing: an error's status instead of an answer, or no connection. The others may have been billed
and stay charged at their reserve."""


@dataclass(frozen=True)
class Reply:
    """An answer. Token counts are None when the server gave none; ``quotas``: what its headers say of the limits."""

    text: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    quotas: Mapping[str, Quota] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """No answer. ``retry_after``: seconds the endpoint asks for; ``detail``: one line, without the key."""

    kind: str
    detail: str
    retry_after: float | None = None
    quotas: Mapping[str, Quota] = field(default_factory=dict)
