"""SentencePiece models: those of ``train.tokenizer``, and any other that keeps texts.

Two things the library can not do by itself:

- It writes a space as U+2581 inside, so a U+2581 in a text would come back as a space. Before encoding, U+2581 becomes
  the two characters ESCAPE ``u`` and ESCAPE becomes ESCAPE ``e``; decoding turns them back. ESCAPE is a private-use
  character, so texts without it and without U+2581, nearly all, are encoded as they are. A U+2581 that comes out is a
  space, written in bytes by a model that has no piece for it (trained on a script without spaces).
- Its memory grows with the length of what it is given at once, tens of bytes a byte. A text of more than PIECE_BYTES is
  encoded in pieces, cut after the last line feed (else between two characters) within each PIECE_BYTES: a pure function
  of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError
from curate.stages import tokenizer
from curate.stages.tokenizer import PROBE, Tokenizer, as_lists, lists, pieces

MODEL_FILE: Final = "tokenizer.model"
PAD: Final = "<|pad|>"
ESCAPE: Final = "\ue581"
_SPACE: Final = "\u2581"


def escape(text: pa.Array) -> pa.Array:
    """Texts without U+2581, from which ``unescape`` restores the originals."""
    text = pc.replace_substring(text, ESCAPE, ESCAPE + "e")
    return pc.replace_substring(text, _SPACE, ESCAPE + "u")


def unescape(text: str) -> str:
    """The text that ``escape`` was given. In every escaped text an ESCAPE is followed by ``e`` or ``u``."""
    return text.replace(_SPACE, " ").replace(ESCAPE + "u", _SPACE).replace(ESCAPE + "e", ESCAPE)


class SentencePiece(Tokenizer):
    """A SentencePiece model by its bytes.

    Attributes:
        model: the library's processor; what a faster encoder reads pieces, scores and types from.
    """

    def __init__(self, model: bytes) -> None:
        """Raises RuntimeError where the library can't read it."""
        import sentencepiece

        self.model: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab_size = int(self.model.vocab_size())
        self.end_of_text = int(self.model.eos_id())
        self.padding = int(self.model.pad_id())
        if self.padding < 0:
            self.padding = self.end_of_text
        self._controls = {
            str(self.model.id_to_piece(i)): i for i in range(self.vocab_size) if bool(self.model.is_control(i))
        }
        if self.end_of_text < 0:
            self.lossy = "it has no end-of-text symbol"
        elif self.decode(next(lists(self.encode_slow(pa.array([PROBE], pa.large_string()))))) != PROBE:
            self.lossy = "white space or rare characters"

    def encode_slow(self, text: pa.LargeStringArray) -> pa.LargeListArray:
        """By the library; see the module for U+2581 and long texts."""
        escaped = escape(pc.fill_null(text, ""))
        lengths = pc.binary_length(escaped).to_numpy(zero_copy_only=False)
        limit = tokenizer.PIECE_BYTES
        if not len(lengths) or int(lengths.max()) <= limit:
            return as_lists(self._encode(escaped.to_pylist()), self.dtype)
        result: list[npt.ArrayLike] = []
        for row, length in zip(escaped, lengths.tolist(), strict=True):
            parts = [row.as_py()] if length <= limit else pieces(row.as_py(), limit)
            result.append(np.concatenate([self._encode([part])[0] for part in parts]))
        return as_lists(result, self.dtype)

    def _encode(self, texts: list[str]) -> list[npt.NDArray[np.int32]]:
        if not texts:
            return []
        if hasattr(self.model, "EncodeAsNumpy"):
            return list(self.model.encode(texts, out_type="numpy", num_threads=1))
        return [np.asarray(ids, dtype=np.int32) for ids in self.model.encode(texts, out_type=int, num_threads=1)]

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> str:
        """By the library."""
        return unescape(self.model.decode([int(i) for i in ids]))

    def control(self, name: str) -> int:
        """A symbol of the type CONTROL."""
        if name not in self._controls:
            raise InputError(
                f"the tokenizer has no control symbol '{name}'",
                cure=f"train it with 'special: [\"{name}\"]'; it has: {', '.join(self._controls) or 'none'}",
            )
        return self._controls[name]

    def controls(self) -> dict[str, int]:
        """Symbols of the type CONTROL."""
        return dict(self._controls)

    def piece(self, i: int) -> str:
        """A piece of text with U+2581 for a space, ``<0x0A>`` for a byte."""
        return str(self.model.id_to_piece(i))


def read(file: Path) -> SentencePiece:
    """The tokenizer of a model file; raises InputError for what is none, OSError for what can't be read."""
    model = file.read_bytes()
    try:
        return SentencePiece(model)
    except RuntimeError:
        raise InputError(
            "not a SentencePiece model", place=str(file), cure="train one with 'train.tokenizer'"
        ) from None
