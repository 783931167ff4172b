"""What a reader is told of a judge beside its agreement with labels: sentences that follow its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_LOOKS: Final = {
    "reversed": "the rubric's points in reverse order",
    "after": "the rubric after the document",
    "half": "half of what was shown",
}


def second_looks(report: Mapping[str, Any]) -> list[str]:
    """How far it agrees with itself, what moves its scores though it should not, what it was not shown; from a report
    of ``label.llm``, as far as it was asked."""
    lines = []
    if again := report.get("self_agreement"):
        lines.append(
            f"asked again, gives {_share(again['exact'])} of {again['documents']:,} documents the same score "
            f"(mean difference {_number(again['mean_difference'])}, quadratic kappa {_number(again['quadratic_kappa'])})"
        )
    if bias := report.get("bias"):
        moves = [f"{_moved(bias[look])} with {what}" for look, what in _LOOKS.items() if look in bias]
        most = max(one["documents"] for one in bias.values())
        lines.append(f"moves its score by {', '.join(moves)} (mean and standard error, {most:,} documents)")
    if (length := report.get("length")) and length["spearman"] is not None:
        masked = report["masked"]
        hidden = f"; {masked['sentences']:,} sentences that speak to a judge were masked" if masked["sentences"] else ""
        lines.append(f"scores go with length by a rank correlation of {_number(length['spearman'])}{hidden}")
    if written := report.get("written"):
        means = ", ".join(f"{name} {one['mean_score']:.2f}" for name, one in written["by_family"].items() if name)
        own, all_ = written["own_writer"], sum(one["documents"] for one in written["by_writer"].values())
        unfair = f"; {own:,} of {all_:,} were judged by the model that wrote them" if own else ""
        lines.append(f"gives on average {means or 'no family a score'}{unfair}")
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _moved(one: Mapping[str, Any]) -> str:
    if one["mean_shift"] is None:
        return "-"
    error = "" if one["standard_error"] is None else f" ± {one['standard_error']:.2f}"
    return f"{one['mean_shift']:+.2f}{error}"
