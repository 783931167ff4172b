"""Documents held against an index of benchmarks, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.benchmarks.hits import CODE, REPHRASED, WORDS, Hits, Least, parts
from curate.benchmarks.index import Loaded
from curate.text.batch import Batch
from curate.text.overlap import Overlaps, overlaps, spans
from curate.text.overlap_units import ASKED, PROMPT
from curate.text.rephrased import Rephrasings, rephrased
from curate.text.syntax import Functions, Matches, functions, tree_matches

LEAST_TAU: Final = 0.8
"""Match rate from which a function is a hit: the least of which phi-1's authors tell (arXiv 2306.11644, section 5.2)."""
SURE: Final = 20
"""Symbols of a solution's body; a shorter one must match at SURE_TAU: with one symbol changed, "for a in b: if a < c: return
False; return True" is ``set.isdisjoint``. Of 8,117 Python files a match at 0.9 then has 8 instead of 15."""
SURE_TAU: Final = 0.95
SHORTEST: Final = 15
"""Symbols of a body that proves something by itself at SURE_TAU; a shorter one has to be borne out."""
LEAST_SCORE: Final = 0.0
"""Log-odds from which a passage is a hit: as likely as not."""
HINT_SCORE: Final = -1.5
"""Log-odds from which a passage bears out what a function says that is too short to prove anything."""
BORNE: Final = 6
"""Symbols from which a body is borne out by anything of the item in its row; a shorter one (``return len(a)``) is only by
the text of its own function."""


def find(docs: Batch, loaded: Loaded, rephrasings: Literal["off", "words", "embeddings"] = "words") -> Hits:
    """All that the rows have of any item, from the least that a setting may ask for on.

    ``rephrasings``: by what prompts in other words are known, see ``decontaminate``.
    """
    sizes = np.diff(docs.utf8[0])
    said = _words(docs, loaded)
    found = None if rephrasings == "off" else _rephrased(docs, loaded, embeddings=rephrasings == "embeddings")
    likely = [_likely(found, sizes)] if found is not None else []
    return Hits.of([said.take(said.part != ASKED), _code(docs, loaded, sizes, said, found), *likely])


def reworded(docs: Batch, loaded: Loaded, *, embeddings: bool) -> Hits:
    """What ``find`` finds by layer REPHRASED."""
    return _likely(_rephrased(docs, loaded, embeddings=embeddings), np.diff(docs.utf8[0]))


def _words(docs: Batch, loaded: Loaded) -> Hits:
    found = overlaps(docs.words("alphanumeric"), loaded.words)
    nowhere = np.zeros(len(found.row), np.int64)
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
        start=nowhere,
        stop=nowhere,
    )


def _rephrased(docs: Batch, loaded: Loaded, *, embeddings: bool) -> Rephrasings:
    if not embeddings:
        return rephrased(docs, loaded.prompts, HINT_SCORE)
    from curate.quality.rephrased_vectors import LOWEST, confirmed

    assert loaded.vectors is not None
    return confirmed(docs, rephrased(docs, loaded.prompts, LOWEST), loaded.vectors, HINT_SCORE)[0]


def _likely(found: Rephrasings, sizes: npt.NDArray[np.int64]) -> Hits:
    at = np.flatnonzero(found.score >= np.float32(LEAST_SCORE))
    likely = 1.0 / (1.0 + np.exp(-found.score[at].astype(np.float64)))
    return Hits.spanning(
        REPHRASED, PROMPT, found.row[at], found.item[at], likely, found.starts[at], found.stops[at], sizes
    )


def _code(docs: Batch, loaded: Loaded, sizes: npt.NDArray[np.int64], said: Hits, likely: Rephrasings | None) -> Hits:
    """The best match of each item with a function of the row."""
    if loaded.trees is None:
        nothing = np.zeros(0, np.int64)
        return Hits.spanning(CODE, 0, nothing, nothing, np.zeros(0), nothing, nothing, sizes)
    found = functions(*docs.utf8)
    pairs = tree_matches(found, loaded.trees, LEAST_TAU)
    proven = _proven(pairs, len(loaded.items), said, likely)
    if likely is not None:
        short = np.flatnonzero((pairs.lengths < BORNE) & (pairs.tau >= SURE_TAU))
        proven[short] = _said_inside(docs, found, pairs.functions[short], pairs.owners[short], loaded)
    sure = np.flatnonzero(proven)
    order = sure[np.lexsort((pairs.functions[sure], -pairs.tau[sure], pairs.owners[sure], pairs.rows[sure]))]
    rows, owners = pairs.rows[order], pairs.owners[order]
    best = np.ones(len(order), np.bool_)
    best[1:] = (rows[1:] != rows[:-1]) | (owners[1:] != owners[:-1])
    order = order[best]
    order = order[np.lexsort((pairs.owners[order], -pairs.lengths[order], -pairs.tau[order], pairs.rows[order]))]
    chosen = pairs.functions[order]
    return Hits.spanning(
        CODE, len(parts()) - 1, pairs.rows[order], pairs.owners[order], pairs.tau[order], found.starts[chosen],
        found.stops[chosen], sizes,
    )  # fmt: skip


