"""write.text in the order of a column: phases with their shares, shuffled inside, the same bytes however it was made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from exchange import CONTEXT, documents, written
from pydantic import ValidationError

from curate.errors import InputError
from curate.stages.base import Context
from curate.stages.write_text import WriteText

TIERS = ["hard", "easy", "medium"] * 200
DOCS = documents([f"text {n}" for n in range(600)], {"pair.tier": pa.array(TIERS, pa.string())})


def order(**how: Any) -> WriteText:
    return WriteText.model_validate({"documents_per_shard": 90, "order": {"by": "pair.tier", **how}})


def test_values_stand_one_after_the_other_and_shuffled_inside(tmp_path: Path) -> None:
    """Easy, medium, hard; inside a tier an order that only the seed changes; the same bytes from any parts and partitions."""
    stage = order(values=["easy", "medium", "hard"])
    every = [
        written(stage, DOCS, tmp_path / str(n), CONTEXT, parts=parts, partitions=partitions, seed=n)
        for n, (parts, partitions) in enumerate([(1, 1), (3, 4), (2, 7)])
    ]
    assert every[0].bytes() == every[1].bytes() == every[2].bytes() and len(every[0].shards) == 7
    rows = every[0].rows()
    assert rows.column("pair.tier").to_pylist() == ["easy"] * 200 + ["medium"] * 200 + ["hard"] * 200
    texts = rows.column("text").to_pylist()
    other = written(stage, DOCS, tmp_path / "seed", Context("test", 8)).rows().column("text").to_pylist()
    for start in (0, 200, 400):
        here = texts[start : start + 200]
        assert here != sorted(here, key=lambda text: int(text.split()[1]))
        assert here != other[start : start + 200] and sorted(here) == sorted(other[start : start + 200])


def test_phases_have_their_shares_of_each_value(tmp_path: Path) -> None:
    """A mixture in each phase: shares of a value's rows, to chance (200 rows: within 10 %); every row once."""
    stage = order(phases=[{"easy": "80%", "medium": 0.3}, {"medium": 0.7, "easy": 0.2}, {"hard": 1}])
    rows = written(stage, DOCS, tmp_path / "out", CONTEXT, parts=2, partitions=3).rows()
    tiers = rows.column("pair.tier").to_pylist()
    assert sorted(rows.column("text").to_pylist()) == sorted(DOCS.column("text").to_pylist())
    assert tiers[400:] == ["hard"] * 200
    first = Counter(tiers[:220])
    assert abs(first["easy"] - 160) < 20 and abs(first["medium"] - 60) < 20
    mixed = [i for i, tier in enumerate(tiers[:200]) if tier == "medium"]
    assert mixed[0] < 20 and mixed[-1] > 180


def test_one_phase_is_a_shuffle(tmp_path: Path) -> None:
    """An order with one place in it: all rows, shuffled."""
    rows = written(order(phases=[{"easy": 1, "medium": 1, "hard": 1}]), DOCS, tmp_path / "out", CONTEXT).rows()
    texts = rows.column("text").to_pylist()
    assert sorted(texts) == sorted(DOCS.column("text").to_pylist()) != texts


def test_mistakes_in_an_order(tmp_path: Path) -> None:
    """Both ways, none, shares that are not the whole; a value without a place, in one line with what would do."""
    for how, wrong in (
        ({}, "one of the two"),
        ({"values": ["a"], "phases": [{"a": 1}]}, "one of the two"),
        ({"values": ["a", "a"]}, "twice"),
        ({"phases": [{"easy": 0.5}, {"easy": 0.2, "hard": 1}]}, "'easy' in all phases sum to 0.7"),
    ):
        with pytest.raises(ValidationError, match=wrong):
            order(**how)
    with pytest.raises(InputError, match="'hard' in pair.tier has no place".replace(".", r"\.")):
        written(order(values=["easy", "medium"]), DOCS, tmp_path / "out", CONTEXT)
