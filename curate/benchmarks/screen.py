"""Documents held against an index of benchmarks, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.benchmarks.index import Loaded
from curate.text.batch import Batch

LAYERS: Final = ("words",)
"""What a hit was found by. ``words``: word n-grams (``curate.text.overlap``)."""
WORDS: Final = 0

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
        strength: float32[h], 0 to 1; of ``words`` the share of the part's n-grams.
        run: int32[h]; words of the part in a row, 0 in other layers.
        of_row: float32[h]; the share of the row that it is.
        whole: bool[h]; a part that only counts as a whole, and is there.
        unit: int32[h]; the layer's own number of what was found.
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

    return PARTS


def find(docs: Batch, loaded: Loaded) -> Hits:
    """All that the rows have of any item, from the least that a setting may ask for on."""
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


@dataclass(frozen=True)
class Least:
    """From when on a hit counts; see the settings of ``decontaminate``."""

    containment: float = 0.3
    run: int = 32
    of_document: float = 0.8

    def counted(self, hits: Hits) -> npt.NDArray[np.bool_]:
        """bool[h]."""
        mostly = (hits.of_row >= np.float32(self.of_document)) & (hits.run >= MOSTLY_RUN)
        enough = (hits.strength >= np.float32(self.containment)) | (hits.run >= self.run) | mostly
        return np.asarray(hits.whole | enough)


MOSTLY_RUN: Final = 13
"""Words of an item in a row, below which the share of a document says nothing: "Write a function" is half of many a line."""


def reasons(hits: Hits) -> npt.NDArray[np.object_]:
    """By hit, the reason that it is."""
    return np.where(hits.whole, "benchmark_exact", "benchmark_ngram").astype(object)


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


def lines_of(docs: Batch, hits: Hits, loaded: Loaded) -> tuple[npt.NDArray[np.int64], ...]:
    """Whole lines in which hits lie: row, first byte, byte behind the last with its line end; int64 each, sorted by row,
    then start; they may overlap."""
    from curate.text.overlap import Overlaps, spans

    words = hits.take(hits.layer == WORDS)
    order = np.argsort(words.row, kind="stable")
    words = words.take(order)
    found = spans(
        docs.words("alphanumeric"),
        loaded.words,
        Overlaps(words.row, words.unit, words.strength, words.of_row, words.run),
    )
    rows = np.repeat(words.row, np.diff(found.hits))
    return whole_lines(docs, rows, found.starts.astype(np.int64), found.stops.astype(np.int64))


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
