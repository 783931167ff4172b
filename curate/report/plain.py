"""Text from documents, made safe to look at: no byte of it can move a terminal's cursor, colour it, or hide itself."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any, Final

_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""Controls of C0 and C1, marks that reorder or hide text, and lone surrogates. Tab and line feed are dealt with first."""


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escaped(text: str) -> str:
    """The text with everything that does not show as itself written as an escape; line feeds and tabs stay."""
    return _HIDDEN.sub(_escape, text)


def one_line(text: object, most: int = 80) -> str:
    """The first ``most`` characters as one line: white space collapsed, hidden characters escaped, ``...`` at a cut."""
    # Twenty times as much is looked at, so that a run of white space at the start does not show as nothing.
    start = " ".join(str(text)[: most * 20].split())
    shown = escaped(start)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def lines(text: str, width: int = 96, most: int | None = None) -> list[str]:
    """The text as printable lines of at most ``width`` characters; with ``most``, the last line says what is left out.

    Breaks stand where they stood in the text; a longer line is broken between words where that is possible.
    """
    result: list[str] = []
    taken = text if most is None else text[: (most + 1) * width * 4]
    for line in taken.replace("\r\n", "\n").split("\n"):
        shown = escaped(line.expandtabs(4))
        wrapped = (
            textwrap.wrap(shown, width, drop_whitespace=False, replace_whitespace=False) if shown.strip() else [""]
        )
        result += wrapped or [""]
        if most is not None and len(result) > most:
            return [*result[:most], f"... ({len(text):,} characters in all)"]
    return result


def number(value: object) -> str:
    """A measured value for people: floats with three decimals at most, whole numbers with thousands marked."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value != 0 and abs(value) < 0.001:
            return f"{value:.1e}"
        shown = f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"
        return shown.rstrip("0").rstrip(".")
    if isinstance(value, list | tuple):
        return one_line(", ".join(map(str, value)), 200)
    return one_line(value, 200)


def short_number(value: float) -> str:
    """A value in about three digits: for tables with many of them."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return number(float(f"{value:.3g}"))


def size(n: float) -> str:
    """Bytes for people: 1.5 MB = 1,500,000 bytes."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= scale:
            return f"{n / scale:.1f} {unit}"
    return f"{n:.0f} B"


def field_lines(step: Mapping[str, Any]) -> list[str]:
    """Of the fields of ``meta`` that an edit's settings name: in how many rows each was, and which were in none."""
    fields: list[tuple[str, int]] = sorted(step.get("fields", {}).items())
    lines = []
    if found := [f"{name} {rows:,}" for name, rows in fields if rows]:
        lines.append(f"fields of meta, by rows that have them: {', '.join(found)}")
    if absent := [name for name, rows in fields if not rows]:
        lines.append(f"in no row there is a field {', '.join(absent)}: what a mistyped name means is still there")
    return lines


def edited_line(counts: Mapping[str, Any]) -> list[str]:
    """What a step's edits did, from its counts; nothing when they did nothing."""
    edited, removed = counts.get("edited", 0), counts.get("removed", 0)
    change = f"{size(removed)} removed" if removed >= 0 else f"{size(-removed)} added"
    return [f"edited {edited:,} ({change})"] if edited else []
