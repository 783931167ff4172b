"""A tokenizer that loses nothing: ``decode(encode(text)) == text`` for every valid text.

SentencePiece, with the settings under which it changes no character (see ``train_tokenizer.py``), and two things it can
not do by itself:

- It writes a space as U+2581 inside, so a U+2581 in a text would come back as a space. Before encoding, U+2581 becomes
  the two characters ESCAPE ``u`` and ESCAPE becomes ESCAPE ``e``; decoding turns them back. ESCAPE is a private-use
  character, so texts without it and without U+2581, nearly all, are encoded as they are. A U+2581 that comes out is a
  space, written in bytes by a model that has no piece for it (trained on a script without spaces).
- Its memory grows with the length of what it is given at once, tens of bytes a byte. A text of more than PIECE_BYTES is
  encoded in pieces, cut after the last line feed (else between two characters) within each PIECE_BYTES: a pure function
  of the text.

The control symbols (end of text, padding) are never made from text: a literal ``<|endoftext|>`` is encoded as characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError

MODEL_FILE: Final = "tokenizer.model"
END_OF_TEXT: Final = "<|endoftext|>"
PAD: Final = "<|pad|>"
ESCAPE: Final = "\ue581"
PIECE_BYTES: Final = 1 << 20

_SPACE: Final = "\u2581"
Ids = npt.NDArray[np.int32]


def escape(text: pa.Array) -> pa.Array:
    """Texts without U+2581, from which ``unescape`` restores the originals."""
    text = pc.replace_substring(text, ESCAPE, ESCAPE + "e")
    return pc.replace_substring(text, _SPACE, ESCAPE + "u")


def unescape(text: str) -> str:
    """The text that ``escape`` was given. In every escaped text an ESCAPE is followed by ``e`` or ``u``."""
    return text.replace(_SPACE, " ").replace(ESCAPE + "u", _SPACE).replace(ESCAPE + "e", ESCAPE)


def pieces(text: str, limit: int) -> Iterator[str]:
    """The text in pieces of at most ``limit`` bytes (at least 4), cut after line feeds where there are any."""
    raw = text.encode()
    start = 0
    while len(raw) - start > limit:
        stop = raw.rfind(b"\n", start, start + limit) + 1
        if stop <= start:
            stop = start + limit
            while raw[stop] & 0xC0 == 0x80:
                stop -= 1
        yield raw[start:stop].decode()
        start = stop
    if start < len(raw):
        yield raw[start:].decode()


class Tokenizer:
    """A trained SentencePiece model as this project uses it.

    Attributes:
        vocab_size: number of ids.
        end_of_text: id that a writer puts after each document.
        padding: id for padding.
    """

    def __init__(self, model: bytes) -> None:
        import sentencepiece

        self._model: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab_size = int(self._model.vocab_size())
        self.end_of_text = int(self._model.eos_id())
        self.padding = int(self._model.pad_id())

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """The tokenizer in a folder (or a model file); raises InputError if there is none that loses nothing."""
        file = path / MODEL_FILE if path.is_dir() else path
        try:
            tokenizer = cls(file.read_bytes())
        except OSError as error:
            raise InputError(
                f"no tokenizer: {error.strerror}", place=str(file), cure="train one with 'train.tokenizer'"
            ) from None
        except RuntimeError:
            raise InputError(
                "not a SentencePiece model", place=str(file), cure="train one with 'train.tokenizer'"
            ) from None
        probe = " a\n\tb \x00\u2581\U0001f600  "
        if tokenizer.decode(tokenizer.encode(pa.array([probe], pa.large_string()))[0]) != probe:
            raise InputError(
                "this SentencePiece model changes texts (white space or rare characters)",
                place=str(file),
                cure="train one with 'train.tokenizer'",
            )
        return tokenizer

    def encode(self, text: pa.LargeStringArray) -> list[Ids]:
        """One int32 array of ids a row, without control symbols; a null is encoded as an empty text."""
        escaped = escape(pc.fill_null(text, ""))
        lengths = pc.binary_length(escaped).to_numpy(zero_copy_only=False)
        if not len(lengths) or int(lengths.max()) <= PIECE_BYTES:
            return self._encode(escaped.to_pylist())
        result: list[Ids] = []
        for row, length in zip(escaped, lengths.tolist(), strict=True):
            parts = [row.as_py()] if length <= PIECE_BYTES else pieces(row.as_py(), PIECE_BYTES)
            result.append(np.concatenate([self._encode([part])[0] for part in parts]))
        return result

    def _encode(self, texts: list[str]) -> list[Ids]:
        if not texts:
            return []
        if hasattr(self._model, "EncodeAsNumpy"):
            return list(self._model.encode(texts, out_type="numpy", num_threads=1))
        return [np.asarray(ids, dtype=np.int32) for ids in self._model.encode(texts, out_type=int, num_threads=1)]

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of some ids; control symbols have none. Ids that are no whole characters become U+FFFD."""
        return unescape(self._model.decode([int(i) for i in ids]))

    def piece(self, i: int) -> str:
        """How an id is written in the model: a piece of text with U+2581 for a space, ``<0x0A>`` for a byte."""
        return str(self._model.id_to_piece(i))


def load(folder: Path) -> Tokenizer:
    """The tokenizer in a folder, read once per process and again when it has changed."""
    file = folder / MODEL_FILE if folder.is_dir() else folder
    stat = file.stat() if file.is_file() else None
    return _load(folder.absolute(), (stat.st_size, stat.st_mtime_ns, stat.st_ino) if stat else None)


@lru_cache(maxsize=4)
def _load(folder: Path, stat: tuple[int, ...] | None) -> Tokenizer:  # noqa: ARG001 - part of the cache's key
    return Tokenizer.load(folder)