def _proven(pairs: Matches, items: int, said: Hits, likely: Rephrasings | None) -> npt.NDArray[np.bool_]:
    """bool[k]: which matches prove something.

    A body of SURE symbols does, and one of SHORTEST from SURE_TAU on. A shorter one (``return a % 1``), down to BORNE, only
    then, and if it is borne out: by the name that was asked for, by words of the item in the row (the whole prompt, where
    that is short), or by a passage that may be its prompt.
    """
    hints = said.row * items + said.item
    if likely is not None:
        hints = np.append(hints, likely.row * items + likely.item)
    borne = pairs.named | np.isin(pairs.rows * items + pairs.owners, hints)
    equal = pairs.tau >= SURE_TAU
    return np.asarray(
        (pairs.lengths >= SURE) | (equal & ((pairs.lengths >= SHORTEST) | (borne & (pairs.lengths >= BORNE))))
    )


def _said_inside(
    docs: Batch,
    found: Functions,
    functions: npt.NDArray[np.int64],
    items: npt.NDArray[np.int64],
    loaded: Loaded,
) -> npt.NDArray[np.bool_]:
    """bool[k]: whether the text of each function, which is its head and docstring above all, may be its item's prompt."""
    several, which = np.unique(functions, return_inverse=True)
    offsets, data = docs.utf8
    begins = offsets[np.searchsorted(found.rows, several, side="right") - 1]
    ranges = zip((begins + found.starts[several]).tolist(), (begins + found.stops[several]).tolist(), strict=True)
    texts = pa.array([data[a:b].tobytes().decode("utf-8", "replace") for a, b in ranges], pa.large_string())
    told = rephrased(Batch.of(texts), loaded.prompts, HINT_SCORE)
    many = len(loaded.items)
    return np.isin(which * many + items, told.row * many + told.item)


def screen(texts: Sequence[str], loaded: Loaded, least: Least | None = None) -> list[str | None]:
    """What each text has of a benchmark: ``benchmark_ngram: humaneval/HumanEval/0 (prompt, 0.83)``; None without.

    For texts that are few: prompts, seeds, answers of a model. The first hit is told, see ``Hits``.
    """
    hits = find(Batch.of(pa.array(list(texts), pa.large_string())), loaded)
    hits = hits.take((least or Least()).counted(hits))
    said: list[str | None] = [None] * len(texts)
    names, why = parts(), hits.reasons()
    for i in range(len(hits.row) - 1, -1, -1):
        item = loaded.items[int(hits.item[i])].as_py()
        said[hits.row[i]] = f"{why[i]}: {item} ({names[hits.part[i]]}, {hits.strength[i]:.2f})"
    return said


def spans_of(docs: Batch, hits: Hits, loaded: Loaded) -> tuple[npt.NDArray[np.int64], ...]:
    """Where hits lie: number of the hit, first byte of the row's text, byte behind the last; int64 each, by hit."""
    at = np.flatnonzero(hits.layer == WORDS)
    at = at[np.argsort(hits.row[at], kind="stable")]
    words = hits.take(at)
    asked = Overlaps(words.row, words.unit, words.strength, words.of_row, words.run)
    found = spans(docs.words("alphanumeric"), loaded.words, asked)
    other = np.flatnonzero(hits.layer != WORDS)
    owner = np.concatenate([np.repeat(at, np.diff(found.hits)), other])
    order = np.argsort(owner, kind="stable")
    begin = np.concatenate([found.starts.astype(np.int64), hits.start[other]])
    end = np.concatenate([found.stops.astype(np.int64), hits.stop[other]])
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
