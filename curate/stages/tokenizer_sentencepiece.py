"""SentencePiece models: those of ``train.tokenizer``, and any other that keeps texts.

The library writes a space as U+2581, so a U+2581 in a text would come back as a space: texts are escaped first
(``curate.text.space_sign``). A U+2581 that comes out is a space, written in bytes by a model that has no piece for it
(trained on a script without spaces). A space that a model puts in front of every text it takes away again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError
from curate.stages.tokenizer import Tokenizer
from curate.text.piece_model import BYTE, CONTROL, PieceModel
from curate.text.space_sign import escape, unescape

if TYPE_CHECKING:
    from curate.text.encoder import Encoder

MODEL_FILE: Final = "tokenizer.model"
PAD: Final = "<|pad|>"


class SentencePiece(Tokenizer):
    """A SentencePiece model by its bytes.

    Attributes:
        proto: the model's bytes.
        library: the library's processor.
    """

    def __init__(self, proto: bytes) -> None:
        """Raises RuntimeError or ValueError where the bytes are no model."""
        import sentencepiece

        self.proto = proto
        self.library: Any = sentencepiece.SentencePieceProcessor(model_proto=proto)
        model = PieceModel.read(proto)
        self.vocab_size = len(model.pieces)
        self.end_of_text = int(self.library.eos_id())
        self.padding = int(self.library.pad_id())
        if self.padding < 0:
            self.padding = self.end_of_text
        self._controls = {p: i for i, p in enumerate(model.pieces) if model.types[i] == CONTROL}
        self.in_pieces = not model.dummy_prefix
        self.lossy = _why(model, self.end_of_text)

    @cached_property
    def _encoder(self) -> Encoder | None:
        from curate.text.encoder import of_pieces

        return of_pieces(self.proto)

    def _encode(self, texts: list[str]) -> Sequence[npt.ArrayLike]:
        texts = escape(pa.array(texts, pa.large_string())).to_pylist()
        if hasattr(self.library, "EncodeAsNumpy"):
            return list(self.library.encode(texts, out_type="numpy", num_threads=1)) if texts else []
        return list(self.library.encode(texts, out_type=int, num_threads=1)) if texts else []

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> str:
        """By the library."""
        return unescape(self.library.decode([int(i) for i in ids]))

    def controls(self) -> dict[str, int]:
        """Symbols of the type CONTROL."""
        return dict(self._controls)

    def piece(self, i: int) -> str:
        """A piece of text with U+2581 for a space, ``<0x0A>`` for a byte."""
        return str(self.library.id_to_piece(i))


def _why(model: PieceModel, end_of_text: int) -> str:
    """What a model does to texts, in a few words; empty if nothing."""
    changes = []
    if end_of_text < 0:
        changes.append("it has no symbol that ends a text")
    if model.charsmap:
        changes.append("it folds characters (its normalisation is not 'identity')")
    if model.remove_extra_spaces:
        changes.append("it drops white space")
    if not model.escape_spaces:
        changes.append("it has no sign for a space")
    if not model.byte_fallback or model.types.count(BYTE) != 256:
        changes.append("it has no bytes for characters that it does not know")
    return ", ".join(changes)


def read(file: Path) -> SentencePiece:
    """The tokenizer of a model file; raises InputError for what is none, OSError for what can't be read."""
    model = file.read_bytes()
    try:
        return SentencePiece(model)
    except (RuntimeError, ValueError):
        raise InputError(
            "not a SentencePiece model", place=str(file), cure="train one with 'train.tokenizer'"
        ) from None
