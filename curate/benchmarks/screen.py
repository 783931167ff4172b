"""Documents held against an index of benchmarks, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.benchmarks.index import Loaded
from curate.text.batch import Batch

if TYPE_CHECKING:
    from curate.text.syntax import Functions

LAYERS: Final = ("words", "code")
"""What a hit was found by: word n-grams (``curate.text.overlap``), functions in normal form (``curate.text.syntax``)."""
WORDS, CODE = range(len(LAYERS))
SURE: Final = 20
"""Symbols of a solution's body; a shorter one must match at SURE_TAU: with one symbol changed, "for a in b: if a < c: return
False; return True" is ``set.isdisjoint``. Of 8,117 Python files a match at 0.9 then has 8 instead of 15."""
SURE_TAU: Final = 0.95
LEAST_TAU: Final = 0.8
"""Match rate from which a function is a hit: the least of which phi-1's authors tell (arXiv 2306.11644, section 5.2)."""

HIT: Final = pa.struct(
    [
        ("item", pa.string()),
        ("layer", pa.string()),
        ("part", pa.string()),
        ("strength", pa.float32()),
        ("run", pa.int32()),
        ("of_document", pa.float32()),
    ]
)
"""A hit as a signal of its row has it."""


@dataclass(frozen=True)
class Hits:
    """What rows have of items, a hit each; rows ascending, then layers, then the strongest first.

    Attributes:
        row: int64[h].
        item: int32[h]; see ``Loaded.items``.
        layer: int8[h]; see LAYERS.
        part: int8[h]; of the item, see ``parts_of``.
        strength: float32[h], 0 to 1; of ``words`` the share of the part's n-grams, of ``code`` the match rate tau.
        run: int32[h]; words of the part in a row, 0 in other layers.
        of_row: float32[h]; the share of the row that it is.
        whole: bool[h]; a part that only counts as a whole, and is there.
        unit: int32[h]; of ``words`` the unit that was found, of ``code`` the number of the row's function.
    """

    row: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    layer: npt.NDArray[np.int8]
    part: npt.NDArray[np.int8]
    strength: npt.NDArray[np.float32]
    run: npt.NDArray[np.int32]
    of_row: npt.NDArray[np.float32]
    whole: npt.NDArray[np.bool_]
    unit: npt.NDArray[np.int32]

    def take(self, at: npt.NDArray[np.generic]) -> Hits:
        """Some of them: by number, or where true."""
        return Hits(**{name: values[at] for name, values in vars(self).items()})

    def lists(self, rows: int, loaded: Loaded) -> pa.ListArray:
        """By row, all of its hits: list of HIT."""
        columns = [
            loaded.items.take(pa.array(self.item)),
            pa.array(LAYERS).take(pa.array(self.layer)),
            pa.array(parts()).take(pa.array(self.part)),
            pa.array(self.strength),
            pa.array(self.run),
            pa.array(self.of_row),
        ]
        values = pa.StructArray.from_arrays(columns, fields=list(HIT))
        ends = np.searchsorted(self.row, np.arange(rows + 1)).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), values)


def parts() -> tuple[str, ...]:
    """Names of the parts of items."""
    from curate.text.overlap_units import PARTS

    return (*PARTS, "solution")


def find(docs: Batch, loaded: Loaded) -> Hits:
    """All that the rows have of any item, from the least that a setting may ask for on."""
    words, code = _words(docs, loaded), _code(docs, loaded)
    both = Hits(**{name: np.concatenate([values, getattr(code, name)]) for name, values in vars(words).items()})
    return both.take(np.lexsort((both.layer, both.row))) if len(code.row) else words


def _words(docs: Batch, loaded: Loaded) -> Hits:
    from curate.text.overlap import overlaps

    found = overlaps(docs.words("alphanumeric"), loaded.words)
    return Hits(
        row=found.row,
        item=loaded.words.item[found.unit],
        layer=np.full(len(found.row), WORDS, np.int8),
        part=loaded.words.part[found.unit],
        strength=found.share,
        run=found.run,
        of_row=found.of_row,
        whole=loaded.words.whole[found.unit],
        unit=found.unit,
    )


def functions_of(docs: Batch) -> Functions:
    """The functions in the rows, found once."""
    from curate.text.syntax import functions

    return docs.view("functions", lambda: functions(*docs.utf8))


def _code(docs: Batch, loaded: Loaded) -> Hits:
    """The best match of each item with a function of the row."""
    from curate.text.syntax import tree_matches

    nothing = np.zeros(0, np.int64)
    if loaded.trees is None:
        rows = owners = chosen = nothing
        tau = np.zeros(0)
    else:
        found = functions_of(docs)
        pairs = tree_matches(found, loaded.trees, LEAST_TAU)
        sure = np.flatnonzero((pairs.lengths >= SURE) | (pairs.tau >= SURE_TAU))
        order = sure[np.lexsort((pairs.functions[sure], -pairs.tau[sure], pairs.owners[sure], pairs.rows[sure]))]
        best = np.ones(len(order), np.bool_)
        rows, owners = pairs.rows[order], pairs.owners[order]
        best[1:] = (rows[1:] != rows[:-1]) | (owners[1:] != owners[:-1])
        order = order[best]
        order = order[np.lexsort((pairs.owners[order], -pairs.lengths[order], -pairs.tau[order], pairs.rows[order]))]
        rows, owners, chosen, tau = pairs.rows[order], pairs.owners[order], pairs.functions[order], pairs.tau[order]
    size = found.stops[chosen] - found.starts[chosen] if len(rows) else nothing
    whole = np.diff(docs.utf8[0])[rows]
    many = len(rows)
    return Hits(
        row=rows,
        item=owners.astype(np.int32),
        layer=np.full(many, CODE, np.int8),
        part=np.full(many, len(parts()) - 1, np.int8),
        strength=tau.astype(np.float32),
        run=np.zeros(many, np.int32),
        of_row=(size / np.maximum(whole, 1)).astype(np.float32),
        whole=np.zeros(many, np.bool_),
        unit=chosen.astype(np.int32),
    )


