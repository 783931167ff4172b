"""How output looks: plain tables, at most 100 columns, nothing at the ends of lines; the same on a terminal and in a file."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100
BARS = "▁▂▃▄▅▆▇█"


class _Trimmed:
    """A file whose lines do not end in blanks: Rich fills the cells of a table's last column with them."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, less blanks before a line feed; Rich writes whole lines."""
        return self._file.write(re.sub(r"[ \t]+(?=\n)", "", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def console(most: int = WIDTH) -> Console:
    """Standard output, at most ``most`` columns wide; no markup, so that text from documents is only text."""
    if not sys.stdout.isatty():
        return Console(
            file=cast("IO[str]", _Trimmed(sys.stdout)), highlight=False, markup=False, emoji=False, width=WIDTH
        )
    wide = shutil.get_terminal_size((WIDTH, 24)).columns
    return Console(highlight=False, markup=False, emoji=False, width=max(60, min(wide, most)))


def table(*columns: str, right: Sequence[str] = (), fold: Sequence[str] = (), title: str = "") -> Table:
    """A table without lines; ``right`` columns are numbers, ``fold`` columns may take several lines."""
    made = Table(
        box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), title=title or None, title_justify="left"
    )
    made.title_style = "bold"
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column not in fold,
            overflow="fold" if column in fold else "ellipsis",
        )
    return made


def bars(counts: Sequence[int], width: int = WIDTH) -> str:
    """A histogram as one word: a block per count, empty ones blank; two counts to a block where there is little room."""
    if width < WIDTH:
        counts = [sum(counts[i : i + 2]) for i in range(0, len(counts), 2)]
    top = max(counts, default=0)
    return "".join(" " if c == 0 else BARS[min(c * len(BARS) // (top + 1), len(BARS) - 1)] for c in counts)


def share(part: int, whole: int) -> str:
    """A share for people: ``12.3%``, ``<0.1%`` rather than ``0.0%``, nothing without a whole."""
    if not whole:
        return ""
    value = part / whole
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"


def plain(text: str, style: str = "") -> Text:
    """Text that is shown as it is."""
    return Text(text, style=style)
