# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What packed sequences hold: tokens, positions, which tokens are targets, where documents begin and end.

All take ``Spans`` (see ``curate.text.packing``); ``sequences`` and ``size`` below are theirs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.arrow import Offsets, buffers
from curate.text.packing import Spans, readable
from curate.text.swar import copy

__all__ = ["fill", "loss_mask", "positions", "segments", "token_arrays"]


def token_arrays(tokens: pa.Array | pa.ChunkedArray, dtype: npt.DTypeLike) -> tuple[npt.NDArray[Any], Offsets]:
    """(Tokens of all rows, int64[n + 1] where each row's begin) of a large_binary column of little-endian integers.

    Zero copy for one chunk without nulls; a null has no tokens. ``dtype`` is uint16 or uint32.
    """
    offsets, data = buffers(tokens)
    width = np.dtype(dtype).itemsize
    whole = data[: len(data) // width * width].view(dtype)
    return whole, readable(offsets // width, np.int64)


def fill(values: npt.NDArray[Any], offsets: Offsets, spans: Spans, end_of_text: int, padding: int) -> npt.NDArray[Any]:
    """The tokens of each sequence, [sequences, size], of the type of ``values``.

    Args:
        values: uint16 or uint32, the tokens of all documents, without end-of-text.
        offsets: int64[n + 1]: document ``row`` has ``values[offsets[row]:offsets[row + 1]]``.
        end_of_text: stands behind each document, as its last token.
        padding: stands where no document does.

    Raises ValueError for spans of longer documents than those given.
    """
    out = np.full(spans.sequences * spans.size, padding, values.dtype)
    begins, rows, starts, lengths = _places(spans)
    bad = _fill(
        readable(values, values.dtype), readable(offsets, np.int64), begins, rows, starts, lengths, end_of_text, out
    )
    if bad >= 0:
        raise ValueError(f"a piece ends behind the end-of-text token of its document, row {spans.row[bad]}")
    return out.reshape(spans.sequences, spans.size)


def _places(spans: Spans) -> tuple[npt.NDArray[Any], ...]:
    """Where each piece begins among the places of all sequences, its row, start and length: int64[m] each."""
    begins = spans.sequence * spans.size + spans.at
    return tuple(readable(column, np.int64) for column in (begins, spans.row, spans.start, spans.length))


@njit(nogil=True, cache=True)
def _fill(values, offsets, begins, rows, starts, lengths, end, out):
    """-1, or the piece that is longer than what is left of its document."""
    for k in range(len(begins)):
        source = offsets[rows[k]] + starts[k]
        there = min(lengths[k], offsets[rows[k] + 1] - source)
        if there < lengths[k] - 1:
            return k
        to = begins[k]
        copy(out, to, values, source, max(there, 0))
        if there < lengths[k]:
            out[to + there] = end
    return -1


def positions(spans: Spans) -> npt.NDArray[np.int32]:
    """int32[sequences, size]: the place of each token in its piece, from 0 on; padding is a piece of its own.

    A piece that goes on with a document that was cut begins with 0, too: nothing before it can be seen.
    """
    out = np.empty(spans.sequences * spans.size, np.int32)
    begins, _, _, lengths = _places(spans)
    _positions(spans.size, begins, lengths, out)
    return out.reshape(spans.sequences, spans.size)


@njit(nogil=True, cache=True)
def _positions(size, begins, lengths, out):
    done = 0
    for k in range(len(begins) + 1):
        begin = begins[k] if k < len(begins) else len(out)
        while done < begin:  # padding: what is left of each sequence
            upto = min(begin, (done // size + 1) * size)
            for i in range(upto - done):
                out[done + i] = i
            done = upto
        if k < len(begins):
            for i in range(lengths[k]):
                out[begin + i] = i
            done = begin + lengths[k]


def loss_mask(spans: Spans, trained: pa.ListArray | None = None) -> npt.NDArray[np.uint8]:
    """uint8[sequences, size]: 1 where the token is a target, which those before it in the sequence are to predict.

    0 on padding, and on the first token of each piece: there is nothing before it, or another document's last token.

    Args:
        trained: a row for each document (list of int32): the lengths of runs of its tokens that are not targets and that
            are, in turns, beginning with not. What stands behind the last run (end-of-text) goes with it. Null: all are.
    """
    out = np.zeros(spans.sequences * spans.size, np.uint8)
    begins, rows, starts, lengths = _places(spans)
    if trained is None:
        _mask_all(begins, lengths, out)
    else:
        runs = readable(trained.flatten().to_numpy(zero_copy_only=False), np.int64)
        counts = trained.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        ends = readable(np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]), np.int64)
        every = readable(trained.is_null().to_numpy(zero_copy_only=False), np.bool_)
        _mask_runs(begins, rows, starts, lengths, runs, ends, every, out)
    return out.reshape(spans.sequences, spans.size)


@njit(nogil=True, cache=True)
def _mask_all(begins, lengths, out):
    for k in range(len(begins)):
        out[begins[k] + 1 : begins[k] + lengths[k]] = 1


@njit(nogil=True, cache=True)
def _mask_runs(begins, rows, starts, lengths, runs, ends, every, out):
    for k in range(len(begins)):
        i, start, stop = rows[k], starts[k], starts[k] + lengths[k]
        if every[i]:
            out[begins[k] + 1 : begins[k] + lengths[k]] = 1
            continue
        low = np.int64(0)
        for run in range(ends[i], ends[i + 1]):
            high = low + runs[run] if run + 1 < ends[i + 1] else max(low + runs[run], stop)
            if (run - ends[i]) & 1:
                for token in range(max(low, start + 1), min(high, stop)):
                    out[begins[k] + token - start] = 1
            low = high
            if low >= stop:
                break


def segments(spans: Spans) -> pa.ListArray:
    """The lengths of the pieces of each sequence, in order (list of int32); padding is the last one where there is any.

    They sum up to ``size``: their running sums are what attention over packed documents takes as ``cu_seqlens``.
    """
    sequence, lengths = readable(spans.sequence, np.int64), readable(spans.length, np.int32)
    values, offsets = _segments(spans.sequences, spans.size, sequence, lengths)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


@njit(nogil=True, cache=True)
def _segments(sequences, size, sequence, lengths):
    values = np.empty(len(sequence) + sequences, np.int32)
    offsets = np.zeros(sequences + 1, np.int32)
    k = to = 0
    for number in range(sequences):
        left = np.int64(size)
        while k < len(sequence) and sequence[k] == number:
            values[to] = lengths[k]
            left -= lengths[k]
            k += 1
            to += 1
        if left:
            values[to] = left
            to += 1
        offsets[number + 1] = to
    return values[:to], offsets
