"""Symbols and merges of a byte-level vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.text.bpe_merges import POINTS, SHORT, Symbols, merge, pair_table, symbols_of
from curate.text.fixed_strings import Fixed

__all__ = ["byte_symbols"]


def byte_symbols(
    vocabulary: Sequence[bytes], merges: Sequence[tuple[int, int]] | None, fixed: Fixed, *, whole: bool
) -> Symbols | None:
    """Of the bytes of each id (empty: no text has it), the pairs that merge in order (None: all that have an id, the lowest first).

    None where a byte has no id; or where merges don't reach an id that a pre-token gets for being its text (``whole``, and always where
    there is no list of merges).
    """
    ids = {text: i for i, text in enumerate(vocabulary) if text}
    if any(bytes([byte]) not in ids for byte in range(256)):
        return None
    of_point = np.zeros(POINTS, np.uint32)
    of_point[:256] = [ids[bytes([byte])] + 1 for byte in range(256)]
    pairs = list[tuple[int, int, int, int]]()
    if merges is not None:
        for rank, (left, right) in enumerate(merges):
            to = ids.get(vocabulary[left] + vocabulary[right])
            if to is None:
                return None
            pairs.append((left, right, rank, to))
    else:
        for text, i in ids.items():
            for cut in range(1, len(text)):
                if text[:cut] in ids and text[cut:] in ids:
                    pairs.append((ids[text[:cut]], ids[text[cut:]], i, i))
    table = np.array(pairs, np.int64).reshape(-1, 4).T
    symbols = Symbols(of_point, np.zeros(256, np.uint32), True, pair_table(*table), fixed)
    if (whole or merges is None) and not all(_reached(text, i, symbols) for text, i in ids.items()):
        return None
    return symbols


def _reached(text: bytes, i: int, model: Symbols) -> bool:
    work = np.empty(len(text), np.uint32)
    data = np.frombuffer(text, np.uint8)
    count = merge(work, symbols_of(data, 0, len(text), model, work), np.empty(SHORT, np.uint64), model)
    return count == 1 and int(work[0]) == i
