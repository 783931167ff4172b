"""Rules as data: a filter's table of bounds, one line a rule, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

Op = Literal["<", "<=", ">", ">=", "is"]
_COMPARE: Final = {"<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal}


class Bound(NamedTuple):
    """One line of a filter's table: a row goes for ``reason`` when ``signal op setting`` is true.

    ``Bound("too_short", "words", "<", "min_words")`` reads: `too_short`, words below min_words. With ``is`` the signal
    is a bool and the setting a switch: rows that have the signal go while the switch is on. A setting that is None turns
    the rule off. Lines of one reason are one rule: any of them is enough.

    Attributes:
        reason: one of the filter's ``reasons``.
        signal: one of its ``signals``: a number, or a bool for ``is``.
        op: how the signal compares with the setting in a row that goes; a null or NaN signal breaks no rule.
        setting: the filter's setting that holds the threshold.
    """

    reason: str
    signal: str
    op: Op
    setting: str


class Threshold(NamedTuple):
    """A Bound with the threshold that a step's settings give it; see Bound for the other fields."""

    reason: str
    signal: str
    op: Op
    setting: str
    value: float | bool


def conditions(bounds: Sequence[Bound]) -> dict[str, str]:
    """By reason what a row goes for, as a reader writes it: ``words < min_words``, ``a > b or c > d``."""
    found: dict[str, list[str]] = {}
    for b in bounds:
        said = f"{b.signal}, with {b.setting}" if b.op == "is" else f"{b.signal} {b.op} {b.setting}"
        found.setdefault(b.reason, []).append(said)
    return {reason: " or ".join(each) for reason, each in found.items()}


def thresholds_of(bounds: Sequence[Bound], settings: object) -> list[Threshold]:
    """The bounds that are in force, with their thresholds: those with a value, and switches that are on."""
    values = ((bound, getattr(settings, bound.setting)) for bound in bounds)
    return [Threshold(*b, value) for b, value in values if value is not None and not (b.op == "is" and not value)]


def rules_of(bounds: Sequence[Bound], settings: object, signals: Mapping[str, pa.Array]) -> list[tuple[str, pa.Array]]:
    """What ``Filter.rules`` gives, from a table: each reason once, in the order of its first line; rules that are off
    are left out."""
    found: dict[str, pa.Array] = {}
    for bound in bounds:
        value = getattr(settings, bound.setting)
        if value is None:
            continue
        broken = beyond(signals[bound.signal], bound.op, value)
        found[bound.reason] = pc.or_kleene(found[bound.reason], broken) if bound.reason in found else broken
    return list(found.items())


def beyond(signal: pa.Array, op: Op, value: Any) -> pa.Array:
    """Which values lie on the wrong side of a threshold: bool, null where the signal is null.

    A float32 signal is compared with the float32 nearest to the threshold, so that 0.1 measured is not above 0.1 set.
    """
    if op == "is":
        return pc.and_(signal, pa.scalar(bool(value)))
    if pa.types.is_floating(signal.type):
        return _COMPARE[op](signal, pa.scalar(float(value), signal.type))
    return _COMPARE[op](signal, value)


def first_reason(rows: int, tried: Sequence[tuple[str, pa.Array]]) -> pa.Array:
    """Reasons from boolean arrays in the order in which they are tried; a null condition counts as false."""
    result = pa.nulls(rows, pa.string())
    for reason, condition in reversed(tried):
        result = pc.if_else(pc.fill_null(condition, False), pa.scalar(reason, pa.string()), result)
    return result
