"""What a step that splits the corpus says of its sides: shares, groups that are too large, what holds them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SHORT: Final = 0.9
"""Part of the share that was asked for below which the report says what to do."""


def split_lines(report: Mapping[str, Any]) -> list[str]:
    """Lines about the sides in a step's report (stages/side_sums.py); none where it has no such thing."""
    if "too_large" not in report or report["share"] is None:
        return []
    here, train, unit = report["validation"], report["train"], report["weighed"]
    asked = "" if report["asked"] is None else f" ({report['asked']:.3g} asked)"
    rest = f"train: {train['documents']:,} in {train['groups']:,}"
    sizes = f"{here['documents']:,} documents in {here['groups']:,} groups; {rest}"
    lines = [f"validation: {report['share']:.4g} of {unit}{asked}, {sizes}"]
    linked = report["linked"]
    lines.append(
        f"{linked['near copies']:,} documents have near copies ({report['near_pairs']:,} pairs), "
        f"{linked['made of others']:,} were made of others"
    )
    large, total = report["too_large"], report["amount"]
    if report["asked"] is not None and large["groups"] and report["largest"]:
        most = report["largest"][0]
        count = f"{large['groups']:,} group{'s' * (large['groups'] != 1)} too large for validation"
        lines.append(
            f"{count}, with {large['amount'] / total:.1%} of {unit}; the largest has {most['documents']:,} documents: "
            f"{most['group']}"
        )
    if report["asked"] is not None and report["share"] < SHORT * report["asked"]:
        lines.append(
            "fewer are for validation than asked: put dedup.near before it, take a kind out of 'group', or raise 'largest'"
        )
    if report["mixed"]:
        lines.append(
            f"{report['mixed']:,} documents are in groups that the earlier split had on both sides: for training"
        )
    return lines
