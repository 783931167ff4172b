"""Byte-pair encoding of whole batches, with the very ids that the model's own library gives, many times as fast.

Texts are cut where no merge can pass (``piece_marks.py``); the parts repeat, so their ids are looked up (``bpe_cache.py``), and
what was not met before is merged (``bpe_merges.py``). Nothing is guessed: what can't be shown to give the library's ids is
not taken on, and the caller goes to the library.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.text.arrow import Bytes, Offsets, buffers, from_text
from curate.text.bpe_cache import Cache
from curate.text.bpe_merges import CHARACTER, Symbols, pair_table
from curate.text.piece_marks import Marks, neighbours, piece_marks
from curate.text.piece_model import BPE, BYTE, CONTROL, NORMAL, UNKNOWN, PieceModel
from curate.text.space_sign import SPACE, escape

__all__ = ["Encoder", "of_pieces"]

BLOCK: Final = 1 << 18
"""Bytes of text whose marks are made at once, whole rows: they stay in the processor's cache till they are used."""
_POINTS: Final = 0x110000


Cut = Callable[[Bytes, Offsets], tuple[Bytes, Offsets, Marks]]
"""What rows are to the model: their bytes, where each begins in them, where their segments begin."""


class Encoder:
    """Encodes batches of texts. What it keeps makes it quicker, never different; threads take turns."""

    def __init__(self, model: Symbols, cut: Cut, vocab_size: int) -> None:
        self._cut = cut
        self._cache = Cache(model)
        self._lock = threading.Lock()
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if vocab_size < 1 << 16 else np.uint32)

    def encode(self, text: pa.LargeStringArray) -> pa.LargeListArray:
        """The ids of each text (uint16, uint32 from a vocabulary of 65,536), without control symbols; of a null none."""
        offsets, data = buffers(text)
        found: list[npt.NDArray[Any]] = [np.zeros(0, self.dtype)]
        ends = np.zeros(len(offsets), np.int64)
        with self._lock:
            for first, last in _blocks(offsets):
                ids, stops = self._cache.encode(*self._cut(data, offsets[first : last + 1]))
                ends[first + 1 : last + 1] = ends[first] + stops
                found.append(ids.astype(self.dtype))
        return pa.LargeListArray.from_arrays(ends, pa.array(np.concatenate(found)))


def _blocks(offsets: Offsets) -> Iterator[tuple[int, int]]:
    """(first, last) rows of pieces of about BLOCK bytes, at least a row each."""
    first, rows = 0, len(offsets) - 1
    while first < rows:
        last = int(np.searchsorted(offsets, offsets[first] + BLOCK))
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


def of_pieces(data: bytes) -> Encoder | None:
    """An encoder with the ids of a SentencePiece model, texts escaped (``space_sign.py``), or None where the library has to do it.

    It has to where a model is no BPE (unigram sums scores over the whole text), changes texts, puts spaces in front or away,
    can't write a character in bytes, or has unused pieces (which are taken apart as they were made last, anywhere in the text).
    """
    model = PieceModel.read(data)
    plain = model.model_type == BPE and model.byte_fallback and model.escape_spaces and not model.space_behind
    if not plain or model.charsmap or model.dummy_prefix or model.remove_extra_spaces:
        return None
    if not set(model.types) <= {NORMAL, UNKNOWN, CONTROL, BYTE}:
        return None
    normal = {
        piece.replace(SPACE, " "): i
        for i, (piece, kind) in enumerate(zip(model.pieces, model.types, strict=True))
        if kind == NORMAL
    }
    if any(" " in piece for piece, kind in zip(model.pieces, model.types, strict=True) if kind == NORMAL):
        return None
    near = neighbours(normal)

    def cut(text: Bytes, rows: Offsets) -> tuple[Bytes, Offsets, Marks]:
        marks, plain = piece_marks(text, rows, near)
        if not plain:
            rows, text = buffers(escape(from_text(rows - rows[0], text[rows[0] : rows[-1]])))
            marks, _ = piece_marks(text, rows, near)
        return text, rows, marks

    return Encoder(_symbols(model, normal), cut, len(model.pieces))


def _symbols(model: PieceModel, normal: dict[str, int]) -> Symbols:
    of_point = np.zeros(_POINTS, np.uint32)
    of_byte = np.zeros(256, np.uint32)
    for i, (piece, kind) in enumerate(zip(model.pieces, model.types, strict=True)):
        # A character that is also the text of a control symbol gets the symbol's id from the library: there it comes first.
        if kind == BYTE:
            of_byte[int(piece[3:5], 16)] = i
        if len(piece) == 1 and (kind != NORMAL or not of_point[ord(piece.replace(SPACE, " "))]):
            of_point[ord(piece.replace(SPACE, " "))] = i + 1
    scores = np.array([model.scores[i] for i in normal.values()], np.float32)
    ranks = np.unique(-scores, return_inverse=True)[1]
    pairs = list[tuple[int, int, int, int]]()

    def symbol(part: str) -> int | None:
        if len(part) > 1:
            return normal.get(part)
        return int(of_point[ord(part)]) - 1 if of_point[ord(part)] else CHARACTER | ord(part)

    for (piece, i), rank in zip(normal.items(), ranks.tolist(), strict=True):
        for cut in range(1, len(piece)):
            left, right = symbol(piece[:cut]), symbol(piece[cut:])
            if left is not None and right is not None:
                pairs.append((left, right, rank, i))
    table = np.array(pairs, np.int64).reshape(-1, 4).T
    return Symbols(of_point, of_byte, False, pair_table(*table))
