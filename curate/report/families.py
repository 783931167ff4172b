"""Prompt families of a run: what each gave, how much of it was new as it went on, and why it was stopped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from curate.report import markdown
from curate.report.chart import Curve, chart, panels
from curate.report.plain import one_line, short_number
from curate.report.run_folder import RunFolder
from curate.report.step import Step
from curate.stages.family import SLICE, WINDOW, Limits
from curate.stages.generator import not_asked

MOST_LINES: Final = 10
"""Families whose curves are drawn, those with the most answers."""


@dataclass(frozen=True)
class FamilyCurve:
    """A prompt family of a step.

    Attributes:
        points: see ``curate.stages.family.Point``, as plain values; one at least.
        stopped: why it came less often or not at all in the end; empty where it did not.
        skipped: requests of the plan that were not sent because of that.
    """

    name: str
    points: Sequence[dict[str, Any]]
    stopped: str
    skipped: int

    @property
    def last(self) -> dict[str, Any]:
        """Its last point."""
        return self.points[-1]


def families_of(step: Step) -> list[FamilyCurve]:
    """The families of a step that have a point, the one with the most answers first; none of a step that asks nobody."""
    said = step.record.report.get("families", {})
    found = [
        FamilyCurve(name, each["points"], each["stopped"], each.get("skipped", 0))
        for name, each in said.items()
        if each["points"]
    ]
    return sorted(found, key=lambda each: (-each.last["answers"], each.name))


def family_table(found: Sequence[FamilyCurve]) -> list[tuple[str, ...]]:
    """A head, and a line for each family: where it stood in the end."""
    head = ("family", "answers", "accepted", "near duplicates", "of late", "unseen", "opening", "ratio", "stopped")
    lines = []
    for each in found:
        now = each.last
        copies = 1 - now["distinct"] / now["accepted"] if now["accepted"] else None
        skipped = f"; {each.skipped:,} requests not sent" if each.skipped else ""
        lines.append(
            (
                one_line(each.name, 40),
                f"{now['answers']:,}",
                f"{now['accepted']:,}",
                _share(copies),
                _share(now["recent"]),
                _share(now["unseen"]),
                _share(now["template"]),
                "-" if now["compression"] is None else short_number(now["compression"]),
                one_line(each.stopped, 120) + skipped if each.stopped else "",
            )
        )
    return [head, *lines]


def not_asked_lines(report: Mapping[str, Any]) -> list[str]:
    """What a step passed over instead of asking about it, and why, by its report; nothing where there is nothing to tell."""
    passed = report.get("not_asked")
    return [not_asked(passed)] if passed else []


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def family_curves(step: Step) -> str:
    """Near duplicates, unseen mass, template share and compression of a step's families against their answers, with its
    limits, as one SVG; empty where no family has two points."""
    found = [each for each in families_of(step) if len(each.points) > 1][:MOST_LINES]
    if not found:
        return ""
    limits = Limits.model_validate(step.settings.get("limits") or {})
    ratios = [p["compression"] or 0.0 for each in found for p in each.points]
    top = float(math.ceil(max([limits.max_compression, *ratios])))
    drawn = [
        _drawn(f"near duplicates of the last {WINDOW}", found, "recent", limits.max_duplicates),
        _drawn("unseen mass (Good-Turing)", found, "unseen", limits.min_unseen),
        _drawn(f"most frequent opening of the last {WINDOW}", found, "template", limits.max_template),
        _drawn(f"compression ratio, slices of {SLICE >> 10} KiB", found, "compression", limits.max_compression, top),
    ]
    return panels(f"{step.id}: prompt families against their accepted answers", drawn)


def _drawn(title: str, found: Sequence[FamilyCurve], name: str, limit: float, top: float | None = None) -> str:
    lines: dict[str, Curve] = {
        each.name: [(p["accepted"], p[name]) for p in each.points if p[name] is not None] for each in found
    }
    return chart(title, lines, levels=[(limit, "limit")], top=top or 1.0, percent=top is None)


def family_section(step: Step) -> str:
    """What a step's families gave, and how much of it was new, as a section of a dataset card."""
    head, *lines = family_table(families_of(step))
    text = f"### Prompt families of `{step.id}`\n\n"
    text += markdown.table(head, [[markdown.line(cell) for cell in line] for line in lines], head[1:8])
    return text + (f"\n\n![Curves of the families]({curves_file(step)})" if family_curves(step) else "")


def curves_file(step: Step) -> str:
    """Name of the file beside the card that has the curves of a step."""
    return f"{step.id}.families.svg"


def curves_of(run: RunFolder) -> dict[str, str]:
    """By name the files with curves of a run."""
    made = {curves_file(step): family_curves(step) for step in run.steps.values() if families_of(step)}
    return {name: svg for name, svg in made.items() if svg}
