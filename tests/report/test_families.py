"""What is told and drawn of prompt families."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET

import numpy as np

from curate.report.families import (
    curves_file,
    families_of,
    family_curves,
    family_section,
    family_table,
    not_asked_lines,
)
from curate.report.step import Step
from curate.stages.family import Family, Limits, Seen
from curate.store.records import Counts, StepRecord


def family(answers: int, rounds: int, seed: int) -> dict:
    """A family that has so many answers, as a run records it."""
    draw, state = random.Random(seed), Family()
    for _ in range(rounds):
        species = [draw.randrange(answers) for _ in range(10)]
        keys = np.array([[s * 2 + band for band in range(2)] for s in species], np.uint64)
        state.add(Seen(keys, tuple(f"answer {s}" for s in species), (9,) * 10, 4096, 1500), 12)
    return {"points": state.curve(), "stopped": state.verdict(Limits())[1], "skipped": 3}


def step_with(families: dict) -> Step:
    record = StepRecord("tales", "generate.textbooks", "", "", Counts())
    record.report = {"families": families}
    return Step("tales", "generate.textbooks", {}, (), {}, record)


def test_table_and_curves() -> None:
    """A line and a curve for each family, the one with the most answers first; why one was stopped."""
    step = step_with(
        {
            "collapsed|<b>": family(30, 40, 1),
            "healthy": family(10**9, 30, 2),
            "not asked": {"points": [], "stopped": ""},
        }
    )
    assert [each.name for each in families_of(step)] == ["collapsed|<b>", "healthy"]
    head, first, second = family_table(families_of(step))
    assert dict(zip(head, first, strict=True))["answers"] == "480"
    assert first[-1].startswith("near duplicates 0.") and first[-1].endswith(", limit 0.5; 3 requests not sent")
    assert (second[3], second[5], second[-1]) == ("0.0%", "100.0%", "")
    tree = ET.fromstring(family_curves(step))
    assert [len(panel.findall("{*}polyline")) for panel in tree.findall("{*}svg")] == [2, 2, 2, 2]
    section = family_section(step)
    assert "| collapsed\\|&lt;b&gt; | 480 |" in section
    assert f"({curves_file(step)})" in section


def test_nothing_to_draw() -> None:
    """A step that asked nobody, and a family of one round."""
    assert families_of(step_with({})) == []
    assert family_curves(step_with({"one": family(5, 1, 1)})) == ""


def test_what_was_not_asked():
    """One line with every why; of a step that passed nothing over none."""
    assert not_asked_lines({"not_asked": {"longer than max_query_chars": 1200, "no chat": 1}}) == [
        "not asked: 1,200 longer than max_query_chars, 1 no chat"
    ]
    assert not_asked_lines({"answers": 3}) == []
