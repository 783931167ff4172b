"""Two texts beside each other: rows of two columns in which what they share stands at the same height, and what differs is marked."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from curate.report.plain import escaped

MOST_ROWS: Final = 60
CONTEXT: Final = 2
"""Rows that are alike around those that differ."""
_MOST_LINES: Final = 4000
"""Lines of each text that are compared."""
_MOST_WORDS: Final = 4000
"""Words of a stretch of lines that differ: difflib takes quadratic time on texts without a common word."""
_WORD: Final = re.compile(r"\n|^[^\S\n]*\S+|\S+", re.MULTILINE)
"""A line's end; a word, the first of a line with what it is indented by."""

Piece = tuple[str, bool]
"""Some text, and whether the other side lacks it."""
_Step = tuple[str, str]
"""(``=``, ``<`` or ``>``; word): what both have, what the first or the second alone has."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        left, right: what stands there, no wider than a column; words are separated by a space between pieces.
        mark: `` `` where both are alike, ``<`` where the left one has more, ``>`` the right one, ``|`` both; ``:`` for a row that
            stands for others.
    """

    left: tuple[Piece, ...]
    mark: str
    right: tuple[Piece, ...]


def side_by_side(mine: str, kept: str, width: int, most: int = MOST_ROWS) -> tuple[str, list[Row]]:
    """A sentence about how two texts differ where that says all, and rows where they do.

    Args:
        width: of a column, in a terminal's cells.
        most: rows at most; the last one then says how many are left out.
    """
    if mine == kept:
        return "both have the same text", []
    if mine.split() == kept.split():
        return "they differ in white space only", []
    rows = _elided(list(_flow(_steps(_lines(mine), _lines(kept)), max(width, 8))))
    if len(rows) > most:
        rows = [*rows[:most], _note(f"{len(rows) - most:,} more rows")]
    return "", rows


def _lines(text: str) -> list[str]:
    whole = escaped(text.replace("\r\n", "\n").expandtabs(4)).split("\n")
    return [line.rstrip() for line in whole[:_MOST_LINES]]


def _steps(a: list[str], b: list[str]) -> Iterator[_Step]:
    """What leads from one text to the other, word by word: lines first, then the words of those that differ."""
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (("=", word) for word in _words(a[i:j]))
            continue
        mine, kept = _words(a[i:j]), _words(b[k:m])
        if len(mine) > _MOST_WORDS or len(kept) > _MOST_WORDS:
            yield from (("<", word) for word in mine[:_MOST_WORDS])
            yield from ((">", word) for word in kept[:_MOST_WORDS])
            continue
        changes = difflib.SequenceMatcher(None, mine, kept, autojunk=False)
        for change, p, q, r, s in changes.get_opcodes():
            if change == "equal":
                yield from (("=", word) for word in mine[p:q])
            else:
                yield from (("<", word) for word in mine[p:q])
                yield from ((">", word) for word in kept[r:s])


def _words(lines: list[str]) -> list[str]:
    return _WORD.findall("\n".join([*lines, ""])) if lines else []


def _flow(steps: Iterator[_Step], width: int) -> Iterator[Row]:
    """Fill rows: one ends with a line of either text, or when a column is full."""
    sides: tuple[list[Piece], list[Piece]] = ([], [])
    used = [0, 0]
    for kind, word in steps:
        at = {"=": (0, 1), "<": (0,), ">": (1,)}[kind]
        if word == "\n":
            if any(sides):
                yield _row(*sides)
            sides, used = ([], []), [0, 0]
            continue
        for piece in _broken(word, width):
            wide = _cells(piece)
            if any(used[side] and used[side] + 1 + wide > width for side in at):
                yield _row(*sides)
                sides, used = ([], []), [0, 0]
            for side in at:
                used[side] += wide + bool(used[side])
                sides[side].append((piece, kind != "="))
    if any(sides):
        yield _row(*sides)


def _row(left: list[Piece], right: list[Piece]) -> Row:
    mark = {(False, False): " ", (True, False): "<", (False, True): ">", (True, True): "|"}
    return Row(tuple(left), mark[any(d for _, d in left), any(d for _, d in right)], tuple(right))


def _elided(rows: list[Row]) -> list[Row]:
    """Without rows that are alike, but for those next to ones that differ."""
    near = [False] * len(rows)
    for i, row in enumerate(rows):
        if row.mark != " ":
            near[max(0, i - CONTEXT) : i + CONTEXT + 1] = [True] * (
                min(len(rows), i + CONTEXT + 1) - max(0, i - CONTEXT)
            )
    kept: list[Row] = []
    for shown, group in itertools.groupby(range(len(rows)), key=lambda i: near[i]):
        some = [rows[i] for i in group]
        kept += some if shown or len(some) == 1 else [_note(f"{len(some):,} rows alike")]
    return kept


def _note(said: str) -> Row:
    return Row((("...", False), (said, False)), ":", ())


def _broken(word: str, width: int) -> Iterator[str]:
    """A word that is wider than a column, in pieces."""
    while _cells(word) > width:
        stop = width
        while stop > 1 and _cells(word[:stop]) > width:
            stop -= 1
        yield word[:stop]
        word = word[stop:]
    if word:
        yield word


def _cells(text: str) -> int:
    """How many cells of a terminal it takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
