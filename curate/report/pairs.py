"""What a step that makes pairs says of them: how many of which tier, and what gives the chosen answer away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from curate.report.markdown import line, table
from curate.report.plain import one_line
from curate.report.run_folder import RunFolder

_SHORTCUTS: Final = ("length", "opening", "list", "refusal")
_MOST_OPENINGS: Final = 3


def pair_lines(report: Mapping[str, Any]) -> list[str]:
    """Lines about pairs in a step's report (stages/shortcuts.py); none where it has no such thing."""
    found = report.get("pairs")
    if not found or not found["pairs"]:
        return []
    tiers = ", ".join(
        f"{one_line(tier['name'], 40)} {tier['pairs'] / found['measured']:.0%}" for tier in found["tiers"]
    )
    some = "" if found["measured"] == found["pairs"] else f" (measured on {found['measured']:,})"
    alone = ", ".join(_told(name, found[name]) for name in _SHORTCUTS)
    lines = [
        f"{found['pairs']:,} pairs{some}: {tiers}; the chosen answer is the longer one in {found['longest_chosen']:.0%}",
        f"what tells the chosen answer of a pair by itself: {alone}",
    ]
    lines += [f"shortcut: {said}" for said in found["warnings"]]
    if found["openings"] and found["warnings"]:
        openings = (
            f"'{one_line(one['opening'], 60)}' {one['chosen']} : {one['rejected']}"
            for one in found["openings"][:_MOST_OPENINGS]
        )
        lines.append(f"openings, chosen : rejected: {', '.join(openings)}")
    return lines


def _told(name: str, said: Mapping[str, Any]) -> str:
    return f"{name} {said['right']:.0%} ({said['low']:.0%} to {said['high']:.0%})"


def pair_section(run: RunFolder) -> str:
    """The card's section: shortcuts of each step that makes pairs, by tier and by models; empty where there is none."""
    texts = []
    for step in run.steps.values():
        found = step.record.report.get("pairs")
        if found and found["pairs"]:
            texts += _section(step.id, found)
    return "\n\n".join(["## Pairs, and what gives the chosen one away", *texts]) if texts else ""


def _section(step: str, found: Mapping[str, Any]) -> list[str]:
    said = (
        f"`{step}` made {found['pairs']:,} pairs; these figures are of {found['measured']:,}, drawn by hash. A feature that says nothing "
        "is right half of the time; 95 % intervals are Wilson's. An opening is the first three words, judged by the other half of the pairs."
    )
    rows = [
        [name, f"{one['right']:.1%}", f"{one['low']:.1%} to {one['high']:.1%}", f"{one['auc']:.3f}"]
        for name, one in ((name, found[name]) for name in _SHORTCUTS)
    ]
    texts = [
        said,
        table(["alone", "tells the chosen one of a pair", "", "AUC over all answers"], rows, ("AUC over all answers",)),
    ]
    texts.append(_by("tier", found["tiers"]))
    texts.append(_by("chosen > rejected", found["models"]))
    if found["openings"]:
        openings = [
            [line(one["opening"], 60), f"{one['chosen']:,}", f"{one['rejected']:,}"] for one in found["openings"]
        ]
        texts.append(table(["opening on one side", "chosen", "rejected"], openings, ("chosen", "rejected")))
    texts += ["\n".join(f"- **shortcut**: {said}" for said in found["warnings"])] if found["warnings"] else []
    return texts


def _by(what: str, groups: Sequence[Mapping[str, Any]]) -> str:
    rows: Sequence[Sequence[str]] = [
        [
            line(one["name"], 80),
            f"{one['pairs']:,}",
            *(
                f"{one[kind]['right']:.0%} ({one[kind]['low']:.0%} to {one[kind]['high']:.0%})"
                for kind in ("length", "opening")
            ),
        ]
        for one in groups
    ]
    return table([what, "pairs measured", "length alone", "opening alone"], rows, ("pairs measured",))
