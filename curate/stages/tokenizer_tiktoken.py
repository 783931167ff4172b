"""tiktoken encodings: a file of ranks (``.tiktoken``), and the pattern and special tokens that go with it.

The ranks' file says neither. They are in a file of the same name that ends in ``.json``: ``{"pattern": "...",
"special_tokens": {"<|endoftext|>": 100257}, "end_of_text": "<|endoftext|>"}``; for OpenAI's own encodings, by the
name of the file, they are known. Special tokens are never matched in text.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.stages.tokenizer import END_OF_TEXT, Tokenizer
from curate.stages.tokenizer_bytes import text_of, whole

if TYPE_CHECKING:
    from curate.text.encoder import Encoder

_R50K: Final = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_CL100K: Final = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)
_O200K: Final = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_FIM: Final = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")


@dataclass(frozen=True)
class Encoding:
    """What goes with a file of ranks.

    Attributes:
        pattern: how text is cut before pieces are found, a regular expression of the Rust crate ``fancy-regex``.
        special: ids of special tokens by name.
        end_of_text: the name of the one that ends a text.
    """

    pattern: str
    special: Mapping[str, int] = field(default_factory=dict)
    end_of_text: str = END_OF_TEXT


KNOWN: Final[Mapping[str, Encoding]] = {
    "r50k_base": Encoding(_R50K, {END_OF_TEXT: 50256}),
    "p50k_base": Encoding(_R50K, {END_OF_TEXT: 50256}),
    "cl100k_base": Encoding(
        _CL100K,
        {END_OF_TEXT: 100257, **{n: 100258 + i for i, n in enumerate(_FIM)}, "<|endofprompt|>": 100276},
    ),
    "o200k_base": Encoding(_O200K, {END_OF_TEXT: 199999, "<|endofprompt|>": 200018}),
}
"""OpenAI's encodings by the name of their file, as in tiktoken 0.14 (``tiktoken_ext/openai_public.py``, MIT licence)."""


class Tiktoken(Tokenizer):
    """Ranks and their encoding.

    Attributes:
        ranks: id of each piece of bytes; of two neighbours that make a piece those of the lowest id are joined first.
        encoding: pattern and special tokens.
    """

    def __init__(self, ranks: Mapping[bytes, int], encoding: Encoding) -> None:
        """Raises ValueError where ids or names do not fit together."""
        self.ranks, self.encoding = dict(ranks), encoding
        used = [*ranks.values(), *encoding.special.values()]
        if len(set(used)) < len(used) or min(used) < 0:
            raise ValueError("two pieces have the same id, or one has none")
        if encoding.end_of_text not in encoding.special:
            raise ValueError(f"'{encoding.end_of_text}' is none of its special tokens")
        self.vocab_size = max(used) + 1
        self.end_of_text = self.padding = encoding.special[encoding.end_of_text]
        self._table = [b""] * self.vocab_size
        for piece, i in ranks.items():
            self._table[i] = piece
        if not whole(ranks):
            self.lossy = "not every byte is a piece"
        self._library: Any = None

    @cached_property
    def _encoder(self) -> Encoder | None:
        from curate.text.encoder import of_bytes

        return of_bytes(self._table, None, self.encoding.pattern, {}, self._in_pieces) if whole(self.ranks) else None

    def _encode(self, texts: list[str]) -> Sequence[npt.ArrayLike]:
        if self._library is None:
            self._library = _library(self.ranks, self.encoding)
        return [np.array(ids, np.uint32) for ids in self._library.encode_ordinary_batch(texts, num_threads=1)]

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> str:
        """By the pieces' bytes; special tokens have none."""
        return text_of(self._table, ids)

    def controls(self) -> dict[str, int]:
        """The special tokens."""
        return dict(self.encoding.special)

    def piece(self, i: int) -> str:
        """Its bytes as Python writes them, a special token by its name."""
        names = {value: name for name, value in self.encoding.special.items()}
        return names.get(i) or repr(self._table[i])[2:-1]


def _library(ranks: Mapping[bytes, int], encoding: Encoding) -> Any:
    try:
        import tiktoken
    except ImportError:
        raise InputError(
            "a tiktoken encoding needs the package tiktoken", cure="pip install 'phi-curate[tiktoken]'"
        ) from None
    return tiktoken.Encoding(
        "curate", pat_str=encoding.pattern, mergeable_ranks=dict(ranks), special_tokens=dict(encoding.special)
    )


def read(file: Path) -> Tiktoken:
    """The tokenizer of a file of ranks; raises InputError for what is none, OSError for what can't be read."""
    try:
        return Tiktoken(ranks_of(file.read_bytes()), _encoding(file))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise InputError(
            f"not a tiktoken encoding: {error}", place=str(file), cure="a line is a piece in base64, a space, its id"
        ) from None


def ranks_of(data: bytes) -> dict[bytes, int]:
    """Pieces and ids of a file's lines; raises ValueError for what is no such file."""
    ranks = {}
    for line in data.splitlines():
        if line:
            piece, rank = line.split()
            ranks[base64.b64decode(piece, validate=True)] = int(rank)
    if not ranks:
        raise ValueError("it is empty")
    return ranks


def _encoding(file: Path) -> Encoding:
    beside = file.with_suffix(".json")
    if beside.is_file():
        said = json.loads(beside.read_bytes())
        special = {str(name): int(value) for name, value in said["special_tokens"].items()}
        return Encoding(str(said["pattern"]), special, str(said.get("end_of_text", END_OF_TEXT)))
    if file.stem in KNOWN:
        return KNOWN[file.stem]
    raise InputError(
        "its pattern and special tokens are not known",
        place=str(file),
        cure=f'put {beside.name} beside it: {{"pattern": ..., "special_tokens": {{"{END_OF_TEXT}": ...}}}}',
    )
