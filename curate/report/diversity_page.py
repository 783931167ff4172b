"""What `curate diversity` found, as rows of tables, as a curve, and as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final

from curate.report.chart import chart
from curate.report.diversity import (
    BLEU_TEXTS,
    BLEU_WORDS,
    DISTINCT_WORDS,
    REPEATED,
    SLICE,
    Diversity,
    Measured,
)
from curate.report.page import html_page, html_table
from curate.report.plain import one_line, short_number, size
from curate.text.wording import LEVEL, OPENING

_MOST_NS: Final = 8
"""Columns of the table of near duplicates against N."""

Row = tuple[str, ...]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else short_number(value)


def _unique(each: Diversity) -> str:
    return f"{each.unique_functions:,} of {each.functions:,}" if each.functions else "-"


_LINES: Final[tuple[tuple[str, Callable[[Diversity], str], str], ...]] = (
    ("texts", lambda d: f"{d.texts:,}", ""),
    ("text", lambda d: size(d.bytes), ""),
    ("near duplicates", lambda d: _share(d.near_duplicates), "of an earlier text; the order is by hash of content"),
    ("unseen mass", lambda d: _share(d.unseen), "chance that another text is new (Good-Turing)"),
    ("sample", lambda d: f"{d.sample:,}", "texts that the rest is measured on"),
    ("compression ratio", lambda d: _number(d.compression), f"zstd {LEVEL}, slices of {SLICE >> 10} KiB; prose 2.4, code 3"),
    ("distinct words", lambda d: _share(d.distinct[1]), f"of {DISTINCT_WORDS:,}"),
    ("distinct pairs", lambda d: _share(d.distinct[2]), "of the same words"),
    ("distinct triples", lambda d: _share(d.distinct[3]), ""),
    ("repeated passages", lambda d: _share(d.repeated), f"{REPEATED}-grams that stand in another text, too"),
    ("self-BLEU", lambda d: _number(d.self_bleu), f"of {BLEU_WORDS} words of {BLEU_TEXTS:,} texts at most; 1: all alike"),
    ("most frequent opening", lambda d: _share(d.template), f"of {OPENING} words; texts that begin with it"),
    ("shared openings", lambda d: _share(d.shared), "texts that begin as another one does"),
    ("Vendi score", lambda d: _number(d.vendi), "so many texts without a common word are as diverse"),
    ("unique functions", _unique, "Python, blind to names and layout"),
)  # fmt: skip


def names(found: Sequence[Measured], most: int) -> list[str]:
    """What the datasets are called in a table: their files' names, or where these are equal what they were given as."""
    given = [each.whole.dataset for each in found]
    short = [name.rstrip("/").rpartition("/")[2] for name in given]
    best = short if len(set(short)) == len(short) else given
    return [one_line(name if len(name) <= most else "..." + name[3 - most :], most) for name in best]


def rows(found: Sequence[Measured]) -> list[Row]:
    """A line for each measure: its name, the datasets' values, what it is."""
    made = [(name, *(value(each.whole) for each in found), how) for name, value, how in _LINES]
    openings = [one_line(each.whole.opening, 24 if len(found) > 1 else 40) for each in found]
    at = next(i for i, line in enumerate(made) if line[0] == "shared openings")
    made.insert(at, ("", *(f'"{opening}"' if opening else "-" for opening in openings), ""))
    return made


def curve_rows(found: Sequence[Measured]) -> list[Row]:
    """A head with some N, and for each dataset the share of near duplicates among the first N."""
    every = sorted({n for each in found for n, _ in each.whole.curve[:-1]})
    if len(every) > _MOST_NS:
        every = [n for n in every if str(n)[0] != "2"]
    ns = every[-_MOST_NS:]
    head = ("", *(f"{n:,}" for n in ns), "all")
    lines = []
    for name, each in zip(names(found, 31), found, strict=True):
        known = dict(each.whole.curve[:-1])
        lines.append(
            (
                name,
                *(_share(known[n]) if n in known else "" for n in ns),
                _share(each.whole.near_duplicates),
            )
        )
    return [head, *lines]


def family_rows(found: Measured) -> list[Row]:
    """A head, and a line for each family."""
    head = ("family", "texts", "near dup", "unseen", "ratio", "pairs", "repeats", "BLEU", "opening", "Vendi", "code")
    lines = [
        (
            one_line(each.family or "", 17),
            f"{each.texts:,}",
            _share(each.near_duplicates),
            _share(each.unseen),
            _number(each.compression),
            _share(each.distinct[2]),
            _share(each.repeated),
            _number(each.self_bleu),
            _share(each.template),
            _number(each.vendi),
            f"{each.unique_functions / each.functions:.0%}" if each.functions else "-",
        )
        for each in found.families
    ]
    return [head, *lines]


def curve(found: Sequence[Measured]) -> str:
    """Near duplicates against N of every dataset, or of one dataset and its families, as an SVG."""
    if len(found) == 1:
        lines = {"all": found[0].whole.curve, **{each.family or "": each.curve for each in found[0].families}}
    else:
        lines = {name: each.whole.curve for name, each in zip(names(found, 22), found, strict=True)}
    return chart("near duplicates among the first N texts", lines, log=True)


def page(found: Sequence[Measured], by: str) -> str:
    """A page without scripts."""
    called = names(found, 60)
    parts = [html_table(("", *called, ""), rows(found)), curve(found), html_table(*_headed(curve_rows(found)))]
    for each in found:
        if each.families:
            parts += [
                f"<h2>{escape(one_line(each.whole.dataset, 200))}, by {escape(by)}</h2>",
                html_table(*_headed(family_rows(each))),
            ]
        if each.more:
            parts.append(f"<p class=dim>{each.more:,} smaller families are not shown</p>")
        parts += [f"<p class=dim>{escape(one_line(note, 400))}</p>" for note in each.notes]
    return html_page(f"diversity of {', '.join(called)}", "".join(parts))


def _headed(lines: Sequence[Row]) -> tuple[Row, Iterable[Row]]:
    return lines[0], lines[1:]
