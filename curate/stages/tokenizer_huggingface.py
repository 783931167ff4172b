"""Tokenizers of Hugging Face (``tokenizer.json``): byte-level BPE, and models of SentencePiece in that form.

The library matches added tokens in text, so that a document could write ``<|endoftext|>`` and end itself. Here only those
that are nothing but white space are (CodeGen's indentation); all others are control symbols: they are taken out of what
the library is given, and a piece of the vocabulary with the name of one gets a name that no text can have.

The file does not say which symbol ends a text: ``tokenizer_config.json`` beside it does (``eos_token``, ``pad_token``), else
the usual names are looked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError
from curate.stages.tokenizer import CONFIG_FILE, END_OF_TEXT, Tokenizer
from curate.stages.tokenizer_bytes import raw, text_of, whole
from curate.text.space_sign import ESCAPE, escape, unescape

if TYPE_CHECKING:
    from curate.text.encoder import Encoder

GPT2_PATTERN: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""How the library's ``ByteLevel`` cuts texts (``pre_tokenizers/byte_level.rs``)."""
_ENDS: Final = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "[EOS]", "<|eos|>")
_PADS: Final = ("<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>")
_BYTES: Final = frozenset(f"<0x{byte:02X}>" for byte in range(256))


class HuggingFace(Tokenizer):
    """A ``tokenizer.json``, and the configuration beside it.

    Attributes:
        spec: the file's JSON.
        pieces: how each id is written in the vocabulary; empty where there is none.
        byte_level: the bytes of each id, where the pieces are written in GPT-2's letters for bytes; else None.
        added: white space that is matched before anything else, longest first, by its id.
    """

    def __init__(self, spec: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError where the JSON is no tokenizer."""
        self.spec = spec
        vocabulary = _vocabulary(spec)
        added = {str(t["content"]): int(t["id"]) for t in spec.get("added_tokens") or []}
        self.added = {name: i for name, i in added.items() if name.isspace()}
        self._controls = {name: i for name, i in added.items() if not name.isspace()}
        self.vocab_size = max([*vocabulary.values(), *added.values()]) + 1
        self.pieces = [""] * self.vocab_size
        for piece, i in [*vocabulary.items(), *added.items()]:
            self.pieces[i] = piece
        self.byte_level = self._of_bytes() if _has(spec, "ByteLevel") else None
        self.end_of_text = self._named(config.get("eos_token"), _ENDS, -1)
        self.padding = self._named(config.get("pad_token"), _PADS, self.end_of_text)
        # Others put a space in front of what they are given.
        self.in_pieces = self.byte_level is not None
        self._library: Any = None
        self.lossy = self._why(vocabulary)

    def _of_bytes(self) -> list[bytes] | None:
        held = set(self._controls.values())
        plain = set(self.added.values())
        table = [
            b"" if i in held else piece.encode() if i in plain else raw(piece) for i, piece in enumerate(self.pieces)
        ]
        return None if any(piece is None for piece in table) else table  # type: ignore[return-value] # none is None

    def _named(self, said: Any, usual: Sequence[str], otherwise: int) -> int:
        name = said.get("content") if isinstance(said, dict) else said
        for one in (name, *usual) if isinstance(name, str) else usual:
            if one in self._controls:
                return self._controls[one]
        return otherwise

    def _why(self, vocabulary: Mapping[str, int]) -> str:
        """What is known to change texts; the rest is found by trying."""
        if self.end_of_text < 0:
            return f"it has no symbol that ends a text; name it as eos_token in {CONFIG_FILE}"
        if _has(self.spec, "ByteLevel"):
            if self.byte_level is None or not whole(self.byte_level):
                return "not every byte is a piece"
        elif not (self.spec["model"].get("byte_fallback") and vocabulary.keys() >= _BYTES):
            return "it has no bytes for characters that it does not know"
        return ""

    @cached_property
    def _encoder(self) -> Encoder | None:
        from curate.text.encoder import of_bytes

        pattern = _pattern(self.spec)
        if self.byte_level is None or pattern is None or self.lossy:
            return None
        own = set(self.added.values())
        vocabulary = [b"" if i in own else piece for i, piece in enumerate(self.byte_level)]
        added = {name.encode(): i for name, i in self.added.items()}
        whole_first = bool(self.spec["model"].get("ignore_merges"))
        try:
            merges = self.merges()
        except (KeyError, ValueError):  # the library says what is wrong
            return None
        return of_bytes(vocabulary, merges, pattern, added, self._in_pieces, whole=whole_first)

    def _encode(self, texts: list[str]) -> Sequence[npt.ArrayLike]:
        if self._library is None:
            self._library = _library(_for_text(self.spec, self._controls))
        if self.byte_level is None:
            texts = escape(pa.array(texts, pa.large_string())).to_pylist()
        found = self._library.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(one.ids, np.uint32) for one in found]

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> str:
        """By the pieces' bytes, or by the library; control symbols have no text."""
        if self.byte_level is not None:
            return text_of(self.byte_level, ids)
        if self._library is None:
            self._library = _library(_for_text(self.spec, self._controls))
        held = set(self._controls.values())
        return unescape(self._library.decode([int(i) for i in ids if int(i) not in held], skip_special_tokens=False))

    def controls(self) -> dict[str, int]:
        """Added tokens that are more than white space."""
        return dict(self._controls)

    def piece(self, i: int) -> str:
        """As the vocabulary has it."""
        return self.pieces[i]

    def merges(self) -> list[tuple[int, int]]:
        """Ids of the pairs that are joined, the first of them first."""
        there = _vocabulary(self.spec)
        pairs = self.spec["model"]["merges"]
        split = [tuple(pair.split(" ", 1)) if isinstance(pair, str) else tuple(pair) for pair in pairs]
        return [(there[left], there[right]) for left, right in split]


def _vocabulary(spec: Mapping[str, Any]) -> dict[str, int]:
    """Pieces of the model itself by id."""
    vocabulary = spec["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return {str(piece): int(i) for piece, i in vocabulary.items()}
    return {str(piece): i for i, (piece, _score) in enumerate(vocabulary)}


def _has(spec: Mapping[str, Any], kind: str) -> bool:
    """Whether a part that texts go through before the model is of a kind."""
    waiting = [spec.get("normalizer"), spec.get("pre_tokenizer")]
    while waiting:
        part = waiting.pop() or {}
        if part.get("type") == kind:
            return True
        waiting += part.get("normalizers") or part.get("pretokenizers") or []
    return False


def _pattern(spec: Mapping[str, Any]) -> str | None:
    """The regular expression that cuts texts, of a byte-level BPE that does nothing else with them; else None."""
    model, steps = spec["model"], spec.get("pre_tokenizer") or {}
    odd = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    if model.get("type") != "BPE" or any(model.get(name) for name in odd) or spec.get("normalizer"):
        return None
    if any(t.get("single_word") or t.get("lstrip") or t.get("rstrip") for t in spec.get("added_tokens") or []):
        return None
    *first, last = steps["pretokenizers"] if steps.get("type") == "Sequence" else [steps]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if not first:
        return GPT2_PATTERN if last.get("use_regex", True) else None
    split = first[0]
    plain = split.get("type") == "Split" and split.get("behavior") == "Isolated" and not split.get("invert")
    if len(first) > 1 or not plain or last.get("use_regex", True):
        return None
    return str(split["pattern"]["Regex"]) if "Regex" in split["pattern"] else None


def _for_text(spec: Mapping[str, Any], controls: Mapping[str, int]) -> dict[str, Any]:
    """What the library is given: nothing that is matched in text but white space, nothing put around it, nothing cut off."""

    def renamed(piece: str) -> str:
        # In an escaped text ESCAPE is followed by u or e, and it is no letter for a byte.
        return f"{ESCAPE}c{controls[piece]}" if piece in controls else piece

    model = dict(spec["model"])
    if isinstance(model["vocab"], dict):
        # The library gives an added token the id of the piece of that name, else the next free one, whatever the file says.
        own = {str(t["content"]): int(t["id"]) for t in spec.get("added_tokens") or []}
        model["vocab"] = {renamed(piece): i for piece, i in {**model["vocab"], **own}.items()}
    else:
        model["vocab"] = [[renamed(piece), score] for piece, score in model["vocab"]]
    if isinstance(model.get("unk_token"), str):
        model["unk_token"] = renamed(model["unk_token"])
    kept = [t for t in spec.get("added_tokens") or [] if t["content"].isspace()]
    return {
        **spec,
        "model": model,
        "added_tokens": kept,
        "post_processor": None,
        "truncation": None,
        "padding": None,
    }


def _library(spec: Mapping[str, Any]) -> Any:
    # A worker has one core: the library would start a thread for each of the machine's.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer as Library
    except ImportError:
        raise InputError(
            "a tokenizer.json needs the package tokenizers", cure="pip install 'phi-curate[tokenizers]'"
        ) from None
    try:
        return Library.from_str(json.dumps(spec))
    except Exception as error:  # noqa: BLE001 - the library raises nothing more particular
        raise InputError(
            f"`tokenizers` can't read this tokenizer.json: {str(error)[:120]}", cure="save it with this version of it"
        ) from None


def read(file: Path) -> HuggingFace:
    """The tokenizer of a file; raises InputError for what is none, OSError for what can't be read."""
    data = file.read_bytes()
    config = file.parent / CONFIG_FILE
    try:
        said = json.loads(config.read_bytes()) if config.is_file() else {}
        return HuggingFace(json.loads(data), said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a Hugging Face tokenizer ({type(error).__name__}: {str(error)[:80]})",
            place=str(file),
            cure="name a tokenizer.json that `tokenizers` or `transformers` saved",
        ) from None
