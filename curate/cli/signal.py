"""`curate inspect --signal`: quantiles, a histogram and examples of one signal."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Final

from rich.text import Text

from curate.cli.tables import share, table
from curate.report.plain import number, one_line, short_number

if TYPE_CHECKING:
    from rich.console import Console

    from curate.report.signal import Bin, Example, Mark, Signal

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_BAR: Final = 36
"""Columns of the longest bar, on a terminal of 80; what is left after labels and a threshold's name."""


def show(out: Console, found: Signal, run: str) -> None:
    """Print all of it."""
    flag = found.type == "bool"
    head = Text.assemble((f"{found.step}.{found.name}", "bold"), (f"  {found.use}, {found.type}", "dim"))
    out.print(head)
    missing = f", {found.missing:,} without a value" if found.missing else ""
    out.print(f"{found.rows:,} rows{' (a sample)' if found.sampled else ''}{missing}\n")
    if not flag:
        _quantiles(out, found)
    _marks(out, found)
    _histogram(out, found, flag=flag)
    if found.at is not None:
        _examples(out, found, run)
    else:
        place = found.marks[0].setting if found.marks else "0.95"
        out.print(
            f"\ndocuments there: curate inspect {quote(run)} --signal {found.step}.{found.name} --at {place}",
            style="dim",
            soft_wrap=True,
        )


def _quantiles(out: Console, found: Signal) -> None:
    names = {"0": "least", "50": "half", "100": "most"}
    titles = [names.get(p, f"{p} %") for p in found.quantiles]
    made = table(*titles, right=titles)
    made.add_row(*(short_number(q) for q in found.quantiles.values()))
    out.print(made)
    out.print()


def _marks(out: Console, found: Signal) -> None:
    if not found.marks:
        return
    made = table("reason", "goes if", "rows", "share", right=("rows", "share"), fold=("goes if",))
    for mark in found.marks:
        flag = mark.op == "is"
        rule = f"{found.name}, {mark.setting} is on" if flag else f"{found.name} {mark.op} {number(mark.value)}"
        setting = "" if flag else f"  ({mark.setting})"
        made.add_row(Text(mark.reason, style="yellow"), rule + setting, f"{mark.rows:,}", share(mark.rows, found.rows))
    out.print(made)
    out.print()


def _histogram(out: Console, found: Signal, *, flag: bool) -> None:
    top = max(b.rows for b in found.bins)
    labels = _labels(found, flag=flag)
    width, room = max(map(len, labels)), min(_BAR, out.width - 44)
    said = {"log": "logarithmic axis", "linear": "", "values": ""}[found.axis]
    if said:
        out.print(Text(said, style="dim"))
    for i, (each, label) in enumerate(zip(found.bins, labels, strict=True)):
        line = Text(f"{label:>{width}} ")
        gone = any(_goes(m, each) for m in found.marks)
        line.append(f"{_bar(each.rows, top, room):<{room}}", style="red" if gone else "cyan")
        line.append(f" {share(each.rows, found.rows):>6}", style="" if each.rows else "dim")
        for mark in found.marks:
            if mark.op != "is" and _bin_of(mark.value, found.bins) == i:
                line.append(f"  ◂ {mark.setting} {short_number(mark.value)}", style="yellow")
        line.truncate(out.width, overflow="ellipsis")
        out.print(line)


def _labels(found: Signal, *, flag: bool) -> list[str]:
    """The lower edge of each bin; ``<`` and ``+`` where the first and the last hold what lies beyond."""
    if flag:
        return ["yes" if b.low else "no" for b in found.bins]
    labels = [f"{b.low:,.6g}" for b in found.bins]
    ranges = [i for i, b in enumerate(found.bins) if b.low != b.high]
    if ranges:
        first, last = ranges[0], ranges[-1]
        if found.quantiles["0"] < found.bins[first].low and first == 0:
            labels[first] = f"<{found.bins[first].high:,.6g}"
        if found.quantiles["100"] >= found.bins[last].high:
            labels[last] += "+"
    return labels


def _bin_of(value: float, bins: list[Bin]) -> int:
    """The bin that a value lies in, or the nearest one."""
    for i, each in enumerate(bins):
        if value < each.high or (each.low == each.high and value <= each.high):
            return i
    return len(bins) - 1


def _goes(mark: Mark, each: Bin) -> bool:
    """Whether a threshold cuts off the whole bin."""
    if mark.op == "is":
        return bool(each.low)
    if mark.op in ("<", "<="):
        below = each.high <= mark.value if each.low != each.high else each.high < mark.value
        return below or (mark.op == "<=" and each.high == mark.value)
    return each.low > mark.value or (each.low == mark.value and (mark.op == ">=" or each.low != each.high))


def _bar(rows: int, top: int, room: int) -> str:
    eighths = max(round(rows / top * room * 8), 1) if rows else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _examples(out: Console, found: Signal, run: str) -> None:
    assert found.at is not None
    place, below = short_number(found.at["value"]), f"{found.at['quantile']:.1%}"
    out.print(f"\nnearest to {place} ({below} of the rows lie below)", style="bold")
    for each in found.examples:
        out.print(_line(each, out.width))
        text = Text("          " + each.text, style="dim")
        text.truncate(out.width, overflow="ellipsis")
        out.print(text)
    if found.examples:
        out.print(
            f"\nOne document's whole story: curate explain {quote(run)} {found.examples[0].id[:8]}",
            style="dim",
            soft_wrap=True,
        )


def _line(each: Example, width: int) -> Text:
    line = Text(each.id[:8], style="bold")
    line.append(f"  {number(each.value):>8}", style="bold")
    line.append(f"  {one_line(each.source, 20):<20}  ", style="dim")
    line.append(each.reason or "kept", style="red" if each.reason else "green")
    line.truncate(width, overflow="ellipsis")
    return line
