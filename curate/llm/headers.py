"""What the headers of a reply ask for: a pause, and what is left of the limits per minute."""

from __future__ import annotations

import contextlib
import email.utils
import math
import re
import time
from collections.abc import Mapping
from typing import Final

from curate.llm.pace import Quota

__all__ = ["quotas", "retry_after", "seconds"]

_UNITS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(text: str) -> float | None:
    """A duration as OpenAI writes it (``1s``, ``6m0s``, ``120ms``, ``1h2m3.5s``), or a plain number of seconds; None for
    what is neither."""
    text = text.strip()
    with contextlib.suppress(ValueError):
        plain = float(text)
        return plain if math.isfinite(plain) and plain >= 0 else None
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds asked for by retry-after-ms, or Retry-After as seconds or a date; None when there is neither."""
    with contextlib.suppress(ValueError, TypeError):
        if (ms := headers.get("retry-after-ms")) is not None:
            return float(ms) / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return float(value)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None


def quotas(headers: Mapping[str, str]) -> dict[str, Quota]:
    """What ``x-ratelimit-limit-*``, ``-remaining-*`` and ``-reset-*`` say of ``requests`` and of ``tokens``; nothing of one
    that no header names."""
    found = {}
    for name in ("requests", "tokens"):
        limit, remaining = _number(headers, f"limit-{name}"), _number(headers, f"remaining-{name}")
        reset = headers.get(f"x-ratelimit-reset-{name}")
        if limit is not None or remaining is not None:
            found[name] = Quota(limit, remaining, None if reset is None else seconds(reset))
    return found


def _number(headers: Mapping[str, str], name: str) -> float | None:
    value = headers.get(f"x-ratelimit-{name}")
    return None if value is None else seconds(value)
