"""What a run says of a split: the share, what is too large, what to do; nothing of other steps."""

from __future__ import annotations

from typing import Any

from curate.report.split import split_lines


def report(**changes: Any) -> dict[str, Any]:
    """A report with its share met."""
    sides = {
        "train": {"groups": 8, "documents": 95, "bytes": 950},
        "validation": {"groups": 2, "documents": 5, "bytes": 50},
    }
    linked = {"near copies": 4, "made of others": 3, "origins of others": 2, "kin": 9}
    none = {"groups": 0, "documents": 0, "amount": 0}
    said = {
        "weighed": "bytes",
        "amount": 1000,
        "asked": 0.05,
        "share": 0.05,
        "near_pairs": 2,
        "mixed": 0,
        "too_large": none,
    }
    return {**said, **sides, "linked": linked, "largest": [], "sources": {}, **changes}


def test_a_share_that_is_met() -> None:
    """Two lines: sides, and what documents are linked by."""
    assert split_lines(report()) == [
        "validation: 0.05 of bytes (0.05 asked), 5 documents in 2 groups; train: 95 in 8",
        "4 documents have near copies (2 pairs), 3 were made of others",
    ]
    assert split_lines({"clusters": 1}) == []
    assert split_lines(report(share=None)) == []


def test_giants_and_what_helps() -> None:
    """The largest group is named; where the share is missed, what helps is said."""
    giant = {"group": "0123456789abcde", "documents": 90, "amount": 900, "side": "train"}
    large = {"groups": 1, "documents": 90, "amount": 900}
    lines = split_lines(report(share=0.02, too_large=large, largest=[giant]))
    assert (
        lines[2]
        == "1 group too large for validation, with 90.0% of bytes; the largest has 90 documents: 0123456789abcde"
    )
    assert "fewer are for validation than asked" in lines[3]


def test_an_earlier_split() -> None:
    """Nothing was asked; groups of both sides are told of."""
    lines = split_lines(report(asked=None, mixed=7))
    assert "asked" not in lines[0]
    assert lines[-1] == "7 documents are in groups that the earlier split had on both sides: for training"
