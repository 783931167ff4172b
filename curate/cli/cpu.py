"""Where CPU time went, as a table: by step and kind of work, with MB/s of one core."""

from __future__ import annotations

from typing import Final

from rich.console import Console

from curate.cli.tables import table
from curate.report.plain import one_line, size
from curate.run.status import CpuByStep

MOST: Final = 8
"""Rows that are shown; the rest is one."""


def show_cpu(out: Console, cpu: CpuByStep, most: int = MOST) -> None:
    """The table; nothing where no task was done."""
    rows = sorted(
        ((step, kind, sums[0], sums[1]) for step, kinds in cpu.items() for kind, sums in kinds.items()),
        key=lambda row: -row[2],
    )
    together = sum(row[2] for row in rows)
    if together < 0.05:
        return
    made = table(
        "CPU time",
        "for",
        "seconds",
        "share",
        "bytes",
        "MB/s per core",
        right=("seconds", "share", "bytes", "MB/s per core"),
    )
    rest = rows[most:]
    for step, kind, seconds, through in rows[:most]:
        speed = f"{through / seconds / 1e6:,.1f}" if through and seconds >= 0.005 else ""
        shown = one_line(step, 24), one_line(kind, 16)
        made.add_row(*shown, f"{seconds:.1f}", f"{seconds / together:.0%}", size(through) if through else "", speed)
    if rest:
        left = sum(row[2] for row in rest)
        made.add_row(f"{len(rest)} others", "", f"{left:.1f}", f"{left / together:.0%}", "", "")
    out.print()
    out.print(made)
