"""From documents to tokens: by component of a writer's mixture, what came in, was taken, was written, was dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

__all__ = ["RECONCILED", "reconciliation"]

RECONCILED: Final = (
    "Tokens count the end-of-text behind each document. Copies are documents as often as the mixture takes them; tokens taken "
    "are those written and those dropped with the last, unfilled sequence."
)
_NUMBERS: Final = ("documents", "tokens_in", "copies", "epochs", "tokens_taken", "tokens", "dropped")


def reconciliation(
    report: Mapping[str, Any], settings: Mapping[str, Any], shards: Sequence[Mapping[str, Any]], most: int | None = None
) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table for a writer of tokens, with the sum as its last row and a row for padding where there is
    any; no rows for any other step. ``report``, ``settings`` and ``shards`` are the step's.

    Of more than ``most`` components the largest have a row each, and the others one for all of them.
    """
    sources = report.get("sources") or {}
    known = {name: said for name, said in sources.items() if isinstance(said, dict) and set(_NUMBERS) <= said.keys()}
    head = ["component", "documents", "tokens in", "copies", "epochs", "tokens taken", "written", "dropped"]
    if not known:
        return head, []
    chosen = sorted(known)
    if most is not None and len(known) > most:
        chosen = sorted(sorted(known, key=lambda name: (-known[name]["tokens_taken"], name))[: most - 1])
    rows = [_row(name, known[name]) for name in chosen]
    if others := [said for name, said in known.items() if name not in chosen]:
        rows.append(_row(f"{len(others):,} others", _sum(others)))
    totals = _sum(known.values())
    if len(rows) > 1:
        rows.append(_row("together", totals))
    if "sequence" in settings:
        places = sum(int(shard["rows"]) for shard in shards) * int(settings["sequence"])
        padding = places - totals["tokens"]
        if padding:
            share = f"{padding / places:.2%} of all" if places else ""
            rows.append(["padding", "", "", "", "", share, f"{padding:,}", ""])
    return head, rows


def _sum(several: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    held = list(several)
    found = {key: sum(said[key] for said in held) for key in _NUMBERS if key != "epochs"}
    return {**found, "epochs": found["tokens_taken"] / max(1, found["tokens_in"])}


def _row(name: str, said: Mapping[str, Any]) -> list[str]:
    return [name, *(_shown(key, said[key]) for key in _NUMBERS)]


def _shown(key: str, value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if key == "epochs" else f"{value:,}"