@dataclass(frozen=True)
class Least:
    """From when on a hit counts; see the settings of ``decontaminate``."""

    containment: float = 0.3
    run: int = 32
    of_document: float = 0.8
    tau: float = 0.9

    def counted(self, hits: Hits) -> npt.NDArray[np.bool_]:
        """bool[h]."""
        words = hits.layer == WORDS
        mostly = (hits.of_row >= np.float32(self.of_document)) & (hits.run >= MOSTLY_RUN)
        enough = (hits.strength >= np.float32(self.containment)) | (hits.run >= self.run) | mostly
        return np.asarray((words & (hits.whole | enough)) | (~words & (hits.strength >= np.float32(self.tau))))


MOSTLY_RUN: Final = 13
"""Words of an item in a row, below which the share of a document says nothing: "Write a function" is half of many a line."""


def reasons(hits: Hits) -> npt.NDArray[np.object_]:
    """By hit, the reason that it is."""
    words = np.where(hits.whole, "benchmark_exact", "benchmark_ngram")
    return np.where(hits.layer == CODE, "benchmark_code", words).astype(object)


def screen(texts: Sequence[str], loaded: Loaded, least: Least | None = None) -> list[str | None]:
    """What each text has of a benchmark: ``benchmark_ngram: humaneval/HumanEval/0 (prompt, 0.83)``; None without.

    For texts that are few: prompts, seeds, answers of a model. The strongest hit is told.
    """
    hits = find(Batch.of(pa.array(list(texts), pa.large_string())), loaded)
    hits = hits.take((least or Least()).counted(hits))
    said: list[str | None] = [None] * len(texts)
    names, why = parts(), reasons(hits)
    for i in range(len(hits.row) - 1, -1, -1):
        item = loaded.items[int(hits.item[i])].as_py()
        said[hits.row[i]] = f"{why[i]}: {item} ({names[hits.part[i]]}, {hits.strength[i]:.2f})"
    return said


def spans_of(docs: Batch, hits: Hits, loaded: Loaded) -> tuple[npt.NDArray[np.int64], ...]:
    """Where hits lie: number of the hit, first byte of the row's text, byte behind the last; int64 each, by hit."""
    from curate.text.overlap import Overlaps, spans

    at = np.flatnonzero(hits.layer == WORDS)
    at = at[np.argsort(hits.row[at], kind="stable")]
    words = hits.take(at)
    asked = Overlaps(words.row, words.unit, words.strength, words.of_row, words.run)
    found = spans(docs.words("alphanumeric"), loaded.words, asked)
    code = np.flatnonzero(hits.layer == CODE)
    starts = stops = np.zeros(0, np.int64)
    if len(code):
        there, units = functions_of(docs), hits.unit[code]
        starts, stops = there.starts[units], there.stops[units]
    owner = np.concatenate([np.repeat(at, np.diff(found.hits)), code])
    order = np.argsort(owner, kind="stable")
    begin = np.concatenate([found.starts.astype(np.int64), starts])
    end = np.concatenate([found.stops.astype(np.int64), stops])
    return owner[order], begin[order], end[order]


def lines_of(docs: Batch, hits: Hits, loaded: Loaded) -> tuple[npt.NDArray[np.int64], ...]:
    """Whole lines in which hits lie: row, first byte, byte behind the last with its line end; int64 each, sorted by row,
    then start; they may overlap."""
    owner, starts, stops = spans_of(docs, hits, loaded)
    return whole_lines(docs, hits.row[owner], starts, stops)


def whole_lines(
    docs: Batch, rows: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], ...]:
    """Spans of bytes made larger, to whole lines with what ends them; sorted by row, then start."""
    lines, ends = docs.lines, np.diff(docs.utf8[0])
    if not len(rows):
        return rows, starts, stops
    # Lines of all rows in one order: by row, then place. A row's bytes are fewer than 2^40, rows of a batch than 2^23.
    of = np.repeat(np.arange(len(docs)), np.diff(lines.rows))
    keys = (of << 40) + lines.starts
    first = np.searchsorted(keys, (rows << 40) + starts, side="right") - 1
    last = np.searchsorted(keys, (rows << 40) + np.maximum(stops - 1, starts), side="right") - 1
    begin = lines.starts[first]
    after = last + 1 < lines.rows[rows + 1]
    end = np.where(after, lines.starts[np.minimum(last + 1, len(keys) - 1)], ends[rows])
    order = np.lexsort((begin, rows))
    return rows[order], begin[order], end[order].astype(np.int64)
