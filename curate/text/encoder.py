"""Byte-pair encoding of whole batches, with the very ids that the model's own library gives, many times as fast.

Texts are cut where no merge can pass (``piece_marks.py``, ``pretokens.py``); the parts repeat, so their ids are looked up
(``bpe_cache.py``), and what was not met before is merged (``bpe_merges.py``). Nothing is guessed: what can't be shown to give the
library's ids is not taken on, and the caller goes to the library.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.text.arrow import Bytes, Offsets, buffers, from_text
from curate.text.bpe_cache import Cache
from curate.text.bpe_merges import Symbols
from curate.text.byte_symbols import byte_symbols
from curate.text.fixed_strings import fixed_strings
from curate.text.piece_marks import Marks, neighbours, piece_marks
from curate.text.piece_model import PieceModel
from curate.text.piece_symbols import mergeable, piece_symbols
from curate.text.pretokens import PATTERNS, classes, pretoken_marks
from curate.text.space_sign import escape

__all__ = ["Encoder", "of_bytes", "of_pieces"]

BLOCK: Final = 1 << 18
"""Bytes of text whose marks are made at once, whole rows: they stay in the processor's cache till they are used."""

Library = Callable[[pa.LargeStringArray], pa.LargeListArray]
"""What the library gives for some texts."""
Cut = Callable[[Bytes, Offsets], tuple[Bytes, Offsets, Marks, npt.NDArray[np.bool_] | None]]
"""What rows are to the model: their bytes, where each begins in them, where their segments begin; rows that the library has to do."""


class Encoder:
    """Encodes batches of texts. What it keeps makes it quicker, never different; threads take turns."""

    def __init__(self, model: Symbols, cut: Cut, vocab_size: int, library: Library | None = None) -> None:
        self._cut = cut
        self._cache = Cache(model)
        self._library = library
        self._lock = threading.Lock()
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if vocab_size < 1 << 16 else np.uint32)

    def encode(self, text: pa.LargeStringArray) -> pa.LargeListArray:
        """The ids of each text (uint16, uint32 from a vocabulary of 65,536), without control symbols; of a null none."""
        offsets, data = buffers(text)
        found: list[npt.NDArray[Any]] = [np.zeros(0, self.dtype)]
        ends = np.zeros(len(offsets), np.int64)
        left = np.zeros(len(offsets) - 1, np.bool_)
        with self._lock:
            for first, last in _blocks(offsets):
                raw, rows, marks, unsure = self._cut(data, offsets[first : last + 1])
                ids, stops = self._cache.encode(raw, rows, marks)
                ends[first + 1 : last + 1] = ends[first] + stops
                found.append(ids.astype(self.dtype))
                if unsure is not None:
                    left[first:last] = unsure
        result = pa.LargeListArray.from_arrays(ends, pa.array(np.concatenate(found)))
        return self._with_the_librarys(result, text, np.flatnonzero(left)) if left.any() else result

    def _with_the_librarys(
        self, lists: pa.LargeListArray, text: pa.LargeStringArray, rows: npt.NDArray[np.int64]
    ) -> pa.LargeListArray:
        """The lists, those of some rows by the library."""
        if self._library is None:
            raise RuntimeError("rows left to a library that is not there")
        theirs = self._library(text.take(pa.array(rows)))
        parts, done = [], 0
        for i, row in enumerate(rows.tolist()):
            parts += [lists[done:row], theirs[i : i + 1]]
            done = row + 1
        return pa.concat_arrays([*parts, lists[done:]])


def _blocks(offsets: Offsets) -> Iterator[tuple[int, int]]:
    """(first, last) rows of pieces of about BLOCK bytes, at least a row each."""
    first, rows = 0, len(offsets) - 1
    while first < rows:
        last = int(np.searchsorted(offsets, offsets[first] + BLOCK))
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


def of_pieces(data: bytes) -> Encoder | None:
    """An encoder with the ids of a SentencePiece model, texts escaped (``space_sign.py``); None: the library has to do it.

    It has to where a model is no BPE (unigram sums scores over the whole text), changes texts, can't write a character in bytes,
    or has unused pieces (which are taken apart as they were made last, anywhere in the text). Raises ValueError for no model.
    """
    model = PieceModel.read(data)
    normal = mergeable(model)
    if normal is None:
        return None
    symbols = piece_symbols(model, normal)
    if symbols is None:
        return None
    near, fixed = neighbours(normal), symbols.fixed

    def cut(text: Bytes, rows: Offsets) -> tuple[Bytes, Offsets, Marks, None]:
        if model.dummy_prefix:
            rows, text = buffers(_with_space(text, rows))
        marks, plain = piece_marks(text, rows, near, fixed)
        if not plain:
            rows, text = buffers(escape(from_text(rows - rows[0], text[rows[0] : rows[-1]])))
            marks, _ = piece_marks(text, rows, near, fixed)
        return text, rows, marks, None

    return Encoder(symbols, cut, len(model.pieces))


def _with_space(text: Bytes, rows: Offsets) -> pa.LargeStringArray:
    """The same rows, a space before each that is not empty."""
    full = np.diff(rows) > 0
    before = np.concatenate([[0], np.cumsum(full)])
    return from_text(
        rows - rows[0] + before, np.insert(text[rows[0] : rows[-1]], (rows[:-1] - rows[0])[full], ord(" "))
    )


def of_bytes(
    vocabulary: Sequence[bytes],
    merges: Sequence[tuple[int, int]] | None,
    pattern: str,
    added: Mapping[bytes, int],
    library: Library,
    *,
    whole: bool = False,
) -> Encoder | None:
    """An encoder with the ids of a byte-level vocabulary; None: the library has to do it.

    vocabulary: the bytes of each id, empty for control symbols and added tokens. merges: pairs of ids in the order of their
    ranks, as ``tokenizers`` has them; None: whatever together has an id is merged, the lowest id first, as tiktoken does.
    pattern: the regular expression that splits texts. added: strings that are one token, found before the pattern, the longest
    first. library: encodes rows with code points that are not in our tables of Unicode. whole: a pre-token that is the text of an
    id gets it, whatever merges would give (tiktoken always, ``ignore_merges`` of ``tokenizers``).
    """
    split, fixed = PATTERNS.get(pattern), fixed_strings(added)
    symbols = byte_symbols(vocabulary, merges, fixed, whole=whole) if fixed is not None else None
    if split is None or fixed is None or symbols is None:
        return None

    def cut(text: Bytes, rows: Offsets) -> tuple[Bytes, Offsets, Marks, npt.NDArray[np.bool_]]:
        unsure = np.zeros(len(rows) - 1, np.bool_)
        return text, rows, pretoken_marks(text, rows, classes(), split, fixed, unsure), unsure

    size = max(len(vocabulary), 1 + max(added.values(), default=0))
    return Encoder(symbols, cut, size, library)
