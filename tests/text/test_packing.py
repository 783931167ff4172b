"""Packing against slow twins, and what it promises: nothing twice, nothing lost, nothing cut that fits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import packing_twins as twins
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.text.packed import fill, loss_mask, positions, segments, token_arrays
from curate.text.packing import Spans, best_fit, concat

LENGTHS = st.lists(st.one_of(st.integers(1, 9), st.integers(0, 60)), max_size=40)
SIZES = st.integers(2, 20)


def pieces(spans: Spans) -> list[twins.Piece]:
    columns = (spans.sequence, spans.at, spans.row, spans.start, spans.length)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def int64(lengths) -> np.ndarray:
    return np.array(lengths, np.int64)


@given(LENGTHS, SIZES, st.integers(1, 5))
@example([], 2, 1)
@example([4, 4], 4, 1)
def test_concat_windows_are_one_stream(lengths, size, per_window):
    """Windows of any number of sequences, each given just the documents that it needs, are the twin's one stream."""
    total = sum(lengths)
    for stop in (total // size * size, -(-total // size) * size):
        found = []
        for start in range(0, stop, per_window * size):
            end = min(start + per_window * size, stop)
            ends = np.cumsum(int64(lengths))
            first = int(np.searchsorted(ends, start, side="right"))
            last = min(int(np.searchsorted(ends, end)) + 1, len(lengths))
            before = int(ends[first - 1]) if first else 0
            spans = concat(int64(lengths[first:last]), size, before, start, end)
            assert spans.sequences * size == end - start
            found += [(s + start // size, a, r + first, b, n) for s, a, r, b, n in pieces(spans)]
        assert found == twins.concat(lengths, size, 0, 0, stop)
    whole = concat(int64(lengths), size)
    assert pieces(whole) == twins.concat(lengths, size, 0, 0, total // size * size)
    assert whole.padding == 0
    dropped = int64(lengths) - whole.packed(len(lengths))
    assert dropped.min(initial=0) >= 0
    assert dropped.sum() == total % size, "what is dropped is the unfilled sequence, counted by document"


@given(LENGTHS, SIZES)
@example([64, 65, 63, 127, 1], 64)
def test_best_fit_is_the_twins_and_cuts_nothing_that_fits(lengths, size):
    """Each token once; documents of up to a sequence whole; of longer ones full sequences and one rest."""
    spans = best_fit(int64(lengths), size)
    sequences, expected = twins.best_fit(lengths, size)
    assert (spans.sequences, pieces(spans)) == (sequences, expected)
    twins.Grid(pieces(spans), spans.sequences, size)
    assert spans.packed(len(lengths)).tolist() == lengths
    assert spans.tokens + spans.padding == spans.sequences * size
    cut = spans.cut(int64(lengths))
    assert [r for r, c in zip(spans.row.tolist(), cut.tolist(), strict=True) if not c] == [
        r for r in spans.row.tolist() if lengths[r] <= size
    ]
    for row, length in enumerate(lengths):
        own = sorted((s, n) for _, _, r, s, n in pieces(spans) if r == row)
        assert own == [(s, min(size, length - s)) for s in range(0, length, size)]


def test_best_fit_finds_room_far_away():
    """The least room that is enough, wherever it lies in the map of rooms: every pair of rooms at 10,000 tokens."""
    size, random = 10_000, np.random.default_rng(3)
    large = random.choice(np.arange(size // 2 + 1, size), 60, replace=False)
    small = random.integers(1, size // 2, 60)
    lengths = np.concatenate([large, small]).tolist()
    spans = best_fit(int64(lengths), size)
    assert (spans.sequences, pieces(spans)) == twins.best_fit(lengths, size)
    # Each small one has a large one that it fills to the last place.
    exact = best_fit(int64([*large, *(size - large)]), size)
    assert (exact.sequences, exact.padding) == (60, 0)


@given(LENGTHS, SIZES, st.booleans(), st.randoms(use_true_random=False))
def test_columns_are_the_twins(lengths, size, fitted, random):
    """Ids, positions, targets (with runs of chats and without) and segments, sequence by sequence."""
    lengths = [n for n in lengths if n]
    total = sum(lengths)
    spans = best_fit(int64(lengths), size) if fitted else concat(int64(lengths), size, stop=-(-total // size) * size)
    grid = twins.Grid(pieces(spans), spans.sequences, size)
    documents, runs, trained = [], [], []
    for n in lengths:
        documents.append([random.randrange(10, 60_000) for _ in range(n - 1)])
        kind = [random.random() < 0.5 for _ in range(n - 1)]
        turns, state = [], False
        for target in kind:
            if target == state and turns:
                turns[-1] += 1
            else:
                turns += [0, 1] if target and not turns else [1]
                state = target
        said = random.random() < 0.7
        runs.append(turns if said else None)
        trained.append([*kind, bool(kind and kind[-1])] if said else [True] * n)
    for dtype, kind in ((np.uint16, "<u2"), (np.uint32, "<u4")):
        column = pa.array([np.array(d, kind).tobytes() for d in [[7], *documents]], pa.large_binary()).slice(1)
        values, offsets = token_arrays(column, dtype)
        ids = fill(values, offsets, spans, 1, 3)
        assert ids.dtype == dtype
        assert ids.tolist() == grid.tokens([[*d, 1] for d in documents], 3)
        parts = [fill(values, offsets, some, 1, 3) for some in spans.batches(2)]
        assert [row for part in parts for row in part.tolist()] == ids.tolist()
    assert positions(spans).tolist() == grid.positions()
    assert loss_mask(spans).tolist() == grid.mask([[True] * n for n in lengths])
    chats = pa.array([[9], *runs], pa.list_(pa.int32())).slice(1)
    assert loss_mask(spans, chats).tolist() == grid.mask(trained)
    found = segments(spans)
    assert found.to_pylist() == grid.segments()
    assert all(sum(s) == size for s in found.to_pylist())


def test_a_last_token_never_predicts_the_next_document():
    """Over all pairs of neighbours: a target's neighbour is the token before it in the same copy of the same document."""
    lengths = int64([3, 1, 5, 20, 2, 2, 7, 1, 1])
    for spans in (best_fit(lengths, 8), concat(lengths, 8, stop=48)):
        mask, grid = loss_mask(spans), twins.Grid(pieces(spans), spans.sequences, 8)
        assert not mask[:, 0].any()
        for cells, targets in zip(grid.cells, mask.tolist(), strict=True):
            for (a, b), target in zip(pairwise(cells), targets[1:], strict=True):
                assert target == (a is not None and b is not None and b == (a[0], a[1] + 1))


def test_what_is_no_window_or_no_token_is_refused():
    """A window that is no multiple, one without its first document, spans of documents that are shorter."""
    for before, start, stop in ((0, 0, 7), (4, 0, 4), (0, 8, 4)):
        with pytest.raises(ValueError, match="no window of sequences of 4"):
            concat(int64([9]), 4, before, start, stop)
    spans = concat(int64([9]), 4, stop=12)
    with pytest.raises(ValueError, match="behind the end-of-text token of its document, row 0"):
        fill(np.zeros(5, np.uint16), int64([0, 5]), spans, 1, 0)
    nulls = pa.array([None, b"\x01\x00"], pa.large_binary())
    values, offsets = token_arrays(nulls, np.uint16)
    assert fill(values, offsets, concat(int64([1, 2]), 3), 9, 0).tolist() == [[9, 1, 9]]


def test_the_example_of_the_docs():
    """docs/shards.md shows what comes out, column by column."""
    shown = (Path(__file__).parents[2] / "docs/shards.md").read_text(encoding="utf-8")
    lengths = int64([5, 2, 4, 9])
    ids = [ord(c) for c, n in zip("ABCD", lengths, strict=True) for _ in range(n)]
    offsets = np.concatenate([[0], np.cumsum(lengths)])

    def letters(spans: Spans) -> str:
        rows = fill(np.array(ids, np.uint16), offsets, spans, 0, ord("_"))
        return " ".join("".join(map(chr, row)) for row in rows.tolist())

    fitted = best_fit(lengths, 8)
    assert f"\nconcat    {letters(concat(lengths, 8))} " in shown
    assert f"\nbest-fit  {letters(fitted)}\n" in shown
    for name, column in (
        ("position_ids", positions(fitted).tolist()),
        ("segments", segments(fitted).to_pylist()),
        ("loss_mask", loss_mask(fitted).tolist()),
    ):
        line = next(line for line in shown.splitlines() if line.startswith(f"{name}  "))
        assert line.removeprefix(name).split() == [str(v) for row in column[1:] for v in row]
