"""Amounts as people write them in recipes: a share as ``10%``, a number of tokens as ``6B``. No stage, used by several."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

_SCALES: Final = {"K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_MOST_CHARS: Final = 40


def parse_share(said: Any) -> Any:
    """``10%`` as 0.1, exactly the decimal that was meant; what is no string is given back for the field to judge.

    Raises ValueError for a string that is no share, and for a number above 1 (``10`` for ``10%``).
    """
    if isinstance(said, bool):
        raise ValueError("a share is written as 10% or 0.1")  # noqa: TRY004 - pydantic reports ValueError
    if isinstance(said, int | float) and said > 1:
        raise ValueError(f"{said:g} is no share: write {said:g}% or a number up to 1")
    if not isinstance(said, str):
        return said
    number = said.strip()
    value = _decimal(number.removesuffix("%"), said, "a share is written as 10% or 0.1")
    # Decimal, since 33.3 / 100 is not the float nearest to 0.333.
    found = float(value / 100 if number.endswith("%") else value)
    if found > 1:
        raise ValueError(f"'{said.strip()}' is more than the whole")
    return found


def parse_count(said: Any) -> Any:
    """``6B`` as 6,000,000,000; also K, M, T, ``1.5B``, ``250_000`` and ``250,000``. What is no string is given back.

    Raises ValueError for a string that is no whole number of that kind.
    """
    if isinstance(said, bool):
        raise ValueError("a number of tokens is written as 6B, 500M or 250000")  # noqa: TRY004 - pydantic reports ValueError
    if not isinstance(said, str):
        return said
    number = said.strip().replace("_", "").replace(",", "")
    scale = _SCALES.get(number[-1:].upper(), 1)
    value = _decimal(number[:-1] if scale > 1 else number, said, "a number of tokens is written as 6B, 500M or 250000")
    found = value * scale
    if found != found.to_integral_value():
        raise ValueError(f"'{said.strip()}' is no whole number of tokens")
    return int(found)


def _decimal(text: str, said: str, cure: str) -> Decimal:
    shown = said.strip()[:_MOST_CHARS]
    try:
        value = Decimal(text) if len(text) <= _MOST_CHARS else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or abs(value.adjusted()) > _MOST_CHARS:
        raise ValueError(f"'{shown}' is no amount: {cure}")
    return value


Share = Annotated[float, BeforeValidator(parse_share)]
"""A share of a whole, in (0, 1]: ``10%`` or 0.1."""
Count = Annotated[int, BeforeValidator(parse_count)]
"""A number of tokens: ``6B``, ``500M`` or 250000."""


def short_count(value: float) -> str:
    """A number of tokens as people write it: ``6B``, ``1.25M``, ``12.3K``; three digits."""
    for unit, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        # 999,999 is 1M, not 1000K.
        if float(f"{value:.3g}") >= scale:
            return f"{value / scale:.3g}{unit}"
    return f"{value:.0f}"
