"""What a tokenizer is here, whoever made it: ids of a column of texts that lose nothing, and control symbols beside them.

Every tokenizer gives ``decode(encode(text)) == text`` for each valid text, and never makes a control symbol (end of
text, padding, the roles of a chat) from text: a literal ``<|endoftext|>`` in a document is encoded as its characters.
One whose files would break either is refused when it is loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError

if TYPE_CHECKING:
    from curate.text.encoder import Encoder

END_OF_TEXT: Final = "<|endoftext|>"
CONFIG_FILE: Final = "tokenizer_config.json"
"""What Hugging Face writes beside a tokenizer: which of its symbols ends a text, which one pads."""
PIECE_BYTES: Final = 1 << 20
"""Libraries' memory grows with what they are given at once: see ``pieces``."""
PROBE: Final = (
    " aB\tb  c \r\n\n\x00\x85\u2028\u2581\ue581u e\u0301\u00e9\ufb01\u00b2\uff21\u3000\u200b\ufeff 12345 \u4f60\U0001f600"
    " \U0010ffff<0x41><|endoftext|><|im_start|><s></s><unk>[PAD]  "
)
"""Comes back from a tokenizer that loses nothing, and has no control symbol in it."""

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
Stamps = tuple[tuple[str, int, int, int], ...]


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
    in_pieces: bool = True
    """Whether the library may be given a long text piece by piece."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 where the vocabulary has less than 65,536 ids, else uint32."""
        return id_type(self.vocab_size)

    def encode(self, text: pa.LargeStringArray) -> pa.LargeListArray:
        """A list of ids (of ``dtype``) for each row, without control symbols; a null is encoded as an empty text.

        Where our own kernels can be shown to give the library's ids (``curate.text.encoder``), by them. Else by the library,
        which needs tens of times the memory of what it is given at once: a text of more than PIECE_BYTES is encoded
        piece by piece (see ``pieces``), so that a piece's end is a token's.
        """
        return self._in_pieces(text) if self._encoder is None else self._encoder.encode(text)

    def _in_pieces(self, text: pa.LargeStringArray) -> pa.LargeListArray:
        text = pc.fill_null(text, "")
        lengths = pc.binary_length(text).to_numpy(zero_copy_only=False)
        if not self.in_pieces or not len(lengths) or int(lengths.max()) <= PIECE_BYTES:
            return self.encode_slow(text)
        rows: list[npt.ArrayLike] = []
        for row in text.to_pylist():
            parts = pa.array(list(pieces(row, PIECE_BYTES)), pa.large_string())
            rows.append(self.encode_slow(parts).values.to_numpy())
        return as_lists(rows, self.dtype)

    def encode_slow(self, text: pa.LargeStringArray) -> pa.LargeListArray:
        """The same by the library alone, each text whole."""
        return as_lists(self._encode(pc.fill_null(text, "").to_pylist()), self.dtype)

    @cached_property
    def _encoder(self) -> Encoder | None:
        """The kernels that give the same ids, made when they are first asked for; None: there are none for this kind."""
        return None

    @abstractmethod
    def _encode(self, texts: list[str]) -> Sequence[npt.ArrayLike]:
        """Ids of each text, by the library."""

    @abstractmethod
    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> str:
        """The text of some ids; control symbols have none. Ids that are no whole characters become U+FFFD."""

    @abstractmethod
    def controls(self) -> dict[str, int]:
        """All control symbols by name: ids that no text is encoded to."""

    def control(self, name: str) -> int:
        """The id of a control symbol (``<|im_start|>``); raises InputError where the vocabulary has none of that name."""
        there = self.controls()
        if name not in there:
            some = ", ".join(list(there)[:12])
            raise InputError(
                f"the tokenizer has no control symbol '{name}'",
                cure=f"name one of its own ({some or 'it has none'}), or train one with 'special: [\"{name}\"]'",
            )
        return there[name]

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
    file = tokenizer_file(place)
    tokenizer, why = _tried(file, _stamps(file))
    if why:
        raise InputError(
            f"this tokenizer changes texts: {why}",
            place=str(file),
            cure="curate tokenizer --mend makes one that keeps them where that can be; or train one with 'train.tokenizer'",
        )
    return tokenizer


@lru_cache(maxsize=4)
def _tried(file: Path, stamps: Stamps) -> tuple[Tokenizer, str]:
    """A tokenizer, and what it does to texts; empty: nothing."""
    tokenizer = _opened(file, stamps)
    return tokenizer, tokenizer.lossy or _lost(tokenizer)


def _lost(tokenizer: Tokenizer) -> str:
    """What becomes of a text with all that is easily lost, and of the names of control symbols."""
    names = list(tokenizer.controls())
    held = np.array(list(tokenizer.controls().values()), np.int64)
    probes = (PROBE, PROBE[1:])  # some put a space only before what does not begin with one
    ids = tokenizer.encode(pa.array([*probes, *names, " ".join(names)], pa.large_string()))
    if np.isin(ids.values.to_numpy(), held).any():
        return "the name of a control symbol in a text becomes that symbol"
    if any(tokenizer.decode(found) != probe for found, probe in zip(lists(ids), probes, strict=False)):
        return "white space or rare characters do not come back"
    return ""


def opened(place: Path) -> Tokenizer:
    """The same whether it loses anything or not (``lossy`` says what): for reading what others wrote."""
    file = tokenizer_file(place)
    return _opened(file, _stamps(file))


def _stamps(file: Path) -> Stamps:
    """What tells this version of a tokenizer from another: its file, and those beside it that it may read."""
    there = [path for path in (file, file.with_suffix(".json"), file.parent / CONFIG_FILE) if path.is_file()]
    return tuple((path.name, (stat := path.stat()).st_size, stat.st_mtime_ns, stat.st_ino) for path in there)


def tokenizer_file(place: Path) -> Path:
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
def _opened(file: Path, stamps: Stamps) -> Tokenizer:  # noqa: ARG001 - of the cache's key
    try:
        return _reader(file)(file)
    except OSError as error:
        raise InputError(f"no tokenizer: {error.strerror}", place=str(file), cure="name another") from None


def _reader(file: Path) -> Callable[[Path], Tokenizer]:
    from curate.stages import tokenizer_huggingface, tokenizer_sentencepiece, tokenizer_tiktoken

    for suffix, module in (
        (".model", tokenizer_sentencepiece),
        (".json", tokenizer_huggingface),
        (".tiktoken", tokenizer_tiktoken),
    ):
        if file.suffix == suffix:
            return module.read
    raise InputError(
        f"no tokenizer is called *{file.suffix}",
        place=str(file),
        cure="name a SentencePiece .model, a Hugging Face tokenizer.json or a .tiktoken file",
    )
