"""What a tokenizer is here, whoever made it: ids of a column of texts that lose nothing, and control symbols beside them.

Every tokenizer gives ``decode(encode(text)) == text`` for each valid text, and never makes a control symbol (end of
text, padding, the roles of a chat) from text: a literal ``<|endoftext|>`` in a document is encoded as its characters.
One whose files would break either is refused when it is loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError

END_OF_TEXT: Final = "<|endoftext|>"
CONFIG_FILE: Final = "tokenizer_config.json"
"""What Hugging Face writes beside a tokenizer: which of its symbols ends a text, which one pads."""
PIECE_BYTES: Final = 1 << 20
"""Libraries' memory grows with what they are given at once: see ``pieces``."""
PROBE: Final = " a\n\tb  c \r\n\x00\u2581\ue581 e\u0301\u00e9\ufb01\u00b2 12345 \U0001f600 <|endoftext|> <s>  "
"""Comes back from a tokenizer that loses nothing, and has no control symbol in it."""

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


class Tokenizer(ABC):
    """Texts to ids and back.

    Attributes:
        vocab_size: number of ids; each is below it.
        end_of_text: id that a writer puts after each document.
        padding: id for padding; ``end_of_text`` where the vocabulary has none.
        lossy: why texts may not come back as they were, in a few words; empty: they do. Such a tokenizer decodes what
            others encoded; ``load`` refuses it.
    """

    vocab_size: int
    end_of_text: int
    padding: int
    lossy: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 where the vocabulary has less than 65,536 ids, else uint32."""
        return id_type(self.vocab_size)

    def encode(self, text: pa.LargeStringArray) -> pa.LargeListArray:
        """A list of ids (of ``dtype``) for each row, without control symbols; a null is encoded as an empty text."""
        return self.encode_slow(text)

    @abstractmethod
    def encode_slow(self, text: pa.LargeStringArray) -> pa.LargeListArray:
        """The same by the library alone: what ``encode`` must equal."""

    @abstractmethod
    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> str:
        """The text of some ids; control symbols have none. Ids that are no whole characters become U+FFFD."""

    @abstractmethod
    def control(self, name: str) -> int:
        """The id of a control symbol (``<|im_start|>``); raises InputError where the vocabulary has none of that name."""

    @abstractmethod
    def controls(self) -> dict[str, int]:
        """All control symbols by name: ids that no text is encoded to."""

    @abstractmethod
    def piece(self, i: int) -> str:
        """How an id is written in the vocabulary, for people."""


def id_type(vocab_size: int) -> np.dtype[Any]:
    """uint16 below a vocabulary of 65,536, else uint32."""
    return np.dtype(np.uint16 if vocab_size < 1 << 16 else np.uint32)


def as_lists(rows: Sequence[npt.ArrayLike], dtype: np.dtype[Any]) -> pa.LargeListArray:
    """Rows of ids as one large_list array of ``dtype``, without nulls."""
    arrays = [np.asarray(row, dtype) for row in rows]
    offsets = np.zeros(len(arrays) + 1, np.int64)
    np.cumsum([len(a) for a in arrays], out=offsets[1:])
    values = np.concatenate(arrays) if arrays else np.zeros(0, dtype)
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))


def lists(ids: pa.LargeListArray) -> Iterator[Ids]:
    """The rows of what ``encode`` gave as numpy arrays, without a copy."""
    offsets, values = ids.offsets.to_numpy(), ids.values.to_numpy()
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        yield values[start:stop]


def pieces(text: str, limit: int) -> Iterator[str]:
    """The text in pieces of at most ``limit`` bytes (at least 4), cut after line feeds where there are any.

    A pure function of the text: a line feed within each ``limit`` bytes, else the end of a character.
    """
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


def load(place: Path) -> Tokenizer:
    """The tokenizer in a folder, or of one file, read once per process and again when it has changed.

    A folder has ``tokenizer.model`` (SentencePiece), ``tokenizer.json`` (Hugging Face) or one ``*.tiktoken``; the first of
    these counts. Raises InputError where there is none, it can't be read, or it would lose something of a text.
    """
    tokenizer = opened(place)
    if tokenizer.lossy:
        raise InputError(
            f"this tokenizer changes texts: {tokenizer.lossy}",
            place=str(_file(place)),
            cure="train one with 'train.tokenizer', or name one that keeps texts (see docs/shards.md)",
        )
    return tokenizer


def opened(place: Path) -> Tokenizer:
    """The same whether it loses anything or not (``lossy`` says what): for reading what others wrote."""
    file = _file(place)
    beside = (file.with_suffix(".json"), file.parent / CONFIG_FILE)
    return _opened(file, tuple(_stamp(p) for p in (file, *beside) if p.is_file()))


def _stamp(file: Path) -> tuple[str, int, int, int]:
    stat = file.stat()
    return file.name, stat.st_size, stat.st_mtime_ns, stat.st_ino


def _file(place: Path) -> Path:
    """The file that a folder's tokenizer is in, absolute."""
    if place.is_file():
        return place.absolute()
    for pattern in ("tokenizer.model", "tokenizer.json", "*.tiktoken"):
        found = sorted(place.glob(pattern))
        if len(found) > 1:
            raise InputError("several tokenizers", place=str(place), cure=f"name one: {found[0].name}")
        if found:
            return found[0].absolute()
    raise InputError(
        "no tokenizer: a folder with one has tokenizer.model, tokenizer.json or a .tiktoken file",
        place=str(place),
        cure="train one with 'train.tokenizer', or name one that is known",
    )


@lru_cache(maxsize=4)
def _opened(file: Path, stamps: tuple[tuple[str, int, int, int], ...]) -> Tokenizer:  # noqa: ARG001 - of the cache's key
    try:
        return _reader(file)(file)
    except OSError as error:
        raise InputError(f"no tokenizer: {error.strerror}", place=str(file), cure="name another") from None


def _reader(file: Path) -> Callable[[Path], Tokenizer]:
    from curate.stages import tokenizer_sentencepiece

    if file.suffix == ".model":
        return tokenizer_sentencepiece.read
    raise InputError(
        f"no tokenizer is called *{file.suffix}",
        place=str(file),
        cure="name a SentencePiece .model, a Hugging Face tokenizer.json or a .tiktoken file",
    )
