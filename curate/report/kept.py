"""Before and after a step, by source (or another stratum) and by length: what was counted while it ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from curate.quality.evaluate import LENGTHS

LENGTH: Final = "length"
"""What classes of length are counted under."""
_MOST_NAMED: Final = 6
EMPTIED_SHARE: Final = 0.01
"""A value that has at least this share of the rows before is looked after."""
EMPTIED_LOSS: Final = 0.95
"""It is as good as emptied when more than this share of its rows goes."""


@dataclass(frozen=True)
class Kept:
    """One value of a column: its rows and their bytes of text before and after a step, and whether it was emptied.

    ``emptied``: at least EMPTIED_SHARE of all rows before, and more than EMPTIED_LOSS of its own lost.
    """

    value: str
    rows_in: int
    rows_out: int
    bytes_in: int
    bytes_out: int
    emptied: bool


def kept_by(counts: Mapping[str, Any]) -> dict[str, list[Kept] | None]:
    """By column, each value with its counts: the most frequent first; classes of length last, in their order.

    None for a column with too many values to count. ``counts`` is ``Counts.kept_by``, as in a manifest.
    """
    ordered = sorted(counts.items(), key=lambda item: (item[0] == LENGTH, item[0]))
    return {column: None if values is None else _values(column, values) for column, values in ordered}


def _values(column: str, values: Mapping[str, Any]) -> list[Kept]:
    rows = sum(v[0] for v in values.values())
    found = [
        Kept(name, v[0], v[1], v[2], v[3], v[0] >= EMPTIED_SHARE * rows and v[0] - v[1] > EMPTIED_LOSS * v[0])
        for name, v in values.items()
    ]
    if column == LENGTH:
        return sorted(found, key=lambda k: int(k.value))
    return sorted(found, key=lambda k: (-k.rows_in, k.value))


def label(column: str, value: str) -> str:
    """A value as people read it: of a class of length its ends, in bytes."""
    if column != LENGTH:
        return value
    low = int(value)
    high = next((n for n in LENGTHS if n > low), None)
    return f"{low:,} bytes and more" if high is None else f"{low:,} to {high - 1:,} bytes"


def emptied_lines(counts: Mapping[str, Any]) -> list[str]:
    """A line for each column of whose values the step emptied some; empty when all is well."""
    lines = []
    for column, found in kept_by(counts).items():
        gone = [k for k in found or () if k.emptied]
        if not gone or all(k.emptied for k in found or ()):
            continue  # a step that leaves nothing of anything says so in its counts
        said = [f"{label(column, k.value)} {k.rows_out:,} of {k.rows_in:,}" for k in gone]
        more = f", and {len(said) - _MOST_NAMED} more" if len(said) > _MOST_NAMED else ""
        lines.append(f"more than {EMPTIED_LOSS:.0%} went by {column}: {', '.join(said[:_MOST_NAMED])} stay{more}")
    return lines
