"""Speed of packing and of what packed sequences hold, in MB of token bytes; each row notes its share of padding.

A window is 4,096 sequences of 2,048 uint16 tokens. Documents have the lengths of the corpus's at four bytes a token: what
packing costs depends on lengths alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from curate.text.packed import fill, loss_mask, positions, segments
from curate.text.packing import Spans, best_fit, concat
from tests.bench.measure import Row, corpus, peak_mb, seconds

SIZE, SEQUENCES, WINDOWS = 2048, 4096, 2
BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Window:
    """Lengths of documents with end-of-text, and their tokens without."""

    lengths: np.ndarray
    values: np.ndarray
    offsets: np.ndarray


def window(lengths: np.ndarray, number: int) -> Window:
    """Documents drawn from those of the corpus, as many as fill a window; no one twice while there are others."""
    random, drawn = np.random.default_rng(number), np.zeros(0, np.int64)
    while drawn.sum() < SIZE * SEQUENCES:
        drawn = np.concatenate([drawn, random.permutation(lengths)])
    drawn = drawn[: int(np.searchsorted(np.cumsum(drawn), SIZE * SEQUENCES)) + 1]
    values = random.integers(3, 60_000, int((drawn - 1).sum()), np.uint16)
    return Window(drawn, values, np.concatenate([[0], np.cumsum(drawn - 1)]))


def case(
    name: str, some: list[Window], pack: Callable[[np.ndarray], Spans], use: Callable[[Spans, Window], object]
) -> Row:
    """Pack each window and do something with it."""
    Path("/proc/self/clear_refs").write_text("5")
    taken = seconds(lambda: [use(pack(one.lengths), one) for one in some], 5, time.process_time)
    packed = [pack(one.lengths) for one in some]
    mb = sum(2 * int(one.lengths.sum()) for one in some) / 1e6
    share = sum(spans.padding for spans in packed) / sum(spans.sequences * SIZE for spans in packed)
    return {
        "name": name, "cores": 1, "clock": "cpu", "mb": round(mb, 3), "docs": sum(len(one.lengths) for one in some),
        "seconds": taken, "mb_per_s": mb / statistics.median(taken), "peak_rss_mb": peak_mb(), "padding": share,
        "note": f"{share:.3%} padding",
    }  # fmt: skip


def packing() -> Iterator[Row]:
    """Both ways to pack, alone and with the tokens filled in; then each further column, packing in it."""
    lengths = np.array([len(text.encode()) // BYTES_PER_TOKEN + 1 for text in corpus(200)], np.int64)
    some = [window(lengths, number) for number in range(WINDOWS)]

    def filled(spans: Spans, one: Window) -> object:
        return fill(one.values, one.offsets, spans, 1, 0)

    stream, fitted = partial(concat, size=SIZE), partial(best_fit, size=SIZE)
    for name, pack in (("concat", stream), ("best-fit", fitted)):
        yield case(name, some, pack, lambda spans, _: spans)
        yield case(f"{name}, fill", some, pack, filled)
    yield case("best-fit, positions", some, fitted, lambda spans, _: positions(spans))
    yield case("best-fit, loss_mask", some, fitted, lambda spans, _: loss_mask(spans))
    yield case("best-fit, segments", some, fitted, lambda spans, _: segments(spans))
