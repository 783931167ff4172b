"""The table from documents to tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path

from curate.report.reconciliation import reconciliation


def source(documents: int, tokens_in: int, copies: int, taken: int, dropped: int) -> dict[str, float]:
    """What a writer reports of a component."""
    said = {"documents": documents, "tokens_in": tokens_in, "copies": copies, "epochs": taken / tokens_in}
    return {**said, "tokens_taken": taken, "tokens": taken - dropped, "dropped": dropped}


def test_components_are_summed_up_and_padding_has_a_line_of_its_own() -> None:
    """In = out + dropped in each row and in the sum; places that no token has are padding."""
    sources = {"web": source(100, 5000, 250, 12_500, 40), "code": source(10, 800, 10, 800, 0)}
    head, rows = reconciliation({"sources": sources}, {"sequence": 100}, [{"rows": 100}, {"rows": 33}])
    assert len(head) == len(rows[0]) == 8
    assert [row[0] for row in rows] == ["code", "web", "together", "padding"]
    assert rows[1][1:] == ["100", "5,000", "250", "2.5", "12,500", "12,460", "40"]
    assert rows[2][1:] == ["110", "5,800", "260", "2.29", "13,300", "13,260", "40"]
    assert rows[3][5:7] == ["0.30% of all", "40"]


def test_of_many_components_the_largest_are_shown() -> None:
    """The others are one row, and the sum is that of all."""
    sources = {f"s{i}": source(1, 10 + i, 1, 10 + i, 0) for i in range(9)}
    every = reconciliation({"sources": sources}, {}, [])[1]
    few = reconciliation({"sources": sources}, {}, [], most=4)[1]
    assert [row[0] for row in few] == ["s6", "s7", "s8", "6 others", "together"]
    assert few[-1] == every[-1] and few[3][1] == "6" and few[3][2] == str(sum(10 + i for i in range(6)))
    assert reconciliation({"sources": sources}, {}, [], most=9)[1] == every


def test_other_steps_have_none() -> None:
    """A filter, a writer of texts, a report of another version."""
    for report in ({}, {"sources": {"web": 3}}, {"sources": {"web": {"documents": 1}}}):
        assert reconciliation(report, {"sequence": 10}, [{"rows": 1}])[1] == []


def test_a_run_shows_it_to_the_last_token(small_run: Path) -> None:
    """On the card, with the numbers of shards.json."""
    said = json.loads((small_run / "tokens/shards.json").read_text())
    card = (small_run / "README.md").read_text().partition("## From documents to tokens")[2]
    row = next(line for line in card.splitlines() if line.startswith("| together"))
    cells = [int(re.sub(r"\D", "", cell)) for cell in row.split("|")[2:-1]]
    assert cells[0] == 122 and cells[5] == said["tokens"] and cells[4] == cells[5] + cells[6]
    assert f"{said['padding_tokens']:,}" in next(line for line in card.splitlines() if line.startswith("| padding"))
