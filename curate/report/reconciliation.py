"""From documents to tokens: by component of a writer's mixture, what came in, was taken, was written, was dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["RECONCILED", "reconciliation"]

RECONCILED: Final = (
    "Tokens count the end-of-text behind each document. Copies are documents as often as the mixture takes them; tokens taken "
    "are those written and those dropped with the last, unfilled sequence."
)
_NUMBERS: Final = ("documents", "tokens_in", "copies", "epochs", "tokens_taken", "tokens", "dropped")


def reconciliation(
    report: Mapping[str, Any], settings: Mapping[str, Any], shards: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table for a writer of tokens, with the sum as its last row and a row for padding where there is
    any; no rows for any other step. ``report``, ``settings`` and ``shards`` are the step's."""
    sources = report.get("sources") or {}
    known = {name: said for name, said in sources.items() if isinstance(said, dict) and set(_NUMBERS) <= said.keys()}
    head = ["component", "documents", "tokens in", "copies", "epochs", "tokens taken", "written", "dropped"]
    rows = [[name, *(_shown(key, said[key]) for key in _NUMBERS)] for name, said in sorted(known.items())]
    if not rows:
        return head, []
    totals = {key: sum(said[key] for said in known.values()) for key in _NUMBERS if key != "epochs"}
    totals["epochs"] = totals["tokens_taken"] / max(1, totals["tokens_in"])
    if len(rows) > 1:
        rows.append(["together", *(_shown(key, totals[key]) for key in _NUMBERS)])
    if "sequence" in settings:
        places = sum(int(shard["rows"]) for shard in shards) * int(settings["sequence"])
        padding = places - totals["tokens"]
        if padding:
            share = f"{padding / places:.2%} of all" if places else ""
            rows.append(["padding", "", "", "", "", share, f"{padding:,}", ""])
    return head, rows


def _shown(key: str, value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if key == "epochs" else f"{value:,}"
